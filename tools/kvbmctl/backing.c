// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What kvbmctl show tells of the files that the blocks of a manager live in.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "output.h"
#include "table.h"

/* One file, and what all segments in it have. */
struct backing_file {
	char path[KVBM_PATH_SIZE];
	const char *kind;
	uint32_t segments;
	uint64_t bytes;		/* of all blocks */
};

struct backing {
	struct kvbm_backing_get get;
	struct kvbm_segment *segments;
	struct backing_file *files;
};

static const char *kind_word(uint32_t kind)
{
	static const char *const words[] = {
		[KVBM_BACKING_MEMFD] = "memfd",
		[KVBM_BACKING_HUGETLB] = "hugetlb",
		[KVBM_BACKING_FILE] = "file",
		[KVBM_BACKING_DMABUF] = "dma-buf",
		[KVBM_BACKING_OPAQUE] = "opaque",
	};

	return kind < sizeof(words) / sizeof(*words) && words[kind] ? words[kind] : "?";
}

static void backing_free(struct backing *b)
{
	free(b->segments);
	free(b->files);
}

/* The name of the file of a segment. */
static int get_path(struct ctl *ctl, uint64_t manager, uint32_t segment, char *path)
{
	struct kvbm_backing_get get = {
		.path = (uintptr_t)path,
		.path_size = KVBM_PATH_SIZE,
		.start = segment,
	};

	return kvbm_manager_backing(ctl->kvbm, manager, &get);
}

static int backing_get(struct ctl *ctl, uint64_t manager, uint32_t blocks,
		       struct backing *b)
{
	uint32_t i;
	int err;

	memset(b, 0, sizeof(*b));
	b->segments = calloc(KVBM_MAX_SEGMENTS, sizeof(*b->segments));
	if (!b->segments)
		return -ENOMEM;
	b->get.segments = (uintptr_t)b->segments;
	b->get.count = KVBM_MAX_SEGMENTS;
	err = kvbm_manager_backing(ctl->kvbm, manager, &b->get);
	if (err || !b->get.out_files)
		return err;
	b->files = calloc(b->get.out_files, sizeof(*b->files));
	if (!b->files)
		return -ENOMEM;
	for (i = 0; !err && i < b->get.out_count; i++) {
		const struct kvbm_segment *s = &b->segments[i];
		struct backing_file *f = &b->files[s->file];

		if (!f->segments++) {
			f->kind = kind_word(s->kind);
			err = get_path(ctl, manager, i, f->path);
		}
		f->bytes += s->bytes * blocks;
	}
	return err;
}

static int backing_of(struct ctl *ctl, uint64_t manager, struct backing *b)
{
	struct kvbm_manager_query m;
	int err;

	err = kvbm_query_manager(ctl->kvbm, manager, &m);
	if (err)
		memset(b, 0, sizeof(*b));
	return err ? err : backing_get(ctl, manager, m.out_block_count, b);
}

json_t *backing_json(struct ctl *ctl, uint64_t manager)
{
	json_t *list = json_array(), *file;
	struct backing b;
	uint32_t i;

	if (!backing_of(ctl, manager, &b)) {
		for (i = 0; i < b.get.out_files; i++) {
			file = json_object();
			set_word(file, "path", b.files[i].path);
			set_word(file, "kind", b.files[i].kind);
			set_number(file, "segments", b.files[i].segments);
			set_number(file, "bytes", b.files[i].bytes);
			set_number(file, "uid", b.get.out_uid);
			set_number(file, "pid", b.get.out_pid);
			json_array_append_new(list, file);
		}
	}
	backing_free(&b);
	return list;
}

void print_backing(struct ctl *ctl, uint64_t manager)
{
	struct table *t = table_new("lrrll");
	struct backing b;
	uint32_t i;

	if (!backing_of(ctl, manager, &b) && b.get.out_files) {
		printf("\n");
		table_add(t, "backing");
		table_add(t, "MiB");
		table_add(t, "segments");
		table_add(t, "creator");
		table_add(t, "path");
		for (i = 0; i < b.get.out_files; i++) {
			table_add(t, "%s", b.files[i].kind);
			table_add(t, "%.1f", b.files[i].bytes / 1048576.0);
			table_add(t, "%u", b.files[i].segments);
			table_add(t, "%s, pid %u", user_word(b.get.out_uid),
				  b.get.out_pid);
			table_add(t, "%s", b.files[i].path);
		}
		table_print(t);
	}
	backing_free(&b);
	table_free(t);
}
