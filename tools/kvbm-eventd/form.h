/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The forms that events are published in, as bytes. What is fixed for a run is
 * an argument, and so is the time: a form has no state.
 */
#ifndef EVENTD_FORM_H
#define EVENTD_FORM_H

#include <msgpack.h>

#include "batcher.h"

enum form {
	FORM_KVBM,		/* kvbm-logical's, on kvbm.events */
	FORM_VLLM,		/* vLLM's maps, in a batch with a sequence number */
	FORM_DYNAMO,		/* Dynamo's RouterEvents, in an envelope */
	NR_FORMS,
};

const char *form_name(enum form form);
/* Whether the form tells tiers apart; else a block is there once. */
bool form_has_tiers(enum form form);
/* Whether the form can say that all is gone. */
bool form_has_cleared(enum form form);
/*
 * Whether the form can say that this block is stored: 0; -ENODATA when the aux
 * does not carry what the form needs, -EINVAL when it contradicts the hash.
 */
int form_accepts(enum form form, const struct block_event *event);

/* Brings together what can be one event: batch_run_end(). */
void batch_group(struct batch *batch);
/*
 * One event of a form takes blocks that follow each other in a sequence, or that
 * are removed from one tier. The index after those that begin at @start.
 */
size_t batch_run_end(const struct batch *batch, size_t start);

/* [events, instance id] */
void kvbm_pack_batch(msgpack_packer *pk, const struct batch *batch,
		     const unsigned char instance[16]);
void kvbm_pack_shutdown(msgpack_packer *pk, const unsigned char instance[16]);

struct vllm_form {
	int dp_rank;
	const char *media[NR_TIERS + 1];	/* by tier */
};

/* [time, [event...], rank]. @time_s: seconds of CLOCK_REALTIME */
void vllm_pack_batch(msgpack_packer *pk, const struct batch *batch, double time_s,
		     const struct vllm_form *form);

struct dynamo_form {
	uint64_t worker_id;
	uint64_t publisher_id;
	uint32_t dp_rank;
	bool single;		/* older routers: a message is one event, not a list */
};

#define DYNAMO_MAX_EVENTS	128	/* in a message */
#define DYNAMO_TOPIC		"kv-events"

/*
 * The events of a batch from block @start on, as many as one message takes, the
 * first of them with number @event_id. The index of the first block that is left.
 */
size_t dynamo_pack_events(msgpack_packer *pk, const struct batch *batch, size_t start,
			  const struct dynamo_form *form, uint64_t *event_id);
void dynamo_pack_envelope(msgpack_packer *pk, const struct dynamo_form *form,
			  uint64_t sequence, uint64_t time_ms, const void *payload,
			  size_t len);
/* What comes before an envelope in its ZeroMQ frame. */
#define DYNAMO_FRAME_HEAD	5
void dynamo_frame_head(unsigned char head[DYNAMO_FRAME_HEAD], uint32_t len);

/* Helpers of the forms. */
void pack_word(msgpack_packer *pk, const char *word);
void pack_bin(msgpack_packer *pk, const void *data, size_t len);
void put_be64(unsigned char out[8], uint64_t value);

#endif
