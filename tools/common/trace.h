/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Mooncake traces: one JSON object a line, {"timestamp": ms, "input_length":
 * tokens, "output_length": tokens, "hash_ids": [...]}. An id stands for one
 * block of 512 tokens and its whole prefix.
 */
#ifndef KVBM_TOOLS_TRACE_H
#define KVBM_TOOLS_TRACE_H

#include <stddef.h>
#include <stdint.h>

#define TRACE_BLOCK_SIZE	512

struct trace;

/* One line. */
struct trace_entry {
	uint64_t timestamp_ms;
	uint64_t input_length;
	uint64_t output_length;
	size_t nr_ids;
	uint64_t *ids;		/* of the reader, until the next line is read */
};

/* All: -errno after a message, which names the line. */
int trace_open(const char *path, struct trace **out);
void trace_close(struct trace *trace);
/* 1 and the next entry, or 0 at the end. Empty lines are skipped. */
int trace_next(struct trace *trace, struct trace_entry *entry);

#endif
