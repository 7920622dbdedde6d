// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "connect.h"
#include "grid.h"
#include "output.h"
#include "parse.h"
#include "policies.h"
#include "replay.h"
#include "say.h"
#include "stop.h"

#define MAX_CELLS	64
#define MAX_WORKERS	1024
/* Of the table: a line for each policy, and the bounds. */
#define MAX_CURVES	(MAX_CELLS + 2)

struct options {
	const char *policies;
	const char *device;
	const char *file;
	const char *plot;
	FILE *plot_file;
	bool json;
	bool all;		/* policies, and a table of them */
	uint32_t blocks[MAX_CELLS];
	size_t nr_blocks;
	uint32_t policy[MAX_CELLS];
	size_t nr_policies;
	struct replay replay;
};

enum { OPT_BACKEND = 0x100, OPT_DEVICE, OPT_SKETCH, OPT_SPLIT, OPT_JSON, OPT_PLOT };

static const struct argp_option argp_options[] = {
	{ "backend", OPT_BACKEND, "inproc|device", 0,
	  "where the blocks are managed: in this process (default) or by the kernel", 0 },
	{ "device", OPT_DEVICE, "PATH", 0,
	  "with the device backend: instead of " DEFAULT_DEVICE, 0 },
	{ "policy", 'p', "NAME[,NAME...]|all", 0,
	  "eviction policies (default lru); all: a table of them, with bounds", 0 },
	{ "sketch", OPT_SKETCH, "N", 0,
	  "hashes that the frequency sketch of multi-lru is made for (default 2Mi)", 0 },
	{ "blocks", 'b', "N[,N...]", 0,
	  "sizes of the pool; " PARSE_SUFFIXES, 0 },
	{ "workers", 'w', "N", 0,
	  "clients at the same time (default 1; more have no digest)", 0 },
	{ "split", OPT_SPLIT, NULL, 0,
	  "match, allocate, stage and register by calls of their own", 0 },
	{ "json", OPT_JSON, NULL, 0, "rows as JSON", 0 },
	{ "plot", OPT_PLOT, "FILE", 0,
	  "with --policy=all: draw hit rate against size, as SVG", 0 },
	{ "verbose", 'v', NULL, 0, "say more on stderr", 0 },
	{ 0 }
};

static int add_blocks(const char *word, void *data)
{
	struct options *o = data;
	uint64_t value;
	int err;

	if (o->nr_blocks == MAX_CELLS)
		return -E2BIG;
	err = parse_count(word, 1, KVBM_MAX_BLOCKS, &value);
	if (!err)
		o->blocks[o->nr_blocks++] = value;
	return err;
}

static int add_policy(const char *word, void *data)
{
	struct options *o = data;
	int policy;

	if (o->nr_policies == MAX_CELLS)
		return -E2BIG;
	policy = policy_lookup(o->replay.kvbm, word);
	if (policy < 0)
		return policy;
	o->policy[o->nr_policies++] = policy;
	return 0;
}

static int add_all(struct options *o)
{
	struct kvbm_info info;
	uint32_t policy;
	int err;

	err = kvbm_info(o->replay.kvbm, &info);
	if (err)
		return say_err(err, "policies");
	for (policy = 0; policy < MAX_CELLS; policy++)
		if (policy != KVBM_POLICY_DEFAULT && info.out_policies >> policy & 1)
			o->policy[o->nr_policies++] = policy;
	return 0;
}

static void parse_blocks(struct options *o, const char *arg, struct argp_state *state)
{
	o->nr_blocks = 0;
	if (parse_list(arg, add_blocks, o))
		argp_error(state, "--blocks=%s: not up to %d sizes of 1 to %u", arg,
			   MAX_CELLS, KVBM_MAX_BLOCKS);
}

static void parse_sketch(struct options *o, const char *arg, struct argp_state *state)
{
	if (parse_count(arg, 1, KVBM_MAX_BLOCKS, &o->replay.sketch))
		argp_error(state, "--sketch=%s: not a number of 1 to %u", arg,
			   KVBM_MAX_BLOCKS);
}

static void parse_workers(struct options *o, const char *arg, struct argp_state *state)
{
	uint64_t value;

	if (parse_count(arg, 1, MAX_WORKERS, &value))
		argp_error(state, "--workers=%s: not a number of 1 to %d", arg,
			   MAX_WORKERS);
	o->replay.workers = value;
}

static void parse_backend(struct options *o, const char *arg, struct argp_state *state)
{
	o->replay.in_process = !strcmp(arg, "inproc");
	if (!o->replay.in_process && strcmp(arg, "device"))
		argp_error(state, "--backend=%s: neither inproc nor device", arg);
}

static int compare_sizes(const void *a, const void *b)
{
	const uint32_t *first = a, *second = b;

	return (*first > *second) - (*first < *second);
}

