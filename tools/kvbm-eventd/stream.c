// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <errno.h>
#include <string.h>

#include "say.h"
#include "stream.h"

/* --- Managers have places: a bit each in the entries of the mirror. */

static int find_place(const struct stream *stream, uint64_t manager)
{
	int i;

	for (i = 0; i < KVBM_MAX_REGISTRY_MANAGERS; i++)
		if (stream->managers[i].id == manager)
			return i;
	return -1;
}

static void free_place(struct stream *stream, int place)
{
	struct manager_place *manager = &stream->managers[place];

	stream->in_tier[manager->tier] &= ~(1ULL << place);
	stream->in_tier[TIER_ANY] &= ~(1ULL << place);
	memset(manager, 0, sizeof(*manager));
}

/* That a manager was destroyed may be among what was lost: then it has nothing. */
static void reclaim_places(struct stream *stream)
{
	struct mirror_entry *entry;
	uint64_t used = 0;
	size_t at = 0;
	int i;

	while ((entry = mirror_next(&stream->mirror, &at)))
		used |= entry->managers;
	for (i = 0; i < KVBM_MAX_REGISTRY_MANAGERS; i++)
		if (stream->managers[i].id && !(used >> i & 1))
			free_place(stream, i);
}

static int add_place(struct stream *stream, const struct kvbm_event_record *record)
{
	int i = find_place(stream, record->manager);

	if (i >= 0)
		return i;
	i = find_place(stream, 0);
	if (i < 0) {
		reclaim_places(stream);
		i = find_place(stream, 0);
	}
	if (i < 0) {
		say("%s: more than %d managers", stream->name, KVBM_MAX_REGISTRY_MANAGERS);
		return -EOVERFLOW;
	}
	stream->managers[i].id = record->manager;
	stream->managers[i].tier = record->tier;
	stream->managers[i].block_size = input_block_size(&stream->input, record->manager);
	stream->in_tier[record->tier] |= 1ULL << i;
	stream->in_tier[TIER_ANY] |= 1ULL << i;
	return i;
}

/* --- Changes */

static uint32_t tier_for(const struct output *output, uint32_t tier)
{
	return form_has_tiers(output->form) ? tier : TIER_ANY;
}

static bool is_present(const struct stream *stream, const struct mirror_entry *entry,
		       uint32_t tier)
{
	return entry->managers & stream->in_tier[tier];
}

static struct block_event block_event(const struct stream *stream,
				      const struct kvbm_event_record *record, int place)
{
	struct block_event event = {
		.hash = record->hash,
		.tier = record->tier,
		.block_size = stream->managers[place].block_size,
		.aux_len = record->aux_size,
		.aux = kvbm_event_aux(record),
		.has_position = stream->input.positions,
	};

	if (event.has_position)
		event.position = plh_position(&event.hash);
	return event;
}

static void tell_stored(struct output *output, struct mirror_entry *entry,
			const struct block_event *event)
{
	struct block_event told = *event;

	told.tier = tier_for(output, event->tier);
	/* What the form does not publish need not be kept until the batch is full. */
	if (told.tier == TIER_ANY)
		told.aux_len = 0;
	output_stored(output, entry, &told);
}

static int stored(struct stream *stream, const struct kvbm_event_record *record)
{
	int place = add_place(stream, record);
	struct mirror_entry *entry;
	struct block_event event;
	unsigned int i;

	if (place < 0)
		return place;
	entry = mirror_add(&stream->mirror, &record->hash);
	if (!entry)
		return say_err(-ENOMEM, "%s", stream->name);
	event = block_event(stream, record, place);
	entry->managers |= 1ULL << place;
	/* Outputs know whether they have published it: from another manager, say. */
	for (i = 0; i < stream->nr_outputs; i++)
		tell_stored(&stream->outputs[i], entry, &event);
	return 0;
}

static void tell_removed(struct stream *stream, struct mirror_entry *entry, uint32_t tier)
{
	unsigned int i;

	for (i = 0; i < stream->nr_outputs; i++) {
		struct output *output = &stream->outputs[i];
		uint32_t told = tier_for(output, tier);

		if (!is_present(stream, entry, told))
			output_removed(output, entry, told);
	}
}

static void removed(struct stream *stream, const struct kvbm_event_record *record)
{
	int place = find_place(stream, record->manager);
	struct mirror_entry *entry = mirror_find(&stream->mirror, &record->hash);

	if (place < 0 || !entry)
		return;
	entry->managers &= ~(1ULL << place);
	tell_removed(stream, entry, stream->managers[place].tier);
}

/*
 * Whether one word says it all: consumers know of nothing but blocks of @tier that
 * are gone. Some take "all blocks cleared" to be about device memory only.
 */
static bool can_say_cleared(const struct stream *stream, const struct output *output,
			    uint32_t tier)
{
	uint8_t bit = MAY_HAVE(tier), bits;
	struct mirror_entry *entry;
	bool any = false;
	size_t at = 0;

	if (!form_has_cleared(output->form) || output->gap ||
	    (output->form == FORM_VLLM && tier != KVBM_TIER_G1))
		return false;
	while ((entry = mirror_next(&stream->mirror, &at))) {
		bits = entry->outputs[output->place];
		if (bits & ~(bit | MAY_LACK(tier)))
			return false;
		if (bits && is_present(stream, entry, tier))
			return false;
		any |= bits;
	}
	return any;
}

