// SPDX-License-Identifier: GPL-2.0
/*
 * The life of a block, through the device.
 */
#include "kvbm_util.h"
#include "kselftest_harness.h"

#define BLOCKS	64
/* A refusal of so many touches nothing: kvbm_info.out_chunk is not less. */
#define FEW	16

FIXTURE(allow)
{
	struct kv_world w;
	struct kvbm_token t[BLOCKS];
	struct kvbm_hash h[BLOCKS];
	struct kvbm_counters c;
};

FIXTURE_SETUP(allow)
{
	ASSERT_EQ(0, kv_world_make(&self->w, BLOCKS, KVBM_DUP_ALLOW));
	kv_hashes(self->h, 1, BLOCKS);
}

FIXTURE_TEARDOWN(allow)
{
	EXPECT_EQ(0, kv_world_end(&self->w));
}

FIXTURE(reject)
{
	struct kv_world w;
};

FIXTURE_SETUP(reject)
{
	ASSERT_EQ(0, kv_world_make(&self->w, BLOCKS, KVBM_DUP_REJECT));
}

FIXTURE_TEARDOWN(reject)
{
	EXPECT_EQ(0, kv_world_end(&self->w));
}

#define COUNTERS() ASSERT_EQ(0, kv_counters(self->w.fd, self->w.manager, &self->c))

TEST_F(allow, allocate_in_order_all_or_none)
{
	int fd = self->w.session;
	struct kvbm_token u[BLOCKS];
	uint32_t i;

	ASSERT_EQ(0, kv_allocate(fd, 60, self->t, NULL, NULL));
	for (i = 0; i < 60; i++) {
		EXPECT_EQ(i, self->t[i].id);
		EXPECT_NE(0, self->t[i].gen);
	}
	EXPECT_EQ(-ENOSPC, kv_allocate(fd, 5, u, NULL, NULL));
	COUNTERS();
	EXPECT_EQ(60, self->c.inflight_mutable);
	EXPECT_EQ(4, self->c.reset_pool_size);
	EXPECT_EQ(60, self->c.allocations);
	EXPECT_EQ(1, self->c.allocation_failures);
	/* To the tail of the reset pool, in the order of the release. */
	ASSERT_EQ(0, kv_release(fd, 2, self->t + 7));
	ASSERT_EQ(0, kv_allocate(fd, 6, u, NULL, NULL));
	EXPECT_EQ(60, u[0].id);
	EXPECT_EQ(7, u[4].id);
	EXPECT_EQ(8, u[5].id);
	EXPECT_NE(self->t[7].gen, u[4].gen);
	EXPECT_EQ(0, kv_allocate(fd, 0, NULL, NULL, NULL));
}

TEST_F(allow, register_match_release)
{
	int fd = self->w.session;
	struct kvbm_token m[BLOCKS];
	uint32_t n;

	ASSERT_EQ(0, kv_allocate(fd, 8, self->t, NULL, NULL));
	ASSERT_EQ(0, kv_match(fd, 8, self->h, m, &n));
	EXPECT_EQ(0, n);
	ASSERT_EQ(0, kv_stage(fd, 8, self->t, self->h));
	ASSERT_EQ(0, kv_match(fd, 8, self->h, m, &n));
	EXPECT_EQ(0, n);
	ASSERT_EQ(0, kv_register(fd, 8, self->t, NULL));
	ASSERT_EQ(0, kv_match(fd, 12, self->h, m, &n));
	ASSERT_EQ(8, n);
	EXPECT_EQ(0, memcmp(m, self->t, 8 * sizeof(*m)));
	COUNTERS();
	EXPECT_EQ(8, self->c.states[KVBM_STATE_PRIMARY]);
	EXPECT_EQ(16, self->c.inflight_immutable);
	EXPECT_EQ(20 + 8, self->c.match_hashes_requested);
	EXPECT_EQ(8, self->c.match_blocks_returned);
	EXPECT_EQ(8, self->c.registrations);
	EXPECT_EQ(8, self->c.stagings);
	/* A guard each of the two remains until both are released. */
	ASSERT_EQ(0, kv_release(fd, 8, m));
	COUNTERS();
	EXPECT_EQ(8, self->c.states[KVBM_STATE_PRIMARY]);
	ASSERT_EQ(0, kv_release(fd, 8, m));
	COUNTERS();
	EXPECT_EQ(8, self->c.states[KVBM_STATE_INACTIVE]);
	EXPECT_EQ(0, self->c.inflight_immutable);
	/* Back from the inactive pool, the same tenants. */
	ASSERT_EQ(0, kv_match(fd, 3, self->h, m, &n));
	EXPECT_EQ(3, n);
	EXPECT_EQ(0, memcmp(m, self->t, 3 * sizeof(*m)));
	ASSERT_EQ(0, kv_release(fd, 3, m));
}

