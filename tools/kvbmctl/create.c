// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * kvbmctl create registry, kvbmctl create manager
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl.h"
#include "output.h"
#include "parse.h"
#include "policies.h"
#include "say.h"

enum {
	OPT_CAPACITY = 0x200,
	OPT_MODE,
	OPT_SCHEMA,
	OPT_BLOCKS,
	OPT_BLOCK_SIZE,
	OPT_TIER,
	OPT_POLICY,
	OPT_DUP,
	OPT_RESET,
	OPT_SKETCH,
};

/* Of the number that was made. */
static int print_created(const struct ctl *ctl, const char *name, uint64_t id)
{
	if (ctl->json)
		return json_print(json_pack("{s:s, s:I}", "name", name,
					    "id", (json_int_t)id));
	printf("%s: created, id %llu\n", name, (unsigned long long)id);
	return 0;
}

static uint64_t need_count(struct argp_state *state, const char *what,
			   const char *arg, uint64_t max)
{
	uint64_t value;

	if (parse_count(arg, 1, max, &value))
		argp_error(state, "--%s=%s: not a number of 1 to %llu", what, arg,
			   (unsigned long long)max);
	return value;
}

static uint32_t need_mode(struct argp_state *state, const char *arg)
{
	uint32_t mode;

	if (parse_mode(arg, &mode))
		argp_error(state, "--mode=%s: not an octal mode up to %o", arg,
			   KVBM_MODE_MASK);
	return mode;
}

/* Index of @arg in @words, which ends with NULL. */
static uint32_t need_word(struct argp_state *state, const char *what,
			  const char *arg, const char *const *words)
{
	uint32_t i;

	for (i = 0; words[i]; i++)
		if (!strcmp(words[i], arg))
			return i;
	argp_error(state, "--%s=%s: there is %s and %s", what, arg, words[0], words[1]);
	return 0;
}

struct create_registry {
	struct command command;
	struct kvbm_registry_create attr;
};

static const struct argp_option registry_options[] = {
	{ "capacity", OPT_CAPACITY, "N", 0,
	  "most blocks of all its managers together; " PARSE_SUFFIXES, 0 },
	{ "mode", OPT_MODE, "OCT", 0,
	  "4: read, see what is where; 2: write, create managers in it", 0 },
	{ "schema", OPT_SCHEMA, "plh|opaque", 0,
	  "positional lineage hashes (default) or any", 0 },
	{ "sketch", OPT_SKETCH, "N", 0,
	  "count how often N hashes are used, for the policy multi-lru; " PARSE_SUFFIXES, 0 },
	{ 0 }
};

static error_t parse_registry(int key, char *arg, struct argp_state *state)
{
	static const char *const schemas[] = {
		[KVBM_SCHEMA_PLH] = "plh", [KVBM_SCHEMA_OPAQUE] = "opaque", NULL
	};
	struct create_registry *create = state->input;

	switch (key) {
	case OPT_CAPACITY:
		create->attr.capacity = need_count(state, "capacity", arg, KVBM_MAX_BLOCKS);
		return 0;
	case OPT_MODE:
		create->attr.mode = need_mode(state, arg);
		return 0;
	case OPT_SCHEMA:
		create->attr.schema = need_word(state, "schema", arg, schemas);
		return 0;
	case OPT_SKETCH:
		create->attr.sketch_capacity = need_count(state, "sketch", arg,
							  KVBM_MAX_BLOCKS);
		return 0;
	default:
		return ctl_parse_target(key, arg, state);
	}
}

static const struct argp registry_argp = {
	.options = registry_options,
	.parser = parse_registry,
	.args_doc = "NAME",
	.doc = "Create a registry: what the managers of different tiers share.",
	.children = ctl_children,
};

/* Into a fixed field, zeroes after it; whether it fits. */
static bool set_name(char field[KVBM_NAME_SIZE], const char *name, size_t length)
{
	if (length >= KVBM_NAME_SIZE)
		return false;
	memset(field, 0, KVBM_NAME_SIZE);
	memcpy(field, name, length);
	return true;
}

int ctl_create_registry(struct ctl *ctl, int argc, char **argv)
{
	struct create_registry create = { .command.ctl = ctl };
	const char *name;
	uint64_t id;
	int err;

	kvbm_registry_attr_init(&create.attr, "");
	err = ctl_begin(&registry_argp, argc, argv, &create);
	if (err)
		return err;
	name = create.command.target;
	if (!set_name(create.attr.name, name, strlen(name))) {
		say("'%s': the longest name has %d characters", name, KVBM_NAME_SIZE - 1);
		return -EINVAL;
	}
	err = kvbm_create_registry(ctl->kvbm, &create.attr, &id);
	if (err)
		return say_err(err, "registry '%s'", name);
	return print_created(ctl, name, id);
}

struct create_manager {
	struct command command;
	const char *policy;
	struct kvbm_manager_create attr;
};

