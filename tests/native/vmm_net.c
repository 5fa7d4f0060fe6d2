/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_net.c - the network card of the real VMM on a real tap, in a network namespace of its own;
 * the guest's side is tests/guest/net.c. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "base/clock.h"
#include "base/num.h"
#include "tests/native/harness.h"
#include "tests/native/tap.h"

#define POWER_OFF CASEMATE__VMM__V1__END_REASON__END_REASON_POWER_OFF

#define WAIT_MS	    10000
#define ECHO_PORT   7
#define LARGE_BYTES 40000U
#define HEADERS	    54U /* Ethernet, IPv4, TCP */

static const uint8_t guest_mac[6] = { 0x02, 0xca, 0x5e, 0, 0, 1 };

struct net_machine {
	struct vmm_files files;
	configure_req q;
	Casemate__Vmm__V1__Nic nic;
	Casemate__Vmm__V1__Nic *nics[1];
	uint8_t mac[6];
	struct tap tap;
	struct vmm vmm;
};

static void machine_init(struct net_machine *m, const char *cmdline, unsigned pairs)
{
	int r;

	need_kvm();
	r = tap_enter_netns();
	if (r < 0)
		cr_skip_test("no network namespace: %s", strerror(-r));
	*m = (struct net_machine){ .files = { .kernel = open_guest(), .initrd = -1 } };
	r = tap_open(&m->tap, pairs, guest_mac, 0);
	if (r == -ENOENT || r == -EACCES || r == -ENODEV)
		cr_skip_test("no /dev/net/tun: %s", strerror(-r));
	cr_assert_eq(r, 0, "tap: %s", strerror(-r));
	m->q = vmm_request(cmdline);
	casemate__vmm__v1__nic__init(&m->nic);
	memcpy(m->mac, guest_mac, sizeof(m->mac));
	m->nic.mac = (ProtobufCBinaryData){ .data = m->mac, .len = sizeof(m->mac) };
	m->nic.mtu = 1500;
	m->nic.queue_pairs = pairs;
	m->nics[0] = &m->nic;
	m->q.nics = m->nics;
	m->q.n_nics = 1;
	memcpy(m->files.taps, m->tap.queues, sizeof(m->files.taps));
	m->files.taps_count = pairs;
}

static void machine_start(struct net_machine *m)
{
	Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;

	vmm_spawn(&m->vmm, &m->files);
	vmm_must(&m->vmm, VMM_CONFIGURE, &m->q, NULL, NULL);
	vmm_must(&m->vmm, VMM_START, &start, NULL, NULL);
}

/* The guest must power itself off, having said `text`. */
static void machine_end(struct net_machine *m, const char *text)
{
	wait_resp *w = vmm_wait(&m->vmm);

	cr_expect_eq(w->reason, POWER_OFF);
	cr_expect(memmem(w->console_tail.data, w->console_tail.len, text, strlen(text)) != NULL,
		  "\"%s\" is not in the console: %.*s", text, (int)w->console_tail.len,
		  (const char *)w->console_tail.data);
	vmm_free_wait(w);
	cr_expect_eq(vmm_reap(&m->vmm), 0);
	vmm_done(&m->vmm);
	tap_close(&m->tap);
}

/* The value of a metric; fails when there is none of that name. */
static uint64_t metric(struct net_machine *m, const char *name)
{
	Casemate__Vmm__V1__GetMetricsRequest q = CASEMATE__VMM__V1__GET_METRICS_REQUEST__INIT;
	Casemate__Vmm__V1__GetMetricsResponse *out;
	ProtobufCMessage *msg = NULL;
	uint64_t value = 0;
	bool found = false;

	vmm_must(&m->vmm, VMM_GET_METRICS, &q, NULL, &msg);
	out = (Casemate__Vmm__V1__GetMetricsResponse *)msg;
	for (size_t i = 0; i < out->n_metrics; i++) {
		if (strcmp(out->metrics[i]->name, name) != 0)
			continue;
		value = out->metrics[i]->value;
		found = true;
	}
	protobuf_c_message_free_unpacked(msg, NULL);
	cr_assert(found, "no metric %s", name);
	return value;
}

static struct sockaddr_in guest_addr(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(TAP_GUEST_ADDR),
				     .sin_port = htons(port) };
}

