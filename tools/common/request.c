// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <stdlib.h>
#include <string.h>

#include "request.h"

void tally_add(struct tally *sum, const struct tally *more)
{
	sum->requests += more->requests;
	sum->refused += more->refused;
	sum->blocks += more->blocks;
	sum->match_hashes += more->match_hashes;
	sum->hits += more->hits;
	sum->allocated += more->allocated;
	sum->evicted += more->evicted;
	sum->staged += more->staged;
	sum->registered += more->registered;
	sum->duplicates += more->duplicates;
}

int request_init(struct request *request, struct kvbm_session *session,
		 struct tally *tally, size_t room)
{
	size_t n = room ? room : 1;

	*request = (struct request){
		.session = session,
		.tally = tally,
		.room = n,
		.registered = calloc(n, sizeof(*request->registered)),
		.staged = calloc(n, sizeof(*request->staged)),
		.filling = calloc(n, sizeof(*request->filling)),
		.next = calloc(n, sizeof(*request->next)),
		.evicted = calloc(n, sizeof(*request->evicted)),
		.kinds = calloc(n, sizeof(*request->kinds)),
	};
	if (request->registered && request->staged && request->filling &&
	    request->next && request->evicted && request->kinds)
		return 0;
	request_free(request);
	return -ENOMEM;
}

void request_free(struct request *request)
{
	free(request->registered);
	free(request->staged);
	free(request->filling);
	free(request->next);
	free(request->evicted);
	free(request->kinds);
	memset(request, 0, sizeof(*request));
}

static void count_match(struct request *request, size_t asked, size_t found)
{
	request->nr_registered = found;
	request->tally->match_hashes += asked;
	request->tally->hits += found;
}

static void count_allocation(struct request *request, size_t count, size_t evicted)
{
	request->nr_filling = count;
	request->nr_evicted = evicted;
	request->tally->allocated += count;
	request->tally->evicted += evicted;
}

int request_acquire(struct request *request, const struct kvbm_hash *hashes,
		    size_t count)
{
	struct kvbm_acquired got;
	int err;

	err = kvbm_acquire(request->session, hashes, count, count,
			   request->registered, request->filling,
			   request->evicted, &got);
	if (err)
		return err;
	request->hashes = hashes;
	count_match(request, count, got.matched);
	count_allocation(request, got.allocated, got.evicted);
	return 0;
}

/* Tail first: the head of a prefix is what others share. */
static int release_registered(struct request *request)
{
	struct kvbm_immutable *guards = request->registered, swap;
	size_t i, n = request->nr_registered;

	for (i = 0; i < n / 2; i++) {
		swap = guards[i];
		guards[i] = guards[n - 1 - i];
		guards[n - 1 - i] = swap;
	}
	request->nr_registered = 0;
	return n ? kvbm_release(request->session, n, guards) : 0;
}

int request_acquire_split(struct request *request, const struct kvbm_hash *hashes,
			  size_t count)
{
	size_t evicted;
	ssize_t found;
	int err;

	/* Too much for any state of the store: a match would be a use for nothing. */
	if (count > kvbm_session_block_count(request->session))
		return -ENOSPC;
	found = kvbm_match(request->session, count, hashes, request->registered);
	if (found < 0)
		return found;
	request->hashes = hashes;
	count_match(request, count, found);
	count -= found;
	err = kvbm_allocate(request->session, count, request->filling,
			    request->evicted, &evicted);
	if (err) {
		release_registered(request);
		return err;
	}
	count_allocation(request, count, evicted);
	return 0;
}

/* Hashes of the blocks after the registered and staged ones. */
static const struct kvbm_hash *filling_hashes(const struct request *request)
{
	return request->hashes + request->nr_registered + request->nr_staged;
}

static void count_registration(struct request *request, size_t count)
{
	size_t i;

	request->nr_registered += count;
	request->tally->registered += count;
	for (i = 0; i < count; i++)
		if (request->kinds[i] == KVBM_REGISTERED_DUPLICATE)
			request->tally->duplicates++;
}

int request_fill(struct request *request, size_t count)
{
	struct kvbm_next next = {
		.count = count,
		.out = request->next,
		.evicted = request->evicted,
	};
	size_t filled = request->nr_filling;
	struct kvbm_mutable *swap;
	int err;

	err = kvbm_stage_register(request->session, filled, request->filling,
				  filling_hashes(request),
				  kvbm_session_block_size(request->session),
				  request->registered + request->nr_registered,
				  request->kinds, &next);
	if (err)
		return err;
	request->tally->staged += filled;
	count_registration(request, filled);
	swap = request->filling;
	request->filling = request->next;
	request->next = swap;
	count_allocation(request, next.allocated, next.nr_evicted);
	return 0;
}

int request_stage(struct request *request)
{
	size_t filled = request->nr_filling;
	int err;

	err = kvbm_stage(request->session, filled, request->filling,
			 filling_hashes(request),
			 kvbm_session_block_size(request->session),
			 request->staged + request->nr_staged);
	if (err)
		return err;
	request->nr_staged += filled;
	request->nr_filling = 0;
	request->tally->staged += filled;
	return 0;
}

int request_register(struct request *request)
{
	size_t count = request->nr_staged;
	int err;

	err = kvbm_register(request->session, count, request->staged,
			    request->registered + request->nr_registered,
			    request->kinds);
	if (err)
		return err;
	request->nr_staged = 0;
	count_registration(request, count);
	return 0;
}

int request_extend(struct request *request, size_t count)
{
	size_t evicted;
	int err;

	err = kvbm_allocate(request->session, count, request->filling,
			    request->evicted, &evicted);
	if (!err)
		count_allocation(request, count, evicted);
	return err;
}

int request_release(struct request *request)
{
	size_t filling = request->nr_filling, staged = request->nr_staged;
	int err = 0;

	request->nr_filling = 0;
	request->nr_staged = 0;
	if (filling)
		err = kvbm_release(request->session, filling, request->filling);
	if (!err && staged)
		err = kvbm_release(request->session, staged, request->staged);
	return err ? err : release_registered(request);
}
