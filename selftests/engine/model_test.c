// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Random calls of several sessions, on two stores of one registry, against a
 * model made of arrays and linear searches. After every call both are compared:
 * states, references, generations, flags, aux, order of both pools, counters,
 * what each session holds and in which order, presence; what a dump tells; and
 * the engine's own check must find nothing. Stores have policies of their own,
 * and the victims of each are those of its model.
 *
 *	SEED=n STEPS=n model_test	repeats a run, or makes it longer
 *
 * (But for the collisions of the frequency sketch: its key is secret.)
 */
#include <time.h>

#include "fixture.h"
#include "lineage_model.h"

#define MAX_BLOCKS	300
#define MAX_HASHES	64
#define NR_STORES	2
#define NR_HOLDERS	4
#define NR_PINS		6
#define MAX_BATCH	(MAX_BLOCKS + 8)
/* Bytes of aux per block, in the stores that keep any. */
#define AUX		sizeof(u64)
/* Thresholds of multi-level LRU. */
#define LEVELS		4
/* Of any policy. */
#define RANDOM		KVBM_POLICY_DEFAULT

/**
 * struct model - what a store should be
 * @config: of the store
 * @state: of each block
 * @refs: of each block
 * @gen: of each block
 * @hash: number of the hash, from Staged on
 * @primary: of a Duplicate
 * @rank: of an Inactive block: those of the lowest go first, by age; not in
 *	stores that go by lineage
 * @reset: of each block: its last release resets it
 * @writers: write pins on each block
 * @aux: what was last staged with each block
 * @free: reset pool, in order
 * @nr_free: its length
 * @cached: inactive pool, in order of release
 * @nr_cached: its length
 * @lineage: the same, for stores that go by it
 * @c: counters; gauges are computed
 */
struct model {
	struct kvbm_store_config config;
	u8 state[MAX_BLOCKS];
	u64 refs[MAX_BLOCKS];
	u32 gen[MAX_BLOCKS];
	u32 hash[MAX_BLOCKS];
	u32 primary[MAX_BLOCKS];
	u32 rank[MAX_BLOCKS];
	bool reset[MAX_BLOCKS];
	u32 writers[MAX_BLOCKS];
	u64 aux[MAX_BLOCKS];
	u32 free[MAX_BLOCKS];
	u32 nr_free;
	u32 cached[MAX_BLOCKS];
	u32 nr_cached;
	struct lineage_model lineage;
	struct kvbm_counters c;
};

/**
 * struct session - a session, and the model of what it holds
 * @holder: of the engine
 * @s: number of the store
 * @count: guards on each block
 * @order: blocks held, in the order in which they were taken first
 * @nr_order: their number
 */
struct session {
	struct kvbm_holder holder;
	u32 s;
	u64 count[MAX_BLOCKS];
	u32 order[MAX_BLOCKS];
	u32 nr_order;
};

/**
 * struct pin - a pin, and the model of it
 * @pinned: of the engine
 * @s: number of the store
 * @n: blocks; 0: it is not open
 * @id: of each
 */
struct pin {
	struct kvbm_pinned pinned;
	u32 s;
	u32 n;
	u32 id[MAX_BLOCKS];
};

static struct kvbm_registry *registry;
static struct kvbm_store *stores[NR_STORES];
static struct model models[NR_STORES];
static struct session sessions[NR_HOLDERS];
static struct pin pins[NR_PINS];
/* Of this episode; each but the roots is the child of another one. */
static struct kvbm_hash hashes[MAX_HASHES];
static u32 nr_hashes;
static u64 first_seed;
static u64 seed;
static u64 steps_done;

static u32 random_below(u32 n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (u32)(seed >> 33) % n;
}

static bool one_in(u32 n)
{
	return !random_below(n);
}

/* Lists as arrays. */

static void list_remove(u32 *list, u32 *n, u32 id)
{
	u32 i = 0;

	while (list[i] != id)
		i++;
	memmove(list + i, list + i + 1, (--*n - i) * sizeof(*list));
}

static void list_add(u32 *list, u32 *n, u32 id)
{
	list[(*n)++] = id;
}

/* The model of a store. */

static bool by_lineage(const struct model *m)
{
	return m->config.policy == KVBM_POLICY_LINEAGE_TICK ||
	       m->config.policy == KVBM_POLICY_LINEAGE_FIFO;
}

/* Of a block that is released now. */
static u32 rank_of(const struct model *m, u32 id, bool finished)
{
	u32 uses, level = 0;

	if (m->config.policy == KVBM_POLICY_LRU)
		return !finished;
	if (m->config.policy != KVBM_POLICY_MULTI_LRU)
		return 0;
	/* What the engine saw: no call uses a hash and then releases a block. */
	uses = kvbm_registry_frequency(registry, &hashes[m->hash[id]]);
	while (level < LEVELS - 1 && uses >= m->config.policy_args[level])
		level++;
	return level;
}

static void cache_add(struct model *m, u32 id, bool finished)
{
	list_add(m->cached, &m->nr_cached, id);
	m->rank[id] = rank_of(m, id, finished);
	if (by_lineage(m))
		model_insert(&m->lineage, id, &hashes[m->hash[id]], finished);
}

static void cache_remove(struct model *m, u32 id)
{
	list_remove(m->cached, &m->nr_cached, id);
	if (by_lineage(m))
		model_remove(&m->lineage, &hashes[m->hash[id]]);
}

static u32 victim(const struct model *m)
{
	u32 i, best = 0;

	if (by_lineage(m))
		return model_next(&m->lineage);
	for (i = 1; i < m->nr_cached; i++)
		if (m->rank[m->cached[i]] < m->rank[m->cached[best]])
			best = i;
	return m->cached[best];
}

