/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The engine: block store, registry and what sessions hold. It is compiled
 * into the module and into libkvbm, from the same sources; it knows nothing of
 * ioctls, files or netlink, and sees its environment through env.h alone.
 *
 *	registry	the distinct hashes present in the managers of a registry
 *	store		the slots, index and pools of one manager
 *	holder		what one session holds of a store
 *	pin		blocks that stay apart from any session
 *	quota		how much that may be
 *
 * Lock order, outermost first:
 *
 *	store->large	mutex: one allocation larger than a chunk at a time
 *	holder->lock	mutex: the holdings of one session
 *	store->lock	spinlock: slots, index, pools, counters of one store
 *	registry stripe	spinlock: entries of one group of buckets
 *	registry pool	spinlock: the pool of free entries
 *	event ring	spinlock: the events of a registry; a leaf
 *	attachments	spinlock: what hangs on hashes of the registry
 *
 * registry->dir_lock is a mutex of its own: with it nothing else is held. Under
 * the mutex of those who listen to events, only the lock of the ring is taken.
 *
 * No path holds two of one kind, and nobody waits for blocks with a mutex held.
 * Nothing sleeps, allocates, touches user memory or wakes anybody under a
 * spinlock. At most KVBM_CHUNK blocks are handled under one hold of store->lock.
 */
#ifndef KVBM_ENGINE_ENGINE_H
#define KVBM_ENGINE_ENGINE_H

#include <linux/kvbm_types.h>

#include "env.h"
#include "eviction/eviction.h"
#include "hash.h"

/*
 * Blocks handled under one hold of a store's lock: 20,000 instructions, at up to
 * 1000 for a block that leaves the cache (Documentation/performance.rst).
 */
#define KVBM_CHUNK	20

struct kvbm_registry;
struct kvbm_store;

/* prime.c */

int kvbm_prime_locks(void);

/* registry.c */

int kvbm_registry_alloc(u64 capacity, u32 schema, struct kvbm_registry **out);
void kvbm_registry_free(struct kvbm_registry *registry);
u64 kvbm_registry_bytes(u64 capacity, u64 sketch_capacity);
u64 kvbm_registry_entries(struct kvbm_registry *registry);
u64 kvbm_registry_blocks(struct kvbm_registry *registry);
u64 kvbm_registry_presence(struct kvbm_registry *registry,
			   const struct kvbm_hash *hash);
int kvbm_registry_add_sketch(struct kvbm_registry *registry, u64 capacity);
void kvbm_registry_touch(struct kvbm_registry *registry,
			 const struct kvbm_hash *hash);
u32 kvbm_registry_frequency(struct kvbm_registry *registry,
			    const struct kvbm_hash *hash);

/**
 * struct kvbm_attached - attachments that are read
 * @buf: where to, zeroed
 * @size: room there
 * @count: out, attachments written
 * @written: out, bytes written
 * @total: out, attachments there are
 * @needed: out, room that all of them take
 */
struct kvbm_attached {
	char *buf;
	u32 size;
	u32 count;
	u32 written;
	u32 total;
	u32 needed;
};

/**
 * struct kvbm_charge_ops - who pays for attachments
 * @charge: may refuse; may sleep
 * @uncharge: any context, under spinlocks of the engine too
 */
struct kvbm_charge_ops {
	int (*charge)(u64 bytes);
	void (*uncharge)(u64 bytes);
};

void kvbm_registry_publish(struct kvbm_registry *registry,
			   const struct kvbm_charge_ops *charge);
int kvbm_registry_attach(struct kvbm_registry *registry,
			 const struct kvbm_hash *hash, u64 type, u32 mode,
			 const void *data, u32 len);
int kvbm_registry_read_attached(struct kvbm_registry *registry,
				const struct kvbm_hash *hash, u64 type,
				struct kvbm_attached *out);

/* store.c */

/**
 * struct kvbm_store_config - what a manager is made of
 * @block_count: slots
 * @block_size: tokens per block
 * @nr_reserved: the first ids are never allocated
 * @duplication: KVBM_DUP_*
 * @policy: KVBM_POLICY_*
 * @policy_args: of the policy
 * @aux_size: bytes of aux per block
 * @reset_on_release: default of the flag of the slots
 */
struct kvbm_store_config {
	u32 block_count;
	u32 block_size;
	u32 nr_reserved;
	u32 duplication;
	u32 policy;
	u32 policy_args[4];
	u32 aux_size;
	bool reset_on_release;
};

int kvbm_store_config_check(const struct kvbm_store_config *config);
int kvbm_store_config_settle(struct kvbm_store_config *config,
			     const struct kvbm_registry *registry);
int kvbm_store_alloc(struct kvbm_registry *registry,
		     const struct kvbm_store_config *config,
		     struct kvbm_store **out);
void kvbm_store_free(struct kvbm_store *store);
u64 kvbm_store_bytes(const struct kvbm_store_config *config);
void kvbm_store_publish(struct kvbm_store *store, u64 tag, u8 tier,
			void (*notify)(void *arg), void *arg);
