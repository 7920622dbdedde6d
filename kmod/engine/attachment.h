/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Attachments: what users hang on a hash of a registry, until it is present
 * nowhere any more.
 */
#ifndef KVBM_ENGINE_ATTACHMENT_H
#define KVBM_ENGINE_ATTACHMENT_H

#include <linux/kvbm_types.h>

#include "engine.h"

struct kvbm_attachments;
struct kvbm_blob;

int kvbm_attachments_alloc(u64 capacity, struct kvbm_attachments **out);
void kvbm_attachments_free(struct kvbm_attachments *attachments);
u64 kvbm_attachments_bytes(u64 capacity);

struct kvbm_blob *kvbm_blob_new(u64 type, u32 mode, const void *data, u32 len);
void kvbm_blob_free(struct kvbm_blob *blob);
u64 kvbm_blob_bytes(u32 len);
u64 kvbm_blob_size(const struct kvbm_blob *blob);

int kvbm_attachments_add(struct kvbm_attachments *attachments,
			 const struct kvbm_hash *hash, struct kvbm_blob **blob);
u64 kvbm_attachments_drop(struct kvbm_attachments *attachments,
			  const struct kvbm_hash *hash);
void kvbm_attachments_read(struct kvbm_attachments *attachments,
			   const struct kvbm_hash *hash, u64 type,
			   struct kvbm_attached *out);

#endif /* KVBM_ENGINE_ATTACHMENT_H */
