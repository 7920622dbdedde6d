// SPDX-License-Identifier: GPL-2.0
/*
 * Quotas: how many blocks a session, a user and a cgroup may hold, to the block.
 */
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "kvbm_userns.h"
#include "kvbm_util.h"
#include "kselftest_harness.h"

#define BLOCKS	512u
#define N	8u
#define USER	1000

FIXTURE(quota)
{
	struct kv_world w;
	struct kvbm_token t[BLOCKS];
	struct kvbm_hash h[BLOCKS];
	uint64_t manager;
	int s;
};

/* A manager that everybody may use. */
FIXTURE_SETUP(quota)
{
	struct kvbm_manager_create m;

	ASSERT_EQ(0, kv_world_make(&self->w, BLOCKS, KVBM_DUP_REJECT));
	manager_init(&m, self->w.registry, "quota", BLOCKS);
	m.mode = 0666;
	m.duplication = KVBM_DUP_REJECT;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	self->manager = m.out_id;
	self->s = kv_session(self->manager, ALL_RIGHTS);
	ASSERT_LE(0, self->s);
	kv_hashes(self->h, 1, BLOCKS);
}

FIXTURE_TEARDOWN(quota)
{
	close(self->s);
	EXPECT_EQ(0, kv_check(self->w.fd, self->manager));
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, self->manager, 0));
	EXPECT_EQ(0, kv_world_end(&self->w));
}

static int set(struct _test_data_quota *self, uint32_t kind, uint64_t id, uint64_t n)
{
	return kv_set_quota(self->w.fd, self->manager, kind, id, n);
}

static int64_t held(struct _test_data_quota *self, uint32_t kind, uint64_t id)
{
	return kv_quota_held(self->w.fd, self->manager, kind, id);
}

static int64_t holdings(int s)
{
	struct kvbm_holdings a = { .size = sizeof(a) };
	int err = kv(s, KVBM_HOLDINGS, &a);

	return err ?: (int64_t)a.out_total;
}

/* A session of another user, made by this process. */
static int session_of(uint64_t manager, uid_t uid)
{
	int fd = kv_open(), err;
	uid_t me = geteuid();

	if (fd < 0 || setresuid(-1, uid, -1))
		return -errno;
	err = kv_bind(fd, manager, ALL_RIGHTS);
	if (setresuid(-1, me, -1))
		return -errno;
	return err ?: fd;
}

TEST_F(quota, of_each_session)
{
	int other = kv_session(self->manager, ALL_RIGHTS);

	ASSERT_EQ(0, set(self, KVBM_QUOTA_SESSION, 0, N));
	EXPECT_EQ(-EDQUOT, kv_allocate(self->s, N + 1, self->t, NULL, NULL));
	EXPECT_EQ(0, holdings(self->s));
	ASSERT_EQ(0, kv_allocate(self->s, N, self->t, NULL, NULL));
	EXPECT_EQ(-EDQUOT, kv_allocate(self->s, 1, self->t + N, NULL, NULL));
	/* That user alone. */
	EXPECT_EQ(0, kv_allocate(other, N, self->t + N, NULL, NULL));
	ASSERT_EQ(0, kv_release(self->s, 1, self->t));
	EXPECT_EQ(0, kv_allocate(self->s, 1, self->t, NULL, NULL));
	EXPECT_EQ(-EDQUOT, kv_allocate(self->s, 1, self->t + 2 * N, NULL, NULL));
	close(other);
	ASSERT_EQ(0, set(self, KVBM_QUOTA_SESSION, 0, KVBM_QUOTA_NONE));
	EXPECT_EQ(0, kv_allocate(self->s, BLOCKS - N, self->t + N, NULL, NULL));
}

/* No wait for what waiting does not bring. */
TEST_F(quota, does_not_wait)
{
	struct kvbm_allocate a = {
		.size = sizeof(a), .count = N + 1, .tokens = ptr(self->t),
		.deadline_ns = now_ns() + 600000000000ull };

	ASSERT_EQ(0, set(self, KVBM_QUOTA_SESSION, 0, N));
	EXPECT_EQ(-EDQUOT, kv(self->s, KVBM_ALLOCATE, &a));
}

