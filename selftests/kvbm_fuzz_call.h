/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One random ioctl: what its argument is made of, and what is kept of the answer,
 * for later ones. Mostly plausible: tokens, ids and descriptors that there are.
 *
 * What a call looks like comes from kmod/abi_table.h, so a new ioctl is called
 * without a line here; to be called well it needs one in scalars().
 */
#ifndef KVBM_FUZZ_CALL_H
#define KVBM_FUZZ_CALL_H

#include <stdatomic.h>

#include "kvbm_util.h"
#include "kvbm_abi_list.h"

#define NR_FDS		24
#define NR_IDS		16	/* the last three are made by the first process */
#define NR_TOKENS	256
#define NR_HASHES	64
#define NR_NAMES	6
#define ARENA		(8u << 20)

/**
 * struct shared - what all processes see
 * @ids: of registries and managers that were made
 * @tokens: that some call returned
 * @calls: ioctls made
 * @done: of each ioctl, those that succeeded
 * @forks: children
 * @passed: descriptors received
 */
struct shared {
	volatile uint64_t ids[NR_IDS];
	volatile uint64_t tokens[NR_TOKENS];
	atomic_uint calls, forks, passed;
	atomic_uint done[NR_CALLS];
};

static struct shared *shared;
static struct kvbm_hash hashes[NR_HASHES];

/* Of a process: slots of descriptors, which its threads close under each other. */
static atomic_int fds[NR_FDS];
/* Can be the memory of a manager. */
static int memfd;

/**
 * struct worker - a thread
 * @state: of the random numbers
 * @arena: memory for arrays; what follows it cannot be touched
 * @depth: how many forks it is away from a worker
 */
struct worker {
	uint64_t state;
	char *arena;
	int depth;
};

static uint32_t below(struct worker *me, uint32_t n)
{
	me->state = me->state * 6364136223846793005ull + 1442695040888963407ull;
	return n ? (uint32_t)(me->state >> 33) % n : 0;
}

static bool one_in(struct worker *me, uint32_t n)
{
	return !below(me, n);
}

static uint64_t any_u64(struct worker *me)
{
	static const uint64_t odd[] = { 0, 1, 2, UINT32_MAX, 1ull << 31, 1ull << 32,
					1ull << 63, UINT64_MAX, UINT64_MAX - 7 };

	if (one_in(me, 2))
		return odd[below(me, sizeof(odd) / sizeof(*odd))];
	return (uint64_t)below(me, UINT32_MAX) << 32 | below(me, UINT32_MAX);
}

static uint64_t any_id(struct worker *me)
{
	if (one_in(me, 3))
		return 0;
	return one_in(me, 40) ? any_u64(me) : shared->ids[below(me, NR_IDS)];
}

static int any_fd(struct worker *me)
{
	return one_in(me, 64) ? (int)below(me, 40) - 1 : fds[below(me, NR_FDS)];
}

static void keep_fd(struct worker *me, int fd)
{
	int old = atomic_exchange(&fds[below(me, NR_FDS)], fd);

	if (old >= 0)
		close(old);
}

static void keep_tokens(struct worker *me, const void *at, uint32_t count)
{
	struct kvbm_token t;
	uint64_t value;

	for (; count; count--, at = (const char *)at + sizeof(t)) {
		memcpy(&t, at, sizeof(t));
		memcpy(&value, &t, sizeof(value));
		shared->tokens[below(me, NR_TOKENS)] = value;
		if (one_in(me, 16))
			break;
	}
}

static void put(union arg *arg, unsigned int offset, unsigned int size, uint64_t value)
{
	memcpy(arg->bytes + offset, &value, size);
}

static uint32_t get_u32(const union arg *arg, unsigned int offset)
{
	uint32_t value;

	memcpy(&value, arg->bytes + offset, sizeof(value));
	return value;
}

/* Up to @limit, mostly little. */
static uint64_t any_below(struct worker *me, uint64_t limit)
{
	switch (below(me, 24)) {
	case 0:
		return limit;
	case 1:
		return limit + 1;
	case 2:
		return any_u64(me);
	default:
		return below(me, limit < 64 ? limit + 1 : 64);
	}
}

static char *any_memory(struct worker *me)
{
	static const uint64_t bad[] = { 0, 8, 1ull << 63, UINT64_MAX - 15, 1ull << 47 };

	if (one_in(me, 48))
		return (char *)(uintptr_t)bad[below(me, sizeof(bad) / sizeof(*bad))];
	if (one_in(me, 48))
		return me->arena + ARENA - below(me, 512);
	return me->arena + 8 * below(me, 4096);
}

