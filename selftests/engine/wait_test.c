// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The queue of those who wait for blocks: step by step in one thread, as its
 * users take the steps, and then with threads.
 */
#include <pthread.h>
#include <time.h>

#include "fixture.h"

#define MANY	(2 * KVBM_CHUNK)
/* Under one hold, and not the last ones there are. */
#define FEW	(KVBM_CHUNK - 8)

/* One call: its allocation, and its place in the queue. */
struct caller {
	struct kvbm_allocation a;
	struct kvbm_waiter w;
};

static struct caller caller_of(struct fixture *f)
{
	return (struct caller){
		.a.deadline_ns = kvbm_deadline_in_ms(60000),
		.w.holder = &f->holder,
	};
}

static int claim(struct fixture *f, struct caller *c, u32 need)
{
	int err;

	if (!c->a.total)
		c->a.total = need;
	spin_lock(&f->store->lock);
	err = kvbm_store_claim(f->store, need, &c->a, &c->w);
	kvbm_store_unlock(f->store);
	return err;
}

/* Whether the event came; and, with it, the promise. */
static bool is_served(struct caller *c)
{
	bool done;

	pthread_mutex_lock(&c->w.event.lock);
	done = c->w.event.done;
	pthread_mutex_unlock(&c->w.event.lock);
	EXPECT_EQ(done && !c->w.err, !!c->w.granted);
	EXPECT_EQ(done, !c->w.queued);
	return done;
}

static u32 pollable(struct fixture *f)
{
	u32 available;

	EXPECT(kvbm_store_poll(f->store, &available));
	return available;
}

static u64 freed(struct fixture *f)
{
	return f->store->counters.freed;
}

static void in_order(void)
{
	struct caller c[4];
	struct kvbm_token t[10], one;
	struct fixture f;
	u32 i;

	set_up(&f, 10);
	for (i = 0; i < 4; i++)
		c[i] = caller_of(&f);
	ASSERT_EQ(take(&f.holder, 10, t), 0);
	EXPECT_EQ(claim(&f, &c[0], 4), -EAGAIN);
	EXPECT_EQ(claim(&f, &c[1], 1), -EAGAIN);
	EXPECT_EQ(claim(&f, &c[2], 2), -EAGAIN);
	EXPECT_EQ(claim(&f, &c[3], 1), -EAGAIN);
	ASSERT_EQ(give(&f.holder, 3, t), 0);
	/* Three are there, but the first wants four. */
	for (i = 0; i < 4; i++)
		EXPECT(!is_served(&c[i]));
	EXPECT_EQ(pollable(&f), 0);
	EXPECT_EQ(take(&f.holder, 1, &one), -ENOSPC);
	/* Five serve two of them. */
	ASSERT_EQ(give(&f.holder, 2, t + 3), 0);
	EXPECT(is_served(&c[0]));
	EXPECT(is_served(&c[1]));
	EXPECT(!is_served(&c[2]));
	EXPECT_EQ(f.store->promised, 5);
	/* Promised is not there for others, whoever comes first now. */
	EXPECT_EQ(take(&f.holder, 1, &one), -ENOSPC);
	ASSERT_EQ(give(&f.holder, 5, t + 5), 0);
	EXPECT(is_served(&c[2]));
	EXPECT(is_served(&c[3]));
	EXPECT_EQ(f.store->promised, 8);
	EXPECT_EQ(pollable(&f), 2);
	EXPECT_EQ(take(&f.holder, 3, t), -ENOSPC);
	EXPECT_EQ(take(&f.holder, 2, t), 0);
	ASSERT_EQ(give(&f.holder, 2, t), 0);
	/* They come in any order, and find what they were promised. */
	EXPECT_EQ(claim(&f, &c[2], 2), 0);
	EXPECT_EQ(claim(&f, &c[0], 4), 0);
	EXPECT_EQ(claim(&f, &c[1], 1), 0);
	EXPECT_EQ(claim(&f, &c[3], 1), 0);
	EXPECT_EQ(f.store->counters.waits, 4);
	tear_down(&f);
}

