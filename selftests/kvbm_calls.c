// SPDX-License-Identifier: GPL-2.0
/*
 * The calls beside the straight life of a block.
 */
#include "kvbm_util.h"
#include "kselftest_harness.h"

#define BLOCKS	64

FIXTURE(calls)
{
	struct kv_world w;
	struct kvbm_token t[BLOCKS], u[BLOCKS];
	struct kvbm_hash h[BLOCKS];
	struct kvbm_counters c, d;
	int fd;
};

FIXTURE_SETUP(calls)
{
	ASSERT_EQ(0, kv_world_make(&self->w, BLOCKS, KVBM_DUP_ALLOW));
	self->fd = self->w.session;
	kv_hashes(self->h, 1, BLOCKS);
}

FIXTURE_TEARDOWN(calls)
{
	EXPECT_EQ(0, kv_world_end(&self->w));
}

#define COUNTERS(c) ASSERT_EQ(0, kv_counters(self->w.fd, self->w.manager, &(c)))

static int match(int fd, uint32_t flags, uint32_t n, const struct kvbm_hash *h,
		 struct kvbm_token *t, uint32_t *count)
{
	struct kvbm_match a = {
		.size = sizeof(a),
		.flags = flags,
		.count = n,
		.hashes = ptr(h),
		.tokens = ptr(t),
	};
	int err = kv(fd, KVBM_MATCH, &a);

	*count = a.out_count;
	return err;
}

TEST_F(calls, unstage)
{
	ASSERT_EQ(0, kv_allocate(self->fd, 4, self->t, NULL, NULL));
	EXPECT_EQ(-EBADFD, kv_tokens(self->fd, KVBM_UNSTAGE, 0, 1, self->t));
	ASSERT_EQ(0, kv_stage(self->fd, 4, self->t, self->h));
	ASSERT_EQ(0, kv_tokens(self->fd, KVBM_UNSTAGE, 0, 2, self->t));
	COUNTERS(self->c);
	EXPECT_EQ(2, self->c.states[KVBM_STATE_MUTABLE]);
	EXPECT_EQ(2, self->c.states[KVBM_STATE_STAGED]);
	EXPECT_EQ(4, self->c.stagings);
	/* The same tenant, and another hash this time. */
	ASSERT_EQ(0, kv_stage(self->fd, 1, self->t, self->h + 9));
	ASSERT_EQ(0, kv_register(self->fd, 1, self->t, NULL));
	EXPECT_EQ(-EBADFD, kv_tokens(self->fd, KVBM_UNSTAGE, 0, 1, self->t));
}

TEST_F(calls, scattered)
{
	struct kvbm_hash h[6];
	uint32_t n;

	ASSERT_EQ(0, kv_fill(self->fd, 1, 4, self->t));
	ASSERT_EQ(0, kv_release(self->fd, 2, self->t + 2));
	/* Held, a miss, cached, held, cached once more, a miss. */
	h[0] = self->h[0];
	h[1] = self->h[9];
	h[2] = self->h[2];
	h[3] = self->h[1];
	h[4] = self->h[2];
	h[5] = self->h[10];
	COUNTERS(self->c);
	ASSERT_EQ(0, match(self->fd, KVBM_MATCH_SCATTERED, 6, h, self->u, &n));
	EXPECT_EQ(4, n);
	EXPECT_EQ(self->t[0].id, self->u[0].id);
	EXPECT_EQ(0, self->u[1].gen);
	EXPECT_EQ(self->t[2].id, self->u[2].id);
	EXPECT_EQ(self->t[1].id, self->u[3].id);
	EXPECT_EQ(self->t[2].id, self->u[4].id);
	EXPECT_EQ(0, self->u[5].gen);
	COUNTERS(self->d);
	EXPECT_EQ(6, self->d.match_hashes_requested - self->c.match_hashes_requested);
	EXPECT_EQ(4, self->d.match_blocks_returned - self->c.match_blocks_returned);
	EXPECT_EQ(0, self->d.scan_hashes_requested);
	EXPECT_EQ(4 - 2 + 4, self->d.inflight_immutable);
	/* Two guards on the block that was named twice. */
	ASSERT_EQ(0, kv_release(self->fd, 1, self->u + 2));
	ASSERT_EQ(0, kv_release(self->fd, 1, self->u + 4));
	EXPECT_EQ(-ENXIO, kv_release(self->fd, 1, self->u + 2));
}

