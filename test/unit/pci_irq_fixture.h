/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_PCI_IRQ_FIXTURE_H
#define TEST_PCI_IRQ_FIXTURE_H

/* Interrupts without a function, and the client's end of their eventfds. */

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pci/pci.h"
#include "test.h"

#define VECTORS 4u
#define STUCK_S 20 /* SIGALRM ends a test that has blocked */

/* No test uses all of it. */
#define UNUSED __attribute__((unused))

UNUSED static struct pci_irqs *
irqs_new(pci_irq_retire_t retire, void *ctx)
{
	struct pci_irqs *irqs = NULL;

	assert_int_equal(pci_irqs_create(VECTORS, retire, ctx, &irqs), 0);
	return irqs;
}

/* The client's end of an eventfd; ours is a duplicate, as it would be after crossing a socket. */
UNUSED static int
client_fd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

UNUSED static int
attach_msix(struct pci_irqs *irqs, unsigned int vector, int client)
{
	int fd = dup(client);

	return pci_irqs_set_msix(irqs, vector, 1, &fd);
}

UNUSED static uint64_t
drain(int client)
{
	uint64_t n = 0;

	return read(client, &n, sizeof(n)) == (ssize_t)sizeof(n) ? n : 0;
}

/* What a hostile client does: the flag is the open file's, which is its own as well. */
UNUSED static void
make_full_and_blocking(int client)
{
	uint64_t full = UINT64_MAX - 1;

	assert_int_equal(fcntl(client, F_SETFL, fcntl(client, F_GETFL) & ~O_NONBLOCK), 0);
	assert_int_equal(write(client, &full, sizeof(full)), sizeof(full));
}

#endif /* TEST_PCI_IRQ_FIXTURE_H */
