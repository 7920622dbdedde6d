/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * A slot: the bookkeeping of one block, and lists of slots by index.
 */
#ifndef KVBM_ENGINE_SLOT_H
#define KVBM_ENGINE_SLOT_H

#include <linux/kvbm_types.h>

#include "env.h"

/* "No slot", "no entry": the nil of every u32 link. */
#define KVBM_NIL	U32_MAX

/* slot->flags */
#define KVBM_SLOT_RESET_ON_RELEASE	BIT(0)	/* the last release resets, not caches */
#define KVBM_SLOT_SEEN			BIT(1)	/* counted already, within one lock hold */
#define KVBM_SLOT_RESERVED		BIT(2)	/* withheld: Reset, and in no pool, for ever */

/**
 * struct kvbm_slot - hot state of one block
 * @hash: sequence hash; from Staged on
 * @refs: references: guards, and for a Primary one per Duplicate of it
 * @gen: generation of the tenant; changes when the slot is allocated
 * @chain: next slot in the same bucket of the index
 * @prev: link in the pool that the slot is in: reset or inactive
 * @next: same
 * @primary: Duplicate: the slot that it keeps alive
 * @parent: Inactive: the policy's own
 * @node: Inactive: the policy's own
 * @writers: not Inactive: of @refs, those of write pins
 * @linked: Inactive: the policy's own
 * @state: KVBM_STATE_*
 * @flags: KVBM_SLOT_*
 * @pad: 0
 * @order: Inactive: the policy's own
 *
 * All protected by the lock of the store, with one exception: @gen and @state
 * do not change under a session that holds the block and its own mutex, which
 * may therefore read them without the lock. @refs is 64 bits wide because
 * nothing bounds how many guards sessions together take on one block.
 */
struct kvbm_slot {
	struct kvbm_hash hash;
	u64 refs;
	u32 gen;
	u32 chain;
	u32 prev;
	u32 next;
	union {
		u32 primary;
		u32 parent;
	};
	u32 node;
	union {
		u32 writers;
		u32 linked;
	};
	u8 state;
	u8 flags;
	u8 pad[2];
	u64 order;
};

static_assert(sizeof(struct kvbm_slot) == 64);

static inline u32 kvbm_slot_writers(const struct kvbm_slot *slot)
{
	return slot->state == KVBM_STATE_INACTIVE ? 0 : slot->writers;
}

/**
 * struct kvbm_slot_list - slots linked by @prev and @next
 * @head: first, or KVBM_NIL
 * @tail: last, or KVBM_NIL
 * @count: length
 */
struct kvbm_slot_list {
	u32 head;
	u32 tail;
	u32 count;
};

static inline void kvbm_slot_list_init(struct kvbm_slot_list *list)
{
	list->head = KVBM_NIL;
	list->tail = KVBM_NIL;
	list->count = 0;
}

static inline void kvbm_slot_list_add_tail(struct kvbm_slot_list *list,
					   struct kvbm_slot *slots, u32 id)
{
	struct kvbm_slot *slot = &slots[id];

	slot->prev = list->tail;
	slot->next = KVBM_NIL;
	if (list->tail == KVBM_NIL)
		list->head = id;
	else
		slots[list->tail].next = id;
	list->tail = id;
	list->count++;
}

static inline void kvbm_slot_list_del(struct kvbm_slot_list *list,
				      struct kvbm_slot *slots, u32 id)
{
	struct kvbm_slot *slot = &slots[id];

	if (slot->prev == KVBM_NIL)
		list->head = slot->next;
	else
		slots[slot->prev].next = slot->next;
	if (slot->next == KVBM_NIL)
		list->tail = slot->prev;
	else
		slots[slot->next].prev = slot->prev;
	list->count--;
}

/* Whether the neighbours of @id in @list point back at it. */
static inline bool kvbm_slot_list_linked(const struct kvbm_slot_list *list,
					 const struct kvbm_slot *slots, u32 size,
					 u32 id)
{
	const struct kvbm_slot *slot = &slots[id];

	if (slot->prev == KVBM_NIL ? list->head != id :
	    slot->prev >= size || slots[slot->prev].next != id)
		return false;
	return slot->next == KVBM_NIL ? list->tail == id :
	       slot->next < size && slots[slot->next].prev == id;
}

#endif /* KVBM_ENGINE_SLOT_H */
