// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Which evictions are regretted: see regret.h.
 *
 * Of a manager with n blocks, the last 4 n evictions or so are remembered, by
 * one in 2^shift of their hashes. That is what a cache about five times as large
 * would have kept.
 */
#include "regret.h"

/**
 * struct kvbm_regret_entry - one eviction
 * @hash: what was evicted
 * @ns: when, see kvbm_clock(); 0 in an entry that is not in use
 */
struct kvbm_regret_entry {
	struct kvbm_hash hash;
	u64 ns;
};

#define MAX_ENTRIES	1024
/* Evictions that are remembered, for each block of the manager. */
#define PER_BLOCK	4

static u32 nr_entries(u32 block_count)
{
	return roundup_pow_of_two(min_t(u64, (u64)block_count * PER_BLOCK, MAX_ENTRIES));
}

/**
 * kvbm_regret_init - begin to watch
 * @regret: memory of the caller
 * @block_count: of the store
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int kvbm_regret_init(struct kvbm_regret *regret, u32 block_count)
{
	u32 entries = nr_entries(block_count);
	u64 evictions = (u64)block_count * PER_BLOCK;

	regret->mask = entries - 1;
	regret->watched = U32_MAX;
	regret->sample = 1;
	for (; evictions > entries; evictions >>= 1) {
		regret->watched >>= 1;
		regret->sample <<= 1;
	}
	regret->entries = kvbm_alloc(entries, sizeof(*regret->entries));
	return regret->entries ? 0 : -ENOMEM;
}

void kvbm_regret_destroy(struct kvbm_regret *regret)
{
	kvbm_free(regret->entries);
}

/* Memory of the table. Context: any. */
u64 kvbm_regret_bytes(u32 block_count)
{
	return nr_entries(block_count) * sizeof(struct kvbm_regret_entry);
}

/* A watched hash was evicted. Context: under the lock of the store. */
void kvbm_regret_remember(struct kvbm_regret *regret, u32 key,
			  const struct kvbm_hash *hash, struct kvbm_counters *c)
{
	struct kvbm_regret_entry *entry = &regret->entries[key & regret->mask];

	c->regret_evictions++;
	entry->hash = *hash;
	/* Not 0, whatever the clock says. */
	entry->ns = kvbm_clock() | 1;
}

/* A watched hash was registered anew. Context: under the lock of the store. */
void kvbm_regret_recall(struct kvbm_regret *regret, u32 key,
			const struct kvbm_hash *hash, struct kvbm_counters *c)
{
	struct kvbm_regret_entry *entry = &regret->entries[key & regret->mask];
	u64 now;

	if (!entry->ns || !kvbm_hash_equal(&entry->hash, hash))
		return;
	now = kvbm_clock() | 1;
	c->regrets++;
	c->regret_total_ns += now - entry->ns;
	entry->ns = 0;
}
