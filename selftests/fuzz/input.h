/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What a fuzzer gives, taken apart. At the end there are zeroes.
 */
#ifndef KVBM_FUZZ_INPUT_H
#define KVBM_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct input {
	const uint8_t *at;
	size_t left;
};

static inline void take(struct input *in, void *to, size_t n)
{
	size_t have = n < in->left ? n : in->left;

	memset(to, 0, n);
	if (have)
		memcpy(to, in->at, have);
	in->at += have;
	in->left -= have;
}

static inline uint8_t take_byte(struct input *in)
{
	uint8_t byte;

	take(in, &byte, 1);
	return byte;
}

static inline uint64_t take_u64(struct input *in)
{
	uint64_t value;

	take(in, &value, sizeof(value));
	return value;
}

/* Not an assertion that NDEBUG could remove. */
#define MUST(cond)							\
	do {								\
		if (!(cond)) {						\
			fprintf(stderr, "%s:%d: %s\n", __FILE__,	\
				__LINE__, #cond);			\
			abort();					\
		}							\
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif /* KVBM_FUZZ_INPUT_H */
