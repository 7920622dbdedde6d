// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kvbm/kvbm.h>

#include "say.h"

/* One write per message: workers of one job share the terminal. */
static void emit(const char *tail, const char *fmt, va_list args)
{
	char line[1024];

	vsnprintf(line, sizeof(line), fmt, args);
	if (tail)
		fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name,
			line, tail);
	else
		fprintf(stderr, "%s: %s\n", program_invocation_short_name, line);
}

void say(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	emit(NULL, fmt, args);
	va_end(args);
}

int say_err(int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	emit(kvbm_strerror(err), fmt, args);
	va_end(args);
	return err;
}

bool can_colour(FILE *stream)
{
	const char *no = getenv("NO_COLOR");

	return can_rewrite(stream) && !(no && *no);
}

bool can_rewrite(FILE *stream)
{
	const char *term = getenv("TERM");

	return isatty(fileno(stream)) && !(term && !strcmp(term, "dumb"));
}
