// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The store: one manager's slots, and every transition that a slot can make.
 *
 *	Reset     -> Mutable	allocation, from the head of the reset pool
 *	Inactive  -> Mutable	allocation, by eviction
 *	Mutable   -> Staged	stage
 *	Staged    -> Mutable	unstage
 *	Mutable   -> Reset	release
 *	Staged    -> Reset	release, or a refused registration
 *	Staged    -> Primary	registration of an absent hash
 *	Staged    -> Duplicate	registration of a present hash
 *	Primary   -> Inactive	last reference gone
 *	Primary   -> Reset	the same, with reset-on-release
 *	Duplicate -> Reset	last reference gone
 *	Inactive  -> Primary	match, or registration of its hash
 *	Inactive  -> Reset	drain
 *
 * A reference is dropped and the transition made under one hold of the lock,
 * so nobody can ever see a Primary that nobody holds.
 */
#include "store.h"

/* Slots that are set up, or taken down, between two points to relax. */
#define SETUP_BATCH	4096

static bool is_available(u8 state)
{
	return state == KVBM_STATE_RESET || state == KVBM_STATE_INACTIVE;
}

static void set_state(struct kvbm_store *s, struct kvbm_slot *slot, u8 state)
{
	u8 from = slot->state;

	lockdep_assert_held(&s->lock);
	s->counters.states[from]--;
	s->counters.states[state]++;
	s->counters.change++;
	if (is_available(state) && !is_available(from))
		s->counters.freed++;
	slot->state = state;
	kvbm_trace_transition(s->tag, slot - s->slots, slot->gen, from, state,
			      &slot->hash);
}

static u8 default_flags(const struct kvbm_store *s)
{
	return s->config.reset_on_release ? KVBM_SLOT_RESET_ON_RELEASE : 0;
}

/* The block in an event, if there shall be one. */
static const struct kvbm_report *report_of(const struct kvbm_store *s, u32 id,
					   struct kvbm_report *report)
{
	lockdep_assert_held(&s->lock);
	if (!s->reporting || !kvbm_event_heard(kvbm_registry_events(s->registry)))
		return NULL;
	kvbm_store_report_block(s, id, report);
	return report;
}

/* Return: the hash of the hash, for who needs it next. */
static u32 index_insert(struct kvbm_store *s, u32 id)
{
	struct kvbm_slot *slot = &s->slots[id];
	u32 key = kvbm_key_hash(&s->key, &slot->hash);
	u32 *bucket = &s->buckets[key & s->mask];
	struct kvbm_report report;

	lockdep_assert_held(&s->lock);
	slot->chain = *bucket;
	*bucket = id;
	kvbm_registry_present(s->registry, s->share.bit, &slot->hash,
			      report_of(s, id, &report));
	return key;
}

/* Return: as index_insert(). */
static u32 index_remove(struct kvbm_store *s, u32 id)
{
	struct kvbm_slot *slot = &s->slots[id];
	u32 key = kvbm_key_hash(&s->key, &slot->hash);
	u32 *link = &s->buckets[key & s->mask];
	struct kvbm_report report;

	lockdep_assert_held(&s->lock);
	while (*link != id)
		link = &s->slots[*link].chain;
	*link = slot->chain;
	kvbm_registry_absent(s->registry, s->share.bit, &slot->hash,
			     report_of(s, id, &report));
	return key;
}

static void to_reset(struct kvbm_store *s, u32 id)
{
	set_state(s, &s->slots[id], KVBM_STATE_RESET);
	kvbm_slot_list_add_tail(&s->free, s->slots, id);
}

static void to_mutable(struct kvbm_store *s, u32 id)
{
	struct kvbm_slot *slot = &s->slots[id];

	/* 0 is the generation of no token. */
	if (!++slot->gen)
		slot->gen = 1;
	slot->refs = 1;
	slot->flags = default_flags(s);
	set_state(s, slot, KVBM_STATE_MUTABLE);
}

/* Inactive to Primary; the caller takes a reference. */
void kvbm_store_revive(struct kvbm_store *s, u32 id)
{
	kvbm_evictor_remove(s->evictor, id);
	set_state(s, &s->slots[id], KVBM_STATE_PRIMARY);
}

