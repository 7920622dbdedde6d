// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <stdlib.h>
#include <string.h>

#include "exporter.h"
#include "say.h"
#include "sessions.h"

static int collect_manager(struct kvbm *kvbm, uint64_t id,
			   const struct kvbm_registry_query *r, struct manager *m)
{
	ssize_t n = 0;
	int err;

	memset(m, 0, sizeof(*m));
	memcpy(m->registry, r->name, sizeof(m->registry));
	err = kvbm_query_manager(kvbm, id, &m->query);
	if (!err)
		err = kvbm_manager_counters(kvbm, id, &m->counters);
	if (!err)
		n = sessions_of(kvbm, id, &m->sessions);
	if (n < 0)
		err = n;
	else
		m->nr_sessions = n;
	/* No name of anybody begins like that. */
	if (m->query.name[0])
		memcpy(m->name, m->query.name, sizeof(m->name));
	else
		snprintf(m->name, sizeof(m->name), "#%llu", (unsigned long long)id);
	return err;
}

static int collect_managers(struct kvbm *kvbm, const struct kvbm_registry_query *r,
			    struct view *view)
{
	struct manager *more;
	uint64_t *ids;
	ssize_t n, i;
	int err = 0;

	n = kvbm_list_managers(kvbm, r->id, &ids);
	if (n < 0)
		return n == -ENOENT ? 0 : n;
	more = reallocarray(view->managers, view->nr_managers + n + 1, sizeof(*more));
	if (!more) {
		free(ids);
		return -ENOMEM;
	}
	view->managers = more;
	for (i = 0; i < n && !err; i++) {
		err = collect_manager(kvbm, ids[i], r, &more[view->nr_managers]);
		if (!err)
			view->nr_managers++;
		else if (err == -EACCES)
			view->unreadable++;
		if (err == -EACCES || err == -ENOENT)
			err = 0;
	}
	free(ids);
	return err;
}

static int collect_registries(struct kvbm *kvbm, struct view *view)
{
	uint64_t *ids;
	ssize_t n, i;
	int err = 0;

	n = kvbm_list_registries(kvbm, &ids);
	if (n < 0)
		return n;
	view->registries = calloc(n + 1, sizeof(*view->registries));
	if (!view->registries)
		err = -ENOMEM;
	for (i = 0; i < n && !err; i++) {
		struct kvbm_registry_query *r = &view->registries[view->nr_registries];

		err = kvbm_query_registry(kvbm, ids[i], r);
		if (!err) {
			view->nr_registries++;
			err = collect_managers(kvbm, r, view);
		} else if (err == -ENOENT) {
			err = 0;
		}
	}
	free(ids);
	return err;
}

int view_collect(struct kvbm *kvbm, struct view *view)
{
	struct kvbm_info info;
	int err;

	memset(view, 0, sizeof(*view));
	err = kvbm_info(kvbm, &info);
	if (!err) {
		view->version = info.out_version;
		err = collect_registries(kvbm, view);
	}
	/* After the rest: nothing that was seen is younger. */
	view->now_ns = monotonic_ns();
	if (!err)
		return 0;
	view_free(view);
	return say_err(err, "looking at the managers");
}

void view_free(struct view *view)
{
	size_t i;

	for (i = 0; i < view->nr_managers; i++)
		free(view->managers[i].sessions);
	free(view->managers);
	free(view->registries);
	memset(view, 0, sizeof(*view));
}
