/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between the kernels that the module is built for. Kbuild looks at
 * what they have, not at their number.
 */
#ifndef KVBM_COMPAT_H
#define KVBM_COMPAT_H

#include <linux/file.h>
#include <linux/module.h>

/* Up to 6.7 receive_fd() does not write to user memory, and is not told where. */
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
