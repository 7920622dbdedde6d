// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Regret: evicted hashes that come back. And since when blocks are held.
 */
#include <time.h>

#include "fixture.h"

static void nothing_is_regretted(void)
{
	struct kvbm_counters c;
	struct fixture f;
	u32 i;

	set_up(&f, 8);
	c = counters_of(f.store);
	EXPECT_EQ(c.regret_sample, 1);
	for (i = 0; i < 8; i++)
		cache(&f.holder, i, 1);
	/* In use, not evicted: the same hashes are no loss. */
	for (i = 0; i < 8; i++)
		cache(&f.holder, 100 + i, 1);
	c = counters_of(f.store);
	EXPECT_EQ(c.evictions, 8);
	EXPECT_EQ(c.regret_evictions, 8);
	EXPECT_EQ(c.regrets, 0);
	EXPECT_EQ(c.regret_total_ns, 0);
	tear_down(&f);
}

/*
 * A store of one block: 1 is evicted for 2, and 2 for 1. It remembers four
 * evictions, each at a place by its keyed hash, so in one store of four the two
 * meet at one place, and the first is forgotten.
 */
static void what_comes_back_is(void)
{
	u32 regretted = 0, i, drained, in_use;
	struct kvbm_counters c;
	struct fixture f;

	for (i = 0; i < 200; i++) {
		set_up(&f, 1);
		cache(&f.holder, 1, 1);
		cache(&f.holder, 2, 1);
		EXPECT_EQ(counters_of(f.store).regrets, 0);
		if (!regretted)
			usleep(30000);
		cache(&f.holder, 1, 1);
		c = counters_of(f.store);
		EXPECT_EQ(c.evictions, 2);
		EXPECT_EQ(c.regret_evictions, 2);
		EXPECT(c.regrets <= 1);
		/* The clock is a tick behind. */
		if (!regretted && c.regrets)
			EXPECT(c.regret_total_ns >= 10000000);
		regretted += c.regrets;
		/* Once only: what goes otherwise and comes back is no loss. */
		ASSERT_EQ(kvbm_holder_drain(&f.holder, &drained, &in_use), 0);
		cache(&f.holder, 1, 1);
		EXPECT_EQ(counters_of(f.store).regrets, c.regrets);
		tear_down(&f);
	}
	EXPECT(regretted > 100);
}

/* Neither resets nor drains are evictions. */
static void drained_is_not_evicted(void)
{
	struct kvbm_counters c;
	struct fixture f;
	u32 drained, in_use;

	set_up(&f, 2);
	cache(&f.holder, 1, 1);
	ASSERT_EQ(kvbm_holder_drain(&f.holder, &drained, &in_use), 0);
	EXPECT_EQ(drained, 1);
	cache(&f.holder, 1, 1);
	c = counters_of(f.store);
	EXPECT_EQ(c.regret_evictions, 0);
	EXPECT_EQ(c.regrets, 0);
	tear_down(&f);
}

/*
 * A cache that is always a little too small regrets nearly all; by how many it
 * watches one can tell that it watches one in regret_sample.
 */
static void large_is_sampled(void)
{
	u32 blocks = 1U << 15, i, round;
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, blocks);
	EXPECT_EQ(counters_of(f.store).regret_sample, 128);
	EXPECT(kvbm_regret_bytes(blocks) == kvbm_regret_bytes(1U << 28));
	for (round = 0; round < 3; round++)
		for (i = 0; i < blocks + blocks / 8; i++)
			cache(&f.holder, i, 1);
	c = counters_of(f.store);
	EXPECT(c.evictions > 2 * blocks);
	/* 513 expected; its spread is 23, so this is 10 of that. */
	EXPECT(c.regret_evictions > c.evictions / 128 * 6 / 10);
	EXPECT(c.regret_evictions < c.evictions / 128 * 14 / 10);
	EXPECT(c.regrets > c.regret_evictions / 2);
	EXPECT(c.regrets <= c.regret_evictions);
	tear_down(&f);
}

/* What is forgotten is not regretted: long ago by evictions, not by time. */
static void old_ones_are_forgotten(void)
{
	struct fixture f;
	u32 i;

	set_up(&f, 4);
	cache(&f.holder, 1, 1);
	for (i = 0; i < 4000; i++)
		cache(&f.holder, 10 + i, 1);
	cache(&f.holder, 1, 1);
	EXPECT_EQ(counters_of(f.store).regrets, 0);
	tear_down(&f);
}

