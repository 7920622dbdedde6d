// SPDX-License-Identifier: GPL-2.0
/*
 * Event files: what they tell, in which order, what is lost, and who may read.
 */
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kvbm_trap.h"
#include "kvbm_util.h"
#include "kselftest_harness.h"

#define BLOCKS		64
#define RECORD		sizeof(struct kvbm_event_record)
#define RING_MIN	16384

FIXTURE(events)
{
	struct kv_world w;
	struct kvbm_token t[BLOCKS];
	char buf[1 << 16] __attribute__((__aligned__(8)));
	ssize_t have, at;
};

FIXTURE_SETUP(events)
{
	self->have = 0;
	self->at = 0;
	ASSERT_EQ(0, kv_world_make(&self->w, BLOCKS, KVBM_DUP_ALLOW));
}

FIXTURE_TEARDOWN(events)
{
	EXPECT_EQ(0, kv_world_end(&self->w));
}

static int events_open(int fd, uint64_t registry, uint32_t flags, uint64_t *next)
{
	struct kvbm_events_open a = {
		.size = sizeof(a),
		.flags = flags,
		.registry = registry,
	};
	int err = kv(fd, KVBM_EVENTS_OPEN, &a);

	if (next)
		*next = a.out_next;
	return err ?: a.out_fd;
}

static struct kvbm_event_stats event_stats(struct kv_world *w)
{
	struct kvbm_registry_query q = { .size = sizeof(q), .id = w->registry };

	kv(w->fd, KVBM_REGISTRY_QUERY, &q);
	return q.out_events;
}

static int set_parameter(const char *name, unsigned long value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", value);
	return kv_set_parameter(name, text);
}

/* The next record, or NULL when there is none now. */
static const struct kvbm_event_record *next_of(struct _test_data_events *self, int fd)
{
	const struct kvbm_event_record *r;

	if (self->at == self->have) {
		self->have = read(fd, self->buf, sizeof(self->buf));
		self->at = 0;
		if (self->have <= 0) {
			self->have = 0;
			return NULL;
		}
	}
	r = (void *)(self->buf + self->at);
	self->at += r->size;
	return r;
}

/* Allocate and register one block with a hash, and release it. */
static int churn(int s, uint32_t chain, uint32_t position)
{
	struct kvbm_hash h = kv_hash(chain, position);
	struct kvbm_token t;
	int err;

	err = kv_allocate(s, 1, &t, NULL, NULL);
	if (!err)
		err = kv_stage(s, 1, &t, &h);
	if (!err)
		err = kv_register(s, 1, &t, NULL);
	return err ?: kv_release(s, 1, &t);
}

static int drain(int s)
{
	struct kvbm_drain a = { .size = sizeof(a) };

	return kv(s, KVBM_DRAIN, &a);
}

#define EXPECT_EVENT(fd, what, with) ({					\
	const struct kvbm_event_record *r_ = next_of(self, fd);		\
									\
	ASSERT_NE(NULL, r_);						\
	EXPECT_EQ(KVBM_EVENT_##what, r_->type);				\
	EXPECT_EQ(with, r_->flags);					\
	r_;								\
})

TEST_F(events, order)
{
	const struct kvbm_event_record *r;
	struct kvbm_hash h;
	uint64_t next, time = 0;
	unsigned int i, stored = 0, removed = 0;
	bool present[100] = { false };
	int fd;

	fd = events_open(self->w.fd, self->w.registry, KVBM_EVENTS_NONBLOCK, &next);
	ASSERT_LE(0, fd);
	/* More than there are blocks: evictions, too. */
	for (i = 0; i < 100; i++)
		ASSERT_EQ(0, churn(self->w.session, 1, i));
	for (i = 0; i < 30; i++)
		ASSERT_EQ(0, churn(self->w.session, 1, i));
	while ((r = next_of(self, fd))) {
		ASSERT_EQ(RECORD, r->size);
		EXPECT_EQ(next++, r->sequence);
		EXPECT_EQ(KVBM_EVENT_VERSION, r->version);
		EXPECT_EQ(KVBM_TIER_G1, r->tier);
		EXPECT_EQ(self->w.manager, r->manager);
		EXPECT_EQ(16, r->hash_size);
		EXPECT_GT(BLOCKS, r->block);
		EXPECT_NE(0, r->gen);
		EXPECT_EQ(0, r->aux_size);
		EXPECT_LE(time, r->time_ns);
		EXPECT_GE(now_ns(), r->time_ns);
		time = r->time_ns;
		for (i = 0; i < 100; i++) {
			h = kv_hash(1, i);
			if (!memcmp(&h, &r->hash, sizeof(h)))
				break;
		}
		ASSERT_GT(100, i);
		if (r->type == KVBM_EVENT_STORED) {
			EXPECT_FALSE(present[i]);
			EXPECT_EQ(KVBM_EVENT_FIRST, r->flags);
			present[i] = true;
			stored++;
		} else {
			EXPECT_EQ(KVBM_EVENT_REMOVED, r->type);
			EXPECT_EQ(KVBM_EVENT_LAST, r->flags);
			EXPECT_TRUE(present[i]);
			present[i] = false;
			removed++;
		}
	}
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(130, stored);
	EXPECT_EQ(130 - BLOCKS, removed);
	EXPECT_EQ(next, event_stats(&self->w).next);
	close(fd);
	EXPECT_EQ(0, event_stats(&self->w).listeners);
	EXPECT_EQ(0, event_stats(&self->w).ring_bytes);
}

