// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * kvbm-holds: the longest time for which a call keeps a spinlock, and the memory
 * that blocks and guards take. The engine is linked in with hooks in its locks.
 *
 * Time is that of the processor's counter; under icount that is instructions.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <x86intrin.h>

#include <kvbm/kvbm.h>

#include "engine/engine.h"
#include "mix.h"
#include "ops.h"
#include "output.h"
#include "say.h"

/* Many chunks of the engine; an emulated machine has to get through it. */
#define POOL		(1U << 15)
#define MOST		8192
/* An interrupt may come into a hold: the shortest of the longest counts. */
#define REPETITIONS	5

/* One thread. Locks nest: the outermost one counts. */
static struct {
	unsigned int depth;
	uint64_t since;
	uint64_t longest;
	uint64_t empty;		/* what it takes to look */
} hold;

void kvbm_hold_begins(void)
{
	if (!hold.depth++)
		hold.since = __rdtsc();
}

void kvbm_hold_ends(void)
{
	uint64_t now = __rdtsc();

	if (!--hold.depth && now - hold.since > hold.longest)
		hold.longest = now - hold.since;
}

struct run {
	struct kvbm *kvbm;
	const char *policy;
	uint64_t registry;
	uint64_t manager;
	struct kvbm_session *session;
	uint64_t fresh;
	struct kvbm_hash hashes[MOST];
	struct kvbm_hash evicted[MOST];
	struct kvbm_mutable mutables[MOST];
	struct kvbm_complete staged[MOST];
	struct kvbm_immutable guards[MOST];
	struct kvbm_immutable more[MOST];
	struct kvbm_token tokens[MOST];
};

/*
 * A call that takes many blocks, and calls before and after it that make it one
 * that does something. All return 0 or more, or -errno.
 */
struct call {
	const char *name;
	ssize_t (*before)(struct run *r);
	ssize_t (*call)(struct run *r);
	ssize_t (*after)(struct run *r);
};

static ssize_t nothing(struct run *r)
{
	(void)r;
	return 0;
}

/* Chains of 64. */
static void new_hashes(struct run *r)
{
	uint64_t i, at;

	for (i = 0; i < MOST; i++) {
		at = r->fresh++;
		kvbm_plh(mix64(at), at % 64 ? mix64(at - 1) : 0, at % 64, &r->hashes[i]);
	}
}

static ssize_t allocate(struct run *r)
{
	size_t nr_evicted;

	return kvbm_allocate(r->session, MOST, r->mutables, r->evicted, &nr_evicted);
}

static ssize_t stage(struct run *r)
{
	return kvbm_stage(r->session, MOST, r->mutables, r->hashes, SCRIPT_BLOCK_SIZE,
			  r->staged);
}

static ssize_t allocate_and_stage(struct run *r)
{
	ssize_t err = allocate(r);

	new_hashes(r);
	return err ? err : stage(r);
}

static ssize_t register_blocks(struct run *r)
{
	return kvbm_register(r->session, MOST, r->staged, r->guards, NULL);
}

static ssize_t release(struct run *r)
{
	return kvbm_release(r->session, MOST, r->guards);
}

static ssize_t register_and_release(struct run *r)
{
	ssize_t err = register_blocks(r);

	return err ? err : release(r);
}

static ssize_t stage_register_and_release(struct run *r)
{
	ssize_t err;

	new_hashes(r);
	err = stage(r);
	return err ? err : register_and_release(r);
}

static ssize_t unstage(struct run *r)
{
	return kvbm_unstage(r->session, MOST, r->staged, r->mutables);
}

static ssize_t release_mutable(struct run *r)
{
	return kvbm_release(r->session, MOST, r->mutables);
}

static ssize_t match(struct run *r)
{
	return kvbm_match(r->session, MOST, r->hashes, r->guards);
}

static ssize_t match_again(struct run *r)
{
	return kvbm_match(r->session, MOST, r->hashes, r->more);
}

static ssize_t scattered(struct run *r)
{
	return kvbm_match_scattered(r->session, MOST, r->hashes, r->guards);
}

static ssize_t scan(struct run *r)
{
	return kvbm_scan(r->session, MOST, r->hashes, r->guards);
}

static ssize_t probe(struct run *r)
{
	return kvbm_probe(r->session, MOST, r->hashes);
}

static ssize_t release_more(struct run *r)
{
	return kvbm_release(r->session, MOST, r->more);
}

static ssize_t release_both(struct run *r)
{
	ssize_t err = release_more(r);

	return err ? err : release(r);
}

static ssize_t clone_guards(struct run *r)
{
	return kvbm_clone(r->session, MOST, r->guards, r->more);
}

static ssize_t drop_but_remember(struct run *r)
{
	ssize_t hits = match(r);
	uint32_t i;

	for (i = 0; i < MOST; i++)
		r->tokens[i] = r->guards[i].token;
	return hits < 0 ? hits : release(r);
}

static ssize_t upgrade(struct run *r)
{
	return kvbm_upgrade(r->session, MOST, r->hashes, r->tokens, r->guards);
}

static ssize_t set_reset(struct run *r)
{
	return kvbm_set_reset_on_release(r->session, MOST, r->guards, false);
}

static ssize_t acquire(struct run *r)
{
	struct kvbm_acquired a;

	return kvbm_acquire(r->session, r->hashes, MOST, MOST, r->guards, r->mutables,
			    r->evicted, &a);
}

static ssize_t drain(struct run *r)
{
	return kvbm_drain(r->session, NULL);
}

/* All blocks of the pool into the cache. */
static ssize_t fill(struct run *r)
{
	ssize_t err = 0;
	uint32_t i;

	for (i = 0; i < POOL / MOST && !err; i++) {
		err = allocate_and_stage(r);
		if (!err)
			err = register_and_release(r);
	}
	return err;
}

