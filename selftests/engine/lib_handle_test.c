// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Handles. In process; over the device, that they are refused.
 */
#include <pthread.h>
#include <sys/wait.h>

#include <kvbm/handle.h>

#include "lib_fixture.h"

#define TYPE_A	0x61
#define TYPE_B	0x62

static bool registered(struct fixture *f, const struct kvbm_hash *hash)
{
	int ret = kvbm_is_registered(f->kvbm, f->registry, hash);

	EXPECT(ret == 0 || ret == 1);
	return ret == 1;
}

static struct kvbm_handle *open_one(struct fixture *f, const struct kvbm_hash *hash)
{
	struct kvbm_handle *handle = NULL;

	ASSERT_EQ(kvbm_handle_open(f->kvbm, f->registry, 1, hash, &handle), 0);
	ASSERT(handle);
	return handle;
}

static struct kvbm_handle *match_one(struct fixture *f, const struct kvbm_hash *hash)
{
	struct kvbm_handle *handle = NULL;

	EXPECT_EQ(kvbm_handle_match(f->kvbm, f->registry, false, 1, hash, &handle), !!handle);
	return handle;
}

static uint8_t frequency(struct kvbm *kvbm, uint64_t registry,
			 const struct kvbm_hash *hash)
{
	uint8_t n = 77;

	EXPECT_EQ(kvbm_frequency(kvbm, registry, false, 1, hash, &n), 0);
	return n;
}

static uint64_t entries(struct fixture *f)
{
	struct kvbm_registry_query q;

	EXPECT_EQ(kvbm_query_registry(f->kvbm, f->registry, &q), 0);
	return q.out_entries;
}

static bool present(struct fixture *f, const struct kvbm_hash *hash)
{
	uint64_t mask = 77;

	EXPECT_EQ(kvbm_presence(f->kvbm, f->registry, 1, hash, 0, NULL, &mask), 0);
	return mask;
}

/* Nobody holds the block, and then nobody has it. */
static void evict(struct fixture *f, struct kvbm_immutable *im)
{
	struct kvbm_drained drained;

	EXPECT_EQ(kvbm_release(f->s, 1, im), 0);
	EXPECT_EQ(kvbm_drain(f->s, &drained), 0);
	EXPECT_EQ(drained.drained, 1);
}

static void last_handle_ends_registration(void)
{
	struct kvbm_handle *handle, *again, *clone;
	struct kvbm_registry_query q;
	struct kvbm_hash h[2];
	struct fixture f;

	set_up(&f, 4);
	hashes_of(0, 2, h);
	EXPECT(!registered(&f, &h[0]));
	EXPECT_EQ(entries(&f), 0);
	handle = open_one(&f, &h[0]);
	EXPECT(registered(&f, &h[0]) && !registered(&f, &h[1]));
	EXPECT_EQ(entries(&f), 1);
	/* It is no presence, and takes nothing of the capacity. */
	EXPECT(!present(&f, &h[0]));
	EXPECT_EQ(kvbm_query_registry(f.kvbm, f.registry, &q), 0);
	EXPECT_EQ(q.out_blocks, 4);
	EXPECT_EQ(q.out_managers, 1);
	EXPECT(!memcmp(kvbm_handle_hash(handle), &h[0], sizeof(h[0])));

	again = open_one(&f, &h[0]);
	EXPECT(again == handle);
	clone = kvbm_handle_clone(handle);
	EXPECT(clone == handle);
	EXPECT_EQ(entries(&f), 1);
	kvbm_handle_close(handle);
	kvbm_handle_close(again);
	EXPECT(registered(&f, &h[0]));
	kvbm_handle_close(clone);
	EXPECT(!registered(&f, &h[0]));
	EXPECT_EQ(entries(&f), 0);
	kvbm_handle_close(NULL);
	tear_down(&f);
}

static void batch_keeps_order(void)
{
	struct kvbm_handle *out[5], *none = NULL;
	uint64_t buf[64];
	struct kvbm_hash h[5];
	struct fixture f;
	int i;

	set_up(&f, 4);
	hashes_of(0, 5, h);
	h[3] = h[1];
	EXPECT_EQ(kvbm_handle_open(f.kvbm, f.registry, 0, NULL, NULL), 0);
	EXPECT_EQ(kvbm_handle_open(f.kvbm, f.registry, 0, h, &none), 0);
	ASSERT_EQ(kvbm_handle_open(f.kvbm, f.registry, 5, h, out), 0);
	for (i = 0; i < 5; i++)
		EXPECT(!memcmp(kvbm_handle_hash(out[i]), &h[i], sizeof(h[i])));
	EXPECT_EQ(entries(&f), 4);
	/* What hangs on the one hangs on the other. */
	EXPECT(out[1] == out[3]);
	EXPECT_EQ(kvbm_handle_attach(out[1], TYPE_A, KVBM_ATTACH_UNIQUE, "x", 1), 0);
	EXPECT_EQ(kvbm_handle_attachments(out[3], TYPE_A, buf, sizeof(buf), NULL), 1);
	EXPECT_EQ(kvbm_handle_attachments(out[2], TYPE_A, buf, sizeof(buf), NULL), 0);
	kvbm_handle_close(out[1]);
	EXPECT(registered(&f, &h[1]));
	kvbm_handle_close(out[3]);
	EXPECT(!registered(&f, &h[1]));
	kvbm_handle_close(out[0]);
	kvbm_handle_close(out[2]);
	kvbm_handle_close(out[4]);
	EXPECT_EQ(entries(&f), 0);
	tear_down(&f);
}

