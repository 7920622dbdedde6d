// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Waiting for blocks through libkvbm, on either backend.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "lib_fixture.h"

#define BLOCKS	300
#define LONG_MS	60000

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/**
 * struct waiter - a thread that waits
 * @s: session; its own if none was given
 * @n: blocks
 * @nr_hashes: of the chain that starts at 0, to acquire
 * @ms: until when, from its start on
 * @err: what came of it
 * @place: in the order of those that were done, from 1
 */
struct waiter {
	struct fixture *f;
	struct kvbm_session *s;
	bool own;
	size_t n;
	size_t nr_hashes;
	uint64_t ms;
	int err;
	int place;
	struct kvbm_terms terms;
	struct kvbm_acquired got;
	struct kvbm_mutable m[BLOCKS];
	struct kvbm_immutable im[BLOCKS];
	pthread_t thread;
};

static int places;

static void *wait_for_blocks(void *arg)
{
	struct kvbm_hash h[BLOCKS];
	struct waiter *w = arg;

	w->terms.deadline_ns = kvbm_deadline_in_ms(w->ms);
	if (w->nr_hashes) {
		hashes_of(0, w->nr_hashes, h);
		w->err = kvbm_acquire_until(w->s, h, w->nr_hashes, w->n, w->im, w->m,
					    &w->terms, &w->got);
	} else {
		w->err = kvbm_allocate_until(w->s, w->n, w->m, &w->terms);
	}
	w->place = __atomic_add_fetch(&places, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Start one, and be sure that it waits before going on. */
static void start(struct fixture *f, struct waiter *w, size_t n)
{
	uint64_t before = counters(f).waits;

	w->f = f;
	w->n = n;
	if (!w->ms)
		w->ms = LONG_MS;
	if (!w->s) {
		w->own = true;
		ASSERT_EQ(kvbm_bind(f->kvbm, f->manager, 0, &w->s), 0);
	}
	w->err = 1;
	w->place = 0;
	ASSERT_EQ(pthread_create(&w->thread, NULL, wait_for_blocks, w), 0);
	while (counters(f).waits == before)
		usleep(1000);
}

static int join(struct waiter *w)
{
	pthread_join(w->thread, NULL);
	return w->err;
}

/* Also when it is waiting still, by its place, after a while. */
static bool is_waiting(const struct waiter *w)
{
	usleep(30000);
	return !__atomic_load_n(&w->place, __ATOMIC_SEQ_CST);
}

static void end(struct waiter *w)
{
	if (w->own)
		kvbm_session_close(w->s);
	w->s = NULL;
}

static void deadlines(void)
{
	uint64_t before = now_ns(), at = kvbm_deadline_in_ms(1000), after = now_ns();

	EXPECT(at >= before + 1000000000);
	EXPECT(at <= after + 1000000001);
	EXPECT(kvbm_deadline_in_ms(0) > before);
	EXPECT_EQ(kvbm_deadline_in_ms(UINT64_MAX), UINT64_MAX);
	EXPECT_EQ(kvbm_deadline_in_ms(UINT64_MAX / 1000000), UINT64_MAX);
	EXPECT(kvbm_deadline_in_ms(UINT64_MAX / 2000000) < UINT64_MAX);
}

static void no_need_to_wait(void)
{
	struct kvbm_hash evicted[4], h[4];
	struct kvbm_terms terms = {
		.deadline_ns = kvbm_deadline_in_ms(LONG_MS),
		.evicted = evicted,
		.nr_evicted = 77,
	};
	struct kvbm_immutable im[4];
	struct kvbm_mutable m[4];
	struct kvbm_acquired got;
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, 4);
	hashes_of(0, 4, h);
	fill(&f, 0, 4, im);
	ASSERT_EQ(kvbm_release(f.s, 4, im), 0);
	EXPECT_EQ(kvbm_allocate_until(f.s, 2, m, &terms), 0);
	EXPECT_EQ(terms.nr_evicted, 2);
	EXPECT_EQ(evicted[1].lo, h[1].lo);
	EXPECT_EQ(terms.freed, counters(&f).freed);
	EXPECT_EQ(kvbm_acquire_until(f.s, h + 2, 1, 2, im, m + 2, &terms, &got), 0);
	EXPECT_EQ(got.matched, 1);
	EXPECT_EQ(got.evicted, 1);
	EXPECT_EQ(terms.nr_evicted, 1);
	EXPECT_EQ(evicted[0].lo, h[3].lo);
	/* All is matched: nothing is wanted. */
	EXPECT_EQ(kvbm_acquire_until(f.s, h + 2, 1, 1, im + 1, m + 3, &terms, &got), 0);
	EXPECT_EQ(kvbm_allocate_until(f.s, 0, NULL, &terms), 0);
	c = counters(&f);
	EXPECT_EQ(c.waits, 0);
	tear_down(&f);
}

static void timeouts(void)
{
	struct kvbm_terms terms = { 0 };
	struct kvbm_mutable m[4], more[5];
	struct kvbm_immutable im[2];
	struct kvbm_acquired got;
	struct kvbm_counters c;
	struct kvbm_hash h[2];
	struct fixture f;
	uint64_t until;

	set_up(&f, 4);
	hashes_of(0, 2, h);
	fill(&f, 0, 1, im);
	ASSERT_EQ(kvbm_release(f.s, 1, im), 0);
	ASSERT_EQ(kvbm_allocate(f.s, 3, m, NULL, NULL), 0);
	until = kvbm_deadline_in_ms(50);
	terms.deadline_ns = until;
	memset(more, 0xee, sizeof(more));
	EXPECT_EQ(kvbm_allocate_until(f.s, 2, more, &terms), -ETIMEDOUT);
	EXPECT(now_ns() >= until);
	EXPECT(is_empty(more, 2));
	EXPECT(terms.freed > 0);
	EXPECT_EQ(terms.freed, counters(&f).freed);
	memset(more, 0xee, sizeof(more));
	memset(im, 0xee, sizeof(im));
	terms.deadline_ns = 1;
	EXPECT_EQ(kvbm_acquire_until(f.s, h, 2, 4, im, more, &terms, &got), -ETIMEDOUT);
	EXPECT(is_empty(more, 4));
	EXPECT(is_empty(im, 2));
	EXPECT_EQ(got.matched + got.allocated + got.evicted, 0);
	EXPECT_EQ(terms.freed, counters(&f).freed);
	/* Without a deadline the answer comes at once. */
	terms.deadline_ns = 0;
	EXPECT_EQ(kvbm_allocate_until(f.s, 2, more, &terms), -ENOSPC);
	EXPECT_EQ(terms.freed, counters(&f).freed);
	/* And when there never will be so many. */
	terms.deadline_ns = kvbm_deadline_in_ms(LONG_MS);
	EXPECT_EQ(kvbm_allocate_until(f.s, 5, more, &terms), -ENOSPC);
	c = counters(&f);
	EXPECT_EQ(c.waits, 2);
	EXPECT_EQ(c.wait_timeouts, 2);
	EXPECT_EQ(c.allocation_failures, 2);
	EXPECT_EQ(c.inflight_mutable, 3);
	EXPECT_EQ(c.inactive_pool_size, 1);
	tear_down(&f);
}

/* Errors that come before any waiting. */
static void errors(void)
{
	struct kvbm_terms terms = { .deadline_ns = kvbm_deadline_in_ms(LONG_MS) };
	struct kvbm_session *reader;
	struct kvbm_immutable im[2];
	struct kvbm_mutable m[2];
	struct kvbm_acquired got;
	struct kvbm_hash h[2];
	struct fixture f;
	size_t many = KVBM_MAX_BATCH + 1;

	set_up(&f, 4);
	hashes_of(0, 2, h);
	terms.freed = 77;
	terms.nr_evicted = 77;
	EXPECT_EQ(kvbm_allocate_until(f.s, 2, NULL, &terms), -EFAULT);
	EXPECT_EQ(terms.freed + terms.nr_evicted, 0);
	EXPECT_EQ(kvbm_allocate_until(f.s, many, m, &terms), -EINVAL);
	EXPECT_EQ(kvbm_acquire_until(f.s, h, 2, many, im, m, &terms, &got), -EINVAL);
	EXPECT_EQ(kvbm_acquire_until(f.s, h, 2, 1, im, m, &terms, &got), -EINVAL);
	EXPECT_EQ(kvbm_acquire_until(f.s, NULL, 2, 2, im, m, &terms, &got), -EFAULT);
	EXPECT_EQ(kvbm_acquire_until(f.s, h, 2, 2, NULL, m, &terms, &got), -EFAULT);
	EXPECT_EQ(kvbm_acquire_until(f.s, h, 2, 2, im, NULL, &terms, &got), -EFAULT);
	ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, KVBM_BIND_READ, &reader), 0);
	memset(m, 0xee, sizeof(m));
	EXPECT_EQ(kvbm_allocate_until(reader, 2, m, &terms), -EACCES);
	EXPECT(is_empty(m, 2));
	EXPECT_EQ(kvbm_acquire_until(reader, h, 2, 2, im, m, &terms, &got), -EACCES);
	kvbm_session_close(reader);
	tear_down(&f);
}

