// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <stdlib.h>

#include <kvbm/kvbm.h>

#include "mix.h"
#include "say.h"
#include "tree.h"

/* The peer's tracker of medium capacity: words, in each of which one counter. */
#define TRACKER_WORDS	(1U << 19)
#define TRACKER_ROWS	4

static uint64_t fold_product(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* XXH3, 64 bits, of a hash as 16 little-endian bytes, with the peer's secrets. */
static uint64_t tracker_hash(const struct kvbm_hash *hash, unsigned int row)
{
	static const uint64_t flip[TRACKER_ROWS][2] = {
		{ 0x6782737bea4239b9, 0xaf56bc3b0996523a },
		{ 0x6782737bea4239bd, 0xaf56bc3b09965238 },
		{ 0x6782737bea4239bd, 0xaf56bc3b0996523a },
		{ 0x6782737bea4239a1, 0xaf56bc3b099652c4 },
	};
	uint64_t x = hash->lo ^ flip[row][0], y = hash->hi ^ flip[row][1];
	uint64_t acc = 16 + __builtin_bswap64(x) + y + fold_product(x, y);

	acc ^= acc >> 37;
	acc *= 0x165667919e3779f9;
	return acc ^ acc >> 32;
}

/* Take the counters of a hash, if no other hash and no other row has them. */
static bool take_counters(bool *taken, const struct kvbm_hash *hash)
{
	uint32_t at[TRACKER_ROWS];
	unsigned int row;

	for (row = 0; row < TRACKER_ROWS; row++) {
		at[row] = tracker_hash(hash, row) % TRACKER_WORDS;
		if (taken[at[row]])
			break;
		taken[at[row]] = true;
	}
	if (row == TRACKER_ROWS)
		return true;
	while (row--)
		taken[at[row]] = false;
	return false;
}

/* The long chain is at the end, where seldom anybody looks. */
static int32_t random_parent(uint32_t i, uint32_t chain, uint64_t *random)
{
	uint32_t kind = random_between(random, 0, 15);

	if (i > chain)
		return i - 1;
	if (!i || i == chain || kind < 2)
		return -1;
	if (kind < 10)
		return i - 1;
	/* Often the same few: a fan-out. */
	return random_between(random, 0, kind < 13 ? i - 1 : (i - 1) % 16);
}

static void add_node(struct tree *tree, uint32_t chain, bool *taken, uint64_t *random)
{
	struct node *node = &tree->nodes[tree->count];
	const struct node *parent;
	struct kvbm_hash hash;

	node->parent = random_parent(tree->count++, chain, random);
	parent = node->parent < 0 ? NULL : &tree->nodes[node->parent];
	node->position = parent ? parent->position + 1 : 0;
	do {
		node->current = random64(random);
		kvbm_plh(node->current, parent ? parent->current : 0,
			 node->position, &hash);
	} while (taken && !take_counters(taken, &hash));
}

bool tree_grow(struct tree *tree, uint32_t count, uint32_t chain, bool apart,
	       uint64_t *random)
{
	bool *taken = apart ? calloc(TRACKER_WORDS, sizeof(*taken)) : NULL;

	tree->count = 0;
	tree->nodes = calloc(count, sizeof(*tree->nodes));
	if (!tree->nodes || (apart && !taken)) {
		say("no memory");
		free(taken);
		return false;
	}
	while (tree->count < count)
		add_node(tree, count - chain, taken, random);
	free(taken);
	return true;
}
