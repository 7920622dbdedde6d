// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The backend that is a block store of this process: the engine behind the
 * same table of calls, the same checks in the same order, as in the module.
 */
#include <stdlib.h>

#include "abi.h"
#include "backend.h"
#include "inproc.h"

/**
 * struct inproc - an "open file"; bound, it is a session
 * @conn: first
 * @ns: referenced
 * @manager: NULL until bound; a file is bound before others can know of it
 * @rights: KVBM_BIND_*
 * @threshold: of poll(2), which there is none of here
 * @holder: what the session holds
 * @listed: for who asks for the sessions of the manager
 */
struct inproc {
	struct kvbm_conn conn;
	struct kvbm_ns *ns;
	struct kvbm_ns_manager *manager;
	u32 rights;
	u32 threshold;
	struct kvbm_holder holder;
	struct kvbm_ns_session listed;
};

static const struct kvbm_backend inproc_backend;

static struct inproc *to_inproc(struct kvbm_conn *conn)
{
	return (struct inproc *)conn;
}

static u32 aux_size(const struct inproc *f)
{
	return kvbm_store_config(f->manager->store)->aux_size;
}

/* @manager is counted as a session already. */
static void begin_session(struct inproc *f, struct kvbm_ns_manager *manager,
			  u32 rights)
{
	f->manager = manager;
	f->rights = rights;
	f->threshold = 1;
	kvbm_holder_init(&f->holder, manager->store);
	f->listed.flags = rights;
	f->listed.holder = &f->holder;
	kvbm_ns_enlist(f->ns, manager, &f->listed);
}

static int do_manager_create(struct inproc *f, struct kvbm_manager_create *a)
{
	struct kvbm_ns_manager *bound = f->manager;
	int err = kvbm_ns_manager_create(f->ns, &bound, a);

	if (!err && a->bind_flags)
		begin_session(f, bound, a->bind_flags);
	return err;
}

static int do_bind(struct inproc *f, const struct kvbm_bind *a)
{
	struct kvbm_ns_manager *manager;

	if (f->manager)
		return -EISCONN;
	manager = kvbm_ns_bind(f->ns, a->id);
	if (!manager)
		return -ENOENT;
	begin_session(f, manager, a->flags);
	return 0;
}

/* By id, or, for 0, the one that the file is bound to; referenced. */
static int get_readable(struct inproc *f, u64 id, struct kvbm_ns_manager **out)
{
	if (!id) {
		if (!f->manager)
			return -ENOTCONN;
		if (!(f->rights & KVBM_BIND_READ))
			return -EACCES;
		*out = f->manager;
		return 0;
	}
	*out = kvbm_ns_manager_get(f->ns, id);
	return *out ? 0 : -ENOENT;
}

static void put_readable(struct inproc *f, u64 id, struct kvbm_ns_manager *m)
{
	/* The file holds on to its own. */
	if (id)
		kvbm_ns_manager_put(f->ns, m);
}

static int do_stats(struct inproc *f, struct kvbm_manager_stats *a)
{
	struct kvbm_ns_manager *m;
	int err;

	err = get_readable(f, a->id, &m);
	if (err)
		return err;
	kvbm_store_counters(m->store, &a->out);
	put_readable(f, a->id, m);
	return 0;
}

static int do_sessions(struct inproc *f, struct kvbm_manager_sessions *a)
{
	struct kvbm_ns_manager *m;
	int err;

	err = get_readable(f, a->id, &m);
	if (err)
		return err;
	if (kvbm_user_bad(a->sessions, a->count))
		err = -EFAULT;
	else
		kvbm_ns_sessions(f->ns, m, a);
	put_readable(f, a->id, m);
	return err;
}

static int do_check(struct inproc *f, struct kvbm_manager_check *a)
{
	struct kvbm_ns_manager *m;
	int err;

	err = get_readable(f, a->id, &m);
	if (err)
		return err;
	err = kvbm_store_check(m->store, &a->out);
	put_readable(f, a->id, m);
	return err;
}