/* The registration is there as long as a block or a handle is. */
static void block_and_handle(void)
{
	struct kvbm_immutable im[2];
	struct kvbm_handle *handle;
	struct kvbm_hash h[2];
	struct fixture f;

	set_up(&f, 4);
	hashes_of(0, 2, h);
	EXPECT(!match_one(&f, &h[0]));
	fill(&f, 0, 2, im);
	EXPECT(registered(&f, &h[0]) && registered(&f, &h[1]));
	handle = match_one(&f, &h[0]);
	ASSERT(handle);
	EXPECT_EQ(kvbm_handle_attach(handle, TYPE_A, KVBM_ATTACH_MULTIPLE, "x", 1), 0);
	EXPECT_EQ(entries(&f), 2);
	evict(&f, &im[0]);
	EXPECT(!present(&f, &h[0]) && registered(&f, &h[0]));
	EXPECT_EQ(kvbm_handle_attachments(handle, 0, NULL, 0, NULL), 0);
	EXPECT_EQ(kvbm_handle_attach(handle, TYPE_A, KVBM_ATTACH_MULTIPLE, "y", 1), 0);
	/* A block comes, the handle goes, the registration stays. */
	fill(&f, 0, 1, im);
	EXPECT(present(&f, &h[0]));
	kvbm_handle_close(handle);
	EXPECT(registered(&f, &h[0]));
	handle = match_one(&f, &h[0]);
	ASSERT(handle);
	{
		uint64_t buf[16];

		EXPECT_EQ(kvbm_handle_attachments(handle, 0, buf, sizeof(buf), NULL), 2);
	}
	kvbm_handle_close(handle);
	evict(&f, &im[0]);
	EXPECT(!registered(&f, &h[0]));
	/* A new registration has nothing of the old one. */
	handle = open_one(&f, &h[0]);
	{
		size_t needed = 77;

		EXPECT_EQ(kvbm_handle_attachments(handle, 0, NULL, 0, &needed), 0);
		EXPECT_EQ(needed, 0);
	}
	kvbm_handle_close(handle);
	evict(&f, &im[1]);
	EXPECT_EQ(entries(&f), 0);
	tear_down(&f);
}

static void match_by_array(void)
{
	struct kvbm_handle *out[4], *handle;
	struct kvbm_immutable im;
	struct kvbm_hash h[4];
	struct fixture f;

	set_up(&f, 4);
	hashes_of(0, 4, h);
	memset(out, 77, sizeof(out));
	EXPECT_EQ(kvbm_handle_match(f.kvbm, f.registry, true, 4, h, out), 0);
	EXPECT(!out[0] && !out[1] && !out[2] && !out[3]);
	handle = open_one(&f, &h[2]);
	fill(&f, 1, 1, &im);
	EXPECT_EQ(kvbm_handle_match(f.kvbm, f.registry, true, 4, h, out), 2);
	EXPECT(!out[0] && out[1] && out[2] == handle && !out[3]);
	EXPECT(!memcmp(kvbm_handle_hash(out[1]), &h[1], sizeof(h[1])));
	kvbm_handle_close(out[1]);
	kvbm_handle_close(out[2]);
	kvbm_handle_close(handle);
	evict(&f, &im);
	EXPECT_EQ(entries(&f), 0);
	tear_down(&f);
}

