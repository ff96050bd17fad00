/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Interrupts: every one arrives, whoever raises it and whatever happens to its eventfd meanwhile.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "pci_irq_fixture.h"

static void
raised_vector_signals_its_own_eventfd(void **state)
{
	struct pci_irqs *irqs = irqs_new(NULL, NULL);
	int a = client_fd(), b = client_fd();

	attach_msix(irqs, 0, a);
	attach_msix(irqs, 1, b);
	pci_irq_msix(irqs, 1);
	pci_irq_msix(irqs, 1);
	assert_int_equal(drain(a), 0);
	assert_int_equal(drain(b), 2);
	assert_int_equal(pci_irqs_count(irqs), 2);
	pci_irqs_destroy(irqs);
	close(a);
	close(b);
}

static void
unknown_vectors_do_nothing(void **state)
{
	struct pci_irqs *irqs = irqs_new(NULL, NULL);

	pci_irq_msix(irqs, VECTORS);
	pci_irq_msix(irqs, PCI_MSIX_NO_VECTOR);
	assert_int_equal(pci_irqs_count(irqs), 0);
	assert_false(pci_irqs_msix_pending(irqs, VECTORS));
	pci_irqs_destroy(irqs);
}

static void
vector_raised_without_eventfd_fires_once_when_one_is_attached(void **state)
{
	struct pci_irqs *irqs = irqs_new(NULL, NULL);
	int client = client_fd();

	pci_irq_msix(irqs, 2);
	pci_irq_msix(irqs, 2);
	assert_true(pci_irqs_msix_pending(irqs, 2));
	assert_int_equal(attach_msix(irqs, 2, client), 0);
	assert_false(pci_irqs_msix_pending(irqs, 2));
	assert_int_equal(drain(client), 1);
	assert_int_equal(attach_msix(irqs, 2, client), 0);
	assert_int_equal(drain(client), 0);
	pci_irqs_destroy(irqs);
	close(client);
}

static void
clear_detaches_everything_and_forgets_what_is_pending(void **state)
{
	struct pci_irqs *irqs = irqs_new(NULL, NULL);
	int client = client_fd();

	attach_msix(irqs, 0, client);
	pci_irq_msix(irqs, 1);
	pci_irqs_clear(irqs);
	pci_irq_msix(irqs, 3);
	attach_msix(irqs, 1, client);
	assert_int_equal(drain(client), 0);
	attach_msix(irqs, 3, client);
	assert_int_equal(drain(client), 1);
	pci_irqs_destroy(irqs);
	close(client);
}

static void
full_counter_counts_as_delivered_and_never_blocks(void **state)
{
	struct pci_irqs *irqs = irqs_new(NULL, NULL);
	int client = eventfd(0, EFD_CLOEXEC); /* blocking: the client's choice must not matter */
	uint64_t full = UINT64_MAX - 1;

	assert_int_equal(write(client, &full, sizeof(full)), sizeof(full));
	attach_msix(irqs, 0, client);
	pci_irq_msix(irqs, 0);
	assert_int_equal(pci_irqs_count(irqs), 1);
	pci_irqs_destroy(irqs);
	close(client);
}

static void
counter_made_blocking_and_full_by_the_client_stops_nobody(void **state)
{
	struct pci_irqs *irqs = irqs_new(NULL, NULL);
	int client = client_fd();

	attach_msix(irqs, 0, client);
	pci_irqs_set_intx(irqs, dup(client));
	make_full_and_blocking(client);
	alarm(STUCK_S);
	pci_irq_msix(irqs, 0);
	pci_irq_intx(irqs, true);
	alarm(0);
	assert_int_equal(pci_irqs_count(irqs), 2);
	pci_irqs_destroy(irqs);
	close(client);
}

static void
every_one_of_many_signals_arrives(void **state)
{
	const unsigned int many = 100000; /* far more than the kernel keeps completions */
	struct pci_irqs *irqs = irqs_new(NULL, NULL);
	int client = client_fd();

	attach_msix(irqs, 0, client);
	for (unsigned int i = 0; i < many; i++)
		pci_irq_msix(irqs, 0);
	assert_int_equal(drain(client), many);
	/* ... and the last as safely as the first. */
	make_full_and_blocking(client);
	alarm(STUCK_S);
	pci_irq_msix(irqs, 0);
	alarm(0);
	pci_irqs_destroy(irqs);
	close(client);
}

