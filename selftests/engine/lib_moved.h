/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * For tests of what a call makes of the counters and of the slots, through the
 * public interface alone.
 */
#ifndef KVBM_LIB_MOVED_H
#define KVBM_LIB_MOVED_H

#include "lib_fixture.h"

/*
 * What the counters must have moved by since @before, which then is what they
 * are now; 0 for all not named.
 */
#define EXPECT_MOVED(f, before, ...) do {				\
	struct kvbm_counters now_ = counters(f);			\
	struct kvbm_counters by_ = { __VA_ARGS__ };			\
	expect_moved(&now_, &(before), &by_, __LINE__);			\
	(before) = now_;						\
} while (0)

/* The counters and gauges that kvbm-logical has; all of them are __u64. */
#define NR_COMPARED	(offsetof(struct kvbm_counters, states) / sizeof(__u64))

static inline void expect_moved(const struct kvbm_counters *now,
				const struct kvbm_counters *before,
				const struct kvbm_counters *by, int line)
{
	const __u64 *n = (const __u64 *)now, *b = (const __u64 *)before;
	const __u64 *m = (const __u64 *)by;
	size_t i;

	for (i = 0; i < NR_COMPARED; i++)
		if (n[i] - b[i] != m[i])
			tap_fail(__FILE__, line, "counter %zu moved by %lld, not %lld", i,
				 (long long)(n[i] - b[i]), (long long)m[i]);
}

static inline struct kvbm_slot_info slot_of(struct fixture *f, uint32_t id)
{
	struct kvbm_slot_info slot = { 0 };

	EXPECT_EQ(kvbm_session_dump(f->s, id, 1, &slot), 1);
	return slot;
}

static inline uint32_t state_of(struct fixture *f, uint32_t id)
{
	return slot_of(f, id).state;
}

static inline bool is_present(struct fixture *f, const struct kvbm_hash *hash)
{
	uint64_t mask = 0;

	EXPECT_EQ(kvbm_presence(f->kvbm, f->registry, 1, hash, 1, &f->manager, &mask), 0);
	return mask;
}

static inline uint64_t entries(struct fixture *f)
{
	struct kvbm_registry_query q = { 0 };

	EXPECT_EQ(kvbm_query_registry(f->kvbm, f->registry, &q), 0);
	return q.out_entries;
}

static inline bool same_block(struct kvbm_token a, struct kvbm_token b)
{
	return a.id == b.id && a.gen == b.gen;
}

/* Policies of the inactive pool. */

#define NR_POLICIES	5

static const uint32_t policies[NR_POLICIES] = {
	KVBM_POLICY_FIFO, KVBM_POLICY_LRU, KVBM_POLICY_MULTI_LRU,
	KVBM_POLICY_LINEAGE_TICK, KVBM_POLICY_LINEAGE_FIFO,
};

/* With a sketch so large that nothing collides, for any policy. */
static inline void set_up_policy(struct fixture *f, uint32_t blocks, uint32_t policy)
{
	struct kvbm_registry_create ra;
	struct kvbm_manager_create ma;

	memset(f, 0, sizeof(*f));
	ASSERT_EQ(kvbm_open(test_uri(), &f->kvbm), 0);
	unique_name(f->name, "p");
	kvbm_registry_attr_init(&ra, f->name);
	ra.capacity = blocks;
	ra.sketch_capacity = 1 << 16;
	ASSERT_EQ(kvbm_create_registry(f->kvbm, &ra, &f->registry), 0);
	kvbm_manager_attr_init(&ma, f->registry, "m", blocks);
	ma.block_size = BLOCK_SIZE;
	ma.policy = policy;
	ASSERT_EQ(kvbm_create_manager(f->kvbm, &ma, &f->manager), 0);
	ASSERT_EQ(kvbm_bind(f->kvbm, f->manager, 0, &f->s), 0);
}

/* Run @test for each of them. */
static inline void with_each_policy(void (*test)(uint32_t policy))
{
	uint32_t i;
	int failures;

	for (i = 0; i < NR_POLICIES; i++) {
		failures = tap_failures;
		test(policies[i]);
		if (tap_failures != failures)
			printf("# with %s\n", kvbm_policy_name(policies[i]));
	}
}

#endif /* KVBM_LIB_MOVED_H */
