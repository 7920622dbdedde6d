/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * One output: events of one registry, in one form, by one transport.
 */
#ifndef EVENTD_PUBLISHER_H
#define EVENTD_PUBLISHER_H

#include <jansson.h>

#include <kvbm/events.h>

#include "batcher.h"
#include "form.h"
#include "message.h"
#include "mirror.h"
#include "replay.h"

struct output {
	enum form form;
	unsigned int place;	/* in struct mirror_entry */
	struct mirror *mirror;
	struct transport *transport;
	struct replay *replay;	/* or NULL */
	struct batcher batcher;
	msgpack_sbuffer buffer;
	msgpack_sbuffer envelope;

	const char *subject;	/* or topic */
	unsigned char instance[16];
	bool fixed_instance;	/* the same in every run */
	struct vllm_form vllm;
	struct dynamo_form dynamo;
	struct kvbm_event_policy policy;
	bool positions;		/* hashes are positional lineage hashes */

	uint64_t sequence;	/* of the next message */
	uint64_t event_id;	/* of the next event: FORM_DYNAMO */
	/*
	 * Something could not be sent. Until it is made up for nothing is, and the
	 * mirror keeps what consumers may have heard.
	 */
	bool gap;
	uint64_t resync_ns;	/* not before */
	bool clear;		/* they may have heard of anything: begin with cleared */

	uint64_t events;	/* published, of blocks */
	uint64_t batches;
	uint64_t resyncs;
	uint64_t without_aux;	/* not published: the aux has not what the form needs */
	uint64_t bad_aux;	/* not published: the aux contradicts the hash */
};

/* Everything else of @output is filled in. 0, or -errno after a message. */
int output_init(struct output *output, uint64_t window_ns, size_t max_batch);
void output_destroy(struct output *output);

/*
 * What a tier (for forms without: any tier) got or lost. A change to what has been
 * published is put into a batch; @entry is brought up to date.
 */
void output_stored(struct output *output, struct mirror_entry *entry,
		   const struct block_event *event);
void output_removed(struct output *output, struct mirror_entry *entry, uint32_t tier);
/* After every entry is up to date and idle for this output. */
void output_cleared(struct output *output, uint32_t tier);

/* Consumers may know something of an earlier run. */
void output_begin(struct output *output);
/* Publish all of it again, as soon as possible. */
void output_restart(struct output *output);
/* The last batch, and what the form has to say at the end. */
void output_end(struct output *output);

json_t *output_json(struct output *output);

/* CLOCK_MONOTONIC; CLOCK_REALTIME. */
uint64_t now_ns(void);
double wall_clock_s(void);

#endif