static void *
raise_once(void *arg)
{
	pci_irq_msix(arg, 0);
	return NULL;
}

/* A context that stayed behind would be a descriptor and a share of fs.aio-max-nr each. */
static void
threads_come_and_go_leaving_nothing_behind(void **state)
{
	struct pci_irqs *irqs = irqs_new(NULL, NULL);
	int client = client_fd(), before, after;
	pthread_t thread;

	attach_msix(irqs, 0, client);
	before = dup(client);
	close(before);
	for (unsigned int i = 0; i < 50; i++) {
		assert_int_equal(pthread_create(&thread, NULL, raise_once, irqs), 0);
		pthread_join(thread, NULL);
	}
	after = dup(client);
	assert_int_equal(after, before);
	assert_int_equal(drain(client), 50);
	pci_irqs_destroy(irqs);
	close(after);
	close(client);
}

static void
bad_ranges_and_descriptors_take_nothing(void **state)
{
	struct pci_irqs *irqs = irqs_new(NULL, NULL);
	int client = client_fd(), pipes[2];

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(pci_irqs_set_msix(irqs, VECTORS, 1, &client), -EINVAL);
	assert_int_equal(pci_irqs_set_msix(irqs, 1, VECTORS, NULL), -EINVAL);
	assert_int_equal(pci_irqs_set_msix(irqs, 1, UINT32_MAX, NULL), -EINVAL);
	assert_int_equal(pci_irqs_set_msix(irqs, 0, 2, (int[]){client, pipes[1]}), -EINVAL);
	assert_int_equal(pci_irqs_set_intx(irqs, pipes[1]), -EINVAL);
	assert_int_equal(pci_irqs_set_intx(irqs, 9999), -EINVAL);
	pci_irq_msix(irqs, 0);
	assert_int_equal(drain(client), 0);
	assert_int_equal(pci_irqs_set_msix(irqs, VECTORS, 0, NULL), 0);
	assert_int_equal(pci_irqs_create(PCI_MSIX_MAX + 1, NULL, NULL, &irqs), -EINVAL);
	pci_irqs_destroy(irqs);
	close(client);
	close(pipes[0]);
	close(pipes[1]);
}

static void
remember_retired(void *ctx, int fd)
{
	*(int *)ctx = fd;
}

static void
replaced_eventfd_is_retired_not_closed(void **state)
{
	int retired = -1, client = client_fd(), first = dup(client), second = dup(client);
	struct pci_irqs *irqs = irqs_new(remember_retired, &retired);

	pci_irqs_set_msix(irqs, 0, 1, &first);
	assert_int_equal(retired, -1);
	pci_irqs_set_msix(irqs, 0, 1, &second);
	assert_int_equal(retired, first);
	assert_true(fcntl(first, F_GETFD) >= 0);
	pci_irqs_set_msix(irqs, 0, 1, NULL);
	assert_int_equal(retired, second);
	pci_irqs_destroy(irqs);
	close(first);
	close(second);
	close(client);
}

/* ---- INTx ---- */

static struct pci_irqs *
intx_new(int *client)
{
	struct pci_irqs *irqs = irqs_new(NULL, NULL);

	*client = client_fd();
	assert_int_equal(pci_irqs_set_intx(irqs, dup(*client)), 0);
	return irqs;
}

static void
intx_signals_on_assertion_only(void **state)
{
	int client;
	struct pci_irqs *irqs = intx_new(&client);

	pci_irq_intx(irqs, false);
	assert_int_equal(drain(client), 0);
	pci_irq_intx(irqs, true);
	pci_irq_intx(irqs, true);
	assert_int_equal(drain(client), 1);
	pci_irq_intx(irqs, false);
	assert_int_equal(drain(client), 0);
	pci_irq_intx(irqs, true);
	assert_int_equal(drain(client), 1);
	pci_irqs_destroy(irqs);
	close(client);
}

static void
unmask_signals_again_while_the_line_is_asserted(void **state)
{
	int client;
	struct pci_irqs *irqs = intx_new(&client);

	pci_irq_intx(irqs, true);
	drain(client);
	pci_irqs_intx_unmask(irqs);
	assert_int_equal(drain(client), 1);
	pci_irq_intx(irqs, false);
	pci_irqs_intx_unmask(irqs);
	assert_int_equal(drain(client), 0);
	pci_irqs_destroy(irqs);
	close(client);
}

