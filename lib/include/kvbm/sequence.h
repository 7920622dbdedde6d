/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * libkvbm: requests of an inference engine.
 *
 *	struct kvbm_request	the tokens of a request and its blocks; the caller
 *				says what has its KV, and when
 *	struct kvbm_sched	the same as a scheduler drives it: prefill in
 *				chunks, decode, speculative decode, preemption;
 *				it knows what has its KV
 *
 *	struct kvbm_sched_attr attr = { .request = { .tokens = prompt, ... } };
 *
 *	err = kvbm_sched_alloc(session, &attr, &seq);
 *	hits = kvbm_sched_match_prefix(seq);
 *	err = kvbm_sched_prefill(seq, n);	what is not cached, or a part of it
 *	... compute
 *	err = kvbm_sched_apply_prefill(seq, &token);
 *	while (!(outcome & KVBM_DECODE_MAX_LENGTH)) {
 *		err = kvbm_sched_decode(seq);
 *		... compute
 *		outcome = kvbm_sched_apply_decode(seq, token);
 *	}
 *	kvbm_sched_free(seq);
 *
 * A block is registered when the KV of all its tokens has been computed, and not
 * before: whoever matches it can read it.
 *
 * All memory that a sequence ever needs is taken when it is made: room for its
 * input and for all of its output. After that no step allocates. What the backend
 * does at a step: see kvbm_sched_decode().
 *
 * Salt keeps tenants apart: requests with different salt hashes share nothing.
 *
 * Rules about threads, errors and pointers are those of <kvbm/assignments.h>. The
 * session must stay open until the sequence is freed; a session that a fork() left
 * to the parent fails every call (-EOWNERDEAD), and freeing only frees memory.
 */
#ifndef KVBM_SEQUENCE_H
#define KVBM_SEQUENCE_H

#include <kvbm/assignments.h>
#include <kvbm/tokens.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* Requests. */

struct kvbm_request;

/**
 * struct kvbm_request_attr - what a request is made of
 * @tokens: input; copied. May be NULL when there is none
 * @nr_tokens: how many
 * @max_output_tokens: most tokens that will be generated; room for them is taken
 * @salt_hash: from kvbm_salt_hash(); 0 for no salt
 * @runs: multimodal runs among @tokens; or NULL
 * @nr_runs: how many
 *
 * The block size is that of the session.
 */
struct kvbm_request_attr {
	const uint32_t *tokens;
	size_t nr_tokens;
	size_t max_output_tokens;
	uint64_t salt_hash;
	const struct kvbm_mm_run *runs;
	size_t nr_runs;
};

/**
 * kvbm_request_alloc - make a request
 * @session: whose blocks it gets
 * @attr: copied
 * @out: the request; it holds no blocks
 *
 * Errors: -EINVAL; -EOVERFLOW when input and output are more than
 * KVBM_MAX_POSITIONS blocks; of kvbm_mm_sort(); -ENOMEM.
 */
int kvbm_request_alloc(struct kvbm_session *session,
		       const struct kvbm_request_attr *attr,
		       struct kvbm_request **out);
/* Releases its blocks. NULL is allowed. */
void kvbm_request_free(struct kvbm_request *r);
const struct kvbm_seq_error *kvbm_request_error(const struct kvbm_request *r);

/**
 * kvbm_request_match_prefix - take what is cached of the complete blocks
 * @r: request, without blocks
 *
 * Return: blocks, which are assigned now; -EBADFD when the request has blocks; or
 * an error of kvbm_match().
 */
ssize_t kvbm_request_match_prefix(struct kvbm_request *r);
/*
 * The same with guards of the caller, which are consumed, and the hashes that they
 * were matched by. Errors: -EILSEQ where a hash is not the request's, -ERANGE for
 * more than it has complete blocks, -EBADFD, -EEXIST, -ENXIO.
 */
int kvbm_request_add_matched(struct kvbm_request *r, size_t n,
			     struct kvbm_immutable *guards,
			     const struct kvbm_hash *hashes);
/* Blocks to unassigned, all or none. Errors: of kvbm_allocate(). */
int kvbm_request_allocate(struct kvbm_request *r, size_t n);

/* As @kv_tokens: the KV of all tokens was computed. */
#define KVBM_ALL_TOKENS		SIZE_MAX

