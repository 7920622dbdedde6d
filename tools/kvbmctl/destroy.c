// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * kvbmctl destroy
 */
#include <errno.h>
#include <stdlib.h>

#include "ctl.h"
#include "output.h"
#include "say.h"

struct destroy {
	struct command command;
	bool force;
};

static const struct argp_option options[] = {
	{ "force", 'f', NULL, 0,
	  "a manager: also when guards are held; a registry: with its managers", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct destroy *destroy = state->input;

	if (key != 'f')
		return ctl_parse_target(key, arg, state);
	destroy->force = true;
	return 0;
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "REGISTRY | REGISTRY:MANAGER",
	.doc = "Destroy a manager, or a registry that has none.",
	.children = ctl_children,
};

static int destroy_manager(struct ctl *ctl, const char *name, bool force)
{
	struct kvbm_manager_query m;
	int err;

	err = ctl_find_manager(ctl, name, &m);
	if (err)
		return err;
	err = kvbm_destroy_manager(ctl->kvbm, m.id, force);
	if (err == -EBUSY) {
		say("manager '%s': guards are held; --force destroys it all the same", name);
		return err;
	}
	return err ? say_err(err, "manager '%s'", name) : 0;
}

static int destroy_managers(struct ctl *ctl, const struct kvbm_registry_query *r)
{
	uint64_t *ids;
	ssize_t n, i;
	int err = 0;

	n = kvbm_list_managers(ctl->kvbm, r->id, &ids);
	if (n < 0)
		return say_err(n, "managers of '%s'", r->name);
	for (i = 0; i < n && !err; i++) {
		err = kvbm_destroy_manager(ctl->kvbm, ids[i], true);
		if (err == -ENOENT)
			err = 0;
		else if (err)
			say_err(err, "manager %llu",
				(unsigned long long)ids[i]);
	}
	free(ids);
	return err;
}

static int destroy_registry(struct ctl *ctl, const char *name, bool force)
{
	struct kvbm_registry_query r;
	int err;

	err = ctl_find_registry(ctl, name, &r);
	if (!err && force)
		err = destroy_managers(ctl, &r);
	if (err)
		return err;
	err = kvbm_destroy_registry(ctl->kvbm, r.id);
	if (err == -EBUSY) {
		say("registry '%s' has %u managers; --force destroys them, too", name,
		    r.out_managers);
		return err;
	}
	return err ? say_err(err, "registry '%s'", name) : 0;
}

int ctl_destroy(struct ctl *ctl, int argc, char **argv)
{
	struct destroy destroy = { .command.ctl = ctl };
	const char *name;
	int err;

	err = ctl_begin(&argp, argc, argv, &destroy);
	if (err)
		return err;
	name = destroy.command.target;
	if (is_manager_name(name))
		err = destroy_manager(ctl, name, destroy.force);
	else
		err = destroy_registry(ctl, name, destroy.force);
	if (!err && ctl->json)
		err = json_print(json_pack("{s:s}", "destroyed", name));
	return err;
}
