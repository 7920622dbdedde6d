// SPDX-License-Identifier: GPL-2.0
/*
 * The generic netlink family: what it tells, to whom, and what it makes of bad
 * messages.
 */
#include <grp.h>
#include <sched.h>
#include <sys/wait.h>

#include "kvbm_util.h"
#include "kvbm_module.h"
#include "kvbm_nl.h"
#include "kselftest_harness.h"

#define BLOCKS		64
#define OTHERS		40
#define RECORD		sizeof(struct kvbm_event_record)

FIXTURE(genl)
{
	struct kv_world w;
	struct nl_family family;
	int nl;
};

FIXTURE_SETUP(genl)
{
	if (getuid())
		SKIP(return, "needs CAP_NET_ADMIN");
	ASSERT_EQ(0, kv_world_make(&self->w, BLOCKS, KVBM_DUP_ALLOW));
	self->nl = nl_open(0);
	ASSERT_LE(0, self->nl);
	ASSERT_EQ(0, nl_find(self->nl, &self->family));
	ASSERT_LT(0, self->family.id);
	ASSERT_LT(0, self->family.group);
}

FIXTURE_TEARDOWN(genl)
{
	if (getuid())
		return;
	close(self->nl);
	EXPECT_EQ(0, kv_world_end(&self->w));
}

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

static struct kvbm_registry_query query(struct kv_world *w)
{
	struct kvbm_registry_query q = { .size = sizeof(q), .id = w->registry };

	kv(w->fd, KVBM_REGISTRY_QUERY, &q);
	return q;
}

static void put_registry(struct nl_message *m, uint64_t id)
{
	nl_put(m, KVBM_NL_A_REGISTRY, &id, sizeof(id));
}

/* One request without an answer of its own. */
static int request(int fd, int family, int cmd, uint64_t registry)
{
	struct nl_message m;

	nl_init(&m, family, cmd, NLM_F_ACK);
	put_registry(&m, registry);
	return nl_ask(fd, &m, NULL, NULL);
}

struct seen {
	struct kv_world *w;
	unsigned int messages, ours, records, datagrams;
	const void *begin;
	struct kvbm_counters counters;
	struct kvbm_event_stats stats;
	char name[KVBM_NAME_SIZE];
	uint64_t first, last;
	uint32_t block_count;
};

static void see(void *arg, const struct nlmsghdr *h)
{
	struct seen *s = arg;
	const void *p;
	int len;

	s->messages++;
	/* Each datagram begins at the same place. */
	if (s->messages == 1)
		s->begin = h;
	s->datagrams += h == s->begin;
	if (nl_u64(h, KVBM_NL_A_REGISTRY) != s->w->registry)
		return;
	s->ours++;
	p = nl_get(h, KVBM_NL_A_NAME, &len);
	if (p && len <= KVBM_NAME_SIZE)
		memcpy(s->name, p, len);
	p = nl_get(h, KVBM_NL_A_COUNTERS, &len);
	if (p && len == sizeof(s->counters))
		memcpy(&s->counters, p, len);
	p = nl_get(h, KVBM_NL_A_EVENT_STATS, &len);
	if (p && len == sizeof(s->stats))
		memcpy(&s->stats, p, len);
	p = nl_get(h, KVBM_NL_A_BLOCK_COUNT, &len);
	if (p)
		memcpy(&s->block_count, p, sizeof(s->block_count));
	p = nl_get(h, KVBM_NL_A_RECORDS, &len);
	if (p)
		s->records += len / RECORD;
	if (!s->first)
		s->first = nl_u64(h, KVBM_NL_A_FIRST);
	s->last = nl_u64(h, KVBM_NL_A_LAST);
}

static int dump(int fd, int family, int cmd, struct kv_world *w, uint64_t registry,
		struct seen *s)
{
	struct nl_message m;

	memset(s, 0, sizeof(*s));
	s->w = w;
	nl_init(&m, family, cmd, NLM_F_DUMP);
	if (registry)
		put_registry(&m, registry);
	return nl_ask(fd, &m, see, s);
}

/* By a socket that has asked nothing yet: the kernel begins with a small message. */
static int first_dump(int family, int cmd, struct kv_world *w, uint64_t registry,
		      struct seen *s)
{
	int fd = nl_open(0), err;