u32 kvbm_store_bit(const struct kvbm_store *store);
void *kvbm_store_aux(const struct kvbm_store *store, u32 id);
bool kvbm_store_poll(struct kvbm_store *store, u32 *available);
int kvbm_store_shutdown(struct kvbm_store *store, bool force);
const struct kvbm_store_config *kvbm_store_config(const struct kvbm_store *store);
void kvbm_store_counters(struct kvbm_store *store, struct kvbm_counters *out);

/* check.c */

int kvbm_store_check(struct kvbm_store *store, struct kvbm_check_result *out);
u32 kvbm_store_dump(struct kvbm_store *store, u32 start, u32 count,
		    struct kvbm_slot_info *slots);

/* report.c */

void kvbm_store_announce(struct kvbm_store *store);
u32 kvbm_store_content(struct kvbm_store *store, u32 *block, u32 count, char *buf,
		       u32 size);

/* quota.c */

/**
 * struct kvbm_account - blocks that somebody holds, and how many may be
 * @held: one for each block of each session and pin
 * @limit: no more than that; many accounts may share one limit
 * @parent: charged as well, or NULL
 *
 * @held, @limit and what it points at are protected by the lock of the store;
 * @parent is immutable.
 */
struct kvbm_account {
	u64 held;
	const u64 *limit;
	struct kvbm_account *parent;
};

#define KVBM_NR_ACCOUNTS	3
#define KVBM_NO_LIMIT		U64_MAX

/**
 * struct kvbm_accounts - the accounts that one session is charged to
 * @of: of the session, its user, its group; NULL where there is none
 */
struct kvbm_accounts {
	struct kvbm_account *of[KVBM_NR_ACCOUNTS];
};

void kvbm_store_set_limit(struct kvbm_store *store, u64 *limit, u64 value);
void kvbm_store_use_limit(struct kvbm_store *store, struct kvbm_account *account,
			  const u64 *limit);
bool kvbm_store_enable_quotas(struct kvbm_store *store);
u64 kvbm_store_account_held(struct kvbm_store *store,
			    const struct kvbm_account *account);

/* epoch.c */

u32 kvbm_store_epoch(struct kvbm_store *store);
int kvbm_store_raise_epoch(struct kvbm_store *store, bool force, u32 *epoch);

/* holder.c */

struct kvbm_holding;

/**
 * struct kvbm_holder - what one session holds
 * @store: the store; immutable
 * @lock: protects all below
 * @dead: everything went back, the session is over
 * @guards: guards held, all blocks together
 * @used: distinct blocks held
 * @size: room in @holdings
 * @free: first unused holding
 * @oldest: holdings in the order in which the blocks were first taken
 * @newest: same, other end
 * @oldest_since: when the block of @oldest was taken, if there is one; read
 *	without @lock, as @used and @guards are, by kvbm_holder_sum()
 * @now: the time at which the call at work takes its guards; 0 before the first
 * @holdings: pool of holdings
 * @buckets: index of @holdings by block id; a power of two of them
 * @mask: buckets - 1
 * @marked: first of the holdings that the call at work has marked
 * @revived: Inactive blocks that the last match took
 * @given_back: blocks that became available by the last release
 * @epoch: of the store when the session began, or raised it; single word, see
 *	epoch.c
 * @accounts: where it is charged; immutable once others know of the holder
 * @charged: blocks that it is charged for; between calls @used, if there are
 *	quotas
 */
struct kvbm_holder {
	struct kvbm_store *store;
	struct mutex lock;	/* see above */
	bool dead;
	u64 guards;
	u32 used;
	u32 size;
	u32 free;
	u32 oldest;
	u32 newest;
	u32 oldest_since;
	u32 now;
	struct kvbm_holding *holdings;
	u32 *buckets;
	u32 mask;
	u32 marked;
	u32 revived;
	u64 given_back;
	u32 epoch;
	struct kvbm_accounts accounts;
	u32 charged;
};

/**
 * struct kvbm_reclaim - what a session held when it ended
 * @mutable: guards on Mutable blocks
 * @staged: guards on Staged blocks
 * @immutable: guards on registered blocks
 */
struct kvbm_reclaim {
	u64 mutable;
	u64 staged;
	u64 immutable;
};

/**
 * struct kvbm_holder_sum - how much a session holds, and for how long
 * @blocks: distinct blocks
 * @guards: guards on them
 * @oldest_ns: since when it holds the block that it has held longest, in steps
 *	of 17 ms, CLOCK_MONOTONIC; 0 when it holds none
 */
struct kvbm_holder_sum {
	u32 blocks;
	u64 guards;
	u64 oldest_ns;
};

void kvbm_holder_init(struct kvbm_holder *holder, struct kvbm_store *store);
void kvbm_holder_sum(const struct kvbm_holder *holder, struct kvbm_holder_sum *sum);
void kvbm_holder_release_all(struct kvbm_holder *holder, bool final,
			     struct kvbm_reclaim *reclaim);
void kvbm_holder_destroy(struct kvbm_holder *holder);
bool kvbm_holder_is_dead(struct kvbm_holder *holder);
int kvbm_holder_check(struct kvbm_holder *holder);
bool kvbm_holder_is_fenced(const struct kvbm_holder *holder);
void kvbm_holder_join(struct kvbm_holder *holder, u32 epoch);
void kvbm_holder_inherit(struct kvbm_holder *holder,
			 const struct kvbm_holder *from);
