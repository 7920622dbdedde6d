// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * From tokens to hashes: the vectors of the reference and computed ones, packing
 * and taking apart, text and wire forms.
 */
#include "token_fixture.h"

/* Block hash and sequence hash of tokens 1 to 12 in blocks of 4. */
static const uint64_t vectors[3][2] = {
	{ 14643705804678351452ULL, 14643705804678351452ULL },
	{ 16777012769546811212ULL, 4945711292740353085ULL },
	{ 483935686894639516ULL, 12583592247330656132ULL },
};

static void reference_vectors(void)
{
	struct kvbm_token_seq *seq = seq_of(1, 12);
	uint64_t parent = 0;
	size_t i;

	for (i = 0; i < 3; i++) {
		struct kvbm_token_block block = block_of(seq, i);
		uint32_t *tokens = iota(4 * i + 1, 4);

		EXPECT_EQ(kvbm_block_hash(tokens, 4, SALT), vectors[i][0]);
		EXPECT_EQ(block.block_hash, vectors[i][0]);
		EXPECT_EQ(block.sequence_hash, vectors[i][1]);
		if (i)
			EXPECT_EQ(kvbm_next_sequence_hash(parent, vectors[i][0]),
				  vectors[i][1]);
		parent = vectors[i][1];
		free(tokens);
	}
	kvbm_token_seq_free(seq);
}

/* The bytes are little-endian, whatever they were in memory. */
static void byte_encoding(void)
{
	static const uint8_t block[] = {
		1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0
	};
	static const uint8_t chain[] = {
		8, 7, 6, 5, 4, 3, 2, 1, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11
	};
	static const uint32_t tokens[] = { 1, 2, 3, 4 };

	EXPECT_EQ(kvbm_hash_bytes(block, sizeof(block), SALT), vectors[0][0]);
	EXPECT_EQ(kvbm_block_hash(tokens, 4, SALT), vectors[0][0]);
	EXPECT_EQ(kvbm_next_sequence_hash(0x0102030405060708, 0x1112131415161718),
		  kvbm_hash_bytes(chain, sizeof(chain), KVBM_CHAIN_SEED));
}

/*
 * With a salt that is not the chain seed, so that one in the place of the other
 * shows.
 */
static void other_salts(void)
{
	static const struct {
		uint64_t salt;
		struct {
			uint64_t block;
			uint64_t sequence;
			struct kvbm_hash plh;
		} at[3];
	} v[] = {
		{ 0, {
			{ 0xa1d0bd893c9531ac, 0xa1d0bd893c9531ac,
			  { .hi = 0x0028742f624f254c, .lo = 0x6b00000000000000 } },
			{ 0xf0bf80b0226b6c14, 0x485a98a2c350d61a,
			  { .hi = 0x005216a628b0d435, .lo = 0x8690bd893c9531ac } },
			{ 0x9e4292f7184dea90, 0x796623d02e0e6f32,
			  { .hi = 0x009e5988f40b839b, .lo = 0xcc9a98a2c350d61a } },
		} },
		{ 42, {
			{ 0x85fc4b7513958f63, 0x85fc4b7513958f63,
			  { .hi = 0x00217f12dd44e563, .lo = 0xd8c0000000000000 } },
			{ 0x35c7da70a8c7504f, 0xf82388d452ed4af9,
			  { .hi = 0x007e08e23514bb52, .lo = 0xbe7c4b7513958f63 } },
			{ 0xe8cc884e2ce4ca1e, 0x0dbbbc8db1cfb74c,
			  { .hi = 0x00836eef236c73ed, .lo = 0xd32388d452ed4af9 } },
		} },
	};
	uint32_t *tokens = iota(0, 12);
	size_t i, at;

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		struct kvbm_token_seq *seq = seq_of_with(tokens, 12, 4, v[i].salt);

		EXPECT_EQ(kvbm_token_seq_salt_hash(seq), v[i].salt);
		for (at = 0; at < 3; at++) {
			struct kvbm_token_block block = block_of(seq, at);

			EXPECT_EQ(block.block_hash, v[i].at[at].block);
			EXPECT_EQ(block.sequence_hash, v[i].at[at].sequence);
			EXPECT_HASH(block.plh, v[i].at[at].plh.hi, v[i].at[at].plh.lo);
			EXPECT_EQ(block.salt_hash, v[i].salt);
		}
		kvbm_token_seq_free(seq);
	}
	free(tokens);
}

