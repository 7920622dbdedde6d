/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * libkvbm: KV-cache block management, through /dev/kvbm or in this process.
 *
 *	struct kvbm		a connection: creates, finds, lists, destroys
 *	struct kvbm_session	a connection bound to one manager: takes guards
 *	guards			one C type per state of a block
 *	struct kvbm_pin		blocks that stay apart from any session
 *	struct kvbm_map		the bytes of the blocks, in this process
 *
 * A guard is a value of eight bytes in memory of the caller; arrays of guards
 * go to the kernel as they are. A call that makes something else of a guard
 * consumes it: on success the caller's guard is empty (all zeroes) afterwards,
 * on an error it is as before. Empty guards in a release are skipped; in any
 * other call an empty guard is one that is not held. Guards
 * that a call puts into an array of the caller are followed by empty ones up to
 * the length of the array; after an error all of them are empty. (Where the
 * arrays were not looked at, for -EFAULT or a length beyond KVBM_MAX_BATCH,
 * they are as before.) Arrays of guards must not overlap.
 *
 * Unless said otherwise functions return 0 or a negative errno, with the
 * meanings of <linux/kvbm.h>; kvbm_strerror() has them in words. After an error
 * about one entry of an array, kvbm_failed_index() tells which.
 *
 * Threads: a struct kvbm and a struct kvbm_session may be shared; one session
 * per thread scales better. A call that waits for blocks keeps nobody else from
 * using its session, but a session is closed when no call is in it any more.
 * Fork: what was opened before a fork() belongs to the parent. In the child
 * every call answers -EOWNERDEAD and closing only frees memory.
 *
 * Signals: a call that waits until a deadline answers -EINTR after a signal, so
 * that a signal can end the wait; nothing was changed then. (In process there
 * is no such wait: a signal does not end it.) All other calls go on.
 *
 * Times are in the unit that their name ends in; deadlines are absolute, of
 * CLOCK_MONOTONIC.
 */
#ifndef KVBM_KVBM_H
#define KVBM_KVBM_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/kvbm.h>

#include <kvbm/hash.h>

/*
 * A guard of the wrong type is an error, and not only from GCC 14 on or in C++,
 * where every pointer of the wrong type is.
 */
#if defined(__GNUC__) && !defined(__cplusplus)
#pragma GCC diagnostic error "-Wincompatible-pointer-types"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The library is built with everything else hidden. */
#pragma GCC visibility push(default)

struct kvbm;
struct kvbm_session;
struct kvbm_pin;
struct kvbm_map;

/* A block that was allocated: to be filled, then staged. */
struct kvbm_mutable {
	struct kvbm_token token;
};

/* A block that is filled and has its hash: to be registered. */
struct kvbm_complete {
	struct kvbm_token token;
};

/* A block that is registered: it can be matched, and is not written to. */
struct kvbm_immutable {
	struct kvbm_token token;
};

/* Connections. */

/**
 * kvbm_open - connect
 * @uri: "/dev/kvbm" (any path of the device), or "inproc:" for a block store
 *	of this process alone, empty at first, gone when it is closed. What is
 *	in it is the caller's own: there are no rights and no limits, and
 *	anonymous managers are seen as an administrator sees them
 * @out: the connection
 *
 * Errors: -ENOENT, -EACCES and the like from open(2); -EINVAL for an unknown
 * scheme; -EPROTO when the path is no kvbm device; -ENOMEM.
 */
int kvbm_open(const char *uri, struct kvbm **out);
/* Sessions stay usable until they are closed themselves. NULL is allowed. */
void kvbm_close(struct kvbm *kvbm);

int kvbm_info(struct kvbm *kvbm, struct kvbm_info *out);
/* Text of a negative errno as kvbm uses it; never NULL, static. */
const char *kvbm_strerror(int err);
/* Of the calling thread: index of the entry that its last failed call named. */
unsigned int kvbm_failed_index(void);

/* Registries and managers. */

/**
 * kvbm_create_registry - make a registry
 * @kvbm: connection
 * @attr: from kvbm_registry_attr_init(), then changed as <linux/kvbm.h> has it;
 *	@size is set by the library
 * @id: out, may be NULL
 */
int kvbm_create_registry(struct kvbm *kvbm, const struct kvbm_registry_create *attr,
			 uint64_t *id);
/* @bind_flags of the attributes must be 0: a connection stays unbound. */
int kvbm_create_manager(struct kvbm *kvbm, const struct kvbm_manager_create *attr,
			uint64_t *id);

