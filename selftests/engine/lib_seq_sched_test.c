// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Requests that are scheduled: every transition, and every one that is refused; on
 * either backend.
 */
#include "sched_fixture.h"

static const uint32_t token = 7;
static const uint32_t tokens[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

/* State. */

static void begins_idle(void)
{
	struct kvbm_sched_attr attr = attr_of(4, 4);
	struct kvbm_sched_info i;
	struct kvbm_sched *other;
	struct scene s;

	begin(&s, 7, 10);
	i = info(&s);
	EXPECT_EQ(i.state, KVBM_SCHED_IDLE);
	EXPECT_EQ(i.scheduled_tokens + i.scheduled_blocks + i.spare_blocks, 0);
	EXPECT_EQ(i.prefill_end, 7);
	is_at(&s, 7, 0, 0, 0, 0);
	EXPECT_EQ(available(&s), BLOCKS);
	EXPECT(!strcmp(kvbm_sched_state_name(KVBM_SCHED_IDLE), "idle"));
	EXPECT(!strcmp(kvbm_sched_state_name(KVBM_SCHED_SPECULATIVE), "speculative"));
	EXPECT(!kvbm_sched_state_name((enum kvbm_sched_state)99));
	EXPECT_EQ(kvbm_sched_error(s.s)->reason, KVBM_SEQ_NONE);

	/* What it cannot do without. */
	EXPECT_EQ(kvbm_sched_alloc(NULL, &attr, &other), -EINVAL);
	attr.request.tokens = NULL;
	EXPECT_EQ(kvbm_sched_alloc(s.m.session, &attr, &other), -EINVAL);
	kvbm_sched_free(NULL);
	end(&s);
}

/* Something is scheduled: only its own apply, and revert, are in order. */
static void only_what_is_scheduled(struct scene *s)
{
	enum kvbm_sched_state is = info(s).state;

	REFUSED(s, kvbm_sched_prefill(s->s, 1), -EBADFD, NOT_IDLE, is, 0, 0);
	REFUSED(s, kvbm_sched_decode(s->s), -EBADFD, NOT_IDLE, is, 0, 0);
	REFUSED(s, kvbm_sched_speculative(s->s, 1), -EBADFD, NOT_IDLE, is, 0, 0);
	REFUSED(s, kvbm_sched_match_prefix(s->s), -EBADFD, NOT_IDLE, is, 0, 0);
	REFUSED(s, kvbm_sched_release(s->s), -EBADFD, WRONG_STATE, 0, is, 0);
	REFUSED(s, kvbm_sched_reacquire(s->s), -EBADFD, WRONG_STATE, 0, is, 0);
	REFUSED(s, kvbm_sched_append_tokens(s->s, tokens, 1), -EBADFD, WRONG_STATE, 0, is, 0);
	REFUSED(s, kvbm_sched_drop_unassigned(s->s, 1), -EBADFD, WRONG_STATE, 0, is, 0);
	if (is != KVBM_SCHED_PREFILL)
		REFUSED(s, kvbm_sched_apply_prefill(s->s, &token), -EBADFD, WRONG_STATE,
			KVBM_SCHED_PREFILL, is, 0);
	if (is != KVBM_SCHED_DECODE)
		REFUSED(s, kvbm_sched_apply_decode(s->s, 1), -EBADFD, WRONG_STATE,
			KVBM_SCHED_DECODE, is, 0);
	if (is != KVBM_SCHED_SPECULATIVE)
		REFUSED(s, kvbm_sched_apply_speculative(s->s, tokens, 1), -EBADFD,
			WRONG_STATE, KVBM_SCHED_SPECULATIVE, is, 0);
}

static void nothing_is_scheduled(struct scene *s)
{
	REFUSED(s, kvbm_sched_apply_prefill(s->s, &token), -EBADFD, WRONG_STATE,
		KVBM_SCHED_PREFILL, KVBM_SCHED_IDLE, 0);
	REFUSED(s, kvbm_sched_apply_decode(s->s, 1), -EBADFD, WRONG_STATE,
		KVBM_SCHED_DECODE, KVBM_SCHED_IDLE, 0);
	REFUSED(s, kvbm_sched_apply_speculative(s->s, tokens, 1), -EBADFD, WRONG_STATE,
		KVBM_SCHED_SPECULATIVE, KVBM_SCHED_IDLE, 0);
	REFUSED(s, kvbm_sched_revert(s->s), -EBADFD, WRONG_STATE, KVBM_SCHED_IDLE,
		KVBM_SCHED_IDLE, 0);
}

static void calls_out_of_order(void)
{
	struct scene s;

	begin(&s, 7, 10);
	nothing_is_scheduled(&s);
	REFUSED(&s, kvbm_sched_decode(s.s), -EBADFD, PREFILL_NOT_COMPLETE, 0, 7, 0);
	REFUSED(&s, kvbm_sched_speculative(s.s, 2), -EBADFD, PREFILL_NOT_COMPLETE, 0, 7, 0);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 4), 0);
	only_what_is_scheduled(&s);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, NULL), 0);
	nothing_is_scheduled(&s);
	REFUSED(&s, kvbm_sched_decode(s.s), -EBADFD, PREFILL_NOT_COMPLETE, 4, 7, 0);
	REFUSED(&s, kvbm_sched_match_prefix(s.s), -EBADFD, HOLDS_BLOCKS, 1, 0, 0);
	REFUSED(&s, kvbm_sched_reacquire(s.s), -EBADFD, HOLDS_BLOCKS, 1, 0, 0);
	prefill(&s);
	nothing_is_scheduled(&s);
	REFUSED(&s, kvbm_sched_prefill(s.s, 1), -EBADFD, PREFILL_COMPLETE, 0, 0, 0);
	REFUSED(&s, kvbm_sched_prefill(s.s, 0), -EBADFD, PREFILL_COMPLETE, 0, 0, 0);
	EXPECT_EQ(kvbm_sched_decode(s.s), 0);
	only_what_is_scheduled(&s);
	EXPECT_EQ(kvbm_sched_apply_decode(s.s, 1), 0);
	nothing_is_scheduled(&s);
	EXPECT_EQ(kvbm_sched_speculative(s.s, 3), 0);
	only_what_is_scheduled(&s);
	EXPECT_EQ(kvbm_sched_apply_speculative(s.s, tokens, 1), 0);
	nothing_is_scheduled(&s);
	end(&s);
}

