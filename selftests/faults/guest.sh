#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# In the guest: load a module, run one test of one program, remove the module;
# for each line "NAME MODULE PROGRAM TEST SECONDS" of the file given. Stops when
# a module cannot be removed. BusyBox only.

cd /faults || exit 1
while read -r name module program test limit; do
	echo "# begin: $name"
	insmod "$module" || echo "# no module"
	KVBM_TEST=$test timeout -s KILL "$limit" "./$program" -t "$test" </dev/null
	echo "# end: $name $?"
	# Processes that were killed may still be closing their files.
	tries=0
	until rmmod kvbm 2>/dev/null; do
		tries=$((tries + 1))
		if [ $tries -ge 10 ]; then
			echo "# stuck: $name"
			exit 1
		fi
		sleep 0.1
	done
done <"$1"
