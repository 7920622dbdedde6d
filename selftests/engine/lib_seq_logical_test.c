// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Assignments of guards, on either backend.
 */
#include "seq_fixture.h"

#define BLOCKS	10

struct scene {
	struct kvbm_test_manager m;
	struct kvbm_logical_assignments *l;
	struct kvbm_hash h[BLOCKS];
};

static void begin(struct scene *s)
{
	open_manager(&s->m, BLOCKS);
	ASSERT_EQ(kvbm_logical_alloc(s->m.session, &s->l), 0);
	ASSERT_EQ(kvbm_hash_blocks(prompt(), BLOCKS * BS, NULL, 0, BS,
				   KVBM_TEST_SALT_HASH, s->h, NULL), BLOCKS);
}

static void end(struct scene *s)
{
	kvbm_logical_free(s->l);
	close_manager(&s->m);
}

static bool has(const struct scene *s, size_t assigned, size_t staged,
		size_t unassigned)
{
	size_t n;

	kvbm_logical_tokens(s->l, &n);
	return EXPECT_EQ(kvbm_logical_assigned_count(s->l), assigned) &
	       EXPECT_EQ(kvbm_logical_staged_count(s->l), staged) &
	       EXPECT_EQ(kvbm_logical_unassigned_count(s->l), unassigned) &
	       EXPECT_EQ(n, assigned + staged + unassigned);
}

static uint32_t id_at(const struct scene *s, size_t index)
{
	uint32_t id = UINT32_MAX;

	EXPECT_EQ(kvbm_logical_block_ids(s->l, index, 1, &id), 1);
	return id;
}

static ssize_t available(const struct scene *s)
{
	return kvbm_test_available(s->m.session);
}

/* @n guards of the manager. */
static void allocate(struct scene *s, size_t n, struct kvbm_mutable *out)
{
	ASSERT_EQ(kvbm_allocate(s->m.session, n, out, NULL, NULL), 0);
}

/* @n guards on the first blocks of the sequence, which are cached first. */
static void match(struct scene *s, size_t n, struct kvbm_immutable *out)
{
	ASSERT_EQ(kvbm_test_cache(s->m.session, prompt(), n * BS, KVBM_TEST_SALT_HASH), n);
	ASSERT_EQ(kvbm_match(s->m.session, n, s->h, out), n);
}

static void empty(void)
{
	struct kvbm_complete c[1];
	struct kvbm_immutable im[1];
	struct kvbm_mutable m[1];
	struct scene s;
	uint32_t id;
	size_t n = 77;

	begin(&s);
	has(&s, 0, 0, 0);
	EXPECT_EQ(kvbm_logical_error(s.l)->reason, KVBM_SEQ_NONE);
	kvbm_logical_tokens(s.l, &n);
	EXPECT_EQ(n, 0);
	EXPECT(!kvbm_logical_contains(s.l, 0));
	EXPECT_EQ(kvbm_logical_block_ids(s.l, 0, 1, &id), 0);
	EXPECT_EQ(kvbm_logical_stage(s.l, 3, s.h, BS), 0);
	EXPECT_EQ(kvbm_logical_stage(s.l, 0, NULL, BS), 0);
	EXPECT_EQ(kvbm_logical_register(s.l), 0);
	EXPECT_EQ(kvbm_logical_stage_register(s.l, 3, s.h, BS, NULL), 0);
	EXPECT_EQ(kvbm_logical_pop_unassigned(s.l, m), -ENODATA);
	EXPECT_EQ(kvbm_logical_drop_unassigned(s.l, 5), 0);
	EXPECT_EQ(kvbm_logical_clear(s.l), 0);
	EXPECT_EQ(kvbm_logical_extend_mutable(s.l, 0, NULL), 0);
	EXPECT_EQ(kvbm_logical_extend_assigned(s.l, 0, NULL), 0);
	EXPECT_EQ(kvbm_logical_allocate(s.l, 0), 0);
	EXPECT_EQ(kvbm_logical_take_assigned(s.l, im), 0);
	EXPECT_EQ(kvbm_logical_take_staged(s.l, c), 0);
	EXPECT_EQ(kvbm_logical_take_unassigned(s.l, m), 0);
	has(&s, 0, 0, 0);
	EXPECT_EQ(kvbm_logical_alloc(NULL, &s.l), -EINVAL);
	kvbm_logical_free(NULL);
	end(&s);
}