/* Prefill. */

static void prefill_in_one_chunk(void)
{
	struct scene s;

	begin(&s, 8, 10);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 8), 0);
	EXPECT_EQ(info(&s).state, KVBM_SCHED_PREFILL);
	EXPECT_EQ(info(&s).scheduled_tokens, 8);
	EXPECT_EQ(info(&s).scheduled_blocks, 2);
	is_at(&s, 8, 0, 0, 0, 2);
	EXPECT_EQ(cached(&s), 0);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, &token), 0);
	EXPECT_EQ(info(&s).state, KVBM_SCHED_IDLE);
	is_at(&s, 9, 8, 8, 2, 0);
	EXPECT_EQ(cached(&s), 2);
	end(&s);
}

static void prefill_in_chunks(void)
{
	struct scene s;

	begin(&s, 14, 10);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 8), 0);
	is_at(&s, 14, 0, 0, 0, 2);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, NULL), 0);
	is_at(&s, 14, 8, 8, 2, 0);
	/* Of nothing. */
	EXPECT_EQ(kvbm_sched_prefill(s.s, 0), 0);
	EXPECT_EQ(info(&s).scheduled_blocks, 0);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, NULL), 0);
	is_at(&s, 14, 8, 8, 2, 0);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 4), 0);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, NULL), 0);
	is_at(&s, 14, 12, 12, 3, 0);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 2), 0);
	is_at(&s, 14, 12, 12, 3, 1);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, &token), 0);
	is_at(&s, 15, 14, 14, 3, 1);
	end(&s);
}

static void prefill_refusals(void)
{
	struct scene s;

	begin(&s, 10, 4);
	REFUSED(&s, kvbm_sched_prefill(s.s, 11), -EINVAL, PREFILL_OVERRUN, 0, 11, 10);
	REFUSED(&s, kvbm_sched_prefill(s.s, SIZE_MAX), -EINVAL, PREFILL_OVERRUN, 0, SIZE_MAX, 10);
	/* Within a block, and not at the end. */
	REFUSED(&s, kvbm_sched_prefill(s.s, 6), -EINVAL, PREFILL_MISALIGNED, 0, 6, BS);
	REFUSED(&s, kvbm_sched_prefill(s.s, 9), -EINVAL, PREFILL_MISALIGNED, 0, 9, BS);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 4), 0);
	REFUSED(&s, kvbm_sched_apply_prefill(s.s, &token), -EINVAL, TOKEN_ON_NON_FINAL_CHUNK, 0,
		0, 0);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, NULL), 0);
	REFUSED(&s, kvbm_sched_prefill(s.s, 7), -EINVAL, PREFILL_OVERRUN, 4, 7, 10);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 6), 0);
	REFUSED(&s, kvbm_sched_apply_prefill(s.s, NULL), -EINVAL, MISSING_TOKEN_ON_FINAL_CHUNK,
		0, 0, 0);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, &token), 0);
	is_at(&s, 11, 10, 10, 2, 1);
	end(&s);
}

