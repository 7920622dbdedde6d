// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Requests that are scheduled: prefill, decode, speculative decode.
 *
 * What can fail comes first: the backend is called while the sequence is as it
 * was; then it is changed, and that cannot fail. There is room for all tokens and
 * blocks since the sequence was made.
 */
#include "sched.h"

static size_t blocks_for(const struct kvbm_sched *s, size_t tokens)
{
	return tokens / s->request.block_size + !!(tokens % s->request.block_size);
}

/* Most blocks that it can have. */
static size_t most_blocks(const struct kvbm_sched *s)
{
	return blocks_for(s, s->request.input + s->request.max_output);
}

/* Unassigned blocks until there are @total: spare ones first. */
static int take_blocks(struct kvbm_sched *s, size_t total)
{
	struct kvbm_logical_assignments *blocks = &s->request.blocks;
	size_t have = sched_blocks(s);
	size_t needed = total > have ? total - have : 0;
	size_t spare = min_t(size_t, needed, s->nr_spare);
	int err = 0;

	if (needed > spare)
		err = kvbm_logical_allocate(blocks, needed - spare);
	if (err == -ENOSPC)
		return sched_fail(s, err, ALLOCATION_FAILED, needed, 0, 0);
	if (err)
		return err;
	s->blocks_before = have;
	for (; spare; spare--) {
		blocks->tokens[kvbm_logical_count(blocks)] =
			s->spare[--s->nr_spare].token;
		blocks->unassigned++;
	}
	s->scheduled_blocks = needed;
	return 0;
}

static void schedule(struct kvbm_sched *s, enum kvbm_sched_state state, size_t tokens)
{
	s->state = state;
	s->scheduled_tokens = tokens;
}

static void become_idle(struct kvbm_sched *s)
{
	s->state = KVBM_SCHED_IDLE;
	s->scheduled_tokens = 0;
	s->scheduled_blocks = 0;
}

/* Blocks that a decode step needs when there are @total tokens. */
static size_t blocks_to_decode(const struct kvbm_sched *s, size_t total)
{
	/* The complete ones, and one that the new token will be in. */
	return total / s->request.block_size + 1;
}

/*
 * Register the blocks that are full of KV, when @kv_tokens have it. If that takes a
 * call, and a decode step follows, when there are @total tokens, the same call
 * allocates the block that is needed next, at that step or a later one; that there
 * is none is not an error. @total is 0 when no such step follows.
 */
static ssize_t register_up_to(struct kvbm_sched *s, size_t kv_tokens, size_t total)
{
	size_t have = sched_blocks(s) + s->nr_spare, want = have;
	struct kvbm_next next = { .out = s->spare + s->nr_spare };
	ssize_t registered;

	if (kv_tokens / s->request.block_size <= s->request.blocks.assigned)
		return 0;
	/* After a prefill with blocks of one token that is two blocks. */
	if (total)
		want = max_t(size_t, blocks_to_decode(s, total),
			     sched_blocks(s) + 1);
	want = min_t(size_t, want, most_blocks(s));
	want = min_t(size_t, want, sched_blocks(s) + ARRAY_SIZE(s->spare));
	next.count = want > have ? want - have : 0;
	registered = kvbm_request_register_pending(&s->request, kv_tokens,
						   next.count ? &next : NULL);
	s->nr_spare += next.allocated;
	return registered;
}

/*
 * The last token completed a block: the next step will need one more, and register
 * one. If there is none to spare, allocate it now, so that the next step makes only
 * one call. Nothing is lost when there is none.
 */
static void look_ahead(struct kvbm_sched *s)
{
	size_t total = sched_total(s);

	if (!sched_remaining(s) || total % s->request.block_size || s->nr_spare ||
	    sched_blocks(s) >= blocks_to_decode(s, total))
		return;
	if (!kvbm_allocate(s->request.blocks.session, 1, s->spare, NULL, NULL))
		s->nr_spare = 1;
}

/* Cannot fail: there is room, and as many as there may be were checked. */
static bool append(struct kvbm_sched *s, uint32_t token)
{
	return kvbm_request_append_token(&s->request, token) > 0;
}

