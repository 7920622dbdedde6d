// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * FIFO and LRU: the block that was released longest ago goes first.
 *
 * A match takes the block out of the pool and its release puts it back at the
 * end, so recency is the time of release, not of the last match; first in,
 * first out is then the same order. The two differ in what they make of a
 * hint: to LRU, blocks that their holder called finished go before all others,
 * in the order of their release; FIFO does not listen.
 */
#include "eviction.h"

struct kvbm_lru {
	struct kvbm_evictor evictor;
	struct kvbm_slot_list finished;
	struct kvbm_slot_list recent;
};

/* slot->node tells which list the slot is in. */
enum {
	LRU_RECENT,
	LRU_FINISHED,
};

static struct kvbm_lru *to_lru(struct kvbm_evictor *evictor)
{
	return container_of(evictor, struct kvbm_lru, evictor);
}

static struct kvbm_slot_list *lru_list(struct kvbm_lru *lru, u32 id)
{
	return lru->evictor.slots[id].node == LRU_FINISHED ? &lru->finished :
							     &lru->recent;
}

static u64 lru_bytes(u32 block_count)
{
	return sizeof(struct kvbm_lru);
}

static int lru_create(const struct kvbm_eviction_config *config,
		      struct kvbm_evictor **out)
{
	struct kvbm_lru *lru = kvbm_alloc(1, sizeof(*lru));

	if (!lru)
		return -ENOMEM;
	kvbm_slot_list_init(&lru->finished);
	kvbm_slot_list_init(&lru->recent);
	*out = &lru->evictor;
	return 0;
}

static void lru_destroy(struct kvbm_evictor *evictor)
{
	kvbm_free(to_lru(evictor));
}

static void fifo_insert(struct kvbm_evictor *evictor, u32 id,
			struct kvbm_release_hint hint)
{
	evictor->slots[id].node = LRU_RECENT;
	kvbm_slot_list_add_tail(&to_lru(evictor)->recent, evictor->slots, id);
}

static void lru_insert(struct kvbm_evictor *evictor, u32 id,
		       struct kvbm_release_hint hint)
{
	evictor->slots[id].node = hint.kind == KVBM_HINT_FINISHED ?
				  LRU_FINISHED : LRU_RECENT;
	kvbm_slot_list_add_tail(lru_list(to_lru(evictor), id), evictor->slots, id);
}

static void lru_remove(struct kvbm_evictor *evictor, u32 id)
{
	kvbm_slot_list_del(lru_list(to_lru(evictor), id), evictor->slots, id);
}

static u32 lru_next(struct kvbm_evictor *evictor)
{
	struct kvbm_lru *lru = to_lru(evictor);

	return lru->finished.count ? lru->finished.head : lru->recent.head;
}

static bool lru_linked(struct kvbm_evictor *evictor, u32 id)
{
	return kvbm_slot_list_linked(lru_list(to_lru(evictor), id),
				     evictor->slots, evictor->block_count, id);
}

const struct kvbm_eviction_ops kvbm_eviction_fifo = {
	.name = "fifo",
	.check_args = kvbm_eviction_no_args,
	.bytes = lru_bytes,
	.create = lru_create,
	.destroy = lru_destroy,
	.insert = fifo_insert,
	.remove = lru_remove,
	.next = lru_next,
	.linked = lru_linked,
};

const struct kvbm_eviction_ops kvbm_eviction_lru = {
	.name = "lru",
	.check_args = kvbm_eviction_no_args,
	.bytes = lru_bytes,
	.create = lru_create,
	.destroy = lru_destroy,
	.insert = lru_insert,
	.remove = lru_remove,
	.next = lru_next,
	.linked = lru_linked,
};
