/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_HA_KEPT_IMPL_H
#define APP_HA_KEPT_IMPL_H

/**
 * @file
 * Internal to the kept devices.
 *
 * kept.c: the devices, their making and end; kept_msg.c: messages from the process that has one;
 * kept_give.c: changes of that process; kept_block.c: state blocks and their mailbox; kept_fds.c:
 * descriptors by kind and index; kept_front.c: the host-facing socket; kept_store.c: what the
 * service manager holds for a next keeper, kept_request.c: of the request that stands,
 * kept_equal.c: more than once; kept_adopt.c: going on from that.
 */

#include <sys/queue.h>

#include "closer.h"
#include "ha/log_limit.h"
#include "ha/msg.h"
#include "kept.h"
#include "kept_register.h"
#include "sock/front.h"
#include "state/mailbox.h"

struct event;
struct kept_transport;
struct sock_closer;
struct state_block;

/** Limits of the indices of descriptors; see kept_fds_limit(). */
#define KEPT_QUEUES_MAX	   65536u /**< virtio's own */
#define KEPT_DMA_MAX	   65536u /**< the protocol's ranges of one client */
#define KEPT_MSIX_MAX	   2048u  /**< PCI's vectors of one function */
#define KEPT_SF_MAX	   256u	  /**< parts of one SF; a TAP has up to 256 queues */
#define KEPT_TRANSPORT_MAX 512u	  /**< EMU_KEEP_TRANSPORT_MAX of drivers/emu */

/** Descriptors of one kind; grows with its highest index. */
struct kept_fds {
	int *fd;       /**< -1: none */
	bool *wrapped; /**< the service manager has it under its second name (kept_equal.c) */
	unsigned int room;
	unsigned int n; /**< that are not -1 */
};

struct kept_device {
	TAILQ_ENTRY(kept_device) closing; /**< once it is out of kept.device */
	struct kept *kept;
	uint32_t handle;
	unsigned int slot; /**< in the register, and in names */
	struct ha_open open;
	struct child *owner; /**< NULL: nobody */
	struct log_limit log_limit;
	struct sock_closer *closer; /**< of what its client has sent */

	struct state_block *block;
	struct state_block *former; /**< before the owner converted it */
	struct mailbox *mailbox;    /**< in block */
	unsigned int block_index;   /**< under which the block is stored: 0 and 1 take turns */

	const struct kept_transport *transport;
	struct sock_front *front; /**< NULL: closing */
	struct ha_notify notify;
	bool gone;   /**< a disconnect that the owner has not dealt with */
	bool ending; /**< what happens at the socket is of no more interest */
	bool told;   /**< the request told_seq has been told to somebody */
	uint64_t told_seq;
	unsigned int failures; /**< the caller's, see kept_failures() */

	struct kept_fds fds[HA_FD_KINDS]; /**< HA_FD_KICK and above */

	/* what the service manager holds */
	bool stored;		     /**< everything; false: nothing */
	bool stored_conn;	     /**< the connection */
	unsigned int stored_request; /**< so many descriptors of the request stored_seq */
	uint64_t stored_seq;
	uint16_t alias[MAILBOX_FDS_MAX]; /**< of them: not 0: stored under this name instead */
	bool wrapped[MAILBOX_FDS_MAX];	 /**< of them, as kept_fds.wrapped */
	unsigned int n_stored;		 /**< its part of kept.n_stored */
	unsigned int name_bytes;	 /**< its part of kept.name_bytes */

	struct event *quarantine; /**< its host is kept away until then; NULL: never was */

	/* closing */
	struct closer_note closed;
	struct event *barrier; /**< until the service manager has let go as well */
};

TAILQ_HEAD(kept_list, kept_device);

