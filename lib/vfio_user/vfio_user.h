/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VFIO_USER_H
#define VFIO_USER_H

/**
 * @file
 * vfio-user: a PCI device for another process, over a UNIX socket.
 *
 * Three parts that know nothing of each other's insides:
 *
 * - the **front** owns a device's listening socket and its one connection. It frames messages,
 *   attributes descriptors, sends replies and turns doorbell writes into eventfd signals. No device
 *   logic.
 * - the **device side** takes a request from the mailbox, checks it, calls the device's operations
 *   and leaves the reply in the mailbox. No sockets.
 * - the **client** is the other end of the wire: for tests, benchmarks and programs that use a
 *   device.
 *
 * Front and device side meet in a struct mailbox only, so they may live in two processes. A
 * request's way: front stores REQUEST -> ops.request() -> owner calls vfio_user_device_handle() ->
 * device side stores REPLY -> owner calls sock_front_reply() -> front sends it, stores EMPTY
 * and reads on. While a request stands, the front reads nothing: commands are carried out in the
 * order in which they were sent, doorbell writes included (a kick behind a slow DMA_MAP must not
 * reach a worker that cannot see the memory yet).
 *
 * Nothing here blocks except the client's synchronous helpers. Each object belongs to one thread:
 * the one that runs its event base. The header needs libevent and jansson, not DPDK.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "sock/front.h"
#include "state/mailbox.h"
#include "vfio_user/protocol.h"

struct event_base;

/* ---- Front */

/** Doorbell range of the device: virtio's notification structure. */
struct vfio_user_notify {
	uint32_t region;
	uint32_t multiplier; /**< bytes between doorbells; 0: one for all, its value is the queue */
	uint64_t offset;
	uint64_t size; /**< bytes; 0: no range */
};

/** For vfio_user_front_set_kick(): writes to this doorbell go to the device side as any other. */
#define VFIO_USER_KICK_FORWARD (-2)

/**
 * Listen at a path. A socket file that nobody listens on any more is replaced. The rest is in
 * sock/front.h.
 *
 * Without conf.any_fd a message with a descriptor that is neither memory nor an eventfd is refused
 * (DMA_MAP: -EACCES, others: -EINVAL). conf.connect must be false.
 *
 * @return 0; -EADDRINUSE if a process listens there; -EEXIST if the path is something else than a
 *         socket; -ENAMETOOLONG; -EINVAL; -ENOMEM; -errno of socket(), bind(), chmod(), chown() or
 *         listen()
 */
int vfio_user_front_create(const struct sock_front_conf *conf, struct sock_front **out);

/**
 * Doorbell range: aligned REGION_WRITEs of 2 or 4 bytes in it are answered by the front and never
 * touch the mailbox. Other accesses to the range go to the device side. NULL ends that.
 */
void vfio_user_front_set_notify(struct sock_front *front, const struct vfio_user_notify *notify);

/**
 * Eventfd that a queue's doorbell signals.
 *
 * @param fd  stays the caller's and open until replaced; -1: the kick is counted as spurious and
 *         dropped; VFIO_USER_KICK_FORWARD
 * @return 0; -EINVAL if queue >= max_queues
 */
int vfio_user_front_set_kick(struct sock_front *front, unsigned int queue, int fd);

struct vfio_user_kick_stats {
	uint64_t kicks;
	uint64_t spurious; /**< for queues that do not exist or have no eventfd */
};

struct vfio_user_kick_stats vfio_user_front_kick_stats(const struct sock_front *front);

/* ---- Device side */

struct vfio_user_device;

enum vfio_user_irq_action {
	VFIO_USER_IRQ_MASK,
	VFIO_USER_IRQ_UNMASK,
	VFIO_USER_IRQ_TRIGGER,
};

enum vfio_user_irq_data {
	VFIO_USER_IRQ_NONE,    /**< act on each interrupt of the range */
	VFIO_USER_IRQ_BOOL,    /**< act on those whose byte in bools is not 0 */
	VFIO_USER_IRQ_EVENTFD, /**< set the eventfds of the range to fds, or to none */
};

/** Checked: start + count lies within the index's count, which allows the action and data. */
struct vfio_user_irq_set {
	unsigned int index; /**< VFIO_PCI_*_IRQ_INDEX */
	unsigned int start;
	unsigned int count; /**< 0 (with start 0, NONE and TRIGGER): disable the whole index */
	enum vfio_user_irq_action action;
	enum vfio_user_irq_data data;
	const int *fds;	      /**< EVENTFD: count descriptors, or NULL: de-assign the range */
	const uint8_t *bools; /**< BOOL: count bytes */
};

/**
 * The device's operations, called from vfio_user_device_handle(). Arguments have been checked
 * against the protocol and the device's description.
 *
 * Each returns 0, -errno for the reply, or -EINPROGRESS: then it goes on by itself and
 * vfio_user_device_complete() is called when done; buffers stay valid until then. Each must be
 * idempotent: after a crash the successor handles a request again. Descriptors passed belong to the
 * operation, whatever it returns.
 *
 * An operation may be NULL: -ENOTSUP is answered.
 */
