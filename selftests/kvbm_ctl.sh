#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# kvbmctl: what it shows of a manager that is used, as text and as JSON; what it
# says to bad input; limits and epochs; and that it destroys nothing by accident.
# BusyBox is enough.
#
# shellcheck disable=SC2317	# the tests are called by name

r=ctl-$$
hold=./kvbm_hold
pty=./kvbm_pty

skip_all() {
	echo "1..0 # SKIP $*"
	exit 4
}

echo "TAP version 13"
[ -c /dev/kvbm ] || skip_all "no /dev/kvbm"
command -v kvbmctl >/dev/null || skip_all "no kvbmctl in $PATH"

n=0 failed=0
test_case() {
	name=$1
	shift
	n=$((n + 1))
	if out=$("$@" 2>&1); then
		echo "ok $n $name"
	else
		echo "$out" | tail -n 20 | sed 's/^/# /'
		echo "not ok $n $name"
		failed=1
	fi
}

# The same, of what says nothing about the kernel: not where every exec(2) takes
# its time.
test_program() {
	if [ -e /sys/kernel/debug/kmemleak ]; then
		n=$((n + 1))
		echo "ok $n $1 # SKIP nothing new for a debug kernel"
	else
		test_case "$@"
	fi
}

# status WANT COMMAND...
status() {
	want=$1
	shift
	"$@" >/tmp/ctl.out 2>/tmp/ctl.err </dev/null
	got=$?
	cat /tmp/ctl.out /tmp/ctl.err
	[ "$got" = "$want" ] || { echo "$*: status $got, not $want"; return 1; }
}

# What was said by the last status, to either.
has() { grep -q -- "$1" /tmp/ctl.out || { echo "no '$1' in the output"; return 1; }; }
says() { grep -q -- "$1" /tmp/ctl.err || { echo "no '$1' in what it says"; return 1; }; }

# holder FIFO ARG...: a process that holds blocks until the FIFO is closed.
holder() {
	mkfifo "/tmp/$1" "/tmp/$1.out"
	fifo=/tmp/$1
	shift
	$hold "$@" <"$fifo" >"$fifo.out" &
	pid=$!
}

holders_text() {
	status 0 kvbmctl holders "$r:a" &&
		has "^BLOCKS  *GUARDS  *OLDEST  *PID  *COMM" &&
		has "^ *12  *12  *[0-9.]* s  *$held  *rank-0  *root  *rwo--  *$r:a" &&
		status 0 kvbmctl holders "$r" && has "$held" &&
		status 0 kvbmctl holders && has "$held"
}

holders_json() {
	status 0 kvbmctl holders "$r:a" --json &&
		has '"pid": '"$held" && has '"blocks": 12' && has '"comm": "rank-0"' &&
		has '"uid": 0' && has '"process_ended": false' && has '"owned": true' &&
		has '"oldest_seconds": [0-9]' && has '"cgroup": [0-9]'
}

dump_text() {
	status 0 kvbmctl dump "$r:a" || return 1
	[ "$(wc -l </tmp/ctl.out)" = 41 ] &&
		[ "$(grep -c mutable /tmp/ctl.out)" = 5 ] &&
		[ "$(grep -c primary /tmp/ctl.out)" = 7 ] &&
		[ "$(grep -c inactive /tmp/ctl.out)" = 3 ] &&
		status 0 kvbmctl dump "$r:a" --state=primary,inactive &&
		[ "$(wc -l </tmp/ctl.out)" = 11 ] &&
		status 0 kvbmctl dump "$r:a" --start=38 && [ "$(wc -l </tmp/ctl.out)" = 3 ] &&
		status 0 kvbmctl dump "$r:a" --count=5 && [ "$(wc -l </tmp/ctl.out)" = 6 ] &&
		status 0 kvbmctl dump "$r:a" --start=1000 && [ "$(wc -l </tmp/ctl.out)" = 1 ]
}

dump_json() {
	status 0 kvbmctl dump "$r:a" --json || return 1
	[ "$(grep -c '"block":' /tmp/ctl.out)" = 40 ] &&
		[ "$(head -n 1 /tmp/ctl.out)" = '[' ] &&
		[ "$(tail -n 1 /tmp/ctl.out)" = ']' ] &&
		[ "$(grep -c '},$' /tmp/ctl.out)" = 39 ]
}

