// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Events through libkvbm: streams, policies, and views, which must be exact after
 * any loss. Built twice: with the address sanitizer, and with the thread sanitizer.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include <kvbm/events.h>
#ifdef KVBM_TEST_NETLINK
#include <kvbm/events_netlink.h>
#endif

#include "lib_fixture.h"

#define RECORD		sizeof(struct kvbm_event_record)
#define RING_PARAMETER	"/sys/module/kvbm/parameters/event_ring"

/* Bytes of the rings that are made from now on. */
static bool set_ring(uint32_t bytes)
{
	FILE *f;

	kvbm_ns_event_ring = bytes;
	if (is_inproc())
		return true;
	f = fopen(RING_PARAMETER, "w");
	if (!f)
		return false;
	fprintf(f, "%u", bytes);
	return !fclose(f);
}

static const struct kvbm_event_record *next(struct kvbm_events *e)
{
	const struct kvbm_event_record *r;

	return kvbm_events_next(e, &r, 0) == 1 ? r : NULL;
}

static void cache(struct fixture *f, uint32_t first, size_t n)
{
	struct kvbm_immutable *g = calloc(n, sizeof(*g));

	fill(f, first, n, g);
	ASSERT_EQ(kvbm_release(f->s, n, g), 0);
	free(g);
}

/* --- Streams */

static void stream(void)
{
	const struct kvbm_event_record *r;
	struct kvbm_hash hash;
	struct kvbm_events *e;
	struct pollfd p = { .events = POLLIN };
	struct fixture f;
	uint64_t expected;
	uint32_t i;

	set_up(&f, 16);
	EXPECT_EQ(kvbm_events_open(f.kvbm, 0, &e), -ENOENT);
	EXPECT_EQ(kvbm_events_open(f.kvbm, 1ULL << 60, &e), -ENOENT);
	ASSERT_EQ(kvbm_events_open(f.kvbm, f.registry, &e), 0);
	expected = kvbm_events_expected(e);
	EXPECT(expected > 1);
	p.fd = kvbm_events_fd(e);
	ASSERT(p.fd >= 0);
	EXPECT_EQ(poll(&p, 1, 0), 0);
	EXPECT_EQ(kvbm_events_next(e, &r, 0), 0);
	EXPECT_EQ(kvbm_events_next(e, &r, 1), 0);
	cache(&f, 0, 8);
	EXPECT_EQ(poll(&p, 1, 0), 1);
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(kvbm_events_next(e, &r, -1), 1);
		hashes_of(i, 1, &hash);
		EXPECT_EQ(r->sequence, expected + i);
		EXPECT_EQ(r->type, KVBM_EVENT_STORED);
		EXPECT_EQ(r->manager, f.manager);
		EXPECT(!memcmp(&r->hash, &hash, sizeof(hash)));
		EXPECT_EQ(kvbm_events_gap(e), 0);
	}
	EXPECT_EQ(kvbm_events_next(e, &r, 0), 0);
	EXPECT_EQ(poll(&p, 1, 0), 0);
	EXPECT_EQ(kvbm_events_expected(e), expected + 8);
	EXPECT_EQ(kvbm_events_lost(e), 0);
	kvbm_events_close(e);
	kvbm_events_close(NULL);
	tear_down(&f);
}

/* The connection may go; the registry may, too, and that is the end. */
static void outlives(void)
{
	const struct kvbm_event_record *r;
	struct kvbm_events *e;
	struct pollfd p = { .events = POLLIN };
	struct fixture f;

	set_up(&f, 4);
	ASSERT_EQ(kvbm_events_open(f.kvbm, f.registry, &e), 0);
	cache(&f, 0, 1);
	tear_down(&f);
	p.fd = kvbm_events_fd(e);
	EXPECT_EQ(kvbm_events_next(e, &r, -1), 1);
	EXPECT_EQ(r->type, KVBM_EVENT_STORED);
	EXPECT_EQ(kvbm_events_next(e, &r, -1), 1);
	EXPECT_EQ(r->type, KVBM_EVENT_CLEARED);
	EXPECT_EQ(kvbm_events_next(e, &r, -1), 1);
	EXPECT_EQ(r->type, KVBM_EVENT_MANAGER_DESTROYED);
	EXPECT_EQ(poll(&p, 1, -1), 1);
	EXPECT_EQ(kvbm_events_next(e, &r, -1), -ENODATA);
	EXPECT_EQ(kvbm_events_next(e, &r, 0), -ENODATA);
	kvbm_events_close(e);
}

