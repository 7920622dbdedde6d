// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Records from a file or pipe. What they say is present is kept, as the registry
 * would: a dump can be made of it. Records of a dump (KVBM_EVENT_SNAPSHOT) may
 * stand in the file as well, as if the registry was seen at that place: before the
 * first event, or where events are missing.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "input.h"
#include "say.h"

/* At least two of the longest records. */
#define BUFFER_SIZE	(64 * 1024)

struct record_file {
	const char *path;
	int fd;
	bool end;
	bool in_snapshot;	/* the last record was of a dump */
	uint64_t next;		/* sequence after the last record that was taken */
	uint64_t offset;	/* in the file, of what is at @at */
	size_t at, filled;	/* in @buffer */
	void *present;		/* a tree of copies of records */
	size_t nr_present;
	char *dump;		/* the copies, one after the other, while a dump is made */
	size_t dump_bytes;
	char buffer[BUFFER_SIZE];
};

int record_file_open(const char *path, struct record_file **out)
{
	struct record_file *file = calloc(1, sizeof(*file));

	if (!file)
		return say_err(-ENOMEM, "%s", path);
	file->path = path;
	file->next = 1;
	file->fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : dup(0);
	if (file->fd < 0) {
		free(file);
		return say_err(-errno, "%s", path);
	}
	*out = file;
	return 0;
}

void record_file_close(struct record_file *file)
{
	tdestroy(file->present, free);
	free(file->dump);
	close(file->fd);
	free(file);
}

int record_file_fd(const struct record_file *file)
{
	return file->fd;
}

/* @why: of the record at @offset. */
static int malformed(const struct record_file *file, const char *why)
{
	say("%s: at byte %llu: %s", file->path, (unsigned long long)file->offset, why);
	return -EBADMSG;
}

static bool about_block(const struct kvbm_event_record *r)
{
	return r->type == KVBM_EVENT_STORED || r->type == KVBM_EVENT_REMOVED;
}

/* What the kernel never writes. */
static int check(const struct record_file *file, const struct kvbm_event_record *r)
{
	if (r->version != KVBM_EVENT_VERSION)
		return malformed(file, "not a record of this version: is this an event file's?");
	if (r->size < sizeof(*r) || r->size > KVBM_EVENT_MAX_SIZE || r->size % 8)
		return malformed(file, "a record of an impossible size");
	if (r->aux_size > r->size - sizeof(*r))
		return malformed(file, "more aux than record");
	if (r->tier < KVBM_TIER_G1 || r->tier > KVBM_TIER_G4)
		return malformed(file, "no such tier");
	if (about_block(r) && r->hash_size != sizeof(r->hash))
		return malformed(file, "a hash of a size that is not known");
	if (r->flags & KVBM_EVENT_SNAPSHOT)
		return r->type == KVBM_EVENT_STORED ? 0 :
		       malformed(file, "a record of a dump that is not about a block");
	if (r->sequence < file->next)
		return malformed(file, "a sequence that goes back");
	return 0;
}

/* 1: a whole record is at @at; 0: not yet; -ENODATA: no more; -EBADMSG. */
static int fill(struct record_file *file)
{
	struct kvbm_event_record *r = (void *)(file->buffer + file->at);
	struct pollfd poll_fd = { .fd = file->fd, .events = POLLIN };
	size_t have = file->filled - file->at;
	ssize_t n;
	int err;

	for (;;) {
		if (have >= sizeof(*r)) {
			err = check(file, r);
			if (err)
				return err;
			if (have >= r->size)
				return 1;
		}
		if (file->end)
			return have ? malformed(file, "half a record") : -ENODATA;
		memmove(file->buffer, file->buffer + file->at, have);
		file->at = 0;
		file->filled = have;
		r = (void *)file->buffer;
		/* It may be a pipe that others read from without waiting, or not. */
		if (poll(&poll_fd, 1, 0) <= 0)
			return 0;
		n = read(file->fd, file->buffer + have, sizeof(file->buffer) - have);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 :
			       say_err(-errno, "%s", file->path);
		file->end = !n;
		have += n;
		file->filled = have;
	}
}

static int compare(const void *a, const void *b)
{
	const struct kvbm_event_record *x = a, *y = b;

	if (x->manager != y->manager)
		return x->manager < y->manager ? -1 : 1;
	return memcmp(&x->hash, &y->hash, sizeof(x->hash));
}

static void forget(struct record_file *file, const struct kvbm_event_record *key)
{
	void **node = tfind(key, &file->present, compare);
	void *record;

	if (!node)
		return;
	record = *node;
	tdelete(key, &file->present, compare);
	free(record);
	file->nr_present--;
}

static int keep(struct record_file *file, const struct kvbm_event_record *r)
{
	struct kvbm_event_record *copy;

	forget(file, r);
	copy = malloc(r->size);
	if (!copy)
		return say_err(-ENOMEM, "%s", file->path);
	memcpy(copy, r, r->size);
	copy->flags = KVBM_EVENT_SNAPSHOT;
	copy->sequence = 0;
	copy->time_ns = 0;
	if (!tsearch(copy, &file->present, compare)) {
		free(copy);
		return say_err(-ENOMEM, "%s", file->path);
	}
	file->nr_present++;
	return 0;
}

struct walk {
	const struct kvbm_event_record **records;
	size_t n;
	size_t bytes;
	uint64_t manager;	/* only of this one; 0 for all */
};

static void collect(const void *node, VISIT order, void *arg)
{
	const struct kvbm_event_record *r = *(const struct kvbm_event_record **)node;
	struct walk *walk = arg;

	if (order != postorder && order != leaf)
		return;
	if (walk->manager && walk->manager != r->manager)
		return;
	walk->records[walk->n++] = r;
	walk->bytes += r->size;
}

