// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Events from an event file of the module.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "events.h"

/* The descriptor is all there is to know. */
static int fd_of(void *arg)
{
	return (int)(intptr_t)arg;
}

static ssize_t device_read(void *arg, void *buf, size_t size)
{
	ssize_t ret;

	do {
		ret = read(fd_of(arg), buf, size);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret;
}

static int device_dump(void *arg, struct kvbm_events_dump *dump)
{
	int ret;

	do {
		ret = ioctl(fd_of(arg), KVBM_EVENTS_DUMP, dump);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

static void device_close(void *arg)
{
	close(fd_of(arg));
}

static const struct kvbm_event_source device_source = {
	.read = device_read,
	.dump = device_dump,
	.fd = fd_of,
	.close = device_close,
};

int kvbm_events_from_device(int fd, uint64_t next, struct kvbm_events **out)
{
	return kvbm_events_from_source(&device_source, (void *)(intptr_t)fd, next, out);
}

/* A dump of what no manager has: only an event file does that. */
static int check_is_event_file(int fd)
{
	char record[KVBM_EVENT_MAX_SIZE];
	struct kvbm_events_dump dump = {
		.size = sizeof(dump),
		.records = kvbm_ptr(record),
		.bytes = sizeof(record),
		.manager = UINT64_MAX,
	};

	struct kvbm_info info = { .size = sizeof(info) };

	if (fcntl(fd, F_GETFL) < 0)
		return -EBADF;
	/* A session knows the ioctl, too. */
	if (!ioctl(fd, KVBM_INFO, &info))
		return -EPROTO;
	return device_dump((void *)(intptr_t)fd, &dump) ? -EPROTO : 0;
}

int kvbm_events_from_fd(int fd, struct kvbm_events **out)
{
	int flags, err;

	err = check_is_event_file(fd);
	if (err)
		return err;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC))
		return -errno;
	/* Where its reader was is not known: no loss is seen before the first. */
	return kvbm_events_from_device(fd, 0, out);
}
