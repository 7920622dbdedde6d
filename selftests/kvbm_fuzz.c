// SPDX-License-Identifier: GPL-2.0
/*
 * Random ioctls, mostly plausible ones, by several processes of several threads
 * that share descriptors, pass them around, fork, and are killed. Meanwhile and
 * afterwards the check of every store must find nothing, and in the end nothing
 * may be held.
 *
 *	SEED=n RUN_SECONDS=n kvbm_fuzz	the same choices again; for longer
 *	kvbm_fuzz clean			only the end: check and destroy everything
 *
 * What a call looks like comes from kmod/abi_table.h, so a new ioctl is called
 * without a line here; to be called well it needs one in scalars().
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "kvbm_util.h"
#include "kselftest.h"

#include "kvbm_abi_list.h"

#define NR_PROCESSES	3
#define NR_THREADS	2
#define NR_FDS		24
#define NR_IDS		16	/* the last three are made by the first process */
#define NR_TOKENS	256
#define NR_HASHES	64
#define NR_NAMES	6
#define ARENA		(8u << 20)
#define NOBODY		65534

static const char *const parameters[] = {
	"max_bytes", "max_managers", "max_registries", "event_ring",
};

#define NR_PARAMETERS	(sizeof(parameters) / sizeof(*parameters))

/**
 * struct shared - what all processes see
 * @ids: of registries and managers that were made
 * @tokens: that some call returned
 * @calls: ioctls made
 * @done: of each ioctl, those that succeeded
 * @forks: children
 * @passed: descriptors received
 */
struct shared {
	volatile uint64_t ids[NR_IDS];
	volatile uint64_t tokens[NR_TOKENS];
	atomic_uint calls, forks, passed;
	atomic_uint done[NR_CALLS];
};

static struct shared *shared;
static struct kvbm_hash hashes[NR_HASHES];
static int mailbox[2];
static char saved[NR_PARAMETERS][32];
static uint64_t end_ns;

/* Of a process: slots of descriptors, which its threads close under each other. */
static atomic_int fds[NR_FDS];
/* Can be the memory of a manager. */
static int memfd;

/**
 * struct worker - a thread
 * @state: of the random numbers
 * @arena: memory for arrays; what follows it cannot be touched
 * @depth: how many forks it is away from a worker
 */
struct worker {
	uint64_t state;
	char *arena;
	int depth;
};

static uint32_t below(struct worker *me, uint32_t n)
{
	me->state = me->state * 6364136223846793005ull + 1442695040888963407ull;
	return n ? (uint32_t)(me->state >> 33) % n : 0;
}

static bool one_in(struct worker *me, uint32_t n)
{
	return !below(me, n);
}

static uint64_t any_u64(struct worker *me)
{
	static const uint64_t odd[] = { 0, 1, 2, UINT32_MAX, 1ull << 31, 1ull << 32,
					1ull << 63, UINT64_MAX, UINT64_MAX - 7 };

	if (one_in(me, 2))
		return odd[below(me, sizeof(odd) / sizeof(*odd))];
	return (uint64_t)below(me, UINT32_MAX) << 32 | below(me, UINT32_MAX);
}

static uint64_t any_id(struct worker *me)
{
	if (one_in(me, 3))
		return 0;
	return one_in(me, 40) ? any_u64(me) : shared->ids[below(me, NR_IDS)];
}

static int any_fd(struct worker *me)
{
	return one_in(me, 64) ? (int)below(me, 40) - 1 : fds[below(me, NR_FDS)];
}

static void keep_fd(struct worker *me, int fd)
{
	int old = atomic_exchange(&fds[below(me, NR_FDS)], fd);

	if (old >= 0)
		close(old);
}

static void keep_tokens(struct worker *me, const void *at, uint32_t count)
{
	struct kvbm_token t;
	uint64_t value;

	for (; count; count--, at = (const char *)at + sizeof(t)) {
		memcpy(&t, at, sizeof(t));
		memcpy(&value, &t, sizeof(value));
		shared->tokens[below(me, NR_TOKENS)] = value;
		if (one_in(me, 16))
			break;
	}
}

