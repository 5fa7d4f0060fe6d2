#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# newc.sh LIST >ARCHIVE: writes an uncompressed cpio archive in the kernel's "newc" format.
#
# LIST has a line an entry, as the kernel's own gen_init_cpio has: `dir NAME MODE`, `file NAME MODE SOURCE`,
# `link NAME TARGET`, `char NAME MODE MAJOR MINOR`. Everything belongs to root and has time 0, so the same list and
# files give the same bytes, and device nodes need no privilege: that is why it is not cpio(1).
set -eu
list=${1:?usage: newc.sh LIST}
ino=0

zeros() { [ "$1" = 0 ] || head -c "$1" /dev/zero; }

# entry NAME MODE SIZE MAJOR MINOR: the header and name, padded to four bytes.
entry() {
	ino=$((ino + 1))
	printf '070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\0' \
		$ino $(($2)) 0 0 1 0 "$3" 0 0 "$4" "$5" $((${#1} + 1)) 0 "$1"
	zeros $(((4 - (110 + ${#1} + 1) % 4) % 4))
}

while read -r kind name mode a b; do
	case $kind in
	dir) entry "$name" "0040$mode" 0 0 0 ;;
	char) entry "$name" "0020$mode" 0 "$a" "$b" ;;
	link) entry "$name" 0120777 ${#mode} 0 0; printf %s "$mode"; zeros $(((4 - ${#mode} % 4) % 4)) ;;
	file)
		size=$(stat -L -c %s -- "$a")
		entry "$name" "0100$mode" "$size" 0 0
		cat -- "$a"
		zeros $(((4 - size % 4) % 4))
		;;
	'' | '#'*) ;;
	*) echo "newc.sh: $list: $kind: unknown kind of entry" >&2; exit 1 ;;
	esac
done <"$list"
ino=-1
entry 'TRAILER!!!' 0 0 0 0