static void served_by_a_release(void)
{
	static struct waiter w;
	struct kvbm_mutable m[8];
	struct fixture f;

	memset(&w, 0, sizeof(w));
	set_up(&f, 8);
	ASSERT_EQ(kvbm_allocate(f.s, 8, m, NULL, NULL), 0);
	start(&f, &w, 3);
	ASSERT_EQ(kvbm_release(f.s, 2, m), 0);
	EXPECT(is_waiting(&w));
	ASSERT_EQ(kvbm_release(f.s, 1, m + 2), 0);
	EXPECT_EQ(join(&w), 0);
	EXPECT_EQ(w.m[0].token.id, 0);
	EXPECT_EQ(w.m[2].token.id, 2);
	EXPECT_EQ(kvbm_release(w.s, 3, w.m), 0);
	end(&w);
	tear_down(&f);
}

/* Its own session is not held up: it can give itself what it waits for. */
static void same_session(void)
{
	static struct waiter w;
	struct kvbm_mutable m[8];
	struct fixture f;

	memset(&w, 0, sizeof(w));
	set_up(&f, 8);
	ASSERT_EQ(kvbm_allocate(f.s, 8, m, NULL, NULL), 0);
	w.s = f.s;
	start(&f, &w, 3);
	ASSERT_EQ(kvbm_release(f.s, 3, m + 4), 0);
	EXPECT_EQ(join(&w), 0);
	EXPECT_EQ(w.m[0].token.id, 4);
	EXPECT_EQ(kvbm_release(f.s, 3, w.m), 0);
	tear_down(&f);
}

