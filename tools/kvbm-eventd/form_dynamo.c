// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Dynamo's form: RouterEvents, as its routers take them from the event plane.
 * tokens_hash is the router's local hash, block_hash a sequence hash.
 */
#include "form.h"

static const char *const storage_tiers[NR_TIERS + 1] = {
	[KVBM_TIER_G1] = "device",
	[KVBM_TIER_G2] = "host_pinned",
	[KVBM_TIER_G3] = "disk",
	[KVBM_TIER_G4] = "external",
};

static void pack_block(msgpack_packer *pk, const struct block_names *names)
{
	msgpack_pack_map(pk, 3);
	pack_word(pk, "block_hash");
	msgpack_pack_uint64(pk, names->block_hash);
	pack_word(pk, "tokens_hash");
	msgpack_pack_uint64(pk, names->local_hash);
	pack_word(pk, "mm_extra_info");
	msgpack_pack_nil(pk);
}

static void pack_stored(msgpack_packer *pk, const struct batch *batch, size_t start,
			size_t end)
{
	const struct block_event *first = &batch->events[start];
	struct block_names names;

	block_names(first, &names);
	msgpack_pack_map(pk, 1);
	pack_word(pk, "stored");
	msgpack_pack_map(pk, 3);
	pack_word(pk, "parent_hash");
	if (names.has_parent)
		msgpack_pack_uint64(pk, names.parent);
	else
		msgpack_pack_nil(pk);
	pack_word(pk, "start_position");
	if (first->has_position)
		msgpack_pack_uint32(pk, first->position);
	else
		msgpack_pack_nil(pk);
	pack_word(pk, "blocks");
	msgpack_pack_array(pk, end - start);
	for (; start < end; start++) {
		block_names(&batch->events[start], &names);
		pack_block(pk, &names);
	}
}

static void pack_removed(msgpack_packer *pk, const struct batch *batch, size_t start,
			 size_t end)
{
	struct block_names names;

	msgpack_pack_map(pk, 1);
	pack_word(pk, "removed");
	msgpack_pack_map(pk, 1);
	pack_word(pk, "block_hashes");
	msgpack_pack_array(pk, end - start);
	for (; start < end; start++) {
		block_names(&batch->events[start], &names);
		msgpack_pack_uint64(pk, names.block_hash);
	}
}

static void pack_data(msgpack_packer *pk, const struct batch *batch, size_t start,
		      size_t end)
{
	if (batch->type == EVENT_STORED)
		pack_stored(pk, batch, start, end);
	else if (batch->type == EVENT_REMOVED)
		pack_removed(pk, batch, start, end);
	else
		pack_word(pk, "cleared");
}

static void pack_router_event(msgpack_packer *pk, const struct batch *batch, size_t start,
			      size_t end, const struct dynamo_form *form,
			      uint64_t event_id)
{
	msgpack_pack_map(pk, 3);
	pack_word(pk, "worker_id");
	msgpack_pack_uint64(pk, form->worker_id);
	pack_word(pk, "storage_tier");
	pack_word(pk, storage_tiers[batch->events[start].tier]);
	pack_word(pk, "event");
	msgpack_pack_map(pk, 3);
	pack_word(pk, "event_id");
	msgpack_pack_uint64(pk, event_id);
	pack_word(pk, "data");
	pack_data(pk, batch, start, end);
	pack_word(pk, "dp_rank");
	msgpack_pack_uint32(pk, form->dp_rank);
}

size_t dynamo_pack_events(msgpack_packer *pk, const struct batch *batch, size_t start,
			  const struct dynamo_form *form, uint64_t *event_id)
{
	size_t most = form->single ? 1 : DYNAMO_MAX_EVENTS;
	size_t i = start, n = 0, end;

	for (; i < batch->n && n < most; i = batch_run_end(batch, i))
		n++;
	if (!form->single)
		msgpack_pack_array(pk, n);
	for (; n; n--, start = end) {
		end = batch_run_end(batch, start);
		pack_router_event(pk, batch, start, end, form, (*event_id)++);
	}
	return start;
}

void dynamo_pack_envelope(msgpack_packer *pk, const struct dynamo_form *form,
			  uint64_t sequence, uint64_t time_ms, const void *payload,
			  size_t len)
{
	msgpack_pack_map(pk, 5);
	pack_word(pk, "publisher_id");
	msgpack_pack_uint64(pk, form->publisher_id);
	pack_word(pk, "sequence");
	msgpack_pack_uint64(pk, sequence);
	pack_word(pk, "published_at");
	msgpack_pack_uint64(pk, time_ms);
	pack_word(pk, "topic");
	pack_word(pk, DYNAMO_TOPIC);
	pack_word(pk, "payload");
	pack_bin(pk, payload, len);
}

void dynamo_frame_head(unsigned char head[DYNAMO_FRAME_HEAD], uint32_t len)
{
	head[0] = 1;
	head[1] = len >> 24;
	head[2] = len >> 16;
	head[3] = len >> 8;
	head[4] = len;
}
