// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A file that its readers see as a whole: written beside its place, then renamed.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exporter.h"
#include "say.h"

static int write_all(int fd, const char *contents, size_t size)
{
	ssize_t n;

	while (size) {
		n = write(fd, contents, size);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			contents += n;
			size -= n;
		}
	}
	return 0;
}

/* 0 or -errno; nothing of the file is left then. */
static int write_file(const char *path, const char *contents, size_t size)
{
	/* O_EXCL and O_NOFOLLOW: the directory may be somebody else's, too. */
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	int err;

	if (fd < 0)
		return -errno;
	err = write_all(fd, contents, size);
	/* Whatever the umask: node_exporter is another user. */
	if (!err && fchmod(fd, 0644))
		err = -errno;
	/* A full disk may tell only now. */
	if (!err && fsync(fd))
		err = -errno;
	if (close(fd) && !err)
		err = -errno;
	if (err)
		unlink(path);
	return err;
}

int replace_file(const char *path, const char *contents, size_t size)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	char *temporary;
	int err;

	/* Its name does not end in .prom: node_exporter does not look at it. */
	if (asprintf(&temporary, "%.*s.%s.%d", (int)(base - path), path, base,
		     getpid()) < 0)
		return say_err(-ENOMEM, "%s", path);
	/* Of one that was killed, and had our number. */
	unlink(temporary);
	err = write_file(temporary, contents, size);
	if (!err && rename(temporary, path)) {
		err = -errno;
		unlink(temporary);
	}
	/* Not by kvbm_strerror(): these errors are of files. */
	if (err)
		say("%s: %s; what was there is as it was", path, strerror(-err));
	free(temporary);
	return err;
}
