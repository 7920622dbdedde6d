// SPDX-License-Identifier: GPL-2.0
/*
 * The generic netlink family "kvbm", for whoever administers the machine: dumps of
 * registries, managers, counters and contents, and events by multicast.
 *
 * All of it takes CAP_NET_ADMIN in the initial user namespace, and the family is
 * there in the initial network namespace only: a multicast goes to all who are in
 * the group, so nobody may be in it who must not see the hashes of every tenant.
 *
 * Events are multicast from registries for which somebody asked, until that socket
 * is closed: others have no ring on our account.
 */
#include <linux/err.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/notifier.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>

#include <linux/kvbm_netlink.h>

#include "private.h"

/* Of records in one message: many, and few enough for a small allocation. */
#define RECORD_BYTES	7168
static_assert(RECORD_BYTES >= KVBM_EVENT_MAX_SIZE);
/* All that a message has beside its records. */
#define OTHER_BYTES	512
/* Jiffies from an event to its message: what comes meanwhile goes along. */
#define SEND_DELAY	1
/* Messages that a worker sends before others get their turn. */
#define SEND_BATCH	64
/* Sockets that listen, once for each registry. */
#define MAX_SUBSCRIBERS	1024

/**
 * struct kvbm_feed - the events of one registry on their way to the group
 * @in_feeds: in the list of all; under feeds_lock
 * @subscribers: who asked for it, at least one; under feeds_lock
 * @registry: referenced; immutable
 * @work: sends; all below is its own
 * @reader: its place in the ring
 * @unsent: records for which there was no memory
 * @sent: sequence of the next record to send; read by others, too
 * @buf: records of one message
 */
struct kvbm_feed {
	struct list_head in_feeds;
	struct list_head subscribers;
	struct kvbm_registry_object *registry;
	struct delayed_work work;
	struct kvbm_event_reader reader;
	u64 unsent;
	u64 sent;
	char buf[RECORD_BYTES];
};

/* One socket that asked for one feed; under feeds_lock. */
struct subscriber {
	struct list_head in_feed;
	u32 portid;
};

static DEFINE_MUTEX(feeds_lock);	/* feeds, and who subscribed to them */
static LIST_HEAD(feeds);
static unsigned int nr_subscribers;	/* written under feeds_lock */
static bool feeds_over;	/* the module goes: no new ones; under feeds_lock */
static struct workqueue_struct *feed_wq;

static struct genl_family kvbm_family;

/* What a dump remembers between two messages. */
struct dump {
	u64 registry;
	u64 next;
	u64 first;
	char *buf;
	u32 block;
	bool started;
	bool done;
};

static struct dump *dump_of(struct netlink_callback *cb)
{
	BUILD_BUG_ON(sizeof(struct dump) > sizeof(cb->ctx));
	return (struct dump *)cb->ctx;
}

static int put_u64(struct sk_buff *skb, int attr, u64 value)
{
	return nla_put_u64_64bit(skb, attr, value, KVBM_NL_A_PAD);
}

/* --- Events */

/* Records from @buf, of which the first has number @first. */
static int put_records(struct sk_buff *skb, u64 registry, const char *buf, u32 bytes,
		       u64 first, u64 last)
{
	if (put_u64(skb, KVBM_NL_A_REGISTRY, registry) ||
	    put_u64(skb, KVBM_NL_A_FIRST, first) ||
	    put_u64(skb, KVBM_NL_A_LAST, last) ||
	    nla_put(skb, KVBM_NL_A_RECORDS, bytes, buf))
		return -EMSGSIZE;
	return 0;
}

/* What could not be sent is lost to all who are in the group; they shall know. */
static void lose_records(struct kvbm_feed *feed)
{
	feed->unsent += feed->reader.next_sequence - feed->reader.sequence;
	genl_set_err(&kvbm_family, &init_net, 0, 0, -ENOBUFS);
}

