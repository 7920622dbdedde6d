// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * kvbmctl quota
 */
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "output.h"
#include "parse.h"
#include "say.h"
#include "table.h"

#define NOBODY_YET	UINT32_MAX

/* Whose, and what is to be done. */
struct quota {
	struct command command;
	uint32_t kind;		/* KVBM_QUOTA_*, or NOBODY_YET */
	uint64_t id;
	const char *group;	/* of --cgroup */
	bool set;
	uint64_t blocks;
};

/* What is told: a row of the table, an object of the array. */
struct report {
	struct table *table;	/* or */
	json_t *json;
};

enum { OPT_SESSION = 0x200, OPT_USER, OPT_CGROUP, OPT_SET, OPT_CLEAR };

static const struct argp_option options[] = {
	{ "session", OPT_SESSION, NULL, 0, "of each session", 0 },
	{ "user", OPT_USER, "USER", 0,
	  "of a user, by name or number; 'each': of each without a limit of its own", 0 },
	{ "cgroup", OPT_CGROUP, "GROUP", 0,
	  "of a group of cgroup v2 and all below it, by path or number", 0 },
	{ "set", OPT_SET, "BLOCKS", 0, "the most that may be held; " PARSE_SUFFIXES, 0 },
	{ "clear", OPT_CLEAR, NULL, 0, "no limit", 0 },
	{ 0 }
};

static error_t parse_user(const char *arg, struct argp_state *state, uint64_t *id)
{
	const struct passwd *user = getpwnam(arg);
	char *end;

	if (!strcmp(arg, "each")) {
		*id = KVBM_QUOTA_EACH;
		return 0;
	}
	if (user) {
		*id = user->pw_uid;
		return 0;
	}
	errno = 0;
	*id = strtoull(arg, &end, 10);
	if (errno || *end || *arg < '0' || *arg > '9' || *id >= UINT32_MAX)
		argp_error(state, "--user=%s: there is no such user", arg);
	return 0;
}

static void choose_kind(struct quota *q, struct argp_state *state, uint32_t kind)
{
	if (q->kind != NOBODY_YET)
		argp_error(state, "one of --session, --user and --cgroup, once");
	q->kind = kind;
}

static void choose_blocks(struct quota *q, struct argp_state *state, const char *arg)
{
	if (q->set)
		argp_error(state, "one of --set and --clear, once");
	q->set = true;
	q->blocks = KVBM_QUOTA_NONE;
	if (arg && parse_count(arg, 0, UINT32_MAX, &q->blocks))
		argp_error(state, "--set=%s: not a number of 0 to %u", arg, UINT32_MAX);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct quota *q = state->input;

	switch (key) {
	case OPT_SESSION:
		choose_kind(q, state, KVBM_QUOTA_SESSION);
		return 0;
	case OPT_USER:
		choose_kind(q, state, KVBM_QUOTA_UID);
		return parse_user(arg, state, &q->id);
	case OPT_CGROUP:
		choose_kind(q, state, KVBM_QUOTA_CGROUP);
		q->group = arg;
		return 0;
	case OPT_SET:
	case OPT_CLEAR:
		choose_blocks(q, state, arg);
		return 0;
	case ARGP_KEY_END:
		if (q->set && q->kind == NOBODY_YET)
			argp_error(state, "whose limit? --session, --user or --cgroup");
		break;
	default:
		break;
	}
	return ctl_parse_target(key, arg, state);
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "REGISTRY:MANAGER",
	.doc = "Limit how many blocks each session, a user or a group may hold, or show what\n"
	       "the limits are.",
	.children = ctl_children,
};

static const char *const kinds[] = {
	[KVBM_QUOTA_SESSION] = "session",
	[KVBM_QUOTA_UID] = "user",
	[KVBM_QUOTA_CGROUP] = "cgroup",
};

static bool is_for_all(uint32_t kind, uint64_t id)
{
	return kind == KVBM_QUOTA_SESSION || id == KVBM_QUOTA_EACH;
}

static const char *who_word(uint32_t kind, uint64_t id)
{
	if (is_for_all(kind, id))
		return "each";
	return kind == KVBM_QUOTA_UID ? user_word(id) : cgroup_word(id);
}

static void add_row(struct table *t, uint32_t kind, uint64_t id, uint64_t limit,
		    uint64_t held)
{
	table_add(t, "%s", kinds[kind]);
	table_add(t, "%s", who_word(kind, id));
	if (limit == KVBM_QUOTA_NONE)
		table_add(t, "none");
	else
		table_add(t, "%" PRIu64, limit);
	if (is_for_all(kind, id))
		table_add(t, "-");
	else
		table_add(t, "%" PRIu64, held);
}

