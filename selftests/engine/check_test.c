// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The check of a store sees what is broken: each test breaks one thing, looks
 * for the right code and block, and mends it.
 */
#include "fixture.h"

/*
 * Ids: 0 Primary (hash 0), 1 its Duplicate, 2 Primary (hash 1), 3 to 6 Inactive
 * (hashes 2 to 5), 7 Mutable, 8 Staged, 9 to 15 Reset.
 */
enum {
	PRIMARY = 0,
	DUPLICATE = 1,
	LONELY = 2,
	CACHED = 4,
	MUTABLE = 7,
	STAGED = 8,
	FREE = 11,
	SIZE = 16,
};

static void break_set_up_with(struct fixture *f, u32 policy)
{
	struct kvbm_store_config config = config_of(SIZE);
	struct kvbm_token t[7];

	config.policy = policy;
	ASSERT_EQ(kvbm_registry_alloc(SIZE, KVBM_SCHEMA_PLH, &f->registry), 0);
	ASSERT_EQ(kvbm_registry_add_sketch(f->registry, SIZE), 0);
	f->store = store_of(f->registry, config);
	kvbm_holder_init(&f->holder, f->store);
	fill(&f->holder, 0, 1, &t[0]);
	fill(&f->holder, 0, 1, &t[1]);
	fill(&f->holder, 1, 5, &t[2]);
	ASSERT_EQ(give(&f->holder, 4, &t[3]), 0);
	ASSERT_EQ(take(&f->holder, 2, t), 0);
	ASSERT_EQ(stage(&f->holder, 100, 1, &t[1]), 0);
	EXPECT_EQ(state_of(f, PRIMARY), KVBM_STATE_PRIMARY);
	EXPECT_EQ(state_of(f, DUPLICATE), KVBM_STATE_DUPLICATE);
	EXPECT_EQ(state_of(f, LONELY), KVBM_STATE_PRIMARY);
	EXPECT_EQ(state_of(f, CACHED), KVBM_STATE_INACTIVE);
	EXPECT_EQ(state_of(f, MUTABLE), KVBM_STATE_MUTABLE);
	EXPECT_EQ(state_of(f, STAGED), KVBM_STATE_STAGED);
	EXPECT_EQ(state_of(f, FREE), KVBM_STATE_RESET);
	expect_sound(f->store);
}

static void break_set_up(struct fixture *f)
{
	break_set_up_with(f, KVBM_POLICY_LRU);
}

/* The first thing found must be @code, at @block. */
static void expect_found(struct fixture *f, u32 code, u32 block, int line)
{
	struct kvbm_check_result r;

	EXPECT_EQ(kvbm_store_check(f->store, &r), 0);
	if (!r.errors || r.first_error != code || r.first_block != block)
		tap_fail(__FILE__, line, "%llu errors, first %u (%s) at %u; not %u at %u",
			 (unsigned long long)r.errors, r.first_error,
			 kvbm_check_name(r.first_error), r.first_block, code, block);
}

/* Break a field of a slot, look for the code at @found, mend. */
#define BREAK_AT(f, id, field, value, code, found) do {			\
	struct kvbm_slot *slot_ = &(f)->store->slots[id];		\
	__typeof__(slot_->field) good_ = slot_->field;			\
	slot_->field = (value);						\
	expect_found(f, KVBM_CHECK_##code, found, __LINE__);		\
	slot_->field = good_;						\
	expect_sound((f)->store);					\
} while (0)

#define BREAK(f, id, field, value, code) \
	BREAK_AT(f, id, field, value, code, id)

static void bad_state(void)
{
	struct fixture f;

	break_set_up(&f);
	BREAK(&f, MUTABLE, state, KVBM_NR_STATES, BAD_STATE);
	BREAK(&f, FREE, state, 255, BAD_STATE);
	tear_down(&f);
}

static void bad_refs(void)
{
	struct fixture f;

	break_set_up(&f);
	BREAK(&f, FREE, refs, 1, BAD_REFS);
	BREAK(&f, MUTABLE, refs, 0, BAD_REFS);
	BREAK(&f, MUTABLE, refs, 2, BAD_REFS);
	BREAK(&f, STAGED, refs, 0, BAD_REFS);
	BREAK(&f, STAGED, refs, 2, BAD_REFS);
	BREAK(&f, LONELY, refs, 0, BAD_REFS);
	BREAK(&f, CACHED, refs, 1, BAD_REFS);
	BREAK(&f, DUPLICATE, refs, 0, BAD_REFS);
	tear_down(&f);
}

static u32 *bucket_of(struct kvbm_store *s, const struct kvbm_hash *hash)
{
	return &s->buckets[kvbm_key_hash(&s->key, hash) & s->mask];
}

