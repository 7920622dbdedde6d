/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The in-process backend: a namespace of registries and managers, and files
 * that use it.
 */
#ifndef KVBM_LIB_INPROC_H
#define KVBM_LIB_INPROC_H

#include <linux/kvbm.h>

#include "engine/engine.h"

struct kvbm_events;
struct kvbm_handles;
struct kvbm_ns;
struct kvbm_ns_source;

static inline void *kvbm_user(u64 address)
{
	return (void *)(uintptr_t)address;
}

/* The one bad pointer that can be told from a good one. */
static inline bool kvbm_user_bad(u64 address, u32 count)
{
	return count && !address;
}

/**
 * struct kvbm_ns_session - a file that is bound, in the list of its manager
 * @next: next one, by rising id; under the lock of the namespace
 * @id: never used twice
 * @flags: KVBM_BIND_*
 * @bound_ns: CLOCK_MONOTONIC
 * @holder: what it holds
 */
struct kvbm_ns_session {
	struct kvbm_ns_session *next;
	u64 id;
	u32 flags;
	u64 bound_ns;
	const struct kvbm_holder *holder;
};

/**
 * struct kvbm_ns_manager - one manager
 * @next: next one of the namespace, by rising id
 * @attr: as created; owner and group filled in
 * @id: never used twice
 * @registry: that it belongs to
 * @store: the blocks
 * @created_ns: CLOCK_MONOTONIC
 * @refs: the name, sessions, pins, calls at work; under the lock of the namespace
 * @sessions: files that are bound to it; under the lock of the namespace
 * @bound: those files; under the lock of the namespace
 * @pins: that are open; under the lock of the namespace
 * @ends_ns: when it ends for want of sessions, 0 while that is not to come;
 *	under the lock of the namespace
 */
struct kvbm_ns_manager {
	struct kvbm_ns_manager *next;
	struct kvbm_manager_create attr;
	u64 id;
	struct kvbm_ns_registry *registry;
	struct kvbm_store *store;
	u64 created_ns;
	u32 refs;
	u32 sessions;
	struct kvbm_ns_session *bound;
	u32 pins;
	u64 ends_ns;
};

/**
 * struct kvbm_ns_registry - one registry
 * @next: next one of the namespace, by rising id
 * @attr: as created; owner and group filled in
 * @id: never used twice
 * @engine: the hashes
 * @handles: of hashes
 * @refs: the name, one per manager, stream and pin; under the lock of the
 *	namespace
 * @managers: those that have a name; under the lock of the namespace
 * @live: bits of their stores; under the lock of the namespace
 * @sources_lock: protects all below; a leaf
 * @sources: streams of its events
 * @gone: it was destroyed
 */
struct kvbm_ns_registry {
	struct kvbm_ns_registry *next;
	struct kvbm_registry_create attr;
	u64 id;
	struct kvbm_registry *engine;
	struct kvbm_handles *handles;
	u32 refs;
	u32 managers;
	u64 live;
	struct mutex sources_lock;	/* of all below */
	struct kvbm_ns_source *sources;
	bool gone;
};

/* Every file of a namespace has a reference; the last one frees everything. */
struct kvbm_ns *kvbm_ns_alloc(void);
struct kvbm_ns *kvbm_ns_get(struct kvbm_ns *ns);
void kvbm_ns_put(struct kvbm_ns *ns);

/* A manager that has its name still, or NULL. */
struct kvbm_ns_manager *kvbm_ns_manager_get(struct kvbm_ns *ns, u64 id);
void kvbm_ns_manager_put(struct kvbm_ns *ns, struct kvbm_ns_manager *m);
/* The same, counted as a session; anonymous ones are not found. */
struct kvbm_ns_manager *kvbm_ns_bind(struct kvbm_ns *ns, u64 id);
/* For who has a reference already. */
void kvbm_ns_bind_again(struct kvbm_ns *ns, struct kvbm_ns_manager *m);
void kvbm_ns_unbind(struct kvbm_ns *ns, struct kvbm_ns_manager *m);
/* A pin of a session of it. */
void kvbm_ns_add_pin(struct kvbm_ns *ns, struct kvbm_ns_manager *m);
void kvbm_ns_remove_pin(struct kvbm_ns *ns, struct kvbm_ns_manager *m);

/* @session becomes one of those that KVBM_MANAGER_SESSIONS tells of, or ends. */
void kvbm_ns_enlist(struct kvbm_ns *ns, struct kvbm_ns_manager *m,
		    struct kvbm_ns_session *session);
