#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Record what kvbm-logical's digests of short scripts are, for check.sh, which
# does without kvbm-logical. To be run after a change of the scripts.
#
# usage: tools/bench/record.sh
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "$here/../.." && pwd)/build/bench
unset MAKEFLAGS MFLAGS MAKELEVEL

make -s -C "$here" >&2
make -s -C "$here" peer >&2
version=$(awk -F '"' '/^name = "kvbm-logical"/ { getline; print $2 }' \
	"$here/peer/Cargo.lock")
{
	printf '# kvbm-logical %s; see record.sh\n' "$version"
	printf '# policy\tduplicates\toperations\tseed\tchain\tdigest\n'
	for policy in fifo lru multi-lru lineage-tick lineage-fifo; do
		case $policy in lineage-*) chain=60 ;; *) chain=300 ;; esac
		for way in allow reject; do
			digest=$("$bin/kvbm-script" --ops 60000 --seed 7 --policy $policy \
				--duplicates $way --chain $chain | "$bin/kvbm-peer" - |
				sed -n 's/.*digest //p')
			printf '%s\t%s\t60000\t7\t%s\t%s\n' $policy $way $chain "$digest"
		done
	done
} >"$here/digests.tsv"
