// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Sequences of tokens: growing, shrinking, looking. expect_tokens() and
 * expect_sound() compare each result with what is made of the same tokens at once.
 */
#include <kvbm/kvbm.h>

#include "token_fixture.h"

/* Block hash and sequence hash of 1 to 4, 5 to 8, 9 to 12. */
#define HASH_1_4	14643705804678351452ULL
#define HASH_5_8	16777012769546811212ULL
#define SEQ_5_8		4945711292740353085ULL
#define SEQ_9_12	12583592247330656132ULL

static void expect_slice(const uint32_t *tokens, uint32_t first, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		EXPECT_EQ(tokens[i], first + i);
}

static void new_sequences(void)
{
	static const struct {
		size_t n;
		size_t blocks;
		uint64_t parent;
	} v[] = {
		{ 0, 0, 0 }, { 2, 0, 0 }, { 4, 1, HASH_1_4 }, { 9, 2, SEQ_5_8 },
	};
	struct kvbm_partial_block partial;
	struct kvbm_token_seq *seq;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		seq = seq_of(1, v[i].n);
		expect_tokens(seq, v[i].n);
		EXPECT_EQ(kvbm_token_seq_block_count(seq), v[i].blocks);
		EXPECT_EQ(kvbm_token_seq_salt_hash(seq), SALT);
		EXPECT_EQ(kvbm_token_seq_block_size(seq), 4);
		partial = partial_of(seq);
		EXPECT_EQ(partial.parent_sequence_hash, v[i].parent);
		EXPECT_EQ(partial.len, v[i].n % 4);
		expect_slice(partial.tokens, 4 * v[i].blocks + 1, partial.len);
		kvbm_token_seq_free(seq);
	}
	/* No salt is salt hash 0. */
	seq = seq_of_with((const uint32_t[]){ 1, 2, 3, 4, 5 }, 5, 4, 0);
	EXPECT_EQ(kvbm_token_seq_block_count(seq), 1);
	EXPECT(block_of(seq, 0).block_hash != HASH_1_4);
	EXPECT_EQ(partial_of(seq).tokens[0], 5);
	kvbm_token_seq_free(seq);
	kvbm_token_seq_free(NULL);
}

/* What a sequence is made of stays the caller's. */
static void tokens_are_copied(void)
{
	uint32_t tokens[] = { 1, 2, 3, 4, 5 }, more[] = { 6, 7, 8 };
	struct kvbm_token_seq *seq = seq_of_with(tokens, 5, 4, SALT);

	memset(tokens, 0, sizeof(tokens));
	EXPECT_EQ(kvbm_token_seq_extend(seq, more, 3), 1);
	memset(more, 0, sizeof(more));
	expect_tokens(seq, 8);
	kvbm_token_seq_free(seq);
}

static void block_sizes(void)
{
	static const uint32_t good[] = { 1, 2, 3, 5, 16, 48, 1000, 1024 };
	static const uint32_t bad[] = { 0, 1025, 1 << 31, UINT32_MAX };
	struct kvbm_token_seq *seq, *none = (void *)1;
	uint32_t *tokens = iota(1, 3000);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		seq = seq_of_with(tokens, 3000, good[i], SALT);
		EXPECT_EQ(kvbm_token_seq_block_count(seq), 3000 / good[i]);
		expect_tokens(seq, 3000);
		kvbm_token_seq_free(seq);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(kvbm_token_seq_alloc(tokens, 10, bad[i], SALT, &none), -EINVAL);
	EXPECT(none == (void *)1);
	free(tokens);
}

/* Five tokens in blocks of three. */
static void odd_block_size(void)
{
	uint32_t *tokens = iota(1, 5);
	struct kvbm_token_seq *seq = seq_of_with(tokens, 5, 3, SALT);

	EXPECT_EQ(kvbm_token_seq_block_count(seq), 1);
	expect_slice(block_of(seq, 0).tokens, 1, 3);
	EXPECT_EQ(partial_of(seq).len, 2);
	expect_slice(partial_of(seq).tokens, 4, 2);
	EXPECT_EQ(kvbm_token_seq_salt_hash(seq), SALT);
	kvbm_token_seq_free(seq);
	free(tokens);
}

