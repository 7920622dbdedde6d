// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What one session holds: a table of (block, guards), so that a token of
 * somebody else is refused and everything goes back when the session ends.
 *
 * The table is the session's own, under its mutex; room for a batch is made
 * before the lock of the store is taken.
 */
#include "holder.h"

/**
 * struct kvbm_holding - guards on one block
 * @id: the block
 * @count: guards
 * @marked: of them, those that the call at work was given; 0 between calls
 * @also: with marks: next one that has some
 * @since: when the session took its first guard on the block, see since_of()
 * @chain: next in the bucket; unused ones: next unused
 * @prev: holding of the block taken before this one
 * @next: holding of the block taken after this one
 */
struct kvbm_holding {
	u32 id;
	u32 count;
	u32 marked;
	u32 also;
	u32 since;
	u32 chain;
	u32 prev;
	u32 next;
};

/* Two to a cache line. */
static_assert(sizeof(struct kvbm_holding) == 32);

#define MIN_HOLDINGS	64

/* Ages are kept in 32 bits: steps of 17 ms, for two years. */
#define SINCE_SHIFT	24

static u32 since_of(u64 ns)
{
	return ns >> SINCE_SHIFT;
}

/**
 * kvbm_holder_init - a session begins
 * @holder: memory of the caller
 * @store: outlives the holder
 *
 * Context: any.
 */
void kvbm_holder_init(struct kvbm_holder *holder, struct kvbm_store *store)
{
	memset(holder, 0, sizeof(*holder));
	holder->store = store;
	holder->epoch = kvbm_store_epoch(store);
	mutex_init(&holder->lock);
	holder->free = KVBM_NIL;
	holder->oldest = KVBM_NIL;
	holder->newest = KVBM_NIL;
	holder->marked = KVBM_NIL;
}

/**
 * kvbm_holder_destroy - undo kvbm_holder_init()
 * @holder: nobody uses it any more, kvbm_holder_release_all() was called
 *
 * Context: may sleep.
 */
void kvbm_holder_destroy(struct kvbm_holder *holder)
{
	mutex_destroy(&holder->lock);
}

/**
 * kvbm_holder_lock - take the mutex of a living session
 * @h: the holder
 *
 * Return: 0, or -EOWNERDEAD with the mutex not held.
 */
int kvbm_holder_lock(struct kvbm_holder *h)
{
	mutex_lock(&h->lock);
	if (!h->dead)
		return 0;
	mutex_unlock(&h->lock);
	return -EOWNERDEAD;
}

/**
 * kvbm_holder_lock_change - the same, to change something
 * @h: the holder
 *
 * Return: 0, or -EOWNERDEAD with the mutex not held: also if the session is of an
 * earlier epoch.
 */
int kvbm_holder_lock_change(struct kvbm_holder *h)
{
	int err = kvbm_holder_lock(h);

	if (err || !kvbm_holder_is_fenced(h))
		return err;
	mutex_unlock(&h->lock);
	return -EOWNERDEAD;
}

static inline u32 *bucket_of(struct kvbm_holder *h, u32 id)
{
	return &h->buckets[kvbm_key_id(&h->store->key, id) & h->mask];
}

/* In its bucket; or KVBM_NIL. */
static inline u32 find_in(const struct kvbm_holder *h, const u32 *bucket, u32 id)
{
	u32 i = *bucket;

	while (i != KVBM_NIL && h->holdings[i].id != id)
		i = h->holdings[i].chain;
	return i;
}

static inline u32 find(struct kvbm_holder *h, u32 id)
{
	return h->size ? find_in(h, bucket_of(h, id), id) : KVBM_NIL;
}

