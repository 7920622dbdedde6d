// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The policies of the inactive pool, each by itself: which block goes first,
 * and what an operation may cost.
 */
#include "fixture.h"
#include "lineage_model.h"

#define NONE ((struct kvbm_release_hint){ .kind = KVBM_HINT_NONE })
#define FINISHED ((struct kvbm_release_hint){ .kind = KVBM_HINT_FINISHED })

/* A pool without a store around it. */
struct pool {
	struct kvbm_slot *slots;
	u32 count;
	struct kvbm_evictor *evictor;
	bool *in;
	u64 most_visits;
};

static u32 uses_of_hash(void *arg, const struct kvbm_hash *hash)
{
	const u32 *uses = arg;

	return uses ? uses[hash->lo & 0xff] : 0;
}

static void pool_open_with(struct pool *p, u32 policy, u32 count, u32 *args,
			   u32 *uses)
{
	struct kvbm_eviction_config config = {
		.block_count = count,
		.frequency = uses_of_hash,
		.frequency_arg = uses,
	};
	const struct kvbm_eviction_ops *ops = kvbm_eviction_find(policy);

	ASSERT(ops);
	*p = (struct pool){ .count = count };
	p->slots = kvbm_alloc(count, sizeof(*p->slots));
	p->in = calloc(count, sizeof(*p->in));
	config.slots = p->slots;
	if (args)
		memcpy(config.args, args, sizeof(config.args));
	ASSERT_EQ(ops->check_args(config.args), 0);
	ASSERT_EQ(ops->create(&config, &p->evictor), 0);
	p->evictor->ops = ops;
	p->evictor->slots = p->slots;
	p->evictor->block_count = count;
}

static void pool_open(struct pool *p, u32 policy, u32 count)
{
	pool_open_with(p, policy, count, NULL, NULL);
}

static void pool_close(struct pool *p)
{
	p->evictor->ops->destroy(p->evictor);
	kvbm_free(p->slots);
	free(p->in);
}

static void count_visits(struct pool *p)
{
	p->most_visits = max(p->most_visits, p->evictor->visits);
	p->evictor->visits = 0;
}

static void put_hint(struct pool *p, u32 id, struct kvbm_hash hash,
		     struct kvbm_release_hint hint)
{
	p->slots[id].hash = hash;
	p->in[id] = true;
	kvbm_evictor_insert(p->evictor, id, hint);
	count_visits(p);
}

static void put(struct pool *p, u32 id, struct kvbm_hash hash)
{
	put_hint(p, id, hash, NONE);
}

static void withdraw(struct pool *p, u32 id)
{
	p->in[id] = false;
	kvbm_evictor_remove(p->evictor, id);
	count_visits(p);
}

static u32 next(struct pool *p)
{
	return p->evictor->ops->next(p->evictor);
}

static u32 evict(struct pool *p)
{
	u32 id = next(p);

	if (id != KVBM_NIL)
		withdraw(p, id);
	return id;
}

static void expect_linked(struct pool *p)
{
	u32 id;

	for (id = 0; id < p->count; id++)
		if (p->in[id])
			ASSERT(p->evictor->ops->linked(p->evictor, id));
}

static struct kvbm_hash plh(u64 current, u64 parent, u32 position)
{
	struct kvbm_hash hash;

	ASSERT_EQ(kvbm_plh(current, parent, position, &hash), 0);
	return hash;
}

/* The block of a chain at a position. */
static struct kvbm_hash link_of(u64 chain, u32 position)
{
	u64 me = (chain * 0x100000001b3ULL + position) * 0x9e3779b97f4a7c15ULL;
	u64 parent = (chain * 0x100000001b3ULL + position - 1) * 0x9e3779b97f4a7c15ULL;

	return plh(me, position ? parent : 0, position);
}

static void expect_order(struct pool *p, const char *order)
{
	for (; *order; order++)
		if (!EXPECT_EQ(evict(p), *order - '0'))
			return;
	EXPECT_EQ(next(p), KVBM_NIL);
}

