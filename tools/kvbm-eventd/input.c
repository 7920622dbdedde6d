// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <errno.h>
#include <string.h>

#include "connect.h"
#include "input.h"
#include "say.h"

int input_open_registry(struct input *input, const char *device, const char *name,
			kvbm_view_change change, void *arg)
{
	struct kvbm_registry_query query;
	struct kvbm_events *events;
	int err;

	memset(input, 0, sizeof(*input));
	err = connect_to(device, &input->kvbm);
	if (err)
		return err;
	err = kvbm_find_registry(input->kvbm, name, &query);
	if (err) {
		say_err(err, "registry '%s'", name);
		goto out_close;
	}
	input->registry = query.id;
	input->positions = query.out_schema == KVBM_SCHEMA_PLH;
	err = kvbm_events_open(input->kvbm, query.id, &events);
	if (err) {
		say_err(err, "registry '%s': events", name);
		goto out_close;
	}
	err = kvbm_view_open(events, change, arg, &input->view);
	if (!err)
		return 0;
	say_err(err, "registry '%s'", name);
	kvbm_events_close(events);
out_close:
	kvbm_close(input->kvbm);
	input->kvbm = NULL;
	return err;
}

int input_open_file(struct input *input, const char *path, kvbm_view_change change,
		    void *arg)
{
	memset(input, 0, sizeof(*input));
	input->change = change;
	input->arg = arg;
	return record_file_open(path, &input->file);
}

/* The view of a file begins with its first record: only that has a sequence. */
static int begin(struct input *input)
{
	struct kvbm_events *events;
	uint64_t sequence;
	int err;

	err = record_file_first(input->file, &sequence);
	if (err <= 0)
		return err;
	err = kvbm_events_from_source(&record_file_source, input->file, sequence, &events);
	if (err)
		return say_err(err, "records");
	err = kvbm_view_open(events, input->change, input->arg, &input->view);
	if (!err)
		return 1;
	/* That closes the file, too. */
	kvbm_events_close(events);
	input->file = NULL;
	return say_err(err, "records");
}

void input_close(struct input *input)
{
	kvbm_view_close(input->view);
	/* A view has closed it. */
	if (!input->view && input->file)
		record_file_close(input->file);
	kvbm_close(input->kvbm);
	memset(input, 0, sizeof(*input));
}

int input_fd(const struct input *input)
{
	return input->file ? record_file_fd(input->file) : kvbm_view_fd(input->view);
}

int input_update(struct input *input)
{
	int n;

	if (!input->view) {
		n = begin(input);
		if (n <= 0)
			return n;
	}
	n = kvbm_view_update(input->view, 0);
	/* A file has said itself what is wrong with it. */
	if (n < 0 && n != -ENODATA && n != -EINTR && n != -EBADMSG)
		say_err(n, "events");
	return n == -EINTR ? 0 : n;
}

int input_dump(struct input *input,
	       int (*entry)(void *arg, const struct kvbm_event_record *record), void *arg)
{
	struct kvbm_dump_range range;
	struct kvbm_events *events;
	int err;

	if (input->file)
		return record_file_dump(input->file, entry, arg);
	err = kvbm_events_open(input->kvbm, input->registry, &events);
	if (err)
		return say_err(err, "dump");
	err = kvbm_events_dump(events, entry, arg, &range);
	kvbm_events_close(events);
	return err < 0 ? say_err(err, "dump") : err;
}

uint32_t input_block_size(struct input *input, uint64_t manager)
{
	struct kvbm_manager_query query;

	if (input->file)
		return input->block_size;
	return kvbm_query_manager(input->kvbm, manager, &query) ? 0 : query.out_block_size;
}
