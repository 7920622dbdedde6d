// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The attachments of a registry: a table of its own, for few hashes have any.
 * The registry's entry of a hash says whether to look here.
 *
 * A type is used in one mode as long as the hash has an attachment of it: one
 * that is replaced, or many in the order in which they came.
 */
#include "attachment.h"

/**
 * struct kvbm_blob - one attachment
 * @next: of the same hash
 * @hash: what it hangs on, in the first of a hash
 * @chain: next hash in the bucket, in the first of a hash
 * @type: chosen by users
 * @len: bytes of @data
 * @mode: KVBM_ATTACH_*
 * @data: opaque
 */
struct kvbm_blob {
	struct kvbm_blob *next;
	struct kvbm_hash hash;
	struct kvbm_blob *chain;
	u64 type;
	u32 len;
	u32 mode;
	u8 data[];
};

/**
 * struct kvbm_attachments - all of one registry
 * @lock: protects @buckets and all blobs; a leaf
 * @key: secret of @buckets; immutable
 * @mask: buckets - 1; immutable
 * @buckets: first blob of the first hash of each
 */
struct kvbm_attachments {
	spinlock_t lock;	/* see above */
	struct kvbm_key key;
	u32 mask;
	struct kvbm_blob **buckets;
};

/**
 * kvbm_attachments_bytes - memory of an empty table
 * @capacity: of the registry
 *
 * Return: bytes.
 */
u64 kvbm_attachments_bytes(u64 capacity)
{
	return sizeof(struct kvbm_attachments) +
	       kvbm_bucket_count(capacity) * sizeof(struct kvbm_blob *);
}

/**
 * kvbm_attachments_alloc - make an empty table
 * @capacity: of the registry
 * @out: the table
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int kvbm_attachments_alloc(u64 capacity, struct kvbm_attachments **out)
{
	struct kvbm_attachments *a = kvbm_alloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	spin_lock_init(&a->lock);
	kvbm_key_init(&a->key);
	a->mask = kvbm_bucket_count(capacity) - 1;
	a->buckets = kvbm_alloc((size_t)a->mask + 1, sizeof(struct kvbm_blob *));
	if (!a->buckets) {
		kvbm_free(a);
		return -ENOMEM;
	}
	*out = a;
	return 0;
}

/**
 * kvbm_attachments_free - undo kvbm_attachments_alloc()
 * @attachments: an empty table
 *
 * Context: may sleep.
 */
void kvbm_attachments_free(struct kvbm_attachments *attachments)
{
	kvbm_free(attachments->buckets);
	kvbm_free(attachments);
}

/**
 * kvbm_blob_new - make an attachment
 * @type: chosen by users
 * @mode: KVBM_ATTACH_*
 * @data: copied
 * @len: up to KVBM_MAX_ATTACHMENT
 *
 * Context: may sleep.
 * Return: the attachment, or NULL.
 */
struct kvbm_blob *kvbm_blob_new(u64 type, u32 mode, const void *data, u32 len)
{
	struct kvbm_blob *blob = kvbm_alloc_small(sizeof(*blob) + len);

	if (!blob)
		return NULL;
	blob->type = type;
	blob->mode = mode;
	blob->len = len;
	if (len)
		memcpy(blob->data, data, len);
	return blob;
}

/* Context: any. */
void kvbm_blob_free(struct kvbm_blob *blob)
{
	kvbm_free_small(blob);
}

u64 kvbm_blob_bytes(u32 len)
{
	return sizeof(struct kvbm_blob) + len;
}

u64 kvbm_blob_size(const struct kvbm_blob *blob)
{
	return kvbm_blob_bytes(blob->len);
}

/* The link that points at the first blob of @hash, or at the end. */
static struct kvbm_blob **find(struct kvbm_attachments *a,
			       const struct kvbm_hash *hash)
{
	struct kvbm_blob **link = &a->buckets[kvbm_key_hash(&a->key, hash) & a->mask];

	lockdep_assert_held(&a->lock);
	while (*link && !kvbm_hash_equal(&(*link)->hash, hash))
		link = &(*link)->chain;
	return link;
}

