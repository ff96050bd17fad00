/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VHOST_USER_H
#define VHOST_USER_H

/**
 * @file
 * vhost-user: the rings of a virtio device for another process, over a UNIX socket.
 *
 * The client (QEMU, DPDK's virtio-user) has the device's registers, its control virtqueue and its
 * interrupts; it hands out memory, rings and eventfds. Three parts that know nothing of each
 * other's insides, as in lib/vfio_user:
 *
 * - the **front** owns the socket and its one connection: listens for clients, or connects to one
 *   that listens (and again whenever that goes away). It frames messages, attributes descriptors
 *   and sends replies. No device logic.
 * - the **device side** takes a request from the mailbox, checks it, calls the device's operations
 *   and leaves the reply in the mailbox. No sockets, but for the channel of its own requests.
 * - the **client** is the other end of the wire: for tests and benchmarks.
 *
 * Front and device side meet in a struct mailbox only, so they may live in two processes. A
 * request's way: front stores REQUEST -> ops.request() -> owner calls vhost_user_device_handle() ->
 * device side stores REPLY -> owner calls sock_front_reply() -> front sends it, if one is
 * wanted, stores EMPTY and reads on. While a request stands, the front reads nothing: messages take
 * effect in the order in which they were sent. A kick is no message here: the client has the
 * eventfd.
 *
 * What the device side knows of the connection stands in a struct vhost_user_state, which outlives
 * the process as the mailbox does: a successor goes on with the same connection. A message may be
 * handled twice, once by a process that died before its reply stood; it has the effect of one.
 *
 * Nothing here blocks except the client's synchronous helpers. Each object belongs to one thread:
 * the one that runs its event base. The header needs libevent, not DPDK.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sock/front.h"
#include "state/mailbox.h"
#include "vhost_user/protocol.h"

struct event_base;

/* ---- Front */

/**
 * Listen at a path, or begin to connect to it (QEMU's server=on, virtio-user's server=1). A socket
 * file that nobody listens on any more is replaced when listening. The rest is in sock/front.h.
 *
 * Without conf.any_fd a message with a descriptor that is neither memory nor an eventfd ends the
 * connection, as malformed ones do. In any case so does a SET_BACKEND_REQ_FD whose descriptor is no
 * connected UNIX stream socket.
 *
 * @return 0; -EADDRINUSE if a process listens there; -EEXIST if the path is something else than a
 *         socket; -ENAMETOOLONG; -EINVAL; -ENOMEM; -errno of socket(), bind(), chmod(), chown() or
 *         listen(). With conf.connect only -EINVAL, -ENAMETOOLONG and -ENOMEM.
 */
int vhost_user_front_create(const struct sock_front_conf *conf, struct sock_front **out);

/* ---- State of a connection */

#define VHOST_USER_STATE_VERSION 1

/** One memory slot. Free: size 0. */
struct vhost_user_slot {
	struct vhost_user_mem_region region;
	uint64_t seq;	   /**< mailbox.seq of the request that added it */
	uint64_t dev, ino; /**< of its file */
};

/* struct vhost_user_ring_state flags */
#define VHOST_USER_RING_ADDR	0x01u /**< SET_VRING_ADDR has come */
#define VHOST_USER_RING_BASE	0x02u /**< SET_VRING_BASE has come */
#define VHOST_USER_RING_KICK	0x04u /**< SET_VRING_KICK has come, with a descriptor or without */
#define VHOST_USER_RING_ENABLED 0x08u
#define VHOST_USER_RING_STARTED 0x10u /**< from ops.ring_start() to ops.ring_stop() */
#define VHOST_USER_RING_PLACED	0x20u /**< ops.ring_set_base() has been told */
#define VHOST_USER_RING_LOG	0x40u /**< VHOST_VRING_F_LOG */

struct vhost_user_ring_state {
	uint64_t user_desc, user_avail, user_used; /**< as the client sent them */
	uint64_t log;	/**< guest address that stands for the used ring */
	uint32_t size;	/**< entries, 0: not set */
	uint32_t base;	/**< as in SET_VRING_BASE, of a ring that is not started */
	uint32_t flags; /**< VHOST_USER_RING_ */
	uint32_t reserved;
};

