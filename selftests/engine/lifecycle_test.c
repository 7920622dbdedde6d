// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The life of a block: every transition, what it counts, and who goes first.
 */
#include "fixture.h"

/* What @counters must have moved by since @before; 0 for all not named. */
#define EXPECT_MOVED(f, before, ...) do {				\
	struct kvbm_counters now_ = counters_of((f)->store);		\
	struct kvbm_counters by_ = { __VA_ARGS__ };			\
	expect_moved(&now_, &(before), &by_, __LINE__);			\
	(before) = now_;						\
} while (0)

/* The counters and gauges that kvbm-logical has; all of them are u64. */
#define NR_COMPARED (offsetof(struct kvbm_counters, states) / sizeof(u64))

static void expect_moved(const struct kvbm_counters *now,
			 const struct kvbm_counters *before,
			 const struct kvbm_counters *by, int line)
{
	const u64 *n = (const u64 *)now, *b = (const u64 *)before;
	const u64 *m = (const u64 *)by;
	u32 i;

	for (i = 0; i < NR_COMPARED; i++)
		if (n[i] - b[i] != m[i])
			tap_fail(__FILE__, line, "counter %u moved by %lld, not %lld",
				 i, (long long)(n[i] - b[i]), (long long)m[i]);
}

static void new_store(void)
{
	struct kvbm_counters zero = { 0 };
	struct fixture f;

	set_up(&f, 100);
	EXPECT_MOVED(&f, zero, .reset_pool_size = 100);
	EXPECT_EQ(f.store->counters.states[KVBM_STATE_RESET], 100);
	EXPECT_EQ(kvbm_store_config(f.store)->policy, KVBM_POLICY_LRU);
	EXPECT_EQ(kvbm_registry_blocks(f.registry), 100);
	EXPECT_EQ(kvbm_registry_entries(f.registry), 0);
	tear_down(&f);
}

static void allocate_in_order(void)
{
	struct kvbm_token t[10], again[10];
	struct kvbm_counters c;
	struct fixture f;
	u32 i;

	set_up(&f, 10);
	c = counters_of(f.store);
	ASSERT_EQ(take(&f.holder, 3, t), 0);
	EXPECT_MOVED(&f, c, .allocations = 3, .allocations_from_reset = 3,
		     .inflight_mutable = 3, .reset_pool_size = -3);
	ASSERT_EQ(take(&f.holder, 7, t + 3), 0);
	EXPECT_MOVED(&f, c, .allocations = 7, .allocations_from_reset = 7,
		     .inflight_mutable = 7, .reset_pool_size = -7);
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(t[i].id, i);
		EXPECT(t[i].gen);
		EXPECT_EQ(state_of(&f, i), KVBM_STATE_MUTABLE);
		EXPECT_EQ(refs_of(&f, i), 1);
	}
	EXPECT_EQ(f.holder.used, 10);
	EXPECT_EQ(f.holder.guards, 10);

	/* They come back to the end, in the order of their release. */
	ASSERT_EQ(give(&f.holder, 1, &t[7]), 0);
	ASSERT_EQ(give(&f.holder, 1, &t[2]), 0);
	ASSERT_EQ(give(&f.holder, 1, &t[5]), 0);
	EXPECT_MOVED(&f, c, .inflight_mutable = -3, .reset_pool_size = 3);
	EXPECT_EQ(state_of(&f, 7), KVBM_STATE_RESET);
	ASSERT_EQ(take(&f.holder, 3, again), 0);
	EXPECT_EQ(again[0].id, 7);
	EXPECT_EQ(again[1].id, 2);
	EXPECT_EQ(again[2].id, 5);
	tear_down(&f);
}

static void allocate_all_or_none(void)
{
	struct kvbm_token t[11];
	struct fixture f;
	struct dump *d;

	set_up(&f, 10);
	d = dump_of(&f);
	EXPECT_EQ(take(&f.holder, 11, t), -ENOSPC);
	EXPECT_EQ(f.store->counters.allocation_failures, 1);
	f.store->counters.allocation_failures = 0;
	EXPECT_UNCHANGED(&f, d);
	ASSERT_EQ(take(&f.holder, 10, t), 0);
	EXPECT_EQ(take(&f.holder, 1, t), -ENOSPC);
	tear_down(&f);
}

static void allocate_none(void)
{
	struct kvbm_allocation a = { .count = 0, .nr_evicted = 77 };
	struct fixture f;
	struct dump *d;

	set_up(&f, 10);
	d = dump_of(&f);
	EXPECT_EQ(kvbm_holder_allocate(&f.holder, &a), 0);
	EXPECT_EQ(a.nr_evicted, 0);
	EXPECT_UNCHANGED(&f, d);
	tear_down(&f);
}

static void stage_and_release(void)
{
	struct kvbm_counters c;
	struct kvbm_token t[2];
	struct fixture f;

	set_up(&f, 4);
	ASSERT_EQ(take(&f.holder, 2, t), 0);
	c = counters_of(f.store);
	EXPECT_EQ(stage(&f.holder, 0, 2, t), 0);
	EXPECT_MOVED(&f, c, .stagings = 2, .inflight_mutable = -2);
	EXPECT_EQ(state_of(&f, t[0].id), KVBM_STATE_STAGED);
	EXPECT_EQ(f.store->slots[t[0].id].gen, t[0].gen);
	/* Not registered, so not there for others. */
	EXPECT(!is_present(f.store, 0));
	EXPECT_EQ(give(&f.holder, 2, t), 0);
	EXPECT_MOVED(&f, c, .reset_pool_size = 2);
	EXPECT_EQ(state_of(&f, t[0].id), KVBM_STATE_RESET);
	EXPECT_EQ(f.holder.used, 0);
	tear_down(&f);
}

static void register_new(void)
{
	struct kvbm_counters c;
	struct kvbm_token t[2];
	struct fixture f;
	u8 kinds[2] = { 77, 77 };

	set_up(&f, 4);
	ASSERT_EQ(take(&f.holder, 2, t), 0);
	ASSERT_EQ(stage(&f.holder, 0, 2, t), 0);
	c = counters_of(f.store);
	EXPECT_EQ(reg(&f.holder, 2, t, kinds), 0);
	EXPECT_MOVED(&f, c, .registrations = 2, .inflight_immutable = 2);
	EXPECT_EQ(kinds[0], KVBM_REGISTERED_NEW);
	EXPECT_EQ(kinds[1], KVBM_REGISTERED_NEW);
	EXPECT_EQ(t[1].id, 1);
	EXPECT_EQ(state_of(&f, 1), KVBM_STATE_PRIMARY);
	EXPECT_EQ(kvbm_registry_entries(f.registry), 2);
	EXPECT(is_present(f.store, 0) && is_present(f.store, 1));
	expect_sound(f.store);

	/* The last release caches it; presence stays. */
	EXPECT_EQ(give(&f.holder, 1, &t[0]), 0);
	EXPECT_MOVED(&f, c, .inflight_immutable = -1, .inactive_pool_size = 1);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_INACTIVE);
	EXPECT(is_present(f.store, 0));
	tear_down(&f);
}

