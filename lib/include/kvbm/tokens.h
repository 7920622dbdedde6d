/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * libkvbm: sequences of tokens, cut into blocks that have their hashes.
 *
 *	struct kvbm_token_seq *seq;
 *	const struct kvbm_hash *hashes;
 *	size_t n;
 *
 *	err = kvbm_token_seq_alloc(prompt, prompt_len, 16, salt_hash, &seq);
 *	hashes = kvbm_token_seq_hashes(seq, &n);
 *	err = kvbm_acquire(session, hashes, n, n + 1, ...);
 *	...
 *	if (kvbm_token_seq_append(seq, token) == 1)
 *		... the last block is complete, stage it
 *	kvbm_token_seq_free(seq);
 *
 * A block is complete, and hashed, as soon as its last token is there; the tokens
 * after the last complete block are the partial one, which is never full. A block
 * is hashed once, however the sequence grows or shrinks behind it.
 *
 * A sequence belongs to who allocated it. Several threads may read one at a time
 * at which nobody changes it. What functions return by pointer (tokens, hashes,
 * runs) is the sequence's own: valid until it is changed or freed, and NULL or
 * not when there is nothing.
 *
 * Costs: appending is O(1) amortised, and does not allocate while there is room
 * (kvbm_token_seq_reserve()); removing tokens costs the same whatever their number,
 * and returns no memory.
 *
 * Unless said otherwise functions return 0 or a negative errno, for which
 * kvbm_strerror() has words; after an error the sequence is as before.
 */
#ifndef KVBM_TOKENS_H
#define KVBM_TOKENS_H

#include <sys/types.h>

#include <kvbm/hash.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct kvbm_token_seq;

/**
 * struct kvbm_mm_run - slots of a sequence that stand for an image, a sound, ...
 * @mm_hash: of that object
 * @offset: first slot
 * @length: slots, at least one
 *
 * In a block with such slots they are hashed as their index in the run and
 * @mm_hash; their tokens do not count. Blocks without are hashed as ever.
 */
struct kvbm_mm_run {
	uint64_t mm_hash;
	size_t offset;
	size_t length;
};

/**
 * kvbm_mm_sort - check runs, and bring them into the order of the slots
 * @runs: the runs
 * @n: how many
 * @nr_tokens: length of the sequence
 * @sorted: out, @n of them; may be @runs. In any order after an error
 *
 * Errors, the first one in the order of the slots: -EINVAL for an empty run,
 * -EOVERFLOW when the end of a run does not fit in a size_t, -ERANGE when it is
 * behind the last token, -ENOTUNIQ when two runs have a slot in common.
 */
int kvbm_mm_sort(const struct kvbm_mm_run *runs, size_t n, size_t nr_tokens,
		 struct kvbm_mm_run *sorted);

/* Whether slot @at is in the run. */
bool kvbm_mm_covers(const struct kvbm_mm_run *run, size_t at);

/* Bytes of one slot in a block with runs. */
#define KVBM_MM_SLOT_SIZE	13

/**
 * kvbm_mm_block_bytes - what is hashed of a block
 * @tokens: of the block
 * @n: tokens in the block
 * @offset: its first slot in the sequence
 * @runs: of the sequence, in order, as from kvbm_mm_sort()
 * @nr_runs: how many
 * @bytes: out, room for @n * KVBM_MM_SLOT_SIZE
 *
 * Return: bytes written: 4 for each token when no run is in the block, otherwise
 * KVBM_MM_SLOT_SIZE.
 */
size_t kvbm_mm_block_bytes(const uint32_t *tokens, size_t n, size_t offset,
			   const struct kvbm_mm_run *runs, size_t nr_runs,
			   uint8_t *bytes);

/**
 * kvbm_hash_blocks - the hashes of all complete blocks, without a sequence
 * @tokens: the tokens, from position 0
 * @n: how many; what is behind the last complete block is ignored
 * @runs: in order, as from kvbm_mm_sort()
 * @nr_runs: how many; 0 for none
 * @block_size: tokens in a block, 1 to KVBM_MAX_BLOCK_SIZE
 * @salt_hash: 0 for no salt
 * @hashes: out, positional lineage hashes: @n / @block_size of them
 * @block_hashes: out, as many; or NULL
 *
 * Allocates nothing.
 *
 * Return: complete blocks; -EINVAL for @block_size, -EOVERFLOW for more than
 * KVBM_MAX_POSITIONS blocks.
 */
ssize_t kvbm_hash_blocks(const uint32_t *tokens, size_t n,
			 const struct kvbm_mm_run *runs, size_t nr_runs,
			 uint32_t block_size, uint64_t salt_hash,
			 struct kvbm_hash *hashes, uint64_t *block_hashes);

/**
 * kvbm_token_seq_alloc - make a sequence
 * @tokens: to begin with; copied. May be NULL when @n is 0
 * @n: how many
 * @block_size: tokens in a block, 1 to KVBM_MAX_BLOCK_SIZE. A manager has powers
 *	of two only: take kvbm_session_block_size()
 * @salt_hash: from kvbm_salt_hash(); 0 for no salt
 * @out: the sequence
 *
 * Errors: -EINVAL for @block_size; -EOVERFLOW for more than KVBM_MAX_POSITIONS
 * blocks; -ENOMEM.
 */
int kvbm_token_seq_alloc(const uint32_t *tokens, size_t n, uint32_t block_size,
			 uint64_t salt_hash, struct kvbm_token_seq **out);
