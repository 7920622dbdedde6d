/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * A registry, a store and a session of the engine, and what tests do to them.
 * Tests look inside: they include the engine's internal headers.
 */
#ifndef KVBM_FIXTURE_H
#define KVBM_FIXTURE_H

#include <kvbm/kvbm.h>

#include "engine/holder.h"
#include "engine/plh.h"
#include "engine/store.h"
#include "tap.h"

#define BLOCK_SIZE	16

struct fixture {
	struct kvbm_registry *registry;
	struct kvbm_store *store;
	struct kvbm_holder holder;
};

static const struct kvbm_release_hint no_hint;

/* Distinct for each n below 2^24, valid, and each the child of the one before. */
static inline struct kvbm_hash hash_of(u32 n)
{
	struct kvbm_hash hash;

	ASSERT_EQ(kvbm_plh(0x9e3779b97f4a7c15ULL * (n + 1),
			   0x9e3779b97f4a7c15ULL * n, n, &hash), 0);
	return hash;
}

static inline void hashes_of(u32 first, u32 n, struct kvbm_hash *out)
{
	u32 i;

	for (i = 0; i < n; i++)
		out[i] = hash_of(first + i);
}

static inline struct kvbm_store_config config_of(u32 block_count)
{
	return (struct kvbm_store_config){
		.block_count = block_count,
		.block_size = BLOCK_SIZE,
		.policy = KVBM_POLICY_LRU,
	};
}

static inline struct kvbm_store *store_of(struct kvbm_registry *registry,
					  struct kvbm_store_config config)
{
	struct kvbm_store *store;

	ASSERT_EQ(kvbm_store_config_check(&config), 0);
	ASSERT_EQ(kvbm_store_config_settle(&config, registry), 0);
	ASSERT_EQ(kvbm_store_alloc(registry, &config, &store), 0);
	return store;
}

static inline void set_up_with(struct fixture *f, struct kvbm_store_config config)
{
	ASSERT_EQ(kvbm_registry_alloc(config.block_count, KVBM_SCHEMA_PLH,
				      &f->registry), 0);
	f->store = store_of(f->registry, config);
	kvbm_holder_init(&f->holder, f->store);
}

static inline void set_up(struct fixture *f, u32 block_count)
{
	set_up_with(f, config_of(block_count));
}

static inline void expect_sound(struct kvbm_store *store)
{
	struct kvbm_check_result result;

	EXPECT_EQ(kvbm_store_check(store, &result), 0);
	EXPECT_EQ(result.errors, 0);
	EXPECT_EQ(result.first_error, KVBM_CHECK_OK);
	EXPECT_EQ(result.exact, 1);
	EXPECT_EQ(result.blocks, store->config.block_count);
}

static inline void end_holder(struct kvbm_holder *holder)
{
	struct kvbm_reclaim reclaim;

	kvbm_holder_release_all(holder, true, &reclaim);
	kvbm_holder_destroy(holder);
}

/* Everything must have come back, and the store be sound, at the end. */
static inline void tear_down(struct fixture *f)
{
	struct kvbm_counters c;

	end_holder(&f->holder);
	expect_sound(f->store);
	kvbm_store_counters(f->store, &c);
	EXPECT_EQ(c.reset_pool_size + c.inactive_pool_size,
		  f->store->config.block_count - f->store->config.nr_reserved);
	EXPECT_EQ(f->store->promised, 0);
	EXPECT(!f->store->first_waiter && !f->store->last_waiter);
	EXPECT_EQ(c.inflight_mutable, 0);
	EXPECT_EQ(c.inflight_immutable, 0);
	EXPECT_EQ(c.states[KVBM_STATE_INACTIVE],
		  kvbm_registry_entries(f->registry));
	kvbm_store_free(f->store);
	EXPECT_EQ(kvbm_registry_entries(f->registry), 0);
	EXPECT_EQ(kvbm_registry_blocks(f->registry), 0);
	kvbm_registry_free(f->registry);
}

static inline struct kvbm_counters counters_of(struct kvbm_store *store)
{
	struct kvbm_counters c;

	kvbm_store_counters(store, &c);
	return c;
}

static inline u32 state_of(struct fixture *f, u32 id)
{
	return f->store->slots[id].state;
}

static inline u64 refs_of(struct fixture *f, u32 id)
{
	return f->store->slots[id].refs;
}

static inline bool is_present(struct kvbm_store *store, u32 n)
{
	struct kvbm_hash hash = hash_of(n);

	return kvbm_registry_presence(store->registry, &hash) >>
	       store->share.bit & 1;
}

/* The calls of the engine, in short. */

