// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Multi-level LRU: four lists by how often the hash was used, as the
 * registry's frequency sketch estimates it. The lowest list that is not empty
 * gives the next victim, its least recently released block.
 *
 * The level is chosen when the block is released and stays until it leaves the
 * pool, whatever the estimate becomes. Hints are not listened to.
 */
#include "eviction.h"

#define LEVELS		4
/* What a counter of the sketch can hold. */
#define MAX_THRESHOLD	15

static const u32 default_thresholds[LEVELS - 1] = { 3, 8, 15 };

struct kvbm_multi_lru {
	struct kvbm_evictor evictor;
	u32 (*frequency)(void *arg, const struct kvbm_hash *hash);
	void *frequency_arg;
	u32 thresholds[LEVELS - 1];
	struct kvbm_slot_list levels[LEVELS];
};

/* slot->node is the level. */
static struct kvbm_multi_lru *to_multi_lru(struct kvbm_evictor *evictor)
{
	return container_of(evictor, struct kvbm_multi_lru, evictor);
}

/* Ascending, 1 to 15; all zeroes are the defaults. */
static int multi_lru_check_args(u32 args[4])
{
	u32 i, last = 0;

	if (args[LEVELS - 1])
		return -EINVAL;
	if (!args[0] && !args[1] && !args[2])
		memcpy(args, default_thresholds, sizeof(default_thresholds));
	for (i = 0; i < LEVELS - 1; last = args[i++])
		if (args[i] <= last || args[i] > MAX_THRESHOLD)
			return -EINVAL;
	return 0;
}

static u64 multi_lru_bytes(u32 block_count)
{
	return sizeof(struct kvbm_multi_lru);
}

static int multi_lru_create(const struct kvbm_eviction_config *config,
			    struct kvbm_evictor **out)
{
	struct kvbm_multi_lru *m = kvbm_alloc(1, sizeof(*m));
	u32 i;

	if (!m)
		return -ENOMEM;
	m->frequency = config->frequency;
	m->frequency_arg = config->frequency_arg;
	memcpy(m->thresholds, config->args, sizeof(m->thresholds));
	for (i = 0; i < LEVELS; i++)
		kvbm_slot_list_init(&m->levels[i]);
	*out = &m->evictor;
	return 0;
}

static void multi_lru_destroy(struct kvbm_evictor *evictor)
{
	kvbm_free(to_multi_lru(evictor));
}

static void multi_lru_insert(struct kvbm_evictor *evictor, u32 id,
			     struct kvbm_release_hint hint)
{
	struct kvbm_multi_lru *m = to_multi_lru(evictor);
	u32 uses = m->frequency(m->frequency_arg, &evictor->slots[id].hash);
	u32 level = 0;

	while (level < LEVELS - 1 && uses >= m->thresholds[level])
		level++;
	evictor->slots[id].node = level;
	kvbm_slot_list_add_tail(&m->levels[level], evictor->slots, id);
}

static void multi_lru_remove(struct kvbm_evictor *evictor, u32 id)
{
	struct kvbm_multi_lru *m = to_multi_lru(evictor);

	kvbm_slot_list_del(&m->levels[evictor->slots[id].node], evictor->slots, id);
}

static u32 multi_lru_next(struct kvbm_evictor *evictor)
{
	struct kvbm_multi_lru *m = to_multi_lru(evictor);
	u32 level = 0;

	while (level < LEVELS - 1 && !m->levels[level].count)
		level++;
	return m->levels[level].head;
}

static bool multi_lru_linked(struct kvbm_evictor *evictor, u32 id)
{
	u32 level = evictor->slots[id].node;

	return level < LEVELS &&
	       kvbm_slot_list_linked(&to_multi_lru(evictor)->levels[level],
				     evictor->slots, evictor->block_count, id);
}

const struct kvbm_eviction_ops kvbm_eviction_multi_lru = {
	.name = "multi-lru",
	.needs = KVBM_EVICTION_NEEDS_SKETCH,
	.check_args = multi_lru_check_args,
	.bytes = multi_lru_bytes,
	.create = multi_lru_create,
	.destroy = multi_lru_destroy,
	.insert = multi_lru_insert,
	.remove = multi_lru_remove,
	.next = multi_lru_next,
	.linked = multi_lru_linked,
};