static void first_come_first_served(void)
{
	struct kvbm_mutable m[BLOCKS], extra;
	static struct waiter w[3];
	struct kvbm_terms terms = { 0 };
	struct fixture f;
	int i;

	memset(w, 0, sizeof(w));
	places = 0;
	set_up(&f, BLOCKS);
	ASSERT_EQ(kvbm_allocate(f.s, BLOCKS, m, NULL, NULL), 0);
	start(&f, &w[0], 200);	/* more than the lock is held for, and first */
	start(&f, &w[1], 1);
	start(&f, &w[2], 2);
	ASSERT_EQ(kvbm_release(f.s, 150, m), 0);
	/* Enough for the others, but it is not their turn. Nor ours. */
	EXPECT(is_waiting(&w[0]) && is_waiting(&w[1]) && is_waiting(&w[2]));
	EXPECT_EQ(kvbm_allocate_until(f.s, 1, &extra, &terms), -ENOSPC);
	ASSERT_EQ(kvbm_release(f.s, 50, m + 150), 0);
	EXPECT_EQ(join(&w[0]), 0);
	EXPECT(is_waiting(&w[1]) && is_waiting(&w[2]));
	ASSERT_EQ(kvbm_release(f.s, 1, m + 200), 0);
	EXPECT_EQ(join(&w[1]), 0);
	EXPECT(is_waiting(&w[2]));
	/* The end of a session serves, too. */
	end(&w[0]);
	EXPECT_EQ(join(&w[2]), 0);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(w[i].place, i + 1);
	end(&w[1]);
	end(&w[2]);
	tear_down(&f);
}

