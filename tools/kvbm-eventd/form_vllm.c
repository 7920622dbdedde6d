// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * vLLM's form, with maps for events: what SGLang, TensorRT-LLM, llm-d and the
 * relay of Dynamo speak, too. block_hashes are sequence hashes.
 */
#include <string.h>

#include "form.h"

static void pack_block_hash(msgpack_packer *pk, const struct block_event *event)
{
	struct block_names names;

	block_names(event, &names);
	msgpack_pack_uint64(pk, names.block_hash);
}

static void pack_hashes(msgpack_packer *pk, const struct batch *batch, size_t start,
			size_t end)
{
	pack_word(pk, "block_hashes");
	msgpack_pack_array(pk, end - start);
	for (; start < end; start++)
		pack_block_hash(pk, &batch->events[start]);
}

static void pack_tokens(msgpack_packer *pk, const struct batch *batch, size_t start,
			size_t end)
{
	uint32_t block_size = batch->events[start].block_size, i, token;
	struct block_names names;

	pack_word(pk, "token_ids");
	msgpack_pack_array(pk, (end - start) * block_size);
	for (; start < end; start++) {
		block_names(&batch->events[start], &names);
		for (i = 0; i < block_size; i++) {
			memcpy(&token, (const uint32_t *)names.tokens + i, sizeof(token));
			msgpack_pack_uint32(pk, token);
		}
	}
}

static void pack_stored(msgpack_packer *pk, const struct batch *batch, size_t start,
			size_t end, const struct vllm_form *form)
{
	const struct block_event *first = &batch->events[start];
	struct block_names names;

	block_names(first, &names);
	msgpack_pack_map(pk, 8);
	pack_word(pk, "type");
	pack_word(pk, "BlockStored");
	pack_hashes(pk, batch, start, end);
	pack_word(pk, "parent_block_hash");
	if (names.has_parent)
		msgpack_pack_uint64(pk, names.parent);
	else
		msgpack_pack_nil(pk);
	pack_tokens(pk, batch, start, end);
	pack_word(pk, "block_size");
	msgpack_pack_uint32(pk, first->block_size);
	pack_word(pk, "lora_id");
	msgpack_pack_nil(pk);
	pack_word(pk, "medium");
	pack_word(pk, form->media[first->tier]);
	pack_word(pk, "lora_name");
	msgpack_pack_nil(pk);
}

static void pack_removed(msgpack_packer *pk, const struct batch *batch, size_t start,
			 size_t end, const struct vllm_form *form)
{
	msgpack_pack_map(pk, 3);
	pack_word(pk, "type");
	pack_word(pk, "BlockRemoved");
	pack_hashes(pk, batch, start, end);
	pack_word(pk, "medium");
	pack_word(pk, form->media[batch->events[start].tier]);
}

static void pack_cleared(msgpack_packer *pk)
{
	msgpack_pack_map(pk, 1);
	pack_word(pk, "type");
	pack_word(pk, "AllBlocksCleared");
}

void vllm_pack_batch(msgpack_packer *pk, const struct batch *batch, double time_s,
		     const struct vllm_form *form)
{
	size_t start, end, n = 0;

	for (start = 0; start < batch->n; start = batch_run_end(batch, start))
		n++;
	msgpack_pack_array(pk, 3);
	msgpack_pack_double(pk, time_s);
	msgpack_pack_array(pk, n);
	for (start = 0; start < batch->n; start = end) {
		end = batch_run_end(batch, start);
		if (batch->type == EVENT_STORED)
			pack_stored(pk, batch, start, end, form);
		else if (batch->type == EVENT_REMOVED)
			pack_removed(pk, batch, start, end, form);
		else
			pack_cleared(pk);
	}
	msgpack_pack_int(pk, form->dp_rank);
}
