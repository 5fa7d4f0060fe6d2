#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the default root image: Debian packages in a read-only EROFS, the same bytes for the same package versions.
# Prints the artefact's directory, which holds `root.erofs` and `manifest` (package versions).
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
top=${here%/images/*}
. "$top/images/lib.sh"

packages=$(sed 's/#.*//' "$here/packages" | xargs)
# shellcheck disable=SC2086 # a list of words
id=$(versions $packages base-files libc6 bash coreutils libssl3 | key "$here/packages" "$here/build.sh" "$here/customize.sh")
out=$cache/rootfs/$id
[ ! -e "$out" ] || { echo "$out"; exit 0; }
lock rootfs
[ ! -e "$out" ] || { echo "$out"; exit 0; }

scratch rootfs
mkdir "$work/out"
say "rootfs: building the root image from Debian packages (a minute, once)"
# A fixed time for everything, because files that carry the build's time can not be reproduced.
export SOURCE_DATE_EPOCH=1700000000
debian_sources >"$work/sources"
# As root, because files of several owners are made.
as_root env SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH mmdebstrap --mode=root --variant=essential --format=directory \
	--include="$(echo "$packages" | tr ' ' ',')" \
	--aptopt='Apt::Install-Recommends "false"' \
	--dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--dpkgopt='path-exclude=/usr/share/info/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--dpkgopt='path-exclude=/usr/share/i18n/*' \
	--dpkgopt='path-exclude=/usr/share/bash-completion/*' \
	--dpkgopt='path-exclude=/usr/share/perl/*/unicore/lib/*' \
	bookworm "$work/tree" "$work/sources" >"$work/log" 2>&1 ||
	{ tail -30 "$work/log" >&2; die "rootfs: mmdebstrap failed, see above"; }
as_root env SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH sh "$here/customize.sh" "$work/tree" "$work/out" >"$work/log" 2>&1 ||
	{ tail -30 "$work/log" >&2; die "rootfs: customize.sh failed, see above"; }
as_root rm -rf "$work/tree"
as_root chown -R "$(id -u):$(id -g)" "$work/out"
publish "$work/out" rootfs "$id"
echo "$out"
