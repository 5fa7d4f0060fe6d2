/* SPDX-License-Identifier: Apache-2.0 */
#include "base/num.h"
#include "vmm/control_internal.h"
#include "vmm/metrics.h"

void control_get_metrics(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	/* Too large for a stack, and there is one control thread. */
	static struct metrics m;
	static Casemate__Vmm__V1__Metric list[METRICS_MAX], *refs[METRICS_MAX];
	Casemate__Vmm__V1__GetMetricsResponse out = CASEMATE__VMM__V1__GET_METRICS_RESPONSE__INIT;
	const struct control *c = arg;

	(void)in;
	(void)fds;
	metrics_collect(&c->vm, &m);
	for (unsigned i = 0; i < m.count; i++) {
		casemate__vmm__v1__metric__init(&list[i]);
		list[i].name = m.list[i].name;
		list[i].value = m.list[i].value;
		refs[i] = &list[i];
	}
	out.n_metrics = m.count;
	out.metrics = refs;
	rpc_reply(call, &out.base, NULL);
}
