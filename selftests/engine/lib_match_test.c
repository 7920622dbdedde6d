// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What kvbm-logical's tests of its manager ask of matches, scans and weak blocks,
 * through libkvbm and, where it may matter, with every policy. On either backend.
 */
#include "lib_moved.h"

/* Matches. */

static void match_one(void)
{
	struct kvbm_immutable im, found;
	struct kvbm_counters c;
	struct kvbm_hash h;
	struct fixture f;

	set_up(&f, 10);
	hashes_of(0, 1, &h);
	fill(&f, 0, 1, &im);
	ASSERT_EQ(kvbm_match(f.s, 1, &h, &found), 1);
	EXPECT_EQ(found.token.id, im.token.id);
	ASSERT_EQ(kvbm_release(f.s, 1, &found), 0);
	ASSERT_EQ(kvbm_release(f.s, 1, &im), 0);
	EXPECT_EQ(counters(&f).inactive_pool_size, 1);
	ASSERT_EQ(kvbm_match(f.s, 1, &h, &found), 1);
	c = counters(&f);
	EXPECT_EQ(c.inactive_pool_size, 0);
	EXPECT_EQ(c.match_hashes_requested, 2);
	EXPECT_EQ(c.match_blocks_returned, 2);
	tear_down(&f);
}

/* Held and cached in any mix of six: one prefix, in order. */
static void match_any_mix(void)
{
	struct kvbm_immutable im[6], found[6];
	struct kvbm_hash h[6];
	struct fixture f;
	unsigned int held, i;

	hashes_of(0, 6, h);
	for (held = 0; held < 1U << 6; held++) {
		set_up(&f, 8);
		fill(&f, 0, 6, im);
		for (i = 0; i < 6; i++)
			if (!(held >> i & 1))
				ASSERT_EQ(kvbm_release(f.s, 1, im + i), 0);
		EXPECT_EQ(counters(&f).inactive_pool_size, 6 - __builtin_popcount(held));
		EXPECT_EQ(kvbm_match(f.s, 6, h, found), 6);
		for (i = 0; i < 6; i++)
			EXPECT_EQ(found[i].token.id, i);
		EXPECT_EQ(counters(&f).inactive_pool_size, 0);
		tear_down(&f);
	}
}

/* Two of four: what is behind the miss is not looked at. */
static void match_stops_at_a_miss(void)
{
	struct kvbm_immutable im[5], found[4];
	struct kvbm_counters c;
	struct kvbm_hash h[5], ask[4];
	struct fixture f;

	set_up(&f, 8);
	hashes_of(0, 5, h);
	fill(&f, 0, 4, im);
	ASSERT_EQ(kvbm_release(f.s, 4, im), 0);
	ask[0] = h[0];
	ask[1] = h[1];
	ask[2] = h[4];
	ask[3] = h[3];
	c = counters(&f);
	EXPECT_EQ(kvbm_match(f.s, 4, ask, found), 2);
	EXPECT(is_empty(found + 2, 2));
	EXPECT_EQ(state_of(&f, 3), KVBM_STATE_INACTIVE);
	EXPECT_MOVED(&f, c, .match_hashes_requested = 4, .match_blocks_returned = 2,
		     .inflight_immutable = 2, .inactive_pool_size = -2);
	tear_down(&f);
}

/* Scattered matches. */

/* A held one, a miss, a cached one twice, and one behind it. */
static void scattered_with(uint32_t policy)
{
	static const int order[5] = { 0, 4, 1, 1, 2 };
	struct kvbm_immutable im[3], found[5];
	struct kvbm_hash h[5], ask[5];
	struct kvbm_counters c;
	struct fixture f;
	int i;

	set_up_policy(&f, 8, policy);
	hashes_of(0, 5, h);
	fill(&f, 0, 3, im);
	ASSERT_EQ(kvbm_release(f.s, 2, im + 1), 0);
	for (i = 0; i < 5; i++)
		ask[i] = h[order[i]];
	c = counters(&f);
	EXPECT_EQ(kvbm_match_scattered(f.s, 5, ask, found), 4);
	EXPECT_MOVED(&f, c, .match_hashes_requested = 5, .match_blocks_returned = 4,
		     .inflight_immutable = 4, .inactive_pool_size = -2);
	EXPECT(same_block(found[0].token, im[0].token));
	EXPECT(is_empty(found + 1, 1));
	EXPECT_EQ(found[2].token.id, 1);
	EXPECT(same_block(found[3].token, found[2].token));
	EXPECT_EQ(found[4].token.id, 2);
	EXPECT_EQ(slot_of(&f, 1).refs, 2);
	tear_down(&f);
}

static void scattered(void)
{
	with_each_policy(scattered_with);
}

