// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Streams of events, whatever they come from.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/plh.h"
#include "events.h"

/**
 * struct kvbm_events - a stream
 * @source: its transport
 * @arg: for @source
 * @expected: sequence of the next record; 0 while that is not known
 * @gap: records lost before the last one
 * @lost: records lost
 * @buf: what was read
 * @have: bytes in @buf
 * @at: bytes of these that were used
 * @dump_buf: what was last dumped; NULL until then
 */
struct kvbm_events {
	const struct kvbm_event_source *source;
	void *arg;
	uint64_t expected;
	uint64_t gap;
	uint64_t lost;
	char *buf;
	size_t have;
	size_t at;
	char *dump_buf;
};

const char *kvbm_event_type_name(unsigned int type)
{
	static const char *const names[] = {
		[KVBM_EVENT_STORED] = "stored",
		[KVBM_EVENT_REMOVED] = "removed",
		[KVBM_EVENT_CLEARED] = "cleared",
		[KVBM_EVENT_MANAGER_CREATED] = "created",
		[KVBM_EVENT_MANAGER_DESTROYED] = "destroyed",
	};

	return type < sizeof(names) / sizeof(*names) ? names[type] : NULL;
}

int kvbm_events_from_source(const struct kvbm_event_source *source, void *arg,
			    uint64_t next, struct kvbm_events **out)
{
	struct kvbm_events *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->buf = malloc(KVBM_EVENTS_BUFFER);
	if (!e->buf) {
		free(e);
		return -ENOMEM;
	}
	e->source = source;
	e->arg = arg;
	e->expected = next;
	*out = e;
	return 0;
}

int kvbm_events_open(struct kvbm *kvbm, uint64_t registry,
		     struct kvbm_events **out)
{
	/* To the ABI, 0 is the registry of the manager that the file is bound to. */
	if (!registry)
		return -ENOENT;
	return kvbm_conn_open_events(kvbm->conn, registry, out);
}

void kvbm_events_close(struct kvbm_events *events)
{
	if (!events)
		return;
	events->source->close(events->arg);
	free(events->dump_buf);
	free(events->buf);
	free(events);
}

int kvbm_events_fd(const struct kvbm_events *events)
{
	return events->source->fd(events->arg);
}

uint64_t kvbm_events_gap(const struct kvbm_events *events)
{
	return events->gap;
}

uint64_t kvbm_events_lost(const struct kvbm_events *events)
{
	return events->lost;
}

uint64_t kvbm_events_expected(const struct kvbm_events *events)
{
	return events->expected;
}

const struct kvbm_event_record *kvbm_event_record_at(const char *at, size_t bytes)
{
	const struct kvbm_event_record *r = (const void *)at;

	if (bytes < sizeof(*r) || r->size < sizeof(*r) || r->size > bytes ||
	    r->size % 8 || r->version != KVBM_EVENT_VERSION ||
	    r->aux_size > r->size - sizeof(*r))
		return NULL;
	return r;
}

/* The next record of the buffer: 1, 0 when it was seen before, or -EPROTO. */
static int take(struct kvbm_events *e, const struct kvbm_event_record **record)
{
	const struct kvbm_event_record *r =
		kvbm_event_record_at(e->buf + e->at, e->have - e->at);

	if (!r) {
		e->at = e->have;
		return -EPROTO;
	}
	e->at += r->size;
	if (r->sequence < e->expected)
		return 0;
	e->gap = e->expected ? r->sequence - e->expected : 0;
	e->lost += e->gap;
	e->expected = r->sequence + 1;
	*record = r;
	return 1;
}

bool kvbm_events_settle(struct kvbm_events *events, uint64_t first, uint64_t last)
{
	uint64_t expected = events->expected;

	if (expected > last)
		return false;
	/* 0: where it began is not known, so neither how many there were. */
	if (expected)
		events->lost += last + 1 - expected;
	events->expected = last + 1;
	return first <= last;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* 1 when there may be something to read, 0 when there is not in time. */
static int wait_readable(struct kvbm_events *e, int64_t deadline)
{
	struct pollfd p = { .fd = kvbm_events_fd(e), .events = POLLIN };
	int64_t left = deadline < 0 ? -1 : deadline - now_ms();
	int ret;

	if (deadline >= 0 && left <= 0)
		return 0;
	ret = poll(&p, 1, left);
	return ret < 0 ? -errno : ret;
}

int kvbm_events_next(struct kvbm_events *events,
		     const struct kvbm_event_record **record, int timeout_ms)
{
	int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	ssize_t ret;

	for (;;) {
		while (events->at < events->have) {
			ret = take(events, record);
			if (ret)
				return ret;
		}
		events->at = 0;
		events->have = 0;
		ret = events->source->read(events->arg, events->buf,
					   KVBM_EVENTS_BUFFER);
		if (ret > 0) {
			events->have = ret;
			continue;
		}
		if (ret != -EAGAIN)
			return ret ? ret : -ENODATA;
		if (!timeout_ms)
			return 0;
		ret = wait_readable(events, deadline);
		if (ret <= 0)
			return ret;
	}
}

int kvbm_events_dump_part(struct kvbm_events *events, struct kvbm_events_dump *dump,
			  const char **records)
{
	int err;

	if (!events->dump_buf)
		events->dump_buf = malloc(KVBM_EVENTS_BUFFER);
	if (!events->dump_buf)
		return -ENOMEM;
	dump->size = sizeof(*dump);
	dump->flags = 0;
	dump->records = kvbm_ptr(events->dump_buf);
	dump->bytes = KVBM_EVENTS_BUFFER;
	dump->out_bytes = 0;
	err = events->source->dump(events->arg, dump);
	if (!err && dump->out_bytes > KVBM_EVENTS_BUFFER)
		err = -EPROTO;
	*records = events->dump_buf;
	return err;
}

int kvbm_events_dump(struct kvbm_events *events,
		     int (*entry)(void *arg, const struct kvbm_event_record *record),
		     void *arg, struct kvbm_dump_range *range)
{
	struct kvbm_events_dump dump = { .size = sizeof(dump) };
	const struct kvbm_event_record *r;
	const char *records;
	bool begun = false;
	size_t at;
	int err;

	do {
		err = kvbm_events_dump_part(events, &dump, &records);
		if (err)
			return err;
		if (!begun)
			range->first = dump.out_first;
		begun = true;
		range->last = dump.out_last;
		for (at = 0; at < dump.out_bytes; at += r->size) {
			r = kvbm_event_record_at(records + at, dump.out_bytes - at);
			if (!r)
				return -EPROTO;
			err = entry(arg, r);
			if (err)
				return err;
		}
	} while (dump.manager);
	return 0;
}

uint32_t kvbm_event_position(const struct kvbm_event_record *record)
{
	return record->hash_size && kvbm_plh_valid(&record->hash) ?
	       kvbm_plh_position(&record->hash) : 0;
}

bool kvbm_event_wanted(const struct kvbm_event_policy *policy,
		       const struct kvbm_event_record *record)
{
	uint32_t position;

	if (policy->kind == KVBM_EVENTS_ALL || !record->hash_size)
		return true;
	position = kvbm_event_position(record);
	return position && !(position & (position - 1)) &&
	       position >= policy->min && position <= policy->max;
}
