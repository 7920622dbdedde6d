/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What engine/plh.h leaves to those who compute hashes.
 */
#ifndef KVBM_LIB_PLH_H
#define KVBM_LIB_PLH_H

#include "engine/plh.h"

/* The sequence hash of the block, all of it. */
static inline u64 kvbm_plh_current(const struct kvbm_hash *h)
{
	u32 fragment = kvbm_plh_fragment_bits(kvbm_plh_mode(h));

	return h->hi << (64 - fragment) | h->lo >> fragment;
}

#endif /* KVBM_LIB_PLH_H */
