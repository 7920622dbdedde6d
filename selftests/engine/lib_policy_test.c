// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Policies of the inactive pool through libkvbm, on either backend: who may have
 * which, which block goes first, and that both backends agree.
 */
#include "lib_fixture.h"

#define NR_POLICIES	5
#define MAX_BLOCKS	64

static const uint32_t policies[NR_POLICIES] = {
	KVBM_POLICY_FIFO, KVBM_POLICY_LRU, KVBM_POLICY_MULTI_LRU,
	KVBM_POLICY_LINEAGE_TICK, KVBM_POLICY_LINEAGE_FIFO,
};

/**
 * struct pool - what to make
 * @policy: KVBM_POLICY_*
 * @blocks: of the manager
 * @schema: KVBM_SCHEMA_*
 * @sketch: hashes
 * @args: of the policy
 */
struct pool {
	uint32_t policy;
	uint32_t blocks;
	uint32_t schema;
	uint64_t sketch;
	uint32_t args[4];
};

static int pool_try(struct fixture *f, const char *uri, struct pool want)
{
	struct kvbm_registry_create ra;
	struct kvbm_manager_create ma;
	int err;

	memset(f, 0, sizeof(*f));
	ASSERT_EQ(kvbm_open(uri, &f->kvbm), 0);
	unique_name(f->name, "p");
	kvbm_registry_attr_init(&ra, f->name);
	ra.capacity = want.blocks;
	ra.schema = want.schema;
	ra.sketch_capacity = want.sketch;
	ASSERT_EQ(kvbm_create_registry(f->kvbm, &ra, &f->registry), 0);
	kvbm_manager_attr_init(&ma, f->registry, "m", want.blocks);
	ma.policy = want.policy;
	ma.block_size = BLOCK_SIZE;
	memcpy(ma.policy_args, want.args, sizeof(ma.policy_args));
	err = kvbm_create_manager(f->kvbm, &ma, &f->manager);
	if (err)
		return err;
	ASSERT_EQ(kvbm_bind(f->kvbm, f->manager, 0, &f->s), 0);
	return 0;
}

static void pool_open(struct fixture *f, struct pool want)
{
	ASSERT_EQ(pool_try(f, test_uri(), want), 0);
}

/* Every policy has what it needs; so large a sketch that nothing collides. */
static struct pool pool_of(uint32_t policy, uint32_t blocks)
{
	return (struct pool){ .policy = policy, .blocks = blocks, .sketch = 1 << 20 };
}

/* A block of a chain, as numbers: chain * 100 + position. */
static struct kvbm_hash block(uint32_t number)
{
	uint64_t me = (number + 1) * 0x9e3779b97f4a7c15ULL;
	struct kvbm_hash hash;

	ASSERT_EQ(kvbm_plh(me, me - 0x9e3779b97f4a7c15ULL, number % 100, &hash), 0);
	return hash;
}

/* The blocks with these numbers, one after the other; guards in that order. */
static void put_blocks(struct fixture *f, const uint32_t *numbers, size_t n,
		       struct kvbm_immutable *out)
{
	struct kvbm_mutable m;
	struct kvbm_hash h;
	size_t i;

	for (i = 0; i < n; i++) {
		h = block(numbers[i]);
		ASSERT_EQ(kvbm_allocate(f->s, 1, &m, NULL, NULL), 0);
		ASSERT_EQ(kvbm_stage_register(f->s, 1, &m, &h, BLOCK_SIZE, out + i, NULL,
					      NULL), 0);
	}
}

/* The same, and released in that order. */
static void cache_blocks(struct fixture *f, const uint32_t *numbers, size_t n)
{
	struct kvbm_immutable im[MAX_BLOCKS];

	put_blocks(f, numbers, n, im);
	ASSERT_EQ(kvbm_release(f->s, n, im), 0);
}

