// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The namespace of the in-process backend: which registries and managers there
 * are, and how long each lives.
 */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "inproc_ns.h"

u64 kvbm_ns_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

#define NS_PER_MS	1000000ULL

struct kvbm_ns_registry **kvbm_ns_registry_link(struct kvbm_ns *ns, u64 id)
{
	struct kvbm_ns_registry **link = &ns->registries;

	lockdep_assert_held(&ns->lock);
	while (*link && (*link)->id != id)
		link = &(*link)->next;
	return link;
}

struct kvbm_ns_registry *kvbm_ns_registry_named(struct kvbm_ns *ns, const char *name)
{
	struct kvbm_ns_registry *r = ns->registries;

	lockdep_assert_held(&ns->lock);
	while (r && strncmp(r->attr.name, name, KVBM_NAME_SIZE))
		r = r->next;
	return r;
}

void kvbm_ns_registry_drop(struct kvbm_ns_registry *r)
{
	if (--r->refs)
		return;
	kvbm_handles_free(r->handles);
	kvbm_registry_free(r->engine);
	mutex_destroy(&r->sources_lock);
	free(r);
}

struct kvbm_ns_manager **kvbm_ns_manager_link(struct kvbm_ns *ns, u64 id)
{
	struct kvbm_ns_manager **link = &ns->managers;

	lockdep_assert_held(&ns->lock);
	while (*link && (*link)->id != id)
		link = &(*link)->next;
	return link;
}

struct kvbm_ns_manager *kvbm_ns_manager_named(struct kvbm_ns *ns, u64 registry,
					      const char *name)
{
	struct kvbm_ns_manager *m = ns->managers;

	lockdep_assert_held(&ns->lock);
	while (m && (m->attr.registry != registry ||
		     strncmp(m->attr.name, name, KVBM_NAME_SIZE)))
		m = m->next;
	return m;
}

void kvbm_ns_manager_drop(struct kvbm_ns *ns, struct kvbm_ns_manager *m)
{
	lockdep_assert_held(&ns->lock);
	if (--m->refs)
		return;
	kvbm_store_free(m->store);
	kvbm_ns_registry_drop(m->registry);
	free(m);
}

void kvbm_ns_manager_unlink(struct kvbm_ns *ns, struct kvbm_ns_manager **link)
{
	struct kvbm_ns_manager *m = *link;

	*link = m->next;
	m->registry->managers--;
	m->registry->live &= ~(1ULL << kvbm_store_bit(m->store));
	kvbm_ns_manager_drop(ns, m);
}

/* It may have had its last session or pin. */
static void manager_idle(struct kvbm_ns *ns, struct kvbm_ns_manager *m)
{
	struct kvbm_ns_manager **link = kvbm_ns_manager_link(ns, m->id);
	u32 linger_ms = m->attr.linger_ms;

	if (m->sessions || m->pins || !*link || linger_ms == KVBM_LINGER_FOREVER)
		return;
	if (linger_ms) {
		m->ends_ns = kvbm_ns_clock() + linger_ms * NS_PER_MS;
		return;
	}
	kvbm_store_shutdown(m->store, true);
	kvbm_ns_manager_unlink(ns, link);
}

void kvbm_ns_lock(struct kvbm_ns *ns)
{
	struct kvbm_ns_manager **link = &ns->managers;
	u64 now = kvbm_ns_clock();

	mutex_lock(&ns->lock);
	while (*link) {
		struct kvbm_ns_manager *m = *link;

		if (m->ends_ns && m->ends_ns <= now) {
			kvbm_store_shutdown(m->store, true);
			kvbm_ns_manager_unlink(ns, link);
		} else {
			link = &m->next;
		}
	}
}

void kvbm_ns_registry_unlink(struct kvbm_ns_registry **link)
{
	struct kvbm_ns_registry *r = *link;

	*link = r->next;
	kvbm_ns_events_end(r);
	kvbm_ns_registry_drop(r);
}

struct kvbm_ns *kvbm_ns_alloc(void)
{
	struct kvbm_ns *ns = calloc(1, sizeof(*ns));

	if (!ns)
		return NULL;
	mutex_init(&ns->lock);
	ns->refs = 1;
	return ns;
}

struct kvbm_ns *kvbm_ns_get(struct kvbm_ns *ns)
{
	mutex_lock(&ns->lock);
	ns->refs++;
	mutex_unlock(&ns->lock);
	return ns;
}

