// SPDX-License-Identifier: GPL-2.0
/*
 * Random ioctls, mostly plausible ones, by several processes of several threads
 * that share descriptors, pass them around, fork, and are killed. Meanwhile and
 * afterwards the check of every store must find nothing, and in the end nothing
 * may be held.
 *
 *	SEED=n RUN_SECONDS=n kvbm_fuzz	the same choices again; for longer
 *	kvbm_fuzz clean			only the end: check and destroy everything
 *
 * A process makes its calls by kvbm_fuzz_call.h.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "kvbm_util.h"
#include "kselftest.h"

#include "kvbm_fuzz_call.h"
#include "kvbm_seed.h"

#define NR_PROCESSES	3
#define NR_THREADS	2
#define NOBODY		65534

static const char *const parameters[] = {
	"max_bytes", "max_managers", "max_registries", "event_ring",
};

#define NR_PARAMETERS	(sizeof(parameters) / sizeof(*parameters))

static int mailbox[2];
static char saved[NR_PARAMETERS][32];
static uint64_t end_ns;

static void call_one(struct worker *me)
{
	/* Half of the calls are those of sessions. */
	size_t c = below(me, NR_CALLS);
	int fd = any_fd(me);
	union arg arg;

	if (one_in(me, 2))
		while (!(calls[c].needs & KVBM_ABI_SESSION))
			c = below(me, NR_CALLS);
	compose(me, &calls[c], &arg, fd);
	shared->calls++;
	if (!kv(fd, calls[c].cmd, &arg)) {
		shared->done[c]++;
		harvest(me, &calls[c], &arg);
	}
}

/* Whatever is waited for, nobody else ends it. */
static void die_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
}

static void steps(struct worker *me, uint64_t n);

static void fork_one(struct worker *me)
{
	struct worker child = *me;
	pid_t parent = getpid();

	below(me, 1);
	if (me->depth || fork())
		return;
	die_with(parent);
	child.depth++;
	shared->forks++;
	steps(&child, 1 + below(&child, 60));
	if (one_in(&child, 2))
		raise(SIGKILL);
	_exit(0);
}

static void look(struct worker *me)
{
	struct pollfd p = { .fd = any_fd(me), .events = POLLIN | POLLOUT };
	char name[96];
	int fd;

	poll(&p, 1, below(me, 3));
	if (one_in(me, 2)) {
		/* Only event files can be read; those wait, and a signal ends it. */
		if (read(p.fd, me->arena, below(me, 2 * KVBM_EVENT_MAX_SIZE)) < 0)
			errno = 0;
		return;
	}
	snprintf(name, sizeof(name), "/sys/class/kvbm/fuzz-%u:fuzz-%u/%s", below(me, NR_NAMES),
		 below(me, NR_NAMES), one_in(me, 2) ? "counters/evictions" : "gauges/sessions");
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, me->arena, 4096) < 0)
		errno = 0;
	if (fd >= 0)
		close(fd);
}

static void step(struct worker *me)
{
	int fd;

	switch (below(me, 100)) {
	case 0 ... 1:
		keep_fd(me, kv_open());
		break;
	case 2:
		fd = dup(any_fd(me));
		if (fd >= 0)
			keep_fd(me, fd);
		break;
	case 3:
		kv_send_fd(mailbox[0], any_fd(me));
		break;
	case 4:
		fd = kv_receive_fd(mailbox[1]);
		if (fd >= 0) {
			shared->passed++;
			keep_fd(me, fd);
		}
		break;
	case 5 ... 7:
		look(me);
		break;
	case 8:
		if (one_in(me, 8))
			fork_one(me);
		break;
	case 9:
		if (one_in(me, 16)) {
			size_t i = below(me, NR_PARAMETERS);
			char text[32];

			snprintf(text, sizeof(text), "%u", 1u << below(me, 24));
			kv_set_parameter(parameters[i], text);
			kv_set_parameter(parameters[i], saved[i]);
		}
		break;
	default:
		call_one(me);
		break;
	}
}

static void steps(struct worker *me, uint64_t n)
{
	while (n-- && now_ns() < end_ns)
		step(me);
}

static void *thread(void *arg)
{
	steps(arg, UINT64_MAX);
	return NULL;
}

static void nothing(int sig)
{
}

