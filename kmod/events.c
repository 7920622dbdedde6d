// SPDX-License-Identifier: GPL-2.0
/*
 * Event files: the events of a registry by read(2) and poll(2); and dumps of what
 * is present, to catch up with.
 */
#include <linux/anon_inodes.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "private.h"
#include "uarray.h"

static unsigned int event_ring = SZ_1M;
module_param(event_ring, uint, 0644);
MODULE_PARM_DESC(event_ring,
		 "Bytes of the event ring of a registry, taken when somebody begins to listen; a power of two from 16 KiB to 64 MiB (default 1 MiB)");

/* Most bytes, and most slots looked at, in one call of a dump. */
#define DUMP_BYTES	((u32)SZ_128K)
#define DUMP_SLOTS	KVBM_MAX_BATCH
/* Most that one read(2) returns, so that it ends. */
#define READ_BYTES	SZ_1M

/**
 * struct kvbm_event_file - an event file
 * @registry: referenced; immutable
 * @lock: protects all below
 * @reader: its place in the ring
 * @buf: KVBM_EVENT_HOLD bytes
 */
struct kvbm_event_file {
	struct kvbm_registry_object *registry;
	struct mutex lock;	/* see above */
	struct kvbm_event_reader reader;
	char *buf;
};

static struct kvbm_event_ring *ring_of(const struct kvbm_registry_object *r)
{
	return kvbm_registry_events(r->engine);
}

/* There are new records, or no more will come. Nobody holds a spinlock. */
static void events_notify(void *arg)
{
	struct kvbm_registry_object *r = arg;

	if (wq_has_sleeper(&r->event_readers))
		wake_up_interruptible_poll(&r->event_readers,
					   EPOLLIN | EPOLLRDNORM);
	kvbm_genl_notify(r);
}

/**
 * kvbm_events_init - for a new registry
 * @registry: not yet published
 *
 * Context: any.
 */
void kvbm_events_init(struct kvbm_registry_object *registry)
{
	struct kvbm_event_ring *ring = ring_of(registry);

	init_waitqueue_head(&registry->event_readers);
	ring->notify = events_notify;
	ring->notify_arg = registry;
}

/**
 * kvbm_events_end - a registry was destroyed; who listens shall know
 * @registry: out of the table
 *
 * Context: may sleep.
 */
void kvbm_events_end(struct kvbm_registry_object *registry)
{
	WRITE_ONCE(registry->gone, true);
	wake_up_interruptible_all(&registry->event_readers);
}

/**
 * kvbm_events_listen - begin to listen to a registry
 * @registry: referenced for as long as that lasts
 * @reader: out; the place to read from
 *
 * The first one to listen pays for the ring.
 *
 * Context: may sleep.
 * Return: 0, -EDQUOT, -ENOMEM.
 */
int kvbm_events_listen(struct kvbm_registry_object *registry,
		       struct kvbm_event_reader *reader)
{
	u32 size = kvbm_event_ring_size(READ_ONCE(event_ring));
	int err = 0;

	mutex_lock(&kvbm_objects_lock);
	if (!registry->listeners) {
		err = kvbm_charge(size);
		if (!err)
			registry->event_bytes = size;
	}
	if (!err)
		registry->listeners++;
	size = registry->event_bytes;
	mutex_unlock(&kvbm_objects_lock);
	if (err)
		return err;
	err = kvbm_event_listen(ring_of(registry), size, reader);
	if (err)
		goto err_forget;
	return 0;

err_forget:
	mutex_lock(&kvbm_objects_lock);
	if (!--registry->listeners)
		kvbm_uncharge(registry->event_bytes);
	mutex_unlock(&kvbm_objects_lock);
	return err;
}

/* Context: may sleep. */
void kvbm_events_unlisten(struct kvbm_registry_object *registry)
{
	kvbm_event_unlisten(ring_of(registry));
	mutex_lock(&kvbm_objects_lock);
	if (!--registry->listeners)
		kvbm_uncharge(registry->event_bytes);
	mutex_unlock(&kvbm_objects_lock);
}