static int send_records(struct kvbm_feed *feed, u32 bytes)
{
	const struct kvbm_event_reader *reader = &feed->reader;
	struct sk_buff *skb = genlmsg_new(bytes + OTHER_BYTES, GFP_KERNEL);
	void *header;

	if (!skb)
		return -ENOMEM;
	header = genlmsg_put(skb, 0, 0, &kvbm_family, 0, KVBM_NL_CMD_EVENTS);
	if (!header ||
	    put_records(skb, feed->registry->ident.id, feed->buf, bytes,
			reader->sequence, reader->next_sequence - 1) ||
	    put_u64(skb, KVBM_NL_A_DROPPED, reader->missed + feed->unsent)) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, header);
	/* A socket without room gets ENOBUFS; that is between it and its owner. */
	genlmsg_multicast(&kvbm_family, skb, 0, 0, GFP_KERNEL);
	return 0;
}

static void feed_work(struct work_struct *work)
{
	struct kvbm_feed *feed = container_of(to_delayed_work(work),
					      struct kvbm_feed, work);
	struct kvbm_event_ring *ring = kvbm_registry_events(feed->registry->engine);
	int i, bytes;

	for (i = 0; i < SEND_BATCH; i++) {
		bytes = kvbm_event_peek(ring, &feed->reader, feed->buf,
					sizeof(feed->buf));
		if (bytes <= 0)
			return;
		if (send_records(feed, bytes))
			lose_records(feed);
		kvbm_event_consume(&feed->reader);
		WRITE_ONCE(feed->sent, feed->reader.sequence);
		cond_resched();
	}
	queue_delayed_work(feed_wq, &feed->work, 0);
}

/**
 * kvbm_genl_notify - there are new events
 * @registry: whose
 *
 * Context: any but under a spinlock.
 */
void kvbm_genl_notify(struct kvbm_registry_object *registry)
{
	struct kvbm_feed *feed;

	rcu_read_lock();
	feed = rcu_dereference(registry->feed);
	/* A moment later, so that a message has more than one record. */
	if (feed)
		queue_delayed_work(feed_wq, &feed->work, SEND_DELAY);
	rcu_read_unlock();
}

/* The reference on @registry is the feed's from here. */
static struct kvbm_feed *feed_begin(struct kvbm_registry_object *registry)
{
	struct kvbm_feed *feed = kzalloc(sizeof(*feed), GFP_KERNEL_ACCOUNT);
	int err;

	lockdep_assert_held(&feeds_lock);
	if (!feed)
		return ERR_PTR(-ENOMEM);
	INIT_LIST_HEAD(&feed->subscribers);
	INIT_DELAYED_WORK(&feed->work, feed_work);
	feed->registry = registry;
	err = kvbm_events_listen(registry, &feed->reader);
	if (err) {
		kfree(feed);
		return ERR_PTR(err);
	}
	feed->sent = feed->reader.sequence;
	list_add_tail(&feed->in_feeds, &feeds);
	rcu_assign_pointer(registry->feed, feed);
	return feed;
}

static void feed_end(struct kvbm_feed *feed)
{
	lockdep_assert_held(&feeds_lock);
	list_del(&feed->in_feeds);
	RCU_INIT_POINTER(feed->registry->feed, NULL);
	/* Nobody queues it any more; it queues itself no longer, either. */
	synchronize_rcu();
	cancel_delayed_work_sync(&feed->work);
	kvbm_events_unlisten(feed->registry);
	kvbm_registry_put(feed->registry);
	kfree(feed);
}

/* Send what there is up to @last: it is in the sockets, or they know of the loss. */
static void feed_flush(struct kvbm_registry_object *registry, u64 last)
{
	struct kvbm_feed *feed;

	mutex_lock(&feeds_lock);
	feed = rcu_dereference_protected(registry->feed,
					 lockdep_is_held(&feeds_lock));
	while (feed && READ_ONCE(feed->sent) <= last) {
		mod_delayed_work(feed_wq, &feed->work, 0);
		flush_delayed_work(&feed->work);
	}
	mutex_unlock(&feeds_lock);
}

static struct subscriber *find_subscriber(struct kvbm_feed *feed, u32 portid)
{
	struct subscriber *s;

	lockdep_assert_held(&feeds_lock);
	list_for_each_entry(s, &feed->subscribers, in_feed)
		if (s->portid == portid)
			return s;
	return NULL;
}

