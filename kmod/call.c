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

/* Copy the structure in, and see that it can be written back. */
static int copy_in(struct kvbm_call *call)
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

/**
 * kvbm_call_begin - find an ioctl, copy its structure in and check it
 * @call: filled in
 * @cmd: number of the ioctl
 * @uarg: address of its structure in user memory
 * @buf: for our copy of that
 *
 * Context: may sleep and fault.
 * Return: 0, -ENOTTY (no such ioctl), -EFAULT, -EINVAL (too short, or a value),
 * -E2BIG (an unknown tail), -EOPNOTSUPP.
 */
int kvbm_call_begin(struct kvbm_call *call, unsigned int cmd, unsigned long uarg,
		    union kvbm_abi_arg *buf)
{
	int err;

	call->abi = kvbm_abi_find(cmd);
	if (!call->abi)
		return -ENOTTY;
	call->uarg = (void __user *)uarg;
	call->arg = buf;
	err = copy_in(call);
	return err ?: kvbm_abi_check(call->abi, buf);
}
