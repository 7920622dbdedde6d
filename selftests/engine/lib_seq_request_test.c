// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Requests: tokens and blocks side by side, on either backend.
 */
#include "seq_fixture.h"

#define BLOCKS	20

struct scene {
	struct kvbm_test_manager m;
	struct kvbm_request *r;
};

static struct kvbm_request_attr attr_of(size_t input, size_t max_output)
{
	return (struct kvbm_request_attr){
		.tokens = prompt(),
		.nr_tokens = input,
		.max_output_tokens = max_output,
	};
}

static void begin(struct scene *s, size_t input, size_t max_output)
{
	struct kvbm_request_attr attr = attr_of(input, max_output);

	open_manager(&s->m, BLOCKS);
	ASSERT_EQ(kvbm_request_alloc(s->m.session, &attr, &s->r), 0);
}

static void end(struct scene *s)
{
	kvbm_request_free(s->r);
	close_manager(&s->m);
}

static struct kvbm_request_info info(const struct scene *s)
{
	struct kvbm_request_info i;

	kvbm_request_info(s->r, &i);
	return i;
}

static bool has(const struct scene *s, size_t assigned, size_t staged,
		size_t unassigned)
{
	struct kvbm_request_info i = info(s);

	return EXPECT_EQ(i.assigned_blocks, assigned) &
	       EXPECT_EQ(i.staged_blocks, staged) &
	       EXPECT_EQ(i.unassigned_blocks, unassigned);
}

static ssize_t available(const struct scene *s)
{
	return kvbm_test_available(s->m.session);
}

static ssize_t cached(const struct scene *s)
{
	const struct kvbm_hash *h;
	size_t n;

	h = kvbm_token_seq_hashes(kvbm_request_tokens(s->r), &n);
	return kvbm_probe(s->m.session, n, h);
}

/* What an engine does before the first step; -errno of the allocation. */
static int prefill(struct scene *s)
{
	struct kvbm_request_info i = info(s);
	ssize_t hits = kvbm_request_match_prefix(s->r);
	int err;

	if (hits < 0)
		return hits;
	/* The rest of the complete blocks, and one to generate into. */
	err = kvbm_request_allocate(s->r, i.complete_blocks - hits +
				    !!i.max_output_tokens);
	if (err) {
		kvbm_request_release(s->r);
		return err;
	}
	EXPECT_EQ(kvbm_request_register_pending(s->r, KVBM_ALL_TOKENS, NULL),
		  i.complete_blocks - hits);
	return 0;
}

static void make(void)
{
	struct kvbm_request_attr attr = attr_of(10, 5);
	struct kvbm_request_info i;
	struct kvbm_request *r;
	struct scene s;

	begin(&s, 10, 5);
	i = info(&s);
	EXPECT_EQ(i.block_size, BS);
	EXPECT_EQ(i.input_tokens, 10);
	EXPECT_EQ(i.total_tokens, 10);
	EXPECT_EQ(i.generated_tokens, 0);
	EXPECT_EQ(i.max_output_tokens, 5);
	EXPECT_EQ(i.remaining_tokens, 5);
	EXPECT_EQ(i.complete_blocks, 2);
	EXPECT_EQ(i.prefix_matched_blocks, 0);
	EXPECT_EQ(i.prefill_tokens, 10);
	has(&s, 0, 0, 0);
	EXPECT_EQ(available(&s), BLOCKS);
	EXPECT_EQ(kvbm_token_seq_len(kvbm_request_tokens(s.r)), 10);
	EXPECT_EQ(kvbm_request_error(s.r)->reason, KVBM_SEQ_NONE);

	EXPECT_EQ(kvbm_request_alloc(NULL, &attr, &r), -EINVAL);
	attr.tokens = NULL;
	EXPECT_EQ(kvbm_request_alloc(s.m.session, &attr, &r), -EINVAL);
	attr = attr_of(10, SIZE_MAX);
	EXPECT_EQ(kvbm_request_alloc(s.m.session, &attr, &r), -EOVERFLOW);
	/* One token more than there are positions for. */
	attr.max_output_tokens = (size_t)KVBM_MAX_POSITIONS * BS - 9;
	EXPECT_EQ(kvbm_request_alloc(s.m.session, &attr, &r), -EOVERFLOW);
	attr = attr_of(10, 5);
	attr.nr_runs = 1;
	EXPECT_EQ(kvbm_request_alloc(s.m.session, &attr, &r), -EINVAL);
	attr.runs = &(struct kvbm_mm_run){ .mm_hash = 1, .offset = 8, .length = 3 };
	EXPECT_EQ(kvbm_request_alloc(s.m.session, &attr, &r), -ERANGE);
	kvbm_request_free(NULL);
	end(&s);
}