static void gaps(void)
{
	const struct kvbm_event_record *r;
	struct kvbm_registry_query q;
	struct kvbm_events *e;
	struct fixture f;
	uint64_t expected;
	uint32_t i, n;

	if (!set_ring(1)) {
		printf("# no rights to set the size of rings\n");
		return;
	}
	set_up(&f, 2000);
	ASSERT_EQ(kvbm_events_open(f.kvbm, f.registry, &e), 0);
	expected = kvbm_events_expected(e);
	for (i = 0; i < 1000; i++)
		cache(&f, i, 1);
	ASSERT_EQ(kvbm_events_next(e, &r, 0), 1);
	EXPECT_EQ(kvbm_events_gap(e), r->sequence - expected);
	EXPECT(kvbm_events_gap(e) > 500);
	for (n = 1; next(e); n++)
		EXPECT_EQ(kvbm_events_gap(e), 0);
	EXPECT_EQ(kvbm_events_lost(e) + n, 1000);
	ASSERT_EQ(kvbm_query_registry(f.kvbm, f.registry, &q), 0);
	EXPECT_EQ(q.out_events.dropped, kvbm_events_lost(e));
	EXPECT_EQ(q.out_events.next, kvbm_events_expected(e));
	kvbm_events_close(e);
	tear_down(&f);
	set_ring(1 << 20);
}

static void from_fd(void)
{
	const struct kvbm_event_record *r;
	struct kvbm_events *e, *other;
	int pipes[2], fd;
	struct fixture f;

	set_up(&f, 4);
	ASSERT_EQ(pipe(pipes), 0);
	EXPECT_EQ(kvbm_events_from_fd(-1, &other), -EBADF);
	EXPECT_EQ(kvbm_events_from_fd(pipes[0], &other), -EPROTO);
	if (!is_inproc()) {
		EXPECT_EQ(kvbm_events_from_fd(kvbm_session_fd(f.s), &other), -EPROTO);
		ASSERT_EQ(kvbm_events_open(f.kvbm, f.registry, &e), 0);
		fd = dup(kvbm_events_fd(e));
		kvbm_events_close(e);
		cache(&f, 0, 1);
		ASSERT_EQ(kvbm_events_from_fd(fd, &other), 0);
		EXPECT_EQ(kvbm_events_expected(other), 0);
		cache(&f, 1, 1);
		ASSERT_EQ(kvbm_events_next(other, &r, 0), 1);
		EXPECT_EQ(r->type, KVBM_EVENT_STORED);
		ASSERT_EQ(kvbm_events_next(other, &r, 0), 1);
		EXPECT_EQ(kvbm_events_next(other, &r, 0), 0);
		EXPECT_EQ(kvbm_events_lost(other), 0);
		kvbm_events_close(other);
	}
	close(pipes[0]);
	close(pipes[1]);
	tear_down(&f);
}

/* A transport that says what it is told to. */
struct fake {
	struct kvbm_event_record records[16];
	size_t have, at;
	int error;
	bool closed;
};

static ssize_t fake_read(void *arg, void *buf, size_t size)
{
	size_t left, n;
	struct fake *f = arg;

	if (f->error) {
		n = f->error;
		f->error = 0;
		return -(ssize_t)n;
	}
	left = (f->have - f->at) * RECORD;
	if (!left)
		return -EAGAIN;
	n = left < size ? left : size;
	memcpy(buf, f->records + f->at, n);
	f->at = f->have;
	return n;
}

static int fake_dump(void *arg, struct kvbm_events_dump *dump)
{
	(void)arg;
	dump->manager = 0;
	dump->out_first = 1;
	return 0;
}

static int fake_fd(void *arg)
{
	(void)arg;
	return -1;
}

static void fake_close(void *arg)
{
	((struct fake *)arg)->closed = true;
}

static const struct kvbm_event_source fake_source = {
	.read = fake_read, .dump = fake_dump, .fd = fake_fd, .close = fake_close,
};

static struct kvbm_event_record record_of(uint64_t sequence)
{
	return (struct kvbm_event_record){
		.size = RECORD, .version = KVBM_EVENT_VERSION,
		.type = KVBM_EVENT_STORED, .sequence = sequence,
	};
}

static void sources(void)
{
	static const uint64_t sequences[] = { 3, 5, 6, 7, 20 };
	const struct kvbm_event_record *r;
	struct fake fake = { .have = 5 };
	struct kvbm_events *e;
	uint32_t i;

	for (i = 0; i < 5; i++)
		fake.records[i] = record_of(sequences[i]);
	ASSERT_EQ(kvbm_events_from_source(&fake_source, &fake, 5, &e), 0);
	/* 3 was seen before. */
	for (i = 1; i < 5; i++) {
		ASSERT_EQ(kvbm_events_next(e, &r, 0), 1);
		EXPECT_EQ(r->sequence, sequences[i]);
		EXPECT_EQ(kvbm_events_gap(e), i == 4 ? 12 : 0);
	}
	EXPECT_EQ(kvbm_events_lost(e), 12);
	EXPECT_EQ(kvbm_events_next(e, &r, 0), 0);
	fake.error = ENOBUFS;
	EXPECT_EQ(kvbm_events_next(e, &r, 0), -ENOBUFS);
	kvbm_events_close(e);
	EXPECT(fake.closed);
}

