// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A dry run: the messages, taken apart again, as lines of JSON.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "form.h"
#include "message.h"
#include "say.h"

struct print {
	struct transport base;
	const char *output;
	const char *registry;
	struct transport_counters counters;
};

static void print_string(FILE *f, const char *data, size_t len)
{
	json_t *string = json_stringn(data, len);

	/* Not UTF-8: there is nothing better to show. */
	if (!string || json_dumpf(string, f, JSON_ENCODE_ANY))
		fputs("null", f);
	json_decref(string);
}

static void print_hex(FILE *f, const void *data, size_t len)
{
	const unsigned char *byte = data;

	putc('"', f);
	while (len--)
		fprintf(f, "%02x", *byte++);
	putc('"', f);
}

static void print_object(FILE *f, const msgpack_object *o)
{
	uint32_t i;

	switch (o->type) {
	case MSGPACK_OBJECT_BOOLEAN:
		fputs(o->via.boolean ? "true" : "false", f);
		break;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		fprintf(f, "%" PRIu64, o->via.u64);
		break;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		fprintf(f, "%" PRId64, o->via.i64);
		break;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		fprintf(f, "%.6f", o->via.f64);
		break;
	case MSGPACK_OBJECT_STR:
		print_string(f, o->via.str.ptr, o->via.str.size);
		break;
	case MSGPACK_OBJECT_BIN:
		print_hex(f, o->via.bin.ptr, o->via.bin.size);
		break;
	case MSGPACK_OBJECT_ARRAY:
		putc('[', f);
		for (i = 0; i < o->via.array.size; i++) {
			if (i)
				fputs(", ", f);
			print_object(f, &o->via.array.ptr[i]);
		}
		putc(']', f);
		break;
	case MSGPACK_OBJECT_MAP:
		putc('{', f);
		for (i = 0; i < o->via.map.size; i++) {
			if (i)
				fputs(", ", f);
			print_object(f, &o->via.map.ptr[i].key);
			fputs(": ", f);
			print_object(f, &o->via.map.ptr[i].val);
		}
		putc('}', f);
		break;
	default:
		fputs("null", f);
	}
}

static void print_packed(FILE *f, const char *data, size_t len)
{
	msgpack_unpacked unpacked;

	msgpack_unpacked_init(&unpacked);
	if (msgpack_unpack_next(&unpacked, data, len, NULL) == MSGPACK_UNPACK_SUCCESS)
		print_object(f, &unpacked.data);
	else
		fputs("null", f);
	msgpack_unpacked_destroy(&unpacked);
}

/* A Dynamo payload is packed itself, inside of the envelope. */
static void print_envelope(FILE *f, const char *data, size_t len)
{
	msgpack_unpacked unpacked;
	const msgpack_object *o;
	uint32_t i;

	msgpack_unpacked_init(&unpacked);
	if (msgpack_unpack_next(&unpacked, data, len, NULL) != MSGPACK_UNPACK_SUCCESS ||
	    unpacked.data.type != MSGPACK_OBJECT_MAP)
		goto out;
	o = &unpacked.data;
	for (i = 0; i < o->via.map.size; i++) {
		print_object(f, &o->via.map.ptr[i].key);
		fputs(": ", f);
		if (o->via.map.ptr[i].val.type == MSGPACK_OBJECT_BIN)
			print_packed(f, o->via.map.ptr[i].val.via.bin.ptr,
				     o->via.map.ptr[i].val.via.bin.size);
		else
			print_object(f, &o->via.map.ptr[i].val);
		if (i + 1 < o->via.map.size)
			fputs(", ", f);
	}
out:
	msgpack_unpacked_destroy(&unpacked);
}

static uint64_t get_be64(const void *data)
{
	const unsigned char *byte = data;
	uint64_t value = 0;
	int i;

	for (i = 0; i < 8; i++)
		value = value << 8 | byte[i];
	return value;
}

static int print_send(struct transport *t, struct message *message)
{
	struct print *print = (struct print *)t;
	const struct frame *subject = &message->frames[0];
	const struct frame *payload = &message->frames[message->n - 1];

	printf("{\"output\": \"%s\", \"registry\": ", print->output);
	print_string(stdout, print->registry, strlen(print->registry));
	printf(", \"subject\": ");
	print_string(stdout, subject->data, subject->len);
	printf(", ");
	if (!strcmp(print->output, form_name(FORM_DYNAMO))) {
		print_envelope(stdout, (const char *)payload->data + DYNAMO_FRAME_HEAD,
			       payload->len - DYNAMO_FRAME_HEAD);
	} else {
		if (message->n == 3)
			printf("\"sequence\": %" PRIu64 ", ",
			       get_be64(message->frames[1].data));
		printf("\"payload\": ");
		print_packed(stdout, payload->data, payload->len);
	}
	printf("}\n");
	print->counters.messages++;
	print->counters.bytes += message->bytes;
	free(message);
	/* A pipe has to see them as they come. */
	if (fflush(stdout)) {
		print->counters.failed++;
		return -EPIPE;
	}
	return 0;
}

static bool print_settled(struct transport *t)
{
	(void)t;
	return !ferror(stdout);
}

static int print_fd(struct transport *t)
{
	(void)t;
	return -1;
}

static void print_ack(struct transport *t)
{
	(void)t;
}

static int print_flush(struct transport *t, int timeout_ms)
{
	(void)t;
	(void)timeout_ms;
	return 0;
}

static void print_counters(struct transport *t, struct transport_counters *out)
{
	*out = ((struct print *)t)->counters;
}

static void print_close(struct transport *t)
{
	free(t);
}

static const struct transport_ops print_ops = {
	.send = print_send,
	.settled = print_settled,
	.fd = print_fd,
	.ack = print_ack,
	.flush = print_flush,
	.counters = print_counters,
	.close = print_close,
};

int print_open(const char *output, const char *registry, struct transport **out)
{
	struct print *print = calloc(1, sizeof(*print));

	if (!print)
		return say_err(-ENOMEM, "%s", output);
	print->base.ops = &print_ops;
	print->output = output;
	print->registry = registry;
	*out = &print->base;
	return 0;
}
