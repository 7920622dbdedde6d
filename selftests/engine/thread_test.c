// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Threads. Built twice: with the address sanitizer, and with the thread
 * sanitizer, which sees races that did no harm this time.
 *
 *	POLICY=n thread_test	the policy of most stores; otherwise any
 */
#include <pthread.h>
#include <time.h>

#include "fixture.h"

#define NR_THREADS	8
/* Of a few chunks. */
#define LARGE		128

struct worker {
	pthread_t thread;
	struct kvbm_store *store;
	struct kvbm_holder *holder;
	u32 number;
	u32 size;
	u32 rounds;
	u32 granted;
	u32 refused;
	u64 seed;
};

static pthread_barrier_t barrier;

static u32 policy;

static struct kvbm_registry *registry_of(u64 blocks)
{
	struct kvbm_registry *registry;

	ASSERT_EQ(kvbm_registry_alloc(blocks, KVBM_SCHEMA_PLH, &registry), 0);
	/* So small that it ages all the time. */
	ASSERT_EQ(kvbm_registry_add_sketch(registry, 100), 0);
	return registry;
}

static void set_up_any(struct fixture *f, u32 block_count)
{
	struct kvbm_store_config config = config_of(block_count);

	config.policy = policy;
	f->registry = registry_of(block_count);
	f->store = store_of(f->registry, config);
	kvbm_holder_init(&f->holder, f->store);
}

static void run_all(struct worker *w, u32 n, void *(*function)(void *))
{
	u32 i;

	pthread_barrier_init(&barrier, NULL, n);
	for (i = 0; i < n; i++) {
		w[i].number = i;
		w[i].seed = 88172645463325252ULL + i;
		ASSERT_EQ(pthread_create(&w[i].thread, NULL, function, &w[i]), 0);
	}
	for (i = 0; i < n; i++)
		pthread_join(w[i].thread, NULL);
	pthread_barrier_destroy(&barrier);
}

static u32 random_below(u64 *seed, u32 n)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (u32)(*seed >> 32) % n;
}

/* All ask for everything at once: one has it or none has. */
static void *ask_for_all(void *arg)
{
	struct worker *w = arg;
	struct kvbm_token *t = calloc(w->size, sizeof(*t));
	struct kvbm_holder holder;
	u32 round;
	int err;

	kvbm_holder_init(&holder, w->store);
	for (round = 0; round < w->rounds; round++) {
		pthread_barrier_wait(&barrier);
		err = take(&holder, w->size, t);
		EXPECT(!err || err == -ENOSPC);
		EXPECT_EQ(holder.guards, err ? 0 : w->size);
		w->granted += !err;
		w->refused += !!err;
		/* Nobody gives back before all have asked. */
		pthread_barrier_wait(&barrier);
		if (!err)
			EXPECT_EQ(give(&holder, w->size, t), 0);
	}
	end_holder(&holder);
	free(t);
	return NULL;
}

static void no_over_commit(u32 size, u32 rounds)
{
	struct worker w[NR_THREADS] = { 0 };
	u32 i, granted = 0, refused = 0;
	struct kvbm_counters c;
	struct fixture f;

	set_up_any(&f, size);
	cache(&f.holder, 0, size / 2);
	for (i = 0; i < NR_THREADS; i++) {
		w[i].store = f.store;
		w[i].size = size;
		w[i].rounds = rounds;
	}
	run_all(w, NR_THREADS, ask_for_all);
	for (i = 0; i < NR_THREADS; i++) {
		granted += w[i].granted;
		refused += w[i].refused;
	}
	/* Exactly one in each round: nothing else takes blocks. */
	EXPECT_EQ(granted, rounds);
	c = counters_of(f.store);
	EXPECT_EQ(c.allocation_failures, refused);
	EXPECT_EQ(c.allocate_atomic_rollback, 0);
	EXPECT_EQ(f.store->promised, 0);
	tear_down(&f);
}

static void no_over_commit_small(void)
{
	no_over_commit(16, 200);
}

static void no_over_commit_large(void)
{
	no_over_commit(5 * KVBM_CHUNK, 40);
}

/* An engine at work on a universe of hashes that all share. */
#define UNIVERSE	300
#define MAX_HELD	64

