#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The examples, in process, with sanitizers: is what they print what the
# documentation says? As TAP.
#
# usage: OUT=DIR ./example_test.sh
#
# shellcheck disable=SC2317	# the checks are called by name
set -uo pipefail

cd "$(dirname "$0")" || exit 1
top=../..
out=$(realpath -m "${OUT:-$top/build/selftests-user}")/asan
said=$top/Documentation/examples
suite='' work=$out
# shellcheck source=scripts/tap.sh
. "$top/scripts/tap.sh"

prints() {
	local is

	is=$("$out/examples/$1" "${@:2}") || return 1
	diff -u "$said/$1.txt" - <<<"$is"
}

refuses() {
	! "$out/examples/$1" "${@:2}"
}

echo 'TAP version 13'
# The library is the one of the other tests, which is built by now.
check 'the examples build' make -s -C "$top/examples" BUILDDIR="$out" \
	LIBKVBM="$out/lib/libkvbm.a" SANITIZE=address,undefined CFLAGS='-O1 -g -Werror'
check 'continuous-batching prints what is written down' prints continuous-batching
check 'continuous-batching says what is wrong' refuses continuous-batching /nonexistent
echo "1..$n"
exit $failed
