// SPDX-License-Identifier: GPL-2.0
/*
 * What registries and managers have in common: ids, names, rights, limits.
 */
#include <linux/slab.h>

#include "private.h"
#include "uarray.h"

/* The tables of registries and managers, and what private.h says. */
DEFINE_MUTEX(kvbm_objects_lock);

/* The last id that was given out; under kvbm_objects_lock. */
static u64 last_id;
/* Charged by kvbm_charge(); a leaf, for attachments go under spinlocks. */
static DEFINE_SPINLOCK(charge_lock);
static u64 bytes_used;	/* under charge_lock */

/**
 * kvbm_ident_init - name, rights and a new id
 * @ident: filled in
 * @name: checked by the caller
 * @mode: permission bits, checked by the caller
 * @uid: as in <linux/kvbm.h>
 * @gid: as in <linux/kvbm.h>
 *
 * Context: under kvbm_objects_lock.
 * Return: 0, -EINVAL (no such id in the user namespace of the caller), -EPERM.
 */
int kvbm_ident_init(struct kvbm_ident *ident, const char *name, u32 mode,
		    u32 uid, u32 gid)
{
	struct user_namespace *ns = current_user_ns();

	lockdep_assert_held(&kvbm_objects_lock);
	ident->uid = uid == KVBM_ID_CALLER ? current_fsuid() : make_kuid(ns, uid);
	ident->gid = gid == KVBM_ID_CALLER ? current_fsgid() : make_kgid(ns, gid);
	if (!uid_valid(ident->uid) || !gid_valid(ident->gid))
		return -EINVAL;
	if ((!uid_eq(ident->uid, current_fsuid()) || !in_group_p(ident->gid)) &&
	    !capable(CAP_SYS_ADMIN))
		return -EPERM;
	memcpy(ident->name, name, sizeof(ident->name));
	ident->mode = mode;
	ident->id = ++last_id;
	return 0;
}

/**
 * kvbm_may - whether the caller has rights on an object
 * @ident: of the object
 * @mode: KVBM_MODE_READ, KVBM_MODE_WRITE or both
 *
 * Context: any process.
 * Return: true when it has all of them, or CAP_SYS_ADMIN.
 */
bool kvbm_may(const struct kvbm_ident *ident, unsigned int mode)
{
	unsigned int granted = ident->mode;

	if (uid_eq(ident->uid, current_fsuid()))
		granted >>= 6;
	else if (in_group_p(ident->gid))
		granted >>= 3;
	return (granted & mode) == mode || capable(CAP_SYS_ADMIN);
}

/* Whether the caller may do what takes the owner: destroy, set limits, take over. */
bool kvbm_is_owner(const struct kvbm_ident *ident)
{
	return uid_eq(ident->uid, current_fsuid()) || capable(CAP_SYS_ADMIN);
}

/**
 * kvbm_charge - account for memory that users make the module take
 * @bytes: how much
 *
 * Context: any.
 * Return: 0, or -EDQUOT.
 */
int kvbm_charge(u64 bytes)
{
	u64 limit = kvbm_bytes_limit();
	int err = -EDQUOT;

	spin_lock(&charge_lock);
	if (bytes <= limit && bytes_used <= limit - bytes) {
		bytes_used += bytes;
		err = 0;
	}
	spin_unlock(&charge_lock);
	return err;
}

/* Context: any. */
void kvbm_uncharge(u64 bytes)
{
	spin_lock(&charge_lock);
	bytes_used -= bytes;
	spin_unlock(&charge_lock);
}

/**
 * kvbm_list_ids - the LIST ioctls
 * @call: with a struct kvbm_list
 * @table: objects by id
 * @want: which of them, or NULL for all; gets the @registry of the call
 *
 * Context: may sleep.
 * Return: 0, -EFAULT, -ENOMEM.
 */
int kvbm_list_ids(struct kvbm_call *call, struct xarray *table,
		  bool (*want)(const void *object, u64 registry))
{
	struct kvbm_list *a = &call->arg->list;
	struct kvbm_arrays m;
	unsigned long id;
	void *object;
	u64 *ids;
	int err;

	a->out_count = 0;
	if (a->after >= ULONG_MAX)
		return kvbm_call_put(call);
	err = kvbm_arrays_init(&m, (size_t)a->count * sizeof(*ids));
	if (err)
		return err;
	ids = kvbm_array_new(&m, a->count, sizeof(*ids));

	mutex_lock(&kvbm_objects_lock);
	xa_for_each_start(table, id, object, a->after + 1) {
		if (want && !want(object, a->registry))
			continue;
		ids[a->out_count++] = id;
		if (a->out_count == a->count)
			break;
	}
	mutex_unlock(&kvbm_objects_lock);

	err = kvbm_array_out(a->ids, ids, a->out_count, sizeof(*ids));
	if (!err)
		err = kvbm_call_put(call);
	kvbm_arrays_free(&m);
	return err;
}
