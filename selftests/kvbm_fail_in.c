// SPDX-License-Identifier: GPL-2.0
/*
 * Faults in one function: what kvbm_fail_nth does not come to, since the kernel has a
 * second way to the memory, since the work is done by another thread, since it is
 * reached by netlink, or since it is the module's own beginning.
 */
#include <limits.h>

#include "kvbm_faults.h"
#include "kvbm_module.h"
#include "kvbm_nl.h"
#include "kselftest_harness.h"

#define BLOCKS		16
#define CGROUP		"/sys/fs/cgroup"

static void __attribute__((constructor)) prepare(void)
{
	prepare_faults();
	/* For all tests. The one that loads the module again is the last. */
	read_symbols();
}

FIXTURE(fail_in)
{
	struct span span;
};

FIXTURE_SETUP(fail_in)
{
	injector = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, injector);
}

FIXTURE_TEARDOWN(fail_in)
{
	EXPECT_TRUE(reset_faults());
	close(injector);
}

/* Functions of the module, but for those with a @module of "". */
#define CONFINE(name, module) do {					\
	ASSERT_TRUE(find_function(name, module, &self->span));		\
	ASSERT_TRUE(confine_faults(&self->span));			\
} while (0)

static uint32_t count(int fd, unsigned long cmd)
{
	uint64_t ids[64];
	struct kvbm_list a = { .size = sizeof(a), .ids = ptr(ids), .count = ARRAY_SIZE(ids) };

	return kv(fd, cmd, &a) ? UINT_MAX : a.out_count;
}

static struct kvbm_event_stats event_stats(int fd, uint64_t registry)
{
	struct kvbm_registry_query q = { .size = sizeof(q), .id = registry };

	kv(fd, KVBM_REGISTRY_QUERY, &q);
	return q.out_events;
}

/* A creation that is refused shows in no list, and leaves the name free. */
static void refused(struct __test_metadata *_metadata, const struct span *span, int fd,
		    unsigned long create, void *arg, unsigned long list, int err)
{
	ASSERT_TRUE(confine_faults(span) && fail_all(true));
	EXPECT_EQ(err, kv(fd, create, arg));
	ASSERT_TRUE(reset_faults());
	EXPECT_EQ(0u, count(fd, list));
}

