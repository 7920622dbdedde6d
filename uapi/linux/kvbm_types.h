/* SPDX-License-Identifier: (GPL-2.0 OR MIT) WITH Linux-syscall-note */
/*
 * kvbm: the words that the engine, the module and user space share.
 *
 * No ioctl and no system call is named here: this is all of the ABI that the
 * engine (kmod/engine/) knows.
 */
#ifndef _UAPI_LINUX_KVBM_TYPES_H
#define _UAPI_LINUX_KVBM_TYPES_H

#include <linux/types.h>

/**
 * struct kvbm_hash - content identity of a block and of its whole prefix
 * @lo: bits 63..0
 * @hi: bits 127..64
 *
 * Under KVBM_SCHEMA_PLH this is a positional lineage hash: mode (2 bits),
 * position (8, 16 or 24 bits), current sequence hash (64 bits), parent
 * fragment (54, 46 or 38 bits), most significant first.
 */
struct kvbm_hash {
	__u64 lo;
	__u64 hi;
};

/**
 * struct kvbm_token - names one guard on a block
 * @id: block id, 0 .. block_count - 1
 * @gen: generation of the tenant of that slot; never 0 in a valid token
 *
 * A token means something only in a session that holds a guard on that block.
 * The kind of the guard is not encoded: the state of the slot tells it.
 * All zeroes is "no guard".
 */
struct kvbm_token {
	__u32 id;
	__u32 gen;
};

/* How the hashes of a registry are built. Fixed when it is created. */
#define KVBM_SCHEMA_PLH			0	/* positional lineage hash */
#define KVBM_SCHEMA_OPAQUE		1	/* no lineage in the hash */

/* Tiers: where the bytes of a manager's blocks live. */
#define KVBM_TIER_G1			1	/* device memory */
#define KVBM_TIER_G2			2	/* host memory */
#define KVBM_TIER_G3			3	/* disk */
#define KVBM_TIER_G4			4	/* external service */

/* What a registration of a hash that the manager already has does. */
#define KVBM_DUP_ALLOW			0	/* the block becomes a Duplicate */
#define KVBM_DUP_REJECT			1	/* the block is reset, the present one returned */

/* Which Inactive block is evicted first. */
#define KVBM_POLICY_DEFAULT		0	/* the module's choice */
#define KVBM_POLICY_FIFO		1
#define KVBM_POLICY_LRU			2	/* least recently released */
#define KVBM_POLICY_MULTI_LRU		3
#define KVBM_POLICY_LINEAGE_TICK	4
#define KVBM_POLICY_LINEAGE_FIFO	5

/* States of a slot. */
#define KVBM_STATE_RESET		0	/* in the reset pool */
#define KVBM_STATE_MUTABLE		1	/* allocated, one holder */
#define KVBM_STATE_STAGED		2	/* has a hash, one holder */
#define KVBM_STATE_PRIMARY		3	/* registered, held */
#define KVBM_STATE_DUPLICATE		4	/* registered, held, not the first of its hash */
#define KVBM_STATE_INACTIVE		5	/* registered, nobody holds it, evictable */
#define KVBM_NR_STATES			6

/* What became of a block that was registered. */
#define KVBM_REGISTERED_NEW		0	/* Primary */
#define KVBM_REGISTERED_DUPLICATE	1	/* Duplicate of a present block */
#define KVBM_REGISTERED_EXISTING	2	/* refused: the present block is returned */

/* Release hints: what the holder knows of the future of the blocks. */
#define KVBM_HINT_NONE			0
#define KVBM_HINT_CONTINUE		1	/* the request will continue */
#define KVBM_HINT_FINISHED		2	/* not expected back: first in line for eviction */
#define KVBM_HINT_RETURN		3	/* expected back in 2^hint_log2_ms ms */

/* Attachments of one type at one hash. */
#define KVBM_ATTACH_UNIQUE		0	/* one, replaced by the next */
#define KVBM_ATTACH_MULTIPLE		1	/* many, in the order in which they came */

/*
 * Limits. KVBM_MAX_BLOCKS keeps a block id apart from the nil link of the
 * engine's tables; KVBM_MAX_BATCH covers a context of one million tokens in
 * blocks of 16.
 */