static void register_nothing(void)
{
	struct fixture f;
	struct dump *d;

	set_up(&f, 4);
	d = dump_of(&f);
	EXPECT_EQ(stage(&f.holder, 0, 0, NULL), 0);
	EXPECT_EQ(reg(&f.holder, 0, NULL, NULL), 0);
	EXPECT_EQ(give(&f.holder, 0, NULL), 0);
	EXPECT_UNCHANGED(&f, d);
	tear_down(&f);
}

static void register_duplicate(void)
{
	struct kvbm_token primary, dup;
	struct kvbm_counters c;
	struct fixture f;
	u8 kind;

	set_up(&f, 4);
	fill(&f.holder, 0, 1, &primary);
	ASSERT_EQ(take(&f.holder, 1, &dup), 0);
	ASSERT_EQ(stage(&f.holder, 0, 1, &dup), 0);
	c = counters_of(f.store);
	EXPECT_EQ(reg(&f.holder, 1, &dup, &kind), 0);
	EXPECT_MOVED(&f, c, .registrations = 1, .inflight_immutable = 1,
		     .duplicate_blocks = 1);
	EXPECT_EQ(kind, KVBM_REGISTERED_DUPLICATE);
	EXPECT(dup.id != primary.id);
	EXPECT_EQ(state_of(&f, dup.id), KVBM_STATE_DUPLICATE);
	EXPECT_EQ(refs_of(&f, primary.id), 2);
	EXPECT_EQ(kvbm_registry_entries(f.registry), 1);
	expect_sound(f.store);

	/* It keeps the Primary alive when nobody else does. */
	EXPECT_EQ(give(&f.holder, 1, &primary), 0);
	EXPECT_MOVED(&f, c, .inflight_immutable = -1);
	EXPECT_EQ(state_of(&f, primary.id), KVBM_STATE_PRIMARY);
	EXPECT_EQ(refs_of(&f, primary.id), 1);
	EXPECT(is_present(f.store, 0));
	expect_sound(f.store);

	/* Its end is the Primary's, too. The hash stays present. */
	EXPECT_EQ(give(&f.holder, 1, &dup), 0);
	EXPECT_MOVED(&f, c, .inflight_immutable = -1, .reset_pool_size = 1,
		     .inactive_pool_size = 1);
	EXPECT_EQ(state_of(&f, dup.id), KVBM_STATE_RESET);
	EXPECT_EQ(state_of(&f, primary.id), KVBM_STATE_INACTIVE);
	EXPECT(is_present(f.store, 0));
	tear_down(&f);
}

static void duplicate_goes_first(void)
{
	struct kvbm_token primary, dup;
	struct fixture f;

	set_up(&f, 4);
	fill(&f.holder, 0, 1, &primary);
	fill(&f.holder, 0, 1, &dup);
	EXPECT_EQ(give(&f.holder, 1, &dup), 0);
	EXPECT_EQ(state_of(&f, dup.id), KVBM_STATE_RESET);
	EXPECT_EQ(state_of(&f, primary.id), KVBM_STATE_PRIMARY);
	EXPECT_EQ(refs_of(&f, primary.id), 1);
	EXPECT(is_present(f.store, 0));
	EXPECT_EQ(give(&f.holder, 1, &primary), 0);
	EXPECT_EQ(state_of(&f, primary.id), KVBM_STATE_INACTIVE);
	tear_down(&f);
}

/* A registration that finds its hash Inactive takes it out of the pool. */
static void duplicate_of_inactive(void)
{
	struct kvbm_token dup;
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, 4);
	cache(&f.holder, 0, 1);
	ASSERT_EQ(take(&f.holder, 1, &dup), 0);
	ASSERT_EQ(stage(&f.holder, 0, 1, &dup), 0);
	c = counters_of(f.store);
	EXPECT_EQ(reg(&f.holder, 1, &dup, NULL), 0);
	EXPECT_MOVED(&f, c, .registrations = 1, .inflight_immutable = 1,
		     .duplicate_blocks = 1, .inactive_pool_size = -1);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_PRIMARY);
	EXPECT_EQ(refs_of(&f, 0), 1);
	tear_down(&f);
}

static struct kvbm_store_config reject_config(u32 n)
{
	struct kvbm_store_config config = config_of(n);

	config.duplication = KVBM_DUP_REJECT;
	return config;
}

static void register_reject(void)
{
	struct kvbm_token primary, t, next[3];
	struct kvbm_counters c;
	struct fixture f;
	u8 kind;

	set_up_with(&f, reject_config(4));
	fill(&f.holder, 0, 1, &primary);
	ASSERT_EQ(take(&f.holder, 1, &t), 0);
	ASSERT_EQ(stage(&f.holder, 0, 1, &t), 0);
	c = counters_of(f.store);
	EXPECT_EQ(reg(&f.holder, 1, &t, &kind), 0);
	EXPECT_MOVED(&f, c, .registrations = 1, .inflight_immutable = 1,
		     .registration_dedup = 1, .reset_pool_size = 1);
	EXPECT_EQ(kind, KVBM_REGISTERED_EXISTING);
	EXPECT_EQ(t.id, primary.id);
	EXPECT_EQ(t.gen, primary.gen);
	EXPECT_EQ(refs_of(&f, primary.id), 2);
	EXPECT_EQ(f.holder.used, 1);
	EXPECT_EQ(f.holder.guards, 2);

	/* The refused slot is free again, behind the others. */
	ASSERT_EQ(take(&f.holder, 3, next), 0);
	EXPECT_EQ(next[2].id, 1);
	EXPECT_EQ(give(&f.holder, 1, &t), 0);
	EXPECT_EQ(state_of(&f, primary.id), KVBM_STATE_PRIMARY);
	EXPECT_EQ(give(&f.holder, 1, &primary), 0);
	EXPECT_EQ(state_of(&f, primary.id), KVBM_STATE_INACTIVE);
	tear_down(&f);
}

static void reject_of_inactive(void)
{
	struct kvbm_counters c;
	struct kvbm_token t;
	struct fixture f;

	set_up_with(&f, reject_config(4));
	cache(&f.holder, 0, 1);
	ASSERT_EQ(take(&f.holder, 1, &t), 0);
	ASSERT_EQ(stage(&f.holder, 0, 1, &t), 0);
	c = counters_of(f.store);
	EXPECT_EQ(reg(&f.holder, 1, &t, NULL), 0);
	EXPECT_MOVED(&f, c, .registrations = 1, .inflight_immutable = 1,
		     .registration_dedup = 1, .reset_pool_size = 1,
		     .inactive_pool_size = -1);
	EXPECT_EQ(t.id, 0);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_PRIMARY);
	tear_down(&f);
}

