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
 *
 * Two kinds of transports: those whose driver is a PCI function that the controller emulates
 * (emu_ops.pci), and those whose hypervisor has the function's registers, and hands out rings,
 * eventfds and memory by messages. What only the latter need is NULL in the former's struct
 * emu_ops.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "pci/pci.h"
#include "registry.h"
#include "state/mailbox.h"
#include "virtio/virtio.h"
#include "vmm.h"

struct event_base;
struct emu_ops;
struct emu_door;
struct sock_closer;
struct vring_log;

/** Doorbells of a function: a range of one of its regions. */
struct emu_notify {
	uint32_t region;
	uint32_t multiplier; /**< bytes between doorbells; 0: one for all, its value is the queue */
	uint64_t offset;
	uint64_t size; /**< bytes; 0: none */
};

/**
 * The door: whoever owns the function's host-facing socket. It frames messages into the mailbox and
 * sends what is left there as a reply. Either in this process (emu_ops.door_create()), or in the
 * keeper (app/virtnet/keeper_door.c). What happens at the door is told by emu_ops.request() and so
 * on, never from within one of these functions but for opened().
 */
struct emu_door_ops {
	/**
	 * Listen. `opened` is called exactly once, from within or later.
	 * err: 0; -EADDRINUSE if somebody listens there; -ENAMETOOLONG; -errno
	 */
	void (*open)(struct emu_door *door, void (*opened)(void *ctx, int err), void *ctx);
	/** End the connection, stop listening, free the door. No event follows. */
	void (*close)(struct emu_door *door);
	/** The mailbox holds a reply, or a request that has been ended without one. */
	void (*reply)(struct emu_door *door);
	/** emu_ops.disconnected() has been dealt with: let the next client in. */
	void (*gone_done)(struct emu_door *door);
	/** End the connection, if there is one: emu_ops.disconnected() follows, later. */
	void (*disconnect)(struct emu_door *door);
	void (*set_notify)(struct emu_door *door, const struct emu_notify *notify);
	/**
	 * Eventfd that a queue's doorbell signals, -1: none. Stays the caller's. (Of a client that
	 * has brought it: to be kept for a successor.)
	 */
	void (*set_kick)(struct emu_door *door, uint16_t queue, int fd);
	bool (*connected)(const struct emu_door *door);
};

/** Head of every door's own structure. */
struct emu_door {
	const struct emu_door_ops *ops;
	/**
	 * For all that the client sends and that is neither memory nor an eventfd: closing it may
	 * take as long as the client likes. No client's message is handed on while it is full.
	 */
	struct sock_closer *closer;
};

struct emu_door_params {
	const char *socket; /**< path to listen on, or to connect to */
	mode_t mode;	    /**< of the socket */
	struct event_base *base;
	struct mailbox *mailbox;
	uint16_t max_queues;
	/** Hand on client memory on any file system; closing it may then block (platform.any_file).
	 */
	bool any_file;
};

/** Descriptors of the client that must outlive this process, by what they are for. */
enum emu_keep {
	EMU_KEEP_MSIX, /**< index: vector */
	EMU_KEEP_INTX, /**< index 0 */
	EMU_KEEP_KICK, /**< index: virtqueue; the client's own, kept by emu_door_ops.set_kick() */
	EMU_KEEP_TRANSPORT, /**< index: the driver's own, below EMU_KEEP_TRANSPORT_MAX */
};

#define EMU_KEEP_TRANSPORT_MAX 512u

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
	/**
	 * The two as edits, without effect before mem_commit(), which takes them all at once: rings
	 * see the former memory or the new one. Adding what the request that stands has added
	 * already is success, and so is removing what is not there.
	 */
	int (*mem_add)(void *ctx, uint64_t iova, uint64_t len, int fd, off_t off, int prot);
	int (*mem_remove)(void *ctx, uint64_t iova, uint64_t len);
	/** @return 0: nobody uses what was removed; -errno; -EINPROGRESS: emu_ops.op_done() follows
	 */
	int (*mem_commit)(void *ctx);
	/**
	 * A part of a file of the client's that is not the device's memory but is written by
	 * workers, too: counted, and watched for being cut, as memory is. The descriptor stays the
	 * caller's. @return 0; -errno
	 */
	int (*area_map)(void *ctx, uint64_t len, int fd, off_t off, uint8_t **va);
	/** No worker uses it any more. It may have gone with the client's memory before. */
	void (*area_end)(void *ctx, uint8_t *va);
	/** The function may (not) do DMA from now on. @return 0; -EINPROGRESS: emu_ops.op_done()
	 * follows */
	int (*dma_enable)(void *ctx, bool on);
	void (*connected)(void *ctx);
	/** Client gone: reset, forget its memory. @return 0; -EINPROGRESS: emu_ops.op_done()
	 * follows */
	int (*disconnected)(void *ctx);
	/** Position of a queue that does not run, as vring_base() has it. */
	uint32_t (*queue_base)(void *ctx, uint16_t queue);
	/** The next start of the queue is from there. */
	void (*queue_set_base)(void *ctx, uint16_t queue, uint32_t base);
	/** emu_ops.pairs() says something else now. */
	void (*pairs_changed)(void *ctx);
	/** emu_ops.kick_fd() of the queue does. */
	void (*kick_changed)(void *ctx, uint16_t queue);
	/** emu_ops.log() does. @return 0: all queues follow it, and no former one; -EINPROGRESS:
	 * emu_ops.op_done() follows */
	int (*log_changed)(void *ctx);
	/** Tell the network where this address is. @return 0; -errno; -EINPROGRESS: as above */
	int (*announce)(void *ctx, const uint8_t mac[6]);
	/** Close a descriptor once no worker can be writing to it. */
	void (*retire_fd)(void *ctx, int fd);
	/**
	 * A descriptor is in use from now on, or (-1) `count` of them are not any more: for whoever
	 * must be able to hand them to a successor. Called before the request that brought it is
	 * answered. fd stays the caller's.
	 */
	void (*keep)(void *ctx, enum emu_keep kind, unsigned int index, unsigned int count, int fd);
};