/**
 * kvbm_create_manager_bound - make a manager, and begin its first session
 * @kvbm: connection
 * @attr: as for kvbm_create_manager()
 * @flags: as for kvbm_bind()
 * @id: out, may be NULL
 * @session: out: the session
 *
 * The way to make a manager that is anonymous (KVBM_MANAGER_ANONYMOUS, an empty
 * name, and @linger_ms 0) or that ends @linger_ms after its last session. In
 * process there is nobody to see the time pass: there such a manager ends at the
 * first call about registries or managers after its time, or with all else.
 */
int kvbm_create_manager_bound(struct kvbm *kvbm,
			      const struct kvbm_manager_create *attr,
			      uint32_t flags, uint64_t *id,
			      struct kvbm_session **session);

/*
 * Attributes to start from: owner the caller, mode 0660, room for 2^20 blocks in
 * a registry; 16 tokens per block, tier G1, the default policy, duplicates
 * allowed, and no end but destruction in a manager. A name that is too long is
 * refused when the object is created.
 */
void kvbm_registry_attr_init(struct kvbm_registry_create *attr, const char *name);
void kvbm_manager_attr_init(struct kvbm_manager_create *attr, uint64_t registry,
			    const char *name, uint32_t block_count);

int kvbm_find_registry(struct kvbm *kvbm, const char *name,
		       struct kvbm_registry_query *out);
int kvbm_query_registry(struct kvbm *kvbm, uint64_t id,
			struct kvbm_registry_query *out);
/* @name is "registry:manager". */
int kvbm_find_manager(struct kvbm *kvbm, const char *name,
		      struct kvbm_manager_query *out);
int kvbm_query_manager(struct kvbm *kvbm, uint64_t id,
		       struct kvbm_manager_query *out);

/* All ids in ascending order, in memory to be free()d; count or -errno. */
ssize_t kvbm_list_registries(struct kvbm *kvbm, uint64_t **ids);
ssize_t kvbm_list_managers(struct kvbm *kvbm, uint64_t registry, uint64_t **ids);

int kvbm_destroy_registry(struct kvbm *kvbm, uint64_t id);
int kvbm_destroy_manager(struct kvbm *kvbm, uint64_t id, bool force);

int kvbm_manager_counters(struct kvbm *kvbm, uint64_t id, struct kvbm_counters *out);
int kvbm_manager_verify(struct kvbm *kvbm, uint64_t id,
			struct kvbm_check_result *out);

/**
 * kvbm_manager_dump - tell what is in the slots of a manager
 * @kvbm: connection
 * @id: the manager
 * @start: first block id
 * @n: room in @slots, up to KVBM_MAX_BATCH
 * @slots: out
 *
 * Return: slots written, less than @n when there are no more; or -errno.
 */
ssize_t kvbm_manager_dump(struct kvbm *kvbm, uint64_t id, uint32_t start, size_t n,
			  struct kvbm_slot_info *slots);

/**
 * kvbm_manager_sessions - tell who holds how much of a manager
 * @kvbm: connection
 * @id: the manager
 * @after: sessions up to this id are left out; 0 to start
 * @n: room in @sessions, up to KVBM_MAX_BATCH
 * @sessions: out, by rising id
 *
 * Takes the right to read the manager. Nobody is waited for: of a session that is
 * at work, the numbers are from somewhere in the middle. In process all sessions
 * are this process's.
 *
 * Return: sessions written, less than @n when there are no more; or -errno.
 */
ssize_t kvbm_manager_sessions(struct kvbm *kvbm, uint64_t id, uint64_t after,
			      size_t n, struct kvbm_session_info *sessions);

/**
 * kvbm_presence - which managers of a registry have which hashes
 * @kvbm: connection
 * @registry: id
 * @n: hashes, up to KVBM_MAX_BATCH
 * @hashes: the hashes
 * @nr_managers: up to KVBM_MAX_REGISTRY_MANAGERS; 0 asks for any manager
 * @managers: ids of managers of that registry
 * @masks: out, @n of them: bit i is set when managers[i] has the hash; without
 *	managers, bit 0 when any has it
 *
 * Takes no guards: a block may be gone when this returns.
 *
 * Errors: -ENOENT when the registry, or a manager in it, is not there.
 */
int kvbm_presence(struct kvbm *kvbm, uint64_t registry, size_t n,
		  const struct kvbm_hash *hashes, size_t nr_managers,
		  const uint64_t *managers, uint64_t *masks);

