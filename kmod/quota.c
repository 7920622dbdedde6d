// SPDX-License-Identifier: GPL-2.0
/*
 * Who is charged for the blocks that a session or a pin holds: the session, the
 * user that bound it, and the cgroup of the process then, with all groups above it.
 *
 * A payer is an account of the engine with a name. It exists for as long as a
 * session or pin is charged to it, a payer below it exists, or it has a limit of
 * its own.
 */
#include <linux/cgroup.h>
#include <linux/slab.h>

#include "private.h"

/**
 * struct kvbm_payer - a session, a user or a group
 * @account: what it holds; its limit is @limit, or that of all of its kind
 * @limit: of its own; under the lock of the store
 * @limited: it has one; under kvbm_objects_lock
 * @kind: KVBM_QUOTA_*; immutable
 * @linked: its parent is there, if it has one; under kvbm_objects_lock
 * @id: uid in the initial user namespace, or id of the cgroup; immutable
 * @users: sessions, pins, payers below, and @limited; under kvbm_objects_lock
 * @in_quotas: in the list, but for sessions; under kvbm_objects_lock
 */
struct kvbm_payer {
	struct kvbm_account account;
	u64 limit;
	bool limited;
	bool linked;
	u32 kind;
	u64 id;
	unsigned long users;
	struct list_head in_quotas;
};

static struct kvbm_payer *to_payer(struct kvbm_account *account)
{
	return container_of(account, struct kvbm_payer, account);
}

/**
 * kvbm_quotas_init - there are no quotas
 * @quotas: of a new manager
 *
 * Context: any.
 */
void kvbm_quotas_init(struct kvbm_quotas *quotas)
{
	quotas->session_limit = KVBM_NO_LIMIT;
	quotas->uid_limit = KVBM_NO_LIMIT;
	quotas->nr_limited = 0;
	INIT_LIST_HEAD(&quotas->payers);
}

static void payer_put(struct kvbm_account *account)
{
	struct kvbm_payer *p;

	while (account) {
		p = to_payer(account);
		if (--p->users)
			return;
		account = p->account.parent;
		list_del(&p->in_quotas);
		kfree(p);
	}
}

/**
 * kvbm_quotas_free - a manager goes
 * @quotas: those that are left have a limit, and nobody is charged
 *
 * Context: may sleep.
 */
void kvbm_quotas_free(struct kvbm_quotas *quotas)
{
	struct kvbm_payer *p, *next;

	list_for_each_entry_safe(p, next, &quotas->payers, in_quotas) {
		list_del(&p->in_quotas);
		kfree(p);
	}
}

static struct kvbm_payer *find(struct kvbm_quotas *quotas, u32 kind, u64 id)
{
	struct kvbm_payer *p;

	lockdep_assert_held(&kvbm_objects_lock);
	list_for_each_entry(p, &quotas->payers, in_quotas)
		if (p->kind == kind && p->id == id)
			return p;
	return NULL;
}

/* A new one, with one user. */
static struct kvbm_payer *payer_alloc(struct kvbm_quotas *quotas, u32 kind, u64 id)
{
	struct kvbm_payer *p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);

	lockdep_assert_held(&kvbm_objects_lock);
	if (!p)
		return NULL;
	p->kind = kind;
	p->id = id;
	p->limit = KVBM_NO_LIMIT;
	p->account.limit = &p->limit;
	p->users = 1;
	INIT_LIST_HEAD(&p->in_quotas);
	if (kind == KVBM_QUOTA_SESSION) {
		p->account.limit = &quotas->session_limit;
		return p;
	}
	if (kind == KVBM_QUOTA_UID)
		p->account.limit = &quotas->uid_limit;
	list_add(&p->in_quotas, &quotas->payers);
	return p;
}

static struct kvbm_payer *payer_get(struct kvbm_quotas *quotas, u32 kind, u64 id)
{
	struct kvbm_payer *p = find(quotas, kind, id);

	if (!p)
		return payer_alloc(quotas, kind, id);
	p->users++;
	return p;
}

#ifdef CONFIG_CGROUPS
/* The group of the caller, referenced. */
static struct cgroup *current_group(void)
{
	struct cgroup *group;

	rcu_read_lock();
	do {
		group = task_dfl_cgroup(current);
	} while (!cgroup_tryget(group));
	rcu_read_unlock();
	return group;
}

/* One user less for each of a chain that was not completed. */
static void group_undo(struct kvbm_payer *p)
{
	struct kvbm_account *above;

	for (; p; p = above ? to_payer(above) : NULL) {
		above = p->account.parent;
		p->account.parent = NULL;
		payer_put(&p->account);
	}
}

/*
 * The payer that a group is, with those of all groups above it. One that exists
 * has them already, unless it is there for its limit only.
 */
static struct kvbm_payer *group_get(struct kvbm_quotas *quotas, struct cgroup *group)
{
	struct kvbm_payer *first = NULL, *below = NULL, *p;

