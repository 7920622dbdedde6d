// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Sequences of tokens: growing, shrinking, looking.
 */
#include "grow.h"
#include "engine/plh.h"
#include "tokens.h"

/**
 * struct kvbm_token_seq - a sequence
 * @tokens: all of them
 * @hashes: positional lineage hash of each complete block
 * @block_hashes: block hash of each complete block
 * @runs: multimodal runs, in order
 * @len: tokens
 * @nr_blocks: complete blocks, @len / @block_size
 * @nr_runs: runs
 * @room: tokens that there is room for
 * @hash_room: hashes that there is room for
 * @block_hash_room: block hashes that there is room for
 * @run_room: runs that there is room for
 * @salt_hash: seed of the block hashes
 * @block_size: tokens in a block
 */
struct kvbm_token_seq {
	uint32_t *tokens;
	struct kvbm_hash *hashes;
	uint64_t *block_hashes;
	struct kvbm_mm_run *runs;
	size_t len;
	size_t nr_blocks;
	size_t nr_runs;
	size_t room;
	size_t hash_room;
	size_t block_hash_room;
	size_t run_room;
	uint64_t salt_hash;
	uint32_t block_size;
};

/* Room for @n more tokens, and for the blocks that they complete. */
static int make_room(struct kvbm_token_seq *seq, size_t n, bool exact)
{
	size_t need, blocks;
	int err;

	if (__builtin_add_overflow(seq->len, n, &need) ||
	    need / seq->block_size > KVBM_MAX_POSITIONS ||
	    (need / seq->block_size == KVBM_MAX_POSITIONS && need % seq->block_size))
		return -EOVERFLOW;
	blocks = need / seq->block_size;
	err = kvbm_grow(&seq->tokens, &seq->room, need, sizeof(*seq->tokens), exact);
	if (!err)
		err = kvbm_grow(&seq->hashes, &seq->hash_room, blocks,
				sizeof(*seq->hashes), exact);
	if (!err)
		err = kvbm_grow(&seq->block_hashes, &seq->block_hash_room, blocks,
				sizeof(*seq->block_hashes), exact);
	return err;
}

/* @n tokens were written behind the last one. Return: blocks they complete. */
static size_t added(struct kvbm_token_seq *seq, size_t n)
{
	const struct kvbm_blocks blocks = {
		.tokens = seq->tokens,
		.runs = seq->runs,
		.nr_runs = seq->nr_runs,
		.salt_hash = seq->salt_hash,
		.block_size = seq->block_size,
	};
	size_t before = seq->nr_blocks;

	seq->len += n;
	seq->nr_blocks = seq->len / seq->block_size;
	kvbm_hash_range(&blocks, before, seq->nr_blocks, seq->hashes,
			seq->block_hashes);
	return seq->nr_blocks - before;
}

int kvbm_token_seq_alloc_mm(const uint32_t *tokens, size_t n,
			    const struct kvbm_mm_run *runs, size_t nr_runs,
			    uint32_t block_size, uint64_t salt_hash,
			    struct kvbm_token_seq **out)
{
	struct kvbm_token_seq *seq;
	ssize_t err;

	if (!block_size || block_size > KVBM_MAX_BLOCK_SIZE)
		return -EINVAL;
	seq = kvbm_alloc(1, sizeof(*seq));
	if (!seq)
		return -ENOMEM;
	seq->block_size = block_size;
	seq->salt_hash = salt_hash;
	err = kvbm_token_seq_extend_mm(seq, tokens, n, runs, nr_runs);
	if (err < 0) {
		kvbm_token_seq_free(seq);
		return err;
	}
	*out = seq;
	return 0;
}

int kvbm_token_seq_alloc(const uint32_t *tokens, size_t n, uint32_t block_size,
			 uint64_t salt_hash, struct kvbm_token_seq **out)
{
	return kvbm_token_seq_alloc_mm(tokens, n, NULL, 0, block_size, salt_hash, out);
}

void kvbm_token_seq_free(struct kvbm_token_seq *seq)
{
	if (!seq)
		return;
	free(seq->tokens);
	free(seq->hashes);
	free(seq->block_hashes);
	free(seq->runs);
	kvbm_free(seq);
}

int kvbm_token_seq_reserve(struct kvbm_token_seq *seq, size_t n)
{
	return n > seq->len ? make_room(seq, n - seq->len, true) : 0;
}

ssize_t kvbm_token_seq_extend(struct kvbm_token_seq *seq, const uint32_t *tokens,
			      size_t n)
{
	return kvbm_token_seq_extend_mm(seq, tokens, n, NULL, 0);
}

int kvbm_token_seq_append(struct kvbm_token_seq *seq, uint32_t token)
{
	return kvbm_token_seq_extend(seq, &token, 1);
}

ssize_t kvbm_token_seq_extend_mm(struct kvbm_token_seq *seq, const uint32_t *tokens,
				 size_t n, const struct kvbm_mm_run *runs,
				 size_t nr_runs)
{
	struct kvbm_mm_run *new_runs;
	size_t i;
	int err;

	if (nr_runs > SIZE_MAX - seq->nr_runs)
		return -ENOMEM;
	err = kvbm_grow(&seq->runs, &seq->run_room, seq->nr_runs + nr_runs,
			sizeof(*runs), !seq->nr_runs);
	if (err)
		return err;
	/* What is behind the last run may be scribbled on. */
	new_runs = nr_runs ? seq->runs + seq->nr_runs : NULL;
	err = kvbm_mm_sort(runs, nr_runs, n, new_runs);
	if (err)
		return err;
	err = make_room(seq, n, !seq->len);
	if (err)
		return err;
	for (i = 0; i < nr_runs; i++)
		new_runs[i].offset += seq->len;
	seq->nr_runs += nr_runs;
	if (n)
		memcpy(seq->tokens + seq->len, tokens, n * sizeof(*tokens));
	return added(seq, n);
}

