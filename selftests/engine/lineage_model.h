/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Lineage eviction as kvbm-logical describes it, done naively: one node per
 * position and fragment, look-ups and victims by walking over all of them. It
 * does not know equal keys, and has no bound on ghosts. Of our own it has the
 * hint: blocks that were released as finished go before all others.
 */
#ifndef KVBM_LINEAGE_MODEL_H
#define KVBM_LINEAGE_MODEL_H

#include "engine/plh.h"

#define MODEL_NODES	4096

struct model_node {
	bool used;
	bool real;
	bool finished;	/* released as that */
	u32 position;
	u64 fragment;
	u32 id;
	int parent;
	u32 children;
	u64 tick;	/* when it became real */
	u64 leafed;	/* when it became a leaf; 0 when it is none */
};

struct lineage_model {
	bool by_tick;
	u64 clock;
	u64 leaf_clock;
	u32 ghosts;
	int last;
	struct model_node nodes[MODEL_NODES];
};

static inline int model_find(struct lineage_model *m, u32 position, u64 fragment)
{
	int i;

	for (i = 0; i < m->last; i++)
		if (m->nodes[i].used && m->nodes[i].position == position &&
		    m->nodes[i].fragment == fragment)
			return i;
	return -1;
}

static inline int model_node_new(struct lineage_model *m, u32 position, u64 fragment)
{
	int i = 0;

	while (m->nodes[i].used)
		i++;
	ASSERT(i < MODEL_NODES - 1);
	m->nodes[i] = (struct model_node){ .used = true, .position = position,
					   .fragment = fragment, .parent = -1 };
	if (i >= m->last)
		m->last = i + 1;
	m->ghosts++;
	return i;
}

static inline void model_insert(struct lineage_model *m, u32 id,
				const struct kvbm_hash *hash, bool finished)
{
	u32 position = kvbm_plh_position(hash);
	u64 fragment = kvbm_plh_own_fragment(hash);
	int n = model_find(m, position, fragment), p;

	if (n < 0)
		n = model_node_new(m, position, fragment);
	ASSERT(!m->nodes[n].real);
	m->nodes[n].real = true;
	m->ghosts--;
	m->nodes[n].id = id;
	m->nodes[n].finished = finished;
	m->nodes[n].tick = ++m->clock;
	if (position && m->nodes[n].parent < 0) {
		p = model_find(m, position - 1, kvbm_plh_fragment(hash));
		if (p < 0)
			p = model_node_new(m, position - 1, kvbm_plh_fragment(hash));
		m->nodes[n].parent = p;
		if (!m->nodes[p].children++)
			m->nodes[p].leafed = 0;
	}
	if (!m->nodes[n].children)
		m->nodes[n].leafed = ++m->leaf_clock;
}

static inline void model_remove(struct lineage_model *m, const struct kvbm_hash *hash)
{
	int n = model_find(m, kvbm_plh_position(hash), kvbm_plh_own_fragment(hash));
	int p;

	ASSERT(n >= 0 && m->nodes[n].real);
	m->nodes[n].real = false;
	m->nodes[n].leafed = 0;
	m->ghosts++;
	while (!m->nodes[n].children) {
		p = m->nodes[n].parent;
		m->nodes[n].used = false;
		m->ghosts--;
		if (p < 0)
			return;
		if (--m->nodes[p].children)
			return;
		if (m->nodes[p].real) {
			m->nodes[p].leafed = ++m->leaf_clock;
			return;
		}
		n = p;
	}
}

static inline u32 model_next(const struct lineage_model *m)
{
	u64 least = U64_MAX, key;
	u32 id = KVBM_NIL;
	int i;

	for (i = 0; i < m->last; i++) {
		if (!m->nodes[i].used || !m->nodes[i].leafed)
			continue;
		key = m->by_tick ? m->nodes[i].tick : m->nodes[i].leafed;
		if (!m->nodes[i].finished)
			key |= 1ULL << 63;
		if (key < least) {
			least = key;
			id = m->nodes[i].id;
		}
	}
	return id;
}

#endif /* KVBM_LINEAGE_MODEL_H */