static void add_object(json_t *list, uint32_t kind, uint64_t id, uint64_t limit,
		       uint64_t held)
{
	json_t *json = json_object();

	set_word(json, "kind", kinds[kind]);
	set_word(json, "who", who_word(kind, id));
	if (limit == KVBM_QUOTA_NONE)
		json_object_set_new(json, "limit", json_null());
	else
		set_number(json, "limit", limit);
	if (!is_for_all(kind, id)) {
		set_number(json, "id", id);
		set_number(json, "held", held);
	}
	json_array_append_new(list, json);
}

static void add(struct report *report, uint32_t kind, uint64_t id, uint64_t limit,
		uint64_t held)
{
	if (report->json)
		add_object(report->json, kind, id, limit, held);
	else
		add_row(report->table, kind, id, limit, held);
}

static int add_one(struct ctl *ctl, uint64_t manager, uint32_t kind, uint64_t id,
		   struct report *report)
{
	uint64_t limit, held;
	int err = kvbm_get_quota(ctl->kvbm, manager, kind, id, &limit, &held);

	if (!err)
		add(report, kind, id, limit, held);
	return err;
}

/* All users, or groups, that have a limit or hold something. */
static int add_each(struct ctl *ctl, uint64_t manager, uint32_t kind,
		    struct report *report)
{
	uint64_t id = 0, limit, held;
	int err;

	for (;; id++) {
		err = kvbm_next_quota(ctl->kvbm, manager, kind, &id, &limit, &held);
		if (err)
			break;
		add(report, kind, id, limit, held);
	}
	/* That was the last one; or a kernel without cgroups. */
	return err == -ENOENT || err == -EOPNOTSUPP ? 0 : err;
}

static int add_all(struct ctl *ctl, uint64_t manager, struct report *report)
{
	int err;

	err = add_one(ctl, manager, KVBM_QUOTA_SESSION, 0, report);
	if (!err)
		err = add_one(ctl, manager, KVBM_QUOTA_UID, KVBM_QUOTA_EACH, report);
	if (!err)
		err = add_each(ctl, manager, KVBM_QUOTA_UID, report);
	return err ? err : add_each(ctl, manager, KVBM_QUOTA_CGROUP, report);
}

static void report_begin(struct report *report, bool json)
{
	static const char *const heads[] = { "KIND", "WHO", "LIMIT", "HELD" };
	size_t i;

	report->json = json ? json_array() : NULL;
	report->table = table_new("llrr");
	table_head(report->table);
	for (i = 0; i < 4; i++)
		table_add(report->table, "%s", heads[i]);
}

static int report_end(struct report *report)
{
	int err = 0;

	if (report->json)
		err = json_print(report->json);
	else
		table_print(report->table);
	table_free(report->table);
	return err;
}

static int set_quota(struct ctl *ctl, const struct quota *q, uint64_t manager)
{
	int err = kvbm_set_quota(ctl->kvbm, manager, q->kind, q->id, q->blocks);

	if (err == -EDQUOT) {
		say("%s: %u users and groups have a limit of their own; --clear one of them",
		    q->command.target, KVBM_MAX_QUOTAS);
		return err;
	}
	return err ? say_err(err, "limit of '%s'", q->command.target) : 0;
}

static int find_group(struct quota *q)
{
	int err = cgroup_parse(q->group, &q->id);

	if (err == -EINVAL || err == -ENOENT || err == -ENOTDIR)
		say("no group '%s' in cgroup v2; 'kvbmctl holders' shows those of sessions",
		    q->group);
	else if (err)
		say_err(err, "group '%s'", q->group);
	return err;
}

int ctl_quota(struct ctl *ctl, int argc, char **argv)
{
	struct quota q = { .command.ctl = ctl, .kind = NOBODY_YET };
	struct kvbm_manager_query m;
	struct report report;
	int err;

	err = ctl_begin(&argp, argc, argv, &q);
	if (!err)
		err = ctl_find_manager(ctl, q.command.target, &m);
	if (!err && q.group)
		err = find_group(&q);
	if (!err && q.set)
		err = set_quota(ctl, &q, m.id);
	if (err)
		return err;
	report_begin(&report, ctl->json);
	if (q.kind == NOBODY_YET)
		err = add_all(ctl, m.id, &report);
	else
		err = add_one(ctl, m.id, q.kind, q.id, &report);
	if (!err)
		return report_end(&report);
	json_decref(report.json);
	table_free(report.table);
	return say_err(err, "limits of '%s'", q.command.target);
}
