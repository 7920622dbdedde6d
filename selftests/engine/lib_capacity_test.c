// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Managers that are used to their last block: where blocks go at each state, what
 * is evicted, and what is counted, with every policy. Through libkvbm, on either
 * backend.
 */
#include "lib_moved.h"

#define BLOCKS	32

/* All blocks registered, all cached, all found again. */
static void all_cached_with(uint32_t policy)
{
	struct kvbm_immutable im[BLOCKS];
	struct kvbm_hash h[BLOCKS];
	struct kvbm_counters c;
	struct fixture f;

	set_up_policy(&f, BLOCKS, policy);
	hashes_of(0, BLOCKS, h);
	c = counters(&f);
	fill(&f, 0, BLOCKS, im);
	EXPECT_MOVED(&f, c, .allocations = BLOCKS, .allocations_from_reset = BLOCKS,
		     .stagings = BLOCKS, .registrations = BLOCKS,
		     .inflight_immutable = BLOCKS, .reset_pool_size = -BLOCKS);
	ASSERT_EQ(kvbm_release(f.s, BLOCKS, im), 0);
	EXPECT_MOVED(&f, c, .inflight_immutable = -BLOCKS, .inactive_pool_size = BLOCKS);
	EXPECT_EQ(entries(&f), BLOCKS);
	EXPECT_EQ(kvbm_match(f.s, BLOCKS, h, im), BLOCKS);
	EXPECT_MOVED(&f, c, .match_hashes_requested = BLOCKS,
		     .match_blocks_returned = BLOCKS, .inflight_immutable = BLOCKS,
		     .inactive_pool_size = -BLOCKS);
	tear_down(&f);
}

static void all_cached(void)
{
	with_each_policy(all_cached_with);
}

/* Half of a full cache is evicted, and goes to the reset pool. */
static void evicted_with(uint32_t policy)
{
	struct kvbm_immutable im[BLOCKS];
	struct kvbm_mutable m[BLOCKS];
	struct kvbm_hash evicted[BLOCKS];
	struct kvbm_counters c;
	struct fixture f;
	size_t n, i;

	set_up_policy(&f, BLOCKS, policy);
	fill(&f, 0, BLOCKS, im);
	ASSERT_EQ(kvbm_release(f.s, BLOCKS, im), 0);
	c = counters(&f);
	ASSERT_EQ(kvbm_allocate(f.s, BLOCKS / 2, m, evicted, &n), 0);
	EXPECT_EQ(n, BLOCKS / 2);
	EXPECT_MOVED(&f, c, .allocations = BLOCKS / 2, .evictions = BLOCKS / 2,
		     .inflight_mutable = BLOCKS / 2, .inactive_pool_size = -(BLOCKS / 2));
	for (i = 0; i < n; i++)
		EXPECT(!is_present(&f, &evicted[i]));
	EXPECT_EQ(entries(&f), BLOCKS / 2);
	ASSERT_EQ(kvbm_release(f.s, BLOCKS / 2, m), 0);
	EXPECT_MOVED(&f, c, .inflight_mutable = -(BLOCKS / 2),
		     .reset_pool_size = BLOCKS / 2);
	/* The other half, and all of them together again. */
	ASSERT_EQ(kvbm_allocate(f.s, BLOCKS, m, evicted, &n), 0);
	EXPECT_EQ(n, BLOCKS / 2);
	ASSERT_EQ(kvbm_release(f.s, BLOCKS, m), 0);
	EXPECT_EQ(counters(&f).reset_pool_size, BLOCKS);
	EXPECT_EQ(entries(&f), 0);
	tear_down(&f);
}

static void half_is_evicted(void)
{
	with_each_policy(evicted_with);
}

static void mutable_with(uint32_t policy)
{
	struct kvbm_mutable m[BLOCKS];
	struct kvbm_counters c;
	struct fixture f;

	set_up_policy(&f, BLOCKS, policy);
	ASSERT_EQ(kvbm_allocate(f.s, BLOCKS, m, NULL, NULL), 0);
	c = counters(&f);
	ASSERT_EQ(kvbm_release(f.s, BLOCKS, m), 0);
	EXPECT_MOVED(&f, c, .inflight_mutable = -BLOCKS, .reset_pool_size = BLOCKS);
	EXPECT_EQ(c.inactive_pool_size, 0);
	tear_down(&f);
}

static void mutable_go_to_reset(void)
{
	with_each_policy(mutable_with);
}

