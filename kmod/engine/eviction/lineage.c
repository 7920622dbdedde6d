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
 * ghosts in a row. There are at most block_count ghosts. When one more is
 * needed the oldest is forgotten, which is the topmost of its branch, for a
 * match takes the start of a prefix first. Its children are not told: the
 * birth of the group that their link leads to is later than the link.
 */
#include "../hash.h"
#include "../plh.h"
#include "eviction.h"
#include "heap.h"

/* Ghosts that one operation frees beyond what it must: bounds the time. */
#define PRUNE_STEPS	64
/* slot->order: not called finished. The rest of it is the tick. */
#define NOT_FINISHED	BIT_ULL(63)
/* group->birth of a free group. */
#define UNBORN		U64_MAX

enum kvbm_group_kind {
	GROUP_FREE,
	GROUP_NEW,	/* in no list yet */
	GROUP_LEAF,
	GROUP_INNER,
	GROUP_GHOST,
	GROUP_DEAD,
	NR_GROUP_KINDS,
};

/**
 * struct kvbm_group - the Inactive blocks of one position and fragment
 * @fragment: with @position the key
 * @birth: tick at which it was made; links to it are not older
 * @first: with blocks: the next victim of the group; slot->next is the link
 * @last: with blocks: the other end
 * @linked: without: the tick of the link to @parent
 * @position: with @fragment the key
 * @kind: see above
 * @chain: next group in the bucket
 * @children: blocks, and ghosts, whose parent it is
 * @place: LEAF: in the heap
 * @parent: without blocks: what the last of them hung on
 * @prev: link of the list of its kind
 * @next: same; when free, of the free groups
 *
 * A block has its links in its slot: slot->node is its group, slot->parent the
 * group it hangs on, slot->order its tick.
 */
struct kvbm_group {
	u64 fragment;
	u64 birth;
	union {
		struct {
			u32 first;
			u32 last;
		};
		u64 linked;
	};
	u32 position : 24;
	u32 kind : 8;
	u32 chain;
	u32 children;
	union {
		u32 place;
		u32 parent;
	};
	u32 prev;
	u32 next;
};

static_assert(sizeof(struct kvbm_group) == 48);

struct kvbm_group_list {
	u32 head;
	u32 tail;
	u32 count;
};

/**
 * struct kvbm_lineage - see above
 * @evictor: base
 * @tick_order: leaves go by slot->order; otherwise by when they became leaves
 * @key: secret of @buckets
 * @mask: buckets - 1
 * @buckets: groups by position and fragment
 * @groups: twice block_count: at most that many with blocks, that many ghosts
 * @free: first free group
 * @clock: last tick given
 * @recent: where the parent of the last block was: with the tail released
 *	first, the next block is just there
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
	u64 clock;
	u32 recent;
	struct kvbm_group_list lists[NR_GROUP_KINDS];
	struct kvbm_heap leaves;
};

static struct kvbm_lineage *to_lineage(struct kvbm_evictor *evictor)
{
	return container_of(evictor, struct kvbm_lineage, evictor);
}

static u64 tick_of(const struct kvbm_slot *slot)
{
	return slot->order & ~NOT_FINISHED;
}

static u32 nr_ghosts(const struct kvbm_lineage *l)
{
	return l->lists[GROUP_GHOST].count + l->lists[GROUP_DEAD].count;
}

static bool has_blocks(const struct kvbm_group *g)
{
	return g->kind == GROUP_LEAF || g->kind == GROUP_INNER;
}

/* Lists of groups. */

