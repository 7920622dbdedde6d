// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "connect.h"
#include "exporter.h"
#include "output.h"
#include "parse.h"
#include "say.h"
#include "stop.h"

#define MAX_INTERVAL	86400

struct options {
	const char *device;
	const char *output;
	unsigned int interval;
	bool sessions;
	struct labels external;
};

enum { OPT_DEVICE = 0x100, OPT_SESSIONS };

static const struct argp_option argp_options[] = {
	{ "output", 'o', "FILE", 0,
	  "replace this file, as a whole; its name ends in .prom (default: stdout)", 0 },
	{ "interval", 'i', "SECONDS", 0, "again and again, not once", 0 },
	{ "label", 'l', "NAME=VALUE", 0, "on every sample; may be given again", 0 },
	{ "sessions", OPT_SESSIONS, NULL, 0,
	  "samples for every session, too: series come and go with processes", 0 },
	{ "device", OPT_DEVICE, "PATH", 0, "instead of " DEFAULT_DEVICE, 0 },
	{ 0 }
};

static void add_label(struct argp_state *state, struct labels *labels, const char *arg)
{
	const char *equals = strchr(arg, '='), *error;
	struct label *more, *label;
	size_t i;

	if (!equals)
		argp_error(state, "--label=%s: that would be NAME=VALUE", arg);
	more = reallocarray(labels->list, labels->nr + 1, sizeof(*more));
	if (!more)
		argp_failure(state, 1, ENOMEM, "labels");
	labels->list = more;
	label = &more[labels->nr];
	label->name = strndup(arg, equals - arg);
	label->value = strdup(equals + 1);
	if (!label->name || !label->value)
		argp_failure(state, 1, ENOMEM, "labels");
	error = label_name_error(label->name);
	if (!error && !is_utf8(label->value))
		error = "the value is not UTF-8";
	for (i = 0; i < labels->nr && !error; i++)
		if (!strcmp(labels->list[i].name, label->name))
			error = "this label was given before";
	if (error)
		argp_error(state, "--label=%s: %s", arg, error);
	labels->nr++;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	size_t length;
	uint64_t n;

	switch (key) {
	case 'o':
		length = strlen(arg);
		/* It would be written for nobody. */
		if (length < 6 || strcmp(arg + length - 5, ".prom") ||
		    arg[length - 6] == '/')
			argp_error(state, "--output=%s: node_exporter reads only *.prom", arg);
		o->output = arg;
		return 0;
	case 'i':
		if (parse_count(arg, 1, MAX_INTERVAL, &n))
			argp_error(state, "--interval=%s: not a number of 1 to %d", arg,
				   MAX_INTERVAL);
		o->interval = n;
		return 0;
	case 'l':
		add_label(state, &o->external, arg);
		return 0;
	case OPT_SESSIONS:
		o->sessions = true;
		return 0;
	case OPT_DEVICE:
		o->device = arg;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "no argument is taken: '%s'", arg);
		return 0;
	case ARGP_KEY_END:
		if (o->interval && !o->output)
			argp_error(state, "--interval needs --output");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = argp_options,
	.parser = parse,
	.doc = "Write what all managers count in the text format of Prometheus, for the\n"
	       "textfile collector of node_exporter.\n"
	       "\vExit status: 0; 1 on an error, and the file is as it was; 2 for wrong usage.",
};

/* Text in memory first: nothing half written ever gets a name. */
static int export_view(const struct options *o, const struct view *view)
{
	char *contents = NULL;
	size_t size = 0;
	struct text text = {
		.out = open_memstream(&contents, &size),
		.external = &o->external,
	};
	int err = 0;

	if (!text.out)
		return say_err(-ENOMEM, "metrics");
	write_families(&text, view, o->sessions);
	if (fclose(text.out))
		err = say_err(-ENOMEM, "metrics");
	else if (o->output)
		err = replace_file(o->output, contents, size);
	else if (fwrite(contents, 1, size, stdout) != size || finish_stdout())
		err = -EIO;
	free(contents);
	return err;
}

/* A connection each time: the module may have been replaced. */
static int export_once(const struct options *o)
{
	struct kvbm *kvbm;
	struct view view;
	int err;

	err = connect_to(o->device, &kvbm);
	if (err)
		return err;
	err = view_collect(kvbm, &view);
	kvbm_close(kvbm);
	if (err)
		return err;
	err = export_view(o, &view);
	view_free(&view);
	return err;
}

/* At times that are @seconds apart, however long a round takes. */
static void wait_for_next(struct timespec *next, unsigned int seconds)
{
	struct timespec now;

	next->tv_sec += seconds;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec > next->tv_sec)
		*next = now;
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, next, NULL);
}

/* Until a signal. After an error it goes on: modules and directories come back. */
static int export_repeatedly(const struct options *o)
{
	struct timespec next;
	int err = 0;

	stop_on_signals();
	clock_gettime(CLOCK_MONOTONIC, &next);
	while (!stop_requested()) {
		err = export_once(o);
		wait_for_next(&next, o->interval);
	}
	return err;
}

int main(int argc, char **argv)
{
	struct options o = { .device = DEFAULT_DEVICE };
	int err;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	err = o.interval ? export_repeatedly(&o) : export_once(&o);
	return err ? 1 : 0;
}
