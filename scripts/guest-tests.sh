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
cpu1=/sys/devices/system/cpu/cpu1/online
if [ -n "${KVBM_HOTPLUG-}" ]; then
	(
		n=0
		while echo 0 >$cpu1 && echo 1 >$cpu1; do
			n=$((n + 1))
			echo $n >/tmp/hotplugged
			sleep 0.3
		done
	) &
	hotplug=$!
fi
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
if [ -n "${KVBM_HOTPLUG-}" ]; then
	echo "# group: hotplug"
	echo "1..1"
	n=$(cat /tmp/hotplugged)
	if kill "$hotplug" 2>/dev/null && [ "${n:-0}" -gt 3 ]; then
		echo "ok 1 a processor went and came $n times meanwhile"
	else
		echo "not ok 1 a processor went and came only ${n:-0} times"
		failed=1
	fi
	wait "$hotplug"
	echo 1 >$cpu1 2>/dev/null
	echo "# group-end: 0 0"
fi

# For scripts/coverage.py: which lines ran, as files that cannot be copied but
# by reading them.
if [ "${KVBM_AFTER-}" = gcov ]; then
	mkdir -p /tmp/gcov
	(cd /sys/kernel/debug/gcov && find . -name '*.gcda') |
	while read -r file; do
		mkdir -p "/tmp/gcov/${file%/*}"
		cat "/sys/kernel/debug/gcov/$file" >"/tmp/gcov/$file"
	done
	echo "# gcov-data"
	tar -C /tmp/gcov -c . | gzip | base64
	echo "# gcov-end"
fi
exit $failed
