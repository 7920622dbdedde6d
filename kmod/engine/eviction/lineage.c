// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Lineage: a block never goes before an Inactive block that descends from it.
 * Of those that nothing descends from, the leaves, the oldest goes first: by
 * the time it came into the pool (tick), or by the time it became a leaf
 * (fifo). Blocks that their holder called finished go before the others, as
 * soon as they are leaves.
 *
 * A child names its parent by position and a fragment of the parent's hash, so
 * different blocks can be the parent that a child means: they form a group,
 * and children hang on the group. A group whose blocks all left the pool, but
 * not all children, stays as a ghost: what it hangs on stays an ancestor.
 *
 *	LEAF	blocks, no children		in the heap
 *	INNER	blocks and children		in the list of inner groups
 *	GHOST	no blocks, children		in the list of ghosts
 *	DEAD	no blocks, no children		in the list of the dead, soon free
 *
 * Nothing is linear in the number of children, of blocks in a group, or of
 * ghosts in a row. There is a group for each block, and four for each five
 * blocks more, for ghosts. When there is none left the oldest ghost is
 * forgotten, which is the topmost of its branch, for a match takes the start of
 * a prefix first. Its children are not told: the birth of the group that their
 * link leads to is later than the link.
 */
#include "../hash.h"
#include "../plh.h"
#include "eviction.h"
#include "heap.h"

/* Ghosts that one operation frees beyond what it must: bounds the time. */
#define PRUNE_STEPS	64
/* slot->order: not called finished. The rest of it is the tick. */
#define NOT_FINISHED	BIT_ULL(63)
/* group->key of a free group; no block has it. */
#define NO_KEY		U64_MAX

enum kvbm_group_kind {
	GROUP_NEW,	/* in no list */
	GROUP_LEAF,
	GROUP_INNER,
	GROUP_GHOST,
	GROUP_DEAD,
	NR_GROUP_KINDS,
};

/**
 * struct kvbm_group - the Inactive blocks of one position and fragment
 * @key: both, see kvbm_plh_own_key()
 * @first: with blocks: the next victim of the group; slot->next is the link
 * @last: with blocks: the other end
 * @parent: without: what the last of them hung on
 * @linked: without: when that link was made, as @birth
 * @birth: ghosts that were forgotten before it was made; links to it are not older
 * @chain: next group in the bucket
 * @children: blocks, and ghosts, whose parent it is
 * @place: LEAF: in the heap
 * @prev: link of the list of its kind
 * @next: same; when free, of the free groups
 * @kind: see above
 *
 * A block has its links in its slot: slot->node is its group, slot->parent the
 * group it hangs on, slot->linked when that link was made, slot->order its tick.
 */
struct kvbm_group {
	u64 key;
	union {
		struct {
			u32 first;
			u32 last;
		};
		struct {
			u32 parent;
			u32 linked;
		};
	};
	u32 birth;
	u32 chain;
	u32 children;
	union {
		u32 place;
		u32 prev;
	};
	u32 next;
	u8 kind;
};

static_assert(sizeof(struct kvbm_group) == 40);

struct kvbm_group_list {
	u32 head;
	u32 tail;
};

/**
 * struct kvbm_lineage - see above
 * @evictor: base
 * @tick_order: leaves go by slot->order; otherwise by when they became leaves
 * @key: secret of @buckets
 * @mask: buckets - 1
 * @buckets: groups by key
 * @groups: nr_groups() of them
 * @free: first free group
 * @forgotten: ghosts that were forgotten with their children still there. Links
 *	are compared with a birth as if it never wrapped: one that outlasts 2^31
 *	forgotten ghosts may be taken for a good one, and its parent for a leaf
 * @clock: last tick given
 * @latest: the group that the last block came into, and
 * @recent: the parent of that: of a prefix, the next block is close to them
 * @vacant: while a block is removed: a group that is no leaf any more, and still
 *	has its place among @leaves. Mostly its parent becomes one, and takes it
 * @lists: of the kinds that have one
 * @leaves: next victims first
 */
struct kvbm_lineage {
	struct kvbm_evictor evictor;
	bool tick_order;
	struct kvbm_key key;
	u32 mask;
	u32 *buckets;
	struct kvbm_group *groups;
	u32 free;
	u32 forgotten;
	u64 clock;
	u32 latest;
	u32 recent;
	u32 vacant;
	struct kvbm_group_list lists[NR_GROUP_KINDS];
	struct kvbm_heap leaves;
};

static struct kvbm_lineage *to_lineage(struct kvbm_evictor *evictor)
{
	return container_of(evictor, struct kvbm_lineage, evictor);
}