/**
 * kvbm_attach - hang data on a hash that is present in a registry
 * @kvbm: connection
 * @registry: id
 * @hash: present in a manager of the registry
 * @type: says what the data is; chosen by users, not 0
 * @mode: KVBM_ATTACH_UNIQUE replaces what there is of this type,
 *	KVBM_ATTACH_MULTIPLE adds to it
 * @data: copied
 * @len: bytes, up to KVBM_MAX_ATTACHMENT
 *
 * It goes when the hash is present nowhere any more. For write rights on the
 * registry.
 *
 * Return: 0; -ENOENT when the hash is present nowhere, -EPROTOTYPE when the type
 * has the other mode at that hash, -ENOSPC when KVBM_MAX_ATTACHMENTS are there.
 */
int kvbm_attach(struct kvbm *kvbm, uint64_t registry, const struct kvbm_hash *hash,
		uint64_t type, uint32_t mode, const void *data, size_t len);

/**
 * kvbm_attachments - what hangs on a hash
 * @kvbm: connection
 * @registry: id
 * @hash: present in a manager of the registry
 * @type: only this one; 0 is all
 * @buf: out, aligned to 8 bytes: attachments, each with its header; go through
 *	them with kvbm_attachment_next()
 * @size: room there; 65,792 bytes are enough for any
 * @needed: out, room that all of them take; may be NULL
 *
 * Return: attachments written, oldest first; or -ENOENT when the hash is present
 * nowhere.
 */
ssize_t kvbm_attachments(struct kvbm *kvbm, uint64_t registry,
			 const struct kvbm_hash *hash, uint64_t type, void *buf,
			 size_t size, size_t *needed);
/* The one after it. Its data is right behind the header. */
const struct kvbm_attachment *
kvbm_attachment_next(const struct kvbm_attachment *attachment);

/**
 * kvbm_frequency - about how often hashes were used lately
 * @kvbm: connection
 * @registry: id; all counts are 0 if it was made without a sketch
 * @touch: they are used once more; for write rights
 * @n: hashes, up to KVBM_MAX_BATCH
 * @hashes: present or not
 * @counts: out, @n of them, 0 to 15
 *
 * Return: 0 or -errno.
 */
int kvbm_frequency(struct kvbm *kvbm, uint64_t registry, bool touch, size_t n,
		   const struct kvbm_hash *hashes, uint8_t *counts);

/*
 * Names of numbers, as tools print them: "lru", "G2", "inactive", "bad-refs".
 * NULL for an unknown number.
 */
const char *kvbm_policy_name(uint32_t policy);
const char *kvbm_tier_name(uint32_t tier);
const char *kvbm_state_name(uint32_t state);
const char *kvbm_check_name(uint32_t error);
/* The reverse, in upper or lower case: a number, or -EINVAL. */
int kvbm_policy_from_name(const char *name);
int kvbm_tier_from_name(const char *name);

/* Sessions. */

/**
 * kvbm_bind - begin a session
 * @kvbm: connection
 * @manager: id
 * @flags: KVBM_BIND_READ, KVBM_BIND_WRITE; 0 is both. KVBM_BIND_OWNED is
 *	added, unless KVBM_BIND_SHARED is given
 * @out: the session
 */
int kvbm_bind(struct kvbm *kvbm, uint64_t manager, uint32_t flags,
	      struct kvbm_session **out);
/* Without KVBM_BIND_OWNED: guards live until the last descriptor is closed. */
#define KVBM_BIND_SHARED	(1U << 31)

/**
 * kvbm_session_open - begin another session of the same manager
 * @session: session
 * @flags: as for kvbm_bind(), of READ and WRITE only what @session has
 * @out: the other session, with guards of its own
 *
 * With KVBM_BIND_SHARED its descriptor, kvbm_session_fd(), can be handed to
 * another process, which makes a session of it with kvbm_session_from_fd().
 * Who has the descriptor has the rights: no other check is made.
 *
 * Errors: -EACCES for a right that @session has not; -ESHUTDOWN; -EMFILE and
 * the like.
 */
int kvbm_session_open(struct kvbm_session *session, uint32_t flags,
		      struct kvbm_session **out);

/**
 * kvbm_session_from_fd - make a session of a descriptor
 * @fd: bound, of a kvbm device, from wherever; on success it is the session's,
 *	on an error it stays the caller's
 * @out: the session
 *
 * Errors: -EBADF; -EPROTO when @fd is of something else; -ENOTCONN when it is
 * not bound.
 */
int kvbm_session_from_fd(int fd, struct kvbm_session **out);

/*
 * All guards of the session go back, unless it is shared and somebody else has
 * the descriptor. NULL is allowed.
 */
void kvbm_session_close(struct kvbm_session *session);
/* The descriptor; -1 in process. */
int kvbm_session_fd(const struct kvbm_session *session);
uint32_t kvbm_session_block_size(const struct kvbm_session *session);
uint32_t kvbm_session_block_count(const struct kvbm_session *session);
/* Bytes of aux per block; 0: the manager keeps none. */
uint32_t kvbm_session_aux_size(const struct kvbm_session *session);

