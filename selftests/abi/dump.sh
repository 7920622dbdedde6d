#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Print what programs are compiled against: size and members of every structure
# of the ABI, and the value of every constant.
#
# usage: dump.sh [-m32] INCLUDE
#
#   -m32      the structures as a 32-bit program has them, without constants
#   INCLUDE   the directory that linux/kvbm.h is in, or its parent's
set -eu

here=$(cd "$(dirname "$0")" && pwd)
CC=${CC:-gcc}

bits=
if [ "${1-}" = -m32 ]; then
	bits=-m32
	shift
fi
[ $# = 1 ] || { echo "usage: dump.sh [-m32] INCLUDE" >&2; exit 2; }
include=$1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$CC" $bits -g -std=c11 -I"$include" -c "$here/abi_structs.c" -o "$work/structs.o"
# Without what depends on the version of pahole and on the machine: layout of
# the text, cache lines, and attributes, which the offsets show the effect of.
pahole "$work/structs.o" | awk '
/^struct [a-z_]+ \{/ {
	print "struct " $2
	next
}
match($0, /\/\* +[0-9]+ +[0-9]+ \*\/$/) {
	split(substr($0, RSTART), place)
	member = substr($0, 1, RSTART - 1)
	sub(/__attribute__.*/, "", member)
	gsub(/[ \t;]+/, " ", member)
	sub(/ $/, "", member)
	printf "\t%u %u%s\n", place[2], place[3], member
	next
}
/\/\* size: [0-9]+/ {
	match($0, /[0-9]+/)
	printf "\tsize %u\n", substr($0, RSTART, RLENGTH)
	next
}
# A hole within, or padding at the end, would carry what is in the memory of the
# kernel, or could never be given a meaning.
/hole|padding/ {
	gsub(/^[ \t\/*]+|[ \t\/*]+$/, "")
	print "\tBAD " $0
}'
[ -z "$bits" ] || exit 0

# Macros that take arguments make numbers out of others, which are listed.
printf '#include <linux/kvbm.h>\n' |
	"$CC" -I"$include" -dM -E -x c - |
	sed -n 's/^#define \(KVBM_[A-Za-z0-9_]*\) .*/\1/p' | LC_ALL=C sort >"$work/names"
{
	printf '#include <stdio.h>\n#include <linux/kvbm.h>\nint main(void)\n{\n'
	while read -r name; do
		printf '\tprintf("%s 0x%%llx\\n", (unsigned long long)(%s));\n' \
			"$name" "$name"
	done <"$work/names"
	printf '\treturn 0;\n}\n'
} >"$work/constants.c"
"$CC" -I"$include" "$work/constants.c" -o "$work/constants"
"$work/constants"