/** Plain state of a connection, section STATE_SEC_TRANSPORT. All zero: a fresh connection. */
struct vhost_user_state {
	uint64_t features;	    /**< accepted, VHOST_F_LOG_ALL and so on included */
	uint64_t protocol_features; /**< accepted */
	uint64_t log_size;	    /**< 0: no log */
	uint64_t log_offset;
	uint64_t removed_seq; /**< mailbox.seq of the request that removed a slot last */
	uint64_t reserved[3];
	struct vhost_user_slot slot[VHOST_USER_SLOTS_MAX];
	struct vhost_user_ring_state ring[VHOST_USER_RINGS_MAX];
};

/* ---- Device side */

struct vhost_user_device;

/** A ring that can be started: checked, its areas lie each within one region. */
struct vhost_user_ring {
	uint64_t desc;	 /**< guest address */
	uint64_t driver; /**< guest address: available ring, or the driver's event suppression */
	uint64_t device; /**< guest address: used ring, or the device's event suppression */
	uint16_t size;	 /**< entries; a power of two unless RING_PACKED was accepted */
	bool enabled;	 /**< else: it stands still, what it holds waits */
	/**
	 * While logging: writes to the device area are to be logged, as if its first byte were at
	 * log.
	 */
	bool log_used;
	uint64_t log;
};

/** Descriptors of a ring. */
enum vhost_user_ring_fd {
	VHOST_USER_FD_KICK, /**< the client writes, readable when buffers are available */
	VHOST_USER_FD_CALL, /**< to be written when buffers were used */
	VHOST_USER_FD_ERR,  /**< to be written when the ring has failed */
};

/**
 * The device's operations, called from vhost_user_device_handle(). Arguments have been checked
 * against the protocol and what the client has said before; queues are 0 .. 2 * pairs - 1, even
 * ones receive.
 *
 * Unless noted, each returns 0, -errno, or -EINPROGRESS: then it goes on by itself and
 * vhost_user_device_complete() is called when done. Operations noted as immediate must not return
 * -EINPROGRESS. Each must be idempotent: after a crash the successor handles a message again, and
 * the operation may have been carried out, in part or whole. Descriptors passed belong to the
 * operation, whatever it returns.
 *
 * An operation may be NULL where noted.
 */
struct vhost_user_device_ops {
	/**
	 * Features offered now, virtio's bits only. The device side adds PROTOCOL_FEATURES and
	 * LOG_ALL and takes ACCESS_PLATFORM away (it has no IOTLB).
	 */
	uint64_t (*get_features)(void *ctx);
	/**
	 * SET_FEATURES: virtio's bits, a subset of those offered. Never with other ones than before
	 * while a ring is started.
	 */
	int (*set_features)(void *ctx, uint64_t features);

	/**
	 * Memory. The client's table is edited by mem_add() and mem_remove(), both immediate and
	 * without effect on rings until mem_commit(): then all of it takes effect at once (a ring
	 * that is running must not see a table that lacks a region which is only being replaced).
	 * mem_commit() also follows when an edit has failed: what was edited stands.
	 *
	 * A region is known by its slot, 0 .. VHOST_USER_SLOTS_MAX - 1, until it is removed.
	 * region: no sum wraps, size > 0, lies within the file, overlaps no other (guest address).
	 * Guest addresses are what rings and descriptors contain. The client may read and write all
	 * of it, and so may the device. Adding what stands with the same slot and region is
	 * success, so is removing what is not there.
	 */
	int (*mem_add)(
		void *ctx, unsigned int slot, const struct vhost_user_mem_region *region, int fd);
	int (*mem_remove)(void *ctx, unsigned int slot, const struct vhost_user_mem_region *region);
	/** The reply means that nothing refers to removed regions any more. */
	int (*mem_commit)(void *ctx);

