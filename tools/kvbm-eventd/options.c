// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "connect.h"
#include "options.h"
#include "parse.h"

enum {
	OPT_KVBM = 256, OPT_VLLM, OPT_DYNAMO, OPT_REPLAY, OPT_REPLAY_BATCHES, OPT_REPLAY_BYTES,
	OPT_WINDOW, OPT_BATCH, OPT_POLICY, OPT_SUBJECT, OPT_INSTANCE, OPT_TOPIC, OPT_MEDIA,
	OPT_DP_RANK, OPT_NAMESPACE, OPT_COMPONENT, OPT_ENDPOINT, OPT_WORKER, OPT_PUBLISHER,
	OPT_SINGLE, OPT_CREDENTIALS, OPT_QUEUE, OPT_ZMQ_QUEUE, OPT_STOP_TIMEOUT, OPT_SCHEMA,
	OPT_BLOCK_SIZE,
};

static const struct argp_option table[] = {
	{ NULL, 0, NULL, 0, "What is read:", 1 },
	{ "registry", 'r', "NAME", 0, "Events of this registry; can be given more than once", 0 },
	{ "device", 'd', "PATH", 0, "The device, instead of " DEFAULT_DEVICE, 0 },
	{ "from", 'f', "FILE", 0,
	  "Records of a file or, if it is -, of stdin, instead of a registry", 0 },
	{ "schema", OPT_SCHEMA, "plh|opaque", 0, "Of the hashes in FILE (plh)", 0 },
	{ "block-size", OPT_BLOCK_SIZE, "N", 0, "Tokens in a block of FILE (16)", 0 },
	{ NULL, 0, NULL, 0, "Where it is published:", 2 },
	{ "kvbm", OPT_KVBM, "ENDPOINT", 0, "In kvbm-logical's form, by NATS or ZeroMQ", 0 },
	{ "vllm", OPT_VLLM, "ENDPOINT", 0, "In vLLM's form, by ZeroMQ", 0 },
	{ "dynamo", OPT_DYNAMO, "ENDPOINT", 0, "In Dynamo's form, by NATS or ZeroMQ", 0 },
	{ "replay", OPT_REPLAY, "ENDPOINT", 0, "Replay socket of the vLLM form", 0 },
	{ "dry-run", 'n', NULL, 0, "Print what would be published, as lines of JSON", 0 },
	{ NULL, 0, NULL, 0, "How:", 3 },
	{ "window", OPT_WINDOW, "MS", 0, "Longest time that an event waits for others (10)", 0 },
	{ "batch", OPT_BATCH, "N", 0, "Most events of a batch (1024)", 0 },
	{ "policy", OPT_POLICY, "all|power-of-two[:MIN-MAX]", 0,
	  "Positions in kvbm-logical's form (all); MIN-MAX is 16-65536", 0 },
	{ "subject", OPT_SUBJECT, "NAME", 0, "Of kvbm-logical's form (kvbm.events)", 0 },
	{ "instance-id", OPT_INSTANCE, "HEX", 0,
	  "Of kvbm-logical's form, up to 32 digits or a UUID (another one in each run)", 0 },
	{ "topic", OPT_TOPIC, "TEXT", 0, "Of vLLM's form (empty)", 0 },
	{ "media", OPT_MEDIA, "G1,G2,G3,G4", 0,
	  "Names of tiers in vLLM's form (GPU,CPU,DISK,EXTERNAL)", 0 },
	{ "dp-rank", OPT_DP_RANK, "N", 0, "Data-parallel rank of the first registry (0)", 0 },
	{ "namespace", OPT_NAMESPACE, "NAME", 0, "Of Dynamo's form (dynamo)", 0 },
	{ "component", OPT_COMPONENT, "NAME", 0, "Of Dynamo's form (backend)", 0 },
	{ "endpoint-name", OPT_ENDPOINT, "NAME", 0, "Of Dynamo's form (none)", 0 },
	{ "worker-id", OPT_WORKER, "N", 0, "Of Dynamo's form (0)", 0 },
	{ "publisher-id", OPT_PUBLISHER, "N", 0,
	  "Of Dynamo's form (another one in each run)", 0 },
	{ "single-events", OPT_SINGLE, NULL, 0,
	  "Dynamo's form for older routers: one event in a message", 0 },
	{ "nats-credentials", OPT_CREDENTIALS, "FILE", 0, "For NATS servers that ask", 0 },
	{ "queue", OPT_QUEUE, "BYTES", 0, "Of each NATS output (64Mi). " PARSE_SUFFIXES, 0 },
	{ "zmq-queue", OPT_ZMQ_QUEUE, "N", 0, "Messages for each ZeroMQ subscriber (100000)", 0 },
	{ "replay-batches", OPT_REPLAY_BATCHES, "N", 0, "That are kept (10000)", 0 },
	{ "replay-bytes", OPT_REPLAY_BYTES, "N", 0, "That are kept (256Mi)", 0 },
	{ "stop-timeout", OPT_STOP_TIMEOUT, "SECONDS", 0,
	  "To deliver the rest at the end (5)", 0 },
	{ 0 }
};

