// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * kvbmctl stat
 */
#include "ctl.h"
#include "output.h"
#include "say.h"
#include "table.h"

static const struct argp argp = {
	.parser = ctl_parse_target,
	.args_doc = "REGISTRY:MANAGER",
	.doc = "Print all counters of a manager: one snapshot, consistent in itself.",
	.children = ctl_children,
};

static void print_counters(const struct kvbm_counters *c)
{
	const struct counter_field *field;
	struct table *t = table_new("lr");
	uint32_t i;

	for (field = counter_fields; field->name; field++) {
		table_add(t, "%s", field->name);
		table_add(t, "%llu", counter_value(c, field));
	}
	for (i = 0; i < KVBM_NR_STATES; i++) {
		table_add(t, "states[%s]", kvbm_state_name(i));
		table_add(t, "%llu", (unsigned long long)c->states[i]);
	}
	table_print(t);
	table_free(t);
}

int ctl_stat(struct ctl *ctl, int argc, char **argv)
{
	struct command command = { .ctl = ctl };
	struct kvbm_manager_query m;
	struct kvbm_counters c;
	int err;

	err = ctl_begin(&argp, argc, argv, &command);
	if (!err)
		err = ctl_find_manager(ctl, command.target, &m);
	if (err)
		return err;
	err = kvbm_manager_counters(ctl->kvbm, m.id, &c);
	if (err)
		return say_err(err, "manager '%s'", command.target);
	if (ctl->json)
		return json_print(counters_json(&c));
	print_counters(&c);
	return 0;
}
