/* SPDX-License-Identifier: (GPL-2.0 OR MIT) WITH Linux-syscall-note */
/*
 * kvbm: the ioctls of /dev/kvbm.
 */
#ifndef _UAPI_LINUX_KVBM_H
#define _UAPI_LINUX_KVBM_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/kvbm_types.h>

/**
 * DOC: General ioctl format
 *
 * Every ioctl takes one pointer to a structure whose first member is @size,
 * the size that the caller knows. The structures only ever grow at the end: a
 * shorter one is taken as if followed by zeroes, a longer one is refused
 * unless what this module does not know is zero, and at most @size bytes are
 * written back. The numbers are made by _IO(): the size is in the structure.
 *
 * Pointers travel as __u64. Padding, reserved fields and unknown flag bits
 * must be zero. The structure is written back, so it must be writable. Arrays
 * that are optional are left out with a null pointer. Times are nanoseconds of
 * CLOCK_MONOTONIC, absolute.
 *
 * A call over an array does all of it, or fails and has changed nothing. Arrays
 * are bounded by KVBM_MAX_BATCH, so a signal waits for a batch; what may wait
 * for long can be interrupted, and only before anything is changed. The
 * contents of output arrays are undefined after a failure. Where a failure is
 * about one entry of an array, @out_failed is the index of the first such
 * entry. If the results cannot be copied out although the arrays could be
 * written before, the call fails with EFAULT, the guards it would have
 * returned go back, and evictions stand.
 *
 * Errors, with one meaning each:
 *
 * ========== ===============================================================
 * EACCES     the mode of the object does not give the caller this right, the
 *            session was not bound with it, or the file was not opened for it
 * EBADF      a descriptor is not open
 * EBADFD     the block is not in the state that the call is for
 * E2BIG      the structure has a non-zero tail that this module does not know
 * EBUSY      still in use
 * EDOM       block_size is not the manager's
 * EDQUOT     a limit of the module, or a quota on what one session, user or
 *            group may hold, is reached
 * EEXIST     the name is taken; the manager has its backing already
 * EFAULT     a pointer is bad
 * EFBIG      the file is smaller than the blocks that are to live in it
 * EILSEQ     a hash is not valid under the schema of the registry
 * EINTR      a signal came before anything was done
 * EINVAL     a value is out of range, a reserved field or an unknown flag set
 * EISCONN    the file is bound already
 * ENODATA    the policy needs what the registry was made without: lineage in
 *            its hashes, or a frequency sketch
 * ENOENT     no such registry or manager; the hash is present nowhere
 * ENOMEM     not enough kernel memory
 * ENOSPC     not enough free and inactive blocks; or no room in the registry, or
 *            for one more attachment
 * ENOTCONN   the file is not bound to a manager
 * ENOTTY     no such ioctl in this module
 * ENXIO      this session does not hold (so many) guards on that block
 * EOPNOTSUPP a field or flag that this ABI defines and this module does not do
 * EOVERFLOW  a bounded count would overflow
 * EOWNERDEAD this session is over: the process that owned it is gone, or a
 *            successor has raised the epoch. Bind anew
 * EPERM      only the owner or CAP_SYS_ADMIN may; a memfd is not sealed
 * EPROTOTYPE attachments of this type have the other mode at that hash
 * ESHUTDOWN  the manager was destroyed
 * ESTALE     the token is of an earlier tenant of that slot
 * ETIMEDOUT  the deadline passed
 * ========== ===============================================================
 */

#define KVBM_IOC_TYPE	0xBC

enum {
	/* any open file */
	KVBM_CMD_INFO = 0x00,
	KVBM_CMD_REGISTRY_CREATE = 0x01,
	KVBM_CMD_REGISTRY_QUERY = 0x02,
	KVBM_CMD_REGISTRY_LIST = 0x03,
	KVBM_CMD_REGISTRY_DESTROY = 0x04,
	KVBM_CMD_ATTACH = 0x05,
	KVBM_CMD_ATTACHMENTS = 0x06,
	KVBM_CMD_FREQUENCY = 0x07,
	KVBM_CMD_MANAGER_CREATE = 0x08,
	KVBM_CMD_MANAGER_QUERY = 0x09,
	KVBM_CMD_MANAGER_LIST = 0x0a,
	KVBM_CMD_MANAGER_DESTROY = 0x0b,
	KVBM_CMD_MANAGER_STATS = 0x0c,
	KVBM_CMD_MANAGER_CHECK = 0x0d,
	KVBM_CMD_PRESENCE = 0x0e,
	KVBM_CMD_MANAGER_DUMP = 0x0f,
	KVBM_CMD_BIND = 0x10,
	KVBM_CMD_SESSION_OPEN = 0x11,
	KVBM_CMD_EVENTS_OPEN = 0x12,
	KVBM_CMD_EVENTS_DUMP = 0x13,
	KVBM_CMD_MANAGER_SESSIONS = 0x15,
	/* a bound file: a session */
	KVBM_CMD_ALLOCATE = 0x20,
	KVBM_CMD_ACQUIRE = 0x21,
	KVBM_CMD_STAGE = 0x22,
	KVBM_CMD_REGISTER = 0x23,
	KVBM_CMD_STAGE_REGISTER = 0x24,
	KVBM_CMD_MATCH = 0x25,
	KVBM_CMD_RELEASE = 0x26,
	KVBM_CMD_UNSTAGE = 0x27,
	KVBM_CMD_CLONE = 0x28,
	KVBM_CMD_UPGRADE = 0x29,
	KVBM_CMD_SET_RESET = 0x2a,
	KVBM_CMD_DRAIN = 0x2b,
	KVBM_CMD_HOLDINGS = 0x2c,
	KVBM_CMD_SET_THRESHOLD = 0x2d,
	/* what outlives a session */
	KVBM_CMD_PIN = 0x30,
	KVBM_CMD_PIN_QUERY = 0x31,
	KVBM_CMD_QUOTA = 0x32,
	KVBM_CMD_EPOCH = 0x33,
	KVBM_CMD_BACKING_SET = 0x34,
	KVBM_CMD_BACKING_GET = 0x35,
};

#define KVBM_IOC(cmd)		_IO(KVBM_IOC_TYPE, KVBM_CMD_##cmd)

