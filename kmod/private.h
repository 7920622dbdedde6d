/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The doors of the module: what its files share above the engine.
 *
 *	main.c		the module, its parameters
 *	chardev.c	/dev/kvbm: open, close, and which ioctl is which
 *	object.c	names, rights, ids and limits of registries and managers
 *	registry.c	registries
 *	manager.c	managers
 *	inspect.c	counters, checks, dumps, presence: who only looks
 *	attach.c	what a registry knows of hashes beyond presence
 *	session.c	a file bound to a manager
 *	holders.c	who has bound, and how much they hold
 *	sysfs.c		/sys/class/kvbm
 *	pin.c		pins, which are files of their own
 *	quota.c		who is charged for what sessions hold
 *	epoch.c		managers change hands
 *	backing.c	the files that blocks live in
 *	batch.c		ioctls of a session, which move arrays
 *	call.c		the structure of an ioctl
 *	uarray.c	arrays of user memory
 *	events.c	event files, and dumps to go with them
 *	genl.c		generic netlink
 *	abi.c		checks that need nothing but the argument
 *
 * Locks above those of the engine (engine/engine.h), outermost first:
 *
 *	file->bind_lock		mutex: the binding of a file
 *	kvbm_objects_lock	mutex: the tables of registries and managers
 *
 * Registries and managers are built and taken down without kvbm_objects_lock:
 * that can take a second, and nobody else shall wait for it.
 */
#ifndef KVBM_PRIVATE_H
#define KVBM_PRIVATE_H

#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "abi.h"
#include "engine/engine.h"
#include "engine/events.h"

#undef pr_fmt
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

/* main.c: module parameters */
extern unsigned int kvbm_max_registries;
extern unsigned int kvbm_max_managers;
u64 kvbm_bytes_limit(void);

/**
 * struct kvbm_ident - what registries and managers have in common
 * @id: never used twice
 * @name: empty for an anonymous manager
 * @uid: owner
 * @gid: group
 * @mode: permission bits
 *
 * Immutable once published.
 */
struct kvbm_ident {
	u64 id;
	char name[KVBM_NAME_SIZE];
	kuid_t uid;
	kgid_t gid;
	umode_t mode;
};

/**
 * struct kvbm_registry_object - a registry, as users know it
 * @ident: name and rights
 * @ref: the table's, one per manager, event file and feed, and those of calls
 * @engine: immutable
 * @capacity: immutable
 * @schema: immutable
 * @sketch_capacity: immutable
 * @bytes: charged against the module's limit; immutable
 * @in_names: in the list of taken names; under kvbm_objects_lock
 * @managers: those that have a name here, unpublished ones included; under
 *	kvbm_objects_lock
 * @nr_managers: how many that are; under kvbm_objects_lock
 * @live: bit of the store of each manager that has not been ended; under
 *	kvbm_objects_lock
 * @listeners: event files, and netlink; under kvbm_objects_lock
 * @event_bytes: charged for the event ring while somebody listens; under
 *	kvbm_objects_lock
 * @gone: it was destroyed; set once
 * @event_readers: who waits for events, or for the end
 * @feed: of netlink; written under the lock of genl.c, read with RCU
 */
struct kvbm_registry_object {
	struct kvbm_ident ident;
	struct kref ref;
	struct kvbm_registry *engine;
	u64 capacity;
	u32 schema;
	u64 sketch_capacity;
	u64 bytes;
	struct list_head in_names;
	struct list_head managers;
	u32 nr_managers;
	u64 live;
	u32 listeners;
	u32 event_bytes;
	bool gone;
	wait_queue_head_t event_readers;
	struct kvbm_feed __rcu *feed;
};

/**
 * struct kvbm_quotas - the quotas of a manager
 * @session_limit: of each session; under the lock of the store
 * @uid_limit: of each user without a limit of its own; the same
 * @payers: users and groups that have a session, a pin or a limit; under
 *	kvbm_objects_lock
 * @nr_limited: those with a limit of their own; under kvbm_objects_lock
 */
struct kvbm_quotas {
	u64 session_limit;
	u64 uid_limit;
	struct list_head payers;
	u32 nr_limited;
};

struct kvbm_backing;

