/* SPDX-License-Identifier: GPL-2.0 OR MIT */
#ifndef EVENTD_NOTIFY_H
#define EVENTD_NOTIFY_H

/*
 * Tells the service manager, as sd_notify(3) does: "READY=1", "STOPPING=1". Without
 * one, or when it does not listen, nothing happens.
 */
void notify_manager(const char *state);

#endif
