#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The module is loaded and unloaded, again and again, out of the middle of work:
# while somebody has anything of it open it stays, once all are killed it goes.
# BusyBox is enough.

dev=/dev/kvbm
rounds=$((3 * ${KVBM_LONG:-1}))

skip_all() {
	echo "1..0 # SKIP $*"
	exit 4
}

echo "TAP version 13"
cd "$(dirname "$0")" || exit 1
[ "$(id -u)" = 0 ] || skip_all "needs root"
[ -c "$dev" ] || skip_all "no $dev"
[ -x ./kvbm_fuzz ] || skip_all "no kvbm_fuzz here"
ko=/modules/kvbm.ko
if [ -e "$ko" ]; then
	load() { insmod "$ko"; }
else
	modprobe -n kvbm 2>/dev/null || skip_all "no module to load again"
	load() { modprobe kvbm; }
fi
owner=$(stat -c %u:%g "$dev") mode=$(stat -c %a "$dev")

# Sessions, pins, event files, forks (kvbm_fuzz); who reads sysfs; who listens by
# netlink and by event files.
begin() {
	RUN_SECONDS=600 ./kvbm_fuzz >/tmp/kvbm_reload.fuzz 2>&1 &
	fuzz=$!
	(while :; do cat /sys/class/kvbm/*/* /sys/class/kvbm/*/*/*; done) >/dev/null 2>&1 &
	reader=$!
	monitor=
	if command -v kvbmctl >/dev/null; then
		kvbmctl create registry reload --capacity=1k >/dev/null 2>&1
		kvbmctl monitor reload </dev/null >/dev/null 2>&1 &
		monitor=$!
	fi
}

end() {
	# shellcheck disable=SC2086	# there may be none
	kill -9 $fuzz $reader $monitor 2>/dev/null
	# shellcheck disable=SC2086
	wait $fuzz $reader $monitor 2>/dev/null
}

# Its children die with it, but not before it.
unload() {
	tries=0
	until rmmod kvbm 2>/tmp/kvbm_reload.err; do
		./kvbm_fuzz clean >/tmp/kvbm_reload.clean 2>&1
		tries=$((tries + 1))
		[ $tries -lt 50 ] || return 1
		sleep 0.1
	done
}

refused=0 gone=0 bad=0 i=0
while [ $i -lt $rounds ]; do
	i=$((i + 1))
	begin
	sleep 1
	if rmmod kvbm 2>/dev/null; then
		echo "# round $i: it went while it was in use"
		bad=$((bad + 1))
		load
	else
		refused=$((refused + 1))
	fi
	end
	if unload; then
		gone=$((gone + 1))
	else
		echo "# round $i: $(cat /tmp/kvbm_reload.err)"
		sed 's/^/#   /' /tmp/kvbm_reload.clean
		lsmod | sed -n 's/^kvbm/#   kvbm/p'
		ps | sed -n 's/.*kvbm/#   &/p'
	fi
	load || break
done
chown "$owner" "$dev" && chmod "$mode" "$dev"

echo "1..2"
result='not ok'
[ $bad = 0 ] && [ $refused = $rounds ] && result=ok
echo "$result 1 refused while in use, $refused of $rounds times"
failed=0
[ "$result" = ok ] || failed=1
result='not ok'
[ $gone = $rounds ] && result=ok
echo "$result 2 unloaded once all were killed, $gone of $rounds times"
[ "$result" = ok ] || failed=1
exit $failed