/* Nobody listens: nothing is recorded, and that shows afterwards. */
TEST_F(events, unheard)
{
	struct kvbm_event_stats before = event_stats(&self->w);
	uint64_t next;
	int fd;

	EXPECT_EQ(0, before.ring_bytes);
	ASSERT_EQ(0, churn(self->w.session, 1, 0));
	EXPECT_EQ(before.next, event_stats(&self->w).next);
	fd = events_open(self->w.fd, self->w.registry, KVBM_EVENTS_NONBLOCK, &next);
	ASSERT_LE(0, fd);
	EXPECT_EQ(before.next + 1, next);
	EXPECT_EQ(before.unheard + 1, event_stats(&self->w).unheard);
	EXPECT_EQ(NULL, next_of(self, fd));
	close(fd);
}

/* Who never reads costs nobody anything, and finds out how much was lost. */
TEST_F(events, overrun)
{
	unsigned int i, n = 0, files = 4, total = 3000;
	const struct kvbm_event_record *r;
	struct kvbm_event_stats stats;
	uint64_t first, sequence = 0;
	int fd[4];

	if (set_parameter("event_ring", 1))
		SKIP(return, "needs root, for a small ring");
	for (i = 0; i < files; i++) {
		fd[i] = events_open(self->w.fd, self->w.registry,
				    KVBM_EVENTS_NONBLOCK, &first);
		ASSERT_LE(0, fd[i]);
	}
	EXPECT_EQ(RING_MIN, event_stats(&self->w).ring_bytes);
	EXPECT_EQ(files, event_stats(&self->w).listeners);
	for (i = 0; i < total; i++)
		ASSERT_EQ(0, churn(self->w.session, 2, i));
	stats = event_stats(&self->w);
	EXPECT_EQ(first + 2 * total - BLOCKS, stats.next);
	EXPECT_EQ(RING_MIN, stats.ring_bytes);
	/* Nobody has missed anything that has not looked. */
	EXPECT_EQ(0, stats.dropped);
	while ((r = next_of(self, fd[0]))) {
		if (n++)
			EXPECT_EQ(sequence + 1, r->sequence);
		sequence = r->sequence;
	}
	EXPECT_EQ(RING_MIN / RECORD, n);
	EXPECT_EQ(stats.next - 1, sequence);
	stats = event_stats(&self->w);
	EXPECT_EQ(stats.next - first - n, stats.dropped);
	for (i = 0; i < files; i++)
		close(fd[i]);
	EXPECT_EQ(0, set_parameter("event_ring", 1 << 20));
}

TEST_F(events, poll)
{
	struct pollfd p = { .events = POLLIN };

	p.fd = events_open(self->w.fd, self->w.registry, KVBM_EVENTS_NONBLOCK, NULL);
	ASSERT_LE(0, p.fd);
	EXPECT_EQ(0, poll(&p, 1, 0));
	ASSERT_EQ(0, churn(self->w.session, 1, 0));
	EXPECT_EQ(1, poll(&p, 1, 0));
	EXPECT_EQ(POLLIN, p.revents);
	EXPECT_EVENT(p.fd, STORED, KVBM_EVENT_FIRST);
	EXPECT_EQ(0, poll(&p, 1, 0));
	EXPECT_EQ(-1, write(p.fd, "x", 1));
	close(p.fd);
}

struct wait {
	int fd;
	ssize_t got;
	int err;
	char buf[4096];
};

static void *wait_for_event(void *arg)
{
	struct wait *w = arg;

	w->got = read(w->fd, w->buf, sizeof(w->buf));
	w->err = errno;
	return NULL;
}

static void ignore(int signal)
{
	(void)signal;
}

