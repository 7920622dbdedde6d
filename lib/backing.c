// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The bytes of blocks: files to keep them in, and their place in this process.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL	0x0008U
#endif

/**
 * struct mapping - the part of one file that segments are in
 * @base: NULL: not mapped
 * @from: offset in the file
 * @to: the same, of the end
 */
struct mapping {
	char *base;
	uint64_t from;
	uint64_t to;
};

/**
 * struct kvbm_map - the backing of a manager in this process
 * @blocks: block_count
 * @nr_segments: entries of @segments
 * @nr_files: entries of @files
 * @segments: as the module told them
 * @files: by the number in the segments
 */
struct kvbm_map {
	uint32_t blocks;
	uint32_t nr_segments;
	uint32_t nr_files;
	struct kvbm_segment *segments;
	struct mapping *files;
};

static int seal(int fd, uint64_t bytes)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

	if (bytes > INT64_MAX)
		return -EFBIG;
	/* They are made for everybody to write to. */
	if (fchmod(fd, 0600) || ftruncate(fd, bytes) || fcntl(fd, F_ADD_SEALS, seals))
		return -errno;
	return 0;
}

int kvbm_memfd_create(const char *name, uint64_t bytes, uint32_t flags)
{
	unsigned int mfd = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd, err;

	if (flags & ~KVBM_MEMFD_HUGETLB)
		return -EINVAL;
	if (flags & KVBM_MEMFD_HUGETLB)
		mfd |= MFD_HUGETLB;
	fd = memfd_create(name, mfd | MFD_NOEXEC_SEAL);
	/* Before Linux 6.3 there is no such flag. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, mfd);
	if (fd < 0)
		return -errno;
	err = seal(fd, bytes);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int kvbm_set_backing(struct kvbm_session *session, size_t n,
		     const struct kvbm_segment *segments)
{
	struct kvbm_backing_set a = {
		.size = sizeof(a),
		.segments = kvbm_ptr(segments),
		.count = n,
	};
	int err;

	if (n > KVBM_MAX_SEGMENTS)
		return -EINVAL;
	err = kvbm_conn_call(session->conn, KVBM_BACKING_SET, &a);
	if (err)
		kvbm_set_failed_index(a.out_failed);
	return err;
}

int kvbm_manager_backing(struct kvbm *kvbm, uint64_t manager,
			 struct kvbm_backing_get *query)
{
	query->size = sizeof(*query);
	query->manager = manager;
	return kvbm_conn_call(kvbm->conn, KVBM_BACKING_GET, query);
}

/* The end of the last block. The module has checked that it fits. */
static uint64_t end_of(const struct kvbm_map *map, const struct kvbm_segment *s)
{
	return s->offset + s->stride * (map->blocks - 1) + s->bytes;
}

/* Of memory, or of huge pages. */
static uint64_t page_of(const struct kvbm_segment *s, const struct stat *st)
{
	return s->kind == KVBM_BACKING_HUGETLB ? st->st_blksize :
						 sysconf(_SC_PAGESIZE);
}

/* Map what all segments of the file of @s need. */
static int map_file(struct kvbm_map *map, const struct kvbm_segment *s)
{
	struct mapping *m = &map->files[s->file];
	int flags = fcntl(s->fd, F_GETFL), prot = PROT_READ;
	struct stat st;
	uint64_t page;
	uint32_t i;
	void *base;

	if (flags < 0 || fstat(s->fd, &st))
		return -errno;
	if ((flags & O_ACCMODE) == O_RDWR)
		prot |= PROT_WRITE;
	m->from = UINT64_MAX;
	for (i = 0; i < map->nr_segments; i++) {
		const struct kvbm_segment *other = &map->segments[i];
		uint64_t end = end_of(map, other);

		if (other->file != s->file)
			continue;
		if (other->offset < m->from)
			m->from = other->offset;
		if (end > m->to)
			m->to = end;
	}
	page = page_of(s, &st);
	m->from -= m->from % page;
	m->to += (page - m->to % page) % page;
	base = mmap(NULL, m->to - m->from, prot, MAP_SHARED, s->fd, m->from);
	if (base == MAP_FAILED)
		return -errno;
	m->base = base;
	/* A dump of all the cache is of no use, and tells what users said. */
	madvise(base, m->to - m->from, MADV_DONTDUMP);
	return 0;
}

static int map_files(struct kvbm_map *map)
{
	uint32_t i;
	int err = 0;

	for (i = 0; !err && i < map->nr_segments; i++)
		if (map->segments[i].fd >= 0 &&
		    !map->files[map->segments[i].file].base)
			err = map_file(map, &map->segments[i]);
	return err;
}

/* Each file has one descriptor, and may have many segments. */
static void close_files(struct kvbm_map *map)
{
	uint32_t i, j;

	for (i = 0; i < map->nr_segments; i++) {
		int fd = map->segments[i].fd;

		if (fd < 0)
			continue;
		close(fd);
		for (j = i; j < map->nr_segments; j++)
			if (map->segments[j].fd == fd)
				map->segments[j].fd = -1;
	}
}

/* What there is; the descriptors are in the segments. */
static int get_segments(struct kvbm_session *session, struct kvbm_map *map)
{
	struct kvbm_backing_get a = { .size = sizeof(a) };
	int err = kvbm_conn_call(session->conn, KVBM_BACKING_GET, &a);

	if (err)
		return err;
	if (!a.out_total)
		return -ENOMEDIUM;
	map->segments = calloc(a.out_total, sizeof(*map->segments));
	map->files = calloc(a.out_files, sizeof(*map->files));
	if (!map->segments || !map->files)
		return -ENOMEM;
	map->nr_files = a.out_files;
	a.flags = KVBM_BACKING_FDS;
	a.segments = kvbm_ptr(map->segments);
	a.count = a.out_total;
	err = kvbm_conn_call(session->conn, KVBM_BACKING_GET, &a);
	if (!err)
		map->nr_segments = a.out_count;
	return err;
}

int kvbm_map_backing(struct kvbm_session *session, struct kvbm_map **out)
{
	struct kvbm_map *map = calloc(1, sizeof(*map));
	int err;

	if (!map)
		return -ENOMEM;
	map->blocks = session->block_count;
	err = get_segments(session, map);
	if (!err)
		err = map_files(map);
	close_files(map);
	if (err) {
		kvbm_unmap(map);
		return err;
	}
	*out = map;
	return 0;
}

void kvbm_unmap(struct kvbm_map *map)
{
	uint32_t i;

	if (!map)
		return;
	for (i = 0; i < map->nr_files; i++)
		if (map->files[i].base)
			munmap(map->files[i].base,
			       map->files[i].to - map->files[i].from);
	free(map->files);
	free(map->segments);
	free(map);
}

uint32_t kvbm_map_segments(const struct kvbm_map *map)
{
	return map->nr_segments;
}

uint64_t kvbm_map_bytes(const struct kvbm_map *map, uint32_t segment)
{
	const struct kvbm_segment *s;

	if (segment >= map->nr_segments)
		return 0;
	s = &map->segments[segment];
	return map->files[s->file].base ? s->bytes : 0;
}

void *kvbm_map_block(const struct kvbm_map *map, uint32_t segment, uint32_t block)
{
	const struct kvbm_segment *s;
	const struct mapping *m;

	if (segment >= map->nr_segments || block >= map->blocks)
		return NULL;
	s = &map->segments[segment];
	m = &map->files[s->file];
	return m->base ? m->base + (s->offset - m->from) + s->stride * block : NULL;
}
