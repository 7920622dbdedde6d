#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Draw a run: kvbm-run in a guest, looked at five times a second by kvbmctl, as
# Documentation/run.svg, with the numbers in run.tsv beside it. Not a test.
#
# usage: scripts/plot-run.sh [-k KERNEL] [-o DIRECTORY] [-p] [ARG...]
#
#   -k KERNEL      stock-6.12 (default), stock-6.1
#   -o DIRECTORY   instead of Documentation
#   -p             only draw the numbers that are there already
#   ARG            arguments of kvbm-run, instead of --requests=60000
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")

kernel=stock-6.12 out=$top/Documentation draw_only=''
while getopts k:o:p opt; do
	case $opt in
	k) kernel=$OPTARG ;;
	o) out=$OPTARG ;;
	p) draw_only=1 ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- --requests=60000
unset MAKEFLAGS MFLAGS MAKELEVEL

"$here/deps.sh" build vm plots
if [ -z "$draw_only" ]; then
	for dir in lib tools; do
		make -s -C "$top/$dir" -j"$(nproc)" >&2
	done
	ko=$("$here/build-module.sh" "$kernel")
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	# shellcheck disable=SC2016	# for the guest
	sampler='
	kvbm-run --progress=never '"$*"' >/tmp/report &
	run=$!
	while kill -0 $run 2>/dev/null; do
		if kvbmctl stat run:g1 >/tmp/stat 2>/dev/null; then
			awk -v now="$(cut -d " " -f 1 /proc/uptime)" "
				{ v[\$1] = \$2 }
				END {
					printf \"@row\t%s\", now
					n = split(\"states[mutable] states[staged] states[primary] states[duplicate] states[inactive] states[reset] match_hashes_requested match_blocks_returned allocations evictions reclaimed_sessions\", names, \" \")
					for (i = 1; i <= n; i++) printf \"\t%s\", v[names[i]]
					print \"\"
				}" /tmp/stat
		fi
		sleep 0.2
	done
	wait $run
	status=$?
	sed "s/^/@report /" /tmp/report
	exit $status'
	"$here/vm.sh" -k "$kernel" -t 600 -m "$ko" -b "$top/build/bin/kvbm-run" \
		-b "$top/build/bin/kvbmctl" -- "$sampler" | tr -d '\r' >"$log"
	sed -n 's/^@report //p' "$log"
	{
		echo '# SPDX-License-Identifier: GPL-2.0'
		echo "# kvbm-run $* on $kernel, under emulation; made by scripts/plot-run.sh"
		sed -n 's/^@report /#   /p' "$log"
		echo '# s mutable staged primary duplicate inactive reset hashes-matched blocks-found allocations evictions dead-sessions'
		awk -F '\t' '/^@row/ {
			if (!start) start = $2
			printf "%.2f", $2 - start
			for (i = 3; i <= NF; i++) printf "\t%s", $i
			print ""
		}' "$log"
	} >"$out/run.tsv"
fi

killed=$(awk '!/^#/ && $12 > 0 { print $1; exit }' "$out/run.tsv")
mark=''
if [ -n "$killed" ]; then
	mark="set arrow 1 from $killed, graph 0 to $killed, graph 1 nohead lc rgb '#cc0000' dt 2 front
	set label 1 'a worker is killed' at $killed, graph 0.92 offset 0.6,0 tc rgb '#cc0000' front"
fi
gnuplot <<-PLOT
	hashes = found = t = u = a = e = 0
	set terminal svg size 900,760 dynamic font "sans-serif,13" background "white"
	set output "$out/run.svg"
	set multiplot layout 3,1
	set lmargin 11
	set rmargin 3
	set xrange [0:*]
	set key outside top center horizontal
	set grid ytics lc rgb "#dddddd"
	set style fill solid 0.8 noborder
	$mark
	set ylabel "blocks"
	set yrange [0:*]
	plot "$out/run.tsv" using 1:(\$2+\$3+\$4+\$5+\$6+\$7) with filledcurves x1 lc rgb "#eeeeee" title "reset", \
	     "" using 1:(\$2+\$3+\$4+\$5+\$6) with filledcurves x1 lc rgb "#9ecae1" title "inactive (cached)", \
	     "" using 1:(\$2+\$3+\$4+\$5) with filledcurves x1 lc rgb "#31a354" title "primary, duplicate (in use)", \
	     "" using 1:(\$2+\$3) with filledcurves x1 lc rgb "#fd8d3c" title "mutable, staged"
	unset label 1
	set ylabel "hit rate"
	set yrange [0:1]
	plot "$out/run.tsv" using 1:(h = \$8 - (x = hashes, hashes = \$8, x), f = \$9 - (y = found, found = \$9, y), h > 0 ? f / h : 1/0) with lines lw 2 lc rgb "#3182bd" title "of the hashes matched, since the look before"
	set ylabel "blocks per second"
	set xlabel "seconds"
	set yrange [0:*]
	plot "$out/run.tsv" using 1:(d = \$1 - (x = t, t = \$1, x), n = \$10 - (y = a, a = \$10, y), d > 0 ? n / d : 1/0) with lines lw 2 lc rgb "#31a354" title "allocations", \
	     "" using 1:(d = \$1 - (x = u, u = \$1, x), n = \$11 - (y = e, e = \$11, y), d > 0 ? n / d : 1/0) with lines lw 2 lc rgb "#e6550d" title "evictions"
PLOT
echo "$out/run.svg"