TEST_F(events, blocking)
{
	struct sigaction action = { .sa_handler = ignore };
	struct wait w = { .got = -2 };
	pthread_t thread;

	w.fd = events_open(self->w.fd, self->w.registry, 0, NULL);
	ASSERT_LE(0, w.fd);
	ASSERT_EQ(0, pthread_create(&thread, NULL, wait_for_event, &w));
	usleep(20000);
	ASSERT_EQ(0, churn(self->w.session, 1, 0));
	pthread_join(thread, NULL);
	EXPECT_EQ(RECORD, w.got);
	/* A signal, without SA_RESTART. */
	sigaction(SIGUSR1, &action, NULL);
	w.got = -2;
	ASSERT_EQ(0, pthread_create(&thread, NULL, wait_for_event, &w));
	while (__atomic_load_n(&w.got, __ATOMIC_RELAXED) == -2) {
		pthread_kill(thread, SIGUSR1);
		usleep(1000);
	}
	pthread_join(thread, NULL);
	EXPECT_EQ(-1, w.got);
	EXPECT_EQ(EINTR, w.err);
	close(w.fd);
}

/* One who reads in a thread of its own. */
struct reader {
	int fd;
	char *to;
	size_t size;
	ssize_t got;
	int err;
	pthread_t thread;
};

static void *read_events(void *arg)
{
	struct reader *r = arg;
	ssize_t got = read(r->fd, r->to, r->size);

	r->err = errno;
	__atomic_store_n(&r->got, got, __ATOMIC_RELEASE);
	return NULL;
}

static int reader_start(struct reader *r, int fd, char *to, size_t size)
{
	*r = (struct reader){ .fd = fd, .to = to, .size = size, .got = -2 };
	return pthread_create(&r->thread, NULL, read_events, r);
}

/* Signals, until it has come back. */
static void reader_interrupt(struct reader *r)
{
	while (__atomic_load_n(&r->got, __ATOMIC_ACQUIRE) == -2) {
		pthread_kill(r->thread, SIGUSR1);
		usleep(1000);
	}
	pthread_join(r->thread, NULL);
}

/* A trap for readers, whom a signal, without SA_RESTART, interrupts. */
static int reader_trap(struct trap *trap, unsigned int pages, unsigned int stops)
{
	struct sigaction action = { .sa_handler = ignore };

	sigaction(SIGUSR1, &action, NULL);
	return trap_make(trap, pages, stops);
}

/* Who waits for another reader of the same file can be interrupted. */
TEST_F(events, interrupted_before_another_is_done)
{
	struct reader first, second;
	struct trap trap;
	char buf[4096];
	int fd;

	if (reader_trap(&trap, 1, 1))
		SKIP(return, "no userfaultfd");
	fd = events_open(self->w.fd, self->w.registry, 0, NULL);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, churn(self->w.session, 1, 0));
	ASSERT_EQ(0, reader_start(&first, fd, trap.pages, TRAP_PAGE));
	ASSERT_EQ(0, trap_wait(&trap));
	ASSERT_EQ(0, reader_start(&second, fd, buf, sizeof(buf)));
	reader_interrupt(&second);
	EXPECT_EQ(-1, second.got);
	EXPECT_EQ(EINTR, second.err);
	ASSERT_EQ(0, trap_let_go(&trap, 0));
	pthread_join(first.thread, NULL);
	EXPECT_EQ(RECORD, first.got);
	EXPECT_EQ(KVBM_EVENT_STORED, ((struct kvbm_event_record *)trap.pages)->type);
	/* Nothing was lost, and nothing comes twice. */
	ASSERT_EQ(0, churn(self->w.session, 1, 1));
	EXPECT_EQ(RECORD, read(fd, buf, sizeof(buf)));
	EXPECT_EQ(((struct kvbm_event_record *)trap.pages)->sequence + 1,
		  ((struct kvbm_event_record *)buf)->sequence);
	close(fd);
	trap_end(&trap);
}

/* Two wait for one event: who is too late for it can still be interrupted. */
TEST_F(events, interrupted_after_another_was_faster)
{
	struct reader readers[2];
	struct trap trap;
	int fd, i, faster;

	if (reader_trap(&trap, 2, 2))
		SKIP(return, "no userfaultfd");
	fd = events_open(self->w.fd, self->w.registry, 0, NULL);
	ASSERT_LE(0, fd);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, reader_start(&readers[i], fd, trap.pages + i * TRAP_PAGE,
					  TRAP_PAGE));
	usleep(50000);
	ASSERT_EQ(0, churn(self->w.session, 1, 0));
	faster = trap_wait(&trap);
	ASSERT_TRUE(faster == 0 || faster == 1);
	reader_interrupt(&readers[!faster]);
	EXPECT_EQ(-1, readers[!faster].got);
	EXPECT_EQ(EINTR, readers[!faster].err);
	ASSERT_EQ(0, trap_let_go(&trap, faster));
	pthread_join(readers[faster].thread, NULL);
	EXPECT_EQ(RECORD, readers[faster].got);
	close(fd);
	trap_end(&trap);
}

