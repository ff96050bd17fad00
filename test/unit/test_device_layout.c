/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* State blocks of the previous release become ours, and ours become its, in other memory. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/virtio_config.h>

#include "pci/pci.h"
#include "previous_layouts.h"
#include "state/mailbox.h"
#include "state/ring_record.h"
#include "test.h"
#include "virtio/virtio.h"
#include "virtnet/device_adopt.h"
#include "virtnet/device_dma.h"
#include "virtnet/device_layout.h"
#include "virtnet/device_state.h"

#define VUID	"MT2611X00001VNETS3D0F0"
#define PAIRS	4u
#define QUEUES	(PAIRS * 2 + 1)
#define SIZE	512u
#define VECTORS 64u
#define CAP_AT	0x98u

static const struct ha_layout previous[] = {{STATE_SEC_DEVICE, 1}, {STATE_SEC_PCI, 1},
	{STATE_SEC_VIRTIO, 1}, {STATE_SEC_RINGS, 1}, {STATE_SEC_MAILBOX, 1}};

static void *
section(struct state_block *blk, enum state_section_id id, uint16_t version, size_t size)
{
	void *s = state_block_section(blk, id, version, size);

	assert_non_null(s);
	return s;
}

static void
fill_device(struct previous_device *d)
{
	const uint8_t mac[] = {2, 0, 0, 0, 0, 1}, ctrl[] = {2, 0, 0, 0, 0, 9};

	strcpy(d->vuid, VUID);
	d->sf_num = 2002;
	d->pf_id = 2;
	d->pairs = 3;
	d->mtu = 1400;
	d->rx_mode = 0x5;
	memcpy(d->mac, mac, sizeof(mac));
	memcpy(d->ctrl_mac, ctrl, sizeof(ctrl));
}

static void
fill_pci(struct previous_pci *p)
{
	p->cfg[PCI_CAPABILITY_LIST] = CAP_AT;
	p->cfg[CAP_AT] = PCI_CAP_ID_MSIX;
	p->cfg[CAP_AT + PCI_MSIX_FLAGS] = VECTORS - 1;
	p->intx_level = 1;
	p->flr_count = 7;
	memset(p->msix_table, 0x5a, sizeof(p->msix_table));
}

static void
fill_virtio(struct previous_virtio *v)
{
	v->device_features = VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM);
	v->driver_features = v->device_features;
	v->num_queues = QUEUES;
	v->status = 0xf;
	for (unsigned int q = 0; q < QUEUES; q++)
		v->queue[q].max_size = SIZE;
	v->queue[1].desc = 0x1234000;
}

static void
fill_mailbox(struct previous_mailbox *m)
{
	m->state = MAILBOX_REQUEST;
	m->connection = 3;
	m->seq = 77;
	m->req_len = 24;
	m->nfds = 1;
	m->negotiated_seq = 5;
	m->reply_wanted = 1;
	memset(m->header, 0x11, sizeof(m->header));
	memset(m->req, 0x22, sizeof(m->req));
	memset(m->reply, 0x33, sizeof(m->reply));
}

/* As the previous release left it: a driver with three of four pairs, a request that stands. */
static struct state_block *
previous_block(void)
{
	const struct state_section_desc desc[] = {
		{STATE_SEC_DEVICE, 1, sizeof(struct previous_device)},
		{STATE_SEC_PCI, 1, sizeof(struct previous_pci)},
		{STATE_SEC_VIRTIO, 1, sizeof(struct previous_virtio)},
		{STATE_SEC_RINGS, 1, sizeof(struct previous_ring) * QUEUES},
		{STATE_SEC_MAILBOX, 1, sizeof(struct previous_mailbox)},
	};
	struct previous_ring *rings;
	struct state_block *blk;

	assert_int_equal(state_block_create(VUID, desc, 5, &blk), 0);
	fill_device(section(blk, STATE_SEC_DEVICE, 1, sizeof(struct previous_device)));
	fill_pci(section(blk, STATE_SEC_PCI, 1, sizeof(struct previous_pci)));
	fill_virtio(section(blk, STATE_SEC_VIRTIO, 1, sizeof(struct previous_virtio)));
	fill_mailbox(section(blk, STATE_SEC_MAILBOX, 1, sizeof(struct previous_mailbox)));
	rings = section(blk, STATE_SEC_RINGS, 1, sizeof(*rings) * QUEUES);
	rings[1].used_idx = 4711;
	rings[1].running = 1;
	rings[1].avail_idx = 4713;
	rings[1].signalled_used = 4700;
	rings[1].stats[0] = 99;
	rings[QUEUES - 1].stats[12] = 77;
	return blk;
}