static void guards_in_order(void)
{
	struct kvbm_mutable m[5], copy[5];
	struct scene s;
	size_t i;

	begin(&s);
	allocate(&s, 5, m);
	memcpy(copy, m, sizeof(m));
	EXPECT_EQ(kvbm_logical_extend_mutable(s.l, 3, m), 0);
	EXPECT(is_empty(m, 3));
	EXPECT_EQ(kvbm_logical_extend_mutable(s.l, 2, m + 3), 0);
	has(&s, 0, 0, 5);
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(id_at(&s, i), copy[i].token.id);
		EXPECT(kvbm_logical_contains(s.l, copy[i].token.id));
	}
	end(&s);
}

static void matched_prefix_then_new_blocks(void)
{
	struct kvbm_immutable im[4], copy[4];
	struct scene s;
	uint32_t ids[BLOCKS];
	size_t i;

	begin(&s);
	match(&s, 4, im);
	memcpy(copy, im, sizeof(im));
	EXPECT_EQ(kvbm_logical_extend_assigned(s.l, 2, im), 0);
	EXPECT_EQ(kvbm_logical_extend_assigned(s.l, 2, im + 2), 0);
	EXPECT(is_empty(im, 4));
	has(&s, 4, 0, 0);
	EXPECT_EQ(kvbm_logical_allocate(s.l, 3), 0);
	EXPECT_EQ(kvbm_logical_stage(s.l, 2, s.h + 4, BS), 2);
	has(&s, 4, 2, 1);
	EXPECT_EQ(kvbm_logical_block_ids(s.l, 0, BLOCKS, ids), 7);
	for (i = 0; i < 7; i++)
		EXPECT(kvbm_logical_contains(s.l, ids[i]));
	EXPECT_EQ(kvbm_probe(s.m.session, BLOCKS, s.h), 4);
	EXPECT_EQ(kvbm_logical_register(s.l), 2);
	has(&s, 6, 0, 1);
	EXPECT_EQ(kvbm_probe(s.m.session, BLOCKS, s.h), 6);
	EXPECT_EQ(kvbm_logical_block_ids(s.l, 0, BLOCKS, ids), 7);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(ids[i], copy[i].token.id);
	EXPECT_EQ(kvbm_logical_block_ids(s.l, 5, 1, ids), 1);
	EXPECT_EQ(kvbm_logical_block_ids(s.l, 7, 1, ids), 0);
	end(&s);
}

/* What is matched goes behind what is assigned, before all else. */
static void assigned_before_staged_and_unassigned(void)
{
	struct kvbm_immutable im[3];
	struct kvbm_counters c;
	uint32_t ids[3];
	struct scene s;
	size_t i;

	begin(&s);
	match(&s, 3, im);
	for (i = 0; i < 3; i++)
		ids[i] = im[i].token.id;
	EXPECT_EQ(kvbm_logical_allocate(s.l, 3), 0);
	EXPECT_EQ(kvbm_logical_stage(s.l, 1, s.h + 3, BS), 1);
	EXPECT_EQ(kvbm_logical_extend_assigned(s.l, 3, im), 0);
	has(&s, 3, 1, 2);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(id_at(&s, i), ids[i]);
	c = counters_of(s.m.session);
	EXPECT_EQ(c.states[KVBM_STATE_PRIMARY], 3);
	EXPECT_EQ(c.states[KVBM_STATE_STAGED], 1);
	EXPECT_EQ(c.states[KVBM_STATE_MUTABLE], 2);
	EXPECT_EQ(kvbm_logical_stage_register(s.l, 2, s.h + 4, BS, NULL), 3);
	has(&s, 6, 0, 0);
	EXPECT_EQ(kvbm_probe(s.m.session, BLOCKS, s.h), 6);
	end(&s);
}

