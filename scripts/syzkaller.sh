#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Compile the description for syzkaller with syzkaller's own compiler: a library
# from the Go module proxy. Takes Go 1.26; from 1.21 on Go fetches that itself.
#
# usage: scripts/syzkaller.sh [VERSION]
#
# VERSION is as for "go get", e.g. master. Without it, the one that is known to
# take the description.
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
module=github.com/google/syzkaller
version=${1:-v0.0.0-20260423205120-9cfb3ca710b6}
work=$top/build/syzkaller

command -v go >/dev/null || {
	echo "syzkaller: no go here: install Go 1.26 or later" >&2
	exit 1
}

mkdir -p "$work"
cp "$top/Documentation/syzkaller/compile.go" "$work/"
cd "$work"
[ -e go.mod ] || go mod init kvbm/syzkaller 2>/dev/null
go get "$module/pkg/compiler@$version"
go build -o compile .
./compile "$(go list -m -f '{{.Dir}}' $module)" "$top/uapi" \
	"$top/Documentation/syzkaller/dev_kvbm.txt"
echo "syzkaller $(go list -m -f '{{.Version}}' $module): compiled, no warnings"
