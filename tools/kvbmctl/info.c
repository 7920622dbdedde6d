// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * kvbmctl info
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl.h"
#include "output.h"
#include "policies.h"
#include "say.h"
#include "table.h"

static const struct argp argp = {
	.parser = ctl_parse_none,
	.doc = "Show what this build of kvbm can do.",
	.children = ctl_children,
};

static const struct {
	uint64_t bit;
	const char *name;
} features[] = {
	{ KVBM_FEATURE_PLH, "plh" },
	{ KVBM_FEATURE_OPAQUE, "opaque" },
	{ KVBM_FEATURE_OWNED, "owned" },
};

#define NR_FEATURES	(sizeof(features) / sizeof(*features))

static void version_text(const struct kvbm_info *info, char text[16])
{
	snprintf(text, 16, "%u.%u.%u", info->out_version >> 16 & 0xff,
		 info->out_version >> 8 & 0xff, info->out_version & 0xff);
}

static int print_json(const struct kvbm_info *info, const char *version)
{
	json_t *policies = json_array(), *names = json_array(), *json = json_object();
	size_t i;

	for (i = 0; i < 64; i++)
		if (info->out_policies >> i & 1)
			json_array_append_new(policies, json_string(policy_word(i)));
	for (i = 0; i < NR_FEATURES; i++)
		if (info->out_features & features[i].bit)
			json_array_append_new(names, json_string(features[i].name));
	set_word(json, "version", version);
	json_object_set_new(json, "policies", policies);
	json_object_set_new(json, "features", names);
	set_number(json, "max_blocks", info->out_max_blocks);
	set_number(json, "max_batch", info->out_max_batch);
	set_number(json, "chunk", info->out_chunk);
	return json_print(json);
}

static void print_features(uint64_t bits)
{
	size_t i;

	printf("features   ");
	for (i = 0; i < NR_FEATURES; i++)
		if (bits & features[i].bit)
			printf(" %s", features[i].name);
	putchar('\n');
}

static int print_text(const struct kvbm_info *info, const char *version)
{
	char *policies = policy_names(info->out_policies);

	if (!policies)
		return say_err(-ENOMEM, "info");
	printf("version     %s\n", version);
	printf("policies    %s\n", policies);
	print_features(info->out_features);
	printf("max blocks  %u\n", info->out_max_blocks);
	printf("max batch   %u\n", info->out_max_batch);
	printf("chunk       %u\n", info->out_chunk);
	free(policies);
	return 0;
}

int ctl_info(struct ctl *ctl, int argc, char **argv)
{
	struct command command = { .ctl = ctl };
	struct kvbm_info info;
	char version[16];
	int err;

	err = ctl_begin(&argp, argc, argv, &command);
	if (err)
		return err;
	err = kvbm_info(ctl->kvbm, &info);
	if (err)
		return say_err(err, "info");
	version_text(&info, version);
	return ctl->json ? print_json(&info, version) : print_text(&info, version);
}