static void first_in_first_out(void)
{
	struct kvbm_mutable m[4], copy[4];
	struct kvbm_slot_info slot;
	struct scene s;
	size_t i;

	begin(&s);
	allocate(&s, 4, m);
	memcpy(copy, m, sizeof(m));
	EXPECT_EQ(kvbm_logical_extend_mutable(s.l, 4, m), 0);
	/* No hashes, fewer of them than blocks, then fewer blocks than hashes. */
	EXPECT_EQ(kvbm_logical_stage(s.l, 0, NULL, BS), 0);
	has(&s, 0, 0, 4);
	EXPECT_EQ(kvbm_logical_stage(s.l, 1, s.h, BS), 1);
	has(&s, 0, 1, 3);
	EXPECT_EQ(kvbm_logical_stage(s.l, 9, s.h + 1, BS), 3);
	has(&s, 0, 4, 0);
	EXPECT_EQ(kvbm_logical_register(s.l), 4);
	has(&s, 4, 0, 0);
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(id_at(&s, i), copy[i].token.id);
		EXPECT_EQ(kvbm_session_dump(s.m.session, copy[i].token.id, 1, &slot), 1);
		EXPECT(!kvbm_hash_compare(&slot.hash, &s.h[i]));
	}
	end(&s);
}

static void little_by_little(void)
{
	struct scene s;
	size_t i;

	begin(&s);
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(kvbm_logical_allocate(s.l, 2), 0);
		EXPECT_EQ(kvbm_logical_stage(s.l, 1, s.h + i, BS), 1);
		EXPECT_EQ(kvbm_logical_register(s.l), 1);
		has(&s, i + 1, 0, i + 1);
	}
	EXPECT_EQ(kvbm_probe(s.m.session, BLOCKS, s.h), 4);
	end(&s);
}

static void another_block_size(void)
{
	struct scene s;

	begin(&s);
	EXPECT_EQ(kvbm_logical_allocate(s.l, 3), 0);
	EXPECT_EQ(kvbm_logical_stage(s.l, 1, s.h, BS), 1);
	/* What was staged before stays so, all others as they were. */
	EXPECT_EQ(kvbm_logical_stage(s.l, 2, s.h + 1, 2 * BS), -EDOM);
	is_error(kvbm_logical_error(s.l), -EDOM, KVBM_SEQ_BLOCK_SIZE_MISMATCH, BS, 2 * BS,
		 0);
	EXPECT_EQ(kvbm_logical_stage_register(s.l, 2, s.h + 1, 1, NULL), -EDOM);
	has(&s, 0, 1, 2);
	EXPECT_EQ(kvbm_logical_stage(s.l, 2, s.h + 1, BS), 2);
	EXPECT_EQ(kvbm_logical_register(s.l), 3);
	end(&s);
}

static void a_hash_that_is_none(void)
{
	struct kvbm_hash bad[2];
	struct scene s;

	begin(&s);
	EXPECT_EQ(kvbm_logical_allocate(s.l, 2), 0);
	bad[0] = s.h[0];
	bad[1] = (struct kvbm_hash){ .hi = UINT64_MAX };
	EXPECT_EQ(kvbm_logical_stage(s.l, 2, bad, BS), -EILSEQ);
	EXPECT_EQ(kvbm_failed_index(), 1);
	EXPECT_EQ(kvbm_logical_stage_register(s.l, 2, bad, BS, NULL), -EILSEQ);
	EXPECT_EQ(kvbm_logical_error(s.l)->reason, KVBM_SEQ_CALL_FAILED);
	has(&s, 0, 0, 2);
	EXPECT_EQ(kvbm_logical_stage_register(s.l, 2, s.h, BS, NULL), 2);
	end(&s);
}

