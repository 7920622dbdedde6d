// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Calls on what has ended, and at limits that nothing else comes near.
 */
#include <pthread.h>

#include "fixture.h"
#include "engine/attachment.h"
#include "engine/events.h"

static void dead_session(void)
{
	static struct kvbm_token t[2], out[KVBM_CHUNK + 1];
	struct kvbm_hash h[2] = { hash_of(0), hash_of(1) };
	struct kvbm_allocation next = { .tokens = out };
	u32 n, failed, total, in_use;
	struct kvbm_reclaim reclaim;
	struct kvbm_pinned pin;
	struct kvbm_held held;
	struct fixture f;

	set_up(&f, 2 * KVBM_CHUNK);
	fill(&f.holder, 0, 2, t);
	EXPECT_EQ(kvbm_holder_check(&f.holder), 0);
	kvbm_holder_release_all(&f.holder, false, &reclaim);
	EXPECT_EQ(reclaim.immutable, 2);
	EXPECT_EQ(kvbm_holder_check(&f.holder), -EOWNERDEAD);
	EXPECT_EQ(take(&f.holder, 1, out), -EOWNERDEAD);
	EXPECT_EQ(take(&f.holder, KVBM_CHUNK + 1, out), -EOWNERDEAD);
	EXPECT_EQ(stage(&f.holder, 2, 1, t), -EOWNERDEAD);
	EXPECT_EQ(kvbm_holder_unstage(&f.holder, t, 1, &failed), -EOWNERDEAD);
	EXPECT_EQ(reg(&f.holder, 1, t, NULL), -EOWNERDEAD);
	EXPECT_EQ(kvbm_holder_stage_register(&f.holder, t, h, NULL, NULL, 1, BLOCK_SIZE,
					     &next, &n, &failed), -EOWNERDEAD);
	EXPECT_EQ(match(&f.holder, 0, 2, out, &n), -EOWNERDEAD);
	EXPECT_EQ(kvbm_holder_upgrade(&f.holder, h, t, 2, &n), -EOWNERDEAD);
	EXPECT_EQ(kvbm_holder_clone(&f.holder, t, 2, &failed), -EOWNERDEAD);
	EXPECT_EQ(kvbm_holder_set_reset(&f.holder, t, 2, true, &failed), -EOWNERDEAD);
	EXPECT_EQ(kvbm_holder_drain(&f.holder, &n, &in_use), -EOWNERDEAD);
	EXPECT_EQ(kvbm_holder_list(&f.holder, 0, 1, &held, &n, &total), -EOWNERDEAD);
	EXPECT_EQ(kvbm_holder_pin(&f.holder, t, 1, false, &pin, &failed), -EOWNERDEAD);
	EXPECT_EQ(give(&f.holder, 2, t), -EOWNERDEAD);
	/* Nobody else is worse off, and what it had is in the cache. */
	EXPECT_EQ(counters_of(f.store).inactive_pool_size, 2);
	/* There is nothing to wait for, and nothing to charge. */
	kvbm_holder_barrier(&f.holder);
	kvbm_holder_recharge(&f.holder);
	/* Once more, and the large mutex is free. */
	EXPECT_EQ(take(&f.holder, KVBM_CHUNK + 1, out), -EOWNERDEAD);
	tear_down(&f);
}

static void shut_down(void)
{
	struct kvbm_hash h = hash_of(0);
	struct fixture f;
	u32 epoch = 7, n = 7;

	set_up(&f, 4);
	ASSERT_EQ(kvbm_store_shutdown(f.store, false), 0);
	EXPECT_EQ(kvbm_store_probe(f.store, &h, 1, &n), -ESHUTDOWN);
	EXPECT_EQ(kvbm_store_raise_epoch(f.store, true, &epoch), -ESHUTDOWN);
	EXPECT_EQ(kvbm_store_epoch(f.store), 1);
	EXPECT_EQ(epoch, 7);
	EXPECT_EQ(n, 7);
	tear_down(&f);
}

/* There is no epoch after the last one. */
static void last_epoch(void)
{
	struct kvbm_holder other;
	struct fixture f;
	u32 epoch = 7;

	set_up(&f, 4);
	f.store->epoch = U32_MAX;
	EXPECT_EQ(kvbm_store_raise_epoch(f.store, false, &epoch), -EOVERFLOW);
	EXPECT_EQ(epoch, 7);
	EXPECT(kvbm_holder_is_fenced(&f.holder));
	kvbm_holder_init(&other, f.store);
	EXPECT(!kvbm_holder_is_fenced(&other));
	kvbm_holder_inherit(&other, &f.holder);
	EXPECT(kvbm_holder_is_fenced(&other));
	end_holder(&other);
	/* Who is told of the current epoch may go on. */
	kvbm_holder_join(&f.holder, U32_MAX);
	EXPECT(!kvbm_holder_is_fenced(&f.holder));
	kvbm_holder_barrier(&f.holder);
	EXPECT_EQ(kvbm_holder_check(&f.holder), 0);
	tear_down(&f);
}

