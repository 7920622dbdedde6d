// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Races that kvbm-logical has regression tests for: the last release against
 * look-ups, eviction against registration of the same hash, and allocations that
 * get less than was promised. Built twice, with the address and with the thread
 * sanitizer.
 */
#include <pthread.h>

#include "fixture.h"

#define ROUNDS		200

/* Two threads that do one thing each, at the same time, round for round. */

struct side {
	pthread_t thread;
	struct kvbm_store *store;
	struct kvbm_holder holder;
	struct kvbm_token token;
	bool reset;
	u32 found;
	void (*step)(struct side *side, u32 round);
};

static pthread_barrier_t barrier;

static void *run_side(void *arg)
{
	struct side *side = arg;
	u32 round;

	for (round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&barrier);
		side->step(side, round);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

/* @before and @after are of this thread, around each round of the two others. */
static void race(struct side *a, struct side *b, void (*before)(struct side *a, u32 round),
		 void (*after)(struct side *a, struct side *b, u32 round))
{
	u32 round;

	pthread_barrier_init(&barrier, NULL, 3);
	ASSERT_EQ(pthread_create(&a->thread, NULL, run_side, a), 0);
	ASSERT_EQ(pthread_create(&b->thread, NULL, run_side, b), 0);
	for (round = 0; round < ROUNDS; round++) {
		if (before)
			before(a, round);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		after(a, b, round);
	}
	pthread_join(a->thread, NULL);
	pthread_join(b->thread, NULL);
	pthread_barrier_destroy(&barrier);
}

static void release_it(struct side *side, u32 round)
{
	EXPECT_EQ(give(&side->holder, 1, &side->token), 0);
}

static void look_up(struct side *side, u32 round)
{
	EXPECT_EQ(match(&side->holder, 0, 1, &side->token, &side->found), 0);
}

static void hold_it(struct side *a, u32 round)
{
	u32 n, failed;

	if (match(&a->holder, 0, 1, &a->token, &n) || !n)
		fill(&a->holder, 0, 1, &a->token);
	EXPECT_EQ(kvbm_holder_set_reset(&a->holder, &a->token, 1, a->reset, &failed), 0);
}

/* There is no moment between the last release and what comes of it. */
static void expect_no_window(struct kvbm_store *store)
{
	struct kvbm_counters c = counters_of(store);

	EXPECT_EQ(c.eager_primary_to_inactive, 0);
	EXPECT_EQ(c.release_primary_noop, 0);
	EXPECT_EQ(c.release_duplicate_noop, 0);
	EXPECT_EQ(c.states[KVBM_STATE_PRIMARY], c.inflight_immutable);
	EXPECT_EQ(c.reset_pool_size + c.inactive_pool_size + c.inflight_immutable,
		  store->config.block_count);
	expect_sound(store);
}

/* Whoever comes first, the block is found: it is held, or cached. */
static void found_once(struct side *a, struct side *b, u32 round)
{
	EXPECT_EQ(b->found, 1);
	expect_no_window(b->store);
	EXPECT_EQ(give(&b->holder, 1, &b->token), 0);
	EXPECT_EQ(b->store->slots[0].state, KVBM_STATE_INACTIVE);
	EXPECT(is_present(b->store, 0));
}

/* It is found while it is held; then, or else, it is reset, and never cached. */
static void found_or_reset(struct side *a, struct side *b, u32 round)
{
	EXPECT_EQ(is_present(b->store, 0), b->found);
	expect_no_window(b->store);
	if (b->found)
		EXPECT_EQ(give(&b->holder, 1, &b->token), 0);
	EXPECT_EQ(counters_of(b->store).inactive_pool_size, 0);
	EXPECT(!is_present(b->store, 0));
}

static void last_release_and_look_up(bool reset, void (*after)(struct side *a,
							       struct side *b, u32 round))
{
	struct side a = { .step = release_it, .reset = reset };
	struct side b = { .step = look_up };
	struct fixture f;

	set_up(&f, 1);
	a.store = f.store;
	b.store = f.store;
	kvbm_holder_init(&a.holder, f.store);
	kvbm_holder_init(&b.holder, f.store);
	race(&a, &b, hold_it, after);
	end_holder(&a.holder);
	end_holder(&b.holder);
	tear_down(&f);
}

static void last_release_caches(void)
{
	last_release_and_look_up(false, found_once);
}

static void last_release_resets(void)
{
	last_release_and_look_up(true, found_or_reset);
}

/* Two stores of one block and one registry pass the same hashes on. */
static void evict_and_register(struct side *side, u32 round)
{
	struct kvbm_token t;

	EXPECT_EQ(take(&side->holder, 1, &t), 0);
	EXPECT(!round || !is_present(side->store, round - 1));
	EXPECT_EQ(stage(&side->holder, round, 1, &t), 0);
	EXPECT_EQ(reg(&side->holder, 1, &t, NULL), 0);
	EXPECT(is_present(side->store, round));
	EXPECT_EQ(give(&side->holder, 1, &t), 0);
}

static void only_the_new_one(struct side *a, struct side *b, u32 round)
{
	EXPECT(is_present(a->store, round) && is_present(b->store, round));
	EXPECT(!round || !(is_present(a->store, round - 1) ||
			   is_present(b->store, round - 1)));
	EXPECT_EQ(kvbm_registry_entries(a->store->registry), 1);
}

static void eviction_and_registration(void)
{
	struct side a = { .step = evict_and_register }, b = a;
	struct kvbm_registry *registry;

	ASSERT_EQ(kvbm_registry_alloc(2, KVBM_SCHEMA_PLH, &registry), 0);
	a.store = store_of(registry, config_of(1));
	b.store = store_of(registry, config_of(1));
	kvbm_holder_init(&a.holder, a.store);
	kvbm_holder_init(&b.holder, b.store);
	race(&a, &b, NULL, only_the_new_one);
	EXPECT_EQ(counters_of(a.store).evictions, ROUNDS - 1);
	expect_sound(a.store);
	expect_sound(b.store);
	end_holder(&a.holder);
	end_holder(&b.holder);
	kvbm_store_free(a.store);
	EXPECT_EQ(kvbm_registry_entries(registry), 1);
	kvbm_store_free(b.store);
	EXPECT_EQ(kvbm_registry_entries(registry), 0);
	kvbm_registry_free(registry);
}

/*
 * A large allocation was promised all blocks, and a match takes some of them away
 * between two chunks.
 */
#define RESET_BLOCKS	140
#define CACHED_BLOCKS	140

static struct kvbm_holder thief;
static bool stolen;

static void steal(void)
{
	struct kvbm_token t[20];
	u32 n;

	if (stolen)
		return;
	stolen = true;
	EXPECT_EQ(match(&thief, CACHED_BLOCKS - 20, 20, t, &n), 0);
	EXPECT_EQ(n, 20);
}

static void allocation_gives_back(void)
{
	u32 all = RESET_BLOCKS + CACHED_BLOCKS, i;
	struct kvbm_token *t = calloc(all, sizeof(*t));
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, all);
	kvbm_holder_init(&thief, f.store);
	stolen = false;
	cache(&f.holder, 0, CACHED_BLOCKS);
	c = counters_of(f.store);
	kvbm_relax_hook = steal;
	EXPECT_EQ(take(&f.holder, all, t), -ENOSPC);
	kvbm_relax_hook = NULL;
	EXPECT(stolen);
	EXPECT_EQ(f.holder.guards, 0);
	EXPECT_EQ(f.store->promised, 0);
	EXPECT_EQ(counters_of(f.store).allocate_atomic_rollback, 1);
	EXPECT_EQ(counters_of(f.store).allocations, c.allocations);
	EXPECT_EQ(counters_of(f.store).inflight_mutable, 0);
	expect_sound(f.store);
	/* The reset pool has its order again, and then what was evicted. */
	ASSERT_EQ(take(&f.holder, RESET_BLOCKS, t), 0);
	for (i = 0; i < RESET_BLOCKS; i++)
		EXPECT_EQ(t[i].id, CACHED_BLOCKS + i);
	end_holder(&thief);
	tear_down(&f);
	free(t);
}

static const struct tap_test tests[] = {
	TEST(last_release_caches),
	TEST(last_release_resets),
	TEST(eviction_and_registration),
	TEST(allocation_gives_back),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