static u32 find_hash(const struct model *m, u32 hash)
{
	u32 id;

	for (id = 0; id < m->config.block_count; id++)
		if ((m->state[id] == KVBM_STATE_PRIMARY ||
		     m->state[id] == KVBM_STATE_INACTIVE) && m->hash[id] == hash)
			return id;
	return KVBM_NIL;
}

static void model_reset(struct model *m, u32 id)
{
	m->state[id] = KVBM_STATE_RESET;
	m->refs[id] = 0;
	m->c.freed++;
	list_add(m->free, &m->nr_free, id);
}

static void model_ref(struct model *m, u32 id)
{
	if (m->state[id] == KVBM_STATE_INACTIVE) {
		cache_remove(m, id);
		m->state[id] = KVBM_STATE_PRIMARY;
	}
	m->refs[id]++;
}

static void model_unref(struct model *m, u32 id, u64 n, bool finished)
{
	m->refs[id] -= n;
	if (m->refs[id])
		return;
	if (m->state[id] == KVBM_STATE_PRIMARY && !m->reset[id]) {
		m->state[id] = KVBM_STATE_INACTIVE;
		m->c.freed++;
		cache_add(m, id, finished);
	} else if (m->state[id] == KVBM_STATE_DUPLICATE) {
		model_reset(m, id);
		model_unref(m, m->primary[id], 1, finished);
	} else {
		model_reset(m, id);
	}
}

static bool is_registered(const struct model *m, u32 id)
{
	return m->state[id] == KVBM_STATE_PRIMARY ||
	       m->state[id] == KVBM_STATE_DUPLICATE;
}

/* The sessions' part of the model. */

static void hold(struct session *s, u32 id)
{
	if (!s->count[id]++)
		list_add(s->order, &s->nr_order, id);
}

static void unhold(struct session *s, u32 id, u64 n)
{
	s->count[id] -= n;
	if (!s->count[id])
		list_remove(s->order, &s->nr_order, id);
}

static u64 guards_of(const struct session *s)
{
	u64 n = 0;
	u32 i;

	for (i = 0; i < s->nr_order; i++)
		n += s->count[s->order[i]];
	return n;
}

static struct kvbm_token token_of(const struct model *m, u32 id)
{
	return (struct kvbm_token){ id, m->gen[id] };
}

static void model_allocate(struct session *s, u32 n, struct kvbm_token *tokens,
			   u32 *evicted, u32 *nr_evicted)
{
	struct model *m = &models[s->s];
	u32 i, id;

	*nr_evicted = 0;
	for (i = 0; i < n; i++) {
		if (m->nr_free) {
			id = m->free[0];
			list_remove(m->free, &m->nr_free, id);
			m->c.allocations_from_reset++;
		} else {
			id = victim(m);
			cache_remove(m, id);
			evicted[(*nr_evicted)++] = m->hash[id];
			m->c.evictions++;
		}
		m->c.allocations++;
		m->state[id] = KVBM_STATE_MUTABLE;
		m->refs[id] = 1;
		m->reset[id] = m->config.reset_on_release;
		m->gen[id]++;
		if (!m->gen[id])
			m->gen[id] = 1;
		hold(s, id);
		tokens[i] = token_of(m, id);
	}
}

static void model_guard(struct session *s, u32 id)
{
	struct model *m = &models[s->s];

	model_ref(m, id);
	m->c.inflight_immutable++;
	hold(s, id);
}

static void model_release(struct session *s, u32 id, u64 n, bool finished)
{
	struct model *m = &models[s->s];

	if (is_registered(m, id))
		m->c.inflight_immutable -= n;
	unhold(s, id, n);
	model_unref(m, id, n, finished);
}

/* What a batch of tokens should be answered with. */
static int model_check_tokens(const struct session *s, const struct kvbm_token *t,
			      u32 n, u32 states, u32 *failed)
{
	const struct model *m = &models[s->s];
	u64 used[MAX_BLOCKS] = { 0 };
	u32 i, id;

	for (i = 0; i < n; i++) {
		id = t[i].id;
		*failed = i;
		if (id >= m->config.block_count)
			return -ENXIO;
		if (t[i].gen != m->gen[id])
			return -ESTALE;
		if (used[id] == s->count[id])
			return -ENXIO;
		if (!(states & 1U << m->state[id]))
			return -EBADFD;
		used[id]++;
	}
	return 0;
}

/* The same for a registration: what is written to is not shown. */
static int model_check_writers(const struct session *s, const struct kvbm_token *t,
			       u32 n, u32 states, u32 *failed)
{
	const struct model *m = &models[s->s];
	int err = model_check_tokens(s, t, n, states, failed);
	u32 i;

	for (i = 0; !err && i < n; i++) {
		if (m->writers[t[i].id]) {
			*failed = i;
			err = -EBUSY;
		}
	}
	return err;
}

/* Comparison. */

static bool is_reserved(const struct model *m, u32 id)
{
	return id < m->config.nr_reserved;
}

static bool has_hash(const struct model *m, u32 id)
{
	return m->state[id] != KVBM_STATE_RESET && m->state[id] != KVBM_STATE_MUTABLE;
}

static void compare_dump(struct kvbm_store *store, const struct model *m)
{
	static struct kvbm_slot_info slots[MAX_BLOCKS];
	u32 id, flags;

	ASSERT_EQ(kvbm_store_dump(store, 0, MAX_BLOCKS, slots), m->config.block_count);
	for (id = 0; id < m->config.block_count; id++) {
		const struct kvbm_slot_info *slot = &slots[id];

		ASSERT_EQ(slot->token.id, id);
		ASSERT_EQ(slot->token.gen, m->gen[id]);
		ASSERT_EQ(slot->state, m->state[id]);
		ASSERT_EQ(slot->refs, m->refs[id]);
		flags = m->reset[id] ? KVBM_SLOT_INFO_RESET_ON_RELEASE : 0;
		if (m->writers[id])
			flags |= KVBM_SLOT_INFO_WRITE_PINNED;
		if (is_reserved(m, id))
			flags = KVBM_SLOT_INFO_RESERVED;
		ASSERT_EQ(slot->flags, flags);
		ASSERT(kvbm_hash_equal(&slot->hash, has_hash(m, id) ?
				       &hashes[m->hash[id]] :
				       &(struct kvbm_hash){ 0 }));
	}
}