static const struct argp_option manager_options[] = {
	{ "blocks", OPT_BLOCKS, "N", 0, "how many; " PARSE_SUFFIXES, 0 },
	{ "block-size", OPT_BLOCK_SIZE, "N", 0, "tokens per block (default 16)", 0 },
	{ "tier", OPT_TIER, "G1|G2|G3|G4", 0, "where the bytes of the blocks live", 0 },
	{ "policy", OPT_POLICY, "NAME", 0,
	  "which block is evicted first; 'kvbmctl info' lists them", 0 },
	{ "dup", OPT_DUP, "allow|reject", 0,
	  "what to do with a second block of one hash", 0 },
	{ "mode", OPT_MODE, "OCT", 0,
	  "4: read, query and match; 2: write, allocate and register", 0 },
	{ "reset-on-release", OPT_RESET, NULL, 0, "blocks are not cached", 0 },
	{ 0 }
};

static void set_tier(struct create_manager *create, const char *arg,
		     struct argp_state *state)
{
	int tier = kvbm_tier_from_name(arg);

	if (tier < 0)
		argp_error(state, "--tier=%s: not one of G1, G2, G3, G4", arg);
	create->attr.tier = tier;
}

static void set_block_size(struct create_manager *create, const char *arg,
			   struct argp_state *state)
{
	uint64_t size;

	if (parse_count(arg, 1, KVBM_MAX_BLOCK_SIZE, &size) || size & (size - 1))
		argp_error(state, "--block-size=%s: not a power of two up to %u", arg,
			   KVBM_MAX_BLOCK_SIZE);
	create->attr.block_size = size;
}

static error_t parse_manager(int key, char *arg, struct argp_state *state)
{
	static const char *const duplications[] = {
		[KVBM_DUP_ALLOW] = "allow", [KVBM_DUP_REJECT] = "reject", NULL
	};
	struct create_manager *create = state->input;
	struct kvbm_manager_create *attr = &create->attr;

	switch (key) {
	case OPT_BLOCKS:
		attr->block_count = need_count(state, "blocks", arg, KVBM_MAX_BLOCKS);
		return 0;
	case OPT_BLOCK_SIZE:
		set_block_size(create, arg, state);
		return 0;
	case OPT_TIER:
		set_tier(create, arg, state);
		return 0;
	case OPT_POLICY:
		create->policy = arg;
		return 0;
	case OPT_DUP:
		attr->duplication = need_word(state, "dup", arg, duplications);
		return 0;
	case OPT_MODE:
		attr->mode = need_mode(state, arg);
		return 0;
	case OPT_RESET:
		attr->flags |= KVBM_MANAGER_RESET_ON_RELEASE;
		return 0;
	case ARGP_KEY_SUCCESS:
		if (!attr->block_count)
			argp_error(state, "no --blocks given");
		return 0;
	default:
		return ctl_parse_target(key, arg, state);
	}
}

static const struct argp manager_argp = {
	.options = manager_options,
	.parser = parse_manager,
	.args_doc = "REGISTRY:NAME",
	.doc = "Create a manager: the blocks of one tier.",
	.children = ctl_children,
};

/* The registry, then the rest of the attributes that need a connection. */
static int complete_manager(struct ctl *ctl, struct create_manager *create)
{
	const char *name = create->command.target, *colon = strchr(name, ':');
	struct kvbm_registry_query registry;
	char parent[KVBM_NAME_SIZE];
	int err, policy;

	if (!colon || !set_name(parent, name, colon - name) ||
	    !set_name(create->attr.name, colon + 1, strlen(colon + 1))) {
		say("'%s': should be REGISTRY:NAME, each up to %d characters", name,
		    KVBM_NAME_SIZE - 1);
		return -EINVAL;
	}
	err = ctl_find_registry(ctl, parent, &registry);
	if (err)
		return err;
	create->attr.registry = registry.id;
	if (!create->policy)
		return 0;
	policy = policy_lookup(ctl->kvbm, create->policy);
	if (policy < 0)
		return policy;
	create->attr.policy = policy;
	return 0;
}

/* What the registry still has room for is the usual reason. */
static int say_refused(struct ctl *ctl, const struct create_manager *create, int err)
{
	struct kvbm_registry_query registry;

	if (err != -ENOSPC ||
	    kvbm_query_registry(ctl->kvbm, create->attr.registry, &registry))
		return say_err(err, "manager '%s'", create->command.target);
	say("manager '%s' of %u blocks: registry '%s' has room for %llu more",
	    create->command.target, create->attr.block_count, registry.name,
	    (unsigned long long)(registry.out_capacity - registry.out_blocks));
	return err;
}

int ctl_create_manager(struct ctl *ctl, int argc, char **argv)
{
	struct create_manager create = { .command.ctl = ctl };
	uint64_t id;
	int err;

	kvbm_manager_attr_init(&create.attr, 0, "", 0);
	err = ctl_begin(&manager_argp, argc, argv, &create);
	if (!err)
		err = complete_manager(ctl, &create);
	if (err)
		return err;
	err = kvbm_create_manager(ctl->kvbm, &create.attr, &id);
	if (err)
		return say_refused(ctl, &create, err);
	return print_created(ctl, create.command.target, id);
}