static int do_dump(struct inproc *f, struct kvbm_manager_dump *a)
{
	struct kvbm_ns_manager *m;
	int err;

	err = get_readable(f, a->id, &m);
	if (err)
		return err;
	if (kvbm_user_bad(a->slots, a->count))
		err = -EFAULT;
	else
		a->out_count = kvbm_store_dump(m->store, a->start, a->count,
					       kvbm_user(a->slots));
	put_readable(f, a->id, m);
	return err;
}

/* The aux that goes in or out with a call, which may be none. */
static int check_aux(const struct inproc *f, u64 aux, u32 count)
{
	u64 bytes = (u64)count * aux_size(f);

	if (!aux)
		return 0;
	return aux_size(f) && bytes <= KVBM_MAX_AUX_BATCH ? 0 : -EINVAL;
}

static int do_allocate(struct inproc *f, struct kvbm_allocate *a)
{
	struct kvbm_allocation allocation = {
		.count = a->count,
		.tokens = kvbm_user(a->tokens),
		.evicted = kvbm_user(a->evicted),
		.evicted_aux = kvbm_user(a->evicted_aux),
		.deadline_ns = a->deadline_ns,
	};
	int err;

	err = check_aux(f, a->evicted_aux, a->count);
	if (err)
		return err;
	if (kvbm_user_bad(a->tokens, a->count))
		return -EFAULT;
	err = kvbm_holder_allocate(&f->holder, &allocation);
	a->out_freed = allocation.freed;
	if (err)
		return err;
	a->out_evicted = allocation.nr_evicted;
	return 0;
}

static int do_acquire(struct inproc *f, struct kvbm_acquire *a)
{
	struct kvbm_allocation allocation = {
		.count = a->count,
		.tokens = kvbm_user(a->tokens),
		.evicted = kvbm_user(a->evicted),
		.evicted_aux = kvbm_user(a->evicted_aux),
		.deadline_ns = a->deadline_ns,
	};
	int err;

	err = check_aux(f, a->evicted_aux, a->count);
	if (err)
		return err;
	if (kvbm_user_bad(a->hashes, a->nr_hashes) ||
	    kvbm_user_bad(a->tokens, a->count))
		return -EFAULT;
	err = kvbm_holder_acquire(&f->holder, kvbm_user(a->hashes), a->nr_hashes,
				  &allocation, &a->out_matched);
	a->out_freed = allocation.freed;
	if (err)
		return err;
	a->out_allocated = a->count - a->out_matched;
	a->out_evicted = allocation.nr_evicted;
	return 0;
}

static int do_stage(struct inproc *f, struct kvbm_stage *a)
{
	int err = check_aux(f, a->aux, a->count);

	if (err)
		return err;
	if (kvbm_user_bad(a->tokens, a->count) || kvbm_user_bad(a->hashes, a->count))
		return -EFAULT;
	return kvbm_holder_stage(&f->holder, kvbm_user(a->tokens), kvbm_user(a->hashes),
				 kvbm_user(a->aux), a->count, a->block_size,
				 &a->out_failed);
}

static int do_unstage(struct inproc *f, struct kvbm_tokens *a)
{
	if (kvbm_user_bad(a->tokens, a->count))
		return -EFAULT;
	return kvbm_holder_unstage(&f->holder, kvbm_user(a->tokens), a->count,
				   &a->out_failed);
}

/*
 * The engine registers in place, and changes the tokens only when it has
 * checked all of them. So the output array is where it works: after an error
 * the input is as it was, also when both are the same memory.
 */
static struct kvbm_token *tokens_in_place(u64 tokens, u64 out_tokens, u32 count)
{
	if (count)
		memmove(kvbm_user(out_tokens), kvbm_user(tokens),
			count * sizeof(struct kvbm_token));
	return kvbm_user(out_tokens);
}