static struct state_block *
convert(const struct state_block *blk, const struct ha_layout *want, unsigned int n)
{
	struct state_block *out;
	int fd;

	assert_int_equal(device_block_convert(state_block_fd(blk), want, n, &fd), 0);
	assert_int_equal(state_block_open(fd, &out), 0);
	close(fd);
	return out;
}

static struct state_block *
to_ours(const struct state_block *blk)
{
	struct ha_layout ours[HA_LAYOUTS_MAX];

	return convert(blk, ours, device_block_layouts(ours));
}

/* ---- up ---- */

static void
a_block_of_the_previous_release_becomes_ours(void **state)
{
	struct state_block *old = previous_block(), *blk = to_ours(old);
	const struct device_state *s =
		section(blk, STATE_SEC_DEVICE, DEVICE_STATE_VERSION, sizeof(*s));

	(void)state;
	assert_true(device_layout_current(blk));
	assert_string_equal(state_block_name(blk), VUID);
	assert_string_equal(s->id.vuid, VUID);
	assert_string_equal(s->id.plug_id, "virtnet-" VUID);
	assert_int_equal(s->id.slot, 2);
	assert_int_equal(s->id.pf_id, 2);
	assert_int_equal(s->id.sf_num, 2002);
	assert_int_equal(s->id.mtu, 1400);
	assert_int_equal(s->id.mac[5], 1);
	assert_int_equal(s->id.max_pairs, PAIRS);
	assert_int_equal(s->id.max_queue_size, SIZE);
	assert_int_equal(s->id.num_msix, VECTORS);
	assert_false(s->id.intx_only);
	assert_true(device_ident_intact(&s->id));
	state_block_close(blk);
	state_block_close(old);
}

static void
what_the_driver_had_set_is_kept(void **state)
{
	struct state_block *old = previous_block(), *blk = to_ours(old);
	const struct device_state *s =
		section(blk, STATE_SEC_DEVICE, DEVICE_STATE_VERSION, sizeof(*s));
	const struct virtio_state *v =
		section(blk, STATE_SEC_VIRTIO, VIRTIO_STATE_VERSION, sizeof(*v));
	const struct ring_record *r =
		section(blk, STATE_SEC_RINGS, RING_RECORD_VERSION, sizeof(*r) * QUEUES);

	(void)state;
	assert_int_equal(s->phase, DEVICE_LIVE);
	assert_true(s->started);
	assert_int_equal(s->pairs, 3);
	assert_int_equal(s->sf.pairs, 3);
	assert_int_equal(s->guest_offloads, VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM));
	assert_int_equal(s->rx_mode, 0x5);
	assert_int_equal(s->ctrl_mac[5], 9);
	assert_int_equal(v->queue[1].desc, 0x1234000);
	assert_int_equal(v->status, 0xf);
	assert_int_equal(r[1].used_idx, 4711);
	assert_int_equal(r[1].avail_idx, 4713);
	assert_int_equal(r[1].signalled_used, 4700);
	assert_int_equal(r[1].running, 1);
	assert_int_equal(r[1].valid, 0);
	assert_int_equal(r[1].stats.packets, 99);
	assert_int_equal(r[QUEUES - 1].stats.kicks, 77);
	state_block_close(blk);
	state_block_close(old);
}

static void
a_request_that_stands_goes_on_standing(void **state)
{
	struct state_block *old = previous_block(), *blk = to_ours(old);
	struct mailbox *m = section(blk, STATE_SEC_MAILBOX, MAILBOX_VERSION, sizeof(*m));

	(void)state;
	assert_int_equal(atomic_load(&m->state), MAILBOX_REQUEST);
	assert_int_equal(m->seq, 77);
	assert_int_equal(m->connection, 3);
	assert_int_equal(m->negotiated_seq, 5);
	assert_int_equal(m->req_len, 24);
	assert_int_equal(m->header[15], 0x11);
	assert_int_equal(m->req[MAILBOX_BODY_MAX - 1], 0x22);
	assert_int_equal(m->reply[MAILBOX_BODY_MAX - 1], 0x33);
	assert_int_equal(m->stream.tx_active, 0);
	state_block_close(blk);
	state_block_close(old);
}

