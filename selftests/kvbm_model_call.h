/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One random call of a session, made through the device and to the model, and the
 * comparison of all that can be seen.
 */
#ifndef KVBM_MODEL_CALL_H
#define KVBM_MODEL_CALL_H

#include "kvbm_model.h"

#define NR_SESSIONS	2
#define NR_PINS		2
#define BATCH		8
#define ANY_STATE	((1u << KVBM_NR_STATES) - 1)

struct pin {
	int fd;
	bool write;
	uint32_t n, id[BATCH];
};

static struct session sessions[NR_SESSIONS];
static struct pin pins[NR_PINS];
static uint64_t manager;
static bool duplicates, talk;
static int control;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	va_list args;

	if (!talk)
		return;
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
}

static void compare(void)
{
	struct kvbm_slot_info slots[BLOCKS + 1];
	struct kvbm_held held[BLOCKS];
	struct kvbm_counters c, want = m.c;
	uint32_t id, i, s, flags;

	SAME(kv_dump(control, manager, 0, BLOCKS + 1, slots), BLOCKS);
	for (id = 0; id < BLOCKS; id++) {
		SAME(slots[id].token.id, id);
		SAME(slots[id].token.gen, m.gen[id]);
		SAME(slots[id].state, m.state[id]);
		SAME(slots[id].refs, m.refs[id]);
		flags = (m.reset[id] ? KVBM_SLOT_INFO_RESET_ON_RELEASE : 0) |
			(m.writers[id] ? KVBM_SLOT_INFO_WRITE_PINNED : 0);
		SAME(slots[id].flags, flags);
		same_hash(&slots[id].hash, has_hash(id) ? m.hash[id] : NONE);
		want.states[m.state[id]]++;
	}
	for (s = 0; s < NR_SESSIONS; s++) {
		struct kvbm_holdings h = { .size = sizeof(h), .count = BLOCKS, .held = ptr(held) };

		SAME(kv(sessions[s].fd, KVBM_HOLDINGS, &h), 0);
		SAME(h.out_total, sessions[s].n);
		SAME(h.out_count, sessions[s].n);
		for (i = 0; i < sessions[s].n; i++) {
			id = sessions[s].order[i];
			SAME(held[i].token.id, id);
			SAME(held[i].token.gen, m.gen[id]);
			SAME(held[i].guards, sessions[s].count[id]);
			SAME(held[i].state, m.state[id]);
		}
	}
	SAME(kv_counters(control, manager, &c), 0);
	want.inflight_mutable = want.states[KVBM_STATE_MUTABLE];
	want.reset_pool_size = m.nr_free;
	want.inactive_pool_size = m.nr_cached;
	/* These go by clocks and by chance. */
	want.change = c.change;
	want.wait_total_ns = c.wait_total_ns;
	want.reclaim_last_ns = c.reclaim_last_ns;
	want.reclaim_max_ns = c.reclaim_max_ns;
	want.reclaim_end_ns = c.reclaim_end_ns;
	want.reclaim_total_ns = c.reclaim_total_ns;
	want.regret_sample = c.regret_sample;
	want.regret_evictions = c.regret_evictions;
	want.regrets = c.regrets;
	want.regret_total_ns = c.regret_total_ns;
	for (i = 0; i < sizeof(c) / sizeof(__u64); i++) {
		const __u64 *got = (const __u64 *)&c + i, *wanted = (const __u64 *)&want + i;

		if (*got != *wanted)
			fail("counter %u is %llu, not %llu", i, *got, *wanted);
	}
	SAME(kv_check(control, manager), 0);
}