/* A signal between two parts of a long read: what was read is had, and no more. */
TEST_F(events, interrupted_half_way)
{
	const struct kvbm_event_record *r;
	unsigned int i, total = 600;
	uint64_t expected;
	struct reader reader;
	struct trap trap;
	ssize_t at;
	int fd;

	if (reader_trap(&trap, 32, 1))
		SKIP(return, "no userfaultfd");
	fd = events_open(self->w.fd, self->w.registry, KVBM_EVENTS_NONBLOCK, &expected);
	ASSERT_LE(0, fd);
	for (i = 0; i < total; i++)
		ASSERT_EQ(0, churn(self->w.session, 1, i));
	ASSERT_LT(total * RECORD, trap.size);
	ASSERT_EQ(0, reader_start(&reader, fd, trap.pages, trap.size));
	ASSERT_EQ(0, trap_wait(&trap));
	ASSERT_EQ(0, pthread_kill(reader.thread, SIGUSR1));
	ASSERT_EQ(0, trap_let_go(&trap, 0));
	pthread_join(reader.thread, NULL);
	ASSERT_LT(0, reader.got);
	EXPECT_GT(total * RECORD, reader.got);
	for (at = 0; at < reader.got; at += r->size) {
		r = (void *)(trap.pages + at);
		EXPECT_EQ(expected++, r->sequence);
	}
	EXPECT_EQ(reader.got, at);
	/* The rest can be read. */
	while ((r = next_of(self, fd)))
		EXPECT_EQ(expected++, r->sequence);
	EXPECT_EQ(event_stats(&self->w).next, expected);
	EXPECT_EQ(0, event_stats(&self->w).dropped);
	close(fd);
	trap_end(&trap);
}

/* Bad memory or too little of it gets nothing, and nothing is lost. */
TEST_F(events, buffers)
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char small[3 * RECORD];
	unsigned int i;
	int fd;

	ASSERT_EQ(0, munmap(page + 4096, 4096));
	fd = events_open(self->w.fd, self->w.registry, KVBM_EVENTS_NONBLOCK, NULL);
	ASSERT_LE(0, fd);
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, churn(self->w.session, 1, i));
	EXPECT_EQ(-1, read(fd, small, RECORD - 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, read(fd, page + 4096, 4096));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, read(fd, page + 4096 - RECORD, 2 * RECORD));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(3 * RECORD, read(fd, small, sizeof(small)));
	for (i = 0; i < 3; i++) {
		struct kvbm_event_record r;
		struct kvbm_hash h = kv_hash(1, i);

		memcpy(&r, small + i * RECORD, RECORD);
		EXPECT_EQ(0, memcmp(&h, &r.hash, sizeof(h)));
	}
	EXPECT_EVENT(fd, STORED, KVBM_EVENT_FIRST);
	EXPECT_EQ(NULL, next_of(self, fd));
	close(fd);
	munmap(page, 4096);
}

TEST_F(events, aux)
{
	struct kvbm_stage_register a;
	struct kvbm_manager_create m;
	const struct kvbm_event_record *r;
	struct kvbm_hash h = kv_hash(3, 0);
	char aux[21];
	struct kvbm_token t;
	int fd, s;

	memset(aux, 7, sizeof(aux));
	manager_init(&m, self->w.registry, "aux", 2);
	m.aux_size = sizeof(aux);
	m.tier = KVBM_TIER_G3;
	fd = events_open(self->w.fd, self->w.registry, KVBM_EVENTS_NONBLOCK, NULL);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	r = EXPECT_EVENT(fd, MANAGER_CREATED, 0);
	EXPECT_EQ(m.out_id, r->manager);
	EXPECT_EQ(KVBM_TIER_G3, r->tier);
	EXPECT_EQ(0, r->hash_size);
	s = kv_session(m.out_id, ALL_RIGHTS);
	ASSERT_EQ(0, kv_allocate(s, 1, &t, NULL, NULL));
	a = (struct kvbm_stage_register){
		.size = sizeof(a), .count = 1, .block_size = BLOCK_SIZE,
		.tokens = ptr(&t), .out_tokens = ptr(&t), .hashes = ptr(&h),
		.aux = ptr(aux) };
	ASSERT_EQ(0, kv(s, KVBM_STAGE_REGISTER, &a));
	r = EXPECT_EVENT(fd, STORED, KVBM_EVENT_FIRST);
	EXPECT_EQ(sizeof(aux), r->aux_size);
	EXPECT_EQ(RECORD + 24, r->size);
	EXPECT_EQ(t.id, r->block);
	EXPECT_EQ(t.gen, r->gen);
	EXPECT_EQ(0, memcmp(r + 1, aux, sizeof(aux)));
	close(s);
	ASSERT_EQ(0, drain(self->w.session));
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	EXPECT_EVENT(fd, CLEARED, 0);
	EXPECT_EVENT(fd, MANAGER_DESTROYED, 0);
	EXPECT_EQ(NULL, next_of(self, fd));
	close(fd);
}

