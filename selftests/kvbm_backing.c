// SPDX-License-Identifier: GPL-2.0
/*
 * The files that blocks live in: which are taken, who gets which descriptor, and
 * how long they stay.
 */
#include <linux/udmabuf.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "kvbm_util.h"
#include "kselftest_harness.h"

#define BLOCKS	16u
#define PAGE	4096u
#define SIZE	((uint64_t)BLOCKS * PAGE)

FIXTURE(backing)
{
	struct kv_world w;
	int s;
	uint64_t id;
};

FIXTURE_SETUP(backing)
{
	struct kvbm_manager_create m;

	ASSERT_EQ(0, kv_world_make(&self->w, BLOCKS, KVBM_DUP_ALLOW));
	manager_init(&m, self->w.registry, "backing", BLOCKS);
	m.mode = 0664;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	self->id = m.out_id;
	self->s = kv_session(self->id, ALL_RIGHTS);
	ASSERT_LE(0, self->s);
}

FIXTURE_TEARDOWN(backing)
{
	close(self->s);
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, self->id, 0));
	EXPECT_EQ(0, kv_world_end(&self->w));
}

static int set_one(struct _test_data_backing *self, struct kvbm_segment segment)
{
	return kv_set_backing(self->s, 0, 1, &segment);
}

/* One page for each block. */
static int set_plain(struct _test_data_backing *self, int fd, uint32_t kind)
{
	return set_one(self, kv_segment(fd, kind, 0, PAGE, PAGE));
}

static int get(int s, uint32_t flags, uint32_t n, struct kvbm_segment *segments,
	       struct kvbm_backing_get *a)
{
	*a = (struct kvbm_backing_get){ .size = sizeof(*a), .flags = flags,
					.count = n, .segments = ptr(segments) };
	return kv(s, KVBM_BACKING_GET, a);
}

/* The one descriptor of a backing with one file, or -errno. */
static int get_fd(int s)
{
	struct kvbm_backing_get a;
	struct kvbm_segment segment;
	int err = get(s, KVBM_BACKING_FDS, 1, &segment, &a);

	return err ?: segment.fd;
}

static int open_files(void)
{
	int fd, n = 0;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

TEST_F(backing, segments_come_back)
{
	struct kvbm_segment in[4], out[8];
	struct kvbm_manager_query q = { .size = sizeof(q) };
	struct kvbm_backing_get a;
	char path[KVBM_PATH_SIZE];
	int one, two, i;

	/* A tensor per layer, interleaved; and one more file. */
	one = kv_memfd(3 * SIZE);
	two = kv_memfd(SIZE + 7);
	for (i = 0; i < 3; i++)
		in[i] = kv_segment(one, KVBM_BACKING_MEMFD, i * PAGE, 3 * PAGE, PAGE);
	in[3] = kv_segment(two, KVBM_BACKING_MEMFD, 7, PAGE, 100);
	ASSERT_EQ(0, get(self->s, 0, 8, out, &a));
	EXPECT_EQ(0u, a.out_total);
	EXPECT_EQ(0u, a.out_count);
	ASSERT_EQ(0, kv_set_backing(self->w.fd, self->id, 4, in));
	EXPECT_EQ(-EEXIST, kv_set_backing(self->w.fd, self->id, 4, in));
	close(one);
	close(two);
	ASSERT_EQ(0, kv(self->s, KVBM_MANAGER_QUERY, &q));
	EXPECT_EQ(4u, q.out_segments);

	ASSERT_EQ(0, get(self->s, 0, 8, out, &a));
	EXPECT_EQ(4u, a.out_total);
	EXPECT_EQ(4u, a.out_count);
	EXPECT_EQ(2u, a.out_files);
	EXPECT_EQ(getuid(), a.out_uid);
	EXPECT_EQ((unsigned int)getpid(), a.out_pid);
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(-1, out[i].fd);
		EXPECT_EQ(in[i].offset, out[i].offset);
		EXPECT_EQ(in[i].stride, out[i].stride);
		EXPECT_EQ(in[i].bytes, out[i].bytes);
		EXPECT_EQ(in[i].kind, out[i].kind);
		EXPECT_EQ(i / 3u, out[i].file);
	}
	a.path = ptr(path);
	a.path_size = sizeof(path);
	ASSERT_EQ(0, kv(self->s, KVBM_BACKING_GET, &a));
	EXPECT_EQ(0, strcmp(path, "/memfd:kvbm-test (deleted)"))
		TH_LOG("%s", path);
	EXPECT_EQ(strlen(path) + 1, a.out_path_size);
	a.path_size = 7;
	ASSERT_EQ(0, kv(self->s, KVBM_BACKING_GET, &a));
	EXPECT_EQ(0, strcmp(path, "/memfd"));
	/* One descriptor for each file. */
	ASSERT_EQ(0, get(self->s, KVBM_BACKING_FDS, 8, out, &a));
	EXPECT_EQ(out[0].fd, out[2].fd);
	EXPECT_NE(out[0].fd, out[3].fd);
	EXPECT_EQ(FD_CLOEXEC, fcntl(out[0].fd, F_GETFD));
	close(out[0].fd);
	close(out[3].fd);
	a = (struct kvbm_backing_get){ .size = sizeof(a), .start = 3, .count = 8,
				       .segments = ptr(out) };
	ASSERT_EQ(0, kv(self->s, KVBM_BACKING_GET, &a));
	EXPECT_EQ(1u, a.out_count);
	EXPECT_EQ(7u, out[0].offset);
}

