#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Put files where they belong on a system, and take them away again. What is
# installed must have been built before; "make install" sees to that.
#
# usage: scripts/install.sh install|uninstall|dkms|dkms-remove
#
#   install      programs, library, headers, manual pages, configuration
#   uninstall    the same away
#   dkms         the sources of the module to /usr/src; "dkms add", "dkms build"
#   dkms-remove  the same away, in the kernels that it was installed for, too
#
# From the environment, as make passes them on:
#   DESTDIR   in front of all paths; then dkms is not called
#   PREFIX    default /usr/local
#   BINDIR LIBDIR INCLUDEDIR MANDIR SHAREDIR COMPLETIONDIR UDEVDIR SYSUSERSDIR
#   MODULESLOADDIR MODPROBEDIR UNITDIR
#             single directories, by default below PREFIX. The last five are
#             only looked at below /usr, /usr/local and /etc
#   NO_BUILD  not empty: the sources only, without a call of dkms
#   KVER      the kernel to build for with dkms, default the running one
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
cd "$top"

say() { echo "install.sh: $*" >&2; }
die() { say "$*"; exit 1; }

unset MAKEFLAGS MFLAGS MAKELEVEL

# kmod/version.h is the one place that knows the version.
version=$(sed -n 's/^#define KVBM_VERSION_STRING[[:space:]]*"\(.*\)"/\1/p' kmod/version.h)
[ -n "$version" ] || die "no version in kmod/version.h"

DESTDIR=${DESTDIR-}
PREFIX=${PREFIX:-/usr/local}
BINDIR=${BINDIR:-$PREFIX/bin}
LIBDIR=${LIBDIR:-$PREFIX/lib}
INCLUDEDIR=${INCLUDEDIR:-$PREFIX/include}
MANDIR=${MANDIR:-$PREFIX/share/man}
SHAREDIR=${SHAREDIR:-$PREFIX/share/kvbm}
COMPLETIONDIR=${COMPLETIONDIR:-$PREFIX/share/bash-completion/completions}
UNITDIR=${UNITDIR:-$PREFIX/lib/systemd/system}
UDEVDIR=${UDEVDIR:-$PREFIX/lib/udev}
SYSUSERSDIR=${SYSUSERSDIR:-$PREFIX/lib/sysusers.d}
MODULESLOADDIR=${MODULESLOADDIR:-$PREFIX/lib/modules-load.d}
MODPROBEDIR=${MODPROBEDIR:-$PREFIX/lib/modprobe.d}

# put MODE SOURCE DIRECTORY [NAME]
put() {
	install -D -m "$1" "$2" "$DESTDIR$3/${4:-$(basename "$2")}"
}

install_all() {
	local program page

	# It has the PREFIX of whoever made it last.
	rm -f build/lib/libkvbm.pc
	make -s -C lib install DESTDIR="$DESTDIR" PREFIX="$PREFIX" \
		LIBDIR="$LIBDIR" INCLUDEDIR="$INCLUDEDIR"
	# Every folder with a main.c is a program.
	for program in tools/*/main.c; do
		put 755 "build/bin/$(basename "$(dirname "$program")")" "$BINDIR"
	done
	for page in Documentation/man/*.[1-8]; do
		put 644 "$page" "$MANDIR/man${page##*.}"
	done
	put 644 packaging/60-kvbm.rules "$UDEVDIR/rules.d"
	put 644 packaging/kvbm.sysusers "$SYSUSERSDIR" kvbm.conf
	put 644 packaging/kvbm.modules-load "$MODULESLOADDIR" kvbm.conf
	put 644 packaging/kvbm.modprobe "$MODPROBEDIR" kvbm.conf
	put 644 packaging/completion/kvbmctl.bash "$COMPLETIONDIR" kvbmctl
	put 644 packaging/systemd/kvbm-exporter.timer "$UNITDIR"
	put 644 packaging/systemd/kvbm-exporter.service.in "$UNITDIR" \
		kvbm-exporter.service
	sed -i "s|@BINDIR@|$BINDIR|" "$DESTDIR$UNITDIR/kvbm-exporter.service"
	put 644 packaging/prometheus/kvbm.rules.yml "$SHAREDIR"
	put 644 packaging/grafana/kvbm.json "$SHAREDIR"
}

after_install() {
	cat <<-EOT
	Installed below $PREFIX. Not done, because it concerns the whole system (as root):
	  ldconfig                    find the library
	  systemd-sysusers            make the group kvbm (or: groupadd -r kvbm)
	  udevadm control --reload    give the device to it
	  usermod -aG kvbm USER       let somebody use it
	  systemctl enable --now kvbm-exporter.timer
	                              metrics for node_exporter
	The module is another matter: make dkms, or make modules_install.
	EOT
}

# What is to go is what an installation puts there: no second list.
uninstall_all() {
	local real=$DESTDIR file

	DESTDIR=$(mktemp -d)
	# shellcheck disable=SC2064	# that directory, not another one later
	trap "rm -rf '$DESTDIR'" EXIT
	install_all
	(cd "$DESTDIR" && find . -type f -o -type l) | while read -r file; do
		rm -f "$real/${file#./}"
	done
	# Only ours: others are shared.
	rmdir "$real$INCLUDEDIR/kvbm" "$real$SHAREDIR" 2>/dev/null || true
}

dkms_sources() {
	local dest=$DESTDIR/usr/src/kvbm-$version file

	rm -rf "$dest"
	find Kbuild LICENSES kmod uapi -type f \
		\( -name '*.[ch]' -o -name Kbuild -o -path 'LICENSES/*' \) ! -name '*.mod.c' |
	while read -r file; do
		install -D -m 644 "$file" "$dest/$file"
	done
	sed "s/@VERSION@/$version/" packaging/dkms.conf.in >"$dest/dkms.conf"
	echo "sources of the module: $dest"
}

dkms_build() {
	command -v dkms >/dev/null || die "there is no dkms here (Debian: apt-get install dkms)"
	# What was built of other sources under this version has to go.
	dkms_forget
	dkms add "kvbm/$version"
	dkms build "kvbm/$version" ${KVER:+-k "$KVER"}
	echo "to install it: dkms install kvbm/$version"
}

dkms_forget() {
	[ -z "$(dkms status "kvbm/$version")" ] || dkms remove "kvbm/$version" --all
}

case ${1-} in
install)
	install_all
	[ -n "$DESTDIR" ] || after_install ;;
uninstall)
	uninstall_all ;;
dkms)
	dkms_sources
	[ -n "$DESTDIR${NO_BUILD-}" ] || dkms_build ;;
dkms-remove)
	[ -n "$DESTDIR" ] || dkms_forget
	rm -rf "$DESTDIR/usr/src/kvbm-$version" ;;
*)
	sed -n '6,/^set/{/^set/!s/^# \?//p}' "$0" >&2
	exit 2 ;;
esac
