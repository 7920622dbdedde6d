// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Every allocation fails once: the call says so, nothing is changed, nothing is
 * lost (the leak detector looks at the end), and the next try works. In process
 * that goes for the allocations of the engine, too.
 */
#include "sched_fixture.h"

extern bool (*kvbm_alloc_fail)(void);

static unsigned int countdown;

static bool fail_now(void)
{
	return countdown && !--countdown;
}

/* Allocation number @n from now fails; 0: none. */
static void fail_nth(unsigned int n)
{
	countdown = n;
	kvbm_alloc_fail = n ? fail_now : NULL;
}

/*
 * The call, with each of its allocations failing once; it must not be harmed by
 * that. Yields what it returned at last, when it was not refused.
 */
#define EACH(call, unharmed) ({						\
	unsigned int each_n = 0;					\
	ssize_t each_ret;						\
									\
	do {								\
		fail_nth(++each_n);					\
		each_ret = (call);					\
		fail_nth(0);						\
		if (each_ret < 0) {					\
			ASSERT_EQ(each_ret, -ENOMEM);			\
			EXPECT(unharmed);				\
		}							\
	} while (each_ret < 0);						\
	failed += each_n - 1;						\
	each_ret;							\
})

/* Of the running test. */
static unsigned int failed;

static bool is_untouched(struct scene *s, const struct view *before)
{
	struct view after = view_of(s);

	return same_view(before, &after);
}

static void making(void)
{
	static const struct kvbm_mm_run run = { .mm_hash = 1, .offset = 1, .length = 2 };
	struct kvbm_sched_attr attr = attr_of(100, 100);
	struct kvbm_logical_assignments *l = NULL;
	struct kvbm_external_assignments *e = NULL;
	struct kvbm_request *r = NULL;
	struct kvbm_test_manager m;
	struct kvbm_sched *s = NULL;

	open_manager(&m, BLOCKS);
	failed = 0;
	attr.request.runs = &run;
	attr.request.nr_runs = 1;
	EACH(kvbm_sched_alloc(m.session, &attr, &s), !s);
	EXPECT(failed >= 7);
	EACH(kvbm_request_alloc(m.session, &attr.request, &r), !r);
	EACH(kvbm_logical_alloc(m.session, &l), !l);
	EACH(kvbm_external_alloc(0, &e), !e);
	EXPECT(failed >= 16);
	kvbm_external_free(e);
	kvbm_logical_free(l);
	kvbm_request_free(r);
	kvbm_sched_free(s);
	close_manager(&m);
}

static void ids(void)
{
	struct kvbm_external_assignments *e;
	struct kvbm_assignment chain[64];
	uint32_t list[200];
	size_t n;

	failed = 0;
	kvbm_test_tokens(0, 200, list);
	ASSERT_EQ(kvbm_external_alloc(0, &e), 0);
	EACH(kvbm_external_extend_ids(e, list, 3), !kvbm_external_contains(e, 0));
	EACH(kvbm_external_extend_ids(e, list, 200), !kvbm_external_contains(e, 3));
	kvbm_external_unassigned(e, &n);
	EXPECT_EQ(n, 200);
	ASSERT_EQ(kvbm_test_chain(prompt(), 64 * BS, BS, 0, 500, chain), 64);
	EACH(kvbm_external_extend_assigned(e, chain, 64), !kvbm_external_contains(e, 500));
	EXPECT_EQ(kvbm_external_next_position(e), 64);
	EXPECT(failed >= 5);
	kvbm_external_free(e);
}

static void guards(void)
{
	struct kvbm_logical_assignments *l;
	struct kvbm_test_manager m;
	struct kvbm_mutable mut[8];
	struct kvbm_immutable im[8];
	struct kvbm_hash h[16];
	uint64_t change;
	size_t n;

	failed = 0;
	open_manager(&m, 100);
	ASSERT_EQ(kvbm_hash_blocks(prompt(), 16 * BS, NULL, 0, BS, 0, h, NULL), 16);
	ASSERT_EQ(kvbm_logical_alloc(m.session, &l), 0);
	ASSERT_EQ(kvbm_allocate(m.session, 8, mut, NULL, NULL), 0);
	EACH(kvbm_logical_extend_mutable(l, 8, mut), !is_empty(mut, 1));
	change = counters_of(m.session).change;
	EACH(kvbm_logical_allocate(l, 50), counters_of(m.session).change == change);
	kvbm_logical_tokens(l, &n);
	EXPECT_EQ(n, 58);
	EACH(kvbm_logical_reserve(l, 500), true);
	EACH(kvbm_logical_stage(l, 4, h, BS), kvbm_logical_staged_count(l) == 0);
	EACH(kvbm_logical_stage_register(l, 8, h + 4, BS, NULL),
	     kvbm_logical_assigned_count(l) == 0);
	EXPECT_EQ(kvbm_logical_assigned_count(l), 12);
	EXPECT_EQ(kvbm_test_cache(m.session, prompt(), 16 * BS, 0), 16);
	ASSERT_EQ(kvbm_match(m.session, 4, h + 12, im), 4);
	EACH(kvbm_logical_extend_assigned(l, 4, im), !is_empty(im, 1));
	EXPECT_EQ(kvbm_logical_assigned_count(l), 16);
	EXPECT(failed >= 6);
	kvbm_logical_free(l);
	close_manager(&m);
}

static void steps(void)
{
	struct kvbm_sched_attr attr = attr_of(2002, 40);
	static const uint32_t tokens[16];
	struct view before;
	struct scene s;
	uint32_t i;

	failed = 0;
	open_manager(&s.m, 2000);
	ASSERT_EQ(kvbm_sched_alloc(s.m.session, &attr, &s.s), 0);
	EXPECT_EQ(kvbm_test_cache(s.m.session, prompt(), 1000, 0), 250);
	before = view_of(&s);
	EXPECT_EQ(EACH(kvbm_sched_match_prefix(s.s), is_untouched(&s, &before)), 250);
	before = view_of(&s);
	EACH(kvbm_sched_prefill(s.s, 1002), is_untouched(&s, &before));
	before = view_of(&s);
	EACH(kvbm_sched_apply_prefill(s.s, tokens), is_untouched(&s, &before));
	for (i = 0; i < 12; i++) {
		before = view_of(&s);
		EACH(kvbm_sched_decode(s.s), is_untouched(&s, &before));
		before = view_of(&s);
		EACH(kvbm_sched_apply_decode(s.s, i), is_untouched(&s, &before));
	}
	before = view_of(&s);
	EACH(kvbm_sched_speculative(s.s, 9), is_untouched(&s, &before));
	before = view_of(&s);
	EACH(kvbm_sched_apply_speculative(s.s, tokens, 7), is_untouched(&s, &before));
	before = view_of(&s);
	EACH(kvbm_sched_append_tokens(s.s, tokens, 3), is_untouched(&s, &before));
	EACH(kvbm_sched_release(s.s), false);
	before = view_of(&s);
	EXPECT_EQ(EACH(kvbm_sched_reacquire(s.s), is_untouched(&s, &before)), 505);
	/* The library itself allocates nothing here; the engine does, in process. */
	EXPECT(is_inproc() ? failed > 0 : failed == 0);
	end(&s);
}

static const struct tap_test all[] = {
	TEST(making),
	TEST(ids),
	TEST(guards),
	TEST(steps),
};

int main(void)
{
	return tap_run(all, ARRAY_SIZE(all));
}
