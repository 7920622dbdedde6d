/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The arguments of the ioctls as a table: which flags there are, what must be
 * zero, which values are too large, what is not built, what points where.
 * abi.c makes its checks of it, selftests/kvbm_table.c the tests of those.
 *
 * To be included once in a file, after <linux/kvbm.h>.
 */
#ifndef KVBM_ABI_TABLE_H
#define KVBM_ABI_TABLE_H

#include "abi_needs.h"

enum kvbm_abi_kind {
	KVBM_FIELD_FLAGS,	/* bits outside limit: EINVAL */
	KVBM_FIELD_ZERO,	/* not zero: EINVAL */
	KVBM_FIELD_NONZERO,	/* zero: EINVAL */
	KVBM_FIELD_MAX,		/* above limit: EINVAL */
	KVBM_FIELD_UNBUILT,	/* not zero: EOPNOTSUPP */
	KVBM_FIELD_IN,		/* user address of an array that is read */
	KVBM_FIELD_OUT,		/* user address of an array that is written */
};

/**
 * struct kvbm_abi_field - one rule about one member
 * @name: of the member
 * @kind: of the rule
 * @offset: of the member
 * @size: of the member, in bytes
 * @limit: see @kind
 * @count: IN, OUT: offset of the member that has the number of elements
 * @element: IN, OUT: bytes of one; 0 when it depends on the manager
 * @optional: IN, OUT: may be null
 */
struct kvbm_abi_field {
	const char *name;
	enum kvbm_abi_kind kind;
	unsigned int offset;
	unsigned int size;
	unsigned long long limit;
	unsigned int count;
	unsigned int element;
	int optional;
};

#define RULE_(type, member, rule)					\
	.name = #member,						\
	.kind = KVBM_FIELD_##rule,					\
	.offset = offsetof(type, member),				\
	.size = sizeof(((type *)0)->member)
#define RULE(type, member, rule, bound)					\
	{ RULE_(type, member, rule), .limit = bound }
#define ARRAY(type, member, rule, nr, bytes, may_be_null)		\
	{ RULE_(type, member, rule), .count = offsetof(type, nr),	\
	  .element = bytes, .optional = may_be_null }

#define TOKEN_BYTES	sizeof(struct kvbm_token)
#define HASH_BYTES	sizeof(struct kvbm_hash)

static const struct kvbm_abi_field info_fields[] = {
	RULE(struct kvbm_info, flags, FLAGS, 0),
};

static const struct kvbm_abi_field registry_create_fields[] = {
	RULE(struct kvbm_registry_create, flags, FLAGS, 0),
	RULE(struct kvbm_registry_create, schema, MAX, KVBM_SCHEMA_OPAQUE),
	RULE(struct kvbm_registry_create, mode, FLAGS, KVBM_MODE_MASK),
	RULE(struct kvbm_registry_create, reserved, ZERO, 0),
	RULE(struct kvbm_registry_create, capacity, NONZERO, 0),
	RULE(struct kvbm_registry_create, capacity, MAX, KVBM_MAX_BLOCKS),
	RULE(struct kvbm_registry_create, sketch_capacity, MAX, KVBM_MAX_BLOCKS),
};

static const struct kvbm_abi_field registry_query_fields[] = {
	RULE(struct kvbm_registry_query, flags, FLAGS, 0),
};

static const struct kvbm_abi_field registry_list_fields[] = {
	RULE(struct kvbm_list, flags, FLAGS, 0),
	RULE(struct kvbm_list, registry, ZERO, 0),
	RULE(struct kvbm_list, count, NONZERO, 0),
	RULE(struct kvbm_list, count, MAX, KVBM_MAX_BATCH),
	ARRAY(struct kvbm_list, ids, OUT, count, 8, 0),
};

static const struct kvbm_abi_field registry_destroy_fields[] = {
	RULE(struct kvbm_destroy, flags, FLAGS, 0),
	RULE(struct kvbm_destroy, id, NONZERO, 0),
};

