// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Views: what is present in the managers of a registry, kept up to date by events,
 * and made exact again by a dump whenever some were lost.
 *
 * While a dump is walked, events are taken in as they come. Each part of it is
 * newer than any event that was taken in before, and older than none that comes
 * after the last one of it. So once those are done, what is there is right; and
 * what neither a part nor an event has mentioned since the dump began is not there
 * any more.
 *
 * Events from before a dump may come after its parts. The dump has them already,
 * and maybe what was lost since: they must not undo that.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/hash.h"
#include "events.h"

#define NIL		U32_MAX
#define FIRST_SIZE	1024
/* Records taken in by one call. */
#define UPDATE_RECORDS	4096

/**
 * struct entry - one hash in one manager
 * @hash: the hash
 * @manager: index of the manager
 * @round: the last dump in which, or since which, it was mentioned
 * @next: in the bucket; when free, the next free one
 * @used: not free
 */
struct entry {
	struct kvbm_hash hash;
	uint32_t manager;
	uint32_t round;
	uint32_t next;
	uint32_t used;
};

/**
 * struct manager - one manager that had something
 * @id: of the manager
 * @count: its entries
 * @seen: of those, mentioned in the round
 * @tier: KVBM_TIER_*
 */
struct manager {
	uint64_t id;
	size_t count;
	size_t seen;
	uint8_t tier;
};

enum phase {
	STALE,		/* a dump is to begin */
	DUMPING,	/* parts of it are still to come */
	CATCHING_UP,	/* events up to its end are still to come */
	SWEEPING,	/* what was not mentioned is being removed */
	EXACT,
};

/**
 * struct kvbm_view - a view
 * @events: the stream; owned
 * @change: told of changes, or NULL
 * @arg: for @change
 * @phase: see above
 * @round: number of the last dump that was begun
 * @dump: where it is
 * @first: sequence of the first event that it may not reflect
 * @resyncs: dumps that were begun
 * @key: secret of @buckets: the hashes come from others
 * @entries: the table
 * @buckets: first entry of each; as many as entries
 * @size: entries there is room for, a power of two
 * @used: entries from the start that were ever used
 * @free: first free one below that
 * @count: entries in use
 * @managers: those that had something
 * @nr_managers: how many
 */
struct kvbm_view {
	struct kvbm_events *events;
	kvbm_view_change change;
	void *arg;
	enum phase phase;
	uint32_t round;
	struct kvbm_events_dump dump;
	uint64_t first;
	uint64_t resyncs;
	struct kvbm_key key;
	struct entry *entries;
	uint32_t *buckets;
	uint32_t size;
	uint32_t used;
	uint32_t free;
	size_t count;
	struct manager *managers;
	uint32_t nr_managers;
};

/* --- The table */

static uint32_t *bucket_of(const struct kvbm_view *v, const struct kvbm_hash *hash)
{
	return &v->buckets[kvbm_key_hash(&v->key, hash) & (v->size - 1)];
}

static void link_entry(struct kvbm_view *v, uint32_t i)
{
	uint32_t *bucket = bucket_of(v, &v->entries[i].hash);

	v->entries[i].next = *bucket;
	*bucket = i;
}

static int resize(struct kvbm_view *v, uint32_t size)
{
	struct entry *entries;
	uint32_t *buckets, i;

	if (!size)
		return -ENOMEM;
	buckets = malloc(size * sizeof(*buckets));
	if (!buckets)
		return -ENOMEM;
	entries = realloc(v->entries, size * sizeof(*entries));
	if (!entries) {
		free(buckets);
		return -ENOMEM;
	}
	free(v->buckets);
	v->buckets = buckets;
	v->entries = entries;
	v->size = size;
	memset(buckets, 0xff, size * sizeof(*buckets));
	/* Only a full table grows: every entry is in use. */
	for (i = 0; i < v->used; i++)
		link_entry(v, i);
	return 0;
}

/* The link to the entry, or to the nil at the end. */
static uint32_t *find(const struct kvbm_view *v, uint32_t manager,
		      const struct kvbm_hash *hash)
{
	uint32_t *link = bucket_of(v, hash);

	while (*link != NIL) {
		struct entry *e = &v->entries[*link];

		if (e->manager == manager && kvbm_hash_equal(&e->hash, hash))
			break;
		link = &e->next;
	}
	return link;
}

