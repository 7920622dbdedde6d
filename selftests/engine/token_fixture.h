/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Tokens, and sequences of them, through the public interface alone.
 */
#ifndef KVBM_TOKEN_FIXTURE_H
#define KVBM_TOKEN_FIXTURE_H

#include <errno.h>
#include <stdlib.h>

#include <kvbm/tokens.h>

#include "tap.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/*
 * The salt hash of the reference's own vectors. It is the chain seed, too: what
 * has to do with the chain is also tested with others.
 */
#define SALT		1337

/* first, first + 1, ... */
static inline uint32_t *iota(uint32_t first, size_t n)
{
	uint32_t *tokens = calloc(n + 1, sizeof(*tokens));
	size_t i;

	for (i = 0; i < n; i++)
		tokens[i] = first + i;
	return tokens;
}

static inline struct kvbm_token_seq *seq_of_with(const uint32_t *tokens, size_t n,
						 uint32_t block_size, uint64_t salt)
{
	struct kvbm_token_seq *seq = NULL;

	ASSERT_EQ(kvbm_token_seq_alloc(tokens, n, block_size, salt, &seq), 0);
	return seq;
}

/* @n tokens from @first, blocks of 4, the salt of the vectors. */
static inline struct kvbm_token_seq *seq_of(uint32_t first, size_t n)
{
	uint32_t *tokens = iota(first, n);
	struct kvbm_token_seq *seq = seq_of_with(tokens, n, 4, SALT);

	free(tokens);
	return seq;
}

static inline struct kvbm_token_block block_of(const struct kvbm_token_seq *seq,
					       size_t index)
{
	struct kvbm_token_block block = { 0 };

	EXPECT_EQ(kvbm_token_seq_block(seq, index, &block), 0);
	return block;
}

static inline struct kvbm_partial_block partial_of(const struct kvbm_token_seq *seq)
{
	struct kvbm_partial_block partial;

	kvbm_token_seq_partial(seq, &partial);
	return partial;
}

static inline struct kvbm_plh_parts parts_of(const struct kvbm_hash *hash)
{
	struct kvbm_plh_parts parts = { 0 };

	EXPECT_EQ(kvbm_plh_unpack(hash, &parts), 0);
	return parts;
}

#define EXPECT_HASH(hash, high, low) do {				\
	const struct kvbm_hash tap_hash = (hash);			\
	EXPECT_EQ(tap_hash.hi, high);					\
	EXPECT_EQ(tap_hash.lo, low);					\
} while (0)

/*
 * That @seq is as if it had been made of its tokens and runs at once: no call
 * that changed it has left anything behind.
 */
static inline void expect_sound(const struct kvbm_token_seq *seq)
{
	size_t n, nr_runs, nr_hashes, nr_block_hashes, blocks;
	const uint32_t *tokens = kvbm_token_seq_tokens(seq, &n);
	const struct kvbm_mm_run *runs = kvbm_token_seq_mm_runs(seq, &nr_runs);
	const struct kvbm_hash *hashes = kvbm_token_seq_hashes(seq, &nr_hashes);
	const uint64_t *block_hashes =
		kvbm_token_seq_block_hashes(seq, &nr_block_hashes);
	uint32_t block_size = kvbm_token_seq_block_size(seq);
	struct kvbm_partial_block partial = partial_of(seq);
	struct kvbm_hash *h = calloc(n / block_size + 1, sizeof(*h));
	uint64_t *b = calloc(n / block_size + 1, sizeof(*b));

	blocks = n / block_size;
	EXPECT_EQ(kvbm_token_seq_len(seq), n);
	EXPECT_EQ(kvbm_token_seq_block_count(seq), blocks);
	EXPECT_EQ(nr_hashes, blocks);
	EXPECT_EQ(nr_block_hashes, blocks);
	EXPECT_EQ(kvbm_hash_blocks(tokens, n, runs, nr_runs, block_size,
				   kvbm_token_seq_salt_hash(seq), h, b), blocks);
	if (blocks) {
		EXPECT(!memcmp(hashes, h, blocks * sizeof(*h)));
		EXPECT(!memcmp(block_hashes, b, blocks * sizeof(*b)));
	}
	EXPECT_EQ(partial.len, n % block_size);
	EXPECT_EQ(partial.remaining, block_size - n % block_size);
	EXPECT_EQ(partial.block_size, block_size);
	EXPECT_EQ(partial.position, blocks);
	EXPECT_EQ(partial.parent_sequence_hash,
		  blocks ? parts_of(&h[blocks - 1]).current : 0);
	if (partial.len)
		EXPECT(partial.tokens == tokens + blocks * block_size);
	free(h);
	free(b);
}

/* The tokens of @seq are 1, 2, ... @n, and all else fits them. */
static inline void expect_tokens(const struct kvbm_token_seq *seq, size_t n)
{
	const uint32_t *tokens;
	size_t i, len;

	tokens = kvbm_token_seq_tokens(seq, &len);
	EXPECT_EQ(len, n);
	for (i = 0; i < len; i++)
		EXPECT_EQ(tokens[i], i + 1);
	expect_sound(seq);
}

#endif /* KVBM_TOKEN_FIXTURE_H */
