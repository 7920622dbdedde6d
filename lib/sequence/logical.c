// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Assignments of guards.
 *
 * Guards are tokens; here they are kept as such, and take their type back where
 * they are handed to a call. Such calls want guards in and guards out in different
 * places, hence the scratch array.
 */
#include "internal.h"

static struct kvbm_mutable *as_mutable(struct kvbm_token *tokens)
{
	return (struct kvbm_mutable *)tokens;
}

static struct kvbm_complete *as_complete(struct kvbm_token *tokens)
{
	return (struct kvbm_complete *)tokens;
}

static struct kvbm_immutable *as_immutable(struct kvbm_token *tokens)
{
	return (struct kvbm_immutable *)tokens;
}

static struct kvbm_token *first_staged(struct kvbm_logical_assignments *l)
{
	return l->tokens + l->assigned;
}

static struct kvbm_token *first_unassigned(struct kvbm_logical_assignments *l)
{
	return l->tokens + l->assigned + l->staged;
}

/* Each call takes so many blocks of @n. */
static size_t batch_of(size_t n)
{
	return min_t(size_t, n, KVBM_MAX_BATCH);
}

void kvbm_logical_init(struct kvbm_logical_assignments *l,
		       struct kvbm_session *session)
{
	memset(l, 0, sizeof(*l));
	l->session = session;
}

/* What cannot be released, the end of the session will. */
void kvbm_logical_destroy(struct kvbm_logical_assignments *l)
{
	kvbm_logical_truncate(l, 0);
	free(l->tokens);
	free(l->scratch);
}

int kvbm_logical_alloc(struct kvbm_session *session,
		       struct kvbm_logical_assignments **out)
{
	struct kvbm_logical_assignments *l;

	if (!session)
		return -EINVAL;
	l = kvbm_alloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	kvbm_logical_init(l, session);
	*out = l;
	return 0;
}

void kvbm_logical_free(struct kvbm_logical_assignments *l)
{
	if (!l)
		return;
	kvbm_logical_destroy(l);
	kvbm_free(l);
}

const struct kvbm_seq_error *
kvbm_logical_error(const struct kvbm_logical_assignments *l)
{
	return &l->error;
}

static int make_room(struct kvbm_logical_assignments *l, size_t need, bool exact)
{
	int err;

	err = kvbm_grow(&l->tokens, &l->room, need, sizeof(*l->tokens), exact);
	if (!err)
		err = kvbm_grow(&l->scratch, &l->scratch_room, need,
				sizeof(*l->scratch), exact);
	return err ? kvbm_seq_pass(&l->error, err) : 0;
}

int kvbm_logical_reserve(struct kvbm_logical_assignments *l, size_t n)
{
	return make_room(l, n, true);
}

/* Whether guards may come in: each is one, and none of a block that is there. */
static int check_new(struct kvbm_logical_assignments *l, const struct kvbm_token *new,
		     size_t n)
{
	struct kvbm_ids ids = { 0 };
	size_t i;
	int err;

	err = kvbm_ids_reserve(&ids, kvbm_logical_count(l) + n);
	if (err)
		return kvbm_seq_pass(&l->error, err);
	for (i = 0; i < kvbm_logical_count(l); i++)
		kvbm_ids_add(&ids, l->tokens[i].id);
	for (i = 0; i < n && !err; i++) {
		if (!new[i].gen)
			err = kvbm_seq_fail(&l->error, -ENXIO, KVBM_SEQ_NOT_HELD, i,
					    0, 0, 0);
		else if (!kvbm_ids_add(&ids, new[i].id))
			err = kvbm_seq_fail(&l->error, -EEXIST,
					    KVBM_SEQ_DUPLICATE_BLOCK_ID, new[i].id,
					    0, 0, 0);
	}
	kvbm_ids_destroy(&ids);
	return err;
}

/* Guards of the caller, checked, to index @at. */
static int take_in(struct kvbm_logical_assignments *l, size_t at,
		   struct kvbm_token *guards, size_t n)
{
	size_t count = kvbm_logical_count(l);
	int err;