void kvbm_holder_barrier(struct kvbm_holder *holder);
void kvbm_holder_recharge(struct kvbm_holder *holder);
int kvbm_holder_list(struct kvbm_holder *holder, u32 start, u32 count,
		     struct kvbm_held *held, u32 *listed, u32 *total);
void kvbm_store_note_reclaim(struct kvbm_store *store,
			     const struct kvbm_reclaim *reclaim, u64 took_ns,
			     u64 end_ns);

/* allocate.c */

/**
 * struct kvbm_allocation - blocks to allocate and where the results go
 * @count: blocks wanted
 * @tokens: room for @count
 * @evicted: room for @count, or NULL
 * @evicted_aux: room for @count times aux_size bytes, or NULL
 * @deadline_ns: until when to wait for blocks, CLOCK_MONOTONIC; 0 does not wait
 * @nr_evicted: out: hashes evicted
 * @freed: out, after a refusal too: the counter of that name
 * @nr_reset: while it works: blocks that came from the reset pool
 * @total: while it works: blocks wanted in all, matched ones included
 */
struct kvbm_allocation {
	u32 count;
	struct kvbm_token *tokens;
	struct kvbm_hash *evicted;
	void *evicted_aux;
	u64 deadline_ns;
	u32 nr_evicted;
	u64 freed;
	u32 nr_reset;
	u32 total;
};

int kvbm_holder_allocate(struct kvbm_holder *holder,
			 struct kvbm_allocation *allocation);
int kvbm_holder_acquire(struct kvbm_holder *holder,
			const struct kvbm_hash *hashes, u32 nr_hashes,
			struct kvbm_allocation *allocation, u32 *matched);

/* register.c */

int kvbm_holder_stage(struct kvbm_holder *holder,
		      const struct kvbm_token *tokens,
		      const struct kvbm_hash *hashes, const void *aux, u32 count,
		      u32 block_size, u32 *failed);
int kvbm_holder_unstage(struct kvbm_holder *holder,
			const struct kvbm_token *tokens, u32 count, u32 *failed);
int kvbm_holder_register(struct kvbm_holder *holder, struct kvbm_token *tokens,
			 u8 *kinds, u32 count, u32 *failed);
int kvbm_holder_stage_register(struct kvbm_holder *holder,
			       struct kvbm_token *tokens,
			       const struct kvbm_hash *hashes, const void *aux,
			       u8 *kinds, u32 count, u32 block_size,
			       struct kvbm_allocation *next, u32 *allocated,
			       u32 *failed);

/* match.c */

/* What a look-up does with misses and with hashes given twice. */
enum kvbm_match_mode {
	KVBM_LOOKUP_PREFIX,	/* stops at the first miss */
	KVBM_LOOKUP_SCATTERED,	/* an empty token for a miss */
	KVBM_LOOKUP_SCAN,	/* the same, and for a block found before */
	KVBM_LOOKUP_SCAN_TOUCH,	/* as a scan, and it is a use of the hashes */
};

int kvbm_holder_match(struct kvbm_holder *holder, const struct kvbm_hash *hashes,
		      u32 count, enum kvbm_match_mode mode,
		      struct kvbm_token *tokens, u32 *matched);
int kvbm_store_probe(struct kvbm_store *store, const struct kvbm_hash *hashes,
		     u32 count, u32 *length);
int kvbm_holder_upgrade(struct kvbm_holder *holder,
			const struct kvbm_hash *hashes, struct kvbm_token *tokens,
			u32 count, u32 *upgraded);
int kvbm_holder_clone(struct kvbm_holder *holder,
		      const struct kvbm_token *tokens, u32 count, u32 *failed);

/* release.c */

int kvbm_holder_release(struct kvbm_holder *holder,
			const struct kvbm_token *tokens, u32 count,
			struct kvbm_release_hint hint, u32 *failed);
int kvbm_holder_set_reset(struct kvbm_holder *holder,
			  const struct kvbm_token *tokens, u32 count, bool reset,
			  u32 *failed);
int kvbm_holder_drain(struct kvbm_holder *holder, u32 *drained, u32 *in_use);

/* pin.c */

/**
 * struct kvbm_pinned - blocks that are kept apart from any session
 * @store: the store
 * @write: the blocks are being written to; otherwise they are registered
 * @count: blocks
 * @blocks: as they were when they were pinned, each once
 * @accounts: charged for @count blocks
 *
 * Immutable.
 */
struct kvbm_pinned {
	struct kvbm_store *store;
	bool write;
	u32 count;
	struct kvbm_held *blocks;
	struct kvbm_accounts accounts;
};

int kvbm_holder_pin(struct kvbm_holder *holder, const struct kvbm_token *tokens,
		    u32 count, bool write, struct kvbm_pinned *pinned,
		    u32 *failed);
void kvbm_pinned_release(struct kvbm_pinned *pinned);

#endif /* KVBM_ENGINE_ENGINE_H */