/* The last one ends the feed. */
static void unsubscribe(struct kvbm_feed *feed, struct subscriber *s)
{
	lockdep_assert_held(&feeds_lock);
	list_del(&s->in_feed);
	kfree(s);
	WRITE_ONCE(nr_subscribers, nr_subscribers - 1);
	if (list_empty(&feed->subscribers))
		feed_end(feed);
}

static struct kvbm_registry_object *get_registry(u64 id)
{
	struct kvbm_registry_object *r;

	mutex_lock(&kvbm_objects_lock);
	r = id ? kvbm_registry_find(id, NULL) : NULL;
	if (r)
		kvbm_registry_get(r);
	mutex_unlock(&kvbm_objects_lock);
	return r;
}

/* A reference on @r comes along, and stays with a new feed only. */
static int subscribe(struct kvbm_registry_object *r, u32 portid, u64 *first)
{
	struct kvbm_feed *feed = rcu_dereference_protected(r->feed,
						lockdep_is_held(&feeds_lock));
	bool fresh = !feed;
	struct subscriber *s;
	int err = -EDQUOT;

	if (feeds_over) {
		err = -ESHUTDOWN;
		goto err_put;
	}
	if (feed && find_subscriber(feed, portid)) {
		err = -EEXIST;
		goto err_put;
	}
	if (nr_subscribers >= MAX_SUBSCRIBERS)
		goto err_put;
	s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
	if (!s) {
		err = -ENOMEM;
		goto err_put;
	}
	if (fresh)
		feed = feed_begin(r);
	if (IS_ERR(feed)) {
		err = PTR_ERR(feed);
		goto err_free;
	}
	s->portid = portid;
	list_add_tail(&s->in_feed, &feed->subscribers);
	WRITE_ONCE(nr_subscribers, nr_subscribers + 1);
	/* Later ones are sent from now on; the first of them may have been. */
	*first = fresh ? feed->reader.sequence :
			 kvbm_event_next(kvbm_registry_events(r->engine));
	if (!fresh)
		kvbm_registry_put(r);
	return 0;

err_free:
	kfree(s);
err_put:
	kvbm_registry_put(r);
	return err;
}

/* Also after the registry was destroyed. */
static int stop(u64 registry, u32 portid)
{
	struct kvbm_feed *feed;
	struct subscriber *s;
	int err = -ENOENT;

	mutex_lock(&feeds_lock);
	list_for_each_entry(feed, &feeds, in_feeds) {
		if (feed->registry->ident.id != registry)
			continue;
		s = find_subscriber(feed, portid);
		if (s) {
			unsubscribe(feed, s);
			err = 0;
		}
		break;
	}
	mutex_unlock(&feeds_lock);
	return err;
}

static int events_start(struct sk_buff *request, struct genl_info *info)
{
	struct kvbm_registry_object *r;
	struct sk_buff *skb;
	void *header;
	u64 id, first;
	int err;

	if (GENL_REQ_ATTR_CHECK(info, KVBM_NL_A_REGISTRY))
		return -EINVAL;
	id = nla_get_u64(info->attrs[KVBM_NL_A_REGISTRY]);
	skb = genlmsg_new(OTHER_BYTES, GFP_KERNEL);
	if (!skb)
		return -ENOMEM;
	header = genlmsg_put_reply(skb, info, &kvbm_family, 0,
				   KVBM_NL_CMD_EVENTS_START);
	err = -ENOENT;
	r = get_registry(id);
	if (!r)
		goto err_free;
	mutex_lock(&feeds_lock);
	err = subscribe(r, info->snd_portid, &first);
	mutex_unlock(&feeds_lock);
	if (err)
		goto err_free;
	/* There is room for these. */
	put_u64(skb, KVBM_NL_A_REGISTRY, id);
	put_u64(skb, KVBM_NL_A_FIRST, first);
	genlmsg_end(skb, header);
	err = genlmsg_reply(skb, info);
	/* Who cannot be told where it begins has not begun. */
	if (err)
		stop(id, info->snd_portid);
	return err;

err_free:
	nlmsg_free(skb);
	return err;
}

