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

#include "kvbm_model_call.h"

#define NR_PROCESSES	3
#define EPISODE		150

static uint64_t registry, end_ns;

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