/* B, A, B, C, where A is present: order, kinds and guards. */
static void reject_in_a_batch(void)
{
	struct kvbm_hash hashes[4] = { hash_of(1), hash_of(0), hash_of(1), hash_of(2) };
	struct kvbm_token a, t[4];
	struct fixture f;
	u8 kinds[4];
	u32 failed;

	set_up_with(&f, reject_config(8));
	fill(&f.holder, 0, 1, &a);
	ASSERT_EQ(take(&f.holder, 4, t), 0);
	ASSERT_EQ(kvbm_holder_stage(&f.holder, t, hashes, NULL, 4, BLOCK_SIZE, &failed), 0);
	EXPECT_EQ(reg(&f.holder, 4, t, kinds), 0);
	EXPECT_EQ(t[0].id, 1);
	EXPECT_EQ(t[1].id, 0);
	EXPECT_EQ(t[2].id, 1);
	EXPECT_EQ(t[3].id, 4);
	EXPECT_EQ(kinds[0], KVBM_REGISTERED_NEW);
	EXPECT_EQ(kinds[1], KVBM_REGISTERED_EXISTING);
	EXPECT_EQ(kinds[2], KVBM_REGISTERED_EXISTING);
	EXPECT_EQ(kinds[3], KVBM_REGISTERED_NEW);
	EXPECT_EQ(f.store->counters.registration_dedup, 2);
	EXPECT_EQ(state_of(&f, 2), KVBM_STATE_RESET);
	EXPECT_EQ(state_of(&f, 3), KVBM_STATE_RESET);
	EXPECT_EQ(refs_of(&f, 1), 2);
	EXPECT_EQ(f.holder.guards, 5);
	EXPECT_EQ(give(&f.holder, 4, t), 0);
	EXPECT_EQ(give(&f.holder, 1, &a), 0);
	EXPECT_EQ(f.holder.used, 0);
	tear_down(&f);
}

static void duplicate_in_a_batch(void)
{
	struct kvbm_hash hashes[2] = { hash_of(0), hash_of(0) };
	struct kvbm_token t[2];
	struct fixture f;
	u8 kinds[2];
	u32 failed;

	set_up(&f, 4);
	ASSERT_EQ(take(&f.holder, 2, t), 0);
	ASSERT_EQ(kvbm_holder_stage(&f.holder, t, hashes, NULL, 2, BLOCK_SIZE, &failed), 0);
	EXPECT_EQ(reg(&f.holder, 2, t, kinds), 0);
	EXPECT(t[0].id != t[1].id);
	EXPECT_EQ(kinds[0], KVBM_REGISTERED_NEW);
	EXPECT_EQ(kinds[1], KVBM_REGISTERED_DUPLICATE);
	EXPECT_EQ(give(&f.holder, 1, &t[1]), 0);
	EXPECT(is_present(f.store, 0));
	tear_down(&f);
}

static void match_prefix(void)
{
	struct kvbm_token held[4], t[6];
	struct kvbm_counters c;
	struct fixture f;
	u32 n, i;

	set_up(&f, 8);
	fill(&f.holder, 0, 4, held);
	c = counters_of(f.store);
	EXPECT_EQ(match(&f.holder, 0, 4, t, &n), 0);
	EXPECT_EQ(n, 4);
	EXPECT_MOVED(&f, c, .match_hashes_requested = 4,
		     .match_blocks_returned = 4, .inflight_immutable = 4);
	for (i = 0; i < n; i++) {
		EXPECT_EQ(t[i].id, held[i].id);
		EXPECT_EQ(t[i].gen, held[i].gen);
		EXPECT_EQ(refs_of(&f, t[i].id), 2);
	}
	EXPECT_EQ(f.holder.used, 4);
	EXPECT_EQ(f.holder.guards, 8);

	/* It ends at the first hash that is not there. */
	EXPECT_EQ(match(&f.holder, 2, 4, t, &n), 0);
	EXPECT_EQ(n, 2);
	EXPECT_MOVED(&f, c, .match_hashes_requested = 4,
		     .match_blocks_returned = 2, .inflight_immutable = 2);
	EXPECT_EQ(match(&f.holder, 4, 2, t, &n), 0);
	EXPECT_EQ(n, 0);
	EXPECT_MOVED(&f, c, .match_hashes_requested = 2);
	EXPECT_EQ(match(&f.holder, 0, 0, t, &n), 0);
	EXPECT_EQ(n, 0);
	EXPECT_MOVED(&f, c, 0);
	tear_down(&f);
}

/* A hash that is given twice yields two guards. */
static void match_twice(void)
{
	struct kvbm_hash hashes[3] = { hash_of(0), hash_of(0), hash_of(0) };
	struct kvbm_token t[3];
	struct fixture f;
	u32 n;

	set_up(&f, 4);
	cache(&f.holder, 0, 1);
	EXPECT_EQ(kvbm_holder_match(&f.holder, hashes, 3, KVBM_LOOKUP_PREFIX, t, &n), 0);
	EXPECT_EQ(n, 3);
	EXPECT_EQ(refs_of(&f, 0), 3);
	EXPECT_EQ(f.holder.used, 1);
	EXPECT_EQ(f.store->counters.inflight_immutable, 3);
	EXPECT_EQ(give(&f.holder, 2, t), 0);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_PRIMARY);
	EXPECT_EQ(give(&f.holder, 1, t), 0);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_INACTIVE);
	tear_down(&f);
}

/* Active, active, Inactive, Inactive, active, active: one prefix of six. */
/* What is present behind a miss is no part of the prefix. */
static void match_ends_at_a_hole(void)
{
	struct kvbm_hash h[4], hole[4];
	struct kvbm_token held[4], t[4];
	struct kvbm_counters c;
	struct fixture f;
	u32 n;

	set_up(&f, 8);
	fill(&f.holder, 0, 4, held);
	hashes_of(0, 4, h);
	memcpy(hole, h, sizeof(hole));
	hole[1] = hash_of(100);
	c = counters_of(f.store);
	EXPECT_EQ(kvbm_holder_match(&f.holder, hole, 4, KVBM_LOOKUP_PREFIX, t, &n), 0);
	EXPECT_EQ(n, 1);
	EXPECT_MOVED(&f, c, .match_hashes_requested = 4,
		     .match_blocks_returned = 1, .inflight_immutable = 1);
	EXPECT_EQ(f.holder.guards, 5);
	EXPECT_EQ(refs_of(&f, held[2].id), 1);
	EXPECT_EQ(refs_of(&f, held[3].id), 1);
	tear_down(&f);
}

static void match_mixed(void)
{
	struct kvbm_token held[6], t[7];
	struct kvbm_counters c;
	struct fixture f;
	u32 n, i;

	set_up(&f, 8);
	fill(&f.holder, 0, 6, held);
	ASSERT_EQ(give(&f.holder, 2, held + 2), 0);
	EXPECT_EQ(state_of(&f, 2), KVBM_STATE_INACTIVE);
	c = counters_of(f.store);
	EXPECT_EQ(match(&f.holder, 0, 7, t, &n), 0);
	EXPECT_EQ(n, 6);
	EXPECT_MOVED(&f, c, .match_hashes_requested = 7,
		     .match_blocks_returned = 6, .inflight_immutable = 6,
		     .inactive_pool_size = -2);
	for (i = 0; i < 6; i++) {
		EXPECT_EQ(t[i].id, i);
		EXPECT_EQ(state_of(&f, i), KVBM_STATE_PRIMARY);
	}
	tear_down(&f);
}

/* Longer than what is done under one hold of the lock. */
static void match_long(void)
{
	u32 len = 3 * KVBM_CHUNK + 5, n, i;
	struct kvbm_token *t = calloc(len + 10, sizeof(*t));
	struct fixture f;

	set_up(&f, len);
	cache(&f.holder, 0, len);
	EXPECT_EQ(match(&f.holder, 0, len + 10, t, &n), 0);
	EXPECT_EQ(n, len);
	for (i = 0; i < n; i++)
		EXPECT_EQ(t[i].id, i);
	EXPECT_EQ(f.store->counters.match_hashes_requested, len + 10);
	EXPECT_EQ(f.store->counters.match_blocks_returned, len);
	tear_down(&f);
	free(t);
}