static void modes_of_attachments(void)
{
	const struct kvbm_attachment *a;
	struct kvbm_handle *handle;
	uint64_t buf[64];
	struct kvbm_hash h;
	struct fixture f;
	size_t needed;

	set_up(&f, 4);
	hashes_of(0, 1, &h);
	handle = open_one(&f, &h);
	EXPECT_EQ(kvbm_handle_attach(handle, 0, KVBM_ATTACH_UNIQUE, "x", 1), -EINVAL);
	EXPECT_EQ(kvbm_handle_attach(handle, TYPE_A, 2, "x", 1), -EINVAL);
	EXPECT_EQ(kvbm_handle_attach(handle, TYPE_A, KVBM_ATTACH_UNIQUE, buf,
				     KVBM_MAX_ATTACHMENT + 1), -EINVAL);
	EXPECT_EQ(kvbm_handle_attach(handle, TYPE_A, KVBM_ATTACH_UNIQUE, NULL, 1), -EFAULT);
	EXPECT_EQ(kvbm_handle_attachments(handle, 0, NULL, 8, NULL), -EFAULT);
	/* A type is pinned by its first use. */
	EXPECT_EQ(kvbm_handle_attach(handle, TYPE_A, KVBM_ATTACH_UNIQUE, "one", 3), 0);
	EXPECT_EQ(kvbm_handle_attach(handle, TYPE_A, KVBM_ATTACH_MULTIPLE, "x", 1), -EPROTOTYPE);
	EXPECT_EQ(kvbm_handle_attach(handle, TYPE_B, KVBM_ATTACH_MULTIPLE, "b", 1), 0);
	EXPECT_EQ(kvbm_handle_attach(handle, TYPE_B, KVBM_ATTACH_UNIQUE, "x", 1), -EPROTOTYPE);
	/* Both side by side; the unique one is replaced, the others add up. */
	EXPECT_EQ(kvbm_handle_attach(handle, TYPE_A, KVBM_ATTACH_UNIQUE, "two", 3), 0);
	EXPECT_EQ(kvbm_handle_attach(handle, TYPE_B, KVBM_ATTACH_MULTIPLE, "c", 1), 0);
	ASSERT_EQ(kvbm_handle_attachments(handle, 0, buf, sizeof(buf), &needed), 3);
	EXPECT_EQ(needed, 3 * KVBM_ATTACHMENT_ROOM(3));
	ASSERT_EQ(kvbm_handle_attachments(handle, TYPE_A, buf, sizeof(buf), NULL), 1);
	a = (const void *)buf;
	EXPECT(a->len == 3 && a->mode == KVBM_ATTACH_UNIQUE && !memcmp(a + 1, "two", 3));
	ASSERT_EQ(kvbm_handle_attachments(handle, TYPE_B, buf, sizeof(buf), NULL), 2);
	EXPECT(a->len == 1 && *(const char *)(a + 1) == 'b');
	a = kvbm_attachment_next(a);
	EXPECT(a->len == 1 && *(const char *)(a + 1) == 'c');
	/* The same as by the hash. */
	EXPECT_EQ(kvbm_attachments(f.kvbm, f.registry, &h, 0, buf, sizeof(buf), NULL), 3);
	kvbm_handle_close(handle);
	EXPECT_EQ(kvbm_attachments(f.kvbm, f.registry, &h, 0, buf, sizeof(buf), NULL), -ENOENT);
	tear_down(&f);
}

static void mode_error_in_words(void)
{
	EXPECT(strstr(kvbm_strerror(-EPROTOTYPE), "attach"));
	EXPECT(strstr(kvbm_strerror(-EPROTOTYPE), "unique"));
	EXPECT(strstr(kvbm_strerror(-EPROTOTYPE), "multiple"));
}

static void uses_are_counted(void)
{
	struct kvbm_registry_create ra;
	struct kvbm_handle *handle, *out[3];
	struct kvbm_hash h[3];
	uint64_t registry;
	struct fixture f;

	set_up(&f, 4);
	hashes_of(0, 3, h);
	kvbm_registry_attr_init(&ra, "sketch");
	ra.sketch_capacity = 1024;
	ASSERT_EQ(kvbm_create_registry(f.kvbm, &ra, &registry), 0);
	/* Registering is a use, but only for who is the first. */
	ASSERT_EQ(kvbm_handle_open(f.kvbm, registry, 1, &h[0], &handle), 0);
	EXPECT_EQ(frequency(f.kvbm, registry, &h[0]), 1);
	ASSERT_EQ(kvbm_handle_open(f.kvbm, registry, 1, &h[0], &out[0]), 0);
	EXPECT_EQ(frequency(f.kvbm, registry, &h[0]), 1);
	kvbm_handle_close(out[0]);
	/* A match is one if it is said to be, and if it hits. */
	EXPECT_EQ(kvbm_handle_match(f.kvbm, registry, false, 3, h, out), 1);
	kvbm_handle_close(out[0]);
	EXPECT_EQ(frequency(f.kvbm, registry, &h[0]), 1);
	EXPECT_EQ(kvbm_handle_match(f.kvbm, registry, true, 3, h, out), 1);
	kvbm_handle_close(out[0]);
	EXPECT_EQ(frequency(f.kvbm, registry, &h[0]), 2);
	EXPECT_EQ(frequency(f.kvbm, registry, &h[1]), 0);
	/* Touching the handle is none. */
	EXPECT_EQ(kvbm_handle_touch(handle), 0);
	EXPECT_EQ(frequency(f.kvbm, registry, &h[0]), 2);
	/* In a batch as one by one. */
	h[2] = h[1];
	ASSERT_EQ(kvbm_handle_open(f.kvbm, registry, 3, h, out), 0);
	EXPECT_EQ(frequency(f.kvbm, registry, &h[0]), 2);
	EXPECT_EQ(frequency(f.kvbm, registry, &h[1]), 1);
	kvbm_handle_close(out[0]);
	kvbm_handle_close(out[1]);
	kvbm_handle_close(out[2]);
	kvbm_handle_close(handle);
	ASSERT_EQ(kvbm_destroy_registry(f.kvbm, registry), 0);
	tear_down(&f);
}