static void prefilled(void)
{
	struct scene s;

	begin(&s, 2 * BS, 10);
	EXPECT_EQ(prefill(&s), 0);
	has(&s, 2, 0, 1);
	EXPECT_EQ(cached(&s), 2);
	EXPECT_EQ(available(&s), BLOCKS - 3);
	end(&s);
	/* A partial block is where output goes. */
	begin(&s, 2 * BS + 1, 10);
	EXPECT_EQ(prefill(&s), 0);
	has(&s, 2, 0, 1);
	end(&s);
	begin(&s, 0, 10);
	EXPECT_EQ(prefill(&s), 0);
	has(&s, 0, 0, 1);
	EXPECT_EQ(info(&s).complete_blocks, 0);
	end(&s);
	/* No output, no block for it. */
	begin(&s, 2 * BS, 0);
	EXPECT_EQ(prefill(&s), 0);
	has(&s, 2, 0, 0);
	end(&s);
}

static void too_few_blocks(void)
{
	struct kvbm_mutable m[BLOCKS];
	struct scene s;

	begin(&s, 4 * BS, 10);
	ASSERT_EQ(kvbm_allocate(s.m.session, BLOCKS - 3, m, NULL, NULL), 0);
	EXPECT_EQ(prefill(&s), -ENOSPC);
	has(&s, 0, 0, 0);
	EXPECT_EQ(available(&s), 3);
	EXPECT_EQ(kvbm_request_allocate(s.r, 4), -ENOSPC);
	is_error(kvbm_request_error(s.r), -ENOSPC, KVBM_SEQ_ALLOCATION_FAILED, 4, 0, 0);
	has(&s, 0, 0, 0);
	EXPECT_EQ(kvbm_request_allocate(s.r, 0), 0);
	has(&s, 0, 0, 0);
	EXPECT_EQ(kvbm_request_allocate(s.r, 3), 0);
	has(&s, 0, 0, 3);
	EXPECT_EQ(kvbm_release(s.m.session, BLOCKS - 3, m), 0);
	end(&s);
}

static void prefix_is_cached(void)
{
	struct scene s;

	/* All of it. */
	begin(&s, 3 * BS, 10);
	EXPECT_EQ(kvbm_test_cache(s.m.session, prompt(), 3 * BS, 0), 3);
	EXPECT_EQ(prefill(&s), 0);
	has(&s, 3, 0, 1);
	EXPECT_EQ(info(&s).prefix_matched_blocks, 3);
	EXPECT_EQ(info(&s).prefill_tokens, 0);
	EXPECT_EQ(counters_of(s.m.session).registrations, 3);
	end(&s);
	/* A part. */
	begin(&s, 3 * BS, 10);
	EXPECT_EQ(kvbm_test_cache(s.m.session, prompt(), BS, 0), 1);
	EXPECT_EQ(kvbm_request_match_prefix(s.r), 1);
	has(&s, 1, 0, 0);
	EXPECT_EQ(info(&s).prefix_matched_blocks, 1);
	/* 12 - 4 */
	EXPECT_EQ(info(&s).prefill_tokens, 8);
	EXPECT_EQ(kvbm_request_allocate(s.r, 3), 0);
	EXPECT_EQ(kvbm_request_register_pending(s.r, KVBM_ALL_TOKENS, NULL), 2);
	has(&s, 3, 0, 1);
	EXPECT_EQ(cached(&s), 3);
	/* Only a request without blocks. */
	EXPECT_EQ(kvbm_request_match_prefix(s.r), -EBADFD);
	is_error(kvbm_request_error(s.r), -EBADFD, KVBM_SEQ_HOLDS_BLOCKS, 4, 0, 0);
	EXPECT_EQ(kvbm_request_reacquire(s.r), -EBADFD);
	EXPECT_EQ(kvbm_request_add_matched(s.r, 0, NULL, NULL), -EBADFD);
	has(&s, 3, 0, 1);
	end(&s);
}

