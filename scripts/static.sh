#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Static checks, as TAP. What a check has to say follows its line as comments.
#
# usage: scripts/static.sh
#
# shellcheck disable=SC2317	# the checks are called by name
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
cd "$top" || exit 1

"$here/deps.sh" build vm static || exit 1
vars=$("$here/kernel.sh" source-6.12) || exit 1
KSRC=''
eval "$vars"

n=0 told=0 failed=0 names=()
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# What is done, in order, up to the first that is not.
tell() {
	local result

	while [ $told -lt $n ] && [ -e "$out/$((told + 1)).status" ]; do
		told=$((told + 1))
		result=ok
		[ "$(cat "$out/$told.status")" = 0 ] || { result='not ok'; failed=1; }
		echo "$result $told static: ${names[told]}"
		[ "$result" = ok ] || sed 's/^/# /' "$out/$told"
	done
}

# check NAME COMMAND...: fails if COMMAND fails. As many at once as there are
# processors.
check() {
	n=$((n + 1))
	names[n]=$1
	shift
	while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
	tell
	(
		"$@" >"$out/$n" 2>&1 </dev/null
		echo $? >"$out/$n.new"
		mv "$out/$n.new" "$out/$n.status"
	) &
}

skip() {
	n=$((n + 1))
	names[n]="$1 # SKIP $2"
	echo 0 >"$out/$n.status"
}

# sources DIR...: C files and headers there.
sources() {
	local d

	for d; do
		[ ! -d "$d" ] || find "$d" -name '*.[ch]' -type f | sort
	done
}

# A build from scratch. Anything that the compiler or sparse say is a failure.
build() {
	local said

	said=$("$here/build-module.sh" -c "$@" 2>&1 >/dev/null) || {
		echo "$said"
		return 1
	}
	[ -z "$said" ] || { echo "$said"; return 1; }
}

# The library with the engine in it, and the programs.
clang_user_space() {
	local dir

	for dir in lib tools; do
		make -s -C "$dir" BUILDDIR="$top/build/clang" CC=clang \
			CFLAGS='-O1 -Werror' || return 1
	done
}

# Of the kernel's semantic patches, those that have something to say about a
# module without hardware. Not double_lock and mini_lock: they do not know that
# kvbm_store_unlock() unlocks, and that kvbm_holder_lock() is meant to return
# with a mutex; sparse and lockdep do. Not returnvar, which does not see that an
# address of a variable is taken, and minmax, which takes longer than all others.
semantic_patches=(
	api/{atomic_as_refcounter,d_find_alias,device_attr_show,err_cast}
	api/{kfree_mismatch,kfree_sensitive,kvmalloc,memdup,memdup_user,simple_open}
	api/{string_choices,vma_pages}
	api/alloc/{alloc_cast,zalloc-simple}
	free/{ifnullfree,kfree,kfreeaddr}
	iterators/{itnull,list_entry_update,use_after_iter}
	locks/{call_kern,flags}
	misc/{array_size,array_size_dup,badty,boolconv,cond_no_effect,cstptr,do_div}
	misc/{doubleinit,excluded_middle,flexible_array,ifcol}
	misc/{newline_in_nl_msg,noderef,orplus,semicolon,struct_size,swap}
	misc/{test_addr,uninitialized_var,warn}
	null/{deref_null,eno,kmerr}
	tests/{doublebitand,doubletest,odd_ptr_err,unsigned_lesser_than_zero}
)

coccicheck() {
	local patch said result=0

	for patch in "${semantic_patches[@]}"; do
		said=$(timeout 120 spatch -D report --no-show-diff --very-quiet \
			--cocci-file "$KSRC/scripts/coccinelle/$patch.cocci" \
			--dir kmod --patch . -I kmod -I uapi 2>&1) || {
			echo "$patch: spatch fails"
			result=1
		}
		[ -z "$said" ] || {
			printf '%s:\n%s\n' "$patch" "$said"
			result=1
		}
	done
	return "$result"
}

# The engine goes through this with the names that it has in user space.
cpp_check() {
	cppcheck -j "$(nproc)" --quiet --std=c11 --error-exitcode=1 \
		--enable=warning,performance,portability \
		--suppressions-list=scripts/cppcheck.supp -D_GNU_SOURCE -Iuapi \
		-Ilib/include -Ilib/shim -Ikmod -Ilib -Itools/common \
		lib tools kmod/engine
}

# What checkpatch is not asked in user space: it would have us use what only
# the kernel has, and names of C and of its library are not ours.
user_space=PREFER_KERNEL_TYPES,BIT_MACRO,CAMELCASE,PREFER_DEFINED_ATTRIBUTE_MACRO
user_space+=,STRCPY,VOLATILE,NEW_TYPEDEFS,MACRO_ARG_UNUSED
# Macros whose arguments are names of types and members, or tables.
tables=MACRO_ARG_REUSE,MACRO_ARG_PRECEDENCE,COMPLEX_MACRO

# patch_check IGNORED-TYPES FILE...
patch_check() {
	local ignore=$1

	shift
	[ $# = 0 ] || perl "$KSRC/scripts/checkpatch.pl" --no-tree --no-summary \
		--strict --show-types --terse --ignore "$ignore" --file "$@"
}

checkpatch() {
	local files f plain=() table=() trace=() compat=() result=0

	mapfile -t files < <(sources "$1")
	case $1 in
	# BIT() is not there for user space. checkpatch knows that, but only of
	# a path that starts with include/uapi/.
	uapi) patch_check BIT_MACRO "${files[@]}" ;;
	lib | tools | selftests | examples) patch_check "$user_space,$tables" "${files[@]}" ;;
	*)
		for f in "${files[@]}"; do
			case $f in
			# Shared with user space, see above; and a table.
			*/abi*.[ch] | */sysfs.c) table+=("$f") ;;
			# The layout that all of include/trace/events/ has.
			*/trace.h) trace+=("$f") ;;
			# What in a tree of one version has no place.
			*/compat.h) compat+=("$f") ;;
			*) plain+=("$f") ;;
			esac
		done
		patch_check NONE "${plain[@]}" || result=1
		patch_check "BIT_MACRO,$tables" "${table[@]}" || result=1
		patch_check OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT "${trace[@]}" || result=1
		patch_check LINUX_VERSION_CODE,CONSTANT_COMPARISON "${compat[@]}" ||
			result=1
		return "$result"
		;;
	esac
}

