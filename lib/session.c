// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Sessions begin and end, and what can be asked of them as such.
 */
#include <stdlib.h>
#include <string.h>

#include "backend.h"

/* As the ABI wants them; those of the library are taken out. */
static int bind_flags(uint32_t flags, uint32_t *out)
{
	if (flags & KVBM_BIND_SHARED && flags & KVBM_BIND_OWNED)
		return -EINVAL;
	if (!(flags & (KVBM_BIND_READ | KVBM_BIND_WRITE)))
		flags |= KVBM_BIND_READ | KVBM_BIND_WRITE;
	if (flags & KVBM_BIND_SHARED)
		flags &= ~KVBM_BIND_SHARED;
	else
		flags |= KVBM_BIND_OWNED;
	*out = flags;
	return 0;
}

int kvbm_session_query(struct kvbm_session *session, struct kvbm_manager_query *out)
{
	/* By neither id nor name: the one that this file is bound to. */
	memset(out, 0, sizeof(*out));
	out->size = sizeof(*out);
	return kvbm_conn_call(session->conn, KVBM_MANAGER_QUERY, out);
}

/* What a new session keeps of its manager. */
static int learn(struct kvbm_session *session)
{
	struct kvbm_manager_query q;
	int err = kvbm_session_query(session, &q);

	if (err)
		return err;
	session->block_size = q.out_block_size;
	session->block_count = q.out_block_count;
	session->aux_size = q.out_aux_size;
	return 0;
}

/* A session that is not bound yet. */
static int prepare(struct kvbm *kvbm, struct kvbm_session **out)
{
	struct kvbm_session *session = malloc(sizeof(*session));
	int err;

	if (!session)
		return -ENOMEM;
	err = kvbm_conn_reopen(kvbm->conn, &session->conn);
	if (err) {
		free(session);
		return err;
	}
	*out = session;
	return 0;
}

int kvbm_bind(struct kvbm *kvbm, uint64_t manager, uint32_t flags,
	      struct kvbm_session **out)
{
	struct kvbm_bind a = { .size = sizeof(a), .id = manager };
	struct kvbm_session *session;
	int err;

	err = bind_flags(flags, &a.flags);
	if (err)
		return err;
	err = prepare(kvbm, &session);
	if (err)
		return err;
	err = kvbm_conn_call(session->conn, KVBM_BIND, &a);
	if (!err)
		err = learn(session);
	if (err) {
		kvbm_session_close(session);
		return err;
	}
	*out = session;
	return 0;
}

int kvbm_create_manager_bound(struct kvbm *kvbm,
			      const struct kvbm_manager_create *attr,
			      uint32_t flags, uint64_t *id,
			      struct kvbm_session **out)
{
	struct kvbm_manager_create a = *attr;
	struct kvbm_session *session;
	int err;

	a.size = sizeof(a);
	err = bind_flags(flags, &a.bind_flags);
	if (err)
		return err;
	err = prepare(kvbm, &session);
	if (err)
		return err;
	err = kvbm_conn_call(session->conn, KVBM_MANAGER_CREATE, &a);
	if (!err)
		err = learn(session);
	if (err) {
		kvbm_session_close(session);
		return err;
	}
	if (id)
		*id = a.out_id;
	*out = session;
	return 0;
}

int kvbm_session_open(struct kvbm_session *session, uint32_t flags,
		      struct kvbm_session **out)
{
	struct kvbm_session *other;
	int err;

	err = bind_flags(flags, &flags);
	if (err)
		return err;
	other = malloc(sizeof(*other));
	if (!other)
		return -ENOMEM;
	*other = *session;
	err = kvbm_conn_open_session(session->conn, flags, &other->conn);
	if (err) {
		free(other);
		return err;
	}
	*out = other;
	return 0;
}

int kvbm_session_from_fd(int fd, struct kvbm_session **out)
{
	uint64_t epoch = kvbm_fork_epoch();
	struct kvbm_session *session;
	int err;

	if (!epoch)
		return -ENOMEM;
	session = malloc(sizeof(*session));
	if (!session)
		return -ENOMEM;
	err = kvbm_device_adopt(fd, &session->conn);
	if (err)
		goto err_free;
	session->conn->epoch = epoch;
	err = learn(session);
	if (err)
		goto err_disown;
	*out = session;
	return 0;

err_disown:
	kvbm_device_disown(session->conn);
err_free:
	free(session);
	return err;
}

void kvbm_session_close(struct kvbm_session *session)
{
	if (!session)
		return;
	kvbm_conn_close(session->conn);
	free(session);
}

int kvbm_session_fd(const struct kvbm_session *session)
{
	return session->conn->backend->fd(session->conn);
}

uint32_t kvbm_session_block_size(const struct kvbm_session *session)
{
	return session->block_size;
}

uint32_t kvbm_session_block_count(const struct kvbm_session *session)
{
	return session->block_count;
}

uint32_t kvbm_session_aux_size(const struct kvbm_session *session)
{
	return session->aux_size;
}

ssize_t kvbm_session_holdings(struct kvbm_session *session, uint32_t start,
			      size_t n, struct kvbm_held *held, size_t *total)
{
	struct kvbm_holdings a = {
		.size = sizeof(a),
		.start = start,
		.count = n,
		.held = kvbm_ptr(held),
	};
	int err;

	if (n > KVBM_MAX_BATCH)
		return -EINVAL;
	err = kvbm_conn_call(session->conn, KVBM_HOLDINGS, &a);
	if (err)
		return err;
	if (total)
		*total = a.out_total;
	return a.out_count;
}

int kvbm_session_set_threshold(struct kvbm_session *session, uint32_t blocks)
{
	struct kvbm_set_threshold a = { .size = sizeof(a), .blocks = blocks };

	return kvbm_conn_call(session->conn, KVBM_SET_THRESHOLD, &a);
}