check_text() {
	status 0 kvbmctl check "$r:a" && has '^check: 40 blocks, 0 errors (exact)$' &&
		status 0 kvbmctl check --json "$r:a" && has '"errors": 0'
}

show_and_stat() {
	status 0 kvbmctl show "$r:a" && has '^mutable  *5$' && has '^primary  *7$' &&
		status 0 kvbmctl stat "$r:a" && has '^inflight_immutable  *7$' &&
		has '^regret_sample  *1$' && has '^states\[inactive\]  *3$' &&
		status 0 kvbmctl stat --json "$r:a" && has '"wait_total_ns": 0'
}

# Path, bytes, and who gave it.
show_backing() {
	status 0 kvbmctl show "$r:a" &&
		has "^memfd  *1\.2  *1  *root, pid $held  */memfd:kvbm-hold" &&
		status 0 kvbmctl show --json "$r:a" && has '"bytes": 1310720' &&
		has '"path": "/memfd:kvbm-hold (deleted)"' && has '"kind": "memfd"' &&
		has "\"pid\": $held" && has '"uid": 0' &&
		status 0 kvbmctl show "$r:b" && ! has memfd
}

quota_sets_and_shows() {
	status 0 kvbmctl quota "$r:a" && has '^session  *each  *none  *-$' &&
		has '^user  *each  *none  *-$' && has '^user  *root  *none  *0$' &&
		status 0 kvbmctl quota "$r:a" --user=nobody --set=1k &&
		has '^user  *nobody  *1000  *0$' &&
		status 0 kvbmctl quota "$r:a" --session --set=500 && has ' 500  *-$' &&
		status 0 kvbmctl quota "$r:a" --user=each --set=200 &&
		status 0 kvbmctl quota "$r:a" && has '^session  *each  *500  *-$' &&
		has '^user  *each  *200  *-$' && has '^user  *root  *200  *12$' &&
		has '^user  *nobody  *1000  *0$' &&
		status 0 kvbmctl quota "$r:a" --json && has '"limit": 500' &&
		has '"who": "nobody"' && has '"held": 12' &&
		status 0 kvbmctl quota "$r:a" --user=nobody --clear &&
		status 0 kvbmctl quota "$r:a" && ! has nobody &&
		status 0 kvbmctl quota "$r:a" --user=each --clear &&
		status 0 kvbmctl quota "$r:a" --user=0 && has '^user  *root  *none  *12$'
}

# What it is for: who exceeds it is told.
quota_counts() {
	status 0 kvbmctl quota "$r:b" --session --set=4 &&
		status 1 "$hold" "$r:b" 5 0 0 && says 'allocate: ' &&
		status 0 kvbmctl quota "$r:b" --session --set=5 &&
		status 0 "$hold" "$r:b" 5 0 0 &&
		status 0 kvbmctl quota "$r:b" --session --clear
}

quota_of_groups() {
	dir=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
	[ -n "$dir" ] || { mkdir -p /tmp/cg && mount -t cgroup2 none /tmp/cg && dir=/tmp/cg; }
	mkdir "$dir/ctl-group" || return 1
	status 0 kvbmctl quota "$r:a" --cgroup=/ctl-group --set=7 &&
		has '^cgroup  */ctl-group  *7  *0$' &&
		status 0 kvbmctl quota "$r:a" --cgroup="$dir/ctl-group" &&
		has '^cgroup  */ctl-group  *7  *0$' &&
		status 0 kvbmctl quota "$r:a" && has '^cgroup  */ctl-group  *7  *0$' &&
		has '^cgroup  */  *none  *12$' &&
		status 1 kvbmctl quota "$r:a" --cgroup=/tmp && says 'no group' &&
		status 1 kvbmctl quota "$r:a" --cgroup=none && says 'no group' &&
		status 0 kvbmctl quota "$r:a" --cgroup=/ctl-group --clear
	result=$?
	rmdir "$dir/ctl-group"
	return "$result"
}

epoch_shows_and_raises() {
	status 0 kvbmctl epoch "$r:a" && has "^$r:a: epoch 1\$" &&
		status 0 kvbmctl holders "$r:a" && has ' rwo-- ' &&
		status 0 kvbmctl epoch --raise "$r:a" && has "^$r:a: epoch 2; older" &&
		status 0 kvbmctl holders "$r:a" && has ' rwo-f ' &&
		status 0 kvbmctl holders "$r:a" --json && has '"fenced": true' &&
		status 0 kvbmctl epoch "$r:a" --raise --force --json && has '"epoch": 3'
}

