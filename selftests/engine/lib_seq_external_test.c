// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Assignments of block ids that somebody else manages, and where two of them
 * overlap. No backend is needed, but for the last test.
 */
#include "seq_fixture.h"

#define MOST	300

/* A sequence of @complete blocks and @partial tokens, and its assignments. */
struct scene {
	struct kvbm_external_assignments *e;
	struct kvbm_assignment chain[MOST];
	struct kvbm_hash hashes[MOST];
	size_t n;
};

static void begin_at(struct scene *s, size_t complete, size_t partial, uint32_t offset)
{
	size_t i;

	ASSERT_EQ(kvbm_external_alloc(offset, &s->e), 0);
	s->n = complete;
	ASSERT_EQ(kvbm_test_chain(prompt(), complete * BS + partial, BS,
				  KVBM_TEST_SALT_HASH, 0, s->chain), complete);
	for (i = 0; i < complete; i++)
		s->hashes[i] = s->chain[i].hash;
}

static void begin(struct scene *s, size_t complete, size_t partial)
{
	begin_at(s, complete, partial, 0);
}

static void end(struct scene *s)
{
	kvbm_external_free(s->e);
}

static const uint32_t *ids_from(uint32_t first)
{
	static uint32_t ids[MOST];

	kvbm_test_tokens(first, MOST, ids);
	return ids;
}

static struct kvbm_range assign(struct scene *s)
{
	struct kvbm_range r = { 77, 78 };

	EXPECT_EQ(kvbm_external_assign_pending(s->e, s->hashes, s->n, &r), 0);
	return r;
}

static bool is_range(struct kvbm_range r, size_t first, size_t end)
{
	return EXPECT_EQ(r.first, first) & EXPECT_EQ(r.end, end);
}

/* Ids count up from @first in each group, over all three. */
static bool has(const struct scene *s, size_t assigned, size_t staged,
		size_t unassigned, uint32_t first)
{
	const struct kvbm_assignment *a[3];
	size_t n[3], g, i, position = kvbm_external_offset(s->e);
	bool ok = true;

	a[0] = kvbm_external_assigned(s->e, &n[0]);
	a[1] = kvbm_external_staged(s->e, &n[1]);
	a[2] = kvbm_external_unassigned(s->e, &n[2]);
	if (!EXPECT_EQ(n[0], assigned) || !EXPECT_EQ(n[1], staged) ||
	    !EXPECT_EQ(n[2], unassigned))
		return false;
	for (g = 0; g < 3; g++) {
		for (i = 0; i < n[g]; i++, position++) {
			ok &= EXPECT_EQ(a[g][i].id, first++);
			ok &= EXPECT(kvbm_external_contains(s->e, a[g][i].id));
			if (g < 2)
				ok &= EXPECT(!kvbm_hash_compare(&a[g][i].hash,
								&s->hashes[position]));
		}
		ok &= EXPECT_EQ(!a[g], !n[g]);
	}
	return ok;
}

/* As many as there are of both are assigned, in order; a partial block never is. */
static void every_mix_of_blocks_and_ids(void)
{
	size_t complete, partial, ids, n;
	struct scene s;

	for (complete = 0; complete <= 5; complete++)
		for (partial = 0; partial < BS; partial++)
			for (ids = 0; ids <= 7; ids++) {
				begin(&s, complete, partial);
				EXPECT_EQ(kvbm_external_extend_ids(s.e, ids_from(50), ids), 0);
				n = complete < ids ? complete : ids;
				is_range(assign(&s), 0, n);
				has(&s, n, 0, ids - n, 50);
				end(&s);
			}
}

static void many_blocks(void)
{
	struct scene s;

	begin(&s, MOST, 0);
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids_from(0), MOST), 0);
	is_range(assign(&s), 0, MOST);
	has(&s, MOST, 0, 0, 0);
	EXPECT(!kvbm_external_contains(s.e, MOST));
	EXPECT(!kvbm_external_contains(s.e, UINT32_MAX));
	end(&s);
}

