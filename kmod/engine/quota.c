// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Quotas: how many blocks a session, a user or a group may hold.
 *
 * A session is charged one unit for each block that it holds, however many
 * guards it has on it, and a pin one for each of its blocks. Until a manager has
 * its first quota, sessions are not charged at all; then what they hold is
 * charged once, and from then on every call leaves h->charged equal to h->used.
 * A call never charges what does not fit, not even for a moment: others of the
 * user would be refused for it.
 *
 * Accounts are changed under the lock of the store, in the holds that take and
 * give back blocks anyway.
 */
#include "holder.h"

/* Whether @units more are allowed. Under the lock of the store. */
bool kvbm_accounts_fit(const struct kvbm_accounts *accounts, u32 units)
{
	const struct kvbm_account *a;
	u32 i;

	if (!units)
		return true;
	for (i = 0; i < KVBM_NR_ACCOUNTS; i++)
		for (a = accounts->of[i]; a; a = a->parent)
			if (a->held > *a->limit || units > *a->limit - a->held)
				return false;
	return true;
}

void kvbm_accounts_add(struct kvbm_accounts *accounts, u32 units)
{
	struct kvbm_account *a;
	u32 i;

	for (i = 0; i < KVBM_NR_ACCOUNTS; i++)
		for (a = accounts->of[i]; a; a = a->parent)
			a->held += units;
}

void kvbm_accounts_sub(struct kvbm_accounts *accounts, u32 units)
{
	struct kvbm_account *a;
	u32 i;

	for (i = 0; i < KVBM_NR_ACCOUNTS; i++)
		for (a = accounts->of[i]; a; a = a->parent)
			a->held -= units;
}

/**
 * kvbm_quota_fits - whether a session may hold more
 * @h: the holder, locked
 * @units: blocks that it does not hold yet
 *
 * Context: under the lock of the store.
 * Return: true or false.
 */
bool kvbm_quota_fits(const struct kvbm_holder *h, u32 units)
{
	lockdep_assert_held(&h->store->lock);
	return !h->store->quotas || kvbm_accounts_fit(&h->accounts, units);
}

/**
 * kvbm_quota_charge - charge a session for what it is about to hold
 * @h: the holder, locked
 * @units: blocks
 *
 * What it did not get in the end, kvbm_quota_settle() takes off again.
 *
 * Context: under the lock of the store.
 */
void kvbm_quota_charge(struct kvbm_holder *h, u32 units)
{
	lockdep_assert_held(&h->store->lock);
	if (!h->store->quotas)
		return;
	kvbm_accounts_add(&h->accounts, units);
	h->charged += units;
}

/**
 * kvbm_quota_charge_new - charge a session for what it has just been given
 * @h: the holder, locked
 *
 * Context: under the lock of the store.
 * Return: 0, or -EDQUOT: it has to give it back.
 */
int kvbm_quota_charge_new(struct kvbm_holder *h)
{
	lockdep_assert_held(&h->store->lock);
	if (!h->store->quotas || h->used <= h->charged)
		return 0;
	if (!kvbm_accounts_fit(&h->accounts, h->used - h->charged))
		return -EDQUOT;
	kvbm_quota_charge(h, h->used - h->charged);
	return 0;
}

/**
 * kvbm_quota_settle - take off what a session is charged for and does not hold
 * @h: the holder, locked
 *
 * Never adds: a match that is refused gives back in steps what it was not
 * charged for.
 *
 * Context: not under a spinlock.
 */
void kvbm_quota_settle(struct kvbm_holder *h)
{
	struct kvbm_store *s = h->store;

	if (h->charged <= h->used)
		return;
	spin_lock(&s->lock);
	kvbm_accounts_sub(&h->accounts, h->charged - h->used);
	h->charged = h->used;
	spin_unlock(&s->lock);
}

/**
 * kvbm_holder_recharge - charge a session that was not charged before
 * @holder: the session; kvbm_store_enable_quotas() was called
 *
 * One that is over gives everything back, which can take long, unless something
 * of it is withheld.
 *
 * Context: may sleep.
 */
void kvbm_holder_recharge(struct kvbm_holder *holder)
{
	struct kvbm_store *s = holder->store;

	if (kvbm_holder_is_dead(holder) && !kvbm_holder_is_withheld(holder))
		return;
	mutex_lock(&holder->lock);
	/* Between calls it is never charged for more than it holds. */
	spin_lock(&s->lock);
	kvbm_quota_charge(holder, holder->used - holder->charged);
	spin_unlock(&s->lock);
	mutex_unlock(&holder->lock);
}

/**
 * kvbm_store_enable_quotas - begin to charge
 * @store: the store
 *
 * If that is new, to be followed by kvbm_holder_recharge() for each session that
 * there is.
 *
 * Context: any.
 * Return: whether nobody was charged before.
 */
bool kvbm_store_enable_quotas(struct kvbm_store *store)
{
	bool first;

	spin_lock(&store->lock);
	first = !store->quotas;
	WRITE_ONCE(store->quotas, true);
	spin_unlock(&store->lock);
	return first;
}

/**
 * kvbm_store_set_limit - change a limit of accounts
 * @store: that they are accounts of
 * @limit: the limit
 * @value: blocks, or KVBM_NO_LIMIT
 *
 * Who holds more keeps it, and gets nothing new.
 *
 * Context: any.
 */
void kvbm_store_set_limit(struct kvbm_store *store, u64 *limit, u64 value)
{
	spin_lock(&store->lock);
	*limit = value;
	spin_unlock(&store->lock);
}

/**
 * kvbm_store_use_limit - let another limit apply to an account
 * @store: that it is an account of
 * @account: the account
 * @limit: the limit; outlives @account, or its use
 *
 * Context: any.
 */
void kvbm_store_use_limit(struct kvbm_store *store, struct kvbm_account *account,
			  const u64 *limit)
{
	spin_lock(&store->lock);
	account->limit = limit;
	spin_unlock(&store->lock);
}

/* What is charged to an account. Context: any. */
u64 kvbm_store_account_held(struct kvbm_store *store,
			    const struct kvbm_account *account)
{
	u64 held;

	spin_lock(&store->lock);
	held = account->held;
	spin_unlock(&store->lock);
	return held;
}