static void scattered_nothing(void)
{
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, 8);
	c = counters(&f);
	EXPECT_EQ(kvbm_match_scattered(f.s, 0, NULL, NULL), 0);
	EXPECT_MOVED(&f, c, 0);
	tear_down(&f);
}

/* Scans. */

/* Three are asked for, of which two are one: as many hashes, one block. */
static void scan_counts(void)
{
	struct kvbm_immutable im, found[3];
	struct kvbm_hash h[2], ask[3];
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, 8);
	hashes_of(0, 2, h);
	fill(&f, 0, 1, &im);
	ask[0] = h[0];
	ask[1] = h[1];
	ask[2] = h[0];
	c = counters(&f);
	EXPECT_EQ(kvbm_scan(f.s, 3, ask, found), 1);
	EXPECT_MOVED(&f, c, .scan_hashes_requested = 3, .scan_blocks_returned = 1,
		     .inflight_immutable = 1);
	EXPECT(same_block(found[0].token, im.token));
	EXPECT(is_empty(found + 1, 2));
	tear_down(&f);
}

/* Out of the inactive pool, and back when they are released. */
static void scan_with(uint32_t policy)
{
	struct kvbm_immutable im[4], found[3];
	struct kvbm_hash h[5], ask[3];
	struct kvbm_counters c;
	struct fixture f;

	set_up_policy(&f, 8, policy);
	hashes_of(0, 5, h);
	fill(&f, 0, 4, im);
	ASSERT_EQ(kvbm_release(f.s, 4, im), 0);
	c = counters(&f);
	EXPECT_EQ(c.inactive_pool_size, 4);
	ask[0] = h[2];
	ask[1] = h[4];
	ask[2] = h[0];
	EXPECT_EQ(kvbm_scan(f.s, 3, ask, found), 2);
	EXPECT_MOVED(&f, c, .scan_hashes_requested = 3, .scan_blocks_returned = 2,
		     .inflight_immutable = 2, .inactive_pool_size = -2);
	ASSERT_EQ(kvbm_release(f.s, 3, found), 0);
	EXPECT_MOVED(&f, c, .inflight_immutable = -2, .inactive_pool_size = 2);
	tear_down(&f);
}

static void scan_and_back(void)
{
	with_each_policy(scan_with);
}

/* Looking. */

/* Blocks 0 to 7 were cached; who looks at the first ones, and how the others go. */
static void evict_all(uint32_t policy, bool look, struct kvbm_mutable *out)
{
	struct kvbm_slot_info slots[8];
	struct kvbm_immutable im[8];
	struct kvbm_hash h[8];
	struct kvbm_counters before;
	struct fixture f;
	uint64_t masks[8];
	uint8_t counts[8];

	set_up_policy(&f, 8, policy);
	hashes_of(0, 8, h);
	fill(&f, 0, 8, im);
	ASSERT_EQ(kvbm_release(f.s, 4, im + 4), 0);
	ASSERT_EQ(kvbm_release(f.s, 4, im), 0);
	if (look) {
		before = counters(&f);
		EXPECT_EQ(kvbm_probe(f.s, 3, h), 3);
		EXPECT_EQ(kvbm_probe(f.s, 3, h + 4), 3);
		EXPECT_EQ(kvbm_presence(f.kvbm, f.registry, 8, h, 1, &f.manager, masks), 0);
		EXPECT_EQ(kvbm_frequency(f.kvbm, f.registry, false, 8, h, counts), 0);
		EXPECT_EQ(kvbm_session_dump(f.s, 0, 8, slots), 8);
		EXPECT_MOVED(&f, before, 0);
	}
	ASSERT_EQ(kvbm_allocate(f.s, 8, out, NULL, NULL), 0);
	tear_down(&f);
}

static void look_with(uint32_t policy)
{
	struct kvbm_mutable seen[8], unseen[8];
	int i;

	evict_all(policy, true, seen);
	evict_all(policy, false, unseen);
	for (i = 0; i < 8; i++)
		EXPECT_EQ(seen[i].token.id, unseen[i].token.id);
}

/* To look at blocks changes nothing, not even which is evicted first. */
static void looking_changes_nothing(void)
{
	with_each_policy(look_with);
}

/* Requests. */

/* A chain of five, held, cached, and found again from its beginning. */
static void chain_with(uint32_t policy)
{
	struct kvbm_immutable im[5], found[5];
	struct kvbm_hash h[5];
	struct fixture f;
	int i;

	set_up_policy(&f, 8, policy);
	hashes_of(0, 5, h);
	fill(&f, 0, 5, im);
	EXPECT_EQ(kvbm_match(f.s, 5, h, found), 5);
	ASSERT_EQ(kvbm_release(f.s, 5, found), 0);
	ASSERT_EQ(kvbm_release(f.s, 5, im), 0);
	EXPECT_EQ(counters(&f).inactive_pool_size, 5);
	EXPECT_EQ(kvbm_match(f.s, 5, h, found), 5);
	for (i = 0; i < 5; i++)
		EXPECT_EQ(found[i].token.id, i);
	EXPECT_EQ(counters(&f).inactive_pool_size, 0);
	tear_down(&f);
}

