// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Every allocation fails once: the call says so, nothing is changed, nothing
 * is lost (the leak detector looks at the end), and the next try works.
 */
#include "fixture.h"

static u32 countdown;

static bool fail_now(void)
{
	return countdown && !--countdown;
}

/* Allocation number @n from now fails; 0: none. */
static void fail_nth(u32 n)
{
	countdown = n;
	kvbm_alloc_fail = n ? fail_now : NULL;
}

/* Whether the allocation that was to fail was not reached. */
static bool fail_is_left(void)
{
	bool left = countdown;

	fail_nth(0);
	return left;
}

static void registry_alloc(void)
{
	struct kvbm_registry *registry;
	u32 n;
	int err;

	for (n = 1; ; n++) {
		fail_nth(n);
		err = kvbm_registry_alloc(5000, KVBM_SCHEMA_PLH, &registry);
		if (fail_is_left())
			break;
		EXPECT_EQ(err, -ENOMEM);
	}
	ASSERT_EQ(err, 0);
	EXPECT(n > 4);
	kvbm_registry_free(registry);
}

/* A registry without a sketch is as it was. */
static void sketch_alloc(void)
{
	struct kvbm_store_config config = config_of(8);
	struct kvbm_registry *registry;
	u32 n;
	int err;

	config.policy = KVBM_POLICY_MULTI_LRU;
	ASSERT_EQ(kvbm_registry_alloc(8, KVBM_SCHEMA_PLH, &registry), 0);
	for (n = 1; ; n++) {
		fail_nth(n);
		err = kvbm_registry_add_sketch(registry, 5000);
		if (fail_is_left())
			break;
		EXPECT_EQ(err, -ENOMEM);
		EXPECT_EQ(kvbm_store_config_settle(&config, registry), -ENODATA);
	}
	ASSERT_EQ(err, 0);
	EXPECT(n > 2);
	EXPECT_EQ(kvbm_store_config_settle(&config, registry), 0);
	kvbm_registry_free(registry);
}

static void store_alloc_with(u32 policy, u32 least)
{
	struct kvbm_store_config config = config_of(5000);
	struct kvbm_store *store;
	struct fixture f;
	u32 n;
	int err;

	ASSERT_EQ(kvbm_registry_alloc(15000, KVBM_SCHEMA_PLH, &f.registry), 0);
	ASSERT_EQ(kvbm_registry_add_sketch(f.registry, 5000), 0);
	f.store = store_of(f.registry, config);
	kvbm_holder_init(&f.holder, f.store);
	cache(&f.holder, 0, 5000);
	config.policy = policy;
	ASSERT_EQ(kvbm_store_config_settle(&config, f.registry), 0);
	for (n = 1; ; n++) {
		fail_nth(n);
		err = kvbm_store_alloc(f.registry, &config, &store);
		if (fail_is_left())
			break;
		EXPECT_EQ(err, -ENOMEM);
		EXPECT_EQ(kvbm_registry_blocks(f.registry), 5000);
		EXPECT_EQ(kvbm_registry_entries(f.registry), 5000);
		expect_sound(f.store);
	}
	ASSERT_EQ(err, 0);
	EXPECT(n > least);
	EXPECT_EQ(kvbm_registry_blocks(f.registry), 10000);
	expect_sound(store);
	kvbm_store_free(store);
	tear_down(&f);
}

static void store_alloc(void)
{
	u32 policy;

	for (policy = KVBM_POLICY_FIFO; policy <= KVBM_POLICY_MULTI_LRU; policy++)
		store_alloc_with(policy, 6);
	/* With its own buckets, groups and heap. */
	for (; policy <= KVBM_POLICY_LINEAGE_FIFO; policy++)
		store_alloc_with(policy, 9);
}

enum call { ALLOCATE, ALLOCATE_LARGE, MATCH, SCATTERED, SCAN, UPGRADE, CLONE, ACQUIRE,
	    ACQUIRE_LARGE, NR_CALLS };

