// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner.h"
#include "say.h"

static void run_side(const char *const argv[], int orders, int answers)
{
	dup2(orders, STDIN_FILENO);
	dup2(answers, STDOUT_FILENO);
	/*
	 * The allocator keeps what it has: memory that comes from the system, or
	 * goes there, while the clock runs is not what is compared. (Only the
	 * crate allocates then.)
	 */
	setenv("MALLOC_TRIM_THRESHOLD_", "17179869184", 0);
	setenv("MALLOC_TOP_PAD_", "67108864", 0);
	setenv("MALLOC_MMAP_MAX_", "0", 0);
	execv(argv[0], (char *const *)argv);
	say_err(-errno, "%s", argv[0]);
	_exit(127);
}

int side_start(struct side *side, const char *name, const char *const argv[])
{
	int orders[2], answers[2];

	side->name = name;
	/* Not for the other side: it would keep them open. */
	if (pipe2(orders, O_CLOEXEC) || pipe2(answers, O_CLOEXEC))
		return say_err(-errno, "%s", name);
	side->pid = fork();
	if (side->pid < 0) {
		side->pid = 0;
		return say_err(-errno, "%s", name);
	}
	if (!side->pid)
		run_side(argv, orders[0], answers[1]);
	close(orders[0]);
	close(answers[1]);
	side->orders = fdopen(orders[1], "w");
	side->answers = fdopen(answers[0], "r");
	if (!side->orders || !side->answers)
		return say_err(-ENOMEM, "%s", name);
	return 0;
}

void side_stop(struct side *side)
{
	if (side->orders)
		fclose(side->orders);
	if (side->answers)
		fclose(side->answers);
	if (side->pid)
		waitpid(side->pid, NULL, 0);
	free(side->line);
	memset(side, 0, sizeof(*side));
}

static int answer(struct side *side)
{
	fflush(side->orders);
	if (getline(&side->line, &side->room, side->answers) <= 0)
		return say_err(-EPIPE, "%s ended", side->name);
	side->line[strcspn(side->line, "\n")] = 0;
	return 0;
}

static int unexpected(const struct side *side)
{
	return say_err(-EPROTO, "%s said: %s", side->name, side->line);
}

int side_cell(struct side *side, const char *group, const char *policy, uint32_t n,
	      uint32_t pool)
{
	int err;

	if (!side->pid)
		return 0;
	fprintf(side->orders, "cell %s %s %u %u\n", group, policy, n, pool);
	err = answer(side);
	if (err)
		return err;
	if (!strncmp(side->line, "none ", 5))
		return 0;
	return strcmp(side->line, "ready") ? unexpected(side) : 1;
}

int side_sample(struct side *side, uint64_t iterations, double *per_block, double *ns)
{
	unsigned long long time, blocks;
	int err;

	fprintf(side->orders, "sample %llu\n", (unsigned long long)iterations);
	err = answer(side);
	if (err)
		return err;
	if (sscanf(side->line, "ns %llu blocks %llu", &time, &blocks) != 2 || !blocks)
		return unexpected(side);
	*ns = time;
	*per_block = (double)time / blocks;
	return 0;
}

int side_end(struct side *side, uint64_t *digest)
{
	unsigned long long value;
	int err;

	fprintf(side->orders, "end\n");
	err = answer(side);
	if (err)
		return err;
	if (sscanf(side->line, "digest %llx", &value) != 1)
		return unexpected(side);
	*digest = value;
	return 0;
}
