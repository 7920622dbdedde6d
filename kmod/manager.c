// SPDX-License-Identifier: GPL-2.0
/*
 * Managers, as users know them.
 */
#include <linux/err.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "private.h"

/*
 * Managers by id; under kvbm_objects_lock. A place is reserved, and finds
 * nothing, while its manager is built.
 */
static DEFINE_XARRAY(managers);
static unsigned int nr_managers;

/* Of our own: the module can wait for the last one to end. */
static struct workqueue_struct *linger_wq;

static struct kvbm_manager *find(u64 id)
{
	lockdep_assert_held(&kvbm_objects_lock);
	return id > ULONG_MAX ? NULL : xa_load(&managers, id);
}

/* An anonymous manager is nobody's business but its sessions'. */
static bool is_visible(const struct kvbm_manager *m)
{
	return !(m->flags & KVBM_MANAGER_ANONYMOUS) ||
	       ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN);
}

/**
 * kvbm_manager_find - a manager that the caller may know of
 * @id: of the manager
 *
 * Context: under kvbm_objects_lock.
 * Return: the manager, not referenced, or NULL.
 */
struct kvbm_manager *kvbm_manager_find(u64 id)
{
	struct kvbm_manager *m = find(id);

	return m && is_visible(m) ? m : NULL;
}

static struct kvbm_manager *find_named(struct kvbm_registry_object *r,
				       const char *name)
{
	struct kvbm_manager *m;

	lockdep_assert_held(&kvbm_objects_lock);
	list_for_each_entry(m, &r->managers, in_registry)
		if (!strncmp(m->ident.name, name, KVBM_NAME_SIZE))
			return m;
	return NULL;
}

static void manager_free(struct kref *ref)
{
	struct kvbm_manager *m = container_of(ref, struct kvbm_manager, ref);
	struct kvbm_registry_object *r = m->registry;

	kvbm_backing_free(m->backing);
	kvbm_quotas_free(&m->quotas);
	kvbm_store_free(m->store);
	mutex_lock(&kvbm_objects_lock);
	kvbm_uncharge(m->bytes);
	mutex_unlock(&kvbm_objects_lock);
	kvbm_registry_put(r);
	kfree(m);
	/*
	 * This code stays: we are called through an open file, or by work that
	 * kvbm_manager_exit() waits for.
	 */
	module_put(THIS_MODULE);
}

/* Context: may sleep; not under kvbm_objects_lock. */
void kvbm_manager_put(struct kvbm_manager *manager)
{
	kref_put(&manager->ref, manager_free);
}

/* Out of the tables; the charge stays until the memory is free. */
static void unlink(struct kvbm_manager *m)
{
	lockdep_assert_held(&kvbm_objects_lock);
	xa_erase(&managers, m->ident.id);
	list_del_init(&m->in_registry);
	m->registry->nr_managers--;
	nr_managers--;
}

/*
 * Shut down and out of the tables; the reference of the table is the caller's,
 * to be put without kvbm_objects_lock.
 */
static int manager_end(struct kvbm_manager *m, bool force)
{
	int err;

	lockdep_assert_held(&kvbm_objects_lock);
	err = kvbm_store_shutdown(m->store, force);
	if (!err) {
		m->registry->live &= ~(1ULL << kvbm_store_bit(m->store));
		/* Before the name is free for another one. */
		kvbm_sysfs_remove(m);
		unlink(m);
	}
	return err;
}

/* Its time has come, unless somebody came back or was faster. */
static void linger_work(struct work_struct *work)
{
	struct kvbm_manager *m =
		container_of(to_delayed_work(work), struct kvbm_manager, linger);
	bool ended = false;

	mutex_lock(&kvbm_objects_lock);
	/* Pending again: there was a session since, and the clock starts anew. */
	if (!m->sessions && !m->pins && !delayed_work_pending(&m->linger) &&
	    find(m->ident.id) == m)
		ended = !manager_end(m, true);
	mutex_unlock(&kvbm_objects_lock);
	if (ended)
		kvbm_manager_put(m);
	kvbm_manager_put(m);
}

