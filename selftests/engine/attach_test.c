// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Attachments: modes, limits, life, what is charged.
 */
#include <pthread.h>

#include "engine/attachment.h"
#include "engine/registry.h"
#include "fixture.h"

static __s64 charged;
static bool refuse;

static int charge(u64 bytes)
{
	if (refuse)
		return -EDQUOT;
	__atomic_fetch_add(&charged, bytes, __ATOMIC_RELAXED);
	return 0;
}

static void uncharge(u64 bytes)
{
	__atomic_fetch_sub(&charged, bytes, __ATOMIC_RELAXED);
}

static const struct kvbm_charge_ops ops = { charge, uncharge };

/* A registry with two stores; which hash is present is said by hand. */
struct bed {
	struct kvbm_registry *r;
	struct kvbm_store *s[2];
	struct kvbm_hash h[8];
};

static void open_bed(struct bed *b)
{
	charged = 0;
	refuse = false;
	ASSERT_EQ(kvbm_registry_alloc(64, KVBM_SCHEMA_PLH, &b->r), 0);
	kvbm_registry_publish(b->r, &ops);
	b->s[0] = store_of(b->r, config_of(8));
	b->s[1] = store_of(b->r, config_of(8));
	hashes_of(0, 8, b->h);
}

static void close_bed(struct bed *b)
{
	if (b->s[0])
		kvbm_store_free(b->s[0]);
	if (b->s[1])
		kvbm_store_free(b->s[1]);
	kvbm_registry_free(b->r);
	EXPECT_EQ(charged, 0);
}

static void present(struct bed *b, u32 store, u32 hash)
{
	kvbm_registry_present(b->r, kvbm_store_bit(b->s[store]), &b->h[hash], NULL);
}

static void absent(struct bed *b, u32 store, u32 hash)
{
	kvbm_registry_absent(b->r, kvbm_store_bit(b->s[store]), &b->h[hash], NULL);
}

static int attach(struct bed *b, u32 hash, u64 type, u32 mode, const char *text)
{
	return kvbm_registry_attach(b->r, &b->h[hash], type, mode, text, strlen(text));
}

/* All of a type as "text,text," in order, or "?" where the hash is absent. */
static const char *attached(struct bed *b, u32 hash, u64 type)
{
	static char text[8192];
	static u64 buf[20000];
	struct kvbm_attached out = { .buf = (char *)buf, .size = sizeof(buf) };
	const struct kvbm_attachment *a = (void *)buf;
	u32 i;

	memset(buf, 0xa5, sizeof(buf));
	if (kvbm_registry_read_attached(b->r, &b->h[hash], type, &out))
		return "?";
	EXPECT_EQ(out.count, out.total);
	EXPECT_EQ(out.written, out.needed);
	*text = 0;
	for (i = 0; i < out.count; i++) {
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%.*s,",
			 (int)a->len, (const char *)(a + 1));
		a = (void *)((char *)a + KVBM_ATTACHMENT_ROOM(a->len));
	}
	EXPECT_EQ((char *)a - (char *)buf, out.written);
	return text;
}

#define EXPECT_TEXT(got, want) do {					\
	const char *got_ = (got);					\
									\
	if (strcmp(got_, want))						\
		tap_fail(__FILE__, __LINE__, "'%s', not '%s'", got_, want); \
} while (0)

static void unique_replaces(void)
{
	struct bed b;

	open_bed(&b);
	EXPECT_EQ(attach(&b, 0, 7, KVBM_ATTACH_UNIQUE, "a"), -ENOENT);
	EXPECT_TEXT(attached(&b, 0, 0), "?");
	present(&b, 0, 0);
	EXPECT_TEXT(attached(&b, 0, 0), "");
	EXPECT_EQ(attach(&b, 0, 7, KVBM_ATTACH_UNIQUE, "first"), 0);
	EXPECT_EQ(attach(&b, 0, 8, KVBM_ATTACH_UNIQUE, "other"), 0);
	EXPECT_TEXT(attached(&b, 0, 7), "first,");
	EXPECT_EQ(attach(&b, 0, 7, KVBM_ATTACH_UNIQUE, "second one"), 0);
	EXPECT_TEXT(attached(&b, 0, 7), "second one,");
	EXPECT_TEXT(attached(&b, 0, 0), "second one,other,");
	EXPECT_TEXT(attached(&b, 0, 9), "");
	absent(&b, 0, 0);
	close_bed(&b);
}