#define KVBM_MAX_BLOCKS			(1U << 28)
#define KVBM_MAX_BLOCK_SIZE		1024
#define KVBM_MAX_BATCH			65536
#define KVBM_MAX_REGISTRY_MANAGERS	64
#define KVBM_MAX_AUX			4096
#define KVBM_MAX_AUX_BATCH		(4U << 20)	/* bytes given in one call */
#define KVBM_MAX_ATTACHMENT		4096		/* bytes of one */
#define KVBM_MAX_ATTACHMENTS		16		/* at one hash */
#define KVBM_NAME_SIZE			64	/* with the terminating NUL */

/**
 * struct kvbm_counters - one consistent snapshot of a manager
 *
 * All fields are read under one hold of the manager's lock. The first fifteen
 * are monotonic counters with the meaning they have in kvbm-logical, the next
 * four its gauges; the rest is kvbm's own.
 *
 * @allocations: blocks handed out by allocation
 * @allocations_from_reset: of those, taken from the reset pool
 * @evictions: of those, taken from the inactive pool; and those of large
 *	allocations that were undone half way
 * @registrations: blocks registered, refused ones and duplicates included
 * @duplicate_blocks: registrations that made a Duplicate
 * @registration_dedup: registrations refused for a present block
 * @stagings: blocks staged
 * @match_hashes_requested: hashes asked for by match
 * @match_blocks_returned: guards returned by match
 * @scan_hashes_requested: hashes asked for by scan
 * @scan_blocks_returned: distinct blocks returned by scan
 * @eager_primary_to_inactive: always 0, the race it counts cannot happen here
 * @allocate_atomic_rollback: large allocations undone half way
 * @release_primary_noop: always 0, the race it counts cannot happen here
 * @release_duplicate_noop: always 0, the race it counts cannot happen here
 * @inflight_mutable: gauge, Mutable blocks
 * @inflight_immutable: gauge, guards (not blocks) on registered blocks
 * @reset_pool_size: gauge, blocks in the reset pool
 * @inactive_pool_size: gauge, blocks in the inactive pool
 * @states: gauge, blocks per state, indexed by KVBM_STATE_*; withheld ids are in
 *	none
 * @change: rises with every change of a block's state
 * @freed: rises with every block that becomes Reset or Inactive, and when one
 *	that was kept for somebody else is not any more: an allocation that was
 *	refused can only succeed once this has changed (or, together with a
 *	match, once more of its prefix is registered)
 * @allocation_failures: allocations refused for lack of blocks
 * @waits: allocations that waited for blocks
 * @wait_timeouts: of those, ended by their deadline
 * @reclaimed_sessions: sessions that ended while they held guards
 * @reclaimed_mutable: guards on Mutable blocks taken back from those
 * @reclaimed_staged: guards on Staged blocks taken back from those
 * @reclaimed_immutable: guards on registered blocks taken back from those
 * @reclaim_last_ns: how long the last such taking back took
 * @reclaim_max_ns: the longest of them
 * @reclaim_end_ns: when the last one ended, CLOCK_MONOTONIC
 * @reclaim_total_ns: how long all of them took together
 * @wait_total_ns: how long allocations waited for blocks together, in steps of
 *	the kernel's tick; counted when the call ends
 * @regret_sample: one in so many distinct hashes is watched for @regrets; a
 *	power of two, fixed when the manager is created
 * @regret_evictions: evictions of watched hashes
 * @regrets: of those, registered again while they were still remembered: the
 *	eviction threw away what was wanted soon after. About four times as many
 *	evictions as the manager has blocks are remembered
 * @regret_total_ns: time from the eviction to that, of all @regrets together, in
 *	steps of the kernel's tick
 */
struct kvbm_counters {
	__u64 allocations;
	__u64 allocations_from_reset;
	__u64 evictions;
	__u64 registrations;
	__u64 duplicate_blocks;
	__u64 registration_dedup;
	__u64 stagings;
	__u64 match_hashes_requested;
	__u64 match_blocks_returned;
	__u64 scan_hashes_requested;
	__u64 scan_blocks_returned;
	__u64 eager_primary_to_inactive;
	__u64 allocate_atomic_rollback;
	__u64 release_primary_noop;
	__u64 release_duplicate_noop;
	__u64 inflight_mutable;
	__u64 inflight_immutable;
	__u64 reset_pool_size;
	__u64 inactive_pool_size;
	__u64 states[KVBM_NR_STATES];
	__u64 change;
	__u64 freed;
	__u64 allocation_failures;
	__u64 waits;
	__u64 wait_timeouts;
	__u64 reclaimed_sessions;
	__u64 reclaimed_mutable;
	__u64 reclaimed_staged;
	__u64 reclaimed_immutable;
	__u64 reclaim_last_ns;
	__u64 reclaim_max_ns;
	__u64 reclaim_end_ns;
	__u64 reclaim_total_ns;
	__u64 wait_total_ns;
	__u64 regret_sample;
	__u64 regret_evictions;
	__u64 regrets;
	__u64 regret_total_ns;
};

