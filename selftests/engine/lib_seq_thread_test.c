// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Sequences in several threads: with a session for each, and with one for all. They
 * share a prefix, and there are fewer blocks than they want.
 */
#include <pthread.h>

#include "sched_fixture.h"

#define THREADS		4
#define ROUNDS		40
#define INPUT		20
#define OUTPUT		30

struct worker {
	struct kvbm_session *session;
	unsigned int index;
	unsigned int finished;
	unsigned int preempted;
	unsigned int matched;
};

/* Give all back, and have it again when there is room. */
static void preempt(struct worker *w, struct kvbm_sched *s)
{
	EXPECT_EQ(kvbm_sched_release(s), 0);
	w->preempted++;
	sched_yield();
}

/* Up to the next token. Return: KVBM_DECODE_*, or -ENOSPC. */
static int next_token(struct worker *w, struct kvbm_sched *s, uint32_t token)
{
	struct kvbm_sched_info i;
	ssize_t ret;

	kvbm_sched_info(s, &i);
	if (i.prefill_position == i.prefill_end) {
		ret = kvbm_sched_decode(s);
		return ret ? ret : kvbm_sched_apply_decode(s, token);
	}
	if (!i.prefill_position) {
		ret = kvbm_sched_match_prefix(s);
		if (ret < 0)
			return ret;
		w->matched += ret;
		kvbm_sched_info(s, &i);
	}
	ret = kvbm_sched_prefill(s, i.prefill_end - i.prefill_position);
	return ret ? ret : kvbm_sched_apply_prefill(s, &token);
}

static void *work(void *arg)
{
	struct kvbm_sched_attr attr = attr_of(INPUT, OUTPUT);
	struct worker *w = arg;
	unsigned int round, n;
	struct kvbm_sched *s;
	int ret;

	for (round = 0; round < ROUNDS; round++) {
		if (!EXPECT_EQ(kvbm_sched_alloc(w->session, &attr, &s), 0))
			break;
		for (n = 0; n < OUTPUT; n++) {
			/* Half of them say the same as others. */
			while ((ret = next_token(w, s, round & 1 ? n : 1000 * w->index + round)) ==
			       -ENOSPC)
				preempt(w, s);
			EXPECT(ret >= 0);
			if (n % 16 == w->index)
				preempt(w, s);
		}
		kvbm_sched_free(s);
		w->finished++;
	}
	return NULL;
}

static void run(bool shared)
{
	struct worker workers[THREADS];
	unsigned int i, matched = 0;
	pthread_t threads[THREADS];
	struct kvbm_test_manager m;

	memset(workers, 0, sizeof(workers));
	/* One sequence takes up to 13 blocks, and a spare one. */
	open_manager(&m, 40);
	for (i = 0; i < THREADS; i++) {
		workers[i].index = i;
		workers[i].session = m.session;
		if (!shared)
			ASSERT_EQ(kvbm_session_open(m.session, 0, &workers[i].session), 0);
		ASSERT_EQ(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_EQ(workers[i].finished, ROUNDS);
		EXPECT(workers[i].preempted >= ROUNDS);
		matched += workers[i].matched;
		if (!shared)
			kvbm_session_close(workers[i].session);
	}
	EXPECT(matched > 0);
	close_manager(&m);
}

static void a_session_per_thread(void)
{
	run(false);
}

static void one_session_for_all(void)
{
	run(true);
}

static const struct tap_test all[] = {
	TEST(a_session_per_thread),
	TEST(one_session_for_all),
};

int main(void)
{
	return tap_run(all, ARRAY_SIZE(all));
}