static void duplicates_are_refused(void)
{
	struct kvbm_immutable im[3], twice[2];
	struct kvbm_mutable m[2], copy[2];
	struct scene s;

	begin(&s);
	match(&s, 3, im);
	ASSERT_EQ(kvbm_clone(s.m.session, 1, im, twice), 0);
	EXPECT_EQ(kvbm_logical_extend_assigned(s.l, 2, im), 0);
	/* There already; the guards stay with the caller. */
	twice[1] = im[2];
	EXPECT_EQ(kvbm_logical_extend_assigned(s.l, 2, twice), -EEXIST);
	EXPECT_EQ(kvbm_logical_error(s.l)->reason, KVBM_SEQ_DUPLICATE_BLOCK_ID);
	EXPECT_EQ(kvbm_logical_error(s.l)->values[0], twice[0].token.id);
	EXPECT(!is_empty(twice, 1));
	has(&s, 2, 0, 0);
	EXPECT(!kvbm_logical_contains(s.l, twice[1].token.id));
	EXPECT_EQ(kvbm_release(s.m.session, 1, twice), 0);
	/* Twice in one call. */
	ASSERT_EQ(kvbm_clone(s.m.session, 1, &im[2], twice), 0);
	EXPECT_EQ(kvbm_logical_extend_assigned(s.l, 2, twice), -EEXIST);
	has(&s, 2, 0, 0);
	EXPECT_EQ(kvbm_logical_extend_assigned(s.l, 1, twice), 0);
	EXPECT_EQ(kvbm_release(s.m.session, 1, twice + 1), 0);

	allocate(&s, 2, m);
	memcpy(copy, m, sizeof(m));
	EXPECT_EQ(kvbm_logical_extend_mutable(s.l, 1, m), 0);
	/* A copy of a guard is no other guard. */
	EXPECT_EQ(kvbm_logical_extend_mutable(s.l, 2, copy), -EEXIST);
	copy[0] = copy[1];
	EXPECT_EQ(kvbm_logical_extend_mutable(s.l, 2, copy), -EEXIST);
	/* An empty one is none. */
	memset(copy, 0, sizeof(*copy));
	copy[1] = m[1];
	EXPECT_EQ(kvbm_logical_extend_mutable(s.l, 2, copy), -ENXIO);
	is_error(kvbm_logical_error(s.l), -ENXIO, KVBM_SEQ_NOT_HELD, 0, 0, 0);
	has(&s, 3, 0, 1);
	EXPECT_EQ(kvbm_release(s.m.session, 1, m + 1), 0);
	end(&s);
}

static void last_in_first_out(void)
{
	struct kvbm_mutable last;
	uint32_t ids[5];
	struct scene s;

	begin(&s);
	EXPECT_EQ(kvbm_logical_allocate(s.l, 5), 0);
	EXPECT_EQ(kvbm_logical_block_ids(s.l, 0, 5, ids), 5);
	EXPECT_EQ(kvbm_logical_pop_unassigned(s.l, &last), 0);
	EXPECT_EQ(last.token.id, ids[4]);
	EXPECT(!kvbm_logical_contains(s.l, ids[4]));
	EXPECT_EQ(kvbm_logical_stage(s.l, 1, s.h, BS), 1);
	EXPECT_EQ(kvbm_logical_drop_unassigned(s.l, 2), 2);
	has(&s, 0, 1, 1);
	EXPECT_EQ(id_at(&s, 1), ids[1]);
	EXPECT_EQ(available(&s), BLOCKS - 3);
	EXPECT_EQ(kvbm_logical_drop_unassigned(s.l, 0), 0);
	/* No more than there are, and nothing that is staged. */
	EXPECT_EQ(kvbm_logical_drop_unassigned(s.l, 5), 1);
	has(&s, 0, 1, 0);
	EXPECT_EQ(kvbm_release(s.m.session, 1, &last), 0);
	end(&s);
}