	err = dump(fd, family, cmd, w, registry, s);
	close(fd);
	return err;
}

/* Small ones, NAME-0 and so on. */
static int make_registries(int fd, const char *name, int n, uint64_t *ids)
{
	struct kvbm_registry_create r;
	char numbered[16];
	int i, err = 0;

	for (i = 0; i < n && !err; i++) {
		snprintf(numbered, sizeof(numbered), "%s-%d", name, i);
		registry_init(&r, numbered);
		r.capacity = 1;
		err = kv(fd, KVBM_REGISTRY_CREATE, &r);
		ids[i] = r.out_id;
	}
	return err;
}

TEST_F_TIMEOUT(genl, dumps, 300)
{
	int family = self->family.id, i;
	struct kvbm_manager_create m;
	struct kvbm_registry_query q;
	struct kvbm_counters c;
	uint64_t others[OTHERS];
	int sessions[OTHERS];
	struct seen s;

	/* More than fit in one message. */
	ASSERT_EQ(0, make_registries(self->w.fd, "other", OTHERS, others));
	ASSERT_EQ(0, churn(self->w.session, 1, 0));
	EXPECT_EQ(0, first_dump(family, KVBM_NL_CMD_REGISTRY_GET, &self->w, 0, &s));
	EXPECT_LE(OTHERS + 1u, s.messages);
	EXPECT_LT(1u, s.datagrams);
	EXPECT_EQ(1, s.ours);
	q = query(&self->w);
	EXPECT_EQ(0, strcmp(q.name, s.name));
	EXPECT_EQ(0, memcmp(&s.stats, &q.out_events, sizeof(s.stats)));

	EXPECT_EQ(0, dump(self->nl, family, KVBM_NL_CMD_MANAGER_GET, &self->w, 0, &s));
	EXPECT_EQ(1, s.ours);
	EXPECT_EQ(0, strcmp("m", s.name));
	EXPECT_EQ(BLOCKS, s.block_count);
	EXPECT_EQ(0, dump(self->nl, family, KVBM_NL_CMD_MANAGER_GET, &self->w,
			  self->w.registry, &s));
	EXPECT_EQ(1, s.messages);
	EXPECT_EQ(0, dump(self->nl, family, KVBM_NL_CMD_MANAGER_GET, &self->w,
			  others[0], &s));
	EXPECT_EQ(0, s.messages);

	EXPECT_EQ(0, dump(self->nl, family, KVBM_NL_CMD_STATS_GET, &self->w,
			  self->w.registry, &s));
	EXPECT_EQ(1, s.ours);
	ASSERT_EQ(0, kv_counters(self->w.fd, self->w.manager, &c));
	EXPECT_EQ(0, memcmp(&c, &s.counters, sizeof(c)));

	/* So are these: each comes once, whole. Nobody else sees anonymous ones. */
	for (i = 0; i < OTHERS; i++) {
		manager_init(&m, self->w.registry, "", 1);
		m.flags = KVBM_MANAGER_ANONYMOUS;
		m.linger_ms = 0;
		m.bind_flags = ALL_RIGHTS;
		sessions[i] = kv_open();
		ASSERT_EQ(0, kv(sessions[i], KVBM_MANAGER_CREATE, &m));
	}
	EXPECT_EQ(0, first_dump(family, KVBM_NL_CMD_MANAGER_GET, &self->w,
				self->w.registry, &s));
	EXPECT_EQ(OTHERS + 1u, s.messages);
	EXPECT_EQ(OTHERS + 1u, s.ours);
	EXPECT_LT(1u, s.datagrams);
	EXPECT_EQ(0, first_dump(family, KVBM_NL_CMD_STATS_GET, &self->w,
				self->w.registry, &s));
	EXPECT_EQ(OTHERS + 1u, s.messages);
	EXPECT_EQ(OTHERS + 1u, s.ours);
	EXPECT_LT(1u, s.datagrams);
	for (i = 0; i < OTHERS; i++) {
		close(sessions[i]);
		EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_REGISTRY_DESTROY, others[i], 0));
	}
}

/*
 * The kernel makes messages as long as who reads last had room for. Wherever one
 * ends, in a header too: what did not fit is in the next one.
 */
