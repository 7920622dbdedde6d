// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The frequency sketch: counts, saturation, ageing, accuracy, threads; and who
 * counts when.
 */
#include <pthread.h>

#include "fixture.h"
#include "engine/registry.h"
#include "engine/sketch.h"

static struct kvbm_sketch *sketch_of(u64 capacity)
{
	struct kvbm_sketch *s;

	ASSERT_EQ(kvbm_sketch_alloc(capacity, &s), 0);
	return s;
}

static void touch_n(struct kvbm_sketch *s, const struct kvbm_hash *hash, u32 n)
{
	while (n--)
		kvbm_sketch_touch(s, hash);
}

static void counts_to_fifteen(void)
{
	struct kvbm_sketch *s = sketch_of(1024);
	struct kvbm_hash a = hash_of(1), b = hash_of(2);
	u32 i;

	EXPECT_EQ(kvbm_sketch_estimate(s, &a), 0);
	for (i = 1; i <= 20; i++) {
		kvbm_sketch_touch(s, &a);
		EXPECT_EQ(kvbm_sketch_estimate(s, &a), min(i, 15U));
	}
	EXPECT_EQ(kvbm_sketch_estimate(s, &b), 0);
	kvbm_sketch_free(s);
}

/* Saturated counters do not bring ageing nearer. */
static void saturated_does_not_age(void)
{
	struct kvbm_sketch *s = sketch_of(8);
	struct kvbm_hash a = hash_of(1);

	touch_n(s, &a, 1000);
	EXPECT_EQ(kvbm_sketch_estimate(s, &a), 15);
	kvbm_sketch_free(s);
}

/* Ten touches for each of the capacity halve everything, once. */
static void ages_at_ten_times_capacity(void)
{
	const u32 capacity = 4096;
	struct kvbm_sketch *s = sketch_of(capacity);
	struct kvbm_hash a = hash_of(0), h;
	u32 i, most = 0, least = 15;

	touch_n(s, &a, 12);
	for (i = 12; i < 10 * capacity - 1; i++) {
		h = hash_of(1 + i % (3 * capacity));
		kvbm_sketch_touch(s, &h);
	}
	EXPECT(kvbm_sketch_estimate(s, &a) >= 12);
	/* Some touches were of saturated counters, and did not count. */
	for (i = 0; i < capacity && kvbm_sketch_estimate(s, &a) >= 12; i++) {
		h = hash_of(100000 + i);
		kvbm_sketch_touch(s, &h);
	}
	EXPECT(i < capacity);
	EXPECT(kvbm_sketch_estimate(s, &a) >= 6);
	EXPECT(kvbm_sketch_estimate(s, &a) <= 8);
	for (i = 1; i <= 1000; i++) {
		h = hash_of(i);
		most = max(most, kvbm_sketch_estimate(s, &h));
		least = min(least, kvbm_sketch_estimate(s, &h));
	}
	/* Each was used three or four times. */
	EXPECT(least >= 1);
	printf("# of 3 or 4 uses, halved: %u to %u\n", least, most);
	kvbm_sketch_free(s);
}

static void touch_up_to(struct kvbm_sketch *s, u32 first, u32 keys, u32 times)
{
	struct kvbm_hash h;
	u32 i;

	for (i = 0; i < keys; i++) {
		h = hash_of(first + i);
		touch_n(s, &h, times);
	}
}

static u32 least_estimate(struct kvbm_sketch *s, u32 keys)
{
	u32 least = 15, i;

	for (i = 0; i < keys; i++) {
		struct kvbm_hash h = hash_of(i);

		least = min(least, kvbm_sketch_estimate(s, &h));
	}
	return least;
}

/* Four uses are two after an ageing: exactly, for hashes that share nothing. */
static void four_become_two(void)
{
	struct kvbm_sketch *s = sketch_of(256);

	touch_up_to(s, 0, 100, 4);
	/* Less than an epoch of 2560, with these. */
	touch_up_to(s, 1000, 100, 15);
	EXPECT_EQ(least_estimate(s, 100), 4);
	touch_up_to(s, 2000, 100, 15);
	EXPECT_EQ(least_estimate(s, 100), 2);
	kvbm_sketch_free(s);
}

static u32 most_estimate(struct kvbm_sketch *s, u32 keys)
{
	u32 most = 0, i;

	for (i = 0; i < keys; i++) {
		struct kvbm_hash h = hash_of(i);

		most = max(most, kvbm_sketch_estimate(s, &h));
	}
	return most;
}

