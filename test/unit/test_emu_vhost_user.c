/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The vhost-user transport put together: what a client's messages do to the device and its owner,
 * and what a successor makes of them.
 */

#include "emu_vhost_bench.h"

static void
driver_comes_up_in_the_order_of_qemu(void **state)
{
	struct fn *f = *state;

	assert_true(tell(f, VHOST_USER_SET_PROTOCOL_FEATURES, STATUS));
	assert_true(tell(f, VHOST_USER_SET_FEATURES, MODERN));
	assert_true(tell(f, VHOST_USER_SET_STATUS, VIRTIO_CONFIG_S_FEATURES_OK));
	assert_true(tell_memory(f));
	trace_is(f, "add 40000000+200000; commit; ");
	tell_ring_but_kick(f, 0);
	assert_true(tell_kick(f, 0));
	trace_is(f, "kick 0; ");
	assert_true(tell(f, VHOST_USER_SET_STATUS, 0x0f));
	trace_is(f, "driver_ok; ");
	assert_true(tell_ring(f, VHOST_USER_SET_VRING_ENABLE, 0, 1));
	trace_is(f, "enable 0; ");
	assert_int_equal(f->o.st.queue[0].desc, RAM);
	assert_int_equal(f->o.st.queue[0].driver, RAM + 0x2000);
	assert_int_equal(f->o.st.queue[0].device, RAM + 0x4000);
	assert_int_equal(f->o.st.queue[0].size, FIX_QUEUE_SIZE);
	assert_int_equal(f->base[0], 5);
}

static void
hypervisor_is_told_what_its_function_has_to_look_like(void **state)
{
	struct fn *f = *state;
	const struct virtio_net_config *config = &f->o.st.config;
	struct vmm_function v;

	memset(&v, 0xff, sizeof(v));
	f->emu->ops->describe(f->emu, &v);
	assert_int_equal(v.kind, VMM_VHOST_USER);
	assert_false(v.listens);
	assert_false(v.msix);
	assert_memory_equal(v.mac, config->mac, sizeof(v.mac));
	assert_int_equal(v.mtu, config->mtu);
	assert_int_equal(v.pairs, PAIRS);
	assert_int_equal(v.queue_size, FIX_QUEUE_SIZE);
	assert_int_equal(v.features, f->o.st.device_features);
	f->o.st.device_features &= ~VIRTIO_BIT(VIRTIO_NET_F_MTU);
	f->emu->ops = emu_driver_find("vhost_user_client");
	f->emu->ops->describe(f->emu, &v);
	assert_true(v.listens);
	assert_int_equal(v.mtu, 0);
}

static void
client_that_tells_no_status_has_a_driver_with_its_first_ring(void **state)
{
	struct fn *f = *state;

	assert_true(tell(f, VHOST_USER_SET_FEATURES, MODERN));
	assert_true(tell_memory(f));
	tell_ring_but_kick(f, 1);
	assert_int_equal(status_of(f) & VIRTIO_CONFIG_S_DRIVER_OK, 0);
	assert_true(tell_kick(f, 1));
	assert_int_equal(status_of(f), 0x0f);
}

static void
ring_that_is_not_enabled_does_not_run(void **state)
{
	struct fn *f = *state;

	running(f, STATUS);
	tell_ring_but_kick(f, 2);
	assert_true(tell_kick(f, 2));
	assert_false(f->o.st.queue[2].enable);
	assert_true(tell_ring(f, VHOST_USER_SET_VRING_ENABLE, 2, 1));
	assert_true(f->o.st.queue[2].enable);
	assert_true(tell_ring(f, VHOST_USER_SET_VRING_ENABLE, 2, 0));
	assert_false(f->o.st.queue[2].enable);
	trace_is(f, "kick 2; enable 2; stop 2; ");
}

static void
pairs_are_those_whose_receive_rings_run(void **state)
{
	struct fn *f = *state;

	assert_int_equal(f->emu->ops->pairs(f->emu), 1);
	running(f, STATUS);
	assert_int_equal(f->emu->ops->pairs(f->emu), 1);
	for (uint32_t q = 2; q < 6; q++) {
		assert_true(tell_ring(f, VHOST_USER_SET_VRING_ENABLE, q, 1));
		tell_ring_but_kick(f, q);
		assert_true(tell_kick(f, q));
	}
	assert_int_equal(f->emu->ops->pairs(f->emu), 3);
	assert_true(tell_ring(f, VHOST_USER_SET_VRING_ENABLE, 2, 0));
	assert_int_equal(f->emu->ops->pairs(f->emu), 1);
}