static void no_blocks(void)
{
	struct kvbm_mutable m[BLOCKS];
	struct scene s;

	begin(&s, 12, 10);
	ASSERT_EQ(kvbm_allocate(s.m.session, BLOCKS - 2, m, NULL, NULL), 0);
	REFUSED(&s, kvbm_sched_prefill(s.s, 12), -ENOSPC, ALLOCATION_FAILED, 3, 0, 0);
	EXPECT_EQ(info(&s).state, KVBM_SCHED_IDLE);
	EXPECT_EQ(available(&s), 2);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 8), 0);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, NULL), 0);
	ASSERT_EQ(kvbm_release(s.m.session, 1, m), 0);
	prefill(&s);
	/* There was none to spare. */
	EXPECT_EQ(info(&s).spare_blocks, 0);
	REFUSED(&s, kvbm_sched_decode(s.s), -ENOSPC, ALLOCATION_FAILED, 1, 0, 0);
	REFUSED(&s, kvbm_sched_speculative(s.s, 9), -ENOSPC, ALLOCATION_FAILED, 3, 0, 0);
	ASSERT_EQ(kvbm_release(s.m.session, 1, m + 1), 0);
	EXPECT_EQ(decode(&s, 1), KVBM_DECODE_CONTINUE);
	is_at(&s, 14, 12, 13, 3, 1);
	EXPECT_EQ(kvbm_release(s.m.session, BLOCKS - 4, m + 2), 0);
	end(&s);
}

/* The traces of the reference, row by row. */

static void trace_of_seven_tokens(void)
{
	struct scene s;

	begin(&s, 7, 10);
	is_at(&s, 7, 0, 0, 0, 0);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 7), 0);
	is_at(&s, 7, 0, 0, 0, 2);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, &token), 0);
	/* The token completes block 1, whose KV is not. */
	is_at(&s, 8, 7, 7, 1, 1);
	EXPECT_EQ(cached(&s), 1);
	EXPECT_EQ(kvbm_sched_decode(s.s), 0);
	EXPECT_EQ(info(&s).scheduled_blocks, 1);
	is_at(&s, 8, 7, 7, 1, 2);
	EXPECT_EQ(kvbm_sched_apply_decode(s.s, 1), KVBM_DECODE_CONTINUE);
	is_at(&s, 9, 7, 8, 2, 1);
	EXPECT_EQ(cached(&s), 2);
	end(&s);
}

static void trace_of_four_tokens(void)
{
	struct scene s;

	begin(&s, 4, 10);
	prefill(&s);
	is_at(&s, 5, 4, 4, 1, 0);
	EXPECT_EQ(kvbm_sched_decode(s.s), 0);
	EXPECT_EQ(info(&s).scheduled_blocks, 1);
	is_at(&s, 5, 4, 4, 1, 1);
	EXPECT_EQ(kvbm_sched_apply_decode(s.s, 1), KVBM_DECODE_CONTINUE);
	EXPECT_EQ(kvbm_sched_decode(s.s), 0);
	EXPECT_EQ(info(&s).scheduled_blocks, 0);
	EXPECT_EQ(kvbm_sched_apply_decode(s.s, 2), KVBM_DECODE_CONTINUE);
	EXPECT_EQ(kvbm_sched_decode(s.s), 0);
	EXPECT_EQ(info(&s).scheduled_blocks, 0);
	EXPECT_EQ(kvbm_sched_apply_decode(s.s, 3), KVBM_DECODE_BLOCK_COMPLETED);
	/*
	 * The reference has registered block 1 by now, without the KV of its last
	 * token. Here it is when the next step has computed that.
	 */
	is_at(&s, 8, 4, 7, 1, 1);
	EXPECT_EQ(cached(&s), 1);
	EXPECT_EQ(kvbm_sched_decode(s.s), 0);
	EXPECT_EQ(info(&s).scheduled_blocks, 1);
	is_at(&s, 8, 4, 7, 1, 2);
	EXPECT_EQ(kvbm_sched_apply_decode(s.s, 4), KVBM_DECODE_CONTINUE);
	is_at(&s, 9, 4, 8, 2, 1);
	EXPECT_EQ(cached(&s), 2);
	end(&s);
}

/* Decode. */