	/**
	 * A ring's position, before it is started: as in SET_VRING_BASE (split: index; packed: also
	 * wrap counters and used index), or where a new ring begins. Immediate. Called once per
	 * position, not when a started ring is started again by a successor; not for a ring that
	 * was stopped and goes on where it stopped.
	 */
	int (*ring_set_base)(void *ctx, uint16_t queue, uint32_t base);
	/** Position of a ring that has been stopped. */
	uint32_t (*ring_get_base)(void *ctx, uint16_t queue);
	/**
	 * The ring is complete: size, addresses and SET_VRING_KICK have come. It is to run as soon
	 * as the device does: when the driver has set DRIVER_OK, or at once if the client does not
	 * tell the status (vhost_user_device_status_told()).
	 */
	int (*ring_start)(void *ctx, uint16_t queue, const struct vhost_user_ring *ring);
	/** GET_VRING_BASE: the ring must not be touched any more; ring_get_base() follows. */
	int (*ring_stop)(void *ctx, uint16_t queue);
	/** Of a started ring; the same as vhost_user_ring.enabled. */
	int (*ring_enable)(void *ctx, uint16_t queue, bool on);
	/**
	 * The ring's eventfd, -1: none (polling). Immediate. Comes before ring_start() or at any
	 * time later. A descriptor that was there before is not to be used any more, but may be
	 * closed later, once nobody does.
	 */
	int (*ring_fd)(void *ctx, uint16_t queue, enum vhost_user_ring_fd kind, int fd);

	/**
	 * The dirty log of a live migration: one bit per VHOST_USER_LOG_PAGE of guest memory, from
	 * offset on in a file that is large enough. Immediate. It may replace another one while
	 * logging is on: then it is logged there from the return of logging(true) on, which
	 * follows.
	 */
	int (*log_base)(void *ctx, uint64_t size, uint64_t offset, int fd);
	/**
	 * VHOST_F_LOG_ALL was set or cleared (or log_base() replaced): once it has completed, every
	 * write to guest memory is logged, or none is.
	 */
	int (*logging)(void *ctx, bool on);
	/** The used ring's part in it has changed for a started ring: see vhost_user_ring. */
	int (*ring_log)(void *ctx, uint16_t queue, bool log_used, uint64_t log);

	/**
	 * Device status as virtio defines it; only if the client tells it. Status 0 is a reset: all
	 * rings are stopped when it completes; where they stand does not matter any more, memory
	 * and ring descriptors stay.
	 */
	int (*set_status)(void *ctx, uint8_t status);
	uint8_t (*get_status)(void *ctx);
	/** RESET_DEVICE: as set_status(0). */
	int (*reset)(void *ctx);

	/** Device configuration. off + len <= VHOST_USER_CONFIG_MAX. Immediate. May be NULL. */
	int (*config_read)(void *ctx, uint32_t off, void *buf, uint32_t len);
	/** @param migration  the device has moved here: read-only fields are set, too. Immediate.
	 */
	int (*config_write)(void *ctx, uint32_t off, const void *buf, uint32_t len, bool migration);
	/** Immediate. May be NULL. */
	int (*set_mtu)(void *ctx, uint16_t mtu);
	/** Tell the network where this address is now: the guest has moved here. May be NULL. */
	int (*send_rarp)(void *ctx, const uint8_t mac[6]);
	/**
	 * Socket for requests to the client (vhost_user_backend_config_changed()), in place of a
	 * former one; connected. Immediate. May be NULL. It is the client's, with whatever lies
	 * in its queue: close it with sock_discard_socket() (sock/discard.h).
	 */
	int (*backend_channel)(void *ctx, int fd);
	/** An eventfd to be written when the log has changed. Immediate. May be NULL. */
	int (*log_fd)(void *ctx, int fd);
	/** One line about a message that was not carried out. level as in syslog(3). May be NULL.
	 */
	void (*log)(void *ctx, int level, const char *msg);
};

struct vhost_user_device_conf {
	uint16_t pairs;		 /**< queue pairs: 1 .. VHOST_USER_RINGS_MAX / 2 */
	uint16_t max_queue_size; /**< entries of the largest ring; <= VHOST_USER_RING_SIZE_MAX */
	/** Offered: part of VHOST_USER_PROTOCOL_FEATURES; 0: all of it. */
	uint64_t protocol_features;
	const struct vhost_user_device_ops *ops;
	void *ctx;
	struct mailbox *mailbox;	/**< outlives the device side */
	struct vhost_user_state *state; /**< outlives it, too */
	bool fresh; /**< false: take up the state as a predecessor has left it */
};

