#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Side by side with kvbm-logical: nanoseconds, or instructions, per block of the
# same operations, measured in turn in one run. Documentation/performance.rst says
# what is compared and how. Writes build/bench.json and prints a table, the rows
# that we lose first.
#
# usage: scripts/bench.sh [options]
#
#   --ways W[,W]      native   in process against the crate, on this machine
#                     device   /dev/kvbm against the crate, in one guest
#                     icount   the same, in instructions: they repeat exactly; and
#                              the longest holds of locks, and memory per block
#                     (default all three)
#   --policies P[,P]  instead of all
#   --groups G[,G]    instead of all
#   --sizes N[,N]     blocks per call, powers of two (default 8,32,128)
#   --pools B[,B]     for every way, instead of its own; 0: as many as are used
#   --samples N       of each side (default 31)
#   --short           native takes less time: in pools of 1 Mi and 16 Mi
#                     blocks calls of 32 only, and of 16 Mi blocks only LRU and
#                     lineage-tick
#   --quick           a few cells and samples, native only: a look whether it works
#   --slow F          ours takes F times as long: the ratios have to show it
#   --no-peer         ours alone: their columns are empty
#   --no-tracker      the crate without its frequency tracker, except multi-lru
#   -k KERNEL         of the guests (default stock-6.12)
#   -o FILE           instead of build/bench.json
#
# The crate takes cargo and crates.io. Where they are not there, it says so and
# measures ours alone.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
bin=$top/build/bench

say() { echo "bench.sh: $*" >&2; }
die() { say "$*"; exit 2; }

ways=native,device,icount kernel=stock-6.12 out=$top/build/bench.json
policies=lru,fifo,multi-lru,lineage-tick,lineage-fifo
own=match_blocks_active_hit,match_blocks_inactive_hit,bulk_drop
groups=$own,allocate_evict,allocate_stage_register,miss,scattered,scan
groups=$groups,decode_step,fan_out,two_threads,two_processes,floor
sizes=8,32,128 pools='' samples=31 sample_us=5000 quick=0 short=0 slow=1 peer=1 args=()

while [ $# -gt 0 ]; do
	case $1 in
	--ways | --policies | --groups | --sizes | --pools | --samples | --slow | -k | -o)
		[ $# -ge 2 ] || die "$1 needs a value" ;;
	esac
	case $1 in
	--ways) ways=$2; shift ;;
	--policies) policies=$2; shift ;;
	--groups) groups=$2; shift ;;
	--sizes) sizes=$2; shift ;;
	--pools) pools=$2; shift ;;
	--samples) samples=$2; shift ;;
	--slow) slow=$2; shift ;;
	--quick) quick=1 ;;
	--short) short=1 ;;
	--no-peer) peer=0 ;;
	--no-tracker) args+=(--no-tracker) ;;
	-k) kernel=$2; shift ;;
	-o) out=$2; shift ;;
	-h | --help) sed -n '4,/^set/{/^set/!s/^# \?//p}' "$0"; exit 0 ;;
	*) die "what is $1? (try --help)" ;;
	esac
	shift
done
if [ $quick = 1 ]; then
	ways=native samples=3 sample_us=200
	pools=${pools:-0,1Ki}
fi

unset MAKEFLAGS MFLAGS MAKELEVEL
"$here/deps.sh" build
make -s -C "$top/tools/bench" >&2
if [ $peer = 1 ] && ! make -s -C "$top/tools/bench" peer >&2; then
	say "no kvbm-logical, its columns stay empty: it takes cargo and crates.io"
	peer=0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rows=$work/rows
: >"$rows"

# common_args POOLS SAMPLES SAMPLE_US
common_args() {
	printf ' --sizes %s --pools %s --samples %s --sample-us %s --slow %s' \
		"$sizes" "$1" "$2" "$3" "$slow"
	[ ${#args[@]} = 0 ] || printf ' %s' "${args[@]}"
}

# native POOLS POLICIES GROUPS
native() {
	local peer_args=()

	[ $peer = 0 ] || peer_args=(--peer "$bin/kvbm-peer")
	# shellcheck disable=SC2046	# words without blanks
	"$bin/kvbm-bench" --way native --ours "$bin/kvbm-ours" "${peer_args[@]}" \
		--policies "$2" --groups "$3" \
		$(common_args "$1" "$samples" "$sample_us") >>"$rows"
}

# guest WAY POOLS SAMPLES SAMPLE_US [OPTION OF vm.sh...]
guest() {
	local way=$1 command peer_args=()

	command="kvbm-bench --way $way --backend device --ours /usr/bin/kvbm-ours"
	command+=" --policies $policies --groups $groups$(common_args "$2" "$3" "$4")"
	if [ $peer = 1 ]; then
		command+=" --peer /usr/bin/kvbm-peer"
		peer_args=(-b "$bin/kvbm-peer")
	fi
	if [ "$way" = icount ]; then
		command+=" && kvbm-holds"
		peer_args+=(-b "$bin/kvbm-holds")
	fi
	shift 4
	"$here/vm.sh" -k "$kernel" -m "$ko" -b "$bin/kvbm-bench" -b "$bin/kvbm-ours" \
		"${peer_args[@]}" -s 3G -t 7200 -o "$top/build/vm/bench-$way" "$@" -- \
		"$command" | tr -d '\r' | grep '^{' >>"$rows"
}

# 16 Mi blocks of the crate take much memory, next to ours.
huge_fits() {
	local free

	free=$(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)
	[ "$free" -ge 14 ] || { say "no pools of 16 Mi blocks: $free GiB free, not 14"; return 1; }
}

for way in ${ways//,/ }; do
	say "$way"
	case $way in
	native)
		if [ -n "$pools" ]; then
			native "$pools" "$policies" "$groups"
			continue
		fi
		huge=lru,lineage-tick,lineage-fifo
		native 0,1Ki "$policies" "$groups"
		if [ $short = 1 ]; then
			sizes=32 huge=lru,lineage-tick
		fi
		native 1Mi "$policies" "$groups"
		if huge_fits; then
			native 16Mi $huge match_blocks_inactive_hit,allocate_evict,miss,floor
		fi
		;;
	device | icount)
		"$here/deps.sh" vm
		ko=$("$here/build-module.sh" "$kernel")
		if [ "$way" = device ]; then
			guest device "${pools:-0,1Ki}" "$samples" "$sample_us"
		else
			# What repeats need not be repeated; one processor.
			groups=${groups/,two_threads,two_processes/}
			guest icount "${pools:-0,1Ki}" "$samples" 500 --icount \
				-a transparent_hugepage=never
		fi
		;;
	*) die "--ways: $way is neither native, device nor icount" ;;
	esac
done

mkdir -p "$(dirname "$out")"
version=''
[ $peer = 0 ] || version=$(awk -F '"' '/^name = "kvbm-logical"/ { getline; print $2 }' \
	"$top/tools/bench/peer/Cargo.lock")
python3 "$top/tools/bench/report.py" --peer "$version" --slow "$slow" "$rows" "$out"
say "written: $out"
