// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * kvbmctl dump
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "output.h"
#include "parse.h"
#include "say.h"

/* Slots asked for at a time. */
#define STEP	4096

struct dump {
	struct command command;
	uint32_t states;	/* bit for each that is wanted; 0 is all */
	uint64_t start;
	uint64_t count;
};

enum { OPT_STATE = 0x200, OPT_START, OPT_COUNT };

static const struct argp_option options[] = {
	{ "state", OPT_STATE, "NAME[,NAME...]", 0, "only blocks in these states", 0 },
	{ "start", OPT_START, "BLOCK", 0, "from this block on", 0 },
	{ "count", OPT_COUNT, "N", 0, "look at so many blocks", 0 },
	{ 0 }
};

static int add_state(const char *word, void *data)
{
	struct dump *dump = data;
	uint32_t state;

	for (state = 0; state < KVBM_NR_STATES; state++)
		if (!strcmp(word, kvbm_state_name(state))) {
			dump->states |= 1U << state;
			return 0;
		}
	return -EINVAL;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct dump *dump = state->input;

	switch (key) {
	case OPT_STATE:
		if (parse_list(arg, add_state, dump))
			argp_error(state, "--state=%s: there is %s", arg,
				   "reset, mutable, staged, primary, duplicate and inactive");
		return 0;
	case OPT_START:
		if (parse_count(arg, 0, KVBM_MAX_BLOCKS, &dump->start))
			argp_error(state, "--start=%s: no number of a block", arg);
		return 0;
	case OPT_COUNT:
		if (parse_count(arg, 1, KVBM_MAX_BLOCKS, &dump->count))
			argp_error(state, "--count=%s: not a number of 1 to %u", arg,
				   KVBM_MAX_BLOCKS);
		return 0;
	default:
		return ctl_parse_target(key, arg, state);
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "REGISTRY:MANAGER",
	.doc = "Print every block of a manager: its token, its state, how many hold it, its hash.",
	.children = ctl_children,
};

/* Fixed columns: there can be millions of lines. */
static void print_slot(const struct kvbm_slot_info *s)
{
	printf("%9u  %08" PRIx32 "  %-9s  %6llu  %c%c     %016llx%016llx\n", s->token.id,
	       s->token.gen, kvbm_state_name(s->state), (unsigned long long)s->refs,
	       s->flags & KVBM_SLOT_INFO_RESET_ON_RELEASE ? 'r' : '-',
	       s->flags & KVBM_SLOT_INFO_RESERVED ? 'w' : '-',
	       (unsigned long long)s->hash.hi, (unsigned long long)s->hash.lo);
}

static int print_slot_json(const struct kvbm_slot_info *s, bool first)
{
	bool reset = s->flags & KVBM_SLOT_INFO_RESET_ON_RELEASE;
	bool reserved = s->flags & KVBM_SLOT_INFO_RESERVED;
	json_t *json = json_object();
	char hash[33];
	int failed;

	snprintf(hash, sizeof(hash), "%016llx%016llx", (unsigned long long)s->hash.hi,
		 (unsigned long long)s->hash.lo);
	set_number(json, "block", s->token.id);
	set_number(json, "generation", s->token.gen);
	set_word(json, "state", kvbm_state_name(s->state));
	set_number(json, "references", s->refs);
	set_word(json, "hash", hash);
	json_object_set_new(json, "reset_on_release", json_boolean(reset));
	json_object_set_new(json, "withheld", json_boolean(reserved));
	fputs(first ? "\n" : ",\n", stdout);
	failed = json_dumpf(json, stdout, 0);
	json_decref(json);
	return failed ? say_err(-ENOMEM, "JSON") : 0;
}

static int print_slots(const struct dump *dump, const struct kvbm_slot_info *slots,
		       size_t n, bool *first)
{
	size_t i;
	int err;

	for (i = 0; i < n; i++) {
		if (dump->states && !(dump->states & 1U << slots[i].state))
			continue;
		if (!dump->command.ctl->json) {
			print_slot(&slots[i]);
			continue;
		}
		err = print_slot_json(&slots[i], *first);
		if (err)
			return err;
		*first = false;
	}
	return 0;
}

static int dump_all(const struct dump *dump, uint64_t id)
{
	struct kvbm_slot_info *slots = calloc(STEP, sizeof(*slots));
	struct ctl *ctl = dump->command.ctl;
	uint64_t at = dump->start, left = dump->count;
	bool first = true;
	ssize_t n, want;
	int err = 0;

	if (!slots)
		return say_err(-ENOMEM, "blocks");
	if (ctl->json)
		putchar('[');
	else
		puts("    BLOCK  GEN       STATE        REFS  FLAGS  HASH");
	do {
		want = left < STEP ? left : STEP;
		n = kvbm_manager_dump(ctl->kvbm, id, at, want, slots);
		if (n < 0)
			err = say_err(n, "manager '%s'", dump->command.target);
		else
			err = print_slots(dump, slots, n, &first);
		at += want;
		left -= want;
	} while (!err && n == want && left && !ferror(stdout));
	if (ctl->json)
		puts("\n]");
	free(slots);
	return err;
}

int ctl_dump(struct ctl *ctl, int argc, char **argv)
{
	struct dump dump = { .command.ctl = ctl, .count = KVBM_MAX_BLOCKS };
	struct kvbm_manager_query m;
	int err;

	err = ctl_begin(&argp, argc, argv, &dump);
	if (!err)
		err = ctl_find_manager(ctl, dump.command.target, &m);
	return err ? err : dump_all(&dump, m.id);
}
