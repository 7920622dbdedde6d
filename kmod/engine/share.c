// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Where the entries of a registry come from: the share of each store, the pool
 * of free ones, the directory through which they are found, and what becomes of
 * them when a store leaves.
 */
#include "entry.h"

/* Entries handled under one hold of the pool lock. */
#define BATCH		64

/* Chunks of the directory; every store rounds up to whole chunks. */
u32 kvbm_registry_dir_size(u64 capacity)
{
	return (capacity >> KVBM_DIR_CHUNK_SHIFT) + KVBM_MAX_REGISTRY_MANAGERS;
}

static void pool_put(struct kvbm_registry *r, u32 index)
{
	struct kvbm_entry *e = kvbm_entry_at(r, index);

	lockdep_assert_held(&r->pool_lock);
	e->prev = KVBM_NIL;
	e->next = r->pool;
	if (r->pool != KVBM_NIL)
		kvbm_entry_at(r, r->pool)->prev = index;
	r->pool = index;
}

static void pool_del(struct kvbm_registry *r, u32 index)
{
	struct kvbm_entry *e = kvbm_entry_at(r, index);

	lockdep_assert_held(&r->pool_lock);
	if (e->prev == KVBM_NIL)
		r->pool = e->next;
	else
		kvbm_entry_at(r, e->prev)->next = e->next;
	if (e->next != KVBM_NIL)
		kvbm_entry_at(r, e->next)->prev = e->prev;
	e->prev = KVBM_ENTRY_IN_USE;
}

static bool is_pooled(const struct kvbm_entry *e)
{
	return e->prev != KVBM_ENTRY_IN_USE && e->prev != KVBM_ENTRY_ATTACHED;
}

/**
 * kvbm_entry_get - take a free entry out of the pool
 * @r: the registry
 *
 * Context: under the stripe in which the entry will be linked;
 * kvbm_registry_leave() relies on that.
 * Return: its index, or KVBM_NIL.
 */
u32 kvbm_entry_get(struct kvbm_registry *r)
{
	u32 index;

	spin_lock(&r->pool_lock);
	index = r->pool;
	if (index != KVBM_NIL) {
		pool_del(r, index);
		r->nr_used++;
	}
	spin_unlock(&r->pool_lock);
	return index;
}

/**
 * kvbm_entry_put - an entry no longer holds a hash
 * @r: the registry
 * @index: of the entry, in no bucket any more
 *
 * Context: under the stripe that it was linked in.
 */
void kvbm_entry_put(struct kvbm_registry *r, u32 index)
{
	spin_lock(&r->pool_lock);
	r->nr_used--;
	if (!r->shares[index >> KVBM_DIR_CHUNK_SHIFT]->leaving)
		pool_put(r, index);
	spin_unlock(&r->pool_lock);
}

/* Memory that a store of @count slots brings along. */
u64 kvbm_share_bytes(u32 count)
{
	return (u64)count * sizeof(struct kvbm_entry) +
	       DIV_ROUND_UP(count, KVBM_DIR_CHUNK_SIZE) * sizeof(u32);
}

/* Take a bit and account for the blocks. */
static int join_member(struct kvbm_registry *r, struct kvbm_share *share)
{
	u32 bit;
	int err = -ENOSPC;

	spin_lock(&r->pool_lock);
	for (bit = 0; bit < KVBM_MAX_REGISTRY_MANAGERS; bit++)
		if (!(r->members & 1ULL << bit))
			break;
	if (bit < KVBM_MAX_REGISTRY_MANAGERS &&
	    share->blocks <= r->capacity - r->blocks) {
		r->members |= 1ULL << bit;
		r->blocks += share->blocks;
		share->bit = bit;
		err = 0;
	}
	spin_unlock(&r->pool_lock);
	return err;
}

/* Index of entry @i of a share. */
static u32 share_index(const struct kvbm_share *share, u32 i)
{
	return share->chunks[i >> KVBM_DIR_CHUNK_SHIFT] << KVBM_DIR_CHUNK_SHIFT |
	       (i & KVBM_DIR_CHUNK_MASK);
}

/* Last one first: the pool is a stack, and hands them out in order. */
static void pool_add_share(struct kvbm_registry *r, struct kvbm_share *share)
{
	u32 i = share->count, batch;

	while (i) {
		spin_lock(&r->pool_lock);
		for (batch = 0; i && batch < BATCH; batch++)
			pool_put(r, share_index(share, --i));
		spin_unlock(&r->pool_lock);
		kvbm_relax();
	}
}

static void pool_del_share(struct kvbm_registry *r, struct kvbm_share *share)
{
	u32 i = 0, batch;

	while (i < share->count) {
		spin_lock(&r->pool_lock);
		for (batch = 0; i < share->count && batch < BATCH; batch++, i++)
			if (is_pooled(&share->entries[i]))
				pool_del(r, share_index(share, i));
		spin_unlock(&r->pool_lock);
		kvbm_relax();
	}
}

static void part_member(struct kvbm_registry *r, const struct kvbm_share *share)
{
	spin_lock(&r->pool_lock);
	r->blocks -= share->blocks;
	r->members &= ~(1ULL << share->bit);
	spin_unlock(&r->pool_lock);
}