static void enlist(struct kvbm_lineage *l, u32 group, bool at_head)
{
	struct kvbm_group *g = &l->groups[group];
	struct kvbm_group_list *list = &l->lists[g->kind];

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
	list->count++;
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
	list->count--;
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

static void leave_kind(struct kvbm_lineage *l, u32 group)
{
	struct kvbm_group *g = &l->groups[group];

	if (g->kind == GROUP_LEAF)
		kvbm_evictor_visit(&l->evictor, kvbm_heap_del(&l->leaves, group));
	else if (g->kind != GROUP_NEW)
		unlist(l, group);
	g->kind = GROUP_NEW;
}

/* Blocks came or went, children came or went: what is the group now? */
static void settle(struct kvbm_lineage *l, u32 group, bool blocks)
{
	struct kvbm_group *g = &l->groups[group];
	enum kvbm_group_kind kind;

	if (blocks)
		kind = g->children ? GROUP_INNER : GROUP_LEAF;
	else
		kind = g->children ? GROUP_GHOST : GROUP_DEAD;
	if (kind == g->kind)
		return;
	leave_kind(l, group);
	g->kind = kind;
	if (kind == GROUP_LEAF)
		kvbm_evictor_visit(&l->evictor,
				   kvbm_heap_add(&l->leaves, group, leaf_key(l, g)));
	else
		/* The dead of this operation before those left by others. */
		enlist(l, group, kind == GROUP_DEAD);
}

/* Groups by key. */

static u32 *bucket_of(struct kvbm_lineage *l, u32 position, u64 fragment)
{
	struct kvbm_hash key = { .lo = fragment, .hi = position };

	return &l->buckets[kvbm_key_hash(&l->key, &key) & l->mask];
}

static bool has_key(const struct kvbm_group *g, u32 position, u64 fragment)
{
	return g->fragment == fragment && g->position == position &&
	       g->kind != GROUP_FREE;
}

static u32 find(struct kvbm_lineage *l, u32 position, u64 fragment)
{
	u32 group = *bucket_of(l, position, fragment);

	while (group != KVBM_NIL &&
	       !has_key(&l->groups[group], position, fragment)) {
		kvbm_evictor_visit(&l->evictor, 1);
		group = l->groups[group].chain;
	}
	return group;
}

static u32 group_new(struct kvbm_lineage *l, u32 position, u64 fragment)
{
	u32 *bucket = bucket_of(l, position, fragment);
	u32 group = l->free;
	struct kvbm_group *g = &l->groups[group];

	l->free = g->next;
	g->fragment = fragment;
	g->position = position;
	g->birth = l->clock;
	g->kind = GROUP_NEW;
	g->children = 0;
	g->parent = KVBM_NIL;
	g->chain = *bucket;
	*bucket = group;
	return group;
}

static void group_free(struct kvbm_lineage *l, u32 group)
{
	struct kvbm_group *g = &l->groups[group];
	u32 *link = bucket_of(l, g->position, g->fragment);

	while (*link != group) {
		kvbm_evictor_visit(&l->evictor, 1);
		link = &l->groups[*link].chain;
	}
	*link = g->chain;
	leave_kind(l, group);
	g->kind = GROUP_FREE;
	g->birth = UNBORN;
	g->next = l->free;
	l->free = group;
}

/* A child that was linked to @parent at tick @linked is there no more. */
static void child_gone(struct kvbm_lineage *l, u32 parent, u64 linked)
{
	struct kvbm_group *p;

	if (parent == KVBM_NIL)
		return;
	p = &l->groups[parent];
	/* Forgotten since, and perhaps another one now. */
	if (p->birth > linked)
		return;
	p->children--;
	settle(l, parent, has_blocks(p));
}

/* Free a group without blocks. */
static void bury(struct kvbm_lineage *l, u32 group)
{
	u32 parent = l->groups[group].parent;
	u64 linked = l->groups[group].linked;

	group_free(l, group);
	child_gone(l, parent, linked);
	kvbm_evictor_visit(&l->evictor, 1);
}

/* Up the branch that a leaf left, and later the rest of a long one. */
static void prune(struct kvbm_lineage *l)
{
	u32 steps = PRUNE_STEPS;

	while (l->lists[GROUP_DEAD].count && steps--)
		bury(l, l->lists[GROUP_DEAD].head);
}

static void make_room_for_ghost(struct kvbm_lineage *l)
{
	if (nr_ghosts(l) < l->evictor.block_count)
		return;
	if (l->lists[GROUP_DEAD].count)
		bury(l, l->lists[GROUP_DEAD].head);
	else
		bury(l, l->lists[GROUP_GHOST].head);
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

/* The block into the group of its own key, which may be @group. */
static void join_group(struct kvbm_lineage *l, u32 id, u32 group)
{
	struct kvbm_slot *slot = &l->evictor.slots[id];
	u32 position = kvbm_plh_position(&slot->hash);
	u64 fragment = kvbm_plh_own_fragment(&slot->hash);
	u32 parent = KVBM_NIL;
	u64 linked = 0;
	struct kvbm_group *g;

	if (group == KVBM_NIL || !has_key(&l->groups[group], position, fragment))
		group = find(l, position, fragment);
	if (group == KVBM_NIL)
		group = group_new(l, position, fragment);
	g = &l->groups[group];
	slot->node = group;
	if (has_blocks(g)) {
		member_add(l, group, id);
		if (g->kind == GROUP_LEAF)
			leaf_changed(l, group);
		return;
	}
	if (g->kind != GROUP_NEW) {
		parent = g->parent;
		linked = g->linked;
		leave_kind(l, group);
	}
	g->first = KVBM_NIL;
	g->last = KVBM_NIL;
	member_add(l, group, id);
	settle(l, group, true);
	/* The block has a link of its own. */
	child_gone(l, parent, linked);
}

/* The block below the group that its hash names as its parent. */
static void join_parent(struct kvbm_lineage *l, u32 id)
{
	struct kvbm_slot *slot = &l->evictor.slots[id];
	u32 position = kvbm_plh_position(&slot->hash);
	u64 fragment = kvbm_plh_fragment(&slot->hash);
	u32 parent;

	slot->parent = KVBM_NIL;
	if (!position)
		return;
	parent = find(l, position - 1, fragment);
	if (parent == KVBM_NIL) {
		make_room_for_ghost(l);
		parent = group_new(l, position - 1, fragment);
	}
	l->groups[parent].children++;
	settle(l, parent, has_blocks(&l->groups[parent]));
	slot->parent = parent;
	l->recent = parent;
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
	join_group(l, id, recent);
	prune(l);
}

static void lineage_remove(struct kvbm_evictor *evictor, u32 id)
{
	struct kvbm_lineage *l = to_lineage(evictor);
	struct kvbm_slot *slot = &evictor->slots[id];
	u32 group = slot->node;
	struct kvbm_group *g = &l->groups[group];

	if (slot->prev != KVBM_NIL || slot->next != KVBM_NIL) {
		member_del(l, group, id);
		if (g->kind == GROUP_LEAF)
			leaf_changed(l, group);
		child_gone(l, slot->parent, tick_of(slot));
	} else {
		/* It may be a child of this one that is forgotten for it. */
		if (g->children)
			make_room_for_ghost(l);
		leave_kind(l, group);
		g->parent = slot->parent;
		g->linked = tick_of(slot);
		settle(l, group, false);
	}
	prune(l);
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
	u32 position = kvbm_plh_position(&slot->hash);

	if (slot->node >= 2ULL * evictor->block_count)
		return false;
	g = &l->groups[slot->node];
	if (!has_blocks(g) ||
	    !has_key(g, position, kvbm_plh_own_fragment(&slot->hash)) ||
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
		return !position;
	if (slot->parent >= 2ULL * evictor->block_count)
		return false;
	p = &l->groups[slot->parent];
	return p->birth > tick_of(slot) ||
	       (p->children &&
		has_key(p, position - 1, kvbm_plh_fragment(&slot->hash)));
}

static u64 lineage_bytes(u32 block_count)
{
	return sizeof(struct kvbm_lineage) +
	       2ULL * block_count * sizeof(struct kvbm_group) +
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
	u32 i, nr_groups = 2 * config->block_count;

	if (!l)
		return -ENOMEM;
	kvbm_key_init(&l->key);
	l->mask = buckets - 1;
	l->buckets = kvbm_alloc(buckets, sizeof(*l->buckets));
	l->groups = kvbm_alloc(nr_groups, sizeof(*l->groups));
	l->leaves.entries = kvbm_alloc(kvbm_heap_room(config->block_count),
				       sizeof(*l->leaves.entries));
	if (!l->buckets || !l->groups || !l->leaves.entries) {
		lineage_destroy(&l->evictor);
		return -ENOMEM;
	}
	kvbm_fill_nil(l->buckets, buckets);
	for (i = 0; i < nr_groups; i++) {
		l->groups[i].birth = UNBORN;
		l->groups[i].next = i + 1 < nr_groups ? i + 1 : KVBM_NIL;
		if (i % 4096 == 0)
			kvbm_relax();
	}
	for (i = 0; i < NR_GROUP_KINDS; i++) {
		l->lists[i].head = KVBM_NIL;
		l->lists[i].tail = KVBM_NIL;
	}
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