/* The same with multimodal runs, in any order. Errors: of kvbm_mm_sort(), too. */
int kvbm_token_seq_alloc_mm(const uint32_t *tokens, size_t n,
			    const struct kvbm_mm_run *runs, size_t nr_runs,
			    uint32_t block_size, uint64_t salt_hash,
			    struct kvbm_token_seq **out);
/* NULL is allowed. */
void kvbm_token_seq_free(struct kvbm_token_seq *seq);

/*
 * Room for @n tokens in all: until there are more, nothing that adds tokens
 * allocates. Errors: -ENOMEM, -EOVERFLOW.
 */
int kvbm_token_seq_reserve(struct kvbm_token_seq *seq, size_t n);

/* Growing. */

/**
 * kvbm_token_seq_extend - add tokens to the end
 * @seq: sequence
 * @tokens: copied; not of @seq itself
 * @n: how many
 *
 * Return: blocks completed, which are the last ones of the sequence; -EOVERFLOW
 * for more than KVBM_MAX_POSITIONS blocks; -ENOMEM.
 */
ssize_t kvbm_token_seq_extend(struct kvbm_token_seq *seq, const uint32_t *tokens,
			      size_t n);
/* One token: 1 if it completed a block, 0 if not, or -errno. */
int kvbm_token_seq_append(struct kvbm_token_seq *seq, uint32_t token);
/*
 * Tokens with runs among them, in any order, whose offsets count from tokens[0].
 * Errors: of kvbm_mm_sort(), too.
 */
ssize_t kvbm_token_seq_extend_mm(struct kvbm_token_seq *seq, const uint32_t *tokens,
				 size_t n, const struct kvbm_mm_run *runs,
				 size_t nr_runs);
/* @length slots of one run, as tokens 0. Errors: -EINVAL when @length is 0, too. */
ssize_t kvbm_token_seq_push_mm_run(struct kvbm_token_seq *seq, uint64_t mm_hash,
				   size_t length);

/*
 * Shrinking. Slots of runs stay until all is reset: -EINVAL when one would be
 * removed.
 */

/* Keep the first @len tokens; nothing happens when there are not more. */
int kvbm_token_seq_truncate(struct kvbm_token_seq *seq, size_t len);
/* Remove the last @count tokens. Errors: -ERANGE when there are not so many. */
int kvbm_token_seq_unwind(struct kvbm_token_seq *seq, size_t count);
/* Remove the last token; @token may be NULL. Errors: -ENODATA when there is none. */
int kvbm_token_seq_pop(struct kvbm_token_seq *seq, uint32_t *token);
/* Remove all tokens and runs. Salt, block size and room stay. */
void kvbm_token_seq_reset(struct kvbm_token_seq *seq);

/* Looking. @n may be NULL. */

uint32_t kvbm_token_seq_block_size(const struct kvbm_token_seq *seq);
uint64_t kvbm_token_seq_salt_hash(const struct kvbm_token_seq *seq);
/* Tokens in all, and complete blocks. */
size_t kvbm_token_seq_len(const struct kvbm_token_seq *seq);
size_t kvbm_token_seq_block_count(const struct kvbm_token_seq *seq);
/* All tokens, in one array. */
const uint32_t *kvbm_token_seq_tokens(const struct kvbm_token_seq *seq, size_t *n);
/* Tokens @first .. @end - 1; NULL when that is empty or not all there. */
const uint32_t *kvbm_token_seq_tokens_at(const struct kvbm_token_seq *seq,
					 size_t first, size_t end);
/* Positional lineage hashes of the complete blocks, as the calls of kvbm.h take. */
const struct kvbm_hash *kvbm_token_seq_hashes(const struct kvbm_token_seq *seq,
					      size_t *n);
/* Block hashes of the complete blocks. */
const uint64_t *kvbm_token_seq_block_hashes(const struct kvbm_token_seq *seq,
					    size_t *n);
/* Multimodal runs, in order. */
const struct kvbm_mm_run *kvbm_token_seq_mm_runs(const struct kvbm_token_seq *seq,
						 size_t *n);

/**
 * struct kvbm_token_block - a complete block of a sequence
 * @tokens: @block_size of them, in the memory of the sequence
 * @block_size: tokens
 * @position: index of the block
 * @salt_hash: of the sequence
 * @block_hash: of its tokens
 * @sequence_hash: of it and all before
 * @parent_sequence_hash: of the block before; 0 at position 0, which has none
 * @plh: positional lineage hash
 * @psh: positional sequence hash
 */
struct kvbm_token_block {
	const uint32_t *tokens;
	uint32_t block_size;
	uint32_t position;
	uint64_t salt_hash;
	uint64_t block_hash;
	uint64_t sequence_hash;
	uint64_t parent_sequence_hash;
	struct kvbm_hash plh;
	struct kvbm_psh psh;
};

/* Errors: -ERANGE when there is no such complete block. */
int kvbm_token_seq_block(const struct kvbm_token_seq *seq, size_t index,
			 struct kvbm_token_block *out);

/**
 * struct kvbm_partial_block - the tokens after the last complete block
 * @tokens: @len of them, in the memory of the sequence
 * @len: tokens; less than @block_size
 * @remaining: tokens that are missing to complete it
 * @block_size: tokens when it is complete
 * @position: index that it will have
 * @parent_sequence_hash: of the block before; 0 at position 0, which has none
 */
struct kvbm_partial_block {
	const uint32_t *tokens;
	uint32_t len;
	uint32_t remaining;
	uint32_t block_size;
	uint32_t position;
	uint64_t parent_sequence_hash;
};

void kvbm_token_seq_partial(const struct kvbm_token_seq *seq,
			    struct kvbm_partial_block *out);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KVBM_TOKENS_H */