#define KVBM_INFO		KVBM_IOC(INFO)
#define KVBM_REGISTRY_CREATE	KVBM_IOC(REGISTRY_CREATE)
#define KVBM_REGISTRY_QUERY	KVBM_IOC(REGISTRY_QUERY)
#define KVBM_REGISTRY_LIST	KVBM_IOC(REGISTRY_LIST)
#define KVBM_REGISTRY_DESTROY	KVBM_IOC(REGISTRY_DESTROY)
#define KVBM_ATTACH		KVBM_IOC(ATTACH)
#define KVBM_ATTACHMENTS	KVBM_IOC(ATTACHMENTS)
#define KVBM_FREQUENCY		KVBM_IOC(FREQUENCY)
#define KVBM_MANAGER_CREATE	KVBM_IOC(MANAGER_CREATE)
#define KVBM_MANAGER_QUERY	KVBM_IOC(MANAGER_QUERY)
#define KVBM_MANAGER_LIST	KVBM_IOC(MANAGER_LIST)
#define KVBM_MANAGER_DESTROY	KVBM_IOC(MANAGER_DESTROY)
#define KVBM_MANAGER_STATS	KVBM_IOC(MANAGER_STATS)
#define KVBM_MANAGER_CHECK	KVBM_IOC(MANAGER_CHECK)
#define KVBM_PRESENCE		KVBM_IOC(PRESENCE)
#define KVBM_MANAGER_DUMP	KVBM_IOC(MANAGER_DUMP)
#define KVBM_BIND		KVBM_IOC(BIND)
#define KVBM_SESSION_OPEN	KVBM_IOC(SESSION_OPEN)
#define KVBM_EVENTS_OPEN	KVBM_IOC(EVENTS_OPEN)
#define KVBM_EVENTS_DUMP	KVBM_IOC(EVENTS_DUMP)
#define KVBM_MANAGER_SESSIONS	KVBM_IOC(MANAGER_SESSIONS)
#define KVBM_ALLOCATE		KVBM_IOC(ALLOCATE)
#define KVBM_ACQUIRE		KVBM_IOC(ACQUIRE)
#define KVBM_STAGE		KVBM_IOC(STAGE)
#define KVBM_REGISTER		KVBM_IOC(REGISTER)
#define KVBM_STAGE_REGISTER	KVBM_IOC(STAGE_REGISTER)
#define KVBM_MATCH		KVBM_IOC(MATCH)
#define KVBM_RELEASE		KVBM_IOC(RELEASE)
#define KVBM_UNSTAGE		KVBM_IOC(UNSTAGE)
#define KVBM_CLONE		KVBM_IOC(CLONE)
#define KVBM_UPGRADE		KVBM_IOC(UPGRADE)
#define KVBM_SET_RESET		KVBM_IOC(SET_RESET)
#define KVBM_DRAIN		KVBM_IOC(DRAIN)
#define KVBM_HOLDINGS		KVBM_IOC(HOLDINGS)
#define KVBM_SET_THRESHOLD	KVBM_IOC(SET_THRESHOLD)
#define KVBM_PIN		KVBM_IOC(PIN)
#define KVBM_PIN_QUERY		KVBM_IOC(PIN_QUERY)
#define KVBM_QUOTA		KVBM_IOC(QUOTA)
#define KVBM_EPOCH		KVBM_IOC(EPOCH)
#define KVBM_BACKING_SET	KVBM_IOC(BACKING_SET)
#define KVBM_BACKING_GET	KVBM_IOC(BACKING_GET)

/* Rights, in permission bits of modes and in kvbm_bind.flags. */
#define KVBM_MODE_READ		4	/* query, match, scan, pin, dump */
#define KVBM_MODE_WRITE		2	/* allocate, stage, register, drain */
#define KVBM_MODE_MASK		0666

/* In uid and gid of the create calls: those of the caller. */
#define KVBM_ID_CALLER		0xffffffffU
/* In linger_ms: the manager stays until it is destroyed. */
#define KVBM_LINGER_FOREVER	0xffffffffU

/* Bits of kvbm_info.out_features. */
#define KVBM_FEATURE_PLH	(1ULL << 0)	/* KVBM_SCHEMA_PLH */
#define KVBM_FEATURE_OPAQUE	(1ULL << 1)	/* KVBM_SCHEMA_OPAQUE */
#define KVBM_FEATURE_OWNED	(1ULL << 2)	/* KVBM_BIND_OWNED */

/**
 * struct kvbm_info - ioctl(KVBM_INFO)
 * @size: sizeof(struct kvbm_info)
 * @flags: must be 0
 * @out_version: version of the module, major << 16 | minor << 8 | patch; for
 *	people: programs ask @out_features and @out_commands
 * @out_max_batch: longest array that a call takes
 * @out_features: KVBM_FEATURE_*
 * @out_commands: bit n is set when ioctl number n is built; two words, the
 *	first one holds numbers 0 to 63
 * @out_policies: bit n is set when KVBM_POLICY_n is built
 * @out_max_blocks: largest block_count
 * @out_chunk: most blocks handled under one hold of a manager's lock: an
 *	allocation up to this size is atomic against all others
 * @out_reserved: 0
 *
 * Rights: none beyond opening the device. What this module can do.
 */
struct kvbm_info {
	__u32 size;
	__u32 flags;
	__u32 out_version;
	__u32 out_max_batch;
	__aligned_u64 out_features;
	__aligned_u64 out_commands[2];
	__aligned_u64 out_policies;
	__u32 out_max_blocks;
	__u32 out_chunk;
	__aligned_u64 out_reserved[2];
};

/**
 * struct kvbm_registry_create - ioctl(KVBM_REGISTRY_CREATE)
 * @size: sizeof(struct kvbm_registry_create)
 * @flags: must be 0
 * @name: 1 to 63 of A-Z a-z 0-9 . _ -, not starting with '.' or '-'; unique;
 *	zeroes after the end
 * @schema: KVBM_SCHEMA_*
 * @hash_size: bytes of a hash; 16 (0 means 16; 32 is EOPNOTSUPP)
 * @mode: permission bits, of KVBM_MODE_MASK
 * @uid: owner; KVBM_ID_CALLER, or CAP_SYS_ADMIN is needed for another one
 * @gid: group; KVBM_ID_CALLER, or one the caller is in
 * @reserved: must be 0
 * @capacity: most blocks that the managers of this registry may have together,
 *	1 to KVBM_MAX_BLOCKS; 4 to 8 bytes of kernel memory each
 * @out_id: never used twice while the module is loaded
 * @sketch_capacity: hashes that the frequency sketch is made for, two bytes
 *	each, 0 to KVBM_MAX_BLOCKS; 0 for no sketch. kvbm-logical's presets are
 *	2^18, 2^21 and 2^24. Needed by KVBM_POLICY_MULTI_LRU
 *
 * Errors: EEXIST, EINVAL, ENOMEM, EOPNOTSUPP, EPERM, EDQUOT (module limit).
 */
struct kvbm_registry_create {
	__u32 size;
	__u32 flags;
	char name[KVBM_NAME_SIZE];
	__u32 schema;
	__u32 hash_size;
	__u32 mode;
	__u32 uid;
	__u32 gid;
	__u32 reserved;
	__aligned_u64 capacity;
	__aligned_u64 out_id;
	__aligned_u64 sketch_capacity;
};

/**
 * struct kvbm_registry_query - ioctl(KVBM_REGISTRY_QUERY)
 * @size: sizeof(struct kvbm_registry_query)
 * @flags: must be 0
 * @id: the registry; 0 looks @name up, and both are filled in
 * @name: see @id; ignored, and filled in, when @id is not 0
 * @out_schema: KVBM_SCHEMA_*
 * @out_hash_size: bytes of a hash
 * @out_mode: permission bits
 * @out_uid: owner
 * @out_gid: group
 * @out_managers: managers in it
 * @out_capacity: as created
 * @out_blocks: blocks of all its managers
 * @out_entries: distinct hashes present in at least one of its managers
 * @out_sketch_capacity: as created
 * @out_events: its events
 *
 * Rights: none. Errors: ENOENT, EINVAL.
 */
struct kvbm_registry_query {
	__u32 size;
	__u32 flags;
	__aligned_u64 id;
	char name[KVBM_NAME_SIZE];
	__u32 out_schema;
	__u32 out_hash_size;
	__u32 out_mode;
	__u32 out_uid;
	__u32 out_gid;
	__u32 out_managers;
	__aligned_u64 out_capacity;
	__aligned_u64 out_blocks;
	__aligned_u64 out_entries;
	__aligned_u64 out_sketch_capacity;
	struct kvbm_event_stats out_events;
};

/**
 * struct kvbm_list - ioctl(KVBM_REGISTRY_LIST), ioctl(KVBM_MANAGER_LIST)
 * @size: sizeof(struct kvbm_list)
 * @flags: must be 0
 * @registry: for managers: only those of this registry; 0 for all. For
 *	registries: must be 0
 * @after: ids up to this one are left out; 0 to start
 * @ids: array of __u64, filled with ids in ascending order
 * @count: room in @ids, 1 to KVBM_MAX_BATCH
 * @out_count: ids written; fewer than @count means there are no more
 *
 * Rights: none. Errors: ENOENT (registry), EINVAL, EFAULT, ENOMEM.
 */