/* Take @n blocks, all by eviction, and expect the hashes in @victims. */
static void expect_victims(struct fixture *f, u32 n, const u32 *victims)
{
	struct kvbm_token t[64];
	struct kvbm_hash evicted[64];
	struct kvbm_allocation a = { .count = n, .tokens = t, .evicted = evicted };
	struct kvbm_counters c = counters_of(f->store);
	u32 i;

	ASSERT(n <= 64);
	ASSERT_EQ(c.reset_pool_size, 0);
	ASSERT_EQ(kvbm_holder_allocate(&f->holder, &a), 0);
	EXPECT_EQ(a.nr_evicted, n);
	EXPECT_MOVED(f, c, .allocations = n, .evictions = n,
		     .inflight_mutable = n, .inactive_pool_size = -(u64)n);
	for (i = 0; i < n; i++) {
		struct kvbm_hash hash = hash_of(victims[i]);

		EXPECT(kvbm_hash_equal(&evicted[i], &hash));
		EXPECT(!is_present(f->store, victims[i]));
	}
	expect_sound(f->store);
}

#define EXPECT_VICTIMS(f, ...) \
	expect_victims(f, ARRAY_SIZE(((u32[]){ __VA_ARGS__ })), (u32[]){ __VA_ARGS__ })

static void evict_least_recently_released(void)
{
	struct kvbm_token t[5], m[5];
	struct fixture f;
	u32 n;

	set_up(&f, 5);
	fill(&f.holder, 0, 5, t);
	ASSERT_EQ(give(&f.holder, 1, &t[3]), 0);
	ASSERT_EQ(give(&f.holder, 1, &t[1]), 0);
	ASSERT_EQ(give(&f.holder, 1, &t[4]), 0);
	ASSERT_EQ(give(&f.holder, 1, &t[0]), 0);
	/* 3 is used again: what counts is when it is released again. */
	ASSERT_EQ(match(&f.holder, 3, 1, m, &n), 0);
	ASSERT_EQ(give(&f.holder, 1, &t[2]), 0);
	ASSERT_EQ(give(&f.holder, 1, m), 0);
	EXPECT_VICTIMS(&f, 1, 4, 0);
	EXPECT_VICTIMS(&f, 2, 3);
	tear_down(&f);
}

/* A prefix that is released tail first loses its tail first. */
static void evict_tail_first(void)
{
	struct kvbm_token t[4], tail[4];
	struct fixture f;
	u32 i;

	set_up(&f, 4);
	fill(&f.holder, 0, 4, t);
	for (i = 0; i < 4; i++)
		tail[i] = t[3 - i];
	ASSERT_EQ(give(&f.holder, 4, tail), 0);
	EXPECT_VICTIMS(&f, 3, 2);
	EXPECT_VICTIMS(&f, 1, 0);
	tear_down(&f);
}

static void evict_finished_first(void)
{
	struct kvbm_release_hint finished = { .kind = KVBM_HINT_FINISHED };
	struct kvbm_release_hint cont = { .kind = KVBM_HINT_CONTINUE };
	struct kvbm_release_hint back = { .kind = KVBM_HINT_RETURN, .log2_ms = 10 };
	struct kvbm_token t[6], m;
	struct fixture f;
	u32 n;

	set_up(&f, 6);
	fill(&f.holder, 0, 6, t);
	ASSERT_EQ(give_hint(&f.holder, 1, &t[0], cont), 0);
	ASSERT_EQ(give_hint(&f.holder, 1, &t[1], finished), 0);
	ASSERT_EQ(give(&f.holder, 1, &t[2]), 0);
	ASSERT_EQ(give_hint(&f.holder, 1, &t[3], finished), 0);
	ASSERT_EQ(give_hint(&f.holder, 1, &t[4], finished), 0);
	ASSERT_EQ(give_hint(&f.holder, 1, &t[5], back), 0);
	expect_sound(f.store);
	/* The hint is of one release: 3 comes back without. */
	ASSERT_EQ(match(&f.holder, 3, 1, &m, &n), 0);
	ASSERT_EQ(give(&f.holder, 1, &m), 0);
	EXPECT_VICTIMS(&f, 1, 4, 0, 2, 5, 3);
	tear_down(&f);
}

/* The reset pool first, then victims; hashes only of those. */
static void evict_only_what_is_needed(void)
{
	struct kvbm_hash evicted[5], first = hash_of(0), second = hash_of(1);
	struct kvbm_token t[5];
	struct kvbm_allocation a = { .count = 5, .tokens = t, .evicted = evicted };
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, 8);
	cache(&f.holder, 0, 5);
	c = counters_of(f.store);
	ASSERT_EQ(kvbm_holder_allocate(&f.holder, &a), 0);
	EXPECT_EQ(a.nr_evicted, 2);
	EXPECT_MOVED(&f, c, .allocations = 5, .allocations_from_reset = 3,
		     .evictions = 2, .inflight_mutable = 5,
		     .reset_pool_size = -3, .inactive_pool_size = -2);
	EXPECT_EQ(t[0].id, 5);
	EXPECT_EQ(t[3].id, 0);
	EXPECT_EQ(t[4].id, 1);
	EXPECT(kvbm_hash_equal(&evicted[0], &first));
	EXPECT(kvbm_hash_equal(&evicted[1], &second));
	tear_down(&f);
}

static void reset_on_release(void)
{
	struct kvbm_store_config config = config_of(4);
	struct kvbm_token t[2], m;
	struct kvbm_counters c;
	struct fixture f;
	u32 n;

	config.reset_on_release = true;
	set_up_with(&f, config);
	fill(&f.holder, 0, 2, t);
	/* There for all as long as somebody holds it. */
	EXPECT_EQ(match(&f.holder, 0, 1, &m, &n), 0);
	EXPECT_EQ(n, 1);
	c = counters_of(f.store);
	EXPECT_EQ(give(&f.holder, 1, &t[0]), 0);
	EXPECT_MOVED(&f, c, .inflight_immutable = -1);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_PRIMARY);
	EXPECT_EQ(give(&f.holder, 1, &m), 0);
	EXPECT_MOVED(&f, c, .inflight_immutable = -1, .reset_pool_size = 1);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_RESET);
	EXPECT(!is_present(f.store, 0));
	EXPECT_EQ(kvbm_registry_entries(f.registry), 1);
	EXPECT_EQ(match(&f.holder, 0, 1, &m, &n), 0);
	EXPECT_EQ(n, 0);
	expect_sound(f.store);
	tear_down(&f);
}

/* What was set for one tenant does not hold for the next one. */
static void flags_are_of_the_tenant(void)
{
	struct kvbm_token t;
	struct fixture f;

	set_up(&f, 1);
	fill(&f.holder, 0, 1, &t);
	f.store->slots[0].flags |= KVBM_SLOT_RESET_ON_RELEASE;
	ASSERT_EQ(give(&f.holder, 1, &t), 0);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_RESET);
	fill(&f.holder, 1, 1, &t);
	ASSERT_EQ(give(&f.holder, 1, &t), 0);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_INACTIVE);
	tear_down(&f);
}

