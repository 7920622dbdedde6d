#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The example through the device: what it prints is what the documentation says,
# which is what it prints in process. TAP.

cd "$(dirname "$0")" || exit 1
echo 'TAP version 13'
echo '1..1'
is=$(mktemp)
if ./kvbm_continuous_batching /dev/kvbm >"$is" 2>&1 </dev/null &&
   cmp -s "$is" continuous-batching.txt; then
	echo 'ok 1 kvbm_example: continuous-batching'
	status=0
else
	sed 's/^/# /' "$is"
	echo 'not ok 1 kvbm_example: continuous-batching'
	status=1
fi
rm -f "$is"
exit $status