/* Beyond the end there is nothing, and no path is written where there is no room. */
TEST_F(backing, nothing_to_give)
{
	static const uint32_t starts[] = { 1, UINT32_MAX };
	static const uint32_t flags[] = { 0, KVBM_BACKING_FDS };
	struct kvbm_segment out[2], untouched[2];
	struct kvbm_backing_get a;
	char path[KVBM_PATH_SIZE];
	int fd = kv_memfd(SIZE), i, before;

	ASSERT_EQ(0, set_plain(self, fd, KVBM_BACKING_MEMFD));
	close(fd);
	memset(untouched, 0x5a, sizeof(untouched));
	memcpy(out, untouched, sizeof(out));
	before = open_files();
	for (i = 0; i < 4; i++) {
		a = (struct kvbm_backing_get){
			.size = sizeof(a), .flags = flags[i / 2], .start = starts[i % 2],
			.count = 2, .segments = ptr(out), .path = ptr(path),
			.path_size = sizeof(path) };
		strcpy(path, "untouched");
		ASSERT_EQ(0, kv(self->s, KVBM_BACKING_GET, &a));
		EXPECT_EQ(0u, a.out_count);
		EXPECT_EQ(1u, a.out_total);
		EXPECT_EQ(1u, a.out_files);
		EXPECT_EQ(1u, a.out_path_size);
		EXPECT_EQ(0, strcmp(path, ""));
		EXPECT_EQ(0, memcmp(out, untouched, sizeof(out)));
	}
	EXPECT_EQ(before, open_files());
	strcpy(path, "untouched");
	a = (struct kvbm_backing_get){ .size = sizeof(a), .path = ptr(path) };
	ASSERT_EQ(0, kv(self->s, KVBM_BACKING_GET, &a));
	EXPECT_EQ(0u, a.out_path_size);
	EXPECT_EQ(0, strcmp(path, "untouched"));
	a = (struct kvbm_backing_get){ .size = sizeof(a), .path_size = sizeof(path) };
	ASSERT_EQ(0, kv(self->s, KVBM_BACKING_GET, &a));
	EXPECT_EQ(0u, a.out_path_size);
}

/* Directories, each in the one before; a descriptor of the last one. */
static int deep_dir(const char *name, int n)
{
	int dir = open("/tmp", O_RDONLY | O_DIRECTORY), next;

	for (; n && dir >= 0; n--) {
		mkdirat(dir, name, 0700);
		next = openat(dir, name, O_RDONLY | O_DIRECTORY);
		close(dir);
		dir = next;
	}
	return dir;
}

static void remove_deep_dir(int dir, const char *name, int n)
{
	int above;

	for (; n; n--) {
		above = openat(dir, "..", O_RDONLY | O_DIRECTORY);
		unlinkat(above, name, AT_REMOVEDIR);
		close(dir);
		dir = above;
	}
	close(dir);
}

