# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Completion of kvbmctl in bash.

# Names of registries, and with an argument those of managers, too.
_kvbmctl_names() {
	kvbmctl list 2>/dev/null |
		awk -v managers="${1-}" 'NR > 1 && (managers || $1 !~ /:/) { print $1 }'
}

_kvbmctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} line=${COMP_LINE:0:COMP_POINT}
	local commands="create list show destroy stat check dump holders top gc quota
		epoch info monitor"
	local words word command='' object='' options='--device= --json --help' choices=''
	local prefix

	# Bash breaks words at ':' and '='; here they are parts of a word.
	read -ra words <<<"$line"
	if [ -z "$line" ] || [ "${line: -1}" = ' ' ]; then
		cur=''
	else
		cur=${words[-1]}
		unset 'words[-1]'
	fi
	for word in "${words[@]:1}"; do
		case $word in
		-*) ;;
		*) if [ -z "$command" ]; then command=$word
		   elif [ -z "$object" ]; then object=$word; fi ;;
		esac
	done
	case $command in
	'') choices=$commands ;;
	create)
		case $object in
		'') choices='registry manager' ;;
		registry) options+=' --capacity= --mode= --schema=plh --schema=opaque --sketch=' ;;
		manager)
			options+=' --blocks= --block-size= --mode= --policy= --reset-on-release
				--dup=allow --dup=reject
				--tier=G1 --tier=G2 --tier=G3 --tier=G4'
			choices=$(_kvbmctl_names | sed 's/$/:/') ;;
		esac ;;
	show) [ -n "$object" ] || choices=$(_kvbmctl_names all) ;;
	destroy)
		options+=' --force'
		[ -n "$object" ] || choices=$(_kvbmctl_names all) ;;
	stat | check)
		[ -n "$object" ] || choices=$(_kvbmctl_names all | grep :) ;;
	dump)
		options+=' --start= --count=
			--state=reset --state=mutable --state=staged --state=primary
			--state=duplicate --state=inactive'
		[ -n "$object" ] || choices=$(_kvbmctl_names all | grep :) ;;
	monitor)
		options+=' --count= --dump --power-of-two'
		[ -n "$object" ] || choices=$(_kvbmctl_names) ;;
	holders)
		[ -n "$object" ] || choices=$(_kvbmctl_names all) ;;
	top)
		options+=' --batch --interval= --count='
		[ -n "$object" ] || choices=$(_kvbmctl_names all) ;;
	quota)
		options+=' --session --user= --user=each --cgroup= --set= --clear'
		[ -n "$object" ] || choices=$(_kvbmctl_names all | grep :) ;;
	epoch)
		options+=' --raise --force'
		[ -n "$object" ] || choices=$(_kvbmctl_names all | grep :) ;;
	gc)
		options+=' --cached --older= --destroy'
		[ -n "$object" ] || choices=$(_kvbmctl_names all) ;;
	esac
	case $cur in -*) choices=$options ;; esac
	mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$cur")
	# What bash takes for the beginning of the word before is there already.
	case $cur in
	*[:=]*)
		prefix=${cur%"${cur##*[:=]}"}
		COMPREPLY=("${COMPREPLY[@]#"$prefix"}") ;;
	esac
	case ${COMPREPLY[0]-} in *[:=]) compopt -o nospace 2>/dev/null ;; esac
}

complete -F _kvbmctl kvbmctl
