// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Carrying out a script on libkvbm.
 */
#include <stdlib.h>
#include <string.h>

#include "ops.h"
#include "say.h"
#include "script.h"

/* A guard, or what is left of one, and the node of its hash. */
struct guard {
	struct kvbm_token token;
	uint32_t node;
};

struct list {
	struct guard *guards;
	uint32_t count;
	uint32_t room;
};

/* Room for all arrays of one call. */
#define MOST	65536

/**
 * struct run - a script at work
 * @kvbm: connection
 * @script: what to do
 * @journal: what came of it
 * @registry: id; 0 before the first manager
 * @manager: id
 * @session: the only one
 * @blocks: of the manager
 * @mutables: the four lists
 * @staged: same
 * @immutables: same
 * @weak: same
 * @picked: what the operation took from a list
 * @nr_picked: how many
 * @path: nodes of a path, root first, or of an operation
 * @nr_path: how many
 * @hashes: arrays for one call
 * @evicted: same
 * @in: same
 * @out: same
 * @fresh: same
 */
struct run {
	struct kvbm *kvbm;
	struct script *script;
	struct journal *journal;
	uint64_t registry;
	uint64_t manager;
	struct kvbm_session *session;
	uint32_t blocks;
	struct list mutables;
	struct list staged;
	struct list immutables;
	struct list weak;
	struct guard *picked;
	uint32_t nr_picked;
	uint32_t *path;
	uint32_t nr_path;
	struct kvbm_hash *hashes;
	struct kvbm_hash *evicted;
	struct kvbm_token *in;
	struct kvbm_token *out;
	struct kvbm_token *fresh;
};

/* Guards are tokens with a type; arrays of tokens serve for all of them. */
#define MUTABLE(tokens)		((struct kvbm_mutable *)(tokens))
#define COMPLETE(tokens)	((struct kvbm_complete *)(tokens))
#define IMMUTABLE(tokens)	((struct kvbm_immutable *)(tokens))

static void add(struct list *list, struct kvbm_token token, uint32_t node)
{
	if (list->count == list->room) {
		list->room = list->room ? 2 * list->room : 1024;
		list->guards = realloc(list->guards, list->room * sizeof(*list->guards));
		if (!list->guards) {
			say("no memory");
			exit(1);
		}
	}
	list->guards[list->count++] = (struct guard){ token, node };
}

/* @step numbers belong to each pick; those of picks left out are not used. */
static void take(struct run *r, struct list *list, uint32_t from, uint32_t step)
{
	uint32_t i, at;

	r->nr_picked = 0;
	for (i = from; i < r->script->nr_numbers && list->count; i += step) {
		at = r->script->numbers[i] % list->count;
		r->picked[r->nr_picked] = list->guards[at];
		r->in[r->nr_picked++] = list->guards[at].token;
		list->guards[at] = list->guards[--list->count];
	}
}

/* The same, but they stay; so the same one may be picked twice. */
static void look_at(struct run *r, const struct list *list, uint32_t from)
{
	uint32_t i, at;

	r->nr_picked = 0;
	for (i = from; i < r->script->nr_numbers && list->count; i++) {
		at = r->script->numbers[i] % list->count;
		r->picked[r->nr_picked] = list->guards[at];
		r->in[r->nr_picked++] = list->guards[at].token;
	}
}

static void set_path(struct run *r, uint32_t node)
{
	uint32_t n = 0, i;
	int32_t at;

	for (at = node; at >= 0; at = r->script->parents[at])
		n++;
	r->nr_path = n;
	for (at = node, i = n; at >= 0; at = r->script->parents[at])
		r->path[--i] = at;
	for (i = 0; i < n; i++)
		r->hashes[i] = r->script->hashes[r->path[i]];
}

/* Nodes from the numbers of the operation, every @step-th. */
static void set_nodes(struct run *r, uint32_t from, uint32_t step)
{
	uint32_t i;

	r->nr_path = 0;
	for (i = from; i < r->script->nr_numbers; i += step) {
		r->path[r->nr_path] = r->script->numbers[i];
		r->hashes[r->nr_path++] = r->script->hashes[r->script->numbers[i]];
	}
}