/* A UDP socket joined to a port of the guest. */
static int udp_socket(uint16_t port)
{
	const struct sockaddr_in to = guest_addr(port);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	cr_assert_geq(fd, 0);
	cr_assert_eq(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static void fill(uint8_t *bytes, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 5 + seed);
}

/* Sends datagrams one by one; each must come back as it was. */
static void echo(unsigned count)
{
	uint8_t out[1472], in[1500];
	int fd = udp_socket(ECHO_PORT);

	for (unsigned i = 0; i < count; i++) {
		size_t len = 1 + i * 37 % sizeof(out);
		struct pollfd p = { .fd = fd, .events = POLLIN };
		fill(out, len, i);
		cr_assert_eq(send(fd, out, len, 0), (ssize_t)len);
		cr_assert_eq(poll(&p, 1, WAIT_MS), 1, "datagram %u did not come back", i);
		cr_assert_eq(recv(fd, in, sizeof(in), 0), (ssize_t)len);
		cr_assert_eq(memcmp(in, out, len), 0);
	}
	(void)close(fd);
}

/* The host leaves the checksums to the guest, and takes unfinished ones from it. */
Test(vmm_net, datagrams_come_back)
{
	struct net_machine m;

	machine_init(&m, "test=net-echo count=200", 1);
	machine_start(&m);
	vmm_console_until(&m.vmm, "ready\n");
	echo(199);
	cr_expect_geq(metric(&m, "nic0.rx_frames"), 199);
	cr_expect_eq(metric(&m, "nic0.tx_frames"), 199);
	cr_expect_eq(metric(&m, "nic0.tx_malformed") + metric(&m, "nic0.tx_dropped"), 0);
	echo(1);
	machine_end(&m, "frames 200\ncsum 200\nok net-echo\n");
}

/* A driver without checksum offload: the host finishes them itself. */
Test(vmm_net, datagrams_come_back_without_offload)
{
	struct net_machine m;

	machine_init(&m, "test=net-echo count=100 offload=0", 1);
	machine_start(&m);
	vmm_console_until(&m.vmm, "ready\n");
	echo(100);
	machine_end(&m, "frames 100\ncsum 0\nok net-echo\n");
}

/* ---- Segmentation ------------------------------------------------------------------------ */

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 13 + (i >> 8));
}

/* Receives frames until one is TCP; its length without the header. */
static ssize_t receive_tcp(int fd, struct virtio_net_hdr *h, uint8_t *frame, size_t cap)
{
	for (;;) {
		struct iovec iov[2] = { { h, sizeof(*h) }, { frame, cap } };
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;
		cr_assert_eq(poll(&p, 1, WAIT_MS), 1, "no frame from the guest");
		n = readv(fd, iov, 2);
		cr_assert_gt(n, (ssize_t)(sizeof(*h) + HEADERS));
		if (frame[12] == 8 && frame[13] == 0 && frame[23] == IPPROTO_TCP)
			return n - (ssize_t)sizeof(*h);
	}
}

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void send_large(int fd, const struct tap *t)
{
	static uint8_t frame[HEADERS + LARGE_BYTES];
	static const uint8_t ip[20] = { 0x45, 0, 0,  0,	 0, 0, 0,  0,  64, IPPROTO_TCP,
					0,    0, 10, 77, 0, 1, 10, 77, 0,  2 };
	struct virtio_net_hdr h = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
				    .hdr_len = HEADERS,
				    .gso_size = 1400,
				    .csum_start = 34,
				    .csum_offset = 16 };
	struct iovec iov[2] = { { &h, sizeof(h) }, { frame, sizeof(frame) } };
	uint32_t sum = 0;

	memcpy(frame, guest_mac, 6);
	memcpy(frame + 6, t->host_mac, 6);
	put16(frame + 12, 0x0800);
	memcpy(frame + 14, ip, sizeof(ip));
	put16(frame + 16, sizeof(frame) - 14);
	for (size_t i = 14; i < 34; i += 2)
		sum += (uint32_t)frame[i] << 8 | frame[i + 1];
	put16(frame + 24, ~((sum & 0xffff) + (sum >> 16)) & 0xffff);
	put16(frame + 34, 7);
	put16(frame + 36, 7);
	frame[46] = 0x50;
	frame[47] = 0x10;
	for (size_t i = 0; i < LARGE_BYTES; i++)
		frame[HEADERS + i] = pattern(i);
	cr_assert_eq(writev(fd, iov, 2), (ssize_t)(sizeof(h) + sizeof(frame)), "%s",
		     strerror(errno));
}

