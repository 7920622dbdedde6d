// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * libFuzzer: bytes to calls of the engine, on two stores of one registry. After
 * every call both stores are checked, and counters and slots are compared; a call
 * that fails has changed no slot. In the end everything must have come back.
 */
#include "input.h"

#include <kvbm/hash.h>

#include "engine/engine.h"
#include "engine/holder.h"
#include "engine/plh.h"
#include "engine/store.h"

#define NR_STORES	2
#define NR_HOLDERS	4
#define NR_PINS		3
#define NR_HASHES	48
#define MAX_BLOCKS	40
#define BATCH		16
#define MAX_CALLS	400
#define BLOCK_SIZE	16
#define AUX		8

static struct kvbm_registry *registry;
static struct kvbm_store *stores[NR_STORES];
static struct kvbm_holder holders[NR_HOLDERS];
static struct kvbm_pinned pins[NR_PINS];
static struct kvbm_hash hashes[NR_HASHES];
static struct kvbm_slot_info before[MAX_BLOCKS];

static void make_store(struct input *in, struct kvbm_store **out)
{
	struct kvbm_store_config config = {
		.block_count = 1 + take_byte(in) % MAX_BLOCKS,
		.block_size = BLOCK_SIZE,
		.duplication = take_byte(in) % (KVBM_DUP_REJECT + 1),
		.policy = take_byte(in) % (KVBM_POLICY_LINEAGE_FIFO + 1),
		.aux_size = take_byte(in) & 1 ? AUX : 0,
	};
	uint8_t more = take_byte(in);

	config.reset_on_release = more & 1;
	config.nr_reserved = more & 2 ? (more >> 2) % config.block_count : 0;
	MUST(!kvbm_store_config_check(&config));
	MUST(!kvbm_store_config_settle(&config, registry));
	MUST(!kvbm_store_alloc(registry, &config, out));
}

static struct kvbm_store *store_of(u32 holder)
{
	return stores[holder % NR_STORES];
}

static void sound(struct kvbm_store *s)
{
	struct kvbm_slot_info slots[MAX_BLOCKS];
	struct kvbm_check_result result;
	struct kvbm_counters c;
	u64 states[KVBM_NR_STATES] = { 0 };
	u32 i, n;

	MUST(!kvbm_store_check(s, &result));
	MUST(!result.errors && result.exact);
	kvbm_store_counters(s, &c);
	n = kvbm_store_dump(s, 0, MAX_BLOCKS, slots);
	MUST(n == kvbm_store_config(s)->block_count);
	for (i = 0; i < n; i++) {
		MUST(slots[i].state < KVBM_NR_STATES);
		if (!(slots[i].flags & KVBM_SLOT_INFO_RESERVED))
			states[slots[i].state]++;
	}
	MUST(!memcmp(states, c.states, sizeof(states)));
	MUST(c.reset_pool_size == states[KVBM_STATE_RESET]);
	MUST(c.inactive_pool_size == states[KVBM_STATE_INACTIVE]);
	MUST(c.inflight_mutable == states[KVBM_STATE_MUTABLE]);
	MUST(c.allocations == c.allocations_from_reset + c.evictions);
	MUST(c.stagings >= c.registrations);
}

static u32 take_tokens(struct input *in, u32 holder, struct kvbm_token *t)
{
	struct kvbm_store *s = store_of(holder);
	u32 n = take_byte(in) % (BATCH + 1), i;

	for (i = 0; i < n; i++) {
		uint8_t byte = take_byte(in);
		u32 blocks = kvbm_store_config(s)->block_count;

		/* Mostly those that are right, if the session holds them. */
		t[i].id = byte % (byte < 250 ? blocks : blocks + 2);
		t[i].gen = t[i].id < blocks ? s->slots[t[i].id].gen : byte;
		if (byte >= 240)
			t[i].gen += take_byte(in);
	}
	return n;
}