static void timeout_lets_the_next_pass(void)
{
	static struct waiter w[2];
	struct kvbm_mutable m[8];
	struct kvbm_counters c;
	struct fixture f;

	memset(w, 0, sizeof(w));
	places = 0;
	set_up(&f, 8);
	ASSERT_EQ(kvbm_allocate(f.s, 8, m, NULL, NULL), 0);
	w[0].ms = 300;
	start(&f, &w[0], 6);
	start(&f, &w[1], 2);
	ASSERT_EQ(kvbm_release(f.s, 2, m), 0);
	EXPECT_EQ(join(&w[0]), -ETIMEDOUT);
	EXPECT_EQ(join(&w[1]), 0);
	c = counters(&f);
	EXPECT_EQ(c.waits, 2);
	EXPECT_EQ(c.wait_timeouts, 1);
	end(&w[0]);
	end(&w[1]);
	tear_down(&f);
}

/*
 * Who was refused because others waited is told to try again when those have
 * given up: though no block became free, it could have some now.
 */
static void freed_tells_when_to_retry(void)
{
	struct kvbm_terms terms = { 0 };
	struct pollfd p = { .events = POLLOUT };
	struct kvbm_mutable m[8], extra;
	static struct waiter w;
	struct fixture f;

	memset(&w, 0, sizeof(w));
	set_up(&f, 8);
	ASSERT_EQ(kvbm_allocate(f.s, 6, m, NULL, NULL), 0);
	w.ms = 2000;
	start(&f, &w, 4);
	EXPECT_EQ(kvbm_allocate_until(f.s, 1, &extra, &terms), -ENOSPC);
	EXPECT_EQ(terms.freed, counters(&f).freed);
	if (!is_inproc()) {
		p.fd = kvbm_session_fd(f.s);
		EXPECT_EQ(poll(&p, 1, 0), 0);
		EXPECT_EQ(poll(&p, 1, LONG_MS), 1);
	}
	EXPECT_EQ(join(&w), -ETIMEDOUT);
	EXPECT(counters(&f).freed > terms.freed);
	EXPECT_EQ(kvbm_allocate_until(f.s, 1, &extra, &terms), 0);
	end(&w);
	tear_down(&f);
}

/* What is registered while it waits is matched, not allocated. */
static void acquire_looks_again(size_t n)
{
	struct kvbm_hash h[BLOCKS];
	struct kvbm_immutable im[4];
	struct kvbm_mutable m[BLOCKS];
	static struct waiter w;
	struct fixture f;

	memset(&w, 0, sizeof(w));
	set_up(&f, n);
	hashes_of(0, n, h);
	ASSERT_EQ(kvbm_allocate(f.s, n, m, NULL, NULL), 0);
	w.nr_hashes = 6;
	start(&f, &w, n);
	ASSERT_EQ(kvbm_stage_register(f.s, 4, m, h, BLOCK_SIZE, im, NULL, NULL), 0);
	ASSERT_EQ(kvbm_release(f.s, 4, im), 0);
	EXPECT(is_waiting(&w));
	ASSERT_EQ(kvbm_release(f.s, n - 4, m + 4), 0);
	EXPECT_EQ(join(&w), 0);
	EXPECT_EQ(w.got.matched, 4);
	EXPECT_EQ(w.got.allocated, n - 4);
	EXPECT_EQ(w.got.evicted, 0);
	EXPECT(is_empty(w.im + 4, 2));
	end(&w);
	EXPECT_EQ(counters(&f).inactive_pool_size, 4);
	tear_down(&f);
}

