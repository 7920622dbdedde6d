/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Requests that are scheduled, as sched.c and sched_steps.c see them.
 */
#ifndef KVBM_LIB_SEQUENCE_SCHED_H
#define KVBM_LIB_SEQUENCE_SCHED_H

#include "internal.h"

/**
 * struct kvbm_sched - a request, and how far it is computed
 * @request: its tokens and blocks; nothing is ever staged here
 * @delegate: who is told
 * @spare: blocks allocated ahead of time
 * @nr_spare: how many
 * @state: what is scheduled
 * @scheduled_tokens: by that
 * @scheduled_blocks: allocated for that
 * @blocks_before: that it had before
 * @prefill_position: tokens that were prefilled or cached
 * @prefill_end: tokens to prefill
 * @kv_tokens: tokens that have their KV. Blocks are registered up to there
 */
struct kvbm_sched {
	struct kvbm_request request;
	struct kvbm_sched_delegate delegate;
	struct kvbm_mutable spare[2];
	size_t nr_spare;
	enum kvbm_sched_state state;
	size_t scheduled_tokens;
	size_t scheduled_blocks;
	size_t blocks_before;
	size_t prefill_position;
	size_t prefill_end;
	size_t kv_tokens;
};

/* A refusal, for the reason KVBM_SEQ_@why. */
#define sched_fail(s, err, why, a, b, c) \
	kvbm_seq_fail(&(s)->request.blocks.error, err, KVBM_SEQ_##why, a, b, c, 0)

static inline size_t sched_blocks(const struct kvbm_sched *s)
{
	return kvbm_logical_count(&s->request.blocks);
}

static inline size_t sched_total(const struct kvbm_sched *s)
{
	return kvbm_request_total(&s->request);
}

static inline size_t sched_remaining(const struct kvbm_sched *s)
{
	return kvbm_request_remaining(&s->request);
}

static inline void sched_tell(const struct kvbm_sched *s,
			      const struct kvbm_sched_event *event)
{
	if (s->delegate.on_event)
		s->delegate.on_event(s->delegate.context, event);
}

/* sched.c: 0 when that is the state, or the refusal. */
int kvbm_sched_need_state(struct kvbm_sched *s, enum kvbm_sched_state state);

#endif /* KVBM_LIB_SEQUENCE_SCHED_H */