/*
 * As for the manager, and also when nobody else can find it any more. Query
 * needs no right; presence needs read on the registry.
 */
int kvbm_session_query(struct kvbm_session *session, struct kvbm_manager_query *out);
int kvbm_session_counters(struct kvbm_session *session, struct kvbm_counters *out);
int kvbm_session_verify(struct kvbm_session *session,
			struct kvbm_check_result *out);
ssize_t kvbm_session_dump(struct kvbm_session *session, uint32_t start, size_t n,
			  struct kvbm_slot_info *slots);
int kvbm_session_presence(struct kvbm_session *session, size_t n,
			  const struct kvbm_hash *hashes, size_t nr_managers,
			  const uint64_t *managers, uint64_t *masks);

/* The same for the registry of the session's manager. */
int kvbm_session_attach(struct kvbm_session *session, const struct kvbm_hash *hash,
			uint64_t type, uint32_t mode, const void *data, size_t len);
ssize_t kvbm_session_attachments(struct kvbm_session *session,
				 const struct kvbm_hash *hash, uint64_t type,
				 void *buf, size_t size, size_t *needed);
int kvbm_session_frequency(struct kvbm_session *session, bool touch, size_t n,
			   const struct kvbm_hash *hashes, uint8_t *counts);

/**
 * kvbm_session_holdings - what the session holds
 * @session: session
 * @start: blocks to leave out
 * @n: room in @held, up to KVBM_MAX_BATCH
 * @held: out, in the order in which the blocks were first taken
 * @total: out, blocks held; may be NULL
 *
 * Return: blocks written, or -errno.
 */
ssize_t kvbm_session_holdings(struct kvbm_session *session, uint32_t start,
			      size_t n, struct kvbm_held *held, size_t *total);

/**
 * kvbm_session_set_threshold - when poll(2) says that there are blocks
 * @session: session, with write
 * @blocks: POLLOUT when so many could be allocated; 1 until set
 *
 * In process there is nothing to poll: the number is checked and kept.
 *
 * Errors: -EINVAL when the manager has not so many blocks to allocate.
 */
int kvbm_session_set_threshold(struct kvbm_session *session, uint32_t blocks);

/* The life cycle. All arrays have @n entries; @n may be 0. */

/**
 * kvbm_allocate - take blocks, all or none
 * @session: session
 * @n: blocks, up to KVBM_MAX_BATCH
 * @out: @n guards: blocks of the reset pool, then evicted ones
 * @evicted: room for @n hashes that were evicted, or NULL
 * @nr_evicted: out, may be NULL
 *
 * Errors: -ENOSPC and others.
 */
int kvbm_allocate(struct kvbm_session *session, size_t n, struct kvbm_mutable *out,
		  struct kvbm_hash *evicted, size_t *nr_evicted);

/**
 * struct kvbm_terms - on what terms blocks are allocated, and what came of it
 * @deadline_ns: until when to wait for blocks; 0 does not wait
 * @evicted: room for @n hashes that were evicted, or NULL
 * @evicted_aux: room for @n times kvbm_session_aux_size() bytes, at most
 *	KVBM_MAX_AUX_BATCH: the aux of those; or NULL
 * @nr_evicted: out: how many; 0 after an error
 * @freed: out: what struct kvbm_counters has as @freed when it was decided; 0
 *	when it was not. After -ENOSPC and -ETIMEDOUT, kvbm_allocate_until() need
 *	not be tried again before that has changed; kvbm_acquire_until() also
 *	when more of its prefix may have been registered
 */
struct kvbm_terms {
	uint64_t deadline_ns;
	struct kvbm_hash *evicted;
	void *evicted_aux;
	size_t nr_evicted;
	uint64_t freed;
};

/* That far from now, as a deadline; never 0. */
uint64_t kvbm_deadline_in_ms(uint64_t ms);

/**
 * kvbm_allocate_until - take blocks, all or none, and wait for them if need be
 * @session: session
 * @n: blocks, up to KVBM_MAX_BATCH
 * @out: @n guards, as from kvbm_allocate()
 * @terms: see there
 *
 * Who waits is served first come first served; while somebody waits, nobody
 * else is served before. More blocks than the manager has are refused at once.
 * A large allocation that loses blocks to matches half way begins again: what it
 * had evicted until then stays evicted, and is not told.
 *
 * Errors: -ENOSPC; with a deadline -ETIMEDOUT and -EINTR; -ESHUTDOWN when the
 * manager is destroyed; and others.
 */
int kvbm_allocate_until(struct kvbm_session *session, size_t n,
			struct kvbm_mutable *out, struct kvbm_terms *terms);