TEST_F(calls, scan)
{
	struct kvbm_hash h[5];
	uint32_t n;

	ASSERT_EQ(0, kv_fill(self->fd, 1, 3, self->t));
	ASSERT_EQ(0, kv_release(self->fd, 1, self->t + 2));
	h[0] = self->h[2];
	h[1] = self->h[20];
	h[2] = self->h[0];
	h[3] = self->h[2];
	h[4] = self->h[0];
	ASSERT_EQ(0, match(self->fd, KVBM_MATCH_SCAN, 5, h, self->u, &n));
	EXPECT_EQ(2, n);
	EXPECT_EQ(self->t[2].gen, self->u[0].gen);
	EXPECT_EQ(0, self->u[1].gen);
	EXPECT_EQ(self->t[0].gen, self->u[2].gen);
	EXPECT_EQ(0, self->u[3].gen);
	EXPECT_EQ(0, self->u[4].gen);
	COUNTERS(self->c);
	EXPECT_EQ(5, self->c.scan_hashes_requested);
	EXPECT_EQ(2, self->c.scan_blocks_returned);
	EXPECT_EQ(0, self->c.match_hashes_requested);
	/* A second scan finds them again. */
	ASSERT_EQ(0, match(self->fd, KVBM_MATCH_SCAN, 5, h, self->u + 5, &n));
	EXPECT_EQ(2, n);
	EXPECT_EQ(-EINVAL, match(self->fd, KVBM_MATCH_SCAN | KVBM_MATCH_PROBE, 5, h,
				 self->u, &n));
	EXPECT_EQ(-EINVAL, match(self->fd, KVBM_MATCH_TOUCH, 5, h, self->u, &n));
}

TEST_F(calls, probe)
{
	uint32_t n;

	ASSERT_EQ(0, kv_fill(self->fd, 1, 10, self->t));
	ASSERT_EQ(0, kv_release(self->fd, 10, self->t));
	COUNTERS(self->c);
	ASSERT_EQ(0, match(self->fd, KVBM_MATCH_PROBE, BLOCKS, self->h, NULL, &n));
	EXPECT_EQ(10, n);
	ASSERT_EQ(0, match(self->fd, KVBM_MATCH_PROBE, 4, self->h, NULL, &n));
	EXPECT_EQ(4, n);
	ASSERT_EQ(0, match(self->fd, KVBM_MATCH_PROBE, 4, self->h + 20, NULL, &n));
	EXPECT_EQ(0, n);
	COUNTERS(self->d);
	EXPECT_EQ(0, memcmp(&self->c, &self->d, sizeof(self->c)));
}

TEST_F(calls, clone)
{
	ASSERT_EQ(0, kv_fill(self->fd, 1, 2, self->t));
	ASSERT_EQ(0, kv_tokens(self->fd, KVBM_CLONE, 0, 2, self->t));
	COUNTERS(self->c);
	EXPECT_EQ(4, self->c.inflight_immutable);
	ASSERT_EQ(0, kv_release(self->fd, 2, self->t));
	COUNTERS(self->c);
	EXPECT_EQ(2, self->c.states[KVBM_STATE_PRIMARY]);
	ASSERT_EQ(0, kv_release(self->fd, 2, self->t));
	EXPECT_EQ(-ENXIO, kv_tokens(self->fd, KVBM_CLONE, 0, 1, self->t));
	ASSERT_EQ(0, kv_allocate(self->fd, 1, self->u, NULL, NULL));
	EXPECT_EQ(-EBADFD, kv_tokens(self->fd, KVBM_CLONE, 0, 1, self->u));
	/* The same guard twice in one batch: held once, cloned twice. */
	ASSERT_EQ(0, kv_stage(self->fd, 1, self->u, self->h + 5));
	ASSERT_EQ(0, kv_register(self->fd, 1, self->u, NULL));
	self->u[1] = self->u[0];
	EXPECT_EQ(-ENXIO, kv_tokens(self->fd, KVBM_CLONE, 0, 2, self->u));
}