static void make_worker(struct worker *me, uint64_t seed)
{
	me->state = seed;
	me->depth = 0;
	me->arena = mmap(NULL, ARENA + 4096, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	mprotect(me->arena + ARENA, 4096, PROT_NONE);
}

/* Some are bound already, so that a slow machine gets somewhere. */
static int first_fd(unsigned int i)
{
	int fd = kv_open();

	if (i % 2)
		kv_bind(fd, shared->ids[NR_IDS - 1 - i % 4 / 2], ALL_RIGHTS);
	return fd;
}

/* A process that works until it is told to end, or killed. */
static void process(uint64_t seed, pid_t parent)
{
	/* What waits is interrupted; not restarted. */
	struct sigaction sa = { .sa_handler = nothing };
	struct itimerval often = { { 0, 7000 }, { 0, 7000 } };
	static struct worker workers[NR_THREADS];
	pthread_t t;
	int i;

	signal(SIGCHLD, SIG_IGN);
	sigaction(SIGALRM, &sa, NULL);
	memfd = kv_memfd(4096 * 2048);
	for (i = 0; i < NR_FDS; i++)
		fds[i] = i < NR_FDS / 2 ? first_fd(i) : -1;
	/* One in four is nobody in particular. */
	if (seed % 4 == 3 && (setgid(NOBODY) || setuid(NOBODY)))
		_exit(1);
	/* Forgotten when a process becomes another user. */
	die_with(parent);
	setitimer(ITIMER_REAL, &often, NULL);
	for (i = 0; i < NR_THREADS; i++) {
		make_worker(&workers[i], seed + 1000 * i);
		if (i)
			pthread_create(&t, NULL, thread, &workers[i]);
	}
	thread(&workers[0]);
	_exit(0);
}

static pid_t spawn(uint64_t seed, unsigned int number)
{
	pid_t parent = getpid(), pid = fork();

	if (!pid)
		process(seed * 1000003 + number, parent);
	return pid;
}

/* Something to begin with, whenever it has gone. */
static void top_up(int fd)
{
	struct kvbm_registry_create r;
	struct kvbm_manager_create m;
	struct kvbm_counters c;
	uint32_t i;

	registry_init(&r, "fuzz-0");
	r.mode = 0666;
	r.capacity = 4096;
	r.sketch_capacity = 64;
	if (!kv(fd, KVBM_REGISTRY_CREATE, &r))
		shared->ids[NR_IDS - 3] = r.out_id;
	for (i = 1; i < 3; i++) {
		if (!kv_counters(fd, shared->ids[NR_IDS - i], &c))
			continue;
		manager_init(&m, shared->ids[NR_IDS - 3], i == 1 ? "fuzz-1" : "fuzz-2", 40);
		m.mode = 0666;
		m.aux_size = 8;
		m.policy = i == 1 ? KVBM_POLICY_LRU : KVBM_POLICY_LINEAGE_TICK;
		if (!kv(fd, KVBM_MANAGER_CREATE, &m))
			shared->ids[NR_IDS - i] = m.out_id;
	}
}

/* Errors that the checks of all managers find; with @last they go, too. */
static unsigned int check_all(int fd, bool last)
{
	uint64_t ids[256];
	struct kvbm_list a = { .size = sizeof(a), .ids = ptr(ids), .count = 256 };
	unsigned int errors = 0, i, n;

	kv(fd, KVBM_MANAGER_LIST, &a);
	for (i = 0; i < a.out_count; i++) {
		struct kvbm_counters c = { 0 };
		int found = kv_check(fd, ids[i]);

		if (found && found != -ENOENT) {
			ksft_print_msg("manager %llu: check says %d\n",
				       (unsigned long long)ids[i], found);
			errors++;
		}
		if (!last)
			continue;
		kv_counters(fd, ids[i], &c);
		if (c.inflight_mutable || c.inflight_immutable || c.states[KVBM_STATE_MUTABLE] ||
		    c.states[KVBM_STATE_STAGED] || c.states[KVBM_STATE_PRIMARY]) {
			ksft_print_msg("manager %llu: something is held\n",
				       (unsigned long long)ids[i]);
			errors++;
		}
		found = kv_destroy(fd, KVBM_MANAGER_DESTROY, ids[i], 0);
		if (found && found != -ENOENT) {
			ksft_print_msg("manager %llu: destroy says %d\n",
				       (unsigned long long)ids[i], found);
			errors++;
		}
	}
	n = a.out_count;
	if (last) {
		a = (struct kvbm_list){ .size = sizeof(a), .ids = ptr(ids), .count = 256 };
		kv(fd, KVBM_REGISTRY_LIST, &a);
		for (i = 0; i < a.out_count; i++)
			errors += !!kv_destroy(fd, KVBM_REGISTRY_DESTROY, ids[i], 0);
		ksft_print_msg("%u managers and %u registries were left\n", n, a.out_count);
	}
	return errors;
}

static void read_parameters(void)
{
	char name[64];
	size_t i;
	int fd;

	for (i = 0; i < NR_PARAMETERS; i++) {
		snprintf(name, sizeof(name), "/sys/module/kvbm/parameters/%s", parameters[i]);
		fd = open(name, O_RDONLY);
		if (fd < 0 || read(fd, saved[i], sizeof(saved[i]) - 1) < 0)
			ksft_exit_skip("cannot read %s\n", name);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	unsigned int spawned = 0, errors = 0, reached = 0, kills = 0, seen = 0, i;
	char original[32];
	uint64_t seed;
	pid_t pids[NR_PROCESSES];
	struct worker me = { 0 };
	int fd;

	ksft_print_header();
	fd = kv_open();
	if (fd < 0)
		ksft_exit_skip("no " KVBM_DEV "\n");
	if (getuid())
		ksft_exit_skip("not root\n");
	/* For kvbm_reload.sh. */
	if (argc > 1)
		return check_all(fd, true) ? KSFT_FAIL : KSFT_PASS;
	ksft_set_plan(3);
	seed = say_seed();

	read_parameters();
	memcpy(original, saved[0], sizeof(original));
	snprintf(saved[0], sizeof(saved[0]), "%u", 64u << 20);
	kv_set_parameter(parameters[0], saved[0]);
	for (i = 0; i < NR_HASHES; i++)
		hashes[i] = kv_hash(i / 16, i % 16);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, mailbox))
		ksft_exit_fail_msg("no sockets\n");
	prctl(PR_SET_CHILD_SUBREAPER, 1);

	me.state = seed;
	end_ns = now_ns() + run_seconds() * 1000000000ull;
	top_up(fd);
	for (i = 0; i < NR_PROCESSES; i++)
		pids[i] = spawn(seed, spawned++);
	while (now_ns() < end_ns) {
		usleep(50000 + below(&me, 400000));
		errors += check_all(fd, false);
		top_up(fd);
		/* On a slow machine nobody would get far otherwise. */
		if (shared->calls - seen < 500)
			continue;
		seen = shared->calls;
		/* One is killed, wherever it is. */
		i = below(&me, NR_PROCESSES);
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
		kills++;
		pids[i] = spawn(seed, spawned++);
	}
	for (i = 0; i < NR_PROCESSES; i++)
		kill(pids[i], SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	/* Descriptors on their way are held by the sockets. */
	close(mailbox[0]);
	close(mailbox[1]);
	/* Lingering managers end, and files on their way are closed by a worker. */
	usleep(500000);
	ksft_test_result(!errors, "stores are sound while processes work and die\n");

	errors = check_all(fd, true);
	memcpy(saved[0], original, sizeof(original));
	for (i = 0; i < NR_PARAMETERS; i++)
		kv_set_parameter(parameters[i], saved[i]);
	ksft_test_result(!errors, "in the end they are sound, and nothing is held\n");
	for (i = 0; i < NR_CALLS; i++) {
		reached += !!shared->done[i];
		if (!shared->done[i])
			ksft_print_msg("%s has never succeeded\n", calls[i].name);
	}
	ksft_print_msg("%u s, %u calls, %u of %zu ioctls succeeded, %u kills,\n",
		       run_seconds(), shared->calls, reached, NR_CALLS, kills);
	ksft_print_msg("%u forks, %u descriptors received\n", shared->forks,
		       shared->passed);
	/* Otherwise it is not fuzzing what it says; given the time. */
	ksft_test_result(4 * reached >= 3 * NR_CALLS || shared->calls < 20000,
			 "most ioctls are reached\n");
	ksft_finished();
}
