#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# build.sh INIT OUT [MODULES]: a sandbox's first file system: the static agent as /init, nothing else to go wrong.
# For a kernel with modules, MODULES is its lib/modules/RELEASE: they go to /modules, and /modules/load names them in
# the order in which the agent loads them.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
top=${here%/images/*}
. "$top/images/lib.sh"
init=${1:?usage: build.sh INIT OUT [MODULES]} out=${2:?} dir=${3-}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
{
	echo "dir dev 755"
	echo "char dev/console 600 5 1"
	echo "file init 755 $init"
} >"$work/list"
if [ -n "$dir" ]; then
	# The devices the VMM has, and the file systems the agent mounts.
	modules "$dir" virtio_mmio virtio_blk nd_pmem virtio_pmem virtio_console virtio_rng virtio_balloon crc32c_generic vmw_vsock_virtio_transport \
		virtio_net erofs overlay ext4 pvpanic_mmio >"$work/files"
	echo "dir modules 755" >>"$work/list"
	: >"$work/load"
	while read -r path; do
		file=${path##*/}
		case $file in # the agent's insmod shall need no decompressor
		*.xz) file=${file%.xz}; xz -dc "$dir/$path" >"$work/$file" ;;
		*.zst) file=${file%.zst}; zstd -qdc "$dir/$path" >"$work/$file" ;;
		*) cp "$dir/$path" "$work/$file" ;;
		esac
		echo "$file" >>"$work/load"
		echo "file modules/$file 644 $work/$file" >>"$work/list"
	done <"$work/files"
	echo "file modules/load 644 $work/load" >>"$work/list"
fi
sh "$here/newc.sh" "$work/list" >"$out.tmp"
mv "$out.tmp" "$out"
