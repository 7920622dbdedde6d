/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All ioctls, out of the table that the module makes its checks of: a test that
 * goes through this list cannot forget a new one.
 */
#ifndef KVBM_ABI_LIST_H
#define KVBM_ABI_LIST_H

#include <stddef.h>
#include <stdint.h>

#include <linux/kvbm.h>

#include "abi_table.h"

#define ARG_MAX		1024

/* Big and aligned enough for every argument. */
union arg {
	uint32_t size;
	uint64_t align;
	char bytes[ARG_MAX];
};

struct call {
	const char *name;
	unsigned long cmd;
	uint32_t size;
	uint32_t min_size;
	unsigned int needs;
	const struct kvbm_abi_field *fields;
	size_t nr_fields;
};

#define CALL(nr, type, last, need, rules, checker)			\
	{ #nr, KVBM_##nr, sizeof(type),					\
	  offsetof(type, last) + sizeof(((type *)0)->last), need, rules, \
	  sizeof(rules) / sizeof(*(rules)) },

static const struct call calls[] = { KVBM_ABI_CALLS(CALL) };

#define NR_CALLS (sizeof(calls) / sizeof(*calls))

#endif /* KVBM_ABI_LIST_H */