static void ids_come_little_by_little(void)
{
	const uint32_t *ids = ids_from(10);
	struct scene s;

	begin(&s, 6, 1);
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids, 2), 0);
	is_range(assign(&s), 0, 2);
	/* The full list each time; what is known is skipped. */
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids, 4), 0);
	has(&s, 2, 0, 2, 10);
	is_range(assign(&s), 2, 4);
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids, 9), 0);
	is_range(assign(&s), 4, 6);
	has(&s, 6, 0, 3, 10);
	/* All blocks have one: what is extra stays unassigned. */
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids, 11), 0);
	is_range(assign(&s), 6, 6);
	has(&s, 6, 0, 5, 10);
	/* All known: nothing happens. */
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids, 11), 0);
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids, 3), 0);
	EXPECT_EQ(kvbm_external_extend_ids(s.e, NULL, 0), 0);
	has(&s, 6, 0, 5, 10);
	end(&s);
}

static void older_ids_first(void)
{
	const uint32_t *ids = ids_from(20);
	struct scene s;

	begin(&s, 8, 2);
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids, 3), 0);
	s.n = 0;
	is_range(assign(&s), 0, 0);
	has(&s, 0, 0, 3, 20);
	/* No new space: they pile up, over several rounds. */
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids, 5), 0);
	is_range(assign(&s), 0, 0);
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids, 6), 0);
	has(&s, 0, 0, 6, 20);
	/* Some space, with nothing new. */
	s.n = 2;
	is_range(assign(&s), 0, 2);
	has(&s, 2, 0, 4, 20);
	/* Some space, with more that is new. */
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids, 7), 0);
	s.n = 5;
	is_range(assign(&s), 2, 5);
	has(&s, 5, 0, 2, 20);
	/* Exactly as much as there is. */
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids, 8), 0);
	s.n = 8;
	is_range(assign(&s), 5, 8);
	has(&s, 8, 0, 0, 20);
	end(&s);
}

static void known_after_new_is_refused(void)
{
	static const uint32_t bad[] = { 10, 11, 99, 12 };
	static const uint32_t twice[] = { 10, 11, 12, 30, 30, 31, 30 };
	struct scene s;
	size_t n;

	begin(&s, 2, 0);
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids_from(10), 3), 0);
	is_range(assign(&s), 0, 2);
	EXPECT_EQ(kvbm_external_extend_ids(s.e, bad, 4), -EINVAL);
	is_error(kvbm_external_error(s.e), -EINVAL, KVBM_SEQ_ORDERING_VIOLATION, 12, 99,
		 3);
	EXPECT_EQ(kvbm_external_error(s.e)->values[3], 2);
	has(&s, 2, 0, 1, 10);
	EXPECT(!kvbm_external_contains(s.e, 99));
	/* New, and given twice: counts once. */
	EXPECT_EQ(kvbm_external_extend_ids(s.e, twice, 7), 0);
	kvbm_external_unassigned(s.e, &n);
	EXPECT_EQ(n, 3);
	EXPECT(kvbm_external_contains(s.e, 31));
	end(&s);
}

static void a_shorter_sequence_shrinks_nothing(void)
{
	struct scene s;

	begin(&s, 4, 0);
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids_from(0), 5), 0);
	is_range(assign(&s), 0, 4);
	s.n = 1;
	is_range(assign(&s), 4, 4);
	has(&s, 4, 0, 1, 0);
	end(&s);
}

