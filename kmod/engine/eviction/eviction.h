/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The interface of the inactive pool's policies: which Inactive block goes
 * first. A policy sees slots and their hashes, nothing of the store.
 */
#ifndef KVBM_ENGINE_EVICTION_H
#define KVBM_ENGINE_EVICTION_H

#include "../env.h"
#include "../slot.h"

struct kvbm_evictor;

/**
 * struct kvbm_release_hint - what the holder said when it released a block
 * @kind: KVBM_HINT_*
 * @log2_ms: KVBM_HINT_RETURN: expected back in 2^log2_ms ms
 */
struct kvbm_release_hint {
	u32 kind;
	u32 log2_ms;
};

/**
 * struct kvbm_eviction_config - what a policy is made for
 * @slots: the slots of the store
 * @block_count: how many
 * @args: parameters of the policy, 0 for its defaults; checked by @check_args
 * @frequency: how often a hash was used; does not sleep, takes no lock that
 *	is outside the store's
 * @frequency_arg: for @frequency
 */
struct kvbm_eviction_config {
	struct kvbm_slot *slots;
	u32 block_count;
	u32 args[4];
	u32 (*frequency)(void *arg, const struct kvbm_hash *hash);
	void *frequency_arg;
};

/* What a policy cannot do without. */
#define KVBM_EVICTION_NEEDS_LINEAGE	BIT(0)	/* hashes that tell their parents */
#define KVBM_EVICTION_NEEDS_SKETCH	BIT(1)	/* the registry's frequency sketch */

/**
 * struct kvbm_eviction_ops - one policy
 * @name: as tools print it
 * @needs: KVBM_EVICTION_NEEDS_*
 * @check_args: 0, or -EINVAL; replaces zeroes by the defaults
 * @bytes: memory that @create allocates
 * @create: may sleep; allocates all that the policy will ever need
 * @destroy: may sleep
 * @insert: the block became Inactive
 * @remove: the block leaves the pool: evicted, or matched again
 * @next: the next victim, not removed; KVBM_NIL when the pool is empty
 * @linked: for checks: whether the policy's own links of the block are sound
 *
 * @insert, @remove, @next and @linked run under the lock of the store: they do
 * not sleep, allocate or fail, and take O(1) or O(log n).
 */
struct kvbm_eviction_ops {
	const char *name;
	u32 needs;
	int (*check_args)(u32 args[4]);
	u64 (*bytes)(u32 block_count);
	int (*create)(const struct kvbm_eviction_config *config,
		      struct kvbm_evictor **out);
	void (*destroy)(struct kvbm_evictor *evictor);
	void (*insert)(struct kvbm_evictor *evictor, u32 id,
		       struct kvbm_release_hint hint);
	void (*remove)(struct kvbm_evictor *evictor, u32 id);
	u32 (*next)(struct kvbm_evictor *evictor);
	bool (*linked)(struct kvbm_evictor *evictor, u32 id);
};

/**
 * struct kvbm_evictor - the inactive pool of one store; first in a policy's own
 * @ops: the policy
 * @slots: the slots of the store
 * @block_count: how many
 * @count: Inactive blocks; kept by kvbm_evictor_insert() and _remove()
 * @visits: nodes looked at; only where tests count them
 *
 * Protected by the lock of the store; all but @count immutable.
 */
struct kvbm_evictor {
	const struct kvbm_eviction_ops *ops;
	struct kvbm_slot *slots;
	u32 block_count;
	u32 count;
#ifdef KVBM_DEBUG
	u64 visits;
#endif
};

static inline void kvbm_evictor_visit(struct kvbm_evictor *evictor, u32 nodes)
{
#ifdef KVBM_DEBUG
	evictor->visits += nodes;
#endif
}

extern const struct kvbm_eviction_ops kvbm_eviction_fifo;
extern const struct kvbm_eviction_ops kvbm_eviction_lru;
extern const struct kvbm_eviction_ops kvbm_eviction_multi_lru;
extern const struct kvbm_eviction_ops kvbm_eviction_lineage_tick;
extern const struct kvbm_eviction_ops kvbm_eviction_lineage_fifo;

int kvbm_eviction_no_args(u32 args[4]);

/**
 * kvbm_eviction_find - the policy of a number
 * @policy: KVBM_POLICY_*
 *
 * Return: the policy, or NULL when it is not built.
 */
const struct kvbm_eviction_ops *kvbm_eviction_find(u32 policy);

/**
 * kvbm_eviction_default - what KVBM_POLICY_DEFAULT stands for
 * @schema: KVBM_SCHEMA_* of the registry
 *
 * Return: KVBM_POLICY_*.
 */
u32 kvbm_eviction_default(u32 schema);

/* Bit n for each KVBM_POLICY_n that is built. */
u64 kvbm_eviction_mask(void);

static inline void kvbm_evictor_insert(struct kvbm_evictor *evictor, u32 id,
				       struct kvbm_release_hint hint)
{
	evictor->count++;
	evictor->ops->insert(evictor, id, hint);
}

static inline void kvbm_evictor_remove(struct kvbm_evictor *evictor, u32 id)
{
	evictor->count--;
	evictor->ops->remove(evictor, id);
}

#endif /* KVBM_ENGINE_EVICTION_H */
