/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile_rows.h - all rows: HX_ROW(id, function, devices, proof, rounds for each device, what).
 * The ids are those of the list in README.md; a letter tells the parts of one apart.
 */

/* ---- hostile_regs.c ---- */
HX_ROW(G01a, g01_frozen_registers, HX_ANY, HX_BREAKS, 12,
       "queue and feature registers after DRIVER_OK")
HX_ROW(G01b, g01_status_order, HX_ANY, HX_BREAKS, 12,
       "status bits out of order, taken back, unknown")
HX_ROW(G01c, g01_status_storm, HX_ANY, HX_MAY_BREAK, 8,
       "random registers, random values, at any time")
HX_ROW(G02, g02_queue_select, HX_ANY, HX_BREAKS, 12, "registers of queues that are not there")
HX_ROW(G03a, g03_queue_size, HX_ANY, HX_BREAKS, 12,
       "queue sizes that are no power of two, or too large")
HX_ROW(G03b, g03_queue_address, HX_ANY, HX_BREAKS, 16,
       "queues outside RAM, across its end, wrapping, misaligned")
HX_ROW(G03c, g03_features, HX_ANY, HX_COUNTED | HX_HIT, 8,
       "features that are not offered; no VERSION_1")
HX_ROW(G14, g14_notify_unready, HX_ANY, HX_SURVIVES | HX_HIT, 8,
       "kicks of queues that are not enabled or not there")
HX_ROW(G17a, g17_config_widths, HX_ANY, HX_COUNTED | HX_HIT, 1,
       "config space: every offset, width and straddle")
HX_ROW(G17b, g17_every_register, HX_ANY, HX_COUNTED | HX_HIT, 1,
       "every offset of the page in every width")
HX_ROW(G18, g18_config_race, HX_ANY, HX_COUNTED | HX_HIT, 2,
       "config space written and read by two processors")
HX_ROW(G19, g19_unassigned, HX_PROCESSOR, HX_HIT, 1,
       "addresses and ports of nobody, string instructions too")
HX_ROW(G20, g20_device_borders, HX_ANY, HX_SURVIVES | HX_HIT, 2,
       "accesses across the end of a device's page")

/* ---- hostile_queue.c ---- */
HX_ROW(G05, g05_overlap, HX_SAFE, HX_HIT, 16, "rings and tables on the same pages")
HX_ROW(G06, g06_racing_rings, HX_SAFE, HX_MAY_BREAK | HX_HIT, 4,
       "descriptors and rings change while the device reads them")
HX_ROW(G07, g07_chain_loop, HX_ANY, HX_BREAKS, 12, "chains that come back on themselves")
HX_ROW(G08a, g08_chain_too_long, HX_ANY, HX_BREAKS, 12,
       "chains longer than the queue, buffers beyond RAM")
HX_ROW(G08b, g08_chain_4g, HX_SAFE, HX_HIT, 4, "a legal chain of more than 4 GiB")
HX_ROW(G09, g09_indirect, HX_ANY, HX_BREAKS, 16,
       "indirect tables: nested, odd, empty, not negotiated, outside RAM")
HX_ROW(G11a, g11_avail_jump, HX_ANY, HX_BREAKS, 12, "the available index jumps")
HX_ROW(G11b, g11_avail_head, HX_ANY, HX_BREAKS, 8, "a head beyond the table")
HX_ROW(G12, g12_used_over_memory, HX_ANY, HX_HIT, 8,
       "the used ring over another ring, or over data")
HX_ROW(G13, g13_kick_storm, HX_ANY, HX_SURVIVES | HX_HIT, 1, "kicks as fast as two processors can")
HX_ROW(G15a, g15_reset_in_flight, HX_SAFE, HX_HIT, 8,
       "a reset with requests in flight: nothing is written after it")
HX_ROW(G15b, g15_reset_race, HX_ANY, HX_HIT, 3, "resets by one processor, requests by the other")

/* ---- hostile_devices.c ---- */
HX_ROW(G21a, g21_blk_range, HX_BLK, HX_SURVIVES | HX_HIT, 16,
       "sectors and lengths beyond the disk, wrapping")
HX_ROW(G21b, g21_blk_shape, HX_BLK, HX_HIT, 16,
       "requests without a status, a header, in odd pieces; unknown types")
HX_ROW(G22, g22_blk_ranges, HX_BLK, HX_SURVIVES | HX_HIT, 8,
       "discard and write-zeroes beyond the disk, wrapping, unknown")
HX_ROW(G23, g23_blk_format, HX_BLK, HX_SURVIVES | HX_HIT, 2,
       "an image format's header in the first sector")
