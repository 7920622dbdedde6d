#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The guest's half of scripts/exporter.sh: managers with a past, and what the
# exporter makes of them. Results go to stdout, each file after a line
# "@file NAME"; what went wrong after "@bad". BusyBox is enough.

hold=/selftests/kvbm_hold
dir=/tmp/textfile
mkdir -p $dir

bad() { echo "@bad $*"; }

# expect STATUS WHAT COMMAND...: its words go to /tmp/said.
expect() {
	want=$1 what=$2
	shift 2
	"$@" >/tmp/said 2>&1 </dev/null
	got=$?
	[ "$got" = "$want" ] || bad "$what: status $got, not $want: $(cat /tmp/said)"
}

says() {
	grep -q "$1" /tmp/said || bad "$what: no word of '$1': $(cat /tmp/said)"
}

show() {
	echo "@file $1"
	cat "$2"
}

# keep NAME: of its metrics; and of what kvbmctl says at the same time.
keep() {
	kvbm-exporter --output="$dir/$1.prom" --label=instance_id=host-1 \
		--label='worker_id=a"b\c' || bad "the exporter failed for $1"
	show "$1.prom" "$dir/$1.prom"
}

# ready FIFO COMMAND...: start it, and wait until it has said so.
start() {
	fifo=/tmp/fifo.$1
	mkfifo "$fifo" "$fifo.out"
	shift
	"$@" <"$fifo" >"$fifo.out" &
	pid=$!
	# Open for as long as this script lives: its stdin does not end.
	eval "exec $fd<>$fifo"
	fd=$((fd + 1))
	read -r word <"$fifo.out"
	[ "$word" = ready ] || bad "$* was not ready: $word"
}
fd=3

keep empty

kvbmctl create registry one --capacity=10k >/dev/null
kvbmctl create registry two --capacity=1k >/dev/null
kvbmctl create manager one:gpu0 --blocks=100 --tier=G1 >/dev/null
kvbmctl create manager one:gpu1 --blocks=200 --tier=G1 --dup=reject >/dev/null
kvbmctl create manager two:gpu0 --blocks=50 --tier=G2 >/dev/null

# Evictions, hits, refusals, and workers that die.
$hold one:gpu0 10 20 60 </dev/null >/dev/null
$hold one:gpu0 60 30 10 </dev/null >/dev/null
$hold one:gpu0 0 0 60 </dev/null >/dev/null
$hold one:gpu1 100 50 50 </dev/null >/dev/null
$hold one:gpu0 101 0 0 </dev/null >/dev/null 2>&1 && bad "more than there is"
start a $hold one:gpu0 5 7 0
start b $hold one:gpu1 1 2 3
start c $hold two:gpu0 4 0 0
kill -9 $pid
wait $pid 2>/dev/null
while [ "$(cat /sys/class/kvbm/two:gpu0/states/mutable)" != 0 ]; do
	sleep 0.1
done

# Nobody moves now.
keep managers
for m in one:gpu0 one:gpu1 two:gpu0; do
	kvbmctl stat $m --json >/tmp/stat || bad "stat $m"
	show "$m.json" /tmp/stat
done

# A worker with a name that would end the label, the line and the character set.
start d $hold two:gpu0 3 0 0 "$(printf 'w"o\\r\nk\377=}')"
kvbm-exporter --sessions --output=$dir/hostile.prom || bad "a hostile name"
show hostile.prom $dir/hostile.prom

# Options that make no sense: said, and nothing is written.
for option in --label=9x=1 --label=x --label=__a=1 --label=pool=x --label=le=1 \
	      --label=a-b=1 --label="a=$(printf 'x\377')" --interval=0 \
	      --interval=5 --output=/tmp/x.txt --output=/tmp/.prom nonsense; do
	expect 2 "$option" kvbm-exporter "$option"
done
expect 2 "a label twice" kvbm-exporter --label=a=1 --label=a=2
says 'given before'

