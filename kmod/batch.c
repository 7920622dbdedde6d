// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctls of a session: arrays in, engine, arrays out.
 *
 * All inputs are copied before anything else, all outputs probed before
 * anything changes. If the results cannot be copied out all the same, the
 * guards that nobody would know of go back.
 */
#include <linux/err.h>

#include "private.h"
#include "uarray.h"

/* Bytes that an array takes in struct kvbm_arrays. */
static size_t bytes_of(u32 count, size_t size)
{
	return ALIGN(count * size, sizeof(u64));
}

#define TOKENS(n)	bytes_of(n, sizeof(struct kvbm_token))
#define HASHES(n)	bytes_of(n, sizeof(struct kvbm_hash))

/* Nobody heard of these guards. */
static void forget(struct kvbm_file *file, const struct kvbm_token *tokens,
		   u32 count)
{
	u32 i, ignored;

	/* One by one: a guessing thread may have released some. Tail first. */
	for (i = count; i--; )
		kvbm_holder_release(&file->holder, &tokens[i], 1,
				    (struct kvbm_release_hint){}, &ignored);
}

/**
 * struct out_allocation - where the results of an allocation go
 * @count: blocks asked for
 * @tokens: user address
 * @evicted: user address, or 0
 * @evicted_aux: user address, or 0
 * @a: the same in our memory
 */
struct out_allocation {
	u32 count;
	u64 tokens;
	u64 evicted;
	u64 evicted_aux;
	struct kvbm_allocation a;
};

static u32 aux_size(struct kvbm_file *file)
{
	return kvbm_store_config(file->manager->store)->aux_size;
}

/* Bytes of the aux that goes in or out with a call; 0 when there is none. */
static int aux_bytes(struct kvbm_file *file, u64 aux, u32 count, size_t *bytes)
{
	u64 all = (u64)count * aux_size(file);

	*bytes = 0;
	if (!aux)
		return 0;
	if (!aux_size(file) || all > KVBM_MAX_AUX_BATCH)
		return -EINVAL;
	*bytes = bytes_of(all, 1);
	return 0;
}

static int allocation_bytes(struct kvbm_file *file,
			    const struct out_allocation *out, size_t *bytes)
{
	int err = aux_bytes(file, out->evicted_aux, out->count, bytes);

	*bytes += TOKENS(out->count) + (out->evicted ? HASHES(out->count) : 0);
	return err;
}

/* An optional array of results: NULL, room for it, or ERR_PTR(-EFAULT). */
static void *optional(struct kvbm_arrays *m, u64 to, u32 count, size_t size)
{
	if (!to)
		return NULL;
	if (kvbm_array_probe(to, count, size))
		return ERR_PTR(-EFAULT);
	return kvbm_array_new(m, count, size);
}

static int allocation_prepare(struct kvbm_file *file, struct out_allocation *out,
			      struct kvbm_arrays *m)
{
	int err;

	err = kvbm_array_probe(out->tokens, out->count, sizeof(*out->a.tokens));
	if (err)
		return err;
	out->a.count = out->count;
	out->a.tokens = kvbm_array_new(m, out->count, sizeof(*out->a.tokens));
	out->a.evicted = optional(m, out->evicted, out->count,
				  sizeof(*out->a.evicted));
	out->a.evicted_aux = optional(m, out->evicted_aux, out->count,
				      aux_size(file));
	return PTR_ERR_OR_ZERO(out->a.evicted) ?:
	       PTR_ERR_OR_ZERO(out->a.evicted_aux);
}

static int allocation_put(struct kvbm_file *file, const struct out_allocation *out,
			  u32 count)
{
	const struct kvbm_allocation *a = &out->a;
	int err;

	err = kvbm_array_out(out->tokens, a->tokens, count, sizeof(*a->tokens));
	if (!err && a->evicted)
		err = kvbm_array_out(out->evicted, a->evicted, a->nr_evicted,
				     sizeof(*a->evicted));
	if (!err && a->evicted_aux)
		err = kvbm_array_out(out->evicted_aux, a->evicted_aux,
				     a->nr_evicted, aux_size(file));
	return err;
}