/**
 * struct kvbm_manager - a manager, as users know it
 * @ident: name and rights
 * @ref: the table's, one per session and pin, that of @linger, and those of calls
 * @registry: referenced; immutable
 * @store: of the engine; immutable once published
 * @tier: immutable
 * @flags: KVBM_MANAGER_*; immutable
 * @linger_ms: immutable
 * @bytes: charged against the module's limit; immutable
 * @created_ns: immutable
 * @pollers: who waits in poll(2) for blocks or the end
 * @linger: ends a manager that nobody came back to; holds a reference while
 *	pending
 * @sessions: files bound to it; under kvbm_objects_lock
 * @bound: the same as a list, by rising id; under kvbm_objects_lock
 * @pins: pins that are open; under kvbm_objects_lock
 * @quotas: under kvbm_objects_lock
 * @backing: NULL until it is set, then immutable; read with
 *	kvbm_manager_backing()
 * @in_registry: in @registry->managers; under kvbm_objects_lock
 * @dev: in sysfs, as long as it has its name; NULL for an anonymous one; once
 *	published under kvbm_objects_lock
 */
struct kvbm_manager {
	struct kvbm_ident ident;
	struct kref ref;
	struct kvbm_registry_object *registry;
	struct kvbm_store *store;
	u32 tier;
	u32 flags;
	u32 linger_ms;
	u64 bytes;
	u64 created_ns;
	wait_queue_head_t pollers;
	struct delayed_work linger;
	u32 sessions;
	struct list_head bound;
	u32 pins;
	struct kvbm_quotas quotas;
	struct kvbm_backing *backing;
	struct list_head in_registry;
	struct device *dev;
};

/**
 * struct kvbm_who - who bound a file
 * @in_manager: in @manager->bound; under kvbm_objects_lock
 * @id: of the session, never used twice
 * @pid: the process, referenced
 * @uid: its effective user
 * @cgroup: the id of its cgroup
 * @bound_ns: when that was
 * @comm: its name
 *
 * All but @in_manager as it was then, and immutable.
 */
struct kvbm_who {
	struct list_head in_manager;
	u64 id;
	struct pid *pid;
	kuid_t uid;
	u64 cgroup;
	u64 bound_ns;
	char comm[TASK_COMM_LEN];
};

/**
 * struct kvbm_file - an open file of /dev/kvbm; bound, it is a session
 * @may_write: it was opened for writing; immutable
 * @bind_lock: serialises binding
 * @manager: NULL until bound, then immutable; read with kvbm_file_manager()
 * @rights: KVBM_BIND_*; immutable once bound
 * @who: bound it; with KVBM_BIND_OWNED, the process that owns it
 * @threshold: see struct kvbm_set_threshold
 * @holder: what the session holds
 */
struct kvbm_file {
	bool may_write;
	struct mutex bind_lock;	/* see above */
	struct kvbm_manager *manager;
	u32 rights;
	struct kvbm_who who;
	u32 threshold;
	struct kvbm_holder holder;
};

/**
 * struct kvbm_call - one ioctl on its way
 * @abi: which
 * @uarg: its structure in user memory
 * @usize: size of that
 * @arg: our copy
 */
struct kvbm_call {
	const struct kvbm_abi_call *abi;
	void __user *uarg;
	u32 usize;
	union kvbm_abi_arg *arg;
};

/* call.c */
int kvbm_call_begin(struct kvbm_call *call, unsigned int cmd, unsigned long uarg,
		    union kvbm_abi_arg *buf);
int kvbm_call_put(const struct kvbm_call *call);

/* chardev.c */
extern const struct file_operations kvbm_fops;

/* object.c */
extern struct mutex kvbm_objects_lock;

int kvbm_ident_init(struct kvbm_ident *ident, const char *name, u32 mode,
		    u32 uid, u32 gid);
bool kvbm_may(const struct kvbm_ident *ident, unsigned int mode);
bool kvbm_is_owner(const struct kvbm_ident *ident);
int kvbm_charge(u64 bytes);
void kvbm_uncharge(u64 bytes);
int kvbm_list_ids(struct kvbm_call *call, struct xarray *table,
		  bool (*want)(const void *object, u64 registry));

