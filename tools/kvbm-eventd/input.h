/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Where the events of a registry come from: the registry itself, or a file or
 * pipe with records as read(2) on an event file gives them.
 */
#ifndef EVENTD_INPUT_H
#define EVENTD_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include <kvbm/events.h>

struct record_file;

struct input {
	struct kvbm *kvbm;		/* NULL: a file */
	struct record_file *file;
	uint64_t registry;
	struct kvbm_view *view;		/* of a file: NULL until its first record came */
	kvbm_view_change change;
	void *arg;
	bool positions;			/* hashes are positional lineage hashes */
	uint32_t block_size;		/* of a file: of all managers */
};

/* 0, or -errno after a message. @change gets all that happens, without holes. */
int input_open_registry(struct input *input, const char *device, const char *name,
			kvbm_view_change change, void *arg);
/* @path: "-" for stdin. */
int input_open_file(struct input *input, const char *path, kvbm_view_change change,
		    void *arg);
void input_close(struct input *input);

int input_fd(const struct input *input);
/*
 * Takes what is there, at most a few thousand records. How many; 0 for none now;
 * -ENODATA at the end; what @change returned; -errno after a message.
 */
int input_update(struct input *input);
/*
 * What is present, as records with aux, perhaps a little ahead of what @change was
 * told. 0, what @entry returned, or -errno after a message.
 */
int input_dump(struct input *input,
	       int (*entry)(void *arg, const struct kvbm_event_record *record), void *arg);
/* Tokens in a block of a manager; 0 when it cannot be known any more. */
uint32_t input_block_size(struct input *input, uint64_t manager);

/* record_file.c */
extern const struct kvbm_event_source record_file_source;
int record_file_open(const char *path, struct record_file **out);
void record_file_close(struct record_file *file);
int record_file_fd(const struct record_file *file);
/* 1 and its sequence; 0: not yet; -errno after a message. The end is sequence 1. */
int record_file_first(struct record_file *file, uint64_t *sequence);
int record_file_dump(struct record_file *file,
		     int (*entry)(void *arg, const struct kvbm_event_record *record),
		     void *arg);

#endif