static void acquire_looks_again_small(void)
{
	acquire_looks_again(20);
}

static void acquire_looks_again_large(void)
{
	acquire_looks_again(200);
}

/* A large one that matched what is cached gives it back to wait. */
static void large_acquire_waits(void)
{
	struct kvbm_immutable im[8];
	struct kvbm_mutable m[BLOCKS];
	static struct waiter w;
	struct fixture f;

	memset(&w, 0, sizeof(w));
	set_up(&f, BLOCKS);
	fill(&f, 0, 8, im);
	ASSERT_EQ(kvbm_release(f.s, 8, im), 0);
	ASSERT_EQ(kvbm_allocate(f.s, BLOCKS - 8, m, NULL, NULL), 0);
	w.nr_hashes = 8;
	start(&f, &w, 200);
	/* It is in the queue before it gives back, one after the other. */
	while (counters(&f).inflight_immutable)
		usleep(1000);
	EXPECT_EQ(counters(&f).inactive_pool_size, 8);
	ASSERT_EQ(kvbm_release(f.s, 191, m), 0);
	EXPECT(is_waiting(&w));
	ASSERT_EQ(kvbm_release(f.s, 1, m + 191), 0);
	EXPECT_EQ(join(&w), 0);
	EXPECT_EQ(w.got.matched, 8);
	EXPECT_EQ(w.got.allocated, 192);
	end(&w);
	tear_down(&f);
}

/* Aux and hashes of what was evicted for somebody who waited. */
static void with_aux(struct kvbm_manager_create *attr)
{
	attr->aux_size = 8;
}

static void evicted_after_a_wait(void)
{
	struct kvbm_content content = { .aux = "AAAAAAAABBBBBBBB" };
	struct kvbm_hash h[2], evicted[2];
	struct kvbm_immutable im[2];
	struct kvbm_mutable m[2];
	static struct waiter w;
	struct fixture f;
	char aux[16];

	memset(&w, 0, sizeof(w));
	set_up_with(&f, 2, with_aux);
	hashes_of(0, 2, h);
	content.hashes = h;
	content.block_size = BLOCK_SIZE;
	ASSERT_EQ(kvbm_allocate(f.s, 2, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage_register_content(f.s, 2, m, &content, im, NULL, NULL), 0);
	w.terms.evicted = evicted;
	w.terms.evicted_aux = aux;
	start(&f, &w, 2);
	ASSERT_EQ(kvbm_release(f.s, 2, im), 0);
	EXPECT_EQ(join(&w), 0);
	EXPECT_EQ(w.terms.nr_evicted, 2);
	EXPECT_EQ(evicted[1].lo, h[1].lo);
	EXPECT(!memcmp(aux, "AAAAAAAABBBBBBBB", 16));
	end(&w);
	tear_down(&f);
}

static void shutdown_wakes(void)
{
	static struct waiter w[3];
	struct kvbm_mutable m[8];
	struct fixture f;
	int i;

	memset(w, 0, sizeof(w));
	set_up(&f, 8);
	ASSERT_EQ(kvbm_allocate(f.s, 8, m, NULL, NULL), 0);
	for (i = 0; i < 3; i++)
		start(&f, &w[i], 1 + i);
	EXPECT_EQ(kvbm_destroy_manager(f.kvbm, f.manager, false), -EBUSY);
	EXPECT(is_waiting(&w[0]));
	EXPECT_EQ(kvbm_destroy_manager(f.kvbm, f.manager, true), 0);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(join(&w[i]), -ESHUTDOWN);
		EXPECT(is_empty(w[i].m, w[i].n));
		end(&w[i]);
	}
	kvbm_session_close(f.s);
	EXPECT_EQ(kvbm_destroy_registry(f.kvbm, f.registry), 0);
	kvbm_close(f.kvbm);
}