/* What makes no sense is an error, and not looked at further. */
static void malformed(void)
{
	const struct kvbm_event_record *r;
	struct kvbm_events *e;
	uint32_t i;

	for (i = 0; i < 7; i++) {
		struct fake fake = { .have = 1 };
		struct kvbm_event_record *bad = &fake.records[0];

		*bad = record_of(1);
		if (i == 0)
			bad->size = 0;
		else if (i == 1)
			bad->size = RECORD - 8;
		else if (i == 2)
			bad->size = RECORD + 8;
		else if (i == 3)
			bad->size = UINT32_MAX;
		else if (i == 4)
			bad->version = 2;
		else if (i == 5)
			bad->aux_size = 1;
		else
			bad->aux_size = UINT32_MAX;
		ASSERT_EQ(kvbm_events_from_source(&fake_source, &fake, 1, &e), 0);
		EXPECT_EQ(kvbm_events_next(e, &r, 0), -EPROTO);
		EXPECT_EQ(kvbm_events_next(e, &r, 0), 0);
		kvbm_events_close(e);
	}
}

/* --- Policies */

static bool wanted(struct kvbm_event_policy policy, uint32_t position)
{
	struct kvbm_event_record r = record_of(1);

	r.hash_size = sizeof(r.hash);
	ASSERT_EQ(kvbm_plh(17, 4, position, &r.hash), 0);
	return kvbm_event_wanted(&policy, &r);
}

static void power_of_two_accepts(void)
{
	uint32_t n;

	for (n = 4; n <= 16; n++)
		EXPECT(wanted(KVBM_EVENT_POLICY_POWER_OF_TWO, 1U << n));
}

static void power_of_two_rejects(void)
{
	static const uint32_t others[] = { 17, 20, 24, 31, 33, 100, 1000, 65535 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(others); i++)
		EXPECT(!wanted(KVBM_EVENT_POLICY_POWER_OF_TWO, others[i]));
}

static void power_of_two_range(void)
{
	static const uint32_t outside[] = { 0, 1, 2, 4, 8, 1 << 17, 1 << 23 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(outside); i++)
		EXPECT(!wanted(KVBM_EVENT_POLICY_POWER_OF_TWO, outside[i]));
}

static void power_of_two_custom(void)
{
	struct kvbm_event_policy policy = { KVBM_EVENTS_POWER_OF_TWO, 32, 128 };

	EXPECT(!wanted(policy, 16));
	EXPECT(wanted(policy, 32));
	EXPECT(wanted(policy, 64));
	EXPECT(wanted(policy, 128));
	EXPECT(!wanted(policy, 256));
	EXPECT(!wanted(policy, 48));
}

static void all_is_wanted(void)
{
	struct kvbm_event_policy two = KVBM_EVENT_POLICY_POWER_OF_TWO;
	struct kvbm_event_record r = record_of(1);

	EXPECT(wanted(KVBM_EVENT_POLICY_ALL, 0));
	EXPECT(wanted(KVBM_EVENT_POLICY_ALL, 17));
	/* What is about no block. */
	r.type = KVBM_EVENT_CLEARED;
	EXPECT(kvbm_event_wanted(&two, &r));
	/* No positional hash: of no position. */
	r.hash_size = 16;
	r.hash.hi = UINT64_MAX;
	EXPECT(!kvbm_event_wanted(&two, &r));
	EXPECT_EQ(kvbm_event_position(&r), 0);
}

/* Registered blocks, by policy, at every stream. */
static void policies_of_events(void)
{
	static const uint32_t positions[] = { 16, 17, 32, 64 };
	struct kvbm_event_policy two = KVBM_EVENT_POLICY_POWER_OF_TWO;
	struct kvbm_event_policy all = KVBM_EVENT_POLICY_ALL;
	const struct kvbm_event_record *r;
	struct kvbm_drained drained;
	struct kvbm_events *e[2];
	uint32_t i, j, position;
	struct fixture f;

	set_up(&f, 8);
	for (j = 0; j < 2; j++)
		ASSERT_EQ(kvbm_events_open(f.kvbm, f.registry, &e[j]), 0);
	for (i = 0; i < ARRAY_SIZE(positions); i++)
		cache(&f, positions[i], 1);
	ASSERT_EQ(kvbm_drain(f.s, &drained), 0);
	for (j = 0; j < 2; j++) {
		for (i = 0; i < 2 * ARRAY_SIZE(positions); i++) {
			r = next(e[j]);
			ASSERT(r);
			EXPECT_EQ(r->type, i < ARRAY_SIZE(positions) ?
				  KVBM_EVENT_STORED : KVBM_EVENT_REMOVED);
			position = kvbm_event_position(r);
			EXPECT_EQ(position, positions[i % ARRAY_SIZE(positions)]);
			EXPECT(kvbm_event_wanted(&all, r));
			EXPECT_EQ(kvbm_event_wanted(&two, r), position != 17);
		}
		kvbm_events_close(e[j]);
	}
	tear_down(&f);
}

/* --- Views */

#define NR_HASHES	600
#define NR_MANAGERS	3
#define BLOCKS		200