/*
 * One more session. Whether it comes before the manager is ended for want of
 * sessions is decided under kvbm_objects_lock.
 */
static void count_session(struct kvbm_manager *m)
{
	lockdep_assert_held(&kvbm_objects_lock);
	kref_get(&m->ref);
	WRITE_ONCE(m->sessions, m->sessions + 1);
}

/**
 * kvbm_manager_bind - a reference on a manager, counted as a session
 * @id: of the manager; anonymous ones are not found
 * @mode: rights that are needed, KVBM_MODE_*
 *
 * Context: may sleep.
 * Return: the manager, or ERR_PTR(-ENOENT or -EACCES).
 */
struct kvbm_manager *kvbm_manager_bind(u64 id, unsigned int mode)
{
	struct kvbm_manager *m;

	mutex_lock(&kvbm_objects_lock);
	m = find(id);
	if (!m || m->flags & KVBM_MANAGER_ANONYMOUS)
		m = ERR_PTR(-ENOENT);
	else if (!kvbm_may(&m->ident, mode))
		m = ERR_PTR(-EACCES);
	else
		count_session(m);
	mutex_unlock(&kvbm_objects_lock);
	return m;
}

/* The same, for who has a reference on the manager already. */
void kvbm_manager_bind_again(struct kvbm_manager *manager)
{
	mutex_lock(&kvbm_objects_lock);
	count_session(manager);
	mutex_unlock(&kvbm_objects_lock);
}

/*
 * If the last session or pin has gone, end the manager, or begin to wait for
 * others. Return: whether it ended; the reference of the table is the caller's.
 */
static bool left_alone(struct kvbm_manager *m)
{
	lockdep_assert_held(&kvbm_objects_lock);
	if (m->sessions || m->pins || find(m->ident.id) != m)
		return false;
	if (!m->linger_ms)
		return !manager_end(m, true);
	if (m->linger_ms == KVBM_LINGER_FOREVER)
		return false;
	kref_get(&m->ref);
	if (mod_delayed_work(linger_wq, &m->linger, msecs_to_jiffies(m->linger_ms)))
		/* It was pending, and had its reference. */
		kref_put(&m->ref, manager_free);
	return false;
}

/**
 * kvbm_manager_unbind - a session is over
 * @manager: the reference on it is gone when this returns
 *
 * Context: may sleep.
 */
void kvbm_manager_unbind(struct kvbm_manager *manager)
{
	bool ended;

	mutex_lock(&kvbm_objects_lock);
	WRITE_ONCE(manager->sessions, manager->sessions - 1);
	ended = left_alone(manager);
	mutex_unlock(&kvbm_objects_lock);
	if (ended)
		kvbm_manager_put(manager);
	kvbm_manager_put(manager);
}

/* One more pin, of a session of @manager. */
void kvbm_manager_add_pin(struct kvbm_manager *manager)
{
	mutex_lock(&kvbm_objects_lock);
	kref_get(&manager->ref);
	manager->pins++;
	mutex_unlock(&kvbm_objects_lock);
}

/**
 * kvbm_manager_remove_pin - a pin is closed
 * @manager: the reference on it is gone when this returns
 *
 * Context: may sleep.
 */
void kvbm_manager_remove_pin(struct kvbm_manager *manager)
{
	bool ended;

	mutex_lock(&kvbm_objects_lock);
	manager->pins--;
	ended = left_alone(manager);
	mutex_unlock(&kvbm_objects_lock);
	if (ended)
		kvbm_manager_put(manager);
	kvbm_manager_put(manager);
}

/* Name, id, charge, and a place in both tables; to be undone by unreserve(). */
static int reserve(struct kvbm_manager *m, const struct kvbm_manager_create *a,
		   struct kvbm_store_config *config)
{
	struct kvbm_registry_object *r;
	int err;