static void blocks(void)
{
	struct kvbm_token_seq *seq = seq_of(1, 11);
	struct kvbm_token_block block = block_of(seq, 0), none = { .position = 77 };
	size_t n;

	expect_slice(block.tokens, 1, 4);
	EXPECT_EQ(block.block_size, 4);
	EXPECT_EQ(block.position, 0);
	EXPECT_EQ(block.salt_hash, SALT);
	EXPECT_EQ(block.block_hash, HASH_1_4);
	EXPECT_EQ(block.sequence_hash, HASH_1_4);
	EXPECT_EQ(block.parent_sequence_hash, 0);
	EXPECT_EQ(parts_of(&block.plh).position, 0);
	EXPECT_EQ(parts_of(&block.plh).parent_fragment, 0);
	block = block_of(seq, 1);
	expect_slice(block.tokens, 5, 4);
	EXPECT_EQ(block.position, 1);
	EXPECT_EQ(block.block_hash, HASH_5_8);
	EXPECT_EQ(block.sequence_hash, SEQ_5_8);
	EXPECT_EQ(block.parent_sequence_hash, HASH_1_4);
	EXPECT_EQ(parts_of(&block.plh).current, SEQ_5_8);
	EXPECT_EQ(parts_of(&block.plh).parent_fragment,
		  HASH_1_4 & ((1ULL << 54) - 1));
	/* The array for managers has the same. */
	EXPECT_EQ(kvbm_hash_compare(&kvbm_token_seq_hashes(seq, &n)[1], &block.plh), 0);
	EXPECT_EQ(n, 2);
	/* With another parent it would be another block. */
	EXPECT(kvbm_next_sequence_hash(HASH_5_8, HASH_5_8) != SEQ_5_8);
	/* The partial one is none yet. */
	EXPECT_EQ(kvbm_token_seq_block(seq, 2, &none), -ERANGE);
	EXPECT_EQ(kvbm_token_seq_block(seq, SIZE_MAX, &none), -ERANGE);
	EXPECT_EQ(none.position, 77);
	kvbm_token_seq_free(seq);
}

/* The last complete block is the one before the partial one, if there is any. */
static void last_block(void)
{
	struct kvbm_token_seq *seq = seq_of(1, 3);
	struct kvbm_token_block block;

	EXPECT_EQ(kvbm_token_seq_block_count(seq), 0);
	EXPECT_EQ(kvbm_token_seq_block(seq, kvbm_token_seq_block_count(seq) - 1,
				       &block), -ERANGE);
	EXPECT_EQ(kvbm_token_seq_extend(seq, (const uint32_t[]){ 4, 5, 6, 7, 8 }, 5), 2);
	expect_slice(block_of(seq, kvbm_token_seq_block_count(seq) - 1).tokens, 5, 4);
	kvbm_token_seq_free(seq);
}

/* Behind a complete block, the partial one is empty and its child. */
static void next_block(void)
{
	struct kvbm_token_seq *seq = seq_of(1, 4);
	struct kvbm_partial_block partial = partial_of(seq);

	EXPECT_EQ(partial.len, 0);
	EXPECT_EQ(partial.remaining, 4);
	EXPECT_EQ(partial.position, 1);
	EXPECT_EQ(partial.parent_sequence_hash, block_of(seq, 0).sequence_hash);
	kvbm_token_seq_free(seq);
}

