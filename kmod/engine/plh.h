/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The positional lineage hash (PLH) as bits: mode, position, current sequence
 * hash, parent fragment. Computing one is libkvbm's business; the engine only
 * takes it apart.
 */
#ifndef KVBM_ENGINE_PLH_H
#define KVBM_ENGINE_PLH_H

#include <linux/kvbm_types.h>

#include "env.h"

#define KVBM_PLH_MODES		3
#define KVBM_PLH_MAX_POSITION	((1U << 24) - 1)

static inline u32 kvbm_plh_mode(const struct kvbm_hash *h)
{
	return h->hi >> 62;
}

/* Bits of the position field: 8, 16 or 24. */
static inline u32 kvbm_plh_position_bits(u32 mode)
{
	return 8 * (mode + 1);
}

/* Bits of the parent fragment: 54, 46 or 38. */
static inline u32 kvbm_plh_fragment_bits(u32 mode)
{
	return 54 - 8 * mode;
}

static inline u32 kvbm_plh_position(const struct kvbm_hash *h)
{
	u32 mode = kvbm_plh_mode(h);

	return (h->hi >> kvbm_plh_fragment_bits(mode)) &
	       ((1U << kvbm_plh_position_bits(mode)) - 1);
}

static inline u64 kvbm_plh_fragment(const struct kvbm_hash *h)
{
	return h->lo & ((1ULL << kvbm_plh_fragment_bits(kvbm_plh_mode(h))) - 1);
}

/* The sequence hash of the block and its whole prefix: 64 bits. */
static inline u64 kvbm_plh_current(const struct kvbm_hash *h)
{
	u32 bits = kvbm_plh_fragment_bits(kvbm_plh_mode(h));

	return h->hi << (64 - bits) | h->lo >> bits;
}

/* The mode of a position: the smallest that holds it. */
static inline u32 kvbm_plh_mode_of(u32 position)
{
	return position < 1U << 8 ? 0 : position < 1U << 16 ? 1 : 2;
}

/* What the children of a block store of it, as their parent fragment. */
static inline u64 kvbm_plh_own_fragment(const struct kvbm_hash *h)
{
	u32 mode = kvbm_plh_mode_of(kvbm_plh_position(h) + 1);

	return kvbm_plh_current(h) & ((1ULL << kvbm_plh_fragment_bits(mode)) - 1);
}

/*
 * Position and fragment of a parent in one number: mode and position of its
 * children, as they have them in their hashes, and below them the fragment.
 * First of the parent that a block names, then of a block as a parent; that of
 * a block at the last position has mode 3, and nobody names it.
 */
static inline u64 kvbm_plh_parent_key(const struct kvbm_hash *h)
{
	u32 bits = kvbm_plh_fragment_bits(kvbm_plh_mode(h));

	return h->hi >> bits << bits | kvbm_plh_fragment(h);
}

static inline u64 kvbm_plh_own_key(const struct kvbm_hash *h)
{
	u32 position = kvbm_plh_position(h) + 1;
	u64 mode = kvbm_plh_mode_of(position);

	return (mode << 62) + ((u64)position << kvbm_plh_fragment_bits(mode)) +
	       kvbm_plh_own_fragment(h);
}

/**
 * kvbm_plh_valid - whether a chain of blocks can have this hash
 * @h: the hash
 *
 * Mode 3 does not exist; the mode is the smallest that holds the position, so
 * that one block has one hash; a root has no parent.
 *
 * Return: true when it can.
 */
static inline bool kvbm_plh_valid(const struct kvbm_hash *h)
{
	u32 mode = kvbm_plh_mode(h);
	u32 position;

	if (mode >= KVBM_PLH_MODES)
		return false;
	position = kvbm_plh_position(h);
	if (mode && position < 1U << kvbm_plh_position_bits(mode - 1))
		return false;
	return position || !kvbm_plh_fragment(h);
}

#endif /* KVBM_ENGINE_PLH_H */