/**
 * @return 0; -EINVAL; -EBADMSG if a state that is to be taken up makes no sense (end the
 *         connection, use a fresh one); -ENOMEM
 */
int vhost_user_device_create(
	const struct vhost_user_device_conf *conf, struct vhost_user_device **out);

/**
 * A request that is pending stays in the mailbox, to be handled by a successor. NULL is allowed.
 */
void vhost_user_device_destroy(struct vhost_user_device *dev);

/**
 * Handle the request in the mailbox.
 *
 * @param fds  MAILBOX_FDS_MAX descriptors of the request, -1: none; those that an operation takes
 *         become -1, the others stay the caller's. Not used after the return, even if an operation
 *         is pending.
 * @return true if the request is done (call sock_front_reply(), whether or not a reply is
 *         wanted); false if the mailbox holds no request or an operation has returned -EINPROGRESS
 */
bool vhost_user_device_handle(struct vhost_user_device *dev, int *fds);

/**
 * The pending operation is done.
 *
 * @param err  0 or -errno
 * @return true if the request is done now; false if nothing was pending, or the message's next
 *         operation is pending
 */
bool vhost_user_device_complete(struct vhost_user_device *dev, int err);

/** An operation has returned -EINPROGRESS and is not complete. */
bool vhost_user_device_pending(const struct vhost_user_device *dev);

/**
 * The connection is gone: forget its state, end the request that stands in the mailbox, if any,
 * without an answer. The owner has cancelled a pending operation: vhost_user_device_complete() must
 * not be called for it any more. Afterwards sock_front_reply() empties the mailbox; within
 * ops.disconnected() the front does that by itself. Where the front is another process, its owner
 * lets no message of the next connection through before this has been called.
 *
 * It does not call any operation: stopping rings, dropping memory, descriptors and log is the
 * owner's part.
 */
void vhost_user_device_reset_connection(struct vhost_user_device *dev);

/**
 * Do not look at the request that stands: it crashed whoever handled it. The client is told, or the
 * connection ends, as for any message that is not carried out. @return true if it is done now
 */
bool vhost_user_device_refuse(struct vhost_user_device *dev, int err);

/** The driver's status comes by messages; else a ring that is started means DRIVER_OK. */
bool vhost_user_device_status_told(const struct vhost_user_device *dev);

/**
 * A ring as ops.ring_start() got it, for whoever takes up a predecessor's state.
 *
 * @return true if it is started
 */
bool vhost_user_device_ring(
	const struct vhost_user_device *dev, uint16_t queue, struct vhost_user_ring *ring);

/** VHOST_F_LOG_ALL is set. */
bool vhost_user_device_logging(const struct vhost_user_device *dev);

/** A client can be told that the configuration has changed. */
bool vhost_user_device_config_told(const struct vhost_user_device *dev);

/**
 * Tell the client that the device's configuration has changed, on the socket of
 * ops.backend_channel().
 *
 * @return 0; -EAGAIN if the client does not read (nothing was sent); -errno of sendmsg()
 */
int vhost_user_backend_config_changed(int sock);

/* ---- Client */

struct vhost_user_client;

/**
 * A request's end, called from vhost_user_client_process(). New requests may be made from within.
 *
 * @param err   0; -ECONNRESET if the connection ended first
 * @param body  of the reply; valid during the call
 */
typedef void (*vhost_user_client_done)(void *ctx, int err, const void *body, size_t len);

/** Requests that may wait for their reply. */
#define VHOST_USER_CLIENT_PENDING_MAX 64u
/**
 * Bytes that may wait to be sent when the server does not read; requests beyond that get -EAGAIN.
 */
#define VHOST_USER_CLIENT_TX_MAX (64u * 1024u)
/** How long the synchronous helpers wait. */
#define VHOST_USER_CLIENT_TIMEOUT_MS 5000

/**
 * Connect to a server's socket. Nothing is sent yet. Does not block (-EAGAIN if the server's
 * backlog is full).
 *
 * @return 0; -ENAMETOOLONG; -ENOMEM; -errno of socket() or connect()
 */
int vhost_user_client_connect(const char *path, struct vhost_user_client **out);

