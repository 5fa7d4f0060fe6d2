#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# An archive becomes an image that the kernel mounts and a sandbox runs from.

load helpers

setup_file() {
	export IMAGES=/var/lib/casemate/images
	tree=$BATS_FILE_TMPDIR/tree
	mkdir -p "$tree"/bin "$tree"/etc "$tree"/dev "$tree"/proc "$tree"/sys "$tree"/run "$tree"/tmp "$tree"/root "$tree"/many
	cp /bin/busybox "$tree/bin/busybox"
	ln -s busybox "$tree/bin/sh"
	ln "$tree/bin/busybox" "$tree/bin/cat"
	printf 'root:x:0:0::/root:/bin/sh\n' >"$tree/etc/passwd"
	printf 'root:x:0:\n' >"$tree/etc/group"
	echo 'from an archive' >"$tree/etc/hello"
	chown 1234:567 "$tree/etc/hello"
	for i in $(seq 500); do echo "$i" >"$tree/many/a-name-that-fills-blocks-$i"; done
	tar -C "$tree" -czf "$BATS_FILE_TMPDIR/root.tar.gz" .
	mkdir -p "$IMAGES/imported"
	/usr/libexec/casemate/casemate-import 3<"$BATS_FILE_TMPDIR/root.tar.gz" 4<>"$IMAGES/imported/root.erofs" \
		>"$BATS_FILE_TMPDIR/report"
	chmod 0444 "$IMAGES/imported/root.erofs"
	restorecon -R "$IMAGES/imported"
}

teardown_file() {
	rm -rf "$IMAGES/imported"
}

@test "the kernel mounts an imported image, and everything is in it" {
	[ "$(jq -r .image.digest "$BATS_FILE_TMPDIR/report")" = "sha256:$(sha256sum <"$IMAGES/imported/root.erofs" | cut -d' ' -f1)" ]
	mkdir "$BATS_TEST_TMPDIR/mnt"
	mount -t erofs -o loop,ro "$IMAGES/imported/root.erofs" "$BATS_TEST_TMPDIR/mnt"
	run diff -r --no-dereference "$BATS_FILE_TMPDIR/tree" "$BATS_TEST_TMPDIR/mnt"
	list=$(cd "$BATS_TEST_TMPDIR/mnt" && find . ! -name . -printf '%p %m %U %G %y %l\n' | sort)
	same=$(cd "$BATS_FILE_TMPDIR/tree" && find . ! -name . -printf '%p %m %U %G %y %l\n' | sort)
	umount "$BATS_TEST_TMPDIR/mnt"
	[ "$status" -eq 0 ]
	[ "$list" = "$same" ]
}

@test "a sandbox runs from an imported image" {
	run timeout 120 casemate run --image imported -- /bin/cat /etc/hello
	[ "$status" -eq 0 ]
	[ "$output" = 'from an archive' ]
}

@test "an archive that leads out of its directory makes no image" {
	(cd "$BATS_FILE_TMPDIR/tree/etc" && tar -P -cf "$BATS_TEST_TMPDIR/bad.tar" ../etc/hello)
	run sh -c "/usr/libexec/casemate/casemate-import 3<'$BATS_TEST_TMPDIR/bad.tar' 4<>'$BATS_TEST_TMPDIR/image'"
	[ "$status" -eq 1 ]
	[[ $output == *'leads out of its directory'* ]]
	[ ! -s "$BATS_TEST_TMPDIR/image" ]
}