/* Matches do not ask for promises: who loses one stays the first. */
static void promise_is_lost(void)
{
	struct caller first, second;
	struct kvbm_token t[6], m[2];
	struct fixture f;
	u32 n;

	set_up(&f, 6);
	first = caller_of(&f);
	second = caller_of(&f);
	fill(&f.holder, 0, 2, m);
	ASSERT_EQ(take(&f.holder, 4, t), 0);
	EXPECT_EQ(claim(&f, &first, 3), -EAGAIN);
	EXPECT_EQ(claim(&f, &second, 1), -EAGAIN);
	ASSERT_EQ(give(&f.holder, 2, m), 0);
	ASSERT_EQ(give(&f.holder, 1, t), 0);
	EXPECT(is_served(&first));
	EXPECT(!is_served(&second));
	EXPECT_EQ(match(&f.holder, 0, 2, m, &n), 0);
	EXPECT_EQ(n, 2);
	EXPECT_EQ(claim(&f, &first, 3), -EAGAIN);
	EXPECT_EQ(f.store->promised, 0);
	EXPECT(f.store->first_waiter == &first.w);
	EXPECT(f.store->last_waiter == &second.w);
	/* One wait, not two. */
	EXPECT_EQ(f.store->counters.waits, 2);
	ASSERT_EQ(give(&f.holder, 1, t + 1), 0);
	EXPECT(!is_served(&second));
	ASSERT_EQ(give(&f.holder, 1, t + 2), 0);
	EXPECT(is_served(&first));
	EXPECT_EQ(claim(&f, &first, 3), 0);
	ASSERT_EQ(give(&f.holder, 1, t + 3), 0);
	/* Nothing was taken: there are enough for both. */
	EXPECT(is_served(&second));
	EXPECT_EQ(claim(&f, &second, 1), 0);
	tear_down(&f);
}

/* Three lose what they were promised, and come back in another order. */
static void places_are_kept(void)
{
	static const u32 order[] = { 1, 2, 0 };
	struct kvbm_token t[6], m[3];
	struct kvbm_waiter *w;
	struct caller c[4];
	struct fixture f;
	u32 i, n;

	set_up(&f, 6);
	fill(&f.holder, 0, 3, m);
	ASSERT_EQ(take(&f.holder, 3, t), 0);
	for (i = 0; i < 4; i++) {
		c[i] = caller_of(&f);
		EXPECT_EQ(claim(&f, &c[i], 1), -EAGAIN);
	}
	ASSERT_EQ(give(&f.holder, 3, m), 0);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(is_served(&c[i]), i < 3);
	EXPECT_EQ(match(&f.holder, 0, 3, m, &n), 0);
	EXPECT_EQ(n, 3);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(claim(&f, &c[order[i]], 1), -EAGAIN);
	for (i = 0, w = f.store->first_waiter; i < 4; i++, w = w->next)
		ASSERT(w == &c[i].w);
	EXPECT(!w);
	EXPECT(f.store->last_waiter == &c[3].w);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(give(&f.holder, 1, t + i), 0);
		EXPECT(is_served(&c[i]));
		EXPECT(!is_served(&c[i + 1]));
	}
	/* They take nothing: one is enough for the last. */
	kvbm_store_unclaim(f.store, &c[0].w);
	EXPECT(is_served(&c[3]));
	for (i = 1; i < 4; i++)
		kvbm_store_unclaim(f.store, &c[i].w);
	EXPECT_EQ(f.store->counters.waits, 4);
	tear_down(&f);
}

/* Who wants less in the end, or nothing, leaves the rest to others. */
static void promise_is_not_used(void)
{
	struct caller first, second;
	struct kvbm_token t[4];
	struct fixture f;
	u64 before;

	set_up(&f, 4);
	first = caller_of(&f);
	second = caller_of(&f);
	ASSERT_EQ(take(&f.holder, 4, t), 0);
	EXPECT_EQ(claim(&f, &first, 4), -EAGAIN);
	EXPECT_EQ(claim(&f, &second, 2), -EAGAIN);
	ASSERT_EQ(give(&f.holder, 4, t), 0);
	EXPECT(is_served(&first));
	EXPECT(!is_served(&second));
	before = freed(&f);
	EXPECT_EQ(claim(&f, &first, 0), 0);
	EXPECT(freed(&f) > before);
	EXPECT(is_served(&second));
	before = freed(&f);
	kvbm_store_unclaim(f.store, &second.w);
	EXPECT(freed(&f) > before);
	EXPECT_EQ(f.store->promised, 0);
	EXPECT_EQ(pollable(&f), 4);
	/* Without a promise there is nothing to hand in. */
	before = freed(&f);
	kvbm_store_unclaim(f.store, &second.w);
	EXPECT_EQ(freed(&f), before);
	tear_down(&f);
}

