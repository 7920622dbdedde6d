/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * One registry, and all outputs of it.
 */
#ifndef EVENTD_STREAM_H
#define EVENTD_STREAM_H

#include <jansson.h>

#include "input.h"
#include "mirror.h"
#include "publisher.h"

struct manager_place {
	uint64_t id;		/* 0: free */
	uint32_t tier;
	uint32_t block_size;
};

struct stream {
	const char *name;
	struct input input;
	struct mirror mirror;
	struct manager_place managers[KVBM_MAX_REGISTRY_MANAGERS];
	uint64_t in_tier[NR_TIERS + 1];	/* places of managers; [TIER_ANY]: all of them */
	struct output outputs[MAX_OUTPUTS];
	unsigned int nr_outputs;
	bool ended;		/* the registry or the file */
	uint64_t records;
};

/* Of kvbm_view_open(); @arg is the stream. */
int stream_change(void *arg, const struct kvbm_event_record *record);

/* Takes what is there. More than 0: there may be more; 0; -ENODATA; -errno. */
int stream_update(struct stream *stream);
/* What is due: windows, outputs that can make up for what they missed. */
void stream_tick(struct stream *stream, uint64_t now);
/* Answers what was asked of replay sockets. */
void stream_serve(struct stream *stream, struct output *output);
/* When stream_tick() has something to do; UINT64_MAX: not on its own. */
uint64_t stream_deadline(const struct stream *stream);

json_t *stream_json(struct stream *stream);

#endif
