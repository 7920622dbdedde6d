#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The device as packaging/60-kvbm.rules leaves it: a member of its group, not
# root, does the main job; others cannot even open it. BusyBox is enough.
#
# shellcheck disable=SC2317	# the tests are called by name

dev=/dev/kvbm
member=kvbm-user
other=nobody

skip_all() {
	echo "1..0 # SKIP $*"
	exit 4
}

echo "TAP version 13"
[ "$(id -u)" = 0 ] || skip_all "needs root, to become others"
[ -c "$dev" ] || skip_all "no $dev"
id "$member" >/dev/null 2>&1 || skip_all "no user $member"
[ "$(stat -c %G "$dev")" != root ] || skip_all "$dev is root's: no udev rule was applied"
command -v kvbm-run >/dev/null || skip_all "no kvbm-run in $PATH"

n=0 failed=0
test_case() {
	name=$1
	shift
	n=$((n + 1))
	if out=$("$@" 2>&1); then
		echo "ok $n $name"
	else
		echo "$out" | sed 's/^/# /'
		echo "not ok $n $name"
		failed=1
	fi
}

# as USER COMMAND: with the groups of the user, as after a login.
as() { su "$1" -s /bin/sh -c "$2"; }

group_and_mode() {
	stat -c '%U %G %a' "$dev"
	[ "$(stat -c '%U %G %a' "$dev")" = "root kvbm 660" ]
}

member_is_not_root() {
	as "$member" id
	[ "$(as "$member" 'id -u')" != 0 ] && as "$member" 'id -nG' | grep -qw kvbm
}

main_job() {
	as "$member" 'kvbm-run --quick --progress=never'
}

# The other half of what the group is for: rights that need no root, either.
owner_is_member() {
	as "$member" 'kvbmctl create registry kvbm_group --capacity=1k' || return 1
	kvbmctl list
	kvbmctl list | grep -q "kvbm_group.*$member"
	found=$?
	as "$member" 'kvbmctl destroy kvbm_group' && [ "$found" = 0 ]
}

refused_by_open() {
	said=$(as "$other" ": <$dev" 2>&1) && return 1
	echo "$said"
	case $said in *'ermission denied'*) ;; *) return 1 ;; esac
}

refused_by_tool() {
	said=$(as "$other" 'kvbmctl info' 2>&1) && return 1
	echo "$said"
	# What kvbm_strerror(-EACCES) begins with.
	case $said in *'no right to do this'*) ;; *) return 1 ;; esac
}

echo "1..6"
test_case "group and mode are those of the rule" group_and_mode
test_case "$member is in the group, and not root" member_is_not_root
test_case "$member does the main job" main_job
test_case "$member owns what it creates" owner_is_member
test_case "$other cannot open the device" refused_by_open
test_case "$other hears EACCES from kvbmctl" refused_by_tool
exit $failed
