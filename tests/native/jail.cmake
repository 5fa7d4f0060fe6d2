# SPDX-License-Identifier: Apache-2.0
# The real casemate-jailer, with a probe in the place of casemate-vmm that reports from inside.
# Static in every build: in the jail there is no file that a sanitizer's loader could open.
add_executable(jail_probe native/jail_probe.c)
target_include_directories(jail_probe PRIVATE ${CMAKE_SOURCE_DIR})
target_compile_options(jail_probe PRIVATE -O1 -g -fPIE -Wall -Wextra -Werror)
target_compile_definitions(jail_probe PRIVATE _GNU_SOURCE)
target_link_options(jail_probe PRIVATE -static-pie)
function(jail_test name)
  casemate_test(${name} native SOURCES ${ARGN} native/jail_rig.c LINKS jailer)
  target_compile_definitions(${name} PRIVATE JAILER_BIN="$<TARGET_FILE:casemate-jailer>"
    VMM_BIN="$<TARGET_FILE:casemate-vmm>" JAILER_TEST_BIN="$<TARGET_FILE:casemate-jailer-test>" PROBE_BIN="$<TARGET_FILE:jail_probe>")
  add_dependencies(${name} casemate-vmm casemate-jailer casemate-jailer-test jail_probe)
endfunction()

jail_test(jail native/jail.c)
jail_test(jail_events native/jail_events.c)
jail_test(jail_hold native/jail_hold.c)
target_compile_definitions(jail_hold PRIVATE GUEST_ELF="$<TARGET_FILE:guest.elf>")
add_dependencies(jail_hold guest.elf)
jail_test(jail_pool native/jail_pool.c)
jail_test(jail_crash native/jail_crash.c)
jail_test(jail_layers native/jail_layers.c)
jail_test(jail_inspect native/jail_inspect.c)
jail_test(jail_vmm native/jail_vmm.c)
jail_test(jail_image native/jail_image.c)
jail_test(jail_restore native/jail_restore.c)

# doctor's live probe, by the CLI with the product's jailer and with one that leaves layers out.
if(NOT CASEMATE_SANITIZE)
  jail_test(doctor native/doctor.c)
  target_compile_definitions(doctor PRIVATE CLI_BIN="$<TARGET_FILE:casemate>"
    DOCTOR_PROBE_BIN="$<TARGET_FILE:casemate-probe>")
  add_dependencies(doctor casemate casemate-probe)
endif()

# The same for casemate-egress's place.
add_executable(egress_probe native/egress_probe.c)
target_include_directories(egress_probe PRIVATE ${CMAKE_SOURCE_DIR})
target_compile_options(egress_probe PRIVATE -O1 -g -fPIE -Wall -Wextra -Werror)
target_compile_definitions(egress_probe PRIVATE _GNU_SOURCE)
target_link_options(egress_probe PRIVATE -static-pie)
jail_test(jail_egress native/jail_egress.c)
target_compile_definitions(jail_egress PRIVATE EGRESS_PROBE_BIN="$<TARGET_FILE:egress_probe>")
add_dependencies(jail_egress egress_probe)
if(NOT CASEMATE_SANITIZE)
  target_compile_definitions(jail_egress PRIVATE EGRESS_BIN="$<TARGET_FILE:casemate-egress>")
  add_dependencies(jail_egress casemate-egress)
endif()
if(NOT CASEMATE_SANITIZE)
  jail_test(jail_reach native/jail_reach.c native/tap.c)
  target_compile_definitions(jail_reach PRIVATE EGRESS_BIN="$<TARGET_FILE:casemate-egress>")
  add_dependencies(jail_reach casemate-egress)
endif()

# What a sandbox's packets meet, in network namespaces of the test's own.
casemate_test(gateway native SOURCES native/gateway.c native/gateway_rig.c native/tap.c LINKS jailer)
casemate_test(gateway_churn native SOURCES native/gateway_churn.c native/gateway_rig.c native/tap.c LINKS jailer)
