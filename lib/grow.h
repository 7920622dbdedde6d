/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Arrays that grow.
 */
#ifndef KVBM_LIB_GROW_H
#define KVBM_LIB_GROW_H

#include "engine/env.h"

#define KVBM_GROW_FIRST	16

/**
 * kvbm_grow - room for more entries
 * @array: address of the pointer to the first one; NULL at first
 * @room: entries that there is room for
 * @need: entries that there must be room for
 * @size: of an entry
 * @exact: no more than that; otherwise there is half as much again to spare, so
 *	that adding one by one is O(1) amortised
 *
 * Return: 0, or -ENOMEM, and nothing has changed.
 */
static inline int kvbm_grow(void *array, size_t *room, size_t need, size_t size,
			    bool exact)
{
	size_t bytes;
	void *p;

	if (need <= *room)
		return 0;
	if (!exact)
		need = max_t(size_t, need, max_t(size_t, KVBM_GROW_FIRST,
						 *room + *room / 2));
	if (kvbm_alloc_fail && kvbm_alloc_fail())
		return -ENOMEM;
	if (__builtin_mul_overflow(need, size, &bytes))
		return -ENOMEM;
	/* Pointers to objects have one representation. */
	memcpy(&p, array, sizeof(p));
	p = realloc(p, bytes);
	if (!p)
		return -ENOMEM;
	memcpy(array, &p, sizeof(p));
	*room = need;
	return 0;
}

#endif /* KVBM_LIB_GROW_H */
