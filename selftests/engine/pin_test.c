// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Pins, quotas and epochs, as the engine has them.
 */
#include <pthread.h>

#include "fixture.h"

#define N	8

static struct fixture f;
static struct kvbm_token t[300];
static struct kvbm_hash h[300];
static u32 failed;

static void begin(u32 blocks)
{
	memset(&f, 0, sizeof(f));
	set_up(&f, blocks);
	hashes_of(0, 300, h);
}

static void end(void)
{
	tear_down(&f);
}

static int allocate_on(struct kvbm_holder *holder, u32 n, struct kvbm_token *tokens)
{
	struct kvbm_allocation a = { .count = n, .tokens = tokens };

	return kvbm_holder_allocate(holder, &a);
}

/* The first @n hashes, registered; guards in t[]. */
static void fill_own(u32 n)
{
	ASSERT_EQ(allocate_on(&f.holder, n, t), 0);
	ASSERT_EQ(kvbm_holder_stage(&f.holder, t, h, NULL, n, BLOCK_SIZE, &failed), 0);
	ASSERT_EQ(kvbm_holder_register(&f.holder, t, NULL, n, &failed), 0);
}

static int release(struct kvbm_holder *holder, const struct kvbm_token *tokens, u32 n)
{
	return kvbm_holder_release(holder, tokens, n, no_hint, &failed);
}

static u64 in_state(u32 state)
{
	return counters_of(f.store).states[state];
}

static void keeps_what_the_session_drops(void)
{
	struct kvbm_pinned pin;
	u32 i;

	begin(300);
	/* More than one hold of the lock. */
	fill_own(300);
	ASSERT_EQ(kvbm_holder_pin(&f.holder, t, 200, false, &pin, &failed), 0);
	EXPECT_EQ(counters_of(f.store).inflight_immutable, 300);
	EXPECT_EQ(pin.count, 200);
	for (i = 0; i < 200; i++) {
		EXPECT_EQ(pin.blocks[i].token.id, t[i].id);
		EXPECT_EQ(pin.blocks[i].state, KVBM_STATE_PRIMARY);
		EXPECT(kvbm_hash_equal(&pin.blocks[i].hash, &h[i]));
		EXPECT_EQ(f.store->slots[t[i].id].refs, 2);
	}
	ASSERT_EQ(release(&f.holder, t, 300), 0);
	EXPECT_EQ(counters_of(f.store).inflight_immutable, 0);
	EXPECT_EQ(in_state(KVBM_STATE_PRIMARY), 200);
	EXPECT_EQ(allocate_on(&f.holder, 101, t), -ENOSPC);
	EXPECT_EQ(kvbm_store_shutdown(f.store, false), -EBUSY);
	expect_sound(f.store);
	kvbm_pinned_release(&pin);
	EXPECT_EQ(in_state(KVBM_STATE_INACTIVE), 300);
	expect_sound(f.store);
	end();
}

/* A Duplicate keeps its Primary, and a pin keeps the Duplicate. */
static void of_a_duplicate(void)
{
	struct kvbm_pinned pin;

	begin(4);
	fill_own(1);
	ASSERT_EQ(allocate_on(&f.holder, 1, t + 1), 0);
	ASSERT_EQ(kvbm_holder_stage(&f.holder, t + 1, h, NULL, 1, BLOCK_SIZE, &failed), 0);
	ASSERT_EQ(kvbm_holder_register(&f.holder, t + 1, NULL, 1, &failed), 0);
	ASSERT_EQ(kvbm_holder_pin(&f.holder, t + 1, 1, false, &pin, &failed), 0);
	EXPECT_EQ(pin.blocks[0].state, KVBM_STATE_DUPLICATE);
	ASSERT_EQ(release(&f.holder, t, 2), 0);
	EXPECT_EQ(in_state(KVBM_STATE_DUPLICATE), 1);
	EXPECT_EQ(in_state(KVBM_STATE_PRIMARY), 1);
	expect_sound(f.store);
	kvbm_pinned_release(&pin);
	EXPECT_EQ(in_state(KVBM_STATE_INACTIVE), 1);
	EXPECT_EQ(in_state(KVBM_STATE_RESET), 3);
	end();
}

