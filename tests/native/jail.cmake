# SPDX-License-Identifier: Apache-2.0
# The real casemate-jailer, with a probe in the place of casemate-vmm that reports from inside.
casemate_executable(jail_probe STATIC SOURCES native/jail_probe.c)
casemate_test(jail native SOURCES native/jail.c native/jail_rig.c LINKS jailer)
target_compile_definitions(jail PRIVATE
  JAILER_BIN="$<TARGET_FILE:casemate-jailer>" PROBE_BIN="$<TARGET_FILE:jail_probe>")
add_dependencies(jail casemate-jailer jail_probe)
