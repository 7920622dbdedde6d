/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * vLLM's replay socket: who missed batches asks for all from one sequence on.
 *
 *	request		[empty, sequence]		from a DEALER
 *	answers		[empty, topic, sequence, batch]	for each one that is kept
 *			[empty, empty, 8 times 0xff, empty]
 *
 * Unlike vLLM's, this one has an answer for who asks for more than is kept: all
 * is cleared, and what is present is stored, under the latest sequences.
 */
#ifndef EVENTD_REPLAY_H
#define EVENTD_REPLAY_H

#include "message.h"

struct replay;

struct replay_setup {
	size_t max_batches;
	size_t max_bytes;
	const char *topic;
};

struct replay_counters {
	uint64_t requests;
	uint64_t malformed;
	uint64_t snapshots;
	uint64_t batches;	/* sent as answers */
	uint64_t kept;
	uint64_t kept_bytes;
};

/* 0, or -errno after a message. */
int replay_open(void *context, const char *endpoint, const struct replay_setup *setup,
		struct replay **out);
void replay_close(struct replay *replay);
void *replay_socket(const struct replay *replay);

/* The payload of the next sequence; copied. */
void replay_keep(struct replay *replay, uint64_t sequence, const void *payload, size_t len);

/*
 * Makes a snapshot: calls replay_snapshot_part() with each payload, in order.
 * 0, or -errno.
 */
typedef int (*replay_snapshot)(struct replay *replay, void *arg);
int replay_snapshot_part(struct replay *replay, const void *payload, size_t len);

/* Whether somebody asks. */
bool replay_is_asked(const struct replay *replay);
/* Answers what was asked. */
void replay_serve(struct replay *replay, replay_snapshot snapshot, void *arg);
void replay_get_counters(const struct replay *replay, struct replay_counters *out);

#endif
