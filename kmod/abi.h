/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The ioctls as a table: their sizes, what they need, and the checks of their
 * arguments that need nothing but the argument. The module and libkvbm's
 * in-process backend go by the same table, so both refuse the same.
 */
#ifndef KVBM_ABI_H
#define KVBM_ABI_H

#include <linux/kvbm.h>

#include "abi_needs.h"
#include "engine/env.h"

struct kvbm_abi_field;
struct kvbm_store_config;

/**
 * struct kvbm_abi_call - one ioctl
 * @name: for messages and tests
 * @cmd: the whole ioctl number
 * @size: of the structure, as this version knows it
 * @min_size: of its first version
 * @flags: KVBM_ABI_*, of abi_needs.h
 * @fields: rules about single members
 * @nr_fields: how many
 * @check: what those cannot say; 0 or -errno
 */
struct kvbm_abi_call {
	const char *name;
	u32 cmd;
	u32 size;
	u32 min_size;
	u32 flags;
	const struct kvbm_abi_field *fields;
	u32 nr_fields;
	int (*check)(const void *arg);
};

/* All structures of the ABI, for a buffer that holds any of them. */
union kvbm_abi_arg {
	u32 size;
	struct kvbm_info info;
	struct kvbm_registry_create registry_create;
	struct kvbm_registry_query registry_query;
	struct kvbm_list list;
	struct kvbm_destroy destroy;
	struct kvbm_manager_create manager_create;
	struct kvbm_manager_query manager_query;
	struct kvbm_manager_stats manager_stats;
	struct kvbm_manager_check manager_check;
	struct kvbm_bind bind;
	struct kvbm_allocate allocate;
	struct kvbm_acquire acquire;
	struct kvbm_stage stage;
	struct kvbm_register reg;
	struct kvbm_stage_register stage_register;
	struct kvbm_match match;
	struct kvbm_release release;
	struct kvbm_tokens tokens;
	struct kvbm_upgrade upgrade;
	struct kvbm_drain drain;
	struct kvbm_holdings holdings;
	struct kvbm_set_threshold set_threshold;
	struct kvbm_session_open session_open;
	struct kvbm_presence presence;
	struct kvbm_attach attach;
	struct kvbm_attachments attachments;
	struct kvbm_frequency frequency;
	struct kvbm_manager_dump manager_dump;
	struct kvbm_events_open events_open;
	struct kvbm_events_dump events_dump;
	struct kvbm_manager_sessions manager_sessions;
	struct kvbm_pin_create pin_create;
	struct kvbm_pin_query pin_query;
	struct kvbm_quota quota;
	struct kvbm_epoch epoch;
	struct kvbm_backing_set backing_set;
	struct kvbm_backing_get backing_get;
};

/* The highest ioctl number that is built, plus one. */
#define KVBM_ABI_NR	(KVBM_CMD_BACKING_GET + 1)

const struct kvbm_abi_call *kvbm_abi_find(u32 cmd);
int kvbm_abi_check(const struct kvbm_abi_call *call, const void *arg);
void kvbm_abi_store_config(struct kvbm_store_config *config,
			   const struct kvbm_manager_create *a);
void kvbm_abi_query_config(struct kvbm_manager_query *a,
			   const struct kvbm_store_config *config);
void kvbm_abi_info(struct kvbm_info *info);

#endif /* KVBM_ABI_H */
