/* SPDX-License-Identifier: GPL-2.0 OR MIT */
#ifndef KVBM_TOOLS_COMPILER_H
#define KVBM_TOOLS_COMPILER_H

/* The format is argument @fmt, what it formats begins with argument @first. */
#define __printf(fmt, first)		__attribute__((__printf_format(fmt, first)))
#define __printf_format(fmt, first)	__format__(__printf__, fmt, first)

#endif