/* One unit for a block, however many guards there are. */
/* A quota may come late. */
TEST_F(quota, counts_what_is_held_already)
{
	ASSERT_EQ(0, kv_allocate(self->s, N, self->t, NULL, NULL));
	ASSERT_EQ(0, set(self, KVBM_QUOTA_SESSION, 0, N));
	EXPECT_EQ(-EDQUOT, kv_allocate(self->s, 1, self->t + N, NULL, NULL));
	ASSERT_EQ(0, kv_release(self->s, 1, self->t));
	EXPECT_EQ(0, kv_allocate(self->s, 1, self->t, NULL, NULL));
}

TEST_F(quota, counts_blocks)
{
	struct kvbm_token more[N];
	uint32_t n;

	ASSERT_EQ(0, set(self, KVBM_QUOTA_SESSION, 0, N));
	ASSERT_EQ(0, kv_fill(self->s, 1, N, self->t));
	ASSERT_EQ(0, kv_tokens(self->s, KVBM_CLONE, 0, N, self->t));
	ASSERT_EQ(0, kv_match(self->s, N, self->h, more, &n));
	EXPECT_EQ(N, n);
	EXPECT_EQ(N, holdings(self->s));
	ASSERT_EQ(0, kv_release(self->s, N, self->t));
	ASSERT_EQ(0, kv_release(self->s, N, self->t));
	EXPECT_EQ(-EDQUOT, kv_allocate(self->s, 1, self->t, NULL, NULL));
	ASSERT_EQ(0, kv_release(self->s, N, more));
	EXPECT_EQ(0, kv_allocate(self->s, N, self->t, NULL, NULL));
}

/* A look-up that would exceed it leaves nothing behind; one that fits is had. */
TEST_F(quota, lookups)
{
	static const uint32_t flags[] = { 0, KVBM_MATCH_SCATTERED, KVBM_MATCH_SCAN };
	struct kvbm_match a = { .size = sizeof(a), .hashes = ptr(self->h),
				.tokens = ptr(self->t) };
	struct kvbm_upgrade u = { .size = sizeof(u), .hashes = ptr(self->h),
				  .tokens = ptr(self->t), .out_tokens = ptr(self->t) };
	unsigned int i;

	/* More than one hold of the lock. */
	ASSERT_EQ(0, kv_fill(self->w.session, 1, 1, self->t));
	ASSERT_EQ(0, kv_fill(self->s, 1, 300, self->t));
	ASSERT_EQ(0, kv_release(self->s, 300, self->t));
	ASSERT_EQ(0, set(self, KVBM_QUOTA_SESSION, 0, 200));
	for (i = 0; i < 3; i++) {
		a.flags = flags[i];
		a.count = 201;
		EXPECT_EQ(-EDQUOT, kv(self->s, KVBM_MATCH, &a));
		EXPECT_EQ(0, holdings(self->s));
		/* What is not there costs nothing. */
		a.count = 200;
		EXPECT_EQ(0, kv(self->s, KVBM_MATCH, &a));
		EXPECT_EQ(200, holdings(self->s));
		EXPECT_EQ(0, kv_release(self->s, 200, self->t));
	}
	memset(self->t, 0, sizeof(self->t));
	u.count = 201;
	EXPECT_EQ(-EDQUOT, kv(self->s, KVBM_UPGRADE, &u));
	EXPECT_EQ(0, holdings(self->s));
	u.count = 200;
	EXPECT_EQ(0, kv(self->s, KVBM_UPGRADE, &u));
	EXPECT_EQ(200, holdings(self->s));
}

