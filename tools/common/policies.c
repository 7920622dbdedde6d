// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <errno.h>
#include <stdlib.h>

#include <kvbm/kvbm.h>

#include "policies.h"
#include "say.h"

char *policy_names(uint64_t built)
{
	const char *name;
	size_t size;
	char *text;
	FILE *f;
	uint32_t i, n = 0;

	f = open_memstream(&text, &size);
	if (!f)
		return NULL;
	for (i = 0; i < 64; i++) {
		if (!(built >> i & 1))
			continue;
		name = kvbm_policy_name(i);
		if (n++)
			fputs(", ", f);
		if (name)
			fputs(name, f);
		else
			fprintf(f, "policy %u", i);
	}
	return fclose(f) ? NULL : text;
}

int policy_lookup(struct kvbm *kvbm, const char *name)
{
	struct kvbm_info info;
	char *names;
	int policy, err;

	err = kvbm_info(kvbm, &info);
	if (err)
		return say_err(err, "policies");
	policy = kvbm_policy_from_name(name);
	if (policy >= 0 && policy < 64 && info.out_policies >> policy & 1)
		return policy;
	names = policy_names(info.out_policies);
	say("%s policy '%s'; there is: %s", policy < 0 ? "unknown" : "this build has no",
	    name, names ? names : "?");
	free(names);
	return policy < 0 ? -EINVAL : -EOPNOTSUPP;
}
