#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The same random operations on kvbm-logical and on libkvbm: block ids, victims
# and their order, hits, presence, use counts and counters have to be the same.
# One line for each policy and way with duplicates; at the first operation that
# differs, both sides' results. Takes cargo and crates.io.
#
# usage: tools/bench/equivalence.sh [options]
#
#   --ops N          operations for each combination (default 1000000)
#   --policy P[,P]   instead of all
#   --duplicates D   allow or reject, instead of both
#   --seed S         of the operations (default 1)
#   --chain N        length of the one long chain in the tree of sequences (default
#                    300, for lineage 60: see Documentation/differences.rst)
#   --device NAME    ours is /dev/kvbm in a guest with this kernel, stock-6.12
#                    or another one of scripts/kernel.sh
#
# exit status: 0 when all are the same, 1 when not, 2 when it cannot tell.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
bin=$top/build/bench
work=$bin/equivalence

die() { echo "equivalence.sh: $*" >&2; exit 2; }

ops=1000000 seed=1 device='' chain=''
policies=fifo,lru,multi-lru,lineage-tick,lineage-fifo
duplicates=(allow reject)
while [ $# -gt 0 ]; do
	[ $# -ge 2 ] || [ "$1" = --help ] || [ "$1" = -h ] || die "$1 needs a value"
	case $1 in
	--ops) ops=$2 ;;
	--policy) policies=$2 ;;
	--duplicates) duplicates=("$2") ;;
	--seed) seed=$2 ;;
	--chain) chain=$2 ;;
	--device) device=$2 ;;
	-h | --help) sed -n '4,/^set/{/^set/!s/^# \?//p}' "$0"; exit 0 ;;
	*) die "what is $1? (try --help)" ;;
	esac
	shift 2
done

unset MAKEFLAGS MFLAGS MAKELEVEL
make -s -C "$here" >&2 || die "cannot build our side"
make -s -C "$here" peer >&2 || die "cannot build kvbm-logical: is there cargo, and crates.io?"
mkdir -p "$work" || exit 2
ko=''
if [ -n "$device" ]; then
	"$top/scripts/deps.sh" build vm || exit 2
	ko=$("$top/scripts/build-module.sh" "$device") || exit 2
fi

# first_difference A B: number of the first journal entry that is not the same.
first_difference() {
	local byte

	byte=$(cmp "$1" "$2" 2>/dev/null | sed -n 's/.*byte \([0-9]*\),.*/\1/p')
	echo $(((${byte:-1} - 1) / 8))
}

# show OP: what both sides had, a little before that and there.
show() {
	local first=$(($1 > 4 ? $1 - 4 : 0))

	"$bin/kvbm-peer" --print "$first:$1" "$script" | sed '$d' >"$work/peer.txt"
	"$bin/kvbm-ours" --print "$first:$1" "$script" | grep '^[0-9]*: ' >"$work/ours.txt"
	{
		sed 's/^/    kvbm-logical  /' "$work/peer.txt"
		tail -n 1 "$work/ours.txt" | sed 's/^/    kvbm          /'
	} | cut -c 1-400
	cp "$script" "$work/different"
	echo "    tools/bench/shrink.py ${work#"$top/"}/different makes it short"
}

in_guest() {
	"$top/scripts/vm.sh" -k "$device" -m "$ko" -b "$bin/kvbm-script" -b "$bin/kvbm-ours" \
		-s 1G -t 1800 -o "$work/vm" -- \
		"kvbm-script ${script_args[*]} |
		 kvbm-ours --backend device -"
}

digest() { sed -n 's/.* operations, digest //p' "$1" | tr -d '\r'; }

same=0 different=0 missing=0
for policy in ${policies//,/ }; do
	for way in "${duplicates[@]}"; do
		script=$work/script
		name="$policy, duplicates ${way}ed${device:+, $device}"
		case $policy in lineage-*) length=60 ;; *) length=300 ;; esac
		script_args=(--ops "$ops" --seed "$seed" --policy "$policy"
			     --duplicates "$way" --chain "${chain:-$length}")
		"$bin/kvbm-script" "${script_args[@]}" >"$script" || exit 2
		"$bin/kvbm-peer" --journal "$work/peer" "$script" >"$work/peer.out" ||
			die "$name: kvbm-logical failed"
		if [ -n "$device" ]; then
			in_guest >"$work/ours.out" 2>"$work/ours.err"
		else
			"$bin/kvbm-ours" --journal "$work/ours" "$script" \
				>"$work/ours.out" 2>"$work/ours.err"
		fi
		status=$?
		if grep -q 'does not support this option' "$work/ours.err"; then
			echo "$name: kvbm does not have this policy"
			missing=$((missing + 1))
		elif [ $status != 0 ]; then
			echo "$name: FAILED, kvbm: $(tail -n 1 "$work/ours.err")"
			different=$((different + 1))
		elif [ "$(digest "$work/ours.out")" = "$(digest "$work/peer.out")" ]; then
			echo "$name: $ops operations, the same ($(digest "$work/ours.out"))"
			same=$((same + 1))
		else
			different=$((different + 1))
			if [ -n "$device" ]; then
				echo "$name: DIFFERENT"
			else
				op=$(first_difference "$work/peer" "$work/ours")
				echo "$name: DIFFERENT at operation $op"
				show "$op"
			fi
		fi
	done
done
rm -f "$work/script" "$work/peer" "$work/ours"
echo "$same the same, $different different, $missing not there"
[ $different = 0 ] || exit 1
[ $same != 0 ] || exit 2
