/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What one event says of a block, and what the publishers' forms make of it.
 */
#ifndef EVENTD_BLOCK_H
#define EVENTD_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/kvbm_types.h>

enum event_type {
	EVENT_STORED,
	EVENT_REMOVED,
	EVENT_CLEARED,		/* nothing of a tier is left; no hash, no aux */
};

#define NR_TIERS	KVBM_TIER_G4
/* In place of a tier: of any; for forms that know no tiers. */
#define TIER_ANY	0

/*
 * The first bytes of aux, as the user space of this host wrote them. Zeroes
 * there mean that the producer gave nothing; token ids may follow.
 */
struct aux_head {
	uint64_t local_hash;	/* of the tokens of this block alone: the router's key */
	uint64_t parent;	/* sequence hash of the block before; 0 at a root */
};

/* In a batch. @aux is a place in the batch's own memory. */
struct block_event {
	struct kvbm_hash hash;
	uint32_t tier;		/* KVBM_TIER_*, or TIER_ANY */
	uint32_t position;	/* in its sequence; 0 under an opaque schema */
	uint32_t block_size;	/* tokens */
	uint32_t aux_len;
	uint32_t order;		/* of arrival, within the batch */
	bool has_position;	/* the hash is a positional lineage hash */
	const void *aux;
};

/* What routers know a block by. */
struct block_names {
	uint64_t block_hash;	/* sequence hash */
	uint64_t local_hash;
	uint64_t parent;
	bool has_local;
	bool has_parent;
	const void *tokens;	/* block_size of uint32_t, perhaps unaligned; NULL: not given */
};

/* Of a positional lineage hash: position and sequence hash of the block. */
uint32_t plh_position(const struct kvbm_hash *hash);
uint64_t plh_current(const struct kvbm_hash *hash);

/*
 * 0, or -ENODATA when the parent is not given although there is one, so that
 * no router could place the block; -EINVAL when it is not the one in the hash.
 */
int block_names(const struct block_event *event, struct block_names *out);

/* Whether @next follows @event in one sequence and one tier. */
bool block_follows(const struct block_event *event, const struct block_names *names,
		   const struct block_event *next, const struct block_names *next_names);

#endif