kernel_doc() {
	local files

	mapfile -t files < <(sources kmod uapi)
	perl "$KSRC/scripts/kernel-doc" -none -Wall -Werror "${files[@]}"
}

# The ABI header stands alone, in old C and in C++, with no hidden padding.
uapi_header() {
	local h

	for h in uapi/linux/*.h; do
		gcc -std=c90 -Wall -Wextra -Wpadded -Werror \
			-fsyntax-only -I uapi -x c "$h" || return 1
		g++ -Wall -Wextra -Werror -fsyntax-only -I uapi -x c++ "$h" || return 1
	done
}

shell_scripts() {
	local files

	mapfile -t files < <(find scripts .ci/run selftests tools packaging -type f \
		\( -name '*.sh' -o -path .ci/run \) | sort)
	shellcheck -x "${files[@]}"
}

spdx() {
	local f missing=0

	while read -r f; do
		head -n 3 "$f" | grep -q SPDX-License-Identifier || {
			echo "$f has no SPDX line"
			missing=1
		}
	done < <(find kmod uapi lib tools selftests examples scripts .ci Kbuild Makefile \
		 packaging Documentation/man Documentation/syzkaller \
		 -type f \( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' -o \
		 -name '*.faults' -o -name '*.config' -o \
		 -name Makefile -o -name Kbuild -o -path .ci/run -o \
		 -path 'packaging/*' -o -path 'Documentation/syzkaller/*' -o \
		 -name '*.[1-8]' \) 2>/dev/null | sort)
	return "$missing"
}

# Well made, and they tell of every ioctl and error, and of every option and
# command of the programs. Not that other manuals are missing on this machine;
# and .Os must have an argument, or groff takes the page for one of BSD.
manual_pages() {
	local man=Documentation/man page word missing=0

	mandoc -Tlint "$man"/*.[1-8] 2>/dev/null |
		grep -v 'referenced manual not found\|operating system explicitly' &&
		missing=1
	while read -r page word; do
		grep -qw -- "$word" "$man/$page".[1-8] || {
			echo "$page does not tell of $word"
			missing=1
		}
	done < <(
		sed -n 's/^#define \(KVBM_[A-Z_]*\)[[:space:]]*KVBM_IOC(.*/kvbm \1/p
			s/^ \* \(E[A-Z0-9]*\) .*/kvbm \1/p' uapi/linux/kvbm.h
		for page in kvbmctl kvbm-eventd kvbm-exporter kvbm-replay kvbm-run; do
			sed -n "s/^\t{ \"\([a-z-]*\)\", .*/$page \1/p" tools/"$page"/*.c
		done
	)
	return "$missing"
}

# Each file of /sys/class/kvbm is told of, and no other one.
sysfs_abi() {
	local doc=Documentation/ABI/testing

	perl "$KSRC/scripts/get_abi.pl" --dir "$doc" validate || return 1
	diff <(sed -n 's/^CONFIG_ATTR(\([a-z_]*\),.*/\1/p
		       s/^OWN_NAME(\([a-z_]*\)).*/\1/p
		       s/^EVENT_ATTR(\([a-z_]*\)).*/\1/p
		       s/^COUNTER([a-z_]*, \([a-z_]*\),.*/\1/p' kmod/sysfs.c | sort) \
	     <(sed -n 's/^What:.*>\/\(.*\/\)\?\([a-z_]*\)$/\2/p' "$doc/sysfs-class-kvbm" |
	       sort)
}

# The description for syzkaller has every ioctl and flag, and the members of the
# headers.
syzkaller() {
	python3 Documentation/syzkaller/check.py uapi/linux kmod/abi_table.h \
		Documentation/syzkaller/dev_kvbm.txt
}

checkpatch_dirs=(kmod uapi lib tools selftests examples scripts)

echo "TAP version 13"
echo "1..$((2 + ${#checkpatch_dirs[@]} + 13))"
for kernel in stock-6.12 stock-6.1; do
	if [ -e Kbuild ]; then
		check "W=1 and sparse, $kernel" build $kernel W=1 C=2
	else
		skip "W=1 and sparse, $kernel" "no Kbuild yet"
	fi
done
for dir in "${checkpatch_dirs[@]}"; do
	if [ -n "$(sources "$dir")" ]; then
		check "checkpatch --strict $dir" checkpatch "$dir"
	else
		skip "checkpatch --strict $dir" "no sources yet"
	fi
done
check "clang, module" build stock-6.12 LLVM=1 W=1
check "clang, library and tools" clang_user_space
check "coccicheck" coccicheck
check "cppcheck" cpp_check
check "layers" scripts/layers.py
check "kernel-doc of kmod and uapi" kernel_doc
check "uapi headers alone, C90 and C++" uapi_header
check "shellcheck" shell_scripts
check "SPDX lines" spdx
check "manual pages" manual_pages
check "netlink specification" env KSRC="$KSRC" scripts/netlink-spec.sh
check "sysfs files are documented" sysfs_abi
check "syzkaller description" syzkaller
wait
tell
exit $failed
