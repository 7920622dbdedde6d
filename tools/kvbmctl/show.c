// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * kvbmctl show
 */
#include <errno.h>
#include <time.h>

#include "ctl.h"
#include "output.h"
#include "say.h"
#include "table.h"

static const struct argp argp = {
	.parser = ctl_parse_target,
	.args_doc = "REGISTRY | REGISTRY:MANAGER",
	.doc = "Show one registry or manager.",
	.children = ctl_children,
};

static json_t *registry_json(const struct kvbm_registry_query *r)
{
	json_t *json = json_object();

	set_word(json, "name", r->name);
	set_number(json, "id", r->id);
	set_word(json, "schema", schema_word(r->out_schema));
	set_number(json, "hash_size", r->out_hash_size);
	set_number(json, "capacity", r->out_capacity);
	set_number(json, "blocks", r->out_blocks);
	set_number(json, "entries", r->out_entries);
	set_number(json, "sketch_capacity", r->out_sketch_capacity);
	set_number(json, "managers", r->out_managers);
	rights_json(json, r->out_uid, r->out_gid, r->out_mode);
	return json;
}

static void add_rights(struct table *t, uint32_t uid, uint32_t gid, uint32_t mode)
{
	table_pair(t, "owner", "%s", user_word(uid));
	table_pair(t, "group", "%s", group_word(gid));
	table_pair(t, "mode", "%04o", mode);
}

static void print_registry(const struct kvbm_registry_query *r)
{
	struct table *t = table_new("ll");

	table_pair(t, "registry", "%s", r->name);
	table_pair(t, "id", "%llu", (unsigned long long)r->id);
	table_pair(t, "schema", "%s, %u bytes", schema_word(r->out_schema), r->out_hash_size);
	table_pair(t, "managers", "%u", r->out_managers);
	table_pair(t, "blocks", "%llu of at most %llu",
		   (unsigned long long)r->out_blocks,
		   (unsigned long long)r->out_capacity);
	table_pair(t, "hashes", "%llu", (unsigned long long)r->out_entries);
	if (r->out_sketch_capacity)
		table_pair(t, "sketch", "for %llu hashes",
			   (unsigned long long)r->out_sketch_capacity);
	add_rights(t, r->out_uid, r->out_gid, r->out_mode);
	table_print(t);
	table_free(t);
}

static json_t *manager_json(const struct kvbm_manager_query *m,
			    const struct kvbm_counters *c, json_t *backing)
{
	bool reset = m->out_flags & KVBM_MANAGER_RESET_ON_RELEASE;
	json_t *json = json_object();

	set_word(json, "name", m->name);
	set_number(json, "id", m->id);
	set_number(json, "registry", m->registry);
	set_word(json, "tier", kvbm_tier_name(m->out_tier));
	set_word(json, "policy", kvbm_policy_name(m->out_policy));
	set_word(json, "duplication", duplication_word(m->out_duplication));
	set_number(json, "blocks", m->out_block_count);
	set_number(json, "block_size", m->out_block_size);
	set_number(json, "reserved_blocks", m->out_nr_reserved);
	json_object_set_new(json, "reset_on_release", json_boolean(reset));
	set_number(json, "aux_size", m->out_aux_size);
	set_number(json, "sessions", m->out_sessions);
	set_number(json, "pins", m->out_pins);
	set_number(json, "bytes", m->out_bytes);
	set_number(json, "created_ns", m->out_created_ns);
	rights_json(json, m->out_uid, m->out_gid, m->out_mode);
	json_object_set_new(json, "backing", backing);
	if (c)
		json_object_set_new(json, "counters", counters_json(c));
	return json;
}

static void add_states(struct table *t, const struct kvbm_counters *c)
{
	uint32_t i;

	for (i = 0; i < KVBM_NR_STATES; i++)
		table_pair(t, kvbm_state_name(i), "%llu", (unsigned long long)c->states[i]);
}

static double seconds_since(uint64_t ns)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9 - ns / 1e9;
}

static void print_manager(const char *name, const struct kvbm_manager_query *m,
			  const struct kvbm_counters *c)
{
	struct table *t = table_new("ll");

	table_pair(t, "manager", "%s", name);
	table_pair(t, "id", "%llu", (unsigned long long)m->id);
	table_pair(t, "tier", "%s", tier_word(m->out_tier));
	table_pair(t, "policy", "%s", policy_word(m->out_policy));
	table_pair(t, "duplicates", "%s", duplication_word(m->out_duplication));
	table_pair(t, "blocks", "%u of %u tokens", m->out_block_count, m->out_block_size);
	if (m->out_nr_reserved)
		table_pair(t, "withheld", "the first %u blocks", m->out_nr_reserved);
	if (m->out_flags & KVBM_MANAGER_RESET_ON_RELEASE)
		table_pair(t, "on release", "%s", "reset");
	table_pair(t, "memory", "%llu KiB", (unsigned long long)m->out_bytes / 1024);
	table_pair(t, "age", "%.1f s", seconds_since(m->out_created_ns));
	table_pair(t, "sessions", "%u, and %u pins", m->out_sessions, m->out_pins);
	add_rights(t, m->out_uid, m->out_gid, m->out_mode);
	if (c)
		add_states(t, c);
	table_print(t);
	table_free(t);
}

static int show_registry(struct ctl *ctl, const char *name)
{
	struct kvbm_registry_query r;
	int err;

	err = ctl_find_registry(ctl, name, &r);
	if (err)
		return err;
	if (ctl->json)
		return json_print(registry_json(&r));
	print_registry(&r);
	return 0;
}

static int show_manager(struct ctl *ctl, const char *name)
{
	struct kvbm_counters counters, *c = &counters;
	struct kvbm_manager_query m;
	int err;

	err = ctl_find_manager(ctl, name, &m);
	if (err)
		return err;
	err = kvbm_manager_counters(ctl->kvbm, m.id, c);
	if (err == -EACCES)
		c = NULL;	/* What a manager is, anyone may know. */
	else if (err)
		return say_err(err, "manager '%s'", name);
	if (ctl->json)
		return json_print(manager_json(&m, c, backing_json(ctl, m.id)));
	print_manager(name, &m, c);
	print_backing(ctl, m.id);
	return 0;
}

int ctl_show(struct ctl *ctl, int argc, char **argv)
{
	struct command command = { .ctl = ctl };
	int err;

	err = ctl_begin(&argp, argc, argv, &command);
	if (err)
		return err;
	if (is_manager_name(command.target))
		return show_manager(ctl, command.target);
	return show_registry(ctl, command.target);
}
