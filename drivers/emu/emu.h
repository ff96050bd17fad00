/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef DRIVERS_EMU_EMU_H
#define DRIVERS_EMU_EMU_H

/**
 * @file
 * Emulation transport: how a function reaches a host.
 *
 * A driver registers a struct emu_ops under a name with EMU_DRIVER_REGISTER() and is known nowhere
 * else. It shows a struct virtio_dev (lib/virtio) to whoever connects to a socket, and asks its
 * owner through struct emu_upcalls for what concerns memory and workers. Control lcore only, but
 * for the two interrupt functions.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "pci/pci.h"
#include "registry.h"
#include "state/mailbox.h"
#include "virtio/virtio.h"

struct event_base;
struct emu_ops;

/** Head of every driver's own structure. */
struct emu {
	const struct emu_ops *ops;
};

/** What the owner does for the transport. */
struct emu_upcalls {
	/** The client maps memory. The descriptor stays the caller's. @return 0; -errno */
	int (*mem_map)(void *ctx, uint64_t iova, uint64_t len, int fd, off_t off, int prot);
	/** The client unmaps memory. @return 0; -errno; -EINPROGRESS: emu_ops.op_done() follows */
	int (*mem_unmap)(void *ctx, uint64_t iova, uint64_t len, bool all);
	/** The function may (not) do DMA from now on. @return 0; -EINPROGRESS: emu_ops.op_done()
	 * follows */
	int (*dma_enable)(void *ctx, bool on);
	void (*connected)(void *ctx);
	/** Client gone: reset, forget its memory. @return 0; -EINPROGRESS: emu_ops.op_done()
	 * follows */
	int (*disconnected)(void *ctx);
	/** Close a descriptor once no worker can be writing to it. */
	void (*retire_fd)(void *ctx, int fd);
};

struct emu_params {
	const char *socket; /**< path to listen on */
	mode_t mode;	    /**< of the socket */
	struct event_base *base;
	struct pci_fn_state *pci;
	struct mailbox *mailbox;
	bool fresh; /**< false: take up pci and mailbox as they are */
	struct virtio_dev *vdev;
	uint16_t msix_vectors; /**< 0: INTx only */
	uint64_t serial;
	/** Hand on client memory on any file system; closing it may then block (platform.any_file).
	 */
	bool any_file;
	const struct emu_upcalls *up;
	void *ctx;
};

struct emu_ops {
	const char *name;
	/** @return 0; -EADDRINUSE if somebody listens on the socket; -ENAMETOOLONG; -errno */
	int (*create)(const struct emu_params *params, struct emu **out);
	/** Disconnects and removes the socket. No worker may use the function any more; no upcall
	 * follows. */
	void (*destroy)(struct emu *emu);
	/** Finish the upcall or virtio operation that answered -EINPROGRESS. */
	void (*op_done)(struct emu *emu, int err);
	/** Descriptor to be written when the driver kicks a queue, -1 for none. Stays the caller's.
	 */
	void (*set_kick)(struct emu *emu, uint16_t queue, int fd);
	bool (*connected)(const struct emu *emu);
	bool (*msix_enabled)(const struct emu *emu);
	/** Any thread. */
	void (*irq_msix)(struct emu *emu, uint16_t vector);
	void (*irq_intx)(struct emu *emu, bool level);
};

void emu_driver_register(struct driver *driver);
/** NULL if there is no driver of that name. */
const struct emu_ops *emu_driver_find(const char *name);
/** Names of all drivers, comma separated, for messages. */
void emu_driver_names(char *buf, size_t len);

#define EMU_DRIVER_REGISTER(id, table) DRIVER_REGISTER(emu, id, table, emu_driver_register)

#endif /* DRIVERS_EMU_EMU_H */
