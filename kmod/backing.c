// SPDX-License-Identifier: GPL-2.0
/*
 * The files that the blocks of a manager live in. They are held here so that
 * they outlive the process that made them, and handed to sessions. What is in
 * them is not looked at.
 *
 * A file that could hold one of our own would keep its manager for ever. So
 * ours, sockets and anonymous inodes (an epoll, an io_uring) are refused.
 */
#include <linux/cred.h>
#include <linux/dcache.h>
#include <linux/dma-buf.h>
#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/hugetlb.h>
#include <linux/ktime.h>
#include <linux/magic.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/pid.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>

#include "compat.h"
#include "private.h"
#include "uarray.h"

/**
 * struct kvbm_backing - segments and files of one manager
 * @count: segments
 * @nr_files: distinct files
 * @uid: who gave them
 * @pid: the same
 * @set_ns: when
 * @files: referenced; room for @count
 * @segments: as given, with the number of the file
 *
 * Immutable.
 */
struct kvbm_backing {
	u32 count;
	u32 nr_files;
	kuid_t uid;
	struct pid *pid;
	u64 set_ns;
	struct file **files;
	struct kvbm_segment segments[];
};

u32 kvbm_backing_segments(const struct kvbm_backing *backing)
{
	return backing ? backing->count : 0;
}

/**
 * kvbm_backing_free - let the files go
 * @backing: of a manager that is freed, or NULL
 *
 * Context: may sleep.
 */
void kvbm_backing_free(struct kvbm_backing *backing)
{
	u32 i;

	if (!backing)
		return;
	for (i = 0; i < backing->nr_files; i++)
		fput(backing->files[i]);
	put_pid(backing->pid);
	kvfree(backing->files);
	kvfree(backing);
}

static bool is_shmem(const struct inode *inode)
{
	return inode->i_sb->s_magic == TMPFS_MAGIC;
}

static bool is_hugetlb(const struct inode *inode)
{
	return inode->i_sb->s_magic == HUGETLBFS_MAGIC;
}

/* A memfd; and what else has no name, and is as good as one. */
static bool is_memfd(const struct inode *inode)
{
	return (is_shmem(inode) || is_hugetlb(inode)) && S_ISREG(inode->i_mode) &&
	       !inode->i_nlink;
}

/* Nothing that does this is exported. */
static unsigned int seals_of(struct inode *inode)
{
#ifdef CONFIG_HUGETLBFS
	if (is_hugetlb(inode))
		return READ_ONCE(HUGETLBFS_I(inode)->seals);
#endif
#ifdef CONFIG_SHMEM
	return READ_ONCE(SHMEM_I(inode)->seals);
#else
	return 0;
#endif
}

/* It is as large as it must be, and cannot become smaller. */
static int check_memfd(struct inode *inode, u64 end, bool hugetlb)
{
	int err = 0;

	if (!is_memfd(inode) || is_hugetlb(inode) != hugetlb)
		return -EINVAL;
	/* Neither seals nor size change meanwhile. */
	inode_lock(inode);
	if (!(seals_of(inode) & F_SEAL_SHRINK))
		err = -EPERM;
	else if (inode->i_mode & 0022)
		err = -EACCES;
	else if (i_size_read(inode) < end)
		err = -EFBIG;
	inode_unlock(inode);
	return err;
}

static int check_file(const struct inode *inode, u64 end)
{
	if (!S_ISREG(inode->i_mode) || is_memfd(inode))
		return -EINVAL;
	return i_size_read(inode) < end ? -EFBIG : 0;
}

static int check_opaque(const struct inode *inode)
{
	if (is_memfd(inode))
		return -EINVAL;
	return S_ISREG(inode->i_mode) || S_ISBLK(inode->i_mode) ||
	       S_ISCHR(inode->i_mode) ? 0 : -EINVAL;
}

