/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Numbers and lists as people write them on a command line.
 */
#ifndef KVBM_TOOLS_PARSE_H
#define KVBM_TOOLS_PARSE_H

#include <stddef.h>
#include <stdint.h>

/* For help texts. */
#define PARSE_SUFFIXES	"k, M and G are powers of 1000, Ki, Mi and Gi of 1024"

/* "8192", "10k", "2Mi". 0, -EINVAL or, outside @min to @max, -ERANGE. */
int parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* An octal mode of KVBM_MODE_MASK. 0 or -EINVAL. */
int parse_mode(const char *text, uint32_t *out);

/*
 * Call @add with each word of a comma-separated list, empty ones included. 0, or
 * the first error of @add.
 */
int parse_list(const char *text, int (*add)(const char *word, void *data),
	       void *data);

#endif