/* No wait for what cannot come. */
static void in_vain(void)
{
	struct kvbm_store_config config = config_of(10);
	struct caller c;
	struct kvbm_token t[8];
	struct fixture f;

	config.nr_reserved = 2;
	set_up_with(&f, config);
	c = caller_of(&f);
	ASSERT_EQ(take(&f.holder, 8, t), 0);
	EXPECT_EQ(claim(&f, &c, 9), -ENOSPC);
	/* Whatever of it is matched now. */
	EXPECT_EQ(claim(&f, &c, 1), -ENOSPC);
	EXPECT_EQ(f.store->counters.waits, 0);
	EXPECT_EQ(f.store->counters.allocation_failures, 2);
	c.a.total = 8;
	c.w.revived = 3;
	EXPECT_EQ(claim(&f, &c, 5), -EAGAIN);
	EXPECT_EQ(c.w.count, 8);
	EXPECT_EQ(f.store->counters.waits, 1);
	ASSERT_EQ(give(&f.holder, 8, t), 0);
	EXPECT(is_served(&c));
	kvbm_store_unclaim(f.store, &c.w);
	/* And none without a deadline. */
	ASSERT_EQ(take(&f.holder, 8, t), 0);
	c = caller_of(&f);
	c.a.deadline_ns = 0;
	EXPECT_EQ(claim(&f, &c, 1), -ENOSPC);
	EXPECT_EQ(c.a.freed, freed(&f));
	tear_down(&f);
}

/* The first gives up: the next one is served, who was refused may try again. */
static void give_up(void)
{
	struct caller first, second;
	struct kvbm_token t[4];
	struct fixture f;
	u64 before;

	set_up(&f, 4);
	first = caller_of(&f);
	second = caller_of(&f);
	ASSERT_EQ(take(&f.holder, 4, t), 0);
	EXPECT_EQ(claim(&f, &first, 4), -EAGAIN);
	EXPECT_EQ(claim(&f, &second, 1), -EAGAIN);
	ASSERT_EQ(give(&f.holder, 2, t), 0);
	EXPECT(!is_served(&second));
	before = freed(&f);
	first.a.deadline_ns = 1;
	EXPECT_EQ(kvbm_store_wait(f.store, &first.w, &first.a), -ETIMEDOUT);
	EXPECT_EQ(freed(&f), before + 1);
	/* What it knows is what is so after it gave up. */
	EXPECT_EQ(first.a.freed, freed(&f));
	EXPECT(is_served(&second));
	EXPECT_EQ(kvbm_store_wait(f.store, &second.w, &second.a), 0);
	EXPECT_EQ(claim(&f, &second, 1), 0);
	EXPECT_EQ(f.store->counters.wait_timeouts, 1);
	tear_down(&f);
}

/* The middle of the queue, then its end, then its begin. */
static void leave_from_anywhere(void)
{
	static const u32 order[] = { 1, 3, 0, 2 };
	struct kvbm_token t[4];
	struct caller c[4];
	struct fixture f;
	u32 i, j, n;

	set_up(&f, 4);
	ASSERT_EQ(take(&f.holder, 4, t), 0);
	for (i = 0; i < 4; i++) {
		c[i] = caller_of(&f);
		EXPECT_EQ(claim(&f, &c[i], 1), -EAGAIN);
	}
	for (i = 0; i < 4; i++) {
		struct kvbm_waiter *w, *prev = NULL;

		c[order[i]].a.deadline_ns = 1;
		EXPECT_EQ(kvbm_store_wait(f.store, &c[order[i]].w, &c[order[i]].a),
			  -ETIMEDOUT);
		n = 0;
		for (w = f.store->first_waiter; w; w = w->next) {
			EXPECT(w->prev == prev);
			prev = w;
			n++;
		}
		EXPECT(f.store->last_waiter == prev);
		EXPECT_EQ(n, 3 - i);
		for (j = 0; j <= i; j++)
			EXPECT(!c[order[j]].w.queued);
	}
	tear_down(&f);
}

/* Time is up, and at that moment it is served: it was served. */
static void *signal_later(void *arg)
{
	struct caller *c = arg;

	usleep(50000);
	kvbm_event_signal(&c->w.event);
	return NULL;
}