/* What is asked of a partial block, from empty to complete. */
static void partial_block(void)
{
	struct kvbm_token_seq *seq = seq_of_with(NULL, 0, 3, SALT);
	struct kvbm_partial_block partial = partial_of(seq);

	EXPECT_EQ(partial.len, 0);
	EXPECT_EQ(partial.remaining, 3);
	EXPECT_EQ(kvbm_token_seq_append(seq, 1), 0);
	partial = partial_of(seq);
	EXPECT_EQ(partial.len, 1);
	EXPECT_EQ(partial.remaining, 2);
	/* It is never full: what does not fit begins the next one. */
	EXPECT_EQ(kvbm_token_seq_extend(seq, (const uint32_t[]){ 2, 3, 4 }, 3), 1);
	expect_slice(block_of(seq, 0).tokens, 1, 3);
	partial = partial_of(seq);
	EXPECT_EQ(partial.len, 1);
	EXPECT_EQ(partial.tokens[0], 4);
	EXPECT_EQ(partial.position, 1);
	/* Complete blocks are taken apart again. */
	EXPECT_EQ(kvbm_token_seq_pop(seq, NULL), 0);
	EXPECT_EQ(kvbm_token_seq_pop(seq, NULL), 0);
	partial = partial_of(seq);
	EXPECT_EQ(partial.len, 2);
	expect_slice(partial.tokens, 1, 2);
	EXPECT_EQ(kvbm_token_seq_unwind(seq, 2), 0);
	EXPECT_EQ(partial_of(seq).len, 0);
	EXPECT_EQ(kvbm_token_seq_pop(seq, NULL), -ENODATA);
	EXPECT_EQ(kvbm_token_seq_unwind(seq, 1), -ERANGE);
	EXPECT_EQ(kvbm_token_seq_append(seq, 10), 0);
	EXPECT_EQ(kvbm_token_seq_block_count(seq), 0);
	EXPECT_EQ(kvbm_token_seq_append(seq, 11), 0);
	EXPECT_EQ(kvbm_token_seq_append(seq, 12), 1);
	expect_slice(block_of(seq, 0).tokens, 10, 3);
	partial = partial_of(seq);
	EXPECT_EQ(partial.len, 0);
	EXPECT_EQ(partial.block_size, 3);
	EXPECT_EQ(partial.parent_sequence_hash, block_of(seq, 0).sequence_hash);
	expect_sound(seq);
	kvbm_token_seq_free(seq);
}

/* More tokens than a block takes: the rest is not lost. */
static void more_than_a_block(void)
{
	struct kvbm_token_seq *seq = seq_of_with(NULL, 0, 4, SALT);
	uint32_t *tokens = iota(1, 10);

	EXPECT_EQ(kvbm_token_seq_extend(seq, tokens, 10), 2);
	EXPECT_EQ(partial_of(seq).len, 2);
	expect_slice(partial_of(seq).tokens, 9, 2);
	expect_tokens(seq, 10);
	kvbm_token_seq_free(seq);
	free(tokens);
}

static void append(void)
{
	struct kvbm_token_seq *seq = seq_of(1, 10);

	EXPECT_EQ(partial_of(seq).parent_sequence_hash, SEQ_5_8);
	EXPECT_EQ(kvbm_token_seq_append(seq, 11), 0);
	EXPECT_EQ(kvbm_token_seq_block_count(seq), 2);
	expect_slice(partial_of(seq).tokens, 9, 3);
	EXPECT_EQ(kvbm_token_seq_append(seq, 12), 1);
	EXPECT_EQ(kvbm_token_seq_block_count(seq), 3);
	EXPECT_EQ(partial_of(seq).remaining, 4);
	EXPECT_EQ(partial_of(seq).parent_sequence_hash, SEQ_9_12);
	EXPECT_EQ(kvbm_token_seq_append(seq, 13), 0);
	EXPECT_EQ(kvbm_token_seq_block_count(seq), 3);
	EXPECT_EQ(block_of(seq, 2).sequence_hash, SEQ_9_12);
	EXPECT_EQ(partial_of(seq).remaining, 3);
	EXPECT_EQ(partial_of(seq).parent_sequence_hash, SEQ_9_12);
	expect_tokens(seq, 13);
	kvbm_token_seq_free(seq);
}

static void extend(void)
{
	/* To a sequence of @before tokens. */
	static const struct {
		size_t before;
		size_t n;
		ssize_t completed;
	} v[] = {
		{ 0, 0, 0 }, { 0, 2, 0 }, { 0, 4, 1 }, { 0, 6, 1 }, { 0, 8, 2 },
		{ 1, 0, 0 }, { 2, 2, 1 }, { 2, 3, 1 }, { 5, 5, 1 }, { 3, 10, 3 },
	};
	uint32_t *tokens = iota(1, 16);
	struct kvbm_token_seq *seq;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		seq = seq_of(1, v[i].before);
		EXPECT_EQ(kvbm_token_seq_extend(seq, tokens + v[i].before, v[i].n),
			  v[i].completed);
		expect_tokens(seq, v[i].before + v[i].n);
		kvbm_token_seq_free(seq);
	}
	/* Several times. */
	seq = seq_of_with(NULL, 0, 4, SALT);
	EXPECT_EQ(kvbm_token_seq_extend(seq, tokens, 2), 0);
	EXPECT_EQ(kvbm_token_seq_extend(seq, tokens + 2, 3), 1);
	EXPECT_EQ(partial_of(seq).parent_sequence_hash, HASH_1_4);
	EXPECT_EQ(kvbm_token_seq_extend(seq, tokens + 5, 5), 1);
	EXPECT_EQ(partial_of(seq).parent_sequence_hash, SEQ_5_8);
	EXPECT_EQ(kvbm_token_seq_extend(seq, NULL, 0), 0);
	expect_tokens(seq, 10);
	kvbm_token_seq_free(seq);
	free(tokens);
}

