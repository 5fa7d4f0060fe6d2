# SPDX-License-Identifier: Apache-2.0
# casemated: its pure parts, and the real program without a jailer.
foreach(name api network openapi options spec image_config cpu_template record sandbox table view vmlog)
  casemate_test(daemon_${name} unit
    SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/daemon_${name}.c LINKS daemon_core)
endforeach()
foreach(name recipe template_ref)
  casemate_test(daemon_${name} unit
    SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/daemon_${name}.c LINKS daemon_core)
endforeach()
target_link_libraries(daemon_network PRIVATE cli_core)
target_compile_definitions(daemon_openapi PRIVATE OPENAPI_FILE="${CMAKE_SOURCE_DIR}/api/openapi.yaml")
target_compile_definitions(daemon_cpu_template PRIVATE CPU_POLICIES="${CMAKE_SOURCE_DIR}/policies/cpu")
casemate_test(hostcheck unit SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/hostcheck.c LINKS host)
casemate_test(daemon_serve unit SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/daemon_serve.c
  LINKS cli_core)
target_compile_definitions(daemon_serve PRIVATE
  DAEMON_BINARY="$<TARGET_FILE:casemated>" CLI_BINARY="$<TARGET_FILE:casemate>")
add_dependencies(daemon_serve casemated casemate)
casemate_test(daemon_doors unit SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/daemon_doors.c LINKS base)
target_compile_definitions(daemon_doors PRIVATE DAEMON_BINARY="$<TARGET_FILE:casemated>")
add_dependencies(daemon_doors casemated)
pkg_check_modules(SQLITE3 REQUIRED IMPORTED_TARGET sqlite3)
casemate_test(daemon_filter unit SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/daemon_filter.c LINKS PkgConfig::SQLITE3)
casemate_seccomp(daemon_filter casemated.policy)
casemate_seccomp(daemon_serve casemated.policy)