static void at_an_offset(void)
{
	struct scene a, b;

	begin_at(&a, 6, 0, 2);
	EXPECT_EQ(kvbm_external_offset(a.e), 2);
	EXPECT_EQ(kvbm_external_next_position(a.e), 2);
	EXPECT_EQ(kvbm_external_extend_ids(a.e, ids_from(5), 6), 0);
	is_range(kvbm_external_pending_positions(a.e), 2, 8);
	/* Blocks 2 to 5; indices of what is assigned begin at 0. */
	is_range(assign(&a), 0, 4);
	has(&a, 4, 0, 2, 5);
	EXPECT(!kvbm_hash_compare(&kvbm_external_at(a.e, 2)->hash, &a.hashes[2]));
	is_range(kvbm_external_assigned_positions(a.e), 2, 6);

	/* Another instance has the beginning of the same sequence. */
	begin_at(&b, 6, 0, 0);
	EXPECT_EQ(kvbm_external_extend_ids(b.e, ids_from(90), 2), 0);
	is_range(assign(&b), 0, 2);
	is_range(kvbm_external_assigned_positions(b.e), 0, 2);
	end(&b);

	kvbm_external_clear(a.e);
	has(&a, 0, 0, 0, 0);
	EXPECT_EQ(kvbm_external_offset(a.e), 2);
	EXPECT(!kvbm_external_contains(a.e, 5));
	EXPECT_EQ(kvbm_external_extend_ids(a.e, ids_from(5), 1), 0);
	is_range(assign(&a), 0, 1);
	end(&a);

	/* A sequence that is shorter than the offset. */
	begin_at(&a, 1, 0, 2);
	EXPECT_EQ(kvbm_external_extend_ids(a.e, ids_from(5), 1), 0);
	is_range(assign(&a), 0, 0);
	end(&a);
	EXPECT_EQ(kvbm_external_alloc(KVBM_MAX_POSITIONS, &a.e), -EOVERFLOW);
	ASSERT_EQ(kvbm_external_alloc(KVBM_MAX_POSITIONS - 1, &a.e), 0);
	end(&a);
	kvbm_external_free(NULL);
}

static void tokens_then_blocks(void)
{
	struct kvbm_external_assignments *e;
	struct kvbm_token_seq *seq;
	const struct kvbm_hash *h;
	size_t n;

	ASSERT_EQ(kvbm_token_seq_alloc(prompt(), 6, BS, KVBM_TEST_SALT_HASH, &seq), 0);
	ASSERT_EQ(kvbm_external_alloc(0, &e), 0);
	EXPECT_EQ(kvbm_external_extend_ids(e, ids_from(1), 4), 0);
	h = kvbm_token_seq_hashes(seq, &n);
	EXPECT_EQ(n, 1);
	EXPECT_EQ(kvbm_external_assign_pending(e, h, n, NULL), 0);
	EXPECT_EQ(kvbm_external_next_position(e), 1);
	/* Two more blocks, by several tokens and by one. */
	EXPECT_EQ(kvbm_token_seq_extend(seq, prompt() + 6, 5), 1);
	EXPECT_EQ(kvbm_token_seq_append(seq, prompt()[11]), 1);
	h = kvbm_token_seq_hashes(seq, &n);
	EXPECT_EQ(n, 3);
	EXPECT_EQ(kvbm_external_assign_pending(e, h, n, NULL), 0);
	EXPECT_EQ(kvbm_external_next_position(e), 3);
	EXPECT(!kvbm_hash_compare(&kvbm_external_at(e, 2)->hash, &h[2]));
	EXPECT_EQ(kvbm_external_at(e, 2)->id, 3);
	kvbm_external_free(e);
	kvbm_token_seq_free(seq);
}