TEST_F_TIMEOUT(genl, dumps_end_anywhere, 300)
{
	static const int commands[] = { KVBM_NL_CMD_REGISTRY_GET, KVBM_NL_CMD_MANAGER_GET,
					KVBM_NL_CMD_STATS_GET };
	uint64_t registries[OTHERS], managers[OTHERS];
	struct kvbm_manager_create m;
	struct nl_family family;
	char name[16];
	struct seen s;
	int i, nl;

	ASSERT_EQ(0, make_registries(self->w.fd, "other", OTHERS, registries));
	for (i = 0; i < OTHERS; i++) {
		snprintf(name, sizeof(name), "other-%d", i);
		manager_init(&m, self->w.registry, name, 1);
		ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
		managers[i] = m.out_id;
	}
	for (i = 0; i < 3; i++) {
		/* By less than a header, until an object more has fit. */
		for (nl_room = 4096; nl_room < 4096 + 600;
		     nl_room += NLMSG_HDRLEN + GENL_HDRLEN) {
			nl = nl_open(0);
			EXPECT_EQ(0, nl_find(nl, &family));
			EXPECT_EQ(0, dump(nl, family.id, commands[i], &self->w,
					  i ? self->w.registry : 0, &s));
			EXPECT_EQ(OTHERS + 1u, s.messages)
				TH_LOG("command %d, room for %zu", commands[i], nl_room);
			EXPECT_EQ(i ? OTHERS + 1u : 1u, s.ours);
			EXPECT_LT(1u, s.datagrams);
			close(nl);
		}
	}
	nl_room = NL_BUFFER;
	for (i = 0; i < OTHERS; i++) {
		EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, managers[i], 0));
		EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_REGISTRY_DESTROY, registries[i],
					0));
	}
}

TEST_F(genl, content)
{
	struct kvbm_manager_create m;
	unsigned int i;
	struct seen s;
	int fd;

	/* The longest records there can be, and many of the shortest. */
	manager_init(&m, self->w.registry, "aux", 8);
	m.aux_size = KVBM_MAX_AUX;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	fd = kv_session(m.out_id, ALL_RIGHTS);
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, churn(fd, 2, i));
	for (i = 0; i < BLOCKS; i++)
		ASSERT_EQ(0, churn(self->w.session, 1, i));
	EXPECT_EQ(0, dump(self->nl, self->family.id, KVBM_NL_CMD_CONTENT_GET, &self->w,
			  self->w.registry, &s));
	EXPECT_LT(2, s.ours);
	EXPECT_EQ(BLOCKS + 8 * (KVBM_EVENT_MAX_SIZE / RECORD), s.records);
	EXPECT_EQ(query(&self->w).out_events.next, s.first);
	EXPECT_EQ(s.first - 1, s.last);
	close(fd);
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
}

/* Events up to @next arrive in order at a socket. */
static int receive(int fd, uint64_t registry, uint64_t *expected, uint64_t next)
{
	static char buf[NL_BUFFER] __attribute__((__aligned__(8)));
	const struct nlmsghdr *h = (void *)buf;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct kvbm_event_record r;
	const char *records;
	int len, at;

	while (*expected < next) {
		if (poll(&p, 1, 20000) != 1)
			return -ETIMEDOUT;
		len = recv(fd, buf, sizeof(buf), 0);
		if (len < 0)
			return -errno;
		if (nl_u64(h, KVBM_NL_A_REGISTRY) != registry ||
		    nl_u64(h, KVBM_NL_A_FIRST) != *expected)
			return -EBADMSG;
		records = nl_get(h, KVBM_NL_A_RECORDS, &len);
		if (!records)
			return -ENODATA;
		for (at = 0; at < len; at += r.size) {
			memcpy(&r, records + at, sizeof(r));
			if (r.sequence != (*expected)++)
				return -EILSEQ;
		}
		if (nl_u64(h, KVBM_NL_A_LAST) != *expected - 1)
			return -EPROTO;
	}
	return 0;
}

struct start {
	uint64_t first;
};

static void get_first(void *arg, const struct nlmsghdr *h)
{
	((struct start *)arg)->first = nl_u64(h, KVBM_NL_A_FIRST);
}

static int start(int fd, int family, uint64_t registry, uint64_t *first)
{
	struct start s = { 0 };
	struct nl_message m;
	int err;

	nl_init(&m, family, KVBM_NL_CMD_EVENTS_START, NLM_F_ACK);
	put_registry(&m, registry);
	err = nl_ask(fd, &m, get_first, &s);
	*first = s.first;
	return err;
}