static void other_salt_other_blocks(void)
{
	static const struct kvbm_mm_run run = { .mm_hash = 7, .offset = 1, .length = 2 };
	struct kvbm_request_attr attr = attr_of(2 * BS, 4);
	struct kvbm_request *r;
	struct scene s;

	begin(&s, 2 * BS, 4);
	EXPECT_EQ(prefill(&s), 0);
	attr.salt_hash = KVBM_TEST_SALT_HASH;
	ASSERT_EQ(kvbm_request_alloc(s.m.session, &attr, &r), 0);
	EXPECT_EQ(kvbm_request_match_prefix(r), 0);
	kvbm_request_free(r);
	/* A picture is not what its placeholders are. */
	attr = attr_of(2 * BS, 4);
	attr.runs = &run;
	attr.nr_runs = 1;
	ASSERT_EQ(kvbm_request_alloc(s.m.session, &attr, &r), 0);
	EXPECT_EQ(kvbm_request_match_prefix(r), 0);
	kvbm_request_free(r);
	attr = attr_of(2 * BS, 4);
	ASSERT_EQ(kvbm_request_alloc(s.m.session, &attr, &r), 0);
	EXPECT_EQ(kvbm_request_match_prefix(r), 2);
	kvbm_request_free(r);
	end(&s);
}

static void guards_that_the_caller_matched(void)
{
	struct kvbm_immutable im[3];
	struct kvbm_hash h[3], bad[3];
	struct scene s;

	begin(&s, 2 * BS + 1, 4);
	ASSERT_EQ(kvbm_hash_blocks(prompt(), 3 * BS, NULL, 0, BS, 0, h, NULL), 3);
	EXPECT_EQ(kvbm_test_cache(s.m.session, prompt(), 3 * BS, 0), 3);
	ASSERT_EQ(kvbm_match(s.m.session, 3, h, im), 3);
	/* More than there are complete blocks. */
	EXPECT_EQ(kvbm_request_add_matched(s.r, 3, im, h), -ERANGE);
	is_error(kvbm_request_error(s.r), -ERANGE, KVBM_SEQ_TOO_MANY_MATCHED, 3, 2, 0);
	/* Of another sequence. */
	memcpy(bad, h, sizeof(bad));
	bad[1].lo ^= 1;
	EXPECT_EQ(kvbm_request_add_matched(s.r, 2, im, bad), -EILSEQ);
	is_error(kvbm_request_error(s.r), -EILSEQ, KVBM_SEQ_HASH_MISMATCH, 1, 0, 0);
	has(&s, 0, 0, 0);
	EXPECT(!is_empty(im, 1));
	EXPECT_EQ(info(&s).prefix_matched_blocks, 0);
	EXPECT_EQ(kvbm_request_add_matched(s.r, 2, im, h), 0);
	EXPECT(is_empty(im, 2));
	has(&s, 2, 0, 0);
	EXPECT_EQ(info(&s).prefix_matched_blocks, 2);
	EXPECT_EQ(kvbm_release(s.m.session, 1, im + 2), 0);
	end(&s);
}