static int upgrade(int fd, uint32_t n, const struct kvbm_hash *h,
		   const struct kvbm_token *weak, struct kvbm_token *t, uint32_t *count)
{
	struct kvbm_upgrade a = {
		.size = sizeof(a),
		.count = n,
		.hashes = ptr(h),
		.tokens = ptr(weak),
		.out_tokens = ptr(t),
	};
	int err = kv(fd, KVBM_UPGRADE, &a);

	*count = a.out_count;
	return err;
}

TEST_F(calls, upgrade)
{
	struct kvbm_token dup;
	uint32_t n;
	uint8_t kind;

	ASSERT_EQ(0, kv_fill(self->fd, 1, 3, self->t));
	ASSERT_EQ(0, kv_allocate(self->fd, 1, &dup, NULL, NULL));
	ASSERT_EQ(0, kv_stage(self->fd, 1, &dup, self->h));
	ASSERT_EQ(0, kv_register(self->fd, 1, &dup, &kind));
	ASSERT_EQ(KVBM_REGISTERED_DUPLICATE, kind);
	COUNTERS(self->c);
	/* Held: the very block, a Duplicate too. */
	ASSERT_EQ(0, upgrade(self->fd, 1, self->h, &dup, self->u, &n));
	EXPECT_EQ(1, n);
	EXPECT_EQ(dup.id, self->u[0].id);
	ASSERT_EQ(0, kv_release(self->fd, 1, &dup));
	ASSERT_EQ(0, kv_release(self->fd, 1, &dup));
	/* The Duplicate is gone: the Primary stands in for it. */
	ASSERT_EQ(0, upgrade(self->fd, 1, self->h, &dup, self->u, &n));
	EXPECT_EQ(self->t[0].id, self->u[0].id);
	/* Cached, cached, never there; in place. */
	ASSERT_EQ(0, kv_release(self->fd, 2, self->t + 1));
	memcpy(self->u, self->t + 1, 2 * sizeof(*self->u));
	self->u[2] = (struct kvbm_token){ 5, 77 };
	ASSERT_EQ(0, upgrade(self->fd, 3, self->h + 1, self->u, self->u, &n));
	EXPECT_EQ(2, n);
	EXPECT_EQ(0, memcmp(self->u, self->t + 1, 2 * sizeof(*self->u)));
	EXPECT_EQ(0, self->u[2].gen);
	/* A wild id is a miss by token, and a hit by hash. */
	self->u[5] = (struct kvbm_token){ UINT32_MAX, 1 };
	ASSERT_EQ(0, upgrade(self->fd, 1, self->h, &self->u[5], &self->u[6], &n));
	EXPECT_EQ(self->t[0].id, self->u[6].id);
	COUNTERS(self->d);
	EXPECT_EQ(self->c.match_hashes_requested, self->d.match_hashes_requested);
}

