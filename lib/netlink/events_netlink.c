// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Events by generic netlink, for who administers the machine. A library of its
 * own: libkvbm itself needs no libnl.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <netlink/errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

#include <linux/kvbm_netlink.h>

#include <kvbm/events_netlink.h>

/* Larger than any message. */
#define MESSAGE_BYTES	(64 << 10)
/* What may wait in the socket; the kernel takes it from who is CAP_NET_ADMIN. */
#define SOCKET_BYTES	(8 << 20)

/**
 * struct source - a stream by netlink
 * @listener: in the group; not blocking
 * @control: asked for the events, and keeps them coming
 * @asker: of the dump that is going on, or NULL
 * @family: number of the family
 * @registry: id
 * @buf: where records go
 * @size: room there
 * @have: bytes used of that
 * @first: of the last part of a dump
 * @last: same
 * @overrun: the listener had no room, and was not empty since
 */
struct source {
	struct nl_sock *listener;
	struct nl_sock *control;
	struct nl_sock *asker;
	int family;
	uint64_t registry;
	char *buf;
	size_t size;
	size_t have;
	uint64_t first;
	uint64_t last;
	bool overrun;
};

/* What libnl says, as libkvbm says it. */
static int error_of(int err)
{
	switch (err) {
	case -NLE_AGAIN:
		return -EAGAIN;
	case -NLE_INTR:
		return -EINTR;
	case -NLE_NOMEM:
		return -ENOMEM;
	case -NLE_PERM:
	case -NLE_NOACCESS:
		return -EPERM;
	case -NLE_OBJ_NOTFOUND:
		return -ENOENT;
	case -NLE_OPNOTSUPP:
		return -EOPNOTSUPP;
	default:
		return -EIO;
	}
}

static uint64_t u64_of(struct nlattr **attrs, int type)
{
	return attrs[type] && nla_len(attrs[type]) == sizeof(uint64_t) ?
	       nla_get_u64(attrs[type]) : 0;
}

/* A message with records, of the group or of a dump: 0, or -ENOBUFS. */
static int take_records(struct source *s, struct nlmsghdr *h)
{
	struct nlattr *attrs[KVBM_NL_A_MAX + 1], *records;
	size_t len;

	if (genlmsg_parse(h, 0, attrs, KVBM_NL_A_MAX, NULL) ||
	    u64_of(attrs, KVBM_NL_A_REGISTRY) != s->registry)
		return 0;
	s->first = u64_of(attrs, KVBM_NL_A_FIRST);
	s->last = u64_of(attrs, KVBM_NL_A_LAST);
	records = attrs[KVBM_NL_A_RECORDS];
	len = records ? nla_len(records) : 0;
	if (len > s->size - s->have)
		return -ENOBUFS;
	if (len)
		memcpy(s->buf + s->have, nla_data(records), len);
	s->have += len;
	return 0;
}

static int take_events(struct nl_msg *msg, void *arg)
{
	return take_records(arg, nlmsg_hdr(msg)) ? -NLE_NOMEM : NL_OK;
}

static struct nl_sock *connect_socket(void)
{
	struct nl_sock *sock = nl_socket_alloc();

	if (!sock)
		return NULL;
	if (genl_connect(sock) || nl_socket_set_msg_buf_size(sock, MESSAGE_BYTES)) {
		nl_socket_free(sock);
		return NULL;
	}
	return sock;
}

static int request(struct nl_sock *sock, const struct source *s, int cmd, int flags)
{
	struct nl_msg *msg = nlmsg_alloc();
	int err = -NLE_NOMEM;

	if (msg && genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, s->family, 0, flags, cmd,
			       KVBM_FAMILY_VERSION) &&
	    !nla_put_u64(msg, KVBM_NL_A_REGISTRY, s->registry))
		err = nl_send_auto(sock, msg);
	nlmsg_free(msg);
	return err < 0 ? error_of(err) : 0;
}

/*
 * What a dump tells is older than what is read after it: not before it ends.
 *
 * The kernel tells of an overrun once, and then drops without a word all that comes
 * until the socket is empty. So the loss is told when it is: what is dumped after
 * that makes up for all of it.
 */
static ssize_t source_read(void *arg, void *buf, size_t size)
{
	struct source *s = arg;
	int err;

	if (s->asker)
		return -EAGAIN;
	s->buf = buf;
	s->size = size;
	s->have = 0;
	do {
		err = nl_recvmsgs_default(s->listener);
		if (err == -NLE_NOMEM)
			s->overrun = true;
	} while (!s->have && (err >= 0 || err == -NLE_NOMEM));
	if (s->have)
		return s->have;
	if (err == -NLE_AGAIN && s->overrun) {
		s->overrun = false;
		return -ENOBUFS;
	}
	return error_of(err);
}

static void end_dump(struct source *s)
{
	nl_socket_free(s->asker);
	s->asker = NULL;
}

static int begin_dump(struct source *s)
{
	int err;

	if (s->asker)
		end_dump(s);
	s->asker = connect_socket();
	if (!s->asker)
		return -ENOMEM;
	err = request(s->asker, s, KVBM_NL_CMD_CONTENT_GET, NLM_F_DUMP);
	if (err)
		end_dump(s);
	return err;
}