static void reset_on_release_with_duplicate(void)
{
	struct kvbm_store_config config = config_of(4);
	struct kvbm_token primary, dup;
	struct fixture f;

	config.reset_on_release = true;
	set_up_with(&f, config);
	fill(&f.holder, 0, 1, &primary);
	fill(&f.holder, 0, 1, &dup);
	EXPECT_EQ(give(&f.holder, 1, &primary), 0);
	EXPECT_EQ(state_of(&f, primary.id), KVBM_STATE_PRIMARY);
	EXPECT_EQ(give(&f.holder, 1, &dup), 0);
	EXPECT_EQ(state_of(&f, dup.id), KVBM_STATE_RESET);
	EXPECT_EQ(state_of(&f, primary.id), KVBM_STATE_RESET);
	EXPECT(!is_present(f.store, 0));
	tear_down(&f);
}

static int acquire(struct fixture *f, u32 first, u32 nr_hashes,
		   struct kvbm_allocation *a, u32 *matched)
{
	struct kvbm_hash *hashes = calloc(nr_hashes + 1, sizeof(*hashes));
	int err;

	hashes_of(first, nr_hashes, hashes);
	err = kvbm_holder_acquire(&f->holder, hashes, nr_hashes, a, matched);
	free(hashes);
	return err;
}

static void acquire_small(void)
{
	struct kvbm_hash evicted[6], victim = hash_of(3);
	struct kvbm_token t[6];
	struct kvbm_allocation a = { .count = 6, .tokens = t, .evicted = evicted };
	struct kvbm_counters c;
	struct fixture f;
	u32 n, i;

	set_up(&f, 8);
	/* Room for four in the reset pool, two of the three others match. */
	cache(&f.holder, 3, 1);
	cache(&f.holder, 0, 2);
	ASSERT_EQ(take(&f.holder, 2, t), 0);
	c = counters_of(f.store);
	EXPECT_EQ(acquire(&f, 0, 3, &a, &n), 0);
	EXPECT_EQ(n, 2);
	EXPECT_EQ(a.nr_evicted, 1);
	EXPECT(kvbm_hash_equal(&evicted[0], &victim));
	EXPECT_MOVED(&f, c, .allocations = 4, .allocations_from_reset = 3,
		     .evictions = 1, .match_hashes_requested = 3,
		     .match_blocks_returned = 2, .inflight_mutable = 4,
		     .inflight_immutable = 2, .reset_pool_size = -3,
		     .inactive_pool_size = -3);
	for (i = 0; i < 6; i++)
		EXPECT_EQ(state_of(&f, t[i].id), i < 2 ? KVBM_STATE_PRIMARY :
							 KVBM_STATE_MUTABLE);
	EXPECT_EQ(t[0].id, 1);
	EXPECT_EQ(t[1].id, 2);
	EXPECT_EQ(f.holder.guards, 8);
	EXPECT_EQ(give(&f.holder, 6, t), 0);
	tear_down(&f);
}

/* What is matched is no victim of the same call, and no block to count on. */
static void acquire_too_much(void)
{
	struct kvbm_hash twice[4] = { hash_of(0), hash_of(1), hash_of(1), hash_of(1) };
	struct kvbm_token t[8];
	struct kvbm_allocation a = { .tokens = t };
	struct fixture f;
	struct dump *d;
	u32 n;

	set_up(&f, 6);
	cache(&f.holder, 0, 3);
	ASSERT_EQ(take(&f.holder, 2, t), 0);
	d = dump_of(&f);
	/* One free, three Inactive: two matched, three to allocate. */
	a.count = 5;
	EXPECT_EQ(acquire(&f, 0, 2, &a, &n), -ENOSPC);
	EXPECT_EQ(f.store->counters.allocation_failures, 1);
	f.store->counters.allocation_failures = 0;
	EXPECT_UNCHANGED(&f, d);
	/* The same with hashes given twice: they count once. */
	a.count = 7;
	d = dump_of(&f);
	EXPECT_EQ(kvbm_holder_acquire(&f.holder, twice, 4, &a, &n), -ENOSPC);
	f.store->counters.allocation_failures = 0;
	EXPECT_UNCHANGED(&f, d);
	a.count = 6;
	EXPECT_EQ(kvbm_holder_acquire(&f.holder, twice, 4, &a, &n), 0);
	EXPECT_EQ(n, 4);
	EXPECT_EQ(refs_of(&f, 1), 3);
	expect_sound(f.store);
	tear_down(&f);
}

static void acquire_all_matched(void)
{
	struct kvbm_token t[4];
	struct kvbm_allocation a = { .count = 4, .tokens = t };
	struct fixture f;
	u32 n;

	set_up(&f, 4);
	cache(&f.holder, 0, 4);
	EXPECT_EQ(acquire(&f, 0, 4, &a, &n), 0);
	EXPECT_EQ(n, 4);
	EXPECT_EQ(a.nr_evicted, 0);
	EXPECT_EQ(f.store->counters.evictions, 0);
	tear_down(&f);
}

static void acquire_nothing(void)
{
	struct kvbm_allocation a = { .count = 0 };
	struct fixture f;
	struct dump *d;
	u32 n = 77;

	set_up(&f, 4);
	d = dump_of(&f);
	EXPECT_EQ(acquire(&f, 0, 0, &a, &n), 0);
	EXPECT_EQ(n, 0);
	EXPECT_UNCHANGED(&f, d);
	tear_down(&f);
}

static void acquire_large(void)
{
	u32 size = 1000, want = 700, n, i;
	struct kvbm_hash *evicted = calloc(want, sizeof(*evicted));
	struct kvbm_token *t = calloc(size, sizeof(*t));
	struct kvbm_allocation a = { .count = want, .tokens = t, .evicted = evicted };
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, size);
	cache(&f.holder, 0, 300);
	cache(&f.holder, 1000, 600);
	c = counters_of(f.store);
	EXPECT_EQ(acquire(&f, 0, 400, &a, &n), 0);
	EXPECT_EQ(n, 300);
	EXPECT_EQ(a.nr_evicted, 300);
	EXPECT_MOVED(&f, c, .allocations = 400, .allocations_from_reset = 100,
		     .evictions = 300, .match_hashes_requested = 400,
		     .match_blocks_returned = 300, .inflight_mutable = 400,
		     .inflight_immutable = 300, .reset_pool_size = -100,
		     .inactive_pool_size = -600);
	for (i = 0; i < 300; i++) {
		struct kvbm_hash hash = hash_of(1000 + i);

		EXPECT_EQ(t[i].id, i);
		EXPECT(kvbm_hash_equal(&evicted[i], &hash));
	}
	EXPECT_EQ(f.store->promised, 0);
	EXPECT_EQ(give(&f.holder, want, t), 0);
	tear_down(&f);
	free(evicted);
	free(t);
}

