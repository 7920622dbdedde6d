// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The event ring: what is told, in which order, and what is lost. Built twice: with
 * the address sanitizer, and with the thread sanitizer.
 */
#include <pthread.h>

#include "engine/events.h"
#include "fixture.h"

#define RECORD	((u32)sizeof(struct kvbm_event_record))

struct listener {
	struct kvbm_event_ring *ring;
	struct kvbm_event_reader reader;
	char buf[KVBM_EVENT_HOLD] __attribute__((__aligned__(8)));
	u32 have;
	u32 at;
};

static void listen_to(struct listener *l, struct kvbm_registry *registry, u64 size)
{
	l->ring = kvbm_registry_events(registry);
	l->have = 0;
	l->at = 0;
	ASSERT_EQ(kvbm_event_listen(l->ring, kvbm_event_ring_size(size),
				    &l->reader), 0);
}

static const struct kvbm_event_record *next(struct listener *l)
{
	const struct kvbm_event_record *r;
	int ret;

	if (l->at == l->have) {
		ret = kvbm_event_peek(l->ring, &l->reader, l->buf, sizeof(l->buf));
		if (ret <= 0)
			return NULL;
		kvbm_event_consume(&l->reader);
		l->have = ret;
		l->at = 0;
	}
	r = (void *)(l->buf + l->at);
	l->at += r->size;
	return r;
}

#define EXPECT_EVENT(l, what, nr, with) do {				\
	const struct kvbm_event_record *r_ = next(l);			\
	struct kvbm_hash h_ = hash_of(nr);				\
									\
	ASSERT(r_);							\
	EXPECT_EQ(r_->type, KVBM_EVENT_##what);				\
	EXPECT_EQ(r_->flags, with);					\
	EXPECT_EQ(r_->hash_size, 16);					\
	EXPECT(kvbm_hash_equal(&r_->hash, &h_));			\
} while (0)

#define EXPECT_PLAIN(l, what, id) do {					\
	const struct kvbm_event_record *r_ = next(l);			\
									\
	ASSERT(r_);							\
	EXPECT_EQ(r_->type, KVBM_EVENT_##what);				\
	EXPECT_EQ(r_->manager, id);					\
	EXPECT_EQ(r_->hash_size, 0);					\
	EXPECT_EQ(r_->flags, 0);					\
} while (0)

static void publish(struct kvbm_store *store, u64 tag)
{
	kvbm_store_publish(store, tag, KVBM_TIER_G2, NULL, NULL);
	kvbm_store_announce(store);
}

static void nobody_listens(void)
{
	struct kvbm_event_stats stats;
	struct fixture f;

	set_up(&f, 16);
	publish(f.store, 7);
	cache(&f.holder, 0, 16);
	cache(&f.holder, 100, 16);
	kvbm_event_stats(kvbm_registry_events(f.registry), &stats);
	EXPECT_EQ(stats.next, 1);
	EXPECT_EQ(stats.ring_bytes, 0);
	EXPECT_EQ(stats.listeners, 0);
	tear_down(&f);
}

static void a_life(void)
{
	struct kvbm_token t[2];
	struct listener l;
	struct fixture f;
	u64 time = 0;
	u32 i, drained, in_use;

	set_up(&f, 2);
	listen_to(&l, f.registry, 0);
	publish(f.store, 7);
	fill(&f.holder, 0, 2, t);
	ASSERT_EQ(give(&f.holder, 2, t), 0);
	/* The first victim of two; what replaces it. */
	fill(&f.holder, 50, 1, t);
	ASSERT_EQ(give(&f.holder, 1, t), 0);
	ASSERT_EQ(kvbm_holder_drain(&f.holder, &drained, &in_use), 0);
	EXPECT_EQ(drained, 2);
	for (i = 0; i < 8; i++) {
		const struct kvbm_event_record *r = next(&l);

		ASSERT(r);
		/* One number was skipped for the time before. */
		EXPECT_EQ(r->sequence, 2 + i);
		EXPECT_EQ(r->version, KVBM_EVENT_VERSION);
		EXPECT_EQ(r->tier, KVBM_TIER_G2);
		EXPECT_EQ(r->manager, 7);
		EXPECT_EQ(r->size, RECORD);
		EXPECT(r->time_ns >= time && r->time_ns);
		time = r->time_ns;
	}
	EXPECT(!next(&l));
	kvbm_event_unlisten(l.ring);
	tear_down(&f);
}

