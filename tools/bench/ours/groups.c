// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What is measured: the crate's own groups, and others. peer/src/groups.rs has
 * the same.
 */
#include <string.h>

#include "bench.h"
#include "ops.h"

static uint32_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The hashes of the chains of the next @count turns. */
static void prepare(struct bench *b, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		chain_hashes(chain_of_turn(b, b->turn + i), b->n, b->hashes + i * b->n);
}

/* One more match, not timed, to see that both sides find the same blocks. */
static int look(struct bench *b)
{
	ssize_t hits;
	uint32_t i;

	chain_hashes(chain_of_turn(b, b->turn), b->n, b->hashes);
	hits = kvbm_match(b->session, b->n, b->hashes, b->immutables);
	if (hits < 0)
		return hits;
	for (i = 0; i < hits; i++)
		digest_add(b, b->immutables[i].token.id);
	return kvbm_release(b->session, hits, b->immutables);
}

static int begin_held(struct bench *b)
{
	return fill_with_chains(b, true);
}

static int begin_inactive(struct bench *b)
{
	return fill_with_chains(b, false);
}

static ssize_t batch_match(struct bench *b, uint64_t iterations)
{
	uint32_t n = b->n, count = smaller(iterations, BATCH_BLOCKS / n), i;
	ssize_t hits = n;
	int err = 0;

	prepare(b, count);
	clock_start(b);
	for (i = 0; i < count && hits == n && !err; i++) {
		hits = kvbm_match(b->session, n, b->hashes + i * n, b->immutables);
		err = kvbm_release(b->session, n, b->immutables);
	}
	clock_stop(b, (uint64_t)count * n);
	b->turn += count;
	if (hits != n)
		return hits < 0 ? hits : -ENOENT;
	if (!err)
		err = look(b);
	return err ? err : (ssize_t)count;
}

static ssize_t batch_drop(struct bench *b, uint64_t iterations)
{
	/* Each chain once at most. */
	uint32_t n = b->n, i;
	uint32_t count = smaller(iterations, smaller(HELD_BLOCKS / n, b->chains));
	ssize_t hits;
	int err = 0;

	prepare(b, count);
	for (i = 0; i < count; i++) {
		hits = kvbm_match(b->session, n, b->hashes + i * n, b->immutables + i * n);
		if (hits != n)
			return hits < 0 ? hits : -ENOENT;
	}
	clock_start(b);
	for (i = 0; i < count && !err; i++)
		err = kvbm_release(b->session, n, b->immutables + i * n);
	clock_stop(b, (uint64_t)count * n);
	b->turn += count;
	if (!err)
		err = look(b);
	return err ? err : (ssize_t)count;
}

/* Half of the pool at most is held at a time, and no more than calls hold. */
static uint32_t holding(const struct bench *b, uint64_t iterations)
{
	uint32_t most = b->chains > 1 ? b->chains / 2 : 1;

	return smaller(iterations, smaller(HELD_BLOCKS / b->n, most));
}

static void prepare_fresh(struct bench *b, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		chain_hashes(b->fresh++, b->n, b->hashes + i * b->n);
}

static void digest_ids(struct bench *b, const struct kvbm_immutable *guards, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		digest_add(b, guards[i].token.id);
}

static ssize_t batch_allocate(struct bench *b, uint64_t iterations)
{
	uint32_t n = b->n, count = holding(b, iterations), i;
	static struct kvbm_hash evicted[FILL_BLOCKS];
	size_t nr_evicted;
	int err = 0;

	prepare_fresh(b, count);
	clock_start(b);
	for (i = 0; i < count && !err; i++)
		err = kvbm_allocate(b->session, n, b->mutables + i * n, evicted,
				    &nr_evicted);
	clock_stop(b, (uint64_t)count * n);
	for (i = 0; i < count && !err; i++)
		err = kvbm_stage_register(b->session, n, b->mutables + i * n,
					  b->hashes + i * n, SCRIPT_BLOCK_SIZE,
					  b->immutables + i * n, NULL, NULL);
	digest_ids(b, b->immutables, count * n);
	for (i = 0; i < count && !err; i++)
		err = kvbm_release(b->session, n, b->immutables + i * n);
	return err ? err : (ssize_t)count;
}

static ssize_t batch_fill(struct bench *b, uint64_t iterations)
{
	uint32_t n = b->n, count = holding(b, iterations), i;
	static struct kvbm_hash evicted[FILL_BLOCKS];
	size_t nr_evicted;
	int err = 0;

	prepare_fresh(b, count);
	clock_start(b);
	for (i = 0; i < count && !err; i++) {
		err = kvbm_allocate(b->session, n, b->mutables, evicted, &nr_evicted);
		if (!err)
			err = kvbm_stage_register(b->session, n, b->mutables,
						  b->hashes + i * n, SCRIPT_BLOCK_SIZE,
						  b->immutables + i * n, NULL, NULL);
	}
	clock_stop(b, (uint64_t)count * n);
	digest_ids(b, b->immutables, count * n);
	for (i = 0; i < count && !err; i++)
		err = kvbm_release(b->session, n, b->immutables + i * n);
	return err ? err : (ssize_t)count;
}