static void multiple_appends(void)
{
	struct bed b;

	open_bed(&b);
	present(&b, 0, 0);
	present(&b, 0, 1);
	EXPECT_EQ(attach(&b, 0, 7, KVBM_ATTACH_MULTIPLE, "a"), 0);
	EXPECT_EQ(attach(&b, 0, 8, KVBM_ATTACH_MULTIPLE, "x"), 0);
	EXPECT_EQ(attach(&b, 0, 7, KVBM_ATTACH_MULTIPLE, "bb"), 0);
	EXPECT_EQ(attach(&b, 0, 7, KVBM_ATTACH_MULTIPLE, ""), 0);
	EXPECT_TEXT(attached(&b, 0, 7), "a,bb,,");
	EXPECT_TEXT(attached(&b, 0, 0), "a,x,bb,,");
	EXPECT_TEXT(attached(&b, 1, 0), "");
	absent(&b, 0, 0);
	absent(&b, 0, 1);
	close_bed(&b);
}

static void modes_exclude_each_other(void)
{
	struct bed b;

	open_bed(&b);
	present(&b, 0, 0);
	present(&b, 0, 1);
	EXPECT_EQ(attach(&b, 0, 7, KVBM_ATTACH_UNIQUE, "a"), 0);
	EXPECT_EQ(attach(&b, 0, 7, KVBM_ATTACH_MULTIPLE, "b"), -EPROTOTYPE);
	EXPECT_EQ(attach(&b, 0, 8, KVBM_ATTACH_MULTIPLE, "c"), 0);
	EXPECT_EQ(attach(&b, 0, 8, KVBM_ATTACH_UNIQUE, "d"), -EPROTOTYPE);
	/* Another hash may do as it likes. */
	EXPECT_EQ(attach(&b, 1, 7, KVBM_ATTACH_MULTIPLE, "e"), 0);
	EXPECT_TEXT(attached(&b, 0, 0), "a,c,");
	EXPECT_TEXT(attached(&b, 1, 0), "e,");
	absent(&b, 0, 0);
	absent(&b, 0, 1);
	close_bed(&b);
}

/* Every handle on the hash sees the same, from any store, and the last frees. */
static void gone_with_last_presence(void)
{
	struct bed b;

	open_bed(&b);
	present(&b, 0, 0);
	EXPECT_EQ(attach(&b, 0, 7, KVBM_ATTACH_UNIQUE, "a"), 0);
	present(&b, 1, 0);
	absent(&b, 0, 0);
	EXPECT_TEXT(attached(&b, 0, 0), "a,");
	absent(&b, 1, 0);
	EXPECT_TEXT(attached(&b, 0, 0), "?");
	/* A new life has none. */
	present(&b, 1, 0);
	EXPECT_TEXT(attached(&b, 0, 0), "");
	absent(&b, 1, 0);
	close_bed(&b);
}

/* The entry moves to another store's share, and what hangs on it is still there. */
static void survives_a_leaving_store(void)
{
	struct bed b;
	u32 i;

	open_bed(&b);
	for (i = 0; i < 8; i++) {
		present(&b, 0, i);
		present(&b, 1, i);
		if (i % 2)
			EXPECT_EQ(attach(&b, i, 7, KVBM_ATTACH_UNIQUE, "stays"), 0);
	}
	for (i = 0; i < 8; i++)
		absent(&b, 0, i);
	kvbm_store_free(b.s[0]);
	b.s[0] = NULL;
	for (i = 0; i < 8; i++)
		EXPECT_TEXT(attached(&b, i, 0), i % 2 ? "stays," : "");
	for (i = 0; i < 8; i++)
		absent(&b, 1, i);
	close_bed(&b);
}

static void limits(void)
{
	static char large[KVBM_MAX_ATTACHMENT];
	struct kvbm_attached out = {};
	static u64 buf[9000];
	struct bed b;
	u32 i;

	open_bed(&b);
	present(&b, 0, 0);
	memset(large, 'x', sizeof(large));
	for (i = 0; i < KVBM_MAX_ATTACHMENTS; i++)
		EXPECT_EQ(kvbm_registry_attach(b.r, &b.h[0], i % 3 + 1,
					       KVBM_ATTACH_MULTIPLE, large, sizeof(large)), 0);
	EXPECT_EQ(attach(&b, 0, 9, KVBM_ATTACH_UNIQUE, "a"), -ENOSPC);
	EXPECT_EQ(attach(&b, 0, 1, KVBM_ATTACH_MULTIPLE, "a"), -ENOSPC);
	/* Whole ones only, and it is said what there is. */
	EXPECT_EQ(kvbm_registry_read_attached(b.r, &b.h[0], 0, &out), 0);
	EXPECT_EQ(out.count, 0);
	EXPECT_EQ(out.total, KVBM_MAX_ATTACHMENTS);
	EXPECT_EQ(out.needed, 65792);
	out.buf = (char *)buf;
	out.size = 2 * KVBM_ATTACHMENT_ROOM(sizeof(large)) + 8;
	EXPECT_EQ(kvbm_registry_read_attached(b.r, &b.h[0], 0, &out), 0);
	EXPECT_EQ(out.count, 2);
	EXPECT_EQ(out.written, 2 * KVBM_ATTACHMENT_ROOM(sizeof(large)));
	absent(&b, 0, 0);
	close_bed(&b);
}

