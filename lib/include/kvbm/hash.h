/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * libkvbm: from the tokens of a sequence to the hashes of its blocks.
 *
 *	salt hash	of what must not share blocks with others: a tenant, an
 *			adapter; 0 when there is no salt
 *	block hash	of the tokens of one block, seeded with the salt hash
 *	sequence hash	of a block and all before it: the block hash at position
 *			0, then that of the sequence hash before and the block
 *			hash, seeded with KVBM_CHAIN_SEED
 *	PLH		positional lineage hash, what managers go by: position,
 *			sequence hash, and a fragment of the sequence hash before
 *	PSH		positional sequence hash: sequence hash, position, and a
 *			fragment of the block hash
 *
 * All of them are XXH3 with 64 bits, and the bytes that are hashed are
 * little-endian everywhere. Tokens here are the ids of a model, uint32_t; the
 * struct kvbm_token of a guard is another thing.
 *
 * Nothing here allocates or keeps state: every function may be called in every
 * thread and in a signal handler. Unless said otherwise they return 0 or a
 * negative errno, and an error leaves the output as it was.
 */
#ifndef KVBM_HASH_H
#define KVBM_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/kvbm_types.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* Seed of every step from one sequence hash to the next, whatever the salt. */
#define KVBM_CHAIN_SEED		1337

/* Blocks in a sequence: positions are below this. */
#define KVBM_MAX_POSITIONS	(1U << 24)

/* XXH3 of @len bytes. @data may be NULL when @len is 0. */
uint64_t kvbm_hash_bytes(const void *data, size_t len, uint64_t seed);

/* The salt hash of a payload: any bytes, as long as all who share agree. */
uint64_t kvbm_salt_hash(const void *salt, size_t len);

/* The block hash of @n tokens. */
uint64_t kvbm_block_hash(const uint32_t *tokens, size_t n, uint64_t salt_hash);

/* The sequence hash of the block after the one that has @parent. */
uint64_t kvbm_next_sequence_hash(uint64_t parent, uint64_t block_hash);

/* Positional lineage hashes. */

/**
 * kvbm_plh - pack a positional lineage hash
 * @current: sequence hash of the block
 * @parent: sequence hash of the block before; ignored at position 0
 * @position: index of the block in its sequence
 * @out: the hash
 *
 * Errors: -EOVERFLOW when @position is 2^24 or more.
 */
int kvbm_plh(uint64_t current, uint64_t parent, uint32_t position,
	     struct kvbm_hash *out);

/**
 * kvbm_plh_extend - the hash of the next block
 * @parent: of the block before
 * @block_hash: of the block; or its sequence hash, where there is none before
 * @out: the hash; may be @parent
 *
 * The same as the block has in a sequence of tokens. A first block has
 * kvbm_plh(block_hash, 0, 0).
 *
 * Errors: -EILSEQ when @parent is no positional lineage hash; -EOVERFLOW when its
 * position is the last one.
 */
int kvbm_plh_extend(const struct kvbm_hash *parent, uint64_t block_hash,
		    struct kvbm_hash *out);

/**
 * struct kvbm_plh_parts - what a positional lineage hash is made of
 * @current: sequence hash of the block, all of it
 * @parent_fragment: low bits of the sequence hash of the block before; 0 at
 *	position 0. Never a key by itself: blocks at other positions have the
 *	same one
 * @position: 0 .. KVBM_MAX_POSITIONS - 1
 * @mode: 0, 1, 2: for positions below 2^8, 2^16, 2^24
 * @fragment_bits: width of @parent_fragment: 54, 46, 38
 */
struct kvbm_plh_parts {
	uint64_t current;
	uint64_t parent_fragment;
	uint32_t position;
	uint32_t mode;
	uint32_t fragment_bits;
};

/* Errors: -EILSEQ when no block can have @hash. */
int kvbm_plh_unpack(const struct kvbm_hash *hash, struct kvbm_plh_parts *out);

/**
 * kvbm_plh_child_fragment - what a child says of its parent
 * @parent: hash of the parent
 * @child_position: of the child; its mode decides how many bits there are
 * @out: the parent fragment that the child has
 *
 * Errors: -EILSEQ when @parent is no positional lineage hash; -EOVERFLOW when
 * @child_position is 2^24 or more.
 */
int kvbm_plh_child_fragment(const struct kvbm_hash *parent,
			    uint32_t child_position, uint64_t *out);

/* Whether @child is at the next position and has the fragment of @parent. */
bool kvbm_plh_is_child(const struct kvbm_hash *child,
		       const struct kvbm_hash *parent);

/*
 * Less than, equal to, greater than 0, as unsigned integers of 128 bits: for
 * positional lineage hashes by position, then by sequence hash.
 */
static inline int kvbm_hash_compare(const struct kvbm_hash *a,
				    const struct kvbm_hash *b)
{
	if (a->hi != b->hi)
		return a->hi < b->hi ? -1 : 1;
	if (a->lo != b->lo)
		return a->lo < b->lo ? -1 : 1;
	return 0;
}

/* With the terminating NUL. */
#define KVBM_PLH_TEXT_SIZE	33

/**
 * kvbm_plh_format - a positional lineage hash as people read it
 * @hash: the hash
 * @text: out: "position:current:parent fragment", the last one not at position
 *	0; the hashes are the big-endian bytes in base 58, as of Bitcoin
 *
 * Return: length of the text; -EILSEQ when no block can have @hash.
 */
int kvbm_plh_format(const struct kvbm_hash *hash, char text[KVBM_PLH_TEXT_SIZE]);

/* Positional sequence hashes. */

/**
 * struct kvbm_psh - positional sequence hash
 * @value: its 128 bits
 *
 * A type of its own, since managers do not take it.
 */
struct kvbm_psh {
	struct kvbm_hash value;
};

/**
 * kvbm_psh - pack a positional sequence hash
 * @sequence_hash: of the block
 * @position: index of the block in its sequence
 * @block_hash: of the block; its low bits are kept
 * @out: the hash
 *
 * Errors: -EOVERFLOW when @position is 2^31 or more.
 */
int kvbm_psh(uint64_t sequence_hash, uint32_t position, uint64_t block_hash,
	     struct kvbm_psh *out);

/**
 * struct kvbm_psh_parts - what a positional sequence hash is made of
 * @sequence_hash: of the block, all of it
 * @block_fragment: low bits of the block hash
 * @position: 0 .. 2^31 - 1
 * @mode: 0 to 3: for positions below 2^8, 2^16, 2^24, 2^31
 * @fragment_bits: width of @block_fragment: 54, 46, 38, 31
 */
struct kvbm_psh_parts {
	uint64_t sequence_hash;
	uint64_t block_fragment;
	uint32_t position;
	uint32_t mode;
	uint32_t fragment_bits;
};

/* All values can be taken apart. */
void kvbm_psh_unpack(const struct kvbm_psh *psh, struct kvbm_psh_parts *out);

/* The form of both kinds on a wire: 16 bytes, big-endian. */

#define KVBM_WIRE_SIZE		16

void kvbm_hash_to_wire(const struct kvbm_hash *hash, uint8_t wire[KVBM_WIRE_SIZE]);
/* Any bytes do: kvbm_plh_unpack() tells. Errors: -EINVAL when they are not 16. */
int kvbm_hash_from_wire(const void *wire, size_t len, struct kvbm_hash *out);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KVBM_HASH_H */
