/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What is behind a handle.
 */
#ifndef KVBM_LIB_HANDLE_H
#define KVBM_LIB_HANDLE_H

#include <kvbm/handle.h>

#include "inproc.h"

/**
 * struct kvbm_touch - one callback
 * @next: the one that was added after it
 * @callback: what to call
 * @arg: for @callback
 */
struct kvbm_touch {
	struct kvbm_touch *next;
	kvbm_touch_callback callback;
	void *arg;
};

/**
 * struct kvbm_handle - the registration of one hash, with all of its handles
 * @ns: of the registry; referenced while there are handles
 * @registry: the registry; referenced while there are handles
 * @hash: immutable
 * @epoch: of the process that opened it
 * @refs: handles; under the lock of the table
 * @first: callbacks, only ever appended to; under the lock of the table
 * @last: the last of them, or NULL; under the lock of the table
 * @next: in the bucket; under the spinlock of the table
 * @kept: there are no handles: it is here for its callbacks, and until the hash is
 *	present nowhere; under both locks, or only read under one
 */
struct kvbm_handle {
	struct kvbm_ns *ns;
	struct kvbm_ns_registry *registry;
	struct kvbm_hash hash;
	u64 epoch;
	u32 refs;
	struct kvbm_touch *first;
	struct kvbm_touch *last;
	struct kvbm_handle *next;
	bool kept;
};

/*
 * inproc_handles.c; arguments passed the checks of handle.c. @out is all NULL
 * before, and after an error.
 */
int kvbm_ns_handle_open(struct kvbm_ns *ns, u64 registry, u32 n,
			const struct kvbm_hash *hashes, struct kvbm_handle **out,
			u64 epoch, u32 *failed);
ssize_t kvbm_ns_handle_match(struct kvbm_ns *ns, u64 registry, bool touch, u32 n,
			     const struct kvbm_hash *hashes,
			     struct kvbm_handle **out, u64 epoch, u32 *failed);
int kvbm_ns_is_registered(struct kvbm_ns *ns, u64 registry,
			  const struct kvbm_hash *hash);
void kvbm_ns_handle_get(struct kvbm_handle *handle);
void kvbm_ns_handle_put(struct kvbm_handle *handle);
int kvbm_ns_handle_on_touch(struct kvbm_handle *handle,
			    kvbm_touch_callback callback, void *arg);
void kvbm_ns_handle_touch(struct kvbm_handle *handle);

#endif /* KVBM_LIB_HANDLE_H */
