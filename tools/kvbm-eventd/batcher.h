/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Batches, as kvbm-logical makes them: the longest runs of events of one type,
 * each in order of position: parents before children when they are stored, the
 * other way round when they are removed; stable.
 *
 * A batch ends when the next event is of another type, when it has the largest
 * size, when the window is over, and at the end. The window runs freely: it
 * begins anew with every end of a batch, and when it is over without one. Other
 * than the reference's, it ends however busy the input is: time is looked at
 * before every event.
 *
 * Time is an argument of every call, so a test can have its own.
 */
#ifndef EVENTD_BATCHER_H
#define EVENTD_BATCHER_H

#include <stddef.h>
#include <stdint.h>

#include "block.h"

#define BATCH_DEFAULT_WINDOW_NS	10000000ULL
#define BATCH_DEFAULT_SIZE	1024

struct batch {
	enum event_type type;
	size_t n;
	struct block_event *events;
};

struct batcher {
	uint64_t window_ns;
	size_t max;
	/* Gets every batch, and may change it; the memory is the batcher's. */
	void (*emit)(struct batch *batch, void *data);
	void *data;

	struct batch batch;
	uint64_t window_end_ns;
	char *aux;		/* of all events of the batch, one after the other */
	size_t aux_used;
	size_t aux_size;
};

/* 0, or -ENOMEM. @window_ns and @max are not 0. */
int batcher_init(struct batcher *batcher, uint64_t window_ns, size_t max, uint64_t now_ns);
void batcher_destroy(struct batcher *batcher);

/* 0, or -ENOMEM: the event is lost then, and nothing else. The aux is copied. */
int batcher_add(struct batcher *batcher, enum event_type type,
		const struct block_event *event, uint64_t now_ns);
/* To be called at window_end_ns or soon after. */
void batcher_tick(struct batcher *batcher, uint64_t now_ns);
/* What is pending goes out now. */
void batcher_flush(struct batcher *batcher, uint64_t now_ns);
/* What is pending is forgotten, each event told to @fn. */
void batcher_drop(struct batcher *batcher,
		  void (*fn)(const struct block_event *event, void *data), void *data);

#endif