/* Once for a drain that leaves nothing, once for a manager that is destroyed. */
TEST_F(events, cleared_once)
{
	struct kvbm_manager_create m;
	struct kvbm_token t[4];
	int fd, s;

	manager_init(&m, self->w.registry, "short", 4);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	s = kv_session(m.out_id, ALL_RIGHTS);
	ASSERT_EQ(0, kv_fill(s, 5, 3, t));
	ASSERT_EQ(0, kv_allocate(s, 1, t + 3, NULL, NULL));
	fd = events_open(self->w.fd, self->w.registry, KVBM_EVENTS_NONBLOCK, NULL);
	/* All is held. */
	ASSERT_EQ(0, drain(s));
	EXPECT_EQ(NULL, next_of(self, fd));
	ASSERT_EQ(0, kv_release(s, 1, t));
	ASSERT_EQ(0, drain(s));
	EXPECT_EVENT(fd, REMOVED, KVBM_EVENT_LAST);
	EXPECT_EQ(NULL, next_of(self, fd));
	ASSERT_EQ(0, kv_release(s, 2, t + 1));
	ASSERT_EQ(0, drain(s));
	EXPECT_EVENT(fd, REMOVED, KVBM_EVENT_LAST);
	EXPECT_EVENT(fd, REMOVED, KVBM_EVENT_LAST);
	EXPECT_EVENT(fd, CLEARED, 0);
	ASSERT_EQ(0, drain(s));
	EXPECT_EQ(NULL, next_of(self, fd));
	ASSERT_EQ(0, kv_fill(s, 6, 2, t));
	EXPECT_EVENT(fd, STORED, KVBM_EVENT_FIRST);
	EXPECT_EVENT(fd, STORED, KVBM_EVENT_FIRST);
	EXPECT_EQ(-EBUSY, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	EXPECT_EQ(NULL, next_of(self, fd));
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id,
				KVBM_DESTROY_FORCE));
	EXPECT_EVENT(fd, CLEARED, 0);
	EXPECT_EVENT(fd, MANAGER_DESTROYED, 0);
	/* What is still held goes without a word. */
	EXPECT_EQ(0, kv_release(s, 2, t));
	close(s);
	EXPECT_EQ(NULL, next_of(self, fd));
	close(fd);
}

/* A session that dies: its manager goes, or its blocks stay cached. */
TEST_F(events, anonymous)
{
	struct kvbm_manager_create m;
	struct kvbm_token t[2];
	int fd, s = kv_open();

	fd = events_open(self->w.fd, self->w.registry, KVBM_EVENTS_NONBLOCK, NULL);
	manager_init(&m, self->w.registry, "", 4);
	m.flags = KVBM_MANAGER_ANONYMOUS;
	m.linger_ms = 0;
	m.bind_flags = ALL_RIGHTS;
	ASSERT_EQ(0, kv(s, KVBM_MANAGER_CREATE, &m));
	EXPECT_EVENT(fd, MANAGER_CREATED, 0);
	ASSERT_EQ(0, kv_fill(s, 5, 2, t));
	EXPECT_EVENT(fd, STORED, KVBM_EVENT_FIRST);
	EXPECT_EVENT(fd, STORED, KVBM_EVENT_FIRST);
	close(s);
	EXPECT_EVENT(fd, CLEARED, 0);
	EXPECT_EVENT(fd, MANAGER_DESTROYED, 0);
	EXPECT_EQ(NULL, next_of(self, fd));
	/* A manager that was not made is no event. */
	m.bind_flags = ALL_RIGHTS;
	EXPECT_EQ(-EISCONN, kv(self->w.session, KVBM_MANAGER_CREATE, &m));
	EXPECT_EQ(NULL, next_of(self, fd));
	close(fd);
}

TEST_F(events, two_tiers)
{
	const struct kvbm_event_record *r;
	struct kvbm_manager_create m;
	int fd, s;

	manager_init(&m, self->w.registry, "g2", 4);
	m.tier = KVBM_TIER_G2;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	s = kv_session(m.out_id, ALL_RIGHTS);
	fd = events_open(self->w.fd, self->w.registry, KVBM_EVENTS_NONBLOCK, NULL);
	ASSERT_EQ(0, churn(self->w.session, 1, 0));
	r = EXPECT_EVENT(fd, STORED, KVBM_EVENT_FIRST);
	EXPECT_EQ(KVBM_TIER_G1, r->tier);
	ASSERT_EQ(0, churn(s, 1, 0));
	r = EXPECT_EVENT(fd, STORED, 0);
	EXPECT_EQ(KVBM_TIER_G2, r->tier);
	ASSERT_EQ(0, drain(self->w.session));
	EXPECT_EVENT(fd, REMOVED, 0);
	EXPECT_EVENT(fd, CLEARED, 0);
	ASSERT_EQ(0, drain(s));
	EXPECT_EVENT(fd, REMOVED, KVBM_EVENT_LAST);
	EXPECT_EVENT(fd, CLEARED, 0);
	close(s);
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	close(fd);
}