static void salt_payloads(void)
{
	EXPECT_EQ(kvbm_salt_hash(NULL, 0), 0x2d06800538d394c2);
	EXPECT_EQ(kvbm_salt_hash("", 0), 0x2d06800538d394c2);
	EXPECT_EQ(kvbm_salt_hash("model", 5), 0x72347b00c5cd9f16);
	EXPECT_EQ(kvbm_hash_bytes("model", 5, 0), 0x72347b00c5cd9f16);
	EXPECT(kvbm_hash_bytes("model", 5, 1) != 0x72347b00c5cd9f16);
}

/* XXH3 has another loop for each: 4, 64, 192, 256 bytes. */
static void length_classes(void)
{
	static const struct {
		uint32_t block_size;
		uint64_t salt;
		size_t tokens;
		size_t position;
		uint64_t block;		/* 0: not known */
		uint64_t sequence;	/* 0: not known */
	} v[] = {
		{ 1, 0, 3, 0, 0, 0x48b2c92616fc193d },
		{ 1, 0, 3, 1, 0, 0x17da1ae5a8aef1a2 },
		{ 1, 0, 3, 2, 0, 0xd9a10dcb58574c0b },
		{ 16, SALT, 32, 0, 0xd47a8f41c833328a, 0xd47a8f41c833328a },
		{ 16, SALT, 32, 1, 0xd43939178abd00db, 0xbf15dffb16447f38 },
		{ 48, SALT, 48, 0, 0xf3402418eb052230, 0xf3402418eb052230 },
		{ 64, SALT, 128, 0, 0x304d910e689e42bf, 0x304d910e689e42bf },
		{ 64, SALT, 128, 1, 0x2e0cebb8f3781524, 0x23bd5ef232e90ecb },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		uint32_t *tokens = iota(0, v[i].tokens);
		struct kvbm_token_seq *seq = seq_of_with(tokens, v[i].tokens,
							 v[i].block_size, v[i].salt);
		struct kvbm_token_block block = block_of(seq, v[i].position);

		if (v[i].block)
			EXPECT_EQ(block.block_hash, v[i].block);
		EXPECT_EQ(block.sequence_hash, v[i].sequence);
		EXPECT_EQ(block.block_size, v[i].block_size);
		kvbm_token_seq_free(seq);
		free(tokens);
	}
}