/* What callbacks were called with, in order. */
static struct {
	char text[64];
	struct kvbm_hash hash;
	struct kvbm_handle *handle;
	struct fixture *f;
} heard;

static void hear(void *arg, const struct kvbm_hash *hash)
{
	strcat(heard.text, arg);
	heard.hash = *hash;
}

static const char *touch(struct kvbm_handle *handle)
{
	heard.text[0] = '\0';
	EXPECT_EQ(kvbm_handle_touch(handle), 0);
	return heard.text;
}

static void callbacks_in_order(void)
{
	struct kvbm_handle *handle, *other, *again;
	struct kvbm_hash h[2];
	struct fixture f;
	uint8_t n;

	set_up(&f, 4);
	hashes_of(0, 2, h);
	handle = open_one(&f, &h[0]);
	other = open_one(&f, &h[1]);
	EXPECT(!strcmp(touch(handle), ""));
	EXPECT_EQ(kvbm_handle_on_touch(handle, NULL, NULL), -EINVAL);
	EXPECT_EQ(kvbm_handle_on_touch(handle, hear, "a"), 0);
	EXPECT(!strcmp(touch(handle), "a"));
	EXPECT(!memcmp(&heard.hash, &h[0], sizeof(h[0])));
	EXPECT_EQ(kvbm_handle_on_touch(handle, hear, "b"), 0);
	again = open_one(&f, &h[0]);
	EXPECT_EQ(kvbm_handle_on_touch(again, hear, "c"), 0);
	EXPECT_EQ(kvbm_handle_on_touch(again, hear, "a"), 0);
	EXPECT(!strcmp(touch(handle), "abca"));
	EXPECT(!strcmp(touch(again), "abca"));
	EXPECT(!strcmp(touch(other), ""));
	EXPECT_EQ(kvbm_handle_on_touch(other, hear, "o"), 0);
	EXPECT(!strcmp(touch(other), "o"));
	EXPECT(!memcmp(&heard.hash, &h[1], sizeof(h[1])));
	/* Uses of the hash are another matter. */
	heard.text[0] = '\0';
	EXPECT_EQ(kvbm_frequency(f.kvbm, f.registry, true, 1, h, &n), 0);
	EXPECT_EQ(kvbm_handle_match(f.kvbm, f.registry, true, 1, h, &again), 1);
	kvbm_handle_close(again);
	EXPECT(!strcmp(heard.text, ""));
	kvbm_handle_close(again);
	kvbm_handle_close(other);
	kvbm_handle_close(handle);
	tear_down(&f);
}

static void add_more(void *arg, const struct kvbm_hash *hash)
{
	hear(arg, hash);
	EXPECT_EQ(kvbm_handle_on_touch(heard.handle, hear, "n"), 0);
}

static void close_mine(void *arg, const struct kvbm_hash *hash)
{
	struct kvbm_handle *other;

	hear(arg, hash);
	other = open_one(heard.f, hash);
	EXPECT(other == heard.handle);
	kvbm_handle_close(other);
	kvbm_handle_close(heard.handle);
	EXPECT(registered(heard.f, hash));
}

/* No lock is held, and the list is as it was when the touch began. */
static void callbacks_may_call(void)
{
	struct kvbm_hash h;
	struct fixture f;

	set_up(&f, 4);
	hashes_of(0, 1, &h);
	heard.f = &f;
	heard.handle = open_one(&f, &h);
	EXPECT_EQ(kvbm_handle_on_touch(heard.handle, add_more, "m"), 0);
	EXPECT(!strcmp(touch(heard.handle), "m"));
	EXPECT(!strcmp(touch(heard.handle), "mn"));
	EXPECT(!strcmp(touch(heard.handle), "mnn"));
	EXPECT_EQ(kvbm_handle_on_touch(heard.handle, close_mine, "x"), 0);
	EXPECT_EQ(kvbm_handle_on_touch(heard.handle, hear, "y"), 0);
	EXPECT(!strcmp(touch(heard.handle), "mnnnxy"));
	EXPECT(!registered(&f, &h));
	tear_down(&f);
}