/* Matched blocks go back, the tail of the prefix as the first victim. */
static void acquire_large_too_much(void)
{
	u32 size = 400, n, i;
	struct kvbm_token *t = calloc(size + 1, sizeof(*t));
	struct kvbm_allocation a = { .count = size + 1, .tokens = t };
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, size);
	cache(&f.holder, 0, 200);
	c = counters_of(f.store);
	EXPECT_EQ(acquire(&f, 0, 200, &a, &n), -ENOSPC);
	EXPECT_MOVED(&f, c, 0);
	EXPECT_EQ(f.store->counters.allocation_failures, 1);
	EXPECT_EQ(f.holder.guards, 0);
	EXPECT_EQ(f.holder.used, 0);
	EXPECT_EQ(f.store->promised, 0);
	expect_sound(f.store);
	ASSERT_EQ(take(&f.holder, 200, t), 0);
	for (i = 0; i < 4; i++)
		EXPECT_VICTIMS(&f, 199 - i);
	tear_down(&f);
	free(t);
}

static void stage_register_and_next(void)
{
	struct kvbm_hash hashes[3] = { hash_of(0), hash_of(1), hash_of(0) };
	struct kvbm_hash evicted[4], victim = hash_of(7);
	struct kvbm_token t[3], more[4];
	struct kvbm_allocation next = { .count = 4, .tokens = more, .evicted = evicted };
	struct kvbm_counters c;
	u32 allocated, failed;
	struct fixture f;
	u8 kinds[3];

	set_up(&f, 7);
	cache(&f.holder, 7, 1);
	ASSERT_EQ(take(&f.holder, 3, t), 0);
	c = counters_of(f.store);
	EXPECT_EQ(kvbm_holder_stage_register(&f.holder, t, hashes, NULL, kinds, 3,
					     BLOCK_SIZE, &next, &allocated,
					     &failed), 0);
	EXPECT_EQ(allocated, 4);
	EXPECT_EQ(next.nr_evicted, 1);
	EXPECT(kvbm_hash_equal(&evicted[0], &victim));
	EXPECT_MOVED(&f, c, .stagings = 3, .registrations = 3,
		     .duplicate_blocks = 1, .inflight_immutable = 3,
		     .inflight_mutable = 1, .allocations = 4,
		     .allocations_from_reset = 3, .evictions = 1,
		     .reset_pool_size = -3, .inactive_pool_size = -1);
	EXPECT_EQ(kinds[0], KVBM_REGISTERED_NEW);
	EXPECT_EQ(kinds[1], KVBM_REGISTERED_NEW);
	EXPECT_EQ(kinds[2], KVBM_REGISTERED_DUPLICATE);
	EXPECT_EQ(f.holder.guards, 7);
	tear_down(&f);
}

/* No blocks for the next ones is no error of the registration. */
static void stage_register_without_next(void)
{
	struct kvbm_hash hashes[2] = { hash_of(0), hash_of(1) };
	struct kvbm_token t[2], more[4];
	struct kvbm_allocation next = { .count = 3, .tokens = more };
	struct kvbm_counters c;
	u32 allocated = 77, failed;
	struct fixture f;

	set_up(&f, 4);
	ASSERT_EQ(take(&f.holder, 2, t), 0);
	c = counters_of(f.store);
	EXPECT_EQ(kvbm_holder_stage_register(&f.holder, t, hashes, NULL, NULL, 2,
					     BLOCK_SIZE, &next, &allocated,
					     &failed), 0);
	EXPECT_EQ(allocated, 0);
	EXPECT_EQ(next.nr_evicted, 0);
	EXPECT_MOVED(&f, c, .stagings = 2, .registrations = 2,
		     .inflight_immutable = 2, .inflight_mutable = -2);
	EXPECT_EQ(f.store->counters.allocation_failures, 1);
	tear_down(&f);
}

/* A slot's next tenant has another generation, and none has 0. */
static void generations_change(void)
{
	struct kvbm_token first, second, third;
	struct fixture f;

	set_up(&f, 1);
	ASSERT_EQ(take(&f.holder, 1, &first), 0);
	ASSERT_EQ(give(&f.holder, 1, &first), 0);
	ASSERT_EQ(take(&f.holder, 1, &second), 0);
	EXPECT(second.gen != first.gen);
	ASSERT_EQ(give(&f.holder, 1, &second), 0);
	/* Eviction changes it, too; a match does not. */
	cache(&f.holder, 0, 1);
	second.gen = f.store->slots[0].gen;
	ASSERT_EQ(take(&f.holder, 1, &third), 0);
	EXPECT(third.gen != second.gen);
	ASSERT_EQ(give(&f.holder, 1, &third), 0);
	f.store->slots[0].gen = U32_MAX;
	ASSERT_EQ(take(&f.holder, 1, &third), 0);
	EXPECT_EQ(third.gen, 1);
	tear_down(&f);
}

static void allocate_large(void)
{
	u32 size = 5 * KVBM_CHUNK, i;
	struct kvbm_hash *evicted = calloc(size, sizeof(*evicted));
	struct kvbm_token *t = calloc(size + 1, sizeof(*t));
	struct kvbm_allocation a = { .count = size, .tokens = t, .evicted = evicted };
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, size);
	cache(&f.holder, 0, 2 * KVBM_CHUNK + 3);
	c = counters_of(f.store);
	EXPECT_EQ(kvbm_holder_allocate(&f.holder, &a), 0);
	EXPECT_EQ(a.nr_evicted, 2 * KVBM_CHUNK + 3);
	EXPECT_MOVED(&f, c, .allocations = size,
		     .allocations_from_reset = 3 * KVBM_CHUNK - 3,
		     .evictions = 2 * KVBM_CHUNK + 3, .inflight_mutable = size,
		     .reset_pool_size = -(3 * KVBM_CHUNK - 3),
		     .inactive_pool_size = -(2 * KVBM_CHUNK + 3));
	for (i = 0; i < a.nr_evicted; i++) {
		struct kvbm_hash hash = hash_of(i);

		EXPECT(kvbm_hash_equal(&evicted[i], &hash));
		EXPECT_EQ(t[3 * KVBM_CHUNK - 3 + i].id, i);
	}
	EXPECT_EQ(f.store->promised, 0);
	expect_sound(f.store);
	EXPECT_EQ(give(&f.holder, size, t), 0);
	a.count = size + 1;
	EXPECT_EQ(kvbm_holder_allocate(&f.holder, &a), -ENOSPC);
	EXPECT_EQ(f.store->promised, 0);
	EXPECT_EQ(f.store->counters.allocate_atomic_rollback, 0);
	tear_down(&f);
	free(evicted);
	free(t);
}

/* What happens between the chunks of a large allocation. */
static struct {
	struct fixture *f;
	struct kvbm_holder other;
	struct kvbm_token tokens[200];
	int take_result;
	int shutdown_result;
	u32 match;
	u32 steps;
} meanwhile;

static void step_in(void)
{
	u32 n;

	if (meanwhile.steps++)
		return;
	/* What was promised is not there for another allocation ... */
	meanwhile.take_result = take(&meanwhile.other, 1, meanwhile.tokens);
	meanwhile.shutdown_result = kvbm_store_shutdown(meanwhile.f->store, false);
	/* ... but a match may take Inactive blocks away. */
	EXPECT_EQ(match(&meanwhile.other, 300 - meanwhile.match, meanwhile.match,
			meanwhile.tokens, &n), 0);
	EXPECT_EQ(n, meanwhile.match);
}

static void step_in_during(struct fixture *f, u32 nr_match)
{
	memset(&meanwhile, 0, sizeof(meanwhile));
	meanwhile.f = f;
	meanwhile.match = nr_match;
	kvbm_holder_init(&meanwhile.other, f->store);
	kvbm_relax_hook = step_in;
}