# The same numbers as in sysfs, nobody moving.
equals_sysfs() {
	status 0 kvbmctl stat "$r:a" || return 1
	for f in /sys/class/kvbm/"$r:a"/counters/*; do
		has "^$(basename "$f")  *$(cat "$f")\$" || return 1
	done
}

top_batch() {
	status 0 kvbmctl top --batch --count=2 --interval=1 "$r" &&
		[ "$(grep -c '^MANAGER' /tmp/ctl.out)" = 2 ] &&
		[ "$(grep -c "^$r:a  *G1  *40  *12  *3  *" /tmp/ctl.out)" = 2 ] &&
		status 0 kvbmctl top --json --count=1 && has '"match_hit_rate": 0.0' &&
		has '"mutable": 5' && has '"sessions": 1'
}

top_needs_a_terminal() {
	status 1 kvbmctl top && says 'try --batch or --json' &&
		status 1 env TERM=no-such-terminal "$pty" q kvbmctl top && has 'try --batch' &&
		status 1 env TERM=xterm "$pty" q kvbmctl top nothing && has 'no registry'
}

top_screen() {
	status 0 env TERM=xterm "$pty" q kvbmctl top --interval=60 "$r" &&
		has "kvbmctl top: 2 managers" && has "$r:a" && has 'rank-0' &&
		status 0 env TERM=xterm "$pty" jjkkq kvbmctl top --interval=60 &&
		status 0 env TERM=xterm "$pty" '' kvbmctl top --interval=1 --count=2
}

esc=$(printf '\033')

colours_on_terminals_only() {
	status 0 env TERM=xterm "$pty" '' kvbmctl list && has "$esc\[1m" &&
		status 0 env TERM=xterm NO_COLOR=1 "$pty" '' kvbmctl list && has NAME &&
		! has "$esc" &&
		status 0 env TERM=dumb "$pty" '' kvbmctl list && ! has "$esc" &&
		status 0 env TERM=xterm kvbmctl list && ! has "$esc"
}

# Until it has seen three events in a row: those of any life of a manager.
monitor() {
	kvbmctl monitor --json --count=3 "$r" >/tmp/monitor.out &
	monitor=$!
	i=0
	while kill -0 "$monitor" 2>/dev/null && [ "$i" -lt 100 ]; do
		kvbmctl create manager "$r:mon" --blocks=1 &&
			kvbmctl destroy "$r:mon" || return 1
		i=$((i + 1))
	done
	wait "$monitor" || return 1
	cat /tmp/monitor.out
	[ "$(wc -l </tmp/monitor.out)" = 3 ] || return 1
	for type in created cleared destroyed; do
		grep -q "\"type\":\"$type\"" /tmp/monitor.out || return 1
	done
	status 1 kvbmctl monitor "$r:mon" && says REGISTRY &&
		status 2 kvbmctl monitor --count=0 "$r"
}

gc_is_careful() {
	# In use, just made, with a cache: none of them.
	status 0 kvbmctl gc --older=86400 "$r" && ! has "$r" &&
		status 0 kvbmctl gc --older=0 "$r" && has "^$r:b .*kept" && ! has "$r:a" &&
		says 'nothing was destroyed' &&
		status 0 kvbmctl show "$r:b" &&
		status 0 kvbmctl gc --older=0 --json "$r" && has '"result": "kept"' &&
		status 0 kvbmctl gc --older=0 --destroy "$r" && has "^$r:b .*destroyed" &&
		status 1 kvbmctl show "$r:b" && status 0 kvbmctl show "$r:a"
}

# After the holder has gone there is a cache; and at the end an empty registry.
gc_cached() {
	status 0 kvbmctl gc --older=0 --destroy "$r" && ! has "$r" &&
		status 0 kvbmctl gc --older=0 --cached "$r" && has "^$r:a  *10 .*kept" &&
		status 0 kvbmctl gc --older=0 --cached --destroy "$r:a" &&
		has "^$r:a .*destroyed" &&
		status 0 kvbmctl gc "$r" && has "^$r .*kept" &&
		status 0 kvbmctl gc "$r" --destroy && has "^$r .*destroyed" &&
		status 1 kvbmctl show "$r"
}

bad_input() {
	for bad in 'holders none' 'holders none:x' 'dump none:x' 'dump none' 'top -b none' \
		   'gc none' 'gc none:x' 'check none:x' 'stat none:x' 'show none' \
		   'quota none:x' 'quota none' 'epoch none:x' 'epoch none'; do
		# shellcheck disable=SC2086	# words
		status 1 kvbmctl $bad || return 1
		[ -s /tmp/ctl.err ] && [ ! -s /tmp/ctl.out ] || return 1
	done
	for bad in 'holders a b' 'dump' 'dump a:b --state=odd' 'dump a:b --count=0' \
		   'dump a:b --start=-1' 'top -i 0' 'top -n 0' 'top -n x' 'gc --older=x' \
		   'gc --force' 'frobnicate' 'quota' 'quota a:b --set=1' \
		   'quota a:b --session --set=x' 'quota a:b --session --set=-1' \
		   'quota a:b --session --set=1 --clear' 'quota a:b --user=no-such-user' \
		   'quota a:b --session --user=0' 'epoch' 'epoch a:b --force'; do
		# shellcheck disable=SC2086	# words
		status 2 kvbmctl $bad || return 1
		[ -s /tmp/ctl.err ] || return 1
	done
	# A reader that has gone, and a full disk.
	kvbmctl dump "$r:a" 2>/dev/null | head -n 1 >/dev/null
	kvbmctl dump "$r:a" >/dev/full && return 1
	status 1 sh -c "kvbmctl holders >/dev/full"
}

not_readable() {
	kvbmctl create manager "$r:secret" --blocks=8 --mode=0600 || return 1
	chmod 666 /dev/kvbm
	status 1 su nobody -s /bin/sh -c "kvbmctl holders $r:secret" && says 'no right' &&
		status 1 su nobody -s /bin/sh -c "kvbmctl dump $r:secret" &&
		says 'no right' &&
		status 1 su nobody -s /bin/sh -c "kvbmctl quota $r:secret" &&
		says 'no right' &&
		status 1 su nobody -s /bin/sh -c "kvbmctl quota $r:a --session --set=1" &&
		says 'only the owner' &&
		status 1 su nobody -s /bin/sh -c "kvbmctl epoch $r:a --raise" &&
		says 'only the owner' &&
		status 0 su nobody -s /bin/sh -c "kvbmctl holders $r" &&
		says 'may not be read' &&
		status 0 su nobody -s /bin/sh -c "kvbmctl top -b -n1 $r" &&
		status 0 su nobody -s /bin/sh -c "kvbmctl gc --older=0 --destroy $r" &&
		status 0 kvbmctl show "$r:secret"
	result=$?
	chmod 660 /dev/kvbm
	kvbmctl destroy "$r:secret"
	return "$result"
}

kvbmctl create registry "$r" --capacity=1k >/dev/null || skip_all "cannot create"
kvbmctl create manager "$r:a" --blocks=40 >/dev/null
kvbmctl create manager "$r:b" --blocks=16 >/dev/null
holder ctl.fifo "$r:a" 5 7 3 rank-0 32768
held=$pid
# Open for as long as the holder shall live.
exec 9<>/tmp/ctl.fifo
read -r word </tmp/ctl.fifo.out
[ "$word" = ready ] || skip_all "kvbm_hold is not ready"

echo "1..22"
test_case "holders, as text" holders_text
test_program "holders, as JSON" holders_json
test_program "dump, as text" dump_text
test_case "dump, as JSON" dump_json
test_case "check" check_text
test_case "show and stat" show_and_stat
test_case "show: backing" show_backing
test_case "stat equals sysfs" equals_sysfs
test_program "quota sets and shows limits" quota_sets_and_shows
test_program "quota counts" quota_counts
test_program "quota of groups" quota_of_groups
test_case "top, table by table" top_batch
test_program "top needs a terminal" top_needs_a_terminal
test_case "top, on a screen" top_screen
test_program "colours on terminals only" colours_on_terminals_only
test_program "bad input" bad_input
test_case "what may not be read" not_readable
test_case "monitor" monitor
test_case "gc destroys nothing unasked" gc_is_careful
test_case "epoch shows and raises" epoch_shows_and_raises
exec 9<&-
kill "$held" 2>/dev/null
wait "$held" 2>/dev/null
test_case "gc with a cache" gc_cached
gone() { status 0 kvbmctl list && ! has "$r"; }
test_case "nothing is left" gone
rm -f /tmp/ctl.fifo* /tmp/ctl.out /tmp/ctl.err
exit $failed
