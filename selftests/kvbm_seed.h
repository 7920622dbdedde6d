/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What all tests share that make random calls: where the numbers begin, and for how
 * long.
 */
#ifndef KVBM_SEED_H
#define KVBM_SEED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "kselftest.h"
#include "kvbm_long.h"

/* SEED, or any; said, so that it can be given. */
static inline uint64_t say_seed(void)
{
	uint64_t seed;

	if (getenv("SEED"))
		seed = strtoull(getenv("SEED"), NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = time(NULL);
	seed &= 0xffffffff;
	ksft_print_msg("SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	return seed;
}

/* How long a random test takes. */
static inline unsigned int run_seconds(void)
{
	if (getenv("RUN_SECONDS"))
		return atoi(getenv("RUN_SECONDS"));
	return (sizeof(long) == 4 ? 3 : 5) * kvbm_long();
}

#endif /* KVBM_SEED_H */