static void clear_output(struct stream *stream, struct output *output, uint32_t tier)
{
	struct mirror_entry *entry;
	size_t at = 0;

	if (can_say_cleared(stream, output, tier)) {
		while ((entry = mirror_next(&stream->mirror, &at)))
			entry->outputs[output->place] = 0;
		output_cleared(output, tier);
		return;
	}
	tier = tier_for(output, tier);
	while ((entry = mirror_next(&stream->mirror, &at)))
		if (!is_present(stream, entry, tier))
			output_removed(output, entry, tier);
}

static void cleared(struct stream *stream, uint64_t manager)
{
	int place = find_place(stream, manager);
	struct mirror_entry *entry;
	bool any = false;
	unsigned int i;
	size_t at = 0;

	if (place < 0)
		return;
	while ((entry = mirror_next(&stream->mirror, &at))) {
		any |= entry->managers >> place & 1;
		entry->managers &= ~(1ULL << place);
	}
	for (i = 0; any && i < stream->nr_outputs; i++)
		clear_output(stream, &stream->outputs[i], stream->managers[place].tier);
}

int stream_change(void *arg, const struct kvbm_event_record *record)
{
	struct stream *stream = arg;
	int place;

	stream->records++;
	switch (record->type) {
	case KVBM_EVENT_STORED:
		return stored(stream, record);
	case KVBM_EVENT_REMOVED:
		removed(stream, record);
		break;
	case KVBM_EVENT_CLEARED:
		cleared(stream, record->manager);
		break;
	case KVBM_EVENT_MANAGER_CREATED:
		place = add_place(stream, record);
		return place < 0 ? place : 0;
	case KVBM_EVENT_MANAGER_DESTROYED:
		cleared(stream, record->manager);
		place = find_place(stream, record->manager);
		if (place >= 0)
			free_place(stream, place);
		break;
	}
	return 0;
}

int stream_update(struct stream *stream)
{
	int n = input_update(&stream->input);

	if (n < 0)
		stream->ended = true;
	return n;
}

/* --- Making up for a gap */

/* After a dump that failed. */
#define RESYNC_RETRY_NS	1000000000ULL

static bool needs_stored(const struct stream *stream, const struct output *output,
			 const struct mirror_entry *entry, uint32_t tier)
{
	uint8_t bits = entry->outputs[output->place] & (MAY_HAVE(tier) | MAY_LACK(tier));

	return is_present(stream, entry, tier) && bits != MAY_HAVE(tier);
}

struct resync {
	struct stream *stream;
	struct output *output;
};

static int resync_entry(void *arg, const struct kvbm_event_record *record)
{
	struct resync *resync = arg;
	struct stream *stream = resync->stream;
	struct output *output = resync->output;
	int place = find_place(stream, record->manager);
	struct mirror_entry *entry = mirror_find(&stream->mirror, &record->hash);
	struct block_event event;

	/* Not known yet: its own event is still to come. */
	if (place < 0 || !entry || !(entry->managers >> place & 1))
		return 0;
	event = block_event(stream, record, place);
	if (needs_stored(stream, output, entry, tier_for(output, event.tier)))
		tell_stored(output, entry, &event);
	/* Full again: the rest another time. */
	return output->gap;
}

static bool resync_removed(struct stream *stream, struct output *output)
{
	bool tiers = form_has_tiers(output->form), need = false;
	uint32_t tier, first = tiers ? KVBM_TIER_G1 : TIER_ANY;
	struct mirror_entry *entry;
	size_t at = 0;

	while ((entry = mirror_next(&stream->mirror, &at))) {
		for (tier = first; tier <= (tiers ? NR_TIERS : TIER_ANY); tier++) {
			need |= needs_stored(stream, output, entry, tier);
			if (!is_present(stream, entry, tier))
				output_removed(output, entry, tier);
		}
	}
	return need;
}

static void resync(struct stream *stream, struct output *output)
{
	struct resync arg = { stream, output };
	struct mirror_entry *entry;
	size_t at = 0;

	output->gap = false;
	output->resyncs++;
	if (output->clear) {
		output->clear = false;
		while ((entry = mirror_next(&stream->mirror, &at)))
			entry->outputs[output->place] = 0;
		output_cleared(output, KVBM_TIER_G1);
	}
	if (resync_removed(stream, output) && !output->gap &&
	    input_dump(&stream->input, resync_entry, &arg) < 0) {
		output->gap = true;
		output->resync_ns = now_ns() + RESYNC_RETRY_NS;
	}
	batcher_flush(&output->batcher, now_ns());
}

/* --- Replay */

struct snapshot {
	struct stream *stream;
	struct output *output;
	struct replay *replay;
	struct batcher batcher;
	int err;
};