	lockdep_assert_held(&kvbm_objects_lock);
	r = kvbm_registry_find(a->registry, NULL);
	if (!r)
		return -ENOENT;
	if (!kvbm_may(&r->ident, KVBM_MODE_WRITE))
		return -EACCES;
	if (!(m->flags & KVBM_MANAGER_ANONYMOUS) && find_named(r, a->name))
		return -EEXIST;
	if (nr_managers >= READ_ONCE(kvbm_max_managers))
		return -EDQUOT;
	err = kvbm_ident_init(&m->ident, a->name, a->mode, a->uid, a->gid);
	if (err)
		return err;
	err = kvbm_store_config_settle(config, r->engine);
	if (err)
		return err;
	m->bytes = kvbm_store_bytes(config);
	err = kvbm_charge(m->bytes);
	if (err)
		return err;
	err = xa_reserve(&managers, m->ident.id, GFP_KERNEL_ACCOUNT);
	if (err) {
		kvbm_uncharge(m->bytes);
		return err;
	}
	nr_managers++;
	kvbm_registry_get(r);
	m->registry = r;
	r->nr_managers++;
	list_add_tail(&m->in_registry, &r->managers);
	return 0;
}

static void unreserve(struct kvbm_manager *m)
{
	mutex_lock(&kvbm_objects_lock);
	unlink(m);
	kvbm_uncharge(m->bytes);
	mutex_unlock(&kvbm_objects_lock);
	kvbm_registry_put(m->registry);
}

/* Blocks became available, or the manager is gone. Atomic context is fine. */
static void wake_pollers(void *arg)
{
	struct kvbm_manager *m = arg;

	if (wq_has_sleeper(&m->pollers))
		wake_up_interruptible(&m->pollers);
}

static int build(struct kvbm_manager *m, const struct kvbm_store_config *config)
{
	int err = kvbm_store_alloc(m->registry->engine, config, &m->store);

	if (!err)
		kvbm_store_publish(m->store, m->ident.id, m->tier, wake_pollers,
				   m);
	return err;
}

/**
 * kvbm_manager_publish - it can be found from now on, and reports its events
 * @manager: just made
 * @session: count a session, before anybody can see that there is none
 *
 * Context: may sleep.
 */
void kvbm_manager_publish(struct kvbm_manager *manager, bool session)
{
	mutex_lock(&kvbm_objects_lock);
	if (session)
		count_session(manager);
	manager->registry->live |= 1ULL << kvbm_store_bit(manager->store);
	kvbm_store_announce(manager->store);
	/* The place was reserved, so this does not allocate. */
	xa_store(&managers, manager->ident.id, manager, GFP_KERNEL_ACCOUNT);
	mutex_unlock(&kvbm_objects_lock);
}

/**
 * kvbm_manager_next - for walks over the managers of a registry
 * @registry: the registry, or NULL for all
 * @id: of the manager, or of the last one before it
 *
 * Anonymous ones included.
 *
 * Context: may sleep.
 * Return: the manager with the lowest id that is not below @id, referenced, or
 * NULL.
 */
struct kvbm_manager *kvbm_manager_next(struct kvbm_registry_object *registry,
				       u64 id)
{
	struct kvbm_manager *m = NULL;
	unsigned long index;

	if (id > ULONG_MAX)
		return NULL;
	mutex_lock(&kvbm_objects_lock);
	xa_for_each_start(&managers, index, m, id)
		if (!registry || m->registry == registry)
			break;
	if (m)
		kref_get(&m->ref);
	mutex_unlock(&kvbm_objects_lock);
	return m;
}