/* They belong to the hash as long as it is registered, and no longer. */
static void callbacks_live_with_hash(void)
{
	struct kvbm_immutable im[2];
	struct kvbm_handle *handle;
	struct kvbm_hash h[2];
	struct fixture f;

	set_up(&f, 4);
	hashes_of(0, 2, h);
	fill(&f, 0, 2, im);
	handle = match_one(&f, &h[0]);
	ASSERT(handle);
	EXPECT_EQ(kvbm_handle_on_touch(handle, hear, "a"), 0);
	kvbm_handle_close(handle);
	/* The hash of nobody's callbacks goes. */
	evict(&f, &im[1]);
	handle = match_one(&f, &h[0]);
	ASSERT(handle);
	EXPECT(!strcmp(touch(handle), "a"));
	EXPECT_EQ(kvbm_handle_on_touch(handle, hear, "b"), 0);
	kvbm_handle_close(handle);
	/* By opening, too. */
	handle = open_one(&f, &h[0]);
	EXPECT(!strcmp(touch(handle), "ab"));
	kvbm_handle_close(handle);
	evict(&f, &im[0]);
	handle = open_one(&f, &h[0]);
	EXPECT(!strcmp(touch(handle), ""));
	/* The block was there before, the handle is closed after it. */
	fill(&f, 0, 1, im);
	EXPECT_EQ(kvbm_handle_on_touch(handle, hear, "c"), 0);
	evict(&f, &im[0]);
	EXPECT(!strcmp(touch(handle), "c"));
	kvbm_handle_close(handle);
	handle = open_one(&f, &h[0]);
	EXPECT(!strcmp(touch(handle), ""));
	/* What is left goes with the manager. */
	fill(&f, 0, 2, im);
	EXPECT_EQ(kvbm_handle_on_touch(handle, hear, "d"), 0);
	kvbm_handle_close(handle);
	tear_down(&f);
}

static void is_from_registry(void)
{
	struct kvbm_registry_create ra;
	struct kvbm_handle *handle;
	struct fixture f, other;
	struct kvbm_hash h;
	uint64_t second;

	set_up(&f, 4);
	set_up(&other, 4);
	EXPECT_EQ(f.registry, other.registry);
	kvbm_registry_attr_init(&ra, "second");
	ASSERT_EQ(kvbm_create_registry(f.kvbm, &ra, &second), 0);
	hashes_of(0, 1, &h);
	handle = open_one(&f, &h);
	EXPECT(kvbm_handle_is_from_registry(handle, f.kvbm, f.registry));
	EXPECT(!kvbm_handle_is_from_registry(handle, f.kvbm, second));
	EXPECT(!kvbm_handle_is_from_registry(handle, f.kvbm, 0));
	EXPECT(!kvbm_handle_is_from_registry(handle, f.kvbm, 77));
	/* The same number elsewhere. */
	EXPECT(!kvbm_handle_is_from_registry(handle, other.kvbm, other.registry));
	kvbm_handle_close(handle);
	ASSERT_EQ(kvbm_handle_open(f.kvbm, second, 1, &h, &handle), 0);
	EXPECT(!kvbm_handle_is_from_registry(handle, f.kvbm, f.registry));
	EXPECT(!registered(&f, &h));
	/* A handle does not keep the registry's name. */
	EXPECT_EQ(kvbm_destroy_registry(f.kvbm, second), 0);
	EXPECT(!kvbm_handle_is_from_registry(handle, f.kvbm, second));
	kvbm_handle_close(handle);
	tear_down(&other);
	tear_down(&f);
}

/* Harmless, and of use still. */
static void outlives_registry(void)
{
	struct kvbm_handle *handle, *second;
	uint64_t buf[16];
	struct kvbm_hash h;
	struct fixture f;

	set_up(&f, 4);
	hashes_of(0, 1, &h);
	handle = open_one(&f, &h);
	EXPECT_EQ(kvbm_handle_on_touch(handle, hear, "a"), 0);
	EXPECT_EQ(kvbm_handle_attach(handle, TYPE_A, KVBM_ATTACH_UNIQUE, "x", 1), 0);
	tear_down(&f);
	second = kvbm_handle_clone(handle);
	EXPECT(!strcmp(touch(handle), "a"));
	EXPECT_EQ(kvbm_handle_attach(handle, TYPE_B, KVBM_ATTACH_UNIQUE, "y", 1), 0);
	EXPECT_EQ(kvbm_handle_attachments(handle, 0, buf, sizeof(buf), NULL), 2);
	kvbm_handle_close(handle);
	EXPECT(!strcmp(touch(second), "a"));
	kvbm_handle_close(second);
}

/* Managers, sessions and all are left behind. */
static void outlives_connection(void)
{
	struct kvbm_handle *handle;
	struct kvbm_immutable im;
	struct kvbm_hash h;
	struct fixture f;

	set_up(&f, 4);
	fill(&f, 0, 1, &im);
	hashes_of(0, 1, &h);
	handle = match_one(&f, &h);
	ASSERT(handle);
	EXPECT_EQ(kvbm_handle_on_touch(handle, hear, "a"), 0);
	kvbm_session_close(f.s);
	kvbm_close(f.kvbm);
	EXPECT(!strcmp(touch(handle), "a"));
	kvbm_handle_close(handle);
}