static int collect_all(struct record_file *file, struct walk *walk)
{
	walk->records = malloc((file->nr_present + 1) * sizeof(*walk->records));
	if (!walk->records)
		return say_err(-ENOMEM, "%s", file->path);
	twalk_r(file->present, collect, walk);
	return 0;
}

static int forget_manager(struct record_file *file, uint64_t manager)
{
	struct walk walk = { .manager = manager };
	size_t i;
	int err;

	err = collect_all(file, &walk);
	if (err)
		return err;
	for (i = 0; i < walk.n; i++)
		forget(file, walk.records[i]);
	free(walk.records);
	return 0;
}

/* What the record says becomes what is present. */
static int apply(struct record_file *file, const struct kvbm_event_record *r)
{
	bool snapshot = r->flags & KVBM_EVENT_SNAPSHOT, first = !file->in_snapshot;

	file->in_snapshot = snapshot;
	if (snapshot) {
		if (first) {
			tdestroy(file->present, free);
			file->present = NULL;
			file->nr_present = 0;
		}
		return keep(file, r);
	}
	file->next = r->sequence + 1;
	if (r->type == KVBM_EVENT_STORED)
		return keep(file, r);
	if (r->type == KVBM_EVENT_REMOVED)
		forget(file, r);
	else if (r->type == KVBM_EVENT_CLEARED || r->type == KVBM_EVENT_MANAGER_DESTROYED)
		return forget_manager(file, r->manager);
	return 0;
}

static void take(struct record_file *file, const struct kvbm_event_record *r)
{
	file->offset += r->size;
	file->at += r->size;
}

/* Past the records of dumps; 1: an event is at @at; else as fill(). */
static int next_event(struct record_file *file)
{
	struct kvbm_event_record *r;
	int n, err;

	for (;;) {
		n = fill(file);
		if (n <= 0)
			return n;
		r = (void *)(file->buffer + file->at);
		if (!(r->flags & KVBM_EVENT_SNAPSHOT))
			return 1;
		err = apply(file, r);
		if (err)
			return err;
		take(file, r);
	}
}

int record_file_first(struct record_file *file, uint64_t *sequence)
{
	int n = next_event(file);

	if (n == -ENODATA) {
		*sequence = file->next;
		return 1;
	}
	if (n == 1) {
		*sequence = ((struct kvbm_event_record *)(file->buffer + file->at))->sequence;
		file->next = *sequence;
	}
	return n;
}

static ssize_t source_read(void *arg, void *buf, size_t size)
{
	struct record_file *file = arg;
	struct kvbm_event_record *r;
	size_t done = 0;
	int n, err;

	for (;;) {
		n = next_event(file);
		if (n != 1)
			break;
		r = (void *)(file->buffer + file->at);
		if (r->size > size - done)
			break;
		err = apply(file, r);
		if (err)
			return err;
		memcpy((char *)buf + done, r, r->size);
		done += r->size;
		take(file, r);
	}
	/* What is wrong comes after what is right. */
	if (done)
		return done;
	if (n < 0)
		return n == -ENODATA ? 0 : n;
	return -EAGAIN;
}

/* All copies into one piece: the records may change before the dump is over. */
static int begin_dump(struct record_file *file)
{
	struct walk walk = { 0 };
	size_t i, at = 0;
	int err;

	free(file->dump);
	file->dump = NULL;
	err = collect_all(file, &walk);
	if (err)
		return err;
	file->dump_bytes = walk.bytes;
	file->dump = malloc(walk.bytes + 1);
	for (i = 0; file->dump && i < walk.n; i++) {
		memcpy(file->dump + at, walk.records[i], walk.records[i]->size);
		at += walk.records[i]->size;
	}
	free(walk.records);
	return file->dump ? 0 : say_err(-ENOMEM, "%s", file->path);
}

/* @block counts the bytes that were given, in units of 8. */
static int source_dump(void *arg, struct kvbm_events_dump *dump)
{
	struct record_file *file = arg;
	size_t at = (size_t)dump->block * 8, end = at;
	int err;

	if (!dump->manager) {
		err = begin_dump(file);
		if (err)
			return err;
	}
	if (!file->dump || at > file->dump_bytes)
		return -EINVAL;
	while (end < file->dump_bytes) {
		struct kvbm_event_record *r = (void *)(file->dump + end);

		if (r->size > dump->bytes - (end - at))
			break;
		end += r->size;
	}
	memcpy((void *)(uintptr_t)dump->records, file->dump + at, end - at);
	dump->out_bytes = end - at;
	dump->manager = end < file->dump_bytes;
	dump->block = end < file->dump_bytes ? end / 8 : 0;
	dump->out_first = file->next;
	dump->out_last = file->next - 1;
	return 0;
}

static int source_fd(void *arg)
{
	return record_file_fd(arg);
}

static void source_close(void *arg)
{
	record_file_close(arg);
}

const struct kvbm_event_source record_file_source = {
	.read = source_read,
	.dump = source_dump,
	.fd = source_fd,
	.close = source_close,
};

int record_file_dump(struct record_file *file,
		     int (*entry)(void *arg, const struct kvbm_event_record *record),
		     void *arg)
{
	struct walk walk = { 0 };
	size_t i;
	int err;

	err = collect_all(file, &walk);
	for (i = 0; !err && i < walk.n; i++)
		err = entry(arg, walk.records[i]);
	free(walk.records);
	return err;
}
