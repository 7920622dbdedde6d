// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Multimodal runs: checking, sorting, finding.
 */
#include "tokens.h"

/*
 * By offset. The order of runs with the same one only decides which error is
 * told: the empty one comes first.
 */
static int compare(const void *a, const void *b)
{
	const struct kvbm_mm_run *x = a, *y = b;

	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return (x->length > y->length) - (x->length < y->length);
}

int kvbm_mm_sort(const struct kvbm_mm_run *runs, size_t n, size_t nr_tokens,
		 struct kvbm_mm_run *sorted)
{
	size_t i, end, behind = 0;

	if (!n)
		return 0;
	memmove(sorted, runs, n * sizeof(*runs));
	qsort(sorted, n, sizeof(*sorted), compare);
	for (i = 0; i < n; i++) {
		if (!sorted[i].length)
			return -EINVAL;
		if (__builtin_add_overflow(sorted[i].offset, sorted[i].length, &end))
			return -EOVERFLOW;
		if (end > nr_tokens)
			return -ERANGE;
		if (sorted[i].offset < behind)
			return -ENOTUNIQ;
		behind = end;
	}
	return 0;
}

bool kvbm_mm_covers(const struct kvbm_mm_run *run, size_t at)
{
	size_t end;

	return !__builtin_add_overflow(run->offset, run->length, &end) &&
	       at >= run->offset && at < end;
}

size_t kvbm_mm_first_behind(const struct kvbm_mm_run *runs, size_t nr_runs, size_t at)
{
	size_t low = 0, high = nr_runs, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (kvbm_mm_end(&runs[middle]) > at)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}
