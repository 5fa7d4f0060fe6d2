# SPDX-License-Identifier: Apache-2.0
foreach(name unary end stream fds frames)
  casemate_test(rpc_${name} unit
    SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/rpc_${name}.c ${CMAKE_SOURCE_DIR}/tests/unit/rpc_fixture.c
    LINKS rpc)
endforeach()

casemate_test(rpc_oom unit
  SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/rpc_oom.c ${CMAKE_SOURCE_DIR}/tests/unit/rpc_fixture.c
  LINKS rpc)
target_link_options(rpc_oom PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)

casemate_test(rpc_working_set unit SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/rpc_working_set.c LINKS rpc)