static uint32_t any_tokens(const struct session *s, uint32_t states, struct kvbm_token *t)
{
	uint32_t n = 0, i, j, used, id, want = below(BATCH - 1);
	bool wild = one_in(6);

	for (i = 0; i < 4 * want && n < want && s->n; i++) {
		id = s->order[below(s->n)];
		if (!(states & 1u << m.state[id]) && !wild)
			continue;
		for (used = 0, j = 0; j < n; j++)
			used += t[j].id == id;
		if (used == s->count[id] && !wild)
			continue;
		t[n++] = token_of(id);
	}
	if (wild && one_in(2)) {
		id = below(BLOCKS + 1);
		t[n++] = (struct kvbm_token){ id, id < BLOCKS ? m.gen[id] - below(2) : 5 };
	}
	return n;
}

static uint32_t any_hashes(uint32_t max, uint32_t *numbers, struct kvbm_hash *out)
{
	uint32_t n = below(max + 1), at = below(NR_HASHES), i;

	for (i = 0; i < n; i++) {
		if (one_in(6))
			at = below(NR_HASHES);
		numbers[i] = at++ % NR_HASHES;
		out[i] = hashes[numbers[i]];
	}
	return n;
}

static void same_token(struct kvbm_token got, uint32_t id)
{
	SAME(got.id, id);
	SAME(got.gen, m.gen[id]);
}

static bool fits(uint32_t n)
{
	return n <= m.nr_free + m.nr_cached;
}

static void do_acquire(struct session *s, bool match)
{
	uint32_t n = one_in(8) ? below(BLOCKS + 2) : below(BATCH), numbers[BATCH];
	uint32_t nr = 0, matched = 0, i, id, kept = 0, victims[BLOCKS], nr_victims = 0;
	struct kvbm_token t[BLOCKS + 2];
	struct kvbm_hash wanted[BATCH], evicted[BLOCKS + 2];
	struct kvbm_acquire a;
	bool counted[BLOCKS] = { 0 };
	int err;

	if (match)
		nr = any_hashes(n < BATCH ? n : BATCH, numbers, wanted);
	a = (struct kvbm_acquire){
		.size = sizeof(a), .nr_hashes = nr, .count = n, .hashes = ptr(wanted),
		.tokens = ptr(t), .evicted = ptr(evicted),
	};
	err = kv(s->fd, KVBM_ACQUIRE, &a);
	say("acquire %u, %u hashes from %u: %d\n", n, nr, nr ? numbers[0] : 0, err);
	for (; matched < nr; matched++) {
		id = find_hash(numbers[matched]);
		if (id == NONE)
			break;
		kept += m.state[id] == KVBM_STATE_INACTIVE && !counted[id];
		counted[id] = true;
	}
	if (!fits(n - matched + kept)) {
		SAME(err, -ENOSPC);
		m.c.allocation_failures++;
		return;
	}
	SAME(err, 0);
	SAME(a.out_matched, matched);
	for (i = 0; i < matched; i++) {
		id = find_hash(numbers[i]);
		model_guard(s, id);
		same_token(t[i], id);
	}
	for (; i < n; i++)
		same_token(t[i], model_allocate_one(s, victims, &nr_victims));
	SAME(a.out_evicted, nr_victims);
	for (i = 0; i < nr_victims; i++)
		same_hash(&evicted[i], victims[i]);
	m.c.match_hashes_requested += nr;
	m.c.match_blocks_returned += matched;
}

static void do_match(struct session *s)
{
	uint32_t numbers[BATCH], n, i, id, got;
	struct kvbm_hash wanted[BATCH];
	struct kvbm_token t[BATCH];

	n = any_hashes(BATCH, numbers, wanted);
	say("match %u from %u\n", n, n ? numbers[0] : 0);
	SAME(kv_match(s->fd, n, wanted, t, &got), 0);
	for (i = 0; i < n; i++) {
		id = find_hash(numbers[i]);
		if (id == NONE)
			break;
		model_guard(s, id);
		same_token(t[i], id);
	}
	SAME(got, i);
	m.c.match_hashes_requested += n;
	m.c.match_blocks_returned += i;
}

