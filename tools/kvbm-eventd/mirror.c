// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "mirror.h"

#define FIRST_SIZE	1024

#define ENTRY_USED	1
#define ENTRY_HELD	2

int mirror_init(struct mirror *mirror)
{
	mirror->size = FIRST_SIZE;
	mirror->used = 0;
	if (getrandom(&mirror->seed, sizeof(mirror->seed), 0) !=
	    (ssize_t)sizeof(mirror->seed))
		return -errno;
	mirror->entries = calloc(mirror->size, sizeof(*mirror->entries));
	return mirror->entries ? 0 : -ENOMEM;
}

void mirror_destroy(struct mirror *mirror)
{
	free(mirror->entries);
	mirror->entries = NULL;
}

/* Where @hash is, or the free place where it belongs: there always is one. */
static struct mirror_entry *place(const struct mirror *mirror, const struct kvbm_hash *hash)
{
	size_t i = XXH3_64bits_withSeed(hash, sizeof(*hash), mirror->seed);
	struct mirror_entry *entry;

	for (;; i++) {
		entry = &mirror->entries[i & (mirror->size - 1)];
		if (!entry->flags ||
		    (entry->hash.lo == hash->lo && entry->hash.hi == hash->hi))
			return entry;
	}
}

struct mirror_entry *mirror_find(const struct mirror *mirror, const struct kvbm_hash *hash)
{
	struct mirror_entry *entry = place(mirror, hash);

	return entry->flags ? entry : NULL;
}

static bool is_idle(const struct mirror_entry *entry)
{
	static const uint8_t none[MAX_OUTPUTS];

	return !entry->managers && !(entry->flags & ENTRY_HELD) &&
	       !memcmp(entry->outputs, none, sizeof(none));
}

/* Into a table of @size entries, without those that are idle. */
static int move(struct mirror *mirror, size_t size)
{
	struct mirror bigger = { .size = size, .seed = mirror->seed };
	struct mirror_entry *entry, *to;
	size_t at = 0;

	bigger.entries = calloc(size, sizeof(*bigger.entries));
	if (!bigger.entries)
		return -ENOMEM;
	while ((entry = mirror_next(mirror, &at))) {
		if (is_idle(entry))
			continue;
		to = place(&bigger, &entry->hash);
		*to = *entry;
		to->flags = ENTRY_USED;
		bigger.used++;
	}
	free(mirror->entries);
	*mirror = bigger;
	return 0;
}

struct mirror_entry *mirror_add(struct mirror *mirror, const struct kvbm_hash *hash)
{
	struct mirror_entry *entry = place(mirror, hash);

	if (entry->flags)
		return entry;
	if (mirror->used >= mirror->size / 4 * 3) {
		/* Idle entries are of no use here either, but one may be in a batch. */
		for (entry = mirror->entries; entry < mirror->entries + mirror->size; entry++)
			if (entry->flags)
				entry->flags |= ENTRY_HELD;
		if (move(mirror, mirror->size * 2))
			return NULL;
		entry = place(mirror, hash);
	}
	memset(entry, 0, sizeof(*entry));
	entry->hash = *hash;
	entry->flags = ENTRY_USED;
	mirror->used++;
	return entry;
}

struct mirror_entry *mirror_next(const struct mirror *mirror, size_t *at)
{
	while (*at < mirror->size) {
		struct mirror_entry *entry = &mirror->entries[(*at)++];

		if (entry->flags)
			return entry;
	}
	return NULL;
}

void mirror_hold(struct mirror_entry *entry)
{
	entry->flags |= ENTRY_HELD;
}

size_t mirror_present(const struct mirror *mirror)
{
	struct mirror_entry *entry;
	size_t at = 0, n = 0;

	while ((entry = mirror_next(mirror, &at)))
		n += !!entry->managers;
	return n;
}

bool mirror_wants_sweep(const struct mirror *mirror)
{
	return mirror->used >= mirror->size / 2;
}

int mirror_sweep(struct mirror *mirror)
{
	struct mirror_entry *entry;
	size_t at = 0, size = FIRST_SIZE, n = 0;

	while ((entry = mirror_next(mirror, &at)))
		n += !is_idle(entry);
	/* A quarter full: a long way to the next time, from either side. */
	while (size < n * 4)
		size *= 2;
	return move(mirror, size);
}
