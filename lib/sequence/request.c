// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Requests: tokens and blocks side by side. What has its KV, the caller says.
 */
#include "internal.h"

int kvbm_request_init(struct kvbm_request *r, struct kvbm_session *session,
		      const struct kvbm_request_attr *attr)
{
	size_t most;
	int err;

	memset(r, 0, sizeof(*r));
	if (!session || (attr->nr_tokens && !attr->tokens) ||
	    (attr->nr_runs && !attr->runs))
		return -EINVAL;
	if (__builtin_add_overflow(attr->nr_tokens, attr->max_output_tokens, &most))
		return -EOVERFLOW;
	kvbm_logical_init(&r->blocks, session);
	r->block_size = kvbm_session_block_size(session);
	r->input = attr->nr_tokens;
	r->max_output = attr->max_output_tokens;
	err = kvbm_token_seq_alloc_mm(attr->tokens, attr->nr_tokens, attr->runs,
				      attr->nr_runs, r->block_size, attr->salt_hash,
				      &r->seq);
	if (err)
		return err;
	err = kvbm_token_seq_reserve(r->seq, most);
	/* One for the tokens behind the last complete block. */
	if (!err)
		err = kvbm_logical_reserve(&r->blocks, most / r->block_size + 1);
	if (err)
		kvbm_request_destroy(r);
	return err;
}

void kvbm_request_destroy(struct kvbm_request *r)
{
	kvbm_logical_destroy(&r->blocks);
	kvbm_token_seq_free(r->seq);
}

int kvbm_request_alloc(struct kvbm_session *session,
		       const struct kvbm_request_attr *attr,
		       struct kvbm_request **out)
{
	struct kvbm_request *r = kvbm_alloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	err = kvbm_request_init(r, session, attr);
	if (err) {
		kvbm_free(r);
		return err;
	}
	*out = r;
	return 0;
}

void kvbm_request_free(struct kvbm_request *r)
{
	if (!r)
		return;
	kvbm_request_destroy(r);
	kvbm_free(r);
}

const struct kvbm_seq_error *kvbm_request_error(const struct kvbm_request *r)
{
	return &r->blocks.error;
}

static int need_no_blocks(struct kvbm_request *r)
{
	size_t count = kvbm_logical_count(&r->blocks);

	if (!count)
		return 0;
	return kvbm_seq_fail(&r->blocks.error, -EBADFD, KVBM_SEQ_HOLDS_BLOCKS, count,
			     0, 0, 0);
}

ssize_t kvbm_request_match(struct kvbm_request *r, size_t limit)
{
	const struct kvbm_hash *hashes;
	ssize_t hits;
	size_t n;
	int err;

	err = need_no_blocks(r);
	if (err)
		return err;
	hashes = kvbm_token_seq_hashes(r->seq, &n);
	hits = kvbm_logical_match(&r->blocks, min_t(size_t, n, limit), hashes);
	if (hits >= 0)
		r->prefix_matched = hits;
	return hits;
}

ssize_t kvbm_request_match_prefix(struct kvbm_request *r)
{
	return kvbm_request_match(r, SIZE_MAX);
}

int kvbm_request_add_matched(struct kvbm_request *r, size_t n,
			     struct kvbm_immutable *guards,
			     const struct kvbm_hash *hashes)
{
	const struct kvbm_hash *own;
	size_t complete, i;
	int err;

	err = need_no_blocks(r);
	if (err)
		return err;
	own = kvbm_token_seq_hashes(r->seq, &complete);
	if (n > complete)
		return kvbm_seq_fail(&r->blocks.error, -ERANGE,
				     KVBM_SEQ_TOO_MANY_MATCHED, n, complete, 0, 0);
	for (i = 0; i < n; i++)
		if (kvbm_hash_compare(&own[i], &hashes[i]))
			return kvbm_seq_fail(&r->blocks.error, -EILSEQ,
					     KVBM_SEQ_HASH_MISMATCH, i, 0, 0, 0);
	err = kvbm_logical_extend_assigned(&r->blocks, n, guards);
	if (!err)
		r->prefix_matched = n;
	return err;
}

