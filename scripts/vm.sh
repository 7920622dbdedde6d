#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Boot a test kernel in QEMU, run one command in it, judge the run.
#
# usage: scripts/vm.sh -k NAME [options] -- COMMAND [ARG...]
#
# One COMMAND word is a script for sh -c; several are run as they are, each
# word quoted. Its output streams to stdout, unchanged and free of kernel
# messages; its exit status is ours, if nothing else is wrong.
#
#   -k NAME        kernel: stock-6.12, stock-6.1, debug-6.12 (scripts/kernel.sh)
#   -f SRC:DST     add a file
#   -d DIR:DST     add a directory, and the libraries that its programs need
#   -b FILE[:DST]  add a program with its libraries (DST: /usr/bin/)
#   -m FILE.ko     insmod before and rmmod after COMMAND, the last one first;
#                  it is /modules/FILE.ko in the guest
#   -M 'PARAMS'    parameters of the -m before it
#   -s MEM         memory, as QEMU writes it (default 512M, debug kernels 1G)
#   -c CPUS        processors (default 2)
#   -t SECONDS     longer is a hang (default 300)
#   -a 'ARGS'      more kernel command line
#   -o DIR         logs (default build/vm/NAME-<n>)
#   --env K=V      environment of COMMAND
#   --kvm          use KVM. Not the default: a nested /dev/kvm may be there and
#                  still not boot a stock kernel.
#   --icount       one instruction per ns of guest time: timings then repeat
#                  exactly on a noisy machine (one processor, slower)
#   --allow-splat  negative control: don't show what was found, only count it
#
# -f -d -b -m and --env may be repeated. Where our own stdout is not a
# terminal, COMMAND gets TERM=dumb: it still writes to a tty in the guest.
#
# exit status: that of COMMAND, or
#   96  could not start    97  the guest died before COMMAND was done
#   98  insmod or rmmod failed    99  splat in the kernel log, or a leak
#   124 timeout
# Logs: console.log (kernel), output.log (COMMAND), result.env (key=value).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")

say() { echo "vm.sh: $*" >&2; }
die() { say "$*"; exit 96; }
quote() { printf "'%s'" "${1//\'/\'\\\'\'}"; }

kernel='' mem='' cpus=2 limit=300 append='' logs='' allow_splat=0
accel=(-accel 'tcg,thread=multi' -cpu max)
adds=() mods=() params=() envs=()

while [ $# -gt 0 ]; do
	case $1 in
	-[kfdbmMsctao] | --env) [ $# -ge 2 ] || die "$1 needs a value" ;;
	esac
	case $1 in
	-k) kernel=$2; shift ;;
	-f | -d | -b) adds+=("$1" "$2"); shift ;;
	-m) mods+=("$2"); params+=(''); shift ;;
	-M) [ ${#mods[@]} -gt 0 ] || die "-M without a -m before it"
	    params[-1]=$2; shift ;;
	-s) mem=$2; shift ;;
	-c) cpus=$2; shift ;;
	-t) limit=$2; shift ;;
	-a) append=$2; shift ;;
	-o) logs=$2; shift ;;
	--env) envs+=("$2"); shift ;;
	--kvm) accel=(-accel kvm -cpu host) ;;
	# A string instruction counts once for each of its repetitions: have the
	# kernel and libc copy without.
	--icount) accel=(-accel 'tcg,thread=single' -cpu 'max,-erms,-fsrm'
			 -icount 'shift=0,sleep=off'); cpus=1 ;;
	--allow-splat) allow_splat=1 ;;
	-h | --help) sed -n '5,/^set/{/^set/!s/^# \?//p}' "$0"; exit 0 ;;
	--) shift; break ;;
	*) die "what is $1? (try --help)" ;;
	esac
	shift
done
[ -n "$kernel" ] || die "no kernel given (-k)"
[ $# -gt 0 ] || die "no command given (-- COMMAND)"

"$here/deps.sh" vm || die "cannot get what it takes"
vars=$("$here/kernel.sh" "$kernel") || die "no kernel $kernel"
VMLINUZ=''
eval "$vars"

if [ -z "$mem" ]; then
	case $kernel in
	debug-*) mem=1G ;;	# KASAN's shadow and quarantine
	*) mem=512M ;;
	esac
fi
if [ -z "$logs" ]; then
	mkdir -p "$top/build/vm"
	n=1
	until mkdir "$top/build/vm/$kernel-$n" 2>/dev/null; do n=$((n + 1)); done
	logs=$top/build/vm/$kernel-$n