ssize_t kvbm_token_seq_push_mm_run(struct kvbm_token_seq *seq, uint64_t mm_hash,
				   size_t length)
{
	int err;

	if (!length)
		return -EINVAL;
	err = kvbm_grow(&seq->runs, &seq->run_room, seq->nr_runs + 1,
			sizeof(*seq->runs), false);
	if (!err)
		err = make_room(seq, length, false);
	if (err)
		return err;
	seq->runs[seq->nr_runs++] = (struct kvbm_mm_run){ mm_hash, seq->len, length };
	memset(seq->tokens + seq->len, 0, length * sizeof(*seq->tokens));
	return added(seq, length);
}

int kvbm_token_seq_truncate(struct kvbm_token_seq *seq, size_t len)
{
	if (len >= seq->len)
		return 0;
	if (seq->nr_runs && kvbm_mm_end(&seq->runs[seq->nr_runs - 1]) > len)
		return -EINVAL;
	seq->len = len;
	seq->nr_blocks = len / seq->block_size;
	return 0;
}

int kvbm_token_seq_unwind(struct kvbm_token_seq *seq, size_t count)
{
	if (count > seq->len)
		return -ERANGE;
	return kvbm_token_seq_truncate(seq, seq->len - count);
}

int kvbm_token_seq_pop(struct kvbm_token_seq *seq, uint32_t *token)
{
	int err;

	if (!seq->len)
		return -ENODATA;
	err = kvbm_token_seq_truncate(seq, seq->len - 1);
	if (!err && token)
		*token = seq->tokens[seq->len];
	return err;
}

void kvbm_token_seq_reset(struct kvbm_token_seq *seq)
{
	seq->len = 0;
	seq->nr_blocks = 0;
	seq->nr_runs = 0;
}

static void set(size_t *n, size_t value)
{
	if (n)
		*n = value;
}

uint32_t kvbm_token_seq_block_size(const struct kvbm_token_seq *seq)
{
	return seq->block_size;
}

uint64_t kvbm_token_seq_salt_hash(const struct kvbm_token_seq *seq)
{
	return seq->salt_hash;
}

size_t kvbm_token_seq_len(const struct kvbm_token_seq *seq)
{
	return seq->len;
}

size_t kvbm_token_seq_block_count(const struct kvbm_token_seq *seq)
{
	return seq->nr_blocks;
}

const uint32_t *kvbm_token_seq_tokens(const struct kvbm_token_seq *seq, size_t *n)
{
	set(n, seq->len);
	return seq->tokens;
}

const uint32_t *kvbm_token_seq_tokens_at(const struct kvbm_token_seq *seq,
					 size_t first, size_t end)
{
	return first < end && end <= seq->len ? seq->tokens + first : NULL;
}

const struct kvbm_hash *kvbm_token_seq_hashes(const struct kvbm_token_seq *seq,
					      size_t *n)
{
	set(n, seq->nr_blocks);
	return seq->hashes;
}

const uint64_t *kvbm_token_seq_block_hashes(const struct kvbm_token_seq *seq, size_t *n)
{
	set(n, seq->nr_blocks);
	return seq->block_hashes;
}

const struct kvbm_mm_run *kvbm_token_seq_mm_runs(const struct kvbm_token_seq *seq,
						 size_t *n)
{
	set(n, seq->nr_runs);
	return seq->runs;
}

/* Sequence hash of the block before @position; 0 when there is none. */
static uint64_t parent_of(const struct kvbm_token_seq *seq, size_t position)
{
	return position ? kvbm_plh_current(&seq->hashes[position - 1]) : 0;
}

int kvbm_token_seq_block(const struct kvbm_token_seq *seq, size_t index,
			 struct kvbm_token_block *out)
{
	if (index >= seq->nr_blocks)
		return -ERANGE;
	out->tokens = seq->tokens + index * seq->block_size;
	out->block_size = seq->block_size;
	out->position = index;
	out->salt_hash = seq->salt_hash;
	out->block_hash = seq->block_hashes[index];
	out->sequence_hash = kvbm_plh_current(&seq->hashes[index]);
	out->parent_sequence_hash = parent_of(seq, index);
	out->plh = seq->hashes[index];
	return kvbm_psh(out->sequence_hash, index, out->block_hash, &out->psh);
}

void kvbm_token_seq_partial(const struct kvbm_token_seq *seq,
			    struct kvbm_partial_block *out)
{
	size_t done = seq->nr_blocks * seq->block_size;

	out->tokens = done < seq->len ? seq->tokens + done : NULL;
	out->len = seq->len - done;
	out->remaining = seq->block_size - out->len;
	out->block_size = seq->block_size;
	out->position = seq->nr_blocks;
	out->parent_sequence_hash = parent_of(seq, seq->nr_blocks);
}