/* A long sequence, through all modes. */
static void long_chain(void)
{
	static const struct {
		uint32_t position;
		uint64_t sequence;
		struct kvbm_hash plh;
	} v[] = {
		{ 16, 0x52907f748e11e96c,
		  { .hi = 0x0414a41fdd23847a, .lo = 0x5b0699a78fce6afd } },
		{ 255, 0x47cf46a2e8fcc8f7,
		  { .hi = 0x3fd1f3d1a8ba3f32, .lo = 0x3dd4d5962ff27938 } },
		{ 256, 0x00336ee720990cf6,
		  { .hi = 0x4040000cdbb9c826, .lo = 0x433d86a2e8fcc8f7 } },
		{ 257, 0xd684cd236084e8e8,
		  { .hi = 0x404075a13348d821, .lo = 0x3a3a2ee720990cf6 } },
		{ 65535, 0x259b523e5dd870bd,
		  { .hi = 0x7fffc966d48f9776, .lo = 0x1c2f5f2ce6437571 } },
		{ 65536, 0x93fcdc1b0384f358,
		  { .hi = 0x80400024ff3706c0, .lo = 0xe13cd63e5dd870bd } },
		{ 65537, 0x954bc5b04d78c58c,
		  { .hi = 0x8040006552f16c13, .lo = 0x5e31631b0384f358 } },
	};
	struct kvbm_token_seq *seq = seq_of(0, 4 * 65538);
	const struct kvbm_hash *hashes = kvbm_token_seq_hashes(seq, NULL);
	const uint64_t *block_hashes = kvbm_token_seq_block_hashes(seq, NULL);
	struct kvbm_hash plh;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		struct kvbm_token_block block = block_of(seq, v[i].position);

		EXPECT_EQ(block.sequence_hash, v[i].sequence);
		EXPECT_EQ(block.position, v[i].position);
		EXPECT_HASH(block.plh, v[i].plh.hi, v[i].plh.lo);
		EXPECT(kvbm_plh_is_child(&hashes[v[i].position],
					 &hashes[v[i].position - 1]));
	}
	/* Extending the root hash block by block comes to the same. */
	EXPECT_EQ(kvbm_plh(block_hashes[0], 0, 0, &plh), 0);
	for (i = 1; i < 65538; i++) {
		ASSERT_EQ(kvbm_plh_extend(&plh, block_hashes[i], &plh), 0);
		ASSERT_EQ(kvbm_hash_compare(&plh, &hashes[i]), 0);
		ASSERT(kvbm_hash_compare(&hashes[i], &hashes[i - 1]) > 0);
	}
	kvbm_token_seq_free(seq);
}

static void plh_modes(void)
{
	static const struct {
		uint32_t position;
		uint32_t mode;
		uint32_t bits;
	} v[] = {
		{ 0, 0, 54 }, { 1, 0, 54 }, { 100, 0, 54 }, { 255, 0, 54 },
		{ 256, 1, 46 }, { 1000, 1, 46 }, { 65535, 1, 46 },
		{ 65536, 2, 38 }, { 100000, 2, 38 }, { KVBM_MAX_POSITIONS - 1, 2, 38 },
	};
	const uint64_t current = 0x1234567890abcdef, parent = 0xfedcba9876543210;
	struct kvbm_plh_parts parts;
	struct kvbm_hash hash;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		EXPECT_EQ(kvbm_plh(current, parent, v[i].position, &hash), 0);
		parts = parts_of(&hash);
		EXPECT_EQ(parts.position, v[i].position);
		EXPECT_EQ(parts.mode, v[i].mode);
		EXPECT_EQ(parts.fragment_bits, v[i].bits);
		EXPECT_EQ(parts.current, current);
		EXPECT_EQ(parts.parent_fragment,
			  v[i].position ? parent & ((1ULL << v[i].bits) - 1) : 0);
	}
	/* The same parts are the same hash, and any other part is another. */
	EXPECT_EQ(kvbm_plh(0x1234, 0x5678, 10, &hash), 0);
	EXPECT(hash.hi || hash.lo);
	for (i = 0; i < 4; i++) {
		struct kvbm_hash other;

		EXPECT_EQ(kvbm_plh(0x1234 + (i == 1), 0x5678 + (i == 2),
				   10 + (i == 3), &other), 0);
		EXPECT_EQ(!kvbm_hash_compare(&hash, &other), !i);
	}
}

static void plh_last_position(void)
{
	struct kvbm_hash hash = { .lo = 1, .hi = 2 }, last;
	uint64_t fragment = 77;

	EXPECT_EQ(kvbm_plh(1, 2, KVBM_MAX_POSITIONS, &hash), -EOVERFLOW);
	EXPECT_EQ(kvbm_plh(1, 2, UINT32_MAX, &hash), -EOVERFLOW);
	EXPECT_EQ(kvbm_plh(1, 2, KVBM_MAX_POSITIONS - 1, &last), 0);
	EXPECT_EQ(kvbm_plh_extend(&last, 3, &hash), -EOVERFLOW);
	EXPECT_EQ(kvbm_plh_child_fragment(&last, KVBM_MAX_POSITIONS, &fragment),
		  -EOVERFLOW);
	EXPECT_HASH(hash, 2, 1);
	EXPECT_EQ(fragment, 77);
}

