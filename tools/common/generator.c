// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <errno.h>
#include <stdlib.h>

#include "generator.h"
#include "mix.h"

/* Tokens, turns, seconds. */
enum {
	NR_SYSTEM_PROMPTS = 24,
	SYSTEM_PROMPT_MIN = 256,
	SYSTEM_PROMPT_MAX = 1536,
	USER_MIN = 24,
	USER_MAX = 800,
	ANSWER_MIN = 16,
	ANSWER_MAX = 600,
	TURNS_MAX = 8,
	NR_ACTIVE = 240,	/* conversations at a time */
	THINK_MIN = 2,
	THINK_MAX = 240,
};

struct turn {
	uint32_t prompt;	/* tokens, all before it included */
	uint32_t total;		/* with the answer */
};

struct conversation {
	uint32_t number;
	uint32_t system_prompt;
	uint32_t nr_turns;
	uint32_t done;		/* turns */
	uint64_t due;		/* when the next turn comes */
	const struct kvbm_hash *hashes;
	struct turn turns[TURNS_MAX];
};

struct generator {
	struct workload *workload;
	uint64_t random;
	uint32_t nr_conversations;
	uint32_t system_tokens[NR_SYSTEM_PROMPTS];
	struct conversation active[NR_ACTIVE];
};

/* Mostly small, sometimes up to @high. */
static uint32_t skewed(uint64_t *random, uint32_t low, uint32_t high)
{
	uint32_t shift = random_between(random, 0, 3);

	return low + (random_between(random, 0, high - low) >> shift);
}

/* The n-th is asked for 1/n times as often as the first. */
static uint32_t choose_system_prompt(uint64_t *random)
{
	const uint32_t unit = 1 << 20;
	uint32_t sum = 0, point, i;

	for (i = 0; i < NR_SYSTEM_PROMPTS; i++)
		sum += unit / (i + 1);
	point = random_between(random, 0, sum - 1);
	for (i = 0; point >= unit / (i + 1); i++)
		point -= unit / (i + 1);
	return i;
}

static void plan_turns(struct generator *g, struct conversation *c)
{
	uint32_t tokens = g->system_tokens[c->system_prompt], i;

	c->nr_turns = random_between(&g->random, 1, TURNS_MAX);
	c->done = 0;
	for (i = 0; i < c->nr_turns; i++) {
		tokens += skewed(&g->random, USER_MIN, USER_MAX);
		c->turns[i].prompt = tokens;
		tokens += skewed(&g->random, ANSWER_MIN, ANSWER_MAX);
		c->turns[i].total = tokens;
	}
}

/* Blocks of the system prompt are those of all who have it. */
static int make_hashes(struct generator *g, struct conversation *c)
{
	uint32_t shared = g->system_tokens[c->system_prompt] / GENERATOR_BLOCK_SIZE;
	uint32_t count = c->turns[c->nr_turns - 1].total / GENERATOR_BLOCK_SIZE;
	uint64_t seed = random64(&g->random), *ids;
	struct kvbm_hash *hashes;
	uint32_t i;
	int err;

	hashes = workload_hashes(g->workload, count);
	ids = calloc(count, sizeof(*ids));
	if (!hashes || !ids) {
		err = -ENOMEM;
		goto out;
	}
	for (i = 0; i < count; i++)
		ids[i] = i < shared ? mix64(((uint64_t)c->system_prompt << 32) + i) :
				      mix64(seed + i);
	err = hash_chain(ids, count, hashes);
	c->hashes = hashes;
out:
	free(ids);
	return err;
}

static int start_conversation(struct generator *g, struct conversation *c,
			      uint64_t now)
{
	c->number = g->nr_conversations++;
	c->system_prompt = choose_system_prompt(&g->random);
	c->due = now + random_between(&g->random, THINK_MIN, THINK_MAX);
	plan_turns(g, c);
	return make_hashes(g, c);
}

static int start_all(struct generator *g)
{
	uint32_t i;
	int err = 0;

	for (i = 0; i < NR_SYSTEM_PROMPTS; i++)
		g->system_tokens[i] = random_between(&g->random, SYSTEM_PROMPT_MIN,
						     SYSTEM_PROMPT_MAX);
	for (i = 0; !err && i < NR_ACTIVE; i++)
		err = start_conversation(g, &g->active[i], 0);
	return err;
}

static struct conversation *next_due(struct generator *g)
{
	struct conversation *next = g->active;
	uint32_t i;

	for (i = 1; i < NR_ACTIVE; i++)
		if (g->active[i].due < next->due)
			next = &g->active[i];
	return next;
}

/* Only full blocks have a hash. */
static int add_turn(struct generator *g, struct conversation *c)
{
	const struct turn *turn = &c->turns[c->done++];
	struct work work = {
		.hashes = c->hashes,
		.prompt = turn->prompt / GENERATOR_BLOCK_SIZE,
		.total = turn->total / GENERATOR_BLOCK_SIZE,
		.conversation = c->number,
	};

	return workload_add(g->workload, &work);
}

static int next_request(struct generator *g)
{
	struct conversation *c = next_due(g);
	uint64_t now = c->due;
	int err;

	err = add_turn(g, c);
	if (err)
		return err;
	if (c->done == c->nr_turns)
		return start_conversation(g, c, now);
	c->due = now + random_between(&g->random, THINK_MIN, THINK_MAX);
	return 0;
}

int generate(struct workload *workload, size_t requests, uint64_t seed)
{
	struct generator *g;
	int err;

	workload_init(workload, GENERATOR_BLOCK_SIZE);
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->workload = workload;
	g->random = seed;
	err = start_all(g);
	while (!err && workload->nr < requests)
		err = next_request(g);
	free(g);
	return err;
}