static void log_ids(struct run *r, const struct kvbm_token *tokens, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		journal_add(r->journal, tokens[i].id);
}

static void log_evicted(struct run *r, size_t count)
{
	size_t i;

	journal_word(r->journal, "evicted");
	journal_add(r->journal, count);
	for (i = 0; i < count; i++)
		journal_hash(r->journal, &r->evicted[i]);
}

static void log_found(struct run *r, const struct kvbm_token *tokens, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		journal_add(r->journal, tokens[i].gen ? tokens[i].id + 1 : 0);
}

/* Guards found by hash, in the order of the nodes; empty ones are misses. */
static void keep_found(struct run *r, const struct kvbm_token *tokens, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		if (tokens[i].gen)
			add(&r->immutables, tokens[i], r->path[i]);
}

static void forget_all(struct run *r)
{
	r->mutables.count = 0;
	r->staged.count = 0;
	r->immutables.count = 0;
	r->weak.count = 0;
}

static int end_manager(struct run *r)
{
	int err;

	if (!r->registry)
		return 0;
	kvbm_session_close(r->session);
	err = kvbm_destroy_manager(r->kvbm, r->manager, true);
	if (!err)
		err = kvbm_destroy_registry(r->kvbm, r->registry);
	r->registry = 0;
	forget_all(r);
	return err;
}

static int op_new(struct run *r, const uint32_t *numbers)
{
	struct kvbm_registry_create registry;
	struct kvbm_manager_create manager;
	int policy = kvbm_policy_from_name(r->script->policy), err;

	if (policy < 0)
		return say_err(policy, "policy %s", r->script->policy);
	err = end_manager(r);
	if (err)
		return err;
	r->blocks = numbers[0];
	kvbm_registry_attr_init(&registry, "equivalence");
	registry.capacity = r->blocks;
	/* So large that the few hashes of a script do not meet in it. */
	if (policy == KVBM_POLICY_MULTI_LRU)
		registry.sketch_capacity = 1 << 20;
	err = kvbm_create_registry(r->kvbm, &registry, &r->registry);
	if (err)
		return err;
	kvbm_manager_attr_init(&manager, r->registry, "g1", r->blocks);
	manager.block_size = SCRIPT_BLOCK_SIZE;
	manager.policy = policy;
	manager.duplication = r->script->reject ? KVBM_DUP_REJECT : KVBM_DUP_ALLOW;
	if (numbers[1])
		manager.flags |= KVBM_MANAGER_RESET_ON_RELEASE;
	err = kvbm_create_manager(r->kvbm, &manager, &r->manager);
	if (err)
		return err;
	return kvbm_bind(r->kvbm, r->manager, 0, &r->session);
}

static int allocate(struct run *r, uint32_t count, struct kvbm_token *out)
{
	size_t nr_evicted = 0;
	int err = kvbm_allocate(r->session, count, MUTABLE(out), r->evicted, &nr_evicted);

	journal_word(r->journal, err ? "refused" : "allocated");
	journal_add(r->journal, !err);
	if (err)
		return err;
	log_ids(r, out, count);
	log_evicted(r, nr_evicted);
	return 0;
}

static int op_allocate(struct run *r, const uint32_t *numbers)
{
	uint32_t i;
	int err = allocate(r, numbers[0], r->out);

	if (err)
		return err == -ENOSPC ? 0 : err;
	for (i = 0; i < numbers[0]; i++)
		add(&r->mutables, r->out[i], 0);
	return 0;
}

static int op_stage(struct run *r, const uint32_t *numbers)
{
	uint32_t i;
	int err;

	(void)numbers;
	take(r, &r->mutables, 0, 2);
	set_nodes(r, 1, 2);
	err = kvbm_stage(r->session, r->nr_picked, MUTABLE(r->in), r->hashes,
			 SCRIPT_BLOCK_SIZE, COMPLETE(r->out));
	if (err)
		return err;
	log_ids(r, r->out, r->nr_picked);
	for (i = 0; i < r->nr_picked; i++)
		add(&r->staged, r->out[i], r->path[i]);
	return 0;
}

