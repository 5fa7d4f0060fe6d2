#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016 # bats sets status and output; the guest expands
# casemate template: a Dockerfile becomes a template with Linux guests, under SELinux and casemated's filter.

bats_require_minimum_version 1.5.0
load helpers

teardown_file() {
	casemate template rm app 2>/dev/null || :
	for layer in $(casemate snapshot ls --json | jq -r '.snapshots[] | select(.name | startswith("layer.")).id'); do
		casemate snapshot rm "$layer"
	done
	clean
}

@test "a Dockerfile becomes a template, whose sandboxes go on where it left off" {
	before=$(denials)
	dir=$BATS_FILE_TMPDIR/app
	mkdir -p "$dir/src"
	echo hello >"$dir/src/a"
	ln -s a "$dir/src/b"
	cat >"$dir/Dockerfile" <<'EOF'
FROM base
ENV GREETING="good day"
WORKDIR /app
COPY --chown=user src .
RUN sleep 1 && echo "$GREETING" >said && \
    test "$(cat b)" = hello && stat -c %U a >>said
USER user
CMD echo $$ >/tmp/pid; exec sleep 1000
EOF
	run --separate-stderr timeout 120 casemate template build -t app:v1 --cpus 1 --memory 128M --ready 'test -e /tmp/pid' "$dir"
	echo "$output $stderr"
	[ "$status" -eq 0 ]
	[[ $output = 'app:v1 t'* ]]
	casemate template ls | grep -q '^app .* ready '
	# Environment, user and directory are the template's, and what it started runs on.
	run timeout 120 casemate run --template app:v1 -- sh -c 'pwd; whoami; cat said; echo "$GREETING"; cat /proc/$(cat /tmp/pid)/comm'
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$output" = $'/app\nuser\ngood day\nuser\ngood day\nsleep' ]
	run casemate run --template app -- true
	[ "$status" -eq 125 ]
	# The same again goes on from what is kept of a second's work, files that are copied included.
	run --separate-stderr timeout 120 casemate template build -t app:v2 --cpus 1 --memory 128M --ready 'test -e /tmp/pid' "$dir"
	echo "$output $stderr"
	[ "$status" -eq 0 ]
	[[ $stderr = *'CACHED [4/5] RUN'* ]]
	run timeout 120 casemate run --template app:v2 -- sh -c 'pwd; whoami; cat said; echo "$GREETING"; cat /proc/$(cat /tmp/pid)/comm'
	[ "$output" = $'/app\nuser\ngood day\nuser\ngood day\nsleep' ]
	[ "$(denials)" = "$before" ]
}
