/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * A list of requests, each a prefix of blocks by their hashes.
 */
#ifndef KVBM_TOOLS_WORKLOAD_H
#define KVBM_TOOLS_WORKLOAD_H

#include <kvbm/kvbm.h>

/**
 * struct work - one request
 * @hashes: of all its blocks in order; requests may share memory
 * @prompt: how many of them the prompt fills
 * @total: how many it has when the answer is complete
 * @conversation: requests of one conversation belong to one worker
 */
struct work {
	const struct kvbm_hash *hashes;
	uint32_t prompt;
	uint32_t total;
	uint32_t conversation;
};

struct workload {
	uint32_t block_size;
	uint32_t nr_conversations;
	uint32_t longest;	/* largest total */
	size_t nr;
	struct work *work;
	/* Memory of the hashes. */
	size_t nr_arrays;
	struct kvbm_hash **arrays;
};

void workload_init(struct workload *workload, uint32_t block_size);
void workload_free(struct workload *workload);

/* An array that the workload owns, not initialised; NULL without memory. */
struct kvbm_hash *workload_hashes(struct workload *workload, size_t count);
/* 0 or -ENOMEM. */
int workload_add(struct workload *workload, const struct work *work);

/* PLH of @count sequence hashes; 0 or -EOVERFLOW. */
int hash_chain(const uint64_t *sequence_hashes, size_t count,
	       struct kvbm_hash *out);

/*
 * The first @limit requests of a Mooncake trace (0: all), in its order; @growth
 * adds blocks for the answers. 0, or -errno after a message; @workload is
 * initialised either way.
 */
int workload_load(struct workload *workload, const char *path, size_t limit,
		  bool growth);

#endif
