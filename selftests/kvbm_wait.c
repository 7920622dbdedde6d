// SPDX-License-Identifier: GPL-2.0
/*
 * Waiting for blocks: deadlines, order, signals, ends; and poll(2).
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "kvbm_util.h"
#include "kselftest_harness.h"

#define BLOCKS	512
#define SECOND	1000000000ull

FIXTURE(wait)
{
	struct kv_world w;
	struct kvbm_token t[BLOCKS];
	struct kvbm_counters c;
	int fd;
};

FIXTURE_SETUP(wait)
{
	ASSERT_EQ(0, kv_world_make(&self->w, BLOCKS, KVBM_DUP_ALLOW));
	self->fd = self->w.session;
}

FIXTURE_TEARDOWN(wait)
{
	EXPECT_EQ(0, kv_world_end(&self->w));
}

static int allocate_until(int fd, uint32_t n, struct kvbm_token *t, uint64_t deadline)
{
	struct kvbm_allocate a = {
		.size = sizeof(a),
		.count = n,
		.tokens = ptr(t),
		.deadline_ns = deadline,
	};

	return kv(fd, KVBM_ALLOCATE, &a);
}

/**
 * struct waiter - a thread that waits for blocks in a session of its own
 * @fd: the session
 * @n: blocks
 * @nr_hashes: of the chain 1, to acquire; 0 allocates
 * @deadline: until when
 * @elsewhere: where to, if not @t
 * @done: position in the order of those that were served, from 1
 * @err: of the call
 */
struct waiter {
	int fd;
	uint32_t n;
	uint32_t nr_hashes;
	uint64_t deadline;
	struct kvbm_token *elsewhere;
	int done;
	int err;
	uint32_t matched;
	struct kvbm_token t[BLOCKS];
	pthread_t thread;
};

static int served;