static const struct kvbm_abi_field manager_create_fields[] = {
	RULE(struct kvbm_manager_create, flags, FLAGS,
	     KVBM_MANAGER_ANONYMOUS | KVBM_MANAGER_RESET_ON_RELEASE),
	RULE(struct kvbm_manager_create, registry, NONZERO, 0),
	RULE(struct kvbm_manager_create, tier, NONZERO, 0),
	RULE(struct kvbm_manager_create, tier, MAX, KVBM_TIER_G4),
	RULE(struct kvbm_manager_create, block_size, NONZERO, 0),
	RULE(struct kvbm_manager_create, block_size, MAX, KVBM_MAX_BLOCK_SIZE),
	RULE(struct kvbm_manager_create, block_count, NONZERO, 0),
	RULE(struct kvbm_manager_create, block_count, MAX, KVBM_MAX_BLOCKS),
	RULE(struct kvbm_manager_create, duplication, MAX, KVBM_DUP_REJECT),
	RULE(struct kvbm_manager_create, policy, MAX, KVBM_POLICY_LINEAGE_FIFO),
	RULE(struct kvbm_manager_create, aux_size, MAX, KVBM_MAX_AUX),
	RULE(struct kvbm_manager_create, mode, FLAGS, KVBM_MODE_MASK),
	RULE(struct kvbm_manager_create, bind_flags, FLAGS,
	     KVBM_BIND_READ | KVBM_BIND_WRITE | KVBM_BIND_OWNED),
	RULE(struct kvbm_manager_create, reserved, ZERO, 0),
	RULE(struct kvbm_manager_create, numa_node, UNBUILT, 0),
};

static const struct kvbm_abi_field manager_query_fields[] = {
	RULE(struct kvbm_manager_query, flags, FLAGS, 0),
};

static const struct kvbm_abi_field manager_list_fields[] = {
	RULE(struct kvbm_list, flags, FLAGS, 0),
	RULE(struct kvbm_list, count, NONZERO, 0),
	RULE(struct kvbm_list, count, MAX, KVBM_MAX_BATCH),
	ARRAY(struct kvbm_list, ids, OUT, count, 8, 0),
};

static const struct kvbm_abi_field manager_destroy_fields[] = {
	RULE(struct kvbm_destroy, flags, FLAGS, KVBM_DESTROY_FORCE),
	RULE(struct kvbm_destroy, id, NONZERO, 0),
};

static const struct kvbm_abi_field manager_stats_fields[] = {
	RULE(struct kvbm_manager_stats, flags, FLAGS, 0),
};

static const struct kvbm_abi_field manager_check_fields[] = {
	RULE(struct kvbm_manager_check, flags, FLAGS, 0),
};

static const struct kvbm_abi_field presence_fields[] = {
	RULE(struct kvbm_presence, flags, FLAGS, 0),
	RULE(struct kvbm_presence, count, MAX, KVBM_MAX_BATCH),
	RULE(struct kvbm_presence, nr_managers, MAX, KVBM_MAX_REGISTRY_MANAGERS),
	ARRAY(struct kvbm_presence, hashes, IN, count, HASH_BYTES, 0),
	ARRAY(struct kvbm_presence, managers, IN, nr_managers, 8, 0),
	ARRAY(struct kvbm_presence, out_masks, OUT, count, 8, 0),
};

static const struct kvbm_abi_field attach_fields[] = {
	RULE(struct kvbm_attach, flags, FLAGS, 0),
	RULE(struct kvbm_attach, type, NONZERO, 0),
	RULE(struct kvbm_attach, len, MAX, KVBM_MAX_ATTACHMENT),
	RULE(struct kvbm_attach, mode, MAX, KVBM_ATTACH_MULTIPLE),
	ARRAY(struct kvbm_attach, data, IN, len, 1, 0),
};

static const struct kvbm_abi_field attachments_fields[] = {
	RULE(struct kvbm_attachments, flags, FLAGS, 0),
	ARRAY(struct kvbm_attachments, buf, OUT, buf_size, 1, 0),
};

static const struct kvbm_abi_field frequency_fields[] = {
	RULE(struct kvbm_frequency, flags, FLAGS, KVBM_FREQUENCY_TOUCH),
	RULE(struct kvbm_frequency, count, MAX, KVBM_MAX_BATCH),
	RULE(struct kvbm_frequency, reserved, ZERO, 0),
	ARRAY(struct kvbm_frequency, hashes, IN, count, HASH_BYTES, 0),
	ARRAY(struct kvbm_frequency, out_counts, OUT, count, 1, 0),
};

static const struct kvbm_abi_field manager_dump_fields[] = {
	RULE(struct kvbm_manager_dump, flags, FLAGS, 0),
	RULE(struct kvbm_manager_dump, count, MAX, KVBM_MAX_BATCH),
	RULE(struct kvbm_manager_dump, reserved, ZERO, 0),
	ARRAY(struct kvbm_manager_dump, slots, OUT, count,
	      sizeof(struct kvbm_slot_info), 0),
};

