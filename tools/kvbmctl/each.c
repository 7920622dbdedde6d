// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A walk over registries and managers.
 */
#include <stdlib.h>

#include "ctl.h"
#include "say.h"

typedef int (*each_fn)(struct ctl *ctl, const struct kvbm_registry_query *r,
		       const struct kvbm_manager_query *m, void *arg);

static int each_in_registry(struct ctl *ctl, const struct kvbm_registry_query *r,
			    each_fn each, void *arg)
{
	struct kvbm_manager_query m;
	uint64_t *ids;
	ssize_t n, i;
	int err;

	err = each(ctl, r, NULL, arg);
	if (err)
		return err;
	n = kvbm_list_managers(ctl->kvbm, r->id, &ids);
	if (n < 0)
		return n == -ENOENT ? 0 : say_err(n, "managers of '%s'", r->name);
	for (i = 0; i < n && !err; i++) {
		err = kvbm_query_manager(ctl->kvbm, ids[i], &m);
		if (!err)
			err = each(ctl, r, &m, arg);
		else if (err == -ENOENT)
			err = 0;
		else
			say_err(err, "manager %llu", (unsigned long long)ids[i]);
	}
	free(ids);
	return err;
}

static int each_of_all(struct ctl *ctl, each_fn each, void *arg)
{
	struct kvbm_registry_query r;
	uint64_t *ids;
	ssize_t n, i;
	int err = 0;

	n = kvbm_list_registries(ctl->kvbm, &ids);
	if (n < 0)
		return say_err(n, "registries");
	for (i = 0; i < n && !err; i++) {
		err = kvbm_query_registry(ctl->kvbm, ids[i], &r);
		if (!err)
			err = each_in_registry(ctl, &r, each, arg);
		else if (err == -ENOENT)
			err = 0;
		else
			say_err(err, "registry %llu", (unsigned long long)ids[i]);
	}
	free(ids);
	return err;
}

int ctl_each_manager(struct ctl *ctl, const char *target, each_fn each, void *arg)
{
	struct kvbm_registry_query r;
	struct kvbm_manager_query m;
	int err;

	if (!target)
		return each_of_all(ctl, each, arg);
	if (!is_manager_name(target)) {
		err = ctl_find_registry(ctl, target, &r);
		return err ? err : each_in_registry(ctl, &r, each, arg);
	}
	err = ctl_find_manager(ctl, target, &m);
	if (err)
		return err;
	err = kvbm_query_registry(ctl->kvbm, m.registry, &r);
	if (err)
		return say_err(err, "registry of '%s'", target);
	return each(ctl, &r, &m, arg);
}
