// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Groups of cgroup v2, by path and by id: the inode number of the directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "ctl.h"

/* What exportfs calls FILEID_KERNFS: the handle is the id. */
#define KERNFS_HANDLE	0xfe

/* Where the hierarchy is mounted, or NULL. Static memory. */
static const char *mount_point(void)
{
	static char *dir;
	struct mntent *entry;
	FILE *f;

	if (dir)
		return dir;
	f = setmntent("/proc/self/mounts", "r");
	while (f && !dir && (entry = getmntent(f)))
		if (!strcmp(entry->mnt_type, "cgroup2"))
			dir = strdup(entry->mnt_dir);
	if (f)
		endmntent(f);
	return dir;
}

/* Of a directory, as it is. */
static int id_of_directory(const char *path, uint64_t *id)
{
	struct statfs fs;
	struct stat st;

	if (statfs(path, &fs) || stat(path, &st))
		return -errno;
	if (fs.f_type != CGROUP2_SUPER_MAGIC || !S_ISDIR(st.st_mode))
		return -ENOTDIR;
	*id = st.st_ino;
	return 0;
}

int cgroup_parse(const char *text, uint64_t *id)
{
	const char *root = mount_point();
	char *path, *end;
	int err;

	if (text[0] != '/') {
		errno = 0;
		*id = strtoull(text, &end, 10);
		return errno || *end || text[0] < '0' || text[0] > '9' || !*id ?
		       -EINVAL : 0;
	}
	if (!id_of_directory(text, id))
		return 0;
	if (!root)
		return -ENOENT;
	/* As kvbmctl holders and /proc/PID/cgroup write it. */
	if (asprintf(&path, "%s%s", root, text) < 0)
		return -ENOMEM;
	err = id_of_directory(path, id);
	free(path);
	return err;
}

/* An open directory, or -1: it takes rights, and the group may be gone. */
static int open_group(const char *root, uint64_t id)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + sizeof(id)];
	} u = { .handle = { .handle_bytes = sizeof(id), .handle_type = KERNFS_HANDLE } };
	int mount = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;

	if (mount < 0)
		return -1;
	memcpy(u.handle.f_handle, &id, sizeof(id));
	fd = open_by_handle_at(mount, &u.handle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(mount);
	return fd;
}

const char *cgroup_word(uint64_t id)
{
	static char word[4096];
	const char *root = mount_point();
	char link[32];
	size_t skip;
	ssize_t n;
	int fd;

	snprintf(word, sizeof(word), "%llu", (unsigned long long)id);
	fd = root ? open_group(root, id) : -1;
	if (fd < 0)
		return word;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, word, sizeof(word) - 1);
	close(fd);
	skip = strlen(root);
	if (n < (ssize_t)skip || strncmp(word, root, skip)) {
		snprintf(word, sizeof(word), "%llu", (unsigned long long)id);
		return word;
	}
	word[n] = 0;
	return word[skip] ? word + skip : "/";
}
