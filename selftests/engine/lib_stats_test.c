// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The window of rates.
 */
#include <kvbm/stats.h>

#include "lib_fixture.h"

#define S	1000000000ULL

static struct kvbm_stats *enabled(uint32_t window)
{
	struct kvbm_stats_config config = { .window_size = window };
	struct kvbm_stats *stats = kvbm_stats_new(&config);

	ASSERT(stats);
	kvbm_stats_enable(stats, true);
	return stats;
}

static bool close_to(double a, double b)
{
	double apart = a > b ? a - b : b - a;

	return apart * 1000000 < 1;
}

static void disabled_by_default(void)
{
	struct kvbm_stats *stats = kvbm_stats_new(NULL);
	struct kvbm_counters c = { .allocations = 1 };
	struct kvbm_stats_sample s;

	ASSERT(stats);
	EXPECT(!kvbm_stats_is_enabled(stats));
	EXPECT_EQ(kvbm_stats_add(stats, S, &c), -ENODATA);
	EXPECT_EQ(kvbm_stats_tick(stats, NULL, 1), -ENODATA);
	EXPECT_EQ(kvbm_stats_latest(stats, &s), -ENODATA);
	EXPECT_EQ(kvbm_stats_window(stats, 1, &s), 0);
	kvbm_stats_free(stats);
	kvbm_stats_free(NULL);
}

static void enable_and_sample(void)
{
	struct kvbm_counters c = {
		.allocations = 100, .inflight_mutable = 1, .inflight_immutable = 2,
		.reset_pool_size = 3, .inactive_pool_size = 4,
	};
	struct kvbm_stats *stats = enabled(0);
	struct kvbm_stats_sample s;

	EXPECT_EQ(kvbm_stats_add(stats, S, &c), 0);
	ASSERT_EQ(kvbm_stats_latest(stats, &s), 0);
	EXPECT_EQ(s.ns, S);
	EXPECT(s.allocation_rate == 0 && s.eviction_rate == 0);
	EXPECT(s.match_hit_rate == 0 && s.scan_hit_rate == 0);
	EXPECT(s.allocation_gradient == 0 && s.eviction_gradient == 0);
	EXPECT_EQ(s.inflight_mutable, 1);
	EXPECT_EQ(s.inflight_immutable, 2);
	EXPECT_EQ(s.reset_pool_size, 3);
	EXPECT_EQ(s.inactive_pool_size, 4);
	c.allocations += 50;
	c.evictions += 10;
	c.inactive_pool_size = 9;
	EXPECT_EQ(kvbm_stats_add(stats, S + S / 2, &c), 0);
	ASSERT_EQ(kvbm_stats_latest(stats, &s), 0);
	EXPECT(close_to(s.allocation_rate, 100));
	EXPECT(close_to(s.eviction_rate, 20));
	EXPECT_EQ(s.inactive_pool_size, 9);
	/* Off and on again: what is between counts. */
	kvbm_stats_enable(stats, false);
	c.allocations += 50;
	EXPECT_EQ(kvbm_stats_add(stats, 2 * S, &c), -ENODATA);
	kvbm_stats_enable(stats, true);
	EXPECT_EQ(kvbm_stats_add(stats, 2 * S + S / 2, &c), 0);
	ASSERT_EQ(kvbm_stats_latest(stats, &s), 0);
	EXPECT(close_to(s.allocation_rate, 50));
	kvbm_stats_free(stats);
}

static void window(void)
{
	struct kvbm_stats *stats = enabled(5);
	struct kvbm_stats_sample s[10];
	struct kvbm_counters c = { 0 };
	uint64_t i;

	for (i = 0; i < 10; i++) {
		c.inflight_mutable = i;
		ASSERT_EQ(kvbm_stats_add(stats, (i + 1) * S, &c), 0);
	}
	ASSERT_EQ(kvbm_stats_window(stats, 10, s), 5);
	for (i = 0; i < 5; i++)
		EXPECT_EQ(s[i].inflight_mutable, 5 + i);
	ASSERT_EQ(kvbm_stats_window(stats, 2, s), 2);
	EXPECT_EQ(s[0].inflight_mutable, 8);
	EXPECT_EQ(s[1].inflight_mutable, 9);
	EXPECT_EQ(kvbm_stats_window(stats, 0, NULL), 0);
	kvbm_stats_free(stats);
}

