// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <stdlib.h>
#include <time.h>

#include "sessions.h"

/* Asked for at a time. */
#define STEP	256

ssize_t sessions_of(struct kvbm *kvbm, uint64_t manager,
		    struct kvbm_session_info **out)
{
	struct kvbm_session_info *all = NULL, *more;
	uint64_t after = 0;
	ssize_t total = 0, n;

	do {
		more = reallocarray(all, total + STEP, sizeof(*more));
		n = more ? kvbm_manager_sessions(kvbm, manager, after, STEP,
						 more + total) : -ENOMEM;
		if (more)
			all = more;
		if (n < 0) {
			free(all);
			return n;
		}
		total += n;
		if (n)
			after = all[total - 1].id;
	} while (n == STEP);
	*out = all;
	return total;
}

uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

uint64_t oldest_age_ns(const struct kvbm_session_info *session, uint64_t now_ns)
{
	return session->oldest_ns && session->oldest_ns < now_ns ?
	       now_ns - session->oldest_ns : 0;
}
