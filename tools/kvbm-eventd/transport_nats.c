// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * NATS, from a thread of its own: the library waits when the server does.
 *
 * A message stays in the queue until the server has acknowledged it, which it
 * does for all that came before a PING. After the connection is lost, what was
 * not acknowledged is sent again, in order: consumers may see events twice, which
 * changes nothing for them. The queue is bounded; when it is full, messages are
 * refused, and whoever sends them has to make up for them later.
 */
#include <errno.h>
#include <nats/nats.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "message.h"
#include "say.h"

#define CONNECT_TIMEOUT_MS	2000
#define ACK_TIMEOUT_MS		5000
/* Until the next try, doubled after each that fails. */
#define RETRY_MS		100
#define RETRY_MAX_MS		5000
/* So many are sent before the server is asked whether it has them. */
#define MAX_UNACKED		256
/* How soon a loss is noticed while there is nothing to send. */
#define IDLE_MS			1000

struct nats {
	struct transport base;
	char *url;
	size_t max_bytes;
	natsOptions *options;
	natsConnection *connection;	/* the thread's */
	int event;			/* eventfd: the queue went empty, or a connection is new */
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t work;		/* something was queued, or @stop */
	pthread_cond_t drained;		/* the queue is empty */
	/* All below is under the lock. */
	struct message *head, **tail;
	struct message *unsent;		/* from here on; those before wait for the PONG */
	size_t queued_bytes;
	bool connected;
	bool stop;
	struct transport_counters counters;
};

static struct timespec in_ms(unsigned int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_nsec -= 1000000000L;
		t.tv_sec++;
	}
	return t;
}

static void notify(struct nats *nats)
{
	uint64_t one = 1;

	/* It can only fail when it is readable already. */
	if (write(nats->event, &one, sizeof(one)) < 0)
		return;
}

/* With the lock held. */
static void pop(struct nats *nats)
{
	struct message *message = nats->head;

	nats->head = message->next;
	if (!nats->head)
		nats->tail = &nats->head;
	nats->queued_bytes -= message->bytes;
	nats->counters.queued--;
	free(message);
}

/* With the lock held; gives it up meanwhile. Fails when the connection does. */
static natsStatus send_unsent(struct nats *nats)
{
	struct message *message;
	unsigned int n;
	natsStatus s;

	for (n = 0; (message = nats->unsent) && n < MAX_UNACKED; n++) {
		const struct frame *payload = &message->frames[message->n - 1];

		pthread_mutex_unlock(&nats->lock);
		s = natsConnection_Publish(nats->connection, message->frames[0].data,
					   payload->data, payload->len);
		pthread_mutex_lock(&nats->lock);
		/* Trying again would not make it smaller. */
		if (s == NATS_MAX_PAYLOAD || s == NATS_INVALID_SUBJECT ||
		    s == NATS_INVALID_ARG) {
			say("%s: message of %zu bytes: %s", endpoint_word(nats->url),
			    payload->len, natsStatus_GetText(s));
			nats->counters.failed++;
		} else if (s != NATS_OK) {
			return s;
		}
		nats->unsent = message->next;
	}
	return NATS_OK;
}

/* With the lock held; gives it up meanwhile. */
static natsStatus wait_for_ack(struct nats *nats)
{
	struct message *end;
	natsStatus s;

	end = nats->unsent;
	if (nats->head == end)
		return NATS_OK;
	pthread_mutex_unlock(&nats->lock);
	s = natsConnection_FlushTimeout(nats->connection, ACK_TIMEOUT_MS);
	pthread_mutex_lock(&nats->lock);
	if (s != NATS_OK)
		return s;
	/* If all was sent before, then what is unsent now came in between. */
	if (!end)
		end = nats->unsent;
	while (nats->head != end)
		pop(nats);
	if (!nats->head) {
		notify(nats);
		pthread_cond_broadcast(&nats->drained);
	}
	return NATS_OK;
}