static int outcome(const struct kvbm_sched *s, bool completed)
{
	return (completed ? KVBM_DECODE_BLOCK_COMPLETED : 0) |
	       (sched_remaining(s) ? 0 : KVBM_DECODE_MAX_LENGTH);
}

static int need_idle(struct kvbm_sched *s)
{
	if (s->state == KVBM_SCHED_IDLE)
		return 0;
	return sched_fail(s, -EBADFD, NOT_IDLE, s->state, 0, 0);
}

int kvbm_sched_prefill(struct kvbm_sched *s, size_t tokens)
{
	size_t position = s->prefill_position, end = s->prefill_end;
	size_t block_size = s->request.block_size;
	int err;

	err = need_idle(s);
	if (err)
		return err;
	if (position >= end)
		return sched_fail(s, -EBADFD, PREFILL_COMPLETE, 0, 0, 0);
	if (tokens > end - position)
		return sched_fail(s, -EINVAL, PREFILL_OVERRUN, position, tokens, end);
	if (position + tokens < end && (position + tokens) % block_size)
		return sched_fail(s, -EINVAL, PREFILL_MISALIGNED, position, tokens,
				  block_size);
	err = take_blocks(s, blocks_for(s, position + tokens));
	if (err)
		return err;
	schedule(s, KVBM_SCHED_PREFILL, tokens);
	sched_tell(s, &(struct kvbm_sched_event){
		.type = KVBM_SCHED_PREFILL_SCHEDULED,
		.tokens = tokens,
		.blocks = s->scheduled_blocks,
	});
	return 0;
}

int kvbm_sched_apply_prefill(struct kvbm_sched *s, const uint32_t *token)
{
	size_t tokens = s->scheduled_tokens;
	size_t position = s->prefill_position + tokens;
	bool final = position >= s->prefill_end;
	ssize_t registered;
	int err;

	err = kvbm_sched_need_state(s, KVBM_SCHED_PREFILL);
	if (err)
		return err;
	if (token && !final)
		return sched_fail(s, -EINVAL, TOKEN_ON_NON_FINAL_CHUNK, 0, 0, 0);
	if (token && !sched_remaining(s))
		return sched_fail(s, -EINVAL, APPEND_EXCEEDS_REMAINING, 1, 0, 0);
	if (!token && final && sched_remaining(s))
		return sched_fail(s, -EINVAL, MISSING_TOKEN_ON_FINAL_CHUNK, 0, 0, 0);
	registered = register_up_to(s, position, token ? sched_total(s) + 1 : 0);
	if (registered < 0)
		return registered;
	s->prefill_position = position;
	s->kv_tokens = position;
	become_idle(s);
	if (token) {
		append(s, *token);
		look_ahead(s);
	}
	sched_tell(s, &(struct kvbm_sched_event){
		.type = KVBM_SCHED_PREFILL_APPLIED,
		.tokens = tokens,
		.blocks = registered,
		.flag = token,
	});
	return 0;
}

/* What both kinds of decode steps ask for. */
static int check_decode(struct kvbm_sched *s)
{
	size_t dangling = sched_total(s) - s->kv_tokens;
	int err;

	err = need_idle(s);
	if (err)
		return err;
	if (s->prefill_position < s->prefill_end)
		return sched_fail(s, -EBADFD, PREFILL_NOT_COMPLETE,
				  s->prefill_position, s->prefill_end, 0);
	if (!sched_remaining(s))
		return sched_fail(s, -EBADFD, GENERATION_COMPLETE,
				  s->request.generated, s->request.max_output, 0);
	if (dangling != 1)
		return sched_fail(s, -EBADFD, WRONG_DANGLING_COUNT, 1, dangling, 0);
	return 0;
}

