/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the command line says.
 */
#ifndef EVENTD_OPTIONS_H
#define EVENTD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kvbm/events.h>

#include "form.h"
#include "mirror.h"

#define MAX_REGISTRIES	KVBM_MAX_REGISTRY_MANAGERS

struct output_option {
	enum form form;
	const char *endpoint;
};

struct options {
	const char *device;
	const char *registries[MAX_REGISTRIES];
	unsigned int nr_registries;
	const char *from;		/* NULL: no file */
	bool opaque;			/* of a file */
	uint64_t block_size;		/* of a file */

	struct output_option outputs[MAX_OUTPUTS];
	unsigned int nr_outputs;
	bool dry_run;
	const char *replay;		/* endpoint, or NULL */
	uint64_t replay_batches;
	uint64_t replay_bytes;

	uint64_t window_ns;
	uint64_t max_batch;
	struct kvbm_event_policy policy;

	const char *subject;		/* FORM_KVBM */
	unsigned char instance[16];
	bool fixed_instance;
	const char *topic;		/* FORM_VLLM */
	const char *media[NR_TIERS + 1];
	uint64_t dp_rank;
	char *dynamo_subject;
	uint64_t worker_id;
	uint64_t publisher_id;
	bool single;

	const char *nats_credentials;
	uint64_t queue_bytes;
	uint64_t zmq_queue;		/* messages */
	uint64_t stop_timeout_s;
};

/* Exits with status 2 and a message when they are wrong. */
void parse_options(int argc, char **argv, struct options *out);
void free_options(struct options *options);

bool is_nats(const char *endpoint);
/*
 * The endpoint of registry number @n: the port is so much higher, and the name of
 * a socket ends in "_dp" and the number. To be free()d; NULL when that is no port.
 */
char *nth_endpoint(const char *endpoint, unsigned int n);

#endif
