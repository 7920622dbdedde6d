// SPDX-License-Identifier: GPL-2.0
/*
 * A cache that survives its engines. Several processes fill blocks of two tiers,
 * in pieces, with bytes that follow from their hashes, and are killed at random
 * points. After each kill the account must be exact, and whatever is registered
 * must have all of its bytes, as somebody sees them who can only read.
 *
 *	KVBM_LONG=n	n times as many kills
 *	KVBM_KILLS=n	so many
 */
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kvbm_util.h"
#include "kselftest_harness.h"

#define TIERS	2
#define BLOCKS	96u
#define WORDS	64u		/* of 8 bytes, in a block */
#define BYTES	(WORDS * 8)
#define PIECE	8u		/* words that are written at a time */
#define WORKERS	3
#define CHAINS	24
#define LENGTH	8u

/* What the workers and the parent tell each other. */
struct shared {
	int stop;		/* hold nothing, and wait while it is what it is */
	int early;		/* register first, write later: what must be caught */
	int bound[WORKERS];
	int parked[WORKERS];	/* the stop that a worker has heeded */
	int seen_torn;		/* by workers that matched something */
	int pin;		/* of the transfer: 1 it has one, 2 there is none */
};

struct tier {
	uint64_t id;
	int s;			/* for reading only */
	const uint64_t *map;
	struct kvbm_slot_info slots[BLOCKS];
};

FIXTURE(takeover)
{
	struct kv_world w;
	struct tier tiers[TIERS];
	struct shared *shared;
	pid_t pids[WORKERS];
	uint64_t random;
	uint64_t rounds, kills, verified, torn;
};

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static uint64_t word_of(const struct kvbm_hash *h, unsigned int i)
{
	return mix(h->lo ^ mix(h->hi + i));
}

static uint32_t below(uint64_t *random, uint32_t n)
{
	*random = mix(*random);
	return (uint32_t)(*random >> 32) % n;
}

/* The bytes of all blocks, as the session may have them. */
static uint64_t *map_blocks(int s, int prot)
{
	struct kvbm_segment segment;
	struct kvbm_backing_get a = {
		.size = sizeof(a), .flags = KVBM_BACKING_FDS, .count = 1,
		.segments = ptr(&segment) };
	void *map;

	if (kv(s, KVBM_BACKING_GET, &a) || segment.fd < 0)
		return MAP_FAILED;
	map = mmap(NULL, BLOCKS * BYTES, prot, MAP_SHARED, segment.fd, 0);
	close(segment.fd);
	return map;
}

static bool is_whole(const uint64_t *map, uint32_t id, const struct kvbm_hash *h)
{
	const volatile uint64_t *words = map + id * WORDS;
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		if (words[i] != word_of(h, i))
			return false;
	return true;
}

static void fill(uint64_t *map, uint32_t id, const struct kvbm_hash *h,
		 uint64_t *random)
{
	volatile uint64_t *words = map + id * WORDS;
	unsigned int i;

	for (i = 0; i < WORDS; i++) {
		if (i % PIECE == 0 && !below(random, 4))
			sched_yield();
		words[i] = word_of(h, i);
	}
}

static int make_tier(struct _test_data_takeover *self, struct tier *t, uint32_t tier)
{
	struct kvbm_manager_create m;
	struct kvbm_segment segment;
	int fd = kv_memfd(BLOCKS * BYTES), err;
	char name[8];

	snprintf(name, sizeof(name), "g%u", tier);
	manager_init(&m, self->w.registry, name, BLOCKS);
	m.tier = tier;
	m.duplication = KVBM_DUP_REJECT;
	err = kv(self->w.fd, KVBM_MANAGER_CREATE, &m);
	if (err)
		return err;
	t->id = m.out_id;
	segment = kv_segment(fd, KVBM_BACKING_MEMFD, 0, BYTES, BYTES);
	err = kv_set_backing(self->w.fd, t->id, 1, &segment);
	close(fd);
	t->s = kv_session(t->id, KVBM_BIND_READ);
	if (err || t->s < 0)
		return err ?: t->s;
	t->map = map_blocks(t->s, PROT_READ);
	return t->map == MAP_FAILED ? -EIO : 0;
}

