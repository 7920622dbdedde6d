// SPDX-License-Identifier: GPL-2.0
/*
 * Arrays of user memory.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "uarray.h"

/* What kvbm_array_new() hands out stays aligned for every element type. */
#define ALIGNMENT	sizeof(u64)

/**
 * kvbm_arrays_init - memory for the arrays of a call
 * @arrays: on the stack of the caller
 * @size: bytes of all arrays together, each rounded up to 8
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int kvbm_arrays_init(struct kvbm_arrays *arrays, size_t size)
{
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN | __GFP_RETRY_MAYFAIL;

	arrays->mem = arrays->small;
	arrays->size = size;
	arrays->used = 0;
	/* Up to a page, once per task, is what a system call may take. */
	if (size > PAGE_SIZE)
		gfp |= __GFP_ACCOUNT;
	if (size > sizeof(arrays->small))
		arrays->mem = kvmalloc(size, gfp);
	return arrays->mem ? 0 : -ENOMEM;
}

void kvbm_arrays_free(struct kvbm_arrays *arrays)
{
	if (arrays->mem != arrays->small)
		kvfree(arrays->mem);
}

/**
 * kvbm_array_new - the next array
 * @arrays: memory
 * @count: elements
 * @size: bytes of one
 *
 * Return: uninitialised memory, or NULL when the caller asked for too little.
 */
void *kvbm_array_new(struct kvbm_arrays *arrays, u32 count, size_t size)
{
	size_t bytes = ALIGN(count * size, ALIGNMENT);
	void *array = arrays->mem + arrays->used;

	if (WARN_ON_ONCE(bytes > arrays->size - arrays->used))
		return NULL;
	arrays->used += bytes;
	return array;
}

/**
 * kvbm_array_in - the next array, copied from user memory
 * @arrays: memory
 * @from: user address
 * @count: elements
 * @size: bytes of one
 *
 * Context: may sleep and fault.
 * Return: the array, or ERR_PTR(-EFAULT).
 */
void *kvbm_array_in(struct kvbm_arrays *arrays, u64 from, u32 count, size_t size)
{
	void *array = kvbm_array_new(arrays, count, size);

	if (!array || copy_from_user(array, u64_to_user_ptr(from), count * size))
		return ERR_PTR(-EFAULT);
	return array;
}

/**
 * kvbm_array_probe - whether an array can be written
 * @to: user address
 * @count: elements
 * @size: bytes of one
 *
 * Writes one byte of every page back as it was: the array may be an input,
 * too, and the call may yet fail.
 *
 * Context: may sleep and fault.
 * Return: 0 or -EFAULT.
 */
int kvbm_array_probe(u64 to, u32 count, size_t size)
{
	char __user *at = u64_to_user_ptr(to);
	char __user *end = at + count * size;
	char c;

	if (!count)
		return 0;
	if (!access_ok(at, count * size))
		return -EFAULT;
	for (; at < end; at = PTR_ALIGN(at + 1, PAGE_SIZE))
		if (__get_user(c, at) || __put_user(c, at))
			return -EFAULT;
	return 0;
}

/**
 * kvbm_array_out - copy an array to user memory
 * @to: user address
 * @from: the array
 * @count: elements
 * @size: bytes of one
 *
 * Context: may sleep and fault.
 * Return: 0 or -EFAULT.
 */
int kvbm_array_out(u64 to, const void *from, u32 count, size_t size)
{
	return copy_to_user(u64_to_user_ptr(to), from, count * size) ? -EFAULT : 0;
}