/* The last reference on a block is gone. */
void kvbm_store_unused(struct kvbm_store *s, u32 id, struct kvbm_release_hint hint)
{
	struct kvbm_slot *slot = &s->slots[id];

	lockdep_assert_held(&s->lock);
	switch (slot->state) {
	case KVBM_STATE_PRIMARY:
		if (slot->flags & KVBM_SLOT_RESET_ON_RELEASE) {
			index_remove(s, id);
			to_reset(s, id);
			return;
		}
		set_state(s, slot, KVBM_STATE_INACTIVE);
		kvbm_evictor_insert(s->evictor, id, hint);
		return;
	case KVBM_STATE_DUPLICATE:
		to_reset(s, id);
		/* Its reference on the Primary; one level deep, no further. */
		kvbm_store_unref(s, slot->primary, 1, hint);
		return;
	default:
		to_reset(s, id);
	}
}

/**
 * kvbm_store_take - allocate blocks
 * @s: the store, locked
 * @count: blocks; the two pools have that many
 * @a: where to: blocks of the reset pool fill its tokens from the start, evicted
 *	ones from the end, backwards
 *
 * The caller counts them when the whole allocation is done.
 */
void kvbm_store_take(struct kvbm_store *s, u32 count, struct kvbm_allocation *a)
{
	u32 i, id, key;

	lockdep_assert_held(&s->lock);
	for (i = 0; i < count; i++) {
		id = s->free.head;
		if (id != KVBM_NIL) {
			kvbm_slot_list_del(&s->free, s->slots, id);
			to_mutable(s, id);
			a->tokens[a->nr_reset++] = kvbm_slot_token(s, id);
			continue;
		}
		id = s->evictor->ops->next(s->evictor);
		kvbm_evictor_remove(s->evictor, id);
		key = index_remove(s, id);
		kvbm_regret_evicted(&s->regret, key, &s->slots[id].hash, &s->counters);
		if (a->evicted)
			a->evicted[a->nr_evicted] = s->slots[id].hash;
		to_mutable(s, id);
		a->tokens[a->count - ++a->nr_evicted] = kvbm_slot_token(s, id);
	}
}

/* The counters of an allocation; apart, for one that may still fail. */
void kvbm_store_count_allocation(struct kvbm_store *s,
				 const struct kvbm_allocation *a)
{
	lockdep_assert_held(&s->lock);
	s->counters.allocations += a->count;
	s->counters.allocations_from_reset += a->nr_reset;
	s->counters.evictions += a->nr_evicted;
}

/* Mutable to Staged. */
void kvbm_store_stage(struct kvbm_store *s, u32 id, const struct kvbm_hash *hash)
{
	s->slots[id].hash = *hash;
	set_state(s, &s->slots[id], KVBM_STATE_STAGED);
	s->counters.stagings++;
}

/* Staged to Mutable; what was said of its release is forgotten. */
void kvbm_store_unstage(struct kvbm_store *s, u32 id)
{
	s->slots[id].flags = default_flags(s);
	set_state(s, &s->slots[id], KVBM_STATE_MUTABLE);
}

/* The next victim to Reset; the inactive pool is not empty. */
void kvbm_store_drain_one(struct kvbm_store *s)
{
	u32 id = s->evictor->ops->next(s->evictor);

	lockdep_assert_held(&s->lock);
	kvbm_evictor_remove(s->evictor, id);
	index_remove(s, id);
	to_reset(s, id);
}

/**
 * kvbm_store_register - register a Staged block
 * @s: the store, locked
 * @id: the block; its one reference becomes a guard on the result
 * @kind: out, KVBM_REGISTERED_*
 *
 * The caller adds to the counter of registrations when its whole batch is
 * done: consumers take that counter for a watermark.
 *
 * Return: the block that the caller now has a guard on.
 */
u32 kvbm_store_register(struct kvbm_store *s, u32 id, u8 *kind)
{
	struct kvbm_slot *slot = &s->slots[id];
	u32 present = kvbm_store_lookup(s, &slot->hash), key;

	lockdep_assert_held(&s->lock);
	s->counters.inflight_immutable++;
	if (present == KVBM_NIL) {
		set_state(s, slot, KVBM_STATE_PRIMARY);
		key = index_insert(s, id);
		kvbm_regret_registered(&s->regret, key, &slot->hash, &s->counters);
		*kind = KVBM_REGISTERED_NEW;
		return id;
	}
	kvbm_store_ref(s, present);
	if (s->config.duplication == KVBM_DUP_ALLOW) {
		set_state(s, slot, KVBM_STATE_DUPLICATE);
		slot->primary = present;
		s->counters.duplicate_blocks++;
		*kind = KVBM_REGISTERED_DUPLICATE;
		return id;
	}
	slot->refs = 0;
	to_reset(s, id);
	s->counters.registration_dedup++;
	*kind = KVBM_REGISTERED_EXISTING;
	return present;
}