/**
 * kvbm_manager_create - ioctl(KVBM_MANAGER_CREATE)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_manager_create(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_manager_create *a = &call->arg->manager_create;
	struct kvbm_store_config config;
	struct kvbm_manager *m;
	int err;

	kvbm_abi_store_config(&config, a);
	err = kvbm_store_config_check(&config);
	if (err)
		return err;
	m = kzalloc(sizeof(*m), GFP_KERNEL_ACCOUNT);
	if (!m)
		return -ENOMEM;
	kref_init(&m->ref);
	m->tier = a->tier;
	m->flags = a->flags;
	m->linger_ms = a->linger_ms;
	m->created_ns = ktime_get_ns();
	init_waitqueue_head(&m->pollers);
	INIT_LIST_HEAD(&m->bound);
	kvbm_quotas_init(&m->quotas);
	INIT_DELAYED_WORK(&m->linger, linger_work);

	mutex_lock(&kvbm_objects_lock);
	err = reserve(m, a, &config);
	mutex_unlock(&kvbm_objects_lock);
	if (err)
		goto err_free;
	err = build(m, &config);
	if (err)
		goto err_unreserve;
	err = kvbm_sysfs_add(m);
	if (err)
		goto err_unbuild;
	a->out_id = m->ident.id;
	err = kvbm_call_put(call);
	if (err)
		goto err_hide;

	/* For as long as it exists; we are called through an open file. */
	__module_get(THIS_MODULE);
	if (a->bind_flags) {
		err = kvbm_file_bind_new(file, m, a->bind_flags);
		if (err)
			goto err_put_module;
	} else {
		kvbm_manager_publish(m, false);
	}
	return 0;

err_put_module:
	module_put(THIS_MODULE);
err_hide:
	kvbm_sysfs_remove(m);
err_unbuild:
	kvbm_store_free(m->store);
err_unreserve:
	unreserve(m);
err_free:
	kfree(m);
	return err;
}

static void fill_query(struct kvbm_manager_query *a, const struct kvbm_manager *m)
{
	struct user_namespace *ns = current_user_ns();

	kvbm_abi_query_config(a, kvbm_store_config(m->store));
	a->id = m->ident.id;
	a->registry = m->registry->ident.id;
	memcpy(a->name, m->ident.name, sizeof(a->name));
	a->out_flags = m->flags;
	a->out_tier = m->tier;
	a->out_mode = m->ident.mode;
	a->out_uid = from_kuid_munged(ns, m->ident.uid);
	a->out_gid = from_kgid_munged(ns, m->ident.gid);
	a->out_linger_ms = m->linger_ms;
	a->out_numa_node = 0;
	a->out_sessions = m->sessions;
	a->out_pins = m->pins;
	a->out_segments = kvbm_backing_segments(kvbm_manager_backing(m));
	a->out_bytes = m->bytes;
	a->out_created_ns = m->created_ns;
}

/**
 * kvbm_manager_query - ioctl(KVBM_MANAGER_QUERY)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0, -ENOENT, -ENOTCONN, -EFAULT.
 */
int kvbm_manager_query(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_manager_query *a = &call->arg->manager_query;
	struct kvbm_registry_object *r;
	struct kvbm_manager *m;
	int err = -ENOENT;

	mutex_lock(&kvbm_objects_lock);
	if (a->id) {
		m = kvbm_manager_find(a->id);
	} else if (a->registry) {
		r = kvbm_registry_find(a->registry, NULL);
		m = r ? find_named(r, a->name) : NULL;
		/* One that is still being built has a name, and no more. */
		m = m ? find(m->ident.id) : NULL;
	} else {
		m = kvbm_file_manager(file);
		err = -ENOTCONN;
	}
	if (m)
		fill_query(a, m);
	mutex_unlock(&kvbm_objects_lock);
	return m ? kvbm_call_put(call) : err;
}

static bool is_in_registry(const void *object, u64 registry)
{
	const struct kvbm_manager *m = object;

	return is_visible(m) &&
	       (!registry || m->registry->ident.id == registry);
}

/**
 * kvbm_manager_list - ioctl(KVBM_MANAGER_LIST)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0, -ENOENT, -EFAULT, -ENOMEM.
 */
