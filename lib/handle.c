// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Handles, as users see them. They are there in process only: the device has no
 * call for them.
 */
#include <errno.h>
#include <string.h>

#include <kvbm/handle.h>

#include "abi.h"
#include "backend.h"
#include "handle.h"

/* The namespace that @kvbm is a connection to. */
static int get_ns(struct kvbm *kvbm, uint64_t registry, struct kvbm_ns **ns)
{
	struct kvbm_conn *conn = kvbm->conn;

	if (!kvbm_fork_is_current(conn->epoch))
		return -EOWNERDEAD;
	if (!conn->backend->ns)
		return -EOPNOTSUPP;
	*ns = conn->backend->ns(conn);
	return registry ? 0 : -ENOENT;
}

static int check_batch(size_t n, const struct kvbm_hash *hashes,
		       struct kvbm_handle **out)
{
	if (n > KVBM_MAX_BATCH)
		return -EINVAL;
	if (n && !out)
		return -EFAULT;
	if (n)
		memset(out, 0, n * sizeof(*out));
	return n && !hashes ? -EFAULT : 0;
}

int kvbm_handle_open(struct kvbm *kvbm, uint64_t registry, size_t n,
		     const struct kvbm_hash *hashes, struct kvbm_handle **out)
{
	struct kvbm_ns *ns;
	uint32_t failed = 0;
	int err;

	err = check_batch(n, hashes, out);
	if (err)
		return err;
	err = get_ns(kvbm, registry, &ns);
	if (err)
		return err;
	err = kvbm_ns_handle_open(ns, registry, n, hashes, out, kvbm->conn->epoch,
				  &failed);
	if (err)
		kvbm_set_failed_index(failed);
	return err;
}

ssize_t kvbm_handle_match(struct kvbm *kvbm, uint64_t registry, bool touch, size_t n,
			  const struct kvbm_hash *hashes, struct kvbm_handle **out)
{
	uint32_t failed = 0;
	struct kvbm_ns *ns;
	ssize_t ret;

	ret = check_batch(n, hashes, out);
	if (ret)
		return ret;
	ret = get_ns(kvbm, registry, &ns);
	if (ret)
		return ret;
	ret = kvbm_ns_handle_match(ns, registry, touch, n, hashes, out,
				   kvbm->conn->epoch, &failed);
	if (ret < 0)
		kvbm_set_failed_index(failed);
	return ret;
}

struct kvbm_handle *kvbm_handle_clone(struct kvbm_handle *handle)
{
	if (kvbm_fork_is_current(handle->epoch))
		kvbm_ns_handle_get(handle);
	return handle;
}

void kvbm_handle_close(struct kvbm_handle *handle)
{
	/* In a child, all is as some thread of the parent may have left it. */
	if (handle && kvbm_fork_is_current(handle->epoch))
		kvbm_ns_handle_put(handle);
}

const struct kvbm_hash *kvbm_handle_hash(const struct kvbm_handle *handle)
{
	return &handle->hash;
}

bool kvbm_handle_is_from_registry(const struct kvbm_handle *handle,
				  struct kvbm *kvbm, uint64_t registry)
{
	struct kvbm_ns *ns;

	return !get_ns(kvbm, registry, &ns) &&
	       kvbm_ns_registry_is_named(ns, registry, handle->registry);
}

int kvbm_is_registered(struct kvbm *kvbm, uint64_t registry,
		       const struct kvbm_hash *hash)
{
	struct kvbm_ns *ns;
	int err;

	err = get_ns(kvbm, registry, &ns);
	return err ? err : kvbm_ns_is_registered(ns, registry, hash);
}

int kvbm_handle_attach(struct kvbm_handle *handle, uint64_t type, uint32_t mode,
		       const void *data, size_t len)
{
	struct kvbm_attach a = {
		.size = sizeof(a),
		.hash = handle->hash,
		.type = type,
		.data = kvbm_ptr(data),
		.len = len,
		.mode = mode,
	};
	int err;

	if (!kvbm_fork_is_current(handle->epoch))
		return -EOWNERDEAD;
	if (len > KVBM_MAX_ATTACHMENT)
		return -EINVAL;
	err = kvbm_abi_check(kvbm_abi_find(KVBM_ATTACH), &a);
	return err ? err : kvbm_ns_registry_attach(handle->registry, &a);
}

ssize_t kvbm_handle_attachments(struct kvbm_handle *handle, uint64_t type, void *buf,
				size_t size, size_t *needed)
{
	struct kvbm_attachments a = {
		.size = sizeof(a),
		.hash = handle->hash,
		.type = type,
		.buf = kvbm_ptr(buf),
		.buf_size = size > UINT32_MAX ? UINT32_MAX : size,
	};
	int err;

	if (!kvbm_fork_is_current(handle->epoch))
		return -EOWNERDEAD;
	err = kvbm_ns_registry_attachments(handle->registry, &a);
	if (err)
		return err;
	if (needed)
		*needed = a.out_needed;
	return a.out_count;
}

int kvbm_handle_on_touch(struct kvbm_handle *handle, kvbm_touch_callback callback,
			 void *arg)
{
	if (!kvbm_fork_is_current(handle->epoch))
		return -EOWNERDEAD;
	return callback ? kvbm_ns_handle_on_touch(handle, callback, arg) : -EINVAL;
}

int kvbm_handle_touch(struct kvbm_handle *handle)
{
	if (!kvbm_fork_is_current(handle->epoch))
		return -EOWNERDEAD;
	kvbm_ns_handle_touch(handle);
	return 0;
}
