// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/class/kvbm: what is in the files, whose they are, and how long they live.
 */
#include <dirent.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kvbm_util.h"
#include "kselftest_harness.h"

#define BLOCKS		64
#define UID_OWNER	2001
#define GID_TEAM	3001
#define CLASS		"/sys/class/kvbm"

FIXTURE(sysfs)
{
	struct kv_world w;
	char registry[64];
	char dir[192];		/* of the manager of @w */
};

FIXTURE_SETUP(sysfs)
{
	ASSERT_EQ(0, kv_world_make(&self->w, BLOCKS, KVBM_DUP_ALLOW));
	snprintf(self->registry, sizeof(self->registry), "test-%d", getpid());
	snprintf(self->dir, sizeof(self->dir), CLASS "/%s:m", self->registry);
}

FIXTURE_TEARDOWN(sysfs)
{
	EXPECT_EQ(0, kv_world_end(&self->w));
	/* Nothing stays behind. */
	EXPECT_EQ(-1, access(self->dir, F_OK));
}

/* Contents of a file without the newline, or -errno. */
static int text(const char *dir, const char *file, char *out, size_t size)
{
	char path[256];
	ssize_t n;
	int fd, err;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -errno;
	n = read(fd, out, size - 1);
	err = n < 0 ? -errno : 0;
	close(fd);
	if (err)
		return err;
	if (!n || out[n - 1] != '\n')
		return -EPROTO;
	out[n - 1] = 0;
	return 0;
}

static long long number(const char *dir, const char *file)
{
	char buf[64], *end;
	long long value;
	int err = text(dir, file, buf, sizeof(buf));

	if (err)
		return err;
	value = strtoll(buf, &end, 10);
	return *end || end == buf ? -EPROTO : value;
}