/* To the block, below and beyond the size of a chunk. */
TEST_F(quota, acquire)
{
	static const uint32_t sizes[] = { 16, 300 };
	struct kvbm_acquire a;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		uint32_t n = sizes[i];

		ASSERT_EQ(0, set(self, KVBM_QUOTA_SESSION, 0, KVBM_QUOTA_NONE));
		ASSERT_EQ(0, kv_fill(self->s, 1, n / 2, self->t));
		ASSERT_EQ(0, set(self, KVBM_QUOTA_SESSION, 0, n - 1));
		/* Half of it is held already, and costs nothing. */
		EXPECT_EQ(-EDQUOT, kv_acquire(self->s, n, n, self->h, self->t, &a));
		EXPECT_EQ(n / 2, holdings(self->s));
		ASSERT_EQ(0, set(self, KVBM_QUOTA_SESSION, 0, n));
		ASSERT_EQ(0, kv_acquire(self->s, n, n, self->h, self->t, &a));
		EXPECT_EQ(n / 2, a.out_matched);
		EXPECT_EQ(n, holdings(self->s));
		ASSERT_EQ(0, kv_release(self->s, n, self->t));
		ASSERT_EQ(0, kv_release(self->s, n / 2, self->t));
		EXPECT_EQ(0, holdings(self->s));
		ASSERT_EQ(0, kv(self->s, KVBM_DRAIN, &(struct kvbm_drain){
			.size = sizeof(struct kvbm_drain) }));
	}
}

/* A refused registration gives a unit back where the block was held before. */
TEST_F(quota, refused_registration)
{
	struct kvbm_token t[2];

	ASSERT_EQ(0, kv_fill(self->s, 1, 1, self->t));
	ASSERT_EQ(0, kv_allocate(self->s, 1, t, NULL, NULL));
	ASSERT_EQ(0, set(self, KVBM_QUOTA_SESSION, 0, 2));
	EXPECT_EQ(-EDQUOT, kv_allocate(self->s, 1, t + 1, NULL, NULL));
	ASSERT_EQ(0, kv_stage(self->s, 1, t, self->h));
	ASSERT_EQ(0, kv_register(self->s, 1, t, NULL));
	EXPECT_EQ(1, holdings(self->s));
	EXPECT_EQ(0, kv_allocate(self->s, 1, t + 1, NULL, NULL));
	EXPECT_EQ(-EDQUOT, kv_allocate(self->s, 1, t + 1, NULL, NULL));
}

TEST_F(quota, of_users)
{
	int a, b, c;

	a = session_of(self->manager, USER);
	b = session_of(self->manager, USER);
	c = session_of(self->manager, USER + 1);
	ASSERT_LE(0, a);
	ASSERT_LE(0, b);
	ASSERT_LE(0, c);
	/* What they hold when it begins counts. */
	ASSERT_EQ(0, kv_allocate(a, N, self->t, NULL, NULL));
	ASSERT_EQ(0, set(self, KVBM_QUOTA_UID, USER, 2 * N));
	EXPECT_EQ(N, held(self, KVBM_QUOTA_UID, USER));
	EXPECT_EQ(-EDQUOT, kv_allocate(b, N + 1, self->t + N, NULL, NULL));
	ASSERT_EQ(0, kv_allocate(b, N, self->t + N, NULL, NULL));
	EXPECT_EQ(-EDQUOT, kv_allocate(a, 1, self->t + 2 * N, NULL, NULL));
	EXPECT_EQ(0, kv_allocate(c, 3 * N, self->t + 2 * N, NULL, NULL));
	EXPECT_EQ(2 * N, held(self, KVBM_QUOTA_UID, USER));
	EXPECT_EQ(3 * N, held(self, KVBM_QUOTA_UID, USER + 1));
	/* A limit for each, and one's own before it. */
	ASSERT_EQ(0, set(self, KVBM_QUOTA_UID, KVBM_QUOTA_EACH, 3 * N));
	EXPECT_EQ(-EDQUOT, kv_allocate(c, 1, self->t + 5 * N, NULL, NULL));
	EXPECT_EQ(-EDQUOT, kv_allocate(a, 1, self->t + 5 * N, NULL, NULL));
	ASSERT_EQ(0, set(self, KVBM_QUOTA_UID, USER, KVBM_QUOTA_NONE));
	EXPECT_EQ(0, kv_allocate(a, N, self->t + 5 * N, NULL, NULL));
	EXPECT_EQ(-EDQUOT, kv_allocate(a, 1, self->t + 6 * N, NULL, NULL));
	/* Below what is held: nothing is taken away, nothing is given. */
	ASSERT_EQ(0, set(self, KVBM_QUOTA_UID, USER, 1));
	EXPECT_EQ(-EDQUOT, kv_allocate(a, 1, self->t + 6 * N, NULL, NULL));
	EXPECT_EQ(3 * N, held(self, KVBM_QUOTA_UID, USER));
	close(a);
	EXPECT_EQ(N, held(self, KVBM_QUOTA_UID, USER));
	close(b);
	EXPECT_EQ(0, held(self, KVBM_QUOTA_UID, USER));
	close(c);
}