	for (; group; group = cgroup_parent(group)) {
		p = payer_get(quotas, KVBM_QUOTA_CGROUP, cgroup_id(group));
		if (!p) {
			group_undo(first);
			return NULL;
		}
		if (below)
			below->account.parent = &p->account;
		else
			first = p;
		if (p->linked)
			break;
		below = p;
	}
	for (p = first; !p->linked; p = to_payer(p->account.parent)) {
		p->linked = true;
		if (!p->account.parent)
			break;
	}
	return first;
}

static int join_group(struct kvbm_quotas *quotas, struct kvbm_accounts *accounts)
{
	struct cgroup *group = current_group();
	struct kvbm_payer *p = group_get(quotas, group);

	cgroup_put(group);
	if (p)
		accounts->of[KVBM_QUOTA_CGROUP] = &p->account;
	return p ? 0 : -ENOMEM;
}
#else
static int join_group(struct kvbm_quotas *quotas, struct kvbm_accounts *accounts)
{
	return 0;
}
#endif

static void put_all(const struct kvbm_accounts *accounts)
{
	u32 i;

	lockdep_assert_held(&kvbm_objects_lock);
	for (i = 0; i < KVBM_NR_ACCOUNTS; i++)
		payer_put(accounts->of[i]);
}

/* The accounts of the caller, and one for its new session. */
static int join(struct kvbm_quotas *quotas, struct kvbm_accounts *accounts)
{
	struct kvbm_payer *p;

	lockdep_assert_held(&kvbm_objects_lock);
	p = payer_alloc(quotas, KVBM_QUOTA_SESSION, 0);
	if (!p)
		return -ENOMEM;
	accounts->of[KVBM_QUOTA_SESSION] = &p->account;
	p = payer_get(quotas, KVBM_QUOTA_UID, __kuid_val(current_fsuid()));
	if (!p)
		return -ENOMEM;
	accounts->of[KVBM_QUOTA_UID] = &p->account;
	return join_group(quotas, accounts);
}

/**
 * kvbm_quota_join - a session begins
 * @file: its file; the holder is initialised, and nobody else knows it
 * @manager: of the session
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int kvbm_quota_join(struct kvbm_file *file, struct kvbm_manager *manager)
{
	struct kvbm_accounts *accounts = &file->holder.accounts;
	int err;

	mutex_lock(&kvbm_objects_lock);
	err = join(&manager->quotas, accounts);
	if (err)
		put_all(accounts);
	mutex_unlock(&kvbm_objects_lock);
	return err;
}

/**
 * kvbm_quota_leave - a session is over
 * @file: its file; it holds nothing any more
 *
 * Context: may sleep.
 */
void kvbm_quota_leave(struct kvbm_file *file)
{
	mutex_lock(&kvbm_objects_lock);
	put_all(&file->holder.accounts);
	mutex_unlock(&kvbm_objects_lock);
}

/* The accounts of a session, for a pin of it. Context: may sleep. */
void kvbm_quota_get(const struct kvbm_accounts *accounts)
{
	u32 i;

	mutex_lock(&kvbm_objects_lock);
	for (i = 0; i < KVBM_NR_ACCOUNTS; i++)
		if (accounts->of[i])
			to_payer(accounts->of[i])->users++;
	mutex_unlock(&kvbm_objects_lock);
}

void kvbm_quota_put(const struct kvbm_accounts *accounts)
{
	mutex_lock(&kvbm_objects_lock);
	put_all(accounts);
	mutex_unlock(&kvbm_objects_lock);
}

/* Which payer, if it is one, and which limit a call is about. */
static int resolve(const struct kvbm_quota *a, u64 *id)
{
	kuid_t uid;

	*id = a->id;
	if (a->kind == KVBM_QUOTA_CGROUP)
		return IS_ENABLED(CONFIG_CGROUPS) ? 0 : -EOPNOTSUPP;
	if (a->kind == KVBM_QUOTA_UID && a->id != KVBM_QUOTA_EACH &&
	    !(a->flags & KVBM_QUOTA_NEXT)) {
		uid = make_kuid(current_user_ns(), a->id);
		if (!uid_valid(uid))
			return -EINVAL;
		*id = __kuid_val(uid);
	}
	return 0;
}

/* The number of a payer as the caller knows it; KVBM_QUOTA_EACH: it does not. */
static u64 id_for_caller(const struct kvbm_payer *p)
{
	uid_t uid;

	if (p->kind != KVBM_QUOTA_UID)
		return p->id;
	uid = from_kuid(current_user_ns(), KUIDT_INIT(p->id));
	return uid == (uid_t)-1 ? KVBM_QUOTA_EACH : uid;
}

/* The payer of a kind with the lowest number from a->id on. */
static int find_next(const struct kvbm_quotas *quotas, struct kvbm_quota *a, u64 *id)
{
	const struct kvbm_payer *p;
	u64 number, lowest = KVBM_QUOTA_EACH;

	lockdep_assert_held(&kvbm_objects_lock);
	list_for_each_entry(p, &quotas->payers, in_quotas) {
		number = id_for_caller(p);
		if (p->kind != a->kind || number < a->id || number >= lowest)
			continue;
		lowest = number;
		*id = p->id;
	}
	if (lowest == KVBM_QUOTA_EACH)
		return -ENOENT;
	a->id = lowest;
	return 0;
}