/**
 * kvbm_request_stage_pending - give unassigned blocks the hashes of the sequence
 * @r: request
 * @kv_tokens: tokens, from the first one on, whose KV was computed: only blocks
 *	of which that is true of all tokens are staged
 *
 * Return: blocks; or an error of kvbm_stage().
 */
ssize_t kvbm_request_stage_pending(struct kvbm_request *r, size_t kv_tokens);
/* As kvbm_logical_register(). */
ssize_t kvbm_request_register_staged(struct kvbm_request *r);
/* Both, and @next as in kvbm_stage_register(); it may be NULL. */
ssize_t kvbm_request_register_pending(struct kvbm_request *r, size_t kv_tokens,
				      struct kvbm_next *next);

/*
 * One token of output: 1 if it completed a block, 0 if not; -EBADFD when there
 * were as many as there may be. Nothing happens to blocks.
 */
int kvbm_request_append_token(struct kvbm_request *r, uint32_t token);

/*
 * Release all blocks, the end of the sequence first. Tokens and counts stay. A
 * second time it does nothing.
 */
int kvbm_request_release(struct kvbm_request *r);
/**
 * kvbm_request_reacquire - have a block for each complete one again
 * @r: request, without blocks
 *
 * What is cached is assigned; the others are unassigned blocks, to be computed and
 * registered. No block for tokens behind the last complete one.
 *
 * Return: blocks that were cached; -ENOSPC, and the request has none; -EBADFD when
 * it had blocks; or an error of kvbm_acquire().
 */
ssize_t kvbm_request_reacquire(struct kvbm_request *r);
/* Release unassigned blocks, the last one first, until there are @keep. */
ssize_t kvbm_request_drop_excess(struct kvbm_request *r, size_t keep);

/**
 * struct kvbm_request_info - where a request is
 * @block_size: tokens in a block
 * @input_tokens: given at the beginning
 * @generated_tokens: appended since
 * @max_output_tokens: as it was made
 * @remaining_tokens: that may still be appended; 0: it is complete
 * @total_tokens: input and generated
 * @complete_blocks: of the total
 * @assigned_blocks: registered
 * @staged_blocks: have their hash
 * @unassigned_blocks: have none
 * @prefix_matched_blocks: were cached at the last match or reacquisition that
 *	succeeded
 * @prefill_tokens: @total_tokens without those
 */
struct kvbm_request_info {
	size_t block_size;
	size_t input_tokens;
	size_t generated_tokens;
	size_t max_output_tokens;
	size_t remaining_tokens;
	size_t total_tokens;
	size_t complete_blocks;
	size_t assigned_blocks;
	size_t staged_blocks;
	size_t unassigned_blocks;
	size_t prefix_matched_blocks;
	size_t prefill_tokens;
};

void kvbm_request_info(const struct kvbm_request *r, struct kvbm_request_info *out);
const struct kvbm_token_seq *kvbm_request_tokens(const struct kvbm_request *r);
const struct kvbm_logical_assignments *
kvbm_request_blocks(const struct kvbm_request *r);

/* Requests that are scheduled. */

struct kvbm_sched;

/**
 * enum kvbm_sched_state - what was scheduled, and is to be applied or reverted
 * @KVBM_SCHED_IDLE: nothing
 * @KVBM_SCHED_PREFILL: a chunk
 * @KVBM_SCHED_DECODE: one token
 * @KVBM_SCHED_SPECULATIVE: several tokens, some of which may be accepted
 */
enum kvbm_sched_state {
	KVBM_SCHED_IDLE,
	KVBM_SCHED_PREFILL,
	KVBM_SCHED_DECODE,
	KVBM_SCHED_SPECULATIVE,
};

/* "idle", "prefill", "decode", "speculative"; NULL for an unknown number. */
const char *kvbm_sched_state_name(enum kvbm_sched_state state);

/**
 * enum kvbm_sched_event_type - what happened to a sequence
 * @KVBM_SCHED_CREATED: it was made: @input_tokens, @max_output_tokens, @block_size
 * @KVBM_SCHED_PREFIX_MATCHED: @blocks, may be 0
 * @KVBM_SCHED_PREFILL_SCHEDULED: @tokens, @blocks allocated
 * @KVBM_SCHED_PREFILL_APPLIED: @tokens, @blocks registered, @flag: token emitted
 * @KVBM_SCHED_DECODE_SCHEDULED: @blocks allocated
 * @KVBM_SCHED_DECODE_APPLIED: @token, @flag: block completed
 * @KVBM_SCHED_SPECULATIVE_SCHEDULED: @tokens, @blocks allocated
 * @KVBM_SCHED_SPECULATIVE_APPLIED: @accepted, @tokens scheduled, @blocks released
 * @KVBM_SCHED_REVERTED: @blocks released
 * @KVBM_SCHED_UNASSIGNED_DROPPED: @blocks, not 0
 * @KVBM_SCHED_RELEASED: all blocks
 * @KVBM_SCHED_REACQUIRED: @blocks that were cached, @flag: success
 */