static void parse_end(struct options *o, struct argp_state *state)
{
	if (!o->file)
		argp_error(state, "no trace given");
	if (!o->nr_blocks)
		argp_error(state, "no --blocks given");
	o->all = !strcmp(o->policies, "all");
	if (o->plot && !o->all)
		argp_error(state, "--plot is for --policy=all");
	/* A line of a plot goes from left to right. */
	if (o->plot)
		qsort(o->blocks, o->nr_blocks, sizeof(*o->blocks), compare_sizes);
	if (o->device && o->replay.in_process)
		argp_error(state, "--device is for --backend=device");
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case OPT_BACKEND:
		parse_backend(o, arg, state);
		return 0;
	case OPT_DEVICE:
		o->device = arg;
		return 0;
	case 'p':
		o->policies = arg;
		return 0;
	case 'b':
		parse_blocks(o, arg, state);
		return 0;
	case 'w':
		parse_workers(o, arg, state);
		return 0;
	case OPT_SKETCH:
		parse_sketch(o, arg, state);
		return 0;
	case OPT_PLOT:
		o->plot = arg;
		return 0;
	case OPT_SPLIT:
		o->replay.split = true;
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	case 'v':
		o->replay.verbose = true;
		return 0;
	case ARGP_KEY_ARG:
		if (o->file)
			argp_error(state, "one trace only");
		o->file = arg;
		return 0;
	case ARGP_KEY_END:
		parse_end(o, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = argp_options,
	.parser = parse_option,
	.args_doc = "FILE",
	.doc = "Replay a Mooncake trace against pools of blocks, and print the hit rate.\n"
	       "\vFILE has one JSON object per line: timestamp, input_length, output_length,\n"
	       "hash_ids. There is one row for each policy and size. hit_rate is the blocks\n"
	       "found as a contiguous prefix, divided by all blocks requested; requests that\n"
	       "a pool refuses count as requested. With one worker the digest is over what\n"
	       "each request found, was given and made the pool evict: the same from both\n"
	       "backends (but for multi-lru, whose sketch has a secret).\n"
	       "\n"
	       "With --policy=all there is one table of hit rates, policies by sizes, and one\n"
	       "of seconds. The hit rates of two more lines no policy can beat: belady knows\n"
	       "the future, infinite evicts nothing.\n"
	       "\n"
	       "Exit status: 0; 1 on an error, also when the statistics of a manager differ\n"
	       "from what was counted here, or its check fails; 2 for wrong usage.",
};

static int run_bounds(struct options *o, struct grid *grid)
{
	struct bounds *bounds = bounds_new(&o->replay.workload);
	struct curve *belady, *infinite;
	unsigned long long blocks = 0;
	size_t i;

	if (!bounds)
		return -ENOMEM;
	for (i = 0; i < o->replay.workload.nr; i++)
		blocks += o->replay.workload.work[i].prompt;
	belady = grid_add(grid, "belady", true);
	infinite = grid_add(grid, "infinite", true);
	for (i = 0; blocks && i < o->nr_blocks; i++) {
		belady->hit_rate[i] = (double)bounds_hits(bounds, o->blocks[i]) / blocks;
		infinite->hit_rate[i] = (double)bounds_hits(bounds, UINT64_MAX) / blocks;
	}
	bounds_free(bounds);
	return 0;
}

static int run_policy(struct options *o, uint32_t policy, struct report *report,
		      struct grid *grid)
{
	struct curve *curve = grid_add(grid, kvbm_policy_name(policy), false);
	struct cell cell;
	size_t i;
	int err;

	for (i = 0; i < o->nr_blocks; i++) {
		cell = (struct cell){ .policy = policy, .blocks = o->blocks[i] };
		err = cell_run(&o->replay, &cell);
		if (err)
			return err;
		curve->hit_rate[i] = hit_rate(&cell.tally);
		curve->seconds[i] = cell.seconds;
		if (report)
			report_row(report, &cell);
	}
	return 0;
}

static int run_cells(struct options *o)
{
	struct grid *grid = grid_new(o->nr_blocks, o->blocks, MAX_CURVES);
	struct report *report = NULL;
	int err = 0, ended = 0;
	size_t i;

	if (!o->all || o->json)
		report = report_begin(o->json, o->replay.workers == 1);
	for (i = 0; !err && i < o->nr_policies; i++)
		err = run_policy(o, o->policy[i], report, grid);
	if (!err && o->all)
		err = run_bounds(o, grid);
	if (!err && o->all && report)
		report_bounds(report, grid);
	if (!err && o->all && !report)
		grid_print(grid);
	if (!err && o->plot)
		err = plot_write(o->plot, o->plot_file, grid);
	ended = report ? report_end(report) : finish_stdout();
	grid_free(grid);
	return err ? err : ended;
}

int main(int argc, char **argv)
{
	struct options o = {
		.policies = "lru",
		.replay = { .in_process = true, .workers = 1 },
	};
	int err;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	o.replay.uri = o.replay.in_process ? "inproc:" :
		       o.device ? o.device : DEFAULT_DEVICE;
	o.replay.progress = can_rewrite(stderr);
	stop_on_signals();
	err = connect_to(o.replay.uri, &o.replay.kvbm);
	if (err)
		return 1;
	err = o.all ? add_all(&o) : parse_list(o.policies, add_policy, &o);
	if (!err && o.plot)
		err = plot_open(o.plot, &o.plot_file);
	if (!err)
		err = workload_load(&o.replay.workload, o.file, 0, false);
	if (!err)
		err = run_cells(&o);
	if (err && stop_requested())
		say("interrupted");
	workload_free(&o.replay.workload);
	kvbm_close(o.replay.kvbm);
	return err ? 1 : 0;
}