static void oldest_first(u32 policy)
{
	struct pool p;
	u32 i;

	pool_open(&p, policy, 8);
	EXPECT_EQ(next(&p), KVBM_NIL);
	for (i = 0; i < 5; i++)
		put(&p, i, hash_of(i));
	/* A match and its release: to the back. */
	withdraw(&p, 1);
	put(&p, 1, hash_of(1));
	expect_linked(&p);
	expect_order(&p, "02341");
	pool_close(&p);
}

static void fifo_oldest_first(void)
{
	oldest_first(KVBM_POLICY_FIFO);
}

static void lru_oldest_first(void)
{
	oldest_first(KVBM_POLICY_LRU);
}

static void multi_lru_oldest_first_in_a_level(void)
{
	oldest_first(KVBM_POLICY_MULTI_LRU);
}

static void finished(u32 policy, const char *order)
{
	struct pool p;

	pool_open(&p, policy, 8);
	put(&p, 0, link_of(0, 0));
	put(&p, 1, link_of(1, 0));
	put_hint(&p, 2, link_of(2, 0), FINISHED);
	put(&p, 3, link_of(3, 0));
	put_hint(&p, 4, link_of(4, 0), FINISHED);
	expect_linked(&p);
	expect_order(&p, order);
	pool_close(&p);
}

static void fifo_ignores_hints(void)
{
	finished(KVBM_POLICY_FIFO, "01234");
}

static void multi_lru_ignores_hints(void)
{
	finished(KVBM_POLICY_MULTI_LRU, "01234");
}

static void lru_finished_first(void)
{
	finished(KVBM_POLICY_LRU, "24013");
}

static void tick_finished_first(void)
{
	finished(KVBM_POLICY_LINEAGE_TICK, "24013");
}

static void lineage_fifo_finished_first(void)
{
	finished(KVBM_POLICY_LINEAGE_FIFO, "24013");
}

/* Whatever comes and goes between, the rest keep their order. */
static void interleaved(u32 policy)
{
	struct pool p;
	u32 i;

	pool_open(&p, policy, 8);
	for (i = 1; i <= 3; i++)
		put(&p, i, link_of(i, 0));
	EXPECT_EQ(evict(&p), 1);
	put(&p, 4, link_of(4, 0));
	withdraw(&p, 3);
	put(&p, 5, link_of(5, 0));
	expect_linked(&p);
	EXPECT_EQ(p.evictor->count, 3);
	expect_order(&p, "245");
	EXPECT_EQ(p.evictor->count, 0);
	pool_close(&p);
}

static void all_interleaved(void)
{
	u32 policy;

	for (policy = KVBM_POLICY_FIFO; policy <= KVBM_POLICY_LINEAGE_FIFO; policy++)
		interleaved(policy);
}

static void multi_lru_levels(void)
{
	/* By the last byte of the hash. */
	u32 uses[256] = { [0] = 15, [1] = 14, [2] = 8, [3] = 7, [4] = 3, [5] = 2, [6] = 0 };
	struct pool p;
	u32 i;

	pool_open_with(&p, KVBM_POLICY_MULTI_LRU, 16, NULL, uses);
	for (i = 0; i < 7; i++)
		put(&p, i, (struct kvbm_hash){ .lo = i });
	/* A second one in each level: after the first. */
	put(&p, 7, (struct kvbm_hash){ .lo = 0x100 });
	put(&p, 8, (struct kvbm_hash){ .lo = 0x106 });
	/* Levelled when it was released, whatever came after. */
	uses[5] = 15;
	uses[0] = 0;
	expect_linked(&p);
	expect_order(&p, "568341207");
	pool_close(&p);
}