enum kvbm_sched_event_type {
	KVBM_SCHED_CREATED,
	KVBM_SCHED_PREFIX_MATCHED,
	KVBM_SCHED_PREFILL_SCHEDULED,
	KVBM_SCHED_PREFILL_APPLIED,
	KVBM_SCHED_DECODE_SCHEDULED,
	KVBM_SCHED_DECODE_APPLIED,
	KVBM_SCHED_SPECULATIVE_SCHEDULED,
	KVBM_SCHED_SPECULATIVE_APPLIED,
	KVBM_SCHED_REVERTED,
	KVBM_SCHED_UNASSIGNED_DROPPED,
	KVBM_SCHED_RELEASED,
	KVBM_SCHED_REACQUIRED,
};

/**
 * struct kvbm_sched_event - one of them; what a type does not name is 0
 * @type: enum kvbm_sched_event_type
 * @flag: see there, as all others
 * @token: a token
 * @tokens: number of tokens
 * @accepted: number of tokens
 * @blocks: number of blocks
 * @input_tokens: number of tokens
 * @max_output_tokens: number of tokens
 * @block_size: tokens in a block
 */
struct kvbm_sched_event {
	enum kvbm_sched_event_type type;
	bool flag;
	uint32_t token;
	size_t tokens;
	size_t accepted;
	size_t blocks;
	size_t input_tokens;
	size_t max_output_tokens;
	size_t block_size;
};

/**
 * struct kvbm_sched_delegate - who is told
 * @on_event: called in the thread that made the call, after the change; the first
 *	time before kvbm_sched_alloc() returns. It must not call functions of that
 *	sequence. Calls that fail tell nothing, but for a reacquisition. Or NULL
 * @context: handed to it
 */
struct kvbm_sched_delegate {
	void (*on_event)(void *context, const struct kvbm_sched_event *event);
	void *context;
};

/**
 * struct kvbm_sched_attr - what a sequence is made of
 * @request: the request
 * @delegate: copied; or zeroes
 */
struct kvbm_sched_attr {
	struct kvbm_request_attr request;
	struct kvbm_sched_delegate delegate;
};

/* Idle, and without blocks. Errors: of kvbm_request_alloc(). */
int kvbm_sched_alloc(struct kvbm_session *session, const struct kvbm_sched_attr *attr,
		     struct kvbm_sched **out);
/* Releases its blocks, whatever its state. NULL is allowed. */
void kvbm_sched_free(struct kvbm_sched *s);
const struct kvbm_seq_error *kvbm_sched_error(const struct kvbm_sched *s);

/*
 * All below: -EBADFD for a call out of order, -EINVAL for numbers that do not fit,
 * -ENOSPC for lack of blocks; and those of the backend. A schedule that was refused
 * has taken nothing; an apply that was refused can be tried again, or reverted.
 */

/**
 * kvbm_sched_match_prefix - begin with what is cached
 * @s: sequence, idle and without blocks
 *
 * Never all that is to be prefilled, when there is output to come: the last token
 * must be computed to have the first one of the output.
 *
 * Return: blocks; the prefill begins behind them.
 */
ssize_t kvbm_sched_match_prefix(struct kvbm_sched *s);

/**
 * kvbm_sched_prefill - schedule a chunk of the prefill
 * @s: sequence, idle
 * @tokens: length of the chunk. It ends with a block, or with the prefill
 *
 * Allocates blocks up to the end of the chunk.
 */
int kvbm_sched_prefill(struct kvbm_sched *s, size_t tokens);
/*
 * The chunk was computed. @token is the first one of the output, with the last
 * chunk, where there is output to come; otherwise NULL.
 */
int kvbm_sched_apply_prefill(struct kvbm_sched *s, const uint32_t *token);

