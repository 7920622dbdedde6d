// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Guards of any kind go back, blocks leave the cache.
 */
#include "holder.h"

#define ANY_STATE	(BIT(KVBM_NR_STATES) - 1)

/**
 * kvbm_holder_release_locked - give guards back
 * @h: the holder, locked
 * @tokens: the guards, in the order in which they go back
 * @count: how many
 * @hint: for the policy
 * @failed: out, on an error about one token: its index
 *
 * Context: may sleep.
 * Return: 0; or, with nothing changed, -ENXIO, -ESTALE, -EOWNERDEAD (a
 * Mutable or Staged block that is withheld).
 */
int kvbm_holder_release_locked(struct kvbm_holder *h,
			       const struct kvbm_token *tokens, u32 count,
			       struct kvbm_release_hint hint, u32 *failed)
{
	struct kvbm_store *s = h->store;
	u32 states = ANY_STATE;
	u64 before;
	u32 i, end;
	int err;

	h->given_back = 0;
	if (kvbm_holder_is_withheld(h))
		states = BIT(KVBM_STATE_PRIMARY) | BIT(KVBM_STATE_DUPLICATE);
	err = kvbm_holder_borrow(h, tokens, count, states, failed);
	if (err == -EBADFD)
		err = -EOWNERDEAD;
	if (err)
		return err;
	for (i = 0; i < count; ) {
		end = min_t(u32, count, i + KVBM_CHUNK);
		spin_lock(&s->lock);
		before = s->counters.freed;
		for (; i < end; i++)
			kvbm_store_unguard(s, tokens[i].id, 1, hint);
		h->given_back += s->counters.freed - before;
		kvbm_store_unlock(s);
		kvbm_relax();
	}
	kvbm_holder_settle(h);
	return 0;
}

/**
 * kvbm_holder_release - give guards back
 * @holder: the session
 * @tokens: the guards, in the order in which they go back
 * @count: how many
 * @hint: for the policy
 * @failed: out, on an error about one token: its index
 *
 * Works on a manager that was shut down, too.
 *
 * Context: may sleep.
 * Return: 0; or, with nothing changed, -ENXIO, -ESTALE, -EOWNERDEAD.
 */
int kvbm_holder_release(struct kvbm_holder *holder,
			const struct kvbm_token *tokens, u32 count,
			struct kvbm_release_hint hint, u32 *failed)
{
	int err = kvbm_holder_lock(holder);

	if (err)
		return err;
	err = kvbm_holder_release_locked(holder, tokens, count, hint, failed);
	mutex_unlock(&holder->lock);
	return err;
}

static void reset_one(struct kvbm_holder *h, u32 id)
{
	h->store->slots[id].flags |= KVBM_SLOT_RESET_ON_RELEASE;
}

static void cache_one(struct kvbm_holder *h, u32 id)
{
	h->store->slots[id].flags &= ~KVBM_SLOT_RESET_ON_RELEASE;
}

/**
 * kvbm_holder_set_reset - say what the last release of blocks does
 * @holder: the session
 * @tokens: guards on Staged or registered blocks
 * @count: how many
 * @reset: reset them, or cache them
 * @failed: out, on an error about one token: its index
 *
 * Context: may sleep.
 * Return: 0; or, with nothing changed, -EBADFD (state),
 * -ENXIO, -ESTALE, -ESHUTDOWN, -EOWNERDEAD.
 */
int kvbm_holder_set_reset(struct kvbm_holder *holder,
			  const struct kvbm_token *tokens, u32 count, bool reset,
			  u32 *failed)
{
	u32 states = BIT(KVBM_STATE_STAGED) | BIT(KVBM_STATE_PRIMARY) |
		     BIT(KVBM_STATE_DUPLICATE);
	int err = kvbm_holder_lock_change(holder);

	if (err)
		return err;
	err = kvbm_holder_apply(holder, tokens, count, states,
				reset ? reset_one : cache_one, failed);
	mutex_unlock(&holder->lock);
	return err;
}

static u32 count_held(const struct kvbm_store *s)
{
	const u64 *states = s->counters.states;

	lockdep_assert_held(&s->lock);
	return states[KVBM_STATE_MUTABLE] + states[KVBM_STATE_STAGED] +
	       states[KVBM_STATE_PRIMARY] + states[KVBM_STATE_DUPLICATE];
}

/**
 * kvbm_holder_drain - empty the cache
 * @holder: the session
 * @drained: out, Inactive blocks that were reset
 * @in_use: out, blocks that are held, and stay
 *
 * Blocks that become Inactive while it runs may stay: there is an end to it.
 *
 * Context: may sleep.
 * Return: 0; -ESHUTDOWN, -EOWNERDEAD, -EINTR (killed), and then some may be drained.
 */
int kvbm_holder_drain(struct kvbm_holder *holder, u32 *drained, u32 *in_use)
{
	struct kvbm_store *s = holder->store;
	u32 todo, part;
	int err;

	*drained = 0;
	err = kvbm_holder_lock_change(holder);
	if (err)
		return err;
	/* No business of the session's own: others of it need not wait. */
	mutex_unlock(&holder->lock);
	err = kvbm_store_check_alive(s);
	if (err)
		return err;
	spin_lock(&s->lock);
	todo = s->evictor->count;
	*in_use = count_held(s);
	spin_unlock(&s->lock);
	while (todo) {
		if (kvbm_killed())
			return -EINTR;
		spin_lock(&s->lock);
		/* Others of the session need not wait, so a raiser does not. */
		if (kvbm_holder_is_fenced(holder)) {
			spin_unlock(&s->lock);
			return -EOWNERDEAD;
		}
		for (part = 0; todo && part < KVBM_CHUNK; part++, todo--) {
			if (!s->evictor->count) {
				todo = 0;
				break;
			}
			kvbm_store_drain_one(s);
			++*drained;
		}
		*in_use = count_held(s);
		if (!todo && *drained)
			kvbm_store_drained(s);
		spin_unlock(&s->lock);
		kvbm_event_tell(kvbm_registry_events(s->registry));
		kvbm_relax();
	}
	return 0;
}
