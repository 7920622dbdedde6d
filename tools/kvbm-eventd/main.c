// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * kvbm-eventd: publishes which KV-cache blocks are present, in the forms that
 * routers understand.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

#include <nats/nats.h>

#include "notify.h"
#include "options.h"
#include "output.h"
#include "publisher.h"
#include "say.h"
#include "stream.h"

/* A stream: its input; an output: its transport and its replay socket. */
#define MAX_ITEMS	(1 + MAX_REGISTRIES * (1 + 2 * MAX_OUTPUTS))

struct eventd {
	struct options options;
	struct stream *streams;
	unsigned int nr_streams;
	void *context;		/* of ZeroMQ */
	int signals;		/* signalfd */
	bool stop;
	int status;
	zmq_pollitem_t items[MAX_ITEMS];
};

/* Before any library makes a thread: only the signalfd gets them. */
static int catch_signals(struct eventd *eventd)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	eventd->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return eventd->signals < 0 ? say_err(-errno, "signals") : 0;
}

static int open_transport(struct eventd *eventd, struct stream *stream,
			  struct output *output, const char *endpoint)
{
	struct nats_setup setup = {
		.url = endpoint,
		.credentials = eventd->options.nats_credentials,
		.max_bytes = eventd->options.queue_bytes,
	};

	if (eventd->options.dry_run)
		return print_open(form_name(output->form), stream->name, &output->transport);
	if (is_nats(endpoint))
		return nats_open(&setup, &output->transport);
	return zmq_pub_open(eventd->context, endpoint, eventd->options.zmq_queue,
			    &output->transport);
}

static int open_replay(struct eventd *eventd, struct output *output, unsigned int n)
{
	struct replay_setup setup = {
		.max_batches = eventd->options.replay_batches,
		.max_bytes = eventd->options.replay_bytes,
		.topic = eventd->options.topic,
	};
	char *endpoint = nth_endpoint(eventd->options.replay, n);
	int err;

	if (!endpoint) {
		say("--replay=%s: no port for registry number %u",
		    eventd->options.replay, n);
		return -EINVAL;
	}
	err = replay_open(eventd->context, endpoint, &setup, &output->replay);
	free(endpoint);
	return err;
}

/* Registry number @n is rank number @n, and so is its instance. */
static void add_to_instance(unsigned char instance[16], unsigned int n)
{
	int i;

	for (i = 15; i >= 0 && n; i--) {
		n += instance[i];
		instance[i] = n;
		n >>= 8;
	}
}

static int open_output(struct eventd *eventd, struct stream *stream, unsigned int n,
		       const struct output_option *option)
{
	const struct options *options = &eventd->options;
	struct output *output = &stream->outputs[stream->nr_outputs];
	char *endpoint;
	int err;

	output->form = option->form;
	output->place = stream->nr_outputs;
	output->mirror = &stream->mirror;
	output->positions = stream->input.positions;
	output->policy = options->policy;
	memcpy(output->instance, options->instance, sizeof(output->instance));
	add_to_instance(output->instance, n);
	output->fixed_instance = options->fixed_instance;
	output->vllm.dp_rank = options->dp_rank + n;
	memcpy(output->vllm.media, options->media, sizeof(output->vllm.media));
	output->dynamo.worker_id = options->worker_id;
	output->dynamo.publisher_id = options->publisher_id + n;
	output->dynamo.dp_rank = options->dp_rank + n;
	output->dynamo.single = options->single;
	output->subject = option->form == FORM_KVBM ? options->subject :
			  option->form == FORM_VLLM ? options->topic :
			  options->dynamo_subject;
	err = output_init(output, options->window_ns, options->max_batch);
	if (err)
		return err;
	/* From here on it is closed with the others. */
	stream->nr_outputs++;
	endpoint = nth_endpoint(option->endpoint, n);
	if (!endpoint) {
		say("--%s=%s: no port for registry number %u", form_name(option->form),
		    option->endpoint, n);
		return -EINVAL;
	}
	err = open_transport(eventd, stream, output, endpoint);
	free(endpoint);
	if (!err && option->form == FORM_VLLM && options->replay && !options->dry_run)
		err = open_replay(eventd, output, n);
	return err;
}