int kvbm_sched_decode(struct kvbm_sched *s)
{
	int err;

	err = check_decode(s);
	if (!err)
		err = take_blocks(s, blocks_to_decode(s, sched_total(s)));
	if (err)
		return err;
	schedule(s, KVBM_SCHED_DECODE, 0);
	sched_tell(s, &(struct kvbm_sched_event){
		.type = KVBM_SCHED_DECODE_SCHEDULED,
		.blocks = s->scheduled_blocks,
	});
	return 0;
}

int kvbm_sched_apply_decode(struct kvbm_sched *s, uint32_t token)
{
	ssize_t registered;
	bool completed;
	int err;

	err = kvbm_sched_need_state(s, KVBM_SCHED_DECODE);
	if (err)
		return err;
	registered = register_up_to(s, s->kv_tokens + 1, sched_total(s) + 1);
	if (registered < 0)
		return registered;
	s->kv_tokens++;
	become_idle(s);
	completed = append(s, token);
	/* At block size 1 that was done just now, and in vain. */
	if (!registered)
		look_ahead(s);
	sched_tell(s, &(struct kvbm_sched_event){
		.type = KVBM_SCHED_DECODE_APPLIED,
		.token = token,
		.flag = completed,
	});
	return outcome(s, completed);
}

int kvbm_sched_speculative(struct kvbm_sched *s, size_t tokens)
{
	int err;

	err = check_decode(s);
	if (err)
		return err;
	tokens = min_t(size_t, tokens, sched_remaining(s));
	err = take_blocks(s, blocks_for(s, sched_total(s) + tokens));
	if (err)
		return err;
	schedule(s, KVBM_SCHED_SPECULATIVE, tokens);
	sched_tell(s, &(struct kvbm_sched_event){
		.type = KVBM_SCHED_SPECULATIVE_SCHEDULED,
		.tokens = tokens,
		.blocks = s->scheduled_blocks,
	});
	return 0;
}

/*
 * Keep the complete blocks, and one for the token after unless there is none. What
 * cannot be released stays with the sequence, and goes when that does.
 */
static size_t drop_excess(struct kvbm_sched *s)
{
	size_t keep = sched_total(s) / s->request.block_size + !!sched_remaining(s);
	size_t before = sched_blocks(s), excess = before > keep ? before - keep : 0;

	kvbm_logical_drop_unassigned(&s->request.blocks, excess);
	return before - sched_blocks(s);
}

int kvbm_sched_apply_speculative(struct kvbm_sched *s, const uint32_t *tokens, size_t n)
{
	size_t scheduled = s->scheduled_tokens, i;
	struct kvbm_request *r = &s->request;
	bool completed = false;
	ssize_t ret;

	ret = kvbm_sched_need_state(s, KVBM_SCHED_SPECULATIVE);
	if (ret)
		return ret;
	if (n > scheduled)
		return sched_fail(s, -EINVAL, ACCEPTED_EXCEEDS_SCHEDULED, n, scheduled,
				  0);
	/* Blocks among those accepted have their hash only now. */
	for (i = 0; i < n; i++)
		completed |= append(s, tokens[i]);
	ret = register_up_to(s, s->kv_tokens + n, 0);
	if (ret < 0) {
		kvbm_token_seq_unwind(r->seq, n);
		r->generated -= n;
		return ret;
	}
	s->kv_tokens += n;
	become_idle(s);
	ret = drop_excess(s);
	sched_tell(s, &(struct kvbm_sched_event){
		.type = KVBM_SCHED_SPECULATIVE_APPLIED,
		.accepted = n,
		.tokens = scheduled,
		.blocks = ret,
	});
	return outcome(s, completed);
}

int kvbm_sched_revert(struct kvbm_sched *s)
{
	size_t blocks = s->scheduled_blocks;
	int err;

	if (s->state == KVBM_SCHED_IDLE)
		return sched_fail(s, -EBADFD, WRONG_STATE, s->state, s->state, 0);
	err = kvbm_logical_truncate(&s->request.blocks, s->blocks_before);
	if (err)
		return err;
	become_idle(s);
	sched_tell(s, &(struct kvbm_sched_event){
		.type = KVBM_SCHED_REVERTED,
		.blocks = blocks,
	});
	return 0;
}
