/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between the kernels that the module is built for.
 */
#ifndef KVBM_COMPAT_H
#define KVBM_COMPAT_H

#include <linux/version.h>

/* Callbacks of struct class get a const device from Linux 6.2 on. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define kvbm_class_device	struct device
#else
#define kvbm_class_device	const struct device
#endif

#endif /* KVBM_COMPAT_H */