static int op_stage_wrong(struct run *r, const uint32_t *numbers)
{
	int err;

	(void)numbers;
	take(r, &r->mutables, 0, 2);
	set_nodes(r, 1, 2);
	if (!r->nr_picked)
		return 0;
	err = kvbm_stage(r->session, 1, MUTABLE(r->in), r->hashes,
			 2 * SCRIPT_BLOCK_SIZE, COMPLETE(r->out));
	journal_word(r->journal, err ? "refused" : "accepted");
	journal_add(r->journal, !!err);
	/* The guard is as it was. */
	add(&r->mutables, r->in[0], 0);
	log_ids(r, r->in, 1);
	return err ? 0 : -EBADE;
}

static int op_unstage(struct run *r, const uint32_t *numbers)
{
	uint32_t i;
	int err;

	(void)numbers;
	take(r, &r->staged, 0, 1);
	err = kvbm_unstage(r->session, r->nr_picked, COMPLETE(r->in), MUTABLE(r->out));
	if (err)
		return err;
	log_ids(r, r->out, r->nr_picked);
	for (i = 0; i < r->nr_picked; i++)
		add(&r->mutables, r->out[i], 0);
	return 0;
}

static int op_register(struct run *r, const uint32_t *numbers)
{
	uint32_t i;
	int err;

	(void)numbers;
	take(r, &r->staged, 0, 1);
	err = kvbm_register(r->session, r->nr_picked, COMPLETE(r->in),
			    IMMUTABLE(r->out), NULL);
	if (err)
		return err;
	log_ids(r, r->out, r->nr_picked);
	for (i = 0; i < r->nr_picked; i++)
		add(&r->immutables, r->out[i], r->picked[i].node);
	return 0;
}

/* Stage and register what is in @r->in, for nodes of the path from @from on. */
static int fill(struct run *r, uint32_t count, uint32_t from, struct kvbm_next *next)
{
	uint32_t i;
	int err;

	err = kvbm_stage_register(r->session, count, MUTABLE(r->in), r->hashes + from,
				  SCRIPT_BLOCK_SIZE, IMMUTABLE(r->out), NULL, next);
	if (err)
		return err;
	journal_word(r->journal, "registered");
	log_ids(r, r->out, count);
	for (i = 0; i < count; i++)
		add(&r->immutables, r->out[i], r->path[from + i]);
	return 0;
}

static int op_fill(struct run *r, const uint32_t *numbers)
{
	struct kvbm_next next = {
		.count = numbers[0], .out = MUTABLE(r->fresh), .evicted = r->evicted,
	};
	bool there;
	uint32_t i;
	int err;

	take(r, &r->mutables, 1, 2);
	set_nodes(r, 2, 2);
	err = fill(r, r->nr_picked, 0, next.count ? &next : NULL);
	if (err || !next.count)
		return err;
	there = next.allocated == next.count;
	journal_word(r->journal, there ? "allocated" : "refused");
	journal_add(r->journal, there);
	if (!there)
		return 0;
	log_ids(r, r->fresh, next.count);
	log_evicted(r, next.nr_evicted);
	for (i = 0; i < next.count; i++)
		add(&r->mutables, r->fresh[i], 0);
	return 0;
}

static int match(struct run *r)
{
	ssize_t hits = kvbm_match(r->session, r->nr_path, r->hashes, IMMUTABLE(r->out));

	if (hits < 0)
		return hits;
	journal_word(r->journal, "matched");
	journal_add(r->journal, hits);
	log_ids(r, r->out, hits);
	return hits;
}

static int match_and_keep(struct run *r)
{
	int hits = match(r);

	if (hits < 0)
		return hits;
	keep_found(r, r->out, hits);
	return 0;
}

static int op_match(struct run *r, const uint32_t *numbers)
{
	(void)numbers;
	set_nodes(r, 0, 1);
	return match_and_keep(r);
}

static int op_match_path(struct run *r, const uint32_t *numbers)
{
	set_path(r, numbers[0]);
	return match_and_keep(r);
}

static int op_scattered(struct run *r, const uint32_t *numbers)
{
	ssize_t hits;

	(void)numbers;
	set_nodes(r, 0, 1);
	hits = kvbm_match_scattered(r->session, r->nr_path, r->hashes,
				    IMMUTABLE(r->out));
	if (hits < 0)
		return hits;
	log_found(r, r->out, r->nr_path);
	keep_found(r, r->out, r->nr_path);
	return 0;
}