static void multi_lru_thresholds(void)
{
	static const struct {
		u32 args[4];
		int err;
	} v[] = {
		{ { 0, 0, 0, 0 }, 0 },
		{ { 3, 8, 15, 0 }, 0 },
		{ { 1, 2, 3, 0 }, 0 },
		{ { 13, 14, 15, 0 }, 0 },
		{ { 3, 8, 16, 0 }, -EINVAL },
		{ { 0, 8, 15, 0 }, -EINVAL },
		{ { 3, 3, 15, 0 }, -EINVAL },
		{ { 3, 15, 15, 0 }, -EINVAL },
		{ { 8, 3, 15, 0 }, -EINVAL },
		{ { 3, 15, 8, 0 }, -EINVAL },
		{ { 0, 0, 15, 0 }, -EINVAL },
		{ { 3, 8, 15, 1 }, -EINVAL },
	};
	u32 uses[256] = { [0] = 2, [1] = 4, [2] = 6, [3] = 1 };
	u32 custom[4] = { 2, 4, 6 };
	struct pool p;
	u32 i, args[4];

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		memcpy(args, v[i].args, sizeof(args));
		EXPECT_EQ(kvbm_eviction_find(KVBM_POLICY_MULTI_LRU)->check_args(args),
			  v[i].err);
	}
	memset(args, 0, sizeof(args));
	kvbm_eviction_find(KVBM_POLICY_MULTI_LRU)->check_args(args);
	EXPECT(args[0] == 3 && args[1] == 8 && args[2] == 15 && !args[3]);

	pool_open_with(&p, KVBM_POLICY_MULTI_LRU, 8, custom, uses);
	for (i = 0; i < 4; i++)
		put(&p, i, (struct kvbm_hash){ .lo = i });
	expect_order(&p, "3012");
	pool_close(&p);
}

/* All blocks in one level, as many as there are. */
static void multi_lru_one_level_holds_all(void)
{
	struct pool p;
	u32 i;

	pool_open(&p, KVBM_POLICY_MULTI_LRU, 64);
	for (i = 0; i < 64; i++)
		put(&p, i, hash_of(i));
	for (i = 0; i < 64; i++)
		EXPECT_EQ(evict(&p), i);
	pool_close(&p);
}

/* Two chains, A to B and X to Y, released in the order A B X Y. */
static void two_chains(u32 policy, const char *order)
{
	struct pool p;

	pool_open(&p, policy, 8);
	put(&p, 0, link_of(0, 0));
	put(&p, 1, link_of(0, 1));
	put(&p, 2, link_of(1, 0));
	put(&p, 3, link_of(1, 1));
	expect_linked(&p);
	expect_order(&p, order);
	pool_close(&p);
}

static void tick_two_chains(void)
{
	two_chains(KVBM_POLICY_LINEAGE_TICK, "1032");
}

static void lineage_fifo_two_chains(void)
{
	two_chains(KVBM_POLICY_LINEAGE_FIFO, "1302");
}

static const u32 lineage_policies[] = {
	KVBM_POLICY_LINEAGE_TICK, KVBM_POLICY_LINEAGE_FIFO,
};

/* Tail first, head first, and across the positions where the mode changes. */
static void lineage_long_chain(u32 policy, u32 from, u32 n, bool tail_first)
{
	struct pool p;
	u32 i;

	pool_open(&p, policy, n);
	for (i = 0; i < n; i++) {
		u32 at = tail_first ? n - 1 - i : i;

		put(&p, at, link_of(1, from + at));
	}
	expect_linked(&p);
	for (i = n; i--; )
		ASSERT_EQ(evict(&p), i);
	EXPECT_EQ(next(&p), KVBM_NIL);
	pool_close(&p);
}

static void lineage_chains(void)
{
	static const u32 starts[] = { 0, 1, 250, 65530, (1 << 24) - 12 };
	u32 i, k;

	for (k = 0; k < 2; k++) {
		for (i = 0; i < ARRAY_SIZE(starts); i++) {
			lineage_long_chain(lineage_policies[k], starts[i], 12, true);
			lineage_long_chain(lineage_policies[k], starts[i], 12, false);
		}
		lineage_long_chain(lineage_policies[k], 0, 70000, true);
		lineage_long_chain(lineage_policies[k], 0, 70000, false);
	}
}

/* The parent comes after its child: a ghost until then. */
static void lineage_child_before_parent(void)
{
	struct pool p;
	u32 k;

	for (k = 0; k < 2; k++) {
		pool_open(&p, lineage_policies[k], 8);
		put(&p, 2, link_of(0, 2));
		put(&p, 0, link_of(0, 0));
		EXPECT_EQ(p.evictor->count, 2);
		/* Not linked over the ghost of 1: nobody knows whose child that is. */
		put(&p, 1, link_of(0, 1));
		expect_linked(&p);
		EXPECT_EQ(p.slots[2].parent, p.slots[1].node);
		EXPECT_EQ(p.slots[1].parent, p.slots[0].node);
		expect_order(&p, "210");
		pool_close(&p);
	}
}