/* There is room in the directory: it is as large as all stores can need. */
static void enter_chunks(struct kvbm_registry *r, struct kvbm_share *share)
{
	u32 i, chunk = 0;

	mutex_lock(&r->dir_lock);
	for (i = 0; i < share->nr_chunks; i++, chunk++) {
		while (READ_ONCE(r->dir[chunk]))
			chunk++;
		share->chunks[i] = chunk;
		r->shares[chunk] = share;
		WRITE_ONCE(r->dir[chunk], share->entries + (size_t)i * KVBM_DIR_CHUNK_SIZE);
		if (i % BATCH == 0)
			kvbm_relax();
	}
	mutex_unlock(&r->dir_lock);
}

static void leave_chunks(struct kvbm_registry *r, struct kvbm_share *share)
{
	u32 i;

	mutex_lock(&r->dir_lock);
	for (i = 0; i < share->nr_chunks; i++) {
		r->shares[share->chunks[i]] = NULL;
		WRITE_ONCE(r->dir[share->chunks[i]], NULL);
	}
	mutex_unlock(&r->dir_lock);
}

static int join(struct kvbm_registry *registry, u32 count, u32 blocks,
		struct kvbm_share *share)
{
	int err;

	share->count = count;
	share->blocks = blocks;
	share->leaving = false;
	share->nr_chunks = DIV_ROUND_UP(count, KVBM_DIR_CHUNK_SIZE);
	/* First, for it is cheap: whether there is room at all. */
	err = join_member(registry, share);
	if (err)
		return err;
	share->entries = kvbm_alloc(count, sizeof(*share->entries));
	share->chunks = kvbm_alloc(share->nr_chunks, sizeof(*share->chunks));
	if (!share->entries || !share->chunks) {
		kvbm_free(share->chunks);
		kvbm_free(share->entries);
		part_member(registry, share);
		return -ENOMEM;
	}
	enter_chunks(registry, share);
	pool_add_share(registry, share);
	return 0;
}

/**
 * kvbm_registry_join - bring a store in
 * @registry: the registry
 * @count: slots of the store
 * @share: its share, filled in; stays where it is until kvbm_registry_leave()
 *
 * Context: may sleep.
 * Return: 0, -ENOMEM, -ENOSPC (capacity, or too many stores).
 */
int kvbm_registry_join(struct kvbm_registry *registry, u32 count,
		       struct kvbm_share *share)
{
	return join(registry, count, count, share);
}

/**
 * kvbm_registry_join_aside - bring in a member that has no blocks
 * @registry: the registry
 * @share: its share, filled in; stays where it is until kvbm_registry_leave()
 *
 * A member that only keeps up to KVBM_ASIDE_ENTRIES hashes registered. It takes
 * one of the bits of stores and one chunk of the directory, which has room for a
 * chunk that is not full for every bit, but nothing of the capacity.
 *
 * Context: may sleep.
 * Return: 0, -ENOMEM, -ENOSPC (too many members).
 */
int kvbm_registry_join_aside(struct kvbm_registry *registry,
			     struct kvbm_share *share)
{
	return join(registry, KVBM_ASIDE_ENTRIES, 0, share);
}

/* Move one entry of a leaving share, if it is in use, to another share. */
static void move_entry(struct kvbm_registry *r, u32 index)
{
	struct kvbm_entry *e = kvbm_entry_at(r, index), *to;
	/* An entry of a leaving share is never used anew: the hash is stable. */
	u32 bucket = kvbm_bucket_of(r, &e->hash);
	u32 *link, other;

	spin_lock(kvbm_stripe_of(r, bucket));
	link = kvbm_entry_find(r, bucket, &e->hash);
	if (*link == index) {
		other = kvbm_entry_get(r);
		if (!WARN_ON_ONCE(other == KVBM_NIL)) {
			to = kvbm_entry_at(r, other);
			to->hash = e->hash;
			to->present = e->present;
			to->next = e->next;
			if (e->prev == KVBM_ENTRY_ATTACHED)
				kvbm_entry_mark_attached(r, to);
			*link = other;
			kvbm_entry_put(r, index);
		}
	}
	spin_unlock(kvbm_stripe_of(r, bucket));
}

/**
 * kvbm_registry_leave - take a store out
 * @registry: the registry
 * @share: its share; nothing of the store is present any more
 *
 * Entries of the share that hold hashes of other stores move to their shares.
 *
 * Context: may sleep.
 */
void kvbm_registry_leave(struct kvbm_registry *registry,
			 struct kvbm_share *share)
{
	u32 i;

	spin_lock(&registry->pool_lock);
	share->leaving = true;
	spin_unlock(&registry->pool_lock);
	pool_del_share(registry, share);

	/*
	 * Whoever took an entry of this share from the pool did so under the
	 * stripe where he will link it. Having held every stripe once, we know
	 * that all of those are linked; more cannot come.
	 */
	for (i = 0; i <= registry->stripe_mask; i++) {
		spin_lock(&registry->stripes[i].lock);
		spin_unlock(&registry->stripes[i].lock);
	}
	for (i = 0; i < share->count; i++) {
		move_entry(registry, share_index(share, i));
		if (i % BATCH == 0)
			kvbm_relax();
	}

	leave_chunks(registry, share);
	part_member(registry, share);
	kvbm_free(share->chunks);
	kvbm_free(share->entries);
}
