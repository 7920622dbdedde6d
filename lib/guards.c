// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The life cycle of blocks that are held: typed guards in, typed guards out.
 */
#include "guards.h"

int kvbm_stage_content(struct kvbm_session *session, size_t n,
		       struct kvbm_mutable *in, const struct kvbm_content *content,
		       struct kvbm_complete *out)
{
	struct kvbm_stage a = {
		.size = sizeof(a),
		.count = n,
		.block_size = content->block_size,
		.tokens = kvbm_ptr(in),
		.hashes = kvbm_ptr(content->hashes),
		.aux = kvbm_ptr(content->aux),
	};
	int err;

	if (n > KVBM_MAX_BATCH)
		return -EINVAL;
	/* The ABI has no output array that it could refuse. */
	if (n && !out)
		return -EFAULT;
	err = kvbm_guards_call(session, KVBM_STAGE, &a, &a.out_failed, out, n);
	if (err)
		return err;
	kvbm_guards_rename(out, in, n);
	return 0;
}

int kvbm_stage(struct kvbm_session *session, size_t n, struct kvbm_mutable *in,
	       const struct kvbm_hash *hashes, uint32_t block_size,
	       struct kvbm_complete *out)
{
	struct kvbm_content content = {
		.hashes = hashes,
		.block_size = block_size,
	};

	return kvbm_stage_content(session, n, in, &content, out);
}

int kvbm_unstage(struct kvbm_session *session, size_t n, struct kvbm_complete *in,
		 struct kvbm_mutable *out)
{
	struct kvbm_tokens a = {
		.size = sizeof(a),
		.count = n,
		.tokens = kvbm_ptr(in),
	};
	int err;

	if (n > KVBM_MAX_BATCH)
		return -EINVAL;
	if (n && !out)
		return -EFAULT;
	err = kvbm_guards_call(session, KVBM_UNSTAGE, &a, &a.out_failed, out, n);
	if (err)
		return err;
	kvbm_guards_rename(out, in, n);
	return 0;
}

int kvbm_register(struct kvbm_session *session, size_t n, struct kvbm_complete *in,
		  struct kvbm_immutable *out, uint8_t *kinds)
{
	struct kvbm_register a = {
		.size = sizeof(a),
		.count = n,
		.tokens = kvbm_ptr(in),
		.out_tokens = kvbm_ptr(out),
		.out_kinds = kvbm_ptr(kinds),
	};
	int err;

	if (n > KVBM_MAX_BATCH)
		return -EINVAL;
	err = kvbm_guards_call(session, KVBM_REGISTER, &a, &a.out_failed, out, n);
	if (err)
		return err;
	kvbm_guards_empty(in, n);
	return 0;
}

int kvbm_stage_register_content(struct kvbm_session *session, size_t n,
				struct kvbm_mutable *in,
				const struct kvbm_content *content,
				struct kvbm_immutable *out, uint8_t *kinds,
				struct kvbm_next *next)
{
	struct kvbm_next none = { 0 };
	struct kvbm_stage_register a = {
		.size = sizeof(a),
		.count = n,
		.block_size = content->block_size,
		.tokens = kvbm_ptr(in),
		.hashes = kvbm_ptr(content->hashes),
		.aux = kvbm_ptr(content->aux),
		.out_tokens = kvbm_ptr(out),
		.out_kinds = kvbm_ptr(kinds),
	};
	int err;

	if (!next)
		next = &none;
	next->allocated = 0;
	next->nr_evicted = 0;
	if (n > KVBM_MAX_BATCH || next->count > KVBM_MAX_BATCH)
		return -EINVAL;
	a.next_count = next->count;
	a.next_tokens = kvbm_ptr(next->out);
	a.evicted = kvbm_ptr(next->evicted);
	a.evicted_aux = kvbm_ptr(next->evicted_aux);
	err = kvbm_guards_call(session, KVBM_STAGE_REGISTER, &a, &a.out_failed, out, n);
	if (err) {
		kvbm_guards_discard(next->out, next->count, err);
		return err;
	}
	kvbm_guards_empty(in, n);
	next->allocated = a.out_next;
	next->nr_evicted = a.out_evicted;
	if (!next->allocated)
		kvbm_guards_empty(next->out, next->count);
	return 0;
}