/* A parent goes when the last of its branches is gone, and not before. */
static void lineage_branches(u32 policy, const char *order)
{
	struct pool p;

	pool_open(&p, policy, 8);
	put(&p, 0, plh(100, 0, 0));
	put(&p, 1, plh(101, 100, 1));
	put(&p, 2, plh(102, 100, 1));
	put(&p, 3, plh(103, 101, 2));
	put(&p, 4, plh(200, 0, 0));
	expect_linked(&p);
	EXPECT_EQ(p.slots[1].parent, p.slots[2].parent);
	expect_order(&p, order);
	pool_close(&p);
}

static void tick_branches(void)
{
	/* 1 has its place back when 3 is gone; so has 0. */
	lineage_branches(KVBM_POLICY_LINEAGE_TICK, "23104");
}

static void lineage_fifo_branches(void)
{
	/* To the end of those that are leaves. */
	lineage_branches(KVBM_POLICY_LINEAGE_FIFO, "23410");
}

/* A lone block deep in a chain whose other blocks left: no ghost outlives it. */
static void lineage_lone_leaf(void)
{
	const u32 n = 1000, deep = 101;
	struct pool p;
	u32 i, k;

	for (k = 0; k < 2; k++) {
		pool_open(&p, lineage_policies[k], n);
		for (i = 0; i < n; i++)
			put(&p, i, link_of(0, i));
		for (i = n; i--; )
			if (i != deep)
				withdraw(&p, i);
		expect_linked(&p);
		EXPECT_EQ(p.evictor->count, 1);
		EXPECT_EQ(evict(&p), deep);
		EXPECT_EQ(next(&p), KVBM_NIL);
		/* Nor are they missed: the pool is full of others, and all go. */
		for (i = 0; i < n; i++)
			put(&p, i, link_of(1, n - i));
		expect_linked(&p);
		for (i = 0; i < n; i++)
			ASSERT_EQ(evict(&p), i);
		EXPECT_EQ(next(&p), KVBM_NIL);

		/* The head of the chain stays, too: it is a leaf when they are gone. */
		for (i = 0; i < n - 1; i++)
			put(&p, i, link_of(0, i));
		for (i = n - 1; --i; )
			if (i != deep)
				withdraw(&p, i);
		put(&p, n - 1, link_of(1, 0));
		EXPECT_EQ(evict(&p), deep);
		/* They go a few at a time. */
		put(&p, 1, link_of(2, 0));
		withdraw(&p, 1);
		EXPECT_EQ(evict(&p), k ? n - 1 : 0);
		EXPECT_EQ(evict(&p), k ? 0 : n - 1);
		EXPECT_EQ(next(&p), KVBM_NIL);
		pool_close(&p);
	}
}

/* Two halves of a sequence, the second one still held, then released. */
static void lineage_split_sequence(void)
{
	struct pool p;
	u32 i, k;

	for (k = 0; k < 2; k++) {
		pool_open(&p, lineage_policies[k], 8);
		for (i = 0; i < 4; i++)
			put(&p, i, link_of(0, i));
		/* Nothing that descends from 3 is in the pool. */
		EXPECT_EQ(next(&p), 3);
		for (i = 4; i < 8; i++)
			put(&p, i, link_of(0, i));
		expect_linked(&p);
		expect_order(&p, "76543210");
		pool_close(&p);
	}
}

/* Groups are used again, and a slot that has another tenant is as new. */
static void lineage_recycles(void)
{
	struct pool p;
	u32 round, i, k;

	for (k = 0; k < 2; k++) {
		pool_open(&p, lineage_policies[k], 4);
		for (round = 0; round < 100; round++) {
			for (i = 0; i < 4; i++)
				put(&p, i, link_of(round, round % 7 + i));
			expect_linked(&p);
			for (i = 4; i--; )
				ASSERT_EQ(evict(&p), i);
		}
		EXPECT_EQ(next(&p), KVBM_NIL);
		/* In the place of one that went first, the last to go. */
		put(&p, 0, link_of(1, 0));
		put(&p, 1, link_of(2, 0));
		withdraw(&p, 0);
		put(&p, 0, link_of(3, 0));
		expect_order(&p, "10");
		pool_close(&p);
	}
}