static void plh_refuses_others(void)
{
	static const struct kvbm_hash bad[] = {
		{ .hi = 3ULL << 62 },		/* mode 3 */
		{ .lo = 1 },			/* a root that has a parent */
		{ .hi = 1ULL << 62 },		/* position 0 in mode 1 */
	};
	const struct kvbm_hash root = { .hi = 0 };
	struct kvbm_plh_parts parts = { .position = 77 };
	struct kvbm_hash hash = { .lo = 1, .hi = 2 };
	char text[KVBM_PLH_TEXT_SIZE] = "unchanged";
	uint64_t fragment = 77;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(kvbm_plh_unpack(&bad[i], &parts), -EILSEQ);
		EXPECT_EQ(kvbm_plh_extend(&bad[i], 3, &hash), -EILSEQ);
		EXPECT_EQ(kvbm_plh_child_fragment(&bad[i], 1, &fragment), -EILSEQ);
		EXPECT_EQ(kvbm_plh_format(&bad[i], text), -EILSEQ);
		EXPECT(!kvbm_plh_is_child(&bad[i], &root));
		EXPECT(!kvbm_plh_is_child(&root, &bad[i]));
	}
	EXPECT_EQ(parts.position, 77);
	EXPECT_HASH(hash, 2, 1);
	EXPECT_EQ(fragment, 77);
	EXPECT(!strcmp(text, "unchanged"));
	/* All zeroes is the hash of a root. */
	EXPECT_EQ(kvbm_plh_unpack(&root, &parts), 0);
	EXPECT_EQ(parts.position, 0);
	EXPECT_EQ(parts.current, 0);
}

/* The mode of the child decides how much of its parent it knows. */
static void plh_child_across_modes(void)
{
	static const uint32_t positions[] = { 0, 254, 255, 256, 65534, 65535, 65536 };
	static const uint32_t bits[] = { 54, 54, 46, 46, 46, 38, 38 };
	const uint64_t current = 0xfedcba9876543210;
	struct kvbm_hash parent, child, other;
	uint64_t fragment;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(positions); i++) {
		EXPECT_EQ(kvbm_plh(current, 5, positions[i], &parent), 0);
		EXPECT_EQ(kvbm_plh_extend(&parent, 0xabcdef, &child), 0);
		EXPECT_EQ(parts_of(&child).current,
			  kvbm_next_sequence_hash(current, 0xabcdef));
		EXPECT_EQ(kvbm_plh_child_fragment(&parent, positions[i] + 1,
						  &fragment), 0);
		EXPECT_EQ(fragment, current & ((1ULL << bits[i]) - 1));
		EXPECT_EQ(parts_of(&child).parent_fragment, fragment);
		EXPECT(kvbm_plh_is_child(&child, &parent));
		EXPECT(!kvbm_plh_is_child(&parent, &child));
		/* The fragment alone is not enough. */
		EXPECT_EQ(kvbm_plh(1, current, positions[i] + 2, &other), 0);
		EXPECT(!kvbm_plh_is_child(&other, &parent));
		EXPECT_EQ(kvbm_plh(1, current ^ 1, positions[i] + 1, &other), 0);
		EXPECT(!kvbm_plh_is_child(&other, &parent));
	}
}

