// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * kvbm-ours: our side of the comparison with kvbm-logical.
 */
#include <argp.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "connect.h"
#include "say.h"
#include "script.h"

enum { OPT_BACKEND = 0x100, OPT_JOURNAL, OPT_PRINT, OPT_EVERY, OPT_SLOW };

struct options {
	const char *uri;
	const char *script;
	const char *journal;
	struct journal print;
	double slow;
};

static const struct argp_option argp_options[] = {
	{ "backend", OPT_BACKEND, "inproc|device", 0,
	  "where the blocks are managed: in this process (default) or by the kernel", 0 },
	{ "journal", OPT_JOURNAL, "FILE", 0,
	  "write the digest of each operation, eight bytes", 0 },
	{ "print", OPT_PRINT, "FIRST:LAST", 0, "print what these operations do", 0 },
	{ "every", OPT_EVERY, "N", 0, "print the digest of all that often", 0 },
	{ "slow", OPT_SLOW, "FACTOR", 0,
	  "for bench: take so many times as long, to check the comparison", 0 },
	{ 0 }
};

static void parse_backend(struct options *o, const char *arg, struct argp_state *state)
{
	if (!strcmp(arg, "inproc"))
		o->uri = "inproc:";
	else if (!strcmp(arg, "device"))
		o->uri = DEFAULT_DEVICE;
	else
		argp_error(state, "--backend=%s: neither inproc nor device", arg);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	unsigned long long first, last;

	switch (key) {
	case OPT_BACKEND:
		parse_backend(o, arg, state);
		return 0;
	case OPT_JOURNAL:
		o->journal = arg;
		return 0;
	case OPT_PRINT:
		if (sscanf(arg, "%llu:%llu", &first, &last) != 2)
			argp_error(state, "--print=%s: not FIRST:LAST", arg);
		o->print.first = first;
		o->print.last = last;
		return 0;
	case OPT_EVERY:
		o->print.every = strtoull(arg, NULL, 10);
		return 0;
	case OPT_SLOW:
		o->slow = strtod(arg, NULL);
		if (o->slow < 1)
			argp_error(state, "--slow=%s: not a number of 1 and more", arg);
		return 0;
	case ARGP_KEY_ARG:
		if (o->script)
			argp_error(state, "one script only");
		o->script = arg;
		return 0;
	case ARGP_KEY_END:
		if (!o->script)
			argp_error(state, "no script given");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = argp_options,
	.parser = parse_option,
	.args_doc = "SCRIPT|bench",
	.doc = "Carry out a script of operations on libkvbm, and print the digest of its results;\n"
	       "or, for the word bench, measure what stdin says (kvbm-bench says it).",
};

static int run(const struct options *o, struct journal *journal)
{
	struct script script;
	struct kvbm *kvbm;
	int err;

	err = script_open(&script, o->script);
	if (!err)
		err = connect_to(o->uri, &kvbm);
	if (!err) {
		err = script_run(kvbm, &script, journal);
		kvbm_close(kvbm);
	}
	script_close(&script);
	return err;
}

int main(int argc, char **argv)
{
	struct options o = {
		.uri = "inproc:",
		.slow = 1,
		.print = { .first = 1, .last = 0 },
	};
	struct journal *journal = &o.print;
	int err;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (!strcmp(o.script, "bench"))
		return bench_main(o.uri, o.slow) ? 1 : 0;
	if (o.journal) {
		journal->file = fopen(o.journal, "w");
		if (!journal->file) {
			say_err(-errno, "%s", o.journal);
			return 1;
		}
	}
	err = run(&o, journal);
	if (journal->file && fclose(journal->file) && !err)
		err = say_err(-errno, "%s", o.journal);
	if (!err)
		printf("%llu operations, digest %016llx\n",
		       (unsigned long long)journal->op,
		       (unsigned long long)journal->all);
	return err ? 1 : 0;
}