static int events_stop(struct sk_buff *request, struct genl_info *info)
{
	if (GENL_REQ_ATTR_CHECK(info, KVBM_NL_A_REGISTRY))
		return -EINVAL;
	return stop(nla_get_u64(info->attrs[KVBM_NL_A_REGISTRY]), info->snd_portid);
}

/* A socket was closed. */
static int socket_released(struct notifier_block *nb, unsigned long event, void *arg)
{
	const struct netlink_notify *n = arg;
	struct kvbm_feed *feed, *next;
	struct subscriber *s;

	if (event != NETLINK_URELEASE || n->protocol != NETLINK_GENERIC ||
	    !net_eq(n->net, &init_net))
		return NOTIFY_DONE;
	/* Sockets of others need not wait for us: ours was counted long ago. */
	if (!READ_ONCE(nr_subscribers))
		return NOTIFY_DONE;
	mutex_lock(&feeds_lock);
	list_for_each_entry_safe(feed, next, &feeds, in_feeds) {
		s = find_subscriber(feed, n->portid);
		if (s)
			unsubscribe(feed, s);
	}
	mutex_unlock(&feeds_lock);
	return NOTIFY_DONE;
}

static struct notifier_block socket_notifier = {
	.notifier_call = socket_released,
};

/* --- Dumps */

static const struct nla_policy policy[KVBM_NL_A_MAX + 1] = {
	[KVBM_NL_A_REGISTRY] = { .type = NLA_U64 },
};

static int objects_start(struct netlink_callback *cb)
{
	struct nlattr *attrs[KVBM_NL_A_MAX + 1];
	struct dump *dump = dump_of(cb);
	int err;

	err = genlmsg_parse(cb->nlh, &kvbm_family, attrs, KVBM_NL_A_MAX, policy,
			    cb->extack);
	if (err)
		return err;
	*dump = (struct dump){};
	if (attrs[KVBM_NL_A_REGISTRY])
		dump->registry = nla_get_u64(attrs[KVBM_NL_A_REGISTRY]);
	return 0;
}

static int put_registry(struct sk_buff *skb, struct kvbm_registry_object *r)
{
	struct kvbm_event_stats stats;
	u32 managers;

	mutex_lock(&kvbm_objects_lock);
	managers = r->nr_managers;
	mutex_unlock(&kvbm_objects_lock);
	kvbm_event_stats(kvbm_registry_events(r->engine), &stats);
	if (put_u64(skb, KVBM_NL_A_REGISTRY, r->ident.id) ||
	    nla_put_string(skb, KVBM_NL_A_NAME, r->ident.name) ||
	    nla_put_u32(skb, KVBM_NL_A_SCHEMA, r->schema) ||
	    nla_put_u32(skb, KVBM_NL_A_MODE, r->ident.mode) ||
	    nla_put_u32(skb, KVBM_NL_A_UID, from_kuid(&init_user_ns, r->ident.uid)) ||
	    nla_put_u32(skb, KVBM_NL_A_GID, from_kgid(&init_user_ns, r->ident.gid)) ||
	    nla_put_u32(skb, KVBM_NL_A_MANAGERS, managers) ||
	    put_u64(skb, KVBM_NL_A_CAPACITY, r->capacity) ||
	    put_u64(skb, KVBM_NL_A_BLOCKS, kvbm_registry_blocks(r->engine)) ||
	    put_u64(skb, KVBM_NL_A_ENTRIES, kvbm_registry_entries(r->engine)) ||
	    nla_put(skb, KVBM_NL_A_EVENT_STATS, sizeof(stats), &stats))
		return -EMSGSIZE;
	return 0;
}

static int put_manager(struct sk_buff *skb, struct kvbm_manager *m)
{
	const struct kvbm_store_config *config = kvbm_store_config(m->store);

	if (put_u64(skb, KVBM_NL_A_MANAGER, m->ident.id) ||
	    put_u64(skb, KVBM_NL_A_REGISTRY, m->registry->ident.id) ||
	    nla_put_string(skb, KVBM_NL_A_NAME, m->ident.name) ||
	    nla_put_u32(skb, KVBM_NL_A_TIER, m->tier) ||
	    nla_put_u32(skb, KVBM_NL_A_BLOCK_SIZE, config->block_size) ||
	    nla_put_u32(skb, KVBM_NL_A_BLOCK_COUNT, config->block_count) ||
	    nla_put_u32(skb, KVBM_NL_A_AUX_SIZE, config->aux_size) ||
	    nla_put_u32(skb, KVBM_NL_A_MODE, m->ident.mode) ||
	    nla_put_u32(skb, KVBM_NL_A_UID, from_kuid(&init_user_ns, m->ident.uid)) ||
	    nla_put_u32(skb, KVBM_NL_A_GID, from_kgid(&init_user_ns, m->ident.gid)) ||
	    nla_put_u32(skb, KVBM_NL_A_SESSIONS, READ_ONCE(m->sessions)))
		return -EMSGSIZE;
	return 0;
}

