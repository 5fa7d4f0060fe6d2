# SPDX-License-Identifier: Apache-2.0
foreach(name daemon_http daemon_ports daemon_events daemon_disk daemon_files daemon_snapshots daemon_templates daemon_layers daemon_recall daemon_images cli_image daemon_many daemon_cli daemon_crash
    daemon_pool daemon_clones daemon_forks)
casemate_test(${name} native
  SOURCES native/${name}.c native/daemon_rig.c native/cli_rig.c native/openapi.c native/jail_rig.c LINKS jailer http)
target_compile_definitions(${name} PRIVATE JAILER_BIN="$<TARGET_FILE:casemate-jailer>"
  JAILER_TEST_BIN="" PROBE_BIN="" VMM_BIN="$<TARGET_FILE:casemate-vmm>"
  OPENAPI_FILE="${CMAKE_SOURCE_DIR}/api/openapi.yaml" DAEMON_BIN="$<TARGET_FILE:casemated>" CLI_BIN="$<TARGET_FILE:casemate>" GUEST_ELF="$<TARGET_FILE:guest.elf>")
add_dependencies(${name} casemate-vmm casemate-jailer casemated casemate guest.elf)
endforeach()
foreach(name daemon_http daemon_ports daemon_events daemon_templates daemon_layers)
  target_sources(${name} PRIVATE native/daemon_http_rig.c)
endforeach()
foreach(name daemon_templates daemon_layers)
  target_sources(${name} PRIVATE native/template_rig.c)
endforeach()
target_compile_definitions(cli_image PRIVATE IMPORT_DIR="$<TARGET_FILE_DIR:casemate-import>")
add_dependencies(cli_image casemate-import)

if(NOT CASEMATE_SANITIZE)
  casemate_test(daemon_networks native
    SOURCES native/daemon_networks.c native/daemon_rig.c native/jail_rig.c LINKS jailer http)
  target_compile_definitions(daemon_networks PRIVATE JAILER_BIN="$<TARGET_FILE:casemate-jailer>"
    JAILER_TEST_BIN="" PROBE_BIN="" VMM_BIN="$<TARGET_FILE:casemate-vmm>" EGRESS_BIN="$<TARGET_FILE:casemate-egress>"
    DAEMON_BIN="$<TARGET_FILE:casemated>" CLI_BIN="$<TARGET_FILE:casemate>" GUEST_ELF="$<TARGET_FILE:guest.elf>")
  add_dependencies(daemon_networks casemate-egress casemate-vmm casemate-jailer casemated casemate guest.elf)
endif()
