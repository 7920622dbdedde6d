// SPDX-License-Identifier: GPL-2.0
/*
 * Owner, group, mode: who may do what. Runs as root and becomes others.
 */
#include <grp.h>
#include <sys/wait.h>

#include "kvbm_util.h"
#include "kselftest_harness.h"

#define BLOCKS		16
#define UID_OWNER	2001
#define UID_OTHER	2002
#define GID_TEAM	3001
#define GID_OTHER	3002

FIXTURE(rights)
{
	struct kv_world w;
};

FIXTURE_SETUP(rights)
{
	if (getuid())
		SKIP(return, "needs root, to become somebody else");
	ASSERT_EQ(0, kv_world_make(&self->w, BLOCKS, KVBM_DUP_ALLOW));
}

FIXTURE_TEARDOWN(rights)
{
	EXPECT_EQ(0, kv_world_end(&self->w));
}

/* Run @what as somebody; its result. The control file was opened before. */
static int as(uid_t uid, gid_t gid, int (*what)(void *), void *arg)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (setgroups(0, NULL) || setresgid(gid, gid, gid) ||
		    setresuid(uid, uid, uid))
			_exit(255);
		_exit(-what(arg));
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

struct try {
	int fd;
	uint64_t id;
	uint32_t flags;
	void *arg;
};

static int try_bind(void *arg)
{
	struct try *t = arg;

	return kv_bind(t->fd, t->id, t->flags);
}

static int try_destroy(void *arg)
{
	struct try *t = arg;

	return kv_destroy(t->fd, KVBM_MANAGER_DESTROY, t->id, 0);
}

static int try_destroy_registry(void *arg)
{
	struct try *t = arg;

	return kv_destroy(t->fd, KVBM_REGISTRY_DESTROY, t->id, 0);
}

static int try_create(void *arg)
{
	struct try *t = arg;

	return kv(t->fd, KVBM_MANAGER_CREATE, t->arg);
}

static int try_stats(void *arg)
{
	struct try *t = arg;
	struct kvbm_counters c;

	return kv_counters(t->fd, t->id, &c);
}

/* A bind with a file of its own each time; a file is bound once. */
static int bind_as(uid_t uid, gid_t gid, uint64_t id, uint32_t flags)
{
	struct try t = { .fd = kv_open(), .id = id, .flags = flags };
	int err = as(uid, gid, try_bind, &t);

	close(t.fd);
	return err;
}

TEST_F(rights, mode_decides)
{
	struct kvbm_manager_create m;
	struct try t = { .fd = self->w.fd };
	const uint32_t r = KVBM_BIND_READ, w = KVBM_BIND_WRITE;

	manager_init(&m, self->w.registry, "owned", BLOCKS);
	m.uid = UID_OWNER;
	m.gid = GID_TEAM;
	m.mode = 0640;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	t.id = m.out_id;
	EXPECT_EQ(0, bind_as(UID_OWNER, GID_OTHER, m.out_id, r | w));
	EXPECT_EQ(0, bind_as(UID_OTHER, GID_TEAM, m.out_id, r));
	EXPECT_EQ(-EACCES, bind_as(UID_OTHER, GID_TEAM, m.out_id, r | w));
	EXPECT_EQ(-EACCES, bind_as(UID_OTHER, GID_TEAM, m.out_id, w));
	EXPECT_EQ(-EACCES, bind_as(UID_OTHER, GID_OTHER, m.out_id, r));
	EXPECT_EQ(0, as(UID_OTHER, GID_TEAM, try_stats, &t));
	EXPECT_EQ(-EACCES, as(UID_OTHER, GID_OTHER, try_stats, &t));
	EXPECT_EQ(-EPERM, as(UID_OTHER, GID_TEAM, try_destroy, &t));
	EXPECT_EQ(0, as(UID_OWNER, GID_OTHER, try_destroy, &t));
}

TEST_F(rights, create_needs_write_on_the_registry)
{
	struct kvbm_registry_create r;
	struct kvbm_manager_create m;
	struct try t = { .fd = self->w.fd, .arg = &m };

	registry_init(&r, "rights");
	r.uid = UID_OWNER;
	r.gid = GID_TEAM;
	r.mode = 0644;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_REGISTRY_CREATE, &r));
	manager_init(&m, r.out_id, "x", BLOCKS);
	EXPECT_EQ(-EACCES, as(UID_OTHER, GID_TEAM, try_create, &t));
	/* Nor in the name of somebody else. */
	m.uid = UID_OTHER;
	EXPECT_EQ(-EPERM, as(UID_OWNER, GID_TEAM, try_create, &t));
	m.uid = KVBM_ID_CALLER;
	m.gid = GID_OTHER;
	EXPECT_EQ(-EPERM, as(UID_OWNER, GID_TEAM, try_create, &t));
	t.id = r.out_id;
	EXPECT_EQ(-EPERM, as(UID_OTHER, GID_TEAM, try_destroy_registry, &t));
	EXPECT_EQ(0, as(UID_OWNER, GID_TEAM, try_destroy_registry, &t));
}

