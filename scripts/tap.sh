# SPDX-License-Identifier: GPL-2.0
#
# Checks as TAP, for a script that sources this. It prints the plan itself, and ends
# with: exit $failed
#
# suite	is the name that goes before that of each check, or empty
# work	is a directory for temporary files
#
# shellcheck shell=bash
# shellcheck disable=SC2034	# whoever sources this ends with $failed
: "${suite?}" "${work:?}"

n=0 failed=0

# check NAME COMMAND...: fails if COMMAND fails, and shows what it said.
check() {
	local name=$1 result=ok

	shift
	n=$((n + 1))
	"$@" >"$work/out" 2>&1 </dev/null || { result='not ok'; failed=1; }
	echo "$result $n ${suite:+$suite: }$name"
	[ "$result" = ok ] || sed 's/^/# /' "$work/out"
}

# skip NAME WHY
skip() {
	n=$((n + 1))
	echo "ok $n ${suite:+$suite: }$1 # SKIP $2"
}
