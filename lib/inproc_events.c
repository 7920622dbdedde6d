// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Events of the in-process backend: what kmod/events.c is to the module.
 */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/events.h"
#include "events.h"
#include "inproc.h"

/* Most bytes, and most slots looked at, in one call of a dump. */
#define DUMP_BYTES	(128U << 10)
#define DUMP_SLOTS	KVBM_MAX_BATCH

/* Bytes of a ring; tests make it smaller. */
u32 kvbm_ns_event_ring = 1U << 20;

/**
 * struct kvbm_ns_source - one who listens
 * @next: next one of the registry
 * @ns: referenced
 * @registry: referenced
 * @reader: its place in the ring
 * @fd: an eventfd: readable when there may be something
 * @epoch: of the process that opened it
 */
struct kvbm_ns_source {
	struct kvbm_ns_source *next;
	struct kvbm_ns *ns;
	struct kvbm_ns_registry *registry;
	struct kvbm_event_reader reader;
	int fd;
	uint64_t epoch;
};

static struct kvbm_event_ring *ring_of(const struct kvbm_ns_registry *r)
{
	return kvbm_registry_events(r->engine);
}

static void wake(struct kvbm_ns_registry *r)
{
	struct kvbm_ns_source *s;

	lockdep_assert_held(&r->sources_lock);
	for (s = r->sources; s; s = s->next)
		eventfd_write(s->fd, 1);
}

static void notify(void *arg)
{
	struct kvbm_ns_registry *r = arg;

	mutex_lock(&r->sources_lock);
	wake(r);
	mutex_unlock(&r->sources_lock);
}

void kvbm_ns_events_init(struct kvbm_ns_registry *r)
{
	mutex_init(&r->sources_lock);
	ring_of(r)->notify = notify;
	ring_of(r)->notify_arg = r;
}

/* It was destroyed; who listens shall know. */
void kvbm_ns_events_end(struct kvbm_ns_registry *r)
{
	mutex_lock(&r->sources_lock);
	r->gone = true;
	wake(r);
	mutex_unlock(&r->sources_lock);
}

static ssize_t source_read(void *arg, void *buf, size_t size)
{
	struct kvbm_ns_source *s = arg;
	eventfd_t ignored;
	bool gone;
	int bytes;

	if (!kvbm_fork_is_current(s->epoch))
		return -EOWNERDEAD;
	/* Before looking: what comes after it makes it readable again. */
	eventfd_read(s->fd, &ignored);
	mutex_lock(&s->registry->sources_lock);
	gone = s->registry->gone;
	mutex_unlock(&s->registry->sources_lock);
	bytes = kvbm_event_peek(ring_of(s->registry), &s->reader, buf, size);
	if (bytes > 0)
		kvbm_event_consume(&s->reader);
	if (bytes > 0 || gone)
		eventfd_write(s->fd, 1);	/* There may be more. */
	return bytes || gone ? bytes : -EAGAIN;
}

static void dump(struct kvbm_ns *ns, struct kvbm_ns_registry *r,
		 struct kvbm_events_dump *a)
{
	u32 size = min_t(u32, a->bytes, DUMP_BYTES), left = DUMP_SLOTS, start;
	char *buf = kvbm_user(a->records);
	struct kvbm_ns_manager *m;

	a->out_first = kvbm_event_next(ring_of(r));
	a->out_bytes = 0;
	while (left) {
		m = kvbm_ns_manager_next(ns, r, a->manager);
		if (!m) {
			a->manager = 0;
			a->block = 0;
			break;
		}
		if (m->id != a->manager)
			a->block = 0;
		a->manager = m->id;
		start = a->block;
		a->out_bytes += kvbm_store_content(m->store, &a->block, left,
						   buf + a->out_bytes,
						   size - a->out_bytes);
		if (a->block < m->attr.block_count) {
			kvbm_ns_manager_put(ns, m);
			break;
		}
		/* A manager without blocks to look at is some work, too. */
		left -= min_t(u32, left, a->block - min(start, a->block) + 1);
		kvbm_ns_manager_put(ns, m);
		a->manager++;
		a->block = 0;
	}
	a->out_last = kvbm_event_next(ring_of(r)) - 1;
}

static int source_dump(void *arg, struct kvbm_events_dump *a)
{
	struct kvbm_ns_source *s = arg;

	if (!kvbm_fork_is_current(s->epoch))
		return -EOWNERDEAD;
	dump(s->ns, s->registry, a);
	return 0;
}

static int source_fd(void *arg)
{
	return ((struct kvbm_ns_source *)arg)->fd;
}

static void source_close(void *arg)
{
	struct kvbm_ns_source *s = arg, **link;
	struct kvbm_ns_registry *r = s->registry;

	/* A child leaves alone what is its parent's. */
	if (kvbm_fork_is_current(s->epoch)) {
		mutex_lock(&r->sources_lock);
		link = &r->sources;
		while (*link != s)
			link = &(*link)->next;
		*link = s->next;
		mutex_unlock(&r->sources_lock);
		kvbm_event_unlisten(ring_of(r));
		kvbm_ns_registry_put(s->ns, r);
		kvbm_ns_put(s->ns);
	}
	close(s->fd);
	free(s);
}

static const struct kvbm_event_source source = {
	.read = source_read,
	.dump = source_dump,
	.fd = source_fd,
	.close = source_close,
};

int kvbm_ns_events_open(struct kvbm_ns *ns, u64 registry, struct kvbm_events **out)
{
	u32 size = kvbm_event_ring_size(kvbm_ns_event_ring);
	struct kvbm_ns_source *s = calloc(1, sizeof(*s));
	struct kvbm_ns_registry *r;
	int err = -ENOENT;

	if (!s)
		return -ENOMEM;
	r = kvbm_ns_registry_get(ns, registry);
	if (!r)
		goto err_free;
	s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->fd < 0) {
		err = -errno;
		goto err_put;
	}
	err = kvbm_event_listen(ring_of(r), size, &s->reader);
	if (err)
		goto err_close;
	err = kvbm_events_from_source(&source, s, s->reader.sequence, out);
	if (err)
		goto err_unlisten;
	s->ns = kvbm_ns_get(ns);
	s->registry = r;
	s->epoch = kvbm_fork_epoch();
	mutex_lock(&r->sources_lock);
	s->next = r->sources;
	r->sources = s;
	mutex_unlock(&r->sources_lock);
	return 0;

err_unlisten:
	kvbm_event_unlisten(ring_of(r));
err_close:
	close(s->fd);
err_put:
	kvbm_ns_registry_put(ns, r);
err_free:
	free(s);
	return err;
}

int kvbm_ns_events_dump(struct kvbm_ns *ns, struct kvbm_ns_manager *bound,
			struct kvbm_events_dump *a)
{
	struct kvbm_ns_registry *r;
	u64 id = a->registry;

	if (!id && !bound)
		return -ENOTCONN;
	r = kvbm_ns_registry_get(ns, id ? id : bound->registry->id);
	if (!r)
		return -ENOENT;
	if (a->records)
		dump(ns, r, a);
	kvbm_ns_registry_put(ns, r);
	return a->records ? 0 : -EFAULT;
}