int kvbm_manager_list(struct kvbm_file *file, struct kvbm_call *call)
{
	u64 registry = call->arg->list.registry;
	bool exists;

	mutex_lock(&kvbm_objects_lock);
	exists = !registry || kvbm_registry_find(registry, NULL);
	mutex_unlock(&kvbm_objects_lock);
	return exists ? kvbm_list_ids(call, &managers, is_in_registry) : -ENOENT;
}

/**
 * kvbm_manager_destroy - ioctl(KVBM_MANAGER_DESTROY)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0, -ENOENT, -EPERM, -EBUSY.
 */
int kvbm_manager_destroy(struct kvbm_file *file, struct kvbm_call *call)
{
	const struct kvbm_destroy *a = &call->arg->destroy;
	struct kvbm_manager *m;
	int err;

	mutex_lock(&kvbm_objects_lock);
	m = kvbm_manager_find(a->id);
	if (!m)
		err = -ENOENT;
	else if (!kvbm_is_owner(&m->ident))
		err = -EPERM;
	else
		err = manager_end(m, a->flags & KVBM_DESTROY_FORCE);
	mutex_unlock(&kvbm_objects_lock);
	if (err)
		return err;
	if (cancel_delayed_work(&m->linger))
		kvbm_manager_put(m);
	kvbm_manager_put(m);
	return 0;
}

/**
 * kvbm_manager_get_readable - the manager that a call is about, referenced
 * @file: any
 * @id: of the manager; 0 for the one that the file is bound to
 * @out: the manager, for kvbm_manager_put()
 *
 * Context: may sleep.
 * Return: 0, -ENOENT, -ENOTCONN, -EACCES (it takes read).
 */
int kvbm_manager_get_readable(struct kvbm_file *file, u64 id,
			      struct kvbm_manager **out)
{
	struct kvbm_manager *m;
	bool may;

	if (id) {
		mutex_lock(&kvbm_objects_lock);
		m = kvbm_manager_find(id);
		if (m)
			kref_get(&m->ref);
		mutex_unlock(&kvbm_objects_lock);
		if (!m)
			return -ENOENT;
		may = kvbm_may(&m->ident, KVBM_MODE_READ);
	} else {
		m = kvbm_file_manager(file);
		if (!m)
			return -ENOTCONN;
		kref_get(&m->ref);
		may = file->rights & KVBM_BIND_READ;
	}
	if (!may) {
		kvbm_manager_put(m);
		return -EACCES;
	}
	*out = m;
	return 0;
}

/**
 * kvbm_manager_get - the manager that a call is about
 * @file: any
 * @id: of the manager; 0: the one that the file is bound to
 * @own: to be changed as its owner may; otherwise to be read
 * @out: the manager, referenced
 *
 * Context: may sleep.
 * Return: 0, -ENOENT, -ENOTCONN, -EACCES, -EPERM.
 */
int kvbm_manager_get(struct kvbm_file *file, u64 id, bool own,
		     struct kvbm_manager **out)
{
	struct kvbm_manager *m;

	if (!own)
		return kvbm_manager_get_readable(file, id, out);
	if (!file->may_write)
		return -EACCES;
	mutex_lock(&kvbm_objects_lock);
	m = id ? kvbm_manager_find(id) : kvbm_file_manager(file);
	if (m)
		kref_get(&m->ref);
	mutex_unlock(&kvbm_objects_lock);
	if (!m)
		return id ? -ENOENT : -ENOTCONN;
	if (!kvbm_is_owner(&m->ident)) {
		kvbm_manager_put(m);
		return -EPERM;
	}
	*out = m;
	return 0;
}

int __init kvbm_manager_init(void)
{
	linger_wq = alloc_workqueue("kvbm", WQ_UNBOUND, 0);
	return linger_wq ? 0 : -ENOMEM;
}

/* All managers are gone, and held a reference on the module until then. */
void kvbm_manager_exit(void)
{
	destroy_workqueue(linger_wq);
	xa_destroy(&managers);
}