/* A pin is charged to whoever made it, for as long as it is open. */
TEST_F(quota, pins)
{
	int s, pin;

	s = session_of(self->manager, USER);
	ASSERT_LE(0, s);
	ASSERT_EQ(0, set(self, KVBM_QUOTA_UID, USER, 2 * N));
	ASSERT_EQ(0, kv_fill(s, 1, N, self->t));
	pin = kv_pin(s, 0, N, self->t);
	ASSERT_LE(0, pin);
	EXPECT_EQ(2 * N, held(self, KVBM_QUOTA_UID, USER));
	EXPECT_EQ(-EDQUOT, kv_pin(s, 0, 1, self->t));
	EXPECT_EQ(-EDQUOT, kv_allocate(s, 1, self->t + N, NULL, NULL));
	close(s);
	EXPECT_EQ(N, held(self, KVBM_QUOTA_UID, USER));
	s = session_of(self->manager, USER);
	EXPECT_EQ(-EDQUOT, kv_allocate(s, N + 1, self->t + N, NULL, NULL));
	close(pin);
	EXPECT_EQ(0, held(self, KVBM_QUOTA_UID, USER));
	EXPECT_EQ(0, kv_allocate(s, N + 1, self->t + N, NULL, NULL));
	close(s);
}

/* The limit of a group is one of all groups below it. */
TEST_F(quota, of_cgroups)
{
	static const char *const paths[] = {
		"/sys/fs/cgroup/kvbm-a", "/sys/fs/cgroup/kvbm-a/b", "/sys/fs/cgroup/kvbm-c" };
	int fds[3], i;
	struct stat st[3];

	for (i = 0; i < 3; i++) {
		if (mkdir(paths[i], 0755) || stat(paths[i], &st[i]))
			SKIP(return, "no cgroup v2");
		ASSERT_EQ(0, kv_enter_cgroup(paths[i]));
		/* One has a limit before it has a session. */
		if (!i)
			ASSERT_EQ(0, set(self, KVBM_QUOTA_CGROUP, st[0].st_ino, 2 * N));
		fds[i] = kv_session(self->manager, ALL_RIGHTS);
		ASSERT_LE(0, fds[i]);
	}
	ASSERT_EQ(0, kv_allocate(fds[0], N, self->t, NULL, NULL));
	ASSERT_EQ(0, kv_allocate(fds[1], N, self->t + N, NULL, NULL));
	EXPECT_EQ(-EDQUOT, kv_allocate(fds[1], 1, self->t + 2 * N, NULL, NULL));
	EXPECT_EQ(-EDQUOT, kv_allocate(fds[0], 1, self->t + 2 * N, NULL, NULL));
	EXPECT_EQ(0, kv_allocate(fds[2], 3 * N, self->t + 2 * N, NULL, NULL));
	EXPECT_EQ(2 * N, held(self, KVBM_QUOTA_CGROUP, st[0].st_ino));
	EXPECT_EQ(N, held(self, KVBM_QUOTA_CGROUP, st[1].st_ino));
	EXPECT_EQ(3 * N, held(self, KVBM_QUOTA_CGROUP, st[2].st_ino));
	/* The root has them all, and the sessions of the fixture. */
	EXPECT_EQ(5 * N, held(self, KVBM_QUOTA_CGROUP, 1));
	for (i = 0; i < 3; i++)
		close(fds[i]);
	EXPECT_EQ(0, held(self, KVBM_QUOTA_CGROUP, st[0].st_ino));
	EXPECT_EQ(0, held(self, KVBM_QUOTA_CGROUP, 1));
	ASSERT_EQ(0, kv_enter_cgroup("/sys/fs/cgroup"));
	while (i--)
		EXPECT_EQ(0, rmdir(paths[i]));
}