static uint32_t find_manager(const struct kvbm_view *v, uint64_t id)
{
	uint32_t i;

	/* There are at most 64 at a time, and few in all. */
	for (i = v->nr_managers; i--; )
		if (v->managers[i].id == id)
			return i;
	return NIL;
}

static int add_manager(struct kvbm_view *v, const struct kvbm_event_record *r,
		       uint32_t *out)
{
	struct manager *managers;
	uint32_t i;

	*out = find_manager(v, r->manager);
	if (*out != NIL)
		return 0;
	/* The place of one that has nothing any more. */
	for (i = 0; i < v->nr_managers; i++)
		if (!v->managers[i].count)
			break;
	if (i == v->nr_managers) {
		managers = realloc(v->managers, (i + 1) * sizeof(*managers));
		if (!managers)
			return -ENOMEM;
		v->managers = managers;
		v->nr_managers++;
	}
	v->managers[i] = (struct manager){ .id = r->manager, .tier = r->tier };
	*out = i;
	return 0;
}

static int insert(struct kvbm_view *v, uint32_t manager, const struct kvbm_hash *hash)
{
	uint32_t i = v->free;
	int err;

	if (i != NIL) {
		v->free = v->entries[i].next;
	} else {
		if (v->used == v->size) {
			err = resize(v, v->size * 2);
			if (err)
				return err;
		}
		i = v->used++;
	}
	v->entries[i] = (struct entry){
		.hash = *hash,
		.manager = manager,
		.round = v->round,
		.used = 1,
	};
	link_entry(v, i);
	v->count++;
	v->managers[manager].count++;
	v->managers[manager].seen++;
	return 0;
}

static void erase(struct kvbm_view *v, uint32_t *link)
{
	uint32_t i = *link;
	struct entry *e = &v->entries[i];

	*link = e->next;
	v->managers[e->manager].count--;
	if (e->round == v->round)
		v->managers[e->manager].seen--;
	e->used = 0;
	e->next = v->free;
	v->free = i;
	v->count--;
}

/* --- Changes */

static int tell(struct kvbm_view *v, const struct kvbm_event_record *record)
{
	return v->change ? v->change(v->arg, record) : 0;
}

static int tell_resync(struct kvbm_view *v, uint32_t manager, uint8_t type,
		       const struct kvbm_hash *hash)
{
	struct kvbm_event_record r = {
		.size = sizeof(r),
		.version = KVBM_EVENT_VERSION,
		.type = type,
		.tier = v->managers[manager].tier,
		.manager = v->managers[manager].id,
		.flags = KVBM_EVENT_RESYNC,
	};

	if (hash) {
		r.hash = *hash;
		r.hash_size = sizeof(*hash);
	}
	return tell(v, &r);
}

static int stored(struct kvbm_view *v, const struct kvbm_event_record *r)
{
	uint32_t manager, *link;
	struct entry *e;
	int err;

	err = add_manager(v, r, &manager);
	if (err)
		return err;
	link = find(v, manager, &r->hash);
	if (*link != NIL) {
		e = &v->entries[*link];
		if (e->round != v->round)
			v->managers[manager].seen++;
		e->round = v->round;
		return 0;
	}
	err = insert(v, manager, &r->hash);
	return err ? err : tell(v, r);
}

static int removed(struct kvbm_view *v, const struct kvbm_event_record *r)
{
	uint32_t manager = find_manager(v, r->manager), *link;

	if (manager == NIL)
		return 0;
	link = find(v, manager, &r->hash);
	if (*link == NIL)
		return 0;
	erase(v, link);
	return tell(v, r);
}

/* All of a manager; of the others, what was mentioned in this round stays. */
static void clear(struct kvbm_view *v, uint32_t manager)
{
	uint32_t i;

	for (i = 0; i < v->used && v->managers[manager].count; i++) {
		struct entry *e = &v->entries[i];

		if (e->used && e->manager == manager)
			erase(v, find(v, manager, &e->hash));
	}
}

static int cleared(struct kvbm_view *v, const struct kvbm_event_record *r)
{
	uint32_t manager = find_manager(v, r->manager);

	if (manager != NIL)
		clear(v, manager);
	return tell(v, r);
}

