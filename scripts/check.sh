#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Run all tests, print a table, and close with "N passed, N failed, N skipped".
# Installs and builds whatever is missing, the debug kernel included.
#
# usage: scripts/check.sh [--long] [-l] [SUITE...]
#
#   --long   longer runs: KVBM_LONG=2 for every suite unless it is set, all negative
#            controls, all seeded faults, and how much of the code the tests run
#   -l       list the suites
#
# KERNELS in the environment: only what runs on one of them; "host" is one.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
cd "$top" || exit 1
logs=$top/build/check
unset MAKEFLAGS MFLAGS MAKELEVEL

negative=(warn vmalloc lock leak atomic) faults=(--quick) long=()
# Signals, and a processor that goes and comes, in the midst of what waits, ends
# sessions, and moves blocks. All tests in C, in long runs.
storm=(kvbm_abi kvbm_lifecycle kvbm_calls kvbm_manager kvbm_session
       kvbm_events kvbm_pin kvbm_quota kvbm_epoch kvbm_backing kvbm_holders kvbm_model kvbm_shared)
if [ "${1-}" = --long ]; then
	export KVBM_LONG=${KVBM_LONG:-2}
	negative=() storm=() faults=()
	# Take other kernels, or long.
	long=(
"coverage    | gcov-6.12  | scripts/coverage.py       | scripts/coverage.py"
"kselftest   | kcsan-6.12 | selftests/Makefile        | scripts/selftests.sh -k kcsan-6.12 -o build/vm/check-kcsan-6.12-kselftest"
"negative    | kcsan-6.12 | scripts/negative/Kbuild   | scripts/negative.sh race"
	)
	shift
fi

# suite | kernel or host | a file it cannot do without | command
suites=(
"engine      | host       | selftests/engine/Makefile | make -s -C selftests/engine run_tests"
"eventd      | host       | scripts/eventd.sh         | scripts/eventd.sh"
"static      | host       | scripts/static.sh         | scripts/static.sh"
"conformance | host       | selftests/conformance.tsv | selftests/conformance.sh"
"abi         | host       | selftests/abi/check.sh    | selftests/abi/check.sh"
"packaging   | host       | packaging/check.sh        | packaging/check.sh"
"fuzz        | host       | selftests/fuzz/run.sh     | make -s -C selftests/fuzz run_tests"
"bench       | host       | tools/bench/check.sh      | tools/bench/check.sh"
"faults      | host       | scripts/faults.py         | scripts/faults.py ${faults[*]}"
"main-job    | stock-6.12 | tools/Makefile            | scripts/run.sh --check"
"replay      | stock-6.12 | scripts/replay.sh         | scripts/replay.sh -o build/vm/check-stock-6.12-replay"
"exporter    | stock-6.12 | scripts/exporter.sh       | scripts/exporter.sh -o build/vm/check-stock-6.12-exporter"
"kselftest   | stock-6.12 | selftests/Makefile        | scripts/selftests.sh -k stock-6.12 -o build/vm/check-stock-6.12-kselftest"
"kselftest   | stock-6.1  | selftests/Makefile        | scripts/selftests.sh -k stock-6.1 -o build/vm/check-stock-6.1-kselftest"
"storm       | stock-6.12 | selftests/Makefile        | KVBM_STORM=1000 KVBM_HOTPLUG=1 scripts/selftests.sh -k stock-6.12 -o build/vm/check-stock-6.12-storm ${storm[*]}"
"kselftest   | debug-6.12 | selftests/Makefile        | scripts/selftests.sh -k debug-6.12 -o build/vm/check-debug-6.12-kselftest"
"negative    | debug-6.12 | scripts/negative/Kbuild   | scripts/negative.sh ${negative[*]}"
"${long[@]}"
)

if [ "${1-}" = -l ]; then
	printf '%s\n' "${suites[@]}" | awk -F ' *[|] *' '{ print $1, $2 }' | sort -u
	exit 0
fi

passed=0 failed=0 skipped=0 table='' red=()

# run_suite NAME KERNEL NEEDS COMMAND: one row of the table.
run_suite() {
	local name=$1 kernel=$2 needs=$3 log status start p f s seconds
	local splats=- leaks=- lockdep_classes=- result

	log=$logs/$kernel-$name.log
	result=build/vm/check-$kernel-${name/main-job/run}/result.env
	echo "== $name on $kernel"
	if [ ! -e "$needs" ]; then
		echo "  !!!!!! $needs IS MISSING, SUITE NOT RUN"
		skipped=$((skipped + 1))
		table+="$kernel $name 0 0 1 - - - 0"$'\n'
		return
	fi
	rm -f "$result"
	: >"$log"
	start=$SECONDS
	# The command's own words to stderr go to the log and to the terminal.
	{ eval "$4" 2> >(tee -a "$log" >&2); } </dev/null | tee -a "$log" |
		awk -f "$here/tap.awk" -v suite="$name" -v totals="$logs/totals"
	status=${PIPESTATUS[0]}
	seconds=$((SECONDS - start))
	read -r p f s <"$logs/totals"
	if [ -e "$result" ]; then
		splats=$(sed -n 's/^splats=//p' "$result")
		leaks=$(sed -n 's/^leaks=//p' "$result")
		lockdep_classes=$(sed -n 's/^lockdep_classes=//p' "$result")
	fi
	# A splat or a leak is a failure of its own, next to failed tests too.
	# Any other reason to be red counts only if no test has said it yet.
	if [[ $splats$leaks = *[1-9]* ]] || { [ "$status" != 0 ] && [ "$f" = 0 ]; }; then
		echo "  FAILED $name on $kernel: exit status $status, splats $splats, leaks $leaks"
		f=$((f + 1))
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	table+="$kernel $name $p $f $s $splats $leaks ${lockdep_classes:--} $seconds"$'\n'
	if [ "$f" != 0 ]; then
		echo "  log: ${log#"$top/"}"
		red+=("$log")
	fi
}

mkdir -p "$logs"
"$here/deps.sh" || exit 1

for entry in "${suites[@]}"; do
	IFS='|' read -r name kernel needs command <<<"$entry"
	name=${name// /} kernel=${kernel// /} needs=${needs// /}
	[ $# = 0 ] || [[ " $* " = *" $name "* ]] || continue
	[ -z "${KERNELS-}" ] || [[ " $KERNELS " = *" $kernel "* ]] || continue
	# Ahead of the suite, so that its seconds are its own.
	[ "$kernel" = host ] || "$here/kernel.sh" "$kernel" >/dev/null || {
		echo "  FAILED no kernel $kernel"
		failed=$((failed + 1))
		continue
	}
	run_suite "$name" "$kernel" "$needs" "$command"
done

echo
{
	echo "kernel suite passed failed skipped splats leaks lockdep-classes seconds"
	printf '%s' "$table"
} | column -t | tee "$logs/table"
echo "total: $SECONDS s"
# Again at the end, where whoever sees only the last page of this looks: the
# failed tests, and the kernel's words where there was a splat.
for log in "${red[@]}"; do
	echo "== ${log#"$top/"}"
	grep -E '^not ok|^Bail out' "$log" | head -n 10
	console=$(sed -n 's/.*(logs: \(.*\))$/\1/p' "$log" | tail -n 1)/console.log
	if [ -r "$console" ]; then
		"$here/splat-check.sh" "$console" | head -n 25
	else
		tail -n 10 "$log"
	fi
done
[ $((passed + failed)) -gt 0 ] || { echo "no test ran"; failed=1; }
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
