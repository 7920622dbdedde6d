// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Finding blocks: by hash, and by what is left of a guard.
 */
#include "guards.h"

/* One call for all: they differ in what they do with misses. */
static ssize_t match(struct kvbm_session *session, uint32_t flags, size_t n,
		     const struct kvbm_hash *hashes, struct kvbm_immutable *out)
{
	struct kvbm_match a = {
		.size = sizeof(a),
		.flags = flags,
		.count = n,
		.hashes = kvbm_ptr(hashes),
		.tokens = kvbm_ptr(out),
	};
	int err;

	if (n > KVBM_MAX_BATCH)
		return -EINVAL;
	err = kvbm_conn_call(session->conn, KVBM_MATCH, &a);
	if (err) {
		kvbm_guards_discard(out, n, err);
		return err;
	}
	return a.out_count;
}

ssize_t kvbm_match(struct kvbm_session *session, size_t n,
		   const struct kvbm_hash *hashes, struct kvbm_immutable *out)
{
	ssize_t found = match(session, 0, n, hashes, out);

	/* The others have an entry for every hash. */
	if (found >= 0)
		kvbm_guards_empty_tail(out, found, n);
	return found;
}

ssize_t kvbm_match_scattered(struct kvbm_session *session, size_t n,
			     const struct kvbm_hash *hashes,
			     struct kvbm_immutable *out)
{
	return match(session, KVBM_MATCH_SCATTERED, n, hashes, out);
}

ssize_t kvbm_scan(struct kvbm_session *session, size_t n,
		  const struct kvbm_hash *hashes, struct kvbm_immutable *out)
{
	return match(session, KVBM_MATCH_SCAN, n, hashes, out);
}

ssize_t kvbm_scan_touch(struct kvbm_session *session, size_t n,
			const struct kvbm_hash *hashes, struct kvbm_immutable *out)
{
	return match(session, KVBM_MATCH_SCAN | KVBM_MATCH_TOUCH, n, hashes, out);
}

ssize_t kvbm_probe(struct kvbm_session *session, size_t n,
		   const struct kvbm_hash *hashes)
{
	return match(session, KVBM_MATCH_PROBE, n, hashes, NULL);
}

int kvbm_clone(struct kvbm_session *session, size_t n,
	       const struct kvbm_immutable *in, struct kvbm_immutable *out)
{
	struct kvbm_tokens a = {
		.size = sizeof(a),
		.count = n,
		.tokens = kvbm_ptr(in),
	};
	int err;

	if (n > KVBM_MAX_BATCH)
		return -EINVAL;
	/* The ABI has no output array that it could refuse. */
	if (n && !out)
		return -EFAULT;
	err = kvbm_guards_call(session, KVBM_CLONE, &a, &a.out_failed, out, n);
	if (err)
		return err;
	/* A token names each of the guards on its block. */
	if (n)
		memcpy(out, in, n * sizeof(*out));
	return 0;
}

ssize_t kvbm_upgrade(struct kvbm_session *session, size_t n,
		     const struct kvbm_hash *hashes, const struct kvbm_token *tokens,
		     struct kvbm_immutable *out)
{
	struct kvbm_upgrade a = {
		.size = sizeof(a),
		.count = n,
		.hashes = kvbm_ptr(hashes),
		.tokens = kvbm_ptr(tokens),
		.out_tokens = kvbm_ptr(out),
	};
	int err;

	if (n > KVBM_MAX_BATCH)
		return -EINVAL;
	err = kvbm_conn_call(session->conn, KVBM_UPGRADE, &a);
	if (err) {
		kvbm_guards_discard(out, n, err);
		return err;
	}
	return a.out_count;
}
