// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Attachments and frequencies through libkvbm, on either backend.
 */
#include "lib_fixture.h"

static struct kvbm_hash one_block(struct fixture *f, struct kvbm_immutable *im)
{
	struct kvbm_mutable m;
	struct kvbm_hash h;

	hashes_of(0, 1, &h);
	ASSERT_EQ(kvbm_allocate(f->s, 1, &m, NULL, NULL), 0);
	ASSERT_EQ(kvbm_stage_register(f->s, 1, &m, &h, BLOCK_SIZE, im, NULL, NULL), 0);
	return h;
}

static void attach_and_read(void)
{
	const struct kvbm_attachment *a;
	struct kvbm_immutable im;
	struct fixture f;
	struct kvbm_hash h;
	struct kvbm_drained drained;
	uint64_t buf[64];
	size_t needed;

	set_up(&f, 4);
	hashes_of(0, 1, &h);
	EXPECT_EQ(kvbm_session_attach(f.s, &h, 1, KVBM_ATTACH_UNIQUE, "x", 1), -ENOENT);
	EXPECT_EQ(kvbm_session_attachments(f.s, &h, 0, buf, sizeof(buf), NULL), -ENOENT);
	h = one_block(&f, &im);
	EXPECT_EQ(kvbm_session_attachments(f.s, &h, 0, buf, sizeof(buf), &needed), 0);
	EXPECT_EQ(needed, 0);
	EXPECT_EQ(kvbm_session_attach(f.s, &h, 0, KVBM_ATTACH_UNIQUE, "x", 1), -EINVAL);
	EXPECT_EQ(kvbm_session_attach(f.s, &h, 1, 2, "x", 1), -EINVAL);
	EXPECT_EQ(kvbm_session_attach(f.s, &h, 1, KVBM_ATTACH_UNIQUE, buf,
				      KVBM_MAX_ATTACHMENT + 1), -EINVAL);
	EXPECT_EQ(kvbm_session_attach(f.s, &h, 1, KVBM_ATTACH_UNIQUE, NULL, 1), -EFAULT);
	EXPECT_EQ(kvbm_session_attach(f.s, &h, 1, KVBM_ATTACH_UNIQUE, "hello", 5), 0);
	EXPECT_EQ(kvbm_session_attach(f.s, &h, 1, KVBM_ATTACH_MULTIPLE, "x", 1), -EPROTOTYPE);
	EXPECT_EQ(kvbm_attach(f.kvbm, f.registry, &h, 2, KVBM_ATTACH_MULTIPLE, "ab", 2), 0);
	EXPECT_EQ(kvbm_attach(f.kvbm, f.registry, &h, 2, KVBM_ATTACH_MULTIPLE, "c", 1), 0);
	EXPECT_EQ(kvbm_attach(f.kvbm, 0, &h, 2, KVBM_ATTACH_MULTIPLE, "c", 1), -ENOENT);
	ASSERT_EQ(kvbm_attachments(f.kvbm, f.registry, &h, 0, buf, sizeof(buf), &needed), 3);
	EXPECT_EQ(needed, 3 * KVBM_ATTACHMENT_ROOM(8));
	a = (const void *)buf;
	EXPECT(a->type == 1 && a->len == 5 && a->mode == KVBM_ATTACH_UNIQUE);
	EXPECT(!memcmp(a + 1, "hello\0\0", 8));
	a = kvbm_attachment_next(a);
	EXPECT(a->type == 2 && a->len == 2 && a->mode == KVBM_ATTACH_MULTIPLE);
	a = kvbm_attachment_next(a);
	EXPECT(a->len == 1 && *(const char *)(a + 1) == 'c');
	EXPECT_EQ(kvbm_session_attachments(f.s, &h, 2, buf, sizeof(buf), NULL), 2);
	/* Only as many as fit, whole. */
	EXPECT_EQ(kvbm_session_attachments(f.s, &h, 0, buf, 24 + 23, &needed), 1);
	EXPECT_EQ(needed, 72);
	/* They go with the block. */
	ASSERT_EQ(kvbm_release(f.s, 1, &im), 0);
	EXPECT_EQ(kvbm_session_attachments(f.s, &h, 0, NULL, 0, NULL), 0);
	ASSERT_EQ(kvbm_drain(f.s, &drained), 0);
	EXPECT_EQ(kvbm_session_attachments(f.s, &h, 0, buf, sizeof(buf), NULL), -ENOENT);
	tear_down(&f);
}

