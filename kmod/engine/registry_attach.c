// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What users hang on the hashes of a registry: the way to the table of
 * attachments, which knows nothing of presence.
 */
#include "entry.h"

/* Context: under the stripe of the entry's hash. */
void kvbm_entry_mark_attached(struct kvbm_registry *r, struct kvbm_entry *e)
{
	spin_lock(&r->pool_lock);
	e->prev = KVBM_ENTRY_ATTACHED;
	spin_unlock(&r->pool_lock);
}

/* Context: under the stripe of the hash. */
void kvbm_registry_drop_attached(struct kvbm_registry *r,
				 const struct kvbm_hash *hash)
{
	kvbm_registry_uncharge(r, kvbm_attachments_drop(READ_ONCE(r->attachments),
							hash));
}

/* With the registry, which nobody knows any more. */
void kvbm_registry_free_attached(struct kvbm_registry *r)
{
	if (!r->attachments)
		return;
	kvbm_attachments_free(r->attachments);
	kvbm_registry_uncharge(r, kvbm_attachments_bytes(r->capacity));
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
	err = kvbm_registry_charge(r, bytes);
	if (err)
		return err;
	err = kvbm_attachments_alloc(r->capacity, &mine);
	if (err) {
		kvbm_registry_uncharge(r, bytes);
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
		kvbm_registry_uncharge(r, bytes);
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
	u32 bucket = kvbm_bucket_of(registry, hash);
	struct kvbm_attachments *attachments;
	struct kvbm_blob *blob;
	u64 bytes = kvbm_blob_bytes(len);
	u32 *link;
	int err;

	err = get_attachments(registry, &attachments);
	if (err)
		return err;
	err = kvbm_registry_charge(registry, bytes);
	if (err)
		return err;
	blob = kvbm_blob_new(type, mode, data, len);
	if (!blob) {
		kvbm_registry_uncharge(registry, bytes);
		return -ENOMEM;
	}
	spin_lock(kvbm_stripe_of(registry, bucket));
	link = kvbm_entry_find(registry, bucket, hash);
	err = -ENOENT;
	if (*link != KVBM_NIL) {
		err = kvbm_attachments_add(attachments, hash, &blob);
		if (!err)
			kvbm_entry_mark_attached(registry, kvbm_entry_at(registry, *link));
	}
	spin_unlock(kvbm_stripe_of(registry, bucket));
	/* Ours that was not taken, or what it replaced. */
	if (blob) {
		kvbm_registry_uncharge(registry, kvbm_blob_size(blob));
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
	u32 bucket = kvbm_bucket_of(registry, hash);
	u32 *link;
	int err = -ENOENT;

	out->count = 0;
	out->written = 0;
	out->total = 0;
	out->needed = 0;
	spin_lock(kvbm_stripe_of(registry, bucket));
	link = kvbm_entry_find(registry, bucket, hash);
	if (*link != KVBM_NIL) {
		err = 0;
		if (kvbm_entry_at(registry, *link)->prev == KVBM_ENTRY_ATTACHED)
			kvbm_attachments_read(READ_ONCE(registry->attachments),
					      hash, type, out);
	}
	spin_unlock(kvbm_stripe_of(registry, bucket));
	return err;
}