static void
masked_line_signals_when_it_is_unmasked(void **state)
{
	int client;
	struct pci_irqs *irqs = intx_new(&client);

	pci_irqs_intx_mask(irqs);
	pci_irq_intx(irqs, true);
	assert_int_equal(drain(client), 0);
	pci_irqs_intx_unmask(irqs);
	assert_int_equal(drain(client), 1);
	pci_irqs_destroy(irqs);
	close(client);
}

static void
mask_goes_with_the_eventfd(void **state)
{
	int client;
	struct pci_irqs *irqs = intx_new(&client);

	pci_irqs_intx_mask(irqs);
	pci_irqs_clear(irqs);
	pci_irqs_set_intx(irqs, dup(client));
	pci_irq_intx(irqs, true);
	assert_int_equal(drain(client), 1);
	pci_irqs_destroy(irqs);
	close(client);
}

static void
loopback_signals_whatever_the_line_says(void **state)
{
	int client;
	struct pci_irqs *irqs = intx_new(&client);

	pci_irqs_intx_trigger(irqs);
	assert_int_equal(drain(client), 1);
	pci_irqs_intx_mask(irqs);
	pci_irqs_intx_trigger(irqs);
	assert_int_equal(drain(client), 1);
	pci_irqs_set_intx(irqs, -1);
	pci_irqs_intx_trigger(irqs);
	assert_int_equal(drain(client), 0);
	pci_irqs_destroy(irqs);
	close(client);
}

static void
asserted_line_signals_an_eventfd_attached_later(void **state)
{
	struct pci_irqs *irqs = irqs_new(NULL, NULL);
	int client = client_fd();

	pci_irq_intx(irqs, true);
	pci_irqs_set_intx(irqs, dup(client));
	assert_int_equal(drain(client), 1);
	pci_irqs_destroy(irqs);
	close(client);
}

/* ---- with a function ---- */

static const struct pci_fn_params fn_params = {
	.bar = {[0] = {.size = 0x2000}},
	.msix_vectors = VECTORS,
	.intx = true,
};

static struct pci_fn *
fn_with_irqs(struct pci_fn_state *st, struct pci_irqs *irqs)
{
	struct pci_fn *fn = NULL;

	assert_int_equal(pci_fn_create(st, &fn_params, true, &fn), 0);
	pci_fn_set_irqs(fn, irqs);
	return fn;
}

static uint16_t
status_reg(const struct pci_fn *fn)
{
	uint16_t v = 0;

	pci_fn_cfg_read(fn, PCI_STATUS, &v, 2);
	return v;
}

static void
status_register_shows_the_line_even_when_intx_is_disabled(void **state)
{
	struct pci_fn_state *st = calloc(1, sizeof(*st));
	int client;
	struct pci_irqs *irqs = intx_new(&client);
	struct pci_fn *fn = fn_with_irqs(st, irqs);
	uint16_t off = PCI_COMMAND_INTX_DISABLE, on = 0;

	pci_fn_cfg_write(fn, PCI_COMMAND, &off, 2);
	pci_irq_intx(irqs, true);
	assert_true(status_reg(fn) & PCI_STATUS_INTERRUPT);
	assert_int_equal(drain(client), 0);
	pci_fn_cfg_write(fn, PCI_COMMAND, &on, 2);
	assert_int_equal(drain(client), 1);
	pci_fn_reset(fn, true);
	assert_false(status_reg(fn) & PCI_STATUS_INTERRUPT);
	pci_fn_destroy(fn);
	pci_irqs_destroy(irqs);
	close(client);
	free(st);
}

static void
restarted_process_finds_the_line_asserted_and_intx_disabled(void **state)
{
	struct pci_fn_state *st = calloc(1, sizeof(*st));
	int client;
	struct pci_irqs *irqs = irqs_new(NULL, NULL);
	struct pci_fn *fn = fn_with_irqs(st, irqs);
	uint16_t off = PCI_COMMAND_INTX_DISABLE, on = 0;

	pci_fn_cfg_write(fn, PCI_COMMAND, &off, 2);
	pci_irq_intx(irqs, true);
	pci_fn_destroy(fn);
	pci_irqs_destroy(irqs);

	irqs = irqs_new(NULL, NULL);
	assert_int_equal(pci_fn_create(st, &fn_params, false, &fn), 0);
	pci_fn_set_irqs(fn, irqs);
	client = client_fd();
	pci_irqs_set_intx(irqs, dup(client));
	assert_int_equal(drain(client), 0);
	pci_fn_cfg_write(fn, PCI_COMMAND, &on, 2);
	assert_int_equal(drain(client), 1);
	pci_fn_destroy(fn);
	pci_irqs_destroy(irqs);
	close(client);
	free(st);
}