#define C(dir, name)	{ #dir "/" #name, offsetof(struct kvbm_counters, name) }
#define S(name, state)	{ "states/" #name,				\
			  offsetof(struct kvbm_counters, states[KVBM_STATE_##state]) }
#define R(name)		{ "reclaim/" #name, offsetof(struct kvbm_counters, reclaimed_##name) }
#define N(name)		{ "reclaim/" #name, offsetof(struct kvbm_counters, reclaim_##name) }

static const struct {
	const char *file;
	size_t offset;
} files[] = {
	C(counters, allocations), C(counters, allocations_from_reset),
	C(counters, evictions), C(counters, registrations),
	C(counters, duplicate_blocks), C(counters, registration_dedup),
	C(counters, stagings), C(counters, match_hashes_requested),
	C(counters, match_blocks_returned), C(counters, scan_hashes_requested),
	C(counters, scan_blocks_returned), C(counters, eager_primary_to_inactive),
	C(counters, allocate_atomic_rollback), C(counters, release_primary_noop),
	C(counters, release_duplicate_noop), C(counters, change), C(counters, freed),
	C(counters, allocation_failures), C(counters, waits),
	C(counters, wait_timeouts), C(counters, wait_total_ns),
	C(counters, regret_sample), C(counters, regret_evictions),
	C(counters, regrets), C(counters, regret_total_ns),
	C(gauges, inflight_mutable), C(gauges, inflight_immutable),
	C(gauges, reset_pool_size), C(gauges, inactive_pool_size),
	S(reset, RESET), S(mutable, MUTABLE), S(staged, STAGED), S(primary, PRIMARY),
	S(duplicate, DUPLICATE), S(inactive, INACTIVE),
	R(sessions), R(mutable), R(staged), R(immutable),
	N(last_ns), N(max_ns), N(total_ns), N(end_ns),
};

#define NR_FILES	(sizeof(files) / sizeof(*files))

/* The events of the registry are what a query of it tells. */
TEST_F(sysfs, events)
{
	struct kvbm_registry_query q = { .size = sizeof(q), .id = self->w.registry };
	struct kvbm_events_open open = { .size = sizeof(open), .registry = self->w.registry };
	struct kvbm_token t[3];

	ASSERT_EQ(0, kv(self->w.fd, KVBM_EVENTS_OPEN, &open));
	ASSERT_EQ(0, kv_fill(self->w.session, 1, 3, t));
	ASSERT_EQ(0, kv(self->w.fd, KVBM_REGISTRY_QUERY, &q));
	EXPECT_LT(3, q.out_events.next);
	EXPECT_EQ((long long)q.out_events.next, number(self->dir, "events/next"));
	EXPECT_EQ((long long)q.out_events.dropped, number(self->dir, "events/dropped"));
	EXPECT_EQ((long long)q.out_events.unheard, number(self->dir, "events/unheard"));
	EXPECT_EQ(1, number(self->dir, "events/listeners"));
	EXPECT_EQ((long long)q.out_events.ring_bytes, number(self->dir, "events/ring_bytes"));
	close(open.out_fd);
	EXPECT_EQ(0, number(self->dir, "events/listeners"));
}

/* Every counter of the statistics call, in a busy life, and not one file more. */
TEST_F(sysfs, values)
{
	struct kvbm_token t[BLOCKS], dup[4];
	struct kvbm_counters c;
	struct kvbm_hash h[BLOCKS];
	int other, nonzero = 0;
	uint32_t n;
	size_t i;

	/* A session that dies with something in its hands. */
	other = kv_session(self->w.manager, ALL_RIGHTS);
	ASSERT_EQ(0, kv_fill(other, 9, 5, t));
	ASSERT_EQ(0, kv_allocate(other, 3, t + 5, NULL, NULL));
	kv_hashes(h, 8, 1);
	ASSERT_EQ(0, kv_stage(other, 1, t + 5, h));
	close(other);
	/* Each state, evictions, a duplicate, a refusal. */
	ASSERT_EQ(0, kv_fill(self->w.session, 1, BLOCKS, t));
	ASSERT_EQ(-ENOSPC, kv_allocate(self->w.session, 1, dup, NULL, NULL));
	ASSERT_EQ(0, kv_release(self->w.session, 20, t));
	ASSERT_EQ(0, kv_fill(self->w.session, 1, 4, dup));
	ASSERT_EQ(0, kv_release(self->w.session, 2, t + 40));
	ASSERT_EQ(0, kv_allocate(self->w.session, 3, t, NULL, NULL));
	kv_hashes(h, 7, 1);
	ASSERT_EQ(0, kv_stage(self->w.session, 1, t, h));
	kv_hashes(h, 1, BLOCKS);
	ASSERT_EQ(0, kv_match(self->w.session, BLOCKS, h, t + 3, &n));

	ASSERT_EQ(0, kv_counters(self->w.fd, self->w.manager, &c));
	for (i = 0; i < NR_FILES; i++) {
		uint64_t want = *(uint64_t *)((char *)&c + files[i].offset);

		EXPECT_EQ((long long)want, number(self->dir, files[i].file))
			TH_LOG("%s", files[i].file);
		nonzero += !!want;
	}
	EXPECT_LE(27, nonzero);
	EXPECT_EQ(1, number(self->dir, "gauges/sessions"));
	/* The table above has all of struct kvbm_counters. */
	EXPECT_EQ(sizeof(c) / sizeof(uint64_t), NR_FILES);
}

TEST_F(sysfs, configuration)
{
	struct kvbm_manager_query q = { .size = sizeof(q) };
	struct kvbm_manager_create m;
	char dir[192], word[64];

	manager_init(&m, self->w.registry, "conf.-_1", 100);
	m.tier = KVBM_TIER_G3;
	m.block_size = 64;
	m.nr_reserved = 3;
	m.duplication = KVBM_DUP_REJECT;
	m.aux_size = 24;
	m.flags = KVBM_MANAGER_RESET_ON_RELEASE;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	q.id = m.out_id;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_QUERY, &q));
	snprintf(dir, sizeof(dir), CLASS "/%s:conf.-_1", self->registry);
	EXPECT_EQ((long long)m.out_id, number(dir, "id"));
	EXPECT_EQ(0, text(dir, "tier", word, sizeof(word)));
	EXPECT_STREQ("G3", word);
	EXPECT_EQ(64, number(dir, "block_size"));
	EXPECT_EQ(100, number(dir, "block_count"));
	EXPECT_EQ(3, number(dir, "nr_reserved"));
	EXPECT_EQ(0, text(dir, "duplication", word, sizeof(word)));
	EXPECT_STREQ("reject", word);
	EXPECT_EQ(0, text(dir, "policy", word, sizeof(word)));
	EXPECT_STREQ("lru", word);
	EXPECT_EQ(24, number(dir, "aux_size"));
	EXPECT_EQ(1, number(dir, "reset_on_release"));
	EXPECT_EQ(-1, number(dir, "linger_ms"));
	EXPECT_EQ((long long)q.out_bytes, number(dir, "bytes"));
	EXPECT_EQ((long long)q.out_created_ns, number(dir, "created_ns"));
	EXPECT_EQ(0, number(dir, "gauges/sessions"));
	EXPECT_EQ(97, number(dir, "states/reset"));
	EXPECT_EQ(0, number(self->dir, "reset_on_release"));
	EXPECT_EQ(0, text(self->dir, "duplication", word, sizeof(word)));
	EXPECT_STREQ("allow", word);
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	EXPECT_EQ(-ENOENT, number(dir, "id"));
}

