/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A small world for one call: something of everything that an ioctl can work on,
 * and a dump of all that can be seen of it.
 */
#ifndef KVBM_WORLD_H
#define KVBM_WORLD_H

#include "kvbm_util.h"

#define FEW		4
#define MANY		150	/* more than a chunk, and than fits on a stack */
#define MAX_BLOCKS	(6 * MANY)
#define AUX_SIZE	8
#define CHARGED_UID	1234

/**
 * struct world - what a call can work on
 * @n: how many of each kind: Primary, Mutable and Staged blocks are held; there
 *	are twice as many Inactive ones, and half as many free
 * @fd: a file that is bound to nothing
 * @registry: with a sketch
 * @spare_registry: an empty one
 * @manager: with aux, and, but for BACKING_SET, memory
 * @spare_manager: one that nobody uses
 * @s: session
 * @pin: of what is held
 * @events: event file
 * @memfd: memory
 * @gen: of each block, when all was ready
 */
static struct world {
	unsigned int n;
	int fd;
	uint64_t registry;
	uint64_t spare_registry;
	uint64_t manager;
	uint64_t spare_manager;
	int s;
	int pin;
	int events;
	int memfd;
	uint32_t gen[MAX_BLOCKS];
} w;

/* All there is to see. */
struct dump {
	struct kvbm_counters c;
	struct kvbm_slot_info slots[MAX_BLOCKS];
	struct kvbm_held held[MAX_BLOCKS];
	struct kvbm_registry_query r;
	struct kvbm_manager_query m;
	struct kvbm_backing_get b;
	struct kvbm_epoch e;
	struct kvbm_quota q;
	struct kvbm_attachments a;
	uint32_t nr_held, registries, managers, sessions, fds;
	int poll, pending, check;
};

static struct kvbm_hash present[2 * MANY], cached[2 * MANY], fresh[2 * MANY];
static struct kvbm_token mutable[MANY], staged[MANY], held[MANY], out[2 * MANY];
static struct kvbm_token next[MANY];
static struct kvbm_hash evicted[2 * MANY];
static struct kvbm_slot_info slots[MAX_BLOCKS];
static struct kvbm_held list[MAX_BLOCKS];
static struct kvbm_session_info sessions[8];
static struct kvbm_segment segments[FEW];
static uint64_t ids[2 * MANY];
static char aux[2 * MANY * AUX_SIZE], kinds[MANY], path[64], data[1 << 16];

static int make_registry(const char *name, uint64_t *id)
{
	struct kvbm_registry_create r;
	int err;

	registry_init(&r, name);
	r.capacity = 1 << 12;
	r.sketch_capacity = 1 << 10;
	err = kv(w.fd, KVBM_REGISTRY_CREATE, &r);
	*id = r.out_id;
	return err;
}

static int make_manager(const char *name, uint32_t blocks, uint64_t *id)
{
	struct kvbm_manager_create m;
	int err;

	manager_init(&m, w.registry, name, blocks);
	m.aux_size = AUX_SIZE;
	m.policy = KVBM_POLICY_LINEAGE_TICK;
	err = kv(w.fd, KVBM_MANAGER_CREATE, &m);
	*id = m.out_id;
	return err;
}

static int set_backing(void)
{
	unsigned int i;

	for (i = 0; i < FEW; i++)
		segments[i] = kv_segment(w.memfd, KVBM_BACKING_MEMFD, 1024 * i, 4096, 1024);
	return kv_set_backing(w.s, 0, FEW, segments);
}

static int attach(void)
{
	struct kvbm_attach a = {
		.size = sizeof(a), .hash = present[0], .type = 1, .len = FEW,
		.data = ptr(aux), .mode = KVBM_ATTACH_MULTIPLE,
	};

	return kv(w.s, KVBM_ATTACH, &a);
}

/*
 * The same each time, but for ids and generations, and with what @cmd works on.
 * Returns 0 or -errno.
 */
static int make_world(unsigned int n, unsigned long cmd)
{
	uint32_t blocks = 5 * n + n / 2;
	struct kvbm_events_open e = { .size = sizeof(e), .flags = KVBM_EVENTS_NONBLOCK };
	uint32_t i;
	int err;

	memset(&w, 0, sizeof(w));
	w.n = n;
	w.fd = kv_open();
	kv_hashes(present, 1, 2 * n);
	kv_hashes(cached, 2, 2 * n);
	kv_hashes(fresh, 3, 2 * n);
	err = make_registry("nth", &w.registry);
	if (!err && cmd == KVBM_REGISTRY_DESTROY)
		err = make_registry("nth-spare", &w.spare_registry);
	if (!err)
		err = make_manager("nth", blocks, &w.manager);
	if (!err && cmd == KVBM_MANAGER_DESTROY)
		err = make_manager("nth-spare", n, &w.spare_manager);
	if (err)
		return err;
	w.s = kv_session(w.manager, ALL_RIGHTS);
	e.registry = w.registry;
	err = kv(w.fd, KVBM_EVENTS_OPEN, &e);
	w.events = e.out_fd;
	err = err ?: kv_fill(w.s, 1, n, held);
	err = err ?: kv_fill(w.s, 2, 2 * n, out);
	err = err ?: kv_release(w.s, 2 * n, out);
	err = err ?: kv_allocate(w.s, n, mutable, NULL, NULL);
	err = err ?: kv_allocate(w.s, n, staged, NULL, NULL);
	err = err ?: kv_stage(w.s, n, staged, fresh);
	w.memfd = kv_memfd(blocks * 4096);
	if (cmd != KVBM_BACKING_SET)
		err = err ?: set_backing();
	err = err ?: attach();
	w.pin = kv_pin(w.s, 0, n, held);
	kv_dump(w.s, 0, 0, blocks, slots);
	for (i = 0; i < blocks; i++)
		w.gen[i] = slots[i].token.gen;
	return err ?: w.pin < 0 ? w.pin : 0;
}