static void clear_and_free(void)
{
	struct scene s;
	int i;

	begin(&s);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(kvbm_logical_allocate(s.l, 6), 0);
		EXPECT_EQ(kvbm_logical_stage(s.l, 2, s.h + 4 * i, BS), 2);
		EXPECT_EQ(kvbm_logical_register(s.l), 2);
		EXPECT_EQ(kvbm_logical_stage(s.l, 2, s.h + 4 * i + 2, BS), 2);
		has(&s, 2, 2, 2);
		EXPECT_EQ(available(&s), BLOCKS - 6);
		if (i)
			continue;	/* The end frees what is there. */
		EXPECT_EQ(kvbm_logical_clear(s.l), 0);
		has(&s, 0, 0, 0);
		EXPECT_EQ(available(&s), BLOCKS);
		EXPECT_EQ(counters_of(s.m.session).states[KVBM_STATE_INACTIVE], 2);
	}
	end(&s);
}

static void least_recently_used(struct kvbm_manager_create *attr)
{
	attr->block_size = BS;
	attr->policy = KVBM_POLICY_LRU;
}

/* The end of a prefix is evicted before its beginning, by whatever policy. */
static void released_from_the_end(void)
{
	struct kvbm_logical_assignments *l;
	struct kvbm_mutable m[BLOCKS];
	struct kvbm_hash h[4];
	struct fixture f;
	int i;

	set_up_with(&f, BLOCKS, least_recently_used);
	ASSERT_EQ(kvbm_hash_blocks(prompt(), 4 * BS, NULL, 0, BS, 0, h, NULL), 4);
	ASSERT_EQ(kvbm_logical_alloc(f.s, &l), 0);
	EXPECT_EQ(kvbm_logical_allocate(l, 4), 0);
	EXPECT_EQ(kvbm_logical_stage_register(l, 4, h, BS, NULL), 4);
	EXPECT_EQ(kvbm_logical_clear(l), 0);
	EXPECT_EQ(kvbm_probe(f.s, 4, h), 4);
	ASSERT_EQ(kvbm_allocate(f.s, BLOCKS - 4, m, NULL, NULL), 0);
	for (i = 3; i >= 0; i--) {
		ASSERT_EQ(kvbm_allocate(f.s, 1, m, NULL, NULL), 0);
		EXPECT_EQ(kvbm_probe(f.s, 4, h), i);
	}
	kvbm_logical_free(l);
	tear_down(&f);
}

static void take(void)
{
	struct kvbm_complete com[2];
	struct kvbm_immutable im[2];
	struct kvbm_mutable m[2];
	uint32_t ids[6];
	struct scene s;
	int i;

	begin(&s);
	EXPECT_EQ(kvbm_logical_allocate(s.l, 6), 0);
	EXPECT_EQ(kvbm_logical_stage(s.l, 2, s.h, BS), 2);
	EXPECT_EQ(kvbm_logical_register(s.l), 2);
	EXPECT_EQ(kvbm_logical_stage(s.l, 2, s.h + 2, BS), 2);
	EXPECT_EQ(kvbm_logical_block_ids(s.l, 0, 6, ids), 6);
	EXPECT_EQ(kvbm_logical_take_staged(s.l, com), 2);
	has(&s, 2, 0, 2);
	EXPECT_EQ(kvbm_logical_take_assigned(s.l, im), 2);
	has(&s, 0, 0, 2);
	EXPECT_EQ(kvbm_logical_take_unassigned(s.l, m), 2);
	has(&s, 0, 0, 0);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(im[i].token.id, ids[i]);
		EXPECT_EQ(com[i].token.id, ids[2 + i]);
		EXPECT_EQ(m[i].token.id, ids[4 + i]);
	}
	EXPECT_EQ(kvbm_release(s.m.session, 2, im), 0);
	EXPECT_EQ(kvbm_release(s.m.session, 2, com), 0);
	EXPECT_EQ(kvbm_release(s.m.session, 2, m), 0);
	end(&s);
}

