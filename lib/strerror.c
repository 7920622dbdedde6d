// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Errors in words: what is wrong, and what to do about it.
 */
#include <string.h>

#include <kvbm/kvbm.h>

#include "engine/env.h"

static const char *const texts[] = {
	[0] =
		"success",
	[E2BIG] =
		"the running kvbm module is older than this program: reload the newer module",
	[EACCES] =
		"no right to do this: join the group of the device (ls -l /dev/kvbm), check owner and mode of the registry and the manager, and the rights that the session was bound with",
	[EBADF] =
		"a descriptor is not open: pass one that is, opened for reading and writing",
	[EBADFD] =
		"called out of order: stage Mutable blocks, register Staged ones; for a sequence see kvbm_seq_error_text()",
	[EBUSY] =
		"still in use: release the guards, close the pins or destroy the managers first, or destroy the manager with force; a block that is registered must have no write pin",
	[EDOM] =
		"the block size is not the manager's: use kvbm_session_block_size()",
	[EDQUOT] =
		"a limit is reached: release guards or close pins if it is a quota (kvbm_get_quota), else destroy what is not needed, or raise the module's parameters",
	[EEXIST] =
		"the name is taken: use the object that has it, or choose another name; for assignments: the block is there already",
	[EFAULT] =
		"a pointer is bad: check the arrays and their lengths",
	[EFBIG] =
		"the file is smaller than the blocks that are to live in it: make it larger, or check offset, stride and bytes",
	[EILSEQ] =
		"not a valid hash under the registry's schema: make it with kvbm_plh(), or use an opaque registry",
	[EINTR] =
		"interrupted before anything was changed: call again",
	[EINVAL] =
		"a value is out of range, or a flag or scheme unknown: check names, counts and flags",
	[EISCONN] =
		"the file is bound already: open another one",
	[EMFILE] =
		"this process has too many open files: close some, or raise ulimit -n",
	[EMSGSIZE] =
		"an output array is too small: call again with the size that was written back",
	[ENFILE] =
		"the system has too many open files: close some, or raise fs.file-max",
	[ENODATA] =
		"there is no token to remove: the sequence is empty",
	[ENODEV] =
		"the device has no driver: load the kvbm module (modprobe kvbm)",
	[ENOENT] =
		"no such device, registry or manager: load the kvbm module (modprobe kvbm) if /dev/kvbm is missing, otherwise check the name or id",
	[ENOMEDIUM] =
		"the manager has no backing: give it one with kvbm_set_backing()",
	[ENOMEM] =
		"not enough memory: use fewer blocks, or raise the memory limit of the group",
	[ENOSPC] =
		"not enough free or evictable blocks: release guards or retry later; when creating a manager: the registry is at its capacity or has 64 managers (handles take the place of one); when opening a handle: close some",
	[ENOTCONN] =
		"the file is not bound to a manager: bind it first",
	[ENOTTY] =
		"the running kvbm module does not have this call: load a newer module",
	[ENOTUNIQ] =
		"two multimodal runs have a slot in common: check their offsets and lengths",
	[ENXIO] =
		"this session does not hold a guard (or not so many) on that block: it was released, or belongs to another session",
	[EOPNOTSUPP] =
		"the running kvbm does not support this option: see kvbm_info() for what it does",
	[EOVERFLOW] =
		"a count or position would become too large: release guards, or shorten the sequence",
	[EOWNERDEAD] =
		"the session belongs to another process (before a fork), has ended, or was replaced by one of a later epoch: open and bind a new one",
	[EPERM] =
		"only the owner or an administrator may do this: run as the owner or as root; a memfd that backs blocks must be sealed with F_SEAL_SHRINK (kvbm_memfd_create)",
	[EPROTO] =
		"the path or descriptor is not of kvbm: give the device of the kvbm module, usually /dev/kvbm, or a descriptor that it made",
	[EPROTOTYPE] =
		"attachments of this type are unique or multiple at that hash already, and this one is the other: use one mode for a type",
	[ERANGE] =
		"beyond the end of the sequence: check it against the number of its tokens or blocks",
	[ESHUTDOWN] =
		"the manager was destroyed: close the session and bind to another manager",
	[ESTALE] =
		"the guard is of an earlier tenant of that block: drop it, and match the hash again",
	[ETIMEDOUT] =
		"the deadline passed before there were enough blocks: release guards or retry later",
};

const char *kvbm_strerror(int err)
{
	unsigned int i = -(unsigned int)err;
	const char *text = NULL;

	if (i < ARRAY_SIZE(texts))
		text = texts[i];
	if (!text && err < 0)
		text = strerrordesc_np(i);
	return text ? text : "unknown error: not a negative errno";
}