/* All of the allocation's results; guards that nobody can hear of go back. */
static int allocation_report(struct kvbm_file *file, const struct kvbm_call *call,
			     const struct out_allocation *out)
{
	int err = allocation_put(file, out, out->count);

	if (!err)
		err = kvbm_call_put(call);
	if (err)
		forget(file, out->a.tokens, out->count);
	return err;
}

/**
 * kvbm_batch_allocate - ioctl(KVBM_ALLOCATE)
 * @file: session
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_batch_allocate(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_allocate *arg = &call->arg->allocate;
	struct out_allocation out = {
		.count = arg->count,
		.tokens = arg->tokens,
		.evicted = arg->evicted,
		.evicted_aux = arg->evicted_aux,
		.a.deadline_ns = arg->deadline_ns,
	};
	struct kvbm_arrays m __uninitialized;
	size_t bytes;
	int err;

	err = allocation_bytes(file, &out, &bytes);
	if (err)
		return err;
	err = kvbm_arrays_init(&m, bytes);
	if (err)
		return err;
	err = allocation_prepare(file, &out, &m);
	if (err)
		goto free;
	err = kvbm_holder_allocate(&file->holder, &out.a);
	arg->out_freed = out.a.freed;
	if (err)
		goto free;
	arg->out_evicted = out.a.nr_evicted;
	err = allocation_report(file, call, &out);
free:
	kvbm_arrays_free(&m);
	return err;
}

/**
 * kvbm_batch_acquire - ioctl(KVBM_ACQUIRE)
 * @file: session
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_batch_acquire(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_acquire *arg = &call->arg->acquire;
	struct out_allocation out = {
		.count = arg->count,
		.tokens = arg->tokens,
		.evicted = arg->evicted,
		.evicted_aux = arg->evicted_aux,
		.a.deadline_ns = arg->deadline_ns,
	};
	struct kvbm_hash *hashes;
	struct kvbm_arrays m __uninitialized;
	size_t bytes;
	int err;

	err = allocation_bytes(file, &out, &bytes);
	if (err)
		return err;
	err = kvbm_arrays_init(&m, HASHES(arg->nr_hashes) + bytes);
	if (err)
		return err;
	hashes = kvbm_array_in(&m, arg->hashes, arg->nr_hashes, sizeof(*hashes));
	err = PTR_ERR_OR_ZERO(hashes);
	if (err)
		goto free;
	err = allocation_prepare(file, &out, &m);
	if (err)
		goto free;
	err = kvbm_holder_acquire(&file->holder, hashes, arg->nr_hashes, &out.a,
				  &arg->out_matched);
	arg->out_freed = out.a.freed;
	if (err)
		goto free;
	arg->out_allocated = out.count - arg->out_matched;
	arg->out_evicted = out.a.nr_evicted;
	err = allocation_report(file, call, &out);
free:
	kvbm_arrays_free(&m);
	return err;
}

static void *aux_in(struct kvbm_file *file, struct kvbm_arrays *m, u64 aux,
		    u32 count)
{
	return aux ? kvbm_array_in(m, aux, count, aux_size(file)) : NULL;
}

/**
 * kvbm_batch_stage - ioctl(KVBM_STAGE)
 * @file: session
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_batch_stage(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_stage *arg = &call->arg->stage;
	struct kvbm_token *tokens;
	struct kvbm_hash *hashes;
	struct kvbm_arrays m __uninitialized;
	size_t bytes;
	void *aux;
	int err;

	err = aux_bytes(file, arg->aux, arg->count, &bytes);
	if (err)
		return err;
	err = kvbm_arrays_init(&m, TOKENS(arg->count) + HASHES(arg->count) + bytes);
	if (err)
		return err;
	tokens = kvbm_array_in(&m, arg->tokens, arg->count, sizeof(*tokens));
	err = PTR_ERR_OR_ZERO(tokens);
	if (err)
		goto free;
	hashes = kvbm_array_in(&m, arg->hashes, arg->count, sizeof(*hashes));
	err = PTR_ERR_OR_ZERO(hashes);
	if (err)
		goto free;
	aux = aux_in(file, &m, arg->aux, arg->count);
	err = PTR_ERR_OR_ZERO(aux);
	if (err)
		goto free;
	err = kvbm_holder_stage(&file->holder, tokens, hashes, aux, arg->count,
				arg->block_size, &arg->out_failed);
free:
	kvbm_arrays_free(&m);
	return err;
}

/**
 * struct out_registration - where the results of a registration go
 * @count: blocks
 * @tokens: user address
 * @kinds: user address, or 0
 * @new_tokens: our copy; the tokens to register until it is done
 * @new_kinds: our copy
 */