/* What the reference calls a block sequence is a sequence of tokens here. */
static void block_sequence(void)
{
	struct kvbm_assignment chain[3];
	struct kvbm_token_seq *seq, *salted;
	const struct kvbm_hash *h, *other;
	size_t n, i;

	ASSERT_EQ(kvbm_token_seq_alloc(prompt(), 10, BS, 0, &seq), 0);
	ASSERT_EQ(kvbm_token_seq_alloc(prompt(), 10, BS, KVBM_TEST_SALT_HASH, &salted), 0);
	EXPECT_EQ(kvbm_token_seq_len(seq), 10);
	EXPECT_EQ(kvbm_token_seq_block_size(seq), BS);
	ASSERT_EQ(kvbm_test_chain(prompt(), 10, BS, 0, 0, chain), 2);
	h = kvbm_token_seq_hashes(seq, &n);
	other = kvbm_token_seq_hashes(salted, NULL);
	EXPECT_EQ(n, 2);
	for (i = 0; i < n; i++) {
		EXPECT(!kvbm_hash_compare(&h[i], &chain[i].hash));
		EXPECT(kvbm_hash_compare(&h[i], &other[i]));
	}
	EXPECT_EQ(kvbm_token_seq_append(seq, 1), 0);
	EXPECT_EQ(kvbm_token_seq_append(seq, 2), 1);
	EXPECT_EQ(kvbm_token_seq_block_count(seq), 3);
	EXPECT_EQ(kvbm_token_seq_extend(seq, prompt(), 3), 0);
	EXPECT_EQ(kvbm_token_seq_extend(seq, prompt(), 6), 2);
	EXPECT_EQ(kvbm_token_seq_block_count(seq), 5);
	kvbm_token_seq_free(seq);
	kvbm_token_seq_free(salted);
}

static void staging(void)
{
	struct kvbm_assignment taken[8];
	struct kvbm_range r;
	struct scene s;

	begin(&s, 6, 0);
	/* Nothing to stage, nothing to commit. */
	EXPECT_EQ(kvbm_external_stage_pending(s.e, s.hashes, 6, &r), 0);
	is_range(r, 0, 0);
	is_range(kvbm_external_commit_staged(s.e), 0, 0);
	is_range(kvbm_external_staged_positions(s.e), 0, 0);

	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids_from(40), 3), 0);
	EXPECT_EQ(kvbm_external_stage_pending(s.e, s.hashes, 6, &r), 0);
	is_range(r, 0, 3);
	has(&s, 0, 3, 0, 40);
	is_range(kvbm_external_staged_positions(s.e), 0, 3);
	EXPECT_EQ(kvbm_external_next_position(s.e), 3);
	is_range(kvbm_external_commit_staged(s.e), 0, 3);
	has(&s, 3, 0, 0, 40);
	is_range(kvbm_external_staged_positions(s.e), 3, 3);

	/* Commit, then stage more; a part only, for want of hashes. */
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids_from(40), 8), 0);
	EXPECT_EQ(kvbm_external_stage_pending(s.e, s.hashes, 5, &r), 0);
	is_range(r, 0, 2);
	has(&s, 3, 2, 3, 40);
	is_range(kvbm_external_staged_positions(s.e), 3, 5);
	is_range(kvbm_external_pending_positions(s.e), 5, 8);
	EXPECT_EQ(kvbm_external_stage_pending(s.e, s.hashes, 6, &r), 0);
	is_range(r, 2, 3);
	has(&s, 3, 3, 2, 40);
	/* Staged ids are known, too. */
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids_from(40), 8), 0);
	has(&s, 3, 3, 2, 40);

	EXPECT_EQ(kvbm_external_take_staged(s.e, taken), 3);
	EXPECT_EQ(taken[0].id, 43);
	EXPECT_EQ(taken[2].id, 45);
	EXPECT(!kvbm_hash_compare(&taken[2].hash, &s.hashes[5]));
	EXPECT(!kvbm_external_contains(s.e, 43));
	EXPECT(kvbm_external_contains(s.e, 42));
	EXPECT(kvbm_external_contains(s.e, 46));
	EXPECT_EQ(kvbm_external_next_position(s.e), 3);
	EXPECT_EQ(kvbm_external_take_staged(s.e, NULL), 0);
	end(&s);
}

