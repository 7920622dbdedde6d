/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * libkvbm: which block holds which part of a sequence.
 *
 *	struct kvbm_external_assignments	block ids that somebody else manages
 *	struct kvbm_logical_assignments		guards of a session
 *
 * Both keep their blocks in one order, that of the sequence, and in three
 * groups:
 *
 *	assigned	registered; the beginning of the sequence
 *	staged		has its hash
 *	unassigned	has none yet
 *
 * Blocks come in at the end of unassigned or of assigned, and go from one group to
 * the next first in, first out.
 *
 * An object is used by one thread at a time, several by several threads; a session
 * may be shared, one for each thread scales better. Unless said otherwise
 * functions return 0 or a negative errno, and after an error everything is as
 * before; the kvbm_*_error() of the object tells more. Pointers that functions
 * return are into the object: valid until it is changed or freed.
 */
#ifndef KVBM_ASSIGNMENTS_H
#define KVBM_ASSIGNMENTS_H

#include <kvbm/kvbm.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/**
 * enum kvbm_seq_reason - why a call about a sequence was refused
 * @KVBM_SEQ_NONE: nothing was refused yet
 * @KVBM_SEQ_CALL_FAILED: a call of <kvbm/kvbm.h> or <kvbm/tokens.h>, or malloc(3)
 * @KVBM_SEQ_ORDERING_VIOLATION: a known block id after a new one: known id, new
 *	id, index of the known one, of the first new one
 * @KVBM_SEQ_POSITION_MISMATCH: a hash is of another position: expected, actual,
 *	block id that it was for
 * @KVBM_SEQ_DUPLICATE_BLOCK_ID: a block is there already: its id
 * @KVBM_SEQ_HASH_MISMATCH: a matched block has another hash than the sequence:
 *	position
 * @KVBM_SEQ_BLOCK_SIZE_MISMATCH: tokens per block: of the session, given
 * @KVBM_SEQ_NOT_HELD: an empty guard: its index
 * @KVBM_SEQ_HOLDS_BLOCKS: only for a sequence without blocks: how many it has
 * @KVBM_SEQ_TOO_MANY_MATCHED: matched blocks, complete blocks
 * @KVBM_SEQ_NOT_IDLE: something is scheduled: enum kvbm_sched_state
 * @KVBM_SEQ_WRONG_STATE: enum kvbm_sched_state: expected, actual
 * @KVBM_SEQ_PREFILL_COMPLETE: nothing is left to prefill
 * @KVBM_SEQ_PREFILL_OVERRUN: position, tokens of the chunk, end of the prefill
 * @KVBM_SEQ_PREFILL_MISALIGNED: a chunk that is not the last one ends within a
 *	block: position, tokens of the chunk, block size
 * @KVBM_SEQ_PREFILL_NOT_COMPLETE: position, end of the prefill
 * @KVBM_SEQ_ALLOCATION_FAILED: blocks needed
 * @KVBM_SEQ_GENERATION_COMPLETE: tokens generated, most of them
 * @KVBM_SEQ_WRONG_DANGLING_COUNT: tokens without KV: expected, actual
 * @KVBM_SEQ_TOKEN_ON_NON_FINAL_CHUNK: only the last chunk yields a token
 * @KVBM_SEQ_MISSING_TOKEN_ON_FINAL_CHUNK: the last chunk yields one
 * @KVBM_SEQ_ACCEPTED_EXCEEDS_SCHEDULED: tokens accepted, scheduled
 * @KVBM_SEQ_APPEND_EXCEEDS_REMAINING: tokens to append, to be generated still
 */
enum kvbm_seq_reason {
	KVBM_SEQ_NONE,
	KVBM_SEQ_CALL_FAILED,
	KVBM_SEQ_ORDERING_VIOLATION,
	KVBM_SEQ_POSITION_MISMATCH,
	KVBM_SEQ_DUPLICATE_BLOCK_ID,
	KVBM_SEQ_HASH_MISMATCH,
	KVBM_SEQ_BLOCK_SIZE_MISMATCH,
	KVBM_SEQ_NOT_HELD,
	KVBM_SEQ_HOLDS_BLOCKS,
	KVBM_SEQ_TOO_MANY_MATCHED,
	KVBM_SEQ_NOT_IDLE,
	KVBM_SEQ_WRONG_STATE,
	KVBM_SEQ_PREFILL_COMPLETE,
	KVBM_SEQ_PREFILL_OVERRUN,
	KVBM_SEQ_PREFILL_MISALIGNED,
	KVBM_SEQ_PREFILL_NOT_COMPLETE,
	KVBM_SEQ_ALLOCATION_FAILED,
	KVBM_SEQ_GENERATION_COMPLETE,
	KVBM_SEQ_WRONG_DANGLING_COUNT,
	KVBM_SEQ_TOKEN_ON_NON_FINAL_CHUNK,
	KVBM_SEQ_MISSING_TOKEN_ON_FINAL_CHUNK,
	KVBM_SEQ_ACCEPTED_EXCEEDS_SCHEDULED,
	KVBM_SEQ_APPEND_EXCEEDS_REMAINING,
};