/* What the changes of a view add up to; only what can happen is allowed. */
struct mirror {
	uint64_t ids[NR_MANAGERS];
	bool present[NR_MANAGERS][NR_HASHES];
	size_t count;
	size_t changes;
};

static int change(void *arg, const struct kvbm_event_record *r)
{
	struct mirror *m = arg;
	uint32_t i, position;
	bool *present;

	m->changes++;
	if (r->type == KVBM_EVENT_MANAGER_CREATED ||
	    r->type == KVBM_EVENT_MANAGER_DESTROYED)
		return 0;
	for (i = 0; i < NR_MANAGERS && m->ids[i] != r->manager; )
		i++;
	/* Of a manager that was replaced: the last of it is being told. */
	if (i == NR_MANAGERS)
		return 0;
	if (r->type == KVBM_EVENT_CLEARED) {
		for (position = 0; position < NR_HASHES; position++)
			m->count -= m->present[i][position];
		memset(m->present[i], 0, sizeof(m->present[i]));
		return 0;
	}
	position = kvbm_event_position(r);
	EXPECT(position < NR_HASHES);
	present = &m->present[i][position % NR_HASHES];
	EXPECT_EQ(*present, r->type == KVBM_EVENT_REMOVED);
	*present = r->type == KVBM_EVENT_STORED;
	m->count += *present ? 1 : -1;
	return 0;
}

struct world {
	struct fixture f;
	struct kvbm_session *sessions[NR_MANAGERS];
	uint64_t ids[NR_MANAGERS];
	uint64_t seed;
};

static uint32_t below(struct world *w, uint32_t n)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return (uint32_t)(w->seed >> 32) % n;
}

static void make_manager(struct world *w, uint32_t i)
{
	struct kvbm_manager_create attr;
	char name[16];

	snprintf(name, sizeof(name), "v%u", i);
	kvbm_manager_attr_init(&attr, w->f.registry, name, BLOCKS);
	attr.tier = KVBM_TIER_G1 + i;
	ASSERT_EQ(kvbm_create_manager(w->f.kvbm, &attr, &w->ids[i]), 0);
	ASSERT_EQ(kvbm_bind(w->f.kvbm, w->ids[i], 0, &w->sessions[i]), 0);
}

static void end_manager(struct world *w, uint32_t i)
{
	kvbm_session_close(w->sessions[i]);
	ASSERT_EQ(kvbm_destroy_manager(w->f.kvbm, w->ids[i], false), 0);
}

static void world_begin(struct world *w)
{
	uint32_t i;

	memset(w, 0, sizeof(*w));
	w->seed = 88172645463325252ULL;
	set_up(&w->f, NR_MANAGERS * BLOCKS);
	for (i = 0; i < NR_MANAGERS; i++)
		make_manager(w, i);
}

static void world_end(struct world *w)
{
	uint32_t i;

	for (i = 0; i < NR_MANAGERS; i++)
		end_manager(w, i);
	tear_down(&w->f);
}

/* Some blocks of some manager become present; others are evicted for them. */
static void operate(struct world *w)
{
	struct fixture f = w->f;
	struct kvbm_drained drained;
	uint32_t i = below(w, NR_MANAGERS);
	uint32_t n = 1 + below(w, 4);

	f.s = w->sessions[i];
	if (!below(w, 500))
		ASSERT_EQ(kvbm_drain(f.s, &drained), 0);
	else
		cache(&f, below(w, NR_HASHES - n), n);
}

struct check {
	struct kvbm_view *view;
	struct mirror *mirror;
	size_t count;
};

static int check_entry(void *arg, const struct kvbm_event_record *r)
{
	struct check *c = arg;
	uint32_t i;

	c->count++;
	EXPECT(kvbm_view_has(c->view, r->manager, &r->hash));
	for (i = 0; i < NR_MANAGERS; i++)
		if (c->mirror->ids[i] == r->manager)
			EXPECT(c->mirror->present[i][kvbm_event_position(r)]);
	return 0;
}

static int count_one(void *arg, uint64_t manager, const struct kvbm_hash *hash)
{
	(void)manager;
	(void)hash;
	++*(size_t *)arg;
	return 0;
}

/* The view, and the sum of its changes, are what a dump tells now. */
static void expect_exact(struct world *w, struct kvbm_view *view,
			 struct mirror *mirror)
{
	struct check c = { .view = view, .mirror = mirror };
	struct kvbm_registry_query q;
	struct kvbm_dump_range range;
	struct kvbm_events *e;
	size_t each = 0;
	int ret;

	ASSERT_EQ(kvbm_query_registry(w->f.kvbm, w->f.registry, &q), 0);
	/* Nothing happens any more; what was lost last is found out, too. */
	while (!kvbm_view_is_exact(view) ||
	       kvbm_view_sequence(view) < q.out_events.next - 1) {
		ret = kvbm_view_update(view, 10);
		ASSERT(ret >= 0);
	}
	ASSERT_EQ(kvbm_events_open(w->f.kvbm, w->f.registry, &e), 0);
	ASSERT_EQ(kvbm_events_dump(e, check_entry, &c, &range), 0);
	EXPECT_EQ(range.first, range.last + 1);
	kvbm_events_close(e);
	EXPECT_EQ(kvbm_view_count(view), c.count);
	EXPECT_EQ(mirror->count, c.count);
	EXPECT_EQ(kvbm_view_each(view, count_one, &each), 0);
	EXPECT_EQ(each, c.count);
}