TEST_F(calls, reset_on_release)
{
	uint32_t n;

	ASSERT_EQ(0, kv_fill(self->fd, 1, 4, self->t));
	ASSERT_EQ(0, kv_tokens(self->fd, KVBM_SET_RESET, KVBM_RESET_ON_RELEASE, 2,
			       self->t));
	/* Shared as long as it is held. */
	ASSERT_EQ(0, kv_match(self->fd, 4, self->h, self->u, &n));
	EXPECT_EQ(4, n);
	ASSERT_EQ(0, kv_release(self->fd, 4, self->u));
	/* The last word counts. */
	ASSERT_EQ(0, kv_tokens(self->fd, KVBM_SET_RESET, 0, 1, self->t));
	ASSERT_EQ(0, kv_release(self->fd, 4, self->t));
	COUNTERS(self->c);
	EXPECT_EQ(3, self->c.inactive_pool_size);
	EXPECT_EQ(BLOCKS - 3, self->c.reset_pool_size);
	ASSERT_EQ(0, kv_match(self->fd, 4, self->h, self->u, &n));
	EXPECT_EQ(1, n);
	/* It survives the cache, and ends with the tenant. */
	ASSERT_EQ(0, kv_release(self->fd, 1, self->u));
	ASSERT_EQ(0, kv_allocate(self->fd, BLOCKS, self->t, NULL, NULL));
	EXPECT_EQ(-EBADFD, kv_tokens(self->fd, KVBM_SET_RESET, 0, 1, self->t));
	ASSERT_EQ(0, kv_stage(self->fd, BLOCKS, self->t, self->h));
	ASSERT_EQ(0, kv_register(self->fd, BLOCKS, self->t, NULL));
	ASSERT_EQ(0, kv_release(self->fd, BLOCKS, self->t));
	COUNTERS(self->c);
	EXPECT_EQ(BLOCKS, self->c.inactive_pool_size);
}

TEST_F(calls, reset_by_default_and_opt_out)
{
	struct kvbm_manager_create m;
	struct kvbm_counters c;
	uint32_t n;
	int fd;

	manager_init(&m, self->w.registry, "reset", 8);
	m.flags = KVBM_MANAGER_RESET_ON_RELEASE;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	fd = kv_session(m.out_id, ALL_RIGHTS);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, kv_fill(fd, 1, 4, self->t));
	ASSERT_EQ(0, kv_tokens(fd, KVBM_SET_RESET, 0, 1, self->t));
	ASSERT_EQ(0, kv_release(fd, 4, self->t));
	ASSERT_EQ(0, kv_counters(fd, 0, &c));
	EXPECT_EQ(1, c.inactive_pool_size);
	EXPECT_EQ(7, c.reset_pool_size);
	/* Opting out survives being cached and matched. */
	ASSERT_EQ(0, kv_match(fd, 1, self->h, self->u, &n));
	ASSERT_EQ(1, n);
	ASSERT_EQ(0, kv_release(fd, 1, self->u));
	ASSERT_EQ(0, kv_counters(fd, 0, &c));
	EXPECT_EQ(1, c.inactive_pool_size);
	close(fd);
	EXPECT_EQ(0, kv_check(self->w.fd, m.out_id));
	ASSERT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
}

TEST_F(calls, drain)
{
	struct kvbm_drain a = { .size = sizeof(a) };
	uint32_t n, i;

	ASSERT_EQ(0, kv_fill(self->fd, 1, 10, self->t));
	ASSERT_EQ(0, kv_release(self->fd, 6, self->t));
	ASSERT_EQ(0, kv_allocate(self->fd, 2, self->u, NULL, NULL));
	COUNTERS(self->c);
	ASSERT_EQ(0, kv(self->fd, KVBM_DRAIN, &a));
	EXPECT_EQ(6, a.out_drained);
	EXPECT_EQ(6, a.out_in_use);
	COUNTERS(self->d);
	EXPECT_EQ(0, self->d.inactive_pool_size);
	EXPECT_EQ(BLOCKS - 6, self->d.reset_pool_size);
	EXPECT_EQ(self->c.evictions, self->d.evictions);
	EXPECT_EQ(self->c.allocations, self->d.allocations);
	ASSERT_EQ(0, kv_match(self->fd, 10, self->h, self->u + 2, &n));
	EXPECT_EQ(0, n);
	ASSERT_EQ(0, kv(self->fd, KVBM_DRAIN, &a));
	EXPECT_EQ(0, a.out_drained);
	/* To the tail of the reset pool, in the order of the policy. */
	ASSERT_EQ(0, kv_allocate(self->fd, BLOCKS - 6, self->u, NULL, NULL));
	for (i = 0; i < 6; i++)
		EXPECT_EQ(self->t[i].id, self->u[BLOCKS - 12 + i].id);
}