static void do_stage(struct session *s)
{
	uint32_t numbers[BATCH], n, i;
	struct kvbm_hash wanted[BATCH];
	struct kvbm_token t[BATCH];
	int err;

	n = any_tokens(s, 1u << KVBM_STATE_MUTABLE, t);
	for (i = 0; i < n; i++) {
		numbers[i] = below(NR_HASHES);
		wanted[i] = hashes[numbers[i]];
	}
	err = kv_stage(s->fd, n, t, wanted);
	say("stage %u, block %u: %d\n", n, n ? t[0].id : 0, err);
	SAME(err, model_check(s, t, n, 1u << KVBM_STATE_MUTABLE, false));
	if (err)
		return;
	for (i = 0; i < n; i++) {
		m.state[t[i].id] = KVBM_STATE_STAGED;
		m.hash[t[i].id] = numbers[i];
	}
	m.c.stagings += n;
}

static void do_register(struct session *s)
{
	uint32_t n, i, id, old;
	struct kvbm_token t[BATCH], out[BATCH];
	uint8_t kinds[BATCH];
	int err;

	n = any_tokens(s, 1u << KVBM_STATE_STAGED, t);
	memcpy(out, t, sizeof(out));
	err = kv_register(s->fd, n, out, kinds);
	say("register %u, block %u: %d\n", n, n ? t[0].id : 0, err);
	SAME(err, model_check(s, t, n, 1u << KVBM_STATE_STAGED, true));
	if (err)
		return;
	for (i = 0; i < n; i++) {
		id = t[i].id;
		old = find_hash(m.hash[id]);
		m.c.registrations++;
		m.c.inflight_immutable++;
		if (old == NONE) {
			m.state[id] = KVBM_STATE_PRIMARY;
			SAME(kinds[i], KVBM_REGISTERED_NEW);
		} else if (duplicates) {
			model_ref(old);
			m.state[id] = KVBM_STATE_DUPLICATE;
			m.primary[id] = old;
			m.c.duplicate_blocks++;
			SAME(kinds[i], KVBM_REGISTERED_DUPLICATE);
		} else {
			model_ref(old);
			model_reset(id);
			unhold(s, id, 1);
			hold(s, old);
			m.c.registration_dedup++;
			id = old;
			SAME(kinds[i], KVBM_REGISTERED_EXISTING);
		}
		same_token(out[i], id);
	}
}

static void do_tokens(struct session *s, unsigned long cmd)
{
	uint32_t states = cmd == KVBM_UNSTAGE ? 1u << KVBM_STATE_STAGED :
			  cmd == KVBM_CLONE ? REGISTERED :
			  REGISTERED | 1u << KVBM_STATE_STAGED;
	struct kvbm_token t[BATCH];
	bool reset = one_in(2);
	uint32_t n, i;
	int err;

	n = any_tokens(s, states, t);
	err = kv_tokens(s->fd, cmd, cmd == KVBM_SET_RESET && reset ? KVBM_RESET_ON_RELEASE : 0,
			n, t);
	say("%s %u, block %u: %d\n", cmd == KVBM_UNSTAGE ? "unstage" : cmd == KVBM_CLONE ?
	    "clone" : "set_reset", n, n ? t[0].id : 0, err);
	SAME(err, model_check(s, t, n, states, false));
	for (i = 0; !err && i < n; i++) {
		if (cmd == KVBM_CLONE) {
			model_guard(s, t[i].id);
		} else if (cmd == KVBM_UNSTAGE) {
			m.state[t[i].id] = KVBM_STATE_MUTABLE;
			m.reset[t[i].id] = false;
		} else {
			m.reset[t[i].id] = reset;
		}
	}
}

static void do_release(struct session *s)
{
	struct kvbm_token t[BATCH];
	struct kvbm_release a = { .size = sizeof(a), .tokens = ptr(t) };
	uint32_t i;
	int err;

	a.count = any_tokens(s, ANY_STATE, t);
	a.hint = below(3);
	err = kv(s->fd, KVBM_RELEASE, &a);
	say("release %u, block %u, hint %u: %d\n", a.count, a.count ? t[0].id : 0, a.hint, err);
	SAME(err, model_check(s, t, a.count, ANY_STATE, false));
	for (i = 0; !err && i < a.count; i++)
		model_release(s, t[i].id, 1, a.hint == KVBM_HINT_FINISHED);
}

