#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Make Debian's Prometheus and node_exporter available, in a cache outside the
# tree, and say where. The packages are unpacked, never installed: they would
# start services on this machine.
#
# usage: scripts/prometheus.sh
#
# Prints for eval:
#   PROMETHEUS  PROMTOOL  NODE_EXPORTER   the programs
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${KVBM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvbm}
packages=(prometheus prometheus-node-exporter)

say() { echo "prometheus.sh: $*" >&2; }

"$here/deps.sh" build
dir=$cache/prometheus
if [ ! -e "$dir/.complete" ]; then
	mkdir -p "$cache"
	exec 9>"$cache/prometheus.lock"
	flock 9
fi
if [ ! -e "$dir/.complete" ]; then
	say "fetching ${packages[*]}"
	rm -rf "$dir"
	mkdir -p "$dir"
	if ! (cd "$dir" && apt-get -q download "${packages[@]}") >"$dir/log" 2>&1; then
		# The lists may be old, or none may be there yet.
		if [ "$(id -u)" = 0 ]; then as_root='env'; else as_root='sudo env'; fi
		$as_root apt-get -q update >>"$dir/log" 2>&1 </dev/null || true
		(cd "$dir" && apt-get -q download "${packages[@]}") >>"$dir/log" 2>&1 || {
			tail -n 10 "$dir/log" >&2
			say "cannot get ${packages[*]}"
			exit 1
		}
	fi
	for deb in "$dir"/*.deb; do
		dpkg-deb -x "$deb" "$dir"
		rm "$deb"
	done
	touch "$dir/.complete"
fi
printf '%s=%q\n' PROMETHEUS "$dir/usr/bin/prometheus" \
	PROMTOOL "$dir/usr/bin/promtool" \
	NODE_EXPORTER "$dir/usr/bin/prometheus-node-exporter"
