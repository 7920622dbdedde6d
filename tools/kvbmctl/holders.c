// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * kvbmctl holders
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "output.h"
#include "say.h"
#include "sessions.h"
#include "table.h"

static const struct argp argp = {
	.parser = ctl_parse_optional,
	.args_doc = "[REGISTRY | REGISTRY:MANAGER]",
	.doc = "Who holds what: a line for each session, who holds most comes first.",
	.children = ctl_children,
};

struct holder {
	char manager[2 * KVBM_NAME_SIZE];
	struct kvbm_session_info info;
};

struct holders {
	struct holder *list;
	size_t nr;
	size_t unreadable;
	bool one;	/* a manager was named: to be refused is an error */
};

static int add_sessions(struct ctl *ctl, const struct kvbm_registry_query *r,
			const struct kvbm_manager_query *m, void *arg)
{
	struct kvbm_session_info *sessions;
	struct holders *h = arg;
	struct holder *more;
	ssize_t n, i;

	if (!m)
		return 0;
	n = sessions_of(ctl->kvbm, m->id, &sessions);
	if (n == -ENOENT)
		return 0;
	if (n == -EACCES && !h->one) {
		h->unreadable++;
		return 0;
	}
	if (n < 0)
		return say_err(n, "sessions of '%s'", full_name(r, m));
	more = reallocarray(h->list, h->nr + n + 1, sizeof(*more));
	if (!more) {
		free(sessions);
		return say_err(-ENOMEM, "sessions");
	}
	h->list = more;
	for (i = 0; i < n; i++) {
		snprintf(more[h->nr].manager, sizeof(more->manager), "%s",
			 full_name(r, m));
		more[h->nr++].info = sessions[i];
	}
	free(sessions);
	return 0;
}

static int by_blocks(const void *a, const void *b)
{
	const struct kvbm_session_info *x = &((const struct holder *)a)->info;
	const struct kvbm_session_info *y = &((const struct holder *)b)->info;

	if (x->blocks != y->blocks)
		return x->blocks < y->blocks ? 1 : -1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/*
 * Where the process is now, in the hierarchy of version 2. Of one that has ended,
 * the number may be somebody else's.
 */
static const char *cgroup_path(const struct kvbm_session_info *s)
{
	static char line[512];
	const char *found = NULL;
	char path[64];
	FILE *f;

	if (!s->pid || s->flags & KVBM_SESSION_ENDED)
		return NULL;
	snprintf(path, sizeof(path), "/proc/%u/cgroup", s->pid);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		if (!strncmp(line, "0::", 3)) {
			line[strcspn(line, "\n")] = 0;
			found = line + 3;
		}
	if (f)
		fclose(f);
	return found;
}

/* "rw" as in modes; o: it ends with its owner; e: the process has ended; f: fenced. */
static const char *flags_word(uint32_t flags)
{
	static char word[8];

	snprintf(word, sizeof(word), "%c%c%c%c%c",
		 flags & KVBM_BIND_READ ? 'r' : '-',
		 flags & KVBM_BIND_WRITE ? 'w' : '-',
		 flags & KVBM_BIND_OWNED ? 'o' : '-',
		 flags & KVBM_SESSION_ENDED ? 'e' : '-',
		 flags & KVBM_SESSION_FENCED ? 'f' : '-');
	return word;
}

static void print_table(const struct holders *h, uint64_t now)
{
	static const char *const heads[] = {
		"BLOCKS", "GUARDS", "OLDEST", "PID", "COMM", "USER", "FLAGS",
		"MANAGER", "CGROUP",
	};
	struct table *t = table_new("rrrrlllll");
	const char *path;
	size_t i;

	table_head(t);
	for (i = 0; i < sizeof(heads) / sizeof(*heads); i++)
		table_add(t, "%s", heads[i]);
	for (i = 0; i < h->nr; i++) {
		const struct kvbm_session_info *s = &h->list[i].info;

		table_add(t, "%u", s->blocks);
		table_add(t, "%llu", (unsigned long long)s->guards);
		table_add(t, "%s", age_word(oldest_age_ns(s, now)));
		table_add(t, "%u", s->pid);
		table_add(t, "%s", comm_word(s));
		table_add(t, "%s", user_word(s->uid));
		table_add(t, "%s", flags_word(s->flags));
		table_add(t, "%s", h->list[i].manager);
		path = cgroup_path(s);
		if (path)
			table_add(t, "%s", path);
		else
			table_add(t, "%llu", (unsigned long long)s->cgroup);
	}
	table_print(t);
	table_free(t);
}

static json_t *holder_json(const struct holder *holder, uint64_t now)
{
	const struct kvbm_session_info *s = &holder->info;
	json_t *json = json_object();

	set_word(json, "manager", holder->manager);
	set_number(json, "session", s->id);
	set_number(json, "pid", s->pid);
	set_word(json, "comm", comm_word(s));
	set_number(json, "uid", s->uid);
	set_number(json, "cgroup", s->cgroup);
	set_word(json, "cgroup_path", cgroup_path(s));
	set_number(json, "blocks", s->blocks);
	set_number(json, "guards", s->guards);
	json_object_set_new(json, "oldest_seconds",
			    json_real(oldest_age_ns(s, now) / 1e9));
	json_object_set_new(json, "bound_seconds", json_real((now - s->bound_ns) / 1e9));
	json_object_set_new(json, "read", json_boolean(s->flags & KVBM_BIND_READ));
	json_object_set_new(json, "write", json_boolean(s->flags & KVBM_BIND_WRITE));
	json_object_set_new(json, "owned", json_boolean(s->flags & KVBM_BIND_OWNED));
	json_object_set_new(json, "process_ended",
			    json_boolean(s->flags & KVBM_SESSION_ENDED));
	json_object_set_new(json, "fenced",
			    json_boolean(s->flags & KVBM_SESSION_FENCED));
	return json;
}

int ctl_holders(struct ctl *ctl, int argc, char **argv)
{
	struct command command = { .ctl = ctl };
	struct holders h = { 0 };
	uint64_t now;
	json_t *json;
	size_t i;
	int err;

	err = ctl_begin(&argp, argc, argv, &command);
	if (err)
		return err;
	h.one = command.target && is_manager_name(command.target);
	err = ctl_each_manager(ctl, command.target, add_sessions, &h);
	now = monotonic_ns();
	if (!err && h.nr)
		qsort(h.list, h.nr, sizeof(*h.list), by_blocks);
	if (!err && ctl->json) {
		json = json_array();
		for (i = 0; i < h.nr; i++)
			json_array_append_new(json, holder_json(&h.list[i], now));
		err = json_print(json);
	} else if (!err) {
		print_table(&h, now);
	}
	if (h.unreadable)
		say("%zu managers may not be read, and are left out", h.unreadable);
	free(h.list);
	return err;
}