typedef int (*opener)(struct world *w, struct kvbm_events **out);

static int open_stream(struct world *w, struct kvbm_events **out)
{
	return kvbm_events_open(w->f.kvbm, w->f.registry, out);
}

/*
 * Random operations, and a consumer that is slow, killed, and given too little room
 * at random. At 100 random points it must be exact.
 */
static void exactness(opener open_it, int points, void (*shrink)(struct world *w,
								 struct kvbm_view *v))
{
	/* With KVBM_LONG=10 a million. */
	uint32_t operations = 1000 * kvbm_long();
	struct kvbm_view *view = NULL;
	uint64_t lost = 0, resyncs = 0;
	struct mirror mirror;
	struct kvbm_events *e;
	struct world w;
	int point, n, i;

	if (!set_ring(1)) {
		printf("# no rights to set the size of rings\n");
		return;
	}
	world_begin(&w);
	for (point = 0; point < points; point++) {
		if (view && !below(&w, 4)) {
			lost += kvbm_view_lost(view);
			resyncs += kvbm_view_resyncs(view);
			kvbm_view_close(view);
			view = NULL;
		}
		/* A ring of another size, if this is the only one who listens. */
		set_ring(16384U << below(&w, 3));
		if (!view) {
			memset(&mirror, 0, sizeof(mirror));
			memcpy(mirror.ids, w.ids, sizeof(w.ids));
			ASSERT_EQ(open_it(&w, &e), 0);
			ASSERT_EQ(kvbm_view_open(e, change, &mirror, &view), 0);
		}
		if (shrink)
			shrink(&w, view);
		if (!below(&w, 8)) {
			i = below(&w, NR_MANAGERS);
			end_manager(&w, i);
			make_manager(&w, i);
			for (n = 0; n < NR_HASHES; n++)
				mirror.count -= mirror.present[i][n];
			memset(mirror.present[i], 0, sizeof(mirror.present[i]));
			mirror.ids[i] = w.ids[i];
		}
		for (n = below(&w, operations); n; n--) {
			operate(&w);
			if (!below(&w, 100))
				ASSERT(kvbm_view_update(view, 0) >= 0);
		}
		expect_exact(&w, view, &mirror);
	}
	lost += kvbm_view_lost(view);
	resyncs += kvbm_view_resyncs(view);
	kvbm_view_close(view);
	printf("# %llu events lost, %llu dumps\n", (unsigned long long)lost,
	       (unsigned long long)resyncs);
	EXPECT(lost);
	EXPECT(resyncs > 10);
	world_end(&w);
	set_ring(1 << 20);
}

static void view_is_exact(void)
{
	exactness(open_stream, 100, NULL);
}

/*
 * A transport that loses the newest. Events are stores of the hashes 0, 1, 2 ...; a
 * read gives those up to @kept, a dump all up to @now.
 */
struct lossy {
	uint64_t read, kept, now;
	/* That so many happen while the next dump is made. */
	uint64_t meanwhile;
	bool overrun;
};

static struct kvbm_event_record lossy_record(uint64_t sequence)
{
	struct kvbm_event_record r = record_of(sequence);

	r.manager = 1;
	r.hash_size = sizeof(r.hash);
	hashes_of(sequence, 1, &r.hash);
	return r;
}

static ssize_t lossy_read(void *arg, void *buf, size_t size)
{
	struct lossy *l = arg;
	struct kvbm_event_record *r = buf;

	if (l->read == l->kept) {
		if (!l->overrun)
			return -EAGAIN;
		l->overrun = false;
		return -ENOBUFS;
	}
	while (l->read < l->kept && size >= (size_t)((char *)(r + 1) - (char *)buf))
		*r++ = lossy_record(++l->read);
	return (char *)r - (char *)buf;
}

static int lossy_dump(void *arg, struct kvbm_events_dump *dump)
{
	struct kvbm_event_record *r = (void *)(uintptr_t)dump->records;
	struct lossy *l = arg;
	uint64_t i;

	dump->out_first = l->now + 1;
	for (i = 1; i <= l->now; i++) {
		*r = lossy_record(i);
		r->sequence = 0;
		(r++)->flags = KVBM_EVENT_SNAPSHOT;
	}
	/* After the walk has passed them; nobody hears of these. */
	l->now += l->meanwhile;
	l->meanwhile = 0;
	dump->out_last = l->now;
	dump->out_bytes = (char *)r - (char *)(uintptr_t)dump->records;
	dump->manager = 0;
	return 0;
}

static void lossy_close(void *arg)
{
	(void)arg;
}

static const struct kvbm_event_source lossy_source = {
	.read = lossy_read, .dump = lossy_dump, .fd = fake_fd, .close = lossy_close,
};

