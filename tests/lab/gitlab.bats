#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# GitLab Runner's custom executor: the calls that a runner makes for a job, with the scripts of a job that builds something.

load helpers

setup_file() {
	export driver=/opt/casemate/gitlab/casemate-gitlab
	export CASEMATE_GITLAB_STATE=$BATS_FILE_TMPDIR/state CASEMATE_GITLAB_ARTIFACTS=$BATS_FILE_TMPDIR/artifacts
	export CASEMATE_GITLAB_IMAGE=default CASEMATE_GITLAB_CPUS=1 CASEMATE_GITLAB_MEMORY=384M CASEMATE_GITLAB_SCRATCH=256M
	export BUILD_FAILURE_EXIT_CODE=41 SYSTEM_FAILURE_EXIT_CODE=42
	export CUSTOM_ENV_CI_JOB_ID=7 CUSTOM_ENV_CI_RUNNER_ID=3
}

teardown_file() {
	"$driver" cleanup
}

# stage NAME: its script is standard input, as the runner would write it.
stage() {
	cat >"$BATS_TEST_TMPDIR/script"
	run timeout 120 "$driver" run "$BATS_TEST_TMPDIR/script" "$1"
	echo "$output"
}

# job COMPILER TARGET: a job from its preparation to its end, which compiles and runs something.
job() {
	[ "$("$driver" config | jq -r .builds_dir)" = /builds ]
	run timeout 120 "$driver" prepare
	echo "$output"
	[ "$status" -eq 0 ]
	id=$(cat "$CASEMATE_GITLAB_STATE/3-7")
	[[ $output == *"sandbox $id"* ]]
	export CUSTOM_ENV_CI_PROJECT_DIR=/builds/team/project
	stage get_sources <<-'S'
		set -eo pipefail
		mkdir -p /builds/team/project && cd /builds/team/project
		git init -q . && echo 'a secret of the first job' >/tmp/first
	S
	[ "$status" -eq 0 ]
	stage build_script <<<"$1"
	[ "$status" -eq 0 ]
	[[ $output == *'6 times 7 is 42'* ]]
}

@test "a job's scripts run in a sandbox of its own, and its artifacts come out" {
	export CUSTOM_ENV_CASEMATE_ARTIFACTS='out/answer.txt'
	job 'set -e; cd /builds/team/project; mkdir out; python3 -c "print(\"6 times 7 is\", 6 * 7)" | tee out/answer.txt; cat'
	[ "$(cat "$CASEMATE_GITLAB_ARTIFACTS/7/answer.txt")" = '6 times 7 is 42' ]
}

@test "a script that fails is the job's failure, and what it says is seen" {
	stage build_script <<<'echo before; exit 125'
	[ "$status" -eq 41 ]
	[ "$output" = before ]
	export CUSTOM_ENV_CASEMATE_ARTIFACTS='../../../etc/.x'
	stage build_script <<<'true'
	[ "$status" -eq 41 ]
	[[ $output == *'not a plain file name'* ]]
}

@test "what a job's author writes is no option and no path of the host" {
	for image in '--net=internet' '..' 'a b' ''$'\n'; do
		CUSTOM_ENV_CI_JOB_IMAGE=$image run "$driver" prepare
		[ "$status" -eq 42 ]
		[[ $output == *'not a name of an image'* ]]
	done
	CUSTOM_ENV_CI_JOB_ID='../7' run "$driver" prepare
	[ "$status" -eq 42 ]
	CASEMATE_GITLAB_IMAGES='ci other' CUSTOM_ENV_CI_JOB_IMAGE=default run "$driver" prepare
	[ "$status" -eq 42 ]
	[[ $output == *"doesn't offer it"* ]]
	# None of them has touched the job's sandbox.
	stage step_script <<<'cat /tmp/first'
	[ "$output" = 'a secret of the first job' ]
}

@test "a sandbox that ended is the system's failure, and cleaning up leaves nothing" {
	casemate rm "$(cat "$CASEMATE_GITLAB_STATE/3-7")"
	stage after_script <<<'true'
	[ "$status" -eq 42 ]
	run "$driver" cleanup
	[ "$status" -eq 0 ]
	[ -z "$(ls "$CASEMATE_GITLAB_STATE")" ]
	clean
	stage build_script <<<'true'
	[ "$status" -eq 42 ]
}

@test "a C project, with the ci image" {
	[ -e /var/lib/casemate/images/ci/root.erofs ] || skip "needs the ci image: CASEMATE_IMAGES=ci"
	export CASEMATE_GITLAB_IMAGE=ci CUSTOM_ENV_CASEMATE_ARTIFACTS=answer
	job 'set -e; cd /builds/team/project; printf "#include <stdio.h>\nint main(void) { printf(\"6 times 7 is %%d\\\\n\", 6 * 7); }\n" >answer.c
		printf "answer: answer.c\n\t\$(CC) -Wall -o \$@ answer.c\n" >Makefile; make; ./answer'
	[ -s "$CASEMATE_GITLAB_ARTIFACTS/7/answer" ]
	"$driver" cleanup
	clean
}
