/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * SIGINT, SIGTERM and SIGHUP end a program by way of its cleanup.
 */
#ifndef KVBM_TOOLS_STOP_H
#define KVBM_TOOLS_STOP_H

#include <stdbool.h>

/* From now on those signals only set a flag, and interrupt sleeps. */
void stop_on_signals(void);
/* Whether one came. */
bool stop_requested(void);

#endif