static void
stopped_ring_tells_where_it_stands(void **state)
{
	const struct vhost_user_vring_state s = {1, 0};
	struct vhost_user_vring_state answer;
	struct fn *f = *state;

	running(f, STATUS);
	f->base[1] = 77;
	assert_true(tell_fd(f, VHOST_USER_GET_VRING_BASE, &s, sizeof(s), -1));
	memcpy(&answer, f->mb->reply, sizeof(answer));
	assert_int_equal(answer.num, 77);
	assert_false(f->o.st.queue[1].enable);
	trace_is(f, "stop 1; kick 1; ");
	assert_int_equal(f->emu->ops->kick_fd(f->emu, 1), -1);
}

static void
what_takes_time_is_answered_when_it_is_done(void **state)
{
	const struct vhost_user_vring_state s = {0, 0};
	struct fn *f = *state;
	unsigned int before;

	running(f, STATUS);
	before = f->replies;
	f->slow = -EINPROGRESS;
	post(f, VHOST_USER_GET_VRING_BASE, &s, sizeof(s), 0);
	handle(f, -1);
	assert_true(f->emu->ops->busy(f->emu));
	assert_int_equal(f->replies, before);
	f->slow = 0;
	virtio_dev_op_done(f->o.dev);
	f->emu->ops->op_done(f->emu, 0);
	assert_false(f->emu->ops->busy(f->emu));
	assert_int_equal(f->replies, before + 1);
	assert_true(over(f));
	assert_false(f->o.st.queue[0].enable);
}

static void
control_queue_is_the_clients(void **state)
{
	struct fn *f = *state;
	const uint64_t mq = VIRTIO_BIT(VIRTIO_NET_F_MQ);

	assert_true(tell(f, VHOST_USER_SET_FEATURES, MODERN | mq));
	assert_int_equal(virtio_dev_features(f->o.dev),
		VIRTIO_BIT(VIRTIO_F_VERSION_1) | mq | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ));
}

static void
other_features_begin_anew(void **state)
{
	struct fn *f = *state;

	assert_true(tell(f, VHOST_USER_SET_FEATURES, MODERN));
	assert_true(tell(f, VHOST_USER_SET_FEATURES, MODERN));
	trace_is(f, "");
	assert_true(tell(f, VHOST_USER_SET_FEATURES, MODERN | VIRTIO_BIT(VIRTIO_NET_F_CSUM)));
	trace_is(f, "reset; ");
	assert_true(virtio_has(virtio_dev_features(f->o.dev), VIRTIO_NET_F_CSUM));
}

static void
feature_without_what_it_needs_is_left_out(void **state)
{
	const uint64_t orphans =
		VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_ECN);
	struct fn *f = *state;

	f->o.st.device_features |= orphans;
	assert_true(tell(f, VHOST_USER_SET_FEATURES, MODERN | orphans));
	assert_true(virtio_has(virtio_dev_features(f->o.dev), VIRTIO_F_VERSION_1));
	assert_int_equal(virtio_dev_features(f->o.dev) & orphans, 0);
}

static void
reset_stops_all_and_keeps_memory(void **state)
{
	struct fn *f = *state;

	running(f, STATUS);
	assert_true(tell(f, VHOST_USER_SET_STATUS, 0));
	trace_is(f, "reset; ");
	assert_int_equal(status_of(f), 0);
	assert_false(f->o.st.queue[0].enable);
}

static void
call_eventfd_is_signalled_for_its_ring_alone(void **state)
{
	const uint64_t queue = 1;
	struct fn *f = *state;

	running(f, STATUS);
	assert_true(tell_fd(f, VHOST_USER_SET_VRING_CALL, &queue, sizeof(queue), f->event));
	virtio_dev_queue_interrupt(f->o.dev, 0);
	assert_int_equal(eventfd_take(f->event), 0);
	virtio_dev_queue_interrupt(f->o.dev, 1);
	assert_int_equal(eventfd_take(f->event), 1);
}

