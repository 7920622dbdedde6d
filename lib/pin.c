// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Pins.
 */
#include <string.h>

#include "guards.h"

static int pin(struct kvbm_session *session, size_t n, const void *guards,
	       uint32_t flags, struct kvbm_pin **out)
{
	struct kvbm_pin_create a = {
		.size = sizeof(a),
		.flags = flags,
		.count = n,
		.tokens = kvbm_ptr(guards),
	};
	int err;

	if (n > KVBM_MAX_BATCH)
		return -EINVAL;
	err = kvbm_conn_pin(session->conn, &a, out);
	if (err)
		kvbm_set_failed_index(a.out_failed);
	return err;
}

int kvbm_pin(struct kvbm_session *session, size_t n,
	     const struct kvbm_immutable *guards, struct kvbm_pin **out)
{
	return pin(session, n, guards, 0, out);
}

int kvbm_pin_write(struct kvbm_session *session, size_t n,
		   const struct kvbm_mutable *guards, struct kvbm_pin **out)
{
	return pin(session, n, guards, KVBM_PIN_WRITE, out);
}

int kvbm_pin_from_fd(int fd, struct kvbm_pin **out)
{
	uint64_t epoch = kvbm_fork_epoch();
	int err;

	if (!epoch)
		return -ENOMEM;
	err = kvbm_device_adopt_pin(fd, out);
	if (!err)
		(*out)->epoch = epoch;
	return err;
}

int kvbm_pin_fd(const struct kvbm_pin *pin)
{
	return pin->fd;
}

void kvbm_pin_close(struct kvbm_pin *pin)
{
	if (!pin)
		return;
	if (kvbm_fork_is_current(pin->epoch))
		pin->close(pin);
	else
		pin->abandon(pin);
}

static int query(struct kvbm_pin *pin, struct kvbm_pin_query *a)
{
	a->size = sizeof(*a);
	if (!kvbm_fork_is_current(pin->epoch))
		return -EOWNERDEAD;
	return pin->query(pin, a);
}

int kvbm_pin_info(struct kvbm_pin *pin, struct kvbm_pin_info *out)
{
	struct kvbm_pin_query a = { 0 };
	int err = query(pin, &a);

	if (err)
		return err;
	*out = (struct kvbm_pin_info){
		.manager = a.out_manager,
		.blocks = a.out_total,
		.write = a.out_flags & KVBM_PIN_WRITE,
		.alive = a.out_alive,
	};
	return 0;
}

ssize_t kvbm_pin_blocks(struct kvbm_pin *pin, uint32_t start, size_t n,
			struct kvbm_held *blocks)
{
	struct kvbm_pin_query a = {
		.start = start,
		.count = n,
		.blocks = kvbm_ptr(blocks),
	};
	int err;

	if (n > KVBM_MAX_BATCH)
		return -EINVAL;
	err = query(pin, &a);
	return err ? err : (ssize_t)a.out_count;
}
