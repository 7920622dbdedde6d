// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What can be said about the arguments of an ioctl without looking further.
 */
#include "abi.h"
#include "abi_table.h"
#include "engine/engine.h"
#include "version.h"

static bool is_name_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

/* 1 to 63 characters, none of them special first, zeroes up to the end. */
static bool is_name(const char *name)
{
	u32 i, len = 0;

	while (len < KVBM_NAME_SIZE && is_name_char(name[len]))
		len++;
	if (!len || len == KVBM_NAME_SIZE || name[0] == '.' || name[0] == '-')
		return false;
	for (i = len; i < KVBM_NAME_SIZE; i++)
		if (name[i])
			return false;
	return true;
}

static bool is_empty(const char *name)
{
	u32 i;

	for (i = 0; i < KVBM_NAME_SIZE; i++)
		if (name[i])
			return false;
	return true;
}

static bool is_bind_flags(u32 flags)
{
	return flags & (KVBM_BIND_READ | KVBM_BIND_WRITE);
}

static int none(const void *arg)
{
	return 0;
}

static int check_registry_create(const void *arg)
{
	const struct kvbm_registry_create *a = arg;

	if (!is_name(a->name))
		return -EINVAL;
	if (a->hash_size == 32)
		return -EOPNOTSUPP;
	return a->hash_size && a->hash_size != 16 ? -EINVAL : 0;
}

static int check_registry_query(const void *arg)
{
	const struct kvbm_registry_query *a = arg;

	return a->id || is_name(a->name) ? 0 : -EINVAL;
}

static int check_manager_create(const void *arg)
{
	const struct kvbm_manager_create *a = arg;

	if (a->flags & KVBM_MANAGER_ANONYMOUS ? !is_empty(a->name) || a->linger_ms :
						!is_name(a->name))
		return -EINVAL;
	if (a->bind_flags)
		return is_bind_flags(a->bind_flags) ? 0 : -EINVAL;
	/* Nobody could be sure to bind before it goes. */
	return a->linger_ms == KVBM_LINGER_FOREVER ? 0 : -EINVAL;
}

static int check_manager_query(const void *arg)
{
	const struct kvbm_manager_query *a = arg;

	/* By id, by name, or the one that the file is bound to. */
	if (a->id || (!a->registry && is_empty(a->name)))
		return 0;
	return a->registry && is_name(a->name) ? 0 : -EINVAL;
}

static int check_bind(const void *arg)
{
	const struct kvbm_bind *a = arg;

	return is_bind_flags(a->flags) ? 0 : -EINVAL;
}

static int check_session_open(const void *arg)
{
	const struct kvbm_session_open *a = arg;

	return is_bind_flags(a->flags) ? 0 : -EINVAL;
}

static int check_events_dump(const void *arg)
{
	const struct kvbm_events_dump *a = arg;

	return a->bytes < KVBM_EVENT_MAX_SIZE ? -EINVAL : 0;
}

static int check_acquire(const void *arg)
{
	const struct kvbm_acquire *a = arg;

	return a->nr_hashes > a->count ? -EINVAL : 0;
}

static int check_match(const void *arg)
{
	const struct kvbm_match *a = arg;

	if (a->flags == (KVBM_MATCH_SCAN | KVBM_MATCH_TOUCH))
		return 0;
	return a->flags & KVBM_MATCH_TOUCH || (a->flags & (a->flags - 1)) ?
	       -EINVAL : 0;
}

static int check_release(const void *arg)
{
	const struct kvbm_release *a = arg;

	return a->hint_log2_ms && a->hint != KVBM_HINT_RETURN ? -EINVAL : 0;
}

static int check_quota(const void *arg)
{
	const struct kvbm_quota *a = arg;

	if (a->flags & KVBM_QUOTA_NEXT)
		return a->flags & KVBM_QUOTA_SET || a->kind == KVBM_QUOTA_SESSION ?
		       -EINVAL : 0;
	if (a->kind == KVBM_QUOTA_SESSION)
		return a->id ? -EINVAL : 0;
	/* The number that is no user. */
	if (a->kind == KVBM_QUOTA_UID)
		return a->id >= U32_MAX && a->id != KVBM_QUOTA_EACH ? -EINVAL : 0;
	return a->id ? 0 : -EINVAL;
}

static int check_epoch(const void *arg)
{
	const struct kvbm_epoch *a = arg;

	return a->flags == KVBM_EPOCH_FORCE ? -EINVAL : 0;
}

static int check_backing_get(const void *arg)
{
	const struct kvbm_backing_get *a = arg;

	return a->flags & KVBM_BACKING_FDS && a->manager ? -EINVAL : 0;
}

#define CALL(nr, type, last, need, rules, checker)			\
	[KVBM_CMD_##nr] = {						\
		.name = #nr,						\
		.cmd = KVBM_##nr,					\
		.size = sizeof(type),					\
		.min_size = offsetof(type, last) +			\
			    sizeof(((type *)0)->last),			\
		.flags = need,						\
		.fields = rules,					\
		.nr_fields = ARRAY_SIZE(rules),				\
		.check = checker,					\
	},

