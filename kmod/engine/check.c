// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Walks over a store that only report: one compares what should agree, one
 * tells all.
 */
#include "store.h"

/*
 * Longer than any chain of a keyed hash with one entry per bucket gets. In a
 * broken store a chain may never end, and we hold the lock.
 */
#define MAX_CHAIN	1024

static void complain(struct kvbm_check_result *out, u32 what, u32 id)
{
	if (!out->errors++) {
		out->first_error = what;
		out->first_block = id;
	}
}

static bool is_present(struct kvbm_store *s, const struct kvbm_slot *slot)
{
	return kvbm_registry_presence(s->registry, &slot->hash) &
	       1ULL << s->share.bit;
}

/* As kvbm_store_lookup(), for an index that is not to be trusted. */
static bool is_indexed(struct kvbm_store *s, u32 id)
{
	const struct kvbm_hash *hash = &s->slots[id].hash;
	u32 at = s->buckets[kvbm_key_hash(&s->key, hash) & s->mask];
	u32 length = 0;

	lockdep_assert_held(&s->lock);
	while (at < s->config.block_count && ++length <= MAX_CHAIN) {
		if (kvbm_hash_equal(&s->slots[at].hash, hash))
			return at == id;
		at = s->slots[at].chain;
	}
	return false;
}

/* KVBM_CHECK_* of one slot. */
static u32 check_slot(struct kvbm_store *s, u32 id)
{
	const struct kvbm_slot *slot = &s->slots[id], *primary;
	u32 size = s->config.block_count;
	bool held;

	lockdep_assert_held(&s->lock);
	if (slot->flags & KVBM_SLOT_RESERVED)
		return slot->state == KVBM_STATE_RESET && !slot->refs ?
		       KVBM_CHECK_OK : KVBM_CHECK_BAD_STATE;
	if (kvbm_slot_writers(slot) && slot->state != KVBM_STATE_MUTABLE &&
	    slot->state != KVBM_STATE_STAGED)
		return KVBM_CHECK_BAD_REFS;
	switch (slot->state) {
	case KVBM_STATE_RESET:
		if (slot->refs)
			return KVBM_CHECK_BAD_REFS;
		if (!kvbm_slot_list_linked(&s->free, s->slots, size, id))
			return KVBM_CHECK_BAD_POOL;
		return KVBM_CHECK_OK;
	case KVBM_STATE_MUTABLE:
	case KVBM_STATE_STAGED:
		/* One guard at most, and any number of write pins. */
		if (!slot->refs || slot->refs - slot->writers > 1)
			return KVBM_CHECK_BAD_REFS;
		break;
	case KVBM_STATE_PRIMARY:
	case KVBM_STATE_INACTIVE:
		held = slot->state == KVBM_STATE_PRIMARY;
		if (held != !!slot->refs)
			return KVBM_CHECK_BAD_REFS;
		if (!is_indexed(s, id))
			return KVBM_CHECK_BAD_INDEX;
		if (!is_present(s, slot))
			return KVBM_CHECK_BAD_PRESENCE;
		if (slot->state == KVBM_STATE_INACTIVE &&
		    !s->evictor->ops->linked(s->evictor, id))
			return KVBM_CHECK_BAD_POOL;
		break;
	case KVBM_STATE_DUPLICATE:
		if (!slot->refs)
			return KVBM_CHECK_BAD_REFS;
		if (slot->primary >= size)
			return KVBM_CHECK_BAD_PRIMARY;
		primary = &s->slots[slot->primary];
		if (primary->state != KVBM_STATE_PRIMARY || !primary->refs ||
		    !kvbm_hash_equal(&primary->hash, &slot->hash))
			return KVBM_CHECK_BAD_PRIMARY;
		break;
	default:
		return KVBM_CHECK_BAD_STATE;
	}
	return slot->gen ? KVBM_CHECK_OK : KVBM_CHECK_BAD_GENERATION;
}

/* What is in the index is registered; the reverse is up to check_slot(). */
static void check_bucket(struct kvbm_store *s, u32 bucket,
			 struct kvbm_check_result *out, u64 *indexed)
{
	u32 id = s->buckets[bucket], length = 0;

	lockdep_assert_held(&s->lock);
	for (; id != KVBM_NIL; id = s->slots[id].chain) {
		if (id >= s->config.block_count || ++length > MAX_CHAIN) {
			/* A bad link or a loop: there is no way on. */
			complain(out, KVBM_CHECK_BAD_INDEX, id);
			return;
		}
		if (s->slots[id].state != KVBM_STATE_PRIMARY &&
		    s->slots[id].state != KVBM_STATE_INACTIVE)
			complain(out, KVBM_CHECK_BAD_INDEX, id);
	}
	*indexed += length;
}

