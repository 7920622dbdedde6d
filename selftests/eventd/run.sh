#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Run the test programs one after the other; their TAP goes to stdout, between the
# lines "# group: NAME" and "# group-end: STATUS SECONDS".
#
# usage: OUT=DIR EVENTD=PROGRAM [VECTORS=FILE] ./run.sh [TEST...]
#
# A TEST is one of eventd_test.py: then only that program runs.
failed=0
group() {
	name=$1
	shift
	echo "# group: $name"
	start=$(date +%s)
	"$@" 2>&1 </dev/null
	status=$?
	echo "# group-end: $status $(($(date +%s) - start))"
	[ $status = 0 ] || failed=1
}

if [ $# = 0 ]; then
	[ -n "${VECTORS-}" ] ||
		echo "# no wire_vectors.json beside this tree: bytes are compared with our own vectors only"
	group batcher_test "$OUT/batcher_test"
	group options_test "$OUT/options_test"
	PATH=$(dirname "$EVENTD"):$PATH KVBM_URI=inproc: group random_test "$OUT/random_test"
	group form_test "$OUT/form_test" vectors.txt ${VECTORS:+"$VECTORS"}
fi
# Debian's: its packages bring the decoders.
group eventd_test /usr/bin/python3 eventd_test.py "$@"
exit $failed