/* One line, all of its counters in use: none takes a bit of its neighbour. */
static void halving_stays_in_its_counter(void)
{
	struct kvbm_sketch *s = sketch_of(32);
	u32 i, before, after = 0;
	struct kvbm_hash h;

	for (i = 0; i < 1000; i++) {
		before = after;
		h = hash_of(i);
		kvbm_sketch_touch(s, &h);
		after = most_estimate(s, 200);
		if (after < before)
			break;
	}
	EXPECT(i < 1000);
	EXPECT(after <= before / 2 + 1);
	kvbm_sketch_free(s);
}

/* Hashes that differ in one half only, either one, are two hashes. */
static void both_halves_count(void)
{
	struct kvbm_sketch *s = sketch_of(1 << 20);
	struct kvbm_hash a = { .hi = 1, .lo = 2 }, b = { .hi = 1, .lo = 3 };
	struct kvbm_hash c = { .hi = 2, .lo = 2 };

	touch_n(s, &a, 5);
	kvbm_sketch_touch(s, &b);
	EXPECT_EQ(kvbm_sketch_estimate(s, &a), 5);
	EXPECT_EQ(kvbm_sketch_estimate(s, &b), 1);
	EXPECT_EQ(kvbm_sketch_estimate(s, &c), 0);
	kvbm_sketch_free(s);
}

/* What is never touched again is forgotten, however long it is not looked at. */
static void forgets(void)
{
	const u32 capacity = 256;
	struct kvbm_sketch *s = sketch_of(capacity);
	struct kvbm_hash a = hash_of(0), h;
	u32 i;

	touch_n(s, &a, 15);
	for (i = 0; i < capacity * 10 * 5; i++) {
		h = hash_of(1 + i);
		kvbm_sketch_touch(s, &h);
	}
	/* Five ageings or more; the rest is what others share with it. */
	EXPECT(kvbm_sketch_estimate(s, &a) <= 8);
	kvbm_sketch_free(s);
}

/* The smallest and odd capacities. */
static void any_capacity(void)
{
	static const u64 v[] = { 1, 2, 31, 32, 33, 1000, 1 << 18 };
	struct kvbm_hash h;
	u32 i, k;

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		struct kvbm_sketch *s = sketch_of(v[i]);

		for (k = 0; k < 5000; k++) {
			h = hash_of(k % 50);
			kvbm_sketch_touch(s, &h);
			EXPECT(kvbm_sketch_estimate(s, &h) <= 15);
		}
		EXPECT(kvbm_sketch_bytes(v[i]) >= 2 * v[i]);
		kvbm_sketch_free(s);
	}
}

/*
 * kvbm-logical's sketch at its own presets: the word says which counter of it
 * is used, so that of 16 counters in a word one is. (spec of TinyLFU there)
 */
struct reference {
	u64 *words;
	u64 mask;
};

static u64 folded_product(u64 x, u64 y)
{
	return (u64)((__uint128_t)x * y >> 64) ^ x * y;
}

static u32 *reference_rows(const struct kvbm_hash *h, u32 *rows, u64 mask)
{
	static const u64 f1[] = { 0x6782737BEA4239B9, 0x6782737BEA4239BD,
				  0x6782737BEA4239BD, 0x6782737BEA4239A1 };
	static const u64 f2[] = { 0xAF56BC3B0996523A, 0xAF56BC3B09965238,
				  0xAF56BC3B0996523A, 0xAF56BC3B099652C4 };
	u32 r;

	for (r = 0; r < 4; r++) {
		u64 x = h->lo ^ f1[r], y = h->hi ^ f2[r], acc;

		acc = 16 + __builtin_bswap64(x) + y + folded_product(x, y);
		acc ^= acc >> 37;
		acc *= 0x165667919E3779F9ULL;
		acc ^= acc >> 32;
		rows[r] = (acc & mask) * 16 + (acc & 15);
	}
	return rows;
}

static u32 reference_get(const struct reference *ref, u32 counter)
{
	return ref->words[counter / 16] >> (counter % 16 * 4) & 15;
}

