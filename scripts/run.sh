#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The main job: boot a kernel with the module in it and run kvbm-run there.
# Builds and installs whatever is missing.
#
# usage: scripts/run.sh [-k KERNEL] [--check] [TRACE] [-- ARG...]
#
#   -k KERNEL   stock-6.12 (default), stock-6.1 or debug-6.12
#   --check     as a test: a short run, TAP around it
#   TRACE       a trace file for kvbm-run; without one it makes its own
#   ARG         further arguments of kvbm-run
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")

say() { echo "run.sh: $*" >&2; }

kernel=stock-6.12 check=0 trace=''
while [ $# -gt 0 ]; do
	case $1 in
	-k) kernel=$2; shift ;;
	--check) check=1 ;;
	--) shift; break ;;
	-*) say "what is $1?"; exit 2 ;;
	*) trace=$1 ;;
	esac
	shift
done
[ -z "$trace" ] || [ -r "$trace" ] || { say "cannot read $trace"; exit 2; }

"$here/deps.sh" build vm
say "building"
for dir in lib tools; do
	# A make above us may have variables meant for itself.
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL \
		make -s -C "$top/$dir" -j"$(nproc)" >&2
done
ko=$("$here/build-module.sh" "$kernel")

args=(-k "$kernel" -m "$ko" -b "$top/build/bin/kvbm-run")
command=(kvbm-run)
if [ -n "$trace" ]; then
	args+=(-f "$trace:/trace/$(basename "$trace")" -s 1G)
	command+=("/trace/$(basename "$trace")")
fi
command+=("$@")

if [ $check = 0 ]; then
	exec "$here/vm.sh" "${args[@]}" -t "${KVBM_RUN_TIMEOUT:-1800}" -- "${command[@]}"
fi

echo "TAP version 13"
echo "1..1"
status=0
"$here/vm.sh" "${args[@]}" -t 300 -o "$top/build/vm/check-$kernel-run" \
	-- "${command[@]}" | tr '\r' '\n' | sed 's/^/# /' || status=${PIPESTATUS[0]}
if [ "$status" = 0 ]; then
	echo "ok 1 kvbm-run on $kernel"
else
	echo "not ok 1 kvbm-run on $kernel: exit status $status"
fi
exit "$status"
