/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Tests that speak TAP: functions in a table, run in its order.
 *
 *	EXPECT(condition)	the test has failed, and goes on
 *	EXPECT_EQ(a, b)		the same, and says what both are
 *	ASSERT, ASSERT_EQ	... and ends; not in another thread than main()
 *
 * KVBM_TEST=NAME in the environment runs that one alone.
 */
#ifndef KVBM_TAP_H
#define KVBM_TAP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../kvbm_long.h"

struct tap_test {
	const char *name;
	void (*run)(void);
};

#define TEST(function)	{ #function, function }

/* Of the running test. Threads of a test may fail it, too. */
static int tap_failures;
static jmp_buf tap_end;

/* Enough to see what is wrong; a broken loop would fill the disk. */
#define TAP_MAX_MESSAGES	20

__attribute__((format(printf, 3, 4), unused))
static void tap_fail(const char *file, int line, const char *format, ...)
{
	char text[512];
	va_list args;

	if (__atomic_fetch_add(&tap_failures, 1, __ATOMIC_RELAXED) >=
	    TAP_MAX_MESSAGES)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	printf("# %s:%d: %s\n", file, line, text);
}

#define EXPECT(condition) ({						\
	bool tap_ok = (condition);					\
	if (!tap_ok)							\
		tap_fail(__FILE__, __LINE__, "%s", #condition);		\
	tap_ok;								\
})

#define EXPECT_EQ(a, b) ({						\
	long long tap_a = (a), tap_b = (b);				\
	if (tap_a != tap_b)						\
		tap_fail(__FILE__, __LINE__, "%s is %lld, not %s (%lld)", \
			 #a, tap_a, #b, tap_b);				\
	tap_a == tap_b;							\
})

#define ASSERT(condition) do {						\
	if (!EXPECT(condition))						\
		longjmp(tap_end, 1);					\
} while (0)

#define ASSERT_EQ(a, b) do {						\
	if (!EXPECT_EQ(a, b))						\
		longjmp(tap_end, 1);					\
} while (0)

/* Return: whether the test failed. */
static inline bool tap_run_one(const struct tap_test *test, unsigned int number)
{
	const char *program = getenv("KVBM_TEST_TIMEOUT");

	/*
	 * A deadlock ends the program, and shows as a plan that was not kept. In a VM
	 * it is known how long programs may take, on this kernel.
	 */
	alarm(program ? strtoul(program, NULL, 10) : 300 * kvbm_long());
	tap_failures = 0;
	if (!setjmp(tap_end))
		test->run();
	printf("%sok %u %s\n", tap_failures ? "not " : "", number, test->name);
	return tap_failures;
}

static inline int tap_run(const struct tap_test *tests, unsigned int n)
{
	const char *only = getenv("KVBM_TEST");
	unsigned int i, failed = 0, ran = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..%u\n", only ? 1 : n);
	for (i = 0; i < n; i++)
		if (!only || !strcmp(only, tests[i].name))
			failed += tap_run_one(&tests[i], ++ran);
	return failed || !ran ? 1 : 0;
}

#endif /* KVBM_TAP_H */