fi
mkdir -p "$logs"
rm -f "$logs"/{console,output,qemu}.log "$logs/result.env"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

# --- The guest's root: BusyBox, two accounts that are not root, and the added.

# All libraries go to /lib, where the loader looks by default: a program may
# have been linked to a path that only exists here.
add_libs() {
	local lib

	{ LD_LIBRARY_PATH="$top/build/lib" ldd "$1" 2>/dev/null || true; } |
	sed -n 's/.*=> \(\/[^ ]*\) (.*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' |
	while read -r lib; do
		case $lib in
		*/ld-linux*) cp -Lu "$lib" "$root/lib64/" ;;
		*)	cp -Lu "$lib" "$root/lib/"
			# pthread_exit() and cancellation load this one by hand.
			cp -Lu "$(dirname "$(ldd "$1" | sed -n 's/.*libc.so.6 => \(\/[^ ]*\) .*/\1/p')")/libgcc_s.so.1" \
				"$root/lib/" 2>/dev/null || true ;;
		esac
	done
}

is_elf() { [ "$(head -c 4 "$1" | tail -c 3)" = ELF ]; }

add_file() {
	local dst=$root/${2#/}

	case $2 in */) dst=$dst$(basename "$1") ;; esac
	[ -e "$1" ] || die "no such file: $1"
	mkdir -p "$(dirname "$dst")"
	cp -L --preserve=mode "$1" "$dst"
}

add_dir() {
	local file

	[ -d "$1" ] || die "no such directory: $1"
	mkdir -p "$root/${2#/}"
	cp -rL --preserve=mode "$1/." "$root/${2#/}"
	while read -r file; do
		if is_elf "$file"; then add_libs "$file"; fi
	done < <(find "$1" -type f -perm -u+x)
}

mkdir -p "$root"/{bin,dev,etc/kvbm-vm,lib,lib64,modules,proc,root,run,sys,tmp,usr,var}
ln -s ../bin "$root/usr/bin"
ln -s ../bin "$root/usr/sbin"
ln -s bin "$root/sbin"
ln -s ../lib "$root/usr/lib"
# Debian's multiarch path, compiled into some programs as their rpath.
ln -s . "$root/lib/x86_64-linux-gnu"
cp "$(command -v busybox)" "$root/bin/busybox"
for applet in $(busybox --list); do
	ln -s busybox "$root/bin/$applet" 2>/dev/null || true
done
install -m 755 "$here/vm-init.sh" "$root/init"
cat >"$root/etc/passwd" <<'PASSWD'
root:x:0:0:root:/root:/bin/sh
kvbm-user:x:1990:1990:not root, in the group of the device:/tmp:/bin/sh
nobody:x:65534:65534:nobody:/tmp:/bin/sh
PASSWD
cat >"$root/etc/group" <<'GROUP'
root:x:0:
kvbm:x:990:kvbm-user
kvbm-user:x:1990:
nogroup:x:65534:
GROUP

