# SPDX-License-Identifier: Apache-2.0
foreach(name addr dns hello http policy resolver socks)
  casemate_test(egress_${name} unit SOURCES unit/egress_${name}.c LINKS egress)
endforeach()