struct out_registration {
	u32 count;
	u64 tokens;
	u64 kinds;
	struct kvbm_token *new_tokens;
	u8 *new_kinds;
};

static size_t registration_bytes(const struct out_registration *out)
{
	return TOKENS(out->count) + (out->kinds ? bytes_of(out->count, 1) : 0);
}

static int registration_prepare(struct out_registration *out,
				struct kvbm_arrays *m, u64 tokens)
{
	int err;

	out->new_tokens = kvbm_array_in(m, tokens, out->count,
					sizeof(*out->new_tokens));
	err = PTR_ERR_OR_ZERO(out->new_tokens);
	if (err)
		return err;
	err = kvbm_array_probe(out->tokens, out->count, sizeof(*out->new_tokens));
	out->new_kinds = NULL;
	if (err || !out->kinds)
		return err;
	out->new_kinds = kvbm_array_new(m, out->count, 1);
	return kvbm_array_probe(out->kinds, out->count, 1);
}

static int registration_put(const struct out_registration *out)
{
	int err;

	err = kvbm_array_out(out->tokens, out->new_tokens, out->count,
			     sizeof(*out->new_tokens));
	if (err || !out->kinds)
		return err;
	return kvbm_array_out(out->kinds, out->new_kinds, out->count, 1);
}

