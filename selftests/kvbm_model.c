// SPDX-License-Identifier: GPL-2.0
/*
 * Random calls through the device against a model made of arrays and linear
 * searches. Several processes; each has a manager of its own, in one registry, with
 * two sessions. After every call everything is as the model says: every slot, every
 * holding, every counter.
 *
 * A sequence of calls that ends with something else is made shorter, by leaving
 * out calls for as long as it still fails, and printed.
 *
 *	SEED=n RUN_SECONDS=n kvbm_model
 */
#include <sys/wait.h>

#include "kvbm_random.h"

#define NR_PROCESSES	3
#define NR_SESSIONS	2
#define BLOCKS		18	/* a call about one more is one hold of the lock */
#define NR_PINS		2
#define BATCH		8
#define EPISODE		150

/**
 * struct model - what a manager should be
 * @state: of each block
 * @refs: of each block
 * @gen: of each block
 * @hash: number of the hash, from Staged on
 * @primary: of a Duplicate
 * @reset: its last release resets it
 * @writers: write pins
 * @first: Inactive: goes before those that are not, by age
 * @free: reset pool, in order
 * @cached: inactive pool, in order of release
 * @nr_free: its length
 * @nr_cached: its length
 * @c: counters that are no gauges
 */
struct model {
	uint32_t state[BLOCKS], refs[BLOCKS], gen[BLOCKS], hash[BLOCKS], primary[BLOCKS];
	bool reset[BLOCKS], first[BLOCKS];
	uint32_t writers[BLOCKS];
	uint32_t free[BLOCKS], cached[BLOCKS];
	uint32_t nr_free, nr_cached;
	struct kvbm_counters c;
};

struct pin {
	int fd;
	bool write;
	uint32_t n, id[BATCH];
};

static struct model m;
static struct session sessions[NR_SESSIONS];
static struct pin pins[NR_PINS];
static uint64_t registry, manager, end_ns;
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

/* --- The model of a manager */

static uint32_t find_hash(uint32_t hash)
{
	uint32_t id;

	for (id = 0; id < BLOCKS; id++)
		if ((m.state[id] == KVBM_STATE_PRIMARY ||
		     m.state[id] == KVBM_STATE_INACTIVE) && m.hash[id] == hash)
			return id;
	return NONE;
}

static bool is_registered(uint32_t id)
{
	return m.state[id] == KVBM_STATE_PRIMARY || m.state[id] == KVBM_STATE_DUPLICATE;
}

static bool has_hash(uint32_t id)
{
	return m.state[id] != KVBM_STATE_RESET && m.state[id] != KVBM_STATE_MUTABLE;
}

static uint32_t victim(void)
{
	uint32_t i;

	for (i = 0; i < m.nr_cached; i++)
		if (m.first[m.cached[i]])
			return m.cached[i];
	return m.cached[0];
}

static void model_reset(uint32_t id)
{
	m.state[id] = KVBM_STATE_RESET;
	m.refs[id] = 0;
	m.c.freed++;
	m.free[m.nr_free++] = id;
}

static void model_ref(uint32_t id)
{
	if (m.state[id] == KVBM_STATE_INACTIVE) {
		list_remove(m.cached, &m.nr_cached, id);
		m.state[id] = KVBM_STATE_PRIMARY;
	}
	m.refs[id]++;
}

static void model_unref(uint32_t id, uint32_t n, bool finished)
{
	m.refs[id] -= n;
	if (m.refs[id])
		return;
	if (m.state[id] == KVBM_STATE_PRIMARY && !m.reset[id]) {
		m.state[id] = KVBM_STATE_INACTIVE;
		m.c.freed++;
		m.first[id] = finished;
		m.cached[m.nr_cached++] = id;
	} else if (m.state[id] == KVBM_STATE_DUPLICATE) {
		model_reset(id);
		model_unref(m.primary[id], 1, finished);
	} else {
		model_reset(id);
	}
}

static struct kvbm_token token_of(uint32_t id)
{
	return (struct kvbm_token){ id, m.gen[id] };
}

static void model_guard(struct session *s, uint32_t id)
{
	model_ref(id);
	m.c.inflight_immutable++;
	hold(s, id);
}

static void model_release(struct session *s, uint32_t id, uint32_t n, bool finished)
{
	if (is_registered(id))
		m.c.inflight_immutable -= n;
	unhold(s, id, n);
	model_unref(id, n, finished);
}