static void bad_calls(void)
{
	struct kvbm_handle *out[2], *bad = (void *)8;
	struct kvbm_hash h[2];
	struct fixture f;

	set_up(&f, 4);
	hashes_of(0, 2, h);
	out[0] = bad;
	EXPECT_EQ(kvbm_handle_open(f.kvbm, f.registry, KVBM_MAX_BATCH + 1, h, out), -EINVAL);
	EXPECT(out[0] == bad);
	EXPECT_EQ(kvbm_handle_open(f.kvbm, f.registry, 1, h, NULL), -EFAULT);
	EXPECT_EQ(kvbm_handle_open(f.kvbm, f.registry, 1, NULL, out), -EFAULT);
	EXPECT(!out[0]);
	EXPECT_EQ(kvbm_handle_open(f.kvbm, 0, 1, h, out), -ENOENT);
	EXPECT_EQ(kvbm_handle_open(f.kvbm, 77, 1, h, out), -ENOENT);
	EXPECT_EQ(kvbm_handle_match(f.kvbm, f.registry, true, KVBM_MAX_BATCH + 1, h, out), -EINVAL);
	EXPECT_EQ(kvbm_handle_match(f.kvbm, 77, true, 1, h, out), -ENOENT);
	EXPECT_EQ(kvbm_is_registered(f.kvbm, 77, h), -ENOENT);
	EXPECT_EQ(kvbm_is_registered(f.kvbm, 0, h), -ENOENT);
	/* Mode 3 is none. */
	h[1].hi |= 3ULL << 62;
	h[1].lo |= 3ULL << 62;
	out[0] = bad;
	out[1] = bad;
	EXPECT_EQ(kvbm_handle_open(f.kvbm, f.registry, 2, h, out), -EILSEQ);
	EXPECT_EQ(kvbm_failed_index(), 1);
	EXPECT(!out[0] && !out[1]);
	EXPECT_EQ(entries(&f), 0);
	EXPECT_EQ(kvbm_handle_match(f.kvbm, f.registry, false, 2, h, out), 0);
	tear_down(&f);
}

/* So many hashes, and no more; but any number of handles of them. */
static void no_more_than_room(void)
{
	struct kvbm_hash *h = calloc(KVBM_MAX_HANDLES + 2, sizeof(*h));
	struct kvbm_handle **out = calloc(KVBM_MAX_HANDLES + 2, sizeof(*out));
	struct kvbm_handle *few[3];
	struct kvbm_immutable im;
	struct fixture f;
	size_t i;

	set_up(&f, 4);
	hashes_of(0, KVBM_MAX_HANDLES + 2, h);
	EXPECT_EQ(kvbm_handle_open(f.kvbm, f.registry, KVBM_MAX_HANDLES + 1, h, out), -ENOSPC);
	EXPECT_EQ(kvbm_failed_index(), KVBM_MAX_HANDLES);
	EXPECT_EQ(entries(&f), 0);
	for (i = 0; i <= KVBM_MAX_HANDLES; i++)
		EXPECT(!out[i]);
	ASSERT_EQ(kvbm_handle_open(f.kvbm, f.registry, KVBM_MAX_HANDLES, h, out), 0);
	EXPECT_EQ(entries(&f), KVBM_MAX_HANDLES);
	/* A refused batch gives back what it had, and only that. */
	few[0] = NULL;
	EXPECT_EQ(kvbm_handle_open(f.kvbm, f.registry, 3, h + KVBM_MAX_HANDLES - 1, few), -ENOSPC);
	EXPECT(!few[0] && registered(&f, &h[KVBM_MAX_HANDLES - 1]));
	EXPECT_EQ(entries(&f), KVBM_MAX_HANDLES);
	EXPECT_EQ(kvbm_handle_open(f.kvbm, f.registry, 2, h, few), 0);
	kvbm_handle_close(few[0]);
	kvbm_handle_close(few[1]);
	/* The manager has its own room; a match of what it has needs ours. */
	fill(&f, KVBM_MAX_HANDLES, 1, &im);
	EXPECT_EQ(kvbm_handle_match(f.kvbm, f.registry, false, 1, h + KVBM_MAX_HANDLES,
				    few), -ENOSPC);
	EXPECT_EQ(kvbm_handle_match(f.kvbm, f.registry, false, 1,
				    h + KVBM_MAX_HANDLES + 1, few), 0);
	kvbm_handle_close(out[7]);
	EXPECT_EQ(kvbm_handle_match(f.kvbm, f.registry, false, 1, h + KVBM_MAX_HANDLES,
				    few), 1);
	out[7] = few[0];
	evict(&f, &im);
	EXPECT_EQ(entries(&f), KVBM_MAX_HANDLES);
	for (i = 0; i < KVBM_MAX_HANDLES; i++)
		kvbm_handle_close(out[i]);
	EXPECT_EQ(entries(&f), 0);
	tear_down(&f);
	free(h);
	free(out);
}

