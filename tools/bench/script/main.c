// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * kvbm-script: a random script of operations, to stdout. One seed and one set of
 * options give one script, everywhere.
 */
#include <argp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mix.h"
#include "ops.h"
#include "parse.h"
#include "say.h"
#include "tree.h"

struct options {
	uint64_t ops;
	uint64_t seed;
	const char *policy;
	const char *duplicates;
	uint64_t chain;
	bool no_weak;		/* weak blocks keep the peer's frequencies alive */
	bool sorted_drain;	/* the peer drains in no certain order */
	bool tracked;		/* what is told apart by frequency */
};

static const struct argp_option argp_options[] = {
	{ "ops", 'n', "N", 0, "operations (default 1M); " PARSE_SUFFIXES, 0 },
	{ "seed", 's', "N", 0, "default 1", 0 },
	{ "policy", 'p', "NAME", 0, "default lru", 0 },
	{ "duplicates", 'd', "allow|reject", 0, "default allow", 0 },
	{ "chain", 'c', "N", 0, "length of the one long chain (default 300)", 0 },
	{ 0 }
};

/* What is in the pool is not known here: only what kind of numbers make sense. */
struct weight {
	char op;
	unsigned int weight;
};

static const struct weight weights[] = {
	{ OP_REQUEST, 130 },	{ OP_ACQUIRE, 60 },	{ OP_ALLOCATE, 70 },
	{ OP_STAGE, 80 },	{ OP_STAGE_WRONG, 8 },	{ OP_UNSTAGE, 20 },
	{ OP_REGISTER, 90 },	{ OP_FILL, 50 },	{ OP_MATCH, 30 },
	{ OP_MATCH_PATH, 70 },	{ OP_SCATTERED, 40 },	{ OP_SCAN, 40 },
	{ OP_CLONE, 30 },	{ OP_DOWNGRADE, 30 },	{ OP_UPGRADE, 40 },
	{ OP_RESET_FLAG, 25 },	{ OP_DROP_MUTABLE, 25 }, { OP_DROP_STAGED, 15 },
	{ OP_DROP_IMMUTABLE, 90 }, { OP_DROP_WEAK, 15 }, { OP_POP, 50 },
	{ OP_CUT, 30 },		{ OP_LIMIT_MUTABLE, 15 }, { OP_LIMIT_STAGED, 15 },
	{ OP_LIMIT_IMMUTABLE, 50 }, { OP_LIMIT_WEAK, 10 }, { OP_DRAIN, 3 },
	{ OP_PRESENCE, 10 },	{ OP_USE_COUNT, 15 },	{ OP_COUNTERS, 15 },
	{ OP_FREQUENCY, 10 },
};

static const uint32_t pool_sizes[] = { 64, 300, 7, 700, 1, 150 };

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof(*(a)))
/* Operations on one manager, before the next one. */
#define OPS_PER_MANAGER		5000
#define OPS_PER_MANAGER_TRACKED	2000

struct script {
	const struct options *options;
	const struct tree *tree;
	uint64_t random;
	unsigned int sum;
	uint32_t blocks;
	unsigned int managers;
};

/* A random number, at most @high. */
static uint32_t most(struct script *s, uint32_t high)
{
	return random_between(&s->random, 0, high);
}

static bool chance(struct script *s, uint32_t one_of)
{
	return !most(s, one_of - 1);
}

static char random_op(struct script *s)
{
	unsigned int at = most(s, s->sum - 1);
	size_t i;

	for (i = 0; at >= weights[i].weight; i++)
		at -= weights[i].weight;
	return weights[i].op;
}

static void pick(struct script *s)
{
	printf(" %u", most(s, 99999));
}

/* Few nodes are asked for often, so that there are hits; fewer in a small pool. */
static void node(struct script *s)
{
	uint32_t top = s->tree->count - 1, near = 3 * s->blocks + 20;

	if (near < top && !chance(s, 16))
		top = near;
	printf(" %u", chance(s, 4) ? most(s, top) : most(s, most(s, most(s, top))));
}

static void repeat(struct script *s, uint32_t limit, void (*one)(struct script *s))
{
	uint32_t n = chance(s, 8) ? most(s, limit) : 1 + most(s, limit / 3);

	while (n--)
		one(s);
}

static void pick_and_node(struct script *s)
{
	pick(s);
	node(s);
}

/* Mostly a few; at times many, all, or more than there are. */
static uint32_t count_of_blocks(struct script *s)
{
	if (chance(s, 40))
		return most(s, s->blocks + s->blocks / 4);
	if (chance(s, 8))
		return most(s, s->blocks / 3);
	return most(s, 6);
}

static void write_new(struct script *s)
{
	s->blocks = pool_sizes[s->managers++ % ARRAY_SIZE(pool_sizes)];
	printf("%c %u %d\n", OP_NEW, s->blocks, chance(s, 10));
}