static const struct kvbm_abi_field events_open_fields[] = {
	RULE(struct kvbm_events_open, flags, FLAGS, KVBM_EVENTS_NONBLOCK),
	RULE(struct kvbm_events_open, reserved, ZERO, 0),
};

static const struct kvbm_abi_field events_dump_fields[] = {
	RULE(struct kvbm_events_dump, flags, FLAGS, 0),
	RULE(struct kvbm_events_dump, bytes, MAX, KVBM_MAX_EVENT_BYTES),
	RULE(struct kvbm_events_dump, reserved, ZERO, 0),
	ARRAY(struct kvbm_events_dump, records, OUT, bytes, 1, 0),
};

static const struct kvbm_abi_field manager_sessions_fields[] = {
	RULE(struct kvbm_manager_sessions, flags, FLAGS, 0),
	RULE(struct kvbm_manager_sessions, count, MAX, KVBM_MAX_BATCH),
	ARRAY(struct kvbm_manager_sessions, sessions, OUT, count,
	      sizeof(struct kvbm_session_info), 0),
};

static const struct kvbm_abi_field bind_fields[] = {
	RULE(struct kvbm_bind, flags, FLAGS,
	     KVBM_BIND_READ | KVBM_BIND_WRITE | KVBM_BIND_OWNED),
	RULE(struct kvbm_bind, id, NONZERO, 0),
};

static const struct kvbm_abi_field session_open_fields[] = {
	RULE(struct kvbm_session_open, flags, FLAGS,
	     KVBM_BIND_READ | KVBM_BIND_WRITE | KVBM_BIND_OWNED),
	RULE(struct kvbm_session_open, reserved, ZERO, 0),
};

static const struct kvbm_abi_field allocate_fields[] = {
	RULE(struct kvbm_allocate, flags, FLAGS, 0),
	RULE(struct kvbm_allocate, count, MAX, KVBM_MAX_BATCH),
	ARRAY(struct kvbm_allocate, tokens, OUT, count, TOKEN_BYTES, 0),
	ARRAY(struct kvbm_allocate, evicted, OUT, count, HASH_BYTES, 1),
	ARRAY(struct kvbm_allocate, evicted_aux, OUT, count, 0, 1),
};

static const struct kvbm_abi_field acquire_fields[] = {
	RULE(struct kvbm_acquire, flags, FLAGS, 0),
	RULE(struct kvbm_acquire, count, MAX, KVBM_MAX_BATCH),
	RULE(struct kvbm_acquire, reserved, ZERO, 0),
	ARRAY(struct kvbm_acquire, hashes, IN, nr_hashes, HASH_BYTES, 0),
	ARRAY(struct kvbm_acquire, tokens, OUT, count, TOKEN_BYTES, 0),
	ARRAY(struct kvbm_acquire, evicted, OUT, count, HASH_BYTES, 1),
	ARRAY(struct kvbm_acquire, evicted_aux, OUT, count, 0, 1),
};

static const struct kvbm_abi_field stage_fields[] = {
	RULE(struct kvbm_stage, flags, FLAGS, 0),
	RULE(struct kvbm_stage, count, MAX, KVBM_MAX_BATCH),
	RULE(struct kvbm_stage, reserved, ZERO, 0),
	ARRAY(struct kvbm_stage, tokens, IN, count, TOKEN_BYTES, 0),
	ARRAY(struct kvbm_stage, hashes, IN, count, HASH_BYTES, 0),
	ARRAY(struct kvbm_stage, aux, IN, count, 0, 1),
};

static const struct kvbm_abi_field register_fields[] = {
	RULE(struct kvbm_register, flags, FLAGS, 0),
	RULE(struct kvbm_register, count, MAX, KVBM_MAX_BATCH),
	RULE(struct kvbm_register, priority, UNBUILT, 0),
	RULE(struct kvbm_register, ttl_ms, UNBUILT, 0),
	ARRAY(struct kvbm_register, tokens, IN, count, TOKEN_BYTES, 0),
	ARRAY(struct kvbm_register, out_tokens, OUT, count, TOKEN_BYTES, 0),
	ARRAY(struct kvbm_register, out_kinds, OUT, count, 1, 1),
};