/* registry.c */
struct kvbm_registry_object *kvbm_registry_find(u64 id, const char *name);
void kvbm_registry_get(struct kvbm_registry_object *registry);
void kvbm_registry_put(struct kvbm_registry_object *registry);
void kvbm_registry_exit(void);
int kvbm_registry_create(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_registry_query(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_registry_list(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_registry_destroy(struct kvbm_file *file, struct kvbm_call *call);
struct kvbm_registry_object *kvbm_registry_next(u64 id);
int kvbm_file_registry(struct kvbm_file *file, u64 id, unsigned int mode,
		       struct kvbm_registry_object **out, u64 *live);

/* manager.c */
int kvbm_manager_init(void);
void kvbm_manager_exit(void);
struct kvbm_manager *kvbm_manager_find(u64 id);
struct kvbm_manager *kvbm_manager_bind(u64 id, unsigned int mode);
void kvbm_manager_bind_again(struct kvbm_manager *manager);
void kvbm_manager_unbind(struct kvbm_manager *manager);
void kvbm_manager_publish(struct kvbm_manager *manager, bool session);
struct kvbm_manager *kvbm_manager_next(struct kvbm_registry_object *registry,
				       u64 id);
int kvbm_manager_get_readable(struct kvbm_file *file, u64 id,
			      struct kvbm_manager **out);
void kvbm_manager_add_pin(struct kvbm_manager *manager);
void kvbm_manager_remove_pin(struct kvbm_manager *manager);
int kvbm_manager_get(struct kvbm_file *file, u64 id, bool own,
		     struct kvbm_manager **out);
void kvbm_manager_put(struct kvbm_manager *manager);
int kvbm_manager_create(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_manager_query(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_manager_list(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_manager_destroy(struct kvbm_file *file, struct kvbm_call *call);

/* inspect.c */
int kvbm_manager_stats(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_manager_check(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_manager_dump(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_get_presence(struct kvbm_file *file, struct kvbm_call *call);

/* attach.c */
int kvbm_attach(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_get_attachments(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_get_frequency(struct kvbm_file *file, struct kvbm_call *call);

/* pin.c */
int kvbm_pin_create(struct kvbm_file *file, struct kvbm_call *call);

/* quota.c */
void kvbm_quotas_init(struct kvbm_quotas *quotas);
void kvbm_quotas_free(struct kvbm_quotas *quotas);
int kvbm_quota_join(struct kvbm_file *file, struct kvbm_manager *manager);
void kvbm_quota_leave(struct kvbm_file *file);
void kvbm_quota_get(const struct kvbm_accounts *accounts);
void kvbm_quota_put(const struct kvbm_accounts *accounts);
int kvbm_quota(struct kvbm_file *file, struct kvbm_call *call);

/* epoch.c */
int kvbm_epoch(struct kvbm_file *file, struct kvbm_call *call);

/* backing.c */
int kvbm_backing_set(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_backing_get(struct kvbm_file *file, struct kvbm_call *call);
void kvbm_backing_free(struct kvbm_backing *backing);
u32 kvbm_backing_segments(const struct kvbm_backing *backing);

/* The backing of a manager, or NULL. */
static inline struct kvbm_backing *
kvbm_manager_backing(const struct kvbm_manager *manager)
{
	/* Pairs with kvbm_backing_set(). */
	return smp_load_acquire(&manager->backing);
}

/* session.c */
struct kvbm_file *kvbm_file_alloc(bool may_write);
void kvbm_file_free(struct kvbm_file *file);
int kvbm_file_bind_new(struct kvbm_file *file, struct kvbm_manager *manager,
		       u32 flags);
int kvbm_bind(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_session_open(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_set_threshold(struct kvbm_file *file, struct kvbm_call *call);
void kvbm_session_owner_died(struct kvbm_file *file);
void kvbm_session_end(struct kvbm_file *file);

/* sysfs.c */
int kvbm_sysfs_init(void);
void kvbm_sysfs_exit(void);
int kvbm_sysfs_add(struct kvbm_manager *manager);
void kvbm_sysfs_remove(struct kvbm_manager *manager);

/* holders.c */
void kvbm_session_enlist(struct kvbm_file *file, struct kvbm_manager *manager);
void kvbm_session_delist(struct kvbm_file *file);
int kvbm_manager_sessions(struct kvbm_file *file, struct kvbm_call *call);

/* The manager of a file, or NULL; a bound file stays bound to it. */
static inline struct kvbm_manager *kvbm_file_manager(struct kvbm_file *file)
{
	/* Pairs with kvbm_bind(): rights and holder are set before. */
	return smp_load_acquire(&file->manager);
}

/* events.c */
void kvbm_events_init(struct kvbm_registry_object *registry);
void kvbm_events_end(struct kvbm_registry_object *registry);
int kvbm_events_listen(struct kvbm_registry_object *registry,
		       struct kvbm_event_reader *reader);
void kvbm_events_unlisten(struct kvbm_registry_object *registry);
u32 kvbm_events_content(struct kvbm_registry_object *registry, u64 *manager,
			u32 *block, char *buf, u32 size);
int kvbm_events_open(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_events_dump(struct kvbm_file *file, struct kvbm_call *call);

/* genl.c */
int kvbm_genl_init(void);
void kvbm_genl_exit(void);
void kvbm_genl_notify(struct kvbm_registry_object *registry);

/* batch.c */
int kvbm_batch_allocate(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_batch_acquire(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_batch_stage(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_batch_register(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_batch_stage_register(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_batch_match(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_batch_tokens(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_batch_upgrade(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_batch_drain(struct kvbm_file *file, struct kvbm_call *call);
int kvbm_batch_holdings(struct kvbm_file *file, struct kvbm_call *call);

#endif /* KVBM_PRIVATE_H */