static uint32_t model_allocate_one(struct session *s, uint32_t *evicted, uint32_t *nr_evicted)
{
	uint32_t id;

	if (m.nr_free) {
		id = m.free[0];
		list_remove(m.free, &m.nr_free, id);
		m.c.allocations_from_reset++;
	} else {
		id = victim();
		list_remove(m.cached, &m.nr_cached, id);
		evicted[(*nr_evicted)++] = m.hash[id];
		m.c.evictions++;
	}
	m.c.allocations++;
	m.state[id] = KVBM_STATE_MUTABLE;
	m.refs[id] = 1;
	m.reset[id] = false;
	m.gen[id]++;
	m.gen[id] += !m.gen[id];
	hold(s, id);
	return id;
}

/* What a batch of tokens should be answered with. */
static int model_check(const struct session *s, const struct kvbm_token *t, uint32_t n,
		       uint32_t states, bool registers)
{
	uint32_t used[BLOCKS] = { 0 }, i, id;
	int err = 0;

	for (i = 0; i < n; i++) {
		id = t[i].id;
		if (id >= BLOCKS)
			return -ENXIO;
		if (t[i].gen != m.gen[id])
			return -ESTALE;
		if (used[id] == s->count[id])
			return -ENXIO;
		if (!(states & 1u << m.state[id]))
			return -EBADFD;
		used[id]++;
	}
	/* Told only when all else is right. */
	for (i = 0; registers && i < n; i++)
		if (m.writers[t[i].id])
			err = -EBUSY;
	return err;
}

/* --- Comparison */

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

/* --- The calls, with random arguments */

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

#define ANY_STATE	((1u << KVBM_NR_STATES) - 1)

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

/* --- Episodes */

static void begin(uint64_t seed)
{
	struct kvbm_slot_info slots[BLOCKS];
	struct kvbm_manager_create a;
	char name[32];
	uint32_t i;

	memset(&m, 0, sizeof(m));
	memset(sessions, 0, sizeof(sessions));
	memset(pins, 0, sizeof(pins));
	duplicates = seed & 1;
	snprintf(name, sizeof(name), "model-%d", getpid());
	manager_init(&a, registry, name, BLOCKS);
	a.duplication = duplicates ? KVBM_DUP_ALLOW : KVBM_DUP_REJECT;
	SAME(kv(control, KVBM_MANAGER_CREATE, &a), 0);
	manager = a.out_id;
	SAME(kv_dump(control, manager, 0, BLOCKS, slots), BLOCKS);
	for (i = 0; i < BLOCKS; i++) {
		m.free[i] = i;
		m.gen[i] = slots[i].token.gen;
	}
	m.nr_free = BLOCKS;
	for (i = 0; i < NR_SESSIONS; i++)
		sessions[i].fd = kv_session(manager, ALL_RIGHTS);
}

static void end(void)
{
	uint32_t i;

	for (i = 0; i < NR_SESSIONS; i++)
		close(sessions[i].fd);
	for (i = 0; i < NR_PINS; i++)
		if (pins[i].n)
			close(pins[i].fd);
}

/* Neighbours must not be alike. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/*
 * Make the calls of an episode, but for those that are left out. What a call is
 * depends on its number only, so the others stay as they are. Returns the number
 * of the call that went wrong, or EPISODE.
 */
static uint32_t episode(uint64_t seed, const bool *left_out)
{
	volatile uint32_t i = 0;
	int err;

	if (!setjmp(failed)) {
		begin(seed);
		for (i = 0; i < EPISODE; i++) {
			rng = mix(seed * EPISODE + i);
			if (!left_out[i])
				step();
		}
	}
	end();
	err = kv_destroy(control, KVBM_MANAGER_DESTROY, manager, 0);
	if (!err)
		return i;
	kv_destroy(control, KVBM_MANAGER_DESTROY, manager, KVBM_DESTROY_FORCE);
	if (i == EPISODE) {
		snprintf(why, sizeof(why), "what was held has not come back: destroy says %d", err);
		i = EPISODE - 1;
	}
	return i;
}

