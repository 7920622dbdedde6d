// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Reset on release, of single blocks and of all of a manager, and draining: who
 * decides whether a block is cached, for how long, and what is left of it. Through
 * libkvbm, on either backend.
 */
#include "lib_moved.h"

static void no_cache(struct kvbm_manager_create *attr)
{
	attr->flags = KVBM_MANAGER_RESET_ON_RELEASE;
}

/* Release, find and release again: a cycle through the cache. */
static void use(struct fixture *f, const struct kvbm_hash *hash, struct kvbm_immutable *im)
{
	ASSERT_EQ(kvbm_release(f->s, 1, im), 0);
	ASSERT_EQ(kvbm_match(f->s, 1, hash, im), 1);
}

static void is_not_cached(void)
{
	struct kvbm_immutable im;
	struct kvbm_counters c;
	struct kvbm_hash h;
	struct fixture f;

	set_up(&f, 4);
	hashes_of(0, 1, &h);
	fill(&f, 0, 1, &im);
	ASSERT_EQ(kvbm_set_reset_on_release(f.s, 1, &im, true), 0);
	c = counters(&f);
	ASSERT_EQ(kvbm_release(f.s, 1, &im), 0);
	EXPECT_MOVED(&f, c, .inflight_immutable = -1, .reset_pool_size = 1);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_RESET);
	EXPECT_EQ(entries(&f), 0);
	EXPECT(!is_present(&f, &h));
	EXPECT_EQ(kvbm_match(f.s, 1, &h, &im), 0);
	tear_down(&f);
}

static void found_while_held(void)
{
	struct kvbm_immutable im, other;
	struct kvbm_hash h;
	struct fixture f;

	set_up(&f, 4);
	hashes_of(0, 1, &h);
	fill(&f, 0, 1, &im);
	ASSERT_EQ(kvbm_set_reset_on_release(f.s, 1, &im, true), 0);
	ASSERT_EQ(kvbm_match(f.s, 1, &h, &other), 1);
	ASSERT_EQ(kvbm_release(f.s, 1, &im), 0);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_PRIMARY);
	ASSERT_EQ(kvbm_match(f.s, 1, &h, &im), 1);
	ASSERT_EQ(kvbm_release(f.s, 1, &im), 0);
	ASSERT_EQ(kvbm_release(f.s, 1, &other), 0);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_RESET);
	tear_down(&f);
}

/* By any guard of any session, and the last word counts. */
static void last_word_counts(void)
{
	struct kvbm_immutable im, clone, theirs;
	struct kvbm_session *other;
	struct kvbm_hash h;
	struct fixture f;
	int last;

	for (last = 0; last < 2; last++) {
		set_up(&f, 4);
		hashes_of(0, 1, &h);
		ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, 0, &other), 0);
		fill(&f, 0, 1, &im);
		ASSERT_EQ(kvbm_clone(f.s, 1, &im, &clone), 0);
		ASSERT_EQ(kvbm_match(other, 1, &h, &theirs), 1);
		ASSERT_EQ(kvbm_set_reset_on_release(f.s, 1, &im, last), 0);
		ASSERT_EQ(kvbm_set_reset_on_release(f.s, 1, &clone, !last), 0);
		ASSERT_EQ(kvbm_set_reset_on_release(other, 1, &theirs, last), 0);
		ASSERT_EQ(kvbm_release(other, 1, &theirs), 0);
		ASSERT_EQ(kvbm_release(f.s, 1, &clone), 0);
		ASSERT_EQ(kvbm_release(f.s, 1, &im), 0);
		EXPECT_EQ(state_of(&f, 0), last ? KVBM_STATE_RESET : KVBM_STATE_INACTIVE);
		kvbm_session_close(other);
		tear_down(&f);
	}
}

/* What was said of one tenant of a slot is not said of the next. */
static void not_of_the_next_tenant(void)
{
	struct kvbm_complete complete;
	struct kvbm_immutable im;
	struct kvbm_mutable m;
	struct kvbm_hash h;
	struct fixture f;

	set_up(&f, 1);
	fill(&f, 0, 1, &im);
	ASSERT_EQ(kvbm_set_reset_on_release(f.s, 1, &im, true), 0);
	ASSERT_EQ(kvbm_release(f.s, 1, &im), 0);
	fill(&f, 1, 1, &im);
	EXPECT_EQ(slot_of(&f, 0).flags & KVBM_SLOT_INFO_RESET_ON_RELEASE, 0);
	ASSERT_EQ(kvbm_release(f.s, 1, &im), 0);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_INACTIVE);
	/* Nor of the same one, when it was unstaged. */
	hashes_of(2, 1, &h);
	ASSERT_EQ(kvbm_allocate(f.s, 1, &m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage(f.s, 1, &m, &h, BLOCK_SIZE, &complete), 0);
	ASSERT_EQ(kvbm_set_reset_on_release(f.s, 1, &complete, true), 0);
	ASSERT_EQ(kvbm_unstage(f.s, 1, &complete, &m), 0);
	ASSERT_EQ(kvbm_stage_register(f.s, 1, &m, &h, BLOCK_SIZE, &im, NULL, NULL), 0);
	ASSERT_EQ(kvbm_release(f.s, 1, &im), 0);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_INACTIVE);
	tear_down(&f);
}

