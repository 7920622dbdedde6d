// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"
#include "connect.h"
#include "ops.h"
#include "say.h"

uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

void clock_start(struct bench *b)
{
	b->started = clock_ns();
}

void clock_stop(struct bench *b, uint64_t blocks)
{
	uint64_t now = clock_ns(), end = b->started + (now - b->started) * b->slow;

	while (now < end)
		now = clock_ns();
	b->ns += now - b->started;
	b->blocks += blocks;
}

void chain_hash(uint64_t c, uint32_t k, struct kvbm_hash *out)
{
	kvbm_plh(mix64(c << 16 | k), k ? mix64(c << 16 | (k - 1)) : 0, k, out);
}

void chain_hashes(uint64_t c, uint32_t n, struct kvbm_hash *out)
{
	uint32_t k;

	for (k = 0; k < n; k++)
		chain_hash(c, k, &out[k]);
}

uint64_t chain_of_turn(const struct bench *b, uint64_t turn)
{
	/* Odd, so that it visits all of a power of two. */
	return turn * 0x9e3779b1 % b->chains;
}

int make_blocks(struct bench *b, uint32_t n, const struct kvbm_hash *hashes,
		struct kvbm_immutable *out)
{
	int err = kvbm_allocate(b->session, n, b->mutables, NULL, NULL);

	if (err)
		return err;
	return kvbm_stage_register(b->session, n, b->mutables, hashes,
				   SCRIPT_BLOCK_SIZE, out, NULL, NULL);
}

int fill_with_chains(struct bench *b, bool hold)
{
	uint32_t each = b->n < FILL_BLOCKS ? FILL_BLOCKS / b->n : 1, c, i, n;
	struct kvbm_immutable *out = b->immutables;
	int err;

	if (hold) {
		b->held = calloc(b->pool, sizeof(*b->held));
		if (!b->held)
			return -ENOMEM;
	}
	for (c = 0; c < b->chains; c += n) {
		n = b->chains - c < each ? b->chains - c : each;
		for (i = 0; i < n; i++)
			chain_hashes(c + i, b->n, b->hashes + i * b->n);
		if (hold)
			out = b->held + c * b->n;
		err = make_blocks(b, n * b->n, b->hashes, out);
		if (!err && !hold)
			err = kvbm_release(b->session, n * b->n, out);
		if (err)
			return err;
	}
	b->nr_held = hold ? b->chains * b->n : 0;
	b->fresh = b->chains;
	return 0;
}

static const struct group *find_group(const char *name)
{
	const struct group *g;

	for (g = groups; g->name; g++)
		if (!strcmp(g->name, name))
			return g;
	for (g = threaded_groups; g->name; g++)
		if (!strcmp(g->name, name))
			return g;
	if (!strcmp(decode_group.name, name))
		return &decode_group;
	if (!strcmp(floor_group.name, name))
		return &floor_group;
	return NULL;
}

static int create(struct bench *b)
{
	struct kvbm_registry_create registry;
	struct kvbm_manager_create manager;
	int err;

	kvbm_registry_attr_init(&registry, "bench");
	registry.capacity = b->pool;
	/* As many as the peer's, whose policies all have one. */
	if (b->policy == KVBM_POLICY_MULTI_LRU)
		registry.sketch_capacity = 1 << 21;
	err = kvbm_create_registry(b->kvbm, &registry, &b->registry);
	if (err)
		return err;
	kvbm_manager_attr_init(&manager, b->registry, "g1", b->pool);
	manager.block_size = SCRIPT_BLOCK_SIZE;
	manager.policy = b->policy;
	err = kvbm_create_manager(b->kvbm, &manager, &b->manager);
	if (!err)
		err = kvbm_bind(b->kvbm, b->manager, 0, &b->session);
	return err;
}