static void lack_of_blocks(void)
{
	struct scene s;

	begin(&s);
	EXPECT_EQ(kvbm_logical_allocate(s.l, 4), 0);
	EXPECT_EQ(kvbm_logical_allocate(s.l, BLOCKS - 3), -ENOSPC);
	is_error(kvbm_logical_error(s.l), -ENOSPC, KVBM_SEQ_ALLOCATION_FAILED, BLOCKS - 3,
		 0, 0);
	has(&s, 0, 0, 4);
	EXPECT_EQ(available(&s), BLOCKS - 4);
	EXPECT_EQ(kvbm_logical_allocate(s.l, SIZE_MAX), -ENOMEM);
	EXPECT_EQ(kvbm_logical_allocate(s.l, BLOCKS - 4), 0);
	end(&s);
}

static void register_and_allocate_next(void)
{
	struct kvbm_mutable more[8];
	struct kvbm_next next = { .count = 2, .out = more };
	struct scene s;

	begin(&s);
	EXPECT_EQ(kvbm_logical_allocate(s.l, 3), 0);
	EXPECT_EQ(kvbm_logical_stage_register(s.l, 2, s.h, BS, &next), 2);
	EXPECT_EQ(next.allocated, 2);
	has(&s, 2, 0, 1);
	EXPECT_EQ(kvbm_logical_extend_mutable(s.l, 2, more), 0);
	/* There are not so many: the registration stands. */
	next.count = 8;
	EXPECT_EQ(kvbm_logical_stage_register(s.l, 1, s.h + 2, BS, &next), 1);
	EXPECT_EQ(next.allocated, 0);
	EXPECT(is_empty(more, 8));
	has(&s, 3, 0, 2);
	/* Nothing to register. */
	next.count = 1;
	EXPECT_EQ(kvbm_logical_stage_register(s.l, 0, NULL, BS, &next), 0);
	EXPECT_EQ(next.allocated, 1);
	EXPECT_EQ(kvbm_release(s.m.session, 1, more), 0);
	end(&s);
}

static void reject_duplicates(struct kvbm_manager_create *attr)
{
	attr->block_size = BS;
	attr->duplication = KVBM_DUP_REJECT;
}

/* A refused block is the manager's again: ids are those of the present one. */
static void ids_after_a_refused_duplicate(void)
{
	struct kvbm_logical_assignments *a, *b;
	uint32_t in_a[2], before[2], after[2];
	struct kvbm_hash h[2];
	struct fixture f;
	int way;

	for (way = 0; way < 2; way++) {
		set_up_with(&f, 8, reject_duplicates);
		ASSERT_EQ(kvbm_hash_blocks(prompt(), 2 * BS, NULL, 0, BS, 0, h, NULL), 2);
		ASSERT_EQ(kvbm_logical_alloc(f.s, &a), 0);
		ASSERT_EQ(kvbm_logical_alloc(f.s, &b), 0);
		EXPECT_EQ(kvbm_logical_allocate(a, 2), 0);
		EXPECT_EQ(kvbm_logical_allocate(b, 2), 0);
		EXPECT_EQ(kvbm_logical_stage_register(a, 2, h, BS, NULL), 2);
		EXPECT_EQ(kvbm_logical_block_ids(a, 0, 2, in_a), 2);
		EXPECT_EQ(kvbm_logical_block_ids(b, 0, 2, before), 2);
		if (way) {
			EXPECT_EQ(kvbm_logical_stage(b, 2, h, BS), 2);
			EXPECT_EQ(kvbm_logical_register(b), 2);
		} else {
			EXPECT_EQ(kvbm_logical_stage_register(b, 2, h, BS, NULL), 2);
		}
		EXPECT_EQ(kvbm_logical_block_ids(b, 0, 2, after), 2);
		EXPECT(!memcmp(after, in_a, sizeof(after)));
		EXPECT(kvbm_logical_contains(b, in_a[1]));
		EXPECT(!kvbm_logical_contains(b, before[0]));
		EXPECT(!kvbm_logical_contains(b, before[1]));
		EXPECT_EQ(counters(&f).registration_dedup, 2);
		/* What it had may be somebody else's by now. */
		EXPECT_EQ(counters(&f).reset_pool_size, 6);
		kvbm_logical_free(b);
		EXPECT_EQ(counters(&f).inflight_immutable, 2);
		kvbm_logical_free(a);
		tear_down(&f);
	}
}

