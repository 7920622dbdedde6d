// SPDX-License-Identifier: GPL-2.0
/*
 * The structure of an ioctl, from and to user memory.
 */
#include "private.h"
#include "uarray.h"

/**
 * kvbm_call_put - write the structure of a call back
 * @call: the call
 *
 * Context: may sleep and fault.
 * Return: 0 or -EFAULT.
 */
int kvbm_call_put(const struct kvbm_call *call)
{
	size_t size = min(call->usize, call->abi->size);

	return copy_to_user(call->uarg, call->arg, size) ? -EFAULT : 0;
}

/**
 * kvbm_call_get - copy the structure of a call in
 * @call: the call; @usize and @arg are filled in
 *
 * It is also seen to that the structure can be written back.
 *
 * Context: may sleep and fault.
 * Return: 0, -EFAULT, -EINVAL (too short), -E2BIG (an unknown tail).
 */
int kvbm_call_get(struct kvbm_call *call)
{
	u32 __user *usize = call->uarg;
	int err;

	if (get_user(call->usize, usize))
		return -EFAULT;
	if (call->usize < call->abi->min_size)
		return -EINVAL;
	if (call->usize > PAGE_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(call->arg, call->abi->size, call->uarg,
				    call->usize);
	if (err)
		return err;
	/* The caller may have changed it under our feet. */
	call->arg->size = call->usize;
	return kvbm_array_probe((uintptr_t)call->uarg, 1,
				min(call->usize, call->abi->size));
}
