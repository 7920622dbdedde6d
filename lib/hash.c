// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Tokens to hashes: what is hashed of a block, and how blocks are chained.
 */
#include <endian.h>
#include <string.h>

/* For a state on the stack. */
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include <kvbm/tokens.h>

#include "engine/plh.h"
#include "tokens.h"

/* In front of a slot of a block with runs. */
#define SLOT_TOKEN		0
#define SLOT_PLACEHOLDER	1

uint64_t kvbm_hash_bytes(const void *data, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, len, seed);
}

uint64_t kvbm_salt_hash(const void *salt, size_t len)
{
	return kvbm_hash_bytes(salt, len, 0);
}

uint64_t kvbm_next_sequence_hash(uint64_t parent, uint64_t block_hash)
{
	const uint64_t bytes[2] = { htole64(parent), htole64(block_hash) };

	return kvbm_hash_bytes(bytes, sizeof(bytes), KVBM_CHAIN_SEED);
}

static uint8_t *put_le32(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	return (uint8_t *)mempcpy(at, &value, sizeof(value));
}

static uint8_t *put_le64(uint8_t *at, uint64_t value)
{
	value = htole64(value);
	return (uint8_t *)mempcpy(at, &value, sizeof(value));
}

static uint8_t *put_tokens(const uint32_t *tokens, size_t n, uint8_t *at)
{
	while (n--)
		at = put_le32(at, *tokens++);
	return at;
}

/* Slots @offset .. @offset + @n - 1 of a block with runs. */
static uint8_t *put_slots(const uint32_t *tokens, size_t n, size_t offset,
			  const struct kvbm_mm_run *runs, size_t nr_runs, uint8_t *at)
{
	size_t run = kvbm_mm_first_behind(runs, nr_runs, offset);
	size_t slot;

	for (slot = offset; slot < offset + n; slot++) {
		if (run < nr_runs && slot >= kvbm_mm_end(&runs[run]))
			run++;
		if (run < nr_runs && slot >= runs[run].offset) {
			*at++ = SLOT_PLACEHOLDER;
			at = put_le32(at, slot - runs[run].offset);
			at = put_le64(at, runs[run].mm_hash);
		} else {
			*at++ = SLOT_TOKEN;
			at = put_le32(at, tokens[slot - offset]);
			at = put_le64(at, 0);
		}
	}
	return at;
}

/* Whether one of the slots @offset .. @offset + @n - 1 is in a run. */
static bool has_runs(size_t n, size_t offset, const struct kvbm_mm_run *runs,
		     size_t nr_runs)
{
	size_t run = kvbm_mm_first_behind(runs, nr_runs, offset);

	return run < nr_runs && runs[run].offset < offset + n;
}

size_t kvbm_mm_block_bytes(const uint32_t *tokens, size_t n, size_t offset,
			   const struct kvbm_mm_run *runs, size_t nr_runs,
			   uint8_t *bytes)
{
	uint8_t *end;

	if (has_runs(n, offset, runs, nr_runs))
		end = put_slots(tokens, n, offset, runs, nr_runs, bytes);
	else
		end = put_tokens(tokens, n, bytes);
	return end - bytes;
}

/* What memory has in another order than is hashed goes through a buffer. */
#define CHUNK	64

static uint64_t hash_slots(const uint32_t *tokens, size_t n, size_t offset,
			   const struct kvbm_mm_run *runs, size_t nr_runs,
			   uint64_t salt_hash, bool tagged)
{
	uint8_t bytes[CHUNK * KVBM_MM_SLOT_SIZE], *end;
	XXH3_state_t state;
	size_t i, chunk;

	XXH3_INITSTATE(&state);
	XXH3_64bits_reset_withSeed(&state, salt_hash);
	for (i = 0; i < n; i += chunk) {
		chunk = min_t(size_t, n - i, CHUNK);
		if (tagged)
			end = put_slots(tokens + i, chunk, offset + i, runs,
					nr_runs, bytes);
		else
			end = put_tokens(tokens + i, chunk, bytes);
		XXH3_64bits_update(&state, bytes, end - bytes);
	}
	return XXH3_64bits_digest(&state);
}

uint64_t kvbm_block_hash(const uint32_t *tokens, size_t n, uint64_t salt_hash)
{
	if (htole32(1) == 1)
		return kvbm_hash_bytes(tokens, n * sizeof(*tokens), salt_hash);
	return hash_slots(tokens, n, 0, NULL, 0, salt_hash, false);
}

void kvbm_hash_range(const struct kvbm_blocks *blocks, size_t first, size_t end,
		     struct kvbm_hash *hashes, uint64_t *block_hashes)
{
	const uint32_t size = blocks->block_size;
	uint64_t parent = first ? kvbm_plh_current(&hashes[first - 1]) : 0;
	uint64_t hash, current;
	size_t i, offset;

	for (i = first; i < end; i++) {
		offset = i * size;
		if (has_runs(size, offset, blocks->runs, blocks->nr_runs))
			hash = hash_slots(blocks->tokens + offset, size, offset,
					  blocks->runs, blocks->nr_runs,
					  blocks->salt_hash, true);
		else
			hash = kvbm_block_hash(blocks->tokens + offset, size,
					       blocks->salt_hash);
		current = i ? kvbm_next_sequence_hash(parent, hash) : hash;
		kvbm_plh(current, parent, i, &hashes[i]);
		if (block_hashes)
			block_hashes[i] = hash;
		parent = current;
	}
}

ssize_t kvbm_hash_blocks(const uint32_t *tokens, size_t n,
			 const struct kvbm_mm_run *runs, size_t nr_runs,
			 uint32_t block_size, uint64_t salt_hash,
			 struct kvbm_hash *hashes, uint64_t *block_hashes)
{
	const struct kvbm_blocks blocks = {
		.tokens = tokens,
		.runs = runs,
		.nr_runs = nr_runs,
		.salt_hash = salt_hash,
		.block_size = block_size,
	};

	if (!block_size || block_size > KVBM_MAX_BLOCK_SIZE)
		return -EINVAL;
	if (n / block_size > KVBM_MAX_POSITIONS)
		return -EOVERFLOW;
	kvbm_hash_range(&blocks, 0, n / block_size, hashes, block_hashes);
	return n / block_size;
}
