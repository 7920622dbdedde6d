// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Looking blocks up: by hash, and by what is left of a guard.
 */
#include "holder.h"

#define REGISTERED	(BIT(KVBM_STATE_PRIMARY) | BIT(KVBM_STATE_DUPLICATE))

static const struct kvbm_token no_token;

static bool is_scan(enum kvbm_match_mode mode)
{
	return mode == KVBM_LOOKUP_SCAN || mode == KVBM_LOOKUP_SCAN_TOUCH;
}

/* How many slots are fetched ahead; of buckets, twice as many. */
#define AHEAD	8
/* Slots that stay in a cache of the processor by themselves: 1 MiB of them. */
#define SMALL_POOL	16384

/**
 * struct pipeline - look-ups of one chunk
 * @hashes: of the chunk
 * @count: how many
 * @hashed: those whose bucket is known, and on its way
 * @fetched: those whose slot is on its way
 * @buckets: of the hashes
 *
 * In a large pool a look-up is two loads from memory, one after the other: those
 * of the next hashes go on while one is done.
 */
struct pipeline {
	const struct kvbm_hash *hashes;
	u32 count;
	u32 hashed;
	u32 fetched;
	u32 buckets[KVBM_CHUNK];
};

static void look_ahead(const struct kvbm_store *s, struct pipeline *p, u32 hashed,
		       u32 fetched)
{
	u32 id, end = min_t(u32, p->count, hashed);

	for (; p->hashed < end; p->hashed++) {
		p->buckets[p->hashed] = kvbm_store_bucket(s, &p->hashes[p->hashed]);
		prefetch(&s->buckets[p->buckets[p->hashed]]);
	}
	end = min_t(u32, p->count, fetched);
	for (; p->fetched < end; p->fetched++) {
		id = s->buckets[p->buckets[p->fetched]];
		if (id != KVBM_NIL)
			prefetch(&s->slots[id]);
	}
}

/* One hash of a match or scan. Return: whether there is a guard. */
static inline bool look_up(struct kvbm_holder *h, u32 bucket,
			   const struct kvbm_hash *hash, bool scan,
			   struct kvbm_token *token)
{
	struct kvbm_store *s = h->store;
	u32 id = kvbm_store_lookup_in(s, bucket, hash);

	if (id == KVBM_NIL || (scan && !kvbm_holder_scanned(h, id))) {
		*token = no_token;
		return false;
	}
	if (s->slots[id].state == KVBM_STATE_INACTIVE)
		h->revived++;
	kvbm_store_guard(s, id);
	*token = kvbm_slot_token(s, id);
	if (!scan)
		kvbm_holder_add(h, id);
	return true;
}

/*
 * One chunk, under the lock of the store; a prefix ends at the first miss.
 * Return: guards taken.
 */
static u32 look_up_chunk(struct kvbm_holder *h, struct pipeline *p,
			 enum kvbm_match_mode mode, struct kvbm_token *tokens)
{
	bool prefix = mode == KVBM_LOOKUP_PREFIX, scan = is_scan(mode);
	struct kvbm_store *s = h->store;
	bool small = s->config.block_count <= SMALL_POOL;
	u32 i, ahead, bucket, found = 0;

	lockdep_assert_held(&s->lock);
	p->hashed = 0;
	p->fetched = 0;
	for (i = 0; i < p->count; i++) {
		if (small) {
			bucket = kvbm_store_bucket(s, &p->hashes[i]);
		} else {
			/* A prefix may end at once: as far as it has got already. */
			ahead = prefix ? min_t(u32, i, AHEAD) : AHEAD;
			look_ahead(s, p, i + 1 + 2 * ahead, i + 1 + ahead);
			bucket = p->buckets[i];
		}
		if (look_up(h, bucket, &p->hashes[i], scan, &tokens[i]))
			found++;
		else if (prefix)
			break;
	}
	return found;
}

/* More than the session may hold: tail first, as a release should be. */
static void undo(struct kvbm_holder *h, const struct kvbm_token *tokens, u32 count)
{
	u32 i, ignored;

	for (i = count; i--; )
		if (tokens[i].gen)
			kvbm_holder_release_locked(h, &tokens[i], 1,
						   (struct kvbm_release_hint){},
						   &ignored);
}

/* The counters of a match; apart, for a call that may still fail. */
void kvbm_store_count_match(struct kvbm_store *s, u32 requested, u32 returned)
{
	lockdep_assert_held(&s->lock);
	s->counters.match_hashes_requested += requested;
	s->counters.match_blocks_returned += returned;
}

