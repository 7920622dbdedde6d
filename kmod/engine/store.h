/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The inside of a store: what the files of the engine share.
 */
#ifndef KVBM_ENGINE_STORE_H
#define KVBM_ENGINE_STORE_H

#include "engine.h"
#include "registry.h"
#include "regret.h"
#include "slot.h"

/**
 * struct kvbm_waiter - one call that waits for blocks; on its own stack
 * @prev: in the queue
 * @next: in the queue, or in the list of those to wake
 * @holder: its session
 * @count: blocks wanted
 * @revived: Inactive blocks that the call matched, and gave back to wait
 * @fresh: blocks that the call matches, and that its session did not hold
 * @granted: blocks promised to it
 * @ticket: its place in the order of arrival; 0 until it first queues
 * @waited_ns: how long, and not counted yet; the caller's own
 * @queued: is in the queue
 * @err: why it waits in vain
 * @event: signalled when it left the queue by the hand of another
 *
 * All but @event and @waited_ns under the lock of the store.
 */
struct kvbm_waiter {
	struct kvbm_waiter *prev;
	struct kvbm_waiter *next;
	struct kvbm_holder *holder;
	u32 count;
	u32 revived;
	u32 fresh;
	u32 granted;
	u64 ticket;
	u64 waited_ns;
	bool queued;
	int err;
	struct kvbm_event event;
};

/**
 * struct kvbm_store - slots, index, pools and counters of one manager
 * @config: immutable, all defaults filled in
 * @registry: immutable
 * @share: of the registry's entries; immutable
 * @key: secret of @buckets and of the holders' tables; immutable
 * @mask: buckets - 1; immutable
 * @slots: block_count of them; the contents under @lock
 * @buckets: index by hash: first slot of each, Primary and Inactive ones;
 *	under @lock
 * @aux: aux_size bytes per slot. A block's are the business of the session that
 *	holds it as Mutable, under its mutex; from Staged on they do not change
 * @tag: id of the manager, for traces and events; immutable once published
 * @tier: KVBM_TIER_*, for events; immutable once published
 * @notify: called without spinlocks when blocks became available, or on shutdown;
 *	immutable once published
 * @notify_arg: for @notify
 * @large: held by an allocation of more than a chunk
 * @lock: protects all below, and @slots and @buckets
 * @shutdown: nothing but releases any more
 * @reporting: it was announced, and not shut down since: what happens is told in
 *	events
 * @quotas: there are quotas: what sessions hold is charged to their accounts
 * @epoch: of sessions that may change anything; written under @lock
 * @forced: sessions of an earlier epoch keep their Mutable and Staged blocks
 *	until they end; written under @lock
 * @write_pins: references of write pins on all slots together
 * @free: the reset pool, first in first out
 * @evictor: the inactive pool
 * @promised: blocks of the two pools that were promised to a large allocation
 *	or to waiters, and not taken yet
 * @first_waiter: first come, first served
 * @last_waiter: same, other end
 * @last_ticket: given to a waiter
 * @notified: counters.freed when @notify was last called
 * @counters: all but the gauges that are derived when they are read
 * @regret: evictions that may turn out to be regretted
 */
struct kvbm_store {
	struct kvbm_store_config config;
	struct kvbm_registry *registry;
	struct kvbm_share share;
	struct kvbm_key key;
	u32 mask;
	struct kvbm_slot *slots;
	u32 *buckets;
	void *aux;
	u64 tag;
	u8 tier;
	void (*notify)(void *arg);
	void *notify_arg;
	struct mutex large;	/* see above */

	spinlock_t lock ____cacheline_aligned_in_smp;
	bool shutdown;
	bool reporting;
	bool quotas;
	u32 epoch;
	u32 forced;
	u64 write_pins;
	struct kvbm_slot_list free;
	struct kvbm_evictor *evictor;
	u32 promised;
	struct kvbm_waiter *first_waiter;
	struct kvbm_waiter *last_waiter;
	u64 last_ticket;
	u64 notified;
	struct kvbm_counters counters;
	struct kvbm_regret regret;
};

static inline struct kvbm_token kvbm_slot_token(const struct kvbm_store *s, u32 id)
{
	return (struct kvbm_token){ .id = id, .gen = s->slots[id].gen };
}

/*
 * Blocks that are not promised to anybody. Matches do not ask: they may take
 * blocks that are.
 */
static inline u32 kvbm_store_available(const struct kvbm_store *s)
{
	u32 blocks = s->free.count + s->evictor->count;

	lockdep_assert_held(&s->lock);
	return blocks > s->promised ? blocks - s->promised : 0;
}

/* The bucket that a hash belongs to. */
static inline u32 kvbm_store_bucket(const struct kvbm_store *s,
				    const struct kvbm_hash *hash)
{
	return kvbm_key_hash(&s->key, hash) & s->mask;
}

/* The Primary or Inactive slot of a hash of @bucket, or KVBM_NIL. */
static inline u32 kvbm_store_lookup_in(const struct kvbm_store *s, u32 bucket,
				       const struct kvbm_hash *hash)
{
	u32 id = s->buckets[bucket];

	lockdep_assert_held(&s->lock);
	while (id != KVBM_NIL && !kvbm_hash_equal(&s->slots[id].hash, hash))
		id = s->slots[id].chain;
	return id;
}

