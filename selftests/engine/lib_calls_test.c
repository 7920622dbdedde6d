// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The rest of the life cycle through libkvbm: what there is besides allocate,
 * stage, register, match and release. On either backend.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>

#include "lib_fixture.h"

#define AUX	24

static bool same(struct kvbm_token a, struct kvbm_token b)
{
	return a.id == b.id && a.gen == b.gen;
}

/* Unstage. */

static void unstage(void)
{
	struct kvbm_complete complete[3];
	struct kvbm_mutable m[3], copy[3];
	struct kvbm_immutable im[3];
	struct kvbm_hash h[6];
	struct kvbm_counters c;
	struct fixture f;

	set_up(&f, 8);
	hashes_of(0, 6, h);
	ASSERT_EQ(kvbm_allocate(f.s, 3, m, NULL, NULL), 0);
	memcpy(copy, m, sizeof(m));
	ASSERT_EQ(kvbm_stage(f.s, 3, m, h, BLOCK_SIZE, complete), 0);
	memset(m, 0xee, sizeof(m));
	ASSERT_EQ(kvbm_unstage(f.s, 2, complete, m), 0);
	EXPECT(is_empty(complete, 2));
	EXPECT(!is_empty(complete + 2, 1));
	EXPECT(!memcmp(m, copy, 2 * sizeof(*m)));
	c = counters(&f);
	EXPECT_EQ(c.inflight_mutable, 2);
	EXPECT_EQ(c.stagings, 3);
	EXPECT_EQ(c.allocations, 3);
	/* Filled and staged anew. */
	ASSERT_EQ(kvbm_stage(f.s, 2, m, h + 3, BLOCK_SIZE, complete), 0);
	ASSERT_EQ(kvbm_register(f.s, 3, complete, im, NULL), 0);
	EXPECT_EQ(kvbm_probe(f.s, 1, h), 0);
	EXPECT_EQ(kvbm_probe(f.s, 1, h + 2), 1);
	EXPECT_EQ(kvbm_probe(f.s, 2, h + 3), 2);
	EXPECT_EQ(counters(&f).stagings, 5);
	tear_down(&f);
}

static void unstage_errors(void)
{
	struct kvbm_complete complete[3], copy[3];
	struct kvbm_mutable m[3], other[3];
	struct kvbm_counters before, after;
	struct kvbm_session *s;
	struct kvbm_hash h[3];
	struct fixture f;

	set_up(&f, 8);
	hashes_of(0, 3, h);
	ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, 0, &s), 0);
	ASSERT_EQ(kvbm_allocate(f.s, 3, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage(f.s, 2, m, h, BLOCK_SIZE, complete), 0);
	complete[2].token = m[2].token;
	memcpy(copy, complete, sizeof(copy));
	before = counters(&f);

	memset(other, 0xee, sizeof(other));
	EXPECT_EQ(kvbm_unstage(f.s, 3, complete, other), -EBADFD);
	EXPECT_EQ(kvbm_failed_index(), 2);
	EXPECT(is_empty(other, 3));
	complete[1].token.gen--;
	EXPECT_EQ(kvbm_unstage(f.s, 3, complete, other), -ESTALE);
	EXPECT_EQ(kvbm_failed_index(), 1);
	complete[1].token = complete[0].token;
	EXPECT_EQ(kvbm_unstage(f.s, 3, complete, other), -ENXIO);
	EXPECT_EQ(kvbm_failed_index(), 1);
	complete[1] = copy[1];
	EXPECT_EQ(kvbm_unstage(s, 2, complete, other), -ENXIO);
	EXPECT_EQ(kvbm_failed_index(), 0);
	EXPECT_EQ(kvbm_unstage(f.s, 2, complete, NULL), -EFAULT);
	EXPECT_EQ(kvbm_unstage(f.s, 2, NULL, other), -EFAULT);
	EXPECT_EQ(kvbm_unstage(f.s, KVBM_MAX_BATCH + 1, complete, other), -EINVAL);
	EXPECT(!memcmp(complete, copy, sizeof(copy)));
	after = counters(&f);
	EXPECT(!memcmp(&before, &after, sizeof(before)));
	EXPECT_EQ(kvbm_unstage(f.s, 0, NULL, NULL), 0);
	kvbm_session_close(s);
	tear_down(&f);
}

/* Look-ups. */

static void scattered(void)
{
	struct kvbm_immutable im[6], got[6];
	struct kvbm_hash h[8], ask[6];
	struct kvbm_counters before, c;
	struct fixture f;

	set_up(&f, 8);
	hashes_of(0, 8, h);
	fill(&f, 0, 6, im);
	ASSERT_EQ(kvbm_release(f.s, 3, im), 0);
	before = counters(&f);
	/* A miss, cached, held, cached again, a miss, held. */
	ask[0] = h[7];
	ask[1] = h[0];
	ask[2] = h[4];
	ask[3] = h[0];
	ask[4] = h[6];
	ask[5] = h[5];
	memset(got, 0xee, sizeof(got));
	EXPECT_EQ(kvbm_match_scattered(f.s, 6, ask, got), 4);
	EXPECT(is_empty(got, 1));
	EXPECT_EQ(got[1].token.id, 0);
	EXPECT_EQ(got[2].token.id, 4);
	EXPECT(same(got[3].token, got[1].token));
	EXPECT(is_empty(got + 4, 1));
	EXPECT_EQ(got[5].token.id, 5);
	c = counters(&f);
	EXPECT_EQ(c.match_hashes_requested, before.match_hashes_requested + 6);
	EXPECT_EQ(c.match_blocks_returned, before.match_blocks_returned + 4);
	EXPECT_EQ(c.scan_hashes_requested, 0);
	EXPECT_EQ(c.inflight_immutable, before.inflight_immutable + 4);
	EXPECT_EQ(c.inactive_pool_size, 2);
	/* Empty ones are skipped, and the others were all held. */
	EXPECT_EQ(kvbm_release(f.s, 6, got), 0);
	EXPECT_EQ(counters(&f).inflight_immutable, before.inflight_immutable);
	memset(got, 0xee, sizeof(got));
	EXPECT_EQ(kvbm_match_scattered(f.s, 2, h + 6, got), 0);
	EXPECT(is_empty(got, 2));
	tear_down(&f);
}

static void scan(void)
{
	struct kvbm_immutable im[4], got[7];
	struct kvbm_counters before, c;
	struct kvbm_hash h[6], ask[7];
	struct fixture f;

	set_up(&f, 8);
	hashes_of(0, 6, h);
	fill(&f, 0, 4, im);
	ASSERT_EQ(kvbm_release(f.s, 2, im), 0);
	before = counters(&f);
	ask[0] = h[1];
	ask[1] = h[5];
	ask[2] = h[1];
	ask[3] = h[3];
	ask[4] = h[1];
	ask[5] = h[3];
	ask[6] = h[0];
	memset(got, 0xee, sizeof(got));
	EXPECT_EQ(kvbm_scan(f.s, 7, ask, got), 3);
	EXPECT_EQ(got[0].token.id, 1);
	EXPECT(is_empty(got + 1, 2));
	EXPECT_EQ(got[3].token.id, 3);
	EXPECT(is_empty(got + 4, 2));
	EXPECT_EQ(got[6].token.id, 0);
	c = counters(&f);
	EXPECT_EQ(c.scan_hashes_requested, 7);
	EXPECT_EQ(c.scan_blocks_returned, 3);
	EXPECT_EQ(c.match_hashes_requested, before.match_hashes_requested);
	EXPECT_EQ(c.inflight_immutable, before.inflight_immutable + 3);
	/* The next scan finds them again, held or not. */
	EXPECT_EQ(kvbm_release(f.s, 1, got), 0);
	EXPECT_EQ(kvbm_scan(f.s, 7, ask, got), 3);
	EXPECT_EQ(got[3].token.id, 3);
	tear_down(&f);
}

static void probe(void)
{
	struct kvbm_counters before, after;
	struct kvbm_immutable im[4];
	struct kvbm_hash h[6];
	struct fixture f;

	set_up(&f, 8);
	hashes_of(0, 6, h);
	fill(&f, 0, 4, im);
	ASSERT_EQ(kvbm_release(f.s, 2, im), 0);
	before = counters(&f);
	EXPECT_EQ(kvbm_probe(f.s, 6, h), 4);
	EXPECT_EQ(kvbm_probe(f.s, 3, h), 3);
	EXPECT_EQ(kvbm_probe(f.s, 1, h + 3), 1);
	EXPECT_EQ(kvbm_probe(f.s, 2, h + 4), 0);
	EXPECT_EQ(kvbm_probe(f.s, 0, NULL), 0);
	after = counters(&f);
	EXPECT(!memcmp(&before, &after, sizeof(before)));
	tear_down(&f);
}

