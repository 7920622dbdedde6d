// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Assignments of block ids that somebody else manages.
 */
#include "engine/plh.h"
#include "internal.h"

/**
 * struct kvbm_external_assignments - block ids, in the order of a sequence
 * @blocks: those assigned, then those staged, then those unassigned
 * @room: entries of @blocks
 * @assigned: how many
 * @staged: how many
 * @unassigned: how many
 * @ids: of all of them
 * @offset: position of the first one
 * @error: of the last call that was refused
 */
struct kvbm_external_assignments {
	struct kvbm_assignment *blocks;
	size_t room;
	size_t assigned;
	size_t staged;
	size_t unassigned;
	struct kvbm_ids ids;
	uint32_t offset;
	struct kvbm_seq_error error;
};

static size_t count_of(const struct kvbm_external_assignments *e)
{
	return e->assigned + e->staged + e->unassigned;
}

int kvbm_external_alloc(uint32_t offset, struct kvbm_external_assignments **out)
{
	struct kvbm_external_assignments *e;

	if (offset >= KVBM_MAX_POSITIONS)
		return -EOVERFLOW;
	e = kvbm_alloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->offset = offset;
	*out = e;
	return 0;
}

void kvbm_external_free(struct kvbm_external_assignments *e)
{
	if (!e)
		return;
	free(e->blocks);
	kvbm_ids_destroy(&e->ids);
	kvbm_free(e);
}

const struct kvbm_seq_error *
kvbm_external_error(const struct kvbm_external_assignments *e)
{
	return &e->error;
}

static int make_room(struct kvbm_external_assignments *e, size_t n)
{
	size_t need = count_of(e) + n;
	int err;

	err = kvbm_grow(&e->blocks, &e->room, need, sizeof(*e->blocks), false);
	if (!err)
		err = kvbm_ids_reserve(&e->ids, need);
	return err ? kvbm_seq_pass(&e->error, err) : 0;
}

/* After blocks have gone. There is room, for there were more. */
static void learn_ids_anew(struct kvbm_external_assignments *e)
{
	size_t i;

	kvbm_ids_clear(&e->ids);
	for (i = 0; i < count_of(e); i++)
		kvbm_ids_add(&e->ids, e->blocks[i].id);
}

int kvbm_external_extend_ids(struct kvbm_external_assignments *e,
			     const uint32_t *ids, size_t n)
{
	size_t known = 0, i;
	int err;

	while (known < n && kvbm_ids_contains(&e->ids, ids[known]))
		known++;
	for (i = known; i < n; i++)
		if (kvbm_ids_contains(&e->ids, ids[i]))
			return kvbm_seq_fail(&e->error, -EINVAL,
					     KVBM_SEQ_ORDERING_VIOLATION, ids[i],
					     ids[known], i, known);
	if (known == n)
		return 0;
	err = make_room(e, n - known);
	if (err)
		return err;
	for (i = known; i < n; i++) {
		if (!kvbm_ids_add(&e->ids, ids[i]))
			continue;
		e->blocks[count_of(e)] = (struct kvbm_assignment){ .id = ids[i] };
		e->unassigned++;
	}
	return 0;
}

int kvbm_external_extend_assigned(struct kvbm_external_assignments *e,
				  const struct kvbm_assignment *blocks, size_t n)
{
	size_t i;
	int err;

	err = make_room(e, n);
	if (err)
		return err;
	for (i = 0; i < n; i++) {
		if (kvbm_ids_add(&e->ids, blocks[i].id))
			continue;
		learn_ids_anew(e);
		return kvbm_seq_fail(&e->error, -EEXIST, KVBM_SEQ_DUPLICATE_BLOCK_ID,
				     blocks[i].id, 0, 0, 0);
	}
	if (!n)
		return 0;
	memmove(e->blocks + e->assigned + n, e->blocks + e->assigned,
		(e->staged + e->unassigned) * sizeof(*blocks));
	memcpy(e->blocks + e->assigned, blocks, n * sizeof(*blocks));
	e->assigned += n;
	return 0;
}

int kvbm_external_stage_pending(struct kvbm_external_assignments *e,
				const struct kvbm_hash *hashes, size_t n,
				struct kvbm_range *staged)
{
	size_t first = kvbm_external_next_position(e), i;
	struct kvbm_assignment *pending = e->blocks + e->assigned + e->staged;
	struct kvbm_plh_parts parts;
	int err;

	n = n > first ? min_t(size_t, n - first, e->unassigned) : 0;
	for (i = 0; i < n; i++) {
		err = kvbm_plh_unpack(&hashes[first + i], &parts);
		if (err)
			return kvbm_seq_pass(&e->error, err);
		if (parts.position != first + i)
			return kvbm_seq_fail(&e->error, -EILSEQ,
					     KVBM_SEQ_POSITION_MISMATCH, first + i,
					     parts.position, pending[i].id, 0);
	}
	for (i = 0; i < n; i++)
		pending[i].hash = hashes[first + i];
	if (staged)
		*staged = (struct kvbm_range){ e->staged, e->staged + n };
	e->staged += n;
	e->unassigned -= n;
	return 0;
}