static void decode_up_to_the_end(void)
{
	struct scene s;
	size_t total;
	int ret;

	/* Ends in the middle of a block. */
	begin(&s, 4, 3);
	prefill(&s);
	EXPECT_EQ(decode(&s, 1), KVBM_DECODE_CONTINUE);
	EXPECT_EQ(decode(&s, 2), KVBM_DECODE_MAX_LENGTH);
	is_at(&s, 7, 4, 6, 1, 1);
	REFUSED(&s, kvbm_sched_decode(s.s), -EBADFD, GENERATION_COMPLETE, 3, 3, 0);
	REFUSED(&s, kvbm_sched_speculative(s.s, 1), -EBADFD, GENERATION_COMPLETE, 3, 3, 0);
	end(&s);

	/* With a block. The KV of the last token is never computed. */
	begin(&s, 4, 4);
	prefill(&s);
	EXPECT_EQ(decode(&s, 1), KVBM_DECODE_CONTINUE);
	EXPECT_EQ(decode(&s, 2), KVBM_DECODE_CONTINUE);
	EXPECT_EQ(decode(&s, 3), KVBM_DECODE_BLOCK_COMPLETED | KVBM_DECODE_MAX_LENGTH);
	is_at(&s, 8, 4, 7, 1, 1);
	EXPECT_EQ(info(&s).spare_blocks, 0);
	EXPECT_EQ(available(&s), BLOCKS - 2);
	end(&s);

	/* Over many blocks; no block is held that will not be needed. */
	begin(&s, 5, 40);
	prefill(&s);
	for (total = 7; total <= 45; total++) {
		ret = decode(&s, total);
		EXPECT_EQ(ret, (total % BS ? 0 : KVBM_DECODE_BLOCK_COMPLETED) |
			  (total < 45 ? 0 : KVBM_DECODE_MAX_LENGTH));
		/* As many as in the reference. */
		is_at(&s, total, 5, total - 1, (total - 1) / BS, 1);
		EXPECT(BLOCKS - available(&s) <= 12);
		EXPECT_EQ(cached(&s), (total - 1) / BS);
	}
	EXPECT_EQ(info(&s).spare_blocks, 0);
	EXPECT_EQ(available(&s), BLOCKS - 12);
	end(&s);
}

static void one_token_must_dangle(void)
{
	struct scene s;

	begin(&s, 0, 10);
	REFUSED(&s, kvbm_sched_decode(s.s), -EBADFD, WRONG_DANGLING_COUNT, 1, 0, 0);
	EXPECT_EQ(kvbm_sched_append_tokens(s.s, tokens, 1), 0);
	is_at(&s, 1, 0, 0, 0, 0);
	EXPECT_EQ(kvbm_sched_append_tokens(s.s, tokens + 1, 1), 0);
	is_at(&s, 2, 0, 0, 0, 0);
	REFUSED(&s, kvbm_sched_decode(s.s), -EBADFD, WRONG_DANGLING_COUNT, 1, 2, 0);
	REFUSED(&s, kvbm_sched_speculative(s.s, 1), -EBADFD, WRONG_DANGLING_COUNT, 1, 2, 0);
	/* The way out: prefill them. */
	EXPECT_EQ(kvbm_sched_release(s.s), 0);
	prefill(&s);
	is_at(&s, 3, 2, 2, 0, 1);
	EXPECT_EQ(decode(&s, 5), KVBM_DECODE_BLOCK_COMPLETED);
	end(&s);
}

static void append_tokens(void)
{
	struct scene s;

	begin(&s, 4, 6);
	prefill(&s);
	EXPECT_EQ(kvbm_sched_append_tokens(s.s, tokens, 2), 0);
	is_at(&s, 7, 4, 4, 1, 0);
	REFUSED(&s, kvbm_sched_append_tokens(s.s, tokens, 4), -EINVAL, APPEND_EXCEEDS_REMAINING,
		4, 3, 0);
	EXPECT_EQ(kvbm_sched_append_tokens(s.s, tokens, 3), 0);
	EXPECT_EQ(kvbm_sched_append_tokens(s.s, NULL, 0), 0);
	is_at(&s, 10, 4, 4, 1, 0);
	REFUSED(&s, kvbm_sched_append_tokens(s.s, tokens, 1), -EINVAL, APPEND_EXCEEDS_REMAINING,
		1, 0, 0);
	end(&s);
}

static void empty_prompt(void)
{
	struct scene s;

	begin(&s, 0, 6);
	REFUSED(&s, kvbm_sched_prefill(s.s, 0), -EBADFD, PREFILL_COMPLETE, 0, 0, 0);
	EXPECT_EQ(kvbm_sched_append_tokens(s.s, tokens, 1), 0);
	EXPECT_EQ(decode(&s, 2), KVBM_DECODE_CONTINUE);
	is_at(&s, 2, 0, 1, 0, 1);
	EXPECT_EQ(decode(&s, 3), KVBM_DECODE_CONTINUE);
	EXPECT_EQ(decode(&s, 4), KVBM_DECODE_BLOCK_COMPLETED);
	EXPECT_EQ(decode(&s, 5), KVBM_DECODE_CONTINUE);
	is_at(&s, 5, 0, 4, 1, 1);
	end(&s);
}