/* The same once more, by content. */
static void types(void)
{
	struct kvbm_token t[2];
	struct listener l;
	struct fixture f;
	u32 drained, in_use, gen;

	set_up(&f, 2);
	listen_to(&l, f.registry, 0);
	publish(f.store, 7);
	EXPECT_PLAIN(&l, MANAGER_CREATED, 7);
	fill(&f.holder, 0, 2, t);
	gen = t[1].gen;
	EXPECT_EVENT(&l, STORED, 0, KVBM_EVENT_FIRST);
	EXPECT_EVENT(&l, STORED, 1, KVBM_EVENT_FIRST);
	EXPECT_EQ(((struct kvbm_event_record *)l.buf)->block, t[0].id);
	EXPECT_EQ(((struct kvbm_event_record *)l.buf)->gen, t[0].gen);
	ASSERT_EQ(give(&f.holder, 2, t), 0);
	EXPECT(!next(&l));
	fill(&f.holder, 50, 1, t);
	EXPECT_EVENT(&l, REMOVED, 0, KVBM_EVENT_LAST);
	EXPECT_EVENT(&l, STORED, 50, KVBM_EVENT_FIRST);
	ASSERT_EQ(give(&f.holder, 1, t), 0);
	/* The first victim is the one that was released first. */
	ASSERT_EQ(kvbm_holder_drain(&f.holder, &drained, &in_use), 0);
	EXPECT_EVENT(&l, REMOVED, 1, KVBM_EVENT_LAST);
	EXPECT_EQ(((struct kvbm_event_record *)l.buf)->gen, gen);
	EXPECT_EVENT(&l, REMOVED, 50, KVBM_EVENT_LAST);
	EXPECT_PLAIN(&l, CLEARED, 7);
	/* There is nothing to clear. */
	ASSERT_EQ(kvbm_holder_drain(&f.holder, &drained, &in_use), 0);
	EXPECT(!next(&l));
	kvbm_event_unlisten(l.ring);
	tear_down(&f);
}

/* A duplicate is neither stored nor removed: its hash is present already. */
static void duplicates(void)
{
	struct kvbm_token t[2];
	struct listener l;
	struct fixture f;

	set_up(&f, 4);
	publish(f.store, 7);
	listen_to(&l, f.registry, 0);
	fill(&f.holder, 0, 1, t);
	EXPECT_EVENT(&l, STORED, 0, KVBM_EVENT_FIRST);
	fill(&f.holder, 0, 1, t + 1);
	EXPECT_EQ(state_of(&f, t[1].id), KVBM_STATE_DUPLICATE);
	ASSERT_EQ(give(&f.holder, 2, t), 0);
	EXPECT(!next(&l));
	kvbm_event_unlisten(l.ring);
	tear_down(&f);
}

/* A drain that leaves something clears nothing. */
static void drain_leaves_some(void)
{
	u32 drained, in_use;
	struct kvbm_token t;
	struct listener l;
	struct fixture f;

	set_up(&f, 4);
	publish(f.store, 7);
	listen_to(&l, f.registry, 0);
	fill(&f.holder, 0, 1, &t);
	cache(&f.holder, 10, 1);
	EXPECT_EVENT(&l, STORED, 0, KVBM_EVENT_FIRST);
	EXPECT_EVENT(&l, STORED, 10, KVBM_EVENT_FIRST);
	ASSERT_EQ(kvbm_holder_drain(&f.holder, &drained, &in_use), 0);
	EXPECT_EVENT(&l, REMOVED, 10, KVBM_EVENT_LAST);
	EXPECT(!next(&l));
	kvbm_event_unlisten(l.ring);
	tear_down(&f);
}

/* Once, whatever becomes of blocks that are still held. */
static void cleared_once(void)
{
	struct kvbm_token t[4];
	struct listener l;
	struct fixture f;

	set_up(&f, 4);
	publish(f.store, 7);
	fill(&f.holder, 0, 3, t);
	ASSERT_EQ(take(&f.holder, 1, t + 3), 0);
	listen_to(&l, f.registry, 0);
	EXPECT_EQ(kvbm_store_shutdown(f.store, false), -EBUSY);
	EXPECT(!next(&l));
	EXPECT_EQ(kvbm_store_shutdown(f.store, true), 0);
	EXPECT_PLAIN(&l, CLEARED, 7);
	EXPECT_PLAIN(&l, MANAGER_DESTROYED, 7);
	ASSERT_EQ(give(&f.holder, 4, t), 0);
	EXPECT_EQ(kvbm_store_shutdown(f.store, true), 0);
	end_holder(&f.holder);
	kvbm_store_free(f.store);
	EXPECT(!next(&l));
	kvbm_event_unlisten(l.ring);
	kvbm_registry_free(f.registry);
}