/* The blocks with these numbers, and no others, go in this order. */
static void expect_victims(struct fixture *f, const uint32_t *numbers, size_t n)
{
	size_t all = kvbm_session_block_count(f->s), evicted, i;
	struct kvbm_hash gone[MAX_BLOCKS], want;
	struct kvbm_mutable m[MAX_BLOCKS];

	ASSERT_EQ(kvbm_allocate(f->s, all, m, gone, &evicted), 0);
	EXPECT_EQ(evicted, n);
	for (i = 0; i < n && i < evicted; i++) {
		want = block(numbers[i]);
		if (memcmp(&gone[i], &want, sizeof(want)))
			tap_fail(__FILE__, __LINE__, "victim %zu is not block %u", i,
				 numbers[i]);
	}
	ASSERT_EQ(kvbm_release(f->s, all, m), 0);
}

#define LIST(...) (const uint32_t[]){ __VA_ARGS__ }, \
		  sizeof((uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t)

/* Who may have which. */

static void all_are_built(void)
{
	struct kvbm_info info;
	struct kvbm *kvbm;

	ASSERT_EQ(kvbm_open(test_uri(), &kvbm), 0);
	ASSERT_EQ(kvbm_info(kvbm, &info), 0);
	EXPECT_EQ(info.out_policies, 0x3f);
	kvbm_close(kvbm);
}

static void expect_policy(struct pool want, uint32_t policy, const uint32_t *args)
{
	struct kvbm_manager_query q;
	struct fixture f;

	pool_open(&f, want);
	EXPECT_EQ(kvbm_session_query(f.s, &q), 0);
	EXPECT_EQ(q.out_policy, policy);
	EXPECT(!memcmp(q.out_policy_args, args, sizeof(q.out_policy_args)));
	tear_down(&f);
}

/* By lineage where hashes have one, by age where not. */
static void defaults(void)
{
	static const uint32_t none[4], thresholds[4] = { 3, 8, 15 }, own[4] = { 2, 6, 10 };
	struct pool opaque = { .blocks = 4, .schema = KVBM_SCHEMA_OPAQUE };
	struct pool custom = pool_of(KVBM_POLICY_MULTI_LRU, 4);
	uint32_t i;

	expect_policy((struct pool){ .blocks = 4 }, KVBM_POLICY_LINEAGE_TICK, none);
	expect_policy(opaque, KVBM_POLICY_LRU, none);
	for (i = 0; i < NR_POLICIES; i++)
		expect_policy(pool_of(policies[i], 4), policies[i],
			      policies[i] == KVBM_POLICY_MULTI_LRU ? thresholds : none);
	memcpy(custom.args, own, sizeof(own));
	expect_policy(custom, KVBM_POLICY_MULTI_LRU, own);
	/* What needs no lineage does without. */
	opaque.sketch = 64;
	opaque.policy = KVBM_POLICY_MULTI_LRU;
	expect_policy(opaque, KVBM_POLICY_MULTI_LRU, thresholds);
	opaque.policy = KVBM_POLICY_FIFO;
	expect_policy(opaque, KVBM_POLICY_FIFO, none);
}

/* A refusal leaves nothing: the registry can go. */
static void expect_refused(struct pool want, int err)
{
	struct kvbm_registry_query q;
	struct fixture f;

	want.blocks = 4;
	EXPECT_EQ(pool_try(&f, test_uri(), want), err);
	EXPECT_EQ(kvbm_query_registry(f.kvbm, f.registry, &q), 0);
	EXPECT_EQ(q.out_managers, 0);
	EXPECT_EQ(q.out_blocks, 0);
	EXPECT_EQ(kvbm_destroy_registry(f.kvbm, f.registry), 0);
	kvbm_close(f.kvbm);
}

static void refusals(void)
{
	static const uint32_t bad[][4] = {
		{ 3, 3, 15 }, { 8, 3, 15 }, { 3, 15, 8 }, { 15, 15, 15 },
		{ 3, 8, 16 }, { 0, 8, 15 }, { 0, 0, 1 }, { 3, 8, 0 }, { 3, 8, 15, 1 },
		{ 1, 2, UINT32_MAX },
	};
	const uint32_t opaque = KVBM_SCHEMA_OPAQUE;
	struct pool want;
	uint32_t i, k;

	/* No lineage in the hashes, no sketch in the registry. */
	expect_refused((struct pool){ .policy = KVBM_POLICY_LINEAGE_TICK,
				      .schema = opaque }, -ENODATA);
	expect_refused((struct pool){ .policy = KVBM_POLICY_LINEAGE_FIFO,
				      .schema = opaque, .sketch = 64 }, -ENODATA);
	expect_refused((struct pool){ .policy = KVBM_POLICY_MULTI_LRU }, -ENODATA);
	expect_refused((struct pool){ .policy = KVBM_POLICY_MULTI_LRU,
				      .schema = opaque }, -ENODATA);
	expect_refused((struct pool){ .policy = KVBM_POLICY_LINEAGE_FIFO + 1 }, -EINVAL);
	want = pool_of(KVBM_POLICY_MULTI_LRU, 4);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		memcpy(want.args, bad[i], sizeof(want.args));
		expect_refused(want, -EINVAL);
	}
	/* The others have no parameters. */
	for (i = 0; i < NR_POLICIES; i++) {
		if (policies[i] == KVBM_POLICY_MULTI_LRU)
			continue;
		for (k = 0; k < 4; k++) {
			want = pool_of(policies[i], 4);
			want.args[k] = 1;
			expect_refused(want, -EINVAL);
		}
	}
}

