#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# What the compiler and the linker see of libkvbm: the headers in C and C++,
# guards of the wrong type, the exported names, an installed copy. As TAP.
#
# usage: OUT=DIR ./compile_test.sh
#
# shellcheck disable=SC2317	# the checks are called by name
set -uo pipefail

cd "$(dirname "$0")" || exit 1
top=../..
out=${OUT:-$top/build/selftests-user}/compile
CC=${CC:-cc} CXX=${CXX:-c++}
include=(-I"$top/uapi" -I"$top/lib/include")
rm -rf "$out"
mkdir -p "$out"
suite='' work=$out
# shellcheck source=scripts/tap.sh
. "$top/scripts/tap.sh"

# Each of them alone.
headers() {
	local header

	for header in "$top"/lib/include/kvbm/*.h; do
		"$@" -Wall -Wextra -Werror -fsyntax-only "${include[@]}" "$header" ||
			return 1
	done
}

# A function that has one of everything.
program() {
	cat <<-END
	#include <kvbm/kvbm.h>
	int f(struct kvbm_session *s, struct kvbm_mutable *mut,
	      struct kvbm_complete *com, struct kvbm_immutable *imm,
	      struct kvbm_hash *h, struct kvbm_psh *psh, struct kvbm_token *tok,
	      struct kvbm_acquired *got);
	int f(struct kvbm_session *s, struct kvbm_mutable *mut,
	      struct kvbm_complete *com, struct kvbm_immutable *imm,
	      struct kvbm_hash *h, struct kvbm_psh *psh, struct kvbm_token *tok,
	      struct kvbm_acquired *got)
	{
		(void)s; (void)mut; (void)com; (void)imm; (void)h; (void)psh;
		(void)tok; (void)got;
		$1
		return 0;
	}
	END
}

# refuses COMPILER STATEMENT GOOD BAD: with ARG as GOOD it must compile, so that
# BAD is refused for being BAD and for nothing else.
refuses() {
	local compiler=$1 language=c

	[ "$compiler" != "$CXX" ] || language=c++
	program "$2" >"$out/program"
	"$compiler" -x "$language" -fsyntax-only "${include[@]}" -DARG="$3" \
		"$out/program" || return 1
	! "$compiler" -x "$language" -fsyntax-only "${include[@]}" -DARG="$4" \
		"$out/program"
}

# The functions that the headers declare, one a line, but for those of
# libkvbm-netlink. What is further right is the body of an inline function.
declared() {
	find "$top"/lib/include/kvbm -name '*.h' ! -name '*_netlink.h' -exec cat {} + |
		$CC -E -P "${include[@]}" -x c - |
		grep '^[a-z_]' | grep -v 'static inline' | grep -oE '\bkvbm_[a-z_]+\(' | tr -d '(' |
		grep -v '^kvbm_scope_' | sort -u
}

exports() {
	nm -D --defined-only "$out/plain/lib/libkvbm.so" |
		sed -n 's/.* \(kvbm_[a-z_]*\)@@KVBM_0\.1$/\1/p' | sort -u >"$out/exported"
	declared >"$out/declared"
	diff "$out/declared" "$out/exported" || return 1
	# And nothing that is not of the interface.
	! nm -D --defined-only "$out/plain/lib/libkvbm.so" |
		grep -v -e '@@KVBM_0\.1$' -e ' A KVBM_0\.1$'
}

build() {
	make -s -C "$top/lib" BUILDDIR="$(realpath "$out")/plain" SANITIZE= CFLAGS=-O1
}

# A program of a user, who has nothing but what was installed.
installed() {
	local root private

	root=$(realpath "$out")/root
	make -s -C "$top/lib" BUILDDIR="$(realpath "$out")/plain" SANITIZE= \
		CFLAGS=-O1 PREFIX=/opt/kvbm DESTDIR="$root" install || return 1
	sed "s|^prefix=|&$root|; s|=/opt|=$root/opt|" \
		"$root/opt/kvbm/lib/pkgconfig/libkvbm.pc" >"$out/libkvbm.pc"
	cat >"$out/user.c" <<-'END'
	#include <kvbm/kvbm.h>
	#include <kvbm/tokens.h>
	int main(void)
	{
		struct kvbm *kvbm;
		struct kvbm_info info;
		int err = kvbm_open("inproc:", &kvbm);

		if (!err)
			err = kvbm_info(kvbm, &info);
		if (err)
			return 1;
		kvbm_close(kvbm);
		if (kvbm_salt_hash("model", 5) != 0x72347b00c5cd9f16)
			return 1;
		return !info.out_version;
	}
	END
	grep -q '^Version: 0\.1\.0$' "$out/libkvbm.pc" || return 1
	$CC -o "$out/user" "$out/user.c" -I"$root/opt/kvbm/include" \
		-L"$root/opt/kvbm/lib" -lkvbm || return 1
	readelf -d "$out/user" | grep -q 'NEEDED.*libkvbm\.so\.0\]' || return 1
	LD_LIBRARY_PATH=$root/opt/kvbm/lib "$out/user" || return 1
	# What a static library takes besides, words of the compiler.
	private=$(sed -n 's/^Libs.private: //p' "$out/libkvbm.pc")
	# shellcheck disable=SC2086	# words
	$CC -o "$out/user" "$out/user.c" -I"$root/opt/kvbm/include" \
		"$root/opt/kvbm/lib/libkvbm.a" $private || return 1
	"$out/user"
}

# From C++, with names that the linker finds.
cpp_program() {
	cat >"$out/user.cc" <<-'END'
	#include <vector>
	#include <kvbm/kvbm.h>
	#include <kvbm/tokens.h>
	int main()
	{
		std::vector<uint32_t> tokens{ 1, 2, 3, 4, 5 };
		struct kvbm_token_block block;
		struct kvbm_token_seq *seq;
		struct kvbm_psh psh;
		size_t n;

		if (kvbm_token_seq_alloc(tokens.data(), tokens.size(), 4, 1337, &seq))
			return 1;
		const struct kvbm_hash *hashes = kvbm_token_seq_hashes(seq, &n);
		if (n != 1 || kvbm_token_seq_block(seq, 0, &block) ||
		    kvbm_hash_compare(hashes, &block.plh) ||
		    block.sequence_hash != 14643705804678351452ULL ||
		    kvbm_psh(block.sequence_hash, 0, block.block_hash, &psh) ||
		    kvbm_hash_compare(&psh.value, &block.psh.value))
			return 1;
		kvbm_token_seq_free(seq);
		return 0;
	}
	END
	$CXX -std=c++11 -Wall -Wextra -Werror -o "$out/user-cc" "$out/user.cc" \
		"${include[@]}" -L"$out/plain/lib" -lkvbm || return 1
	LD_LIBRARY_PATH=$out/plain/lib "$out/user-cc"
}

echo 'TAP version 13'
for std in gnu99 c11 c17 gnu17; do
	check "headers in $std" headers "$CC" -x c -std=$std
done
for std in c++11 c++17 c++20; do
	check "headers in $std" headers "$CXX" -x c++ -std=$std
done

while IFS='|' read -r name statement good bad; do
	for compiler in "$CC" "$CXX"; do
		# _Generic and scopes are for C.
		[[ $compiler = "$CC" || ! $statement =~ kvbm_release\(|SCOPE ]] || continue
		check "$compiler refuses: $name" refuses "$compiler" "$statement" "$good" "$bad"
	done
done <<'END'
stage an immutable|return kvbm_stage(s, 1, ARG, h, 16, com);|mut|imm
stage a complete|return kvbm_stage(s, 1, ARG, h, 16, com);|mut|com
stage into an immutable|return kvbm_stage(s, 1, mut, h, 16, ARG);|com|imm
register a mutable|return kvbm_register(s, 1, ARG, imm, NULL);|com|mut
register an immutable|return kvbm_register(s, 1, ARG, imm, NULL);|com|imm
register into a mutable|return kvbm_register(s, 1, com, ARG, NULL);|imm|mut
stage and register an immutable|return kvbm_stage_register(s, 1, ARG, h, 16, imm, NULL, NULL);|mut|imm
match into a mutable|return kvbm_match(s, 1, h, ARG);|imm|mut
allocate a complete|return kvbm_allocate(s, 1, ARG, h, NULL);|mut|com
acquire, matched into a mutable|return kvbm_acquire(s, h, 1, 1, ARG, mut, h, got);|imm|mut
acquire, fresh into an immutable|return kvbm_acquire(s, h, 1, 1, imm, ARG, h, got);|mut|imm
release an immutable as a mutable|return kvbm_release_mutable(s, 1, ARG, KVBM_NO_HINT);|mut|imm
release a token|return kvbm_release(s, 1, ARG);|mut|tok
release a hash|return kvbm_release(s, 1, ARG);|imm|h
a scope of another type|KVBM_SCOPE(complete, x, s, 1, ARG);|com|imm
a PSH for a PLH|return (int)kvbm_probe(s, 1, ARG);|h|psh
compare guards|return ARG;|mut[0].token.id == mut[1].token.id|mut[0] == mut[1]
END

check 'the library builds without sanitizers' build
check 'exports are what the headers declare' exports
check 'a program with the installed library' installed
check 'a program in C++' cpp_program
echo "1..$n"
exit $failed