static void of_all_blocks(void)
{
	struct kvbm_immutable im[3];
	struct kvbm_hash h[3];
	struct fixture f;

	set_up_with(&f, 4, no_cache);
	hashes_of(0, 3, h);
	fill(&f, 0, 3, im);
	EXPECT_EQ(kvbm_probe(f.s, 3, h), 3);
	ASSERT_EQ(kvbm_release(f.s, 3, im), 0);
	EXPECT_EQ(counters(&f).reset_pool_size, 4);
	EXPECT_EQ(counters(&f).inactive_pool_size, 0);
	EXPECT_EQ(kvbm_probe(f.s, 3, h), 0);
	tear_down(&f);
}

/* One block of such a manager can be cached, through any number of cycles. */
static void but_not_of_this_one(void)
{
	struct kvbm_immutable im[2];
	struct kvbm_hash h[2];
	struct fixture f;
	int i;

	set_up_with(&f, 4, no_cache);
	hashes_of(0, 2, h);
	fill(&f, 0, 2, im);
	ASSERT_EQ(kvbm_set_reset_on_release(f.s, 1, im, false), 0);
	for (i = 0; i < 3; i++)
		use(&f, h, im);
	ASSERT_EQ(kvbm_release(f.s, 2, im), 0);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_INACTIVE);
	EXPECT_EQ(state_of(&f, 1), KVBM_STATE_RESET);
	tear_down(&f);
}

/* Set on a block that came out of the cache, it holds. */
static void of_a_revived_block(void)
{
	struct kvbm_immutable im;
	struct kvbm_hash h;
	struct fixture f;

	set_up(&f, 4);
	hashes_of(0, 1, &h);
	fill(&f, 0, 1, &im);
	use(&f, &h, &im);
	ASSERT_EQ(kvbm_set_reset_on_release(f.s, 1, &im, true), 0);
	ASSERT_EQ(kvbm_release(f.s, 1, &im), 0);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_RESET);
	tear_down(&f);
}

/* A Duplicate is reset whatever is said of it, and its Primary is not. */
static void of_a_duplicate(void)
{
	struct kvbm_immutable primary, duplicate;
	struct kvbm_hash h;
	struct fixture f;
	int reset;

	for (reset = 0; reset < 2; reset++) {
		set_up(&f, 4);
		hashes_of(0, 1, &h);
		fill(&f, 0, 1, &primary);
		fill(&f, 0, 1, &duplicate);
		ASSERT_EQ(kvbm_set_reset_on_release(f.s, 1, &duplicate, reset), 0);
		ASSERT_EQ(kvbm_release(f.s, 1, &duplicate), 0);
		EXPECT_EQ(state_of(&f, 1), KVBM_STATE_RESET);
		EXPECT(is_present(&f, &h));
		ASSERT_EQ(kvbm_release(f.s, 1, &primary), 0);
		EXPECT_EQ(state_of(&f, 0), KVBM_STATE_INACTIVE);
		tear_down(&f);
	}
}

/* Of blocks that were registered in one call, each has its own. */
static void each_for_itself(void)
{
	struct kvbm_immutable im[4], found[4];
	struct kvbm_hash h[4];
	struct fixture f;

	set_up(&f, 4);
	hashes_of(0, 4, h);
	fill(&f, 0, 4, im);
	ASSERT_EQ(kvbm_set_reset_on_release(f.s, 1, im, true), 0);
	ASSERT_EQ(kvbm_set_reset_on_release(f.s, 1, im + 2, true), 0);
	ASSERT_EQ(kvbm_release(f.s, 4, im), 0);
	EXPECT_EQ(counters(&f).reset_pool_size, 2);
	EXPECT_EQ(counters(&f).inactive_pool_size, 2);
	EXPECT_EQ(kvbm_match_scattered(f.s, 4, h, found), 2);
	EXPECT(is_empty(found, 1) && is_empty(found + 2, 1));
	EXPECT_EQ(found[1].token.id, 1);
	EXPECT_EQ(found[3].token.id, 3);
	tear_down(&f);
}