/* The end of a dump, or its refusal, as messages say it. */
static int error_in(struct nlmsghdr *h)
{
	int err = 0;

	if (nlmsg_datalen(h) >= (int)sizeof(err))
		memcpy(&err, nlmsg_data(h), sizeof(err));
	return err;
}

/*
 * One datagram of a dump, not all of it as libnl would, which also takes an end with
 * an error for an end. 1 when there is more to come, 0 after the last one, or -errno.
 */
static int receive_part(struct source *s)
{
	struct sockaddr_nl from;
	unsigned char *buf = NULL;
	struct nlmsghdr *h;
	int len, ret = 1;

	len = nl_recv(s->asker, &from, &buf, NULL);
	if (len <= 0)
		return len ? error_of(len) : -EIO;
	for (h = (void *)buf; ret == 1 && nlmsg_ok(h, len); h = nlmsg_next(h, &len)) {
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			ret = error_in(h);
		else if (h->nlmsg_type == s->family && take_records(s, h))
			ret = -EPROTO;
	}
	free(buf);
	return ret;
}

/* The kernel knows where it is; that it goes on is all that @dump tells. */
static int source_dump(void *arg, struct kvbm_events_dump *dump)
{
	struct source *s = arg;
	int ret;

	if (!dump->manager) {
		ret = begin_dump(s);
		if (ret)
			return ret;
	} else if (!s->asker) {
		return -EINVAL;
	}
	s->buf = (char *)(uintptr_t)dump->records;
	s->size = dump->bytes;
	s->have = 0;
	ret = receive_part(s);
	if (ret <= 0)
		end_dump(s);
	if (ret < 0)
		return ret;
	dump->out_bytes = s->have;
	dump->out_first = s->first;
	dump->out_last = s->last;
	dump->manager = ret;
	dump->block = 0;
	return 0;
}

static int source_fd(void *arg)
{
	return nl_socket_get_fd(((struct source *)arg)->listener);
}

static void source_close(void *arg)
{
	struct source *s = arg;

	/* NULL is allowed. */
	nl_socket_free(s->asker);
	nl_socket_free(s->control);
	nl_socket_free(s->listener);
	free(s);
}

static const struct kvbm_event_source netlink_source = {
	.read = source_read,
	.dump = source_dump,
	.fd = source_fd,
	.close = source_close,
};

static int join(struct source *s)
{
	int group, err;

	group = genl_ctrl_resolve_grp(s->control, KVBM_FAMILY_NAME,
				      KVBM_MCGRP_EVENTS);
	if (group < 0)
		return error_of(group);
	nl_socket_disable_seq_check(s->listener);
	nl_socket_modify_cb(s->listener, NL_CB_VALID, NL_CB_CUSTOM, take_events, s);
	/* As much as may be had: what does not fit is lost. */
	nl_socket_set_buffer_size(s->listener, SOCKET_BYTES, 0);
	err = nl_socket_add_membership(s->listener, group);
	if (!err)
		err = nl_socket_set_nonblocking(s->listener);
	return err ? error_of(err) : 0;
}

static int take_first(struct nl_msg *msg, void *arg)
{
	struct nlattr *attrs[KVBM_NL_A_MAX + 1];
	struct source *s = arg;

	if (!genlmsg_parse(nlmsg_hdr(msg), 0, attrs, KVBM_NL_A_MAX, NULL))
		s->first = u64_of(attrs, KVBM_NL_A_FIRST);
	return NL_OK;
}

/* Ask for the events, and wait for the answer, which has the first number. */
static int start(struct source *s)
{
	int err;

	nl_socket_modify_cb(s->control, NL_CB_VALID, NL_CB_CUSTOM, take_first, s);
	err = request(s->control, s, KVBM_NL_CMD_EVENTS_START, NLM_F_ACK);
	if (err)
		return err;
	/* The answer, and the acknowledgment. */
	err = nl_recvmsgs_default(s->control);
	if (!err)
		err = nl_wait_for_ack(s->control);
	return err < 0 ? error_of(err) : 0;
}

int kvbm_events_open_netlink(uint64_t registry, struct kvbm_events **out)
{
	struct source *s = calloc(1, sizeof(*s));
	int err = -ENOMEM;

	if (!s)
		return -ENOMEM;
	s->registry = registry;
	s->listener = connect_socket();
	s->control = connect_socket();
	if (!s->listener || !s->control)
		goto err_close;
	s->family = genl_ctrl_resolve(s->control, KVBM_FAMILY_NAME);
	err = s->family < 0 ? error_of(s->family) : 0;
	/* Join first: nothing is sent before the kernel is asked to. */
	if (!err)
		err = join(s);
	if (!err)
		err = start(s);
	if (!err)
		err = kvbm_events_from_source(&netlink_source, s, s->first, out);
	if (err)
		goto err_close;
	return 0;

err_close:
	source_close(s);
	return err;
}