/**
 * struct kvbm_held - one block that a session holds
 * @token: names it
 * @guards: how many guards of this session
 * @state: KVBM_STATE_*
 * @hash: its hash; zeroes for a Mutable block
 */
struct kvbm_held {
	struct kvbm_token token;
	__u32 guards;
	__u32 state;
	struct kvbm_hash hash;
};

#define KVBM_COMM_SIZE		16	/* with the terminating NUL */

/**
 * struct kvbm_session_info - one session, and how much it holds
 * @id: never used twice while the module is loaded
 * @pid: the process that bound it, in the pid namespace of the caller; 0: it has
 *	no number there. A session that was handed to another process still has its
 *	maker here
 * @uid: effective user of that process when it bound, in the user namespace of
 *	the caller
 * @flags: KVBM_BIND_* that it was bound with, and KVBM_SESSION_*
 * @blocks: distinct blocks that it holds
 * @guards: guards on those
 * @oldest_ns: since when it holds the block that it has held longest; 0 when it
 *	holds none. Up to 21 ms too early
 * @bound_ns: when it was bound
 * @cgroup: id of the cgroup (version 2) that the process was in when it bound:
 *	the inode number of its directory; 0 where there are none
 * @comm: name of the process when it bound
 */
struct kvbm_session_info {
	__u64 id;
	__u32 pid;
	__u32 uid;
	__u32 flags;
	__u32 blocks;
	__u64 guards;
	__u64 oldest_ns;
	__u64 bound_ns;
	__u64 cgroup;
	char comm[KVBM_COMM_SIZE];
};

/* The process has ended: somebody else has the descriptor, and the pid may, too. */
#define KVBM_SESSION_ENDED	(1U << 8)
/* A successor has raised the epoch: the session changes nothing any more. */
#define KVBM_SESSION_FENCED	(1U << 9)

/**
 * struct kvbm_slot_info - one slot in a dump
 * @token: the block and the generation of its tenant
 * @state: KVBM_STATE_*
 * @flags: KVBM_SLOT_INFO_*
 * @refs: guards of all sessions, entries of all pins, and one per Duplicate of
 *	it
 * @hash: its hash; zeroes in the states Reset and Mutable
 */
struct kvbm_slot_info {
	struct kvbm_token token;
	__u32 state;
	__u32 flags;
	__u64 refs;
	struct kvbm_hash hash;
};

#define KVBM_SLOT_INFO_RESET_ON_RELEASE	(1U << 0)
#define KVBM_SLOT_INFO_RESERVED		(1U << 1)	/* withheld */
#define KVBM_SLOT_INFO_WRITE_PINNED	(1U << 2)	/* a write pin is open */

/**
 * struct kvbm_attachment - what is in front of each attachment that is read
 * @type: as attached
 * @len: bytes of data that follow, then zeroes up to a multiple of 8
 * @mode: KVBM_ATTACH_*
 */
struct kvbm_attachment {
	__u64 type;
	__u32 len;
	__u32 mode;
};

/* Bytes that an attachment of @len bytes takes when it is read. */
#define KVBM_ATTACHMENT_ROOM(len) \
	(sizeof(struct kvbm_attachment) + (((len) + 7U) & ~7U))

/* What a check of a store can find wrong; the first one is reported. */
#define KVBM_CHECK_OK			0
#define KVBM_CHECK_BAD_STATE		1	/* no such state */
#define KVBM_CHECK_BAD_REFS		2	/* references do not fit the state */
#define KVBM_CHECK_BAD_INDEX		3	/* index and state disagree */
#define KVBM_CHECK_BAD_POOL		4	/* links of the slot's pool are broken */
#define KVBM_CHECK_BAD_PRIMARY		5	/* a Duplicate without a live Primary */
#define KVBM_CHECK_BAD_PRESENCE		6	/* the registry disagrees */
#define KVBM_CHECK_BAD_COUNT		7	/* blocks per state do not add up */
#define KVBM_CHECK_BAD_GENERATION	8	/* a generation of 0 */

