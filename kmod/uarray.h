/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Arrays of user memory: one allocation for all arrays of a call.
 */
#ifndef KVBM_UARRAY_H
#define KVBM_UARRAY_H

#include <linux/types.h>

/*
 * Small batches, a decode step above all, need no allocation: 32 hashes in and
 * tokens out. In hot paths the structure is __uninitialized: the kernel may be
 * built to clear the stack.
 */
#define KVBM_UARRAY_INLINE	768

/**
 * struct kvbm_arrays - memory for the arrays of one call
 * @mem: where they are
 * @size: bytes there
 * @used: bytes handed out
 * @small: used when it is large enough
 */
struct kvbm_arrays {
	void *mem;
	size_t size;
	size_t used;
	u64 small[KVBM_UARRAY_INLINE / sizeof(u64)];
};

int kvbm_arrays_init(struct kvbm_arrays *arrays, size_t size);
void kvbm_arrays_free(struct kvbm_arrays *arrays);
void *kvbm_array_new(struct kvbm_arrays *arrays, u32 count, size_t size);
void *kvbm_array_in(struct kvbm_arrays *arrays, u64 from, u32 count, size_t size);
int kvbm_array_probe(u64 to, u32 count, size_t size);
int kvbm_array_out(u64 to, const void *from, u32 count, size_t size);

#endif /* KVBM_UARRAY_H */
