// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Numbers of the ABI in words.
 */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>

#include "ctl.h"
#include "output.h"

const char *full_name(const struct kvbm_registry_query *r,
		      const struct kvbm_manager_query *m)
{
	static char name[2 * KVBM_NAME_SIZE];

	if (m->name[0])
		snprintf(name, sizeof(name), "%s:%s", r->name, m->name);
	else
		snprintf(name, sizeof(name), "%s:#%llu", r->name,
			 (unsigned long long)m->id);
	return name;
}

const char *age_word(uint64_t ns)
{
	static char word[24];
	double s = ns / 1e9;

	if (!ns)
		return "-";
	if (s < 10)
		snprintf(word, sizeof(word), "%.1f s", s);
	else if (s < 300)
		snprintf(word, sizeof(word), "%.0f s", s);
	else if (s < 3 * 3600)
		snprintf(word, sizeof(word), "%.0f min", s / 60);
	else if (s < 2 * 86400)
		snprintf(word, sizeof(word), "%.0f h", s / 3600);
	else
		snprintf(word, sizeof(word), "%.0f d", s / 86400);
	return word;
}

static const char *or_unknown(const char *word)
{
	return word ? word : "?";
}

const char *schema_word(uint32_t schema)
{
	switch (schema) {
	case KVBM_SCHEMA_PLH:
		return "plh";
	case KVBM_SCHEMA_OPAQUE:
		return "opaque";
	default:
		return "?";
	}
}

const char *duplication_word(uint32_t duplication)
{
	switch (duplication) {
	case KVBM_DUP_ALLOW:
		return "allow";
	case KVBM_DUP_REJECT:
		return "reject";
	default:
		return "?";
	}
}

const char *tier_word(uint32_t tier)
{
	return or_unknown(kvbm_tier_name(tier));
}

const char *policy_word(uint32_t policy)
{
	return or_unknown(kvbm_policy_name(policy));
}

const char *user_word(uint32_t uid)
{
	static char number[16];
	const struct passwd *user = getpwuid(uid);

	snprintf(number, sizeof(number), "%u", uid);
	return user ? user->pw_name : number;
}

const char *group_word(uint32_t gid)
{
	static char number[16];
	const struct group *group = getgrgid(gid);

	snprintf(number, sizeof(number), "%u", gid);
	return group ? group->gr_name : number;
}

const char *comm_word(const struct kvbm_session_info *session)
{
	static char word[KVBM_COMM_SIZE + 1];
	size_t i;

	snprintf(word, sizeof(word), "%.*s", KVBM_COMM_SIZE, session->comm);
	for (i = 0; word[i]; i++)
		if (word[i] < ' ' || word[i] > '~')
			word[i] = '?';
	return word;
}

void rights_json(json_t *json, uint32_t uid, uint32_t gid, uint32_t mode)
{
	char text[8];

	snprintf(text, sizeof(text), "%04o", mode & KVBM_MODE_MASK);
	set_number(json, "uid", uid);
	set_number(json, "gid", gid);
	set_word(json, "mode", text);
}