/* So that a block and the parent that it brings along always find room. */
static u32 nr_groups(u32 block_count)
{
	return 2 * block_count - block_count / 5 + 1;
}

static bool has_blocks(const struct kvbm_group *g)
{
	return g->kind == GROUP_LEAF || g->kind == GROUP_INNER;
}

/* Lists of groups. */

static void enlist(struct kvbm_lineage *l, u32 group, enum kvbm_group_kind kind,
		   bool at_head)
{
	struct kvbm_group *g = &l->groups[group];
	struct kvbm_group_list *list = &l->lists[kind];

	g->kind = kind;
	g->prev = at_head ? KVBM_NIL : list->tail;
	g->next = at_head ? list->head : KVBM_NIL;
	if (g->prev == KVBM_NIL)
		list->head = group;
	else
		l->groups[g->prev].next = group;
	if (g->next == KVBM_NIL)
		list->tail = group;
	else
		l->groups[g->next].prev = group;
}

static void unlist(struct kvbm_lineage *l, u32 group)
{
	struct kvbm_group *g = &l->groups[group];
	struct kvbm_group_list *list = &l->lists[g->kind];

	if (g->prev == KVBM_NIL)
		list->head = g->next;
	else
		l->groups[g->prev].next = g->next;
	if (g->next == KVBM_NIL)
		list->tail = g->prev;
	else
		l->groups[g->next].prev = g->prev;
}

/* The order in which leaves go. */

static u64 leaf_key(struct kvbm_lineage *l, const struct kvbm_group *g)
{
	u64 order = l->evictor.slots[g->first].order;

	return l->tick_order ? order : (order & NOT_FINISHED) | ++l->clock;
}

/*
 * The first block of a leaf is another one. By fifo the group keeps its turn,
 * unless the one called finished and the other did not.
 */
static void leaf_changed(struct kvbm_lineage *l, u32 group)
{
	struct kvbm_group *g = &l->groups[group];
	u64 old = l->leaves.entries[g->place].key;
	u64 order = l->evictor.slots[g->first].order;
	u64 key = l->tick_order ? order :
		  (order & NOT_FINISHED) | (old & ~NOT_FINISHED);

	if (key != old)
		kvbm_evictor_visit(&l->evictor,
				   kvbm_heap_rekey(&l->leaves, group, key));
}

/* Out of the list of its kind, or the heap. */
static void leave_kind(struct kvbm_lineage *l, u32 group)
{
	struct kvbm_group *g = &l->groups[group];

	if (g->kind == GROUP_LEAF)
		kvbm_evictor_visit(&l->evictor, kvbm_heap_del(&l->leaves, group));
	else if (g->kind != GROUP_NEW)
		unlist(l, group);
	g->kind = GROUP_NEW;
}

/* A group that has blocks, and is in no list. */
static void enter_kind(struct kvbm_lineage *l, u32 group)
{
	struct kvbm_group *g = &l->groups[group];
	u32 steps;

	if (g->children) {
		enlist(l, group, GROUP_INNER, false);
		return;
	}
	g->kind = GROUP_LEAF;
	if (l->vacant == KVBM_NIL) {
		steps = kvbm_heap_add(&l->leaves, group, leaf_key(l, g));
	} else {
		steps = kvbm_heap_replace(&l->leaves, l->vacant, group,
					  leaf_key(l, g));
		l->vacant = KVBM_NIL;
	}
	kvbm_evictor_visit(&l->evictor, steps);
}

/* Groups by key. */

static u32 *bucket_of(struct kvbm_lineage *l, u64 key)
{
	return &l->buckets[kvbm_key_u64(&l->key, key) & l->mask];
}

static bool has_key(const struct kvbm_lineage *l, u32 group, u64 key)
{
	return group != KVBM_NIL && l->groups[group].key == key;
}

static u32 find_in(struct kvbm_lineage *l, const u32 *bucket, u64 key)
{
	u32 group = *bucket;

	while (group != KVBM_NIL && l->groups[group].key != key) {
		kvbm_evictor_visit(&l->evictor, 1);
		group = l->groups[group].chain;
	}
	return group;
}

static void group_free(struct kvbm_lineage *l, u32 group)
{
	struct kvbm_group *g = &l->groups[group];
	u32 *link = bucket_of(l, g->key);

	while (*link != group) {
		kvbm_evictor_visit(&l->evictor, 1);
		link = &l->groups[*link].chain;
	}
	*link = g->chain;
	g->kind = GROUP_NEW;
	g->key = NO_KEY;
	g->next = l->free;
	l->free = group;
}