/* A list for each rank, linked in the order of release. */
static void compare_lists(const struct kvbm_store *store, const struct model *m)
{
	u32 rank, i, at, id;

	for (rank = 0; rank < LEVELS && !by_lineage(m); rank++) {
		at = KVBM_NIL;
		for (i = 0; i < m->nr_cached; i++) {
			id = m->cached[i];
			if (m->rank[id] != rank)
				continue;
			ASSERT_EQ(store->slots[id].prev, at);
			at = id;
		}
		if (at != KVBM_NIL)
			ASSERT_EQ(store->slots[at].next, KVBM_NIL);
	}
}

static void compare_store(u32 number)
{
	struct kvbm_store *store = stores[number];
	const struct model *m = &models[number];
	struct kvbm_counters c = counters_of(store), want = m->c;
	u32 id, i, at;

	for (id = 0; id < m->config.block_count; id++) {
		const struct kvbm_slot *slot = &store->slots[id];

		ASSERT_EQ(slot->state, m->state[id]);
		ASSERT_EQ(slot->refs, m->refs[id]);
		ASSERT_EQ(slot->gen, m->gen[id]);
		ASSERT_EQ(kvbm_slot_writers(slot), m->writers[id]);
		if (m->state[id] == KVBM_STATE_DUPLICATE)
			ASSERT_EQ(slot->primary, m->primary[id]);
		if (m->config.aux_size)
			ASSERT(!memcmp(kvbm_store_aux(store, id), &m->aux[id], AUX));
		if (!is_reserved(m, id))
			want.states[m->state[id]]++;
	}
	compare_dump(store, m);
	at = store->free.head;
	for (i = 0; i < m->nr_free; i++) {
		ASSERT_EQ(at, m->free[i]);
		at = store->slots[at].next;
	}
	ASSERT_EQ(at, KVBM_NIL);
	ASSERT_EQ(store->evictor->count, m->nr_cached);
	compare_lists(store, m);
	if (m->nr_cached)
		ASSERT_EQ(store->evictor->ops->next(store->evictor), victim(m));

	want.inflight_mutable = want.states[KVBM_STATE_MUTABLE];
	want.reset_pool_size = m->nr_free;
	want.inactive_pool_size = m->nr_cached;
	want.change = c.change;
	/* These go by clocks and by chance; regret_test looks at them. */
	want.wait_total_ns = c.wait_total_ns;
	want.reclaim_total_ns = c.reclaim_total_ns;
	want.regret_sample = c.regret_sample;
	want.regret_evictions = c.regret_evictions;
	want.regrets = c.regrets;
	want.regret_total_ns = c.regret_total_ns;
	ASSERT_EQ(memcmp(&c, &want, sizeof(c)), 0);
	ASSERT_EQ(store->promised, 0);
	expect_sound(store);
}

static void compare_session(struct session *s)
{
	const struct model *m = &models[s->s];
	static struct kvbm_held held[MAX_BLOCKS];
	u32 n, total, i, id;

	ASSERT_EQ(s->holder.used, s->nr_order);
	ASSERT_EQ(s->holder.guards, guards_of(s));
	ASSERT_EQ(kvbm_holder_list(&s->holder, 0, MAX_BLOCKS, held, &n, &total), 0);
	ASSERT_EQ(n, s->nr_order);
	ASSERT_EQ(total, s->nr_order);
	for (i = 0; i < n; i++) {
		id = s->order[i];
		ASSERT_EQ(held[i].token.id, id);
		ASSERT_EQ(held[i].token.gen, m->gen[id]);
		ASSERT_EQ(held[i].guards, s->count[id]);
		ASSERT_EQ(held[i].state, m->state[id]);
		ASSERT(kvbm_hash_equal(&held[i].hash, has_hash(m, id) ?
				       &hashes[m->hash[id]] :
				       &(struct kvbm_hash){ 0 }));
	}
}

static void compare_all(void)
{
	u32 i, h, present, entries = 0;
	u64 mask;

	for (i = 0; i < NR_STORES; i++)
		compare_store(i);
	for (i = 0; i < NR_HOLDERS; i++)
		compare_session(&sessions[i]);
	for (h = 0; h < nr_hashes; h++) {
		mask = kvbm_registry_presence(registry, &hashes[h]);
		present = 0;
		for (i = 0; i < NR_STORES; i++) {
			bool here = find_hash(&models[i], h) != KVBM_NIL;

			ASSERT_EQ(mask >> stores[i]->share.bit & 1, here);
			present += here;
		}
		ASSERT_EQ(__builtin_popcountll(mask), present);
		entries += !!present;
	}
	ASSERT_EQ(kvbm_registry_entries(registry), entries);
	ASSERT(!tap_failures);
}

static void compare_tokens(const struct kvbm_token *a, const struct kvbm_token *b,
			   u32 n)
{
	u32 i;

	for (i = 0; i < n; i++) {
		ASSERT_EQ(a[i].id, b[i].id);
		ASSERT_EQ(a[i].gen, b[i].gen);
	}
}

static void compare_evicted(const struct kvbm_hash *a, const u32 *b, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		ASSERT(kvbm_hash_equal(&a[i], &hashes[b[i]]));
}

/* The calls, with random arguments. */

static u32 random_count(const struct model *m)
{
	if (one_in(8))
		return random_below(m->config.block_count + 3);
	return random_below(min(m->config.block_count, 8) + 1);
}

