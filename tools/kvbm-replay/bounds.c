// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What no policy can do better: a cache that knows the future, and one without
 * end.
 *
 * The one that knows the future evicts the block whose next use is farthest
 * away, and of those with the same next use the deepest. Whoever uses a block
 * uses its ancestors, so an ancestor is never needed later than a block below
 * it: only leaves are evicted, and prefixes stay whole. It is Belady's MIN for
 * requests that need all of their blocks at once.
 */
#include <errno.h>
#include <stdlib.h>

#include "bounds.h"
#include "mix.h"
#include "say.h"

#define NONE	UINT32_MAX

/**
 * struct node - one distinct hash
 * @hash: it
 * @next_use: request that uses it next; NONE: no one does
 * @cached: it is in the cache
 */
struct node {
	struct kvbm_hash hash;
	uint32_t next_use;
	bool cached;
};

/* What was said of a block when it was last used; stale when that changed. */
struct candidate {
	uint32_t next_use;
	uint32_t depth;
	uint32_t node;
};

/**
 * struct bounds - a workload by numbers
 * @workload: what it was made of
 * @nodes: distinct hashes
 * @nr_nodes: how many
 * @mask: places in @table, less one
 * @table: node by hash
 * @refs: nodes of all requests, one request after the other
 * @next: next use of each of @refs
 * @heap: the candidates, farthest and deepest first
 * @nr_heap: how many
 */
struct bounds {
	const struct workload *workload;
	struct node *nodes;
	size_t nr_nodes;
	size_t mask;
	uint32_t *table;
	uint32_t *refs;
	uint32_t *next;
	struct candidate *heap;
	size_t nr_heap;
};

static uint32_t number_of(struct bounds *b, const struct kvbm_hash *hash)
{
	size_t at = mix64(hash->lo ^ mix64(hash->hi)) & b->mask;
	const struct kvbm_hash *there;

	for (; b->table[at] != NONE; at = (at + 1) & b->mask) {
		there = &b->nodes[b->table[at]].hash;
		if (there->lo == hash->lo && there->hi == hash->hi)
			return b->table[at];
	}
	b->nodes[b->nr_nodes].hash = *hash;
	b->table[at] = b->nr_nodes;
	return b->nr_nodes++;
}

static void number_all(struct bounds *b)
{
	const struct workload *w = b->workload;
	size_t i, j, ref = 0;

	for (i = 0; i < w->nr; i++)
		for (j = 0; j < w->work[i].prompt; j++)
			b->refs[ref++] = number_of(b, &w->work[i].hashes[j]);
	/* From the end: the use that comes after is the one seen before. */
	for (i = 0; i < b->nr_nodes; i++)
		b->nodes[i].next_use = NONE;
	for (i = w->nr; i--; ) {
		for (j = w->work[i].prompt; j--; ) {
			struct node *node = &b->nodes[b->refs[--ref]];

			b->next[ref] = node->next_use;
			node->next_use = i;
		}
	}
}

struct bounds *bounds_new(const struct workload *workload)
{
	struct bounds *b = calloc(1, sizeof(*b));
	size_t refs = 0, size = 16, i;

	if (!b)
		goto fail;
	b->workload = workload;
	for (i = 0; i < workload->nr; i++)
		refs += workload->work[i].prompt;
	while (size < 2 * refs)
		size *= 2;
	b->mask = size - 1;
	b->nodes = calloc(refs + 1, sizeof(*b->nodes));
	b->table = calloc(size, sizeof(*b->table));
	b->refs = calloc(refs + 1, sizeof(*b->refs));
	b->next = calloc(refs + 1, sizeof(*b->next));
	b->heap = calloc(refs + 1, sizeof(*b->heap));
	if (!b->nodes || !b->table || !b->refs || !b->next || !b->heap)
		goto fail;
	for (i = 0; i < size; i++)
		b->table[i] = NONE;
	number_all(b);
	return b;
fail:
	bounds_free(b);
	say_err(-ENOMEM, "bounds");
	return NULL;
}

void bounds_free(struct bounds *b)
{
	if (!b)
		return;
	free(b->nodes);
	free(b->table);
	free(b->refs);
	free(b->next);
	free(b->heap);
	free(b);
}

static bool goes_before(const struct candidate *a, const struct candidate *b)
{
	if (a->next_use != b->next_use)
		return a->next_use > b->next_use;
	return a->depth > b->depth;
}

static void heap_add(struct bounds *b, struct candidate c)
{
	size_t i = b->nr_heap++;

	for (; i && goes_before(&c, &b->heap[(i - 1) / 2]); i = (i - 1) / 2)
		b->heap[i] = b->heap[(i - 1) / 2];
	b->heap[i] = c;
}

static struct candidate heap_take(struct bounds *b)
{
	struct candidate first = b->heap[0], last = b->heap[--b->nr_heap];
	size_t i = 0, child;

	for (; (child = 2 * i + 1) < b->nr_heap; i = child) {
		if (child + 1 < b->nr_heap &&
		    goes_before(&b->heap[child + 1], &b->heap[child]))
			child++;
		if (!goes_before(&b->heap[child], &last))
			break;
		b->heap[i] = b->heap[child];
	}
	b->heap[i] = last;
	return first;
}

/* Those of the request that is served are needed soonest: they stay. */
static void evict_one(struct bounds *b)
{
	struct candidate c;
	struct node *node;

	do {
		c = heap_take(b);
		node = &b->nodes[c.node];
	} while (!node->cached || node->next_use != c.next_use);
	node->cached = false;
}

unsigned long long bounds_hits(struct bounds *b, uint64_t blocks)
{
	const struct workload *w = b->workload;
	unsigned long long hits = 0;
	uint64_t cached = 0;
	size_t i, j, ref = 0;

	for (i = 0; i < b->nr_nodes; i++)
		b->nodes[i].cached = false;
	b->nr_heap = 0;
	for (i = 0; i < w->nr; i++, ref += j) {
		uint32_t prompt = w->work[i].prompt, found = 0;

		j = prompt;
		/* As the pool does: refused, and nothing has changed. */
		if (prompt > blocks)
			continue;
		while (found < prompt && b->nodes[b->refs[ref + found]].cached)
			found++;
		hits += found;
		for (; cached + prompt - found > blocks; cached--)
			evict_one(b);
		cached += prompt - found;
		for (j = 0; j < prompt; j++) {
			struct node *node = &b->nodes[b->refs[ref + j]];

			node->cached = true;
			node->next_use = b->next[ref + j];
			heap_add(b, (struct candidate){
				.next_use = node->next_use,
				.depth = j,
				.node = b->refs[ref + j],
			});
		}
	}
	return hits;
}
