#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Prove that a red run is possible: boot the debug kernel, or the one with KCSAN,
# once per kind of bug with a module that has it, and expect the harness to notice.
# Speaks TAP.
#
# usage: scripts/negative.sh [MODE...]
#
# Without a MODE: all that the debug kernel is for. race takes kcsan-6.12.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
logs=$(dirname "$here")/build/vm/negative

# mode, exit status of vm.sh, and what the kernel log must say
table="\
none	0	end=yes
fail	98	failed=insmod
warn	99	WARNING: CPU
vmalloc	99	KASAN: vmalloc-out-of-bounds
slab	99	KASAN: slab-out-of-bounds
lock	99	possible circular locking dependency
atomic	99	scheduling while atomic
list	99	list_del corruption
leak	99	unreferenced object
oops	99	null-ptr-deref
race	99	BUG: KCSAN: data-race in .*race_once"

[ $# -gt 0 ] || mapfile -t < <(cut -f 1 <<<"$table" | grep -v race)
[ $# -gt 0 ] || set -- "${MAPFILE[@]}"

echo "TAP version 13"
echo "1..$#"
n=0 failed=0
for mode; do
	n=$((n + 1))
	IFS=$'\t' read -r _ want text < <(grep -P "^$mode\t" <<<"$table")
	kernel=debug-6.12
	[ "$mode" != race ] || kernel=kcsan-6.12
	ko=$("$here/build-module.sh" -S "$here/negative" $kernel)
	start=$SECONDS status=0
	"$here/vm.sh" -k $kernel --allow-splat -t 300 -o "$logs-$mode" \
		-m "$ko" -M "mode=$mode" -- true >/dev/null 2>&1 || status=$?
	result='not ok'
	if [ "$status" = "$want" ] && grep -q "$text" "$logs-$mode/console.log"; then
		result=ok
	else
		failed=1
	fi
	echo "$result $n negative control $mode: $text ($((SECONDS - start)) s, status $status)"
done
exit $failed