/* More than the lock is held for at a time. */
static void look_ups_are_long(void)
{
	size_t n = 1000, i;
	struct kvbm_immutable *im = calloc(n, sizeof(*im));
	struct kvbm_immutable *got = calloc(n, sizeof(*got));
	struct kvbm_hash *h = calloc(n, sizeof(*h));
	struct fixture f;

	set_up(&f, n);
	hashes_of(0, n, h);
	fill(&f, 0, n, im);
	/* Every third is missing. */
	for (i = 0; i < n; i += 3)
		h[i].lo++;
	EXPECT_EQ(kvbm_match_scattered(f.s, n, h, got), 666);
	for (i = 0; i < n; i++)
		if (got[i].token.id != (i % 3 ? i : 0) || !got[i].token.gen != !(i % 3))
			break;
	EXPECT_EQ(i, n);
	EXPECT_EQ(kvbm_release(f.s, n, got), 0);
	EXPECT_EQ(kvbm_scan(f.s, n, h, got), 666);
	EXPECT_EQ(kvbm_release(f.s, n, got), 0);
	hashes_of(0, n, h);
	EXPECT_EQ(kvbm_probe(f.s, n, h), n);
	EXPECT_EQ(kvbm_clone(f.s, n, im, got), 0);
	EXPECT_EQ(counters(&f).inflight_immutable, 2 * n);
	tear_down(&f);
	free(im);
	free(got);
	free(h);
}

static void look_up_errors(void)
{
	struct kvbm_immutable got[2];
	struct kvbm_session *writer;
	struct kvbm_token t[2] = { 0 };
	struct kvbm_hash h[2];
	struct fixture f;
	size_t many = KVBM_MAX_BATCH + 1;

	set_up(&f, 8);
	hashes_of(0, 2, h);
	EXPECT_EQ(kvbm_match_scattered(f.s, 2, NULL, got), -EFAULT);
	EXPECT_EQ(kvbm_match_scattered(f.s, 2, h, NULL), -EFAULT);
	EXPECT_EQ(kvbm_match_scattered(f.s, many, h, got), -EINVAL);
	EXPECT_EQ(kvbm_match_scattered(f.s, 0, NULL, NULL), 0);
	EXPECT_EQ(kvbm_scan(f.s, 2, NULL, got), -EFAULT);
	EXPECT_EQ(kvbm_scan(f.s, 2, h, NULL), -EFAULT);
	EXPECT_EQ(kvbm_scan(f.s, many, h, got), -EINVAL);
	EXPECT_EQ(kvbm_scan(f.s, 0, NULL, NULL), 0);
	EXPECT_EQ(kvbm_probe(f.s, 2, NULL), -EFAULT);
	EXPECT_EQ(kvbm_probe(f.s, many, h), -EINVAL);
	EXPECT_EQ(kvbm_upgrade(f.s, 2, NULL, t, got), -EFAULT);
	EXPECT_EQ(kvbm_upgrade(f.s, 2, h, NULL, got), -EFAULT);
	EXPECT_EQ(kvbm_upgrade(f.s, 2, h, t, NULL), -EFAULT);
	EXPECT_EQ(kvbm_upgrade(f.s, many, h, t, got), -EINVAL);
	EXPECT_EQ(kvbm_upgrade(f.s, 0, NULL, NULL, NULL), 0);

	ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, KVBM_BIND_WRITE, &writer), 0);
	memset(got, 0xee, sizeof(got));
	EXPECT_EQ(kvbm_match_scattered(writer, 2, h, got), -EACCES);
	EXPECT(is_empty(got, 2));
	memset(got, 0xee, sizeof(got));
	EXPECT_EQ(kvbm_scan(writer, 2, h, got), -EACCES);
	EXPECT(is_empty(got, 2));
	EXPECT_EQ(kvbm_probe(writer, 2, h), -EACCES);
	memset(got, 0xee, sizeof(got));
	EXPECT_EQ(kvbm_upgrade(writer, 2, h, t, got), -EACCES);
	EXPECT(is_empty(got, 2));
	EXPECT_EQ(kvbm_clone(writer, 1, got, got + 1), -EACCES);
	kvbm_session_close(writer);
	tear_down(&f);
}

/* Clones. */

static void clones(void)
{
	struct kvbm_immutable im[3], copy[3], more[3];
	struct fixture f;

	set_up(&f, 8);
	fill(&f, 0, 3, im);
	memset(copy, 0xee, sizeof(copy));
	EXPECT_EQ(kvbm_clone(f.s, 3, im, copy), 0);
	EXPECT(!memcmp(im, copy, sizeof(im)));
	EXPECT_EQ(counters(&f).inflight_immutable, 6);
	/* Two on one block in one call. */
	more[0] = im[1];
	more[1] = im[1];
	EXPECT_EQ(kvbm_clone(f.s, 2, more, copy), 0);
	EXPECT_EQ(counters(&f).inflight_immutable, 8);
	EXPECT_EQ(kvbm_release(f.s, 2, copy), 0);
	copy[0] = im[0];
	copy[1] = im[1];
	EXPECT_EQ(kvbm_release(f.s, 3, im), 0);
	EXPECT_EQ(counters(&f).inactive_pool_size, 0);
	EXPECT_EQ(kvbm_release(f.s, 3, copy), 0);
	EXPECT_EQ(counters(&f).inactive_pool_size, 3);
	EXPECT_EQ(kvbm_clone(f.s, 0, NULL, NULL), 0);
	tear_down(&f);
}

static void clone_errors(void)
{
	struct kvbm_immutable im[3], copy[3], bad[3];
	struct kvbm_counters before, after;
	struct kvbm_session *other;
	struct kvbm_mutable m;
	struct fixture f;

	set_up(&f, 8);
	ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, 0, &other), 0);
	fill(&f, 0, 3, im);
	ASSERT_EQ(kvbm_allocate(f.s, 1, &m, NULL, NULL), 0);
	before = counters(&f);
	memcpy(bad, im, sizeof(im));
	memset(copy, 0xee, sizeof(copy));
	bad[2].token = m.token;
	EXPECT_EQ(kvbm_clone(f.s, 3, bad, copy), -EBADFD);
	EXPECT_EQ(kvbm_failed_index(), 2);
	EXPECT(is_empty(copy, 3));
	bad[1].token.gen++;
	EXPECT_EQ(kvbm_clone(f.s, 3, bad, copy), -ESTALE);
	EXPECT_EQ(kvbm_failed_index(), 1);
	memset(bad, 0, sizeof(bad));
	EXPECT_EQ(kvbm_clone(f.s, 3, bad, copy), -ESTALE);
	EXPECT_EQ(kvbm_failed_index(), 0);
	EXPECT_EQ(kvbm_clone(other, 3, im, copy), -ENXIO);
	EXPECT_EQ(kvbm_clone(f.s, 3, NULL, copy), -EFAULT);
	EXPECT_EQ(kvbm_clone(f.s, 3, im, NULL), -EFAULT);
	EXPECT_EQ(kvbm_clone(f.s, KVBM_MAX_BATCH + 1, im, copy), -EINVAL);
	after = counters(&f);
	EXPECT(!memcmp(&before, &after, sizeof(before)));
	kvbm_session_close(other);
	tear_down(&f);
}

/* Weak blocks. */

static void weak_same_block(void)
{
	struct kvbm_immutable primary, duplicate, again;
	struct kvbm_session *other;
	struct kvbm_counters c;
	struct kvbm_weak weak;
	struct kvbm_hash h;
	struct fixture f;

	set_up(&f, 8);
	hashes_of(0, 1, &h);
	fill(&f, 0, 1, &primary);
	fill(&f, 0, 1, &duplicate);
	EXPECT(!same(primary.token, duplicate.token));
	ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, 0, &other), 0);
	weak = kvbm_downgrade(&duplicate, &h);
	EXPECT(same(weak.token, duplicate.token));
	EXPECT_EQ(weak.hash.lo, h.lo);
	/* Held by another session, a Duplicate: still it is that block. */
	memset(&again, 0xee, sizeof(again));
	EXPECT_EQ(kvbm_weak_upgrade(other, &weak, &again), 1);
	EXPECT(same(again.token, duplicate.token));
	EXPECT_EQ(kvbm_release(other, 1, &again), 0);
	/* The Duplicate is gone, its Primary is not. */
	EXPECT_EQ(kvbm_release(f.s, 1, &duplicate), 0);
	EXPECT_EQ(kvbm_weak_upgrade(other, &weak, &again), 1);
	EXPECT(same(again.token, primary.token));
	/* Cached counts, too; and is no match. */
	weak = kvbm_downgrade(&primary, &h);
	EXPECT_EQ(kvbm_release(other, 1, &again), 0);
	EXPECT_EQ(kvbm_release(f.s, 1, &primary), 0);
	EXPECT_EQ(counters(&f).inactive_pool_size, 1);
	EXPECT_EQ(kvbm_weak_upgrade(f.s, &weak, &again), 1);
	EXPECT(same(again.token, weak.token));
	c = counters(&f);
	EXPECT_EQ(c.match_hashes_requested + c.scan_hashes_requested, 0);
	EXPECT_EQ(c.inflight_immutable, 1);
	kvbm_session_close(other);
	tear_down(&f);
}

