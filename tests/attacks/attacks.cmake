# SPDX-License-Identifier: Apache-2.0
# The attack battery (README.md): the probe takes the VMM's place in a jail of the jailer's test build.
set(attacks_rows attacks/table.c attacks/rows_file.c attacks/rows_code.c attacks/rows_peer.c attacks/rows_net.c
  attacks/rows_kernel.c attacks/rows_resource.c)

# Static, and never with sanitizers, which want /proc and memory that the filters forbid.
if(NOT CASEMATE_SANITIZE)
  casemate_executable(attack_probe STATIC SOURCES attacks/probe.c ${attacks_rows} LINKS vmm_core)
  casemate_executable(attacks
    SOURCES attacks/main.c attacks/world.c attacks/victim.c attacks/stand.c attacks/harness.c attacks/matrix.c
      attacks/report.c attacks/wire.c attacks/off.c
      attacks/siege.c attacks/siege_race.c attacks/siege_file.c attacks/siege_peer.c ${attacks_rows}
    LINKS rpc proto base)
  target_compile_definitions(attacks PRIVATE
    JAILER_BIN="$<TARGET_FILE:casemate-jailer-test>" PROBE_BIN="$<TARGET_FILE:attack_probe>")
  add_dependencies(attacks casemate-jailer-test attack_probe)
endif()