/* With nothing after it that would show the loss. */
static void newest_are_lost(void)
{
	struct lossy l = { .read = 4, .kept = 4, .now = 4 };
	struct kvbm_view *view;
	struct kvbm_events *e;

	ASSERT_EQ(kvbm_events_from_source(&lossy_source, &l, 5, &e), 0);
	ASSERT_EQ(kvbm_view_open(e, NULL, NULL, &view), 0);
	while (kvbm_view_update(view, 0) > 0)
		;
	EXPECT(kvbm_view_is_exact(view));
	EXPECT_EQ(kvbm_view_sequence(view), 4);
	EXPECT_EQ(kvbm_view_resyncs(view), 1);

	/* 5 and 6 come, 7 to 9 do not. */
	l.kept = 6;
	l.now = 9;
	l.overrun = true;
	while (kvbm_view_update(view, 0) > 0)
		;
	EXPECT(kvbm_view_is_exact(view));
	EXPECT_EQ(kvbm_view_count(view), 9);
	EXPECT_EQ(kvbm_view_sequence(view), 9);
	EXPECT_EQ(kvbm_view_lost(view), 3);
	EXPECT_EQ(kvbm_view_resyncs(view), 2);

	/* What comes next is no gap. */
	l.read = 9;
	l.kept = 10;
	l.now = 10;
	EXPECT_EQ(kvbm_view_update(view, 0), 1);
	EXPECT(kvbm_view_is_exact(view));
	EXPECT_EQ(kvbm_view_lost(view), 3);
	EXPECT_EQ(kvbm_view_resyncs(view), 2);
	kvbm_view_close(view);
}

static int dump_of_one(void *arg, struct kvbm_events_dump *dump)
{
	struct kvbm_event_record *r = (void *)(uintptr_t)dump->records;

	(void)arg;
	*r = lossy_record(0);
	r->flags = KVBM_EVENT_SNAPSHOT;
	dump->out_first = 10;
	dump->out_last = 9;
	dump->out_bytes = sizeof(*r);
	dump->manager = 0;
	return 0;
}

static int count_change(void *arg, const struct kvbm_event_record *r)
{
	(void)r;
	++*(int *)arg;
	return 0;
}

/*
 * Events that come after a dump but are from before it change nothing: what came
 * between them and the dump may be lost.
 */
static void older_than_the_dump(void)
{
	static const struct kvbm_event_source source = {
		.read = fake_read, .dump = dump_of_one, .fd = fake_fd,
		.close = fake_close,
	};
	struct fake fake = { .have = 4 };
	struct kvbm_view *view;
	struct kvbm_events *e;
	int changes = 0;

	/* Then the hash of the dump was stored again, and these things undone. */
	fake.records[0] = lossy_record(0);
	fake.records[0].type = KVBM_EVENT_REMOVED;
	fake.records[1] = lossy_record(1);
	fake.records[2] = record_of(0);
	fake.records[2].type = KVBM_EVENT_CLEARED;
	fake.records[2].manager = 1;
	fake.records[3] = lossy_record(3);
	fake.records[0].sequence = 3;
	fake.records[1].sequence = 4;
	fake.records[2].sequence = 5;
	/* The first one that the dump may not have. */
	fake.records[3].sequence = 10;
	ASSERT_EQ(kvbm_events_from_source(&source, &fake, 3, &e), 0);
	ASSERT_EQ(kvbm_view_open(e, count_change, &changes, &view), 0);
	while (kvbm_view_update(view, 0) > 0)
		;
	EXPECT(kvbm_view_is_exact(view));
	EXPECT_EQ(kvbm_view_resyncs(view), 1);
	EXPECT_EQ(kvbm_view_lost(view), 4);
	EXPECT_EQ(kvbm_view_count(view), 2);
	EXPECT(kvbm_view_has(view, 1, &fake.records[0].hash));
	EXPECT(kvbm_view_has(view, 1, &fake.records[3].hash));
	EXPECT_EQ(changes, 2);
	kvbm_view_close(view);
}

/* A dump is worth nothing without the events from while it was made. */
static void lost_while_dumping(void)
{
	struct lossy l = { .read = 4, .kept = 4, .now = 4, .meanwhile = 3 };
	struct kvbm_view *view;
	struct kvbm_events *e;

	ASSERT_EQ(kvbm_events_from_source(&lossy_source, &l, 5, &e), 0);
	ASSERT_EQ(kvbm_view_open(e, NULL, NULL, &view), 0);
	while (kvbm_view_update(view, 0) > 0)
		EXPECT(!kvbm_view_is_exact(view) || kvbm_view_count(view) == 7);
	EXPECT(kvbm_view_is_exact(view));
	EXPECT_EQ(kvbm_view_count(view), 7);
	EXPECT_EQ(kvbm_view_sequence(view), 7);
	EXPECT_EQ(kvbm_view_lost(view), 3);
	EXPECT_EQ(kvbm_view_resyncs(view), 2);
	kvbm_view_close(view);
}

