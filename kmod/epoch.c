// SPDX-License-Identifier: GPL-2.0
/*
 * A manager changes hands: sessions of an earlier epoch change nothing any more.
 */
#include "private.h"

/*
 * Once this returns, no older session is about to change anything: each has let
 * go of its mutex, and looks at the epoch when it has taken it again.
 */
static void wait_for_sessions(struct kvbm_manager *m)
{
	struct kvbm_file *file;

	mutex_lock(&kvbm_objects_lock);
	list_for_each_entry(file, &m->bound, who.in_manager)
		kvbm_holder_barrier(&file->holder);
	mutex_unlock(&kvbm_objects_lock);
}

/**
 * kvbm_epoch - ioctl(KVBM_EPOCH)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_epoch(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_epoch *a = &call->arg->epoch;
	bool raise = a->flags & KVBM_EPOCH_RAISE;
	struct kvbm_manager *m;
	int err;

	err = kvbm_manager_get(file, a->manager, raise, &m);
	if (err)
		return err;
	if (raise) {
		err = kvbm_store_raise_epoch(m->store,
					     a->flags & KVBM_EPOCH_FORCE,
					     &a->out_epoch);
		if (err)
			goto put;
		wait_for_sessions(m);
		if (kvbm_file_manager(file) == m)
			kvbm_holder_join(&file->holder, a->out_epoch);
	} else {
		a->out_epoch = kvbm_store_epoch(m->store);
	}
	a->out_session = kvbm_file_manager(file) == m ?
			 READ_ONCE(file->holder.epoch) : 0;
	err = kvbm_call_put(call);
put:
	kvbm_manager_put(m);
	return err;
}