/* Whether a link is one to a group that was there before @g. */
static bool is_stale(const struct kvbm_group *g, u32 linked)
{
	return (s32)(g->birth - linked) > 0;
}

/*
 * A child is there no more. Return: the parent, if nothing is left of it: in no
 * list, and to be buried; or KVBM_NIL.
 */
static u32 child_gone(struct kvbm_lineage *l, u32 parent, u32 linked)
{
	struct kvbm_group *p;
	bool dead;

	if (parent == KVBM_NIL)
		return KVBM_NIL;
	p = &l->groups[parent];
	/* Forgotten since, and perhaps another one now. */
	if (is_stale(p, linked) || !p->children)
		return KVBM_NIL;
	if (--p->children)
		return KVBM_NIL;
	dead = p->kind == GROUP_GHOST;
	leave_kind(l, parent);
	if (dead)
		return parent;
	enter_kind(l, parent);
	return KVBM_NIL;
}

/* Free a group without blocks that is in no list. Return: as child_gone(). */
static u32 bury(struct kvbm_lineage *l, u32 group)
{
	struct kvbm_group *g = &l->groups[group];
	u32 parent = g->parent, linked = g->linked;

	if (g->children)
		g->birth = ++l->forgotten;
	group_free(l, group);
	kvbm_evictor_visit(&l->evictor, 1);
	return child_gone(l, parent, linked);
}

/*
 * Up the branch that a leaf left, from @dead on, and later the rest of a long
 * one: the dead of this operation before those left by others.
 */
static void prune(struct kvbm_lineage *l, u32 dead)
{
	u32 steps;

	for (steps = 0; steps < PRUNE_STEPS; steps++) {
		if (dead == KVBM_NIL) {
			dead = l->lists[GROUP_DEAD].head;
			if (dead == KVBM_NIL)
				return;
			leave_kind(l, dead);
		}
		dead = bury(l, dead);
	}
	if (dead != KVBM_NIL)
		enlist(l, dead, GROUP_DEAD, true);
}

/* There are more groups than blocks: there is somebody to forget. */
static void make_room(struct kvbm_lineage *l)
{
	u32 group = l->lists[GROUP_DEAD].head;

	if (group == KVBM_NIL)
		group = l->lists[GROUP_GHOST].head;
	leave_kind(l, group);
	group = bury(l, group);
	if (group != KVBM_NIL)
		enlist(l, group, GROUP_DEAD, true);
}

static u32 group_new(struct kvbm_lineage *l, u64 key)
{
	struct kvbm_group *g;
	u32 group, *bucket;

	if (l->free == KVBM_NIL)
		make_room(l);
	group = l->free;
	g = &l->groups[group];
	bucket = bucket_of(l, key);
	l->free = g->next;
	g->key = key;
	g->parent = KVBM_NIL;
	g->birth = l->forgotten;
	g->children = 0;
	g->chain = *bucket;
	*bucket = group;
	return group;
}

/* The blocks of a group: those called finished in front. */

static void member_add(struct kvbm_lineage *l, u32 group, u32 id)
{
	struct kvbm_group *g = &l->groups[group];
	struct kvbm_slot *slots = l->evictor.slots;
	bool at_head = !(slots[id].order & NOT_FINISHED);

	slots[id].prev = at_head ? KVBM_NIL : g->last;
	slots[id].next = at_head ? g->first : KVBM_NIL;
	if (slots[id].prev == KVBM_NIL)
		g->first = id;
	else
		slots[slots[id].prev].next = id;
	if (slots[id].next == KVBM_NIL)
		g->last = id;
	else
		slots[slots[id].next].prev = id;
}

static void member_del(struct kvbm_lineage *l, u32 group, u32 id)
{
	struct kvbm_group *g = &l->groups[group];
	struct kvbm_slot *slots = l->evictor.slots;

	if (slots[id].prev == KVBM_NIL)
		g->first = slots[id].next;
	else
		slots[slots[id].prev].next = slots[id].next;
	if (slots[id].next == KVBM_NIL)
		g->last = slots[id].prev;
	else
		slots[slots[id].next].prev = slots[id].prev;
}

