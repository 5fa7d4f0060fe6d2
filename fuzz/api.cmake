# SPDX-License-Identifier: Apache-2.0
casemate_fuzz(events SOURCES events.c LINKS cli_core)
casemate_fuzz(spec SOURCES spec.c LINKS daemon_core)
casemate_fuzz(image_config SOURCES image_config.c LINKS daemon_core)
casemate_fuzz(e2b_create SOURCES e2b_create.c LINKS daemon_core)
casemate_fuzz(http_forward SOURCES http_forward.c LINKS daemon_core)
casemate_fuzz(http_head SOURCES http_head.c LINKS http)
casemate_fuzz(record SOURCES record.c LINKS daemon_core)
casemate_fuzz(cpu_template SOURCES cpu_template.c LINKS daemon_core)
