// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Waiting for blocks, first come first served.
 *
 * Who finds too few blocks queues. Whoever makes blocks available looks, as it
 * unlocks, whether there are enough for the first in the queue; if so they are
 * promised to it, it leaves the queue and is woken. It then comes back with
 * the mutexes it needs, hands the promise in and takes its blocks. Should
 * matches have taken some of them, it returns to its place in the queue.
 *
 * While somebody waits nobody else is served, so that a large request is not
 * starved by many small ones.
 */
#include "store.h"

/*
 * By the order of arrival: who was promised blocks and did not find them comes
 * back to his old place. Only those promised before him can be ahead.
 */
static void enqueue(struct kvbm_store *s, struct kvbm_waiter *w)
{
	lockdep_assert_held(&s->lock);
	if (!w->ticket) {
		w->ticket = ++s->last_ticket;
		s->counters.waits++;
		w->prev = s->last_waiter;
		w->next = NULL;
	} else {
		w->prev = NULL;
		w->next = s->first_waiter;
		while (w->next && w->next->ticket < w->ticket) {
			w->prev = w->next;
			w->next = w->next->next;
		}
	}
	if (w->prev)
		w->prev->next = w;
	else
		s->first_waiter = w;
	if (w->next)
		w->next->prev = w;
	else
		s->last_waiter = w;
	w->queued = true;
}

static void dequeue(struct kvbm_store *s, struct kvbm_waiter *w)
{
	lockdep_assert_held(&s->lock);
	if (w->prev)
		w->prev->next = w->next;
	else
		s->first_waiter = w->next;
	if (w->next)
		w->next->prev = w->prev;
	else
		s->last_waiter = w->prev;
	w->queued = false;
}

/*
 * Without a block becoming free, others can have what they were refused. They
 * and pollers look at the counter.
 */
static void yield_to_others(struct kvbm_store *s)
{
	lockdep_assert_held(&s->lock);
	s->counters.freed++;
}

/* Take those out of the queue that can be served; a list by @next. */
static struct kvbm_waiter *grant(struct kvbm_store *s)
{
	struct kvbm_waiter *head = NULL, **tail = &head, *w;

	lockdep_assert_held(&s->lock);
	while ((w = s->first_waiter) && w->count <= kvbm_store_available(s)) {
		dequeue(s, w);
		s->promised += w->count;
		w->granted = w->count;
		w->next = NULL;
		*tail = w;
		tail = &w->next;
	}
	return head;
}

/* Each is gone as soon as it is signalled. */
static void wake(struct kvbm_waiter *w)
{
	struct kvbm_waiter *next;

	for (; w; w = next) {
		next = w->next;
		kvbm_event_signal(&w->event);
	}
}

/**
 * kvbm_store_unlock - unlock, and tell who waits, for blocks or for events
 * @s: the store, locked; blocks may have become available, present or absent
 */
void kvbm_store_unlock(struct kvbm_store *s)
	__releases(&s->lock)
{
	struct kvbm_waiter *granted = s->first_waiter ? grant(s) : NULL;
	bool notify = s->notify && s->notified != s->counters.freed;

	s->notified = s->counters.freed;
	spin_unlock(&s->lock);
	wake(granted);
	if (notify)
		s->notify(s->notify_arg);
	kvbm_event_tell(kvbm_registry_events(s->registry));
}

/* Too few blocks: queue, or say so. */
static int queue_or_refuse(struct kvbm_store *s, u32 need,
			   struct kvbm_allocation *a, struct kvbm_waiter *w)
{
	u32 usable = s->config.block_count - s->config.nr_reserved;

	lockdep_assert_held(&s->lock);
	if (kvbm_holder_is_fenced(w->holder))
		return -EOWNERDEAD;
	/* Who wants more than there is shall not keep others waiting. */
	if (!a->deadline_ns || a->total > usable) {
		s->counters.allocation_failures++;
		return -ENOSPC;
	}
	/* Those would be taken again before anything is allocated. */
	w->count = need + w->revived;
	w->err = 0;
	kvbm_event_init(&w->event);
	enqueue(s, w);
	return -EAGAIN;
}

/**
 * kvbm_store_claim - see whether blocks can be had now
 * @s: the store, locked
 * @need: blocks, those included that a match would take out of the pools
 * @a: the allocation
 * @w: its waiter; a promise to it is handed in
 *
 * The session is charged for what it will get.
 *
 * Return: 0: take them, under this hold. -EDQUOT: the session may not hold so
 * many. -ENOSPC: there are too few. -EAGAIN: the same, but @w is in the queue:
 * unlock everything, and wait. -EOWNERDEAD: of an earlier epoch, it may not.
 */
int kvbm_store_claim(struct kvbm_store *s, u32 need, struct kvbm_allocation *a,
		     struct kvbm_waiter *w)
{
	bool promised = w->granted;