/**
 * struct kvbm_acquired - what kvbm_acquire() got
 * @matched: length of the prefix found
 * @allocated: blocks allocated
 * @evicted: hashes evicted
 */
struct kvbm_acquired {
	size_t matched;
	size_t allocated;
	size_t evicted;
};

/**
 * kvbm_acquire - match a prefix and allocate the rest, both or neither
 * @session: session
 * @hashes: the prefix
 * @nr_hashes: its length, at most @n
 * @n: blocks wanted in all
 * @matched: room for @nr_hashes guards
 * @fresh: room for @n guards; filled from its start. During the call it holds
 *	guards of both kinds
 * @evicted: room for @n hashes, or NULL
 * @out: how many of each
 */
int kvbm_acquire(struct kvbm_session *session, const struct kvbm_hash *hashes,
		 size_t nr_hashes, size_t n, struct kvbm_immutable *matched,
		 struct kvbm_mutable *fresh, struct kvbm_hash *evicted,
		 struct kvbm_acquired *out);
/* The same on terms. The prefix is looked up again after every wait. */
int kvbm_acquire_until(struct kvbm_session *session, const struct kvbm_hash *hashes,
		       size_t nr_hashes, size_t n, struct kvbm_immutable *matched,
		       struct kvbm_mutable *fresh, struct kvbm_terms *terms,
		       struct kvbm_acquired *out);

/* Consumes @in. @block_size is the tokens per block that the caller filled. */
int kvbm_stage(struct kvbm_session *session, size_t n, struct kvbm_mutable *in,
	       const struct kvbm_hash *hashes, uint32_t block_size,
	       struct kvbm_complete *out);

/**
 * struct kvbm_content - what blocks were filled with
 * @hashes: one for each
 * @aux: kvbm_session_aux_size() bytes for each, at most KVBM_MAX_AUX_BATCH
 *	together, kept with the block until it is evicted; or NULL for zeroes
 * @block_size: tokens in each
 */
struct kvbm_content {
	const struct kvbm_hash *hashes;
	const void *aux;
	uint32_t block_size;
};

/*
 * As kvbm_stage(), with aux. Errors: -EINVAL when there is @aux that the manager
 * does not keep, or too much of it.
 */
int kvbm_stage_content(struct kvbm_session *session, size_t n,
		       struct kvbm_mutable *in, const struct kvbm_content *content,
		       struct kvbm_complete *out);
/* Consumes @in: the blocks are Mutable again, and to be filled and staged anew. */
int kvbm_unstage(struct kvbm_session *session, size_t n, struct kvbm_complete *in,
		 struct kvbm_mutable *out);
/* Consumes @in. @kinds: KVBM_REGISTERED_* for each, or NULL. */
int kvbm_register(struct kvbm_session *session, size_t n, struct kvbm_complete *in,
		  struct kvbm_immutable *out, uint8_t *kinds);

/**
 * struct kvbm_next - blocks to allocate after a registration
 * @count: how many
 * @out: room for @count guards
 * @evicted: room for @count hashes, or NULL
 * @allocated: out: @count, or 0 for lack of blocks
 * @nr_evicted: out
 * @evicted_aux: room for @count times kvbm_session_aux_size() bytes, or NULL
 */
struct kvbm_next {
	size_t count;
	struct kvbm_mutable *out;
	struct kvbm_hash *evicted;
	size_t allocated;
	size_t nr_evicted;
	void *evicted_aux;
};

/* Stage and register in one call, then allocate @next, which may be NULL. */
int kvbm_stage_register(struct kvbm_session *session, size_t n,
			struct kvbm_mutable *in, const struct kvbm_hash *hashes,
			uint32_t block_size, struct kvbm_immutable *out,
			uint8_t *kinds, struct kvbm_next *next);
/* The same, with aux. */
int kvbm_stage_register_content(struct kvbm_session *session, size_t n,
				struct kvbm_mutable *in,
				const struct kvbm_content *content,
				struct kvbm_immutable *out, uint8_t *kinds,
				struct kvbm_next *next);

/* Guards on the longest prefix that is present; its length, or -errno. */
ssize_t kvbm_match(struct kvbm_session *session, size_t n,
		   const struct kvbm_hash *hashes, struct kvbm_immutable *out);
/*
 * A guard for every hash that is present, at the place of the hash, and an empty
 * one for a miss; hits, or -errno. A hash given twice yields two guards.
 */
ssize_t kvbm_match_scattered(struct kvbm_session *session, size_t n,
			     const struct kvbm_hash *hashes,
			     struct kvbm_immutable *out);