/* Every hash, hit or miss, and once more; @held is for nothing but its tokens. */
static void look_around(struct worker *w, struct kvbm_holder *h,
			const struct kvbm_hash *hashes, u32 n,
			const struct kvbm_token *held, u32 nr_held)
{
	enum kvbm_match_mode mode = KVBM_LOOKUP_SCATTERED + random_below(&w->seed, 3);
	struct kvbm_token t[64], weak[64];
	u32 found, i, more, failed, length;

	EXPECT_EQ(kvbm_holder_match(h, hashes, n, mode, t, &found), 0);
	for (i = 0; i < n; i++)
		weak[i] = t[i].gen || !nr_held ? t[i] : held[i % nr_held];
	EXPECT_EQ(kvbm_holder_upgrade(h, hashes, weak, n, &more), 0);
	/* What is held cannot have gone, and others may have come. */
	EXPECT(more >= found);
	for (i = 0; i < n; i++) {
		if (!t[i].gen)
			continue;
		EXPECT_EQ(weak[i].id, t[i].id);
		EXPECT_EQ(kvbm_holder_clone(h, &t[i], 1, &failed), 0);
		EXPECT_EQ(kvbm_holder_set_reset(h, &t[i], 1,
						!random_below(&w->seed, 16), &failed), 0);
		EXPECT_EQ(give(h, 1, &t[i]), 0);
		EXPECT_EQ(give(h, 1, &t[i]), 0);
	}
	EXPECT_EQ(kvbm_store_probe(w->store, hashes, n, &length), 0);
	/* While we hold them. */
	for (i = 0; i < n && weak[i].gen; i++)
		;
	EXPECT(length >= i);
	for (i = 0; i < n; i++)
		if (weak[i].gen)
			EXPECT_EQ(give(h, 1, &weak[i]), 0);
}

static void roll_back(struct kvbm_holder *h, const struct kvbm_hash *hashes, u32 n)
{
	struct kvbm_token t[64];
	u32 failed;
	int err;

	err = take(h, n, t);
	if (err) {
		EXPECT_EQ(err, -ENOSPC);
		return;
	}
	EXPECT_EQ(kvbm_holder_stage(h, t, hashes, NULL, n, BLOCK_SIZE, &failed), 0);
	EXPECT_EQ(kvbm_holder_unstage(h, t, n, &failed), 0);
	EXPECT_EQ(give(h, n, t), 0);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct kvbm_token held[MAX_HELD], t[LARGE + 64];
	struct kvbm_hash hashes[64];
	struct kvbm_check_result check;
	struct kvbm_holder holder;
	u32 nr_held = 0, step, n, i, first, matched, failed;
	struct kvbm_counters c;
	int err;

	kvbm_holder_init(&holder, w->store);
	for (step = 0; step < w->rounds; step++) {
		first = random_below(&w->seed, UNIVERSE);
		n = 1 + random_below(&w->seed, 16);
		hashes_of(first, n, hashes);
		switch (random_below(&w->seed, 9)) {
		case 0:
			err = kvbm_holder_match(&holder, hashes, n,
						KVBM_LOOKUP_PREFIX, t, &matched);
			EXPECT_EQ(err, 0);
			for (i = 0; i < matched; i++) {
				if (nr_held < MAX_HELD)
					held[nr_held++] = t[i];
				else
					EXPECT_EQ(give(&holder, 1, &t[i]), 0);
			}
			break;
		case 1: {
			struct kvbm_allocation a = { .count = n, .tokens = t };
			u8 kinds[64];

			if (nr_held + n > MAX_HELD)
				break;
			err = kvbm_holder_acquire(&holder, hashes, n, &a, &matched);
			if (err) {
				EXPECT_EQ(err, -ENOSPC);
				break;
			}
			EXPECT_EQ(kvbm_holder_stage(&holder, t + matched,
						    hashes + matched, NULL, n - matched,
						    BLOCK_SIZE, &failed), 0);
			EXPECT_EQ(kvbm_holder_register(&holder, t + matched, kinds,
						       n - matched, &failed), 0);
			memcpy(held + nr_held, t, n * sizeof(*t));
			nr_held += n;
			break;
		}
		case 2:
			err = take(&holder, n, t);
			if (err) {
				EXPECT_EQ(err, -ENOSPC);
				break;
			}
			if (n & 1)
				EXPECT_EQ(kvbm_holder_stage(&holder, t, hashes, NULL, n,
							    BLOCK_SIZE, &failed), 0);
			EXPECT_EQ(give(&holder, n, t), 0);
			break;
		case 3:
			/* Larger than a chunk. */
			err = take(&holder, LARGE + n, t);
			if (err)
				EXPECT_EQ(err, -ENOSPC);
			else
				EXPECT_EQ(give(&holder, LARGE + n, t), 0);
			break;
		case 4:
			if (step % 16)
				break;
			EXPECT_EQ(kvbm_store_check(w->store, &check), 0);
			EXPECT_EQ(check.errors, 0);
			kvbm_store_counters(w->store, &c);
			for (i = 0, n = 0; i < KVBM_NR_STATES; i++)
				n += c.states[i];
			EXPECT_EQ(n, w->store->config.block_count);
			break;
		case 5:
			look_around(w, &holder, hashes, n, held, nr_held);
			break;
		case 6:
			roll_back(&holder, hashes, n);
			if (step % 256 == 0)
				EXPECT_EQ(kvbm_holder_drain(&holder, &n, &matched), 0);
			break;
		default:
			n = min(n, nr_held);
			nr_held -= n;
			EXPECT_EQ(give(&holder, n, held + nr_held), 0);
			break;
		}
	}
	/* What half of them hold goes back with the session. */
	if (w->number & 1)
		EXPECT_EQ(give(&holder, nr_held, held), 0);
	end_holder(&holder);
	return NULL;
}

