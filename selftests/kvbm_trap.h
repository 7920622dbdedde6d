/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pages that stop whoever comes to them first, the kernel included, until somebody
 * else lets go: userfaultfd(2). So a call can be looked at in the middle of a copy.
 */
#ifndef KVBM_TRAP_H
#define KVBM_TRAP_H

#include <linux/userfaultfd.h>
#include <sys/syscall.h>

#include "kvbm_util.h"

#define TRAP_PAGE	4096u

/**
 * struct trap - some pages, of which the first ones stop
 * @fd: tells who came
 * @pages: the memory
 * @size: of it, in bytes
 */
struct trap {
	int fd;
	char *pages;
	size_t size;
};

/* Return: 0, or -errno where there is no userfaultfd(2), or not for us. */
static inline int trap_make(struct trap *t, unsigned int pages, unsigned int stops)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register area = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	t->size = pages * TRAP_PAGE;
	t->fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (t->fd < 0)
		return -errno;
	t->pages = mmap(NULL, t->size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t->pages == MAP_FAILED)
		return -errno;
	area.range.start = ptr(t->pages);
	area.range.len = stops * TRAP_PAGE;
	if (ioctl(t->fd, UFFDIO_API, &api) || ioctl(t->fd, UFFDIO_REGISTER, &area))
		return -errno;
	return 0;
}

/* Somebody has stopped. Return: at which page. */
static inline int trap_wait(const struct trap *t)
{
	struct uffd_msg msg;

	if (read(t->fd, &msg, sizeof(msg)) != sizeof(msg))
		return -1;
	return (msg.arg.pagefault.address - ptr(t->pages)) / TRAP_PAGE;
}

static inline int trap_let_go(const struct trap *t, int page)
{
	struct uffdio_zeropage zero = {
		.range = { ptr(t->pages) + page * TRAP_PAGE, TRAP_PAGE },
	};

	return ioctl(t->fd, UFFDIO_ZEROPAGE, &zero) ? -errno : 0;
}

static inline void trap_end(const struct trap *t)
{
	close(t->fd);
	munmap(t->pages, t->size);
}

#endif /* KVBM_TRAP_H */