static int open_input(struct eventd *eventd, struct stream *stream, unsigned int n)
{
	const struct options *options = &eventd->options;
	int err;

	if (!options->from) {
		stream->name = options->registries[n];
		return input_open_registry(&stream->input, options->device, stream->name,
					   stream_change, stream);
	}
	stream->name = options->from;
	err = input_open_file(&stream->input, options->from, stream_change, stream);
	stream->input.positions = !options->opaque;
	stream->input.block_size = options->block_size;
	return err;
}

static int open_stream(struct eventd *eventd, unsigned int n)
{
	struct stream *stream = &eventd->streams[n];
	unsigned int i;
	int err;

	err = mirror_init(&stream->mirror);
	if (err)
		return say_err(err, "registry number %u", n);
	eventd->nr_streams++;
	err = open_input(eventd, stream, n);
	if (!err && !stream->input.positions &&
	    eventd->options.policy.kind != KVBM_EVENTS_ALL) {
		say("registry '%s': --policy: opaque hashes have no positions", stream->name);
		err = -EINVAL;
	}
	for (i = 0; !err && i < eventd->options.nr_outputs; i++)
		err = open_output(eventd, stream, n, &eventd->options.outputs[i]);
	for (i = 0; !err && i < stream->nr_outputs; i++)
		output_begin(&stream->outputs[i]);
	return err;
}

static int open_all(struct eventd *eventd)
{
	unsigned int n = eventd->options.from ? 1 : eventd->options.nr_registries, i;
	int err = 0;

	eventd->context = zmq_ctx_new();
	eventd->streams = calloc(n, sizeof(*eventd->streams));
	if (!eventd->context || !eventd->streams)
		return say_err(-ENOMEM, "start");
	for (i = 0; !err && i < n; i++)
		err = open_stream(eventd, i);
	return err;
}

static void print_status(struct eventd *eventd)
{
	unsigned int i;

	for (i = 0; i < eventd->nr_streams; i++) {
		json_t *json = stream_json(&eventd->streams[i]);
		char *text = json_dumps(json, 0);

		if (text)
			say("%s", text);
		free(text);
		json_decref(json);
	}
}

static void tell_outputs(struct eventd *eventd, void (*fn)(struct output *output))
{
	unsigned int i, j;

	for (i = 0; i < eventd->nr_streams; i++)
		for (j = 0; j < eventd->streams[i].nr_outputs; j++)
			fn(&eventd->streams[i].outputs[j]);
}

static void on_signal(struct eventd *eventd)
{
	struct signalfd_siginfo info;

	while (read(eventd->signals, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGUSR1:
			print_status(eventd);
			break;
		case SIGHUP:
			tell_outputs(eventd, output_restart);
			break;
		default:
			eventd->stop = true;
		}
	}
}

static void add_item(struct eventd *eventd, int *n, int fd, void *socket)
{
	eventd->items[(*n)++] = (zmq_pollitem_t){ socket, fd, ZMQ_POLLIN, 0 };
}

static void wait_for_work(struct eventd *eventd, bool busy)
{
	uint64_t deadline = UINT64_MAX, now = now_ns();
	long timeout_ms = -1;
	unsigned int i, j;
	int n = 0;

	add_item(eventd, &n, eventd->signals, NULL);
	for (i = 0; i < eventd->nr_streams; i++) {
		struct stream *stream = &eventd->streams[i];
		uint64_t due = stream_deadline(stream);

		if (due < deadline)
			deadline = due;
		if (!stream->ended)
			add_item(eventd, &n, input_fd(&stream->input), NULL);
		for (j = 0; j < stream->nr_outputs; j++) {
			struct output *output = &stream->outputs[j];
			int fd = output->transport->ops->fd(output->transport);

			if (fd >= 0)
				add_item(eventd, &n, fd, NULL);
			if (output->replay)
				add_item(eventd, &n, 0, replay_socket(output->replay));
		}
	}
	if (busy || deadline <= now)
		timeout_ms = 0;
	else if (deadline != UINT64_MAX)
		timeout_ms = (deadline - now + 999999) / 1000000;
	zmq_poll(eventd->items, n, timeout_ms);
}

