// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What a step costs: calls of the backend, each of which is one system call
 * through the device, and allocations of memory. The linker sends both through
 * here (--wrap).
 */
#include "counted.h"
#include "sched_fixture.h"

static unsigned int calls, allocations, countdown;

/* Call number @countdown from now fails. */
int __wrap_kvbm_conn_call(struct kvbm_conn *conn, uint32_t cmd, void *arg)
{
	calls++;
	if (countdown && !--countdown)
		return -ENOMEM;
	return __real_kvbm_conn_call(conn, cmd, arg);
}

void *__wrap_malloc(size_t size)
{
	allocations++;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	allocations++;
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	allocations++;
	return __real_realloc(p, size);
}

/* Since the last time. */
static unsigned int take(unsigned int *counter)
{
	unsigned int n = *counter;

	*counter = 0;
	return n;
}

/* A manager with other blocks than those of the fixture. */
static void begin_with(struct scene *s, uint32_t blocks, uint32_t block_size,
		       size_t input, size_t max_output)
{
	struct kvbm_sched_attr attr = attr_of(input, max_output);

	ASSERT_EQ(kvbm_test_manager_open(&s->m, test_uri(), blocks, block_size), 0);
	ASSERT_EQ(kvbm_sched_alloc(s->m.session, &attr, &s->s), 0);
}

/*
 * @n steps. None makes more than one call, none makes any that does not fill a block
 * with tokens or with KV. Return: calls.
 */
static unsigned int count_calls(struct scene *s, size_t n, size_t block_size)
{
	struct kvbm_request_info r;
	unsigned int sum = 0, step;
	size_t i;
	int ret;

	kvbm_request_info(kvbm_sched_request(s->s), &r);
	take(&calls);
	for (i = 1; i <= n; i++) {
		ret = decode(s, i);
		EXPECT(ret >= 0);
		step = take(&calls);
		EXPECT(step <= 1);
		if ((r.total_tokens + i) % block_size > 1)
			EXPECT_EQ(step, 0);
		sum += step;
	}
	return sum;
}

static void at_most_one_call_in_a_step(void)
{
	static const uint32_t sizes[] = { 1, 2, 4, 16 };
	unsigned int sum;
	struct scene s;
	size_t input, i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		for (input = 1; input <= 2 * sizes[i] + 1; input++) {
			begin_with(&s, 200, sizes[i], input, 130);
			prefill(&s);
			sum = count_calls(&s, 128, sizes[i]);
			/* One for each block, and one at the beginning. */
			EXPECT(sum <= 128 / sizes[i] + 1);
			EXPECT(sum >= 128 / sizes[i] - 1);
			end(&s);
		}
}

static void after_preemption_too(void)
{
	unsigned int sum;
	struct scene s;
	size_t n;

	for (n = 1; n < 20; n++) {
		begin_with(&s, 200, BS, 9, 200);
		prefill(&s);
		count_calls(&s, n, BS);
		EXPECT_EQ(kvbm_sched_release(s.s), 0);
		/* Match and allocation are one call. */
		take(&calls);
		EXPECT_EQ(kvbm_sched_reacquire(s.s), (9 + n) / BS);
		EXPECT_EQ(take(&calls), 1);
		prefill(&s);
		sum = count_calls(&s, 100, BS);
		EXPECT(sum <= 100 / BS + 1);
		end(&s);
	}
}

