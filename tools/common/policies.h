/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Eviction policies by the names of the library, as far as they are built.
 */
#ifndef KVBM_TOOLS_POLICIES_H
#define KVBM_TOOLS_POLICIES_H

#include <stdint.h>

struct kvbm;

/*
 * KVBM_POLICY_* of @name; or -errno, after a message with the names of those
 * that @kvbm has.
 */
int policy_lookup(struct kvbm *kvbm, const char *name);

/* "lru, fifo"; in memory to be free()d, NULL without memory. */
char *policy_names(uint64_t built);

#endif
