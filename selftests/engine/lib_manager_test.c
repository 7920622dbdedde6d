// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What kvbm-logical's tests of its manager ask of one, through libkvbm: how it is
 * made, what allocation and registration do, and what they count. On either
 * backend.
 */
#include "lib_moved.h"

/* Creation. */

static void defaults(void)
{
	struct kvbm_registry_create ra;
	struct kvbm_manager_create ma;
	struct kvbm_manager_query q;
	struct kvbm_mutable m[5];
	struct kvbm_counters c;
	struct fixture f = { 0 };

	ASSERT_EQ(kvbm_open(test_uri(), &f.kvbm), 0);
	unique_name(f.name, "d");
	kvbm_registry_attr_init(&ra, f.name);
	ASSERT_EQ(kvbm_create_registry(f.kvbm, &ra, &f.registry), 0);
	kvbm_manager_attr_init(&ma, f.registry, "m", 100);
	ASSERT_EQ(kvbm_create_manager(f.kvbm, &ma, &f.manager), 0);
	ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, 0, &f.s), 0);
	ASSERT_EQ(kvbm_session_query(f.s, &q), 0);
	EXPECT_EQ(q.out_block_count, 100);
	EXPECT_EQ(q.out_block_size, 16);
	EXPECT_EQ(q.out_tier, KVBM_TIER_G1);
	EXPECT_EQ(q.out_policy, KVBM_POLICY_LINEAGE_TICK);
	EXPECT_EQ(q.out_duplication, KVBM_DUP_ALLOW);
	EXPECT_EQ(q.out_flags & KVBM_MANAGER_RESET_ON_RELEASE, 0);
	c = counters(&f);
	EXPECT_EQ(c.reset_pool_size, 100);
	EXPECT_EQ(c.inactive_pool_size, 0);
	EXPECT_EQ(c.inflight_mutable + c.inflight_immutable, 0);
	EXPECT_EQ(kvbm_allocate(f.s, 5, m, NULL, NULL), 0);
	EXPECT(!is_empty(m + 4, 1));
	tear_down(&f);
}

static void allocate_with(uint32_t policy)
{
	struct kvbm_manager_query q;
	struct kvbm_mutable m[5];
	struct fixture f;

	set_up_policy(&f, 100, policy);
	ASSERT_EQ(kvbm_session_query(f.s, &q), 0);
	EXPECT_EQ(q.out_policy, policy);
	EXPECT_EQ(kvbm_allocate(f.s, 5, m, NULL, NULL), 0);
	EXPECT_EQ(counters(&f).reset_pool_size, 95);
	tear_down(&f);
}

static void every_policy(void)
{
	with_each_policy(allocate_with);
}

static void own_thresholds(void)
{
	static const uint32_t own[4] = { 2, 6, 12 };
	struct kvbm_manager_create ma;
	struct kvbm_manager_query q;
	struct kvbm_session *s;
	struct kvbm_mutable m[5];
	struct fixture f;
	uint64_t id;

	set_up_policy(&f, 8, KVBM_POLICY_MULTI_LRU);
	ASSERT_EQ(kvbm_destroy_manager(f.kvbm, f.manager, true), 0);
	kvbm_session_close(f.s);
	kvbm_manager_attr_init(&ma, f.registry, "own", 8);
	ma.policy = KVBM_POLICY_MULTI_LRU;
	memcpy(ma.policy_args, own, sizeof(own));
	ASSERT_EQ(kvbm_create_manager(f.kvbm, &ma, &id), 0);
	ASSERT_EQ(kvbm_bind(f.kvbm, id, 0, &s), 0);
	EXPECT_EQ(kvbm_session_query(s, &q), 0);
	EXPECT(!memcmp(q.out_policy_args, own, sizeof(own)));
	EXPECT_EQ(kvbm_allocate(s, 5, m, NULL, NULL), 0);
	f.manager = id;
	f.s = s;
	tear_down(&f);
}