/* A frame of 40,000 bytes passes whole in both directions, and in receive buffers of 2 KiB. */
Test(vmm_net, large_frames_are_not_cut)
{
	static uint8_t frame[70000];
	struct virtio_net_hdr h;
	struct net_machine m;
	int fd;

	machine_init(&m, "test=net-large", 1);
	fd = tap_packet_socket(&m.tap);
	cr_assert_geq(fd, 0);
	machine_start(&m);
	vmm_console_until(&m.vmm, "ready\n");
	cr_assert_eq(receive_tcp(fd, &h, frame, sizeof(frame)), HEADERS + LARGE_BYTES);
	cr_expect_eq(h.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	cr_expect_eq(h.gso_size, 1448);
	cr_expect_eq(h.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	for (size_t i = 0; i < LARGE_BYTES; i++)
		cr_assert_eq(frame[HEADERS + i], pattern(i), "byte %zu", i);
	send_large(fd, &m.tap);
	(void)close(fd);
	machine_end(&m, "gso_type 1\ngso_size 1400\nbuffers 20\nok net-large\n");
}

/* ---- Queue pairs ------------------------------------------------------------------------- */

Test(vmm_net, two_pairs)
{
	static uint8_t frame[2048];
	struct virtio_net_hdr h;
	bool seen[2] = { false, false };
	uint64_t end = now_ms() + WAIT_MS;
	struct net_machine m;
	int fd;

	machine_init(&m, "test=net-pairs count=64", 2);
	fd = tap_packet_socket(&m.tap);
	cr_assert_geq(fd, 0);
	machine_start(&m);
	while (!seen[0] || !seen[1]) {
		struct iovec iov[2] = { { &h, sizeof(h) }, { frame, sizeof(frame) } };
		cr_assert(now_ms() < end, "frames are missing");
		cr_assert_gt(readv(fd, iov, 2), 0);
		for (unsigned p = 0; p < 2; p++)
			seen[p] = seen[p] || (frame[12] == 8 && frame[23] == IPPROTO_UDP &&
					      frame[34] == 'A' + p);
	}
	vmm_console_until(&m.vmm, "ready\n");
	/* 64 flows: the host spreads them over both queues, and none is lost. */
	for (unsigned i = 0; i < 64; i++) {
		int udp = udp_socket((uint16_t)(1000 + i));
		cr_assert_eq(send(udp, "x", 1, 0), 1);
		(void)close(udp);
		(void)usleep(500);
	}
	(void)close(fd);
	machine_end(&m, "ok net-pairs\n");
}

/* ---- Link and limits --------------------------------------------------------------------- */

static void set_link(struct net_machine *m, bool up)
{
	Casemate__Vmm__V1__SetNicLinkRequest q = CASEMATE__VMM__V1__SET_NIC_LINK_REQUEST__INIT;

	q.up = up;
	vmm_must(&m->vmm, VMM_SET_NIC_LINK, &q, NULL, NULL);
}

Test(vmm_net, guest_sees_the_link_go_down_and_up)
{
	struct net_machine m;

	machine_init(&m, "test=net-link", 1);
	machine_start(&m);
	vmm_console_until(&m.vmm, "link up\n");
	set_link(&m, false);
	vmm_console_until(&m.vmm, "link down\n");
	set_link(&m, true);
	machine_end(&m, "link up\nlink down\nlink up\nok net-link\n");
}

Test(vmm_net, limits_hold_while_it_runs)
{
	Casemate__Vmm__V1__SetNicLimitsRequest q = CASEMATE__VMM__V1__SET_NIC_LIMITS_REQUEST__INIT;
	Casemate__Vmm__V1__Limits limits = CASEMATE__VMM__V1__LIMITS__INIT;
	Casemate__Vmm__V1__Bucket bucket = CASEMATE__VMM__V1__BUCKET__INIT;
	struct net_machine m;
	uint64_t begin;

	machine_init(&m, "test=net-echo count=40", 1);
	machine_start(&m);
	vmm_console_until(&m.vmm, "ready\n");
	bucket.rate = 100;
	bucket.burst = 1;
	limits.operations = &bucket;
	q.send = &limits;
	vmm_must(&m.vmm, VMM_SET_NIC_LIMITS, &q, NULL, NULL);
	begin = now_ms();
	echo(30);
	cr_expect_geq(now_ms() - begin, 280);
	q.send = NULL;
	vmm_must(&m.vmm, VMM_SET_NIC_LIMITS, &q, NULL, NULL);
	cr_expect_geq(metric(&m, "nic0.tx_throttled"), 20);
	echo(10);
	machine_end(&m, "ok net-echo\n");
}

Test(vmm_net, calls_about_a_nic_that_is_not_there)
{
	Casemate__Vmm__V1__SetNicLinkRequest link = CASEMATE__VMM__V1__SET_NIC_LINK_REQUEST__INIT;
	Casemate__Vmm__V1__SetNicLimitsRequest limits =
		CASEMATE__VMM__V1__SET_NIC_LIMITS_REQUEST__INIT;
	struct net_machine m;
	struct rpc_status st;

	machine_init(&m, "test=spin", 1);
	machine_start(&m);
	link.nic = limits.nic = 1;
	cr_expect_eq(vmm_call(&m.vmm, VMM_SET_NIC_LINK, &link, NULL, &st, NULL), RPC_NOT_FOUND);
	cr_expect_eq(vmm_call(&m.vmm, VMM_SET_NIC_LIMITS, &limits, NULL, &st, NULL), RPC_NOT_FOUND);
	vmm_done(&m.vmm);
}

/* ---- Snapshots --------------------------------------------------------------------------- */

/* The guest goes on in another process, on the same tap, and sends datagrams back as before. */
Test(vmm_net, restored_on_a_tap)
{
	Casemate__Vmm__V1__PauseRequest pause = CASEMATE__VMM__V1__PAUSE_REQUEST__INIT;
	Casemate__Vmm__V1__SnapshotRequest snapshot = CASEMATE__VMM__V1__SNAPSHOT_REQUEST__INIT;
	const int files[2] = { memfd_create("state", MFD_CLOEXEC),
			       memfd_create("memory", MFD_CLOEXEC) };
	struct net_machine m;

	cr_assert(files[0] >= 0 && files[1] >= 0);
	machine_init(&m, "test=net-echo count=40", 1);
	cr_assert_eq(ftruncate(files[1], (off_t)m.q.memory_bytes), 0);
	machine_start(&m);
	vmm_console_until(&m.vmm, "ready\n");
	echo(20);
	vmm_must(&m.vmm, VMM_PAUSE, &pause, NULL, NULL);
	vmm_must(&m.vmm, VMM_SNAPSHOT, &snapshot, files, NULL);
	vmm_done(&m.vmm);
	m.files.kernel = -1;
	m.files.restore = true;
	m.files.state = files[0];
	m.files.memory = files[1];
	m.q.restore = true;
	m.q.cmdline = (char *)(uintptr_t) "";
	machine_start(&m);
	echo(20);
	machine_end(&m, "frames 40\n");
	(void)close(files[0]);
	(void)close(files[1]);
}

/* ---- What Configure must refuse ---------------------------------------------------------- */

static void expect_refused(struct net_machine *m, const char *why)
{
	struct rpc_status st;
	enum rpc_code code;
	struct vmm v;

	vmm_spawn(&v, &m->files);
	code = vmm_call(&v, VMM_CONFIGURE, &m->q, NULL, &st, NULL);
	cr_expect_neq(code, RPC_OK);
	cr_expect(strstr(st.msg, why) != NULL, "\"%s\" lacks \"%s\"", st.msg, why);
	vmm_done(&v);
}

Test(vmm_net_refused, cards)
{
	struct net_machine m;

	machine_init(&m, "test=hello", 1);
	m.nic.mac.len = 5;
	expect_refused(&m, "nic 0: mac has 5 bytes");
	m.nic.mac.len = 6;
	m.mac[0] = 1;
	expect_refused(&m, "nic 0: mac is not a unicast address");
	memset(m.mac, 0, sizeof(m.mac));
	expect_refused(&m, "nic 0: mac is not a unicast address");
	m.mac[0] = 2;
	m.nic.mtu = 67;
	expect_refused(&m, "nic 0: mtu 67");
	m.nic.mtu = 65536;
	expect_refused(&m, "nic 0: mtu 65536");
	m.nic.mtu = 0;
	m.nic.queue_pairs = 5;
	expect_refused(&m, "nic 0: queue_pairs 5");
}

Test(vmm_net_refused, too_many)
{
	Casemate__Vmm__V1__Nic *five[5];
	struct net_machine m;

	machine_init(&m, "test=hello", 1);
	for (size_t i = 0; i < ARRAY_SIZE(five); i++)
		five[i] = &m.nic;
	m.q.nics = five;
	m.q.n_nics = 5;
	expect_refused(&m, "nics: 5, at most 4");
	m.q.n_nics = 3;
	m.nic.queue_pairs = 4;
	expect_refused(&m, "nics: 12 queue pairs in all, at most 8");
}

/* Taps that would be misread: none at all, none of ours, and such as lack the header. */
Test(vmm_net_refused, taps)
{
	struct net_machine m;
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI, .ifr_name = "tap1" };
	int fd, header = 10;

	machine_init(&m, "test=hello", 1);
	m.files.taps_count = 0;
	expect_refused(&m, "nic 0: descriptor 24 is not a bound tap");
	m.files.taps_count = 1;
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	m.files.taps[0] = fd;
	expect_refused(&m, "nic 0: descriptor 24 is not a bound tap");
	cr_assert_eq(ioctl(fd, TUNSETIFF, &ifr), 0);
	expect_refused(&m, "nic 0: descriptor 24: tap flags");
	m.files.taps[0] = m.tap.queues[0];
	cr_assert_eq(ioctl(m.tap.queues[0], TUNSETVNETHDRSZ, &header), 0);
	expect_refused(&m, "nic 0: descriptor 24: a header of 10 bytes");
	header = 12;
	cr_assert_eq(ioctl(m.tap.queues[0], TUNSETVNETHDRSZ, &header), 0);
	machine_start(&m);
	machine_end(&m, "ok hello\n");
}