static void weak_other_block(void)
{
	struct kvbm_immutable im[3], got[4];
	struct kvbm_token tokens[4] = { 0 };
	struct kvbm_weak weak;
	struct kvbm_mutable m[8];
	struct kvbm_hash h[4];
	struct fixture f;

	set_up(&f, 8);
	hashes_of(0, 4, h);
	fill(&f, 0, 1, im);
	weak = kvbm_downgrade(im, h);
	EXPECT_EQ(kvbm_release(f.s, 1, im), 0);
	/* Evicted: gone. */
	ASSERT_EQ(kvbm_allocate(f.s, 8, m, NULL, NULL), 0);
	memset(got, 0xee, sizeof(got));
	EXPECT_EQ(kvbm_weak_upgrade(f.s, &weak, got), 0);
	EXPECT(is_empty(got, 1));
	/* Back in another place. */
	EXPECT_EQ(kvbm_release(f.s, 3, m + 4), 0);
	fill(&f, 0, 3, im);
	EXPECT_EQ(kvbm_weak_upgrade(f.s, &weak, got), 1);
	EXPECT(same(got->token, im->token));
	EXPECT(!same(got->token, weak.token));
	/* Several: one by its token, one by its hash, a miss, a wrong token. */
	tokens[0] = im[1].token;
	tokens[2].id = 1000;
	tokens[3] = im[1].token;
	EXPECT_EQ(kvbm_upgrade(f.s, 4, (struct kvbm_hash[]){ h[1], h[2], h[3], h[0] },
			       tokens, got), 3);
	EXPECT(same(got[0].token, im[1].token));
	EXPECT(same(got[1].token, im[2].token));
	EXPECT(is_empty(got + 2, 1));
	EXPECT(same(got[3].token, im[0].token));
	EXPECT(same(tokens[0], im[1].token));
	tear_down(&f);
}

/* Reset on release. */

static void reset_of_one_block(void)
{
	const struct kvbm_immutable *view;
	struct kvbm_complete complete[2];
	struct kvbm_immutable im[4];
	struct kvbm_mutable m[2];
	struct kvbm_hash h[6];
	struct fixture f;

	set_up(&f, 8);
	hashes_of(0, 6, h);
	fill(&f, 0, 4, im);
	view = im;
	EXPECT_EQ(kvbm_set_reset_on_release(f.s, 3, view, true), 0);
	EXPECT_EQ(kvbm_set_reset_on_release(f.s, 1, im + 1, false), 0);
	ASSERT_EQ(kvbm_allocate(f.s, 2, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage(f.s, 2, m, h + 4, BLOCK_SIZE, complete), 0);
	EXPECT_EQ(kvbm_set_reset_on_release(f.s, 1, complete, true), 0);
	EXPECT(!is_empty(complete, 1));
	/* Nothing happens before the last release. */
	EXPECT_EQ(kvbm_probe(f.s, 4, h), 4);
	EXPECT_EQ(kvbm_release(f.s, 4, im), 0);
	ASSERT_EQ(kvbm_register(f.s, 2, complete, im, NULL), 0);
	EXPECT_EQ(kvbm_release(f.s, 2, im), 0);
	EXPECT_EQ(kvbm_match_scattered(f.s, 4, h, im), 2);
	EXPECT(is_empty(im, 1));
	EXPECT(!is_empty(im + 1, 1));
	EXPECT(is_empty(im + 2, 1));
	EXPECT_EQ(kvbm_release(f.s, 4, im), 0);
	EXPECT_EQ(kvbm_probe(f.s, 1, h + 4), 0);
	EXPECT_EQ(kvbm_probe(f.s, 1, h + 5), 1);
	EXPECT_EQ(counters(&f).inactive_pool_size, 3);
	tear_down(&f);
}

static void no_cache(struct kvbm_manager_create *attr)
{
	attr->flags = KVBM_MANAGER_RESET_ON_RELEASE;
}

static void reset_of_all_but_one(void)
{
	struct kvbm_immutable im[2];
	struct fixture f;

	set_up_with(&f, 8, no_cache);
	fill(&f, 0, 2, im);
	EXPECT_EQ(kvbm_set_reset_on_release(f.s, 1, im, false), 0);
	EXPECT_EQ(kvbm_release(f.s, 2, im), 0);
	EXPECT_EQ(counters(&f).inactive_pool_size, 1);
	tear_down(&f);
}

static void set_reset_errors(void)
{
	struct kvbm_session *other, *reader;
	struct kvbm_immutable im[2], bad[2];
	struct kvbm_complete complete;
	struct kvbm_mutable m;
	struct fixture f;

	set_up(&f, 8);
	fill(&f, 0, 2, im);
	ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, 0, &other), 0);
	ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, KVBM_BIND_READ, &reader), 0);
	ASSERT_EQ(kvbm_allocate(f.s, 1, &m, NULL, NULL), 0);
	complete.token = m.token;
	EXPECT_EQ(kvbm_set_reset_on_release(f.s, 1, &complete, true), -EBADFD);
	EXPECT_EQ(kvbm_failed_index(), 0);
	bad[0] = im[0];
	bad[1].token = m.token;
	EXPECT_EQ(kvbm_set_reset_on_release(f.s, 2, bad, true), -EBADFD);
	EXPECT_EQ(kvbm_failed_index(), 1);
	bad[1] = im[1];
	bad[1].token.gen++;
	EXPECT_EQ(kvbm_set_reset_on_release(f.s, 2, bad, true), -ESTALE);
	bad[1].token.id = 100;
	EXPECT_EQ(kvbm_set_reset_on_release(f.s, 2, bad, true), -ENXIO);
	EXPECT_EQ(kvbm_set_reset_on_release(other, 2, im, true), -ENXIO);
	EXPECT_EQ(kvbm_set_reset_on_release(reader, 2, im, true), -EACCES);
	EXPECT_EQ(kvbm_set_reset_on_release_immutable(f.s, 2, NULL, true), -EFAULT);
	EXPECT_EQ(kvbm_set_reset_on_release_complete(f.s, KVBM_MAX_BATCH + 1,
						     &complete, true), -EINVAL);
	EXPECT_EQ(kvbm_set_reset_on_release_complete(f.s, 0, NULL, true), 0);
	/* Nothing was set: both are cached. */
	EXPECT_EQ(kvbm_release(f.s, 2, im), 0);
	EXPECT_EQ(counters(&f).inactive_pool_size, 2);
	kvbm_session_close(other);
	kvbm_session_close(reader);
	tear_down(&f);
}

/* Drain. */

static void drain(void)
{
	struct kvbm_drained out = { 77, 77 };
	struct kvbm_session *reader;
	struct kvbm_counters before, c;
	struct kvbm_immutable im[5];
	struct kvbm_mutable m[8];
	struct kvbm_hash h[5];
	struct fixture f;

	set_up(&f, 8);
	hashes_of(0, 5, h);
	fill(&f, 0, 5, im);
	ASSERT_EQ(kvbm_allocate(f.s, 1, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_release(f.s, 4, im), 0);
	ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, KVBM_BIND_READ, &reader), 0);
	EXPECT_EQ(kvbm_drain(reader, &out), -EACCES);
	EXPECT_EQ(out.drained, 77);
	before = counters(&f);
	EXPECT_EQ(kvbm_drain(f.s, &out), 0);
	EXPECT_EQ(out.drained, 4);
	EXPECT_EQ(out.in_use, 2);
	c = counters(&f);
	EXPECT_EQ(c.evictions, 0);
	EXPECT_EQ(c.allocations, before.allocations);
	EXPECT_EQ(c.reset_pool_size, 6);
	EXPECT_EQ(c.inactive_pool_size, 0);
	EXPECT_EQ(kvbm_probe(f.s, 1, h), 0);
	EXPECT_EQ(kvbm_probe(f.s, 1, h + 4), 1);
	EXPECT_EQ(kvbm_drain(f.s, &out), 0);
	EXPECT_EQ(out.drained, 0);
	EXPECT_EQ(kvbm_drain(f.s, NULL), 0);
	kvbm_session_close(reader);
	tear_down(&f);
}

/* Presence. */