/**
 * struct kvbm_seq_error - the last call on an object that was refused
 * @err: what it returned
 * @reason: why
 * @values: what the reason says, in its order
 */
struct kvbm_seq_error {
	int err;
	enum kvbm_seq_reason reason;
	uint64_t values[4];
};

/**
 * kvbm_seq_error_text - an error in words
 * @error: error
 * @text: out, always terminated when @size is not 0
 * @size: room in @text; 160 are enough
 *
 * Return: length of the whole text, as snprintf(3) does.
 */
int kvbm_seq_error_text(const struct kvbm_seq_error *error, char *text, size_t size);

/**
 * struct kvbm_range - indices or positions
 * @first: the first one
 * @end: the one after the last one; equal to @first when there are none
 */
struct kvbm_range {
	size_t first;
	size_t end;
};

/*
 * Block ids of somebody else, with the hashes that they have got.
 */

struct kvbm_external_assignments;

/**
 * struct kvbm_assignment - a block and what it holds
 * @hash: positional lineage hash
 * @id: block id
 * @reserved: 0
 */
struct kvbm_assignment {
	struct kvbm_hash hash;
	uint32_t id;
	uint32_t reserved;
};

/* @offset: position in the sequence of the first assigned block. */
int kvbm_external_alloc(uint32_t offset, struct kvbm_external_assignments **out);
/* NULL is allowed. */
void kvbm_external_free(struct kvbm_external_assignments *e);
const struct kvbm_seq_error *
kvbm_external_error(const struct kvbm_external_assignments *e);

/**
 * kvbm_external_extend_ids - tell of all blocks of the sequence
 * @e: assignments
 * @ids: all ids, in order
 * @n: how many
 *
 * Those that are known, in whatever group, must come first, and are skipped; the
 * others become unassigned. An id that is new and given twice counts once.
 *
 * Errors: -EINVAL when a known id comes after a new one; -ENOMEM.
 */
int kvbm_external_extend_ids(struct kvbm_external_assignments *e,
			     const uint32_t *ids, size_t n);
/* Blocks with their hashes, behind those assigned. Errors: -EEXIST, -ENOMEM. */
int kvbm_external_extend_assigned(struct kvbm_external_assignments *e,
				  const struct kvbm_assignment *blocks, size_t n);

/**
 * kvbm_external_stage_pending - give unassigned blocks their hashes
 * @e: assignments
 * @hashes: of the complete blocks of the sequence, from position 0
 * @n: how many
 * @staged: out, indices among the staged ones of those that are new there; or NULL
 *
 * As many as there are of both.
 *
 * Errors: -EILSEQ when a hash is not of the position that it is given for.
 */
int kvbm_external_stage_pending(struct kvbm_external_assignments *e,
				const struct kvbm_hash *hashes, size_t n,
				struct kvbm_range *staged);
/* What is staged becomes assigned: the indices that it has there. */
struct kvbm_range
kvbm_external_commit_staged(struct kvbm_external_assignments *e);
/* Stage, and commit. */
int kvbm_external_assign_pending(struct kvbm_external_assignments *e,
				 const struct kvbm_hash *hashes, size_t n,
				 struct kvbm_range *assigned);

/* All blocks go; the offset stays. */
void kvbm_external_clear(struct kvbm_external_assignments *e);
/* What is staged goes to @out, which may be NULL and has room for all of it. */
size_t kvbm_external_take_staged(struct kvbm_external_assignments *e,
				 struct kvbm_assignment *out);

uint32_t kvbm_external_offset(const struct kvbm_external_assignments *e);
bool kvbm_external_contains(const struct kvbm_external_assignments *e, uint32_t id);
/* The blocks of each group, in order. Those of the last one have no hashes. */
const struct kvbm_assignment *
kvbm_external_assigned(const struct kvbm_external_assignments *e, size_t *n);
const struct kvbm_assignment *
kvbm_external_staged(const struct kvbm_external_assignments *e, size_t *n);
const struct kvbm_assignment *
kvbm_external_unassigned(const struct kvbm_external_assignments *e, size_t *n);

/* Positions in the sequence. @next_position is the first one without a hash. */
size_t kvbm_external_next_position(const struct kvbm_external_assignments *e);
struct kvbm_range
kvbm_external_assigned_positions(const struct kvbm_external_assignments *e);
struct kvbm_range
kvbm_external_staged_positions(const struct kvbm_external_assignments *e);
struct kvbm_range
kvbm_external_pending_positions(const struct kvbm_external_assignments *e);
/* The assigned, or the unassigned, block that is there; NULL when none is. */
const struct kvbm_assignment *
kvbm_external_at(const struct kvbm_external_assignments *e, size_t position);
const struct kvbm_assignment *
kvbm_external_pending_at(const struct kvbm_external_assignments *e,
			 size_t position);

/**
 * struct kvbm_zipped - two blocks for one part of a sequence
 * @position: of that part
 * @a: block id in the first assignments
 * @b: block id in the second ones
 */
struct kvbm_zipped {
	size_t position;
	uint32_t a;
	uint32_t b;
};

