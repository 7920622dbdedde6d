// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * kvbmctl monitor
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include <kvbm/events.h>

#include "ctl.h"
#include "output.h"
#include "parse.h"
#include "say.h"
#include "stop.h"

enum { OPT_DUMP = 0x100, OPT_POWER_OF_TWO };

struct monitor {
	struct command command;
	bool dump;
	uint64_t count;	/* events to print; 0 for all */
	struct kvbm_event_policy policy;
	const char *registry;
	/* The manager that was last named. */
	uint64_t manager;
	char name[KVBM_NAME_SIZE];
};

static const struct argp_option options[] = {
	{ "count", 'n', "N", 0, "end after N events", 0 },
	{ "dump", OPT_DUMP, NULL, 0, "first what is present", 0 },
	{ "power-of-two", OPT_POWER_OF_TWO, NULL, 0,
	  "of blocks only those at positions 16, 32, 64 ... 65536", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct monitor *m = state->input;

	switch (key) {
	case 'n':
		if (parse_count(arg, 1, UINT64_MAX, &m->count))
			argp_error(state, "--count=%s: not a number of events", arg);
		return 0;
	case OPT_DUMP:
		m->dump = true;
		return 0;
	case OPT_POWER_OF_TWO:
		m->policy = KVBM_EVENT_POLICY_POWER_OF_TWO;
		return 0;
	default:
		return ctl_parse_target(key, arg, state);
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "REGISTRY",
	.doc = "Print the events of a registry as they happen; count those that were lost.",
	.children = ctl_children,
};

/* A manager may be gone when its events are read: its number, then. */
static const char *manager_word(struct monitor *m, uint64_t id)
{
	struct kvbm_manager_query q;

	if (m->manager == id)
		return m->name;
	m->manager = id;
	if (!kvbm_query_manager(m->command.ctl->kvbm, id, &q) && q.name[0])
		snprintf(m->name, sizeof(m->name), "%s", q.name);
	else
		snprintf(m->name, sizeof(m->name), "%" PRIu64, id);
	return m->name;
}

static const char *type_word(const struct kvbm_event_record *r)
{
	const char *word = kvbm_event_type_name(r->type);

	if (r->flags & KVBM_EVENT_SNAPSHOT)
		return "present";
	return word ? word : "?";
}

static void print_json(struct monitor *m, const struct kvbm_event_record *r)
{
	const uint8_t *aux = kvbm_event_aux(r);
	json_t *json = json_object();
	char text[2 * KVBM_MAX_AUX + 1];
	uint32_t i;

	if (r->sequence) {
		set_number(json, "sequence", r->sequence);
		set_number(json, "time_ns", r->time_ns);
	}
	set_word(json, "type", type_word(r));
	set_word(json, "manager", manager_word(m, r->manager));
	set_number(json, "manager_id", r->manager);
	set_word(json, "tier", tier_word(r->tier));
	if (r->hash_size) {
		snprintf(text, sizeof(text), "%016llx%016llx", r->hash.hi, r->hash.lo);
		set_word(json, "hash", text);
		set_number(json, "position", kvbm_event_position(r));
		set_number(json, "block", r->block);
		set_number(json, "generation", r->gen);
		json_object_set_new(json, "first",
				    json_boolean(r->flags & KVBM_EVENT_FIRST));
		json_object_set_new(json, "last",
				    json_boolean(r->flags & KVBM_EVENT_LAST));
	}
	if (r->aux_size && r->aux_size <= KVBM_MAX_AUX) {
		for (i = 0; i < r->aux_size; i++)
			snprintf(text + 2 * i, 3, "%02x", aux[i]);
		set_word(json, "aux", text);
	}
	json_dumpf(json, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(json);
}

static void print_text(struct monitor *m, const struct kvbm_event_record *r)
{
	if (r->sequence)
		printf("%" PRIu64 " %" PRIu64 ".%09" PRIu64 " ", (uint64_t)r->sequence,
		       (uint64_t)r->time_ns / 1000000000,
		       (uint64_t)r->time_ns % 1000000000);
	printf("%s %s:%s %s", type_word(r), m->registry, manager_word(m, r->manager),
	       tier_word(r->tier));
	if (r->hash_size)
		printf(" block %u gen %u position %u hash %016llx%016llx%s%s", r->block,
		       r->gen, kvbm_event_position(r), r->hash.hi, r->hash.lo,
		       r->flags & KVBM_EVENT_FIRST ? " first" : "",
		       r->flags & KVBM_EVENT_LAST ? " last" : "");
	putchar('\n');
}

static int print(void *arg, const struct kvbm_event_record *r)
{
	struct monitor *m = arg;

	if (!kvbm_event_wanted(&m->policy, r))
		return 0;
	if (m->command.ctl->json)
		print_json(m, r);
	else
		print_text(m, r);
	return ferror(stdout) ? -EIO : 0;
}

static void print_lost(const struct monitor *m, uint64_t lost)
{
	if (m->command.ctl->json)
		printf("{\"lost\":%" PRIu64 "}\n", lost);
	else
		printf("lost %" PRIu64 " events\n", lost);
}

static int follow(struct monitor *m, struct kvbm_events *events)
{
	const struct kvbm_event_record *r;
	uint64_t printed = 0;
	int ret;

	while (!stop_requested() && (!m->count || printed < m->count)) {
		ret = kvbm_events_next(events, &r, -1);
		if (ret == -EINTR)
			continue;
		if (ret < 0)
			return ret == -ENODATA ? 0 : say_err(ret, "events");
		if (kvbm_events_gap(events))
			print_lost(m, kvbm_events_gap(events));
		printed += kvbm_event_wanted(&m->policy, r);
		ret = print(m, r);
		if (ret)
			return ret;
	}
	return 0;
}

int ctl_monitor(struct ctl *ctl, int argc, char **argv)
{
	struct monitor m = { .command.ctl = ctl, .policy = KVBM_EVENT_POLICY_ALL };
	struct kvbm_registry_query r;
	struct kvbm_dump_range range;
	struct kvbm_events *events;
	int err;

	err = ctl_begin(&argp, argc, argv, &m);
	if (err)
		return err;
	if (is_manager_name(m.command.target)) {
		say("'%s': events are those of a whole REGISTRY", m.command.target);
		return -EINVAL;
	}
	err = ctl_find_registry(ctl, m.command.target, &r);
	if (err)
		return err;
	m.registry = r.name;
	err = kvbm_events_open(ctl->kvbm, r.id, &events);
	if (err)
		return say_err(err, "events of '%s'", m.registry);
	stop_on_signals();
	/* Whoever reads along shall not wait for a full buffer. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (m.dump)
		err = kvbm_events_dump(events, print, &m, &range);
	if (err && err != -EIO)
		say_err(err, "dump of '%s'", m.registry);
	if (!err)
		err = follow(&m, events);
	kvbm_events_close(events);
	return err;
}