static int apply(struct kvbm_view *v, const struct kvbm_event_record *r)
{
	switch (r->type) {
	case KVBM_EVENT_STORED:
		return stored(v, r);
	case KVBM_EVENT_REMOVED:
		return removed(v, r);
	case KVBM_EVENT_CLEARED:
		return cleared(v, r);
	case KVBM_EVENT_MANAGER_CREATED:
	case KVBM_EVENT_MANAGER_DESTROYED:
		return tell(v, r);
	default:
		/* Of a later version; it has nothing to do with presence. */
		return 0;
	}
}

/* From before the dump began. */
static int apply_old(struct kvbm_view *v, const struct kvbm_event_record *r)
{
	uint32_t manager;

	switch (r->type) {
	case KVBM_EVENT_CLEARED:
		/* What the dump has of it came later, and stays. */
		manager = find_manager(v, r->manager);
		if (manager != NIL && v->managers[manager].seen)
			return 0;
		return cleared(v, r);
	case KVBM_EVENT_MANAGER_CREATED:
	case KVBM_EVENT_MANAGER_DESTROYED:
		return tell(v, r);
	default:
		/* If it is gone, nothing mentions it any more. */
		return 0;
	}
}

/* --- Dumps */

static void begin_dump(struct kvbm_view *v)
{
	uint32_t i;

	/* 0 is the round of nothing. */
	if (!++v->round)
		v->round = 1;
	for (i = 0; i < v->nr_managers; i++)
		v->managers[i].seen = 0;
	memset(&v->dump, 0, sizeof(v->dump));
	v->resyncs++;
	v->phase = DUMPING;
}

/* One part. Entries handled, or what a change returned, or -errno. */
static int dump_part(struct kvbm_view *v, int *handled)
{
	char copy[KVBM_EVENT_MAX_SIZE] __attribute__((__aligned__(8)));
	const struct kvbm_event_record *r;
	bool begins = !v->dump.manager;
	const char *records;
	size_t at;
	int ret;

	ret = kvbm_events_dump_part(v->events, &v->dump, &records);
	if (begins)
		v->first = v->dump.out_first;
	for (at = 0; !ret && at < v->dump.out_bytes; at += r->size) {
		r = kvbm_event_record_at(records + at, v->dump.out_bytes - at);
		if (!r || r->size > sizeof(copy)) {
			ret = -EPROTO;
			break;
		}
		memcpy(copy, r, r->size);
		((struct kvbm_event_record *)copy)->flags |= KVBM_EVENT_RESYNC;
		ret = stored(v, (struct kvbm_event_record *)copy);
		++*handled;
	}
	if (ret) {
		/* The rest of the part is not known. */
		v->phase = STALE;
		return ret;
	}
	++*handled;
	if (!v->dump.manager)
		v->phase = CATCHING_UP;
	return 0;
}

/* Remove what was not mentioned; it can be interrupted, and begun again. */
static int sweep(struct kvbm_view *v, int *handled)
{
	uint32_t i, manager;
	struct kvbm_hash hash;
	int ret;

	for (manager = 0; manager < v->nr_managers; manager++) {
		/* Nothing of it is left: it is gone, or was drained. */
		if (v->managers[manager].seen || !v->managers[manager].count)
			continue;
		clear(v, manager);
		++*handled;
		ret = tell_resync(v, manager, KVBM_EVENT_CLEARED, NULL);
		if (ret)
			return ret;
	}
	for (i = 0; i < v->used; i++) {
		if (!v->entries[i].used || v->entries[i].round == v->round)
			continue;
		manager = v->entries[i].manager;
		hash = v->entries[i].hash;
		erase(v, find(v, manager, &hash));
		++*handled;
		ret = tell_resync(v, manager, KVBM_EVENT_REMOVED, &hash);
		if (ret)
			return ret;
	}
	v->phase = EXACT;
	return 0;
}

/* --- What users call */

int kvbm_view_open(struct kvbm_events *events, kvbm_view_change change, void *arg,
		   struct kvbm_view **out)
{
	struct kvbm_view *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	kvbm_key_init(&v->key);
	v->free = NIL;
	if (resize(v, FIRST_SIZE)) {
		free(v);
		return -ENOMEM;
	}
	v->events = events;
	v->change = change;
	v->arg = arg;
	*out = v;
	return 0;
}

