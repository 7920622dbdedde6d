// SPDX-License-Identifier: GPL-2.0
/*
 * One of each structure of the ABI, for their layout in the debug information.
 * check.sh knows if one is missing here. Also compiled as C++.
 */
#include <linux/kvbm.h>

struct kvbm_hash hash;
struct kvbm_token token;
struct kvbm_counters counters;
struct kvbm_held held;
struct kvbm_check_result check_result;
struct kvbm_slot_info slot_info;
struct kvbm_event_record event_record;
struct kvbm_event_stats event_stats;
struct kvbm_session_info session_info;

struct kvbm_info info;
struct kvbm_registry_create registry_create;
struct kvbm_registry_query registry_query;
struct kvbm_list list;
struct kvbm_destroy destroy;
struct kvbm_manager_create manager_create;
struct kvbm_manager_query manager_query;
struct kvbm_manager_stats manager_stats;
struct kvbm_manager_check manager_check;
struct kvbm_presence presence;
struct kvbm_attachment attachment;
struct kvbm_attach attach;
struct kvbm_attachments attachments;
struct kvbm_frequency frequency;
struct kvbm_manager_dump manager_dump;
struct kvbm_events_open events_open;
struct kvbm_events_dump events_dump;
struct kvbm_manager_sessions manager_sessions;
struct kvbm_bind bind_args;
struct kvbm_session_open session_open;
struct kvbm_allocate allocate;
struct kvbm_acquire acquire;
struct kvbm_stage stage;
struct kvbm_register register_args;
struct kvbm_stage_register stage_register;
struct kvbm_match match;
struct kvbm_release release;
struct kvbm_tokens tokens;
struct kvbm_upgrade upgrade;
struct kvbm_drain drain;
struct kvbm_holdings holdings;
struct kvbm_set_threshold set_threshold;
struct kvbm_pin_create pin_create;
struct kvbm_pin_query pin_query;
struct kvbm_quota quota;
struct kvbm_epoch epoch;
struct kvbm_segment segment;
struct kvbm_backing_set backing_set;
struct kvbm_backing_get backing_get;