static void truncate_to(void)
{
	static const struct {
		size_t before;
		size_t len;
		size_t after;
		uint64_t parent;
	} v[] = {
		{ 10, 9, 9, SEQ_5_8 }, { 10, 8, 8, SEQ_5_8 }, { 10, 7, 7, HASH_1_4 },
		{ 10, 4, 4, HASH_1_4 }, { 10, 3, 3, 0 }, { 10, 0, 0, 0 },
		{ 10, 11, 10, SEQ_5_8 }, { 10, 10, 10, SEQ_5_8 }, { 0, 0, 0, 0 },
		{ 8, 4, 4, HASH_1_4 }, { 8, 3, 3, 0 }, { 10, SIZE_MAX, 10, SEQ_5_8 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		struct kvbm_token_seq *seq = seq_of(1, v[i].before);

		EXPECT_EQ(kvbm_token_seq_truncate(seq, v[i].len), 0);
		expect_tokens(seq, v[i].after);
		EXPECT_EQ(partial_of(seq).parent_sequence_hash, v[i].parent);
		/* It goes on from there. */
		EXPECT_EQ(kvbm_token_seq_append(seq, v[i].after + 1),
			  v[i].after % 4 == 3);
		expect_tokens(seq, v[i].after + 1);
		kvbm_token_seq_free(seq);
	}
}

/* A block that is completed with other tokens has another hash. */
static void other_tail(void)
{
	struct kvbm_token_seq *seq = seq_of(1, 12);
	struct kvbm_hash before = block_of(seq, 1).plh, kept = block_of(seq, 0).plh;
	const struct kvbm_hash *hashes = kvbm_token_seq_hashes(seq, NULL);

	EXPECT_EQ(kvbm_token_seq_truncate(seq, 6), 0);
	EXPECT_EQ(kvbm_token_seq_extend(seq, (const uint32_t[]){ 70, 80 }, 2), 1);
	EXPECT(kvbm_hash_compare(&hashes[1], &before));
	EXPECT_EQ(kvbm_hash_compare(&hashes[0], &kept), 0);
	expect_sound(seq);
	EXPECT_EQ(kvbm_token_seq_unwind(seq, 2), 0);
	EXPECT_EQ(kvbm_token_seq_extend(seq, (const uint32_t[]){ 7, 8 }, 2), 1);
	EXPECT_EQ(kvbm_hash_compare(&hashes[1], &before), 0);
	expect_tokens(seq, 8);
	kvbm_token_seq_free(seq);
}

static void unwind(void)
{
	static const size_t counts[] = { 0, 1, 3, 10 };
	struct kvbm_token_seq *seq;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		seq = seq_of(1, 10);
		EXPECT_EQ(kvbm_token_seq_unwind(seq, counts[i]), 0);
		expect_tokens(seq, 10 - counts[i]);
		kvbm_token_seq_free(seq);
	}
	seq = seq_of(1, 10);
	EXPECT_EQ(kvbm_token_seq_unwind(seq, 11), -ERANGE);
	EXPECT_EQ(kvbm_token_seq_unwind(seq, SIZE_MAX), -ERANGE);
	expect_tokens(seq, 10);
	kvbm_token_seq_free(seq);
	seq = seq_of(1, 0);
	EXPECT_EQ(kvbm_token_seq_unwind(seq, 1), -ERANGE);
	EXPECT_EQ(kvbm_token_seq_unwind(seq, 0), 0);
	kvbm_token_seq_free(seq);
}

