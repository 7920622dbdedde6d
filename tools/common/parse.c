// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kvbm/kvbm.h>

#include "parse.h"

static const struct {
	const char *suffix;
	uint64_t factor;
} units[] = {
	{ "", 1 },
	{ "k", 1000 }, { "M", 1000000 }, { "G", 1000000000 },
	{ "Ki", 1ULL << 10 }, { "Mi", 1ULL << 20 }, { "Gi", 1ULL << 30 },
};

static uint64_t factor_of(const char *suffix)
{
	size_t i;

	for (i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (!strcmp(units[i].suffix, suffix))
			return units[i].factor;
	return 0;
}

int parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	unsigned long long value;
	uint64_t factor;
	char *end;

	/* strtoull() takes signs and blanks. */
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	factor = factor_of(end);
	if (!factor)
		return -EINVAL;
	if (errno || value > UINT64_MAX / factor)
		return -ERANGE;
	*out = value * factor;
	return *out < min || *out > max ? -ERANGE : 0;
}

int parse_mode(const char *text, uint32_t *out)
{
	unsigned long value;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	value = strtoul(text, &end, 8);
	if (*end || value & ~(unsigned long)KVBM_MODE_MASK)
		return -EINVAL;
	*out = value;
	return 0;
}

int parse_list(const char *text, int (*add)(const char *word, void *data),
	       void *data)
{
	char *copy = strdup(text), *rest = copy, *word;
	int err = 0;

	if (!copy)
		return -ENOMEM;
	while (!err && (word = strsep(&rest, ",")))
		err = add(word, data);
	free(copy);
	return err;
}