static const struct kvbm_abi_field stage_register_fields[] = {
	RULE(struct kvbm_stage_register, flags, FLAGS, 0),
	RULE(struct kvbm_stage_register, count, MAX, KVBM_MAX_BATCH),
	RULE(struct kvbm_stage_register, next_count, MAX, KVBM_MAX_BATCH),
	RULE(struct kvbm_stage_register, priority, UNBUILT, 0),
	RULE(struct kvbm_stage_register, ttl_ms, UNBUILT, 0),
	ARRAY(struct kvbm_stage_register, tokens, IN, count, TOKEN_BYTES, 0),
	ARRAY(struct kvbm_stage_register, hashes, IN, count, HASH_BYTES, 0),
	ARRAY(struct kvbm_stage_register, aux, IN, count, 0, 1),
	ARRAY(struct kvbm_stage_register, out_tokens, OUT, count, TOKEN_BYTES, 0),
	ARRAY(struct kvbm_stage_register, out_kinds, OUT, count, 1, 1),
	ARRAY(struct kvbm_stage_register, next_tokens, OUT, next_count,
	      TOKEN_BYTES, 0),
	ARRAY(struct kvbm_stage_register, evicted, OUT, next_count, HASH_BYTES, 1),
	ARRAY(struct kvbm_stage_register, evicted_aux, OUT, next_count, 0, 1),
};

static const struct kvbm_abi_field match_fields[] = {
	RULE(struct kvbm_match, flags, FLAGS,
	     KVBM_MATCH_SCATTERED | KVBM_MATCH_SCAN | KVBM_MATCH_PROBE |
	     KVBM_MATCH_TOUCH),
	RULE(struct kvbm_match, count, MAX, KVBM_MAX_BATCH),
	ARRAY(struct kvbm_match, hashes, IN, count, HASH_BYTES, 0),
	ARRAY(struct kvbm_match, tokens, OUT, count, TOKEN_BYTES, 0),
};

static const struct kvbm_abi_field release_fields[] = {
	RULE(struct kvbm_release, flags, FLAGS, 0),
	RULE(struct kvbm_release, count, MAX, KVBM_MAX_BATCH),
	RULE(struct kvbm_release, hint, MAX, KVBM_HINT_RETURN),
	RULE(struct kvbm_release, hint_log2_ms, MAX, 40),
	ARRAY(struct kvbm_release, tokens, IN, count, TOKEN_BYTES, 0),
};

static const struct kvbm_abi_field tokens_fields[] = {
	RULE(struct kvbm_tokens, flags, FLAGS, 0),
	RULE(struct kvbm_tokens, count, MAX, KVBM_MAX_BATCH),
	ARRAY(struct kvbm_tokens, tokens, IN, count, TOKEN_BYTES, 0),
};

static const struct kvbm_abi_field set_reset_fields[] = {
	RULE(struct kvbm_tokens, flags, FLAGS, KVBM_RESET_ON_RELEASE),
	RULE(struct kvbm_tokens, count, MAX, KVBM_MAX_BATCH),
	ARRAY(struct kvbm_tokens, tokens, IN, count, TOKEN_BYTES, 0),
};

static const struct kvbm_abi_field upgrade_fields[] = {
	RULE(struct kvbm_upgrade, flags, FLAGS, 0),
	RULE(struct kvbm_upgrade, count, MAX, KVBM_MAX_BATCH),
	ARRAY(struct kvbm_upgrade, hashes, IN, count, HASH_BYTES, 0),
	ARRAY(struct kvbm_upgrade, tokens, IN, count, TOKEN_BYTES, 0),
	ARRAY(struct kvbm_upgrade, out_tokens, OUT, count, TOKEN_BYTES, 0),
};

static const struct kvbm_abi_field drain_fields[] = {
	RULE(struct kvbm_drain, flags, FLAGS, 0),
};

static const struct kvbm_abi_field holdings_fields[] = {
	RULE(struct kvbm_holdings, flags, FLAGS, 0),
	RULE(struct kvbm_holdings, count, MAX, KVBM_MAX_BATCH),
	ARRAY(struct kvbm_holdings, held, OUT, count, sizeof(struct kvbm_held), 0),
};

static const struct kvbm_abi_field set_threshold_fields[] = {
	RULE(struct kvbm_set_threshold, flags, FLAGS, 0),
	RULE(struct kvbm_set_threshold, reserved, ZERO, 0),
};

static const struct kvbm_abi_field pin_fields[] = {
	RULE(struct kvbm_pin_create, flags, FLAGS, KVBM_PIN_WRITE),
	RULE(struct kvbm_pin_create, count, NONZERO, 0),
	RULE(struct kvbm_pin_create, count, MAX, KVBM_MAX_BATCH),
	RULE(struct kvbm_pin_create, reserved, ZERO, 0),
	ARRAY(struct kvbm_pin_create, tokens, IN, count, TOKEN_BYTES, 0),
};

