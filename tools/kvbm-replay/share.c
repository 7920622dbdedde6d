// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * One worker's share of the requests, one after the other.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>

#include "mix.h"
#include "replay.h"
#include "say.h"
#include "stop.h"

#define PROGRESS_EVERY	256

static void progress(const struct share *share, size_t done)
{
	const struct replay *replay = share->replay;

	if (!replay->progress || share->index || done % PROGRESS_EVERY)
		return;
	fprintf(stderr, "\r\033[K%3zu %%", 100 * done / replay->workload.nr);
}

static int acquire(struct share *share, struct request *request,
		   const struct work *work)
{
	const struct replay *replay = share->replay;
	uint32_t blocks = kvbm_session_block_count(request->session);
	int err;

	for (;;) {
		if (replay->split)
			err = request_acquire_split(request, work->hashes, work->prompt);
		else
			err = request_acquire(request, work->hashes, work->prompt);
		/* What other workers hold comes back; nobody waits holding. */
		if (err != -ENOSPC || work->prompt > blocks || replay->workers == 1)
			return err;
		if (stop_requested())
			return -EINTR;
		sched_yield();
	}
}

static int fill(const struct share *share, struct request *request)
{
	int err;

	if (!request->nr_filling)
		return 0;
	if (!share->replay->split)
		return request_fill(request, 0);
	err = request_stage(request);
	return err ? err : request_register(request);
}

/* What the request got, before anything is made of it. */
static void digest_acquired(struct share *share, const struct request *request,
			    size_t index)
{
	uint64_t d = digest_u64(share->digest, index);
	size_t i;

	d = digest_u64(d, request->nr_registered);
	for (i = 0; i < request->nr_registered; i++)
		d = digest_u64(d, request->registered[i].token.id);
	for (i = 0; i < request->nr_filling; i++)
		d = digest_u64(d, request->filling[i].token.id);
	for (i = 0; i < request->nr_evicted; i++) {
		d = digest_u64(d, request->evicted[i].lo);
		d = digest_u64(d, request->evicted[i].hi);
	}
	share->digest = d;
}

static int replay_one(struct share *share, struct request *request, size_t index)
{
	const struct work *work = &share->replay->workload.work[index];
	int err;

	share->tally.requests++;
	share->tally.blocks += work->prompt;
	err = acquire(share, request, work);
	if (err == -ENOSPC) {
		share->tally.refused++;
		return 0;
	}
	if (err)
		return say_err(err, "request %zu: acquire", index);
	digest_acquired(share, request, index);
	err = fill(share, request);
	if (err)
		return say_err(err, "request %zu: block %u: register", index,
			       kvbm_failed_index());
	err = request_release(request);
	if (err)
		return say_err(err, "request %zu: release", index);
	return 0;
}

static int replay_all(struct share *share, struct request *request)
{
	const struct replay *replay = share->replay;
	size_t i;
	int err;

	for (i = share->index; i < replay->workload.nr; i += replay->workers) {
		progress(share, i);
		if (stop_requested())
			return -EINTR;
		err = replay_one(share, request, i);
		if (err)
			return err;
	}
	return 0;
}

void share_run(struct share *share)
{
	struct kvbm_session *session;
	struct request request;

	share->digest = DIGEST_START;
	share->err = kvbm_bind(share->kvbm, share->manager, 0, &session);
	if (share->err) {
		say_err(share->err, "bind");
		return;
	}
	share->err = request_init(&request, session, &share->tally,
				  share->replay->workload.longest);
	if (share->err) {
		say_err(share->err, "worker %u", share->index);
		goto close;
	}
	share->err = replay_all(share, &request);
	request_free(&request);
close:
	kvbm_session_close(session);
}
