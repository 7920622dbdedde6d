/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * kvbmctl top: what it looks at, and the screen that shows it.
 */
#ifndef KVBMCTL_TOP_H
#define KVBMCTL_TOP_H

#include <stdbool.h>
#include <stddef.h>

#include <kvbm/stats.h>

#include "ctl.h"

/**
 * struct top_manager - one manager, over time
 * @name: in full
 * @seen: by the last look
 * @query: what it is
 * @counters: as of the last look
 * @stats: rates
 * @now: the last of them
 * @sessions: who has bound
 * @nr_sessions: how many
 */
struct top_manager {
	char name[2 * KVBM_NAME_SIZE];
	bool seen;
	struct kvbm_manager_query query;
	struct kvbm_counters counters;
	struct kvbm_stats *stats;
	struct kvbm_stats_sample now;
	struct kvbm_session_info *sessions;
	size_t nr_sessions;
};

/**
 * struct top - all that is shown
 * @managers: those that may be read
 * @nr: how many
 * @unreadable: how many are left out
 * @now_ns: of the last look
 */
struct top {
	struct top_manager *managers;
	size_t nr;
	size_t unreadable;
	uint64_t now_ns;
};

/* Blocks in use: all that could not be allocated. */
static inline uint64_t top_in_use(const struct top_manager *m)
{
	const __u64 *states = m->counters.states;

	return states[KVBM_STATE_MUTABLE] + states[KVBM_STATE_STAGED] +
	       states[KVBM_STATE_PRIMARY] + states[KVBM_STATE_DUPLICATE];
}

/* Of the watched evictions, the part that was regretted; 0 without any. */
static inline double top_regret(const struct top_manager *m)
{
	const struct kvbm_counters *c = &m->counters;

	return c->regret_evictions ? (double)c->regrets / c->regret_evictions : 0;
}

/* How long the block that is held longest has been held. */
uint64_t top_oldest_ns(const struct top *top, const struct top_manager *m);

/* screen.c */

/* false: this is no terminal for that. */
bool screen_begin(void);
void screen_end(void);
void screen_draw(const struct top *top, unsigned int interval_s);
/* Until a key or so many milliseconds; false to end. */
bool screen_wait(int ms);

#endif