/* Whoever looks finds all limits, by rising number. */
TEST_F(quota, next)
{
	uint64_t m = self->manager;
	struct kvbm_quota q;
	int s;

	/* The session of the fixture. */
	ASSERT_EQ(0, kv_next_quota(self->w.fd, m, KVBM_QUOTA_UID, 0, &q));
	EXPECT_EQ(geteuid(), q.id);
	EXPECT_EQ(KVBM_QUOTA_NONE, q.blocks);
	EXPECT_EQ(-ENOENT, kv_next_quota(self->w.fd, m, KVBM_QUOTA_UID, q.id + 1, &q));
	ASSERT_EQ(0, set(self, KVBM_QUOTA_UID, USER + 5, 7));
	ASSERT_EQ(0, set(self, KVBM_QUOTA_UID, USER + 2, 9));
	ASSERT_EQ(0, set(self, KVBM_QUOTA_UID, KVBM_QUOTA_EACH, 11));
	s = session_of(m, USER + 3);
	ASSERT_EQ(0, kv_allocate(s, 3, self->t, NULL, NULL));
	ASSERT_EQ(0, kv_next_quota(self->w.fd, m, KVBM_QUOTA_UID, 1, &q));
	EXPECT_EQ(USER + 2u, q.id);
	EXPECT_EQ(9u, q.blocks);
	EXPECT_EQ(0u, q.out_held);
	ASSERT_EQ(0, kv_next_quota(self->w.fd, m, KVBM_QUOTA_UID, q.id + 1, &q));
	EXPECT_EQ(USER + 3u, q.id);
	EXPECT_EQ(11u, q.blocks);
	EXPECT_EQ(3u, q.out_held);
	close(s);
	ASSERT_EQ(0, kv_next_quota(self->w.fd, m, KVBM_QUOTA_UID, q.id, &q));
	EXPECT_EQ(USER + 5u, q.id);
	ASSERT_EQ(0, set(self, KVBM_QUOTA_UID, USER + 5, KVBM_QUOTA_NONE));
	EXPECT_EQ(-ENOENT, kv_next_quota(self->w.fd, m, KVBM_QUOTA_UID, q.id, &q));
	ASSERT_EQ(0, set(self, KVBM_QUOTA_CGROUP, 1ull << 60, 1));
	ASSERT_EQ(0, kv_next_quota(self->w.fd, m, KVBM_QUOTA_CGROUP, 1ull << 59, &q));
	EXPECT_EQ(1ull << 60, q.id);
	q.flags |= KVBM_QUOTA_SET;
	EXPECT_EQ(-EINVAL, kv(self->w.fd, KVBM_QUOTA, &q));
	EXPECT_EQ(-EINVAL, kv_next_quota(self->w.fd, m, KVBM_QUOTA_SESSION, 0, &q));
}

/* What a child sees and does from a namespace: 0, which step went wrong, or 255. */
static int live_in_namespace(struct _test_data_quota *self, bool mapped)
{
	int fd = self->w.fd, err = userns_enter(mapped);
	uint64_t m = self->manager;
	struct kvbm_quota q;

	if (err)
		return err == -EOPNOTSUPP ? 255 : 254;
	/* They may have a limit outside. */
	if (set(self, KVBM_QUOTA_UID, USER, 1) != -EINVAL ||
	    set(self, KVBM_QUOTA_UID, 0, 1) != -EINVAL ||
	    set(self, KVBM_QUOTA_UID, UID_INSIDE + 1, 1) != -EINVAL)
		return 1;
	if (held(self, KVBM_QUOTA_UID, USER) != -EINVAL ||
	    held(self, KVBM_QUOTA_UID, 0) != -EINVAL)
		return 2;
	if (!mapped)
		return kv_next_quota(fd, m, KVBM_QUOTA_UID, 0, &q) == -ENOENT ? 0 : 3;
	if (kv_next_quota(fd, m, KVBM_QUOTA_UID, 0, &q) || q.id != UID_INSIDE ||
	    q.out_held != N || q.blocks != KVBM_QUOTA_NONE)
		return 4;
	if (kv_next_quota(fd, m, KVBM_QUOTA_UID, UID_INSIDE + 1, &q) != -ENOENT)
		return 5;
	return set(self, KVBM_QUOTA_UID, UID_INSIDE, 2 * N) ? 6 : 0;
}