/* Two sockets in the group, one of which asked. */
TEST_F(genl, events)
{
	int listener = nl_open(1 << 20), other = nl_open(1 << 20), i;
	int family = self->family.id;
	uint64_t id = self->w.registry, first, again;

	ASSERT_EQ(0, nl_join(listener, self->family.group));
	ASSERT_EQ(0, nl_join(other, self->family.group));
	EXPECT_EQ(0, query(&self->w).out_events.listeners);
	ASSERT_EQ(0, start(self->nl, family, id, &first));
	EXPECT_EQ(first, query(&self->w).out_events.next);
	EXPECT_EQ(1, query(&self->w).out_events.listeners);
	for (i = 0; i < 500; i++)
		ASSERT_EQ(0, churn(self->w.session, 1, i));
	again = first;
	EXPECT_EQ(0, receive(listener, id, &first, query(&self->w).out_events.next));
	EXPECT_EQ(0, receive(other, id, &again, query(&self->w).out_events.next));

	EXPECT_EQ(-EEXIST, request(self->nl, family, KVBM_NL_CMD_EVENTS_START, id));
	EXPECT_EQ(0, start(other, family, id, &again));
	EXPECT_EQ(first, again);
	EXPECT_EQ(0, request(self->nl, family, KVBM_NL_CMD_EVENTS_STOP, id));
	EXPECT_EQ(-ENOENT, request(self->nl, family, KVBM_NL_CMD_EVENTS_STOP, id));
	EXPECT_EQ(1, query(&self->w).out_events.listeners);
	ASSERT_EQ(0, churn(self->w.session, 2, 0));
	EXPECT_EQ(0, receive(listener, id, &first, query(&self->w).out_events.next));
	/* The last one that asked is gone. */
	close(other);
	EXPECT_EQ(0, query(&self->w).out_events.listeners);
	ASSERT_EQ(0, churn(self->w.session, 2, 1));
	EXPECT_EQ(first, query(&self->w).out_events.next);
	close(listener);
}

/* A socket of another protocol may have the same number, and end. */
TEST_F(genl, another_protocol)
{
	int other = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct sockaddr_nl address;
	socklen_t len = sizeof(address);
	uint64_t first;

	ASSERT_EQ(0, getsockname(self->nl, (void *)&address, &len));
	ASSERT_EQ(0, bind(other, (void *)&address, sizeof(address)));
	ASSERT_EQ(0, start(self->nl, self->family.id, self->w.registry, &first));
	close(other);
	EXPECT_EQ(1, query(&self->w).out_events.listeners);
	EXPECT_EQ(-EEXIST, request(self->nl, self->family.id, KVBM_NL_CMD_EVENTS_START,
				   self->w.registry));
}

/* What happens at once is told at once. */
TEST_F(genl, many_records_in_a_message)
{
	static char buf[NL_BUFFER] __attribute__((__aligned__(8)));
	const struct nlmsghdr *h = (void *)buf;
	int listener = nl_open(1 << 20);
	struct kvbm_token t[8];
	uint64_t first;

	ASSERT_EQ(0, nl_join(listener, self->family.group));
	ASSERT_EQ(0, start(self->nl, self->family.id, self->w.registry, &first));
	ASSERT_EQ(0, kv_fill(self->w.session, 1, ARRAY_SIZE(t), t));
	ASSERT_LT(0, recv(listener, buf, sizeof(buf), 0));
	EXPECT_EQ(first, nl_u64(h, KVBM_NL_A_FIRST));
	EXPECT_EQ(first + ARRAY_SIZE(t) - 1, nl_u64(h, KVBM_NL_A_LAST));
	ASSERT_EQ(0, kv_release(self->w.session, ARRAY_SIZE(t), t));
	close(listener);
}

