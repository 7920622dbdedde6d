// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <err.h>
#include <stdlib.h>

#include "grid.h"

struct grid *grid_new(size_t nr_sizes, const uint32_t *sizes, size_t max_curves)
{
	struct grid *grid = calloc(1, sizeof(*grid));

	if (grid)
		grid->curves = calloc(max_curves, sizeof(*grid->curves));
	if (!grid || !grid->curves)
		err(1, "table");
	grid->nr_sizes = nr_sizes;
	grid->sizes = sizes;
	return grid;
}

struct curve *grid_add(struct grid *grid, const char *name, bool bound)
{
	struct curve *curve = &grid->curves[grid->nr_curves++];

	curve->name = name;
	curve->bound = bound;
	curve->hit_rate = calloc(grid->nr_sizes, sizeof(*curve->hit_rate));
	curve->seconds = calloc(grid->nr_sizes, sizeof(*curve->seconds));
	if (!curve->hit_rate || !curve->seconds)
		err(1, "table");
	return curve;
}

void grid_free(struct grid *grid)
{
	size_t i;

	if (!grid)
		return;
	for (i = 0; i < grid->nr_curves; i++) {
		free(grid->curves[i].hit_rate);
		free(grid->curves[i].seconds);
	}
	free(grid->curves);
	free(grid);
}

static void print_head(const struct grid *grid, const char *what)
{
	size_t i;

	printf("%-12s", what);
	for (i = 0; i < grid->nr_sizes; i++)
		printf(" %9u", grid->sizes[i]);
	putchar('\n');
}

static void print_line(const struct grid *grid, const char *name,
		       const double *values, int digits)
{
	size_t i;

	printf("%-12s", name);
	for (i = 0; i < grid->nr_sizes; i++)
		printf(" %9.*f", digits, values[i]);
	putchar('\n');
}

void grid_print(const struct grid *grid)
{
	const struct curve *curve;

	print_head(grid, "hit_rate");
	for (curve = grid->curves; curve < grid->curves + grid->nr_curves; curve++)
		print_line(grid, curve->name, curve->hit_rate, 4);
	putchar('\n');
	print_head(grid, "seconds");
	for (curve = grid->curves; curve < grid->curves + grid->nr_curves; curve++)
		if (!curve->bound)
			print_line(grid, curve->name, curve->seconds, 3);
}
