// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Allocation, alone and together with a prefix match.
 *
 * Up to KVBM_CHUNK blocks come under one hold of the store's lock. A larger
 * allocation first has all its blocks promised to it, under one hold, then
 * takes them chunk by chunk; store->large lets one such run at a time. Too few
 * blocks are an answer, or a reason to wait: see wait.c.
 */
#include "holder.h"

static bool is_large(u32 count)
{
	return count > KVBM_CHUNK;
}

/* Evicted blocks were filled in backwards: first victim first. */
static void put_in_order(struct kvbm_allocation *a)
{
	struct kvbm_token *tokens = a->tokens + a->count - a->nr_evicted, token;
	u32 i, j;

	for (i = 0, j = a->nr_evicted; i + 1 < j; i++) {
		token = tokens[i];
		tokens[i] = tokens[--j];
		tokens[j] = token;
	}
}

/* It is done; the blocks are the session's, and their aux is as it was. */
static void finish(struct kvbm_holder *h, struct kvbm_allocation *a)
{
	const struct kvbm_token *evicted = a->tokens + a->count - a->nr_evicted;
	size_t size = h->store->config.aux_size;
	char *aux = a->evicted_aux;
	u32 i;

	put_in_order(a);
	for (i = 0; i < a->count; i++) {
		kvbm_holder_add(h, a->tokens[i].id);
		if ((i + 1) % KVBM_CHUNK == 0)
			kvbm_relax();
	}
	if (!aux)
		return;
	for (i = 0; i < a->nr_evicted; i++) {
		memcpy(aux + i * size, kvbm_store_aux(h->store, evicted[i].id), size);
		if (i % KVBM_CHUNK == 0)
			kvbm_relax();
	}
}

static int allocate_small(struct kvbm_store *s, struct kvbm_allocation *a,
			  struct kvbm_waiter *w)
{
	int err = -ESHUTDOWN;

	spin_lock(&s->lock);
	if (!s->shutdown)
		err = kvbm_store_claim(s, a->count, a, w);
	if (!err) {
		kvbm_store_take(s, a->count, a);
		kvbm_store_count_allocation(s, a);
	}
	/* A promise may have been handed in. */
	kvbm_store_unlock(s);
	return err;
}

static int promise(struct kvbm_store *s, struct kvbm_allocation *a,
		   struct kvbm_waiter *w)
{
	int err = -ESHUTDOWN;

	spin_lock(&s->lock);
	if (!s->shutdown)
		err = kvbm_store_claim(s, a->count, a, w);
	if (!err)
		s->promised += a->count;
	kvbm_store_unlock(s);
	return err;
}

/*
 * Take the next chunk of what was promised. Matches do not know of promises:
 * they may have made a promised block Primary. Then there is nothing more to
 * come, and what was evicted before stays evicted.
 */
static bool take_promised(struct kvbm_store *s, struct kvbm_allocation *a)
{
	u32 left = a->count - a->nr_reset - a->nr_evicted;
	u32 part = min_t(u32, left, KVBM_CHUNK);
	bool there;

	spin_lock(&s->lock);
	there = part <= s->free.count + s->evictor->count;
	if (there) {
		s->promised -= part;
		kvbm_store_take(s, part, a);
		if (part == left)
			kvbm_store_count_allocation(s, a);
	} else {
		s->promised -= left;
		/* Others may have been refused for the sake of the promise. */
		s->counters.freed++;
		s->counters.evictions += a->nr_evicted;
		s->counters.allocate_atomic_rollback++;
		a->freed = s->counters.freed;
	}
	kvbm_store_unlock(s);
	return there;
}

static void give_back(struct kvbm_store *s, struct kvbm_token *tokens, u32 count)
{
	u32 i, end;

	for (i = 0; i < count; ) {
		end = min_t(u32, count, i + KVBM_CHUNK);
		spin_lock(&s->lock);
		for (; i < end; i++)
			kvbm_store_unref(s, tokens[i].id, 1,
					 (struct kvbm_release_hint){});
		kvbm_store_unlock(s);
		kvbm_relax();
	}
}

static void roll_back(struct kvbm_store *s, struct kvbm_allocation *a)
{
	give_back(s, a->tokens, a->nr_reset);
	give_back(s, a->tokens + a->count - a->nr_evicted, a->nr_evicted);
	/* What we gave back is no reason for the caller to try again. */
	a->freed += a->nr_reset + a->nr_evicted;
	a->nr_reset = 0;
	a->nr_evicted = 0;
}

static int allocate_large(struct kvbm_store *s, struct kvbm_allocation *a,
			  struct kvbm_waiter *w)
{
	int err;

	lockdep_assert_held(&s->large);
	err = promise(s, a, w);
	if (err)
		return err;
	while (a->nr_reset + a->nr_evicted < a->count) {
		if (!take_promised(s, a)) {
			roll_back(s, a);
			return kvbm_store_refuse(s, a, w);
		}
		kvbm_relax();
	}
	return 0;
}

