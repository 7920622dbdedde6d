#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# Replay the corpus of each target, then fuzz for $FUZZ_SECONDS. An input that
# crashes is kept in the corpus: it is a test from then on.
#
# usage: OUT=DIR FUZZ_SECONDS=n run.sh TARGET...
set -uo pipefail

cd "$(dirname "$0")" || exit 1
echo "TAP version 13"
echo "1..$((2 * $#))"
n=0 failed=0

# result NAME STATUS: one line of TAP, and why.
result() {
	n=$((n + 1))
	if [ "$2" = 0 ]; then
		echo "ok $n $1"
	else
		echo "not ok $n $1"
		grep -v '^#[0-9]' "$OUT/log" | tail -n 40 | sed 's/^/# /'
		failed=1
	fi
}

for target; do
	corpus=corpus/$target found=$OUT/found/$target
	mkdir -p "$corpus" "$found"
	files=$(find "$corpus" -type f | wc -l)

	"$OUT/${target}_fuzz" -runs=0 -artifact_prefix="$OUT/" "$corpus" >"$OUT/log" 2>&1
	result "fuzz: $target: corpus of $files inputs" $?

	seed=${SEED:-$RANDOM}
	"$OUT/${target}_fuzz" -seed="$seed" -max_total_time="$FUZZ_SECONDS" -max_len=4096 \
		-timeout=30 -rss_limit_mb=1024 -print_final_stats=1 \
		-artifact_prefix="$corpus/" "$found" "$corpus" >"$OUT/log" 2>&1
	status=$?
	execs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$OUT/log")
	cov=$(sed -n 's/.*DONE *cov: \([0-9]*\).*/\1/p' "$OUT/log")
	result "fuzz: $target: $FUZZ_SECONDS s, SEED=$seed, ${execs:-no} executions, ${cov:-?} edges" \
		$status
done
exit $failed