static void two_stores(u32 duplication, u32 first_policy, u32 second_policy)
{
	struct kvbm_store_config config = config_of(400);
	struct worker w[NR_THREADS] = { 0 };
	struct kvbm_registry *registry = registry_of(800);
	struct kvbm_store *store[2];
	struct kvbm_counters c;
	u64 distinct = 0;
	u32 i, bits;

	config.duplication = duplication;
	config.policy = first_policy;
	store[0] = store_of(registry, config);
	config.policy = second_policy;
	store[1] = store_of(registry, config);
	for (i = 0; i < NR_THREADS; i++) {
		w[i].store = store[i % 2];
		w[i].rounds = 3000;
	}
	run_all(w, NR_THREADS, work);

	for (i = 0; i < UNIVERSE + 16; i++) {
		bits = is_present(store[0], i) + 2 * is_present(store[1], i);
		distinct += !!bits;
	}
	EXPECT_EQ(kvbm_registry_entries(registry), distinct);
	for (i = 0; i < 2; i++) {
		expect_sound(store[i]);
		c = counters_of(store[i]);
		EXPECT_EQ(c.inflight_mutable, 0);
		EXPECT_EQ(c.inflight_immutable, 0);
		EXPECT_EQ(c.reset_pool_size + c.inactive_pool_size, 400);
		EXPECT_EQ(c.allocations, c.allocations_from_reset + c.evictions);
		EXPECT(c.match_blocks_returned > 0);
		EXPECT(c.evictions > 0);
		EXPECT(c.registrations > 0);
		EXPECT(duplication == KVBM_DUP_ALLOW ? c.duplicate_blocks > 0 :
						       c.registration_dedup > 0);
		EXPECT_EQ(store[i]->promised, 0);
		kvbm_store_free(store[i]);
	}
	EXPECT_EQ(kvbm_registry_entries(registry), 0);
	kvbm_registry_free(registry);
}

static void two_stores_allow(void)
{
	two_stores(KVBM_DUP_ALLOW, KVBM_POLICY_LINEAGE_TICK, KVBM_POLICY_MULTI_LRU);
}

static void two_stores_reject(void)
{
	two_stores(KVBM_DUP_REJECT, KVBM_POLICY_LINEAGE_FIFO, policy);
}

/*
 * Waiters of all sizes, with deadlines too short for some of them, against
 * releases, matches that take away what was promised, and ends of sessions.
 */
#define WAITED	(2 * KVBM_CHUNK)