static void write_pins(void)
{
	struct kvbm_pinned a, b;
	struct kvbm_reclaim reclaim;

	begin(N);
	ASSERT_EQ(allocate_on(&f.holder, N, t), 0);
	ASSERT_EQ(kvbm_holder_pin(&f.holder, t, 4, true, &a, &failed), 0);
	ASSERT_EQ(kvbm_holder_pin(&f.holder, t + 2, 4, true, &b, &failed), 0);
	EXPECT_EQ(f.store->write_pins, 8);
	EXPECT_EQ(f.store->slots[t[2].id].writers, 2);
	expect_sound(f.store);
	ASSERT_EQ(kvbm_holder_stage(&f.holder, t, h, NULL, N, BLOCK_SIZE, &failed), 0);
	EXPECT_EQ(kvbm_holder_register(&f.holder, t + 6, NULL, 1, &failed), 0);
	EXPECT_EQ(kvbm_holder_register(&f.holder, t, NULL, N - 2, &failed), -EBUSY);
	EXPECT_EQ(failed, 0);
	EXPECT_EQ(counters_of(f.store).registrations, 1);
	kvbm_pinned_release(&a);
	EXPECT_EQ(kvbm_holder_register(&f.holder, t, NULL, 3, &failed), -EBUSY);
	EXPECT_EQ(failed, 2);
	EXPECT_EQ(kvbm_holder_register(&f.holder, t, NULL, 2, &failed), 0);
	kvbm_holder_release_all(&f.holder, true, &reclaim);
	EXPECT_EQ(reclaim.staged, 5);
	/* Of those, the four that are pinned stay. */
	EXPECT_EQ(in_state(KVBM_STATE_STAGED), 4);
	expect_sound(f.store);
	kvbm_pinned_release(&b);
	EXPECT_EQ(f.store->write_pins, 0);
	EXPECT_EQ(in_state(KVBM_STATE_RESET), 5);
	expect_sound(f.store);
	end();
}

static void refusals(void)
{
	struct kvbm_token twice[2];
	struct kvbm_pinned pin;

	begin(N);
	fill_own(4);
	ASSERT_EQ(allocate_on(&f.holder, 4, t + 4), 0);
	EXPECT_EQ(kvbm_holder_pin(&f.holder, t, 5, false, &pin, &failed), -EBADFD);
	EXPECT_EQ(failed, 4);
	EXPECT_EQ(kvbm_holder_pin(&f.holder, t + 3, 5, true, &pin, &failed), -EBADFD);
	EXPECT_EQ(failed, 0);
	ASSERT_EQ(kvbm_holder_clone(&f.holder, t, 1, &failed), 0);
	twice[0] = t[0];
	twice[1] = t[0];
	EXPECT_EQ(kvbm_holder_pin(&f.holder, twice, 2, false, &pin, &failed), -EINVAL);
	EXPECT_EQ(failed, 1);
	twice[0].gen++;
	EXPECT_EQ(kvbm_holder_pin(&f.holder, twice, 2, false, &pin, &failed), -ESTALE);
	kvbm_store_shutdown(f.store, true);
	EXPECT_EQ(kvbm_holder_pin(&f.holder, t, 4, false, &pin, &failed), -ESHUTDOWN);
	EXPECT_EQ(f.store->slots[t[1].id].refs, 1);
	expect_sound(f.store);
	end();
}

/* Accounts that two sessions share, and one of their own. */
static u64 own_limit, shared_limit;
static struct kvbm_account shared_account = { .limit = &shared_limit };
static struct kvbm_account above = { .limit = &shared_limit };
static struct kvbm_account own[2] = { { .limit = &own_limit }, { .limit = &own_limit } };

static void give_accounts(struct kvbm_holder *holder, u32 i)
{
	holder->accounts.of[0] = &own[i];
	holder->accounts.of[1] = &shared_account;
}

