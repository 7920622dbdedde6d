/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the selftests share: one function per ioctl, which returns 0 or
 * -errno, and a registry with one manager to work on.
 */
#ifndef KVBM_UTIL_H
#define KVBM_UTIL_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/kvbm.h>

#include "kvbm_long.h"

#define KVBM_DEV	"/dev/kvbm"
/* <sys/mount.h> brings another one, that of <linux/fs.h>. */
#undef BLOCK_SIZE
#define BLOCK_SIZE	16
#define ALL_RIGHTS	(KVBM_BIND_READ | KVBM_BIND_WRITE)

static inline uint64_t ptr(const void *p)
{
	return (uintptr_t)p;
}

/*
 * KVBM_STORM=HZ in the environment: so many signals a second, in every process
 * that a test makes. What the kernel restarts is restarted; what it does not is
 * asked for again here, since nothing was done.
 */
static __thread volatile sig_atomic_t kv_storms;
static bool kv_in_storm;

static inline void kv_storm_signal(int sig)
{
	kv_storms++;
}

/* A timer is the process's own: children need another one. */
static inline void kv_storm_begin(void)
{
	long ns = 1000000000 / atoi(getenv("KVBM_STORM"));
	struct itimerspec often = { { 0, ns }, { 0, ns } };
	struct sigevent event = {
		.sigev_notify = SIGEV_SIGNAL,
		.sigev_signo = SIGRTMAX - 1,
	};
	timer_t timer;

	if (!timer_create(CLOCK_MONOTONIC, &event, &timer))
		timer_settime(timer, 0, &often, NULL);
}

static void __attribute__((constructor)) kv_storm_setup(void)
{
	struct sigaction action = { .sa_handler = kv_storm_signal, .sa_flags = SA_RESTART };

	if (!getenv("KVBM_STORM") || atoi(getenv("KVBM_STORM")) < 2)
		return;
	kv_in_storm = true;
	sigaction(SIGRTMAX - 1, &action, NULL);
	pthread_atfork(NULL, NULL, kv_storm_begin);
	kv_storm_begin();
}

/* A signal for the process may end the wait of one thread, and go to another one. */
static inline int kv(int fd, unsigned long cmd, void *arg)
{
	int err;

	do {
		err = ioctl(fd, cmd, arg) ? -errno : 0;
	} while (err == -EINTR && kv_in_storm);
	return err;
}

static inline int kv_open(void)
{
	return open(KVBM_DEV, O_RDWR | O_CLOEXEC);
}

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* Return: 0 or -errno. */
static inline int kv_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err = -errno;
	close(fd);
	return err;
}

/* Of the module. Return: 0 or -errno. */
static inline int kv_set_parameter(const char *name, const char *value)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/module/kvbm/parameters/%s", name);
	return kv_write_file(path, value);
}

/* The caller, into a control group. Return: 0 or -errno. */
static inline int kv_enter_cgroup(const char *group)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	return kv_write_file(path, "0");
}

/* In a storm all of them would end at once. */
static inline int kv_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	uint64_t end = now_ns() + timeout * 1000000ull;
	int ret, storms;

	for (;;) {
		storms = kv_storms;
		ret = poll(fds, n, timeout);
		if (ret >= 0 || errno != EINTR || storms == kv_storms)
			return ret;
		if (timeout > 0)
			timeout = now_ns() < end ? (int)((end - now_ns()) / 1000000) : 0;
	}
}

