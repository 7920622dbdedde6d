// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Which blocks of a batch are one event, in forms that have events of many blocks.
 *
 * Blocks are stored in order of position, so requests that run side by side are
 * interleaved. Put together again, a request is one event; and an event comes
 * after the one with its parent, because the chain of that begins earlier.
 */
#include <stdlib.h>
#include <string.h>

#include "form.h"

#define NIL	UINT32_MAX

/* A chain ends with the block @last, for now. */
struct tail {
	uint64_t block_hash;
	uint32_t last;		/* index in the batch, or NIL: taken or free */
	bool used;
};

struct chains {
	const struct batch *batch;
	struct block_names *names;
	struct tail *tails;	/* by hash of the block: what may come next names that */
	uint32_t *next;		/* in the chain */
	bool *head;
	size_t mask;
};

size_t batch_run_end(const struct batch *batch, size_t start)
{
	const struct block_event *events = batch->events;
	struct block_names names, next_names;
	size_t i = start + 1;

	if (batch->type == EVENT_CLEARED)
		return i;
	if (batch->type == EVENT_REMOVED) {
		while (i < batch->n && events[i].tier == events[start].tier)
			i++;
		return i;
	}
	block_names(&events[start], &names);
	for (; i < batch->n; i++) {
		block_names(&events[i], &next_names);
		if (!block_follows(&events[i - 1], &names, &events[i], &next_names))
			break;
		names = next_names;
	}
	return i;
}

/* They are sequence hashes: mixed already, and the table has two places for each. */
static struct tail *find_tail(struct chains *chains, uint32_t i)
{
	const struct block_names *names = &chains->names[i];
	const struct block_event *events = chains->batch->events;
	size_t at = names->parent;
	struct tail *tail;

	for (;; at++) {
		tail = &chains->tails[at & chains->mask];
		if (!tail->used)
			return NULL;
		if (tail->last != NIL && tail->block_hash == names->parent &&
		    block_follows(&events[tail->last], &chains->names[tail->last],
				  &events[i], names))
			return tail;
	}
}

static void add_tail(struct chains *chains, uint32_t i)
{
	size_t at = chains->names[i].block_hash;

	while (chains->tails[at & chains->mask].used)
		at++;
	chains->tails[at & chains->mask] = (struct tail){
		.block_hash = chains->names[i].block_hash, .last = i, .used = true,
	};
}

static void link_chains(struct chains *chains)
{
	struct tail *tail;
	uint32_t i;

	for (i = 0; i < chains->batch->n; i++) {
		block_names(&chains->batch->events[i], &chains->names[i]);
		chains->next[i] = NIL;
		tail = find_tail(chains, i);
		chains->head[i] = !tail;
		if (tail) {
			chains->next[tail->last] = i;
			tail->last = NIL;
		}
		add_tail(chains, i);
	}
}

static void group_stored(struct batch *batch, struct block_event *to)
{
	struct chains chains = { .batch = batch, .mask = 1 };
	uint32_t i, j;

	while (chains.mask < batch->n * 2)
		chains.mask *= 2;
	chains.tails = calloc(chains.mask, sizeof(*chains.tails));
	chains.mask--;
	chains.names = calloc(batch->n, sizeof(*chains.names));
	chains.next = calloc(batch->n, sizeof(*chains.next));
	chains.head = calloc(batch->n, sizeof(*chains.head));
	if (chains.tails && chains.names && chains.next && chains.head) {
		link_chains(&chains);
		for (i = 0; i < batch->n; i++)
			for (j = chains.head[i] ? i : NIL; j != NIL; j = chains.next[j])
				*to++ = batch->events[j];
	} else {
		memcpy(to, batch->events, batch->n * sizeof(*to));
	}
	free(chains.tails);
	free(chains.names);
	free(chains.next);
	free(chains.head);
}

static void group_removed(const struct batch *batch, struct block_event *to)
{
	uint32_t tier;
	size_t i;

	for (tier = TIER_ANY; tier <= NR_TIERS; tier++)
		for (i = 0; i < batch->n; i++)
			if (batch->events[i].tier == tier)
				*to++ = batch->events[i];
}

void batch_group(struct batch *batch)
{
	struct block_event *to;

	if (batch->type == EVENT_CLEARED || batch->n < 3)
		return;
	to = malloc(batch->n * sizeof(*to));
	/* As they are, they are right, too: only more events. */
	if (!to)
		return;
	if (batch->type == EVENT_STORED)
		group_stored(batch, to);
	else
		group_removed(batch, to);
	memcpy(batch->events, to, batch->n * sizeof(*to));
	free(to);
}
