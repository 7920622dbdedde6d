// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Registries and managers of the in-process backend: what kmod/registry.c and
 * kmod/manager.c are to the module. One process is one user here, so there are
 * no rights, no limits and no charges.
 */
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "abi.h"
#include "engine/events.h"
#include "inproc.h"

/**
 * struct kvbm_ns - what one kvbm_open("inproc:") made
 * @lock: protects all below
 * @refs: files, and pins of registries
 * @last_id: given to a registry, a manager or a session
 * @registries: those that have a name
 * @managers: those that have a name
 */
struct kvbm_ns {
	struct mutex lock;	/* of all below */
	u32 refs;
	u64 last_id;
	struct kvbm_ns_registry *registries;
	struct kvbm_ns_manager *managers;
};

u64 kvbm_ns_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

#define NS_PER_MS	1000000ULL

static struct kvbm_ns_registry **registry_link(struct kvbm_ns *ns, u64 id)
{
	struct kvbm_ns_registry **link = &ns->registries;

	lockdep_assert_held(&ns->lock);
	while (*link && (*link)->id != id)
		link = &(*link)->next;
	return link;
}

static struct kvbm_ns_registry *registry_named(struct kvbm_ns *ns, const char *name)
{
	struct kvbm_ns_registry *r = ns->registries;

	lockdep_assert_held(&ns->lock);
	while (r && strncmp(r->attr.name, name, KVBM_NAME_SIZE))
		r = r->next;
	return r;
}

static void registry_put(struct kvbm_ns_registry *r)
{
	if (--r->refs)
		return;
	kvbm_handles_free(r->handles);
	kvbm_registry_free(r->engine);
	mutex_destroy(&r->sources_lock);
	free(r);
}

static struct kvbm_ns_manager **manager_link(struct kvbm_ns *ns, u64 id)
{
	struct kvbm_ns_manager **link = &ns->managers;

	lockdep_assert_held(&ns->lock);
	while (*link && (*link)->id != id)
		link = &(*link)->next;
	return link;
}

static struct kvbm_ns_manager *manager_named(struct kvbm_ns *ns, u64 registry,
					     const char *name)
{
	struct kvbm_ns_manager *m = ns->managers;

	lockdep_assert_held(&ns->lock);
	while (m && (m->attr.registry != registry ||
		     strncmp(m->attr.name, name, KVBM_NAME_SIZE)))
		m = m->next;
	return m;
}

static void manager_put(struct kvbm_ns *ns, struct kvbm_ns_manager *m)
{
	lockdep_assert_held(&ns->lock);
	if (--m->refs)
		return;
	kvbm_store_free(m->store);
	registry_put(m->registry);
	free(m);
}

/* The name is free, the number is not found any more. */
static void manager_unlink(struct kvbm_ns *ns, struct kvbm_ns_manager **link)
{
	struct kvbm_ns_manager *m = *link;

	*link = m->next;
	m->registry->managers--;
	m->registry->live &= ~(1ULL << kvbm_store_bit(m->store));
	manager_put(ns, m);
}

/* It may have had its last session or pin. */
static void manager_idle(struct kvbm_ns *ns, struct kvbm_ns_manager *m)
{
	struct kvbm_ns_manager **link = manager_link(ns, m->id);
	u32 linger_ms = m->attr.linger_ms;

	if (m->sessions || m->pins || !*link || linger_ms == KVBM_LINGER_FOREVER)
		return;
	if (linger_ms) {
		m->ends_ns = kvbm_ns_clock() + linger_ms * NS_PER_MS;
		return;
	}
	kvbm_store_shutdown(m->store, true);
	manager_unlink(ns, link);
}

/*
 * For every call that looks for registries or managers: nothing that should
 * have ended is found, though nobody was there to end it in time.
 */
static void ns_lock(struct kvbm_ns *ns)
{
	struct kvbm_ns_manager **link = &ns->managers;
	u64 now = kvbm_ns_clock();

	mutex_lock(&ns->lock);
	while (*link) {
		struct kvbm_ns_manager *m = *link;

		if (m->ends_ns && m->ends_ns <= now) {
			kvbm_store_shutdown(m->store, true);
			manager_unlink(ns, link);
		} else {
			link = &m->next;
		}
	}
}

static void registry_unlink(struct kvbm_ns_registry **link)
{
	struct kvbm_ns_registry *r = *link;

	*link = r->next;
	kvbm_ns_events_end(r);
	registry_put(r);
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
			manager_unlink(ns, &ns->managers);
		while (ns->registries)
			registry_unlink(&ns->registries);
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

	ns_lock(ns);
	m = *manager_link(ns, id);
	if (m)
		m->refs++;
	mutex_unlock(&ns->lock);
	return m;
}