static void served_at_the_last_moment(void)
{
	struct kvbm_token t[4];
	struct caller c;
	pthread_t thread;
	struct fixture f;

	set_up(&f, 4);
	ASSERT_EQ(take(&f.holder, 4, t), 0);
	c = caller_of(&f);
	EXPECT_EQ(claim(&f, &c, 2), -EAGAIN);
	/* As who serves it leaves things before the signal. */
	spin_lock(&f.store->lock);
	f.store->first_waiter = NULL;
	f.store->last_waiter = NULL;
	c.w.queued = false;
	c.w.granted = 2;
	f.store->promised = 2;
	spin_unlock(&f.store->lock);
	c.a.deadline_ns = 1;
	ASSERT_EQ(pthread_create(&thread, NULL, signal_later, &c), 0);
	EXPECT_EQ(kvbm_store_wait(f.store, &c.w, &c.a), 0);
	/* Nobody touches it any more. */
	EXPECT(c.w.event.done);
	pthread_join(thread, NULL);
	kvbm_store_unclaim(f.store, &c.w);
	EXPECT_EQ(f.store->counters.wait_timeouts, 0);
	tear_down(&f);
}

static void cancel_of_one_session(void)
{
	struct kvbm_holder other;
	struct caller c[3];
	struct kvbm_token t[4];
	struct fixture f;
	u32 i;

	set_up(&f, 4);
	kvbm_holder_init(&other, f.store);
	ASSERT_EQ(take(&f.holder, 4, t), 0);
	for (i = 0; i < 3; i++) {
		c[i] = caller_of(&f);
		if (i == 1)
			c[i].w.holder = &other;
		EXPECT_EQ(claim(&f, &c[i], 4 - i), -EAGAIN);
	}
	kvbm_store_cancel_waiters(f.store, &other, -EOWNERDEAD);
	EXPECT(!is_served(&c[0]));
	EXPECT(!is_served(&c[2]));
	EXPECT(is_served(&c[1]));
	EXPECT_EQ(kvbm_store_wait(f.store, &c[1].w, &c[1].a), -EOWNERDEAD);
	ASSERT_EQ(give(&f.holder, 3, t), 0);
	EXPECT(!is_served(&c[2]));
	/* Those behind the first profit from its end. */
	kvbm_store_cancel_waiters(f.store, &f.holder, -EOWNERDEAD);
	EXPECT_EQ(kvbm_store_wait(f.store, &c[0].w, &c[0].a), -EOWNERDEAD);
	EXPECT_EQ(kvbm_store_wait(f.store, &c[2].w, &c[2].a), -EOWNERDEAD);
	EXPECT(!f.store->first_waiter && !f.store->last_waiter);
	end_holder(&other);
	tear_down(&f);
}

static void shutdown_cancels_all(void)
{
	struct kvbm_token t[4];
	struct caller c[2];
	struct fixture f;

	set_up(&f, 4);
	c[0] = caller_of(&f);
	c[1] = caller_of(&f);
	ASSERT_EQ(take(&f.holder, 4, t), 0);
	EXPECT_EQ(claim(&f, &c[0], 4), -EAGAIN);
	EXPECT_EQ(claim(&f, &c[1], 1), -EAGAIN);
	EXPECT_EQ(kvbm_store_shutdown(f.store, false), -EBUSY);
	EXPECT(!is_served(&c[0]));
	EXPECT_EQ(kvbm_store_shutdown(f.store, true), 0);
	EXPECT_EQ(kvbm_store_wait(f.store, &c[0].w, &c[0].a), -ESHUTDOWN);
	EXPECT_EQ(kvbm_store_wait(f.store, &c[1].w, &c[1].a), -ESHUTDOWN);
	tear_down(&f);
}

/* Whoever polls is told of everything that may be good for him. */
static u32 notified;

static void note(void *arg)
{
	EXPECT(arg == &notified);
	notified++;
}

static u32 notices(void)
{
	u32 n = notified;

	notified = 0;
	return n;
}

