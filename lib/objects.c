// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Registries and managers.
 */
#include <stdlib.h>
#include <string.h>

#include "backend.h"

/* Owner and group may read and write. */
#define DEFAULT_MODE		0660
#define DEFAULT_CAPACITY	(1U << 20)
#define DEFAULT_BLOCK_SIZE	16
/* Ids asked for at a time. */
#define LIST_STEP		256

/* A name that is too long stays without its end, and is refused by the call. */
static void set_name(char *to, const char *name)
{
	memcpy(to, name, strnlen(name, KVBM_NAME_SIZE));
}

void kvbm_registry_attr_init(struct kvbm_registry_create *attr, const char *name)
{
	memset(attr, 0, sizeof(*attr));
	attr->size = sizeof(*attr);
	set_name(attr->name, name);
	attr->mode = DEFAULT_MODE;
	attr->uid = KVBM_ID_CALLER;
	attr->gid = KVBM_ID_CALLER;
	attr->capacity = DEFAULT_CAPACITY;
}

void kvbm_manager_attr_init(struct kvbm_manager_create *attr, uint64_t registry,
			    const char *name, uint32_t block_count)
{
	memset(attr, 0, sizeof(*attr));
	attr->size = sizeof(*attr);
	attr->registry = registry;
	set_name(attr->name, name);
	attr->tier = KVBM_TIER_G1;
	attr->block_size = DEFAULT_BLOCK_SIZE;
	attr->block_count = block_count;
	attr->mode = DEFAULT_MODE;
	attr->uid = KVBM_ID_CALLER;
	attr->gid = KVBM_ID_CALLER;
	attr->linger_ms = KVBM_LINGER_FOREVER;
}

int kvbm_create_registry(struct kvbm *kvbm, const struct kvbm_registry_create *attr,
			 uint64_t *id)
{
	struct kvbm_registry_create a = *attr;
	int err;

	a.size = sizeof(a);
	err = kvbm_conn_call(kvbm->conn, KVBM_REGISTRY_CREATE, &a);
	if (!err && id)
		*id = a.out_id;
	return err;
}

int kvbm_create_manager(struct kvbm *kvbm, const struct kvbm_manager_create *attr,
			uint64_t *id)
{
	struct kvbm_manager_create a = *attr;
	int err;

	if (a.bind_flags)
		return -EINVAL;
	a.size = sizeof(a);
	err = kvbm_conn_call(kvbm->conn, KVBM_MANAGER_CREATE, &a);
	if (!err && id)
		*id = a.out_id;
	return err;
}

static int query_registry(struct kvbm *kvbm, struct kvbm_registry_query *q)
{
	q->size = sizeof(*q);
	return kvbm_conn_call(kvbm->conn, KVBM_REGISTRY_QUERY, q);
}

int kvbm_find_registry(struct kvbm *kvbm, const char *name,
		       struct kvbm_registry_query *out)
{
	memset(out, 0, sizeof(*out));
	set_name(out->name, name);
	return query_registry(kvbm, out);
}

int kvbm_query_registry(struct kvbm *kvbm, uint64_t id,
			struct kvbm_registry_query *out)
{
	/* To the ABI, 0 and an empty name are no question. */
	if (!id)
		return -ENOENT;
	memset(out, 0, sizeof(*out));
	out->id = id;
	return query_registry(kvbm, out);
}

static int query_manager(struct kvbm *kvbm, struct kvbm_manager_query *q)
{
	q->size = sizeof(*q);
	return kvbm_conn_call(kvbm->conn, KVBM_MANAGER_QUERY, q);
}

int kvbm_find_manager(struct kvbm *kvbm, const char *name,
		      struct kvbm_manager_query *out)
{
	const char *colon = strchr(name, ':');
	struct kvbm_registry_query registry = { 0 };
	int err;

	if (!colon || colon - name >= KVBM_NAME_SIZE || !colon[1])
		return -EINVAL;
	memcpy(registry.name, name, colon - name);
	err = query_registry(kvbm, &registry);
	if (err)
		return err;
	memset(out, 0, sizeof(*out));
	out->registry = registry.id;
	set_name(out->name, colon + 1);
	return query_manager(kvbm, out);
}

int kvbm_query_manager(struct kvbm *kvbm, uint64_t id,
		       struct kvbm_manager_query *out)
{
	/* To the ABI, 0 is the manager that the file is bound to. */
	if (!id)
		return -ENOENT;
	memset(out, 0, sizeof(*out));
	out->id = id;
	return query_manager(kvbm, out);
}

static ssize_t list(struct kvbm *kvbm, uint32_t cmd, uint64_t registry,
		    uint64_t **ids)
{
	struct kvbm_list a = { .size = sizeof(a), .registry = registry };
	uint64_t *all = NULL, *more;
	size_t n = 0;
	int err;

	do {
		more = realloc(all, (n + LIST_STEP) * sizeof(*all));
		if (!more) {
			free(all);
			return -ENOMEM;
		}
		all = more;
		a.after = n ? all[n - 1] : 0;
		a.ids = kvbm_ptr(all + n);
		a.count = LIST_STEP;
		err = kvbm_conn_call(kvbm->conn, cmd, &a);
		if (err) {
			free(all);
			return err;
		}
		n += a.out_count;
	} while (a.out_count == LIST_STEP);
	*ids = all;
	return n;
}

ssize_t kvbm_list_registries(struct kvbm *kvbm, uint64_t **ids)
{
	return list(kvbm, KVBM_REGISTRY_LIST, 0, ids);
}