/* Each refusal leaves nothing, and has a text. */
static void creation_is_checked(void)
{
	static const struct {
		uint32_t blocks;
		uint32_t block_size;
		bool registry;
		int err;
	} v[] = {
		{ 0, 16, true, -EINVAL },
		{ 8, 16, false, -EINVAL },
		{ 8, 0, true, -EINVAL },
		{ 8, 7, true, -EINVAL },
		{ 8, 15, true, -EINVAL },
		{ 8, 2048, true, -EINVAL },
		{ 8, 1025, true, -EINVAL },
	};
	struct kvbm_registry_query q;
	struct kvbm_manager_create ma;
	struct fixture f;
	uint64_t id;
	size_t i;

	set_up(&f, 8);
	for (i = 0; i < ARRAY_SIZE(v); i++) {
		kvbm_manager_attr_init(&ma, v[i].registry ? f.registry : 0, "bad",
				       v[i].blocks);
		ma.block_size = v[i].block_size;
		id = 77;
		if (!EXPECT_EQ(kvbm_create_manager(f.kvbm, &ma, &id), v[i].err))
			printf("# in line %zu of the table\n", i);
		EXPECT_EQ(id, 77);
		EXPECT(strlen(kvbm_strerror(v[i].err)) > 10);
	}
	EXPECT_EQ(kvbm_query_registry(f.kvbm, f.registry, &q), 0);
	EXPECT_EQ(q.out_managers, 1);
	EXPECT_EQ(q.out_blocks, 8);
	/* It was the values and nothing else. */
	kvbm_manager_attr_init(&ma, f.registry, "good", 8);
	ma.block_size = 32;
	ASSERT_EQ(kvbm_create_manager(f.kvbm, &ma, &id), 0);
	EXPECT_EQ(kvbm_destroy_manager(f.kvbm, id, false), 0);
	tear_down(&f);
}

/* Allocation. */

static void one_block(void)
{
	struct kvbm_mutable m;
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, 10);
	c = counters(&f);
	ASSERT_EQ(kvbm_allocate(f.s, 1, &m, NULL, NULL), 0);
	EXPECT_MOVED(&f, c, .allocations = 1, .allocations_from_reset = 1,
		     .inflight_mutable = 1, .reset_pool_size = -1);
	EXPECT_EQ(state_of(&f, m.token.id), KVBM_STATE_MUTABLE);
	ASSERT_EQ(kvbm_release(f.s, 1, &m), 0);
	EXPECT_MOVED(&f, c, .inflight_mutable = -1, .reset_pool_size = 1);
	EXPECT_EQ(c.reset_pool_size, 10);
	tear_down(&f);
}

static void several_blocks(void)
{
	struct kvbm_mutable m[5];
	struct kvbm_counters c;
	struct fixture f;
	uint32_t seen = 0;
	int i;

	set_up(&f, 10);
	c = counters(&f);
	ASSERT_EQ(kvbm_allocate(f.s, 5, m, NULL, NULL), 0);
	for (i = 0; i < 5; i++)
		seen |= 1U << m[i].token.id;
	EXPECT_EQ(__builtin_popcount(seen), 5);
	EXPECT_MOVED(&f, c, .allocations = 5, .allocations_from_reset = 5,
		     .inflight_mutable = 5, .reset_pool_size = -5);
	ASSERT_EQ(kvbm_release(f.s, 5, m), 0);
	EXPECT_MOVED(&f, c, .inflight_mutable = -5, .reset_pool_size = 5);
	tear_down(&f);
}

static void no_blocks(void)
{
	struct kvbm_counters c;
	struct fixture f;
	size_t n = 77;

	set_up(&f, 10);
	c = counters(&f);
	EXPECT_EQ(kvbm_allocate(f.s, 0, NULL, NULL, &n), 0);
	EXPECT_EQ(n, 0);
	EXPECT_MOVED(&f, c, 0);
	tear_down(&f);
}

static void all_blocks(void)
{
	struct kvbm_mutable m[10], more;
	struct fixture f;
	uint32_t seen = 0;
	int i;

	set_up(&f, 10);
	ASSERT_EQ(kvbm_allocate(f.s, 10, m, NULL, NULL), 0);
	for (i = 0; i < 10; i++)
		seen |= 1U << m[i].token.id;
	EXPECT_EQ(seen, (1U << 10) - 1);
	EXPECT_EQ(counters(&f).reset_pool_size, 0);
	EXPECT_EQ(kvbm_allocate(f.s, 1, &more, NULL, NULL), -ENOSPC);
	ASSERT_EQ(kvbm_release(f.s, 10, m), 0);
	EXPECT_EQ(counters(&f).reset_pool_size, 10);
	tear_down(&f);
}