static void large_is_promised(void)
{
	struct kvbm_token *t = calloc(300, sizeof(*t));
	struct fixture f;

	set_up(&f, 300);
	cache(&f.holder, 0, 300);
	step_in_during(&f, 0);
	EXPECT_EQ(take(&f.holder, 300, t), 0);
	kvbm_relax_hook = NULL;
	EXPECT(meanwhile.steps > 0);
	EXPECT_EQ(meanwhile.take_result, -ENOSPC);
	EXPECT_EQ(meanwhile.shutdown_result, -EBUSY);
	EXPECT_EQ(f.store->promised, 0);
	end_holder(&meanwhile.other);
	tear_down(&f);
	free(t);
}

static void release_between(void)
{
	if (!meanwhile.steps++)
		EXPECT_EQ(give(&meanwhile.other, 100, meanwhile.tokens), 0);
}

/* Blocks that others release meanwhile were not evicted: victims stay last. */
static void large_with_releases_between(void)
{
	struct kvbm_hash *evicted = calloc(400, sizeof(*evicted));
	struct kvbm_token *t = calloc(400, sizeof(*t));
	struct kvbm_allocation a = { .count = 350, .tokens = t, .evicted = evicted };
	struct fixture f;
	u32 i, first;

	set_up(&f, 500);
	memset(&meanwhile, 0, sizeof(meanwhile));
	kvbm_holder_init(&meanwhile.other, f.store);
	EXPECT_EQ(take(&meanwhile.other, 100, meanwhile.tokens), 0);
	cache(&f.holder, 0, 400);
	kvbm_relax_hook = release_between;
	EXPECT_EQ(kvbm_holder_allocate(&f.holder, &a), 0);
	kvbm_relax_hook = NULL;
	/* 100 of 350 came back in time; one chunk was evicted before that. */
	EXPECT_EQ(a.nr_evicted, 250);
	first = 350 - a.nr_evicted;
	for (i = 0; i < first; i++)
		EXPECT(t[i].id < 100);
	for (i = 0; i < a.nr_evicted; i++) {
		struct kvbm_hash hash = f.store->slots[t[first + i].id].hash;

		EXPECT_EQ(t[first + i].id, 100 + i);
		EXPECT(kvbm_hash_equal(&evicted[i], &hash));
	}
	expect_sound(f.store);
	end_holder(&meanwhile.other);
	tear_down(&f);
	free(evicted);
	free(t);
}

/* @lost blocks of 300 are lost to somebody else when one chunk is taken. */
static void lose(u32 lost)
{
	/* Whole chunks, as long as there are; the first came before that. */
	u32 taken = max((300 - lost) / KVBM_CHUNK, 1) * KVBM_CHUNK;
	struct kvbm_token *t = calloc(300, sizeof(*t));
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, 300);
	cache(&f.holder, 0, 300);
	step_in_during(&f, lost);
	EXPECT_EQ(take(&f.holder, 300, t), -ENOSPC);
	kvbm_relax_hook = NULL;
	c = counters_of(f.store);
	EXPECT_EQ(c.allocate_atomic_rollback, 1);
	EXPECT_EQ(f.store->promised, 0);
	EXPECT_EQ(f.holder.guards, 0);
	EXPECT_EQ(c.inflight_mutable, 0);
	EXPECT_EQ(c.inflight_immutable, lost);
	/* Evictions stand. */
	EXPECT_EQ(c.reset_pool_size, taken);
	EXPECT_EQ(c.inactive_pool_size, 300 - taken - lost);
	expect_sound(f.store);
	end_holder(&meanwhile.other);
	EXPECT_EQ(take(&f.holder, 300, t), 0);
	tear_down(&f);
	free(t);
}

static void large_is_undone(void)
{
	lose(1);
	lose(150);
}

static void shutdown_when_held(void)
{
	struct kvbm_token t;
	struct fixture f;
	u32 n;

	set_up(&f, 4);
	ASSERT_EQ(take(&f.holder, 1, &t), 0);
	EXPECT_EQ(kvbm_store_shutdown(f.store, false), -EBUSY);
	ASSERT_EQ(stage(&f.holder, 0, 1, &t), 0);
	EXPECT_EQ(kvbm_store_shutdown(f.store, false), -EBUSY);
	ASSERT_EQ(reg(&f.holder, 1, &t, NULL), 0);
	EXPECT_EQ(kvbm_store_shutdown(f.store, false), -EBUSY);
	/* Refused, so nothing is different. */
	EXPECT_EQ(match(&f.holder, 0, 1, &t, &n), 0);
	EXPECT_EQ(give(&f.holder, 1, &t), 0);
	EXPECT_EQ(give(&f.holder, 1, &t), 0);
	/* An allocation that has its promise, and no block yet. */
	f.store->promised = 1;
	EXPECT_EQ(kvbm_store_shutdown(f.store, false), -EBUSY);
	f.store->promised = 0;
	EXPECT_EQ(kvbm_store_shutdown(f.store, false), 0);
	EXPECT_EQ(match(&f.holder, 0, 1, &t, &n), -ESHUTDOWN);
	tear_down(&f);
}

static void shutdown_leaves_release(void)
{
	u32 many = 2 * KVBM_CHUNK, n, allocated, failed;
	struct kvbm_token t[3], *large = calloc(many, sizeof(*large));
	struct kvbm_allocation next = { .count = 0 };
	struct kvbm_allocation a = { .count = 2, .tokens = large };
	struct kvbm_hash hash = hash_of(9);
	struct fixture f;
	struct dump *d;

	set_up(&f, 2 * many);
	ASSERT_EQ(take(&f.holder, 2, t), 0);
	ASSERT_EQ(stage(&f.holder, 0, 1, t), 0);
	fill(&f.holder, 5, 1, &t[2]);
	EXPECT_EQ(kvbm_store_shutdown(f.store, true), 0);
	d = dump_of(&f);
	EXPECT_EQ(take(&f.holder, 1, large), -ESHUTDOWN);
	EXPECT_EQ(take(&f.holder, many, large), -ESHUTDOWN);
	EXPECT_EQ(match(&f.holder, 5, 1, large, &n), -ESHUTDOWN);
	EXPECT_EQ(match(&f.holder, 5, many, large, &n), -ESHUTDOWN);
	EXPECT_EQ(stage(&f.holder, 1, 1, &t[1]), -ESHUTDOWN);
	EXPECT_EQ(reg(&f.holder, 1, t, NULL), -ESHUTDOWN);
	EXPECT_EQ(kvbm_holder_acquire(&f.holder, &hash, 1, &a, &n), -ESHUTDOWN);
	a.count = many;
	EXPECT_EQ(kvbm_holder_acquire(&f.holder, &hash, 1, &a, &n), -ESHUTDOWN);
	EXPECT_EQ(kvbm_holder_stage_register(&f.holder, &t[1], &hash, NULL, NULL, 1,
					     BLOCK_SIZE, &next, &allocated,
					     &failed), -ESHUTDOWN);
	EXPECT_UNCHANGED(&f, d);
	EXPECT_EQ(give(&f.holder, 3, t), 0);
	EXPECT_EQ(f.holder.used, 0);
	tear_down(&f);
	free(large);
}