static void snapshot_batch(struct batch *batch, void *data)
{
	struct snapshot *snapshot = data;
	msgpack_sbuffer buffer;
	msgpack_packer pk;

	if (snapshot->err)
		return;
	batch_group(batch);
	msgpack_sbuffer_init(&buffer);
	msgpack_packer_init(&pk, &buffer, msgpack_sbuffer_write);
	vllm_pack_batch(&pk, batch, wall_clock_s(), &snapshot->output->vllm);
	snapshot->err = replay_snapshot_part(snapshot->replay, buffer.data, buffer.size);
	msgpack_sbuffer_destroy(&buffer);
}

/* What consumers have been told, so that what they are told next fits. */
static int snapshot_entry(void *arg, const struct kvbm_event_record *record)
{
	struct snapshot *snapshot = arg;
	int place = find_place(snapshot->stream, record->manager);
	struct mirror_entry *entry = mirror_find(&snapshot->stream->mirror, &record->hash);
	struct block_event event;

	if (place < 0 || !entry ||
	    !(entry->outputs[snapshot->output->place] & MAY_HAVE(record->tier)))
		return 0;
	event = block_event(snapshot->stream, record, place);
	if (form_accepts(FORM_VLLM, &event))
		return 0;
	snapshot->err = snapshot->err ? snapshot->err :
			batcher_add(&snapshot->batcher, EVENT_STORED, &event, 0);
	return snapshot->err;
}

static int make_snapshot(struct replay *replay, void *arg)
{
	struct snapshot snapshot = *(struct snapshot *)arg;
	struct block_event cleared = { .tier = KVBM_TIER_G1 };
	int err;

	snapshot.replay = replay;
	err = batcher_init(&snapshot.batcher, UINT64_MAX, BATCH_DEFAULT_SIZE, 0);
	if (err)
		return err;
	snapshot.batcher.emit = snapshot_batch;
	snapshot.batcher.data = &snapshot;
	err = batcher_add(&snapshot.batcher, EVENT_CLEARED, &cleared, 0);
	if (!err)
		err = input_dump(&snapshot.stream->input, snapshot_entry, &snapshot);
	if (!err) {
		batcher_flush(&snapshot.batcher, 0);
		err = snapshot.err;
	}
	batcher_destroy(&snapshot.batcher);
	return err;
}

void stream_serve(struct stream *stream, struct output *output)
{
	struct snapshot snapshot = { .stream = stream, .output = output };

	if (!replay_is_asked(output->replay))
		return;
	/* What is in the batcher has been marked as told. */
	batcher_flush(&output->batcher, now_ns());
	replay_serve(output->replay, make_snapshot, &snapshot);
}

/* --- Time */

static void hold(const struct block_event *event, struct mirror *mirror)
{
	struct mirror_entry *entry = mirror_find(mirror, &event->hash);

	if (entry)
		mirror_hold(entry);
}

static void sweep(struct stream *stream)
{
	const struct batch *batch;
	unsigned int i;
	size_t j;

	for (i = 0; i < stream->nr_outputs; i++) {
		batch = &stream->outputs[i].batcher.batch;
		for (j = 0; j < batch->n; j++)
			hold(&batch->events[j], &stream->mirror);
	}
	/* Without memory it is tried again later. */
	mirror_sweep(&stream->mirror);
}

void stream_tick(struct stream *stream, uint64_t now)
{
	unsigned int i;

	for (i = 0; i < stream->nr_outputs; i++) {
		struct output *output = &stream->outputs[i];

		batcher_tick(&output->batcher, now);
		if (output->gap && now >= output->resync_ns &&
		    output->transport->ops->settled(output->transport))
			resync(stream, output);
	}
	if (mirror_wants_sweep(&stream->mirror))
		sweep(stream);
}

uint64_t stream_deadline(const struct stream *stream)
{
	uint64_t deadline = UINT64_MAX;
	unsigned int i;

	for (i = 0; i < stream->nr_outputs; i++) {
		const struct output *output = &stream->outputs[i];
		const struct batcher *batcher = &output->batcher;

		if (output->gap && output->resync_ns < deadline &&
		    output->transport->ops->settled(output->transport))
			deadline = output->resync_ns;
		/* An empty window may pass unseen. */
		if (batcher->batch.n && batcher->window_end_ns < deadline)
			deadline = batcher->window_end_ns;
	}
	return deadline;
}

json_t *stream_json(struct stream *stream)
{
	const struct kvbm_view *view = stream->input.view;
	json_t *json = json_object(), *outputs = json_array();
	unsigned int i;

	json_object_set_new(json, "registry", json_string(stream->name));
	json_object_set_new(json, "changes", json_integer(stream->records));
	json_object_set_new(json, "present", json_integer(mirror_present(&stream->mirror)));
	if (view) {
		json_object_set_new(json, "sequence",
				    json_integer(kvbm_view_sequence(view)));
		json_object_set_new(json, "lost", json_integer(kvbm_view_lost(view)));
		json_object_set_new(json, "dumps", json_integer(kvbm_view_resyncs(view)));
	}
	for (i = 0; i < stream->nr_outputs; i++)
		json_array_append_new(outputs, output_json(&stream->outputs[i]));
	json_object_set_new(json, "outputs", outputs);
	return json;
}