struct kvbm_list {
	__u32 size;
	__u32 flags;
	__aligned_u64 registry;
	__aligned_u64 after;
	__aligned_u64 ids;
	__u32 count;
	__u32 out_count;
};

/**
 * struct kvbm_destroy - ioctl(KVBM_REGISTRY_DESTROY), ioctl(KVBM_MANAGER_DESTROY)
 * @size: sizeof(struct kvbm_destroy)
 * @flags: KVBM_DESTROY_FORCE, or 0
 * @id: what to destroy
 *
 * A registry can go when it has no manager. A manager can go when no guard on
 * its blocks is held and no pin is open; sessions that are bound to it get
 * ESHUTDOWN from then on. With KVBM_DESTROY_FORCE (managers only) held guards do
 * not matter: the name is free at once; the memory, and the room in the registry,
 * with the last session or pin.
 *
 * Rights: owner or CAP_SYS_ADMIN. Errors: EBUSY, ENOENT, EPERM, EINVAL.
 */
struct kvbm_destroy {
	__u32 size;
	__u32 flags;
	__aligned_u64 id;
};

#define KVBM_DESTROY_FORCE	(1U << 0)

/**
 * struct kvbm_manager_create - ioctl(KVBM_MANAGER_CREATE)
 * @size: sizeof(struct kvbm_manager_create)
 * @flags: KVBM_MANAGER_*
 * @registry: id of the registry it belongs to
 * @name: as for registries, unique in its registry; all zeroes with
 *	KVBM_MANAGER_ANONYMOUS
 * @tier: KVBM_TIER_*
 * @block_size: tokens per block, a power of two up to KVBM_MAX_BLOCK_SIZE
 * @block_count: 1 to KVBM_MAX_BLOCKS
 * @nr_reserved: the first ids are withheld: never allocated, not available;
 *	less than @block_count
 * @duplication: KVBM_DUP_*
 * @policy: KVBM_POLICY_*; the default is lineage by tick, and LRU where hashes
 *	have no lineage
 * @policy_args: the three thresholds of KVBM_POLICY_MULTI_LRU, ascending, 1 to
 *	15; 0 for its defaults 3, 8, 15, and for the other policies
 * @aux_size: bytes of aux per block, 0 to KVBM_MAX_AUX
 * @mode: permission bits, of KVBM_MODE_MASK
 * @uid: owner, as for registries
 * @gid: group, as for registries
 * @linger_ms: how long it outlives its last session or pin, or
 *	KVBM_LINGER_FOREVER; an anonymous manager: 0
 * @numa_node: 0 for no preference, else 1 + node
 * @bind_flags: KVBM_BIND_*: bind the file to the new manager in the same call,
 *	as KVBM_BIND does; 0 does not. Needed for an anonymous manager and for
 *	one that does not stay forever: nobody could be sure to come in time
 * @reserved: must be 0
 * @out_id: never used twice while the module is loaded
 *
 * All memory it will ever need is allocated here, charged to the caller.
 *
 * An anonymous manager cannot be bound to by id: it is reached through the
 * file, and through what KVBM_SESSION_OPEN makes of that. Only CAP_SYS_ADMIN
 * sees it in lists and queries.
 *
 * Rights: write on the registry. Errors: EACCES, EEXIST, EINVAL, EINTR (fatal
 * signal), ENOENT, ENOMEM, ENOSPC (capacity of the registry), EDQUOT (module
 * limit), EISCONN, ENODATA (what the policy needs of the registry), EOPNOTSUPP
 * (a NUMA node), EPERM.
 */
struct kvbm_manager_create {
	__u32 size;
	__u32 flags;
	__aligned_u64 registry;
	char name[KVBM_NAME_SIZE];
	__u32 tier;
	__u32 block_size;
	__u32 block_count;
	__u32 nr_reserved;
	__u32 duplication;
	__u32 policy;
	__u32 policy_args[4];
	__u32 aux_size;
	__u32 mode;
	__u32 uid;
	__u32 gid;
	__u32 linger_ms;
	__u32 numa_node;
	__u32 bind_flags;
	__u32 reserved;
	__aligned_u64 out_id;
};

#define KVBM_MANAGER_ANONYMOUS		(1U << 0) /* no name, goes with its last session or pin */
#define KVBM_MANAGER_RESET_ON_RELEASE	(1U << 1) /* blocks are not cached by default */

/**
 * struct kvbm_manager_query - ioctl(KVBM_MANAGER_QUERY)
 * @size: sizeof(struct kvbm_manager_query)
 * @flags: must be 0
 * @id: the manager; 0 looks @registry and @name up; on a bound file with an
 *	empty @name it means the manager the file is bound to
 * @registry: see @id; filled in
 * @name: see @id; filled in
 * @out_flags: KVBM_MANAGER_* as created
 * @out_tier: KVBM_TIER_*
 * @out_block_size: tokens per block
 * @out_block_count: blocks
 * @out_nr_reserved: ids withheld
 * @out_duplication: KVBM_DUP_*
 * @out_policy: KVBM_POLICY_*, never the default
 * @out_policy_args: as in use
 * @out_aux_size: bytes of aux per block
 * @out_mode: permission bits
 * @out_uid: owner
 * @out_gid: group
 * @out_linger_ms: as created
 * @out_numa_node: as created
 * @out_sessions: files bound to it
 * @out_pins: pins that are open
 * @out_segments: of its backing; 0: it has none
 * @out_bytes: kernel memory it has allocated
 * @out_created_ns: when it was made, CLOCK_MONOTONIC
 *
 * Rights: none. Errors: EINVAL, ENOENT, ENOTCONN.
 */
struct kvbm_manager_query {
	__u32 size;
	__u32 flags;
	__aligned_u64 id;
	__aligned_u64 registry;
	char name[KVBM_NAME_SIZE];
	__u32 out_flags;
	__u32 out_tier;
	__u32 out_block_size;
	__u32 out_block_count;
	__u32 out_nr_reserved;
	__u32 out_duplication;
	__u32 out_policy;
	__u32 out_policy_args[4];
	__u32 out_aux_size;
	__u32 out_mode;
	__u32 out_uid;
	__u32 out_gid;
	__u32 out_linger_ms;
	__u32 out_numa_node;
	__u32 out_sessions;
	__u32 out_pins;
	__u32 out_segments;
	__aligned_u64 out_bytes;
	__aligned_u64 out_created_ns;
};

/**
 * struct kvbm_manager_stats - ioctl(KVBM_MANAGER_STATS)
 * @size: sizeof(struct kvbm_manager_stats)
 * @flags: must be 0
 * @id: the manager; 0 for the one the file is bound to
 * @out: the snapshot
 *
 * Rights: read. Errors: EACCES, ENOENT, ENOTCONN.
 */
struct kvbm_manager_stats {
	__u32 size;
	__u32 flags;
	__aligned_u64 id;
	struct kvbm_counters out;
};

/**
 * struct kvbm_manager_check - ioctl(KVBM_MANAGER_CHECK)
 * @size: sizeof(struct kvbm_manager_check)
 * @flags: must be 0
 * @id: the manager; 0 for the one the file is bound to
 * @out: what the walk found
 *
 * Walks every slot, a bounded number under each hold of the lock, and
 * compares it with the index, the pools and the registry. Reports, never
 * repairs and never aborts.
 *
 * Rights: read. Errors: EACCES, ENOENT, ENOTCONN, EINTR.
 */
