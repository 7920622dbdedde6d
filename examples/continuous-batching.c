// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Continuous batching in little: several requests, two tiers, too few blocks.
 *
 *	continuous-batching [inproc: | /dev/kvbm]
 *
 * Read it from the end: main() makes two managers, G1 and G2, and calls step()
 * until all requests are answered. A step admits who waits, schedules a chunk of
 * a prefill or one token for each running request, lets the "model" compute, and
 * applies. Where G1 has no block left, the request that came last is preempted: its
 * blocks are copied to G2 and released, and it waits to be resumed.
 *
 * The model (model.h) reads and writes KV through page tables, as a real one does.
 * At the end each answer is compared with the one that the model gives without any
 * cache: had a block been read before its KV was there, the answers would differ.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kvbm/sequence.h>

#include "model.h"

#define BLOCK_SIZE	4	/* tokens */
#define G1_BLOCKS	20
#define G2_BLOCKS	64
#define MAX_RUNNING	4
#define CHUNK		8	/* tokens of a prefill in one step; whole blocks */

/* A tier: a manager, and the bytes of its blocks, which are ours. */
struct tier {
	struct kvbm_session *session;
	uint64_t *kv;
};

/* A request. */
struct request {
	const char *name;
	size_t input;
	size_t output;
	uint32_t tokens[64];
	struct kvbm_sched *seq;
	struct request *next;		/* in the queue of those who wait */
};

static struct tier g1, g2;
static struct request *running[MAX_RUNNING], *waiting;
static size_t nr_running;
static char log_line[256];
static unsigned int preemptions, from_g1, from_g2, steps;

/* What cannot go on ends here; a sequence says why a call was refused. */
static void die(const char *what, int err, const struct kvbm_sched *seq)
{
	char text[160];

	if (seq)
		kvbm_seq_error_text(kvbm_sched_error(seq), text, sizeof(text));
	fprintf(stderr, "%s: %s\n", what, seq ? text : kvbm_strerror(err));
	exit(1);
}

static ssize_t check(ssize_t ret, const char *what)
{
	if (ret < 0)
		die(what, ret, NULL);
	return ret;
}

static ssize_t check_seq(ssize_t ret, const char *what, const struct kvbm_sched *seq)
{
	if (ret < 0)
		die(what, ret, seq);
	return ret;
}

/* For the line of this step. */
__attribute__((format(printf, 1, 2)))
static void note(const char *format, ...)
{
	size_t len = strlen(log_line);
	va_list args;

	va_start(args, format);
	vsnprintf(log_line + len, sizeof(log_line) - len, format, args);
	va_end(args);
}

static const struct kvbm_hash *hashes_of(const struct request *r, size_t *n)
{
	return kvbm_token_seq_hashes(kvbm_request_tokens(kvbm_sched_request(r->seq)), n);
}

static struct kvbm_sched_info info_of(const struct request *r)
{
	struct kvbm_sched_info info;

	kvbm_sched_info(r->seq, &info);
	return info;
}

/* Between the tiers. */

static void copy_blocks(const struct tier *from, const struct kvbm_immutable *src,
			const struct tier *to, const struct kvbm_mutable *dst, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		memcpy(to->kv + (size_t)dst[i].token.id * BLOCK_SIZE,
		       from->kv + (size_t)src[i].token.id * BLOCK_SIZE,
		       BLOCK_SIZE * sizeof(*to->kv));
}

/*
 * Copy what is registered under @hashes from one tier to another that has not got
 * it. The guards on the copies stay with the caller, who may want to use them.
 * Return: blocks copied; where there is no room, none.
 */
static size_t copy(const struct tier *from, const struct tier *to,
		   const struct kvbm_hash *hashes, size_t n,
		   struct kvbm_immutable *copies)
{
	struct kvbm_immutable src[G2_BLOCKS];
	struct kvbm_mutable dst[G2_BLOCKS];

	n = check(kvbm_match(from->session, n, hashes, src), "match");
	if (kvbm_allocate(to->session, n, dst, NULL, NULL)) {
		check(kvbm_release(from->session, n, src), "release");
		return 0;
	}
	copy_blocks(from, src, to, dst, n);
	check(kvbm_stage_register(to->session, n, dst, hashes, BLOCK_SIZE, copies, NULL,
				  NULL), "register");
	check(kvbm_release(from->session, n, src), "release");
	return n;
}

/* What is not in G1 any more, but in G2, then all that is in G1. */
static void onboard(struct request *r)
{
	struct kvbm_immutable copies[G2_BLOCKS];
	const struct kvbm_hash *hashes;
	size_t have, copied, n;
	ssize_t matched;

	hashes = hashes_of(r, &n);
	have = check(kvbm_probe(g1.session, n, hashes), "probe");
	copied = copy(&g2, &g1, hashes + have, n - have, copies);
	matched = check_seq(kvbm_sched_match_prefix(r->seq), "match", r->seq);
	/* The sequence has guards of its own on them now. */
	check(kvbm_release(g1.session, copied, copies), "release");
	if (copied > (size_t)matched)
		copied = matched;
	from_g1 += matched - copied;
	from_g2 += copied;
	note(" +%s", r->name);
	if (matched)
		note("(%zd cached, %zu of them in G2)", matched, copied);
}

