// SPDX-License-Identifier: GPL-2.0
/*
 * Owner, group, mode: who may do what. Runs as root and becomes others.
 */
#include <grp.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kvbm_userns.h"
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

/* Of the owner and the team, whoever makes it. */
static void owned_registry(struct kvbm_registry_create *r, const char *name, uint32_t mode)
{
	registry_init(r, name);
	r->uid = UID_OWNER;
	r->gid = GID_TEAM;
	r->mode = mode;
}

static void owned_manager(struct kvbm_manager_create *m, uint64_t registry,
			  const char *name, uint32_t mode)
{
	manager_init(m, registry, name, BLOCKS);
	m->uid = UID_OWNER;
	m->gid = GID_TEAM;
	m->mode = mode;
}

TEST_F(rights, mode_decides)
{
	struct kvbm_manager_create m;
	struct try t = { .fd = self->w.fd };
	const uint32_t r = KVBM_BIND_READ, w = KVBM_BIND_WRITE;

	owned_manager(&m, self->w.registry, "owned", 0640);
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

/* One capability less. What root has besides remains. */
static int without_sys_admin(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data))
		return -errno;
	data[0].effective &= ~(1u << CAP_SYS_ADMIN);
	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

static int try_bind_without(void *arg)
{
	return without_sys_admin() ?: try_bind(arg);
}

static int try_create_without(void *arg)
{
	return without_sys_admin() ?: try_create(arg);
}

static int try_destroy_without(void *arg)
{
	return without_sys_admin() ?: try_destroy(arg);
}

/* Who may administer the machine needs no bit of a mode; to be root is not enough. */
TEST_F(rights, administrators)
{
	struct kvbm_registry_create r;
	struct kvbm_manager_create m;
	struct try t = { .fd = kv_open(), .arg = &m, .flags = ALL_RIGHTS };

	owned_registry(&r, "closed", 0);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_REGISTRY_CREATE, &r));
	owned_manager(&m, r.out_id, "closed", 0);
	EXPECT_EQ(-EACCES, as(UID_OWNER, GID_TEAM, try_create, &t));
	EXPECT_EQ(-EACCES, as(0, 0, try_create_without, &t));
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	t.id = m.out_id;
	EXPECT_EQ(-EACCES, bind_as(UID_OWNER, GID_TEAM, m.out_id, ALL_RIGHTS));
	EXPECT_EQ(-EACCES, as(0, 0, try_bind_without, &t));
	EXPECT_EQ(0, bind_as(0, 0, m.out_id, ALL_RIGHTS));
	EXPECT_EQ(0, as(0, 0, try_stats, &t));
	EXPECT_EQ(-EPERM, as(0, 0, try_destroy_without, &t));
	EXPECT_EQ(0, as(0, 0, try_destroy, &t));
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_REGISTRY_DESTROY, r.out_id, 0));
	close(t.fd);
}

/* A registry and a manager for somebody. Return: 0 or -errno, the same for both. */
static int create_for(const struct kv_world *w, uint32_t uid, uint32_t gid)
{
	struct kvbm_registry_create r;
	struct kvbm_manager_create m;
	int err;

	registry_init(&r, "namespace");
	r.uid = uid;
	r.gid = gid;
	manager_init(&m, w->registry, "namespace", BLOCKS);
	m.uid = uid;
	m.gid = gid;
	err = kv(w->fd, KVBM_REGISTRY_CREATE, &r);
	return kv(w->fd, KVBM_MANAGER_CREATE, &m) == err ? err : -EPROTO;
}

static int query_both(const struct kv_world *w, struct kvbm_registry_query *r,
		      struct kvbm_manager_query *m)
{
	*r = (struct kvbm_registry_query){ .size = sizeof(*r), .name = "namespace" };
	*m = (struct kvbm_manager_query){ .size = sizeof(*m), .registry = w->registry,
					  .name = "namespace" };
	return kv(w->fd, KVBM_REGISTRY_QUERY, r) ?: kv(w->fd, KVBM_MANAGER_QUERY, m);
}

/*
 * The life of a child in a namespace of its own: 0, or which step went wrong, or 255
 * where there are none. What it makes in the end it leaves to its parent.
 */