/**
 * kvbm_events_content - the next part of a dump
 * @registry: referenced
 * @manager: where to go on; out: where the next part begins, 0 at the end
 * @block: same
 * @buf: out, records
 * @size: bytes of @buf, at least KVBM_EVENT_MAX_SIZE
 *
 * Context: may sleep.
 * Return: bytes.
 */
u32 kvbm_events_content(struct kvbm_registry_object *registry, u64 *manager,
			u32 *block, char *buf, u32 size)
{
	u32 done = 0, left = DUMP_SLOTS, start;
	struct kvbm_manager *m;

	while (left) {
		m = kvbm_manager_next(registry, *manager);
		if (!m) {
			*manager = 0;
			*block = 0;
			break;
		}
		if (m->ident.id != *manager)
			*block = 0;
		*manager = m->ident.id;
		start = *block;
		done += kvbm_store_content(m->store, block, left, buf + done,
					   size - done);
		if (*block < kvbm_store_config(m->store)->block_count) {
			kvbm_manager_put(m);
			break;
		}
		/* A manager without blocks to look at is some work, too. */
		left -= min(left, *block - min(start, *block) + 1);
		kvbm_manager_put(m);
		++*manager;
		*block = 0;
	}
	return done;
}

static int events_dump(struct kvbm_registry_object *r, struct kvbm_call *call)
{
	struct kvbm_events_dump *a = &call->arg->events_dump;
	u32 size = min_t(u32, a->bytes, DUMP_BYTES);
	char *buf = kvmalloc(size, GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	u64 manager = a->manager;
	u32 block = a->block;
	int err;

	if (!buf)
		return -ENOMEM;
	a->out_first = kvbm_event_next(ring_of(r));
	a->out_bytes = kvbm_events_content(r, &manager, &block, buf, size);
	a->out_last = kvbm_event_next(ring_of(r)) - 1;
	err = kvbm_array_out(a->records, buf, a->out_bytes, 1);
	kvfree(buf);
	/* Otherwise the same part can be asked for again. */
	if (err)
		return err;
	a->manager = manager;
	a->block = block;
	return kvbm_call_put(call);
}

/**
 * kvbm_events_dump - ioctl(KVBM_EVENTS_DUMP)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_events_dump(struct kvbm_file *file, struct kvbm_call *call)
{
	u64 id = call->arg->events_dump.registry, live;
	struct kvbm_registry_object *r;
	int err;

	err = kvbm_file_registry(file, id, KVBM_MODE_READ, &r, &live);
	if (err)
		return err;
	err = events_dump(r, call);
	kvbm_registry_put(r);
	return err;
}

static struct kvbm_event_file *event_file_alloc(void)
{
	struct kvbm_event_file *f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);

	if (!f)
		return NULL;
	f->buf = kvmalloc(KVBM_EVENT_HOLD, GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!f->buf) {
		kfree(f);
		return NULL;
	}
	mutex_init(&f->lock);
	return f;
}

static void event_file_free(struct kvbm_event_file *f)
{
	mutex_destroy(&f->lock);
	kvfree(f->buf);
	kfree(f);
}

static int event_file_release(struct inode *inode, struct file *filp)
{
	struct kvbm_event_file *f = filp->private_data;

	kvbm_events_unlisten(f->registry);
	kvbm_registry_put(f->registry);
	event_file_free(f);
	return 0;
}

static bool is_pending(struct kvbm_event_file *f)
{
	return kvbm_event_pending(ring_of(f->registry), &f->reader);
}

/* Bytes, 0 when there are none now, -errno; under the lock of the file. */
static ssize_t read_some(struct kvbm_event_file *f, char __user *to, size_t count)
{
	int bytes;

	lockdep_assert_held(&f->lock);
	bytes = kvbm_event_peek(ring_of(f->registry), &f->reader, f->buf,
				min_t(size_t, count, KVBM_EVENT_HOLD));
	if (bytes <= 0)
		return bytes;
	/* Not consumed: it can be read again. */
	if (copy_to_user(to, f->buf, bytes))
		return -EFAULT;
	kvbm_event_consume(&f->reader);
	return bytes;
}

static ssize_t event_file_read(struct file *filp, char __user *to, size_t count,
			       loff_t *pos)
{
	struct kvbm_event_file *f = filp->private_data;
	ssize_t done = 0, bytes;
	bool gone;

	count = min_t(size_t, count, READ_BYTES);
	if (mutex_lock_interruptible(&f->lock))
		return -ERESTARTSYS;
	for (;;) {
		/* Before looking: what came before the end is read. */
		gone = READ_ONCE(f->registry->gone);
		bytes = read_some(f, to + done, count - done);
		if (bytes > 0) {
			done += bytes;
			if (signal_pending(current))
				break;
			cond_resched();
			continue;
		}
		if (bytes < 0 || done || gone)
			break;
		bytes = -EAGAIN;
		if (filp->f_flags & O_NONBLOCK)
			break;
		mutex_unlock(&f->lock);
		if (wait_event_interruptible(f->registry->event_readers,
					     is_pending(f) ||
					     READ_ONCE(f->registry->gone)))
			return -ERESTARTSYS;
		if (mutex_lock_interruptible(&f->lock))
			return -ERESTARTSYS;
	}
	mutex_unlock(&f->lock);
	return done ?: bytes;
}

static __poll_t event_file_poll(struct file *filp, poll_table *wait)
{
	struct kvbm_event_file *f = filp->private_data;
	__poll_t mask = 0;

	poll_wait(filp, &f->registry->event_readers, wait);
	if (READ_ONCE(f->registry->gone))
		mask |= EPOLLHUP;
	if (is_pending(f))
		mask |= EPOLLIN | EPOLLRDNORM;
	return mask;
}

static long event_file_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	struct kvbm_event_file *f = filp->private_data;
	union kvbm_abi_arg buf;
	struct kvbm_call call;
	int err;

	if (cmd != KVBM_EVENTS_DUMP)
		return -ENOTTY;
	err = kvbm_call_begin(&call, cmd, arg, &buf);
	return err ?: events_dump(f->registry, &call);
}

