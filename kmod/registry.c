// SPDX-License-Identifier: GPL-2.0
/*
 * Registries, as users know them.
 */
#include <linux/slab.h>

#include "private.h"

/* Registries by id; under kvbm_objects_lock. */
static DEFINE_XARRAY(registries);
/* All of them, those too that are being made; under kvbm_objects_lock. */
static LIST_HEAD(names);
static unsigned int nr_registries;

static bool is_taken(const char *name)
{
	struct kvbm_registry_object *r;

	lockdep_assert_held(&kvbm_objects_lock);
	list_for_each_entry(r, &names, in_names)
		if (!strncmp(r->ident.name, name, KVBM_NAME_SIZE))
			return true;
	return false;
}

/**
 * kvbm_registry_find - by id, or by name
 * @id: 0 to go by @name
 * @name: unused when there is an @id
 *
 * Context: under kvbm_objects_lock.
 * Return: the registry, or NULL.
 */
struct kvbm_registry_object *kvbm_registry_find(u64 id, const char *name)
{
	struct kvbm_registry_object *r;
	unsigned long index;

	lockdep_assert_held(&kvbm_objects_lock);
	if (id)
		return id > ULONG_MAX ? NULL : xa_load(&registries, id);
	xa_for_each(&registries, index, r)
		if (!strncmp(r->ident.name, name, KVBM_NAME_SIZE))
			return r;
	return NULL;
}

void kvbm_registry_get(struct kvbm_registry_object *registry)
{
	kref_get(&registry->ref);
}

static void registry_free(struct kref *ref)
{
	struct kvbm_registry_object *r =
		container_of(ref, struct kvbm_registry_object, ref);

	kvbm_registry_free(r->engine);
	mutex_lock(&kvbm_objects_lock);
	kvbm_uncharge(r->bytes);
	mutex_unlock(&kvbm_objects_lock);
	kfree(r);
}

/* Context: may sleep; not under kvbm_objects_lock. */
void kvbm_registry_put(struct kvbm_registry_object *registry)
{
	kref_put(&registry->ref, registry_free);
}

/*
 * Name, id, charge, and a place in the table that finds nothing yet; to be
 * undone by unreserve().
 */
static int reserve(struct kvbm_registry_object *r,
		   const struct kvbm_registry_create *a)
{
	int err;

	lockdep_assert_held(&kvbm_objects_lock);
	if (is_taken(a->name))
		return -EEXIST;
	if (nr_registries >= READ_ONCE(kvbm_max_registries))
		return -EDQUOT;
	err = kvbm_ident_init(&r->ident, a->name, a->mode, a->uid, a->gid);
	if (err)
		return err;
	err = kvbm_charge(r->bytes);
	if (err)
		return err;
	err = xa_reserve(&registries, r->ident.id, GFP_KERNEL_ACCOUNT);
	if (err) {
		kvbm_uncharge(r->bytes);
		return err;
	}
	list_add_tail(&r->in_names, &names);
	nr_registries++;
	return 0;
}

static void unlink(struct kvbm_registry_object *r)
{
	lockdep_assert_held(&kvbm_objects_lock);
	xa_erase(&registries, r->ident.id);
	list_del(&r->in_names);
	nr_registries--;
}

static void unreserve(struct kvbm_registry_object *r)
{
	mutex_lock(&kvbm_objects_lock);
	unlink(r);
	kvbm_uncharge(r->bytes);
	mutex_unlock(&kvbm_objects_lock);
}

static const struct kvbm_charge_ops charge_ops = {
	.charge = kvbm_charge,
	.uncharge = kvbm_uncharge,
};

/**
 * kvbm_registry_create - ioctl(KVBM_REGISTRY_CREATE)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_registry_create(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_registry_create *a = &call->arg->registry_create;
	struct kvbm_registry_object *r;
	int err;

	r = kzalloc(sizeof(*r), GFP_KERNEL_ACCOUNT);
	if (!r)
		return -ENOMEM;
	kref_init(&r->ref);
	INIT_LIST_HEAD(&r->managers);
	r->capacity = a->capacity;
	r->schema = a->schema;
	r->sketch_capacity = a->sketch_capacity;
	r->bytes = kvbm_registry_bytes(a->capacity, a->sketch_capacity);

	mutex_lock(&kvbm_objects_lock);
	err = reserve(r, a);
	mutex_unlock(&kvbm_objects_lock);
	if (err)
		goto err_free;
	err = kvbm_registry_alloc(a->capacity, a->schema, &r->engine);
	if (err)
		goto err_unreserve;
	kvbm_registry_publish(r->engine, &charge_ops);
	if (a->sketch_capacity) {
		err = kvbm_registry_add_sketch(r->engine, a->sketch_capacity);
		if (err)
			goto err_free_engine;
	}
	kvbm_events_init(r);
	a->out_id = r->ident.id;
	err = kvbm_call_put(call);
	if (err)
		goto err_free_engine;

	mutex_lock(&kvbm_objects_lock);
	/* The place was reserved, so this does not allocate. */
	xa_store(&registries, r->ident.id, r, GFP_KERNEL_ACCOUNT);
	mutex_unlock(&kvbm_objects_lock);
	return 0;