/* Which block goes first. */

static void expect_order(uint32_t policy, const uint32_t *order)
{
	struct fixture f;

	pool_open(&f, pool_of(policy, 8));
	/* Two chains, head first, and one block between. */
	cache_blocks(&f, LIST(100, 101, 300, 200, 201));
	expect_victims(&f, order, 5);
	tear_down(&f);
}

static void order(void)
{
	expect_order(KVBM_POLICY_FIFO, (uint32_t[]){ 100, 101, 300, 200, 201 });
	expect_order(KVBM_POLICY_LRU, (uint32_t[]){ 100, 101, 300, 200, 201 });
	expect_order(KVBM_POLICY_MULTI_LRU, (uint32_t[]){ 100, 101, 300, 200, 201 });
	expect_order(KVBM_POLICY_LINEAGE_TICK, (uint32_t[]){ 101, 100, 300, 201, 200 });
	expect_order(KVBM_POLICY_LINEAGE_FIFO, (uint32_t[]){ 101, 300, 201, 100, 200 });
}

static void expect_hinted(uint32_t policy, const uint32_t *order)
{
	struct kvbm_hint finished = { .kind = KVBM_HINT_FINISHED };
	struct kvbm_hint resume = { .kind = KVBM_HINT_RETURN, .log2_ms = 4 };
	struct kvbm_immutable im[5];
	struct fixture f;

	pool_open(&f, pool_of(policy, 8));
	put_blocks(&f, LIST(100, 200, 300, 400, 500), im);
	ASSERT_EQ(kvbm_release(f.s, 2, im), 0);
	ASSERT_EQ(kvbm_release_immutable(f.s, 1, im + 2, finished), 0);
	ASSERT_EQ(kvbm_release_immutable(f.s, 1, im + 3, resume), 0);
	ASSERT_EQ(kvbm_release_immutable(f.s, 1, im + 4, finished), 0);
	expect_victims(&f, order, 5);
	tear_down(&f);
}

static void hints(void)
{
	static const uint32_t by_age[] = { 100, 200, 300, 400, 500 };
	static const uint32_t finished_first[] = { 300, 500, 100, 200, 400 };

	expect_hinted(KVBM_POLICY_FIFO, by_age);
	expect_hinted(KVBM_POLICY_LRU, finished_first);
	expect_hinted(KVBM_POLICY_MULTI_LRU, by_age);
	expect_hinted(KVBM_POLICY_LINEAGE_TICK, finished_first);
	expect_hinted(KVBM_POLICY_LINEAGE_FIFO, finished_first);
}

