#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# kvbm-eventd on this machine: from records to a NATS server and to ZeroMQ sockets,
# all on loopback. As TAP.
#
# usage: scripts/eventd.sh [TEST...]
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)

# A make above us may have variables meant for itself on its command line.
unset MAKEFLAGS MFLAGS MAKELEVEL

"$here/deps.sh" build events
exec make -s -C "$here/../selftests/eventd" run_tests TESTS="$*"
