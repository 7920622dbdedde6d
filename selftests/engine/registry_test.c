// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The registry: what is present in which store, and stores that come and go.
 */
#include "fixture.h"

/* Entries come in chunks of this many (entry.h). */
#define ENTRY_CHUNK	4096

static struct kvbm_registry *registry_of(u64 capacity)
{
	struct kvbm_registry *registry;

	ASSERT_EQ(kvbm_registry_alloc(capacity, KVBM_SCHEMA_PLH, &registry), 0);
	return registry;
}

/* A store with a session, in a registry that it shares. */
struct member {
	struct kvbm_store *store;
	struct kvbm_holder holder;
};

static void join(struct member *m, struct kvbm_registry *registry, u32 blocks)
{
	m->store = store_of(registry, config_of(blocks));
	kvbm_holder_init(&m->holder, m->store);
}

static void leave(struct member *m)
{
	end_holder(&m->holder);
	kvbm_store_free(m->store);
}

static u64 presence(struct kvbm_registry *registry, u32 n)
{
	struct kvbm_hash hash = hash_of(n);

	return kvbm_registry_presence(registry, &hash);
}

static u64 bit(const struct member *m)
{
	return 1ULL << m->store->share.bit;
}

static void presence_per_store(void)
{
	struct kvbm_registry *registry = registry_of(16);
	struct kvbm_token t[4], all[8];
	struct member a, b;
	u32 n;

	join(&a, registry, 8);
	join(&b, registry, 8);
	EXPECT(bit(&a) != bit(&b));
	EXPECT_EQ(kvbm_registry_blocks(registry), 16);

	cache(&a.holder, 0, 4);
	EXPECT_EQ(presence(registry, 2), bit(&a));
	EXPECT_EQ(kvbm_registry_entries(registry), 4);
	cache(&b.holder, 2, 4);
	EXPECT_EQ(presence(registry, 0), bit(&a));
	EXPECT_EQ(presence(registry, 2), bit(&a) | bit(&b));
	EXPECT_EQ(presence(registry, 5), bit(&b));
	EXPECT_EQ(presence(registry, 6), 0);
	EXPECT_EQ(kvbm_registry_entries(registry), 6);
	expect_sound(a.store);
	expect_sound(b.store);

	/* A store does not match what only another one has. */
	EXPECT_EQ(match(&a.holder, 4, 1, t, &n), 0);
	EXPECT_EQ(n, 0);

	/* Evicted from one, present in the other. */
	ASSERT_EQ(take(&a.holder, 8, all), 0);
	EXPECT_EQ(presence(registry, 0), 0);
	EXPECT_EQ(presence(registry, 2), bit(&b));
	EXPECT_EQ(kvbm_registry_entries(registry), 4);
	leave(&a);
	EXPECT_EQ(kvbm_registry_blocks(registry), 8);
	EXPECT_EQ(presence(registry, 2), bit(&b));
	expect_sound(b.store);
	leave(&b);
	EXPECT_EQ(kvbm_registry_entries(registry), 0);
	kvbm_registry_free(registry);
}

/* From the registration on until the block has another tenant, held or not. */
static void presence_lifecycle(void)
{
	struct kvbm_registry *registry = registry_of(4);
	struct kvbm_token t, all[4];
	struct member m;

	join(&m, registry, 4);
	EXPECT_EQ(presence(registry, 0), 0);
	ASSERT_EQ(take(&m.holder, 1, &t), 0);
	ASSERT_EQ(stage(&m.holder, 0, 1, &t), 0);
	EXPECT_EQ(presence(registry, 0), 0);
	ASSERT_EQ(reg(&m.holder, 1, &t, NULL), 0);
	EXPECT_EQ(presence(registry, 0), bit(&m));
	ASSERT_EQ(give(&m.holder, 1, &t), 0);
	EXPECT_EQ(presence(registry, 0), bit(&m));
	ASSERT_EQ(take(&m.holder, 4, all), 0);
	EXPECT_EQ(presence(registry, 0), 0);
	leave(&m);
	kvbm_registry_free(registry);
}