void kvbm_ns_manager_put(struct kvbm_ns *ns, struct kvbm_ns_manager *m)
{
	mutex_lock(&ns->lock);
	manager_put(ns, m);
	mutex_unlock(&ns->lock);
}

struct kvbm_ns_registry *kvbm_ns_registry_get(struct kvbm_ns *ns, u64 id)
{
	struct kvbm_ns_registry *r;

	ns_lock(ns);
	r = *registry_link(ns, id);
	if (r)
		r->refs++;
	mutex_unlock(&ns->lock);
	return r;
}

void kvbm_ns_registry_put(struct kvbm_ns *ns, struct kvbm_ns_registry *r)
{
	mutex_lock(&ns->lock);
	registry_put(r);
	mutex_unlock(&ns->lock);
}

struct kvbm_ns_manager *kvbm_ns_manager_next(struct kvbm_ns *ns,
					     const struct kvbm_ns_registry *r, u64 id)
{
	struct kvbm_ns_manager *m;

	ns_lock(ns);
	m = ns->managers;
	while (m && (m->id < id || m->registry != r))
		m = m->next;
	if (m)
		m->refs++;
	mutex_unlock(&ns->lock);
	return m;
}

static void count_session(struct kvbm_ns *ns, struct kvbm_ns_manager *m)
{
	lockdep_assert_held(&ns->lock);
	m->refs++;
	m->sessions++;
	m->ends_ns = 0;
}

struct kvbm_ns_manager *kvbm_ns_bind(struct kvbm_ns *ns, u64 id)
{
	struct kvbm_ns_manager *m;

	ns_lock(ns);
	m = *manager_link(ns, id);
	if (m && m->attr.flags & KVBM_MANAGER_ANONYMOUS)
		m = NULL;
	if (m)
		count_session(ns, m);
	mutex_unlock(&ns->lock);
	return m;
}

void kvbm_ns_bind_again(struct kvbm_ns *ns, struct kvbm_ns_manager *m)
{
	mutex_lock(&ns->lock);
	count_session(ns, m);
	mutex_unlock(&ns->lock);
}

void kvbm_ns_unbind(struct kvbm_ns *ns, struct kvbm_ns_manager *m)
{
	mutex_lock(&ns->lock);
	m->sessions--;
	manager_idle(ns, m);
	manager_put(ns, m);
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
	manager_put(ns, m);
	mutex_unlock(&ns->lock);
}

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

static void set_owner(u32 *uid, u32 *gid)
{
	if (*uid == KVBM_ID_CALLER)
		*uid = geteuid();
	if (*gid == KVBM_ID_CALLER)
		*gid = getegid();
}

