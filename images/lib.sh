# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Shared by ./dev and images/*/build.sh: the artefact cache, messages, Debian's mirror.
#
# An artefact is a directory $cache/KIND/KEY, KEY being a hash of all that went into it. A build.sh prints the
# path of its finished artefact on stdout and talks on stderr. A finished artefact appears by rename, so whoever
# sees it may use it; a lock a kind keeps concurrent runs from building the same thing twice.

cache=${CASEMATE_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/casemate}
top=${top:?images/lib.sh: set top to the checkout first}

say() { printf 'dev: %s\n' "$*" >&2; }
die() { say "$*"; exit "${die_status:-1}"; }

# key FILE...: a short hash of the files' contents and of standard input (versions, options).
key() { { cat -- "$@"; cat; } | sha256sum | cut -c1-16; }

# lock KIND: waits until nobody else in this cache builds KIND; held until the script ends.
lock() {
	mkdir -p "$cache/$1"
	exec 9>"$cache/$1/.lock"
	flock -n 9 || { say "$1: another run is building it; waiting"; flock 9; }
}

# scratch KIND: a directory to build in, on the same file system as the artefact, removed whatever happens.
scratch() {
	work=$(mktemp -d "$cache/$1/.build.XXXXXX")
	# shellcheck disable=SC2064 # the path is fixed now
	trap "rm -rf '$work'" EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# publish DIR KIND KEY: DIR becomes the artefact. The newest artefacts stay, so that two checkouts sharing a cache
# do not evict each other; one in use for less than a day is never removed.
publish() {
	chmod -R go-w "$1"
	chmod 755 "$1"
	mv -T "$1" "$cache/$2/$3"
	find "$cache/$2" -mindepth 1 -maxdepth 1 -type d -name '[0-9a-f]*' -printf '%T@ %p\n' | sort -rn | tail -n +4 |
		cut -d' ' -f2- | while read -r old; do
		[ -z "$(find "$old" -maxdepth 0 -mtime +0)" ] || rm -rf "$old"
	done
}

# steps TOTAL LABEL: turns a build's output into a rising percentage: a line a tenth, or in place on a terminal.
steps() {
	awk -v total="$1" -v label="$2" -v tty="$( [ -t 2 ] && echo 1 || echo 0 )" '
		{ p = int(++n * 100 / total); if (p > 99) p = 99; s = tty ? p : int(p / 10) * 10
		  if (s != last) { printf(tty ? "\rdev: %s: %d %%" : "dev: %s: %d %%\n", label, s) > "/dev/stderr"; last = s } }
		END { if (tty) printf("\r\033[K") > "/dev/stderr" }'
}

# as_root COMMAND...: some steps make files of other owners or set SELinux labels.
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# debian_sources: this machine's own Debian mirrors, as one-line entries for mmdebstrap. apt parses its sources itself,
# whatever their format, so no mirror is named anywhere in this project.
debian_sources() {
	# shellcheck disable=SC1091,SC2153
	release=$(. /etc/os-release && echo "$VERSION_CODENAME")
	# shellcheck disable=SC2016 # apt expands these, not the shell
	apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
		awk -v r="$release" '$3 == "main" && ($2 == r || index($2, r "-") == 1) && !seen[$0]++ { print "deb", $1, $2, $3 }'
}

# versions PACKAGE...: the packages' candidate versions, a line each. They go into the keys of images, so an image
# follows Debian's security updates once the machine has run `apt-get update`. Remembered by a hash of apt's release
# files, because asking apt takes half a second.
versions() {
	lists=$(cat /var/lib/apt/lists/*Release 2>/dev/null | { cat; printf '%s\n' "$@"; } | sha256sum | cut -c1-16)
	memo=$cache/versions/$lists
	if [ ! -s "$memo" ]; then
		mkdir -p "$cache/versions"
		find "$cache/versions" -type f -mtime +30 -delete
		apt-cache policy "$@" | awk '/^[^ ]/ { p = $1 } /^ +Candidate:/ { print p $2 }' >"$memo.$$"
		mv "$memo.$$" "$memo"
	fi
	cat "$memo"
}

# modules DIR NAME...: the files (relative to DIR, one lib/modules/RELEASE) of the named modules and all that they
# need, in an order in which insmod takes them. A module that this kernel has built in is left out.
modules() (
	dir=$1
	shift
	printf '%s\n' "$@" | awk -v dep="$dir/modules.dep" -v builtin="$dir/modules.builtin" '
		function name(path) { sub(".*/", "", path); sub("[.]ko.*", "", path); gsub("-", "_", path); return path }
		function visit(m,   d, i, n) {
			if (done[m]++) return
			n = split(deps[m], d, " ")
			for (i = n; i > 0; i--) visit(name(d[i]))
			print file[m]
		}
		BEGIN {
			while ((getline line < dep) > 0) {
				p = line; sub(":.*", "", p); sub("[^:]*: *", "", line)
				file[name(p)] = p; deps[name(p)] = line
			}
			while ((getline line < builtin) > 0) inside[name(line)] = 1
		}
		{ m = name($0)
		  if (m in file) visit(m)
		  else if (!(m in inside)) { print "no module " $0 > "/dev/stderr"; bad = 1 } }
		END { exit bad }'
)
