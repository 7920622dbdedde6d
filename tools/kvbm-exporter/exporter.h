/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * kvbm-exporter: what managers count, as a text file for node_exporter.
 *
 *	main.c		options, and when to do it
 *	collect.c	one look at all registries and managers
 *	families.c	which metrics there are
 *	exposition.c	the text format
 *	textfile.c	the file, replaced as a whole
 */
#ifndef KVBM_EXPORTER_H
#define KVBM_EXPORTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <kvbm/kvbm.h>

/* A label of the user, on every sample. */
struct label {
	char *name;
	char *value;
};

struct labels {
	struct label *list;
	size_t nr;
};

/* collect.c */

/**
 * struct manager - one manager, as it was looked at
 * @registry: name
 * @name: or "#ID" for an anonymous one
 * @query: what it is
 * @counters: what happened in it
 * @sessions: who has bound
 * @nr_sessions: how many
 */
struct manager {
	char registry[KVBM_NAME_SIZE];
	char name[KVBM_NAME_SIZE];
	struct kvbm_manager_query query;
	struct kvbm_counters counters;
	struct kvbm_session_info *sessions;
	size_t nr_sessions;
};

/**
 * struct view - one look at all there is
 * @now_ns: when, CLOCK_MONOTONIC
 * @version: of the module, as in struct kvbm_info
 * @registries: those there are
 * @nr_registries: how many
 * @managers: those that could be read
 * @nr_managers: how many
 * @unreadable: managers whose mode forbids it
 */
struct view {
	uint64_t now_ns;
	uint32_t version;
	struct kvbm_registry_query *registries;
	size_t nr_registries;
	struct manager *managers;
	size_t nr_managers;
	size_t unreadable;
};

/* 0, or -errno after a message. What goes while we look is left out. */
int view_collect(struct kvbm *kvbm, struct view *view);
void view_free(struct view *view);

/* exposition.c */

/* Whether others would take it, and it is none of ours. NULL, or why not. */
const char *label_name_error(const char *name);
bool is_utf8(const char *text);

/**
 * struct text - metrics on their way to a file
 * @out: where to
 * @external: labels of the user, after those of each sample
 * @open: the braces of the labels have been opened
 */
struct text {
	FILE *out;
	const struct labels *external;
	bool open;
};

/* One family: # HELP and # TYPE ("counter", "gauge"), before its samples. */
void text_family(struct text *text, const char *name, const char *type,
		 const char *help);
/* One sample: its name, its labels, its value. */
void text_begin(struct text *text, const char *name);
void text_label(struct text *text, const char *name, const char *value);
void text_integer(struct text *text, uint64_t value);
void text_seconds(struct text *text, uint64_t ns);
void text_real(struct text *text, double value);

/* families.c */

/* All of it; @sessions: a sample for each session, too. */
void write_families(struct text *text, const struct view *view, bool sessions);

/* textfile.c */

/* @size bytes become the contents of @path. 0, or -errno after a message. */
int replace_file(const char *path, const char *contents, size_t size);

#endif