/* States of the blocks whose tokens a call takes. */
static uint32_t wanted_states(unsigned long cmd)
{
	switch (cmd) {
	case KVBM_STAGE:
	case KVBM_STAGE_REGISTER:
		return 1u << KVBM_STATE_MUTABLE;
	case KVBM_REGISTER:
	case KVBM_UNSTAGE:
		return 1u << KVBM_STATE_STAGED;
	case KVBM_RELEASE:
		return UINT32_MAX;
	default:
		return 1u << KVBM_STATE_PRIMARY | 1u << KVBM_STATE_DUPLICATE;
	}
}

/* Up to @max tokens that a call on @fd can take. */
static uint32_t own_tokens(int fd, unsigned long cmd, struct kvbm_token *t, uint32_t max)
{
	struct kvbm_held held[64];
	struct kvbm_holdings h = { .size = sizeof(h), .count = 64, .held = ptr(held) };
	uint32_t i, n = 0;

	if (kv(fd, KVBM_HOLDINGS, &h))
		return 0;
	for (i = 0; i < h.out_count && n < max; i++)
		if (wanted_states(cmd) >> held[i].state & 1)
			t[n++] = held[i].token;
	return n;
}

/* An array that is read, with what its name says. */
static void fill(struct worker *me, const struct kvbm_abi_field *f, char *at, uint32_t count)
{
	uint32_t i, first = below(me, NR_HASHES);

	if (at < me->arena || at > me->arena + ARENA / 2)
		return;
	if (count > 4096)
		count = 4096;
	for (i = 0; i < count; i++) {
		if (!strcmp(f->name, "tokens")) {
			uint64_t t = one_in(me, 64) ? any_u64(me) :
				     shared->tokens[below(me, NR_TOKENS)];

			memcpy(at + 8 * i, &t, sizeof(t));
		} else if (!strcmp(f->name, "hashes")) {
			/* Mostly chains. */
			if (one_in(me, 16))
				first = below(me, NR_HASHES);
			memcpy(at + 16 * i, &hashes[(first + i) % NR_HASHES], 16);
			if (one_in(me, 200))
				at[16 * i + below(me, 16)] ^= 1u << below(me, 8);
		} else if (!strcmp(f->name, "managers")) {
			uint64_t id = any_id(me);

			memcpy(at + 8 * i, &id, sizeof(id));
		} else if (!strcmp(f->name, "segments")) {
			struct kvbm_segment s =
				kv_segment(one_in(me, 8) ? any_fd(me) : memfd,
					   one_in(me, 8) ? below(me, 7) : KVBM_BACKING_MEMFD,
					   4096 * below(me, 3), 4096,
					   one_in(me, 9) ? any_u64(me) : 1024);

			memcpy(at + sizeof(s) * i, &s, sizeof(s));
		}
	}
}

static void any_name(struct worker *me, char *name)
{
	if (one_in(me, 32))
		memset(name, below(me, 256), KVBM_NAME_SIZE);
	else
		snprintf(name, KVBM_NAME_SIZE, "fuzz-%u", below(me, NR_NAMES));
}

static uint64_t any_deadline(struct worker *me)
{
	switch (below(me, 8)) {
	case 0:
		return UINT64_MAX;
	case 1:
		return now_ns() + below(me, 5000000);
	case 2:
		return below(me, 1000);
	default:
		return 0;
	}
}