TEST_F(rights, others_cannot_open_the_device)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (setgroups(0, NULL) || setresgid(GID_OTHER, GID_OTHER, GID_OTHER) ||
		    setresuid(UID_OTHER, UID_OTHER, UID_OTHER))
			_exit(255);
		_exit(kv_open() < 0 ? errno : 0);
	}
	waitpid(pid, &status, 0);
	EXPECT_EQ(EACCES, WEXITSTATUS(status));
}

/* The access mode of the file counts as well as the mode of the object. */
TEST_F(rights, read_only_file)
{
	int fd = open(KVBM_DEV, O_RDONLY);
	struct kvbm_registry_create r;
	struct kvbm_counters c;

	ASSERT_LE(0, fd);
	registry_init(&r, "ro");
	EXPECT_EQ(-EACCES, kv(fd, KVBM_REGISTRY_CREATE, &r));
	EXPECT_EQ(-EACCES, kv_destroy(fd, KVBM_MANAGER_DESTROY, self->w.manager, 0));
	EXPECT_EQ(-EACCES, kv_bind(fd, self->w.manager, ALL_RIGHTS));
	EXPECT_EQ(0, kv_bind(fd, self->w.manager, KVBM_BIND_READ));
	EXPECT_EQ(0, kv_counters(fd, 0, &c));
	close(fd);
}

/* Read or write a module parameter; false when that cannot be done. */
static bool param(const char *name, bool set, char *value, size_t size)
{
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/sys/module/kvbm/parameters/%s", name);
	fd = open(path, set ? O_WRONLY : O_RDONLY);
	if (fd < 0)
		return false;
	n = set ? write(fd, value, strlen(value)) : read(fd, value, size - 1);
	close(fd);
	if (!set && n >= 0)
		value[n] = 0;
	return n > 0;
}

TEST_F(rights, limits_of_the_module)
{
	static const char *const names[] = {
		"max_managers", "max_registries", "max_bytes",
	};
	struct kvbm_registry_create r;
	struct kvbm_manager_create m;
	unsigned int i;
	char old[32];

	for (i = 0; i < 3; i++) {
		ASSERT_TRUE(param(names[i], false, old, sizeof(old)));
		/* There is one of each already. */
		ASSERT_TRUE(param(names[i], true, "1", 0));
		manager_init(&m, self->w.registry, "one-too-many", BLOCKS);
		registry_init(&r, "one-too-many");
		EXPECT_EQ(i == 1 ? 0 : -EDQUOT, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
		EXPECT_EQ(i == 0 ? 0 : -EDQUOT, kv(self->w.fd, KVBM_REGISTRY_CREATE, &r));
		ASSERT_TRUE(param(names[i], true, old, 0));
		if (m.out_id)
			EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY,
						m.out_id, 0));
		if (r.out_id)
			EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_REGISTRY_DESTROY,
						r.out_id, 0));
	}
}

/* A session that one hands out can do no more than the one it came from. */
TEST_F(rights, second_session_of_a_read_only_file)
{
	struct kvbm_session_open so = { .size = sizeof(so), .flags = KVBM_BIND_READ };
	struct kvbm_registry_create r;
	int fd = open(KVBM_DEV, O_RDONLY);

	ASSERT_EQ(0, kv_bind(fd, self->w.manager, KVBM_BIND_READ));
	ASSERT_EQ(0, kv(fd, KVBM_SESSION_OPEN, &so));
	registry_init(&r, "escalated");
	EXPECT_EQ(-EACCES, kv(so.out_fd, KVBM_REGISTRY_CREATE, &r));
	EXPECT_EQ(-EACCES, kv_destroy(so.out_fd, KVBM_MANAGER_DESTROY,
				      self->w.manager, KVBM_DESTROY_FORCE));
	close(so.out_fd);
	close(fd);
	/* Nor one with read only, of a file that could write. */
	ASSERT_EQ(0, kv(self->w.session, KVBM_SESSION_OPEN, &so));
	EXPECT_EQ(-EACCES, kv(so.out_fd, KVBM_REGISTRY_CREATE, &r));
	close(so.out_fd);
}

TEST_HARNESS_MAIN
