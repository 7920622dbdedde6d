// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The metrics. The first 19 have the names and the meaning that they have in
 * kvbm-logical; Documentation/metrics.rst has all of them.
 */
#include <stddef.h>

#include "exporter.h"
#include "sessions.h"

enum unit { NUMBER, SECONDS };

/**
 * struct family - a metric that is a member of struct kvbm_counters
 * @name: of the metric
 * @type: "counter" or "gauge"
 * @offset: of the member
 * @unit: NUMBER, or SECONDS for a member in nanoseconds
 * @help: for people
 */
struct family {
	const char *name;
	const char *type;
	size_t offset;
	enum unit unit;
	const char *help;
};

#define FAMILY(metric, kind, member, unit, help)			\
	{ "kvbm_" metric, kind, offsetof(struct kvbm_counters, member), unit, help }
#define COUNTER(member, help)						\
	FAMILY(#member "_total", "counter", member, NUMBER, help)
#define GAUGE(member, help)						\
	FAMILY(#member, "gauge", member, NUMBER, help)

static const struct family families[] = {
	COUNTER(allocations, "Blocks handed out by allocation."),
	COUNTER(allocations_from_reset,
		"Blocks handed out by allocation that came from the reset pool."),
	COUNTER(evictions,
		"Blocks whose cached contents were thrown away to hand the block out."),
	COUNTER(registrations,
		"Blocks registered, with those that were refused or became duplicates."),
	COUNTER(duplicate_blocks,
		"Registrations that made a duplicate of a block that was there."),
	COUNTER(registration_dedup,
		"Registrations that were refused in favour of a block that was there."),
	COUNTER(stagings, "Blocks that were given their hash."),
	COUNTER(match_hashes_requested, "Hashes that were looked for by match."),
	COUNTER(match_blocks_returned, "Guards on cached blocks that match found."),
	COUNTER(scan_hashes_requested, "Hashes that were looked for by scan."),
	COUNTER(scan_blocks_returned, "Distinct cached blocks that scan found."),
	COUNTER(eager_primary_to_inactive,
		"Audit: a race of kvbm-logical that cannot happen here; stays 0."),
	COUNTER(allocate_atomic_rollback,
		"Audit: large allocations undone half way: the pool is too small for them."),
	COUNTER(release_primary_noop,
		"Audit: a race of kvbm-logical that cannot happen here; stays 0."),
	COUNTER(release_duplicate_noop,
		"Audit: a race of kvbm-logical that cannot happen here; stays 0."),
	GAUGE(inflight_mutable, "Blocks that are allocated and being filled."),
	GAUGE(inflight_immutable, "Guards (not blocks) on registered blocks."),
	GAUGE(reset_pool_size, "Blocks that hold nothing."),
	GAUGE(inactive_pool_size, "Blocks that are cached and that nobody uses."),

	/* Those below kvbm-logical has not. */
	FAMILY("allocation_failures_total", "counter", allocation_failures, NUMBER,
	       "Allocations refused for lack of blocks."),
	FAMILY("allocation_waits_total", "counter", waits, NUMBER,
	       "Allocations that waited for blocks."),
	FAMILY("allocation_wait_timeouts_total", "counter", wait_timeouts, NUMBER,
	       "Allocations that waited for blocks until their deadline, in vain."),
	FAMILY("allocation_wait_seconds_total", "counter", wait_total_ns, SECONDS,
	       "Time that allocations spent waiting for blocks."),
	FAMILY("reclaimed_sessions_total", "counter", reclaimed_sessions, NUMBER,
	       "Sessions that ended, by death or by close, while they held blocks."),
	FAMILY("reclaim_seconds_total", "counter", reclaim_total_ns, SECONDS,
	       "Time that taking back what they held took."),
	FAMILY("reclaim_last_seconds", "gauge", reclaim_last_ns, SECONDS,
	       "How long the last taking back took."),
	FAMILY("reclaim_longest_seconds", "gauge", reclaim_max_ns, SECONDS,
	       "How long the longest taking back took."),
	FAMILY("regret_evictions_total", "counter", regret_evictions, NUMBER,
	       "Evictions of hashes that are watched for regret."),
	FAMILY("regrets_total", "counter", regrets, NUMBER,
	       "Of those, evicted hashes that were registered again soon after."),
	FAMILY("regret_gap_seconds_total", "counter", regret_total_ns, SECONDS,
	       "Time from eviction to registration of all regrets together."),
	FAMILY("regret_sample_hashes", "gauge", regret_sample, NUMBER,
	       "One in so many hashes is watched for regret."),
};

#define NR_FAMILIES	(sizeof(families) / sizeof(*families))

static void begin(struct text *text, const char *name, const struct manager *m)
{
	text_begin(text, name);
	text_label(text, "pool", kvbm_tier_name(m->query.out_tier) ?: "?");
	text_label(text, "registry", m->registry);
	text_label(text, "manager", m->name);
}

static void write_counters(struct text *text, const struct view *view,
			   const struct family *family)
{
	size_t i;

	text_family(text, family->name, family->type, family->help);
	for (i = 0; i < view->nr_managers; i++) {
		const struct manager *m = &view->managers[i];
		const void *at = (const char *)&m->counters + family->offset;

		begin(text, family->name, m);
		if (family->unit == SECONDS)
			text_seconds(text, *(const __u64 *)at);
		else
			text_integer(text, *(const __u64 *)at);
	}
}

static void write_states(struct text *text, const struct view *view)
{
	static const char name[] = "kvbm_blocks";
	uint32_t state;
	size_t i;

	text_family(text, name, "gauge", "Blocks in each state.");
	for (i = 0; i < view->nr_managers; i++)
		for (state = 0; state < KVBM_NR_STATES; state++) {
			begin(text, name, &view->managers[i]);
			text_label(text, "state", kvbm_state_name(state));
			text_integer(text, view->managers[i].counters.states[state]);
		}
}

static void write_reclaimed(struct text *text, const struct view *view)
{
	static const char name[] = "kvbm_reclaimed_guards_total";
	static const struct {
		const char *state;
		size_t offset;
	} kinds[] = {
		{ "mutable", offsetof(struct kvbm_counters, reclaimed_mutable) },
		{ "staged", offsetof(struct kvbm_counters, reclaimed_staged) },
		{ "registered", offsetof(struct kvbm_counters, reclaimed_immutable) },
	};
	size_t i, k;

	text_family(text, name, "counter",
		    "Guards taken back from sessions that ended, by state of the block.");
	for (i = 0; i < view->nr_managers; i++)
		for (k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
			const void *at = (const char *)&view->managers[i].counters +
					 kinds[k].offset;

			begin(text, name, &view->managers[i]);
			text_label(text, "state", kinds[k].state);
			text_integer(text, *(const __u64 *)at);
		}
}

/* What it is, for joins. */
static void write_managers(struct text *text, const struct view *view)
{
	char number[16];
	size_t i;

	text_family(text, "kvbm_manager_info", "gauge",
		    "Always 1; its labels tell how a manager was made.");
	for (i = 0; i < view->nr_managers; i++) {
		const struct kvbm_manager_query *q = &view->managers[i].query;

		begin(text, "kvbm_manager_info", &view->managers[i]);
		text_label(text, "policy", kvbm_policy_name(q->out_policy) ?: "?");
		text_label(text, "duplication",
			   q->out_duplication == KVBM_DUP_ALLOW ? "allow" : "reject");
		snprintf(number, sizeof(number), "%u", q->out_block_size);
		text_label(text, "block_size", number);
		text_integer(text, 1);
	}
	text_family(text, "kvbm_manager_blocks", "gauge",
		    "Blocks of a manager, withheld ones left out.");
	for (i = 0; i < view->nr_managers; i++) {
		const struct kvbm_manager_query *q = &view->managers[i].query;

		begin(text, "kvbm_manager_blocks", &view->managers[i]);
		text_integer(text, q->out_block_count - q->out_nr_reserved);
	}
	text_family(text, "kvbm_manager_memory_bytes", "gauge",
		    "Kernel memory that a manager takes.");
	for (i = 0; i < view->nr_managers; i++) {
		begin(text, "kvbm_manager_memory_bytes", &view->managers[i]);
		text_integer(text, view->managers[i].query.out_bytes);
	}
}

static void write_holders(struct text *text, const struct view *view)
{
	static const char oldest[] = "kvbm_oldest_guard_seconds";
	uint64_t most, age;
	size_t i, s;

	text_family(text, "kvbm_sessions", "gauge", "Open files bound to a manager.");
	for (i = 0; i < view->nr_managers; i++) {
		begin(text, "kvbm_sessions", &view->managers[i]);
		text_integer(text, view->managers[i].nr_sessions);
	}
	text_family(text, oldest, "gauge",
		    "How long the block that is held longest has been held; 0 when none is.");
	for (i = 0; i < view->nr_managers; i++) {
		for (s = 0, most = 0; s < view->managers[i].nr_sessions; s++) {
			age = oldest_age_ns(&view->managers[i].sessions[s],
					    view->now_ns);
			most = age > most ? age : most;
		}
		begin(text, oldest, &view->managers[i]);
		text_seconds(text, most);
	}
}

static void begin_session(struct text *text, const char *name,
			  const struct manager *m, const struct kvbm_session_info *s)
{
	char number[24], comm[KVBM_COMM_SIZE + 1];

	begin(text, name, m);
	snprintf(number, sizeof(number), "%llu", (unsigned long long)s->id);
	text_label(text, "session", number);
	snprintf(number, sizeof(number), "%u", s->pid);
	text_label(text, "pid", number);
	snprintf(number, sizeof(number), "%u", s->uid);
	text_label(text, "uid", number);
	snprintf(comm, sizeof(comm), "%.*s", KVBM_COMM_SIZE, s->comm);
	text_label(text, "comm", comm);
}

static void write_sessions(struct text *text, const struct view *view)
{
	static const char *const names[] = {
		"kvbm_session_blocks", "kvbm_session_guards",
		"kvbm_session_oldest_guard_seconds",
	};
	static const char *const helps[] = {
		"Distinct blocks that a session holds.",
		"Guards that a session holds on them.",
		"How long a session has held the block that it has held longest.",
	};
	const struct kvbm_session_info *s;
	const struct manager *m;
	size_t what, i, k;

	for (what = 0; what < 3; what++) {
		text_family(text, names[what], "gauge", helps[what]);
		for (i = 0; i < view->nr_managers; i++) {
			m = &view->managers[i];
			for (k = 0; k < m->nr_sessions; k++) {
				s = &m->sessions[k];
				begin_session(text, names[what], m, s);
				if (what == 2)
					text_seconds(text, oldest_age_ns(s, view->now_ns));
				else
					text_integer(text, what ? s->guards : s->blocks);
			}
		}
	}
}

static void write_registries(struct text *text, const struct view *view)
{
	static const char *const names[] = {
		"kvbm_registry_capacity_blocks", "kvbm_registry_blocks",
		"kvbm_registry_hashes",
	};
	static const char *const helps[] = {
		"Most blocks that the managers of a registry may have together.",
		"Blocks that the managers of a registry have.",
		"Distinct hashes that are present in a registry.",
	};
	size_t what, i;

	for (what = 0; what < 3; what++) {
		text_family(text, names[what], "gauge", helps[what]);
		for (i = 0; i < view->nr_registries; i++) {
			const struct kvbm_registry_query *r = &view->registries[i];

			text_begin(text, names[what]);
			text_label(text, "registry", r->name);
			text_integer(text, what == 0 ? r->out_capacity :
					   what == 1 ? r->out_blocks : r->out_entries);
		}
	}
}

static void write_events(struct text *text, const struct view *view)
{
	static const struct {
		const char *name;
		const char *type;
		size_t offset;
		const char *help;
	} f[] = {
		{ "kvbm_registry_events_total", "counter",
		  offsetof(struct kvbm_event_stats, next),
		  "Events of a registry so far: the number that its next one gets." },
		{ "kvbm_registry_events_dropped_total", "counter",
		  offsetof(struct kvbm_event_stats, dropped),
		  "Events that a listener was too slow for, once for each listener." },
		{ "kvbm_registry_event_listeners", "gauge",
		  offsetof(struct kvbm_event_stats, listeners),
		  "Who listens to the events of a registry." },
	};
	size_t what, i;

	for (what = 0; what < sizeof(f) / sizeof(*f); what++) {
		text_family(text, f[what].name, f[what].type, f[what].help);
		for (i = 0; i < view->nr_registries; i++) {
			const struct kvbm_registry_query *r = &view->registries[i];
			const void *at = (const char *)&r->out_events + f[what].offset;

			text_begin(text, f[what].name);
			text_label(text, "registry", r->name);
			text_integer(text, *(const __u64 *)at);
		}
	}
}

static void write_module(struct text *text, const struct view *view)
{
	char version[32];

	snprintf(version, sizeof(version), "%u.%u.%u", view->version >> 16,
		 view->version >> 8 & 0xff, view->version & 0xff);
	text_family(text, "kvbm_module_info", "gauge",
		    "Always 1; its label is the version of the module.");
	text_begin(text, "kvbm_module_info");
	text_label(text, "version", version);
	text_integer(text, 1);
	text_family(text, "kvbm_exporter_unreadable_managers", "gauge",
		    "Managers whose mode keeps the exporter from reading them.");
	text_begin(text, "kvbm_exporter_unreadable_managers");
	text_integer(text, view->unreadable);
}

void write_families(struct text *text, const struct view *view, bool sessions)
{
	size_t i;

	/* Without managers there are no such families. */
	if (view->nr_managers) {
		for (i = 0; i < NR_FAMILIES; i++)
			write_counters(text, view, &families[i]);
		write_states(text, view);
		write_reclaimed(text, view);
		write_managers(text, view);
		write_holders(text, view);
		if (sessions)
			write_sessions(text, view);
	}
	if (view->nr_registries) {
		write_registries(text, view);
		write_events(text, view);
	}
	write_module(text, view);
}