/* Where buckets are depends on a random key: look for one that is empty. */
static u32 *empty_bucket(struct kvbm_store *s, struct kvbm_hash *hash)
{
	*hash = hash_of(200);
	while (*bucket_of(s, hash) != KVBM_NIL)
		hash->lo += 1ULL << 54;
	return bucket_of(s, hash);
}

static void bad_index(void)
{
	struct kvbm_hash hash = hash_of(1), other;
	struct kvbm_store *s;
	struct fixture f;
	u32 *bucket, *link, good;

	break_set_up(&f);
	s = f.store;
	/* A registered block that its hash does not lead to. */
	link = bucket_of(s, &hash);
	while (*link != LONELY)
		link = &s->slots[*link].chain;
	*link = s->slots[LONELY].chain;
	expect_found(&f, KVBM_CHECK_BAD_INDEX, LONELY, __LINE__);
	*link = LONELY;
	expect_sound(s);
	/* Its hash is another one now. */
	bucket = empty_bucket(s, &other);
	BREAK(&f, LONELY, hash, other, BAD_INDEX);
	BREAK(&f, CACHED, hash, other, BAD_INDEX);
	/* A link that leads out of the table: no Primary or Inactive there. */
	*bucket = SIZE;
	expect_found(&f, KVBM_CHECK_BAD_INDEX, SIZE, __LINE__);
	/* A block in the index that is not registered. */
	*bucket = MUTABLE;
	good = s->slots[MUTABLE].chain;
	s->slots[MUTABLE].chain = KVBM_NIL;
	expect_found(&f, KVBM_CHECK_BAD_INDEX, MUTABLE, __LINE__);
	s->slots[MUTABLE].chain = good;
	*bucket = KVBM_NIL;
	expect_sound(s);
	tear_down(&f);
}

static void bad_index_loop(void)
{
	struct kvbm_store *s;
	struct fixture f;
	struct kvbm_hash hash, good_hash;
	u32 *bucket, good;

	break_set_up(&f);
	s = f.store;
	bucket = empty_bucket(s, &hash);
	good = s->slots[STAGED].chain;
	*bucket = STAGED;
	s->slots[STAGED].chain = STAGED;
	expect_found(&f, KVBM_CHECK_BAD_INDEX, STAGED, __LINE__);
	/* A registered block that is looked up in there. */
	good_hash = s->slots[CACHED].hash;
	s->slots[CACHED].hash = hash;
	expect_found(&f, KVBM_CHECK_BAD_INDEX, CACHED, __LINE__);
	s->slots[CACHED].hash = good_hash;
	s->slots[STAGED].chain = good;
	*bucket = KVBM_NIL;
	expect_sound(s);
	tear_down(&f);
}

static void bad_pool(void)
{
	struct fixture f;

	break_set_up(&f);
	/* A neighbour is the first to miss its link back. */
	BREAK_AT(&f, FREE, prev, FREE, BAD_POOL, FREE - 1);
	BREAK_AT(&f, FREE, prev, SIZE + 1, BAD_POOL, FREE - 1);
	BREAK_AT(&f, CACHED, prev, KVBM_NIL, BAD_POOL, CACHED - 1);
	BREAK(&f, FREE, next, KVBM_NIL, BAD_POOL);
	BREAK(&f, FREE, next, SIZE, BAD_POOL);
	BREAK(&f, CACHED, next, CACHED, BAD_POOL);
	BREAK(&f, CACHED, next, 1U << 30, BAD_POOL);
	tear_down(&f);
}

/* The links of a policy that are in the slots; 3 to 6 are a chain. */
static void bad_lineage(u32 policy)
{
	u32 own, child;
	struct fixture f;

	break_set_up_with(&f, policy);
	own = f.store->slots[CACHED].node;
	child = f.store->slots[CACHED + 1].node;
	EXPECT_EQ(f.store->slots[CACHED + 1].parent, own);
	/* No group, the group of another position, one that is free. */
	BREAK(&f, CACHED, node, KVBM_NIL, BAD_POOL);
	BREAK(&f, CACHED, node, 2 * SIZE, BAD_POOL);
	BREAK(&f, CACHED, node, child, BAD_POOL);
	BREAK(&f, CACHED, node, 2 * SIZE - 1, BAD_POOL);
	/* Hung on nothing, on itself, on its child, on no group. */
	BREAK(&f, CACHED, parent, KVBM_NIL, BAD_POOL);
	BREAK(&f, CACHED, parent, own, BAD_POOL);
	BREAK(&f, CACHED + 1, parent, child, BAD_POOL);
	BREAK(&f, CACHED, parent, 2 * SIZE, BAD_POOL);
	/* A member of its group that it should not have. */
	BREAK(&f, CACHED, next, CACHED + 1, BAD_POOL);
	BREAK(&f, CACHED, prev, CACHED + 1, BAD_POOL);
	BREAK(&f, CACHED, next, 1U << 30, BAD_POOL);
	/* The chain still goes, tail first. */
	EXPECT_EQ(f.store->evictor->ops->next(f.store->evictor), 6);
	tear_down(&f);
}

