// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What happened, and whether it is what should have.
 */
#include <errno.h>
#include <stdio.h>

#include "output.h"
#include "run.h"
#include "say.h"
#include "table.h"

struct outcome {
	unsigned long long served;
	unsigned long long refused;
	unsigned long long preemptions;
	unsigned long long waits;
	double hit_rate;
	double seconds;
	struct kvbm_counters counters;
	struct kvbm_check_result check;
	/* of the worker that was killed */
	unsigned long long taken_mutable;
	unsigned long long taken_staged;
	unsigned long long taken_immutable;
	double after_kill_ms;
};

static void sum_slots(const struct run *run, struct outcome *o)
{
	const struct slot *slot;

	for (slot = run->slots; slot < run->slots + run->nr_workers; slot++) {
		o->refused += slot->refused;
		o->preemptions += slot->preemptions;
		o->waits += slot->waits;
	}
}

static unsigned long long count_finished(const struct run *run)
{
	unsigned long long n = 0;
	size_t i;

	for (i = 0; i < run->workload.nr; i++)
		n += run->finished[i];
	return n;
}

static void describe_kill(const struct kill_report *k, struct outcome *o)
{
	o->taken_mutable = k->after.reclaimed_mutable - k->before.reclaimed_mutable;
	o->taken_staged = k->after.reclaimed_staged - k->before.reclaimed_staged;
	o->taken_immutable = k->after.reclaimed_immutable -
			     k->before.reclaimed_immutable;
	o->after_kill_ms = (k->after.reclaim_end_ns - k->kill_ns) / 1e6;
}

static int gather(const struct run *run, struct outcome *o)
{
	const struct scratch *s = &run->scratch;
	int err;

	*o = (struct outcome){
		.served = count_finished(run),
		.seconds = (run->end_ns - run->start_ns) / 1e9,
	};
	sum_slots(run, o);
	describe_kill(&run->killed, o);
	err = kvbm_manager_counters(s->kvbm, s->manager, &o->counters);
	if (!err)
		err = kvbm_manager_verify(s->kvbm, s->manager, &o->check);
	if (err)
		return say_err(err, "%s", s->name);
	if (o->counters.match_hashes_requested)
		o->hit_rate = (double)o->counters.match_blocks_returned /
			      o->counters.match_hashes_requested;
	return 0;
}

static void add_states(struct table *t, const char *when, const __u64 *states)
{
	uint32_t i;

	table_add(t, "%s", when);
	for (i = 0; i < KVBM_NR_STATES; i++)
		table_add(t, "%llu", (unsigned long long)states[i]);
}

static void print_states(const struct run *run, const struct outcome *o)
{
	struct table *t = table_new("lrrrrrr");
	uint32_t i;

	table_add(t, "blocks");
	for (i = 0; i < KVBM_NR_STATES; i++)
		table_add(t, "%s", kvbm_state_name(i));
	if (run->killed.done)
		add_states(t, "before kill(2)", run->killed.before.states);
	add_states(t, "at the end", o->counters.states);
	table_print(t);
	table_free(t);
}

static void print_kill(const struct kill_report *k, const struct outcome *o)
{
	if (!k->done)
		return;
	printf("killed       worker %u (pid %d) by SIGKILL, with %u requests running\n",
	       k->worker, (int)k->pid, k->running);
	printf("taken back   %llu mutable, %llu staged, %llu immutable guards\n",
	       o->taken_mutable, o->taken_staged, o->taken_immutable);
	printf("             %.3f ms after kill(2); the taking back took %.3f ms\n",
	       o->after_kill_ms, k->after.reclaim_last_ns / 1e6);
}

static void print_takeover(const struct takeover_report *t)
{
	printf("takeover:    %llu blocks verified, %llu torn; hit rate %.4f after the restart, ",
	       t->verified, t->torn, t->warm_rate);
	printf("%.4f cold\n", t->cold_rate);
	printf("             (the engine was killed by SIGKILL after %llu requests)\n",
	       t->served);
}

