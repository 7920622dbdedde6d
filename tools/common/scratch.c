// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "say.h"
#include "scratch.h"

static void registry_attr(struct kvbm_registry_create *attr, const char *name,
			  const struct scratch_attr *want)
{
	kvbm_registry_attr_init(attr, name);
	attr->capacity = want->blocks;
	if (want->policy == KVBM_POLICY_MULTI_LRU)
		attr->sketch_capacity = want->sketch ? want->sketch : SCRATCH_SKETCH;
}

static int create_registry(struct scratch *scratch, const struct scratch_attr *want,
			   char name[KVBM_NAME_SIZE])
{
	struct kvbm_registry_create attr;
	int err;

	snprintf(name, KVBM_NAME_SIZE, "%s", want->registry);
	registry_attr(&attr, name, want);
	err = kvbm_create_registry(scratch->kvbm, &attr, &scratch->registry);
	if (err != -EEXIST)
		return err;
	snprintf(name, KVBM_NAME_SIZE, "%s-%d", want->registry, (int)getpid());
	registry_attr(&attr, name, want);
	return kvbm_create_registry(scratch->kvbm, &attr, &scratch->registry);
}

int scratch_create(struct scratch *scratch, struct kvbm *kvbm,
		   const struct scratch_attr *want)
{
	struct kvbm_manager_create attr;
	char name[KVBM_NAME_SIZE];
	int err;

	scratch->kvbm = kvbm;
	scratch->block_size = want->block_size;
	err = create_registry(scratch, want, name);
	if (err)
		return say_err(err, "registry %s", name);
	kvbm_manager_attr_init(&attr, scratch->registry, want->manager, want->blocks);
	attr.block_size = want->block_size;
	attr.policy = want->policy;
	err = kvbm_create_manager(kvbm, &attr, &scratch->manager);
	if (err) {
		say_err(err, "manager %s:%s of %u blocks", name, want->manager,
			want->blocks);
		kvbm_destroy_registry(kvbm, scratch->registry);
		return err;
	}
	snprintf(scratch->name, sizeof(scratch->name), "%s:%s", name, want->manager);
	return 0;
}

int scratch_destroy(struct scratch *scratch)
{
	int err;

	err = kvbm_destroy_manager(scratch->kvbm, scratch->manager, true);
	/* Somebody may have been faster. */
	if (!err || err == -ENOENT)
		err = kvbm_destroy_registry(scratch->kvbm, scratch->registry);
	return err ? say_err(err, "destroying %s", scratch->name) : 0;
}
