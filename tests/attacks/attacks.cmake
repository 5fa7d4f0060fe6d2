# SPDX-License-Identifier: Apache-2.0
# The attack battery (README.md): casemate-probe takes the VMM's place in a jail of the jailer's test build.
if(NOT CASEMATE_SANITIZE)
  casemate_executable(attacks
    SOURCES attacks/main.c attacks/world.c attacks/leftovers.c attacks/victim.c attacks/stand.c attacks/harness.c attacks/matrix.c
      attacks/report.c attacks/siege.c attacks/siege_race.c attacks/siege_file.c attacks/siege_peer.c
    LINKS probe_rows probe_wire rpc proto base)
  target_compile_definitions(attacks PRIVATE
    JAILER_BIN="$<TARGET_FILE:casemate-jailer-test>" PROBE_BIN="$<TARGET_FILE:casemate-probe>")
  add_dependencies(attacks casemate-jailer-test casemate-probe)
endif()
casemate_test(attacks_leftovers unit SOURCES unit/attacks_leftovers.c attacks/leftovers.c LINKS base)