void kvbm_ns_delist(struct kvbm_ns *ns, struct kvbm_ns_manager *m,
		    struct kvbm_ns_session *session);
void kvbm_ns_sessions(struct kvbm_ns *ns, struct kvbm_ns_manager *m,
		      struct kvbm_manager_sessions *a);

u64 kvbm_ns_clock(void);

/* A registry by its id, pinned: it stays, and the namespace, until it is unpinned. */
int kvbm_ns_registry_find(struct kvbm_ns *ns, u64 id, struct kvbm_ns_registry **out);
/* For who has it pinned already. */
void kvbm_ns_registry_pin(struct kvbm_ns *ns, struct kvbm_ns_registry *r);
void kvbm_ns_registry_unpin(struct kvbm_ns *ns, struct kvbm_ns_registry *r);
/* Whether @id is the number of @r, and it is not destroyed. */
bool kvbm_ns_registry_is_named(struct kvbm_ns *ns, u64 id,
			       const struct kvbm_ns_registry *r);
struct kvbm_handles *kvbm_ns_registry_handles(const struct kvbm_ns_registry *r);
/* As the calls, but of a registry that is pinned. */
int kvbm_ns_registry_attach(struct kvbm_ns_registry *r, const struct kvbm_attach *a);
int kvbm_ns_registry_attachments(struct kvbm_ns_registry *r,
				 struct kvbm_attachments *a);

/* inproc_handles.c */
struct kvbm_handles *kvbm_handles_alloc(struct kvbm_registry *engine, u64 capacity);
void kvbm_handles_free(struct kvbm_handles *handles);

/*
 * The calls; arguments passed their checks. @bound: the file's manager, or NULL;
 * with @bind_flags a new manager is bound, and is the caller's in @bound.
 */
int kvbm_ns_registry_create(struct kvbm_ns *ns, struct kvbm_registry_create *a);
int kvbm_ns_registry_query(struct kvbm_ns *ns, struct kvbm_registry_query *a);
int kvbm_ns_registry_list(struct kvbm_ns *ns, struct kvbm_list *a);
int kvbm_ns_registry_destroy(struct kvbm_ns *ns, const struct kvbm_destroy *a);
int kvbm_ns_manager_create(struct kvbm_ns *ns, struct kvbm_ns_manager **bound,
			   struct kvbm_manager_create *a);
int kvbm_ns_manager_query(struct kvbm_ns *ns, struct kvbm_ns_manager *bound,
			  struct kvbm_manager_query *a);
int kvbm_ns_manager_list(struct kvbm_ns *ns, struct kvbm_list *a);
int kvbm_ns_manager_destroy(struct kvbm_ns *ns, const struct kvbm_destroy *a);
/* Referenced; or NULL. */
struct kvbm_ns_registry *kvbm_ns_registry_get(struct kvbm_ns *ns, u64 id);
void kvbm_ns_registry_put(struct kvbm_ns *ns, struct kvbm_ns_registry *r);
/* The manager of a registry with the lowest id that is not below @id; or NULL. */
struct kvbm_ns_manager *kvbm_ns_manager_next(struct kvbm_ns *ns,
					     const struct kvbm_ns_registry *r, u64 id);

/* inproc_events.c */
extern u32 kvbm_ns_event_ring;
void kvbm_ns_events_init(struct kvbm_ns_registry *r);
void kvbm_ns_events_end(struct kvbm_ns_registry *r);
int kvbm_ns_events_open(struct kvbm_ns *ns, u64 registry, struct kvbm_events **out);
int kvbm_ns_events_dump(struct kvbm_ns *ns, struct kvbm_ns_manager *bound,
			struct kvbm_events_dump *a);

int kvbm_ns_attach(struct kvbm_ns *ns, struct kvbm_ns_manager *bound,
		   const struct kvbm_attach *a);
int kvbm_ns_attachments(struct kvbm_ns *ns, struct kvbm_ns_manager *bound,
			struct kvbm_attachments *a);
int kvbm_ns_frequency(struct kvbm_ns *ns, struct kvbm_ns_manager *bound,
		      const struct kvbm_frequency *a);
int kvbm_ns_presence(struct kvbm_ns *ns, struct kvbm_ns_manager *bound,
		     const struct kvbm_presence *a);

#endif /* KVBM_LIB_INPROC_H */
