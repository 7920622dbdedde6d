// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Getting blocks, and waiting for them.
 */
#include <time.h>

#include "guards.h"

#define NS_PER_MS	1000000ULL
#define NS_PER_S	1000000000ULL

uint64_t kvbm_deadline_in_ms(uint64_t ms)
{
	struct timespec ts;
	uint64_t now;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = ts.tv_sec * NS_PER_S + ts.tv_nsec;
	/* Not 0, either: that is no deadline. */
	if (ms > (UINT64_MAX - now) / NS_PER_MS)
		return UINT64_MAX;
	return now + ms * NS_PER_MS + 1;
}

int kvbm_allocate_until(struct kvbm_session *session, size_t n,
			struct kvbm_mutable *out, struct kvbm_terms *terms)
{
	struct kvbm_allocate a = {
		.size = sizeof(a),
		.count = n,
		.tokens = kvbm_ptr(out),
		.evicted = kvbm_ptr(terms->evicted),
		.evicted_aux = kvbm_ptr(terms->evicted_aux),
		.deadline_ns = terms->deadline_ns,
	};
	int err;

	terms->nr_evicted = 0;
	terms->freed = 0;
	if (n > KVBM_MAX_BATCH)
		return -EINVAL;
	err = kvbm_conn_call(session->conn, KVBM_ALLOCATE, &a);
	terms->freed = a.out_freed;
	if (err) {
		kvbm_guards_discard(out, n, err);
		return err;
	}
	terms->nr_evicted = a.out_evicted;
	return 0;
}

int kvbm_allocate(struct kvbm_session *session, size_t n, struct kvbm_mutable *out,
		  struct kvbm_hash *evicted, size_t *nr_evicted)
{
	struct kvbm_terms terms = { .evicted = evicted };
	int err = kvbm_allocate_until(session, n, out, &terms);

	if (nr_evicted)
		*nr_evicted = terms.nr_evicted;
	return err;
}

int kvbm_acquire_until(struct kvbm_session *session, const struct kvbm_hash *hashes,
		       size_t nr_hashes, size_t n, struct kvbm_immutable *matched,
		       struct kvbm_mutable *fresh, struct kvbm_terms *terms,
		       struct kvbm_acquired *out)
{
	struct kvbm_acquire a = {
		.size = sizeof(a),
		.nr_hashes = nr_hashes,
		.count = n,
		.hashes = kvbm_ptr(hashes),
		.tokens = kvbm_ptr(fresh),
		.evicted = kvbm_ptr(terms->evicted),
		.evicted_aux = kvbm_ptr(terms->evicted_aux),
		.deadline_ns = terms->deadline_ns,
	};
	int err;

	memset(out, 0, sizeof(*out));
	terms->nr_evicted = 0;
	terms->freed = 0;
	if (n > KVBM_MAX_BATCH || nr_hashes > n)
		return -EINVAL;
	if (nr_hashes && !matched)
		return -EFAULT;
	err = kvbm_conn_call(session->conn, KVBM_ACQUIRE, &a);
	terms->freed = a.out_freed;
	if (err) {
		kvbm_guards_discard(matched, nr_hashes, err);
		kvbm_guards_discard(fresh, n, err);
		return err;
	}
	/* Guards of both kinds came in @fresh, those on matched blocks first. */
	if (a.out_matched) {
		memcpy(matched, fresh, a.out_matched * sizeof(*matched));
		memmove(fresh, fresh + a.out_matched,
			a.out_allocated * sizeof(*fresh));
	}
	kvbm_guards_empty_tail(matched, a.out_matched, nr_hashes);
	kvbm_guards_empty_tail(fresh, a.out_allocated, n);
	terms->nr_evicted = a.out_evicted;
	out->matched = a.out_matched;
	out->allocated = a.out_allocated;
	out->evicted = a.out_evicted;
	return 0;
}

int kvbm_acquire(struct kvbm_session *session, const struct kvbm_hash *hashes,
		 size_t nr_hashes, size_t n, struct kvbm_immutable *matched,
		 struct kvbm_mutable *fresh, struct kvbm_hash *evicted,
		 struct kvbm_acquired *out)
{
	struct kvbm_terms terms = { .evicted = evicted };

	return kvbm_acquire_until(session, hashes, nr_hashes, n, matched, fresh,
				  &terms, out);
}
