// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Quotas, and managers that change hands.
 */
#include "backend.h"

int kvbm_set_quota(struct kvbm *kvbm, uint64_t manager, uint32_t kind, uint64_t id,
		   uint64_t blocks)
{
	struct kvbm_quota a = {
		.size = sizeof(a),
		.flags = KVBM_QUOTA_SET,
		.manager = manager,
		.kind = kind,
		.id = id,
		.blocks = blocks,
	};

	return kvbm_conn_call(kvbm->conn, KVBM_QUOTA, &a);
}

static int ask_quota(struct kvbm *kvbm, struct kvbm_quota *a, uint64_t *blocks,
		     uint64_t *held)
{
	int err = kvbm_conn_call(kvbm->conn, KVBM_QUOTA, a);

	if (err)
		return err;
	if (blocks)
		*blocks = a->blocks;
	if (held)
		*held = a->out_held;
	return 0;
}

int kvbm_get_quota(struct kvbm *kvbm, uint64_t manager, uint32_t kind, uint64_t id,
		   uint64_t *blocks, uint64_t *held)
{
	struct kvbm_quota a = {
		.size = sizeof(a),
		.manager = manager,
		.kind = kind,
		.id = id,
	};

	return ask_quota(kvbm, &a, blocks, held);
}

int kvbm_next_quota(struct kvbm *kvbm, uint64_t manager, uint32_t kind, uint64_t *id,
		    uint64_t *blocks, uint64_t *held)
{
	struct kvbm_quota a = {
		.size = sizeof(a),
		.flags = KVBM_QUOTA_NEXT,
		.manager = manager,
		.kind = kind,
		.id = *id,
	};
	int err = ask_quota(kvbm, &a, blocks, held);

	if (!err)
		*id = a.id;
	return err;
}

int kvbm_manager_epoch(struct kvbm *kvbm, uint64_t manager, uint32_t *epoch)
{
	struct kvbm_epoch a = { .size = sizeof(a), .manager = manager };
	int err = kvbm_conn_call(kvbm->conn, KVBM_EPOCH, &a);

	if (!err)
		*epoch = a.out_epoch;
	return err;
}

/* @manager: 0 for that of the session on @conn. */
static int raise_epoch(struct kvbm_conn *conn, uint64_t manager, uint32_t flags,
		       uint32_t *epoch)
{
	struct kvbm_epoch a = {
		.size = sizeof(a),
		.flags = KVBM_EPOCH_RAISE | flags,
		.manager = manager,
	};
	int err = kvbm_conn_call(conn, KVBM_EPOCH, &a);

	if (!err && epoch)
		*epoch = a.out_epoch;
	return err;
}

int kvbm_raise_epoch(struct kvbm_session *session, uint32_t flags, uint32_t *epoch)
{
	return raise_epoch(session->conn, 0, flags, epoch);
}

int kvbm_manager_raise_epoch(struct kvbm *kvbm, uint64_t manager, uint32_t flags,
			     uint32_t *epoch)
{
	return raise_epoch(kvbm->conn, manager, flags, epoch);
}

int kvbm_take_over(struct kvbm *kvbm, uint64_t manager, uint32_t flags,
		   struct kvbm_session **out)
{
	struct kvbm_session *session;
	int err;

	err = kvbm_bind(kvbm, manager, 0, &session);
	if (err)
		return err;
	err = kvbm_raise_epoch(session, flags, NULL);
	if (err) {
		kvbm_session_close(session);
		return err;
	}
	*out = session;
	return 0;
}
