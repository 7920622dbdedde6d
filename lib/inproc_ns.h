/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the files of the in-process backend share that look into a namespace:
 *
 *	inproc_ns.c		what there is, and how long it lives
 *	inproc_registry.c	registries
 *	inproc_manager.c	managers, and who has bound to them
 *	inproc_hashes.c		what a registry knows of hashes
 *
 * All but kvbm_ns_lock() and kvbm_ns_registry_of() are called with the lock of the
 * namespace held.
 */
#ifndef KVBM_LIB_INPROC_NS_H
#define KVBM_LIB_INPROC_NS_H

#include "inproc.h"

/**
 * struct kvbm_ns - what one kvbm_open("inproc:") made
 * @lock: protects all below
 * @refs: files, and pins of registries
 * @last_id: given to a registry, a manager or a session
 * @registries: those that have a name
 * @managers: those that have a name
 */
struct kvbm_ns {
	struct mutex lock;	/* of all below */
	u32 refs;
	u64 last_id;
	struct kvbm_ns_registry *registries;
	struct kvbm_ns_manager *managers;
};

/*
 * For every call that looks for registries or managers: nothing that should
 * have ended is found, though nobody was there to end it in time.
 */
void kvbm_ns_lock(struct kvbm_ns *ns);

/* The link that leads to the one with an id, or the last one, which is NULL. */
struct kvbm_ns_registry **kvbm_ns_registry_link(struct kvbm_ns *ns, u64 id);
struct kvbm_ns_manager **kvbm_ns_manager_link(struct kvbm_ns *ns, u64 id);
/* By name; NULL if there is none. */
struct kvbm_ns_registry *kvbm_ns_registry_named(struct kvbm_ns *ns, const char *name);
struct kvbm_ns_manager *kvbm_ns_manager_named(struct kvbm_ns *ns, u64 registry,
					      const char *name);
/* The name is free, the number is not found any more. */
void kvbm_ns_registry_unlink(struct kvbm_ns_registry **link);
void kvbm_ns_manager_unlink(struct kvbm_ns *ns, struct kvbm_ns_manager **link);
/* One reference less. */
void kvbm_ns_registry_drop(struct kvbm_ns_registry *r);
void kvbm_ns_manager_drop(struct kvbm_ns *ns, struct kvbm_ns_manager *m);
/* One session more, with a reference. */
void kvbm_ns_count_session(struct kvbm_ns *ns, struct kvbm_ns_manager *m);

/*
 * The registry that a call is about, referenced: that with the id, or that of the
 * manager that the file is bound to. 0, -ENOENT or -ENOTCONN.
 */
int kvbm_ns_registry_of(struct kvbm_ns *ns, struct kvbm_ns_manager *bound, u64 id,
			struct kvbm_ns_registry **out);

/* KVBM_ID_CALLER becomes who calls. */
void kvbm_ns_set_owner(u32 *uid, u32 *gid);
/* One more id for a list, if it is wanted. Return: whether there is room. */
bool kvbm_ns_list_add(struct kvbm_list *a, u64 id);

#endif /* KVBM_LIB_INPROC_NS_H */
