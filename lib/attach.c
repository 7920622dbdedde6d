// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What a registry knows of hashes beyond who has them.
 */
#include <errno.h>

#include "backend.h"

static int attach(struct kvbm_conn *conn, uint64_t registry,
		  const struct kvbm_hash *hash, uint64_t type, uint32_t mode,
		  const void *data, size_t len)
{
	struct kvbm_attach a = {
		.size = sizeof(a),
		.registry = registry,
		.hash = *hash,
		.type = type,
		.data = kvbm_ptr(data),
		.len = len,
		.mode = mode,
	};

	if (len > KVBM_MAX_ATTACHMENT)
		return -EINVAL;
	return kvbm_conn_call(conn, KVBM_ATTACH, &a);
}

int kvbm_attach(struct kvbm *kvbm, uint64_t registry, const struct kvbm_hash *hash,
		uint64_t type, uint32_t mode, const void *data, size_t len)
{
	/* To the ABI, 0 is that of the manager that the file is bound to. */
	if (!registry)
		return -ENOENT;
	return attach(kvbm->conn, registry, hash, type, mode, data, len);
}

int kvbm_session_attach(struct kvbm_session *session, const struct kvbm_hash *hash,
			uint64_t type, uint32_t mode, const void *data, size_t len)
{
	return attach(session->conn, 0, hash, type, mode, data, len);
}

static ssize_t attachments(struct kvbm_conn *conn, uint64_t registry,
			   const struct kvbm_hash *hash, uint64_t type, void *buf,
			   size_t size, size_t *needed)
{
	struct kvbm_attachments a = {
		.size = sizeof(a),
		.registry = registry,
		.hash = *hash,
		.type = type,
		.buf = kvbm_ptr(buf),
		.buf_size = size > UINT32_MAX ? UINT32_MAX : size,
	};
	int err = kvbm_conn_call(conn, KVBM_ATTACHMENTS, &a);

	if (err)
		return err;
	if (needed)
		*needed = a.out_needed;
	return a.out_count;
}

ssize_t kvbm_attachments(struct kvbm *kvbm, uint64_t registry,
			 const struct kvbm_hash *hash, uint64_t type, void *buf,
			 size_t size, size_t *needed)
{
	if (!registry)
		return -ENOENT;
	return attachments(kvbm->conn, registry, hash, type, buf, size, needed);
}

ssize_t kvbm_session_attachments(struct kvbm_session *session,
				 const struct kvbm_hash *hash, uint64_t type,
				 void *buf, size_t size, size_t *needed)
{
	return attachments(session->conn, 0, hash, type, buf, size, needed);
}

const struct kvbm_attachment *
kvbm_attachment_next(const struct kvbm_attachment *attachment)
{
	return (const void *)((const char *)attachment +
			      KVBM_ATTACHMENT_ROOM(attachment->len));
}

static int frequency(struct kvbm_conn *conn, uint64_t registry, bool touch, size_t n,
		     const struct kvbm_hash *hashes, uint8_t *counts)
{
	struct kvbm_frequency a = {
		.size = sizeof(a),
		.flags = touch ? KVBM_FREQUENCY_TOUCH : 0,
		.registry = registry,
		.hashes = kvbm_ptr(hashes),
		.out_counts = kvbm_ptr(counts),
		.count = n,
	};

	if (n > KVBM_MAX_BATCH)
		return -EINVAL;
	return kvbm_conn_call(conn, KVBM_FREQUENCY, &a);
}

int kvbm_frequency(struct kvbm *kvbm, uint64_t registry, bool touch, size_t n,
		   const struct kvbm_hash *hashes, uint8_t *counts)
{
	if (!registry)
		return -ENOENT;
	return frequency(kvbm->conn, registry, touch, n, hashes, counts);
}

int kvbm_session_frequency(struct kvbm_session *session, bool touch, size_t n,
			   const struct kvbm_hash *hashes, uint8_t *counts)
{
	return frequency(session->conn, 0, touch, n, hashes, counts);
}
