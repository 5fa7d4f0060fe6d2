#compdef casemate
# SPDX-License-Identifier: Apache-2.0
# Completion of casemate for zsh. As in completion.bash, everything but a few values is read from casemate itself.

# Lines "--option=value" or "--option" with what the help says about it behind a colon.
_casemate_specs() {
	local line option value text
	reply=('(-h --help)'{-h,--help}'[show help]')
	for line in ${(f)1}; do
		[[ $line =~ '^ +(-[a-z], )?(--[a-z-]+)( [A-Z][^ ]*)? +(.*)$' ]] || continue
		option=$match[2] value=${match[3]# } text=${match[4]//[\[\]:]/ }
		[[ $option != --help ]] || continue
		if [[ -z $value ]]; then
			reply+=("${option}[$text]")
			continue
		fi
		case $option in
		--socket | --file | --cpu-template) reply+=("${option}[$text]:$value:_files") ;;
		--libexec | --store) reply+=("${option}[$text]:$value:_files -/") ;;
		--on-timeout) reply+=("${option}[$text]:$value:(end pause pause-files)") ;;
		--huge-pages) reply+=("${option}[$text]:$value:(none transparent hugetlb)") ;;
		--root) reply+=("${option}[$text]:$value:(blk pmem)") ;;
		*) reply+=("*${option}[$text]:${value//:/\\:}: ") ;;
		esac
	done
	# What stands only in the line of usage.
	for option in ${(u)=$(grep -oE -- '--[a-z-]+' <<<${(f)1[(f)1]})}; do
		[[ $option = --help || ${#reply[(r)*$option*]} -gt 0 ]] || reply+=("$option")
	done
}

_casemate_ids() {
	local -a ids
	ids=(${(f)"$(casemate ${opt_args[--socket]:+--socket} ${opt_args[--socket]} ps --json 2>/dev/null |
		grep -oE '"id":"i[a-z0-9]{19}"' | cut -d'"' -f4)"})
	compadd "$@" -a ids
}

_casemate() {
	local context state line help
	local -a reply verbs
	typeset -A opt_args

	_arguments -C '--socket[the daemon'\''s socket]:PATH:_files' '(-h --help)'{-h,--help}'[show help]' \
		'--version[show the version]' '1: :->verb' '*:: :->rest' && return
	case $state in
	verb)
		verbs=(${(f)"$(casemate help 2>/dev/null | sed -nE 's/^  ([a-z]+) +(.*)/\1:\2/p')"})
		_describe verb verbs
		;;
	rest)
		help=$(casemate $words[1] --help 2>/dev/null) || return
		_casemate_specs $help
		case $words[1] in
		run) _arguments $reply '*:: :_default' ;;
		exec) _arguments $reply '1: :_casemate_ids' '*:: :_default' ;;
		cp) _arguments $reply '*: :{ _casemate_ids -S : ; _files }' ;;
		key) _arguments $reply '1: :(create list revoke)' ;;
		snapshot) _arguments $reply '1: :(create ls rm)' '2: :_casemate_ids' ;;
		template) _arguments $reply '1: :(build ls tag rm)' '*: :_files' ;;
		image) _arguments $reply '1: :(import pull ls inspect rm gc)' '*: :_files' ;;
		*)
			if [[ $help = *' ID'* ]]; then
				_arguments $reply '*: :_casemate_ids'
			else
				_arguments $reply
			fi
			;;
		esac
		;;
	esac
}

_casemate "$@"
