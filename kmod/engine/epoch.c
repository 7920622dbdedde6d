// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Epochs: whoever takes a manager over raises its epoch, and sessions of an
 * earlier one change nothing any more.
 *
 * A session carries the epoch in which it began. Nothing is done to the old
 * sessions when the epoch rises, but for those that wait for blocks: each finds
 * out at its next call, with its mutex held. So calls that are under way when
 * the epoch rises are over when the mutex of each session has been taken once
 * (kvbm_holder_barrier()); the doors know the sessions.
 */
#include "holder.h"

/* Of an earlier epoch: it may look, match and release, and no more. */
bool kvbm_holder_is_fenced(const struct kvbm_holder *holder)
{
	return READ_ONCE(holder->epoch) < READ_ONCE(holder->store->epoch);
}

/*
 * What it was writing to may still be written to: its Mutable and Staged blocks
 * go to nobody until it ends.
 */
bool kvbm_holder_is_withheld(const struct kvbm_holder *h)
{
	return READ_ONCE(h->epoch) < READ_ONCE(h->store->forced);
}

/**
 * kvbm_holder_join - move a session to a later epoch
 * @holder: the session that raised it
 * @epoch: from kvbm_store_raise_epoch()
 *
 * Never back: threads of one session may have raised it one after the other.
 *
 * Context: may sleep.
 */
void kvbm_holder_join(struct kvbm_holder *holder, u32 epoch)
{
	mutex_lock(&holder->lock);
	if (holder->epoch < epoch)
		WRITE_ONCE(holder->epoch, epoch);
	mutex_unlock(&holder->lock);
}

/**
 * kvbm_holder_inherit - begin in the epoch of another session
 * @holder: new, and nobody else knows it
 * @from: that it is made from
 *
 * Context: any.
 */
void kvbm_holder_inherit(struct kvbm_holder *holder,
			 const struct kvbm_holder *from)
{
	WRITE_ONCE(holder->epoch, READ_ONCE(from->epoch));
}

/**
 * kvbm_holder_barrier - wait for what a session is doing
 * @holder: the session
 *
 * One that is over only gives back, which is allowed, and can take long.
 *
 * Context: may sleep; not for blocks.
 */
void kvbm_holder_barrier(struct kvbm_holder *holder)
{
	/* Set with the mutex held, after all that came before. */
	if (kvbm_holder_is_dead(holder))
		return;
	mutex_lock(&holder->lock);
	mutex_unlock(&holder->lock);
}

u32 kvbm_store_epoch(struct kvbm_store *store)
{
	return READ_ONCE(store->epoch);
}

/**
 * kvbm_store_raise_epoch - begin a new epoch
 * @store: the store
 * @force: Mutable and Staged blocks of older sessions go to nobody
 * @epoch: out, the new epoch
 *
 * Context: not under a spinlock.
 * Return: 0, -ESHUTDOWN, -EOVERFLOW.
 */
int kvbm_store_raise_epoch(struct kvbm_store *store, bool force, u32 *epoch)
{
	int err = 0;

	spin_lock(&store->lock);
	if (store->shutdown) {
		err = -ESHUTDOWN;
	} else if (store->epoch == U32_MAX) {
		err = -EOVERFLOW;
	} else {
		*epoch = store->epoch + 1;
		WRITE_ONCE(store->epoch, *epoch);
		if (force)
			WRITE_ONCE(store->forced, *epoch);
	}
	spin_unlock(&store->lock);
	if (!err)
		kvbm_store_cancel_fenced(store);
	return err;
}
