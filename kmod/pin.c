// SPDX-License-Identifier: GPL-2.0
/*
 * A pin: a file that keeps blocks of a manager, whoever has it open.
 */
#include <linux/anon_inodes.h>
#include <linux/compat.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "private.h"
#include "uarray.h"

/**
 * struct kvbm_pin - an open pin
 * @manager: referenced, and counted there
 * @blocks: what is pinned
 *
 * Immutable.
 */
struct kvbm_pin {
	struct kvbm_manager *manager;
	struct kvbm_pinned blocks;
};

static int pin_query(const struct kvbm_pin *pin, struct kvbm_call *call)
{
	struct kvbm_pin_query *a = &call->arg->pin_query;
	const struct kvbm_pinned *blocks = &pin->blocks;
	u32 ignored;
	int err;

	a->out_total = blocks->count;
	a->out_count = 0;
	if (a->start < blocks->count)
		a->out_count = min(a->count, blocks->count - a->start);
	a->out_manager = pin->manager->ident.id;
	a->out_flags = blocks->write ? KVBM_PIN_WRITE : 0;
	a->out_alive = kvbm_store_poll(pin->manager->store, &ignored);
	err = kvbm_array_probe(a->blocks, a->count, sizeof(*blocks->blocks));
	if (!err && a->out_count)
		err = kvbm_array_out(a->blocks, blocks->blocks + a->start,
				     a->out_count, sizeof(*blocks->blocks));
	return err ?: kvbm_call_put(call);
}

static long pin_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	union kvbm_abi_arg buf;
	struct kvbm_call call;
	int err;

	if (cmd != KVBM_PIN_QUERY)
		return -ENOTTY;
	err = kvbm_call_begin(&call, cmd, arg, &buf);
	return err ?: pin_query(filp->private_data, &call);
}

static void pin_free(struct kvbm_pin *pin)
{
	const struct kvbm_accounts accounts = pin->blocks.accounts;

	kvbm_pinned_release(&pin->blocks);
	kvbm_quota_put(&accounts);
	kvbm_manager_remove_pin(pin->manager);
	kfree(pin);
}

static int pin_release(struct inode *inode, struct file *filp)
{
	pin_free(filp->private_data);
	return 0;
}

#ifdef CONFIG_PROC_FS
static void pin_show_fdinfo(struct seq_file *m, struct file *filp)
{
	const struct kvbm_pin *pin = filp->private_data;

	seq_printf(m, "kvbm-manager:\t%llu\nkvbm-blocks:\t%u\nkvbm-write:\t%d\n",
		   pin->manager->ident.id, pin->blocks.count, pin->blocks.write);
}
#endif

static const struct file_operations kvbm_pin_fops = {
	.owner = THIS_MODULE,
	.release = pin_release,
	.unlocked_ioctl = pin_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
#ifdef CONFIG_PROC_FS
	.show_fdinfo = pin_show_fdinfo,
#endif
	.llseek = noop_llseek,
};

/* Take the references, so that only memory and descriptors can still fail. */
static struct kvbm_pin *pin_alloc(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_pin_create *a = &call->arg->pin_create;
	struct kvbm_token *tokens;
	struct kvbm_arrays m;
	struct kvbm_pin *pin;
	int err;

	pin = kzalloc(sizeof(*pin), GFP_KERNEL_ACCOUNT);
	if (!pin)
		return ERR_PTR(-ENOMEM);
	err = kvbm_arrays_init(&m, ALIGN(a->count * sizeof(*tokens), sizeof(u64)));
	if (err)
		goto err_free;
	tokens = kvbm_array_in(&m, a->tokens, a->count, sizeof(*tokens));
	err = PTR_ERR_OR_ZERO(tokens);
	if (!err)
		err = kvbm_holder_pin(&file->holder, tokens, a->count,
				      a->flags & KVBM_PIN_WRITE, &pin->blocks,
				      &a->out_failed);
	kvbm_arrays_free(&m);
	if (err)
		goto err_free;
	pin->manager = file->manager;
	kvbm_manager_add_pin(pin->manager);
	kvbm_quota_get(&pin->blocks.accounts);
	return pin;

err_free:
	kfree(pin);
	return ERR_PTR(err);
}

/**
 * kvbm_pin_create - ioctl(KVBM_PIN)
 * @file: session
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_pin_create(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_pin_create *a = &call->arg->pin_create;
	u32 right = a->flags & KVBM_PIN_WRITE ? KVBM_BIND_WRITE : KVBM_BIND_READ;
	struct kvbm_pin *pin;
	struct file *filp;
	int fd, err;

	if (!(file->rights & right))
		return -EACCES;
	pin = pin_alloc(file, call);
	if (IS_ERR(pin))
		return PTR_ERR(pin);
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		pin_free(pin);
		return fd;
	}
	filp = anon_inode_getfile("[kvbm-pin]", &kvbm_pin_fops, pin, O_RDONLY);
	if (IS_ERR(filp)) {
		put_unused_fd(fd);
		pin_free(pin);
		return PTR_ERR(filp);
	}
	/* @pin is the file's from here. */
	a->out_fd = fd;
	err = kvbm_call_put(call);
	if (err) {
		put_unused_fd(fd);
		fput(filp);
		return err;
	}
	fd_install(fd, filp);
	return 0;
}