static void minimise(uint64_t seed, uint32_t last)
{
	bool left_out[EPISODE] = { 0 }, tried[EPISODE];
	uint64_t until = now_ns() + 60000000000ull;
	uint32_t part, i, at, n = 0;

	for (i = last + 1; i < EPISODE; i++)
		left_out[i] = true;
	for (part = EPISODE / 2; part && now_ns() < until; part /= 2) {
		for (at = 0; at < EPISODE; at += part) {
			memcpy(tried, left_out, sizeof(tried));
			for (i = at; i < at + part && i < EPISODE; i++)
				tried[i] = true;
			if (!memcmp(tried, left_out, sizeof(tried)))
				continue;
			if (episode(seed, tried) < EPISODE)
				memcpy(left_out, tried, sizeof(tried));
		}
	}
	for (i = 0; i < EPISODE; i++)
		n += !left_out[i];
	printf("# the shortest sequence that fails, %u calls of episode %llu, %s:\n", n,
	       (unsigned long long)seed, duplicates ? "duplicates allowed" : "no duplicates");
	talk = true;
	episode(seed, left_out);
	talk = false;
	printf("# %s\n", why);
	fflush(stdout);
}

/**
 * struct report - what a process did, in shared memory
 * @calls: compared
 * @failures: episodes that went wrong
 * @duplicates: that were made
 * @refused: registrations of what was there
 * @evictions: that were made
 */
struct report {
	uint64_t calls, failures, duplicates, refused, evictions;
};

static void process(uint64_t seed, struct report *report)
{
	static const bool all[EPISODE];
	uint32_t at;

	control = kv_open();
	for (; now_ns() < end_ns && !report->failures; seed += NR_PROCESSES) {
		at = episode(seed, all);
		report->calls += at;
		report->duplicates += m.c.duplicate_blocks;
		report->refused += m.c.registration_dedup;
		report->evictions += m.c.evictions;
		if (at == EPISODE)
			continue;
		report->failures++;
		printf("# SEED=%llu: call %u: %s\n", (unsigned long long)seed, at, why);
		minimise(seed, at);
	}
	_exit(0);
}

int main(void)
{
	struct kvbm_info info = { .size = sizeof(info) };
	struct kvbm_registry_create r;
	struct report *report, sum = { 0 };
	uint64_t seed;
	uint32_t i;
	int err;

	ksft_print_header();
	control = kv_open();
	if (control < 0)
		ksft_exit_skip("no " KVBM_DEV "\n");
	/* The model knows all or nothing, and not what a longer call is made of. */
	if (kv(control, KVBM_INFO, &info) || info.out_chunk < BLOCKS + 1)
		ksft_exit_fail_msg("%u blocks are more than one hold\n", BLOCKS + 1);
	ksft_set_plan(3);
	registry_init(&r, "model");
	if (kv(control, KVBM_REGISTRY_CREATE, &r))
		ksft_exit_fail_msg("no registry\n");
	registry = r.out_id;
	kv_hashes(hashes, 1, NR_HASHES);
	report = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	seed = say_seed();
	end_ns = now_ns() + run_seconds() * 1000000000ull;
	for (i = 0; i < NR_PROCESSES; i++)
		if (!fork())
			process(seed + i, &report[i]);
	while (waitpid(-1, NULL, 0) > 0)
		;
	for (i = 0; i < NR_PROCESSES; i++) {
		sum.calls += report[i].calls;
		sum.failures += report[i].failures;
		sum.duplicates += report[i].duplicates;
		sum.refused += report[i].refused;
		sum.evictions += report[i].evictions;
	}
	ksft_print_msg("%u s, %u processes, %llu calls compared\n", run_seconds(),
		       NR_PROCESSES, (unsigned long long)sum.calls);
	ksft_print_msg("%llu duplicates, %llu refused, %llu evictions\n",
		       (unsigned long long)sum.duplicates, (unsigned long long)sum.refused,
		       (unsigned long long)sum.evictions);
	ksft_test_result(!sum.failures && sum.calls > EPISODE,
			 "the device does as the model does\n");
	ksft_test_result(sum.failures || sum.calls < 10 * EPISODE ||
			 (sum.duplicates && sum.refused && sum.evictions),
			 "duplicates, refusals and evictions were among it\n");
	err = kv_destroy(control, KVBM_REGISTRY_DESTROY, registry, 0);
	ksft_test_result(!err, "nothing is left\n");
	ksft_finished();
}
