/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Evictions that turn out to be regretted: the hash is registered again soon
 * after, that is, somebody computed anew what was there.
 *
 * Only one in so many hashes is watched, chosen by the keyed hash of the hash
 * (so it is the same ones at eviction and at registration, and nobody can aim
 * at them). For all others this is one comparison.
 */
#ifndef KVBM_ENGINE_REGRET_H
#define KVBM_ENGINE_REGRET_H

#include <linux/kvbm_types.h>

#include "env.h"
#include "hash.h"

struct kvbm_regret_entry;

/**
 * struct kvbm_regret - watched hashes that were evicted
 * @entries: by hash; a newer eviction takes the place of an older one
 * @mask: entries - 1
 * @watched: hashes are watched whose key is not above this
 * @sample: one in how many that is, a power of two
 *
 * Protected by the lock of the store; all but what is in @entries is immutable.
 */
struct kvbm_regret {
	struct kvbm_regret_entry *entries;
	u32 mask;
	u32 watched;
	u64 sample;
};

int kvbm_regret_init(struct kvbm_regret *regret, u32 block_count);
void kvbm_regret_destroy(struct kvbm_regret *regret);
u64 kvbm_regret_bytes(u32 block_count);
void kvbm_regret_remember(struct kvbm_regret *regret, u32 key,
			  const struct kvbm_hash *hash, struct kvbm_counters *c);
void kvbm_regret_recall(struct kvbm_regret *regret, u32 key,
			const struct kvbm_hash *hash, struct kvbm_counters *c);

/* The index of the store takes the low bits of @key; this, the high ones. */
static inline bool kvbm_regret_watches(const struct kvbm_regret *regret, u32 key)
{
	return key <= regret->watched;
}

/* @hash, of which @key is the keyed hash, was evicted. */
static inline void kvbm_regret_evicted(struct kvbm_regret *regret, u32 key,
				       const struct kvbm_hash *hash,
				       struct kvbm_counters *c)
{
	if (unlikely(kvbm_regret_watches(regret, key)))
		kvbm_regret_remember(regret, key, hash, c);
}

/* @hash, which was not present, was registered. */
static inline void kvbm_regret_registered(struct kvbm_regret *regret, u32 key,
					  const struct kvbm_hash *hash,
					  struct kvbm_counters *c)
{
	if (unlikely(kvbm_regret_watches(regret, key)))
		kvbm_regret_recall(regret, key, hash, c);
}

#endif /* KVBM_ENGINE_REGRET_H */
