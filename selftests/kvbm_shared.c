// SPDX-License-Identifier: GPL-2.0
/*
 * Random calls of several processes on one manager, which are killed at random.
 * After every call of each, what its session holds is exactly what it took, and a
 * snapshot of all slots obeys the invariants: a hash has one Primary, a Duplicate
 * has a Primary, pools and gauges are what the states say. In the end everything
 * has come back.
 *
 *	SEED=n RUN_SECONDS=n kvbm_shared
 */
#include <sys/wait.h>

#include "kvbm_random.h"

#define NR_PROCESSES	4
#define SHARED_BLOCKS	16	/* a dump of so many is one snapshot */
#define BATCH		8

static struct session mine;
/* What is known of the blocks that it holds. */
static struct kvbm_token mine_token[SHARED_BLOCKS];
static uint32_t mine_hash[SHARED_BLOCKS], mine_state[SHARED_BLOCKS];
static uint64_t shared_manager, end_ns;
static int control;

static uint32_t any_hashes(uint32_t max, uint32_t *numbers, struct kvbm_hash *out)
{
	uint32_t n = below(max + 1), at = below(NR_HASHES), i;

	for (i = 0; i < n; i++) {
		numbers[i] = at++ % NR_HASHES;
		out[i] = hashes[numbers[i]];
	}
	return n;
}

static void look_at_mine(void)
{
	struct kvbm_held held[SHARED_BLOCKS];
	struct kvbm_holdings h = { .size = sizeof(h), .count = SHARED_BLOCKS, .held = ptr(held) };
	uint32_t i, id;

	SAME(kv(mine.fd, KVBM_HOLDINGS, &h), 0);
	SAME(h.out_total, mine.n);
	for (i = 0; i < mine.n; i++) {
		id = mine.order[i];
		SAME(held[i].token.id, id);
		SAME(held[i].token.gen, mine_token[id].gen);
		SAME(held[i].guards, mine.count[id]);
		if (mine_state[id] == KVBM_STATE_PRIMARY)
			MUST(1u << held[i].state & REGISTERED);
		else
			SAME(held[i].state, mine_state[id]);
		if (mine_state[id] != KVBM_STATE_MUTABLE)
			same_hash(&held[i].hash, mine_hash[id]);
	}
}

static bool same_slot_hash(const struct kvbm_slot_info *a, const struct kvbm_slot_info *b)
{
	return !memcmp(&a->hash, &b->hash, sizeof(a->hash));
}

/* What must be so at any time, whoever does what. */
static void look_at_all(void)
{
	struct kvbm_slot_info slots[SHARED_BLOCKS + 1];
	struct kvbm_counters c;
	uint64_t sum = 0;
	uint32_t i, j;

	SAME(kv_counters(control, shared_manager, &c), 0);
	for (i = 0; i < KVBM_NR_STATES; i++)
		sum += c.states[i];
	SAME(sum, SHARED_BLOCKS);
	SAME(c.reset_pool_size, c.states[KVBM_STATE_RESET]);
	SAME(c.inactive_pool_size, c.states[KVBM_STATE_INACTIVE]);
	SAME(c.inflight_mutable, c.states[KVBM_STATE_MUTABLE]);
	SAME(c.allocations, c.allocations_from_reset + c.evictions);
	MUST(c.inflight_immutable >= c.states[KVBM_STATE_DUPLICATE]);
	MUST(c.registrations >= c.duplicate_blocks + c.registration_dedup);
	MUST(c.stagings >= c.registrations);
	MUST(c.match_hashes_requested >= c.match_blocks_returned);

	SAME(kv_dump(control, shared_manager, 0, SHARED_BLOCKS + 1, slots), SHARED_BLOCKS);
	for (i = 0; i < SHARED_BLOCKS; i++) {
		uint32_t state = slots[i].state, sharers = 0, primaries = 0;

		MUST((slots[i].refs == 0) ==
		     (state == KVBM_STATE_RESET || state == KVBM_STATE_INACTIVE));
		for (j = 0; j < SHARED_BLOCKS; j++) {
			if (!same_slot_hash(&slots[i], &slots[j]))
				continue;
			sharers += slots[j].state == KVBM_STATE_DUPLICATE;
			primaries += slots[j].state == KVBM_STATE_PRIMARY ||
				     slots[j].state == KVBM_STATE_INACTIVE;
		}
		if (state == KVBM_STATE_PRIMARY) {
			SAME(primaries, 1);
			MUST(slots[i].refs >= sharers);
		}
		if (state == KVBM_STATE_INACTIVE) {
			SAME(primaries, 1);
			SAME(sharers, 0);
		}
		if (state == KVBM_STATE_DUPLICATE)
			SAME(primaries, 1);
	}
	SAME(kv_check(control, shared_manager), 0);
}

static uint32_t my_tokens(uint32_t state, struct kvbm_token *t)
{
	uint32_t i, n = 0, max = 1 + below(BATCH);

	for (i = 0; i < mine.n && n < max; i++)
		if (state == NONE || mine_state[mine.order[i]] == state)
			t[n++] = mine_token[mine.order[i]];
	return n;
}

static void take(struct kvbm_token t, uint32_t state, uint32_t hash)
{
	MUST(t.id < SHARED_BLOCKS);
	if (mine.count[t.id]) {
		SAME(t.gen, mine_token[t.id].gen);
		SAME(mine_state[t.id], state);
		SAME(mine_hash[t.id], hash);
	}
	hold(&mine, t.id);
	mine_token[t.id] = t;
	mine_state[t.id] = state;
	mine_hash[t.id] = hash;
}

