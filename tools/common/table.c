// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <err.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "say.h"
#include "table.h"

struct table {
	const char *columns;
	size_t width;		/* columns */
	size_t nr;		/* cells */
	char **cells;
	bool head;
};

struct table *table_new(const char *columns)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		err(1, "table");
	table->columns = columns;
	table->width = strlen(columns);
	return table;
}

void table_free(struct table *table)
{
	size_t i;

	for (i = 0; i < table->nr; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table);
}

static void add(struct table *table, const char *fmt, va_list args)
{
	char **cells;

	cells = reallocarray(table->cells, table->nr + 1, sizeof(*cells));
	if (!cells || vasprintf(&cells[table->nr], fmt, args) < 0)
		err(1, "table");
	table->cells = cells;
	table->nr++;
}

void table_add(struct table *table, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add(table, fmt, args);
	va_end(args);
}

void table_pair(struct table *table, const char *head, const char *fmt, ...)
{
	va_list args;

	table_add(table, "%s", head);
	va_start(args, fmt);
	add(table, fmt, args);
	va_end(args);
}

static int column_width(const struct table *table, size_t column)
{
	size_t widest = 0, i;

	for (i = column; i < table->nr; i += table->width)
		if (strlen(table->cells[i]) > widest)
			widest = strlen(table->cells[i]);
	return widest;
}

void table_head(struct table *table)
{
	table->head = true;
}

void table_print(const struct table *table)
{
	bool bold = table->head && can_colour(stdout);
	size_t i, column;

	for (i = 0; i < table->nr; i++) {
		column = i % table->width;
		if (bold && i == 0)
			fputs("\033[1m", stdout);
		if (bold && i == table->width)
			fputs("\033[0m", stdout);
		if (column == table->width - 1 && table->columns[column] == 'l') {
			/* No blanks at the end of a line. */
			printf("%s\n", table->cells[i]);
			continue;
		}
		printf("%*s%s",
		       table->columns[column] == 'l' ?
				-column_width(table, column) :
				column_width(table, column),
		       table->cells[i],
		       column == table->width - 1 ? "\n" : "  ");
	}
	/* A head, and nothing after it. */
	if (bold && table->nr <= table->width)
		fputs("\033[0m", stdout);
}
