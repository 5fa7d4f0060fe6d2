# SPDX-License-Identifier: Apache-2.0
casemate_test(http_head unit SOURCES unit/http_head.c LINKS http)
casemate_test(http_flow unit SOURCES unit/http_flow.c LINKS http)
casemate_test(http_upgrade unit SOURCES unit/http_upgrade.c LINKS http)
casemate_test(store_file unit SOURCES unit/store.c LINKS store)
casemate_test(store_templates unit SOURCES unit/store_templates.c LINKS store)