/**
 * struct kvbm_check_result - what a walk over a store found
 * @errors: violations found; 0 is a sound store
 * @first_error: KVBM_CHECK_* of the first
 * @first_block: block id of the first
 * @exact: 1 when nothing changed during the walk, so that the sums over all
 *	slots were compared too; 0 when only each slot by itself was
 * @reserved: 0
 * @blocks: slots walked, withheld ones included
 * @states: slots seen in each state, withheld ones left out
 */
struct kvbm_check_result {
	__u64 errors;
	__u32 first_error;
	__u32 first_block;
	__u32 exact;
	__u32 reserved;
	__u64 blocks;
	__u64 states[KVBM_NR_STATES];
};

/* Version of struct kvbm_event_record; another one has another layout. */
#define KVBM_EVENT_VERSION		1

/* What an event tells. */
#define KVBM_EVENT_STORED		1	/* a hash became present in a manager */
#define KVBM_EVENT_REMOVED		2	/* it is no longer present there */
#define KVBM_EVENT_CLEARED		3	/* nothing is present in the manager */
#define KVBM_EVENT_MANAGER_CREATED	4
#define KVBM_EVENT_MANAGER_DESTROYED	5

/* Bits of kvbm_event_record.flags; unknown ones are to be ignored. */
#define KVBM_EVENT_FIRST		(1U << 0) /* stored: present in no other manager */
#define KVBM_EVENT_LAST			(1U << 1) /* removed: present in none any more */
#define KVBM_EVENT_SNAPSHOT		(1U << 2) /* stored: of a dump, no event */

/**
 * struct kvbm_event_record - one event of a registry, or one entry of a dump
 * @size: bytes up to the next record, aux and padding to a multiple of 8 included
 * @version: KVBM_EVENT_VERSION
 * @type: KVBM_EVENT_*; unknown ones are to be skipped
 * @tier: KVBM_TIER_* of the manager
 * @hash_size: bytes of @hash and @hash_more that count: 16, or 0 where the event
 *	is about no block
 * @sequence: rises by one with each event of the registry; what is missing was
 *	lost. 0 in a dump
 * @time_ns: CLOCK_MONOTONIC as of the last tick; 0 in a dump
 * @manager: id of the manager
 * @flags: KVBM_EVENT_FIRST, KVBM_EVENT_LAST, KVBM_EVENT_SNAPSHOT
 * @block: block id; 0 where the event is about no block
 * @gen: generation of the block's tenant; same
 * @aux_size: bytes of aux that follow this structure: with KVBM_EVENT_STORED the
 *	aux_size of the manager, otherwise 0
 * @hash: the hash
 * @hash_more: room for hashes of 32 bytes; 0
 *
 * The same layout in read(2) on an event file, in dumps and in netlink.
 */
struct kvbm_event_record {
	__u32 size;
	__u8 version;
	__u8 type;
	__u8 tier;
	__u8 hash_size;
	__aligned_u64 sequence;
	__aligned_u64 time_ns;
	__aligned_u64 manager;
	__u32 flags;
	__u32 block;
	__u32 gen;
	__u32 aux_size;
	struct kvbm_hash hash;
	__aligned_u64 hash_more[2];
};

/* The longest record: a buffer must have room for one. */
#define KVBM_EVENT_MAX_SIZE		(sizeof(struct kvbm_event_record) + KVBM_MAX_AUX)
/* The largest buffer that a dump fills in one call. */
#define KVBM_MAX_EVENT_BYTES		(4U << 20)

/**
 * struct kvbm_event_stats - the event ring of a registry
 * @next: sequence that the next event gets; 1 at first
 * @dropped: events that were overwritten before all who listen had read them,
 *	once for each who missed one
 * @unheard: times that nobody listened, while that was so for events: each took
 *	one number, which nobody ever sees
 * @listeners: event files that are open, and one if netlink listens
 * @ring_bytes: size of the ring; 0 while nobody listens
 */
struct kvbm_event_stats {
	__u64 next;
	__u64 dropped;
	__u64 unheard;
	__u64 listeners;
	__u64 ring_bytes;
};

#endif /* _UAPI_LINUX_KVBM_TYPES_H */