#define SIZE	1024
/* Guards on one block. If each was on another, the first table would be full. */
#define GUARDS	70

static int call(struct fixture *f, enum call what, struct kvbm_token *t,
		const struct kvbm_token *guards, const struct kvbm_hash *hashes)
{
	struct kvbm_allocation a = { .tokens = t };
	u32 n;

	switch (what) {
	case ALLOCATE:
		return take(&f->holder, 100, t);
	case ALLOCATE_LARGE:
		return take(&f->holder, 500, t);
	case MATCH:
		return kvbm_holder_match(&f->holder, hashes, 300, KVBM_LOOKUP_PREFIX, t, &n);
	case SCATTERED:
		return kvbm_holder_match(&f->holder, hashes, 300, KVBM_LOOKUP_SCATTERED,
					 t, &n);
	case SCAN:
		return kvbm_holder_match(&f->holder, hashes, 300, KVBM_LOOKUP_SCAN, t, &n);
	case UPGRADE:
		memset(t, 0, 300 * sizeof(*t));
		return kvbm_holder_upgrade(&f->holder, hashes, t, 300, &n);
	case CLONE:
		return kvbm_holder_clone(&f->holder, guards, GUARDS, &n);
	case ACQUIRE:
		a.count = 100;
		return kvbm_holder_acquire(&f->holder, hashes, 50, &a, &n);
	default:
		a.count = 500;
		return kvbm_holder_acquire(&f->holder, hashes, 300, &a, &n);
	}
}

/* Room for what a session will hold is made before a store is touched. */
static void holder_reserve(void)
{
	struct kvbm_hash *hashes = calloc(300, sizeof(*hashes));
	struct kvbm_token *t = calloc(SIZE, sizeof(*t));
	struct kvbm_token held[3], guards[GUARDS];
	struct fixture f;
	struct dump *d;
	u32 what, n, i;
	int err;

	hashes_of(0, 300, hashes);
	for (what = 0; what < NR_CALLS; what++) {
		set_up(&f, SIZE);
		cache(&f.holder, 0, 300);
		end_holder(&f.holder);
		kvbm_holder_init(&f.holder, f.store);
		fill(&f.holder, 900, 3, held);
		for (i = 0; i < GUARDS; i++)
			ASSERT_EQ(match(&f.holder, 900, 1, &guards[i], &n), 0);
		for (n = 1; ; n++) {
			d = dump_of(&f);
			fail_nth(n);
			err = call(&f, what, t, guards, hashes);
			if (fail_is_left())
				break;
			EXPECT_EQ(err, -ENOMEM);
			EXPECT_UNCHANGED(&f, d);
		}
		EXPECT_EQ(err, 0);
		EXPECT_EQ(n, 3);
		free(d->buckets);
		free(d);
		/* What was held before is found in the table that has grown. */
		EXPECT_EQ(give(&f.holder, 3, held), 0);
		tear_down(&f);
	}
	free(hashes);
	free(t);
}