TEST_F(allow, eviction_oldest_release_first)
{
	int fd = self->w.session;
	struct kvbm_hash evicted[BLOCKS];
	struct kvbm_token u[BLOCKS];
	uint32_t i, n;

	ASSERT_EQ(0, kv_fill(fd, 1, 8, self->t));
	for (i = 8; i--; )
		ASSERT_EQ(0, kv_release(fd, 1, &self->t[i]));
	ASSERT_EQ(0, kv_allocate(fd, BLOCKS - 5, u, evicted, &n));
	ASSERT_EQ(3, n);
	/* The tail of the chain was released first. */
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, memcmp(&evicted[i], &self->h[7 - i], sizeof(*evicted)));
		EXPECT_EQ(self->t[7 - i].id, u[BLOCKS - 8 + i].id);
	}
	COUNTERS();
	EXPECT_EQ(3, self->c.evictions);
	EXPECT_EQ(5, self->c.inactive_pool_size);
	ASSERT_EQ(0, kv_match(fd, 8, self->h, self->t, &n));
	EXPECT_EQ(5, n);
}

TEST_F(allow, duplicate_keeps_the_primary)
{
	int fd = self->w.session;
	struct kvbm_token p, d, m;
	uint8_t kind;
	uint32_t n;

	ASSERT_EQ(0, kv_fill(fd, 1, 1, &p));
	ASSERT_EQ(0, kv_allocate(fd, 1, &d, NULL, NULL));
	ASSERT_EQ(0, kv_stage(fd, 1, &d, self->h));
	ASSERT_EQ(0, kv_register(fd, 1, &d, &kind));
	EXPECT_EQ(KVBM_REGISTERED_DUPLICATE, kind);
	EXPECT_NE(p.id, d.id);
	ASSERT_EQ(0, kv_release(fd, 1, &p));
	COUNTERS();
	EXPECT_EQ(1, self->c.states[KVBM_STATE_PRIMARY]);
	EXPECT_EQ(1, self->c.states[KVBM_STATE_DUPLICATE]);
	EXPECT_EQ(1, self->c.duplicate_blocks);
	ASSERT_EQ(0, kv_match(fd, 1, self->h, &m, &n));
	EXPECT_EQ(p.id, m.id);
	ASSERT_EQ(0, kv_release(fd, 1, &m));
	ASSERT_EQ(0, kv_release(fd, 1, &d));
	COUNTERS();
	EXPECT_EQ(1, self->c.inactive_pool_size);
	EXPECT_EQ(BLOCKS - 1, self->c.reset_pool_size);
}

TEST_F(reject, present_block_is_returned)
{
	int fd = self->w.session;
	struct kvbm_hash h = kv_hash(1, 0);
	struct kvbm_counters c;
	struct kvbm_token p, d, candidate;
	uint8_t kind;

	ASSERT_EQ(0, kv_fill(fd, 1, 1, &p));
	ASSERT_EQ(0, kv_release(fd, 1, &p));
	ASSERT_EQ(0, kv_allocate(fd, 1, &d, NULL, NULL));
	candidate = d;
	ASSERT_EQ(0, kv_stage(fd, 1, &d, &h));
	ASSERT_EQ(0, kv_register(fd, 1, &d, &kind));
	EXPECT_EQ(KVBM_REGISTERED_EXISTING, kind);
	EXPECT_EQ(p.id, d.id);
	EXPECT_EQ(p.gen, d.gen);
	EXPECT_EQ(-ENXIO, kv_release(fd, 1, &candidate));
	ASSERT_EQ(0, kv_counters(self->w.fd, self->w.manager, &c));
	EXPECT_EQ(1, c.registration_dedup);
	EXPECT_EQ(2, c.registrations);
	EXPECT_EQ(1, c.states[KVBM_STATE_PRIMARY]);
	EXPECT_EQ(BLOCKS - 1, c.reset_pool_size);
	ASSERT_EQ(0, kv_release(fd, 1, &d));
}

