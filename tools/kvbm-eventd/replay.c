// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "form.h"
#include "message.h"
#include "replay.h"
#include "say.h"

/* Requests that are answered before other work gets its turn. */
#define MAX_REQUESTS	8
#define MAX_IDENTITY	256

struct kept {
	void *payload;
	size_t len;
};

struct replay {
	void *socket;
	char *topic;
	struct kept *kept;	/* a ring; sequence modulo max_batches */
	size_t max_batches;
	size_t max_bytes;
	uint64_t first;		/* sequence of the oldest one that is kept */
	uint64_t next;
	struct replay_counters counters;

	/* While a snapshot is made. */
	struct kept *parts;
	size_t nr_parts;
};

int replay_open(void *context, const char *endpoint, const struct replay_setup *setup,
		struct replay **out)
{
	struct replay *replay = calloc(1, sizeof(*replay));
	/* All that is kept, and a snapshot: beyond that a client does not read. */
	int hwm = setup->max_batches * 2 + 16, yes = 1, requests = 64, err = -ENOMEM;

	if (!replay)
		return say_err(-ENOMEM, "%s", endpoint);
	replay->max_batches = setup->max_batches;
	replay->max_bytes = setup->max_bytes;
	replay->topic = strdup(setup->topic);
	replay->kept = calloc(setup->max_batches, sizeof(*replay->kept));
	if (!replay->topic || !replay->kept)
		goto out_free;
	replay->socket = zmq_socket(context, ZMQ_ROUTER);
	if (!replay->socket) {
		err = -errno;
		goto out_free;
	}
	zmq_setsockopt(replay->socket, ZMQ_SNDHWM, &hwm, sizeof(hwm));
	zmq_setsockopt(replay->socket, ZMQ_RCVHWM, &requests, sizeof(requests));
	/* To be told, rather than to leave something out. */
	zmq_setsockopt(replay->socket, ZMQ_ROUTER_MANDATORY, &yes, sizeof(yes));
	err = zmq_attach(replay->socket, endpoint);
	if (err)
		goto out_close;
	*out = replay;
	return 0;

out_close:
	zmq_close(replay->socket);
	free(replay->kept);
	free(replay->topic);
	free(replay);
	return err;
out_free:
	free(replay->kept);
	free(replay->topic);
	free(replay);
	return say_err(err, "%s", endpoint);
}

static struct kept *kept_at(const struct replay *replay, uint64_t sequence)
{
	return &replay->kept[sequence % replay->max_batches];
}

static void forget_oldest(struct replay *replay)
{
	struct kept *kept = kept_at(replay, replay->first++);

	replay->counters.kept_bytes -= kept->len;
	replay->counters.kept--;
	free(kept->payload);
	kept->payload = NULL;
	kept->len = 0;
}

void replay_close(struct replay *replay)
{
	if (!replay)
		return;
	while (replay->counters.kept)
		forget_oldest(replay);
	zmq_close(replay->socket);
	free(replay->kept);
	free(replay->topic);
	free(replay);
}

void *replay_socket(const struct replay *replay)
{
	return replay->socket;
}

void replay_keep(struct replay *replay, uint64_t sequence, const void *payload, size_t len)
{
	struct kept *kept;
	void *copy;

	while (replay->counters.kept &&
	       (replay->counters.kept == replay->max_batches ||
		replay->counters.kept_bytes + len > replay->max_bytes))
		forget_oldest(replay);
	copy = malloc(len);
	replay->next = sequence + 1;
	if (!copy) {
		/* A hole would not be seen: nothing that is older is any use now. */
		while (replay->counters.kept)
			forget_oldest(replay);
		replay->first = replay->next;
		return;
	}
	memcpy(copy, payload, len);
	kept = kept_at(replay, sequence);
	kept->payload = copy;
	kept->len = len;
	if (!replay->counters.kept++)
		replay->first = sequence;
	replay->counters.kept_bytes += len;
}

/* 0; -errno when the client is gone or reads too slowly. */
static int answer(struct replay *replay, const struct frame *client, const char *topic,
		  uint64_t sequence, const void *payload, size_t len)
{
	unsigned char bytes[8];
	struct frame frames[] = {
		*client, { "", 0 }, { topic, strlen(topic) }, { bytes, sizeof(bytes) },
		{ payload, len },
	};
	const size_t n = sizeof(frames) / sizeof(*frames);
	size_t i;

	put_be64(bytes, sequence);
	for (i = 0; i < n; i++)
		if (zmq_send(replay->socket, frames[i].data, frames[i].len,
			     ZMQ_DONTWAIT | (i + 1 < n ? ZMQ_SNDMORE : 0)) < 0)
			return -errno;
	return 0;
}