/* A block in the middle is used again and comes back: its ghost kept its place. */
static void lineage_middle_leaves_and_returns(void)
{
	struct pool p;
	u32 k;

	for (k = 0; k < 2; k++) {
		pool_open(&p, lineage_policies[k], 8);
		put(&p, 2, link_of(0, 2));
		put(&p, 1, link_of(0, 1));
		put(&p, 0, link_of(0, 0));
		withdraw(&p, 1);
		/* The ghost still keeps 0 from being a leaf. */
		EXPECT_EQ(next(&p), 2);
		put(&p, 1, link_of(0, 1));
		expect_linked(&p);
		expect_order(&p, "210");
		pool_close(&p);
	}
}

/* An Active child protects nobody: it is not in the pool. */
static void lineage_active_child_does_not_protect(void)
{
	struct pool p;

	pool_open(&p, KVBM_POLICY_LINEAGE_TICK, 8);
	put(&p, 1, link_of(0, 1));
	put(&p, 0, link_of(0, 0));
	withdraw(&p, 1);
	EXPECT_EQ(next(&p), 0);
	pool_close(&p);
}

/* Random histories: the same victim as the model, after every step. */
static void follow_model(u32 policy, u64 seed)
{
	enum { BLOCKS = 48, CHAINS = 5, DEPTH = 14, STEPS = 4000 };
	static struct lineage_model m;
	struct kvbm_hash hashes[CHAINS * DEPTH];
	int where[CHAINS * DEPTH];
	struct pool p;
	u32 step, i, h, id, in = 0;
	u64 x = seed;

	memset(&m, 0, sizeof(m));
	m.by_tick = policy == KVBM_POLICY_LINEAGE_TICK;
	/* Chains share their starts, of different lengths; around a boundary. */
	for (i = 0; i < CHAINS * DEPTH; i++) {
		u32 chain = i / DEPTH, d = i % DEPTH, base = seed % 2 ? 0 : 250;
		u64 own = d < 3 * chain ? 0 : chain, up = d <= 3 * chain ? 0 : chain;
		u64 me = ((own << 32) + d + 1) * 0x9e3779b97f4a7c15ULL;
		u64 parent = ((up << 32) + d) * 0x9e3779b97f4a7c15ULL;

		hashes[i] = plh(me, base + d ? parent : 0, base + d);
		where[i] = -1;
	}
	pool_open(&p, policy, BLOCKS);
	for (step = 0; step < STEPS; step++) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		h = (x >> 33) % (CHAINS * DEPTH);
		/* The same block of another chain. */
		for (i = 0; i < h; i++)
			if (kvbm_hash_equal(&hashes[i], &hashes[h]))
				h = i;
		if (where[h] >= 0) {
			withdraw(&p, where[h]);
			model_remove(&m, &hashes[h]);
			where[h] = -1;
			in--;
		} else if (in < BLOCKS && (x >> 20) % 4) {
			bool done = (x >> 24) % 4 == 0;

			for (id = 0; p.in[id]; id++)
				;
			put_hint(&p, id, hashes[h], done ? FINISHED : NONE);
			model_insert(&m, id, &hashes[h], done);
			where[h] = id;
			in++;
		} else if (in) {
			id = next(&p);
			for (h = 0; where[h] != (int)id; h++)
				;
			withdraw(&p, id);
			model_remove(&m, &hashes[h]);
			where[h] = -1;
			in--;
		}
		/* The model has no bound on ghosts; here it is never reached. */
		ASSERT(m.ghosts < BLOCKS);
		if (!EXPECT_EQ(next(&p), model_next(&m))) {
			printf("# seed %llu, step %u\n", (unsigned long long)seed, step);
			break;
		}
		expect_linked(&p);
	}
	while (in--) {
		id = next(&p);
		ASSERT_EQ(id, model_next(&m));
		model_remove(&m, &p.slots[id].hash);
		withdraw(&p, id);
	}
	pool_close(&p);
}

