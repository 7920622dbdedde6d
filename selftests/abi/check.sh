#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Is the ABI what it was, on every kind of program? As TAP.
#
# usage: INCLUDE=DIR check.sh
#
# INCLUDE is where linux/kvbm.h is found, by default that of this tree. After a
# change that is meant: make -C selftests/abi update
#
# shellcheck disable=SC2317	# the checks are called by name
set -uo pipefail

cd "$(dirname "$0")" || exit 1
include=${INCLUDE:-../../uapi}

../../scripts/deps.sh abi || exit 1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
suite=abi
# shellcheck source=scripts/tap.sh
. ../../scripts/tap.sh

as_kept() {
	[ -s "$work/dump" ] || { cat "$work/dump.err"; return 1; }
	diff -u --label kept --label now abi.dump "$work/dump" && return
	echo "If that is meant: make -C selftests/abi update"
	return 1
}

# Only what is in abi_structs.c is compared.
none_left_out() {
	sed -n 's/^struct \(kvbm_[a-z_]*\) {$/struct \1/p' "$include"/linux/kvbm*.h |
		sort >"$work/declared"
	grep '^struct ' "$work/dump" | sort >"$work/dumped"
	[ -s "$work/declared" ] && diff "$work/declared" "$work/dumped"
}

no_holes() {
	[ -s "$work/dump" ] || return 1
	awk '/^struct / { name = $2 }
	     /^\tBAD / { $1 = ""; print name ":" $0; bad = 1 }
	     END { exit bad }' "$work/dump"
}

# Every header alone, then all that they are made of. C90 without -pedantic:
# like other headers of the kernel, these end a list of enumerators in a comma.
compiles() {
	local compiler=$1 language=$2 h

	shift 2
	for h in "$include"/linux/*.h; do
		"$compiler" "$@" -Wall -Wextra -Wpadded -Werror -fsyntax-only \
			-I"$include" -x "$language" "$h" || return 1
	done
}

# The table of calls in the documentation: number, name, size.
as_documented() {
	cat >"$work/calls.c" <<-'EOT'
	#include <stddef.h>
	#include <stdio.h>
	#include <linux/kvbm.h>
	#include "abi_table.h"

	#define CALL(nr, type, last, need, rules, checker) \
		printf("0x%02x %s %zu\n", KVBM_CMD_##nr, #nr, sizeof(type));

	int main(void)
	{
		KVBM_ABI_CALLS(CALL)
		return 0;
	}
	EOT
	gcc -I"$include" -I../../kmod -o "$work/calls" "$work/calls.c" || return 1
	"$work/calls" | sort >"$work/built"
	tr -d '`' <../../Documentation/abi.rst |
		sed -n 's/^\(0x[0-9a-f]*\)  \([A-Z_]*\) *\([0-9]*\).*/\1 \2 \3/p' | sort |
		diff -u --label abi.rst --label built - "$work/built"
}

same_in_32_bits() {
	./dump.sh -m32 "$include" >"$work/dump32" || return 1
	[ -s "$work/dump32" ] || return 1
	# The constants follow the structures.
	sed '/^KVBM_/,$d' "$work/dump" | diff -u --label 64 --label 32 - "$work/dump32"
}

./dump.sh "$include" >"$work/dump" 2>"$work/dump.err"

echo "TAP version 13"
echo "1..8"
check "structures and constants are as kept" as_kept
check "every structure is in the dump" none_left_out
check "no holes, no padding" no_holes
check "every call and its size are in abi.rst" as_documented
check "headers in C90" compiles gcc c -std=c90
check "headers in C11, pedantic" compiles gcc c -std=c11 -pedantic
check "headers in C++17, pedantic" compiles g++ c++ -std=c++17 -pedantic
if echo 'int x;' | gcc -m32 -x c -c -o /dev/null - 2>/dev/null; then
	check "structures in 32-bit programs" same_in_32_bits
else
	skip "structures in 32-bit programs" "gcc -m32 does not work"
fi
exit $failed