	if (!n)
		return 0;
	err = check_new(l, guards, n);
	if (!err)
		err = make_room(l, count + n, false);
	if (err)
		return err;
	memmove(l->tokens + at + n, l->tokens + at, (count - at) * sizeof(*guards));
	memcpy(l->tokens + at, guards, n * sizeof(*guards));
	memset(guards, 0, n * sizeof(*guards));
	return 0;
}

int kvbm_logical_extend_mutable(struct kvbm_logical_assignments *l, size_t n,
				struct kvbm_mutable *guards)
{
	int err;

	err = take_in(l, kvbm_logical_count(l), (struct kvbm_token *)guards, n);
	if (!err)
		l->unassigned += n;
	return err;
}

int kvbm_logical_extend_assigned(struct kvbm_logical_assignments *l, size_t n,
				 struct kvbm_immutable *guards)
{
	int err;

	err = take_in(l, l->assigned, (struct kvbm_token *)guards, n);
	if (!err)
		l->assigned += n;
	return err;
}

int kvbm_logical_allocate(struct kvbm_logical_assignments *l, size_t n)
{
	size_t count = kvbm_logical_count(l), done = 0, batch;
	int err;

	if (n > SIZE_MAX - count)
		return kvbm_seq_pass(&l->error, -ENOMEM);
	err = make_room(l, count + n, false);
	if (err)
		return err;
	for (; done < n; done += batch) {
		batch = batch_of(n - done);
		err = kvbm_allocate(l->session, batch,
				    as_mutable(l->tokens + kvbm_logical_count(l)),
				    NULL, NULL);
		if (err)
			break;
		l->unassigned += batch;
	}
	if (!err)
		return 0;
	kvbm_logical_truncate(l, count);
	if (err == -ENOSPC)
		return kvbm_seq_fail(&l->error, err, KVBM_SEQ_ALLOCATION_FAILED, n,
				     0, 0, 0);
	return kvbm_seq_pass(&l->error, err);
}

ssize_t kvbm_logical_match(struct kvbm_logical_assignments *l, size_t n,
			   const struct kvbm_hash *hashes)
{
	size_t batch;
	ssize_t hits;
	int err;

	err = make_room(l, n, false);
	if (err)
		return err;
	while (l->assigned < n) {
		batch = batch_of(n - l->assigned);
		hits = kvbm_match(l->session, batch, hashes + l->assigned,
				  as_immutable(l->tokens + l->assigned));
		if (hits < 0) {
			kvbm_logical_truncate(l, 0);
			return kvbm_seq_pass(&l->error, hits);
		}
		l->assigned += hits;
		if ((size_t)hits < batch)
			break;
	}
	return l->assigned;
}

ssize_t kvbm_logical_acquire(struct kvbm_logical_assignments *l, size_t n,
			     const struct kvbm_hash *hashes, size_t total)
{
	struct kvbm_acquired got;
	ssize_t hits;
	int err;

	if (!total)
		return 0;
	err = make_room(l, total, false);
	if (err)
		return err;
	if (total > KVBM_MAX_BATCH) {
		hits = kvbm_logical_match(l, n, hashes);
		if (hits < 0)
			return hits;
		err = kvbm_logical_allocate(l, total - hits);
		if (err)
			kvbm_logical_truncate(l, 0);
		return err ? err : hits;
	}
	err = kvbm_acquire(l->session, hashes, n, total, as_immutable(l->tokens),
			   as_mutable(l->scratch), NULL, &got);
	if (err == -ENOSPC)
		return kvbm_seq_fail(&l->error, err, KVBM_SEQ_ALLOCATION_FAILED, total,
				     0, 0, 0);
	if (err)
		return kvbm_seq_pass(&l->error, err);
	memcpy(l->tokens + got.matched, l->scratch,
	       got.allocated * sizeof(*l->tokens));
	l->assigned = got.matched;
	l->unassigned = got.allocated;
	return got.matched;
}

/* Hashes for the first unassigned blocks: how many of @n there are blocks for. */
static ssize_t check_stage(struct kvbm_logical_assignments *l, size_t n,
			   uint32_t block_size)
{
	uint32_t wanted = kvbm_session_block_size(l->session);

	if (block_size != wanted)
		return kvbm_seq_fail(&l->error, -EDOM, KVBM_SEQ_BLOCK_SIZE_MISMATCH,
				     wanted, block_size, 0, 0);
	return min_t(size_t, n, l->unassigned);
}