static void chain_of_five(void)
{
	with_each_policy(chain_with);
}

/* Three requests take turns: allocate, register, release; all is found. */
static void interleaved_requests(void)
{
	struct kvbm_mutable m[3][5];
	struct kvbm_immutable im[3][5], found[15];
	struct kvbm_hash h[15];
	struct kvbm_counters c;
	struct fixture f;
	int i, k;

	set_up(&f, 20);
	hashes_of(0, 15, h);
	for (i = 0; i < 5; i++)
		for (k = 0; k < 3; k++)
			ASSERT_EQ(kvbm_allocate(f.s, 1, &m[k][i], NULL, NULL), 0);
	EXPECT_EQ(counters(&f).reset_pool_size, 5);
	for (i = 0; i < 5; i++)
		for (k = 0; k < 3; k++)
			ASSERT_EQ(kvbm_stage_register(f.s, 1, &m[k][i], &h[5 * k + i],
						      BLOCK_SIZE, &im[k][i], NULL, NULL),
				  0);
	for (k = 0; k < 3; k++)
		ASSERT_EQ(kvbm_release(f.s, 5, im[k]), 0);
	EXPECT_EQ(kvbm_match(f.s, 15, h, found), 15);
	for (i = 0; i < 15; i++)
		EXPECT_EQ(found[i].token.id, i % 5 * 3 + i / 5);
	c = counters(&f);
	EXPECT_EQ(c.match_blocks_returned, 15);
	ASSERT_EQ(kvbm_release(f.s, 15, found), 0);
	c = counters(&f);
	EXPECT_EQ(c.reset_pool_size + c.inactive_pool_size, 20);
	tear_down(&f);
}

/* Weak blocks. */

static void many_weak_ones(void)
{
	struct kvbm_immutable im, found[5];
	struct kvbm_weak weak[5];
	struct kvbm_hash h;
	struct fixture f;
	int i;

	set_up(&f, 8);
	hashes_of(0, 1, &h);
	fill(&f, 0, 1, &im);
	/* Of a match, too: a guard of a block is like any other. */
	ASSERT_EQ(kvbm_match(f.s, 1, &h, found), 1);
	for (i = 0; i < 5; i++)
		weak[i] = kvbm_downgrade(i % 2 ? &im : found, &h);
	ASSERT_EQ(kvbm_release(f.s, 1, found), 0);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(kvbm_weak_upgrade(f.s, &weak[i], found + i), 1);
		EXPECT(same_block(found[i].token, im.token));
	}
	EXPECT_EQ(slot_of(&f, im.token.id).refs, 6);
	tear_down(&f);
}

/* By its hash alone, held or cached. */
static void upgrade_by_hash(void)
{
	const struct kvbm_token none = { 0 };
	struct kvbm_immutable im, found;
	struct kvbm_counters c;
	struct kvbm_hash h[2];
	struct fixture f;

	set_up(&f, 8);
	hashes_of(0, 2, h);
	fill(&f, 0, 1, &im);
	c = counters(&f);
	EXPECT_EQ(kvbm_upgrade(f.s, 1, h + 1, &none, &found), 0);
	EXPECT_MOVED(&f, c, 0);
	EXPECT_EQ(kvbm_upgrade(f.s, 1, h, &none, &found), 1);
	EXPECT(same_block(found.token, im.token));
	EXPECT_MOVED(&f, c, .inflight_immutable = 1);
	ASSERT_EQ(kvbm_release(f.s, 1, &found), 0);
	ASSERT_EQ(kvbm_release(f.s, 1, &im), 0);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_INACTIVE);
	c = counters(&f);
	EXPECT_EQ(kvbm_upgrade(f.s, 1, h, &none, &found), 1);
	EXPECT_EQ(found.token.id, 0);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_PRIMARY);
	EXPECT_MOVED(&f, c, .inflight_immutable = 1, .inactive_pool_size = -1);
	tear_down(&f);
}

static const struct tap_test tests[] = {
	TEST(match_one),
	TEST(match_any_mix),
	TEST(match_stops_at_a_miss),
	TEST(scattered),
	TEST(scattered_nothing),

	TEST(scan_counts),
	TEST(scan_and_back),
	TEST(looking_changes_nothing),
	TEST(chain_of_five),
	TEST(interleaved_requests),
	TEST(many_weak_ones),
	TEST(upgrade_by_hash),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
