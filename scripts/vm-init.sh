#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# PID 1 of the test guest (see vm.sh). The command has the second serial port
# to itself; everything said here goes to the kernel log on the first, as lines
# "kvbm-vm: key=value" that vm.sh reads.

export PATH=/bin HOME=/root
conf=/etc/kvbm-vm

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/null >/dev/console 2>&1
say() { echo "<5>kvbm-vm: $*" >/dev/kmsg; }
say "up=yes"

mkdir -p /dev/pts /dev/shm
# Not every kernel has all of these; a test that needs one notices.
mount -t devpts devpts /dev/pts 2>/dev/null
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mkdir -p /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
ln -sf /proc/self/fd /dev/fd
hostname kvbm-vm
ip link set lo up 2>/dev/null
echo 0 >/proc/sys/kernel/hung_task_panic 2>/dev/null

# Raw: what the command writes is what the host gets.
exec 3<>/dev/ttyS1
stty raw -echo 115200 <&3
read -r rows cols <$conf/size
stty rows "$rows" cols "$cols" <&3

# Shortly before the host gives up, say where everything is stuck.
limit=$(cat $conf/limit)
if [ "$limit" -gt 20 ]; then
	(
		sleep $((limit - 15))
		for p in /proc/[0-9]*; do
			# Kernel threads have no command line.
			args=$(tr '\0' ' ' <"$p/cmdline" 2>/dev/null)
			[ -n "$args" ] || continue
			say "stuck: ${p#/proc/}: $args"
			while read -r line; do say "    $line"; done <"$p/stack"
		done
	) &
	watchdog=$!
fi

ok=1
loaded=
while read -r file params; do
	# shellcheck disable=SC2086	# parameters are words
	if insmod "/modules/$file" $params; then
		loaded="${file%.ko} $loaded"
	else
		say "failed=insmod $file"
		ok=0
		break
	fi
done <$conf/modules

# What udev would do with the rules that came along. There is no udev here, and
# it is the rule that is to be tested: its words are taken from it.
rule_value() { echo "$rule" | sed -n "s/.*[, ]$1=\"\([^\"]*\)\".*/\1/p"; }
apply_rules() {
	while read -r rule; do
		node=$(echo "$rule" | sed -n 's/^KERNEL=="\([^"]*\)".*/\1/p')
		if [ -z "$node" ] || [ ! -e "/dev/$node" ]; then
			continue
		fi
		owner=:$(rule_value GROUP) mode=$(rule_value MODE)
		if ! chown "$owner" "/dev/$node" || ! chmod "$mode" "/dev/$node"; then
			say "failed=udev rule $rule"
			ok=0
		fi
	done <"$1"
}
for rules in /lib/udev/rules.d/*.rules; do
	[ ! -e "$rules" ] || apply_rules "$rules"
done

if [ $ok = 1 ]; then
	(
		set -a
		# shellcheck source=/dev/null
		. $conf/env
		set +a
		cd /root || exit
		exec /bin/sh $conf/command </dev/null >&3 2>&3 3>&-
	)
	say "exit=$?"
fi
# Only then may the console's last word follow the command's.
stty -F /dev/ttyS1 >/dev/null 2>&1
[ -z "$watchdog" ] || kill "$watchdog"

if [ -e /proc/lockdep_stats ]; then
	say "lockdep_classes=$(awk '/lock-classes:/ { print $2 }' /proc/lockdep_stats)"
fi

for m in $loaded; do
	# Addresses in a leak report have no names once the module is gone.
	say "module: $(grep "^$m " /proc/modules)"
	# A process that was killed a moment ago may still be closing its files.
	tries=0
	until err=$(rmmod "$m" 2>&1); do
		tries=$((tries + 1))
		if [ $tries -ge 25 ]; then
			say "failed=rmmod $m: $err"
			break
		fi
		sleep 0.2
	done
done

# Only if the run is not red already; the scans take a while.
taint=$(cat /proc/sys/kernel/tainted)
leak=/sys/kernel/debug/kmemleak
if [ -e $leak ] && [ $((taint & (32 | 128 | 512 | 16384))) = 0 ]; then
	# Objects younger than 5 s are not reported, and one scan may take a
	# value on a stack for a reference: hence the wait and the second scan.
	sleep 6
	if echo scan >$leak && sleep 1 && echo scan >$leak; then
		n=$(grep -c '^unreferenced object' $leak)
		head -n 100 $leak | while read -r line; do
			say "kmemleak| $line"
		done
		say "leaks=$n"
	else
		say "failed=kmemleak is not running, leaks would go unnoticed"
	fi
fi
if [ -e /proc/lockdep_stats ]; then
	say "debug_locks=$(awk '/debug_locks:/ { print $2 }' /proc/lockdep_stats)"
fi
say "taint=$(cat /proc/sys/kernel/tainted)"
say "end=yes"
poweroff -f