/** The same on a connected socket, which becomes the client's (on success). */
int vhost_user_client_adopt(int fd, struct vhost_user_client **out);

/**
 * Close the connection; outstanding requests end with -ECONNRESET. Not from within a callback.
 * NULL is allowed.
 */
void vhost_user_client_destroy(struct vhost_user_client *c);

/** Socket to wait for and the events (POLLIN, POLLOUT) of interest. */
int vhost_user_client_fd(const struct vhost_user_client *c);
short vhost_user_client_events(const struct vhost_user_client *c);

/**
 * Send what waits, receive what stands, call callbacks. Never blocks; handles a bounded number of
 * messages.
 *
 * @return 0; -ECONNRESET or -EPROTO once the connection has ended
 */
int vhost_user_client_process(struct vhost_user_client *c);

/** Limit of the synchronous helpers; they answer -ETIMEDOUT past it. */
void vhost_user_client_set_timeout(struct vhost_user_client *c, int ms);

/**
 * Send a request. The body and descriptors are copied if they cannot be sent at once; the caller
 * keeps his.
 *
 * @param flags  VHOST_USER_F_NEED_REPLY or 0
 * @param done   NULL: no reply will come
 * @return 0; -EAGAIN past one of the limits; -EINVAL; -ENOMEM; -ECONNRESET
 */
int vhost_user_client_request(struct vhost_user_client *c, uint32_t request, uint32_t flags,
	const void *body, size_t len, const int *fds, unsigned int nfds,
	vhost_user_client_done done, void *ctx);

/*
 * Synchronous helpers: send, then wait for the reply while other requests' callbacks are served.
 * Return 0 or -errno; -ETIMEDOUT; -EPROTO if the reply has another shape; -EREMOTEIO if the server
 * says that it has failed.
 */

/** A request with a reply of its own; *len is the room in reply, then the reply's length. */
int vhost_user_client_call(struct vhost_user_client *c, uint32_t request, const void *body,
	size_t body_len, void *reply, size_t *len);
/**
 * A request without one: if REPLY_ACK has been negotiated it asks for an acknowledgement and waits
 * for that, else it returns when all is sent.
 */
int vhost_user_client_tell(struct vhost_user_client *c, uint32_t request, const void *body,
	size_t body_len, const int *fds, unsigned int nfds);
/** GET_FEATURES and the like: a number is the answer. */
int vhost_user_client_get(struct vhost_user_client *c, uint32_t request, uint64_t *value);
/** SET_FEATURES and the like: a number is the body. SET_PROTOCOL_FEATURES is remembered. */
int vhost_user_client_set(struct vhost_user_client *c, uint32_t request, uint64_t value);
/** @param fds  n of them */
int vhost_user_client_set_mem_table(struct vhost_user_client *c,
	const struct vhost_user_mem_region *region, const int *fds, unsigned int n);
int vhost_user_client_add_region(
	struct vhost_user_client *c, const struct vhost_user_mem_region *region, int fd);
int vhost_user_client_remove_region(
	struct vhost_user_client *c, const struct vhost_user_mem_region *region);
/** SET_VRING_NUM, SET_VRING_BASE, SET_VRING_ENABLE. */
int vhost_user_client_set_vring(
	struct vhost_user_client *c, uint32_t request, uint32_t queue, uint32_t num);
int vhost_user_client_set_vring_addr(
	struct vhost_user_client *c, const struct vhost_user_vring_addr *addr);
/** SET_VRING_KICK, _CALL, _ERR. @param fd  -1: polling */
int vhost_user_client_set_vring_fd(
	struct vhost_user_client *c, uint32_t request, uint32_t queue, int fd);
int vhost_user_client_get_vring_base(struct vhost_user_client *c, uint32_t queue, uint32_t *base);
int vhost_user_client_get_config(
	struct vhost_user_client *c, uint32_t off, void *buf, uint32_t len);
int vhost_user_client_set_config(
	struct vhost_user_client *c, uint32_t off, const void *buf, uint32_t len, uint32_t flags);
int vhost_user_client_set_log_base(
	struct vhost_user_client *c, uint64_t size, uint64_t offset, int fd);

#endif /* VHOST_USER_H */