/* The tables are empty at first, and need memory for the first place. */
TEST_F_TIMEOUT(fail_in, tables, 300)
{
	struct kvbm_registry_create r;
	struct kvbm_manager_create m;
	int fd = kv_open();

	ASSERT_EQ(0u, count(fd, KVBM_REGISTRY_LIST));
	ASSERT_TRUE(find_function("__xa_cmpxchg", "", &self->span));
	registry_init(&r, "tables");
	refused(_metadata, &self->span, fd, KVBM_REGISTRY_CREATE, &r, KVBM_REGISTRY_LIST,
		-ENOMEM);
	ASSERT_EQ(0, kv(fd, KVBM_REGISTRY_CREATE, &r));

	manager_init(&m, r.out_id, "m", BLOCKS);
	refused(_metadata, &self->span, fd, KVBM_MANAGER_CREATE, &m, KVBM_MANAGER_LIST,
		-ENOMEM);
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_CREATE, &m));
	EXPECT_EQ(0, kv_destroy(fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	EXPECT_EQ(0, kv_destroy(fd, KVBM_REGISTRY_DESTROY, r.out_id, 0));
	close(fd);
}

/* Who cannot be told the id of what was made has not made it. */
TEST_F_TIMEOUT(fail_in, answers, 300)
{
	struct kvbm_registry_create r;
	struct kvbm_manager_create m;
	int fd = kv_open();

	ASSERT_TRUE(find_function("kvbm_call_put", "kvbm", &self->span));
	registry_init(&r, "answers");
	refused(_metadata, &self->span, fd, KVBM_REGISTRY_CREATE, &r, KVBM_REGISTRY_LIST,
		-EFAULT);
	ASSERT_EQ(0, kv(fd, KVBM_REGISTRY_CREATE, &r));

	manager_init(&m, r.out_id, "m", BLOCKS);
	refused(_metadata, &self->span, fd, KVBM_MANAGER_CREATE, &m, KVBM_MANAGER_LIST,
		-EFAULT);
	EXPECT_NE(0, access("/sys/class/kvbm/answers:m", F_OK));
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_CREATE, &m));
	EXPECT_EQ(0, access("/sys/class/kvbm/answers:m", F_OK));
	EXPECT_EQ(0, kv_destroy(fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	EXPECT_EQ(0, kv_destroy(fd, KVBM_REGISTRY_DESTROY, r.out_id, 0));
	close(fd);
}

/* Whoever cannot be charged is not bound, and what was made to be bound to is not made. */
TEST_F_TIMEOUT(fail_in, create_and_bind, 300)
{
	struct kvbm_registry_create r;
	struct kvbm_manager_create m;
	struct kvbm_counters c;
	int fd = kv_open();

	registry_init(&r, "bound");
	ASSERT_EQ(0, kv(fd, KVBM_REGISTRY_CREATE, &r));
	manager_init(&m, r.out_id, "m", BLOCKS);
	m.bind_flags = ALL_RIGHTS;
	ASSERT_TRUE(find_function("kvbm_quota_join", "kvbm", &self->span));
	refused(_metadata, &self->span, fd, KVBM_MANAGER_CREATE, &m, KVBM_MANAGER_LIST,
		-ENOMEM);
	EXPECT_EQ(-ENOTCONN, kv_counters(fd, 0, &c));
	EXPECT_NE(0, access("/sys/class/kvbm/bound:m", F_OK));
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_CREATE, &m));
	EXPECT_EQ(0, kv_counters(fd, 0, &c));
	EXPECT_EQ(0, kv_destroy(fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	EXPECT_EQ(0, kv_destroy(fd, KVBM_REGISTRY_DESTROY, r.out_id, 0));
	close(fd);
}

/* The one descriptor below 256 that was not there before, -1 for none, -2 for many. */
static int new_descriptor(const bool *before)
{
	int fd, found = -1;

	for (fd = 0; fd < 256; fd++) {
		if (before[fd] || fcntl(fd, F_GETFD) < 0)
			continue;
		if (found >= 0)
			return -2;
		found = fd;
	}
	return found;
}

/* Whoever cannot be told of a descriptor does not have it, whether asked for or not. */
TEST_F_TIMEOUT(fail_in, segments, 300)
{
	struct kvbm_segment segment, out;
	struct kvbm_backing_get a = { .size = sizeof(a), .count = 1,
				      .segments = ptr(&out) };
	bool before[256];
	struct kv_world w;
	int fd, i;

	ASSERT_EQ(0, kv_world_make(&w, BLOCKS, KVBM_DUP_ALLOW));
	fd = kv_memfd(BLOCKS * 4096);
	segment = kv_segment(fd, KVBM_BACKING_MEMFD, 0, 4096, 4096);
	ASSERT_EQ(0, kv_set_backing(w.session, 0, 1, &segment));
	close(fd);
	for (fd = 0; fd < 256; fd++)
		before[fd] = fcntl(fd, F_GETFD) >= 0;
	for (i = 0; i < 2; i++) {
		a.flags = i ? KVBM_BACKING_FDS : 0;
		CONFINE("kvbm_call_put", "kvbm");
		ASSERT_TRUE(fail_all(true));
		EXPECT_EQ(-EFAULT, kv(w.session, KVBM_BACKING_GET, &a));
		ASSERT_TRUE(reset_faults());
		EXPECT_EQ(0u, a.out_total);
		EXPECT_EQ(-1, new_descriptor(before));
		ASSERT_EQ(0, kv(w.session, KVBM_BACKING_GET, &a));
		EXPECT_EQ(1u, a.out_total);
		EXPECT_EQ(i ? out.fd : -1, new_descriptor(before));
		a.out_total = 0;
	}
	close(out.fd);
	EXPECT_EQ(0, kv_world_end(&w));
}

/* Whether one can listen when there may be so many bytes. */
static bool suffices(const struct kv_world *w, uint64_t bytes)
{
	struct kvbm_events_open a = { .size = sizeof(a), .registry = w->registry };
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	if (kv_set_parameter("max_bytes", text) || kv(w->fd, KVBM_EVENTS_OPEN, &a))
		return false;
	close(a.out_fd);
	return true;
}

/* The ring is large, and comes another way than small memory does. */
TEST_F_TIMEOUT(fail_in, event_ring, 300)
{
	struct kvbm_events_open a = { .size = sizeof(a) };
	uint64_t low = 1, high = 1 << 24;
	struct kv_world w;

	ASSERT_EQ(0, kv_world_make(&w, BLOCKS, KVBM_DUP_ALLOW));
	a.registry = w.registry;
	ASSERT_TRUE(suffices(&w, high));
	while (low + 1 < high) {
		if (suffices(&w, (low + high) / 2))
			high = (low + high) / 2;
		else
			low = (low + high) / 2;
	}
	ASSERT_EQ(0, kv_set_parameter("max_bytes", "0"));
	CONFINE("kvbm_event_listen", "kvbm");
	ASSERT_TRUE(fail_all(true));
	EXPECT_EQ(-ENOMEM, kv(w.fd, KVBM_EVENTS_OPEN, &a));
	ASSERT_TRUE(reset_faults());
	EXPECT_EQ(0u, event_stats(w.fd, w.registry).listeners);
	EXPECT_EQ(0u, event_stats(w.fd, w.registry).ring_bytes);
	/* Nothing is charged for it. */
	EXPECT_TRUE(suffices(&w, high));
	EXPECT_FALSE(suffices(&w, high - 1));
	ASSERT_EQ(0, kv_set_parameter("max_bytes", "0"));
	EXPECT_EQ(0, kv_world_end(&w));
}

/* So many sessions that the list of them takes more than the stack has. */
TEST_F_TIMEOUT(fail_in, sessions, 300)
{
	struct kvbm_session_info info[32];
	struct kvbm_manager_sessions a = { .size = sizeof(a), .count = ARRAY_SIZE(info),
					   .sessions = ptr(info) };
	int others[ARRAY_SIZE(info) - 1];
	struct kv_world w;
	unsigned int i;

	ASSERT_EQ(0, kv_world_make(&w, BLOCKS, KVBM_DUP_ALLOW));
	for (i = 0; i < ARRAY_SIZE(others); i++)
		others[i] = kv_session(w.manager, KVBM_BIND_READ);
	a.id = w.manager;
	CONFINE("kvbm_arrays_init", "kvbm");
	ASSERT_TRUE(fail_all(true));
	EXPECT_EQ(-ENOMEM, kv(w.fd, KVBM_MANAGER_SESSIONS, &a));
	ASSERT_TRUE(reset_faults());
	EXPECT_EQ(0u, a.out_count);
	ASSERT_EQ(0, kv(w.fd, KVBM_MANAGER_SESSIONS, &a));
	EXPECT_EQ(ARRAY_SIZE(info), a.out_count);
	for (i = 0; i < ARRAY_SIZE(others); i++)
		close(others[i]);
	EXPECT_EQ(0, kv_world_end(&w));
}

/* Arrays for which the stack is too small, in calls that take nothing. */
TEST_F_TIMEOUT(fail_in, arrays, 300)
{
	struct kvbm_hash h[100];
	struct kvbm_match probe = { .size = sizeof(probe), .flags = KVBM_MATCH_PROBE,
				    .count = ARRAY_SIZE(h), .hashes = ptr(h) };
	struct kvbm_segment in[100], out[100];
	struct kvbm_backing_get get = { .size = sizeof(get), .count = ARRAY_SIZE(out),
					.segments = ptr(out) };
	struct kvbm_token t[BLOCKS];
	unsigned int i, fd;
	struct kv_world w;

	ASSERT_EQ(0, kv_world_make(&w, BLOCKS, KVBM_DUP_ALLOW));
	fd = kv_memfd(BLOCKS * 4096);
	for (i = 0; i < ARRAY_SIZE(in); i++)
		in[i] = kv_segment(fd, KVBM_BACKING_MEMFD, 0, 4096, 4096);
	ASSERT_EQ(0, kv_set_backing(w.session, 0, ARRAY_SIZE(in), in));
	close(fd);
	kv_hashes(h, 1, ARRAY_SIZE(h));
	ASSERT_EQ(0, kv_fill(w.session, 1, BLOCKS, t));
	memset(out, 0x5a, sizeof(out));
	CONFINE("kvbm_arrays_init", "kvbm");
	ASSERT_TRUE(fail_all(true));
	EXPECT_EQ(-ENOMEM, kv(w.session, KVBM_MATCH, &probe));
	EXPECT_EQ(-ENOMEM, kv(w.session, KVBM_BACKING_GET, &get));
	ASSERT_TRUE(reset_faults());
	EXPECT_EQ(0u, probe.out_count);
	EXPECT_EQ(0x5a5a5a5a, out[0].fd);
	ASSERT_EQ(0, kv(w.session, KVBM_MATCH, &probe));
	EXPECT_EQ(BLOCKS, probe.out_count);
	ASSERT_EQ(0, kv(w.session, KVBM_BACKING_GET, &get));
	EXPECT_EQ(ARRAY_SIZE(out), get.out_count);
	EXPECT_EQ(-1, out[0].fd);
	EXPECT_EQ(0, kv_world_end(&w));
}

/* Every group above that of the caller is charged, or none. */
TEST_F_TIMEOUT(fail_in, groups, 300)
{
	struct kvbm_quota q;
	unsigned int nth = 1, refused = 0;
	struct kv_world w;
	int fd, err, charged;

	mkdir(CGROUP "/kvbm-in", 0755);
	mkdir(CGROUP "/kvbm-in/below", 0755);
	if (kv_enter_cgroup(CGROUP "/kvbm-in/below"))
		SKIP(return, "no cgroup v2");
	ASSERT_EQ(0, kv_world_make(&w, BLOCKS, KVBM_DUP_ALLOW));
	close(w.session);
	CONFINE("kvbm_quota_join", "kvbm");
	for (;; nth++) {
		fd = kv_open();
		arm(nth);
		err = kv_bind(fd, w.manager, ALL_RIGHTS);
		if (!disarm())
			break;
		refused += !!err;
		/* Some faults a kernel with checkers survives. */
		charged = err ? -ENOENT : 0;
		EXPECT_TRUE(!err || err == -ENOMEM);
		EXPECT_EQ(charged, kv_next_quota(w.fd, w.manager, KVBM_QUOTA_CGROUP, 0, &q));
		EXPECT_EQ(charged, kv_next_quota(w.fd, w.manager, KVBM_QUOTA_UID, 0, &q));
		close(fd);
	}
	EXPECT_EQ(0, err);
	/* At least for the user, both groups, and the one above all. */
	EXPECT_LE(4u, refused);
	EXPECT_EQ(0, kv_next_quota(w.fd, w.manager, KVBM_QUOTA_CGROUP, 0, &q));
	EXPECT_EQ(0, kv_next_quota(w.fd, w.manager, KVBM_QUOTA_UID, 0, &q));
	w.session = fd;
	EXPECT_EQ(0, kv_world_end(&w));
	EXPECT_EQ(0, kv_enter_cgroup(CGROUP));
	EXPECT_EQ(0, rmdir(CGROUP "/kvbm-in/below"));
	EXPECT_EQ(0, rmdir(CGROUP "/kvbm-in"));
}

static void message(struct nl_message *m, int family, int cmd, uint64_t registry)
{
	nl_init(m, family, cmd, NLM_F_ACK);
	nl_put(m, KVBM_NL_A_REGISTRY, &registry, sizeof(registry));
}

/* By netlink: who was refused does not listen. */
TEST_F_TIMEOUT(fail_in, subscription, 300)
{
	unsigned int nth = 1, refused = 0;
	int nl = nl_open(0), err, sent;
	bool happened = true;
	struct nl_family family;
	struct nl_message m;
	struct kv_world w;

	ASSERT_EQ(0, kv_world_make(&w, BLOCKS, KVBM_DUP_ALLOW));
	ASSERT_EQ(0, nl_find(nl, &family));
	CONFINE("events_start", "kvbm");
	for (; happened; nth++) {
		message(&m, family.id, KVBM_NL_CMD_EVENTS_START, w.registry);
		arm(nth);
		sent = nl_send(nl, &m);
		happened = disarm();
		ASSERT_EQ(0, sent);
		err = nl_answers(nl, m.h.nlmsg_seq, NULL, NULL);
		EXPECT_EQ(!err, event_stats(w.fd, w.registry).listeners);
		EXPECT_EQ(!err, !!event_stats(w.fd, w.registry).ring_bytes);
		if (!err) {
			message(&m, family.id, KVBM_NL_CMD_EVENTS_STOP, w.registry);
			EXPECT_EQ(0, nl_ask(nl, &m, NULL, NULL));
			continue;
		}
		EXPECT_EQ(-ENOMEM, err);
		EXPECT_TRUE(happened);
		refused++;
	}
	EXPECT_EQ(0, err);
	/* At least for the answer, who asks, and the feed. */
	EXPECT_LE(3u, refused);
	close(nl);
	EXPECT_EQ(0, kv_world_end(&w));
}

static void count_messages(void *arg, const struct nlmsghdr *h)
{
	++*(unsigned int *)arg;
}

/* A dump of contents that cannot begin; the socket is as good as before. */
TEST_F_TIMEOUT(fail_in, content, 300)
{
	struct nl_family family;
	unsigned int n = 0, i;
	struct nl_message m;
	struct kv_world w;
	int nl = nl_open(0);

	ASSERT_EQ(0, kv_world_make(&w, BLOCKS, KVBM_DUP_ALLOW));
	ASSERT_EQ(0, nl_find(nl, &family));
	CONFINE("content_start", "kvbm");
	for (i = 0; i < 2; i++) {
		nl_init(&m, family.id, KVBM_NL_CMD_CONTENT_GET, NLM_F_DUMP);
		nl_put(&m, KVBM_NL_A_REGISTRY, &w.registry, sizeof(w.registry));
		if (!i)
			ASSERT_TRUE(fail_all(true));
		EXPECT_EQ(i ? 0 : -ENOMEM, nl_ask(nl, &m, count_messages, &n));
		ASSERT_TRUE(reset_faults());
		EXPECT_EQ(i, n);
	}
	close(nl);
	EXPECT_EQ(0, kv_world_end(&w));
}

static int one_event(int s, uint32_t chain)
{
	struct kvbm_token t;
	int err = kv_fill(s, chain, 1, &t);

	return err ?: kv_release(s, 1, &t);
}

/* Messages for which there was no memory: all who listen hear of the loss. */
TEST_F_TIMEOUT(fail_in, messages, 300)
{
	static char buf[NL_BUFFER] __attribute__((__aligned__(8)));
	const struct nlmsghdr *h = (void *)buf;
	int nl = nl_open(1 << 20), i;
	struct nl_family family;
	struct nl_message m;
	struct pollfd p = { .fd = nl, .events = POLLIN };
	struct kv_world w;
	uint64_t first;

	ASSERT_EQ(0, kv_world_make(&w, BLOCKS, KVBM_DUP_ALLOW));
	ASSERT_EQ(0, nl_find(nl, &family));
	ASSERT_EQ(0, nl_join(nl, family.group));
	message(&m, family.id, KVBM_NL_CMD_EVENTS_START, w.registry);
	ASSERT_EQ(0, nl_ask(nl, &m, NULL, NULL));
	first = event_stats(w.fd, w.registry).next;
	CONFINE("feed_work", "kvbm");
	/* Of the worker, whichever that is. */
	ASSERT_TRUE(fail_all(false));
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, one_event(w.session, i));
	ASSERT_EQ(1, poll(&p, 1, 20000));
	EXPECT_EQ(-1, recv(nl, buf, sizeof(buf), 0));
	EXPECT_EQ(ENOBUFS, errno);
	/* All three, perhaps one by one. */
	while (poll(&p, 1, 200) == 1)
		EXPECT_EQ(-1, recv(nl, buf, sizeof(buf), 0));
	ASSERT_TRUE(reset_faults());
	ASSERT_EQ(0, one_event(w.session, 3));
	ASSERT_LT(0, recv(nl, buf, sizeof(buf), 0));
	EXPECT_EQ(first + 3, nl_u64(h, KVBM_NL_A_FIRST));
	EXPECT_EQ(3u, nl_u64(h, KVBM_NL_A_DROPPED));
	close(nl);
	EXPECT_EQ(0, kv_world_end(&w));
}

