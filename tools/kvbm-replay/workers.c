// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Workers: processes for the device, threads for a store of this process, and
 * nothing of the kind for one worker.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "connect.h"
#include "replay.h"
#include "say.h"

static void *thread_main(void *arg)
{
	share_run(arg);
	return NULL;
}

static int run_threads(struct share *shares, uint32_t count)
{
	pthread_t *threads = calloc(count, sizeof(*threads));
	uint32_t i, started;
	int err = 0;

	if (!threads)
		return say_err(-ENOMEM, "workers");
	for (started = 0; started < count; started++) {
		err = -pthread_create(&threads[started], NULL, thread_main,
				      &shares[started]);
		if (err) {
			say_err(err, "worker %u", started);
			break;
		}
	}
	for (i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	free(threads);
	return err;
}

/* A connection does not survive fork(): each process has its own. */
static noreturn void process_main(struct share *share, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	share->err = connect_to(share->replay->uri, &share->kvbm);
	if (share->err)
		_exit(1);
	share_run(share);
	kvbm_close(share->kvbm);
	_exit(share->err ? 1 : 0);
}

/* Until all are gone, however they ended. */
static int reap(const pid_t *pids, uint32_t count)
{
	int status, err = 0;
	uint32_t i;

	for (i = 0; i < count; i++) {
		while (waitpid(pids[i], &status, 0) < 0 && errno == EINTR)
			;
		if (WIFSIGNALED(status)) {
			say("worker %u was killed by signal %d", i, WTERMSIG(status));
			err = -ECHILD;
		}
	}
	return err;
}

static int run_processes(struct share *shares, uint32_t count)
{
	pid_t *pids = calloc(count, sizeof(*pids));
	pid_t parent = getpid();
	uint32_t started, i;
	int err = 0, gone;

	if (!pids)
		return say_err(-ENOMEM, "workers");
	for (started = 0; started < count; started++) {
		pids[started] = fork();
		if (!pids[started])
			process_main(&shares[started], parent);
		if (pids[started] < 0) {
			err = say_err(-errno, "worker %u", started);
			break;
		}
	}
	for (i = 0; err && i < started; i++)
		kill(pids[i], SIGTERM);
	gone = reap(pids, started);
	free(pids);
	return err ? err : gone;
}

static int collect(const struct share *shares, uint32_t count, struct cell *cell)
{
	int err = 0;
	uint32_t i;

	for (i = 0; i < count; i++) {
		tally_add(&cell->tally, &shares[i].tally);
		if (!err)
			err = shares[i].err;
	}
	/* Several workers have no one order of requests. */
	cell->digest = count == 1 ? shares[0].digest : 0;
	return err;
}

int run_workers(const struct replay *replay, uint64_t manager, struct cell *cell)
{
	uint32_t count = replay->workers, i;
	struct share *shares;
	size_t size = count * sizeof(*shares);
	int err = 0, failed;

	/* Processes leave their results here. */
	shares = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shares == MAP_FAILED)
		return say_err(-errno, "workers");
	for (i = 0; i < count; i++)
		shares[i] = (struct share){
			.replay = replay,
			.kvbm = replay->kvbm,
			.manager = manager,
			.index = i,
		};
	if (count == 1)
		share_run(shares);
	else if (replay->in_process)
		err = run_threads(shares, count);
	else
		err = run_processes(shares, count);
	/* A worker that failed has said why. */
	failed = collect(shares, count, cell);
	munmap(shares, size);
	return err ? err : failed;
}
