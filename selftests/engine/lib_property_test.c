// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What holds for any block size and any tokens: random ones, and a block's way
 * from the reset pool to Staged and back. Through libkvbm, on either backend.
 *
 *	SEED=n lib_property_test	repeats a run
 */
#include <time.h>

#include <kvbm/tokens.h>

#include "lib_moved.h"

#define NR_SIZES	11
#define ROUNDS		200

static uint64_t seed;

static uint32_t random_below(uint32_t n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(seed >> 33) % n;
}

static uint32_t block_size;

static void of_this_size(struct kvbm_manager_create *attr)
{
	attr->block_size = block_size;
}

static void fill_random(uint32_t *tokens, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		tokens[i] = random_below(UINT32_MAX);
}

/* The hash of the block that @tokens are, alone in a sequence. */
static struct kvbm_hash hash_of(const uint32_t *tokens, size_t n, uint64_t salt)
{
	struct kvbm_token_seq *seq = NULL;
	struct kvbm_hash hash = { 0 };
	const struct kvbm_hash *all;
	size_t count;

	ASSERT_EQ(kvbm_token_seq_alloc(tokens, n, n, salt, &seq), 0);
	all = kvbm_token_seq_hashes(seq, &count);
	if (EXPECT_EQ(count, 1))
		hash = all[0];
	kvbm_token_seq_free(seq);
	return hash;
}

/* Every size can be had, and used with it. */
static void every_block_size(void)
{
	uint32_t tokens[1 << (NR_SIZES - 1)];
	struct kvbm_complete complete;
	struct kvbm_immutable im;
	struct kvbm_mutable m;
	struct kvbm_hash h;
	struct fixture f;

	for (block_size = 1; block_size <= KVBM_MAX_BLOCK_SIZE; block_size *= 2) {
		set_up_with(&f, 4, of_this_size);
		EXPECT_EQ(kvbm_session_block_size(f.s), block_size);
		fill_random(tokens, block_size);
		h = hash_of(tokens, block_size, 0);
		ASSERT_EQ(kvbm_allocate(f.s, 1, &m, NULL, NULL), 0);
		EXPECT_EQ(kvbm_stage(f.s, 1, &m, &h, block_size, &complete), 0);
		EXPECT_EQ(kvbm_register(f.s, 1, &complete, &im, NULL), 0);
		EXPECT_EQ(kvbm_probe(f.s, 1, &h), 1);
		tear_down(&f);
	}
	EXPECT_EQ(block_size, 1 << NR_SIZES);
}

/* Any other number of tokens leaves the guard as it was. */
static void any_other_size(void)
{
	struct kvbm_mutable m, before;
	struct kvbm_complete complete;
	struct kvbm_counters c;
	struct kvbm_hash h;
	struct fixture f;
	uint32_t other;
	int i;

	for (block_size = 1; block_size <= KVBM_MAX_BLOCK_SIZE; block_size *= 2) {
		set_up_with(&f, 4, of_this_size);
		hashes_of(0, 1, &h);
		ASSERT_EQ(kvbm_allocate(f.s, 1, &m, NULL, NULL), 0);
		before = m;
		c = counters(&f);
		for (i = 0; i < ROUNDS / NR_SIZES; i++) {
			other = i < NR_SIZES ? 1U << i : random_below(2048);
			if (other == block_size)
				continue;
			EXPECT_EQ(kvbm_stage(f.s, 1, &m, &h, other, &complete), -EDOM);
			EXPECT(same_block(m.token, before.token));
			EXPECT(is_empty(&complete, 1));
		}
		EXPECT_MOVED(&f, c, 0);
		tear_down(&f);
	}
}