static void append(void)
{
	struct kvbm_request_info i;
	struct scene s;

	begin(&s, BS + 2, 3);
	EXPECT_EQ(kvbm_request_append_token(s.r, 1), 0);
	EXPECT_EQ(info(&s).complete_blocks, 1);
	EXPECT_EQ(kvbm_request_append_token(s.r, 2), 1);
	i = info(&s);
	EXPECT_EQ(i.complete_blocks, 2);
	EXPECT_EQ(i.generated_tokens, 2);
	EXPECT_EQ(i.remaining_tokens, 1);
	EXPECT_EQ(i.total_tokens, BS + 4);
	EXPECT_EQ(kvbm_request_append_token(s.r, 3), 0);
	EXPECT_EQ(info(&s).remaining_tokens, 0);
	EXPECT_EQ(kvbm_request_append_token(s.r, 4), -EBADFD);
	is_error(kvbm_request_error(s.r), -EBADFD, KVBM_SEQ_GENERATION_COMPLETE, 3, 3, 0);
	EXPECT_EQ(info(&s).total_tokens, BS + 5);
	/* Blocks have nothing to do with it. */
	has(&s, 0, 0, 0);
	end(&s);
	/* Complete from the beginning. */
	begin(&s, BS, 0);
	EXPECT_EQ(info(&s).remaining_tokens, 0);
	EXPECT_EQ(kvbm_request_append_token(s.r, 1), -EBADFD);
	end(&s);
}

/* As the reference means it to be used: when a block is complete, have another. */
static void decode_loop(void)
{
	struct scene s;
	size_t n;
	int ret;

	begin(&s, 6, 11);
	EXPECT_EQ(prefill(&s), 0);
	has(&s, 1, 0, 1);
	for (n = 7; n <= 17; n++) {
		ret = kvbm_request_append_token(s.r, n);
		EXPECT_EQ(ret, n % BS == 0);
		if (ret) {
			EXPECT_EQ(kvbm_request_register_pending(s.r, n, NULL), 1);
			EXPECT_EQ(kvbm_request_allocate(s.r, 1), 0);
		}
		has(&s, n / BS, 0, 1);
	}
	EXPECT_EQ(info(&s).remaining_tokens, 0);
	EXPECT_EQ(cached(&s), 4);
	end(&s);
}

static void stage_then_register(void)
{
	struct scene s;

	begin(&s, 4 * BS, 4);
	EXPECT_EQ(kvbm_request_allocate(s.r, 3), 0);
	EXPECT_EQ(kvbm_request_stage_pending(s.r, KVBM_ALL_TOKENS), 3);
	has(&s, 0, 3, 0);
	EXPECT_EQ(cached(&s), 0);
	EXPECT_EQ(kvbm_request_stage_pending(s.r, KVBM_ALL_TOKENS), 0);
	EXPECT_EQ(kvbm_request_register_staged(s.r), 3);
	has(&s, 3, 0, 0);
	EXPECT_EQ(cached(&s), 3);
	EXPECT_EQ(kvbm_request_allocate(s.r, 1), 0);
	EXPECT_EQ(kvbm_request_register_pending(s.r, KVBM_ALL_TOKENS, NULL), 1);
	EXPECT_EQ(cached(&s), 4);
	end(&s);
}

/* A block whose KV is not there, in part or at all, is not registered. */
static void only_with_kv(void)
{
	struct scene s;

	begin(&s, 4 * BS, 4);
	EXPECT_EQ(kvbm_request_allocate(s.r, 5), 0);
	EXPECT_EQ(kvbm_request_register_pending(s.r, 0, NULL), 0);
	EXPECT_EQ(kvbm_request_register_pending(s.r, BS - 1, NULL), 0);
	EXPECT_EQ(kvbm_request_stage_pending(s.r, 2 * BS - 1), 1);
	has(&s, 0, 1, 4);
	EXPECT_EQ(kvbm_request_register_pending(s.r, 3 * BS + 1, NULL), 3);
	has(&s, 3, 0, 2);
	EXPECT_EQ(cached(&s), 3);
	/* Less than before takes nothing back. */
	EXPECT_EQ(kvbm_request_register_pending(s.r, 0, NULL), 0);
	has(&s, 3, 0, 2);
	end(&s);
}

static void register_and_allocate_next(void)
{
	struct kvbm_mutable more[1];
	struct kvbm_next next = { .count = 1, .out = more };
	struct scene s;

	begin(&s, 2 * BS, 4);
	EXPECT_EQ(kvbm_request_allocate(s.r, 2), 0);
	EXPECT_EQ(kvbm_request_register_pending(s.r, KVBM_ALL_TOKENS, &next), 2);
	EXPECT_EQ(next.allocated, 1);
	EXPECT_EQ(kvbm_release(s.m.session, 1, more), 0);
	end(&s);
}