static void two_tiers(void)
{
	struct kvbm_holder other;
	struct kvbm_store *store;
	struct listener l;
	struct fixture f;
	u32 n, in_use;

	ASSERT_EQ(kvbm_registry_alloc(8, KVBM_SCHEMA_PLH, &f.registry), 0);
	f.store = store_of(f.registry, config_of(4));
	kvbm_holder_init(&f.holder, f.store);
	publish(f.store, 1);
	store = store_of(f.registry, config_of(4));
	publish(store, 2);
	kvbm_holder_init(&other, store);
	listen_to(&l, f.registry, 0);
	cache(&f.holder, 5, 1);
	EXPECT_EVENT(&l, STORED, 5, KVBM_EVENT_FIRST);
	cache(&other, 5, 1);
	EXPECT_EVENT(&l, STORED, 5, 0);
	ASSERT_EQ(kvbm_holder_drain(&f.holder, &n, &in_use), 0);
	EXPECT_EVENT(&l, REMOVED, 5, 0);
	EXPECT_PLAIN(&l, CLEARED, 1);
	cache(&f.holder, 5, 1);
	EXPECT_EVENT(&l, STORED, 5, 0);
	/* The other one has its entries still, but is not there any more. */
	ASSERT_EQ(kvbm_store_shutdown(store, true), 0);
	EXPECT_PLAIN(&l, CLEARED, 2);
	EXPECT_PLAIN(&l, MANAGER_DESTROYED, 2);
	ASSERT_EQ(kvbm_holder_drain(&f.holder, &n, &in_use), 0);
	EXPECT_EVENT(&l, REMOVED, 5, KVBM_EVENT_LAST);
	EXPECT_PLAIN(&l, CLEARED, 1);
	cache(&f.holder, 5, 1);
	EXPECT_EVENT(&l, STORED, 5, KVBM_EVENT_FIRST);
	end_holder(&other);
	kvbm_store_free(store);
	EXPECT(!next(&l));
	kvbm_event_unlisten(l.ring);
	tear_down(&f);
}

/* What is lost keeps its number, and is counted. */
static void overrun(void)
{
	const u32 fit = KVBM_EVENT_RING_MIN / RECORD;
	const struct kvbm_event_record *r;
	struct kvbm_event_stats stats;
	struct listener slow, fast;
	u32 i, n = 0, total = 1000;
	u64 first, sequence = 0;
	struct fixture f;

	set_up(&f, 2000);
	publish(f.store, 7);
	listen_to(&slow, f.registry, 0);
	listen_to(&fast, f.registry, 0);
	first = slow.reader.sequence;
	for (i = 0; i < total; i++) {
		cache(&f.holder, i, 1);
		r = next(&fast);
		ASSERT(r);
		EXPECT_EQ(r->sequence, first + i);
	}
	while ((r = next(&slow))) {
		EXPECT_EQ(r->sequence, n ? sequence + 1 : first + total - fit);
		sequence = r->sequence;
		n++;
	}
	EXPECT_EQ(n, fit);
	EXPECT_EQ(sequence, first + total - 1);
	EXPECT_EQ(slow.reader.missed, total - fit);
	EXPECT_EQ(fast.reader.missed, 0);
	kvbm_event_stats(slow.ring, &stats);
	EXPECT_EQ(stats.dropped, total - fit);
	EXPECT_EQ(stats.next, first + total);
	EXPECT_EQ(stats.listeners, 2);
	EXPECT_EQ(stats.ring_bytes, KVBM_EVENT_RING_MIN);
	kvbm_event_unlisten(slow.ring);
	kvbm_event_unlisten(fast.ring);
	tear_down(&f);
}

