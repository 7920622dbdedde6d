// SPDX-License-Identifier: GPL-2.0
/*
 * Pins: blocks stay, whatever becomes of the session, until the last descriptor
 * is closed, wherever that is.
 */
#include <signal.h>
#include <sys/wait.h>

#include "kvbm_util.h"
#include "kselftest_harness.h"

#define BLOCKS	64u
#define N	8u

FIXTURE(pin)
{
	struct kv_world w;
	struct kvbm_token t[BLOCKS];
	struct kvbm_hash h[BLOCKS];
	int s;
};

FIXTURE_SETUP(pin)
{
	ASSERT_EQ(0, kv_world_make(&self->w, BLOCKS, KVBM_DUP_ALLOW));
	kv_hashes(self->h, 1, BLOCKS);
	self->s = kv_session(self->w.manager, ALL_RIGHTS);
	ASSERT_LE(0, self->s);
}

FIXTURE_TEARDOWN(pin)
{
	if (self->s >= 0)
		close(self->s);
	EXPECT_EQ(0, kv_world_end(&self->w));
}

static void end_session(struct _test_data_pin *self)
{
	close(self->s);
	self->s = -1;
}

static unsigned int blocks_in(struct _test_data_pin *self, uint32_t state)
{
	struct kvbm_counters c;

	return kv_counters(self->w.fd, self->w.manager, &c) ? ~0u : c.states[state];
}

static struct kvbm_slot_info slot_of(struct _test_data_pin *self, uint32_t id)
{
	struct kvbm_slot_info slot = { 0 };

	kv_dump(self->w.fd, self->w.manager, id, 1, &slot);
	return slot;
}

static int query(int pin, struct kvbm_pin_query *a, struct kvbm_held *blocks)
{
	memset(a, 0, sizeof(*a));
	a->size = sizeof(*a);
	a->count = blocks ? BLOCKS : 0;
	a->blocks = ptr(blocks);
	return kv(pin, KVBM_PIN_QUERY, a);
}

TEST_F(pin, keeps_blocks_after_the_session)
{
	struct kvbm_token all[BLOCKS];
	int pin;

	ASSERT_EQ(0, kv_fill(self->s, 1, N, self->t));
	pin = kv_pin(self->s, 0, N / 2, self->t);
	ASSERT_LE(0, pin);
	EXPECT_EQ(2u, slot_of(self, self->t[0].id).refs);
	end_session(self);
	EXPECT_EQ(N / 2, blocks_in(self, KVBM_STATE_PRIMARY));
	EXPECT_EQ(N / 2, blocks_in(self, KVBM_STATE_INACTIVE));
	/* Whoever wants everything gets the others, and not these. */
	EXPECT_EQ(-ENOSPC, kv_allocate(self->w.session, BLOCKS, all, NULL, NULL));
	ASSERT_EQ(0, kv_allocate(self->w.session, BLOCKS - N / 2, all, NULL, NULL));
	ASSERT_EQ(0, kv_release(self->w.session, BLOCKS - N / 2, all));
	EXPECT_EQ(N / 2, blocks_in(self, KVBM_STATE_PRIMARY));
	close(pin);
	EXPECT_EQ(0u, blocks_in(self, KVBM_STATE_PRIMARY));
	EXPECT_EQ(N / 2, blocks_in(self, KVBM_STATE_INACTIVE));
}

