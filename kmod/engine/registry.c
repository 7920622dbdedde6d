// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The registry: one entry per distinct hash that is present in at least one
 * store, with the set of stores that have it. An entry changes only when a
 * block becomes present or absent in a store, and then under that store's
 * lock, so presence is exact.
 *
 * A Duplicate keeps its Primary alive, so a store has a hash exactly as long
 * as its index does: presence is one bit per store, not a count.
 *
 * The entries come from a pool that every store funds with one entry per slot.
 * A store has at most that many distinct hashes present, so there is always
 * room, whichever store brought the entry that is used.
 */
#include "entry.h"
#include "sketch.h"

#define MAX_STRIPES	256

/**
 * kvbm_registry_alloc - make an empty registry
 * @capacity: most blocks that its stores may have together, 1 to
 *	KVBM_MAX_BLOCKS
 * @schema: KVBM_SCHEMA_*
 * @out: the registry
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int kvbm_registry_alloc(u64 capacity, u32 schema, struct kvbm_registry **out)
{
	struct kvbm_registry *r = kvbm_alloc(1, sizeof(*r));
	u32 buckets = kvbm_bucket_count(capacity);
	u32 stripes = min_t(u32, buckets, MAX_STRIPES);
	u32 i;

	if (!r)
		return -ENOMEM;
	kvbm_key_init(&r->key);
	r->schema = schema;
	r->capacity = capacity;
	r->mask = buckets - 1;
	r->stripe_mask = stripes - 1;
	r->dir_size = kvbm_registry_dir_size(capacity);
	r->pool = KVBM_NIL;
	mutex_init(&r->dir_lock);
	spin_lock_init(&r->pool_lock);
	kvbm_event_ring_init(&r->events);

	r->buckets = kvbm_alloc(buckets, sizeof(*r->buckets));
	r->stripes = kvbm_alloc(stripes, sizeof(*r->stripes));
	r->dir = kvbm_alloc(r->dir_size, sizeof(*r->dir));
	r->shares = kvbm_alloc(r->dir_size, sizeof(*r->shares));
	if (!r->buckets || !r->stripes || !r->dir || !r->shares) {
		kvbm_registry_free(r);
		return -ENOMEM;
	}
	kvbm_fill_nil(r->buckets, buckets);
	for (i = 0; i < stripes; i++)
		spin_lock_init(&r->stripes[i].lock);
	*out = r;
	return 0;
}

/**
 * kvbm_registry_free - undo kvbm_registry_alloc()
 * @registry: a registry without stores
 *
 * Context: may sleep.
 */
void kvbm_registry_free(struct kvbm_registry *registry)
{
	kvbm_event_ring_destroy(&registry->events);
	kvbm_registry_free_attached(registry);
	kvbm_sketch_free(registry->sketch);
	kvbm_free(registry->shares);
	kvbm_free(registry->dir);
	kvbm_free(registry->stripes);
	kvbm_free(registry->buckets);
	mutex_destroy(&registry->dir_lock);
	kvbm_free(registry);
}

/**
 * kvbm_registry_bytes - memory that a registry takes by itself
 * @capacity: as for kvbm_registry_alloc()
 * @sketch_capacity: as for kvbm_registry_add_sketch(), or 0
 *
 * Context: any.
 * Return: bytes, without attachments.
 */
u64 kvbm_registry_bytes(u64 capacity, u64 sketch_capacity)
{
	return sizeof(struct kvbm_registry) +
	       kvbm_bucket_count(capacity) * sizeof(u32) +
	       MAX_STRIPES * sizeof(struct kvbm_stripe) +
	       kvbm_registry_dir_size(capacity) * (sizeof(void *) + sizeof(void *)) +
	       (sketch_capacity ? kvbm_sketch_bytes(sketch_capacity) : 0);
}

struct kvbm_event_ring *kvbm_registry_events(struct kvbm_registry *registry)
{
	return &registry->events;
}

u32 kvbm_registry_schema(const struct kvbm_registry *registry)
{
	return registry->schema;
}

/**
 * kvbm_registry_add_sketch - let a registry count how often hashes are used
 * @registry: a registry without stores and without a sketch
 * @capacity: hashes to make it for, 1 to KVBM_MAX_BLOCKS; see
 *	kvbm_sketch_bytes()
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int kvbm_registry_add_sketch(struct kvbm_registry *registry, u64 capacity)
{
	return kvbm_sketch_alloc(capacity, &registry->sketch);
}

bool kvbm_registry_has_sketch(const struct kvbm_registry *registry)
{
	return registry->sketch;
}

/**
 * kvbm_registry_touch - a hash was used
 * @registry: the registry
 * @hash: the hash
 *
 * Context: any; takes no locks.
 */
void kvbm_registry_touch(struct kvbm_registry *registry,
			 const struct kvbm_hash *hash)
{
	if (registry->sketch)
		kvbm_sketch_touch(registry->sketch, hash);
}

/**
 * kvbm_registry_frequency - how often a hash was used lately, about
 * @registry: the registry
 * @hash: the hash
 *
 * Context: any; takes no locks.
 * Return: 0 to 15; 0 without a sketch.
 */
u32 kvbm_registry_frequency(struct kvbm_registry *registry,
			    const struct kvbm_hash *hash)
{
	return registry->sketch ? kvbm_sketch_estimate(registry->sketch, hash) : 0;
}

/**
 * kvbm_registry_blocks - blocks of all stores of the registry
 * @registry: the registry
 *
 * Context: any.
 * Return: the number.
 */
u64 kvbm_registry_blocks(struct kvbm_registry *registry)
{
	u64 blocks;

	spin_lock(&registry->pool_lock);
	blocks = registry->blocks;
	spin_unlock(&registry->pool_lock);
	return blocks;
}

