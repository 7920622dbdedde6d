// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

struct message *message_new(unsigned int n, const struct frame *frames)
{
	struct message *message;
	size_t bytes = 0;
	unsigned int i;
	char *to;

	for (i = 0; i < n; i++)
		bytes += frames[i].len;
	/* A zero after each: a subject is a string, too. */
	message = malloc(sizeof(*message) + bytes + n);
	if (!message)
		return NULL;
	message->next = NULL;
	message->bytes = bytes;
	message->n = n;
	to = (char *)(message + 1);
	for (i = 0; i < n; i++) {
		message->frames[i].data = to;
		message->frames[i].len = frames[i].len;
		if (frames[i].len)
			memcpy(to, frames[i].data, frames[i].len);
		to[frames[i].len] = 0;
		to += frames[i].len + 1;
	}
	return message;
}

const char *endpoint_word(const char *endpoint)
{
	static char word[256];
	const char *host = strstr(endpoint, "://"), *at = strrchr(endpoint, '@');

	if (!host || !at || at < host)
		return endpoint;
	snprintf(word, sizeof(word), "%.*s://%s", (int)(host - endpoint), endpoint, at + 1);
	return word;
}