/* Handles are one more member; managers leave, and their entries are ours then. */
static void place_of_a_manager(void)
{
	struct kvbm_handle *handle;
	struct kvbm_manager_create ma;
	struct kvbm_registry_create ra;
	uint64_t id[KVBM_MAX_REGISTRY_MANAGERS], registry, extra;
	struct kvbm_hash h[2];
	struct kvbm *kvbm;
	int i;

	ASSERT_EQ(kvbm_open("inproc:", &kvbm), 0);
	kvbm_registry_attr_init(&ra, "r");
	ra.capacity = KVBM_MAX_REGISTRY_MANAGERS;
	ASSERT_EQ(kvbm_create_registry(kvbm, &ra, &registry), 0);
	hashes_of(0, 2, h);
	kvbm_manager_attr_init(&ma, registry, "", 1);
	ma.policy = KVBM_POLICY_LRU;
	for (i = 0; i < KVBM_MAX_REGISTRY_MANAGERS; i++) {
		snprintf(ma.name, sizeof(ma.name), "m%d", i);
		ASSERT_EQ(kvbm_create_manager(kvbm, &ma, &id[i]), 0);
	}
	EXPECT_EQ(kvbm_handle_open(kvbm, registry, 1, h, &handle), -ENOSPC);
	ASSERT_EQ(kvbm_destroy_manager(kvbm, id[40], false), 0);
	ASSERT_EQ(kvbm_handle_open(kvbm, registry, 1, h, &handle), 0);
	strcpy(ma.name, "extra");
	EXPECT_EQ(kvbm_create_manager(kvbm, &ma, &extra), -ENOSPC);
	/* The place stays taken. */
	kvbm_handle_close(handle);
	EXPECT_EQ(kvbm_create_manager(kvbm, &ma, &extra), -ENOSPC);
	ASSERT_EQ(kvbm_handle_open(kvbm, registry, 1, h, &handle), 0);
	for (i = 0; i < KVBM_MAX_REGISTRY_MANAGERS; i++)
		if (i != 40)
			ASSERT_EQ(kvbm_destroy_manager(kvbm, id[i], false), 0);
	EXPECT_EQ(kvbm_is_registered(kvbm, registry, &h[0]), 1);
	EXPECT_EQ(kvbm_handle_attach(handle, TYPE_A, KVBM_ATTACH_UNIQUE, "x", 1), 0);
	kvbm_handle_close(handle);
	EXPECT_EQ(kvbm_is_registered(kvbm, registry, &h[0]), 0);
	kvbm_close(kvbm);
}

static int child_checks(struct fixture *f, struct kvbm_handle *handle,
			const struct kvbm_hash *hash)
{
	struct kvbm_handle *other;

	if (kvbm_handle_open(f->kvbm, f->registry, 1, hash, &other) != -EOWNERDEAD)
		return 1;
	if (kvbm_handle_match(f->kvbm, f->registry, true, 1, hash, &other) != -EOWNERDEAD)
		return 2;
	if (kvbm_is_registered(f->kvbm, f->registry, hash) != -EOWNERDEAD)
		return 3;
	if (kvbm_handle_touch(handle) != -EOWNERDEAD ||
	    kvbm_handle_on_touch(handle, hear, "") != -EOWNERDEAD)
		return 4;
	if (kvbm_handle_attach(handle, TYPE_A, KVBM_ATTACH_UNIQUE, "x", 1) != -EOWNERDEAD ||
	    kvbm_handle_attachments(handle, 0, NULL, 0, NULL) != -EOWNERDEAD)
		return 5;
	if (kvbm_handle_is_from_registry(handle, f->kvbm, f->registry))
		return 6;
	if (kvbm_handle_clone(handle) != handle)
		return 7;
	kvbm_handle_close(handle);
	kvbm_handle_close(handle);
	return memcmp(kvbm_handle_hash(handle), hash, sizeof(*hash)) ? 8 : 0;
}

static void fork_child_is_dead(void)
{
	struct kvbm_handle *handle;
	struct kvbm_hash h;
	struct fixture f;
	int pid, status;

	set_up(&f, 4);
	hashes_of(0, 1, &h);
	handle = open_one(&f, &h);
	pid = fork();
	if (!pid)
		_exit(child_checks(&f, handle, &h));
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(status, 0);
	EXPECT(registered(&f, &h));
	kvbm_handle_close(handle);
	tear_down(&f);
}

/*
 * Threads open and close handles of a few hashes while others register and evict
 * blocks of the same: who has a handle has a registration, and its callbacks.
 */
#define NR_THREADS	4
#define NR_HASHES	3
#define ROUNDS		1500

static struct fixture shared;
static struct kvbm_hash shared_hashes[NR_HASHES];

/* Others may call ours as long as the hashes are registered. */
struct worker {
	pthread_t thread;
	uint32_t seed;
	uint32_t calls;
};

static void count_one(void *arg, const struct kvbm_hash *hash)
{
	__atomic_fetch_add((uint32_t *)arg, 1, __ATOMIC_RELAXED);
}