/**
 * kvbm_store_config_check - validate what a user gave
 * @config: the configuration
 *
 * Context: any.
 * Return: 0 or -EINVAL.
 */
int kvbm_store_config_check(const struct kvbm_store_config *config)
{
	const struct kvbm_eviction_ops *ops;
	u32 args[ARRAY_SIZE(config->policy_args)];

	if (!config->block_count || config->block_count > KVBM_MAX_BLOCKS ||
	    !is_power_of_2(config->block_size) ||
	    config->block_size > KVBM_MAX_BLOCK_SIZE ||
	    config->nr_reserved >= config->block_count ||
	    config->duplication > KVBM_DUP_REJECT ||
	    config->policy > KVBM_POLICY_LINEAGE_FIFO ||
	    config->aux_size > KVBM_MAX_AUX)
		return -EINVAL;
	memcpy(args, config->policy_args, sizeof(args));
	ops = kvbm_eviction_find(config->policy);
	return ops ? ops->check_args(args) : kvbm_eviction_no_args(args);
}

/**
 * kvbm_store_config_settle - fill defaults in, and see that the registry fits
 * @config: passed kvbm_store_config_check()
 * @registry: that the store is to join
 *
 * Context: any.
 * Return: 0, or -ENODATA: the policy needs lineage in the hashes, or a
 * frequency sketch, and the registry was made without.
 */
int kvbm_store_config_settle(struct kvbm_store_config *config,
			     const struct kvbm_registry *registry)
{
	u32 schema = kvbm_registry_schema(registry);
	const struct kvbm_eviction_ops *ops;

	if (config->policy == KVBM_POLICY_DEFAULT)
		config->policy = kvbm_eviction_default(schema);
	ops = kvbm_eviction_find(config->policy);
	if (ops->needs & KVBM_EVICTION_NEEDS_LINEAGE && schema != KVBM_SCHEMA_PLH)
		return -ENODATA;
	if (ops->needs & KVBM_EVICTION_NEEDS_SKETCH &&
	    !kvbm_registry_has_sketch(registry))
		return -ENODATA;
	return ops->check_args(config->policy_args);
}

static int setup_slots(struct kvbm_store *s)
{
	u32 first_gen, id;

	kvbm_random(&first_gen, sizeof(first_gen));
	kvbm_slot_list_init(&s->free);
	for (id = 0; id < s->config.block_count; id++) {
		if (id % SETUP_BATCH == 0) {
			if (kvbm_killed())
				return -EINTR;
			kvbm_relax();
		}
		/* The tenant to come is the first one. */
		s->slots[id].gen = first_gen;
		if (id < s->config.nr_reserved)
			s->slots[id].flags = KVBM_SLOT_RESERVED;
		else
			kvbm_slot_list_add_tail(&s->free, s->slots, id);
	}
	s->counters.states[KVBM_STATE_RESET] = s->free.count;
	return 0;
}

static u32 frequency(void *arg, const struct kvbm_hash *hash)
{
	return kvbm_registry_frequency(arg, hash);
}

static int setup_evictor(struct kvbm_store *s)
{
	struct kvbm_eviction_config config = {
		.slots = s->slots,
		.block_count = s->config.block_count,
		.frequency = frequency,
		.frequency_arg = s->registry,
	};
	const struct kvbm_eviction_ops *ops = kvbm_eviction_find(s->config.policy);
	int err;

	memcpy(config.args, s->config.policy_args, sizeof(config.args));
	err = ops->create(&config, &s->evictor);
	if (err)
		return err;
	s->evictor->ops = ops;
	s->evictor->slots = s->slots;
	s->evictor->block_count = s->config.block_count;
	return 0;
}

/**
 * kvbm_store_alloc - make a store, with all the memory it will ever need
 * @registry: the registry that it joins
 * @config: passed kvbm_store_config_check() and kvbm_store_config_settle()
 * @out: the store
 *
 * Context: may sleep.
 * Return: 0, -ENOMEM, -ENOSPC (no room in the registry),
 * -EINTR (the caller is being killed).
 */