struct kvbm_manager_check {
	__u32 size;
	__u32 flags;
	__aligned_u64 id;
	struct kvbm_check_result out;
};

/**
 * struct kvbm_bind - ioctl(KVBM_BIND)
 * @size: sizeof(struct kvbm_bind)
 * @flags: KVBM_BIND_*; at least one of READ and WRITE
 * @id: the manager
 *
 * Makes the file a session of that manager: the guards that it takes are
 * scoped to the file and go back when it is closed, however that comes. A file
 * is bound once. KVBM_BIND_WRITE, like all calls that create or destroy, takes
 * a file that was opened for writing.
 *
 * Rights: those asked for. Errors: EACCES, EISCONN, ENOENT, EINVAL, ENOMEM.
 */
struct kvbm_bind {
	__u32 size;
	__u32 flags;
	__aligned_u64 id;
};

#define KVBM_BIND_READ		(1U << 0)
#define KVBM_BIND_WRITE		(1U << 1)
/*
 * Everything goes back when the calling process dies, even while a child
 * still has the file open; the child then gets EOWNERDEAD. If the process
 * closes its own descriptors first, or shares its descriptor table with another
 * process, the last close counts, as without it.
 */
#define KVBM_BIND_OWNED		(1U << 2)

/**
 * struct kvbm_allocate - ioctl(KVBM_ALLOCATE)
 * @size: sizeof(struct kvbm_allocate)
 * @flags: must be 0
 * @count: blocks wanted, 0 to KVBM_MAX_BATCH; all or none
 * @out_evicted: hashes evicted
 * @tokens: out, array of @count struct kvbm_token: first blocks of the reset
 *	pool in its order, then evicted ones in the order of the policy
 * @evicted: out, optional, array of @count struct kvbm_hash: the hashes that
 *	were evicted, in the same order as the end of @tokens
 * @evicted_aux: out, optional, array of @count times aux_size bytes, at most
 *	KVBM_MAX_AUX_BATCH: the aux of those
 * @deadline_ns: 0 does not wait; otherwise until when to wait for blocks
 * @out_freed: kvbm_counters.freed when it was decided; also after ENOSPC and
 *	ETIMEDOUT
 *
 * The blocks are Mutable. Who waits is served first come first served; while
 * somebody waits, nobody else is served before.
 *
 * Rights: write. Errors: ENOSPC, EDQUOT (a quota), EINTR (a signal while waiting;
 * a fatal one while another large allocation runs), EFAULT, EINVAL (aux that the
 * manager does not have), ENOMEM, EOVERFLOW, ETIMEDOUT; as of all calls of a
 * session ENOTCONN, EOWNERDEAD, ESHUTDOWN.
 *
 * An allocation of more than kvbm_info.out_chunk blocks that has begun, and from
 * which matches took blocks that it was promised, gives back what it had and is
 * refused, or waits until its deadline. Evictions stand, and nobody is told of
 * them.
 */
struct kvbm_allocate {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 out_evicted;
	__aligned_u64 tokens;
	__aligned_u64 evicted;
	__aligned_u64 evicted_aux;
	__aligned_u64 deadline_ns;
	__aligned_u64 out_freed;
};

/**
 * struct kvbm_acquire - ioctl(KVBM_ACQUIRE)
 * @size: sizeof(struct kvbm_acquire)
 * @flags: must be 0
 * @nr_hashes: hashes to match as a prefix, 0 to @count
 * @count: blocks wanted in all, 0 to KVBM_MAX_BATCH
 * @hashes: array of @nr_hashes struct kvbm_hash
 * @tokens: out, array of @count struct kvbm_token: first @out_matched guards on
 *	registered blocks, in the order of @hashes, then @out_allocated Mutable
 *	blocks as from KVBM_ALLOCATE
 * @evicted: out, optional, array of @count struct kvbm_hash, as in
 *	struct kvbm_allocate
 * @evicted_aux: out, optional, as in struct kvbm_allocate
 * @deadline_ns: as in struct kvbm_allocate
 * @out_matched: length of the prefix that was found
 * @out_allocated: @count - @out_matched
 * @out_evicted: hashes evicted
 * @reserved: must be 0
 * @out_freed: as in struct kvbm_allocate
 *
 * Match the prefix, then allocate the rest, in one call: both or, when there
 * are not enough blocks, neither. Up to kvbm_info.out_chunk blocks a refusal
 * touches nothing; beyond, matched blocks that were Inactive return to the
 * policy as just released.
 *
 * Rights: read and write. Errors: as KVBM_ALLOCATE.
 */
struct kvbm_acquire {
	__u32 size;
	__u32 flags;
	__u32 nr_hashes;
	__u32 count;
	__aligned_u64 hashes;
	__aligned_u64 tokens;
	__aligned_u64 evicted;
	__aligned_u64 evicted_aux;
	__aligned_u64 deadline_ns;
	__u32 out_matched;
	__u32 out_allocated;
	__u32 out_evicted;
	__u32 reserved;
	__aligned_u64 out_freed;
};

/**
 * struct kvbm_stage - ioctl(KVBM_STAGE)
 * @size: sizeof(struct kvbm_stage)
 * @flags: must be 0
 * @count: blocks, 0 to KVBM_MAX_BATCH
 * @block_size: tokens in each; must be the manager's
 * @tokens: array of @count struct kvbm_token, Mutable blocks
 * @hashes: array of @count struct kvbm_hash
 * @aux: optional, array of @count times aux_size bytes, at most
 *	KVBM_MAX_AUX_BATCH; without it the aux of the blocks is zeroes
 * @out_failed: on an error about one entry, its index
 * @reserved: must be 0
 *
 * The blocks become Staged, the tokens stay valid.
 *
 * Rights: write. Errors: EBADFD, EDOM, EFAULT, EILSEQ, EINVAL (aux that the
 * manager does not have), ENOMEM, ENXIO, ESTALE.
 */
struct kvbm_stage {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 block_size;
	__aligned_u64 tokens;
	__aligned_u64 hashes;
	__aligned_u64 aux;
	__u32 out_failed;
	__u32 reserved;
};

/**
 * struct kvbm_register - ioctl(KVBM_REGISTER)
 * @size: sizeof(struct kvbm_register)
 * @flags: must be 0
 * @count: blocks, 0 to KVBM_MAX_BATCH
 * @out_failed: on an error about one entry, its index
 * @tokens: array of @count struct kvbm_token, Staged blocks
 * @out_tokens: out, array of @count struct kvbm_token; may be the same memory
 *	as @tokens. A refused block is replaced by the one that is present
 * @out_kinds: out, optional, array of @count __u8: KVBM_REGISTERED_*
 * @priority: must be 0
 * @ttl_ms: must be 0
 *
 * Rights: write (registering is trust: whoever may do it can poison a hash).
 * Errors: EBADFD, EBUSY (a write pin is open), EFAULT, ENOMEM, ENXIO, EOVERFLOW,
 * ESTALE.
 */
struct kvbm_register {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 out_failed;
	__aligned_u64 tokens;
	__aligned_u64 out_tokens;
	__aligned_u64 out_kinds;
	__u32 priority;
	__u32 ttl_ms;
};

