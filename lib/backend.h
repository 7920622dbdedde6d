/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What is behind a connection: the device, or a block store of this process.
 * Both take the structures of the ABI, so nothing above this line knows which.
 */
#ifndef KVBM_LIB_BACKEND_H
#define KVBM_LIB_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include <kvbm/kvbm.h>

struct kvbm_conn;
struct kvbm_events;
struct kvbm_ns;

/**
 * struct kvbm_backend - one kind of connection
 * @call: what ioctl(2) does on the device; 0 or -errno
 * @reopen: another connection to the same thing, not bound
 * @open_session: what KVBM_SESSION_OPEN does, without a descriptor in between
 * @open_events: what KVBM_EVENTS_OPEN does, with or without a descriptor
 * @close: everything that the connection holds goes back
 * @abandon: in a child: free what is ours, leave what belongs to the parent
 * @fd: the descriptor, or -1
 * @ns: the namespace of a connection in process; NULL for the device
 * @pin: what KVBM_PIN does, without a descriptor if there is none
 */
struct kvbm_backend {
	int (*call)(struct kvbm_conn *conn, uint32_t cmd, void *arg);
	int (*reopen)(struct kvbm_conn *conn, struct kvbm_conn **out);
	int (*open_session)(struct kvbm_conn *conn, uint32_t flags,
			    struct kvbm_conn **out);
	int (*open_events)(struct kvbm_conn *conn, uint64_t registry,
			   struct kvbm_events **out);
	void (*close)(struct kvbm_conn *conn);
	void (*abandon)(struct kvbm_conn *conn);
	int (*fd)(const struct kvbm_conn *conn);
	struct kvbm_ns *(*ns)(struct kvbm_conn *conn);
	int (*pin)(struct kvbm_conn *conn, struct kvbm_pin_create *a,
		   struct kvbm_pin **out);
};

/**
 * struct kvbm_conn - one open file; first in a backend's own
 * @backend: its kind
 * @epoch: of the process that opened it, see fork.c
 */
struct kvbm_conn {
	const struct kvbm_backend *backend;
	uint64_t epoch;
};

/**
 * struct kvbm_pin - an open pin; first in a backend's own
 * @query: what KVBM_PIN_QUERY does; 0 or -errno
 * @close: the blocks go back, unless somebody else has it open
 * @abandon: in a child: as for connections
 * @fd: the descriptor, or -1
 * @epoch: of the process that opened it
 */
struct kvbm_pin {
	int (*query)(struct kvbm_pin *pin, struct kvbm_pin_query *a);
	void (*close)(struct kvbm_pin *pin);
	void (*abandon)(struct kvbm_pin *pin);
	int fd;
	uint64_t epoch;
};

/* The two backends; @epoch is filled in by connection.c. */
int kvbm_device_open(const char *path, struct kvbm_conn **out);
int kvbm_inproc_open(struct kvbm_conn **out);
/* Of a descriptor of the caller, and back: it stays open. */
int kvbm_device_adopt(int fd, struct kvbm_conn **out);
void kvbm_device_disown(struct kvbm_conn *conn);
int kvbm_device_adopt_pin(int fd, struct kvbm_pin **out);

/* connection.c */
int kvbm_conn_call(struct kvbm_conn *conn, uint32_t cmd, void *arg);
int kvbm_conn_reopen(struct kvbm_conn *conn, struct kvbm_conn **out);
int kvbm_conn_open_session(struct kvbm_conn *conn, uint32_t flags,
			   struct kvbm_conn **out);
int kvbm_conn_open_events(struct kvbm_conn *conn, uint64_t registry,
			  struct kvbm_events **out);
int kvbm_conn_pin(struct kvbm_conn *conn, struct kvbm_pin_create *a,
		  struct kvbm_pin **out);
void kvbm_conn_close(struct kvbm_conn *conn);
void kvbm_set_failed_index(uint32_t index);

/* fork.c */
uint64_t kvbm_fork_epoch(void);
bool kvbm_fork_is_current(uint64_t epoch);

/* Pointers travel as __u64. */
static inline __u64 kvbm_ptr(const void *p)
{
	return (uintptr_t)p;
}

/**
 * struct kvbm - a connection that is not bound
 * @conn: the open file
 */
struct kvbm {
	struct kvbm_conn *conn;
};

/**
 * struct kvbm_session - a connection that is bound to a manager
 * @conn: the open file
 * @block_size: of the manager
 * @block_count: of the manager
 * @aux_size: of the manager
 */
struct kvbm_session {
	struct kvbm_conn *conn;
	uint32_t block_size;
	uint32_t block_count;
	uint32_t aux_size;
};

#endif /* KVBM_LIB_BACKEND_H */
