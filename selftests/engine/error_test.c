// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Tokens and values that are refused, and that a refusal changes nothing.
 */
#include "fixture.h"

#define NR_HELD	6

/* A store with a block of each kind, and the tokens of each. */
struct zoo {
	struct fixture f;
	struct kvbm_holder other;
	struct kvbm_token mutable[NR_HELD];
	struct kvbm_token staged[NR_HELD];
	struct kvbm_token primary[NR_HELD];
	struct kvbm_token duplicate;
	struct kvbm_token stale;	/* of a slot that has a tenant of ours */
	struct kvbm_token released;	/* of a slot in the reset pool */
	struct kvbm_token cached;	/* of an Inactive slot */
	struct kvbm_token foreign;	/* of a slot that @other holds */
	struct kvbm_token never;	/* of a slot without any tenant so far */
	struct kvbm_token outside;
};

static void zoo_set_up(struct zoo *z)
{
	struct kvbm_holder *h = &z->f.holder;

	set_up(&z->f, 64);
	kvbm_holder_init(&z->other, z->f.store);
	ASSERT_EQ(take(h, NR_HELD, z->mutable), 0);
	z->stale = z->mutable[0];
	z->stale.gen--;
	ASSERT_EQ(take(h, NR_HELD, z->staged), 0);
	ASSERT_EQ(stage(h, 100, NR_HELD, z->staged), 0);
	fill(h, 0, NR_HELD, z->primary);
	fill(h, 0, 1, &z->duplicate);
	ASSERT_EQ(take(h, 1, &z->released), 0);
	ASSERT_EQ(give(h, 1, &z->released), 0);
	fill(h, 50, 1, &z->cached);
	ASSERT_EQ(give(h, 1, &z->cached), 0);
	fill(&z->other, 60, 1, &z->foreign);
	z->never = (struct kvbm_token){ 40, z->f.store->slots[40].gen };
	z->outside = (struct kvbm_token){ 64, 1 };
}

static void zoo_tear_down(struct zoo *z)
{
	end_holder(&z->other);
	tear_down(&z->f);
}

enum kind_of_call { RELEASE, STAGE, REGISTER, STAGE_REGISTER, UNSTAGE, CLONE, SET_RESET };

/* What the call says of a batch, and which entry it names. */
static int call(struct kvbm_holder *h, enum kind_of_call op, struct kvbm_token *tokens, u32 n,
		u32 *failed)
{
	struct kvbm_hash hashes[NR_HELD + 1];
	struct kvbm_allocation next = { .count = 0 };
	u32 allocated;

	hashes_of(200, n, hashes);
	switch (op) {
	case RELEASE:
		return kvbm_holder_release(h, tokens, n, no_hint, failed);
	case STAGE:
		return kvbm_holder_stage(h, tokens, hashes, NULL, n, BLOCK_SIZE, failed);
	case REGISTER:
		return kvbm_holder_register(h, tokens, NULL, n, failed);
	case UNSTAGE:
		return kvbm_holder_unstage(h, tokens, n, failed);
	case CLONE:
		return kvbm_holder_clone(h, tokens, n, failed);
	case SET_RESET:
		return kvbm_holder_set_reset(h, tokens, n, true, failed);
	default:
		return kvbm_holder_stage_register(h, tokens, hashes, NULL, NULL, n,
						  BLOCK_SIZE, &next, &allocated,
						  failed);
	}
}

/*
 * A batch of good tokens with a bad one at each place: always the same error,
 * the right index, and nothing changed, the tokens included.
 */
static void expect_refused(struct zoo *z, enum kind_of_call op, const struct kvbm_token *good,
			   struct kvbm_token bad, int error, int line)
{
	struct kvbm_token batch[NR_HELD + 1], copy[NR_HELD + 1];
	struct dump *d;
	u32 place, failed;
	int err;

	for (place = 0; place <= NR_HELD; place++) {
		memcpy(batch, good, place * sizeof(*batch));
		batch[place] = bad;
		memcpy(batch + place + 1, good + place,
		       (NR_HELD - place) * sizeof(*batch));
		memcpy(copy, batch, sizeof(copy));
		failed = 77;
		d = dump_of(&z->f);
		err = call(&z->f.holder, op, batch, NR_HELD + 1, &failed);
		if (err != error)
			tap_fail(__FILE__, line, "%d at place %u, not %d", err,
				 place, error);
		if (failed != place)
			tap_fail(__FILE__, line, "entry %u named, not %u", failed,
				 place);
		if (memcmp(copy, batch, sizeof(copy)))
			tap_fail(__FILE__, line, "the tokens were changed");
		expect_unchanged(&z->f, d, line);
	}
	/* The good ones can be used still. */
	expect_sound(z->f.store);
}