FIXTURE_SETUP(takeover)
{
	int i;

	memset(self, 0, sizeof(*self));
	ASSERT_EQ(0, kv_world_make(&self->w, 1, KVBM_DUP_ALLOW));
	for (i = 0; i < TIERS; i++)
		ASSERT_EQ(0, make_tier(self, &self->tiers[i], 1 + i));
	self->shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
	self->random = now_ns();
	TH_LOG("seed %llu", (unsigned long long)self->random);
}

FIXTURE_TEARDOWN(takeover)
{
	int i;

	for (i = 0; i < TIERS; i++) {
		close(self->tiers[i].s);
		EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY,
					self->tiers[i].id, 0));
	}
	EXPECT_EQ(0, kv_world_end(&self->w));
}

/* A worker's view of a tier. */
struct view {
	int s;
	uint64_t *map;
};

static int open_view(const struct tier *t, uint32_t flags, struct view *v)
{
	v->s = kv_session(t->id, ALL_RIGHTS | flags);
	if (v->s < 0)
		return v->s;
	v->map = map_blocks(v->s, PROT_READ | PROT_WRITE);
	return v->map == MAP_FAILED ? -EIO : 0;
}

/* Register blocks that are filled; or, wrongly, fill blocks that are registered. */
static int publish(struct shared *shared, struct view *v, uint32_t n,
		   struct kvbm_token *t, const struct kvbm_hash *h, uint64_t *random)
{
	struct kvbm_stage_register a = {
		.size = sizeof(a), .count = n, .block_size = BLOCK_SIZE,
		.tokens = ptr(t), .out_tokens = ptr(t), .hashes = ptr(h) };
	uint32_t i;
	int err;

	for (i = 0; !shared->early && i < n; i++)
		fill(v->map, t[i].id, &h[i], random);
	err = kv(v->s, KVBM_STAGE_REGISTER, &a);
	for (i = 0; !err && shared->early && i < n; i++)
		fill(v->map, t[i].id, &h[i], random);
	return err;
}

/* A request: what is cached of its prefix is read, the rest is computed. */
static int serve(struct shared *shared, struct view *v, uint32_t n,
		 struct kvbm_token *t, const struct kvbm_hash *h, uint64_t *random)
{
	struct kvbm_acquire a;
	uint32_t i;
	int err;

	err = kv_acquire(v->s, n, n, h, t, &a);
	if (err)
		return err;
	for (i = 0; i < a.out_matched; i++)
		if (!is_whole(v->map, t[i].id, &h[i]))
			__atomic_fetch_add(&shared->seen_torn, 1, __ATOMIC_RELAXED);
	return publish(shared, v, n - i, t + i, h + i, random);
}

/* The same prefix to the next tier, by copying. */
static int offload(struct view *from, struct view *to, uint32_t n,
		   const struct kvbm_token *t, const struct kvbm_hash *h,
		   uint64_t *random)
{
	bool first = below(random, 2);
	struct kvbm_token copy[LENGTH];
	uint32_t i;
	int err;

	err = kv_allocate(to->s, n, copy, NULL, NULL);
	if (err)
		return err;
	/* A load has its hashes before its bytes, or after. */
	if (first)
		err = kv_stage(to->s, n, copy, h);
	for (i = 0; !err && i < n; i++)
		memcpy(to->map + copy[i].id * WORDS, from->map + t[i].id * WORDS,
		       BYTES);
	if (!err && !first)
		err = kv_stage(to->s, n, copy, h);
	err = err ?: kv_register(to->s, n, copy, NULL);
	return err ?: kv_release(to->s, n, copy);
}

/* As long as the parent looks at the books. */
static void park(struct shared *shared, int worker)
{
	int stop;

	while ((stop = __atomic_load_n(&shared->stop, __ATOMIC_SEQ_CST))) {
		__atomic_store_n(&shared->parked[worker], stop, __ATOMIC_SEQ_CST);
		syscall(SYS_futex, &shared->stop, FUTEX_WAIT, stop, NULL, NULL, 0);
	}
}