static void print_text(const struct run *run, const struct outcome *o)
{
	printf("manager      %s, %u blocks of %u tokens, %u workers\n",
	       run->scratch.name, run->nr_blocks, run->workload.block_size,
	       run->nr_workers);
	printf("requests     %llu of %zu in %.1f s (%.0f per second), %llu refused\n",
	       o->served, run->workload.nr, o->seconds, o->served / o->seconds,
	       o->refused);
	printf("hit rate     %.4f (%llu of %llu blocks)\n", o->hit_rate,
	       (unsigned long long)o->counters.match_blocks_returned,
	       (unsigned long long)o->counters.match_hashes_requested);
	printf("evictions    %llu\n", (unsigned long long)o->counters.evictions);
	printf("preemptions  %llu, and %llu waits for blocks\n",
	       o->preemptions, o->waits);
	print_kill(&run->killed, o);
	print_takeover(&run->takeover);
	print_states(run, o);
	check_print(&o->check);
}

static void set_real(json_t *object, const char *key, double value)
{
	json_object_set_new(object, key, json_real(value));
}

static json_t *kill_json(const struct kill_report *k, const struct outcome *o)
{
	json_t *json;

	if (!k->done)
		return json_null();
	json = json_object();
	set_number(json, "worker", k->worker);
	set_number(json, "pid", k->pid);
	set_number(json, "running", k->running);
	set_number(json, "mutable", o->taken_mutable);
	set_number(json, "staged", o->taken_staged);
	set_number(json, "immutable", o->taken_immutable);
	set_real(json, "after_kill_ms", o->after_kill_ms);
	set_real(json, "took_ms", k->after.reclaim_last_ns / 1e6);
	json_object_set_new(json, "states_before", states_json(k->before.states));
	return json;
}

static json_t *takeover_json(const struct takeover_report *t)
{
	json_t *json = json_object();

	set_number(json, "served", t->served);
	set_number(json, "verified", t->verified);
	set_number(json, "torn", t->torn);
	set_real(json, "hit_rate", t->warm_rate);
	set_real(json, "cold_hit_rate", t->cold_rate);
	return json;
}

static int print_json(const struct run *run, const struct outcome *o)
{
	json_t *json = json_object();

	set_word(json, "manager", run->scratch.name);
	set_number(json, "blocks", run->nr_blocks);
	set_number(json, "block_size", run->workload.block_size);
	set_number(json, "workers", run->nr_workers);
	set_number(json, "requests", run->workload.nr);
	set_number(json, "served", o->served);
	set_number(json, "refused", o->refused);
	set_real(json, "seconds", o->seconds);
	set_real(json, "hit_rate", o->hit_rate);
	set_number(json, "evictions", o->counters.evictions);
	set_number(json, "preemptions", o->preemptions);
	set_number(json, "waits", o->waits);
	json_object_set_new(json, "killed", kill_json(&run->killed, o));
	json_object_set_new(json, "takeover", takeover_json(&run->takeover));
	json_object_set_new(json, "counters", counters_json(&o->counters));
	json_object_set_new(json, "check", check_json(&o->check));
	return json_print(json);
}

/* Every reason, not only the first. */
static int judge(const struct run *run, const struct outcome *o)
{
	const __u64 *states = o->counters.states;
	int err = 0;

	if (o->served != run->workload.nr) {
		say("%llu of %zu requests were served", o->served,
		    run->workload.nr);
		err = -EUCLEAN;
	}
	if (!run->killed.done) {
		say("no worker was killed: none had anything running when half was done");
		err = -EUCLEAN;
	}
	if (run->takeover.torn) {
		say("%llu blocks that were taken over are torn", run->takeover.torn);
		err = -EUCLEAN;
	}
	if (!run->takeover.verified) {
		say("there was nothing to take over");
		err = -EUCLEAN;
	}
	if (o->check.errors) {
		say("the check of the store found errors");
		err = -EUCLEAN;
	}
	if (states[KVBM_STATE_MUTABLE] || states[KVBM_STATE_STAGED] ||
	    states[KVBM_STATE_PRIMARY] || states[KVBM_STATE_DUPLICATE]) {
		say("blocks are held although all workers are gone");
		err = -EUCLEAN;
	}
	return err;
}

int report(struct run *run)
{
	struct outcome o;
	int err;

	err = gather(run, &o);
	if (err)
		return err;
	if (run->json)
		err = print_json(run, &o);
	else
		print_text(run, &o);
	if (!err)
		err = finish_stdout();
	return err ? err : judge(run, &o);
}
