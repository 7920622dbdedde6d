// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * One cell: the same samples on both sides, in turn.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runner.h"
#include "say.h"

#define MOST_ITERATIONS	4000000ULL

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void quartiles(const double *samples, uint32_t count, double *low,
		      double *median, double *high)
{
	double sorted[MAX_SAMPLES];

	memcpy(sorted, samples, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), by_size);
	*low = sorted[count / 4];
	*median = sorted[count / 2];
	*high = sorted[count - 1 - count / 4];
}

static void summarize(struct result *r, uint32_t count)
{
	double ratios[MAX_SAMPLES], low, high, middle;
	uint32_t i;

	if (r->ours.there)
		quartiles(r->ours.samples, count, &r->ours.low, &r->ours.median,
			  &r->ours.high);
	if (r->theirs.there)
		quartiles(r->theirs.samples, count, &r->theirs.low, &r->theirs.median,
			  &r->theirs.high);
	if (r->ours.there && r->theirs.there) {
		for (i = 0; i < count; i++)
			ratios[i] = r->theirs.samples[i] / r->ours.samples[i];
		quartiles(ratios, count, &low, &middle, &high);
		r->ratio = r->theirs.median / r->ours.median;
		r->spread = (high - low) / middle;
	} else {
		const struct measure *m = r->ours.there ? &r->ours : &r->theirs;

		r->spread = (m->high - m->low) / m->median;
	}
}

/* One sample of each side that is there; the longer time of the two. */
static int sample(struct runner *runner, struct result *r, uint64_t iterations,
		  uint32_t at, double *longest)
{
	double ns;
	uint32_t turn;
	int err = 0;

	*longest = 0;
	for (turn = 0; turn < 2 && !err; turn++) {
		/* Who is first changes. */
		bool us = turn == at % 2;
		struct measure *m = us ? &r->ours : &r->theirs;

		if (!m->there)
			continue;
		err = side_sample(us ? &runner->ours : &runner->theirs, iterations,
				  &m->samples[at], &ns);
		if (!err && ns > *longest)
			*longest = ns;
	}
	return err;
}

/* As many iterations as take the slower side long enough. */
static int calibrate(struct runner *runner, struct result *r, uint64_t *iterations)
{
	double ns;
	int err;

	*iterations = 1;
	for (;;) {
		err = sample(runner, r, *iterations, 0, &ns);
		if (err || *iterations >= MOST_ITERATIONS || ns >= runner->sample_ns)
			return err;
		if (ns < runner->sample_ns / 10) {
			*iterations *= 5;
			continue;
		}
		*iterations = *iterations * runner->sample_ns / ns + 1;
		return sample(runner, r, *iterations, 0, &ns);
	}
}

static int end(struct runner *runner, struct result *r)
{
	uint64_t ours = 0, theirs = 0;
	int err = 0;

	if (r->ours.there)
		err = side_end(&runner->ours, &ours);
	if (r->theirs.there && !err)
		err = side_end(&runner->theirs, &theirs);
	r->same = !r->ours.there || !r->theirs.there || ours == theirs;
	return err;
}

int cell_measure(struct runner *runner, const struct cell *cell, struct result *r)
{
	uint64_t iterations;
	double ns;
	uint32_t i;
	int err;

	memset(r, 0, sizeof(*r));
	err = side_cell(&runner->ours, cell->group, cell->policy, cell->n, cell->pool);
	if (err < 0)
		return err;
	r->ours.there = err;
	err = side_cell(&runner->theirs, cell->group, cell->policy, cell->n, cell->pool);
	if (err < 0)
		return err;
	r->theirs.there = err;
	if (!r->ours.there && !r->theirs.there)
		return 1;
	err = calibrate(runner, r, &iterations);
	for (i = 0; i < runner->samples && !err; i++)
		err = sample(runner, r, iterations, i, &ns);
	if (!err)
		err = end(runner, r);
	if (!err)
		summarize(r, runner->samples);
	return err;
}