int kvbm_ns_registry_create(struct kvbm_ns *ns, struct kvbm_registry_create *a)
{
	struct kvbm_ns_registry *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->attr = *a;
	set_owner(&r->attr.uid, &r->attr.gid);
	r->refs = 1;

	ns_lock(ns);
	err = -EEXIST;
	if (registry_named(ns, a->name))
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
	*registry_link(ns, r->id) = r;
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

	ns_lock(ns);
	r = a->id ? *registry_link(ns, a->id) : registry_named(ns, a->name);
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

/* One more id for a list, if it is wanted. Return: whether there is room. */
static bool list_add(struct kvbm_list *a, u64 id)
{
	u64 *ids = kvbm_user(a->ids);

	if (id > a->after)
		ids[a->out_count++] = id;
	return a->out_count < a->count;
}

int kvbm_ns_registry_list(struct kvbm_ns *ns, struct kvbm_list *a)
{
	struct kvbm_ns_registry *r;

	a->out_count = 0;
	if (!a->ids)
		return -EFAULT;
	ns_lock(ns);
	for (r = ns->registries; r; r = r->next)
		if (!list_add(a, r->id))
			break;
	mutex_unlock(&ns->lock);
	return 0;
}

int kvbm_ns_registry_destroy(struct kvbm_ns *ns, const struct kvbm_destroy *a)
{
	struct kvbm_ns_registry **link;
	int err = 0;

	ns_lock(ns);
	link = registry_link(ns, a->id);
	if (!*link)
		err = -ENOENT;
	else if ((*link)->managers)
		err = -EBUSY;
	else
		registry_unlink(link);
	mutex_unlock(&ns->lock);
	return err;
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
	set_owner(&m->attr.uid, &m->attr.gid);
	m->refs = 1;

	ns_lock(ns);
	err = -ENOENT;
	r = *registry_link(ns, a->registry);
	if (!r)
		goto err_unlock;
	err = -EEXIST;
	if (!anonymous && manager_named(ns, a->registry, a->name))
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
	*manager_link(ns, m->id) = m;
	if (a->bind_flags) {
		count_session(ns, m);
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

	a->id = m->id;
	a->registry = m->registry->id;
	memcpy(a->name, m->attr.name, sizeof(a->name));
	a->out_flags = m->attr.flags;
	a->out_tier = m->attr.tier;
	a->out_block_size = config->block_size;
	a->out_block_count = config->block_count;
	a->out_nr_reserved = config->nr_reserved;
	a->out_duplication = config->duplication;
	a->out_policy = config->policy;
	memcpy(a->out_policy_args, config->policy_args, sizeof(a->out_policy_args));
	a->out_aux_size = config->aux_size;
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

	ns_lock(ns);
	if (a->id) {
		m = *manager_link(ns, a->id);
	} else if (a->registry) {
		m = manager_named(ns, a->registry, a->name);
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
	ns_lock(ns);
	if (a->registry && !*registry_link(ns, a->registry)) {
		err = -ENOENT;
		goto unlock;
	}
	err = -EFAULT;
	if (!a->ids)
		goto unlock;
	err = 0;
	for (m = ns->managers; m; m = m->next)
		if (!a->registry || m->registry->id == a->registry)
			if (!list_add(a, m->id))
				break;
unlock:
	mutex_unlock(&ns->lock);
	return err;
}

int kvbm_ns_manager_destroy(struct kvbm_ns *ns, const struct kvbm_destroy *a)
{
	struct kvbm_ns_manager **link;
	int err = -ENOENT;

	ns_lock(ns);
	link = manager_link(ns, a->id);
	if (*link)
		err = kvbm_store_shutdown((*link)->store,
					  a->flags & KVBM_DESTROY_FORCE);
	if (!err)
		manager_unlink(ns, link);
	mutex_unlock(&ns->lock);
	return err;
}

/*
 * The managers of a call, referenced: their bits are theirs for so long.
 */
static int get_members(struct kvbm_ns *ns, const struct kvbm_ns_registry *r,
		       const u64 *ids, u32 count, struct kvbm_ns_manager **members)
{
	u32 i;

	lockdep_assert_held(&ns->lock);
	for (i = 0; i < count; i++) {
		members[i] = *manager_link(ns, ids[i]);
		if (!members[i] || members[i]->registry != r)
			break;
		members[i]->refs++;
	}
	if (i == count)
		return 0;
	while (i--)
		manager_put(ns, members[i]);
	return -ENOENT;
}

/* From bits of stores to bits of the list that the caller gave. */
static u64 mask_of(u64 present, struct kvbm_ns_manager *const *members, u32 count)
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

/* The registry that a call is about, referenced. */
static int get_registry(struct kvbm_ns *ns, struct kvbm_ns_manager *bound, uint64_t id,
			struct kvbm_ns_registry **out)
{
	struct kvbm_ns_registry *r = bound ? bound->registry : NULL;

	ns_lock(ns);
	if (id)
		r = *registry_link(ns, id);
	if (r)
		r->refs++;
	mutex_unlock(&ns->lock);
	*out = r;
	return r ? 0 : id ? -ENOENT : -ENOTCONN;
}

static void put_registry(struct kvbm_ns *ns, struct kvbm_ns_registry *r)
{
	mutex_lock(&ns->lock);
	registry_put(r);
	mutex_unlock(&ns->lock);
}

int kvbm_ns_registry_find(struct kvbm_ns *ns, u64 id, struct kvbm_ns_registry **out)
{
	int err = get_registry(ns, NULL, id, out);

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
	put_registry(ns, r);
	kvbm_ns_put(ns);
}

bool kvbm_ns_registry_is_named(struct kvbm_ns *ns, u64 id,
			       const struct kvbm_ns_registry *r)
{
	bool same;

	mutex_lock(&ns->lock);
	same = *registry_link(ns, id) == r;
	mutex_unlock(&ns->lock);
	return same;
}

struct kvbm_handles *kvbm_ns_registry_handles(const struct kvbm_ns_registry *r)
{
	return r->handles;
}

int kvbm_ns_registry_attach(struct kvbm_ns_registry *r, const struct kvbm_attach *a)
{
	if (kvbm_user_bad(a->data, a->len))
		return -EFAULT;
	return kvbm_registry_attach(r->engine, &a->hash, a->type, a->mode,
				    kvbm_user(a->data), a->len);
}

int kvbm_ns_registry_attachments(struct kvbm_ns_registry *r,
				 struct kvbm_attachments *a)
{
	struct kvbm_attached out = {
		.buf = kvbm_user(a->buf),
		.size = a->buf_size,
	};
	int err;

	if (kvbm_user_bad(a->buf, a->buf_size))
		return -EFAULT;
	err = kvbm_registry_read_attached(r->engine, &a->hash, a->type, &out);
	a->out_count = out.count;
	a->out_total = out.total;
	a->out_needed = out.needed;
	return err;
}

int kvbm_ns_attach(struct kvbm_ns *ns, struct kvbm_ns_manager *bound,
		   const struct kvbm_attach *a)
{
	struct kvbm_ns_registry *r;
	int err;

	if (kvbm_user_bad(a->data, a->len))
		return -EFAULT;
	err = get_registry(ns, bound, a->registry, &r);
	if (err)
		return err;
	err = kvbm_ns_registry_attach(r, a);
	put_registry(ns, r);
	return err;
}

int kvbm_ns_attachments(struct kvbm_ns *ns, struct kvbm_ns_manager *bound,
			struct kvbm_attachments *a)
{
	struct kvbm_ns_registry *r;
	int err;

	if (kvbm_user_bad(a->buf, a->buf_size))
		return -EFAULT;
	err = get_registry(ns, bound, a->registry, &r);
	if (err)
		return err;
	err = kvbm_ns_registry_attachments(r, a);
	put_registry(ns, r);
	return err;
}

int kvbm_ns_frequency(struct kvbm_ns *ns, struct kvbm_ns_manager *bound,
		      const struct kvbm_frequency *a)
{
	const struct kvbm_hash *hashes = kvbm_user(a->hashes);
	u8 *counts = kvbm_user(a->out_counts);
	struct kvbm_ns_registry *r;
	u32 i;
	int err;

	if (kvbm_user_bad(a->hashes, a->count) || kvbm_user_bad(a->out_counts, a->count))
		return -EFAULT;
	err = get_registry(ns, bound, a->registry, &r);
	if (err)
		return err;
	for (i = 0; i < a->count; i++) {
		if (a->flags & KVBM_FREQUENCY_TOUCH)
			kvbm_registry_touch(r->engine, &hashes[i]);
		counts[i] = kvbm_registry_frequency(r->engine, &hashes[i]);
	}
	put_registry(ns, r);
	return 0;
}

/* The registry that a call is about, referenced, and its managers. */
static int get_presence(struct kvbm_ns *ns, struct kvbm_ns_manager *bound,
			const struct kvbm_presence *a, struct kvbm_ns_registry **out,
			struct kvbm_ns_manager **members)
{
	struct kvbm_ns_registry *r = bound ? bound->registry : NULL;
	int err;

	lockdep_assert_held(&ns->lock);
	if (a->registry)
		r = *registry_link(ns, a->registry);
	if (!r)
		return a->registry ? -ENOENT : -ENOTCONN;
	if (kvbm_user_bad(a->hashes, a->count) ||
	    kvbm_user_bad(a->managers, a->nr_managers) ||
	    kvbm_user_bad(a->out_masks, a->count))
		return -EFAULT;
	err = get_members(ns, r, kvbm_user(a->managers), a->nr_managers, members);
	if (err)
		return err;
	r->refs++;
	*out = r;
	return 0;
}

int kvbm_ns_presence(struct kvbm_ns *ns, struct kvbm_ns_manager *bound,
		     const struct kvbm_presence *a)
{
	struct kvbm_ns_manager *members[KVBM_MAX_REGISTRY_MANAGERS];
	const struct kvbm_hash *hashes = kvbm_user(a->hashes);
	u64 *masks = kvbm_user(a->out_masks);
	struct kvbm_ns_registry *r;
	u64 live = 0;
	u32 i;
	int err;

	ns_lock(ns);
	err = get_presence(ns, bound, a, &r, members);
	if (!err)
		live = r->live;
	mutex_unlock(&ns->lock);
	if (err)
		return err;
	for (i = 0; i < a->count; i++) {
		u64 present = live & kvbm_registry_presence(r->engine, &hashes[i]);

		masks[i] = mask_of(present, members, a->nr_managers);
	}
	mutex_lock(&ns->lock);
	for (i = 0; i < a->nr_managers; i++)
		manager_put(ns, members[i]);
	registry_put(r);
	mutex_unlock(&ns->lock);
	return 0;
}
