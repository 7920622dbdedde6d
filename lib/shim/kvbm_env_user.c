// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The environment of the engine in user space: what is not inline.
 */
#include <sys/random.h>
#include <time.h>

#include "kvbm_env_user.h"

bool (*kvbm_alloc_fail)(void);
#ifdef KVBM_DEBUG
void (*kvbm_relax_hook)(void);
#endif

void *kvbm_alloc(size_t n, size_t size)
{
	size_t bytes;
	void *p;

	if (kvbm_alloc_fail && kvbm_alloc_fail())
		return NULL;
	if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX - 63)
		return NULL;
	p = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
	if (p)
		memset(p, 0, bytes);
	return p;
}

void kvbm_free(void *p)
{
	free(p);
}

void kvbm_random(void *buf, size_t len)
{
	char *at = buf;
	ssize_t got;

	while (len) {
		got = getrandom(at, len, 0);
		if (got < 0) {
			/* No random numbers at all: nothing here is safe then. */
			if (errno != EINTR)
				abort();
			continue;
		}
		at += got;
		len -= got;
	}
}

u64 kvbm_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

void kvbm_event_init(struct kvbm_event *event)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&event->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&event->cond, &attr);
	pthread_condattr_destroy(&attr);
	event->done = false;
}

/*
 * The waiter, and the event with it, may be gone as soon as the lock is free;
 * it cannot be before, for it needs the lock to see that it is done.
 */
void kvbm_event_signal(struct kvbm_event *event)
{
	pthread_mutex_lock(&event->lock);
	event->done = true;
	pthread_cond_signal(&event->cond);
	pthread_mutex_unlock(&event->lock);
}

int kvbm_event_wait(struct kvbm_event *event, u64 deadline_ns)
{
	struct timespec deadline = {
		.tv_sec = deadline_ns / 1000000000,
		.tv_nsec = deadline_ns % 1000000000,
	};
	int err = 0;

	pthread_mutex_lock(&event->lock);
	while (!event->done && !err)
		err = pthread_cond_timedwait(&event->cond, &event->lock, &deadline);
	if (event->done)
		err = 0;
	pthread_mutex_unlock(&event->lock);
	return -err;
}

void kvbm_event_wait_signal(struct kvbm_event *event)
{
	pthread_mutex_lock(&event->lock);
	while (!event->done)
		pthread_cond_wait(&event->cond, &event->lock);
	pthread_mutex_unlock(&event->lock);
}
