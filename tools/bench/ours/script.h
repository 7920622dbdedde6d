/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Carrying out a script (../script/ops.h).
 */
#ifndef KVBM_BENCH_OURS_SCRIPT_H
#define KVBM_BENCH_OURS_SCRIPT_H

#include <stdint.h>
#include <stdio.h>

#include <kvbm/kvbm.h>

#include "mix.h"

/* A script while it is read. */
struct script {
	FILE *file;
	char *line;
	size_t room;
	char policy[32];
	bool reject;
	uint32_t nr_nodes;
	struct kvbm_hash *hashes;	/* of the nodes */
	int32_t *parents;
	uint64_t ops;
	uint32_t *numbers;		/* of the current operation */
	uint32_t nr_numbers;
	uint32_t numbers_room;
};

int script_open(struct script *script, const char *path);
/* The next operation: its letter; 0 at the end; or -errno after a message. */
int script_next(struct script *script);
void script_close(struct script *script);

/*
 * What operations had for results. Each has a digest of its own, so that the
 * first one that differs is known; and all together.
 */
struct journal {
	FILE *file;		/* eight bytes for each operation, or NULL */
	uint64_t first;		/* operations to print: first to last */
	uint64_t last;
	uint64_t every;		/* print the digest of all that often, or 0 */
	uint64_t op;
	uint64_t digest;	/* of this operation */
	uint64_t all;
};

static inline bool journal_prints(const struct journal *j)
{
	return j->op >= j->first && j->op <= j->last;
}

static inline void journal_add(struct journal *j, uint64_t value)
{
	j->digest = mix64(j->digest ^ value);
	if (journal_prints(j))
		printf(" %llu", (unsigned long long)value);
}

static inline void journal_hash(struct journal *j, const struct kvbm_hash *hash)
{
	j->digest = mix64(j->digest ^ hash->hi);
	j->digest = mix64(j->digest ^ hash->lo);
	if (journal_prints(j))
		printf(" %016llx%016llx", (unsigned long long)hash->hi,
		       (unsigned long long)hash->lo);
}

/* A word in front of numbers, for people. */
static inline void journal_word(const struct journal *j, const char *word)
{
	if (journal_prints(j))
		printf(" %s", word);
}

/* 0, or -errno after a message. */
int script_run(struct kvbm *kvbm, struct script *script, struct journal *journal);

#endif
