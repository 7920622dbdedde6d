/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A user namespace of one's own: numbers of users mean something else there, or
 * nothing.
 */
#ifndef KVBM_USERNS_H
#define KVBM_USERNS_H

#include <sched.h>

#include "kvbm_util.h"

/* The only user and the only group of a namespace, who are the caller outside of it. */
#define UID_INSIDE	7
#define GID_INSIDE	8

static inline int userns_map(const char *path, unsigned int inside, unsigned int outside)
{
	char text[32];

	snprintf(text, sizeof(text), "%u %u 1", inside, outside);
	return kv_write_file(path, text);
}

/*
 * For a child with one thread. Without @mapped nobody has a number there. Return: 0;
 * -EOPNOTSUPP where there are none; or what went wrong.
 */
static inline int userns_enter(bool mapped)
{
	unsigned int uid = geteuid(), gid = getegid();
	int err;

	if (unshare(CLONE_NEWUSER))
		return -EOPNOTSUPP;
	if (!mapped)
		return 0;
	err = kv_write_file("/proc/self/setgroups", "deny");
	err = err ?: userns_map("/proc/self/uid_map", UID_INSIDE, uid);
	return err ?: userns_map("/proc/self/gid_map", GID_INSIDE, gid);
}

#endif /* KVBM_USERNS_H */