static int op_scan(struct run *r, const uint32_t *numbers)
{
	ssize_t hits;

	set_nodes(r, 1, 1);
	if (numbers[0])
		hits = kvbm_scan_touch(r->session, r->nr_path, r->hashes,
				       IMMUTABLE(r->out));
	else
		hits = kvbm_scan(r->session, r->nr_path, r->hashes, IMMUTABLE(r->out));
	if (hits < 0)
		return hits;
	log_found(r, r->out, r->nr_path);
	keep_found(r, r->out, r->nr_path);
	return 0;
}

/* The @hits first blocks of the path are in @out, fresh ones in @fresh. */
static int fill_rest(struct run *r, uint32_t hits, bool at_once)
{
	uint32_t rest = r->nr_path - hits, i;
	int err;

	keep_found(r, r->out, hits);
	memcpy(r->in, r->fresh, rest * sizeof(*r->in));
	if (at_once)
		return fill(r, rest, hits, NULL);
	err = kvbm_stage(r->session, rest, MUTABLE(r->in), r->hashes + hits,
			 SCRIPT_BLOCK_SIZE, COMPLETE(r->fresh));
	if (!err)
		err = kvbm_register(r->session, rest, COMPLETE(r->fresh),
				    IMMUTABLE(r->out), NULL);
	if (err)
		return err;
	journal_word(r->journal, "registered");
	log_ids(r, r->out, rest);
	for (i = 0; i < rest; i++)
		add(&r->immutables, r->out[i], r->path[hits + i]);
	return 0;
}

static int op_request(struct run *r, const uint32_t *numbers)
{
	int hits, err;

	set_path(r, numbers[0]);
	hits = match(r);
	if (hits < 0)
		return hits;
	err = allocate(r, r->nr_path - hits, r->fresh);
	if (err == -ENOSPC)
		return kvbm_release(r->session, hits, IMMUTABLE(r->out));
	return err ? err : fill_rest(r, hits, false);
}

static int available(struct run *r, struct kvbm_counters *counters)
{
	return kvbm_session_counters(r->session, counters);
}

static int op_acquire(struct run *r, const uint32_t *numbers)
{
	struct kvbm_counters c;
	struct kvbm_acquired a;
	int err;

	set_path(r, numbers[0]);
	err = available(r, &c);
	if (err)
		return err;
	if (c.reset_pool_size + c.inactive_pool_size < r->nr_path) {
		journal_word(r->journal, "skipped");
		return 0;
	}
	err = kvbm_acquire(r->session, r->hashes, r->nr_path, r->nr_path,
			   IMMUTABLE(r->out), MUTABLE(r->fresh), r->evicted, &a);
	if (err)
		return err;
	journal_word(r->journal, "matched");
	journal_add(r->journal, a.matched);
	log_ids(r, r->out, a.matched);
	journal_word(r->journal, "allocated");
	journal_add(r->journal, 1);
	log_ids(r, r->fresh, a.allocated);
	log_evicted(r, a.evicted);
	return fill_rest(r, a.matched, true);
}

static int op_clone(struct run *r, const uint32_t *numbers)
{
	uint32_t i;
	int err;

	(void)numbers;
	look_at(r, &r->immutables, 0);
	/* One by one: a guard may be picked twice, but not given twice in a call. */
	for (i = 0; i < r->nr_picked; i++) {
		err = kvbm_clone(r->session, 1, IMMUTABLE(&r->in[i]),
				 IMMUTABLE(&r->out[i]));
		if (err)
			return err;
	}
	log_ids(r, r->out, r->nr_picked);
	for (i = 0; i < r->nr_picked; i++)
		add(&r->immutables, r->out[i], r->picked[i].node);
	return 0;
}

static int op_downgrade(struct run *r, const uint32_t *numbers)
{
	uint32_t i;

	(void)numbers;
	look_at(r, &r->immutables, 0);
	for (i = 0; i < r->nr_picked; i++)
		add(&r->weak, r->picked[i].token, r->picked[i].node);
	return 0;
}

