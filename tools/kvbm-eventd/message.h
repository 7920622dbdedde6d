/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * A message, and the ways out of the program.
 */
#ifndef EVENTD_MESSAGE_H
#define EVENTD_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_FRAMES	4

struct frame {
	const void *data;
	size_t len;
};

/* The first frame is the subject or topic, the last one the payload. */
struct message {
	struct message *next;
	size_t bytes;
	unsigned int n;
	struct frame frames[MAX_FRAMES];
};

/* Copies; to be free()d. NULL for lack of memory. */
struct message *message_new(unsigned int n, const struct frame *frames);

struct transport_counters {
	uint64_t messages;	/* handed over */
	uint64_t bytes;
	uint64_t refused;	/* queue full */
	uint64_t failed;	/* lost, and said to be */
	uint64_t connects;
	uint64_t losses;	/* of the connection */
	uint64_t queued;	/* not acknowledged yet */
};

struct transport {
	const struct transport_ops *ops;
	bool nats;		/* subject and payload; else ZeroMQ's frames */
};

/**
 * struct transport_ops - a way out
 * @send: takes @message over in any case. 0; -ENOBUFS when there is no room: then
 *	nothing was sent. Does not wait
 * @settled: whether there is a connection, and all before has been delivered, as
 *	far as this can be known
 * @fd: readable when @settled may have changed; -1 if it never does
 * @ack: makes @fd unreadable
 * @flush: waits until all is delivered, but not longer
 * @counters: as of now
 * @close: the end; NULL is not allowed
 */
struct transport_ops {
	int (*send)(struct transport *t, struct message *message);
	bool (*settled)(struct transport *t);
	int (*fd)(struct transport *t);
	void (*ack)(struct transport *t);
	int (*flush)(struct transport *t, int timeout_ms);
	void (*counters)(struct transport *t, struct transport_counters *out);
	void (*close)(struct transport *t);
};

/* How a NATS connection is made, and what it may queue. */
struct nats_setup {
	const char *url;
	const char *credentials;	/* a file, or NULL */
	size_t max_bytes;		/* in the queue */
};

/* 0, or -errno after a message. The server need not be there (yet). */
int nats_open(const struct nats_setup *setup, struct transport **out);

/*
 * @endpoint: bound if it begins with '@', has a wildcard, or is of a scheme that
 * only makes sense so; else, or if it begins with '>', connected.
 * @max_messages: that wait for one subscriber
 */
int zmq_pub_open(void *context, const char *endpoint, int max_messages,
		 struct transport **out);
int zmq_attach(void *socket, const char *endpoint);

/* One line of JSON for each message, to stdout. @output: its name in there. */
int print_open(const char *output, const char *registry, struct transport **out);

/* For people: without user and password. Static memory, until the next call. */
const char *endpoint_word(const char *endpoint);

#endif