TEST_F(calls, presence)
{
	struct kvbm_registry_query rq = { .size = sizeof(rq), .id = self->w.registry };
	struct kvbm_manager_create m;
	uint64_t masks[6], managers[2];
	struct kvbm_presence a = {
		.size = sizeof(a),
		.registry = self->w.registry,
		.hashes = ptr(self->h),
		.out_masks = ptr(masks),
		.managers = ptr(managers),
		.count = 6,
		.nr_managers = 2,
	};
	int fd;

	manager_init(&m, self->w.registry, "g2", 8);
	m.tier = KVBM_TIER_G2;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	fd = kv_session(m.out_id, ALL_RIGHTS);
	ASSERT_EQ(0, kv_fill(fd, 1, 2, self->t));
	ASSERT_EQ(0, kv_fill(self->fd, 1, 4, self->u));
	ASSERT_EQ(0, kv_release(self->fd, 4, self->u));
	managers[0] = m.out_id;
	managers[1] = self->w.manager;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_PRESENCE, &a));
	EXPECT_EQ(3, masks[0]);
	EXPECT_EQ(3, masks[1]);
	EXPECT_EQ(2, masks[2]);
	EXPECT_EQ(2, masks[3]);
	EXPECT_EQ(0, masks[4]);
	/* Any, and the registry of the session. */
	a.registry = 0;
	a.nr_managers = 0;
	ASSERT_EQ(0, kv(self->fd, KVBM_PRESENCE, &a));
	EXPECT_EQ(1, masks[3]);
	EXPECT_EQ(0, masks[4]);
	EXPECT_EQ(-ENOTCONN, kv(self->w.fd, KVBM_PRESENCE, &a));
	a.registry = 1ull << 40;
	EXPECT_EQ(-ENOENT, kv(self->w.fd, KVBM_PRESENCE, &a));
	a.registry = self->w.registry;
	a.nr_managers = 2;
	managers[1] = 1ull << 40;
	EXPECT_EQ(-ENOENT, kv(self->w.fd, KVBM_PRESENCE, &a));
	a.nr_managers = KVBM_MAX_REGISTRY_MANAGERS + 1;
	EXPECT_EQ(-EINVAL, kv(self->w.fd, KVBM_PRESENCE, &a));
	/* Exact: gone as soon as it is evicted. */
	ASSERT_EQ(0, kv_allocate(self->fd, BLOCKS, self->t + 2, NULL, NULL));
	a.nr_managers = 1;
	managers[0] = self->w.manager;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_PRESENCE, &a));
	EXPECT_EQ(0, masks[0]);
	ASSERT_EQ(0, kv(self->w.fd, KVBM_REGISTRY_QUERY, &rq));
	EXPECT_EQ(2, rq.out_entries);
	close(fd);
	ASSERT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
}