/* In a full pool the block ahead of time is not there: steps go on without. */
static void without_a_spare_block(void)
{
	unsigned int sum = 0, step;
	struct kvbm_mutable m[1];
	struct scene s;
	size_t i;

	begin_with(&s, 12, BS, 4, 40);
	prefill(&s);
	for (i = 0; i < 20; i++) {
		kvbm_sched_drop_spare(s.s);
		take(&calls);
		EXPECT(decode(&s, 1) >= 0);
		step = take(&calls);
		EXPECT(step <= 2);
		sum += step;
	}
	/* Twice for each block, since it was taken away each time. */
	EXPECT(sum <= 2 * (20 / BS + 1) + 20 / BS);
	/* And when there is none at all. */
	for (; info(&s).spare_blocks || available(&s);) {
		if (info(&s).spare_blocks)
			kvbm_sched_drop_spare(s.s);
		ASSERT_EQ(kvbm_allocate(s.m.session, 1, m, NULL, NULL), 0);
	}
	for (i = 0; i < BS; i++)
		if (decode(&s, 1) == -ENOSPC)
			break;
	EXPECT(i < BS);
	EXPECT_EQ(kvbm_sched_error(s.s)->reason, KVBM_SEQ_ALLOCATION_FAILED);
	kvbm_sched_free(s.s);
	EXPECT_EQ(kvbm_test_manager_close(&s.m), -EBUSY);
}

static void calls_of_other_steps(void)
{
	static const uint32_t tokens[8];
	struct scene s;

	begin_with(&s, 200, BS, 64, 40);
	take(&calls);
	EXPECT_EQ(kvbm_sched_match_prefix(s.s), 0);
	EXPECT_EQ(take(&calls), 1);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 32), 0);
	EXPECT_EQ(take(&calls), 1);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, NULL), 0);
	EXPECT_EQ(take(&calls), 1);
	prefill(&s);
	take(&calls);
	/* Allocate, register, release. */
	EXPECT_EQ(kvbm_sched_speculative(s.s, 8), 0);
	EXPECT_EQ(take(&calls), 1);
	EXPECT(kvbm_sched_apply_speculative(s.s, tokens, 4) >= 0);
	EXPECT(take(&calls) <= 2);
	EXPECT_EQ(kvbm_sched_release(s.s), 0);
	EXPECT(take(&calls) <= 3);
	end(&s);
}

/* From a refused call to its words there is no call and no allocation either. */
static void refusals_cost_nothing(void)
{
	struct scene s;
	char text[160];

	begin(&s, 8, 8);
	take(&calls);
	take(&allocations);
	EXPECT_EQ(kvbm_sched_decode(s.s), -EBADFD);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 3), -EINVAL);
	EXPECT_EQ(kvbm_sched_apply_decode(s.s, 1), -EBADFD);
	EXPECT(kvbm_seq_error_text(kvbm_sched_error(s.s), text, sizeof(text)) > 0);
	EXPECT_EQ(take(&calls), 0);
	EXPECT_EQ(take(&allocations), 0);
	end(&s);
}

/*
 * A sequence takes its memory when it is made. In process, the engine's tables grow
 * with what a session holds: they have grown before, here.
 */
static void no_allocation_in_a_step(void)
{
	static const uint32_t tokens[64];
	struct kvbm_mutable m[190];
	struct scene s;
	size_t i;

	begin_with(&s, 200, BS, 64, 400);
	ASSERT_EQ(kvbm_allocate(s.m.session, 190, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_release(s.m.session, 190, m), 0);
	take(&allocations);
	EXPECT_EQ(kvbm_sched_match_prefix(s.s), 0);
	EXPECT_EQ(kvbm_sched_prefill(s.s, 32), 0);
	EXPECT_EQ(kvbm_sched_apply_prefill(s.s, NULL), 0);
	prefill(&s);
	/* The only ones may be buffers of the backend in process, for a prefill. */
	if (!is_inproc())
		EXPECT_EQ(allocations, 0);
	take(&allocations);
	for (i = 0; i < 200; i++)
		EXPECT(decode(&s, i) >= 0);
	EXPECT_EQ(take(&allocations), 0);
	for (i = 0; i < 20; i++) {
		EXPECT_EQ(kvbm_sched_speculative(s.s, 6), 0);
		EXPECT(kvbm_sched_apply_speculative(s.s, tokens, i % 6) >= 0);
	}
	EXPECT_EQ(kvbm_sched_append_tokens(s.s, tokens, 10), 0);
	EXPECT_EQ(kvbm_sched_release(s.s), 0);
	EXPECT(kvbm_sched_reacquire(s.s) > 0);
	if (!is_inproc())
		EXPECT_EQ(allocations, 0);
	end(&s);
}

/*
 * Each call that a step makes fails once: the step is refused, nothing has changed,
 * and the next try works. Yields what it returned at last.
 */
#define EACH_CALL(scene, step) ({					\
	unsigned int each_n = 0;					\
	struct view each_before = view_of(scene), each_after;		\
	ssize_t each_ret;						\
									\
	do {								\
		countdown = ++each_n;					\
		each_ret = (step);					\
		countdown = 0;						\
		if (each_ret < 0) {					\
			ASSERT_EQ(each_ret, -ENOMEM);			\
			EXPECT_EQ(kvbm_sched_error((scene)->s)->err, -ENOMEM); \
			each_after = view_of(scene);			\
			EXPECT(same_view(&each_before, &each_after));	\
		}							\
	} while (each_ret < 0);						\
	failed += each_n - 1;						\
	each_ret;							\
})

