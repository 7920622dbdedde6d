// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/class/kvbm/: a device for each named manager, with a file for each number.
 * Documentation/ABI/testing/sysfs-class-kvbm tells what they are.
 *
 * A device comes when its manager has all but its place in the table, and goes
 * with the name, under kvbm_objects_lock, so that the next manager of that name
 * can have one. Removing it waits for those who are reading; so they look at a
 * living manager, and must not take kvbm_objects_lock. After that an open file
 * answers ENODEV. The device itself, and its release, are the driver core's: it may
 * outlive the manager, and even the module.
 */
#include <linux/device.h>
#include <linux/err.h>
#include <linux/sysfs.h>

#include "compat.h"
#include "private.h"

static struct kvbm_manager *to_manager(const struct device *dev)
{
	return dev_get_drvdata(dev);
}

static const struct kvbm_store_config *to_config(const struct device *dev)
{
	return kvbm_store_config(to_manager(dev)->store);
}

/* What a manager is. */

#define CONFIG_ATTR(name, fmt, value)					\
static ssize_t name##_show(struct device *dev,				\
			   struct device_attribute *attr, char *buf)	\
{									\
	return sysfs_emit(buf, fmt "\n", value);			\
}									\
static DEVICE_ATTR_RO(name)

CONFIG_ATTR(id, "%llu", to_manager(dev)->ident.id);
CONFIG_ATTR(tier, "G%u", to_manager(dev)->tier);
CONFIG_ATTR(block_count, "%u", to_config(dev)->block_count);
CONFIG_ATTR(block_size, "%u", to_config(dev)->block_size);
CONFIG_ATTR(nr_reserved, "%u", to_config(dev)->nr_reserved);
CONFIG_ATTR(policy, "%s", kvbm_eviction_find(to_config(dev)->policy)->name);
CONFIG_ATTR(duplication, "%s",
	    to_config(dev)->duplication == KVBM_DUP_ALLOW ? "allow" : "reject");
CONFIG_ATTR(reset_on_release, "%d", to_config(dev)->reset_on_release);
CONFIG_ATTR(aux_size, "%u", to_config(dev)->aux_size);
/* -1 for ever. */
CONFIG_ATTR(linger_ms, "%lld", to_manager(dev)->linger_ms == KVBM_LINGER_FOREVER ?
			       -1LL : (s64)to_manager(dev)->linger_ms);
CONFIG_ATTR(bytes, "%llu", to_manager(dev)->bytes);
CONFIG_ATTR(created_ns, "%llu", to_manager(dev)->created_ns);

/* Under no lock: one word, of interest at that moment only. */
CONFIG_ATTR(sessions, "%u", READ_ONCE(to_manager(dev)->sessions));

static struct attribute *config_attrs[] = {
	&dev_attr_id.attr,
	&dev_attr_tier.attr,
	&dev_attr_block_count.attr,
	&dev_attr_block_size.attr,
	&dev_attr_nr_reserved.attr,
	&dev_attr_policy.attr,
	&dev_attr_duplication.attr,
	&dev_attr_reset_on_release.attr,
	&dev_attr_aux_size.attr,
	&dev_attr_linger_ms.attr,
	&dev_attr_bytes.attr,
	&dev_attr_created_ns.attr,
	NULL
};

/**
 * struct member_attribute - a file that shows one number of a structure
 * @attr: the file
 * @offset: of a u64 in that structure
 */
struct member_attribute {
	struct device_attribute attr;
	size_t offset;
};

static ssize_t emit_member(char *buf, const void *base, struct device_attribute *attr)
{
	size_t offset = container_of(attr, struct member_attribute, attr)->offset;

	return sysfs_emit(buf, "%llu\n", *(const u64 *)(base + offset));
}

/* What happened in it: members of struct kvbm_counters. */

static ssize_t counter_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	struct kvbm_counters c;

	kvbm_store_counters(to_manager(dev)->store, &c);
	return emit_member(buf, &c, attr);
}

/* Files may have one name in several directories. */
#define COUNTER(id, file, member)					\
static struct member_attribute id##_attr = {				\
	.attr = __ATTR(file, 0444, counter_show, NULL),			\
	.offset = offsetof(struct kvbm_counters, member),		\
}