/* Numbers of hashes: a run of neighbours, sometimes something else between. */
static u32 random_hashes(u32 max, u32 *numbers, struct kvbm_hash *out)
{
	u32 n = random_below(min(max, 12) + 1), i, at = random_below(nr_hashes);

	if (max > KVBM_CHUNK && one_in(4))
		n = max;
	for (i = 0; i < n; i++) {
		if (one_in(8))
			at = random_below(nr_hashes);
		numbers[i] = at++ % nr_hashes;
		out[i] = hashes[numbers[i]];
	}
	return n;
}

static void swap_tokens(struct kvbm_token *a, struct kvbm_token *b)
{
	struct kvbm_token t = *a;

	*a = *b;
	*b = t;
}

/* Tokens: mostly held and in the wanted state, sometimes anything. */
static u32 random_tokens(const struct session *s, u32 states, struct kvbm_token *t)
{
	const struct model *m = &models[s->s];
	u32 n = 0, i, id, want = random_count(m);
	bool wild = one_in(6);

	for (i = 0; i < 4 * want && n < want && s->nr_order; i++) {
		id = s->order[random_below(s->nr_order)];
		if (!(states & 1U << m->state[id]) && !(wild && one_in(4)))
			continue;
		if (!wild) {
			/* Not more often than it is held. */
			u64 used = 0;
			u32 j;

			for (j = 0; j < n; j++)
				used += t[j].id == id;
			if (used == s->count[id])
				continue;
		}
		t[n++] = token_of(m, id);
	}
	if (wild && one_in(2) && n < MAX_BATCH) {
		id = random_below(m->config.block_count + 1);
		t[n] = (struct kvbm_token){ id, id < m->config.block_count ?
					    m->gen[id] - random_below(2) : 5 };
		swap_tokens(&t[n], &t[random_below(n + 1)]);
		n++;
	}
	return n;
}

static bool fits(const struct model *m, u32 n)
{
	return n <= m->nr_free + m->nr_cached;
}

static void do_allocate(struct session *s)
{
	struct model *m = &models[s->s];
	u32 n = random_count(m), evicted[MAX_BATCH], nr_evicted;
	struct kvbm_token t[MAX_BATCH], want[MAX_BATCH];
	struct kvbm_hash got[MAX_BATCH];
	struct kvbm_allocation a = { .count = n, .tokens = t,
				     .evicted = one_in(4) ? NULL : got };
	int err = kvbm_holder_allocate(&s->holder, &a);

	if (!fits(m, n)) {
		ASSERT_EQ(err, -ENOSPC);
		m->c.allocation_failures++;
		return;
	}
	ASSERT_EQ(err, 0);
	model_allocate(s, n, want, evicted, &nr_evicted);
	compare_tokens(t, want, n);
	ASSERT_EQ(a.nr_evicted, nr_evicted);
	if (a.evicted)
		compare_evicted(got, evicted, nr_evicted);
}

static void do_acquire(struct session *s)
{
	struct model *m = &models[s->s];
	u32 n = random_count(m), nr_wanted, numbers[MAX_BATCH], matched = 0, got_matched;
	u32 evicted[MAX_BATCH], nr_evicted, i, id, cached = 0;
	struct kvbm_token t[MAX_BATCH], want[MAX_BATCH];
	struct kvbm_hash wanted[MAX_BATCH], got[MAX_BATCH];
	struct kvbm_allocation a = { .count = n, .tokens = t, .evicted = got };
	bool counted[MAX_BLOCKS] = { 0 };
	int err;

	nr_wanted = random_hashes(n, numbers, wanted);
	err = kvbm_holder_acquire(&s->holder, wanted, nr_wanted, &a, &got_matched);

	for (; matched < nr_wanted; matched++) {
		id = find_hash(m, numbers[matched]);
		if (id == KVBM_NIL)
			break;
		cached += m->state[id] == KVBM_STATE_INACTIVE && !counted[id];
		counted[id] = true;
		want[matched].id = id;
	}
	if (!fits(m, n - matched + cached)) {
		ASSERT_EQ(err, -ENOSPC);
		m->c.allocation_failures++;
		/* Beyond a chunk, matched blocks were held for a moment. */
		if (n > KVBM_CHUNK) {
			for (i = 0; i < matched; i++)
				model_guard(s, want[i].id);
			for (i = matched; i--; )
				model_release(s, want[i].id, 1, false);
		}
		return;
	}
	ASSERT_EQ(err, 0);
	ASSERT_EQ(got_matched, matched);
	for (i = 0; i < matched; i++) {
		model_guard(s, want[i].id);
		want[i].gen = m->gen[want[i].id];
	}
	model_allocate(s, n - matched, want + matched, evicted, &nr_evicted);
	compare_tokens(t, want, n);
	ASSERT_EQ(a.nr_evicted, nr_evicted);
	compare_evicted(got, evicted, nr_evicted);
	m->c.match_hashes_requested += nr_wanted;
	m->c.match_blocks_returned += matched;
}

static void do_match(struct session *s)
{
	u32 numbers[MAX_BATCH], n, got, i, id;
	struct model *m = &models[s->s];
	struct kvbm_hash wanted[MAX_BATCH];
	struct kvbm_token t[MAX_BATCH];

	n = random_hashes(MAX_BATCH, numbers, wanted);
	ASSERT_EQ(kvbm_holder_match(&s->holder, wanted, n, KVBM_LOOKUP_PREFIX, t, &got), 0);
	for (i = 0; i < n; i++) {
		id = find_hash(m, numbers[i]);
		if (id == KVBM_NIL)
			break;
		model_guard(s, id);
		ASSERT_EQ(t[i].id, id);
		ASSERT_EQ(t[i].gen, m->gen[id]);
	}
	ASSERT_EQ(got, i);
	m->c.match_hashes_requested += n;
	m->c.match_blocks_returned += i;
}