#if IS_ENABLED(CONFIG_DMA_SHARED_BUFFER)
static int check_dmabuf(s32 fd, const struct file *file, u64 end)
{
	struct dma_buf *buf = dma_buf_get(fd);
	int err = 0;

	if (IS_ERR(buf))
		return -EINVAL;
	/* The descriptor may be another one by now. */
	if (buf->file != file)
		err = -EBADF;
	else if (buf->size < end)
		err = -EFBIG;
	dma_buf_put(buf);
	return err;
}

KVBM_IMPORT_NS("DMA_BUF");
#else
static int check_dmabuf(s32 fd, const struct file *file, u64 end)
{
	return -EOPNOTSUPP;
}
#endif

/* Where the last block of a segment ends. */
static int segment_end(const struct kvbm_segment *s, u32 blocks, u64 *end)
{
	if (!s->bytes || s->stride < s->bytes || s->file || s->reserved)
		return -EINVAL;
	if (check_mul_overflow(s->stride, (u64)blocks - 1, end) ||
	    check_add_overflow(*end, s->offset, end) ||
	    check_add_overflow(*end, s->bytes, end) ||
	    *end > MAX_LFS_FILESIZE)
		return -EOVERFLOW;
	return 0;
}

static int check_segment(const struct kvbm_segment *s, const struct file *file,
			 u64 end)
{
	struct inode *inode = file_inode(file);

	/* Whatever its kind is said to be. */
	if (file->f_op->owner == THIS_MODULE || S_ISSOCK(inode->i_mode) ||
	    inode->i_sb->s_magic == ANON_INODE_FS_MAGIC)
		return -EINVAL;
	if ((file->f_mode & (FMODE_READ | FMODE_WRITE)) != (FMODE_READ | FMODE_WRITE))
		return -EACCES;
	switch (s->kind) {
	case KVBM_BACKING_MEMFD:
		return check_memfd(inode, end, false);
	case KVBM_BACKING_HUGETLB:
		return check_memfd(inode, end, true);
	case KVBM_BACKING_FILE:
		return check_file(inode, end);
	case KVBM_BACKING_DMABUF:
		return check_dmabuf(s->fd, file, end);
	case KVBM_BACKING_OPAQUE:
		return check_opaque(inode);
	default:
		return -EINVAL;
	}
}

/* The reference on @file is taken over. */
static u32 number_of(struct kvbm_backing *b, struct file *file)
{
	u32 i;

	for (i = 0; i < b->nr_files; i++) {
		if (b->files[i] == file) {
			fput(file);
			return i;
		}
	}
	b->files[i] = file;
	b->nr_files++;
	return i;
}

static int add_segment(struct kvbm_backing *b, struct kvbm_segment *s, u32 blocks)
{
	struct file *file;
	u64 end;
	int err;

	err = segment_end(s, blocks, &end);
	if (err)
		return err;
	file = s->fd < 0 ? NULL : fget(s->fd);
	if (!file)
		return -EBADF;
	err = check_segment(s, file, end);
	if (err) {
		fput(file);
		return err;
	}
	s->file = number_of(b, file);
	s->fd = -1;
	return 0;
}

static struct kvbm_backing *backing_alloc(u32 count)
{
	const gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NOWARN;
	struct kvbm_backing *b;

	b = kvzalloc(struct_size(b, segments, count), gfp);
	if (!b)
		return NULL;
	b->files = kvcalloc(count, sizeof(*b->files), gfp);
	if (!b->files) {
		kvfree(b);
		return NULL;
	}
	b->count = count;
	b->uid = current_fsuid();
	b->pid = get_pid(task_tgid(current));
	b->set_ns = ktime_get_ns();
	return b;
}

/* Once, and before the manager ends. */
static int publish(struct kvbm_manager *m, struct kvbm_backing *b)
{
	u32 ignored;
	int err = 0;

	mutex_lock(&kvbm_objects_lock);
	if (m->backing)
		err = -EEXIST;
	else if (!kvbm_store_poll(m->store, &ignored))
		err = -ESHUTDOWN;
	else
		/* Pairs with kvbm_manager_backing(). */
		smp_store_release(&m->backing, b);
	mutex_unlock(&kvbm_objects_lock);
	return err;
}

