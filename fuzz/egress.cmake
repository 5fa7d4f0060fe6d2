# SPDX-License-Identifier: Apache-2.0
foreach(name egress_dns egress_hello egress_http egress_policy egress_socks)
  casemate_fuzz(${name} SOURCES ${name}.c LINKS egress)
endforeach()