static void *wait_for_blocks(void *arg)
{
	struct waiter *me = arg;
	struct kvbm_token *t = me->elsewhere ?: me->t;
	struct kvbm_hash h[BLOCKS];
	struct kvbm_acquire a = {
		.size = sizeof(a),
		.nr_hashes = me->nr_hashes,
		.count = me->n,
		.hashes = ptr(h),
		.tokens = ptr(t),
		.deadline_ns = me->deadline,
	};

	kv_hashes(h, 1, BLOCKS);
	if (me->nr_hashes)
		me->err = kv(me->fd, KVBM_ACQUIRE, &a);
	else
		me->err = allocate_until(me->fd, me->n, t, me->deadline);
	me->matched = a.out_matched;
	me->done = __atomic_add_fetch(&served, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static uint64_t nr_waits(struct kv_world *w)
{
	struct kvbm_counters c;

	kv_counters(w->fd, w->manager, &c);
	return c.waits;
}

/* Start one, and be sure that it waits before going on. */
static void start(struct kv_world *w, struct waiter *me, uint32_t n)
{
	uint64_t before = nr_waits(w);

	me->fd = me->fd ?: kv_session(w->manager, ALL_RIGHTS);
	me->n = n;
	me->deadline = me->deadline ?: now_ns() + 20 * SECOND;
	pthread_create(&me->thread, NULL, wait_for_blocks, me);
	while (nr_waits(w) == before)
		usleep(1000);
}

TEST_F(wait, deadline)
{
	uint64_t until = now_ns() + SECOND / 20;

	/* Nothing to wait for. */
	ASSERT_EQ(0, allocate_until(self->fd, BLOCKS, self->t, until));
	EXPECT_EQ(-ETIMEDOUT, allocate_until(self->fd, 1, self->t, until));
	EXPECT_LE(until, now_ns());
	EXPECT_EQ(-ETIMEDOUT, allocate_until(self->fd, 1, self->t, 1));
	/* More than there will ever be. */
	EXPECT_EQ(-ENOSPC, allocate_until(self->fd, BLOCKS + 1, self->t,
					  now_ns() + 100 * SECOND));
	ASSERT_EQ(0, kv_counters(self->fd, 0, &self->c));
	EXPECT_EQ(2, self->c.waits);
	EXPECT_EQ(2, self->c.wait_timeouts);
}

TEST_F(wait, served_by_a_release)
{
	static struct waiter me;

	ASSERT_EQ(0, kv_allocate(self->fd, BLOCKS, self->t, NULL, NULL));
	start(&self->w, &me, 10);
	ASSERT_EQ(0, kv_release(self->fd, 9, self->t));
	usleep(20000);
	EXPECT_EQ(0, me.done);
	ASSERT_EQ(0, kv_release(self->fd, 1, self->t + 9));
	pthread_join(me.thread, NULL);
	EXPECT_EQ(0, me.err);
	EXPECT_EQ(self->t[0].id, me.t[0].id);
	EXPECT_EQ(self->t[9].id, me.t[9].id);
	close(me.fd);
}

TEST_F(wait, first_come_first_served)
{
	static struct waiter w[3];
	struct kvbm_token extra;

	served = 0;
	ASSERT_EQ(0, kv_allocate(self->fd, BLOCKS, self->t, NULL, NULL));
	start(&self->w, &w[0], 300);	/* large, and first */
	start(&self->w, &w[1], 1);
	start(&self->w, &w[2], 2);
	ASSERT_EQ(0, kv_release(self->fd, 200, self->t));
	usleep(20000);
	/* Enough for the others, but it is not their turn. Nor ours. */
	EXPECT_EQ(0, served);
	EXPECT_EQ(-ENOSPC, kv_allocate(self->fd, 1, &extra, NULL, NULL));
	ASSERT_EQ(0, kv_release(self->fd, 100, self->t + 200));
	pthread_join(w[0].thread, NULL);
	EXPECT_EQ(0, w[0].err);
	EXPECT_EQ(1, w[0].done);
	ASSERT_EQ(0, kv_release(self->fd, 1, self->t + 300));
	pthread_join(w[1].thread, NULL);
	EXPECT_EQ(0, w[1].err);
	usleep(20000);
	EXPECT_EQ(0, w[2].done);
	/* The end of a session serves as well. */
	close(w[1].fd);
	ASSERT_EQ(0, kv_release(self->fd, 1, self->t + 301));
	pthread_join(w[2].thread, NULL);
	EXPECT_EQ(0, w[2].err);
	close(w[0].fd);
	close(w[2].fd);
}

/* When the first gives up, the next one must not sleep on. */
TEST_F(wait, timeout_lets_the_next_pass)
{
	static struct waiter w[2];

	served = 0;
	w[0].deadline = now_ns() + SECOND / 5;
	ASSERT_EQ(0, kv_allocate(self->fd, BLOCKS, self->t, NULL, NULL));
	start(&self->w, &w[0], 100);
	start(&self->w, &w[1], 10);
	ASSERT_EQ(0, kv_release(self->fd, 10, self->t));
	pthread_join(w[1].thread, NULL);
	pthread_join(w[0].thread, NULL);
	EXPECT_EQ(-ETIMEDOUT, w[0].err);
	EXPECT_EQ(0, w[1].err);
	close(w[0].fd);
	close(w[1].fd);
}

TEST_F(wait, acquire_waits_too)
{
	static struct waiter small, large;
	struct kvbm_token t[8];

	ASSERT_EQ(0, kv_fill(self->fd, 1, 8, t));
	ASSERT_EQ(0, kv_release(self->fd, 8, t));
	ASSERT_EQ(0, kv_allocate(self->fd, BLOCKS - 8, self->t, NULL, NULL));
	small.nr_hashes = 8;
	start(&self->w, &small, 12);
	ASSERT_EQ(0, kv_release(self->fd, 4, self->t));
	pthread_join(small.thread, NULL);
	EXPECT_EQ(0, small.err);
	EXPECT_EQ(8, small.matched);
	close(small.fd);
	/* 8 + 4 are available again; 200 are wanted, many chunks of them. */
	large.nr_hashes = 8;
	start(&self->w, &large, 200);
	usleep(20000);
	EXPECT_EQ(0, large.done);
	ASSERT_EQ(0, kv_release(self->fd, BLOCKS - 12, self->t + 4));
	pthread_join(large.thread, NULL);
	EXPECT_EQ(0, large.err);
	EXPECT_EQ(8, large.matched);
	close(large.fd);
}

/* The memory for it was good when the calls began. */
TEST_F(wait, answer_cannot_be_written)
{
	static struct waiter w[2];
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int i;

	ASSERT_NE(MAP_FAILED, page);
	ASSERT_EQ(0, kv_fill(self->fd, 1, 8, self->t));
	ASSERT_EQ(0, kv_allocate(self->fd, BLOCKS - 8, self->t + 8, NULL, NULL));
	w[0].elsewhere = page;
	w[1].elsewhere = page;
	w[1].nr_hashes = 8;
	start(&self->w, &w[0], 10);
	start(&self->w, &w[1], 12);
	ASSERT_EQ(0, mprotect(page, 4096, PROT_READ));
	ASSERT_EQ(0, kv_release(self->fd, 14, self->t + 8));
	for (i = 0; i < 2; i++) {
		pthread_join(w[i].thread, NULL);
		EXPECT_EQ(-EFAULT, w[i].err);
	}
	/* Nobody knows of these guards: nobody has them. */
	ASSERT_EQ(0, kv_counters(self->fd, 0, &self->c));
	EXPECT_EQ(8, self->c.inflight_immutable);
	EXPECT_EQ(BLOCKS - 8 - 14, self->c.inflight_mutable);
	EXPECT_EQ(0, kv_allocate(self->fd, 14, self->t + 8, NULL, NULL));
	close(w[0].fd);
	close(w[1].fd);
	munmap(page, 4096);
}

static void nothing(int sig)
{
}

TEST_F(wait, signal)
{
	struct sigaction sa = { .sa_handler = nothing };
	static struct waiter me;

	sigaction(SIGUSR1, &sa, NULL);
	ASSERT_EQ(0, kv_allocate(self->fd, BLOCKS, self->t, NULL, NULL));
	start(&self->w, &me, 10);
	usleep(20000);
	pthread_kill(me.thread, SIGUSR1);
	pthread_join(me.thread, NULL);
	EXPECT_EQ(-EINTR, me.err);
	close(me.fd);
	/* It left the queue. */
	ASSERT_EQ(0, kv_release(self->fd, 5, self->t));
	EXPECT_EQ(0, kv_allocate(self->fd, 5, self->t, NULL, NULL));
}

TEST_F(wait, killed)
{
	pid_t pid;

	ASSERT_EQ(0, kv_allocate(self->fd, BLOCKS, self->t, NULL, NULL));
	pid = fork();
	if (!pid) {
		static struct waiter me;

		start(&self->w, &me, 10);
		pthread_join(me.thread, NULL);
		_exit(0);
	}
	while (!nr_waits(&self->w))
		usleep(1000);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ASSERT_EQ(0, kv_release(self->fd, 5, self->t));
	EXPECT_EQ(0, kv_allocate(self->fd, 5, self->t, NULL, NULL));
}

TEST_F(wait, manager_is_destroyed)
{
	static struct waiter me;
	struct kvbm_manager_create m;
	int fd;

	manager_init(&m, self->w.registry, "short", 10);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	fd = kv_session(m.out_id, ALL_RIGHTS);
	ASSERT_EQ(0, kv_allocate(fd, 10, self->t, NULL, NULL));
	me.fd = kv_session(m.out_id, ALL_RIGHTS);
	me.n = 1;
	me.deadline = now_ns() + 20 * SECOND;
	pthread_create(&me.thread, NULL, wait_for_blocks, &me);
	usleep(50000);
	ASSERT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id,
				KVBM_DESTROY_FORCE));
	pthread_join(me.thread, NULL);
	EXPECT_EQ(-ESHUTDOWN, me.err);
	close(fd);
	close(me.fd);
}