ssize_t kvbm_list_managers(struct kvbm *kvbm, uint64_t registry, uint64_t **ids)
{
	return list(kvbm, KVBM_MANAGER_LIST, registry, ids);
}

int kvbm_destroy_registry(struct kvbm *kvbm, uint64_t id)
{
	struct kvbm_destroy a = { .size = sizeof(a), .id = id };

	return kvbm_conn_call(kvbm->conn, KVBM_REGISTRY_DESTROY, &a);
}

int kvbm_destroy_manager(struct kvbm *kvbm, uint64_t id, bool force)
{
	struct kvbm_destroy a = {
		.size = sizeof(a),
		.flags = force ? KVBM_DESTROY_FORCE : 0,
		.id = id,
	};

	return kvbm_conn_call(kvbm->conn, KVBM_MANAGER_DESTROY, &a);
}

/* @id may be 0 on a bound connection. */
static int counters(struct kvbm_conn *conn, uint64_t id, struct kvbm_counters *out)
{
	struct kvbm_manager_stats a = { .size = sizeof(a), .id = id };
	int err = kvbm_conn_call(conn, KVBM_MANAGER_STATS, &a);

	if (!err)
		*out = a.out;
	return err;
}

static int verify(struct kvbm_conn *conn, uint64_t id,
		  struct kvbm_check_result *out)
{
	struct kvbm_manager_check a = { .size = sizeof(a), .id = id };
	int err = kvbm_conn_call(conn, KVBM_MANAGER_CHECK, &a);

	if (!err)
		*out = a.out;
	return err;
}

int kvbm_manager_counters(struct kvbm *kvbm, uint64_t id, struct kvbm_counters *out)
{
	return id ? counters(kvbm->conn, id, out) : -ENOENT;
}

int kvbm_manager_verify(struct kvbm *kvbm, uint64_t id,
			struct kvbm_check_result *out)
{
	return id ? verify(kvbm->conn, id, out) : -ENOENT;
}

int kvbm_session_counters(struct kvbm_session *session, struct kvbm_counters *out)
{
	return counters(session->conn, 0, out);
}

int kvbm_session_verify(struct kvbm_session *session,
			struct kvbm_check_result *out)
{
	return verify(session->conn, 0, out);
}

static ssize_t dump(struct kvbm_conn *conn, uint64_t id, uint32_t start, size_t n,
		    struct kvbm_slot_info *slots)
{
	struct kvbm_manager_dump a = {
		.size = sizeof(a),
		.id = id,
		.slots = kvbm_ptr(slots),
		.start = start,
		.count = n,
	};
	int err;

	if (n > KVBM_MAX_BATCH)
		return -EINVAL;
	err = kvbm_conn_call(conn, KVBM_MANAGER_DUMP, &a);
	if (err)
		return err;
	return a.out_count;
}

ssize_t kvbm_manager_dump(struct kvbm *kvbm, uint64_t id, uint32_t start, size_t n,
			  struct kvbm_slot_info *slots)
{
	return id ? dump(kvbm->conn, id, start, n, slots) : -ENOENT;
}

ssize_t kvbm_session_dump(struct kvbm_session *session, uint32_t start, size_t n,
			  struct kvbm_slot_info *slots)
{
	return dump(session->conn, 0, start, n, slots);
}

ssize_t kvbm_manager_sessions(struct kvbm *kvbm, uint64_t id, uint64_t after,
			      size_t n, struct kvbm_session_info *sessions)
{
	struct kvbm_manager_sessions a = {
		.size = sizeof(a),
		.id = id,
		.after = after,
		.sessions = kvbm_ptr(sessions),
		.count = n,
	};
	int err;

	if (n > KVBM_MAX_BATCH)
		return -EINVAL;
	/* To the ABI, 0 is the manager that the file is bound to. */
	err = id ? kvbm_conn_call(kvbm->conn, KVBM_MANAGER_SESSIONS, &a) : -ENOENT;
	if (err)
		return err;
	return a.out_count;
}

static int presence(struct kvbm_conn *conn, uint64_t registry, size_t n,
		    const struct kvbm_hash *hashes, size_t nr_managers,
		    const uint64_t *managers, uint64_t *masks)
{
	struct kvbm_presence a = {
		.size = sizeof(a),
		.registry = registry,
		.hashes = kvbm_ptr(hashes),
		.managers = kvbm_ptr(managers),
		.out_masks = kvbm_ptr(masks),
		.count = n,
		.nr_managers = nr_managers,
	};

	if (n > KVBM_MAX_BATCH || nr_managers > KVBM_MAX_REGISTRY_MANAGERS)
		return -EINVAL;
	return kvbm_conn_call(conn, KVBM_PRESENCE, &a);
}

int kvbm_presence(struct kvbm *kvbm, uint64_t registry, size_t n,
		  const struct kvbm_hash *hashes, size_t nr_managers,
		  const uint64_t *managers, uint64_t *masks)
{
	/* To the ABI, 0 is that of the manager that the file is bound to. */
	if (!registry)
		return -ENOENT;
	return presence(kvbm->conn, registry, n, hashes, nr_managers, managers,
			masks);
}

int kvbm_session_presence(struct kvbm_session *session, size_t n,
			  const struct kvbm_hash *hashes, size_t nr_managers,
			  const uint64_t *managers, uint64_t *masks)
{
	return presence(session->conn, 0, n, hashes, nr_managers, managers, masks);
}