/* Who resumes after nobody listened must see that. */
static void unheard(void)
{
	struct kvbm_event_stats stats;
	struct listener l;
	struct fixture f;
	u64 next_one;

	set_up(&f, 4);
	publish(f.store, 7);
	listen_to(&l, f.registry, 0);
	cache(&f.holder, 0, 1);
	ASSERT(next(&l));
	next_one = l.reader.sequence;
	kvbm_event_unlisten(l.ring);
	cache(&f.holder, 1, 1);
	listen_to(&l, f.registry, 0);
	cache(&f.holder, 2, 1);
	EXPECT_EQ(l.reader.sequence, next_one + 1);
	EXPECT_EVENT(&l, STORED, 2, KVBM_EVENT_FIRST);
	EXPECT(!next(&l));
	kvbm_event_stats(l.ring, &stats);
	EXPECT_EQ(stats.unheard, 2);
	EXPECT_EQ(stats.dropped, 0);
	kvbm_event_unlisten(l.ring);
	tear_down(&f);
}

/* A buffer that is too small gets nothing, and nothing is lost. */
static void buffers(void)
{
	char small[3 * RECORD] __attribute__((__aligned__(8)));
	struct listener l;
	struct fixture f;

	set_up(&f, 8);
	publish(f.store, 7);
	listen_to(&l, f.registry, 0);
	EXPECT(!kvbm_event_pending(l.ring, &l.reader));
	EXPECT_EQ(kvbm_event_peek(l.ring, &l.reader, small, 0), 0);
	cache(&f.holder, 0, 4);
	EXPECT(kvbm_event_pending(l.ring, &l.reader));
	EXPECT_EQ(kvbm_event_peek(l.ring, &l.reader, small, RECORD - 1), -EINVAL);
	EXPECT_EQ(kvbm_event_peek(l.ring, &l.reader, small, 2 * RECORD + 1),
		  2 * RECORD);
	/* Not consumed. */
	EXPECT_EQ(kvbm_event_peek(l.ring, &l.reader, small, 3 * RECORD), 3 * RECORD);
	kvbm_event_consume(&l.reader);
	EXPECT_EVENT(&l, STORED, 3, KVBM_EVENT_FIRST);
	EXPECT(!kvbm_event_pending(l.ring, &l.reader));
	kvbm_event_unlisten(l.ring);
	tear_down(&f);
}

/* Records of any size, many times around the ring. */
static void aux_goes_along(void)
{
	static const u32 sizes[] = { 1, 8, 13, 100, 4096 };
	struct kvbm_hash hash;
	struct kvbm_token t;
	struct listener l;
	struct fixture f;
	u32 i, j, k, failed;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct kvbm_store_config config = config_of(2);
		char aux[4096];

		config.aux_size = sizes[i];
		set_up_with(&f, config);
		publish(f.store, 7);
		listen_to(&l, f.registry, 0);
		for (j = 0; j < 500; j++) {
			const struct kvbm_event_record *r;

			memset(aux, j % 251 + 1, sizeof(aux));
			hash = hash_of(j);
			ASSERT_EQ(take(&f.holder, 1, &t), 0);
			ASSERT_EQ(kvbm_holder_stage(&f.holder, &t, &hash, aux, 1,
						    BLOCK_SIZE, &failed), 0);
			ASSERT_EQ(reg(&f.holder, 1, &t, NULL), 0);
			ASSERT_EQ(give(&f.holder, 1, &t), 0);
			do {
				r = next(&l);
				ASSERT(r);
				if (r->type == KVBM_EVENT_REMOVED)
					EXPECT_EQ(r->aux_size, 0);
			} while (r->type != KVBM_EVENT_STORED);
			ASSERT_EQ(r->aux_size, sizes[i]);
			ASSERT_EQ(r->size, kvbm_event_size(sizes[i]));
			ASSERT(!memcmp(r + 1, aux, sizes[i]));
			for (k = RECORD + sizes[i]; k < r->size; k++)
				ASSERT_EQ(((char *)r)[k], 0);
		}
		EXPECT_EQ(l.reader.missed, 0);
		kvbm_event_unlisten(l.ring);
		tear_down(&f);
	}
}

static u32 fail_in;

static bool fail_now(void)
{
	return fail_in && !--fail_in;
}

static void no_memory(void)
{
	struct kvbm_event_reader reader;
	struct kvbm_event_ring *ring;
	struct kvbm_event_stats stats;
	struct fixture f;

	set_up(&f, 4);
	ring = kvbm_registry_events(f.registry);
	kvbm_alloc_fail = fail_now;
	fail_in = 1;
	EXPECT_EQ(kvbm_event_listen(ring, KVBM_EVENT_RING_MIN, &reader), -ENOMEM);
	kvbm_alloc_fail = NULL;
	kvbm_event_stats(ring, &stats);
	EXPECT_EQ(stats.listeners, 0);
	EXPECT_EQ(stats.ring_bytes, 0);
	tear_down(&f);
}

