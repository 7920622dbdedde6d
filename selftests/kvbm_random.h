/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What tests share that make random calls and compare: numbers, a way out when
 * something is not as it should be, and the model of a session.
 */
#ifndef KVBM_RANDOM_H
#define KVBM_RANDOM_H

#include <setjmp.h>
#include <stdarg.h>

#include "kvbm_util.h"
#include "kvbm_seed.h"

#define MAX_HELD	64
#define NR_HASHES	20
#define REGISTERED	(1u << KVBM_STATE_PRIMARY | 1u << KVBM_STATE_DUPLICATE)

static uint64_t rng;
static struct kvbm_hash hashes[NR_HASHES];

static jmp_buf failed;
static char why[256];

static inline void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	longjmp(failed, 1);
}

#define MUST(cond)							\
	do {								\
		if (!(cond))						\
			fail("line %d: %s", __LINE__, #cond);		\
	} while (0)
#define SAME(a, b)							\
	do {								\
		long long a_ = (a), b_ = (b);				\
									\
		if (a_ != b_)						\
			fail("line %d: %s is %lld, not %lld (%s)", __LINE__, #a, a_, b_, #b); \
	} while (0)

static inline uint32_t below(uint32_t n)
{
	rng = rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(rng >> 33) % n;
}

static inline bool one_in(uint32_t n)
{
	return !below(n);
}

static inline void list_remove(uint32_t *list, uint32_t *n, uint32_t id)
{
	uint32_t i = 0;

	while (list[i] != id)
		i++;
	memmove(list + i, list + i + 1, (--*n - i) * sizeof(*list));
}

/**
 * struct session - a session, and the model of what it holds
 * @fd: session
 * @count: guards on each block
 * @order: blocks in the order in which they were taken first
 * @n: their number
 */
struct session {
	int fd;
	uint32_t count[MAX_HELD], order[MAX_HELD];
	uint32_t n;
};

static inline void hold(struct session *s, uint32_t id)
{
	if (!s->count[id]++)
		s->order[s->n++] = id;
}

static inline void unhold(struct session *s, uint32_t id, uint32_t n)
{
	s->count[id] -= n;
	if (!s->count[id])
		list_remove(s->order, &s->n, id);
}

#define NONE		UINT32_MAX

static inline void same_hash(const struct kvbm_hash *got, uint32_t number)
{
	static const struct kvbm_hash none;

	MUST(!memcmp(got, number == NONE ? &none : &hashes[number], sizeof(none)));
}

#endif /* KVBM_RANDOM_H */
