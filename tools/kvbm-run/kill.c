// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * One worker dies in the middle of its work, and another one takes its share:
 * the kernel takes back what the dead one held, the cache stays.
 */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "run.h"
#include "say.h"

/* Longer than this is never. */
#define RECLAIM_TIMEOUT_NS	(10 * 1000000000ULL)

/* The busiest one. */
static uint32_t choose(const struct run *run, uint32_t *running)
{
	uint32_t i, n, chosen = 0;

	*running = 0;
	for (i = 0; i < run->nr_workers; i++) {
		n = run->pids[i] ? atomic_load(&run->slots[i].running) : 0;
		if (n > *running) {
			*running = n;
			chosen = i;
		}
	}
	return chosen;
}

bool kill_is_due(const struct run *run)
{
	uint32_t running;

	if (run->killed.done || 2 * requests_done(run) < run->workload.nr)
		return false;
	choose(run, &running);
	return running;
}

/*
 * Stopped first, so that it is known to hold something when it is killed, and
 * what. False if it ended by itself meanwhile, or let go of all it had.
 */
static bool stop_worker(struct run *run)
{
	struct kill_report *k = &run->killed;
	siginfo_t info = { 0 };

	k->worker = choose(run, &k->running);
	k->pid = run->pids[k->worker];
	if (!k->running || kill(k->pid, SIGSTOP))
		return false;
	while (waitid(P_PID, k->pid, &info, WSTOPPED | WEXITED | WNOWAIT) < 0 &&
	       errno == EINTR)
		;
	k->running = atomic_load(&run->slots[k->worker].running);
	if (info.si_code == CLD_STOPPED && k->running)
		return true;
	kill(k->pid, SIGCONT);
	return false;
}

static int counters(const struct run *run, struct kvbm_counters *out)
{
	int err = kvbm_manager_counters(run->scratch.kvbm, run->scratch.manager, out);

	return err ? say_err(err, "statistics") : 0;
}

static int wait_for_reclaim(struct run *run)
{
	const struct timespec nap = { .tv_nsec = 200000 };
	struct kill_report *k = &run->killed;
	int err;

	for (;;) {
		err = counters(run, &k->after);
		if (err || k->after.reclaimed_sessions != k->before.reclaimed_sessions)
			return err;
		if (now_ns() - k->kill_ns > RECLAIM_TIMEOUT_NS) {
			say("worker %u is dead, but the kernel took nothing back",
			    k->worker);
			return -ETIME;
		}
		nanosleep(&nap, NULL);
	}
}

int kill_worker(struct run *run)
{
	struct kill_report *k = &run->killed;
	int err;

	if (!stop_worker(run))
		return 0;	/* The next turn tries again. */
	err = counters(run, &k->before);
	if (err)
		return err;
	k->kill_ns = now_ns();
	if (kill(k->pid, SIGKILL))
		return say_err(-errno, "kill");
	while (waitpid(k->pid, NULL, 0) < 0 && errno == EINTR)
		;
	run->pids[k->worker] = 0;
	err = wait_for_reclaim(run);
	if (err)
		return err;
	k->done = true;
	return start_worker(run, k->worker);
}
