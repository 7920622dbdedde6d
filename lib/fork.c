// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Noticing that this is the child of the process that opened a connection.
 *
 * A page that the kernel wipes in every child holds the epoch of this process;
 * each connection remembers the epoch it was opened in. That costs one load per
 * call, and sees a raw clone(2), which no pthread_atfork() handler does.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend.h"

static uint64_t *page;
/* Epochs given out by this process and its ancestors. */
static uint64_t last_epoch;

static void wipe(void)
{
	__atomic_store_n(page, 0, __ATOMIC_RELAXED);
}

/* Make the page. Of two threads that do so at once, one wins. */
static int make_page(void)
{
	uint64_t *none = NULL;
	size_t size = sysconf(_SC_PAGESIZE);
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool wiped;

	if (p == MAP_FAILED)
		return -ENOMEM;
	wiped = !madvise(p, size, MADV_WIPEONFORK);
	if (!__atomic_compare_exchange_n(&page, &none, p, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		munmap(p, size);
	else if (!wiped && pthread_atfork(NULL, NULL, wipe))
		return -ENOMEM;	/* A kernel before 4.14. */
	return 0;
}

/**
 * kvbm_fork_epoch - the epoch of this process
 *
 * Return: the epoch, or 0 for lack of memory.
 */
uint64_t kvbm_fork_epoch(void)
{
	uint64_t epoch = 0, fresh;

	if (!__atomic_load_n(&page, __ATOMIC_ACQUIRE) && make_page())
		return 0;
	fresh = __atomic_add_fetch(&last_epoch, 1, __ATOMIC_RELAXED);
	if (__atomic_compare_exchange_n(page, &epoch, fresh, false,
					__ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return fresh;
	return epoch;
}

/* @epoch came from kvbm_fork_epoch(), here or in an ancestor. */
bool kvbm_fork_is_current(uint64_t epoch)
{
	return __atomic_load_n(page, __ATOMIC_RELAXED) == epoch;
}
