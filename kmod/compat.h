/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between the kernels that the module is built for.
 */
#ifndef KVBM_COMPAT_H
#define KVBM_COMPAT_H

#include <linux/file.h>
#include <linux/module.h>
#include <linux/version.h>

/* Callbacks of struct class get a const device from Linux 6.2 on. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define kvbm_class_device	struct device
#else
#define kvbm_class_device	const struct device
#endif

/*
 * Up to 6.7 receive_fd() does not write to user memory, and is not told where.
 * Kbuild looks.
 */
static inline int kvbm_receive_fd(struct file *file, unsigned int flags)
{
#ifdef KVBM_RECEIVE_FD_UFD
	return receive_fd(file, NULL, flags);
#else
	return receive_fd(file, flags);
#endif
}

/*
 * MODULE_IMPORT_NS() takes a word up to 6.12, and a string after. This is what
 * both make of it.
 */
#define KVBM_IMPORT_NS(ns)	MODULE_INFO(import_ns, ns)

#endif /* KVBM_COMPAT_H */
