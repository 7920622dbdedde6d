// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Multimodal runs: their bytes, their hashes, what is refused.
 */
#include "token_fixture.h"

static struct kvbm_token_seq *mm_seq(const uint32_t *tokens, size_t n,
				     const struct kvbm_mm_run *runs, size_t nr_runs,
				     uint32_t block_size)
{
	struct kvbm_token_seq *seq = NULL;

	ASSERT_EQ(kvbm_token_seq_alloc_mm(tokens, n, runs, nr_runs, block_size, SALT,
					  &seq), 0);
	expect_sound(seq);
	return seq;
}

static bool same_runs(const struct kvbm_token_seq *seq, const struct kvbm_mm_run *runs,
		      size_t n)
{
	const struct kvbm_mm_run *r;
	size_t i, have;

	r = kvbm_token_seq_mm_runs(seq, &have);
	if (have != n)
		return false;
	for (i = 0; i < n; i++)
		if (r[i].mm_hash != runs[i].mm_hash || r[i].offset != runs[i].offset ||
		    r[i].length != runs[i].length)
			return false;
	return true;
}

static bool same_hashes(const struct kvbm_token_seq *a, const struct kvbm_token_seq *b)
{
	size_t n, m;
	const struct kvbm_hash *x = kvbm_token_seq_hashes(a, &n);
	const struct kvbm_hash *y = kvbm_token_seq_hashes(b, &m);

	return n == m && n && !memcmp(x, y, n * sizeof(*x)) &&
	       !memcmp(kvbm_token_seq_block_hashes(a, NULL),
		       kvbm_token_seq_block_hashes(b, NULL), n * sizeof(uint64_t));
}

/* Without a run, nothing is different. */
static void no_runs(void)
{
	uint32_t *tokens = iota(1, 9);
	struct kvbm_token_seq *plain = seq_of(1, 9);
	struct kvbm_token_seq *seq = mm_seq(tokens, 9, NULL, 0, 4);
	uint8_t bytes[4 * KVBM_MM_SLOT_SIZE];

	EXPECT(same_hashes(seq, plain));
	EXPECT(same_runs(seq, NULL, 0));
	EXPECT_EQ(kvbm_mm_block_bytes(tokens, 4, 0, NULL, 0, bytes), 16);
	EXPECT_EQ(kvbm_hash_bytes(bytes, 16, SALT), kvbm_block_hash(tokens, 4, SALT));
	kvbm_token_seq_free(plain);
	kvbm_token_seq_free(seq);
	free(tokens);
}

static void byte_layout(void)
{
	static const uint32_t tokens[8] = { 100, 101, 102, 103, 55, 66, 106, 107 };
	static const struct kvbm_mm_run run = { 0xaa, 4, 2 };
	static const uint8_t expected[8][KVBM_MM_SLOT_SIZE] = {
		{ 0, 100 }, { 0, 101 }, { 0, 102 }, { 0, 103 },
		{ 1, 0, 0, 0, 0, 0xaa }, { 1, 1, 0, 0, 0, 0xaa },
		{ 0, 106 }, { 0, 107 },
	};
	uint8_t bytes[sizeof(expected)];
	struct kvbm_token_seq *seq;

	memset(bytes, 0xff, sizeof(bytes));
	EXPECT_EQ(kvbm_mm_block_bytes(tokens, 8, 0, &run, 1, bytes), 104);
	EXPECT(!memcmp(bytes, expected, sizeof(expected)));
	seq = mm_seq(tokens, 8, &run, 1, 8);
	EXPECT_EQ(block_of(seq, 0).block_hash, 0xabcf0497c45814c8);
	EXPECT_EQ(block_of(seq, 0).block_hash,
		  kvbm_hash_bytes(expected, sizeof(expected), SALT));
	kvbm_token_seq_free(seq);
}

/* Every byte of a token, an index and a hash has its place. */
static void byte_order(void)
{
	static const uint32_t tokens[2] = { 0x04030201, 0 };
	static const struct kvbm_mm_run run = { 0x1817161514131211, 1, 0x10000000 };
	static const uint8_t expected[2][KVBM_MM_SLOT_SIZE] = {
		{ 0, 1, 2, 3, 4 },
		{ 1, 0, 0, 0, 0, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18 },
	};
	static const uint8_t far[KVBM_MM_SLOT_SIZE] = {
		1, 0x04, 0x03, 0x02, 0x01, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18
	};
	uint8_t bytes[sizeof(expected)];

	EXPECT_EQ(kvbm_mm_block_bytes(tokens, 2, 0, &run, 1, bytes), sizeof(bytes));
	EXPECT(!memcmp(bytes, expected, sizeof(expected)));
	EXPECT_EQ(kvbm_mm_block_bytes(tokens, 1, 1 + 0x01020304, &run, 1, bytes),
		  sizeof(far));
	EXPECT(!memcmp(bytes, far, sizeof(far)));
}