/* A guard on @id, or none, is what the engine must have given. */
static void expect_guard(struct session *s, struct kvbm_token got, u32 id)
{
	struct kvbm_token none = { 0 }, want;

	if (id == KVBM_NIL) {
		compare_tokens(&got, &none, 1);
		return;
	}
	model_guard(s, id);
	want = token_of(&models[s->s], id);
	compare_tokens(&got, &want, 1);
}

static void do_scattered(struct session *s, enum kvbm_match_mode mode)
{
	bool scan = mode != KVBM_LOOKUP_SCATTERED;
	u32 numbers[MAX_BATCH], n, got, i, id, hits = 0;
	struct model *m = &models[s->s];
	struct kvbm_hash wanted[MAX_BATCH];
	struct kvbm_token t[MAX_BATCH];
	bool found[MAX_BLOCKS] = { 0 };

	n = random_hashes(MAX_BATCH, numbers, wanted);
	ASSERT_EQ(kvbm_holder_match(&s->holder, wanted, n, mode, t, &got), 0);
	for (i = 0; i < n; i++) {
		id = find_hash(m, numbers[i]);
		if (id != KVBM_NIL && scan && found[id])
			id = KVBM_NIL;
		if (id != KVBM_NIL) {
			found[id] = true;
			hits++;
		}
		expect_guard(s, t[i], id);
	}
	ASSERT_EQ(got, hits);
	if (scan) {
		m->c.scan_hashes_requested += n;
		m->c.scan_blocks_returned += hits;
	} else {
		m->c.match_hashes_requested += n;
		m->c.match_blocks_returned += hits;
	}
}

static void do_probe(struct session *s)
{
	u32 numbers[MAX_BATCH], n, got, i = 0;
	struct model *m = &models[s->s];
	struct kvbm_hash wanted[MAX_BATCH];

	n = random_hashes(MAX_BATCH, numbers, wanted);
	ASSERT_EQ(kvbm_store_probe(stores[s->s], wanted, n, &got), 0);
	while (i < n && find_hash(m, numbers[i]) != KVBM_NIL)
		i++;
	ASSERT_EQ(got, i);
}

/* Tokens of any time: of now, of before, of nothing. */
static void do_upgrade(struct session *s)
{
	u32 numbers[MAX_BATCH], n, got, i, id, hits = 0;
	struct model *m = &models[s->s];
	struct kvbm_hash wanted[MAX_BATCH];
	struct kvbm_token t[MAX_BATCH], given[MAX_BATCH];

	n = random_hashes(MAX_BATCH, numbers, wanted);
	for (i = 0; i < n; i++) {
		id = random_below(m->config.block_count + 1);
		t[i] = (struct kvbm_token){ id, 7 };
		if (id == m->config.block_count)
			continue;
		t[i].gen = m->gen[id] - one_in(4);
		/* Mostly with its own hash. */
		if (has_hash(m, id) && !one_in(4)) {
			numbers[i] = m->hash[id];
			wanted[i] = hashes[numbers[i]];
		}
	}
	memcpy(given, t, sizeof(t));
	ASSERT_EQ(kvbm_holder_upgrade(&s->holder, wanted, t, n, &got), 0);
	for (i = 0; i < n; i++) {
		id = given[i].id;
		if (id >= m->config.block_count || given[i].gen != m->gen[id] ||
		    !is_registered(m, id) || m->hash[id] != numbers[i])
			id = find_hash(m, numbers[i]);
		hits += id != KVBM_NIL;
		expect_guard(s, t[i], id);
	}
	ASSERT_EQ(got, hits);
}

static u32 count_held(const struct model *m)
{
	u32 id, n = 0;

	for (id = 0; id < m->config.block_count; id++)
		n += m->state[id] != KVBM_STATE_RESET &&
		     m->state[id] != KVBM_STATE_INACTIVE;
	return n;
}

static void do_drain(struct session *s)
{
	struct model *m = &models[s->s];
	u32 drained, in_use, id;

	ASSERT_EQ(kvbm_holder_drain(&s->holder, &drained, &in_use), 0);
	ASSERT_EQ(drained, m->nr_cached);
	ASSERT_EQ(in_use, count_held(m));
	while (m->nr_cached) {
		id = victim(m);
		cache_remove(m, id);
		list_add(m->free, &m->nr_free, id);
		m->state[id] = KVBM_STATE_RESET;
	}
}

static void model_stage(struct session *s, const struct kvbm_token *t,
			const u32 *numbers, const u64 *aux, u32 n)
{
	struct model *m = &models[s->s];
	u32 i;

	for (i = 0; i < n; i++) {
		m->state[t[i].id] = KVBM_STATE_STAGED;
		m->hash[t[i].id] = numbers[i];
		m->aux[t[i].id] = aux ? aux[i] : 0;
	}
	m->c.stagings += n;
}

/* Something to keep with @n blocks, or NULL. */
static const u64 *random_aux(const struct session *s, u64 *aux, u32 n)
{
	u32 i;

	if (!models[s->s].config.aux_size || one_in(4))
		return NULL;
	for (i = 0; i < n; i++)
		aux[i] = (u64)random_below(1U << 31) << 32 | i;
	return aux;
}

/* Changes the tokens into those that come back. */
static void model_register(struct session *s, struct kvbm_token *t, u8 *kinds, u32 n)
{
	struct model *m = &models[s->s];
	u32 i, id, present;

	for (i = 0; i < n; i++) {
		id = t[i].id;
		present = find_hash(m, m->hash[id]);
		m->c.inflight_immutable++;
		if (present == KVBM_NIL) {
			m->state[id] = KVBM_STATE_PRIMARY;
			kinds[i] = KVBM_REGISTERED_NEW;
			continue;
		}
		model_ref(m, present);
		if (m->config.duplication == KVBM_DUP_ALLOW) {
			m->state[id] = KVBM_STATE_DUPLICATE;
			m->primary[id] = present;
			m->c.duplicate_blocks++;
			kinds[i] = KVBM_REGISTERED_DUPLICATE;
			continue;
		}
		model_reset(m, id);
		unhold(s, id, 1);
		hold(s, present);
		t[i] = token_of(m, present);
		m->c.registration_dedup++;
		kinds[i] = KVBM_REGISTERED_EXISTING;
	}
	m->c.registrations += n;
}