#define OWN_NAME(name)	COUNTER(name, name, name)

OWN_NAME(allocations);
OWN_NAME(allocations_from_reset);
OWN_NAME(evictions);
OWN_NAME(registrations);
OWN_NAME(duplicate_blocks);
OWN_NAME(registration_dedup);
OWN_NAME(stagings);
OWN_NAME(match_hashes_requested);
OWN_NAME(match_blocks_returned);
OWN_NAME(scan_hashes_requested);
OWN_NAME(scan_blocks_returned);
OWN_NAME(eager_primary_to_inactive);
OWN_NAME(allocate_atomic_rollback);
OWN_NAME(release_primary_noop);
OWN_NAME(release_duplicate_noop);
OWN_NAME(change);
OWN_NAME(freed);
OWN_NAME(allocation_failures);
OWN_NAME(waits);
OWN_NAME(wait_timeouts);
OWN_NAME(wait_total_ns);
OWN_NAME(regret_evictions);
OWN_NAME(regrets);
OWN_NAME(regret_total_ns);
OWN_NAME(regret_sample);

static struct attribute *counter_attrs[] = {
	&allocations_attr.attr.attr,
	&allocations_from_reset_attr.attr.attr,
	&evictions_attr.attr.attr,
	&registrations_attr.attr.attr,
	&duplicate_blocks_attr.attr.attr,
	&registration_dedup_attr.attr.attr,
	&stagings_attr.attr.attr,
	&match_hashes_requested_attr.attr.attr,
	&match_blocks_returned_attr.attr.attr,
	&scan_hashes_requested_attr.attr.attr,
	&scan_blocks_returned_attr.attr.attr,
	&eager_primary_to_inactive_attr.attr.attr,
	&allocate_atomic_rollback_attr.attr.attr,
	&release_primary_noop_attr.attr.attr,
	&release_duplicate_noop_attr.attr.attr,
	&change_attr.attr.attr,
	&freed_attr.attr.attr,
	&allocation_failures_attr.attr.attr,
	&waits_attr.attr.attr,
	&wait_timeouts_attr.attr.attr,
	&wait_total_ns_attr.attr.attr,
	&regret_evictions_attr.attr.attr,
	&regrets_attr.attr.attr,
	&regret_total_ns_attr.attr.attr,
	&regret_sample_attr.attr.attr,
	NULL
};

OWN_NAME(inflight_mutable);
OWN_NAME(inflight_immutable);
OWN_NAME(reset_pool_size);
OWN_NAME(inactive_pool_size);

static struct attribute *gauge_attrs[] = {
	&inflight_mutable_attr.attr.attr,
	&inflight_immutable_attr.attr.attr,
	&reset_pool_size_attr.attr.attr,
	&inactive_pool_size_attr.attr.attr,
	&dev_attr_sessions.attr,
	NULL
};

COUNTER(state_reset, reset, states[KVBM_STATE_RESET]);
COUNTER(state_mutable, mutable, states[KVBM_STATE_MUTABLE]);
COUNTER(state_staged, staged, states[KVBM_STATE_STAGED]);
COUNTER(state_primary, primary, states[KVBM_STATE_PRIMARY]);
COUNTER(state_duplicate, duplicate, states[KVBM_STATE_DUPLICATE]);
COUNTER(state_inactive, inactive, states[KVBM_STATE_INACTIVE]);

static struct attribute *state_attrs[] = {
	&state_reset_attr.attr.attr,
	&state_mutable_attr.attr.attr,
	&state_staged_attr.attr.attr,
	&state_primary_attr.attr.attr,
	&state_duplicate_attr.attr.attr,
	&state_inactive_attr.attr.attr,
	NULL
};

COUNTER(reclaim_sessions, sessions, reclaimed_sessions);
COUNTER(reclaim_mutable, mutable, reclaimed_mutable);
COUNTER(reclaim_staged, staged, reclaimed_staged);
COUNTER(reclaim_immutable, immutable, reclaimed_immutable);
COUNTER(reclaim_last_ns, last_ns, reclaim_last_ns);
COUNTER(reclaim_max_ns, max_ns, reclaim_max_ns);
COUNTER(reclaim_total_ns, total_ns, reclaim_total_ns);
COUNTER(reclaim_end_ns, end_ns, reclaim_end_ns);