static void write_op(struct script *s)
{
	char op = random_op(s);

	if (s->options->no_weak)
		while (op == OP_DOWNGRADE)
			op = random_op(s);
	if (op == OP_FREQUENCY && !s->options->tracked)
		op = OP_COUNTERS;
	if (op == OP_DRAIN && s->options->sorted_drain)
		op = OP_DRAIN_SORTED;
	putchar(op);
	switch (op) {
	case OP_ALLOCATE:
		printf(" %u", count_of_blocks(s));
		break;
	case OP_FILL:
		printf(" %u", chance(s, 2) ? 0 : most(s, 5));
		repeat(s, 12, pick_and_node);
		break;
	case OP_STAGE:
		repeat(s, 12, pick_and_node);
		break;
	case OP_STAGE_WRONG:
		pick_and_node(s);
		break;
	case OP_MATCH:
	case OP_SCATTERED:
	case OP_PRESENCE:
		repeat(s, 24, node);
		break;
	case OP_SCAN:
		printf(" %u", most(s, 1));
		repeat(s, 24, node);
		break;
	case OP_FREQUENCY:
		printf(" %d", chance(s, 4));
		node(s);
		break;
	case OP_MATCH_PATH:
	case OP_REQUEST:
	case OP_ACQUIRE:
		node(s);
		break;
	case OP_RESET_FLAG:
		printf(" %u", most(s, 1));
		repeat(s, 6, pick);
		break;
	case OP_POP:
	case OP_CUT:
		printf(" %u", most(s, 40));
		break;
	case OP_LIMIT_MUTABLE:
	case OP_LIMIT_STAGED:
		printf(" %u", most(s, s->blocks / 8));
		break;
	case OP_LIMIT_IMMUTABLE:
	case OP_LIMIT_WEAK:
		printf(" %u", most(s, s->blocks / 2));
		break;
	case OP_DRAIN:
	case OP_DRAIN_SORTED:
	case OP_COUNTERS:
		break;
	default:
		repeat(s, 12, pick);
	}
	putchar('\n');
}

static void write_ops(struct script *s)
{
	uint32_t per_manager = s->options->tracked ? OPS_PER_MANAGER_TRACKED :
						     OPS_PER_MANAGER;
	uint64_t i;

	for (i = 0; i < ARRAY_SIZE(weights); i++)
		s->sum += weights[i].weight;
	printf("ops %llu\n", (unsigned long long)s->options->ops);
	for (i = 0; i < s->options->ops; i++) {
		if (i % per_manager == 0)
			write_new(s);
		else
			write_op(s);
	}
}

static void write_script(struct script *s)
{
	const struct options *o = s->options;
	uint32_t i;

	printf(SCRIPT_MAGIC "\npolicy %s\nduplicates %s\nnodes %u\n", o->policy,
	       o->duplicates, s->tree->count);
	for (i = 0; i < s->tree->count; i++)
		printf("%llx %d\n", (unsigned long long)s->tree->nodes[i].current,
		       s->tree->nodes[i].parent);
	write_ops(s);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'n':
		if (parse_count(arg, 1, 1ULL << 32, &o->ops))
			argp_error(state, "--ops=%s: not a number of 1 to 2^32", arg);
		return 0;
	case 's':
		if (parse_count(arg, 0, UINT64_MAX, &o->seed))
			argp_error(state, "--seed=%s: not a number", arg);
		return 0;
	case 'c':
		if (parse_count(arg, 0, 100000, &o->chain))
			argp_error(state, "--chain=%s: not a number of 0 to 100000", arg);
		return 0;
	case 'p':
		o->policy = arg;
		return 0;
	case 'd':
		if (strcmp(arg, "allow") && strcmp(arg, "reject"))
			argp_error(state, "--duplicates=%s: neither allow nor reject", arg);
		o->duplicates = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = argp_options,
	.parser = parse_option,
	.doc = "Write a random script of operations on blocks (tools/bench/script/ops.h).",
};

int main(int argc, char **argv)
{
	struct options o = {
		.ops = 1000000, .seed = 1, .policy = "lru", .duplicates = "allow",
		.chain = 300,
	};
	struct tree tree;
	uint32_t nodes;
	struct script script = { .options = &o, .tree = &tree };

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	o.tracked = !strcmp(o.policy, "multi-lru");
	o.no_weak = o.tracked;
	o.sorted_drain = !strcmp(o.policy, "fifo");
	script.random = mix64(o.seed);
	nodes = (o.tracked ? 100 : 900) + o.chain;
	if (!tree_grow(&tree, nodes, o.chain, o.tracked, &script.random))
		return 1;
	write_script(&script);
	free(tree.nodes);
	if (fflush(stdout) || ferror(stdout)) {
		say("cannot write");
		return 1;
	}
	return 0;
}