static void tick_follows_model(void)
{
	u64 seed;

	for (seed = 1; seed <= 20; seed++)
		follow_model(KVBM_POLICY_LINEAGE_TICK, seed);
}

static void lineage_fifo_follows_model(void)
{
	u64 seed;

	for (seed = 1; seed <= 20; seed++)
		follow_model(KVBM_POLICY_LINEAGE_FIFO, seed);
}

/* Different blocks that a child cannot tell apart: a panic in kvbm-logical. */
static void lineage_equal_keys(void)
{
	const u64 low = 0x1234567;
	struct pool p;
	u32 k;

	for (k = 0; k < 2; k++) {
		pool_open(&p, lineage_policies[k], 8);
		/* Three parents with equal low bits, and two children. */
		put(&p, 0, plh(low | 1ULL << 60, 0, 0));
		put(&p, 1, plh(low | 2ULL << 60, 0, 0));
		put(&p, 3, plh(77, low, 1));
		put(&p, 2, plh(low | 3ULL << 60, 0, 0));
		put(&p, 4, plh(78, low, 1));
		expect_linked(&p);
		/* All three are kept as long as there is a child. */
		EXPECT_EQ(evict(&p), 3);
		withdraw(&p, 1);
		expect_linked(&p);
		EXPECT_EQ(evict(&p), 4);
		put(&p, 1, plh(low | 2ULL << 60, 0, 0));
		expect_order(&p, "021");
		pool_close(&p);
	}
}

/* The same key, different parents: each block hangs on its own. */
static void lineage_equal_keys_different_parents(void)
{
	struct pool p;

	pool_open(&p, KVBM_POLICY_LINEAGE_TICK, 8);
	put(&p, 0, plh(100, 0, 0));
	put(&p, 1, plh(200, 0, 0));
	put(&p, 2, plh(5, 100, 1));
	withdraw(&p, 2);
	EXPECT_EQ(next(&p), 0);
	put(&p, 3, plh(5 | 1ULL << 60, 200, 1));
	put(&p, 2, plh(5, 100, 1));
	expect_linked(&p);
	/* The two are leaves of one group, 3 before 2; then 1 and 0 are free. */
	expect_order(&p, "3120");
	pool_close(&p);

	/* A ghost that another block fills hangs on that block's parent. */
	pool_open(&p, KVBM_POLICY_LINEAGE_TICK, 8);
	put(&p, 0, plh(100, 0, 0));
	put(&p, 1, plh(200, 0, 0));
	put(&p, 2, plh(5, 100, 1));
	put(&p, 4, plh(6, 5, 2));
	withdraw(&p, 2);
	put(&p, 3, plh(5 | 1ULL << 60, 200, 1));
	expect_linked(&p);
	expect_order(&p, "0431");
	pool_close(&p);
}

static u64 visit_bound(u32 count)
{
	u64 log = 0;

	while (count >> log)
		log++;
	/* The rest of a branch, and a few steps of a heap of four children. */
	return 64 + 8 * log;
}

/* 10^5 blocks in one group: nothing is linear in them. */
static void hostile_one_group(void)
{
	const u32 n = 100000;
	struct pool p;
	u32 i, k;

	for (k = 0; k < 2; k++) {
		pool_open(&p, lineage_policies[k], n + 1);
		for (i = 0; i < n; i++)
			put(&p, i, plh((u64)i << 38 | 1, 0, 70000));
		/* One child makes inner ones of them all, and leaves again. */
		put(&p, n, plh(9, 1, 70001));
		EXPECT_EQ(evict(&p), n);
		for (i = 1; i < n; i += 2)
			withdraw(&p, i);
		for (i = 0; i < n; i += 2)
			if (!EXPECT_EQ(evict(&p), i))
				break;
		EXPECT_EQ(next(&p), KVBM_NIL);
		EXPECT(p.most_visits <= visit_bound(n));
		printf("# most nodes visited: %llu\n", (unsigned long long)p.most_visits);
		pool_close(&p);
	}
}