/* A session that holds everything already needs no memory for it. */
static void no_memory_needed(void)
{
	struct kvbm_allocation next = { .count = 0 };
	struct kvbm_hash hashes[16];
	struct kvbm_held held[16];
	struct kvbm_token t[16];
	u32 n, allocated, failed;
	struct fixture f;

	hashes_of(0, 16, hashes);
	set_up(&f, 64);
	ASSERT_EQ(take(&f.holder, 16, t), 0);
	fail_nth(1);
	EXPECT_EQ(kvbm_holder_stage(&f.holder, t, hashes, NULL, 8, BLOCK_SIZE, &failed), 0);
	EXPECT_EQ(kvbm_holder_register(&f.holder, t, NULL, 8, &failed), 0);
	EXPECT_EQ(kvbm_holder_stage_register(&f.holder, t + 8, hashes + 8, NULL, NULL, 8,
					     BLOCK_SIZE, &next, &allocated,
					     &failed), 0);
	EXPECT_EQ(kvbm_holder_match(&f.holder, hashes, 16, KVBM_LOOKUP_PREFIX, t, &n), 0);
	EXPECT_EQ(n, 16);
	EXPECT_EQ(kvbm_holder_clone(&f.holder, t, 16, &failed), 0);
	EXPECT_EQ(kvbm_holder_upgrade(&f.holder, hashes, t, 16, &n), 0);
	EXPECT_EQ(kvbm_holder_match(&f.holder, hashes, 16, KVBM_LOOKUP_SCAN, t, &n), 0);
	EXPECT_EQ(n, 16);
	EXPECT_EQ(kvbm_holder_set_reset(&f.holder, t, 16, true, &failed), 0);
	EXPECT_EQ(kvbm_store_probe(f.store, hashes, 16, &n), 0);
	EXPECT_EQ(kvbm_holder_drain(&f.holder, &n, &allocated), 0);
	EXPECT_EQ(kvbm_holder_list(&f.holder, 0, 16, held, &n, &allocated), 0);
	EXPECT_EQ(n, 16);
	EXPECT_EQ(give(&f.holder, 16, t), 0);
	EXPECT(fail_is_left());
	tear_down(&f);
}

/* The library's own calls say so, too. */
static void library(void)
{
	struct kvbm_registry_create ra;
	struct kvbm_manager_create ma;
	struct kvbm_registry_query rq;
	struct kvbm_manager_query mq;
	struct kvbm_session *session, *other;
	struct kvbm_mutable blocks[4];
	struct kvbm *kvbm;
	uint64_t registry, manager;
	u32 n;
	int err;

	ASSERT_EQ(kvbm_open("inproc:", &kvbm), 0);
	kvbm_registry_attr_init(&ra, "r");
	ra.capacity = 200;
	for (n = 1; ; n++) {
		fail_nth(n);
		err = kvbm_create_registry(kvbm, &ra, &registry);
		if (fail_is_left())
			break;
		EXPECT_EQ(err, -ENOMEM);
		EXPECT_EQ(kvbm_find_registry(kvbm, "r", &rq), -ENOENT);
	}
	ASSERT_EQ(err, 0);
	kvbm_manager_attr_init(&ma, registry, "m", 100);
	for (n = 1; ; n++) {
		fail_nth(n);
		err = kvbm_create_manager(kvbm, &ma, &manager);
		if (fail_is_left())
			break;
		EXPECT_EQ(err, -ENOMEM);
		EXPECT_EQ(kvbm_find_manager(kvbm, "r:m", &mq), -ENOENT);
	}
	ASSERT_EQ(err, 0);
	ASSERT_EQ(kvbm_bind(kvbm, manager, 0, &session), 0);
	fail_nth(1);
	memset(blocks, 77, sizeof(blocks));
	EXPECT_EQ(kvbm_allocate(session, 4, blocks, NULL, NULL), -ENOMEM);
	EXPECT(!fail_is_left());
	EXPECT_EQ(blocks[3].token.gen, 0);
	/* A manager that could not be made leaves no session behind. */
	kvbm_manager_attr_init(&ma, registry, "", 100);
	ma.flags = KVBM_MANAGER_ANONYMOUS;
	ma.linger_ms = 0;
	ma.aux_size = 8;
	for (n = 1; ; n++) {
		other = NULL;
		fail_nth(n);
		err = kvbm_create_manager_bound(kvbm, &ma, 0, &manager, &other);
		if (fail_is_left())
			break;
		EXPECT_EQ(err, -ENOMEM);
		EXPECT(!other);
		EXPECT_EQ(kvbm_query_registry(kvbm, registry, &rq), 0);
		EXPECT_EQ(rq.out_managers, 1);
	}
	ASSERT_EQ(err, 0);
	kvbm_session_close(other);
	kvbm_session_close(session);
	kvbm_close(kvbm);
}

static const struct tap_test tests[] = {
	TEST(registry_alloc),
	TEST(sketch_alloc),
	TEST(store_alloc),
	TEST(holder_reserve),
	TEST(no_memory_needed),
	TEST(library),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