/* What the table has no rules about. */
static void scalars(struct worker *me, const struct call *call, union arg *arg)
{
	struct kvbm_registry_create *r = (void *)arg;
	struct kvbm_manager_create *m = (void *)arg;

	switch (call->cmd) {
	case KVBM_REGISTRY_CREATE:
		any_name(me, r->name);
		r->mode = 0666;
		r->uid = KVBM_ID_CALLER;
		r->gid = KVBM_ID_CALLER;
		r->capacity = one_in(me, 8) ? any_below(me, KVBM_MAX_BLOCKS) : 4096;
		r->sketch_capacity = one_in(me, 2) ? 0 : any_below(me, 4096);
		break;
	case KVBM_MANAGER_CREATE:
		m->registry = any_id(me);
		any_name(me, m->name);
		m->tier = 1 + below(me, 4);
		m->block_size = one_in(me, 16) ? any_below(me, 1024) : BLOCK_SIZE;
		m->block_count = one_in(me, 8) ? 1 + any_below(me, 2000) : 1 + below(me, 60);
		m->nr_reserved = one_in(me, 4) ? below(me, m->block_count + 1) : 0;
		m->aux_size = one_in(me, 2) ? 8 : any_below(me, 64);
		m->mode = 0666;
		m->uid = KVBM_ID_CALLER;
		m->gid = KVBM_ID_CALLER;
		m->linger_ms = one_in(me, 2) ? KVBM_LINGER_FOREVER : below(me, 20);
		if (one_in(me, 2))
			m->bind_flags = 0;
		if (m->flags & KVBM_MANAGER_ANONYMOUS && !one_in(me, 8)) {
			memset(m->name, 0, sizeof(m->name));
			m->linger_ms = 0;
			m->bind_flags |= ALL_RIGHTS;
		}
		break;
	case KVBM_REGISTRY_QUERY:
		((struct kvbm_registry_query *)arg)->id = any_id(me);
		any_name(me, ((struct kvbm_registry_query *)arg)->name);
		break;
	case KVBM_MANAGER_QUERY:
		((struct kvbm_manager_query *)arg)->id = any_id(me);
		((struct kvbm_manager_query *)arg)->registry = any_id(me);
		any_name(me, ((struct kvbm_manager_query *)arg)->name);
		break;
	case KVBM_REGISTRY_LIST:
	case KVBM_MANAGER_LIST:
		((struct kvbm_list *)arg)->after = any_id(me);
		break;
	case KVBM_BIND:
		((struct kvbm_bind *)arg)->id = any_id(me);
		if (one_in(me, 2))
			((struct kvbm_bind *)arg)->flags |= ALL_RIGHTS;
		break;
	case KVBM_REGISTRY_DESTROY:
	case KVBM_MANAGER_DESTROY:
		/* Seldom: there would be nothing left to work on. */
		((struct kvbm_destroy *)arg)->id = one_in(me, 8) ? any_id(me) : 1ull << 40;
		break;
	case KVBM_SESSION_OPEN:
		if (one_in(me, 2))
			((struct kvbm_session_open *)arg)->flags |= ALL_RIGHTS;
		break;
	case KVBM_MANAGER_STATS:
	case KVBM_MANAGER_CHECK:
	case KVBM_MANAGER_DUMP:
	case KVBM_MANAGER_SESSIONS:
	case KVBM_PRESENCE:
	case KVBM_FREQUENCY:
	case KVBM_EVENTS_OPEN:
	case KVBM_EVENTS_DUMP:
	case KVBM_BACKING_SET:
	case KVBM_BACKING_GET:
	case KVBM_QUOTA:
	case KVBM_EPOCH:
		/* All of them begin like this. */
		((struct kvbm_manager_dump *)arg)->id = any_id(me);
		break;
	case KVBM_ATTACH:
	case KVBM_ATTACHMENTS:
		((struct kvbm_attach *)arg)->registry = any_id(me);
		((struct kvbm_attach *)arg)->hash = hashes[below(me, NR_HASHES)];
		((struct kvbm_attach *)arg)->type = 1 + below(me, 3);
		break;
	case KVBM_ALLOCATE:
		((struct kvbm_allocate *)arg)->deadline_ns = any_deadline(me);
		break;
	case KVBM_ACQUIRE:
		((struct kvbm_acquire *)arg)->deadline_ns = any_deadline(me);
		if (!one_in(me, 8))
			((struct kvbm_acquire *)arg)->nr_hashes =
				below(me, ((struct kvbm_acquire *)arg)->count + 1);
		break;
	case KVBM_STAGE:
	case KVBM_STAGE_REGISTER:
		/* In the same place in both. */
		((struct kvbm_stage *)arg)->block_size = one_in(me, 32) ? below(me, 64) :
								       BLOCK_SIZE;
		break;
	case KVBM_RELEASE:
		if (!one_in(me, 8))
			((struct kvbm_release *)arg)->hint_log2_ms = 0;
		break;
	case KVBM_SET_THRESHOLD:
		((struct kvbm_set_threshold *)arg)->blocks = below(me, 70);
		break;
	default:
		break;
	}
	if (call->cmd == KVBM_PRESENCE && one_in(me, 2))
		((struct kvbm_presence *)arg)->nr_managers = 0;
	if (call->cmd == KVBM_BACKING_SET)
		((struct kvbm_backing_set *)arg)->count = 1 + below(me, 3);
	if (call->cmd == KVBM_EPOCH && !one_in(me, 16))
		((struct kvbm_epoch *)arg)->flags = 0;
	if (call->cmd == KVBM_QUOTA) {
		((struct kvbm_quota *)arg)->id = one_in(me, 2) ? 0 : any_u64(me);
		((struct kvbm_quota *)arg)->blocks =
			one_in(me, 2) ? KVBM_QUOTA_NONE : below(me, 100);
	}
}