static int grow(struct kvbm_holder *h, u32 need)
{
	u32 size = roundup_pow_of_two(max_t(u32, need, MIN_HOLDINGS));
	struct kvbm_holding *holdings = kvbm_alloc(size, sizeof(*holdings));
	u32 *buckets = kvbm_alloc(size, sizeof(*buckets));
	u32 i, n = 0;

	if (!holdings || !buckets) {
		kvbm_free(buckets);
		kvbm_free(holdings);
		return -ENOMEM;
	}
	if (h->size)
		memcpy(holdings, h->holdings, h->size * sizeof(*holdings));
	kvbm_fill_nil(buckets, size);
	kvbm_free(h->holdings);
	kvbm_free(h->buckets);
	h->holdings = holdings;
	h->buckets = buckets;
	h->mask = size - 1;
	for (i = h->oldest; i != KVBM_NIL; i = holdings[i].next) {
		u32 *bucket = bucket_of(h, holdings[i].id);

		holdings[i].chain = *bucket;
		*bucket = i;
		if (++n % KVBM_CHUNK == 0)
			kvbm_relax();
	}
	for (i = size; i-- > h->size; ) {
		holdings[i].chain = h->free;
		h->free = i;
		if (++n % KVBM_CHUNK == 0)
			kvbm_relax();
	}
	h->size = size;
	return 0;
}

/**
 * kvbm_holder_reserve - make room before a store is touched
 * @h: the holder, locked
 * @count: guards to come
 *
 * Context: may sleep.
 * Return: 0, -ENOMEM or -EOVERFLOW.
 */
int kvbm_holder_reserve(struct kvbm_holder *h, u32 count)
{
	u32 need;

	lockdep_assert_held(&h->lock);
	if (h->guards + count > KVBM_MAX_GUARDS)
		return -EOVERFLOW;
	h->now = 0;
	/* There is one holding for all guards on one block. */
	need = min_t(u64, (u64)h->used + count, h->store->config.block_count);
	return need > h->size ? grow(h, need) : 0;
}

/* Room for a holding of a block that is not held yet. */
static u32 holding_new(struct kvbm_holder *h, u32 *bucket, u32 id)
{
	u32 i = h->free;
	struct kvbm_holding *holding = &h->holdings[i];

	/* Once for all that the call takes. */
	if (!h->now)
		h->now = since_of(kvbm_clock());
	h->free = holding->chain;
	*holding = (struct kvbm_holding){
		.id = id,
		.since = h->now,
		.chain = *bucket,
		.prev = h->newest,
		.next = KVBM_NIL,
	};
	*bucket = i;
	if (h->newest == KVBM_NIL) {
		h->oldest = i;
		WRITE_ONCE(h->oldest_since, h->now);
	} else {
		h->holdings[h->newest].next = i;
	}
	h->newest = i;
	WRITE_ONCE(h->used, h->used + 1);
	return i;
}

/* The holding of a block; a new one, without guards, if it is not held. There is room. */
static inline u32 holding_of(struct kvbm_holder *h, u32 id)
{
	u32 *bucket = bucket_of(h, id);
	u32 i = find_in(h, bucket, id);

	return i == KVBM_NIL ? holding_new(h, bucket, id) : i;
}

static inline void add_guard(struct kvbm_holder *h, u32 i)
{
	h->holdings[i].count++;
	WRITE_ONCE(h->guards, h->guards + 1);
}

/* Account for one more guard; there is room. */
void kvbm_holder_add(struct kvbm_holder *h, u32 id)
{
	lockdep_assert_held(&h->lock);
	add_guard(h, holding_of(h, id));
}

/* Whether the session holds a block. */
bool kvbm_holder_has(struct kvbm_holder *h, u32 id)
{
	lockdep_assert_held(&h->lock);
	return find(h, id) != KVBM_NIL;
}

static inline void mark(struct kvbm_holder *h, u32 i)
{
	struct kvbm_holding *holding = &h->holdings[i];

	if (!holding->marked++) {
		holding->also = h->marked;
		h->marked = i;
	}
}

/*
 * A scan found a block. If it is the first time in this scan, account for one
 * more guard; there is room. At its end, kvbm_holder_unmark().
 */
bool kvbm_holder_scanned(struct kvbm_holder *h, u32 id)
{
	u32 i;

	lockdep_assert_held(&h->lock);
	i = holding_of(h, id);
	if (h->holdings[i].marked)
		return false;
	add_guard(h, i);
	mark(h, i);
	return true;
}

/* Mark a block that is held. Return: false if it was marked before. */
bool kvbm_holder_mark(struct kvbm_holder *h, u32 id)
{
	u32 i = find(h, id);

	lockdep_assert_held(&h->lock);
	if (h->holdings[i].marked)
		return false;
	mark(h, i);
	return true;
}