# Bad directories and a full disk: the old file stays whole, and alone.
expect 1 "no such directory" kvbm-exporter --output=/tmp/none/kvbm.prom
says 'No such file'
mkdir -p /tmp/full
mount -t tmpfs -o size=64k none /tmp/full
echo 'old 1' >/tmp/full/kvbm.prom
head -c 61440 /dev/zero >/tmp/full/ballast
expect 1 "a full disk" kvbm-exporter --output=/tmp/full/kvbm.prom
says 'No space left'
says 'as it was'
[ "$(cat /tmp/full/kvbm.prom)" = 'old 1' ] || bad "the old file is not as it was"
[ "$(find /tmp/full -type f | wc -l)" = 2 ] || bad "left behind: $(ls -A /tmp/full)"
rm /tmp/full/ballast
expect 0 "room again" kvbm-exporter --output=/tmp/full/kvbm.prom
mount -o remount,ro /tmp/full
cp /tmp/full/kvbm.prom /tmp/before
expect 1 "a read-only disk" kvbm-exporter --output=/tmp/full/kvbm.prom
says 'Read-only'
cmp -s /tmp/before /tmp/full/kvbm.prom || bad "changed on a read-only disk"
umount /tmp/full
mkdir -p $dir/dir.prom/x
expect 1 "a directory in its place" kvbm-exporter --output=$dir/dir.prom
[ -z "$(find $dir -name '.?*')" ] || bad "left behind: $(ls -A $dir)"
expect 1 "no device" kvbm-exporter --device=/dev/none --output=$dir/no.prom
[ ! -e $dir/no.prom ] || bad "a file without a device"
expect 1 "stdout is full" sh -c 'kvbm-exporter >/dev/full'

# As somebody who may open the device and read one manager only.
kvbmctl create registry three --capacity=1k >/dev/null
kvbmctl create manager three:open --blocks=10 --mode=0664 >/dev/null
chmod 666 /dev/kvbm
su nobody -s /bin/sh -c 'kvbm-exporter' >/tmp/out || bad "as nobody"
show nobody.prom /tmp/out
chmod 660 /dev/kvbm
kvbmctl destroy three --force

# Managers come and go while it looks.
(
	i=0
	while [ ! -e /tmp/stop ]; do
		kvbmctl create manager one:churn$((i % 3)) --blocks=20 >/dev/null
		kvbmctl destroy --force one:churn$(((i + 1) % 3)) 2>/dev/null
		i=$((i + 1))
	done
) 2>/dev/null &
i=0
while [ $i -lt 40 ]; do
	kvbm-exporter --output=$dir/churn.prom || bad "while managers come and go"
	tail -n 1 $dir/churn.prom | grep -q '^kvbm_exporter_unreadable' ||
		bad "half a file"
	i=$((i + 1))
done
touch /tmp/stop
wait $! 2>/dev/null
show churn.prom $dir/churn.prom

# Again and again, until it is told to end; what fails is tried again.
mkdir /tmp/again
kvbm-exporter --interval=1 --output=/tmp/again/kvbm.prom 2>/tmp/said &
again=$!
i=0
while [ ! -s /tmp/again/kvbm.prom ] && [ $i -lt 200 ]; do sleep 0.1; i=$((i + 1)); done
rm /tmp/again/kvbm.prom
mv /tmp/again /tmp/away
i=0
while [ ! -s /tmp/said ] && [ $i -lt 200 ]; do sleep 0.1; i=$((i + 1)); done
mv /tmp/away /tmp/again
i=0
while [ ! -s /tmp/again/kvbm.prom ] && [ $i -lt 200 ]; do sleep 0.1; i=$((i + 1)); done
what="again and again"
says 'No such file'
[ -s /tmp/again/kvbm.prom ] || bad "not written again"
kill $again
wait $again || bad "its end: status $?"

# shellcheck disable=SC2046	# numbers, to be split
kill $(jobs -p) 2>/dev/null
exec 3<&- 4<&- 5<&- 6<&-
sleep 0.2
for r in one two; do kvbmctl destroy --force $r; done
echo "@end"
