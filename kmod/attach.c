// SPDX-License-Identifier: GPL-2.0
/*
 * What a registry knows of hashes beyond who has them: what users hang on them,
 * and how often they are used.
 */
#include <linux/slab.h>

#include "private.h"
#include "uarray.h"

/* All that can hang on one hash. */
#define MAX_ROOM	(KVBM_MAX_ATTACHMENTS * KVBM_ATTACHMENT_ROOM(KVBM_MAX_ATTACHMENT))

/**
 * kvbm_attach - ioctl(KVBM_ATTACH)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_attach(struct kvbm_file *file, struct kvbm_call *call)
{
	const struct kvbm_attach *a = &call->arg->attach;
	struct kvbm_registry_object *r;
	struct kvbm_arrays m;
	void *data;
	u64 live;
	int err;

	err = kvbm_file_registry(file, a->registry, KVBM_MODE_WRITE, &r, &live);
	if (err)
		return err;
	err = kvbm_arrays_init(&m, ALIGN(a->len, sizeof(u64)));
	if (err)
		goto put_registry;
	data = kvbm_array_in(&m, a->data, a->len, 1);
	err = PTR_ERR_OR_ZERO(data);
	if (!err)
		err = kvbm_registry_attach(r->engine, &a->hash, a->type, a->mode,
					   data, a->len);
	kvbm_arrays_free(&m);
put_registry:
	kvbm_registry_put(r);
	return err;
}

/**
 * kvbm_get_attachments - ioctl(KVBM_ATTACHMENTS)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_get_attachments(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_attachments *a = &call->arg->attachments;
	struct kvbm_attached out = { .size = min_t(u32, a->buf_size, MAX_ROOM) };
	struct kvbm_registry_object *r;
	u64 live;
	int err;

	err = kvbm_file_registry(file, a->registry, KVBM_MODE_READ, &r, &live);
	if (err)
		return err;
	/* A bad pointer is one even if there is nothing to write. */
	err = kvbm_array_probe(a->buf, a->buf_size, 1);
	if (!err && out.size) {
		out.buf = kvzalloc(out.size, GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
		err = out.buf ? 0 : -ENOMEM;
	}
	if (!err)
		err = kvbm_registry_read_attached(r->engine, &a->hash, a->type, &out);
	if (!err) {
		/* Beyond what was written, @needed counts what was not. */
		err = kvbm_array_out(a->buf, out.buf, out.written, 1);
		a->out_count = out.count;
		a->out_total = out.total;
		a->out_needed = out.needed;
	}
	if (!err)
		err = kvbm_call_put(call);
	kvfree(out.buf);
	kvbm_registry_put(r);
	return err;
}

/**
 * kvbm_get_frequency - ioctl(KVBM_FREQUENCY)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_get_frequency(struct kvbm_file *file, struct kvbm_call *call)
{
	const struct kvbm_frequency *a = &call->arg->frequency;
	bool touch = a->flags & KVBM_FREQUENCY_TOUCH;
	struct kvbm_registry_object *r;
	struct kvbm_hash *hashes;
	struct kvbm_arrays m;
	u64 live;
	u8 *counts;
	u32 i;
	int err;

	if (touch && !file->may_write)
		return -EACCES;
	err = kvbm_file_registry(file, a->registry,
				 touch ? KVBM_MODE_READ | KVBM_MODE_WRITE :
					 KVBM_MODE_READ, &r, &live);
	if (err)
		return err;
	err = kvbm_arrays_init(&m, a->count * sizeof(*hashes) +
				   ALIGN(a->count * sizeof(*counts), sizeof(u64)));
	if (err)
		goto put_registry;
	hashes = kvbm_array_in(&m, a->hashes, a->count, sizeof(*hashes));
	err = PTR_ERR_OR_ZERO(hashes);
	if (err)
		goto free;
	counts = kvbm_array_new(&m, a->count, sizeof(*counts));
	err = kvbm_array_probe(a->out_counts, a->count, sizeof(*counts));
	if (err)
		goto free;
	for (i = 0; i < a->count; i++) {
		if (touch)
			kvbm_registry_touch(r->engine, &hashes[i]);
		counts[i] = kvbm_registry_frequency(r->engine, &hashes[i]);
		if (i % KVBM_CHUNK == 0)
			kvbm_relax();
	}
	err = kvbm_array_out(a->out_counts, counts, a->count, sizeof(*counts));
free:
	kvbm_arrays_free(&m);
put_registry:
	kvbm_registry_put(r);
	return err;
}
