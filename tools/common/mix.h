/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Small integer functions: a mix, a random sequence, a digest.
 */
#ifndef KVBM_TOOLS_MIX_H
#define KVBM_TOOLS_MIX_H

#include <stddef.h>
#include <stdint.h>

#define MIX_GAMMA	0x9e3779b97f4a7c15ULL

/* splitmix64: a bijection, its results look unrelated. */
static inline uint64_t mix64(uint64_t x)
{
	x += MIX_GAMMA;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* The next of a sequence; one seed gives one sequence, everywhere. */
static inline uint64_t random64(uint64_t *state)
{
	uint64_t x = mix64(*state);

	*state += MIX_GAMMA;
	return x;
}

/* In @low to @high, both included. */
static inline uint32_t random_between(uint64_t *state, uint32_t low, uint32_t high)
{
	uint64_t span = (uint64_t)high - low + 1;

	return low + (uint32_t)(((random64(state) >> 32) * span) >> 32);
}

#define DIGEST_START	0xcbf29ce484222325ULL

/* FNV-1a, 64 bits. */
static inline uint64_t digest_u64(uint64_t digest, uint64_t value)
{
	int i;

	for (i = 0; i < 8; i++) {
		digest ^= (value >> (8 * i)) & 0xff;
		digest *= 0x100000001b3ULL;
	}
	return digest;
}

#endif