static bool is_for_all(const struct kvbm_quota *a)
{
	return a->kind == KVBM_QUOTA_SESSION ||
	       (a->kind == KVBM_QUOTA_UID && a->id == KVBM_QUOTA_EACH);
}

/* Charge what is held already; from now on every call charges. */
static void begin_charging(struct kvbm_manager *m)
{
	struct kvbm_file *file;

	lockdep_assert_held(&kvbm_objects_lock);
	if (!kvbm_store_enable_quotas(m->store))
		return;
	list_for_each_entry(file, &m->bound, who.in_manager)
		kvbm_holder_recharge(&file->holder);
}

/* There may be any number of users; the list is walked under a global lock. */
static int begin_limit(struct kvbm_quotas *quotas, u32 kind, u64 id,
		       struct kvbm_payer **out)
{
	struct kvbm_payer *p;

	if (quotas->nr_limited == KVBM_MAX_QUOTAS)
		return -EDQUOT;
	p = payer_get(quotas, kind, id);
	if (!p)
		return -ENOMEM;
	p->limited = true;
	quotas->nr_limited++;
	*out = p;
	return 0;
}

static void end_limit(struct kvbm_quotas *quotas, struct kvbm_payer *p)
{
	p->limited = false;
	quotas->nr_limited--;
	payer_put(&p->account);
}

static int set_payer(struct kvbm_manager *m, u32 kind, u64 id, u64 blocks)
{
	struct kvbm_quotas *quotas = &m->quotas;
	struct kvbm_payer *p = find(quotas, kind, id);
	bool was_limited = p && p->limited;
	bool limited = blocks != KVBM_QUOTA_NONE;
	const u64 *limit;
	int err;

	if (!was_limited && !limited)
		return 0;
	if (!was_limited) {
		err = begin_limit(quotas, kind, id, &p);
		if (err)
			return err;
	}
	kvbm_store_set_limit(m->store, &p->limit, blocks);
	limit = kind == KVBM_QUOTA_UID && !limited ? &quotas->uid_limit : &p->limit;
	kvbm_store_use_limit(m->store, &p->account, limit);
	if (!limited)
		end_limit(quotas, p);
	return 0;
}

static int set_quota(struct kvbm_manager *m, const struct kvbm_quota *a, u64 id)
{
	struct kvbm_quotas *quotas = &m->quotas;
	int err = 0;

	lockdep_assert_held(&kvbm_objects_lock);
	if (a->kind == KVBM_QUOTA_SESSION)
		kvbm_store_set_limit(m->store, &quotas->session_limit, a->blocks);
	else if (is_for_all(a))
		kvbm_store_set_limit(m->store, &quotas->uid_limit, a->blocks);
	else
		err = set_payer(m, a->kind, id, a->blocks);
	if (!err && a->blocks != KVBM_QUOTA_NONE)
		begin_charging(m);
	return err;
}

static void get_quota(struct kvbm_manager *m, struct kvbm_quota *a, u64 id)
{
	struct kvbm_quotas *quotas = &m->quotas;
	struct kvbm_payer *p;

	lockdep_assert_held(&kvbm_objects_lock);
	a->out_held = 0;
	if (is_for_all(a)) {
		a->blocks = a->kind == KVBM_QUOTA_UID ? quotas->uid_limit :
							quotas->session_limit;
		return;
	}
	p = find(quotas, a->kind, id);
	if (p)
		a->out_held = kvbm_store_account_held(m->store, &p->account);
	if (p && p->limited)
		a->blocks = p->limit;
	else
		a->blocks = a->kind == KVBM_QUOTA_UID ? quotas->uid_limit :
							KVBM_QUOTA_NONE;
}

/**
 * kvbm_quota - ioctl(KVBM_QUOTA)
 * @file: any
 * @call: the call
 *
 * Context: may sleep.
 * Return: 0 or -errno, see <linux/kvbm.h>.
 */
int kvbm_quota(struct kvbm_file *file, struct kvbm_call *call)
{
	struct kvbm_quota *a = &call->arg->quota;
	bool set = a->flags & KVBM_QUOTA_SET;
	struct kvbm_manager *m;
	u64 id;
	int err;

	err = resolve(a, &id);
	if (err)
		return err;
	err = kvbm_manager_get(file, a->manager, set, &m);
	if (err)
		return err;
	mutex_lock(&kvbm_objects_lock);
	if (set)
		err = set_quota(m, a, id);
	else if (a->flags & KVBM_QUOTA_NEXT)
		err = find_next(&m->quotas, a, &id);
	if (!err)
		get_quota(m, a, id);
	mutex_unlock(&kvbm_objects_lock);
	kvbm_manager_put(m);
	return err ?: kvbm_call_put(call);
}