static void put(union arg *arg, unsigned int offset, unsigned int size, uint64_t value)
{
	memcpy(arg->bytes + offset, &value, size);
}

static uint32_t get_u32(const union arg *arg, unsigned int offset)
{
	uint32_t value;

	memcpy(&value, arg->bytes + offset, sizeof(value));
	return value;
}

/* Up to @limit, mostly little. */
static uint64_t any_below(struct worker *me, uint64_t limit)
{
	switch (below(me, 24)) {
	case 0:
		return limit;
	case 1:
		return limit + 1;
	case 2:
		return any_u64(me);
	default:
		return below(me, limit < 64 ? limit + 1 : 64);
	}
}

static char *any_memory(struct worker *me)
{
	static const uint64_t bad[] = { 0, 8, 1ull << 63, UINT64_MAX - 15, 1ull << 47 };

	if (one_in(me, 48))
		return (char *)(uintptr_t)bad[below(me, sizeof(bad) / sizeof(*bad))];
	if (one_in(me, 48))
		return me->arena + ARENA - below(me, 512);
	return me->arena + 8 * below(me, 4096);
}

/* States of the blocks whose tokens a call takes. */
static uint32_t wanted_states(unsigned long cmd)
{
	switch (cmd) {
	case KVBM_STAGE:
	case KVBM_STAGE_REGISTER:
		return 1u << KVBM_STATE_MUTABLE;
	case KVBM_REGISTER:
	case KVBM_UNSTAGE:
		return 1u << KVBM_STATE_STAGED;
	case KVBM_RELEASE:
		return UINT32_MAX;
	default:
		return 1u << KVBM_STATE_PRIMARY | 1u << KVBM_STATE_DUPLICATE;
	}
}

/* Up to @max tokens that a call on @fd can take. */
static uint32_t own_tokens(int fd, unsigned long cmd, struct kvbm_token *t, uint32_t max)
{
	struct kvbm_held held[64];
	struct kvbm_holdings h = { .size = sizeof(h), .count = 64, .held = ptr(held) };
	uint32_t i, n = 0;

	if (kv(fd, KVBM_HOLDINGS, &h))
		return 0;
	for (i = 0; i < h.out_count && n < max; i++)
		if (wanted_states(cmd) >> held[i].state & 1)
			t[n++] = held[i].token;
	return n;
}

/* An array that is read, with what its name says. */
static void fill(struct worker *me, const struct kvbm_abi_field *f, char *at, uint32_t count)
{
	uint32_t i, first = below(me, NR_HASHES);

	if (at < me->arena || at > me->arena + ARENA / 2)
		return;
	if (count > 4096)
		count = 4096;
	for (i = 0; i < count; i++) {
		if (!strcmp(f->name, "tokens")) {
			uint64_t t = one_in(me, 64) ? any_u64(me) :
				     shared->tokens[below(me, NR_TOKENS)];

			memcpy(at + 8 * i, &t, sizeof(t));
		} else if (!strcmp(f->name, "hashes")) {
			/* Mostly chains. */
			if (one_in(me, 16))
				first = below(me, NR_HASHES);
			memcpy(at + 16 * i, &hashes[(first + i) % NR_HASHES], 16);
			if (one_in(me, 200))
				at[16 * i + below(me, 16)] ^= 1u << below(me, 8);
		} else if (!strcmp(f->name, "managers")) {
			uint64_t id = any_id(me);

			memcpy(at + 8 * i, &id, sizeof(id));
		} else if (!strcmp(f->name, "segments")) {
			struct kvbm_segment s =
				kv_segment(one_in(me, 8) ? any_fd(me) : memfd,
					   one_in(me, 8) ? below(me, 7) : KVBM_BACKING_MEMFD,
					   4096 * below(me, 3), 4096,
					   one_in(me, 9) ? any_u64(me) : 1024);

			memcpy(at + sizeof(s) * i, &s, sizeof(s));
		}
	}
}

