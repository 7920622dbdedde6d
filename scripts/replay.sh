#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Replay traces in process and, in a guest, through /dev/kvbm, with every policy:
# one digest over requests, hits, block ids and evicted hashes has to come out of
# both. As TAP.
#
# usage: scripts/replay.sh [-k KERNEL] [-o LOGDIR]
#
# Always replays a small trace that it makes. KVBM_TRACES names a directory
# with mooncake_conversation_trace.jsonl (default: ../shared/traces beside this
# tree); if that is there, it is replayed too and gives known hit rates. The
# sketch of multi-lru takes some hashes for others, by a secret: it is large here,
# so that in the small trace none are, and the digest is that of any other run.
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

# runs: FILE POLICIES BLOCKS
runs=("made.jsonl fifo,lru,multi-lru,lineage-tick,lineage-fifo 100,1000,5000")
known=${KVBM_TRACES:-$top/../shared/traces}/mooncake_conversation_trace.jsonl
if [ -r "$known" ]; then
	cp "$known" "$work/conversation.jsonl"
	runs+=("conversation.jsonl lru 1000,10000,30000,50000,100000")
	runs+=("conversation.jsonl fifo,multi-lru,lineage-tick,lineage-fifo 10000")
fi
sketch=--sketch=16Mi

n=0 failed=0
result() {
	n=$((n + 1))
	echo "$1 $n replay: $2"
	[ "$1" = ok ] || failed=1
}

# digests FILE: of the lines of a table, "policy blocks refused hits digest"
digests() {
	awk -v large="$(case $file in conversation*) echo 1 ;; esac)" \
		'$2 ~ /^[0-9]+$/ && !(large && $1 == "multi-lru") {
			print $1, $2, $8, $5, $NF
		}' "$1"
}

command='cd /traces'
for i in "${!runs[@]}"; do
	read -r file policies blocks <<<"${runs[i]}"
	command+=" && kvbm-replay --backend device --policy $policies --blocks $blocks"
	command+=" $sketch $file >/tmp/out && echo device $i && cat /tmp/out"
done

echo "TAP version 13"
echo "1..$((3 * ${#runs[@]} + (${#runs[@]} > 1)))"
if "$here/vm.sh" -k "$kernel" -o "$logs" -m "$ko" -b "$replay" -d "$work:/traces" \
	-s 1G -t 600 -- "$command" >"$work/device" 2>&1; then
	:
else
	sed 's/^/# /' "$work/device"
fi
for i in "${!runs[@]}"; do
	read -r file policies blocks <<<"${runs[i]}"
	what="$file, $policies"
	inproc=("$replay" --backend inproc --policy "$policies" --blocks "$blocks" "$sketch")
	if "${inproc[@]}" "$work/$file" >"$work/inproc" 2>"$work/err"; then
		result ok "$what, in process, statistics equal the client's sums"
	else
		result 'not ok' "$what, in process"
		sed 's/^/# /' "$work/err"
	fi
	if "${inproc[@]}" --split "$work/$file" >"$work/split" 2>"$work/err" &&
		[ "$(digests "$work/inproc" | awk '$3 == 0')" = \
		  "$(digests "$work/split" | awk '$3 == 0')" ]; then
		result ok "$what, call by call, the same digests"
	else
		result 'not ok' "$what, call by call: other digests"
		digests "$work/split" | sed 's/^/# /'
	fi
	awk -v i="$i" '$1 == "device" { on = $2 == i } on' "$work/device" \
		>"$work/this"
	if [ -n "$(digests "$work/this")" ] &&
		[ "$(digests "$work/this")" = "$(digests "$work/inproc")" ]; then
		result ok "$what, through the device, the same digests"
	else
		result 'not ok' "$what, through the device: other digests"
		cat "$work/this" "$work/inproc" | sed 's/^/# /'
	fi
	sed 's/^/# /' "$work/inproc"
	[ "$file" != conversation.jsonl ] || cat "$work/inproc" "$work/this" >>"$work/known"
done
if [ "${#runs[@]}" -gt 1 ]; then
	# What a plain LRU of 512-token blocks gives for that trace; tail first, the
	# order of a lineage is the same. Both backends: each line twice.
	if awk '$2 ~ /^[0-9]+$/ { rate[++n] = $6; key[n] = $1 " " $2; digest[n] = $NF }
		BEGIN {
			want["lru 1000"] = ".0445 ee05ddb822420cd0"
			want["lru 10000"] = ".2116 4980f02f61859f8a"
			want["lru 30000"] = ".3257 868501b3ebbd7e1d"
			want["lru 50000"] = ".3546 6d981014e85d4348"
			want["lru 100000"] = ".3637 f2eb1df667ec378d"
			want["fifo 10000"] = want["lru 10000"]
			want["lineage-tick 10000"] = want["lru 10000"]
			want["lineage-fifo 10000"] = ".1651 dc1024bb390bc3db"
			want["multi-lru 10000"] = ".1843"
		}
		END {
			for (i = 1; i <= n; i++) {
				split(want[key[i]], w)
				if (rate[i] < w[1] - .001 || rate[i] > w[1] + .001 ||
				    (w[2] != "" && w[2] != digest[i]))
					exit 1
			}
			exit n != 18
		}' "$work/known"; then
		result ok "hit rates of the conversation trace"
	else
		result 'not ok' "hit rates of the conversation trace"
		sed 's/^/# /' "$work/known"
	fi
fi
exit $failed