static void positions(void)
{
	struct scene s;
	size_t i;

	begin_at(&s, 7, 0, 3);
	is_range(kvbm_external_assigned_positions(s.e), 3, 3);
	is_range(kvbm_external_staged_positions(s.e), 3, 3);
	is_range(kvbm_external_pending_positions(s.e), 3, 3);
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids_from(60), 2), 0);
	is_range(assign(&s), 0, 2);
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids_from(60), 3), 0);
	EXPECT_EQ(kvbm_external_stage_pending(s.e, s.hashes, 7, NULL), 0);
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids_from(60), 7), 0);
	has(&s, 2, 1, 4, 60);
	is_range(kvbm_external_assigned_positions(s.e), 3, 5);
	is_range(kvbm_external_staged_positions(s.e), 5, 6);
	is_range(kvbm_external_pending_positions(s.e), 6, 10);
	EXPECT_EQ(kvbm_external_next_position(s.e), 6);
	for (i = 0; i < 12; i++) {
		const struct kvbm_assignment *a = kvbm_external_at(s.e, i);
		const struct kvbm_assignment *p = kvbm_external_pending_at(s.e, i);

		EXPECT_EQ(!!a, i >= 3 && i < 5);
		EXPECT_EQ(!!p, i >= 6 && i < 10);
		EXPECT_EQ(a ? a->id : 60 + i - 3, 60 + i - 3);
		EXPECT_EQ(p ? p->id : 60 + i - 3, 60 + i - 3);
	}
	end(&s);
}

static void extend_assigned(void)
{
	struct kvbm_assignment known[3], dup[2];
	struct scene s;
	size_t i;

	begin(&s, 6, 0);
	for (i = 0; i < 3; i++)
		known[i] = (struct kvbm_assignment){ .hash = s.hashes[i], .id = 70 + i };
	EXPECT_EQ(kvbm_external_extend_assigned(s.e, NULL, 0), 0);
	EXPECT_EQ(kvbm_external_extend_assigned(s.e, known, 3), 0);
	has(&s, 3, 0, 0, 70);
	/* Then new ones behind those. */
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids_from(70), 5), 0);
	EXPECT_EQ(kvbm_external_stage_pending(s.e, s.hashes, 6, NULL), 0);
	has(&s, 3, 2, 0, 70);
	/* One that is there; two of the same. */
	dup[0] = (struct kvbm_assignment){ .hash = s.hashes[5], .id = 99 };
	dup[1] = (struct kvbm_assignment){ .hash = s.hashes[5], .id = 74 };
	EXPECT_EQ(kvbm_external_extend_assigned(s.e, dup, 2), -EEXIST);
	is_error(kvbm_external_error(s.e), -EEXIST, KVBM_SEQ_DUPLICATE_BLOCK_ID, 74, 0, 0);
	dup[1].id = 99;
	EXPECT_EQ(kvbm_external_extend_assigned(s.e, dup, 2), -EEXIST);
	has(&s, 3, 2, 0, 70);
	EXPECT(!kvbm_external_contains(s.e, 99));
	/* Before what is staged. */
	kvbm_external_commit_staged(s.e);
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids_from(70), 6), 0);
	EXPECT_EQ(kvbm_external_extend_assigned(s.e, dup, 1), 0);
	EXPECT_EQ(kvbm_external_at(s.e, 5)->id, 99);
	EXPECT_EQ(kvbm_external_pending_at(s.e, 6)->id, 75);
	end(&s);
}

static void hashes_of_other_positions(void)
{
	struct kvbm_hash bad;
	struct scene s;

	begin(&s, 4, 0);
	EXPECT_EQ(kvbm_external_extend_ids(s.e, ids_from(30), 4), 0);
	/* The hash of block 3 where that of block 2 belongs: nothing is staged. */
	bad = s.hashes[2];
	s.hashes[2] = s.hashes[3];
	EXPECT_EQ(kvbm_external_stage_pending(s.e, s.hashes, 4, NULL), -EILSEQ);
	is_error(kvbm_external_error(s.e), -EILSEQ, KVBM_SEQ_POSITION_MISMATCH, 2, 3, 32);
	has(&s, 0, 0, 4, 30);
	/* And one that is none. */
	s.hashes[2].hi = UINT64_MAX;
	EXPECT_EQ(kvbm_external_stage_pending(s.e, s.hashes, 4, NULL), -EILSEQ);
	EXPECT_EQ(kvbm_external_error(s.e)->reason, KVBM_SEQ_CALL_FAILED);
	has(&s, 0, 0, 4, 30);
	s.hashes[2] = bad;
	is_range(assign(&s), 0, 4);
	end(&s);
}

