// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * One cell: a registry and a manager of its own, the whole trace, and the
 * store's account of it compared with ours.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "replay.h"
#include "say.h"
#include "scratch.h"

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

struct sum {
	const char *name;
	unsigned long long ours;
	unsigned long long theirs;
};

/* Loud about every difference, not only the first. */
static int compare_sums(const struct cell *cell, const struct sum *sums, size_t count)
{
	size_t i;
	int err = 0;

	for (i = 0; i < count; i++) {
		if (sums[i].ours == sums[i].theirs)
			continue;
		say("%s, %u blocks: %s: %llu counted here, %llu in the statistics",
		    kvbm_policy_name(cell->policy), cell->blocks, sums[i].name,
		    sums[i].ours, sums[i].theirs);
		err = -EUCLEAN;
	}
	return err;
}

static int compare(const struct cell *cell, const struct kvbm_counters *before,
		   const struct kvbm_counters *after)
{
	const struct tally *t = &cell->tally;
	const struct sum sums[] = {
		{ "allocations", t->allocated,
		  after->allocations - before->allocations },
		{ "evictions", t->evicted,
		  after->evictions - before->evictions },
		{ "registrations", t->registered,
		  after->registrations - before->registrations },
		{ "stagings", t->staged,
		  after->stagings - before->stagings },
		{ "match_hashes_requested", t->match_hashes,
		  after->match_hashes_requested - before->match_hashes_requested },
		{ "match_blocks_returned", t->hits,
		  after->match_blocks_returned - before->match_blocks_returned },
		{ "duplicate_blocks", t->duplicates,
		  after->duplicate_blocks - before->duplicate_blocks },
	};

	return compare_sums(cell, sums, sizeof(sums) / sizeof(*sums));
}

static int verify(const struct replay *replay, const struct scratch *scratch,
		  const struct cell *cell)
{
	struct kvbm_check_result result;
	int err;

	err = kvbm_manager_verify(scratch->kvbm, scratch->manager, &result);
	if (err)
		return say_err(err, "%s: check", scratch->name);
	if (result.errors) {
		say("%s, %u blocks: check: %llu errors, the first at block %u: %s",
		    kvbm_policy_name(cell->policy), cell->blocks,
		    (unsigned long long)result.errors, result.first_block,
		    kvbm_check_name(result.first_error));
		return -EUCLEAN;
	}
	if (replay->verbose)
		say("%s, %u blocks: statistics agree; check: %llu blocks, 0 errors (%s)",
		    kvbm_policy_name(cell->policy), cell->blocks,
		    (unsigned long long)result.blocks, result.exact ? "exact" : "not exact");
	return 0;
}

static int counters(const struct scratch *scratch, struct kvbm_counters *out)
{
	int err = kvbm_manager_counters(scratch->kvbm, scratch->manager, out);

	return err ? say_err(err, "%s: statistics", scratch->name) : 0;
}

static int run_in(const struct replay *replay, const struct scratch *scratch,
		  struct cell *cell)
{
	struct kvbm_counters before, after;
	double start;
	int err;

	err = counters(scratch, &before);
	if (err)
		return err;
	start = now();
	err = run_workers(replay, scratch->manager, cell);
	cell->seconds = now() - start;
	if (replay->progress)
		fputs("\r\033[K", stderr);
	if (err)
		return err;
	err = counters(scratch, &after);
	if (!err)
		err = compare(cell, &before, &after);
	if (!err)
		err = verify(replay, scratch, cell);
	return err;
}

int cell_run(const struct replay *replay, struct cell *cell)
{
	struct scratch scratch;
	char registry[KVBM_NAME_SIZE];
	struct scratch_attr attr = {
		.registry = registry,
		.manager = "g1",
		.blocks = cell->blocks,
		.block_size = replay->workload.block_size,
		.policy = cell->policy,
		.sketch = replay->sketch,
	};
	int err, destroyed;

	snprintf(registry, sizeof(registry), "replay-%d", (int)getpid());
	err = scratch_create(&scratch, replay->kvbm, &attr);
	if (err)
		return err;
	err = run_in(replay, &scratch, cell);
	destroyed = scratch_destroy(&scratch);
	return err ? err : destroyed;
}