/**
 * kvbm_sched_decode - schedule one decode step
 * @s: sequence, idle, prefilled, with one token that has no KV
 *
 * Allocates what is missing for one more token than the sequence has.
 *
 * A step, with kvbm_sched_apply_decode(), makes no call of the backend unless a
 * block is full, and then one: it registers the block and allocates the one that
 * is needed next, ahead of time, in one go. That block is counted in @spare_blocks
 * of struct kvbm_sched_info until it is needed. (Where there was none then, it is
 * tried again at the step before it is needed. If there was none then either, but is
 * one when it is needed, that step makes two calls.)
 */
int kvbm_sched_decode(struct kvbm_sched *s);

/* Outcome of a step, combined. */
#define KVBM_DECODE_CONTINUE		0
#define KVBM_DECODE_BLOCK_COMPLETED	(1 << 0)	/* the token completed a block */
#define KVBM_DECODE_MAX_LENGTH		(1 << 1)	/* the last token of the output */

/* The step was computed: KVBM_DECODE_*, or -errno. */
int kvbm_sched_apply_decode(struct kvbm_sched *s, uint32_t token);

/**
 * kvbm_sched_speculative - schedule a decode step of several tokens
 * @s: as for kvbm_sched_decode()
 * @tokens: most that will be accepted; of those only as many as there may be
 *
 * Allocates blocks up to there. It takes up to three calls of the backend: to
 * allocate, to register, and to release what was not accepted.
 */
int kvbm_sched_speculative(struct kvbm_sched *s, size_t tokens);
/* @n tokens were accepted: KVBM_DECODE_*, or -errno. */
int kvbm_sched_apply_speculative(struct kvbm_sched *s, const uint32_t *tokens,
				 size_t n);

/* Take back what was scheduled; its blocks are released. */
int kvbm_sched_revert(struct kvbm_sched *s);

/*
 * Tokens of output that were not computed here. A decode step wants one that has no
 * KV; of more, the way out is kvbm_sched_release(), and a prefill.
 */
int kvbm_sched_append_tokens(struct kvbm_sched *s, const uint32_t *tokens, size_t n);
/*
 * Release up to @n unassigned blocks, the last one first: how many, or -errno. KV
 * that was in them is to be prefilled again.
 */
ssize_t kvbm_sched_drop_unassigned(struct kvbm_sched *s, size_t n);
/* Release what was allocated ahead of time. */
int kvbm_sched_drop_spare(struct kvbm_sched *s);

/*
 * Preemption: release all blocks, the end of the sequence first. The prefill begins
 * again, and comprises what was generated: its last chunk yields the next token.
 */
int kvbm_sched_release(struct kvbm_sched *s);
/**
 * kvbm_sched_reacquire - have a block for each complete one again
 * @s: sequence, idle and without blocks
 *
 * As kvbm_sched_match_prefix() followed by the allocation of the others, in one
 * call of the backend, both or neither.
 *
 * Return: blocks that were cached; the prefill begins behind them.
 */
ssize_t kvbm_sched_reacquire(struct kvbm_sched *s);

/**
 * struct kvbm_sched_info - where a sequence is
 * @state: what is scheduled
 * @scheduled_tokens: by that; 0 for a decode step
 * @scheduled_blocks: allocated for that
 * @prefill_position: tokens that were prefilled or cached
 * @prefill_end: tokens to prefill: the input, after a release all tokens
 * @kv_tokens: tokens that have their KV
 * @dangling_tokens: tokens that do not
 * @spare_blocks: allocated ahead of time: 0 or 1, or 2 with blocks of one token
 */
struct kvbm_sched_info {
	enum kvbm_sched_state state;
	size_t scheduled_tokens;
	size_t scheduled_blocks;
	size_t prefill_position;
	size_t prefill_end;
	size_t kv_tokens;
	size_t dangling_tokens;
	size_t spare_blocks;
};

void kvbm_sched_info(const struct kvbm_sched *s, struct kvbm_sched_info *out);
const struct kvbm_request *kvbm_sched_request(const struct kvbm_sched *s);
/*
 * The page table: kvbm_logical_block_ids() of the blocks of the sequence. Read it
 * after every apply: where a registration is refused for a block that is present,
 * that block takes the place of the one which was computed.
 */
size_t kvbm_sched_block_ids(const struct kvbm_sched *s, size_t first, size_t n,
			    uint32_t *ids);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KVBM_SEQUENCE_H */