int replay_snapshot_part(struct replay *replay, const void *payload, size_t len)
{
	struct kept *parts;
	void *copy;

	parts = realloc(replay->parts, (replay->nr_parts + 1) * sizeof(*parts));
	if (!parts)
		return -ENOMEM;
	replay->parts = parts;
	copy = malloc(len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, payload, len);
	parts[replay->nr_parts].payload = copy;
	parts[replay->nr_parts++].len = len;
	return 0;
}

/* The last part has the latest sequence, so that the next live batch follows it. */
static int answer_snapshot(struct replay *replay, const struct frame *client,
			   replay_snapshot snapshot, void *arg)
{
	uint64_t sequence;
	size_t i;
	int err;

	err = snapshot(replay, arg);
	sequence = replay->next - replay->nr_parts;
	if (!err && replay->next < replay->nr_parts)
		err = -ERANGE;
	for (i = 0; !err && i < replay->nr_parts; i++)
		err = answer(replay, client, replay->topic, sequence + i,
			     replay->parts[i].payload, replay->parts[i].len);
	if (!err)
		replay->counters.snapshots++;
	for (i = 0; i < replay->nr_parts; i++)
		free(replay->parts[i].payload);
	free(replay->parts);
	replay->parts = NULL;
	replay->nr_parts = 0;
	return err;
}

static int answer_kept(struct replay *replay, const struct frame *client, uint64_t sequence)
{
	const struct kept *kept;
	int err = 0;

	for (; !err && sequence < replay->next; sequence++) {
		kept = kept_at(replay, sequence);
		err = answer(replay, client, replay->topic, sequence, kept->payload, kept->len);
		replay->counters.batches++;
	}
	return err;
}

static void serve_one(struct replay *replay, const struct frame *client, uint64_t sequence,
		      replay_snapshot snapshot, void *arg)
{
	bool kept = sequence >= replay->first && sequence <= replay->next;
	int err;

	replay->counters.requests++;
	err = kept ? answer_kept(replay, client, sequence) :
		     answer_snapshot(replay, client, snapshot, arg);
	/* Without the end marker the client knows that it has to ask again. */
	if (!err)
		answer(replay, client, "", UINT64_MAX, "", 0);
}

static uint64_t get_be64(const unsigned char *bytes)
{
	uint64_t value = 0;
	int i;

	for (i = 0; i < 8; i++)
		value = value << 8 | bytes[i];
	return value;
}

/* Whether there was a request. Anything but [client, empty, 8 bytes] is dropped. */
static bool receive(struct replay *replay, char identity[MAX_IDENTITY], struct frame *client,
		    uint64_t *sequence, bool *valid)
{
	unsigned int i = 0;
	int more = 1;
	zmq_msg_t msg;

	*valid = true;
	while (more) {
		size_t len;

		zmq_msg_init(&msg);
		if (zmq_msg_recv(&msg, replay->socket, ZMQ_DONTWAIT) < 0) {
			zmq_msg_close(&msg);
			return false;
		}
		len = zmq_msg_size(&msg);
		if (i == 0 && len <= MAX_IDENTITY) {
			memcpy(identity, zmq_msg_data(&msg), len);
			client->data = identity;
			client->len = len;
		} else if (i == 2 && len == 8) {
			*sequence = get_be64(zmq_msg_data(&msg));
		} else if (i != 1 || len) {
			*valid = false;
		}
		more = zmq_msg_more(&msg);
		zmq_msg_close(&msg);
		i++;
	}
	*valid &= i == 3;
	return true;
}

bool replay_is_asked(const struct replay *replay)
{
	int events = 0;
	size_t len = sizeof(events);

	zmq_getsockopt(replay->socket, ZMQ_EVENTS, &events, &len);
	return events & ZMQ_POLLIN;
}

void replay_serve(struct replay *replay, replay_snapshot snapshot, void *arg)
{
	char identity[MAX_IDENTITY];
	struct frame client;
	uint64_t sequence = 0;
	unsigned int i;
	bool valid;

	for (i = 0; i < MAX_REQUESTS; i++) {
		if (!receive(replay, identity, &client, &sequence, &valid))
			return;
		if (valid)
			serve_one(replay, &client, sequence, snapshot, arg);
		else
			replay->counters.malformed++;
	}
}

void replay_get_counters(const struct replay *replay, struct replay_counters *out)
{
	*out = replay->counters;
}
