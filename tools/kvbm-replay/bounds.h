/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What no policy can do better on a workload.
 */
#ifndef KVBM_REPLAY_BOUNDS_H
#define KVBM_REPLAY_BOUNDS_H

#include <stdbool.h>
#include <stdint.h>

#include "workload.h"

struct bounds;

/* NULL without memory, after a message. The workload stays with the caller. */
struct bounds *bounds_new(const struct workload *workload);
void bounds_free(struct bounds *bounds);

/*
 * Blocks that a cache of @blocks that knows the future finds; with UINT64_MAX,
 * a cache without end.
 */
unsigned long long bounds_hits(struct bounds *bounds, uint64_t blocks);

#endif
