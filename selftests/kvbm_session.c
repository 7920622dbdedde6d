// SPDX-License-Identifier: GPL-2.0
/*
 * Sessions: whatever happens to a process, its guards go back.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kvbm_util.h"
#include "kselftest_harness.h"

#define BLOCKS	4096

FIXTURE(session)
{
	struct kv_world w;
	struct kvbm_counters c;
};

FIXTURE_SETUP(session)
{
	ASSERT_EQ(0, kv_world_make(&self->w, BLOCKS, KVBM_DUP_ALLOW));
}

FIXTURE_TEARDOWN(session)
{
	EXPECT_EQ(0, kv_world_end(&self->w));
}

static uint64_t held(struct kv_world *w)
{
	struct kvbm_counters c;

	kv_counters(w->fd, w->manager, &c);
	return c.states[KVBM_STATE_MUTABLE] + c.states[KVBM_STATE_STAGED] +
	       c.states[KVBM_STATE_PRIMARY] + c.states[KVBM_STATE_DUPLICATE];
}

/* Wait, without an opinion on how long it takes, until nothing is held. */
static bool drained(struct kv_world *w)
{
	int i;

	for (i = 0; i < 10000 && held(w); i++)
		usleep(1000);
	return !held(w);
}

/* Hold 10 Mutable, 20 Staged, 30 Primary, 5 Duplicate; 65 + 7 guards. */
static int hold_some(int fd)
{
	struct kvbm_token t[65], again[7];
	struct kvbm_hash h[30];
	uint32_t n;
	int err;

	kv_hashes(h, 2, 20);
	err = kv_fill(fd, 1, 30, t);
	err = err ?: kv_allocate(fd, 35, t + 30, NULL, NULL);
	err = err ?: kv_stage(fd, 20, t + 30, h);
	kv_hashes(h, 1, 30);
	err = err ?: kv_stage(fd, 5, t + 50, h);
	err = err ?: kv_register(fd, 5, t + 50, NULL);
	err = err ?: kv_match(fd, 7, h, again, &n);
	return err ?: n == 7 ? 0 : -EIO;
}

static void expect_reclaimed(struct __test_metadata *_metadata,
			     struct kv_world *w, uint64_t sessions)
{
	struct kvbm_counters c;

	EXPECT_TRUE(drained(w));
	ASSERT_EQ(0, kv_counters(w->fd, w->manager, &c));
	EXPECT_EQ(sessions, c.reclaimed_sessions);
	EXPECT_EQ(sessions * 10, c.reclaimed_mutable);
	EXPECT_EQ(sessions * 20, c.reclaimed_staged);
	EXPECT_EQ(sessions * 42, c.reclaimed_immutable);
	EXPECT_EQ(30, c.states[KVBM_STATE_INACTIVE]);
	EXPECT_EQ(BLOCKS - 30, c.states[KVBM_STATE_RESET]);
	EXPECT_EQ(0, c.inflight_immutable);
	EXPECT_EQ(0, kv_check(w->fd, w->manager));
}

TEST_F(session, close_gives_everything_back)
{
	int fd = kv_session(self->w.manager, ALL_RIGHTS);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, hold_some(fd));
	EXPECT_EQ(65, held(&self->w));
	close(fd);
	EXPECT_EQ(0, held(&self->w));
	expect_reclaimed(_metadata, &self->w, 1);
}

TEST_F(session, reverse_order_of_taking)
{
	int fd = kv_session(self->w.manager, ALL_RIGHTS);
	struct kvbm_token t[8], all[BLOCKS];
	struct kvbm_hash evicted[BLOCKS], h;
	uint32_t n, i;

	ASSERT_EQ(0, kv_fill(fd, 1, 8, t));
	close(fd);
	ASSERT_EQ(0, kv_allocate(self->w.session, BLOCKS, all, evicted, &n));
	ASSERT_EQ(8, n);
	for (i = 0; i < 8; i++) {
		h = kv_hash(1, 7 - i);
		EXPECT_EQ(0, memcmp(&h, &evicted[i], sizeof(h)));
	}
}