/* The block below the group that its hash names as its parent. */
static void join_parent(struct kvbm_lineage *l, u32 id)
{
	struct kvbm_slot *slot = &l->evictor.slots[id];
	u64 key = kvbm_plh_parent_key(&slot->hash);
	struct kvbm_group *p;
	u32 parent;

	slot->parent = KVBM_NIL;
	slot->linked = l->forgotten;
	if (!kvbm_plh_position(&slot->hash))
		return;
	if (has_key(l, l->latest, key))
		parent = l->latest;
	else if (has_key(l, l->recent, key))
		parent = l->recent;
	else
		parent = find_in(l, bucket_of(l, key), key);
	if (parent == KVBM_NIL) {
		parent = group_new(l, key);
		/* Somebody may have been forgotten for it. */
		slot->linked = l->forgotten;
	}
	slot->parent = parent;
	p = &l->groups[parent];
	if (p->children++)
		return;
	if (p->kind == GROUP_LEAF) {
		leave_kind(l, parent);
		enter_kind(l, parent);
	} else {
		/* New, or not buried yet. */
		leave_kind(l, parent);
		enlist(l, parent, GROUP_GHOST, false);
	}
}

/*
 * The block into the group of its own key, which may be @hint. Return: as
 * child_gone().
 */
static u32 join_group(struct kvbm_lineage *l, u32 id, u32 hint)
{
	struct kvbm_slot *slot = &l->evictor.slots[id];
	u64 key = kvbm_plh_own_key(&slot->hash);
	u32 group = hint, parent = KVBM_NIL, linked = 0;
	struct kvbm_group *g;

	if (!has_key(l, group, key))
		group = find_in(l, bucket_of(l, key), key);
	if (group == KVBM_NIL)
		group = group_new(l, key);
	slot->node = group;
	l->latest = group;
	g = &l->groups[group];
	if (has_blocks(g)) {
		member_add(l, group, id);
		if (g->kind == GROUP_LEAF)
			leaf_changed(l, group);
		return KVBM_NIL;
	}
	if (g->kind != GROUP_NEW) {
		parent = g->parent;
		linked = g->linked;
		leave_kind(l, group);
	}
	g->first = id;
	g->last = id;
	slot->prev = KVBM_NIL;
	slot->next = KVBM_NIL;
	enter_kind(l, group);
	/* The block has a link of its own. */
	return child_gone(l, parent, linked);
}

static void lineage_insert(struct kvbm_evictor *evictor, u32 id,
			   struct kvbm_release_hint hint)
{
	struct kvbm_lineage *l = to_lineage(evictor);
	u32 recent = l->recent;

	/* At one million a second it takes 290,000 years to wrap. */
	l->clock++;
	evictor->slots[id].order = l->clock |
		(hint.kind == KVBM_HINT_FINISHED ? 0 : NOT_FINISHED);
	join_parent(l, id);
	l->recent = evictor->slots[id].parent;
	prune(l, join_group(l, id, recent));
}

static void lineage_remove(struct kvbm_evictor *evictor, u32 id)
{
	struct kvbm_lineage *l = to_lineage(evictor);
	struct kvbm_slot *slot = &evictor->slots[id];
	u32 group = slot->node, linked = slot->linked;
	struct kvbm_group *g = &l->groups[group];

	/* From here on it counts write pins again. */
	slot->writers = 0;
	if (slot->prev != KVBM_NIL || slot->next != KVBM_NIL) {
		member_del(l, group, id);
		if (g->kind == GROUP_LEAF)
			leaf_changed(l, group);
		group = child_gone(l, slot->parent, linked);
	} else if (g->children) {
		leave_kind(l, group);
		g->parent = slot->parent;
		g->linked = linked;
		enlist(l, group, GROUP_GHOST, false);
		group = KVBM_NIL;
	} else {
		l->vacant = group;
		g->kind = GROUP_NEW;
		g->parent = slot->parent;
		g->linked = linked;
	}
	prune(l, group);
	if (l->vacant != KVBM_NIL) {
		kvbm_evictor_visit(evictor, kvbm_heap_del(&l->leaves, l->vacant));
		l->vacant = KVBM_NIL;
	}
}

/*
 * Only if a very long row of ghosts waits to be pruned can there be blocks and
 * no leaf.
 */
static u32 lineage_next(struct kvbm_evictor *evictor)
{
	struct kvbm_lineage *l = to_lineage(evictor);
	u32 group;

	if (!kvbm_heap_empty(&l->leaves))
		group = l->leaves.entries[KVBM_HEAP_ROOT].item;
	else
		group = l->lists[GROUP_INNER].head;
	return group == KVBM_NIL ? KVBM_NIL : l->groups[group].first;
}