/* Cached against the default of its manager, evicted: forgotten. */
static void forgotten_when_evicted(void)
{
	struct kvbm_immutable im;
	struct fixture f;

	set_up_with(&f, 1, no_cache);
	fill(&f, 0, 1, &im);
	ASSERT_EQ(kvbm_set_reset_on_release(f.s, 1, &im, false), 0);
	ASSERT_EQ(kvbm_release(f.s, 1, &im), 0);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_INACTIVE);
	fill(&f, 1, 1, &im);
	EXPECT_EQ(counters(&f).evictions, 1);
	EXPECT(slot_of(&f, 0).flags & KVBM_SLOT_INFO_RESET_ON_RELEASE);
	ASSERT_EQ(kvbm_release(f.s, 1, &im), 0);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_RESET);
	tear_down(&f);
}

/* Saying it moves no gauge, and doing it moves one. */
static void gauges(void)
{
	struct kvbm_immutable im[3];
	struct kvbm_counters c;
	struct kvbm_hash h[3];
	struct fixture f;

	set_up(&f, 4);
	hashes_of(0, 3, h);
	fill(&f, 0, 3, im);
	c = counters(&f);
	ASSERT_EQ(kvbm_set_reset_on_release(f.s, 2, im, true), 0);
	EXPECT_MOVED(&f, c, 0);
	ASSERT_EQ(kvbm_release(f.s, 1, im), 0);
	EXPECT_MOVED(&f, c, .inflight_immutable = -1, .reset_pool_size = 1);
	ASSERT_EQ(kvbm_set_reset_on_release(f.s, 1, im + 1, false), 0);
	EXPECT_MOVED(&f, c, 0);
	ASSERT_EQ(kvbm_release(f.s, 2, im + 1), 0);
	EXPECT_MOVED(&f, c, .inflight_immutable = -2, .inactive_pool_size = 2);
	ASSERT_EQ(kvbm_match(f.s, 2, h + 1, im), 2);
	EXPECT_MOVED(&f, c, .match_hashes_requested = 2, .match_blocks_returned = 2,
		     .inflight_immutable = 2, .inactive_pool_size = -2);
	ASSERT_EQ(kvbm_set_reset_on_release(f.s, 2, im, true), 0);
	ASSERT_EQ(kvbm_release(f.s, 2, im), 0);
	EXPECT_MOVED(&f, c, .inflight_immutable = -2, .reset_pool_size = 2);
	EXPECT_EQ(c.reset_pool_size, 4);
	EXPECT_EQ(c.evictions, 0);
	tear_down(&f);
}

/* Draining: gauges, presence, and those that are held. */
static void drain(void)
{
	struct kvbm_drained drained;
	struct kvbm_immutable im[4];
	struct kvbm_counters c;
	struct kvbm_hash h[4];
	struct fixture f;
	int i;

	set_up(&f, 6);
	hashes_of(0, 4, h);
	fill(&f, 0, 4, im);
	ASSERT_EQ(kvbm_release(f.s, 3, im), 0);
	c = counters(&f);
	ASSERT_EQ(kvbm_drain(f.s, &drained), 0);
	EXPECT_EQ(drained.drained, 3);
	EXPECT_EQ(drained.in_use, 1);
	EXPECT_MOVED(&f, c, .inactive_pool_size = -3, .reset_pool_size = 3);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(is_present(&f, &h[i]), i == 3);
	EXPECT_EQ(entries(&f), 1);
	ASSERT_EQ(kvbm_release(f.s, 1, im + 3), 0);
	ASSERT_EQ(kvbm_drain(f.s, &drained), 0);
	EXPECT_EQ(drained.drained, 1);
	EXPECT_EQ(drained.in_use, 0);
	EXPECT_EQ(counters(&f).reset_pool_size, 6);
	EXPECT_EQ(entries(&f), 0);
	tear_down(&f);
}

static const struct tap_test tests[] = {
	TEST(is_not_cached),
	TEST(found_while_held),
	TEST(last_word_counts),
	TEST(not_of_the_next_tenant),
	TEST(of_all_blocks),
	TEST(but_not_of_this_one),
	TEST(of_a_revived_block),
	TEST(of_a_duplicate),
	TEST(each_for_itself),
	TEST(forgotten_when_evicted),
	TEST(gauges),
	TEST(drain),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