int kvbm_store_alloc(struct kvbm_registry *registry,
		     const struct kvbm_store_config *config,
		     struct kvbm_store **out)
{
	u32 buckets = kvbm_bucket_count(config->block_count);
	struct kvbm_store *s = kvbm_alloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->config = *config;
	s->registry = registry;
	s->mask = buckets - 1;
	s->epoch = 1;
	kvbm_key_init(&s->key);
	mutex_init(&s->large);
	spin_lock_init(&s->lock);

	/* First, for it says whether there is room in the registry. */
	err = kvbm_registry_join(registry, config->block_count, &s->share);
	if (err)
		goto err_free_store;
	err = -ENOMEM;
	s->slots = kvbm_alloc(config->block_count, sizeof(*s->slots));
	if (!s->slots)
		goto err_leave;
	s->buckets = kvbm_alloc(buckets, sizeof(*s->buckets));
	if (!s->buckets)
		goto err_free_slots;
	kvbm_fill_nil(s->buckets, buckets);
	if (config->aux_size) {
		s->aux = kvbm_alloc(config->block_count, config->aux_size);
		if (!s->aux)
			goto err_free_buckets;
	}
	err = setup_slots(s);
	if (err)
		goto err_free_aux;
	err = kvbm_regret_init(&s->regret, config->block_count);
	if (err)
		goto err_free_aux;
	s->counters.regret_sample = s->regret.sample;
	err = setup_evictor(s);
	if (err)
		goto err_free_regret;
	*out = s;
	return 0;

err_free_regret:
	kvbm_regret_destroy(&s->regret);
err_free_aux:
	kvbm_free(s->aux);
err_free_buckets:
	kvbm_free(s->buckets);
err_free_slots:
	kvbm_free(s->slots);
err_leave:
	kvbm_registry_leave(registry, &s->share);
err_free_store:
	mutex_destroy(&s->large);
	kvbm_free(s);
	return err;
}

/**
 * kvbm_store_free - undo kvbm_store_alloc()
 * @store: a store that no holder refers to any more
 *
 * Context: may sleep.
 */
void kvbm_store_free(struct kvbm_store *store)
{
	u32 bucket, n = 0;

	spin_lock(&store->lock);
	kvbm_store_end_reports(store);
	spin_unlock(&store->lock);
	kvbm_event_tell(kvbm_registry_events(store->registry));
	/* Nobody else is here any more; the lock is for the annotations. */
	for (bucket = 0; bucket <= store->mask; bucket++) {
		spin_lock(&store->lock);
		while (store->buckets[bucket] != KVBM_NIL)
			index_remove(store, store->buckets[bucket]);
		spin_unlock(&store->lock);
		if (n++ % KVBM_CHUNK == 0)
			kvbm_relax();
	}
	kvbm_registry_leave(store->registry, &store->share);
	store->evictor->ops->destroy(store->evictor);
	kvbm_regret_destroy(&store->regret);
	kvbm_free(store->aux);
	kvbm_free(store->buckets);
	kvbm_free(store->slots);
	mutex_destroy(&store->large);
	kvbm_free(store);
}

/**
 * kvbm_store_bytes - memory that a store takes
 * @config: of the store, settled
 *
 * Context: any.
 * Return: bytes.
 */
u64 kvbm_store_bytes(const struct kvbm_store_config *config)
{
	u64 count = config->block_count;

	return sizeof(struct kvbm_store) + count * sizeof(struct kvbm_slot) +
	       kvbm_bucket_count(count) * sizeof(u32) +
	       count * config->aux_size + kvbm_share_bytes(count) +
	       kvbm_eviction_find(config->policy)->bytes(count) +
	       kvbm_regret_bytes(count);
}

/**
 * kvbm_store_publish - what a store shall know of the world before it is used
 * @store: the store
 * @tag: id of its manager, for traces and events
 * @tier: KVBM_TIER_*, for events
 * @notify: called without spinlocks when blocks became available and when the
 *	store is shut down; may be NULL; must not sleep
 * @arg: for @notify
 *
 * Context: any; nobody else knows the store yet.
 */
