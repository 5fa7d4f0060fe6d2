#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# install.sh SOURCE BUILD CMAKE PREFIX: installs BUILD into a staging directory and looks at what an administrator would get: every
# file with its mode, manual pages and units without a warning, completion and manual beside what the programs say
# of themselves. What needs a tool that isn't there is skipped and says so.
set -u -o pipefail
source=$1 build=$2 cmake=$3 prefix=$4
export LC_ALL=C.UTF-8
root=$(mktemp -d) || exit 1
top=$root$prefix zsh=share/zsh/site-functions
[ "$prefix" != /usr ] || zsh=share/zsh/vendor-completions
trap 'rm -rf "$root"' EXIT
failures=0

fail() { printf 'FAIL: %s\n' "$*"; failures=$((failures + 1)); }
skip() { printf 'skipped: %s\n' "$*"; }
need() { command -v "$1" >/dev/null || { skip "$2: there is no $1"; return 1; }; }

# --- Files and modes -------------------------------------------------------------------------------------------------

# The whole tree, so that nothing comes along unnoticed: a test build of the jailer would be a hole.
files() {
	cat <<-LIST
		755 bin/casemate
		644 lib/systemd/system/casemate-jailer.service
		644 lib/systemd/system/casemate-tls.service
		644 lib/systemd/system/casemate-tls.socket
		644 lib/systemd/system/casemated-net.socket
		644 lib/systemd/system/casemated.service
		644 lib/systemd/system/casemated.socket
		644 lib/sysusers.d/casemate.conf
		644 lib/tmpfiles.d/casemate.conf
		755 libexec/casemate/casemate-egress
		755 libexec/casemate/casemate-gitlab
		755 libexec/casemate/casemate-import
		755 libexec/casemate/casemate-jailer
		755 libexec/casemate/casemate-probe
		755 libexec/casemate/casemate-tls
		755 libexec/casemate/casemate-vmm
		755 libexec/casemate/casemated
		644 share/bash-completion/completions/casemate
		644 share/casemate/openapi.yaml
		644 share/casemate/selinux/README.md
		644 share/casemate/selinux/casemate.cil
		644 share/casemate/selinux/file_contexts
		644 share/doc/casemate/LICENSE
		644 share/doc/casemate/README.md
		644 share/man/man1/casemate.1
		644 share/man/man8/casemate-agent.8
		644 share/man/man8/casemate-egress.8
		644 share/man/man8/casemate-import.8
		644 share/man/man8/casemate-jailer.8
		644 share/man/man8/casemate-tls.8
		644 share/man/man8/casemate-vmm.8
		644 share/man/man8/casemated.8
		644 $zsh/_casemate
	LIST
	for page in "$source"/docs/*.md; do echo "644 share/doc/casemate/${page##*/}"; done
	for policy in "$source"/policies/cpu/*; do echo "644 share/casemate/cpu/${policy##*/}"; done
}

check_files() {
	(umask 022 && DESTDIR=$root "$cmake" --install "$build") >"$root.log" 2>&1 || { cat "$root.log"; fail "cmake --install"; }
	rm -f "$root.log"
	diff <(files | sort -k2) <(cd "$top" && find . -type f -printf '%m %P\n' | sort -k2) || fail 'other files or modes than expected (<: expected, >: installed)'
	! find "$root" -type l -o -perm /6022 | grep . || fail 'links, or files with unsafe modes'
	! grep -rl '@CMAKE' "$root" || fail 'a place that was not filled in'
	! "$cmake" --install "$build" --prefix "$root/elsewhere" >/dev/null 2>&1 || fail 'a prefix that the programs do not know is accepted'
	! [ -e "$root/elsewhere" ] || fail 'and something was installed there'
}

# --- Manual pages ----------------------------------------------------------------------------------------------------

check_pages() {
	need man 'manual pages' || return
	for page in "$top"/share/man/man?/*; do
		warnings=$(man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
		[ -z "$warnings" ] || fail "${page##*/}: $warnings"
	done
}

# long_options PROGRAM ARGUMENT...: those that its help names.
long_options() { "$@" 2>&1 | grep -oE -- '(^|[[ |,])--[a-z][a-z-]+' | tr -d ' [|,' | sort -u; }

[ "$(long_options echo ' --a-b X' '-c, --de[=F]  text')" = '--a-b
--de' ] || fail 'long_options finds not what it should'

# words PAGE: the page as a person reads it, without hyphenation.
words() { man -E ascii -l -Tascii -P cat --no-hyphenation --no-justification "$1" 2>/dev/null | sed 's/.\x08//g'; }

declare -A pages=()
check_help_in_page() { # PAGE PROGRAM ARGUMENT...
	page=$1
	shift
	text=${pages[$page]:=$(words "$top/share/man/$page")}
	for option in $(long_options "$@"); do
		grep -qE -- "(^|[^a-z-])$option([^a-z-]|$)" <<<"$text" || fail "$page says nothing of $option (${*##*/})"
	done
}

verbs() { "$casemate" help | sed -nE 's/^  ([a-z]+) .*/\1/p'; }

check_helps() {
	need man 'options in manual pages' || return
	check_help_in_page man8/casemated.8 "$top/libexec/casemate/casemated" --help
	check_help_in_page man8/casemate-jailer.8 "$top/libexec/casemate/casemate-jailer" --help
	check_help_in_page man8/casemate-tls.8 "$top/libexec/casemate/casemate-tls" --help
	text=$(words "$top/share/man/man1/casemate.1")
	for verb in $(verbs); do
		grep -qE "^       (.*, )?$verb( |,|$)" <<<"$text" || fail "casemate.1 has no entry for $verb"
		case $verb in help | version) continue ;; esac
		check_help_in_page man1/casemate.1 "$casemate" "$verb" --help
	done
}