static int put_stats(struct sk_buff *skb, struct kvbm_manager *m)
{
	struct kvbm_counters counters;

	kvbm_store_counters(m->store, &counters);
	if (put_u64(skb, KVBM_NL_A_MANAGER, m->ident.id) ||
	    put_u64(skb, KVBM_NL_A_REGISTRY, m->registry->ident.id) ||
	    nla_put(skb, KVBM_NL_A_COUNTERS, sizeof(counters), &counters))
		return -EMSGSIZE;
	return 0;
}

static void *put_header(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd)
{
	return genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			   &kvbm_family, NLM_F_MULTI, cmd);
}

static int dump_registries(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct dump *dump = dump_of(cb);
	struct kvbm_registry_object *r;
	void *header;
	int err = 0;

	while ((r = kvbm_registry_next(dump->next))) {
		header = put_header(skb, cb, KVBM_NL_CMD_REGISTRY_GET);
		err = header ? put_registry(skb, r) : -EMSGSIZE;
		if (!err) {
			genlmsg_end(skb, header);
			dump->next = r->ident.id + 1;
		} else if (header) {
			genlmsg_cancel(skb, header);
		}
		kvbm_registry_put(r);
		if (err)
			break;
	}
	return skb->len ?: err;
}

static int dump_each_manager(struct sk_buff *skb, struct netlink_callback *cb, u8 cmd,
			     int (*put)(struct sk_buff *skb, struct kvbm_manager *m))
{
	struct dump *dump = dump_of(cb);
	struct kvbm_registry_object *r = NULL;
	struct kvbm_manager *m;
	void *header;
	int err = 0;

	if (dump->registry) {
		r = get_registry(dump->registry);
		if (!r)
			return -ENOENT;
	}
	while ((m = kvbm_manager_next(r, dump->next))) {
		header = put_header(skb, cb, cmd);
		err = header ? put(skb, m) : -EMSGSIZE;
		if (!err) {
			genlmsg_end(skb, header);
			dump->next = m->ident.id + 1;
		} else if (header) {
			genlmsg_cancel(skb, header);
		}
		kvbm_manager_put(m);
		if (err)
			break;
	}
	if (r)
		kvbm_registry_put(r);
	return skb->len ?: err;
}

static int dump_managers(struct sk_buff *skb, struct netlink_callback *cb)
{
	return dump_each_manager(skb, cb, KVBM_NL_CMD_MANAGER_GET, put_manager);
}

static int dump_stats(struct sk_buff *skb, struct netlink_callback *cb)
{
	return dump_each_manager(skb, cb, KVBM_NL_CMD_STATS_GET, put_stats);
}

static int content_start(struct netlink_callback *cb)
{
	struct dump *dump = dump_of(cb);
	int err;

	err = objects_start(cb);
	if (err)
		return err;
	if (!dump->registry) {
		NL_SET_ERR_MSG(cb->extack, "a registry is needed");
		return -EINVAL;
	}
	dump->buf = kmalloc(RECORD_BYTES, GFP_KERNEL_ACCOUNT);
	if (!dump->buf)
		return -ENOMEM;
	cb->min_dump_alloc = RECORD_BYTES + OTHER_BYTES;
	return 0;
}

static int content_done(struct netlink_callback *cb)
{
	kfree(dump_of(cb)->buf);
	return 0;
}