int kvbm_stage_register(struct kvbm_session *session, size_t n,
			struct kvbm_mutable *in, const struct kvbm_hash *hashes,
			uint32_t block_size, struct kvbm_immutable *out,
			uint8_t *kinds, struct kvbm_next *next)
{
	struct kvbm_content content = {
		.hashes = hashes,
		.block_size = block_size,
	};

	return kvbm_stage_register_content(session, n, in, &content, out, kinds,
					   next);
}

static int set_reset(struct kvbm_session *session, size_t n, const void *guards,
		     bool reset)
{
	struct kvbm_tokens a = {
		.size = sizeof(a),
		.flags = reset ? KVBM_RESET_ON_RELEASE : 0,
		.count = n,
		.tokens = kvbm_ptr(guards),
	};
	int err;

	if (n > KVBM_MAX_BATCH)
		return -EINVAL;
	err = kvbm_conn_call(session->conn, KVBM_SET_RESET, &a);
	if (err)
		kvbm_set_failed_index(a.out_failed);
	return err;
}

int kvbm_set_reset_on_release_complete(struct kvbm_session *session, size_t n,
				       const struct kvbm_complete *guards,
				       bool reset)
{
	return set_reset(session, n, guards, reset);
}

int kvbm_set_reset_on_release_immutable(struct kvbm_session *session, size_t n,
					const struct kvbm_immutable *guards,
					bool reset)
{
	return set_reset(session, n, guards, reset);
}

int kvbm_drain(struct kvbm_session *session, struct kvbm_drained *out)
{
	struct kvbm_drain a = { .size = sizeof(a) };
	int err = kvbm_conn_call(session->conn, KVBM_DRAIN, &a);

	if (!err && out) {
		out->drained = a.out_drained;
		out->in_use = a.out_in_use;
	}
	return err;
}

/* Move what is not empty to the front, in its order. Return: how many. */
static size_t compact(struct kvbm_token *tokens, size_t n)
{
	size_t i, full = 0;

	/* Mostly there are none, and then nothing is written. */
	while (full < n && tokens[full].gen)
		full++;
	for (i = full; i < n; i++) {
		struct kvbm_token token = tokens[i];

		if (!token.id && !token.gen)
			continue;
		tokens[i] = (struct kvbm_token){ 0 };
		tokens[full++] = token;
	}
	return full;
}

static int release(struct kvbm_session *session, size_t n,
		   struct kvbm_token *tokens, struct kvbm_hint hint)
{
	struct kvbm_release a = {
		.size = sizeof(a),
		.tokens = kvbm_ptr(tokens),
		.hint = hint.kind,
		.hint_log2_ms = hint.log2_ms,
	};
	int err;

	if (n && !tokens)
		return -EFAULT;
	n = compact(tokens, n);
	if (!n)
		return 0;
	if (n > KVBM_MAX_BATCH)
		return -EINVAL;
	a.count = n;
	err = kvbm_conn_call(session->conn, KVBM_RELEASE, &a);
	if (err) {
		kvbm_set_failed_index(a.out_failed);
		return err;
	}
	kvbm_guards_empty(tokens, n);
	return 0;
}

int kvbm_release_mutable(struct kvbm_session *session, size_t n,
			 struct kvbm_mutable *guards, struct kvbm_hint hint)
{
	return release(session, n, (struct kvbm_token *)guards, hint);
}

int kvbm_release_complete(struct kvbm_session *session, size_t n,
			  struct kvbm_complete *guards, struct kvbm_hint hint)
{
	return release(session, n, (struct kvbm_token *)guards, hint);
}

int kvbm_release_immutable(struct kvbm_session *session, size_t n,
			   struct kvbm_immutable *guards, struct kvbm_hint hint)
{
	return release(session, n, (struct kvbm_token *)guards, hint);
}