static void
device_that_has_failed_says_so_by_its_error_eventfds(void **state)
{
	const uint64_t queue = 0;
	struct fn *f = *state;

	running(f, STATUS);
	assert_true(tell_fd(f, VHOST_USER_SET_VRING_ERR, &queue, sizeof(queue), f->event));
	virtio_dev_needs_reset(f->o.dev);
	assert_int_equal(eventfd_take(f->event), 1);
}

static void
memory_is_replaced_at_once(void **state)
{
	const struct vhost_user_mem_table t = {
		.n = 1, .region[0] = {RAM, RAM_SIZE / 2, RAM_USER, 0}};
	struct fn *f = *state;

	assert_true(tell_memory(f));
	f->trace[0] = '\0';
	assert_true(tell_fd(f, VHOST_USER_SET_MEM_TABLE, &t, 8 + sizeof(t.region[0]), f->ram));
	trace_is(f, "remove 40000000; add 40000000+100000; commit; ");
}

static void
longer_packets_than_the_network_takes_are_refused(void **state)
{
	struct fn *f = *state;

	assert_true(tell(f, VHOST_USER_SET_PROTOCOL_FEATURES, VHOST_USER_PROTOCOL_BIT(MTU) | ACK));
	assert_int_equal(ask(f, VHOST_USER_NET_SET_MTU, 1500), 0);
	assert_int_not_equal(ask(f, VHOST_USER_NET_SET_MTU, 1501), 0);
}

static void
migrated_guest_is_announced(void **state)
{
	static const uint8_t mac[8] = {0x02, 0, 0, 0, 0, 0x55};
	struct fn *f = *state;

	assert_true(tell_fd(f, VHOST_USER_SEND_RARP, mac, sizeof(mac), -1));
	trace_is(f, "announce 02..55; ");
}

/* ---- dirty log */

static int
log_file(void)
{
	const int fd = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, 0x3000), 0);
	return fd;
}

static bool
tell_log(struct fn *f, int fd, uint64_t offset)
{
	const struct vhost_user_log log = {.size = 0x1000, .offset = offset};

	return tell_fd(f, VHOST_USER_SET_LOG_BASE, &log, sizeof(log), fd);
}

static const struct vring_log *
log_of(struct fn *f, uint16_t queue, uint64_t *used)
{
	return f->emu->ops->log(f->emu, queue, used);
}

static void
log_is_written_from_the_feature_on_until_it_is_gone(void **state)
{
	const int fd = log_file();
	struct fn *f = *state;
	uint64_t used;

	running(f, STATUS);
	assert_true(tell_log(f, fd, 8));
	assert_null(log_of(f, 0, &used));
	assert_true(tell(f, VHOST_USER_SET_FEATURES, MODERN | LOGGING));
	trace_is(f, "log; ");
	assert_non_null(log_of(f, 0, &used));
	assert_int_equal(log_of(f, 0, &used)->size, 0x1000);
	log_of(f, 0, &used)->bits[0] = 0x5a;
	assert_true(tell(f, VHOST_USER_SET_FEATURES, MODERN));
	assert_null(log_of(f, 0, &used));
	assert_int_equal(pread(fd, &used, 1, 8), 1);
	assert_int_equal((uint8_t)used, 0x5a);
	close(fd);
}

static void
used_ring_is_logged_where_the_client_says(void **state)
{
	struct vhost_user_vring_addr a = {
		.index = 1,
		.flags = 1u << VHOST_VRING_F_LOG,
		.desc = RAM_USER + 0x10000,
		.avail = RAM_USER + 0x12000,
		.used = RAM_USER + 0x14000,
		.log = 0x123000,
	};
	const int fd = log_file();
	struct fn *f = *state;
	uint64_t used;

	running(f, STATUS);
	assert_true(tell_log(f, fd, 0));
	assert_true(tell(f, VHOST_USER_SET_FEATURES, MODERN | LOGGING));
	assert_true(tell_fd(f, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1));
	trace_is(f, "log; log; ");
	assert_non_null(log_of(f, 1, &used));
	assert_int_equal(used, 0x123000);
	close(fd);
}

static void
log_that_could_be_truncated_is_refused(void **state)
{
	struct fn *f = *state;
	int fd = memfd("log");

	assert_int_equal(ftruncate(fd, 0x3000), 0);
	running(f, STATUS);
	assert_false(tell_log(f, fd, 0));
	close(fd);
}

