// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <kvbm/kvbm.h>

#include "say.h"
#include "trace.h"

struct trace {
	FILE *file;
	char *path;
	unsigned long line;
	char *text;
	size_t text_size;
	uint64_t *ids;
	size_t room;		/* in ids */
};

int trace_open(const char *path, struct trace **out)
{
	struct trace *trace = calloc(1, sizeof(*trace));
	int err = -ENOMEM;

	if (!trace)
		goto fail;
	trace->path = strdup(path);
	if (!trace->path)
		goto free;
	trace->file = fopen(path, "r");
	if (!trace->file) {
		err = -errno;
		goto free;
	}
	*out = trace;
	return 0;
free:
	free(trace->path);
	free(trace);
fail:
	/* These are of open(2), not of kvbm. */
	say("%s: %s", path, strerror(-err));
	return err;
}

void trace_close(struct trace *trace)
{
	fclose(trace->file);
	free(trace->path);
	free(trace->text);
	free(trace->ids);
	free(trace);
}

static int bad_line(const struct trace *trace, const char *why)
{
	say("%s:%lu: %s", trace->path, trace->line, why);
	return -EINVAL;
}

static int get_number(const struct trace *trace, const json_t *object,
		      const char *key, uint64_t *out)
{
	const json_t *value = json_object_get(object, key);
	char why[64];

	if (json_is_integer(value) && json_integer_value(value) >= 0) {
		*out = json_integer_value(value);
		return 0;
	}
	snprintf(why, sizeof(why), "no \"%s\", or not a number of 0 or more", key);
	return bad_line(trace, why);
}

static int make_room(struct trace *trace, size_t count)
{
	uint64_t *ids;

	if (count <= trace->room)
		return 0;
	ids = reallocarray(trace->ids, count, sizeof(*ids));
	if (!ids)
		return bad_line(trace, "not enough memory");
	trace->ids = ids;
	trace->room = count;
	return 0;
}

static int get_ids(struct trace *trace, const json_t *object,
		   struct trace_entry *entry)
{
	const json_t *array = json_object_get(object, "hash_ids");
	const json_t *id;
	size_t i;

	if (!json_is_array(array))
		return bad_line(trace, "no \"hash_ids\", or not an array");
	entry->nr_ids = json_array_size(array);
	if (entry->nr_ids > KVBM_MAX_BATCH)
		return bad_line(trace, "more \"hash_ids\" than a call takes");
	if (make_room(trace, entry->nr_ids))
		return -ENOMEM;
	for (i = 0; i < entry->nr_ids; i++) {
		id = json_array_get(array, i);
		if (!json_is_integer(id))
			return bad_line(trace, "a hash id that is not an integer");
		trace->ids[i] = json_integer_value(id);
	}
	entry->ids = trace->ids;
	return 0;
}

static int get_entry(struct trace *trace, const json_t *object,
		     struct trace_entry *entry)
{
	int err;

	if (!json_is_object(object))
		return bad_line(trace, "not a JSON object");
	err = get_number(trace, object, "timestamp", &entry->timestamp_ms);
	if (!err)
		err = get_number(trace, object, "input_length", &entry->input_length);
	if (!err)
		err = get_number(trace, object, "output_length", &entry->output_length);
	if (!err)
		err = get_ids(trace, object, entry);
	return err;
}

static bool is_blank(const char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	return !*text;
}

int trace_next(struct trace *trace, struct trace_entry *entry)
{
	json_error_t error;
	json_t *object;
	ssize_t length;
	int err;

	do {
		length = getline(&trace->text, &trace->text_size, trace->file);
		if (length < 0 && feof(trace->file))
			return 0;
		trace->line++;
		if (length < 0)
			return bad_line(trace, strerror(errno));
	} while (is_blank(trace->text));
	object = json_loadb(trace->text, length, 0, &error);
	if (!object)
		return bad_line(trace, error.text);
	err = get_entry(trace, object, entry);
	json_decref(object);
	return err ? err : 1;
}