static void frequencies(void)
{
	struct kvbm_registry_create ra;
	struct kvbm_registry_query q;
	struct kvbm_manager_create ma;
	struct kvbm_immutable im, again[2];
	struct kvbm_session *first;
	uint64_t registry, manager;
	struct kvbm_hash h[3];
	char name[KVBM_NAME_SIZE];
	struct fixture f;
	uint8_t n[3];

	set_up(&f, 4);
	hashes_of(0, 3, h);
	/* Without a sketch there is nothing to count. */
	EXPECT_EQ(kvbm_session_frequency(f.s, true, 3, h, n), 0);
	EXPECT(!n[0] && !n[1] && !n[2]);

	unique_name(name, "sketch");
	kvbm_registry_attr_init(&ra, name);
	ra.capacity = 8;
	ra.sketch_capacity = KVBM_MAX_BLOCKS + 1ULL;
	EXPECT_EQ(kvbm_create_registry(f.kvbm, &ra, &registry), -EINVAL);
	ra.sketch_capacity = 1024;
	ASSERT_EQ(kvbm_create_registry(f.kvbm, &ra, &registry), 0);
	ASSERT_EQ(kvbm_query_registry(f.kvbm, registry, &q), 0);
	EXPECT_EQ(q.out_sketch_capacity, 1024);
	kvbm_manager_attr_init(&ma, registry, "m", 8);
	ma.policy = KVBM_POLICY_MULTI_LRU;
	ma.block_size = BLOCK_SIZE;
	ASSERT_EQ(kvbm_create_manager(f.kvbm, &ma, &manager), 0);
	first = f.s;
	ASSERT_EQ(kvbm_bind(f.kvbm, manager, 0, &f.s), 0);
	one_block(&f, &im);
	EXPECT_EQ(kvbm_session_frequency(f.s, false, 3, h, n), 0);
	EXPECT(n[0] == 1 && !n[1] && !n[2]);
	EXPECT_EQ(kvbm_match(f.s, 2, h, again), 1);
	EXPECT_EQ(kvbm_release(f.s, 1, again), 0);
	EXPECT_EQ(kvbm_scan(f.s, 2, h, again), 1);
	EXPECT_EQ(kvbm_release(f.s, 1, again), 0);
	EXPECT_EQ(kvbm_frequency(f.kvbm, registry, false, 3, h, n), 0);
	EXPECT(n[0] == 2 && !n[1] && !n[2]);
	EXPECT_EQ(kvbm_scan_touch(f.s, 2, h, again), 1);
	EXPECT_EQ(kvbm_release(f.s, 1, again), 0);
	/* A touch by hand need not find anything. */
	EXPECT_EQ(kvbm_frequency(f.kvbm, registry, true, 3, h, n), 0);
	EXPECT(n[0] == 4 && n[1] == 1 && n[2] == 1);
	EXPECT_EQ(kvbm_frequency(f.kvbm, 0, true, 3, h, n), -ENOENT);
	EXPECT_EQ(kvbm_frequency(f.kvbm, registry, true, 1, NULL, n), -EFAULT);
	EXPECT_EQ(kvbm_release(f.s, 1, &im), 0);
	ASSERT_EQ(kvbm_destroy_manager(f.kvbm, manager, true), 0);
	kvbm_session_close(f.s);
	f.s = first;
	EXPECT_EQ(kvbm_destroy_registry(f.kvbm, registry), 0);
	tear_down(&f);
}

static const struct tap_test tests[] = {
	TEST(attach_and_read),
	TEST(frequencies),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
