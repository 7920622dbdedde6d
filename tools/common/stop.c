// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

#include "stop.h"

static atomic_bool stopped;

static void on_signal(int sig)
{
	(void)sig;
	atomic_store(&stopped, true);
}

void stop_on_signals(void)
{
	/* A second one is not waited for: the cleanup may hang. */
	struct sigaction action = {
		.sa_handler = on_signal,
		.sa_flags = SA_RESETHAND,
	};

	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

bool stop_requested(void)
{
	return atomic_load(&stopped);
}
