// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What a delegate is told; and the helpers for users' tests.
 */
#include "sched_fixture.h"

static struct kvbm_sched_event seen[64];
static unsigned int nr_seen;

static void on_event(void *context, const struct kvbm_sched_event *event)
{
	EXPECT(context == seen);
	if (nr_seen < ARRAY_SIZE(seen))
		seen[nr_seen++] = *event;
}

static void begin_seen(struct scene *s, size_t input, size_t max_output)
{
	struct kvbm_sched_attr attr = attr_of(input, max_output);

	nr_seen = 0;
	attr.delegate = (struct kvbm_sched_delegate){ on_event, seen };
	open_manager(&s->m, BLOCKS);
	ASSERT_EQ(kvbm_sched_alloc(s->m.session, &attr, &s->s), 0);
}

/* The next event, with what its type names, and all else 0. */
static void expect_event(unsigned int *at, struct kvbm_sched_event want)
{
	const struct kvbm_sched_event *is = &seen[*at];

	ASSERT(*at < nr_seen);
	EXPECT_EQ(is->type, want.type);
	EXPECT_EQ(is->flag, want.flag);
	EXPECT_EQ(is->token, want.token);
	EXPECT_EQ(is->tokens, want.tokens);
	EXPECT_EQ(is->accepted, want.accepted);
	EXPECT_EQ(is->blocks, want.blocks);
	EXPECT_EQ(is->input_tokens, want.input_tokens);
	EXPECT_EQ(is->max_output_tokens, want.max_output_tokens);
	EXPECT_EQ(is->block_size, want.block_size);
	(*at)++;
}

#define EVENT(at, what, ...) \
	expect_event(at, (struct kvbm_sched_event){ .type = KVBM_SCHED_##what, ##__VA_ARGS__ })

static void a_whole_life(void)
{
	static const uint32_t tokens[] = { 21, 22 };
	uint32_t token = 11;
	unsigned int at = 0;
	struct scene s;

	begin_seen(&s, 10, 20);
	EXPECT_EQ(kvbm_sched_match_prefix(s.s), 0);
	EXPECT_EQ(kvbm_test_cache(s.m.session, prompt(), 4, 0), 1);
	EXPECT_EQ(kvbm_sched_match_prefix(s.s), 1);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 4), 0);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, NULL), 0);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 2), 0);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, &token), 0);
	EVENT(&at, CREATED, .input_tokens = 10, .max_output_tokens = 20, .block_size = BS);
	EVENT(&at, PREFIX_MATCHED);
	EVENT(&at, PREFIX_MATCHED, .blocks = 1);
	EVENT(&at, PREFILL_SCHEDULED, .tokens = 4, .blocks = 1);
	EVENT(&at, PREFILL_APPLIED, .tokens = 4, .blocks = 1);
	EVENT(&at, PREFILL_SCHEDULED, .tokens = 2, .blocks = 1);
	EVENT(&at, PREFILL_APPLIED, .tokens = 2, .flag = true);

	EXPECT_EQ(kvbm_sched_decode(s.s), 0);
	EXPECT_EQ(kvbm_sched_apply_decode(s.s, 12), KVBM_DECODE_BLOCK_COMPLETED);
	EVENT(&at, DECODE_SCHEDULED);
	EVENT(&at, DECODE_APPLIED, .token = 12, .flag = true);

	EXPECT_EQ(kvbm_sched_speculative(s.s, 7), 0);
	EXPECT_EQ(kvbm_sched_apply_speculative(s.s, tokens, 2), 0);
	EVENT(&at, SPECULATIVE_SCHEDULED, .tokens = 7, .blocks = 2);
	EVENT(&at, SPECULATIVE_APPLIED, .accepted = 2, .tokens = 7, .blocks = 1);

	EXPECT_EQ(kvbm_sched_speculative(s.s, 7), 0);
	EXPECT_EQ(kvbm_sched_revert(s.s), 0);
	EVENT(&at, SPECULATIVE_SCHEDULED, .tokens = 7, .blocks = 2);
	EVENT(&at, REVERTED, .blocks = 2);

	/* No event for tokens that are appended. */
	EXPECT_EQ(kvbm_sched_append_tokens(s.s, tokens, 1), 0);
	EXPECT_EQ(kvbm_sched_drop_unassigned(s.s, 0), 0);
	EXPECT_EQ(kvbm_sched_drop_unassigned(s.s, 5), 1);
	EVENT(&at, UNASSIGNED_DROPPED, .blocks = 1);
	EXPECT_EQ(kvbm_sched_release(s.s), 0);
	EVENT(&at, RELEASED);
	EXPECT_EQ(kvbm_sched_reacquire(s.s), 3);
	EVENT(&at, REACQUIRED, .blocks = 3, .flag = true);
	EXPECT_EQ(at, nr_seen);
	end(&s);
}