/* A finished branch goes before others, but no block before its descendants. */
static void finished_branch(void)
{
	struct kvbm_hint finished = { .kind = KVBM_HINT_FINISHED };
	struct kvbm_immutable im[5];
	struct fixture f;
	uint32_t k;

	for (k = 3; k < NR_POLICIES; k++) {
		pool_open(&f, pool_of(policies[k], 8));
		put_blocks(&f, LIST(200, 100, 101, 102, 201), im);
		ASSERT_EQ(kvbm_release(f.s, 1, im), 0);
		ASSERT_EQ(kvbm_release_immutable(f.s, 2, im + 1, finished), 0);
		ASSERT_EQ(kvbm_release(f.s, 2, im + 3), 0);
		expect_victims(&f, LIST(102, 101, 100, 201, 200));
		tear_down(&f);
	}
}

static void use(struct fixture *f, uint32_t number, uint32_t times)
{
	struct kvbm_hash h = block(number);
	struct kvbm_immutable im;

	while (times--) {
		ASSERT_EQ(kvbm_match(f->s, 1, &h, &im), 1);
		ASSERT_EQ(kvbm_release(f->s, 1, &im), 0);
	}
}

/* A registration is the first use. */
static void multi_lru_levels(void)
{
	struct pool want = pool_of(KVBM_POLICY_MULTI_LRU, 16);
	struct kvbm_immutable got[3];
	struct kvbm_hash h[3];
	struct fixture f;

	/* Cold to 2 uses, warm to 7, hot to 14, and very hot. */
	pool_open(&f, want);
	cache_blocks(&f, LIST(100, 200, 300, 400, 500, 600));
	use(&f, 100, 14);
	use(&f, 200, 13);
	use(&f, 300, 7);
	use(&f, 400, 6);
	use(&f, 500, 2);
	use(&f, 600, 1);
	/* Blocks of any level are found. */
	h[0] = block(100);
	h[1] = block(300);
	h[2] = block(600);
	ASSERT_EQ(kvbm_match_scattered(f.s, 3, h, got), 3);
	ASSERT_EQ(kvbm_release(f.s, 3, got), 0);
	/* 600 has three uses now, and is warm, after 400 and 500. */
	expect_victims(&f, LIST(400, 500, 600, 200, 300, 100));
	tear_down(&f);

	memcpy(want.args, ((uint32_t[4]){ 2, 4, 8 }), sizeof(want.args));
	pool_open(&f, want);
	cache_blocks(&f, LIST(100, 200, 300, 400, 500));
	use(&f, 100, 7);
	use(&f, 200, 3);
	use(&f, 300, 1);
	use(&f, 500, 2);
	expect_victims(&f, LIST(400, 300, 500, 200, 100));
	tear_down(&f);
}

/* Contract of all policies. */

static void expect_contract(uint32_t policy)
{
	struct kvbm_immutable got[4];
	struct kvbm_mutable m[9];
	struct kvbm_drained drained;
	struct kvbm_hash h[4];
	struct fixture f;

	pool_open(&f, pool_of(policy, 8));
	/* An empty pool gives nothing. */
	EXPECT_EQ(kvbm_drain(f.s, &drained), 0);
	EXPECT_EQ(drained.drained, 0);
	cache_blocks(&f, LIST(100, 200, 300, 400));
	EXPECT_EQ(counters(&f).inactive_pool_size, 4);
	h[0] = block(100);
	h[1] = block(300);
	h[2] = block(700);
	h[3] = block(400);
	/* To look whether a block is there does not change the order. */
	EXPECT_EQ(kvbm_probe(f.s, 4, h), 2);
	/* A match takes hits out up to the first miss, a scan leaves misses out. */
	ASSERT_EQ(kvbm_match(f.s, 4, h, got), 2);
	EXPECT_EQ(counters(&f).inactive_pool_size, 2);
	ASSERT_EQ(kvbm_release(f.s, 2, got), 0);
	ASSERT_EQ(kvbm_scan(f.s, 2, h + 2, got), 1);
	EXPECT(is_empty(got, 1));
	EXPECT_EQ(counters(&f).inactive_pool_size, 3);
	/* More than there is: none, and nothing is evicted. */
	EXPECT_EQ(kvbm_allocate(f.s, 8, m, NULL, NULL), -ENOSPC);
	EXPECT_EQ(counters(&f).inactive_pool_size, 3);
	ASSERT_EQ(kvbm_release(f.s, 2, got), 0);
	/* Not linked to each other, all go by age. */
	expect_victims(&f, LIST(200, 100, 300, 400));
	EXPECT_EQ(counters(&f).inactive_pool_size, 0);
	tear_down(&f);
}

