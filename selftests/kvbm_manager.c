// SPDX-License-Identifier: GPL-2.0
/*
 * How long managers live, and who can reach them.
 */
#include <dirent.h>
#include <grp.h>
#include <sched.h>
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

/* By its id through every door that takes one: 0, or the number of the one that opens. */
static int not_there(int fd, uint64_t id, bool bound)
{
	struct kvbm_segment segment = kv_segment(fd, KVBM_BACKING_FILE, 0, 1, 1);
	struct kvbm_session_info session;
	struct kvbm_slot_info slot;
	struct kvbm_manager_query query = { .size = sizeof(query), .id = id };
	struct kvbm_manager_stats stats = { .size = sizeof(stats), .id = id };
	struct kvbm_manager_check check = { .size = sizeof(check), .id = id };
	struct kvbm_manager_dump dump = { .size = sizeof(dump), .id = id,
		.slots = ptr(&slot), .count = 1 };
	struct kvbm_manager_sessions sessions = { .size = sizeof(sessions), .id = id,
		.sessions = ptr(&session), .count = 1 };
	struct kvbm_destroy destroy = { .size = sizeof(destroy), .id = id,
		.flags = KVBM_DESTROY_FORCE };
	struct kvbm_quota quota = { .size = sizeof(quota), .manager = id,
		.kind = KVBM_QUOTA_UID, .id = KVBM_QUOTA_EACH };
	struct kvbm_quota limit = { .size = sizeof(limit), .manager = id,
		.kind = KVBM_QUOTA_UID, .id = KVBM_QUOTA_EACH,
		.flags = KVBM_QUOTA_SET };
	struct kvbm_epoch epoch = { .size = sizeof(epoch), .manager = id };
	struct kvbm_epoch raise = { .size = sizeof(raise), .manager = id,
		.flags = KVBM_EPOCH_RAISE };
	struct kvbm_backing_set set = { .size = sizeof(set), .manager = id,
		.segments = ptr(&segment), .count = 1 };
	struct kvbm_backing_get get = { .size = sizeof(get), .manager = id };
	struct kvbm_bind bind = { .size = sizeof(bind), .id = id, .flags = KVBM_BIND_READ };
	const struct {
		unsigned long cmd;
		void *arg;
	} doors[] = {
		{ KVBM_MANAGER_QUERY, &query },
		{ KVBM_MANAGER_STATS, &stats },
		{ KVBM_MANAGER_CHECK, &check },
		{ KVBM_MANAGER_DUMP, &dump },
		{ KVBM_MANAGER_SESSIONS, &sessions },
		{ KVBM_MANAGER_DESTROY, &destroy },
		{ KVBM_QUOTA, &quota },
		{ KVBM_QUOTA, &limit },
		{ KVBM_EPOCH, &epoch },
		{ KVBM_EPOCH, &raise },
		{ KVBM_BACKING_SET, &set },
		{ KVBM_BACKING_GET, &get },
		{ KVBM_BIND, &bind },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(doors) - bound; i++)
		if (kv(fd, doors[i].cmd, doors[i].arg) != -ENOENT)
			return i + 1;
	return 0;
}

/* How often @id is in the lists: of all, and of the registry. */
static int times_listed(int fd, uint64_t registry, uint64_t id)
{
	uint64_t ids[1024], of[] = { 0, registry };
	unsigned int i, j, n = 0;

	for (i = 0; i < ARRAY_SIZE(of); i++) {
		struct kvbm_list a = {
			.size = sizeof(a), .registry = of[i], .ids = ptr(ids),
			.count = ARRAY_SIZE(ids),
		};

		if (kv(fd, KVBM_MANAGER_LIST, &a))
			return -1;
		for (j = 0; j < a.out_count; j++)
			n += ids[j] == id;
	}
	return n;
}

/* Presence in the managers of @ids, or in all of the registry; or -errno. */
static int64_t presence(int fd, uint64_t registry, const uint64_t *ids, uint32_t n,
			const struct kvbm_hash *h)
{
	uint64_t mask = 0;
	struct kvbm_presence a = {
		.size = sizeof(a), .registry = registry, .hashes = ptr(h), .count = 1,
		.managers = ptr(ids), .nr_managers = n, .out_masks = ptr(&mask),
	};
	int err = kv(fd, KVBM_PRESENCE, &a);

	return err ?: (int64_t)mask;
}

static unsigned int devices_of(const char *registry)
{
	DIR *dir = opendir("/sys/class/kvbm");
	size_t len = strlen(registry);
	unsigned int n = 0;
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		n += !strncmp(e->d_name, registry, len) && e->d_name[len] == ':';
	if (dir)
		closedir(dir);
	return n;
}