/* One request after the other; nothing is held between them. */
static int work(struct _test_data_takeover *self, int worker, uint64_t random)
{
	struct shared *shared = self->shared;
	struct kvbm_token t[LENGTH];
	struct kvbm_hash h[LENGTH];
	struct view v[TIERS];
	int i, err = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (i = 0; i < TIERS; i++)
		if (open_view(&self->tiers[i], KVBM_BIND_OWNED, &v[i]))
			return 1;
	__atomic_store_n(&shared->bound[worker], 1, __ATOMIC_SEQ_CST);
	while (!err) {
		uint32_t n = 1 + below(&random, LENGTH);

		park(shared, worker);
		kv_hashes(h, below(&random, CHAINS), n);
		err = serve(shared, &v[0], n, t, h, &random);
		/* A copy of bytes that are not there yet proves nothing. */
		if (!err && !shared->early && below(&random, 2))
			err = offload(&v[0], &v[1], n, t, h, &random);
		if (!err)
			err = kv_release(v[0].s, n, t);
	}
	return 2;
}

/*
 * Nobody holds anything, the dead no more than the living; the counters say what the
 * slots say, and what is registered is whole.
 */
static void account(struct __test_metadata *_metadata,
		    struct _test_data_takeover *self, struct tier *t)
{
	uint32_t i, states[KVBM_NR_STATES] = { 0 };
	struct kvbm_counters c;

	ASSERT_EQ(0, kv_counters(self->w.fd, t->id, &c));
	ASSERT_EQ((int)BLOCKS, kv_dump(self->w.fd, t->id, 0, BLOCKS, t->slots));
	for (i = 0; i < BLOCKS; i++) {
		states[t->slots[i].state]++;
		ASSERT_EQ(0u, t->slots[i].refs);
		if (t->slots[i].state != KVBM_STATE_INACTIVE)
			continue;
		self->verified++;
		self->torn += !is_whole(t->map, i, &t->slots[i].hash);
	}
	for (i = 0; i < KVBM_NR_STATES; i++)
		ASSERT_EQ(states[i], c.states[i]);
	ASSERT_EQ(BLOCKS, states[KVBM_STATE_RESET] + states[KVBM_STATE_INACTIVE]);
	ASSERT_EQ(0u, c.inflight_immutable);
	ASSERT_EQ(0, kv_check(self->w.fd, t->id));
}

