# SPDX-License-Identifier: Apache-2.0
foreach(name unary end stream fds frames)
  casemate_test(rpc_${name} unit
    SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/rpc_${name}.c ${CMAKE_SOURCE_DIR}/tests/unit/rpc_fixture.c
    LINKS rpc)
endforeach()