static void release(void)
{
	struct scene s;

	begin(&s, 2 * BS, 4);
	EXPECT_EQ(prefill(&s), 0);
	EXPECT_EQ(kvbm_request_append_token(s.r, 5), 0);
	EXPECT_EQ(available(&s), 17);
	EXPECT_EQ(kvbm_request_release(s.r), 0);
	EXPECT_EQ(available(&s), 20);
	has(&s, 0, 0, 0);
	/* Tokens and counts stay. */
	EXPECT_EQ(info(&s).total_tokens, 2 * BS + 1);
	EXPECT_EQ(info(&s).generated_tokens, 1);
	EXPECT_EQ(kvbm_request_release(s.r), 0);
	has(&s, 0, 0, 0);
	EXPECT_EQ(cached(&s), 2);
	/* Matching again counts from zero. */
	EXPECT_EQ(kvbm_request_match_prefix(s.r), 2);
	EXPECT_EQ(kvbm_request_release(s.r), 0);
	EXPECT_EQ(info(&s).prefix_matched_blocks, 2);
	EXPECT_EQ(kvbm_request_match_prefix(s.r), 2);
	EXPECT_EQ(info(&s).prefix_matched_blocks, 2);
	end(&s);
}

static void reacquire(void)
{
	struct scene s;
	size_t i;

	begin(&s, 2 * BS + 2, 8);
	EXPECT_EQ(prefill(&s), 0);
	for (i = 0; i < 6; i++)
		EXPECT_EQ(kvbm_request_append_token(s.r, i), i == 1 || i == 5);
	EXPECT_EQ(kvbm_request_release(s.r), 0);
	/* Input and output: four blocks, two of them cached; none to generate into. */
	EXPECT_EQ(kvbm_request_reacquire(s.r), 2);
	has(&s, 2, 0, 2);
	EXPECT_EQ(info(&s).prefix_matched_blocks, 2);
	EXPECT_EQ(info(&s).prefill_tokens, 2 * BS);
	/* What is not computed yet, nobody matches. */
	EXPECT_EQ(cached(&s), 2);
	EXPECT_EQ(kvbm_request_register_pending(s.r, KVBM_ALL_TOKENS, NULL), 2);
	EXPECT_EQ(cached(&s), 4);
	EXPECT_EQ(kvbm_request_release(s.r), 0);
	EXPECT_EQ(kvbm_request_reacquire(s.r), 4);
	has(&s, 4, 0, 0);
	end(&s);
	/* Nothing is cached. */
	begin(&s, 3 * BS + 1, 8);
	EXPECT_EQ(kvbm_request_reacquire(s.r), 0);
	has(&s, 0, 0, 3);
	end(&s);
	/* Nothing to acquire. */
	begin(&s, BS - 1, 8);
	EXPECT_EQ(kvbm_request_reacquire(s.r), 0);
	has(&s, 0, 0, 0);
	end(&s);
}

static void reacquire_too_few_blocks(void)
{
	struct kvbm_mutable m[BLOCKS];
	struct scene s;

	begin(&s, 4 * BS, 8);
	EXPECT_EQ(kvbm_test_cache(s.m.session, prompt(), 2 * BS, 0), 2);
	ASSERT_EQ(kvbm_allocate(s.m.session, BLOCKS - 3, m, NULL, NULL), 0);
	EXPECT_EQ(kvbm_request_reacquire(s.r), -ENOSPC);
	EXPECT_EQ(kvbm_request_error(s.r)->reason, KVBM_SEQ_ALLOCATION_FAILED);
	has(&s, 0, 0, 0);
	EXPECT_EQ(info(&s).prefix_matched_blocks, 0);
	EXPECT_EQ(available(&s), 3);
	EXPECT_EQ(kvbm_release(s.m.session, 1, m), 0);
	EXPECT_EQ(kvbm_request_reacquire(s.r), 2);
	has(&s, 2, 0, 2);
	EXPECT_EQ(kvbm_release(s.m.session, BLOCKS - 3, m), 0);
	end(&s);
}