for ((i = 0; i < ${#adds[@]}; i += 2)); do
	spec=${adds[i + 1]}
	src=${spec%%:*} dst=${spec#*:}
	case ${adds[i]} in
	-f) [ "$src" != "$spec" ] || die "-f wants SRC:DST"
	    add_file "$src" "$dst" ;;
	-d) [ "$src" != "$spec" ] || die "-d wants DIR:DST"
	    add_dir "$src" "$dst" ;;
	-b) [ "$src" != "$spec" ] || dst=/usr/bin/
	    add_file "$src" "$dst"; add_libs "$src" ;;
	esac
done
for i in "${!mods[@]}"; do
	add_file "${mods[i]}" /modules/
	echo "$(basename "${mods[i]}") ${params[i]}"
done >"$root/etc/kvbm-vm/modules"

# --- What to run there.
if [ $# = 1 ]; then
	printf '%s\n' "$1"
else
	for word; do printf '%s ' "$(quote "$word")"; done
	echo
fi >"$root/etc/kvbm-vm/command"
term=dumb size='24 80'
if [ -t 1 ]; then
	term=${TERM:-linux}
	size=$(stty size <&1 2>/dev/null) || size='24 80'
fi
{
	echo "TERM=$(quote "$term")"
	for e in "${envs[@]}"; do echo "${e%%=*}=$(quote "${e#*=}")"; done
} >"$root/etc/kvbm-vm/env"
echo "$size" >"$root/etc/kvbm-vm/size"
echo "$limit" >"$root/etc/kvbm-vm/limit"

(cd "$root" && find . | cpio -o -H newc --quiet --owner=0:0 | gzip -1) >"$work/initrd"

# --- Run. panic=-1 with -no-reboot makes QEMU end at a panic. The stall limits
# are wide because a busy host starves the guest; a real deadlock still shows.
# no_timer_check: an emulated timer on a busy host can miss the kernel's own
# early test, which then panics ("IO-APIC + timer doesn't work").
cmdline="console=ttyS0 ignore_loglevel printk.time=1 printk.devkmsg=on panic=-1 oops=panic"
cmdline+=" no_timer_check rcupdate.rcu_cpu_stall_timeout=60 watchdog_thresh=30 $append"
start=$EPOCHREALTIME

boot() {
	status=0
	# stdio here is a pipe to tee: QEMU sets what it is given to non-blocking.
	timeout --foreground -k 5 "$limit" qemu-system-x86_64 -M pc "${accel[@]}" \
		-smp "$cpus" -m "$mem" -nodefaults -no-user-config -display none -no-reboot \
		-monitor none -serial "file:$logs/console.log" -serial stdio \
		-kernel "$VMLINUZ" -initrd "$work/initrd" -append "$cmdline" \
		</dev/null 2>"$logs/qemu.log" | tee "$logs/output.log" ||
		status=${PIPESTATUS[0]}
}

# A guest that never reached its init never had our module: whatever stopped it
# is the emulator's or the kernel's. Said aloud, kept, and tried again.
for try in 1 2 3; do
	boot
	if [ "$status" != 0 ] && [ "$status" -ge 124 ]; then
		break
	fi
	if grep -q 'kvbm-vm: up=yes' "$logs/console.log" || [ "$try" = 3 ]; then
		break
	fi
	cp "$logs/console.log" "$logs/console-boot-$try.log"
	say "$kernel did not boot (QEMU exit status $status), trying again; it said:"
	tail -n 15 "$logs/console.log" | tr -d '\r' >&2
done
seconds=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')

# --- Judge. The guest reports on the console, as lines "kvbm-vm: key=value".
touch "$logs/console.log"
tr -d '\r' <"$logs/console.log" >"$work/console"
mv "$work/console" "$logs/console.log"
report() { sed -n "s/.*kvbm-vm: $1=//p" "$logs/console.log" | tail -n 1; }

splats=$("$here/splat-check.sh" -c "$logs/console.log") || true
leaks=$(report leaks)
# Evidence that does not depend on the text of the log: the taint bits for bad
# page, oops, warning and soft lockup, and lockdep having turned itself off.
taint=$(report taint)
if [ "$splats" = 0 ] && { (((${taint:-0}) & (32 | 128 | 512 | 16384))) ||
			   [ "$(report debug_locks)" = 0 ]; }; then
	splats=1
fi
exit_code=$(report exit)

code=${exit_code:-97} reason=''
[ "$code" = 0 ] || reason="the command failed with status $code"
if [ "$status" = 124 ] || [ "$status" = 137 ]; then
	code=124 reason="still running after $limit s"
elif [ "$splats" != 0 ]; then
	code=99 reason="$splats splat(s) in the kernel log"
elif [ "${leaks:-0}" != 0 ]; then
	code=99 reason="$leaks leaked object(s)"
elif [ -n "$(report failed)" ]; then
	code=98 reason=$(report failed)
elif [ "$(report end)" = yes ] && [ -z "$leaks" ] && [[ $kernel = debug-* ]]; then
	code=98 reason="kmemleak did not run"
elif [ "$(report end)" != yes ]; then
	code=97 reason="the guest died (QEMU exit status $status)"
fi

cat >"$logs/result.env" <<RESULT
kernel=$kernel
code=$code
exit=${exit_code:-none}
splats=$splats
leaks=${leaks:--}
lockdep_classes=$(report lockdep_classes)
seconds=$seconds
reason=$(quote "$reason")
RESULT

if [ "$code" != 0 ]; then
	case $code in
	99) if [ $allow_splat = 0 ]; then
		"$here/splat-check.sh" "$logs/console.log" >&2 || true
	    fi ;;
	96 | 97 | 98 | 124)
		tail -n 60 "$logs/console.log" >&2
		tail -n 5 "$logs/qemu.log" >&2 ;;
	esac
	say "$kernel: red: $reason (logs: $logs)"
fi
exit "$code"
