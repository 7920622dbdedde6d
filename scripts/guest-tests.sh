#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Run the selftests inside the guest: every program that /selftests/list names,
# or those given. BusyBox only.

cd /selftests || exit 1
# shellcheck disable=SC2046	# one name per word
[ $# -gt 0 ] || set -- $(cat list)

limit=${KVBM_TEST_TIMEOUT:-300}
failed=0
for t; do
	echo "# group: $t"
	start=$(cut -d . -f 1 /proc/uptime)
	timeout -s KILL "$limit" "./$t" </dev/null
	status=$?
	# 4 is kselftest's word for "skipped".
	case $status in 0 | 4) ;; *) failed=1 ;; esac
	now=$(cut -d . -f 1 /proc/uptime)
	echo "# group-end: $status $((now - start))"
	# The log of the kernel says which test a message belongs to.
	echo "kvbm-selftest: $t: status $status" >/dev/kmsg
done
exit $failed