static void count_look_up(struct kvbm_store *s, enum kvbm_match_mode mode,
			  u32 requested, u32 returned)
{
	lockdep_assert_held(&s->lock);
	if (is_scan(mode)) {
		s->counters.scan_hashes_requested += requested;
		s->counters.scan_blocks_returned += returned;
	} else {
		kvbm_store_count_match(s, requested, returned);
	}
}

/**
 * kvbm_holder_match_locked - take guards by hash
 * @h: the holder, locked, with room for @count
 * @hashes: the hashes
 * @count: how many
 * @mode: what to do with misses
 * @tokens: out, room for @count; for a prefix only @matched of them
 * @matched: out, guards taken
 * @counted: move the counters, under the last hold; not for a call that may
 *	still fail
 *
 * Blocks of an earlier chunk are held while the next one is looked up, so a
 * prefix is one that was present as a whole.
 *
 * Context: may sleep.
 * Return: 0, -EDQUOT or -ESHUTDOWN, and then there are no guards.
 */
int kvbm_holder_match_locked(struct kvbm_holder *h,
			     const struct kvbm_hash *hashes, u32 count,
			     enum kvbm_match_mode mode,
			     struct kvbm_token *tokens, u32 *matched,
			     bool counted)
{
	struct kvbm_store *s = h->store;
	bool prefix = mode == KVBM_LOOKUP_PREFIX, more;
	struct pipeline p __uninitialized;
	u32 i = 0, found;
	int err;

	lockdep_assert_held(&h->lock);
	*matched = 0;
	h->revived = 0;
	do {
		p.hashes = hashes + i;
		p.count = min_t(u32, count - i, KVBM_CHUNK);
		spin_lock(&s->lock);
		if (s->shutdown && !i) {
			spin_unlock(&s->lock);
			return -ESHUTDOWN;
		}
		found = look_up_chunk(h, &p, mode, tokens + i);
		*matched += found;
		i += p.count;
		err = kvbm_quota_charge_new(h);
		more = !err && i < count && !(prefix && found < p.count);
		if (counted && !more && !err)
			count_look_up(s, mode, count, *matched);
		spin_unlock(&s->lock);
		kvbm_relax();
	} while (more);
	if (is_scan(mode))
		kvbm_holder_unmark(h);
	if (err)
		undo(h, tokens, prefix ? *matched : i);
	return err;
}

/**
 * kvbm_store_touch - hashes that a look-up asked for were used
 * @s: the store
 * @hashes: the hashes
 * @tokens: what was found, empty for a miss; NULL if all were found
 * @count: how many
 * @mode: of the look-up
 *
 * Once for each hit of a match, given twice or not. A scan is a use of what is
 * present in any store of the registry.
 *
 * Context: may sleep.
 */
void kvbm_store_touch(struct kvbm_store *s, const struct kvbm_hash *hashes,
		      const struct kvbm_token *tokens, u32 count,
		      enum kvbm_match_mode mode)
{
	bool used;
	u32 i;

	if (!kvbm_registry_has_sketch(s->registry) || mode == KVBM_LOOKUP_SCAN)
		return;
	for (i = 0; i < count; i++) {
		used = !tokens || tokens[i].gen;
		if (!used && mode == KVBM_LOOKUP_SCAN_TOUCH)
			used = kvbm_registry_presence(s->registry, &hashes[i]);
		if (used)
			kvbm_registry_touch(s->registry, &hashes[i]);
		if (i % KVBM_CHUNK == 0)
			kvbm_relax();
	}
}

/**
 * kvbm_holder_match - take guards by hash
 * @holder: the session
 * @hashes: the hashes
 * @count: how many
 * @mode: what to do with misses
 * @tokens: out, room for @count; for a prefix only @matched of them
 * @matched: out, guards taken
 *
 * Context: may sleep.
 * Return: 0, -EDQUOT, -ENOMEM, -EOVERFLOW, -ESHUTDOWN, -EOWNERDEAD.
 */
int kvbm_holder_match(struct kvbm_holder *holder, const struct kvbm_hash *hashes,
		      u32 count, enum kvbm_match_mode mode,
		      struct kvbm_token *tokens, u32 *matched)
{
	int err;

	err = kvbm_holder_lock(holder);
	if (err)
		return err;
	err = kvbm_holder_reserve(holder, count);
	if (err)
		goto unlock;
	err = kvbm_holder_match_locked(holder, hashes, count, mode, tokens, matched,
				       true);
	if (err)
		goto unlock;
	/* The guards keep what was found where it is. */
	if (mode == KVBM_LOOKUP_PREFIX)
		count = *matched;
	if (count)
		kvbm_store_touch(holder->store, hashes, tokens, count, mode);
unlock:
	mutex_unlock(&holder->lock);
	return err;
}

