/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Arrays of guards are arrays of tokens to the ABI, so nothing is copied or
 * allocated. What the ABI leaves undefined is made empty: whoever releases a
 * whole array, as scopes do, must not find remains in it.
 */
#ifndef KVBM_LIB_GUARDS_H
#define KVBM_LIB_GUARDS_H

#include <assert.h>
#include <string.h>

#include "backend.h"

static_assert(sizeof(struct kvbm_mutable) == sizeof(struct kvbm_token) &&
	      sizeof(struct kvbm_complete) == sizeof(struct kvbm_token) &&
	      sizeof(struct kvbm_immutable) == sizeof(struct kvbm_token),
	      "guards are tokens");

static inline void kvbm_guards_empty(void *guards, size_t n)
{
	if (guards && n)
		memset(guards, 0, n * sizeof(struct kvbm_token));
}

/* What follows the first @used of @n guards. */
static inline void kvbm_guards_empty_tail(void *guards, size_t used, size_t n)
{
	if (used < n)
		kvbm_guards_empty((struct kvbm_token *)guards + used, n - used);
}

/* Guards that a failed call was to fill in. */
static inline void kvbm_guards_discard(void *guards, size_t n, int err)
{
	/* After -EFAULT a pointer is bad, and it may be this one. */
	if (err != -EFAULT)
		kvbm_guards_empty(guards, n);
}

/*
 * A call about guards, which may fail for one of them: @failed is where the
 * structure tells which. After an error there is nothing in @out.
 */
static inline int kvbm_guards_call(struct kvbm_session *session, uint32_t cmd,
				   void *arg, const uint32_t *failed, void *out,
				   size_t n)
{
	int err = kvbm_conn_call(session->conn, cmd, arg);

	if (err) {
		kvbm_set_failed_index(*failed);
		kvbm_guards_discard(out, n, err);
	}
	return err;
}

/* The tokens stay as they are; only what we call them changes. */
static inline void kvbm_guards_rename(void *to, void *from, size_t n)
{
	if (n)
		memcpy(to, from, n * sizeof(struct kvbm_token));
	kvbm_guards_empty(from, n);
}

#endif /* KVBM_LIB_GUARDS_H */