/* Blocks of the same tokens in the same place differ when what was before does. */
static void plh_extend_equals_blocks(void)
{
	static const uint64_t salts[] = { 0, 42, SALT };
	struct kvbm_hash last[ARRAY_SIZE(salts)], plh;
	uint32_t *tokens = iota(1, 12);
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(salts); i++) {
		struct kvbm_token_seq *seq = seq_of_with(tokens, 12, 4, salts[i]);

		EXPECT_EQ(kvbm_plh(kvbm_block_hash(tokens, 4, salts[i]), 0, 0, &plh), 0);
		for (j = 0; j < 3; j++) {
			struct kvbm_token_block block = block_of(seq, j);

			if (j)
				EXPECT_EQ(kvbm_plh_extend(&plh, block.block_hash,
							  &plh), 0);
			EXPECT_EQ(kvbm_hash_compare(&plh, &block.plh), 0);
		}
		last[i] = plh;
		for (j = 0; j < i; j++)
			EXPECT(kvbm_hash_compare(&last[i], &last[j]));
		kvbm_token_seq_free(seq);
	}
	free(tokens);
}

static int compare(const void *a, const void *b)
{
	return kvbm_hash_compare(a, b);
}

static void order(void)
{
	/* Position, then sequence hash, then parent. */
	static const struct {
		uint64_t current;
		uint64_t parent;
		uint32_t position;
	} v[] = {
		{ 0x30, 0, 0 }, { 0x99, 0x2222, 3 }, { 0x10, 0x1111, 5 },
		{ 0x20, 0x100, 5 }, { 0x20, 0x200, 5 }, { 1, 0x3333, 6 },
		{ 9, ~0ULL, 255 }, { 8, 0, 256 }, { ~0ULL, 1, 65535 },
		{ 0, 1, 65536 }, { 0, 0, KVBM_MAX_POSITIONS - 1 },
	};
	struct kvbm_hash sorted[ARRAY_SIZE(v)], mixed[ARRAY_SIZE(v)];
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		EXPECT_EQ(kvbm_plh(v[i].current, v[i].parent, v[i].position,
				   &sorted[i]), 0);
		mixed[i * 7 % ARRAY_SIZE(v)] = sorted[i];
	}
	for (i = 0; i < ARRAY_SIZE(v); i++)
		for (j = 0; j < ARRAY_SIZE(v); j++)
			EXPECT_EQ(kvbm_hash_compare(&sorted[i], &sorted[j]),
				  (i > j) - (i < j));
	qsort(mixed, ARRAY_SIZE(v), sizeof(*mixed), compare);
	EXPECT(!memcmp(mixed, sorted, sizeof(sorted)));
}

static void text(void)
{
	static const struct {
		struct kvbm_hash hash;
		const char *text;
	} v[] = {
		{ { .hi = 0x0032ce3935fecb72, .lo = 0x9700000000000000 },
		  "0:azWbh91idkf" },
		{ { .hi = 0x005128ac8de75b4f, .lo = 0x0f78e4d7fb2dca5c },
		  "1:CUrLYDFnmBa:13A3sGnbCSf" },
		{ { .hi = 0x00aba8799e9b2033, .lo = 0xe122b2379d6d3c3d },
		  "2:WD9tZKnMfx7:12KG5vAW7Me" },
		/* Each leading zero byte is a 1. */
		{ { .hi = 0 }, "0:11111111" },
		{ { .lo = 1ULL << 54 }, "0:11111112" },
	};
	char text[KVBM_PLH_TEXT_SIZE];
	struct kvbm_hash hash;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		EXPECT_EQ(kvbm_plh_format(&v[i].hash, text), strlen(v[i].text));
		EXPECT(!strcmp(text, v[i].text));
	}
	/* The longest there is. */
	EXPECT_EQ(kvbm_plh(~0ULL, ~0ULL, KVBM_MAX_POSITIONS - 1, &hash), 0);
	EXPECT_EQ(kvbm_plh_format(&hash, text), strlen(text));
	EXPECT(strlen(text) < KVBM_PLH_TEXT_SIZE);
	EXPECT(!strncmp(text, "16777215:jpXCZedGfVQ:", 21));
}

