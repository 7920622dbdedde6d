// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * kvbmctl top
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output.h"
#include "parse.h"
#include "say.h"
#include "sessions.h"
#include "stop.h"
#include "table.h"
#include "top.h"

#define MAX_INTERVAL_S	3600
#define MAX_COUNT	1000000

struct options {
	struct command command;
	uint64_t interval_s;
	uint64_t count;
	bool batch;
};

static const struct argp_option options[] = {
	{ "interval", 'i', "SECONDS", 0, "how often to look (default 2)", 0 },
	{ "count", 'n', "N", 0, "look so many times, then end", 0 },
	{ "batch", 'b', NULL, 0, "a table each time, and no screen; --json has none either", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'i':
		if (parse_count(arg, 1, MAX_INTERVAL_S, &o->interval_s))
			argp_error(state, "--interval=%s: not a number of 1 to %d", arg,
				   MAX_INTERVAL_S);
		return 0;
	case 'n':
		if (parse_count(arg, 1, MAX_COUNT, &o->count))
			argp_error(state, "--count=%s: not a number of 1 to %d", arg,
				   MAX_COUNT);
		return 0;
	case 'b':
		o->batch = true;
		return 0;
	default:
		return ctl_parse_optional(key, arg, state);
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "[REGISTRY | REGISTRY:MANAGER]",
	.doc = "Watch managers: blocks per state, hit rate, evictions, and who holds what.",
	.children = ctl_children,
};

uint64_t top_oldest_ns(const struct top *top, const struct top_manager *m)
{
	uint64_t oldest = 0, age;
	size_t i;

	for (i = 0; i < m->nr_sessions; i++) {
		age = oldest_age_ns(&m->sessions[i], top->now_ns);
		oldest = age > oldest ? age : oldest;
	}
	return oldest;
}

static struct top_manager *manager_of(struct top *top, uint64_t id)
{
	struct top_manager *more;
	size_t i;

	for (i = 0; i < top->nr; i++)
		if (top->managers[i].query.id == id)
			return &top->managers[i];
	more = reallocarray(top->managers, top->nr + 1, sizeof(*more));
	if (!more)
		return NULL;
	top->managers = more;
	memset(&more[top->nr], 0, sizeof(*more));
	more[top->nr].stats = kvbm_stats_new(NULL);
	if (!more[top->nr].stats)
		return NULL;
	kvbm_stats_enable(more[top->nr].stats, true);
	return &more[top->nr++];
}

static void forget(struct top_manager *m)
{
	kvbm_stats_free(m->stats);
	free(m->sessions);
}

static int look_at(struct ctl *ctl, const struct kvbm_registry_query *r,
		   const struct kvbm_manager_query *query, void *arg)
{
	struct kvbm_session_info *sessions = NULL;
	struct kvbm_counters counters;
	struct top_manager *m;
	struct top *top = arg;
	ssize_t n = 0;
	int err;

	if (!query)
		return 0;
	err = kvbm_manager_counters(ctl->kvbm, query->id, &counters);
	if (!err)
		n = sessions_of(ctl->kvbm, query->id, &sessions);
	err = err ? err : n < 0 ? n : 0;
	if (err == -EACCES)
		top->unreadable++;
	if (err == -EACCES || err == -ENOENT)
		return 0;
	if (err)
		return say_err(err, "manager '%s'", full_name(r, query));
	m = manager_of(top, query->id);
	if (!m) {
		free(sessions);
		return say_err(-ENOMEM, "managers");
	}
	snprintf(m->name, sizeof(m->name), "%s", full_name(r, query));
	m->query = *query;
	m->counters = counters;
	free(m->sessions);
	m->sessions = sessions;
	m->nr_sessions = n;
	kvbm_stats_add(m->stats, monotonic_ns(), &counters);
	kvbm_stats_latest(m->stats, &m->now);
	m->seen = true;
	return 0;
}

static int look(struct ctl *ctl, const char *target, struct top *top)
{
	size_t i, kept = 0;
	int err;

	top->unreadable = 0;
	for (i = 0; i < top->nr; i++)
		top->managers[i].seen = false;
	err = ctl_each_manager(ctl, target, look_at, top);
	top->now_ns = monotonic_ns();
	/* What has gone since the last look. */
	for (i = 0; i < top->nr; i++) {
		if (top->managers[i].seen)
			top->managers[kept++] = top->managers[i];
		else
			forget(&top->managers[i]);
	}
	top->nr = kept;
	return err;
}

static void print_table(const struct top *top)
{
	static const char *const heads[] = {
		"MANAGER", "TIER", "BLOCKS", "IN-USE", "CACHED", "HIT%", "ALLOC/S",
		"EVICT/S", "REGRET%", "WAITS", "SESSIONS", "OLDEST",
	};
	struct table *t = table_new("llrrrrrrrrrr");
	size_t i;

	table_head(t);
	for (i = 0; i < sizeof(heads) / sizeof(*heads); i++)
		table_add(t, "%s", heads[i]);
	for (i = 0; i < top->nr; i++) {
		const struct top_manager *m = &top->managers[i];

		table_add(t, "%s", m->name);
		table_add(t, "%s", tier_word(m->query.out_tier));
		table_add(t, "%u", m->query.out_block_count);
		table_add(t, "%llu", (unsigned long long)top_in_use(m));
		table_add(t, "%llu", (unsigned long long)m->counters.inactive_pool_size);
		table_add(t, "%.1f", 100 * m->now.match_hit_rate);
		table_add(t, "%.0f", m->now.allocation_rate);
		table_add(t, "%.0f", m->now.eviction_rate);
		table_add(t, "%.1f", 100 * top_regret(m));
		table_add(t, "%llu", (unsigned long long)m->counters.waits);
		table_add(t, "%zu", m->nr_sessions);
		table_add(t, "%s", age_word(top_oldest_ns(top, m)));
	}
	table_print(t);
	table_free(t);
	putchar('\n');
}

static json_t *manager_json(const struct top *top, const struct top_manager *m)
{
	json_t *json = json_object();

	set_word(json, "name", m->name);
	set_number(json, "id", m->query.id);
	set_word(json, "tier", kvbm_tier_name(m->query.out_tier));
	set_number(json, "blocks", m->query.out_block_count);
	json_object_set_new(json, "states", states_json(m->counters.states));
	json_object_set_new(json, "match_hit_rate", json_real(m->now.match_hit_rate));
	json_object_set_new(json, "scan_hit_rate", json_real(m->now.scan_hit_rate));
	json_object_set_new(json, "allocation_rate", json_real(m->now.allocation_rate));
	json_object_set_new(json, "eviction_rate", json_real(m->now.eviction_rate));
	json_object_set_new(json, "regret", json_real(top_regret(m)));
	set_number(json, "waits", m->counters.waits);
	set_number(json, "allocation_failures", m->counters.allocation_failures);
	set_number(json, "sessions", m->nr_sessions);
	json_object_set_new(json, "oldest_seconds",
			    json_real(top_oldest_ns(top, m) / 1e9));
	return json;
}

static int print_json(const struct top *top)
{
	json_t *json = json_array();
	size_t i;

	for (i = 0; i < top->nr; i++)
		json_array_append_new(json, manager_json(top, &top->managers[i]));
	return json_print(json);
}

static int show(const struct options *o, const struct top *top, bool screen)
{
	int err = 0;

	if (screen) {
		screen_draw(top, o->interval_s);
		return 0;
	}
	if (o->command.ctl->json)
		err = print_json(top);
	else
		print_table(top);
	/* For whoever reads the other end of a pipe. */
	return err ? err : finish_stdout();
}

static int watch(const struct options *o, struct top *top, bool screen)
{
	uint64_t done = 0;
	int err;

	for (;;) {
		err = look(o->command.ctl, o->command.target, top);
		if (!err)
			err = show(o, top, screen);
		if (err || ++done == o->count || stop_requested())
			return err;
		if (screen ? !screen_wait(o->interval_s * 1000) :
			     sleep(o->interval_s) && stop_requested())
			return 0;
	}
}

int ctl_top(struct ctl *ctl, int argc, char **argv)
{
	struct options o = { .command.ctl = ctl, .interval_s = 2 };
	struct top top = { 0 };
	bool screen;
	size_t i;
	int err;

	err = ctl_begin(&argp, argc, argv, &o);
	if (err)
		return err;
	screen = !o.batch && !ctl->json;
	stop_on_signals();
	/* What is wrong with the target is said before the screen is taken. */
	if (screen)
		err = look(ctl, o.command.target, &top);
	if (!err && screen && !screen_begin()) {
		say("this is no terminal for a screen; try --batch or --json");
		err = -ENOTTY;
	}
	if (!err) {
		err = watch(&o, &top, screen);
		if (screen)
			screen_end();
	}
	for (i = 0; i < top.nr; i++)
		forget(&top.managers[i]);
	free(top.managers);
	return err;
}