/* Hash numbers for @n blocks. */
static void numbers_for(u32 n, u32 *numbers, struct kvbm_hash *out)
{
	u32 i, at = random_below(nr_hashes);

	for (i = 0; i < n; i++) {
		if (one_in(6))
			at = random_below(nr_hashes);
		numbers[i] = at++ % nr_hashes;
		out[i] = hashes[numbers[i]];
	}
}

static void do_stage(struct session *s)
{
	u32 n, numbers[MAX_BATCH], failed = 0, want_failed = 0;
	struct kvbm_hash wanted[MAX_BATCH];
	struct kvbm_token t[MAX_BATCH];
	u64 space[MAX_BATCH];
	const u64 *aux;
	int err, want;

	n = random_tokens(s, 1U << KVBM_STATE_MUTABLE, t);
	numbers_for(n, numbers, wanted);
	aux = random_aux(s, space, n);
	err = kvbm_holder_stage(&s->holder, t, wanted, aux, n, BLOCK_SIZE, &failed);
	want = model_check_tokens(s, t, n, 1U << KVBM_STATE_MUTABLE, &want_failed);
	ASSERT_EQ(err, want);
	if (err)
		ASSERT_EQ(failed, want_failed);
	else
		model_stage(s, t, numbers, aux, n);
}

static void do_unstage(struct session *s)
{
	u32 n, i, failed = 0, want_failed = 0;
	struct model *m = &models[s->s];
	struct kvbm_token t[MAX_BATCH];
	int err, want;

	n = random_tokens(s, 1U << KVBM_STATE_STAGED, t);
	want = model_check_tokens(s, t, n, 1U << KVBM_STATE_STAGED, &want_failed);
	err = kvbm_holder_unstage(&s->holder, t, n, &failed);
	ASSERT_EQ(err, want);
	if (err) {
		ASSERT_EQ(failed, want_failed);
		return;
	}
	for (i = 0; i < n; i++) {
		m->state[t[i].id] = KVBM_STATE_MUTABLE;
		m->reset[t[i].id] = m->config.reset_on_release;
	}
}

#define REGISTERED	(1U << KVBM_STATE_PRIMARY | 1U << KVBM_STATE_DUPLICATE)

static void do_clone(struct session *s)
{
	u32 n, i, failed = 0, want_failed = 0;
	struct kvbm_token t[MAX_BATCH];
	int err, want;

	n = random_tokens(s, REGISTERED, t);
	want = model_check_tokens(s, t, n, REGISTERED, &want_failed);
	err = kvbm_holder_clone(&s->holder, t, n, &failed);
	ASSERT_EQ(err, want);
	if (err) {
		ASSERT_EQ(failed, want_failed);
		return;
	}
	for (i = 0; i < n; i++)
		model_guard(s, t[i].id);
}

static void do_set_reset(struct session *s)
{
	u32 n, i, failed = 0, want_failed = 0, states;
	struct model *m = &models[s->s];
	struct kvbm_token t[MAX_BATCH];
	bool reset = one_in(2);
	int err, want;

	states = REGISTERED | 1U << KVBM_STATE_STAGED;
	n = random_tokens(s, states, t);
	want = model_check_tokens(s, t, n, states, &want_failed);
	err = kvbm_holder_set_reset(&s->holder, t, n, reset, &failed);
	ASSERT_EQ(err, want);
	if (err) {
		ASSERT_EQ(failed, want_failed);
		return;
	}
	for (i = 0; i < n; i++)
		m->reset[t[i].id] = reset;
}

static void do_register(struct session *s)
{
	u8 kinds[MAX_BATCH], want_kinds[MAX_BATCH];
	struct kvbm_token t[MAX_BATCH], wanted[MAX_BATCH];
	u32 n, failed = 0, want_failed = 0;
	int err, want;

	n = random_tokens(s, 1U << KVBM_STATE_STAGED, t);
	memcpy(wanted, t, sizeof(t));
	want = model_check_writers(s, t, n, 1U << KVBM_STATE_STAGED, &want_failed);
	err = kvbm_holder_register(&s->holder, t, kinds, n, &failed);
	ASSERT_EQ(err, want);
	if (err) {
		ASSERT_EQ(failed, want_failed);
	} else {
		model_register(s, wanted, want_kinds, n);
		ASSERT_EQ(memcmp(kinds, want_kinds, n), 0);
	}
	compare_tokens(t, wanted, n);
}

static void do_stage_register(struct session *s)
{
	struct model *m = &models[s->s];
	u32 n, numbers[MAX_BATCH], failed = 0, want_failed = 0, allocated;
	u32 more = random_count(m), evicted[MAX_BATCH], nr_evicted;
	struct kvbm_token t[MAX_BATCH], wanted[MAX_BATCH], fresh[MAX_BATCH];
	struct kvbm_hash hash[MAX_BATCH], got[MAX_BATCH];
	struct kvbm_allocation next = { .count = more, .tokens = fresh, .evicted = got };
	u8 kinds[MAX_BATCH], want_kinds[MAX_BATCH];
	u64 space[MAX_BATCH];
	const u64 *aux;
	int err, want;

	n = random_tokens(s, 1U << KVBM_STATE_MUTABLE, t);
	memcpy(wanted, t, sizeof(t));
	numbers_for(n, numbers, hash);
	aux = random_aux(s, space, n);
	want = model_check_writers(s, t, n, 1U << KVBM_STATE_MUTABLE, &want_failed);
	err = kvbm_holder_stage_register(&s->holder, t, hash, aux, kinds, n, BLOCK_SIZE,
					 &next, &allocated, &failed);
	ASSERT_EQ(err, want);
	if (err) {
		ASSERT_EQ(failed, want_failed);
		ASSERT_EQ(allocated, 0);
		return;
	}
	/* As if one after the other: a hash may be twice in the batch. */
	model_stage(s, wanted, numbers, aux, n);
	model_register(s, wanted, want_kinds, n);
	compare_tokens(t, wanted, n);
	ASSERT_EQ(memcmp(kinds, want_kinds, n), 0);
	if (more && !fits(m, more)) {
		ASSERT_EQ(allocated, 0);
		m->c.allocation_failures++;
		return;
	}
	ASSERT_EQ(allocated, more);
	model_allocate(s, more, wanted, evicted, &nr_evicted);
	compare_tokens(fresh, wanted, more);
	ASSERT_EQ(next.nr_evicted, nr_evicted);
	compare_evicted(got, evicted, nr_evicted);
}

