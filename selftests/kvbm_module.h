/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Unload the module and load it again. In a guest of scripts/vm.sh it is there as a
 * file; elsewhere the test is to be skipped.
 */
#ifndef KVBM_MODULE_H
#define KVBM_MODULE_H

#include <sys/syscall.h>

#include "kvbm_util.h"

#define KVBM_KO		"/modules/kvbm.ko"

/* Who was killed a moment ago may still be closing files. Returns 0 or -errno. */
static inline int unload_module(void)
{
	int tries;

	for (tries = 0; syscall(SYS_delete_module, "kvbm", O_NONBLOCK); tries++) {
		if (errno != EAGAIN || tries == 200)
			return -errno;
		usleep(100000);
	}
	return 0;
}

static inline int load_module(void)
{
	int fd = open(KVBM_KO, O_RDONLY | O_CLOEXEC), err = 0;

	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
		err = -errno;
	close(fd);
	return err;
}

/* The device is a new one: whose it was. */
static inline int own_device(const struct stat *old)
{
	return chown(KVBM_DEV, old->st_uid, old->st_gid) ||
	       chmod(KVBM_DEV, old->st_mode & 07777) ? -errno : 0;
}

#endif /* KVBM_MODULE_H */
