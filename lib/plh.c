// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Positional lineage hashes: packing. Taking them apart is engine/plh.h.
 */
#include <kvbm/kvbm.h>

#include "engine/plh.h"

int kvbm_plh(uint64_t current, uint64_t parent, uint32_t position,
	     struct kvbm_hash *out)
{
	uint32_t mode = 0, fragment;

	if (position > KVBM_PLH_MAX_POSITION)
		return -EOVERFLOW;
	/* The smallest mode that holds the position. */
	while (position >> kvbm_plh_position_bits(mode))
		mode++;
	fragment = kvbm_plh_fragment_bits(mode);
	if (!position)
		parent = 0;
	/* mode : position : current : the low bits of parent */
	out->hi = (uint64_t)mode << 62 | (uint64_t)position << fragment |
		  current >> (64 - fragment);
	out->lo = current << fragment | (parent & ((1ULL << fragment) - 1));
	return 0;
}
