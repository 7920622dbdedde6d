#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Build the selftests and run them in a guest. The output is their TAP, with
# the "# group" lines that tap.awk reads.
#
# usage: scripts/selftests.sh -k KERNEL [-o LOGDIR] [TEST...]
#
# From the environment: KVBM_LONG=N, N times as long; KVBM_STORM=HZ, signals for every process of
# the tests in C; KVBM_HOTPLUG=1, the second processor goes and comes; SEED and
# RUN_SECONDS of random tests.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")

kernel=stock-6.12 logs=$top/build/vm/selftests
while getopts k:o: opt; do
	case $opt in
	k) kernel=$OPTARG ;;
	o) logs=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))

# A make above us may have variables meant for itself on its command line.
unset MAKEFLAGS MFLAGS MAKELEVEL

"$here/deps.sh" build vm
vars=$("$here/kernel.sh" source-6.12)
KSRC=''
eval "$vars"

out=$top/build/selftests
mkdir -p "$out"
for dir in lib tools; do
	[ ! -e "$top/$dir/Makefile" ] ||
		make -s -C "$top/$dir" -j"$(nproc)" >&2
done
make -s -C "$top/selftests" KSRC="$KSRC" OUTPUT="$out" -j"$(nproc)" >&2
# lib.mk knows the list; scripts (TEST_PROGS) stay in the source directory.
make -s -C "$top/selftests" KSRC="$KSRC" OUTPUT="$out" COLLECTION=kvbm emit_tests |
	sed -n 's/^kvbm://p' >"$out/list"
[ -s "$out/list" ] || { echo "selftests.sh: no tests in the list" >&2; exit 1; }
# A debug kernel is ten times slower. What exercises the library more than the
# module, and all in 32 bits, runs there in long runs only; where accesses or lines
# are looked at, never.
if [[ $kernel = @(kcsan|gcov)-* || ( $kernel = debug-* && -z ${KVBM_LONG-} ) ]]; then
	sed -i -e '/_32$/d' -e '/^kvbm_lib_seq_/d' -e '/^kvbm_lib_policy_test$/d' \
		-e '/^kvbm_lib_handle_test$/d' -e '/^kvbm_lib_events_test$/d' \
		-e '/^kvbm_eventd$/d' -e '/^kvbm_ctl.sh$/d' -e '/^kvbm_example.sh$/d' \
		"$out/list"
fi
# Only what includes kvbm_util.h knows what to do in a storm. kvbm_wait counts the
# waits, and every signal ends one. kvbm_trace has tracing patch the code that wakes
# tasks, which a storm runs all the time: QEMU without KVM may come to a breakpoint
# there that has just gone.
[ -z "${KVBM_STORM-}" ] ||
	sed -i -e '/^kvbm_lib_/d' -e '/\.sh$/d' -e '/^kvbm_eventd$/d' -e '/^kvbm_wait/d' \
		-e '/^kvbm_trace/d' \
		"$out/list"
module_args=() after=''
if [[ $kernel = gcov-* ]]; then
	module_args=(GCOV_PROFILE=y KCFLAGS=-Og)
	after=gcov
fi
ko=$("$here/build-module.sh" "$kernel" "${module_args[@]}")

args=(-k "$kernel" -o "$logs" -m "$ko" -d "$out:/selftests"
      -f "$here/guest-tests.sh:/selftests/guest-tests.sh"
      -f "$top/packaging/60-kvbm.rules:/lib/udev/rules.d/"
      -f /lib/terminfo/x/xterm:/lib/terminfo/x/)
for f in "$top"/selftests/*.sh; do
	[ ! -e "$f" ] || args+=(-f "$f:/selftests/")
done
for f in "$top"/build/bin/*; do
	[ ! -f "$f" ] || args+=(-b "$f")
done

case $kernel in
debug-* | kcsan-*) limit=2700 each=900 ;;
*)	 limit=900 each=300 ;;
esac
if [ -n "${KVBM_LONG-}" ]; then
	# On a debug kernel more programs, too.
	limit=$((limit * (KVBM_LONG + 1))) each=$((each * KVBM_LONG))
	args+=(--env KVBM_LONG="$KVBM_LONG")
fi
for name in KVBM_STORM KVBM_HOTPLUG SEED RUN_SECONDS; do
	[ -z "${!name-}" ] || args+=(--env "$name=${!name}")
done
exec "$here/vm.sh" "${args[@]}" -t $limit --env KVBM_TEST_TIMEOUT=$each \
	--env KVBM_AFTER="$after" \
	-- sh /selftests/guest-tests.sh "$@"