static u32 take_hashes(struct input *in, struct kvbm_hash *h, u32 max)
{
	u32 n = take_byte(in) % (max + 1), i;
	uint8_t at = take_byte(in);

	for (i = 0; i < n; i++) {
		h[i] = hashes[at++ % NR_HASHES];
		/* A jump, or anything at all. */
		if (i % 4 == 3) {
			uint8_t byte = take_byte(in);

			if (byte & 0x80)
				at = byte;
			if (byte == 0xff)
				take(in, &h[i], sizeof(h[i]));
		}
	}
	return n;
}

static void end_holder(u32 holder)
{
	struct kvbm_reclaim reclaim;

	kvbm_holder_release_all(&holders[holder], true, &reclaim);
	kvbm_holder_destroy(&holders[holder]);
	MUST(!holders[holder].guards);
}

static void attach(struct input *in)
{
	const struct kvbm_hash *hash = &hashes[take_byte(in) % NR_HASHES];
	char data[64], room[KVBM_ATTACHMENT_ROOM(64) * KVBM_MAX_ATTACHMENTS] = { 0 };
	struct kvbm_attached out = { .buf = room, .size = take_byte(in) * 8 };
	uint8_t how = take_byte(in);

	take(in, data, sizeof(data));
	if (out.size > sizeof(room))
		out.size = sizeof(room);
	kvbm_registry_attach(registry, hash, 1 + how % 3, how >> 7, data, how & 63);
	kvbm_registry_read_attached(registry, hash, how & 64 ? 1 + how % 3 : 0, &out);
	MUST(out.written <= out.size && out.count <= out.total);
	kvbm_registry_touch(registry, hash);
	MUST(kvbm_registry_frequency(registry, hash) <= 15);
}

/* Whether a call that failed must have changed nothing: those over tokens. */
static int call(struct input *in, u32 holder, bool *atomic)
{
	struct kvbm_holder *h = &holders[holder];
	struct kvbm_store *s = store_of(holder);
	u64 aux[BATCH + MAX_BLOCKS] = { 0 };
	struct kvbm_token t[MAX_BLOCKS + 2], next[MAX_BLOCKS + 2];
	struct kvbm_hash hash[BATCH], evicted[MAX_BLOCKS + 2];
	bool has_aux = kvbm_store_config(s)->aux_size;
	struct kvbm_allocation a = { .tokens = next, .evicted = evicted };
	struct kvbm_release_hint hint = { 0 };
	u32 n, ignored, failed = 0;
	struct kvbm_pinned *pin;
	u8 kinds[BATCH];
	uint8_t op = take_byte(in);
	int err;

	*atomic = true;
	a.evicted_aux = has_aux ? aux + BATCH : NULL;
	switch (op % 18) {
	case 0:
	case 1:
		a.count = take_byte(in) % (MAX_BLOCKS + 2);
		return kvbm_holder_allocate(h, &a);
	case 2:
		n = take_hashes(in, hash, BATCH);
		a.count = n + take_byte(in) % 8;
		return kvbm_holder_acquire(h, hash, n, &a, &ignored);
	case 3:
	case 4:
		n = take_tokens(in, holder, t);
		take_hashes(in, hash, BATCH);
		return kvbm_holder_stage(h, t, hash, has_aux ? aux : NULL, n, BLOCK_SIZE,
					 &failed);
	case 5:
	case 6:
		n = take_tokens(in, holder, t);
		return kvbm_holder_register(h, t, kinds, n, &failed);
	case 7:
		n = take_tokens(in, holder, t);
		take_hashes(in, hash, BATCH);
		a.count = take_byte(in) % 8;
		return kvbm_holder_stage_register(h, t, hash, has_aux ? aux : NULL, kinds, n,
						  BLOCK_SIZE, &a, &ignored, &failed);
	case 8:
		n = take_hashes(in, hash, BATCH);
		return kvbm_holder_match(h, hash, n, op / 18 % 4, t, &ignored);
	case 9:
		n = take_tokens(in, holder, t);
		hint.kind = op / 18 % (KVBM_HINT_RETURN + 1);
		return kvbm_holder_release(h, t, n, hint, &failed);
	case 10:
		n = take_tokens(in, holder, t);
		return kvbm_holder_unstage(h, t, n, &failed);
	case 11:
		n = take_tokens(in, holder, t);
		return kvbm_holder_clone(h, t, n, &failed);
	case 12:
		n = take_tokens(in, holder, t);
		return kvbm_holder_set_reset(h, t, n, op & 1, &failed);
	case 13:
		n = take_tokens(in, holder, t);
		take_hashes(in, hash, BATCH);
		return kvbm_holder_upgrade(h, hash, t, n, &ignored);
	case 14:
		pin = &pins[op / 18 % NR_PINS];
		if (pin->count) {
			kvbm_pinned_release(pin);
			pin->count = 0;
			return 0;
		}
		n = take_tokens(in, holder, t);
		err = n ? kvbm_holder_pin(h, t, n, op & 1, pin, &failed) : 0;
		if (err)
			pin->count = 0;
		return err;
	case 15:
		if (op / 18 % 4)
			return kvbm_holder_drain(h, &ignored, &failed);
		end_holder(holder);
		kvbm_holder_init(h, s);
		return 0;
	case 16:
		attach(in);
		return 0;
	default:
		/* Seldom: with an old epoch most calls are refused. */
		if (op / 18 == 1 && !kvbm_store_raise_epoch(s, op & 1, &ignored))
			kvbm_holder_join(h, ignored);
		n = take_tokens(in, holder, t);
		return kvbm_holder_release(h, t, n, hint, &failed);
	}
}