TEST_F(allow, acquire_both_or_neither)
{
	int fd = self->w.session;
	struct kvbm_counters before;
	struct kvbm_token u[BLOCKS + 1];
	struct kvbm_acquire a;

	ASSERT_EQ(0, kv_fill(fd, 1, 8, self->t));
	ASSERT_EQ(0, kv_release(fd, 8, self->t));
	ASSERT_EQ(0, kv_acquire(fd, 10, 12, self->h, u, &a));
	EXPECT_EQ(8, a.out_matched);
	EXPECT_EQ(4, a.out_allocated);
	EXPECT_EQ(0, memcmp(u, self->t, 8 * sizeof(*u)));
	ASSERT_EQ(0, kv_release(fd, 12, u));
	/* 8 of the last 15 are wanted as matches: 8 more cannot be had. */
	ASSERT_EQ(0, kv_allocate(fd, BLOCKS - FEW + 1, u + FEW, NULL, NULL));
	COUNTERS();
	before = self->c;
	EXPECT_EQ(-ENOSPC, kv_acquire(fd, 8, FEW, self->h, u, &a));
	COUNTERS();
	before.allocation_failures++;
	EXPECT_EQ(0, memcmp(&before, &self->c, sizeof(before)));
	ASSERT_EQ(0, kv_acquire(fd, 8, FEW - 1, self->h, u, &a));
	EXPECT_EQ(8, a.out_matched);
	EXPECT_EQ(0, a.out_evicted);
}

TEST_F(allow, stage_register_and_next)
{
	int fd = self->w.session;
	struct kvbm_token next[BLOCKS];
	uint8_t kinds[BLOCKS];
	struct kvbm_stage_register a = {
		.size = sizeof(a),
		.count = 4,
		.block_size = BLOCK_SIZE,
		.tokens = ptr(self->t),
		.hashes = ptr(self->h),
		.out_tokens = ptr(self->t),
		.out_kinds = ptr(kinds),
		.next_count = 2,
		.next_tokens = ptr(next),
	};
	uint32_t n;

	ASSERT_EQ(0, kv_allocate(fd, 4, self->t, NULL, NULL));
	ASSERT_EQ(0, kv(fd, KVBM_STAGE_REGISTER, &a));
	EXPECT_EQ(2, a.out_next);
	EXPECT_EQ(4, next[0].id);
	EXPECT_EQ(KVBM_REGISTERED_NEW, kinds[3]);
	ASSERT_EQ(0, kv_match(fd, 4, self->h, self->t + 4, &n));
	EXPECT_EQ(4, n);
	/* No room for the next blocks: the registration stands. */
	a.tokens = ptr(next);
	a.out_tokens = ptr(next);
	a.hashes = ptr(self->h + 4);
	a.count = 2;
	a.next_count = BLOCKS;
	a.next_tokens = ptr(self->t + 8);
	ASSERT_EQ(-EFAULT, kv(fd, KVBM_STAGE_REGISTER, &(struct kvbm_stage_register){
		.size = sizeof(a), .count = 2, .block_size = BLOCK_SIZE,
		.tokens = a.tokens, .out_tokens = a.tokens, .hashes = a.hashes,
		.next_count = BLOCKS, .next_tokens = 8 }));
	a.next_tokens = ptr(self->h);
	ASSERT_EQ(0, kv(fd, KVBM_STAGE_REGISTER, &a));
	EXPECT_EQ(0, a.out_next);
	COUNTERS();
	EXPECT_EQ(6, self->c.states[KVBM_STATE_PRIMARY]);
}