void kvbm_ns_put(struct kvbm_ns *ns)
{
	bool last;

	mutex_lock(&ns->lock);
	last = !--ns->refs;
	if (last) {
		/* No file, so no session, and no pin: these are the last references. */
		while (ns->managers)
			kvbm_ns_manager_unlink(ns, &ns->managers);
		while (ns->registries)
			kvbm_ns_registry_unlink(&ns->registries);
	}
	mutex_unlock(&ns->lock);
	if (!last)
		return;
	mutex_destroy(&ns->lock);
	free(ns);
}

struct kvbm_ns_manager *kvbm_ns_manager_get(struct kvbm_ns *ns, u64 id)
{
	struct kvbm_ns_manager *m;

	kvbm_ns_lock(ns);
	m = *kvbm_ns_manager_link(ns, id);
	if (m)
		m->refs++;
	mutex_unlock(&ns->lock);
	return m;
}

void kvbm_ns_manager_put(struct kvbm_ns *ns, struct kvbm_ns_manager *m)
{
	mutex_lock(&ns->lock);
	kvbm_ns_manager_drop(ns, m);
	mutex_unlock(&ns->lock);
}

struct kvbm_ns_registry *kvbm_ns_registry_get(struct kvbm_ns *ns, u64 id)
{
	struct kvbm_ns_registry *r;

	kvbm_ns_lock(ns);
	r = *kvbm_ns_registry_link(ns, id);
	if (r)
		r->refs++;
	mutex_unlock(&ns->lock);
	return r;
}

void kvbm_ns_registry_put(struct kvbm_ns *ns, struct kvbm_ns_registry *r)
{
	mutex_lock(&ns->lock);
	kvbm_ns_registry_drop(r);
	mutex_unlock(&ns->lock);
}

struct kvbm_ns_manager *kvbm_ns_manager_next(struct kvbm_ns *ns,
					     const struct kvbm_ns_registry *r, u64 id)
{
	struct kvbm_ns_manager *m;

	kvbm_ns_lock(ns);
	m = ns->managers;
	while (m && (m->id < id || m->registry != r))
		m = m->next;
	if (m)
		m->refs++;
	mutex_unlock(&ns->lock);
	return m;
}

void kvbm_ns_count_session(struct kvbm_ns *ns, struct kvbm_ns_manager *m)
{
	lockdep_assert_held(&ns->lock);
	m->refs++;
	m->sessions++;
	m->ends_ns = 0;
}

struct kvbm_ns_manager *kvbm_ns_bind(struct kvbm_ns *ns, u64 id)
{
	struct kvbm_ns_manager *m;

	kvbm_ns_lock(ns);
	m = *kvbm_ns_manager_link(ns, id);
	if (m && m->attr.flags & KVBM_MANAGER_ANONYMOUS)
		m = NULL;
	if (m)
		kvbm_ns_count_session(ns, m);
	mutex_unlock(&ns->lock);
	return m;
}

void kvbm_ns_bind_again(struct kvbm_ns *ns, struct kvbm_ns_manager *m)
{
	mutex_lock(&ns->lock);
	kvbm_ns_count_session(ns, m);
	mutex_unlock(&ns->lock);
}

void kvbm_ns_unbind(struct kvbm_ns *ns, struct kvbm_ns_manager *m)
{
	mutex_lock(&ns->lock);
	m->sessions--;
	manager_idle(ns, m);
	kvbm_ns_manager_drop(ns, m);
	mutex_unlock(&ns->lock);
}

void kvbm_ns_add_pin(struct kvbm_ns *ns, struct kvbm_ns_manager *m)
{
	mutex_lock(&ns->lock);
	m->refs++;
	m->pins++;
	mutex_unlock(&ns->lock);
}

void kvbm_ns_remove_pin(struct kvbm_ns *ns, struct kvbm_ns_manager *m)
{
	mutex_lock(&ns->lock);
	m->pins--;
	manager_idle(ns, m);
	kvbm_ns_manager_drop(ns, m);
	mutex_unlock(&ns->lock);
}

void kvbm_ns_set_owner(u32 *uid, u32 *gid)
{
	if (*uid == KVBM_ID_CALLER)
		*uid = geteuid();
	if (*gid == KVBM_ID_CALLER)
		*gid = getegid();
}

bool kvbm_ns_list_add(struct kvbm_list *a, u64 id)
{
	u64 *ids = kvbm_user(a->ids);

	if (id > a->after)
		ids[a->out_count++] = id;
	return a->out_count < a->count;
}
