// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Mutable to Staged to registered.
 */
#include "holder.h"
#include "plh.h"

static int check_hashes(struct kvbm_store *s, const struct kvbm_hash *hashes,
			u32 count, u32 block_size, u32 *failed)
{
	u32 i;

	if (block_size != s->config.block_size)
		return -EDOM;
	if (kvbm_registry_schema(s->registry) != KVBM_SCHEMA_PLH)
		return 0;
	for (i = 0; i < count; i++) {
		if (!kvbm_plh_valid(&hashes[i])) {
			*failed = i;
			return -EILSEQ;
		}
	}
	return 0;
}

/* The blocks are Mutable and held: nobody else looks at their aux. */
static void set_aux(struct kvbm_store *s, const struct kvbm_token *tokens,
		    const void *aux, u32 count)
{
	size_t size = s->config.aux_size;
	u32 i;

	if (!size)
		return;
	for (i = 0; i < count; i++) {
		void *to = kvbm_store_aux(s, tokens[i].id);

		if (aux)
			memcpy(to, (const char *)aux + i * size, size);
		else
			memset(to, 0, size);
		if (i % KVBM_CHUNK == 0)
			kvbm_relax();
	}
}

/**
 * kvbm_holder_stage - give Mutable blocks their hashes
 * @holder: the session
 * @tokens: Mutable blocks
 * @hashes: one for each
 * @aux: aux_size bytes for each, or NULL
 * @count: how many
 * @block_size: tokens in each
 * @failed: out, on an error about one entry: its index
 *
 * Context: may sleep.
 * Return: 0; or, with nothing changed, -EDOM (block size),
 * -EILSEQ (hash), -EBADFD (state), -ENXIO, -ESTALE, -ESHUTDOWN, -EOWNERDEAD.
 */
int kvbm_holder_stage(struct kvbm_holder *holder,
		      const struct kvbm_token *tokens,
		      const struct kvbm_hash *hashes, const void *aux, u32 count,
		      u32 block_size, u32 *failed)
{
	struct kvbm_store *s = holder->store;
	u32 i, end;
	int err;

	err = check_hashes(s, hashes, count, block_size, failed);
	if (err)
		return err;
	err = kvbm_holder_lock_change(holder);
	if (err)
		return err;
	err = kvbm_store_check_alive(s);
	if (err)
		goto unlock;
	err = kvbm_holder_verify(holder, tokens, count,
				 BIT(KVBM_STATE_MUTABLE), failed);
	if (err)
		goto unlock;
	set_aux(s, tokens, aux, count);
	for (i = 0; i < count; ) {
		end = min_t(u32, count, i + KVBM_CHUNK);
		spin_lock(&s->lock);
		for (; i < end; i++)
			kvbm_store_stage(s, tokens[i].id, &hashes[i]);
		spin_unlock(&s->lock);
		kvbm_relax();
	}
unlock:
	mutex_unlock(&holder->lock);
	return err;
}

static void unstage_one(struct kvbm_holder *h, u32 id)
{
	kvbm_store_unstage(h->store, id);
}

/**
 * kvbm_holder_unstage - roll Staged blocks back to Mutable
 * @holder: the session
 * @tokens: Staged blocks
 * @count: how many
 * @failed: out, on an error about one token: its index
 *
 * Context: may sleep.
 * Return: 0; or, with nothing changed, -EBADFD (state),
 * -ENXIO, -ESTALE, -ESHUTDOWN, -EOWNERDEAD.
 */
int kvbm_holder_unstage(struct kvbm_holder *holder,
			const struct kvbm_token *tokens, u32 count, u32 *failed)
{
	int err = kvbm_holder_lock_change(holder);

	if (err)
		return err;
	err = kvbm_holder_apply(holder, tokens, count, BIT(KVBM_STATE_STAGED),
				unstage_one, failed);
	mutex_unlock(&holder->lock);
	return err;
}

/*
 * Register blocks that passed the checks, staging them first when there are
 * hashes, under one hold of the lock for each chunk.
 */
static void register_chunks(struct kvbm_holder *h, struct kvbm_token *tokens,
			    const struct kvbm_hash *hashes, u8 *kinds, u32 count)
{
	struct kvbm_store *s = h->store;
	u32 i = 0, end, id;
	u8 kind;

	do {
		end = min_t(u32, count, i + KVBM_CHUNK);
		spin_lock(&s->lock);
		for (; i < end; i++) {
			if (hashes)
				kvbm_store_stage(s, tokens[i].id, &hashes[i]);
			id = kvbm_store_register(s, tokens[i].id, &kind);
			if (kind == KVBM_REGISTERED_EXISTING)
				kvbm_holder_replace(h, tokens[i].id, id);
			tokens[i] = kvbm_slot_token(s, id);
			if (kinds)
				kinds[i] = kind;
		}
		/* Last of all: consumers take it for a watermark. */
		if (end == count)
			s->counters.registrations += count;
		/* A refused block is free again. */
		kvbm_store_unlock(s);
		kvbm_relax();
	} while (i < count);
}

