#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Does the specification of the netlink family say what its header does? The
# kernel's own generator validates the one against its schema, and makes the other
# of it; what it makes must be what we have, but for comments and spaces.
#
# usage: KSRC=DIR scripts/netlink-spec.sh
set -euo pipefail

cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# It looks for the schema next to the specifications, and for the top of a tree.
mkdir -p "$work/netlink/specs"
cp "$KSRC"/Documentation/netlink/*.yaml "$work/netlink"
touch "$work/MAINTAINERS"
# It makes no files under another licence than the kernel's; we keep none.
license='((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)'
sed "1s/.*/# SPDX-License-Identifier: $license/" \
	Documentation/netlink/specs/kvbm.yaml >"$work/netlink/specs/kvbm.yaml"
timeout 60 python3 "$KSRC/tools/net/ynl/ynl-gen-c.py" --mode uapi --header \
	--spec "$work/netlink/specs/kvbm.yaml" -o "$work/generated.h" 2>"$work/said" || {
	# Not all of the schema.
	grep -m 1 'Error' "$work/said" || tail -n 3 "$work/said"
	exit 1
}

words() {
	gcc -fpreprocessed -dD -E -P "$1" | tr -d '()' | tr -s ' \t' '\n' | grep .
}

words "$work/generated.h" >"$work/generated"
words uapi/linux/kvbm_netlink.h >"$work/ours"
diff -u --label specification --label header "$work/generated" "$work/ours"
