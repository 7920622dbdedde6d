// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * kvbm-logical's form: [{"Create": [hash...]} or {"Remove": ...} or "Shutdown",
 * instance id]. Hashes and ids are 16 bytes, big-endian.
 */
#include "form.h"

static void pack_hash(msgpack_packer *pk, const struct kvbm_hash *hash)
{
	unsigned char bytes[16];

	put_be64(bytes, hash->hi);
	put_be64(bytes + 8, hash->lo);
	pack_bin(pk, bytes, sizeof(bytes));
}

void kvbm_pack_batch(msgpack_packer *pk, const struct batch *batch,
		     const unsigned char instance[16])
{
	size_t i;

	msgpack_pack_array(pk, 2);
	msgpack_pack_map(pk, 1);
	pack_word(pk, batch->type == EVENT_STORED ? "Create" : "Remove");
	msgpack_pack_array(pk, batch->n);
	for (i = 0; i < batch->n; i++)
		pack_hash(pk, &batch->events[i].hash);
	pack_bin(pk, instance, 16);
}

void kvbm_pack_shutdown(msgpack_packer *pk, const unsigned char instance[16])
{
	msgpack_pack_array(pk, 2);
	pack_word(pk, "Shutdown");
	pack_bin(pk, instance, 16);
}