/* The same, but only one guard for each block: the second place stays empty. */
ssize_t kvbm_scan(struct kvbm_session *session, size_t n,
		  const struct kvbm_hash *hashes, struct kvbm_immutable *out);
/* The same, and it is a use of every hash that is present in the registry. */
ssize_t kvbm_scan_touch(struct kvbm_session *session, size_t n,
			const struct kvbm_hash *hashes, struct kvbm_immutable *out);
/* Length of the prefix that is present, or -errno. Takes and touches nothing. */
ssize_t kvbm_probe(struct kvbm_session *session, size_t n,
		   const struct kvbm_hash *hashes);

/* One more guard on each of the blocks; all of them or, on an error, none. */
int kvbm_clone(struct kvbm_session *session, size_t n,
	       const struct kvbm_immutable *in, struct kvbm_immutable *out);

/**
 * struct kvbm_weak - what is left of a guard that was given back
 * @hash: of the block
 * @token: that named it
 *
 * It holds nothing, and may be kept, copied and forgotten as one likes.
 */
struct kvbm_weak {
	struct kvbm_hash hash;
	struct kvbm_token token;
};

/**
 * kvbm_upgrade - weak blocks to guards
 * @session: session
 * @n: weak blocks, up to KVBM_MAX_BATCH
 * @hashes: of the blocks
 * @tokens: that once named them, in any session of the manager
 * @out: @n guards, empty ones where the block is gone; not the memory of @tokens
 *
 * The guard is on that same block if anybody still holds it; else on the one
 * that has the hash now, which may be another one.
 *
 * Return: guards taken, or -errno.
 */
ssize_t kvbm_upgrade(struct kvbm_session *session, size_t n,
		     const struct kvbm_hash *hashes, const struct kvbm_token *tokens,
		     struct kvbm_immutable *out);

/* The guard stays as it is, and is to be released. */
static inline struct kvbm_weak kvbm_downgrade(const struct kvbm_immutable *guard,
					      const struct kvbm_hash *hash)
{
	struct kvbm_weak weak;

	weak.hash = *hash;
	weak.token = guard->token;
	return weak;
}

/* 1, 0 when the block is gone, or -errno. */
static inline ssize_t kvbm_weak_upgrade(struct kvbm_session *session,
					const struct kvbm_weak *weak,
					struct kvbm_immutable *out)
{
	return kvbm_upgrade(session, 1, &weak->hash, &weak->token, out);
}

/*
 * Whether the last release of blocks resets them (@reset) or caches them. The
 * last word counts, whoever says it; the next allocation of the slot forgets it.
 */
int kvbm_set_reset_on_release_complete(struct kvbm_session *session, size_t n,
				       const struct kvbm_complete *guards,
				       bool reset);
int kvbm_set_reset_on_release_immutable(struct kvbm_session *session, size_t n,
					const struct kvbm_immutable *guards,
					bool reset);

/**
 * struct kvbm_drained - what became of a cache
 * @drained: blocks that nobody held, and that were reset
 * @in_use: blocks that are held, and stay
 */
struct kvbm_drained {
	size_t drained;
	size_t in_use;
};

/* Empties the cache. @out may be NULL. */
int kvbm_drain(struct kvbm_session *session, struct kvbm_drained *out);

/* What the holder knows of the future of blocks that it releases. */
struct kvbm_hint {
	uint32_t kind;		/* KVBM_HINT_* */
	uint32_t log2_ms;	/* KVBM_HINT_RETURN */
};

/*
 * Release in the order given: tail of a prefix first. Consumes @guards. All are
 * released or, on an error, none. Empty guards may then have moved to the end,
 * and kvbm_failed_index() is the place that the refused guard has now.
 */
int kvbm_release_mutable(struct kvbm_session *session, size_t n,
			 struct kvbm_mutable *guards, struct kvbm_hint hint);
int kvbm_release_complete(struct kvbm_session *session, size_t n,
			  struct kvbm_complete *guards, struct kvbm_hint hint);
int kvbm_release_immutable(struct kvbm_session *session, size_t n,
			   struct kvbm_immutable *guards, struct kvbm_hint hint);

#define KVBM_NO_HINT	((struct kvbm_hint){ KVBM_HINT_NONE, 0 })

#ifndef __cplusplus
/* By the type of the guards. */
#define kvbm_release(session, n, guards)				\
	(_Generic((guards),						\
		  struct kvbm_mutable * : kvbm_release_mutable,		\
		  struct kvbm_complete * : kvbm_release_complete,	\
		  struct kvbm_immutable * : kvbm_release_immutable)	\
		((session), (n), (guards), KVBM_NO_HINT))