TEST_F(calls, holdings)
{
	struct kvbm_held held[8];
	struct kvbm_holdings a = {
		.size = sizeof(a),
		.count = 8,
		.held = ptr(held),
	};

	ASSERT_EQ(0, kv(self->fd, KVBM_HOLDINGS, &a));
	EXPECT_EQ(0, a.out_total);
	ASSERT_EQ(0, kv_fill(self->fd, 1, 2, self->t));
	ASSERT_EQ(0, kv_tokens(self->fd, KVBM_CLONE, 0, 1, self->t));
	ASSERT_EQ(0, kv_allocate(self->fd, 2, self->t + 2, NULL, NULL));
	ASSERT_EQ(0, kv_stage(self->fd, 1, self->t + 3, self->h + 7));
	ASSERT_EQ(0, kv(self->fd, KVBM_HOLDINGS, &a));
	EXPECT_EQ(4, a.out_count);
	EXPECT_EQ(4, a.out_total);
	EXPECT_EQ(2, held[0].guards);
	EXPECT_EQ(KVBM_STATE_PRIMARY, held[0].state);
	EXPECT_EQ(0, memcmp(&held[1].token, &self->t[1], sizeof(held[1].token)));
	EXPECT_EQ(KVBM_STATE_MUTABLE, held[2].state);
	EXPECT_EQ(0, held[2].hash.hi | held[2].hash.lo);
	EXPECT_EQ(KVBM_STATE_STAGED, held[3].state);
	EXPECT_EQ(0, memcmp(&held[3].hash, &self->h[7], sizeof(held[3].hash)));
	a.start = 3;
	ASSERT_EQ(0, kv(self->fd, KVBM_HOLDINGS, &a));
	EXPECT_EQ(1, a.out_count);
	EXPECT_EQ(4, a.out_total);
	a.start = 9;
	ASSERT_EQ(0, kv(self->fd, KVBM_HOLDINGS, &a));
	EXPECT_EQ(0, a.out_count);
}

TEST_F(calls, reserved_blocks)
{
	struct kvbm_manager_query q = { .size = sizeof(q) };
	struct kvbm_drain drain = { .size = sizeof(drain) };
	struct kvbm_manager_create m;
	struct kvbm_counters c;
	int fd, i;

	manager_init(&m, self->w.registry, "null", 16);
	m.nr_reserved = 1;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	fd = kv_session(m.out_id, ALL_RIGHTS);
	EXPECT_EQ(-ENOSPC, kv_allocate(fd, 16, self->t, NULL, NULL));
	ASSERT_EQ(0, kv_allocate(fd, 15, self->t, NULL, NULL));
	for (i = 0; i < 15; i++)
		EXPECT_EQ(i + 1, self->t[i].id);
	ASSERT_EQ(0, kv_counters(fd, 0, &c));
	EXPECT_EQ(0, c.reset_pool_size);
	ASSERT_EQ(0, kv_release(fd, 15, self->t));
	ASSERT_EQ(0, kv(fd, KVBM_DRAIN, &drain));
	EXPECT_EQ(0, drain.out_drained);
	EXPECT_EQ(0, drain.out_in_use);
	self->t[0].id = 0;
	EXPECT_EQ(-ENXIO, kv_release(fd, 1, self->t) == -ESTALE ? -ENXIO : 0);
	ASSERT_EQ(0, kv(fd, KVBM_MANAGER_QUERY, &q));
	EXPECT_EQ(1, q.out_nr_reserved);
	EXPECT_EQ(0, kv_check(fd, 0));
	close(fd);
	/* Nothing is held: no need for force. */
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
}