struct vfio_user_device_ops {
	/** off + count lies within the region; count is 1..VFIO_USER_XFER_MAX. */
	int (*region_read)(void *ctx, unsigned int region, uint64_t off, void *buf, uint32_t count);
	int (*region_write)(
		void *ctx, unsigned int region, uint64_t off, const void *buf, uint32_t count);
	/**
	 * @param iova, size, offset  multiples of 4096; no sum wraps, size > 0
	 * @param fd    file of the range, to be closed by the operation; -1: range without memory
	 * @param prot  VFIO_USER_DMA_F_READ | VFIO_USER_DMA_F_WRITE, at least one (the values of
	 *         HOSTMEM_READ, _WRITE)
	 * @return -EEXIST if it overlaps a range
	 */
	int (*dma_map)(
		void *ctx, uint64_t iova, uint64_t size, int fd, uint64_t offset, uint32_t prot);
	/**
	 * @param all  every range; iova and size are 0. The reply means that nothing refers to the
	 *         range any more.
	 */
	int (*dma_unmap)(void *ctx, uint64_t iova, uint64_t size, bool all);
	int (*irq_set)(void *ctx, const struct vfio_user_irq_set *set);
	int (*reset)(void *ctx);
	/** The version has been negotiated: a client has attached. May be NULL. */
	void (*attached)(void *ctx);
};

struct vfio_user_device_conf {
	struct {
		uint64_t size;		  /**< 0: the region does not exist */
		uint32_t flags;		  /**< VFIO_USER_REGION_F_ */
	} regions[VFIO_USER_PCI_REGIONS]; /**< by VFIO_PCI_*_REGION_INDEX */
	struct {
		uint32_t count;	    /**< 0: the index does not exist */
		uint32_t flags;	    /**< VFIO_USER_IRQ_F_ */
	} irqs[VFIO_USER_PCI_IRQS]; /**< by VFIO_PCI_*_IRQ_INDEX */
	/**
	 * Announce write_multiple. Messages of that kind are understood in any case; announcing it
	 * makes QEMU merge writes when its queue is long, which delays doorbells.
	 */
	bool offer_write_multi;
	const struct vfio_user_device_ops *ops;
	void *ctx;
	struct mailbox *mailbox; /**< outlives the device side */
};

/** @return 0; -EINVAL; -ENOMEM */
int vfio_user_device_create(
	const struct vfio_user_device_conf *conf, struct vfio_user_device **out);

/**
 * A request that is pending stays in the mailbox, to be handled by a successor. NULL is allowed.
 */
void vfio_user_device_destroy(struct vfio_user_device *dev);

/**
 * Handle the request in the mailbox.
 *
 * @param fds  MAILBOX_FDS_MAX descriptors of the request, -1: none; those that an operation takes
 *         become -1, the others stay the caller's. Not used after the return, even if an operation
 *         is pending.
 * @return true if a reply stands (call sock_front_reply()); false if the mailbox holds no
 *         request or an operation has returned -EINPROGRESS
 */
bool vfio_user_device_handle(struct vfio_user_device *dev, int *fds);

/**
 * The pending operation is done.
 *
 * @param err  0 or -errno
 * @return true if the reply stands now; false if nothing was pending, or if the request consists of
 *         several writes and another one is pending
 */
bool vfio_user_device_complete(struct vfio_user_device *dev, int err);

/** An operation has returned -EINPROGRESS and is not complete. */
bool vfio_user_device_pending(const struct vfio_user_device *dev);

/**
 * The connection is gone: end the request that stands in the mailbox, if any, without an answer.
 * The owner has cancelled a pending operation:
 * vfio_user_device_complete() must not be called for it any more. Afterwards
 * sock_front_reply() empties the mailbox; within ops.disconnected() the front does that by
 * itself. Where the front is another process, its owner lets no message of the next connection
 * through before this has been called.
 *
 * It does not call any operation: dropping the client's DMA ranges and interrupts is the owner's
 * part, and its device state stays.
 */
void vfio_user_device_reset_connection(struct vfio_user_device *dev);

/**
 * Answer the request that stands with an error without looking at it: it crashed whoever handled
 * it. @return true if a reply stands now
 */
bool vfio_user_device_refuse(struct vfio_user_device *dev, int err);

/** A client has negotiated the version on the present connection. */
bool vfio_user_device_attached(const struct vfio_user_device *dev);

/* ---- Client */

struct vfio_user_client;

/** What the server announced, or the protocol's defaults. */
struct vfio_user_caps {
	uint32_t max_msg_fds;
	uint32_t max_data_xfer_size;
	uint32_t max_dma_maps;
	uint64_t pgsizes;
	bool write_multiple;
};

/**
 * A request's end, called from vfio_user_client_process(). New requests may be made from within.
 *
 * @param err   0; -errno of the reply; -ECONNRESET if the connection ended first
 * @param body  of the reply; valid during the call
 * @param fds   of the reply; the callee takes those that it wants by writing -1, the others are
 *         closed
 */
typedef void (*vfio_user_client_done)(
	void *ctx, int err, const void *body, size_t len, int *fds, unsigned int nfds);