static void no_output(void)
{
	struct scene s;

	begin(&s, 8, 0);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 8), 0);
	REFUSED(&s, kvbm_sched_apply_prefill(s.s, &token), -EINVAL, APPEND_EXCEEDS_REMAINING, 1,
		0, 0);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, NULL), 0);
	is_at(&s, 8, 8, 8, 2, 0);
	EXPECT_EQ(available(&s), BLOCKS - 2);
	REFUSED(&s, kvbm_sched_decode(s.s), -EBADFD, GENERATION_COMPLETE, 0, 0, 0);
	end(&s);
	/* And all of it cached: there is nothing that must be computed. */
	begin(&s, 8, 0);
	EXPECT_EQ(kvbm_test_cache(s.m.session, prompt(), 8, 0), 2);
	EXPECT_EQ(kvbm_sched_match_prefix(s.s), 2);
	is_at(&s, 8, 8, 8, 2, 0);
	end(&s);
}

/* Where KV begins and ends, through a whole life. */
static void kv_through_a_life(void)
{
	struct scene s;

	begin(&s, 6, 12);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 4), 0);
	is_at(&s, 6, 0, 0, 0, 1);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, NULL), 0);
	is_at(&s, 6, 4, 4, 1, 0);
	prefill(&s);
	is_at(&s, 7, 6, 6, 1, 1);
	EXPECT_EQ(decode(&s, 1), KVBM_DECODE_BLOCK_COMPLETED);
	is_at(&s, 8, 6, 7, 1, 1);
	EXPECT_EQ(kvbm_sched_speculative(s.s, 3), 0);
	is_at(&s, 8, 6, 7, 1, 2);
	EXPECT_EQ(kvbm_sched_apply_speculative(s.s, tokens, 2), KVBM_DECODE_CONTINUE);
	is_at(&s, 10, 6, 9, 2, 1);
	EXPECT_EQ(kvbm_sched_release(s.s), 0);
	is_at(&s, 10, 0, 0, 0, 0);
	EXPECT_EQ(available(&s), BLOCKS);
	end(&s);
}

/* Speculative decode. */

static void speculative(void)
{
	struct scene s;

	begin(&s, 4, 20);
	prefill(&s);
	/* Tokens 5 to 8: blocks for 5 + 4. */
	EXPECT_EQ(kvbm_sched_speculative(s.s, 4), 0);
	EXPECT_EQ(info(&s).state, KVBM_SCHED_SPECULATIVE);
	EXPECT_EQ(info(&s).scheduled_tokens, 4);
	EXPECT_EQ(info(&s).scheduled_blocks, 2);
	is_at(&s, 5, 4, 4, 1, 2);
	REFUSED(&s, kvbm_sched_apply_speculative(s.s, tokens, 5), -EINVAL,
		ACCEPTED_EXCEEDS_SCHEDULED, 5, 4, 0);
	/* All are accepted, over a block boundary. */
	EXPECT_EQ(kvbm_sched_apply_speculative(s.s, tokens, 4), KVBM_DECODE_BLOCK_COMPLETED);
	is_at(&s, 9, 4, 8, 2, 1);
	EXPECT_EQ(cached(&s), 2);
	/* One. */
	EXPECT_EQ(kvbm_sched_speculative(s.s, 6), 0);
	is_at(&s, 9, 4, 8, 2, 2);
	EXPECT_EQ(kvbm_sched_apply_speculative(s.s, tokens, 1), KVBM_DECODE_CONTINUE);
	is_at(&s, 10, 4, 9, 2, 1);
	/* None. */
	EXPECT_EQ(kvbm_sched_speculative(s.s, 6), 0);
	EXPECT_EQ(kvbm_sched_apply_speculative(s.s, NULL, 0), KVBM_DECODE_CONTINUE);
	is_at(&s, 10, 4, 9, 2, 1);
	/* Not more than there may be. */
	EXPECT_EQ(kvbm_sched_speculative(s.s, 100), 0);
	EXPECT_EQ(info(&s).scheduled_tokens, 14);
	is_at(&s, 10, 4, 9, 2, 4);
	EXPECT_EQ(kvbm_sched_apply_speculative(s.s, tokens, 14),
		  KVBM_DECODE_BLOCK_COMPLETED | KVBM_DECODE_MAX_LENGTH);
	/* The block of the last token has not its KV, so it is not registered. */
	is_at(&s, 24, 4, 23, 5, 1);
	EXPECT_EQ(cached(&s), 5);
	EXPECT_EQ(available(&s), BLOCKS - 6);
	end(&s);
}