static void end_world(struct __test_metadata *_metadata)
{
	close(w.pin);
	close(w.events);
	close(w.s);
	close(w.memfd);
	EXPECT_EQ(0, kv_check(w.fd, w.manager));
	EXPECT_EQ(0, kv_destroy(w.fd, KVBM_MANAGER_DESTROY, w.manager, 0));
	if (w.spare_manager)
		kv_destroy(w.fd, KVBM_MANAGER_DESTROY, w.spare_manager, 0);
	EXPECT_EQ(0, kv_destroy(w.fd, KVBM_REGISTRY_DESTROY, w.registry, 0));
	if (w.spare_registry)
		kv_destroy(w.fd, KVBM_REGISTRY_DESTROY, w.spare_registry, 0);
	close(w.fd);
}

static uint32_t count_objects(unsigned long cmd)
{
	struct kvbm_list a = { .size = sizeof(a), .ids = ptr(ids), .count = 2 * MANY };

	kv(w.fd, cmd, &a);
	return a.out_count;
}

static int poll_of(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };

	poll(&p, 1, 0);
	return p.revents;
}

/*
 * What differs from one world to its twin is left out. So is the frequency sketch:
 * by its secret key other hashes share counts.
 */
static void take_dump(struct dump *d)
{
	struct kvbm_holdings h = { .size = sizeof(h), .count = MAX_BLOCKS, .held = ptr(d->held) };
	struct kvbm_manager_sessions s = { .size = sizeof(s), .id = w.manager, .count = 8,
					   .sessions = ptr(sessions) };
	int fd, i, blocks;

	memset(d, 0, sizeof(*d));
	d->check = kv_check(w.fd, w.manager);
	kv_counters(w.fd, w.manager, &d->c);
	d->c.reclaim_last_ns = 0;
	d->c.reclaim_max_ns = 0;
	d->c.reclaim_end_ns = 0;
	d->c.reclaim_total_ns = 0;
	d->c.regret_total_ns = 0;
	/* Which hashes are watched goes by a secret. */
	d->c.regret_evictions = 0;
	d->c.regrets = 0;
	blocks = kv_dump(w.fd, w.manager, 0, MAX_BLOCKS, d->slots);
	for (i = 0; i < blocks; i++)
		d->slots[i].token.gen -= w.gen[i];
	kv(w.s, KVBM_HOLDINGS, &h);
	d->nr_held = h.out_count;
	for (i = 0; i < (int)h.out_count; i++)
		d->held[i].token.gen -= w.gen[d->held[i].token.id];
	d->r = (struct kvbm_registry_query){ .size = sizeof(d->r), .id = w.registry };
	kv(w.fd, KVBM_REGISTRY_QUERY, &d->r);
	d->r.id = 0;
	d->m = (struct kvbm_manager_query){ .size = sizeof(d->m), .id = w.manager };
	kv(w.fd, KVBM_MANAGER_QUERY, &d->m);
	d->m.id = 0;
	d->m.registry = 0;
	d->m.out_created_ns = 0;
	d->b = (struct kvbm_backing_get){ .size = sizeof(d->b), .manager = w.manager };
	kv(w.fd, KVBM_BACKING_GET, &d->b);
	d->b.manager = 0;
	d->b.out_set_ns = 0;
	d->e.size = sizeof(d->e);
	kv(w.s, KVBM_EPOCH, &d->e);
	d->q = (struct kvbm_quota){ .size = sizeof(d->q), .manager = w.manager,
				    .kind = KVBM_QUOTA_UID, .id = CHARGED_UID };
	kv(w.fd, KVBM_QUOTA, &d->q);
	d->q.manager = 0;
	d->a = (struct kvbm_attachments){ .size = sizeof(d->a), .registry = w.registry,
					  .hash = present[0] };
	kv(w.fd, KVBM_ATTACHMENTS, &d->a);
	d->a.registry = 0;
	d->registries = count_objects(KVBM_REGISTRY_LIST);
	d->managers = count_objects(KVBM_MANAGER_LIST);
	kv(w.fd, KVBM_MANAGER_SESSIONS, &s);
	d->sessions = s.out_count;
	d->poll = poll_of(w.s);
	d->pending = poll_of(w.events);
	for (fd = 0; fd < 64; fd++)
		d->fds += fcntl(fd, F_GETFD) >= 0;
}

#endif /* KVBM_WORLD_H */