/* A path that is longer than any may be is none, and the file is one all the same. */
TEST_F(backing, path_too_long)
{
	const int depth = KVBM_PATH_SIZE / 250 + 1;
	struct kvbm_segment out;
	struct kvbm_backing_get a;
	char name[251] = "", path[KVBM_PATH_SIZE] = "untouched";
	int dir, fd;

	memset(name, 'd', sizeof(name) - 1);
	dir = deep_dir(name, depth);
	ASSERT_LE(0, dir);
	fd = openat(dir, "blocks", O_RDWR | O_CREAT, 0600);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, SIZE));
	ASSERT_EQ(0, set_plain(self, fd, KVBM_BACKING_FILE));
	close(fd);
	a = (struct kvbm_backing_get){ .size = sizeof(a), .flags = KVBM_BACKING_FDS,
				       .count = 1, .segments = ptr(&out),
				       .path = ptr(path), .path_size = sizeof(path) };
	EXPECT_EQ(0, kv(self->s, KVBM_BACKING_GET, &a));
	EXPECT_EQ(1u, a.out_count);
	EXPECT_EQ(1u, a.out_path_size);
	EXPECT_EQ(0, strcmp(path, ""));
	EXPECT_LE(0, out.fd);
	close(out.fd);
	EXPECT_EQ(0, unlinkat(dir, "blocks", 0));
	remove_deep_dir(dir, name, depth);
}

/* The bytes outlive who made them; nothing is left of them after the manager. */
TEST_F(backing, outlives_its_maker)
{
	struct stat st;
	char *map;
	int fd;

	if (!fork()) {
		int s = kv_session(self->id, ALL_RIGHTS);
		struct kvbm_segment seg;

		fd = kv_memfd(SIZE);
		seg = kv_segment(fd, KVBM_BACKING_MEMFD, 0, PAGE, PAGE);
		_exit(pwrite(fd, "hello", 6, 5 * PAGE) != 6 ||
		      kv_set_backing(s, 0, 1, &seg));
	}
	wait(NULL);
	fd = get_fd(self->s);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ((int64_t)SIZE, st.st_size);
	map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, strcmp(map + 5 * PAGE, "hello"));
	munmap(map, SIZE);
}

TEST_F(backing, readers_get_it_read_only)
{
	int fd = kv_memfd(SIZE), r, w, got;
	char c;

	ASSERT_EQ(0, set_plain(self, fd, KVBM_BACKING_MEMFD));
	close(fd);
	r = kv_session(self->id, KVBM_BIND_READ);
	w = kv_session(self->id, KVBM_BIND_WRITE);
	got = get_fd(r);
	ASSERT_LE(0, got);
	EXPECT_EQ(O_RDONLY, fcntl(got, F_GETFL) & O_ACCMODE);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
				   got, 0));
	EXPECT_EQ(-1, write(got, "x", 1));
	EXPECT_EQ(1, read(got, &c, 1));
	close(got);
	got = get_fd(self->s);
	EXPECT_EQ(O_RDWR, fcntl(got, F_GETFL) & O_ACCMODE);
	close(got);
	/* To have it takes read, to have it for writing both. */
	EXPECT_EQ(-EACCES, get_fd(w));
	EXPECT_EQ(-ENOTCONN, get_fd(self->w.fd));
	close(r);
	close(w);
}

/* One that was replaced looks, and does not write any more. */
TEST_F(backing, the_fenced_get_it_read_only)
{
	int fd = kv_memfd(SIZE), old, got;

	ASSERT_EQ(0, set_plain(self, fd, KVBM_BACKING_MEMFD));
	close(fd);
	old = kv_session(self->id, ALL_RIGHTS);
	got = get_fd(old);
	EXPECT_EQ(O_RDWR, fcntl(got, F_GETFL) & O_ACCMODE);
	close(got);
	ASSERT_EQ(0, kv_epoch(self->s, KVBM_EPOCH_RAISE, NULL));
	got = get_fd(old);
	ASSERT_LE(0, got);
	EXPECT_EQ(O_RDONLY, fcntl(got, F_GETFL) & O_ACCMODE);
	close(got);
	got = get_fd(self->s);
	EXPECT_EQ(O_RDWR, fcntl(got, F_GETFL) & O_ACCMODE);
	close(got);
	close(old);
}

static int trace_write(const char *file, int flags, const char *text)
{
	char path[128];
	int fd, err = 0;

	snprintf(path, sizeof(path), "/sys/kernel/tracing/%s", file);
	fd = open(path, O_WRONLY | flags);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err = -errno;
	close(fd);
	return err;
}

/* How often, as the kernel counted it. */
static int trace_hits(const char *event)
{
	FILE *f = fopen("/sys/kernel/tracing/kprobe_profile", "r");
	char name[64];
	int n = -1, hits;

	while (f && fscanf(f, "%63s %d %*d", name, &hits) == 2)
		if (!strcmp(name, event))
			n = hits;
	if (f)
		fclose(f);
	return n;
}

