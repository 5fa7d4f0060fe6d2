#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# store.sh ROOTFS [READY...]: packs root images as the lab's second disk, mounted at /var/lib/casemate/images. ROOTFS is the
# artefact of images/rootfs, the names those of ready images (images/ready). Prints the artefact's directory, which holds `store.ext4`.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
top=${here%/images/*}
. "$top/images/lib.sh"
rootfs=${1:?usage: store.sh ROOTFS [READY...]}
shift

ready=
for each; do ready="$ready $each=$("$top/images/ready/build.sh" "$each")"; done
id=$(echo "${rootfs##*/}$ready" | key "$here/store.sh")
out=$cache/lab-store/$id
[ ! -e "$out" ] || { echo "$out"; exit 0; }
lock lab-store
[ ! -e "$out" ] || { echo "$out"; exit 0; }
scratch lab-store
mkdir -p "$work/out" "$work/tree/default"
ln "$rootfs/root.erofs" "$work/tree/default/root.erofs"
for each in $ready; do
	mkdir "$work/tree/${each%%=*}"
	ln "${each#*=}/root.erofs" "$work/tree/${each%%=*}/root.erofs"
done
# Free space for tests that add images of their own.
truncate -s $((1024 + $(du -sm "$work/tree" | cut -f1)))M "$work/out/store.ext4"
PATH=$PATH:/sbin:/usr/sbin mkfs.ext4 -q -F -m 0 -O ^has_journal -E root_owner=0:0 -d "$work/tree" "$work/out/store.ext4"
publish "$work/out" lab-store "$id"
echo "$out"