#define REFUSED(z, op, good, bad, error) \
	expect_refused(z, op, (z)->good, bad, error, __LINE__)

static void bad_tokens(enum kind_of_call op, struct zoo *z, const struct kvbm_token *good)
{
	struct kvbm_token future = good[0], zero = { 0 }, before;

	future.gen++;
	expect_refused(z, op, good, z->stale, -ESTALE, __LINE__);
	expect_refused(z, op, good, future, -ESTALE, __LINE__);
	expect_refused(z, op, good, z->released, -ENXIO, __LINE__);
	expect_refused(z, op, good, z->cached, -ENXIO, __LINE__);
	expect_refused(z, op, good, z->foreign, -ENXIO, __LINE__);
	expect_refused(z, op, good, z->never, -ENXIO, __LINE__);
	expect_refused(z, op, good, z->outside, -ENXIO, __LINE__);
	expect_refused(z, op, good, (struct kvbm_token){ U32_MAX, 1 }, -ENXIO,
		       __LINE__);
	expect_refused(z, op, good, zero, -ESTALE, __LINE__);
	/* Stale and foreign: told by the slot, for nobody holds the token. */
	before = z->foreign;
	before.gen--;
	expect_refused(z, op, good, before, -ESTALE, __LINE__);
}

static void release_bad_tokens(void)
{
	struct zoo z;

	zoo_set_up(&z);
	bad_tokens(RELEASE, &z, z.mutable);
	bad_tokens(RELEASE, &z, z.staged);
	bad_tokens(RELEASE, &z, z.primary);
	zoo_tear_down(&z);
}

static void stage_bad_tokens(void)
{
	struct zoo z;

	zoo_set_up(&z);
	bad_tokens(STAGE, &z, z.mutable);
	REFUSED(&z, STAGE, mutable, z.staged[0], -EBADFD);
	REFUSED(&z, STAGE, mutable, z.primary[1], -EBADFD);
	REFUSED(&z, STAGE, mutable, z.duplicate, -EBADFD);
	zoo_tear_down(&z);
}

static void register_bad_tokens(void)
{
	struct zoo z;

	zoo_set_up(&z);
	bad_tokens(REGISTER, &z, z.staged);
	REFUSED(&z, REGISTER, staged, z.mutable[0], -EBADFD);
	REFUSED(&z, REGISTER, staged, z.primary[1], -EBADFD);
	REFUSED(&z, REGISTER, staged, z.duplicate, -EBADFD);
	zoo_tear_down(&z);
}

static void stage_register_bad_tokens(void)
{
	struct zoo z;

	zoo_set_up(&z);
	bad_tokens(STAGE_REGISTER, &z, z.mutable);
	REFUSED(&z, STAGE_REGISTER, mutable, z.staged[0], -EBADFD);
	REFUSED(&z, STAGE_REGISTER, mutable, z.primary[1], -EBADFD);
	zoo_tear_down(&z);
}

static void unstage_bad_tokens(void)
{
	struct zoo z;

	zoo_set_up(&z);
	bad_tokens(UNSTAGE, &z, z.staged);
	REFUSED(&z, UNSTAGE, staged, z.mutable[0], -EBADFD);
	REFUSED(&z, UNSTAGE, staged, z.primary[1], -EBADFD);
	REFUSED(&z, UNSTAGE, staged, z.duplicate, -EBADFD);
	zoo_tear_down(&z);
}

static void clone_bad_tokens(void)
{
	struct zoo z;

	zoo_set_up(&z);
	bad_tokens(CLONE, &z, z.primary);
	REFUSED(&z, CLONE, primary, z.mutable[0], -EBADFD);
	REFUSED(&z, CLONE, primary, z.staged[1], -EBADFD);
	zoo_tear_down(&z);
}

static void set_reset_bad_tokens(void)
{
	struct zoo z;

	zoo_set_up(&z);
	bad_tokens(SET_RESET, &z, z.primary);
	bad_tokens(SET_RESET, &z, z.staged);
	REFUSED(&z, SET_RESET, primary, z.mutable[0], -EBADFD);
	REFUSED(&z, SET_RESET, staged, z.mutable[1], -EBADFD);
	zoo_tear_down(&z);
}