/* Zipping. */

static void have_assigned(struct scene *s, uint32_t offset, uint32_t first, size_t n)
{
	begin_at(s, 10, 0, offset);
	EXPECT_EQ(kvbm_external_extend_ids(s->e, ids_from(first), n), 0);
	is_range(assign(s), 0, n);
}

static void zip_assigned(void)
{
	/* offset and length of both, then the overlap */
	static const size_t cases[][6] = {
		{ 0, 4, 0, 4, 0, 4 }, { 0, 6, 2, 3, 2, 5 }, { 1, 3, 2, 6, 2, 4 },
		{ 0, 2, 2, 2, 0, 0 }, { 5, 2, 0, 3, 0, 0 }, { 0, 0, 0, 4, 0, 0 },
		{ 0, 4, 0, 0, 0, 0 }, { 0, 0, 0, 0, 0, 0 }, { 2, 3, 0, 6, 2, 5 },
	};
	struct kvbm_zipped z[10];
	size_t c, i, n;

	for (c = 0; c < ARRAY_SIZE(cases); c++) {
		const size_t *k = cases[c];
		struct scene a, b;

		have_assigned(&a, k[0], 100, k[1]);
		have_assigned(&b, k[2], 200, k[3]);
		n = kvbm_zip_assigned(a.e, b.e, z, 10);
		EXPECT_EQ(n, k[5] - k[4]);
		for (i = 0; i < n; i++) {
			EXPECT_EQ(z[i].position, k[4] + i);
			EXPECT_EQ(z[i].a, 100 + k[4] + i - k[0]);
			EXPECT_EQ(z[i].b, 200 + k[4] + i - k[2]);
		}
		/* Less room than there are. */
		memset(z, 0xee, sizeof(z));
		EXPECT_EQ(kvbm_zip_assigned(a.e, b.e, z, 1), n);
		EXPECT_EQ(z[1].a, 0xeeeeeeee);
		EXPECT_EQ(kvbm_zip_assigned(a.e, b.e, NULL, 0), n);
		end(&a);
		end(&b);
	}
}

static void zip_assigned_pending(void)
{
	/* assigned in the source; assigned and pending in the destination */
	static const size_t cases[][5] = {
		{ 4, 0, 4, 0, 4 }, { 6, 2, 3, 2, 5 }, { 3, 2, 4, 2, 3 },
		{ 2, 2, 4, 0, 0 }, { 4, 4, 2, 0, 0 }, { 0, 0, 3, 0, 0 },
		{ 3, 0, 0, 0, 0 }, { 0, 0, 0, 0, 0 },
	};
	struct kvbm_zipped z[10];
	size_t c, i, n;

	for (c = 0; c < ARRAY_SIZE(cases); c++) {
		const size_t *k = cases[c];
		struct scene src, dst;

		have_assigned(&src, 0, 100, k[0]);
		have_assigned(&dst, 0, 200, k[1]);
		EXPECT_EQ(kvbm_external_extend_ids(dst.e, ids_from(200), k[1] + k[2]), 0);
		n = kvbm_zip_assigned_pending(src.e, dst.e, z, 10);
		EXPECT_EQ(n, k[4] - k[3]);
		for (i = 0; i < n; i++) {
			EXPECT_EQ(z[i].position, k[3] + i);
			EXPECT_EQ(z[i].a, 100 + k[3] + i);
			EXPECT_EQ(z[i].b, 200 + k[3] + i);
		}
		end(&src);
		end(&dst);
	}
}

static void fill_ids(const struct kvbm_immutable *guards, size_t n, uint32_t *ids)
{
	size_t i;

	for (i = 0; i < n; i++)
		ids[i] = guards[i].token.id;
}