/* What can never be served is refused, not queued in everybody's way. */
TEST_F(wait, more_than_there_is)
{
	struct kvbm_acquire a;
	struct kvbm_hash h[BLOCKS];
	struct kvbm_token t[64];

	kv_hashes(h, 1, BLOCKS);
	ASSERT_EQ(0, kv_fill(self->fd, 1, 64, t));
	memset(&a, 0, sizeof(a));
	a.size = sizeof(a);
	a.nr_hashes = 64;
	a.count = BLOCKS + 1;
	a.hashes = ptr(h);
	a.tokens = ptr(calloc(BLOCKS + 1, sizeof(*t)));
	a.deadline_ns = now_ns() + 100 * SECOND;
	EXPECT_EQ(-ENOSPC, kv(self->fd, KVBM_ACQUIRE, &a));
	ASSERT_EQ(0, kv_release(self->fd, 64, t));
	EXPECT_EQ(-ENOSPC, kv(self->fd, KVBM_ACQUIRE, &a));
	EXPECT_EQ(0, kv_allocate(self->fd, 1, self->t, NULL, NULL));
	free((void *)(uintptr_t)a.tokens);
}

static short poll_now(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, ms) > 0 ? p.revents : 0;
}

static void *release_later(void *arg)
{
	struct waiter *me = arg;

	usleep(30000);
	me->err = kv_release(me->fd, me->n, me->t);
	return NULL;
}

