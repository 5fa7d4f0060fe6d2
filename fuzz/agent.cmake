# SPDX-License-Identifier: Apache-2.0
casemate_fuzz(passwd SOURCES passwd.c LINKS agent)
foreach(name json multipart connect web)
  casemate_fuzz(agent_${name} SOURCES agent_${name}.c LINKS agent)
endforeach()