static inline int take(struct kvbm_holder *h, u32 n, struct kvbm_token *tokens)
{
	struct kvbm_allocation a = { .count = n, .tokens = tokens };

	return kvbm_holder_allocate(h, &a);
}

static inline int stage(struct kvbm_holder *h, u32 first, u32 n,
			const struct kvbm_token *tokens)
{
	struct kvbm_hash *hashes = calloc(n ? n : 1, sizeof(*hashes));
	u32 failed;
	int err;

	hashes_of(first, n, hashes);
	err = kvbm_holder_stage(h, tokens, hashes, NULL, n, BLOCK_SIZE, &failed);
	free(hashes);
	return err;
}

static inline int reg(struct kvbm_holder *h, u32 n, struct kvbm_token *tokens,
		      u8 *kinds)
{
	u32 failed;

	return kvbm_holder_register(h, tokens, kinds, n, &failed);
}

static inline int match(struct kvbm_holder *h, u32 first, u32 n,
			struct kvbm_token *tokens, u32 *matched)
{
	struct kvbm_hash *hashes = calloc(n ? n : 1, sizeof(*hashes));
	int err;

	hashes_of(first, n, hashes);
	err = kvbm_holder_match(h, hashes, n, KVBM_LOOKUP_PREFIX, tokens, matched);
	free(hashes);
	return err;
}

static inline int give_hint(struct kvbm_holder *h, u32 n,
			    const struct kvbm_token *tokens,
			    struct kvbm_release_hint hint)
{
	u32 failed;

	return kvbm_holder_release(h, tokens, n, hint, &failed);
}

static inline int give(struct kvbm_holder *h, u32 n, const struct kvbm_token *tokens)
{
	return give_hint(h, n, tokens, no_hint);
}

/* Allocate, stage and register blocks with the hashes first, first + 1, ... */
static inline void fill(struct kvbm_holder *h, u32 first, u32 n,
			struct kvbm_token *tokens)
{
	ASSERT_EQ(take(h, n, tokens), 0);
	ASSERT_EQ(stage(h, first, n, tokens), 0);
	ASSERT_EQ(reg(h, n, tokens, NULL), 0);
}

/* The same, and release them in the same order: they are Inactive then. */
static inline void cache(struct kvbm_holder *h, u32 first, u32 n)
{
	struct kvbm_token *tokens = calloc(n, sizeof(*tokens));

	fill(h, first, n, tokens);
	ASSERT_EQ(give(h, n, tokens), 0);
	free(tokens);
}

/* All that a call that failed must not have changed. */
struct dump {
	struct kvbm_counters counters;
	struct kvbm_slot_list free;
	u32 inactive;
	u32 promised;
	u64 guards;
	u32 used;
	u64 entries;
	u32 *buckets;
	struct kvbm_slot slots[];
};

static inline struct dump *dump_of(struct fixture *f)
{
	u32 count = f->store->config.block_count;
	struct dump *d = calloc(1, sizeof(*d) + count * sizeof(d->slots[0]));

	d->counters = f->store->counters;
	d->free = f->store->free;
	d->inactive = f->store->evictor->count;
	d->promised = f->store->promised;
	d->guards = f->holder.guards;
	d->used = f->holder.used;
	d->entries = kvbm_registry_entries(f->registry);
	d->buckets = calloc(f->store->mask + 1, sizeof(u32));
	memcpy(d->buckets, f->store->buckets, (f->store->mask + 1) * sizeof(u32));
	memcpy(d->slots, f->store->slots, count * sizeof(d->slots[0]));
	return d;
}

/* Consumes @d. */
#define EXPECT_UNCHANGED(f, d) expect_unchanged(f, d, __LINE__)

static inline void expect_unchanged(struct fixture *f, struct dump *d, int line)
{
	struct dump *now = dump_of(f);
	bool same;

	same = !memcmp(&now->counters, &d->counters, sizeof(d->counters)) &&
	       !memcmp(&now->free, &d->free, sizeof(d->free)) &&
	       now->inactive == d->inactive && now->promised == d->promised &&
	       now->guards == d->guards && now->used == d->used &&
	       now->entries == d->entries &&
	       !memcmp(now->buckets, d->buckets,
		       (f->store->mask + 1) * sizeof(u32)) &&
	       !memcmp(now->slots, d->slots,
		       f->store->config.block_count * sizeof(d->slots[0]));
	if (!same)
		tap_fail(__FILE__, line, "a failed call has changed something");
	free(now->buckets);
	free(now);
	free(d->buckets);
	free(d);
}

#endif /* KVBM_FIXTURE_H */