static void refusals_tell_nothing(void)
{
	struct kvbm_mutable m[BLOCKS];
	unsigned int at = 1;
	struct scene s;

	begin_seen(&s, 10, 20);
	EXPECT_EQ(kvbm_sched_decode(s.s), -EBADFD);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 11), -EINVAL);
	EXPECT_EQ(kvbm_sched_revert(s.s), -EBADFD);
	EXPECT_EQ(kvbm_sched_apply_decode(s.s, 1), -EBADFD);
	ASSERT_EQ(kvbm_allocate(s.m.session, BLOCKS, m, NULL, NULL), 0);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 10), -ENOSPC);
	EXPECT_EQ(nr_seen, 1);
	/* But for this. */
	EXPECT_EQ(kvbm_sched_reacquire(s.s), -ENOSPC);
	EVENT(&at, REACQUIRED);
	EXPECT_EQ(at, nr_seen);
	EXPECT_EQ(kvbm_release(s.m.session, BLOCKS, m), 0);
	end(&s);
}

/* States are named, and what to do. */
static void refusals_in_words(void)
{
	const uint32_t token = 7;
	struct scene s;
	char text[160];

#define SAYS(call, words) do {						\
	EXPECT(call);							\
	kvbm_seq_error_text(kvbm_sched_error(s.s), text, sizeof(text));	\
	if (!EXPECT(!strcmp(text, words)))				\
		printf("# %s\n", text);					\
} while (0)
	begin(&s, 10, 20);
	SAYS(!kvbm_sched_prefill(s.s, 4), "no call was refused");
	SAYS(kvbm_sched_decode(s.s),
	     "scheduled already: prefill: apply or revert that first");
	SAYS(kvbm_sched_apply_decode(s.s, 1),
	     "scheduled is prefill, not decode: apply or revert that first");
	SAYS(kvbm_sched_release(s.s), "scheduled is prefill: apply or revert that first");
	SAYS(kvbm_sched_apply_prefill(s.s, &token),
	     "only the last chunk of a prefill yields a token");
	EXPECT_EQ(kvbm_sched_revert(s.s), 0);
	SAYS(kvbm_sched_revert(s.s), "nothing is scheduled");
	SAYS(kvbm_sched_apply_decode(s.s, 1),
	     "nothing is scheduled: schedule decode first");
	SAYS(kvbm_sched_prefill(s.s, 6),
	     "a chunk from token 0, 6 tokens long, ends within a block: end it at a multiple of 4, or with the prefill");
	end(&s);
}

/* Helpers. */