static void pollers_are_told(void)
{
	struct kvbm_token t[8], m;
	struct caller c[2];
	struct fixture f;
	u32 n;

	set_up(&f, 8);
	kvbm_store_publish(f.store, 5, KVBM_TIER_G1, note, &notified);
	fill(&f.holder, 0, 1, &m);
	ASSERT_EQ(take(&f.holder, 7, t), 0);
	EXPECT_EQ(notices(), 0);
	EXPECT_EQ(give(&f.holder, 1, &m), 0);
	EXPECT_EQ(notices(), 1);
	EXPECT_EQ(match(&f.holder, 0, 1, &m, &n), 0);
	EXPECT_EQ(notices(), 0);
	EXPECT_EQ(give(&f.holder, 3, t), 0);
	EXPECT_EQ(notices(), 1);
	/* Three are free, and kept for the first; then he gives up. */
	c[0] = caller_of(&f);
	c[1] = caller_of(&f);
	EXPECT_EQ(claim(&f, &c[0], 5), -EAGAIN);
	EXPECT_EQ(notices(), 0);
	EXPECT_EQ(pollable(&f), 0);
	c[0].a.deadline_ns = 1;
	EXPECT_EQ(kvbm_store_wait(f.store, &c[0].w, &c[0].a), -ETIMEDOUT);
	EXPECT_EQ(pollable(&f), 3);
	EXPECT_EQ(notices(), 1);
	/* The same when a session ends that waited, and held nothing. */
	EXPECT_EQ(claim(&f, &c[1], 5), -EAGAIN);
	kvbm_store_cancel_waiters(f.store, &f.holder, -EOWNERDEAD);
	EXPECT_EQ(notices(), 1);
	EXPECT_EQ(kvbm_store_shutdown(f.store, true), 0);
	EXPECT(notices() > 0);
	EXPECT_EQ(give(&f.holder, 1, &m), 0);
	tear_down(&f);
}

/* A large allocation that fails half way had kept blocks from others. */
static struct {
	struct fixture *f;
	struct kvbm_holder other;
	struct kvbm_token t[MANY];
	u64 refused_at;
	bool done;
} between;

static void refuse_and_match(void)
{
	struct kvbm_allocation a = { .count = FEW, .tokens = between.t };
	u32 n;

	/* After the first chunk, which is as early as there is somebody else. */
	if (between.done || between.f->store->promised == 0)
		return;
	between.done = true;
	EXPECT_EQ(kvbm_holder_allocate(&between.other, &a), -ENOSPC);
	between.refused_at = a.freed;
	EXPECT_EQ(match(&between.other, MANY - 20, 20, between.t, &n), 0);
	EXPECT_EQ(n, 20);
}

static void large_gives_up(void)
{
	struct kvbm_token *t = calloc(MANY, sizeof(*t));
	struct fixture f;

	set_up(&f, MANY);
	cache(&f.holder, 0, MANY);
	memset(&between, 0, sizeof(between));
	between.f = &f;
	kvbm_holder_init(&between.other, f.store);
	kvbm_relax_hook = refuse_and_match;
	EXPECT_EQ(take(&f.holder, MANY, t), -ENOSPC);
	kvbm_relax_hook = NULL;
	EXPECT(between.done);
	EXPECT(freed(&f) > between.refused_at);
	EXPECT_EQ(take(&between.other, FEW, between.t), 0);
	end_holder(&between.other);
	tear_down(&f);
	free(t);
}

/* What a scan marks, to give it once, the next one knows nothing of. */
static void scans_leave_no_marks(void)
{
	struct kvbm_token t[5], got[2];
	struct kvbm_hash hashes[2];
	struct fixture f;
	u32 n, i;

	set_up(&f, 8);
	for (i = 0; i < 5; i++) {
		fill(&f.holder, i, 1, &t[i]);
		hashes[0] = hash_of(0);
		hashes[1] = hash_of(i);
		EXPECT_EQ(kvbm_holder_match(&f.holder, hashes, 2, KVBM_LOOKUP_SCAN,
					    got, &n), 0);
		EXPECT_EQ(n, i ? 2 : 1);
		EXPECT_EQ(f.holder.marked, KVBM_NIL);
		EXPECT_EQ(give(&f.holder, n, got), 0);
	}
	tear_down(&f);
}

/* With threads. */

struct thread {
	pthread_t thread;
	struct kvbm_holder *holder;
	u32 count;
	u32 nr_hashes;
	u32 matched;
	int err;
	struct kvbm_token t[MANY];
};

static void *wait_for_blocks(void *arg)
{
	struct thread *t = arg;
	struct kvbm_hash hashes[MANY];
	struct kvbm_allocation a = {
		.count = t->count,
		.tokens = t->t,
		.deadline_ns = kvbm_deadline_in_ms(60000),
	};

	hashes_of(0, t->nr_hashes, hashes);
	t->err = kvbm_holder_acquire(t->holder, hashes, t->nr_hashes, &a, &t->matched);
	return NULL;
}

