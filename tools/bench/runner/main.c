// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <argp.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include <kvbm/kvbm.h>

#include "output.h"
#include "parse.h"
#include "runner.h"
#include "say.h"

#define MAX_WORDS	16
/* A pool of as many blocks as are used, as in the crate's own benchmark. */
#define POOL_OF_N	0

struct words {
	const char *word[MAX_WORDS];
	size_t count;
};

struct options {
	const char *way;
	const char *ours;
	const char *peer;
	const char *backend;
	const char *slow;
	bool no_tracker;
	struct words groups;
	struct words policies;
	uint32_t sizes[MAX_WORDS];
	size_t nr_sizes;
	uint32_t pools[MAX_WORDS];
	size_t nr_pools;
	struct runner runner;
};

enum {
	OPT_WAY = 0x100, OPT_OURS, OPT_PEER, OPT_BACKEND, OPT_SLOW, OPT_SAMPLE_US,
	OPT_NO_TRACKER,
};

static const struct argp_option argp_options[] = {
	{ "way", OPT_WAY, "NAME", 0, "what the rows are called (default native)", 0 },
	{ "ours", OPT_OURS, "FILE", 0, "kvbm-ours", 0 },
	{ "peer", OPT_PEER, "FILE", 0, "kvbm-peer; without it theirs is null", 0 },
	{ "backend", OPT_BACKEND, "inproc|device", 0, "of ours (default inproc)", 0 },
	{ "slow", OPT_SLOW, "FACTOR", 0, "have ours take so many times as long", 0 },
	{ "no-tracker", OPT_NO_TRACKER, NULL, 0,
	  "the peer without its frequency tracker, which multi-lru needs", 0 },
	{ "groups", 'g', "NAME[,NAME...]", 0, "what to measure", 0 },
	{ "policies", 'p', "NAME[,NAME...]", 0, "default lru", 0 },
	{ "sizes", 'n', "N[,N...]", 0, "blocks per call (default 8,32,128)", 0 },
	{ "pools", 'b', "N[,N...]", 0,
	  "blocks of the pools, powers of two; 0: as many as are used", 0 },
	{ "samples", 's', "N", 0, "of each side (default 31)", 0 },
	{ "sample-us", OPT_SAMPLE_US, "N", 0, "what one takes (default 5000)", 0 },
	{ 0 }
};

/* Words point into @text, which is cut up. */
static int add_words(struct words *words, char *text)
{
	char *save, *word;

	words->count = 0;
	for (word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		if (words->count == MAX_WORDS)
			return -E2BIG;
		words->word[words->count++] = word;
	}
	return words->count ? 0 : -EINVAL;
}