static void presence(void)
{
	struct kvbm_immutable im[3], other_im[3];
	struct kvbm_session *other, *s;
	struct kvbm_manager_create attr;
	uint64_t ids[3], masks[5];
	struct kvbm_hash h[5];
	struct fixture f;
	uint64_t id;

	set_up(&f, 8);
	hashes_of(0, 5, h);
	kvbm_manager_attr_init(&attr, f.registry, "n", 4);
	attr.policy = KVBM_POLICY_LRU;
	ASSERT_EQ(kvbm_create_manager(f.kvbm, &attr, &id), 0);
	ASSERT_EQ(kvbm_bind(f.kvbm, id, 0, &other), 0);
	/* The first has 0 1 2, the second 2 3; nobody has 4. */
	fill(&f, 0, 3, im);
	ASSERT_EQ(kvbm_release(f.s, 2, im), 0);
	s = f.s;
	f.s = other;
	fill(&f, 2, 2, other_im);
	f.s = s;

	ids[0] = id;
	ids[1] = f.manager;
	ids[2] = id;
	memset(masks, 0xee, sizeof(masks));
	EXPECT_EQ(kvbm_presence(f.kvbm, f.registry, 5, h, 3, ids, masks), 0);
	EXPECT_EQ(masks[0], 2);
	EXPECT_EQ(masks[1], 2);
	EXPECT_EQ(masks[2], 7);
	EXPECT_EQ(masks[3], 5);
	EXPECT_EQ(masks[4], 0);
	memset(masks, 0xee, sizeof(masks));
	EXPECT_EQ(kvbm_presence(f.kvbm, f.registry, 5, h, 0, NULL, masks), 0);
	EXPECT_EQ(masks[0], 1);
	EXPECT_EQ(masks[3], 1);
	EXPECT_EQ(masks[4], 0);
	EXPECT_EQ(kvbm_session_presence(f.s, 5, h, 1, ids, masks), 0);
	EXPECT_EQ(masks[1], 0);
	EXPECT_EQ(masks[3], 1);

	EXPECT_EQ(kvbm_presence(f.kvbm, 0, 1, h, 0, NULL, masks), -ENOENT);
	EXPECT_EQ(kvbm_presence(f.kvbm, ~0ULL, 1, h, 0, NULL, masks), -ENOENT);
	ids[1] = ~0ULL;
	EXPECT_EQ(kvbm_presence(f.kvbm, f.registry, 1, h, 3, ids, masks), -ENOENT);
	EXPECT_EQ(kvbm_presence(f.kvbm, f.registry, 1, NULL, 1, ids, masks), -EFAULT);
	EXPECT_EQ(kvbm_presence(f.kvbm, f.registry, 1, h, 1, NULL, masks), -EFAULT);
	EXPECT_EQ(kvbm_presence(f.kvbm, f.registry, 1, h, 1, ids, NULL), -EFAULT);
	EXPECT_EQ(kvbm_presence(f.kvbm, f.registry, KVBM_MAX_BATCH + 1, h, 1, ids,
				masks), -EINVAL);
	EXPECT_EQ(kvbm_session_presence(f.s, 1, h, KVBM_MAX_REGISTRY_MANAGERS + 1,
					ids, masks), -EINVAL);
	EXPECT_EQ(kvbm_presence(f.kvbm, f.registry, 0, NULL, 0, NULL, NULL), 0);

	/* One that is gone is in no list any more. */
	EXPECT_EQ(kvbm_destroy_manager(f.kvbm, id, true), 0);
	EXPECT_EQ(kvbm_presence(f.kvbm, f.registry, 1, h, 1, ids, masks), -ENOENT);
	/* Nor does it count as any, though somebody still holds its blocks. */
	EXPECT_EQ(kvbm_presence(f.kvbm, f.registry, 5, h, 0, NULL, masks), 0);
	EXPECT_EQ(masks[2], 1);
	EXPECT_EQ(masks[3], 0);
	kvbm_session_close(other);
	/* Whoever has its place next has nothing of it. */
	ASSERT_EQ(kvbm_create_manager(f.kvbm, &attr, &id), 0);
	EXPECT_EQ(kvbm_presence(f.kvbm, f.registry, 5, h, 1, &id, masks), 0);
	EXPECT_EQ(masks[2] | masks[3], 0);
	EXPECT_EQ(kvbm_destroy_manager(f.kvbm, id, false), 0);
	tear_down(&f);
}

/* A manager of another registry is not in this one. */
static void presence_of_a_stranger(void)
{
	struct kvbm_registry_create ra;
	uint64_t registry, mask;
	char name[KVBM_NAME_SIZE];
	struct kvbm_hash h;
	struct fixture f;

	set_up(&f, 8);
	hashes_of(0, 1, &h);
	unique_name(name, "stranger");
	kvbm_registry_attr_init(&ra, name);
	ra.capacity = 4;
	ASSERT_EQ(kvbm_create_registry(f.kvbm, &ra, &registry), 0);
	EXPECT_EQ(kvbm_presence(f.kvbm, registry, 1, &h, 1, &f.manager, &mask), -ENOENT);
	EXPECT_EQ(kvbm_destroy_registry(f.kvbm, registry), 0);
	tear_down(&f);
}

/* Aux. */

static void with_aux(struct kvbm_manager_create *attr)
{
	attr->aux_size = AUX;
}

/* What block @n of this test keeps. */
static void aux_of(uint32_t first, size_t n, char (*out)[AUX])
{
	size_t i;

	for (i = 0; i < n; i++)
		memset(out[i], 'a' + (first + i) % 26, AUX);
}

static bool has_aux(const char *aux, uint32_t n)
{
	char want[1][AUX];

	aux_of(n, 1, want);
	return !memcmp(aux, want, AUX);
}

static bool has_no_aux(const char *aux)
{
	static const char zeroes[AUX];

	return !memcmp(aux, zeroes, AUX);
}

static void aux(void)
{
	struct kvbm_content content = { .block_size = BLOCK_SIZE };
	char given[6][AUX], got[6][AUX];
	struct kvbm_hash h[6], evicted[6];
	struct kvbm_terms terms = { .evicted = evicted, .evicted_aux = got };
	struct kvbm_next next = { .count = 1, .evicted_aux = got };
	struct kvbm_complete complete[2];
	struct kvbm_immutable im[6];
	struct kvbm_acquired acquired;
	struct kvbm_mutable m[6], more;
	struct fixture f;
	int i;

	set_up_with(&f, 6, with_aux);
	EXPECT_EQ(kvbm_session_aux_size(f.s), AUX);
	hashes_of(0, 6, h);
	aux_of(0, 6, given);
	/* Two in each way; the last two without. */
	ASSERT_EQ(kvbm_allocate(f.s, 6, m, NULL, NULL), 0);
	content.hashes = h;
	content.aux = given;
	ASSERT_EQ(kvbm_stage_content(f.s, 2, m, &content, complete), 0);
	EXPECT(is_empty(m, 2));
	ASSERT_EQ(kvbm_register(f.s, 2, complete, im, NULL), 0);
	content.hashes = h + 2;
	content.aux = given + 2;
	ASSERT_EQ(kvbm_stage_register_content(f.s, 2, m + 2, &content, im + 2, NULL,
					      NULL), 0);
	EXPECT(is_empty(m + 2, 2));
	ASSERT_EQ(kvbm_stage(f.s, 1, m + 4, h + 4, BLOCK_SIZE, complete), 0);
	ASSERT_EQ(kvbm_register(f.s, 1, complete, im + 4, NULL), 0);
	ASSERT_EQ(kvbm_stage_register(f.s, 1, m + 5, h + 5, BLOCK_SIZE, im + 5, NULL,
				      NULL), 0);
	ASSERT_EQ(kvbm_release(f.s, 6, im), 0);

	memset(got, 0xee, sizeof(got));
	ASSERT_EQ(kvbm_allocate_until(f.s, 1, m, &terms), 0);
	EXPECT_EQ(terms.nr_evicted, 1);
	EXPECT(has_aux(got[0], 0));
	EXPECT_EQ((unsigned char)got[1][0], 0xee);
	/* The next is evicted to register nothing. */
	content.hashes = NULL;
	content.aux = NULL;
	next.out = &more;
	ASSERT_EQ(kvbm_stage_register_content(f.s, 0, NULL, &content, NULL, NULL,
					      &next), 0);
	EXPECT_EQ(next.nr_evicted, 1);
	EXPECT(has_aux(got[0], 1));
	/* One in the reset pool, one matched, three evicted. */
	ASSERT_EQ(kvbm_release(f.s, 1, &more), 0);
	memset(got, 0xee, sizeof(got));
	ASSERT_EQ(kvbm_acquire_until(f.s, h + 2, 1, 5, im, m + 1, &terms, &acquired), 0);
	EXPECT_EQ(acquired.matched, 1);
	EXPECT_EQ(acquired.evicted, 3);
	EXPECT_EQ(terms.nr_evicted, 3);
	EXPECT(has_aux(got[0], 3));
	EXPECT(has_no_aux(got[1]));
	EXPECT(has_no_aux(got[2]));
	EXPECT_EQ((unsigned char)got[3][0], 0xee);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(evicted[i].lo, h[3 + i].lo);
	tear_down(&f);
}