static void
registers_of_the_function_are_kept(void **state)
{
	struct state_block *old = previous_block(), *blk = to_ours(old);
	const struct pci_fn_state *p = section(blk, STATE_SEC_PCI, PCI_FN_VERSION, sizeof(*p));

	(void)state;
	assert_int_equal(p->cfg[CAP_AT], PCI_CAP_ID_MSIX);
	assert_int_equal(p->intx_level, 1);
	assert_int_equal(p->intx_masked, 0);
	assert_int_equal(p->msix_table[0], 0x5a);
	assert_int_equal(p->msix_table[sizeof(p->msix_table) - 1], 0x5a);
	assert_int_equal(p->msix_pending[0], 0);
	state_block_close(blk);
	state_block_close(old);
}

static void
a_conversion_leaves_its_source_as_it_was(void **state)
{
	struct state_block *old = previous_block(), *same = previous_block(), *blk = to_ours(old);
	struct stat st;
	void *a, *b;

	(void)state;
	assert_int_equal(fstat(state_block_fd(old), &st), 0);
	a = malloc((size_t)st.st_size);
	b = malloc((size_t)st.st_size);
	assert_int_equal(pread(state_block_fd(old), a, (size_t)st.st_size, 0), st.st_size);
	assert_int_equal(pread(state_block_fd(same), b, (size_t)st.st_size, 0), st.st_size);
	assert_memory_equal(a, b, (size_t)st.st_size);
	free(a);
	free(b);
	state_block_close(blk);
	state_block_close(same);
	state_block_close(old);
}

/* ---- down ---- */

static void
there_and_back_again_loses_nothing_that_the_previous_release_knew(void **state)
{
	struct state_block *old = previous_block(), *ours = to_ours(old);
	struct state_block *back = convert(ours, previous, RTE_DIM(previous));
	const struct {
		enum state_section_id id;
		size_t size;
	} same[] = {
		{STATE_SEC_DEVICE, sizeof(struct previous_device)},
		{STATE_SEC_PCI, sizeof(struct previous_pci)},
		{STATE_SEC_VIRTIO, sizeof(struct previous_virtio)},
		{STATE_SEC_RINGS, sizeof(struct previous_ring) * QUEUES},
	};
	const struct previous_mailbox *m = section(back, STATE_SEC_MAILBOX, 1, sizeof(*m));

	(void)state;
	for (size_t i = 0; i < RTE_DIM(same); i++)
		assert_memory_equal(section(back, same[i].id, 1, same[i].size),
			section(old, same[i].id, 1, same[i].size), same[i].size);
	assert_int_equal(m->state, MAILBOX_REQUEST);
	assert_int_equal(m->seq, 77);
	assert_int_equal(m->fds[0], -1);
	assert_int_equal(m->req[100], 0x22);
	state_block_close(back);
	state_block_close(ours);
	state_block_close(old);
}

static void
sections_that_are_not_named_stay(void **state)
{
	struct state_block *old = previous_block(), *ours = to_ours(old), *back;
	struct device_dma_state *d = section(ours, STATE_SEC_DMA, DEVICE_DMA_VERSION, sizeof(*d)),
				*kept;

	(void)state;
	d->high = 2;
	d->range[1].iova = 0xabc000;
	back = convert(ours, previous, RTE_DIM(previous));
	kept = section(back, STATE_SEC_DMA, DEVICE_DMA_VERSION, sizeof(*kept));
	assert_int_equal(kept->high, 2);
	assert_int_equal(kept->range[1].iova, 0xabc000);
	state_block_close(back);
	state_block_close(ours);
	state_block_close(old);
}

