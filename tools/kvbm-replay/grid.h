/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Policies by pool sizes: a table, a picture.
 */
#ifndef KVBM_REPLAY_GRID_H
#define KVBM_REPLAY_GRID_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* One line of the table. */
struct curve {
	const char *name;
	bool bound;		/* no policy: no seconds */
	double *hit_rate;	/* for each size */
	double *seconds;
};

struct grid {
	size_t nr_sizes;
	const uint32_t *sizes;
	size_t nr_curves;
	struct curve *curves;
};

/* Room for so many curves; running out of memory for that ends the program. */
struct grid *grid_new(size_t nr_sizes, const uint32_t *sizes, size_t max_curves);
struct curve *grid_add(struct grid *grid, const char *name, bool bound);
void grid_free(struct grid *grid);

/* Hit rates, then seconds, to stdout. */
void grid_print(const struct grid *grid);

/*
 * Hit rate against size, as SVG into @path, which is opened by the first and
 * written by the second. 0, or -errno after a message.
 */
int plot_open(const char *path, FILE **out);
int plot_write(const char *path, FILE *file, const struct grid *grid);

#endif