/* One guard cannot be used twice in one batch. */
static void token_twice(void)
{
	struct kvbm_token batch[3];
	u32 op, failed;
	struct dump *d;
	struct zoo z;

	zoo_set_up(&z);
	for (op = RELEASE; op <= SET_RESET; op++) {
		const struct kvbm_token *good = z.mutable;

		if (op == REGISTER || op == UNSTAGE)
			good = z.staged;
		else if (op == CLONE || op == SET_RESET)
			good = z.primary + 1;
		batch[0] = good[0];
		batch[1] = good[1];
		batch[2] = good[0];
		d = dump_of(&z.f);
		EXPECT_EQ(call(&z.f.holder, op, batch, 3, &failed), -ENXIO);
		EXPECT_EQ(failed, 2);
		EXPECT_UNCHANGED(&z.f, d);
	}
	zoo_tear_down(&z);
}

/* Two guards can be, and no third one. */
static void over_release(void)
{
	struct kvbm_token batch[3], m;
	struct dump *d;
	struct zoo z;
	u32 n, failed;

	zoo_set_up(&z);
	ASSERT_EQ(match(&z.f.holder, 0, 1, &m, &n), 0);
	batch[0] = m;
	batch[1] = m;
	batch[2] = m;
	d = dump_of(&z.f);
	EXPECT_EQ(call(&z.f.holder, RELEASE, batch, 3, &failed), -ENXIO);
	EXPECT_EQ(failed, 2);
	EXPECT_UNCHANGED(&z.f, d);
	EXPECT_EQ(call(&z.f.holder, RELEASE, batch, 2, &failed), 0);
	/* Its Duplicate keeps it Primary, but we have no guard on it. */
	EXPECT_EQ(state_of(&z.f, m.id), KVBM_STATE_PRIMARY);
	d = dump_of(&z.f);
	EXPECT_EQ(call(&z.f.holder, RELEASE, batch, 1, &failed), -ENXIO);
	EXPECT_EQ(failed, 0);
	EXPECT_UNCHANGED(&z.f, d);
	zoo_tear_down(&z);
}

static void wrong_block_size(void)
{
	static const u32 sizes[] = { 0, 1, BLOCK_SIZE - 1, BLOCK_SIZE + 1,
				     2 * BLOCK_SIZE, U32_MAX };
	struct kvbm_allocation next = { .count = 0 };
	struct kvbm_hash hash = hash_of(0);
	u32 i, failed, allocated;
	struct dump *d;
	struct zoo z;

	zoo_set_up(&z);
	d = dump_of(&z.f);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_EQ(kvbm_holder_stage(&z.f.holder, z.mutable, &hash, NULL, 1,
					    sizes[i], &failed), -EDOM);
		EXPECT_EQ(kvbm_holder_stage_register(&z.f.holder, z.mutable,
						     &hash, NULL, NULL, 1, sizes[i],
						     &next, &allocated,
						     &failed), -EDOM);
	}
	EXPECT_UNCHANGED(&z.f, d);
	zoo_tear_down(&z);
}

static void bad_hash(void)
{
	struct kvbm_hash hashes[3] = { hash_of(0), hash_of(1), { .hi = 3ULL << 62 } };
	struct kvbm_allocation next = { .count = 1 };
	u32 failed = 77, allocated;
	struct dump *d;
	struct zoo z;

	zoo_set_up(&z);
	d = dump_of(&z.f);
	EXPECT_EQ(kvbm_holder_stage(&z.f.holder, z.mutable, hashes, NULL, 3, BLOCK_SIZE,
				    &failed), -EILSEQ);
	EXPECT_EQ(failed, 2);
	failed = 77;
	EXPECT_EQ(kvbm_holder_stage_register(&z.f.holder, z.mutable, hashes, NULL, NULL,
					     3, BLOCK_SIZE, &next, &allocated,
					     &failed), -EILSEQ);
	EXPECT_EQ(failed, 2);
	EXPECT_EQ(allocated, 0);
	EXPECT_UNCHANGED(&z.f, d);
	zoo_tear_down(&z);
}

/* Looking for a hash that cannot exist is a miss. */
static void match_bad_hash(void)
{
	struct kvbm_hash bad = { .hi = 3ULL << 62, .lo = 5 };
	struct kvbm_token t;
	struct zoo z;
	u32 n = 77;

	zoo_set_up(&z);
	EXPECT_EQ(kvbm_holder_match(&z.f.holder, &bad, 1, KVBM_LOOKUP_PREFIX, &t, &n), 0);
	EXPECT_EQ(n, 0);
	zoo_tear_down(&z);
}