static void begin_quotas(u32 blocks)
{
	begin(blocks);
	own_limit = KVBM_NO_LIMIT;
	shared_limit = KVBM_NO_LIMIT;
	shared_account.parent = &above;
	give_accounts(&f.holder, 0);
}

static void end_quotas(void)
{
	struct kvbm_reclaim reclaim;

	kvbm_holder_release_all(&f.holder, true, &reclaim);
	EXPECT_EQ(own[0].held, 0);
	EXPECT_EQ(own[1].held, 0);
	EXPECT_EQ(shared_account.held, 0);
	EXPECT_EQ(above.held, 0);
	end();
}

static void quotas_count_blocks(void)
{
	struct kvbm_holder other;
	struct kvbm_pinned pin;
	struct kvbm_reclaim reclaim;
	u32 n;

	begin_quotas(64);
	fill_own(N);
	/* Nothing is charged before there is a quota; then all is. */
	EXPECT_EQ(own[0].held, 0);
	kvbm_store_enable_quotas(f.store);
	kvbm_holder_recharge(&f.holder);
	EXPECT_EQ(own[0].held, N);
	EXPECT_EQ(above.held, N);
	kvbm_holder_init(&other, f.store);
	give_accounts(&other, 1);
	kvbm_store_set_limit(f.store, &shared_limit, N + 4);
	EXPECT_EQ(kvbm_holder_match(&other, h, N, KVBM_LOOKUP_PREFIX, t + N, &n), -EDQUOT);
	EXPECT_EQ(other.used, 0);
	EXPECT_EQ(own[1].held, 0);
	ASSERT_EQ(kvbm_holder_match(&other, h, 4, KVBM_LOOKUP_PREFIX, t + N, &n), 0);
	EXPECT_EQ(shared_account.held, N + 4);
	/* More guards on the same blocks cost nothing. */
	ASSERT_EQ(kvbm_holder_match(&other, h, 4, KVBM_LOOKUP_PREFIX, t + N + 4, &n), 0);
	EXPECT_EQ(kvbm_holder_pin(&other, t + N, 1, false, &pin, &failed), -EDQUOT);
	ASSERT_EQ(release(&f.holder, t, 4), 0);
	ASSERT_EQ(kvbm_holder_pin(&other, t + N, 4, false, &pin, &failed), 0);
	EXPECT_EQ(shared_account.held, N + 4);
	/* A limit below what is held takes nothing away, and gives nothing. */
	kvbm_store_set_limit(f.store, &shared_limit, 4);
	EXPECT_EQ(allocate_on(&other, 1, t + N + 8), -EDQUOT);
	EXPECT_EQ(shared_account.held, N + 4);
	kvbm_holder_release_all(&other, true, &reclaim);
	/* Who has ended is not charged again; the pin still is. */
	kvbm_holder_recharge(&other);
	kvbm_holder_destroy(&other);
	EXPECT_EQ(own[1].held, 4);
	kvbm_pinned_release(&pin);
	EXPECT_EQ(own[1].held, 0);
	end_quotas();
}

static u64 most_held;

static void watch_held(void)
{
	most_held = max_t(u64, most_held, kvbm_store_account_held(f.store, &own[1]));
}

/*
 * What is refused in the middle of a batch goes back in steps, and at none of
 * them is the account above its limit.
 */
