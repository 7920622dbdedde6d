// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Two at a time, each with its own half of the chains, in one manager: threads
 * with a session each, or processes. The time is that of both together.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define WORKERS	2U

struct worker {
	struct bench *b;
	struct kvbm_session *session;
	struct kvbm_hash *hashes;
	struct kvbm_immutable *guards;
	uint32_t count;		/* calls */
	int err;
	pthread_barrier_t *start;
};

struct both {
	struct worker workers[WORKERS];
	pthread_barrier_t start;
};

static int work(struct worker *w)
{
	uint32_t n = w->b->n, i;
	ssize_t hits = n;
	int err = 0;

	for (i = 0; i < w->count && hits == n && !err; i++) {
		hits = kvbm_match(w->session, n, w->hashes + i * n, w->guards);
		err = kvbm_release(w->session, n, w->guards);
	}
	if (hits != n)
		err = hits < 0 ? hits : -ENOENT;
	return err;
}

static void *work_in_thread(void *arg)
{
	struct worker *w = arg;

	pthread_barrier_wait(w->start);
	w->err = work(w);
	return NULL;
}

static int begin_both(struct bench *b)
{
	struct both *both = calloc(1, sizeof(*both));
	struct worker *w;
	int err = 0;

	if (!both)
		return -ENOMEM;
	b->state = both;
	pthread_barrier_init(&both->start, NULL, WORKERS + 1);
	if (b->chains < WORKERS)
		return -EINVAL;
	for (w = both->workers; w < both->workers + WORKERS && !err; w++) {
		w->b = b;
		w->start = &both->start;
		w->hashes = calloc(BATCH_BLOCKS / WORKERS, sizeof(*w->hashes));
		w->guards = calloc(b->n, sizeof(*w->guards));
		err = w->hashes && w->guards ? kvbm_bind(b->kvbm, b->manager, 0,
							 &w->session) : -ENOMEM;
	}
	return err ? err : fill_with_chains(b, false);
}

static uint32_t prepare_both(struct bench *b, uint64_t iterations)
{
	struct both *both = b->state;
	uint32_t most = BATCH_BLOCKS / WORKERS / b->n, half = b->chains / WORKERS;
	uint32_t count = iterations < most ? iterations : most, i, k;

	for (i = 0; i < count; i++)
		for (k = 0; k < WORKERS; k++)
			chain_hashes(k * half + (b->turn + i) * 0x9e3779b1 % half, b->n,
				     both->workers[k].hashes + i * b->n);
	for (k = 0; k < WORKERS; k++)
		both->workers[k].count = count;
	b->turn += count;
	return count;
}

static ssize_t batch_threads(struct bench *b, uint64_t iterations)
{
	struct both *both = b->state;
	uint32_t count = prepare_both(b, iterations), i;
	pthread_t threads[WORKERS];
	int err = 0;

	for (i = 0; i < WORKERS; i++)
		if (pthread_create(&threads[i], NULL, work_in_thread, &both->workers[i]))
			return -EAGAIN;
	clock_start(b);
	pthread_barrier_wait(&both->start);
	for (i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	clock_stop(b, (uint64_t)count * b->n * WORKERS);
	for (i = 0; i < WORKERS && !err; i++)
		err = both->workers[i].err;
	return err ? err : (ssize_t)count;
}

/* In the child: a connection of its own, then wait for the word. */
static int work_in_process(struct worker *w, int ready, int go)
{
	struct kvbm *kvbm;
	char word = 0;
	int err = kvbm_open(w->b->uri, &kvbm);

	if (!err)
		err = kvbm_bind(kvbm, w->b->manager, 0, &w->session);
	if (write(ready, &word, 1) != 1 || read(go, &word, 1) != 1)
		err = -EPIPE;
	return err ? err : work(w);
}

static int wait_for(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EIO;
}

static ssize_t batch_processes(struct bench *b, uint64_t iterations)
{
	struct both *both = b->state;
	uint32_t count = prepare_both(b, iterations), i;
	pid_t pids[WORKERS];
	int ready[2], go[2], err = 0, one;
	char words[WORKERS] = { 0 };

	if (pipe(ready) || pipe(go))
		return -errno;
	for (i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			return -errno;
		if (!pids[i])
			_exit(work_in_process(&both->workers[i], ready[1], go[0]) ? 1 : 0);
	}
	for (i = 0; i < WORKERS; i++)
		if (read(ready[0], words, 1) != 1)
			err = -EPIPE;
	clock_start(b);
	if (write(go[1], words, WORKERS) != WORKERS)
		err = -EPIPE;
	for (i = 0; i < WORKERS; i++) {
		one = wait_for(pids[i]);
		err = err ? err : one;
	}
	clock_stop(b, (uint64_t)count * b->n * WORKERS);
	close(ready[0]);
	close(ready[1]);
	close(go[0]);
	close(go[1]);
	return err ? err : (ssize_t)count;
}

/* In process there is no other process to share with. */
static int begin_processes(struct bench *b)
{
	return kvbm_session_fd(b->session) < 0 ? -EOPNOTSUPP : begin_both(b);
}

static void end_both(struct bench *b)
{
	struct both *both = b->state;
	uint32_t i;

	if (!both)
		return;
	for (i = 0; i < WORKERS; i++) {
		kvbm_session_close(both->workers[i].session);
		free(both->workers[i].hashes);
		free(both->workers[i].guards);
	}
	pthread_barrier_destroy(&both->start);
	free(both);
}

const struct group threaded_groups[] = {
	{ "two_threads", begin_both, batch_threads, end_both },
	{ "two_processes", begin_processes, batch_processes, end_both },
	{ 0 }
};
