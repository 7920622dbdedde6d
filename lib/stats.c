// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Rates over a window of samples.
 */
#include <stdlib.h>
#include <time.h>

#include <kvbm/stats.h>

#define DEFAULT_WINDOW		60
#define DEFAULT_INTERVAL_MS	1000
#define NS_PER_MS		1000000ULL
#define NS_PER_S		1e9

/**
 * struct kvbm_stats - a window
 * @enabled: samples are taken
 * @window_size: room in @samples
 * @interval_ms: of kvbm_stats_tick()
 * @nr: samples taken in all; the last @window_size of them are kept
 * @last: counters that the next sample is compared with
 * @last_ns: when they were read
 * @samples: a ring; sample n is at n % @window_size
 */
struct kvbm_stats {
	bool enabled;
	uint32_t window_size;
	uint32_t interval_ms;
	uint64_t nr;
	struct kvbm_counters last;
	uint64_t last_ns;
	struct kvbm_stats_sample samples[];
};

struct kvbm_stats *kvbm_stats_new(const struct kvbm_stats_config *config)
{
	static const struct kvbm_stats_config defaults;
	const struct kvbm_stats_config *c = config ? config : &defaults;
	uint32_t window = c->window_size ? c->window_size : DEFAULT_WINDOW;
	struct kvbm_stats *stats;

	stats = calloc(1, sizeof(*stats) + (size_t)window * sizeof(stats->samples[0]));
	if (!stats)
		return NULL;
	stats->window_size = window;
	stats->interval_ms = c->interval_ms ? c->interval_ms : DEFAULT_INTERVAL_MS;
	return stats;
}

void kvbm_stats_free(struct kvbm_stats *stats)
{
	free(stats);
}

void kvbm_stats_enable(struct kvbm_stats *stats, bool enable)
{
	stats->enabled = enable;
}

bool kvbm_stats_is_enabled(const struct kvbm_stats *stats)
{
	return stats->enabled;
}

static const struct kvbm_stats_sample *sample(const struct kvbm_stats *stats,
					      uint64_t number)
{
	return &stats->samples[number % stats->window_size];
}

/* The part of @asked that was @found. */
static double hit_rate(uint64_t found, uint64_t asked)
{
	return asked ? (double)found / asked : 0;
}

/* A manager's counters never fall: then it is another manager. */
static bool is_same_manager(const struct kvbm_counters *now,
			    const struct kvbm_counters *before)
{
	return now->allocations >= before->allocations &&
	       now->evictions >= before->evictions &&
	       now->match_hashes_requested >= before->match_hashes_requested &&
	       now->match_blocks_returned >= before->match_blocks_returned &&
	       now->scan_hashes_requested >= before->scan_hashes_requested &&
	       now->scan_blocks_returned >= before->scan_blocks_returned;
}

/* Rates since the sample before, which was @dt seconds ago. */
static void fill_rates(struct kvbm_stats_sample *s, double dt,
		       const struct kvbm_counters *now,
		       const struct kvbm_counters *before,
		       const struct kvbm_stats_sample *previous)
{
	s->allocation_rate = (now->allocations - before->allocations) / dt;
	s->eviction_rate = (now->evictions - before->evictions) / dt;
	s->match_hit_rate = hit_rate(now->match_blocks_returned -
				     before->match_blocks_returned,
				     now->match_hashes_requested -
				     before->match_hashes_requested);
	s->scan_hit_rate = hit_rate(now->scan_blocks_returned -
				    before->scan_blocks_returned,
				    now->scan_hashes_requested -
				    before->scan_hashes_requested);
	s->allocation_gradient = (s->allocation_rate - previous->allocation_rate) / dt;
	s->eviction_gradient = (s->eviction_rate - previous->eviction_rate) / dt;
}

int kvbm_stats_add(struct kvbm_stats *stats, uint64_t ns,
		   const struct kvbm_counters *counters)
{
	struct kvbm_stats_sample s = {
		.ns = ns,
		.inflight_mutable = counters->inflight_mutable,
		.inflight_immutable = counters->inflight_immutable,
		.reset_pool_size = counters->reset_pool_size,
		.inactive_pool_size = counters->inactive_pool_size,
	};
	bool first;

	if (!stats->enabled)
		return -ENODATA;
	if (stats->nr && ns < stats->last_ns)
		return -EINVAL;
	first = !stats->nr || !is_same_manager(counters, &stats->last);
	if (!first && ns > stats->last_ns)
		fill_rates(&s, (ns - stats->last_ns) / NS_PER_S, counters, &stats->last,
			   sample(stats, stats->nr - 1));
	/* At one time, nothing is compared: the next sample has it all. */
	if (first || ns > stats->last_ns) {
		stats->last = *counters;
		stats->last_ns = ns;
	}
	stats->samples[stats->nr++ % stats->window_size] = s;
	return 0;
}

int kvbm_stats_tick(struct kvbm_stats *stats, struct kvbm *kvbm, uint64_t manager)
{
	uint64_t interval_ns = stats->interval_ms * NS_PER_MS, now_ns;
	struct kvbm_counters counters;
	struct timespec now;
	int err;

	if (!stats->enabled)
		return -ENODATA;
	clock_gettime(CLOCK_MONOTONIC, &now);
	now_ns = now.tv_sec * 1000000000ULL + now.tv_nsec;
	if (!stats->nr || now_ns - stats->last_ns >= interval_ns) {
		err = kvbm_manager_counters(kvbm, manager, &counters);
		if (!err)
			err = kvbm_stats_add(stats, now_ns, &counters);
		if (err)
			return err;
	}
	return (stats->last_ns + interval_ns - now_ns) / NS_PER_MS + 1;
}

int kvbm_stats_latest(const struct kvbm_stats *stats, struct kvbm_stats_sample *out)
{
	if (!stats->nr)
		return -ENODATA;
	*out = *sample(stats, stats->nr - 1);
	return 0;
}

size_t kvbm_stats_window(const struct kvbm_stats *stats, size_t n,
			 struct kvbm_stats_sample *out)
{
	uint64_t kept = stats->nr < stats->window_size ? stats->nr : stats->window_size;
	size_t i;

	if (n > kept)
		n = kept;
	for (i = 0; i < n; i++)
		out[i] = *sample(stats, stats->nr - n + i);
	return n;
}