struct emu_params {
	struct emu_door *door; /**< the owner's; not open yet, or (fresh == false) perhaps open */
	struct pci_fn_state *pci; /**< of a driver with emu_ops.pci */
	void *transport; /**< EMU_TRANSPORT_STATE bytes for what a driver without it must know */
	struct mailbox *mailbox;
	bool fresh; /**< false: take up pci or transport, and mailbox, as they are */
	struct virtio_dev *vdev;
	uint16_t msix_vectors; /**< 0: INTx only */
	uint64_t serial;
	const struct emu_upcalls *up;
	void *ctx;
};

struct emu_ops {
	const char *name;
	/** The function is emulated here: it has a configuration space, in struct pci_fn_state. */
	bool pci;
	/**
	 * A door in this process, for a function that emu_create() makes next.
	 *
	 * @param emu  where the function will be found when something happens at the door; NULL
	 *         there: too early or too late, the event is dropped
	 */
	int (*door_create)(
		const struct emu_door_params *params, struct emu **emu, struct emu_door **out);
	/** The function behind the door. Sets the door's doorbells. @return 0; -errno */
	int (*create)(const struct emu_params *params, struct emu **out);
	/**
	 * No worker may use the function any more; no upcall follows. State block and door stay as
	 * they are: a request that stands is still to be handled, by a successor or by nobody.
	 */
	void (*destroy)(struct emu *emu);
	/**
	 * Something happened at the door.
	 * @param fds  of the request, MAILBOX_FDS_MAX entries (-1: none); those that are wanted are
	 *         taken by writing -1, the caller closes the others
	 */
	void (*request)(struct emu *emu, int *fds);
	void (*connected)(struct emu *emu);
	/** Ends with emu_door_ops.gone_done(). */
	void (*disconnected)(struct emu *emu);
	/**
	 * Refuse the request that stands without looking at it (it crashed a predecessor).
	 */
	void (*refuse)(struct emu *emu);
	/** Take up a descriptor that a predecessor had kept (emu_upcalls.keep()); fd is taken. */
	int (*adopt_fd)(struct emu *emu, enum emu_keep kind, unsigned int index, int fd);
	/**
	 * Everything has been taken up: make good what may have been lost between a predecessor's
	 * last stores and its signals (interrupts are raised once too often rather than not). After
	 * the owner can be reached by the function's virtio operations, before a request that
	 * stands is handled.
	 */
	void (*adopted)(struct emu *emu);
	/** A request or disconnect is being carried out (-EINPROGRESS). */
	bool (*busy)(const struct emu *emu);
	/** Finish the upcall or virtio operation that answered -EINPROGRESS. */
	void (*op_done)(struct emu *emu, int err);
	/** Descriptor to be written when the driver kicks a queue, -1 for none. Stays the caller's.
	 * Not used if there is a kick_fd(). */
	void (*set_kick)(struct emu *emu, uint16_t queue, int fd);
	/**
	 * Of a client that brings them: the eventfd that says that the driver has kicked the queue,
	 * -1: there is none, the queue must be polled. Stays the driver's. NULL: the owner makes
	 * them.
	 */
	int (*kick_fd)(const struct emu *emu, uint16_t queue);
	/** Queue pairs that are in use, > 0. NULL: the control virtqueue says so, beginning with
	 * one. */
	uint16_t (*pairs)(const struct emu *emu);
	/**
	 * The dirty log that a queue is to write, NULL: none; stays valid until
	 * emu_upcalls.log_changed() is done. NULL: there never is one.
	 *
	 * @param used  guest address under which the device area is to be logged
	 */
	const struct vring_log *(*log)(const struct emu *emu, uint16_t queue, uint64_t *used);
	bool (*is_connected)(const struct emu *emu);
	/** What whoever plugs the function into a VM must know of it; all of *out is filled. */
	void (*describe)(const struct emu *emu, struct vmm_function *out);
	/** The function may do DMA (bus mastering), for an adopted one: no upcall tells. */
	bool (*dma_enabled)(const struct emu *emu);
	bool (*msix_enabled)(const struct emu *emu);
	/** Any thread. */
	void (*irq_msix)(struct emu *emu, uint16_t vector);
	void (*irq_intx)(struct emu *emu, bool level);
};

/** Room for a transport's own state, in a section of the state block. */
#define EMU_TRANSPORT_VERSION 1
#define EMU_TRANSPORT_STATE   (48u * 1024u)

void emu_driver_register(struct driver *driver);
/** NULL if there is no driver of that name. */
const struct emu_ops *emu_driver_find(const char *name);
/** Names of all drivers, comma separated, for messages. */
void emu_driver_names(char *buf, size_t len);

#define EMU_DRIVER_REGISTER(id, table) DRIVER_REGISTER(emu, id, table, emu_driver_register)

#endif /* DRIVERS_EMU_EMU_H */