static void *wait_and_release(void *arg)
{
	struct worker *w = arg;
	struct kvbm_token *t = calloc(WAITED, sizeof(*t));
	struct kvbm_hash hashes[32];
	struct kvbm_holder holder;
	u32 round, n, nr_hashes, matched, failed;
	int err;

	kvbm_holder_init(&holder, w->store);
	pthread_barrier_wait(&barrier);
	for (round = 0; round < w->rounds; round++) {
		struct kvbm_allocation a = { .tokens = t };

		n = 1 + random_below(&w->seed, round % 4 ? 24 : WAITED - 32);
		nr_hashes = min(n, random_below(&w->seed, 2) * 16);
		a.count = n;
		a.deadline_ns = random_below(&w->seed, 8) ? kvbm_deadline_in_ms(60000) :
				kvbm_deadline_in_ms(random_below(&w->seed, 2));
		hashes_of(random_below(&w->seed, 16), 32, hashes);
		err = kvbm_holder_acquire(&holder, hashes, nr_hashes, &a, &matched);
		if (err) {
			EXPECT_EQ(err, -ETIMEDOUT);
			w->refused++;
			continue;
		}
		w->granted++;
		if (nr_hashes > matched)
			EXPECT_EQ(kvbm_holder_stage_register(&holder, t + matched,
							     hashes + matched, NULL, NULL,
							     nr_hashes - matched,
							     BLOCK_SIZE,
							     &(struct kvbm_allocation){},
							     &failed, &failed), 0);
		/* So that others run into us on any machine. */
		if (round % 8 == 0)
			usleep(20);
		if (round % 16 == 0) {
			/* The end of a session serves others, too. */
			end_holder(&holder);
			kvbm_holder_init(&holder, w->store);
			continue;
		}
		EXPECT_EQ(give(&holder, n, t), 0);
	}
	end_holder(&holder);
	free(t);
	return NULL;
}

static void waiters(void)
{
	struct worker w[NR_THREADS] = { 0 };
	u32 i, granted = 0, refused = 0;
	struct kvbm_counters c;
	struct fixture f;

	set_up_any(&f, WAITED);
	for (i = 0; i < NR_THREADS; i++) {
		w[i].store = f.store;
		w[i].rounds = 800;
	}
	run_all(w, NR_THREADS, wait_and_release);
	for (i = 0; i < NR_THREADS; i++) {
		granted += w[i].granted;
		refused += w[i].refused;
	}
	c = counters_of(f.store);
	EXPECT_EQ(granted + refused, 800 * NR_THREADS);
	EXPECT_EQ(c.wait_timeouts, refused);
	EXPECT(c.waits > 0);
	printf("# %llu waits, %u timeouts\n", (unsigned long long)c.waits, refused);
	tear_down(&f);
}

/* A session ends, or its manager, while its threads wait. */
static void *wait_in_shared(void *arg)
{
	struct worker *w = arg;
	struct kvbm_token t[4];
	struct kvbm_allocation a = {
		.count = 1 + w->number % 4,
		.tokens = t,
		.deadline_ns = kvbm_deadline_in_ms(60000),
	};
	int err;

	pthread_barrier_wait(&barrier);
	if (!w->number) {
		struct kvbm_reclaim reclaim;

		if (w->size)
			EXPECT_EQ(kvbm_store_shutdown(w->store, true), 0);
		else
			kvbm_holder_release_all(w->holder, true, &reclaim);
		return NULL;
	}
	err = kvbm_holder_allocate(w->holder, &a);
	if (w->size)
		EXPECT_EQ(err, -ESHUTDOWN);
	else
		EXPECT_EQ(err, -EOWNERDEAD);
	return NULL;
}

static void end_of_waiting(bool shutdown)
{
	struct worker w[NR_THREADS];
	struct kvbm_token t[8];
	struct kvbm_holder one;
	struct fixture f;
	u32 i, round;

	for (round = 0; round < 50; round++) {
		set_up_any(&f, 8);
		kvbm_holder_init(&one, f.store);
		ASSERT_EQ(take(&f.holder, 8, t), 0);
		memset(w, 0, sizeof(w));
		for (i = 0; i < NR_THREADS; i++) {
			w[i].store = f.store;
			w[i].holder = &one;
			w[i].size = shutdown;
		}
		run_all(w, NR_THREADS, wait_in_shared);
		end_holder(&one);
		tear_down(&f);
	}
}

static void session_ends_with_waiters(void)
{
	end_of_waiting(false);
}