static void bad_lineage_tick(void)
{
	bad_lineage(KVBM_POLICY_LINEAGE_TICK);
}

static void bad_lineage_fifo(void)
{
	bad_lineage(KVBM_POLICY_LINEAGE_FIFO);
}

static void bad_level(void)
{
	struct fixture f;

	break_set_up_with(&f, KVBM_POLICY_MULTI_LRU);
	/* No level; and the end of a list that is in another one. */
	BREAK(&f, CACHED, node, 4, BAD_POOL);
	BREAK(&f, CACHED, node, KVBM_NIL, BAD_POOL);
	BREAK(&f, 3, node, 1, BAD_POOL);
	BREAK(&f, 6, node, 3, BAD_POOL);
	BREAK(&f, CACHED, next, CACHED, BAD_POOL);
	tear_down(&f);
}

static void bad_primary(void)
{
	struct kvbm_hash other = hash_of(77);
	struct fixture f;

	break_set_up(&f);
	BREAK(&f, DUPLICATE, primary, SIZE, BAD_PRIMARY);
	BREAK(&f, DUPLICATE, primary, KVBM_NIL, BAD_PRIMARY);
	BREAK(&f, DUPLICATE, primary, MUTABLE, BAD_PRIMARY);
	BREAK(&f, DUPLICATE, primary, CACHED, BAD_PRIMARY);
	BREAK(&f, DUPLICATE, primary, LONELY, BAD_PRIMARY);
	BREAK(&f, DUPLICATE, hash, other, BAD_PRIMARY);
	tear_down(&f);
}

static void bad_presence(void)
{
	struct kvbm_hash hash = hash_of(1);
	struct fixture f;

	break_set_up(&f);
	kvbm_registry_absent(f.registry, f.store->share.bit, &hash);
	expect_found(&f, KVBM_CHECK_BAD_PRESENCE, LONELY, __LINE__);
	/* What another store has is no presence in this one. */
	kvbm_registry_present(f.registry, (f.store->share.bit + 1) % 64, &hash);
	expect_found(&f, KVBM_CHECK_BAD_PRESENCE, LONELY, __LINE__);
	kvbm_registry_absent(f.registry, (f.store->share.bit + 1) % 64, &hash);
	kvbm_registry_present(f.registry, f.store->share.bit, &hash);
	expect_sound(f.store);
	tear_down(&f);
}

static void bad_count(void)
{
	struct kvbm_counters *c;
	struct fixture f;

	break_set_up(&f);
	c = &f.store->counters;
	c->states[KVBM_STATE_MUTABLE]++;
	expect_found(&f, KVBM_CHECK_BAD_COUNT, KVBM_NIL, __LINE__);
	c->states[KVBM_STATE_MUTABLE]--;
	f.store->free.count--;
	expect_found(&f, KVBM_CHECK_BAD_COUNT, KVBM_NIL, __LINE__);
	f.store->free.count++;
	f.store->evictor->count++;
	expect_found(&f, KVBM_CHECK_BAD_COUNT, KVBM_NIL, __LINE__);
	f.store->evictor->count--;
	expect_sound(f.store);
	tear_down(&f);
}

static void bad_generation(void)
{
	struct fixture f;

	break_set_up(&f);
	BREAK(&f, MUTABLE, gen, 0, BAD_GENERATION);
	BREAK(&f, STAGED, gen, 0, BAD_GENERATION);
	BREAK(&f, LONELY, gen, 0, BAD_GENERATION);
	BREAK(&f, DUPLICATE, gen, 0, BAD_GENERATION);
	BREAK(&f, CACHED, gen, 0, BAD_GENERATION);
	tear_down(&f);
}