/* 3 + 4 + 3 of 10, then none, then some again. */
static void until_there_are_none(void)
{
	static const size_t parts[] = { 3, 4, 3 };
	struct kvbm_mutable m[10], more;
	struct kvbm_counters c;
	struct fixture f;
	size_t i, taken = 0;

	set_up(&f, 10);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(kvbm_allocate(f.s, parts[i], m + taken, NULL, NULL), 0);
		taken += parts[i];
		c = counters(&f);
		EXPECT_EQ(c.reset_pool_size, 10 - taken);
		EXPECT_EQ(c.inflight_mutable, taken);
		EXPECT_EQ(c.allocations, taken);
	}
	EXPECT_EQ(kvbm_allocate(f.s, 1, &more, NULL, NULL), -ENOSPC);
	EXPECT_MOVED(&f, c, 0);
	ASSERT_EQ(kvbm_release(f.s, 3, m), 0);
	ASSERT_EQ(kvbm_allocate(f.s, 1, &more, NULL, NULL), 0);
	EXPECT_EQ(kvbm_allocate(f.s, 3, m, NULL, NULL), -ENOSPC);
	ASSERT_EQ(kvbm_allocate(f.s, 2, m, NULL, NULL), 0);
	tear_down(&f);
}

/* Block sizes. */

static void of_eight(struct kvbm_manager_create *attr)
{
	attr->block_size = 8;
}

/* The guard stays as it was, and nothing is counted. */
static void wrong_block_size(void)
{
	struct kvbm_complete complete[2];
	struct kvbm_mutable m[2], copy[2];
	struct kvbm_counters c;
	struct kvbm_hash h[2];
	struct fixture f;

	set_up_with(&f, 10, of_eight);
	hashes_of(0, 2, h);
	ASSERT_EQ(kvbm_allocate(f.s, 2, m, NULL, NULL), 0);
	memcpy(copy, m, sizeof(m));
	c = counters(&f);
	EXPECT_EQ(kvbm_stage(f.s, 2, m, h, 4, complete), -EDOM);
	EXPECT_EQ(kvbm_stage(f.s, 2, m, h, 16, complete), -EDOM);
	EXPECT_MOVED(&f, c, 0);
	EXPECT_EQ(c.stagings, 0);
	EXPECT(!memcmp(m, copy, sizeof(m)));
	EXPECT(is_empty(complete, 2));
	EXPECT_EQ(state_of(&f, m[0].token.id), KVBM_STATE_MUTABLE);
	/* It is good for another attempt, and goes back. */
	ASSERT_EQ(kvbm_stage(f.s, 1, m, h, 8, complete), 0);
	EXPECT(same_block(complete[0].token, copy[0].token));
	ASSERT_EQ(kvbm_release(f.s, 1, complete), 0);
	ASSERT_EQ(kvbm_release(f.s, 1, m + 1), 0);
	EXPECT_EQ(counters(&f).reset_pool_size, 10);
	tear_down(&f);
}