/* A security module is asked for each descriptor, whoever gets it. */
TEST_F(backing, security_modules_are_asked)
{
	int fd = kv_memfd(SIZE), r, got;

	mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
	if (trace_write("kprobe_events", O_APPEND,
			"p:kvbm_receive security_file_receive"))
		SKIP(return, "no kprobes in this kernel");
	ASSERT_EQ(0, trace_write("events/kprobes/kvbm_receive/enable", 0, "1"));
	ASSERT_EQ(0, set_plain(self, fd, KVBM_BACKING_MEMFD));
	close(fd);
	r = kv_session(self->id, KVBM_BIND_READ);
	EXPECT_EQ(0, trace_hits("kvbm_receive"));
	got = get_fd(r);
	EXPECT_LE(0, got);
	EXPECT_EQ(1, trace_hits("kvbm_receive"));
	close(got);
	got = get_fd(self->s);
	EXPECT_LE(0, got);
	EXPECT_EQ(2, trace_hits("kvbm_receive"));
	close(got);
	close(r);
	EXPECT_EQ(0, trace_write("events/kprobes/kvbm_receive/enable", 0, "0"));
	EXPECT_EQ(0, trace_write("kprobe_events", O_APPEND, "-:kvbm_receive"));
}

/* Another user with a session for reading cannot write by any other way. */
TEST_F(backing, read_only_means_it)
{
	int fd = kv_memfd(SIZE), r, status;

	ASSERT_EQ(0, set_plain(self, fd, KVBM_BACKING_MEMFD));
	r = kv_session(self->id, KVBM_BIND_READ);
	ASSERT_LE(0, r);
	if (!fork()) {
		char path[32];
		int got;

		if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000))
			_exit(1);
		got = get_fd(r);
		if (got < 0)
			_exit(2);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", got);
		_exit(open(path, O_RDWR) < 0 && errno == EACCES ? 0 : 3);
	}
	wait(&status);
	EXPECT_EQ(0, status);
	close(fd);
	close(r);
}