/**
 * struct kvbm_stage_register - ioctl(KVBM_STAGE_REGISTER)
 * @size: sizeof(struct kvbm_stage_register)
 * @flags: must be 0
 * @count: blocks to stage and register, 0 to KVBM_MAX_BATCH
 * @block_size: tokens in each; must be the manager's
 * @tokens: array of @count struct kvbm_token, Mutable blocks
 * @hashes: array of @count struct kvbm_hash
 * @aux: optional, as in struct kvbm_stage
 * @out_tokens: out, array of @count struct kvbm_token, as in
 *	struct kvbm_register
 * @out_kinds: out, optional, as in struct kvbm_register
 * @next_count: blocks to allocate afterwards, 0 to KVBM_MAX_BATCH
 * @out_next: blocks allocated: @next_count, or 0 when there were not enough
 * @next_tokens: out, array of @next_count struct kvbm_token
 * @evicted: out, optional, array of @next_count struct kvbm_hash
 * @evicted_aux: out, optional, as in struct kvbm_allocate
 * @out_evicted: hashes evicted
 * @out_failed: on an error about one entry, its index
 * @priority: must be 0
 * @ttl_ms: must be 0
 *
 * What an engine does when blocks are full: stage them, register them, and
 * have the next ones. Lack of blocks, or of quota, for the last part is no error
 * of the first two: look at @out_next.
 *
 * Rights: write. Errors: EBADFD, EBUSY, EDOM, EFAULT, EILSEQ, EINTR (killed),
 * EINVAL, ENOMEM, ENXIO, EOVERFLOW, ESTALE.
 */
struct kvbm_stage_register {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 block_size;
	__aligned_u64 tokens;
	__aligned_u64 hashes;
	__aligned_u64 aux;
	__aligned_u64 out_tokens;
	__aligned_u64 out_kinds;
	__u32 next_count;
	__u32 out_next;
	__aligned_u64 next_tokens;
	__aligned_u64 evicted;
	__aligned_u64 evicted_aux;
	__u32 out_evicted;
	__u32 out_failed;
	__u32 priority;
	__u32 ttl_ms;
};

/**
 * struct kvbm_match - ioctl(KVBM_MATCH)
 * @size: sizeof(struct kvbm_match)
 * @flags: one of KVBM_MATCH_SCATTERED, SCAN and PROBE, and TOUCH with SCAN; 0 is a
 *	prefix match
 * @count: hashes, 0 to KVBM_MAX_BATCH
 * @out_count: guards returned; for a probe, length of the prefix
 * @hashes: array of @count struct kvbm_hash
 * @tokens: out, array of @count struct kvbm_token; not used by a probe
 *
 * A prefix match stops at the first hash that the manager does not have; a
 * hash given twice yields two guards.
 *
 * Rights: read. Errors: EDQUOT (a quota), EFAULT, ENOMEM, EOVERFLOW.
 */
struct kvbm_match {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 out_count;
	__aligned_u64 hashes;
	__aligned_u64 tokens;
};

/*
 * Every hash, hit or miss: @tokens has one entry per hash, zeroes for a miss.
 * A hash given twice yields two guards.
 */
#define KVBM_MATCH_SCATTERED	(1U << 0)
/*
 * As SCATTERED, but each block once: zeroes for the second of two equal hashes.
 * Counted as a scan.
 */
#define KVBM_MATCH_SCAN		(1U << 1)
/* Only the length of the prefix: no guards, no counters, nothing touched. */
#define KVBM_MATCH_PROBE	(1U << 2)
/* With SCAN: count a use of every hash that is present in the registry. */
#define KVBM_MATCH_TOUCH	(1U << 3)

/**
 * struct kvbm_release - ioctl(KVBM_RELEASE)
 * @size: sizeof(struct kvbm_release)
 * @flags: must be 0
 * @count: guards, 0 to KVBM_MAX_BATCH
 * @out_failed: on an error about one entry, its index
 * @tokens: array of @count struct kvbm_token, of any state
 * @hint: KVBM_HINT_*
 * @hint_log2_ms: with KVBM_HINT_RETURN, 0 to 40; otherwise 0
 *
 * Guards go back in the order given: release the tail of a prefix first, so
 * that it is evicted first.
 *
 * Rights: none beyond holding the guards. Errors: EFAULT, ENOMEM, ENXIO, ESTALE.
 */
struct kvbm_release {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 out_failed;
	__aligned_u64 tokens;
	__u32 hint;
	__u32 hint_log2_ms;
};

/**
 * struct kvbm_tokens - ioctl(KVBM_UNSTAGE), ioctl(KVBM_CLONE), ioctl(KVBM_SET_RESET)
 * @size: sizeof(struct kvbm_tokens)
 * @flags: KVBM_RESET_ON_RELEASE with KVBM_SET_RESET; otherwise 0
 * @count: guards, 0 to KVBM_MAX_BATCH
 * @out_failed: on an error about one entry, its index
 * @tokens: array of @count struct kvbm_token
 *
 * UNSTAGE rolls Staged blocks back to Mutable, and forgets what SET_RESET said.
 * CLONE takes one more guard on each of some registered blocks. SET_RESET says
 * of Staged or registered blocks whether their last release resets them (the
 * flag is set) or caches them; the last word counts, it survives being Inactive,
 * and the next allocation of the slot forgets it. A Duplicate is always reset.
 *
 * Rights: write; CLONE: read. Errors: EBADFD, EFAULT, ENOMEM, ENXIO, ESTALE;
 * CLONE: EOVERFLOW.
 */
struct kvbm_tokens {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 out_failed;
	__aligned_u64 tokens;
};

#define KVBM_RESET_ON_RELEASE	(1U << 0)

/**
 * struct kvbm_upgrade - ioctl(KVBM_UPGRADE)
 * @size: sizeof(struct kvbm_upgrade)
 * @flags: must be 0
 * @count: weak blocks, 0 to KVBM_MAX_BATCH
 * @out_count: guards returned
 * @hashes: array of @count struct kvbm_hash
 * @tokens: array of @count struct kvbm_token that once named the blocks
 * @out_tokens: out, array of @count struct kvbm_token, zeroes where the block
 *	is gone; may be the same memory as @tokens
 *
 * A weak block is its hash and its token, kept by the user. It becomes a guard
 * on that same block if anybody still holds it; else on the block that has the
 * hash now, which may be another one.
 *
 * Rights: read. Errors: EDQUOT (a quota), EFAULT, ENOMEM, EOVERFLOW.
 */
struct kvbm_upgrade {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 out_count;
	__aligned_u64 hashes;
	__aligned_u64 tokens;
	__aligned_u64 out_tokens;
};

/**
 * struct kvbm_drain - ioctl(KVBM_DRAIN)
 * @size: sizeof(struct kvbm_drain)
 * @flags: must be 0
 * @out_drained: Inactive blocks that were reset
 * @out_in_use: blocks that are held, and stay
 *
 * Empties the cache: as many blocks as are Inactive when the call begins go to
 * the reset pool, in the order of the policy. Counts neither as allocation nor
 * as eviction.
 *
 * Rights: write. Errors: EINTR (killed; some are drained).
 */
struct kvbm_drain {
	__u32 size;
	__u32 flags;
	__u32 out_drained;
	__u32 out_in_use;
};

/**
 * struct kvbm_holdings - ioctl(KVBM_HOLDINGS)
 * @size: sizeof(struct kvbm_holdings)
 * @flags: must be 0
 * @start: how many blocks to leave out
 * @count: room in @held, 0 to KVBM_MAX_BATCH
 * @held: out, array of @count struct kvbm_held, in the order in which the
 *	blocks were first taken
 * @out_count: blocks written
 * @out_total: blocks that the session holds
 *
 * Rights: none beyond being the session. Errors: EFAULT, ENOMEM.
 */
struct kvbm_holdings {
	__u32 size;
	__u32 flags;
	__u32 start;
	__u32 count;
	__aligned_u64 held;
	__u32 out_count;
	__u32 out_total;
};

