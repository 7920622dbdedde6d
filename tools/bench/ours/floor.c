// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The floor: what it takes to find a block's entry in a table of that many
 * entries, when all n of a call are prefetched together. Nothing that manages
 * blocks by hash can do less.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

struct entry {
	struct kvbm_hash hash;
	uint32_t id;
	uint32_t pad[3];
};

struct table {
	struct entry *entries;
	uint64_t mask;
};

static struct entry *place(const struct table *t, const struct kvbm_hash *hash)
{
	return &t->entries[(hash->lo ^ hash->hi) * MIX_GAMMA >> 20 & t->mask];
}

static bool same(const struct kvbm_hash *a, const struct kvbm_hash *b)
{
	return a->lo == b->lo && a->hi == b->hi;
}

static void insert(const struct table *t, const struct kvbm_hash *hash, uint32_t id)
{
	struct entry *e = place(t, hash);

	while (e->hash.lo || e->hash.hi)
		e = e == t->entries + t->mask ? t->entries : e + 1;
	e->hash = *hash;
	e->id = id;
}

static int begin_floor(struct bench *b)
{
	struct table *t = calloc(1, sizeof(*t));
	uint64_t size = 2;
	struct kvbm_hash hash;
	uint32_t i;

	if (!t)
		return -ENOMEM;
	b->state = t;
	while (size < 2ULL * b->pool)
		size *= 2;
	t->mask = size - 1;
	t->entries = aligned_alloc(64, size * sizeof(*t->entries));
	if (!t->entries)
		return -ENOMEM;
	memset(t->entries, 0, size * sizeof(*t->entries));
	for (i = 0; i < b->chains * b->n; i++) {
		chain_hash(i / b->n, i % b->n, &hash);
		insert(t, &hash, i);
	}
	return 0;
}

static uint32_t probe(const struct table *t, const struct kvbm_hash *hashes, uint32_t n,
		      uint32_t *ids)
{
	const struct entry *e;
	uint32_t i;

	for (i = 0; i < n; i++)
		__builtin_prefetch(place(t, &hashes[i]));
	for (i = 0; i < n; i++) {
		e = place(t, &hashes[i]);
		while (!same(&e->hash, &hashes[i])) {
			if (!e->hash.lo && !e->hash.hi)
				return i;
			e = e == t->entries + t->mask ? t->entries : e + 1;
		}
		ids[i] = e->id;
	}
	return i;
}

static ssize_t batch_floor(struct bench *b, uint64_t iterations)
{
	uint32_t n = b->n, count = BATCH_BLOCKS / n, i, found = n;
	static uint32_t ids[FILL_BLOCKS];

	if (iterations < count)
		count = iterations;
	for (i = 0; i < count; i++)
		chain_hashes(chain_of_turn(b, b->turn + i), n, b->hashes + i * n);
	clock_start(b);
	for (i = 0; i < count && found == n; i++) {
		found = probe(b->state, b->hashes + i * n, n, ids);
		/* The ids are used. */
		__asm__ volatile("" : : "r"(ids) : "memory");
	}
	clock_stop(b, (uint64_t)count * n);
	b->turn += count;
	return found == n ? (ssize_t)count : -ENOENT;
}

static void end_floor(struct bench *b)
{
	struct table *t = b->state;

	if (t)
		free(t->entries);
	free(t);
}

const struct group floor_group = { "floor", begin_floor, batch_floor, end_floor };