static ssize_t end_session(struct run *r)
{
	kvbm_session_close(r->session);
	r->session = NULL;
	return 0;
}

static ssize_t begin_session(struct run *r)
{
	return kvbm_bind(r->kvbm, r->manager, 0, &r->session);
}

static const struct call calls[] = {
	{ "allocate", nothing, allocate, stage_register_and_release },	/* evicts */
	{ "stage", allocate, stage, register_and_release },
	{ "register", allocate_and_stage, register_blocks, release },
	{ "unstage", allocate_and_stage, unstage, release_mutable },
	{ "release mutable", allocate, release_mutable, nothing },
	{ "match inactive", fill, match, release },
	{ "match active", match, match_again, release_both },
	{ "release", match, release, nothing },
	{ "scattered", nothing, scattered, release },
	{ "scan", nothing, scan, release },
	{ "probe", nothing, probe, nothing },
	{ "clone", match, clone_guards, release_both },
	{ "upgrade", drop_but_remember, upgrade, release },
	{ "set reset on release", match, set_reset, release },
	{ "acquire", nothing, acquire, release },
	{ "end of a session", match, end_session, begin_session },
	{ "drain", nothing, drain, fill },
};

static size_t allocated(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static void calibrate(void)
{
	int i;

	hold.empty = UINT64_MAX;
	for (i = 0; i < 100; i++) {
		hold.longest = 0;
		kvbm_hold_begins();
		kvbm_hold_ends();
		if (hold.longest < hold.empty)
			hold.empty = hold.longest;
	}
}

static int run_call(struct run *r, const struct call *call)
{
	uint64_t longest = UINT64_MAX;
	ssize_t err = 0;
	json_t *row;
	int i;

	for (i = 0; i < REPETITIONS && err >= 0; i++) {
		err = call->before(r);
		hold.longest = 0;
		if (err >= 0)
			err = call->call(r);
		if (hold.longest < longest)
			longest = hold.longest;
		if (err >= 0)
			err = call->after(r);
	}
	if (err < 0)
		return say_err(err, "%s, %s", r->policy, call->name);
	row = json_object();
	set_word(row, "policy", r->policy);
	set_word(row, "call", call->name);
	set_number(row, "longest_hold", longest > hold.empty ? longest - hold.empty : 0);
	json_dumpf(row, stdout, 0);
	putchar('\n');
	fflush(stdout);
	json_decref(row);
	return 0;
}

/* Bytes of the manager per block, of the registry per entry, and per guard. */
static int run_memory(struct run *r)
{
	struct kvbm_manager_query manager;
	size_t before;
	ssize_t hits;
	json_t *row;
	int err;

	err = kvbm_query_manager(r->kvbm, r->manager, &manager);
	if (!err) {
		kvbm_session_close(r->session);
		err = begin_session(r);
	}
	if (err)
		return say_err(err, "%s: memory", r->policy);
	before = allocated();
	hits = match(r);
	if (hits <= 0)
		return say_err(hits, "%s: memory", r->policy);
	row = json_object();
	set_word(row, "policy", r->policy);
	json_object_set_new(row, "bytes_per_block",
			    json_real((double)manager.out_bytes / POOL));
	json_object_set_new(row, "bytes_per_entry",
			    json_real((double)kvbm_registry_bytes(POOL, 0) / POOL));
	json_object_set_new(row, "bytes_per_held_block",
			    json_real((double)(allocated() - before) / hits));
	json_dumpf(row, stdout, JSON_REAL_PRECISION(5));
	putchar('\n');
	json_decref(row);
	return release(r);
}

static int begin(struct run *r)
{
	struct kvbm_registry_create registry;
	struct kvbm_manager_create manager;
	int err;

	kvbm_registry_attr_init(&registry, "holds");
	registry.capacity = POOL;
	if (kvbm_policy_from_name(r->policy) == KVBM_POLICY_MULTI_LRU)
		registry.sketch_capacity = POOL;
	err = kvbm_create_registry(r->kvbm, &registry, &r->registry);
	if (err)
		return err;
	kvbm_manager_attr_init(&manager, r->registry, "g1", POOL);
	manager.block_size = SCRIPT_BLOCK_SIZE;
	manager.policy = kvbm_policy_from_name(r->policy);
	err = kvbm_create_manager(r->kvbm, &manager, &r->manager);
	return err ? err : begin_session(r);
}

static int run_policy(struct run *r)
{
	size_t i;
	int err = begin(r);

	/* One that is not there has no rows. */
	if (err) {
		say_err(err, "%s", r->policy);
		kvbm_destroy_registry(r->kvbm, r->registry);
		return 0;
	}
	/* Twice: all memory was touched then, and there is nothing to take but the cache. */
	err = fill(r);
	if (!err)
		err = fill(r);
	for (i = 0; i < sizeof(calls) / sizeof(*calls) && !err; i++)
		err = run_call(r, &calls[i]);
	if (!err)
		err = run_memory(r);
	kvbm_session_close(r->session);
	kvbm_destroy_manager(r->kvbm, r->manager, true);
	kvbm_destroy_registry(r->kvbm, r->registry);
	return err;
}

int main(void)
{
	static const char *const policies[] = {
		"lru", "fifo", "multi-lru", "lineage-tick", "lineage-fifo",
	};
	static struct run r;
	size_t i;
	int err = kvbm_open("inproc:", &r.kvbm);

	if (err)
		say_err(err, "inproc:");
	calibrate();
	for (i = 0; i < sizeof(policies) / sizeof(*policies) && !err; i++) {
		r.policy = policies[i];
		r.fresh = 0;
		err = run_policy(&r);
	}
	kvbm_close(r.kvbm);
	return err ? 1 : 0;
}
