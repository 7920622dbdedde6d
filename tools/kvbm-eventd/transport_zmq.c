// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * ZeroMQ PUB sockets. Such a socket never waits: a subscriber that does not keep
 * up misses messages, sees that by their sequence, and asks for them again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "message.h"
#include "say.h"

/* Connected: how long until the next try, doubled up to ... */
#define RETRY_MS	100
#define RETRY_MAX_MS	5000

struct zmq_pub {
	struct transport base;
	void *socket;
	struct transport_counters counters;
};

static int pub_send(struct transport *t, struct message *message)
{
	struct zmq_pub *pub = (struct zmq_pub *)t;
	unsigned int i;

	for (i = 0; i < message->n; i++) {
		int flags = ZMQ_DONTWAIT | (i + 1 < message->n ? ZMQ_SNDMORE : 0);

		if (zmq_send(pub->socket, message->frames[i].data,
			     message->frames[i].len, flags) < 0) {
			/* Only for lack of memory. The sequence shows the hole. */
			pub->counters.failed++;
			break;
		}
	}
	pub->counters.messages++;
	pub->counters.bytes += message->bytes;
	free(message);
	return 0;
}

static bool pub_settled(struct transport *t)
{
	(void)t;
	return true;
}

static int pub_fd(struct transport *t)
{
	(void)t;
	return -1;
}

static void pub_ack(struct transport *t)
{
	(void)t;
}

/* Closing the socket does it, within its linger time. */
static int pub_flush(struct transport *t, int timeout_ms)
{
	struct zmq_pub *pub = (struct zmq_pub *)t;

	zmq_setsockopt(pub->socket, ZMQ_LINGER, &timeout_ms, sizeof(timeout_ms));
	return 0;
}

static void pub_counters(struct transport *t, struct transport_counters *out)
{
	*out = ((struct zmq_pub *)t)->counters;
}

static void pub_close(struct transport *t)
{
	struct zmq_pub *pub = (struct zmq_pub *)t;

	zmq_close(pub->socket);
	free(pub);
}

static const struct transport_ops pub_ops = {
	.send = pub_send,
	.settled = pub_settled,
	.fd = pub_fd,
	.ack = pub_ack,
	.flush = pub_flush,
	.counters = pub_counters,
	.close = pub_close,
};

static bool binds(const char *endpoint)
{
	return strchr(endpoint, '*') || strstr(endpoint, "::") ||
	       !strncmp(endpoint, "ipc://", 6) || !strncmp(endpoint, "inproc://", 9);
}

int zmq_attach(void *socket, const char *endpoint)
{
	const char *address = endpoint + (*endpoint == '@' || *endpoint == '>');
	bool bind = *endpoint == '@' || (*endpoint != '>' && binds(endpoint));
	int retry = RETRY_MS, retry_max = RETRY_MAX_MS, linger = 0;

	zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof(linger));
	zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &retry, sizeof(retry));
	zmq_setsockopt(socket, ZMQ_RECONNECT_IVL_MAX, &retry_max, sizeof(retry_max));
	if (!(bind ? zmq_bind(socket, address) : zmq_connect(socket, address)))
		return 0;
	say("cannot %s %s: %s", bind ? "bind" : "connect to", address, zmq_strerror(errno));
	return -errno;
}

int zmq_pub_open(void *context, const char *endpoint, int max_messages,
		 struct transport **out)
{
	struct zmq_pub *pub = calloc(1, sizeof(*pub));
	int err;

	if (!pub)
		return say_err(-ENOMEM, "%s", endpoint);
	pub->base.ops = &pub_ops;
	pub->socket = zmq_socket(context, ZMQ_PUB);
	if (!pub->socket) {
		err = say_err(-errno, "%s", endpoint);
		goto out_free;
	}
	zmq_setsockopt(pub->socket, ZMQ_SNDHWM, &max_messages, sizeof(max_messages));
	err = zmq_attach(pub->socket, endpoint);
	if (err)
		goto out_close;
	*out = &pub->base;
	return 0;

out_close:
	zmq_close(pub->socket);
out_free:
	free(pub);
	return err;
}