/* A slot that is a run's and one that is a token cannot take each other's place. */
static void kinds_of_slots_differ(void)
{
	static const uint32_t a[2] = { 0, 0xab }, b[2] = { 0xab, 0 };
	static const struct kvbm_mm_run first = { 0x1122334455667788, 0, 1 };
	static const struct kvbm_mm_run second = { 0x1122334455667788, 1, 1 };
	struct kvbm_token_seq *x = mm_seq(a, 2, &first, 1, 2);
	struct kvbm_token_seq *y = mm_seq(b, 2, &second, 1, 2);
	uint8_t p[2 * KVBM_MM_SLOT_SIZE], q[2 * KVBM_MM_SLOT_SIZE];

	EXPECT_EQ(kvbm_mm_block_bytes(a, 2, 0, &first, 1, p), sizeof(p));
	EXPECT_EQ(kvbm_mm_block_bytes(b, 2, 0, &second, 1, q), sizeof(q));
	EXPECT(memcmp(p, q, sizeof(p)));
	EXPECT(block_of(x, 0).block_hash != block_of(y, 0).block_hash);
	kvbm_token_seq_free(x);
	kvbm_token_seq_free(y);
}

/* A block without slots of a run is hashed as it always was. */
static void blocks_without_runs(void)
{
	/* In the middle of its block, at its ends, all of it. */
	static const struct kvbm_mm_run runs[] = {
		{ 0xab, 5, 2 }, { 0xab, 4, 3 }, { 0xab, 5, 3 }, { 0xab, 4, 4 }
	};
	uint32_t *tokens = iota(1, 12);
	struct kvbm_token_seq *plain = seq_of(1, 12);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(runs); i++) {
		struct kvbm_token_seq *seq = mm_seq(tokens, 12, &runs[i], 1, 4);
		struct kvbm_token_block a[3], b[3];
		size_t at;

		for (at = 0; at < 3; at++) {
			a[at] = block_of(seq, at);
			b[at] = block_of(plain, at);
		}
		EXPECT_EQ(a[0].block_hash, b[0].block_hash);
		EXPECT_EQ(a[0].sequence_hash, b[0].sequence_hash);
		EXPECT(a[1].block_hash != b[1].block_hash);
		EXPECT(a[1].sequence_hash != b[1].sequence_hash);
		/* The block behind: its own hash is the same, what was before is not. */
		EXPECT_EQ(a[2].block_hash, b[2].block_hash);
		EXPECT(a[2].sequence_hash != b[2].sequence_hash);
		kvbm_token_seq_free(seq);
	}
	kvbm_token_seq_free(plain);
	free(tokens);
}

/* The hashes without a sequence, around runs in several blocks. */
static void hash_blocks_around_runs(void)
{
	static const struct kvbm_mm_run runs[] = {
		{ 0xaa, 3, 6 }, { 0xbb, 9, 1 }, { 0xcc, 17, 2 }
	};
	uint32_t *tokens = iota(1, 23);
	struct kvbm_token_seq *seq = mm_seq(tokens, 23, runs, 3, 4);
	struct kvbm_hash hashes[5];
	uint64_t block_hashes[5];
	size_t i;

	EXPECT_EQ(kvbm_hash_blocks(tokens, 23, runs, 3, 4, SALT, hashes, block_hashes),
		  5);
	for (i = 0; i < 5; i++) {
		struct kvbm_token_block block = block_of(seq, i);
		uint8_t bytes[4 * KVBM_MM_SLOT_SIZE];
		size_t n = kvbm_mm_block_bytes(tokens + 4 * i, 4, 4 * i, runs, 3, bytes);

		EXPECT_EQ(n, i == 3 ? 16 : sizeof(bytes));
		EXPECT_EQ(kvbm_hash_compare(&hashes[i], &block.plh), 0);
		EXPECT_EQ(block_hashes[i], block.block_hash);
		EXPECT_EQ(block_hashes[i], kvbm_hash_bytes(bytes, n, SALT));
		EXPECT_EQ(parts_of(&hashes[i]).current, block.sequence_hash);
	}
	kvbm_token_seq_free(seq);
	free(tokens);
}