/* In the order given; what hangs on a hash hangs on its duplicates. */
static void duplicates_in_a_batch_share(void)
{
	static const u32 order[] = { 2, 0, 1, 0 };
	struct kvbm_registry *registry = registry_of(8);
	struct kvbm_attached out = {};
	struct kvbm_hash hashes[4];
	struct kvbm_token t[4], staged[4];
	struct member m;
	u32 i, failed;
	u8 kinds[4];

	join(&m, registry, 8);
	for (i = 0; i < 4; i++)
		hashes[i] = hash_of(order[i]);
	ASSERT_EQ(take(&m.holder, 4, t), 0);
	ASSERT_EQ(kvbm_holder_stage(&m.holder, t, hashes, NULL, 4, BLOCK_SIZE, &failed), 0);
	memcpy(staged, t, sizeof(t));
	ASSERT_EQ(reg(&m.holder, 4, t, kinds), 0);
	EXPECT(!memcmp(staged, t, sizeof(t)));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(kinds[i], i < 3 ? KVBM_REGISTERED_NEW :
					    KVBM_REGISTERED_DUPLICATE);
	EXPECT_EQ(kvbm_registry_entries(registry), 3);
	ASSERT_EQ(kvbm_registry_attach(registry, &hashes[1], 1, KVBM_ATTACH_UNIQUE, "x", 1),
		  0);
	/* The block that it came with goes, the duplicate stays. */
	ASSERT_EQ(give(&m.holder, 1, &t[1]), 0);
	EXPECT_EQ(kvbm_registry_read_attached(registry, &hashes[3], 0, &out), 0);
	EXPECT_EQ(out.total, 1);
	leave(&m);
	kvbm_registry_free(registry);
}

/* Duplicates are one presence, which ends with the last of them. */
static void presence_of_duplicates(void)
{
	struct kvbm_registry *registry = registry_of(8);
	struct kvbm_token a, b, all[8];
	struct member m;

	join(&m, registry, 8);
	fill(&m.holder, 0, 1, &a);
	fill(&m.holder, 0, 1, &b);
	EXPECT_EQ(kvbm_registry_entries(registry), 1);
	ASSERT_EQ(give(&m.holder, 1, &b), 0);
	EXPECT_EQ(presence(registry, 0), bit(&m));
	ASSERT_EQ(give(&m.holder, 1, &a), 0);
	EXPECT_EQ(presence(registry, 0), bit(&m));
	ASSERT_EQ(take(&m.holder, 8, all), 0);
	EXPECT_EQ(presence(registry, 0), 0);
	EXPECT_EQ(kvbm_registry_entries(registry), 0);
	leave(&m);
	kvbm_registry_free(registry);
}

/*
 * A store goes while another has the same hashes, and those in entries that
 * the first one brought: they move, all of them, and nothing else does.
 */
static void leave_with_shared_hashes(u32 going, u32 staying)
{
	struct kvbm_registry *registry = registry_of(going + staying);
	u32 shared = min(going, staying), i;
	struct member a, b;

	join(&a, registry, going);
	cache(&a.holder, 0, going);
	join(&b, registry, staying);
	cache(&b.holder, 0, staying);
	EXPECT_EQ(kvbm_registry_entries(registry), max(going, staying));

	leave(&a);
	EXPECT_EQ(kvbm_registry_blocks(registry), staying);
	EXPECT_EQ(kvbm_registry_entries(registry), staying);
	for (i = 0; i < staying; i++)
		EXPECT_EQ(presence(registry, i), bit(&b));
	for (i = shared; i < going; i++)
		if (i >= staying)
			EXPECT_EQ(presence(registry, i), 0);
	expect_sound(b.store);

	/* There is room for a new store, and for all that both can hold. */
	join(&a, registry, going);
	cache(&a.holder, staying, going);
	EXPECT_EQ(kvbm_registry_entries(registry), (u64)going + staying);
	expect_sound(a.store);
	expect_sound(b.store);
	leave(&b);
	EXPECT_EQ(kvbm_registry_entries(registry), going);
	expect_sound(a.store);
	leave(&a);
	EXPECT_EQ(kvbm_registry_entries(registry), 0);
	EXPECT_EQ(kvbm_registry_blocks(registry), 0);
	kvbm_registry_free(registry);
}

static void shares_move(void)
{
	static const u32 sizes[] = { 1, 63, ENTRY_CHUNK - 1, ENTRY_CHUNK,
				     ENTRY_CHUNK + 1, 2 * ENTRY_CHUNK };
	u32 i, j;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		for (j = 0; j < ARRAY_SIZE(sizes); j++)
			leave_with_shared_hashes(sizes[i], sizes[j]);
}

/* Several stores come and go in turn, with overlapping hashes. */
static void stores_come_and_go(void)
{
	static const u32 sizes[] = { 100, ENTRY_CHUNK, 5, ENTRY_CHUNK + 1, 777 };
	struct kvbm_registry *registry;
	struct member m[ARRAY_SIZE(sizes)];
	u32 i, round, total = 0;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		total += sizes[i];
	registry = registry_of(total);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		join(&m[i], registry, sizes[i]);
		cache(&m[i].holder, 50 * i, sizes[i]);
	}
	for (round = 0; round < 4; round++) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			leave(&m[i]);
			join(&m[i], registry, sizes[i]);
			cache(&m[i].holder, 50 * i + 10 * round, sizes[i]);
		}
		for (i = 0; i < ARRAY_SIZE(sizes); i++)
			expect_sound(m[i].store);
	}
	EXPECT_EQ(kvbm_registry_blocks(registry), total);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		leave(&m[i]);
	EXPECT_EQ(kvbm_registry_entries(registry), 0);
	kvbm_registry_free(registry);
}