/* Anew, whoever was killed. */
static void start_workers(struct _test_data_takeover *self)
{
	struct shared *shared = self->shared;
	int i;

	__atomic_store_n(&shared->stop, 0, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &shared->stop, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	for (i = 0; i < WORKERS; i++) {
		uint64_t random = mix(self->random + i);

		if (self->pids[i])
			continue;
		shared->bound[i] = 0;
		self->pids[i] = fork();
		if (!self->pids[i])
			_exit(work(self, i, random));
	}
}

static bool all_bound(const struct shared *shared)
{
	int i;

	for (i = 0; i < WORKERS; i++)
		if (!__atomic_load_n(&shared->bound[i], __ATOMIC_SEQ_CST))
			return false;
	return true;
}

/* What a process held is back when it has been waited for. */
static void reap(struct __test_metadata *_metadata,
		 struct _test_data_takeover *self, int worker)
{
	int status;

	ASSERT_EQ(self->pids[worker], waitpid(self->pids[worker], &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	self->pids[worker] = 0;
	self->kills++;
}

/* Those that live release what they hold. */
static void stop_workers(struct __test_metadata *_metadata,
			 struct _test_data_takeover *self, int stop)
{
	struct shared *shared = self->shared;
	int i;

	for (i = 0; i < WORKERS; i++) {
		while (self->pids[i] &&
		       __atomic_load_n(&shared->parked[i], __ATOMIC_SEQ_CST) != stop) {
			ASSERT_EQ(0, waitpid(self->pids[i], NULL, WNOHANG));
			usleep(100);
		}
	}
}

/* At a random point one worker is killed, or all; then the books are looked at. */
static void one_round(struct __test_metadata *_metadata,
		      struct _test_data_takeover *self)
{
	int i, victim = below(&self->random, WORKERS), stop = ++self->rounds;
	bool all = !below(&self->random, 4);

	start_workers(self);
	/* Sometimes before they have begun. */
	while (below(&self->random, 8) && !all_bound(self->shared))
		sched_yield();
	usleep(below(&self->random, 3000));
	for (i = 0; i < WORKERS; i++)
		if (all || i == victim)
			kill(self->pids[i], SIGKILL);
	__atomic_store_n(&self->shared->stop, stop, __ATOMIC_SEQ_CST);
	for (i = 0; i < WORKERS; i++)
		if (all || i == victim)
			reap(_metadata, self, i);
	stop_workers(_metadata, self, stop);
	for (i = 0; i < TIERS; i++)
		account(_metadata, self, &self->tiers[i]);
}

static void end_workers(struct _test_data_takeover *self)
{
	int i;

	for (i = 0; i < WORKERS; i++) {
		if (!self->pids[i])
			continue;
		kill(self->pids[i], SIGKILL);
		waitpid(self->pids[i], NULL, 0);
	}
}

/* A debug kernel takes ten times as long for each. */
static unsigned int rounds(unsigned int usual)
{
	if (!access("/sys/kernel/debug/kmemleak", F_OK))
		usual /= 4;
	return usual * kvbm_long();
}

static unsigned int kills(void)
{
	const char *n = getenv("KVBM_KILLS");

	return n ? strtoul(n, NULL, 10) : rounds(1000);
}

TEST_F_TIMEOUT(takeover, kills_at_random_points, 2400)
{
	unsigned int n = kills();

	while (self->kills < n)
		one_round(_metadata, self);
	end_workers(self);
	TH_LOG("%llu kills, %llu accounts, %llu blocks verified, %llu torn",
	       (unsigned long long)self->kills, (unsigned long long)self->rounds,
	       (unsigned long long)self->verified, (unsigned long long)self->torn);
	EXPECT_EQ(0u, self->torn);
	EXPECT_EQ(0, self->shared->seen_torn);
	/* There was something to verify. */
	EXPECT_LE(10 * n, self->verified);
}

/* The test itself: writers that register first are caught. */
TEST_F_TIMEOUT(takeover, catches_early_registration, 2400)
{
	unsigned int n = kills();

	self->shared->early = 1;
	/* What is torn stays so: once is enough. */
	while (self->kills < n && !self->torn)
		one_round(_metadata, self);
	end_workers(self);
	TH_LOG("caught after %llu kills", (unsigned long long)self->kills);
	EXPECT_LT(0u, self->torn);
}

/* Whatever can be had: filled, registered, looked at for a while, released. */
static void use_all(struct __test_metadata *_metadata,
		    struct _test_data_takeover *self, struct view *v, uint32_t n,
		    uint32_t round)
{
	static struct kvbm_token t[BLOCKS];
	static struct kvbm_hash h[BLOCKS];
	uint32_t i, k;

	kv_hashes(h, 1000 + round, n);
	ASSERT_EQ(0, kv_allocate(v->s, n, t, NULL, NULL));
	ASSERT_EQ(0, publish(self->shared, v, n, t, h, &self->random));
	for (k = 0; k < 3; k++) {
		for (i = 0; i < n; i++)
			self->torn += !is_whole(v->map, t[i].id, &h[i]);
		self->verified += n;
		sched_yield();
	}
	ASSERT_EQ(0, kv_release(v->s, n, t));
	EXPECT_EQ(0, kv_check(v->s, 0));
}

/* What the dead one registered is there with its bytes, and nothing else is. */
static void look_for(struct __test_metadata *_metadata, struct view *v, uint32_t n,
		     uint32_t registered, const struct kvbm_hash *h)
{
	static const uint32_t flags[] = { 0, KVBM_MATCH_SCATTERED, KVBM_MATCH_SCAN };
	struct kvbm_token t[LENGTH];
	struct kvbm_match a = { .size = sizeof(a), .count = n, .hashes = ptr(h),
				.tokens = ptr(t) };
	unsigned int i, k, found;

	for (k = 0; k < 3; k++) {
		memset(t, 0, sizeof(t));
		a.flags = flags[k];
		ASSERT_EQ(0, kv(v->s, KVBM_MATCH, &a));
		for (i = found = 0; i < n; i++) {
			if (!t[i].gen)
				continue;
			EXPECT_LT(i, registered);
			EXPECT_TRUE(is_whole(v->map, t[i].id, &h[i]));
			EXPECT_EQ(0, kv_release(v->s, 1, &t[i]));
			found++;
		}
		EXPECT_EQ(registered, found);
	}
}

/* The successor knows the name of the manager, and the hashes of its prompt. */
TEST_F(takeover, only_what_was_registered)
{
	struct kvbm_manager_query q = { .size = sizeof(q),
					.registry = self->w.registry, .name = "g1" };
	struct kvbm_token t[LENGTH];
	struct kvbm_hash h[LENGTH];
	struct tier tier;
	struct view v;
	pid_t old;

	kv_hashes(h, 7, LENGTH);
	old = fork();
	if (!old) {
		if (open_view(&self->tiers[0], KVBM_BIND_OWNED, &v) ||
		    kv_allocate(v.s, LENGTH, t, NULL, NULL) ||
		    publish(self->shared, &v, 3, t, h, &self->random) ||
		    kv_stage(v.s, 3, t + 3, h + 3))
			_exit(1);
		fill(v.map, t[3].id, &h[3], &self->random);
		self->shared->bound[0] = 1;
		pause();
	}
	while (!__atomic_load_n(&self->shared->bound[0], __ATOMIC_RELAXED))
		ASSERT_EQ(0, waitpid(old, NULL, WNOHANG));
	kill(old, SIGKILL);
	waitpid(old, NULL, 0);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_QUERY, &q));
	tier.id = q.id;
	ASSERT_EQ(0, open_view(&tier, KVBM_BIND_OWNED, &v));
	ASSERT_EQ(0, kv_epoch(v.s, KVBM_EPOCH_RAISE | KVBM_EPOCH_FORCE, NULL));
	look_for(_metadata, &v, LENGTH, 3, h);
	account(_metadata, self, &self->tiers[0]);
	EXPECT_EQ(3u, self->verified);
	EXPECT_EQ(0u, self->torn);
	close(v.s);
}

static void scribble(uint64_t *map, const uint32_t *ids, uint32_t n,
		     const int *until)
{
	uint64_t x = 0;
	uint32_t i;

	while (!__atomic_load_n(until, __ATOMIC_RELAXED))
		for (i = 0; i < n; i++, x++)
			((volatile uint64_t *)map)[ids[i] * WORDS + x % WORDS] = x;
}

/*
 * Nothing can revoke a mapping: the old process goes on writing to the blocks that
 * it was filling. They go to nobody as long as its file is open.
 */
TEST_F_TIMEOUT(takeover, old_process_writes_on, 300)
{
	struct shared *shared = self->shared;
	uint32_t n = 20, i, ids[20];
	struct kvbm_token t[20], all[BLOCKS];
	struct view v;
	pid_t old;

	old = fork();
	if (!old) {
		if (open_view(&self->tiers[0], KVBM_BIND_OWNED, &v) ||
		    kv_allocate(v.s, n, t, NULL, NULL))
			_exit(1);
		for (i = 0; i < n; i++)
			ids[i] = t[i].id;
		shared->bound[0] = 1;
		scribble(v.map, ids, n, &shared->stop);
		_exit(0);
	}
	while (!__atomic_load_n(&shared->bound[0], __ATOMIC_RELAXED))
		usleep(100);
	ASSERT_EQ(0, open_view(&self->tiers[0], KVBM_BIND_OWNED, &v));
	ASSERT_EQ(0, kv_epoch(v.s, KVBM_EPOCH_RAISE | KVBM_EPOCH_FORCE, NULL));
	for (i = 0; i < rounds(20); i++)
		use_all(_metadata, self, &v, BLOCKS - n, i);
	EXPECT_EQ(-ENOSPC, kv_allocate(v.s, BLOCKS - n + 1, all, NULL, NULL));
	kill(old, SIGKILL);
	waitpid(old, NULL, 0);
	use_all(_metadata, self, &v, BLOCKS, i);
	close(v.s);
	EXPECT_EQ(0u, self->torn);
	account(_metadata, self, &self->tiers[0]);
}

/* Allocates, pins, and hands the pin to whoever does the transfer. */
static int engine(struct _test_data_takeover *self, int to)
{
	struct kvbm_token t[20];
	struct view v;
	int pin;

	if (open_view(&self->tiers[0], KVBM_BIND_OWNED, &v))
		return 1;
	self->shared->bound[0] = 1;
	if (kv_allocate(v.s, 20, t, NULL, NULL))
		return 1;
	pin = kv_pin(v.s, KVBM_PIN_WRITE, 20, t);
	if (pin < 0 || kv_send_fd(to, pin))
		return 1;
	close(pin);
	pause();
	return 0;
}

/* Writes to what the pin lists, like a device that nobody has told to stop. */
static int transfer(struct _test_data_takeover *self, int from)
{
	struct kvbm_held blocks[20];
	struct kvbm_pin_query q = { .size = sizeof(q), .count = 20,
				    .blocks = ptr(blocks) };
	struct shared *shared = self->shared;
	uint32_t i, ids[20];
	struct view v;
	int pin;

	if (open_view(&self->tiers[0], 0, &v))
		return 1;
	pin = kv_receive_fd(from);
	if (pin < 0) {
		__atomic_store_n(&shared->pin, 2, __ATOMIC_SEQ_CST);
		return 0;
	}
	if (kv(pin, KVBM_PIN_QUERY, &q) || q.out_count != 20)
		return 2;
	for (i = 0; i < 20; i++)
		ids[i] = blocks[i].token.id;
	__atomic_store_n(&shared->pin, 1, __ATOMIC_SEQ_CST);
	scribble(v.map, ids, 20, &shared->stop);
	close(pin);
	return 0;
}

TEST_F_TIMEOUT(takeover, transfer_outlives_the_engine, 300)
{
	struct shared *shared = self->shared;
	unsigned int i, n = rounds(40), pinned = 0;
	int sock[2], status;
	struct view v;
	pid_t e, x;

	for (i = 0; i < n; i++) {
		memset(shared, 0, sizeof(*shared));
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
		x = fork();
		if (!x) {
			close(sock[0]);
			_exit(transfer(self, sock[1]));
		}
		e = fork();
		if (!e) {
			close(sock[1]);
			_exit(engine(self, sock[0]));
		}
		close(sock[0]);
		close(sock[1]);
		while (!__atomic_load_n(&shared->bound[0], __ATOMIC_RELAXED))
			sched_yield();
		usleep(below(&self->random, 1500));
		kill(e, SIGKILL);
		waitpid(e, NULL, 0);
		while (!__atomic_load_n(&shared->pin, __ATOMIC_SEQ_CST))
			sched_yield();
		ASSERT_EQ(0, open_view(&self->tiers[0], KVBM_BIND_OWNED, &v));
		ASSERT_EQ(0, kv_epoch(v.s, KVBM_EPOCH_RAISE, NULL));
		if (shared->pin == 1) {
			use_all(_metadata, self, &v, BLOCKS - 20, 2 * i);
			pinned++;
		}
		__atomic_store_n(&shared->stop, 1, __ATOMIC_RELAXED);
		ASSERT_EQ(x, waitpid(x, &status, 0));
		ASSERT_EQ(0, status);
		use_all(_metadata, self, &v, BLOCKS, 2 * i + 1);
		close(v.s);
		account(_metadata, self, &self->tiers[0]);
	}
	TH_LOG("%u of %u engines died with a pin open, %llu torn", pinned, n,
	       (unsigned long long)self->torn);
	EXPECT_EQ(0u, self->torn);
}

TEST_HARNESS_MAIN