/* Staged and unstaged, it is the same block, with the hash it was given. */
static void there_and_back(void)
{
	struct kvbm_mutable m, before;
	struct kvbm_complete complete;
	struct kvbm_slot_info slot;
	struct kvbm_held held;
	struct kvbm_hash h;
	struct fixture f;
	uint32_t tokens[4];
	int i;

	block_size = 4;
	set_up_with(&f, 8, of_this_size);
	for (i = 0; i < ROUNDS; i++) {
		fill_random(tokens, 4);
		h = hash_of(tokens, 4, i % 3);
		ASSERT_EQ(kvbm_allocate(f.s, 1, &m, NULL, NULL), 0);
		before = m;
		ASSERT_EQ(kvbm_stage(f.s, 1, &m, &h, 4, &complete), 0);
		EXPECT(same_block(complete.token, before.token));
		slot = slot_of(&f, before.token.id);
		EXPECT_EQ(slot.state, KVBM_STATE_STAGED);
		EXPECT(!kvbm_hash_compare(&slot.hash, &h));
		ASSERT_EQ(kvbm_session_holdings(f.s, 0, 1, &held, NULL), 1);
		EXPECT(same_block(held.token, before.token));
		EXPECT(!kvbm_hash_compare(&held.hash, &h));
		ASSERT_EQ(kvbm_unstage(f.s, 1, &complete, &m), 0);
		EXPECT(same_block(m.token, before.token));
		EXPECT_EQ(state_of(&f, m.token.id), KVBM_STATE_MUTABLE);
		ASSERT_EQ(kvbm_release(f.s, 1, &m), 0);
		EXPECT_EQ(state_of(&f, before.token.id), KVBM_STATE_RESET);
	}
	tear_down(&f);
}

/* The same tokens, the same hash, however they came. */
static void hashes_repeat(void)
{
	struct kvbm_token_seq *at_once = NULL, *one_by_one = NULL;
	const struct kvbm_hash *a, *b;
	uint32_t tokens[96];
	size_t i, n, m;
	int round;

	for (round = 0; round < ROUNDS; round++) {
		uint32_t size = 1 + random_below(16);

		fill_random(tokens, ARRAY_SIZE(tokens));
		ASSERT_EQ(kvbm_token_seq_alloc(tokens, ARRAY_SIZE(tokens), size, round,
					       &at_once), 0);
		ASSERT_EQ(kvbm_token_seq_alloc(NULL, 0, size, round, &one_by_one), 0);
		for (i = 0; i < ARRAY_SIZE(tokens); i++)
			ASSERT(kvbm_token_seq_append(one_by_one, tokens[i]) >= 0);
		a = kvbm_token_seq_hashes(at_once, &n);
		b = kvbm_token_seq_hashes(one_by_one, &m);
		EXPECT_EQ(n, ARRAY_SIZE(tokens) / size);
		ASSERT_EQ(n, m);
		EXPECT(!memcmp(a, b, n * sizeof(*a)));
		kvbm_token_seq_free(at_once);
		kvbm_token_seq_free(one_by_one);
	}
}

/* One token, one bit of one token, or the salt: another hash. */
static void hashes_differ(void)
{
	struct kvbm_hash h, other;
	uint32_t tokens[16];
	uint32_t n, at;
	int round;

	for (round = 0; round < ROUNDS; round++) {
		n = 1 << random_below(5);
		fill_random(tokens, n);
		h = hash_of(tokens, n, 7);
		other = hash_of(tokens, n, 8);
		EXPECT(kvbm_hash_compare(&h, &other));
		at = random_below(n);
		tokens[at] ^= 1U << random_below(32);
		other = hash_of(tokens, n, 7);
		EXPECT(kvbm_hash_compare(&h, &other));
	}
}

static const struct tap_test tests[] = {
	TEST(every_block_size),
	TEST(any_other_size),
	TEST(there_and_back),
	TEST(hashes_repeat),
	TEST(hashes_differ),
};

int main(void)
{
	const char *text = getenv("SEED");

	seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
	printf("# SEED=%llu\n", (unsigned long long)seed);
	return tap_run(tests, ARRAY_SIZE(tests));
}