static struct attribute *reclaim_attrs[] = {
	&reclaim_sessions_attr.attr.attr,
	&reclaim_mutable_attr.attr.attr,
	&reclaim_staged_attr.attr.attr,
	&reclaim_immutable_attr.attr.attr,
	&reclaim_last_ns_attr.attr.attr,
	&reclaim_max_ns_attr.attr.attr,
	&reclaim_total_ns_attr.attr.attr,
	&reclaim_end_ns_attr.attr.attr,
	NULL
};

/* The events of its registry; all managers of a registry have the same. */

static ssize_t event_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	struct kvbm_registry *registry = to_manager(dev)->registry->engine;
	struct kvbm_event_stats stats;

	kvbm_event_stats(kvbm_registry_events(registry), &stats);
	return emit_member(buf, &stats, attr);
}

#define EVENT_ATTR(file)						\
static struct member_attribute event_##file##_attr = {			\
	.attr = __ATTR(file, 0444, event_show, NULL),			\
	.offset = offsetof(struct kvbm_event_stats, file),		\
}

EVENT_ATTR(next);
EVENT_ATTR(dropped);
EVENT_ATTR(unheard);
EVENT_ATTR(listeners);
EVENT_ATTR(ring_bytes);

static struct attribute *event_attrs[] = {
	&event_next_attr.attr.attr,
	&event_dropped_attr.attr.attr,
	&event_unheard_attr.attr.attr,
	&event_listeners_attr.attr.attr,
	&event_ring_bytes_attr.attr.attr,
	NULL
};

/* Who may read the manager may read its files; 0 leaves a file out. */
static umode_t file_mode(struct kobject *kobj, struct attribute *attr, int n)
{
	return to_manager(kobj_to_dev(kobj))->ident.mode & attr->mode;
}

static const struct attribute_group config_group = {
	.is_visible = file_mode,
	.attrs = config_attrs,
};

#define GROUP(id, directory)						\
static const struct attribute_group id##_group = {			\
	.name = directory,						\
	.is_visible = file_mode,					\
	.attrs = id##_attrs,						\
}

GROUP(counter, "counters");
GROUP(gauge, "gauges");
GROUP(state, "states");
GROUP(reclaim, "reclaim");
GROUP(event, "events");

static const struct attribute_group *manager_groups[] = {
	&config_group,
	&counter_group,
	&gauge_group,
	&state_group,
	&reclaim_group,
	&event_group,
	NULL
};

static void get_ownership(kvbm_class_device *dev, kuid_t *uid, kgid_t *gid)
{
	const struct kvbm_manager *m = to_manager(dev);

	*uid = m->ident.uid;
	*gid = m->ident.gid;
}

static struct class kvbm_class = {
	.name = "kvbm",
	.dev_groups = manager_groups,
	.get_ownership = get_ownership,
};

/**
 * kvbm_sysfs_add - show a manager
 * @manager: complete; an anonymous one is not shown. Its name is reserved
 *
 * Context: may sleep.
 * Return: 0 or -errno.
 */
int kvbm_sysfs_add(struct kvbm_manager *manager)
{
	struct device *dev;

	if (manager->flags & KVBM_MANAGER_ANONYMOUS)
		return 0;
	dev = device_create(&kvbm_class, NULL, MKDEV(0, 0), manager, "%s:%s",
			    manager->registry->ident.name, manager->ident.name);
	if (IS_ERR(dev))
		return PTR_ERR(dev);
	manager->dev = dev;
	return 0;
}

/**
 * kvbm_sysfs_remove - undo kvbm_sysfs_add()
 * @manager: its name is still its own; harmless when repeated
 *
 * Waits for who reads one of its files, which does not take long.
 *
 * Context: may sleep; under kvbm_objects_lock, or the manager is not published.
 */
void kvbm_sysfs_remove(struct kvbm_manager *manager)
{
	if (manager->dev)
		device_unregister(manager->dev);
	manager->dev = NULL;
}

int __init kvbm_sysfs_init(void)
{
	return class_register(&kvbm_class);
}

/* No manager, and so no device, is left. */
void kvbm_sysfs_exit(void)
{
	class_unregister(&kvbm_class);
}