static void *open_and_close(void *arg)
{
	struct kvbm_handle *out[NR_HASHES];
	struct worker *w = arg;
	uint32_t before;
	uint64_t buf[64];
	ssize_t n;
	int round, i;

	for (round = 0; round < ROUNDS; round++) {
		w->seed = w->seed * 1664525 + 1013904223;
		if (w->seed >> 31)
			n = kvbm_handle_open(shared.kvbm, shared.registry, NR_HASHES,
					     shared_hashes, out);
		else
			n = kvbm_handle_match(shared.kvbm, shared.registry, true,
					      NR_HASHES, shared_hashes, out);
		EXPECT(n >= 0);
		for (i = 0; i < NR_HASHES; i++) {
			if (!out[i])
				continue;
			EXPECT_EQ(kvbm_is_registered(shared.kvbm, shared.registry,
						     &shared_hashes[i]), 1);
			EXPECT_EQ(kvbm_handle_attach(out[i], TYPE_A, KVBM_ATTACH_UNIQUE,
						     &round, sizeof(round)), 0);
			EXPECT_EQ(kvbm_handle_attachments(out[i], TYPE_A, buf,
							  sizeof(buf), NULL), 1);
			if (round % 8 == 0)
				EXPECT_EQ(kvbm_handle_on_touch(out[i], count_one,
							       &w->calls), 0);
			before = __atomic_load_n(&w->calls, __ATOMIC_RELAXED);
			EXPECT_EQ(kvbm_handle_touch(out[i]), 0);
			if (round % 8 == 0)
				EXPECT(__atomic_load_n(&w->calls, __ATOMIC_RELAXED) > before);
			kvbm_handle_close(kvbm_handle_clone(out[i]));
			kvbm_handle_close(out[i]);
		}
	}
	return NULL;
}

static void *register_and_evict(void *arg)
{
	struct kvbm_immutable im[NR_HASHES];
	struct kvbm_session *s;
	struct fixture f = shared;
	int round;

	EXPECT_EQ(kvbm_bind(shared.kvbm, shared.manager, 0, &s), 0);
	f.s = s;
	for (round = 0; round < ROUNDS; round++) {
		fill(&f, 0, NR_HASHES, im);
		EXPECT_EQ(kvbm_release(s, NR_HASHES, im), 0);
		EXPECT_EQ(kvbm_drain(s, NULL), 0);
	}
	kvbm_session_close(s);
	return NULL;
}

static void threads(void)
{
	struct worker w[NR_THREADS] = { 0 };
	int i;

	set_up(&shared, 4 * NR_HASHES);
	hashes_of(0, NR_HASHES, shared_hashes);
	for (i = 0; i < NR_THREADS; i++) {
		w[i].seed = i;
		ASSERT_EQ(pthread_create(&w[i].thread, NULL,
					 i ? open_and_close : register_and_evict,
					 &w[i]), 0);
	}
	for (i = 0; i < NR_THREADS; i++)
		pthread_join(w[i].thread, NULL);
	for (i = 0; i < NR_HASHES; i++)
		EXPECT(!registered(&shared, &shared_hashes[i]));
	EXPECT_EQ(entries(&shared), 0);
	tear_down(&shared);
}

static void device_has_none(void)
{
	struct kvbm_handle *handle = (void *)8;
	struct kvbm_hash h;
	struct fixture f;

	set_up(&f, 4);
	hashes_of(0, 1, &h);
	EXPECT_EQ(kvbm_handle_open(f.kvbm, f.registry, 1, &h, &handle), -EOPNOTSUPP);
	EXPECT(!handle);
	EXPECT_EQ(kvbm_handle_match(f.kvbm, f.registry, true, 1, &h, &handle), -EOPNOTSUPP);
	EXPECT_EQ(kvbm_is_registered(f.kvbm, f.registry, &h), -EOPNOTSUPP);
	tear_down(&f);
}

static const struct tap_test tests[] = {
	TEST(last_handle_ends_registration),
	TEST(batch_keeps_order),
	TEST(block_and_handle),
	TEST(match_by_array),
	TEST(modes_of_attachments),
	TEST(mode_error_in_words),
	TEST(uses_are_counted),
	TEST(callbacks_in_order),
	TEST(callbacks_may_call),
	TEST(callbacks_live_with_hash),
	TEST(is_from_registry),
	TEST(outlives_registry),
	TEST(outlives_connection),
	TEST(bad_calls),
	TEST(no_more_than_room),
	TEST(place_of_a_manager),
	TEST(fork_child_is_dead),
	TEST(threads),
};

static const struct tap_test device_tests[] = {
	TEST(device_has_none),
};

int main(void)
{
	if (!is_inproc())
		return tap_run(device_tests, ARRAY_SIZE(device_tests));
	return tap_run(tests, ARRAY_SIZE(tests));
}
