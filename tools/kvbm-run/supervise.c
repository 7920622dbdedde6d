// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The parent of the workers.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run.h"
#include "say.h"
#include "stop.h"

static noreturn void child(const struct run *run, uint32_t index, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	/* A terminal sends it to all of us; the parent decides what it means. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGTERM, SIG_DFL);
	_exit(worker_main(run, index) ? 1 : 0);
}

int start_worker(struct run *run, uint32_t index)
{
	pid_t parent = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (!pid)
		child(run, index, parent);
	if (pid < 0)
		return say_err(-errno, "worker %u", index);
	run->pids[index] = pid;
	return 0;
}

static int start_all(struct run *run)
{
	uint32_t i;
	int err = 0;

	for (i = 0; !err && i < run->nr_workers; i++)
		err = start_worker(run, i);
	return err;
}

/* Of all that ended: 0, or -ECHILD if one failed. */
static int reap(struct run *run, uint32_t *alive)
{
	int err = 0, status;
	uint32_t i;

	*alive = 0;
	for (i = 0; i < run->nr_workers; i++) {
		if (!run->pids[i])
			continue;
		if (waitpid(run->pids[i], &status, WNOHANG) != run->pids[i]) {
			++*alive;
			continue;
		}
		run->pids[i] = 0;
		if (WIFSIGNALED(status))
			say("worker %u was killed by signal %d", i, WTERMSIG(status));
		if (WIFSIGNALED(status) || WEXITSTATUS(status))
			err = -ECHILD;
	}
	return err;
}

static void kill_all(struct run *run)
{
	uint32_t i;

	for (i = 0; i < run->nr_workers; i++) {
		if (!run->pids[i])
			continue;
		kill(run->pids[i], SIGKILL);
		while (waitpid(run->pids[i], NULL, 0) < 0 && errno == EINTR)
			;
		run->pids[i] = 0;
	}
}

static int watch(struct run *run)
{
	const struct timespec nap = { .tv_nsec = 2000000 };
	uint32_t alive;
	int err;

	for (;;) {
		err = reap(run, &alive);
		if (err || !alive)
			return err;
		if (stop_requested()) {
			progress_end(run);
			say("interrupted");
			return -EINTR;
		}
		if (kill_is_due(run))
			err = kill_worker(run);
		if (err)
			return err;
		progress_tick(run);
		nanosleep(&nap, NULL);
	}
}

int supervise(struct run *run)
{
	int err;

	run->pids = calloc(run->nr_workers, sizeof(*run->pids));
	if (!run->pids)
		return say_err(-ENOMEM, "workers");
	run->start_ns = now_ns();
	err = start_all(run);
	if (!err)
		err = watch(run);
	run->end_ns = now_ns();
	kill_all(run);
	progress_end(run);
	free(run->pids);
	run->pids = NULL;
	return err;
}