/* A prefix is in G2, its beginning in G1: match in both, plan, copy, assign. */
static void onboard_from_g2_to_g1(void)
{
	struct kvbm_external_assignments *g1, *g2;
	struct kvbm_test_manager m1, m2;
	struct kvbm_logical_assignments *l;
	struct kvbm_immutable in1[6], in2[6];
	uint32_t ids[6];
	struct kvbm_zipped plan[6];
	struct scene s;
	size_t n;

	open_manager(&m1, 10);
	open_manager(&m2, 10);
	begin(&s, 6, 0);
	EXPECT_EQ(kvbm_test_cache(m1.session, prompt(), 2 * BS, KVBM_TEST_SALT_HASH), 2);
	EXPECT_EQ(kvbm_test_cache(m2.session, prompt(), 5 * BS, KVBM_TEST_SALT_HASH), 5);
	ASSERT_EQ(kvbm_match(m1.session, 6, s.hashes, in1), 2);
	ASSERT_EQ(kvbm_match(m2.session, 6, s.hashes, in2), 5);
	ASSERT_EQ(kvbm_external_alloc(0, &g1), 0);
	ASSERT_EQ(kvbm_external_alloc(0, &g2), 0);
	fill_ids(in1, 2, ids);
	EXPECT_EQ(kvbm_external_extend_ids(g1, ids, 2), 0);
	EXPECT_EQ(kvbm_external_assign_pending(g1, s.hashes, 2, NULL), 0);
	fill_ids(in2, 5, ids);
	EXPECT_EQ(kvbm_external_extend_ids(g2, ids, 5), 0);
	EXPECT_EQ(kvbm_external_assign_pending(g2, s.hashes, 5, NULL), 0);

	/* Queue blocks in G1 for the rest. */
	ASSERT_EQ(kvbm_logical_alloc(m1.session, &l), 0);
	EXPECT_EQ(kvbm_logical_extend_assigned(l, 2, in1), 0);
	EXPECT_EQ(kvbm_logical_allocate(l, 3), 0);
	EXPECT_EQ(kvbm_logical_block_ids(l, 0, 6, ids), 5);
	EXPECT_EQ(kvbm_external_extend_ids(g1, ids, 5), 0);
	n = kvbm_zip_assigned_pending(g2, g1, plan, 6);
	ASSERT_EQ(n, 3);
	EXPECT_EQ(plan[0].position, 2);
	EXPECT_EQ(plan[0].a, in2[2].token.id);
	EXPECT_EQ(plan[2].b, ids[4]);

	/* When it is copied. */
	EXPECT_EQ(kvbm_logical_stage_register(l, 3, s.hashes + 2, BS, NULL), 3);
	EXPECT_EQ(kvbm_external_assign_pending(g1, s.hashes, 5, NULL), 0);
	EXPECT_EQ(kvbm_zip_assigned(g1, g2, plan, 6), 5);
	EXPECT_EQ(kvbm_probe(m1.session, 6, s.hashes), 5);

	EXPECT_EQ(kvbm_release(m2.session, 5, in2), 0);
	kvbm_logical_free(l);
	kvbm_external_free(g1);
	kvbm_external_free(g2);
	end(&s);
	close_manager(&m1);
	close_manager(&m2);
}

static const struct tap_test tests[] = {
	TEST(every_mix_of_blocks_and_ids),
	TEST(many_blocks),
	TEST(ids_come_little_by_little),
	TEST(older_ids_first),
	TEST(known_after_new_is_refused),
	TEST(a_shorter_sequence_shrinks_nothing),
	TEST(at_an_offset),
	TEST(tokens_then_blocks),
	TEST(block_sequence),
	TEST(staging),
	TEST(positions),
	TEST(extend_assigned),
	TEST(hashes_of_other_positions),
	TEST(zip_assigned),
	TEST(zip_assigned_pending),
	TEST(onboard_from_g2_to_g1),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
