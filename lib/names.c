// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Numbers of the ABI as words.
 */
#include <strings.h>

#include <kvbm/kvbm.h>

#include "engine/env.h"

static const char *const policies[] = {
	[KVBM_POLICY_DEFAULT] = "default",
	[KVBM_POLICY_FIFO] = "fifo",
	[KVBM_POLICY_LRU] = "lru",
	[KVBM_POLICY_MULTI_LRU] = "multi-lru",
	[KVBM_POLICY_LINEAGE_TICK] = "lineage-tick",
	[KVBM_POLICY_LINEAGE_FIFO] = "lineage-fifo",
};

static const char *const tiers[] = {
	[KVBM_TIER_G1] = "G1",
	[KVBM_TIER_G2] = "G2",
	[KVBM_TIER_G3] = "G3",
	[KVBM_TIER_G4] = "G4",
};

static const char *const states[KVBM_NR_STATES] = {
	[KVBM_STATE_RESET] = "reset",
	[KVBM_STATE_MUTABLE] = "mutable",
	[KVBM_STATE_STAGED] = "staged",
	[KVBM_STATE_PRIMARY] = "primary",
	[KVBM_STATE_DUPLICATE] = "duplicate",
	[KVBM_STATE_INACTIVE] = "inactive",
};

static const char *const checks[] = {
	[KVBM_CHECK_OK] = "ok",
	[KVBM_CHECK_BAD_STATE] = "bad-state",
	[KVBM_CHECK_BAD_REFS] = "bad-refs",
	[KVBM_CHECK_BAD_INDEX] = "bad-index",
	[KVBM_CHECK_BAD_POOL] = "bad-pool",
	[KVBM_CHECK_BAD_PRIMARY] = "bad-primary",
	[KVBM_CHECK_BAD_PRESENCE] = "bad-presence",
	[KVBM_CHECK_BAD_COUNT] = "bad-count",
	[KVBM_CHECK_BAD_GENERATION] = "bad-generation",
};

static const char *name_of(const char *const *names, u32 n, u32 i)
{
	return i < n ? names[i] : NULL;
}

static int from_name(const char *const *names, u32 n, const char *name)
{
	u32 i;

	for (i = 0; i < n; i++)
		if (names[i] && !strcasecmp(names[i], name))
			return i;
	return -EINVAL;
}

const char *kvbm_policy_name(uint32_t policy)
{
	return name_of(policies, ARRAY_SIZE(policies), policy);
}

const char *kvbm_tier_name(uint32_t tier)
{
	return name_of(tiers, ARRAY_SIZE(tiers), tier);
}

const char *kvbm_state_name(uint32_t state)
{
	return name_of(states, ARRAY_SIZE(states), state);
}

const char *kvbm_check_name(uint32_t error)
{
	return name_of(checks, ARRAY_SIZE(checks), error);
}

int kvbm_policy_from_name(const char *name)
{
	return from_name(policies, ARRAY_SIZE(policies), name);
}

int kvbm_tier_from_name(const char *name)
{
	return from_name(tiers, ARRAY_SIZE(tiers), name);
}
