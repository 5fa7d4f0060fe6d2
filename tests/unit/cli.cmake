# SPDX-License-Identifier: Apache-2.0
# casemate: options, and commands through the real agent.
foreach(name args dockerfile events opts)
  casemate_test(cli_${name} unit SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/cli_${name}.c LINKS cli_core)
endforeach()
foreach(name exec copy)
  casemate_test(cli_${name} unit
    SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/cli_${name}.c ${CMAKE_SOURCE_DIR}/tests/unit/agent_fixture.c
    LINKS cli_core)
  target_compile_definitions(cli_${name} PRIVATE AGENT_BINARY="$<TARGET_FILE:casemate-agent>")
  add_dependencies(cli_${name} casemate-agent)
endforeach()
casemate_test(cli_puller unit SOURCES unit/cli_puller.c unit/import_rig.c LINKS cli_core import PkgConfig::LIBARCHIVE PkgConfig::JANSSON)