/* Back to @keep staged blocks. If even this fails, they stay staged. */
static void unstage_behind(struct kvbm_logical_assignments *l, size_t keep)
{
	struct kvbm_token *from;
	size_t batch;

	while (l->staged > keep) {
		batch = batch_of(l->staged - keep);
		from = first_unassigned(l) - batch;
		if (kvbm_unstage(l->session, batch, as_complete(from),
				 as_mutable(l->scratch)))
			break;
		memcpy(from, l->scratch, batch * sizeof(*from));
		l->staged -= batch;
		l->unassigned += batch;
	}
}

ssize_t kvbm_logical_stage(struct kvbm_logical_assignments *l, size_t n,
			   const struct kvbm_hash *hashes, uint32_t block_size)
{
	ssize_t count = check_stage(l, n, block_size);
	size_t before = l->staged, batch, done;
	struct kvbm_token *from;
	int err;

	for (done = 0; count > 0 && done < (size_t)count; done += batch) {
		batch = batch_of(count - done);
		from = first_unassigned(l);
		err = kvbm_stage(l->session, batch, as_mutable(from), hashes + done,
				 block_size, as_complete(l->scratch));
		if (err) {
			unstage_behind(l, before);
			return kvbm_seq_pass(&l->error, err);
		}
		memcpy(from, l->scratch, batch * sizeof(*from));
		l->staged += batch;
		l->unassigned -= batch;
	}
	return count;
}

ssize_t kvbm_logical_register(struct kvbm_logical_assignments *l)
{
	size_t count = l->staged, batch;
	struct kvbm_token *from;
	int err;

	while (l->staged) {
		batch = batch_of(l->staged);
		from = first_staged(l);
		err = kvbm_register(l->session, batch, as_complete(from),
				    as_immutable(l->scratch), NULL);
		if (err)
			return kvbm_seq_pass(&l->error, err);
		/* Of a refused block this is the guard on the one that is present. */
		memcpy(from, l->scratch, batch * sizeof(*from));
		l->assigned += batch;
		l->staged -= batch;
	}
	return count;
}

/* Behind those that are staged: stage these, then register all of them. */
static ssize_t stage_then_register(struct kvbm_logical_assignments *l, size_t n,
				   const struct kvbm_hash *hashes,
				   uint32_t block_size)
{
	size_t before = l->staged;
	ssize_t ret;

	ret = kvbm_logical_stage(l, n, hashes, block_size);
	if (ret < 0)
		return ret;
	ret = kvbm_logical_register(l);
	if (ret < 0)
		unstage_behind(l, before);
	return ret;
}

ssize_t kvbm_logical_stage_register(struct kvbm_logical_assignments *l, size_t n,
				    const struct kvbm_hash *hashes,
				    uint32_t block_size, struct kvbm_next *next)
{
	ssize_t count = check_stage(l, n, block_size), registered = 0;
	size_t done = 0, batch;
	struct kvbm_token *from;
	bool last;
	int err;

	if (next)
		next->allocated = 0;
	if (count < 0)
		return count;
	if (l->staged) {
		registered = stage_then_register(l, count, hashes, block_size);
		count = 0;
	}
	if (registered < 0 || (!count && !next))
		return registered;
	do {
		batch = batch_of(count - done);
		last = done + batch == (size_t)count;
		from = first_unassigned(l);
		err = kvbm_stage_register(l->session, batch, as_mutable(from),
					  hashes + done, block_size,
					  as_immutable(l->scratch), NULL,
					  last ? next : NULL);
		/* That there is no next block is not an error of the others. */
		if (err && !registered)
			return kvbm_seq_pass(&l->error, err);
		if (err)
			break;
		if (batch)
			memcpy(from, l->scratch, batch * sizeof(*from));
		l->assigned += batch;
		l->unassigned -= batch;
		done += batch;
	} while (!last);
	return registered + count;
}

/* The last @n tokens before @end to the scratch array, the last one first. */
static struct kvbm_token *backwards(struct kvbm_logical_assignments *l, size_t end,
				    size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		l->scratch[i] = l->tokens[end - 1 - i];
	return l->scratch;
}

