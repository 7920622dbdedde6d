// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * kvbmctl list
 */
#include <errno.h>
#include <stdlib.h>

#include "ctl.h"
#include "output.h"
#include "say.h"
#include "table.h"

static const struct argp argp = {
	.parser = ctl_parse_none,
	.doc = "List registries and their managers.",
	.children = ctl_children,
};

/* One of the two. */
struct listing {
	struct table *table;
	json_t *json;
};

static void add_heads(struct listing *l)
{
	static const char *const heads[] = {
		"NAME", "ID", "TIER", "POLICY", "BLOCKS", "BLOCK-SIZE",
		"SESSIONS", "OWNER", "GROUP", "MODE",
	};
	size_t i;

	if (l->table)
		table_head(l->table);
	for (i = 0; l->table && i < sizeof(heads) / sizeof(*heads); i++)
		table_add(l->table, "%s", heads[i]);
}

/* Owner, group and mode end the row of either. */
static void add_rights(struct table *t, uint32_t uid, uint32_t gid, uint32_t mode)
{
	table_add(t, "%s", user_word(uid));
	table_add(t, "%s", group_word(gid));
	table_add(t, "%04o", mode);
}

static json_t *manager_json(const struct kvbm_manager_query *m)
{
	json_t *json = json_object();

	set_word(json, "name", m->name);
	set_number(json, "id", m->id);
	set_word(json, "tier", kvbm_tier_name(m->out_tier));
	set_word(json, "policy", kvbm_policy_name(m->out_policy));
	set_number(json, "blocks", m->out_block_count);
	set_number(json, "block_size", m->out_block_size);
	set_number(json, "sessions", m->out_sessions);
	rights_json(json, m->out_uid, m->out_gid, m->out_mode);
	return json;
}

static void add_manager(struct listing *l, const struct kvbm_registry_query *r,
			const struct kvbm_manager_query *m, json_t *managers)
{
	struct table *t = l->table;

	if (!t) {
		json_array_append_new(managers, manager_json(m));
		return;
	}
	table_add(t, "%s:%s", r->name, m->name);
	table_add(t, "%llu", (unsigned long long)m->id);
	table_add(t, "%s", tier_word(m->out_tier));
	table_add(t, "%s", policy_word(m->out_policy));
	table_add(t, "%u", m->out_block_count);
	table_add(t, "%u", m->out_block_size);
	table_add(t, "%u", m->out_sessions);
	add_rights(t, m->out_uid, m->out_gid, m->out_mode);
}

static json_t *registry_json(const struct kvbm_registry_query *r, json_t *managers)
{
	json_t *json = json_object();

	set_word(json, "name", r->name);
	set_number(json, "id", r->id);
	set_number(json, "capacity", r->out_capacity);
	set_number(json, "blocks", r->out_blocks);
	rights_json(json, r->out_uid, r->out_gid, r->out_mode);
	json_object_set(json, "managers", managers);
	return json;
}

/* @managers is to be filled with those in it, if that is JSON. */
static void add_registry(struct listing *l, const struct kvbm_registry_query *r,
			 json_t *managers)
{
	struct table *t = l->table;

	if (!t) {
		json_array_append_new(l->json, registry_json(r, managers));
		return;
	}
	table_add(t, "%s", r->name);
	table_add(t, "%llu", (unsigned long long)r->id);
	table_add(t, "-");
	table_add(t, "-");
	table_add(t, "%llu", (unsigned long long)r->out_blocks);
	table_add(t, "-");
	table_add(t, "-");
	add_rights(t, r->out_uid, r->out_gid, r->out_mode);
}

/* What goes while we look is left out. */
static int list_managers(struct ctl *ctl, struct listing *l,
			 const struct kvbm_registry_query *r, json_t *managers)
{
	struct kvbm_manager_query m;
	uint64_t *ids;
	ssize_t n, i;
	int err;

	n = kvbm_list_managers(ctl->kvbm, r->id, &ids);
	if (n < 0)
		return n == -ENOENT ? 0 : say_err(n, "managers of '%s'", r->name);
	for (i = 0, err = 0; i < n && !err; i++) {
		err = kvbm_query_manager(ctl->kvbm, ids[i], &m);
		if (!err)
			add_manager(l, r, &m, managers);
		else if (err == -ENOENT)
			err = 0;
		else
			say_err(err, "manager %llu",
				(unsigned long long)ids[i]);
	}
	free(ids);
	return err;
}

static int list_registry(struct ctl *ctl, struct listing *l, uint64_t id)
{
	struct kvbm_registry_query r;
	json_t *managers;
	int err;

	err = kvbm_query_registry(ctl->kvbm, id, &r);
	if (err == -ENOENT)
		return 0;
	if (err)
		return say_err(err, "registry %llu", (unsigned long long)id);
	managers = json_array();
	add_registry(l, &r, managers);
	err = list_managers(ctl, l, &r, managers);
	json_decref(managers);
	return err;
}

int ctl_list(struct ctl *ctl, int argc, char **argv)
{
	struct command command = { .ctl = ctl };
	struct listing l = { 0 };
	uint64_t *ids;
	ssize_t n, i;
	int err;

	err = ctl_begin(&argp, argc, argv, &command);
	if (err)
		return err;
	n = kvbm_list_registries(ctl->kvbm, &ids);
	if (n < 0)
		return say_err(n, "registries");
	if (ctl->json)
		l.json = json_array();
	else
		l.table = table_new("lrllrrrlll");
	add_heads(&l);
	for (i = 0; i < n && !err; i++)
		err = list_registry(ctl, &l, ids[i]);
	free(ids);
	if (l.table) {
		table_print(l.table);
		table_free(l.table);
		return err;
	}
	return json_print(l.json) ? -ENOMEM : err;
}
