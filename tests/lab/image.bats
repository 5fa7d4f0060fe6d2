#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# casemate image: from a container image to a sandbox that is what the image says; the importer's domain; fs-verity.

load helpers

setup_file() {
	tree=$BATS_FILE_TMPDIR/tree
	mkdir -p "$tree"/bin "$tree"/etc "$tree"/dev "$tree"/proc "$tree"/sys "$tree"/run "$tree"/tmp "$tree"/root "$tree"/srv
	cp /bin/busybox "$tree/bin/busybox"
	for name in sh cat id pwd echo; do ln -s busybox "$tree/bin/$name"; done
	printf 'root:x:0:0::/root:/bin/sh\nweb:x:1000:1000::/srv:/bin/sh\n' >"$tree/etc/passwd"
	printf 'root:x:0:\nweb:x:1000:\n' >"$tree/etc/group"
	export layout=$BATS_FILE_TMPDIR/layout
	oci_layout '{"Env":["PATH=/bin","COLOUR=blue"],"User":"web","WorkingDir":"/srv",
		"Entrypoint":["/bin/sh","-c"],"Cmd":["echo $COLOUR $(id -un) $(pwd)"]}'
}

teardown_file() {
	umount /var/lib/casemate/blobs 2>/dev/null || :
	casemate image rm oci 2>/dev/null || :
}

# put FILE: a blob of the layout; its digest and size.
put() {
	local digest
	digest=$(sha256sum <"$1" | cut -d' ' -f1)
	mv "$1" "$layout/blobs/sha256/$digest"
	echo "\"sha256:$digest\",\"size\":$(stat -c %s "$layout/blobs/sha256/$digest")"
}

# oci_layout CONFIG: of one layer, $tree.
oci_layout() {
	local work=$BATS_FILE_TMPDIR/work diff layer config manifest
	mkdir -p "$layout/blobs/sha256" "$work"
	echo '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
	tar -C "$tree" -cf "$work/layer" .
	diff=sha256:$(sha256sum <"$work/layer" | cut -d' ' -f1)
	gzip -n "$work/layer"
	layer=$(put "$work/layer.gz")
	echo "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":$1,\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"$diff\"]}}" >"$work/config"
	config=$(put "$work/config")
	echo "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":$config},
		\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":$layer}]}" >"$work/manifest"
	manifest=$(put "$work/manifest")
	echo "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":$manifest}]}" >"$layout/index.json"
}

@test "an OCI layout becomes an image, which is what it says" {
	run casemate image import --name oci "$layout"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output = 'oci sha256:'* ]]
	[ "$(casemate image inspect --json oci | jq -r '.config.user, .config.workdir, .present')" = $'web\n/srv\ntrue' ]
	run timeout 120 casemate run --image oci
	[ "$status" -eq 0 ]
	[ "$output" = 'blue web /srv' ]
}

@test "a command replaces the image's, and options what it says" {
	run timeout 120 casemate run --image oci --env COLOUR=red --user root --cwd / -- /bin/sh -c 'echo $COLOUR $(id -un) $(pwd)'
	[ "$status" -eq 0 ]
	[ "$output" = 'red root /' ]
}

@test "what is used stays, and what isn't goes" {
	id=$(casemate create --image oci)
	[ "$(casemate ps --json | jq -r '.sandboxes[0].image_digest')" = "$(casemate image inspect --json oci | jq -r .digest)" ]
	run casemate image rm oci
	[ "$status" -eq 125 ]
	[[ $output == *"$id"* ]]
	file=/var/lib/casemate/blobs/$(casemate image inspect --json oci | jq -r '.digest[7:]')
	[ "$(stat -c '%u %a %C' "$file")" = "0 400 system_u:object_r:casemate_blob_t:s0" ] ||
		[ "$(stat -c '%u %a %C' "$file")" = "0 400 unconfined_u:object_r:casemate_blob_t:s0" ]
	casemate rm "$id"
	casemate image rm oci
	[ ! -e "$file" ]
	run timeout 60 casemate run --image oci -- /bin/id
	[ "$status" -eq 125 ]
}