static int dump_content(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct dump *dump = dump_of(cb);
	struct kvbm_registry_object *r;
	struct kvbm_event_ring *ring;
	void *header;
	u32 bytes;
	u64 last;
	int err;

	if (dump->done)
		return 0;
	r = get_registry(dump->registry);
	if (!r)
		return -ENOENT;
	ring = kvbm_registry_events(r->engine);
	if (!dump->started)
		dump->first = kvbm_event_next(ring);
	dump->started = true;
	bytes = kvbm_events_content(r, &dump->next, &dump->block, dump->buf,
				    RECORD_BYTES);
	last = kvbm_event_next(ring) - 1;
	dump->done = !dump->next;
	/* Whoever listens has all that is to be replayed, and need not wait. */
	if (dump->done)
		feed_flush(r, last);
	kvbm_registry_put(r);

	header = put_header(skb, cb, KVBM_NL_CMD_CONTENT_GET);
	err = header ? put_records(skb, dump->registry, dump->buf, bytes,
				   dump->first, last) : -EMSGSIZE;
	if (err)
		return err;
	genlmsg_end(skb, header);
	return skb->len;
}

/* --- The family */

static const struct genl_ops ops[] = {
	{
		.cmd = KVBM_NL_CMD_REGISTRY_GET,
		.flags = GENL_ADMIN_PERM,
		.start = objects_start,
		.dumpit = dump_registries,
	},
	{
		.cmd = KVBM_NL_CMD_MANAGER_GET,
		.flags = GENL_ADMIN_PERM,
		.start = objects_start,
		.dumpit = dump_managers,
	},
	{
		.cmd = KVBM_NL_CMD_STATS_GET,
		.flags = GENL_ADMIN_PERM,
		.start = objects_start,
		.dumpit = dump_stats,
	},
	{
		.cmd = KVBM_NL_CMD_CONTENT_GET,
		.flags = GENL_ADMIN_PERM,
		.start = content_start,
		.dumpit = dump_content,
		.done = content_done,
	},
	{
		.cmd = KVBM_NL_CMD_EVENTS_START,
		.flags = GENL_ADMIN_PERM,
		.doit = events_start,
	},
	{
		.cmd = KVBM_NL_CMD_EVENTS_STOP,
		.flags = GENL_ADMIN_PERM,
		.doit = events_stop,
	},
};

static const struct genl_multicast_group groups[] = {
	{
		.name = KVBM_MCGRP_EVENTS,
		.flags = GENL_MCAST_CAP_NET_ADMIN,
	},
};

static struct genl_family kvbm_family __ro_after_init = {
	.name = KVBM_FAMILY_NAME,
	.version = KVBM_FAMILY_VERSION,
	.maxattr = KVBM_NL_A_MAX,
	.policy = policy,
	.module = THIS_MODULE,
	.parallel_ops = true,
	.ops = ops,
	.n_ops = ARRAY_SIZE(ops),
	.mcgrps = groups,
	.n_mcgrps = ARRAY_SIZE(groups),
};

int __init kvbm_genl_init(void)
{
	int err;

	feed_wq = alloc_workqueue("kvbm_feed", WQ_UNBOUND, 0);
	if (!feed_wq)
		return -ENOMEM;
	err = netlink_register_notifier(&socket_notifier);
	if (err)
		goto err_wq;
	err = genl_register_family(&kvbm_family);
	if (err)
		goto err_notifier;
	return 0;

err_notifier:
	netlink_unregister_notifier(&socket_notifier);
err_wq:
	destroy_workqueue(feed_wq);
	return err;
}

/* Sockets that listen do not keep the module. */
void kvbm_genl_exit(void)
{
	struct kvbm_feed *feed, *next;
	struct subscriber *s, *next_subscriber;

	/* As long as the number of the group is ours. */
	mutex_lock(&feeds_lock);
	feeds_over = true;
	list_for_each_entry_safe(feed, next, &feeds, in_feeds) {
		list_for_each_entry_safe(s, next_subscriber, &feed->subscribers,
					 in_feed) {
			list_del(&s->in_feed);
			kfree(s);
		}
		feed_end(feed);
	}
	mutex_unlock(&feeds_lock);
	genl_unregister_family(&kvbm_family);
	netlink_unregister_notifier(&socket_notifier);
	destroy_workqueue(feed_wq);
}
