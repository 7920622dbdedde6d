/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * All sessions of a manager.
 */
#ifndef KVBM_TOOLS_SESSIONS_H
#define KVBM_TOOLS_SESSIONS_H

#include <kvbm/kvbm.h>

/* In memory to be free()d; how many, or -errno. */
ssize_t sessions_of(struct kvbm *kvbm, uint64_t manager,
		    struct kvbm_session_info **out);

/* CLOCK_MONOTONIC */
uint64_t monotonic_ns(void);

/* Since when it has held the block that it has held longest, as an age. */
uint64_t oldest_age_ns(const struct kvbm_session_info *session, uint64_t now_ns);

#endif
