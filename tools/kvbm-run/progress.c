// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * How far it is: one line that is written over on a terminal, a line now and
 * then elsewhere.
 */
#include <stdio.h>
#include <time.h>

#include "run.h"

#define REWRITE_NS	200000000ULL
#define LINE_NS		3000000000ULL

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

unsigned long long requests_done(const struct run *run)
{
	unsigned long long sum = 0;
	uint32_t i;

	for (i = 0; i < run->nr_workers; i++)
		sum += atomic_load_explicit(&run->slots[i].served,
					    memory_order_relaxed);
	return sum;
}

static void print_line(struct run *run)
{
	struct kvbm_counters c;
	double rate = 0;

	if (kvbm_manager_counters(run->scratch.kvbm, run->scratch.manager, &c))
		return;
	if (c.match_hashes_requested)
		rate = (double)c.match_blocks_returned / c.match_hashes_requested;
	fprintf(stderr,
		"%s%llu of %zu requests, hit rate %.4f, %llu evictions%s",
		run->rewrite ? "\r\033[K" : "", requests_done(run), run->workload.nr,
		rate, (unsigned long long)c.evictions, run->rewrite ? "" : "\n");
}

void progress_tick(struct run *run)
{
	static uint64_t last;
	uint64_t now = now_ns();

	if (!last)
		last = run->start_ns;
	if (!run->progress || now - last < (run->rewrite ? REWRITE_NS : LINE_NS))
		return;
	last = now;
	print_line(run);
}

void progress_end(struct run *run)
{
	if (run->progress && run->rewrite)
		fputs("\r\033[K", stderr);
}