/* Who punches a hole into it and uses up the machine's huge pages kills whoever writes it next. */
static void
log_in_huge_pages_is_refused(void **state)
{
	const int fd = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
	struct fn *f = *state;

	if (fd < 0)
		skip(); /* a machine without them */
	assert_int_equal(ftruncate(fd, 2 << 20), 0);
	running(f, STATUS);
	assert_false(tell_log(f, fd, 0));
	close(fd);
}

static void
log_larger_than_any_guest_needs_is_refused(void **state)
{
	const struct vhost_user_log log = {.size = HOSTMEM_AREA_SIZE + 1};
	const int fd = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct fn *f = *state;

	assert_int_equal(ftruncate(fd, HOSTMEM_AREA_SIZE + 1), 0);
	running(f, STATUS);
	assert_false(tell_fd(f, VHOST_USER_SET_LOG_BASE, &log, sizeof(log), fd));
	close(fd);
}

static void
log_that_has_no_memory_any_more_costs_the_device_not_the_process(void **state)
{
	const int fd = log_file();
	struct fn *f = *state;
	uint64_t used;
	uint8_t *bits;

	running(f, STATUS);
	assert_true(tell_log(f, fd, 0));
	assert_true(tell(f, VHOST_USER_SET_FEATURES, MODERN | LOGGING));
	bits = log_of(f, 0, &used)->bits;
	/* As the handler of SIGBUS does. */
	assert_true(hostmem_files_sigbus(f->files, bits));
	bits[0x800] = 1;
	assert_true(hostmem_lost(f->hm));
	close(fd);
}

/* ---- successors */

static void
successor_goes_on_with_the_same_client(void **state)
{
	const uint64_t queue = 1;
	struct fn *f = *state;

	running(f, STATUS);
	assert_true(tell_fd(f, VHOST_USER_SET_VRING_CALL, &queue, sizeof(queue), f->event));
	fn_succeed(f);
	assert_int_equal(f->disconnects, 0);
	/* What the predecessor may have owed. */
	assert_true(eventfd_take(f->event) >= 1);
	assert_true(f->emu->ops->kick_fd(f->emu, 1) >= 0);
	assert_int_equal(status_of(f), 0x0f);
	assert_true(tell_ring(f, VHOST_USER_GET_VRING_BASE, 0, 0));
	trace_is(f, "stop 0; kick 0; ");
}

static void
successor_goes_on_writing_the_log(void **state)
{
	const int fd = log_file();
	struct fn *f = *state;
	uint64_t used;

	running(f, STATUS);
	assert_true(tell_log(f, fd, 0));
	assert_true(tell(f, VHOST_USER_SET_FEATURES, MODERN | LOGGING));
	fn_succeed(f);
	assert_non_null(log_of(f, 0, &used));
	log_of(f, 0, &used)->bits[1] = 0x77;
	assert_int_equal(pread(fd, &used, 1, 1), 1);
	assert_int_equal((uint8_t)used, 0x77);
	assert_int_equal(f->disconnects, 0);
	close(fd);
}

static void
successor_without_the_log_ends_the_connection(void **state)
{
	const int fd = log_file();
	struct fn *f = *state;

	running(f, STATUS);
	assert_true(tell_log(f, fd, 0));
	assert_true(tell(f, VHOST_USER_SET_FEATURES, MODERN | LOGGING));
	up_keep(f, EMU_KEEP_TRANSPORT, 0, EMU_KEEP_TRANSPORT_MAX, -1);
	fn_succeed(f);
	assert_int_equal(f->disconnects, 1);
	close(fd);
}

static void
state_that_makes_no_sense_ends_the_connection(void **state)
{
	struct fn *f = *state;
	struct vhost_user_state *s = f->transport;

	running(f, STATUS);
	s->ring[0].size = UINT32_MAX;
	fn_succeed(f);
	assert_int_equal(f->disconnects, 1);
	f->emu->ops->disconnected(f->emu);
	assert_int_equal(f->gone, 1);
}