static void arrays(struct worker *me, const struct call *call, union arg *arg, int fd)
{
	struct kvbm_token mine[4];
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < call->nr_fields; i++) {
		const struct kvbm_abi_field *f = &call->fields[i];
		char *at;

		if (f->kind != KVBM_FIELD_IN && f->kind != KVBM_FIELD_OUT)
			continue;
		at = f->optional && one_in(me, 2) ? NULL : any_memory(me);
		put(arg, f->offset, f->size, (uintptr_t)at);
		if (!at || f->kind != KVBM_FIELD_IN)
			continue;
		fill(me, f, at, get_u32(arg, f->count));
		/* Mostly what the session really holds. */
		if (strcmp(f->name, "tokens") || one_in(me, 5) || at < me->arena ||
		    at > me->arena + ARENA / 2)
			continue;
		n = own_tokens(fd, call->cmd, mine, 1 + below(me, 4));
		if (n) {
			put(arg, f->count, 4, n);
			memcpy(at, mine, n * sizeof(*mine));
		}
	}
}

static void compose(struct worker *me, const struct call *call, union arg *arg, int fd)
{
	size_t i;

	memset(arg, 0, sizeof(*arg));
	for (i = 0; i < call->nr_fields; i++) {
		const struct kvbm_abi_field *f = &call->fields[i];

		switch (f->kind) {
		case KVBM_FIELD_FLAGS:
			if (one_in(me, 3))
				put(arg, f->offset, f->size,
				    below(me, UINT32_MAX) & f->limit);
			if (one_in(me, 64))
				put(arg, f->offset, f->size, any_u64(me));
			break;
		case KVBM_FIELD_MAX:
			put(arg, f->offset, f->size, any_below(me, f->limit));
			break;
		case KVBM_FIELD_ZERO:
		case KVBM_FIELD_UNBUILT:
			if (one_in(me, 96))
				put(arg, f->offset, f->size, any_u64(me));
			break;
		case KVBM_FIELD_IN:
		case KVBM_FIELD_OUT:
			/* Also those without a limit. */
			if (!get_u32(arg, f->count) && !one_in(me, 8))
				put(arg, f->count, 4, any_below(me, 40));
			break;
		default:
			break;
		}
	}
	scalars(me, call, arg);
	arrays(me, call, arg, fd);
	arg->size = call->size;
	if (one_in(me, 32))
		arg->size = any_below(me, 2 * call->size);
	if (one_in(me, 64))
		arg->bytes[below(me, call->size)] ^= 1u << below(me, 8);
}

static void harvest(struct worker *me, const struct call *call, const union arg *arg)
{
	size_t i;

	for (i = 0; i < call->nr_fields; i++) {
		const struct kvbm_abi_field *f = &call->fields[i];
		const char *tail = strstr(f->name, "tokens");
		uint32_t count = get_u32(arg, f->count);
		uintptr_t at;

		if (f->kind != KVBM_FIELD_OUT || !tail)
			continue;
		memcpy(&at, arg->bytes + f->offset, sizeof(at));
		if (at >= (uintptr_t)me->arena && count < 4096 &&
		    at + 8 * count <= (uintptr_t)me->arena + ARENA)
			keep_tokens(me, (void *)at, count);
	}
	switch (call->cmd) {
	case KVBM_REGISTRY_CREATE:
		shared->ids[below(me, NR_IDS - 3)] = ((struct kvbm_registry_create *)arg)->out_id;
		break;
	case KVBM_MANAGER_CREATE:
		shared->ids[below(me, NR_IDS - 3)] = ((struct kvbm_manager_create *)arg)->out_id;
		break;
	case KVBM_SESSION_OPEN:
		keep_fd(me, ((struct kvbm_session_open *)arg)->out_fd);
		break;
	case KVBM_EVENTS_OPEN:
		keep_fd(me, ((struct kvbm_events_open *)arg)->out_fd);
		break;
	case KVBM_PIN:
		keep_fd(me, ((struct kvbm_pin_create *)arg)->out_fd);
		break;
	case KVBM_BACKING_GET:
		/* Read only what the call has certainly written. */
		if (((struct kvbm_backing_get *)arg)->flags & KVBM_BACKING_FDS) {
			struct kvbm_segment *s =
				(void *)(uintptr_t)((struct kvbm_backing_get *)arg)->segments;

			for (i = 0; i < ((struct kvbm_backing_get *)arg)->out_count; i++)
				if (s[i].fd > 2)
					close(s[i].fd);
		}
		break;
	default:
		break;
	}
}

#endif /* KVBM_FUZZ_CALL_H */