/* What a slot kept for its last tenant is not given to the next. */
static void aux_of_the_tenant(void)
{
	struct kvbm_content content = { .block_size = BLOCK_SIZE };
	struct kvbm_terms terms = { 0 };
	struct kvbm_complete complete;
	char given[2][AUX], got[AUX];
	struct kvbm_immutable im;
	struct kvbm_mutable m;
	struct kvbm_hash h[3];
	struct fixture f;

	set_up_with(&f, 1, with_aux);
	hashes_of(0, 3, h);
	aux_of(0, 2, given);
	terms.evicted_aux = got;
	content.hashes = h;
	content.aux = given;
	ASSERT_EQ(kvbm_allocate(f.s, 1, &m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage_register_content(f.s, 1, &m, &content, &im, NULL, NULL), 0);
	ASSERT_EQ(kvbm_release(f.s, 1, &im), 0);
	ASSERT_EQ(kvbm_allocate_until(f.s, 1, &m, &terms), 0);
	EXPECT(has_aux(got, 0));
	/* Staged with another one, rolled back, and staged without. */
	content.aux = given + 1;
	ASSERT_EQ(kvbm_stage_content(f.s, 1, &m, &content, &complete), 0);
	ASSERT_EQ(kvbm_unstage(f.s, 1, &complete, &m), 0);
	ASSERT_EQ(kvbm_stage_register(f.s, 1, &m, h + 1, BLOCK_SIZE, &im, NULL, NULL), 0);
	ASSERT_EQ(kvbm_release(f.s, 1, &im), 0);
	ASSERT_EQ(kvbm_allocate_until(f.s, 1, &m, &terms), 0);
	EXPECT_EQ(terms.nr_evicted, 1);
	EXPECT(has_no_aux(got));
	tear_down(&f);
}

static void big_aux(struct kvbm_manager_create *attr)
{
	attr->aux_size = KVBM_MAX_AUX;
}

static void aux_errors(void)
{
	size_t many = KVBM_MAX_AUX_BATCH / KVBM_MAX_AUX + 1;
	struct kvbm_immutable *im = calloc(many, sizeof(*im));
	struct kvbm_mutable *more = calloc(many, sizeof(*more));
	struct kvbm_mutable *m = calloc(many, sizeof(*m));
	struct kvbm_hash *h = calloc(many, sizeof(*h));
	char *given = calloc(many, KVBM_MAX_AUX);
	struct kvbm_content content = {
		.hashes = h,
		.aux = given,
		.block_size = BLOCK_SIZE,
	};
	struct kvbm_terms terms = { .evicted_aux = given };
	struct kvbm_next next = { .count = 1, .evicted_aux = given };
	struct kvbm_complete complete;
	struct kvbm_acquired got;
	struct fixture f;

	hashes_of(0, many, h);
	/* Where none is kept, none is taken and none is told. */
	set_up(&f, 4);
	EXPECT_EQ(kvbm_session_aux_size(f.s), 0);
	ASSERT_EQ(kvbm_allocate(f.s, 1, m, NULL, NULL), 0);
	EXPECT_EQ(kvbm_stage_content(f.s, 1, m, &content, &complete), -EINVAL);
	EXPECT_EQ(kvbm_stage_register_content(f.s, 1, m, &content, im, NULL, NULL),
		  -EINVAL);
	next.out = m + 1;
	EXPECT_EQ(kvbm_stage_register(f.s, 1, m, h, BLOCK_SIZE, im, NULL, &next),
		  -EINVAL);
	EXPECT_EQ(kvbm_allocate_until(f.s, 1, m + 1, &terms), -EINVAL);
	EXPECT_EQ(kvbm_acquire_until(f.s, h, 1, 2, im, m + 1, &terms, &got), -EINVAL);
	EXPECT(!is_empty(m, 1));
	EXPECT(is_empty(m + 1, 2));
	EXPECT_EQ(counters(&f).inflight_mutable, 1);
	tear_down(&f);

	set_up_with(&f, many, big_aux);
	ASSERT_EQ(kvbm_allocate(f.s, many, m, NULL, NULL), 0);
	EXPECT_EQ(kvbm_stage_register_content(f.s, many, m, &content, im, NULL, NULL),
		  -EINVAL);
	EXPECT_EQ(kvbm_allocate_until(f.s, many, more, &terms), -EINVAL);
	EXPECT_EQ(kvbm_acquire_until(f.s, h, 0, many, im, more, &terms, &got), -EINVAL);
	next.count = many;
	next.out = more;
	EXPECT_EQ(kvbm_stage_register(f.s, 1, m, h, BLOCK_SIZE, im, NULL, &next),
		  -EINVAL);
	EXPECT_EQ(kvbm_stage_register_content(f.s, many - 1, m, &content, im, NULL,
					      NULL), 0);
	tear_down(&f);
	free(im);
	free(more);
	free(m);
	free(h);
	free(given);
}

/* Sessions. */

static void second_session(void)
{
	struct kvbm_session *other, *reader = NULL, *none = NULL;
	struct kvbm_manager_query q;
	struct kvbm_mutable m[3];
	struct kvbm_hash h;
	struct fixture f;

	set_up(&f, 8);
	ASSERT_EQ(kvbm_session_open(f.s, 0, &other), 0);
	EXPECT_EQ(kvbm_session_block_size(other), BLOCK_SIZE);
	EXPECT_EQ(kvbm_session_block_count(other), 8);
	EXPECT_EQ(kvbm_session_query(other, &q), 0);
	EXPECT_EQ(q.id, f.manager);
	EXPECT_EQ(q.out_sessions, 2);
	if (!is_inproc()) {
		EXPECT(kvbm_session_fd(other) != kvbm_session_fd(f.s));
		EXPECT(fcntl(kvbm_session_fd(other), F_GETFD) & FD_CLOEXEC);
	}
	/* Guards are its own, and go back with it. */
	ASSERT_EQ(kvbm_allocate(f.s, 1, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_allocate(other, 2, m + 1, NULL, NULL), 0);
	EXPECT_EQ(kvbm_release(other, 1, m), -ENXIO);
	kvbm_session_close(other);
	EXPECT_EQ(counters(&f).inflight_mutable, 1);
	EXPECT_EQ(counters(&f).reclaimed_sessions, 1);

	/* No more rights than the first one has. */
	hashes_of(0, 1, &h);
	ASSERT_EQ(kvbm_session_open(f.s, KVBM_BIND_READ | KVBM_BIND_SHARED, &reader), 0);
	EXPECT_EQ(kvbm_allocate(reader, 1, m + 1, NULL, NULL), -EACCES);
	EXPECT_EQ(kvbm_probe(reader, 1, &h), 0);
	EXPECT_EQ(kvbm_session_open(reader, 0, &none), -EACCES);
	EXPECT_EQ(kvbm_session_open(reader, KVBM_BIND_WRITE, &none), -EACCES);
	EXPECT_EQ(kvbm_session_open(f.s, 1 << 7, &none), -EINVAL);
	EXPECT_EQ(kvbm_session_open(f.s, KVBM_BIND_SHARED | KVBM_BIND_OWNED, &none),
		  -EINVAL);
	EXPECT(!none);
	/* One of one of one. */
	ASSERT_EQ(kvbm_session_open(reader, KVBM_BIND_READ, &other), 0);
	kvbm_session_close(reader);
	EXPECT_EQ(kvbm_probe(other, 1, &h), 0);
	kvbm_session_close(other);
	tear_down(&f);
}

static void second_session_of_a_dead_manager(void)
{
	struct kvbm_session *other, *none = NULL;
	struct kvbm_manager_query q;
	struct kvbm_mutable m;
	struct fixture f;

	set_up(&f, 8);
	ASSERT_EQ(kvbm_session_open(f.s, 0, &other), 0);
	EXPECT_EQ(kvbm_destroy_manager(f.kvbm, f.manager, true), 0);
	EXPECT_EQ(kvbm_session_open(f.s, 0, &none), -ESHUTDOWN);
	EXPECT(!none);
	EXPECT_EQ(kvbm_allocate(other, 1, &m, NULL, NULL), -ESHUTDOWN);
	EXPECT_EQ(kvbm_session_query(other, &q), 0);
	EXPECT_EQ(q.id, f.manager);
	kvbm_session_close(other);
	kvbm_session_close(f.s);
	EXPECT_EQ(kvbm_destroy_registry(f.kvbm, f.registry), 0);
	kvbm_close(f.kvbm);
}

static void fork_child_has_no_second_session(void)
{
	struct kvbm_session *other;
	struct fixture f;
	int pid, status;

	set_up(&f, 8);
	pid = fork();
	if (!pid)
		_exit(kvbm_session_open(f.s, 0, &other) == -EOWNERDEAD &&
		      kvbm_drain(f.s, NULL) == -EOWNERDEAD &&
		      kvbm_probe(f.s, 0, NULL) == -EOWNERDEAD &&
		      kvbm_session_set_threshold(f.s, 1) == -EOWNERDEAD ? 0 : 1);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(status, 0);
	tear_down(&f);
}

static void from_fd_errors(void)
{
	struct kvbm_session *s = NULL;
	int fd;

	EXPECT_EQ(kvbm_session_from_fd(-1, &s), -EBADF);
	fd = open("/dev/null", O_RDWR);
	EXPECT_EQ(kvbm_session_from_fd(fd, &s), -EPROTO);
	/* It is ours still. */
	EXPECT_EQ(close(fd), 0);
	fd = open("/tmp", O_RDONLY);
	EXPECT_EQ(kvbm_session_from_fd(fd, &s), -EPROTO);
	EXPECT_EQ(close(fd), 0);
	if (!is_inproc()) {
		fd = open(test_uri(), O_RDWR);
		ASSERT(fd >= 0);
		EXPECT_EQ(kvbm_session_from_fd(fd, &s), -ENOTCONN);
		EXPECT_EQ(close(fd), 0);
	}
	EXPECT(!s);
}

/* In a child that knows nothing but the number. Return: what went wrong. */
static int use_descriptor(int fd, int keep)
{
	struct kvbm_session *s, *more;
	struct kvbm_mutable m[2];

	if (kvbm_session_from_fd(fd, &s))
		return 1;
	if (kvbm_session_block_count(s) != 8 || kvbm_session_aux_size(s) != AUX)
		return 2;
	if (kvbm_session_fd(s) != fd)
		return 3;
	if (kvbm_allocate(s, 2, m, NULL, NULL))
		return 4;
	if (kvbm_session_open(s, 0, &more))
		return 5;
	kvbm_session_close(more);
	if (kvbm_release(s, 1, m))
		return 6;
	/* Or the exit closes it. */
	if (!keep)
		kvbm_session_close(s);
	return 0;
}

static void hand_over(void)
{
	struct kvbm_session *given;
	struct fixture f;
	int pid, status, i;

	if (is_inproc()) {
		printf("# nothing to hand over in process\n");
		return;
	}
	set_up_with(&f, 8, with_aux);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(kvbm_session_open(f.s, KVBM_BIND_SHARED, &given), 0);
		pid = fork();
		if (!pid)
			_exit(use_descriptor(kvbm_session_fd(given), i));
		ASSERT_EQ(waitpid(pid, &status, 0), pid);
		EXPECT_EQ(status, 0);
		/* What the child left lives until ours is closed, too. */
		EXPECT_EQ(counters(&f).inflight_mutable, 1);
		kvbm_session_close(given);
		EXPECT_EQ(counters(&f).inflight_mutable, 0);
	}
	tear_down(&f);
}

/* One file, two sessions in our books: the descriptor is what counts. */
static void from_fd_of_a_copy(void)
{
	struct kvbm_session *copy;
	struct kvbm_mutable m[2];
	struct fixture f;

	if (is_inproc())
		return;
	set_up(&f, 8);
	ASSERT_EQ(kvbm_session_from_fd(dup(kvbm_session_fd(f.s)), &copy), 0);
	ASSERT_EQ(kvbm_allocate(f.s, 2, m, NULL, NULL), 0);
	EXPECT_EQ(kvbm_release(copy, 1, m), 0);
	kvbm_session_close(copy);
	EXPECT_EQ(counters(&f).inflight_mutable, 1);
	tear_down(&f);
}

static void threshold(void)
{
	struct kvbm_session *reader;
	struct kvbm_mutable m[8];
	struct pollfd p = { .events = POLLOUT };
	struct fixture f;

	set_up(&f, 8);
	ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, KVBM_BIND_READ, &reader), 0);
	EXPECT_EQ(kvbm_session_set_threshold(f.s, 9), -EINVAL);
	EXPECT_EQ(kvbm_session_set_threshold(reader, 1), -EACCES);
	EXPECT_EQ(kvbm_session_set_threshold(f.s, 8), 0);
	if (!is_inproc()) {
		p.fd = kvbm_session_fd(f.s);
		EXPECT_EQ(poll(&p, 1, 0), 1);
		ASSERT_EQ(kvbm_allocate(f.s, 4, m, NULL, NULL), 0);
		EXPECT_EQ(poll(&p, 1, 0), 0);
		EXPECT_EQ(kvbm_session_set_threshold(f.s, 4), 0);
		EXPECT_EQ(poll(&p, 1, 0), 1);
		EXPECT_EQ(kvbm_session_set_threshold(f.s, 5), 0);
		EXPECT_EQ(poll(&p, 1, 0), 0);
	}
	EXPECT_EQ(kvbm_session_set_threshold(f.s, 0), 0);
	kvbm_session_close(reader);
	tear_down(&f);
}