static void pop(void)
{
	struct kvbm_token_seq *seq = seq_of(1, 10);
	uint32_t n, token;

	for (n = 10; n; n--) {
		token = 0;
		EXPECT_EQ(kvbm_token_seq_pop(seq, &token), 0);
		EXPECT_EQ(token, n);
		expect_tokens(seq, n - 1);
	}
	token = 77;
	EXPECT_EQ(kvbm_token_seq_pop(seq, &token), -ENODATA);
	EXPECT_EQ(token, 77);
	expect_tokens(seq, 0);
	kvbm_token_seq_free(seq);
}

/* With nothing behind it, the last complete block gives its token back. */
static void pop_of_complete_block(void)
{
	struct kvbm_token_seq *seq = seq_of(1, 8);
	uint32_t token;

	EXPECT_EQ(partial_of(seq).len, 0);
	EXPECT_EQ(kvbm_token_seq_pop(seq, &token), 0);
	EXPECT_EQ(token, 8);
	EXPECT_EQ(kvbm_token_seq_block_count(seq), 1);
	expect_slice(partial_of(seq).tokens, 5, 3);
	expect_tokens(seq, 7);
	kvbm_token_seq_free(seq);
}

static void total_tokens(void)
{
	struct kvbm_token_seq *seq = seq_of_with(NULL, 0, 3, SALT);
	uint32_t *tokens = iota(1, 7);

	EXPECT_EQ(kvbm_token_seq_len(seq), 0);
	EXPECT_EQ(kvbm_token_seq_extend(seq, tokens, 2), 0);
	EXPECT_EQ(kvbm_token_seq_len(seq), 2);
	EXPECT_EQ(kvbm_token_seq_append(seq, 3), 1);
	EXPECT_EQ(kvbm_token_seq_len(seq), 3);
	EXPECT_EQ(kvbm_token_seq_extend(seq, tokens + 3, 4), 1);
	EXPECT_EQ(kvbm_token_seq_len(seq), 7);
	EXPECT_EQ(kvbm_token_seq_pop(seq, NULL), 0);
	EXPECT_EQ(kvbm_token_seq_len(seq), 6);
	EXPECT_EQ(kvbm_token_seq_truncate(seq, 4), 0);
	EXPECT_EQ(kvbm_token_seq_len(seq), 4);
	EXPECT_EQ(kvbm_token_seq_unwind(seq, 2), 0);
	expect_tokens(seq, 2);
	kvbm_token_seq_free(seq);
	free(tokens);
}

static void tokens_at(void)
{
	static const struct {
		size_t first;
		size_t end;
	} good[] = {
		{ 0, 4 }, { 4, 8 }, { 8, 9 }, { 2, 6 }, { 6, 9 }, { 0, 9 }
	}, bad[] = {
		{ 5, 5 }, { 10, 15 }, { 3, 2 }, { 0, 10 }, { 9, 9 }, { 0, SIZE_MAX },
		{ SIZE_MAX, 0 }, { SIZE_MAX - 1, SIZE_MAX },
	};
	struct kvbm_token_seq *seq = seq_of(1, 9);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		const uint32_t *at = kvbm_token_seq_tokens_at(seq, good[i].first,
							      good[i].end);

		EXPECT(at == kvbm_token_seq_tokens(seq, NULL) + good[i].first);
		expect_slice(at, good[i].first + 1, good[i].end - good[i].first);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT(!kvbm_token_seq_tokens_at(seq, bad[i].first, bad[i].end));
	kvbm_token_seq_free(seq);
}

static void reset(void)
{
	struct kvbm_token_seq *seq = seq_of(100, 9);
	uint32_t *tokens = iota(1, 9);

	kvbm_token_seq_reset(seq);
	expect_tokens(seq, 0);
	EXPECT_EQ(kvbm_token_seq_block_count(seq), 0);
	EXPECT_EQ(partial_of(seq).parent_sequence_hash, 0);
	EXPECT_EQ(kvbm_token_seq_block_size(seq), 4);
	EXPECT_EQ(kvbm_token_seq_salt_hash(seq), SALT);
	EXPECT_EQ(kvbm_token_seq_extend(seq, tokens, 9), 2);
	expect_tokens(seq, 9);
	kvbm_token_seq_free(seq);
	free(tokens);
}

