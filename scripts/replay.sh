#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Replay traces in process and, in a guest, through /dev/kvbm: one digest over
# requests, hits, block ids and evicted hashes has to come out of both. As TAP.
#
# usage: scripts/replay.sh [-k KERNEL] [-o LOGDIR]
#
# Always replays a small trace that it makes. KVBM_TRACES names a directory
# with mooncake_conversation_trace.jsonl (default: ../shared/traces beside this
# tree); if that is there, it is replayed too and gives known hit rates.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")

kernel=stock-6.12 logs=$top/build/vm/replay
while getopts k:o: opt; do
	case $opt in
	k) kernel=$OPTARG ;;
	o) logs=$OPTARG ;;
	*) exit 2 ;;
	esac
done
unset MAKEFLAGS MFLAGS MAKELEVEL

"$here/deps.sh" build vm
for dir in lib tools; do
	make -s -C "$top/$dir" -j"$(nproc)" >&2
done
ko=$("$here/build-module.sh" "$kernel")
replay=$top/build/bin/kvbm-replay
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Conversations that share system prompts; an id stands for its whole prefix.
awk 'BEGIN {
	srand(7); next_id = 100
	for (s = 0; s < 8; s++)
		system_prompt[s] = s * 3 ", " s * 3 + 1 ", " s * 3 + 2
	for (i = 0; i < 4000; i++) {
		c = int(rand() * 300)
		if (!(c in ids) || rand() < .05)
			ids[c] = system_prompt[int(rand() * rand() * 8)]
		for (n = 1 + int(rand() * 6); n; n--)
			ids[c] = ids[c] ", " next_id++
		printf "{\"timestamp\": %d, \"input_length\": %d, ", i * 10, 1000
		printf "\"output_length\": 10, \"hash_ids\": [%s]}\n", ids[c]
	}
}' >"$work/made.jsonl"

traces=("made.jsonl 100,1000,5000")
known=${KVBM_TRACES:-$top/../shared/traces}/mooncake_conversation_trace.jsonl
if [ -r "$known" ]; then
	cp "$known" "$work/conversation.jsonl"
	traces+=("conversation.jsonl 1000,10000,30000,50000,100000")
fi

n=0 failed=0
result() {
	n=$((n + 1))
	echo "$1 $n replay: $2"
	[ "$1" = ok ] || failed=1
}

# digests: of the lines of a table, "blocks refused hits digest"
digests() {
	awk '$1 == "lru" { print $2, $8, $5, $NF }' "$1"
}

command='cd /traces'
for t in "${traces[@]}"; do
	read -r file blocks <<<"$t"
	command+=" && kvbm-replay --backend device --policy lru --blocks $blocks $file"
	command+=" >/tmp/out && echo device $file && cat /tmp/out"
done

echo "TAP version 13"
echo "1..$((3 * ${#traces[@]} + (${#traces[@]} > 1)))"
if "$here/vm.sh" -k "$kernel" -o "$logs" -m "$ko" -b "$replay" -d "$work:/traces" \
	-s 1G -t 600 -- "$command" >"$work/device" 2>&1; then
	:
else
	sed 's/^/# /' "$work/device"
fi
for t in "${traces[@]}"; do
	read -r file blocks <<<"$t"
	if "$replay" --backend inproc --policy lru --blocks "$blocks" \
		"$work/$file" >"$work/inproc" 2>"$work/err"; then
		result ok "$file in process, statistics equal the client's sums"
	else
		result 'not ok' "$file in process"
		sed 's/^/# /' "$work/err"
	fi
	if "$replay" --backend inproc --policy lru --blocks "$blocks" --split \
		"$work/$file" >"$work/split" 2>"$work/err" &&
		[ "$(digests "$work/inproc" | grep ' 0 ')" = \
		  "$(digests "$work/split" | grep ' 0 ')" ]; then
		result ok "$file call by call, the same digests"
	else
		result 'not ok' "$file call by call: other digests"
		digests "$work/split" | sed 's/^/# /'
	fi
	awk -v f="$file" '$1 == "device" { on = $2 == f } on' "$work/device" \
		>"$work/this"
	if [ -n "$(digests "$work/this")" ] &&
		[ "$(digests "$work/this")" = "$(digests "$work/inproc")" ]; then
		result ok "$file through the device, the same digests"
	else
		result 'not ok' "$file through the device: other digests"
		cat "$work/this" "$work/inproc" | sed 's/^/# /'
	fi
	sed 's/^/# /' "$work/inproc"
done
if [ "${#traces[@]}" -gt 1 ]; then
	# What a plain LRU of 512-token blocks gives for that trace.
	if awk '$1 == "lru" { rate[$2] = $6 }
		function off(blocks, want) {
			return rate[blocks] < want - .001 || rate[blocks] > want + .001
		}
		END {
			exit off(1000, .0445) || off(10000, .2116) ||
			     off(30000, .3257) || off(50000, .3546) ||
			     off(100000, .3637)
		}' "$work/inproc"; then
		result ok "hit rates of the conversation trace"
	else
		result 'not ok' "hit rates of the conversation trace"
	fi
fi
exit $failed