static void any_name(struct worker *me, char *name)
{
	if (one_in(me, 32))
		memset(name, below(me, 256), KVBM_NAME_SIZE);
	else
		snprintf(name, KVBM_NAME_SIZE, "fuzz-%u", below(me, NR_NAMES));
}

static uint64_t any_deadline(struct worker *me)
{
	switch (below(me, 8)) {
	case 0:
		return UINT64_MAX;
	case 1:
		return now_ns() + below(me, 5000000);
	case 2:
		return below(me, 1000);
	default:
		return 0;
	}
}

/* What the table has no rules about. */
static void scalars(struct worker *me, const struct call *call, union arg *arg)
{
	struct kvbm_registry_create *r = (void *)arg;
	struct kvbm_manager_create *m = (void *)arg;

	switch (call->cmd) {
	case KVBM_REGISTRY_CREATE:
		any_name(me, r->name);
		r->mode = 0666;
		r->uid = KVBM_ID_CALLER;
		r->gid = KVBM_ID_CALLER;
		r->capacity = one_in(me, 8) ? any_below(me, KVBM_MAX_BLOCKS) : 4096;
		r->sketch_capacity = one_in(me, 2) ? 0 : any_below(me, 4096);
		break;
	case KVBM_MANAGER_CREATE:
		m->registry = any_id(me);
		any_name(me, m->name);
		m->tier = 1 + below(me, 4);
		m->block_size = one_in(me, 16) ? any_below(me, 1024) : BLOCK_SIZE;
		m->block_count = one_in(me, 8) ? 1 + any_below(me, 2000) : 1 + below(me, 60);
		m->nr_reserved = one_in(me, 4) ? below(me, m->block_count + 1) : 0;
		m->aux_size = one_in(me, 2) ? 8 : any_below(me, 64);
		m->mode = 0666;
		m->uid = KVBM_ID_CALLER;
		m->gid = KVBM_ID_CALLER;
		m->linger_ms = one_in(me, 2) ? KVBM_LINGER_FOREVER : below(me, 20);
		if (one_in(me, 2))
			m->bind_flags = 0;
		if (m->flags & KVBM_MANAGER_ANONYMOUS && !one_in(me, 8)) {
			memset(m->name, 0, sizeof(m->name));
			m->linger_ms = 0;
			m->bind_flags |= ALL_RIGHTS;
		}
		break;
	case KVBM_REGISTRY_QUERY:
		((struct kvbm_registry_query *)arg)->id = any_id(me);
		any_name(me, ((struct kvbm_registry_query *)arg)->name);
		break;
	case KVBM_MANAGER_QUERY:
		((struct kvbm_manager_query *)arg)->id = any_id(me);
		((struct kvbm_manager_query *)arg)->registry = any_id(me);
		any_name(me, ((struct kvbm_manager_query *)arg)->name);
		break;
	case KVBM_REGISTRY_LIST:
	case KVBM_MANAGER_LIST:
		((struct kvbm_list *)arg)->after = any_id(me);
		break;
	case KVBM_BIND:
		((struct kvbm_bind *)arg)->id = any_id(me);
		if (one_in(me, 2))
			((struct kvbm_bind *)arg)->flags |= ALL_RIGHTS;
		break;
	case KVBM_REGISTRY_DESTROY:
	case KVBM_MANAGER_DESTROY:
		/* Seldom: there would be nothing left to work on. */
		((struct kvbm_destroy *)arg)->id = one_in(me, 8) ? any_id(me) : 1ull << 40;
		break;
	case KVBM_SESSION_OPEN:
		if (one_in(me, 2))
			((struct kvbm_session_open *)arg)->flags |= ALL_RIGHTS;
		break;
	case KVBM_MANAGER_STATS:
	case KVBM_MANAGER_CHECK:
	case KVBM_MANAGER_DUMP:
	case KVBM_MANAGER_SESSIONS:
	case KVBM_PRESENCE:
	case KVBM_FREQUENCY:
	case KVBM_EVENTS_OPEN:
	case KVBM_EVENTS_DUMP:
	case KVBM_BACKING_SET:
	case KVBM_BACKING_GET:
	case KVBM_QUOTA:
	case KVBM_EPOCH:
		/* All of them begin like this. */
		((struct kvbm_manager_dump *)arg)->id = any_id(me);
		break;
	case KVBM_ATTACH:
	case KVBM_ATTACHMENTS:
		((struct kvbm_attach *)arg)->registry = any_id(me);
		((struct kvbm_attach *)arg)->hash = hashes[below(me, NR_HASHES)];
		((struct kvbm_attach *)arg)->type = 1 + below(me, 3);
		break;
	case KVBM_ALLOCATE:
		((struct kvbm_allocate *)arg)->deadline_ns = any_deadline(me);
		break;
	case KVBM_ACQUIRE:
		((struct kvbm_acquire *)arg)->deadline_ns = any_deadline(me);
		if (!one_in(me, 8))
			((struct kvbm_acquire *)arg)->nr_hashes =
				below(me, ((struct kvbm_acquire *)arg)->count + 1);
		break;
	case KVBM_STAGE:
	case KVBM_STAGE_REGISTER:
		/* In the same place in both. */
		((struct kvbm_stage *)arg)->block_size = one_in(me, 32) ? below(me, 64) :
								       BLOCK_SIZE;
		break;
	case KVBM_RELEASE:
		if (!one_in(me, 8))
			((struct kvbm_release *)arg)->hint_log2_ms = 0;
		break;
	case KVBM_SET_THRESHOLD:
		((struct kvbm_set_threshold *)arg)->blocks = below(me, 70);
		break;
	default:
		break;
	}
	if (call->cmd == KVBM_PRESENCE && one_in(me, 2))
		((struct kvbm_presence *)arg)->nr_managers = 0;
	if (call->cmd == KVBM_BACKING_SET)
		((struct kvbm_backing_set *)arg)->count = 1 + below(me, 3);
	if (call->cmd == KVBM_EPOCH && !one_in(me, 16))
		((struct kvbm_epoch *)arg)->flags = 0;
	if (call->cmd == KVBM_QUOTA) {
		((struct kvbm_quota *)arg)->id = one_in(me, 2) ? 0 : any_u64(me);
		((struct kvbm_quota *)arg)->blocks =
			one_in(me, 2) ? KVBM_QUOTA_NONE : below(me, 100);
	}
}