/* Complete blocks and the rest, each by itself. */
static void parts(void)
{
	struct kvbm_token_seq *seq = seq_of(1, 5);

	EXPECT_EQ(kvbm_token_seq_block_count(seq), 1);
	expect_slice(block_of(seq, 0).tokens, 1, 4);
	EXPECT_EQ(partial_of(seq).len, 1);
	EXPECT_EQ(partial_of(seq).tokens[0], 5);
	kvbm_token_seq_free(seq);
}

static void reserve(void)
{
	struct kvbm_token_seq *seq = seq_of(1, 3);
	const struct kvbm_hash *hashes;
	const uint32_t *tokens;
	uint32_t i;

	EXPECT_EQ(kvbm_token_seq_reserve(seq, 1000), 0);
	EXPECT_EQ(kvbm_token_seq_reserve(seq, 0), 0);
	EXPECT_EQ(kvbm_token_seq_reserve(seq, 3), 0);
	tokens = kvbm_token_seq_tokens(seq, NULL);
	hashes = kvbm_token_seq_hashes(seq, NULL);
	expect_tokens(seq, 3);
	for (i = 4; i <= 1000; i++)
		EXPECT_EQ(kvbm_token_seq_append(seq, i), i % 4 == 0);
	EXPECT(kvbm_token_seq_tokens(seq, NULL) == tokens);
	EXPECT(kvbm_token_seq_hashes(seq, NULL) == hashes);
	kvbm_token_seq_reset(seq);
	EXPECT(kvbm_token_seq_tokens(seq, NULL) == tokens);
	kvbm_token_seq_free(seq);
}

/* 2^24 blocks, and not a token more. */
static void longest(void)
{
	static const struct kvbm_mm_run run = { 1, 0, 1 };
	const size_t most = KVBM_MAX_POSITIONS;
	struct kvbm_token_seq *seq, *none = (void *)1;
	struct kvbm_token_block block;
	uint32_t token = 1;
	size_t i;

	/* Refused before a token is looked at: there is only one. */
	EXPECT_EQ(kvbm_token_seq_alloc(&token, most + 1, 1, SALT, &none), -EOVERFLOW);
	EXPECT_EQ(kvbm_token_seq_alloc(&token, 16 * most + 1, 16, SALT, &none),
		  -EOVERFLOW);
	EXPECT_EQ(kvbm_token_seq_alloc(&token, SIZE_MAX, 1024, SALT, &none), -EOVERFLOW);
	EXPECT(none == (void *)1);
	seq = seq_of_with(&token, 1, 1, SALT);
	EXPECT_EQ(kvbm_token_seq_extend(seq, &token, most), -EOVERFLOW);
	EXPECT_EQ(kvbm_token_seq_extend(seq, &token, SIZE_MAX), -EOVERFLOW);
	EXPECT_EQ(kvbm_token_seq_extend_mm(seq, &token, most, &run, 1), -EOVERFLOW);
	EXPECT_EQ(kvbm_token_seq_push_mm_run(seq, 1, most), -EOVERFLOW);
	EXPECT_EQ(kvbm_token_seq_push_mm_run(seq, 1, SIZE_MAX), -EOVERFLOW);
	EXPECT_EQ(kvbm_token_seq_reserve(seq, most + 1), -EOVERFLOW);
	EXPECT_EQ(kvbm_token_seq_reserve(seq, SIZE_MAX), -EOVERFLOW);
	expect_tokens(seq, 1);
	if (kvbm_long() > 1) {
		EXPECT_EQ(kvbm_token_seq_reserve(seq, most), 0);
		for (i = 1; i < most; i++)
			ASSERT_EQ(kvbm_token_seq_append(seq, i + 1), 1);
		block = block_of(seq, most - 1);
		EXPECT_EQ(block.position, most - 1);
		EXPECT_EQ(parts_of(&block.plh).position, most - 1);
		EXPECT_EQ(kvbm_token_seq_append(seq, 1), -EOVERFLOW);
		EXPECT_EQ(kvbm_token_seq_push_mm_run(seq, 1, 1), -EOVERFLOW);
		EXPECT_EQ(kvbm_token_seq_len(seq), most);
		EXPECT_EQ(kvbm_token_seq_pop(seq, NULL), 0);
		EXPECT_EQ(kvbm_token_seq_append(seq, 1), 1);
	}
	kvbm_token_seq_free(seq);
}

