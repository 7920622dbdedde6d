/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between the kernels that the module is built for. The code is
 * written for the newest.
 */
#ifndef KVBM_COMPAT_H
#define KVBM_COMPAT_H

#include <linux/file.h>
#include <linux/module.h>
#include <linux/version.h>

/* Without a place in user memory, receive_fd() had two arguments before 6.8. */
static inline int kvbm_receive_fd(struct file *file, unsigned int flags)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
	return receive_fd(file, flags);
#else
	return receive_fd(file, NULL, flags);
#endif
}

/* The name of a namespace is a string from 6.13 on. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
#define KVBM_IMPORT_DMA_BUF	MODULE_IMPORT_NS(DMA_BUF)
#else
#define KVBM_IMPORT_DMA_BUF	MODULE_IMPORT_NS("DMA_BUF")
#endif

#endif /* KVBM_COMPAT_H */
