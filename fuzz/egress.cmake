# SPDX-License-Identifier: Apache-2.0
foreach(name egress_dns egress_hello egress_policy)
  casemate_fuzz(${name} SOURCES ${name}.c LINKS egress)
endforeach()