static void shared_step(void)
{
	uint32_t numbers[BATCH], n, i, got;
	struct kvbm_hash wanted[BATCH];
	struct kvbm_token t[BATCH], out[BATCH];
	uint8_t kinds[BATCH];
	int err;

	switch (below(7)) {
	case 0:
	case 1:
		n = 1 + below(BATCH);
		err = kv_allocate(mine.fd, n, t, NULL, NULL);
		MUST(!err || err == -ENOSPC);
		for (i = 0; !err && i < n; i++)
			take(t[i], KVBM_STATE_MUTABLE, NONE);
		break;
	case 2:
		n = my_tokens(KVBM_STATE_MUTABLE, t);
		for (i = 0; i < n; i++) {
			numbers[i] = below(NR_HASHES);
			wanted[i] = hashes[numbers[i]];
		}
		SAME(kv_stage(mine.fd, n, t, wanted), 0);
		for (i = 0; i < n; i++) {
			mine_state[t[i].id] = KVBM_STATE_STAGED;
			mine_hash[t[i].id] = numbers[i];
		}
		break;
	case 3:
		n = my_tokens(KVBM_STATE_STAGED, t);
		memcpy(out, t, sizeof(out));
		SAME(kv_register(mine.fd, n, out, kinds), 0);
		for (i = 0; i < n; i++) {
			MUST(kinds[i] <= KVBM_REGISTERED_DUPLICATE);
			SAME(out[i].id, t[i].id);
			SAME(out[i].gen, t[i].gen);
			mine_state[t[i].id] = KVBM_STATE_PRIMARY;
		}
		break;
	case 4:
		n = any_hashes(BATCH, numbers, wanted);
		SAME(kv_match(mine.fd, n, wanted, t, &got), 0);
		MUST(got <= n);
		for (i = 0; i < got; i++)
			take(t[i], KVBM_STATE_PRIMARY, numbers[i]);
		break;
	default:
		n = my_tokens(NONE, t);
		SAME(kv_release(mine.fd, n, t), 0);
		for (i = 0; i < n; i++)
			unhold(&mine, t[i].id, 1);
		break;
	}
	look_at_mine();
	look_at_all();
}

/**
 * struct report - what a process did, in shared memory
 * @calls: made
 * @failures: 0 or 1
 */
struct report {
	uint64_t calls, failures;
};

static void process(uint64_t seed, struct report *report)
{
	rng = seed;
	mine.fd = kv_session(shared_manager, ALL_RIGHTS | KVBM_BIND_OWNED);
	if (setjmp(failed)) {
		report->failures++;
		printf("# after %llu calls: %s\n", (unsigned long long)report->calls, why);
		fflush(stdout);
		_exit(0);
	}
	for (; now_ns() < end_ns; report->calls++)
		shared_step();
	_exit(0);
}

static pid_t spawn(uint64_t seed, struct report *report)
{
	pid_t pid = fork();

	if (!pid)
		process(seed, report);
	return pid;
}

int main(void)
{
	struct kvbm_info info = { .size = sizeof(info) };
	struct kvbm_registry_create r;
	struct kvbm_manager_create a;
	struct report *report, sum = { 0 };
	struct kvbm_counters c = { 0 };
	pid_t pids[NR_PROCESSES];
	uint32_t kills = 0, i;
	uint64_t seed;

	ksft_print_header();
	control = kv_open();
	if (control < 0)
		ksft_exit_skip("no " KVBM_DEV "\n");
	if (kv(control, KVBM_INFO, &info) || info.out_chunk < SHARED_BLOCKS)
		ksft_exit_fail_msg("a dump of %u blocks is no snapshot\n", SHARED_BLOCKS);
	ksft_set_plan(2);
	registry_init(&r, "shared");
	if (kv(control, KVBM_REGISTRY_CREATE, &r))
		ksft_exit_fail_msg("no registry\n");
	manager_init(&a, r.out_id, "shared", SHARED_BLOCKS);
	a.duplication = KVBM_DUP_ALLOW;
	if (kv(control, KVBM_MANAGER_CREATE, &a))
		ksft_exit_fail_msg("no manager\n");
	shared_manager = a.out_id;
	kv_hashes(hashes, 1, NR_HASHES);
	report = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	seed = say_seed();
	rng = seed;
	end_ns = now_ns() + run_seconds() * 1000000000ull;
	for (i = 0; i < NR_PROCESSES; i++)
		pids[i] = spawn(seed + i, &report[i]);
	for (;;) {
		usleep(50000 + below(400000));
		if (now_ns() >= end_ns)
			break;
		i = below(NR_PROCESSES);
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
		kills++;
		pids[i] = spawn(seed + NR_PROCESSES + kills, &report[i]);
	}
	while (waitpid(-1, NULL, 0) > 0)
		;
	for (i = 0; i < NR_PROCESSES; i++) {
		sum.calls += report[i].calls;
		sum.failures += report[i].failures;
	}
	ksft_print_msg("%u s, %u processes, %llu calls, %u kills\n", run_seconds(), NR_PROCESSES,
		       (unsigned long long)sum.calls, kills);
	ksft_test_result(!sum.failures && sum.calls > 100 && kills,
			 "sound after every call of everybody\n");
	kv_counters(control, shared_manager, &c);
	ksft_test_result(!kv_check(control, shared_manager) &&
			 c.states[KVBM_STATE_RESET] + c.states[KVBM_STATE_INACTIVE] ==
			 SHARED_BLOCKS && !c.inflight_immutable &&
			 !kv_destroy(control, KVBM_MANAGER_DESTROY, shared_manager, 0) &&
			 !kv_destroy(control, KVBM_REGISTRY_DESTROY, r.out_id, 0),
			 "what processes held that were killed has come back\n");
	ksft_finished();
}