/* A prompt with very many children, which go in any order. */
static void hostile_many_children(void)
{
	const u32 n = 1000000;
	struct pool p;
	u64 two;
	u32 i;

	pool_open(&p, KVBM_POLICY_LINEAGE_TICK, n + 1);
	put(&p, n, plh(1, 0, 0));
	for (i = 0; i < n; i++)
		put(&p, i, plh(((u64)i + 2) * 0x9e3779b97f4a7c15ULL, 1, 1));
	for (i = 0; i < 1000; i++)
		withdraw(&p, (i * 7919 + 13) % n);
	while (next(&p) != n)
		evict(&p);
	EXPECT_EQ(evict(&p), n);
	EXPECT_EQ(next(&p), KVBM_NIL);
	EXPECT(p.most_visits <= visit_bound(n));
	printf("# most nodes visited: %llu\n", (unsigned long long)p.most_visits);
	pool_close(&p);

	pool_open(&p, KVBM_POLICY_LINEAGE_TICK, n + 1);
	put(&p, n, plh(1, 0, 0));
	put(&p, 0, plh(2, 1, 1));
	put(&p, 1, plh(3, 1, 1));
	p.most_visits = 0;
	evict(&p);
	two = p.most_visits;
	EXPECT(two <= visit_bound(2));
	pool_close(&p);
}

/*
 * Ghosts: chains whose start left the pool for good, one tail each stays. More
 * of them than there are blocks, so that the oldest are forgotten.
 */
static void hostile_ghosts(void)
{
	const u32 n = 1024, depth = 500;
	struct pool p;
	u32 chain, i;

	pool_open(&p, KVBM_POLICY_LINEAGE_TICK, n);
	for (chain = 0; chain < 20; chain++) {
		for (i = 0; i + 1 < depth; i++)
			put(&p, 100 + i, link_of(chain, i));
		/* The tail stays, and what is above it with it. */
		put(&p, chain, link_of(chain, depth - 1));
		for (i = 0; i + 1 < depth; i++)
			withdraw(&p, 100 + i);
		expect_linked(&p);
	}
	EXPECT(p.most_visits <= visit_bound(n));
	/* And come back, hung on what is left of their branch. */
	for (i = 0; i < 100; i++)
		put(&p, 100 + i, link_of(3, depth - 2 - i));
	expect_linked(&p);
	for (i = 0; i < 120; i++)
		ASSERT(evict(&p) != KVBM_NIL);
	EXPECT_EQ(next(&p), KVBM_NIL);
	/* Nothing is lost: all of it can be used again. */
	for (i = 0; i < n; i++)
		put(&p, i, link_of(100 + i, 1));
	expect_linked(&p);
	for (i = 0; i < n; i++)
		ASSERT_EQ(evict(&p), i);
	EXPECT_EQ(next(&p), KVBM_NIL);
	pool_close(&p);
}

/* A row of ghosts that is too long to be pruned at once. */
static void hostile_long_branch(void)
{
	const u32 n = 100000;
	struct pool p;
	u32 i;

	pool_open(&p, KVBM_POLICY_LINEAGE_TICK, n);
	for (i = 0; i < n; i++)
		put(&p, i, link_of(0, i));
	/* All but the first block, from the second on; the last prunes. */
	for (i = 1; i < n; i++)
		withdraw(&p, i);
	EXPECT(p.most_visits <= visit_bound(n));
	/* Still a victim, though the branch below is not gone yet. */
	EXPECT_EQ(next(&p), 0);
	/* It goes as others come. */
	for (i = 1; i < 2000; i++)
		put(&p, i, link_of(1, i));
	expect_linked(&p);
	EXPECT_EQ(evict(&p), 0);
	EXPECT(p.most_visits <= visit_bound(n));
	for (i = 1999; i > 0; i--)
		ASSERT_EQ(evict(&p), i);
	EXPECT_EQ(next(&p), KVBM_NIL);
	pool_close(&p);
}