static int op_upgrade(struct run *r, const uint32_t *numbers)
{
	ssize_t taken;
	uint32_t i;

	(void)numbers;
	look_at(r, &r->weak, 0);
	for (i = 0; i < r->nr_picked; i++) {
		r->path[i] = r->picked[i].node;
		r->hashes[i] = r->script->hashes[r->path[i]];
	}
	taken = kvbm_upgrade(r->session, r->nr_picked, r->hashes, r->in,
			     IMMUTABLE(r->out));
	if (taken < 0)
		return taken;
	log_found(r, r->out, r->nr_picked);
	keep_found(r, r->out, r->nr_picked);
	return 0;
}

static int op_reset_flag(struct run *r, const uint32_t *numbers)
{
	uint32_t i;
	int err = 0;

	look_at(r, &r->immutables, 1);
	for (i = 0; !err && i < r->nr_picked; i++)
		err = kvbm_set_reset_on_release(r->session, 1, IMMUTABLE(&r->in[i]),
						numbers[0]);
	return err;
}

static int op_drop_mutable(struct run *r, const uint32_t *numbers)
{
	(void)numbers;
	take(r, &r->mutables, 0, 1);
	return kvbm_release(r->session, r->nr_picked, MUTABLE(r->in));
}

static int op_drop_staged(struct run *r, const uint32_t *numbers)
{
	(void)numbers;
	take(r, &r->staged, 0, 1);
	return kvbm_release(r->session, r->nr_picked, COMPLETE(r->in));
}

static int op_drop_immutable(struct run *r, const uint32_t *numbers)
{
	(void)numbers;
	take(r, &r->immutables, 0, 1);
	return kvbm_release(r->session, r->nr_picked, IMMUTABLE(r->in));
}

static int op_drop_weak(struct run *r, const uint32_t *numbers)
{
	(void)numbers;
	take(r, &r->weak, 0, 1);
	return 0;
}

/* The last @count of a list to @in, in their order or in the reverse one. */
static uint32_t cut(struct run *r, struct list *list, uint32_t count, bool reverse)
{
	uint32_t n = count < list->count ? count : list->count, i;
	const struct guard *from = list->guards + list->count - n;

	for (i = 0; i < n; i++)
		r->in[i] = from[reverse ? n - 1 - i : i].token;
	list->count -= n;
	return n;
}

static int op_pop(struct run *r, const uint32_t *numbers)
{
	uint32_t n = cut(r, &r->immutables, numbers[0], true);

	return kvbm_release(r->session, n, IMMUTABLE(r->in));
}

static int op_cut(struct run *r, const uint32_t *numbers)
{
	uint32_t n = cut(r, &r->immutables, numbers[0], false);

	return kvbm_release(r->session, n, IMMUTABLE(r->in));
}

/* The first ones of a list to @in, until it is that short. */
static uint32_t limit(struct run *r, struct list *list, uint32_t length)
{
	uint32_t n = list->count > length ? list->count - length : 0, i;

	for (i = 0; i < n; i++)
		r->in[i] = list->guards[i].token;
	list->count -= n;
	memmove(list->guards, list->guards + n, list->count * sizeof(*list->guards));
	return n;
}

static int op_limit_mutable(struct run *r, const uint32_t *numbers)
{
	uint32_t n = limit(r, &r->mutables, numbers[0]);

	return kvbm_release(r->session, n, MUTABLE(r->in));
}

static int op_limit_staged(struct run *r, const uint32_t *numbers)
{
	uint32_t n = limit(r, &r->staged, numbers[0]);

	return kvbm_release(r->session, n, COMPLETE(r->in));
}

static int op_limit_immutable(struct run *r, const uint32_t *numbers)
{
	uint32_t n = limit(r, &r->immutables, numbers[0]);

	return kvbm_release(r->session, n, IMMUTABLE(r->in));
}

static int op_limit_weak(struct run *r, const uint32_t *numbers)
{
	limit(r, &r->weak, numbers[0]);
	return 0;
}