/* A worker that has many messages to send lets others have a turn, and goes on. */
TEST_F_TIMEOUT(genl, many_messages, 300)
{
	int listener = nl_open(16 << 20), s;
	struct kvbm_manager_create m;
	struct kvbm_token t[200];
	uint64_t first;

	/* One record fills a message, and the ring has room for all. */
	manager_init(&m, self->w.registry, "aux", ARRAY_SIZE(t));
	m.aux_size = KVBM_MAX_AUX;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	s = kv_session(m.out_id, ALL_RIGHTS);
	ASSERT_EQ(0, nl_join(listener, self->family.group));
	ASSERT_EQ(0, start(self->nl, self->family.id, self->w.registry, &first));
	ASSERT_EQ(0, kv_fill(s, 1, ARRAY_SIZE(t), t));
	EXPECT_EQ(first + ARRAY_SIZE(t), query(&self->w).out_events.next);
	EXPECT_EQ(0, receive(listener, self->w.registry, &first,
			     query(&self->w).out_events.next));
	EXPECT_EQ(0u, query(&self->w).out_events.dropped);
	close(s);
	close(listener);
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
}

/* What comes before a dump ends is in the sockets by then, and need not be waited for. */
TEST_F_TIMEOUT(genl, content_comes_after_events, 300)
{
	static char buf[NL_BUFFER] __attribute__((__aligned__(8)));
	const struct nlmsghdr *h = (void *)buf;
	int listener = nl_open(1 << 20), i;
	uint64_t expected;
	struct seen s;

	ASSERT_EQ(0, nl_join(listener, self->family.group));
	ASSERT_EQ(0, start(self->nl, self->family.id, self->w.registry, &expected));
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(0, churn(self->w.session, 1, i));
		ASSERT_EQ(0, dump(self->nl, self->family.id, KVBM_NL_CMD_CONTENT_GET,
				  &self->w, self->w.registry, &s));
		while (expected <= s.last) {
			ASSERT_LT(0, recv(listener, buf, sizeof(buf), MSG_DONTWAIT));
			EXPECT_EQ(expected, nl_u64(h, KVBM_NL_A_FIRST));
			expected = nl_u64(h, KVBM_NL_A_LAST) + 1;
		}
	}
	close(listener);
}

static int set_ring(const char *bytes)
{
	return kv_set_parameter("event_ring", bytes);
}

/* What the worker found overwritten is a hole, and counted in each message. */
TEST_F(genl, dropped)
{
	static char buf[NL_BUFFER] __attribute__((__aligned__(8)));
	const struct nlmsghdr *h = (void *)buf;
	int listener = nl_open(4 << 20), s, i;
	struct kvbm_manager_create m;
	uint64_t expected, lost = 0;
	struct kvbm_token t[2000];
	struct pollfd p = { .events = POLLIN };

	ASSERT_EQ(0, set_ring("16384"));
	manager_init(&m, self->w.registry, "large", ARRAY_SIZE(t));
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	s = kv_session(m.out_id, ALL_RIGHTS);
	ASSERT_EQ(0, nl_join(listener, self->family.group));
	ASSERT_EQ(0, start(self->nl, self->family.id, self->w.registry, &expected));
	p.fd = listener;
	/* More at a time than the ring takes; perhaps the worker is fast, once. */
	for (i = 0; i < 1000 && !lost; i++) {
		ASSERT_EQ(0, kv_fill(s, i, ARRAY_SIZE(t), t));
		ASSERT_EQ(0, kv_release(s, ARRAY_SIZE(t), t));
		while (expected < query(&self->w).out_events.next) {
			ASSERT_EQ(1, poll(&p, 1, 20000));
			ASSERT_LT(0, recv(listener, buf, sizeof(buf), 0));
			lost += nl_u64(h, KVBM_NL_A_FIRST) - expected;
			expected = nl_u64(h, KVBM_NL_A_LAST) + 1;
			EXPECT_EQ(lost, nl_u64(h, KVBM_NL_A_DROPPED));
		}
	}
	EXPECT_LT(0, lost);
	EXPECT_EQ(lost, query(&self->w).out_events.dropped);
	close(s);
	close(listener);
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	EXPECT_EQ(0, set_ring("1048576"));
}

/* A socket that is not read from is told so; the kernel does not wait for it. */
TEST_F(genl, overrun)
{
	int listener = nl_open(4096), i, got = 0;
	uint64_t first;
	char *buf = malloc(NL_BUFFER);

	ASSERT_EQ(0, nl_join(listener, self->family.group));
	ASSERT_EQ(0, start(self->nl, self->family.id, self->w.registry, &first));
	for (i = 0; i < 5000; i++)
		ASSERT_EQ(0, churn(self->w.session, 1, i));
	/* The worker is at it still, perhaps; until then there is no error. */
	for (i = 0; i < 2000 && got != ENOBUFS; i++) {
		got = recv(listener, buf, NL_BUFFER, MSG_DONTWAIT) < 0 ? errno : 0;
		if (got)
			usleep(10000);
		ASSERT_EQ(0, churn(self->w.session, 1, i));
	}
	EXPECT_EQ(ENOBUFS, got);
	free(buf);
	close(listener);
}