/* Anything at all with few keys, so that everything collides. */
static void hostile_random(void)
{
	enum { BLOCKS = 64 };
	struct pool p;
	u64 x = 88172645463325252ULL;
	u32 step, id, k, left;

	for (k = 0; k < 2; k++) {
		pool_open(&p, lineage_policies[k], BLOCKS);
		for (step = 0; step < 30000; step++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			id = x % BLOCKS;
			if (p.in[id]) {
				withdraw(&p, id);
			} else {
				u32 position = (x >> 8) % 40;

				put_hint(&p, id, plh((x >> 16) % 3 | (x >> 20) << 54,
						     position ? (x >> 24) % 3 : 0, position),
					 (x >> 40) % 8 ? NONE : FINISHED);
			}
			expect_linked(&p);
			if (step % 16 == 0 && p.evictor->count)
				ASSERT(evict(&p) != KVBM_NIL);
		}
		for (left = p.evictor->count; left; left--)
			ASSERT(evict(&p) != KVBM_NIL);
		EXPECT_EQ(next(&p), KVBM_NIL);
		EXPECT(p.most_visits <= visit_bound(BLOCKS));
		pool_close(&p);
	}
}

static void policies_by_number(void)
{
	struct kvbm_store_config config = config_of(8);
	struct kvbm_registry *plh_registry, *opaque;
	u32 policy;

	ASSERT_EQ(kvbm_registry_alloc(8, KVBM_SCHEMA_PLH, &plh_registry), 0);
	ASSERT_EQ(kvbm_registry_alloc(8, KVBM_SCHEMA_OPAQUE, &opaque), 0);
	EXPECT_EQ(kvbm_eviction_mask(), 0x3f);
	EXPECT(!kvbm_eviction_find(KVBM_POLICY_LINEAGE_FIFO + 1));
	for (policy = 1; policy <= KVBM_POLICY_LINEAGE_FIFO; policy++) {
		bool lineage = policy >= KVBM_POLICY_LINEAGE_TICK;
		bool sketch = policy == KVBM_POLICY_MULTI_LRU;

		config.policy = policy;
		EXPECT_EQ(kvbm_store_config_check(&config), 0);
		EXPECT_EQ(kvbm_store_config_settle(&config, plh_registry),
			  sketch ? -ENODATA : 0);
		EXPECT_EQ(kvbm_store_config_settle(&config, opaque),
			  sketch || lineage ? -ENODATA : 0);
		EXPECT_EQ(config.policy, policy);
	}
	config.policy = KVBM_POLICY_DEFAULT;
	EXPECT_EQ(kvbm_store_config_settle(&config, plh_registry), 0);
	EXPECT_EQ(config.policy, KVBM_POLICY_LINEAGE_TICK);
	config.policy = KVBM_POLICY_DEFAULT;
	EXPECT_EQ(kvbm_store_config_settle(&config, opaque), 0);
	EXPECT_EQ(config.policy, KVBM_POLICY_LRU);

	ASSERT_EQ(kvbm_registry_add_sketch(opaque, 1024), 0);
	config.policy = KVBM_POLICY_MULTI_LRU;
	EXPECT_EQ(kvbm_store_config_settle(&config, opaque), 0);
	EXPECT_EQ(config.policy_args[1], 8);
	kvbm_registry_free(opaque);
	kvbm_registry_free(plh_registry);
}

static const struct tap_test tests[] = {
	TEST(policies_by_number),
	TEST(fifo_oldest_first),
	TEST(fifo_ignores_hints),
	TEST(lru_oldest_first),
	TEST(lru_finished_first),
	TEST(multi_lru_oldest_first_in_a_level),
	TEST(multi_lru_ignores_hints),
	TEST(all_interleaved),
	TEST(multi_lru_levels),
	TEST(multi_lru_thresholds),
	TEST(multi_lru_one_level_holds_all),
	TEST(tick_two_chains),
	TEST(tick_finished_first),
	TEST(tick_follows_model),
	TEST(lineage_fifo_two_chains),
	TEST(lineage_fifo_finished_first),
	TEST(lineage_fifo_follows_model),
	TEST(lineage_chains),
	TEST(lineage_child_before_parent),
	TEST(tick_branches),
	TEST(lineage_fifo_branches),
	TEST(lineage_lone_leaf),
	TEST(lineage_split_sequence),
	TEST(lineage_recycles),
	TEST(lineage_middle_leaves_and_returns),
	TEST(lineage_active_child_does_not_protect),
	TEST(lineage_equal_keys),
	TEST(lineage_equal_keys_different_parents),
	TEST(hostile_one_group),
	TEST(hostile_many_children),
	TEST(hostile_ghosts),
	TEST(hostile_long_branch),
	TEST(hostile_random),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