/* The number of guards of a session is bounded. */
static void too_many_guards(void)
{
	struct kvbm_token batch[NR_HELD], t[2];
	struct kvbm_allocation a = { .count = 2, .tokens = t };
	struct kvbm_hash hash = hash_of(0), hashes[NR_HELD], two[2];
	u32 n, allocated, failed;
	struct dump *d;
	struct zoo z;
	u64 guards;

	zoo_set_up(&z);
	hashes_of(200, NR_HELD, hashes);
	guards = z.f.holder.guards;
	z.f.holder.guards = KVBM_MAX_GUARDS - 1;
	d = dump_of(&z.f);
	memcpy(batch, z.staged, sizeof(batch));
	EXPECT_EQ(take(&z.f.holder, 2, t), -EOVERFLOW);
	EXPECT_EQ(match(&z.f.holder, 0, 2, t, &n), -EOVERFLOW);
	EXPECT_EQ(kvbm_holder_acquire(&z.f.holder, &hash, 1, &a, &n), -EOVERFLOW);
	hashes_of(0, 2, two);
	EXPECT_EQ(kvbm_holder_match(&z.f.holder, two, 2, KVBM_LOOKUP_SCATTERED, t, &n),
		  -EOVERFLOW);
	EXPECT_EQ(kvbm_holder_match(&z.f.holder, two, 2, KVBM_LOOKUP_SCAN, t, &n),
		  -EOVERFLOW);
	EXPECT_EQ(kvbm_holder_upgrade(&z.f.holder, two, batch, 2, &n), -EOVERFLOW);
	EXPECT_EQ(kvbm_holder_clone(&z.f.holder, z.primary, 2, &failed), -EOVERFLOW);
	EXPECT_EQ(kvbm_holder_register(&z.f.holder, batch, NULL, 2, &failed),
		  -EOVERFLOW);
	EXPECT_EQ(kvbm_holder_stage_register(&z.f.holder, z.mutable, hashes, NULL, NULL,
					     0, BLOCK_SIZE, &a, &allocated,
					     &failed), -EOVERFLOW);
	EXPECT_UNCHANGED(&z.f, d);
	EXPECT_EQ(match(&z.f.holder, 0, 1, t, &n), 0);
	z.f.holder.guards = guards + 1;
	zoo_tear_down(&z);
}

static void config_is_checked(void)
{
	static const struct {
		struct kvbm_store_config config;
		int err;
	} v[] = {
		{ { .block_count = 1, .block_size = 1 }, 0 },
		{ { .block_count = KVBM_MAX_BLOCKS, .block_size = 1024 }, 0 },
		{ { .block_count = 8, .block_size = 16,
		    .policy = KVBM_POLICY_LRU, .duplication = KVBM_DUP_REJECT }, 0 },
		{ { .block_count = 0, .block_size = 16 }, -EINVAL },
		{ { .block_count = KVBM_MAX_BLOCKS + 1, .block_size = 16 }, -EINVAL },
		{ { .block_count = 8, .block_size = 0 }, -EINVAL },
		{ { .block_count = 8, .block_size = 7 }, -EINVAL },
		{ { .block_count = 8, .block_size = 15 }, -EINVAL },
		{ { .block_count = 8, .block_size = 2048 }, -EINVAL },
		{ { .block_count = 8, .block_size = 16, .nr_reserved = 8 }, -EINVAL },
		{ { .block_count = 8, .block_size = 16, .duplication = 2 }, -EINVAL },
		{ { .block_count = 8, .block_size = 16, .policy = 6 }, -EINVAL },
		{ { .block_count = 8, .block_size = 16, .policy = U32_MAX }, -EINVAL },
		{ { .block_count = 8, .block_size = 16,
		    .aux_size = KVBM_MAX_AUX + 1 }, -EINVAL },
		{ { .block_count = 8, .block_size = 16, .policy = KVBM_POLICY_LRU,
		    .policy_args = { 0, 0, 0, 1 } }, -EINVAL },
	};
	struct kvbm_store_config config;
	u32 i, size;

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		config = v[i].config;
		if (!EXPECT_EQ(kvbm_store_config_check(&config), v[i].err))
			printf("# in line %u of the table\n", i);
	}
	/* All powers of two up to the limit. */
	for (size = 1; size <= KVBM_MAX_BLOCK_SIZE; size *= 2) {
		config = (struct kvbm_store_config){ .block_count = 1,
						     .block_size = size };
		EXPECT_EQ(kvbm_store_config_check(&config), 0);
	}
}

static const struct tap_test tests[] = {
	TEST(release_bad_tokens),
	TEST(stage_bad_tokens),
	TEST(register_bad_tokens),
	TEST(stage_register_bad_tokens),
	TEST(unstage_bad_tokens),
	TEST(clone_bad_tokens),
	TEST(set_reset_bad_tokens),
	TEST(token_twice),
	TEST(over_release),
	TEST(wrong_block_size),
	TEST(bad_hash),
	TEST(match_bad_hash),
	TEST(too_many_guards),
	TEST(config_is_checked),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