/**
 * kvbm_zip_assigned - positions that are assigned in both
 * @a: assignments, of one tier say
 * @b: assignments of the same sequence, of another tier
 * @out: positions in ascending order
 * @n: room in @out
 *
 * Return: how many there are, which may be more than @n.
 */
size_t kvbm_zip_assigned(const struct kvbm_external_assignments *a,
			 const struct kvbm_external_assignments *b,
			 struct kvbm_zipped *out, size_t n);
/* Positions assigned in @src and unassigned in @dst: what can be copied there. */
size_t kvbm_zip_assigned_pending(const struct kvbm_external_assignments *src,
				 const struct kvbm_external_assignments *dst,
				 struct kvbm_zipped *out, size_t n);

/*
 * Guards. A block id is that of the guard: where a registration was refused for a
 * block that is present, it is the id of that block.
 */

struct kvbm_logical_assignments;

/* @session must stay open until the assignments are freed. */
int kvbm_logical_alloc(struct kvbm_session *session,
		       struct kvbm_logical_assignments **out);
/* Releases all guards. NULL is allowed. */
void kvbm_logical_free(struct kvbm_logical_assignments *l);
const struct kvbm_seq_error *
kvbm_logical_error(const struct kvbm_logical_assignments *l);
/* Room for @n blocks in all: up to there only the two functions below allocate. */
int kvbm_logical_reserve(struct kvbm_logical_assignments *l, size_t n);

/*
 * Consume @guards, of the session. All or none. Errors: -EEXIST for a block that
 * is there or given twice, -ENXIO for an empty guard, -ENOMEM.
 */
int kvbm_logical_extend_mutable(struct kvbm_logical_assignments *l, size_t n,
				struct kvbm_mutable *guards);
int kvbm_logical_extend_assigned(struct kvbm_logical_assignments *l, size_t n,
				 struct kvbm_immutable *guards);
/* Blocks of the manager to unassigned, all or none. Errors: of kvbm_allocate(). */
int kvbm_logical_allocate(struct kvbm_logical_assignments *l, size_t n);

/**
 * kvbm_logical_stage - give the first unassigned blocks their hashes
 * @l: assignments
 * @n: hashes
 * @hashes: of the blocks that follow those assigned and staged
 * @block_size: tokens in each
 *
 * Errors: -EDOM for another block size than the session's; of kvbm_stage().
 *
 * Return: blocks staged: @n, or as many as there were; or -errno.
 */
ssize_t kvbm_logical_stage(struct kvbm_logical_assignments *l, size_t n,
			   const struct kvbm_hash *hashes, uint32_t block_size);
/*
 * What is staged becomes assigned, and others can match it: blocks, or -errno.
 * Errors: of kvbm_register(). More than KVBM_MAX_BATCH blocks take several calls;
 * what those before the one that failed have registered stays so.
 */
ssize_t kvbm_logical_register(struct kvbm_logical_assignments *l);
/*
 * Register what is staged, then stage and register up to @n more; @next, which may
 * be NULL, as in kvbm_stage_register(). With nothing staged it is one call of the
 * backend, and none when there is nothing to do.
 */
ssize_t kvbm_logical_stage_register(struct kvbm_logical_assignments *l, size_t n,
				    const struct kvbm_hash *hashes,
				    uint32_t block_size, struct kvbm_next *next);

/* The last unassigned block to the caller. Errors: -ENODATA when there is none. */
int kvbm_logical_pop_unassigned(struct kvbm_logical_assignments *l,
				struct kvbm_mutable *out);
/*
 * Release up to @n unassigned blocks, the last one first: how many, or -errno,
 * with what was released before the error gone.
 */
ssize_t kvbm_logical_drop_unassigned(struct kvbm_logical_assignments *l, size_t n);
/* Release all, the end of the sequence first. Errors: as above. */
int kvbm_logical_clear(struct kvbm_logical_assignments *l);
/* All guards of a group to @out, which has room for them: how many. */
size_t kvbm_logical_take_assigned(struct kvbm_logical_assignments *l,
				  struct kvbm_immutable *out);
size_t kvbm_logical_take_staged(struct kvbm_logical_assignments *l,
				struct kvbm_complete *out);
size_t kvbm_logical_take_unassigned(struct kvbm_logical_assignments *l,
				    struct kvbm_mutable *out);

/* Looking. The cost of contains is linear. */
size_t kvbm_logical_assigned_count(const struct kvbm_logical_assignments *l);
size_t kvbm_logical_staged_count(const struct kvbm_logical_assignments *l);
size_t kvbm_logical_unassigned_count(const struct kvbm_logical_assignments *l);
bool kvbm_logical_contains(const struct kvbm_logical_assignments *l, uint32_t id);
/* What names the guards, in order: those assigned, staged, unassigned. */
const struct kvbm_token *
kvbm_logical_tokens(const struct kvbm_logical_assignments *l, size_t *n);
/* Block ids from index @first on, up to @n of them: how many were written. */
size_t kvbm_logical_block_ids(const struct kvbm_logical_assignments *l,
			      size_t first, size_t n, uint32_t *ids);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KVBM_ASSIGNMENTS_H */