static void do_release(struct session *s)
{
	struct kvbm_release_hint hint = { .kind = random_below(4) };
	struct kvbm_token t[MAX_BATCH];
	u32 n, i, failed = 0, want_failed = 0;
	int err, want;

	n = random_tokens(s, (1U << KVBM_NR_STATES) - 1, t);
	want = model_check_tokens(s, t, n, (1U << KVBM_NR_STATES) - 1, &want_failed);
	err = kvbm_holder_release(&s->holder, t, n, hint, &failed);
	ASSERT_EQ(err, want);
	if (err) {
		ASSERT_EQ(failed, want_failed);
		return;
	}
	for (i = 0; i < n; i++)
		model_release(s, t[i].id, 1, hint.kind == KVBM_HINT_FINISHED);
}

static void do_pin(struct session *s)
{
	struct model *m = &models[s->s];
	u32 n, i, j, failed = 0, want_failed = 0;
	bool write = one_in(2);
	u32 states = write ? 1U << KVBM_STATE_MUTABLE : REGISTERED;
	struct pin *pin = &pins[random_below(NR_PINS)];
	struct kvbm_token t[MAX_BATCH];
	int err, want;

	if (pin->n)
		return;
	n = random_tokens(s, states, t);
	if (!n)
		return;
	want = model_check_tokens(s, t, n, states, &want_failed);
	for (i = 0; !want && i < n; i++) {
		for (j = 0; j < i; j++) {
			if (t[j].id != t[i].id)
				continue;
			want = -EINVAL;
			want_failed = i;
			break;
		}
	}
	err = kvbm_holder_pin(&s->holder, t, n, write, &pin->pinned, &failed);
	ASSERT_EQ(err, want);
	if (err) {
		ASSERT_EQ(failed, want_failed);
		return;
	}
	pin->s = s->s;
	pin->n = n;
	for (i = 0; i < n; i++) {
		pin->id[i] = t[i].id;
		ASSERT_EQ(pin->pinned.blocks[i].token.id, t[i].id);
		ASSERT_EQ(pin->pinned.blocks[i].state, m->state[t[i].id]);
		m->refs[t[i].id]++;
		m->writers[t[i].id] += write;
	}
}

static void do_unpin(struct pin *pin)
{
	struct model *m = &models[pin->s];
	bool write = pin->pinned.write;

	if (!pin->n)
		return;
	kvbm_pinned_release(&pin->pinned);
	while (pin->n) {
		m->writers[pin->id[--pin->n]] -= write;
		model_unref(m, pin->id[pin->n], 1, false);
	}
}

static void do_end(struct session *s)
{
	struct model *m = &models[s->s];
	struct kvbm_reclaim reclaim, want = { 0 };
	u32 id;

	kvbm_holder_release_all(&s->holder, true, &reclaim);
	kvbm_holder_destroy(&s->holder);
	while (s->nr_order) {
		id = s->order[s->nr_order - 1];
		if (m->state[id] == KVBM_STATE_MUTABLE)
			want.mutable++;
		else if (m->state[id] == KVBM_STATE_STAGED)
			want.staged++;
		else
			want.immutable += s->count[id];
		model_release(s, id, s->count[id], false);
	}
	ASSERT_EQ(reclaim.mutable, want.mutable);
	ASSERT_EQ(reclaim.staged, want.staged);
	ASSERT_EQ(reclaim.immutable, want.immutable);
	kvbm_holder_init(&s->holder, stores[s->s]);
}

static void step(void)
{
	struct session *s = &sessions[random_below(NR_HOLDERS)];

	switch (random_below(22)) {
	case 0:
	case 1:
		do_allocate(s);
		break;
	case 2:
	case 3:
		do_acquire(s);
		break;
	case 4:
		do_match(s);
		break;
	case 5:
	case 6:
		do_stage(s);
		break;
	case 7:
	case 8:
		do_register(s);
		break;
	case 9:
	case 10:
		do_stage_register(s);
		break;
	case 11:
		if (one_in(16))
			do_end(s);
		else if (one_in(8))
			do_drain(s);
		else
			do_probe(s);
		break;
	case 12:
		do_unstage(s);
		break;
	case 13:
		do_scattered(s, KVBM_LOOKUP_SCATTERED + random_below(3));
		break;
	case 14:
		if (one_in(2))
			do_clone(s);
		else
			do_upgrade(s);
		break;
	case 15:
		do_set_reset(s);
		break;
	case 16:
		do_pin(s);
		break;
	case 17:
		do_unpin(&pins[random_below(NR_PINS)]);
		break;
	default:
		do_release(s);
	}
}

static u64 sequence_hash(u32 n)
{
	return 0x9e3779b97f4a7c15ULL * (n + 1);
}

/*
 * A tree with long branches, at the start of sequences or where the width of the
 * position changes. There are fewer hashes than blocks in the smallest store:
 * ghosts do not run out, which the model does not know. A store of one block has
 * to do with one hash, and then that has no parent.
 */