static void holdings(void)
{
	struct kvbm_immutable im[2], more[3];
	struct kvbm_complete complete;
	struct kvbm_mutable m[2];
	struct kvbm_held held[8];
	struct kvbm_hash h[3];
	struct fixture f;
	size_t total = 77;

	set_up(&f, 8);
	hashes_of(0, 3, h);
	EXPECT_EQ(kvbm_session_holdings(f.s, 0, 8, held, &total), 0);
	EXPECT_EQ(total, 0);
	fill(&f, 0, 2, im);
	ASSERT_EQ(kvbm_allocate(f.s, 2, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage(f.s, 1, m, h + 2, BLOCK_SIZE, &complete), 0);
	EXPECT_EQ(kvbm_match(f.s, 1, h, more), 1);
	EXPECT_EQ(kvbm_clone(f.s, 1, im, more + 1), 0);

	memset(held, 0xee, sizeof(held));
	ASSERT_EQ(kvbm_session_holdings(f.s, 0, 8, held, &total), 4);
	EXPECT_EQ(total, 4);
	EXPECT(same(held[0].token, im[0].token));
	EXPECT_EQ(held[0].guards, 3);
	EXPECT_EQ(held[0].state, KVBM_STATE_PRIMARY);
	EXPECT_EQ(held[0].hash.lo, h[0].lo);
	EXPECT_EQ(held[1].guards, 1);
	EXPECT(same(held[2].token, complete.token));
	EXPECT_EQ(held[2].state, KVBM_STATE_STAGED);
	EXPECT_EQ(held[2].hash.lo, h[2].lo);
	EXPECT(same(held[3].token, m[1].token));
	EXPECT_EQ(held[3].state, KVBM_STATE_MUTABLE);
	EXPECT_EQ(held[3].hash.lo | held[3].hash.hi, 0);
	EXPECT_EQ(held[4].guards, 0xeeeeeeee);
	/* In parts. */
	EXPECT_EQ(kvbm_session_holdings(f.s, 1, 2, held, &total), 2);
	EXPECT_EQ(total, 4);
	EXPECT(same(held[0].token, im[1].token));
	EXPECT_EQ(kvbm_session_holdings(f.s, 3, 2, held, NULL), 1);
	EXPECT_EQ(kvbm_session_holdings(f.s, 4, 2, held, NULL), 0);
	EXPECT_EQ(kvbm_session_holdings(f.s, ~0U, 2, held, NULL), 0);
	EXPECT_EQ(kvbm_session_holdings(f.s, 0, 0, NULL, &total), 0);
	EXPECT_EQ(total, 4);
	EXPECT_EQ(kvbm_session_holdings(f.s, 0, 2, NULL, &total), -EFAULT);
	EXPECT_EQ(kvbm_session_holdings(f.s, 0, KVBM_MAX_BATCH + 1, held, &total),
		  -EINVAL);
	tear_down(&f);
}

/* Dump, reserved blocks. */

static void two_reserved(struct kvbm_manager_create *attr)
{
	attr->nr_reserved = 2;
}

static void dump(void)
{
	struct kvbm_session *writer;
	struct kvbm_slot_info slots[10];
	struct kvbm_immutable im[3];
	struct kvbm_complete complete;
	struct kvbm_mutable m[2];
	struct kvbm_hash h[4];
	struct fixture f;

	set_up_with(&f, 8, two_reserved);
	hashes_of(0, 4, h);
	fill(&f, 0, 2, im);
	fill(&f, 1, 1, im + 2);
	ASSERT_EQ(kvbm_set_reset_on_release(f.s, 1, im + 1, true), 0);
	ASSERT_EQ(kvbm_allocate(f.s, 2, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage(f.s, 1, m, h + 3, BLOCK_SIZE, &complete), 0);
	ASSERT_EQ(kvbm_release(f.s, 1, im), 0);

	memset(slots, 0xee, sizeof(slots));
	ASSERT_EQ(kvbm_manager_dump(f.kvbm, f.manager, 0, 10, slots), 8);
	EXPECT_EQ(slots[0].flags, KVBM_SLOT_INFO_RESERVED);
	EXPECT_EQ(slots[1].flags, KVBM_SLOT_INFO_RESERVED);
	EXPECT_EQ(slots[1].state, KVBM_STATE_RESET);
	EXPECT_EQ(slots[2].state, KVBM_STATE_INACTIVE);
	EXPECT_EQ(slots[2].refs, 0);
	EXPECT_EQ(slots[2].hash.lo, h[0].lo);
	EXPECT_EQ(slots[3].state, KVBM_STATE_PRIMARY);
	EXPECT_EQ(slots[3].refs, 2);
	EXPECT_EQ(slots[3].flags, KVBM_SLOT_INFO_RESET_ON_RELEASE);
	EXPECT(same(slots[3].token, im[1].token));
	EXPECT_EQ(slots[4].state, KVBM_STATE_DUPLICATE);
	EXPECT_EQ(slots[5].state, KVBM_STATE_STAGED);
	EXPECT_EQ(slots[5].hash.lo, h[3].lo);
	EXPECT_EQ(slots[6].state, KVBM_STATE_MUTABLE);
	EXPECT_EQ(slots[6].hash.lo, 0);
	EXPECT_EQ(slots[7].state, KVBM_STATE_RESET);
	EXPECT_EQ(slots[7].token.id, 7);
	EXPECT_EQ(slots[8].token.id, 0xeeeeeeee);

	EXPECT_EQ(kvbm_session_dump(f.s, 3, 2, slots), 2);
	EXPECT_EQ(slots[0].token.id, 3);
	EXPECT_EQ(kvbm_session_dump(f.s, 8, 2, slots), 0);
	EXPECT_EQ(kvbm_session_dump(f.s, ~0U, 2, slots), 0);
	EXPECT_EQ(kvbm_session_dump(f.s, 0, 0, NULL), 0);
	EXPECT_EQ(kvbm_session_dump(f.s, 0, 1, NULL), -EFAULT);
	EXPECT_EQ(kvbm_session_dump(f.s, 0, KVBM_MAX_BATCH + 1, slots), -EINVAL);
	EXPECT_EQ(kvbm_manager_dump(f.kvbm, 0, 0, 1, slots), -ENOENT);
	EXPECT_EQ(kvbm_manager_dump(f.kvbm, ~0ULL, 0, 1, slots), -ENOENT);
	ASSERT_EQ(kvbm_bind(f.kvbm, f.manager, KVBM_BIND_WRITE, &writer), 0);
	EXPECT_EQ(kvbm_session_dump(writer, 0, 1, slots), -EACCES);
	kvbm_session_close(writer);
	tear_down(&f);
}

static void reserved_blocks(void)
{
	struct kvbm_check_result check;
	struct kvbm_drained drained;
	struct kvbm_terms terms = { 0 };
	struct kvbm_immutable im[6];
	struct kvbm_mutable m[7];
	struct kvbm_counters c;
	struct fixture f;

	set_up_with(&f, 8, two_reserved);
	EXPECT_EQ(kvbm_session_block_count(f.s), 8);
	c = counters(&f);
	EXPECT_EQ(c.reset_pool_size, 6);
	EXPECT_EQ(c.states[KVBM_STATE_RESET], 6);
	EXPECT_EQ(kvbm_session_set_threshold(f.s, 6), 0);
	EXPECT_EQ(kvbm_session_set_threshold(f.s, 7), -EINVAL);
	EXPECT_EQ(kvbm_allocate(f.s, 7, m, NULL, NULL), -ENOSPC);
	/* No use in waiting for those. */
	terms.deadline_ns = kvbm_deadline_in_ms(60000);
	EXPECT_EQ(kvbm_allocate_until(f.s, 7, m, &terms), -ENOSPC);
	fill(&f, 0, 6, im);
	EXPECT_EQ(im[0].token.id, 2);
	EXPECT_EQ(im[5].token.id, 7);
	ASSERT_EQ(kvbm_release(f.s, 5, im), 0);
	EXPECT_EQ(kvbm_drain(f.s, &drained), 0);
	EXPECT_EQ(drained.drained, 5);
	EXPECT_EQ(drained.in_use, 1);
	EXPECT_EQ(kvbm_session_verify(f.s, &check), 0);
	EXPECT_EQ(check.errors, 0);
	EXPECT_EQ(check.blocks, 8);
	EXPECT_EQ(check.states[KVBM_STATE_RESET], 5);
	ASSERT_EQ(kvbm_release(f.s, 1, im + 5), 0);
	tear_down(&f);
}

/* Managers that end with their last session, or soon after. */

static void attr_of(struct fixture *f, struct kvbm_manager_create *attr,
		    const char *name)
{
	kvbm_manager_attr_init(attr, f->registry, name, 4);
	attr->block_size = BLOCK_SIZE;
}

static void ends_with_last_session(void)
{
	struct kvbm_session *s, *more;
	struct kvbm_manager_create attr;
	struct kvbm_registry_query rq;
	struct kvbm_manager_query q;
	struct kvbm_mutable m;
	struct fixture f;
	uint64_t id = 77;

	set_up(&f, 4);
	attr_of(&f, &attr, "short");
	attr.linger_ms = 0;
	EXPECT_EQ(kvbm_create_manager(f.kvbm, &attr, &id), -EINVAL);
	attr.bind_flags = KVBM_BIND_READ;
	EXPECT_EQ(kvbm_create_manager(f.kvbm, &attr, &id), -EINVAL);
	EXPECT_EQ(id, 77);
	attr.bind_flags = 0;
	ASSERT_EQ(kvbm_create_manager_bound(f.kvbm, &attr, 0, &id, &s), 0);
	EXPECT_EQ(kvbm_session_block_count(s), 4);
	EXPECT_EQ(kvbm_query_manager(f.kvbm, id, &q), 0);
	EXPECT_EQ(q.out_sessions, 1);
	EXPECT_EQ(q.out_linger_ms, 0);
	ASSERT_EQ(kvbm_bind(f.kvbm, id, 0, &more), 0);
	EXPECT_EQ(kvbm_allocate(more, 1, &m, NULL, NULL), 0);
	kvbm_session_close(s);
	EXPECT_EQ(kvbm_query_manager(f.kvbm, id, &q), 0);
	EXPECT_EQ(kvbm_query_registry(f.kvbm, f.registry, &rq), 0);
	EXPECT_EQ(rq.out_managers, 2);
	kvbm_session_close(more);
	EXPECT_EQ(kvbm_query_manager(f.kvbm, id, &q), -ENOENT);
	EXPECT_EQ(kvbm_query_registry(f.kvbm, f.registry, &rq), 0);
	EXPECT_EQ(rq.out_managers, 1);
	EXPECT_EQ(rq.out_blocks, 4);
	/* Its name is free. */
	ASSERT_EQ(kvbm_create_manager_bound(f.kvbm, &attr, KVBM_BIND_READ, NULL, &s), 0);
	EXPECT_EQ(kvbm_allocate(s, 1, &m, NULL, NULL), -EACCES);
	kvbm_session_close(s);
	tear_down(&f);
}

static void bound_create_errors(void)
{
	struct kvbm_manager_create attr;
	struct kvbm_session *s = NULL;
	uint64_t id = 77, *ids;
	struct fixture f;

	set_up(&f, 4);
	attr_of(&f, &attr, "m");
	EXPECT_EQ(kvbm_create_manager_bound(f.kvbm, &attr, 0, &id, &s), -EEXIST);
	attr_of(&f, &attr, "n");
	EXPECT_EQ(kvbm_create_manager_bound(f.kvbm, &attr, 1 << 9, &id, &s), -EINVAL);
	EXPECT_EQ(kvbm_create_manager_bound(f.kvbm, &attr, KVBM_BIND_SHARED |
					    KVBM_BIND_OWNED, &id, &s), -EINVAL);
	attr.block_count = 5;
	EXPECT_EQ(kvbm_create_manager_bound(f.kvbm, &attr, 0, &id, &s), -ENOSPC);
	attr.registry = ~0ULL;
	EXPECT_EQ(kvbm_create_manager_bound(f.kvbm, &attr, 0, &id, &s), -ENOENT);
	/* An anonymous one has neither name nor time. */
	attr_of(&f, &attr, "n");
	attr.flags = KVBM_MANAGER_ANONYMOUS;
	attr.linger_ms = 0;
	EXPECT_EQ(kvbm_create_manager_bound(f.kvbm, &attr, 0, &id, &s), -EINVAL);
	attr_of(&f, &attr, "");
	attr.flags = KVBM_MANAGER_ANONYMOUS;
	EXPECT_EQ(kvbm_create_manager_bound(f.kvbm, &attr, 0, &id, &s), -EINVAL);
	attr.linger_ms = 0;
	EXPECT_EQ(kvbm_create_manager(f.kvbm, &attr, &id), -EINVAL);
	EXPECT_EQ(id, 77);
	EXPECT(!s);
	EXPECT_EQ(kvbm_list_managers(f.kvbm, f.registry, &ids), 1);
	free(ids);
	tear_down(&f);
}

static void anonymous(void)
{
	struct kvbm_session *a, *b, *more, *none = NULL;
	struct kvbm_registry_query rq;
	struct kvbm_manager_create attr;
	struct kvbm_manager_query q;
	uint64_t id, other;
	struct kvbm_mutable m;
	struct fixture f;

	set_up(&f, 8);
	attr_of(&f, &attr, "");
	attr.flags = KVBM_MANAGER_ANONYMOUS;
	attr.linger_ms = 0;
	/* As many as one likes: there is no name to be taken. */
	ASSERT_EQ(kvbm_create_manager_bound(f.kvbm, &attr, 0, &id, &a), 0);
	ASSERT_EQ(kvbm_create_manager_bound(f.kvbm, &attr, 0, &other, &b), 0);
	EXPECT(other != id);
	EXPECT_EQ(kvbm_session_query(a, &q), 0);
	EXPECT_EQ(q.id, id);
	EXPECT_EQ(q.out_flags, KVBM_MANAGER_ANONYMOUS);
	EXPECT_EQ(q.name[0], 0);
	EXPECT_EQ(kvbm_bind(f.kvbm, id, 0, &none), -ENOENT);
	EXPECT(!none);
	/* Through the session alone. */
	ASSERT_EQ(kvbm_session_open(a, 0, &more), 0);
	kvbm_session_close(a);
	EXPECT_EQ(kvbm_allocate(more, 1, &m, NULL, NULL), 0);
	EXPECT_EQ(kvbm_query_registry(f.kvbm, f.registry, &rq), 0);
	EXPECT_EQ(rq.out_managers, 3);
	kvbm_session_close(more);
	kvbm_session_close(b);
	EXPECT_EQ(kvbm_query_registry(f.kvbm, f.registry, &rq), 0);
	EXPECT_EQ(rq.out_managers, 1);
	tear_down(&f);
}

static bool exists(struct fixture *f, uint64_t id)
{
	struct kvbm_manager_query q;
	int err = kvbm_query_manager(f->kvbm, id, &q);

	EXPECT(!err || err == -ENOENT);
	return !err;
}

static void lingers(void)
{
	struct kvbm_session *s;
	struct kvbm_manager_create attr;
	struct kvbm_registry_query rq;
	struct kvbm_immutable im[2];
	struct kvbm_session *mine;
	struct kvbm_hash h[2];
	struct fixture f;
	uint64_t id;
	int i, err = 0;

	set_up(&f, 4);
	hashes_of(0, 2, h);
	attr_of(&f, &attr, "lingers");
	attr.linger_ms = 1000;
	ASSERT_EQ(kvbm_create_manager_bound(f.kvbm, &attr, 0, &id, &s), 0);
	mine = f.s;
	f.s = s;
	fill(&f, 0, 2, im);
	f.s = mine;
	kvbm_session_close(s);
	/* Back in time: it is all there, and the time begins anew. */
	ASSERT_EQ(kvbm_bind(f.kvbm, id, 0, &s), 0);
	EXPECT_EQ(kvbm_probe(s, 2, h), 2);
	usleep(1300000);
	EXPECT(exists(&f, id));
	kvbm_session_close(s);
	EXPECT(exists(&f, id));
	for (i = 0; i < 100 && exists(&f, id); i++)
		usleep(100000);
	EXPECT(i > 1);
	EXPECT(!exists(&f, id));
	EXPECT_EQ(kvbm_bind(f.kvbm, id, 0, &s), -ENOENT);
	EXPECT_EQ(kvbm_query_registry(f.kvbm, f.registry, &rq), 0);
	EXPECT_EQ(rq.out_managers, 1);

	/* It is in no list any more before its entries are the registry's again. */
	for (i = 0; i < 100; i++) {
		err = kvbm_create_manager_bound(f.kvbm, &attr, 0, &id, &s);
		if (err != -ENOSPC)
			break;
		usleep(100000);
	}
	/* Destroyed while it lingers. */
	ASSERT_EQ(err, 0);
	kvbm_session_close(s);
	EXPECT_EQ(kvbm_destroy_manager(f.kvbm, id, false), 0);
	EXPECT(!exists(&f, id));
	/* And one that is left when all else goes. */
	attr.linger_ms = 1;
	ASSERT_EQ(kvbm_create_manager_bound(f.kvbm, &attr, 0, &id, &s), 0);
	kvbm_session_close(s);
	usleep(200000);
	tear_down(&f);
}

/* After the end of a manager. */
static void shut_down(void)
{
	struct kvbm_held held[4];
	struct kvbm_complete complete;
	struct kvbm_immutable im[2], got[2];
	struct kvbm_slot_info slots[4];
	struct kvbm_token tokens[2] = { 0 };
	struct kvbm_terms terms = { .freed = 77 };
	struct kvbm_drained drained;
	struct kvbm_mutable m[2], none;
	struct kvbm_hash h[3];
	uint64_t mask;
	struct fixture f;
	size_t total;

	set_up(&f, 4);
	hashes_of(0, 3, h);
	fill(&f, 0, 2, im);
	ASSERT_EQ(kvbm_allocate(f.s, 2, m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage(f.s, 1, m, h + 2, BLOCK_SIZE, &complete), 0);
	ASSERT_EQ(kvbm_destroy_manager(f.kvbm, f.manager, true), 0);
	EXPECT_EQ(kvbm_allocate_until(f.s, 1, &none, &terms), -ESHUTDOWN);
	EXPECT_EQ(terms.freed, 0);
	EXPECT_EQ(kvbm_unstage(f.s, 1, &complete, &none), -ESHUTDOWN);
	EXPECT(!is_empty(&complete, 1));
	EXPECT_EQ(kvbm_match_scattered(f.s, 2, h, got), -ESHUTDOWN);
	EXPECT_EQ(kvbm_scan(f.s, 2, h, got), -ESHUTDOWN);
	EXPECT(is_empty(got, 2));
	EXPECT_EQ(kvbm_probe(f.s, 2, h), -ESHUTDOWN);
	EXPECT_EQ(kvbm_clone(f.s, 2, im, got), -ESHUTDOWN);
	EXPECT_EQ(kvbm_upgrade(f.s, 2, h, tokens, got), -ESHUTDOWN);
	EXPECT_EQ(kvbm_set_reset_on_release(f.s, 2, im, true), -ESHUTDOWN);
	EXPECT_EQ(kvbm_drain(f.s, &drained), -ESHUTDOWN);
	EXPECT_EQ(kvbm_session_set_threshold(f.s, 1), -ESHUTDOWN);
	/* What only tells goes on telling. */
	EXPECT_EQ(kvbm_session_holdings(f.s, 0, 4, held, &total), 4);
	EXPECT_EQ(kvbm_session_dump(f.s, 0, 4, slots), 4);
	EXPECT_EQ(kvbm_session_presence(f.s, 1, h, 0, NULL, &mask), 0);
	EXPECT_EQ(mask, 0);
	EXPECT_EQ(kvbm_session_presence(f.s, 1, h, 1, &f.manager, &mask), -ENOENT);
	EXPECT_EQ(kvbm_release(f.s, 2, im), 0);
	kvbm_session_close(f.s);
	EXPECT_EQ(kvbm_destroy_registry(f.kvbm, f.registry), 0);
	kvbm_close(f.kvbm);
}

static const struct tap_test tests[] = {
	TEST(unstage),
	TEST(unstage_errors),
	TEST(scattered),
	TEST(scan),
	TEST(probe),
	TEST(look_ups_are_long),
	TEST(look_up_errors),
	TEST(clones),
	TEST(clone_errors),
	TEST(weak_same_block),
	TEST(weak_other_block),
	TEST(reset_of_one_block),
	TEST(reset_of_all_but_one),
	TEST(set_reset_errors),
	TEST(drain),
	TEST(presence),
	TEST(presence_of_a_stranger),
	TEST(aux),
	TEST(aux_of_the_tenant),
	TEST(aux_errors),
	TEST(second_session),
	TEST(second_session_of_a_dead_manager),
	TEST(fork_child_has_no_second_session),
	TEST(from_fd_errors),
	TEST(hand_over),
	TEST(from_fd_of_a_copy),
	TEST(threshold),
	TEST(holdings),
	TEST(dump),
	TEST(reserved_blocks),
	TEST(ends_with_last_session),
	TEST(bound_create_errors),
	TEST(anonymous),
	TEST(lingers),
	TEST(shut_down),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