/* Numbers are those that the caller knows users by. */
TEST_F(quota, user_namespace)
{
	struct kvbm_quota q;
	int status, mapped;

	ASSERT_EQ(0, set(self, KVBM_QUOTA_UID, USER, 7));
	ASSERT_EQ(0, kv_allocate(self->s, N, self->t, NULL, NULL));
	for (mapped = 0; mapped < 2; mapped++) {
		if (!fork())
			_exit(live_in_namespace(self, mapped));
		wait(&status);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 255)
			SKIP(return, "no user namespaces");
		EXPECT_EQ(0, status)
			TH_LOG("mapped: %d, status %x", mapped, status);
		/* Of all that, one limit was set, and that of this user. */
		ASSERT_EQ(0, kv_next_quota(self->w.fd, self->manager, KVBM_QUOTA_UID, 0,
					   &q));
		EXPECT_EQ(geteuid(), q.id);
		EXPECT_EQ(mapped ? 2 * N : KVBM_QUOTA_NONE, q.blocks);
		EXPECT_EQ(N, q.out_held);
		ASSERT_EQ(0, kv_next_quota(self->w.fd, self->manager, KVBM_QUOTA_UID,
					   q.id + 1, &q));
		EXPECT_EQ(USER, q.id);
		EXPECT_EQ(7, q.blocks);
		EXPECT_EQ(-ENOENT, kv_next_quota(self->w.fd, self->manager,
						 KVBM_QUOTA_UID, q.id + 1, &q));
	}
	EXPECT_EQ(-EDQUOT, kv_allocate(self->s, N + 1, self->t + N, NULL, NULL));
	EXPECT_EQ(0, kv_allocate(self->s, N, self->t + N, NULL, NULL));
}

/* What is walked for each session that begins is not to be made long at will. */
TEST_F(quota, has_so_many_limits)
{
	uint32_t i;

	for (i = 0; i < KVBM_MAX_QUOTAS; i++)
		ASSERT_EQ(0, set(self, KVBM_QUOTA_UID, 5000 + i, 1));
	EXPECT_EQ(-EDQUOT, set(self, KVBM_QUOTA_UID, 1, 1));
	EXPECT_EQ(-EDQUOT, set(self, KVBM_QUOTA_CGROUP, 1, 1));
	/* Those that there are can be changed, and others come in their place. */
	EXPECT_EQ(0, set(self, KVBM_QUOTA_UID, 5000, 2));
	EXPECT_EQ(0, set(self, KVBM_QUOTA_UID, KVBM_QUOTA_EACH, 3));
	EXPECT_EQ(0, set(self, KVBM_QUOTA_UID, 1, KVBM_QUOTA_NONE));
	EXPECT_EQ(-EDQUOT, set(self, KVBM_QUOTA_UID, 1, 1));
	EXPECT_EQ(0, set(self, KVBM_QUOTA_UID, 5000, KVBM_QUOTA_NONE));
	EXPECT_EQ(0, set(self, KVBM_QUOTA_UID, 1, 1));
}