/**
 * kvbm_holder_allocate_locked - allocate blocks
 * @h: the holder, locked, with room for the blocks; if there are more than
 *	KVBM_CHUNK, the store's large mutex is held, too
 * @a: the allocation; its @total is set
 * @w: to wait with, if @a has a deadline
 *
 * Context: may sleep.
 * Return: 0, -ENOSPC, -EDQUOT, -EOWNERDEAD, -ESHUTDOWN, -EAGAIN (@w is queued).
 */
int kvbm_holder_allocate_locked(struct kvbm_holder *h, struct kvbm_allocation *a,
				struct kvbm_waiter *w)
{
	struct kvbm_store *s = h->store;
	int err;

	a->nr_evicted = 0;
	a->nr_reset = 0;
	err = is_large(a->count) ? allocate_large(s, a, w) : allocate_small(s, a, w);
	if (!err)
		finish(h, a);
	return err;
}

/**
 * kvbm_holder_lock_large - take the mutexes for a call that may be large
 * @h: the holder
 * @count: blocks
 *
 * Context: may sleep.
 * Return: 0, -EINTR (killed), -EOWNERDEAD.
 */
int kvbm_holder_lock_large(struct kvbm_holder *h, u32 count)
{
	int err;

	if (is_large(count) && mutex_lock_killable(&h->store->large))
		return -EINTR;
	err = kvbm_holder_lock_change(h);
	if (err && is_large(count))
		mutex_unlock(&h->store->large);
	return err;
}

void kvbm_holder_unlock_large(struct kvbm_holder *h, u32 count)
{
	mutex_unlock(&h->lock);
	if (is_large(count))
		mutex_unlock(&h->store->large);
}

/*
 * How long a prefix is present, in ids written to @tokens, and how many of its
 * blocks are Inactive, each counted once.
 */
static u32 look(struct kvbm_store *s, const struct kvbm_hash *hashes, u32 count,
		struct kvbm_token *tokens, u32 *inactive)
{
	u32 i, n, id;

	lockdep_assert_held(&s->lock);
	*inactive = 0;
	for (n = 0; n < count; n++) {
		id = kvbm_store_lookup(s, &hashes[n]);
		if (id == KVBM_NIL)
			break;
		tokens[n].id = id;
		if (s->slots[id].state == KVBM_STATE_INACTIVE &&
		    !(s->slots[id].flags & KVBM_SLOT_SEEN)) {
			s->slots[id].flags |= KVBM_SLOT_SEEN;
			++*inactive;
		}
	}
	for (i = 0; i < n; i++)
		s->slots[tokens[i].id].flags &= ~KVBM_SLOT_SEEN;
	return n;
}

/*
 * Of matched blocks, those that the session does not hold yet, each once. Only
 * quotas need to know before it is done.
 */
static u32 count_fresh(struct kvbm_holder *h, const struct kvbm_token *tokens,
		       u32 n)
{
	struct kvbm_store *s = h->store;
	u32 i, fresh = 0;

	lockdep_assert_held(&s->lock);
	if (!s->quotas)
		return 0;
	for (i = 0; i < n; i++) {
		struct kvbm_slot *slot = &s->slots[tokens[i].id];

		if (slot->flags & KVBM_SLOT_SEEN || kvbm_holder_has(h, tokens[i].id))
			continue;
		slot->flags |= KVBM_SLOT_SEEN;
		fresh++;
	}
	for (i = 0; i < n; i++)
		s->slots[tokens[i].id].flags &= ~KVBM_SLOT_SEEN;
	return fresh;
}

/*
 * Match and allocate under one hold: whether it fits is known beforehand.
 * @rest becomes the allocation of what was not matched.
 */
static int take_both(struct kvbm_store *s, const struct kvbm_hash *hashes,
		     u32 nr_hashes, struct kvbm_allocation *rest,
		     struct kvbm_waiter *w, u32 *matched)
{
	struct kvbm_token *tokens = rest->tokens;
	u32 inactive, n, i;
	int err;

	lockdep_assert_held(&s->lock);
	if (s->shutdown)
		return -ESHUTDOWN;
	n = look(s, hashes, nr_hashes, tokens, &inactive);
	rest->tokens += n;
	rest->count -= n;
	w->fresh = count_fresh(w->holder, tokens, n);
	/* Matched blocks leave the inactive pool: no victim of their own call. */
	err = kvbm_store_claim(s, rest->count ? rest->count + inactive : 0, rest, w);
	if (err)
		return err;
	for (i = 0; i < n; i++) {
		kvbm_store_guard(s, tokens[i].id);
		tokens[i] = kvbm_slot_token(s, tokens[i].id);
	}
	kvbm_store_take(s, rest->count, rest);
	kvbm_store_count_allocation(s, rest);
	kvbm_store_count_match(s, nr_hashes, n);
	*matched = n;
	return 0;
}