static void psh_modes(void)
{
	static const struct {
		uint32_t position;
		uint32_t mode;
		uint32_t bits;
	} v[] = {
		{ 0, 0, 54 }, { 42, 0, 54 }, { 255, 0, 54 },
		{ 256, 1, 46 }, { 65535, 1, 46 },
		{ 65536, 2, 38 }, { 100000, 2, 38 }, { (1 << 24) - 1, 2, 38 },
		{ 1 << 24, 3, 31 }, { 100000000, 3, 31 }, { INT32_MAX, 3, 31 },
	};
	const uint64_t sequence = 0x1234567890abcdef, block = 0xfedcba9876543210;
	struct kvbm_psh_parts parts;
	struct kvbm_psh psh, again;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		EXPECT_EQ(kvbm_psh(sequence, v[i].position, block, &psh), 0);
		EXPECT_EQ(psh.value.lo, sequence);
		kvbm_psh_unpack(&psh, &parts);
		EXPECT_EQ(parts.sequence_hash, sequence);
		EXPECT_EQ(parts.position, v[i].position);
		EXPECT_EQ(parts.mode, v[i].mode);
		EXPECT_EQ(parts.fragment_bits, v[i].bits);
		EXPECT_EQ(parts.block_fragment, block & ((1ULL << v[i].bits) - 1));
		EXPECT_EQ(kvbm_psh(sequence, v[i].position, block, &again), 0);
		EXPECT_EQ(kvbm_hash_compare(&psh.value, &again.value), 0);
	}
	EXPECT_EQ(kvbm_psh(1, 1U << 31, 1, &psh), -EOVERFLOW);
	EXPECT_EQ(kvbm_psh(1, UINT32_MAX, 1, &psh), -EOVERFLOW);
	EXPECT_EQ(kvbm_hash_compare(&psh.value, &again.value), 0);
}

static void positions_of_both_kinds(void)
{
	struct kvbm_psh_parts parts;
	struct kvbm_hash plh;
	struct kvbm_psh psh;

	EXPECT_EQ(kvbm_psh(0x1234, 42, 0xabcd, &psh), 0);
	kvbm_psh_unpack(&psh, &parts);
	EXPECT_EQ(parts.position, 42);
	EXPECT_EQ(kvbm_plh(0x1234, 0, 99, &plh), 0);
	EXPECT_EQ(parts_of(&plh).position, 99);
}

static void psh_vectors(void)
{
	struct kvbm_token_seq *seq = seq_of(1, 8);

	EXPECT_HASH(block_of(seq, 0).psh.value, 0x0038e4d7fb2dca5c, 0xcb38e4d7fb2dca5c);
	EXPECT_HASH(block_of(seq, 1).psh.value, 0x0053ec39b907b74c, 0x44a2b2379d6d3c3d);
	kvbm_token_seq_free(seq);
}

static void wire(void)
{
	static const uint8_t bytes[KVBM_WIRE_SIZE] = {
		0x00, 0x51, 0x28, 0xac, 0x8d, 0xe7, 0x5b, 0x4f,
		0x0f, 0x78, 0xe4, 0xd7, 0xfb, 0x2d, 0xca, 0x5c,
	};
	struct kvbm_hash hash = { .lo = 1, .hi = 2 };
	uint8_t out[KVBM_WIRE_SIZE];
	struct kvbm_psh psh, back;

	EXPECT_EQ(kvbm_hash_from_wire(bytes, 15, &hash), -EINVAL);
	EXPECT_EQ(kvbm_hash_from_wire(bytes, 17, &hash), -EINVAL);
	EXPECT_EQ(kvbm_hash_from_wire(bytes, 0, &hash), -EINVAL);
	EXPECT_HASH(hash, 2, 1);
	EXPECT_EQ(kvbm_hash_from_wire(bytes, sizeof(bytes), &hash), 0);
	EXPECT_HASH(hash, 0x005128ac8de75b4f, 0x0f78e4d7fb2dca5c);
	kvbm_hash_to_wire(&hash, out);
	EXPECT(!memcmp(out, bytes, sizeof(bytes)));
	/* Bytes sort as the hashes do. */
	EXPECT_EQ(kvbm_psh(0xdeadbeefcafebabe, 12345, 0x0123456789abcdef, &psh), 0);
	kvbm_hash_to_wire(&psh.value, out);
	EXPECT_EQ(memcmp(out, bytes, sizeof(bytes)) > 0,
		  kvbm_hash_compare(&psh.value, &hash) > 0);
	EXPECT_EQ(kvbm_hash_from_wire(out, sizeof(out), &back.value), 0);
	EXPECT_EQ(kvbm_hash_compare(&psh.value, &back.value), 0);
}

