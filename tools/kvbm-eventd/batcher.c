// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "batcher.h"

int batcher_init(struct batcher *batcher, uint64_t window_ns, size_t max, uint64_t now_ns)
{
	batcher->window_ns = window_ns;
	batcher->max = max;
	batcher->window_end_ns = now_ns + window_ns;
	batcher->batch.n = 0;
	batcher->aux = NULL;
	batcher->aux_used = 0;
	batcher->aux_size = 0;
	batcher->batch.events = calloc(max, sizeof(*batcher->batch.events));
	return batcher->batch.events ? 0 : -ENOMEM;
}

void batcher_destroy(struct batcher *batcher)
{
	free(batcher->batch.events);
	free(batcher->aux);
	batcher->batch.events = NULL;
	batcher->aux = NULL;
}

/* qsort() need not be stable: the order of arrival decides among equals. */
static int ascending(const void *a, const void *b)
{
	const struct block_event *x = a, *y = b;

	if (x->position != y->position)
		return x->position < y->position ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

static int descending(const void *a, const void *b)
{
	const struct block_event *x = a, *y = b;

	if (x->position != y->position)
		return x->position > y->position ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

static void empty(struct batcher *batcher)
{
	batcher->batch.n = 0;
	batcher->aux_used = 0;
}

void batcher_flush(struct batcher *batcher, uint64_t now_ns)
{
	struct batch *batch = &batcher->batch;
	size_t i, at = 0;

	batcher->window_end_ns = now_ns + batcher->window_ns;
	if (!batch->n)
		return;
	/* Only now does the memory of the aux stay where it is. */
	for (i = 0; i < batch->n; i++) {
		batch->events[i].aux = batcher->aux + at;
		at += batch->events[i].aux_len;
	}
	if (batch->type == EVENT_STORED)
		qsort(batch->events, batch->n, sizeof(*batch->events), ascending);
	else if (batch->type == EVENT_REMOVED)
		qsort(batch->events, batch->n, sizeof(*batch->events), descending);
	batcher->emit(batch, batcher->data);
	empty(batcher);
}

void batcher_tick(struct batcher *batcher, uint64_t now_ns)
{
	uint64_t late;

	if (now_ns < batcher->window_end_ns)
		return;
	if (batcher->batch.n) {
		batcher_flush(batcher, now_ns);
		return;
	}
	/* Nobody looked while empty windows passed: as if somebody had. */
	late = now_ns - batcher->window_end_ns;
	batcher->window_end_ns += (late / batcher->window_ns + 1) * batcher->window_ns;
}

static int keep_aux(struct batcher *batcher, const struct block_event *event)
{
	size_t size = batcher->aux_size ? batcher->aux_size : 4096;
	char *aux;

	while (size - batcher->aux_used < event->aux_len)
		size *= 2;
	if (size != batcher->aux_size) {
		aux = realloc(batcher->aux, size);
		if (!aux)
			return -ENOMEM;
		batcher->aux = aux;
		batcher->aux_size = size;
	}
	if (event->aux_len)
		memcpy(batcher->aux + batcher->aux_used, event->aux, event->aux_len);
	batcher->aux_used += event->aux_len;
	return 0;
}

int batcher_add(struct batcher *batcher, enum event_type type,
		const struct block_event *event, uint64_t now_ns)
{
	struct batch *batch = &batcher->batch;
	struct block_event *slot;
	int err;

	batcher_tick(batcher, now_ns);
	if (batch->n && batch->type != type)
		batcher_flush(batcher, now_ns);
	err = keep_aux(batcher, event);
	if (err)
		return err;
	batch->type = type;
	slot = &batch->events[batch->n];
	*slot = *event;
	slot->order = batch->n++;
	if (batch->n == batcher->max)
		batcher_flush(batcher, now_ns);
	return 0;
}

void batcher_drop(struct batcher *batcher,
		  void (*fn)(const struct block_event *event, void *data), void *data)
{
	size_t i;

	for (i = 0; i < batcher->batch.n; i++)
		fn(&batcher->batch.events[i], data);
	empty(batcher);
}