static void nothing(int signal)
{
}

/* A signal ends a wait on the device, and nothing in process. */
static void signals(void)
{
	struct sigaction action = { .sa_handler = nothing, .sa_flags = SA_RESTART };
	static struct waiter w;
	struct kvbm_mutable m[8];
	struct fixture f;

	memset(&w, 0, sizeof(w));
	sigaction(SIGUSR1, &action, NULL);
	set_up(&f, 8);
	ASSERT_EQ(kvbm_allocate(f.s, 8, m, NULL, NULL), 0);
	start(&f, &w, 2);
	EXPECT(is_waiting(&w));
	pthread_kill(w.thread, SIGUSR1);
	if (is_inproc()) {
		EXPECT(is_waiting(&w));
		ASSERT_EQ(kvbm_release(f.s, 2, m), 0);
		EXPECT_EQ(join(&w), 0);
	} else {
		EXPECT_EQ(join(&w), -EINTR);
		EXPECT(is_empty(w.m, 2));
		EXPECT_EQ(w.terms.freed, counters(&f).freed);
		/* It left the queue. */
		ASSERT_EQ(kvbm_release(f.s, 1, m), 0);
		EXPECT_EQ(kvbm_allocate(f.s, 1, m, NULL, NULL), 0);
	}
	end(&w);
	tear_down(&f);
}

/* Many threads, few blocks: all are served, and nothing is lost. */
#define NR_THREADS	6
#define ROUNDS		200

static void *take_turns(void *arg)
{
	struct waiter *w = arg;
	int round;

	for (round = 0; round < ROUNDS; round++) {
		w->terms.deadline_ns = kvbm_deadline_in_ms(LONG_MS);
		w->err = kvbm_allocate_until(w->s, w->n, w->m, &w->terms);
		if (!EXPECT_EQ(w->err, 0))
			break;
		EXPECT_EQ(kvbm_release(w->s, w->n, w->m), 0);
	}
	return NULL;
}

static void turns(void)
{
	static struct waiter w[NR_THREADS];
	struct kvbm_counters c;
	struct fixture f;
	int i;

	memset(w, 0, sizeof(w));
	set_up(&f, 200);
	for (i = 0; i < NR_THREADS; i++) {
		w[i].n = i % 2 ? 3 + i : 180 + i;
		ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, 0, &w[i].s), 0);
	}
	for (i = 0; i < NR_THREADS; i++)
		ASSERT_EQ(pthread_create(&w[i].thread, NULL, take_turns, &w[i]), 0);
	for (i = 0; i < NR_THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		kvbm_session_close(w[i].s);
	}
	c = counters(&f);
	EXPECT_EQ(c.reset_pool_size, 200);
	EXPECT_EQ(c.wait_timeouts, 0);
	EXPECT_EQ(c.allocation_failures, 0);
	EXPECT_EQ(c.allocations, ROUNDS * (180 + 4 + 182 + 6 + 184 + 8));
	tear_down(&f);
}

static const struct tap_test tests[] = {
	TEST(deadlines),
	TEST(no_need_to_wait),
	TEST(timeouts),
	TEST(errors),
	TEST(served_by_a_release),
	TEST(same_session),
	TEST(first_come_first_served),
	TEST(timeout_lets_the_next_pass),
	TEST(freed_tells_when_to_retry),
	TEST(acquire_looks_again_small),
	TEST(acquire_looks_again_large),
	TEST(large_acquire_waits),
	TEST(evicted_after_a_wait),
	TEST(shutdown_wakes),
	TEST(signals),
	TEST(turns),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