static void *wait_for_a_block(void *arg)
{
	struct kvbm_token token;
	struct kvbm_allocation a = {
		.count = 1,
		.tokens = &token,
		.deadline_ns = kvbm_clock() + 60000000000ULL,
	};

	return (void *)(long)kvbm_holder_allocate(arg, &a);
}

/* A new epoch ends the waits of the old ones, and those only. */
static void epoch_ends_waits(void)
{
	struct kvbm_holder old;
	struct kvbm_token t[4];
	pthread_t thread;
	struct fixture f;
	void *result;
	u32 epoch;

	set_up(&f, 4);
	kvbm_holder_init(&old, f.store);
	ASSERT_EQ(take(&f.holder, 4, t), 0);
	ASSERT_EQ(pthread_create(&thread, NULL, wait_for_a_block, &old), 0);
	while (!counters_of(f.store).waits)
		usleep(1000);
	ASSERT_EQ(kvbm_store_raise_epoch(f.store, false, &epoch), 0);
	pthread_join(thread, &result);
	EXPECT_EQ((long)result, -EOWNERDEAD);
	EXPECT(!f.store->first_waiter);
	end_holder(&old);
	tear_down(&f);
}

static bool fail_always(void)
{
	return true;
}

static void pins(void)
{
	struct kvbm_check_result result;
	struct kvbm_pinned pin;
	struct kvbm_token t[4];
	struct fixture f;
	u32 failed;

	set_up(&f, 4);
	ASSERT_EQ(take(&f.holder, 4, t), 0);
	kvbm_alloc_fail = fail_always;
	EXPECT_EQ(kvbm_holder_pin(&f.holder, t, 4, true, &pin, &failed), -ENOMEM);
	kvbm_alloc_fail = NULL;
	f.store->write_pins = U32_MAX - 3;
	EXPECT_EQ(kvbm_holder_pin(&f.holder, t, 4, true, &pin, &failed), -EOVERFLOW);
	EXPECT_EQ(f.store->write_pins, U32_MAX - 3);
	EXPECT_EQ(refs_of(&f, t[0].id), 1);
	f.store->write_pins = 0;
	/* Nobody writes to a block that nobody has. */
	ASSERT_EQ(give(&f.holder, 4, t), 0);
	f.store->slots[1].writers = 1;
	ASSERT_EQ(kvbm_store_check(f.store, &result), 0);
	EXPECT_EQ(result.first_error, KVBM_CHECK_BAD_REFS);
	EXPECT_EQ(result.first_block, 1);
	f.store->slots[1].writers = 0;
	tear_down(&f);
}

/* The aux of a block goes with it, in a dump and in an event. */
static void aux_is_told(void)
{
	struct kvbm_store_config config = config_of(4);
	char buf[KVBM_EVENT_HOLD] __attribute__((__aligned__(8)));
	const struct kvbm_event_record *r = (void *)buf;
	struct kvbm_event_reader reader;
	struct kvbm_hash h = hash_of(0);
	struct kvbm_event_ring *ring;
	u32 failed, block = 0, bytes;
	struct kvbm_token t;
	struct fixture f;

	config.aux_size = 5;
	set_up_with(&f, config);
	ring = kvbm_registry_events(f.registry);
	kvbm_store_publish(f.store, 7, KVBM_TIER_G1, NULL, NULL);
	kvbm_store_announce(f.store);
	ASSERT_EQ(kvbm_event_listen(ring, KVBM_EVENT_RING_MIN, &reader), 0);
	ASSERT_EQ(take(&f.holder, 1, &t), 0);
	ASSERT_EQ(kvbm_holder_stage(&f.holder, &t, &h, "abcde", 1, BLOCK_SIZE, &failed), 0);
	ASSERT_EQ(reg(&f.holder, 1, &t, NULL), 0);
	bytes = kvbm_store_content(f.store, &block, 4, buf, sizeof(buf));
	EXPECT_EQ(bytes, kvbm_event_size(5));
	EXPECT_EQ(r->aux_size, 5);
	EXPECT(!memcmp(r + 1, "abcde\0\0\0", 8));
	memset(buf, 0, sizeof(buf));
	EXPECT_EQ(kvbm_event_peek(ring, &reader, buf, sizeof(buf)), kvbm_event_size(5));
	EXPECT_EQ(r->type, KVBM_EVENT_STORED);
	EXPECT(!memcmp(r + 1, "abcde\0\0\0", 8));
	kvbm_event_unlisten(ring);
	tear_down(&f);
}

/* Hashes that share a bucket keep what is theirs. */
static void attachments_of_one_bucket(void)
{
	struct kvbm_attachments *a;
	struct kvbm_blob *blob;
	struct kvbm_hash h;
	u32 i;

	ASSERT_EQ(kvbm_attachments_alloc(1, &a), 0);
	for (i = 0; i < 20; i++) {
		h = hash_of(i);
		blob = kvbm_blob_new(1, KVBM_ATTACH_UNIQUE, &i, sizeof(i));
		ASSERT(blob);
		EXPECT_EQ(kvbm_attachments_add(a, &h, &blob), 0);
		EXPECT(!blob);
	}
	for (i = 0; i < 20; i++) {
		char buf[64] = { 0 };
		struct kvbm_attached out = { .buf = buf, .size = sizeof(buf) };

		h = hash_of(i);
		kvbm_attachments_read(a, &h, 1, &out);
		EXPECT_EQ(out.count, 1);
		EXPECT(!memcmp(buf + sizeof(struct kvbm_attachment), &i, sizeof(i)));
		EXPECT_EQ(kvbm_attachments_drop(a, &h), kvbm_blob_bytes(sizeof(i)));
		EXPECT_EQ(kvbm_attachments_drop(a, &h), 0);
	}
	kvbm_attachments_free(a);
}