/* A block is larger than the buffer that its slots go through. */
static void large_blocks(void)
{
	static const struct kvbm_mm_run runs[] = { { 7, 10, 60 }, { 8, 190, 700 } };
	uint8_t *bytes = malloc(1024 * KVBM_MM_SLOT_SIZE);
	uint32_t *tokens = iota(1, 2048);
	struct kvbm_token_seq *seq = mm_seq(tokens, 2048, runs, 2, 1024);

	EXPECT_EQ(kvbm_mm_block_bytes(tokens, 1024, 0, runs, 2, bytes),
		  1024 * KVBM_MM_SLOT_SIZE);
	EXPECT_EQ(block_of(seq, 0).block_hash,
		  kvbm_hash_bytes(bytes, 1024 * KVBM_MM_SLOT_SIZE, SALT));
	EXPECT_EQ(block_of(seq, 1).block_hash,
		  kvbm_block_hash(tokens + 1024, 1024, SALT));
	kvbm_token_seq_free(seq);
	free(tokens);
	free(bytes);
}

/* Tokens in the place of a run do not count; its index and its object do. */
static void run_of_many_blocks(void)
{
	static const struct kvbm_mm_run run = { 0xcafebabe, 0, 20 };
	static const struct kvbm_mm_run other = { 0xdeadbeef, 0, 20 };
	uint32_t *zeroes = calloc(24, sizeof(*zeroes)), *tokens = iota(80, 24);
	struct kvbm_token_seq *a, *b, *c;

	memcpy(zeroes + 20, tokens + 20, 4 * sizeof(*tokens));
	a = mm_seq(zeroes, 24, &run, 1, 8);
	b = mm_seq(tokens, 24, &run, 1, 8);
	c = mm_seq(zeroes, 24, &other, 1, 8);
	EXPECT_EQ(kvbm_token_seq_block_count(a), 3);
	EXPECT(block_of(a, 0).block_hash != block_of(a, 1).block_hash);
	EXPECT(same_hashes(a, b));
	EXPECT(block_of(a, 0).block_hash != block_of(c, 0).block_hash);
	kvbm_token_seq_free(a);
	kvbm_token_seq_free(b);
	kvbm_token_seq_free(c);
	free(zeroes);
	free(tokens);
}

static void sorting(void)
{
	static const struct kvbm_mm_run runs[] = {
		{ 3, 20, 12 }, { 1, 0, 5 }, { 2, 5, 1 }
	};
	uint32_t *tokens = iota(1, 32);
	struct kvbm_token_seq *seq = mm_seq(tokens, 32, runs, 3, 4);
	struct kvbm_mm_run sorted[3];

	EXPECT_EQ(kvbm_mm_sort(runs, 3, 32, sorted), 0);
	EXPECT(same_runs(seq, sorted, 3));
	EXPECT_EQ(sorted[0].mm_hash, 1);
	EXPECT_EQ(sorted[1].mm_hash, 2);
	EXPECT_EQ(sorted[2].mm_hash, 3);
	EXPECT_EQ(sorted[2].offset, 20);
	EXPECT_EQ(kvbm_mm_sort(sorted, 3, 32, sorted), 0);
	EXPECT_EQ(kvbm_mm_sort(NULL, 0, 0, NULL), 0);
	EXPECT_EQ(kvbm_mm_sort(runs, 3, 31, sorted), -ERANGE);
	kvbm_token_seq_free(seq);
	free(tokens);
}

static void covers(void)
{
	static const struct kvbm_mm_run run = { 1, 4, 3 }, far = { 1, SIZE_MAX - 2, 10 };

	EXPECT(!kvbm_mm_covers(&run, 3));
	EXPECT(kvbm_mm_covers(&run, 4));
	EXPECT(kvbm_mm_covers(&run, 6));
	EXPECT(!kvbm_mm_covers(&run, 7));
	EXPECT(!kvbm_mm_covers(&far, SIZE_MAX - 1));
	EXPECT(!kvbm_mm_covers(&far, 3));
}

static void overflow(void)
{
	static const struct kvbm_mm_run run = { 1, SIZE_MAX - 2, 10 };
	struct kvbm_token_seq *seq = seq_of(1, 5);
	struct kvbm_mm_run sorted[1];
	uint32_t token = 1;

	EXPECT_EQ(kvbm_mm_sort(&run, 1, SIZE_MAX, sorted), -EOVERFLOW);
	EXPECT_EQ(kvbm_token_seq_extend_mm(seq, &token, 1, &run, 1), -EOVERFLOW);
	expect_tokens(seq, 5);
	EXPECT(same_runs(seq, NULL, 0));
	kvbm_token_seq_free(seq);
}