static void manager_ends_with_waiters(void)
{
	end_of_waiting(true);
}

/* A lookup at the moment of the last release finds the block, once. */
static void *match_and_release(void *arg)
{
	struct worker *w = arg;
	struct kvbm_holder holder;
	struct kvbm_token t;
	u32 round, n;

	kvbm_holder_init(&holder, w->store);
	pthread_barrier_wait(&barrier);
	for (round = 0; round < w->rounds; round++) {
		EXPECT_EQ(match(&holder, 0, 1, &t, &n), 0);
		EXPECT_EQ(n, 1);
		EXPECT_EQ(give(&holder, 1, &t), 0);
	}
	end_holder(&holder);
	return NULL;
}

static void match_against_last_release(void)
{
	struct worker w[NR_THREADS] = { 0 };
	struct fixture f;
	u32 i;

	set_up_any(&f, 4);
	cache(&f.holder, 0, 1);
	for (i = 0; i < NR_THREADS; i++) {
		w[i].store = f.store;
		w[i].rounds = 2000;
	}
	run_all(w, NR_THREADS, match_and_release);
	EXPECT_EQ(f.store->counters.match_blocks_returned, NR_THREADS * 2000);
	EXPECT_EQ(state_of(&f, 0), KVBM_STATE_INACTIVE);
	tear_down(&f);
}

/* One session, used by all: its own mutex is enough. */
static struct kvbm_holder shared;

static void *use_shared(void *arg)
{
	struct worker *w = arg;
	struct kvbm_token t[4];
	u32 round;

	for (round = 0; round < w->rounds; round++) {
		EXPECT_EQ(take(&shared, 4, t), 0);
		EXPECT_EQ(give(&shared, 4, t), 0);
	}
	return NULL;
}

static void one_session(void)
{
	struct worker w[NR_THREADS] = { 0 };
	struct fixture f;
	u32 i;

	set_up_any(&f, 4 * NR_THREADS);
	kvbm_holder_init(&shared, f.store);
	for (i = 0; i < NR_THREADS; i++)
		w[i].rounds = 1000;
	run_all(w, NR_THREADS, use_shared);
	EXPECT_EQ(shared.guards, 0);
	end_holder(&shared);
	tear_down(&f);
}

/* Sessions end while others of the same store are at work. */
static void *end_early(void *arg)
{
	struct worker *w = arg;
	struct kvbm_token t[8];
	struct kvbm_holder holder;
	u32 round, n;

	for (round = 0; round < w->rounds; round++) {
		kvbm_holder_init(&holder, w->store);
		EXPECT_EQ(take(&holder, 4, t), 0);
		EXPECT_EQ(stage(&holder, w->number * 4, 4, t), 0);
		if (round & 1)
			EXPECT_EQ(reg(&holder, 4, t, NULL), 0);
		EXPECT_EQ(match(&holder, 0, 8, t, &n), 0);
		end_holder(&holder);
	}
	return NULL;
}

static void sessions_end(void)
{
	struct worker w[NR_THREADS] = { 0 };
	struct fixture f;
	u32 i;

	/* Enough that nobody waits for blocks: 12 distinct ones a session. */
	set_up_any(&f, 12 * NR_THREADS);
	for (i = 0; i < NR_THREADS; i++) {
		w[i].store = f.store;
		w[i].rounds = 300;
	}
	run_all(w, NR_THREADS, end_early);
	tear_down(&f);
}

/* Stores come and go in a registry that others use. */
static struct kvbm_registry *busy_registry;
static struct mutex join_lock;

static void *come_and_go(void *arg)
{
	struct worker *w = arg;
	struct kvbm_store_config config = config_of(100 + 4000 * (w->number & 1));
	struct kvbm_token *t = calloc(100, sizeof(*t));
	struct kvbm_holder holder;
	struct kvbm_store *store;
	u32 round, first, n;
	int err;

	for (round = 0; round < w->rounds; round++) {
		mutex_lock(&join_lock);
		err = kvbm_store_alloc(busy_registry, &config, &store);
		mutex_unlock(&join_lock);
		if (!EXPECT_EQ(err, 0))
			break;
		kvbm_holder_init(&holder, store);
		for (first = 0; first < 1000; first += 50) {
			n = 20 + random_below(&w->seed, 30);
			EXPECT_EQ(take(&holder, n, t), 0);
			EXPECT_EQ(stage(&holder, first + w->number, n, t), 0);
			EXPECT_EQ(reg(&holder, n, t, NULL), 0);
			EXPECT_EQ(give(&holder, n, t), 0);
		}
		end_holder(&holder);
		expect_sound(store);
		mutex_lock(&join_lock);
		kvbm_store_free(store);
		mutex_unlock(&join_lock);
	}
	free(t);
	return NULL;
}