HX_ROW(G24, g24_blk_tiny, HX_BLK, HX_SURVIVES | HX_HIT, 2, "very many small requests")
HX_ROW(G36, g36_rng_4g, HX_RNG, HX_SURVIVES | HX_HIT, 2, "4 GiB of entropy at once")
HX_ROW(G37, g37_console_flood, HX_CONSOLE, HX_SURVIVES | HX_HIT, 2,
       "a flood of output, and gigabytes in one request")

/* ---- hostile_balloon.c ---- */
HX_ROW(G35a, g35_balloon_outside, HX_BALLOON, HX_HIT, 8, "pages outside RAM")
HX_ROW(G35b, g35_balloon_rings, HX_BALLOON, HX_HIT, 8, "the pages of the rings themselves")
HX_ROW(G35c, g35_balloon_lengths, HX_BALLOON, HX_HIT, 4, "lists cut short, or far too long")

/* ---- hostile_net.c ---- */
HX_ROW(G25a, g25_net_headers, HX_NET, HX_SURVIVES | HX_HIT, 8, "offload requests that fit no frame")
HX_ROW(G25b, g25_net_shapes, HX_NET, HX_HIT, 12, "frames without a header, without a frame")
HX_ROW(G25c, g25_net_commands, HX_NET, HX_SURVIVES | HX_HIT, 2, "commands that are none")
HX_ROW(G29b, g29_net_no_buffers, HX_NET, HX_SURVIVES | HX_HIT, 2, "frames that find no buffer")
HX_ROW(G29c, g29_net_bad_buffers, HX_NET, HX_HIT, 6, "receive buffers that can not hold a frame")

/* ---- hostile_pmem.c ---- */
HX_ROW(P01, p01_stores, HX_PMEM, HX_SURVIVES | HX_HIT | HX_MAY_END, 24,
       "stores of every kind to a file that is memory")
HX_ROW(P02, p02_requests, HX_PMEM, HX_HIT, 16, "requests that are none, cut short, or too long")
HX_ROW(P03, p03_rings, HX_ANY, HX_BREAKS, 6, "rings in a file that is memory")
HX_ROW(P04, p04_target, HX_ANY, HX_BREAKS, 6, "a file that is memory, to be written by a device")
HX_ROW(P05, p05_source, HX_SAFE, HX_BREAKS, 8,
       "what a device shall read, across the ends of a file")

/* ---- hostile_vsock.c ---- */
HX_ROW(G29a, g29_vsock_no_buffers, HX_VSOCK, HX_SURVIVES | HX_HIT, 3, "answers that find no buffer")
HX_ROW(G30a, g30_vsock_length, HX_VSOCK, HX_BREAKS, 12,
       "packets longer than their buffer, headers cut short")
HX_ROW(G30b, g30_vsock_unknown, HX_VSOCK, HX_SURVIVES | HX_HIT, 8, "unknown operations and types")
HX_ROW(G31, g31_vsock_addresses, HX_VSOCK, HX_SURVIVES | HX_COUNTED | HX_HIT, 8,
       "packets in the name of others, to others")
HX_ROW(G32, g32_vsock_credit, HX_VSOCK, HX_SURVIVES | HX_HIT, 4,
       "credit that lies, on a connection whose host end does not read")
HX_ROW(G33, g33_vsock_storm, HX_VSOCK, HX_SURVIVES | HX_HIT, 2, "thousands of requests and resets")

/* ---- hostile_cpu.c ---- */
HX_ROW(G38a, g38_ioapic, HX_PROCESSOR, HX_HIT, 2, "any value in any register of the IOAPIC")
HX_ROW(G38b, g38_misdirected, HX_ANY, HX_SURVIVES | HX_HIT, 8,
       "interrupts that no processor takes, of every mode, level-triggered or not")
HX_ROW(G39, g39_nested, HX_PROCESSOR, HX_HIT | HX_MAY_END, 1,
       "VMX and SVM instructions and registers")
HX_ROW(G41, g41_hypercalls, HX_PROCESSOR, HX_HIT | HX_MAY_END, 1, "hypercalls of every number")
HX_ROW(G42a, g42_cpuid, HX_PROCESSOR, HX_HIT, 1,
       "all of CPUID; nothing of nested virtualisation in it")
HX_ROW(G42b, g42_msrs, HX_PROCESSOR, HX_HIT | HX_MAY_END, 2,
       "model-specific registers, read and written")
HX_ROW(G43, g43_emulator, HX_ANY, HX_HIT | HX_MAY_END, 1,
       "device registers by every kind of instruction")
HX_ROW(G44, g44_memory_edges, HX_PROCESSOR, HX_HIT | HX_MAY_END, 1,
       "accesses across the end of RAM")
HX_ROW(G45, g45_loops, HX_PROCESSOR, HX_HIT | HX_MAY_END, 1, "PAUSE, WBINVD, INVD, RDRAND in loops")