static void arrays(struct worker *me, const struct call *call, union arg *arg, int fd)
{
	struct kvbm_token mine[4];
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < call->nr_fields; i++) {
		const struct kvbm_abi_field *f = &call->fields[i];
		char *at;

		if (f->kind != KVBM_FIELD_IN && f->kind != KVBM_FIELD_OUT)
			continue;
		at = f->optional && one_in(me, 2) ? NULL : any_memory(me);
		put(arg, f->offset, f->size, (uintptr_t)at);
		if (!at || f->kind != KVBM_FIELD_IN)
			continue;
		fill(me, f, at, get_u32(arg, f->count));
		/* Mostly what the session really holds. */
		if (strcmp(f->name, "tokens") || one_in(me, 5) || at < me->arena ||
		    at > me->arena + ARENA / 2)
			continue;
		n = own_tokens(fd, call->cmd, mine, 1 + below(me, 4));
		if (n) {
			put(arg, f->count, 4, n);
			memcpy(at, mine, n * sizeof(*mine));
		}
	}
}

static void compose(struct worker *me, const struct call *call, union arg *arg, int fd)
{
	size_t i;

	memset(arg, 0, sizeof(*arg));
	for (i = 0; i < call->nr_fields; i++) {
		const struct kvbm_abi_field *f = &call->fields[i];

		switch (f->kind) {
		case KVBM_FIELD_FLAGS:
			if (one_in(me, 3))
				put(arg, f->offset, f->size,
				    below(me, UINT32_MAX) & f->limit);
			if (one_in(me, 64))
				put(arg, f->offset, f->size, any_u64(me));
			break;
		case KVBM_FIELD_MAX:
			put(arg, f->offset, f->size, any_below(me, f->limit));
			break;
		case KVBM_FIELD_ZERO:
		case KVBM_FIELD_UNBUILT:
			if (one_in(me, 96))
				put(arg, f->offset, f->size, any_u64(me));
			break;
		case KVBM_FIELD_IN:
		case KVBM_FIELD_OUT:
			/* Also those without a limit. */
			if (!get_u32(arg, f->count) && !one_in(me, 8))
				put(arg, f->count, 4, any_below(me, 40));
			break;
		default:
			break;
		}
	}
	scalars(me, call, arg);
	arrays(me, call, arg, fd);
	arg->size = call->size;
	if (one_in(me, 32))
		arg->size = any_below(me, 2 * call->size);
	if (one_in(me, 64))
		arg->bytes[below(me, call->size)] ^= 1u << below(me, 8);
}

