/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * kvbm-bench: two sides, measured in turn.
 */
#ifndef KVBM_BENCH_RUNNER_H
#define KVBM_BENCH_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/**
 * struct side - a program that obeys the orders of ../ours/bench.h
 * @name: for messages
 * @pid: of it; 0 when there is no such side
 * @orders: to it
 * @answers: from it
 * @line: the last answer
 * @room: of @line
 */
struct side {
	const char *name;
	pid_t pid;
	FILE *orders;
	FILE *answers;
	char *line;
	size_t room;
};

/* @argv[0] is the path. 0, or -errno after a message. */
int side_start(struct side *side, const char *name, const char *const argv[]);
void side_stop(struct side *side);

/* 1 when the cell is ready, 0 when there is no such operation, or -errno. */
int side_cell(struct side *side, const char *group, const char *policy, uint32_t n,
	      uint32_t pool);
/* ns per block, and what the whole sample took; or -errno. */
int side_sample(struct side *side, uint64_t iterations, double *per_block, double *ns);
int side_end(struct side *side, uint64_t *digest);

#define MAX_SAMPLES	1001

struct cell {
	const char *group;
	const char *policy;
	uint32_t n;
	uint32_t pool;
};

struct measure {
	bool there;
	double samples[MAX_SAMPLES];
	double low;		/* quartiles */
	double median;
	double high;
};

struct result {
	struct measure ours;
	struct measure theirs;
	double ratio;		/* median of the pairs: theirs / ours */
	double spread;		/* quartiles of the pairs, apart, divided by the ratio */
	bool same;		/* digests, when both are there */
};

struct runner {
	struct side ours;
	struct side theirs;
	uint32_t samples;
	double sample_ns;	/* what a sample should take */
};

/* 0; 1 when neither side has the operation; or -errno after a message. */
int cell_measure(struct runner *runner, const struct cell *cell, struct result *result);

#endif