static void contract(void)
{
	uint32_t i;

	for (i = 0; i < NR_POLICIES; i++)
		expect_contract(policies[i]);
}

/* Drained blocks come into the reset pool in the order in which they would go. */
static void drains_in_order(void)
{
	struct kvbm_mutable by_drain[8], by_eviction[8];
	struct kvbm_drained drained;
	struct fixture f;
	uint32_t i, k;

	for (k = 0; k < NR_POLICIES; k++) {
		for (i = 0; i < 2; i++) {
			pool_open(&f, pool_of(policies[k], 6));
			cache_blocks(&f, LIST(100, 101, 300, 102, 200, 201));
			use(&f, 300, 4);
			if (i) {
				ASSERT_EQ(kvbm_drain(f.s, &drained), 0);
				EXPECT_EQ(drained.drained, 6);
			}
			ASSERT_EQ(kvbm_allocate(f.s, 6, i ? by_drain : by_eviction,
						NULL, NULL), 0);
			tear_down(&f);
		}
		for (i = 0; i < 6; i++)
			EXPECT_EQ(by_drain[i].token.id, by_eviction[i].token.id);
	}
}

/* Another hash with the same key is not the block. */
static void same_key_is_not_same_hash(void)
{
	struct kvbm_hash h[2], child;
	struct kvbm_immutable im;
	struct kvbm_mutable m[8];
	struct fixture f;
	uint32_t i, k;

	/* Equal in what a child stores of its parent, and in nothing else. */
	ASSERT_EQ(kvbm_plh(5, 0, 0, &h[0]), 0);
	ASSERT_EQ(kvbm_plh(5 | 1ULL << 60, 0, 0, &h[1]), 0);
	ASSERT_EQ(kvbm_plh(77, 5, 1, &child), 0);
	for (k = 3; k < NR_POLICIES; k++) {
		pool_open(&f, pool_of(policies[k], 8));
		for (i = 0; i < 3; i++) {
			ASSERT_EQ(kvbm_match(f.s, 1, i < 2 ? &h[i] : &child, &im), 0);
			ASSERT_EQ(kvbm_allocate(f.s, 1, m, NULL, NULL), 0);
			ASSERT_EQ(kvbm_stage_register(f.s, 1, m, i < 2 ? &h[i] : &child,
						      BLOCK_SIZE, &im, NULL, NULL), 0);
			ASSERT_EQ(kvbm_release(f.s, 1, &im), 0);
		}
		/* The child first: either may be its parent. */
		ASSERT_EQ(kvbm_allocate(f.s, 6, m, NULL, NULL), 0);
		EXPECT_EQ(m[5].token.id, 2);
		EXPECT_EQ(kvbm_probe(f.s, 1, &h[0]), 1);
		EXPECT_EQ(kvbm_probe(f.s, 1, &h[1]), 1);
		tear_down(&f);
	}
}

/* Both backends: a history of requests, and every answer to it. */

#define REQUESTS	600
#define DEPTH		10

struct request {
	struct kvbm_immutable held[DEPTH];
	size_t n;
};