void kvbm_store_publish(struct kvbm_store *store, u64 tag, u8 tier,
			void (*notify)(void *arg), void *arg)
{
	store->tag = tag;
	store->tier = tier;
	store->notify = notify;
	store->notify_arg = arg;
}

/* Which bit of kvbm_registry_presence() is the store's. */
u32 kvbm_store_bit(const struct kvbm_store *store)
{
	return store->share.bit;
}

/* The aux of a block; see struct kvbm_store for who may touch it. */
void *kvbm_store_aux(const struct kvbm_store *store, u32 id)
{
	return (char *)store->aux + (size_t)id * store->config.aux_size;
}

/**
 * kvbm_store_poll - how many blocks could be allocated now
 * @store: the store
 * @available: out
 *
 * Context: any.
 * Return: false when the store is shut down.
 */
bool kvbm_store_poll(struct kvbm_store *store, u32 *available)
{
	bool alive;

	spin_lock(&store->lock);
	alive = !store->shutdown;
	*available = store->first_waiter ? 0 : kvbm_store_available(store);
	spin_unlock(&store->lock);
	return alive;
}

/**
 * kvbm_store_shutdown - let nobody take anything any more
 * @store: the store
 * @force: even if guards are held
 *
 * From then on all calls of holders answer -ESHUTDOWN, releases excepted, those
 * that wait for blocks too.
 *
 * Context: not under a spinlock.
 * Return: 0, or -EBUSY: something is held, and nothing changed.
 */
int kvbm_store_shutdown(struct kvbm_store *store, bool force)
{
	const u64 *states = store->counters.states;
	int err = 0;

	spin_lock(&store->lock);
	if (!force && (store->promised ||
		       states[KVBM_STATE_RESET] + states[KVBM_STATE_INACTIVE] !=
		       store->config.block_count - store->config.nr_reserved)) {
		err = -EBUSY;
	} else {
		store->shutdown = true;
		kvbm_store_end_reports(store);
	}
	spin_unlock(&store->lock);
	if (!err) {
		kvbm_event_tell(kvbm_registry_events(store->registry));
		kvbm_store_cancel_waiters(store, NULL, -ESHUTDOWN);
		if (store->notify)
			store->notify(store->notify_arg);
	}
	return err;
}

/* -ESHUTDOWN after a shutdown. Who holds blocks can go on with them for a bit. */
int kvbm_store_check_alive(struct kvbm_store *s)
{
	bool shutdown;

	spin_lock(&s->lock);
	shutdown = s->shutdown;
	spin_unlock(&s->lock);
	return shutdown ? -ESHUTDOWN : 0;
}

const struct kvbm_store_config *kvbm_store_config(const struct kvbm_store *store)
{
	return &store->config;
}

/**
 * kvbm_store_counters - one consistent snapshot
 * @store: the store
 * @out: the snapshot
 *
 * Context: any.
 */
void kvbm_store_counters(struct kvbm_store *store, struct kvbm_counters *out)
{
	spin_lock(&store->lock);
	*out = store->counters;
	spin_unlock(&store->lock);
	out->inflight_mutable = out->states[KVBM_STATE_MUTABLE];
	out->reset_pool_size = out->states[KVBM_STATE_RESET];
	out->inactive_pool_size = out->states[KVBM_STATE_INACTIVE];
}

/**
 * kvbm_store_note_reclaim - count what a session held when it ended
 * @store: the store
 * @reclaim: what it held; nothing is counted when that is nothing
 * @took_ns: how long it took to give it back
 * @end_ns: when that was done
 *
 * Context: any.
 */
void kvbm_store_note_reclaim(struct kvbm_store *store,
			     const struct kvbm_reclaim *reclaim, u64 took_ns,
			     u64 end_ns)
{
	struct kvbm_counters *c = &store->counters;

	if (!reclaim->mutable && !reclaim->staged && !reclaim->immutable)
		return;
	spin_lock(&store->lock);
	c->reclaimed_sessions++;
	c->reclaimed_mutable += reclaim->mutable;
	c->reclaimed_staged += reclaim->staged;
	c->reclaimed_immutable += reclaim->immutable;
	c->reclaim_last_ns = took_ns;
	c->reclaim_max_ns = max(c->reclaim_max_ns, took_ns);
	c->reclaim_total_ns += took_ns;
	c->reclaim_end_ns = end_ns;
	spin_unlock(&store->lock);
}
