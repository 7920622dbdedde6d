#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Build the module for one test kernel. The sources are copied first: kbuild
# leaves its products beside them, and products for two kernels do not mix.
#
# usage: scripts/build-module.sh [-c] [-S SRCDIR] NAME [MAKE-ARG...]
#
#   -c          from scratch: an object that is up to date gives no warnings
#   -S SRCDIR   a directory with a Kbuild of its own, instead of the top of
#               this tree
#
# Prints the path of the module. Warnings go to stderr.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")

die() { echo "build-module.sh: $*" >&2; exit 1; }

# A make above us may have variables meant for itself on its command line.
unset MAKEFLAGS MFLAGS MAKELEVEL

src=$top clean=0
if [ "${1-}" = -c ]; then
	clean=1
	shift
fi
if [ "${1-}" = -S ]; then
	[ $# -ge 3 ] || die "-S wants a directory and then the kernel"
	src=$(cd "$2" && pwd)
	shift 2
fi
[ $# -ge 1 ] || die "usage: build-module.sh [-c] [-S SRCDIR] NAME [MAKE-ARG...]"
name=$1
shift

[ -e "$src/Kbuild" ] || die "no Kbuild in $src"
"$here/deps.sh" vm
vars=$("$here/kernel.sh" "$name")
KDIR=''
eval "$vars"

# Other sources or other arguments mean other objects: the plain module is in
# build/kmod/NAME, anything else in a directory of its own.
dir=$top/build/kmod/$name parts=(Kbuild kmod uapi)
[ "$src" = "$top" ] || parts=(.)
if [ "$src" != "$top" ] || [ $# -gt 0 ]; then
	dir=$dir-$(basename "$src")-$(printf '%s\n' "$src" "$@" | sha256sum | cut -c1-8)
fi
mkdir -p "$dir"
exec 9>"$dir/lock"
flock 9
[ $clean = 0 ] || rm -rf "$dir/src"
mkdir -p "$dir/src"

# Follow removals too, or a deleted header would still be found. Copying with
# mtimes lets make rebuild only what changed.
for part in "${parts[@]}"; do
	[ -e "$src/$part" ] || continue
	cp -Rup --no-preserve=ownership "$src/$part" "$dir/src/"
done
(cd "$dir/src" && find . -name '*.[chS]' ! -name '*.mod.c' -type f) |
while read -r file; do
	[ -e "$src/$file" ] || rm -f "$dir/src/$file"
done

# stdout carries only the result.
make -C "$KDIR" M="$dir/src" -j"$(nproc)" modules "$@" >"$dir/build.log" 2>&1 || {
	cat "$dir/build.log" >&2
	die "building ${src#"$top"/} for $name failed"
}
# BTF for a module needs the vmlinux that distributions don't ship.
grep -i 'warning' -A 4 "$dir/build.log" |
	grep -v 'compiler differs\|Skipping BTF' >&2 || true
find "$dir/src" -name '*.ko' -print