/* Who has no room for the answer does not listen. */
TEST_F(genl, answer_without_room)
{
	struct kvbm_registry_create r;
	struct kvbm_registry_query q = { .size = sizeof(q) };
	struct pollfd p = { .fd = nl_open(4096) };
	struct nl_message m;
	uint64_t first;
	int i;

	registry_init(&r, "another");
	ASSERT_EQ(0, kv(self->w.fd, KVBM_REGISTRY_CREATE, &r));
	ASSERT_EQ(0, nl_join(p.fd, self->family.group));
	ASSERT_EQ(0, start(self->nl, self->family.id, self->w.registry, &first));
	/* Until its buffer has overrun: that is an error. */
	for (i = 0; i < 100000 && !poll(&p, 1, 0); i++)
		ASSERT_EQ(0, churn(self->w.session, 1, i));
	ASSERT_EQ(POLLERR, p.revents);
	nl_init(&m, self->family.id, KVBM_NL_CMD_EVENTS_START, 0);
	put_registry(&m, r.out_id);
	ASSERT_EQ(0, nl_send(p.fd, &m));
	q.id = r.out_id;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_REGISTRY_QUERY, &q));
	EXPECT_EQ(0, q.out_events.listeners);
	EXPECT_EQ(0, q.out_events.ring_bytes);
	close(p.fd);
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_REGISTRY_DESTROY, r.out_id, 0));
}

/* Rings are memory of the module, and subscribers have a limit of their own. */
TEST_F_TIMEOUT(genl, limits, 300)
{
	uint64_t id = self->w.registry, others[8], first;
	int family = self->family.id, n = 0, i, j, err = 0;
	int sockets[129];

	ASSERT_EQ(0, kv_set_parameter("max_bytes", "1"));
	EXPECT_EQ(-EDQUOT, start(self->nl, family, id, &first));
	ASSERT_EQ(0, kv_set_parameter("max_bytes", "0"));
	EXPECT_EQ(0u, query(&self->w).out_events.listeners);

	ASSERT_EQ(0, set_ring("16384"));
	ASSERT_EQ(0, make_registries(self->w.fd, "heard", 8, others));
	for (i = 0; i < 129; i++) {
		sockets[i] = nl_open(0);
		ASSERT_LE(0, sockets[i]);
		for (j = 0; j < 8 && !err; j++) {
			err = start(sockets[i], family, others[j], &first);
			n += !err;
		}
	}
	EXPECT_EQ(-EDQUOT, err);
	EXPECT_EQ(1024, n);
	/* One leaves, one may come. */
	EXPECT_EQ(0, request(sockets[0], family, KVBM_NL_CMD_EVENTS_STOP, others[0]));
	EXPECT_EQ(0, start(self->nl, family, id, &first));
	EXPECT_EQ(-EDQUOT, start(sockets[0], family, others[0], &first));
	for (i = 0; i < 129; i++)
		close(sockets[i]);
	for (i = 0; i < 8; i++)
		EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_REGISTRY_DESTROY, others[i], 0));
	EXPECT_EQ(1u, query(&self->w).out_events.listeners);
	ASSERT_EQ(0, set_ring("1048576"));
}

/* A registry may go while it is listened to. */
TEST_F(genl, registry_destroyed)
{
	struct kvbm_registry_create r;
	uint64_t first;
	int nl = nl_open(0);
	struct seen s;

	registry_init(&r, "short-lived");
	ASSERT_EQ(0, kv(self->w.fd, KVBM_REGISTRY_CREATE, &r));
	ASSERT_EQ(0, start(nl, self->family.id, r.out_id, &first));
	ASSERT_EQ(0, kv_destroy(self->w.fd, KVBM_REGISTRY_DESTROY, r.out_id, 0));
	EXPECT_EQ(-ENOENT, request(self->nl, self->family.id, KVBM_NL_CMD_EVENTS_START,
				   r.out_id));
	EXPECT_EQ(-ENOENT, dump(nl, self->family.id, KVBM_NL_CMD_CONTENT_GET, &self->w,
				r.out_id, &s));
	EXPECT_EQ(-ENOENT, dump(nl, self->family.id, KVBM_NL_CMD_MANAGER_GET, &self->w,
				r.out_id, &s));
	close(nl);
}