/* It is no guard: the gauge of guards does not move. */
TEST_F(pin, is_no_guard)
{
	struct kvbm_counters before, after;
	int pin, other;

	ASSERT_EQ(0, kv_fill(self->s, 1, N, self->t));
	ASSERT_EQ(0, kv_counters(self->w.fd, self->w.manager, &before));
	pin = kv_pin(self->s, 0, N, self->t);
	ASSERT_LE(0, pin);
	other = kv_pin(self->s, 0, N, self->t);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, kv_counters(self->w.fd, self->w.manager, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	EXPECT_EQ(3u, slot_of(self, self->t[0].id).refs);
	EXPECT_EQ(0, kv_check(self->w.fd, self->w.manager));
	ASSERT_EQ(0, kv_release(self->s, N, self->t));
	EXPECT_EQ(2u, slot_of(self, self->t[0].id).refs);
	close(other);
	EXPECT_EQ(1u, slot_of(self, self->t[0].id).refs);
	close(pin);
	EXPECT_EQ(N, blocks_in(self, KVBM_STATE_INACTIVE));
}

TEST_F(pin, list_is_fixed)
{
	struct kvbm_held blocks[BLOCKS];
	struct kvbm_pin_query q;
	unsigned int i;
	int pin, dup_fd;

	ASSERT_EQ(0, kv_fill(self->s, 1, N, self->t));
	pin = kv_pin(self->s, 0, N, self->t);
	ASSERT_LE(0, pin);
	end_session(self);
	dup_fd = dup(pin);
	close(pin);
	ASSERT_EQ(0, query(dup_fd, &q, blocks));
	EXPECT_EQ(N, q.out_count);
	EXPECT_EQ(N, q.out_total);
	EXPECT_EQ(self->w.manager, q.out_manager);
	EXPECT_EQ(0u, q.out_flags);
	EXPECT_EQ(1u, q.out_alive);
	for (i = 0; i < N; i++) {
		EXPECT_EQ(self->t[i].id, blocks[i].token.id);
		EXPECT_EQ(self->t[i].gen, blocks[i].token.gen);
		EXPECT_EQ(KVBM_STATE_PRIMARY + 0u, blocks[i].state);
		EXPECT_EQ(0, memcmp(&self->h[i], &blocks[i].hash, sizeof(self->h[i])));
	}
	q.start = N - 1;
	ASSERT_EQ(0, kv(dup_fd, KVBM_PIN_QUERY, &q));
	EXPECT_EQ(1u, q.out_count);
	q.start = UINT32_MAX;
	ASSERT_EQ(0, kv(dup_fd, KVBM_PIN_QUERY, &q));
	EXPECT_EQ(0u, q.out_count);
	close(dup_fd);
}

static bool fdinfo_says(int fd, const char *name, unsigned long long value)
{
	char path[64], line[128], want[64];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	snprintf(want, sizeof(want), "kvbm-%s:\t%llu\n", name, value);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		found |= !strcmp(line, want);
	if (f)
		fclose(f);
	return found;
}

/* For whoever wonders what a descriptor is. */
TEST_F(pin, fdinfo)
{
	int pin;

	ASSERT_EQ(0, kv_fill(self->s, 1, N, self->t));
	pin = kv_pin(self->s, 0, N, self->t);
	ASSERT_LE(0, pin);
	EXPECT_TRUE(fdinfo_says(pin, "manager", self->w.manager));
	EXPECT_TRUE(fdinfo_says(pin, "blocks", N));
	EXPECT_TRUE(fdinfo_says(pin, "write", 0));
	close(pin);
	ASSERT_EQ(0, kv_allocate(self->s, 1, self->t, NULL, NULL));
	pin = kv_pin(self->s, KVBM_PIN_WRITE, 1, self->t);
	ASSERT_LE(0, pin);
	EXPECT_TRUE(fdinfo_says(pin, "blocks", 1));
	EXPECT_TRUE(fdinfo_says(pin, "write", 1));
	close(pin);
}

/* Two managers with the same content: same hash, different manager. */
TEST_F(pin, of_two_managers)
{
	struct kvbm_held a[BLOCKS], b[BLOCKS];
	struct kvbm_pin_query qa, qb;
	struct kvbm_manager_create m;
	int pin, other, s;

	manager_init(&m, self->w.registry, "other", BLOCKS);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	s = kv_session(m.out_id, ALL_RIGHTS);
	ASSERT_LE(0, s);
	ASSERT_EQ(0, kv_fill(self->s, 1, N, self->t));
	pin = kv_pin(self->s, 0, N, self->t);
	ASSERT_EQ(0, kv_fill(s, 1, N, self->t));
	other = kv_pin(s, 0, N, self->t);
	ASSERT_EQ(0, query(pin, &qa, a));
	ASSERT_EQ(0, query(other, &qb, b));
	EXPECT_NE(0u, qa.out_manager);
	EXPECT_NE(qa.out_manager, qb.out_manager);
	EXPECT_EQ(0, memcmp(&a[0].hash, &b[0].hash, sizeof(a[0].hash)));
	close(pin);
	close(other);
	close(s);
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
}

TEST_F(pin, refusals)
{
	struct kvbm_token m[N], twice[2], *t = self->t;
	int r, w;

	ASSERT_EQ(0, kv_fill(self->s, 1, N, t));
	ASSERT_EQ(0, kv_allocate(self->s, N, m, NULL, NULL));
	EXPECT_EQ(-EBADFD, kv_pin(self->s, 0, N, m));
	EXPECT_EQ(-EBADFD, kv_pin(self->s, KVBM_PIN_WRITE, N, t));
	EXPECT_EQ(-ENXIO, kv_pin(self->w.session, 0, N, t));
	twice[0] = t[0];
	twice[1] = t[0];
	EXPECT_EQ(-ENXIO, kv_pin(self->s, 0, 2, twice));
	/* Even with two guards: a block is in the list once. */
	ASSERT_EQ(0, kv_tokens(self->s, KVBM_CLONE, 0, 1, t));
	EXPECT_EQ(-EINVAL, kv_pin(self->s, 0, 2, twice));
	EXPECT_EQ(2u, slot_of(self, t[0].id).refs);
	r = kv_session(self->w.manager, KVBM_BIND_READ);
	w = kv_session(self->w.manager, KVBM_BIND_WRITE);
	EXPECT_EQ(-EACCES, kv_pin(r, KVBM_PIN_WRITE, 1, t));
	EXPECT_EQ(-EACCES, kv_pin(w, 0, 1, t));
	close(r);
	close(w);
	EXPECT_EQ(0, kv_check(self->w.fd, self->w.manager));
}

/* DMA does not stop when a process dies. */
TEST_F(pin, write_pin_outlives_the_session)
{
	struct kvbm_token all[BLOCKS];
	uint32_t i;
	int pin;

	ASSERT_EQ(0, kv_allocate(self->s, N, self->t, NULL, NULL));
	pin = kv_pin(self->s, KVBM_PIN_WRITE, N, self->t);
	ASSERT_LE(0, pin);
	EXPECT_EQ(KVBM_SLOT_INFO_WRITE_PINNED, slot_of(self, self->t[0].id).flags);
	end_session(self);
	EXPECT_EQ(N, blocks_in(self, KVBM_STATE_MUTABLE));
	EXPECT_EQ(0, kv_check(self->w.fd, self->w.manager));
	ASSERT_EQ(0, kv_allocate(self->w.session, BLOCKS - N, all, NULL, NULL));
	for (i = 0; i < BLOCKS - N; i++)
		EXPECT_LE(N, all[i].id);
	EXPECT_EQ(-ENOSPC, kv_allocate(self->w.session, 1, self->t, NULL, NULL));
	close(pin);
	EXPECT_EQ(N, blocks_in(self, KVBM_STATE_RESET));
	ASSERT_EQ(0, kv_allocate(self->w.session, N, self->t, NULL, NULL));
}

/* What is being written to is not shown to anybody. */
TEST_F(pin, write_pin_bars_registration)
{
	struct kvbm_token t[N];
	int pin, other;
	uint32_t i, n;

	ASSERT_EQ(0, kv_allocate(self->s, N, t, NULL, NULL));
	pin = kv_pin(self->s, KVBM_PIN_WRITE, 1, &t[3]);
	ASSERT_LE(0, pin);
	other = kv_pin(self->s, KVBM_PIN_WRITE, 1, &t[3]);
	ASSERT_LE(0, other);
	for (i = 0; i < 2; i++) {
		struct kvbm_stage_register a = {
			.size = sizeof(a), .count = N, .block_size = BLOCK_SIZE,
			.tokens = ptr(t), .out_tokens = ptr(t), .hashes = ptr(self->h) };

		EXPECT_EQ(-EBUSY, kv(self->s, KVBM_STAGE_REGISTER, &a));
		EXPECT_EQ(3u, a.out_failed);
		EXPECT_EQ(N, blocks_in(self, KVBM_STATE_MUTABLE));
		/* The second pin keeps it, too. */
		if (!i)
			close(other);
	}
	ASSERT_EQ(0, kv_stage(self->s, N, t, self->h));
	EXPECT_EQ(-EBUSY, kv_register(self->s, N, t, NULL));
	EXPECT_EQ(0, kv_check(self->w.fd, self->w.manager));
	ASSERT_EQ(0, kv_match(self->w.session, N, self->h, self->t, &n));
	EXPECT_EQ(0u, n);
	close(pin);
	EXPECT_EQ(0, kv_register(self->s, N, t, NULL));
	EXPECT_EQ(N, blocks_in(self, KVBM_STATE_PRIMARY));
}

/* Staged, then released: Reset only when the pin is closed. */
TEST_F(pin, write_pin_of_a_staged_block)
{
	int pin;

	ASSERT_EQ(0, kv_allocate(self->s, 2, self->t, NULL, NULL));
	pin = kv_pin(self->s, KVBM_PIN_WRITE, 2, self->t);
	ASSERT_LE(0, pin);
	ASSERT_EQ(0, kv_stage(self->s, 1, self->t, self->h));
	ASSERT_EQ(0, kv_release(self->s, 2, self->t));
	EXPECT_EQ(1u, blocks_in(self, KVBM_STATE_MUTABLE));
	EXPECT_EQ(1u, blocks_in(self, KVBM_STATE_STAGED));
	EXPECT_EQ(-ENXIO, kv_release(self->s, 1, self->t));
	EXPECT_EQ(0, kv_check(self->w.fd, self->w.manager));
	close(pin);
	EXPECT_EQ(BLOCKS, blocks_in(self, KVBM_STATE_RESET));
}

TEST_F(pin, manager_is_busy)
{
	struct kvbm_pin_query q;
	struct kvbm_manager_create m;
	int s, pin;

	manager_init(&m, self->w.registry, "busy", BLOCKS);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	s = kv_session(m.out_id, ALL_RIGHTS);
	ASSERT_EQ(0, kv_fill(s, 1, N, self->t));
	pin = kv_pin(s, 0, N, self->t);
	ASSERT_LE(0, pin);
	close(s);
	EXPECT_EQ(-EBUSY, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	ASSERT_EQ(0, query(pin, &q, NULL));
	EXPECT_EQ(1u, q.out_alive);
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id,
				KVBM_DESTROY_FORCE));
	ASSERT_EQ(0, query(pin, &q, NULL));
	EXPECT_EQ(0u, q.out_alive);
	EXPECT_EQ(N, q.out_total);
	close(pin);
}

