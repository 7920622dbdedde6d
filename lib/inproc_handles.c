// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Handles of the in-process backend. To the engine, all handles of a registry are
 * one more member of it, which has no blocks: a hash is present there from its
 * first handle to its last. So the engine keeps entry and attachments for us, and
 * the bit of that member is not one of the managers' that presence is asked about.
 *
 * Callbacks belong to the hash, not to its handles. They outlive the last handle
 * if the hash is still present somewhere, and the engine tells when it is not.
 */
#include <errno.h>

#include "engine/hash.h"
#include "engine/plh.h"
#include "engine/registry.h"
#include "handle.h"

/* More are for who has callbacks on so many hashes that are cached. */
#define MAX_BUCKETS	65536

static_assert(KVBM_MAX_HANDLES == KVBM_ASIDE_ENTRIES);

/**
 * struct kvbm_handles - the handles of one registry
 * @engine: the hashes
 * @capacity: of the registry
 * @lock: protects what follows up to @table_lock; over everything of the engine, and
 *	over the lock of the namespace
 * @joined: we are a member; the first handle makes us one
 * @share: then
 * @nr_open: hashes that have handles
 * @table_lock: protects @buckets; a leaf, under the engine's locks
 * @key: secret of @buckets; with @joined
 * @mask: buckets - 1; with @joined
 * @buckets: those that have handles, and those that are kept
 * @nr_kept: how many of those there are
 */
struct kvbm_handles {
	struct kvbm_registry *engine;
	u64 capacity;
	struct mutex lock;		/* see above */
	bool joined;
	struct kvbm_share share;
	u32 nr_open;
	spinlock_t table_lock;		/* see above */
	struct kvbm_key key;
	u32 mask;
	struct kvbm_handle **buckets;
	atomic64_t nr_kept;
};

static void free_handle(struct kvbm_handle *handle)
{
	struct kvbm_touch *t, *next;

	for (t = handle->first; t; t = next) {
		next = t->next;
		kvbm_free_small(t);
	}
	kvbm_free_small(handle);
}

/* The link that points at the handle of @hash, or at the end. */
static struct kvbm_handle **find(struct kvbm_handles *h, const struct kvbm_hash *hash)
{
	struct kvbm_handle **link = &h->buckets[kvbm_key_hash(&h->key, hash) & h->mask];

	lockdep_assert_held(&h->table_lock);
	while (*link && !kvbm_hash_equal(&(*link)->hash, hash))
		link = &(*link)->next;
	return link;
}

/*
 * The engine says that a hash is present nowhere any more. We see every handle that
 * is kept for @hash: it was so before its hash became absent here, under the same
 * stripe as now.
 */
static void hash_is_gone(void *arg, const struct kvbm_hash *hash)
{
	struct kvbm_handles *h = arg;
	struct kvbm_handle **link, *handle;

	if (!atomic64_read(&h->nr_kept))
		return;
	spin_lock(&h->table_lock);
	link = find(h, hash);
	handle = *link;
	if (handle && handle->kept) {
		*link = handle->next;
		atomic64_sub(1, &h->nr_kept);
	} else {
		handle = NULL;
	}
	spin_unlock(&h->table_lock);
	if (handle)
		free_handle(handle);
}

/**
 * kvbm_handles_alloc - prepare a registry for handles
 * @engine: without stores
 * @capacity: of the registry
 *
 * Return: the handles, or NULL.
 */
struct kvbm_handles *kvbm_handles_alloc(struct kvbm_registry *engine, u64 capacity)
{
	struct kvbm_handles *h = kvbm_alloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->engine = engine;
	h->capacity = capacity;
	mutex_init(&h->lock);
	spin_lock_init(&h->table_lock);
	kvbm_registry_watch(engine, hash_is_gone, h);
	return h;
}

/**
 * kvbm_handles_free - undo kvbm_handles_alloc()
 * @handles: without handles; the registry has no stores any more
 */
void kvbm_handles_free(struct kvbm_handles *handles)
{
	WARN_ON_ONCE(handles->nr_open || atomic64_read(&handles->nr_kept));
	if (handles->joined)
		kvbm_registry_leave(handles->engine, &handles->share);
	kvbm_free(handles->buckets);
	mutex_destroy(&handles->lock);
	kvbm_free(handles);
}