/* Any calls in any order, against the same sequence made at once. */
static void any_order(void)
{
	uint32_t *tokens = iota(1, 4096), i, n, at;
	static const uint32_t sizes[] = { 1, 2, 3, 4, 16, 64 };

	srandom(20);
	for (i = 0; i < 6 * 40; i++) {
		uint32_t size = sizes[i % ARRAY_SIZE(sizes)];
		struct kvbm_token_seq *seq = seq_of_with(tokens, random() % 70, size,
							 random());
		uint32_t steps = 50;

		while (steps--) {
			at = kvbm_token_seq_len(seq);
			n = random() % (3 * size);
			switch (random() % 6) {
			case 0:
				EXPECT_EQ(kvbm_token_seq_extend(seq, tokens + at, n),
					  (at + n) / size - at / size);
				break;
			case 1:
			case 2:
				EXPECT_EQ(kvbm_token_seq_append(seq, at + 1),
					  (at + 1) % size == 0);
				break;
			case 3:
				EXPECT_EQ(kvbm_token_seq_truncate(seq, at - at / 4), 0);
				break;
			case 4:
				EXPECT_EQ(kvbm_token_seq_unwind(seq, n),
					  n > at ? -ERANGE : 0);
				break;
			case 5:
				EXPECT_EQ(kvbm_token_seq_pop(seq, NULL),
					  at ? 0 : -ENODATA);
				break;
			}
			expect_tokens(seq, kvbm_token_seq_len(seq));
		}
		kvbm_token_seq_free(seq);
	}
	free(tokens);
}

/* What is equal has equal hashes, and nothing else has. */
static void equality(void)
{
	static const uint32_t a[] = { 1, 2, 3, 4 }, b[] = { 1, 2, 3, 5 };
	struct kvbm_token_seq *x = seq_of_with(a, 4, 4, SALT);
	struct kvbm_token_seq *y = seq_of_with(a, 4, 4, SALT);
	struct kvbm_token_seq *z = seq_of_with(b, 4, 4, SALT);
	size_t n;

	EXPECT(!memcmp(kvbm_token_seq_tokens(x, &n), a, sizeof(a)));
	EXPECT_EQ(n, 4);
	EXPECT(memcmp(kvbm_token_seq_tokens(x, NULL), b, sizeof(b)));
	EXPECT_EQ(kvbm_hash_compare(kvbm_token_seq_hashes(x, NULL),
				    kvbm_token_seq_hashes(y, NULL)), 0);
	EXPECT(kvbm_hash_compare(kvbm_token_seq_hashes(x, NULL),
				 kvbm_token_seq_hashes(z, NULL)));
	kvbm_token_seq_free(x);
	kvbm_token_seq_free(y);
	kvbm_token_seq_free(z);
}

/* In our words, which tell what to do, not in those of the C library. */
static void errors_have_words(void)
{
	static const int errors[] = {
		EILSEQ, EINVAL, ENODATA, ENOMEM, ENOTUNIQ, EOVERFLOW, ERANGE
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		EXPECT(strcmp(kvbm_strerror(-errors[i]), strerror(errors[i])));
		EXPECT(strchr(kvbm_strerror(-errors[i]), ':'));
	}
}

static const struct tap_test tests[] = {
	TEST(new_sequences),
	TEST(tokens_are_copied),
	TEST(block_sizes),
	TEST(odd_block_size),
	TEST(blocks),
	TEST(last_block),
	TEST(next_block),
	TEST(partial_block),
	TEST(more_than_a_block),
	TEST(append),
	TEST(extend),
	TEST(truncate_to),
	TEST(other_tail),
	TEST(unwind),
	TEST(pop),
	TEST(pop_of_complete_block),
	TEST(total_tokens),
	TEST(tokens_at),
	TEST(reset),
	TEST(parts),
	TEST(reserve),
	TEST(longest),
	TEST(any_order),
	TEST(equality),
	TEST(errors_have_words),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
