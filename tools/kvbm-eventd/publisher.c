// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "publisher.h"
#include "say.h"

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

double wall_clock_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int send_frames(struct output *output, const struct frame *frames, unsigned int n)
{
	struct message *message = message_new(n, frames);

	if (!message)
		return -ENOMEM;
	return output->transport->ops->send(output->transport, message);
}

static struct frame subject_frame(const struct output *output)
{
	return (struct frame){ output->subject, strlen(output->subject) };
}

static int send_kvbm(struct output *output)
{
	struct frame frames[] = {
		subject_frame(output), { output->buffer.data, output->buffer.size },
	};

	return send_frames(output, frames, 2);
}

static int publish_kvbm(struct output *output, const struct batch *batch, msgpack_packer *pk)
{
	kvbm_pack_batch(pk, batch, output->instance);
	return send_kvbm(output);
}

static int publish_vllm(struct output *output, const struct batch *batch, msgpack_packer *pk)
{
	unsigned char sequence[8];
	struct frame frames[] = {
		subject_frame(output), { sequence, sizeof(sequence) }, { NULL, 0 },
	};

	vllm_pack_batch(pk, batch, wall_clock_s(), &output->vllm);
	frames[2] = (struct frame){ output->buffer.data, output->buffer.size };
	put_be64(sequence, output->sequence);
	if (output->replay)
		replay_keep(output->replay, output->sequence, frames[2].data, frames[2].len);
	/* Also for a batch that cannot be sent: then the hole can be seen. */
	output->sequence++;
	return send_frames(output, frames, 3);
}

/* One message, from block *@start on; advances that. */
static int publish_dynamo_part(struct output *output, const struct batch *batch,
			       size_t *start)
{
	unsigned char publisher[8], sequence[8], head[DYNAMO_FRAME_HEAD] = { 0 };
	uint64_t event_id = output->event_id;
	msgpack_packer pk;
	struct frame frames[MAX_FRAMES];
	size_t next;
	int err;

	msgpack_sbuffer_clear(&output->buffer);
	msgpack_packer_init(&pk, &output->buffer, msgpack_sbuffer_write);
	next = dynamo_pack_events(&pk, batch, *start, &output->dynamo, &event_id);

	msgpack_sbuffer_clear(&output->envelope);
	/* Room for what precedes it, in the frame of ZeroMQ. */
	msgpack_sbuffer_write(&output->envelope, (const char *)head, sizeof(head));
	msgpack_packer_init(&pk, &output->envelope, msgpack_sbuffer_write);
	dynamo_pack_envelope(&pk, &output->dynamo, output->sequence,
			     wall_clock_s() * 1000, output->buffer.data,
			     output->buffer.size);
	dynamo_frame_head((unsigned char *)output->envelope.data,
			  output->envelope.size - sizeof(head));

	frames[0] = subject_frame(output);
	if (output->transport->nats) {
		frames[1].data = output->envelope.data + sizeof(head);
		frames[1].len = output->envelope.size - sizeof(head);
		err = send_frames(output, frames, 2);
	} else {
		put_be64(publisher, output->dynamo.publisher_id);
		put_be64(sequence, output->sequence);
		frames[1] = (struct frame){ publisher, sizeof(publisher) };
		frames[2] = (struct frame){ sequence, sizeof(sequence) };
		frames[3] = (struct frame){ output->envelope.data, output->envelope.size };
		err = send_frames(output, frames, 4);
	}
	if (err)
		return err;
	output->sequence++;
	output->event_id = event_id;
	*start = next;
	return 0;
}

/* The block from which on nothing was sent. */
static size_t publish(struct output *output, const struct batch *batch)
{
	msgpack_packer pk;
	size_t at = 0;

	if (output->form == FORM_DYNAMO) {
		while (at < batch->n && !publish_dynamo_part(output, batch, &at))
			;
		return at;
	}
	msgpack_sbuffer_clear(&output->buffer);
	msgpack_packer_init(&pk, &output->buffer, msgpack_sbuffer_write);
	if (output->form == FORM_KVBM)
		return publish_kvbm(output, batch, &pk) ? 0 : batch->n;
	return publish_vllm(output, batch, &pk) ? 0 : batch->n;
}

/* Consumers may or may not have heard of it. */
static void doubt(const struct block_event *event, void *data)
{
	struct output *output = data;
	struct mirror_entry *entry = mirror_find(output->mirror, &event->hash);

	/* It is there: mirror_sweep() keeps what is in a batch. */
	if (entry)
		entry->outputs[output->place] |= MAY_HAVE(event->tier) |
						 MAY_LACK(event->tier);
}

static void emit(struct batch *batch, void *data)
{
	struct output *output = data;
	size_t sent = 0, i;

	if (output->form != FORM_KVBM)
		batch_group(batch);
	if (!output->gap)
		sent = publish(output, batch);
	if (batch->type != EVENT_CLEARED)
		output->events += sent;
	if (sent)
		output->batches++;
	if (sent == batch->n)
		return;
	output->gap = true;
	if (batch->type == EVENT_CLEARED)
		output->clear = true;
	else
		for (i = sent; i < batch->n; i++)
			doubt(&batch->events[i], output);
}