static bool lineage_linked(struct kvbm_evictor *evictor, u32 id)
{
	const struct kvbm_lineage *l = to_lineage(evictor);
	const struct kvbm_slot *slot = &evictor->slots[id];
	const struct kvbm_group *g, *p;
	struct kvbm_slot_list members;

	if (slot->node >= nr_groups(evictor->block_count))
		return false;
	g = &l->groups[slot->node];
	if (!has_blocks(g) || g->key != kvbm_plh_own_key(&slot->hash) ||
	    g->kind != (g->children ? GROUP_INNER : GROUP_LEAF))
		return false;
	members.head = g->first;
	members.tail = g->last;
	if (!kvbm_slot_list_linked(&members, evictor->slots,
				   evictor->block_count, id))
		return false;
	if (g->kind == GROUP_LEAF &&
	    (g->place < KVBM_HEAP_ROOT || g->place >= l->leaves.end ||
	     l->leaves.entries[g->place].item != slot->node))
		return false;
	if (slot->parent == KVBM_NIL)
		return !kvbm_plh_position(&slot->hash);
	if (slot->parent >= nr_groups(evictor->block_count))
		return false;
	p = &l->groups[slot->parent];
	return is_stale(p, slot->linked) ||
	       (p->children && p->key == kvbm_plh_parent_key(&slot->hash));
}

static u64 lineage_bytes(u32 block_count)
{
	return sizeof(struct kvbm_lineage) +
	       (u64)nr_groups(block_count) * sizeof(struct kvbm_group) +
	       (u64)kvbm_bucket_count(block_count) * sizeof(u32) +
	       (u64)kvbm_heap_room(block_count) * sizeof(struct kvbm_heap_entry);
}

static void lineage_destroy(struct kvbm_evictor *evictor)
{
	struct kvbm_lineage *l = to_lineage(evictor);

	kvbm_free(l->leaves.entries);
	kvbm_free(l->groups);
	kvbm_free(l->buckets);
	kvbm_free(l);
}

static int lineage_create(const struct kvbm_eviction_config *config,
			  struct kvbm_evictor **out)
{
	struct kvbm_lineage *l = kvbm_alloc(1, sizeof(*l));
	u32 buckets = kvbm_bucket_count(config->block_count);
	u32 i, nr = nr_groups(config->block_count);

	if (!l)
		return -ENOMEM;
	kvbm_key_init(&l->key);
	l->mask = buckets - 1;
	l->buckets = kvbm_alloc(buckets, sizeof(*l->buckets));
	l->groups = kvbm_alloc(nr, sizeof(*l->groups));
	l->leaves.entries = kvbm_alloc(kvbm_heap_room(config->block_count),
				       sizeof(*l->leaves.entries));
	if (!l->buckets || !l->groups || !l->leaves.entries) {
		lineage_destroy(&l->evictor);
		return -ENOMEM;
	}
	kvbm_fill_nil(l->buckets, buckets);
	for (i = 0; i < nr; i++) {
		l->groups[i].key = NO_KEY;
		l->groups[i].next = i + 1 < nr ? i + 1 : KVBM_NIL;
		if (i % 4096 == 0)
			kvbm_relax();
	}
	for (i = 0; i < NR_GROUP_KINDS; i++) {
		l->lists[i].head = KVBM_NIL;
		l->lists[i].tail = KVBM_NIL;
	}
	l->vacant = KVBM_NIL;
	l->latest = KVBM_NIL;
	l->recent = KVBM_NIL;
	l->leaves.end = KVBM_HEAP_ROOT;
	l->leaves.places = &l->groups[0].place;
	l->leaves.stride = sizeof(struct kvbm_group) / sizeof(u32);
	*out = &l->evictor;
	return 0;
}

static int lineage_tick_create(const struct kvbm_eviction_config *config,
			       struct kvbm_evictor **out)
{
	int err = lineage_create(config, out);

	if (!err)
		to_lineage(*out)->tick_order = true;
	return err;
}

const struct kvbm_eviction_ops kvbm_eviction_lineage_tick = {
	.name = "lineage-tick",
	.needs = KVBM_EVICTION_NEEDS_LINEAGE,
	.check_args = kvbm_eviction_no_args,
	.bytes = lineage_bytes,
	.create = lineage_tick_create,
	.destroy = lineage_destroy,
	.insert = lineage_insert,
	.remove = lineage_remove,
	.next = lineage_next,
	.linked = lineage_linked,
};

const struct kvbm_eviction_ops kvbm_eviction_lineage_fifo = {
	.name = "lineage-fifo",
	.needs = KVBM_EVICTION_NEEDS_LINEAGE,
	.check_args = kvbm_eviction_no_args,
	.bytes = lineage_bytes,
	.create = lineage_create,
	.destroy = lineage_destroy,
	.insert = lineage_insert,
	.remove = lineage_remove,
	.next = lineage_next,
	.linked = lineage_linked,
};