TEST_F(backing, not_sealed_or_open_to_others)
{
	int fd = memfd_create("t", MFD_ALLOW_SEALING), shm;

	ASSERT_EQ(0, ftruncate(fd, SIZE));
	ASSERT_EQ(0, fchmod(fd, 0600));
	EXPECT_EQ(-EPERM, set_plain(self, fd, KVBM_BACKING_MEMFD));
	ASSERT_EQ(0, fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	EXPECT_EQ(-EPERM, set_plain(self, fd, KVBM_BACKING_MEMFD));
	ASSERT_EQ(0, fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	ASSERT_EQ(0, fchmod(fd, 0620));
	EXPECT_EQ(-EACCES, set_plain(self, fd, KVBM_BACKING_MEMFD));
	ASSERT_EQ(0, fchmod(fd, 0602));
	EXPECT_EQ(-EACCES, set_plain(self, fd, KVBM_BACKING_MEMFD));
	/* By another name it is the same. */
	EXPECT_EQ(-EINVAL, set_plain(self, fd, KVBM_BACKING_FILE));
	EXPECT_EQ(-EINVAL, set_plain(self, fd, KVBM_BACKING_OPAQUE));
	EXPECT_EQ(-EINVAL, set_plain(self, fd, KVBM_BACKING_HUGETLB));
	EXPECT_EQ(-EINVAL, set_plain(self, fd, KVBM_BACKING_DMABUF));
	ASSERT_EQ(0, fchmod(fd, 0644));
	EXPECT_EQ(0, set_plain(self, fd, KVBM_BACKING_MEMFD));
	/* And so it stays. */
	EXPECT_EQ(-1, ftruncate(fd, SIZE - 1));
	EXPECT_EQ(EPERM, errno);
	close(fd);
	/* A file with a name on tmpfs is a file. */
	shm = open("/dev/shm/kvbm-test", O_RDWR | O_CREAT | O_EXCL, 0600);
	ASSERT_EQ(0, ftruncate(shm, SIZE));
	EXPECT_EQ(-EINVAL, set_plain(self, shm, KVBM_BACKING_MEMFD));
	close(shm);
	unlink("/dev/shm/kvbm-test");
}

TEST_F(backing, geometry)
{
	int fd = kv_memfd(SIZE);
	static const struct {
		uint64_t offset, stride, bytes;
		int err;
	} bad[] = {
		{ 1, PAGE, PAGE, -EFBIG },
		{ 0, PAGE + 1, PAGE, -EFBIG },
		{ 0, PAGE, 0, -EINVAL },
		{ 0, PAGE, PAGE + 1, -EINVAL },
		{ 0, 0, 1, -EINVAL },
		{ 0, 0, 0, -EINVAL },
		{ UINT64_MAX, PAGE, PAGE, -EOVERFLOW },
		{ UINT64_MAX - 15 * PAGE, PAGE, PAGE, -EOVERFLOW },
		{ 0, UINT64_MAX, PAGE, -EOVERFLOW },
		{ 0, UINT64_MAX / 15, 1, -EOVERFLOW },
		{ 0, UINT64_MAX / 15 + 1, 1, -EOVERFLOW },
		{ 0, UINT64_MAX, UINT64_MAX, -EOVERFLOW },
		{ 0, INT64_MAX / 15, INT64_MAX / 15, -EOVERFLOW },
		{ 0, INT64_MAX / 16, INT64_MAX / 16, -EFBIG },
		{ INT64_MAX, 1, 1, -EOVERFLOW },
	};
	struct kvbm_segment s;
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		EXPECT_EQ(bad[i].err, set_one(self, kv_segment(fd, KVBM_BACKING_MEMFD,
							       bad[i].offset,
							       bad[i].stride,
							       bad[i].bytes)))
			TH_LOG("row %u", i);
	s = kv_segment(fd, KVBM_BACKING_MEMFD, 0, PAGE, PAGE);
	s.file = 1;
	EXPECT_EQ(-EINVAL, set_one(self, s));
	s.file = 0;
	s.reserved = 1;
	EXPECT_EQ(-EINVAL, set_one(self, s));
	s.reserved = 0;
	s.kind = 0;
	EXPECT_EQ(-EINVAL, set_one(self, s));
	s.kind = KVBM_BACKING_OPAQUE + 1;
	EXPECT_EQ(-EINVAL, set_one(self, s));
	/* To the byte. */
	EXPECT_EQ(0, set_one(self, kv_segment(fd, KVBM_BACKING_MEMFD, 1, PAGE,
					      PAGE - 1)));
	EXPECT_EQ(-EEXIST, set_one(self, kv_segment(fd, KVBM_BACKING_MEMFD, 1, PAGE,
						    PAGE - 1)));
	close(fd);
}

/* The index of the bad one, and nothing is kept of those before it. */
TEST_F(backing, all_or_nothing)
{
	static struct kvbm_segment s[KVBM_MAX_SEGMENTS + 1];
	struct kvbm_backing_set a = { .size = sizeof(a), .segments = ptr(s) };
	int fd = kv_memfd(SIZE), before;
	unsigned int i;

	for (i = 0; i < KVBM_MAX_SEGMENTS + 1; i++)
		s[i] = kv_segment(fd, KVBM_BACKING_MEMFD, 0, PAGE, PAGE);
	a.count = KVBM_MAX_SEGMENTS + 1;
	EXPECT_EQ(-EINVAL, kv(self->s, KVBM_BACKING_SET, &a));
	a.count = KVBM_MAX_SEGMENTS;
	s[1000].stride = 2 * PAGE;
	EXPECT_EQ(-EFBIG, kv(self->s, KVBM_BACKING_SET, &a));
	EXPECT_EQ(1000u, a.out_failed);
	s[1000].fd = 4000;
	s[1000].stride = PAGE;
	EXPECT_EQ(-EBADF, kv(self->s, KVBM_BACKING_SET, &a));
	s[1000].fd = -1;
	EXPECT_EQ(-EBADF, kv(self->s, KVBM_BACKING_SET, &a));
	s[1000].fd = fd;
	EXPECT_EQ(0, kv(self->s, KVBM_BACKING_SET, &a));
	close(fd);
	before = open_files();
	EXPECT_EQ(0, get(self->s, KVBM_BACKING_FDS, KVBM_MAX_SEGMENTS, s,
			 &(struct kvbm_backing_get){ 0 }));
	EXPECT_EQ(before + 1, open_files());
	close(s[0].fd);
}

TEST_F(backing, refused_files)
{
	int sock[2], pipefd[2], pin, ep = epoll_create1(EPOLL_CLOEXEC), fd, k;
	struct kvbm_events_open e = { .size = sizeof(e), .registry = self->w.registry };
	int ev = eventfd(0, EFD_CLOEXEC);
	struct kvbm_token t;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	ASSERT_EQ(0, pipe(pipefd));
	ASSERT_EQ(0, kv_fill(self->s, 1, 1, &t));
	pin = kv_pin(self->s, 0, 1, &t);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_EVENTS_OPEN, &e));
	for (k = KVBM_BACKING_MEMFD; k <= KVBM_BACKING_OPAQUE; k++) {
		EXPECT_EQ(-EINVAL, set_plain(self, self->s, k));
		EXPECT_EQ(-EINVAL, set_plain(self, self->w.fd, k));
		EXPECT_EQ(-EINVAL, set_plain(self, pin, k));
		EXPECT_EQ(-EINVAL, set_plain(self, sock[0], k));
		EXPECT_EQ(-EINVAL, set_plain(self, ep, k));
		EXPECT_EQ(-EINVAL, set_plain(self, ev, k));
		EXPECT_EQ(-EINVAL, set_plain(self, e.out_fd, k));
		fd = open("/tmp", O_RDONLY);
		EXPECT_EQ(-EACCES, set_plain(self, fd, k));
		close(fd);
		fd = open("/tmp", O_PATH);
		EXPECT_EQ(-EBADF, set_plain(self, fd, k));
		close(fd);
		/* Not for both, reading and writing. */
		EXPECT_EQ(-EACCES, set_plain(self, pipefd[0], k));
		fd = open("/dev/null", O_WRONLY);
		EXPECT_EQ(-EACCES, set_plain(self, fd, k));
		close(fd);
	}
	mkfifo("/tmp/kvbm-fifo", 0600);
	fd = open("/tmp/kvbm-fifo", O_RDWR);
	EXPECT_EQ(-EINVAL, set_plain(self, fd, KVBM_BACKING_OPAQUE));
	close(fd);
	unlink("/tmp/kvbm-fifo");
	close(e.out_fd);
	close(ev);
	close(pin);
	EXPECT_EQ(0, kv_release(self->s, 1, &t));
}

