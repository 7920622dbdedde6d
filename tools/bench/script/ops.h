/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Scripts: what kvbm-script writes, and kvbm-ours and kvbm-peer carry out.
 *
 *	kvbm-script 1
 *	policy NAME
 *	duplicates allow|reject
 *	nodes COUNT
 *	CURRENT PARENT		one line for each node, hexadecimal sequence hash
 *				and index of the parent or -1, which comes first
 *	ops COUNT
 *	LETTER NUMBER...	one line for each operation, see struct op_kind
 *
 * A node is a block of the tree of sequences; its positional lineage hash is made
 * by who runs the script. A side keeps four lists: Mutable, Staged and registered
 * guards, and weak blocks. A pick is any number: modulo the length of the list it
 * is a place in it. A pick that consumes takes that guard, and the last one of the
 * list moves to its place. What an operation makes is appended. Where a list has
 * fewer guards than there are picks, the last picks are left out.
 */
#ifndef KVBM_BENCH_OPS_H
#define KVBM_BENCH_OPS_H

#define SCRIPT_MAGIC	"kvbm-script 1"
#define SCRIPT_BLOCK_SIZE	4

enum op {
	OP_NEW = 'N',		/* blocks reset_default: drop all, a new manager */
	OP_ALLOCATE = 'A',	/* n */
	OP_STAGE = 'S',		/* (pick node)*: Mutable to Staged */
	OP_STAGE_WRONG = 'w',	/* pick node: with a wrong block size; goes last */
	OP_UNSTAGE = 'U',	/* pick* */
	OP_REGISTER = 'R',	/* pick*: one batch */
	OP_FILL = 'F',		/* next (pick node)*: stage, register, allocate next */
	OP_MATCH = 'm',		/* node* */
	OP_MATCH_PATH = 'M',	/* node: the path from its root to it */
	OP_SCATTERED = 'x',	/* node* */
	OP_SCAN = 'c',		/* touch node* */
	OP_REQUEST = 'Q',	/* node: match the path, allocate and fill the rest */
	OP_ACQUIRE = 'E',	/* node: the same by one call, if it is sure to fit */
	OP_CLONE = 'K',		/* pick* */
	OP_DOWNGRADE = 'D',	/* pick*: the guards stay */
	OP_UPGRADE = 'G',	/* pick*: the weak blocks stay */
	OP_RESET_FLAG = 'z',	/* value pick* */
	OP_DROP_MUTABLE = '1',	/* pick* */
	OP_DROP_STAGED = '2',	/* pick* */
	OP_DROP_IMMUTABLE = '3',	/* pick* */
	OP_DROP_WEAK = '4',	/* pick* */
	OP_POP = 't',		/* n: registered guards, last one first */
	OP_CUT = 'T',		/* n: the last n registered guards, in their order */
	OP_LIMIT_MUTABLE = '5',	/* length: drop the first ones in order until so few */
	OP_LIMIT_STAGED = '6',
	OP_LIMIT_IMMUTABLE = '7',
	OP_LIMIT_WEAK = '8',
	OP_DRAIN = 'X',		/* */
	OP_DRAIN_SORTED = 'Y',	/* drain, allocate all reset blocks, drop them by id */
	OP_PRESENCE = 'p',	/* node* */
	OP_USE_COUNT = 'u',	/* pick* */
	OP_FREQUENCY = 'f',	/* touch node*: of hashes, touched before or not */
	OP_COUNTERS = 'v',	/* */
};

#endif