/**
 * struct kvbm_set_threshold - ioctl(KVBM_SET_THRESHOLD)
 * @size: sizeof(struct kvbm_set_threshold)
 * @flags: must be 0
 * @blocks: poll(2) says POLLOUT when so many blocks could be allocated; at most
 *	those that are not withheld; 1 until set
 * @reserved: must be 0
 *
 * poll(2) says POLLERR and POLLHUP when the session or the manager is gone. Add
 * a file to an epoll set after binding it: before, there is nothing to wait for.
 *
 * Rights: write.
 */
struct kvbm_set_threshold {
	__u32 size;
	__u32 flags;
	__u32 blocks;
	__u32 reserved;
};

/**
 * struct kvbm_session_open - ioctl(KVBM_SESSION_OPEN)
 * @size: sizeof(struct kvbm_session_open)
 * @flags: KVBM_BIND_*, of READ and WRITE only what the session itself has
 * @out_fd: a new descriptor, close-on-exec
 * @reserved: must be 0
 *
 * Another session of the same manager, to be handed to another process or
 * container: possession of the descriptor is the right.
 *
 * Rights: those asked for. Errors: EACCES, EMFILE, ENFILE, ENOMEM.
 */
struct kvbm_session_open {
	__u32 size;
	__u32 flags;
	__s32 out_fd;
	__u32 reserved;
};

/**
 * struct kvbm_presence - ioctl(KVBM_PRESENCE)
 * @size: sizeof(struct kvbm_presence)
 * @flags: must be 0
 * @registry: the registry; 0 for that of the manager the file is bound to
 * @hashes: array of @count struct kvbm_hash
 * @managers: array of @nr_managers ids of managers of the registry
 * @out_masks: out, array of @count __u64: bit n is set when managers[n] has the
 *	hash; without managers, bit 0 is set when any has it
 * @count: hashes, 0 to KVBM_MAX_BATCH
 * @nr_managers: 0 to KVBM_MAX_REGISTRY_MANAGERS
 *
 * Exact for each hash at some time during the call; takes no guards and touches
 * nothing.
 *
 * Rights: read on the registry. Errors: EACCES, ENOENT (registry, or a manager
 * that is not in it), ENOTCONN, EFAULT, ENOMEM.
 */
struct kvbm_presence {
	__u32 size;
	__u32 flags;
	__aligned_u64 registry;
	__aligned_u64 hashes;
	__aligned_u64 managers;
	__aligned_u64 out_masks;
	__u32 count;
	__u32 nr_managers;
};

/**
 * struct kvbm_attach - ioctl(KVBM_ATTACH)
 * @size: sizeof(struct kvbm_attach)
 * @flags: must be 0
 * @registry: the registry; 0 for that of the manager the file is bound to
 * @hash: present in at least one manager of the registry
 * @type: says what @data is; chosen by users, not 0
 * @data: @len bytes
 * @len: 0 to KVBM_MAX_ATTACHMENT
 * @mode: KVBM_ATTACH_*
 *
 * Hangs data on a hash, for everybody who may read the registry, until the hash
 * is present nowhere any more. A unique one replaces that of the same type; of
 * the others there can be many, up to KVBM_MAX_ATTACHMENTS of all types.
 *
 * Rights: write on the registry. Errors: EACCES, EDQUOT (module limit), EFAULT,
 * ENOENT (registry, or the hash), ENOMEM, ENOSPC, ENOTCONN, EPROTOTYPE.
 */
struct kvbm_attach {
	__u32 size;
	__u32 flags;
	__aligned_u64 registry;
	struct kvbm_hash hash;
	__aligned_u64 type;
	__aligned_u64 data;
	__u32 len;
	__u32 mode;
};

/**
 * struct kvbm_attachments - ioctl(KVBM_ATTACHMENTS)
 * @size: sizeof(struct kvbm_attachments)
 * @flags: must be 0
 * @registry: the registry; 0 for that of the manager the file is bound to
 * @hash: present in at least one manager of the registry
 * @type: only attachments of this type; 0 for all
 * @buf: out, each a struct kvbm_attachment and its data, in KVBM_ATTACHMENT_ROOM
 *	bytes, in the order in which they were attached
 * @buf_size: room at @buf, in bytes; 65,792 is enough for any
 * @out_count: attachments written; whole ones only
 * @out_total: attachments there are
 * @out_needed: room that all of them take
 *
 * Rights: read on the registry. Errors: EACCES, EFAULT, ENOENT (registry, or the
 * hash), ENOMEM, ENOTCONN.
 */
struct kvbm_attachments {
	__u32 size;
	__u32 flags;
	__aligned_u64 registry;
	struct kvbm_hash hash;
	__aligned_u64 type;
	__aligned_u64 buf;
	__u32 buf_size;
	__u32 out_count;
	__u32 out_total;
	__u32 out_needed;
};

/**
 * struct kvbm_frequency - ioctl(KVBM_FREQUENCY)
 * @size: sizeof(struct kvbm_frequency)
 * @flags: KVBM_FREQUENCY_TOUCH, or 0
 * @registry: the registry; 0 for that of the manager the file is bound to
 * @hashes: array of @count struct kvbm_hash, present or not
 * @out_counts: out, array of @count bytes: about how often each was used
 *	lately, 0 to 15; after the touch, if there is one
 * @count: hashes, 0 to KVBM_MAX_BATCH
 * @reserved: must be 0
 *
 * Without a sketch in the registry all counts are 0.
 *
 * Rights: read on the registry, to touch: write. Errors: EACCES, EFAULT, ENOENT,
 * ENOMEM, ENOTCONN.
 */
struct kvbm_frequency {
	__u32 size;
	__u32 flags;
	__aligned_u64 registry;
	__aligned_u64 hashes;
	__aligned_u64 out_counts;
	__u32 count;
	__u32 reserved;
};

#define KVBM_FREQUENCY_TOUCH	(1U << 0)	/* each is used once more */

/**
 * struct kvbm_manager_dump - ioctl(KVBM_MANAGER_DUMP)
 * @size: sizeof(struct kvbm_manager_dump)
 * @flags: must be 0
 * @id: the manager; 0 for the one the file is bound to
 * @slots: out, array of @count struct kvbm_slot_info
 * @start: first block id
 * @count: room in @slots, 0 to KVBM_MAX_BATCH
 * @out_count: slots written; fewer than @count means there are no more
 * @reserved: must be 0
 *
 * Up to kvbm_info.out_chunk slots are a consistent snapshot.
 *
 * Rights: read. Errors: EACCES, EFAULT, ENOENT, ENOMEM, ENOTCONN.
 */
struct kvbm_manager_dump {
	__u32 size;
	__u32 flags;
	__aligned_u64 id;
	__aligned_u64 slots;
	__u32 start;
	__u32 count;
	__u32 out_count;
	__u32 reserved;
};

/**
 * struct kvbm_manager_sessions - ioctl(KVBM_MANAGER_SESSIONS)
 * @size: sizeof(struct kvbm_manager_sessions)
 * @flags: must be 0
 * @id: the manager; 0 for the one the file is bound to
 * @after: sessions up to this id are left out; 0 to start
 * @sessions: out, array of @count struct kvbm_session_info, by rising id
 * @count: room in @sessions, 0 to KVBM_MAX_BATCH
 * @out_count: sessions written; fewer than @count means there are no more
 *
 * Who holds how much of a manager, and since when. Sessions at work are not
 * waited for: each number was right at some time during the call. What a session
 * holds, block by block, only the session itself can ask (KVBM_HOLDINGS).
 *
 * Rights: read. Errors: EACCES, EFAULT, ENOENT, ENOMEM, ENOTCONN.
 */
struct kvbm_manager_sessions {
	__u32 size;
	__u32 flags;
	__aligned_u64 id;
	__aligned_u64 after;
	__aligned_u64 sessions;
	__u32 count;
	__u32 out_count;
};

