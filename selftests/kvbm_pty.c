// SPDX-License-Identifier: GPL-2.0
/*
 * For the tests of programs: run one in a terminal of its own.
 *
 *	kvbm_pty KEYS PROGRAM [ARG...]
 *
 * KEYS are typed once the program has written something. What it writes goes to
 * stdout, and its exit status is ours.
 */
#include <err.h>
#include <errno.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct winsize size = { .ws_row = 24, .ws_col = 120 };
	const char *keys;
	char buf[4096];
	int fd, status;
	ssize_t n;
	pid_t pid;

	if (argc < 3)
		errx(2, "usage: kvbm_pty KEYS PROGRAM [ARG...]");
	keys = argv[1];
	pid = forkpty(&fd, NULL, NULL, &size);
	if (pid < 0)
		err(3, "forkpty");
	if (!pid) {
		execvp(argv[2], argv + 2);
		err(3, "%s", argv[2]);
	}
	alarm(60);
	/* The other end is gone when this fails. */
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		fwrite(buf, 1, n, stdout);
		if (*keys && write(fd, keys, strlen(keys)) < 0)
			err(3, "keys");
		keys = "";
	}
	fflush(stdout);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
