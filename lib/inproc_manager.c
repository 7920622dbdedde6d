// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Managers of the in-process backend, and who has bound to them: what
 * kmod/manager.c and kmod/holders.c are to the module.
 */
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "abi.h"
#include "inproc_ns.h"

void kvbm_ns_enlist(struct kvbm_ns *ns, struct kvbm_ns_manager *m,
		    struct kvbm_ns_session *session)
{
	struct kvbm_ns_session **link = &m->bound;

	session->next = NULL;
	session->bound_ns = kvbm_ns_clock();
	mutex_lock(&ns->lock);
	session->id = ++ns->last_id;
	while (*link)
		link = &(*link)->next;
	*link = session;
	mutex_unlock(&ns->lock);
}

void kvbm_ns_delist(struct kvbm_ns *ns, struct kvbm_ns_manager *m,
		    struct kvbm_ns_session *session)
{
	struct kvbm_ns_session **link = &m->bound;

	mutex_lock(&ns->lock);
	while (*link != session)
		link = &(*link)->next;
	*link = session->next;
	mutex_unlock(&ns->lock);
}

static void fill_info(struct kvbm_session_info *info,
		      const struct kvbm_ns_session *session)
{
	struct kvbm_holder_sum sum;

	kvbm_holder_sum(session->holder, &sum);
	*info = (struct kvbm_session_info){
		.id = session->id,
		.pid = getpid(),
		.uid = geteuid(),
		.flags = session->flags,
		.blocks = sum.blocks,
		.guards = sum.guards,
		.oldest_ns = sum.oldest_ns,
		.bound_ns = session->bound_ns,
	};
	prctl(PR_GET_NAME, info->comm);
}

void kvbm_ns_sessions(struct kvbm_ns *ns, struct kvbm_ns_manager *m,
		      struct kvbm_manager_sessions *a)
{
	struct kvbm_session_info *infos = kvbm_user(a->sessions);
	const struct kvbm_ns_session *session;

	a->out_count = 0;
	mutex_lock(&ns->lock);
	for (session = m->bound; session; session = session->next) {
		if (a->out_count == a->count)
			break;
		if (session->id > a->after)
			fill_info(&infos[a->out_count++], session);
	}
	mutex_unlock(&ns->lock);
}

int kvbm_ns_manager_create(struct kvbm_ns *ns, struct kvbm_ns_manager **bound,
			   struct kvbm_manager_create *a)
{
	bool anonymous = a->flags & KVBM_MANAGER_ANONYMOUS;
	struct kvbm_store_config config;
	struct kvbm_ns_registry *r;
	struct kvbm_ns_manager *m;
	int err;

	kvbm_abi_store_config(&config, a);
	err = kvbm_store_config_check(&config);
	if (err)
		return err;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->attr = *a;
	kvbm_ns_set_owner(&m->attr.uid, &m->attr.gid);
	m->refs = 1;

	kvbm_ns_lock(ns);
	err = -ENOENT;
	r = *kvbm_ns_registry_link(ns, a->registry);
	if (!r)
		goto err_unlock;
	err = -EEXIST;
	if (!anonymous && kvbm_ns_manager_named(ns, a->registry, a->name))
		goto err_unlock;
	err = -EISCONN;
	if (a->bind_flags && *bound)
		goto err_unlock;
	err = kvbm_store_config_settle(&config, r->engine);
	if (err)
		goto err_unlock;
	err = kvbm_store_alloc(r->engine, &config, &m->store);
	if (err)
		goto err_unlock;
	r->refs++;
	r->managers++;
	r->live |= 1ULL << kvbm_store_bit(m->store);
	m->registry = r;
	m->created_ns = kvbm_ns_clock();
	m->id = ++ns->last_id;
	kvbm_store_publish(m->store, m->id, a->tier, NULL, NULL);
	kvbm_store_announce(m->store);
	*kvbm_ns_manager_link(ns, m->id) = m;
	if (a->bind_flags) {
		kvbm_ns_count_session(ns, m);
		*bound = m;
	}
	mutex_unlock(&ns->lock);
	a->out_id = m->id;
	return 0;

err_unlock:
	mutex_unlock(&ns->lock);
	free(m);
	return err;
}

static void fill_query(struct kvbm_manager_query *a, const struct kvbm_ns_manager *m)
{
	const struct kvbm_store_config *config = kvbm_store_config(m->store);

	kvbm_abi_query_config(a, config);
	a->id = m->id;
	a->registry = m->registry->id;
	memcpy(a->name, m->attr.name, sizeof(a->name));
	a->out_flags = m->attr.flags;
	a->out_tier = m->attr.tier;
	a->out_mode = m->attr.mode;
	a->out_uid = m->attr.uid;
	a->out_gid = m->attr.gid;
	a->out_linger_ms = m->attr.linger_ms;
	a->out_numa_node = m->attr.numa_node;
	a->out_sessions = m->sessions;
	a->out_pins = m->pins;
	a->out_segments = 0;
	a->out_bytes = kvbm_store_bytes(config);
	a->out_created_ns = m->created_ns;
}

int kvbm_ns_manager_query(struct kvbm_ns *ns, struct kvbm_ns_manager *bound,
			  struct kvbm_manager_query *a)
{
	struct kvbm_ns_manager *m;
	int err = -ENOENT;

	kvbm_ns_lock(ns);
	if (a->id) {
		m = *kvbm_ns_manager_link(ns, a->id);
	} else if (a->registry) {
		m = kvbm_ns_manager_named(ns, a->registry, a->name);
	} else {
		m = bound;
		err = -ENOTCONN;
	}
	if (m)
		fill_query(a, m);
	mutex_unlock(&ns->lock);
	return m ? 0 : err;
}

int kvbm_ns_manager_list(struct kvbm_ns *ns, struct kvbm_list *a)
{
	struct kvbm_ns_manager *m;
	int err = 0;

	a->out_count = 0;
	kvbm_ns_lock(ns);
	if (a->registry && !*kvbm_ns_registry_link(ns, a->registry)) {
		err = -ENOENT;
		goto unlock;
	}
	err = -EFAULT;
	if (!a->ids)
		goto unlock;
	err = 0;
	for (m = ns->managers; m; m = m->next)
		if (!a->registry || m->registry->id == a->registry)
			if (!kvbm_ns_list_add(a, m->id))
				break;
unlock:
	mutex_unlock(&ns->lock);
	return err;
}

int kvbm_ns_manager_destroy(struct kvbm_ns *ns, const struct kvbm_destroy *a)
{
	struct kvbm_ns_manager **link;
	int err = -ENOENT;

	kvbm_ns_lock(ns);
	link = kvbm_ns_manager_link(ns, a->id);
	if (*link)
		err = kvbm_store_shutdown((*link)->store,
					  a->flags & KVBM_DESTROY_FORCE);
	if (!err)
		kvbm_ns_manager_unlink(ns, link);
	mutex_unlock(&ns->lock);
	return err;
}
