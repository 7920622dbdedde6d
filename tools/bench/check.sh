#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The comparison with kvbm-logical, as far as it goes without kvbm-logical: short
# scripts have to have the digests that it had for them (digests.tsv), and the
# benchmark has to measure, to write its rows, and to see results that differ.
# Asserts nothing about time. As TAP.
#
# usage: tools/bench/check.sh
# Functions are called by try().
# shellcheck disable=SC2317
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
bin=$top/build/bench
unset MAKEFLAGS MFLAGS MAKELEVEL

"$top/scripts/deps.sh" build || exit 1
make -s -C "$here" -j"$(nproc)" >&2 || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

n=0 failed=0
result() {
	n=$((n + 1))
	echo "$1 $n bench: $2"
	case $1 in
	not*) failed=1; sed 's/^/# /' "$work/err" ;;
	esac
}

# try DESCRIPTION COMMAND...
try() {
	local what=$1

	shift
	if "$@" 2>"$work/err"; then result ok "$what"; else result "not ok" "$what"; fi
}

# same_digest POLICY DUPLICATES OPS SEED CHAIN DIGEST
same_digest() {
	local got

	got=$("$bin/kvbm-script" --policy "$1" --duplicates "$2" --ops "$3" --seed "$4" \
		--chain "$5" | "$bin/kvbm-ours" - | sed -n 's/.* operations, digest //p')
	[ "$got" = "$6" ] || { echo "digest $got, kvbm-logical had $6" >&2; return 1; }
}

# Our side twice: it has all groups but the peer's.
measure() {
	"$bin/kvbm-bench" --ours "$bin/kvbm-ours" --peer "$1" --samples 3 --sample-us 50 \
		--sizes 8,32 --pools 0,1Ki --policies lru,lineage-tick \
		--groups "$groups" >"$work/rows"
}

groups=match_blocks_active_hit,match_blocks_inactive_hit,bulk_drop,allocate_evict
groups=$groups,allocate_stage_register,miss,scattered,scan,decode_step,fan_out
groups=$groups,two_threads,floor

# Every group, and both sides in each row.
rows_are_there() {
	measure "$work/peer" || return 1
	[ "$(grep -o '"group": "[a-z_]*"' "$work/rows" | sort -u | wc -l)" = 12 ] || return 1
	! grep null "$work/rows" >&2
}

# A peer that has other results.
cat >"$work/liar" <<LIAR
#!/bin/sh
"$bin/kvbm-ours" bench | sed -u 's/^digest ./digest x/; s/digest x/digest 0f/'
LIAR
cat >"$work/peer" <<PEER
#!/bin/sh
exec "$bin/kvbm-ours" bench
PEER
chmod +x "$work/liar" "$work/peer"

difference_is_seen() {
	measure "$work/liar" 2>"$work/said" && return 1
	grep -q "results differ" "$work/said" || { cat "$work/said" >&2; return 1; }
}

# Without a peer: its columns are empty, the file is complete.
file_is_written() {
	"$top/scripts/bench.sh" --quick --no-peer --policies lru --sizes 8 --pools 1Ki \
		-o "$work/bench.json" >"$work/table" || return 1
	python3 - "$work/bench.json" <<'PYTHON'
import json, sys
bench = json.load(open(sys.argv[1]))
assert bench["peer"] is None
for row in bench["rows"]:
    assert set(row) == {"way", "group", "policy", "n", "pool", "ours", "theirs",
                        "ratio", "spread"}, row
    assert row["theirs"] is None and row["ratio"] is None, row
assert any(row["ours"] for row in bench["rows"])
PYTHON
}

# Ours only, into a document that has the marks; a second time it is the same.
tables_are_made() {
	printf 'Before\n\n.. tables: native\n.. end of tables: native\n\nAfter\n' >"$work/page.rst"
	"$here/tables.py" --into "$work/page.rst" "$work/bench.json" || return 1
	grep -q '^match_blocks_inactive_hit' "$work/page.rst" || return 1
	grep -q '^After' "$work/page.rst" || return 1
	cp "$work/page.rst" "$work/page.once"
	"$here/tables.py" --into "$work/page.rst" "$work/bench.json" || return 1
	cmp "$work/page.once" "$work/page.rst" >&2
}

mapfile -t digests < <(grep -v '^#' "$here/digests.tsv")
echo "TAP version 13"
echo "1..$((${#digests[@]} + 4))"
for line in "${digests[@]}"; do
	read -r policy way ops seed chain digest <<<"$line"
	try "$policy, duplicates ${way}ed: $ops operations as kvbm-logical" \
		same_digest "$policy" "$way" "$ops" "$seed" "$chain" "$digest"
done
try "all groups are measured, on both sides" rows_are_there
try "results that differ are seen" difference_is_seen
try "bench.json without a peer" file_is_written
try "tables of it in a page" tables_are_made
exit $failed