/*
 * What somebody still writes to is not shown to others. Write pins on our
 * blocks are taken with the mutex that we hold: if there are none in the whole
 * store, there will be none.
 */
static int check_write_pins(struct kvbm_store *s, const struct kvbm_token *tokens,
			    u32 count, u32 *failed)
{
	u32 i = 0, end;
	int err = 0;

	if (!READ_ONCE(s->write_pins))
		return 0;
	while (i < count && !err) {
		end = min_t(u32, count, i + KVBM_CHUNK);
		spin_lock(&s->lock);
		for (; i < end && !err; i++) {
			if (s->slots[tokens[i].id].writers) {
				*failed = i;
				err = -EBUSY;
			}
		}
		spin_unlock(&s->lock);
		kvbm_relax();
	}
	return err;
}

/* Check, then register. */
static int check_and_register(struct kvbm_holder *h, struct kvbm_token *tokens,
			      const struct kvbm_hash *hashes, const void *aux,
			      u8 *kinds, u32 count, u32 *failed)
{
	u32 state = hashes ? KVBM_STATE_MUTABLE : KVBM_STATE_STAGED;
	int err;

	err = kvbm_holder_verify(h, tokens, count, BIT(state), failed);
	if (!err)
		err = check_write_pins(h->store, tokens, count, failed);
	if (err)
		return err;
	if (hashes)
		set_aux(h->store, tokens, aux, count);
	register_chunks(h, tokens, hashes, kinds, count);
	return 0;
}

/**
 * kvbm_holder_register - register Staged blocks
 * @holder: the session
 * @tokens: Staged blocks; out: what the caller has guards on now
 * @kinds: out, KVBM_REGISTERED_* for each; or NULL
 * @count: how many
 * @failed: out, on an error about one token: its index
 *
 * Context: may sleep.
 * Return: 0; or, with nothing changed, -EBADFD (state), -EBUSY (a write pin
 * is open), -ENXIO, -ESTALE, -ENOMEM, -EOVERFLOW, -ESHUTDOWN, -EOWNERDEAD.
 */
int kvbm_holder_register(struct kvbm_holder *holder, struct kvbm_token *tokens,
			 u8 *kinds, u32 count, u32 *failed)
{
	int err;

	err = kvbm_holder_lock_change(holder);
	if (err)
		return err;
	err = kvbm_store_check_alive(holder->store);
	if (err)
		goto unlock;
	err = kvbm_holder_reserve(holder, count);
	if (err)
		goto unlock;
	err = check_and_register(holder, tokens, NULL, NULL, kinds, count, failed);
	/* A refused block may be one that the session held before. */
	kvbm_quota_settle(holder);
unlock:
	mutex_unlock(&holder->lock);
	return err;
}

/**
 * kvbm_holder_stage_register - stage, register, allocate the next blocks
 * @holder: the session
 * @tokens: Mutable blocks; out: what the caller has guards on now
 * @hashes: one for each
 * @aux: aux_size bytes for each, or NULL
 * @kinds: out, KVBM_REGISTERED_* for each; or NULL
 * @count: how many
 * @block_size: tokens in each
 * @next: blocks to allocate afterwards
 * @allocated: out, blocks allocated: @next->count, or 0 for lack of blocks or of
 *	quota
 * @failed: out, on an error about one entry: its index
 *
 * Context: may sleep.
 * Return: as kvbm_holder_stage() and kvbm_holder_register(), and -EINTR (killed).
 */
int kvbm_holder_stage_register(struct kvbm_holder *holder,
			       struct kvbm_token *tokens,
			       const struct kvbm_hash *hashes, const void *aux,
			       u8 *kinds, u32 count, u32 block_size,
			       struct kvbm_allocation *next, u32 *allocated,
			       u32 *failed)
{
	struct kvbm_store *s = holder->store;
	struct kvbm_waiter never = { .holder = holder };
	int err;

	/* A registration does not wait for the blocks after it. */
	next->deadline_ns = 0;
	next->total = next->count;
	next->nr_evicted = 0;
	*allocated = 0;
	err = check_hashes(s, hashes, count, block_size, failed);
	if (err)
		return err;
	err = kvbm_holder_lock_large(holder, next->count);
	if (err)
		return err;
	err = kvbm_store_check_alive(s);
	if (err)
		goto unlock;
	err = kvbm_holder_reserve(holder, count + next->count);
	if (err)
		goto unlock;
	err = check_and_register(holder, tokens, hashes, aux, kinds, count, failed);
	if (err)
		goto unlock;
	if (next->count && !kvbm_holder_allocate_locked(holder, next, &never))
		*allocated = next->count;
	if (!*allocated)
		next->nr_evicted = 0;
	kvbm_quota_settle(holder);
unlock:
	kvbm_holder_unlock_large(holder, next->count);
	return err;
}
