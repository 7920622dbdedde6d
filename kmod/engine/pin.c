// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Pins: blocks that stay, whatever becomes of the session that pinned them.
 *
 * A pin has a reference of its own on each of its blocks. A registered block
 * that is pinned can be matched and read, and is not evicted. A write pin is
 * for a Mutable block into which somebody else is writing, a DMA engine, say:
 * the session may go on with the block, or die, but the slot does not return to
 * the reset pool, and is not registered, before the pin is closed.
 */
#include "holder.h"

static int check_list(struct kvbm_holder *h, const struct kvbm_token *tokens,
		      u32 count, bool write, u32 *failed)
{
	u32 states = BIT(KVBM_STATE_PRIMARY) | BIT(KVBM_STATE_DUPLICATE);
	u32 i;
	int err;

	if (write)
		states = BIT(KVBM_STATE_MUTABLE);
	err = kvbm_holder_verify(h, tokens, count, states, failed);
	if (err)
		return err;
	for (i = 0; !err && i < count; i++) {
		if (!kvbm_holder_mark(h, tokens[i].id)) {
			*failed = i;
			err = -EINVAL;
		}
		if (i % KVBM_CHUNK == 0)
			kvbm_relax();
	}
	kvbm_holder_unmark(h);
	return err;
}

/*
 * Nothing can fail after this. More than U32_MAX write pins on one block would
 * take more memory than there is; that they fit is checked for all together.
 */
static int charge(struct kvbm_holder *h, struct kvbm_pinned *p)
{
	struct kvbm_store *s = h->store;
	int err = 0;

	spin_lock(&s->lock);
	if (s->shutdown)
		err = -ESHUTDOWN;
	else if (p->write && s->write_pins > U32_MAX - p->count)
		err = -EOVERFLOW;
	else if (!kvbm_accounts_fit(&h->accounts, s->quotas ? p->count : 0))
		err = -EDQUOT;
	if (!err) {
		kvbm_accounts_add(&h->accounts, p->count);
		if (p->write)
			WRITE_ONCE(s->write_pins, s->write_pins + p->count);
	}
	spin_unlock(&s->lock);
	return err;
}

static void take(struct kvbm_store *s, struct kvbm_pinned *p,
		 const struct kvbm_token *tokens)
{
	u32 i, end;

	for (i = 0; i < p->count; ) {
		end = min_t(u32, p->count, i + KVBM_CHUNK);
		spin_lock(&s->lock);
		for (; i < end; i++) {
			struct kvbm_slot *slot = &s->slots[tokens[i].id];

			p->blocks[i] = (struct kvbm_held){
				.token = tokens[i],
				.guards = 1,
				.state = slot->state,
			};
			slot->refs++;
			if (p->write)
				slot->writers++;
			else
				p->blocks[i].hash = slot->hash;
		}
		spin_unlock(&s->lock);
		kvbm_relax();
	}
}

/**
 * kvbm_holder_pin - pin blocks that a session holds
 * @holder: the session
 * @tokens: its guards, each on another block
 * @count: how many
 * @write: the blocks are Mutable, and are being written to; otherwise they are
 *	registered
 * @pinned: memory of the caller; on success, the pin
 * @failed: out, on an error about one token: its index
 *
 * Context: may sleep.
 * Return: 0; or, with nothing changed, -EBADFD (state), -ENXIO, -ESTALE,
 * -EINVAL (a block given twice), -EDQUOT, -ENOMEM, -EOVERFLOW, -ESHUTDOWN,
 * -EOWNERDEAD.
 */
int kvbm_holder_pin(struct kvbm_holder *holder, const struct kvbm_token *tokens,
		    u32 count, bool write, struct kvbm_pinned *pinned,
		    u32 *failed)
{
	int err;

	*pinned = (struct kvbm_pinned){
		.store = holder->store,
		.write = write,
		.count = count,
		.accounts = holder->accounts,
	};
	pinned->blocks = kvbm_alloc(count, sizeof(*pinned->blocks));
	if (!pinned->blocks)
		return -ENOMEM;
	err = write ? kvbm_holder_lock_change(holder) : kvbm_holder_lock(holder);
	if (err)
		goto err_free;
	err = check_list(holder, tokens, count, write, failed);
	if (!err)
		err = charge(holder, pinned);
	if (!err)
		take(holder->store, pinned, tokens);
	mutex_unlock(&holder->lock);
	if (err)
		goto err_free;
	return 0;

err_free:
	kvbm_free(pinned->blocks);
	return err;
}

/**
 * kvbm_pinned_release - a pin is closed
 * @pinned: of kvbm_holder_pin(); its memory is the caller's again
 *
 * Works on a manager that was shut down, too. The last block of the list goes
 * first: as when a session ends.
 *
 * Context: may sleep; a bounded number of blocks under each hold of the lock.
 */
void kvbm_pinned_release(struct kvbm_pinned *pinned)
{
	struct kvbm_store *s = pinned->store;
	u32 left = pinned->count, end, id;

	while (left) {
		end = left > KVBM_CHUNK ? left - KVBM_CHUNK : 0;
		spin_lock(&s->lock);
		kvbm_accounts_sub(&pinned->accounts, left - end);
		if (pinned->write)
			WRITE_ONCE(s->write_pins, s->write_pins - (left - end));
		while (left > end) {
			id = pinned->blocks[--left].token.id;
			if (pinned->write)
				s->slots[id].writers--;
			kvbm_store_unref(s, id, 1, (struct kvbm_release_hint){});
		}
		kvbm_store_unlock(s);
		kvbm_relax();
	}
	kvbm_free(pinned->blocks);
	pinned->blocks = NULL;
}
