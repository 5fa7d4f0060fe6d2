# SPDX-License-Identifier: Apache-2.0
# What cmake --install makes of this build: a shell script, because that is what an administrator has.
if(CASEMATE_SANITIZE)
  return()
endif()
add_test(NAME install COMMAND ${CMAKE_SOURCE_DIR}/tests/unit/install.sh ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR} ${CMAKE_COMMAND}
  ${CMAKE_INSTALL_PREFIX})
set_tests_properties(install PROPERTIES LABELS unit TIMEOUT 120)
