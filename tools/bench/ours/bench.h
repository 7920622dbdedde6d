/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * One measurement at a time, by orders on stdin:
 *
 *	cell GROUP POLICY N POOL	"ready", or "none" and why: no such operation
 *	sample ITERATIONS		"ns TIME blocks COUNT"
 *	end				"digest HEX": of all results of the cell
 *
 * kvbm-peer obeys the same orders.
 */
#ifndef KVBM_BENCH_OURS_BENCH_H
#define KVBM_BENCH_OURS_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include <kvbm/kvbm.h>

#include "mix.h"

/* Blocks that are prepared for between two looks at the clock. */
#define BATCH_BLOCKS	32768U
/*
 * Blocks that are held between two looks. If there were many more, what the
 * crate's allocator does with the memory of all at once would be measured.
 */
#define HELD_BLOCKS	4096U
/* Blocks registered in one call while a pool is filled. */
#define FILL_BLOCKS	4096U
/* Chains from here on are in no pool. */
#define ABSENT_CHAIN	(1ULL << 40)

/**
 * struct bench - one cell and what its group needs
 * @kvbm: connection
 * @uri: of it
 * @slow: how many times the real time is taken, to check the comparison
 * @group: what is measured
 * @policy: KVBM_POLICY_*
 * @n: blocks per call
 * @pool: blocks of the manager; a power of two
 * @chains: of @n blocks each that fill the pool
 * @registry: id; 0 when there is no cell
 * @manager: id
 * @session: of the manager
 * @turn: counts calls, over all samples
 * @fresh: first chain that was in no pool yet
 * @hashes: BATCH_BLOCKS of them: what the timed calls are given
 * @mutables: room for guards, BATCH_BLOCKS each
 * @immutables: same
 * @held: guards that are kept for the whole cell, or NULL
 * @nr_held: how many
 * @state: of the group
 * @digest: of the results so far
 * @started: of the clock
 * @ns: time taken in this sample
 * @blocks: blocks handled in that time
 */
struct bench {
	struct kvbm *kvbm;
	const char *uri;
	double slow;
	const struct group *group;
	uint32_t policy;
	uint32_t n;
	uint32_t pool;
	uint32_t chains;
	uint64_t registry;
	uint64_t manager;
	struct kvbm_session *session;
	uint64_t turn;
	uint64_t fresh;
	struct kvbm_hash *hashes;
	struct kvbm_mutable *mutables;
	struct kvbm_immutable *immutables;
	struct kvbm_immutable *held;
	uint32_t nr_held;
	void *state;
	uint64_t digest;
	uint64_t started;
	uint64_t ns;
	uint64_t blocks;
};

/**
 * struct group - something to measure
 * @name: of it
 * @begin: fill the pool and whatever else; 0 or -errno
 * @batch: up to so many of its iterations, timed by clock_start() and
 *	clock_stop(); how many it did, or -errno
 * @end: free @state; may be NULL
 */
struct group {
	const char *name;
	int (*begin)(struct bench *b);
	ssize_t (*batch)(struct bench *b, uint64_t iterations);
	void (*end)(struct bench *b);
};

extern const struct group groups[], threaded_groups[], decode_group, floor_group;

uint64_t clock_ns(void);
void clock_start(struct bench *b);
void clock_stop(struct bench *b, uint64_t blocks);

static inline void digest_add(struct bench *b, uint64_t value)
{
	b->digest = mix64(b->digest ^ value);
}

/* Position @k of chain @c; the chains have nothing in common. */
void chain_hash(uint64_t c, uint32_t k, struct kvbm_hash *out);
void chain_hashes(uint64_t c, uint32_t n, struct kvbm_hash *out);
/* The chain of a turn: each one once, then again, in a scattered order. */
uint64_t chain_of_turn(const struct bench *b, uint64_t turn);

/* Fill the pool with @chains; with @hold the guards are kept. */
int fill_with_chains(struct bench *b, bool hold);
/* Allocate, stage and register @n blocks for @hashes, as few calls as can be. */
int make_blocks(struct bench *b, uint32_t n, const struct kvbm_hash *hashes,
		struct kvbm_immutable *out);

int bench_main(const char *uri, double slow);

#endif
