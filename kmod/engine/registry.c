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
#include "registry.h"

#include "attachment.h"
#include "sketch.h"

/* Entries are found through a directory of chunks, so that shares can go. */
#define CHUNK_SHIFT	12
#define CHUNK_SIZE	((u32)BIT(CHUNK_SHIFT))
#define CHUNK_MASK	(CHUNK_SIZE - 1)

static_assert(KVBM_ASIDE_ENTRIES == CHUNK_SIZE);

#define MAX_STRIPES	256
/* Entries handled under one hold of the pool lock. */
#define BATCH		64
/* entry->prev of an entry that is not in the pool, and has attachments or not. */
#define ATTACHED	(U32_MAX - 2)
#define NOT_POOLED	(U32_MAX - 1)

/**
 * struct kvbm_entry - one distinct hash
 * @hash: the hash
 * @present: bit per store; 0 when the entry is free
 * @next: next in the bucket; when free, link of the pool
 * @prev: when free, link of the pool; otherwise NOT_POOLED or ATTACHED; changes
 *	under the pool lock, and when in use under the stripe as well
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
 * struct kvbm_registry - see above
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
 * @pool_lock: protects all below
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

static struct kvbm_entry *entry_at(const struct kvbm_registry *r, u32 index)
{
	return &READ_ONCE(r->dir[index >> CHUNK_SHIFT])[index & CHUNK_MASK];
}

static u32 bucket_of(const struct kvbm_registry *r, const struct kvbm_hash *hash)
{
	return kvbm_key_hash(&r->key, hash) & r->mask;
}

static spinlock_t *stripe_of(const struct kvbm_registry *r, u32 bucket)
{
	return &r->stripes[bucket & r->stripe_mask].lock;
}

static int charge(struct kvbm_registry *r, u64 bytes)
{
	return r->charge ? r->charge->charge(bytes) : 0;
}

static void uncharge(struct kvbm_registry *r, u64 bytes)
{
	if (r->charge)
		r->charge->uncharge(bytes);
}

/* Chunks of the directory; every store rounds up to whole chunks. */
static u32 dir_size(u64 capacity)
{
	return (capacity >> CHUNK_SHIFT) + KVBM_MAX_REGISTRY_MANAGERS;
}

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
	r->dir_size = dir_size(capacity);
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
	if (registry->attachments) {
		kvbm_attachments_free(registry->attachments);
		uncharge(registry, kvbm_attachments_bytes(registry->capacity));
	}
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
	       dir_size(capacity) * (sizeof(void *) + sizeof(void *)) +
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

static void pool_put(struct kvbm_registry *r, u32 index)
{
	struct kvbm_entry *e = entry_at(r, index);

	lockdep_assert_held(&r->pool_lock);
	e->prev = KVBM_NIL;
	e->next = r->pool;
	if (r->pool != KVBM_NIL)
		entry_at(r, r->pool)->prev = index;
	r->pool = index;
}

static void pool_del(struct kvbm_registry *r, u32 index)
{
	struct kvbm_entry *e = entry_at(r, index);

	lockdep_assert_held(&r->pool_lock);
	if (e->prev == KVBM_NIL)
		r->pool = e->next;
	else
		entry_at(r, e->prev)->next = e->next;
	if (e->next != KVBM_NIL)
		entry_at(r, e->next)->prev = e->prev;
	e->prev = NOT_POOLED;
}

static bool is_pooled(const struct kvbm_entry *e)
{
	return e->prev != NOT_POOLED && e->prev != ATTACHED;
}

static u32 entry_get(struct kvbm_registry *r)
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

static void entry_put(struct kvbm_registry *r, u32 index)
{
	spin_lock(&r->pool_lock);
	r->nr_used--;
	if (!r->shares[index >> CHUNK_SHIFT]->leaving)
		pool_put(r, index);
	spin_unlock(&r->pool_lock);
}

/* The link that points at the entry of @hash, or at the nil after the last. */
static u32 *find_link(struct kvbm_registry *r, u32 bucket,
		      const struct kvbm_hash *hash)
{
	u32 *link = &r->buckets[bucket];

	lockdep_assert_held(stripe_of(r, bucket));
	while (*link != KVBM_NIL) {
		struct kvbm_entry *e = entry_at(r, *link);

		if (kvbm_hash_equal(&e->hash, hash))
			break;
		link = &e->next;
	}
	return link;
}

