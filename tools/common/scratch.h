/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * A registry and a manager of one run of a program.
 */
#ifndef KVBM_TOOLS_SCRATCH_H
#define KVBM_TOOLS_SCRATCH_H

#include <kvbm/kvbm.h>

/* Hashes that a frequency sketch is made for: kvbm-logical's default. */
#define SCRATCH_SKETCH	(1ULL << 21)

struct scratch {
	struct kvbm *kvbm;
	uint64_t registry;
	uint64_t manager;
	uint32_t block_size;
	char name[2 * KVBM_NAME_SIZE];	/* "registry:manager" */
};

struct scratch_attr {
	const char *registry;	/* "-<pid>" is added if that name is taken */
	const char *manager;
	uint32_t blocks;
	uint32_t block_size;
	uint32_t policy;
	uint64_t sketch;	/* of policies that need one; 0: SCRATCH_SKETCH */
};

/* 0, or -errno after a message; then there is nothing to destroy. */
int scratch_create(struct scratch *scratch, struct kvbm *kvbm,
		   const struct scratch_attr *attr);
/* By force: whoever still holds guards of it is ours. 0, or as above. */
int scratch_destroy(struct scratch *scratch);

#endif
