/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * kvbm-run: several processes serve requests from one pool of blocks in the
 * kernel; one of them is killed on the way.
 */
#ifndef KVBM_RUN_H
#define KVBM_RUN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include <kvbm/kvbm.h>

#include "scratch.h"
#include "workload.h"

/* What a worker tells the parent; written by nobody else. */
struct slot {
	atomic_ullong served;	/* requests that came to their end */
	atomic_ullong refused;	/* longer than the pool */
	atomic_ullong preemptions;
	atomic_ullong waits;		/* admissions put off for lack of blocks */
	atomic_uint running;	/* requests */
};

/* What the kernel took back from the worker that was killed. */
struct kill_report {
	bool done;
	uint32_t worker;
	pid_t pid;
	uint32_t running;
	uint64_t kill_ns;		/* CLOCK_MONOTONIC, just before kill(2) */
	struct kvbm_counters before;
	struct kvbm_counters after;
};

/* What the successor of an engine that was killed found. */
struct takeover_report {
	bool done;
	unsigned long long served;	/* by the one that was killed */
	unsigned long long verified;	/* blocks that it had registered */
	unsigned long long torn;	/* of those, with other bytes than they should have */
	double warm_rate;
	double cold_rate;		/* of the same requests with an empty cache */
};

struct run {
	/* options */
	const char *device;
	const char *trace;
	uint32_t nr_requests;		/* 0: all of the trace */
	uint32_t nr_workers;
	uint32_t nr_blocks;
	uint32_t running;		/* requests at a time, of each worker */
	uint64_t seed;
	bool json;
	bool rewrite;			/* progress is one line, written over */
	bool progress;

	struct workload workload;
	struct scratch scratch;
	struct slot *slots;		/* shared memory */
	atomic_uchar *finished;		/* shared memory, one per request */
	pid_t *pids;			/* 0: ended */
	struct kill_report killed;
	struct takeover_report takeover;
	uint64_t start_ns;
	uint64_t end_ns;
};

/* All: 0, or -errno after a message. */

/* worker.c: in a process of its own; its exit status. */
int worker_main(const struct run *run, uint32_t index);

/* supervise.c: start the workers, kill one, wait for all. */
int supervise(struct run *run);
int start_worker(struct run *run, uint32_t index);

/* kill.c */
bool kill_is_due(const struct run *run);
int kill_worker(struct run *run);

/* takeover.c */
int take_over(struct run *run);

/* progress.c */
uint64_t now_ns(void);
unsigned long long requests_done(const struct run *run);
void progress_tick(struct run *run);
void progress_end(struct run *run);

/* report.c: print what happened; an error also if it is not what it should be. */
int report(struct run *run);

#endif