static void test_manager(void)
{
	struct kvbm_test_manager m, other;
	struct kvbm_mutable guard;

	EXPECT_EQ(kvbm_test_manager_open(&m, "/nonexistent/kvbm", 10, 4), -ENOENT);
	EXPECT_EQ(kvbm_test_manager_close(&m), 0);
	EXPECT_EQ(kvbm_test_manager_open(&m, test_uri(), 10, 3), -EINVAL);
	EXPECT_EQ(kvbm_test_manager_open(&m, test_uri(), 0, 4), -EINVAL);
	ASSERT_EQ(kvbm_test_manager_open(&m, test_uri(), KVBM_TEST_BLOCK_COUNT,
					 KVBM_TEST_BLOCK_SIZE), 0);
	ASSERT_EQ(kvbm_test_manager_open(&other, test_uri(), 10, 8), 0);
	EXPECT_EQ(kvbm_session_block_size(m.session), 4);
	EXPECT_EQ(kvbm_session_block_count(m.session), 10);
	EXPECT_EQ(kvbm_session_block_size(other.session), 8);
	EXPECT_EQ(kvbm_test_available(m.session), 10);
	EXPECT_EQ(kvbm_test_cache(m.session, prompt(), 11, 0), 2);
	EXPECT_EQ(kvbm_test_available(m.session), 10);
	EXPECT_EQ(counters_of(m.session).inactive_pool_size, 2);
	EXPECT_EQ(kvbm_test_cache(m.session, prompt(), 44, 0), -ENOSPC);
	ASSERT_EQ(kvbm_allocate(m.session, 1, &guard, NULL, NULL), 0);
	EXPECT_EQ(kvbm_test_available(m.session), 9);
	EXPECT_EQ(kvbm_test_manager_close(&m), -EBUSY);
	EXPECT_EQ(kvbm_test_manager_close(&other), 0);
}

static void test_tokens(void)
{
	uint32_t a[8], b[8], four[KVBM_TEST_BLOCK_SIZE], n, powers = 0;
	size_t i;

	kvbm_test_tokens(100, 8, a);
	kvbm_test_tokens_for_id(103, four);
	for (i = 0; i < 8; i++)
		EXPECT_EQ(a[i], 100 + i);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(four[i], 103 + i);
	kvbm_test_unique_tokens(1, 8, a);
	kvbm_test_unique_tokens(2, 8, b);
	EXPECT_EQ(a[0], 1000);
	EXPECT_EQ(b[7], 2007);
	for (n = 0; n <= 2 * KVBM_MAX_BLOCK_SIZE; n++)
		powers += kvbm_test_is_block_size(n);
	EXPECT_EQ(powers, 11);
	EXPECT(kvbm_test_is_block_size(1) && kvbm_test_is_block_size(1024));
	EXPECT(!kvbm_test_is_block_size(0) && !kvbm_test_is_block_size(12));
	EXPECT(!kvbm_test_is_block_size(2048));
	EXPECT(kvbm_test_is_block_size(KVBM_TEST_BLOCK_SIZE));
	EXPECT_EQ(KVBM_TEST_BLOCK_SIZE, 4);
	EXPECT_EQ(KVBM_TEST_BLOCK_COUNT, 10);
	EXPECT_EQ(KVBM_TEST_SALT_HASH, 42);
}

static void test_chain(void)
{
	struct kvbm_assignment chain[4];
	struct kvbm_hash h[4];
	size_t i;

	EXPECT_EQ(kvbm_test_chain(prompt(), 15, BS, KVBM_TEST_SALT_HASH, 30, chain), 3);
	ASSERT_EQ(kvbm_hash_blocks(prompt(), 15, NULL, 0, BS, KVBM_TEST_SALT_HASH, h,
				   NULL), 3);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(chain[i].id, 30 + i);
		EXPECT(!kvbm_hash_compare(&chain[i].hash, &h[i]));
	}
	EXPECT(kvbm_plh_is_child(&chain[1].hash, &chain[0].hash));
	EXPECT_EQ(kvbm_test_chain(prompt(), 15, 0, 0, 30, chain), -EINVAL);
}

static const struct tap_test all[] = {
	TEST(a_whole_life),
	TEST(refusals_tell_nothing),
	TEST(refusals_in_words),
	TEST(test_manager),
	TEST(test_tokens),
	TEST(test_chain),
};

int main(void)
{
	return tap_run(all, ARRAY_SIZE(all));
}