struct kept {
	struct event_base *base;
	struct closer *closer;
	struct sock_closer *strays; /**< clients' descriptors that belong to no device */
	struct kept_register *reg;  /**< NULL: no service manager keeps anything */
	struct kept_device *device[REGISTER_SLOTS]; /**< n of them, by handle */
	unsigned int n;
	struct kept_device *slot[REGISTER_SLOTS]; /**< the same and those that are closing */
	struct kept_list closing;
	void *files;		 /**< kept_equal.c */
	unsigned int n_stored;	 /**< descriptors with the service manager */
	unsigned int name_bytes; /**< of their names */
};

/* kept.c */
/** A device without anything, in a slot (REGISTER_SLOTS: a free one). @return NULL: no memory or
 * slot */
struct kept_device *kept_device_new(
	struct kept *k, uint32_t handle, const struct ha_open *open, unsigned int slot);
/** Make it known. */
void kept_device_add(struct kept_device *d);
/** Close everything of it, wherever it has got to; CLOSED is sent to its owner when that is done.
 */
void kept_device_close(struct kept_device *d);
/** Give up what was never added; closes by itself. */
void kept_device_free(struct kept_device *d);
/** Send to its owner, if it has one; one that cannot be told is ended. */
void kept_tell(
	struct kept_device *d, enum ha_msg_type type, int err, const int *fds, unsigned int n);

/* kept_fds.c */
/** Indices of a kind that a device may store; 0: not to be stored. */
unsigned int kept_fds_limit(const struct kept_device *d, unsigned int kind);
/** Room for indices below n. @return 0; -ENOMEM */
int kept_fds_reserve(struct kept_fds *t, unsigned int n);
/** Put fd, or -1, in; index is within the room, or fd is -1. @return what was there, or -1 */
int kept_fds_put(struct kept_fds *t, unsigned int index, int fd);
int kept_fds_get(const struct kept_fds *t, unsigned int index);
/** Close descriptors of a kind without waiting for it; -1 are skipped, all become -1. */
void kept_fds_close(struct kept_device *d, unsigned int kind, int *fds, unsigned int n);
/** Not what is in it. */
void kept_fds_free(struct kept_fds *t);

/* kept_block.c */
/** Map a block and find its mailbox, intact. @return 0; -EBADMSG; -errno */
int kept_block_open(int fd, struct state_block **block, struct mailbox **mailbox);
/**
 * The owner may have died of writing where it should not: a mailbox that makes no sense is emptied,
 * and the connection, whose place in it is lost, ended.
 */
void kept_mailbox_mend(struct kept_device *d);
/**
 * The owner's converted block becomes the device's, the former is kept beside it. fd stays the
 * caller's. @return 0; -errno
 */
int kept_block_convert(struct kept_device *d, int fd);

/* kept_give.c */
/** A request stands: tell the owner. */
void kept_tell_request(struct kept_device *d);
/** The mailbox may hold a reply: send it, and forget the request's descriptors. */
void kept_send_reply(struct kept_device *d);

/* kept_request.c */
/** Descriptors of the request, by position: those that are there, up to the first that is not. */
unsigned int kept_request_fds(const struct kept_device *d);
/** The request that stands is the service manager's to keep, or not any more. */
void kept_request_store(struct kept_device *d);
void kept_request_forget(struct kept_device *d);
/**
 * A kept descriptor changes (fd; -1: it goes). If the request brought it as well, or leans on what
 * was there: between the two calls the service manager is told of the change. Zero-initialised, for
 * one change or many that go.
 */
struct request_change {
	uint32_t orphans; /**< positions whose alias has ended */
	uint32_t moved;	  /**< positions that are known by the kept one's name from now on */
};
void kept_request_before(struct kept_device *d, struct request_change *c, unsigned int kind,
	unsigned int index, int fd);
void kept_request_after(struct kept_device *d, const struct request_change *c, unsigned int kind,
	unsigned int index);
/** Where a former keeper has said that the descriptor is. @return false: nowhere */
bool kept_request_resolve(const struct register_aliases *a, uint64_t seq, unsigned int position,
	unsigned int *kind, unsigned int *index);