static void two_block_sizes(void)
{
	struct kvbm_complete complete[2];
	struct kvbm_manager_create ma;
	struct kvbm_mutable m[2];
	struct kvbm_session *four;
	struct kvbm_hash h;
	struct fixture f;
	uint64_t id;

	set_up_with(&f, 8, of_eight);
	kvbm_manager_attr_init(&ma, f.registry, "four", 8);
	ma.block_size = 4;
	ASSERT_EQ(kvbm_create_manager(f.kvbm, &ma, &id), 0);
	ASSERT_EQ(kvbm_bind(f.kvbm, id, 0, &four), 0);
	EXPECT_EQ(kvbm_session_block_size(f.s), 8);
	EXPECT_EQ(kvbm_session_block_size(four), 4);
	hashes_of(0, 1, &h);
	ASSERT_EQ(kvbm_allocate(f.s, 1, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_allocate(four, 1, m + 1, NULL, NULL), 0);
	EXPECT_EQ(kvbm_stage(f.s, 1, m, &h, 4, complete), -EDOM);
	EXPECT_EQ(kvbm_stage(four, 1, m + 1, &h, 8, complete), -EDOM);
	EXPECT_EQ(kvbm_stage(f.s, 1, m, &h, 8, complete), 0);
	EXPECT_EQ(kvbm_stage(four, 1, m + 1, &h, 4, complete + 1), 0);
	kvbm_session_close(four);
	EXPECT_EQ(kvbm_destroy_manager(f.kvbm, id, false), 0);
	tear_down(&f);
}

/* Lives. */

/* All counters, from the reset pool to the inactive one and back to a guard. */
static void registered_life(void)
{
	struct kvbm_immutable im, again;
	struct kvbm_complete complete;
	struct kvbm_mutable m;
	struct kvbm_counters c;
	struct kvbm_hash h;
	struct fixture f;

	set_up(&f, 10);
	hashes_of(0, 1, &h);
	c = counters(&f);
	ASSERT_EQ(kvbm_allocate(f.s, 1, &m, NULL, NULL), 0);
	EXPECT_MOVED(&f, c, .allocations = 1, .allocations_from_reset = 1,
		     .inflight_mutable = 1, .reset_pool_size = -1);
	ASSERT_EQ(kvbm_stage(f.s, 1, &m, &h, BLOCK_SIZE, &complete), 0);
	EXPECT_MOVED(&f, c, .stagings = 1, .inflight_mutable = -1);
	ASSERT_EQ(kvbm_register(f.s, 1, &complete, &im, NULL), 0);
	EXPECT_MOVED(&f, c, .registrations = 1, .inflight_immutable = 1);
	EXPECT_EQ(state_of(&f, im.token.id), KVBM_STATE_PRIMARY);
	ASSERT_EQ(kvbm_match(f.s, 1, &h, &again), 1);
	EXPECT(same_block(again.token, im.token));
	EXPECT_MOVED(&f, c, .match_hashes_requested = 1, .match_blocks_returned = 1,
		     .inflight_immutable = 1);
	ASSERT_EQ(kvbm_release(f.s, 1, &again), 0);
	EXPECT_MOVED(&f, c, .inflight_immutable = -1);
	ASSERT_EQ(kvbm_release(f.s, 1, &im), 0);
	EXPECT_MOVED(&f, c, .inflight_immutable = -1, .inactive_pool_size = 1);
	ASSERT_EQ(kvbm_match(f.s, 1, &h, &again), 1);
	EXPECT_MOVED(&f, c, .match_hashes_requested = 1, .match_blocks_returned = 1,
		     .inflight_immutable = 1, .inactive_pool_size = -1);
	tear_down(&f);
}

/* Some are given back at each state, some are found; all are there in the end. */
static void mixed_lives(void)
{
	struct kvbm_immutable im[2], found[4];
	struct kvbm_complete complete[3];
	struct kvbm_mutable m[5];
	struct kvbm_hash h[4];
	struct fixture f;

	set_up(&f, 10);
	hashes_of(0, 4, h);
	ASSERT_EQ(kvbm_allocate(f.s, 5, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage(f.s, 3, m, h, BLOCK_SIZE, complete), 0);
	ASSERT_EQ(kvbm_release(f.s, 2, m + 3), 0);
	ASSERT_EQ(kvbm_register(f.s, 2, complete, im, NULL), 0);
	ASSERT_EQ(kvbm_release(f.s, 1, complete + 2), 0);
	EXPECT_EQ(kvbm_match(f.s, 4, h, found), 2);
	ASSERT_EQ(kvbm_release(f.s, 2, im), 0);
	EXPECT_EQ(counters(&f).inactive_pool_size, 0);
	ASSERT_EQ(kvbm_release(f.s, 2, found), 0);
	EXPECT_EQ(counters(&f).reset_pool_size, 8);
	EXPECT_EQ(counters(&f).inactive_pool_size, 2);
	ASSERT_EQ(kvbm_allocate(f.s, 5, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_release(f.s, 5, m), 0);
	tear_down(&f);
}

/* Registration. */

static void in_the_order_given(void)
{
	struct kvbm_complete complete[3];
	struct kvbm_immutable im[3];
	struct kvbm_mutable m[3];
	struct kvbm_counters c;
	struct kvbm_hash h[3];
	struct fixture f;
	int i;

	set_up(&f, 10);
	hashes_of(0, 3, h);
	c = counters(&f);
	ASSERT_EQ(kvbm_allocate(f.s, 3, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage(f.s, 3, m, h, BLOCK_SIZE, complete), 0);
	ASSERT_EQ(kvbm_register(f.s, 3, complete, im, NULL), 0);
	EXPECT_MOVED(&f, c, .allocations = 3, .allocations_from_reset = 3,
		     .stagings = 3, .registrations = 3, .inflight_immutable = 3,
		     .reset_pool_size = -3);
	for (i = 0; i < 3; i++) {
		struct kvbm_slot_info slot = slot_of(&f, im[i].token.id);

		EXPECT_EQ(im[i].token.id, i);
		EXPECT(!kvbm_hash_compare(&slot.hash, &h[i]));
	}
	tear_down(&f);
}

static void reject(struct kvbm_manager_create *attr)
{
	attr->duplication = KVBM_DUP_REJECT;
}

static void both_duplication_policies(void)
{
	struct kvbm_immutable first, second;
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, 10);
	fill(&f, 0, 1, &first);
	fill(&f, 0, 1, &second);
	c = counters(&f);
	EXPECT(first.token.id != second.token.id);
	EXPECT_EQ(c.duplicate_blocks, 1);
	EXPECT_EQ(c.registration_dedup, 0);
	EXPECT_EQ(c.reset_pool_size, 8);
	tear_down(&f);

	set_up_with(&f, 10, reject);
	fill(&f, 0, 1, &first);
	fill(&f, 0, 1, &second);
	c = counters(&f);
	EXPECT(same_block(first.token, second.token));
	EXPECT_EQ(c.duplicate_blocks, 0);
	EXPECT_EQ(c.registration_dedup, 1);
	EXPECT_EQ(c.registrations, 2);
	/* What was refused can be allocated again. */
	EXPECT_EQ(c.reset_pool_size, 9);
	tear_down(&f);
}

/* B, A, B, C, where A is present. */
static void refused_in_a_batch(void)
{
	struct kvbm_complete complete[4];
	struct kvbm_immutable a, im[4];
	struct kvbm_hash h[3], ask[4];
	struct kvbm_mutable m[4];
	struct kvbm_counters c;
	struct fixture f;
	int i;

	set_up_with(&f, 5, reject);
	hashes_of(0, 3, h);
	fill(&f, 0, 1, &a);
	ask[0] = h[1];
	ask[1] = h[0];
	ask[2] = h[1];
	ask[3] = h[2];
	ASSERT_EQ(kvbm_allocate(f.s, 4, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage(f.s, 4, m, ask, BLOCK_SIZE, complete), 0);
	c = counters(&f);
	ASSERT_EQ(kvbm_register(f.s, 4, complete, im, NULL), 0);
	EXPECT_MOVED(&f, c, .registrations = 4, .registration_dedup = 2,
		     .inflight_immutable = 4, .reset_pool_size = 2);
	EXPECT_EQ(im[0].token.id, 1);
	EXPECT(same_block(im[1].token, a.token));
	EXPECT(same_block(im[2].token, im[0].token));
	EXPECT_EQ(im[3].token.id, 4);
	for (i = 0; i < 3; i++)
		EXPECT(is_present(&f, &h[i]));
	/* Those refused are free, in their order. */
	ASSERT_EQ(kvbm_allocate(f.s, 2, m, NULL, NULL), 0);
	EXPECT_EQ(m[0].token.id, 2);
	EXPECT_EQ(m[1].token.id, 3);
	tear_down(&f);
}

static void duplicates_in_a_batch(void)
{
	struct kvbm_complete complete[2];
	struct kvbm_immutable im[2];
	struct kvbm_mutable m[2];
	struct kvbm_counters c;
	struct kvbm_hash h[2];
	struct fixture f;

	set_up(&f, 4);
	hashes_of(0, 1, h);
	h[1] = h[0];
	ASSERT_EQ(kvbm_allocate(f.s, 2, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage(f.s, 2, m, h, BLOCK_SIZE, complete), 0);
	c = counters(&f);
	ASSERT_EQ(kvbm_register(f.s, 2, complete, im, NULL), 0);
	EXPECT_MOVED(&f, c, .registrations = 2, .duplicate_blocks = 1,
		     .inflight_immutable = 2);
	EXPECT(im[0].token.id != im[1].token.id);
	EXPECT_EQ(state_of(&f, im[0].token.id), KVBM_STATE_PRIMARY);
	EXPECT_EQ(state_of(&f, im[1].token.id), KVBM_STATE_DUPLICATE);
	EXPECT(is_present(&f, h));
	ASSERT_EQ(kvbm_release(f.s, 1, im + 1), 0);
	EXPECT(is_present(&f, h));
	EXPECT_EQ(state_of(&f, im[0].token.id), KVBM_STATE_PRIMARY);
	tear_down(&f);
}

static const struct tap_test tests[] = {
	TEST(defaults),
	TEST(every_policy),
	TEST(own_thresholds),
	TEST(creation_is_checked),
	TEST(one_block),
	TEST(several_blocks),
	TEST(no_blocks),
	TEST(all_blocks),
	TEST(until_there_are_none),
	TEST(wrong_block_size),
	TEST(two_block_sizes),
	TEST(registered_life),
	TEST(mixed_lives),
	TEST(in_the_order_given),
	TEST(both_duplication_policies),
	TEST(refused_in_a_batch),
	TEST(duplicates_in_a_batch),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
