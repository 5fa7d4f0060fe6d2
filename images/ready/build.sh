#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# build.sh NAME: builds a ready image (a directory beside this file): the default root image's packages and its own, from
# Debian, and the files of NAME/files. Prints the artefact's directory: `root.tar`, which `casemate image import` takes,
# `root.erofs`, the same for a store, and `manifest` (package versions).
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
top=${here%/images/*}
. "$top/images/lib.sh"
. "$top/images/tree.sh"
name=${1:?usage: build.sh NAME}
case $name in *[!a-z0-9-]*) die_status=2; die "image: $name: no name of an image" ;; esac
[ -f "$here/$name/packages" ] || { die_status=2; die "image: $name: no such image; there are: $(cd "$here" && echo */ | tr -d /)"; }

packages=$(cat "$top/images/rootfs/packages" "$here/$name/packages" | sed 's/#.*//' | xargs)
base=$top/images/rootfs
# What is not shipped is no part of the image: tests lie beside the files.
files=$(find "$here/$name/files" -type f 2>/dev/null | sort)
# shellcheck disable=SC2086 # lists of words
id=$({ versions $packages base-files libc6 bash coreutils; echo "$name" "${files:-none}" | sed "s,$here/,,g"; } |
	key "$here/build.sh" "$top/images/tree.sh" "$here/$name/packages" "$base/packages" "$base/customize.sh" $files)
out=$cache/ready/$id
[ ! -e "$out" ] || { echo "$out"; exit 0; }
lock ready
[ ! -e "$out" ] || { echo "$out"; exit 0; }

scratch ready
mkdir "$work/out"
# The packages take minutes, our own files seconds; so the tree of packages has a key of its own.
# shellcheck disable=SC2086
base_id=$(versions $packages | key "$here/build.sh" "$top/images/tree.sh" "$here/$name/packages" "$base/packages")
tree=$cache/ready-base/$base_id/tree.tar
if [ ! -e "$tree" ]; then
	say "image: $name: installing Debian packages (some minutes, once)"
	mkdir "$work/base"
	# shellcheck disable=SC2086 # a list of words
	debian_tree tar "$work/base/tree.tar" $packages ||
		{ tail -30 "$work/log" >&2; die "image: $name: mmdebstrap failed, see above"; }
	as_root chown -R "$(id -u):$(id -g)" "$work/base"
	mkdir -p "$cache/ready-base"
	publish "$work/base" ready-base "$base_id"
fi

say "image: $name: adding our own files"
as_root mkdir "$work/tree"
# Without devices: an image has none, and the agent mounts its own.
as_root tar -C "$work/tree" --numeric-owner --exclude='./dev/*' -xf "$tree"
[ -z "$files" ] || as_root cp -R --no-preserve=ownership "$here/$name/files/." "$work/tree/"
as_root env SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH sh "$base/customize.sh" "$work/tree" "$work/out" >"$work/log" 2>&1 ||
	{ tail -30 "$work/log" >&2; die "image: $name: customize.sh failed, see above"; }
as_root tar -C "$work/tree" --sort=name --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf "$work/out/root.tar" .
as_root rm -rf "$work/tree"
as_root chown -R "$(id -u):$(id -g)" "$work/out"
publish "$work/out" ready "$id"
echo "$out"
