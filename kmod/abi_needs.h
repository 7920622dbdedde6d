/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What an ioctl needs of its file.
 */
#ifndef KVBM_ABI_NEEDS_H
#define KVBM_ABI_NEEDS_H

#define KVBM_ABI_SESSION	(1U << 0)	/* bound */
#define KVBM_ABI_READ		(1U << 1)	/* bound with read */
#define KVBM_ABI_WRITE		(1U << 2)	/* bound with write */
#define KVBM_ABI_MODIFY		(1U << 3)	/* open for writing */
#define KVBM_ABI_PIN		(1U << 4)	/* a pin, and not the device */

#endif /* KVBM_ABI_NEEDS_H */