/* kept_front.c */
/** Descriptors of a socket that a former keeper has left; -1: none. */
struct kept_sockets {
	int listen_fd;
	int conn_fd;
	int request[MAILBOX_FDS_MAX]; /**< of the request that stands */
};

/** A kind of host-facing socket: one table entry per emu driver that has its front in a keeper. */
struct kept_transport {
	const char *name; /**< of the emu driver */
	int (*create)(const struct sock_front_conf *conf, struct sock_front **out);
	bool connects;	/**< to a client that listens: there is no listening socket */
	bool doorbells; /**< come by messages; otherwise the client's eventfds are the owner's alone
			 */
};

/** NULL: there is none of that name. */
const struct kept_transport *kept_transport_find(const char *name);
/** @param adopt  sockets of a former keeper, which are taken on success; NULL: none. @return 0;
 * -errno */
int kept_front_open(struct kept_device *d, const struct kept_sockets *adopt);
/** End the connection, if there is a front, and let go of it. */
void kept_front_close(struct kept_device *d);
/** Doorbells, of a transport whose clients ring them by messages; nothing otherwise. */
void kept_front_set_notify(struct kept_device *d);
void kept_front_set_kick(struct kept_device *d, unsigned int queue, enum ha_kick_mode mode, int fd);

/* kept_store.c: all of them do nothing without a service manager that keeps descriptors */
#define KEPT_REGISTER_NAME "register"
/** Make a register; an old one is forgotten. @return 0; -errno */
int kept_store_begin(struct kept *k);
/** Go on with a former keeper's register. */
void kept_store_resume(struct kept *k, struct kept_register *reg);
/** Everything of a new device that is added. */
void kept_store_device(struct kept_device *d);
/** One descriptor that is new, or stands in the place of `old` (-1: new), which is still open. */
void kept_store_fd(
	struct kept_device *d, enum ha_fd_kind kind, unsigned int index, int fd, int old);
/** @param fd  what it was, still open; -1 if it is not of a kind that struct kept_fds has */
void kept_store_drop(struct kept_device *d, enum ha_fd_kind kind, unsigned int index, int fd);
/** One descriptor is there already: a former keeper stored it. */
void kept_store_taken(struct kept_device *d, enum ha_fd_kind kind, unsigned int index);
/** The connection has come or gone; the register is told. */
void kept_store_conn(struct kept_device *d);
/** What changed beside descriptors. */
void kept_store_update(struct kept_device *d);
/** Nothing of it is to outlive the keeper. */
void kept_store_forget(struct kept_device *d);

#define KEPT_NAME_ROOM 16

/** Name of a descriptor in the store. */
void kept_name(char name[KEPT_NAME_ROOM], unsigned int slot, unsigned int kind, unsigned int index,
	bool wrapped);
/** @return false: not such a name */
bool kept_name_parse(const char *name, unsigned int *slot, unsigned int *kind, unsigned int *index,
	bool *wrapped);
/** Name of a kind, for messages. */
const char *kept_kind_name(unsigned int kind);

/* kept_equal.c */
/** The service manager has a descriptor from the same open(). */
bool kept_equal_known(const struct kept *k, int fd);
/** It is to have this one, which is removed before it is closed. @return false: has an equal */
bool kept_equal_add(struct kept *k, int fd);
/** Not any more. Nothing happens if it is an equal's name that is known. */
void kept_equal_remove(struct kept *k, int fd);
void kept_equal_end(struct kept *k);
/** @return a socket with a duplicate in its queue; -errno */
int kept_wrap(int fd);
/** @return another duplicate of what is in the queue; -errno */
int kept_unwrap(int sock);

/* kept_adopt.c */
/**
 * Go on from what the service manager has kept.
 * @param take  false: only close it
 * @return 0, with k->reg set if there is a service manager that keeps descriptors; -errno
 */
int kept_take_up(struct kept *k, bool take);

#endif /* APP_HA_KEPT_IMPL_H */