#define kvbm_set_reset_on_release(session, n, guards, reset)		\
	(_Generic((guards),						\
		  struct kvbm_complete * :				\
			kvbm_set_reset_on_release_complete,		\
		  const struct kvbm_complete * :			\
			kvbm_set_reset_on_release_complete,		\
		  struct kvbm_immutable * :				\
			kvbm_set_reset_on_release_immutable,		\
		  const struct kvbm_immutable * :			\
			kvbm_set_reset_on_release_immutable)		\
		((session), (n), (guards), (reset)))

/**
 * struct kvbm_scope_mutable - releases what is left of an array of guards when
 *	a scope ends
 * @session: session
 * @n: entries of @guards
 * @guards: those that were consumed meanwhile are empty, and skipped
 *
 *	struct kvbm_mutable blocks[8] = { 0 };
 *	KVBM_SCOPE(mutable, scope, session, 8, blocks);
 */
#define KVBM_DEFINE_SCOPE(state)					\
struct kvbm_scope_##state {						\
	struct kvbm_session *session;					\
	size_t n;							\
	struct kvbm_##state *guards;					\
};									\
static inline void kvbm_scope_##state##_end(struct kvbm_scope_##state *scope) \
{									\
	kvbm_release_##state(scope->session, scope->n, scope->guards,	\
			     KVBM_NO_HINT);				\
}

KVBM_DEFINE_SCOPE(mutable)
KVBM_DEFINE_SCOPE(complete)
KVBM_DEFINE_SCOPE(immutable)

