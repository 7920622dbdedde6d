/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The environment of the engine: everything that kmod/engine/ takes from
 * outside, and nothing more. In the module it is the kernel; in user space
 * lib/shim/kvbm_env_user.h gives the same names their meaning.
 *
 * The closed list:
 *
 *	types		u8 u16 u32 u64 s64 bool size_t, U32_MAX U64_MAX
 *	compiler	READ_ONCE WRITE_ONCE likely unlikely prefetch
 *			ARRAY_SIZE container_of static_assert min max min_t BIT BIT_ULL
 *			__releases (for sparse) ____cacheline_aligned_in_smp
 *	assertions	WARN_ON_ONCE lockdep_assert_held
 *	arithmetic	is_power_of_2 roundup_pow_of_two DIV_ROUND_UP
 *			array_index_nospec
 *	spinlock_t	spin_lock_init spin_lock spin_unlock
 *	atomic64_t	atomic64_read atomic64_sub atomic64_inc
 *			atomic64_inc_return atomic64_try_cmpxchg_relaxed
 *	struct mutex	mutex_init mutex_destroy mutex_lock
 *			mutex_lock_killable mutex_unlock
 *	struct kvbm_event	something to wait for, once: kvbm_event_init
 *			kvbm_event_signal kvbm_event_wait (until a deadline;
 *			-EINTR, -ETIMEDOUT) kvbm_event_wait_signal (it is near)
 *	kvbm_trace_transition()	one slot changed its state
 *	kvbm_alloc()	zeroed memory, aligned to a cache line if that large;
 *			may sleep, may fail
 *	kvbm_free()	may sleep
 *	kvbm_alloc_small()	zeroed memory, up to 8 KiB; may sleep, may fail
 *	kvbm_free_small()	for that; does not sleep
 *	kvbm_random()	random bytes for keys
 *	kvbm_clock()	nanoseconds of CLOCK_MONOTONIC as of the last tick: cheap,
 *			and some milliseconds behind
 *	kvbm_relax()	a point where the CPU may be given up
 *	kvbm_killed()	true when the caller is being killed
 *	__uninitialized	of a variable on the stack, not to be cleared
 *	memcpy memset strcmp
 */
#ifndef KVBM_ENGINE_ENV_H
#define KVBM_ENGINE_ENV_H

#include <linux/kvbm_types.h>

#ifdef __KERNEL__

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/completion.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/lockdep.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/overflow.h>
#include <linux/prefetch.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/vmalloc.h>

#include "../trace.h"

/* Before 6.9. */
#ifndef __uninitialized
#if __has_attribute(__uninitialized__)
#define __uninitialized	__attribute__((__uninitialized__))
#else
#define __uninitialized
#endif
#endif

/*
 * Whatever a user makes us allocate is charged to that user, and running out
 * is that user's ENOMEM, not somebody's OOM kill.
 */
#define KVBM_GFP	(GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_RETRY_MAYFAIL | \
			 __GFP_NOWARN)

static inline void *kvbm_alloc(size_t n, size_t size)
{
	size_t bytes;

	if (check_mul_overflow(n, size, &bytes))
		return NULL;
	/* A power of two is aligned to its size. */
	if (bytes <= PAGE_SIZE)
		return kmalloc(roundup_pow_of_two(bytes), KVBM_GFP);
	return __vmalloc(bytes, KVBM_GFP);
}

static inline void kvbm_free(void *p)
{
	kvfree(p);
}

static inline void *kvbm_alloc_small(size_t size)
{
	return kmalloc(size, KVBM_GFP);
}

static inline void kvbm_free_small(void *p)
{
	kfree(p);
}

static inline void kvbm_random(void *buf, size_t len)
{
	get_random_bytes(buf, len);
}

static inline u64 kvbm_clock(void)
{
	return ktime_get_coarse_ns();
}

static inline void kvbm_relax(void)
{
	cond_resched();
}

static inline bool kvbm_killed(void)
{
	return fatal_signal_pending(current);
}

struct kvbm_event {
	struct completion done;
};

static inline void kvbm_event_init(struct kvbm_event *event)
{
	init_completion(&event->done);
}

/* Not under a spinlock. The waiter may be gone when this returns. */
static inline void kvbm_event_signal(struct kvbm_event *event)
{
	complete(&event->done);
}

static inline int kvbm_event_wait(struct kvbm_event *event, u64 deadline_ns)
{
	unsigned long ticks;
	u64 now;
	long ret;

	do {
		now = ktime_get_ns();
		if (now >= deadline_ns)
			return try_wait_for_completion(&event->done) ? 0 : -ETIMEDOUT;
		/* A tick late rather than a tick early. */
		ticks = nsecs_to_jiffies(min_t(u64, deadline_ns - now,
					       3600ULL * NSEC_PER_SEC)) + 1;
		ret = wait_for_completion_interruptible_timeout(&event->done, ticks);
	} while (!ret);
	return ret > 0 ? 0 : -EINTR;
}

static inline void kvbm_event_wait_signal(struct kvbm_event *event)
{
	wait_for_completion(&event->done);
}

static inline void kvbm_trace_transition(u64 manager, u32 id, u32 gen, u8 from,
					 u8 to, const struct kvbm_hash *hash)
{
	trace_kvbm_transition(manager, id, gen, from, to, hash);
}

#else
#include "kvbm_env_user.h"
#endif

/* Every link in a fresh table is nil; tables can be large. */
static inline void kvbm_fill_nil(u32 *table, size_t n)
{
	size_t done, part;

	for (done = 0; done < n; done += part) {
		part = min_t(size_t, n - done, 1U << 16);
		memset(table + done, 0xff, part * sizeof(*table));
		kvbm_relax();
	}
}

#endif /* KVBM_ENGINE_ENV_H */
