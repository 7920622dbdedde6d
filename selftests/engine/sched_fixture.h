/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * A sequence that is scheduled, in a manager of its own.
 */
#ifndef KVBM_SCHED_FIXTURE_H
#define KVBM_SCHED_FIXTURE_H

#include "seq_fixture.h"

#define BLOCKS	20

struct scene {
	struct kvbm_test_manager m;
	struct kvbm_sched *s;
};

static inline struct kvbm_sched_attr attr_of(size_t input, size_t max_output)
{
	return (struct kvbm_sched_attr){
		.request = {
			.tokens = prompt(),
			.nr_tokens = input,
			.max_output_tokens = max_output,
		},
	};
}

static inline void begin(struct scene *s, size_t input, size_t max_output)
{
	struct kvbm_sched_attr attr = attr_of(input, max_output);

	open_manager(&s->m, BLOCKS);
	ASSERT_EQ(kvbm_sched_alloc(s->m.session, &attr, &s->s), 0);
}

static inline void end(struct scene *s)
{
	kvbm_sched_free(s->s);
	close_manager(&s->m);
}

/* All that can be seen of a sequence, and of its blocks. */
struct view {
	struct kvbm_sched_info sched;
	struct kvbm_request_info request;
	uint32_t ids[64];
	size_t nr_ids;
	uint64_t change;
};

static inline struct view view_of(const struct scene *s)
{
	struct view v;

	memset(&v, 0, sizeof(v));
	kvbm_sched_info(s->s, &v.sched);
	kvbm_request_info(kvbm_sched_request(s->s), &v.request);
	v.nr_ids = kvbm_sched_block_ids(s->s, 0, ARRAY_SIZE(v.ids), v.ids);
	v.change = counters_of(s->m.session).change;
	return v;
}

static inline bool same_view(const struct view *a, const struct view *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/*
 * A row of a trace: tokens, tokens prefilled, tokens with KV, blocks assigned and
 * unassigned. Those without KV, and that nothing is ever staged, follow.
 */
static inline bool is_at(const struct scene *s, size_t total, size_t prefilled,
			 size_t kv, size_t assigned, size_t unassigned)
{
	struct view v = view_of(s);

	return EXPECT_EQ(v.request.total_tokens, total) &
	       EXPECT_EQ(v.sched.prefill_position, prefilled) &
	       EXPECT_EQ(v.sched.kv_tokens, kv) &
	       EXPECT_EQ(v.sched.dangling_tokens, total - kv) &
	       EXPECT_EQ(v.request.assigned_blocks, assigned) &
	       EXPECT_EQ(v.request.unassigned_blocks, unassigned) &
	       EXPECT_EQ(v.request.staged_blocks, 0) &
	       EXPECT_EQ(v.nr_ids, assigned + unassigned) &
	       /* Whoever matches a block can read it. */
	       EXPECT(assigned * BS <= kv);
}

static inline struct kvbm_sched_info info(const struct scene *s)
{
	return view_of(s).sched;
}

/* Refused for that reason, and nothing has changed. */
#define REFUSED(scene, call, error, why, a, b, c) ({			\
	struct view v_before = view_of(scene), v_after;			\
									\
	EXPECT_EQ(call, error);						\
	is_error(kvbm_sched_error((scene)->s), error, KVBM_SEQ_##why, a, b, c); \
	v_after = view_of(scene);					\
	EXPECT(same_view(&v_before, &v_after));				\
})

static inline ssize_t available(const struct scene *s)
{
	return kvbm_test_available(s->m.session);
}

/* Complete blocks that others could match. */
static inline ssize_t cached(const struct scene *s)
{
	const struct kvbm_hash *h;
	size_t n;

	h = kvbm_token_seq_hashes(kvbm_request_tokens(kvbm_sched_request(s->s)), &n);
	return kvbm_probe(s->m.session, n, h);
}

/* Prefill what is left in one chunk, with a first token if there is one to come. */
static inline void prefill(struct scene *s)
{
	const uint32_t token = 7;
	struct view v = view_of(s);

	ASSERT_EQ(kvbm_sched_prefill(s->s, v.sched.prefill_end - v.sched.prefill_position), 0);
	ASSERT_EQ(kvbm_sched_apply_prefill(s->s, v.request.remaining_tokens ? &token : NULL), 0);
}

static inline int decode(struct scene *s, uint32_t token)
{
	int err = kvbm_sched_decode(s->s);

	return err ? err : kvbm_sched_apply_decode(s->s, token);
}

#endif /* KVBM_SCHED_FIXTURE_H */
