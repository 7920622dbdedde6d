// SPDX-License-Identifier: GPL-2.0
/*
 * Who has bound to a manager, and how much they hold.
 */
#include <linux/cgroup.h>
#include <linux/cred.h>
#include <linux/ktime.h>

#include "private.h"
#include "uarray.h"

/* Given to a session; under kvbm_objects_lock. */
static u64 last_id;

static u64 current_cgroup(void)
{
	u64 id = 0;

#ifdef CONFIG_CGROUPS
	rcu_read_lock();
	id = cgroup_id(task_dfl_cgroup(current));
	rcu_read_unlock();
#endif
	return id;
}

/**
 * kvbm_session_enlist - the caller becomes the one who bound a file
 * @file: its holder is ready
 * @manager: that it is being bound to
 *
 * Context: may sleep.
 */
void kvbm_session_enlist(struct kvbm_file *file, struct kvbm_manager *manager)
{
	struct kvbm_who *who = &file->who;

	who->pid = get_pid(task_tgid(current));
	who->uid = current_euid();
	who->cgroup = current_cgroup();
	who->bound_ns = ktime_get_ns();
	/* Of the process, whichever thread this is. */
	get_task_comm(who->comm, current->group_leader);
	mutex_lock(&kvbm_objects_lock);
	who->id = ++last_id;
	list_add_tail(&who->in_manager, &manager->bound);
	mutex_unlock(&kvbm_objects_lock);
}

/* Undo kvbm_session_enlist(). Context: may sleep. */
void kvbm_session_delist(struct kvbm_file *file)
{
	mutex_lock(&kvbm_objects_lock);
	list_del(&file->who.in_manager);
	mutex_unlock(&kvbm_objects_lock);
	put_pid(file->who.pid);
}

static void fill_info(struct kvbm_session_info *info, const struct kvbm_file *file)
{
	const struct kvbm_who *who = &file->who;
	struct kvbm_holder_sum sum;

	kvbm_holder_sum(&file->holder, &sum);
	*info = (struct kvbm_session_info){
		.id = who->id,
		.pid = pid_vnr(who->pid),
		.uid = from_kuid_munged(current_user_ns(), who->uid),
		.flags = file->rights,
		.blocks = sum.blocks,
		.guards = sum.guards,
		.oldest_ns = sum.oldest_ns,
		.bound_ns = who->bound_ns,
		.cgroup = who->cgroup,
	};
	if (!pid_has_task(who->pid, PIDTYPE_TGID))
		info->flags |= KVBM_SESSION_ENDED;
	if (kvbm_holder_is_fenced(&file->holder))
		info->flags |= KVBM_SESSION_FENCED;
	static_assert(sizeof(info->comm) == sizeof(who->comm));
	memcpy(info->comm, who->comm, sizeof(info->comm));
}

/* Return: sessions that there was room for. */
static u32 list_sessions(const struct kvbm_manager *m, u64 after, u32 room,
			 struct kvbm_session_info *infos)
{
	const struct kvbm_file *file;
	u32 n = 0;

	lockdep_assert_held(&kvbm_objects_lock);
	list_for_each_entry(file, &m->bound, who.in_manager) {
		if (n == room)
			break;
		if (file->who.id > after)
			fill_info(&infos[n++], file);
	}
	return n;
}

/**
 * kvbm_manager_sessions - ioctl(KVBM_MANAGER_SESSIONS)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_manager_sessions(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_manager_sessions *a = &call->arg->manager_sessions;
	struct kvbm_session_info *infos;
	struct kvbm_arrays arrays;
	struct kvbm_manager *m;
	u32 room;
	int err;

	err = kvbm_manager_get_readable(file, a->id, &m);
	if (err)
		return err;
	mutex_lock(&kvbm_objects_lock);
	room = min(a->count, m->sessions);
	mutex_unlock(&kvbm_objects_lock);
	err = kvbm_arrays_init(&arrays, room * sizeof(*infos));
	if (err)
		goto put_manager;
	infos = kvbm_array_new(&arrays, room, sizeof(*infos));
	mutex_lock(&kvbm_objects_lock);
	a->out_count = list_sessions(m, a->after, room, infos);
	mutex_unlock(&kvbm_objects_lock);
	/* What there is room for is probed, too: a bad pointer is always told. */
	err = kvbm_array_probe(a->sessions, a->count, sizeof(*infos));
	if (!err)
		err = kvbm_array_out(a->sessions, infos, a->out_count,
				     sizeof(*infos));
	if (!err)
		err = kvbm_call_put(call);
	kvbm_arrays_free(&arrays);
put_manager:
	kvbm_manager_put(m);
	return err;
}
