/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The model of a manager, made of arrays and linear searches: what each call does to
 * its blocks, and which error it is answered with.
 */
#ifndef KVBM_MODEL_H
#define KVBM_MODEL_H

#include "kvbm_random.h"

#define BLOCKS		18	/* a call about one more is one hold of the lock */

/**
 * struct model - what a manager should be
 * @state: of each block
 * @refs: of each block
 * @gen: of each block
 * @hash: number of the hash, from Staged on
 * @primary: of a Duplicate
 * @reset: its last release resets it
 * @writers: write pins
 * @first: Inactive: goes before those that are not, by age
 * @free: reset pool, in order
 * @cached: inactive pool, in order of release
 * @nr_free: its length
 * @nr_cached: its length
 * @c: counters that are no gauges
 */
struct model {
	uint32_t state[BLOCKS], refs[BLOCKS], gen[BLOCKS], hash[BLOCKS], primary[BLOCKS];
	bool reset[BLOCKS], first[BLOCKS];
	uint32_t writers[BLOCKS];
	uint32_t free[BLOCKS], cached[BLOCKS];
	uint32_t nr_free, nr_cached;
	struct kvbm_counters c;
};

static struct model m;

static uint32_t find_hash(uint32_t hash)
{
	uint32_t id;

	for (id = 0; id < BLOCKS; id++)
		if ((m.state[id] == KVBM_STATE_PRIMARY ||
		     m.state[id] == KVBM_STATE_INACTIVE) && m.hash[id] == hash)
			return id;
	return NONE;
}

static bool is_registered(uint32_t id)
{
	return m.state[id] == KVBM_STATE_PRIMARY || m.state[id] == KVBM_STATE_DUPLICATE;
}

static bool has_hash(uint32_t id)
{
	return m.state[id] != KVBM_STATE_RESET && m.state[id] != KVBM_STATE_MUTABLE;
}

static uint32_t victim(void)
{
	uint32_t i;

	for (i = 0; i < m.nr_cached; i++)
		if (m.first[m.cached[i]])
			return m.cached[i];
	return m.cached[0];
}

static void model_reset(uint32_t id)
{
	m.state[id] = KVBM_STATE_RESET;
	m.refs[id] = 0;
	m.c.freed++;
	m.free[m.nr_free++] = id;
}

static void model_ref(uint32_t id)
{
	if (m.state[id] == KVBM_STATE_INACTIVE) {
		list_remove(m.cached, &m.nr_cached, id);
		m.state[id] = KVBM_STATE_PRIMARY;
	}
	m.refs[id]++;
}

static void model_unref(uint32_t id, uint32_t n, bool finished)
{
	m.refs[id] -= n;
	if (m.refs[id])
		return;
	if (m.state[id] == KVBM_STATE_PRIMARY && !m.reset[id]) {
		m.state[id] = KVBM_STATE_INACTIVE;
		m.c.freed++;
		m.first[id] = finished;
		m.cached[m.nr_cached++] = id;
	} else if (m.state[id] == KVBM_STATE_DUPLICATE) {
		model_reset(id);
		model_unref(m.primary[id], 1, finished);
	} else {
		model_reset(id);
	}
}

static struct kvbm_token token_of(uint32_t id)
{
	return (struct kvbm_token){ id, m.gen[id] };
}

static void model_guard(struct session *s, uint32_t id)
{
	model_ref(id);
	m.c.inflight_immutable++;
	hold(s, id);
}

static void model_release(struct session *s, uint32_t id, uint32_t n, bool finished)
{
	if (is_registered(id))
		m.c.inflight_immutable -= n;
	unhold(s, id, n);
	model_unref(id, n, finished);
}

static uint32_t model_allocate_one(struct session *s, uint32_t *evicted, uint32_t *nr_evicted)
{
	uint32_t id;

	if (m.nr_free) {
		id = m.free[0];
		list_remove(m.free, &m.nr_free, id);
		m.c.allocations_from_reset++;
	} else {
		id = victim();
		list_remove(m.cached, &m.nr_cached, id);
		evicted[(*nr_evicted)++] = m.hash[id];
		m.c.evictions++;
	}
	m.c.allocations++;
	m.state[id] = KVBM_STATE_MUTABLE;
	m.refs[id] = 1;
	m.reset[id] = false;
	m.gen[id]++;
	m.gen[id] += !m.gen[id];
	hold(s, id);
	return id;
}

/* What a batch of tokens should be answered with. */
static int model_check(const struct session *s, const struct kvbm_token *t, uint32_t n,
		       uint32_t states, bool registers)
{
	uint32_t used[BLOCKS] = { 0 }, i, id;
	int err = 0;

	for (i = 0; i < n; i++) {
		id = t[i].id;
		if (id >= BLOCKS)
			return -ENXIO;
		if (t[i].gen != m.gen[id])
			return -ESTALE;
		if (used[id] == s->count[id])
			return -ENXIO;
		if (!(states & 1u << m.state[id]))
			return -EBADFD;
		used[id]++;
	}
	/* Told only when all else is right. */
	for (i = 0; registers && i < n; i++)
		if (m.writers[t[i].id])
			err = -EBUSY;
	return err;
}

#endif /* KVBM_MODEL_H */
