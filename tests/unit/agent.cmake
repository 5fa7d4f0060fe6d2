# SPDX-License-Identifier: Apache-2.0
# The agent: its pure parts, and the real program driven over a socketpair.
casemate_test(agent_parts unit SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/agent_parts.c LINKS agent)
casemate_test(agent_trust unit SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/agent_trust.c LINKS agent)
foreach(name exec io files)
  casemate_test(agent_${name} unit
    SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/agent_${name}.c ${CMAKE_SOURCE_DIR}/tests/unit/agent_fixture.c
    LINKS rpc)
  target_compile_definitions(agent_${name} PRIVATE AGENT_BINARY="$<TARGET_FILE:casemate-agent>")
  add_dependencies(agent_${name} casemate-agent)
endforeach()
foreach(name codec forward)
  casemate_test(agent_${name} unit SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/agent_${name}.c LINKS agent)
endforeach()
casemate_test(agent_http unit
  SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/agent_http.c ${CMAKE_SOURCE_DIR}/tests/unit/agent_connect.c
    ${CMAKE_SOURCE_DIR}/tests/unit/agent_http_rig.c
  LINKS agent)