/* Context: under the stripe of the hash. */
static void drop_attached(struct kvbm_registry *r, const struct kvbm_hash *hash)
{
	uncharge(r, kvbm_attachments_drop(READ_ONCE(r->attachments), hash));
}

static void mark_attached(struct kvbm_registry *r, struct kvbm_entry *e)
{
	spin_lock(&r->pool_lock);
	e->prev = ATTACHED;
	spin_unlock(&r->pool_lock);
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
	u32 bucket = bucket_of(registry, hash);
	struct kvbm_entry *e;
	u32 *link, index;

	spin_lock(stripe_of(registry, bucket));
	link = find_link(registry, bucket, hash);
	if (*link == KVBM_NIL) {
		index = entry_get(registry);
		if (WARN_ON_ONCE(index == KVBM_NIL))
			goto unlock;
		e = entry_at(registry, index);
		e->hash = *hash;
		e->present = 0;
		e->next = KVBM_NIL;
		*link = index;
		/* The first registration is a use; those after it are not. */
		kvbm_registry_touch(registry, hash);
	}
	e = entry_at(registry, *link);
	if (report)
		kvbm_event_stored(&registry->events, report, hash, e->present);
	e->present |= 1ULL << bit;
unlock:
	spin_unlock(stripe_of(registry, bucket));
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
	u32 bucket = bucket_of(registry, hash);
	bool found;
	u32 *link;

	spin_lock(stripe_of(registry, bucket));
	link = find_link(registry, bucket, hash);
	found = *link != KVBM_NIL;
	if (found)
		entry_at(registry, *link)->present |= 1ULL << bit;
	spin_unlock(stripe_of(registry, bucket));
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
	u32 bucket = bucket_of(registry, hash);
	struct kvbm_entry *e;
	u32 *link, index;

	spin_lock(stripe_of(registry, bucket));
	link = find_link(registry, bucket, hash);
	index = *link;
	if (WARN_ON_ONCE(index == KVBM_NIL))
		goto unlock;
	e = entry_at(registry, index);
	e->present &= ~(1ULL << bit);
	if (report)
		kvbm_event_removed(&registry->events, report, hash, e->present);
	if (!e->present) {
		if (e->prev == ATTACHED)
			drop_attached(registry, hash);
		if (registry->gone)
			registry->gone(registry->gone_arg, hash);
		*link = e->next;
		entry_put(registry, index);
	}
unlock:
	spin_unlock(stripe_of(registry, bucket));
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
	u32 bucket = bucket_of(registry, hash);
	u64 present = 0;
	u32 *link;

	spin_lock(stripe_of(registry, bucket));
	link = find_link(registry, bucket, hash);
	if (*link != KVBM_NIL)
		present = entry_at(registry, *link)->present;
	spin_unlock(stripe_of(registry, bucket));
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

/* The table of attachments, made by the first who needs it. */
static int get_attachments(struct kvbm_registry *r, struct kvbm_attachments **out)
{
	struct kvbm_attachments *mine;
	u64 bytes = kvbm_attachments_bytes(r->capacity);
	int err;

	spin_lock(&r->pool_lock);
	*out = r->attachments;
	spin_unlock(&r->pool_lock);
	if (*out)
		return 0;
	err = charge(r, bytes);
	if (err)
		return err;
	err = kvbm_attachments_alloc(r->capacity, &mine);
	if (err) {
		uncharge(r, bytes);
		return err;
	}
	spin_lock(&r->pool_lock);
	*out = r->attachments;
	if (!*out) {
		WRITE_ONCE(r->attachments, mine);
		*out = mine;
		mine = NULL;
	}
	spin_unlock(&r->pool_lock);
	if (mine) {
		kvbm_attachments_free(mine);
		uncharge(r, bytes);
	}
	return 0;
}

/**
 * kvbm_registry_attach - hang something on a hash
 * @registry: the registry
 * @hash: present in at least one store; with its last presence the attachment
 *	goes
 * @type: chosen by users, not 0
 * @mode: KVBM_ATTACH_*
 * @data: copied
 * @len: up to KVBM_MAX_ATTACHMENT
 *
 * Context: may sleep.
 * Return: 0, -ENOENT (present nowhere), -EPROTOTYPE (the type is used in the
 * other mode there), -ENOSPC (KVBM_MAX_ATTACHMENTS are there), -ENOMEM, or what
 * the charge was refused with.
 */
int kvbm_registry_attach(struct kvbm_registry *registry,
			 const struct kvbm_hash *hash, u64 type, u32 mode,
			 const void *data, u32 len)
{
	u32 bucket = bucket_of(registry, hash);
	struct kvbm_attachments *attachments;
	struct kvbm_blob *blob;
	u64 bytes = kvbm_blob_bytes(len);
	u32 *link;
	int err;

	err = get_attachments(registry, &attachments);
	if (err)
		return err;
	err = charge(registry, bytes);
	if (err)
		return err;
	blob = kvbm_blob_new(type, mode, data, len);
	if (!blob) {
		uncharge(registry, bytes);
		return -ENOMEM;
	}
	spin_lock(stripe_of(registry, bucket));
	link = find_link(registry, bucket, hash);
	err = -ENOENT;
	if (*link != KVBM_NIL) {
		err = kvbm_attachments_add(attachments, hash, &blob);
		if (!err)
			mark_attached(registry, entry_at(registry, *link));
	}
	spin_unlock(stripe_of(registry, bucket));
	/* Ours that was not taken, or what it replaced. */
	if (blob) {
		uncharge(registry, kvbm_blob_size(blob));
		kvbm_blob_free(blob);
	}
	return err;
}

/**
 * kvbm_registry_read_attached - what hangs on a hash
 * @registry: the registry
 * @hash: the hash
 * @type: only this one; 0 is all
 * @out: where to; its counts are set
 *
 * Context: any.
 * Return: 0, or -ENOENT: present nowhere.
 */
int kvbm_registry_read_attached(struct kvbm_registry *registry,
				const struct kvbm_hash *hash, u64 type,
				struct kvbm_attached *out)
{
	u32 bucket = bucket_of(registry, hash);
	u32 *link;
	int err = -ENOENT;

	out->count = 0;
	out->written = 0;
	out->total = 0;
	out->needed = 0;
	spin_lock(stripe_of(registry, bucket));
	link = find_link(registry, bucket, hash);
	if (*link != KVBM_NIL) {
		err = 0;
		if (entry_at(registry, *link)->prev == ATTACHED)
			kvbm_attachments_read(READ_ONCE(registry->attachments),
					      hash, type, out);
	}
	spin_unlock(stripe_of(registry, bucket));
	return err;
}

/* Memory that a store of @count slots brings along. */
u64 kvbm_share_bytes(u32 count)
{
	return (u64)count * sizeof(struct kvbm_entry) +
	       DIV_ROUND_UP(count, CHUNK_SIZE) * sizeof(u32);
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
	return share->chunks[i >> CHUNK_SHIFT] << CHUNK_SHIFT | (i & CHUNK_MASK);
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
		WRITE_ONCE(r->dir[chunk], share->entries + (size_t)i * CHUNK_SIZE);
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
	share->nr_chunks = DIV_ROUND_UP(count, CHUNK_SIZE);
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
	struct kvbm_entry *e = entry_at(r, index), *to;
	/* An entry of a leaving share is never used anew: the hash is stable. */
	u32 bucket = bucket_of(r, &e->hash);
	u32 *link, other;

	spin_lock(stripe_of(r, bucket));
	link = find_link(r, bucket, &e->hash);
	if (*link == index) {
		other = entry_get(r);
		if (!WARN_ON_ONCE(other == KVBM_NIL)) {
			to = entry_at(r, other);
			to->hash = e->hash;
			to->present = e->present;
			to->next = e->next;
			if (e->prev == ATTACHED)
				mark_attached(r, to);
			*link = other;
			entry_put(r, index);
		}
	}
	spin_unlock(stripe_of(r, bucket));
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