/* An anonymous manager lives with its last session or pin. */
TEST_F(pin, anonymous_manager)
{
	struct kvbm_manager_query q = { .size = sizeof(q) };
	struct kvbm_manager_create m;
	int s = kv_open(), pin;

	manager_init(&m, self->w.registry, "", BLOCKS);
	m.flags = KVBM_MANAGER_ANONYMOUS;
	m.linger_ms = 0;
	m.bind_flags = ALL_RIGHTS;
	ASSERT_EQ(0, kv(s, KVBM_MANAGER_CREATE, &m));
	ASSERT_EQ(0, kv_fill(s, 1, N, self->t));
	pin = kv_pin(s, 0, N, self->t);
	ASSERT_LE(0, pin);
	close(s);
	q.id = m.out_id;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_QUERY, &q));
	EXPECT_EQ(0u, q.out_sessions);
	EXPECT_EQ(1u, q.out_pins);
	close(pin);
	q.id = m.out_id;
	EXPECT_EQ(-ENOENT, kv(self->w.fd, KVBM_MANAGER_QUERY, &q));
}

/* What a process holds that was given a pin, and is killed. */
TEST_F(pin, passed_and_killed)
{
	int sock[2], pin, status;
	pid_t child;
	char ready;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	ASSERT_EQ(0, kv_fill(self->s, 1, N, self->t));
	pin = kv_pin(self->s, 0, N, self->t);
	ASSERT_LE(0, pin);
	child = fork();
	if (!child) {
		close(pin);
		close(self->s);
		close(sock[0]);
		pin = kv_receive_fd(sock[1]);
		if (pin < 0 || write(sock[1], "", 1) != 1)
			_exit(1);
		pause();
	}
	ASSERT_EQ(0, kv_send_fd(sock[0], pin));
	close(pin);
	end_session(self);
	ASSERT_EQ(1, read(sock[0], &ready, 1));
	EXPECT_EQ(N, blocks_in(self, KVBM_STATE_PRIMARY));
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	EXPECT_EQ(N, blocks_in(self, KVBM_STATE_INACTIVE));
	close(sock[0]);
	close(sock[1]);
}

