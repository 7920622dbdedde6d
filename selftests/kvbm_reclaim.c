// SPDX-License-Identifier: GPL-2.0
/*
 * A session with 100,000 guards of every kind is killed inside an ioctl, while
 * its child has the file open still and another session holds some of the same
 * blocks. Afterwards every slot is compared with what it has to be.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kvbm_util.h"
#include "kselftest_harness.h"

/*
 * What the victim holds, in this order:
 *
 *	PLAIN	blocks, one guard each
 *	CLONED	blocks, three guards each
 *	SHARED	blocks, which the other session holds, too
 *	RESET	blocks, to be reset by the last release
 *	DUPS	Duplicates of the first PLAIN blocks
 *	STAGED	Staged blocks
 *	MUTABLE	Mutable blocks
 */
enum {
	PLAIN = 20000,
	CLONED = 15000,
	SHARED = 5000,
	RESET = 5000,
	DUPS = 5000,
	STAGED = 10000,
	MUTABLE = 10000,
	REGISTERED = PLAIN + CLONED + SHARED + RESET,
	BLOCKS = REGISTERED + DUPS + STAGED + MUTABLE + 1000,
	GUARDS = PLAIN + 3 * CLONED + SHARED + RESET + DUPS + STAGED + MUTABLE,
};

_Static_assert(GUARDS == 100000, "as the name says");

#define BATCH	10000

static struct kvbm_token tokens[BLOCKS];
static struct kvbm_hash hashes[BLOCKS];

static int in_batches(int fd, unsigned long cmd, uint32_t flags, uint32_t first,
		      uint32_t n)
{
	uint32_t i;
	int err = 0;

	for (i = 0; i < n && !err; i += BATCH)
		err = kv_tokens(fd, cmd, flags, n - i < BATCH ? n - i : BATCH,
				tokens + first + i);
	return err;
}

static int hold_all(int fd)
{
	uint32_t i = 0;
	int err;

	kv_hashes(hashes, 1, BLOCKS);
	err = kv_allocate(fd, REGISTERED, tokens, NULL, NULL);
	err = err ?: kv_stage(fd, REGISTERED, tokens, hashes);
	err = err ?: kv_register(fd, REGISTERED, tokens, NULL);
	err = err ?: in_batches(fd, KVBM_CLONE, 0, PLAIN, CLONED);
	err = err ?: in_batches(fd, KVBM_CLONE, 0, PLAIN, CLONED);
	i = REGISTERED;
	err = err ?: in_batches(fd, KVBM_SET_RESET, KVBM_RESET_ON_RELEASE,
				i - RESET, RESET);
	err = err ?: kv_allocate(fd, DUPS + STAGED + MUTABLE, tokens + i, NULL, NULL);
	err = err ?: kv_stage(fd, DUPS, tokens + i, hashes);
	err = err ?: kv_register(fd, DUPS, tokens + i, NULL);
	return err ?: kv_stage(fd, STAGED, tokens + i + DUPS, hashes + i);
}

/* Something to be inside of when the signal comes. */
static void *busy(void *arg)
{
	struct kvbm_hash h[1000];
	struct kvbm_token t[1000];
	int fd = *(int *)arg;
	uint32_t n;

	kv_hashes(h, 1, 1000);
	for (;;)
		if (!kv_match(fd, 1000, h, t, &n))
			kv_release(fd, n, t);
	return NULL;
}

FIXTURE(reclaim)
{
	struct kv_world w;
	struct kvbm_slot_info *slots;
};

FIXTURE_SETUP(reclaim)
{
	ASSERT_EQ(0, kv_world_make(&self->w, BLOCKS, KVBM_DUP_ALLOW));
	self->slots = calloc(BLOCKS, sizeof(*self->slots));
	ASSERT_NE(NULL, self->slots);
}

FIXTURE_TEARDOWN(reclaim)
{
	EXPECT_EQ(0, kv_world_end(&self->w));
	free(self->slots);
}

/* What becomes of each slot; ids were handed out in order. */
static uint32_t expected(uint32_t id)
{
	if (id < PLAIN + CLONED)
		return KVBM_STATE_INACTIVE;
	if (id < PLAIN + CLONED + SHARED)
		return KVBM_STATE_PRIMARY;
	return KVBM_STATE_RESET;
}