static void begin(struct input *in)
{
	u32 i;

	for (i = 0; i < NR_HASHES; i++)
		MUST(!kvbm_plh(0x9e3779b97f4a7c15ULL * (i + 1), 0x9e3779b97f4a7c15ULL * i,
			       i % 12, &hashes[i]));
	MUST(!kvbm_registry_alloc(NR_STORES * MAX_BLOCKS, KVBM_SCHEMA_PLH, &registry));
	MUST(!kvbm_registry_add_sketch(registry, 64));
	for (i = 0; i < NR_STORES; i++)
		make_store(in, &stores[i]);
	for (i = 0; i < NR_HOLDERS; i++)
		kvbm_holder_init(&holders[i], store_of(i));
	memset(pins, 0, sizeof(pins));
}

static void end(void)
{
	struct kvbm_counters c;
	u32 i;

	for (i = 0; i < NR_HOLDERS; i++)
		end_holder(i);
	for (i = 0; i < NR_PINS; i++)
		if (pins[i].count)
			kvbm_pinned_release(&pins[i]);
	for (i = 0; i < NR_STORES; i++) {
		sound(stores[i]);
		kvbm_store_counters(stores[i], &c);
		MUST(c.reset_pool_size + c.inactive_pool_size ==
		     kvbm_store_config(stores[i])->block_count -
		     kvbm_store_config(stores[i])->nr_reserved);
		MUST(!c.inflight_immutable);
		kvbm_store_free(stores[i]);
	}
	MUST(!kvbm_registry_entries(registry));
	kvbm_registry_free(registry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct kvbm_slot_info after[MAX_BLOCKS];
	u32 calls, i, n, holder;
	bool atomic;

	begin(&in);
	for (calls = 0; in.left && calls < MAX_CALLS; calls++) {
		holder = take_byte(&in) % NR_HOLDERS;
		n = kvbm_store_dump(store_of(holder), 0, MAX_BLOCKS, before);
		if (call(&in, holder, &atomic) && atomic) {
			kvbm_store_dump(store_of(holder), 0, MAX_BLOCKS, after);
			MUST(!memcmp(before, after, n * sizeof(*after)));
		}
		for (i = 0; i < NR_STORES; i++)
			sound(stores[i]);
	}
	end();
	return 0;
}
