// SPDX-License-Identifier: GPL-2.0
/*
 * Epochs: once a successor has raised it, older sessions change nothing.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "kvbm_util.h"
#include "kselftest_harness.h"

#define BLOCKS	64u
#define N	8u
#define RAISE	KVBM_EPOCH_RAISE
#define FORCE	(KVBM_EPOCH_RAISE | KVBM_EPOCH_FORCE)

FIXTURE(epoch)
{
	struct kv_world w;
	int old, new;
	struct kvbm_token t[BLOCKS], m[N], st[N];
	struct kvbm_hash h[BLOCKS];
};

/* The old session has N registered, N Mutable and N Staged blocks. */
FIXTURE_SETUP(epoch)
{
	ASSERT_EQ(0, kv_world_make(&self->w, BLOCKS, KVBM_DUP_ALLOW));
	kv_hashes(self->h, 1, BLOCKS);
	self->old = kv_session(self->w.manager, ALL_RIGHTS);
	ASSERT_LE(0, self->old);
	ASSERT_EQ(0, kv_fill(self->old, 1, N, self->t));
	ASSERT_EQ(0, kv_allocate(self->old, N, self->m, NULL, NULL));
	ASSERT_EQ(0, kv_allocate(self->old, N, self->st, NULL, NULL));
	ASSERT_EQ(0, kv_stage(self->old, N, self->st, self->h + N));
	self->new = kv_session(self->w.manager, ALL_RIGHTS);
	ASSERT_LE(0, self->new);
}

FIXTURE_TEARDOWN(epoch)
{
	close(self->old);
	close(self->new);
	EXPECT_EQ(0, kv_world_end(&self->w));
}

static unsigned int blocks_in(struct _test_data_epoch *self, uint32_t state)
{
	struct kvbm_counters c;

	return kv_counters(self->w.fd, self->w.manager, &c) ? ~0u : c.states[state];
}

TEST_F(epoch, numbers)
{
	struct kvbm_epoch e = { .size = sizeof(e), .manager = self->w.manager };
	int later;

	ASSERT_EQ(0, kv_epoch(self->new, 0, &e));
	EXPECT_EQ(1u, e.out_epoch);
	EXPECT_EQ(1u, e.out_session);
	ASSERT_EQ(0, kv_epoch(self->new, RAISE, &e));
	EXPECT_EQ(2u, e.out_epoch);
	EXPECT_EQ(2u, e.out_session);
	ASSERT_EQ(0, kv_epoch(self->old, 0, &e));
	EXPECT_EQ(2u, e.out_epoch);
	EXPECT_EQ(1u, e.out_session);
	/* On a file that is not bound to it. */
	e = (struct kvbm_epoch){ .size = sizeof(e), .flags = RAISE,
				 .manager = self->w.manager };
	ASSERT_EQ(0, kv(self->w.fd, KVBM_EPOCH, &e));
	EXPECT_EQ(3u, e.out_epoch);
	EXPECT_EQ(0u, e.out_session);
	EXPECT_EQ(-EOWNERDEAD, kv_allocate(self->new, 1, self->t, NULL, NULL));
	later = kv_session(self->w.manager, ALL_RIGHTS);
	ASSERT_EQ(0, kv_epoch(later, 0, &e));
	EXPECT_EQ(3u, e.out_session);
	close(later);
	EXPECT_EQ(-EINVAL, kv_epoch(self->new, KVBM_EPOCH_FORCE, NULL));
	EXPECT_EQ(-ENOTCONN, kv_epoch(self->w.fd, RAISE, NULL));
}

/* Whoever looks is told which sessions were replaced. */
TEST_F(epoch, is_told)
{
	struct kvbm_session_info s[8] = { 0 };
	struct kvbm_manager_sessions a = {
		.size = sizeof(a), .id = self->w.manager, .count = 8,
		.sessions = ptr(s) };
	unsigned int i, fenced = 0;

	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_SESSIONS, &a));
	for (i = 0; i < a.out_count; i++)
		EXPECT_EQ(0u, s[i].flags & KVBM_SESSION_FENCED);
	ASSERT_EQ(0, kv_epoch(self->new, RAISE, NULL));
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_SESSIONS, &a));
	ASSERT_LT(1u, a.out_count);
	for (i = 0; i < a.out_count; i++)
		fenced += !!(s[i].flags & KVBM_SESSION_FENCED);
	/* All but the one that raised it, the last that was bound. */
	EXPECT_EQ(a.out_count - 1, fenced);
	EXPECT_EQ(0u, s[a.out_count - 1].flags & KVBM_SESSION_FENCED);
}

