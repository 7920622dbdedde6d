/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Handles: a hash stays registered in a registry as long as somebody has a handle
 * of it, whatever becomes of its blocks.
 *
 * In process only. Over the device every function that opens handles answers
 * -EOPNOTSUPP: there a handle would be memory of the kernel that no block store
 * has paid for.
 *
 * Registered is a hash that is present in a manager, or has a handle. A handle is
 * no presence: kvbm_presence() does not see it, and no event tells of it. With the
 * last of both go the attachments of the hash, and its touch callbacks.
 *
 * Threads: handles may be shared. Fork: in a child of who opened them calls answer
 * -EOWNERDEAD, and closing does nothing.
 */
#ifndef KVBM_HANDLE_H
#define KVBM_HANDLE_H

#include <kvbm/kvbm.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* Hashes of one registry that can have handles at a time. */
#define KVBM_MAX_HANDLES	4096

/*
 * One for each hash, counted: who opens the same hash twice gets the same pointer
 * twice, and closes it twice.
 */
struct kvbm_handle;

/**
 * kvbm_handle_open - register hashes
 * @kvbm: connection, in process
 * @registry: id
 * @n: hashes, up to KVBM_MAX_BATCH
 * @hashes: registered or not; may be given twice
 * @out: @n handles, in the order of the hashes; all NULL after an error, unless
 *	@n is too large
 *
 * All or none; of a call that is refused half way nothing stays but counts of uses.
 * A hash that was not registered before counts as used once, see
 * kvbm_frequency(); the others do not. The first handle in a registry takes the
 * place of one of its KVBM_MAX_REGISTRY_MANAGERS managers, for good; handles take
 * nothing of its capacity. The namespace of @kvbm stays as long as a handle of it
 * is open.
 *
 * Return: 0; -EOPNOTSUPP over the device; -EINVAL; -EFAULT; -ENOENT for the
 * registry; -EILSEQ when a hash is none of the registry's schema, see
 * kvbm_failed_index(); -ENOSPC when KVBM_MAX_HANDLES hashes have handles, or there
 * are as many managers as there can be; -ENOMEM.
 */
int kvbm_handle_open(struct kvbm *kvbm, uint64_t registry, size_t n,
		     const struct kvbm_hash *hashes, struct kvbm_handle **out);

/**
 * kvbm_handle_match - handles of hashes that are registered
 * @kvbm: connection, in process
 * @registry: id
 * @touch: those that are registered are used once more, see kvbm_frequency();
 *	their callbacks are not called
 * @n: hashes, up to KVBM_MAX_BATCH
 * @hashes: registered or not
 * @out: @n handles at the places of their hashes, NULL for a miss; all NULL after
 *	an error, unless @n is too large
 *
 * Return: hits; or an error as kvbm_handle_open(), but for -EILSEQ: such a hash is
 * a miss.
 */
ssize_t kvbm_handle_match(struct kvbm *kvbm, uint64_t registry, bool touch, size_t n,
			  const struct kvbm_hash *hashes, struct kvbm_handle **out);

/* One more of the same; it cannot fail, and returns @handle. */
struct kvbm_handle *kvbm_handle_clone(struct kvbm_handle *handle);
/* With the last one a hash that no manager has is registered no more. NULL is allowed. */
void kvbm_handle_close(struct kvbm_handle *handle);

/* The hash; it stays where it is until the handle is closed. */
const struct kvbm_hash *kvbm_handle_hash(const struct kvbm_handle *handle);
/* Whether it is of this registry, and that one has not been destroyed. */
bool kvbm_handle_is_from_registry(const struct kvbm_handle *handle,
				  struct kvbm *kvbm, uint64_t registry);

/*
 * Whether a hash is registered: 1, 0, or -errno. How many are is @out_entries of
 * kvbm_query_registry().
 */
int kvbm_is_registered(struct kvbm *kvbm, uint64_t registry,
		       const struct kvbm_hash *hash);

/*
 * As kvbm_attach() and kvbm_attachments(), but the hash is registered for sure, and
 * the registry may have been destroyed meanwhile.
 */
int kvbm_handle_attach(struct kvbm_handle *handle, uint64_t type, uint32_t mode,
		       const void *data, size_t len);
ssize_t kvbm_handle_attachments(struct kvbm_handle *handle, uint64_t type, void *buf,
				size_t size, size_t *needed);

typedef void (*kvbm_touch_callback)(void *arg, const struct kvbm_hash *hash);

/**
 * kvbm_handle_on_touch - have a function called when the hash is touched
 * @handle: handle
 * @callback: called by kvbm_handle_touch(), in the thread that calls that
 * @arg: for @callback; valid as long as the hash may be registered
 *
 * Callbacks belong to the hash, not to this handle: they stay as long as it is
 * registered, and cannot be taken away. The same one may be there twice.
 *
 * Return: 0; -EINVAL without @callback; -ENOMEM; -EOWNERDEAD.
 */
int kvbm_handle_on_touch(struct kvbm_handle *handle, kvbm_touch_callback callback,
			 void *arg);

/**
 * kvbm_handle_touch - call the callbacks of the hash
 * @handle: handle
 *
 * In the order in which they were added, those that are there when this is called.
 * No lock is held: a callback may call whatever it likes, this handle's functions
 * included. It has nothing to do with kvbm_frequency(): neither does this count as
 * a use, nor does a use call them.
 *
 * Return: 0 or -EOWNERDEAD.
 */
int kvbm_handle_touch(struct kvbm_handle *handle);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KVBM_HANDLE_H */
