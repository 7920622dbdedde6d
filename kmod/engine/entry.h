/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The table of a registry, for the files that share it: registry.c (what is
 * present), share.c (where entries come from), registry_attach.c (what hangs on
 * them).
 */
#ifndef KVBM_ENGINE_ENTRY_H
#define KVBM_ENGINE_ENTRY_H

#include "attachment.h"
#include "registry.h"

/* Entries are found through a directory of chunks, so that shares can go. */
#define KVBM_DIR_CHUNK_SHIFT	12
#define KVBM_DIR_CHUNK_SIZE	((u32)BIT(KVBM_DIR_CHUNK_SHIFT))
#define KVBM_DIR_CHUNK_MASK	(KVBM_DIR_CHUNK_SIZE - 1)

static_assert(KVBM_ASIDE_ENTRIES == KVBM_DIR_CHUNK_SIZE);

/* entry->prev of one that is not in the pool, with attachments and without. */
#define KVBM_ENTRY_ATTACHED	(U32_MAX - 2)
#define KVBM_ENTRY_IN_USE	(U32_MAX - 1)

/**
 * struct kvbm_entry - one distinct hash
 * @hash: the hash
 * @present: bit per store; 0 when the entry is free
 * @next: next in the bucket; when free, link of the pool
 * @prev: when free, link of the pool; otherwise KVBM_ENTRY_IN_USE or
 *	KVBM_ENTRY_ATTACHED; changes under the pool lock, and when in use under
 *	the stripe as well
 *
 * In use: protected by the stripe of its bucket. Free: by the pool lock.
 */
struct kvbm_entry {
	struct kvbm_hash hash;
	u64 present;
	u32 next;
	u32 prev;
};

static_assert(sizeof(struct kvbm_entry) == 32);

struct kvbm_stripe {
	spinlock_t lock;	/* entries and heads of its buckets */
} ____cacheline_aligned_in_smp;

/**
 * struct kvbm_registry - the entries, and all that stores share
 * @key: secret of @buckets; immutable
 * @schema: KVBM_SCHEMA_*; immutable
 * @capacity: most blocks of all stores together; immutable
 * @sketch: how often hashes are used, or NULL; immutable
 * @mask: buckets - 1; immutable
 * @stripe_mask: stripes - 1; immutable
 * @buckets: first entry of each; under the stripe of the bucket
 * @stripes: spinlocks
 * @dir_size: chunks in @dir; immutable
 * @dir_lock: held to look for room in @dir
 * @dir: chunks of entries; a chunk is set before an entry of it is in the pool
 *	and cleared after the last one left both the pool and the buckets
 * @shares: the share that each chunk belongs to; as @dir
 * @pool_lock: protects @pool to @members
 * @pool: first free entry
 * @nr_used: entries that hold a hash
 * @blocks: blocks of all stores
 * @members: bit per store
 * @events: what became present and absent; has its own locks
 * @attachments: NULL until the first one
 * @charge: who pays for them, or NULL; immutable once published
 * @gone: told that a hash is present nowhere any more, or NULL; immutable once
 *	there are stores
 * @gone_arg: for @gone
 */
struct kvbm_registry {
	struct kvbm_key key;
	u32 schema;
	u64 capacity;
	struct kvbm_sketch *sketch;
	u32 mask;
	u32 stripe_mask;
	u32 *buckets;
	struct kvbm_stripe *stripes;
	u32 dir_size;
	struct mutex dir_lock;	/* see above */
	struct kvbm_entry **dir;
	struct kvbm_share **shares;
	spinlock_t pool_lock;	/* see above */
	u32 pool;
	u64 nr_used;
	u64 blocks;
	u64 members;
	struct kvbm_event_ring events;
	struct kvbm_attachments *attachments;
	const struct kvbm_charge_ops *charge;
	void (*gone)(void *arg, const struct kvbm_hash *hash);
	void *gone_arg;
};

static inline struct kvbm_entry *kvbm_entry_at(const struct kvbm_registry *r,
					       u32 index)
{
	return &READ_ONCE(r->dir[index >> KVBM_DIR_CHUNK_SHIFT])[index & KVBM_DIR_CHUNK_MASK];
}

static inline u32 kvbm_bucket_of(const struct kvbm_registry *r,
				 const struct kvbm_hash *hash)
{
	return kvbm_key_hash(&r->key, hash) & r->mask;
}

static inline spinlock_t *kvbm_stripe_of(const struct kvbm_registry *r, u32 bucket)
{
	return &r->stripes[bucket & r->stripe_mask].lock;
}

static inline int kvbm_registry_charge(struct kvbm_registry *r, u64 bytes)
{
	return r->charge ? r->charge->charge(bytes) : 0;
}

static inline void kvbm_registry_uncharge(struct kvbm_registry *r, u64 bytes)
{
	if (r->charge)
		r->charge->uncharge(bytes);
}

/* The link that points at the entry of @hash, or at the nil after the last. */
static inline u32 *kvbm_entry_find(struct kvbm_registry *r, u32 bucket,
				   const struct kvbm_hash *hash)
{
	u32 *link = &r->buckets[bucket];

	lockdep_assert_held(kvbm_stripe_of(r, bucket));
	while (*link != KVBM_NIL) {
		struct kvbm_entry *e = kvbm_entry_at(r, *link);

		if (kvbm_hash_equal(&e->hash, hash))
			break;
		link = &e->next;
	}
	return link;
}

/* share.c */
u32 kvbm_entry_get(struct kvbm_registry *r);
void kvbm_entry_put(struct kvbm_registry *r, u32 index);
u32 kvbm_registry_dir_size(u64 capacity);

/* registry_attach.c */
void kvbm_entry_mark_attached(struct kvbm_registry *r, struct kvbm_entry *e);
void kvbm_registry_drop_attached(struct kvbm_registry *r,
				 const struct kvbm_hash *hash);
void kvbm_registry_free_attached(struct kvbm_registry *r);

#endif /* KVBM_ENGINE_ENTRY_H */