	lockdep_assert_held(&s->lock);
	s->promised -= w->granted;
	/* More was matched meanwhile, or less. */
	if (promised && w->granted != need)
		yield_to_others(s);
	w->granted = 0;
	a->freed = s->counters.freed;
	if (!kvbm_quota_fits(w->holder, a->count + w->fresh))
		return -EDQUOT;
	if (need && (need > kvbm_store_available(s) ||
		     (!promised && s->first_waiter)))
		return queue_or_refuse(s, need, a, w);
	kvbm_quota_charge(w->holder, a->count + w->fresh);
	return 0;
}

/**
 * kvbm_store_refuse - a claim that was granted could not be kept
 * @s: the store
 * @a: the allocation; what it had is given back
 * @w: its waiter
 *
 * Context: not under a spinlock.
 * Return: -ENOSPC, -EAGAIN or -EOWNERDEAD, as kvbm_store_claim(); -ESHUTDOWN.
 */
int kvbm_store_refuse(struct kvbm_store *s, struct kvbm_allocation *a,
		      struct kvbm_waiter *w)
{
	int err = -ESHUTDOWN;

	spin_lock(&s->lock);
	if (!s->shutdown)
		err = queue_or_refuse(s, a->count, a, w);
	kvbm_store_unlock(s);
	return err;
}

/**
 * kvbm_store_wait - wait until blocks are promised
 * @s: the store
 * @w: in the queue, by kvbm_store_claim()
 * @a: the allocation
 *
 * Context: may sleep, and holds nothing.
 * Return: 0; or, with nothing promised, -ETIMEDOUT, -EINTR, -ESHUTDOWN,
 * -EOWNERDEAD.
 */
int kvbm_store_wait(struct kvbm_store *s, struct kvbm_waiter *w,
		    struct kvbm_allocation *a)
{
	u64 begin = kvbm_clock();
	int err = kvbm_event_wait(&w->event, a->deadline_ns);
	bool queued;

	w->waited_ns += kvbm_clock() - begin;
	if (!err)
		return w->err;
	spin_lock(&s->lock);
	queued = w->queued;
	if (queued) {
		dequeue(s, w);
		yield_to_others(s);
		a->freed = s->counters.freed;
		if (err == -ETIMEDOUT)
			s->counters.wait_timeouts++;
	}
	/* The next one may want less. */
	kvbm_store_unlock(s);
	if (queued)
		return err;
	/* Served after all; the signal will touch @w once more. */
	kvbm_event_wait_signal(&w->event);
	return w->err;
}

/**
 * kvbm_store_unclaim - a call is over that may have waited
 * @s: the store
 * @w: not in the queue; a promise that was not used is handed in
 *
 * Context: not under a spinlock.
 */
void kvbm_store_unclaim(struct kvbm_store *s, struct kvbm_waiter *w)
{
	if (!w->granted && !w->waited_ns)
		return;
	spin_lock(&s->lock);
	s->counters.wait_total_ns += w->waited_ns;
	w->waited_ns = 0;
	if (w->granted) {
		s->promised -= w->granted;
		w->granted = 0;
		yield_to_others(s);
	}
	kvbm_store_unlock(s);
}

static bool is_of(const struct kvbm_waiter *w, const struct kvbm_holder *holder)
{
	return !holder || w->holder == holder;
}

static bool is_fenced(const struct kvbm_waiter *w,
		      const struct kvbm_holder *ignored)
{
	return kvbm_holder_is_fenced(w->holder);
}

static void cancel(struct kvbm_store *s,
		   bool (*which)(const struct kvbm_waiter *w,
				 const struct kvbm_holder *holder),
		   const struct kvbm_holder *holder, int err)
{
	struct kvbm_waiter *head = NULL, *w, *next;

	spin_lock(&s->lock);
	for (w = s->first_waiter; w; w = next) {
		next = w->next;
		if (!which(w, holder))
			continue;
		dequeue(s, w);
		yield_to_others(s);
		w->err = err;
		w->next = head;
		head = w;
	}
	kvbm_store_unlock(s);
	wake(head);
}

/**
 * kvbm_store_cancel_waiters - let calls wait no longer
 * @s: the store
 * @holder: only those of this session; NULL for all
 * @err: what they answer
 *
 * Context: not under a spinlock.
 */
void kvbm_store_cancel_waiters(struct kvbm_store *s,
			       const struct kvbm_holder *holder, int err)
{
	cancel(s, is_of, holder, err);
}

/**
 * kvbm_store_cancel_fenced - the same, for sessions of an earlier epoch
 * @s: the store
 *
 * They answer -EOWNERDEAD.
 *
 * Context: not under a spinlock.
 */
void kvbm_store_cancel_fenced(struct kvbm_store *s)
{
	cancel(s, is_fenced, NULL, -EOWNERDEAD);
}