/**
 * kvbm_store_probe - how long a prefix is present
 * @store: the store
 * @hashes: the prefix
 * @count: its length
 * @length: out
 *
 * Takes nothing, counts nothing, touches nothing; blocks of one chunk may have
 * gone when the next one is looked at.
 *
 * Context: may sleep.
 * Return: 0 or -ESHUTDOWN.
 */
int kvbm_store_probe(struct kvbm_store *store, const struct kvbm_hash *hashes,
		     u32 count, u32 *length)
{
	u32 i = 0, end;
	bool shutdown, missed = false;

	do {
		end = min_t(u32, count, i + KVBM_CHUNK);
		spin_lock(&store->lock);
		shutdown = store->shutdown;
		for (; i < end && !missed; i++)
			missed = kvbm_store_lookup(store, &hashes[i]) == KVBM_NIL;
		spin_unlock(&store->lock);
		if (shutdown)
			return -ESHUTDOWN;
		kvbm_relax();
	} while (i < count && !missed);
	*length = missed ? i - 1 : i;
	return 0;
}

/* What a weak block stands for now, or KVBM_NIL. */
static u32 upgrade_one(struct kvbm_store *s, const struct kvbm_hash *hash,
		       struct kvbm_token token)
{
	const struct kvbm_slot *slot;

	lockdep_assert_held(&s->lock);
	if (token.id < s->config.block_count) {
		token.id = array_index_nospec(token.id, s->config.block_count);
		slot = &s->slots[token.id];
		if (slot->gen == token.gen && BIT(slot->state) & REGISTERED &&
		    kvbm_hash_equal(&slot->hash, hash))
			return token.id;
	}
	return kvbm_store_lookup(s, hash);
}

/**
 * kvbm_holder_upgrade - weak blocks to guards
 * @holder: the session
 * @hashes: of the weak blocks
 * @tokens: that once named them; out: the guards, empty where there is none
 * @count: how many
 * @upgraded: out, guards taken
 *
 * Moves no counter of matches.
 *
 * Context: may sleep.
 * Return: 0, -EDQUOT, -ENOMEM, -EOVERFLOW, -ESHUTDOWN, -EOWNERDEAD.
 */
int kvbm_holder_upgrade(struct kvbm_holder *holder,
			const struct kvbm_hash *hashes, struct kvbm_token *tokens,
			u32 count, u32 *upgraded)
{
	struct kvbm_store *s = holder->store;
	u32 i = 0, end, id;
	int err;

	*upgraded = 0;
	err = kvbm_holder_lock(holder);
	if (err)
		return err;
	err = kvbm_holder_reserve(holder, count);
	if (err)
		goto unlock;
	err = kvbm_store_check_alive(s);
	if (err)
		goto unlock;
	while (!err && i < count) {
		end = min_t(u32, count, i + KVBM_CHUNK);
		spin_lock(&s->lock);
		for (; i < end; i++) {
			id = upgrade_one(s, &hashes[i], tokens[i]);
			tokens[i] = no_token;
			if (id == KVBM_NIL)
				continue;
			kvbm_store_guard(s, id);
			kvbm_holder_add(holder, id);
			tokens[i] = kvbm_slot_token(s, id);
			++*upgraded;
		}
		err = kvbm_quota_charge_new(holder);
		spin_unlock(&s->lock);
		kvbm_relax();
	}
	if (err)
		undo(holder, tokens, i);
unlock:
	mutex_unlock(&holder->lock);
	return err;
}

static void clone_one(struct kvbm_holder *h, u32 id)
{
	kvbm_store_guard(h->store, id);
	kvbm_holder_add(h, id);
}

/**
 * kvbm_holder_clone - one more guard on each of some registered blocks
 * @holder: the session
 * @tokens: guards on registered blocks
 * @count: how many
 * @failed: out, on an error about one token: its index
 *
 * Context: may sleep.
 * Return: 0; or, with nothing changed, -EBADFD (state),
 * -ENXIO, -ESTALE, -ENOMEM, -EOVERFLOW, -ESHUTDOWN, -EOWNERDEAD.
 */
int kvbm_holder_clone(struct kvbm_holder *holder,
		      const struct kvbm_token *tokens, u32 count, u32 *failed)
{
	int err = kvbm_holder_lock(holder);

	if (err)
		return err;
	err = kvbm_holder_reserve(holder, count);
	if (!err)
		err = kvbm_holder_apply(holder, tokens, count, REGISTERED,
					clone_one, failed);
	mutex_unlock(&holder->lock);
	return err;
}