static void drop_excess(void)
{
	struct scene s;

	begin(&s, 4 * BS, 8);
	EXPECT_EQ(kvbm_request_allocate(s.r, 6), 0);
	EXPECT_EQ(kvbm_request_stage_pending(s.r, BS), 1);
	EXPECT_EQ(kvbm_request_drop_excess(s.r, 5), 0);
	EXPECT_EQ(kvbm_request_drop_excess(s.r, 3), 2);
	has(&s, 0, 1, 3);
	EXPECT_EQ(available(&s), BLOCKS - 4);
	EXPECT_EQ(kvbm_request_drop_excess(s.r, 0), 3);
	has(&s, 0, 1, 0);
	end(&s);
}

static void freeing_releases(void)
{
	struct scene s;

	begin(&s, 3 * BS, 8);
	EXPECT_EQ(prefill(&s), 0);
	EXPECT_EQ(kvbm_request_allocate(s.r, 2), 0);
	EXPECT_EQ(available(&s), BLOCKS - 6);
	kvbm_request_free(s.r);
	EXPECT_EQ(available(&s), BLOCKS);
	close_manager(&s.m);
}

/* More blocks than one call takes. */
static void more_than_a_batch(void)
{
	const size_t n = KVBM_MAX_BATCH + 500;
	uint32_t *tokens = calloc(n, sizeof(*tokens));
	struct kvbm_request_attr attr = {
		.tokens = tokens,
		.nr_tokens = n,
		.max_output_tokens = 4,
	};
	struct kvbm_mutable m[2000];
	struct scene s;

	ASSERT(tokens);
	kvbm_test_tokens(0, n, tokens);
	ASSERT_EQ(kvbm_test_manager_open(&s.m, test_uri(), n + 1000, 1), 0);
	ASSERT_EQ(kvbm_request_alloc(s.m.session, &attr, &s.r), 0);
	free(tokens);
	/* All or none, in two calls. */
	ASSERT_EQ(kvbm_allocate(s.m.session, 1500, m, NULL, NULL), 0);
	EXPECT_EQ(kvbm_request_allocate(s.r, n), -ENOSPC);
	EXPECT_EQ(kvbm_request_reacquire(s.r), -ENOSPC);
	has(&s, 0, 0, 0);
	EXPECT_EQ(available(&s), n - 500);
	ASSERT_EQ(kvbm_release(s.m.session, 1500, m), 0);

	EXPECT_EQ(kvbm_request_match_prefix(s.r), 0);
	EXPECT_EQ(kvbm_request_allocate(s.r, n), 0);
	EXPECT_EQ(kvbm_request_stage_pending(s.r, n), n);
	has(&s, 0, n, 0);
	EXPECT_EQ(kvbm_request_register_staged(s.r), n);
	has(&s, n, 0, 0);
	EXPECT_EQ(kvbm_request_release(s.r), 0);
	EXPECT_EQ(available(&s), n + 1000);
	EXPECT_EQ(kvbm_request_match_prefix(s.r), n);
	EXPECT_EQ(kvbm_request_release(s.r), 0);
	EXPECT_EQ(kvbm_request_reacquire(s.r), n);
	has(&s, n, 0, 0);
	EXPECT_EQ(kvbm_request_release(s.r), 0);
	EXPECT_EQ(kvbm_drain(s.m.session, NULL), 0);
	EXPECT_EQ(kvbm_request_reacquire(s.r), 0);
	has(&s, 0, 0, n);
	EXPECT_EQ(kvbm_request_register_pending(s.r, KVBM_ALL_TOKENS, NULL), n);
	has(&s, n, 0, 0);
	end(&s);
}

static const struct tap_test tests[] = {
	TEST(make),
	TEST(prefilled),
	TEST(too_few_blocks),
	TEST(prefix_is_cached),
	TEST(other_salt_other_blocks),
	TEST(guards_that_the_caller_matched),
	TEST(append),
	TEST(decode_loop),
	TEST(stage_then_register),
	TEST(only_with_kv),
	TEST(register_and_allocate_next),
	TEST(release),
	TEST(reacquire),
	TEST(reacquire_too_few_blocks),
	TEST(drop_excess),
	TEST(freeing_releases),
	TEST(more_than_a_batch),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