static void end_cell(struct bench *b)
{
	if (b->group && b->group->end)
		b->group->end(b);
	b->group = NULL;
	b->state = NULL;
	free(b->held);
	b->held = NULL;
	b->nr_held = 0;
	kvbm_session_close(b->session);
	b->session = NULL;
	if (b->manager)
		kvbm_destroy_manager(b->kvbm, b->manager, true);
	if (b->registry)
		kvbm_destroy_registry(b->kvbm, b->registry);
	b->manager = 0;
	b->registry = 0;
}

/* Counters that both sides have. */
static int digest_counters(struct bench *b)
{
	struct kvbm_counters c;
	int err;

	if (!b->session)
		return 0;
	err = kvbm_session_counters(b->session, &c);
	if (err)
		return err;
	digest_add(b, c.allocations);
	digest_add(b, c.evictions);
	digest_add(b, c.registrations);
	digest_add(b, c.match_hashes_requested);
	digest_add(b, c.match_blocks_returned);
	digest_add(b, c.scan_blocks_returned);
	digest_add(b, c.inflight_immutable);
	digest_add(b, c.inactive_pool_size);
	return 0;
}

static void order_cell(struct bench *b, const char *arguments)
{
	char group[64], policy[64];
	int err, number;

	end_cell(b);
	if (sscanf(arguments, "%63s %63s %u %u", group, policy, &b->n, &b->pool) != 4) {
		printf("none bad order\n");
		return;
	}
	b->group = find_group(group);
	number = kvbm_policy_from_name(policy);
	if (!b->group || number < 0 || !b->n || b->n > b->pool || b->n > FILL_BLOCKS) {
		b->group = NULL;
		printf("none no such group or policy\n");
		return;
	}
	b->policy = number;
	b->chains = b->pool / b->n;
	b->turn = 0;
	b->digest = 0;
	b->ns = 0;
	err = b->group == &floor_group ? 0 : create(b);
	if (!err)
		err = b->group->begin(b);
	if (err) {
		printf("none %s\n", kvbm_strerror(err));
		end_cell(b);
	} else {
		printf("ready\n");
	}
}

static int order_sample(struct bench *b, const char *arguments)
{
	uint64_t iterations = strtoull(arguments, NULL, 10);
	ssize_t did;

	if (!b->group)
		return say_err(-EINVAL, "sample: no cell");
	b->ns = 0;
	b->blocks = 0;
	while (iterations) {
		did = b->group->batch(b, iterations);
		if (did <= 0)
			return say_err(did ? did : -EBADE, "%s", b->group->name);
		iterations -= did;
	}
	printf("ns %llu blocks %llu\n", (unsigned long long)b->ns,
	       (unsigned long long)b->blocks);
	return 0;
}

static int obey(struct bench *b)
{
	char *line = NULL, *arguments;
	size_t room = 0;
	int err = 0;

	while (!err && getline(&line, &room, stdin) > 0) {
		line[strcspn(line, "\n")] = 0;
		arguments = line + strcspn(line, " ");
		if (!strncmp(line, "cell ", 5)) {
			order_cell(b, arguments);
		} else if (!strncmp(line, "sample ", 7)) {
			err = order_sample(b, arguments);
		} else if (!strcmp(line, "end")) {
			err = digest_counters(b);
			printf("digest %016llx\n", (unsigned long long)b->digest);
			end_cell(b);
		} else {
			err = say_err(-EINVAL, "order: %s", line);
		}
		fflush(stdout);
	}
	end_cell(b);
	free(line);
	return err;
}

int bench_main(const char *uri, double slow)
{
	struct bench b = { .uri = uri, .slow = slow };
	int err = connect_to(uri, &b.kvbm);

	if (err)
		return err;
	b.hashes = calloc(BATCH_BLOCKS, sizeof(*b.hashes));
	b.mutables = calloc(BATCH_BLOCKS, sizeof(*b.mutables));
	b.immutables = calloc(BATCH_BLOCKS, sizeof(*b.immutables));
	if (b.hashes && b.mutables && b.immutables)
		err = obey(&b);
	else
		err = say_err(-ENOMEM, "bench");
	free(b.hashes);
	free(b.mutables);
	free(b.immutables);
	kvbm_close(b.kvbm);
	return err;
}
