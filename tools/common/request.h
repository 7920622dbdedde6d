/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What one request holds, through libkvbm.
 *
 * Its blocks, in order of their position: registered ones, then staged ones,
 * then such as are being filled.
 */
#ifndef KVBM_TOOLS_REQUEST_H
#define KVBM_TOOLS_REQUEST_H

#include <kvbm/kvbm.h>

/* A client's own sums, to be compared with the statistics. */
struct tally {
	unsigned long long requests;
	unsigned long long refused;	/* requests that got no blocks */
	unsigned long long blocks;	/* asked for by all of them */
	unsigned long long match_hashes;	/* asked for by those that were served */
	unsigned long long hits;
	unsigned long long allocated;
	unsigned long long evicted;
	unsigned long long staged;
	unsigned long long registered;
	unsigned long long duplicates;
};

void tally_add(struct tally *sum, const struct tally *more);

struct request {
	struct kvbm_session *session;
	struct tally *tally;
	const struct kvbm_hash *hashes;	/* by position */
	size_t nr_registered;
	size_t nr_staged;
	size_t nr_filling;
	size_t nr_evicted;		/* by the last call */
	size_t room;			/* in each array */
	struct kvbm_immutable *registered;
	struct kvbm_complete *staged;
	struct kvbm_mutable *filling;
	struct kvbm_mutable *next;
	struct kvbm_hash *evicted;
	uint8_t *kinds;
};

/* For requests of up to @room blocks; 0 or -ENOMEM. */
int request_init(struct request *request, struct kvbm_session *session,
		 struct tally *tally, size_t room);
/* Holds nothing any more. */
void request_free(struct request *request);

/* All below: 0 or -errno, and then nothing was changed. */

/*
 * Match the longest prefix of @hashes that is present, allocate the other
 * blocks up to @count. @hashes stay with the caller while the request holds
 * anything.
 */
int request_acquire(struct request *request, const struct kvbm_hash *hashes,
		    size_t count);
/* The same by two calls instead of one. */
int request_acquire_split(struct request *request, const struct kvbm_hash *hashes,
			  size_t count);

/* Register what is being filled; then take up to @next more, if there are. */
int request_fill(struct request *request, size_t next);
/* The same, in steps. */
int request_stage(struct request *request);
int request_register(struct request *request);
int request_extend(struct request *request, size_t count);

/* Everything, tail first. */
int request_release(struct request *request);

static inline size_t request_blocks(const struct request *request)
{
	return request->nr_registered + request->nr_staged + request->nr_filling;
}

#endif