static const struct kvbm_abi_field pin_query_fields[] = {
	RULE(struct kvbm_pin_query, flags, FLAGS, 0),
	RULE(struct kvbm_pin_query, count, MAX, KVBM_MAX_BATCH),
	ARRAY(struct kvbm_pin_query, blocks, OUT, count, sizeof(struct kvbm_held), 0),
};

static const struct kvbm_abi_field quota_fields[] = {
	RULE(struct kvbm_quota, flags, FLAGS, KVBM_QUOTA_SET | KVBM_QUOTA_NEXT),
	RULE(struct kvbm_quota, kind, MAX, KVBM_QUOTA_CGROUP),
	RULE(struct kvbm_quota, reserved, ZERO, 0),
};

static const struct kvbm_abi_field epoch_fields[] = {
	RULE(struct kvbm_epoch, flags, FLAGS, KVBM_EPOCH_RAISE | KVBM_EPOCH_FORCE),
};

static const struct kvbm_abi_field backing_set_fields[] = {
	RULE(struct kvbm_backing_set, flags, FLAGS, 0),
	RULE(struct kvbm_backing_set, count, NONZERO, 0),
	RULE(struct kvbm_backing_set, count, MAX, KVBM_MAX_SEGMENTS),
	ARRAY(struct kvbm_backing_set, segments, IN, count,
	      sizeof(struct kvbm_segment), 0),
};

static const struct kvbm_abi_field backing_get_fields[] = {
	RULE(struct kvbm_backing_get, flags, FLAGS, KVBM_BACKING_FDS),
	RULE(struct kvbm_backing_get, count, MAX, KVBM_MAX_SEGMENTS),
	RULE(struct kvbm_backing_get, path_size, MAX, KVBM_PATH_SIZE),
	RULE(struct kvbm_backing_get, reserved, ZERO, 0),
	ARRAY(struct kvbm_backing_get, segments, OUT, count,
	      sizeof(struct kvbm_segment), 0),
	ARRAY(struct kvbm_backing_get, path, OUT, path_size, 1, 1),
};

#define NEED_NOTHING	0U
#define NEED_PIN	KVBM_ABI_PIN
#define NEED_MODIFY	KVBM_ABI_MODIFY
#define NEED_SESSION	KVBM_ABI_SESSION
#define NEED_READ	(KVBM_ABI_SESSION | KVBM_ABI_READ)
#define NEED_WRITE	(KVBM_ABI_SESSION | KVBM_ABI_WRITE)
#define NEED_BOTH	(NEED_READ | NEED_WRITE)

/*
 * CALL(number, structure, last member in the first version of the ABI, needs,
 * rules, check of what rules about single members cannot say, or none)
 */