TEST_F(wait, poll)
{
	struct kvbm_set_threshold a = { .size = sizeof(a), .blocks = 100 };
	static struct waiter me;
	int unbound = kv_open(), fd = kv_session(self->w.manager, ALL_RIGHTS);

	EXPECT_EQ(POLLERR, poll_now(unbound, 0));
	close(unbound);
	EXPECT_EQ(POLLOUT, poll_now(fd, 0));
	ASSERT_EQ(0, kv_allocate(self->fd, BLOCKS, self->t, NULL, NULL));
	EXPECT_EQ(0, poll_now(fd, 0));
	ASSERT_EQ(0, kv(fd, KVBM_SET_THRESHOLD, &a));
	ASSERT_EQ(0, kv_release(self->fd, 99, self->t));
	EXPECT_EQ(0, poll_now(fd, 0));
	me.fd = self->fd;
	me.n = 1;
	me.t[0] = self->t[99];
	pthread_create(&me.thread, NULL, release_later, &me);
	EXPECT_EQ(POLLOUT, poll_now(fd, 10000));
	pthread_join(me.thread, NULL);
	a.blocks = BLOCKS + 1;
	EXPECT_EQ(-EINVAL, kv(fd, KVBM_SET_THRESHOLD, &a));
	close(fd);
}

/* poll() looks again when its time is up; this one believes what it is told. */
TEST_F(wait, epoll_is_woken)
{
	struct epoll_event e = { .events = EPOLLOUT | EPOLLET };
	int fd = kv_session(self->w.manager, ALL_RIGHTS), ep = epoll_create1(0);
	static struct waiter me;

	ASSERT_EQ(0, kv_allocate(self->fd, BLOCKS, self->t, NULL, NULL));
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	EXPECT_EQ(0, epoll_wait(ep, &e, 1, 0));
	me.fd = self->fd;
	me.n = 1;
	me.t[0] = self->t[0];
	pthread_create(&me.thread, NULL, release_later, &me);
	EXPECT_EQ(1, epoll_wait(ep, &e, 1, 10000));
	pthread_join(me.thread, NULL);
	close(ep);
	close(fd);
}

/* Who waits keeps blocks from others; when he gives up they hear of it. */
TEST_F(wait, poll_after_a_timeout)
{
	struct kvbm_set_threshold a = { .size = sizeof(a), .blocks = 10 };
	int fd = kv_session(self->w.manager, ALL_RIGHTS);
	static struct waiter me;

	ASSERT_EQ(0, kv(fd, KVBM_SET_THRESHOLD, &a));
	ASSERT_EQ(0, kv_allocate(self->fd, BLOCKS - 50, self->t, NULL, NULL));
	me.deadline = now_ns() + 2 * SECOND;
	start(&self->w, &me, 60);
	EXPECT_EQ(0, poll_now(fd, 0));
	EXPECT_EQ(POLLOUT, poll_now(fd, 20000));
	pthread_join(me.thread, NULL);
	EXPECT_EQ(-ETIMEDOUT, me.err);
	close(me.fd);
	close(fd);
}

TEST_F(wait, poll_hears_of_the_end)
{
	struct kvbm_manager_create m;
	int fd;

	manager_init(&m, self->w.registry, "short", 10);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	fd = kv_session(m.out_id, ALL_RIGHTS);
	ASSERT_EQ(0, kv_allocate(fd, 10, self->t, NULL, NULL));
	if (!fork()) {
		usleep(30000);
		kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, KVBM_DESTROY_FORCE);
		_exit(0);
	}
	EXPECT_EQ(POLLERR | POLLHUP, poll_now(fd, 10000));
	wait(NULL);
	close(fd);
}

TEST_HARNESS_MAIN
