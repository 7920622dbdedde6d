// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The table of policies.
 */
#include "eviction.h"

static const struct kvbm_eviction_ops *const policies[] = {
	[KVBM_POLICY_LRU] = &kvbm_eviction_lru,
};

const struct kvbm_eviction_ops *kvbm_eviction_find(u32 policy)
{
	if (policy == KVBM_POLICY_DEFAULT)
		policy = KVBM_EVICTION_DEFAULT;
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
