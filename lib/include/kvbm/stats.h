/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Rates over a window: what the counters of a manager did lately.
 *
 *	struct kvbm_stats *stats = kvbm_stats_new(NULL);
 *
 *	kvbm_stats_enable(stats, true);
 *	for (;;) {
 *		ms = kvbm_stats_tick(stats, kvbm, manager);
 *		if (!kvbm_stats_latest(stats, &now))
 *			printf("%.0f %% hits\n", 100 * now.match_hit_rate);
 *		poll(..., ms);
 *	}
 *
 * There is no thread in it: whoever wants samples takes them. A struct kvbm_stats
 * is for one thread at a time.
 */
#ifndef KVBM_STATS_H
#define KVBM_STATS_H

#include <kvbm/kvbm.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/**
 * struct kvbm_stats_config - how much to remember, and how often to look
 * @window_size: samples that are kept; 0 means 60
 * @interval_ms: of kvbm_stats_tick(); 0 means 1000
 */
struct kvbm_stats_config {
	uint32_t window_size;
	uint32_t interval_ms;
};

/**
 * struct kvbm_stats_sample - one look at a manager
 * @ns: when, CLOCK_MONOTONIC
 * @allocation_rate: blocks allocated per second, since the sample before
 * @eviction_rate: blocks evicted per second
 * @match_hit_rate: of the hashes that were matched, the part that was there, 0 to
 *	1; 0 when none was asked for
 * @scan_hit_rate: the same of scans
 * @allocation_gradient: change of @allocation_rate, per second
 * @eviction_gradient: change of @eviction_rate, per second
 * @inflight_mutable: as in struct kvbm_counters
 * @inflight_immutable: same
 * @reset_pool_size: same
 * @inactive_pool_size: same
 *
 * In the first sample all rates and gradients are 0, and in one that was taken at
 * the same time as the one before.
 */
struct kvbm_stats_sample {
	uint64_t ns;
	double allocation_rate;
	double eviction_rate;
	double match_hit_rate;
	double scan_hit_rate;
	double allocation_gradient;
	double eviction_gradient;
	uint64_t inflight_mutable;
	uint64_t inflight_immutable;
	uint64_t reset_pool_size;
	uint64_t inactive_pool_size;
};

struct kvbm_stats;

/* @config may be NULL. Disabled until it is enabled. NULL: no memory. */
struct kvbm_stats *kvbm_stats_new(const struct kvbm_stats_config *config);
/* NULL is allowed. */
void kvbm_stats_free(struct kvbm_stats *stats);

/* What was sampled before stays; the next sample is compared with the last one. */
void kvbm_stats_enable(struct kvbm_stats *stats, bool enable);
bool kvbm_stats_is_enabled(const struct kvbm_stats *stats);

/**
 * kvbm_stats_add - take counters as the next sample
 * @stats: the window
 * @ns: when they were read; samples come in the order of time
 * @counters: of the manager
 *
 * Counters that are smaller than before are those of another manager: the sample
 * is a first one.
 *
 * Return: 0; -ENODATA when @stats is disabled, and nothing was done; -EINVAL when
 * @ns is before the last sample.
 */
int kvbm_stats_add(struct kvbm_stats *stats, uint64_t ns,
		   const struct kvbm_counters *counters);

/**
 * kvbm_stats_tick - take a sample when it is time
 * @stats: the window; the first tick is at once
 * @kvbm: connection
 * @manager: id
 *
 * Return: milliseconds until the next sample is due, 1 at least; or -errno:
 * -ENODATA when @stats is disabled, others as kvbm_manager_counters().
 */
int kvbm_stats_tick(struct kvbm_stats *stats, struct kvbm *kvbm, uint64_t manager);

/* The last sample; -ENODATA when there is none. */
int kvbm_stats_latest(const struct kvbm_stats *stats, struct kvbm_stats_sample *out);
/* The last @n samples, the oldest first; as many as there are. */
size_t kvbm_stats_window(const struct kvbm_stats *stats, size_t n,
			 struct kvbm_stats_sample *out);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KVBM_STATS_H */