/* Another process takes up the state. */
static struct pci_fn *
fn_restart(struct pci_fn *fn, struct pci_fn_state *st, struct pci_irqs **irqs)
{
	pci_fn_destroy(fn);
	pci_irqs_destroy(*irqs);
	*irqs = irqs_new(NULL, NULL);
	assert_int_equal(pci_fn_create(st, &fn_params, false, &fn), 0);
	pci_fn_set_irqs(fn, *irqs);
	return fn;
}

static void
adopted_eventfds_get_what_is_pending_when_asked_for(void **state)
{
	struct pci_fn_state *st = calloc(1, sizeof(*st));
	struct pci_irqs *irqs = irqs_new(NULL, NULL);
	struct pci_fn *fn = fn_with_irqs(st, irqs);
	int client = client_fd(), line = client_fd();

	pci_irq_msix(irqs, 1);
	pci_irq_intx(irqs, true);
	fn = fn_restart(fn, st, &irqs);
	assert_true(pci_irqs_msix_pending(irqs, 1));
	assert_int_equal(pci_irqs_adopt_msix(irqs, 1, dup(client)), 0);
	assert_int_equal(pci_irqs_adopt_intx(irqs, dup(line)), 0);
	assert_int_equal(drain(client) + drain(line), 0);
	pci_irqs_resignal(irqs);
	assert_int_equal(drain(client), 1);
	assert_int_equal(drain(line), 1);
	pci_irqs_resignal(irqs);
	assert_int_equal(drain(client), 0);
	pci_fn_destroy(fn);
	pci_irqs_destroy(irqs);
	close(client);
	close(line);
	free(st);
}

static void
mask_of_the_client_outlives_the_process(void **state)
{
	struct pci_fn_state *st = calloc(1, sizeof(*st));
	struct pci_irqs *irqs = irqs_new(NULL, NULL);
	struct pci_fn *fn = fn_with_irqs(st, irqs);
	int line = client_fd();

	pci_irqs_intx_mask(irqs);
	pci_irq_intx(irqs, true);
	fn = fn_restart(fn, st, &irqs);
	pci_irqs_adopt_intx(irqs, dup(line));
	pci_irqs_resignal(irqs);
	assert_int_equal(drain(line), 0);
	pci_irqs_intx_unmask(irqs);
	assert_int_equal(drain(line), 1);
	pci_fn_destroy(fn);
	pci_irqs_destroy(irqs);
	close(line);
	free(st);
}

static void
pending_bit_array_shows_vectors_that_wait(void **state)
{
	struct pci_fn_state *st = calloc(1, sizeof(*st));
	struct pci_irqs *irqs = irqs_new(NULL, NULL);
	struct pci_fn *fn = fn_with_irqs(st, irqs);
	int client = client_fd();
	uint64_t pba = 0;

	pci_irq_msix(irqs, 1);
	pci_irq_msix(irqs, 3);
	pci_fn_msix_bar_read(fn, pci_msix_pba_offset(VECTORS), &pba, 8);
	assert_int_equal(pba, 0xa);
	attach_msix(irqs, 1, client);
	pci_fn_msix_bar_read(fn, pci_msix_pba_offset(VECTORS), &pba, 8);
	assert_int_equal(pba, 0x8);
	pci_fn_destroy(fn);
	pci_irqs_destroy(irqs);
	close(client);
	free(st);
}

/* ---- races ---- */

#define RACE_ROUNDS 3000u

struct race {
	struct pci_irqs *irqs;
	bool intx;
	pthread_barrier_t start, end;
	int retired;
};

static void *
race_raise(void *arg)
{
	struct race *r = arg;

	for (unsigned int i = 0; i < RACE_ROUNDS; i++) {
		pthread_barrier_wait(&r->start);
		if (r->intx)
			pci_irq_intx(r->irqs, true);
		else
			pci_irq_msix(r->irqs, 0);
		pthread_barrier_wait(&r->end);
	}
	return NULL;
}