static int do_register(struct inproc *f, struct kvbm_register *a)
{
	if (kvbm_user_bad(a->tokens, a->count) || kvbm_user_bad(a->out_tokens, a->count))
		return -EFAULT;
	return kvbm_holder_register(&f->holder,
				    tokens_in_place(a->tokens, a->out_tokens,
						    a->count),
				    kvbm_user(a->out_kinds), a->count, &a->out_failed);
}

static int do_stage_register(struct inproc *f, struct kvbm_stage_register *a)
{
	struct kvbm_allocation next = {
		.count = a->next_count,
		.tokens = kvbm_user(a->next_tokens),
		.evicted = kvbm_user(a->evicted),
		.evicted_aux = kvbm_user(a->evicted_aux),
	};
	int err;

	err = check_aux(f, a->aux, a->count);
	if (!err)
		err = check_aux(f, a->evicted_aux, a->next_count);
	if (err)
		return err;
	if (kvbm_user_bad(a->tokens, a->count) ||
	    kvbm_user_bad(a->hashes, a->count) ||
	    kvbm_user_bad(a->out_tokens, a->count) ||
	    kvbm_user_bad(a->next_tokens, a->next_count))
		return -EFAULT;
	err = kvbm_holder_stage_register(&f->holder,
					 tokens_in_place(a->tokens,
							 a->out_tokens,
							 a->count),
					 kvbm_user(a->hashes), kvbm_user(a->aux),
					 kvbm_user(a->out_kinds), a->count,
					 a->block_size, &next, &a->out_next,
					 &a->out_failed);
	if (err)
		return err;
	a->out_evicted = next.nr_evicted;
	return 0;
}

static int probe(struct inproc *f, struct kvbm_match *a)
{
	int err = kvbm_holder_check(&f->holder);

	if (err)
		return err;
	if (kvbm_user_bad(a->hashes, a->count))
		return -EFAULT;
	return kvbm_store_probe(f->manager->store, kvbm_user(a->hashes), a->count,
				&a->out_count);
}

static int do_match(struct inproc *f, struct kvbm_match *a)
{
	enum kvbm_match_mode mode = KVBM_LOOKUP_PREFIX;

	if (a->flags & KVBM_MATCH_PROBE)
		return probe(f, a);
	if (kvbm_user_bad(a->hashes, a->count) ||
	    kvbm_user_bad(a->tokens, a->count))
		return -EFAULT;
	if (a->flags & KVBM_MATCH_SCATTERED)
		mode = KVBM_LOOKUP_SCATTERED;
	if (a->flags & KVBM_MATCH_SCAN)
		mode = a->flags & KVBM_MATCH_TOUCH ? KVBM_LOOKUP_SCAN_TOUCH :
						     KVBM_LOOKUP_SCAN;
	return kvbm_holder_match(&f->holder, kvbm_user(a->hashes), a->count, mode,
				 kvbm_user(a->tokens), &a->out_count);
}

static int do_clone(struct inproc *f, struct kvbm_tokens *a)
{
	if (kvbm_user_bad(a->tokens, a->count))
		return -EFAULT;
	return kvbm_holder_clone(&f->holder, kvbm_user(a->tokens), a->count,
				 &a->out_failed);
}

static int do_upgrade(struct inproc *f, struct kvbm_upgrade *a)
{
	if (kvbm_user_bad(a->hashes, a->count) || kvbm_user_bad(a->tokens, a->count) ||
	    kvbm_user_bad(a->out_tokens, a->count))
		return -EFAULT;
	return kvbm_holder_upgrade(&f->holder, kvbm_user(a->hashes),
				   tokens_in_place(a->tokens, a->out_tokens,
						   a->count),
				   a->count, &a->out_count);
}

static int do_set_reset(struct inproc *f, struct kvbm_tokens *a)
{
	if (kvbm_user_bad(a->tokens, a->count))
		return -EFAULT;
	return kvbm_holder_set_reset(&f->holder, kvbm_user(a->tokens), a->count,
				     a->flags & KVBM_RESET_ON_RELEASE,
				     &a->out_failed);
}

