// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * kvbmctl gc
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl.h"
#include "output.h"
#include "parse.h"
#include "say.h"
#include "sessions.h"
#include "table.h"

#define MAX_AGE_S	(365U * 86400)

struct garbage {
	char name[2 * KVBM_NAME_SIZE];
	bool is_manager;
	uint64_t id;
	uint64_t cached;
	uint64_t bytes;
	const char *result;
};

struct gc {
	struct command command;
	bool cached;
	bool destroy;
	uint64_t older_s;
	struct garbage *list;
	size_t nr;
	uint64_t now_ns;
};

enum { OPT_CACHED = 0x200, OPT_DESTROY, OPT_OLDER };

static const struct argp_option options[] = {
	{ "cached", OPT_CACHED, NULL, 0,
	  "managers with something in their cache, too: a warm cache is lost", 0 },
	{ "older", OPT_OLDER, "SECONDS", 0,
	  "only managers that were made so long ago (default 60)", 0 },
	{ "destroy", OPT_DESTROY, NULL, 0, "do it; without this, only say what there is", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct gc *gc = state->input;

	switch (key) {
	case OPT_CACHED:
		gc->cached = true;
		return 0;
	case OPT_OLDER:
		if (parse_count(arg, 0, MAX_AGE_S, &gc->older_s))
			argp_error(state, "--older=%s: not a number of 0 to %u", arg,
				   MAX_AGE_S);
		return 0;
	case OPT_DESTROY:
		gc->destroy = true;
		return 0;
	default:
		return ctl_parse_optional(key, arg, state);
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "[REGISTRY | REGISTRY:MANAGER]",
	.doc = "Find what nobody uses: managers without a session and with an empty cache, and\n"
	       "registries without a manager. Nothing is destroyed without --destroy.",
	.children = ctl_children,
};

static struct garbage *add(struct gc *gc)
{
	struct garbage *more = reallocarray(gc->list, gc->nr + 1, sizeof(*more));

	if (!more)
		return NULL;
	gc->list = more;
	more[gc->nr] = (struct garbage){ .result = "kept" };
	return &more[gc->nr++];
}

static int look(struct ctl *ctl, const struct kvbm_registry_query *r,
		const struct kvbm_manager_query *m, void *arg)
{
	struct kvbm_counters c;
	struct gc *gc = arg;
	struct garbage *g;
	int err;

	if (m) {
		/* One that has just been made waits for its first session. */
		if (m->out_sessions || !m->name[0] ||
		    gc->now_ns - m->out_created_ns < gc->older_s * 1000000000)
			return 0;
		err = kvbm_manager_counters(ctl->kvbm, m->id, &c);
		if (err == -ENOENT || err == -EACCES)
			return 0;
		if (err)
			return say_err(err, "manager '%s'", full_name(r, m));
		if (c.inactive_pool_size && !gc->cached)
			return 0;
	} else if (r->out_managers) {
		return 0;
	}
	g = add(gc);
	if (!g)
		return say_err(-ENOMEM, "list");
	g->is_manager = m;
	g->id = m ? m->id : r->id;
	g->cached = m ? c.inactive_pool_size : 0;
	g->bytes = m ? m->out_bytes : 0;
	snprintf(g->name, sizeof(g->name), "%s", m ? full_name(r, m) : r->name);
	return 0;
}

/* Never by force: whoever has come meanwhile keeps what it has. */
static int destroy(struct ctl *ctl, struct garbage *g)
{
	int err;

	if (g->is_manager)
		err = kvbm_destroy_manager(ctl->kvbm, g->id, false);
	else
		err = kvbm_destroy_registry(ctl->kvbm, g->id);
	if (err == -EBUSY) {
		g->result = "in use again";
		return 0;
	}
	if (err && err != -ENOENT) {
		g->result = "failed";
		return say_err(err, "%s", g->name);
	}
	g->result = "destroyed";
	return 0;
}

static void print_table(const struct gc *gc)
{
	static const char *const heads[] = { "NAME", "CACHED", "MEMORY", "" };
	struct table *t = table_new("lrrl");
	size_t i;

	table_head(t);
	for (i = 0; i < 4; i++)
		table_add(t, "%s", heads[i]);
	for (i = 0; i < gc->nr; i++) {
		const struct garbage *g = &gc->list[i];

		table_add(t, "%s", g->name);
		table_add(t, "%llu", (unsigned long long)g->cached);
		table_add(t, "%llu KiB", (unsigned long long)g->bytes / 1024);
		table_add(t, "%s", g->result);
	}
	table_print(t);
	table_free(t);
}

static json_t *garbage_json(const struct gc *gc)
{
	json_t *all = json_array(), *json;
	size_t i;

	for (i = 0; i < gc->nr; i++) {
		json = json_object();
		set_word(json, "name", gc->list[i].name);
		set_number(json, "cached", gc->list[i].cached);
		set_number(json, "bytes", gc->list[i].bytes);
		set_word(json, "result", gc->list[i].result);
		json_array_append_new(all, json);
	}
	return all;
}

int ctl_gc(struct ctl *ctl, int argc, char **argv)
{
	struct gc gc = { .command.ctl = ctl, .older_s = 60 };
	size_t i;
	int err, first = 0;

	err = ctl_begin(&argp, argc, argv, &gc);
	if (err)
		return err;
	gc.now_ns = monotonic_ns();
	err = ctl_each_manager(ctl, gc.command.target, look, &gc);
	for (i = 0; !err && gc.destroy && i < gc.nr; i++) {
		int failed = destroy(ctl, &gc.list[i]);

		first = first ? first : failed;
	}
	if (!err && ctl->json)
		err = json_print(garbage_json(&gc));
	else if (!err && gc.nr)
		print_table(&gc);
	if (!err && gc.nr && !gc.destroy)
		say("nothing was destroyed; --destroy does it");
	free(gc.list);
	return err ? err : first;
}