/* A file on disk: its size when it is given. */
TEST_F(backing, regular_file)
{
	int fd = open("/tmp/kvbm-backing", O_RDWR | O_CREAT | O_TRUNC, 0600), got, r;
	int status;

	ASSERT_EQ(0, ftruncate(fd, SIZE - 1));
	EXPECT_EQ(-EFBIG, set_plain(self, fd, KVBM_BACKING_FILE));
	ASSERT_EQ(0, ftruncate(fd, SIZE));
	ASSERT_EQ(0, set_plain(self, fd, KVBM_BACKING_FILE));
	/* Truncated later: that is the business of whoever did it. */
	ASSERT_EQ(0, ftruncate(fd, 0));
	close(fd);
	unlink("/tmp/kvbm-backing");
	r = kv_session(self->id, KVBM_BIND_READ);
	got = get_fd(r);
	ASSERT_LE(0, got);
	EXPECT_EQ(O_RDONLY, fcntl(got, F_GETFL) & O_ACCMODE);
	if (!fork())
		_exit(*(volatile char *)mmap(NULL, SIZE, PROT_READ, MAP_SHARED, got, 0));
	wait(&status);
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	close(got);
	close(r);
}

/* As long as the manager, and no longer, though no process has it open. */
TEST_F(backing, file_keeps_its_file_system_busy)
{
	static const char dir[] = "/tmp/kvbm-fs";
	struct kvbm_manager_create m;
	struct kvbm_segment seg;
	int fd;

	mkdir(dir, 0700);
	if (mount("kvbm-fs", dir, "tmpfs", 0, NULL))
		SKIP(return, "cannot mount");
	fd = open("/tmp/kvbm-fs/blocks", O_RDWR | O_CREAT, 0600);
	ASSERT_EQ(0, ftruncate(fd, SIZE));
	manager_init(&m, self->w.registry, "busy", BLOCKS);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	seg = kv_segment(fd, KVBM_BACKING_FILE, 0, PAGE, PAGE);
	ASSERT_EQ(0, kv_set_backing(self->w.fd, m.out_id, 1, &seg));
	close(fd);
	EXPECT_EQ(-1, umount(dir));
	EXPECT_EQ(EBUSY, errno);
	ASSERT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	EXPECT_EQ(0, umount(dir));
	rmdir(dir);
}