TEST_F(allow, wrong_tokens_change_nothing)
{
	int fd = self->w.session, other = kv_session(self->w.manager, ALL_RIGHTS);
	struct kvbm_counters before;
	struct kvbm_token bad[4];
	struct kvbm_release r = { .size = sizeof(r), .count = 4, .tokens = ptr(bad) };

	ASSERT_LE(0, other);
	ASSERT_EQ(0, kv_allocate(fd, 4, self->t, NULL, NULL));
	COUNTERS();
	before = self->c;
	/* Foreign. */
	EXPECT_EQ(-ENXIO, kv_release(other, 1, self->t));
	/* Out of range, third of four. */
	memcpy(bad, self->t, sizeof(bad));
	bad[2].id = BLOCKS;
	EXPECT_EQ(-ENXIO, kv(fd, KVBM_RELEASE, &r));
	EXPECT_EQ(2, r.out_failed);
	/* Another generation. */
	bad[2] = self->t[2];
	bad[2].gen++;
	EXPECT_EQ(-ESTALE, kv(fd, KVBM_RELEASE, &r));
	/* Twice in one batch. */
	bad[2] = self->t[0];
	EXPECT_EQ(-ENXIO, kv(fd, KVBM_RELEASE, &r));
	EXPECT_EQ(2, r.out_failed);
	/* Mutable blocks cannot be registered, nor staged twice. */
	EXPECT_EQ(-EBADFD, kv_register(fd, 4, self->t, NULL));
	bad[2] = self->t[0];
	EXPECT_EQ(-ENXIO, kv_stage(fd, 4, bad, self->h));
	COUNTERS();
	EXPECT_EQ(0, memcmp(&before, &self->c, sizeof(before)));
	ASSERT_EQ(0, kv_stage(fd, 4, self->t, self->h));
	EXPECT_EQ(-EBADFD, kv_stage(fd, 1, self->t, self->h));
	ASSERT_EQ(0, kv_release(fd, 4, self->t));
	EXPECT_EQ(-ENXIO, kv_release(fd, 4, self->t));
	ASSERT_EQ(0, kv_allocate(fd, BLOCKS, self->t, NULL, NULL));
	EXPECT_EQ(-ESTALE, kv_release(fd, 1, bad));
	close(other);
}

TEST_F(allow, wrong_hashes)
{
	int fd = self->w.session;
	struct kvbm_stage a = {
		.size = sizeof(a),
		.count = 2,
		.block_size = BLOCK_SIZE,
		.tokens = ptr(self->t),
		.hashes = ptr(self->h),
	};

	ASSERT_EQ(0, kv_allocate(fd, 2, self->t, NULL, NULL));
	self->h[1].hi |= 3ull << 62;
	EXPECT_EQ(-EILSEQ, kv(fd, KVBM_STAGE, &a));
	EXPECT_EQ(1, a.out_failed);
	self->h[1] = kv_hash(1, 1);
	self->h[0].lo |= 1;
	EXPECT_EQ(-EILSEQ, kv(fd, KVBM_STAGE, &a));
	EXPECT_EQ(0, a.out_failed);
	self->h[0] = kv_hash(1, 0);
	a.block_size = BLOCK_SIZE * 2;
	EXPECT_EQ(-EDOM, kv(fd, KVBM_STAGE, &a));
	a.block_size = BLOCK_SIZE;
	EXPECT_EQ(0, kv(fd, KVBM_STAGE, &a));
}

TEST_F(allow, large_batches)
{
	struct kvbm_manager_create m;
	const uint32_t n = 20000;
	struct kvbm_token *t = calloc(n, sizeof(*t));
	struct kvbm_token *u = calloc(n, sizeof(*u));
	struct kvbm_hash *h = calloc(n, sizeof(*h));
	struct kvbm_acquire a;
	uint32_t found;
	int fd;

	manager_init(&m, self->w.registry, "large", n);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	fd = kv_session(m.out_id, ALL_RIGHTS);
	ASSERT_LE(0, fd);
	kv_hashes(h, 9, n);
	ASSERT_EQ(0, kv_fill(fd, 9, n / 2, t));
	ASSERT_EQ(0, kv_release(fd, n / 2, t));
	ASSERT_EQ(0, kv_acquire(fd, n, n, h, u, &a));
	EXPECT_EQ(n / 2, a.out_matched);
	EXPECT_EQ(n / 2, a.out_allocated);
	EXPECT_EQ(0, memcmp(t, u, n / 2 * sizeof(*t)));
	EXPECT_EQ(0, kv_check(fd, 0));
	EXPECT_EQ(-ENOSPC, kv_allocate(fd, 1000, t, NULL, NULL));
	ASSERT_EQ(0, kv_release(fd, n, u));
	EXPECT_EQ(-ENOSPC, kv_allocate(fd, n + 1, t, NULL, NULL));
	ASSERT_EQ(0, kv_match(fd, n, h, t, &found));
	EXPECT_EQ(n / 2, found);
	EXPECT_EQ(-EBUSY, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id,
				KVBM_DESTROY_FORCE));
	EXPECT_EQ(-ESHUTDOWN, kv_match(fd, n, h, u, &found));
	EXPECT_EQ(-ESHUTDOWN, kv_allocate(fd, 1, u, NULL, NULL));
	EXPECT_EQ(0, kv_release(fd, n / 2, t));
	close(fd);
	free(t);
	free(u);
	free(h);
}

TEST_HARNESS_MAIN