static const struct file_operations event_file_fops = {
	.owner = THIS_MODULE,
	.release = event_file_release,
	.read = event_file_read,
	.poll = event_file_poll,
	.unlocked_ioctl = event_file_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

/**
 * kvbm_events_open - ioctl(KVBM_EVENTS_OPEN)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_events_open(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_events_open *a = &call->arg->events_open;
	struct kvbm_registry_object *r;
	struct kvbm_event_file *f;
	struct file *filp;
	u64 live;
	int fd, err;

	err = kvbm_file_registry(file, a->registry, KVBM_MODE_READ, &r, &live);
	if (err)
		return err;
	f = event_file_alloc();
	if (!f) {
		err = -ENOMEM;
		goto err_put_registry;
	}
	err = kvbm_events_listen(r, &f->reader);
	if (err)
		goto err_free;
	f->registry = r;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		err = fd;
		goto err_unlisten;
	}
	filp = anon_inode_getfile("[kvbm-events]", &event_file_fops, f, O_RDONLY |
				  (a->flags & KVBM_EVENTS_NONBLOCK ? O_NONBLOCK : 0));
	if (IS_ERR(filp)) {
		err = PTR_ERR(filp);
		goto err_put_fd;
	}
	/* All of it is the file's from here. */
	a->out_fd = fd;
	a->out_next = f->reader.sequence;
	err = kvbm_call_put(call);
	if (err) {
		put_unused_fd(fd);
		fput(filp);
		return err;
	}
	fd_install(fd, filp);
	return 0;

err_put_fd:
	put_unused_fd(fd);
err_unlisten:
	kvbm_events_unlisten(r);
err_free:
	event_file_free(f);
err_put_registry:
	kvbm_registry_put(r);
	return err;
}