/* In flight in a socket that nobody reads: gone with the socket. */
TEST_F(pin, in_flight)
{
	int sock[2], pin;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	ASSERT_EQ(0, kv_fill(self->s, 1, N, self->t));
	pin = kv_pin(self->s, 0, N, self->t);
	ASSERT_EQ(0, kv_send_fd(sock[0], pin));
	close(pin);
	end_session(self);
	EXPECT_EQ(N, blocks_in(self, KVBM_STATE_PRIMARY));
	close(sock[0]);
	close(sock[1]);
	EXPECT_EQ(N, blocks_in(self, KVBM_STATE_INACTIVE));
}

/*
 * Two pins that overlap, the session, and a copy in a socket, closed in each of
 * the 24 orders: a block is held as long as any of them has it, and no longer.
 */
TEST_F(pin, every_order)
{
	unsigned int order, rest, i, n, bits;

	for (order = 0; order < 24; order++) {
		int sock[2], close_at[4], s, a, b;
		bool open[4] = { true, true, true, true };

		rest = order;
		s = kv_session(self->w.manager, ALL_RIGHTS);
		ASSERT_EQ(0, kv_fill(s, 10 + order, 3, self->t));
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
		/* 0 and 1; 1 and 2, twice. */
		a = kv_pin(s, 0, 2, self->t);
		b = kv_pin(s, 0, 2, self->t + 1);
		ASSERT_LE(0, a);
		ASSERT_LE(0, b);
		ASSERT_EQ(0, kv_send_fd(sock[0], b));
		close(sock[0]);
		close_at[0] = s;
		close_at[1] = a;
		close_at[2] = b;
		close_at[3] = sock[1];
		for (n = 4; n; n--) {
			unsigned int which = rest % n, held = 0;

			rest /= n;
			for (i = 0; i < 4; i++)
				if (open[i] && !which--)
					break;
			open[i] = false;
			close(close_at[i]);
			bits = (open[0] ? 7 : 0) | (open[1] ? 3 : 0) |
			       (open[2] || open[3] ? 6 : 0);
			for (i = 0; i < 3; i++) {
				bool want = bits >> i & 1;

				held += want;
				EXPECT_EQ(want ? KVBM_STATE_PRIMARY + 0u :
						 KVBM_STATE_INACTIVE + 0u,
					  slot_of(self, self->t[i].id).state)
					TH_LOG("order %u, block %u", order, i);
			}
			EXPECT_EQ(held, blocks_in(self, KVBM_STATE_PRIMARY));
			EXPECT_EQ(0, kv_check(self->w.fd, self->w.manager));
		}
	}
}