/* A module that cannot begin leaves nothing, whatever it was that was missing. */
TEST_F_TIMEOUT(fail_in, module_init, 600)
{
	uint64_t end = now_ns() + 5 * kvbm_long() * 1000000000ull;
	unsigned int nth = 1, step = 1, refused = 0, loads = 0;
	bool happened = true;
	struct stat device;
	int err;

	if (access(KVBM_KO, R_OK))
		SKIP(return, "no " KVBM_KO);
	ASSERT_EQ(0, stat(KVBM_DEV, &device));
	CONFINE("do_one_initcall", "");
	ASSERT_EQ(0, unload_module());
	for (; happened; nth += step) {
		arm(nth);
		err = load_module();
		happened = disarm();
		loads++;
		if (err) {
			refused++;
			EXPECT_EQ(-ENOMEM, err)
				TH_LOG("fault %u", nth);
			EXPECT_NE(0, access(KVBM_DEV, F_OK));
			EXPECT_NE(0, access("/sys/class/kvbm", F_OK));
			EXPECT_NE(0, access("/sys/module/kvbm", F_OK));
		} else if (happened) {
			/* What it does not need, as the event of a new device. */
			ASSERT_EQ(0, unload_module());
		}
		if (now_ns() > end)
			step = 1 + nth / 8;
	}
	EXPECT_EQ(0, err);
	EXPECT_LT(0u, refused);
	EXPECT_EQ(0, own_device(&device));
	printf("# %u loads, %u refused%s\n", loads, refused,
	       step > 1 ? " (out of time: not each)" : "");
}

TEST_HARNESS_MAIN