static void quotas_are_never_exceeded(void)
{
	static struct kvbm_token out[300];
	struct kvbm_allocation a = { .count = 250, .tokens = out };
	const u64 limit = 2 * KVBM_CHUNK + 5;
	struct kvbm_hash every_other[300];
	struct kvbm_holder other;
	struct kvbm_reclaim reclaim;
	u32 n, matched, i;

	begin_quotas(300);
	fill_own(200);
	for (i = 0; i < 300; i++)
		every_other[i] = i % 2 ? h[i / 2] : h[299 - i % 100];
	kvbm_store_enable_quotas(f.store);
	kvbm_holder_recharge(&f.holder);
	kvbm_holder_init(&other, f.store);
	other.accounts.of[0] = &own[1];
	kvbm_store_set_limit(f.store, &own_limit, limit);
	most_held = 0;
	kvbm_relax_hook = watch_held;
	EXPECT_EQ(kvbm_holder_match(&other, h, 200, KVBM_LOOKUP_PREFIX, out, &n), -EDQUOT);
	EXPECT_EQ(kvbm_holder_match(&other, h, 200, KVBM_LOOKUP_SCAN, out, &n), -EDQUOT);
	EXPECT_EQ(kvbm_holder_match(&other, every_other, 300, KVBM_LOOKUP_SCAN, out, &n),
		  -EDQUOT);
	EXPECT_EQ(kvbm_holder_acquire(&other, h, 200, &a, &matched), -EDQUOT);
	memcpy(out, t, 200 * sizeof(*out));
	EXPECT_EQ(kvbm_holder_upgrade(&other, h, out, 200, &n), -EDQUOT);
	kvbm_relax_hook = NULL;
	EXPECT_EQ(most_held, 2 * KVBM_CHUNK);
	EXPECT_EQ(other.used, 0);
	EXPECT_EQ(own[1].held, 0);
	kvbm_holder_release_all(&other, true, &reclaim);
	kvbm_holder_destroy(&other);
	end_quotas();
}

/* An acquisition is charged for what is new to the session, to the block. */
static void quotas_of_acquisitions(void)
{
	static struct kvbm_token out[300];
	struct kvbm_allocation a = { .tokens = out };
	u32 sizes[] = { 64, 300 }, i, n, matched;

	for (i = 0; i < 2; i++) {
		n = sizes[i];
		begin_quotas(300);
		fill_own(n / 2);
		kvbm_store_enable_quotas(f.store);
		kvbm_holder_recharge(&f.holder);
		kvbm_store_set_limit(f.store, &own_limit, n - 1);
		a.count = n;
		EXPECT_EQ(kvbm_holder_acquire(&f.holder, h, n, &a, &matched), -EDQUOT);
		EXPECT_EQ(own[0].held, n / 2);
		EXPECT_EQ(f.holder.charged, n / 2);
		kvbm_store_set_limit(f.store, &own_limit, n);
		EXPECT_EQ(kvbm_holder_acquire(&f.holder, h, n, &a, &matched), 0);
		EXPECT_EQ(matched, n / 2);
		EXPECT_EQ(own[0].held, n);
		/* A refusal for lack of blocks leaves no charge. */
		kvbm_store_set_limit(f.store, &own_limit, KVBM_NO_LIMIT);
		EXPECT_EQ(allocate_on(&f.holder, 300, out), -ENOSPC);
		EXPECT_EQ(own[0].held, n);
		end_quotas();
	}
}

/* What another session left in the cache is charged to who takes it. */
static void quotas_of_cached_blocks(void)
{
	struct kvbm_allocation a = { .count = 3, .tokens = t };
	struct kvbm_hash twice[3];
	u64 other_limit = 1;
	u32 n, matched;

	begin_quotas(8);
	fill_own(2);
	ASSERT_EQ(release(&f.holder, t, 2), 0);
	kvbm_store_enable_quotas(f.store);
	kvbm_holder_recharge(&f.holder);
	kvbm_store_use_limit(f.store, &own[0], &other_limit);
	EXPECT_EQ(kvbm_holder_upgrade(&f.holder, h, t, 2, &n), -EDQUOT);
	EXPECT_EQ(f.holder.used, 0);
	EXPECT_EQ(in_state(KVBM_STATE_INACTIVE), 2);
	kvbm_store_set_limit(f.store, &other_limit, 2);
	EXPECT_EQ(kvbm_holder_acquire(&f.holder, h, 2, &a, &matched), -EDQUOT);
	EXPECT_EQ(kvbm_store_account_held(f.store, &own[0]), 0);
	/* A hash may come twice; its block is charged once. */
	twice[0] = h[0];
	twice[1] = h[0];
	twice[2] = h[1];
	EXPECT_EQ(kvbm_holder_acquire(&f.holder, twice, 3, &a, &matched), 0);
	EXPECT_EQ(matched, 3);
	EXPECT_EQ(kvbm_store_account_held(f.store, &own[0]), 2);
	ASSERT_EQ(release(&f.holder, t, 3), 0);
	a.count = 3;
	kvbm_store_set_limit(f.store, &other_limit, 3);
	EXPECT_EQ(kvbm_holder_acquire(&f.holder, h, 2, &a, &matched), 0);
	EXPECT_EQ(matched, 2);
	EXPECT_EQ(kvbm_store_account_held(f.store, &own[0]), 3);
	/* What is held already costs nothing. */
	a.count = 2;
	EXPECT_EQ(kvbm_holder_acquire(&f.holder, h, 2, &a, &matched), 0);
	EXPECT_EQ(kvbm_store_account_held(f.store, &own[0]), 3);
	end_quotas();
}

