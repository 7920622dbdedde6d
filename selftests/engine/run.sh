#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# Run test programs one after the other; their TAP goes to stdout, between the
# lines "# group: NAME" and "# group-end: STATUS SECONDS".
#
# usage: OUT=DIR ./run.sh TEST...
failed=0
for test; do
	program=$OUT/$test
	[ ! -e "$test.sh" ] || program=./$test.sh
	echo "# group: $test"
	start=$(date +%s)
	"$program" 2>&1 </dev/null
	status=$?
	echo "# group-end: $status $(($(date +%s) - start))"
	[ $status = 0 ] || failed=1
done
exit $failed