/* Every file below a directory is @mode, and @uid's and @gid's. */
static int wrong_files(const char *dir, mode_t mode, uid_t uid, gid_t gid, int *seen)
{
	static const char *const subs[] = {
		".", "counters", "gauges", "states", "reclaim", "events",
	};
	int wrong = 0;
	size_t i;

	for (i = 0; i < sizeof(subs) / sizeof(*subs); i++) {
		struct dirent *e;
		char path[512];
		struct stat st;
		DIR *d;

		snprintf(path, sizeof(path), "%s/%s", dir, subs[i]);
		d = opendir(path);
		while (d && (e = readdir(d))) {
			if (!strcmp(e->d_name, "uevent"))
				continue;	/* of the driver core */
			snprintf(path, sizeof(path), "%s/%s/%s", dir, subs[i], e->d_name);
			if (lstat(path, &st) || !S_ISREG(st.st_mode))
				continue;
			++*seen;
			if ((st.st_mode & 07777) != mode || st.st_uid != uid ||
			    st.st_gid != gid)
				wrong++;
		}
		if (d)
			closedir(d);
	}
	return wrong;
}

TEST_F(sysfs, rights)
{
	static const struct {
		mode_t manager, file;
	} modes[] = {
		{ 0660, 0440 }, { 0640, 0440 }, { 0600, 0400 }, { 0666, 0444 },
		{ 0604, 0404 },
	};
	struct kvbm_manager_create m;
	char dir[192], path[256];
	int fd, seen, status;
	size_t i;
	pid_t pid;

	if (getuid())
		SKIP(return, "needs root, to make things for somebody else");
	snprintf(dir, sizeof(dir), CLASS "/%s:owned", self->registry);
	for (i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		manager_init(&m, self->w.registry, "owned", BLOCKS);
		m.uid = UID_OWNER;
		m.gid = GID_TEAM;
		m.mode = modes[i].manager;
		ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
		seen = 0;
		EXPECT_EQ(0, wrong_files(dir, modes[i].file, UID_OWNER, GID_TEAM, &seen))
			TH_LOG("mode %04o", modes[i].manager);
		EXPECT_EQ((int)NR_FILES + 13 + 5, seen);
		pid = fork();
		if (!pid) {
			if (setgid(1) || setuid(UID_OWNER + 1))
				_exit(255);
			_exit(number(dir, "id") == -EACCES ? 1 : 0);
		}
		waitpid(pid, &status, 0);
		EXPECT_EQ(!(modes[i].manager & 04), WEXITSTATUS(status));
		/* There is nothing to write, for root neither. */
		snprintf(path, sizeof(path), "%s/counters/evictions", dir);
		fd = open(path, O_WRONLY);
		EXPECT_EQ(-1, fd);
		EXPECT_EQ(EACCES, errno);
		EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	}
	/* What nobody may read is not there. */
	manager_init(&m, self->w.registry, "owned", BLOCKS);
	m.mode = 0220;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	EXPECT_EQ(-ENOENT, number(dir, "id"));
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
}

static int count_devices(void)
{
	struct dirent *e;
	DIR *d = opendir(CLASS);
	int n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

/* A manager without a name has no device, and one that fails leaves none. */
TEST_F(sysfs, none_for_these)
{
	struct kvbm_manager_create m;
	int before = count_devices(), fd = kv_open();

	EXPECT_LE(1, before);
	manager_init(&m, self->w.registry, "", BLOCKS);
	m.flags = KVBM_MANAGER_ANONYMOUS;
	m.linger_ms = 0;
	m.bind_flags = ALL_RIGHTS;
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_CREATE, &m));
	EXPECT_EQ(before, count_devices());
	/* The same file once more. */
	manager_init(&m, self->w.registry, "twice", BLOCKS);
	m.bind_flags = ALL_RIGHTS;
	EXPECT_EQ(-EISCONN, kv(fd, KVBM_MANAGER_CREATE, &m));
	EXPECT_EQ(before, count_devices());
	close(fd);
	manager_init(&m, self->w.registry, "large", 1 << 28);
	EXPECT_GT(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	EXPECT_EQ(before, count_devices());
}