/* With the lock held; gives it up meanwhile. */
static bool connect_once(struct nats *nats, unsigned int *retry_ms)
{
	struct timespec until;
	natsStatus s;

	pthread_mutex_unlock(&nats->lock);
	s = natsConnection_Connect(&nats->connection, nats->options);
	pthread_mutex_lock(&nats->lock);
	if (s == NATS_OK) {
		say("%s: connected", endpoint_word(nats->url));
		*retry_ms = RETRY_MS;
		nats->connected = true;
		nats->counters.connects++;
		nats->unsent = nats->head;
		notify(nats);
		return true;
	}
	if (*retry_ms == RETRY_MS)
		say("%s: no connection: %s; trying again", endpoint_word(nats->url),
		    natsStatus_GetText(s));
	until = in_ms(*retry_ms);
	while (!nats->stop &&
	       pthread_cond_timedwait(&nats->work, &nats->lock, &until) != ETIMEDOUT)
		;
	*retry_ms = *retry_ms * 2 < RETRY_MAX_MS ? *retry_ms * 2 : RETRY_MAX_MS;
	return false;
}

/* With the lock held. */
static void disconnect(struct nats *nats, natsStatus s)
{
	say("%s: connection lost: %s", endpoint_word(nats->url), natsStatus_GetText(s));
	nats->connected = false;
	nats->counters.losses++;
	pthread_mutex_unlock(&nats->lock);
	natsConnection_Destroy(nats->connection);
	nats->connection = NULL;
	pthread_mutex_lock(&nats->lock);
}

static void *run(void *arg)
{
	struct nats *nats = arg;
	unsigned int retry_ms = RETRY_MS;
	struct timespec until;
	natsStatus s;

	pthread_mutex_lock(&nats->lock);
	while (!nats->stop) {
		if (!nats->connected && !connect_once(nats, &retry_ms))
			continue;
		s = send_unsent(nats);
		if (s == NATS_OK)
			s = wait_for_ack(nats);
		if (s == NATS_OK && !nats->unsent && !nats->stop) {
			until = in_ms(IDLE_MS);
			pthread_cond_timedwait(&nats->work, &nats->lock, &until);
			if (natsConnection_IsClosed(nats->connection))
				s = NATS_CONNECTION_CLOSED;
		}
		if (s != NATS_OK)
			disconnect(nats, s);
	}
	pthread_mutex_unlock(&nats->lock);
	return NULL;
}

static int nats_send(struct transport *t, struct message *message)
{
	struct nats *nats = (struct nats *)t;
	int err = 0;

	pthread_mutex_lock(&nats->lock);
	if (nats->queued_bytes + message->bytes > nats->max_bytes && nats->head) {
		nats->counters.refused++;
		free(message);
		err = -ENOBUFS;
	} else {
		message->next = NULL;
		*nats->tail = message;
		nats->tail = &message->next;
		if (!nats->unsent)
			nats->unsent = message;
		nats->queued_bytes += message->bytes;
		nats->counters.queued++;
		nats->counters.messages++;
		nats->counters.bytes += message->bytes;
		pthread_cond_signal(&nats->work);
	}
	pthread_mutex_unlock(&nats->lock);
	return err;
}

static bool nats_settled(struct transport *t)
{
	struct nats *nats = (struct nats *)t;
	bool settled;

	pthread_mutex_lock(&nats->lock);
	settled = nats->connected && !nats->head;
	pthread_mutex_unlock(&nats->lock);
	return settled;
}

static int nats_fd(struct transport *t)
{
	return ((struct nats *)t)->event;
}

static void nats_ack(struct transport *t)
{
	uint64_t count;

	/* It can only fail when there is nothing to read. */
	if (read(((struct nats *)t)->event, &count, sizeof(count)) < 0)
		return;
}

static int nats_flush(struct transport *t, int timeout_ms)
{
	struct nats *nats = (struct nats *)t;
	struct timespec until = in_ms(timeout_ms);
	int err = 0;

	pthread_mutex_lock(&nats->lock);
	while (nats->head && !err)
		err = -pthread_cond_timedwait(&nats->drained, &nats->lock, &until);
	if (!nats->head)
		err = 0;
	pthread_mutex_unlock(&nats->lock);
	return err;
}

