# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154 # work comes from scratch(), lib.sh
# For build.sh of root images, behind lib.sh: a tree of Debian packages, without what nobody reads in a sandbox.

# A fixed time for everything, because files that carry the build's time can not be reproduced.
export SOURCE_DATE_EPOCH=1700000000

# debian_tree FORMAT OUT PACKAGE... [-- OPTION...]: bookworm's essential packages and these, by mmdebstrap, in OUT; FORMAT
# is directory or tar. OPTION: more for mmdebstrap. What it prints goes to $work/log.
debian_tree() {
	format=$1 tree=$2 include=
	shift 2
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		include=$include,$1
		shift
	done
	[ $# -eq 0 ] || shift
	debian_sources >"$work/sources"
	# As root, because files of several owners are made.
	as_root env SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" mmdebstrap --mode=root --variant=essential --format="$format" \
		--include="${include#,}" \
		--aptopt='Apt::Install-Recommends "false"' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-include=/usr/share/doc/*/copyright' \
		--dpkgopt='path-exclude=/usr/share/info/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/i18n/*' \
		--dpkgopt='path-exclude=/usr/share/bash-completion/*' \
		"$@" bookworm "$tree" "$work/sources" >"$work/log" 2>&1
}
