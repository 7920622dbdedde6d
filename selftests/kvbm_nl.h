/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Generic netlink as bytes, so that tests can get them wrong: a request, and the
 * attributes of the answers.
 */
#ifndef KVBM_NL_H
#define KVBM_NL_H

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/genetlink.h>
#include <linux/kvbm_netlink.h>
#include <linux/netlink.h>

#define NL_BUFFER	(64 << 10)
/* Bytes to receive at a time, at most so many. */
static size_t nl_room = NL_BUFFER;

struct nl_message {
	struct nlmsghdr h;
	struct genlmsghdr g;
	char attrs[1024];
};

/* A socket with a receive buffer of @rcvbuf bytes, 0 for the default; -errno. */
static inline int nl_open(int rcvbuf)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);

	/* A multicast goes to bound sockets only. */
	if (fd < 0 || bind(fd, (void *)&address, sizeof(address)))
		return -errno;
	if (rcvbuf)
		/* Beyond net.core.rmem_max, too. */
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcvbuf, sizeof(rcvbuf));
	return fd;
}

static inline void nl_init(struct nl_message *m, int family, int cmd, int flags)
{
	static int sequence;

	memset(m, 0, sizeof(*m));
	m->h.nlmsg_len = sizeof(m->h) + sizeof(m->g);
	m->h.nlmsg_type = family;
	m->h.nlmsg_flags = NLM_F_REQUEST | flags;
	m->h.nlmsg_seq = ++sequence;
	m->g.cmd = cmd;
	m->g.version = 1;
}

static inline void nl_put(struct nl_message *m, int type, const void *data, int len)
{
	struct nlattr *a = (void *)((char *)m + NLMSG_ALIGN(m->h.nlmsg_len));

	a->nla_type = type;
	a->nla_len = NLA_HDRLEN + len;
	memcpy((char *)a + NLA_HDRLEN, data, len);
	m->h.nlmsg_len = NLMSG_ALIGN(m->h.nlmsg_len) + NLA_ALIGN(a->nla_len);
}

static inline int nl_send(int fd, const struct nl_message *m)
{
	return send(fd, m, m->h.nlmsg_len, 0) < 0 ? -errno : 0;
}

/* The payload of an attribute of a message, or NULL. */
static inline const void *nl_get(const struct nlmsghdr *h, int type, int *len)
{
	const char *at = (const char *)h + NLMSG_HDRLEN + GENL_HDRLEN;
	const char *end = (const char *)h + h->nlmsg_len;

	while (at + NLA_HDRLEN <= end) {
		const struct nlattr *a = (const void *)at;

		if (a->nla_len < NLA_HDRLEN)
			break;
		if ((a->nla_type & NLA_TYPE_MASK) == type) {
			if (len)
				*len = a->nla_len - NLA_HDRLEN;
			return at + NLA_HDRLEN;
		}
		at += NLA_ALIGN(a->nla_len);
	}
	return NULL;
}

static inline uint64_t nl_u64(const struct nlmsghdr *h, int type)
{
	const void *p = nl_get(h, type, NULL);
	uint64_t value = 0;

	if (p)
		memcpy(&value, p, sizeof(value));
	return value;
}

/*
 * Receive the answers to a request, and call @each for every message. 0, or what
 * the kernel answered.
 */
static inline int nl_answers(int fd, uint32_t sequence,
			     void (*each)(void *arg, const struct nlmsghdr *h),
			     void *arg)
{
	static char buf[NL_BUFFER] __attribute__((__aligned__(8)));
	struct nlmsghdr *h;
	int len, err;

	for (;;) {
		len = recv(fd, buf, nl_room, 0);
		if (len < 0)
			return -errno;
		for (h = (void *)buf; NLMSG_OK(h, (unsigned int)len);
		     h = NLMSG_NEXT(h, len)) {
			if (h->nlmsg_seq != sequence)
				continue;
			if (h->nlmsg_type == NLMSG_ERROR || h->nlmsg_type == NLMSG_DONE) {
				memcpy(&err, NLMSG_DATA(h), sizeof(err));
				return err;
			}
			if (each)
				each(arg, h);
		}
	}
}

static inline int nl_ask(int fd, const struct nl_message *m,
			 void (*each)(void *arg, const struct nlmsghdr *h), void *arg)
{
	int err = nl_send(fd, m);

	return err ? err : nl_answers(fd, m->h.nlmsg_seq, each, arg);
}

struct nl_family {
	int id;
	int group;
};

static inline void nl_family_each(void *arg, const struct nlmsghdr *h)
{
	const char *groups, *at, *end;
	struct nl_family *f = arg;
	const void *id;
	int len;

	id = nl_get(h, CTRL_ATTR_FAMILY_ID, NULL);
	if (id) {
		unsigned short value;

		memcpy(&value, id, sizeof(value));
		f->id = value;
	}
	groups = nl_get(h, CTRL_ATTR_MCAST_GROUPS, &len);
	if (!groups)
		return;
	/* There is one group: a nested id and name in a nested entry. */
	for (at = groups + NLA_HDRLEN, end = groups + len; at + NLA_HDRLEN <= end; ) {
		const struct nlattr *a = (const void *)at;

		if (a->nla_len < NLA_HDRLEN)
			break;
		if (a->nla_type == CTRL_ATTR_MCAST_GRP_ID)
			memcpy(&f->group, at + NLA_HDRLEN, sizeof(f->group));
		at += NLA_ALIGN(a->nla_len);
	}
}

/* What the family is called here: 0, or -ENOENT. */
static inline int nl_find(int fd, struct nl_family *f)
{
	struct nl_message m;

	memset(f, 0, sizeof(*f));
	nl_init(&m, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, NLM_F_ACK);
	nl_put(&m, CTRL_ATTR_FAMILY_NAME, KVBM_FAMILY_NAME,
	       sizeof(KVBM_FAMILY_NAME));
	return nl_ask(fd, &m, nl_family_each, f);
}

static inline int nl_join(int fd, int group)
{
	return setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group,
			  sizeof(group)) ? -errno : 0;
}

#endif /* KVBM_NL_H */
