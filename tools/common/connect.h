/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * kvbm_open() of programs.
 */
#ifndef KVBM_TOOLS_CONNECT_H
#define KVBM_TOOLS_CONNECT_H

struct kvbm;

#define DEFAULT_DEVICE	"/dev/kvbm"

/* 0, or -errno after a message. */
int connect_to(const char *uri, struct kvbm **out);

#endif