/* A child that holds, says so, and waits to be killed. */
static pid_t holder(struct kv_world *w, uint32_t flags, bool fork_again,
		    pid_t *grandchild)
{
	int *said = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = fork();

	if (!pid) {
		int fd = kv_session(w->manager, flags);

		if (fd < 0 || hold_some(fd))
			_exit(1);
		if (fork_again) {
			pid_t child;

			/* The child looks at it at once. */
			said[2] = getpid();
			child = fork();
			if (!child) {
				struct kvbm_token t;

				/* Tell what an allocation answers once orphaned. */
				while (getppid() == said[2])
					usleep(1000);
				usleep(20000);
				said[3] = kv_allocate(fd, 1, &t, NULL, NULL);
				__atomic_store_n(&said[4], 1, __ATOMIC_RELEASE);
				pause();
			}
			said[1] = child;
		}
		__atomic_store_n(&said[0], 1, __ATOMIC_RELEASE);
		pause();
	}
	while (!__atomic_load_n(&said[0], __ATOMIC_ACQUIRE))
		usleep(1000);
	if (grandchild)
		*grandchild = said[1];
	return pid;
}

TEST_F(session, sigkill)
{
	pid_t pid = holder(&self->w, ALL_RIGHTS | KVBM_BIND_OWNED, false, NULL);

	EXPECT_EQ(65, held(&self->w));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	expect_reclaimed(_metadata, &self->w, 1);
}

TEST_F(session, owner_dies_child_lives)
{
	pid_t grandchild, pid;

	pid = holder(&self->w, ALL_RIGHTS | KVBM_BIND_OWNED, true, &grandchild);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	expect_reclaimed(_metadata, &self->w, 1);
	EXPECT_EQ(0, kill(grandchild, 0));
	kill(grandchild, SIGKILL);
}

TEST_F(session, child_keeps_a_session_that_is_not_owned)
{
	pid_t grandchild, pid;

	pid = holder(&self->w, ALL_RIGHTS, true, &grandchild);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	usleep(50000);
	/* What the child allocates meanwhile comes on top. */
	EXPECT_LE(65, held(&self->w));
	kill(grandchild, SIGKILL);
	EXPECT_TRUE(drained(&self->w));
}

