/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the linker makes of calls that a test counts: --wrap=NAME has them go to
 * __wrap_NAME(), which is the test's, and __real_NAME() is what they were for.
 */
#ifndef KVBM_COUNTED_H
#define KVBM_COUNTED_H

#include <stddef.h>
#include <stdint.h>

struct kvbm_conn;
int __real_kvbm_conn_call(struct kvbm_conn *conn, uint32_t cmd, void *arg);
int __wrap_kvbm_conn_call(struct kvbm_conn *conn, uint32_t cmd, void *arg);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);

#endif /* KVBM_COUNTED_H */