static int join(struct kvbm_handles *h)
{
	u32 buckets = kvbm_bucket_count(min_t(u64, h->capacity, MAX_BUCKETS));
	int err;

	lockdep_assert_held(&h->lock);
	if (h->joined)
		return 0;
	h->buckets = kvbm_alloc(buckets, sizeof(struct kvbm_handle *));
	if (!h->buckets)
		return -ENOMEM;
	err = kvbm_registry_join_aside(h->engine, &h->share);
	if (err) {
		kvbm_free(h->buckets);
		h->buckets = NULL;
		return err;
	}
	kvbm_key_init(&h->key);
	h->mask = buckets - 1;
	h->joined = true;
	return 0;
}

/* The one that has handles, or NULL. We are a member. */
static struct kvbm_handle *find_open(struct kvbm_handles *h,
				     const struct kvbm_hash *hash)
{
	struct kvbm_handle *handle;

	lockdep_assert_held(&h->lock);
	spin_lock(&h->table_lock);
	handle = *find(h, hash);
	if (handle && handle->kept)
		handle = NULL;
	spin_unlock(&h->table_lock);
	return handle;
}

/*
 * The hash has become present here. If a handle is kept, it is of this same
 * registration, for the engine has not told that it ended. Return: that one, or
 * @fresh, which is in the table now.
 */
static struct kvbm_handle *keep_or_insert(struct kvbm_handles *h,
					  struct kvbm_handle *fresh)
{
	struct kvbm_handle **link, *handle;

	lockdep_assert_held(&h->lock);
	spin_lock(&h->table_lock);
	link = find(h, &fresh->hash);
	handle = *link;
	if (handle) {
		handle->kept = false;
		atomic64_sub(1, &h->nr_kept);
	} else {
		*link = fresh;
	}
	spin_unlock(&h->table_lock);
	return handle ? handle : fresh;
}

enum how { OPEN, MATCH };

/* A miss is 0, and no handle. */
static int get_one(struct kvbm_handles *h, struct kvbm_ns *ns,
		   struct kvbm_ns_registry *r, const struct kvbm_hash *hash,
		   enum how how, u64 epoch, struct kvbm_handle **out)
{
	struct kvbm_handle *handle = NULL, *fresh;
	int err;

	lockdep_assert_held(&h->lock);
	if (h->joined)
		handle = find_open(h, hash);
	if (handle) {
		handle->refs++;
		*out = handle;
		return 0;
	}
	if (how == MATCH && !kvbm_registry_presence(h->engine, hash))
		return 0;
	err = join(h);
	if (err)
		return err;
	if (h->nr_open == KVBM_MAX_HANDLES)
		return -ENOSPC;
	fresh = kvbm_alloc_small(sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	fresh->hash = *hash;
	if (how == OPEN) {
		kvbm_registry_present(h->engine, h->share.bit, hash, NULL);
	} else if (!kvbm_registry_hold(h->engine, h->share.bit, hash)) {
		kvbm_free_small(fresh);
		return 0;
	}
	handle = keep_or_insert(h, fresh);
	if (handle != fresh)
		kvbm_free_small(fresh);
	handle->ns = ns;
	handle->registry = r;
	handle->epoch = epoch;
	handle->refs = 1;
	kvbm_ns_registry_pin(ns, r);
	h->nr_open++;
	*out = handle;
	return 0;
}

/* Return: whether it was the last one, and a pin of the registry is left over. */
static bool put_one(struct kvbm_handles *h, struct kvbm_handle *handle)
{
	/* The handle may be gone before we are done. */
	struct kvbm_hash hash = handle->hash;
	bool keep = handle->first;

	lockdep_assert_held(&h->lock);
	if (--handle->refs)
		return false;
	h->nr_open--;
	spin_lock(&h->table_lock);
	if (keep) {
		handle->kept = true;
		atomic64_inc(&h->nr_kept);
	} else {
		*find(h, &hash) = handle->next;
	}
	spin_unlock(&h->table_lock);
	if (!keep)
		free_handle(handle);
	kvbm_registry_absent(h->engine, h->share.bit, &hash, NULL);
	return true;
}

static int get_all(struct kvbm_handles *h, struct kvbm_ns *ns,
		   struct kvbm_ns_registry *r, u32 n, const struct kvbm_hash *hashes,
		   enum how how, u64 epoch, struct kvbm_handle **out, u32 *failed)
{
	u32 i, pins = 0;
	int err = 0;

