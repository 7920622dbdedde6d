#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Install the Debian packages that the build and the tests need, and only
# those that are missing: with everything in place this is one dpkg-query.
#
# usage: scripts/deps.sh [GROUP...]
#
#   build        compiler and libraries for the library, tools and selftests
#   vm           QEMU, BusyBox, and the headers of both stock kernels
#   debugkernel  what building the debug kernel takes
#   static       static checkers
#   abi          layout of structures, in 32-bit programs, too
#   packaging    DKMS, and what installing is tested with
#   events       a NATS server, and decoders for what kvbm-eventd publishes
#   fuzz         a compiler with libFuzzer
#   plots        what scripts/plot-run.sh and tools/bench/plot.py draw with
#
# Without a GROUP: all of them but the last.
set -eu

packages() {
	case $1 in
	build)
		echo gcc make libc6-dev pkg-config libjansson-dev libxxhash-dev \
		     libzmq3-dev libnats-dev libmsgpack-dev libnl-genl-3-dev \
		     libncurses-dev \
		     python3 ;;
	vm)
		echo gcc make qemu-system-x86 busybox-static cpio gzip kmod \
		     util-linux bsdextrautils linux-headers-6.12-cloud-amd64 \
		     linux-headers-cloud-amd64 ;;
	debugkernel)
		echo gcc make linux-source-6.12 flex bison bc libelf-dev \
		     libssl-dev xz-utils util-linux perl ;;
	static)
		echo sparse shellcheck coccinelle cppcheck clang lld llvm gcc g++ perl \
		     mandoc python3 python3-yaml \
		     python3-jsonschema ;;
	abi)
		echo gcc g++ gcc-multilib dwarves ;;
	packaging)
		echo gcc make dkms kmod pkg-config ;;
	events)
		echo gcc make pkg-config python3 nats-server python3-zmq \
		     python3-msgpack ;;
	fuzz)
		echo clang libclang-rt-dev make libxxhash-dev ;;
	plots)
		echo gnuplot-nox ;;
	*)
		echo "deps.sh: no such group: $1 (build vm debugkernel static abi packaging events fuzz plots)" >&2
		exit 2 ;;
	esac
}

missing_of() {
	# shellcheck disable=SC2048	# a list of packages, to be split
	for p in $*; do
		case $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) in
		installed) ;;
		*) printf ' %s' "$p" ;;
		esac
	done
}

[ $# -gt 0 ] || set -- build vm debugkernel static abi packaging events fuzz

wanted=
for group; do
	list=$(packages "$group")
	wanted="$wanted $list"
done
missing=$(missing_of "$wanted")
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "deps.sh: no apt-get here; please install the equivalents of:$missing" >&2
	exit 1
fi
if [ "$(id -u)" = 0 ]; then
	as_root='env'
elif command -v sudo >/dev/null; then
	as_root='sudo env'
else
	echo "deps.sh: not root and no sudo; please run as root:" >&2
	echo "  apt-get install --no-install-recommends$missing" >&2
	exit 1
fi

# Two of our own jobs, or an unattended upgrade, may hold apt's locks: wait.
# The lists lock of "apt-get update" has no timeout option, hence the retry.
apt="$as_root DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600"

echo "deps.sh: installing$missing" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
try=0
until $apt update >"$log" 2>&1; do
	try=$((try + 1))
	if [ $try -ge 10 ]; then
		echo "deps.sh: apt-get update keeps failing; using the old lists" >&2
		tail -n 5 "$log" >&2
		break
	fi
	sleep 3
done
# shellcheck disable=SC2086	# a list of packages
if ! $apt install -y --no-install-recommends $missing >"$log" 2>&1 </dev/null; then
	# Another run of this script may have installed them in between.
	missing=$(missing_of "$wanted")
	if [ -n "$missing" ]; then
		tail -n 30 "$log" >&2
		echo "deps.sh: could not install:$missing" >&2
		exit 1
	fi
fi
