#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Does installing put the right things in the right places, does it all work
# from there, and does DKMS build the module? As TAP. Everything happens in a
# temporary directory.
#
# usage: packaging/check.sh
#
# shellcheck disable=SC2317	# the checks are called by name
set -uo pipefail

cd "$(dirname "$0")/.." || exit 1
unset MAKEFLAGS MFLAGS MAKELEVEL DESTDIR PREFIX

scripts/deps.sh build vm packaging || exit 1

version=$(sed -n 's/^#define KVBM_VERSION_STRING[[:space:]]*"\(.*\)"/\1/p' kmod/version.h)
major=${version%%.*}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

suite=packaging
# shellcheck source=scripts/tap.sh
. scripts/tap.sh

files() { (cd "$1" && find . ! -type d | sed 's/^\.//' | LC_ALL=C sort); }

right_places() {
	make -s install DESTDIR="$root" || return 1
	files "$root" >"$work/found"
	LC_ALL=C sort >"$work/wanted" <<-EOT
	/usr/local/bin/kvbm-eventd
	/usr/local/bin/kvbm-exporter
	/usr/local/bin/kvbm-replay
	/usr/local/bin/kvbm-run
	/usr/local/bin/kvbmctl
	/usr/local/include/kvbm/assignments.h
	/usr/local/include/kvbm/events.h
	/usr/local/include/kvbm/events_netlink.h
	/usr/local/include/kvbm/handle.h
	/usr/local/include/kvbm/hash.h
	/usr/local/include/kvbm/kvbm.h
	/usr/local/include/kvbm/sequence.h
	/usr/local/include/kvbm/stats.h
	/usr/local/include/kvbm/testing.h
	/usr/local/include/kvbm/tokens.h
	/usr/local/include/linux/kvbm.h
	/usr/local/include/linux/kvbm_netlink.h
	/usr/local/include/linux/kvbm_types.h
	/usr/local/lib/libkvbm-netlink.a
	/usr/local/lib/libkvbm-netlink.so
	/usr/local/lib/libkvbm-netlink.so.$major
	/usr/local/lib/libkvbm-netlink.so.$version
	/usr/local/lib/libkvbm.a
	/usr/local/lib/libkvbm.so
	/usr/local/lib/libkvbm.so.$major
	/usr/local/lib/libkvbm.so.$version
	/usr/local/lib/modprobe.d/kvbm.conf
	/usr/local/lib/modules-load.d/kvbm.conf
	/usr/local/lib/pkgconfig/libkvbm-netlink.pc
	/usr/local/lib/pkgconfig/libkvbm.pc
	/usr/local/lib/systemd/system/kvbm-eventd.service
	/usr/local/lib/systemd/system/kvbm-exporter.service
	/usr/local/lib/systemd/system/kvbm-exporter.timer
	/usr/local/lib/sysusers.d/kvbm.conf
	/usr/local/lib/udev/rules.d/60-kvbm.rules
	/usr/local/share/bash-completion/completions/kvbmctl
	/usr/local/share/doc/kvbm/kvbm-eventd.env
	/usr/local/share/kvbm/kvbm.json
	/usr/local/share/kvbm/kvbm.rules.yml
	/usr/local/share/man/man1/kvbm-replay.1
	/usr/local/share/man/man1/kvbm-run.1
	/usr/local/share/man/man3/kvbm_assignments.3
	/usr/local/share/man/man3/kvbm_handle.3
	/usr/local/share/man/man3/kvbm_hash.3
	/usr/local/share/man/man3/kvbm_request.3
	/usr/local/share/man/man3/kvbm_sched.3
	/usr/local/share/man/man3/kvbm_token_seq.3
	/usr/local/share/man/man3/libkvbm-events.3
	/usr/local/share/man/man3/libkvbm.3
	/usr/local/share/man/man4/kvbm.4
	/usr/local/share/man/man8/kvbm-eventd.8
	/usr/local/share/man/man8/kvbm-exporter.8
	/usr/local/share/man/man8/kvbmctl.8
	EOT
	diff -u --label wanted --label installed "$work/wanted" "$work/found"
}

# The other prefix that matters, after a build for the first one.
prefix_is_followed() {
	make -s install DESTDIR="$work/usr" PREFIX=/usr \
		LIBDIR=/usr/lib/somewhere || return 1
	files "$work/usr" | grep -v '^/usr/' && return 1
	grep -x 'prefix=/usr' "$work/usr/usr/lib/somewhere/pkgconfig/libkvbm.pc"
}