TEST_F(genl, malformed)
{
	static const int dumps[] = { KVBM_NL_CMD_REGISTRY_GET, KVBM_NL_CMD_MANAGER_GET,
		KVBM_NL_CMD_STATS_GET, KVBM_NL_CMD_CONTENT_GET };
	static const int dos[] = { KVBM_NL_CMD_EVENTS_START, KVBM_NL_CMD_EVENTS_STOP };
	int family = self->family.id, attr, len;
	struct nl_message m;
	char junk[64];
	unsigned int i;

	memset(junk, 0xff, sizeof(junk));
	for (i = 0; i < 6; i++) {
		int cmd = i < 4 ? dumps[i] : dos[i - 4];
		int flags = i < 4 ? NLM_F_DUMP : NLM_F_ACK;

		for (len = 0; len < 32; len++) {
			if (len == 8)
				continue;
			nl_init(&m, family, cmd, flags);
			nl_put(&m, KVBM_NL_A_REGISTRY, junk, len);
			EXPECT_GT(0, nl_ask(self->nl, &m, NULL, NULL))
				TH_LOG("command %d, length %d", cmd, len);
		}
		for (attr = 0; attr < KVBM_NL_A_MAX + 8; attr++) {
			if (attr == KVBM_NL_A_REGISTRY)
				continue;
			nl_init(&m, family, cmd, flags);
			put_registry(&m, self->w.registry);
			nl_put(&m, attr, junk, 8);
			EXPECT_GT(0, nl_ask(self->nl, &m, NULL, NULL))
				TH_LOG("command %d, attribute %d", cmd, attr);
		}
		/* No such registry: all ones. */
		nl_init(&m, family, cmd, flags);
		nl_put(&m, KVBM_NL_A_REGISTRY, junk, 8);
		if (cmd != KVBM_NL_CMD_REGISTRY_GET)
			EXPECT_EQ(-ENOENT, nl_ask(self->nl, &m, NULL, NULL));
		/* Nor one of this number. */
		if (flags == NLM_F_ACK)
			EXPECT_EQ(-ENOENT, request(self->nl, family, cmd, 0));
		/* An attribute that ends beyond the message. */
		nl_init(&m, family, cmd, flags);
		put_registry(&m, self->w.registry);
		((struct nlattr *)m.attrs)->nla_len = 100;
		EXPECT_GT(0, nl_ask(self->nl, &m, NULL, NULL));
	}
	for (i = 0; i < 2; i++) {
		nl_init(&m, family, dos[i], NLM_F_ACK);
		EXPECT_EQ(-EINVAL, nl_ask(self->nl, &m, NULL, NULL));
	}
	nl_init(&m, family, KVBM_NL_CMD_CONTENT_GET, NLM_F_DUMP);
	EXPECT_EQ(-EINVAL, nl_ask(self->nl, &m, NULL, NULL));
	/* What is a dump cannot be done, and the other way round. */
	nl_init(&m, family, KVBM_NL_CMD_STATS_GET, NLM_F_ACK);
	EXPECT_EQ(-EOPNOTSUPP, nl_ask(self->nl, &m, NULL, NULL));
	nl_init(&m, family, KVBM_NL_CMD_EVENTS_START, NLM_F_DUMP);
	EXPECT_EQ(-EOPNOTSUPP, nl_ask(self->nl, &m, NULL, NULL));
	/* The kernel's own, and none at all. */
	for (i = KVBM_NL_CMD_EVENTS; i < 256; i++) {
		nl_init(&m, family, i, NLM_F_ACK);
		EXPECT_EQ(-EOPNOTSUPP, nl_ask(self->nl, &m, NULL, NULL));
	}
	EXPECT_EQ(0, query(&self->w).out_events.listeners);
}