TEST_F(quota, rights)
{
	struct kvbm_quota q = { .size = sizeof(q), .manager = self->manager,
				.kind = KVBM_QUOTA_UID };
	int ro = open(KVBM_DEV, O_RDONLY);
	uid_t me = geteuid();

	EXPECT_EQ(-EACCES, kv_set_quota(ro, self->manager, KVBM_QUOTA_SESSION, 0, 1));
	EXPECT_EQ(0, kv(ro, KVBM_QUOTA, &q));
	EXPECT_EQ(KVBM_QUOTA_NONE, q.blocks);
	close(ro);
	ASSERT_EQ(0, setresuid(-1, USER, -1));
	EXPECT_EQ(-EPERM, set(self, KVBM_QUOTA_SESSION, 0, 1));
	ASSERT_EQ(0, setresuid(-1, me, -1));
	EXPECT_EQ(-ENOENT, kv_set_quota(self->w.fd, 1ull << 60, 0, 0, 1));
	EXPECT_EQ(-ENOTCONN, kv_set_quota(self->w.fd, 0, 0, 0, 1));
	EXPECT_EQ(-EINVAL, set(self, KVBM_QUOTA_SESSION, 1, 1));
	EXPECT_EQ(-EINVAL, set(self, KVBM_QUOTA_UID, UINT32_MAX, 1));
	EXPECT_EQ(-EINVAL, set(self, KVBM_QUOTA_CGROUP, 0, 1));
	/* Of the manager that the file is bound to. */
	EXPECT_EQ(0, kv_set_quota(self->s, 0, KVBM_QUOTA_SESSION, 0, 1));
	EXPECT_EQ(-EDQUOT, kv_allocate(self->s, 2, self->t, NULL, NULL));
}

/* All that takes and gives back, until told to stop. */
static int worker(uint64_t manager, volatile int *stop, uint32_t seed)
{
	struct kvbm_token t[64];
	struct kvbm_acquire a;
	int err = 0, pin, s;

	while (!*stop && (!err || err == -EDQUOT || err == -ENOSPC)) {
		struct kvbm_hash h[64];
		uint32_t n = 1 + seed % 60;

		seed = seed * 1103515245 + 12345;
		kv_hashes(h, seed >> 8 & 7, n);
		s = kv_session(manager, ALL_RIGHTS);
		if (s < 0)
			return 1;
		err = kv_acquire(s, n, n, h, t, &a);
		if (!err && a.out_matched < n) {
			uint32_t m = a.out_matched;

			err = kv_stage(s, n - m, t + m, h + m);
			err = err ?: kv_register(s, n - m, t + m, NULL);
		}
		if (!err) {
			pin = kv_pin(s, 0, n / 2 + 1, t);
			if (pin >= 0)
				close(pin);
			else
				err = pin;
			if (seed & 1)
				kv_release(s, n, t);
		}
		close(s);
	}
	return *stop ? 0 : 1;
}

/*
 * Several processes of one user against a limit that comes, goes and changes. It
 * is never exceeded but by being lowered, and nothing is left at the end.
 */
TEST_F_TIMEOUT(quota, races, 120)
{
	volatile int *stop = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint32_t rounds = 1000 * kvbm_long(), i;
	int64_t most = 0, now;
	int status, kids = 4;

	ASSERT_EQ(0, set(self, KVBM_QUOTA_UID, 0, 100));
	for (i = 0; i < (uint32_t)kids; i++)
		if (!fork())
			_exit(worker(self->manager, stop, 7 * i + 1));
	for (i = 0; i < rounds; i++) {
		now = held(self, KVBM_QUOTA_UID, 0);
		if (now > most)
			most = now;
		EXPECT_LE(0, now);
		EXPECT_GE(100, now);
		if (i % 16 == 0)
			EXPECT_EQ(0, set(self, KVBM_QUOTA_UID, 0, 100 - i % 50));
		if (i % 64 == 0)
			EXPECT_EQ(0, set(self, KVBM_QUOTA_SESSION, 0, 40 + i % 30));
		sched_yield();
	}
	*stop = 1;
	while (kids--) {
		wait(&status);
		EXPECT_EQ(0, status);
	}
	TH_LOG("most held at a time: %lld", (long long)most);
	EXPECT_EQ(0, held(self, KVBM_QUOTA_UID, 0));
}

TEST_HARNESS_MAIN