static void sizes(void)
{
	EXPECT_EQ(kvbm_event_ring_size(0), KVBM_EVENT_RING_MIN);
	EXPECT_EQ(kvbm_event_ring_size(KVBM_EVENT_RING_MIN + 1),
		  2 * KVBM_EVENT_RING_MIN);
	EXPECT_EQ(kvbm_event_ring_size(U64_MAX), KVBM_EVENT_RING_MAX);
}

/* A dump in parts as small as can be tells each block that is present once. */
static void content(void)
{
	struct kvbm_store_config config = config_of(300);
	char buf[2 * RECORD] __attribute__((__aligned__(8)));
	bool seen[300] = { false };
	u32 block, bytes, i, n = 0;
	struct kvbm_token t[100];
	struct fixture f;

	config.nr_reserved = 3;
	set_up_with(&f, config);
	publish(f.store, 7);
	fill(&f.holder, 0, 100, t);
	cache(&f.holder, 100, 100);
	/* Duplicates, Mutable and Staged blocks are not present. */
	fill(&f.holder, 0, 20, t);
	ASSERT_EQ(take(&f.holder, 10, t), 0);
	ASSERT_EQ(stage(&f.holder, 250, 5, t), 0);
	for (block = 0; block < 300; ) {
		u32 before = block;

		bytes = kvbm_store_content(f.store, &block, 50, buf, sizeof(buf));
		ASSERT(bytes % RECORD == 0);
		ASSERT(block > before && block <= before + 50);
		for (i = 0; i < bytes / RECORD; i++, n++) {
			const struct kvbm_event_record *r = (void *)(buf + i * RECORD);
			u32 position = kvbm_plh_position(&r->hash);

			ASSERT(position < 200);
			EXPECT(!seen[position]);
			seen[position] = true;
			EXPECT_EQ(r->type, KVBM_EVENT_STORED);
			EXPECT_EQ(r->flags, KVBM_EVENT_SNAPSHOT);
			EXPECT_EQ(r->sequence, 0);
		}
	}
	EXPECT_EQ(n, 200);
	block = 300;
	EXPECT_EQ(kvbm_store_content(f.store, &block, 1, buf, sizeof(buf)), 0);
	/* From anywhere. */
	block = U32_MAX;
	EXPECT_EQ(kvbm_store_content(f.store, &block, 1, buf, sizeof(buf)), 0);
	EXPECT_EQ(block, 300);
	/* One that was ended has nothing. */
	ASSERT_EQ(kvbm_store_shutdown(f.store, true), 0);
	block = 0;
	EXPECT_EQ(kvbm_store_content(f.store, &block, 300, buf, sizeof(buf)), 0);
	EXPECT_EQ(block, 300);
	tear_down(&f);
}

/* --- Threads */

#define NR_STORES	4
#define NR_HASHES	64
#define BLOCKS		16

static void *churn(void *arg)
{
	struct kvbm_holder holder;
	u64 seed = (uintptr_t)arg;
	u32 i, drained, in_use;
	struct kvbm_token t;

	kvbm_holder_init(&holder, arg);
	for (i = 0; i < 4000; i++) {
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		fill(&holder, (seed >> 33) % NR_HASHES, 1, &t);
		if (give(&holder, 1, &t))
			abort();
		if (i % 512 == 511 && kvbm_holder_drain(&holder, &drained, &in_use))
			abort();
	}
	end_holder(&holder);
	return NULL;
}

/*
 * What is read is what happened: each hash alternates in each store, and is first
 * and last when it should be.
 */