static void hit_rates(void)
{
	struct kvbm_counters c = {
		.match_hashes_requested = 50, .match_blocks_returned = 50,
	};
	struct kvbm_stats *stats = enabled(0);
	struct kvbm_stats_sample s;

	ASSERT_EQ(kvbm_stats_add(stats, S, &c), 0);
	c.match_hashes_requested += 100;
	c.match_blocks_returned += 70;
	c.scan_hashes_requested += 8;
	c.scan_blocks_returned += 2;
	ASSERT_EQ(kvbm_stats_add(stats, 3 * S, &c), 0);
	ASSERT_EQ(kvbm_stats_latest(stats, &s), 0);
	EXPECT(close_to(s.match_hit_rate, 0.7));
	EXPECT(close_to(s.scan_hit_rate, 0.25));
	/* Nothing asked for. */
	ASSERT_EQ(kvbm_stats_add(stats, 4 * S, &c), 0);
	ASSERT_EQ(kvbm_stats_latest(stats, &s), 0);
	EXPECT(s.match_hit_rate == 0 && s.scan_hit_rate == 0);
	kvbm_stats_free(stats);
}

static void gradients(void)
{
	struct kvbm_stats *stats = enabled(0);
	struct kvbm_counters c = { 0 };
	struct kvbm_stats_sample s;

	ASSERT_EQ(kvbm_stats_add(stats, S, &c), 0);
	c.allocations += 200;
	c.evictions += 20;
	ASSERT_EQ(kvbm_stats_add(stats, 3 * S, &c), 0);
	ASSERT_EQ(kvbm_stats_latest(stats, &s), 0);
	EXPECT(close_to(s.allocation_rate, 100));
	EXPECT(close_to(s.allocation_gradient, 50));
	EXPECT(close_to(s.eviction_gradient, 5));
	c.allocations += 40;
	ASSERT_EQ(kvbm_stats_add(stats, 5 * S, &c), 0);
	ASSERT_EQ(kvbm_stats_latest(stats, &s), 0);
	EXPECT(close_to(s.allocation_rate, 20));
	EXPECT(close_to(s.allocation_gradient, -40));
	EXPECT(close_to(s.eviction_gradient, -5));
	kvbm_stats_free(stats);
}

/* Clocks that stand still or go back, and counters that fall. */
static void odd_samples(void)
{
	struct kvbm_counters c = { .allocations = 10 };
	struct kvbm_stats *stats = enabled(0);
	struct kvbm_stats_sample s;

	ASSERT_EQ(kvbm_stats_add(stats, 5 * S, &c), 0);
	c.allocations = 30;
	EXPECT_EQ(kvbm_stats_add(stats, 5 * S, &c), 0);
	ASSERT_EQ(kvbm_stats_latest(stats, &s), 0);
	EXPECT(s.allocation_rate == 0 && s.allocation_gradient == 0);
	EXPECT_EQ(kvbm_stats_add(stats, 4 * S, &c), -EINVAL);
	/* Nothing was lost by the sample of no time. */
	EXPECT_EQ(kvbm_stats_add(stats, 6 * S, &c), 0);
	ASSERT_EQ(kvbm_stats_latest(stats, &s), 0);
	EXPECT(close_to(s.allocation_rate, 20));
	/* Another manager of that name. */
	c.allocations = 3;
	EXPECT_EQ(kvbm_stats_add(stats, 7 * S, &c), 0);
	ASSERT_EQ(kvbm_stats_latest(stats, &s), 0);
	EXPECT(s.allocation_rate == 0 && s.allocation_gradient == 0);
	c.allocations = 5;
	EXPECT_EQ(kvbm_stats_add(stats, 8 * S, &c), 0);
	ASSERT_EQ(kvbm_stats_latest(stats, &s), 0);
	EXPECT(close_to(s.allocation_rate, 2));
	kvbm_stats_free(stats);
}

