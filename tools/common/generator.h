/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * A made-up load: many multi-turn conversations at once, under a few system
 * prompts of which some are more popular than others. The prompt of a turn is
 * all that was said before and the new words of the user.
 */
#ifndef KVBM_TOOLS_GENERATOR_H
#define KVBM_TOOLS_GENERATOR_H

#include "workload.h"

#define GENERATOR_BLOCK_SIZE	16

/*
 * @requests of a load in the order in which they come; the same for the same
 * @seed. 0 or -ENOMEM; @workload is initialised either way.
 */
int generate(struct workload *workload, size_t requests, uint64_t seed);

#endif