static void order(void)
{
	bool present[NR_STORES][NR_HASHES] = { { false } };
	const struct kvbm_event_record *r;
	struct kvbm_store *stores[NR_STORES];
	pthread_t threads[NR_STORES];
	struct kvbm_registry *registry;
	u32 i, hash, store, others, n = 0;
	struct listener l;
	u64 sequence;

	ASSERT_EQ(kvbm_registry_alloc(NR_STORES * BLOCKS, KVBM_SCHEMA_PLH,
				      &registry), 0);
	for (i = 0; i < NR_STORES; i++) {
		stores[i] = store_of(registry, config_of(BLOCKS));
		publish(stores[i], i);
	}
	/* All of it fits. */
	listen_to(&l, registry, 16U << 20);
	sequence = l.reader.sequence;
	for (i = 0; i < NR_STORES; i++)
		ASSERT_EQ(pthread_create(&threads[i], NULL, churn, stores[i]), 0);
	/* Meanwhile others come and go. */
	for (i = 0; i < 500; i++) {
		struct kvbm_event_reader reader;
		static char buf[KVBM_EVENT_HOLD];

		ASSERT_EQ(kvbm_event_listen(l.ring, 0, &reader), 0);
		sched_yield();
		ASSERT(kvbm_event_peek(l.ring, &reader, buf, sizeof(buf)) >= 0);
		kvbm_event_unlisten(l.ring);
	}
	for (i = 0; i < NR_STORES; i++)
		pthread_join(threads[i], NULL);
	while ((r = next(&l))) {
		EXPECT_EQ(r->sequence, sequence++);
		n++;
		store = r->manager;
		ASSERT(store < NR_STORES);
		if (r->type == KVBM_EVENT_CLEARED) {
			for (i = 0; i < NR_HASHES; i++)
				EXPECT(!present[store][i]);
			continue;
		}
		hash = kvbm_plh_position(&r->hash);
		ASSERT(hash < NR_HASHES);
		for (i = 0, others = 0; i < NR_STORES; i++)
			others += i != store && present[i][hash];
		if (r->type == KVBM_EVENT_STORED) {
			EXPECT(!present[store][hash]);
			EXPECT_EQ(r->flags, others ? 0 : KVBM_EVENT_FIRST);
		} else {
			EXPECT_EQ(r->type, KVBM_EVENT_REMOVED);
			EXPECT(present[store][hash]);
			EXPECT_EQ(r->flags, others ? 0 : KVBM_EVENT_LAST);
		}
		present[store][hash] = r->type == KVBM_EVENT_STORED;
	}
	EXPECT_EQ(l.reader.missed, 0);
	EXPECT(n > 10000);
	for (i = 0; i < NR_STORES; i++) {
		u32 block = 0, bytes;
		static char buf[2 * BLOCKS * RECORD];

		bytes = kvbm_store_content(stores[i], &block, BLOCKS, buf, sizeof(buf));
		for (hash = 0; hash < NR_HASHES; hash++)
			bytes -= present[i][hash] * RECORD;
		EXPECT_EQ(bytes, 0);
	}
	kvbm_event_unlisten(l.ring);
	for (i = 0; i < NR_STORES; i++)
		kvbm_store_free(stores[i]);
	kvbm_registry_free(registry);
}

static bool writing;

static void *keep_writing(void *arg)
{
	churn(arg);
	__atomic_store_n(&writing, false, __ATOMIC_RELEASE);
	return NULL;
}

/* Who reads while others write sees no record torn, and each number once. */
static void read_while_written(void)
{
	const struct kvbm_event_record *r;
	u64 sequence, missed, read = 0;
	struct listener l;
	struct fixture f;
	pthread_t thread;

	set_up(&f, BLOCKS);
	publish(f.store, 7);
	listen_to(&l, f.registry, 0);
	sequence = l.reader.sequence;
	missed = sequence;
	writing = true;
	ASSERT_EQ(pthread_create(&thread, NULL, keep_writing, f.store), 0);
	while (__atomic_load_n(&writing, __ATOMIC_ACQUIRE) ||
	       kvbm_event_pending(l.ring, &l.reader)) {
		r = next(&l);
		if (!r)
			continue;
		read++;
		ASSERT(r->size == RECORD && r->version == KVBM_EVENT_VERSION);
		ASSERT(r->manager == 7 && r->sequence >= sequence);
		sequence = r->sequence + 1;
	}
	while (next(&l)) {
		read++;
		sequence++;
	}
	pthread_join(thread, NULL);
	EXPECT_EQ(sequence, kvbm_event_next(l.ring));
	EXPECT_EQ(read + l.reader.missed, sequence - missed);
	kvbm_event_unlisten(l.ring);
	tear_down(&f);
}

int main(void)
{
	static const struct tap_test tests[] = {
		TEST(nobody_listens),
		TEST(a_life),
		TEST(types),
		TEST(duplicates),
		TEST(drain_leaves_some),
		TEST(cleared_once),
		TEST(two_tiers),
		TEST(overrun),
		TEST(unheard),
		TEST(buffers),
		TEST(aux_goes_along),
		TEST(no_memory),
		TEST(sizes),
		TEST(content),
		TEST(order),
		TEST(read_while_written),
	};

	return tap_run(tests, ARRAY_SIZE(tests));
}