static void each_call_fails(void)
{
	static const uint32_t tokens[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	unsigned int failed = 0;
	struct scene s;
	size_t i;

	begin_with(&s, 200, BS, 30, 60);
	EXPECT_EQ(kvbm_test_cache(s.m.session, prompt(), 8, 0), 2);
	EXPECT_EQ(EACH_CALL(&s, kvbm_sched_match_prefix(s.s)), 2);
	EACH_CALL(&s, kvbm_sched_prefill(s.s, 22));
	EACH_CALL(&s, kvbm_sched_revert(s.s));
	EACH_CALL(&s, kvbm_sched_prefill(s.s, 22));
	EACH_CALL(&s, kvbm_sched_apply_prefill(s.s, tokens));
	is_at(&s, 31, 30, 30, 7, 1);
	EXPECT(failed >= 5);
	failed = 0;
	for (i = 0; i < 8; i++) {
		kvbm_sched_drop_spare(s.s);
		EACH_CALL(&s, kvbm_sched_decode(s.s));
		EACH_CALL(&s, kvbm_sched_apply_decode(s.s, i));
	}
	EXPECT(failed >= 4);
	is_at(&s, 39, 30, 38, 9, 1);
	failed = 0;
	kvbm_sched_drop_spare(s.s);
	EACH_CALL(&s, kvbm_sched_speculative(s.s, 8));
	/* Registering fails, and all accepted tokens are taken back; releasing may. */
	EXPECT_EQ(EACH_CALL(&s, kvbm_sched_apply_speculative(s.s, tokens, 6)),
		  KVBM_DECODE_BLOCK_COMPLETED);
	EXPECT(failed >= 2);
	EXPECT_EQ(view_of(&s).request.total_tokens, 45);
	EXPECT_EQ(view_of(&s).request.assigned_blocks, 11);
	EXPECT_EQ(memcmp(kvbm_token_seq_tokens_at(kvbm_request_tokens(kvbm_sched_request(s.s)),
						  39, 45), tokens, 6 * sizeof(*tokens)), 0);
	EACH_CALL(&s, kvbm_sched_speculative(s.s, 8));
	EACH_CALL(&s, kvbm_sched_revert(s.s));
	failed = 0;
	EACH_CALL(&s, kvbm_sched_drop_unassigned(s.s, 1));
	/* Here what is released before the failure is gone. */
	EXPECT_EQ(kvbm_sched_release(s.s), 0);
	EXPECT_EQ(EACH_CALL(&s, kvbm_sched_reacquire(s.s)), 11);
	EXPECT(failed >= 2);
	end(&s);
}

static const struct tap_test all[] = {
	TEST(at_most_one_call_in_a_step),
	TEST(after_preemption_too),
	TEST(without_a_spare_block),
	TEST(calls_of_other_steps),
	TEST(refusals_cost_nothing),
	TEST(no_allocation_in_a_step),
	TEST(each_call_fails),
};

int main(void)
{
	return tap_run(all, ARRAY_SIZE(all));
}