static const struct kvbm_abi_call calls[KVBM_ABI_NR] = {
	KVBM_ABI_CALLS(CALL)
};

static u64 member(const void *arg, const struct kvbm_abi_field *field)
{
	const void *at = (const char *)arg + field->offset;

	return field->size == sizeof(u64) ? *(const u64 *)at : *(const u32 *)at;
}

static inline int check_field(const void *arg, const struct kvbm_abi_field *field)
{
	u64 value;

	/* Whoever follows an address sees whether it is good. */
	if (field->kind >= KVBM_FIELD_IN)
		return 0;
	value = member(arg, field);
	if (field->kind == KVBM_FIELD_MAX)
		return value > field->limit ? -EINVAL : 0;
	if (field->kind == KVBM_FIELD_NONZERO)
		return value ? 0 : -EINVAL;
	/* What there may not be; anything at all, but in flags. */
	if (field->kind == KVBM_FIELD_FLAGS)
		value &= ~field->limit;
	if (likely(!value))
		return 0;
	return field->kind == KVBM_FIELD_UNBUILT ? -EOPNOTSUPP : -EINVAL;
}

/**
 * kvbm_abi_check - whether the values of an argument are possible
 * @call: the ioctl
 * @arg: our copy of its argument
 *
 * A value that is impossible by itself comes before one that is not built.
 *
 * Context: any.
 * Return: 0, -EINVAL or -EOPNOTSUPP.
 */
int kvbm_abi_check(const struct kvbm_abi_call *call, const void *arg)
{
	const struct kvbm_abi_field *field = call->fields;
	const struct kvbm_abi_field *end = field + call->nr_fields;
	int unbuilt = 0, err;

	for (; field < end; field++) {
		err = check_field(arg, field);
		if (err == -EINVAL)
			return err;
		unbuilt = unbuilt ?: err;
	}
	err = call->check(arg);
	return err ?: unbuilt;
}

/**
 * kvbm_abi_find - the entry of an ioctl number
 * @cmd: as given to ioctl(2)
 *
 * Context: any.
 * Return: the entry, or NULL when there is no such ioctl.
 */
const struct kvbm_abi_call *kvbm_abi_find(u32 cmd)
{
	u32 nr = _IOC_NR(cmd);

	if (nr >= KVBM_ABI_NR)
		return NULL;
	nr = array_index_nospec(nr, KVBM_ABI_NR);
	/* An unused number has a cmd of 0, which no ioctl of ours has. */
	return calls[nr].cmd == cmd ? &calls[nr] : NULL;
}

/**
 * kvbm_abi_store_config - what a new manager's store is made of
 * @config: filled in; to be checked by kvbm_store_config_check()
 * @a: the argument of KVBM_MANAGER_CREATE
 *
 * Context: any.
 */
void kvbm_abi_store_config(struct kvbm_store_config *config,
			   const struct kvbm_manager_create *a)
{
	*config = (struct kvbm_store_config){
		.block_count = a->block_count,
		.block_size = a->block_size,
		.nr_reserved = a->nr_reserved,
		.duplication = a->duplication,
		.policy = a->policy,
		.aux_size = a->aux_size,
		.reset_on_release = a->flags & KVBM_MANAGER_RESET_ON_RELEASE,
	};
	memcpy(config->policy_args, a->policy_args, sizeof(config->policy_args));
}

/**
 * kvbm_abi_query_config - what a manager's store is made of
 * @a: the argument of KVBM_MANAGER_QUERY; filled in, where it tells of the store
 * @config: of the store
 *
 * Context: any.
 */
void kvbm_abi_query_config(struct kvbm_manager_query *a,
			   const struct kvbm_store_config *config)
{
	a->out_block_size = config->block_size;
	a->out_block_count = config->block_count;
	a->out_nr_reserved = config->nr_reserved;
	a->out_duplication = config->duplication;
	a->out_policy = config->policy;
	memcpy(a->out_policy_args, config->policy_args, sizeof(a->out_policy_args));
	a->out_aux_size = config->aux_size;
}

/**
 * kvbm_abi_info - what is built
 * @info: filled in, but for its size and flags
 *
 * Context: any.
 */
void kvbm_abi_info(struct kvbm_info *info)
{
	u32 nr;

	info->out_version = KVBM_VERSION;
	info->out_max_batch = KVBM_MAX_BATCH;
	info->out_features = KVBM_FEATURE_PLH | KVBM_FEATURE_OPAQUE |
			     KVBM_FEATURE_OWNED;
	memset(info->out_commands, 0, sizeof(info->out_commands));
	for (nr = 0; nr < KVBM_ABI_NR; nr++)
		if (calls[nr].cmd)
			info->out_commands[nr / 64] |= 1ULL << (nr % 64);
	info->out_policies = kvbm_eviction_mask();
	info->out_max_blocks = KVBM_MAX_BLOCKS;
	info->out_chunk = KVBM_CHUNK;
	memset(info->out_reserved, 0, sizeof(info->out_reserved));
}
