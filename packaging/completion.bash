# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion of casemate for bash. Verbs, options and which of them take a value are read from what `casemate help` and
# `casemate VERB --help` say, so they can't get out of step; sandboxes' ids are asked of the daemon.

# _casemate_options HELP: the long options that it names, with "=" behind those that take a value.
_casemate_options() {
	grep -oE -- '(^|[[ |])--[a-z-]+( [A-Z])?' <<<"$1" | awk '
		{ option = $NF ~ /^[A-Z]$/ ? $(NF - 1) : $NF; sub(/^[[|]*/, "", option); takes[option] += $NF ~ /^[A-Z]$/ }
		END { for (option in takes) print option (takes[option] ? "=" : "") }' | sort
}

# _casemate_ids GLOBAL...: of the sandboxes that there are.
_casemate_ids() { "$@" ps --json 2>/dev/null | grep -oE '"id":"i[a-z0-9]{19}"' | cut -d'"' -f4; }

# _casemate_values OPTION: what can be said about its value.
_casemate_values() {
	case $1 in
	--on-timeout) echo end pause pause-files ;;
	--net) echo internet none allow= deny= ;;
	--huge-pages) echo none transparent hugetlb ;;
	--root) echo blk pmem ;;
	--env) compgen -A export ;;
	--cpus) echo 1 2 4 8 16 32 ;;
	--memory) echo 256M 512M 1G 2G 4G ;;
	esac
}

_casemate() {
	local casemate=$1 current=$2 verb='' help options word i positional=0 skip=''
	local -a words=("${COMP_WORDS[@]:1:COMP_CWORD-1}") global=()
	COMPREPLY=()

	help=$("$casemate" help 2>/dev/null) || return
	options=$(_casemate_options "$help")
	for ((i = 0; i < ${#words[@]}; i++)); do
		word=${words[i]}
		if [ -n "$skip" ]; then
			[ "$skip" != --socket ] || global=(--socket "$word")
			skip=
		elif [ "$positional" = 0 ] && [ "$word" = -- ]; then
			# From here on it is the guest's: run's command. Nobody here knows what there is.
			[ "$verb" != run ] || return
		elif [[ $word = -* ]]; then
			! grep -qxF -- "$word=" <<<"$options" || skip=$word
		elif [ -z "$verb" ]; then
			verb=$word
			help=$("$casemate" "$verb" --help 2>/dev/null) || return
			options=$(_casemate_options "$help")
		else
			positional=$((positional + 1))
		fi
	done

	if [ -n "$skip" ]; then
		word=$(_casemate_values "$skip")
		case $skip in --socket | --file | --cpu-template | --libexec | --store) compopt -o default ;; esac
	elif [[ $current = -* ]]; then
		[ "$positional" = 0 ] || case $verb in run | exec) return ;; esac
		word=${options//=/}
	elif [ -z "$verb" ]; then
		word=$(sed -nE 's/^  ([a-z]+) .*/\1/p' <<<"$help")
	elif [ "$verb" = key ] && [ "$positional" = 0 ]; then
		word='create list revoke'
	elif [ "$verb" = snapshot ] && [ "$positional" = 0 ]; then
		word='create ls rm'
	elif [ "$verb" = template ] && [ "$positional" = 0 ]; then
		word='build ls tag rm'
	elif [ "$verb" = template ]; then
		compopt -o default
		return
	elif [ "$verb" = image ] && [ "$positional" = 0 ]; then
		word='import pull ls inspect rm gc'
	elif [ "$verb" = image ]; then
		compopt -o default
		return
	elif [ "$verb" = cp ]; then
		compopt -o default -o nospace
		word=$(_casemate_ids "$casemate" "${global[@]}" | sed 's/$/:/')
	elif grep -qE '^(Usage:|      ) casemate '"$verb"' .*\bID\b' <<<"$help"; then
		[ "$positional" = 0 ] || grep -q 'ID\.\.\.' <<<"$help" || return
		[ "$verb" != key ] || return
		word=$(_casemate_ids "$casemate" "${global[@]}")
	else
		return
	fi
	mapfile -t COMPREPLY < <(compgen -W "$word" -- "$current")
}

complete -F _casemate casemate