static int add_numbers(uint32_t *numbers, size_t *count, char *text, uint32_t most)
{
	struct words words;
	uint64_t value;
	size_t i;
	int err = add_words(&words, text);

	for (i = 0; i < words.count && !err; i++) {
		err = parse_count(words.word[i], 0, most, &value);
		numbers[i] = value;
		/* Chains are visited by an odd stride. */
		if (!err && value & (value - 1))
			err = -EINVAL;
	}
	*count = words.count;
	return err;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	uint64_t value;
	int err = 0;

	switch (key) {
	case OPT_WAY:
		o->way = arg;
		break;
	case OPT_OURS:
		o->ours = arg;
		break;
	case OPT_PEER:
		o->peer = arg;
		break;
	case OPT_BACKEND:
		o->backend = arg;
		break;
	case OPT_SLOW:
		o->slow = arg;
		break;
	case OPT_NO_TRACKER:
		o->no_tracker = true;
		break;
	case 'g':
		err = add_words(&o->groups, arg);
		break;
	case 'p':
		err = add_words(&o->policies, arg);
		break;
	case 'n':
		err = add_numbers(o->sizes, &o->nr_sizes, arg, 4096);
		break;
	case 'b':
		err = add_numbers(o->pools, &o->nr_pools, arg, KVBM_MAX_BLOCKS);
		break;
	case 's':
		err = parse_count(arg, 1, MAX_SAMPLES, &value);
		o->runner.samples = value;
		break;
	case OPT_SAMPLE_US:
		err = parse_count(arg, 1, 10000000, &value);
		o->runner.sample_ns = value * 1000.;
		break;
	case ARGP_KEY_END:
		if (!o->groups.count || !o->nr_pools)
			argp_error(state, "no --groups or no --pools given");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	if (err)
		argp_error(state, "-%c: not good: %s", key < 128 ? key : '-', arg);
	return 0;
}

static const struct argp argp = {
	.options = argp_options,
	.parser = parse_option,
	.doc = "Measure libkvbm and kvbm-logical in turn, and print a row of JSON for each\n"
	       "combination (Documentation/performance.rst). scripts/bench.sh runs this.\n"
	       "\vExit status: 0; 1 on an error, also when results of the sides differ; 2 for\n"
	       "wrong usage.",
};

static json_t *number_or_null(bool there, double value)
{
	return there ? json_real(value) : json_null();
}

static void print_row(const struct options *o, const struct cell *cell,
		      const struct result *r)
{
	bool both = r->ours.there && r->theirs.there;
	json_t *row = json_object();

	set_word(row, "way", o->way);
	set_word(row, "group", cell->group);
	set_word(row, "policy", cell->policy);
	set_number(row, "n", cell->n);
	set_number(row, "pool", cell->pool);
	json_object_set_new(row, "ours", number_or_null(r->ours.there, r->ours.median));
	json_object_set_new(row, "theirs",
			    number_or_null(r->theirs.there, r->theirs.median));
	json_object_set_new(row, "ratio", number_or_null(both, r->ratio));
	json_object_set_new(row, "spread", json_real(r->spread));
	json_dumpf(row, stdout, JSON_REAL_PRECISION(5));
	putchar('\n');
	fflush(stdout);
	json_decref(row);
}

/* What a side has no use for is not asked for twice. */
static bool makes_sense(const struct options *o, const struct cell *cell, uint32_t pool)
{
	static const char *const of_the_crate[] = {
		"match_blocks_active_hit", "match_blocks_inactive_hit", "bulk_drop",
	};
	bool first = !strcmp(cell->policy, o->policies.word[0]);
	size_t i;

	/* Of held blocks the policy knows nothing; nor does the floor. */
	if (!strcmp(cell->group, of_the_crate[0]) || !strcmp(cell->group, "floor"))
		if (!first)
			return false;
	if (pool != POOL_OF_N)
		return cell->n <= pool;
	for (i = 0; i < sizeof(of_the_crate) / sizeof(*of_the_crate); i++)
		if (!strcmp(cell->group, of_the_crate[i]))
			return true;
	return false;
}

/*
 * Which block multi-level LRU evicts depends on which hashes meet in the frequency
 * sketch, and the two sides' are not the same.
 */
static bool comparable(const struct cell *cell)
{
	static const char *const evicting[] = {
		"allocate_evict", "allocate_stage_register", "decode_step",
	};
	size_t i;

	if (strcmp(cell->policy, "multi-lru"))
		return true;
	for (i = 0; i < sizeof(evicting) / sizeof(*evicting); i++)
		if (!strcmp(cell->group, evicting[i]))
			return false;
	return true;
}

static int run_cell(struct options *o, const struct cell *cell)
{
	struct result *result = malloc(sizeof(*result));
	int err;

	if (!result)
		return say_err(-ENOMEM, "%s", cell->group);
	err = cell_measure(&o->runner, cell, result);
	if (!err && !result->same && comparable(cell))
		err = say_err(-EUCLEAN, "%s, %s, n = %u, %u blocks: the sides' results differ",
			      cell->group, cell->policy, cell->n, cell->pool);
	if (!err)
		print_row(o, cell, result);
	free(result);
	return err > 0 ? 0 : err;
}

static int run_sizes(struct options *o, struct cell cell)
{
	uint32_t pool = cell.pool;
	size_t i;
	int err = 0;

	for (i = 0; i < o->nr_sizes && !err; i++) {
		cell.n = o->sizes[i];
		if (!makes_sense(o, &cell, pool))
			continue;
		cell.pool = pool == POOL_OF_N ? cell.n : pool;
		err = run_cell(o, &cell);
	}
	return err;
}

static int run_policy(struct options *o, const char *policy, uint32_t pool)
{
	struct cell cell = { .policy = policy, .pool = pool };
	size_t i;
	int err = 0;

	for (i = 0; i < o->groups.count && !err; i++) {
		cell.group = o->groups.word[i];
		err = run_sizes(o, cell);
	}
	return err;
}

static int run_all(struct options *o)
{
	size_t pool, policy;
	int err = 0;

	for (pool = 0; pool < o->nr_pools; pool++)
		for (policy = 0; policy < o->policies.count && !err; policy++)
			err = run_policy(o, o->policies.word[policy], o->pools[pool]);
	return err;
}

static int start(struct options *o)
{
	const char *const ours[] = {
		o->ours, "--backend", o->backend, "--slow", o->slow, "bench", NULL,
	};
	const char *const theirs[] = {
		o->peer, "bench", o->no_tracker ? "--no-tracker" : NULL, NULL,
	};
	int err = side_start(&o->runner.ours, "kvbm-ours", ours);

	if (!err && o->peer)
		err = side_start(&o->runner.theirs, "kvbm-peer", theirs);
	return err;
}

int main(int argc, char **argv)
{
	struct options o = {
		.way = "native",
		.ours = "kvbm-ours",
		.backend = "inproc",
		.slow = "1",
		.policies = { { "lru" }, 1 },
		.sizes = { 8, 32, 128 },
		.nr_sizes = 3,
		.runner = { .samples = 31, .sample_ns = 5e6 },
	};
	int err;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	err = start(&o);
	if (!err)
		err = run_all(&o);
	side_stop(&o.runner.ours);
	side_stop(&o.runner.theirs);
	return err ? 1 : 0;
}