static void harvest(struct worker *me, const struct call *call, const union arg *arg)
{
	size_t i;

	for (i = 0; i < call->nr_fields; i++) {
		const struct kvbm_abi_field *f = &call->fields[i];
		const char *tail = strstr(f->name, "tokens");
		uint32_t count = get_u32(arg, f->count);
		uintptr_t at;

		if (f->kind != KVBM_FIELD_OUT || !tail)
			continue;
		memcpy(&at, arg->bytes + f->offset, sizeof(at));
		if (at >= (uintptr_t)me->arena && count < 4096 &&
		    at + 8 * count <= (uintptr_t)me->arena + ARENA)
			keep_tokens(me, (void *)at, count);
	}
	switch (call->cmd) {
	case KVBM_REGISTRY_CREATE:
		shared->ids[below(me, NR_IDS - 3)] = ((struct kvbm_registry_create *)arg)->out_id;
		break;
	case KVBM_MANAGER_CREATE:
		shared->ids[below(me, NR_IDS - 3)] = ((struct kvbm_manager_create *)arg)->out_id;
		break;
	case KVBM_SESSION_OPEN:
		keep_fd(me, ((struct kvbm_session_open *)arg)->out_fd);
		break;
	case KVBM_EVENTS_OPEN:
		keep_fd(me, ((struct kvbm_events_open *)arg)->out_fd);
		break;
	case KVBM_PIN:
		keep_fd(me, ((struct kvbm_pin_create *)arg)->out_fd);
		break;
	case KVBM_BACKING_GET:
		/* Read only what the call has certainly written. */
		if (((struct kvbm_backing_get *)arg)->flags & KVBM_BACKING_FDS) {
			struct kvbm_segment *s =
				(void *)(uintptr_t)((struct kvbm_backing_get *)arg)->segments;

			for (i = 0; i < ((struct kvbm_backing_get *)arg)->out_count; i++)
				if (s[i].fd > 2)
					close(s[i].fd);
		}
		break;
	default:
		break;
	}
}

static void call_one(struct worker *me)
{
	/* Half of the calls are those of sessions. */
	size_t c = below(me, NR_CALLS);
	int fd = any_fd(me);
	union arg arg;

	if (one_in(me, 2))
		while (!(calls[c].needs & KVBM_ABI_SESSION))
			c = below(me, NR_CALLS);
	compose(me, &calls[c], &arg, fd);
	shared->calls++;
	if (!kv(fd, calls[c].cmd, &arg)) {
		shared->done[c]++;
		harvest(me, &calls[c], &arg);
	}
}

