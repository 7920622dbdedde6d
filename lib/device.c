// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The backend that is the module: an open /dev/kvbm.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend.h"
#include "events.h"

/**
 * struct device - an open file of the module
 * @conn: first
 * @fd: the descriptor
 * @path: to open another one; NULL for a session, which is never asked for that
 */
struct device {
	struct kvbm_conn conn;
	int fd;
	char *path;
};

static const struct kvbm_backend device_backend;

static struct device *to_device(struct kvbm_conn *conn)
{
	return (struct device *)conn;
}

/* A signal shall be able to end what may wait for long, and nothing else. */
static bool may_wait(uint32_t cmd, const void *arg)
{
	if (cmd == KVBM_ALLOCATE)
		return ((const struct kvbm_allocate *)arg)->deadline_ns;
	if (cmd == KVBM_ACQUIRE)
		return ((const struct kvbm_acquire *)arg)->deadline_ns;
	return false;
}

/* A call that was interrupted has changed nothing: it can be made again. */
static int do_ioctl(int fd, uint32_t cmd, void *arg)
{
	int ret;

	do {
		ret = ioctl(fd, cmd, arg);
	} while (ret < 0 && errno == EINTR && !may_wait(cmd, arg));
	return ret < 0 ? -errno : 0;
}

/*
 * Another driver may well have an ioctl of the same number. A session that was
 * made of another one has no path, and no type either.
 */
static int check_is_kvbm(int fd, bool adopted)
{
	struct kvbm_info info = { .size = sizeof(info) };
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISCHR(st.st_mode) && !(adopted && !(st.st_mode & S_IFMT)))
		return -EPROTO;
	if (do_ioctl(fd, KVBM_INFO, &info))
		return -EPROTO;
	if (info.size != sizeof(info) || !info.out_version ||
	    !(info.out_commands[0] & 1ULL << KVBM_CMD_INFO))
		return -EPROTO;
	return 0;
}

int kvbm_device_open(const char *path, struct kvbm_conn **out)
{
	struct device *d = malloc(sizeof(*d));
	int err = -ENOMEM;

	if (!d)
		return -ENOMEM;
	d->conn.backend = &device_backend;
	d->path = strdup(path);
	if (!d->path)
		goto err_free;
	d->fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (d->fd < 0) {
		err = -errno;
		goto err_free_path;
	}
	err = check_is_kvbm(d->fd, false);
	if (err)
		goto err_close;
	*out = &d->conn;
	return 0;

err_close:
	close(d->fd);
err_free_path:
	free(d->path);
err_free:
	free(d);
	return err;
}

static int adopt(int fd, struct kvbm_conn **out)
{
	struct device *d = malloc(sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->conn.backend = &device_backend;
	d->fd = fd;
	d->path = NULL;
	*out = &d->conn;
	return 0;
}

int kvbm_device_adopt(int fd, struct kvbm_conn **out)
{
	int err = check_is_kvbm(fd, true);

	return err ? err : adopt(fd, out);
}

void kvbm_device_disown(struct kvbm_conn *conn)
{
	free(to_device(conn));
}

static int device_open_session(struct kvbm_conn *conn, uint32_t flags,
			       struct kvbm_conn **out)
{
	struct kvbm_session_open a = { .size = sizeof(a), .flags = flags };
	int err;

	err = do_ioctl(to_device(conn)->fd, KVBM_SESSION_OPEN, &a);
	if (err)
		return err;
	err = adopt(a.out_fd, out);
	if (err)
		close(a.out_fd);
	return err;
}

static int device_open_events(struct kvbm_conn *conn, uint64_t registry,
			      struct kvbm_events **out)
{
	struct kvbm_events_open a = {
		.size = sizeof(a),
		.flags = KVBM_EVENTS_NONBLOCK,
		.registry = registry,
	};
	int err;

	err = do_ioctl(to_device(conn)->fd, KVBM_EVENTS_OPEN, &a);
	if (err)
		return err;
	err = kvbm_events_from_device(a.out_fd, a.out_next, out);
	if (err)
		close(a.out_fd);
	return err;
}

static int device_call(struct kvbm_conn *conn, uint32_t cmd, void *arg)
{
	return do_ioctl(to_device(conn)->fd, cmd, arg);
}

static int device_reopen(struct kvbm_conn *conn, struct kvbm_conn **out)
{
	return kvbm_device_open(to_device(conn)->path, out);
}

/*
 * In a child as in the parent: the module knows who owns the session, and does
 * not take the closing of a copy for the end of it.
 */
static void device_close(struct kvbm_conn *conn)
{
	struct device *d = to_device(conn);

	close(d->fd);
	free(d->path);
	free(d);
}

static int pin_query(struct kvbm_pin *pin, struct kvbm_pin_query *a)
{
	return do_ioctl(pin->fd, KVBM_PIN_QUERY, a);
}

/* In a child as in the parent: it is the last descriptor that counts. */
static void pin_close(struct kvbm_pin *pin)
{
	close(pin->fd);
	free(pin);
}

static int adopt_pin(int fd, struct kvbm_pin **out)
{
	struct kvbm_pin *pin = malloc(sizeof(*pin));

	if (!pin)
		return -ENOMEM;
	*pin = (struct kvbm_pin){
		.query = pin_query,
		.close = pin_close,
		.abandon = pin_close,
		.fd = fd,
	};
	*out = pin;
	return 0;
}

/* Only a pin is nameless, and knows this call. */
int kvbm_device_adopt_pin(int fd, struct kvbm_pin **out)
{
	struct kvbm_pin_query a = { .size = sizeof(a) };
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (st.st_mode & S_IFMT || do_ioctl(fd, KVBM_PIN_QUERY, &a) || !a.out_total)
		return -EPROTO;
	return adopt_pin(fd, out);
}

static int device_pin(struct kvbm_conn *conn, struct kvbm_pin_create *a,
		      struct kvbm_pin **out)
{
	int err;

	err = do_ioctl(to_device(conn)->fd, KVBM_PIN, a);
	if (err)
		return err;
	err = adopt_pin(a->out_fd, out);
	if (err)
		close(a->out_fd);
	return err;
}

static int device_fd(const struct kvbm_conn *conn)
{
	return ((const struct device *)conn)->fd;
}

static const struct kvbm_backend device_backend = {
	.call = device_call,
	.reopen = device_reopen,
	.open_session = device_open_session,
	.open_events = device_open_events,
	.close = device_close,
	.abandon = device_close,
	.fd = device_fd,
	.pin = device_pin,
};