struct parse_state {
	struct options *options;
	const char *namespace, *component, *endpoint;
};

static void parse_number(struct argp_state *state, const char *option, const char *text,
			 uint64_t min, uint64_t max, uint64_t *out)
{
	int err = parse_count(text, min, max, out);

	if (err == -EINVAL)
		argp_error(state, "--%s=%s: not a number", option, text);
	else if (err)
		argp_error(state, "--%s=%s: must be %llu to %llu", option, text,
			   (unsigned long long)min, (unsigned long long)max);
}

/* "16-65536" */
static bool parse_range(const char *text, uint32_t *min, uint32_t *max)
{
	char low[16], high[16];
	uint64_t a, b;

	if (sscanf(text, "%15[0-9]-%15[0-9]%n", low, high, &(int){ 0 }) != 2)
		return false;
	if (strlen(low) + strlen(high) + 1 != strlen(text) ||
	    parse_count(low, 0, UINT32_MAX, &a) || parse_count(high, a, UINT32_MAX, &b))
		return false;
	*min = a;
	*max = b;
	return true;
}

static void parse_policy(struct argp_state *state, const char *text, struct kvbm_event_policy *out)
{
	static const char power[] = "power-of-two";

	if (!strcmp(text, "all")) {
		*out = KVBM_EVENT_POLICY_ALL;
		return;
	}
	*out = KVBM_EVENT_POLICY_POWER_OF_TWO;
	if (!strcmp(text, power))
		return;
	if (strncmp(text, power, strlen(power)) || text[strlen(power)] != ':' ||
	    !parse_range(text + strlen(power) + 1, &out->min, &out->max))
		argp_error(state, "--policy=%s: must be all, power-of-two or power-of-two:16-65536",
			   text);
}

