// SPDX-License-Identifier: GPL-2.0
/*
 * How long managers live, and who can reach them.
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "kvbm_util.h"
#include "kselftest_harness.h"

#define BLOCKS	64

FIXTURE(manager)
{
	struct kv_world w;
	struct kvbm_manager_create m;
	struct kvbm_token t[BLOCKS];
};

FIXTURE_SETUP(manager)
{
	ASSERT_EQ(0, kv_world_make(&self->w, BLOCKS, KVBM_DUP_ALLOW));
	manager_init(&self->m, self->w.registry, "it", BLOCKS);
}

FIXTURE_TEARDOWN(manager)
{
	EXPECT_EQ(0, kv_world_end(&self->w));
}

static uint32_t nr_managers(struct kv_world *w)
{
	struct kvbm_registry_query q = { .size = sizeof(q), .id = w->registry };

	return kv(w->fd, KVBM_REGISTRY_QUERY, &q) ? UINT32_MAX : q.out_managers;
}

static int open_again(int fd, uint32_t flags, int *out)
{
	struct kvbm_session_open a = { .size = sizeof(a), .flags = flags };
	int err = kv(fd, KVBM_SESSION_OPEN, &a);

	*out = a.out_fd;
	return err;
}

TEST_F(manager, create_and_bind)
{
	struct kvbm_manager_query q = { .size = sizeof(q) };
	int fd = kv_open();

	self->m.bind_flags = ALL_RIGHTS;
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_CREATE, &self->m));
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_QUERY, &q));
	EXPECT_EQ(self->m.out_id, q.id);
	EXPECT_EQ(1, q.out_sessions);
	ASSERT_EQ(0, kv_fill(fd, 1, 4, self->t));
	/* One file, one manager; nothing is left of the attempt. */
	strcpy(self->m.name, "other");
	EXPECT_EQ(-EISCONN, kv(fd, KVBM_MANAGER_CREATE, &self->m));
	EXPECT_EQ(2, nr_managers(&self->w));
	self->m.bind_flags = KVBM_BIND_OWNED;
	EXPECT_EQ(-EINVAL, kv(fd, KVBM_MANAGER_CREATE, &self->m));
	close(fd);
	EXPECT_EQ(2, nr_managers(&self->w));
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, q.id, 0));
}

TEST_F(manager, anonymous)
{
	struct kvbm_manager_query q = { .size = sizeof(q) };
	int fd = kv_open(), again;
	uint32_t n;
	struct kvbm_hash h[4];

	self->m.flags = KVBM_MANAGER_ANONYMOUS;
	self->m.linger_ms = 0;
	self->m.bind_flags = ALL_RIGHTS;
	EXPECT_EQ(-EINVAL, kv(fd, KVBM_MANAGER_CREATE, &self->m));
	memset(self->m.name, 0, sizeof(self->m.name));
	self->m.bind_flags = 0;
	EXPECT_EQ(-EINVAL, kv(fd, KVBM_MANAGER_CREATE, &self->m));
	self->m.bind_flags = ALL_RIGHTS;
	self->m.linger_ms = 10;
	EXPECT_EQ(-EINVAL, kv(fd, KVBM_MANAGER_CREATE, &self->m));
	self->m.linger_ms = 0;
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_CREATE, &self->m));
	EXPECT_EQ(-ENOENT, kv_session(self->m.out_id, ALL_RIGHTS));
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_QUERY, &q));
	EXPECT_EQ(KVBM_MANAGER_ANONYMOUS, q.out_flags);
	/* A descriptor is the way in. */
	ASSERT_EQ(0, open_again(fd, KVBM_BIND_READ, &again));
	ASSERT_EQ(0, kv_fill(fd, 1, 4, self->t));
	close(fd);
	EXPECT_EQ(2, nr_managers(&self->w));
	kv_hashes(h, 1, 4);
	ASSERT_EQ(0, kv_match(again, 4, h, self->t, &n));
	EXPECT_EQ(4, n);
	close(again);
	EXPECT_EQ(1, nr_managers(&self->w));
}

TEST_F(manager, second_session_has_no_more_rights)
{
	int fd = kv_session(self->w.manager, KVBM_BIND_READ), again;
	struct kvbm_token t;

	EXPECT_EQ(-EACCES, open_again(fd, ALL_RIGHTS, &again));
	EXPECT_EQ(-EACCES, open_again(fd, KVBM_BIND_WRITE, &again));
	EXPECT_EQ(-EINVAL, open_again(fd, 0, &again));
	ASSERT_EQ(0, open_again(fd, KVBM_BIND_READ, &again));
	EXPECT_EQ(FD_CLOEXEC, fcntl(again, F_GETFD));
	EXPECT_EQ(-EACCES, kv_allocate(again, 1, &t, NULL, NULL));
	close(again);
	close(fd);
	/* Guards are each session's own. */
	ASSERT_EQ(0, open_again(self->w.session, ALL_RIGHTS, &again));
	ASSERT_EQ(0, kv_allocate(self->w.session, 1, &t, NULL, NULL));
	EXPECT_EQ(-ENXIO, kv_release(again, 1, &t));
	close(again);
	ASSERT_EQ(0, kv_release(self->w.session, 1, &t));
}

TEST_F(manager, no_descriptor_left)
{
	struct rlimit old, few;
	int again;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	few = old;
	few.rlim_cur = 3;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &few));
	EXPECT_EQ(-EMFILE, open_again(self->w.session, ALL_RIGHTS, &again));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
}