/* As a user who may do everything with it, were it not anonymous. */
static int look_for(struct kv_world *w, uint64_t id)
{
	struct kvbm_manager_query q = { .size = sizeof(q), .registry = w->registry };
	struct kvbm_hash h = kv_hash(1, 0);
	uint64_t ids[] = { w->manager, id };
	int ret;

	if (setgroups(0, NULL) || setresgid(2002, 2002, 2002) ||
	    setresuid(2002, 2002, 2002))
		return 101;
	/* What one is in a namespace of one's own does not count. */
	unshare(CLONE_NEWUSER);
	ret = not_there(w->fd, id, false);
	if (ret)
		return ret;
	if (times_listed(w->fd, w->registry, id) ||
	    times_listed(w->fd, w->registry, w->manager) != 2)
		return 102;
	/* By its name, which is none. */
	if (kv(w->fd, KVBM_MANAGER_QUERY, &q) != -EINVAL)
		return 103;
	if (presence(w->fd, w->registry, ids, 2, &h) != -ENOENT)
		return 104;
	/* That the registry knows a hash is no secret; it is not said who has it. */
	if (presence(w->fd, w->registry, NULL, 0, &h) != 1 ||
	    presence(w->fd, w->registry, ids, 1, &h))
		return 105;
	if (devices_of("hides") != 1)
		return 106;
	/* A session of it may look at it, but not by its number. */
	q.registry = 0;
	if (kv(w->session, KVBM_MANAGER_QUERY, &q) || q.id != id)
		return 107;
	return not_there(w->session, id, true);
}

/* By no door. That of netlink is shut to all who are no administrators: kvbm_genl. */
TEST_F(manager, anonymous_is_hidden)
{
	struct kvbm_manager_query q = { .size = sizeof(q) };
	struct kv_world w = { .fd = self->w.fd, .session = kv_open() };
	struct kvbm_registry_create r;
	uint64_t hidden;
	int status;
	pid_t child;

	if (getuid())
		SKIP(return, "needs root, to become somebody else");
	registry_init(&r, "hides");
	r.mode = 0666;
	ASSERT_EQ(0, kv(w.fd, KVBM_REGISTRY_CREATE, &r));
	w.registry = r.out_id;
	self->m.registry = r.out_id;
	self->m.mode = 0666;
	self->m.uid = 2002;
	ASSERT_EQ(0, kv(w.fd, KVBM_MANAGER_CREATE, &self->m));
	w.manager = self->m.out_id;
	self->m.flags = KVBM_MANAGER_ANONYMOUS;
	self->m.linger_ms = 0;
	self->m.bind_flags = ALL_RIGHTS;
	memset(self->m.name, 0, sizeof(self->m.name));
	ASSERT_EQ(0, kv(w.session, KVBM_MANAGER_CREATE, &self->m));
	hidden = self->m.out_id;
	ASSERT_EQ(0, kv_fill(w.session, 1, 1, self->t));

	child = fork();
	if (!child)
		_exit(look_for(&w, hidden));
	waitpid(child, &status, 0);
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
	/* The administrator sees it, but for sysfs. */
	EXPECT_EQ(2, times_listed(w.fd, w.registry, hidden));
	q.id = hidden;
	EXPECT_EQ(0, kv(w.fd, KVBM_MANAGER_QUERY, &q));
	EXPECT_EQ(1, (int)devices_of("hides"));
	close(w.session);
	EXPECT_EQ(-ENOENT, kv(w.fd, KVBM_MANAGER_QUERY, &q));
	EXPECT_EQ(0, kv_destroy(w.fd, KVBM_MANAGER_DESTROY, w.manager, 0));
	EXPECT_EQ(0, kv_destroy(w.fd, KVBM_REGISTRY_DESTROY, w.registry, 0));
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
	static const uint32_t times[] = { 100000, 1u << 31, KVBM_LINGER_FOREVER - 1 };
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
	/* Destroyed by hand while it lingers; the longer ones are months. */
	for (i = 0; i < 3; i++) {
		fd = kv_open();
		self->m.linger_ms = times[i];
		ASSERT_EQ(0, kv(fd, KVBM_MANAGER_CREATE, &self->m));
		close(fd);
		usleep(20000);
		EXPECT_EQ(2, nr_managers(&self->w));
		EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY,
					self->m.out_id, 0));
		EXPECT_EQ(1, nr_managers(&self->w));
	}
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
