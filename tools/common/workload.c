// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mix.h"
#include "say.h"
#include "trace.h"
#include "workload.h"

void workload_init(struct workload *workload, uint32_t block_size)
{
	memset(workload, 0, sizeof(*workload));
	workload->block_size = block_size;
}

void workload_free(struct workload *workload)
{
	size_t i;

	for (i = 0; i < workload->nr_arrays; i++)
		free(workload->arrays[i]);
	free(workload->arrays);
	free(workload->work);
	workload_init(workload, 0);
}

/* Room for one more: sizes are the powers of two. */
static void *grow(void *array, size_t nr, size_t size)
{
	if (nr & (nr - 1))
		return array;
	return reallocarray(array, nr ? 2 * nr : 1, size);
}

struct kvbm_hash *workload_hashes(struct workload *workload, size_t count)
{
	struct kvbm_hash **arrays, *hashes;

	arrays = grow(workload->arrays, workload->nr_arrays, sizeof(*arrays));
	if (!arrays)
		return NULL;
	workload->arrays = arrays;
	hashes = calloc(count ? count : 1, sizeof(*hashes));
	if (hashes)
		arrays[workload->nr_arrays++] = hashes;
	return hashes;
}

int workload_add(struct workload *workload, const struct work *work)
{
	struct work *list;

	list = grow(workload->work, workload->nr, sizeof(*list));
	if (!list)
		return -ENOMEM;
	workload->work = list;
	list[workload->nr++] = *work;
	if (work->total > workload->longest)
		workload->longest = work->total;
	if (work->conversation >= workload->nr_conversations)
		workload->nr_conversations = work->conversation + 1;
	return 0;
}

int hash_chain(const uint64_t *sequence_hashes, size_t count,
	       struct kvbm_hash *out)
{
	size_t i;
	int err;

	for (i = 0; i < count; i++) {
		err = kvbm_plh(sequence_hashes[i], i ? sequence_hashes[i - 1] : 0,
			       i, &out[i]);
		if (err)
			return err;
	}
	return 0;
}

/*
 * Sequence hashes of an entry: a mix of the ids, for the ids are small numbers;
 * then those of the answer, which the trace does not name.
 */
static int entry_hashes(const struct trace_entry *entry, size_t total,
			struct kvbm_hash *out)
{
	uint64_t *hashes;
	size_t i;
	int err;

	hashes = calloc(total ? total : 1, sizeof(*hashes));
	if (!hashes)
		return -ENOMEM;
	for (i = 0; i < entry->nr_ids; i++)
		hashes[i] = mix64(entry->ids[i]);
	for (; i < total; i++)
		hashes[i] = mix64(~(i ? hashes[i - 1] : entry->timestamp_ms));
	err = hash_chain(hashes, total, out);
	free(hashes);
	return err;
}

static int add_entry(struct workload *workload, const struct trace_entry *entry,
		     bool growth)
{
	uint64_t total = entry->nr_ids;
	struct kvbm_hash *hashes;
	struct work work;
	int err;

	if (growth)
		total += entry->output_length / TRACE_BLOCK_SIZE;
	if (total > KVBM_MAX_BATCH)
		total = KVBM_MAX_BATCH;
	hashes = workload_hashes(workload, total);
	if (!hashes)
		return -ENOMEM;
	err = entry_hashes(entry, total, hashes);
	if (err)
		return err;
	work = (struct work){
		.hashes = hashes,
		.prompt = entry->nr_ids,
		.total = total,
		/* A trace does not tell: each one is a conversation. */
		.conversation = workload->nr,
	};
	return workload_add(workload, &work);
}

int workload_load(struct workload *workload, const char *path, size_t limit,
		  bool growth)
{
	struct trace_entry entry;
	struct trace *trace;
	int err;

	workload_init(workload, TRACE_BLOCK_SIZE);
	err = trace_open(path, &trace);
	if (err)
		return err;
	while (!limit || workload->nr < limit) {
		err = trace_next(trace, &entry);
		if (err <= 0)
			break;
		err = add_entry(workload, &entry, growth);
		if (err) {
			say_err(err, "%s: request %zu", path, workload->nr);
			break;
		}
	}
	if (!err && !workload->nr) {
		say("%s: no requests in it", path);
		err = -ENODATA;
	}
	trace_close(trace);
	return err;
}
