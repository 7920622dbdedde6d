// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include "grid.h"
#include "output.h"
#include "replay.h"

struct report {
	bool digest;
	json_t *rows;	/* NULL for a table */
};

struct report *report_begin(bool json, bool digest)
{
	struct report *report = calloc(1, sizeof(*report));

	if (!report)
		err(1, "report");
	report->digest = digest;
	if (json)
		report->rows = json_array();
	else
		printf("%-12s %9s %9s %11s %10s %8s %10s %8s %8s  %s\n",
		       "policy", "blocks", "requests", "requested", "hits",
		       "hit_rate", "evictions", "refused", "seconds", "digest");
	return report;
}

static void add_row(struct report *report, const struct cell *cell,
		    const char *digest)
{
	const struct tally *t = &cell->tally;
	json_t *row = json_object();

	set_word(row, "policy", kvbm_policy_name(cell->policy));
	set_number(row, "blocks", cell->blocks);
	set_number(row, "requests", t->requests);
	set_number(row, "blocks_requested", t->blocks);
	set_number(row, "hits", t->hits);
	json_object_set_new(row, "hit_rate", json_real(hit_rate(t)));
	set_number(row, "evictions", t->evicted);
	set_number(row, "refused", t->refused);
	json_object_set_new(row, "seconds", json_real(cell->seconds));
	set_word(row, "digest", digest);
	json_array_append_new(report->rows, row);
}

static void print_row(const struct cell *cell, const char *digest)
{
	const struct tally *t = &cell->tally;

	printf("%-12s %9u %9llu %11llu %10llu %8.4f %10llu %8llu %8.3f  %s\n",
	       kvbm_policy_name(cell->policy), cell->blocks, t->requests,
	       t->blocks, t->hits, hit_rate(t), t->evicted, t->refused,
	       cell->seconds, digest);
	fflush(stdout);
}

void report_row(struct report *report, const struct cell *cell)
{
	char digest[17];

	snprintf(digest, sizeof(digest), "%016llx", (unsigned long long)cell->digest);
	if (report->rows)
		add_row(report, cell, report->digest ? digest : NULL);
	else
		print_row(cell, report->digest ? digest : "-");
}

void report_bounds(struct report *report, const struct grid *grid)
{
	const struct curve *curve;
	json_t *row;
	size_t i;

	for (curve = grid->curves; curve < grid->curves + grid->nr_curves; curve++) {
		for (i = 0; curve->bound && i < grid->nr_sizes; i++) {
			row = json_object();
			set_word(row, "bound", curve->name);
			set_number(row, "blocks", grid->sizes[i]);
			json_object_set_new(row, "hit_rate",
					    json_real(curve->hit_rate[i]));
			json_array_append_new(report->rows, row);
		}
	}
}

int report_end(struct report *report)
{
	int err = 0;

	if (report->rows)
		err = json_print(report->rows);
	free(report);
	return err ? err : finish_stdout();
}