static void offload(struct request *r)
{
	struct kvbm_immutable copies[G2_BLOCKS];
	struct kvbm_request_info info;
	const struct kvbm_hash *hashes;
	size_t have, copied, n;

	kvbm_request_info(kvbm_sched_request(r->seq), &info);
	hashes = hashes_of(r, &n);
	have = check(kvbm_probe(g2.session, info.assigned_blocks, hashes), "probe");
	copied = copy(&g1, &g2, hashes + have, info.assigned_blocks - have, copies);
	check(kvbm_release(g2.session, copied, copies), "release");
}

/* The scheduler. */

static void wait_first(struct request *r)
{
	r->next = waiting;
	waiting = r;
}

static void preempt(size_t i)
{
	struct request *r = running[i];

	if (info_of(r).state != KVBM_SCHED_IDLE)
		check_seq(kvbm_sched_revert(r->seq), "revert", r->seq);
	offload(r);
	check_seq(kvbm_sched_release(r->seq), "release", r->seq);
	memmove(&running[i], &running[i + 1], (--nr_running - i) * sizeof(*running));
	wait_first(r);
	preemptions++;
	note(" -%s", r->name);
}

/* A chunk of the prefill, or one token. */
static int schedule(struct request *r)
{
	struct kvbm_sched_info info = info_of(r);
	size_t left = info.prefill_end - info.prefill_position;

	if (!left)
		return kvbm_sched_decode(r->seq);
	return kvbm_sched_prefill(r->seq, left < CHUNK ? left : CHUNK);
}

/* Whether G1 has blocks for all that a request is now, and one more. */
static bool has_room(const struct request *r)
{
	struct kvbm_counters c;

	check(kvbm_session_counters(g1.session, &c), "counters");
	return c.reset_pool_size + c.inactive_pool_size >
	       info_of(r).prefill_end / BLOCK_SIZE + 1;
}

static void admit(void)
{
	struct request *r;

	while (waiting && nr_running < MAX_RUNNING && has_room(waiting)) {
		r = waiting;
		waiting = r->next;
		onboard(r);
		check_seq(schedule(r), "schedule", r->seq);
		running[nr_running++] = r;
	}
}

/* Those that were there first have the first claim on blocks. */
static void schedule_all(void)
{
	size_t i;
	int err;

	for (i = 0; i < nr_running; i++) {
		if (info_of(running[i]).state != KVBM_SCHED_IDLE)
			continue;	/* admitted just now */
		while ((err = schedule(running[i])) == -ENOSPC) {
			preempt(nr_running - 1);
			if (i == nr_running)
				return;	/* that was this one */
		}
		check_seq(err, "schedule", running[i]->seq);
	}
}

/* Compute the KV of what was scheduled. Return: the token that comes next. */
static uint32_t compute(const struct request *r)
{
	struct kvbm_sched_info info = info_of(r);
	size_t n = info.state == KVBM_SCHED_PREFILL ? info.scheduled_tokens : 1;
	const uint32_t *tokens;
	uint32_t pages[G1_BLOCKS];

	tokens = kvbm_token_seq_tokens(kvbm_request_tokens(kvbm_sched_request(r->seq)),
				       NULL);
	kvbm_sched_block_ids(r->seq, 0, G1_BLOCKS, pages);
	return model_forward(g1.kv, pages, BLOCK_SIZE, tokens, info.kv_tokens, n);
}

/* Return: whether the request is answered. */
static bool apply(struct request *r)
{
	struct kvbm_sched_info info = info_of(r);
	uint32_t token = compute(r);
	bool last;
	int ret;

	if (info.state == KVBM_SCHED_DECODE) {
		ret = check_seq(kvbm_sched_apply_decode(r->seq, token), "decode", r->seq);
		return ret & KVBM_DECODE_MAX_LENGTH;
	}
	last = info.prefill_position + info.scheduled_tokens == info.prefill_end;
	check_seq(kvbm_sched_apply_prefill(r->seq, last ? &token : NULL), "prefill",
		  r->seq);
	return false;
}

/* The answer, against one that was computed without blocks. */
static void finish(struct request *r)
{
	size_t total, i;
	const uint32_t *tokens;

	tokens = kvbm_token_seq_tokens(kvbm_request_tokens(kvbm_sched_request(r->seq)),
				       &total);
	for (i = r->input; i < total; i++)
		if (tokens[i] != model_reference(tokens, i)) {
			fprintf(stderr, "%s: token %zu is wrong\n", r->name, i);
			exit(1);
		}
	kvbm_sched_free(r->seq);
	r->seq = NULL;
	note(" %s done", r->name);
}