#ifdef KVBM_TEST_NETLINK
static int count_record(void *arg, const struct kvbm_event_record *r)
{
	(void)r;
	++*(size_t *)arg;
	return 0;
}

/* More than one read of a dump takes, and a dump that is refused. */
static void netlink_dump(void)
{
	struct kvbm_dump_range range;
	struct kvbm_events *e;
	struct fixture f;
	size_t n = 0;

	if (is_inproc() || geteuid())
		return;
	set_up(&f, 3000);
	cache(&f, 0, 3000);
	ASSERT_EQ(kvbm_events_open_netlink(f.registry, &e), 0);
	EXPECT_EQ(kvbm_events_dump(e, count_record, &n, &range), 0);
	EXPECT_EQ(n, 3000);
	EXPECT_EQ(range.first, kvbm_events_expected(e));
	EXPECT_EQ(range.first, range.last + 1);
	tear_down(&f);
	EXPECT_EQ(kvbm_events_dump(e, count_record, &n, &range), -ENOENT);
	kvbm_events_close(e);
}

/* Both ways out tell the same. */
static void netlink_same_records(void)
{
	const struct kvbm_event_record *r, *s;
	struct kvbm_drained drained;
	struct kvbm_events *e[2];
	struct fixture f;
	int i;

	if (is_inproc() || geteuid())
		return;
	set_up(&f, 100);
	ASSERT_EQ(kvbm_events_open(f.kvbm, f.registry, &e[0]), 0);
	ASSERT_EQ(kvbm_events_open_netlink(f.registry, &e[1]), 0);
	EXPECT_EQ(kvbm_events_expected(e[0]), kvbm_events_expected(e[1]));
	cache(&f, 0, 100);
	cache(&f, 200, 50);
	ASSERT_EQ(kvbm_drain(f.s, &drained), 0);
	/* 150 stored, 150 removed, and cleared. */
	for (i = 0; i < 301; i++) {
		ASSERT_EQ(kvbm_events_next(e[0], &r, -1), 1);
		ASSERT_EQ(kvbm_events_next(e[1], &s, -1), 1);
		ASSERT_EQ(r->size, s->size);
		EXPECT(!memcmp(r, s, r->size));
	}
	EXPECT_EQ(kvbm_events_next(e[0], &r, 0), 0);
	EXPECT_EQ(kvbm_events_next(e[1], &s, 0), 0);
	kvbm_events_close(e[0]);
	kvbm_events_close(e[1]);
	tear_down(&f);
}

static int open_netlink(struct world *w, struct kvbm_events **out)
{
	return kvbm_events_open_netlink(w->f.registry, out);
}