static void start(struct fixture *f, struct thread *t)
{
	u64 before = counters_of(f->store).waits;

	ASSERT_EQ(pthread_create(&t->thread, NULL, wait_for_blocks, t), 0);
	while (counters_of(f->store).waits == before)
		usleep(500);
}

/* It began, lost blocks half way, and waits for them: that is no refusal. */
static void large_begins_again(void)
{
	static struct thread large;
	struct kvbm_holder other;
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, MANY);
	cache(&f.holder, 0, MANY);
	memset(&between, 0, sizeof(between));
	between.f = &f;
	kvbm_holder_init(&between.other, f.store);
	kvbm_holder_init(&other, f.store);
	kvbm_relax_hook = refuse_and_match;
	large = (struct thread){ .holder = &other, .count = MANY };
	start(&f, &large);
	kvbm_relax_hook = NULL;
	c = counters_of(f.store);
	EXPECT_EQ(c.allocate_atomic_rollback, 1);
	EXPECT_EQ(c.waits, 1);
	/* The one that it was preferred to. */
	EXPECT_EQ(c.allocation_failures, 1);
	EXPECT_EQ(give(&between.other, 20, between.t), 0);
	pthread_join(large.thread, NULL);
	EXPECT_EQ(large.err, 0);
	EXPECT_EQ(other.guards, MANY);
	EXPECT_EQ(counters_of(f.store).allocation_failures, 1);
	end_holder(&between.other);
	end_holder(&other);
	tear_down(&f);
}

/* A session ends while one of its threads waits. */
static void session_ends(void)
{
	static struct thread waiting, next;
	struct kvbm_reclaim reclaim;
	struct kvbm_holder other;
	struct kvbm_token t[4];
	struct fixture f;

	set_up(&f, 4);
	kvbm_holder_init(&other, f.store);
	waiting = (struct thread){ .holder = &other, .count = 4 };
	next = (struct thread){ .holder = &f.holder, .count = 1 };
	ASSERT_EQ(take(&f.holder, 3, t), 0);
	ASSERT_EQ(take(&other, 1, t + 3), 0);
	start(&f, &waiting);
	start(&f, &next);
	/* Its own block and its place go to the next. */
	kvbm_holder_release_all(&other, true, &reclaim);
	pthread_join(waiting.thread, NULL);
	EXPECT_EQ(waiting.err, -EOWNERDEAD);
	pthread_join(next.thread, NULL);
	EXPECT_EQ(next.err, 0);
	kvbm_holder_destroy(&other);
	tear_down(&f);
}

/* What a large one had matched is in the pool again while it waits. */
static void large_waits_empty_handed(void)
{
	static struct thread large;
	struct kvbm_holder other;
	struct kvbm_token t[MANY];
	struct fixture f;

	set_up(&f, MANY);
	kvbm_holder_init(&other, f.store);
	cache(&f.holder, 0, 10);
	ASSERT_EQ(take(&f.holder, MANY - 10, t), 0);
	large = (struct thread){
		.holder = &other,
		.count = MANY - 20,
		.nr_hashes = 10,
	};
	start(&f, &large);
	/* Held for a moment, or not: they come back in the order of release. */
	while (counters_of(f.store).inactive_pool_size != 10)
		usleep(500);
	EXPECT_EQ(give(&f.holder, MANY - 10, t), 0);
	pthread_join(large.thread, NULL);
	EXPECT_EQ(large.err, 0);
	EXPECT_EQ(large.matched, 10);
	EXPECT_EQ(other.guards, MANY - 20);
	end_holder(&other);
	tear_down(&f);
}

static const struct tap_test tests[] = {
	TEST(in_order),
	TEST(promise_is_lost),
	TEST(places_are_kept),
	TEST(promise_is_not_used),
	TEST(in_vain),
	TEST(give_up),
	TEST(leave_from_anywhere),
	TEST(served_at_the_last_moment),
	TEST(cancel_of_one_session),
	TEST(shutdown_cancels_all),
	TEST(pollers_are_told),
	TEST(large_gives_up),
	TEST(scans_leave_no_marks),
	TEST(large_begins_again),
	TEST(session_ends),
	TEST(large_waits_empty_handed),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