/* Put @blob in the place of the one at @link, or at the end. */
static struct kvbm_blob *put_at(struct kvbm_blob **link, struct kvbm_blob *blob)
{
	struct kvbm_blob *old = *link;

	if (old) {
		blob->next = old->next;
		blob->chain = old->chain;
		blob->hash = old->hash;
	}
	*link = blob;
	return old;
}

/**
 * kvbm_attachments_add - attach to a hash that is present
 * @attachments: the table
 * @hash: the hash
 * @blob: what to attach; out: what it replaced, or NULL; to be freed by the
 *	caller, who also has it after an error
 *
 * Context: under the stripe of the hash in the registry.
 * Return: 0, -EPROTOTYPE (other mode), -ENOSPC (too many).
 */
int kvbm_attachments_add(struct kvbm_attachments *attachments,
			 const struct kvbm_hash *hash, struct kvbm_blob **blob)
{
	struct kvbm_blob **first, **link, **same = NULL;
	u32 n = 0;
	int err = 0;

	spin_lock(&attachments->lock);
	first = find(attachments, hash);
	for (link = first; *link; link = &(*link)->next, n++)
		if ((*link)->type == (*blob)->type)
			same = link;
	if (same && (*same)->mode != (*blob)->mode) {
		err = -EPROTOTYPE;
		goto unlock;
	}
	if (same && (*blob)->mode == KVBM_ATTACH_UNIQUE) {
		*blob = put_at(same, *blob);
		goto unlock;
	}
	if (n >= KVBM_MAX_ATTACHMENTS) {
		err = -ENOSPC;
		goto unlock;
	}
	(*blob)->hash = *hash;
	put_at(link, *blob);
	*blob = NULL;
unlock:
	spin_unlock(&attachments->lock);
	return err;
}

/**
 * kvbm_attachments_drop - a hash is present nowhere any more
 * @attachments: the table
 * @hash: the hash
 *
 * Context: under the stripe of the hash in the registry.
 * Return: bytes freed.
 */
u64 kvbm_attachments_drop(struct kvbm_attachments *attachments,
			  const struct kvbm_hash *hash)
{
	struct kvbm_blob **link, *blob, *next;
	u64 bytes = 0;

	spin_lock(&attachments->lock);
	link = find(attachments, hash);
	blob = *link;
	if (blob)
		*link = blob->chain;
	spin_unlock(&attachments->lock);
	for (; blob; blob = next) {
		next = blob->next;
		bytes += kvbm_blob_bytes(blob->len);
		kvbm_blob_free(blob);
	}
	return bytes;
}

/**
 * kvbm_attachments_read - copy out what hangs on a hash
 * @attachments: the table
 * @hash: the hash
 * @type: only this one; 0 is all
 * @out: where to; its counts start at zero
 *
 * Context: under the stripe of the hash in the registry.
 */
void kvbm_attachments_read(struct kvbm_attachments *attachments,
			   const struct kvbm_hash *hash, u64 type,
			   struct kvbm_attached *out)
{
	struct kvbm_attachment head = {};
	const struct kvbm_blob *blob;
	u32 room;

	spin_lock(&attachments->lock);
	for (blob = *find(attachments, hash); blob; blob = blob->next) {
		if (type && blob->type != type)
			continue;
		room = KVBM_ATTACHMENT_ROOM(blob->len);
		/* Whole ones, in order; what follows one that does not fit is left. */
		if (out->count == out->total && out->written + room <= out->size) {
			head.type = blob->type;
			head.len = blob->len;
			head.mode = blob->mode;
			memcpy(out->buf + out->written, &head, sizeof(head));
			memcpy(out->buf + out->written + sizeof(head), blob->data, blob->len);
			out->written += room;
			out->count++;
		}
		out->needed += room;
		out->total++;
	}
	spin_unlock(&attachments->lock);
}