/**
 * kvbm_batch_register - ioctl(KVBM_REGISTER)
 * @file: session
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_batch_register(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_register *arg = &call->arg->reg;
	struct out_registration out = {
		.count = arg->count,
		.tokens = arg->out_tokens,
		.kinds = arg->out_kinds,
	};
	struct kvbm_arrays m __uninitialized;
	int err;

	err = kvbm_arrays_init(&m, registration_bytes(&out));
	if (err)
		return err;
	err = registration_prepare(&out, &m, arg->tokens);
	if (err)
		goto free;
	err = kvbm_holder_register(&file->holder, out.new_tokens, out.new_kinds,
				   out.count, &arg->out_failed);
	if (err)
		goto free;
	err = registration_put(&out);
	if (err)
		forget(file, out.new_tokens, out.count);
free:
	kvbm_arrays_free(&m);
	return err;
}

/**
 * kvbm_batch_stage_register - ioctl(KVBM_STAGE_REGISTER)
 * @file: session
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_batch_stage_register(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_stage_register *arg = &call->arg->stage_register;
	struct out_registration out = {
		.count = arg->count,
		.tokens = arg->out_tokens,
		.kinds = arg->out_kinds,
	};
	struct out_allocation next = {
		.count = arg->next_count,
		.tokens = arg->next_tokens,
		.evicted = arg->evicted,
		.evicted_aux = arg->evicted_aux,
	};
	struct kvbm_hash *hashes;
	struct kvbm_arrays m __uninitialized;
	size_t bytes, next_bytes;
	void *aux;
	int err;

	err = aux_bytes(file, arg->aux, arg->count, &bytes);
	if (err)
		return err;
	err = allocation_bytes(file, &next, &next_bytes);
	if (err)
		return err;
	err = kvbm_arrays_init(&m, HASHES(arg->count) + registration_bytes(&out) +
				   next_bytes + bytes);
	if (err)
		return err;
	hashes = kvbm_array_in(&m, arg->hashes, arg->count, sizeof(*hashes));
	err = PTR_ERR_OR_ZERO(hashes);
	if (err)
		goto free;
	err = registration_prepare(&out, &m, arg->tokens);
	if (err)
		goto free;
	err = allocation_prepare(file, &next, &m);
	if (err)
		goto free;
	aux = aux_in(file, &m, arg->aux, arg->count);
	err = PTR_ERR_OR_ZERO(aux);
	if (err)
		goto free;
	err = kvbm_holder_stage_register(&file->holder, out.new_tokens, hashes,
					 aux, out.new_kinds, out.count,
					 arg->block_size, &next.a,
					 &arg->out_next, &arg->out_failed);
	if (err)
		goto free;
	arg->out_evicted = next.a.nr_evicted;
	err = registration_put(&out);
	if (!err)
		err = allocation_put(file, &next, arg->out_next);
	if (!err)
		err = kvbm_call_put(call);
	if (err) {
		forget(file, next.a.tokens, arg->out_next);
		forget(file, out.new_tokens, out.count);
	}
free:
	kvbm_arrays_free(&m);
	return err;
}

static int probe_prefix(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_match *arg = &call->arg->match;
	struct kvbm_hash *hashes;
	struct kvbm_arrays m __uninitialized;
	int err;

	err = kvbm_holder_check(&file->holder);
	if (err)
		return err;
	err = kvbm_arrays_init(&m, HASHES(arg->count));
	if (err)
		return err;
	hashes = kvbm_array_in(&m, arg->hashes, arg->count, sizeof(*hashes));
	err = PTR_ERR_OR_ZERO(hashes);
	if (!err)
		err = kvbm_store_probe(file->manager->store, hashes, arg->count,
				       &arg->out_count);
	if (!err)
		err = kvbm_call_put(call);
	kvbm_arrays_free(&m);
	return err;
}

/**
 * kvbm_batch_match - ioctl(KVBM_MATCH)
 * @file: session
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_batch_match(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_match *arg = &call->arg->match;
	enum kvbm_match_mode mode = KVBM_LOOKUP_PREFIX;
	struct kvbm_token *tokens;
	struct kvbm_hash *hashes;
	struct kvbm_arrays m __uninitialized;
	u32 filled;
	int err;

	if (arg->flags & KVBM_MATCH_PROBE)
		return probe_prefix(file, call);
	if (arg->flags & KVBM_MATCH_SCATTERED)
		mode = KVBM_LOOKUP_SCATTERED;
	if (arg->flags & KVBM_MATCH_SCAN)
		mode = arg->flags & KVBM_MATCH_TOUCH ? KVBM_LOOKUP_SCAN_TOUCH :
						       KVBM_LOOKUP_SCAN;
	err = kvbm_arrays_init(&m, HASHES(arg->count) + TOKENS(arg->count));
	if (err)
		return err;
	hashes = kvbm_array_in(&m, arg->hashes, arg->count, sizeof(*hashes));
	err = PTR_ERR_OR_ZERO(hashes);
	if (err)
		goto free;
	tokens = kvbm_array_new(&m, arg->count, sizeof(*tokens));
	err = kvbm_array_probe(arg->tokens, arg->count, sizeof(*tokens));
	if (err)
		goto free;
	err = kvbm_holder_match(&file->holder, hashes, arg->count, mode, tokens,
				&arg->out_count);
	if (err)
		goto free;
	filled = mode == KVBM_LOOKUP_PREFIX ? arg->out_count : arg->count;
	err = kvbm_array_out(arg->tokens, tokens, filled, sizeof(*tokens));
	if (!err)
		err = kvbm_call_put(call);
	if (err)
		forget(file, tokens, filled);
free:
	kvbm_arrays_free(&m);
	return err;
}

/**
 * kvbm_batch_upgrade - ioctl(KVBM_UPGRADE)
 * @file: session
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_batch_upgrade(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_upgrade *arg = &call->arg->upgrade;
	struct kvbm_token *tokens;
	struct kvbm_hash *hashes;
	struct kvbm_arrays m __uninitialized;
	int err;

	err = kvbm_arrays_init(&m, HASHES(arg->count) + TOKENS(arg->count));
	if (err)
		return err;
	hashes = kvbm_array_in(&m, arg->hashes, arg->count, sizeof(*hashes));
	err = PTR_ERR_OR_ZERO(hashes);
	if (err)
		goto free;
	tokens = kvbm_array_in(&m, arg->tokens, arg->count, sizeof(*tokens));
	err = PTR_ERR_OR_ZERO(tokens);
	if (err)
		goto free;
	err = kvbm_array_probe(arg->out_tokens, arg->count, sizeof(*tokens));
	if (err)
		goto free;
	err = kvbm_holder_upgrade(&file->holder, hashes, tokens, arg->count,
				  &arg->out_count);
	if (err)
		goto free;
	err = kvbm_array_out(arg->out_tokens, tokens, arg->count, sizeof(*tokens));
	if (!err)
		err = kvbm_call_put(call);
	if (err)
		forget(file, tokens, arg->count);
free:
	kvbm_arrays_free(&m);
	return err;
}

/**
 * kvbm_batch_drain - ioctl(KVBM_DRAIN)
 * @file: session
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_batch_drain(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_drain *arg = &call->arg->drain;
	int err;

	err = kvbm_holder_drain(&file->holder, &arg->out_drained, &arg->out_in_use);
	return err ?: kvbm_call_put(call);
}

/**
 * kvbm_batch_holdings - ioctl(KVBM_HOLDINGS)
 * @file: session
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_batch_holdings(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_holdings *arg = &call->arg->holdings;
	struct kvbm_held *held;
	struct kvbm_arrays m __uninitialized;
	int err;

	err = kvbm_arrays_init(&m, bytes_of(arg->count, sizeof(*held)));
	if (err)
		return err;
	held = kvbm_array_new(&m, arg->count, sizeof(*held));
	err = kvbm_holder_list(&file->holder, arg->start, arg->count, held,
			       &arg->out_count, &arg->out_total);
	if (!err)
		err = kvbm_array_out(arg->held, held, arg->out_count, sizeof(*held));
	if (!err)
		err = kvbm_call_put(call);
	kvbm_arrays_free(&m);
	return err;
}

/* struct kvbm_release begins as struct kvbm_tokens does. */
static_assert(offsetof(struct kvbm_release, count) ==
	      offsetof(struct kvbm_tokens, count));
