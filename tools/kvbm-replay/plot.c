// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Hit rate against the size of the pool, on a logarithmic axis, as SVG.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "grid.h"
#include "say.h"

enum { LEFT = 60, TOP = 20, WIDTH = 560, HEIGHT = 340, LEGEND = 140, BOTTOM = 60 };

/* Okabe and Ito's, which people with any eyes can tell apart. */
static const char *const colours[] = {
	"#e69f00", "#56b4e9", "#009e73", "#d55e00", "#cc79a7", "#0072b2",
};

struct axes {
	double first;	/* log of the smallest size */
	double last;
	double top;	/* of the hit rates */
};

int plot_open(const char *path, FILE **out)
{
	int err;

	*out = fopen(path, "w");
	if (*out)
		return 0;
	err = -errno;
	say("%s: %s", path, strerror(-err));
	return err;
}

static struct axes axes_of(const struct grid *grid)
{
	struct axes axes = { .first = INFINITY, .last = -INFINITY, .top = 0 };
	size_t i, k;

	for (i = 0; i < grid->nr_sizes; i++) {
		axes.first = fmin(axes.first, log(grid->sizes[i]));
		axes.last = fmax(axes.last, log(grid->sizes[i]));
		for (k = 0; k < grid->nr_curves; k++)
			axes.top = fmax(axes.top, grid->curves[k].hit_rate[i]);
	}
	if (axes.first == axes.last)
		axes.last++;
	/* A tenth, two tenths, and so on. */
	axes.top = fmax(ceil(axes.top * 10) / 10, 0.1);
	return axes;
}

static double x_of(const struct axes *axes, uint32_t size)
{
	return LEFT + WIDTH * (log(size) - axes->first) / (axes->last - axes->first);
}

static double y_of(const struct axes *axes, double rate)
{
	return TOP + HEIGHT * (1 - rate / axes->top);
}

static void draw_axes(FILE *f, const struct grid *grid, const struct axes *axes)
{
	int tenths = lround(axes->top * 10), i;
	double x, y;
	size_t k;

	for (i = 0; i <= tenths; i++) {
		y = y_of(axes, i / 10.0);
		fprintf(f, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#ddd\"/>\n",
			LEFT, y, LEFT + WIDTH, y);
		fprintf(f, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.1f</text>\n",
			LEFT - 8, y + 4, i / 10.0);
	}
	for (k = 0; k < grid->nr_sizes; k++) {
		x = x_of(axes, grid->sizes[k]);
		fprintf(f, "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"#000\"/>\n",
			x, TOP + HEIGHT, x, TOP + HEIGHT + 5);
		fprintf(f, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%u</text>\n",
			x, TOP + HEIGHT + 20, grid->sizes[k]);
	}
	fprintf(f, "<path d=\"M%d %dV%dH%d\" fill=\"none\" stroke=\"#000\"/>\n",
		LEFT, TOP, TOP + HEIGHT, LEFT + WIDTH);
	fprintf(f, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">blocks in the pool</text>\n",
		LEFT + WIDTH / 2, TOP + HEIGHT + 45);
	fprintf(f, "<text transform=\"translate(16 %d) rotate(-90)\" text-anchor=\"middle\">hit rate</text>\n",
		TOP + HEIGHT / 2);
}

/* Policies that give the same show below each other: the first is the widest. */
static void draw_curve(FILE *f, const struct grid *grid, const struct axes *axes,
		       size_t number)
{
	const struct curve *curve = &grid->curves[number];
	const char *colour = curve->bound ? "#666" :
			     colours[number % (sizeof(colours) / sizeof(*colours))];
	double width = curve->bound ? 1.5 : 1.5 + 1.5 * (grid->nr_curves - number - 1);
	const char *dash = !curve->bound ? "" :
			   number % 2 ? " stroke-dasharray=\"6 4\"" :
					" stroke-dasharray=\"2 3\"";
	double y = TOP + 12 + 22.0 * number;
	size_t i;

	fprintf(f, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%.1f\"%s points=\"",
		colour, width, dash);
	for (i = 0; i < grid->nr_sizes; i++)
		fprintf(f, "%s%.1f,%.1f", i ? " " : "", x_of(axes, grid->sizes[i]),
			y_of(axes, curve->hit_rate[i]));
	fprintf(f, "\"/>\n");
	for (i = 0; !curve->bound && i < grid->nr_sizes; i++)
		fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\"/>\n",
			x_of(axes, grid->sizes[i]), y_of(axes, curve->hit_rate[i]),
			1 + width / 2, colour);
	fprintf(f, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"%.1f\"%s/>\n",
		LEFT + WIDTH + 15, y - 4, LEFT + WIDTH + 40, y - 4, colour, width, dash);
	fprintf(f, "<text x=\"%d\" y=\"%.1f\">%s</text>\n", LEFT + WIDTH + 46, y,
		curve->name);
}

int plot_write(const char *path, FILE *f, const struct grid *grid)
{
	int width = LEFT + WIDTH + LEGEND, height = TOP + HEIGHT + BOTTOM;
	struct axes axes = axes_of(grid);
	bool failed;
	size_t i;

	fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n",
		width, height, width, height);
	fprintf(f, "<title>Hit rate against the size of the pool</title>\n");
	fprintf(f, "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", width, height);
	draw_axes(f, grid, &axes);
	for (i = 0; i < grid->nr_curves; i++)
		draw_curve(f, grid, &axes, i);
	fprintf(f, "</svg>\n");
	failed = ferror(f);
	if (fclose(f) || failed) {
		say("%s: not all of it could be written", path);
		return -EIO;
	}
	return 0;
}