static void guards_that_are_gone(void)
{
	struct kvbm_token copy[2];
	struct scene s;

	begin(&s);
	EXPECT_EQ(kvbm_logical_allocate(s.l, 2), 0);
	memcpy(copy, kvbm_logical_tokens(s.l, NULL), sizeof(copy));
	/* Somebody gives back a guard that is not his. */
	EXPECT_EQ(kvbm_release_mutable(s.m.session, 1, (struct kvbm_mutable *)copy,
				       KVBM_NO_HINT), 0);
	EXPECT_EQ(kvbm_logical_stage(s.l, 2, s.h, BS), -ENXIO);
	EXPECT_EQ(kvbm_logical_clear(s.l), -ENXIO);
	has(&s, 0, 0, 2);
	/* Freeing does not fail; what it cannot release, the session still has. */
	kvbm_logical_free(s.l);
	EXPECT_EQ(available(&s), BLOCKS - 1);
	EXPECT_EQ(kvbm_release_mutable(s.m.session, 1, (struct kvbm_mutable *)copy + 1,
				       KVBM_NO_HINT), 0);
	close_manager(&s.m);
}

/* What the first call has staged, the failure of the second one takes back. */
static void a_second_batch_fails(void)
{
	const size_t n = KVBM_MAX_BATCH + 100;
	struct kvbm_logical_assignments *l;
	struct kvbm_test_manager m;
	struct kvbm_hash *h;
	uint32_t *tokens;

	tokens = calloc(n, sizeof(*tokens));
	h = calloc(n, sizeof(*h));
	ASSERT(tokens && h);
	kvbm_test_tokens(0, n, tokens);
	ASSERT_EQ(kvbm_hash_blocks(tokens, n, NULL, 0, 1, 0, h, NULL), n);
	ASSERT_EQ(kvbm_test_manager_open(&m, test_uri(), n, 1), 0);
	ASSERT_EQ(kvbm_logical_alloc(m.session, &l), 0);
	EXPECT_EQ(kvbm_logical_allocate(l, n), 0);
	h[n - 1].hi = UINT64_MAX;
	EXPECT_EQ(kvbm_logical_stage(l, n, h, 1), -EILSEQ);
	EXPECT_EQ(kvbm_logical_staged_count(l), 0);
	EXPECT_EQ(kvbm_logical_unassigned_count(l), n);
	EXPECT_EQ(counters_of(m.session).states[KVBM_STATE_MUTABLE], n);
	EXPECT_EQ(kvbm_logical_stage(l, n - 1, h, 1), n - 1);
	kvbm_logical_free(l);
	close_manager(&m);
	free(tokens);
	free(h);
}

static const struct tap_test tests[] = {
	TEST(empty),
	TEST(guards_in_order),
	TEST(matched_prefix_then_new_blocks),
	TEST(assigned_before_staged_and_unassigned),
	TEST(first_in_first_out),
	TEST(little_by_little),
	TEST(another_block_size),
	TEST(a_hash_that_is_none),
	TEST(duplicates_are_refused),
	TEST(last_in_first_out),
	TEST(clear_and_free),
	TEST(released_from_the_end),
	TEST(take),
	TEST(lack_of_blocks),
	TEST(register_and_allocate_next),
	TEST(ids_after_a_refused_duplicate),
	TEST(guards_that_are_gone),
	TEST(a_second_batch_fails),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