# With nothing but what was installed and what pkg-config says.
a_program_builds() {
	local flags

	cat >"$work/program.c" <<-'EOT'
	#include <stdio.h>
	#include <kvbm/kvbm.h>

	int main(void)
	{
		struct kvbm_info info;
		struct kvbm *kvbm;

		if (kvbm_open("inproc:", &kvbm) || kvbm_info(kvbm, &info))
			return 1;
		printf("%u.%u.%u\n", info.out_version >> 16,
		       info.out_version >> 8 & 255, info.out_version & 255);
		kvbm_close(kvbm);
		return 0;
	}
	EOT
	flags=$(PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$root/usr/local/lib/pkgconfig \
		pkg-config --cflags --libs libkvbm) || return 1
	# shellcheck disable=SC2086	# flags are words
	gcc -Wall -Werror "$work/program.c" $flags -o "$work/program" || return 1
	[ "$(LD_LIBRARY_PATH=$root/usr/local/lib "$work/program")" = "$version" ]
}

tools_run() {
	local program

	for program in "$root"/usr/local/bin/*; do
		(cd / && env -u LD_LIBRARY_PATH "$program" --help) || return 1
		ldd "$program" | grep libkvbm | grep -F "$root" || return 1
	done
}

# The rule gives the device to a group that nobody else makes.
group_exists() {
	local group

	group=$(sed -n 's/.*GROUP="\([^"]*\)".*/\1/p' packaging/60-kvbm.rules)
	[ -n "$group" ] && grep "^g $group " packaging/kvbm.sysusers
}

# The programs that the services start are where they were installed.
units_are_sound() {
	local service program

	mkdir -p "$work/units"
	cp "$root"/usr/local/lib/systemd/system/* "$work/units"
	for service in "$work"/units/*.service; do
		program=$(sed -n 's/^ExecStart=\([^ ]*\) .*/\1/p' "$service")
		[ -x "$root$program" ] || { echo "no $program"; return 1; }
		# A copy, which names a program that is here.
		sed -i "s|=$program|=$root$program|" "$service"
	done
	command -v systemd-analyze >/dev/null || return 0
	systemd-analyze verify --man=no "$work"/units/* >"$work/verify" 2>&1
	cat "$work/verify"
	# It may have something to say about other units of this machine.
	! grep kvbm "$work/verify"
}

# kvbm-eventd knows the options in its example: it gets as far as the device.
example_works() {
	local line said KVBM_EVENTD_OPTIONS

	grep '^#KVBM_EVENTD_OPTIONS=' "$root/usr/local/share/doc/kvbm/kvbm-eventd.env" |
	while read -r line; do
		eval "${line#\#}"
		# shellcheck disable=SC2086	# options are words
		said=$("$root/usr/local/bin/kvbm-eventd" --device=/no-device \
			$KVBM_EVENTD_OPTIONS 2>&1)
		echo "$said"
		[[ $said = *'/no-device: '* ]] || return 1
	done
}

# words LINE: what bash would offer at the end of that line.
words() {
	bash -c '
		kvbmctl() { printf "NAME  ID\nprod  1\nprod:g1  2\nprod:g2  3\n"; }
		compopt() { :; }
		source "$1"
		COMP_LINE=$2 COMP_POINT=${#2}
		# As readline does it, by the default COMP_WORDBREAKS.
		read -ra COMP_WORDS <<<"$(sed "s/[:=]/ & /g" <<<"$2")"
		case $2 in *[\ :=]) COMP_WORDS+=("") ;; esac
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
		_kvbmctl
		echo "${COMPREPLY[*]}"
	' - "$root/usr/local/share/bash-completion/completions/kvbmctl" "$1"
}

offers() {
	local got

	got=$(words "$1")
	[ "$got" = "$2" ] || { echo "'$1': '$got', not '$2'"; return 1; }
}

completes() {
	offers 'kvbmctl ho' holders &&
		offers 'kvbmctl create ' 'registry manager' &&
		offers 'kvbmctl show p' 'prod prod:g1 prod:g2' &&
		offers 'kvbmctl show prod:' 'g1 g2' &&
		offers 'kvbmctl --json show prod:g1' g1 &&
		offers 'kvbmctl check ' 'prod:g1 prod:g2' &&
		offers 'kvbmctl show prod ' '' &&
		offers 'kvbmctl create manager --ti' '--tier=G1 --tier=G2 --tier=G3 --tier=G4' &&
		offers 'kvbmctl create manager --tier=' 'G1 G2 G3 G4' &&
		offers 'kvbmctl create manager p' 'prod:' &&
		offers 'kvbmctl gc --d' '--device= --destroy' &&
		offers 'kvbmctl quota ' 'prod:g1 prod:g2' &&
		offers 'kvbmctl epoch --r' '--raise' &&
		offers 'kvbmctl list x' '' || return 1
	# Every command and every option is known to it.
	local word missing=0 file=$root/usr/local/share/bash-completion/completions/kvbmctl

	while read -r word; do
		grep -qw -- "$word" "$file" || { echo "no word of $word"; missing=1; }
	done < <(sed -n 's/^\t{ "\([a-z-]*\)", .*/\1/p' tools/kvbmctl/*.c)
	return "$missing"
}

