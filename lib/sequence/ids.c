// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Sets of block ids, to find the one that is given twice.
 */
#include "internal.h"

/* Where an id would be best. */
static size_t home(const struct kvbm_ids *ids, uint32_t id)
{
	return (id * 0x9e3779b97f4a7c15ULL >> 32) & (ids->size - 1);
}

/* The slot that has the id, or the empty one that it would get. */
static uint64_t *find(const struct kvbm_ids *ids, uint32_t id)
{
	size_t i = home(ids, id);

	while (ids->slots[i] && ids->slots[i] != (uint64_t)id + 1)
		i = (i + 1) & (ids->size - 1);
	return &ids->slots[i];
}

/* Room for @n ids in all. Never more than half full, so that find() ends. */
int kvbm_ids_reserve(struct kvbm_ids *ids, size_t n)
{
	struct kvbm_ids bigger = { .size = 16 };
	size_t i;

	if (n > SIZE_MAX / 4 / sizeof(*ids->slots))
		return -ENOMEM;
	while (bigger.size < 2 * n)
		bigger.size *= 2;
	if (bigger.size <= ids->size)
		return 0;
	bigger.slots = kvbm_alloc(bigger.size, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (i = 0; i < ids->size; i++)
		if (ids->slots[i])
			kvbm_ids_add(&bigger, ids->slots[i] - 1);
	kvbm_free(ids->slots);
	*ids = bigger;
	return 0;
}

bool kvbm_ids_contains(const struct kvbm_ids *ids, uint32_t id)
{
	return ids->size && *find(ids, id);
}

bool kvbm_ids_add(struct kvbm_ids *ids, uint32_t id)
{
	uint64_t *slot = find(ids, id);

	if (*slot)
		return false;
	*slot = (uint64_t)id + 1;
	ids->count++;
	return true;
}

void kvbm_ids_clear(struct kvbm_ids *ids)
{
	if (ids->count)
		memset(ids->slots, 0, ids->size * sizeof(*ids->slots));
	ids->count = 0;
}

void kvbm_ids_destroy(struct kvbm_ids *ids)
{
	kvbm_free(ids->slots);
	memset(ids, 0, sizeof(*ids));
}