static void staged_with(uint32_t policy)
{
	struct kvbm_complete complete[BLOCKS];
	struct kvbm_mutable m[BLOCKS];
	struct kvbm_hash h[BLOCKS];
	struct kvbm_counters c;
	struct fixture f;

	set_up_policy(&f, BLOCKS, policy);
	hashes_of(0, BLOCKS, h);
	ASSERT_EQ(kvbm_allocate(f.s, BLOCKS, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage(f.s, BLOCKS, m, h, BLOCK_SIZE, complete), 0);
	c = counters(&f);
	ASSERT_EQ(kvbm_release(f.s, BLOCKS, complete), 0);
	EXPECT_MOVED(&f, c, .reset_pool_size = BLOCKS);
	EXPECT_EQ(c.inactive_pool_size, 0);
	EXPECT_EQ(entries(&f), 0);
	EXPECT_EQ(kvbm_probe(f.s, 1, h), 0);
	tear_down(&f);
}

static void staged_go_to_reset(void)
{
	with_each_policy(staged_with);
}

/* Eight of each kind: 16 are reset, 8 are cached. */
static void mixed_with(uint32_t policy)
{
	struct kvbm_complete complete[16];
	struct kvbm_immutable im[8];
	struct kvbm_mutable m[24];
	struct kvbm_hash h[16];
	struct kvbm_counters c;
	struct fixture f;

	set_up_policy(&f, 24, policy);
	hashes_of(0, 16, h);
	ASSERT_EQ(kvbm_allocate(f.s, 24, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage(f.s, 16, m, h, BLOCK_SIZE, complete), 0);
	ASSERT_EQ(kvbm_register(f.s, 8, complete, im, NULL), 0);
	ASSERT_EQ(kvbm_release(f.s, 8, m + 16), 0);
	ASSERT_EQ(kvbm_release(f.s, 8, complete + 8), 0);
	ASSERT_EQ(kvbm_release(f.s, 8, im), 0);
	c = counters(&f);
	EXPECT_EQ(c.reset_pool_size, 16);
	EXPECT_EQ(c.inactive_pool_size, 8);
	EXPECT_EQ(c.stagings, 16);
	EXPECT_EQ(c.registrations, 8);
	EXPECT_EQ(kvbm_probe(f.s, 16, h), 8);
	tear_down(&f);
}

static void mixed_ways_back(void)
{
	with_each_policy(mixed_with);
}

static void twice_with(uint32_t policy)
{
	struct kvbm_immutable im[BLOCKS / 2];
	struct kvbm_mutable m[BLOCKS / 2];
	struct kvbm_counters c;
	struct fixture f;

	/* 16 registered and cached; 16 evicted and dropped; 16 of the next ones. */
	set_up_policy(&f, BLOCKS / 2, policy);
	fill(&f, 0, BLOCKS / 2, im);
	ASSERT_EQ(kvbm_release(f.s, BLOCKS / 2, im), 0);
	ASSERT_EQ(kvbm_allocate(f.s, BLOCKS / 2, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_release(f.s, BLOCKS / 2, m), 0);
	fill(&f, 100, BLOCKS / 2, im);
	ASSERT_EQ(kvbm_release(f.s, BLOCKS / 2, im), 0);
	c = counters(&f);
	EXPECT_EQ(c.allocations, 48);
	EXPECT_EQ(c.registrations, 32);
	EXPECT_EQ(c.evictions, 16);
	EXPECT_EQ(c.allocations_from_reset, 32);
	EXPECT_EQ(c.inactive_pool_size, BLOCKS / 2);
	EXPECT_EQ(entries(&f), BLOCKS / 2);
	tear_down(&f);
}

static void two_cycles(void)
{
	with_each_policy(twice_with);
}

static void use(struct fixture *f, const struct kvbm_hash *hash, unsigned int times)
{
	struct kvbm_immutable im;

	while (times--) {
		ASSERT_EQ(kvbm_match(f->s, 1, hash, &im), 1);
		ASSERT_EQ(kvbm_release(f->s, 1, &im), 0);
	}
}

/* No level of multi-LRU has a limit of its own. */
static void multi_lru_all_cold(void)
{
	struct kvbm_immutable im[64];
	struct kvbm_mutable m[64];
	struct fixture f;
	size_t n;

	set_up_policy(&f, 64, KVBM_POLICY_MULTI_LRU);
	fill(&f, 0, 64, im);
	ASSERT_EQ(kvbm_release(f.s, 64, im), 0);
	EXPECT_EQ(counters(&f).inactive_pool_size, 64);
	ASSERT_EQ(kvbm_allocate(f.s, 64, m, NULL, &n), 0);
	EXPECT_EQ(n, 64);
	tear_down(&f);
}

/* Uses of 0, 3, 8 and 15 more: all can be evicted, the less used ones first. */
static void multi_lru_mixed_uses(void)
{
	static const unsigned int uses[4] = { 0, 3, 8, 15 };
	struct kvbm_hash h[BLOCKS], evicted[BLOCKS];
	struct kvbm_immutable im[BLOCKS];
	struct kvbm_mutable m[BLOCKS];
	struct fixture f;
	size_t n, i;

	set_up_policy(&f, BLOCKS, KVBM_POLICY_MULTI_LRU);
	hashes_of(0, BLOCKS, h);
	fill(&f, 0, BLOCKS, im);
	ASSERT_EQ(kvbm_release(f.s, BLOCKS, im), 0);
	/* The first eight most, the last eight not at all. */
	for (i = 0; i < BLOCKS; i++)
		use(&f, &h[i], uses[3 - i / 8]);
	ASSERT_EQ(kvbm_allocate(f.s, BLOCKS, m, evicted, &n), 0);
	ASSERT_EQ(n, BLOCKS);
	for (i = 0; i < BLOCKS; i++)
		EXPECT(!kvbm_hash_compare(&evicted[i], &h[(3 - i / 8) * 8 + i % 8]));
	tear_down(&f);
}

static const struct tap_test tests[] = {
	TEST(all_cached),
	TEST(half_is_evicted),
	TEST(mutable_go_to_reset),
	TEST(staged_go_to_reset),
	TEST(mixed_ways_back),
	TEST(two_cycles),
	TEST(multi_lru_all_cold),
	TEST(multi_lru_mixed_uses),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
