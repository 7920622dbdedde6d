// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The event ring of a registry. See events.h.
 *
 * An event of a block is added under the stripe of its hash, so the events of
 * one hash are in the order of what happened, whichever stores they are of; an
 * event of a store under the lock of that store.
 */
#include "events.h"

void kvbm_event_ring_init(struct kvbm_event_ring *ring)
{
	mutex_init(&ring->listen_lock);
	spin_lock_init(&ring->lock);
	ring->stats.next = 1;
	ring->oldest = 1;
}

/* Nobody listens any more. */
void kvbm_event_ring_destroy(struct kvbm_event_ring *ring)
{
	WARN_ON_ONCE(ring->bytes);
	mutex_destroy(&ring->listen_lock);
}

/* To the ring, or from it; what does not fit goes on at its start. */
static void ring_write(struct kvbm_event_ring *ring, u64 at, const void *from,
		       u32 len)
{
	u32 offset = at & (ring->size - 1);
	u32 part = min_t(u32, len, ring->size - offset);

	memcpy(ring->bytes + offset, from, part);
	memcpy(ring->bytes, (const char *)from + part, len - part);
}

static void ring_read(const struct kvbm_event_ring *ring, u64 at, void *to, u32 len)
{
	u32 offset = at & (ring->size - 1);
	u32 part = min_t(u32, len, ring->size - offset);

	memcpy(to, ring->bytes + offset, part);
	memcpy((char *)to + part, ring->bytes, len - part);
}

/* Of the record there. Records begin at multiples of 8: it is in one piece. */
static u32 size_at(const struct kvbm_event_ring *ring, u64 at)
{
	u32 size;

	memcpy(&size, ring->bytes + (at & (ring->size - 1)), sizeof(size));
	return size;
}

/**
 * kvbm_event_record_fill - all of a record but for what the ring knows
 * @record: the record; its sequence, time and flags are 0
 * @type: KVBM_EVENT_*
 * @report: the store, and the block if there is a @hash
 * @hash: of the block, or NULL
 *
 * Context: any.
 */
void kvbm_event_record_fill(struct kvbm_event_record *record, u8 type,
			    const struct kvbm_report *report,
			    const struct kvbm_hash *hash)
{
	*record = (struct kvbm_event_record){
		.size = kvbm_event_size(0),
		.version = KVBM_EVENT_VERSION,
		.type = type,
		.tier = report->tier,
		.manager = report->manager,
	};
	if (!hash)
		return;
	record->hash_size = sizeof(*hash);
	record->hash = *hash;
	record->block = report->block;
	record->gen = report->gen;
	if (type == KVBM_EVENT_STORED) {
		record->aux_size = report->aux_size;
		record->size = kvbm_event_size(report->aux_size);
	}
}

/**
 * kvbm_event_copy - a record, its aux and the padding, in one piece
 * @to: @record->size bytes
 * @record: the record
 * @aux: @record->aux_size bytes
 *
 * Context: any.
 */
void kvbm_event_copy(char *to, const struct kvbm_event_record *record,
		     const void *aux)
{
	u32 end = sizeof(*record) + record->aux_size;

	memcpy(to, record, sizeof(*record));
	if (record->aux_size)
		memcpy(to + sizeof(*record), aux, record->aux_size);
	memset(to + end, 0, record->size - end);
}

static void append(struct kvbm_event_ring *ring, struct kvbm_event_record *record,
		   const void *aux)
{
	static const u64 zeroes;
	u64 at = ring->head;
	u32 end = sizeof(*record) + record->aux_size;

	lockdep_assert_held(&ring->lock);
	if (!ring->bytes)
		return;
	record->sequence = ring->stats.next++;
	record->time_ns = kvbm_clock();
	while (ring->head + record->size - ring->tail > ring->size) {
		ring->tail += size_at(ring, ring->tail);
		ring->oldest++;
	}
	ring_write(ring, at, record, sizeof(*record));
	if (record->aux_size)
		ring_write(ring, at + sizeof(*record), aux, record->aux_size);
	ring_write(ring, at + end, &zeroes, record->size - end);
	ring->head += record->size;
	WRITE_ONCE(ring->news, true);
}

static void append_plain(struct kvbm_event_ring *ring, u8 type,
			 const struct kvbm_report *report)
{
	struct kvbm_event_record record;

	kvbm_event_record_fill(&record, type, report, NULL);
	append(ring, &record, NULL);
}