TEST_F(session, child_hears_of_its_owners_death)
{
	struct kvbm_session_open so = { .size = sizeof(so), .flags = ALL_RIGHTS };
	struct kvbm_set_threshold threshold = { .size = sizeof(threshold) };
	struct kvbm_match probe = { .size = sizeof(probe), .flags = KVBM_MATCH_PROBE };
	struct kvbm_held held;
	struct kvbm_holdings holdings = { .size = sizeof(holdings), .count = 1,
					  .held = ptr(&held) };
	struct pollfd poller = { .fd = kv_open(), .events = POLLOUT };
	int fd = poller.fd, p[2], err;
	struct kvbm_token t;
	pid_t pid;
	char c;

	/* The child is the owner, this process has the descriptor, too. */
	ASSERT_EQ(0, pipe(p));
	pid = fork();
	if (!pid) {
		if (kv_bind(fd, self->w.manager, ALL_RIGHTS | KVBM_BIND_OWNED) ||
		    hold_some(fd))
			_exit(1);
		if (write(p[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	ASSERT_EQ(1, read(p[0], &c, 1));
	ASSERT_EQ(0, kv_allocate(fd, 1, &t, NULL, NULL));
	ASSERT_EQ(0, kv_release(fd, 1, &t));
	EXPECT_EQ(1, poll(&poller, 1, 0));
	EXPECT_EQ(POLLOUT, poller.revents);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	expect_reclaimed(_metadata, &self->w, 1);
	err = kv_allocate(fd, 1, &t, NULL, NULL);
	EXPECT_EQ(-EOWNERDEAD, err);
	EXPECT_EQ(-EOWNERDEAD, kv_release(fd, 1, &t));
	EXPECT_EQ(-EOWNERDEAD, kv(fd, KVBM_SESSION_OPEN, &so));
	EXPECT_EQ(-EOWNERDEAD, kv(fd, KVBM_SET_THRESHOLD, &threshold));
	EXPECT_EQ(-EOWNERDEAD, kv(fd, KVBM_MATCH, &probe));
	memset(&held, 0xff, sizeof(held));
	EXPECT_EQ(-EOWNERDEAD, kv(fd, KVBM_HOLDINGS, &holdings));
	EXPECT_EQ(0u, holdings.out_count);
	EXPECT_EQ(UINT32_MAX, held.guards);
	/* There are blocks enough, but not for this one. */
	EXPECT_EQ(1, poll(&poller, 1, 0));
	EXPECT_EQ(POLLERR | POLLHUP, poller.revents);
	close(fd);
}

TEST_F(session, owner_closes_first)
{
	int fd = kv_open(), p[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(p));
	pid = fork();
	if (!pid) {
		if (kv_bind(fd, self->w.manager, ALL_RIGHTS | KVBM_BIND_OWNED) ||
		    hold_some(fd))
			_exit(1);
		close(fd);
		if (write(p[1], "x", 1) != 1)
			_exit(1);
		_exit(0);
	}
	ASSERT_EQ(1, read(p[0], &c, 1));
	waitpid(pid, NULL, 0);
	/* Then the last close counts. */
	EXPECT_EQ(65, held(&self->w));
	close(fd);
	expect_reclaimed(_metadata, &self->w, 1);
}

TEST_F(session, exec_closes)
{
	int p[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(p));
	pid = fork();
	if (!pid) {
		int fd = kv_session(self->w.manager, ALL_RIGHTS);
		char number[16];

		if (fd < 0 || hold_some(fd))
			_exit(1);
		snprintf(number, sizeof(number), "%d", p[1]);
		execl("/bin/sh", "sh", "-c", "echo x >&$0; sleep 100", number, NULL);
		_exit(2);
	}
	ASSERT_EQ(1, read(p[0], &c, 1));
	/* The process lives, its session does not. */
	expect_reclaimed(_metadata, &self->w, 1);
	EXPECT_EQ(0, kill(pid, 0));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int send_fd(int sock, int fd)
{
	char c = 0, buf[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &c, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = buf,
			      .msg_controllen = sizeof(buf) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	return sendmsg(sock, &msg, 0) == 1 ? 0 : -errno;
}

TEST_F(session, passed_over_a_socket_and_dropped)
{
	int fd = kv_session(self->w.manager, ALL_RIGHTS), sv[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	ASSERT_EQ(0, hold_some(fd));
	ASSERT_EQ(0, send_fd(sv[0], fd));
	close(fd);
	/* In flight: the socket has it. */
	EXPECT_EQ(65, held(&self->w));
	close(sv[0]);
	close(sv[1]);
	expect_reclaimed(_metadata, &self->w, 1);
}

struct worker {
	struct kv_world *w;
	int fd;
	uint32_t chain;
	int err;
};

/* Its own chain, over and over, in a session that others use, too. */
static void *work(void *arg)
{
	struct worker *me = arg;
	struct kvbm_token t[32];
	struct kvbm_hash h[32];
	uint32_t n;
	int i;

	kv_hashes(h, me->chain, 32);
	for (i = 0; i < 200 && !me->err; i++) {
		me->err = kv_match(me->fd, 32, h, t, &n);
		if (!me->err && n < 32)
			me->err = kv_allocate(me->fd, 32 - n, t + n, NULL, NULL);
		if (!me->err && n < 32)
			me->err = kv_stage(me->fd, 32 - n, t + n, h + n);
		if (!me->err && n < 32)
			me->err = kv_register(me->fd, 32 - n, t + n, NULL);
		if (!me->err)
			me->err = kv_release(me->fd, 32, t);
	}
	return NULL;
}

TEST_F(session, threads_share_a_session)
{
	struct worker workers[4];
	pthread_t threads[4];
	int i;

	for (i = 0; i < 4; i++) {
		workers[i] = (struct worker){ &self->w, self->w.session, 10 + i, 0 };
		pthread_create(&threads[i], NULL, work, &workers[i]);
	}
	for (i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_EQ(0, workers[i].err);
	}
	EXPECT_EQ(0, held(&self->w));
	EXPECT_EQ(0, kv_check(self->w.fd, self->w.manager));
}

static void *work_until_closed(void *arg)
{
	struct worker *me = arg;
	struct kvbm_token t[64];

	do {
		me->err = kv_allocate(me->fd, 64, t, NULL, NULL);
		if (!me->err)
			me->err = kv_release(me->fd, 64, t);
	} while (!me->err);
	return NULL;
}

TEST_F(session, closed_inside_an_ioctl)
{
	struct worker worker = { .w = &self->w };
	pthread_t thread;
	int i;

	for (i = 0; i < 50; i++) {
		worker.fd = kv_session(self->w.manager, ALL_RIGHTS);
		ASSERT_LE(0, worker.fd);
		pthread_create(&thread, NULL, work_until_closed, &worker);
		usleep(500);
		close(worker.fd);
		pthread_join(thread, NULL);
		EXPECT_EQ(-EBADF, worker.err);
		EXPECT_EQ(0, held(&self->w));
	}
	EXPECT_EQ(0, kv_check(self->w.fd, self->w.manager));
}

/* The session is the file, whichever descriptor is left of it. */
TEST_F(session, lives_on_in_a_dup)
{
	struct worker worker = { .w = &self->w };
	int fd = kv_session(self->w.manager, ALL_RIGHTS | KVBM_BIND_OWNED);
	struct kvbm_token t[8];
	pthread_t thread;

	ASSERT_EQ(0, kv_allocate(fd, 8, t, NULL, NULL));
	worker.fd = dup(fd);
	ASSERT_LE(0, worker.fd);
	pthread_create(&thread, NULL, work_until_closed, &worker);
	usleep(5000);
	close(fd);
	usleep(5000);
	EXPECT_LE(8, held(&self->w));
	close(worker.fd);
	pthread_join(thread, NULL);
	EXPECT_EQ(-EBADF, worker.err);
	EXPECT_EQ(0, held(&self->w));
	EXPECT_EQ(0, kv_check(self->w.fd, self->w.manager));
}

TEST_F_TIMEOUT(session, a_hundred_thousand_guards, 300)
{
	const uint32_t n = 100000, batch = 50000;
	struct kvbm_manager_create m;
	struct kvbm_token *t = calloc(batch, sizeof(*t));
	struct kvbm_counters c;
	uint64_t begin, end;
	pid_t pid;
	int p[2];
	char x;

	manager_init(&m, self->w.registry, "big", n);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	ASSERT_EQ(0, pipe(p));
	pid = fork();
	if (!pid) {
		int fd = kv_session(m.out_id, ALL_RIGHTS | KVBM_BIND_OWNED);

		if (fd < 0 || kv_fill(fd, 1, batch, t) ||
		    kv_allocate(fd, batch, t, NULL, NULL) ||
		    write(p[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	ASSERT_EQ(1, read(p[0], &x, 1));
	begin = now_ns();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	do {
		ASSERT_EQ(0, kv_counters(self->w.fd, m.out_id, &c));
	} while (!c.reclaimed_sessions);
	end = c.reclaim_end_ns;
	TH_LOG("%u guards went back %llu us after kill(2), in %llu us", n,
	       (unsigned long long)(end - begin) / 1000,
	       (unsigned long long)c.reclaim_last_ns / 1000);
	EXPECT_EQ(batch, c.reclaimed_mutable);
	EXPECT_EQ(batch, c.reclaimed_immutable);
	EXPECT_EQ(batch, c.states[KVBM_STATE_RESET]);
	EXPECT_EQ(batch, c.states[KVBM_STATE_INACTIVE]);
	EXPECT_EQ(0, kv_check(self->w.fd, m.out_id));
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	free(t);
}

TEST_F(session, module_stays)
{
	if (getuid())
		SKIP(return, "needs root");
	EXPECT_EQ(-1, syscall(SYS_delete_module, "kvbm", O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
}

TEST_HARNESS_MAIN
