// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Positional hashes: packing, taking apart, as text and as bytes.
 */
#include <stdio.h>

#include <kvbm/hash.h>

#include "engine/plh.h"

static_assert(KVBM_MAX_POSITIONS - KVBM_PLH_MAX_POSITION == 1);

static u64 low_bits(u64 value, u32 bits)
{
	return value & ((1ULL << bits) - 1);
}

int kvbm_plh(uint64_t current, uint64_t parent, uint32_t position,
	     struct kvbm_hash *out)
{
	u32 mode, fragment;

	if (position > KVBM_PLH_MAX_POSITION)
		return -EOVERFLOW;
	mode = kvbm_plh_mode_of(position);
	fragment = kvbm_plh_fragment_bits(mode);
	if (!position)
		parent = 0;
	/* mode : position : current : the low bits of parent */
	out->hi = (uint64_t)mode << 62 | (uint64_t)position << fragment |
		  current >> (64 - fragment);
	out->lo = current << fragment | low_bits(parent, fragment);
	return 0;
}

int kvbm_plh_extend(const struct kvbm_hash *parent, uint64_t block_hash,
		    struct kvbm_hash *out)
{
	u64 before;

	if (!kvbm_plh_valid(parent))
		return -EILSEQ;
	before = kvbm_plh_current(parent);
	return kvbm_plh(kvbm_next_sequence_hash(before, block_hash), before,
			kvbm_plh_position(parent) + 1, out);
}

int kvbm_plh_unpack(const struct kvbm_hash *hash, struct kvbm_plh_parts *out)
{
	if (!kvbm_plh_valid(hash))
		return -EILSEQ;
	out->current = kvbm_plh_current(hash);
	out->parent_fragment = kvbm_plh_fragment(hash);
	out->position = kvbm_plh_position(hash);
	out->mode = kvbm_plh_mode(hash);
	out->fragment_bits = kvbm_plh_fragment_bits(out->mode);
	return 0;
}

int kvbm_plh_child_fragment(const struct kvbm_hash *parent,
			    uint32_t child_position, uint64_t *out)
{
	if (!kvbm_plh_valid(parent))
		return -EILSEQ;
	if (child_position > KVBM_PLH_MAX_POSITION)
		return -EOVERFLOW;
	*out = low_bits(kvbm_plh_current(parent),
			kvbm_plh_fragment_bits(kvbm_plh_mode_of(child_position)));
	return 0;
}

bool kvbm_plh_is_child(const struct kvbm_hash *child, const struct kvbm_hash *parent)
{
	struct kvbm_plh_parts c;
	uint64_t fragment;

	return !kvbm_plh_unpack(child, &c) && c.position &&
	       !kvbm_plh_child_fragment(parent, c.position, &fragment) &&
	       kvbm_plh_position(parent) == c.position - 1 &&
	       c.parent_fragment == fragment;
}

/* Digits of a u64 in base 58. Leading zero bytes are a digit each, too. */
#define BASE58_SIZE	11

static char *put_base58(char *at, u64 value)
{
	static const char digits[] =
		"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
	char text[BASE58_SIZE];
	int zeroes = value ? __builtin_clzll(value) / 8 : 8;
	int n = 0;

	for (; value; value /= 58)
		text[n++] = digits[value % 58];
	while (zeroes--)
		text[n++] = digits[0];
	while (n)
		*at++ = text[--n];
	return at;
}

int kvbm_plh_format(const struct kvbm_hash *hash, char text[KVBM_PLH_TEXT_SIZE])
{
	struct kvbm_plh_parts parts;
	char *at = text;
	int err;

	static_assert(KVBM_PLH_TEXT_SIZE == 8 + 2 * (1 + BASE58_SIZE) + 1);
	err = kvbm_plh_unpack(hash, &parts);
	if (err)
		return err;
	at += sprintf(at, "%u:", parts.position);
	at = put_base58(at, parts.current);
	if (parts.position) {
		*at++ = ':';
		at = put_base58(at, parts.parent_fragment);
	}
	*at = '\0';
	return at - text;
}

/*
 * Below mode 3 the halves have the layout that the upper half of a lineage hash
 * would have without its sequence hash.
 */
static u32 psh_fragment_bits(u32 mode)
{
	return mode == 3 ? 31 : kvbm_plh_fragment_bits(mode);
}

int kvbm_psh(uint64_t sequence_hash, uint32_t position, uint64_t block_hash,
	     struct kvbm_psh *out)
{
	u32 mode, fragment;

	if (position >> 31)
		return -EOVERFLOW;
	mode = position > KVBM_PLH_MAX_POSITION ? 3 : kvbm_plh_mode_of(position);
	fragment = psh_fragment_bits(mode);
	out->value.hi = (uint64_t)mode << 62 | (uint64_t)position << fragment |
			low_bits(block_hash, fragment);
	out->value.lo = sequence_hash;
	return 0;
}

void kvbm_psh_unpack(const struct kvbm_psh *psh, struct kvbm_psh_parts *out)
{
	out->mode = psh->value.hi >> 62;
	out->fragment_bits = psh_fragment_bits(out->mode);
	out->sequence_hash = psh->value.lo;
	out->block_fragment = low_bits(psh->value.hi, out->fragment_bits);
	out->position = low_bits(psh->value.hi, 62) >> out->fragment_bits;
}

void kvbm_hash_to_wire(const struct kvbm_hash *hash, uint8_t wire[KVBM_WIRE_SIZE])
{
	int i;

	for (i = 0; i < 8; i++) {
		wire[i] = hash->hi >> (56 - 8 * i);
		wire[8 + i] = hash->lo >> (56 - 8 * i);
	}
}

int kvbm_hash_from_wire(const void *wire, size_t len, struct kvbm_hash *out)
{
	const uint8_t *byte = wire;
	struct kvbm_hash hash = { 0 };
	int i;

	if (len != KVBM_WIRE_SIZE)
		return -EINVAL;
	for (i = 0; i < 8; i++) {
		hash.hi = hash.hi << 8 | byte[i];
		hash.lo = hash.lo << 8 | byte[8 + i];
	}
	*out = hash;
	return 0;
}
