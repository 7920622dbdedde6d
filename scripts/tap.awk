# SPDX-License-Identifier: GPL-2.0
#
# Read the output of a test suite: any number of TAP documents, each perhaps
# named by a line "# group: NAME" before it and closed by a line
# "# group-end: STATUS SECONDS". Prints a line per group, and what failed;
# writes "passed failed skipped" to the file given as -v totals=FILE.
#
# A group that dies before its plan is fulfilled has failed, whatever it said.

function close_group(status, seconds,    note) {
	if (!open)
		return
	if (plan < 0) {
		note = " (no plan)"
		bad++
	} else if (ok + bad + skip < plan) {
		note = " (" plan " planned, stopped after " (ok + bad + skip) ")"
		bad++
	} else if (status != "" && status != 0 && status != 4 && !bad) {
		note = " (exit status " status ")"
		bad++
	}
	printf "  %-6s %-32s %5d ok %3d not ok %3d skipped", bad ? "FAILED" : "ok",
	       group, ok, bad, skip
	print (seconds == "" ? "" : sprintf("  %4d s", seconds)) note
	fflush()
	passed += ok; failed += bad; skipped += skip
	open = 0
}

function open_group(name) {
	close_group("", "")
	group = name
	ok = bad = skip = 0
	plan = -1
	after = nbefore = 0
	open = 1
}

BEGIN { open_group(suite); implicit = 1 }

{ sub(/\r$/, "") }

/^# group: / {
	# The one that is open without a name counts only if it said something.
	if (implicit && plan < 0 && !(ok + bad + skip))
		open = 0
	implicit = 0
	open_group(substr($0, 10))
	next
}
/^# group-end: / { close_group($3, $4); next }
/^1\.\.[0-9]+/ {
	if (!open)
		open_group(suite)
	plan = (plan < 0 ? 0 : plan) + substr($1, 4)
	# A plan of nothing is how a whole program is skipped.
	if ($1 == "1..0")
		skip++
	next
}
# What was said about a failure, before its line or after it.
/^#/ {
	if (after > 0 && $0 !~ /^# *(RUN|OK) /) {
		print "      " $0
		after--
	} else {
		before[++nbefore] = $0
	}
	next
}

/^ok / {
	after = nbefore = 0
	if (toupper($0) ~ /# *SKIP/)
		skip++
	else
		ok++
	next
}
/^not ok / || /^Bail out!/ {
	bad++
	for (i = (nbefore > 6 ? nbefore - 5 : 1); i <= nbefore; i++)
		print "      " before[i]
	print "    " $0
	fflush()
	nbefore = 0
	after = 12
}

END {
	close_group("", "")
	print passed + 0, failed + 0, skipped + 0 >totals
}