/* Threads of one session that raise it at a time do not fence their own session. */
static void *raise_many(void *arg)
{
	long i, err = 0;

	for (i = 0; i < 2000 && !err; i++)
		err = kv_epoch(*(int *)arg, RAISE, NULL);
	return (void *)err;
}

TEST_F(epoch, raised_by_threads_of_one_session)
{
	struct kvbm_epoch e = { 0 };
	pthread_t threads[4];
	void *result;
	int i, round;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < 4; i++)
			ASSERT_EQ(0, pthread_create(&threads[i], NULL, raise_many,
						    &self->new));
		for (i = 0; i < 4; i++) {
			pthread_join(threads[i], &result);
			EXPECT_EQ(0, (long)result);
		}
		ASSERT_EQ(0, kv_epoch(self->new, 0, &e));
		EXPECT_EQ(e.out_epoch, e.out_session);
		EXPECT_EQ(0, kv_allocate(self->new, 1, self->t, NULL, NULL));
	}
}

TEST_F(epoch, rights)
{
	struct kvbm_epoch e = { .size = sizeof(e), .flags = RAISE,
				.manager = self->w.manager };
	int ro = open(KVBM_DEV, O_RDONLY);
	uid_t me = geteuid();

	EXPECT_EQ(-EACCES, kv(ro, KVBM_EPOCH, &e));
	close(ro);
	ASSERT_EQ(0, setresuid(-1, 1000, -1));
	EXPECT_EQ(-EPERM, kv_epoch(self->old, RAISE, NULL));
	ASSERT_EQ(0, setresuid(-1, me, -1));
	EXPECT_EQ(0, kv_allocate(self->old, 1, self->t + N, NULL, NULL));
}

/* Nobody takes over what is gone. */
TEST_F(epoch, of_a_manager_that_ended)
{
	struct kvbm_manager_create m;
	int s;

	manager_init(&m, self->w.registry, "ended", 1);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	s = kv_session(m.out_id, ALL_RIGHTS);
	ASSERT_LE(0, s);
	EXPECT_EQ(0, kv_epoch(s, RAISE, NULL));
	ASSERT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id,
				KVBM_DESTROY_FORCE));
	EXPECT_EQ(-ESHUTDOWN, kv_epoch(s, RAISE, NULL));
	close(s);
}

/* Each call that changes something is refused; looking and releasing is not. */
TEST_F(epoch, fences)
{
	struct kvbm_stage_register sr = {
		.size = sizeof(sr), .count = N, .block_size = BLOCK_SIZE,
		.tokens = ptr(self->m), .out_tokens = ptr(self->m),
		.hashes = ptr(self->h + 2 * N) };
	struct kvbm_drain d = { .size = sizeof(d) };
	struct kvbm_session_open so = { .size = sizeof(so), .flags = ALL_RIGHTS };
	struct kvbm_token t[N];
	struct kvbm_acquire a;
	uint32_t n;
	int pin;

	ASSERT_EQ(0, kv_epoch(self->new, RAISE, NULL));
	EXPECT_EQ(-EOWNERDEAD, kv_allocate(self->old, 1, t, NULL, NULL));
	EXPECT_EQ(-EOWNERDEAD, kv_acquire(self->old, N, N, self->h, t, &a));
	EXPECT_EQ(-EOWNERDEAD, kv_stage(self->old, N, self->m, self->h + 2 * N));
	EXPECT_EQ(-EOWNERDEAD, kv_register(self->old, N, self->st, NULL));
	EXPECT_EQ(-EOWNERDEAD, kv(self->old, KVBM_STAGE_REGISTER, &sr));
	EXPECT_EQ(-EOWNERDEAD, kv_tokens(self->old, KVBM_UNSTAGE, 0, N, self->st));
	EXPECT_EQ(-EOWNERDEAD, kv_tokens(self->old, KVBM_SET_RESET, 0, N, self->t));
	EXPECT_EQ(-EOWNERDEAD, kv(self->old, KVBM_DRAIN, &d));
	EXPECT_EQ(-EOWNERDEAD, kv_pin(self->old, KVBM_PIN_WRITE, N, self->m));
	/* A session made of it is no way around. */
	ASSERT_EQ(0, kv(self->old, KVBM_SESSION_OPEN, &so));
	EXPECT_EQ(-EOWNERDEAD, kv_allocate(so.out_fd, 1, t, NULL, NULL));
	close(so.out_fd);

	ASSERT_EQ(0, kv_match(self->old, N, self->h, t, &n));
	EXPECT_EQ(N, n);
	pin = kv_pin(self->old, 0, N, t);
	EXPECT_LE(0, pin);
	close(pin);
	EXPECT_EQ(0, kv_tokens(self->old, KVBM_CLONE, 0, N, t));
	EXPECT_EQ(0, kv_release(self->old, N, t));
	EXPECT_EQ(0, kv_release(self->old, N, t));
	EXPECT_EQ(0, kv_release(self->old, N, self->m));
	EXPECT_EQ(0, kv_release(self->old, N, self->st));
	EXPECT_EQ(N, blocks_in(self, KVBM_STATE_PRIMARY));
	EXPECT_EQ(BLOCKS - N, blocks_in(self, KVBM_STATE_RESET));
	EXPECT_EQ(0, kv_allocate(self->new, BLOCKS - N, self->t, NULL, NULL));
}