static void charges(void)
{
	struct bed b;
	__s64 one;

	open_bed(&b);
	present(&b, 0, 0);
	refuse = true;
	EXPECT_EQ(attach(&b, 0, 7, KVBM_ATTACH_MULTIPLE, "a"), -EDQUOT);
	EXPECT_EQ(charged, 0);
	refuse = false;
	EXPECT_EQ(attach(&b, 0, 7, KVBM_ATTACH_MULTIPLE, "a"), 0);
	one = charged;
	EXPECT(one > 0);
	/* What is refused, or replaced, is not paid for. */
	EXPECT_EQ(attach(&b, 0, 7, KVBM_ATTACH_UNIQUE, "a"), -EPROTOTYPE);
	EXPECT_EQ(attach(&b, 1, 7, KVBM_ATTACH_UNIQUE, "a"), -ENOENT);
	EXPECT_EQ(charged, one);
	EXPECT_EQ(attach(&b, 0, 8, KVBM_ATTACH_UNIQUE, "12345678"), 0);
	EXPECT_EQ(attach(&b, 0, 8, KVBM_ATTACH_UNIQUE, "1"), 0);
	EXPECT_EQ(attach(&b, 0, 7, KVBM_ATTACH_MULTIPLE, "a"), 0);
	absent(&b, 0, 0);
	EXPECT(charged < one);
	close_bed(&b);
}

static int fail_at;

static bool fail_nth(void)
{
	return fail_at && !--fail_at;
}

static void no_memory(void)
{
	struct bed b;
	int i, err;

	open_bed(&b);
	present(&b, 0, 0);
	kvbm_alloc_fail = fail_nth;
	for (i = 1; i < 20; i++) {
		fail_at = i;
		err = attach(&b, 0, 7, KVBM_ATTACH_UNIQUE, "a");
		if (!err)
			break;
		EXPECT_EQ(err, -ENOMEM);
		/* The table that the first one makes stays. */
		EXPECT(!charged || charged == (__s64)kvbm_attachments_bytes(64));
		EXPECT_TEXT(attached(&b, 0, 0), "");
	}
	kvbm_alloc_fail = NULL;
	EXPECT(i > 2 && i < 20);
	EXPECT_TEXT(attached(&b, 0, 0), "a,");
	absent(&b, 0, 0);
	close_bed(&b);
}

static struct bed shared;

static void *attach_and_read(void *arg)
{
	u32 n = *(u32 *)arg, i;
	char buf[256];

	for (i = 0; i < 20000; i++) {
		struct kvbm_attached out = { .buf = buf, .size = sizeof(buf) };

		kvbm_registry_attach(shared.r, &shared.h[i % 4], n, KVBM_ATTACH_UNIQUE,
				     &i, sizeof(i));
		kvbm_registry_read_attached(shared.r, &shared.h[i % 4], 0, &out);
	}
	return NULL;
}

static void *come_and_go(void *arg)
{
	u32 n = *(u32 *)arg, i;

	for (i = 0; i < 20000; i++) {
		present(&shared, n, i % 4);
		absent(&shared, n, i % 4);
	}
	return NULL;
}

static void threads(void)
{
	static u32 n[] = { 1, 2, 0, 1 };
	pthread_t t[4];
	u32 i;

	open_bed(&shared);
	for (i = 0; i < 4; i++)
		ASSERT_EQ(pthread_create(&t[i], NULL, i < 2 ? attach_and_read : come_and_go,
					 &n[i]), 0);
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	close_bed(&shared);
}

static const struct tap_test tests[] = {
	TEST(unique_replaces),
	TEST(multiple_appends),
	TEST(modes_exclude_each_other),
	TEST(gone_with_last_presence),
	TEST(survives_a_leaving_store),
	TEST(limits),
	TEST(charges),
	TEST(no_memory),
	TEST(threads),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