/* No marks any more. */
void kvbm_holder_unmark(struct kvbm_holder *h)
{
	u32 n = 0;

	lockdep_assert_held(&h->lock);
	for (; h->marked != KVBM_NIL; h->marked = h->holdings[h->marked].also) {
		h->holdings[h->marked].marked = 0;
		if (++n % KVBM_CHUNK == 0)
			kvbm_relax();
	}
}

static void holding_remove(struct kvbm_holder *h, u32 i)
{
	struct kvbm_holding *holding = &h->holdings[i];
	u32 *link = bucket_of(h, holding->id);

	while (*link != i)
		link = &h->holdings[*link].chain;
	*link = holding->chain;
	if (holding->next == KVBM_NIL)
		h->newest = holding->prev;
	else
		h->holdings[holding->next].prev = holding->prev;
	if (holding->prev != KVBM_NIL) {
		h->holdings[holding->prev].next = holding->next;
	} else {
		h->oldest = holding->next;
		if (h->oldest != KVBM_NIL)
			WRITE_ONCE(h->oldest_since, h->holdings[h->oldest].since);
	}
	holding->chain = h->free;
	h->free = i;
	WRITE_ONCE(h->used, h->used - 1);
}

static int why_not_held(struct kvbm_store *s, struct kvbm_token token)
{
	bool stale;

	spin_lock(&s->lock);
	stale = s->slots[token.id].gen != token.gen;
	spin_unlock(&s->lock);
	return stale ? -ESTALE : -ENXIO;
}

static int borrow_one(struct kvbm_holder *h, struct kvbm_token token, u32 states)
{
	struct kvbm_store *s = h->store;
	u32 i;

	if (token.id >= s->config.block_count)
		return -ENXIO;
	token.id = array_index_nospec(token.id, s->config.block_count);
	i = find(h, token.id);
	if (i == KVBM_NIL || h->holdings[i].marked == h->holdings[i].count)
		return why_not_held(s, token);
	/* We hold it: neither its tenant nor its state can change. */
	if (s->slots[token.id].gen != token.gen)
		return -ESTALE;
	if (!(states & BIT(s->slots[token.id].state)))
		return -EBADFD;
	mark(h, i);
	return 0;
}

/**
 * kvbm_holder_borrow - check a batch of tokens, and mark their guards
 * @h: the holder, locked
 * @tokens: as a user gave them
 * @count: how many
 * @states: bit per KVBM_STATE_* that is right for the call
 * @failed: out, on an error: the index of the first bad token
 *
 * A guard that is marked is not there for a second token of the batch. To be
 * followed by kvbm_holder_settle().
 *
 * Return: 0; or, with nothing changed, -ENXIO (not held, or not so often),
 * -ESTALE (earlier tenant), -EBADFD (state).
 */
int kvbm_holder_borrow(struct kvbm_holder *h, const struct kvbm_token *tokens,
		       u32 count, u32 states, u32 *failed)
{
	u32 i;
	int err;

	lockdep_assert_held(&h->lock);
	for (i = 0; i < count; i++) {
		err = borrow_one(h, tokens[i], states);
		if (err) {
			*failed = i;
			kvbm_holder_unmark(h);
			return err;
		}
		if (i % KVBM_CHUNK == 0)
			kvbm_relax();
	}
	return 0;
}

/**
 * kvbm_holder_verify - check a batch of tokens that stay held
 * @h: the holder, locked
 * @tokens: as a user gave them
 * @count: how many
 * @states: bit per KVBM_STATE_* that is right for the call
 * @failed: out, on an error: the index of the first bad token
 *
 * Return: as kvbm_holder_borrow().
 */
int kvbm_holder_verify(struct kvbm_holder *h, const struct kvbm_token *tokens,
		       u32 count, u32 states, u32 *failed)
{
	int err = kvbm_holder_borrow(h, tokens, count, states, failed);

	kvbm_holder_unmark(h);
	return err;
}