static inline void kv_usleep(unsigned int us)
{
	struct timespec left = { us / 1000000, us % 1000000 * 1000 };

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

static inline void kv_pause(void)
{
	int storms;

	do {
		storms = kv_storms;
		pause();
	} while (storms != kv_storms);
}

#define pause()			kv_pause()
#define poll(fds, n, timeout)	kv_poll(fds, n, timeout)
#define usleep(us)		kv_usleep(us)

static inline void registry_init(struct kvbm_registry_create *a, const char *name)
{
	memset(a, 0, sizeof(*a));
	a->size = sizeof(*a);
	snprintf(a->name, sizeof(a->name), "%s", name);
	a->mode = 0660;
	a->uid = KVBM_ID_CALLER;
	a->gid = KVBM_ID_CALLER;
	a->capacity = 1 << 20;
}

static inline void manager_init(struct kvbm_manager_create *a, uint64_t registry,
				const char *name, uint32_t blocks)
{
	memset(a, 0, sizeof(*a));
	a->size = sizeof(*a);
	a->registry = registry;
	snprintf(a->name, sizeof(a->name), "%s", name);
	a->tier = KVBM_TIER_G1;
	a->block_size = BLOCK_SIZE;
	a->block_count = blocks;
	a->policy = KVBM_POLICY_LRU;
	a->mode = 0660;
	a->uid = KVBM_ID_CALLER;
	a->gid = KVBM_ID_CALLER;
	a->linger_ms = KVBM_LINGER_FOREVER;
}

static inline int kv_destroy(int fd, unsigned long cmd, uint64_t id, uint32_t flags)
{
	struct kvbm_destroy a = { .size = sizeof(a), .flags = flags, .id = id };

	return kv(fd, cmd, &a);
}

static inline int kv_bind(int fd, uint64_t id, uint32_t flags)
{
	struct kvbm_bind a = { .size = sizeof(a), .flags = flags, .id = id };

	return kv(fd, KVBM_BIND, &a);
}

/* A new session, or -errno. */
static inline int kv_session(uint64_t manager, uint32_t flags)
{
	int fd = kv_open();
	int err;

	if (fd < 0)
		return -errno;
	err = kv_bind(fd, manager, flags);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

static inline int kv_allocate(int fd, uint32_t n, struct kvbm_token *tokens,
			      struct kvbm_hash *evicted, uint32_t *nr_evicted)
{
	struct kvbm_allocate a = {
		.size = sizeof(a),
		.count = n,
		.tokens = ptr(tokens),
		.evicted = ptr(evicted),
	};
	int err = kv(fd, KVBM_ALLOCATE, &a);

	if (nr_evicted)
		*nr_evicted = a.out_evicted;
	return err;
}

static inline int kv_stage(int fd, uint32_t n, const struct kvbm_token *tokens,
			   const struct kvbm_hash *hashes)
{
	struct kvbm_stage a = {
		.size = sizeof(a),
		.count = n,
		.block_size = BLOCK_SIZE,
		.tokens = ptr(tokens),
		.hashes = ptr(hashes),
	};

	return kv(fd, KVBM_STAGE, &a);
}

static inline int kv_register(int fd, uint32_t n, struct kvbm_token *tokens,
			      uint8_t *kinds)
{
	struct kvbm_register a = {
		.size = sizeof(a),
		.count = n,
		.tokens = ptr(tokens),
		.out_tokens = ptr(tokens),
		.out_kinds = ptr(kinds),
	};

	return kv(fd, KVBM_REGISTER, &a);
}

static inline int kv_match(int fd, uint32_t n, const struct kvbm_hash *hashes,
			   struct kvbm_token *tokens, uint32_t *matched)
{
	struct kvbm_match a = {
		.size = sizeof(a),
		.count = n,
		.hashes = ptr(hashes),
		.tokens = ptr(tokens),
	};
	int err = kv(fd, KVBM_MATCH, &a);

	*matched = a.out_count;
	return err;
}

static inline int kv_release(int fd, uint32_t n, const struct kvbm_token *tokens)
{
	struct kvbm_release a = {
		.size = sizeof(a),
		.count = n,
		.tokens = ptr(tokens),
	};

	return kv(fd, KVBM_RELEASE, &a);
}

static inline int kv_tokens(int fd, unsigned long cmd, uint32_t flags, uint32_t n,
			    const struct kvbm_token *tokens)
{
	struct kvbm_tokens a = {
		.size = sizeof(a),
		.flags = flags,
		.count = n,
		.tokens = ptr(tokens),
	};

	return kv(fd, cmd, &a);
}

static inline int kv_acquire(int fd, uint32_t nr_hashes, uint32_t count,
			     const struct kvbm_hash *h, struct kvbm_token *t,
			     struct kvbm_acquire *a)
{
	memset(a, 0, sizeof(*a));
	a->size = sizeof(*a);
	a->nr_hashes = nr_hashes;
	a->count = count;
	a->hashes = ptr(h);
	a->tokens = ptr(t);
	return kv(fd, KVBM_ACQUIRE, a);
}

/* A new pin, or -errno. */
static inline int kv_pin(int fd, uint32_t flags, uint32_t n,
			 const struct kvbm_token *tokens)
{
	struct kvbm_pin_create a = {
		.size = sizeof(a),
		.flags = flags,
		.count = n,
		.tokens = ptr(tokens),
	};
	int err = kv(fd, KVBM_PIN, &a);

	return err ?: a.out_fd;
}

static inline int kv_epoch(int fd, uint32_t flags, struct kvbm_epoch *out)
{
	struct kvbm_epoch a = { .size = sizeof(a), .flags = flags };
	int err = kv(fd, KVBM_EPOCH, &a);

	if (out)
		*out = a;
	return err;
}

static inline int kv_set_quota(int fd, uint64_t manager, uint32_t kind, uint64_t id,
			       uint64_t blocks)
{
	struct kvbm_quota a = {
		.size = sizeof(a),
		.flags = KVBM_QUOTA_SET,
		.manager = manager,
		.kind = kind,
		.id = id,
		.blocks = blocks,
	};

	return kv(fd, KVBM_QUOTA, &a);
}

/* The next user or group from @id on that has a limit, or holds something. */
static inline int kv_next_quota(int fd, uint64_t manager, uint32_t kind, uint64_t id,
				struct kvbm_quota *out)
{
	*out = (struct kvbm_quota){
		.size = sizeof(*out),
		.flags = KVBM_QUOTA_NEXT,
		.manager = manager,
		.kind = kind,
		.id = id,
	};
	return kv(fd, KVBM_QUOTA, out);
}

/* What is held, or -errno. */
static inline int64_t kv_quota_held(int fd, uint64_t manager, uint32_t kind,
				    uint64_t id)
{
	struct kvbm_quota a = {
		.size = sizeof(a),
		.manager = manager,
		.kind = kind,
		.id = id,
	};
	int err = kv(fd, KVBM_QUOTA, &a);

	return err ?: (int64_t)a.out_held;
}

static inline struct kvbm_segment kv_segment(int fd, uint32_t kind, uint64_t offset,
					     uint64_t stride, uint64_t bytes)
{
	return (struct kvbm_segment){
		.fd = fd,
		.kind = kind,
		.offset = offset,
		.stride = stride,
		.bytes = bytes,
	};
}

static inline int kv_set_backing(int fd, uint64_t manager, uint32_t count,
				 const struct kvbm_segment *segments)
{
	struct kvbm_backing_set a = {
		.size = sizeof(a),
		.manager = manager,
		.segments = ptr(segments),
		.count = count,
	};

	return kv(fd, KVBM_BACKING_SET, &a);
}

/* As the module wants it. */
static inline int kv_memfd(uint64_t bytes)
{
	int fd = memfd_create("kvbm-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0600) || ftruncate(fd, bytes) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK)) {
		close(fd);
		return -errno;
	}
	return fd;
}

/* A descriptor over a socket. */
static inline int kv_send_fd(int to, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	return sendmsg(to, &msg, 0) == 1 ? 0 : -errno;
}

static inline int kv_receive_fd(int from)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t got = recvmsg(from, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c;
	int fd;

	if (got != 1)
		return got ? -errno : -EPIPE;
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return -EBADMSG;
	memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

static inline int kv_counters(int fd, uint64_t id, struct kvbm_counters *out)
{
	struct kvbm_manager_stats a = { .size = sizeof(a), .id = id };
	int err = kv(fd, KVBM_MANAGER_STATS, &a);

	*out = a.out;
	return err;
}

static inline int kv_dump(int fd, uint64_t id, uint32_t start, uint32_t count,
			  struct kvbm_slot_info *slots)
{
	struct kvbm_manager_dump a = {
		.size = sizeof(a),
		.id = id,
		.slots = ptr(slots),
		.start = start,
		.count = count,
	};
	int err = kv(fd, KVBM_MANAGER_DUMP, &a);

	return err ?: (int)a.out_count;
}

/* 0 when the store is sound, the first error it has, or -errno. */
static inline int kv_check(int fd, uint64_t id)
{
	struct kvbm_manager_check a = { .size = sizeof(a), .id = id };
	int err = kv(fd, KVBM_MANAGER_CHECK, &a);

	if (err)
		return err;
	return a.out.errors ? (int)a.out.first_error : 0;
}

/*
 * A valid hash of chain @chain at @position; parents and children belong
 * together.
 */
static inline struct kvbm_hash kv_hash(uint32_t chain, uint32_t position)
{
	uint32_t mode = position < 1u << 8 ? 0 : position < 1u << 16 ? 1 : 2;
	uint32_t bits = 54 - 8 * mode;
	uint64_t salt = (chain + 1) * 0x9e3779b97f4a7c15ull;
	uint64_t current = (position + 1) * 0xbf58476d1ce4e5b9ull ^ salt;
	uint64_t parent = position ? position * 0xbf58476d1ce4e5b9ull ^ salt : 0;
	struct kvbm_hash h;

	h.hi = (uint64_t)mode << 62 | (uint64_t)position << bits |
	       current >> (64 - bits);
	h.lo = current << bits | (parent & ((1ull << bits) - 1));
	return h;
}

static inline void kv_hashes(struct kvbm_hash *h, uint32_t chain, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		h[i] = kv_hash(chain, i);
}

/* Allocate, stage and register a chain; guards stay in @tokens. */
static inline int kv_fill(int fd, uint32_t chain, uint32_t n,
			  struct kvbm_token *tokens)
{
	struct kvbm_hash *hashes = calloc(n, sizeof(*hashes));
	int err;

	if (!hashes)
		return -ENOMEM;
	kv_hashes(hashes, chain, n);
	err = kv_allocate(fd, n, tokens, NULL, NULL);
	if (!err)
		err = kv_stage(fd, n, tokens, hashes);
	if (!err)
		err = kv_register(fd, n, tokens, NULL);
	free(hashes);
	return err;
}

/**
 * struct kv_world - a registry with a manager and a session
 * @fd: control file
 * @session: bound to @manager
 */
struct kv_world {
	int fd;
	int session;
	uint64_t registry;
	uint64_t manager;
};

static inline int kv_world_make(struct kv_world *w, uint32_t blocks, uint32_t dup)
{
	struct kvbm_registry_create r;
	struct kvbm_manager_create m;
	char name[32];
	int err;

	w->fd = kv_open();
	if (w->fd < 0)
		return -errno;
	snprintf(name, sizeof(name), "test-%d", getpid());
	registry_init(&r, name);
	err = kv(w->fd, KVBM_REGISTRY_CREATE, &r);
	if (err)
		return err;
	w->registry = r.out_id;
	manager_init(&m, r.out_id, "m", blocks);
	m.duplication = dup;
	err = kv(w->fd, KVBM_MANAGER_CREATE, &m);
	if (err)
		return err;
	w->manager = m.out_id;
	w->session = kv_session(w->manager, ALL_RIGHTS);
	return w->session < 0 ? w->session : 0;
}

static inline int kv_world_end(struct kv_world *w)
{
	int err;

	close(w->session);
	err = kv_check(w->fd, w->manager);
	if (!err)
		err = kv_destroy(w->fd, KVBM_MANAGER_DESTROY, w->manager, 0);
	if (!err)
		err = kv_destroy(w->fd, KVBM_REGISTRY_DESTROY, w->registry, 0);
	close(w->fd);
	return err;
}

#endif /* KVBM_UTIL_H */