TEST_F_TIMEOUT(reclaim, a_hundred_thousand_guards, 240)
{
	volatile int *ready = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct kvbm_counters before, c;
	struct kvbm_token shared[SHARED];
	uint32_t n, i, wrong = 0;
	uint64_t killed;
	pid_t pid, child;

	pid = fork();
	if (!pid) {
		int fd = kv_session(self->w.manager, ALL_RIGHTS | KVBM_BIND_OWNED);
		pthread_t thread;

		if (fd < 0 || hold_all(fd))
			_exit(1);
		child = fork();
		if (!child) {
			pause();
			_exit(0);
		}
		ready[1] = child;
		ready[0] = 1;
		while (ready[0] != 2)
			usleep(1000);
		pthread_create(&thread, NULL, busy, &fd);
		busy(&fd);
	}
	while (!ready[0] && waitpid(pid, NULL, WNOHANG) != pid)
		usleep(1000);
	ASSERT_EQ(1, ready[0]);
	child = ready[1];
	ASSERT_EQ(0, kv_counters(self->w.fd, self->w.manager, &before));
	EXPECT_EQ(GUARDS - STAGED - MUTABLE, before.inflight_immutable);
	EXPECT_EQ(REGISTERED, before.states[KVBM_STATE_PRIMARY]);
	EXPECT_EQ(DUPS, before.states[KVBM_STATE_DUPLICATE]);
	/* The other session takes its part, hash by hash. */
	kv_hashes(hashes, 1, BLOCKS);
	ASSERT_EQ(0, kv(self->w.session, KVBM_MATCH, &(struct kvbm_match){
		.size = sizeof(struct kvbm_match),
		.flags = KVBM_MATCH_SCATTERED,
		.count = SHARED,
		.hashes = ptr(hashes + PLAIN + CLONED),
		.tokens = ptr(shared) }));

	ready[0] = 2;
	usleep(50000);
	killed = now_ns();
	kill(pid, SIGKILL);
	do {
		ASSERT_EQ(0, kv_counters(self->w.fd, self->w.manager, &c));
	} while (c.reclaimed_sessions == before.reclaimed_sessions);
	waitpid(pid, NULL, 0);
	TH_LOG("%llu guards went back, all of them %llu us after kill(2); it took %llu us",
	       (unsigned long long)(c.reclaimed_mutable + c.reclaimed_staged +
				    c.reclaimed_immutable),
	       (unsigned long long)(c.reclaim_end_ns - killed) / 1000,
	       (unsigned long long)c.reclaim_last_ns / 1000);
	EXPECT_EQ(0, kill(child, 0));

	EXPECT_EQ(MUTABLE, c.reclaimed_mutable);
	EXPECT_EQ(STAGED, c.reclaimed_staged);
	/* It may have been killed with a match in hand. */
	EXPECT_LE(GUARDS - STAGED - MUTABLE, c.reclaimed_immutable);
	EXPECT_GE(GUARDS - STAGED - MUTABLE + 2000, c.reclaimed_immutable);
	EXPECT_EQ(SHARED, c.inflight_immutable);

	for (i = 0; i < BLOCKS; i += n) {
		int got = kv_dump(self->w.fd, self->w.manager, i, BATCH, self->slots + i);

		ASSERT_LT(0, got);
		n = got;
	}
	for (i = 0; i < BLOCKS; i++) {
		const struct kvbm_slot_info *slot = &self->slots[i];
		uint64_t refs = expected(i) == KVBM_STATE_PRIMARY;

		if (slot->token.id == i && slot->state == expected(i) &&
		    slot->refs == refs &&
		    (slot->state == KVBM_STATE_RESET ||
		     !memcmp(&slot->hash, &hashes[i], sizeof(slot->hash))))
			continue;
		if (!wrong++)
			TH_LOG("slot %u: state %u, %llu references", i, slot->state,
			       (unsigned long long)slot->refs);
	}
	EXPECT_EQ(0U, wrong);
	EXPECT_EQ(0, kv_check(self->w.fd, self->w.manager));
	ASSERT_EQ(0, kv_release(self->w.session, SHARED, shared));
	kill(child, SIGKILL);
}

TEST_HARNESS_MAIN
