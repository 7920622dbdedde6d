/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Structures of the ABI, and what is made of them, as JSON.
 */
#ifndef KVBM_TOOLS_OUTPUT_H
#define KVBM_TOOLS_OUTPUT_H

#include <jansson.h>

#include <kvbm/kvbm.h>

struct counter_field {
	const char *name;
	size_t offset;
};

/* All of struct kvbm_counters but the array of states; ends without a name. */
extern const struct counter_field counter_fields[];

unsigned long long counter_value(const struct kvbm_counters *counters,
				 const struct counter_field *field);

/* The same fields, with "states" an object, one member per state. */
json_t *counters_json(const struct kvbm_counters *counters);
json_t *states_json(const __u64 states[KVBM_NR_STATES]);
json_t *check_json(const struct kvbm_check_result *check);

/* One member of an object. */
void set_number(json_t *object, const char *key, unsigned long long value);
void set_word(json_t *object, const char *key, const char *word);

/* To stdout; takes over the reference. 0, or -errno with a message said. */
int json_print(json_t *json);

/* "check: N blocks, 0 errors (exact)", to stdout. */
void check_print(const struct kvbm_check_result *check);

/* stdout, all of it written, or -errno with a message said. */
int finish_stdout(void);

#endif