void kvbm_view_close(struct kvbm_view *view)
{
	if (!view)
		return;
	kvbm_events_close(view->events);
	free(view->managers);
	free(view->buckets);
	free(view->entries);
	free(view);
}

int kvbm_view_fd(const struct kvbm_view *view)
{
	return kvbm_events_fd(view->events);
}

/*
 * Nothing is left that the dump may have seen. A transport may lose the newest
 * records, with none after them to show it: those before the dump are made up for,
 * those from while it was made are not. Returns whether there is more to do.
 */
static bool caught_up(struct kvbm_view *v)
{
	bool lost = kvbm_events_settle(v->events, v->first, v->dump.out_last);

	v->phase = lost ? STALE : SWEEPING;
	return lost;
}

/* Records that are there, a bounded number. */
static int take_records(struct kvbm_view *v, int timeout_ms, int *handled)
{
	const struct kvbm_event_record *r;
	int i, ret;

	for (i = 0; i < UPDATE_RECORDS; i++) {
		ret = kvbm_events_next(v->events, &r, *handled ? 0 : timeout_ms);
		if (ret == -ENOBUFS) {
			v->phase = STALE;
			++*handled;
			return 0;
		}
		if (ret <= 0) {
			if (!ret && v->phase == CATCHING_UP)
				*handled += caught_up(v);
			return ret;
		}
		++*handled;
		/* What was lost before the dump began is in it. */
		if (kvbm_events_gap(v->events) && r->sequence > v->first)
			v->phase = STALE;
		ret = r->sequence < v->first ? apply_old(v, r) : apply(v, r);
		if (ret == -ENOMEM)
			v->phase = STALE;
		if (ret)
			return ret;
	}
	return 0;
}

int kvbm_view_update(struct kvbm_view *view, int timeout_ms)
{
	int handled = 0, ret;

	if (view->phase == STALE)
		begin_dump(view);
	if (view->phase == DUMPING) {
		ret = dump_part(view, &handled);
		if (ret)
			return ret;
	}
	if (view->phase != SWEEPING) {
		ret = take_records(view, view->phase == EXACT ? timeout_ms : 0,
				   &handled);
		if (ret == -ENODATA && view->phase == CATCHING_UP)
			view->phase = SWEEPING;
		/* The end, but not before all that came before it is told. */
		if (ret && !(ret == -ENODATA &&
			     (handled || view->phase == SWEEPING)))
			return ret;
	}
	if (view->phase == SWEEPING) {
		ret = sweep(view, &handled);
		if (ret)
			return ret;
	}
	return handled;
}

bool kvbm_view_is_exact(const struct kvbm_view *view)
{
	return view->phase == EXACT;
}

uint64_t kvbm_view_sequence(const struct kvbm_view *view)
{
	uint64_t expected = kvbm_events_expected(view->events);

	return expected ? expected - 1 : 0;
}

uint64_t kvbm_view_resyncs(const struct kvbm_view *view)
{
	return view->resyncs;
}

uint64_t kvbm_view_lost(const struct kvbm_view *view)
{
	return kvbm_events_lost(view->events);
}

size_t kvbm_view_count(const struct kvbm_view *view)
{
	return view->count;
}

bool kvbm_view_has(const struct kvbm_view *view, uint64_t manager,
		   const struct kvbm_hash *hash)
{
	uint32_t i = find_manager(view, manager);

	return i != NIL && *find(view, i, hash) != NIL;
}

unsigned int kvbm_view_managers(const struct kvbm_view *view,
				const struct kvbm_hash *hash)
{
	uint32_t i = *bucket_of(view, hash);
	unsigned int n = 0;

	for (; i != NIL; i = view->entries[i].next)
		n += kvbm_hash_equal(&view->entries[i].hash, hash);
	return n;
}

int kvbm_view_each(const struct kvbm_view *view,
		   int (*fn)(void *arg, uint64_t manager,
			     const struct kvbm_hash *hash),
		   void *arg)
{
	uint32_t i;
	int ret;

	for (i = 0; i < view->used; i++) {
		const struct entry *e = &view->entries[i];

		if (!e->used)
			continue;
		ret = fn(arg, view->managers[e->manager].id, &e->hash);
		if (ret)
			return ret;
	}
	return 0;
}