static ssize_t batch_miss(struct bench *b, uint64_t iterations)
{
	uint32_t n = b->n, count = smaller(iterations, BATCH_BLOCKS / n), i;
	ssize_t hits = 0;

	for (i = 0; i < count; i++)
		chain_hashes(ABSENT_CHAIN + b->turn + i, n, b->hashes + i * n);
	clock_start(b);
	for (i = 0; i < count && !hits; i++)
		hits = kvbm_match(b->session, n, b->hashes + i * n, b->immutables);
	clock_stop(b, (uint64_t)count * n);
	b->turn += count;
	if (hits)
		return hits < 0 ? hits : -EEXIST;
	return count;
}

/* Every second hash is of a chain that is not there. */
static void prepare_half(struct bench *b, uint32_t count)
{
	uint32_t i, k;

	prepare(b, count);
	for (i = 0; i < count; i++)
		for (k = 1; k < b->n; k += 2)
			chain_hash(ABSENT_CHAIN + b->turn + i, k, &b->hashes[i * b->n + k]);
}

static ssize_t batch_half(struct bench *b, uint64_t iterations,
			  ssize_t (*find)(struct kvbm_session *session, size_t n,
					  const struct kvbm_hash *hashes,
					  struct kvbm_immutable *out))
{
	uint32_t n = b->n, count = smaller(iterations, BATCH_BLOCKS / n), i;
	ssize_t hits = (n + 1) / 2, found = hits;
	int err = 0;

	prepare_half(b, count);
	clock_start(b);
	for (i = 0; i < count && found == hits && !err; i++) {
		found = find(b->session, n, b->hashes + i * n, b->immutables);
		err = kvbm_release(b->session, n, b->immutables);
	}
	clock_stop(b, (uint64_t)count * n);
	b->turn += count;
	if (found != hits)
		return found < 0 ? found : -ENOENT;
	if (!err)
		err = look(b);
	return err ? err : (ssize_t)count;
}

static ssize_t batch_scattered(struct bench *b, uint64_t iterations)
{
	return batch_half(b, iterations, kvbm_match_scattered);
}

static ssize_t batch_scan(struct bench *b, uint64_t iterations)
{
	return batch_half(b, iterations, kvbm_scan);
}

/* High fan-out: all blocks but one have the same parent. */

static void child_hash(uint64_t child, struct kvbm_hash *out)
{
	uint64_t root = mix64(ABSENT_CHAIN << 16);

	kvbm_plh(mix64((ABSENT_CHAIN + 1 + child) << 16), root, 1, out);
}

static int begin_fan_out(struct bench *b)
{
	uint32_t first, i, n;
	int err;

	for (first = 0; first < b->pool; first += n) {
		n = smaller(b->pool - first, FILL_BLOCKS);
		for (i = 0; i < n; i++)
			child_hash(first + i, &b->hashes[i]);
		if (!first)
			chain_hash(ABSENT_CHAIN, 0, &b->hashes[0]);
		err = make_blocks(b, n, b->hashes, b->immutables);
		if (!err)
			err = kvbm_release(b->session, n, b->immutables);
		if (err)
			return err;
	}
	return 0;
}

static ssize_t batch_fan_out(struct bench *b, uint64_t iterations)
{
	uint32_t n = b->n, count = smaller(iterations, BATCH_BLOCKS / n), i;
	ssize_t hits = n;
	int err = 0;

	/* All children in turn; the root is the block of number 0. */
	for (i = 0; i < count * n; i++)
		child_hash((b->turn + i) * 0x9e3779b1 % (b->pool - 1) + 1, &b->hashes[i]);
	clock_start(b);
	for (i = 0; i < count && hits == n && !err; i++) {
		hits = kvbm_match_scattered(b->session, n, b->hashes + i * n,
					    b->immutables);
		err = kvbm_release(b->session, n, b->immutables);
	}
	clock_stop(b, (uint64_t)count * n);
	b->turn += (uint64_t)count * n;
	if (hits != n)
		return hits < 0 ? hits : -ENOENT;
	return err ? err : (ssize_t)count;
}

const struct group groups[] = {
	{ "match_blocks_active_hit", begin_held, batch_match, NULL },
	{ "match_blocks_inactive_hit", begin_inactive, batch_match, NULL },
	{ "bulk_drop", begin_inactive, batch_drop, NULL },
	{ "allocate_evict", begin_inactive, batch_allocate, NULL },
	{ "allocate_stage_register", begin_inactive, batch_fill, NULL },
	{ "miss", begin_inactive, batch_miss, NULL },
	{ "scattered", begin_inactive, batch_scattered, NULL },
	{ "scan", begin_inactive, batch_scan, NULL },
	{ "fan_out", begin_fan_out, batch_fan_out, NULL },
	{ 0 }
};