/* A block that waits for its KV, and another that is crossed. */
static void speculative_over_two_boundaries(void)
{
	struct scene s;

	begin(&s, 7, 20);
	prefill(&s);
	is_at(&s, 8, 7, 7, 1, 1);
	EXPECT_EQ(kvbm_sched_speculative(s.s, 5), 0);
	is_at(&s, 8, 7, 7, 1, 3);
	/* Nothing is accepted: block 1 is not registered either. */
	EXPECT_EQ(kvbm_sched_apply_speculative(s.s, NULL, 0), KVBM_DECODE_CONTINUE);
	is_at(&s, 8, 7, 7, 1, 2);
	EXPECT_EQ(cached(&s), 1);
	EXPECT_EQ(kvbm_sched_speculative(s.s, 5), 0);
	EXPECT_EQ(kvbm_sched_apply_speculative(s.s, tokens, 5), KVBM_DECODE_BLOCK_COMPLETED);
	is_at(&s, 13, 7, 12, 3, 1);
	EXPECT_EQ(cached(&s), 3);
	end(&s);
}

/* Revert. */

static void revert(void)
{
	struct scene s;

	begin(&s, 7, 20);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 7), 0);
	EXPECT_EQ(available(&s), BLOCKS - 2);
	EXPECT_EQ(kvbm_sched_revert(s.s), 0);
	is_at(&s, 7, 0, 0, 0, 0);
	EXPECT_EQ(info(&s).state, KVBM_SCHED_IDLE);
	EXPECT_EQ(available(&s), BLOCKS);

	EXPECT_EQ(kvbm_sched_prefill(s.s, 4), 0);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, NULL), 0);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 3), 0);
	EXPECT_EQ(kvbm_sched_revert(s.s), 0);
	is_at(&s, 7, 4, 4, 1, 0);

	prefill(&s);
	EXPECT_EQ(kvbm_sched_decode(s.s), 0);
	is_at(&s, 8, 7, 7, 1, 2);
	EXPECT_EQ(kvbm_sched_revert(s.s), 0);
	is_at(&s, 8, 7, 7, 1, 1);
	EXPECT_EQ(kvbm_sched_speculative(s.s, 9), 0);
	is_at(&s, 8, 7, 7, 1, 4);
	EXPECT_EQ(kvbm_sched_revert(s.s), 0);
	is_at(&s, 8, 7, 7, 1, 1);
	EXPECT_EQ(available(&s), BLOCKS - 2);
	/* And goes on as if nothing had been. */
	EXPECT_EQ(decode(&s, 1), KVBM_DECODE_CONTINUE);
	is_at(&s, 9, 7, 8, 2, 1);
	end(&s);
}

static void drop_unassigned(void)
{
	uint32_t ids[4], left[4];
	struct scene s;

	begin(&s, 10, 20);
	EXPECT_EQ(kvbm_sched_drop_unassigned(s.s, 3), 0);
	prefill(&s);
	EXPECT_EQ(kvbm_sched_speculative(s.s, 5), 0);
	EXPECT_EQ(kvbm_sched_revert(s.s), 0);
	EXPECT_EQ(decode(&s, 1), KVBM_DECODE_BLOCK_COMPLETED);
	is_at(&s, 12, 10, 11, 2, 1);
	/* A zero-token speculation leaves the block to generate into. */
	EXPECT_EQ(kvbm_sched_speculative(s.s, 1), 0);
	EXPECT_EQ(kvbm_sched_apply_speculative(s.s, NULL, 0), 0);
	is_at(&s, 12, 10, 11, 2, 2);
	EXPECT_EQ(kvbm_sched_block_ids(s.s, 0, 4, ids), 4);
	EXPECT_EQ(kvbm_sched_drop_unassigned(s.s, 0), 0);
	EXPECT_EQ(kvbm_sched_drop_unassigned(s.s, 1), 1);
	is_at(&s, 12, 10, 11, 2, 1);
	EXPECT_EQ(kvbm_sched_block_ids(s.s, 0, 4, left), 3);
	EXPECT(!memcmp(left, ids, 3 * sizeof(*ids)));
	/* With the last one goes KV: it is to be computed again. */
	EXPECT_EQ(kvbm_sched_drop_unassigned(s.s, 9), 1);
	is_at(&s, 12, 8, 8, 2, 0);
	EXPECT_EQ(info(&s).prefill_end, 12);
	REFUSED(&s, kvbm_sched_decode(s.s), -EBADFD, PREFILL_NOT_COMPLETE, 8, 12, 0);
	prefill(&s);
	is_at(&s, 13, 12, 12, 3, 0);
	EXPECT_EQ(decode(&s, 1), KVBM_DECODE_CONTINUE);
	end(&s);
}

/* The prefix. */

static void match_prefix(void)
{
	struct scene s;

	begin(&s, 14, 6);
	EXPECT_EQ(kvbm_sched_match_prefix(s.s), 0);
	is_at(&s, 14, 0, 0, 0, 0);
	EXPECT_EQ(kvbm_test_cache(s.m.session, prompt(), 8, 0), 2);
	EXPECT_EQ(kvbm_sched_match_prefix(s.s), 2);
	is_at(&s, 14, 8, 8, 2, 0);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 6), 0);
	is_at(&s, 14, 8, 8, 2, 2);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, &token), 0);
	is_at(&s, 15, 14, 14, 3, 1);
	end(&s);
}

