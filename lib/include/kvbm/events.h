/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * libkvbm: the events of a registry.
 *
 *	struct kvbm_events	a stream of records, with holes where some were lost
 *	struct kvbm_view	what is present, exact after any loss, and the changes
 *				of that as a stream without holes
 *	struct kvbm_event_policy which events a consumer wants
 *
 * A stream or a view is used by one thread at a time. Functions return 0, or
 * something better, or a negative errno.
 */
#ifndef KVBM_EVENTS_H
#define KVBM_EVENTS_H

#include <kvbm/kvbm.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* The aux of a record. */
static inline const void *kvbm_event_aux(const struct kvbm_event_record *record)
{
	return record + 1;
}

/* "stored" and so on; NULL for an unknown type. */
const char *kvbm_event_type_name(unsigned int type);

/* --- Streams */

struct kvbm_events;

/**
 * kvbm_events_open - listen to a registry
 * @kvbm: connection
 * @registry: its id; read is needed
 * @out: the stream; begins with the next event
 *
 * Does not need @kvbm to stay open, in process neither.
 *
 * Errors: -EACCES, -ENOENT, -ENOMEM; -EDQUOT for a limit of the module.
 */
int kvbm_events_open(struct kvbm *kvbm, uint64_t registry,
		     struct kvbm_events **out);

/**
 * kvbm_events_from_fd - make a stream of an event file
 * @fd: of KVBM_EVENTS_OPEN, from wherever, read from by nobody else; on success it
 *	is the stream's and made non-blocking, on an error it stays the caller's
 * @out: the stream
 *
 * Errors: -EBADF; -EPROTO when @fd is of something else.
 */
int kvbm_events_from_fd(int fd, struct kvbm_events **out);

/* NULL is allowed. */
void kvbm_events_close(struct kvbm_events *events);

/* To poll for POLLIN; never -1. Read with kvbm_events_next() until that has none. */
int kvbm_events_fd(const struct kvbm_events *events);

/**
 * kvbm_events_next - the next record
 * @events: stream
 * @record: out; good until the next call
 * @timeout_ms: how long to wait for one; -1 for ever
 *
 * Return: 1; 0 when none came in time; -ENODATA when the registry was destroyed
 * and all is read; -ENOBUFS when a transport has lost records, and all that it has
 * is read; -EINTR; others.
 */
int kvbm_events_next(struct kvbm_events *events,
		     const struct kvbm_event_record **record, int timeout_ms);

/* Events that were lost just before the record that came last; 0 for none. */
uint64_t kvbm_events_gap(const struct kvbm_events *events);
/* Events lost since the stream was opened. */
uint64_t kvbm_events_lost(const struct kvbm_events *events);
/* Sequence of the record that should come next. */
uint64_t kvbm_events_expected(const struct kvbm_events *events);

/**
 * struct kvbm_dump_range - when a dump was made
 * @first: events from here on are to be replayed over it
 * @last: and once this one is done, the result is exact
 */
struct kvbm_dump_range {
	uint64_t first;
	uint64_t last;
};

/**
 * kvbm_events_dump - what is present
 * @events: stream; goes on where it was
 * @entry: called for each hash in each manager, with a KVBM_EVENT_STORED that has
 *	KVBM_EVENT_SNAPSHOT; what is not 0 ends the dump
 * @arg: for @entry
 * @range: out
 *
 * Return: 0, what @entry returned, or -errno.
 */
int kvbm_events_dump(struct kvbm_events *events,
		     int (*entry)(void *arg, const struct kvbm_event_record *record),
		     void *arg, struct kvbm_dump_range *range);

/* --- Where streams come from */

/**
 * struct kvbm_event_source - a transport of records
 * @read: fills @buf with whole records, oldest first; bytes, -EAGAIN for none now,
 *	0 at the end, -ENOBUFS when it knows that some were lost, and none of
 *	those that were before is left. @size is at least KVBM_EVENT_MAX_SIZE
 * @dump: as KVBM_EVENTS_DUMP, with size and flags of the argument filled in. Once
 *	the last part was returned, @read has the records up to @out_last, or
 *	they are lost. No part may be older than what @read returned before
 * @fd: to poll for POLLIN
 * @close: the end; @arg is not used again
 */
struct kvbm_event_source {
	ssize_t (*read)(void *arg, void *buf, size_t size);
	int (*dump)(void *arg, struct kvbm_events_dump *dump);
	int (*fd)(void *arg);
	void (*close)(void *arg);
};

/**
 * kvbm_events_from_source - a stream of a transport of the caller's
 * @source: stays
 * @arg: for @source; on an error it stays the caller's
 * @next: sequence of the first record to come
 * @out: the stream
 *
 * Errors: -ENOMEM.
 */