struct side {
	struct fixture f;
	struct request requests[3];
};

static uint32_t below(uint64_t *seed, uint32_t n)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*seed >> 33) % n;
}

/* What it was told goes to @out: matches, blocks, victims. */
static void serve(struct side *side, struct request *r, uint64_t seed, uint64_t *out)
{
	uint32_t chain = 1 + below(&seed, 8), n = 1 + below(&seed, DEPTH), i;
	struct kvbm_hash h[DEPTH], evicted[DEPTH];
	struct kvbm_mutable fresh[DEPTH];
	struct kvbm_acquired got;

	for (i = 0; i < n; i++)
		h[i] = block(100 * chain + i);
	ASSERT_EQ(kvbm_acquire(side->f.s, h, n, n, r->held, fresh, evicted, &got), 0);
	r->n = n;
	*out++ = got.matched;
	*out++ = got.evicted;
	for (i = 0; i < got.allocated; i++)
		*out++ = fresh[i].token.id;
	for (i = 0; i < got.evicted; i++)
		*out++ = evicted[i].lo;
	ASSERT_EQ(kvbm_stage_register(side->f.s, got.allocated, fresh, h + got.matched,
				      BLOCK_SIZE, r->held + got.matched, NULL, NULL), 0);
}

/* Mostly tail first, now and then finished. */
static void end_request(struct side *side, struct request *r, uint64_t seed)
{
	struct kvbm_hint hint = { .kind = below(&seed, 3) ? KVBM_HINT_NONE :
							    KVBM_HINT_FINISHED };
	bool head_first = !below(&seed, 4);
	uint32_t i;

	for (i = 0; i < r->n; i++)
		ASSERT_EQ(kvbm_release_immutable(side->f.s, 1, &r->held[head_first ? i :
						 r->n - 1 - i], hint), 0);
	r->n = 0;
}

static void compare_backends(uint32_t policy)
{
	struct kvbm_mutable last[2][MAX_BLOCKS];
	uint64_t told[2][3 * DEPTH + 2];
	static struct side sides[2];
	uint64_t seed = policy;
	uint32_t step, k, blocks = 3 * DEPTH + 2;

	memset(sides, 0, sizeof(sides));
	ASSERT_EQ(pool_try(&sides[0].f, test_uri(), pool_of(policy, blocks)), 0);
	ASSERT_EQ(pool_try(&sides[1].f, "inproc:", pool_of(policy, blocks)), 0);
	for (step = 0; step < REQUESTS; step++) {
		below(&seed, 1);
		memset(told, 0, sizeof(told));
		for (k = 0; k < 2; k++) {
			struct request *r = &sides[k].requests[step % 3];

			end_request(&sides[k], r, seed);
			serve(&sides[k], r, seed, told[k]);
		}
		ASSERT(!memcmp(told[0], told[1], sizeof(told[0])));
	}
	for (k = 0; k < 2; k++) {
		for (step = 0; step < 3; step++)
			end_request(&sides[k], &sides[k].requests[step], step);
		EXPECT(counters(&sides[k].f).evictions > REQUESTS / 2);
		/* All that is left, in its order. */
		ASSERT_EQ(kvbm_allocate(sides[k].f.s, blocks, last[k], NULL, NULL), 0);
	}
	for (step = 0; step < blocks; step++)
		EXPECT_EQ(last[0][step].token.id, last[1][step].token.id);
	tear_down(&sides[0].f);
	tear_down(&sides[1].f);
}

static void both_backends(void)
{
	uint32_t i;

	for (i = 0; i < NR_POLICIES; i++)
		compare_backends(policies[i]);
}

static const struct tap_test tests[] = {
	TEST(all_are_built),
	TEST(defaults),
	TEST(refusals),
	TEST(order),
	TEST(hints),
	TEST(finished_branch),
	TEST(multi_lru_levels),
	TEST(contract),
	TEST(drains_in_order),
	TEST(same_key_is_not_same_hash),
	TEST(both_backends),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