static int do_holdings(struct inproc *f, struct kvbm_holdings *a)
{
	if (kvbm_user_bad(a->held, a->count))
		return -EFAULT;
	return kvbm_holder_list(&f->holder, a->start, a->count, kvbm_user(a->held),
				&a->out_count, &a->out_total);
}

static int do_set_threshold(struct inproc *f, const struct kvbm_set_threshold *a)
{
	const struct kvbm_store_config *config =
		kvbm_store_config(f->manager->store);
	int err = kvbm_holder_check(&f->holder);

	if (err)
		return err;
	if (a->blocks > config->block_count - config->nr_reserved)
		return -EINVAL;
	WRITE_ONCE(f->threshold, a->blocks);
	return 0;
}

static int do_release(struct inproc *f, struct kvbm_release *a)
{
	struct kvbm_release_hint hint = {
		.kind = a->hint,
		.log2_ms = a->hint_log2_ms,
	};

	if (kvbm_user_bad(a->tokens, a->count))
		return -EFAULT;
	return kvbm_holder_release(&f->holder, kvbm_user(a->tokens), a->count, hint,
				   &a->out_failed);
}

static int do_drain(struct inproc *f, struct kvbm_drain *a)
{
	return kvbm_holder_drain(&f->holder, &a->out_drained, &a->out_in_use);
}

static int check_session(const struct inproc *f, u32 needs)
{
	if (!(needs & KVBM_ABI_SESSION))
		return 0;
	if (!f->manager)
		return -ENOTCONN;
	if ((needs & KVBM_ABI_READ && !(f->rights & KVBM_BIND_READ)) ||
	    (needs & KVBM_ABI_WRITE && !(f->rights & KVBM_BIND_WRITE)))
		return -EACCES;
	return 0;
}

static int dispatch(struct inproc *f, u32 cmd, void *arg)
{
	switch (cmd) {
	case KVBM_INFO:
		kvbm_abi_info(arg);
		return 0;
	case KVBM_REGISTRY_CREATE:
		return kvbm_ns_registry_create(f->ns, arg);
	case KVBM_REGISTRY_QUERY:
		return kvbm_ns_registry_query(f->ns, arg);
	case KVBM_REGISTRY_LIST:
		return kvbm_ns_registry_list(f->ns, arg);
	case KVBM_REGISTRY_DESTROY:
		return kvbm_ns_registry_destroy(f->ns, arg);
	case KVBM_ATTACH:
		return kvbm_ns_attach(f->ns, f->manager, arg);
	case KVBM_ATTACHMENTS:
		return kvbm_ns_attachments(f->ns, f->manager, arg);
	case KVBM_FREQUENCY:
		return kvbm_ns_frequency(f->ns, f->manager, arg);
	case KVBM_MANAGER_CREATE:
		return do_manager_create(f, arg);
	case KVBM_MANAGER_QUERY:
		return kvbm_ns_manager_query(f->ns, f->manager, arg);
	case KVBM_MANAGER_LIST:
		return kvbm_ns_manager_list(f->ns, arg);
	case KVBM_MANAGER_DESTROY:
		return kvbm_ns_manager_destroy(f->ns, arg);
	case KVBM_MANAGER_STATS:
		return do_stats(f, arg);
	case KVBM_MANAGER_CHECK:
		return do_check(f, arg);
	case KVBM_MANAGER_DUMP:
		return do_dump(f, arg);
	case KVBM_EVENTS_DUMP:
		return kvbm_ns_events_dump(f->ns, f->manager, arg);
	case KVBM_MANAGER_SESSIONS:
		return do_sessions(f, arg);
	case KVBM_PRESENCE:
		return kvbm_ns_presence(f->ns, f->manager, arg);
	case KVBM_BIND:
		return do_bind(f, arg);
	case KVBM_ALLOCATE:
		return do_allocate(f, arg);
	case KVBM_ACQUIRE:
		return do_acquire(f, arg);
	case KVBM_STAGE:
		return do_stage(f, arg);
	case KVBM_REGISTER:
		return do_register(f, arg);
	case KVBM_STAGE_REGISTER:
		return do_stage_register(f, arg);
	case KVBM_MATCH:
		return do_match(f, arg);
	case KVBM_RELEASE:
		return do_release(f, arg);
	case KVBM_UNSTAGE:
		return do_unstage(f, arg);
	case KVBM_CLONE:
		return do_clone(f, arg);
	case KVBM_UPGRADE:
		return do_upgrade(f, arg);
	case KVBM_SET_RESET:
		return do_set_reset(f, arg);
	case KVBM_DRAIN:
		return do_drain(f, arg);
	case KVBM_HOLDINGS:
		return do_holdings(f, arg);
	case KVBM_SET_THRESHOLD:
		return do_set_threshold(f, arg);
	case KVBM_QUOTA:
	case KVBM_EPOCH:
	case KVBM_BACKING_SET:
	case KVBM_BACKING_GET:
		/* One user, who takes everything along in dying. */
		return -EOPNOTSUPP;
	default:
		return -ENOTTY;
	}
}