static int dump_part(int fd, struct kvbm_events_dump *a, uint64_t registry, void *buf,
		     uint32_t bytes)
{
	a->size = sizeof(*a);
	a->registry = registry;
	a->records = ptr(buf);
	a->bytes = bytes;
	return kv(fd, KVBM_EVENTS_DUMP, a);
}

TEST_F(events, dump)
{
	struct kvbm_events_dump a = { .size = sizeof(a) };
	struct kvbm_manager_create m;
	struct kvbm_hash h;
	unsigned int i, n = 0, calls = 0, seen[60] = { 0 };
	int fd, s, parts[2];

	manager_init(&m, self->w.registry, "g2", 2000);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	s = kv_session(m.out_id, ALL_RIGHTS);
	for (i = 0; i < 60; i++) {
		ASSERT_EQ(0, churn(self->w.session, 1, i));
		ASSERT_EQ(0, churn(s, 1, i));
	}
	fd = events_open(self->w.fd, self->w.registry, KVBM_EVENTS_NONBLOCK, NULL);
	parts[0] = fd;
	parts[1] = self->w.fd;
	do {
		ssize_t at;

		/* By the one or by the other: it is the same dump. */
		ASSERT_EQ(0, dump_part(parts[calls++ % 2], &a, self->w.registry,
				       self->buf, KVBM_EVENT_MAX_SIZE));
		ASSERT_GT(1000, calls);
		for (at = 0; at < a.out_bytes; at += RECORD, n++) {
			const struct kvbm_event_record *r = (void *)(self->buf + at);

			EXPECT_EQ(RECORD, r->size);
			EXPECT_EQ(KVBM_EVENT_STORED, r->type);
			EXPECT_EQ(KVBM_EVENT_SNAPSHOT, r->flags);
			for (i = 0; i < 60; i++) {
				h = kv_hash(1, i);
				if (!memcmp(&h, &r->hash, sizeof(h)))
					break;
			}
			ASSERT_GT(60, i);
			seen[i] += r->manager == m.out_id ? 100 : 1;
		}
		EXPECT_EQ(a.out_first - 1, a.out_last);
	} while (a.manager);
	EXPECT_EQ(120, n);
	EXPECT_LT(2, calls);
	for (i = 0; i < 60; i++)
		EXPECT_EQ(101, seen[i]);
	/* What happened later is after that. */
	ASSERT_EQ(0, churn(s, 2, 0));
	EXPECT_EQ(a.out_last + 1, EXPECT_EVENT(fd, STORED, KVBM_EVENT_FIRST)->sequence);

	/* A bad address leaves the place as it was. */
	memset(&a, 0, sizeof(a));
	EXPECT_EQ(-EFAULT, dump_part(fd, &a, 0, (void *)8, 65536));
	EXPECT_EQ(0, a.manager);
	EXPECT_EQ(-EINVAL, dump_part(fd, &a, 0, self->buf, KVBM_EVENT_MAX_SIZE - 1));
	EXPECT_EQ(-EINVAL, dump_part(fd, &a, 0, self->buf, KVBM_MAX_EVENT_BYTES + 1));
	/* Any place is a place. */
	a.manager = UINT64_MAX;
	a.block = UINT32_MAX;
	EXPECT_EQ(0, dump_part(fd, &a, 0, self->buf, 65536));
	EXPECT_EQ(0, a.out_bytes);
	EXPECT_EQ(0, a.manager);
	a.manager = m.out_id;
	a.block = UINT32_MAX;
	EXPECT_EQ(0, dump_part(fd, &a, 0, self->buf, 65536));
	EXPECT_EQ(0, a.out_bytes);
	close(s);
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	close(fd);
}

/* A call looks at so many blocks and no more, even where it ends with a manager. */
TEST_F(events, dump_of_many_blocks)
{
	struct kvbm_events_dump a = { .size = sizeof(a) };
	const struct kvbm_event_record *r;
	unsigned int n = 0, calls = 0, i;
	struct kvbm_manager_create m[2];
	uint64_t of[3];
	int s;

	/* With the first manager, and one for each manager, as many as a batch has. */
	manager_init(&m[0], self->w.registry, "many", KVBM_MAX_BATCH - BLOCKS - 2);
	manager_init(&m[1], self->w.registry, "last", 1);
	ASSERT_EQ(0, churn(self->w.session, 1, 0));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m[i]));
		s = kv_session(m[i].out_id, ALL_RIGHTS);
		ASSERT_EQ(0, churn(s, 1, 1 + i));
		close(s);
	}
	do {
		ASSERT_EQ(0, dump_part(self->w.fd, &a, self->w.registry, self->buf,
				       sizeof(self->buf)));
		ASSERT_GT(10, ++calls);
		for (i = 0; i < a.out_bytes; i += RECORD, n++) {
			ASSERT_GT(3, n);
			r = (void *)(self->buf + i);
			of[n] = r->manager;
		}
	} while (a.manager);
	ASSERT_EQ(3, n);
	EXPECT_LT(1, calls);
	EXPECT_EQ(self->w.manager, of[0]);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(m[i].out_id, of[1 + i]);
		EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m[i].out_id, 0));
	}
}