err_free_engine:
	kvbm_registry_free(r->engine);
err_unreserve:
	unreserve(r);
err_free:
	kfree(r);
	return err;
}

/**
 * kvbm_registry_query - ioctl(KVBM_REGISTRY_QUERY)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0, -ENOENT, -EFAULT.
 */
int kvbm_registry_query(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_registry_query *a = &call->arg->registry_query;
	struct user_namespace *ns = current_user_ns();
	struct kvbm_registry_object *r;

	mutex_lock(&kvbm_objects_lock);
	r = kvbm_registry_find(a->id, a->name);
	if (!r) {
		mutex_unlock(&kvbm_objects_lock);
		return -ENOENT;
	}
	a->id = r->ident.id;
	memcpy(a->name, r->ident.name, sizeof(a->name));
	a->out_schema = r->schema;
	a->out_hash_size = sizeof(struct kvbm_hash);
	a->out_mode = r->ident.mode;
	a->out_uid = from_kuid_munged(ns, r->ident.uid);
	a->out_gid = from_kgid_munged(ns, r->ident.gid);
	a->out_managers = r->nr_managers;
	a->out_capacity = r->capacity;
	a->out_blocks = kvbm_registry_blocks(r->engine);
	a->out_entries = kvbm_registry_entries(r->engine);
	a->out_sketch_capacity = r->sketch_capacity;
	kvbm_event_stats(kvbm_registry_events(r->engine), &a->out_events);
	mutex_unlock(&kvbm_objects_lock);
	return kvbm_call_put(call);
}

/**
 * kvbm_registry_list - ioctl(KVBM_REGISTRY_LIST)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0, -EFAULT, -ENOMEM.
 */
int kvbm_registry_list(struct kvbm_file *file, struct kvbm_call *call)
{
	return kvbm_list_ids(call, &registries, NULL);
}

/**
 * kvbm_registry_destroy - ioctl(KVBM_REGISTRY_DESTROY)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0, -ENOENT, -EPERM, -EBUSY.
 */
int kvbm_registry_destroy(struct kvbm_file *file, struct kvbm_call *call)
{
	const struct kvbm_destroy *a = &call->arg->destroy;
	struct kvbm_registry_object *r;
	int err = 0;

	mutex_lock(&kvbm_objects_lock);
	r = kvbm_registry_find(a->id, NULL);
	if (!r)
		err = -ENOENT;
	else if (!kvbm_is_owner(&r->ident))
		err = -EPERM;
	else if (r->nr_managers)
		err = -EBUSY;
	else
		unlink(r);
	mutex_unlock(&kvbm_objects_lock);
	if (!err) {
		kvbm_events_end(r);
		kvbm_registry_put(r);
	}
	return err;
}

/**
 * kvbm_registry_next - for walks over all
 * @id: of the registry, or of the last one before it
 *
 * Context: may sleep.
 * Return: the registry with the lowest id that is not below @id, referenced, or
 * NULL.
 */
struct kvbm_registry_object *kvbm_registry_next(u64 id)
{
	struct kvbm_registry_object *r = NULL;
	unsigned long index = id;

	if (id > ULONG_MAX)
		return NULL;
	mutex_lock(&kvbm_objects_lock);
	r = xa_find(&registries, &index, ULONG_MAX, XA_PRESENT);
	if (r)
		kvbm_registry_get(r);
	mutex_unlock(&kvbm_objects_lock);
	return r;
}

/**
 * kvbm_file_registry - the registry that a call is about
 * @file: any
 * @id: the registry; 0 for that of the manager the file is bound to
 * @mode: KVBM_MODE_* that the caller must have on it
 * @out: the registry, referenced
 * @live: out, which stores of it belong to managers that were not ended
 *
 * Context: may sleep.
 * Return: 0, -ENOENT, -ENOTCONN, -EACCES.
 */
int kvbm_file_registry(struct kvbm_file *file, u64 id, unsigned int mode,
		       struct kvbm_registry_object **out, u64 *live)
{
	struct kvbm_registry_object *r;
	struct kvbm_manager *m;
	int err = 0;

	mutex_lock(&kvbm_objects_lock);
	if (id) {
		r = kvbm_registry_find(id, NULL);
		err = r ? 0 : -ENOENT;
	} else {
		m = kvbm_file_manager(file);
		r = m ? m->registry : NULL;
		err = m ? 0 : -ENOTCONN;
	}
	if (!err && !kvbm_may(&r->ident, mode))
		err = -EACCES;
	if (!err) {
		kvbm_registry_get(r);
		*out = r;
		*live = r->live;
	}
	mutex_unlock(&kvbm_objects_lock);
	return err;
}

/* The module goes: there are no managers, they hold a reference on it. */
void kvbm_registry_exit(void)
{
	struct kvbm_registry_object *r;
	unsigned long index;

	xa_for_each(&registries, index, r) {
		xa_erase(&registries, index);
		kvbm_registry_put(r);
	}
	xa_destroy(&registries);
}
