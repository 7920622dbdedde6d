/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Streams of events, as the files of the library share them.
 */
#ifndef KVBM_LIB_EVENTS_H
#define KVBM_LIB_EVENTS_H

#include <kvbm/events.h>

#include "backend.h"

/* What is read at a time, or asked for in one call of a dump. */
#define KVBM_EVENTS_BUFFER	(64U << 10)

/*
 * The next part of a dump: @dump->manager and @dump->block say where, and where to
 * go on. What was read is good until the next call for @events.
 */
int kvbm_events_dump_part(struct kvbm_events *events, struct kvbm_events_dump *dump,
			  const char **records);
/*
 * Nothing is left to be read, and a dump that began before event @first was made
 * says that @last was made: what did not come up to there is lost. Whether any of
 * that is from @first on.
 */
bool kvbm_events_settle(struct kvbm_events *events, uint64_t first, uint64_t last);
/* The record at @at, or NULL when there is none that makes sense. */
const struct kvbm_event_record *kvbm_event_record_at(const char *at, size_t bytes);

/* A stream of a descriptor that is known to be an event file. */
int kvbm_events_from_device(int fd, uint64_t next, struct kvbm_events **out);

#endif /* KVBM_LIB_EVENTS_H */
