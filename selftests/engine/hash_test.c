// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Positional lineage hashes: packing, taking apart, and what is valid.
 */
#include "fixture.h"

static void plh_vectors(void)
{
	static const struct {
		u64 current;
		u64 parent;
		u32 position;
		struct kvbm_hash hash;
	} v[] = {
		{ 0x1234567890abcdef, 0xfedcba9876543210, 100,
		  { .hi = 0x19048d159e242af3, .lo = 0x7bdcba9876543210 } },
		{ 0x1234567890abcdef, 0xfedcba9876543210, 1000,
		  { .hi = 0x40fa048d159e242a, .lo = 0xf37bfa9876543210 } },
		{ 0x1234567890abcdef, 0xfedcba9876543210, 100000,
		  { .hi = 0x8061a8048d159e24, .lo = 0x2af37bd876543210 } },
		{ 0xabcdef0123456789, 0x1234567890abcdef, 256,
		  { .hi = 0x40402af37bc048d1, .lo = 0x59e2567890abcdef } },
		{ 0x5555666677778888, 0x1111222233334444, 65536,
		  { .hi = 0x804000155559999d, .lo = 0xdde2222233334444 } },
		{ 0x1234567890abcdef, 0, 0,
		  { .hi = 0x00048d159e242af3, .lo = 0x7bc0000000000000 } },
		/* A chain: tokens 0 to 11 in blocks of 4. */
		{ 0xa1d0bd893c9531ac, 0, 0,
		  { .hi = 0x0028742f624f254c, .lo = 0x6b00000000000000 } },
		{ 0x485a98a2c350d61a, 0xa1d0bd893c9531ac, 1,
		  { .hi = 0x005216a628b0d435, .lo = 0x8690bd893c9531ac } },
		{ 0x796623d02e0e6f32, 0x485a98a2c350d61a, 2,
		  { .hi = 0x009e5988f40b839b, .lo = 0xcc9a98a2c350d61a } },
	};
	struct kvbm_hash hash;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		EXPECT_EQ(kvbm_plh(v[i].current, v[i].parent, v[i].position, &hash), 0);
		EXPECT_EQ(hash.hi, v[i].hash.hi);
		EXPECT_EQ(hash.lo, v[i].hash.lo);
		EXPECT_EQ(kvbm_plh_position(&hash), v[i].position);
		EXPECT(kvbm_plh_valid(&hash));
	}
}

static void plh_boundaries(void)
{
	static const struct {
		u32 position;
		u32 mode;
		u32 bits;
	} v[] = {
		{ 0, 0, 54 }, { 1, 0, 54 }, { 255, 0, 54 },
		{ 256, 1, 46 }, { 65535, 1, 46 },
		{ 65536, 2, 38 }, { (1 << 24) - 1, 2, 38 },
	};
	struct kvbm_hash hash;
	u64 fragment;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		EXPECT_EQ(kvbm_plh(~0ULL, ~0ULL, v[i].position, &hash), 0);
		EXPECT_EQ(kvbm_plh_mode(&hash), v[i].mode);
		EXPECT_EQ(kvbm_plh_position(&hash), v[i].position);
		EXPECT_EQ(kvbm_plh_fragment_bits(v[i].mode), v[i].bits);
		fragment = v[i].position ? (1ULL << v[i].bits) - 1 : 0;
		EXPECT_EQ(kvbm_plh_fragment(&hash), fragment);
		EXPECT(kvbm_plh_valid(&hash));
	}
}

static void plh_position_too_large(void)
{
	struct kvbm_hash hash = { 1, 2 };

	EXPECT_EQ(kvbm_plh(1, 1, 1 << 24, &hash), -EOVERFLOW);
	EXPECT_EQ(kvbm_plh(1, 1, ~0U, &hash), -EOVERFLOW);
	EXPECT_EQ(hash.lo, 1);
	EXPECT_EQ(hash.hi, 2);
}

static void plh_root_ignores_parent(void)
{
	struct kvbm_hash a, b;

	EXPECT_EQ(kvbm_plh(77, 0, 0, &a), 0);
	EXPECT_EQ(kvbm_plh(77, ~0ULL, 0, &b), 0);
	EXPECT(kvbm_hash_equal(&a, &b));
}

