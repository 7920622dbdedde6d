// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "connect.h"
#include "ctl.h"
#include "output.h"

static const struct {
	const char *name;
	const char *object;	/* the second word, if the command has one */
	ctl_command run;
} commands[] = {
	{ "create", "registry", ctl_create_registry },
	{ "create", "manager", ctl_create_manager },
	{ "list", NULL, ctl_list },
	{ "show", NULL, ctl_show },
	{ "destroy", NULL, ctl_destroy },
	{ "stat", NULL, ctl_stat },
	{ "check", NULL, ctl_check },
	{ "info", NULL, ctl_info },
	{ "monitor", NULL, ctl_monitor },
	{ "top", NULL, ctl_top },
	{ "holders", NULL, ctl_holders },
	{ "dump", NULL, ctl_dump },
	{ "gc", NULL, ctl_gc },
	{ "quota", NULL, ctl_quota },
	{ "epoch", NULL, ctl_epoch },
};

struct main_input {
	struct ctl *ctl;
	int argc;
	char **argv;	/* from the command on */
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct main_input *input = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = input->ctl;
		return 0;
	case ARGP_KEY_ARG:
		/* The rest belongs to the command. */
		input->argv = &state->argv[state->next - 1];
		input->argc = state->argc - state->next + 1;
		state->next = state->argc;
		(void)arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "no command given");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.parser = parse,
	.args_doc = "COMMAND [ARG...]",
	.doc = "Make, look at and destroy registries and managers of KV-cache blocks.\n"
	       "\vCommands, each with a --help of its own:\n"
	       "  create registry NAME\n"
	       "  create manager REGISTRY:NAME --blocks=N\n"
	       "  list\n"
	       "  show REGISTRY | REGISTRY:MANAGER\n"
	       "  destroy REGISTRY | REGISTRY:MANAGER\n"
	       "  stat REGISTRY:MANAGER\n"
	       "  check REGISTRY:MANAGER\n"
	       "  dump REGISTRY:MANAGER\n"
	       "  holders [REGISTRY | REGISTRY:MANAGER]\n"
	       "  top [REGISTRY | REGISTRY:MANAGER]\n"
	       "  gc [REGISTRY | REGISTRY:MANAGER]\n"
	       "  quota REGISTRY:MANAGER\n"
	       "  epoch REGISTRY:MANAGER\n"
	       "  info\n"
	       "  monitor REGISTRY\n"
	       "\n"
	       "Exit status: 0; 1 on an error, or when a check found one; 2 for wrong usage.",
	.children = ctl_children,
};

/* How many words of @argv name command @i; 0 if it is another one. */
static int matches(size_t i, int argc, char **argv)
{
	if (strcmp(commands[i].name, argv[0]))
		return 0;
	if (!commands[i].object)
		return 1;
	return argc > 1 && !strcmp(commands[i].object, argv[1]) ? 2 : 0;
}

static int usage(const char *program, char **argv)
{
	if (!strcmp(argv[0], "create"))
		fprintf(stderr, "%s: create what? registry NAME, or manager REGISTRY:NAME\n",
			program);
	else
		fprintf(stderr, "%s: no command '%s'\n", program, argv[0]);
	fprintf(stderr, "Try '%s --help'.\n", program);
	return 2;
}

/* The name of the command is what its --help calls the program. */
static int run(struct ctl *ctl, size_t i, int words, struct main_input *input)
{
	char name[64];
	int err;

	snprintf(name, sizeof(name), "%s %s%s%s", program_invocation_short_name,
		 commands[i].name, words > 1 ? " " : "",
		 words > 1 ? commands[i].object : "");
	input->argv[words - 1] = name;
	err = commands[i].run(ctl, input->argc - words + 1, input->argv + words - 1);
	kvbm_close(ctl->kvbm);
	if (finish_stdout())
		err = -EIO;
	return err ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct ctl ctl = { .device = DEFAULT_DEVICE };
	struct main_input input = { .ctl = &ctl };
	int words;
	size_t i;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &input);
	for (i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		words = matches(i, input.argc, input.argv);
		if (words)
			return run(&ctl, i, words, &input);
	}
	return usage(program_invocation_short_name, input.argv);
}