/* Without FORCE, what the old session held goes back when it ends. */
TEST_F(epoch, end_of_an_old_session)
{
	ASSERT_EQ(0, kv_epoch(self->new, RAISE, NULL));
	close(self->old);
	EXPECT_EQ(BLOCKS - N, blocks_in(self, KVBM_STATE_RESET));
	EXPECT_EQ(N, blocks_in(self, KVBM_STATE_INACTIVE));
}

TEST_F(epoch, force_withholds)
{
	struct kvbm_token t[BLOCKS];
	uint32_t i, j;

	ASSERT_EQ(0, kv_epoch(self->new, FORCE, NULL));
	EXPECT_EQ(-EOWNERDEAD, kv_release(self->old, N, self->m));
	EXPECT_EQ(-EOWNERDEAD, kv_release(self->old, N, self->st));
	EXPECT_EQ(0, kv_release(self->old, N, self->t));
	EXPECT_EQ(N, blocks_in(self, KVBM_STATE_MUTABLE));
	EXPECT_EQ(N, blocks_in(self, KVBM_STATE_STAGED));
	EXPECT_EQ(-ENOSPC, kv_allocate(self->new, BLOCKS - 2 * N + 1, t, NULL, NULL));
	ASSERT_EQ(0, kv_allocate(self->new, BLOCKS - 2 * N, t, NULL, NULL));
	for (i = 0; i < BLOCKS - 2 * N; i++)
		for (j = 0; j < N; j++)
			if (t[i].id == self->m[j].id || t[i].id == self->st[j].id)
				TH_LOG("block %u was handed out", t[i].id);
	/* A later raise without it does not undo it. */
	ASSERT_EQ(0, kv_epoch(self->new, RAISE, NULL));
	EXPECT_EQ(-EOWNERDEAD, kv_release(self->old, N, self->m));
	/* The session of the middle epoch is not withheld. */
	close(self->old);
	EXPECT_EQ(2 * N, blocks_in(self, KVBM_STATE_RESET));
	EXPECT_EQ(0, kv_allocate(self->new, 2 * N, t, NULL, NULL));
}

/*
 * The owner dies, a child has its memory and its file: what was withheld stays so
 * until the child closes it, all else goes back at once.
 */