# --- Completion ------------------------------------------------------------------------------------------------------

# complete_line WORD...: what bash would offer for the last one.
complete_line() {
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
	_casemate "$casemate" "${!#}" ''
	[ ${#COMPREPLY[@]} = 0 ] || printf '%s\n' "${COMPREPLY[@]}"
}

check_completion() {
	# shellcheck disable=SC1091 # installed a moment ago
	. "$top/share/bash-completion/completions/casemate" || { fail 'completion does not load'; return; }
	compopt() { :; } # only bash's own completion may call it
	diff <(verbs) <(complete_line casemate '') || fail 'completion offers other verbs than casemate help'
	[ "$(complete_line casemate ins)" = inspect ] || fail 'completion of "ins"'
	for verb in $(verbs); do
		case $verb in help | version) continue ;; esac
		diff <(long_options "$casemate" "$verb" --help) <(complete_line casemate "$verb" --) >"$root/diff" ||
			{ cat "$root/diff"; fail "completion offers other options of $verb than its help"; }
	done
	[ "$(complete_line casemate run --huge-pages h)" = hugetlb ] || fail 'completion of a value'
	[ -z "$(complete_line casemate run -- --)" ] || fail "completion of the guest's own options"
	[ "$(complete_line casemate key r)" = revoke ] || fail 'completion of key'
	# Ids, from a casemate that knows two sandboxes and whose help is the real one's.
	cat >"$root/fake" <<-FAKE
		#!/bin/sh
		case "\$*" in
		'--socket /s ps --json') echo '{"sandboxes":[{"id":"i000000000000000000a"}]}' ;;
		'ps --json') echo '{"sandboxes":[{"id":"i000000000000000000b","image":"i"},{"id":"i000000000000000000c"},{"id":"\$(touch x)"}]}' ;;
		*) exec "$casemate" "\$@" ;;
		esac
	FAKE
	chmod +x "$root/fake"
	for verb in rm exec fork logs inspect metrics; do
		[ "$(casemate=$root/fake complete_line casemate $verb '' | tr '\n' ' ')" = 'i000000000000000000b i000000000000000000c ' ] || fail "completion of $verb ID"
	done
	[ -z "$(casemate=$root/fake complete_line casemate ps '')" ] || fail 'completion of ids where none belongs'
	[ -z "$(casemate=$root/fake complete_line casemate logs i000000000000000000b '')" ] || fail 'a second id'
	[ "$(casemate=$root/fake complete_line casemate --socket /s logs -f '')" = i000000000000000000a ] || fail 'completion of ids over another socket'
}

check_zsh() {
	need zsh 'completion for zsh' || return
	zsh -n "$top/$zsh/_casemate" || fail 'completion for zsh has a syntax error'
}

# --- Units -----------------------------------------------------------------------------------------------------------

# exposure UNIT: systemd's own measure, 0 (none) to 10, without the point.
exposure() {
	systemd-analyze security --no-pager --offline=yes "$1" 2>/dev/null |
		sed -nE 's/.*exposure level for .*: ([0-9]+)\.([0-9]).*/\1\2/p'
}

check_units() {
	need systemd-analyze units || return
	# Its programs are where they will be, not here: the copies that are verified have /bin/true instead.
	mkdir "$root/units"
	for unit in "$top"/lib/systemd/system/*; do
		sed 's,^ExecStart=[^ ]*,ExecStart=/bin/true,' "$unit" >"$root/units/${unit##*/}"
	done
	said=$(SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no "$root"/units/casemate* 2>&1 | grep casemate)
	[ -z "$said" ] || fail "units: $said"
	# The control: what the same command says about a unit that is wrong.
	sed 's/^ProtectSystem=strict/ProtectSytem=strict/' "$root/units/casemated.service" >"$root/units/casemate-wrong.service"
	SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no "$root/units/casemate-wrong.service" 2>&1 | grep -q ProtectSytem || fail 'systemd-analyze verify sees no error'
	score=$(exposure "$root/units/casemated.service")
	[ "${score:-99}" -le 20 ] || fail "casemated.service: exposure ${score:-unknown} (of 100) is more than 20"
	score=$(exposure "$root/units/casemate-tls.service")
	[ "${score:-99}" -le 10 ] || fail "casemate-tls.service: exposure ${score:-unknown} (of 100) is more than 10"
	# The filter that the unit sets holds until casemated's own is on, and must let all of that through.
	allowed=$(systemd-analyze syscall-filter --no-pager @system-service | flatten)
	for call in $(sed -nE 's/^([a-z][a-z0-9_]*)( .*)?$/\1/p' "$source/policies/seccomp/casemated.policy") execve seccomp; do
		grep -qx -- "$call" <<<"$allowed" || [ "$call" = seccomp ] || fail "casemated.service denies $call, which casemated uses"
	done
	for call in $(sed -nE 's/^([a-z][a-z0-9_]*)( .*)?$/\1/p' "$source"/policies/seccomp/tls-*.policy) execve; do
		grep -qx -- "$call" <<<"$allowed" || fail "casemate-tls.service denies $call, which casemate-tls uses"
	done
}
flatten() { # a set: its own name first, then calls and other sets
	read -r _
	while read -r word _; do
		case $word in
		'#' | '') ;;
		@*) systemd-analyze syscall-filter --no-pager "$word" | flatten ;;
		*) echo "$word" ;;
		esac
	done
}

casemate=$top/bin/casemate
check_files
check_pages
check_helps
check_completion
check_zsh
check_units
[ $failures = 0 ]
