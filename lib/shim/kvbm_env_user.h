/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The environment of the engine in user space. kmod/engine/env.h lists what
 * the engine may use; this gives each of those names its meaning here. Nothing
 * of it is taken from the kernel.
 */
#ifndef KVBM_ENV_USER_H
#define KVBM_ENV_USER_H

#include <assert.h>
#include <errno.h>
#include <linux/kvbm_types.h>
#include <linux/types.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef int32_t s32;
typedef __u64 u64;	/* as in struct kvbm_hash */
typedef __s64 s64;

#define U32_MAX			UINT32_MAX
#define U64_MAX			UINT64_MAX

#define READ_ONCE(x)		__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v)	__atomic_store_n(&(x), v, __ATOMIC_RELAXED)
#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)
#define prefetch(p)		__builtin_prefetch(p)
#define __must_hold(lock)
#define __uninitialized
#define __releases(lock)
#define ____cacheline_aligned_in_smp __attribute__((__aligned__(64)))

#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define BIT(n)			(1UL << (n))
#define BIT_ULL(n)		(1ULL << (n))
#define DIV_ROUND_UP(n, d)	(((n) + (d) - 1) / (d))
#define container_of(p, type, member) \
	((type *)((char *)(p) - offsetof(type, member)))
#define min_t(type, a, b) ({ type a_ = (a), b_ = (b); a_ < b_ ? a_ : b_; })
#define max_t(type, a, b) ({ type a_ = (a), b_ = (b); a_ > b_ ? a_ : b_; })
#define min(a, b)		min_t(__typeof__((a) + (b)), a, b)
#define max(a, b)		max_t(__typeof__((a) + (b)), a, b)
#undef static_assert
#define static_assert(e)	_Static_assert(e, #e)

/* A broken invariant ends the program here: tests must not go on. */
#define WARN_ON_ONCE(condition) ({					\
	bool warn_ = (condition);					\
	if (warn_) {							\
		fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__,	\
			#condition);					\
		abort();						\
	}								\
	warn_;								\
})

/* Callers of the library can read all of its memory anyway. */
#define array_index_nospec(i, n)	(i)

static inline bool is_power_of_2(u64 n)
{
	return n && !(n & (n - 1));
}

static inline u64 roundup_pow_of_two(u64 n)
{
	return n < 2 ? 1 : 1ULL << (64 - __builtin_clzll(n - 1));
}

/*
 * A spinlock that knows its owner, for lockdep_assert_held(). Holds are short;
 * a waiter yields, for the owner may need the CPU.
 */
typedef struct {
	char locked;
	pthread_t owner;
} spinlock_t;

/* For tools/bench/holds: how long spinlocks are held. */
#ifdef KVBM_HOLD_HOOKS
void kvbm_hold_begins(void);
void kvbm_hold_ends(void);
#else
static inline void kvbm_hold_begins(void) { }
static inline void kvbm_hold_ends(void) { }
#endif

static inline void spin_lock_init(spinlock_t *lock)
{
	__atomic_clear(&lock->locked, __ATOMIC_RELAXED);
}

static inline void spin_lock(spinlock_t *lock)
{
	unsigned int spins = 0;

	while (__atomic_test_and_set(&lock->locked, __ATOMIC_ACQUIRE))
		if (++spins % 128 == 0)
			sched_yield();
#ifdef KVBM_DEBUG
	lock->owner = pthread_self();
#endif
	kvbm_hold_begins();
}

static inline void spin_unlock(spinlock_t *lock)
{
	kvbm_hold_ends();
	__atomic_clear(&lock->locked, __ATOMIC_RELEASE);
}

/* Ordering is as weak as in the kernel: relaxed, but for what returns a value. */
typedef struct {
	s64 v;
} atomic64_t;

static inline s64 atomic64_read(const atomic64_t *a)
{
	return __atomic_load_n(&a->v, __ATOMIC_RELAXED);
}

static inline void atomic64_sub(s64 n, atomic64_t *a)
{
	__atomic_fetch_sub(&a->v, n, __ATOMIC_RELAXED);
}

static inline void atomic64_inc(atomic64_t *a)
{
	__atomic_fetch_add(&a->v, 1, __ATOMIC_RELAXED);
}

static inline s64 atomic64_inc_return(atomic64_t *a)
{
	return __atomic_add_fetch(&a->v, 1, __ATOMIC_SEQ_CST);
}

static inline bool atomic64_try_cmpxchg_relaxed(atomic64_t *a, s64 *old, s64 new_value)
{
	return __atomic_compare_exchange_n(&a->v, old, new_value, false,
					   __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

struct mutex {
	pthread_mutex_t m;
	char locked;
	pthread_t owner;
};

static inline void mutex_init(struct mutex *lock)
{
	pthread_mutex_init(&lock->m, NULL);
	lock->locked = 0;
}

static inline void mutex_destroy(struct mutex *lock)
{
	pthread_mutex_destroy(&lock->m);
}

static inline void mutex_lock(struct mutex *lock)
{
	pthread_mutex_lock(&lock->m);
#ifdef KVBM_DEBUG
	lock->owner = pthread_self();
#endif
	lock->locked = 1;
}

static inline int mutex_lock_killable(struct mutex *lock)
{
	mutex_lock(lock);
	return 0;
}

static inline void mutex_unlock(struct mutex *lock)
{
	lock->locked = 0;
	pthread_mutex_unlock(&lock->m);
}

#ifdef KVBM_DEBUG
/* Waiters write @locked, too, if only what is there already. */
#define lockdep_assert_held(lock)					\
	assert(__atomic_load_n(&(lock)->locked, __ATOMIC_RELAXED) &&	\
	       pthread_equal((lock)->owner, pthread_self()))
#else
#define lockdep_assert_held(lock) ((void)(lock))
#endif

/*
 * Tests make allocations fail: when kvbm_alloc_fail is not NULL it is asked
 * before each of them.
 */
extern bool (*kvbm_alloc_fail)(void);

void *kvbm_alloc(size_t n, size_t size);
void kvbm_free(void *p);
void kvbm_random(void *buf, size_t len);
u64 kvbm_clock(void);

static inline void *kvbm_alloc_small(size_t size)
{
	return kvbm_alloc(1, size);
}

static inline void kvbm_free_small(void *p)
{
	kvbm_free(p);
}

/*
 * Tests step in where others could: the hook is called where no spinlock is
 * held and the kernel may run somebody else.
 */
#ifdef KVBM_DEBUG
extern void (*kvbm_relax_hook)(void);
#endif

static inline void kvbm_relax(void)
{
#ifdef KVBM_DEBUG
	if (kvbm_relax_hook)
		kvbm_relax_hook();
#endif
}

/* Something that is waited for once. */
struct kvbm_event {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

void kvbm_event_init(struct kvbm_event *event);
void kvbm_event_signal(struct kvbm_event *event);
int kvbm_event_wait(struct kvbm_event *event, u64 deadline_ns);
void kvbm_event_wait_signal(struct kvbm_event *event);

static inline void kvbm_trace_transition(u64 manager, u32 id, u32 gen, u8 from,
					 u8 to, const struct kvbm_hash *hash)
{
	(void)manager, (void)id, (void)gen, (void)from, (void)to, (void)hash;
}

static inline bool kvbm_killed(void)
{
	return false;
}

#endif /* KVBM_ENV_USER_H */
