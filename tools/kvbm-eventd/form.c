// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <errno.h>
#include <string.h>

#include "form.h"

static const struct {
	const char *name;
	bool tiers, cleared;
} forms[NR_FORMS] = {
	[FORM_KVBM] = { "kvbm", false, false },
	[FORM_VLLM] = { "vllm", true, true },
	[FORM_DYNAMO] = { "dynamo", true, true },
};

const char *form_name(enum form form)
{
	return forms[form].name;
}

bool form_has_tiers(enum form form)
{
	return forms[form].tiers;
}

bool form_has_cleared(enum form form)
{
	return forms[form].cleared;
}

int form_accepts(enum form form, const struct block_event *event)
{
	struct block_names names;
	int err;

	if (form == FORM_KVBM)
		return 0;
	err = block_names(event, &names);
	if (err)
		return err;
	if (form == FORM_VLLM)
		return names.tokens ? 0 : -ENODATA;
	return names.has_local ? 0 : -ENODATA;
}

void pack_word(msgpack_packer *pk, const char *word)
{
	size_t len = strlen(word);

	msgpack_pack_str(pk, len);
	msgpack_pack_str_body(pk, word, len);
}

void pack_bin(msgpack_packer *pk, const void *data, size_t len)
{
	msgpack_pack_bin(pk, len);
	msgpack_pack_bin_body(pk, data, len);
}

void put_be64(unsigned char out[8], uint64_t value)
{
	int i;

	for (i = 7; i >= 0; i--, value >>= 8)
		out[i] = value;
}