/* Room for few messages. */
static void shrink(struct world *w, struct kvbm_view *v)
{
	int bytes = 4096 << below(w, 8);

	setsockopt(kvbm_view_fd(v), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

static void netlink_view_is_exact(void)
{
	struct kvbm_events *e;

	if (is_inproc() || geteuid())
		return;
	EXPECT_EQ(kvbm_events_open_netlink(1ULL << 60, &e), -ENOENT);
	exactness(open_netlink, 100, shrink);
}
#endif

/* How often 200 blocks replace others: 4 million events, where that is quick. */
static uint32_t many_times(void)
{
#ifdef __SANITIZE_THREAD__
	return 500;
#else
	return is_inproc() ? 10000 : 200 * kvbm_long();
#endif
}

/* Stopped for millions of events: it costs nobody memory, and is exact after that. */
static void stopped_for_long(void)
{
	uint32_t i, times = many_times();
	struct kvbm_registry_query q;
	struct kvbm_view *view;
	struct kvbm_events *e;
	struct fixture f;
	uint64_t before;

	set_up(&f, 200);
	ASSERT_EQ(kvbm_events_open(f.kvbm, f.registry, &e), 0);
	ASSERT_EQ(kvbm_view_open(e, NULL, NULL, &view), 0);
	while (kvbm_view_update(view, 0) > 0)
		;
	before = kvbm_view_sequence(view);
	/* Each evicts those of the one before. */
	for (i = 0; i < times; i++)
		cache(&f, i % 2 * 200, 200);
	ASSERT_EQ(kvbm_query_registry(f.kvbm, f.registry, &q), 0);
	EXPECT_EQ(q.out_events.next, before + 1 + (2 * times - 1) * 200);
	EXPECT_EQ(q.out_events.ring_bytes, 1 << 20);
	while (kvbm_view_update(view, 0) > 0)
		;
	EXPECT(kvbm_view_is_exact(view));
	EXPECT_EQ(kvbm_view_sequence(view), q.out_events.next - 1);
	EXPECT_EQ(kvbm_view_count(view), 200);
	EXPECT(kvbm_view_lost(view) > q.out_events.next - before - (1 << 20) / RECORD - 2);
	kvbm_view_close(view);
	tear_down(&f);
}

/* One who changes, one who looks. */
static bool changing;

static void *keep_changing(void *arg)
{
	struct world *w = arg;
	int i;

	for (i = 0; i < 3000; i++)
		operate(w);
	__atomic_store_n(&changing, false, __ATOMIC_RELEASE);
	return NULL;
}

static void view_and_changes(void)
{
	struct mirror mirror = { .count = 0 };
	struct kvbm_view *view;
	struct kvbm_events *e;
	pthread_t thread;
	struct world w;
	int ret;

	if (!set_ring(1))
		return;
	world_begin(&w);
	memcpy(mirror.ids, w.ids, sizeof(w.ids));
	ASSERT_EQ(open_stream(&w, &e), 0);
	ASSERT_EQ(kvbm_view_open(e, change, &mirror, &view), 0);
	changing = true;
	ASSERT_EQ(pthread_create(&thread, NULL, keep_changing, &w), 0);
	while (__atomic_load_n(&changing, __ATOMIC_ACQUIRE)) {
		ret = kvbm_view_update(view, 10);
		ASSERT(ret >= 0);
	}
	pthread_join(thread, NULL);
	expect_exact(&w, view, &mirror);
	printf("# %zu changes, %llu events lost, %llu dumps\n", mirror.changes,
	       (unsigned long long)kvbm_view_lost(view),
	       (unsigned long long)kvbm_view_resyncs(view));
	kvbm_view_close(view);
	world_end(&w);
	set_ring(1 << 20);
}

/* A change that is refused ends the call, and is not told again. */
static int refuse_some(void *arg, const struct kvbm_event_record *r)
{
	int *n = arg;

	if (r->type != KVBM_EVENT_STORED)
		return 0;
	return ++*n % 3 ? 0 : -ECANCELED;
}

static void refused_changes(void)
{
	struct kvbm_view *view;
	struct kvbm_events *e;
	int told = 0, refused = 0, ret;
	struct kvbm_hash hash;
	struct fixture f;

	set_up(&f, 32);
	cache(&f, 0, 20);
	ASSERT_EQ(kvbm_events_open(f.kvbm, f.registry, &e), 0);
	ASSERT_EQ(kvbm_view_open(e, refuse_some, &told, &view), 0);
	EXPECT(!kvbm_view_is_exact(view));
	EXPECT_EQ(kvbm_view_count(view), 0);
	do {
		ret = kvbm_view_update(view, 0);
		refused += ret == -ECANCELED;
	} while (ret);
	cache(&f, 20, 10);
	do {
		ret = kvbm_view_update(view, 0);
		refused += ret == -ECANCELED;
	} while (ret);
	EXPECT(kvbm_view_is_exact(view));
	EXPECT_EQ(told, 30);
	EXPECT_EQ(refused, 10);
	EXPECT_EQ(kvbm_view_count(view), 30);
	hashes_of(29, 1, &hash);
	EXPECT(kvbm_view_has(view, f.manager, &hash));
	EXPECT_EQ(kvbm_view_managers(view, &hash), 1);
	hashes_of(30, 1, &hash);
	EXPECT(!kvbm_view_has(view, f.manager, &hash));
	EXPECT(!kvbm_view_has(view, f.manager + 1, &hash));
	EXPECT_EQ(kvbm_view_managers(view, &hash), 0);
	kvbm_view_close(view);
	kvbm_view_close(NULL);
	tear_down(&f);
}

static void view_of_the_end(void)
{
	struct kvbm_view *view;
	struct kvbm_events *e;
	struct fixture f;

	set_up(&f, 32);
	cache(&f, 0, 20);
	ASSERT_EQ(kvbm_events_open(f.kvbm, f.registry, &e), 0);
	ASSERT_EQ(kvbm_view_open(e, NULL, NULL, &view), 0);
	ASSERT(kvbm_view_update(view, 0) > 0);
	EXPECT_EQ(kvbm_view_count(view), 20);
	tear_down(&f);
	EXPECT_EQ(kvbm_view_update(view, -1), 2);
	EXPECT_EQ(kvbm_view_count(view), 0);
	EXPECT_EQ(kvbm_view_update(view, -1), -ENODATA);
	kvbm_view_close(view);
}

int main(void)
{
	static const struct tap_test tests[] = {
		TEST(stream),
		TEST(outlives),
		TEST(gaps),
		TEST(from_fd),
		TEST(sources),
		TEST(malformed),
		TEST(power_of_two_accepts),
		TEST(power_of_two_rejects),
		TEST(power_of_two_range),
		TEST(power_of_two_custom),
		TEST(all_is_wanted),
		TEST(policies_of_events),
		TEST(view_is_exact),
		TEST(newest_are_lost),
		TEST(lost_while_dumping),
		TEST(older_than_the_dump),
#ifdef KVBM_TEST_NETLINK
		TEST(netlink_dump),
		TEST(netlink_same_records),
		TEST(netlink_view_is_exact),
#endif
		TEST(stopped_for_long),
		TEST(view_and_changes),
		TEST(refused_changes),
		TEST(view_of_the_end),
	};

	return tap_run(tests, ARRAY_SIZE(tests));
}
