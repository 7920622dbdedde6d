// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Requests that are scheduled: their life, and preemption. The steps are in
 * sched_steps.c.
 */
#include "sched.h"

int kvbm_sched_alloc(struct kvbm_session *session, const struct kvbm_sched_attr *attr,
		     struct kvbm_sched **out)
{
	struct kvbm_sched *s = kvbm_alloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	err = kvbm_request_init(&s->request, session, &attr->request);
	if (err) {
		kvbm_free(s);
		return err;
	}
	s->delegate = attr->delegate;
	s->prefill_end = s->request.input;
	*out = s;
	sched_tell(s, &(struct kvbm_sched_event){
		.type = KVBM_SCHED_CREATED,
		.input_tokens = s->request.input,
		.max_output_tokens = s->request.max_output,
		.block_size = s->request.block_size,
	});
	return 0;
}

void kvbm_sched_free(struct kvbm_sched *s)
{
	if (!s)
		return;
	kvbm_sched_drop_spare(s);
	kvbm_request_destroy(&s->request);
	kvbm_free(s);
}

const struct kvbm_seq_error *kvbm_sched_error(const struct kvbm_sched *s)
{
	return kvbm_request_error(&s->request);
}

int kvbm_sched_need_state(struct kvbm_sched *s, enum kvbm_sched_state state)
{
	if (s->state == state)
		return 0;
	return sched_fail(s, -EBADFD, WRONG_STATE, state, s->state, 0);
}

/*
 * Blocks of which all may come from the cache. The last token of a prefill must be
 * computed for the next one to be known; and the block that it is in with it, since
 * a registered block is not written to.
 */
static size_t match_limit(const struct kvbm_sched *s, size_t prefill_end)
{
	if (sched_remaining(s) && prefill_end)
		prefill_end--;
	return prefill_end / s->request.block_size;
}

/* The KV of the first @blocks is there, and nothing else. */
static void begin_behind(struct kvbm_sched *s, size_t blocks)
{
	s->prefill_position = blocks * s->request.block_size;
	s->kv_tokens = s->prefill_position;
}

ssize_t kvbm_sched_match_prefix(struct kvbm_sched *s)
{
	ssize_t hits;

	if (s->state != KVBM_SCHED_IDLE)
		return sched_fail(s, -EBADFD, NOT_IDLE, s->state, 0, 0);
	hits = kvbm_request_match(&s->request, match_limit(s, s->prefill_end));
	if (hits < 0)
		return hits;
	begin_behind(s, hits);
	sched_tell(s, &(struct kvbm_sched_event){
		.type = KVBM_SCHED_PREFIX_MATCHED,
		.blocks = hits,
	});
	return hits;
}

int kvbm_sched_append_tokens(struct kvbm_sched *s, const uint32_t *tokens, size_t n)
{
	struct kvbm_request *r = &s->request;
	ssize_t ret;

	ret = kvbm_sched_need_state(s, KVBM_SCHED_IDLE);
	if (ret)
		return ret;
	if (n > sched_remaining(s))
		return sched_fail(s, -EINVAL, APPEND_EXCEEDS_REMAINING, n,
				  sched_remaining(s), 0);
	ret = kvbm_token_seq_extend(r->seq, tokens, n);
	if (ret < 0)
		return kvbm_seq_pass(&r->blocks.error, ret);
	r->generated += n;
	return 0;
}

ssize_t kvbm_sched_drop_unassigned(struct kvbm_sched *s, size_t n)
{
	size_t kv_room;
	ssize_t dropped;
	int err;

	err = kvbm_sched_need_state(s, KVBM_SCHED_IDLE);
	if (err)
		return err;
	dropped = kvbm_logical_drop_unassigned(&s->request.blocks, n);
	/* What went before an error is gone, too. */
	kv_room = sched_blocks(s) * s->request.block_size;
	if (kv_room < s->kv_tokens) {
		begin_behind(s, sched_blocks(s));
		s->prefill_end = sched_total(s);
	}
	if (dropped > 0)
		sched_tell(s, &(struct kvbm_sched_event){
			.type = KVBM_SCHED_UNASSIGNED_DROPPED,
			.blocks = dropped,
		});
	return dropped;
}

int kvbm_sched_drop_spare(struct kvbm_sched *s)
{
	int err = 0;

	if (s->nr_spare)
		err = kvbm_release_mutable(s->request.blocks.session, s->nr_spare,
					   s->spare, KVBM_NO_HINT);
	if (err)
		return kvbm_seq_pass(&s->request.blocks.error, err);
	s->nr_spare = 0;
	return 0;
}

int kvbm_sched_release(struct kvbm_sched *s)
{
	int err;

	err = kvbm_sched_need_state(s, KVBM_SCHED_IDLE);
	if (!err)
		err = kvbm_sched_drop_spare(s);
	if (!err)
		err = kvbm_request_release(&s->request);
	if (err)
		return err;
	begin_behind(s, 0);
	s->prefill_end = sched_total(s);
	sched_tell(s, &(struct kvbm_sched_event){ .type = KVBM_SCHED_RELEASED });
	return 0;
}

ssize_t kvbm_sched_reacquire(struct kvbm_sched *s)
{
	ssize_t hits;
	int err;

	err = kvbm_sched_need_state(s, KVBM_SCHED_IDLE);
	if (err)
		return err;
	hits = kvbm_request_acquire(&s->request, match_limit(s, sched_total(s)));
	if (hits >= 0) {
		begin_behind(s, hits);
		s->prefill_end = sched_total(s);
	}
	sched_tell(s, &(struct kvbm_sched_event){
		.type = KVBM_SCHED_REACQUIRED,
		.blocks = hits < 0 ? 0 : hits,
		.flag = hits >= 0,
	});
	return hits;
}

void kvbm_sched_info(const struct kvbm_sched *s, struct kvbm_sched_info *out)
{
	*out = (struct kvbm_sched_info){
		.state = s->state,
		.scheduled_tokens = s->scheduled_tokens,
		.scheduled_blocks = s->scheduled_blocks,
		.prefill_position = s->prefill_position,
		.prefill_end = s->prefill_end,
		.kv_tokens = s->kv_tokens,
		.dangling_tokens = sched_total(s) - s->kv_tokens,
		.spare_blocks = s->nr_spare,
	};
}

const struct kvbm_request *kvbm_sched_request(const struct kvbm_sched *s)
{
	return &s->request;
}

size_t kvbm_sched_block_ids(const struct kvbm_sched *s, size_t first, size_t n,
			    uint32_t *ids)
{
	return kvbm_logical_block_ids(&s->request.blocks, first, n, ids);
}
