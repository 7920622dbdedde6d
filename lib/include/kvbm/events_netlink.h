/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * libkvbm-netlink: the events of a registry by generic netlink. A library of its
 * own (-lkvbm-netlink -lkvbm), so that libkvbm does not need libnl.
 */
#ifndef KVBM_EVENTS_NETLINK_H
#define KVBM_EVENTS_NETLINK_H

#include <kvbm/events.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/**
 * kvbm_events_open_netlink - listen to a registry, as CAP_NET_ADMIN
 * @registry: its id
 * @out: the stream
 *
 * For who has CAP_NET_ADMIN in the initial namespaces and no rights on the
 * registry. Otherwise the event file loses less: kvbm_events_open().
 *
 * Errors: -EPERM; -ENOENT: no such registry, or no such family: the module is not
 * loaded, or this is not the initial network namespace.
 */
int kvbm_events_open_netlink(uint64_t registry, struct kvbm_events **out);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KVBM_EVENTS_NETLINK_H */