/**
 * kvbm_registry_entries - distinct hashes present in at least one store
 * @registry: the registry
 *
 * Context: any.
 * Return: the number.
 */
u64 kvbm_registry_entries(struct kvbm_registry *registry)
{
	u64 used;

	spin_lock(&registry->pool_lock);
	used = registry->nr_used;
	spin_unlock(&registry->pool_lock);
	return used;
}

/**
 * kvbm_registry_present - a hash became present in a store
 * @registry: the registry
 * @bit: the store's
 * @hash: absent in that store until now
 * @report: the store and the block, for the event; NULL for none
 *
 * Context: under the lock of the store. There is always room: every store
 * brought as many entries as it can have distinct hashes.
 */
void kvbm_registry_present(struct kvbm_registry *registry, u32 bit,
			   const struct kvbm_hash *hash,
			   const struct kvbm_report *report)
{
	u32 bucket = kvbm_bucket_of(registry, hash);
	struct kvbm_entry *e;
	u32 *link, index;

	spin_lock(kvbm_stripe_of(registry, bucket));
	link = kvbm_entry_find(registry, bucket, hash);
	if (*link == KVBM_NIL) {
		index = kvbm_entry_get(registry);
		if (WARN_ON_ONCE(index == KVBM_NIL))
			goto unlock;
		e = kvbm_entry_at(registry, index);
		e->hash = *hash;
		e->present = 0;
		e->next = KVBM_NIL;
		*link = index;
		/* The first registration is a use; those after it are not. */
		kvbm_registry_touch(registry, hash);
	}
	e = kvbm_entry_at(registry, *link);
	if (report)
		kvbm_event_stored(&registry->events, report, hash, e->present);
	e->present |= 1ULL << bit;
unlock:
	spin_unlock(kvbm_stripe_of(registry, bucket));
}

/**
 * kvbm_registry_hold - a hash that is present somewhere became so in a member
 * @registry: the registry
 * @bit: the member's
 * @hash: the hash, absent in that member until now
 *
 * Context: under the lock of the member.
 * Return: whether it is; if it is present nowhere, nothing has changed.
 */
bool kvbm_registry_hold(struct kvbm_registry *registry, u32 bit,
			const struct kvbm_hash *hash)
{
	u32 bucket = kvbm_bucket_of(registry, hash);
	bool found;
	u32 *link;

	spin_lock(kvbm_stripe_of(registry, bucket));
	link = kvbm_entry_find(registry, bucket, hash);
	found = *link != KVBM_NIL;
	if (found)
		kvbm_entry_at(registry, *link)->present |= 1ULL << bit;
	spin_unlock(kvbm_stripe_of(registry, bucket));
	return found;
}

/**
 * kvbm_registry_absent - a hash is no longer present in a store
 * @registry: the registry
 * @bit: the store's
 * @hash: present in that store until now
 * @report: the store and the block, for the event; NULL for none
 *
 * Context: under the lock of the store.
 */
void kvbm_registry_absent(struct kvbm_registry *registry, u32 bit,
			  const struct kvbm_hash *hash,
			  const struct kvbm_report *report)
{
	u32 bucket = kvbm_bucket_of(registry, hash);
	struct kvbm_entry *e;
	u32 *link, index;

	spin_lock(kvbm_stripe_of(registry, bucket));
	link = kvbm_entry_find(registry, bucket, hash);
	index = *link;
	if (WARN_ON_ONCE(index == KVBM_NIL))
		goto unlock;
	e = kvbm_entry_at(registry, index);
	e->present &= ~(1ULL << bit);
	if (report)
		kvbm_event_removed(&registry->events, report, hash, e->present);
	if (!e->present) {
		if (e->prev == KVBM_ENTRY_ATTACHED)
			kvbm_registry_drop_attached(registry, hash);
		if (registry->gone)
			registry->gone(registry->gone_arg, hash);
		*link = e->next;
		kvbm_entry_put(registry, index);
	}
unlock:
	spin_unlock(kvbm_stripe_of(registry, bucket));
}

/**
 * kvbm_registry_presence - which stores have a hash
 * @registry: the registry
 * @hash: the hash
 *
 * Context: any; may be under the lock of a store.
 * Return: the set of bits of the stores that have it.
 */
u64 kvbm_registry_presence(struct kvbm_registry *registry,
			   const struct kvbm_hash *hash)
{
	u32 bucket = kvbm_bucket_of(registry, hash);
	u64 present = 0;
	u32 *link;

	spin_lock(kvbm_stripe_of(registry, bucket));
	link = kvbm_entry_find(registry, bucket, hash);
	if (*link != KVBM_NIL)
		present = kvbm_entry_at(registry, *link)->present;
	spin_unlock(kvbm_stripe_of(registry, bucket));
	return present;
}

/**
 * kvbm_registry_publish - what a registry shall know before it is used
 * @registry: the registry
 * @charge: who pays for attachments; NULL when nobody counts
 *
 * Context: any; nobody else knows the registry yet.
 */
void kvbm_registry_publish(struct kvbm_registry *registry,
			   const struct kvbm_charge_ops *charge)
{
	registry->charge = charge;
}

/**
 * kvbm_registry_watch - be told when hashes are present nowhere any more
 * @registry: a registry without stores
 * @gone: called under the stripe of the hash, and under the lock of the store
 *	that had it last: it takes leaf locks only, and does not sleep
 * @arg: for @gone
 *
 * Context: any; nobody else knows the registry yet.
 */
void kvbm_registry_watch(struct kvbm_registry *registry,
			 void (*gone)(void *arg, const struct kvbm_hash *hash),
			 void *arg)
{
	registry->gone = gone;
	registry->gone_arg = arg;
}
