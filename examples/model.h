/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Something that behaves as a model does, as far as KV is concerned: the KV of a
 * token depends on the token and on the KV before it, is written to a block and read
 * back from there, and the next token depends on the last KV.
 */
#ifndef EXAMPLE_MODEL_H
#define EXAMPLE_MODEL_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t model_kv(uint64_t before, uint32_t token)
{
	uint64_t x = (before ^ token) * 0x9e3779b97f4a7c15ULL;

	return x ^ x >> 29;
}

static inline uint32_t model_token(uint64_t kv)
{
	return kv % 50000;
}

/**
 * model_forward - compute the KV of some tokens
 * @kv: all blocks, one after the other
 * @pages: the block of each part of the sequence
 * @block_size: tokens in a block
 * @tokens: of the sequence
 * @first: the first one to compute; those before have their KV
 * @n: how many, at least one
 *
 * Return: the token that follows the last one.
 */
static inline uint32_t model_forward(uint64_t *kv, const uint32_t *pages,
				     size_t block_size, const uint32_t *tokens,
				     size_t first, size_t n)
{
	uint64_t before = 0;
	size_t i;

	if (first)
		before = kv[pages[(first - 1) / block_size] * block_size +
			    (first - 1) % block_size];
	for (i = first; i < first + n; i++) {
		before = model_kv(before, tokens[i]);
		kv[pages[i / block_size] * block_size + i % block_size] = before;
	}
	return model_token(before);
}

/* The token at @i, as it follows from those before, computed without blocks. */
static inline uint32_t model_reference(const uint32_t *tokens, size_t i)
{
	uint64_t kv = 0;
	size_t t;

	for (t = 0; t < i; t++)
		kv = model_kv(kv, tokens[t]);
	return model_token(kv);
}

#endif /* EXAMPLE_MODEL_H */