/* What a session held goes back in the reverse of the order it was taken. */
static void release_all(void)
{
	struct kvbm_reclaim reclaim;
	struct kvbm_token t[6], m[3];
	struct kvbm_holder other;
	struct kvbm_counters c;
	struct fixture f;
	u32 n;

	set_up(&f, 6);
	kvbm_holder_init(&other, f.store);
	cache(&f.holder, 0, 3);
	ASSERT_EQ(match(&other, 0, 3, m, &n), 0);
	ASSERT_EQ(match(&other, 0, 1, m, &n), 0);
	ASSERT_EQ(take(&other, 3, t), 0);
	ASSERT_EQ(stage(&other, 7, 1, &t[0]), 0);

	kvbm_holder_release_all(&other, true, &reclaim);
	EXPECT_EQ(reclaim.mutable, 2);
	EXPECT_EQ(reclaim.staged, 1);
	EXPECT_EQ(reclaim.immutable, 4);
	c = counters_of(f.store);
	EXPECT_EQ(c.inflight_immutable, 0);
	EXPECT_EQ(c.inflight_mutable, 0);
	EXPECT_EQ(c.reset_pool_size, 3);
	EXPECT_EQ(c.inactive_pool_size, 3);
	expect_sound(f.store);

	/* Of a prefix matched head first, the tail is the first victim. */
	ASSERT_EQ(take(&f.holder, 3, t), 0);
	EXPECT_EQ(t[0].id, 5);
	EXPECT_EQ(t[2].id, 3);
	EXPECT_VICTIMS(&f, 2, 1, 0);

	/* It is over, and stays so. */
	kvbm_holder_release_all(&other, true, &reclaim);
	EXPECT_EQ(reclaim.mutable + reclaim.staged + reclaim.immutable, 0);
	EXPECT_EQ(take(&other, 1, t), -EOWNERDEAD);
	EXPECT_EQ(match(&other, 0, 1, t, &n), -EOWNERDEAD);
	EXPECT_EQ(stage(&other, 0, 1, t), -EOWNERDEAD);
	EXPECT_EQ(reg(&other, 1, t, NULL), -EOWNERDEAD);
	EXPECT_EQ(give(&other, 1, t), -EOWNERDEAD);
	kvbm_holder_destroy(&other);
	tear_down(&f);
}

/* More than is given back under one hold of the lock. */
static void release_all_many(void)
{
	u32 size = 5 * KVBM_CHUNK + 1, i;
	struct kvbm_token *t = calloc(size, sizeof(*t));
	struct kvbm_reclaim reclaim;
	struct kvbm_holder other;
	struct fixture f;

	set_up(&f, size);
	kvbm_holder_init(&other, f.store);
	ASSERT_EQ(take(&other, size, t), 0);
	kvbm_holder_release_all(&other, true, &reclaim);
	EXPECT_EQ(reclaim.mutable, size);
	ASSERT_EQ(take(&f.holder, size, t), 0);
	for (i = 0; i < size; i++)
		EXPECT_EQ(t[i].id, size - 1 - i);
	kvbm_holder_destroy(&other);
	tear_down(&f);
	free(t);
}

static void note_reclaim(void)
{
	struct kvbm_reclaim none = { 0 }, some = { 1, 2, 3 };
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, 1);
	kvbm_store_note_reclaim(f.store, &none, 1000, 1);
	EXPECT_EQ(f.store->counters.reclaimed_sessions, 0);
	EXPECT_EQ(f.store->counters.reclaim_max_ns, 0);
	kvbm_store_note_reclaim(f.store, &some, 50, 7);
	kvbm_store_note_reclaim(f.store, &some, 20, 9);
	c = counters_of(f.store);
	EXPECT_EQ(c.reclaimed_sessions, 2);
	EXPECT_EQ(c.reclaimed_mutable, 2);
	EXPECT_EQ(c.reclaimed_staged, 4);
	EXPECT_EQ(c.reclaimed_immutable, 6);
	EXPECT_EQ(c.reclaim_last_ns, 20);
	EXPECT_EQ(c.reclaim_max_ns, 50);
	EXPECT_EQ(c.reclaim_end_ns, 9);
	tear_down(&f);
}

/* Two sessions share a block; it is free when both let go. */
static void two_sessions(void)
{
	struct kvbm_token mine, theirs;
	struct kvbm_holder other;
	struct fixture f;
	u32 n;

	set_up(&f, 4);
	kvbm_holder_init(&other, f.store);
	fill(&f.holder, 0, 1, &mine);
	EXPECT_EQ(match(&other, 0, 1, &theirs, &n), 0);
	EXPECT_EQ(theirs.id, mine.id);
	EXPECT_EQ(theirs.gen, mine.gen);
	EXPECT_EQ(give(&f.holder, 1, &mine), 0);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_PRIMARY);
	/* A token that another session holds is not ours. */
	EXPECT_EQ(give(&f.holder, 1, &theirs), -ENXIO);
	end_holder(&other);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_INACTIVE);
	tear_down(&f);
}

/* A session's table grows with what it holds, and finds all of it. */
static void holder_grows(void)
{
	u32 size = 3000, i, round;
	struct kvbm_token *t = calloc(size, sizeof(*t));
	struct fixture f;

	set_up(&f, size);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < size; i += 3)
			ASSERT_EQ(take(&f.holder, 3, t + i), 0);
		EXPECT_EQ(f.holder.used, size);
		for (i = 0; i < size; i++)
			ASSERT_EQ(give(&f.holder, 1, &t[(i * 7) % size]), 0);
		EXPECT_EQ(f.holder.used, 0);
		EXPECT_EQ(f.holder.guards, 0);
	}
	tear_down(&f);
	free(t);
}

static const struct tap_test tests[] = {
	TEST(new_store),
	TEST(allocate_in_order),
	TEST(allocate_all_or_none),
	TEST(allocate_none),
	TEST(stage_and_release),
	TEST(register_new),
	TEST(register_nothing),
	TEST(register_duplicate),
	TEST(duplicate_goes_first),
	TEST(duplicate_of_inactive),
	TEST(register_reject),
	TEST(reject_of_inactive),
	TEST(reject_in_a_batch),
	TEST(duplicate_in_a_batch),
	TEST(match_prefix),
	TEST(match_twice),
	TEST(match_ends_at_a_hole),
	TEST(match_mixed),
	TEST(match_long),
	TEST(evict_least_recently_released),
	TEST(evict_tail_first),
	TEST(evict_finished_first),
	TEST(evict_only_what_is_needed),
	TEST(reset_on_release),
	TEST(flags_are_of_the_tenant),
	TEST(reset_on_release_with_duplicate),
	TEST(acquire_small),
	TEST(acquire_too_much),
	TEST(acquire_all_matched),
	TEST(acquire_nothing),
	TEST(acquire_large),
	TEST(acquire_large_too_much),
	TEST(stage_register_and_next),
	TEST(stage_register_without_next),
	TEST(generations_change),
	TEST(allocate_large),
	TEST(large_is_promised),
	TEST(large_with_releases_between),
	TEST(large_is_undone),
	TEST(shutdown_when_held),
	TEST(shutdown_leaves_release),
	TEST(release_all),
	TEST(release_all_many),
	TEST(note_reclaim),
	TEST(two_sessions),
	TEST(holder_grows),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