static u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* Twice 2^24 ns, and then some, so that a later block has another time. */
static void let_time_pass(void)
{
	usleep(60000);
}

static void oldest(void)
{
	struct kvbm_holder_sum sum, first;
	struct kvbm_token t[6];
	struct fixture f;
	u32 failed;
	u64 before;

	set_up(&f, 8);
	kvbm_holder_sum(&f.holder, &sum);
	EXPECT_EQ(sum.blocks, 0);
	EXPECT_EQ(sum.guards, 0);
	EXPECT_EQ(sum.oldest_ns, 0);

	before = now_ns();
	ASSERT_EQ(take(&f.holder, 2, t), 0);
	kvbm_holder_sum(&f.holder, &first);
	EXPECT_EQ(first.blocks, 2);
	EXPECT_EQ(first.guards, 2);
	/* In steps of 17 ms, and of the tick. */
	EXPECT(first.oldest_ns + 40000000 > before);
	EXPECT(first.oldest_ns <= now_ns());

	/* More does not make it younger; its end makes it the next one's. */
	let_time_pass();
	ASSERT_EQ(take(&f.holder, 2, t + 2), 0);
	kvbm_holder_sum(&f.holder, &sum);
	EXPECT_EQ(sum.blocks, 4);
	EXPECT_EQ(sum.oldest_ns, first.oldest_ns);
	ASSERT_EQ(kvbm_holder_release(&f.holder, t, 1, no_hint, &failed), 0);
	kvbm_holder_sum(&f.holder, &sum);
	EXPECT_EQ(sum.oldest_ns, first.oldest_ns);
	ASSERT_EQ(kvbm_holder_release(&f.holder, t + 1, 1, no_hint, &failed), 0);
	kvbm_holder_sum(&f.holder, &sum);
	EXPECT_EQ(sum.blocks, 2);
	EXPECT(sum.oldest_ns >= first.oldest_ns + 30000000);
	ASSERT_EQ(kvbm_holder_release(&f.holder, t + 2, 2, no_hint, &failed), 0);
	kvbm_holder_sum(&f.holder, &sum);
	EXPECT_EQ(sum.oldest_ns, 0);
	tear_down(&f);
}

/* A refused registration: the guard is on another block, and as old as it was. */
static void replaced_is_as_old(void)
{
	struct kvbm_store_config config = config_of(8);
	struct kvbm_hash hash = hash_of(1);
	struct kvbm_holder_sum before, after;
	struct kvbm_token t;
	struct fixture f;
	u32 failed;
	u8 kind;

	config.duplication = KVBM_DUP_REJECT;
	set_up_with(&f, config);
	cache(&f.holder, 1, 1);
	ASSERT_EQ(take(&f.holder, 1, &t), 0);
	kvbm_holder_sum(&f.holder, &before);
	let_time_pass();
	ASSERT_EQ(kvbm_holder_stage(&f.holder, &t, &hash, NULL, 1, BLOCK_SIZE,
				    &failed), 0);
	ASSERT_EQ(kvbm_holder_register(&f.holder, &t, &kind, 1, &failed), 0);
	EXPECT_EQ(kind, KVBM_REGISTERED_EXISTING);
	kvbm_holder_sum(&f.holder, &after);
	EXPECT_EQ(after.blocks, 1);
	EXPECT_EQ(after.oldest_ns, before.oldest_ns);
	tear_down(&f);
}

static void waits_are_timed(void)
{
	struct kvbm_token t[2], more;
	struct kvbm_allocation a = { .count = 1, .tokens = &more };
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, 2);
	ASSERT_EQ(take(&f.holder, 2, t), 0);
	EXPECT_EQ(kvbm_holder_allocate(&f.holder, &a), -ENOSPC);
	EXPECT_EQ(counters_of(f.store).wait_total_ns, 0);
	a.deadline_ns = now_ns() + 50000000;
	EXPECT_EQ(kvbm_holder_allocate(&f.holder, &a), -ETIMEDOUT);
	c = counters_of(f.store);
	EXPECT_EQ(c.waits, 1);
	EXPECT_EQ(c.wait_timeouts, 1);
	EXPECT(c.wait_total_ns >= 30000000);
	tear_down(&f);
}

static const struct tap_test tests[] = {
	TEST(nothing_is_regretted),
	TEST(what_comes_back_is),
	TEST(drained_is_not_evicted),
	TEST(large_is_sampled),
	TEST(old_ones_are_forgotten),
	TEST(oldest),
	TEST(replaced_is_as_old),
	TEST(waits_are_timed),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
