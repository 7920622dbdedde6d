/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KVBM_LONG_H
#define KVBM_LONG_H

#include <stdlib.h>

/*
 * KVBM_LONG=N: what a test does at random, or again and again, it does N times as
 * long. Return: N, or 1.
 */
static inline unsigned int kvbm_long(void)
{
	const char *n = getenv("KVBM_LONG");

	return n && atoi(n) > 1 ? atoi(n) : 1;
}

#endif /* KVBM_LONG_H */
