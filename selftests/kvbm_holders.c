// SPDX-License-Identifier: GPL-2.0
/*
 * Who holds what: the process, its user and its pid namespace, and what is told
 * when it has gone.
 */
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "kvbm_util.h"
#include "kselftest_harness.h"

#define BLOCKS		1024
#define UID_OTHER	2002

static int sessions(int fd, uint64_t id, uint64_t after, uint32_t count,
		    struct kvbm_session_info *out)
{
	struct kvbm_manager_sessions a = {
		.size = sizeof(a),
		.id = id,
		.after = after,
		.sessions = ptr(out),
		.count = count,
	};
	int err = kv(fd, KVBM_MANAGER_SESSIONS, &a);

	return err ?: (int)a.out_count;
}

FIXTURE(holders)
{
	struct kv_world w;
	struct kvbm_session_info s[4];
	int go[2], ready[2];
};

FIXTURE_SETUP(holders)
{
	ASSERT_EQ(0, kv_world_make(&self->w, BLOCKS, KVBM_DUP_ALLOW));
	ASSERT_EQ(0, pipe(self->go));
	ASSERT_EQ(0, pipe(self->ready));
}

FIXTURE_TEARDOWN(holders)
{
	EXPECT_EQ(0, kv_world_end(&self->w));
}

/* A child that has bound and taken blocks, as somebody; it stays until killed. */
static pid_t worker(struct _test_data_holders *self, uid_t uid, uint32_t blocks)
{
	struct kvbm_token *t = calloc(blocks, sizeof(*t));
	pid_t pid = fork();
	char c = 0;
	int fd;

	if (pid) {
		free(t);
		return read(self->ready[0], &c, 1) == 1 && c == 'r' ? pid : -1;
	}
	prctl(PR_SET_NAME, "rank-0");
	fd = kv_open();
	if (uid && (setgroups(0, NULL) || setresuid(uid, uid, uid)))
		_exit(1);
	if (!kv_bind(fd, self->w.manager, ALL_RIGHTS | KVBM_BIND_OWNED) &&
	    !kv_allocate(fd, blocks, t, NULL, NULL))
		c = 'r';
	if (write(self->ready[1], &c, 1) != 1)
		_exit(1);
	pause();
	_exit(0);
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST_F(holders, worker_and_its_end)
{
	struct kvbm_session_info *s = self->s;
	pid_t pid = worker(self, 0, 300);
	int i;

	ASSERT_LT(0, pid);
	ASSERT_EQ(2, sessions(self->w.fd, self->w.manager, 0, 4, s));
	EXPECT_EQ(getpid(), s[0].pid);
	EXPECT_EQ(ALL_RIGHTS, s[0].flags);
	EXPECT_EQ(pid, s[1].pid);
	EXPECT_EQ(0, s[1].uid);
	EXPECT_EQ(ALL_RIGHTS | KVBM_BIND_OWNED, s[1].flags);
	EXPECT_EQ(300, s[1].blocks);
	EXPECT_EQ(300, s[1].guards);
	EXPECT_STREQ("rank-0", s[1].comm);
	EXPECT_LE(s[0].bound_ns, s[1].bound_ns);
	EXPECT_LT(0, s[1].oldest_ns);
	EXPECT_LE(s[1].oldest_ns, now_ns());
	end(pid);
	for (i = 0; i < 10000 && sessions(self->w.fd, self->w.manager, 0, 4, s) != 1; i++)
		usleep(1000);
	EXPECT_EQ(1, sessions(self->w.fd, self->w.manager, 0, 4, s));
}

TEST_F(holders, user)
{
	struct kvbm_manager_create m;
	struct kvbm_session_info *s = self->s;
	uint64_t old = self->w.manager;
	pid_t pid;

	if (getuid())
		SKIP(return, "needs root, to become somebody else");
	manager_init(&m, self->w.registry, "all", BLOCKS);
	m.mode = 0666;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	self->w.manager = m.out_id;
	pid = worker(self, UID_OTHER, 1);
	ASSERT_LT(0, pid);
	EXPECT_EQ(1, sessions(self->w.fd, m.out_id, 0, 4, s));
	EXPECT_EQ(UID_OTHER, s[0].uid);
	end(pid);
	self->w.manager = old;
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
}

/* Read is needed; the mode of the manager gives it, or the session has it. */
TEST_F(holders, rights)
{
	int writer = kv_session(self->w.manager, KVBM_BIND_WRITE), status;
	pid_t pid;

	ASSERT_LE(0, writer);
	EXPECT_EQ(-EACCES, sessions(writer, 0, 0, 4, self->s));
	EXPECT_EQ(2, sessions(self->w.session, 0, 0, 4, self->s));
	EXPECT_EQ(-ENOTCONN, sessions(self->w.fd, 0, 0, 4, self->s));
	EXPECT_EQ(-ENOENT, sessions(self->w.fd, 1ull << 60, 0, 4, self->s));
	close(writer);
	if (getuid())
		SKIP(return, "needs root, to become somebody else");
	pid = fork();
	if (!pid) {
		if (setgroups(0, NULL) || setresgid(UID_OTHER, UID_OTHER, UID_OTHER) ||
		    setresuid(UID_OTHER, UID_OTHER, UID_OTHER))
			_exit(255);
		_exit(-sessions(self->w.fd, self->w.manager, 0, 4, self->s));
	}
	waitpid(pid, &status, 0);
	EXPECT_EQ(EACCES, WEXITSTATUS(status));
}

/* A session that was handed on outlives the process that made it. */
TEST_F(holders, handed_on)
{
	struct kvbm_session_info *s = self->s;
	int pair[2], status, fd;
	struct msghdr msg = { 0 };
	struct iovec io = { .iov_base = &fd, .iov_len = 1 };
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	msg.msg_iov = &io;
	msg.msg_iovlen = 1;
	msg.msg_control = control;
	msg.msg_controllen = sizeof(control);
	pid = fork();
	if (!pid) {
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		struct kvbm_token t[5];

		fd = kv_session(self->w.manager, ALL_RIGHTS);
		if (fd < 0 || kv_allocate(fd, 5, t, NULL, NULL))
			_exit(1);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
		_exit(sendmsg(pair[0], &msg, 0) == 1 ? 0 : 1);
	}
	ASSERT_EQ(1, recvmsg(pair[1], &msg, 0));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	waitpid(pid, &status, 0);
	ASSERT_EQ(0, status);
	ASSERT_EQ(2, sessions(self->w.fd, self->w.manager, 0, 4, s));
	EXPECT_EQ(ALL_RIGHTS | KVBM_SESSION_ENDED, s[1].flags);
	EXPECT_EQ(pid, s[1].pid);
	EXPECT_EQ(5, s[1].blocks);
	close(fd);
	close(pair[0]);
	close(pair[1]);
}

/* In a pid namespace of its own, a process sees its own numbers only. */
TEST_F(holders, pid_namespace)
{
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		struct kvbm_session_info s[4];
		int fd;

		if (unshare(CLONE_NEWPID))
			_exit(77);
		pid = fork();
		if (pid) {
			waitpid(pid, &status, 0);
			_exit(WEXITSTATUS(status));
		}
		fd = kv_session(self->w.manager, ALL_RIGHTS);
		if (sessions(fd, 0, 0, 4, s) != 2)
			_exit(1);
		_exit(s[0].pid == 0 && s[1].pid == 1 && getpid() == 1 ? 0 : 2);
	}
	waitpid(pid, &status, 0);
	if (WEXITSTATUS(status) == 77)
		SKIP(return, "no pid namespaces here");
	EXPECT_EQ(0, status);
}