/* What comes before every call. */
static int check_call(const struct inproc *f, u32 cmd, const void *arg)
{
	const struct kvbm_abi_call *call = kvbm_abi_find(cmd);
	int err;

	if (!call)
		return -ENOTTY;
	/* Both sides of this call were built from one header. */
	if (((const union kvbm_abi_arg *)arg)->size != call->size)
		return -EINVAL;
	err = kvbm_abi_check(call, arg);
	return err ? err : check_session(f, call->flags);
}

static int inproc_call(struct kvbm_conn *conn, uint32_t cmd, void *arg)
{
	struct inproc *f = to_inproc(conn);
	int err = check_call(f, cmd, arg);

	return err ? err : dispatch(f, cmd, arg);
}

/* Takes over the reference on @ns. */
static int open_in(struct kvbm_ns *ns, struct kvbm_conn **out)
{
	struct inproc *f = ns ? calloc(1, sizeof(*f)) : NULL;

	if (!f) {
		if (ns)
			kvbm_ns_put(ns);
		return -ENOMEM;
	}
	f->conn.backend = &inproc_backend;
	f->ns = ns;
	*out = &f->conn;
	return 0;
}

int kvbm_inproc_open(struct kvbm_conn **out)
{
	return open_in(kvbm_ns_alloc(), out);
}

static int inproc_reopen(struct kvbm_conn *conn, struct kvbm_conn **out)
{
	return open_in(kvbm_ns_get(to_inproc(conn)->ns), out);
}

static int inproc_open_session(struct kvbm_conn *conn, uint32_t flags,
			       struct kvbm_conn **out)
{
	struct kvbm_session_open a = { .size = sizeof(a), .flags = flags };
	const u32 rights = KVBM_BIND_READ | KVBM_BIND_WRITE;
	struct inproc *f = to_inproc(conn);
	int err;

	err = check_call(f, KVBM_SESSION_OPEN, &a);
	if (err)
		return err;
	err = kvbm_holder_check(&f->holder);
	if (err)
		return err;
	if (flags & rights & ~f->rights)
		return -EACCES;
	err = inproc_reopen(conn, out);
	if (err)
		return err;
	kvbm_ns_bind_again(f->ns, f->manager);
	begin_session(to_inproc(*out), f->manager, flags);
	return 0;
}

static int inproc_open_events(struct kvbm_conn *conn, uint64_t registry,
			      struct kvbm_events **out)
{
	return kvbm_ns_events_open(to_inproc(conn)->ns, registry, out);
}

static void end_session(struct inproc *f)
{
	u64 begin = kvbm_ns_clock(), end;
	struct kvbm_reclaim reclaim;

	kvbm_holder_release_all(&f->holder, true, &reclaim);
	end = kvbm_ns_clock();
	kvbm_store_note_reclaim(f->manager->store, &reclaim, end - begin, end);
	kvbm_ns_delist(f->ns, f->manager, &f->listed);
	kvbm_holder_destroy(&f->holder);
	kvbm_ns_unbind(f->ns, f->manager);
}