static void
message_handled_twice_has_the_effect_of_one(void **state)
{
	const uint64_t queue = 0;
	struct fn *f = *state;

	running(f, STATUS);
	assert_true(tell_ring(f, VHOST_USER_GET_VRING_BASE, 0, 0));
	tell_ring_but_kick(f, 0);
	post(f, VHOST_USER_SET_VRING_KICK, &queue, sizeof(queue), 1);
	handle(f, f->event);
	/* It died before its reply was stored. */
	atomic_store(&f->mb->state, MAILBOX_REQUEST);
	fn_succeed(f);
	handle(f, f->event);
	assert_true(over(f));
	assert_true(f->o.st.queue[0].enable);
	assert_true(f->emu->ops->kick_fd(f->emu, 0) >= 0);
}

static void
client_that_goes_leaves_nothing(void **state)
{
	const uint64_t queue = 1;
	const int fd = log_file();
	struct fn *f = *state;
	uint64_t used;

	running(f, STATUS);
	assert_true(tell_fd(f, VHOST_USER_SET_VRING_CALL, &queue, sizeof(queue), f->event));
	assert_true(tell_log(f, fd, 0));
	assert_true(tell(f, VHOST_USER_SET_FEATURES, MODERN | LOGGING));
	f->connected = false;
	f->emu->ops->disconnected(f->emu);
	assert_int_equal(f->gone, 1);
	assert_null(log_of(f, 0, &used));
	for (unsigned int i = 0; i < FIX_QUEUES; i++) {
		assert_int_equal(f->msix[i], -1);
		assert_int_equal(f->kick[i], -1);
	}
	for (unsigned int i = 0; i < EMU_KEEP_TRANSPORT_MAX; i++)
		assert_int_equal(f->transport_fd[i], -1);
	close(fd);
}

static void
refused_request_ends_the_connection(void **state)
{
	struct fn *f = *state;

	post(f, VHOST_USER_SET_FEATURES, &(uint64_t){MODERN}, 8, 0);
	f->emu->ops->refuse(f->emu);
	assert_false(over(f));
	assert_int_equal(status_of(f), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Whatever a thread keeps from its first signal on is there before descriptors are counted. */
static int
signal_once(void **state)
{
	const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct pci_irqs *irqs;

	assert_int_equal(pci_irqs_create(1, NULL, NULL, &irqs), 0);
	assert_int_equal(pci_irqs_set_msix(irqs, 0, 1, &event), 0);
	pci_irq_msix(irqs, 0);
	pci_irqs_destroy(irqs);
	return 0;
}

static int
test_emu_vhost_user(void)
{
	const struct CMUnitTest tests[] = {
		T(driver_comes_up_in_the_order_of_qemu),
		T(hypervisor_is_told_what_its_function_has_to_look_like),
		T(client_that_tells_no_status_has_a_driver_with_its_first_ring),
		T(ring_that_is_not_enabled_does_not_run),
		T(pairs_are_those_whose_receive_rings_run),
		T(stopped_ring_tells_where_it_stands),
		T(what_takes_time_is_answered_when_it_is_done),
		T(control_queue_is_the_clients),
		T(other_features_begin_anew),
		T(feature_without_what_it_needs_is_left_out),
		T(reset_stops_all_and_keeps_memory),
		T(call_eventfd_is_signalled_for_its_ring_alone),
		T(device_that_has_failed_says_so_by_its_error_eventfds),
		T(memory_is_replaced_at_once),
		T(longer_packets_than_the_network_takes_are_refused),
		T(migrated_guest_is_announced),
		T(log_is_written_from_the_feature_on_until_it_is_gone),
		T(used_ring_is_logged_where_the_client_says),
		T(log_in_huge_pages_is_refused),
		T(log_larger_than_any_guest_needs_is_refused),
		T(log_that_has_no_memory_any_more_costs_the_device_not_the_process),
		T(log_that_could_be_truncated_is_refused),
		T(successor_goes_on_with_the_same_client),
		T(successor_goes_on_writing_the_log),
		T(successor_without_the_log_ends_the_connection),
		T(state_that_makes_no_sense_ends_the_connection),
		T(message_handled_twice_has_the_effect_of_one),
		T(client_that_goes_leaves_nothing),
		T(refused_request_ends_the_connection),
	};

	return cmocka_run_group_tests_name("emu_vhost_user", tests, signal_once, NULL);
}

REGISTER_TEST_COMMAND(emu_vhost_user, test_emu_vhost_user)