int kvbm_logical_truncate(struct kvbm_logical_assignments *l, size_t keep)
{
	struct kvbm_token *tokens;
	size_t count, batch;
	int err = 0;

	while (!err && (count = kvbm_logical_count(l)) > keep) {
		if (l->unassigned) {
			batch = batch_of(min_t(size_t, count - keep, l->unassigned));
			tokens = backwards(l, count, batch);
			err = kvbm_release_mutable(l->session, batch,
						   as_mutable(tokens), KVBM_NO_HINT);
			l->unassigned -= err ? 0 : batch;
		} else if (l->staged) {
			batch = batch_of(min_t(size_t, count - keep, l->staged));
			tokens = backwards(l, count, batch);
			err = kvbm_release_complete(l->session, batch,
						    as_complete(tokens), KVBM_NO_HINT);
			l->staged -= err ? 0 : batch;
		} else {
			batch = batch_of(count - keep);
			tokens = backwards(l, count, batch);
			err = kvbm_release_immutable(l->session, batch,
						     as_immutable(tokens),
						     KVBM_NO_HINT);
			l->assigned -= err ? 0 : batch;
		}
	}
	return err ? kvbm_seq_pass(&l->error, err) : 0;
}

int kvbm_logical_pop_unassigned(struct kvbm_logical_assignments *l,
				struct kvbm_mutable *out)
{
	if (!l->unassigned)
		return kvbm_seq_pass(&l->error, -ENODATA);
	out->token = l->tokens[kvbm_logical_count(l) - 1];
	l->unassigned--;
	return 0;
}

ssize_t kvbm_logical_drop_unassigned(struct kvbm_logical_assignments *l, size_t n)
{
	int err;

	n = min_t(size_t, n, l->unassigned);
	err = kvbm_logical_truncate(l, kvbm_logical_count(l) - n);
	return err ? err : (ssize_t)n;
}

int kvbm_logical_clear(struct kvbm_logical_assignments *l)
{
	return kvbm_logical_truncate(l, 0);
}

/* @n guards from index @at on to the caller. */
static size_t take_out(struct kvbm_logical_assignments *l, size_t at, size_t n,
		       void *out)
{
	size_t behind = kvbm_logical_count(l) - at - n;

	if (!n)
		return 0;
	memcpy(out, l->tokens + at, n * sizeof(*l->tokens));
	memmove(l->tokens + at, l->tokens + at + n, behind * sizeof(*l->tokens));
	return n;
}

size_t kvbm_logical_take_assigned(struct kvbm_logical_assignments *l,
				  struct kvbm_immutable *out)
{
	size_t n = take_out(l, 0, l->assigned, out);

	l->assigned = 0;
	return n;
}

size_t kvbm_logical_take_staged(struct kvbm_logical_assignments *l,
				struct kvbm_complete *out)
{
	size_t n = take_out(l, l->assigned, l->staged, out);

	l->staged = 0;
	return n;
}

size_t kvbm_logical_take_unassigned(struct kvbm_logical_assignments *l,
				    struct kvbm_mutable *out)
{
	size_t n = take_out(l, l->assigned + l->staged, l->unassigned, out);

	l->unassigned = 0;
	return n;
}

size_t kvbm_logical_assigned_count(const struct kvbm_logical_assignments *l)
{
	return l->assigned;
}

size_t kvbm_logical_staged_count(const struct kvbm_logical_assignments *l)
{
	return l->staged;
}

size_t kvbm_logical_unassigned_count(const struct kvbm_logical_assignments *l)
{
	return l->unassigned;
}

bool kvbm_logical_contains(const struct kvbm_logical_assignments *l, uint32_t id)
{
	size_t i;

	for (i = 0; i < kvbm_logical_count(l); i++)
		if (l->tokens[i].id == id)
			return true;
	return false;
}

const struct kvbm_token *
kvbm_logical_tokens(const struct kvbm_logical_assignments *l, size_t *n)
{
	if (n)
		*n = kvbm_logical_count(l);
	return l->tokens;
}

size_t kvbm_logical_block_ids(const struct kvbm_logical_assignments *l,
			      size_t first, size_t n, uint32_t *ids)
{
	size_t count = kvbm_logical_count(l), i;

	if (first >= count)
		return 0;
	n = min_t(size_t, n, count - first);
	for (i = 0; i < n; i++)
		ids[i] = l->tokens[first + i].id;
	return n;
}