/**
 * kvbm_event_created - a store begins to report
 * @ring: of its registry
 * @report: the store
 *
 * Context: under the lock of the store.
 */
void kvbm_event_created(struct kvbm_event_ring *ring,
			const struct kvbm_report *report)
{
	spin_lock(&ring->lock);
	ring->live |= 1ULL << report->bit;
	append_plain(ring, KVBM_EVENT_MANAGER_CREATED, report);
	spin_unlock(&ring->lock);
}

/* Nothing is present in a store; under the lock of the store. */
void kvbm_event_cleared(struct kvbm_event_ring *ring,
			const struct kvbm_report *report)
{
	spin_lock(&ring->lock);
	append_plain(ring, KVBM_EVENT_CLEARED, report);
	spin_unlock(&ring->lock);
}

/**
 * kvbm_event_destroyed - a store reports no more, and what it has is not there
 * @ring: of its registry
 * @report: the store
 *
 * Context: under the lock of the store.
 */
void kvbm_event_destroyed(struct kvbm_event_ring *ring,
			  const struct kvbm_report *report)
{
	spin_lock(&ring->lock);
	ring->live &= ~(1ULL << report->bit);
	append_plain(ring, KVBM_EVENT_CLEARED, report);
	append_plain(ring, KVBM_EVENT_MANAGER_DESTROYED, report);
	spin_unlock(&ring->lock);
}

static void append_block(struct kvbm_event_ring *ring, u8 type,
			 const struct kvbm_report *report,
			 const struct kvbm_hash *hash, u64 others, u32 alone)
{
	struct kvbm_event_record record;

	kvbm_event_record_fill(&record, type, report, hash);
	spin_lock(&ring->lock);
	/* A store that was ended has its entries for a while. */
	if (!(others & ring->live))
		record.flags |= alone;
	append(ring, &record, report->aux);
	spin_unlock(&ring->lock);
}

/**
 * kvbm_event_stored - a hash became present in a store
 * @ring: of its registry
 * @report: the store and the block
 * @hash: the hash
 * @others: bits of other stores that have it
 *
 * Context: under the lock of the store and the stripe of the hash.
 */
void kvbm_event_stored(struct kvbm_event_ring *ring,
		       const struct kvbm_report *report,
		       const struct kvbm_hash *hash, u64 others)
{
	append_block(ring, KVBM_EVENT_STORED, report, hash, others,
		     KVBM_EVENT_FIRST);
}

/* As kvbm_event_stored(): a hash is no longer present in a store. */
void kvbm_event_removed(struct kvbm_event_ring *ring,
			const struct kvbm_report *report,
			const struct kvbm_hash *hash, u64 others)
{
	append_block(ring, KVBM_EVENT_REMOVED, report, hash, others,
		     KVBM_EVENT_LAST);
}

/**
 * kvbm_event_ring_size - the size that a ring can have
 * @wanted: bytes
 *
 * Context: any.
 * Return: a power of two near @wanted.
 */
u32 kvbm_event_ring_size(u64 wanted)
{
	if (wanted <= KVBM_EVENT_RING_MIN)
		return KVBM_EVENT_RING_MIN;
	if (wanted >= KVBM_EVENT_RING_MAX)
		return KVBM_EVENT_RING_MAX;
	return roundup_pow_of_two(wanted);
}

/**
 * kvbm_event_listen - one more who listens
 * @ring: the ring
 * @size: bytes, by kvbm_event_ring_size(), in case that this is the first
 * @reader: out; the next event will be its first
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int kvbm_event_listen(struct kvbm_event_ring *ring, u32 size,
		      struct kvbm_event_reader *reader)
{
	char *bytes = NULL;
	int err = 0;

	mutex_lock(&ring->listen_lock);
	if (!ring->bytes) {
		bytes = kvbm_alloc(1, size);
		if (!bytes) {
			err = -ENOMEM;
			goto unlock;
		}
	}
	spin_lock(&ring->lock);
	if (bytes) {
		ring->bytes = bytes;
		ring->size = size;
		ring->head = 0;
		ring->tail = 0;
		/* Of what happened, or did not, while nobody listened. */
		ring->stats.next++;
		ring->stats.unheard++;
		ring->oldest = ring->stats.next;
		ring->stats.ring_bytes = size;
		WRITE_ONCE(ring->listening, true);
	}
	ring->stats.listeners++;
	*reader = (struct kvbm_event_reader){
		.at = ring->head,
		.sequence = ring->stats.next,
	};
	spin_unlock(&ring->lock);