/**
 * Requests that may wait for their reply; a client that has more in flight than that is not
 * getting answers.
 */
#define VFIO_USER_CLIENT_PENDING_MAX 256u
/**
 * Bytes that may wait to be sent when the server does not read; requests beyond that get -EAGAIN.
 */
#define VFIO_USER_CLIENT_TX_MAX (256u * 1024u)
/** How long the synchronous helpers wait, as QEMU does. */
#define VFIO_USER_CLIENT_TIMEOUT_MS 5000

/**
 * Connect to a server's socket. Nothing is sent yet. Does not block (-EAGAIN if the server's
 * backlog is full).
 *
 * @return 0; -ENAMETOOLONG; -ENOMEM; -errno of socket() or connect()
 */
int vfio_user_client_connect(const char *path, struct vfio_user_client **out);

/** The same on a connected socket, which becomes the client's (on success). */
int vfio_user_client_adopt(int fd, struct vfio_user_client **out);

/**
 * Close the connection; outstanding requests end with -ECONNRESET. Not from within a callback.
 * NULL is allowed.
 */
void vfio_user_client_destroy(struct vfio_user_client *c);

/**
 * Socket to wait for and the events (POLLIN, POLLOUT) of interest; for owners with a loop of their
 * own.
 */
int vfio_user_client_fd(const struct vfio_user_client *c);
short vfio_user_client_events(const struct vfio_user_client *c);

/**
 * Send what waits, receive what stands, call callbacks. Never blocks; handles a bounded number of
 * messages.
 *
 * @return 0; -ECONNRESET or -EPROTO once the connection has ended
 */
int vfio_user_client_process(struct vfio_user_client *c);

/**
 * Let an event base call vfio_user_client_process().
 *
 * @param closed  called once when the connection has ended; may be NULL
 */
int vfio_user_client_attach(struct vfio_user_client *c, struct event_base *base,
	void (*closed)(void *ctx, int err), void *ctx);

/** Limit of the synchronous helpers; they answer -ETIMEDOUT past it. */
void vfio_user_client_set_timeout(struct vfio_user_client *c, int ms);

/**
 * Send a command. The body and descriptors are copied if they cannot be sent at once; the caller
 * keeps his.
 *
 * @param done  NULL: no reply is asked for (a posted command)
 * @return 0; -EAGAIN past one of the limits; -EINVAL; -ENOMEM; -ECONNRESET
 */
int vfio_user_client_request(struct vfio_user_client *c, uint16_t command, const struct iovec *body,
	int iovcnt, const int *fds, unsigned int nfds, vfio_user_client_done done, void *ctx);

/** A REGION_WRITE without reply. Returns before the server has seen it. */
int vfio_user_client_region_post(
	struct vfio_user_client *c, uint32_t region, uint64_t off, const void *buf, uint32_t count);

/*
 * Synchronous helpers: send, then wait for the reply while other requests' callbacks are served.
 * Return 0 or -errno, that of the server's reply included; -ETIMEDOUT; -EPROTO if the reply has
 * another shape.
 */

/** Send all that waits. */
int vfio_user_client_flush(struct vfio_user_client *c);
/**
 * A command with any body; *len is the room in reply, then the reply's length. reply and len may
 * be NULL.
 */
int vfio_user_client_call(struct vfio_user_client *c, uint16_t command, const struct iovec *body,
	int iovcnt, const int *fds, unsigned int nfds, void *reply, size_t *len);
/** First message of a connection. */
int vfio_user_client_negotiate(struct vfio_user_client *c, struct vfio_user_caps *caps);
int vfio_user_client_get_info(struct vfio_user_client *c, struct vfio_user_device_info *info);
int vfio_user_client_get_region_info(
	struct vfio_user_client *c, uint32_t index, struct vfio_user_region_info *info);
int vfio_user_client_get_irq_info(
	struct vfio_user_client *c, uint32_t index, struct vfio_user_irq_info *info);
int vfio_user_client_region_read(
	struct vfio_user_client *c, uint32_t region, uint64_t off, void *buf, uint32_t count);
int vfio_user_client_region_write(
	struct vfio_user_client *c, uint32_t region, uint64_t off, const void *buf, uint32_t count);
/** @param fd  -1: a range that the server cannot map */
int vfio_user_client_dma_map(struct vfio_user_client *c, uint64_t iova, uint64_t size, int fd,
	uint64_t offset, uint32_t prot);
/** @param all  everything; iova and size are 0 then */
int vfio_user_client_dma_unmap(struct vfio_user_client *c, uint64_t iova, uint64_t size, bool all);
/**
 * @param fds  EVENTFD: count descriptors; NULL: de-assign. flags: VFIO_USER_IRQ_SET_DATA_ |
 *         _ACTION_, not BOOL.
 */
int vfio_user_client_set_irqs(struct vfio_user_client *c, uint32_t index, uint32_t flags,
	uint32_t start, uint32_t count, const int *fds);
int vfio_user_client_reset(struct vfio_user_client *c);

#endif /* VFIO_USER_H */
