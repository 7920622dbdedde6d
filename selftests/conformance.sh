#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Is selftests/conformance.tsv in order: rows, the tests that they name, and, where the
# specification is at hand, the names of the reference's tests? As TAP.
#
# usage: selftests/conformance.sh
#
# KVBM_SPEC names the directory with core.md, registry-events-sequence.md and
# reference-tests.txt (default: ../shared/spec beside this tree). Without them, whether
# any name is missing is not checked.
#
# shellcheck disable=SC2317	# the checks are called by name
set -uo pipefail
export LC_ALL=C.UTF-8

cd "$(dirname "$0")" || exit 1
table=conformance.tsv
spec=${KVBM_SPEC:-../../shared/spec}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
suite=conformance
# shellcheck source=scripts/tap.sh
. ../scripts/tap.sh

# "SECTION NAME" of each row.
rows() {
	awk -F '\t' '/^# [0-9]+\.[0-9]+ / { split($1, w, " "); section = w[2] }
		     !/^(#|$)/ { print section, $1 }' "$table"
}

well_formed() {
	awk -F '\t' '
	function bad(what) { print "line " NR ": " what ": " $0; failed = 1 }
	/^# [0-9]+\.[0-9]+ / { section = $0; last = "" }
	/^(#|$)/ { next }
	section == ""		{ bad("in no section") }
	NF < 2 || NF > 3	{ bad("not two or three columns") }
	/^\t|\t$|\t\t|  |\r/	{ bad("empty column, or stray space") }
	$1 !~ /^([a-z0-9_]+::)?[a-z0-9_]+$/ { bad("no name of a test") }
	$1 in seen		{ bad("twice") }
	$1 <= last		{ bad("not sorted") }
	$2 == "n/a" && NF < 3	{ bad("no reason") }
	$2 == "n/a" && length($3) < 20 { bad("that is no reason") }
	$2 != "n/a" && $2 !~ /^[a-z_]+:./ { bad("neither program:test nor n/a") }
	{ seen[$1]; last = $1 }
	END { exit failed || !length(seen) }' "$table"
}

# in_makefile PROGRAM MAKEFILE: is it one that is run?
in_makefile() {
	grep -qw -- "$1" "$2" || { echo "$1 is not in $2" >&2; return 1; }
}

# "program:test" of each test that the suites run.
tests() {
	local f program

	for f in engine/*_test.c eventd/*_test.c; do
		program=$(basename "$f" .c)
		in_makefile "$program" "${f%/*}/Makefile" || continue
		sed -n "s/^\t\t*TEST(\([a-z0-9_]*\)),$/$program:\1/p" "$f"
	done
	for f in kvbm_*.c; do
		program=${f%.c}
		sed -n "s/^TEST_F([a-z_]*, \([a-z0-9_]*\))$/$program:\1/p
			s/^TEST(\([a-z0-9_]*\))$/$program:\1/p" "$f" >"$work/found"
		[ ! -s "$work/found" ] || ! in_makefile "$program" Makefile || cat "$work/found"
	done
	sed -n '/^TESTS = \[/,/^\]/p' eventd/eventd_test.py | grep -o '[a-z_0-9]\{4,\}' |
		sed 's/^/eventd_test:/'
	grep -o '"[^"]*"' exporter/exporter_test.py | sed 's/^"\(.*\)"$/exporter:\1/'
	# Those of the controls that are not left to long runs.
	sed -n 's/^negative=(\(.*\))$/\1/p' ../scripts/check.sh | tr ' ' '\n' |
		grep . | sed 's/^/negative:/'
}

# What rows name, in the second column and in parentheses in the third.
named() {
	awk -F '\t' '!/^(#|$)/ {
		if ($2 != "n/a")
			print $2
		while (match($3, /\([a-z_]+:[^()]*\)/)) {
			print substr($3, RSTART + 1, RLENGTH - 2)
			$3 = substr($3, RSTART + RLENGTH)
		}
	}' "$table" | sort -u
}

tests_are_there() {
	tests 2>"$work/idle" | sort -u >"$work/tests"
	cat "$work/idle"
	named | comm -23 - "$work/tests" >"$work/unknown"
	sed 's/^/no such test: /' "$work/unknown"
	[ -s "$work/tests" ] && ! [ -s "$work/unknown" ] && ! [ -s "$work/idle" ]
}

differences_are_told() {
	sed -n '/^#/!s/.*differs: //p' "$table" | sort -u >"$work/places"
	tr -d '`' <../Documentation/differences.rst | sort -u |
		comm -23 "$work/places" - >"$work/untold"
	sed 's/^/not in differences.rst: /' "$work/untold"
	[ -s "$work/places" ] && ! [ -s "$work/untold" ]
}

# Names in the catalogues: "SECTION NAME". One that begins with _ is the end of a name.
catalogue() {
	{
		awk '/^## 16\./ { exit } /^## 15\./ { on = 1 } on' "$spec/core.md"
		awk '/^## 9\./ { on = 1 } on' "$spec/registry-events-sequence.md"
	} | awk '
	function names(text,    piece, word, i, k, n, m) {
		gsub(/\*\*[^*]*\*\*|\([^()]*\)|\[[^]]*\]/, "", text)
		sub(/ – .*/, "", text)
		n = split(text, piece, /; *|\. +/)
		for (i = 1; i <= n; i++) {
			sub(/^[- :]+/, "", piece[i])
			# A label; and after a colon, what the test does.
			sub(/^([A-Z][A-Za-z \/-]*|[a-z_]+\.rs) *: */, "", piece[i])
			sub(/:.*/, "", piece[i])
			m = split(piece[i], word, /[\/,* .]+/)
			for (k = 1; k <= m; k++)
				if (word[k] ~ /^[a-z0-9]*(_[a-z0-9]+)+$/)
					print section, word[k]
		}
	}
	/^(##|- |$)/ { names(item); item = "" }
	/^##/ { section = "" }
	/^### / { section = $2; next }
	section != "" { item = item " " $0 }
	END { names(item) }'
}

# The test of the crate that two catalogues have is in the table once.
catalogue_has_rows() {
	catalogue | grep -v '^9\.8 ' >"$work/catalogue"
	rows | sed 's/ [a-z0-9_]*::/ /' | awk -v min=500 '
	NR == FNR { row[$0]++; next }
	{ total++ }
	$2 !~ /^_/ {
		if (row[$0]-- < 1) {
			print "no row: " $0
			failed = 1
		}
		next
	}
	{ ends[++n] = $0 }
	# Each of the others is the end of a row that has not served yet. Longer ones
	# first: what ends like them may end like a shorter one, too.
	END {
		for (i = 1; i <= n; i++) {
			for (k = i + 1; k <= n; k++)
				if (length(ends[k]) > length(ends[i])) {
					e[1] = ends[i]
					ends[i] = ends[k]
					ends[k] = e[1]
				}
			split(ends[i], e)
			for (r in row) {
				split(r, w)
				if (row[r] > 0 && w[1] == e[1] &&
				    substr(w[2], length(w[2]) - length(e[2]) + 1) == e[2])
					break
				r = ""
			}
			if (r == "") {
				print "no row ends like this: " ends[i]
				failed = 1
			} else {
				row[r]--
			}
		}
		for (r in row)
			if (row[r] > 0) {
				print "not in the catalogue: " r
				failed = 1
			}
		if (total < min) {
			print "only " total " names in the catalogue: has its form changed?"
			failed = 1
		}
		exit failed
	}' - "$work/catalogue"
}

names_have_rows() {
	rows | sed 's/.*[ :]//' | sort -u >"$work/names"
	grep -o '^[a-z0-9_]*' "$spec/reference-tests.txt" | sort -u |
		comm -23 - "$work/names" >"$work/without"
	sed 's/^/no row: /' "$work/without"
	[ -s "$spec/reference-tests.txt" ] && ! [ -s "$work/without" ]
}

echo "TAP version 13"
echo "1..$([ -r "$spec/core.md" ] && echo 5 || echo 3)"
check "rows are well formed, sorted, none twice" well_formed
check "the tests are there, and run" tests_are_there
check "differences are in differences.rst" differences_are_told
if [ -r "$spec/core.md" ]; then
	check "every name of reference-tests.txt has a row" names_have_rows
	check "every name of the catalogues has a row, and none has another" catalogue_has_rows
else
	echo "# no specification, see KVBM_SPEC: missing names were not looked for"
fi
awk -F '\t' '!/^(#|$)/ { rows++ }
	     !/^(#|$)/ && $2 == "n/a" { na++; next }
	     !/^(#|$)/ { tests[$2]; differ += $3 ~ /^differs: / }
	     END { printf "# %d tests of the reference: %d by %d tests here (%d differ), %d n/a\n",
		   rows, rows - na, length(tests), differ, na }' "$table"
exit $failed
