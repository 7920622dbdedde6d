#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Make a test kernel available, in a cache outside the tree, and say where.
#
# usage: scripts/kernel.sh NAME
#
#   stock-6.12, stock-6.1   Debian's cloud kernels, headers and image
#   debug-6.12              built here from Debian's source (about 5 minutes,
#                           once per scripts/debug-6.12.config and version)
#   kcsan-6.12              the same with scripts/kcsan-6.12.config: KCSAN, which
#                           excludes KASAN; the module is all that it looks at
#   gcov-6.12               the same with scripts/gcov-6.12.config: no checkers, and
#                           it tells which lines of a module ran
#   source-6.12             only the source tree (checkpatch, kselftest headers)
#
# Prints KEY=value lines for eval:
#   KRELEASE  what uname -r says in the guest
#   VMLINUZ   the image to boot
#   KDIR      what to build modules against
#   KSRC      the source tree (all but the stock ones)
#
# The cache is ${KVBM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvbm}. Nothing is
# ever removed from it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${KVBM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvbm}
jobs=$(nproc)
# A make above us may have variables meant for itself on its command line.
unset MAKEFLAGS MFLAGS MAKELEVEL

say() { echo "kernel.sh: $*" >&2; }
die() { say "$*"; exit 1; }
answer() { printf '%s=%q\n' "$1" "$2"; }

# Two callers must not build or unpack the same thing at once: hold the lock
# NAME until this process ends.
lock() {
	exec 9>"$cache/$1.lock"
	flock -n 9 || {
		say "waiting for another run that prepares $1"
		flock 9
	}
}

version_of() { dpkg-query -W -f '${Version}' "$1"; }

# The image is unpacked, never installed: its maintainer scripts would build
# an initramfs and touch the boot loader of this machine.
stock() {
	local name=$1 meta=$2 release version dir try

	"$here/deps.sh" vm
	lock "$name"
	for try in 1 2; do
		# The headers package that the meta package stands for now.
		release=$(dpkg-query -W -f '${Depends}' "$meta" |
			  sed 's/^linux-headers-\([^ ,]*\).*/\1/')
		version=$(version_of "linux-headers-$release")
		dir=$cache/$name-$release-$version
		[ ! -e "$dir/boot/vmlinuz-$release" ] || break

		say "fetching the image of $release ($version)"
		rm -rf "$dir.tmp"
		mkdir -p "$dir.tmp"
		if (cd "$dir.tmp" &&
		    apt-get -q download "linux-image-$release=$version" >log 2>&1 &&
		    dpkg-deb -x linux-image-*.deb . && rm linux-image-*.deb); then
			mv -T "$dir.tmp" "$dir"
			break
		fi
		[ "$try" = 1 ] || {
			cat "$dir.tmp/log" >&2
			die "cannot get the image of $release $version"
		}
		# Archives keep only recent versions. The headers here are older
		# than that: bring both up to date.
		say "no image for the installed headers, updating the headers"
		if [ "$(id -u)" = 0 ]; then as_root="env"; else as_root='sudo env'; fi
		for cmd in update "install -y --no-install-recommends $meta"; do
			# shellcheck disable=SC2086	# a command and its arguments
			$as_root DEBIAN_FRONTEND=noninteractive apt-get -q \
				-o DPkg::Lock::Timeout=600 $cmd >&2 </dev/null
		done
	done
	answer KRELEASE "$release"
	answer VMLINUZ "$dir/boot/vmlinuz-$release"
	answer KDIR "/usr/src/linux-headers-$release"
}

# Sets src.
source_tree() {
	local version

	"$here/deps.sh" debugkernel
	version=$(version_of linux-source-6.12)
	src=$cache/linux-source-6.12-$version
	if [ ! -e "$src/Makefile" ]; then
		lock source-6.12
		if [ ! -e "$src/Makefile" ]; then
			say "unpacking linux-source-6.12 $version"
			rm -rf "$src.tmp"
			mkdir -p "$src.tmp"
			tar -C "$src.tmp" --strip-components=1 -xf /usr/src/linux-source-6.12.tar.xz
			mv -T "$src.tmp" "$src"
		fi
		flock -u 9
	fi
}

# Print a line now and then: five silent minutes look like a hang.
progress() {
	local pid=$1 log=$2 start=$SECONDS

	while kill -0 "$pid" 2>/dev/null; do
		sleep 1
		(((SECONDS - start) % 20)) ||
			say "  $((SECONDS - start)) s, $(wc -l <"$log") steps"
	done
}

# built NAME [MAKE-ARG...]: a kernel made of scripts/NAME.config.
built() {
	local name=$1 config=$here/$1.config key out pid start

	shift
	source_tree
	key=$({ basename "$src"; gcc --version; cat "$config"; } | sha256sum | cut -c1-12)
	out=$cache/$name-$key
	# The stamp is written last: without it the tree is half built and make
	# takes up where it was interrupted.
	if [ ! -e "$out/.complete" ]; then
		lock "$name"
	fi
	if [ ! -e "$out/.complete" ]; then
		say "building $name in $out (about 5 minutes on two cores)"
		mkdir -p "$out"
		start=$SECONDS
		(
			exec </dev/null 9>&-
			# Reproducible, and no user or host name in the image.
			export KBUILD_BUILD_USER=kvbm KBUILD_BUILD_HOST=kvbm
			KCONFIG_ALLCONFIG=$config make -C "$src" O="$out" allnoconfig &&
			make -C "$src" O="$out" -j"$jobs" "$@" bzImage modules
		) >"$out/build.log" 2>&1 &
		pid=$!
		progress $pid "$out/build.log"
		wait $pid || {
			tail -n 40 "$out/build.log" >&2
			die "the build failed; the whole log is $out/build.log"
		}
		# kconfig drops what it cannot have without a word. A checker
		# that is silently off would make every test meaningless.
		grep '^CONFIG_.*=[ym]$' "$config" | while read -r line; do
			grep -qx "$line" "$out/.config" || echo "$line"
		done >"$out/missing"
		if [ -s "$out/missing" ]; then
			cat "$out/missing" >&2
			die "these are not in the resulting configuration"
		fi
		touch "$out/.complete"
		say "built in $((SECONDS - start)) s"
	fi
	answer KRELEASE "$(cat "$out/include/config/kernel.release")"
	answer VMLINUZ "$out/arch/x86/boot/bzImage"
	answer KDIR "$out"
	answer KSRC "$src"
}

[ $# = 1 ] || { sed -n '5,15s/^# \?//p' "$0" >&2; exit 2; }
mkdir -p "$cache"
case $1 in
stock-6.12)	stock "$1" linux-headers-6.12-cloud-amd64 ;;
stock-6.1)	stock "$1" linux-headers-cloud-amd64 ;;
debug-6.12)	built "$1" ;;
kcsan-6.12)	built "$1" KCSAN_SANITIZE=n ;;
gcov-6.12)	built "$1" ;;
source-6.12)	source_tree; answer KSRC "$src" ;;
*)		die "no such kernel: $1 (stock-6.12 stock-6.1 debug-6.12 kcsan-6.12 gcov-6.12 source-6.12)" ;;
esac