int output_init(struct output *output, uint64_t window_ns, size_t max_batch)
{
	int err = batcher_init(&output->batcher, window_ns, max_batch, now_ns());

	if (err)
		return say_err(err, "%s", form_name(output->form));
	output->batcher.emit = emit;
	output->batcher.data = output;
	msgpack_sbuffer_init(&output->buffer);
	msgpack_sbuffer_init(&output->envelope);
	return 0;
}

void output_destroy(struct output *output)
{
	if (output->transport)
		output->transport->ops->close(output->transport);
	replay_close(output->replay);
	batcher_destroy(&output->batcher);
	msgpack_sbuffer_destroy(&output->buffer);
	msgpack_sbuffer_destroy(&output->envelope);
}

static void add(struct output *output, enum event_type type, const struct block_event *event)
{
	if (!batcher_add(&output->batcher, type, event, now_ns()))
		return;
	output->gap = true;
	if (type == EVENT_CLEARED)
		output->clear = true;
	else
		doubt(event, output);
}

static bool wanted(struct output *output, const struct block_event *event)
{
	struct kvbm_event_record record = {
		.type = KVBM_EVENT_STORED, .hash_size = sizeof(event->hash), .hash = event->hash,
	};
	int err;

	if (output->form == FORM_KVBM)
		return kvbm_event_wanted(&output->policy, &record);
	err = form_accepts(output->form, event);
	if (err == -EINVAL)
		output->bad_aux++;
	else if (err)
		output->without_aux++;
	return !err;
}

void output_stored(struct output *output, struct mirror_entry *entry,
		   const struct block_event *event)
{
	uint8_t *bits = &entry->outputs[output->place];
	uint8_t have = MAY_HAVE(event->tier), lack = MAY_LACK(event->tier);

	if (output->gap || (*bits & (have | lack)) == have)
		return;
	if (!wanted(output, event))
		return;
	*bits = (*bits | have) & ~lack;
	add(output, EVENT_STORED, event);
}

void output_removed(struct output *output, struct mirror_entry *entry, uint32_t tier)
{
	uint8_t *bits = &entry->outputs[output->place];
	struct block_event event = { .hash = entry->hash, .tier = tier };

	if (output->gap || !(*bits & MAY_HAVE(tier)))
		return;
	*bits &= ~(MAY_HAVE(tier) | MAY_LACK(tier));
	event.has_position = output->positions;
	if (event.has_position)
		event.position = plh_position(&entry->hash);
	add(output, EVENT_REMOVED, &event);
}

void output_cleared(struct output *output, uint32_t tier)
{
	struct block_event event = { .tier = tier };

	if (!output->gap)
		add(output, EVENT_CLEARED, &event);
}

static int send_shutdown(struct output *output)
{
	msgpack_packer pk;

	msgpack_sbuffer_clear(&output->buffer);
	msgpack_packer_init(&pk, &output->buffer, msgpack_sbuffer_write);
	kvbm_pack_shutdown(&pk, output->instance);
	return send_kvbm(output);
}

void output_begin(struct output *output)
{
	if (form_has_cleared(output->form)) {
		output_cleared(output, KVBM_TIER_G1);
		batcher_flush(&output->batcher, now_ns());
	} else if (output->fixed_instance && send_shutdown(output)) {
		output->gap = true;
	}
}

void output_restart(struct output *output)
{
	struct mirror_entry *entry;
	size_t at = 0;

	batcher_flush(&output->batcher, now_ns());
	output->gap = true;
	if (form_has_cleared(output->form)) {
		output->clear = true;
		return;
	}
	while ((entry = mirror_next(output->mirror, &at)))
		if (entry->outputs[output->place] & MAY_HAVE(TIER_ANY))
			entry->outputs[output->place] |= MAY_LACK(TIER_ANY);
}

void output_end(struct output *output)
{
	batcher_flush(&output->batcher, now_ns());
	if (output->form == FORM_KVBM)
		send_shutdown(output);
}

static void set(json_t *json, const char *key, uint64_t value)
{
	json_object_set_new(json, key, json_integer(value));
}

json_t *output_json(struct output *output)
{
	struct transport_counters t;
	json_t *json = json_object();
	struct replay_counters r;

	output->transport->ops->counters(output->transport, &t);
	json_object_set_new(json, "form", json_string(form_name(output->form)));
	set(json, "events", output->events);
	set(json, "batches", output->batches);
	set(json, "without_aux", output->without_aux);
	set(json, "bad_aux", output->bad_aux);
	json_object_set_new(json, "gap", json_boolean(output->gap));
	set(json, "resyncs", output->resyncs);
	set(json, "messages", t.messages);
	set(json, "bytes", t.bytes);
	set(json, "queued", t.queued);
	set(json, "refused", t.refused);
	set(json, "failed", t.failed);
	set(json, "connects", t.connects);
	set(json, "losses", t.losses);
	if (!output->replay)
		return json;
	replay_get_counters(output->replay, &r);
	set(json, "replay_requests", r.requests);
	set(json, "replay_malformed", r.malformed);
	set(json, "replay_snapshots", r.snapshots);
	set(json, "replay_kept", r.kept);
	return json;
}
