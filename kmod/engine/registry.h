/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The registry as stores see it: hashes becoming present and absent.
 */
#ifndef KVBM_ENGINE_REGISTRY_H
#define KVBM_ENGINE_REGISTRY_H

#include "engine.h"
#include "events.h"

struct kvbm_entry;

/**
 * struct kvbm_share - the entries that one store brought into the pool
 * @bit: which bit of an entry's presence mask is the store's
 * @count: entries
 * @blocks: of the registry's capacity that it takes
 * @nr_chunks: chunks of the directory that they fill
 * @entries: the memory
 * @chunks: their numbers in the directory
 * @leaving: entries that are freed do not go back to the pool; under the
 *	registry's pool lock
 */
struct kvbm_share {
	u32 bit;
	u32 count;
	u32 blocks;
	u32 nr_chunks;
	struct kvbm_entry *entries;
	u32 *chunks;
	bool leaving;
};

int kvbm_registry_join(struct kvbm_registry *registry, u32 count,
		       struct kvbm_share *share);
/* Hashes that a member without blocks can have present. */
#define KVBM_ASIDE_ENTRIES	4096

void kvbm_registry_watch(struct kvbm_registry *registry,
			 void (*gone)(void *arg, const struct kvbm_hash *hash),
			 void *arg);
int kvbm_registry_join_aside(struct kvbm_registry *registry,
			     struct kvbm_share *share);
bool kvbm_registry_hold(struct kvbm_registry *registry, u32 bit,
			const struct kvbm_hash *hash);
void kvbm_registry_leave(struct kvbm_registry *registry,
			 struct kvbm_share *share);
void kvbm_registry_present(struct kvbm_registry *registry, u32 bit,
			   const struct kvbm_hash *hash,
			   const struct kvbm_report *report);
void kvbm_registry_absent(struct kvbm_registry *registry, u32 bit,
			  const struct kvbm_hash *hash,
			  const struct kvbm_report *report);
u32 kvbm_registry_schema(const struct kvbm_registry *registry);
bool kvbm_registry_has_sketch(const struct kvbm_registry *registry);
u64 kvbm_share_bytes(u32 count);

#endif /* KVBM_ENGINE_REGISTRY_H */