static void
memory_ranges_are_the_same_in_both_versions(void **state)
{
	static const struct ha_layout dma_1 = {STATE_SEC_DMA, 1};
	static const struct ha_layout dma_2 = {STATE_SEC_DMA, 2};
	struct state_block *old = previous_block(), *ours = to_ours(old), *back, *again;
	struct device_dma_state *d = section(ours, STATE_SEC_DMA, DEVICE_DMA_VERSION, sizeof(*d));
	const struct previous_dma *was;

	(void)state;
	d->unmap_seq = 5;
	d->high = 3;
	d->file_size[7] = 0x200000;
	d->range[0].iova = 0x123000;
	d->range[2] = (struct device_dma_range){0xabc000, 0x1000, 0x2000, 9, 7, 3, 1};
	back = convert(ours, &dma_1, 1);
	was = section(back, STATE_SEC_DMA, 1, sizeof(*was));
	assert_int_equal(was->unmap_seq, 5);
	assert_int_equal(was->high, 3);
	assert_memory_equal(was->range, d->range, 3 * sizeof(d->range[0]));
	/* How much of files was mapped is not known from there. */
	again = convert(back, &dma_2, 1);
	d = section(again, STATE_SEC_DMA, DEVICE_DMA_VERSION, sizeof(*d));
	assert_int_equal(d->unmap_seq, 5);
	assert_int_equal(d->high, 3);
	assert_int_equal(d->file_size[7], 0);
	assert_memory_equal(was->range, d->range, 3 * sizeof(d->range[0]));
	state_block_close(again);
	state_block_close(back);
	state_block_close(ours);
	state_block_close(old);
}

/* ---- version 2 of the device section ---- */

/* With a device section to be filled in. The rest as an old release left it, which does not matter.
 */
static struct state_block *
block_with(uint16_t version, size_t size)
{
	const struct state_section_desc desc[] = {
		{STATE_SEC_DEVICE, version, (uint32_t)size},
		{STATE_SEC_PCI, 1, sizeof(struct previous_pci)},
		{STATE_SEC_VIRTIO, 1, sizeof(struct previous_virtio)},
		{STATE_SEC_RINGS, 1, sizeof(struct previous_ring) * QUEUES},
		{STATE_SEC_MAILBOX, 1, sizeof(struct previous_mailbox)},
		{STATE_SEC_IDENT, 1, sizeof(struct previous_ident)}, /* from version 3 on */
	};
	const unsigned int n = RTE_DIM(desc) - (version < 3);
	struct state_block *blk;

	assert_int_equal(state_block_create(VUID, desc, n, &blk), 0);
	fill_pci(section(blk, STATE_SEC_PCI, 1, sizeof(struct previous_pci)));
	fill_virtio(section(blk, STATE_SEC_VIRTIO, 1, sizeof(struct previous_virtio)));
	fill_mailbox(section(blk, STATE_SEC_MAILBOX, 1, sizeof(struct previous_mailbox)));
	return blk;
}

static struct state_block *
block_2(void)
{
	struct state_block *blk = block_with(2, sizeof(struct previous_device_2));
	struct previous_device_2 *d = section(blk, STATE_SEC_DEVICE, 2, sizeof(*d));

	strcpy(d->id.vuid, VUID);
	d->id.features = VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM);
	d->id.max_pairs = PAIRS;
	strcpy(d->bdf, "15:00.0");
	d->phase = DEVICE_UNPLUGGING;
	d->started = 1;
	d->rx_mode = 0x3;
	d->ctrl_mac[5] = 9;
	d->pairs = 2;
	d->quarantine = DEVICE_Q_DAMAGE;
	d->adoptions = 5;
	d->clients = 6;
	d->sf.pairs = 2;
	d->sf.max_pairs = PAIRS;
	d->sf.rep_ifindex = 77;
	strcpy(d->sf.rep, "en3f0pf0sf2002");
	d->sf.rx_csum = 1;
	d->sf.link = 1;
	d->sf.changing = 1;
	d->sf.made = 1;
	d->sf.wanted = 3;
	return blk;
}

static void
a_device_of_version_2_takes_the_offload_that_there_was(void **state)
{
	struct state_block *old = block_2(), *blk = to_ours(old);
	const struct device_state *s =
		section(blk, STATE_SEC_DEVICE, DEVICE_STATE_VERSION, sizeof(*s));

	(void)state;
	assert_string_equal(s->id.vuid, VUID);
	assert_string_equal(s->id.transport, "");
	assert_int_equal(s->phase, DEVICE_UNPLUGGING);
	assert_int_equal(s->pairs, 2);
	assert_int_equal(s->adoptions, 5);
	assert_int_equal(s->sf.wanted, 3);
	assert_int_equal(s->sf.rep_ifindex, 77);
	assert_string_equal(s->sf.rep, "en3f0pf0sf2002");
	assert_int_equal(s->guest_offloads, VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM));
	state_block_close(blk);
	state_block_close(old);
}