int kvbm_request_allocate(struct kvbm_request *r, size_t n)
{
	return kvbm_logical_allocate(&r->blocks, n);
}

/* Blocks that have all of their KV and no hash yet: how many, and their hashes. */
static size_t pending(const struct kvbm_request *r, size_t kv_tokens,
		      const struct kvbm_hash **hashes)
{
	size_t first = r->blocks.assigned + r->blocks.staged, n;

	*hashes = kvbm_token_seq_hashes(r->seq, &n);
	n = min_t(size_t, n, kv_tokens / r->block_size);
	if (n <= first)
		return 0;
	*hashes += first;
	return n - first;
}

ssize_t kvbm_request_stage_pending(struct kvbm_request *r, size_t kv_tokens)
{
	const struct kvbm_hash *hashes;
	size_t n = pending(r, kv_tokens, &hashes);

	return kvbm_logical_stage(&r->blocks, n, hashes, r->block_size);
}

ssize_t kvbm_request_register_staged(struct kvbm_request *r)
{
	return kvbm_logical_register(&r->blocks);
}

ssize_t kvbm_request_register_pending(struct kvbm_request *r, size_t kv_tokens,
				      struct kvbm_next *next)
{
	const struct kvbm_hash *hashes;
	size_t n = pending(r, kv_tokens, &hashes);

	return kvbm_logical_stage_register(&r->blocks, n, hashes, r->block_size, next);
}

int kvbm_request_append_token(struct kvbm_request *r, uint32_t token)
{
	int completed;

	if (!kvbm_request_remaining(r))
		return kvbm_seq_fail(&r->blocks.error, -EBADFD,
				     KVBM_SEQ_GENERATION_COMPLETE, r->generated,
				     r->max_output, 0, 0);
	completed = kvbm_token_seq_append(r->seq, token);
	if (completed < 0)
		return kvbm_seq_pass(&r->blocks.error, completed);
	r->generated++;
	return completed;
}

int kvbm_request_release(struct kvbm_request *r)
{
	return kvbm_logical_clear(&r->blocks);
}

ssize_t kvbm_request_acquire(struct kvbm_request *r, size_t limit)
{
	const struct kvbm_hash *hashes;
	ssize_t hits;
	size_t n;
	int err;

	err = need_no_blocks(r);
	if (err)
		return err;
	hashes = kvbm_token_seq_hashes(r->seq, &n);
	hits = kvbm_logical_acquire(&r->blocks, min_t(size_t, n, limit), hashes, n);
	if (hits >= 0)
		r->prefix_matched = hits;
	return hits;
}

ssize_t kvbm_request_reacquire(struct kvbm_request *r)
{
	return kvbm_request_acquire(r, SIZE_MAX);
}

ssize_t kvbm_request_drop_excess(struct kvbm_request *r, size_t keep)
{
	size_t have = r->blocks.unassigned;

	return kvbm_logical_drop_unassigned(&r->blocks, have > keep ? have - keep : 0);
}

void kvbm_request_info(const struct kvbm_request *r, struct kvbm_request_info *out)
{
	size_t total = kvbm_request_total(r);
	size_t matched = r->prefix_matched * r->block_size;

	*out = (struct kvbm_request_info){
		.block_size = r->block_size,
		.input_tokens = r->input,
		.generated_tokens = r->generated,
		.max_output_tokens = r->max_output,
		.remaining_tokens = kvbm_request_remaining(r),
		.total_tokens = total,
		.complete_blocks = kvbm_token_seq_block_count(r->seq),
		.assigned_blocks = r->blocks.assigned,
		.staged_blocks = r->blocks.staged,
		.unassigned_blocks = r->blocks.unassigned,
		.prefix_matched_blocks = r->prefix_matched,
		.prefill_tokens = total > matched ? total - matched : 0,
	};
}

const struct kvbm_token_seq *kvbm_request_tokens(const struct kvbm_request *r)
{
	return r->seq;
}

const struct kvbm_logical_assignments *
kvbm_request_blocks(const struct kvbm_request *r)
{
	return &r->blocks;
}
