# SPDX-License-Identifier: Apache-2.0
foreach(name num buf fd loop log err relay rlimit)
  casemate_test(base_${name} unit SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/base_${name}.c LINKS base)
endforeach()
casemate_test(landlock unit SOURCES unit/landlock.c LINKS base)
