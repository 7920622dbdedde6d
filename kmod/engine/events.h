/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The event ring of a registry: what became present and absent, in the order in
 * which it did.
 *
 * Nobody waits for readers. Each has a place of its own in the ring; the oldest
 * records are overwritten, and who had not read them finds that numbers are
 * missing. Every event gets a number, so a record that is lost keeps its own.
 * While nobody listens there is no ring, and nothing is recorded; the first to
 * listen again skips one number, so that who resumes sees that, too.
 */
#ifndef KVBM_ENGINE_EVENTS_H
#define KVBM_ENGINE_EVENTS_H

#include <linux/kvbm_types.h>

#include "env.h"

struct kvbm_registry;

/* Bounds of the size of a ring; a power of two in between. */
#define KVBM_EVENT_RING_MIN	(16U << 10)
#define KVBM_EVENT_RING_MAX	(64U << 20)
/* Most that is copied out under one hold of the lock; room for any record. */
#define KVBM_EVENT_HOLD		(16U << 10)

/**
 * struct kvbm_event_ring - see above
 * @listen_lock: who begins or ends to listen; with it, memory is allocated
 * @notify: called without spinlocks when there are new records; immutable once
 *	the registry is used
 * @notify_arg: for @notify
 * @listening: there is a ring; written under @lock, and read without it by those
 *	who change presence: under the lock of their store, which a dump takes
 *	after its caller began to listen
 * @news: records were added since @notify was last called; written under @lock
 *	and by who then calls it
 * @lock: protects all below, a leaf
 * @bytes: the ring
 * @size: of it, a power of two
 * @head: where the next record goes; counts bytes, never wraps
 * @tail: where the oldest one is
 * @oldest: its sequence; that of the next one when there is none
 * @live: bit per store that reports
 * @stats: the counters
 */
struct kvbm_event_ring {
	struct mutex listen_lock;	/* see above */
	void (*notify)(void *arg);
	void *notify_arg;
	bool listening;
	bool news;
	spinlock_t lock ____cacheline_aligned_in_smp;
	char *bytes;
	u32 size;
	u64 head;
	u64 tail;
	u64 oldest;
	u64 live;
	struct kvbm_event_stats stats;
};

/**
 * struct kvbm_event_reader - the place of one who listens
 * @at: in the ring, as @head
 * @sequence: of the record there
 * @missed: records that were overwritten before they were read
 * @next_at: @at once what was peeked at is consumed
 * @next_sequence: same
 *
 * Of the caller, who serialises its use; kvbm_event_pending() can be called at any
 * time.
 */
struct kvbm_event_reader {
	u64 at;
	u64 sequence;
	u64 missed;
	u64 next_at;
	u64 next_sequence;
};

/**
 * struct kvbm_report - a store, and perhaps a block of it, in an event
 * @manager: its id
 * @bit: of the store
 * @tier: KVBM_TIER_*
 * @block: id
 * @gen: of the tenant
 * @aux: of the block
 * @aux_size: bytes
 */
struct kvbm_report {
	u64 manager;
	u32 bit;
	u8 tier;
	u32 block;
	u32 gen;
	const void *aux;
	u32 aux_size;
};

/* Bytes of a record, padding included. */
static inline u32 kvbm_event_size(u32 aux_size)
{
	return (sizeof(struct kvbm_event_record) + aux_size + 7) & ~7U;
}

/* For the files of the engine. */
void kvbm_event_ring_init(struct kvbm_event_ring *ring);
void kvbm_event_ring_destroy(struct kvbm_event_ring *ring);
void kvbm_event_created(struct kvbm_event_ring *ring,
			const struct kvbm_report *report);
void kvbm_event_cleared(struct kvbm_event_ring *ring,
			const struct kvbm_report *report);
void kvbm_event_destroyed(struct kvbm_event_ring *ring,
			  const struct kvbm_report *report);
void kvbm_event_stored(struct kvbm_event_ring *ring,
		       const struct kvbm_report *report,
		       const struct kvbm_hash *hash, u64 others);
void kvbm_event_removed(struct kvbm_event_ring *ring,
			const struct kvbm_report *report,
			const struct kvbm_hash *hash, u64 others);
void kvbm_event_record_fill(struct kvbm_event_record *record, u8 type,
			    const struct kvbm_report *report,
			    const struct kvbm_hash *hash);
void kvbm_event_copy(char *to, const struct kvbm_event_record *record,
		     const void *aux);

/* Whether anybody would hear of an event. */
static inline bool kvbm_event_heard(const struct kvbm_event_ring *ring)
{
	return READ_ONCE(ring->listening);
}

/* After a change, without spinlocks. */
static inline void kvbm_event_tell(struct kvbm_event_ring *ring)
{
	if (likely(!READ_ONCE(ring->news)))
		return;
	/* Who adds more sets it again, and comes here, too. */
	WRITE_ONCE(ring->news, false);
	if (ring->notify)
		ring->notify(ring->notify_arg);
}

/* For who has a registry. */
struct kvbm_event_ring *kvbm_registry_events(struct kvbm_registry *registry);
u32 kvbm_event_ring_size(u64 wanted);
int kvbm_event_listen(struct kvbm_event_ring *ring, u32 size,
		      struct kvbm_event_reader *reader);
void kvbm_event_unlisten(struct kvbm_event_ring *ring);
bool kvbm_event_pending(struct kvbm_event_ring *ring,
			const struct kvbm_event_reader *reader);
int kvbm_event_peek(struct kvbm_event_ring *ring, struct kvbm_event_reader *reader,
		    void *buf, u32 size);
void kvbm_event_consume(struct kvbm_event_reader *reader);
u64 kvbm_event_next(struct kvbm_event_ring *ring);
void kvbm_event_stats(struct kvbm_event_ring *ring, struct kvbm_event_stats *out);

#endif /* KVBM_ENGINE_EVENTS_H */