static void do_drain(struct session *s)
{
	struct kvbm_drain a = { .size = sizeof(a) };
	uint32_t id;

	say("drain\n");
	SAME(kv(s->fd, KVBM_DRAIN, &a), 0);
	SAME(a.out_drained, m.nr_cached);
	while (m.nr_cached) {
		id = victim();
		list_remove(m.cached, &m.nr_cached, id);
		m.free[m.nr_free++] = id;
		m.state[id] = KVBM_STATE_RESET;
	}
}

static void do_pin(struct session *s, struct pin *pin)
{
	uint32_t states, i, j;
	struct kvbm_token t[BATCH];
	int want, fd;

	if (pin->n) {
		say("unpin %u\n", pin->n);
		SAME(close(pin->fd), 0);
		while (pin->n) {
			m.writers[pin->id[--pin->n]] -= pin->write;
			model_unref(pin->id[pin->n], 1, false);
		}
		return;
	}
	pin->write = one_in(2);
	states = pin->write ? 1u << KVBM_STATE_MUTABLE : REGISTERED;
	pin->n = any_tokens(s, states, t);
	want = model_check(s, t, pin->n, states, false);
	for (i = 0; !want && i < pin->n; i++)
		for (j = 0; j < i; j++)
			if (t[i].id == t[j].id)
				want = -EINVAL;
	if (!pin->n)
		want = -EINVAL;
	fd = kv_pin(s->fd, pin->write ? KVBM_PIN_WRITE : 0, pin->n, t);
	say("pin %u, block %u: %d\n", pin->n, pin->n ? t[0].id : 0, want);
	pin->fd = fd;
	if (fd < 0)
		pin->n = 0;
	SAME(fd < 0 ? fd : 0, want);
	if (want)
		return;
	for (i = 0; i < pin->n; i++) {
		pin->id[i] = t[i].id;
		m.refs[t[i].id]++;
		m.writers[t[i].id] += pin->write;
	}
}

/* The newest goes back first. */
static void do_end(struct session *s)
{
	uint32_t id;

	say("close\n");
	m.c.reclaimed_sessions += !!s->n;
	SAME(close(s->fd), 0);
	while (s->n) {
		id = s->order[s->n - 1];
		if (m.state[id] == KVBM_STATE_MUTABLE)
			m.c.reclaimed_mutable++;
		else if (m.state[id] == KVBM_STATE_STAGED)
			m.c.reclaimed_staged++;
		else
			m.c.reclaimed_immutable += s->count[id];
		model_release(s, id, s->count[id], false);
	}
	s->fd = kv_session(manager, ALL_RIGHTS);
	MUST(s->fd >= 0);
}

static void step(void)
{
	uint32_t number = below(NR_SESSIONS);
	struct session *s = &sessions[number];

	say("#   session %u: ", number);
	switch (below(18)) {
	case 0 ... 2:
		do_acquire(s, false);
		break;
	case 3:
		do_acquire(s, true);
		break;
	case 4:
		do_match(s);
		break;
	case 5 ... 7:
		do_stage(s);
		break;
	case 8 ... 9:
		do_register(s);
		break;
	case 10:
		do_tokens(s, KVBM_UNSTAGE);
		break;
	case 11:
		do_tokens(s, KVBM_CLONE);
		break;
	case 12:
		do_tokens(s, KVBM_SET_RESET);
		break;
	case 13:
		do_pin(s, &pins[below(NR_PINS)]);
		break;
	case 14:
		if (one_in(4))
			do_drain(s);
		else if (one_in(4))
			do_end(s);
		else
			do_release(s);
		break;
	default:
		do_release(s);
		break;
	}
	compare();
}

#endif /* KVBM_MODEL_CALL_H */
