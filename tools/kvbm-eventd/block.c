// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <errno.h>
#include <string.h>

#include "block.h"

/* mode (2 bits), position (8, 16 or 24), current (64), parent (54, 46 or 38) */
static unsigned int fragment_bits(const struct kvbm_hash *hash)
{
	return 54 - 8 * (hash->hi >> 62);
}

uint32_t plh_position(const struct kvbm_hash *hash)
{
	unsigned int bits = 62 - fragment_bits(hash);

	return (hash->hi >> fragment_bits(hash)) & ((1ULL << bits) - 1);
}

uint64_t plh_current(const struct kvbm_hash *hash)
{
	unsigned int bits = fragment_bits(hash);

	return hash->hi << (64 - bits) | hash->lo >> bits;
}

static uint64_t plh_fragment(const struct kvbm_hash *hash)
{
	return hash->lo & ((1ULL << fragment_bits(hash)) - 1);
}

static bool all_zeroes(const void *data, size_t len)
{
	const unsigned char *byte = data;

	return !len || (!*byte && !memcmp(byte, byte + 1, len - 1));
}

/* The truncated parent in a positional hash tells whether the full one is right. */
static int check_parent(const struct block_event *event, uint64_t parent)
{
	unsigned int bits = fragment_bits(&event->hash);

	if ((parent & ((1ULL << bits) - 1)) != plh_fragment(&event->hash))
		return parent ? -EINVAL : -ENODATA;
	return 0;
}

int block_names(const struct block_event *event, struct block_names *out)
{
	size_t with_tokens = sizeof(struct aux_head) +
			     sizeof(uint32_t) * (size_t)event->block_size;
	struct aux_head head = { 0 };

	memset(out, 0, sizeof(*out));
	out->block_hash = event->has_position ? plh_current(&event->hash) : event->hash.lo;
	if (event->aux_len >= sizeof(head))
		memcpy(&head, event->aux, sizeof(head));
	out->local_hash = head.local_hash;
	out->has_local = head.local_hash;
	if (event->block_size && event->aux_len >= with_tokens &&
	    !all_zeroes(event->aux, with_tokens))
		out->tokens = (const char *)event->aux + sizeof(head);
	out->parent = head.parent;
	if (!event->has_position) {
		out->has_parent = head.parent;
		return 0;
	}
	out->has_parent = event->position;
	return event->position ? check_parent(event, head.parent) : 0;
}

bool block_follows(const struct block_event *event, const struct block_names *names,
		   const struct block_event *next, const struct block_names *next_names)
{
	return next->tier == event->tier && next->block_size == event->block_size &&
	       next->has_position == event->has_position && next_names->has_parent &&
	       next_names->parent == names->block_hash &&
	       (!next->has_position || next->position == event->position + 1);
}