/* A prompt that is cached as a whole: its last block is computed once more. */
static void prompt_is_all_cached(void)
{
	struct scene s;

	begin(&s, 8, 6);
	EXPECT_EQ(kvbm_test_cache(s.m.session, prompt(), 8, 0), 2);
	EXPECT_EQ(kvbm_sched_match_prefix(s.s), 1);
	is_at(&s, 8, 4, 4, 1, 0);
	prefill(&s);
	is_at(&s, 9, 8, 8, 2, 0);
	EXPECT_EQ(decode(&s, 1), KVBM_DECODE_CONTINUE);
	end(&s);
}

static void salt(void)
{
	struct kvbm_sched_attr attr = attr_of(9, 6);
	struct kvbm_sched *other;
	struct scene s;

	begin(&s, 9, 6);
	prefill(&s);
	attr.request.salt_hash = KVBM_TEST_SALT_HASH;
	ASSERT_EQ(kvbm_sched_alloc(s.m.session, &attr, &other), 0);
	EXPECT_EQ(kvbm_sched_match_prefix(other), 0);
	kvbm_sched_free(other);
	attr.request.salt_hash = 0;
	ASSERT_EQ(kvbm_sched_alloc(s.m.session, &attr, &other), 0);
	EXPECT_EQ(kvbm_sched_match_prefix(other), 2);
	kvbm_sched_free(other);
	end(&s);
}

/* Preemption. */

static void preempt_and_resume(void)
{
	struct scene s;
	int way;

	for (way = 0; way < 2; way++) {
		begin(&s, 7, 20);
		prefill(&s);
		EXPECT_EQ(decode(&s, 1), KVBM_DECODE_CONTINUE);
		EXPECT_EQ(decode(&s, 2), KVBM_DECODE_CONTINUE);
		is_at(&s, 10, 7, 9, 2, 1);
		EXPECT_EQ(kvbm_sched_release(s.s), 0);
		EXPECT_EQ(available(&s), BLOCKS);
		/* What was generated is to be prefilled, too. */
		is_at(&s, 10, 0, 0, 0, 0);
		EXPECT_EQ(info(&s).prefill_end, 10);
		EXPECT_EQ(kvbm_sched_release(s.s), 0);
		EXPECT_EQ(way ? kvbm_sched_reacquire(s.s) : kvbm_sched_match_prefix(s.s), 2);
		is_at(&s, 10, 8, 8, 2, 0);
		prefill(&s);
		is_at(&s, 11, 10, 10, 2, 1);
		EXPECT_EQ(decode(&s, 3), KVBM_DECODE_BLOCK_COMPLETED);
		end(&s);
	}
}

/* Blocks that are acquired anew are registered when they are computed, only then. */
static void reacquired_is_not_registered(void)
{
	struct kvbm_drained drained;
	struct scene s;

	begin(&s, 13, 20);
	prefill(&s);
	EXPECT_EQ(kvbm_sched_release(s.s), 0);
	EXPECT_EQ(kvbm_drain(s.m.session, &drained), 0);
	EXPECT_EQ(drained.drained, 3);
	EXPECT_EQ(kvbm_sched_reacquire(s.s), 0);
	is_at(&s, 14, 0, 0, 0, 3);
	EXPECT_EQ(cached(&s), 0);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 4), 0);
	EXPECT_EQ(info(&s).scheduled_blocks, 0);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, NULL), 0);
	is_at(&s, 14, 4, 4, 1, 2);
	EXPECT_EQ(cached(&s), 1);
	prefill(&s);
	is_at(&s, 15, 14, 14, 3, 1);
	end(&s);
}

static void reacquire_too_few_blocks(void)
{
	struct kvbm_mutable m[BLOCKS];
	struct scene s;

	begin(&s, 13, 20);
	EXPECT_EQ(kvbm_test_cache(s.m.session, prompt(), 4, 0), 1);
	ASSERT_EQ(kvbm_allocate(s.m.session, BLOCKS - 2, m, NULL, NULL), 0);
	EXPECT_EQ(kvbm_sched_reacquire(s.s), -ENOSPC);
	EXPECT_EQ(kvbm_sched_error(s.s)->reason, KVBM_SEQ_ALLOCATION_FAILED);
	is_at(&s, 13, 0, 0, 0, 0);
	EXPECT_EQ(available(&s), 2);
	EXPECT_EQ(kvbm_release(s.m.session, BLOCKS - 2, m), 0);
	EXPECT_EQ(kvbm_sched_reacquire(s.s), 1);
	is_at(&s, 13, 4, 4, 1, 2);
	end(&s);
}

