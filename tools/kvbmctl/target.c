// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The arguments that all commands share, and finding what they name.
 */
#include <errno.h>
#include <string.h>

#include "connect.h"
#include "ctl.h"
#include "say.h"

enum { OPT_DEVICE = 0x100, OPT_JSON };

static const struct argp_option common_options[] = {
	{ "device", OPT_DEVICE, "PATH", 0, "instead of " DEFAULT_DEVICE, -1 },
	{ "json", OPT_JSON, NULL, 0, "results as JSON", -1 },
	{ 0 }
};

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
	struct ctl *ctl = state->input;

	switch (key) {
	case OPT_DEVICE:
		ctl->device = arg;
		return 0;
	case OPT_JSON:
		ctl->json = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp ctl_common_argp = {
	.options = common_options,
	.parser = parse_common,
};

const struct argp_child ctl_children[] = {
	{ &ctl_common_argp, 0, NULL, 0 },
	{ 0 }
};

error_t ctl_parse_target(int key, char *arg, struct argp_state *state)
{
	struct command *command = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = command->ctl;
		return 0;
	case ARGP_KEY_ARG:
		if (command->target)
			argp_error(state, "one name only");
		command->target = arg;
		return 0;
	case ARGP_KEY_END:
		if (!command->target)
			argp_error(state, "no name given");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

error_t ctl_parse_optional(int key, char *arg, struct argp_state *state)
{
	return key == ARGP_KEY_END ? 0 : ctl_parse_target(key, arg, state);
}

error_t ctl_parse_none(int key, char *arg, struct argp_state *state)
{
	struct command *command = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = command->ctl;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "no argument is taken: '%s'", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int ctl_begin(const struct argp *argp, int argc, char **argv, void *input)
{
	struct command *command = input;

	argp_parse(argp, argc, argv, 0, NULL, input);
	return connect_to(command->ctl->device, &command->ctl->kvbm);
}

bool is_manager_name(const char *name)
{
	return strchr(name, ':');
}

int ctl_find_registry(struct ctl *ctl, const char *name,
		      struct kvbm_registry_query *out)
{
	int err = kvbm_find_registry(ctl->kvbm, name, out);

	if (err == -ENOENT) {
		say("there is no registry '%s'; 'kvbmctl list' shows what there is", name);
		return err;
	}
	return err ? say_err(err, "registry '%s'", name) : 0;
}

int ctl_find_manager(struct ctl *ctl, const char *name,
		     struct kvbm_manager_query *out)
{
	int err;

	if (!is_manager_name(name)) {
		say("'%s' is no manager: that would be REGISTRY:MANAGER", name);
		return -EINVAL;
	}
	err = kvbm_find_manager(ctl->kvbm, name, out);
	if (err == -ENOENT) {
		say("there is no manager '%s'; 'kvbmctl list' shows what there is", name);
		return err;
	}
	return err ? say_err(err, "manager '%s'", name) : 0;
}