static const struct ha_layout device_2 = {STATE_SEC_DEVICE, 2};

static void
version_2_and_back_loses_nothing(void **state)
{
	struct state_block *old = block_2(), *ours = to_ours(old),
			   *back = convert(ours, &device_2, 1);

	(void)state;
	assert_memory_equal(section(back, STATE_SEC_DEVICE, 2, sizeof(struct previous_device_2)),
		section(old, STATE_SEC_DEVICE, 2, sizeof(struct previous_device_2)),
		sizeof(struct previous_device_2));
	state_block_close(back);
	state_block_close(ours);
	state_block_close(old);
}

static void
a_device_beyond_version_2_does_not_go_back(void **state)
{
	static const unsigned int beyond[] = {VIRTIO_F_RING_PACKED, VIRTIO_F_IN_ORDER,
		VIRTIO_NET_F_MRG_RXBUF, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_HOST_USO,
		VIRTIO_NET_F_CTRL_GUEST_OFFLOADS};
	struct state_block *old = block_2(), *ours = to_ours(old);
	struct virtio_state *v = section(ours, STATE_SEC_VIRTIO, 1, sizeof(*v));
	struct device_state *s = section(ours, STATE_SEC_DEVICE, DEVICE_STATE_VERSION, sizeof(*s));
	const uint64_t features = v->device_features;
	int fd;

	(void)state;
	for (size_t i = 0; i < RTE_DIM(beyond); i++) {
		v->device_features = features | VIRTIO_BIT(beyond[i]);
		assert_int_equal(
			device_block_convert(state_block_fd(ours), &device_2, 1, &fd), -ENOTSUP);
	}
	v->device_features = features;
	strcpy(s->id.transport, "vhost_user");
	assert_int_equal(device_block_convert(state_block_fd(ours), &device_2, 1, &fd), -ENOTSUP);
	state_block_close(ours);
	state_block_close(old);
}

/* ---- version 3 of the device section ---- */

static const struct ha_layout device_3 = {STATE_SEC_DEVICE, 3};

static struct state_block *
block_3(void)
{
	struct state_block *blk = block_with(3, sizeof(struct previous_device_3));
	struct previous_device_3 *d = section(blk, STATE_SEC_DEVICE, 3, sizeof(*d));

	memset(d, 0x5a, offsetof(struct previous_device_3, reserved));
	return blk;
}

static void
a_device_of_version_3_has_no_hash_and_goes_back_as_it_came(void **state)
{
	struct state_block *old = block_3(), *ours = to_ours(old),
			   *back = convert(ours, &device_3, 1);
	const struct device_state *s =
		section(ours, STATE_SEC_DEVICE, DEVICE_STATE_VERSION, sizeof(*s));
	const struct previous_device_3 *was = section(old, STATE_SEC_DEVICE, 3, sizeof(*was));

	(void)state;
	assert_int_equal(s->clients, 0x5a5a5a5a);
	assert_int_equal(s->guest_offloads, 0x5a5a5a5a5a5a5a5a);
	assert_int_equal(s->hash.types, 0);
	assert_int_equal(s->hash.key[0], 0);
	assert_memory_equal(section(back, STATE_SEC_DEVICE, 3, sizeof(*was)), was, sizeof(*was));
	state_block_close(back);
	state_block_close(ours);
	state_block_close(old);
}

static void
a_device_that_offers_hashes_does_not_go_back_to_version_3(void **state)
{
	struct state_block *old = block_3(), *ours = to_ours(old);
	struct virtio_state *v = section(ours, STATE_SEC_VIRTIO, 1, sizeof(*v));
	int fd;

	(void)state;
	v->device_features |= VIRTIO_BIT(VIRTIO_NET_F_HASH_REPORT);
	assert_int_equal(device_block_convert(state_block_fd(ours), &device_3, 1, &fd), -ENOTSUP);
	assert_int_equal(device_block_convert(state_block_fd(ours), &device_2, 1, &fd), -ENOTSUP);
	state_block_close(ours);
	state_block_close(old);
}