nothing_is_left() {
	make -s uninstall DESTDIR="$root" || return 1
	[ -z "$(files "$root")" ] || { files "$root"; return 1; }
}

# What DKMS has on this machine, to see that it stays so.
on_host() { ls -d /usr/src/kvbm* /var/lib/dkms/* /lib/modules/*/updates 2>/dev/null || true; }

# Without words about keys it would make some in /var/lib/dkms.
with_dkms() {
	mok_signing_key=$work/mok.key mok_certificate=$work/mok.pub \
		dkms "$@" --dkmstree "$work/dkms" --sourcetree "$root/usr/src" \
		--installtree "$work/modules"
}

dkms_sources() {
	make -s dkms DESTDIR="$root" || return 1
	mkdir -p "$work/dkms"
	with_dkms add "kvbm/$version" && with_dkms status
}

dkms_builds() {
	local KRELEASE='' KDIR='' vars

	vars=$(scripts/kernel.sh "$1") || return 1
	eval "$vars"
	with_dkms build "kvbm/$version" -k "$KRELEASE" --kernelsourcedir "$KDIR" || {
		cat "$work/dkms/kvbm/$version/build/make.log"
		return 1
	}
	ko=$(find "$work/dkms/kvbm/$version/$KRELEASE" -name 'kvbm.ko*')
	echo "$ko"
	[ "$(modinfo -F version "$ko")" = "$version" ] &&
	modinfo -F vermagic "$ko" | grep -F "$KRELEASE "
}

# Of the module that DKMS built last.
parameters_are_told() {
	local parameter

	modinfo -F parm "$ko" | sed 's/:.*//' >"$work/parameters"
	[ -s "$work/parameters" ] || return 1
	sed -n 's/^#options kvbm \([a-z_]*\)=.*/\1/p' packaging/kvbm.modprobe |
		sort | diff -u --label modprobe.d --label module - \
		<(sort "$work/parameters") || return 1
	while read -r parameter; do
		grep -q "$parameter" Documentation/man/kvbm.4 || {
			echo "kvbm(4) does not tell of $parameter"
			return 1
		}
	done <"$work/parameters"
}

dkms_removes() {
	with_dkms remove "kvbm/$version" --all || return 1
	make -s dkms-remove DESTDIR="$root" || return 1
	[ -z "$(files "$root")" ]
}

modules_install() {
	local KRELEASE='' KDIR='' vars

	vars=$(scripts/kernel.sh stock-6.12) || return 1
	eval "$vars"
	# kbuild leaves its products beside the sources: not in this tree.
	mkdir "$work/tree"
	cp -r Kbuild Makefile kmod uapi "$work/tree/"
	make -s -C "$work/tree" modules_install KDIR="$KDIR" DESTDIR="$root" || return 1
	files "$root"
	files "$root" | grep -x "/lib/modules/$KRELEASE/updates/kvbm\.ko.*" || return 1
	make -s -C "$work/tree" modules_uninstall KDIR="$KDIR" DESTDIR="$root"
	! files "$root" | grep kvbm
}

on_host >"$work/before"
host_is_untouched() { on_host | diff "$work/before" -; }

echo "TAP version 13"
echo "1..16"
check "what is installed where" right_places
check "another PREFIX" prefix_is_followed
check "a program against what is installed" a_program_builds
check "programs run from where they are installed" tools_run
check "the group of the rule is made" group_exists
check "units of systemd" units_are_sound
check "the example of kvbm-eventd" example_works
check "completion in bash" completes
check "uninstall leaves nothing" nothing_is_left
check "sources for DKMS" dkms_sources
check "DKMS builds for stock-6.12" dkms_builds stock-6.12
check "DKMS builds for stock-6.1" dkms_builds stock-6.1
check "every parameter is documented" parameters_are_told
check "DKMS removes" dkms_removes
check "modules_install and modules_uninstall" modules_install
check "this machine is as before" host_is_untouched
exit $failed