@test "the importer runs in a domain of its own" {
	dd if=/dev/urandom of="$BATS_TEST_TMPDIR/big" bs=1M count=40 status=none
	tar -C "$BATS_TEST_TMPDIR" -cf "$BATS_TEST_TMPDIR/big.tar" big
	: >"$BATS_TEST_TMPDIR/image"
	/usr/libexec/casemate/casemate-import 3<"$BATS_TEST_TMPDIR/big.tar" 4<>"$BATS_TEST_TMPDIR/image" >"$BATS_TEST_TMPDIR/report" &
	pid=$!
	until_true 60 grep -q casemate_import_t "/proc/$pid/attr/current"
	until_true 60 grep -q '^Seccomp:.2' "/proc/$pid/status"
	[ "$(status_of "/proc/$pid/status" Uid)" = 65534 ]
	wait $pid
	[ "$(jq -r .image.bytes "$BATS_TEST_TMPDIR/report")" -gt 40000000 ]
}

@test "the importer's domain: no password, nothing made or removed" {
	me=system_u:system_r:casemate_import_t:s0
	ask() { compute_av "$me" "$1" "$2" | sed -n 's/^allowed= *//p'; }
	[[ " $(ask system_u:object_r:shadow_t:s0 file) " != *" read "* ]]
	for type in tmp_t user_tmp_t casemate_image_t etc_t; do
		what=" $(ask system_u:object_r:$type:s0 file) "
		echo "$type:$what"
		[[ $what != *\ @(create|unlink|rename|link|setattr)\ * ]]
	done
	# The control: what it is for.
	[[ " $(ask system_u:object_r:user_tmp_t:s0 file) " = *" read "* ]]
	[[ " $(ask system_u:object_r:user_tmp_t:s0 file) " = *" write "* ]]
}

@test "with fs-verity the kernel notices a disk that lies" {
	disk=$BATS_TEST_TMPDIR/disk
	truncate -s 128M "$disk"
	mkfs.ext4 -q -O verity -b 4096 "$disk" || skip 'no mkfs.ext4 with verity'
	pkill -x casemate-jailer
	until_true 10 sh -c '! pgrep -x casemate-jailer'
	mount -o loop "$disk" /var/lib/casemate/blobs || { start_jailer; skip 'this kernel mounts no ext4 with verity'; }
	restorecon -R /var/lib/casemate/blobs
	start_jailer
	casemate image import --name oci "$layout"
	digest=$(casemate image inspect --json oci | jq -r '.digest[7:]')
	verity=$(casemate image inspect --json oci | jq -r .verity)
	writable=$( (: >>"/var/lib/casemate/blobs/$digest") 2>/dev/null && echo yes || echo no)
	good=$(sha256sum <"/var/lib/casemate/blobs/$digest" | cut -d' ' -f1)
	# The bytes of the file system under it, changed behind its back.
	block=$(filefrag -v "/var/lib/casemate/blobs/$digest" | awk '$1 == "0:" { sub(/\.\..*/, "", $4); print $4 }')
	pkill -x casemate-jailer
	until_true 10 sh -c '! pgrep -x casemate-jailer'
	umount /var/lib/casemate/blobs
	printf 'X' | dd of="$disk" bs=1 seek=$((block * 4096 + 5000)) conv=notrunc status=none
	mount -o loop "$disk" /var/lib/casemate/blobs
	run sh -c "cat '/var/lib/casemate/blobs/$digest' >/dev/null"
	umount /var/lib/casemate/blobs
	start_jailer
	casemate image rm oci
	[ "$verity" = true ]
	[ "$writable" = no ]
	[ "$good" = "$digest" ]
	[ "$status" -ne 0 ]
}

@test "none of this was denied anything" {
	run grep -E 'casemate_(import|blob)_t' <(denials)
	echo "$output"
	[ "$status" -eq 1 ]
	clean
}
