/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * A heap with four children to a node: the four lie in one cache line, so a
 * step down costs one miss. Keys are inline. Each item knows its place, so
 * that any can be removed.
 */
#ifndef KVBM_ENGINE_HEAP_H
#define KVBM_ENGINE_HEAP_H

#include "../env.h"

/* The root; the children of i are 4i - 8 to 4i - 5, its parent i / 4 + 2. */
#define KVBM_HEAP_ROOT	3

/**
 * struct kvbm_heap_entry - one item
 * @key: the smallest is at the root
 * @item: whose
 */
struct kvbm_heap_entry {
	u64 key;
	u32 item;
};

/**
 * struct kvbm_heap - items in the order of their keys
 * @entries: the first one is at KVBM_HEAP_ROOT
 * @end: after the last
 * @places: where each item is; the place of item i is places[i * stride]
 * @stride: in units of u32
 */
struct kvbm_heap {
	struct kvbm_heap_entry *entries;
	u32 end;
	u32 *places;
	u32 stride;
};

/* Entries to allocate for a heap of up to @n items. */
static inline size_t kvbm_heap_room(u32 n)
{
	return (size_t)n + KVBM_HEAP_ROOT;
}

static inline bool kvbm_heap_empty(const struct kvbm_heap *heap)
{
	return heap->end == KVBM_HEAP_ROOT;
}

static inline u32 *kvbm_heap_place(const struct kvbm_heap *heap, u32 item)
{
	return &heap->places[(size_t)item * heap->stride];
}

static inline void kvbm_heap_put(struct kvbm_heap *heap, u32 i,
				 struct kvbm_heap_entry e)
{
	heap->entries[i] = e;
	*kvbm_heap_place(heap, e.item) = i;
}

/* Find the place of @e from the hole at @i on. Return: steps taken. */
static inline u32 kvbm_heap_sift(struct kvbm_heap *heap, u32 i,
				 struct kvbm_heap_entry e)
{
	struct kvbm_heap_entry *h = heap->entries;
	u32 up, child, last, least, steps = 0;

	for (; i > KVBM_HEAP_ROOT; i = up, steps++) {
		up = i / 4 + 2;
		if (h[up].key <= e.key)
			break;
		kvbm_heap_put(heap, i, h[up]);
	}
	/* 4 * i fits: there are at most 2^30 items. */
	for (; (child = 4 * i - 8) < heap->end; i = least, steps++) {
		last = min(child + 4, heap->end);
		for (least = child++; child < last; child++)
			if (h[child].key < h[least].key)
				least = child;
		if (e.key <= h[least].key)
			break;
		kvbm_heap_put(heap, i, h[least]);
	}
	kvbm_heap_put(heap, i, e);
	return steps + 1;
}

static inline u32 kvbm_heap_add(struct kvbm_heap *heap, u32 item, u64 key)
{
	struct kvbm_heap_entry e = { .key = key, .item = item };

	return kvbm_heap_sift(heap, heap->end++, e);
}

static inline u32 kvbm_heap_del(struct kvbm_heap *heap, u32 item)
{
	u32 i = *kvbm_heap_place(heap, item);
	struct kvbm_heap_entry last = heap->entries[--heap->end];

	return i == heap->end ? 1 : kvbm_heap_sift(heap, i, last);
}

/* @item takes the place of @old, which is in the heap. */
static inline u32 kvbm_heap_replace(struct kvbm_heap *heap, u32 old, u32 item, u64 key)
{
	struct kvbm_heap_entry e = { .key = key, .item = item };

	return kvbm_heap_sift(heap, *kvbm_heap_place(heap, old), e);
}

/* The key of an item that is in the heap has changed. */
static inline u32 kvbm_heap_rekey(struct kvbm_heap *heap, u32 item, u64 key)
{
	return kvbm_heap_replace(heap, item, item, key);
}

#endif /* KVBM_ENGINE_HEAP_H */