static void report(void)
{
	struct kvbm_counters c;
	char names[64] = "";
	size_t i;

	for (i = 0; i < nr_running; i++) {
		strcat(names, running[i]->name);
		strcat(names, info_of(running[i]).state == KVBM_SCHED_PREFILL ? "* " : " ");
	}
	check(kvbm_session_counters(g1.session, &c), "counters");
	printf("%4u  %-16s %4u %6u %5u%s%s\n", steps, nr_running ? names : "-",
	       (unsigned int)(c.states[KVBM_STATE_MUTABLE] +
			      c.states[KVBM_STATE_PRIMARY] +
			      c.states[KVBM_STATE_DUPLICATE]),
	       (unsigned int)c.inactive_pool_size, (unsigned int)c.reset_pool_size,
	       log_line[0] ? " " : "", log_line);
	log_line[0] = 0;
}

static void step(void)
{
	unsigned int before = preemptions;
	size_t i, left = 0;

	steps++;
	schedule_all();
	if (preemptions == before)
		admit();
	report();
	for (i = 0; i < nr_running; i++) {
		if (apply(running[i]))
			finish(running[i]);
		else
			running[left++] = running[i];
	}
	nr_running = left;
}

/* The rest is setting up, and taking down. */

static uint64_t create_manager(struct kvbm *kvbm, uint64_t registry, const char *name,
			       uint32_t blocks, uint32_t tier, struct tier *out)
{
	struct kvbm_manager_create attr;
	uint64_t id;

	kvbm_manager_attr_init(&attr, registry, name, blocks);
	attr.block_size = BLOCK_SIZE;
	attr.tier = tier;
	attr.policy = KVBM_POLICY_LRU;
	check(kvbm_create_manager(kvbm, &attr, &id), name);
	check(kvbm_bind(kvbm, id, 0, &out->session), name);
	out->kv = calloc((size_t)blocks * BLOCK_SIZE, sizeof(*out->kv));
	if (!out->kv)
		die(name, -ENOMEM, NULL);
	return id;
}

/* Nothing must be held any more, and the books must be sound. */
static void destroy_manager(struct kvbm *kvbm, uint64_t id, const char *name,
			    struct tier *tier)
{
	struct kvbm_check_result result;
	struct kvbm_counters c;

	check(kvbm_session_counters(tier->session, &c), name);
	check(kvbm_session_verify(tier->session, &result), name);
	printf("%s: %u blocks, %u cached, %u held; check: %u errors\n", name,
	       (unsigned int)result.blocks, (unsigned int)c.inactive_pool_size,
	       (unsigned int)(c.inflight_mutable + c.inflight_immutable),
	       (unsigned int)result.errors);
	if (c.inflight_mutable || c.inflight_immutable || result.errors)
		exit(1);
	kvbm_session_close(tier->session);
	check(kvbm_destroy_manager(kvbm, id, false), name);
	free(tier->kv);
}

/* The same system prompt for all, then something of its own. */
static void make_requests(struct request *requests, size_t n)
{
	static const char *const names[] = { "A", "B", "C", "D", "E", "F" };
	struct request *r;
	size_t i, t;

	for (i = n; i--;) {
		r = &requests[i];
		r->name = names[i];
		r->input = 18 + 3 * i;
		r->output = 12;
		for (t = 0; t < r->input; t++)
			r->tokens[t] = t < 2 * BLOCK_SIZE ? 500 + t : 1000 * (i + 1) + t;
		wait_first(r);
	}
}

int main(int argc, char **argv)
{
	const char *uri = argc > 1 ? argv[1] : "inproc:";
	struct kvbm_registry_create attr;
	struct request requests[6] = { 0 };
	char name[KVBM_NAME_SIZE];
	uint64_t registry, m1, m2;
	struct kvbm *kvbm;
	size_t i;

	check(kvbm_open(uri, &kvbm), uri);
	snprintf(name, sizeof(name), "example-%d", (int)getpid());
	kvbm_registry_attr_init(&attr, name);
	attr.capacity = G1_BLOCKS + G2_BLOCKS;
	check(kvbm_create_registry(kvbm, &attr, &registry), name);
	m1 = create_manager(kvbm, registry, "g1", G1_BLOCKS, KVBM_TIER_G1, &g1);
	m2 = create_manager(kvbm, registry, "g2", G2_BLOCKS, KVBM_TIER_G2, &g2);

	make_requests(requests, 6);
	for (i = 0; i < 6; i++) {
		struct kvbm_sched_attr sched = {
			.request = {
				.tokens = requests[i].tokens,
				.nr_tokens = requests[i].input,
				.max_output_tokens = requests[i].output,
				.salt_hash = kvbm_salt_hash("tenant", 6),
			},
		};

		check(kvbm_sched_alloc(g1.session, &sched, &requests[i].seq), "request");
	}

	puts("step  running          held cached reset  + admitted, - preempted");
	while (waiting || nr_running)
		step();
	report();	/* what the last step has left */

	printf("6 requests in %u steps, %u preemptions\n", steps, preemptions);
	printf("blocks that were not computed: %u were in G1, %u came from G2\n",
	       from_g1, from_g2);
	destroy_manager(kvbm, m1, "G1", &g1);
	destroy_manager(kvbm, m2, "G2", &g2);
	check(kvbm_destroy_registry(kvbm, registry), name);
	kvbm_close(kvbm);
	puts("all answers are right");
	return 0;
}