/* Whoever waits for blocks is served by the close of a pin. */
TEST_F(pin, close_wakes)
{
	struct kvbm_allocate a = {
		.size = sizeof(a), .count = BLOCKS, .tokens = ptr(self->t),
		.deadline_ns = now_ns() + 60000000000ull };
	int pin;
	pid_t child;

	ASSERT_EQ(0, kv_allocate(self->s, N, self->t, NULL, NULL));
	pin = kv_pin(self->s, KVBM_PIN_WRITE, N, self->t);
	ASSERT_LE(0, pin);
	end_session(self);
	child = fork();
	if (!child) {
		usleep(100000);
		close(pin);
		_exit(0);
	}
	close(pin);
	EXPECT_EQ(0, kv(self->w.session, KVBM_ALLOCATE, &a));
	waitpid(child, NULL, 0);
}

/* Nothing is lost when no descriptor is to be had. */
TEST_F(pin, out_of_descriptors)
{
	int fds[4096], n = 0, fd;

	ASSERT_EQ(0, kv_fill(self->s, 1, N, self->t));
	while (n < 4096 && (fd = dup(0)) >= 0)
		fds[n++] = fd;
	EXPECT_EQ(-EMFILE, kv_pin(self->s, 0, N, self->t));
	while (n)
		close(fds[--n]);
	EXPECT_EQ(1u, slot_of(self, self->t[0].id).refs);
}

TEST_HARNESS_MAIN