/* The last session takes the manager along, and its device. */
TEST_F(sysfs, goes_with_the_last_session)
{
	struct kvbm_manager_create m;
	int fd = kv_open();
	char dir[192];

	snprintf(dir, sizeof(dir), CLASS "/%s:short", self->registry);
	manager_init(&m, self->w.registry, "short", BLOCKS);
	m.linger_ms = 0;
	m.bind_flags = ALL_RIGHTS;
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_CREATE, &m));
	EXPECT_EQ(1, number(dir, "gauges/sessions"));
	EXPECT_EQ(0, number(dir, "linger_ms"));
	close(fd);
	EXPECT_EQ(-ENOENT, number(dir, "id"));
}

/*
 * A file that is open when the manager goes: it answers ENODEV, whoever still
 * holds blocks, and when the name is somebody else's, too.
 */
TEST_F(sysfs, open_when_destroyed)
{
	struct kvbm_manager_create m;
	char dir[192], path[256], buf[32];
	struct kvbm_token t[4];
	int fd, s, round;

	snprintf(dir, sizeof(dir), CLASS "/%s:gone", self->registry);
	snprintf(path, sizeof(path), "%s/states/mutable", dir);
	for (round = 0; round < 3; round++) {
		manager_init(&m, self->w.registry, "gone", BLOCKS);
		ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
		s = kv_session(m.out_id, ALL_RIGHTS);
		ASSERT_EQ(0, kv_allocate(s, 4, t, NULL, NULL));
		fd = open(path, O_RDONLY);
		ASSERT_LE(0, fd);
		ASSERT_EQ(2, read(fd, buf, sizeof(buf)));
		EXPECT_EQ('4', buf[0]);
		if (round)
			ASSERT_EQ(2, pread(fd, buf, sizeof(buf), 0));
		ASSERT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id,
					KVBM_DESTROY_FORCE));
		EXPECT_EQ(-1, access(dir, F_OK));
		EXPECT_EQ(-1, pread(fd, buf, sizeof(buf), 0));
		EXPECT_EQ(ENODEV, errno);
		/* The next of that name, while the old one's memory is still there. */
		ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
		EXPECT_EQ(0, number(dir, "states/mutable"));
		EXPECT_EQ(-1, pread(fd, buf, sizeof(buf), 0));
		ASSERT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
		close(s);
		EXPECT_EQ(-1, pread(fd, buf, sizeof(buf), 0));
		EXPECT_EQ(ENODEV, errno);
		close(fd);
	}
}

/* Readers of everything, while managers come and go. */

static volatile bool stop;
static unsigned long reads, odd;

static void *read_on(void *arg)
{
	char path[512], buf[64];
	const char *dir = arg;
	int kept = -1, fd;
	unsigned int i = 0;
	ssize_t n;

	while (!stop) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i++ % NR_FILES].file);
		fd = open(path, O_RDONLY);
		if (fd < 0) {
			if (errno != ENOENT && errno != ENODEV)
				__atomic_fetch_add(&odd, 1, __ATOMIC_RELAXED);
			continue;
		}
		n = read(fd, buf, sizeof(buf));
		if (n > 0)
			__atomic_fetch_add(&reads, 1, __ATOMIC_RELAXED);
		else if (errno != ENODEV)
			__atomic_fetch_add(&odd, 1, __ATOMIC_RELAXED);
		/* One is kept for later, when its manager has gone. */
		if (kept >= 0) {
			n = pread(kept, buf, sizeof(buf), 0);
			if (n <= 0 && errno != ENODEV)
				__atomic_fetch_add(&odd, 1, __ATOMIC_RELAXED);
			close(kept);
		}
		kept = fd;
	}
	if (kept >= 0)
		close(kept);
	return NULL;
}

TEST_F_TIMEOUT(sysfs, readers_race_with_the_end, 600)
{
	int rounds = 40 * kvbm_long(), i, s;
	struct kvbm_manager_create m;
	struct kvbm_token t[8];
	pthread_t readers[3];
	char dir[192];

	snprintf(dir, sizeof(dir), CLASS "/%s:race", self->registry);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&readers[i], NULL, read_on, dir));
	for (i = 0; i < rounds; i++) {
		manager_init(&m, self->w.registry, "race", BLOCKS);
		ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
		s = kv_session(m.out_id, ALL_RIGHTS);
		ASSERT_LE(0, s);
		ASSERT_EQ(0, kv_fill(s, i, 8, t));
		if (i % 16 == 0)
			usleep(1000);
		if (i % 2)
			close(s);
		ASSERT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id,
					KVBM_DESTROY_FORCE));
		if (!(i % 2))
			close(s);
	}
	stop = true;
	for (i = 0; i < 3; i++)
		pthread_join(readers[i], NULL);
	TH_LOG("%lu reads in %d lives", reads, rounds);
	EXPECT_LT(0ul, reads);
	EXPECT_EQ(0ul, odd);
}

TEST_HARNESS_MAIN