/**
 * kvbm_holder_apply - do one thing to blocks that stay held
 * @h: the holder, locked
 * @tokens: as a user gave them
 * @count: how many
 * @states: bit per KVBM_STATE_* that is right for the call
 * @apply: what to do to a block, under the lock of the store; no block
 *	becomes available by it
 * @failed: out, on an error: the index of the first bad token
 *
 * Context: may sleep.
 * Return: 0, -ESHUTDOWN, or as kvbm_holder_borrow().
 */
int kvbm_holder_apply(struct kvbm_holder *h, const struct kvbm_token *tokens,
		      u32 count, u32 states,
		      void (*apply)(struct kvbm_holder *h, u32 id), u32 *failed)
{
	struct kvbm_store *s = h->store;
	u32 i = 0, end;
	int err;

	err = kvbm_store_check_alive(s);
	if (err)
		return err;
	err = kvbm_holder_verify(h, tokens, count, states, failed);
	if (err)
		return err;
	while (i < count) {
		end = min_t(u32, count, i + KVBM_CHUNK);
		spin_lock(&s->lock);
		for (; i < end; i++)
			apply(h, tokens[i].id);
		spin_unlock(&s->lock);
		kvbm_relax();
	}
	return 0;
}

/* Borrowed guards are gone for good. */
void kvbm_holder_settle(struct kvbm_holder *h)
{
	u32 i = h->marked, next, n = 0;

	lockdep_assert_held(&h->lock);
	for (; i != KVBM_NIL; i = next) {
		struct kvbm_holding *holding = &h->holdings[i];

		next = holding->also;
		WRITE_ONCE(h->guards, h->guards - holding->marked);
		holding->count -= holding->marked;
		holding->marked = 0;
		if (!holding->count)
			holding_remove(h, i);
		if (++n % KVBM_CHUNK == 0)
			kvbm_relax();
	}
	h->marked = KVBM_NIL;
	kvbm_quota_settle(h);
}

/* The one guard on @from became a guard on @to. There is room. */
void kvbm_holder_replace(struct kvbm_holder *h, u32 from, u32 to)
{
	u32 i = find(h, from), now = h->now;

	lockdep_assert_held(&h->lock);
	/* Held for as long as before. */
	h->now = h->holdings[i].since;
	holding_remove(h, i);
	WRITE_ONCE(h->guards, h->guards - 1);
	add_guard(h, holding_of(h, to));
	h->now = now;
}

/*
 * Give one chunk back, the newest holdings first, from @at on; those on blocks
 * that are not registered stay if @keep. Otherwise nothing stays, and the table
 * is left as it is. Return: where to go on.
 */
static u32 release_chunk(struct kvbm_holder *h, u32 at, bool keep,
			 struct kvbm_reclaim *reclaim)
{
	struct kvbm_store *s = h->store;
	u32 n, here;

	spin_lock(&s->lock);
	for (n = 0; n < KVBM_CHUNK && at != KVBM_NIL; n++) {
		struct kvbm_holding *holding = &h->holdings[at];
		u8 state = s->slots[holding->id].state;

		here = at;
		at = holding->prev;
		if (keep && (state == KVBM_STATE_MUTABLE ||
			     state == KVBM_STATE_STAGED))
			continue;
		if (state == KVBM_STATE_MUTABLE)
			reclaim->mutable += holding->count;
		else if (state == KVBM_STATE_STAGED)
			reclaim->staged += holding->count;
		else
			reclaim->immutable += holding->count;
		kvbm_store_unguard(s, holding->id, holding->count,
				   (struct kvbm_release_hint){});
		if (keep) {
			WRITE_ONCE(h->guards, h->guards - holding->count);
			holding_remove(h, here);
		}
	}
	kvbm_store_unlock(s);
	return at;
}

/* Nothing is held any more. */
static void free_tables(struct kvbm_holder *h)
{
	h->oldest = KVBM_NIL;
	h->newest = KVBM_NIL;
	WRITE_ONCE(h->used, 0);
	WRITE_ONCE(h->guards, 0);
	kvbm_free(h->holdings);
	kvbm_free(h->buckets);
	h->holdings = NULL;
	h->buckets = NULL;
	h->free = KVBM_NIL;
	h->size = 0;
}