struct kvbm_range
kvbm_external_commit_staged(struct kvbm_external_assignments *e)
{
	struct kvbm_range range = { e->assigned, e->assigned + e->staged };

	e->assigned += e->staged;
	e->staged = 0;
	return range;
}

int kvbm_external_assign_pending(struct kvbm_external_assignments *e,
				 const struct kvbm_hash *hashes, size_t n,
				 struct kvbm_range *assigned)
{
	struct kvbm_range range;
	int err;

	err = kvbm_external_stage_pending(e, hashes, n, NULL);
	if (err)
		return err;
	range = kvbm_external_commit_staged(e);
	if (assigned)
		*assigned = range;
	return 0;
}

void kvbm_external_clear(struct kvbm_external_assignments *e)
{
	e->assigned = 0;
	e->staged = 0;
	e->unassigned = 0;
	kvbm_ids_clear(&e->ids);
}

size_t kvbm_external_take_staged(struct kvbm_external_assignments *e,
				 struct kvbm_assignment *out)
{
	struct kvbm_assignment *staged = e->blocks + e->assigned;
	size_t n = e->staged;

	if (!n)
		return 0;
	if (out)
		memcpy(out, staged, n * sizeof(*out));
	memmove(staged, staged + n, e->unassigned * sizeof(*staged));
	e->staged = 0;
	learn_ids_anew(e);
	return n;
}

uint32_t kvbm_external_offset(const struct kvbm_external_assignments *e)
{
	return e->offset;
}

bool kvbm_external_contains(const struct kvbm_external_assignments *e, uint32_t id)
{
	return kvbm_ids_contains(&e->ids, id);
}

/* A group of @n blocks from index @first on. */
static const struct kvbm_assignment *
group(const struct kvbm_external_assignments *e, size_t first, size_t len, size_t *n)
{
	if (n)
		*n = len;
	return len ? e->blocks + first : NULL;
}

const struct kvbm_assignment *
kvbm_external_assigned(const struct kvbm_external_assignments *e, size_t *n)
{
	return group(e, 0, e->assigned, n);
}

const struct kvbm_assignment *
kvbm_external_staged(const struct kvbm_external_assignments *e, size_t *n)
{
	return group(e, e->assigned, e->staged, n);
}

const struct kvbm_assignment *
kvbm_external_unassigned(const struct kvbm_external_assignments *e, size_t *n)
{
	return group(e, e->assigned + e->staged, e->unassigned, n);
}

size_t kvbm_external_next_position(const struct kvbm_external_assignments *e)
{
	return e->offset + e->assigned + e->staged;
}

struct kvbm_range
kvbm_external_assigned_positions(const struct kvbm_external_assignments *e)
{
	return (struct kvbm_range){ e->offset, e->offset + e->assigned };
}

struct kvbm_range
kvbm_external_staged_positions(const struct kvbm_external_assignments *e)
{
	return (struct kvbm_range){ e->offset + e->assigned,
				    kvbm_external_next_position(e) };
}

struct kvbm_range
kvbm_external_pending_positions(const struct kvbm_external_assignments *e)
{
	size_t next = kvbm_external_next_position(e);

	return (struct kvbm_range){ next, next + e->unassigned };
}

/* The block at a position, if that is in the range. */
static const struct kvbm_assignment *at(const struct kvbm_external_assignments *e,
					struct kvbm_range range, size_t position)
{
	if (position < range.first || position >= range.end)
		return NULL;
	return &e->blocks[position - e->offset];
}

const struct kvbm_assignment *
kvbm_external_at(const struct kvbm_external_assignments *e, size_t position)
{
	return at(e, kvbm_external_assigned_positions(e), position);
}

const struct kvbm_assignment *
kvbm_external_pending_at(const struct kvbm_external_assignments *e, size_t position)
{
	return at(e, kvbm_external_pending_positions(e), position);
}

/* Positions in both ranges, with the blocks that are there. */
static size_t zip(const struct kvbm_external_assignments *a, struct kvbm_range in_a,
		  const struct kvbm_external_assignments *b, struct kvbm_range in_b,
		  struct kvbm_zipped *out, size_t n)
{
	size_t first = max_t(size_t, in_a.first, in_b.first);
	size_t end = min_t(size_t, in_a.end, in_b.end), i;

	if (end <= first)
		return 0;
	for (i = 0; i < end - first && i < n; i++)
		out[i] = (struct kvbm_zipped){
			.position = first + i,
			.a = at(a, in_a, first + i)->id,
			.b = at(b, in_b, first + i)->id,
		};
	return end - first;
}

size_t kvbm_zip_assigned(const struct kvbm_external_assignments *a,
			 const struct kvbm_external_assignments *b,
			 struct kvbm_zipped *out, size_t n)
{
	return zip(a, kvbm_external_assigned_positions(a), b,
		   kvbm_external_assigned_positions(b), out, n);
}

size_t kvbm_zip_assigned_pending(const struct kvbm_external_assignments *src,
				 const struct kvbm_external_assignments *dst,
				 struct kvbm_zipped *out, size_t n)
{
	return zip(src, kvbm_external_assigned_positions(src), dst,
		   kvbm_external_pending_positions(dst), out, n);
}