/* Whether there may be more to take. */
static bool update_stream(struct eventd *eventd, struct stream *stream)
{
	int n;

	if (stream->ended)
		return false;
	n = stream_update(stream);
	if (n == -ENODATA)
		say("%s: %s", stream->name,
		    eventd->options.from ? "end of file" : "the registry was destroyed");
	else if (n < 0)
		eventd->status = 1;
	return n > 0;
}

static void serve_outputs(struct stream *stream)
{
	unsigned int i;

	for (i = 0; i < stream->nr_outputs; i++) {
		struct output *output = &stream->outputs[i];

		output->transport->ops->ack(output->transport);
		if (output->replay)
			stream_serve(stream, output);
	}
}

static void run(struct eventd *eventd)
{
	unsigned int i, ended;
	bool busy = true;

	while (!eventd->stop) {
		wait_for_work(eventd, busy);
		on_signal(eventd);
		busy = false;
		ended = 0;
		for (i = 0; i < eventd->nr_streams; i++) {
			struct stream *stream = &eventd->streams[i];

			busy |= update_stream(eventd, stream);
			serve_outputs(stream);
			stream_tick(stream, now_ns());
			ended += stream->ended;
		}
		if (ended == eventd->nr_streams)
			eventd->stop = true;
		if (eventd->options.dry_run && ferror(stdout))
			eventd->stop = true;
	}
}

/* Both may have to wait for a server; in all not longer than the user said. */
static int flush_all(struct eventd *eventd, uint64_t until)
{
	unsigned int i, j;
	int err = 0;

	for (i = 0; i < eventd->nr_streams; i++) {
		for (j = 0; j < eventd->streams[i].nr_outputs; j++) {
			struct transport *t = eventd->streams[i].outputs[j].transport;
			uint64_t now = now_ns();

			if (t->ops->flush(t, until > now ? (until - now) / 1000000 : 0))
				err = -ETIMEDOUT;
		}
	}
	return err;
}

static void finish(struct eventd *eventd)
{
	uint64_t timeout_ns = eventd->options.stop_timeout_s * 1000000000ULL;
	uint64_t until = now_ns() + timeout_ns;
	unsigned int i;

	/* What had happened when we were told to stop; more may come all the time. */
	for (i = 0; i < eventd->nr_streams; i++)
		while (update_stream(eventd, &eventd->streams[i]) &&
		       now_ns() < until - timeout_ns / 2)
			;
	flush_all(eventd, until);
	/* An output that has caught up now can still make up for a gap. */
	for (i = 0; i < eventd->nr_streams; i++)
		stream_tick(&eventd->streams[i], now_ns());
	tell_outputs(eventd, output_end);
	if (flush_all(eventd, until)) {
		say("not all could be delivered: see the counters");
		eventd->status = 1;
	}
	print_status(eventd);
}

static void close_all(struct eventd *eventd)
{
	unsigned int i, j;

	for (i = 0; i < eventd->nr_streams; i++) {
		struct stream *stream = &eventd->streams[i];

		for (j = 0; j < stream->nr_outputs; j++)
			output_destroy(&stream->outputs[j]);
		input_close(&stream->input);
		mirror_destroy(&stream->mirror);
	}
	free(eventd->streams);
	/* Waits until ZeroMQ has sent what it has, within the linger time. */
	if (eventd->context)
		zmq_ctx_term(eventd->context);
	nats_Close();
	close(eventd->signals);
	free_options(&eventd->options);
}

int main(int argc, char **argv)
{
	static struct eventd eventd;

	parse_options(argc, argv, &eventd.options);
	if (catch_signals(&eventd))
		return 1;
	if (open_all(&eventd)) {
		eventd.status = 1;
	} else {
		notify_manager("READY=1");
		run(&eventd);
		notify_manager("STOPPING=1");
		finish(&eventd);
	}
	close_all(&eventd);
	if (finish_stdout())
		eventd.status = 1;
	return eventd.status;
}