static int digit(char c)
{
	if (isdigit((unsigned char)c))
		return c - '0';
	c = tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The last digit is the lowest. */
static bool parse_instance(const char *text, unsigned char out[16])
{
	unsigned int nibbles = 0;
	const char *c;
	int value;

	memset(out, 0, 16);
	for (c = text + strlen(text); c-- > text; ) {
		if (*c == '-')
			continue;
		value = digit(*c);
		if (value < 0 || nibbles == 32)
			return false;
		out[15 - nibbles / 2] |= value << (nibbles % 2 * 4);
		nibbles++;
	}
	return nibbles;
}

static void parse_media(struct argp_state *state, char *text, const char *out[NR_TIERS + 1])
{
	unsigned int tier;
	char *word;

	for (tier = KVBM_TIER_G1; tier <= NR_TIERS; tier++) {
		word = strsep(&text, ",");
		if (!word || !*word)
			argp_error(state, "--media: must be four names");
		out[tier] = word;
	}
	if (text)
		argp_error(state, "--media: must be four names");
}

bool is_nats(const char *endpoint)
{
	return !strncmp(endpoint, "nats://", 7);
}

static bool is_zmq(const char *endpoint)
{
	const char *address = endpoint + (*endpoint == '@' || *endpoint == '>');

	return !strncmp(address, "tcp://", 6) || !strncmp(address, "ipc://", 6) ||
	       !strncmp(address, "inproc://", 9);
}

static void add_output(struct argp_state *state, enum form form, const char *endpoint)
{
	struct parse_state *parse = state->input;
	struct options *options = parse->options;

	if (form == FORM_VLLM && is_nats(endpoint))
		argp_error(state, "--vllm=%s: this form is published by ZeroMQ only", endpoint);
	if (!is_nats(endpoint) && !is_zmq(endpoint))
		argp_error(state, "--%s=%s: must begin with %stcp:// or ipc://",
			   form_name(form), endpoint, form == FORM_VLLM ? "" : "nats://, ");
	if (options->nr_outputs == MAX_OUTPUTS)
		argp_error(state, "more than %d outputs", MAX_OUTPUTS);
	options->outputs[options->nr_outputs].form = form;
	options->outputs[options->nr_outputs++].endpoint = endpoint;
}

static void add_registry(struct argp_state *state, struct options *options, const char *name)
{
	unsigned int i;

	for (i = 0; i < options->nr_registries; i++)
		if (!strcmp(options->registries[i], name))
			argp_error(state, "--registry=%s: given twice", name);
	if (options->nr_registries == MAX_REGISTRIES)
		argp_error(state, "more than %d registries", MAX_REGISTRIES);
	options->registries[options->nr_registries++] = name;
}

/* Segments of subjects: what is not a letter, a digit, '-' or '_' as %XX. */
static char *append_segment(char *to, const char *text)
{
	for (; *text; text++) {
		if (isalnum((unsigned char)*text) || *text == '-' || *text == '_')
			*to++ = *text;
		else
			to += sprintf(to, "%%%02X", (unsigned char)*text);
	}
	return to;
}

static char *dynamo_subject(const struct parse_state *parse)
{
	size_t len = strlen(parse->namespace) + strlen(parse->component) +
		     strlen(parse->endpoint ? parse->endpoint : "");
	char *subject = malloc(len * 3 + 128), *to = subject;

	if (!subject)
		return NULL;
	to = append_segment(stpcpy(to, "namespace."), parse->namespace);
	to = append_segment(stpcpy(to, ".component."), parse->component);
	if (parse->endpoint)
		to = append_segment(stpcpy(to, ".endpoint."), parse->endpoint);
	strcpy(to, "." DYNAMO_TOPIC);
	return subject;
}

static unsigned int count_form(const struct options *options, enum form form)
{
	unsigned int i, n = 0;

	for (i = 0; i < options->nr_outputs; i++)
		n += options->outputs[i].form == form;
	return n;
}

/* What only makes sense together. */
static void check(struct argp_state *state, struct parse_state *parse)
{
	struct options *options = parse->options;

	if (options->from && options->nr_registries)
		argp_error(state, "--from and --registry: one or the other");
	if (!options->from && !options->nr_registries)
		argp_error(state, "nothing to read: give --registry=NAME");
	if (!options->nr_outputs) {
		if (!options->dry_run)
			argp_error(state,
				   "nowhere to publish: give --kvbm, --vllm, --dynamo or --dry-run");
		options->outputs[0].form = FORM_KVBM;
		options->outputs[options->nr_outputs++].endpoint = "";
	}
	if (options->replay && count_form(options, FORM_VLLM) != 1)
		argp_error(state, "--replay: there must be one --vllm");
	if (options->opaque && options->policy.kind != KVBM_EVENTS_ALL)
		argp_error(state, "--policy: opaque hashes have no positions");
	options->dynamo_subject = dynamo_subject(parse);
	if (!options->dynamo_subject)
		argp_failure(state, 1, ENOMEM, "subject");
}

static error_t parse_key(int key, char *arg, struct argp_state *state)
{
	struct parse_state *parse = state->input;
	struct options *options = parse->options;
	uint64_t value;

	switch (key) {
	case 'r':
		add_registry(state, options, arg);
		break;
	case 'd':
		options->device = arg;
		break;
	case 'f':
		options->from = arg;
		break;
	case 'n':
		options->dry_run = true;
		break;
	case OPT_SCHEMA:
		options->opaque = !strcmp(arg, "opaque");
		if (!options->opaque && strcmp(arg, "plh"))
			argp_error(state, "--schema=%s: must be plh or opaque", arg);
		break;
	case OPT_BLOCK_SIZE:
		parse_number(state, "block-size", arg, 1, KVBM_MAX_BLOCK_SIZE,
			     &options->block_size);
		break;
	case OPT_KVBM:
		add_output(state, FORM_KVBM, arg);
		break;
	case OPT_VLLM:
		add_output(state, FORM_VLLM, arg);
		break;
	case OPT_DYNAMO:
		add_output(state, FORM_DYNAMO, arg);
		break;
	case OPT_REPLAY:
		if (!is_zmq(arg))
			argp_error(state, "--replay=%s: must begin with tcp:// or ipc://", arg);
		options->replay = arg;
		break;
	case OPT_REPLAY_BATCHES:
		parse_number(state, "replay-batches", arg, 1, 1000000, &options->replay_batches);
		break;
	case OPT_REPLAY_BYTES:
		parse_number(state, "replay-bytes", arg, 1, 1ULL << 40, &options->replay_bytes);
		break;
	case OPT_WINDOW:
		parse_number(state, "window", arg, 1, 60000, &value);
		options->window_ns = value * 1000000;
		break;
	case OPT_BATCH:
		parse_number(state, "batch", arg, 1, 8192, &options->max_batch);
		break;
	case OPT_POLICY:
		parse_policy(state, arg, &options->policy);
		break;
	case OPT_SUBJECT:
		if (!*arg || strpbrk(arg, " \t\r\n*>"))
			argp_error(state, "--subject=%s: not a subject to publish on", arg);
		options->subject = arg;
		break;
	case OPT_INSTANCE:
		if (!parse_instance(arg, options->instance))
			argp_error(state, "--instance-id=%s: must be 1 to 32 hexadecimal digits",
				   arg);
		options->fixed_instance = true;
		break;
	case OPT_TOPIC:
		options->topic = arg;
		break;
	case OPT_MEDIA:
		parse_media(state, arg, options->media);
		break;
	case OPT_DP_RANK:
		parse_number(state, "dp-rank", arg, 0, 1 << 20, &options->dp_rank);
		break;
	case OPT_NAMESPACE:
		parse->namespace = arg;
		break;
	case OPT_COMPONENT:
		parse->component = arg;
		break;
	case OPT_ENDPOINT:
		parse->endpoint = arg;
		break;
	case OPT_WORKER:
		parse_number(state, "worker-id", arg, 0, UINT64_MAX, &options->worker_id);
		break;
	case OPT_PUBLISHER:
		parse_number(state, "publisher-id", arg, 0, UINT64_MAX, &options->publisher_id);
		break;
	case OPT_SINGLE:
		options->single = true;
		break;
	case OPT_CREDENTIALS:
		if (access(arg, R_OK))
			argp_failure(state, 1, errno, "--nats-credentials=%s", arg);
		options->nats_credentials = arg;
		break;
	case OPT_QUEUE:
		parse_number(state, "queue", arg, 1, 1ULL << 40, &options->queue_bytes);
		break;
	case OPT_ZMQ_QUEUE:
		parse_number(state, "zmq-queue", arg, 1, INT_MAX, &options->zmq_queue);
		break;
	case OPT_STOP_TIMEOUT:
		parse_number(state, "stop-timeout", arg, 0, 3600, &options->stop_timeout_s);
		break;
	case ARGP_KEY_ARG:
		argp_error(state, "what is '%s'?", arg);
		break;
	case ARGP_KEY_END:
		check(state, parse);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const char doc[] =
	"Publish the events of registries: which KV-cache blocks are present.\n"
	"\vENDPOINT is nats://HOST:PORT, tcp://*:PORT, tcp://HOST:PORT or ipc://PATH.\n"
	"ZeroMQ endpoints with a wildcard and ipc:// are bound, others are connected;\n"
	"with @ in front they are bound anyway, with > connected.\n"
	"\n"
	"Several registries are ranks: number N, from 0, has a port or an instance id\n"
	"that is N higher.\n"
	"\n"
	"SIGUSR1 prints counters, SIGHUP publishes all that is present again, SIGTERM\n"
	"ends in order.\n"
	"\n"
	"Exit status: 0; 1 on an error; 2 for wrong usage.";

static const struct argp argp = {
	.options = table,
	.parser = parse_key,
	.doc = doc,
};

void parse_options(int argc, char **argv, struct options *out)
{
	struct parse_state parse = {
		.options = out, .namespace = "dynamo", .component = "backend",
	};

	memset(out, 0, sizeof(*out));
	out->device = DEFAULT_DEVICE;
	out->block_size = 16;
	out->replay_batches = 10000;
	out->replay_bytes = 256ULL << 20;
	out->window_ns = BATCH_DEFAULT_WINDOW_NS;
	out->max_batch = BATCH_DEFAULT_SIZE;
	out->policy = KVBM_EVENT_POLICY_ALL;
	out->subject = "kvbm.events";
	out->topic = "";
	out->media[KVBM_TIER_G1] = "GPU";
	out->media[KVBM_TIER_G2] = "CPU";
	out->media[KVBM_TIER_G3] = "DISK";
	out->media[KVBM_TIER_G4] = "EXTERNAL";
	out->queue_bytes = 64ULL << 20;
	/* What vLLM has. */
	out->zmq_queue = 100000;
	out->stop_timeout_s = 5;
	argp_err_exit_status = 2;
	if (getrandom(out->instance, sizeof(out->instance), 0) < 0 ||
	    getrandom(&out->publisher_id, sizeof(out->publisher_id), 0) < 0)
		argp_failure(NULL, 1, errno, "random numbers");
	argp_parse(&argp, argc, argv, 0, NULL, &parse);
}

void free_options(struct options *options)
{
	free(options->dynamo_subject);
}

char *nth_endpoint(const char *endpoint, unsigned int n)
{
	const char *address = endpoint + (*endpoint == '@' || *endpoint == '>');
	const char *colon = strrchr(address, ':');
	uint64_t port;
	char *out;
	int len;

	if (!n || is_nats(endpoint))
		return strdup(endpoint);
	if (strncmp(address, "tcp://", 6)) {
		len = asprintf(&out, "%s_dp%u", endpoint, n);
		return len < 0 ? NULL : out;
	}
	if (!colon || parse_count(colon + 1, 1, 65535 - n, &port))
		return NULL;
	len = asprintf(&out, "%.*s:%u", (int)(colon - endpoint), endpoint,
		       (unsigned int)port + n);
	return len < 0 ? NULL : out;
}
