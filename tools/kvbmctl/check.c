// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * kvbmctl check
 */
#include <errno.h>

#include "ctl.h"
#include "output.h"
#include "say.h"

static const struct argp argp = {
	.parser = ctl_parse_target,
	.args_doc = "REGISTRY:MANAGER",
	.doc = "Walk over all blocks of a manager and compare them with its index, its pools\n"
	       "and the registry. The exit status is 1 if anything is wrong.",
	.children = ctl_children,
};

int ctl_check(struct ctl *ctl, int argc, char **argv)
{
	struct command command = { .ctl = ctl };
	struct kvbm_check_result result;
	struct kvbm_manager_query m;
	int err;

	err = ctl_begin(&argp, argc, argv, &command);
	if (!err)
		err = ctl_find_manager(ctl, command.target, &m);
	if (err)
		return err;
	err = kvbm_manager_verify(ctl->kvbm, m.id, &result);
	if (err)
		return say_err(err, "manager '%s'", command.target);
	if (ctl->json)
		err = json_print(check_json(&result));
	else
		check_print(&result);
	return err ? err : result.errors ? -EUCLEAN : 0;
}