static void nats_counters(struct transport *t, struct transport_counters *out)
{
	struct nats *nats = (struct nats *)t;

	pthread_mutex_lock(&nats->lock);
	*out = nats->counters;
	pthread_mutex_unlock(&nats->lock);
}

static void nats_free(struct nats *nats)
{
	while (nats->head)
		pop(nats);
	natsConnection_Destroy(nats->connection);
	natsOptions_Destroy(nats->options);
	if (nats->event >= 0)
		close(nats->event);
	pthread_cond_destroy(&nats->work);
	pthread_cond_destroy(&nats->drained);
	pthread_mutex_destroy(&nats->lock);
	free(nats->url);
	free(nats);
}

static void nats_close(struct transport *t)
{
	struct nats *nats = (struct nats *)t;

	pthread_mutex_lock(&nats->lock);
	nats->stop = true;
	pthread_cond_signal(&nats->work);
	pthread_mutex_unlock(&nats->lock);
	pthread_join(nats->thread, NULL);
	nats_free(nats);
}

static const struct transport_ops nats_ops = {
	.send = nats_send,
	.settled = nats_settled,
	.fd = nats_fd,
	.ack = nats_ack,
	.flush = nats_flush,
	.counters = nats_counters,
	.close = nats_close,
};

/* What the library tells by itself, it would print to stderr otherwise. */
static void on_error(natsConnection *connection, natsSubscription *subscription,
		     natsStatus s, void *closure)
{
	struct nats *nats = closure;

	(void)connection;
	(void)subscription;
	say("%s: %s", endpoint_word(nats->url), natsStatus_GetText(s));
}

static natsStatus set_options(struct nats *nats, const struct nats_setup *setup)
{
	natsStatus s;

	s = natsOptions_Create(&nats->options);
	if (s == NATS_OK)
		s = natsOptions_SetURL(nats->options, setup->url);
	if (s == NATS_OK)
		s = natsOptions_SetName(nats->options, "kvbm-eventd");
	if (s == NATS_OK)
		s = natsOptions_SetTimeout(nats->options, CONNECT_TIMEOUT_MS);
	if (s == NATS_OK)
		s = natsOptions_SetWriteDeadline(nats->options, ACK_TIMEOUT_MS);
	/* Its own way to connect again would not tell what was not acknowledged. */
	if (s == NATS_OK)
		s = natsOptions_SetAllowReconnect(nats->options, false);
	if (s == NATS_OK)
		s = natsOptions_SetErrorHandler(nats->options, on_error, nats);
	if (s == NATS_OK && setup->credentials)
		s = natsOptions_SetUserCredentialsFromFiles(nats->options,
							    setup->credentials, NULL);
	return s;
}

static int init_sync(struct nats *nats)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&nats->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&nats->work, &attr);
	pthread_cond_init(&nats->drained, &attr);
	pthread_condattr_destroy(&attr);
	nats->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return nats->event < 0 ? -errno : 0;
}

int nats_open(const struct nats_setup *setup, struct transport **out)
{
	struct nats *nats = calloc(1, sizeof(*nats));
	natsStatus s;
	int err;

	if (!nats)
		return say_err(-ENOMEM, "%s", endpoint_word(setup->url));
	nats->base.ops = &nats_ops;
	nats->base.nats = true;
	nats->max_bytes = setup->max_bytes;
	nats->tail = &nats->head;
	nats->url = strdup(setup->url);
	err = init_sync(nats);
	if (!err && !nats->url)
		err = -ENOMEM;
	if (err) {
		say_err(err, "%s", endpoint_word(setup->url));
		goto out_free;
	}
	s = set_options(nats, setup);
	if (s != NATS_OK) {
		say("%s: %s", endpoint_word(setup->url), natsStatus_GetText(s));
		err = -EINVAL;
		goto out_free;
	}
	err = -pthread_create(&nats->thread, NULL, run, nats);
	if (err) {
		say_err(err, "%s: thread", endpoint_word(setup->url));
		goto out_free;
	}
	*out = &nats->base;
	return 0;

out_free:
	nats_free(nats);
	return err;
}