TEST_F(epoch, force_and_the_death_of_the_owner)
{
	int ready[2], done[2], status;
	pid_t owner;
	char c;

	close(self->old);
	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(done));
	owner = fork();
	if (!owner) {
		int s = kv_session(self->w.manager, ALL_RIGHTS | KVBM_BIND_OWNED);

		close(done[1]);
		if (s < 0 || kv_fill(s, 3, N, self->t) ||
		    kv_allocate(s, N, self->m, NULL, NULL))
			_exit(1);
		if (!fork()) {
			/* Until the parent closes its end. */
			if (read(done[0], &c, 1))
				_exit(1);
			_exit(0);
		}
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
	}
	ASSERT_EQ(1, read(ready[0], &c, 1));
	ASSERT_EQ(0, kv_epoch(self->new, FORCE, NULL));
	kill(owner, SIGKILL);
	waitpid(owner, &status, 0);
	EXPECT_EQ(0u, blocks_in(self, KVBM_STATE_PRIMARY));
	EXPECT_EQ(N, blocks_in(self, KVBM_STATE_MUTABLE));
	EXPECT_EQ(0, kv_check(self->w.fd, self->w.manager));
	close(done[0]);
	close(done[1]);
	/* The child is nobody's: wait for what it does. */
	while (blocks_in(self, KVBM_STATE_MUTABLE))
		usleep(1000);
	EXPECT_EQ(0, kv_check(self->w.fd, self->w.manager));
	close(ready[0]);
	close(ready[1]);
	self->old = dup(self->new);
}

/* A call that waits for blocks ends, and does not come back. */
static void *wait_for_blocks(void *arg)
{
	static struct kvbm_token t[BLOCKS];
	struct kvbm_allocate a = {
		.size = sizeof(a), .count = BLOCKS, .tokens = ptr(t),
		.deadline_ns = now_ns() + 600000000000ull };

	return (void *)(long)kv(*(int *)arg, KVBM_ALLOCATE, &a);
}

TEST_F(epoch, ends_waits)
{
	struct kvbm_counters c;
	pthread_t thread;
	void *result;

	ASSERT_EQ(0, pthread_create(&thread, NULL, wait_for_blocks, &self->old));
	do {
		usleep(1000);
		ASSERT_EQ(0, kv_counters(self->w.fd, self->w.manager, &c));
	} while (!c.waits);
	ASSERT_EQ(0, kv_epoch(self->new, RAISE, NULL));
	pthread_join(thread, &result);
	EXPECT_EQ(-EOWNERDEAD, (long)result);
}

/* Registers all the time, until it is told that it may not any more. */
static int writer(uint64_t manager, uint32_t chain, int *bound)
{
	int s = kv_session(manager, ALL_RIGHTS), err = 0;
	struct kvbm_token t[4];

	__atomic_fetch_add(bound, 1, __ATOMIC_SEQ_CST);

	while (!err || err == -ENOSPC) {
		err = kv_fill(s, chain, 4, t);
		if (!err)
			err = kv_release(s, 4, t);
		chain += 4;
	}
	return err == -EOWNERDEAD ? 0 : 1;
}

/*
 * The moment a raise returns, the counters of what old sessions do stand still:
 * no call that was under way finishes later.
 */
TEST_F_TIMEOUT(epoch, races, 100)
{
	int *bound = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned int rounds = 30 * kvbm_long(), i, k;
	struct kvbm_counters at_once, later;
	int status;

	ASSERT_NE(MAP_FAILED, bound);
	close(self->old);
	for (i = 0; i < rounds; i++) {
		for (k = 0; k < 3; k++)
			if (!fork())
				_exit(writer(self->w.manager, 1000 * (i * 3 + k), bound));
		/* One that comes after the raise would be right to go on. */
		while (__atomic_load_n(bound, __ATOMIC_SEQ_CST) < 3 * (int)(i + 1))
			usleep(1000);
		do {
			ASSERT_EQ(0, kv_counters(self->w.fd, self->w.manager, &later));
		} while (later.registrations < 8 + 40 * (i + 1));
		ASSERT_EQ(0, kv_epoch(self->new, i & 1 ? FORCE : RAISE, NULL));
		ASSERT_EQ(0, kv_counters(self->w.fd, self->w.manager, &at_once));
		for (k = 0; k < 3; k++) {
			wait(&status);
			EXPECT_EQ(0, status);
		}
		ASSERT_EQ(0, kv_counters(self->w.fd, self->w.manager, &later));
		EXPECT_EQ(at_once.registrations, later.registrations);
		EXPECT_EQ(at_once.stagings, later.stagings);
		EXPECT_EQ(at_once.allocations, later.allocations);
		EXPECT_EQ(0u, blocks_in(self, KVBM_STATE_MUTABLE));
		EXPECT_EQ(0u, blocks_in(self, KVBM_STATE_STAGED));
		EXPECT_EQ(0, kv_check(self->w.fd, self->w.manager));
	}
	self->old = dup(self->new);
}

TEST_HARNESS_MAIN