/* While one store goes, another one works. */
static struct {
	struct member *m;
	const struct kvbm_share *going;
	u32 next;
	u32 steps;
	u32 steps_leaving;
} busy;

static void work(void)
{
	void (*hook)(void) = kvbm_relax_hook;
	struct kvbm_token t[8];

	kvbm_relax_hook = NULL;
	fill(&busy.m->holder, busy.next, 8, t);
	EXPECT_EQ(give(&busy.m->holder, 8, t), 0);
	busy.next += 8;
	busy.steps++;
	/* What is counted is what is present, at any time. */
	if (busy.going->leaving) {
		EXPECT_EQ(kvbm_registry_entries(busy.m->store->registry),
			  busy.m->store->config.block_count);
		busy.steps_leaving++;
	}
	kvbm_relax_hook = hook;
}

static void leave_while_others_work(void)
{
	u32 going = ENTRY_CHUNK + 100, staying = 1000;
	struct kvbm_registry *registry = registry_of(going + staying);
	struct member a, b;

	join(&a, registry, going);
	cache(&a.holder, 0, going);
	join(&b, registry, staying);
	cache(&b.holder, 0, staying);
	busy.m = &b;
	busy.going = &a.store->share;
	busy.next = staying;
	kvbm_relax_hook = work;
	leave(&a);
	kvbm_relax_hook = NULL;
	EXPECT(busy.steps > 100);
	EXPECT(busy.steps_leaving > 100);
	expect_sound(b.store);
	EXPECT_EQ(kvbm_registry_entries(registry), staying);
	EXPECT_EQ(kvbm_registry_blocks(registry), staying);
	leave(&b);
	kvbm_registry_free(registry);
}

/* Blocks of all stores together are bounded; a refusal leaves no trace. */
static void capacity(void)
{
	struct kvbm_registry *registry = registry_of(100);
	struct kvbm_store_config config = config_of(31);
	struct kvbm_store *store;
	struct member a, b;

	join(&a, registry, 70);
	EXPECT_EQ(kvbm_store_alloc(registry, &config, &store), -ENOSPC);
	EXPECT_EQ(kvbm_registry_blocks(registry), 70);
	join(&b, registry, 30);
	config.block_count = 1;
	EXPECT_EQ(kvbm_store_alloc(registry, &config, &store), -ENOSPC);
	leave(&a);
	join(&a, registry, 70);
	EXPECT_EQ(kvbm_registry_blocks(registry), 100);
	leave(&a);
	leave(&b);
	kvbm_registry_free(registry);
}

static void sixty_four_members(void)
{
	struct kvbm_registry *registry = registry_of(1000);
	struct member m[KVBM_MAX_REGISTRY_MANAGERS];
	struct kvbm_store_config config = config_of(1);
	struct kvbm_store *store;
	u64 bits = 0;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(m); i++) {
		join(&m[i], registry, 2);
		EXPECT(!(bits & bit(&m[i])));
		bits |= bit(&m[i]);
		cache(&m[i].holder, 0, 1);
	}
	EXPECT_EQ(bits, U64_MAX);
	EXPECT_EQ(presence(registry, 0), U64_MAX);
	EXPECT_EQ(kvbm_registry_entries(registry), 1);
	EXPECT_EQ(kvbm_store_alloc(registry, &config, &store), -ENOSPC);

	/* The place of one that goes is there for the next one. */
	bits = bit(&m[40]);
	leave(&m[40]);
	EXPECT_EQ(presence(registry, 0), ~bits);
	join(&m[40], registry, 2);
	EXPECT_EQ(bit(&m[40]), bits);
	EXPECT_EQ(presence(registry, 0), ~bits);
	for (i = 0; i < ARRAY_SIZE(m); i++)
		leave(&m[i]);
	EXPECT_EQ(kvbm_registry_entries(registry), 0);
	kvbm_registry_free(registry);
}

static const struct tap_test tests[] = {
	TEST(presence_lifecycle),
	TEST(presence_per_store),
	TEST(duplicates_in_a_batch_share),
	TEST(presence_of_duplicates),
	TEST(shares_move),
	TEST(stores_come_and_go),
	TEST(leave_while_others_work),
	TEST(capacity),
	TEST(sixty_four_members),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