/* The size of a device is not looked at, and only writers get it. */
TEST_F(backing, opaque)
{
	int fd = open("/dev/zero", O_RDWR), r, got;

	EXPECT_EQ(-EINVAL, set_plain(self, fd, KVBM_BACKING_FILE));
	ASSERT_EQ(0, set_one(self, kv_segment(fd, KVBM_BACKING_OPAQUE, 1ull << 40,
					      1ull << 30, 1ull << 30)));
	close(fd);
	r = kv_session(self->id, KVBM_BIND_READ);
	EXPECT_EQ(-1, get_fd(r));
	close(r);
	got = get_fd(self->s);
	EXPECT_LE(0, got);
	close(got);
}

/* A regular file or a block device will do as well. */
TEST_F(backing, opaque_files)
{
	struct kvbm_segment seg = kv_segment(-1, KVBM_BACKING_OPAQUE, 1ull << 40, PAGE,
					     PAGE);
	static const char *const disks[] = { "/dev/ram0", "/dev/loop0", "/dev/vda" };
	struct kvbm_manager_create m;
	unsigned int i, n = 0;

	seg.fd = open("/tmp/kvbm-opaque", O_RDWR | O_CREAT, 0600);
	EXPECT_EQ(0, set_one(self, seg));
	close(seg.fd);
	unlink("/tmp/kvbm-opaque");
	manager_init(&m, self->w.registry, "disk", BLOCKS);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	for (i = 0; i < 3 && !n; i++) {
		seg.fd = open(disks[i], O_RDWR);
		if (seg.fd < 0)
			continue;
		EXPECT_EQ(0, kv_set_backing(self->w.fd, m.out_id, 1, &seg));
		close(seg.fd);
		n++;
	}
	if (!n)
		TH_LOG("this machine has no disk");
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
}

TEST_F(backing, hugetlb)
{
	uint64_t size = 2ull << 20;
	FILE *f = fopen("/proc/sys/vm/nr_hugepages", "w");
	int fd, r, got;

	if (f) {
		fprintf(f, "4");
		fclose(f);
	}
	fd = memfd_create("huge", MFD_HUGETLB | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, size))
		SKIP(return, "no huge pages");
	ASSERT_EQ(0, fchmod(fd, 0600));
	EXPECT_EQ(-EPERM, set_one(self, kv_segment(fd, KVBM_BACKING_HUGETLB, 0,
						   size / BLOCKS, size / BLOCKS)));
	ASSERT_EQ(0, fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	EXPECT_EQ(-EINVAL, set_one(self, kv_segment(fd, KVBM_BACKING_MEMFD, 0, 1, 1)));
	EXPECT_EQ(-EFBIG, set_one(self, kv_segment(fd, KVBM_BACKING_HUGETLB, 1,
						   size / BLOCKS, size / BLOCKS)));
	EXPECT_EQ(0, set_one(self, kv_segment(fd, KVBM_BACKING_HUGETLB, 0,
					      size / BLOCKS, size / BLOCKS)));
	close(fd);
	r = kv_session(self->id, KVBM_BIND_READ);
	got = get_fd(r);
	EXPECT_LE(0, got);
	close(got);
	close(r);
}

TEST_F(backing, dmabuf)
{
	struct udmabuf_create create = { .size = SIZE };
	int dev = open("/dev/udmabuf", O_RDWR), mem, buf, r, got;

	if (dev < 0)
		SKIP(return, "this kernel has no udmabuf");
	mem = kv_memfd(SIZE);
	create.memfd = mem;
	buf = ioctl(dev, UDMABUF_CREATE, &create);
	ASSERT_LE(0, buf);
	EXPECT_EQ(-EINVAL, set_plain(self, buf, KVBM_BACKING_MEMFD));
	EXPECT_EQ(-EINVAL, set_plain(self, buf, KVBM_BACKING_FILE));
	EXPECT_EQ(-EINVAL, set_plain(self, buf, KVBM_BACKING_OPAQUE));
	EXPECT_EQ(-EFBIG, set_one(self, kv_segment(buf, KVBM_BACKING_DMABUF, 1, PAGE,
						   PAGE)));
	EXPECT_EQ(0, set_plain(self, buf, KVBM_BACKING_DMABUF));
	close(buf);
	close(mem);
	close(dev);
	r = kv_session(self->id, KVBM_BIND_READ);
	EXPECT_EQ(-1, get_fd(r));
	close(r);
	got = get_fd(self->s);
	EXPECT_LE(0, got);
	close(got);
}