/* The same hashes without a sequence, whatever is behind the last block. */
static void hash_blocks(void)
{
	struct kvbm_hash hashes[3], untouched = { .lo = 1, .hi = 2 };
	uint32_t *tokens = iota(1, 12);
	uint64_t block_hashes[3];
	size_t i;

	hashes[2] = untouched;
	block_hashes[2] = 77;
	EXPECT_EQ(kvbm_hash_blocks(tokens, 11, NULL, 0, 4, SALT, hashes,
				   block_hashes), 2);
	EXPECT_EQ(kvbm_hash_compare(&hashes[2], &untouched), 0);
	EXPECT_EQ(block_hashes[2], 77);
	EXPECT_EQ(kvbm_hash_blocks(tokens, 12, NULL, 0, 4, SALT, hashes, NULL), 3);
	EXPECT_EQ(block_hashes[2], 77);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(parts_of(&hashes[i]).current, vectors[i][1]);
		if (i < 2)
			EXPECT_EQ(block_hashes[i], vectors[i][0]);
	}
	EXPECT_EQ(kvbm_hash_blocks(NULL, 0, NULL, 0, 4, SALT, NULL, NULL), 0);
	EXPECT_EQ(kvbm_hash_blocks(tokens, 3, NULL, 0, 4, SALT, NULL, NULL), 0);
	EXPECT_EQ(kvbm_hash_blocks(tokens, 12, NULL, 0, 0, SALT, hashes, NULL), -EINVAL);
	EXPECT_EQ(kvbm_hash_blocks(tokens, 12, NULL, 0, KVBM_MAX_BLOCK_SIZE + 1, SALT,
				   hashes, NULL), -EINVAL);
	EXPECT_EQ(kvbm_hash_blocks(tokens, (size_t)KVBM_MAX_POSITIONS + 1, NULL, 0, 1,
				   SALT, hashes, NULL), -EOVERFLOW);
	free(tokens);
}

/* Ids that are signed elsewhere are the same 32 bits here. */
static void signed_tokens(void)
{
	static const int32_t ids[] = { 1, -1, INT32_MIN, INT32_MAX };
	static const uint32_t tokens[] = { 1, 0xffffffff, 0x80000000, 0x7fffffff };
	struct kvbm_token_seq *seq = seq_of_with((const uint32_t *)ids, 4, 4, SALT);

	EXPECT(!memcmp(kvbm_token_seq_tokens(seq, NULL), tokens, sizeof(tokens)));
	EXPECT_EQ(block_of(seq, 0).block_hash, kvbm_block_hash(tokens, 4, SALT));
	kvbm_token_seq_free(seq);
}

static const struct tap_test tests[] = {
	TEST(reference_vectors),
	TEST(byte_encoding),
	TEST(other_salts),
	TEST(salt_payloads),
	TEST(length_classes),
	TEST(long_chain),
	TEST(plh_modes),
	TEST(plh_last_position),
	TEST(plh_refuses_others),
	TEST(plh_child_across_modes),
	TEST(plh_extend_equals_blocks),
	TEST(order),
	TEST(text),
	TEST(psh_modes),
	TEST(positions_of_both_kinds),
	TEST(psh_vectors),
	TEST(wire),
	TEST(hash_blocks),
	TEST(signed_tokens),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