static int acquire_small(struct kvbm_holder *h, const struct kvbm_hash *hashes,
			 u32 nr_hashes, struct kvbm_allocation *rest,
			 struct kvbm_waiter *w, u32 *matched)
{
	struct kvbm_store *s = h->store;
	const struct kvbm_token *tokens = rest->tokens;
	u32 i;
	int err;

	spin_lock(&s->lock);
	err = take_both(s, hashes, nr_hashes, rest, w, matched);
	kvbm_store_unlock(s);
	if (err)
		return err;
	for (i = 0; i < *matched; i++)
		kvbm_holder_add(h, tokens[i].id);
	finish(h, rest);
	return 0;
}

static int acquire_large(struct kvbm_holder *h, const struct kvbm_hash *hashes,
			 u32 nr_hashes, struct kvbm_allocation *rest,
			 struct kvbm_waiter *w, u32 *matched)
{
	const struct kvbm_token *tokens = rest->tokens;
	u32 n, i, ignored;
	int err;

	err = kvbm_holder_match_locked(h, hashes, nr_hashes, KVBM_LOOKUP_PREFIX,
				       rest->tokens, &n, false);
	if (err)
		return err;
	rest->count -= n;
	rest->tokens += n;
	w->revived = h->revived;
	err = kvbm_holder_allocate_locked(h, rest, w);
	if (err) {
		/* Tail first: the shortest prefix shall live longest. */
		for (i = n; i--; ) {
			kvbm_holder_release_locked(h, &tokens[i], 1,
						   (struct kvbm_release_hint){},
						   &ignored);
			rest->freed += h->given_back;
		}
		return err;
	}
	*matched = n;
	spin_lock(&h->store->lock);
	kvbm_store_count_match(h->store, nr_hashes, n);
	spin_unlock(&h->store->lock);
	return 0;
}

/* One attempt, with the mutexes that it takes. */
static int attempt(struct kvbm_holder *h, const struct kvbm_hash *hashes,
		   u32 nr_hashes, struct kvbm_allocation *a,
		   struct kvbm_waiter *w, u32 *matched)
{
	/* Of what a match leaves to allocate. */
	struct kvbm_allocation rest = *a;
	int err;

	err = kvbm_holder_lock_large(h, a->count);
	if (err)
		return err;
	err = kvbm_holder_reserve(h, a->count);
	if (err)
		goto unlock;
	if (!nr_hashes)
		err = kvbm_holder_allocate_locked(h, &rest, w);
	else if (is_large(a->count))
		err = acquire_large(h, hashes, nr_hashes, &rest, w, matched);
	else
		err = acquire_small(h, hashes, nr_hashes, &rest, w, matched);
	a->nr_evicted = err ? 0 : rest.nr_evicted;
	a->freed = rest.freed;
	if (!err)
		kvbm_store_touch(h->store, hashes, NULL, *matched,
				 KVBM_LOOKUP_PREFIX);
	kvbm_quota_settle(h);
unlock:
	kvbm_holder_unlock_large(h, a->count);
	return err;
}

/**
 * kvbm_holder_acquire - match a prefix and allocate the rest
 * @holder: the session
 * @hashes: the prefix
 * @nr_hashes: its length, at most @allocation->count
 * @allocation: blocks wanted in all; its tokens are first those matched
 * @matched: out, length of the prefix that is present
 *
 * Both or neither. Up to KVBM_CHUNK blocks it is one hold of the lock, and a
 * refusal touches nothing. Beyond that, Inactive blocks that were matched
 * before the allocation was refused return to the policy as just released.
 *
 * Context: may sleep.
 * Return: 0, -ENOSPC, -EDQUOT, -ENOMEM, -EOVERFLOW, -ESHUTDOWN,
 * -EOWNERDEAD, -EINTR (killed; while waiting: a signal), -ETIMEDOUT.
 */
int kvbm_holder_acquire(struct kvbm_holder *holder,
			const struct kvbm_hash *hashes, u32 nr_hashes,
			struct kvbm_allocation *allocation, u32 *matched)
{
	struct kvbm_waiter w = { .holder = holder };
	int err;

	*matched = 0;
	allocation->nr_evicted = 0;
	allocation->nr_reset = 0;
	allocation->total = allocation->count;
	do {
		err = attempt(holder, hashes, nr_hashes, allocation, &w, matched);
		if (err != -EAGAIN)
			break;
		err = kvbm_store_wait(holder->store, &w, allocation);
	} while (!err);
	/* A promise that was never handed in, and how long it took. */
	kvbm_store_unclaim(holder->store, &w);
	return err;
}

/**
 * kvbm_holder_allocate - allocate blocks, all or none
 * @holder: the session
 * @allocation: how many and where to
 *
 * Context: may sleep.
 * Return: as kvbm_holder_acquire().
 */
int kvbm_holder_allocate(struct kvbm_holder *holder,
			 struct kvbm_allocation *allocation)
{
	u32 ignored;

	return kvbm_holder_acquire(holder, NULL, 0, allocation, &ignored);
}