#define KVBM_SCOPE(state, name, session, n, guards)			\
	__attribute__((cleanup(kvbm_scope_##state##_end)))		\
	struct kvbm_scope_##state name = { (session), (n), (guards) }
#endif

/* Pins. */

/**
 * kvbm_pin - keep registered blocks, whatever becomes of the session
 * @session: session, with read
 * @n: blocks, 1 to KVBM_MAX_BATCH
 * @guards: of @session, each on another block; they stay the session's
 * @out: the pin
 *
 * The blocks stay until the last descriptor of the pin, kvbm_pin_fd(), is closed;
 * it can be passed to another process, which needs nothing else of kvbm. In
 * process there is no descriptor: the pin ends when it is closed.
 *
 * Errors: -EINVAL for a block given twice, -EDQUOT, -EMFILE, and others.
 */
int kvbm_pin(struct kvbm_session *session, size_t n,
	     const struct kvbm_immutable *guards, struct kvbm_pin **out);

/**
 * kvbm_pin_write - keep blocks that somebody is writing to
 * @session: session, with write
 * @n: blocks, 1 to KVBM_MAX_BATCH
 * @guards: of @session, each on another block; they stay the session's
 * @out: the pin
 *
 * For a transfer that goes on when the process that began it has died: until the
 * pin is closed, the blocks are given to nobody else, and registering them
 * answers -EBUSY.
 *
 * Errors: as kvbm_pin().
 */
int kvbm_pin_write(struct kvbm_session *session, size_t n,
		   const struct kvbm_mutable *guards, struct kvbm_pin **out);

/* As kvbm_session_from_fd(): -EPROTO when @fd is no pin. */
int kvbm_pin_from_fd(int fd, struct kvbm_pin **out);
/* The descriptor; -1 in process. */
int kvbm_pin_fd(const struct kvbm_pin *pin);
/* NULL is allowed. */
void kvbm_pin_close(struct kvbm_pin *pin);

/**
 * struct kvbm_pin_info - what a pin is
 * @manager: id of its manager
 * @blocks: how many it keeps
 * @write: of kvbm_pin_write()
 * @alive: the manager was not destroyed
 */
struct kvbm_pin_info {
	uint64_t manager;
	uint32_t blocks;
	bool write;
	bool alive;
};

int kvbm_pin_info(struct kvbm_pin *pin, struct kvbm_pin_info *out);
/*
 * Up to @n of its blocks, without the first @start, in the order in which they
 * were given and as they were then; their number, or -errno.
 */
ssize_t kvbm_pin_blocks(struct kvbm_pin *pin, uint32_t start, size_t n,
			struct kvbm_held *blocks);

/* Quotas, epochs, backing: of the device only; in process -EOPNOTSUPP. */

/**
 * kvbm_set_quota - limit what a session, a user or a group may hold
 * @kvbm: connection
 * @manager: id
 * @kind: KVBM_QUOTA_*
 * @id: 0 for KVBM_QUOTA_SESSION, else a uid, KVBM_QUOTA_EACH, or the id of a
 *	cgroup
 * @blocks: most blocks, or KVBM_QUOTA_NONE
 *
 * Errors: -EPERM unless the caller is the owner, and others.
 */
int kvbm_set_quota(struct kvbm *kvbm, uint64_t manager, uint32_t kind, uint64_t id,
		   uint64_t blocks);
/* The limit, and what is held; either may be NULL. */
int kvbm_get_quota(struct kvbm *kvbm, uint64_t manager, uint32_t kind, uint64_t id,
		   uint64_t *blocks, uint64_t *held);

/*
 * The same of the user or the group with the lowest id that is not below *@id, of
 * those that have a limit of their own or are charged; *@id is its id then.
 * -ENOENT when there is none.
 */
int kvbm_next_quota(struct kvbm *kvbm, uint64_t manager, uint32_t kind, uint64_t *id,
		    uint64_t *blocks, uint64_t *held);

int kvbm_manager_epoch(struct kvbm *kvbm, uint64_t manager, uint32_t *epoch);
/*
 * Without a session, for an operator: all that there are change nothing any more.
 * Otherwise as kvbm_raise_epoch().
 */
int kvbm_manager_raise_epoch(struct kvbm *kvbm, uint64_t manager, uint32_t flags,
			     uint32_t *epoch);

/**
 * kvbm_raise_epoch - let older sessions change nothing any more
 * @session: moves along; any other that was begun before answers -EOWNERDEAD
 *	to whatever takes write
 * @flags: KVBM_EPOCH_FORCE, so that Mutable and Staged blocks of older sessions
 *	go to nobody until those are closed; or 0
 * @epoch: out, may be NULL
 *
 * Errors: -EPERM unless the caller is the owner, and others.
 */
int kvbm_raise_epoch(struct kvbm_session *session, uint32_t flags, uint32_t *epoch);

/* kvbm_bind() with both rights, then kvbm_raise_epoch(). */
int kvbm_take_over(struct kvbm *kvbm, uint64_t manager, uint32_t flags,
		   struct kvbm_session **out);

/**
 * kvbm_memfd_create - memory for blocks
 * @name: for people, in /proc
 * @bytes: its size for ever
 * @flags: KVBM_MEMFD_HUGETLB, or 0
 *
 * As KVBM_BACKING_SET wants it: sealed against other sizes, for the owner only.
 * The memory is taken when it is first written to.
 *
 * Return: a descriptor, close-on-exec, or -errno.
 */
int kvbm_memfd_create(const char *name, uint64_t bytes, uint32_t flags);
/* Of the default huge page size; @bytes must be a multiple of that. */
#define KVBM_MEMFD_HUGETLB	(1U << 0)

/**
 * kvbm_set_backing - say where the blocks of a manager live
 * @session: session of the manager; the caller is its owner
 * @n: segments, 1 to KVBM_MAX_SEGMENTS
 * @segments: with @fd, @kind, @offset, @stride and @bytes; the rest is 0
 *
 * Once for each manager. The descriptors can be closed afterwards.
 *
 * Errors: see struct kvbm_backing_set.
 */
int kvbm_set_backing(struct kvbm_session *session, size_t n,
		     const struct kvbm_segment *segments);

/*
 * What the backing of a manager is; @query as <linux/kvbm.h> has it, with the
 * size and the id set by the library.
 */
int kvbm_manager_backing(struct kvbm *kvbm, uint64_t manager,
			 struct kvbm_backing_get *query);

/**
 * kvbm_map_backing - map the bytes of all blocks
 * @session: session; with write they are mapped to be written, too
 * @out: the map
 *
 * The mappings are left out of core dumps. Segments that the session gets no
 * descriptor for are not mapped.
 *
 * Errors: -ENOMEDIUM when the manager has no backing; those of mmap(2); and others.
 */
int kvbm_map_backing(struct kvbm_session *session, struct kvbm_map **out);
/* NULL is allowed. */
void kvbm_unmap(struct kvbm_map *map);
uint32_t kvbm_map_segments(const struct kvbm_map *map);
/* Bytes of each block in a segment; 0 if it is not mapped. */
uint64_t kvbm_map_bytes(const struct kvbm_map *map, uint32_t segment);
/* The bytes of one block in one segment; NULL if there are none. */
void *kvbm_map_block(const struct kvbm_map *map, uint32_t segment, uint32_t block);

/* Positional lineage hashes. */

/**
 * kvbm_plh - pack a positional lineage hash
 * @current: sequence hash of the block
 * @parent: sequence hash of the block before; ignored at position 0
 * @position: index of the block in its sequence
 * @out: the hash
 *
 * Errors: -EOVERFLOW when @position is 2^24 or more.
 */
int kvbm_plh(uint64_t current, uint64_t parent, uint32_t position,
	     struct kvbm_hash *out);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KVBM_KVBM_H */
