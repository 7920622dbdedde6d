// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What registries of the in-process backend know of hashes: attachments, frequency
 * and presence.
 */
#include "inproc_ns.h"

int kvbm_ns_registry_attach(struct kvbm_ns_registry *r, const struct kvbm_attach *a)
{
	if (kvbm_user_bad(a->data, a->len))
		return -EFAULT;
	return kvbm_registry_attach(r->engine, &a->hash, a->type, a->mode,
				    kvbm_user(a->data), a->len);
}

int kvbm_ns_registry_attachments(struct kvbm_ns_registry *r,
				 struct kvbm_attachments *a)
{
	struct kvbm_attached out = {
		.buf = kvbm_user(a->buf),
		.size = a->buf_size,
	};
	int err;

	if (kvbm_user_bad(a->buf, a->buf_size))
		return -EFAULT;
	err = kvbm_registry_read_attached(r->engine, &a->hash, a->type, &out);
	a->out_count = out.count;
	a->out_total = out.total;
	a->out_needed = out.needed;
	return err;
}

int kvbm_ns_attach(struct kvbm_ns *ns, struct kvbm_ns_manager *bound,
		   const struct kvbm_attach *a)
{
	struct kvbm_ns_registry *r;
	int err;

	if (kvbm_user_bad(a->data, a->len))
		return -EFAULT;
	err = kvbm_ns_registry_of(ns, bound, a->registry, &r);
	if (err)
		return err;
	err = kvbm_ns_registry_attach(r, a);
	kvbm_ns_registry_put(ns, r);
	return err;
}

int kvbm_ns_attachments(struct kvbm_ns *ns, struct kvbm_ns_manager *bound,
			struct kvbm_attachments *a)
{
	struct kvbm_ns_registry *r;
	int err;

	if (kvbm_user_bad(a->buf, a->buf_size))
		return -EFAULT;
	err = kvbm_ns_registry_of(ns, bound, a->registry, &r);
	if (err)
		return err;
	err = kvbm_ns_registry_attachments(r, a);
	kvbm_ns_registry_put(ns, r);
	return err;
}

int kvbm_ns_frequency(struct kvbm_ns *ns, struct kvbm_ns_manager *bound,
		      const struct kvbm_frequency *a)
{
	const struct kvbm_hash *hashes = kvbm_user(a->hashes);
	u8 *counts = kvbm_user(a->out_counts);
	struct kvbm_ns_registry *r;
	u32 i;
	int err;

	if (kvbm_user_bad(a->hashes, a->count) || kvbm_user_bad(a->out_counts, a->count))
		return -EFAULT;
	err = kvbm_ns_registry_of(ns, bound, a->registry, &r);
	if (err)
		return err;
	for (i = 0; i < a->count; i++) {
		if (a->flags & KVBM_FREQUENCY_TOUCH)
			kvbm_registry_touch(r->engine, &hashes[i]);
		counts[i] = kvbm_registry_frequency(r->engine, &hashes[i]);
	}
	kvbm_ns_registry_put(ns, r);
	return 0;
}

/*
 * The managers of a call, referenced: their bits are theirs for so long.
 */
static int get_members(struct kvbm_ns *ns, const struct kvbm_ns_registry *r,
		       const u64 *ids, u32 count, struct kvbm_ns_manager **members)
{
	u32 i;

	lockdep_assert_held(&ns->lock);
	for (i = 0; i < count; i++) {
		members[i] = *kvbm_ns_manager_link(ns, ids[i]);
		if (!members[i] || members[i]->registry != r)
			break;
		members[i]->refs++;
	}
	if (i == count)
		return 0;
	while (i--)
		kvbm_ns_manager_drop(ns, members[i]);
	return -ENOENT;
}

/* From bits of stores to bits of the list that the caller gave. */
static u64 mask_of(u64 present, struct kvbm_ns_manager *const *members, u32 count)
{
	u64 mask = 0;
	u32 i;

	if (!count)
		return !!present;
	for (i = 0; i < count; i++)
		if (present & 1ULL << kvbm_store_bit(members[i]->store))
			mask |= 1ULL << i;
	return mask;
}

/* The registry that a call is about, referenced, and its managers. */
static int get_presence(struct kvbm_ns *ns, struct kvbm_ns_manager *bound,
			const struct kvbm_presence *a, struct kvbm_ns_registry **out,
			struct kvbm_ns_manager **members)
{
	struct kvbm_ns_registry *r = bound ? bound->registry : NULL;
	int err;

	lockdep_assert_held(&ns->lock);
	if (a->registry)
		r = *kvbm_ns_registry_link(ns, a->registry);
	if (!r)
		return a->registry ? -ENOENT : -ENOTCONN;
	if (kvbm_user_bad(a->hashes, a->count) ||
	    kvbm_user_bad(a->managers, a->nr_managers) ||
	    kvbm_user_bad(a->out_masks, a->count))
		return -EFAULT;
	err = get_members(ns, r, kvbm_user(a->managers), a->nr_managers, members);
	if (err)
		return err;
	r->refs++;
	*out = r;
	return 0;
}

int kvbm_ns_presence(struct kvbm_ns *ns, struct kvbm_ns_manager *bound,
		     const struct kvbm_presence *a)
{
	struct kvbm_ns_manager *members[KVBM_MAX_REGISTRY_MANAGERS];
	const struct kvbm_hash *hashes = kvbm_user(a->hashes);
	u64 *masks = kvbm_user(a->out_masks);
	struct kvbm_ns_registry *r;
	u64 live = 0;
	u32 i;
	int err;

	kvbm_ns_lock(ns);
	err = get_presence(ns, bound, a, &r, members);
	if (!err)
		live = r->live;
	mutex_unlock(&ns->lock);
	if (err)
		return err;
	for (i = 0; i < a->count; i++) {
		u64 present = live & kvbm_registry_presence(r->engine, &hashes[i]);

		masks[i] = mask_of(present, members, a->nr_managers);
	}
	mutex_lock(&ns->lock);
	for (i = 0; i < a->nr_managers; i++)
		kvbm_ns_manager_drop(ns, members[i]);
	kvbm_ns_registry_drop(r);
	mutex_unlock(&ns->lock);
	return 0;
}
