// SPDX-License-Identifier: GPL-2.0
/*
 * A session: a file bound to a manager. What it holds goes back when the file
 * is closed, or when its owner dies.
 */
#include <linux/anon_inodes.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/ktime.h>
#include <linux/slab.h>

#include "private.h"

/* Context: may sleep. Return: an unbound file, or NULL. */
struct kvbm_file *kvbm_file_alloc(bool may_write)
{
	struct kvbm_file *file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);

	if (!file)
		return NULL;
	mutex_init(&file->bind_lock);
	file->may_write = may_write;
	file->threshold = 1;
	return file;
}

void kvbm_file_free(struct kvbm_file *file)
{
	mutex_destroy(&file->bind_lock);
	kfree(file);
}

/* To change anything, a file must have been opened for writing. */
static bool kvbm_file_may(const struct kvbm_file *file, u32 flags)
{
	return file->may_write || !(flags & KVBM_BIND_WRITE);
}

/*
 * The reference on @manager, counted as a session, is the file's from here.
 * Return: 0 or -ENOMEM, and then it is not.
 */
static int begin_bind(struct kvbm_file *file, struct kvbm_manager *manager)
{
	int err;

	kvbm_holder_init(&file->holder, manager->store);
	err = kvbm_quota_join(file, manager);
	if (err)
		kvbm_holder_destroy(&file->holder);
	return err;
}

static void finish_bind(struct kvbm_file *file, struct kvbm_manager *manager,
			u32 flags)
{
	file->rights = flags;
	kvbm_session_enlist(file, manager);
	/* Pairs with kvbm_file_manager(). */
	smp_store_release(&file->manager, manager);
}

static int bind_file(struct kvbm_file *file, struct kvbm_manager *manager,
		     u32 flags)
{
	int err = begin_bind(file, manager);

	if (!err)
		finish_bind(file, manager, flags);
	return err;
}

/**
 * kvbm_file_bind_new - publish a manager that was just made, and bind a file to it
 * @file: any
 * @manager: of the caller
 * @flags: KVBM_BIND_*
 *
 * Context: may sleep.
 * Return: 0; or, with nothing published, -EISCONN or -ENOMEM.
 */
int kvbm_file_bind_new(struct kvbm_file *file, struct kvbm_manager *manager,
		       u32 flags)
{
	int err = -EISCONN;

	mutex_lock(&file->bind_lock);
	if (!file->manager) {
		err = begin_bind(file, manager);
		if (!err) {
			kvbm_manager_publish(manager, true);
			finish_bind(file, manager, flags);
		}
	}
	mutex_unlock(&file->bind_lock);
	return err;
}

/**
 * kvbm_bind - ioctl(KVBM_BIND)
 * @file: unbound
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0, -EISCONN, -ENOENT, -EACCES, -ENOMEM.
 */
int kvbm_bind(struct kvbm_file *file, struct kvbm_call *call)
{
	const struct kvbm_bind *a = &call->arg->bind;
	struct kvbm_manager *manager;
	unsigned int want = 0;
	int err = -EISCONN;

	mutex_lock(&file->bind_lock);
	if (file->manager)
		goto unlock;
	err = -EACCES;
	if (!kvbm_file_may(file, a->flags))
		goto unlock;
	if (a->flags & KVBM_BIND_READ)
		want |= KVBM_MODE_READ;
	if (a->flags & KVBM_BIND_WRITE)
		want |= KVBM_MODE_WRITE;
	manager = kvbm_manager_bind(a->id, want);
	err = PTR_ERR_OR_ZERO(manager);
	if (err)
		goto unlock;
	err = bind_file(file, manager, a->flags);
	if (err)
		kvbm_manager_unbind(manager);
unlock:
	mutex_unlock(&file->bind_lock);
	return err;
}

