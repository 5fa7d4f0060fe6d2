#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the default root image: Debian packages in a read-only EROFS, the same bytes for the same package versions.
# Prints the artefact's directory, which holds `root.erofs` and `manifest` (package versions).
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
top=${here%/images/*}
. "$top/images/lib.sh"
. "$top/images/tree.sh"

packages=$(sed 's/#.*//' "$here/packages" | xargs)
# shellcheck disable=SC2086 # a list of words
id=$(versions $packages base-files libc6 bash coreutils libssl3 | key "$here/packages" "$here/build.sh" "$top/images/tree.sh" "$here/customize.sh")
out=$cache/rootfs/$id
[ ! -e "$out" ] || { echo "$out"; exit 0; }
lock rootfs
[ ! -e "$out" ] || { echo "$out"; exit 0; }

scratch rootfs
mkdir "$work/out"
say "rootfs: building the root image from Debian packages (a minute, once)"
# shellcheck disable=SC2086 # a list of words
debian_tree directory "$work/tree" $packages -- --dpkgopt='path-exclude=/usr/share/perl/*/unicore/lib/*' ||
	{ tail -30 "$work/log" >&2; die "rootfs: mmdebstrap failed, see above"; }
as_root env SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH sh "$here/customize.sh" "$work/tree" "$work/out" >"$work/log" 2>&1 ||
	{ tail -30 "$work/log" >&2; die "rootfs: customize.sh failed, see above"; }
as_root rm -rf "$work/tree"
as_root chown -R "$(id -u):$(id -g)" "$work/out"
publish "$work/out" rootfs "$id"
echo "$out"
