// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <argp.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "connect.h"
#include "generator.h"
#include "parse.h"
#include "run.h"
#include "say.h"
#include "stop.h"

#define MAX_WORKERS	1024
#define MAX_RUNNING	4096
#define MAX_REQUESTS	100000000

static const struct sizes {
	uint32_t requests;
	uint32_t blocks;
} usual = { 40000, 16384 }, quick = { 2000, 6144 };

enum { OPT_DEVICE = 0x100, OPT_JSON, OPT_QUICK, OPT_SEED, OPT_PROGRESS };

static const struct argp_option options[] = {
	{ "requests", 'n', "N", 0,
	  "how many to serve (default 40k; of a trace, all); " PARSE_SUFFIXES, 0 },
	{ "workers", 'w', "N", 0, "processes (default 4)", 0 },
	{ "blocks", 'b', "N", 0, "size of the pool (default 16384)", 0 },
	{ "running", 'r', "N", 0, "requests that a worker runs at a time (default 8)", 0 },
	{ "seed", OPT_SEED, "N", 0, "of the load that is made up without a TRACE", 0 },
	{ "quick", OPT_QUICK, NULL, 0, "a short run: 2000 requests, 6144 blocks", 0 },
	{ "device", OPT_DEVICE, "PATH", 0, "instead of " DEFAULT_DEVICE, 0 },
	{ "json", OPT_JSON, NULL, 0, "report as JSON", 0 },
	{ "progress", OPT_PROGRESS, "auto|always|never", OPTION_ARG_OPTIONAL,
	  "whether to write over one line: if it is a terminal (default), or always\n"
	  "(elsewhere there is a line every few seconds); never: say nothing", 0 },
	{ 0 }
};

struct input {
	struct run *run;
	struct sizes defaults;
};

static uint32_t need(struct argp_state *state, const char *what, const char *arg,
		     uint32_t max)
{
	uint64_t value;

	if (parse_count(arg, 1, max, &value))
		argp_error(state, "--%s=%s: not a number of 1 to %u", what, arg, max);
	return value;
}

static void parse_progress(struct run *run, const char *arg, struct argp_state *state)
{
	run->progress = true;
	if (!arg || !strcmp(arg, "always"))
		run->rewrite = true;
	else if (!strcmp(arg, "never"))
		run->progress = false;
	else if (strcmp(arg, "auto"))
		argp_error(state, "--progress=%s: there is auto, always and never", arg);
}

static void parse_seed(struct run *run, const char *arg, struct argp_state *state)
{
	if (parse_count(arg, 0, UINT64_MAX, &run->seed))
		argp_error(state, "--seed=%s: not a number", arg);
}

static void parse_end(struct input *input)
{
	struct run *run = input->run;

	if (!run->nr_requests && !run->trace)
		run->nr_requests = input->defaults.requests;
	if (!run->nr_blocks)
		run->nr_blocks = input->defaults.blocks;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct input *input = state->input;
	struct run *run = input->run;

	switch (key) {
	case 'n':
		run->nr_requests = need(state, "requests", arg, MAX_REQUESTS);
		return 0;
	case 'w':
		run->nr_workers = need(state, "workers", arg, MAX_WORKERS);
		return 0;
	case 'b':
		run->nr_blocks = need(state, "blocks", arg, KVBM_MAX_BLOCKS);
		return 0;
	case 'r':
		run->running = need(state, "running", arg, MAX_RUNNING);
		return 0;
	case OPT_SEED:
		parse_seed(run, arg, state);
		return 0;
	case OPT_QUICK:
		input->defaults = quick;
		return 0;
	case OPT_DEVICE:
		run->device = arg;
		return 0;
	case OPT_JSON:
		run->json = true;
		return 0;
	case OPT_PROGRESS:
		parse_progress(run, arg, state);
		return 0;
	case ARGP_KEY_ARG:
		if (run->trace)
			argp_error(state, "one trace only");
		run->trace = arg;
		return 0;
	case ARGP_KEY_SUCCESS:
		parse_end(input);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "[TRACE]",
	.doc = "Serve requests for an LLM from one pool of KV-cache blocks in the kernel, by\n"
	       "several processes; kill one of them half way. Then kill an engine that fills\n"
	       "blocks, and let another one take them over.\n"
	       "\vTRACE is in the format of Mooncake: one JSON object per line, with\n"
	       "timestamp, input_length, output_length, hash_ids. Without one the requests\n"
	       "are those of made-up conversations under shared system prompts.\n"
	       "\n"
	       "A request matches the prefix of its prompt, allocates what is missing,\n"
	       "stages and registers it, grows while its answer is decoded, and is released\n"
	       "tail first. What the killed worker had left to do another one takes over.\n"
	       "\n"
	       "Exit status: 0; 1 on an error, also when the store does not pass its check,\n"
	       "blocks are held at the end, or a block that was taken over is torn; 2 for\n"
	       "wrong usage.",
};

static int get_workload(struct run *run)
{
	int err;

	if (run->trace)
		return workload_load(&run->workload, run->trace, run->nr_requests, true);
	err = generate(&run->workload, run->nr_requests, run->seed);
	return err ? say_err(err, "making up %u requests", run->nr_requests) : 0;
}

static void *map_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int run_in_scratch(struct run *run)
{
	size_t slots = run->nr_workers * sizeof(*run->slots);
	size_t finished = run->workload.nr * sizeof(*run->finished);
	int err = -ENOMEM;

	run->slots = map_shared(slots);
	if (!run->slots)
		return say_err(err, "workers");
	run->finished = map_shared(finished);
	if (!run->finished) {
		say_err(err, "workers");
		goto unmap;
	}
	err = supervise(run);
	if (!err)
		err = take_over(run);
	if (!err)
		err = report(run);
	munmap(run->finished, finished);
unmap:
	munmap(run->slots, slots);
	return err;
}

static int run_all(struct run *run, struct kvbm *kvbm)
{
	const struct scratch_attr attr = {
		.registry = "run",
		.manager = "g1",
		.blocks = run->nr_blocks,
		.block_size = run->workload.block_size,
		.policy = KVBM_POLICY_DEFAULT,
	};
	int err, destroyed;

	err = scratch_create(&run->scratch, kvbm, &attr);
	if (err)
		return err;
	err = run_in_scratch(run);
	destroyed = scratch_destroy(&run->scratch);
	return err ? err : destroyed;
}

int main(int argc, char **argv)
{
	struct run run = {
		.device = DEFAULT_DEVICE,
		.nr_workers = 4,
		.running = 8,
		.seed = 1,
		.progress = true,
		.rewrite = can_rewrite(stderr),
	};
	struct input input = { .run = &run, .defaults = usual };
	struct kvbm *kvbm;
	int err;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &input);
	if (!strcmp(run.device, "inproc:")) {
		say("the workers are processes: a store inside one is of no use to them");
		return 2;
	}
	err = connect_to(run.device, &kvbm);
	if (err)
		return 1;
	stop_on_signals();
	err = get_workload(&run);
	if (!err)
		err = run_all(&run, kvbm);
	workload_free(&run.workload);
	kvbm_close(kvbm);
	return err ? 1 : 0;
}
