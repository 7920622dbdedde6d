// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Every allocation of a sequence fails once: the call says so, the sequence is as
 * it was, nothing is lost (the leak detector looks at the end), and the next try
 * works. And who has made room needs no memory any more.
 */
#include "token_fixture.h"

/* Of the library's environment, lib/shim/kvbm_env_user.h. */
extern bool (*kvbm_alloc_fail)(void);

static unsigned int countdown;

static bool fail_now(void)
{
	return countdown && !--countdown;
}

/* Allocation number @n from now fails; 0: none. */
static void fail_nth(unsigned int n)
{
	countdown = n;
	kvbm_alloc_fail = n ? fail_now : NULL;
}

/* Whether the allocation that was to fail was not reached. */
static bool fail_is_left(void)
{
	bool left = countdown;

	fail_nth(0);
	return left;
}

static const struct kvbm_mm_run one_run = { 1, 2, 3 };

enum call { EXTEND, EXTEND_MM, APPEND, PUSH_RUN, RESERVE, NR_CALLS };

static ssize_t call(struct kvbm_token_seq *seq, enum call what, const uint32_t *tokens)
{
	switch (what) {
	case EXTEND:
		return kvbm_token_seq_extend(seq, tokens, 1000);
	case EXTEND_MM:
		return kvbm_token_seq_extend_mm(seq, tokens, 1000, &one_run, 1);
	case APPEND:
		return kvbm_token_seq_append(seq, 17);
	case PUSH_RUN:
		return kvbm_token_seq_push_mm_run(seq, 1, 100);
	default:
		return kvbm_token_seq_reserve(seq, 1000);
	}
}

static void making(void)
{
	uint32_t *tokens = iota(1, 100);
	struct kvbm_token_seq *seq;
	unsigned int n;
	int err;

	for (n = 1; ; n++) {
		seq = (void *)1;
		fail_nth(n);
		err = kvbm_token_seq_alloc_mm(tokens, 100, &one_run, 1, 4, SALT, &seq);
		if (fail_is_left())
			break;
		EXPECT_EQ(err, -ENOMEM);
		EXPECT(seq == (void *)1);
	}
	ASSERT_EQ(err, 0);
	/* The sequence, its tokens, hashes, block hashes and runs. */
	EXPECT_EQ(n, 6);
	expect_tokens(seq, 100);
	kvbm_token_seq_free(seq);
	free(tokens);
}

static void growing(void)
{
	/* How many allocations each takes, with no room left. */
	static const unsigned int takes[NR_CALLS] = { 3, 4, 1, 4, 3 };
	uint32_t *tokens = iota(17, 1000);
	struct kvbm_token_seq *seq;
	unsigned int what, n;
	bool left;
	ssize_t ret;

	for (what = 0; what < NR_CALLS; what++) {
		for (n = 1, left = false; !left; n++) {
			seq = seq_of(1, 16);
			fail_nth(n);
			ret = call(seq, what, tokens);
			left = fail_is_left();
			if (!left) {
				EXPECT_EQ(ret, -ENOMEM);
				expect_tokens(seq, 16);
				/* What was got before the failure does no harm. */
				ret = call(seq, what, tokens);
			}
			EXPECT(ret >= 0);
			EXPECT_EQ(kvbm_token_seq_len(seq) > 16, what != RESERVE);
			expect_sound(seq);
			kvbm_token_seq_free(seq);
		}
		EXPECT_EQ(n - 2, takes[what]);
	}
	free(tokens);
}

/* A decode step in a sequence that has room; removing; looking. */
static void no_memory_needed(void)
{
	struct kvbm_token_seq *seq = seq_of(1, 16);
	uint32_t i;

	EXPECT_EQ(kvbm_token_seq_reserve(seq, 1016), 0);
	fail_nth(1);
	for (i = 17; i <= 1016; i++)
		EXPECT_EQ(kvbm_token_seq_append(seq, i), i % 4 == 0);
	expect_tokens(seq, 1016);
	EXPECT_EQ(kvbm_token_seq_unwind(seq, 100), 0);
	EXPECT_EQ(kvbm_token_seq_pop(seq, NULL), 0);
	EXPECT_EQ(kvbm_token_seq_truncate(seq, 500), 0);
	expect_tokens(seq, 500);
	EXPECT_EQ(kvbm_token_seq_append(seq, 501), 0);
	EXPECT_EQ(kvbm_token_seq_reserve(seq, 1016), 0);
	kvbm_token_seq_reset(seq);
	EXPECT_EQ(kvbm_token_seq_append(seq, 1), 0);
	EXPECT(fail_is_left());
	/* Then it does. */
	fail_nth(1);
	kvbm_token_seq_reset(seq);
	for (i = 1; i <= 1016; i++)
		EXPECT_EQ(kvbm_token_seq_append(seq, i), i % 4 == 0);
	EXPECT_EQ(kvbm_token_seq_append(seq, 1017), -ENOMEM);
	EXPECT(!fail_is_left());
	expect_tokens(seq, 1016);
	kvbm_token_seq_free(seq);
}

static unsigned int allocations;

static bool count(void)
{
	allocations++;
	return false;
}

/* Without room, too, allocations are few. */
static void appending_is_amortised(void)
{
	struct kvbm_token_seq *seq = seq_of(1, 0);
	uint32_t i;

	allocations = 0;
	kvbm_alloc_fail = count;
	for (i = 1; i <= 100000; i++)
		EXPECT_EQ(kvbm_token_seq_append(seq, i), i % 4 == 0);
	kvbm_alloc_fail = NULL;
	/* Three arrays, each half as large again: about 22 times. */
	EXPECT(allocations > 30);
	EXPECT(allocations < 100);
	expect_tokens(seq, 100000);
	kvbm_token_seq_free(seq);
}

static const struct tap_test tests[] = {
	TEST(making),
	TEST(growing),
	TEST(no_memory_needed),
	TEST(appending_is_amortised),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