/**
 * kvbm_backing_set - ioctl(KVBM_BACKING_SET)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_backing_set(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_backing_set *a = &call->arg->backing_set;
	struct kvbm_manager *m;
	struct kvbm_backing *b;
	u32 blocks, i;
	int err;

	err = kvbm_manager_get(file, a->manager, true, &m);
	if (err)
		return err;
	blocks = kvbm_store_config(m->store)->block_count;
	b = backing_alloc(a->count);
	if (!b) {
		err = -ENOMEM;
		goto put_manager;
	}
	err = -EFAULT;
	if (copy_from_user(b->segments, u64_to_user_ptr(a->segments),
			   a->count * sizeof(*b->segments)))
		goto free;
	err = 0;
	for (i = 0; !err && i < a->count; i++) {
		a->out_failed = i;
		err = add_segment(b, &b->segments[i], blocks);
		cond_resched();
	}
	if (!err)
		err = publish(m, b);
free:
	if (err)
		kvbm_backing_free(b);
put_manager:
	kvbm_manager_put(m);
	return err;
}

/* One that was replaced has no business writing any more. */
static bool may_have_it_for_writing(const struct kvbm_file *session)
{
	return session->rights & KVBM_BIND_WRITE &&
	       !kvbm_holder_is_fenced(&session->holder);
}

/* What a session gets to see of a file; a new reference, or NULL for nothing. */
static struct file *file_for(const struct kvbm_file *session, struct file *file,
			     u32 kind)
{
	if (may_have_it_for_writing(session))
		return get_file(file);
	if (kind == KVBM_BACKING_DMABUF || kind == KVBM_BACKING_OPAQUE)
		return NULL;
	/*
	 * Possession of the session is the right, so the mode of the file does
	 * not matter; what a security module thinks of the caller does.
	 */
	return dentry_open(&file->f_path, O_RDONLY | O_LARGEFILE, current_cred());
}

static int give_one(const struct kvbm_file *session, struct file *file, u32 kind,
		    int *fd)
{
	struct file *out = file_for(session, file, kind);

	*fd = -1;
	if (IS_ERR_OR_NULL(out))
		return PTR_ERR_OR_ZERO(out);
	/* Asks security_file_receive(). */
	*fd = kvbm_receive_fd(out, O_CLOEXEC);
	fput(out);
	return *fd < 0 ? *fd : 0;
}

/*
 * Better were to install them when nothing can fail any more. But security modules
 * shall be asked, receive_fd() is all that is exported of that, and it installs. So
 * whoever in the same process closes, or replaces, numbers that it was never told of
 * may lose another file here: its own.
 */
static void take_back(const int *fds, u32 count)
{
	u32 i;

	for (i = 0; i < count; i++)
		if (fds[i] >= 0)
			close_fd(fds[i]);
}

/* Descriptors for the files of @segments; @fds has room for all of the backing. */
static int give_files(const struct kvbm_file *session, const struct kvbm_backing *b,
		      struct kvbm_segment *segments, u32 count, int *fds)
{
	bool *given = kvcalloc(b->nr_files, sizeof(*given), GFP_KERNEL_ACCOUNT);
	u32 i, number;
	int err = 0;

	if (!given)
		return -ENOMEM;
	for (i = 0; i < b->nr_files; i++)
		fds[i] = -1;
	for (i = 0; !err && i < count; i++) {
		number = segments[i].file;
		if (!given[number])
			err = give_one(session, b->files[number],
				       segments[i].kind, &fds[number]);
		given[number] = true;
		segments[i].fd = fds[number];
	}
	kvfree(given);
	if (err)
		take_back(fds, b->nr_files);
	return err;
}