static void write_parameter(size_t i, const char *text)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "/sys/module/kvbm/parameters/%s", parameters[i]);
	fd = open(name, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		errno = 0;
	close(fd);
}

/* Whatever is waited for, nobody else ends it. */
static void die_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
}

static void steps(struct worker *me, uint64_t n);

static void fork_one(struct worker *me)
{
	struct worker child = *me;
	pid_t parent = getpid();

	below(me, 1);
	if (me->depth || fork())
		return;
	die_with(parent);
	child.depth++;
	shared->forks++;
	steps(&child, 1 + below(&child, 60));
	if (one_in(&child, 2))
		raise(SIGKILL);
	_exit(0);
}

static void look(struct worker *me)
{
	struct pollfd p = { .fd = any_fd(me), .events = POLLIN | POLLOUT };
	char name[96];
	int fd;

	poll(&p, 1, below(me, 3));
	if (one_in(me, 2)) {
		/* Only event files can be read; those wait, and a signal ends it. */
		if (read(p.fd, me->arena, below(me, 2 * KVBM_EVENT_MAX_SIZE)) < 0)
			errno = 0;
		return;
	}
	snprintf(name, sizeof(name), "/sys/class/kvbm/fuzz-%u:fuzz-%u/%s", below(me, NR_NAMES),
		 below(me, NR_NAMES), one_in(me, 2) ? "counters/evictions" : "gauges/sessions");
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, me->arena, 4096) < 0)
		errno = 0;
	if (fd >= 0)
		close(fd);
}

static void step(struct worker *me)
{
	int fd;

	switch (below(me, 100)) {
	case 0 ... 1:
		keep_fd(me, kv_open());
		break;
	case 2:
		fd = dup(any_fd(me));
		if (fd >= 0)
			keep_fd(me, fd);
		break;
	case 3:
		kv_send_fd(mailbox[0], any_fd(me));
		break;
	case 4:
		fd = kv_receive_fd(mailbox[1]);
		if (fd >= 0) {
			shared->passed++;
			keep_fd(me, fd);
		}
		break;
	case 5 ... 7:
		look(me);
		break;
	case 8:
		if (one_in(me, 8))
			fork_one(me);
		break;
	case 9:
		if (one_in(me, 16)) {
			size_t i = below(me, NR_PARAMETERS);
			char text[32];

			snprintf(text, sizeof(text), "%u", 1u << below(me, 24));
			write_parameter(i, text);
			write_parameter(i, saved[i]);
		}
		break;
	default:
		call_one(me);
		break;
	}
}

static void steps(struct worker *me, uint64_t n)
{
	while (n-- && now_ns() < end_ns)
		step(me);
}

static void *thread(void *arg)
{
	steps(arg, UINT64_MAX);
	return NULL;
}

static void nothing(int sig)
{
}