/* Withheld blocks are there, and are nothing but that. */
static void reserved(void)
{
	struct kvbm_store_config config = config_of(SIZE);
	struct kvbm_check_result r;
	struct kvbm_token t[SIZE];
	struct fixture f;

	config.nr_reserved = 3;
	set_up_with(&f, config);
	fill(&f.holder, 0, 2, t);
	EXPECT_EQ(t[0].id, 3);
	expect_sound(f.store);
	EXPECT_EQ(kvbm_store_check(f.store, &r), 0);
	EXPECT_EQ(r.blocks, SIZE);
	EXPECT_EQ(r.states[KVBM_STATE_RESET], SIZE - 5);
	EXPECT_EQ(r.states[KVBM_STATE_PRIMARY], 2);
	BREAK(&f, 1, state, KVBM_STATE_MUTABLE, BAD_STATE);
	BREAK(&f, 2, state, KVBM_STATE_INACTIVE, BAD_STATE);
	BREAK(&f, 0, state, KVBM_NR_STATES, BAD_STATE);
	BREAK(&f, 1, refs, 1, BAD_STATE);
	/* One that is taken for withheld, or is not any more. */
	BREAK(&f, 3, flags, KVBM_SLOT_RESERVED, BAD_STATE);
	BREAK(&f, 2, flags, 0, BAD_POOL);
	BREAK_AT(&f, SIZE - 1, flags, KVBM_SLOT_RESERVED, BAD_COUNT, KVBM_NIL);
	/* No token opens it: it never had a tenant. */
	EXPECT_EQ(give(&f.holder, 1, &(struct kvbm_token){ 1, f.store->slots[1].gen }),
		  -ENXIO);
	ASSERT_EQ(give(&f.holder, 2, t), 0);
	EXPECT_EQ(take(&f.holder, SIZE - 2, t), -ENOSPC);
	EXPECT_EQ(take(&f.holder, SIZE - 3, t), 0);
	expect_sound(f.store);
	tear_down(&f);
}

/* A state that another one was swapped for shows in the sums at the latest. */
static void wrong_but_possible_state(void)
{
	struct kvbm_check_result r;
	struct fixture f;

	break_set_up(&f);
	f.store->slots[MUTABLE].state = KVBM_STATE_STAGED;
	EXPECT_EQ(kvbm_store_check(f.store, &r), 0);
	EXPECT_EQ(r.errors, 1);
	EXPECT_EQ(r.first_error, KVBM_CHECK_BAD_COUNT);
	f.store->slots[MUTABLE].state = KVBM_STATE_MUTABLE;
	expect_sound(f.store);
	tear_down(&f);
}

/* All errors are counted, the first is named. */
static void several_errors(void)
{
	struct kvbm_check_result r;
	struct fixture f;

	break_set_up(&f);
	f.store->slots[MUTABLE].refs = 5;
	f.store->slots[STAGED].gen = 0;
	f.store->slots[FREE].refs = 1;
	EXPECT_EQ(kvbm_store_check(f.store, &r), 0);
	EXPECT_EQ(r.errors, 3);
	EXPECT_EQ(r.first_error, KVBM_CHECK_BAD_REFS);
	EXPECT_EQ(r.first_block, MUTABLE);
	EXPECT_EQ(r.blocks, SIZE);
	EXPECT_EQ(r.states[KVBM_STATE_MUTABLE], 1);
	EXPECT_EQ(r.states[KVBM_STATE_INACTIVE], 4);
	EXPECT_EQ(r.states[KVBM_STATE_RESET], 7);
	f.store->slots[MUTABLE].refs = 1;
	f.store->slots[STAGED].gen = 1;
	f.store->slots[FREE].refs = 0;
	tear_down(&f);
}

/* A change during the walk: slots are judged, sums are not. */
static struct fixture *walked;
static u32 walked_steps;

static void change(void)
{
	struct kvbm_token t;

	if (walked_steps++)
		return;
	EXPECT_EQ(take(&walked->holder, 1, &t), 0);
}

static void change_during_walk(void)
{
	struct kvbm_check_result r;
	struct fixture f;

	set_up(&f, 1000);
	walked = &f;
	walked_steps = 0;
	kvbm_relax_hook = change;
	EXPECT_EQ(kvbm_store_check(f.store, &r), 0);
	kvbm_relax_hook = NULL;
	EXPECT(walked_steps > 1);
	EXPECT_EQ(r.exact, 0);
	EXPECT_EQ(r.errors, 0);
	tear_down(&f);
}

static const struct tap_test tests[] = {
	TEST(bad_state),
	TEST(bad_refs),
	TEST(bad_index),
	TEST(bad_index_loop),
	TEST(bad_pool),
	TEST(bad_lineage_tick),
	TEST(bad_lineage_fifo),
	TEST(bad_level),
	TEST(bad_primary),
	TEST(bad_presence),
	TEST(bad_count),
	TEST(bad_generation),
	TEST(reserved),
	TEST(wrong_but_possible_state),
	TEST(several_errors),
	TEST(change_during_walk),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
