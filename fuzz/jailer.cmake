# SPDX-License-Identifier: Apache-2.0
casemate_fuzz(jailer_request SOURCES jailer_request.c LINKS jailer)
casemate_fuzz(snapseal SOURCES snapseal.c LINKS jailer)
casemate_fuzz(cgroup_key SOURCES cgroup_key.c LINKS jailer)