/* An error is told before anything is changed. */
static void validation(void)
{
	static const struct {
		struct kvbm_mm_run runs[3];
		size_t n;
		int err;
	} v[] = {
		{ { { 1, 0, 5 }, { 2, 4, 5 } }, 2, -ENOTUNIQ },
		{ { { 1, 8, 4 }, { 2, 0, 9 } }, 2, -ENOTUNIQ },
		{ { { 1, 3, 4 }, { 2, 3, 4 } }, 2, -ENOTUNIQ },
		{ { { 1, 30, 10 } }, 1, -ERANGE },
		{ { { 1, 32, 1 } }, 1, -ERANGE },
		{ { { 1, 40, 1 } }, 1, -ERANGE },
		{ { { 1, 0, 0 } }, 1, -EINVAL },
		{ { { 1, 0, 8 }, { 2, 4, 0 } }, 2, -EINVAL },
		/* The first in the order of the slots. */
		{ { { 1, 31, 2 }, { 2, 9, 0 }, { 3, 1, 1 } }, 3, -EINVAL },
		{ { { 1, SIZE_MAX, 2 }, { 2, 0, 33 } }, 2, -ERANGE },
	};
	static const struct kvbm_mm_run good = { 9, 1, 2 };
	uint32_t *tokens = iota(1, 35);
	struct kvbm_token_seq *none = (void *)1;
	struct kvbm_token_seq *seq = mm_seq(tokens, 3, &good, 1, 4);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		EXPECT_EQ(kvbm_token_seq_alloc_mm(tokens, 32, v[i].runs, v[i].n, 4, 0,
						  &none), v[i].err);
		EXPECT_EQ(kvbm_token_seq_extend_mm(seq, tokens, 32, v[i].runs, v[i].n),
			  v[i].err);
		expect_tokens(seq, 3);
		EXPECT(same_runs(seq, &good, 1));
	}
	EXPECT(none == (void *)1);
	EXPECT_EQ(kvbm_token_seq_push_mm_run(seq, 1, 0), -EINVAL);
	EXPECT_EQ(kvbm_token_seq_truncate(seq, 0), -EINVAL);
	EXPECT_EQ(kvbm_token_seq_unwind(seq, 1), -EINVAL);
	expect_tokens(seq, 3);
	EXPECT_EQ(kvbm_token_seq_extend_mm(seq, tokens + 3, 32, NULL, 0), 8);
	expect_tokens(seq, 35);
	kvbm_token_seq_free(seq);
	free(tokens);
}

/* Slots of a run stay; what is behind the last one can go. */
static void removing(void)
{
	struct kvbm_token_seq *seq = seq_of(1, 3);
	static const struct kvbm_mm_run run = { 0xab, 3, 2 };
	uint32_t token = 77;

	EXPECT_EQ(kvbm_token_seq_push_mm_run(seq, 0xab, 2), 1);
	EXPECT_EQ(kvbm_token_seq_truncate(seq, 0), -EINVAL);
	EXPECT_EQ(kvbm_token_seq_truncate(seq, 4), -EINVAL);
	EXPECT_EQ(kvbm_token_seq_unwind(seq, 1), -EINVAL);
	EXPECT_EQ(kvbm_token_seq_unwind(seq, 6), -ERANGE);
	EXPECT_EQ(kvbm_token_seq_pop(seq, &token), -EINVAL);
	EXPECT_EQ(token, 77);
	EXPECT_EQ(kvbm_token_seq_truncate(seq, 5), 0);
	EXPECT_EQ(kvbm_token_seq_unwind(seq, 0), 0);
	EXPECT_EQ(kvbm_token_seq_len(seq), 5);
	/* Text behind it, as a speculative decode adds and removes. */
	EXPECT_EQ(kvbm_token_seq_extend(seq, (const uint32_t[]){ 6, 7, 8, 9 }, 4), 1);
	EXPECT_EQ(kvbm_token_seq_unwind(seq, 3), 0);
	EXPECT_EQ(kvbm_token_seq_pop(seq, &token), 0);
	EXPECT_EQ(token, 6);
	EXPECT_EQ(kvbm_token_seq_pop(seq, &token), -EINVAL);
	EXPECT_EQ(kvbm_token_seq_append(seq, 6), 0);
	EXPECT(same_runs(seq, &run, 1));
	expect_sound(seq);
	/* All of it goes. */
	kvbm_token_seq_reset(seq);
	EXPECT(same_runs(seq, NULL, 0));
	EXPECT_EQ(kvbm_token_seq_extend(seq, (const uint32_t[]){ 1, 2, 3, 4 }, 4), 1);
	expect_tokens(seq, 4);
	kvbm_token_seq_free(seq);
}