#define KVBM_ABI_CALLS(CALL)						\
	CALL(INFO, struct kvbm_info, out_reserved, NEED_NOTHING,	\
	     info_fields, none)						\
	CALL(REGISTRY_CREATE, struct kvbm_registry_create,		\
	     sketch_capacity, NEED_MODIFY, registry_create_fields, check_registry_create) \
	CALL(REGISTRY_QUERY, struct kvbm_registry_query,		\
	     out_sketch_capacity, NEED_NOTHING, registry_query_fields, check_registry_query)	\
	CALL(REGISTRY_LIST, struct kvbm_list, out_count, NEED_NOTHING,	\
	     registry_list_fields, none)				\
	CALL(REGISTRY_DESTROY, struct kvbm_destroy, id, NEED_MODIFY,	\
	     registry_destroy_fields, none)				\
	CALL(ATTACH, struct kvbm_attach, mode, NEED_MODIFY, attach_fields, none) \
	CALL(ATTACHMENTS, struct kvbm_attachments, out_needed,		\
	     NEED_NOTHING, attachments_fields, none)			\
	CALL(FREQUENCY, struct kvbm_frequency, reserved, NEED_NOTHING,	\
	     frequency_fields, none)					\
	CALL(MANAGER_CREATE, struct kvbm_manager_create, out_id,	\
	     NEED_MODIFY, manager_create_fields, check_manager_create)	\
	CALL(MANAGER_QUERY, struct kvbm_manager_query, out_created_ns,	\
	     NEED_NOTHING, manager_query_fields, check_manager_query)	\
	CALL(MANAGER_LIST, struct kvbm_list, out_count, NEED_NOTHING,	\
	     manager_list_fields, none)					\
	CALL(MANAGER_DESTROY, struct kvbm_destroy, id, NEED_MODIFY,	\
	     manager_destroy_fields, none)				\
	CALL(MANAGER_STATS, struct kvbm_manager_stats, out,		\
	     NEED_NOTHING, manager_stats_fields, none)			\
	CALL(MANAGER_CHECK, struct kvbm_manager_check, out,		\
	     NEED_NOTHING, manager_check_fields, none)			\
	CALL(PRESENCE, struct kvbm_presence, nr_managers, NEED_NOTHING,	\
	     presence_fields, none)					\
	CALL(MANAGER_DUMP, struct kvbm_manager_dump, reserved,		\
	     NEED_NOTHING, manager_dump_fields, none)			\
	CALL(MANAGER_SESSIONS, struct kvbm_manager_sessions, out_count,	\
	     NEED_NOTHING, manager_sessions_fields, none)		\
	CALL(BIND, struct kvbm_bind, id, NEED_NOTHING, bind_fields,	\
	     check_bind)						\
	CALL(SESSION_OPEN, struct kvbm_session_open, reserved,		\
	     NEED_SESSION, session_open_fields, check_session_open)	\
	CALL(EVENTS_OPEN, struct kvbm_events_open, out_next,		\
	     NEED_NOTHING, events_open_fields, none)			\
	CALL(EVENTS_DUMP, struct kvbm_events_dump, out_last,		\
	     NEED_NOTHING, events_dump_fields, check_events_dump)	\
	CALL(ALLOCATE, struct kvbm_allocate, out_freed, NEED_WRITE,	\
	     allocate_fields, none)					\
	CALL(ACQUIRE, struct kvbm_acquire, out_freed, NEED_BOTH,	\
	     acquire_fields, check_acquire)				\
	CALL(STAGE, struct kvbm_stage, reserved, NEED_WRITE,		\
	     stage_fields, none)					\
	CALL(REGISTER, struct kvbm_register, ttl_ms, NEED_WRITE,	\
	     register_fields, none)					\
	CALL(STAGE_REGISTER, struct kvbm_stage_register, ttl_ms,	\
	     NEED_WRITE, stage_register_fields, none)			\
	CALL(MATCH, struct kvbm_match, tokens, NEED_READ, match_fields,	\
	     check_match)						\
	CALL(RELEASE, struct kvbm_release, hint_log2_ms, NEED_SESSION,	\
	     release_fields, check_release)				\
	CALL(UNSTAGE, struct kvbm_tokens, tokens, NEED_WRITE,		\
	     tokens_fields, none)					\
	CALL(CLONE, struct kvbm_tokens, tokens, NEED_READ,		\
	     tokens_fields, none)					\
	CALL(UPGRADE, struct kvbm_upgrade, out_tokens, NEED_READ,	\
	     upgrade_fields, none)					\
	CALL(SET_RESET, struct kvbm_tokens, tokens, NEED_WRITE,		\
	     set_reset_fields, none)					\
	CALL(DRAIN, struct kvbm_drain, out_in_use, NEED_WRITE,		\
	     drain_fields, none)					\
	CALL(HOLDINGS, struct kvbm_holdings, out_total, NEED_SESSION,	\
	     holdings_fields, none)					\
	CALL(SET_THRESHOLD, struct kvbm_set_threshold, reserved,	\
	     NEED_WRITE, set_threshold_fields, none)			\
	CALL(PIN, struct kvbm_pin_create, reserved, NEED_SESSION,	\
	     pin_fields, none)						\
	CALL(PIN_QUERY, struct kvbm_pin_query, out_alive, NEED_PIN,	\
	     pin_query_fields, none)					\
	CALL(QUOTA, struct kvbm_quota, out_held, NEED_NOTHING,		\
	     quota_fields, check_quota)					\
	CALL(EPOCH, struct kvbm_epoch, out_session, NEED_NOTHING,	\
	     epoch_fields, check_epoch)					\
	CALL(BACKING_SET, struct kvbm_backing_set, out_failed,		\
	     NEED_MODIFY, backing_set_fields, none)			\
	CALL(BACKING_GET, struct kvbm_backing_get, reserved,		\
	     NEED_NOTHING, backing_get_fields, check_backing_get)

#endif /* KVBM_ABI_TABLE_H */