static_assert(offsetof(struct kvbm_release, out_failed) ==
	      offsetof(struct kvbm_tokens, out_failed));
static_assert(offsetof(struct kvbm_release, tokens) ==
	      offsetof(struct kvbm_tokens, tokens));

static int apply_tokens(struct kvbm_holder *holder, struct kvbm_call *call,
			const struct kvbm_token *tokens)
{
	struct kvbm_tokens *arg = &call->arg->tokens;
	struct kvbm_release_hint hint;

	switch (call->abi->cmd) {
	case KVBM_UNSTAGE:
		return kvbm_holder_unstage(holder, tokens, arg->count,
					   &arg->out_failed);
	case KVBM_CLONE:
		return kvbm_holder_clone(holder, tokens, arg->count,
					 &arg->out_failed);
	case KVBM_SET_RESET:
		return kvbm_holder_set_reset(holder, tokens, arg->count,
					     arg->flags & KVBM_RESET_ON_RELEASE,
					     &arg->out_failed);
	default:
		hint.kind = call->arg->release.hint;
		hint.log2_ms = call->arg->release.hint_log2_ms;
		return kvbm_holder_release(holder, tokens, arg->count, hint,
					   &arg->out_failed);
	}
}

/**
 * kvbm_batch_tokens - ioctls that take tokens, and return none
 * @file: session
 * @call: KVBM_UNSTAGE, KVBM_CLONE, KVBM_SET_RESET or KVBM_RELEASE
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_batch_tokens(struct kvbm_file *file, struct kvbm_call *call)
{
	const struct kvbm_tokens *arg = &call->arg->tokens;
	struct kvbm_token *tokens;
	struct kvbm_arrays m __uninitialized;
	int err;

	err = kvbm_arrays_init(&m, TOKENS(arg->count));
	if (err)
		return err;
	tokens = kvbm_array_in(&m, arg->tokens, arg->count, sizeof(*tokens));
	err = PTR_ERR_OR_ZERO(tokens);
	if (!err)
		err = apply_tokens(&file->holder, call, tokens);
	kvbm_arrays_free(&m);
	return err;
}