/* The hash of one block must not exist twice. */
static void plh_valid(void)
{
	struct kvbm_hash hash;
	u32 position, mode;

	/* Mode 3, with any position. */
	hash = (struct kvbm_hash){ .hi = 3ULL << 62 };
	EXPECT(!kvbm_plh_valid(&hash));
	hash = (struct kvbm_hash){ .hi = ~0ULL, .lo = ~0ULL };
	EXPECT(!kvbm_plh_valid(&hash));

	/* A root with a parent. */
	hash = (struct kvbm_hash){ .lo = 1 };
	EXPECT(!kvbm_plh_valid(&hash));
	hash = (struct kvbm_hash){ .lo = 1ULL << 53 };
	EXPECT(!kvbm_plh_valid(&hash));
	hash = (struct kvbm_hash){ .lo = 1ULL << 54 };
	EXPECT(kvbm_plh_valid(&hash));

	/* A position in a mode that is larger than it needs. */
	for (mode = 1; mode < KVBM_PLH_MODES; mode++) {
		position = 1U << kvbm_plh_position_bits(mode - 1);
		hash.lo = 0;
		hash.hi = (u64)mode << 62 |
			  (u64)(position - 1) << kvbm_plh_fragment_bits(mode);
		EXPECT_EQ(kvbm_plh_position(&hash), position - 1);
		EXPECT(!kvbm_plh_valid(&hash));
		hash.hi = (u64)mode << 62 |
			  (u64)position << kvbm_plh_fragment_bits(mode);
		EXPECT_EQ(kvbm_plh_position(&hash), position);
		EXPECT(kvbm_plh_valid(&hash));
		hash.hi = (u64)mode << 62;
		EXPECT(!kvbm_plh_valid(&hash));
	}
}

/* Staging goes by the schema of the registry. */
static void schema_decides(void)
{
	struct kvbm_hash bad = { .hi = 3ULL << 62 }, good = hash_of(0);
	struct kvbm_hash both[2] = { good, bad };
	struct kvbm_token tokens[2];
	struct kvbm_holder holder;
	struct kvbm_store *store;
	struct fixture f;
	u32 failed = 77;
	struct dump *d;

	set_up(&f, 4);
	ASSERT_EQ(take(&f.holder, 2, tokens), 0);
	d = dump_of(&f);
	EXPECT_EQ(kvbm_holder_stage(&f.holder, tokens, both, NULL, 2, BLOCK_SIZE,
				    &failed), -EILSEQ);
	EXPECT_EQ(failed, 1);
	EXPECT_UNCHANGED(&f, d);
	tear_down(&f);

	ASSERT_EQ(kvbm_registry_alloc(4, KVBM_SCHEMA_OPAQUE, &f.registry), 0);
	store = store_of(f.registry, config_of(4));
	kvbm_holder_init(&holder, store);
	ASSERT_EQ(take(&holder, 2, tokens), 0);
	EXPECT_EQ(kvbm_holder_stage(&holder, tokens, both, NULL, 2, BLOCK_SIZE,
				    &failed), 0);
	end_holder(&holder);
	kvbm_store_free(store);
	kvbm_registry_free(f.registry);
}

/* Tables are keyed: the same hashes lie elsewhere in the next store. */
static void tables_are_keyed(void)
{
	struct kvbm_key a, b;
	u32 i, differ = 0;

	kvbm_key_init(&a);
	kvbm_key_init(&b);
	for (i = 0; i < 64; i++) {
		struct kvbm_hash hash = hash_of(i);

		differ += kvbm_key_hash(&a, &hash) != kvbm_key_hash(&b, &hash);
	}
	EXPECT(differ > 60);
}

/* Every bit of a hash counts, whatever the key. */
static void every_bit_counts(void)
{
	struct kvbm_hash hash = hash_of(5), other;
	struct kvbm_key key;
	u32 bit, differ = 0;

	kvbm_key_init(&key);
	for (bit = 0; bit < 128; bit++) {
		other = hash;
		if (bit < 64)
			other.lo ^= 1ULL << bit;
		else
			other.hi ^= 1ULL << (bit - 64);
		EXPECT(!kvbm_hash_equal(&hash, &other));
		differ += kvbm_key_hash(&key, &hash) != kvbm_key_hash(&key, &other);
	}
	EXPECT(differ > 124);
}

static const struct tap_test tests[] = {
	TEST(plh_vectors),
	TEST(plh_boundaries),
	TEST(plh_position_too_large),
	TEST(plh_root_ignores_parent),
	TEST(plh_valid),
	TEST(schema_decides),
	TEST(tables_are_keyed),
	TEST(every_bit_counts),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