/* 0 when nothing of the family can be had; what could, otherwise. */
static int try_all(struct _test_data_genl *self)
{
	int nl = nl_open(0), cmd;
	struct nl_message m;

	for (cmd = 1; cmd <= KVBM_NL_CMD_EVENTS_STOP; cmd++) {
		nl_init(&m, self->family.id, cmd,
			cmd < KVBM_NL_CMD_EVENTS_START ? NLM_F_DUMP : NLM_F_ACK);
		put_registry(&m, self->w.registry);
		if (nl_ask(nl, &m, NULL, NULL) != -EPERM)
			return cmd;
	}
	if (nl_join(nl, self->family.group) != -EPERM)
		return 100;
	return 0;
}

static int as_user(void)
{
	return setgroups(0, NULL) || setresgid(2002, 2002, 2002) ||
	       setresuid(2002, 2002, 2002);
}

TEST_F(genl, unprivileged)
{
	int status;
	pid_t pid;

	pid = fork();
	if (!pid)
		_exit(as_user() ? 101 : try_all(self));
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
}

/* Root in a user namespace of its own is nobody here. */
TEST_F(genl, user_namespace)
{
	int status;
	pid_t pid;

	pid = fork();
	if (!pid)
		_exit(as_user() || unshare(CLONE_NEWUSER) ? 101 : try_all(self));
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 101)
		SKIP(return, "no user namespaces");
	EXPECT_EQ(0, status);
}

/*
 * And in a network namespace of its own there is no such family; who is in a group
 * of that number there gets nothing.
 */
TEST_F(genl, network_namespace)
{
	struct nl_family family;
	int status, nl, here;
	uint64_t first;
	pid_t pid;

	here = nl_open(0);
	ASSERT_EQ(0, nl_join(here, self->family.group));
	ASSERT_EQ(0, start(self->nl, self->family.id, self->w.registry, &first));

	pid = fork();
	if (!pid) {
		if (unshare(CLONE_NEWNET))
			_exit(101);
		nl = nl_open(0);
		if (nl_find(nl, &family) != -ENOENT)
			_exit(1);
		/* Not by its number, either. */
		if (!request(nl, self->family.id, KVBM_NL_CMD_EVENTS_START,
			     self->w.registry))
			_exit(2);
		nl_join(nl, self->family.group);
		if (churn(self->w.session, 1, 0) ||
		    receive(here, self->w.registry, &first, first + 1))
			_exit(3);
		_exit(recv(nl, &family, sizeof(family), MSG_DONTWAIT) < 0 &&
		      errno == EAGAIN ? 0 : 4);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 101)
		SKIP(return, "no network namespaces");
	EXPECT_EQ(0, status);
	close(here);
}

/* Registries go with the module, and so do those who listen: neither keeps it. */
TEST(module_goes)
{
	struct kvbm_list list = { .size = sizeof(list), .count = 1 };
	int fd = kv_open(), nl = nl_open(0), quiet = nl_open(0);
	struct kvbm_registry_create r;
	struct nl_family family;
	struct stat device;
	uint64_t first, id;

	if (access(KVBM_KO, R_OK) || getuid())
		SKIP(return, "needs root, and " KVBM_KO);
	ASSERT_EQ(0, fstat(fd, &device));
	ASSERT_EQ(0, nl_find(nl, &family));
	ASSERT_EQ(0, nl_join(quiet, family.group));
	registry_init(&r, "stays");
	ASSERT_EQ(0, kv(fd, KVBM_REGISTRY_CREATE, &r));
	ASSERT_EQ(0, start(nl, family.id, r.out_id, &first));
	ASSERT_EQ(0, start(quiet, family.id, r.out_id, &first));
	close(fd);
	ASSERT_EQ(0, unload_module());
	EXPECT_EQ(-ENOENT, nl_find(nl, &family));
	/* They are closed after it. */
	close(quiet);
	ASSERT_EQ(0, load_module());
	ASSERT_EQ(0, own_device(&device));
	ASSERT_EQ(0, nl_find(nl, &family));
	EXPECT_EQ(-ENOENT, request(nl, family.id, KVBM_NL_CMD_EVENTS_STOP, r.out_id));
	close(nl);
	fd = kv_open();
	list.ids = ptr(&id);
	EXPECT_EQ(0, kv(fd, KVBM_REGISTRY_LIST, &list));
	EXPECT_EQ(0u, list.out_count);
	close(fd);
}

TEST_HARNESS_MAIN
