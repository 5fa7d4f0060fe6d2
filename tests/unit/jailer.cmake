# SPDX-License-Identifier: Apache-2.0
casemate_test(jailer_request unit SOURCES unit/jailer_request.c LINKS jailer)
casemate_test(jailer_store unit SOURCES unit/jailer_store.c LINKS jailer)
casemate_test(jailer_seal unit SOURCES unit/jailer_seal.c LINKS jailer)
casemate_test(jailer_saves unit SOURCES unit/jailer_saves.c LINKS jailer)
casemate_test(jailer_fds unit SOURCES unit/jailer_fds.c LINKS jailer)
casemate_test(jailer_label unit SOURCES unit/jailer_label.c LINKS jailer)
casemate_test(jailer_inspect unit SOURCES unit/jailer_inspect.c LINKS jailer)
casemate_test(jailer_cgroup unit SOURCES unit/jailer_cgroup.c LINKS jailer)
