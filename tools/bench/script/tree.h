/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * A tree of sequences: what scripts are about.
 */
#ifndef KVBM_BENCH_TREE_H
#define KVBM_BENCH_TREE_H

#include <stdbool.h>
#include <stdint.h>

struct node {
	uint64_t current;	/* sequence hash */
	int32_t parent;		/* index, smaller than its own; or -1 */
	uint32_t position;
};

struct tree {
	struct node *nodes;
	uint32_t count;
};

/*
 * @count nodes, the last @chain of them one chain. With @apart, no two of their hashes
 * share a counter of the peer's frequency tracker: where a random hash would, it
 * is another one. False after a message.
 */
bool tree_grow(struct tree *tree, uint32_t count, uint32_t chain, bool apart,
	       uint64_t *random);

#endif
