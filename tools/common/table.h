/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * A table of words, aligned when it is printed.
 */
#ifndef KVBM_TOOLS_TABLE_H
#define KVBM_TOOLS_TABLE_H

#include <stddef.h>

#include "compiler.h"

struct table;

/*
 * One letter per column: 'l' left, 'r' right aligned. Running out of memory
 * for a few lines of text ends the program.
 */
struct table *table_new(const char *columns);
void table_free(struct table *table);

/* The next cell, left to right, then the next row. */
__printf(2, 3) void table_add(struct table *table, const char *fmt, ...);
/* Two cells: @head, and what is formatted. */
__printf(3, 4) void table_pair(struct table *table, const char *head,
			       const char *fmt, ...);

/* The first row is a head: it stands out on a terminal. */
void table_head(struct table *table);

/* To stdout, the columns two blanks apart. */
void table_print(const struct table *table);

#endif
