/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Assignments and sequences, as their functions see each other.
 */
#ifndef KVBM_LIB_SEQUENCE_INTERNAL_H
#define KVBM_LIB_SEQUENCE_INTERNAL_H

#include <kvbm/sequence.h>

#include "grow.h"

/* error.c */
int kvbm_seq_fail(struct kvbm_seq_error *error, int err, enum kvbm_seq_reason reason,
		  uint64_t a, uint64_t b, uint64_t c, uint64_t d);
/* A call that we made failed, and its errno says it all. */
int kvbm_seq_pass(struct kvbm_seq_error *error, int err);

/**
 * struct kvbm_ids - a set of block ids
 * @slots: open addressing: an id plus one, or 0
 * @size: entries of @slots: a power of two, or 0
 * @count: ids in the set
 */
struct kvbm_ids {
	uint64_t *slots;
	size_t size;
	size_t count;
};

/* ids.c */
int kvbm_ids_reserve(struct kvbm_ids *ids, size_t n);
bool kvbm_ids_contains(const struct kvbm_ids *ids, uint32_t id);
/* There is room for it. Return: false when it was there. */
bool kvbm_ids_add(struct kvbm_ids *ids, uint32_t id);
void kvbm_ids_clear(struct kvbm_ids *ids);
void kvbm_ids_destroy(struct kvbm_ids *ids);

/**
 * struct kvbm_logical_assignments - guards of a session, in the order of a sequence
 * @session: whose guards
 * @tokens: those assigned, then those staged, then those unassigned: a group ends
 *	where the next one begins, so that going from one to the next moves nothing
 * @scratch: as many, for calls whose guards in and out must not overlap
 * @room: entries of @tokens
 * @scratch_room: entries of @scratch
 * @assigned: guards on registered blocks
 * @staged: guards on Staged blocks
 * @unassigned: guards on Mutable blocks
 * @error: of the last call that was refused, here or in what this is a part of
 */
struct kvbm_logical_assignments {
	struct kvbm_session *session;
	struct kvbm_token *tokens;
	struct kvbm_token *scratch;
	size_t room;
	size_t scratch_room;
	size_t assigned;
	size_t staged;
	size_t unassigned;
	struct kvbm_seq_error error;
};

static inline size_t kvbm_logical_count(const struct kvbm_logical_assignments *l)
{
	return l->assigned + l->staged + l->unassigned;
}

/* logical.c: for assignments that are part of something else. */
void kvbm_logical_init(struct kvbm_logical_assignments *l,
		       struct kvbm_session *session);
void kvbm_logical_destroy(struct kvbm_logical_assignments *l);
/* Release what is behind the first @keep, the last one first. */
int kvbm_logical_truncate(struct kvbm_logical_assignments *l, size_t keep);
/* The longest prefix that is present, up to @n, to assigned, which is empty. */
ssize_t kvbm_logical_match(struct kvbm_logical_assignments *l, size_t n,
			   const struct kvbm_hash *hashes);
/* The same, and blocks to unassigned up to @total in all; both or neither. */
ssize_t kvbm_logical_acquire(struct kvbm_logical_assignments *l, size_t n,
			     const struct kvbm_hash *hashes, size_t total);

/**
 * struct kvbm_request - the tokens of a request, and its blocks
 * @blocks: its blocks
 * @seq: its tokens, with room for all that there may be
 * @block_size: tokens in a block
 * @input: tokens of the input
 * @generated: tokens that were appended
 * @max_output: most that may be
 * @prefix_matched: blocks that were cached at the last match or reacquisition
 */
struct kvbm_request {
	struct kvbm_logical_assignments blocks;
	struct kvbm_token_seq *seq;
	size_t block_size;
	size_t input;
	size_t generated;
	size_t max_output;
	size_t prefix_matched;
};

static inline size_t kvbm_request_total(const struct kvbm_request *r)
{
	return r->input + r->generated;
}

static inline size_t kvbm_request_remaining(const struct kvbm_request *r)
{
	return r->max_output - r->generated;
}

/* request.c: for a request that is part of something else. */
int kvbm_request_init(struct kvbm_request *r, struct kvbm_session *session,
		      const struct kvbm_request_attr *attr);
void kvbm_request_destroy(struct kvbm_request *r);
/* As the public ones, but of what is cached no more than @limit blocks. */
ssize_t kvbm_request_match(struct kvbm_request *r, size_t limit);
ssize_t kvbm_request_acquire(struct kvbm_request *r, size_t limit);

#endif /* KVBM_LIB_SEQUENCE_INTERNAL_H */
