// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Registries of the in-process backend: what kmod/registry.c is to the module.
 * One process is one user here, so there are no rights, no limits and no charges.
 */
#include <stdlib.h>

#include "engine/events.h"
#include "inproc_ns.h"

int kvbm_ns_registry_create(struct kvbm_ns *ns, struct kvbm_registry_create *a)
{
	struct kvbm_ns_registry *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->attr = *a;
	kvbm_ns_set_owner(&r->attr.uid, &r->attr.gid);
	r->refs = 1;

	kvbm_ns_lock(ns);
	err = -EEXIST;
	if (kvbm_ns_registry_named(ns, a->name))
		goto err_unlock;
	err = kvbm_registry_alloc(a->capacity, a->schema, &r->engine);
	if (err)
		goto err_unlock;
	if (a->sketch_capacity) {
		err = kvbm_registry_add_sketch(r->engine, a->sketch_capacity);
		if (err)
			goto err_free_engine;
	}
	r->handles = kvbm_handles_alloc(r->engine, a->capacity);
	if (!r->handles) {
		err = -ENOMEM;
		goto err_free_engine;
	}
	kvbm_ns_events_init(r);
	r->id = ++ns->last_id;
	/* The link after the last: no registry has the new id. */
	*kvbm_ns_registry_link(ns, r->id) = r;
	mutex_unlock(&ns->lock);
	a->out_id = r->id;
	return 0;

err_free_engine:
	kvbm_registry_free(r->engine);
err_unlock:
	mutex_unlock(&ns->lock);
	free(r);
	return err;
}

int kvbm_ns_registry_query(struct kvbm_ns *ns, struct kvbm_registry_query *a)
{
	struct kvbm_ns_registry *r;

	kvbm_ns_lock(ns);
	r = a->id ? *kvbm_ns_registry_link(ns, a->id) : kvbm_ns_registry_named(ns, a->name);
	if (r) {
		a->id = r->id;
		memcpy(a->name, r->attr.name, sizeof(a->name));
		a->out_schema = r->attr.schema;
		a->out_hash_size = sizeof(struct kvbm_hash);
		a->out_mode = r->attr.mode;
		a->out_uid = r->attr.uid;
		a->out_gid = r->attr.gid;
		a->out_managers = r->managers;
		a->out_capacity = r->attr.capacity;
		a->out_blocks = kvbm_registry_blocks(r->engine);
		a->out_entries = kvbm_registry_entries(r->engine);
		a->out_sketch_capacity = r->attr.sketch_capacity;
		kvbm_event_stats(kvbm_registry_events(r->engine), &a->out_events);
	}
	mutex_unlock(&ns->lock);
	return r ? 0 : -ENOENT;
}

int kvbm_ns_registry_list(struct kvbm_ns *ns, struct kvbm_list *a)
{
	struct kvbm_ns_registry *r;

	a->out_count = 0;
	if (!a->ids)
		return -EFAULT;
	kvbm_ns_lock(ns);
	for (r = ns->registries; r; r = r->next)
		if (!kvbm_ns_list_add(a, r->id))
			break;
	mutex_unlock(&ns->lock);
	return 0;
}

int kvbm_ns_registry_destroy(struct kvbm_ns *ns, const struct kvbm_destroy *a)
{
	struct kvbm_ns_registry **link;
	int err = 0;

	kvbm_ns_lock(ns);
	link = kvbm_ns_registry_link(ns, a->id);
	if (!*link)
		err = -ENOENT;
	else if ((*link)->managers)
		err = -EBUSY;
	else
		kvbm_ns_registry_unlink(link);
	mutex_unlock(&ns->lock);
	return err;
}

int kvbm_ns_registry_of(struct kvbm_ns *ns, struct kvbm_ns_manager *bound, u64 id,
			struct kvbm_ns_registry **out)
{
	struct kvbm_ns_registry *r = bound ? bound->registry : NULL;

	kvbm_ns_lock(ns);
	if (id)
		r = *kvbm_ns_registry_link(ns, id);
	if (r)
		r->refs++;
	mutex_unlock(&ns->lock);
	*out = r;
	return r ? 0 : id ? -ENOENT : -ENOTCONN;
}

int kvbm_ns_registry_find(struct kvbm_ns *ns, u64 id, struct kvbm_ns_registry **out)
{
	int err = kvbm_ns_registry_of(ns, NULL, id, out);

	if (!err)
		kvbm_ns_get(ns);
	return err;
}

void kvbm_ns_registry_pin(struct kvbm_ns *ns, struct kvbm_ns_registry *r)
{
	mutex_lock(&ns->lock);
	r->refs++;
	ns->refs++;
	mutex_unlock(&ns->lock);
}

void kvbm_ns_registry_unpin(struct kvbm_ns *ns, struct kvbm_ns_registry *r)
{
	kvbm_ns_registry_put(ns, r);
	kvbm_ns_put(ns);
}

bool kvbm_ns_registry_is_named(struct kvbm_ns *ns, u64 id,
			       const struct kvbm_ns_registry *r)
{
	bool same;

	mutex_lock(&ns->lock);
	same = *kvbm_ns_registry_link(ns, id) == r;
	mutex_unlock(&ns->lock);
	return same;
}

struct kvbm_handles *kvbm_ns_registry_handles(const struct kvbm_ns_registry *r)
{
	return r->handles;
}