static void streaming_equals_batch(void)
{
	static const uint32_t tokens[9] = { 1, 2, 3, 0, 0, 0, 0, 6, 7 };
	static const struct kvbm_mm_run run = { 0xaa, 3, 4 };
	struct kvbm_token_seq *batch = mm_seq(tokens, 9, &run, 1, 4);
	struct kvbm_token_seq *seq = seq_of(1, 0);

	EXPECT_EQ(kvbm_token_seq_append(seq, 1), 0);
	EXPECT_EQ(kvbm_token_seq_append(seq, 2), 0);
	EXPECT_EQ(kvbm_token_seq_append(seq, 3), 0);
	EXPECT_EQ(kvbm_token_seq_push_mm_run(seq, 0xaa, 4), 1);
	EXPECT_EQ(kvbm_token_seq_append(seq, 6), 1);
	EXPECT_EQ(kvbm_token_seq_append(seq, 7), 0);
	EXPECT(same_hashes(seq, batch));
	EXPECT(same_runs(seq, &run, 1));
	EXPECT(!memcmp(kvbm_token_seq_tokens(seq, NULL), tokens, sizeof(tokens)));
	kvbm_token_seq_free(seq);
	/* In two chunks, with the run counted from the second. */
	seq = seq_of_with(tokens, 2, 4, SALT);
	EXPECT_EQ(kvbm_token_seq_extend_mm(seq, tokens + 2, 7,
					   &(struct kvbm_mm_run){ 0xaa, 1, 4 }, 1), 2);
	EXPECT(same_hashes(seq, batch));
	EXPECT(same_runs(seq, &run, 1));
	kvbm_token_seq_free(seq);
	kvbm_token_seq_free(batch);
}

/* Chunks of any size with any runs, against all at once. */
static void any_chunks(void)
{
	struct kvbm_mm_run all[256], chunk[16];
	uint32_t tokens[1024], i, round;

	srandom(21);
	for (round = 0; round < 100; round++) {
		uint32_t size = 1 << round % 7;
		struct kvbm_token_seq *seq = seq_of_with(NULL, 0, size, SALT), *batch;
		size_t len = 0, nr_all = 0;

		for (i = 0; i < ARRAY_SIZE(tokens); i++)
			tokens[i] = random();
		while (len < 900) {
			size_t n = random() % 100, at = 0, nr = 0, had = len / size;

			while (nr < ARRAY_SIZE(chunk) && nr_all < ARRAY_SIZE(all)) {
				struct kvbm_mm_run run;

				run.offset = at + random() % 30;
				run.length = 1 + random() % 30;
				run.mm_hash = random() % 3;
				at = run.offset + run.length;
				if (at > n)
					break;
				chunk[nr++] = run;
				run.offset += len;
				all[nr_all++] = run;
			}
			/* Any order will do. */
			if (nr > 1) {
				struct kvbm_mm_run first = chunk[0];

				chunk[0] = chunk[nr - 1];
				chunk[nr - 1] = first;
			}
			EXPECT_EQ(kvbm_token_seq_extend_mm(seq, tokens + len, n, chunk,
							   nr), (len + n) / size - had);
			len += n;
		}
		batch = mm_seq(tokens, len, all, nr_all, size);
		EXPECT(same_hashes(seq, batch));
		EXPECT(same_runs(seq, all, nr_all));
		kvbm_token_seq_free(seq);
		kvbm_token_seq_free(batch);
	}
}

static const struct tap_test tests[] = {
	TEST(no_runs),
	TEST(byte_layout),
	TEST(byte_order),
	TEST(kinds_of_slots_differ),
	TEST(blocks_without_runs),
	TEST(hash_blocks_around_runs),
	TEST(large_blocks),
	TEST(run_of_many_blocks),
	TEST(sorting),
	TEST(covers),
	TEST(overflow),
	TEST(validation),
	TEST(removing),
	TEST(streaming_equals_batch),
	TEST(any_chunks),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
