/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What programs tell people, apart from their results: to stderr.
 */
#ifndef KVBM_TOOLS_SAY_H
#define KVBM_TOOLS_SAY_H

#include <stdbool.h>
#include <stdio.h>

#include "compiler.h"

/* "prog: ..." */
__printf(1, 2) void say(const char *fmt, ...);

/* "prog: ...: what @err means"; returns @err, a negative errno. */
__printf(2, 3) int say_err(int err, const char *fmt, ...);

/* Whether @stream is a terminal that colours are wanted on: NO_COLOR is obeyed. */
bool can_colour(FILE *stream);

/* Whether a line on @stream can be written over with '\r'. */
bool can_rewrite(FILE *stream);

#endif
