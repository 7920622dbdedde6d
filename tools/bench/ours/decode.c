// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The mix of an engine that decodes: n sequences run; a step fills one block of
 * each and allocates the next ones. After each step one sequence ends, its blocks
 * go back tail first, and another one begins: of its prompt the first half is a
 * system prompt that others have, too.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "ops.h"

#define PROMPT		16U	/* blocks */
#define SHARED		8U	/* of them, of a system prompt */
#define SYSTEMS		8U	/* system prompts */
#define LONGEST		512U	/* blocks of a sequence, with 128 of them */

struct sequence {
	uint64_t number;
	uint32_t length;	/* blocks registered */
	struct kvbm_mutable next;
	struct kvbm_immutable blocks[LONGEST];
};

struct decode {
	uint64_t begun;
	uint32_t oldest;
	struct sequence *sequences;
};

static uint64_t current_of(uint64_t number, uint32_t k)
{
	uint64_t chain = k < SHARED ? ABSENT_CHAIN + number % SYSTEMS :
				      2 * ABSENT_CHAIN + number;

	return mix64(chain << 16 | k);
}

static void sequence_hash(uint64_t number, uint32_t k, struct kvbm_hash *out)
{
	kvbm_plh(current_of(number, k), k ? current_of(number, k - 1) : 0, k, out);
}

static int admit(struct bench *b, struct sequence *s)
{
	struct decode *d = b->state;
	struct kvbm_mutable fresh[PROMPT];
	struct kvbm_hash hashes[PROMPT];
	struct kvbm_acquired a;
	uint32_t k;
	int err;

	s->number = d->begun++;
	s->length = PROMPT;
	for (k = 0; k < PROMPT; k++)
		sequence_hash(s->number, k, &hashes[k]);
	err = kvbm_acquire(b->session, hashes, PROMPT, PROMPT, s->blocks, fresh, NULL, &a);
	if (!err)
		err = kvbm_stage_register(b->session, a.allocated, fresh,
					  hashes + a.matched, SCRIPT_BLOCK_SIZE,
					  s->blocks + a.matched, NULL, NULL);
	if (err)
		return err;
	return kvbm_allocate(b->session, 1, &s->next, NULL, NULL);
}

static int finish(struct bench *b, struct sequence *s)
{
	struct kvbm_immutable tail_first[LONGEST];
	uint32_t i;
	int err;

	for (i = 0; i < s->length; i++)
		tail_first[i] = s->blocks[s->length - 1 - i];
	err = kvbm_release(b->session, s->length, tail_first);
	return err ? err : kvbm_release(b->session, 1, &s->next);
}

static int begin_decode(struct bench *b)
{
	struct decode *d;
	uint32_t i;
	int err;

	/* A sequence ends after n steps. */
	if (b->n + PROMPT > LONGEST || b->n * (PROMPT + b->n) > b->pool)
		return -ENOSPC;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	b->state = d;
	d->sequences = calloc(b->n, sizeof(*d->sequences));
	if (!d->sequences)
		return -ENOMEM;
	err = fill_with_chains(b, false);
	for (i = 0; i < b->n && !err; i++)
		err = admit(b, &d->sequences[i]);
	return err;
}

static int step(struct bench *b)
{
	struct decode *d = b->state;
	struct kvbm_next next = { .count = b->n, .out = b->mutables + b->n };
	struct sequence *s;
	uint32_t i;
	int err;

	for (i = 0; i < b->n; i++) {
		b->mutables[i] = d->sequences[i].next;
		sequence_hash(d->sequences[i].number, d->sequences[i].length, &b->hashes[i]);
	}
	clock_start(b);
	err = kvbm_stage_register(b->session, b->n, b->mutables, b->hashes,
				  SCRIPT_BLOCK_SIZE, b->immutables, NULL, &next);
	clock_stop(b, b->n);
	if (err || next.allocated != b->n)
		return err ? err : -ENOSPC;
	for (i = 0; i < b->n; i++) {
		s = &d->sequences[i];
		s->blocks[s->length++] = b->immutables[i];
		s->next = b->mutables[b->n + i];
		digest_add(b, s->next.token.id);
	}
	s = &d->sequences[d->oldest++ % b->n];
	clock_start(b);
	err = finish(b, s);
	if (!err)
		err = admit(b, s);
	clock_stop(b, PROMPT);
	return err;
}

static ssize_t batch_decode(struct bench *b, uint64_t iterations)
{
	(void)iterations;
	int err = step(b);

	return err ? err : 1;
}

static void end_decode(struct bench *b)
{
	struct decode *d = b->state;

	if (d)
		free(d->sequences);
	free(d);
}

const struct group decode_group = { "decode_step", begin_decode, batch_decode, end_decode };
