# SPDX-License-Identifier: Apache-2.0
casemate_test(egress_program native
  SOURCES native/egress.c native/egress_rig.c native/egress_world.c native/egress_net.c LINKS egress)
target_compile_definitions(egress_program PRIVATE EGRESS_PROGRAM="$<TARGET_FILE:casemate-egress>")
if(CASEMATE_SANITIZE)
  target_compile_definitions(egress_program PRIVATE CASEMATE_NO_FILTERS)
endif()
add_dependencies(egress_program casemate-egress)
