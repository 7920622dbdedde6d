/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints: every transition of every block, and what dead sessions held.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kvbm

#if !defined(KVBM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define KVBM_TRACE_H

#include <linux/kvbm_types.h>
#include <linux/tracepoint.h>

#define kvbm_show_state(state)					\
	__print_symbolic(state,					\
			 { KVBM_STATE_RESET, "reset" },		\
			 { KVBM_STATE_MUTABLE, "mutable" },	\
			 { KVBM_STATE_STAGED, "staged" },	\
			 { KVBM_STATE_PRIMARY, "primary" },	\
			 { KVBM_STATE_DUPLICATE, "duplicate" },	\
			 { KVBM_STATE_INACTIVE, "inactive" })

TRACE_EVENT(kvbm_transition,
	TP_PROTO(u64 manager, u32 block, u32 gen, u8 from, u8 to,
		 const struct kvbm_hash *hash),
	TP_ARGS(manager, block, gen, from, to, hash),
	TP_STRUCT__entry(
		__field(u64, manager)
		__field(u64, hash_hi)
		__field(u64, hash_lo)
		__field(u32, block)
		__field(u32, gen)
		__field(u8, from)
		__field(u8, to)
	),
	TP_fast_assign(
		__entry->manager = manager;
		__entry->hash_hi = hash->hi;
		__entry->hash_lo = hash->lo;
		__entry->block = block;
		__entry->gen = gen;
		__entry->from = from;
		__entry->to = to;
	),
	TP_printk("manager=%llu block=%u gen=%u %s->%s hash=%016llx%016llx",
		  __entry->manager, __entry->block, __entry->gen,
		  kvbm_show_state(__entry->from), kvbm_show_state(__entry->to),
		  __entry->hash_hi, __entry->hash_lo)
);

TRACE_EVENT(kvbm_reclaim,
	TP_PROTO(u64 manager, u64 mutable, u64 staged, u64 immutable, u64 ns),
	TP_ARGS(manager, mutable, staged, immutable, ns),
	TP_STRUCT__entry(
		__field(u64, manager)
		__field(u64, mutable)
		__field(u64, staged)
		__field(u64, immutable)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->manager = manager;
		__entry->mutable = mutable;
		__entry->staged = staged;
		__entry->immutable = immutable;
		__entry->ns = ns;
	),
	TP_printk("manager=%llu mutable=%llu staged=%llu immutable=%llu ns=%llu",
		  __entry->manager, __entry->mutable, __entry->staged,
		  __entry->immutable, __entry->ns)
);

#endif /* KVBM_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