TEST_F(calls, aux)
{
	const uint32_t size = 24, n = 4;
	char aux[8][24], back[8][24];
	struct kvbm_manager_create m;
	struct kvbm_stage s = { .size = sizeof(s), .count = n, .block_size = BLOCK_SIZE,
				.tokens = ptr(self->t), .hashes = ptr(self->h),
				.aux = ptr(aux) };
	struct kvbm_allocate a = { .size = sizeof(a), .count = n, .tokens = ptr(self->u),
				   .evicted_aux = ptr(back) };
	struct kvbm_token t[8];
	int fd;

	/* This manager has none. */
	ASSERT_EQ(0, kv_allocate(self->fd, n, self->t, NULL, NULL));
	EXPECT_EQ(-EINVAL, kv(self->fd, KVBM_STAGE, &s));
	EXPECT_EQ(-EINVAL, kv(self->fd, KVBM_ALLOCATE, &a));

	manager_init(&m, self->w.registry, "aux", 8);
	m.aux_size = size;
	ASSERT_EQ(0, kv(self->w.fd, KVBM_MANAGER_CREATE, &m));
	fd = kv_session(m.out_id, ALL_RIGHTS);
	memset(aux, 'a', sizeof(aux));
	aux[2][5] = 'c';
	ASSERT_EQ(0, kv_allocate(fd, 8, t, NULL, NULL));
	s.tokens = ptr(t);
	ASSERT_EQ(0, kv(fd, KVBM_STAGE, &s));
	/* Without: zeroes, whatever was there before. */
	ASSERT_EQ(0, kv_stage(fd, 4, t + 4, self->h + 4));
	ASSERT_EQ(0, kv_register(fd, 8, t, NULL));
	ASSERT_EQ(0, kv_release(fd, 8, t));
	a.count = 8;
	memset(back, 'x', sizeof(back));
	ASSERT_EQ(0, kv(fd, KVBM_ALLOCATE, &a));
	EXPECT_EQ(8, a.out_evicted);
	EXPECT_EQ(0, memcmp(aux, back, 4 * size));
	memset(aux, 0, sizeof(aux));
	EXPECT_EQ(0, memcmp(aux, back + 4, 4 * size));
	close(fd);
	EXPECT_EQ(0, kv_destroy(self->w.fd, KVBM_MANAGER_DESTROY, m.out_id, 0));
}

TEST_F(calls, finished_blocks_go_first)
{
	struct kvbm_release r = { .size = sizeof(r), .hint = KVBM_HINT_FINISHED,
				  .count = 2 };
	struct kvbm_hash evicted[4];
	uint32_t n;

	ASSERT_EQ(0, kv_fill(self->fd, 1, 4, self->t));
	ASSERT_EQ(0, kv_release(self->fd, 2, self->t));
	r.tokens = ptr(self->t + 2);
	ASSERT_EQ(0, kv(self->fd, KVBM_RELEASE, &r));
	ASSERT_EQ(0, kv_allocate(self->fd, BLOCKS - 1, self->u, evicted, &n));
	ASSERT_EQ(3, n);
	EXPECT_EQ(0, memcmp(&evicted[0], &self->h[2], sizeof(*evicted)));
	EXPECT_EQ(0, memcmp(&evicted[1], &self->h[3], sizeof(*evicted)));
	EXPECT_EQ(0, memcmp(&evicted[2], &self->h[0], sizeof(*evicted)));
	r.hint = KVBM_HINT_RETURN + 1;
	EXPECT_EQ(-EINVAL, kv(self->fd, KVBM_RELEASE, &r));
	r.hint = KVBM_HINT_FINISHED;
	r.hint_log2_ms = 1;
	EXPECT_EQ(-EINVAL, kv(self->fd, KVBM_RELEASE, &r));
	r.hint = KVBM_HINT_RETURN;
	r.hint_log2_ms = 41;
	EXPECT_EQ(-EINVAL, kv(self->fd, KVBM_RELEASE, &r));
}

/* Whether to try again is one comparison. */
TEST_F(calls, freed_counter)
{
	struct kvbm_allocate a = { .size = sizeof(a), .count = 10,
				   .tokens = ptr(self->u) };
	uint64_t freed;

	ASSERT_EQ(0, kv_allocate(self->fd, BLOCKS - 5, self->t, NULL, NULL));
	EXPECT_EQ(-ENOSPC, kv(self->fd, KVBM_ALLOCATE, &a));
	freed = a.out_freed;
	COUNTERS(self->c);
	EXPECT_EQ(freed, self->c.freed);
	ASSERT_EQ(0, kv_release(self->fd, 5, self->t));
	COUNTERS(self->c);
	EXPECT_EQ(freed + 5, self->c.freed);
	EXPECT_EQ(0, kv(self->fd, KVBM_ALLOCATE, &a));
}

TEST_HARNESS_MAIN