int kvbm_events_from_source(const struct kvbm_event_source *source, void *arg,
			    uint64_t next, struct kvbm_events **out);

/* --- Views */

struct kvbm_view;

/* In flags of a change that makes up for events that were lost. */
#define KVBM_EVENT_RESYNC	(1U << 31)

/**
 * typedef kvbm_view_change - one change of a view
 * @arg: of kvbm_view_open()
 * @record: KVBM_EVENT_STORED of what was absent in that manager, with aux;
 *	KVBM_EVENT_REMOVED of what was present; KVBM_EVENT_CLEARED of a manager,
 *	in place of REMOVED for all that it had; and the records about managers.
 *	With KVBM_EVENT_RESYNC it comes from a comparison with a dump, and has
 *	no sequence
 *
 * So the changes are a stream without holes, whatever was lost on the way. A
 * CLEARED comes once for each event of that kind, even if nothing was present; but
 * not for one that is older than a dump which tells of blocks there.
 *
 * Return: 0 to go on; else it is handed through to the caller of
 * kvbm_view_update(). The view has the change already.
 */
typedef int (*kvbm_view_change)(void *arg, const struct kvbm_event_record *record);

/**
 * kvbm_view_open - keep track of what is present
 * @events: the stream; it is the view's from here on
 * @change: told of every change; may be NULL
 * @arg: for @change
 * @out: the view; empty until the first kvbm_view_update()
 *
 * Errors: -ENOMEM; then @events stays the caller's.
 */
int kvbm_view_open(struct kvbm_events *events, kvbm_view_change change, void *arg,
		   struct kvbm_view **out);
/* NULL is allowed. Closes the stream. */
void kvbm_view_close(struct kvbm_view *view);
int kvbm_view_fd(const struct kvbm_view *view);

/**
 * kvbm_view_update - take in what happened
 * @view: view
 * @timeout_ms: how long to wait if nothing has; -1 for ever
 *
 * Takes all records that are there, at most a few thousand. At first, and after
 * any loss, dumps and compares. Call it again while it returns more than 0.
 *
 * Return: records and entries of dumps handled; 0 when nothing came in time;
 * -ENODATA when the registry was destroyed; what a change returned; -errno. After
 * -ENOMEM, or an error of a dump, the next call dumps anew.
 */
int kvbm_view_update(struct kvbm_view *view, int timeout_ms);

/* Not while a dump is being caught up with. */
bool kvbm_view_is_exact(const struct kvbm_view *view);
/* Sequence of the last event that the view reflects. */
uint64_t kvbm_view_sequence(const struct kvbm_view *view);
/* Dumps compared with, the first one included. */
uint64_t kvbm_view_resyncs(const struct kvbm_view *view);
/* Events that were lost. */
uint64_t kvbm_view_lost(const struct kvbm_view *view);
/* Pairs of manager and hash. */
size_t kvbm_view_count(const struct kvbm_view *view);
bool kvbm_view_has(const struct kvbm_view *view, uint64_t manager,
		   const struct kvbm_hash *hash);
/* In how many managers a hash is. */
unsigned int kvbm_view_managers(const struct kvbm_view *view,
				const struct kvbm_hash *hash);
/* In no particular order; what is not 0 ends it, and is returned. */
int kvbm_view_each(const struct kvbm_view *view,
		   int (*fn)(void *arg, uint64_t manager,
			     const struct kvbm_hash *hash),
		   void *arg);

/* --- Policies */

#define KVBM_EVENTS_ALL			0
#define KVBM_EVENTS_POWER_OF_TWO	1

/**
 * struct kvbm_event_policy - which events a consumer wants
 * @kind: KVBM_EVENTS_*
 * @min: POWER_OF_TWO: the smallest position
 * @max: POWER_OF_TWO: the largest position
 *
 * POWER_OF_TWO wants events of blocks whose position is a power of two between
 * @min and @max. Position 0 is none. It needs positions in the hashes:
 * KVBM_SCHEMA_PLH. Events that are about no block are always wanted.
 */
struct kvbm_event_policy {
	uint32_t kind;
	uint32_t min;
	uint32_t max;
};

/* Positions 16 to 65536. */
#define KVBM_EVENT_POLICY_POWER_OF_TWO					\
	((struct kvbm_event_policy){ KVBM_EVENTS_POWER_OF_TWO, 16, 65536 })
#define KVBM_EVENT_POLICY_ALL						\
	((struct kvbm_event_policy){ KVBM_EVENTS_ALL, 0, 0 })

bool kvbm_event_wanted(const struct kvbm_event_policy *policy,
		       const struct kvbm_event_record *record);
/* Position of the block in its sequence; needs KVBM_SCHEMA_PLH, otherwise 0. */
uint32_t kvbm_event_position(const struct kvbm_event_record *record);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KVBM_EVENTS_H */