/**
 * struct kvbm_events_open - ioctl(KVBM_EVENTS_OPEN)
 * @size: sizeof(struct kvbm_events_open)
 * @flags: KVBM_EVENTS_NONBLOCK, or 0
 * @registry: the registry; 0 for that of the manager the file is bound to
 * @out_fd: a new descriptor, close-on-exec: an event file
 * @reserved: must be 0
 * @out_next: sequence of the first event that it delivers
 *
 * An event file delivers all events of the registry from now on. read(2) fills
 * the buffer with whole struct kvbm_event_record, oldest first, and needs room
 * for the next one: KVBM_EVENT_MAX_SIZE is always enough, otherwise it answers
 * EINVAL. Without events it waits, or answers EAGAIN. It answers 0 when the
 * registry is destroyed and all was read. poll(2) says POLLIN when there is
 * something to read, and POLLHUP when the registry is destroyed. ioctl(2) does
 * KVBM_EVENTS_DUMP, of this registry whatever its number.
 *
 * The ring is bounded, and nobody waits for readers: who is too slow finds that
 * numbers are missing, and dumps. Possession of the descriptor is the right.
 *
 * Rights: read on the registry. Errors: EACCES, EDQUOT (module limit), EMFILE,
 * ENFILE, ENOENT, ENOMEM, ENOTCONN.
 */
struct kvbm_events_open {
	__u32 size;
	__u32 flags;
	__aligned_u64 registry;
	__s32 out_fd;
	__u32 reserved;
	__aligned_u64 out_next;
};

#define KVBM_EVENTS_NONBLOCK	(1U << 0)	/* the file is O_NONBLOCK */

/**
 * struct kvbm_events_dump - ioctl(KVBM_EVENTS_DUMP)
 * @size: sizeof(struct kvbm_events_dump)
 * @flags: must be 0
 * @registry: the registry; 0 for that of the manager the file is bound to; on an
 *	event file ignored
 * @records: out, room for @bytes bytes: struct kvbm_event_record
 * @bytes: KVBM_EVENT_MAX_SIZE to KVBM_MAX_EVENT_BYTES
 * @out_bytes: bytes written; may be 0 before the end, too
 * @manager: where to go on; 0 to start. On return where the next call goes on,
 *	0 at the end
 * @block: the same
 * @reserved: must be 0
 * @out_first: sequence that the next event had when the call began
 * @out_last: sequence of the last event when the call ended; @out_first - 1 when
 *	there was none meanwhile
 *
 * What is present: a KVBM_EVENT_STORED with KVBM_EVENT_SNAPSHOT for each hash in
 * each manager. A call walks a bounded number of blocks; the whole dump is many.
 * While it is made, things happen. Replay the events from @out_first of the first
 * call over it: once those up to @out_last of the last call are done, the result
 * is exact. This takes an event file that was open before.
 *
 * Rights: read on the registry. Errors: EACCES, EFAULT, EINVAL, ENOENT, ENOMEM,
 * ENOTCONN.
 */
struct kvbm_events_dump {
	__u32 size;
	__u32 flags;
	__aligned_u64 registry;
	__aligned_u64 records;
	__u32 bytes;
	__u32 out_bytes;
	__aligned_u64 manager;
	__u32 block;
	__u32 reserved;
	__aligned_u64 out_first;
	__aligned_u64 out_last;
};

/**
 * struct kvbm_pin_create - ioctl(KVBM_PIN)
 * @size: sizeof(struct kvbm_pin_create)
 * @flags: KVBM_PIN_WRITE, or 0
 * @count: blocks, 1 to KVBM_MAX_BATCH
 * @out_failed: on an error about one entry, its index
 * @tokens: array of @count struct kvbm_token: guards of this session, each on
 *	another block
 * @out_fd: a new descriptor, close-on-exec: the pin
 * @reserved: must be 0
 *
 * A pin keeps blocks alive apart from any session, until its last descriptor is
 * closed, wherever that is. The guards stay the session's. What is pinned is
 * fixed; KVBM_PIN_QUERY on the pin lists it.
 *
 * Without KVBM_PIN_WRITE the blocks are registered, and stay so. With it they
 * are Mutable: somebody is writing to them. Such a block can be staged, but not
 * registered (EBUSY), and when its session releases it, or ends, it becomes Reset
 * only when the pin is closed.
 *
 * A pin is charged to the quotas of the session, one for each block.
 *
 * Rights: read; with KVBM_PIN_WRITE write. Errors: EACCES, EBADFD, EDQUOT (a
 * quota), EFAULT, EINVAL (a block given twice), EMFILE, ENFILE, ENOMEM, ENXIO,
 * EOVERFLOW, ESTALE.
 */
struct kvbm_pin_create {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 out_failed;
	__aligned_u64 tokens;
	__s32 out_fd;
	__u32 reserved;
};

#define KVBM_PIN_WRITE		(1U << 0)

/**
 * struct kvbm_pin_query - ioctl(KVBM_PIN_QUERY), on a pin and nothing else
 * @size: sizeof(struct kvbm_pin_query)
 * @flags: must be 0
 * @start: how many blocks to leave out
 * @count: room in @blocks, 0 to KVBM_MAX_BATCH
 * @blocks: out, array of @count struct kvbm_held: the blocks in the order in
 *	which they were given, as they were then
 * @out_count: blocks written
 * @out_total: blocks of the pin
 * @out_manager: id of the manager
 * @out_flags: KVBM_PIN_WRITE, or 0
 * @out_alive: 0 when the manager was destroyed, else 1
 *
 * Rights: none beyond having the descriptor. Errors: EFAULT, ENOMEM; ENOTTY when
 * it is no pin.
 */
struct kvbm_pin_query {
	__u32 size;
	__u32 flags;
	__u32 start;
	__u32 count;
	__aligned_u64 blocks;
	__u32 out_count;
	__u32 out_total;
	__aligned_u64 out_manager;
	__u32 out_flags;
	__u32 out_alive;
};

/**
 * struct kvbm_quota - ioctl(KVBM_QUOTA)
 * @size: sizeof(struct kvbm_quota)
 * @flags: KVBM_QUOTA_SET, KVBM_QUOTA_NEXT, or 0 to ask only
 * @manager: id; 0 for the one the file is bound to
 * @kind: KVBM_QUOTA_*
 * @reserved: must be 0
 * @id: of the user, in the user namespace of the caller, or KVBM_QUOTA_EACH; of
 *	the group in cgroup v2 (the inode number of its directory); 0 for sessions;
 *	with KVBM_QUOTA_NEXT in and out
 * @blocks: with KVBM_QUOTA_SET the new limit, or KVBM_QUOTA_NONE; out: the limit
 * @out_held: blocks that are charged; 0 for KVBM_QUOTA_SESSION and for
 *	KVBM_QUOTA_EACH. Until the manager has its first quota, those of pins only
 *
 * Most blocks that each session, a user, or a group with all groups below it, may
 * hold of a manager: one unit for each block of each session, however many guards
 * there are on it, and for each block of each pin. Who would exceed it gets
 * EDQUOT, and nobody else; nothing is taken from who holds more when a limit
 * is set. Users and groups are those of the process that bound the session, at
 * that time. A user's own limit comes before that of KVBM_QUOTA_EACH. At most
 * KVBM_MAX_QUOTAS users and groups of a manager have a limit of their own.
 *
 * With KVBM_QUOTA_NEXT the call is about the user, or the group, with the lowest
 * id that is not below @id, of those that have a limit of their own or that a
 * session or a pin is charged to.
 *
 * Rights: owner or CAP_SYS_ADMIN for KVBM_QUOTA_SET, and a file opened for
 * writing; else read. Errors: EACCES, EDQUOT (too many limits), EINVAL, ENOENT
 * (also: there is no next one), ENOMEM, ENOTCONN, EPERM, EOPNOTSUPP (no cgroups in
 * this kernel).
 */
