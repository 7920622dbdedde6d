// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * kvbmctl epoch
 */
#include <stdio.h>

#include "ctl.h"
#include "output.h"
#include "say.h"

struct epoch {
	struct command command;
	bool raise;
	bool force;
};

enum { OPT_RAISE = 0x200 };

static const struct argp_option options[] = {
	{ "raise", OPT_RAISE, NULL, 0,
	  "begin a new one: all sessions that there are change nothing any more", 0 },
	{ "force", 'f', NULL, 0,
	  "with --raise: blocks that they were filling go to nobody until they end", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct epoch *epoch = state->input;

	switch (key) {
	case OPT_RAISE:
		epoch->raise = true;
		return 0;
	case 'f':
		epoch->force = true;
		return 0;
	case ARGP_KEY_END:
		if (epoch->force && !epoch->raise)
			argp_error(state, "--force goes with --raise");
		break;
	default:
		break;
	}
	return ctl_parse_target(key, arg, state);
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "REGISTRY:MANAGER",
	.doc = "Show the epoch of a manager, or begin a new one.",
	.children = ctl_children,
};

int ctl_epoch(struct ctl *ctl, int argc, char **argv)
{
	struct epoch epoch = { .command.ctl = ctl };
	struct kvbm_manager_query m;
	const char *name;
	uint32_t number;
	int err;

	err = ctl_begin(&argp, argc, argv, &epoch);
	name = epoch.command.target;
	if (!err)
		err = ctl_find_manager(ctl, name, &m);
	if (err)
		return err;
	if (epoch.raise)
		err = kvbm_manager_raise_epoch(ctl->kvbm, m.id,
					       epoch.force ? KVBM_EPOCH_FORCE : 0,
					       &number);
	else
		err = kvbm_manager_epoch(ctl->kvbm, m.id, &number);
	if (err)
		return say_err(err, "epoch of '%s'", name);
	if (ctl->json)
		return json_print(json_pack("{s:s,s:I}", "manager", name, "epoch",
					    (json_int_t)number));
	printf("%s: epoch %u%s\n", name, number,
	       epoch.raise ? "; older sessions change nothing any more" : "");
	return 0;
}