static int live_in_namespace(const struct kv_world *w, bool mapped)
{
	static const uint32_t nobody[][2] = {
		{ 0, KVBM_ID_CALLER }, { KVBM_ID_CALLER, 0 }, { 0, 0 },
		{ UID_INSIDE + 1, KVBM_ID_CALLER }, { KVBM_ID_CALLER, GID_INSIDE + 1 },
		{ UID_INSIDE, 0 }, { 0, GID_INSIDE }, { INT32_MAX, INT32_MAX },
	};
	struct kvbm_registry_query r;
	struct kvbm_manager_query m;
	int err = userns_enter(mapped);
	unsigned int i;

	if (err)
		return err == -EOPNOTSUPP ? 255 : 254;
	for (i = 0; i < ARRAY_SIZE(nobody); i++) {
		if (create_for(w, nobody[i][0], nobody[i][1]) != -EINVAL)
			return 1 + i;
		if (query_both(w, &r, &m) != -ENOENT)
			return 50 + i;
	}
	/* Who is nobody is so to others only. */
	if (create_for(w, mapped ? UID_INSIDE : KVBM_ID_CALLER,
		       mapped ? GID_INSIDE : KVBM_ID_CALLER))
		return 100;
	if (query_both(w, &r, &m))
		return 101;
	if (mapped && (r.out_uid != UID_INSIDE || r.out_gid != GID_INSIDE))
		return 102;
	if (mapped && (m.out_uid != UID_INSIDE || m.out_gid != GID_INSIDE))
		return 103;
	return 0;
}

static uint32_t listed(int fd, unsigned long cmd)
{
	uint64_t ids[64];
	struct kvbm_list a = { .size = sizeof(a), .ids = ptr(ids), .count = ARRAY_SIZE(ids) };

	return kv(fd, cmd, &a) ? UINT32_MAX : a.out_count;
}

/* Who is not there in the user namespace of the caller can own nothing. */
TEST_F(rights, user_namespace)
{
	struct kvbm_registry_query r;
	struct kvbm_manager_query m;
	uint32_t registries = listed(self->w.fd, KVBM_REGISTRY_LIST);
	uint32_t managers = listed(self->w.fd, KVBM_MANAGER_LIST);
	int status, mapped;

	for (mapped = 0; mapped < 2; mapped++) {
		if (!fork())
			_exit(live_in_namespace(&self->w, mapped));
		wait(&status);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 255)
			SKIP(return, "no user namespaces");
		ASSERT_EQ(0, status)
			TH_LOG("mapped: %d, status %x", mapped, status);
		/* The last of them was made, by this user. */
		ASSERT_EQ(0, query_both(&self->w, &r, &m));
		EXPECT_EQ(geteuid(), r.out_uid);
		EXPECT_EQ(getegid(), r.out_gid);
		EXPECT_EQ(geteuid(), m.out_uid);
		EXPECT_EQ(getegid(), m.out_gid);
		EXPECT_EQ(registries + 1, listed(self->w.fd, KVBM_REGISTRY_LIST));
		EXPECT_EQ(managers + 1, listed(self->w.fd, KVBM_MANAGER_LIST));
		EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.id, 0));
		EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_REGISTRY_DESTROY, r.id, 0));
	}
}

TEST_F(rights, create_needs_write_on_the_registry)
{
	struct kvbm_registry_create r;
	struct kvbm_manager_create m;
	struct try t = { .fd = self->w.fd, .arg = &m };

	owned_registry(&r, "rights", 0644);
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

/* To look how often something was used is one thing, to use it another one. */
TEST_F(rights, touch_of_a_read_only_file)
{
	struct kvbm_hash h = kv_hash(1, 0);
	struct kvbm_registry_create r;
	uint8_t count = 99;
	struct kvbm_frequency a = { .size = sizeof(a), .count = 1, .hashes = ptr(&h),
				    .out_counts = ptr(&count) };
	int fd = open(KVBM_DEV, O_RDONLY), i;

	ASSERT_LE(0, fd);
	registry_init(&r, "sketch");
	r.sketch_capacity = 1024;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_REGISTRY_CREATE, &r));
	a.registry = r.out_id;
	a.flags = KVBM_FREQUENCY_TOUCH;
	for (i = 0; i < 2; i++)
		EXPECT_EQ(-EACCES, kv(fd, KVBM_FREQUENCY, &a));
	EXPECT_EQ(99, count);
	a.flags = 0;
	ASSERT_EQ(0, kv(fd, KVBM_FREQUENCY, &a));
	EXPECT_EQ(0, count);
	a.flags = KVBM_FREQUENCY_TOUCH;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_FREQUENCY, &a));
	EXPECT_EQ(1, count);
	EXPECT_EQ(-EACCES, kv(fd, KVBM_FREQUENCY, &a));
	a.flags = 0;
	ASSERT_EQ(0, kv(fd, KVBM_FREQUENCY, &a));
	EXPECT_EQ(1, count);
	close(fd);
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_REGISTRY_DESTROY, r.out_id, 0));
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