static void epochs(void)
{
	struct kvbm_reclaim reclaim;
	struct kvbm_holder successor;
	u32 epoch;

	begin_quotas(3 * N);
	fill_own(N);
	ASSERT_EQ(allocate_on(&f.holder, N, t + N), 0);
	ASSERT_EQ(kvbm_holder_stage(&f.holder, t + N, h + N, NULL, 2, BLOCK_SIZE, &failed), 0);
	EXPECT_EQ(kvbm_store_epoch(f.store), 1);
	ASSERT_EQ(kvbm_store_raise_epoch(f.store, true, &epoch), 0);
	EXPECT_EQ(epoch, 2);
	kvbm_holder_init(&successor, f.store);
	/* Nobody goes back. */
	kvbm_holder_join(&successor, 1);
	EXPECT(kvbm_holder_is_fenced(&f.holder));
	EXPECT(!kvbm_holder_is_fenced(&successor));
	EXPECT_EQ(allocate_on(&f.holder, 1, t + 2 * N), -EOWNERDEAD);
	EXPECT_EQ(allocate_on(&successor, 1, t + 2 * N), 0);
	EXPECT_EQ(release(&f.holder, t + N, N), -EOWNERDEAD);
	/* Its owner dies: what is registered goes back, the rest does not. */
	kvbm_holder_release_all(&f.holder, false, &reclaim);
	EXPECT_EQ(reclaim.immutable, N);
	EXPECT_EQ(reclaim.mutable, 0);
	EXPECT_EQ(reclaim.staged, 0);
	EXPECT_EQ(in_state(KVBM_STATE_MUTABLE), N - 2 + 1);
	EXPECT_EQ(in_state(KVBM_STATE_STAGED), 2);
	EXPECT_EQ(f.holder.used, N);
	/* What is kept from it is charged to it, by quotas that begin now as well. */
	kvbm_store_enable_quotas(f.store);
	kvbm_holder_recharge(&f.holder);
	EXPECT_EQ(own[0].held, N);
	expect_sound(f.store);
	/* Its file is closed. */
	kvbm_holder_release_all(&f.holder, true, &reclaim);
	EXPECT_EQ(reclaim.mutable, N - 2);
	EXPECT_EQ(reclaim.staged, 2);
	EXPECT_EQ(in_state(KVBM_STATE_MUTABLE), 1);
	expect_sound(f.store);
	kvbm_holder_release_all(&successor, true, &reclaim);
	kvbm_holder_destroy(&successor);
	end_quotas();
}

static const struct tap_test tests[] = {
	TEST(keeps_what_the_session_drops),
	TEST(of_a_duplicate),
	TEST(write_pins),
	TEST(refusals),
	TEST(quotas_count_blocks),
	TEST(quotas_are_never_exceeded),
	TEST(quotas_of_acquisitions),
	TEST(quotas_of_cached_blocks),
	TEST(epochs),
};

int main(void)
{
	return tap_run(tests, ARRAY_SIZE(tests));
}