static void
race_attach(struct race *r, int client)
{
	int fd = client >= 0 ? dup(client) : -1;

	if (r->intx)
		assert_int_equal(pci_irqs_set_intx(r->irqs, fd), 0);
	else
		assert_int_equal(pci_irqs_set_msix(r->irqs, 0, 1, &fd), 0);
}

/*
 * One raise against one replacement: it must be seen in the old eventfd by the time that the
 * replacement is answered, or in the new one. The descriptor retired is closed when the raiser has
 * passed, as the grace period has it.
 */
static uint64_t
race_round(struct race *r, const int client[2], bool detach_first)
{
	uint64_t seen;

	race_attach(r, client[0]);
	drain(client[0]);
	drain(client[1]);
	pthread_barrier_wait(&r->start);
	race_attach(r, detach_first ? -1 : client[1]);
	seen = drain(client[0]);
	pthread_barrier_wait(&r->end);
	if (detach_first)
		race_attach(r, client[1]);
	seen += drain(client[1]);
	if (r->intx)
		pci_irq_intx(r->irqs, false);
	return seen;
}

static void
race_retire(void *ctx, int fd)
{
	struct race *r = ctx;

	/*
	 * At most one of a round can be in the raiser's hands: the one before it is long out of
	 * them.
	 */
	if (r->retired >= 0)
		close(r->retired);
	r->retired = fd;
}

static void
race_run(bool intx)
{
	struct race r = {.intx = intx, .retired = -1};
	const int client[2] = {client_fd(), client_fd()};
	pthread_t thread;
	unsigned int lost = 0;

	r.irqs = irqs_new(race_retire, &r);
	pthread_barrier_init(&r.start, NULL, 2);
	pthread_barrier_init(&r.end, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, race_raise, &r), 0);
	for (unsigned int i = 0; i < RACE_ROUNDS; i++)
		lost += race_round(&r, client, i % 2 != 0) == 0;
	pthread_join(thread, NULL);
	pci_irqs_destroy(r.irqs);
	if (r.retired >= 0)
		close(r.retired);
	pthread_barrier_destroy(&r.start);
	pthread_barrier_destroy(&r.end);
	close(client[0]);
	close(client[1]);
	assert_int_equal(lost, 0);
}

static void
no_vector_is_lost_while_its_eventfd_is_replaced(void **state)
{
	race_run(false);
}

static void
no_intx_is_lost_while_its_eventfd_is_replaced(void **state)
{
	race_run(true);
}

static int
test_pci_irq(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(raised_vector_signals_its_own_eventfd),
		cmocka_unit_test(unknown_vectors_do_nothing),
		cmocka_unit_test(vector_raised_without_eventfd_fires_once_when_one_is_attached),
		cmocka_unit_test(clear_detaches_everything_and_forgets_what_is_pending),
		cmocka_unit_test(full_counter_counts_as_delivered_and_never_blocks),
		cmocka_unit_test(counter_made_blocking_and_full_by_the_client_stops_nobody),
		cmocka_unit_test(every_one_of_many_signals_arrives),
		cmocka_unit_test(threads_come_and_go_leaving_nothing_behind),
		cmocka_unit_test(bad_ranges_and_descriptors_take_nothing),
		cmocka_unit_test(replaced_eventfd_is_retired_not_closed),
		cmocka_unit_test(intx_signals_on_assertion_only),
		cmocka_unit_test(unmask_signals_again_while_the_line_is_asserted),
		cmocka_unit_test(masked_line_signals_when_it_is_unmasked),
		cmocka_unit_test(mask_goes_with_the_eventfd),
		cmocka_unit_test(loopback_signals_whatever_the_line_says),
		cmocka_unit_test(asserted_line_signals_an_eventfd_attached_later),
		cmocka_unit_test(status_register_shows_the_line_even_when_intx_is_disabled),
		cmocka_unit_test(restarted_process_finds_the_line_asserted_and_intx_disabled),
		cmocka_unit_test(adopted_eventfds_get_what_is_pending_when_asked_for),
		cmocka_unit_test(mask_of_the_client_outlives_the_process),
		cmocka_unit_test(pending_bit_array_shows_vectors_that_wait),
		cmocka_unit_test(no_vector_is_lost_while_its_eventfd_is_replaced),
		cmocka_unit_test(no_intx_is_lost_while_its_eventfd_is_replaced),
	};

	return cmocka_run_group_tests_name("pci_irq", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(pci_irq, test_pci_irq)
