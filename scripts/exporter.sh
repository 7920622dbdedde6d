#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# kvbm-exporter in a guest; what it wrote, with promtool, node_exporter and
# Prometheus here. As TAP.
#
# usage: scripts/exporter.sh [-k KERNEL] [-o LOGDIR]
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")

kernel=stock-6.12 logs=$top/build/vm/exporter
while getopts k:o: opt; do
	case $opt in
	k) kernel=$OPTARG ;;
	o) logs=$OPTARG ;;
	*) exit 2 ;;
	esac
done
unset MAKEFLAGS MFLAGS MAKELEVEL

"$here/deps.sh" build vm
vars=$("$here/prometheus.sh")
PROMETHEUS='' PROMTOOL='' NODE_EXPORTER=''
eval "$vars"
vars=$("$here/kernel.sh" source-6.12)
KSRC=''
eval "$vars"
for dir in lib tools; do
	make -s -C "$top/$dir" -j"$(nproc)" >&2
done
out=$top/build/selftests
mkdir -p "$out"
make -s -C "$top/selftests" KSRC="$KSRC" OUTPUT="$out" "$out/kvbm_hold" >&2
ko=$("$here/build-module.sh" "$kernel")

echo "TAP version 13"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
"$here/vm.sh" -k "$kernel" -o "$logs" -t 300 -m "$ko" \
	-b "$top/build/bin/kvbm-exporter" -b "$top/build/bin/kvbmctl" \
	-b "$out/kvbm_hold:/selftests/kvbm_hold" \
	-f "$top/selftests/exporter/guest.sh:/selftests/guest.sh" \
	-- sh /selftests/guest.sh >"$work/output" || status=$?
test_status=0
cd "$top"
python3 "$top/selftests/exporter/exporter_test.py" "$work/output" \
	"$PROMETHEUS" "$PROMTOOL" "$NODE_EXPORTER" || test_status=$?
[ "$status" = 0 ] || { echo "Bail out! the guest ended with status $status"; exit 1; }
exit "$test_status"