static void stores_come_and_go(void)
{
	struct worker w[NR_THREADS] = { 0 };
	u32 i;

	ASSERT_EQ(kvbm_registry_alloc(NR_THREADS * 4200, KVBM_SCHEMA_PLH,
				      &busy_registry), 0);
	mutex_init(&join_lock);
	for (i = 0; i < NR_THREADS; i++)
		w[i].rounds = 20;
	run_all(w, NR_THREADS, come_and_go);
	EXPECT_EQ(kvbm_registry_entries(busy_registry), 0);
	EXPECT_EQ(kvbm_registry_blocks(busy_registry), 0);
	mutex_destroy(&join_lock);
	kvbm_registry_free(busy_registry);
}

/* Two threads make the fork page, or find it made; sessions of one store. */
static struct kvbm *kvbm;
static uint64_t manager;

static void *use_library(void *arg)
{
	struct worker *w = arg;
	struct kvbm_session *session;
	struct kvbm_manager_query q;
	struct kvbm_mutable m[3];
	struct kvbm_counters c;
	u32 round;

	pthread_barrier_wait(&barrier);
	for (round = 0; round < w->rounds; round++) {
		if (!EXPECT_EQ(kvbm_bind(kvbm, manager, 0, &session), 0))
			break;
		EXPECT_EQ(kvbm_allocate(session, 3, m, NULL, NULL), 0);
		EXPECT_EQ(kvbm_query_manager(kvbm, manager, &q), 0);
		EXPECT(q.out_sessions > 0);
		EXPECT_EQ(kvbm_manager_counters(kvbm, manager, &c), 0);
		EXPECT(c.inflight_mutable >= 3);
		kvbm_session_close(session);
	}
	return NULL;
}

static void library(void)
{
	struct kvbm_registry_create ra;
	struct kvbm_manager_create ma;
	struct worker w[NR_THREADS] = { 0 };
	struct kvbm_counters c;
	uint64_t registry;
	u32 i;

	ASSERT_EQ(kvbm_open("inproc:", &kvbm), 0);
	kvbm_registry_attr_init(&ra, "r");
	ASSERT_EQ(kvbm_create_registry(kvbm, &ra, &registry), 0);
	kvbm_manager_attr_init(&ma, registry, "m", 3 * NR_THREADS);
	ASSERT_EQ(kvbm_create_manager(kvbm, &ma, &manager), 0);
	for (i = 0; i < NR_THREADS; i++)
		w[i].rounds = 200;
	run_all(w, NR_THREADS, use_library);
	EXPECT_EQ(kvbm_manager_counters(kvbm, manager, &c), 0);
	EXPECT_EQ(c.reclaimed_sessions, NR_THREADS * 200);
	EXPECT_EQ(c.reclaimed_mutable, 3 * NR_THREADS * 200);
	EXPECT_EQ(c.reset_pool_size, 3 * NR_THREADS);
	kvbm_close(kvbm);
}

static const struct tap_test tests[] = {
	TEST(no_over_commit_small),
	TEST(no_over_commit_large),
	TEST(two_stores_allow),
	TEST(two_stores_reject),
	TEST(waiters),
	TEST(session_ends_with_waiters),
	TEST(manager_ends_with_waiters),
	TEST(match_against_last_release),
	TEST(one_session),
	TEST(sessions_end),
	TEST(stores_come_and_go),
	TEST(library),
};

int main(void)
{
	const char *text = getenv("POLICY");

	policy = text ? strtoul(text, NULL, 0) :
		 KVBM_POLICY_FIFO + (u32)time(NULL) % KVBM_POLICY_LINEAGE_FIFO;
	printf("# POLICY=%u (%s)\n", policy, kvbm_policy_name(policy));
	return tap_run(tests, ARRAY_SIZE(tests));
}