unlock:
	mutex_unlock(&ring->listen_lock);
	return err;
}

/**
 * kvbm_event_unlisten - one less
 * @ring: the ring; after the last one there is none
 *
 * Context: may sleep.
 */
void kvbm_event_unlisten(struct kvbm_event_ring *ring)
{
	char *bytes = NULL;

	mutex_lock(&ring->listen_lock);
	spin_lock(&ring->lock);
	if (!--ring->stats.listeners) {
		bytes = ring->bytes;
		ring->bytes = NULL;
		ring->stats.ring_bytes = 0;
		WRITE_ONCE(ring->listening, false);
		WRITE_ONCE(ring->news, false);
	}
	spin_unlock(&ring->lock);
	kvbm_free(bytes);
	mutex_unlock(&ring->listen_lock);
}

/**
 * kvbm_event_pending - whether there is something to read
 * @ring: the ring
 * @reader: of who asks
 *
 * Context: any.
 * Return: whether kvbm_event_peek() would find something.
 */
bool kvbm_event_pending(struct kvbm_event_ring *ring,
			const struct kvbm_event_reader *reader)
{
	bool pending;

	spin_lock(&ring->lock);
	/* Of who polls while another thread reads. */
	pending = ring->head != READ_ONCE(reader->at);
	spin_unlock(&ring->lock);
	return pending;
}

/* What was overwritten is lost, for this reader. */
static void catch_up(struct kvbm_event_ring *ring, struct kvbm_event_reader *reader)
{
	u64 missed = ring->oldest - reader->sequence;

	lockdep_assert_held(&ring->lock);
	if (reader->at >= ring->tail)
		return;
	WRITE_ONCE(reader->at, ring->tail);
	reader->sequence = ring->oldest;
	reader->missed += missed;
	ring->stats.dropped += missed;
}

/**
 * kvbm_event_peek - copy records out
 * @ring: the ring
 * @reader: of who asks; stays where it is until kvbm_event_consume()
 * @buf: out: whole records, oldest first
 * @size: bytes of @buf; at most KVBM_EVENT_HOLD of them are used
 *
 * Context: any.
 * Return: bytes; 0 when there is nothing; -EINVAL when @size is too small for the
 * next record.
 */
int kvbm_event_peek(struct kvbm_event_ring *ring, struct kvbm_event_reader *reader,
		    void *buf, u32 size)
{
	u32 done = 0, count = 0, next;

	size = min_t(u32, size, KVBM_EVENT_HOLD);
	spin_lock(&ring->lock);
	catch_up(ring, reader);
	while (reader->at + done != ring->head) {
		next = size_at(ring, reader->at + done);
		if (next > size - done)
			break;
		done += next;
		count++;
	}
	ring_read(ring, reader->at, buf, done);
	next = ring->head != reader->at;
	spin_unlock(&ring->lock);
	reader->next_at = reader->at + done;
	reader->next_sequence = reader->sequence + count;
	return next && !done ? -EINVAL : (int)done;
}

/**
 * kvbm_event_consume - what was last peeked at is done with
 * @reader: whose
 *
 * Context: any.
 */
void kvbm_event_consume(struct kvbm_event_reader *reader)
{
	WRITE_ONCE(reader->at, reader->next_at);
	reader->sequence = reader->next_sequence;
}

/**
 * kvbm_event_next - the number of the next event
 * @ring: the ring
 *
 * Context: any.
 * Return: its sequence.
 */
u64 kvbm_event_next(struct kvbm_event_ring *ring)
{
	u64 next;

	spin_lock(&ring->lock);
	next = ring->stats.next;
	spin_unlock(&ring->lock);
	return next;
}

/**
 * kvbm_event_stats - one consistent snapshot
 * @ring: the ring
 * @out: the snapshot
 *
 * Context: any.
 */
void kvbm_event_stats(struct kvbm_event_ring *ring, struct kvbm_event_stats *out)
{
	spin_lock(&ring->lock);
	*out = ring->stats;
	spin_unlock(&ring->lock);
}