	mutex_lock(&h->lock);
	for (i = 0; !err && i < n; i++) {
		err = get_one(h, ns, r, &hashes[i], how, epoch, &out[i]);
		if (err)
			*failed = i;
	}
	while (err && i--) {
		if (out[i])
			pins += put_one(h, out[i]);
		out[i] = NULL;
	}
	mutex_unlock(&h->lock);
	/* The caller has one, too. */
	while (pins--)
		kvbm_ns_registry_unpin(ns, r);
	return err;
}

static int check_hashes(struct kvbm_handles *h, u32 n, const struct kvbm_hash *hashes,
			u32 *failed)
{
	u32 i;

	if (kvbm_registry_schema(h->engine) != KVBM_SCHEMA_PLH)
		return 0;
	for (i = 0; i < n; i++)
		if (!kvbm_plh_valid(&hashes[i])) {
			*failed = i;
			return -EILSEQ;
		}
	return 0;
}

int kvbm_ns_handle_open(struct kvbm_ns *ns, u64 registry, u32 n,
			const struct kvbm_hash *hashes, struct kvbm_handle **out,
			u64 epoch, u32 *failed)
{
	struct kvbm_ns_registry *r;
	struct kvbm_handles *h;
	int err;

	err = kvbm_ns_registry_find(ns, registry, &r);
	if (err)
		return err;
	h = kvbm_ns_registry_handles(r);
	err = check_hashes(h, n, hashes, failed);
	if (!err)
		err = get_all(h, ns, r, n, hashes, OPEN, epoch, out, failed);
	kvbm_ns_registry_unpin(ns, r);
	return err;
}

ssize_t kvbm_ns_handle_match(struct kvbm_ns *ns, u64 registry, bool touch, u32 n,
			     const struct kvbm_hash *hashes,
			     struct kvbm_handle **out, u64 epoch, u32 *failed)
{
	struct kvbm_ns_registry *r;
	struct kvbm_handles *h;
	u32 i, hits = 0;
	int err;

	err = kvbm_ns_registry_find(ns, registry, &r);
	if (err)
		return err;
	h = kvbm_ns_registry_handles(r);
	err = get_all(h, ns, r, n, hashes, MATCH, epoch, out, failed);
	for (i = 0; !err && i < n; i++) {
		if (!out[i])
			continue;
		hits++;
		if (touch)
			kvbm_registry_touch(h->engine, &hashes[i]);
	}
	kvbm_ns_registry_unpin(ns, r);
	return err ? err : (ssize_t)hits;
}

int kvbm_ns_is_registered(struct kvbm_ns *ns, u64 registry,
			  const struct kvbm_hash *hash)
{
	struct kvbm_ns_registry *r;
	int ret;

	ret = kvbm_ns_registry_find(ns, registry, &r);
	if (ret)
		return ret;
	ret = !!kvbm_registry_presence(kvbm_ns_registry_handles(r)->engine, hash);
	kvbm_ns_registry_unpin(ns, r);
	return ret;
}

void kvbm_ns_handle_get(struct kvbm_handle *handle)
{
	struct kvbm_handles *h = kvbm_ns_registry_handles(handle->registry);

	mutex_lock(&h->lock);
	handle->refs++;
	mutex_unlock(&h->lock);
}

void kvbm_ns_handle_put(struct kvbm_handle *handle)
{
	struct kvbm_ns *ns = handle->ns;
	struct kvbm_ns_registry *r = handle->registry;
	struct kvbm_handles *h = kvbm_ns_registry_handles(r);
	bool last;

	mutex_lock(&h->lock);
	last = put_one(h, handle);
	mutex_unlock(&h->lock);
	if (last)
		kvbm_ns_registry_unpin(ns, r);
}

int kvbm_ns_handle_on_touch(struct kvbm_handle *handle,
			    kvbm_touch_callback callback, void *arg)
{
	struct kvbm_handles *h = kvbm_ns_registry_handles(handle->registry);
	struct kvbm_touch *t = kvbm_alloc_small(sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->callback = callback;
	t->arg = arg;
	mutex_lock(&h->lock);
	if (handle->last)
		handle->last->next = t;
	else
		handle->first = t;
	handle->last = t;
	mutex_unlock(&h->lock);
	return 0;
}

void kvbm_ns_handle_touch(struct kvbm_handle *handle)
{
	struct kvbm_handles *h = kvbm_ns_registry_handles(handle->registry);
	const struct kvbm_touch *t, *last;

	/* Callbacks may close what they like: we have one of our own. */
	mutex_lock(&h->lock);
	handle->refs++;
	t = handle->first;
	last = handle->last;
	mutex_unlock(&h->lock);
	/* What is between the two does not change any more. */
	while (t) {
		t->callback(t->arg, &handle->hash);
		t = t == last ? NULL : t->next;
	}
	kvbm_ns_handle_put(handle);
}