/* More than there is room for, by pages, while others come and go. */
TEST_F(holders, pages)
{
	struct kvbm_session_info page[7];
	int fds[40], i, n, seen = 0, pages = 0;
	uint64_t after = 0;

	for (i = 0; i < 40; i++) {
		fds[i] = kv_session(self->w.manager, KVBM_BIND_READ);
		ASSERT_LE(0, fds[i]);
	}
	do {
		n = sessions(self->w.fd, self->w.manager, after, 7, page);
		ASSERT_LE(0, n);
		for (i = 0; i < n; i++) {
			EXPECT_LT(after, page[i].id);
			after = page[i].id;
		}
		seen += n;
		/* One that was seen goes, one that was not comes. */
		close(fds[pages]);
		fds[pages++] = kv_session(self->w.manager, KVBM_BIND_READ);
	} while (n == 7);
	EXPECT_EQ(41 + pages - 1, seen);
	for (i = 0; i < 40; i++)
		close(fds[i]);
}

/* After a forced end only the sessions themselves can ask. */
TEST_F(holders, destroyed)
{
	struct kvbm_manager_create m;
	struct kvbm_token t[3];
	int fd;

	manager_init(&m, self->w.registry, "gone", BLOCKS);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	fd = kv_session(m.out_id, ALL_RIGHTS);
	ASSERT_EQ(0, kv_allocate(fd, 3, t, NULL, NULL));
	ASSERT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id,
				KVBM_DESTROY_FORCE));
	EXPECT_EQ(-ENOENT, sessions(self->w.fd, m.out_id, 0, 4, self->s));
	EXPECT_EQ(1, sessions(fd, 0, 0, 4, self->s));
	EXPECT_EQ(3, self->s[0].blocks);
	close(fd);
}

TEST_HARNESS_MAIN
