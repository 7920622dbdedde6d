#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Look for anything in a kernel log that says the kernel found a bug.
#
# usage: scripts/splat-check.sh [-c] LOG
#
# Prints each excerpt, or with -c only how many there are; exit status 1 if
# there is any.
set -eu

count_only=0
if [ "${1-}" = -c ]; then
	count_only=1
	shift
fi
if [ $# != 1 ] || [ ! -r "$1" ]; then
	echo "usage: splat-check.sh [-c] LOG" >&2
	exit 2
fi

awk -v count_only=$count_only '
# The runner reports on the same console; those lines are its own.
/kvbm-vm: / { next }

function is_splat(line) {
	return line ~ /(^|[^A-Za-z])(BUG|WARNING|Oops|KASAN|KCSAN|UBSAN|KMSAN|KFENCE|ODEBUG|INTERNAL ERROR)[: ]/ ||
	       line ~ /possible (circular|recursive|irq lock|deadlock)/ ||
	       line ~ /(inconsistent lock state|bad unlock balance|held lock freed|lock held when returning|lock-order|suspicious RCU|Invalid wait context|irqs-(on|off))/ ||
	       line ~ /INFO: (task|rcu|trying to register|possible)/ ||
	       line ~ /(self-detected stall|detected stalls|soft lockup|hard LOCKUP|hung task|blocked for more than)/ ||
	       line ~ /(refcount_t:|sleeping function called|scheduling while atomic|preempt_count|Voluntary context switch within RCU)/ ||
	       line ~ /(general protection|stack segment|double fault|divide error|invalid opcode|unable to handle|Unable to handle|kernel NULL pointer)/ ||
	       line ~ /(unreferenced object|new suspected memory leaks|leak detector disabled|Memory pool empty)/ ||
	       line ~ /(list_add corruption|list_del corruption|Bad page (state|map)|Bad rss-counter|Object (already free|poison overwritten)|Objects remaining|still has objects|Slab corruption|use-after-free|out-of-bounds|double-free|usercopy:)/ ||
	       line ~ /(page allocation failure|vmalloc error|invoked oom-killer|Out of memory)/ ||
	       line ~ /(Kernel panic|kernel BUG|Call Trace|cut here|Attempted to kill init|non-zero .* before|corrupted stack|stack-protector|Unloaded tainted|waiting for .* to become free)/
}

# Lines of a boot without any module of ours, and why they are harmless.
function is_noise(line) {
	# The debug kernel lists its checkers.
	return line ~ /rcu: .*RCU callback double-\/use-after-free debug is enabled/
}

{
	line[++n] = $0
	if (is_splat($0) && !is_noise($0)) {
		# A report is one splat, however many of its lines match.
		if (!last || n - last > 40)
			splats++
		last = n
		for (i = n - 3; i <= n + 30; i++)
			show[i] = 1
	}
}
END {
	if (count_only)
		print splats + 0
	else
		for (i = 1; i <= n; i++)
			if (show[i]) {
				if (i > 1 && !show[i - 1])
					print "--"
				print line[i]
			}
	exit splats ? 1 : 0
}' "$1"
