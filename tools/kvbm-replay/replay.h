/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * kvbm-replay: one trace, a table of policies and pool sizes.
 */
#ifndef KVBM_REPLAY_H
#define KVBM_REPLAY_H

#include <stdbool.h>

#include <kvbm/kvbm.h>

#include "request.h"
#include "workload.h"

struct replay {
	struct kvbm *kvbm;
	const char *uri;
	bool in_process;
	bool split;
	bool verbose;
	bool progress;
	uint32_t workers;
	uint64_t sketch;	/* 0: the default */
	struct workload workload;
};

/* One row. */
struct cell {
	uint32_t policy;
	uint32_t blocks;
	struct tally tally;
	double seconds;
	uint64_t digest;
};

/* Both: 0, or -errno after a message. */
int cell_run(const struct replay *replay, struct cell *cell);
int run_workers(const struct replay *replay, uint64_t manager, struct cell *cell);

static inline double hit_rate(const struct tally *tally)
{
	return tally->blocks ? (double)tally->hits / tally->blocks : 0;
}

struct share {
	const struct replay *replay;
	struct kvbm *kvbm;		/* of the worker */
	uint64_t manager;
	uint32_t index;
	struct tally tally;
	uint64_t digest;
	int err;
};

/* Replay requests @index, @index + workers, ...; the result is in the share. */
void share_run(struct share *share);

/* Rows as they come; with JSON, all at the end. */
struct report;
struct grid;
struct report *report_begin(bool json, bool digest);
void report_row(struct report *report, const struct cell *cell);
/* With JSON: the curves of @grid that are no policies. */
void report_bounds(struct report *report, const struct grid *grid);
int report_end(struct report *report);

#endif
