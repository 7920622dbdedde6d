// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Connections, whatever is behind them.
 */
#include <stdlib.h>
#include <string.h>

#include "backend.h"

static __thread uint32_t failed_index;

/* Of the thread: the entry that its call failed for. */
void kvbm_set_failed_index(uint32_t index)
{
	failed_index = index;
}

unsigned int kvbm_failed_index(void)
{
	return failed_index;
}

/**
 * kvbm_conn_call - one call of the ABI
 * @conn: connection
 * @cmd: ioctl number
 * @arg: its structure, with the size filled in
 *
 * Return: 0 or -errno; -EOWNERDEAD in a child of whoever opened @conn.
 */
int kvbm_conn_call(struct kvbm_conn *conn, uint32_t cmd, void *arg)
{
	if (!kvbm_fork_is_current(conn->epoch))
		return -EOWNERDEAD;
	return conn->backend->call(conn, cmd, arg);
}

int kvbm_conn_reopen(struct kvbm_conn *conn, struct kvbm_conn **out)
{
	int err;

	if (!kvbm_fork_is_current(conn->epoch))
		return -EOWNERDEAD;
	err = conn->backend->reopen(conn, out);
	if (!err)
		(*out)->epoch = conn->epoch;
	return err;
}

int kvbm_conn_open_session(struct kvbm_conn *conn, uint32_t flags,
			   struct kvbm_conn **out)
{
	int err;

	if (!kvbm_fork_is_current(conn->epoch))
		return -EOWNERDEAD;
	err = conn->backend->open_session(conn, flags, out);
	if (!err)
		(*out)->epoch = conn->epoch;
	return err;
}

int kvbm_conn_open_events(struct kvbm_conn *conn, uint64_t registry,
			  struct kvbm_events **out)
{
	if (!kvbm_fork_is_current(conn->epoch))
		return -EOWNERDEAD;
	return conn->backend->open_events(conn, registry, out);
}

int kvbm_conn_pin(struct kvbm_conn *conn, struct kvbm_pin_create *a,
		  struct kvbm_pin **out)
{
	int err;

	if (!kvbm_fork_is_current(conn->epoch))
		return -EOWNERDEAD;
	err = conn->backend->pin(conn, a, out);
	if (!err)
		(*out)->epoch = conn->epoch;
	return err;
}

void kvbm_conn_close(struct kvbm_conn *conn)
{
	if (kvbm_fork_is_current(conn->epoch))
		conn->backend->close(conn);
	else
		conn->backend->abandon(conn);
}

/* A scheme is what precedes a colon that no slash precedes. */
static bool has_scheme(const char *uri)
{
	return uri[strcspn(uri, ":/")] == ':';
}

int kvbm_open(const char *uri, struct kvbm **out)
{
	uint64_t epoch = kvbm_fork_epoch();
	struct kvbm *kvbm;
	int err;

	if (!epoch)
		return -ENOMEM;
	if (has_scheme(uri) && strcmp(uri, "inproc:"))
		return -EINVAL;
	kvbm = malloc(sizeof(*kvbm));
	if (!kvbm)
		return -ENOMEM;
	err = has_scheme(uri) ? kvbm_inproc_open(&kvbm->conn) :
				kvbm_device_open(uri, &kvbm->conn);
	if (err) {
		free(kvbm);
		return err;
	}
	kvbm->conn->epoch = epoch;
	*out = kvbm;
	return 0;
}

void kvbm_close(struct kvbm *kvbm)
{
	if (!kvbm)
		return;
	kvbm_conn_close(kvbm->conn);
	free(kvbm);
}

int kvbm_info(struct kvbm *kvbm, struct kvbm_info *out)
{
	memset(out, 0, sizeof(*out));
	out->size = sizeof(*out);
	return kvbm_conn_call(kvbm->conn, KVBM_INFO, out);
}