/* No descriptor is left behind when there is not room for all. */
TEST_F(backing, out_of_descriptors)
{
	struct kvbm_segment s[4];
	struct kvbm_backing_get a;
	int fds[4096], n = 0, fd, i;

	for (i = 0; i < 4; i++) {
		fd = kv_memfd(SIZE);
		s[i] = kv_segment(fd, KVBM_BACKING_MEMFD, 0, PAGE, PAGE);
	}
	ASSERT_EQ(0, kv_set_backing(self->s, 0, 4, s));
	for (i = 0; i < 4; i++)
		close(s[i].fd);
	while (n < 4096 && (fd = dup(0)) >= 0)
		fds[n++] = fd;
	close(fds[--n]);
	close(fds[--n]);
	EXPECT_EQ(-EMFILE, get(self->s, KVBM_BACKING_FDS, 4, s, &a));
	fds[n] = dup(0);
	EXPECT_LE(0, fds[n++]);
	fds[n] = dup(0);
	EXPECT_LE(0, fds[n++]);
	while (n)
		close(fds[--n]);
}

TEST_F(backing, rights_and_ends)
{
	struct kvbm_manager_create m;
	int fd = kv_memfd(SIZE), s, ro = open(KVBM_DEV, O_RDONLY), got;
	struct kvbm_segment seg = kv_segment(fd, KVBM_BACKING_MEMFD, 0, PAGE, PAGE);
	uid_t me = geteuid();

	EXPECT_EQ(-EACCES, kv_set_backing(ro, self->id, 1, &seg));
	ASSERT_EQ(0, setresuid(-1, 1000, -1));
	EXPECT_EQ(-EPERM, kv_set_backing(self->s, 0, 1, &seg));
	ASSERT_EQ(0, setresuid(-1, me, -1));
	EXPECT_EQ(-ENOENT, kv_set_backing(self->w.fd, 1ull << 60, 1, &seg));
	close(ro);
	manager_init(&m, self->w.registry, "ends", BLOCKS);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	s = kv_session(m.out_id, ALL_RIGHTS);
	ASSERT_EQ(0, kv_set_backing(s, 0, 1, &seg));
	ASSERT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	EXPECT_EQ(-ESHUTDOWN, get_fd(s));
	close(s);
	/* Given to a manager that is gone. */
	manager_init(&m, self->w.registry, "gone", BLOCKS);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	s = kv_session(m.out_id, ALL_RIGHTS);
	ASSERT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	EXPECT_EQ(-ESHUTDOWN, kv_set_backing(s, 0, 1, &seg));
	close(s);
	got = fcntl(fd, F_GET_SEALS);
	EXPECT_EQ(F_SEAL_SHRINK, got);
	close(fd);
}

static uint64_t shmem_kib(void)
{
	char line[128];
	unsigned long long kib = 0;
	FILE *f = fopen("/proc/meminfo", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Shmem: %llu", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

/* The memory goes with the manager: with its last session, or pin. */
TEST_F(backing, memory_goes_with_the_manager)
{
	struct kvbm_manager_create m;
	struct kvbm_segment seg;
	struct kvbm_token t;
	uint64_t size = 32 << 20, before, i;
	int fd = kv_memfd(size), s, pin;

	manager_init(&m, self->w.registry, "big", BLOCKS);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	s = kv_session(m.out_id, ALL_RIGHTS);
	seg = kv_segment(fd, KVBM_BACKING_MEMFD, 0, size / BLOCKS, size / BLOCKS);
	ASSERT_EQ(0, kv_set_backing(s, 0, 1, &seg));
	before = shmem_kib();
	for (i = 0; i < size; i += PAGE)
		ASSERT_EQ(1, pwrite(fd, "x", 1, i));
	close(fd);
	EXPECT_LE(before + size / 1024, shmem_kib() + 1024);
	ASSERT_EQ(0, kv_fill(s, 1, 1, &t));
	pin = kv_pin(s, 0, 1, &t);
	close(s);
	ASSERT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id,
				KVBM_DESTROY_FORCE));
	EXPECT_LE(before + size / 1024, shmem_kib() + 1024);
	close(pin);
	EXPECT_GE(before + 1024, shmem_kib());
}

TEST_HARNESS_MAIN