/* What an event file shows, by reading or by dumping, is of one registry alone. */
TEST_F(events, tenants)
{
	struct kvbm_events_dump a = { .size = sizeof(a) };
	struct kvbm_registry_create r;
	struct kvbm_manager_create m;
	int fd, other, s;

	registry_init(&r, "neighbour");
	ASSERT_EQ(0, kv(self->w.fd, KVBM_REGISTRY_CREATE, &r));
	fd = events_open(self->w.fd, self->w.registry, KVBM_EVENTS_NONBLOCK, NULL);
	other = events_open(self->w.fd, r.out_id, KVBM_EVENTS_NONBLOCK, NULL);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, other);
	manager_init(&m, r.out_id, "m", 4);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	s = kv_session(m.out_id, ALL_RIGHTS);
	/* One hash of both, and one of the neighbour only. */
	ASSERT_EQ(0, churn(self->w.session, 1, 0));
	ASSERT_EQ(0, churn(s, 1, 0));
	ASSERT_EQ(0, churn(s, 1, 1));

	EXPECT_EQ(self->w.manager, EXPECT_EVENT(fd, STORED, KVBM_EVENT_FIRST)->manager);
	EXPECT_EQ(NULL, next_of(self, fd));
	EXPECT_EVENT(other, MANAGER_CREATED, 0);
	EXPECT_EQ(m.out_id, EXPECT_EVENT(other, STORED, KVBM_EVENT_FIRST)->manager);
	EXPECT_EQ(m.out_id, EXPECT_EVENT(other, STORED, KVBM_EVENT_FIRST)->manager);
	EXPECT_EQ(NULL, next_of(self, other));

	/* Whichever registry and place are asked for. */
	a.manager = 1;
	ASSERT_EQ(0, dump_part(fd, &a, r.out_id, self->buf, 65536));
	ASSERT_EQ(RECORD, a.out_bytes);
	EXPECT_EQ(self->w.manager, ((struct kvbm_event_record *)self->buf)->manager);
	a.manager = m.out_id;
	a.block = 0;
	ASSERT_EQ(0, dump_part(fd, &a, r.out_id, self->buf, 65536));
	EXPECT_EQ(0, a.out_bytes);
	close(s);
	close(fd);
	close(other);
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_REGISTRY_DESTROY, r.out_id, 0));
}

/* It is a file of its own kind. */
TEST_F(events, only_that)
{
	struct kvbm_info info = { .size = sizeof(info) };
	uint32_t size = 4;
	int fd;

	EXPECT_EQ(-ENOENT, events_open(self->w.fd, 1ull << 60, 0, NULL));
	EXPECT_EQ(-ENOTCONN, events_open(self->w.fd, 0, 0, NULL));
	EXPECT_EQ(-EINVAL, events_open(self->w.fd, self->w.registry, 2, NULL));
	fd = events_open(self->w.session, 0, KVBM_EVENTS_NONBLOCK, NULL);
	ASSERT_LE(0, fd);
	EXPECT_NE(0, fcntl(fd, F_GETFD) & FD_CLOEXEC);
	EXPECT_NE(0, fcntl(fd, F_GETFL) & O_NONBLOCK);
	EXPECT_EQ(-ENOTTY, kv(fd, KVBM_INFO, &info));
	EXPECT_EQ(-ENOTTY, kv(fd, KVBM_ALLOCATE, &info));
	EXPECT_EQ(-EINVAL, kv(fd, KVBM_EVENTS_DUMP, &size));
	EXPECT_EQ(-EFAULT, kv(fd, KVBM_EVENTS_DUMP, NULL));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
	close(fd);
	EXPECT_EQ(0, event_stats(&self->w).listeners);
}

