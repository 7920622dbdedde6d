// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The table of policies.
 */
#include "eviction.h"

static const struct kvbm_eviction_ops *const policies[] = {
	[KVBM_POLICY_FIFO] = &kvbm_eviction_fifo,
	[KVBM_POLICY_LRU] = &kvbm_eviction_lru,
	[KVBM_POLICY_MULTI_LRU] = &kvbm_eviction_multi_lru,
	[KVBM_POLICY_LINEAGE_TICK] = &kvbm_eviction_lineage_tick,
	[KVBM_POLICY_LINEAGE_FIFO] = &kvbm_eviction_lineage_fifo,
};

/* For a policy without parameters. */
int kvbm_eviction_no_args(u32 args[4])
{
	return args[0] || args[1] || args[2] || args[3] ? -EINVAL : 0;
}

u32 kvbm_eviction_default(u32 schema)
{
	return schema == KVBM_SCHEMA_PLH ? KVBM_POLICY_LINEAGE_TICK : KVBM_POLICY_LRU;
}

const struct kvbm_eviction_ops *kvbm_eviction_find(u32 policy)
{
	return policy < ARRAY_SIZE(policies) ? policies[policy] : NULL;
}

u64 kvbm_eviction_mask(void)
{
	u64 mask = 1ULL << KVBM_POLICY_DEFAULT;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(policies); i++)
		if (policies[i])
			mask |= 1ULL << i;
	return mask;
}
