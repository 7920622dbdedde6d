// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * One worker: a session of its own, and some requests at a time, as a batching
 * engine has them. Each turn of the loop admits a request, lets every running
 * one grow by what was decoded meanwhile, and ends those that are complete.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "connect.h"
#include "request.h"
#include "run.h"
#include "say.h"

/*
 * One prompt of this many is not computed but loaded from another tier: its
 * blocks have their hashes at once, their contents some turns later.
 */
#define LOAD_EVERY	4
#define LOAD_TURNS	4

struct running {
	struct request request;
	const struct work *work;
	size_t index;		/* of the request in the workload */
	uint32_t step;		/* blocks that it grows by */
	uint32_t age;		/* turns of the loop */
};

/* A request that lost its blocks and is to be computed again. */
struct preempted {
	size_t index;
	size_t blocks;		/* that it had computed */
};

struct worker {
	const struct run *run;
	uint32_t index;
	struct slot *slot;
	struct kvbm *kvbm;
	struct kvbm_session *session;
	struct tally tally;
	size_t cursor;			/* in the workload */
	uint32_t nr_running;
	struct running *memory;
	struct running **running;	/* the oldest first, then unused ones */
	uint32_t nr_preempted;
	struct preempted *preempted;
};

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void count(atomic_ullong *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static bool is_mine(const struct worker *w, size_t index)
{
	const struct run *run = w->run;

	return run->workload.work[index].conversation % run->nr_workers == w->index &&
	       !atomic_load_explicit(&run->finished[index], memory_order_relaxed);
}

/* Whether there is a request to admit, and which. */
static bool peek(struct worker *w, struct preempted *next)
{
	size_t nr = w->run->workload.nr;

	if (w->nr_preempted) {
		*next = w->preempted[w->nr_preempted - 1];
		return true;
	}
	while (w->cursor < nr && !is_mine(w, w->cursor))
		w->cursor++;
	if (w->cursor == nr)
		return false;
	*next = (struct preempted){
		.index = w->cursor,
		.blocks = w->run->workload.work[w->cursor].prompt,
	};
	return true;
}

static void take(struct worker *w)
{
	if (w->nr_preempted)
		w->nr_preempted--;
	else
		w->cursor++;
}

static void set_finished(struct worker *w, size_t index)
{
	atomic_store(&w->run->finished[index], 1);
	count(&w->slot->served);
}

/* Nothing of it can be done: even an empty pool is too small. */
static bool refuse(struct worker *w, const struct preempted *next)
{
	const struct work *work = &w->run->workload.work[next->index];

	if (work->total <= kvbm_session_block_count(w->session))
		return false;
	take(w);
	count(&w->slot->refused);
	set_finished(w, next->index);
	return true;
}

static void wait_for_others(void)
{
	const struct timespec nap = { .tv_nsec = 500000 };

	nanosleep(&nap, NULL);
}

static size_t growth(const struct running *r)
{
	return least(r->step, r->work->total - request_blocks(&r->request));
}

/* The prompt: what was not found is computed, or begins to be loaded. */
static int begin(struct running *r)
{
	if (r->index % LOAD_EVERY == 0 && r->request.nr_filling)
		return request_stage(&r->request);
	return request_fill(&r->request, growth(r));
}

static int admit(struct worker *w, const struct preempted *next)
{
	const struct work *work = &w->run->workload.work[next->index];
	struct running *r = w->running[w->nr_running];
	int err;

	err = request_acquire(&r->request, work->hashes, next->blocks);
	if (err)
		return err;
	take(w);
	r->work = work;
	r->index = next->index;
	r->step = (work->total - work->prompt) / w->run->running + 1;
	r->age = 0;
	w->nr_running++;
	atomic_store(&w->slot->running, w->nr_running);
	return begin(r);
}

static int admit_next(struct worker *w)
{
	struct preempted next;
	int err;

	if (w->nr_running == w->run->running || !peek(w, &next) || refuse(w, &next))
		return 0;
	err = admit(w, &next);
	if (err != -ENOSPC)
		return err;
	/* Our own requests give blocks back when they end; others', too. */
	count(&w->slot->waits);
	if (!w->nr_running)
		wait_for_others();
	return 0;
}

static int end(struct worker *w, uint32_t i)
{
	struct running *r = w->running[i];
	int err;

	/* Before the release: what is counted there holds something. */
	w->nr_running--;
	atomic_store(&w->slot->running, w->nr_running);
	err = request_release(&r->request);
	if (err)
		return err;
	for (; i < w->nr_running; i++)
		w->running[i] = w->running[i + 1];
	w->running[i] = r;
	return 0;
}

/* The youngest has waited least: it starts again later. */
static int preempt(struct worker *w)
{
	const struct running *r = w->running[w->nr_running - 1];

	w->preempted[w->nr_preempted++] = (struct preempted){
		.index = r->index,
		.blocks = r->request.nr_registered > r->work->prompt ?
			  r->request.nr_registered : r->work->prompt,
	};
	count(&w->slot->preemptions);
	return end(w, w->nr_running - 1);
}

/* One turn of one request; -ENOSPC if it cannot grow. */
static int advance(struct running *r)
{
	size_t more;
	int err;

	if (r->request.nr_staged) {
		if (r->age < LOAD_TURNS)
			return 0;
		err = request_register(&r->request);
		if (err)
			return err;
	}
	more = growth(r);
	if (r->request.nr_filling)
		return request_fill(&r->request, more);
	return more ? request_extend(&r->request, more) : 0;
}

static int advance_all(struct worker *w)
{
	uint32_t i;
	int err;

	for (i = 0; i < w->nr_running; i++) {
		/* It may be the youngest itself that has to go. */
		while ((err = advance(w->running[i])) == -ENOSPC) {
			err = preempt(w);
			if (err || i >= w->nr_running)
				return err;
		}
		if (err)
			return err;
		w->running[i]->age++;
	}
	return 0;
}

static bool is_complete(const struct worker *w, const struct running *r)
{
	return r->age >= w->run->running &&
	       r->request.nr_registered == r->work->total;
}

static int end_complete(struct worker *w)
{
	struct running *r;
	uint32_t i = 0;
	int err;

	while (i < w->nr_running) {
		r = w->running[i];
		if (!is_complete(w, r)) {
			i++;
			continue;
		}
		err = end(w, i);
		if (err)
			return err;
		set_finished(w, r->index);
	}
	return 0;
}

static int serve(struct worker *w)
{
	struct preempted next;
	int err = 0;

	while (!err && (w->nr_running || peek(w, &next))) {
		err = admit_next(w);
		if (!err)
			err = advance_all(w);
		if (!err)
			err = end_complete(w);
	}
	return err;
}

static int get_memory(struct worker *w)
{
	uint32_t n = w->run->running, i;
	int err;

	w->memory = calloc(n, sizeof(*w->memory));
	w->running = calloc(n, sizeof(*w->running));
	w->preempted = calloc(n, sizeof(*w->preempted));
	if (!w->memory || !w->running || !w->preempted)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		w->running[i] = &w->memory[i];
		err = request_init(&w->memory[i].request, w->session, &w->tally,
				   w->run->workload.longest);
		if (err)
			return err;
	}
	return 0;
}

static void free_memory(struct worker *w)
{
	uint32_t i;

	for (i = 0; w->memory && i < w->run->running; i++)
		request_free(&w->memory[i].request);
	free(w->memory);
	free(w->running);
	free(w->preempted);
}

int worker_main(const struct run *run, uint32_t index)
{
	struct worker w = { .run = run, .index = index, .slot = &run->slots[index] };
	int err;

	atomic_store(&w.slot->running, 0);
	err = connect_to(run->device, &w.kvbm);
	if (err)
		return err;
	err = kvbm_bind(w.kvbm, run->scratch.manager, 0, &w.session);
	if (err)
		goto close;
	err = get_memory(&w);
	if (!err)
		err = serve(&w);
	free_memory(&w);
	kvbm_session_close(w.session);
close:
	kvbm_close(w.kvbm);
	return err ? say_err(err, "worker %u", index) : 0;
}