static void inproc_close(struct kvbm_conn *conn)
{
	struct inproc *f = to_inproc(conn);

	if (f->manager)
		end_session(f);
	kvbm_ns_put(f->ns);
	free(f);
}

/*
 * The child's copy of the namespace is as some thread of the parent may have
 * left it, half changed and locked: it is not looked at, and not freed.
 */
static void inproc_abandon(struct kvbm_conn *conn)
{
	free(to_inproc(conn));
}

/**
 * struct inproc_pin - a pin
 * @pin: first
 * @ns: referenced
 * @manager: referenced, and counted there
 * @blocks: what is pinned
 */
struct inproc_pin {
	struct kvbm_pin pin;
	struct kvbm_ns *ns;
	struct kvbm_ns_manager *manager;
	struct kvbm_pinned blocks;
};

static int pin_query(struct kvbm_pin *pin, struct kvbm_pin_query *a)
{
	const struct inproc_pin *p = (const struct inproc_pin *)pin;
	u32 ignored;

	a->out_total = p->blocks.count;
	a->out_count = 0;
	if (a->start < a->out_total)
		a->out_count = min(a->count, a->out_total - a->start);
	a->out_manager = p->manager->id;
	a->out_flags = p->blocks.write ? KVBM_PIN_WRITE : 0;
	a->out_alive = kvbm_store_poll(p->manager->store, &ignored);
	if (kvbm_user_bad(a->blocks, a->count))
		return -EFAULT;
	if (a->out_count)
		memcpy(kvbm_user(a->blocks), p->blocks.blocks + a->start,
		       a->out_count * sizeof(*p->blocks.blocks));
	return 0;
}

static void pin_close(struct kvbm_pin *pin)
{
	struct inproc_pin *p = (struct inproc_pin *)pin;

	kvbm_pinned_release(&p->blocks);
	kvbm_ns_remove_pin(p->ns, p->manager);
	kvbm_ns_put(p->ns);
	free(p);
}

/* As for connections: what the parent may have left half changed stays so. */
static void pin_abandon(struct kvbm_pin *pin)
{
	free(pin);
}

static int inproc_pin(struct kvbm_conn *conn, struct kvbm_pin_create *a,
		      struct kvbm_pin **out)
{
	u32 right = a->flags & KVBM_PIN_WRITE ? KVBM_BIND_WRITE : KVBM_BIND_READ;
	struct inproc *f = to_inproc(conn);
	struct inproc_pin *p;
	int err;

	err = check_call(f, KVBM_PIN, a);
	if (err)
		return err;
	if (!(f->rights & right))
		return -EACCES;
	if (kvbm_user_bad(a->tokens, a->count))
		return -EFAULT;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	err = kvbm_holder_pin(&f->holder, kvbm_user(a->tokens), a->count,
			      a->flags & KVBM_PIN_WRITE, &p->blocks,
			      &a->out_failed);
	if (err) {
		free(p);
		return err;
	}
	p->pin = (struct kvbm_pin){
		.query = pin_query,
		.close = pin_close,
		.abandon = pin_abandon,
		.fd = -1,
	};
	p->ns = kvbm_ns_get(f->ns);
	p->manager = f->manager;
	kvbm_ns_add_pin(f->ns, f->manager);
	*out = &p->pin;
	return 0;
}

static int inproc_fd(const struct kvbm_conn *conn)
{
	(void)conn;
	return -1;
}

static struct kvbm_ns *inproc_ns(struct kvbm_conn *conn)
{
	return to_inproc(conn)->ns;
}

static const struct kvbm_backend inproc_backend = {
	.call = inproc_call,
	.reopen = inproc_reopen,
	.open_session = inproc_open_session,
	.open_events = inproc_open_events,
	.close = inproc_close,
	.abandon = inproc_abandon,
	.fd = inproc_fd,
	.ns = inproc_ns,
	.pin = inproc_pin,
};