/**
 * kvbm_holder_release_all - a session ends
 * @holder: the holder
 * @final: its file is closed; otherwise its owner died
 * @reclaim: out: what it gave back
 *
 * Blocks go back in the reverse of the order in which the session first took
 * them: of a prefix that was matched head first, the tail becomes the first
 * victim. Every later call answers -EOWNERDEAD. Harmless when repeated. Blocks
 * that are withheld (epoch.c) go back only when @final.
 *
 * Context: may sleep; a bounded number of blocks under each hold of the lock.
 */
void kvbm_holder_release_all(struct kvbm_holder *holder, bool final,
			     struct kvbm_reclaim *reclaim)
{
	bool keep;
	u32 at;

	memset(reclaim, 0, sizeof(*reclaim));
	mutex_lock(&holder->lock);
	WRITE_ONCE(holder->dead, true);
	keep = !final && kvbm_holder_is_withheld(holder);
	for (at = holder->newest; at != KVBM_NIL; ) {
		at = release_chunk(holder, at, keep, reclaim);
		kvbm_relax();
	}
	if (!keep)
		free_tables(holder);
	kvbm_quota_settle(holder);
	mutex_unlock(&holder->lock);
	kvbm_store_cancel_waiters(holder->store, holder, -EOWNERDEAD);
}

/* Whether kvbm_holder_release_all() was called. Context: any. */
bool kvbm_holder_is_dead(struct kvbm_holder *holder)
{
	return READ_ONCE(holder->dead);
}

/**
 * kvbm_holder_check - whether a session is good for anything
 * @holder: the session
 *
 * For calls that do not touch what it holds.
 *
 * Context: any.
 * Return: 0, -EOWNERDEAD, -ESHUTDOWN.
 */
int kvbm_holder_check(struct kvbm_holder *holder)
{
	if (kvbm_holder_is_dead(holder))
		return -EOWNERDEAD;
	return kvbm_store_check_alive(holder->store);
}

/**
 * kvbm_holder_sum - how much a session holds, and for how long
 * @holder: the session
 * @sum: out
 *
 * Does not wait for a call of the session that is at work: what is read then is
 * from somewhere in the middle of it.
 *
 * Context: any.
 */
void kvbm_holder_sum(const struct kvbm_holder *holder, struct kvbm_holder_sum *sum)
{
	u32 since = READ_ONCE(holder->oldest_since);
	u64 now = kvbm_clock() >> SINCE_SHIFT;
	u32 age = (u32)now - since;

	/* Taken this moment, and our clock has not seen it yet. */
	if (age > now)
		age = 0;
	sum->blocks = READ_ONCE(holder->used);
	sum->guards = READ_ONCE(holder->guards);
	sum->oldest_ns = sum->blocks ? (now - age) << SINCE_SHIFT : 0;
}

/**
 * kvbm_holder_list - what a session holds
 * @holder: the session
 * @start: blocks to leave out
 * @count: room in @held
 * @held: out, in the order in which the blocks were first taken
 * @listed: out, blocks written
 * @total: out, blocks held
 *
 * Context: may sleep.
 * Return: 0 or -EOWNERDEAD.
 */
int kvbm_holder_list(struct kvbm_holder *holder, u32 start, u32 count,
		     struct kvbm_held *held, u32 *listed, u32 *total)
{
	struct kvbm_store *s = holder->store;
	u32 i, n = 0, at = 0;
	int err = kvbm_holder_lock(holder);

	if (err)
		return err;
	for (i = holder->oldest; i != KVBM_NIL && n < count;
	     i = holder->holdings[i].next) {
		const struct kvbm_holding *holding = &holder->holdings[i];
		/* Held: neither tenant, state nor hash can change. */
		const struct kvbm_slot *slot = &s->slots[holding->id];

		if (at++ % KVBM_CHUNK == 0)
			kvbm_relax();
		if (at <= start)
			continue;
		held[n] = (struct kvbm_held){
			.token = kvbm_slot_token(s, holding->id),
			.guards = holding->count,
			.state = slot->state,
		};
		if (slot->state != KVBM_STATE_MUTABLE)
			held[n].hash = slot->hash;
		n++;
	}
	*listed = n;
	*total = holder->used;
	mutex_unlock(&holder->lock);
	return 0;
}
