/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What is present in a registry, and what each output has published of it: 32
 * bytes for each hash, in a table that is kept at most three quarters full.
 *
 * What is present comes from the view of libkvbm and is exact. An output may be
 * behind: its server was lost, its queue was full. Then the two bits it has for
 * each tier of each hash say what has to be made up for.
 */
#ifndef EVENTD_MIRROR_H
#define EVENTD_MIRROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block.h"

#define MAX_OUTPUTS	7

struct mirror_entry {
	struct kvbm_hash hash;
	uint64_t managers;		/* that have it; a bit for each place */
	uint8_t outputs[MAX_OUTPUTS];	/* MAY_HAVE, MAY_LACK */
	uint8_t flags;
};

/* Of one output: consumers were told that it is there ... */
#define MAY_HAVE(tier)	(1U << ((tier) ? (tier) - 1 : 0))
/* ... but perhaps did not hear it. */
#define MAY_LACK(tier)	(MAY_HAVE(tier) << 4)

struct mirror {
	struct mirror_entry *entries;
	size_t size;		/* a power of two */
	size_t used;
	uint64_t seed;		/* who chooses hashes cannot choose collisions */
};

/* 0, or -ENOMEM. */
int mirror_init(struct mirror *mirror);
void mirror_destroy(struct mirror *mirror);

/* NULL when it is not there. */
struct mirror_entry *mirror_find(const struct mirror *mirror,
				 const struct kvbm_hash *hash);
/* The old or a new one; NULL for lack of memory. Entries may move. */
struct mirror_entry *mirror_add(struct mirror *mirror, const struct kvbm_hash *hash);
/* All of them, from *@at == 0 on; NULL at the end. Not across mirror_add(). */
struct mirror_entry *mirror_next(const struct mirror *mirror, size_t *at);

/* Until the next mirror_sweep() has kept it. */
void mirror_hold(struct mirror_entry *entry);
/*
 * Forgets the entries that nobody has and no output has told of, once they are
 * many. Entries may move. 0, or -ENOMEM: they stay, then.
 */
int mirror_sweep(struct mirror *mirror);
/* Whether it is worth it. */
bool mirror_wants_sweep(const struct mirror *mirror);
size_t mirror_present(const struct mirror *mirror);

#endif