static void fill_get(struct kvbm_backing_get *a, const struct kvbm_backing *b)
{
	a->out_total = b->count;
	a->out_files = b->nr_files;
	a->out_uid = from_kuid_munged(current_user_ns(), b->uid);
	a->out_pid = pid_vnr(b->pid);
	a->out_set_ns = b->set_ns;
	a->out_count = 0;
	if (a->start < b->count)
		a->out_count = min(a->count, b->count - a->start);
}

/* The name of the file of the first segment asked for. */
static int put_path(struct kvbm_backing_get *a, const struct kvbm_backing *b)
{
	const char *path = "";
	char *buf;
	u32 size;
	int err;

	a->out_path_size = 0;
	if (!a->path || !a->path_size)
		return 0;
	buf = kmalloc(KVBM_PATH_SIZE, GFP_KERNEL_ACCOUNT);
	if (!buf)
		return -ENOMEM;
	if (a->start < b->count) {
		path = d_path(&b->files[b->segments[a->start].file]->f_path, buf,
			      KVBM_PATH_SIZE);
		if (IS_ERR(path))
			path = "";
	}
	size = strlen(path) + 1;
	a->out_path_size = size;
	size = min(size, a->path_size);
	err = kvbm_array_out(a->path, path, size - 1, 1);
	if (!err)
		err = kvbm_array_out(a->path + size - 1, "", 1, 1);
	kfree(buf);
	return err;
}

static int get_segments(struct kvbm_file *file, struct kvbm_call *call,
			const struct kvbm_backing *b)
{
	struct kvbm_backing_get *a = &call->arg->backing_get;
	struct kvbm_segment *segments;
	struct kvbm_arrays m;
	int *fds, err;

	fill_get(a, b);
	err = kvbm_arrays_init(&m, a->out_count * sizeof(*segments) +
				   ALIGN(b->nr_files * sizeof(*fds), sizeof(u64)));
	if (err)
		return err;
	segments = kvbm_array_new(&m, a->out_count, sizeof(*segments));
	fds = kvbm_array_new(&m, b->nr_files, sizeof(*fds));
	memcpy(segments, b->segments + a->start * !!a->out_count,
	       a->out_count * sizeof(*segments));
	err = put_path(a, b);
	if (err)
		goto free;
	if (a->flags & KVBM_BACKING_FDS)
		err = give_files(file, b, segments, a->out_count, fds);
	if (err)
		goto free;
	err = kvbm_array_out(a->segments, segments, a->out_count, sizeof(*segments));
	if (!err)
		err = kvbm_call_put(call);
	if (err && a->flags & KVBM_BACKING_FDS)
		take_back(fds, b->nr_files);
free:
	kvbm_arrays_free(&m);
	return err;
}

static int probe_outputs(const struct kvbm_backing_get *a)
{
	int err = kvbm_array_probe(a->segments, a->count,
				   sizeof(struct kvbm_segment));

	if (!err && a->path)
		err = kvbm_array_probe(a->path, a->path_size, 1);
	return err;
}

/**
 * kvbm_backing_get - ioctl(KVBM_BACKING_GET)
 * @file: any; a session to get descriptors
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_backing_get(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_backing_get *a = &call->arg->backing_get;
	const struct kvbm_backing *b;
	struct kvbm_manager *m;
	int err;

	err = kvbm_manager_get(file, a->manager, false, &m);
	if (err)
		return err;
	err = probe_outputs(a);
	if (!err && a->flags & KVBM_BACKING_FDS)
		err = kvbm_holder_check(&file->holder);
	if (err)
		goto put_manager;
	b = kvbm_manager_backing(m);
	if (b) {
		err = get_segments(file, call, b);
	} else {
		a->out_count = 0;
		a->out_total = 0;
		a->out_files = 0;
		err = kvbm_call_put(call);
	}
put_manager:
	kvbm_manager_put(m);
	return err;
}