/* A release resets what a second match adds to: it never exceeds the prompt. */
static void match_after_release(void)
{
	struct scene s;
	int i;

	begin(&s, 10, 6);
	EXPECT_EQ(kvbm_test_cache(s.m.session, prompt(), 8, 0), 2);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(kvbm_sched_match_prefix(s.s), 2);
		is_at(&s, 10, 8, 8, 2, 0);
		EXPECT_EQ(kvbm_sched_release(s.s), 0);
		is_at(&s, 10, 0, 0, 0, 0);
	}
	end(&s);
}

static void complete_then_resumed(void)
{
	struct scene s;

	begin(&s, 4, 2);
	prefill(&s);
	EXPECT_EQ(decode(&s, 1), KVBM_DECODE_MAX_LENGTH);
	EXPECT_EQ(kvbm_sched_release(s.s), 0);
	EXPECT_EQ(kvbm_sched_reacquire(s.s), 1);
	/* Nothing more to come: the KV of all tokens can be had. */
	prefill(&s);
	is_at(&s, 6, 6, 6, 1, 1);
	end(&s);
}

/* The block that is there ahead of time. */
static void spare_block(void)
{
	struct scene s;

	begin(&s, 4, 20);
	prefill(&s);
	EXPECT_EQ(info(&s).spare_blocks, 1);
	EXPECT_EQ(available(&s), BLOCKS - 2);
	EXPECT_EQ(kvbm_sched_drop_spare(s.s), 0);
	EXPECT_EQ(info(&s).spare_blocks, 0);
	EXPECT_EQ(kvbm_sched_drop_spare(s.s), 0);
	EXPECT_EQ(available(&s), BLOCKS - 1);
	/* Nothing else depends on it. */
	EXPECT_EQ(decode(&s, 1), KVBM_DECODE_CONTINUE);
	is_at(&s, 6, 4, 5, 1, 1);
	end(&s);
}

/* Appended before the prefill: not so many are allocated ahead of time. */
static void spare_blocks_are_few(void)
{
	struct scene s;

	begin(&s, 4, 40);
	EXPECT_EQ(kvbm_sched_append_tokens(s.s, tokens, 16), 0);
	prefill(&s);
	is_at(&s, 21, 4, 4, 1, 0);
	EXPECT(info(&s).spare_blocks <= 2);
	REFUSED(&s, kvbm_sched_decode(s.s), -EBADFD, WRONG_DANGLING_COUNT, 1, 17, 0);
	end(&s);
}

/* A backend that refuses: what was scheduled stays so, and can be tried again. */
static void apply_fails(void)
{
	struct kvbm_mutable stolen;
	struct scene s;

	begin(&s, 8, 20);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 8), 0);
	stolen.token = *kvbm_logical_tokens(kvbm_request_blocks(kvbm_sched_request(s.s)), NULL);
	EXPECT_EQ(kvbm_release(s.m.session, 1, &stolen), 0);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, &token), -ENXIO);
	EXPECT_EQ(kvbm_sched_error(s.s)->reason, KVBM_SEQ_CALL_FAILED);
	is_at(&s, 8, 0, 0, 0, 2);
	EXPECT_EQ(info(&s).state, KVBM_SCHED_PREFILL);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, &token), -ENXIO);
	is_at(&s, 8, 0, 0, 0, 2);
	kvbm_sched_free(s.s);
	/* The block that could not be released. */
	EXPECT_EQ(kvbm_test_manager_close(&s.m), -EBUSY);
}

static const struct tap_test all[] = {
	TEST(begins_idle),
	TEST(calls_out_of_order),
	TEST(prefill_in_one_chunk),
	TEST(prefill_in_chunks),
	TEST(prefill_refusals),
	TEST(no_blocks),
	TEST(trace_of_seven_tokens),
	TEST(trace_of_four_tokens),
	TEST(decode_up_to_the_end),
	TEST(one_token_must_dangle),
	TEST(append_tokens),
	TEST(empty_prompt),
	TEST(no_output),
	TEST(kv_through_a_life),
	TEST(speculative),
	TEST(speculative_over_two_boundaries),
	TEST(revert),
	TEST(drop_unassigned),
	TEST(match_prefix),
	TEST(prompt_is_all_cached),
	TEST(salt),
	TEST(preempt_and_resume),
	TEST(reacquired_is_not_registered),
	TEST(reacquire_too_few_blocks),
	TEST(match_after_release),
	TEST(complete_then_resumed),
	TEST(spare_block),
	TEST(spare_blocks_are_few),
	TEST(apply_fails),
};

int main(void)
{
	return tap_run(all, ARRAY_SIZE(all));
}
