/* SPDX-License-Identifier: (GPL-2.0 OR MIT) WITH Linux-syscall-note */
/*
 * kvbm: the generic netlink family. Documentation/netlink/specs/kvbm.yaml says
 * the same for programs that are made of specifications.
 */
#ifndef _UAPI_LINUX_KVBM_NETLINK_H
#define _UAPI_LINUX_KVBM_NETLINK_H

#define KVBM_FAMILY_NAME	"kvbm"
#define KVBM_FAMILY_VERSION	1

/**
 * enum kvbm_nl_attr - attributes
 * @KVBM_NL_A_PAD: padding of 64-bit attributes
 * @KVBM_NL_A_REGISTRY: u64, id of a registry
 * @KVBM_NL_A_MANAGER: u64, id of a manager
 * @KVBM_NL_A_NAME: string
 * @KVBM_NL_A_SCHEMA: u32, KVBM_SCHEMA_*
 * @KVBM_NL_A_MODE: u32, permission bits
 * @KVBM_NL_A_UID: u32, owner
 * @KVBM_NL_A_GID: u32, group
 * @KVBM_NL_A_TIER: u32, KVBM_TIER_*
 * @KVBM_NL_A_BLOCK_SIZE: u32, tokens per block
 * @KVBM_NL_A_BLOCK_COUNT: u32, blocks
 * @KVBM_NL_A_AUX_SIZE: u32, bytes of aux per block
 * @KVBM_NL_A_SESSIONS: u32, files bound to the manager
 * @KVBM_NL_A_MANAGERS: u32, managers of the registry
 * @KVBM_NL_A_CAPACITY: u64, most blocks of the registry
 * @KVBM_NL_A_BLOCKS: u64, blocks of all its managers
 * @KVBM_NL_A_ENTRIES: u64, distinct hashes present
 * @KVBM_NL_A_COUNTERS: struct kvbm_counters; longer ones may come
 * @KVBM_NL_A_EVENT_STATS: struct kvbm_event_stats; longer ones may come
 * @KVBM_NL_A_RECORDS: struct kvbm_event_record, one after the other
 * @KVBM_NL_A_FIRST: u64, sequence
 * @KVBM_NL_A_LAST: u64, sequence
 * @KVBM_NL_A_DROPPED: u64, events that were lost before they could be sent
 * @__KVBM_NL_A_MAX: no attribute
 * @KVBM_NL_A_MAX: the highest attribute
 */
enum kvbm_nl_attr {
	KVBM_NL_A_PAD = 1,
	KVBM_NL_A_REGISTRY,
	KVBM_NL_A_MANAGER,
	KVBM_NL_A_NAME,
	KVBM_NL_A_SCHEMA,
	KVBM_NL_A_MODE,
	KVBM_NL_A_UID,
	KVBM_NL_A_GID,
	KVBM_NL_A_TIER,
	KVBM_NL_A_BLOCK_SIZE,
	KVBM_NL_A_BLOCK_COUNT,
	KVBM_NL_A_AUX_SIZE,
	KVBM_NL_A_SESSIONS,
	KVBM_NL_A_MANAGERS,
	KVBM_NL_A_CAPACITY,
	KVBM_NL_A_BLOCKS,
	KVBM_NL_A_ENTRIES,
	KVBM_NL_A_COUNTERS,
	KVBM_NL_A_EVENT_STATS,
	KVBM_NL_A_RECORDS,
	KVBM_NL_A_FIRST,
	KVBM_NL_A_LAST,
	KVBM_NL_A_DROPPED,

	__KVBM_NL_A_MAX,
	KVBM_NL_A_MAX = __KVBM_NL_A_MAX - 1
};

/**
 * enum kvbm_nl_cmd - commands; all of them need CAP_NET_ADMIN in the initial user
 *	namespace
 * @KVBM_NL_CMD_REGISTRY_GET: dump: one message per registry
 * @KVBM_NL_CMD_MANAGER_GET: dump: one message per manager; of the registry
 *	@KVBM_NL_A_REGISTRY, if given
 * @KVBM_NL_CMD_STATS_GET: dump: the counters of the same managers
 * @KVBM_NL_CMD_CONTENT_GET: dump: what is present in the registry
 *	@KVBM_NL_A_REGISTRY, in @KVBM_NL_A_RECORDS; @KVBM_NL_A_FIRST of the first
 *	message and @KVBM_NL_A_LAST of the last one are those of struct
 *	kvbm_events_dump
 * @KVBM_NL_CMD_EVENTS_START: do: multicast the events of @KVBM_NL_A_REGISTRY until
 *	the socket stops it or is closed; the reply has @KVBM_NL_A_FIRST
 * @KVBM_NL_CMD_EVENTS_STOP: do: undo it
 * @KVBM_NL_CMD_EVENTS: multicast: events of one registry: @KVBM_NL_A_REGISTRY,
 *	@KVBM_NL_A_RECORDS, @KVBM_NL_A_FIRST, @KVBM_NL_A_LAST, @KVBM_NL_A_DROPPED
 * @__KVBM_NL_CMD_MAX: no command
 * @KVBM_NL_CMD_MAX: the highest command
 */
enum kvbm_nl_cmd {
	KVBM_NL_CMD_REGISTRY_GET = 1,
	KVBM_NL_CMD_MANAGER_GET,
	KVBM_NL_CMD_STATS_GET,
	KVBM_NL_CMD_CONTENT_GET,
	KVBM_NL_CMD_EVENTS_START,
	KVBM_NL_CMD_EVENTS_STOP,
	KVBM_NL_CMD_EVENTS,

	__KVBM_NL_CMD_MAX,
	KVBM_NL_CMD_MAX = __KVBM_NL_CMD_MAX - 1
};

#define KVBM_MCGRP_EVENTS	"events"

#endif /* _UAPI_LINUX_KVBM_NETLINK_H */