static void make_worker(struct worker *me, uint64_t seed)
{
	me->state = seed;
	me->depth = 0;
	me->arena = mmap(NULL, ARENA + 4096, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	mprotect(me->arena + ARENA, 4096, PROT_NONE);
}

/* Some are bound already, so that a slow machine gets somewhere. */
static int first_fd(unsigned int i)
{
	int fd = kv_open();

	if (i % 2)
		kv_bind(fd, shared->ids[NR_IDS - 1 - i % 4 / 2], ALL_RIGHTS);
	return fd;
}

/* A process that works until it is told to end, or killed. */
static void process(uint64_t seed, pid_t parent)
{
	/* What waits is interrupted; not restarted. */
	struct sigaction sa = { .sa_handler = nothing };
	struct itimerval often = { { 0, 7000 }, { 0, 7000 } };
	static struct worker workers[NR_THREADS];
	pthread_t t;
	int i;

	signal(SIGCHLD, SIG_IGN);
	sigaction(SIGALRM, &sa, NULL);
	memfd = kv_memfd(4096 * 2048);
	for (i = 0; i < NR_FDS; i++)
		fds[i] = i < NR_FDS / 2 ? first_fd(i) : -1;
	/* One in four is nobody in particular. */
	if (seed % 4 == 3 && (setgid(NOBODY) || setuid(NOBODY)))
		_exit(1);
	/* Forgotten when a process becomes another user. */
	die_with(parent);
	setitimer(ITIMER_REAL, &often, NULL);
	for (i = 0; i < NR_THREADS; i++) {
		make_worker(&workers[i], seed + 1000 * i);
		if (i)
			pthread_create(&t, NULL, thread, &workers[i]);
	}
	thread(&workers[0]);
	_exit(0);
}

static pid_t spawn(uint64_t seed, unsigned int number)
{
	pid_t parent = getpid(), pid = fork();

	if (!pid)
		process(seed * 1000003 + number, parent);
	return pid;
}

/* Something to begin with, whenever it has gone. */
static void top_up(int fd)
{
	struct kvbm_registry_create r;
	struct kvbm_manager_create m;
	struct kvbm_counters c;
	uint32_t i;

	registry_init(&r, "fuzz-0");
	r.mode = 0666;
	r.capacity = 4096;
	r.sketch_capacity = 64;
	if (!kv(fd, KVBM_REGISTRY_CREATE, &r))
		shared->ids[NR_IDS - 3] = r.out_id;
	for (i = 1; i < 3; i++) {
		if (!kv_counters(fd, shared->ids[NR_IDS - i], &c))
			continue;
		manager_init(&m, shared->ids[NR_IDS - 3], i == 1 ? "fuzz-1" : "fuzz-2", 40);
		m.mode = 0666;
		m.aux_size = 8;
		m.policy = i == 1 ? KVBM_POLICY_LRU : KVBM_POLICY_LINEAGE_TICK;
		if (!kv(fd, KVBM_MANAGER_CREATE, &m))
			shared->ids[NR_IDS - i] = m.out_id;
	}
}

/* Errors that the checks of all managers find; with @last they go, too. */
static unsigned int check_all(int fd, bool last)
{
	uint64_t ids[256];
	struct kvbm_list a = { .size = sizeof(a), .ids = ptr(ids), .count = 256 };
	unsigned int errors = 0, i, n;

	kv(fd, KVBM_MANAGER_LIST, &a);
	for (i = 0; i < a.out_count; i++) {
		struct kvbm_counters c = { 0 };
		int found = kv_check(fd, ids[i]);

		if (found && found != -ENOENT) {
			ksft_print_msg("manager %llu: check says %d\n",
				       (unsigned long long)ids[i], found);
			errors++;
		}
		if (!last)
			continue;
		kv_counters(fd, ids[i], &c);
		if (c.inflight_mutable || c.inflight_immutable || c.states[KVBM_STATE_MUTABLE] ||
		    c.states[KVBM_STATE_STAGED] || c.states[KVBM_STATE_PRIMARY]) {
			ksft_print_msg("manager %llu: something is held\n",
				       (unsigned long long)ids[i]);
			errors++;
		}
		found = kv_destroy(fd, KVBM_MANAGER_DESTROY, ids[i], 0);
		if (found && found != -ENOENT) {
			ksft_print_msg("manager %llu: destroy says %d\n",
				       (unsigned long long)ids[i], found);
			errors++;
		}
	}
	n = a.out_count;
	if (last) {
		a = (struct kvbm_list){ .size = sizeof(a), .ids = ptr(ids), .count = 256 };
		kv(fd, KVBM_REGISTRY_LIST, &a);
		for (i = 0; i < a.out_count; i++)
			errors += !!kv_destroy(fd, KVBM_REGISTRY_DESTROY, ids[i], 0);
		ksft_print_msg("%u managers and %u registries were left\n", n, a.out_count);
	}
	return errors;
}

static void read_parameters(void)
{
	char name[64];
	size_t i;
	int fd;

	for (i = 0; i < NR_PARAMETERS; i++) {
		snprintf(name, sizeof(name), "/sys/module/kvbm/parameters/%s", parameters[i]);
		fd = open(name, O_RDONLY);
		if (fd < 0 || read(fd, saved[i], sizeof(saved[i]) - 1) < 0)
			ksft_exit_skip("cannot read %s\n", name);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	const char *usual = getenv("KVBM_LONG") ? "300" : sizeof(long) == 4 ? "3" : "5";
	const char *seconds = getenv("RUN_SECONDS") ?: usual;
	unsigned int spawned = 0, errors = 0, reached = 0, kills = 0, seen = 0, i;
	char original[32];
	uint64_t seed;
	pid_t pids[NR_PROCESSES];
	struct worker me = { 0 };
	int fd;

	ksft_print_header();
	fd = kv_open();
	if (fd < 0)
		ksft_exit_skip("no " KVBM_DEV "\n");
	if (getuid())
		ksft_exit_skip("not root\n");
	/* For kvbm_reload.sh. */
	if (argc > 1)
		return check_all(fd, true) ? KSFT_FAIL : KSFT_PASS;
	ksft_set_plan(3);
	if (getenv("SEED"))
		seed = strtoull(getenv("SEED"), NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = time(NULL);
	seed &= 0xffffffff;
	ksft_print_msg("SEED=%llu\n", (unsigned long long)seed);

	read_parameters();
	memcpy(original, saved[0], sizeof(original));
	snprintf(saved[0], sizeof(saved[0]), "%u", 64u << 20);
	write_parameter(0, saved[0]);
	for (i = 0; i < NR_HASHES; i++)
		hashes[i] = kv_hash(i / 16, i % 16);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, mailbox))
		ksft_exit_fail_msg("no sockets\n");
	prctl(PR_SET_CHILD_SUBREAPER, 1);

	me.state = seed;
	end_ns = now_ns() + strtoull(seconds, NULL, 0) * 1000000000;
	top_up(fd);
	for (i = 0; i < NR_PROCESSES; i++)
		pids[i] = spawn(seed, spawned++);
	while (now_ns() < end_ns) {
		usleep(50000 + below(&me, 400000));
		errors += check_all(fd, false);
		top_up(fd);
		/* On a slow machine nobody would get far otherwise. */
		if (shared->calls - seen < 500)
			continue;
		seen = shared->calls;
		/* One is killed, wherever it is. */
		i = below(&me, NR_PROCESSES);
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
		kills++;
		pids[i] = spawn(seed, spawned++);
	}
	for (i = 0; i < NR_PROCESSES; i++)
		kill(pids[i], SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	/* Descriptors on their way are held by the sockets. */
	close(mailbox[0]);
	close(mailbox[1]);
	/* Lingering managers end, and files on their way are closed by a worker. */
	usleep(500000);
	ksft_test_result(!errors, "stores are sound while processes work and die\n");

	errors = check_all(fd, true);
	memcpy(saved[0], original, sizeof(original));
	for (i = 0; i < NR_PARAMETERS; i++)
		write_parameter(i, saved[i]);
	ksft_test_result(!errors, "in the end they are sound, and nothing is held\n");
	for (i = 0; i < NR_CALLS; i++) {
		reached += !!shared->done[i];
		if (!shared->done[i])
			ksft_print_msg("%s has never succeeded\n", calls[i].name);
	}
	ksft_print_msg("%s s, %u calls, %u of %zu ioctls succeeded, %u kills,\n",
		       seconds, shared->calls, reached, NR_CALLS, kills);
	ksft_print_msg("%u forks, %u descriptors received\n", shared->forks,
		       shared->passed);
	/* Otherwise it is not fuzzing what it says; given the time. */
	ksft_test_result(4 * reached >= 3 * NR_CALLS || shared->calls < 20000,
			 "most ioctls are reached\n");
	ksft_finished();
}