static void check_sums(struct kvbm_store *s, u64 indexed,
		       struct kvbm_check_result *out)
{
	const u64 *states = out->states;

	lockdep_assert_held(&s->lock);
	if (memcmp(states, s->counters.states, sizeof(out->states)) ||
	    s->free.count != states[KVBM_STATE_RESET] ||
	    s->evictor->count != states[KVBM_STATE_INACTIVE])
		complain(out, KVBM_CHECK_BAD_COUNT, KVBM_NIL);
	if (indexed != states[KVBM_STATE_PRIMARY] + states[KVBM_STATE_INACTIVE])
		complain(out, KVBM_CHECK_BAD_INDEX, KVBM_NIL);
}

/**
 * kvbm_store_check - look for broken invariants
 * @store: the store
 * @out: what was found
 *
 * Context: may sleep; a bounded number of slots under each hold of the lock.
 * Return: 0, or -EINTR when the caller is being killed.
 */
int kvbm_store_check(struct kvbm_store *store, struct kvbm_check_result *out)
{
	u32 size = store->config.block_count, buckets = store->mask + 1;
	u64 indexed = 0, change;
	u32 i, end, error;

	memset(out, 0, sizeof(*out));
	spin_lock(&store->lock);
	change = store->counters.change;
	spin_unlock(&store->lock);

	for (i = 0; i < size; ) {
		end = min_t(u32, size, i + KVBM_CHUNK);
		spin_lock(&store->lock);
		for (; i < end; i++) {
			error = check_slot(store, i);
			if (error)
				complain(out, error, i);
			if (error != KVBM_CHECK_BAD_STATE &&
			    !(store->slots[i].flags & KVBM_SLOT_RESERVED))
				out->states[store->slots[i].state]++;
		}
		spin_unlock(&store->lock);
		kvbm_relax();
		if (kvbm_killed())
			return -EINTR;
	}
	out->blocks = size;

	for (i = 0; i < buckets; ) {
		end = min_t(u32, buckets, i + KVBM_CHUNK);
		spin_lock(&store->lock);
		for (; i < end; i++)
			check_bucket(store, i, out, &indexed);
		spin_unlock(&store->lock);
		kvbm_relax();
		if (kvbm_killed())
			return -EINTR;
	}

	spin_lock(&store->lock);
	out->exact = store->counters.change == change;
	if (out->exact)
		check_sums(store, indexed, out);
	spin_unlock(&store->lock);
	return 0;
}

static void describe(const struct kvbm_store *s, u32 id, struct kvbm_slot_info *info)
{
	const struct kvbm_slot *slot = &s->slots[id];

	lockdep_assert_held(&s->lock);
	*info = (struct kvbm_slot_info){
		.token = kvbm_slot_token(s, id),
		.state = slot->state,
		.refs = slot->refs,
	};
	if (slot->flags & KVBM_SLOT_RESET_ON_RELEASE)
		info->flags |= KVBM_SLOT_INFO_RESET_ON_RELEASE;
	if (slot->flags & KVBM_SLOT_RESERVED)
		info->flags |= KVBM_SLOT_INFO_RESERVED;
	if (kvbm_slot_writers(slot))
		info->flags |= KVBM_SLOT_INFO_WRITE_PINNED;
	if (slot->state != KVBM_STATE_RESET && slot->state != KVBM_STATE_MUTABLE)
		info->hash = slot->hash;
}

/**
 * kvbm_store_dump - tell what there is
 * @store: the store
 * @start: first slot
 * @count: room in @slots
 * @slots: out
 *
 * Context: may sleep; KVBM_CHUNK slots under each hold of the lock.
 * Return: slots written.
 */
u32 kvbm_store_dump(struct kvbm_store *store, u32 start, u32 count,
		    struct kvbm_slot_info *slots)
{
	u32 size = store->config.block_count, n = 0, end;

	if (start >= size)
		return 0;
	count = min_t(u32, count, size - start);
	while (n < count) {
		end = min_t(u32, count, n + KVBM_CHUNK);
		spin_lock(&store->lock);
		for (; n < end; n++)
			describe(store, start + n, &slots[n]);
		spin_unlock(&store->lock);
		kvbm_relax();
	}
	return n;
}
