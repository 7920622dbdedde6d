// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/kvbm: open, close, and which ioctl is which.
 */
#include <linux/compat.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>

#include "private.h"

typedef int (*kvbm_handler)(struct kvbm_file *file, struct kvbm_call *call);

static int kvbm_get_info(struct kvbm_file *file, struct kvbm_call *call)
{
	kvbm_abi_info(&call->arg->info);
	return kvbm_call_put(call);
}

static const kvbm_handler handlers[KVBM_ABI_NR] = {
	[KVBM_CMD_INFO] = kvbm_get_info,
	[KVBM_CMD_REGISTRY_CREATE] = kvbm_registry_create,
	[KVBM_CMD_REGISTRY_QUERY] = kvbm_registry_query,
	[KVBM_CMD_REGISTRY_LIST] = kvbm_registry_list,
	[KVBM_CMD_REGISTRY_DESTROY] = kvbm_registry_destroy,
	[KVBM_CMD_ATTACH] = kvbm_attach,
	[KVBM_CMD_ATTACHMENTS] = kvbm_get_attachments,
	[KVBM_CMD_FREQUENCY] = kvbm_get_frequency,
	[KVBM_CMD_MANAGER_CREATE] = kvbm_manager_create,
	[KVBM_CMD_MANAGER_QUERY] = kvbm_manager_query,
	[KVBM_CMD_MANAGER_LIST] = kvbm_manager_list,
	[KVBM_CMD_MANAGER_DESTROY] = kvbm_manager_destroy,
	[KVBM_CMD_MANAGER_STATS] = kvbm_manager_stats,
	[KVBM_CMD_MANAGER_CHECK] = kvbm_manager_check,
	[KVBM_CMD_MANAGER_DUMP] = kvbm_manager_dump,
	[KVBM_CMD_PRESENCE] = kvbm_get_presence,
	[KVBM_CMD_BIND] = kvbm_bind,
	[KVBM_CMD_SESSION_OPEN] = kvbm_session_open,
	[KVBM_CMD_EVENTS_OPEN] = kvbm_events_open,
	[KVBM_CMD_EVENTS_DUMP] = kvbm_events_dump,
	[KVBM_CMD_MANAGER_SESSIONS] = kvbm_manager_sessions,
	[KVBM_CMD_ALLOCATE] = kvbm_batch_allocate,
	[KVBM_CMD_ACQUIRE] = kvbm_batch_acquire,
	[KVBM_CMD_STAGE] = kvbm_batch_stage,
	[KVBM_CMD_REGISTER] = kvbm_batch_register,
	[KVBM_CMD_STAGE_REGISTER] = kvbm_batch_stage_register,
	[KVBM_CMD_MATCH] = kvbm_batch_match,
	[KVBM_CMD_RELEASE] = kvbm_batch_tokens,
	[KVBM_CMD_UNSTAGE] = kvbm_batch_tokens,
	[KVBM_CMD_CLONE] = kvbm_batch_tokens,
	[KVBM_CMD_UPGRADE] = kvbm_batch_upgrade,
	[KVBM_CMD_SET_RESET] = kvbm_batch_tokens,
	[KVBM_CMD_DRAIN] = kvbm_batch_drain,
	[KVBM_CMD_HOLDINGS] = kvbm_batch_holdings,
	[KVBM_CMD_SET_THRESHOLD] = kvbm_set_threshold,
	[KVBM_CMD_PIN] = kvbm_pin_create,
	[KVBM_CMD_QUOTA] = kvbm_quota,
	[KVBM_CMD_EPOCH] = kvbm_epoch,
	[KVBM_CMD_BACKING_SET] = kvbm_backing_set,
	[KVBM_CMD_BACKING_GET] = kvbm_backing_get,
};

static int check_session(struct kvbm_file *file, u32 needs)
{
	if (needs & KVBM_ABI_PIN)
		return -ENOTTY;
	if (needs & KVBM_ABI_MODIFY && !file->may_write)
		return -EACCES;
	if (!(needs & KVBM_ABI_SESSION))
		return 0;
	if (!kvbm_file_manager(file))
		return -ENOTCONN;
	if ((needs & KVBM_ABI_READ && !(file->rights & KVBM_BIND_READ)) ||
	    (needs & KVBM_ABI_WRITE && !(file->rights & KVBM_BIND_WRITE)))
		return -EACCES;
	return 0;
}

static long kvbm_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	struct kvbm_file *file = filp->private_data;
	/* Of it, what the call has is copied in, and no more is looked at. */
	union kvbm_abi_arg buf __uninitialized;
	struct kvbm_call call;
	int err;

	err = kvbm_call_begin(&call, cmd, arg, &buf);
	if (err)
		return err;
	err = check_session(file, call.abi->flags);
	if (err)
		return err;
	err = handlers[array_index_nospec(_IOC_NR(cmd), KVBM_ABI_NR)](file, &call);
	/* For out_failed; the caller hears of the first error. */
	if (err)
		kvbm_call_put(&call);
	return err;
}

static int kvbm_open(struct inode *inode, struct file *filp)
{
	struct kvbm_file *file = kvbm_file_alloc(filp->f_mode & FMODE_WRITE);

	if (!file)
		return -ENOMEM;
	filp->private_data = file;
	return nonseekable_open(inode, filp);
}

/*
 * Called at every close of a descriptor, and for all that are left when the
 * last thread of a process exits.
 */
static int kvbm_flush(struct file *filp, fl_owner_t id)
{
	struct kvbm_file *file = filp->private_data;

	if (kvbm_file_manager(file) && file->rights & KVBM_BIND_OWNED &&
	    file->who.pid == task_tgid(current) &&
	    !atomic_read(&current->signal->live))
		kvbm_session_owner_died(file);
	return 0;
}

static int kvbm_release(struct inode *inode, struct file *filp)
{
	struct kvbm_file *file = filp->private_data;

	if (file->manager)
		kvbm_session_end(file);
	kvbm_file_free(file);
	return 0;
}

static __poll_t kvbm_poll(struct file *filp, poll_table *wait)
{
	struct kvbm_file *file = filp->private_data;
	struct kvbm_manager *manager = kvbm_file_manager(file);
	u32 available;

	if (!manager)
		return EPOLLERR;
	poll_wait(filp, &manager->pollers, wait);
	if (!kvbm_store_poll(manager->store, &available) ||
	    kvbm_holder_is_dead(&file->holder))
		return EPOLLERR | EPOLLHUP;
	return available >= READ_ONCE(file->threshold) ? EPOLLOUT | EPOLLWRNORM : 0;
}

const struct file_operations kvbm_fops = {
	.owner = THIS_MODULE,
	.open = kvbm_open,
	.flush = kvbm_flush,
	.release = kvbm_release,
	.poll = kvbm_poll,
	.unlocked_ioctl = kvbm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};
