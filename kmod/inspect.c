// SPDX-License-Identifier: GPL-2.0
/*
 * Managers and registries seen by those who only look: counters, the check of
 * the invariants, the dump of slots, presence.
 */
#include <linux/err.h>

#include "private.h"
#include "uarray.h"

/**
 * kvbm_manager_stats - ioctl(KVBM_MANAGER_STATS)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0, -ENOENT, -ENOTCONN, -EACCES, -EFAULT.
 */
int kvbm_manager_stats(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_manager_stats *a = &call->arg->manager_stats;
	struct kvbm_manager *m;
	int err;

	err = kvbm_manager_get_readable(file, a->id, &m);
	if (err)
		return err;
	kvbm_store_counters(m->store, &a->out);
	kvbm_manager_put(m);
	return kvbm_call_put(call);
}

/**
 * kvbm_manager_check - ioctl(KVBM_MANAGER_CHECK)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0, -ENOENT, -ENOTCONN, -EACCES, -EINTR, -EFAULT.
 */
int kvbm_manager_check(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_manager_check *a = &call->arg->manager_check;
	struct kvbm_manager *m;
	int err;

	err = kvbm_manager_get_readable(file, a->id, &m);
	if (err)
		return err;
	err = kvbm_store_check(m->store, &a->out);
	kvbm_manager_put(m);
	return err ?: kvbm_call_put(call);
}

/**
 * kvbm_manager_dump - ioctl(KVBM_MANAGER_DUMP)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_manager_dump(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_manager_dump *a = &call->arg->manager_dump;
	struct kvbm_slot_info *slots;
	struct kvbm_arrays arrays;
	struct kvbm_manager *m;
	int err;

	err = kvbm_manager_get_readable(file, a->id, &m);
	if (err)
		return err;
	err = kvbm_arrays_init(&arrays, a->count * sizeof(*slots));
	if (err)
		goto put_manager;
	slots = kvbm_array_new(&arrays, a->count, sizeof(*slots));
	a->out_count = kvbm_store_dump(m->store, a->start, a->count, slots);
	err = kvbm_array_out(a->slots, slots, a->out_count, sizeof(*slots));
	if (!err)
		err = kvbm_call_put(call);
	kvbm_arrays_free(&arrays);
put_manager:
	kvbm_manager_put(m);
	return err;
}

/* Managers by id, referenced: their bits are theirs for so long. */
static int get_members(struct kvbm_registry_object *r, const u64 *ids, u32 count,
		       struct kvbm_manager **members)
{
	u32 i;

	mutex_lock(&kvbm_objects_lock);
	for (i = 0; i < count; i++) {
		struct kvbm_manager *m = kvbm_manager_find(ids[i]);

		if (!m || m->registry != r)
			break;
		kref_get(&m->ref);
		members[i] = m;
	}
	mutex_unlock(&kvbm_objects_lock);
	if (i == count)
		return 0;
	while (i--)
		kvbm_manager_put(members[i]);
	return -ENOENT;
}

/* From bits of stores to bits of the list that the caller gave. */
static u64 mask_of(u64 present, struct kvbm_manager *const *members, u32 count)
{
	u64 mask = 0;
	u32 i;

	if (!count)
		return !!present;
	for (i = 0; i < count; i++)
		if (present & 1ULL << kvbm_store_bit(members[i]->store))
			mask |= 1ULL << i;
	return mask;
}

/**
 * kvbm_get_presence - ioctl(KVBM_PRESENCE)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_get_presence(struct kvbm_file *file, struct kvbm_call *call)
{
	const struct kvbm_presence *a = &call->arg->presence;
	struct kvbm_registry_object *r;
	struct kvbm_manager **members;
	struct kvbm_hash *hashes;
	struct kvbm_arrays m;
	u64 *ids, *masks, live;
	u32 i;
	int err;

	err = kvbm_file_registry(file, a->registry, KVBM_MODE_READ, &r, &live);
	if (err)
		return err;
	err = kvbm_arrays_init(&m, a->count * (sizeof(*hashes) + sizeof(*masks)) +
				   a->nr_managers * (sizeof(*ids) + sizeof(u64)));
	if (err)
		goto put_registry;
	masks = kvbm_array_new(&m, a->count, sizeof(*masks));
	members = kvbm_array_new(&m, a->nr_managers, sizeof(u64));
	hashes = kvbm_array_in(&m, a->hashes, a->count, sizeof(*hashes));
	err = PTR_ERR_OR_ZERO(hashes);
	if (err)
		goto free;
	ids = kvbm_array_in(&m, a->managers, a->nr_managers, sizeof(*ids));
	err = PTR_ERR_OR_ZERO(ids);
	if (err)
		goto free;
	err = get_members(r, ids, a->nr_managers, members);
	if (err)
		goto free;
	for (i = 0; i < a->count; i++) {
		u64 present = live & kvbm_registry_presence(r->engine, &hashes[i]);

		masks[i] = mask_of(present, members, a->nr_managers);
		if (i % KVBM_CHUNK == 0)
			kvbm_relax();
	}
	for (i = 0; i < a->nr_managers; i++)
		kvbm_manager_put(members[i]);
	err = kvbm_array_out(a->out_masks, masks, a->count, sizeof(*masks));
free:
	kvbm_arrays_free(&m);
put_registry:
	kvbm_registry_put(r);
	return err;
}