static int op_drain(struct run *r, const uint32_t *numbers)
{
	struct kvbm_counters c;
	int err;

	(void)numbers;
	err = kvbm_drain(r->session, NULL);
	if (!err)
		err = available(r, &c);
	if (err)
		return err;
	journal_word(r->journal, "reset");
	journal_add(r->journal, c.reset_pool_size);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct kvbm_token *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int op_drain_sorted(struct run *r, const uint32_t *numbers)
{
	struct kvbm_counters c;
	int err;

	err = op_drain(r, numbers);
	if (!err)
		err = available(r, &c);
	if (!err)
		err = kvbm_allocate(r->session, c.reset_pool_size, MUTABLE(r->out),
				    NULL, NULL);
	if (err)
		return err;
	qsort(r->out, c.reset_pool_size, sizeof(*r->out), by_id);
	return kvbm_release(r->session, c.reset_pool_size, MUTABLE(r->out));
}

static int op_presence(struct run *r, const uint32_t *numbers)
{
	uint64_t masks[256];
	uint32_t i;
	int err;

	(void)numbers;
	set_nodes(r, 0, 1);
	if (r->nr_path > sizeof(masks) / sizeof(*masks))
		return -E2BIG;
	err = kvbm_presence(r->kvbm, r->registry, r->nr_path, r->hashes, 0, NULL, masks);
	if (err)
		return err;
	for (i = 0; i < r->nr_path; i++)
		journal_add(r->journal, masks[i]);
	return 0;
}

static int op_frequency(struct run *r, const uint32_t *numbers)
{
	uint8_t count;
	uint32_t i;
	int err;

	set_nodes(r, 1, 1);
	for (i = 0; i < r->nr_path; i++) {
		err = kvbm_frequency(r->kvbm, r->registry, numbers[0], 1, &r->hashes[i],
				     &count);
		if (err)
			return err;
		journal_add(r->journal, count);
	}
	return 0;
}

static int op_use_count(struct run *r, const uint32_t *numbers)
{
	struct kvbm_slot_info slot;
	ssize_t n;
	uint32_t i;

	(void)numbers;
	look_at(r, &r->immutables, 0);
	for (i = 0; i < r->nr_picked; i++) {
		n = kvbm_session_dump(r->session, r->in[i].id, 1, &slot);
		if (n < 0)
			return n;
		journal_add(r->journal, slot.refs);
	}
	return 0;
}

static int op_counters(struct run *r, const uint32_t *numbers)
{
	struct kvbm_counters c;
	int err = available(r, &c);
	const uint64_t values[] = {
		c.allocations, c.allocations_from_reset, c.evictions,
		c.registrations, c.duplicate_blocks, c.registration_dedup,
		c.stagings, c.match_hashes_requested, c.match_blocks_returned,
		c.scan_hashes_requested, c.scan_blocks_returned,
		c.inflight_mutable, c.inflight_immutable, c.reset_pool_size,
		c.inactive_pool_size,
	};
	size_t i;

	(void)numbers;
	if (err)
		return err;
	for (i = 0; i < sizeof(values) / sizeof(*values); i++)
		journal_add(r->journal, values[i]);
	return 0;
}

static const struct op_kind {
	int (*run)(struct run *r, const uint32_t *numbers);
	uint32_t numbers;	/* at least so many */
} kinds[128] = {
	[OP_NEW] = { op_new, 2 },
	[OP_ALLOCATE] = { op_allocate, 1 },
	[OP_STAGE] = { op_stage, 0 },
	[OP_STAGE_WRONG] = { op_stage_wrong, 2 },
	[OP_UNSTAGE] = { op_unstage, 0 },
	[OP_REGISTER] = { op_register, 0 },
	[OP_FILL] = { op_fill, 1 },
	[OP_MATCH] = { op_match, 0 },
	[OP_MATCH_PATH] = { op_match_path, 1 },
	[OP_SCATTERED] = { op_scattered, 0 },
	[OP_SCAN] = { op_scan, 1 },
	[OP_REQUEST] = { op_request, 1 },
	[OP_ACQUIRE] = { op_acquire, 1 },
	[OP_CLONE] = { op_clone, 0 },
	[OP_DOWNGRADE] = { op_downgrade, 0 },
	[OP_UPGRADE] = { op_upgrade, 0 },
	[OP_RESET_FLAG] = { op_reset_flag, 1 },
	[OP_DROP_MUTABLE] = { op_drop_mutable, 0 },
	[OP_DROP_STAGED] = { op_drop_staged, 0 },
	[OP_DROP_IMMUTABLE] = { op_drop_immutable, 0 },
	[OP_DROP_WEAK] = { op_drop_weak, 0 },
	[OP_POP] = { op_pop, 1 },
	[OP_CUT] = { op_cut, 1 },
	[OP_LIMIT_MUTABLE] = { op_limit_mutable, 1 },
	[OP_LIMIT_STAGED] = { op_limit_staged, 1 },
	[OP_LIMIT_IMMUTABLE] = { op_limit_immutable, 1 },
	[OP_LIMIT_WEAK] = { op_limit_weak, 1 },
	[OP_DRAIN] = { op_drain, 0 },
	[OP_DRAIN_SORTED] = { op_drain_sorted, 0 },
	[OP_PRESENCE] = { op_presence, 0 },
	[OP_FREQUENCY] = { op_frequency, 1 },
	[OP_USE_COUNT] = { op_use_count, 0 },
	[OP_COUNTERS] = { op_counters, 0 },
};

static int run_op(struct run *r, int letter)
{
	const struct op_kind *kind = &kinds[letter & 127];
	struct journal *j = r->journal;
	struct kvbm_counters c;
	int err;

	if (!kind->run || r->script->nr_numbers < kind->numbers ||
	    (letter != OP_NEW && !r->registry))
		return say_err(-EINVAL, "operation %llu: %s", (unsigned long long)j->op,
			       r->script->line);
	j->digest = 0;
	if (journal_prints(j))
		printf("%llu: %s =>", (unsigned long long)j->op, r->script->line);
	err = kind->run(r, r->script->numbers);
	if (!err)
		err = available(r, &c);
	if (err)
		return say_err(err, "operation %llu: %s", (unsigned long long)j->op,
			       r->script->line);
	journal_word(j, "available");
	journal_add(j, c.reset_pool_size + c.inactive_pool_size);
	if (journal_prints(j))
		putchar('\n');
	if (j->file)
		fwrite(&j->digest, sizeof(j->digest), 1, j->file);
	j->all = mix64(j->all ^ j->digest);
	j->op++;
	if (j->every && j->op % j->every == 0)
		printf("%llu %016llx\n", (unsigned long long)j->op,
		       (unsigned long long)j->all);
	return 0;
}

static int verify(struct run *r)
{
	struct kvbm_check_result result;
	int err;

	if (!r->registry)
		return 0;
	err = kvbm_manager_verify(r->kvbm, r->manager, &result);
	if (!err && result.errors)
		err = say_err(-EUCLEAN, "check of the store: %s",
			      kvbm_check_name(result.first_error));
	return err;
}

int script_run(struct kvbm *kvbm, struct script *script, struct journal *journal)
{
	struct run r = { .kvbm = kvbm, .script = script, .journal = journal };
	int letter, err = -ENOMEM, ended;

	r.picked = calloc(MOST, sizeof(*r.picked));
	r.path = calloc(MOST, sizeof(*r.path));
	r.hashes = calloc(MOST, sizeof(*r.hashes));
	r.evicted = calloc(MOST, sizeof(*r.evicted));
	r.in = calloc(MOST, sizeof(*r.in));
	r.out = calloc(MOST, sizeof(*r.out));
	r.fresh = calloc(MOST, sizeof(*r.fresh));
	if (r.picked && r.path && r.hashes && r.evicted && r.in && r.out && r.fresh) {
		err = 0;
		while (!err && (letter = script_next(script)) > 0) {
			if (letter == OP_NEW)
				err = verify(&r);
			if (!err)
				err = run_op(&r, letter);
		}
		if (!err)
			err = letter < 0 ? letter : verify(&r);
	}
	ended = end_manager(&r);
	free(r.picked);
	free(r.path);
	free(r.hashes);
	free(r.evicted);
	free(r.in);
	free(r.out);
	free(r.fresh);
	free(r.mutables.guards);
	free(r.staged.guards);
	free(r.immutables.guards);
	free(r.weak.guards);
	return err ? err : ended;
}