TEST_F(manager, goes_with_its_last_session)
{
	int fd = kv_open(), other;

	self->m.linger_ms = 0;
	EXPECT_EQ(-EINVAL, kv(fd, KVBM_MANAGER_CREATE, &self->m));
	self->m.bind_flags = ALL_RIGHTS;
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_CREATE, &self->m));
	other = kv_session(self->m.out_id, ALL_RIGHTS);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, kv_fill(fd, 1, 4, self->t));
	close(fd);
	EXPECT_EQ(2, nr_managers(&self->w));
	close(other);
	EXPECT_EQ(1, nr_managers(&self->w));
	EXPECT_EQ(-ENOENT, kv_session(self->m.out_id, ALL_RIGHTS));
}

static bool gone(struct kv_world *w)
{
	int i;

	for (i = 0; i < 5000 && nr_managers(w) > 1; i++)
		usleep(1000);
	return nr_managers(w) == 1;
}

TEST_F(manager, lingers)
{
	int fd = kv_open(), i;

	self->m.linger_ms = 300;
	self->m.bind_flags = ALL_RIGHTS;
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_CREATE, &self->m));
	/* Who comes back in time finds it, and the clock starts anew. */
	for (i = 0; i < 3; i++) {
		close(fd);
		fd = kv_session(self->m.out_id, ALL_RIGHTS);
		ASSERT_LE(0, fd);
	}
	usleep(400000);
	EXPECT_EQ(2, nr_managers(&self->w));
	close(fd);
	EXPECT_TRUE(gone(&self->w));
	/* Destroyed by hand while it lingers. */
	fd = kv_open();
	self->m.linger_ms = 100000;
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_CREATE, &self->m));
	close(fd);
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, self->m.out_id, 0));
	EXPECT_EQ(1, nr_managers(&self->w));
}

TEST_F(manager, lingers_after_a_kill)
{
	pid_t pid;

	self->m.linger_ms = 1;
	self->m.bind_flags = ALL_RIGHTS | KVBM_BIND_OWNED;
	pid = fork();
	if (!pid) {
		int fd = kv_open();

		if (kv(fd, KVBM_MANAGER_CREATE, &self->m) ||
		    kv_fill(fd, 1, 4, self->t))
			_exit(1);
		pause();
	}
	while (nr_managers(&self->w) < 2)
		usleep(1000);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	EXPECT_TRUE(gone(&self->w));
}

TEST_F(manager, forced_destroy)
{
	struct kvbm_hash h[4];
	uint64_t masks[4];
	int fd, again;
	uint64_t first;

	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &self->m));
	first = self->m.out_id;
	fd = kv_session(first, ALL_RIGHTS);
	ASSERT_EQ(0, kv_fill(fd, 1, 4, self->t));
	EXPECT_EQ(-EBUSY, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, first, 0));
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, first,
				KVBM_DESTROY_FORCE));
	/* The name is free at once, the memory while the file is open is not. */
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &self->m));
	EXPECT_NE(first, self->m.out_id);
	EXPECT_EQ(-ESHUTDOWN, kv_allocate(fd, 1, self->t + 4, NULL, NULL));
	EXPECT_EQ(-ESHUTDOWN, kv_tokens(fd, KVBM_CLONE, 0, 1, self->t));
	EXPECT_EQ(-ESHUTDOWN, kv_tokens(fd, KVBM_SET_RESET, 0, 1, self->t));
	EXPECT_EQ(-ESHUTDOWN, open_again(fd, ALL_RIGHTS, &again));
	/* What nobody can bind to is not present any more. */
	kv_hashes(h, 1, 4);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_PRESENCE, &(struct kvbm_presence){
		.size = sizeof(struct kvbm_presence),
		.registry = self->w.registry,
		.hashes = ptr(h),
		.out_masks = ptr(masks),
		.count = 4 }));
	EXPECT_EQ(0, masks[0] | masks[3]);
	EXPECT_EQ(0, kv_release(fd, 2, self->t));
	close(fd);
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, self->m.out_id, 0));
}

/* Who may not bind does not keep a manager alive by trying. */
TEST_F(manager, refused_bind_does_not_count)
{
	int fd = kv_open(), i;
	pid_t pid;

	if (getuid())
		SKIP(return, "needs root, to become somebody else");
	self->m.mode = 0600;
	self->m.linger_ms = 300;
	self->m.bind_flags = ALL_RIGHTS;
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_CREATE, &self->m));
	pid = fork();
	if (!pid) {
		int files[64];

		/* Opened as root, so that it is the bind that is refused. */
		for (i = 0; i < 64; i++)
			files[i] = kv_open();
		close(fd);
		if (setresgid(3002, 3002, 3002) || setresuid(2002, 2002, 2002))
			_exit(1);
		for (i = 0; i < 64; i++) {
			int err = kv_bind(files[i], self->m.out_id, KVBM_BIND_READ);

			if (err == -ENOENT)
				_exit(0);
			if (err != -EACCES)
				_exit(2);
			usleep(50000);
		}
		_exit(3);
	}
	close(fd);
	waitpid(pid, &i, 0);
	EXPECT_EQ(0, WEXITSTATUS(i));
	EXPECT_TRUE(gone(&self->w));
}

/* Two managers share entries, in whatever order they come and go. */
TEST_F(manager, shares_move)
{
	int fd, other, i;

	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &self->m));
		fd = kv_session(self->m.out_id, ALL_RIGHTS);
		other = kv_session(self->w.manager, ALL_RIGHTS);
		ASSERT_EQ(0, kv_fill(fd, i, BLOCKS, self->t));
		ASSERT_EQ(0, kv_fill(other, i, BLOCKS, self->t));
		close(fd);
		ASSERT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY,
					self->m.out_id, 0));
		close(other);
		ASSERT_EQ(0, kv_check(self->w.fd, self->w.manager));
	}
}

TEST_HARNESS_MAIN
