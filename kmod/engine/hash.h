/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Hashes of hashes: where a sequence hash, or a block id, goes in our tables.
 */
#ifndef KVBM_ENGINE_HASH_H
#define KVBM_ENGINE_HASH_H

#include <linux/kvbm_types.h>

#include "env.h"

/**
 * struct kvbm_key - the secret of one table
 * @m: multipliers and offset, random
 */
struct kvbm_key {
	u64 m[5];
};

static inline void kvbm_key_init(struct kvbm_key *key)
{
	kvbm_random(key, sizeof(*key));
}

/*
 * Multilinear hashing (Carter and Wegman; Lemire and Kaser, "Strongly
 * universal string hashing is fast", 2014): the upper half of
 * m4 + sum m[i] * word[i] is strongly universal for random m. Sequence hashes
 * come from users, who do not know m: they cannot aim at a bucket, whatever
 * the hashes look like.
 */
static inline u32 kvbm_key_hash(const struct kvbm_key *key,
				const struct kvbm_hash *hash)
{
	u64 x = key->m[4];

	x += key->m[0] * (u32)hash->lo;
	x += key->m[1] * (u32)(hash->lo >> 32);
	x += key->m[2] * (u32)hash->hi;
	x += key->m[3] * (u32)(hash->hi >> 32);
	return x >> 32;
}

/* The same of a number. */
static inline u32 kvbm_key_u64(const struct kvbm_key *key, u64 n)
{
	return (key->m[4] + key->m[0] * (u32)n + key->m[1] * (n >> 32)) >> 32;
}

static inline u32 kvbm_key_id(const struct kvbm_key *key, u32 id)
{
	return (key->m[4] + key->m[0] * id) >> 32;
}

static inline bool kvbm_hash_equal(const struct kvbm_hash *a,
				   const struct kvbm_hash *b)
{
	return a->lo == b->lo && a->hi == b->hi;
}

/* Number of buckets for @n entries: one entry a bucket, or a little less. */
static inline u32 kvbm_bucket_count(u32 n)
{
	return roundup_pow_of_two(n);
}

#endif /* KVBM_ENGINE_HASH_H */