static void make_hashes(u32 smallest)
{
	u32 depth[MAX_HASHES], i, parent, base = 0;

	nr_hashes = min(smallest, MAX_HASHES);
	if (nr_hashes > 8 && one_in(2)) {
		base = 250;
		/* They have a parent, too. */
		nr_hashes--;
	}
	for (i = 0; i < nr_hashes; i++) {
		parent = i - 1;
		if (i && one_in(6))
			parent = random_below(i);
		if (!i || one_in(16))
			parent = KVBM_NIL;
		depth[i] = parent == KVBM_NIL ? base : depth[parent] + 1;
		ASSERT_EQ(kvbm_plh(sequence_hash(i), parent == KVBM_NIL ?
				   base : sequence_hash(parent), depth[i],
				   &hashes[i]), 0);
	}
}

static void choose_policy(struct model *m, u32 policy)
{
	u32 *args = m->config.policy_args;

	if (policy == RANDOM)
		policy = KVBM_POLICY_FIFO + random_below(KVBM_POLICY_LINEAGE_FIFO);
	m->config.policy = policy;
	m->lineage.by_tick = policy == KVBM_POLICY_LINEAGE_TICK;
	if (policy != KVBM_POLICY_MULTI_LRU)
		return;
	args[0] = 1 + random_below(3);
	args[1] = args[0] + 1 + random_below(4);
	args[2] = args[1] + 1 + random_below(7);
}

/* A registry, its stores and sessions, and so many steps. */
static void episode(u32 steps, const u32 *sizes, u32 policy)
{
	u32 i, id;

	make_hashes(min(sizes[0], sizes[1]));
	ASSERT_EQ(kvbm_registry_alloc(sizes[0] + sizes[1], KVBM_SCHEMA_PLH,
				      &registry), 0);
	/* So small that it ages often. */
	ASSERT_EQ(kvbm_registry_add_sketch(registry, 1 + random_below(100)), 0);
	for (i = 0; i < NR_STORES; i++) {
		struct model *m = &models[i];

		memset(m, 0, sizeof(*m));
		m->config = config_of(sizes[i]);
		choose_policy(m, policy);
		m->config.duplication = random_below(2);
		m->config.reset_on_release = one_in(4);
		m->config.aux_size = one_in(2) ? AUX : 0;
		if (one_in(2))
			m->config.nr_reserved = random_below(min(sizes[i], 4));
		stores[i] = store_of(registry, m->config);
		for (id = 0; id < sizes[i]; id++) {
			m->gen[id] = stores[i]->slots[id].gen;
			if (!is_reserved(m, id))
				list_add(m->free, &m->nr_free, id);
		}
	}
	for (i = 0; i < NR_HOLDERS; i++) {
		memset(&sessions[i], 0, sizeof(sessions[i]));
		sessions[i].s = i % NR_STORES;
		kvbm_holder_init(&sessions[i].holder, stores[i % NR_STORES]);
	}
	while (steps--) {
		step();
		compare_all();
		steps_done++;
	}
	for (i = 0; i < NR_PINS; i++) {
		/* Before or after the sessions. */
		if (one_in(2))
			do_unpin(&pins[i]);
	}
	for (i = 0; i < NR_HOLDERS; i++) {
		do_end(&sessions[i]);
		kvbm_holder_destroy(&sessions[i].holder);
	}
	for (i = 0; i < NR_PINS; i++)
		do_unpin(&pins[i]);
	for (i = 0; i < NR_STORES; i++)
		kvbm_store_free(stores[i]);
	ASSERT_EQ(kvbm_registry_entries(registry), 0);
	kvbm_registry_free(registry);
}

static u64 from_env(const char *name, u64 otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static u64 steps_wanted(u64 otherwise)
{
	return from_env("STEPS", otherwise * kvbm_long());
}

static void run(u64 steps, u32 least, u32 most, u32 policy)
{
	/* The same for each test, so that one can be repeated by itself. */
	seed = first_seed;
	for (steps_done = 0; steps_done < steps; ) {
		u32 sizes[NR_STORES] = {
			least + random_below(most - least + 1),
			least + random_below(most - least + 1),
		};

		episode(400, sizes, policy);
		if (tap_failures)
			break;
	}
	printf("# %llu steps\n", (unsigned long long)steps_done);
}

static void tiny_stores(void)
{
	run(steps_wanted(200000), 1, 5, RANDOM);
}

static void small_stores(void)
{
	run(steps_wanted(200000), 8, 40, RANDOM);
}

/* Batches that take more than one hold of the lock. */
static void large_batches(void)
{
	run(steps_wanted(40000), KVBM_CHUNK + 20, MAX_BLOCKS, RANDOM);
}

static void fifo(void)
{
	run(steps_wanted(40000), 8, 60, KVBM_POLICY_FIFO);
}

static void lru(void)
{
	run(steps_wanted(40000), 8, 60, KVBM_POLICY_LRU);
}

static void multi_lru(void)
{
	run(steps_wanted(40000), 8, 60, KVBM_POLICY_MULTI_LRU);
}

static void lineage_tick(void)
{
	run(steps_wanted(40000), 8, 60, KVBM_POLICY_LINEAGE_TICK);
}

static void lineage_fifo(void)
{
	run(steps_wanted(40000), 8, 60, KVBM_POLICY_LINEAGE_FIFO);
}

static const struct tap_test tests[] = {
	TEST(tiny_stores),
	TEST(small_stores),
	TEST(large_batches),
	TEST(fifo),
	TEST(lru),
	TEST(multi_lru),
	TEST(lineage_tick),
	TEST(lineage_fifo),
};

int main(void)
{
	first_seed = from_env("SEED", time(NULL));
	printf("# SEED=%llu\n", (unsigned long long)first_seed);
	return tap_run(tests, ARRAY_SIZE(tests));
}
