# SPDX-License-Identifier: Apache-2.0
casemate_test(seccomp_compile unit SOURCES unit/seccomp_compile.c LINKS seccomp_policy)

# Every policy that a target named by casemate_seccomp() is tried in the running kernel.
get_property(names GLOBAL PROPERTY casemate_seccomp_names)
if(names)
  set(list "")
  set(entries "")
  foreach(name IN LISTS names)
    string(APPEND list "#include \"seccomp/${name}.h\"\n#include \"seccomp/${name}_cases.h\"\n")
    string(APPEND entries "\tSUBJECT(${name}),\n")
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/seccomp-include/all_policies.h
    CONTENT "${list}\nstatic const struct subject subjects[] = {\n${entries}};\n" @ONLY)
  casemate_test(seccomp_filters unit SOURCES unit/seccomp_policy.c LINKS base)
  target_include_directories(seccomp_filters PRIVATE ${CMAKE_BINARY_DIR}/seccomp-include)
  list(TRANSFORM names PREPEND seccomp_ OUTPUT_VARIABLE targets)
  add_dependencies(seccomp_filters ${targets})
endif()