/**
 * kvbm_session_open - ioctl(KVBM_SESSION_OPEN)
 * @file: session
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0, -EACCES, -EOWNERDEAD, -ESHUTDOWN, -EMFILE, -ENFILE, -ENOMEM, -EFAULT.
 */
int kvbm_session_open(struct kvbm_file *file, struct kvbm_call *call)
{
	const u32 rights = KVBM_BIND_READ | KVBM_BIND_WRITE;
	struct kvbm_session_open *a = &call->arg->session_open;
	struct kvbm_file *other;
	struct file *filp;
	bool may_write;
	int fd, err;

	err = kvbm_holder_check(&file->holder);
	if (err)
		return err;
	if (a->flags & rights & ~file->rights)
		return -EACCES;
	may_write = file->may_write && a->flags & KVBM_BIND_WRITE;
	other = kvbm_file_alloc(may_write);
	if (!other)
		return -ENOMEM;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		kvbm_file_free(other);
		return fd;
	}
	filp = anon_inode_getfile("[kvbm]", &kvbm_fops, other,
				  may_write ? O_RDWR : O_RDONLY);
	if (IS_ERR(filp)) {
		put_unused_fd(fd);
		kvbm_file_free(other);
		return PTR_ERR(filp);
	}
	/* @other is the file's from here. */
	kvbm_manager_bind_again(file->manager);
	err = bind_file(other, file->manager, a->flags);
	if (err) {
		kvbm_manager_unbind(file->manager);
		goto err_put;
	}
	/* One that was replaced shall not be so by another descriptor. */
	kvbm_holder_inherit(&other->holder, &file->holder);
	a->out_fd = fd;
	err = kvbm_call_put(call);
	if (err)
		goto err_put;
	fd_install(fd, filp);
	return 0;

err_put:
	put_unused_fd(fd);
	fput(filp);
	return err;
}

/**
 * kvbm_set_threshold - ioctl(KVBM_SET_THRESHOLD)
 * @file: session
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0, -EINVAL, -EOWNERDEAD, -ESHUTDOWN.
 */
int kvbm_set_threshold(struct kvbm_file *file, struct kvbm_call *call)
{
	const struct kvbm_set_threshold *a = &call->arg->set_threshold;
	const struct kvbm_store_config *config =
		kvbm_store_config(file->manager->store);
	int err;

	err = kvbm_holder_check(&file->holder);
	if (err)
		return err;
	if (a->blocks > config->block_count - config->nr_reserved)
		return -EINVAL;
	WRITE_ONCE(file->threshold, a->blocks);
	/* Who polls this file shall look again. */
	wake_up_interruptible(&file->manager->pollers);
	return 0;
}

static void give_back(struct kvbm_file *file, bool final)
{
	struct kvbm_reclaim reclaim;
	u64 begin = ktime_get_ns(), end;

	kvbm_holder_release_all(&file->holder, final, &reclaim);
	end = ktime_get_ns();
	kvbm_store_note_reclaim(file->manager->store, &reclaim, end - begin, end);
	if (reclaim.mutable || reclaim.staged || reclaim.immutable)
		trace_kvbm_reclaim(file->manager->ident.id, reclaim.mutable,
				   reclaim.staged, reclaim.immutable, end - begin);
}

/**
 * kvbm_session_owner_died - the process that owns a session is gone
 * @file: bound; others may have it open still, and get -EOWNERDEAD
 *
 * Context: may sleep.
 */
void kvbm_session_owner_died(struct kvbm_file *file)
{
	give_back(file, false);
	wake_up_interruptible(&file->manager->pollers);
}

/**
 * kvbm_session_end - the last descriptor of a session was closed
 * @file: bound, and nobody else's any more
 *
 * Context: may sleep.
 */
void kvbm_session_end(struct kvbm_file *file)
{
	give_back(file, true);
	kvbm_session_delist(file);
	kvbm_quota_leave(file);
	kvbm_holder_destroy(&file->holder);
	kvbm_manager_unbind(file->manager);
}
