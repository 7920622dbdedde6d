// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Why a call about a sequence was refused, in words, and what to do about it.
 */
#include <stdarg.h>
#include <stdio.h>

#include "internal.h"

int kvbm_seq_fail(struct kvbm_seq_error *error, int err, enum kvbm_seq_reason reason,
		  uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	*error = (struct kvbm_seq_error){
		.err = err,
		.reason = reason,
		.values = { a, b, c, d },
	};
	return err;
}

int kvbm_seq_pass(struct kvbm_seq_error *error, int err)
{
	return kvbm_seq_fail(error, err, KVBM_SEQ_CALL_FAILED, 0, 0, 0, 0);
}

const char *kvbm_sched_state_name(enum kvbm_sched_state state)
{
	switch (state) {
	case KVBM_SCHED_IDLE:
		return "idle";
	case KVBM_SCHED_PREFILL:
		return "prefill";
	case KVBM_SCHED_DECODE:
		return "decode";
	case KVBM_SCHED_SPECULATIVE:
		return "speculative";
	}
	return NULL;
}

/* Values are taken in their order, as %llu. */
static const char *const formats[] = {
	[KVBM_SEQ_NONE] =
		"no call was refused",
	[KVBM_SEQ_ORDERING_VIOLATION] =
		"block %llu is known and comes after block %llu, which is new (at %llu and %llu): give all ids, in order, the known ones first",
	[KVBM_SEQ_POSITION_MISMATCH] =
		"position %llu was given a hash of position %llu, for block %llu: give the hashes of the whole sequence, from position 0",
	[KVBM_SEQ_DUPLICATE_BLOCK_ID] =
		"block %llu is there already, or given twice: give each block once",
	[KVBM_SEQ_HASH_MISMATCH] =
		"the block for position %llu has another hash: match with the hashes of this sequence",
	[KVBM_SEQ_BLOCK_SIZE_MISMATCH] =
		"blocks of the session have %llu tokens, those given have %llu: use kvbm_session_block_size()",
	[KVBM_SEQ_NOT_HELD] =
		"guard %llu is empty",
	[KVBM_SEQ_HOLDS_BLOCKS] =
		"the sequence has %llu blocks, and must have none: release them first",
	[KVBM_SEQ_TOO_MANY_MATCHED] =
		"%llu blocks were matched, the sequence has only %llu complete ones",
	[KVBM_SEQ_PREFILL_COMPLETE] =
		"nothing is left to prefill: schedule a decode step",
	[KVBM_SEQ_PREFILL_OVERRUN] =
		"a chunk from token %llu, %llu tokens long, is longer than the prefill, which ends at %llu",
	[KVBM_SEQ_PREFILL_MISALIGNED] =
		"a chunk from token %llu, %llu tokens long, ends within a block: end it at a multiple of %llu, or with the prefill",
	[KVBM_SEQ_PREFILL_NOT_COMPLETE] =
		"the prefill is at token %llu of %llu: finish it first",
	[KVBM_SEQ_ALLOCATION_FAILED] =
		"%llu blocks are needed, and there are not so many: release a sequence, or try again later",
	[KVBM_SEQ_GENERATION_COMPLETE] =
		"%llu tokens of at most %llu were generated: the sequence is complete",
	[KVBM_SEQ_WRONG_DANGLING_COUNT] =
		"%llu token must be without KV, not %llu: append one, or prefill",
	[KVBM_SEQ_TOKEN_ON_NON_FINAL_CHUNK] =
		"only the last chunk of a prefill yields a token",
	[KVBM_SEQ_MISSING_TOKEN_ON_FINAL_CHUNK] =
		"the last chunk of a prefill yields a token: give it",
	[KVBM_SEQ_ACCEPTED_EXCEEDS_SCHEDULED] =
		"%llu tokens were accepted, only %llu were scheduled",
	[KVBM_SEQ_APPEND_EXCEEDS_REMAINING] =
		"%llu tokens are too many: %llu may still be generated",
};

/* States are numbers in the error, and words here. */
static int state_text(const struct kvbm_seq_error *e, char *text, size_t size)
{
	const char *is = kvbm_sched_state_name(e->values[1]);
	const char *wanted = kvbm_sched_state_name(e->values[0]);

	if (e->reason == KVBM_SEQ_NOT_IDLE)
		return snprintf(text, size,
				"scheduled already: %s: apply or revert that first",
				wanted);
	if (e->values[0] == e->values[1])
		return snprintf(text, size, "nothing is scheduled");
	if (e->values[0] == KVBM_SCHED_IDLE)
		return snprintf(text, size,
				"scheduled is %s: apply or revert that first", is);
	if (e->values[1] == KVBM_SCHED_IDLE)
		return snprintf(text, size, "nothing is scheduled: schedule %s first",
				wanted);
	return snprintf(text, size, "scheduled is %s, not %s: apply or revert that first",
			is, wanted);
}

__attribute__((format(printf, 3, 0)))
static int format_text(char *text, size_t size, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, size, format, args);
	va_end(args);
	return len;
}

int kvbm_seq_error_text(const struct kvbm_seq_error *e, char *text, size_t size)
{
	const uint64_t *v = e->values;

	if (e->reason == KVBM_SEQ_NOT_IDLE || e->reason == KVBM_SEQ_WRONG_STATE)
		return state_text(e, text, size);
	if ((size_t)e->reason >= ARRAY_SIZE(formats) || !formats[e->reason])
		return snprintf(text, size, "%s", kvbm_strerror(e->err));
	return format_text(text, size, formats[e->reason],
			   (unsigned long long)v[0], (unsigned long long)v[1],
			   (unsigned long long)v[2], (unsigned long long)v[3]);
}
