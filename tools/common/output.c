// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <errno.h>
#include <stdio.h>

#include "output.h"
#include "say.h"

#define FIELD(field)	{ #field, offsetof(struct kvbm_counters, field) }

const struct counter_field counter_fields[] = {
	FIELD(allocations),
	FIELD(allocations_from_reset),
	FIELD(evictions),
	FIELD(registrations),
	FIELD(duplicate_blocks),
	FIELD(registration_dedup),
	FIELD(stagings),
	FIELD(match_hashes_requested),
	FIELD(match_blocks_returned),
	FIELD(scan_hashes_requested),
	FIELD(scan_blocks_returned),
	FIELD(eager_primary_to_inactive),
	FIELD(allocate_atomic_rollback),
	FIELD(release_primary_noop),
	FIELD(release_duplicate_noop),
	FIELD(inflight_mutable),
	FIELD(inflight_immutable),
	FIELD(reset_pool_size),
	FIELD(inactive_pool_size),
	FIELD(change),
	FIELD(freed),
	FIELD(allocation_failures),
	FIELD(waits),
	FIELD(wait_timeouts),
	FIELD(reclaimed_sessions),
	FIELD(reclaimed_mutable),
	FIELD(reclaimed_staged),
	FIELD(reclaimed_immutable),
	FIELD(reclaim_last_ns),
	FIELD(reclaim_max_ns),
	FIELD(reclaim_end_ns),
	FIELD(reclaim_total_ns),
	FIELD(wait_total_ns),
	FIELD(regret_sample),
	FIELD(regret_evictions),
	FIELD(regrets),
	FIELD(regret_total_ns),
	{ NULL, 0 }
};

unsigned long long counter_value(const struct kvbm_counters *counters,
				 const struct counter_field *field)
{
	const void *at = (const char *)counters + field->offset;

	return *(const __u64 *)at;
}

void set_number(json_t *object, const char *key, unsigned long long value)
{
	json_object_set_new(object, key, json_integer(value));
}

void set_word(json_t *object, const char *key, const char *word)
{
	json_object_set_new(object, key, word ? json_string(word) : json_null());
}

json_t *states_json(const __u64 states[KVBM_NR_STATES])
{
	json_t *json = json_object();
	uint32_t i;

	for (i = 0; i < KVBM_NR_STATES; i++)
		set_number(json, kvbm_state_name(i), states[i]);
	return json;
}

json_t *counters_json(const struct kvbm_counters *counters)
{
	const struct counter_field *field;
	json_t *json = json_object();

	for (field = counter_fields; field->name; field++)
		set_number(json, field->name, counter_value(counters, field));
	json_object_set_new(json, "states", states_json(counters->states));
	return json;
}

json_t *check_json(const struct kvbm_check_result *check)
{
	json_t *json = json_object();

	set_number(json, "blocks", check->blocks);
	set_number(json, "errors", check->errors);
	json_object_set_new(json, "exact", json_boolean(check->exact));
	json_object_set_new(json, "states", states_json(check->states));
	if (check->errors) {
		set_word(json, "first_error", kvbm_check_name(check->first_error));
		set_number(json, "first_block", check->first_block);
	}
	return json;
}

int json_print(json_t *json)
{
	int failed = json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));

	json_decref(json);
	putchar('\n');
	return failed ? say_err(-ENOMEM, "JSON") : 0;
}

void check_print(const struct kvbm_check_result *check)
{
	const char *name;

	bool red = check->errors && can_colour(stdout);

	printf("check: %llu blocks, %s%llu errors%s (%s)\n",
	       (unsigned long long)check->blocks, red ? "\033[31m" : "",
	       (unsigned long long)check->errors, red ? "\033[0m" : "",
	       check->exact ? "exact" : "each block by itself: the store changed meanwhile");
	if (!check->errors)
		return;
	name = kvbm_check_name(check->first_error);
	printf("first: block %u: %s\n", check->first_block, name ? name : "unknown error");
}

int finish_stdout(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return 0;
	return say_err(errno ? -errno : -EIO, "stdout");
}