static void
how_packets_are_hashed_is_kept(void **state)
{
	struct state_block *old = block_3(), *ours = to_ours(old), *again;
	struct device_state *s = section(ours, STATE_SEC_DEVICE, DEVICE_STATE_VERSION, sizeof(*s));
	const struct device_state *kept;

	(void)state;
	s->hash.types = 0x1ff;
	memset(s->hash.key, 0x6d, sizeof(s->hash.key));
	again = to_ours(ours);
	kept = section(again, STATE_SEC_DEVICE, DEVICE_STATE_VERSION, sizeof(*kept));
	assert_memory_equal(&kept->hash, &s->hash, sizeof(s->hash));
	state_block_close(again);
	state_block_close(ours);
	state_block_close(old);
}

/* ---- what cannot be done ---- */

static void
packed_rings_do_not_go_back(void **state)
{
	static const struct ring_record packed[] = {
		{.running = 1, .used_wrap = 1}, {.running = 1, .valid = 1}};
	struct state_block *old = previous_block(), *ours = to_ours(old);
	struct ring_record *r =
		section(ours, STATE_SEC_RINGS, RING_RECORD_VERSION, sizeof(*r) * QUEUES);
	int fd;

	(void)state;
	for (size_t i = 0; i < RTE_DIM(packed); i++) {
		r[2] = packed[i];
		assert_int_equal(device_block_convert(
					 state_block_fd(ours), previous, RTE_DIM(previous), &fd),
			-ENOTSUP);
	}
	state_block_close(ours);
	state_block_close(old);
}

static void
a_version_that_nobody_knows_is_refused(void **state)
{
	const struct ha_layout want = {STATE_SEC_DEVICE, 99}, other = {15, 1};
	struct state_block *old = previous_block();
	int fd;

	(void)state;
	assert_int_equal(device_block_convert(state_block_fd(old), &want, 1, &fd), -ENOTSUP);
	assert_int_equal(device_block_convert(state_block_fd(old), &other, 1, &fd), -ENOTSUP);
	state_block_close(old);
}

static void
a_block_that_is_none_is_refused(void **state)
{
	struct state_block *old = previous_block();
	struct previous_virtio *v = section(old, STATE_SEC_VIRTIO, 1, sizeof(*v));
	struct ha_layout ours[HA_LAYOUTS_MAX];
	const unsigned int n = device_block_layouts(ours);
	int fd, null = open("/dev/null", O_RDWR);

	(void)state;
	assert_int_equal(device_block_convert(null, ours, n, &fd), -EBADMSG);
	v->num_queues = 1000;
	assert_int_equal(device_block_convert(state_block_fd(old), ours, n, &fd), -EBADMSG);
	/* A number of queues that the rings have no room for. */
	v->num_queues = 255;
	assert_int_equal(device_block_convert(state_block_fd(old), ours, n, &fd), -EBADMSG);
	close(null);
	state_block_close(old);
}

static int
test_device_layout(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_block_of_the_previous_release_becomes_ours),
		cmocka_unit_test(what_the_driver_had_set_is_kept),
		cmocka_unit_test(a_request_that_stands_goes_on_standing),
		cmocka_unit_test(registers_of_the_function_are_kept),
		cmocka_unit_test(a_conversion_leaves_its_source_as_it_was),
		cmocka_unit_test(there_and_back_again_loses_nothing_that_the_previous_release_knew),
		cmocka_unit_test(sections_that_are_not_named_stay),
		cmocka_unit_test(memory_ranges_are_the_same_in_both_versions),
		cmocka_unit_test(a_device_of_version_2_takes_the_offload_that_there_was),
		cmocka_unit_test(version_2_and_back_loses_nothing),
		cmocka_unit_test(a_device_beyond_version_2_does_not_go_back),
		cmocka_unit_test(a_device_of_version_3_has_no_hash_and_goes_back_as_it_came),
		cmocka_unit_test(a_device_that_offers_hashes_does_not_go_back_to_version_3),
		cmocka_unit_test(how_packets_are_hashed_is_kept),
		cmocka_unit_test(packed_rings_do_not_go_back),
		cmocka_unit_test(a_version_that_nobody_knows_is_refused),
		cmocka_unit_test(a_block_that_is_none_is_refused),
	};

	return cmocka_run_group_tests_name("device_layout", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(device_layout, test_device_layout);