static void reference_touch(struct reference *ref, const struct kvbm_hash *h)
{
	u32 rows[4], r;

	reference_rows(h, rows, ref->mask);
	for (r = 0; r < 4; r++)
		if (reference_get(ref, rows[r]) < 15)
			ref->words[rows[r] / 16] += 1ULL << (rows[r] % 16 * 4);
}

static u32 reference_estimate(const struct reference *ref, const struct kvbm_hash *h)
{
	u32 rows[4], r, least = 15;

	reference_rows(h, rows, ref->mask);
	for (r = 0; r < 4; r++)
		least = min(least, reference_get(ref, rows[r]));
	return least;
}

static void reference_vector(void)
{
	struct kvbm_hash key = { .hi = 0x0123456789ABCDEF, .lo = 0x0123456789ABCDEF };
	static const u32 low[] = { 0xE54C4229, 0x0FB2D1BB, 0xFD2CD8D7, 0x8E034B };
	u32 rows[4], r;

	reference_rows(&key, rows, (1 << 16) - 1);
	for (r = 0; r < 4; r++)
		EXPECT_EQ(rows[r] / 16, low[r] & 0xffff);
}

/*
 * A skewed load of so many keys, less than what would age it, against exact
 * counts; beside the reference's scheme in as much memory.
 */
static void accuracy_of(u32 capacity, u32 keys)
{
	struct reference ref = { .mask = capacity / 4 - 1 };
	u64 x = 1, ours = 0, theirs = 0, wrong = 0, wrong_theirs = 0;
	struct kvbm_sketch *s = sketch_of(capacity);
	u32 *exact = calloc(keys, sizeof(*exact));
	u32 i, key, touches = 3 * keys;
	struct kvbm_hash h;

	ref.words = calloc(capacity / 4, sizeof(*ref.words));
	for (i = 0; i < touches; i++) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		key = (x >> 33) % keys;
		/* The square of a uniform number: a few keys are used a lot. */
		key = (u64)key * key / keys;
		h = hash_of(key);
		kvbm_sketch_touch(s, &h);
		reference_touch(&ref, &h);
		exact[key]++;
	}
	for (i = 0; i < keys; i++) {
		u32 want = min(exact[i], 15U);
		u32 got;

		h = hash_of(i);
		got = kvbm_sketch_estimate(s, &h);
		EXPECT(got >= want);
		ours += got - want;
		wrong += got != want;
		got = reference_estimate(&ref, &h);
		EXPECT(got >= want);
		theirs += got - want;
		wrong_theirs += got != want;
	}
	printf("# capacity %u, %u keys: mean error %.3f, estimates wrong %.1f %%\n",
	       capacity, keys, (double)ours / keys, 100.0 * wrong / keys);
	printf("#	the reference's scheme: mean error %.3f, estimates wrong %.1f %%\n",
	       (double)theirs / keys, 100.0 * wrong_theirs / keys);
	EXPECT(ours * 2 < theirs);
	free(ref.words);
	free(exact);
	kvbm_sketch_free(s);
}

static void accuracy(void)
{
	const u32 capacity = 1 << 14;

	accuracy_of(capacity, capacity / 4);
	accuracy_of(capacity, capacity);
	accuracy_of(capacity, 3 * capacity);
}

#define THREADS	4

static struct kvbm_sketch *shared;

static void *touch_all(void *arg)
{
	struct kvbm_hash h;
	u32 i, k;

	for (k = 0; k < 3; k++) {
		for (i = 0; i < 1000; i++) {
			h = hash_of(i);
			kvbm_sketch_touch(shared, &h);
		}
	}
	return NULL;
}