struct kvbm_quota {
	__u32 size;
	__u32 flags;
	__aligned_u64 manager;
	__u32 kind;
	__u32 reserved;
	__aligned_u64 id;
	__aligned_u64 blocks;
	__aligned_u64 out_held;
};

#define KVBM_QUOTA_SET		(1U << 0)
#define KVBM_QUOTA_NEXT		(1U << 1)	/* without SET, not of sessions */

#define KVBM_QUOTA_SESSION	0	/* each session */
#define KVBM_QUOTA_UID		1	/* one user, or each */
#define KVBM_QUOTA_CGROUP	2	/* one group of cgroup v2, and those below */

#define KVBM_QUOTA_EACH		0xffffffffffffffffULL
#define KVBM_QUOTA_NONE		0xffffffffffffffffULL

#define KVBM_MAX_QUOTAS		1024

/**
 * struct kvbm_epoch - ioctl(KVBM_EPOCH)
 * @size: sizeof(struct kvbm_epoch)
 * @flags: KVBM_EPOCH_RAISE, KVBM_EPOCH_FORCE; 0 to ask only
 * @manager: id; 0 for the one the file is bound to
 * @out_epoch: of the manager; the first is 1
 * @out_session: of the file, if it is bound to that manager, else 0
 *
 * A session carries the epoch in which it was bound. When KVBM_EPOCH_RAISE
 * returns, no session of an earlier one changes anything any more: calls that
 * take write, but for KVBM_SET_THRESHOLD, and write pins, answer EOWNERDEAD, and
 * those that wait for blocks end with it. They can still look, match and release.
 * The session that the call is made on moves along; calls of other threads on it
 * may answer EOWNERDEAD while it lasts.
 *
 * With KVBM_EPOCH_FORCE the Mutable and Staged blocks of older sessions go to
 * nobody: they can be released by nobody, and become Reset when the files are
 * closed, and not when their owners die. No call can take a mapping away: what
 * an old process writes to then is nobody else's.
 *
 * Rights: owner or CAP_SYS_ADMIN to raise, and a file opened for writing; else
 * read. Errors: EACCES, EINVAL, ENOENT, ENOTCONN, EOVERFLOW, EPERM, ESHUTDOWN.
 */
struct kvbm_epoch {
	__u32 size;
	__u32 flags;
	__aligned_u64 manager;
	__u32 out_epoch;
	__u32 out_session;
};

#define KVBM_EPOCH_RAISE	(1U << 0)
#define KVBM_EPOCH_FORCE	(1U << 1)	/* with RAISE */

/**
 * struct kvbm_segment - where a part of each block of a manager lives
 * @fd: in: an open file, for reading and writing; out: a new descriptor, the same
 *	for all segments of one file, or -1
 * @kind: KVBM_BACKING_*
 * @offset: of block 0 in the file
 * @stride: from one block to the next, at least @bytes
 * @bytes: of each block in this segment, not 0
 * @file: out: number of the file; must be 0 in
 * @reserved: must be 0
 *
 * Block i is at @offset + i * @stride.
 */
struct kvbm_segment {
	__s32 fd;
	__u32 kind;
	__aligned_u64 offset;
	__aligned_u64 stride;
	__aligned_u64 bytes;
	__u32 file;
	__u32 reserved;
};

/* Sealed with F_SEAL_SHRINK, large enough, no write bits for group and others. */
#define KVBM_BACKING_MEMFD	1
#define KVBM_BACKING_HUGETLB	2	/* the same, of MFD_HUGETLB */
#define KVBM_BACKING_FILE	3	/* a regular file, large enough when given */
#define KVBM_BACKING_DMABUF	4	/* a dma-buf, large enough */
/* A regular file, block or character device; its size is not looked at. */
#define KVBM_BACKING_OPAQUE	5

#define KVBM_MAX_SEGMENTS	1024

/**
 * struct kvbm_backing_set - ioctl(KVBM_BACKING_SET)
 * @size: sizeof(struct kvbm_backing_set)
 * @flags: must be 0
 * @manager: id; 0 for the one the file is bound to
 * @segments: array of @count struct kvbm_segment
 * @count: 1 to KVBM_MAX_SEGMENTS
 * @out_failed: on an error about one segment, its index
 *
 * Gives a manager the memory that its blocks live in, once. The module holds the
 * files as long as the manager exists, never touches the bytes, and hands
 * descriptors to its sessions (KVBM_BACKING_GET).
 *
 * Rights: owner or CAP_SYS_ADMIN, and a file opened for writing. Errors: EACCES
 * (the file is not open for both, or writable by others), EBADF, EEXIST (the
 * manager has a backing), EFBIG, EINVAL (a kind of file that is refused, or a
 * segment that makes no sense), ENOENT, ENOMEM, ENOTCONN, EOPNOTSUPP (no
 * dma-bufs in this kernel), EOVERFLOW (the segment ends beyond the largest
 * offset), EPERM (also: not sealed), ESHUTDOWN.
 */
struct kvbm_backing_set {
	__u32 size;
	__u32 flags;
	__aligned_u64 manager;
	__aligned_u64 segments;
	__u32 count;
	__u32 out_failed;
};

/**
 * struct kvbm_backing_get - ioctl(KVBM_BACKING_GET)
 * @size: sizeof(struct kvbm_backing_get)
 * @flags: KVBM_BACKING_FDS, or 0
 * @manager: id; 0 for the one the file is bound to; with KVBM_BACKING_FDS: 0
 * @segments: out, array of @count struct kvbm_segment
 * @path: out, optional, @path_size bytes: the path of the file of segment
 *	@start, cut off to fit, with a NUL at the end; empty when it has none, or
 *	one of more than KVBM_PATH_SIZE bytes
 * @start: how many segments to leave out
 * @count: room in @segments, 0 to KVBM_MAX_SEGMENTS
 * @path_size: room in @path, 0 to KVBM_PATH_SIZE
 * @out_count: segments written
 * @out_total: segments of the manager; 0: it has no backing
 * @out_files: distinct files
 * @out_uid: who gave them
 * @out_pid: the same, as far as the caller can see that process, else 0
 * @out_set_ns: when, CLOCK_MONOTONIC
 * @out_path_size: bytes of the whole path, with the NUL
 * @reserved: must be 0
 *
 * With KVBM_BACKING_FDS there are new descriptors, close-on-exec: for a session
 * with write of the file as it was given, for one with read of the same file
 * opened anew, O_RDONLY. Of files that cannot be opened anew (dma-bufs, and
 * KVBM_BACKING_OPAQUE) only sessions with write get one; others get -1. A session
 * of an earlier epoch gets what one with read gets.
 *
 * Rights: read. Errors: EACCES (also: a security module), EFAULT, EMFILE, ENFILE,
 * ENOENT, ENOMEM, ENOTCONN, EOWNERDEAD, ESHUTDOWN, and those of open(2).
 */
struct kvbm_backing_get {
	__u32 size;
	__u32 flags;
	__aligned_u64 manager;
	__aligned_u64 segments;
	__aligned_u64 path;
	__u32 start;
	__u32 count;
	__u32 path_size;
	__u32 out_count;
	__u32 out_total;
	__u32 out_files;
	__u32 out_uid;
	__u32 out_pid;
	__aligned_u64 out_set_ns;
	__u32 out_path_size;
	__u32 reserved;
};

#define KVBM_BACKING_FDS	(1U << 0)
#define KVBM_PATH_SIZE		4096

#endif /* _UAPI_LINUX_KVBM_H */
