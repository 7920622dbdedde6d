/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Tokens, runs and blocks inside the library.
 */
#ifndef KVBM_LIB_TOKENS_H
#define KVBM_LIB_TOKENS_H

#include <kvbm/tokens.h>

#include "engine/env.h"

/* Runs here are as from kvbm_mm_sort(): their ends are no overflow. */
static inline size_t kvbm_mm_end(const struct kvbm_mm_run *run)
{
	return run->offset + run->length;
}

/* Index of the first run that ends behind slot @at; @nr_runs if there is none. */
size_t kvbm_mm_first_behind(const struct kvbm_mm_run *runs, size_t nr_runs, size_t at);

/**
 * struct kvbm_blocks - what the hashes of the blocks of a sequence depend on
 * @tokens: from position 0
 * @runs: in order
 * @nr_runs: how many
 * @salt_hash: seed of the block hashes
 * @block_size: tokens in a block
 */
struct kvbm_blocks {
	const uint32_t *tokens;
	const struct kvbm_mm_run *runs;
	size_t nr_runs;
	uint64_t salt_hash;
	uint32_t block_size;
};

/*
 * Hashes of the complete blocks @first .. @end - 1, to their places in @hashes and
 * @block_hashes, which may be NULL. That of block @first - 1 is there already.
 */
void kvbm_hash_range(const struct kvbm_blocks *blocks, size_t first, size_t end,
		     struct kvbm_hash *hashes, uint64_t *block_hashes);

#endif /* KVBM_LIB_TOKENS_H */