/* Nothing is lost between threads, as long as nothing ages. */
static void threads(void)
{
	pthread_t t[THREADS];
	struct kvbm_hash h;
	u32 i;

	shared = sketch_of(1 << 14);
	for (i = 0; i < THREADS; i++)
		ASSERT_EQ(pthread_create(&t[i], NULL, touch_all, NULL), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (i = 0; i < 1000; i++) {
		h = hash_of(i);
		EXPECT(kvbm_sketch_estimate(shared, &h) >= 3 * THREADS);
	}
	kvbm_sketch_free(shared);
}

static void *touch_and_age(void *arg)
{
	struct kvbm_hash h;
	u32 i;

	for (i = 0; i < 50000; i++) {
		h = hash_of(i % 700);
		kvbm_sketch_touch(shared, &h);
		EXPECT(kvbm_sketch_estimate(shared, &h) <= 15);
	}
	return NULL;
}

static void threads_age(void)
{
	pthread_t t[THREADS];
	u32 i;

	shared = sketch_of(100);
	for (i = 0; i < THREADS; i++)
		ASSERT_EQ(pthread_create(&t[i], NULL, touch_and_age, NULL), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	kvbm_sketch_free(shared);
}

/* Who counts: once at the first registration, once for each hit. */
static void touched_exactly_once(void)
{
	struct kvbm_token t[4], got[8];
	struct kvbm_hash hashes[4], twice[3];
	struct kvbm_allocation a = { .count = 3, .tokens = got };
	struct kvbm_store *other;
	struct fixture f;
	u32 n, failed;

	ASSERT_EQ(kvbm_registry_alloc(32, KVBM_SCHEMA_PLH, &f.registry), 0);
	ASSERT_EQ(kvbm_registry_add_sketch(f.registry, 4096), 0);
	f.store = store_of(f.registry, config_of(16));
	other = store_of(f.registry, config_of(16));
	kvbm_holder_init(&f.holder, f.store);
	hashes_of(0, 4, hashes);

	#define USES(i)	kvbm_registry_frequency(f.registry, &hashes[i])
	ASSERT_EQ(take(&f.holder, 2, t), 0);
	ASSERT_EQ(kvbm_holder_stage(&f.holder, t, hashes, NULL, 2, BLOCK_SIZE, &failed), 0);
	EXPECT_EQ(USES(0), 0);
	ASSERT_EQ(kvbm_holder_register(&f.holder, t, NULL, 2, &failed), 0);
	EXPECT_EQ(USES(0), 1);
	/* A second registration of the hash is none. */
	ASSERT_EQ(take(&f.holder, 1, t + 2), 0);
	ASSERT_EQ(kvbm_holder_stage(&f.holder, t + 2, hashes, NULL, 1, BLOCK_SIZE,
				    &failed), 0);
	ASSERT_EQ(kvbm_holder_register(&f.holder, t + 2, NULL, 1, &failed), 0);
	EXPECT_EQ(USES(0), 1);
	/* Neither is a release, a probe, an upgrade or a clone. */
	ASSERT_EQ(kvbm_holder_clone(&f.holder, t, 1, &failed), 0);
	ASSERT_EQ(kvbm_holder_release(&f.holder, t, 1, (struct kvbm_release_hint){},
				      &failed), 0);
	got[0] = t[0];
	ASSERT_EQ(kvbm_holder_upgrade(&f.holder, hashes, got, 1, &n), 0);
	ASSERT_EQ(kvbm_store_probe(f.store, hashes, 2, &n), 0);
	EXPECT_EQ(USES(0), 1);
	/* A match is, for its hits. */
	ASSERT_EQ(kvbm_holder_match(&f.holder, hashes, 3, KVBM_LOOKUP_PREFIX, got, &n), 0);
	EXPECT_EQ(n, 2);
	EXPECT_EQ(USES(0), 2);
	EXPECT_EQ(USES(2), 0);
	/* Given twice, it is two. */
	twice[0] = hashes[0];
	twice[1] = hashes[3];
	twice[2] = hashes[0];
	ASSERT_EQ(kvbm_holder_match(&f.holder, twice, 3, KVBM_LOOKUP_SCATTERED, got, &n), 0);
	EXPECT_EQ(USES(0), 4);
	EXPECT_EQ(USES(3), 0);
	/* A scan only when asked, then each hash that is present anywhere. */
	ASSERT_EQ(kvbm_holder_match(&f.holder, twice, 3, KVBM_LOOKUP_SCAN, got, &n), 0);
	EXPECT_EQ(USES(0), 4);
	kvbm_registry_present(f.registry, kvbm_store_bit(other), &hashes[3], NULL);
	EXPECT_EQ(USES(3), 1);
	ASSERT_EQ(kvbm_holder_match(&f.holder, twice, 3, KVBM_LOOKUP_SCAN_TOUCH, got, &n),
		  0);
	EXPECT_EQ(n, 1);
	EXPECT_EQ(USES(0), 6);
	EXPECT_EQ(USES(3), 2);
	kvbm_registry_absent(f.registry, kvbm_store_bit(other), &hashes[3], NULL);
	/* A match with allocation, when it succeeds. */
	ASSERT_EQ(kvbm_holder_acquire(&f.holder, hashes, 2, &a, &n), 0);
	EXPECT_EQ(n, 2);
	EXPECT_EQ(USES(1), 3);
	a.count = 1000;
	a.tokens = calloc(1000, sizeof(*a.tokens));
	EXPECT_EQ(kvbm_holder_acquire(&f.holder, hashes, 2, &a, &n), -ENOSPC);
	EXPECT_EQ(USES(1), 3);
	free(a.tokens);
	#undef USES
	kvbm_store_free(other);
	tear_down(&f);
}

/* Held blocks and cached ones alike, once for each that was returned. */
static void touches_by_state(void)
{
	struct kvbm_hash hashes[6];
	struct kvbm_token t[4], got[6];
	struct fixture f;
	u32 n, i;

	ASSERT_EQ(kvbm_registry_alloc(16, KVBM_SCHEMA_PLH, &f.registry), 0);
	ASSERT_EQ(kvbm_registry_add_sketch(f.registry, 1 << 20), 0);
	f.store = store_of(f.registry, config_of(16));
	kvbm_holder_init(&f.holder, f.store);
	hashes_of(0, 6, hashes);
	fill(&f.holder, 0, 4, t);
	ASSERT_EQ(give(&f.holder, 2, t + 2), 0);

	#define EXPECT_USES(uses) do {						\
		for (i = 0; i < 6; i++)						\
			EXPECT_EQ(kvbm_registry_frequency(f.registry, &hashes[i]), \
				  i < 4 ? (uses) : 0);				\
	} while (0)
	EXPECT_USES(1);
	/* Two that are held, two that are cached, a miss. */
	ASSERT_EQ(kvbm_holder_match(&f.holder, hashes, 6, KVBM_LOOKUP_PREFIX, got, &n), 0);
	EXPECT_EQ(n, 4);
	EXPECT_USES(2);
	ASSERT_EQ(give(&f.holder, 4, got), 0);
	ASSERT_EQ(kvbm_holder_match(&f.holder, hashes, 6, KVBM_LOOKUP_SCAN, got, &n), 0);
	EXPECT_EQ(n, 4);
	EXPECT_USES(2);
	ASSERT_EQ(give(&f.holder, 4, got), 0);
	ASSERT_EQ(kvbm_holder_match(&f.holder, hashes, 6, KVBM_LOOKUP_SCAN_TOUCH, got, &n),
		  0);
	EXPECT_USES(3);
	ASSERT_EQ(give(&f.holder, 4, got), 0);
	/* Nothing found, nothing touched, before the miss or after. */
	ASSERT_EQ(kvbm_holder_match(&f.holder, hashes + 4, 2, KVBM_LOOKUP_PREFIX, got, &n),
		  0);
	ASSERT_EQ(kvbm_holder_match(&f.holder, hashes + 4, 2, KVBM_LOOKUP_SCATTERED, got,
				    &n), 0);
	ASSERT_EQ(kvbm_holder_match(&f.holder, hashes + 4, 2, KVBM_LOOKUP_SCAN_TOUCH, got,
				    &n), 0);
	EXPECT_USES(3);
	#undef EXPECT_USES
	tear_down(&f);
}

/* A registry without a sketch counts nothing, and nobody minds. */
static void without_a_sketch(void)
{
	struct kvbm_hash h = hash_of(0);
	struct kvbm_token t[4];
	struct fixture f;
	u32 n;

	set_up(&f, 8);
	EXPECT(!kvbm_registry_has_sketch(f.registry));
	cache(&f.holder, 0, 4);
	ASSERT_EQ(match(&f.holder, 0, 4, t, &n), 0);
	EXPECT_EQ(n, 4);
	kvbm_registry_touch(f.registry, &h);
	EXPECT_EQ(kvbm_registry_frequency(f.registry, &h), 0);
	tear_down(&f);
}

static const struct tap_test tests[] = {
	TEST(counts_to_fifteen),
	TEST(saturated_does_not_age),
	TEST(ages_at_ten_times_capacity),
	TEST(four_become_two),
	TEST(halving_stays_in_its_counter),
	TEST(both_halves_count),
	TEST(forgets),
	TEST(any_capacity),
	TEST(reference_vector),
	TEST(accuracy),
	TEST(threads),
	TEST(threads_age),
	TEST(touched_exactly_once),
	TEST(touches_by_state),
	TEST(without_a_sketch),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