/* Of a real manager; the first tick is at once, the next one when it is due. */
static void ticks(void)
{
	struct kvbm_stats_config config = { .interval_ms = 20 };
	struct kvbm_stats *stats = kvbm_stats_new(&config);
	struct kvbm_stats_sample s[3];
	struct kvbm_mutable m[4];
	struct fixture f;
	int ms;

	ASSERT(stats);
	kvbm_stats_enable(stats, true);
	set_up(&f, 8);
	ms = kvbm_stats_tick(stats, f.kvbm, f.manager);
	EXPECT(ms > 0 && ms <= 21);
	EXPECT_EQ(kvbm_stats_window(stats, 3, s), 1);
	EXPECT_EQ(s[0].reset_pool_size, 8);
	ASSERT_EQ(kvbm_allocate(f.s, 4, m, NULL, NULL), 0);
	usleep(30000);
	ms = kvbm_stats_tick(stats, f.kvbm, f.manager);
	EXPECT(ms > 0 && ms <= 21);
	ASSERT_EQ(kvbm_stats_window(stats, 3, s), 2);
	EXPECT(s[1].allocation_rate > 0);
	EXPECT_EQ(s[1].reset_pool_size, 4);
	EXPECT_EQ(s[1].inflight_mutable, 4);
	usleep(30000);
	EXPECT_EQ(kvbm_stats_tick(stats, f.kvbm, f.manager + 100), -ENOENT);
	EXPECT_EQ(kvbm_stats_window(stats, 3, s), 2);
	tear_down(&f);
	kvbm_stats_free(stats);
}

/* What the samples are made of. */
static void counters_and_gauges(void)
{
	struct kvbm_immutable im[3], found[4];
	struct kvbm_complete complete[3];
	struct kvbm_mutable m[4];
	struct kvbm_hash h[4];
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, 8);
	hashes_of(0, 4, h);
	c = counters(&f);
	EXPECT_EQ(c.reset_pool_size, 8);
	EXPECT_EQ(c.inactive_pool_size, 0);
	EXPECT_EQ(c.allocations, 0);
	ASSERT_EQ(kvbm_allocate(f.s, 4, m, NULL, NULL), 0);
	c = counters(&f);
	EXPECT_EQ(c.allocations, 4);
	EXPECT_EQ(c.allocations_from_reset, 4);
	EXPECT_EQ(c.inflight_mutable, 4);
	EXPECT_EQ(c.reset_pool_size, 4);
	ASSERT_EQ(kvbm_stage(f.s, 3, m, h, BLOCK_SIZE, complete), 0);
	EXPECT_EQ(counters(&f).inflight_mutable, 1);
	ASSERT_EQ(kvbm_register(f.s, 3, complete, im, NULL), 0);
	ASSERT_EQ(kvbm_release(f.s, 1, m + 3), 0);
	c = counters(&f);
	EXPECT_EQ(c.inflight_mutable, 0);
	EXPECT_EQ(c.inflight_immutable, 3);
	EXPECT_EQ(c.reset_pool_size, 5);
	EXPECT_EQ(c.registrations, 3);
	/* Up and down again. */
	ASSERT_EQ(kvbm_match(f.s, 4, h, found), 3);
	EXPECT_EQ(counters(&f).inflight_immutable, 6);
	ASSERT_EQ(kvbm_release(f.s, 3, found), 0);
	EXPECT_EQ(counters(&f).inflight_immutable, 3);
	ASSERT_EQ(kvbm_release(f.s, 3, im), 0);
	c = counters(&f);
	EXPECT_EQ(c.inflight_immutable, 0);
	EXPECT_EQ(c.inactive_pool_size, 3);
	EXPECT_EQ(c.reset_pool_size, 5);
	EXPECT_EQ(c.match_hashes_requested, 4);
	EXPECT_EQ(c.match_blocks_returned, 3);
	ASSERT_EQ(kvbm_scan(f.s, 4, h, found), 3);
	c = counters(&f);
	EXPECT_EQ(c.scan_hashes_requested, 4);
	EXPECT_EQ(c.scan_blocks_returned, 3);
	EXPECT_EQ(c.match_hashes_requested, 4);
	EXPECT_EQ(c.inactive_pool_size, 0);
	tear_down(&f);
}

static const struct tap_test tests[] = {
	TEST(disabled_by_default),
	TEST(enable_and_sample),
	TEST(window),
	TEST(hit_rates),
	TEST(gradients),
	TEST(odd_samples),
	TEST(ticks),
	TEST(counters_and_gauges),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