static inline u32 kvbm_store_lookup(const struct kvbm_store *s,
				    const struct kvbm_hash *hash)
{
	return kvbm_store_lookup_in(s, kvbm_store_bucket(s, hash), hash);
}

/*
 * wait.c: unlock after blocks may have become available, and serve who waits.
 */
void kvbm_store_unlock(struct kvbm_store *s) __releases(&s->lock);
int kvbm_store_claim(struct kvbm_store *s, u32 need, struct kvbm_allocation *a,
		     struct kvbm_waiter *w);
int kvbm_store_refuse(struct kvbm_store *s, struct kvbm_allocation *a,
		      struct kvbm_waiter *w);
int kvbm_store_wait(struct kvbm_store *s, struct kvbm_waiter *w,
		    struct kvbm_allocation *a);
void kvbm_store_unclaim(struct kvbm_store *s, struct kvbm_waiter *w);
void kvbm_store_cancel_waiters(struct kvbm_store *s,
			       const struct kvbm_holder *holder, int err);

int kvbm_store_check_alive(struct kvbm_store *s);
void kvbm_store_touch(struct kvbm_store *s, const struct kvbm_hash *hashes,
		      const struct kvbm_token *tokens, u32 count,
		      enum kvbm_match_mode mode);

/* report.c: each under the lock of the store. */
void kvbm_store_report_self(const struct kvbm_store *s, struct kvbm_report *report);
void kvbm_store_report_block(const struct kvbm_store *s, u32 id,
			     struct kvbm_report *report);
void kvbm_store_drained(struct kvbm_store *s);
void kvbm_store_end_reports(struct kvbm_store *s);

/* wait.c, for epoch.c */
void kvbm_store_cancel_fenced(struct kvbm_store *s);

/* quota.c */
bool kvbm_accounts_fit(const struct kvbm_accounts *accounts, u32 units);
void kvbm_accounts_add(struct kvbm_accounts *accounts, u32 units);
void kvbm_accounts_sub(struct kvbm_accounts *accounts, u32 units);
bool kvbm_quota_fits(const struct kvbm_holder *h, u32 units);
void kvbm_quota_charge(struct kvbm_holder *h, u32 units);
int kvbm_quota_charge_new(struct kvbm_holder *h);
void kvbm_quota_settle(struct kvbm_holder *h);

/* The transitions; each under the lock of the store. See store.c. */
void kvbm_store_revive(struct kvbm_store *s, u32 id);
void kvbm_store_unused(struct kvbm_store *s, u32 id, struct kvbm_release_hint hint);
void kvbm_store_take(struct kvbm_store *s, u32 count, struct kvbm_allocation *a);
void kvbm_store_count_allocation(struct kvbm_store *s,
				 const struct kvbm_allocation *a);
void kvbm_store_stage(struct kvbm_store *s, u32 id, const struct kvbm_hash *hash);
void kvbm_store_unstage(struct kvbm_store *s, u32 id);
void kvbm_store_drain_one(struct kvbm_store *s);
u32 kvbm_store_register(struct kvbm_store *s, u32 id, u8 *kind);

/**
 * kvbm_store_ref - take a reference on a registered block
 * @s: the store, locked
 * @id: Primary, Duplicate or Inactive
 */
static inline void kvbm_store_ref(struct kvbm_store *s, u32 id)
{
	lockdep_assert_held(&s->lock);
	if (s->slots[id].state == KVBM_STATE_INACTIVE)
		kvbm_store_revive(s, id);
	s->slots[id].refs++;
}

/**
 * kvbm_store_unref - drop references on a block
 * @s: the store, locked
 * @id: Mutable, Staged, Primary or Duplicate, with at least @refs references
 * @refs: how many
 * @hint: for the policy, should the block become Inactive
 */
static inline void kvbm_store_unref(struct kvbm_store *s, u32 id, u64 refs,
				    struct kvbm_release_hint hint)
{
	struct kvbm_slot *slot = &s->slots[id];

	lockdep_assert_held(&s->lock);
	slot->refs -= refs;
	if (!slot->refs)
		kvbm_store_unused(s, id, hint);
}

/* As kvbm_store_ref(), for a guard of a session. */
static inline void kvbm_store_guard(struct kvbm_store *s, u32 id)
{
	kvbm_store_ref(s, id);
	s->counters.inflight_immutable++;
}

/* As kvbm_store_unref(), for guards of a session. */
static inline void kvbm_store_unguard(struct kvbm_store *s, u32 id, u64 guards,
				      struct kvbm_release_hint hint)
{
	u8 state = s->slots[id].state;

	if (state == KVBM_STATE_PRIMARY || state == KVBM_STATE_DUPLICATE)
		s->counters.inflight_immutable -= guards;
	kvbm_store_unref(s, id, guards, hint);
}

#endif /* KVBM_ENGINE_STORE_H */