/* The registry goes: what is there is read, then that is the end. */
TEST_F(events, registry_destroyed)
{
	struct pollfd p = { .events = POLLIN };
	struct kvbm_registry_create r;
	struct kvbm_manager_create m;
	struct wait w = { .got = -2 };
	pthread_t thread;

	registry_init(&r, "gone");
	ASSERT_EQ(0, kv(self->w.fd, KVBM_REGISTRY_CREATE, &r));
	p.fd = events_open(self->w.fd, r.out_id, KVBM_EVENTS_NONBLOCK, NULL);
	w.fd = events_open(self->w.fd, r.out_id, 0, NULL);
	ASSERT_LE(0, p.fd);
	ASSERT_LE(0, w.fd);
	manager_init(&m, r.out_id, "m", 1);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	EXPECT_EQ(RECORD, read(w.fd, w.buf, sizeof(w.buf)));
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	EXPECT_EQ(2 * RECORD, read(w.fd, w.buf, sizeof(w.buf)));
	ASSERT_EQ(0, pthread_create(&thread, NULL, wait_for_event, &w));
	usleep(20000);
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_REGISTRY_DESTROY, r.out_id, 0));
	pthread_join(thread, NULL);
	EXPECT_EQ(0, w.got);
	EXPECT_EQ(1, poll(&p, 1, 0));
	EXPECT_EQ(POLLIN | POLLHUP, p.revents);
	EXPECT_EVENT(p.fd, MANAGER_CREATED, 0);
	EXPECT_EVENT(p.fd, CLEARED, 0);
	EXPECT_EVENT(p.fd, MANAGER_DESTROYED, 0);
	EXPECT_EQ(0, read(p.fd, self->buf, sizeof(self->buf)));
	EXPECT_EQ(1, poll(&p, 1, 0));
	EXPECT_EQ(POLLHUP, p.revents);
	close(p.fd);
	close(w.fd);
}

/* Read on the registry is needed; who was given the file has it. */
TEST_F(events, rights)
{
	struct kvbm_events_dump a = { .size = sizeof(a) };
	int fd, status;
	pid_t pid;

	if (getuid())
		SKIP(return, "needs root, to become somebody else");
	fd = events_open(self->w.fd, self->w.registry, KVBM_EVENTS_NONBLOCK, NULL);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, churn(self->w.session, 1, 0));
	pid = fork();
	if (!pid) {
		if (setgroups(0, NULL) || setresgid(3002, 3002, 3002) ||
		    setresuid(2002, 2002, 2002))
			_exit(1);
		if (events_open(self->w.fd, self->w.registry, 0, NULL) != -EACCES)
			_exit(2);
		if (events_open(self->w.session, 0, 0, NULL) != -EACCES)
			_exit(3);
		if (dump_part(self->w.fd, &a, self->w.registry, self->buf,
			      KVBM_EVENT_MAX_SIZE) != -EACCES)
			_exit(4);
		if (dump_part(fd, &a, 0, self->buf, KVBM_EVENT_MAX_SIZE) ||
		    a.out_bytes != RECORD)
			_exit(5);
		if (read(fd, self->buf, sizeof(self->buf)) != RECORD)
			_exit(6);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
	close(fd);
}

/* Files that are open for reading only are enough; the ring counts as memory. */
TEST_F(events, limits)
{
	int control, fd, second;

	if (set_parameter("max_bytes", 1))
		SKIP(return, "needs root, to set limits");
	EXPECT_EQ(-EDQUOT, events_open(self->w.fd, self->w.registry, 0, NULL));
	ASSERT_EQ(0, set_parameter("max_bytes", 0));
	control = open(KVBM_DEV, O_RDONLY);
	fd = events_open(control, self->w.registry, 0, NULL);
	EXPECT_LE(0, fd);
	/* The second one does not need memory for a ring. */
	ASSERT_EQ(0, set_parameter("max_bytes", 1));
	second = events_open(self->w.fd, self->w.registry, 0, NULL);
	EXPECT_LE(0, second);
	ASSERT_EQ(0, set_parameter("max_bytes", 0));
	close(second);
	close(control);
	close(fd);
}

/* Who could not be given a file does not listen. */
TEST_F(events, out_of_descriptors)
{
	struct rlimit old, few;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	few = old;
	few.rlim_cur = 3;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &few));
	EXPECT_EQ(-EMFILE, events_open(self->w.fd, self->w.registry, 0, NULL));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	EXPECT_EQ(0u, event_stats(&self->w).listeners);
	EXPECT_EQ(0u, event_stats(&self->w).ring_bytes);
}

TEST(events_keep_the_module)
{
	struct kvbm_registry_create r;
	int control = kv_open(), fd;

	if (getuid())
		SKIP(return, "needs root, to remove the module");
	registry_init(&r, "unload");
	ASSERT_EQ(0, kv(control, KVBM_REGISTRY_CREATE, &r));
	fd = events_open(control, r.out_id, 0, NULL);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, kv_destroy(control, KVBM_REGISTRY_DESTROY, r.out_id, 0));
	/* Neither a manager nor a session is left, only the event file. */
	close(control);
	EXPECT_EQ(-1, syscall(SYS_delete_module, "kvbm", O_NONBLOCK));
	EXPECT_EQ(EAGAIN, errno);
	close(fd);
}

TEST_HARNESS_MAIN
