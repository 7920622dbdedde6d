// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What a store tells of itself and of its blocks, in events and in dumps.
 *
 * It reports from when it is announced until it is shut down. Then it is cleared,
 * once, whatever becomes of its blocks: some may be held for long.
 */
#include "store.h"

/* The store itself, in an event. */
void kvbm_store_report_self(const struct kvbm_store *s, struct kvbm_report *report)
{
	*report = (struct kvbm_report){
		.manager = s->tag,
		.bit = s->share.bit,
		.tier = s->tier,
	};
}

/* The same, and a block that has a hash, which holds its aux still. */
void kvbm_store_report_block(const struct kvbm_store *s, u32 id,
			     struct kvbm_report *report)
{
	kvbm_store_report_self(s, report);
	report->block = id;
	report->gen = s->slots[id].gen;
	report->aux_size = s->config.aux_size;
	report->aux = kvbm_store_aux(s, id);
}

/**
 * kvbm_store_announce - tell that there is a new store, and report from now on
 * @store: published, and empty still
 *
 * Context: not under a spinlock.
 */
void kvbm_store_announce(struct kvbm_store *store)
{
	struct kvbm_event_ring *ring = kvbm_registry_events(store->registry);
	struct kvbm_report report;

	spin_lock(&store->lock);
	store->reporting = true;
	kvbm_store_report_self(store, &report);
	kvbm_event_created(ring, &report);
	spin_unlock(&store->lock);
	kvbm_event_tell(ring);
}

/* A drain has reset something. If nothing is left, that is an event. */
void kvbm_store_drained(struct kvbm_store *s)
{
	struct kvbm_report report;

	lockdep_assert_held(&s->lock);
	/* A Duplicate has a Primary. */
	if (!s->reporting || s->counters.states[KVBM_STATE_PRIMARY] ||
	    s->counters.states[KVBM_STATE_INACTIVE])
		return;
	kvbm_store_report_self(s, &report);
	kvbm_event_cleared(kvbm_registry_events(s->registry), &report);
}

/* What happens from now on is nobody's business. */
void kvbm_store_end_reports(struct kvbm_store *s)
{
	struct kvbm_report report;

	lockdep_assert_held(&s->lock);
	if (!s->reporting)
		return;
	s->reporting = false;
	kvbm_store_report_self(s, &report);
	kvbm_event_destroyed(kvbm_registry_events(s->registry), &report);
}

/* The entry of a dump for one slot, if it is one of those that make presence. */
static u32 put_content(const struct kvbm_store *s, u32 id, char *to)
{
	u8 state = s->slots[id].state;
	struct kvbm_event_record record;
	struct kvbm_report report;

	lockdep_assert_held(&s->lock);
	if (state != KVBM_STATE_PRIMARY && state != KVBM_STATE_INACTIVE)
		return 0;
	kvbm_store_report_block(s, id, &report);
	kvbm_event_record_fill(&record, KVBM_EVENT_STORED, &report,
			       &s->slots[id].hash);
	record.flags = KVBM_EVENT_SNAPSHOT;
	kvbm_event_copy(to, &record, report.aux);
	return record.size;
}

/**
 * kvbm_store_content - tell what is present, as records
 * @store: the store
 * @block: where to begin; out: where to go on, the number of blocks at the end
 * @count: most slots to look at
 * @buf: out: a KVBM_EVENT_STORED with KVBM_EVENT_SNAPSHOT for each hash
 * @size: bytes of @buf
 *
 * A store that does not report has nothing to tell. Slots are read under the same
 * lock under which presence changes: with the events since, it is exact.
 *
 * Context: may sleep; up to KVBM_CHUNK slots, and KVBM_EVENT_HOLD bytes, under each
 * hold of the lock.
 * Return: bytes.
 */
u32 kvbm_store_content(struct kvbm_store *store, u32 *block, u32 count, char *buf,
		       u32 size)
{
	u32 blocks = store->config.block_count;
	u32 each = kvbm_event_size(store->config.aux_size);
	u32 chunk = min_t(u32, KVBM_CHUNK, KVBM_EVENT_HOLD / each);
	u32 done = 0, i = *block, n = 0, end;

	while (i < blocks && n < count && size - done >= each) {
		end = min_t(u32, blocks - i, min_t(u32, chunk, count - n)) + i;
		spin_lock(&store->lock);
		if (!store->reporting)
			i = blocks;
		for (; i < end && size - done >= each; i++, n++)
			done += put_content(store, i, buf + done);
		spin_unlock(&store->lock);
		kvbm_relax();
	}
	*block = min_t(u32, i, blocks);
	return done;
}