static s64 budget;

static int charge(u64 bytes)
{
	if (budget < (s64)bytes)
		return -EDQUOT;
	budget -= bytes;
	return 0;
}

static void uncharge(u64 bytes)
{
	budget += bytes;
}

static const struct kvbm_charge_ops charges = { charge, uncharge };

/* An entry that another store takes over has its attachments still. */
static void attachments_move_with_their_entry(void)
{
	struct kvbm_attached out = { 0 };
	struct kvbm_store *second;
	struct kvbm_holder other;
	struct kvbm_hash h = hash_of(0);
	struct kvbm_token t[4];
	struct fixture f;
	s64 left;

	ASSERT_EQ(kvbm_registry_alloc(8, KVBM_SCHEMA_PLH, &f.registry), 0);
	kvbm_registry_publish(f.registry, &charges);
	budget = 1 << 20;
	f.store = store_of(f.registry, config_of(4));
	kvbm_holder_init(&f.holder, f.store);
	second = store_of(f.registry, config_of(4));
	kvbm_holder_init(&other, second);
	cache(&other, 0, 1);
	cache(&f.holder, 0, 1);
	EXPECT_EQ(kvbm_registry_attach(f.registry, &h, 1, KVBM_ATTACH_MULTIPLE, "x", 1), 0);
	/* Not for want of the table: that is there. */
	left = budget;
	budget = 0;
	EXPECT_EQ(kvbm_registry_attach(f.registry, &h, 1, KVBM_ATTACH_MULTIPLE, "y", 1),
		  -EDQUOT);
	budget = left;
	end_holder(&other);
	kvbm_store_free(second);
	ASSERT_EQ(kvbm_registry_read_attached(f.registry, &h, 1, &out), 0);
	EXPECT_EQ(out.total, 1);
	/* And they go with it. */
	ASSERT_EQ(take(&f.holder, 4, t), 0);
	EXPECT_EQ(kvbm_registry_read_attached(f.registry, &h, 1, &out), -ENOENT);
	EXPECT(budget > left);
	tear_down(&f);
	EXPECT_EQ(budget, 1 << 20);
}

/* Where look-ups fetch ahead, they find what is there, and nothing else. */
static void look_ups_of_a_large_pool(void)
{
	enum { KNOWN = 300 };
	static struct kvbm_token t[KNOWN], out[2 * KNOWN];
	static struct kvbm_hash hashes[2 * KNOWN];
	static const enum kvbm_match_mode modes[] = { KVBM_LOOKUP_SCATTERED, KVBM_LOOKUP_SCAN };
	struct fixture f;
	u32 n, i, m;

	set_up(&f, 20000);
	fill(&f.holder, 0, KNOWN, t);
	/* Every other one, the last ones first. */
	for (i = 0; i < 2 * KNOWN; i++)
		hashes[i] = hash_of(i % 2 ? KNOWN + i : KNOWN - 1 - i / 2);
	for (m = 0; m < ARRAY_SIZE(modes); m++) {
		memset(out, 0xff, sizeof(out));
		ASSERT_EQ(kvbm_holder_match(&f.holder, hashes, 2 * KNOWN, modes[m], out, &n), 0);
		EXPECT_EQ(n, KNOWN);
		for (i = 0; i < 2 * KNOWN; i++) {
			if (i % 2)
				EXPECT_EQ(out[i].gen, 0);
			else
				EXPECT_EQ(out[i].id, t[KNOWN - 1 - i / 2].id);
		}
	}
	/* All there are, and one that is not. */
	ASSERT_EQ(match(&f.holder, 0, KNOWN + 1, out, &n), 0);
	EXPECT_EQ(n, KNOWN);
	for (i = 0; i < KNOWN; i++)
		EXPECT_EQ(out[i].id, t[i].id);
	expect_sound(f.store);
	tear_down(&f);
}

static void memory_of_a_registry(void)
{
	u64 plain = kvbm_registry_bytes(1000, 0);

	EXPECT(plain >= 1000 * sizeof(u32));
	EXPECT(kvbm_registry_bytes(100000, 0) > plain);
	EXPECT(kvbm_registry_bytes(1000, 1000) >= plain + 1000 * 2);
}

static const struct tap_test tests[] = {
	TEST(dead_session),
	TEST(shut_down),
	TEST(last_epoch),
	TEST(epoch_ends_waits),
	TEST(pins),
	TEST(aux_is_told),
	TEST(attachments_of_one_bucket),
	TEST(attachments_move_with_their_entry),
	TEST(look_ups_of_a_large_pool),
	TEST(memory_of_a_registry),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
