/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VHOST_USER_EMU_H
#define VHOST_USER_EMU_H

/**
 * @file
 * Internal to the transport "vhost_user": what its files share.
 *
 * vhost_user_emu.c: the function's life, and what happens at its door; vhost_user_ops.c: what the
 * client asks for (struct vhost_user_device_ops); vhost_user_rings.c: rings and their descriptors;
 * vhost_user_log.c: the dirty log of a live migration.
 */

#include "emu/emu.h"
#include "ha/log_limit.h"
#include "pci/pci.h"
#include "vhost_user/vhost_user.h"
#include "vring/vring.h"

/** Index of what is kept as EMU_KEEP_TRANSPORT. */
enum vhost_user_keep {
	VHOST_USER_KEEP_BACKEND = 0, /**< channel for requests of ours */
	VHOST_USER_KEEP_LOG = 1,     /**< file of the dirty log */
	VHOST_USER_KEEP_ERR = 16,    /**< + queue: eventfd for a ring that has failed */
};

/** What op_done() has to finish. */
enum vhost_user_step {
	VHOST_USER_STEP_NONE,
	VHOST_USER_STEP_OP,	  /**< an operation of the device side */
	VHOST_USER_STEP_FEATURES, /**< SET_FEATURES: the device has been reset for other ones */
	VHOST_USER_STEP_LOG,	  /**< rings have let go of a former log */
	VHOST_USER_STEP_GONE,	  /**< client disconnected */
};

/** A log that rings can be given. */
struct vhost_user_log_map {
	struct vring_log log; /**< bits NULL: none */
};

struct vhost_user_emu {
	struct emu emu;
	struct virtio_dev *vdev;
	struct vhost_user_state *state;
	struct vhost_user_device *dev;
	struct emu_door *door;
	struct pci_irqs *irqs; /**< call eventfds by queue, then error eventfds by queue */
	struct sock_closer *closer;
	const struct emu_upcalls *up;
	void *ctx;
	uint16_t queues; /**< rings: two per pair */
	bool msix;	 /**< the function is to have MSI-X: the hypervisor's, which it is told */
	enum vhost_user_step step;
	uint64_t features; /**< VHOST_USER_STEP_FEATURES: those to take */
	bool stranger; /**< a client is connected that nothing is known of: adopted() ends that */
	int backend;   /**< -1: none */
	struct log_limit log_limit; /**< of lines that the client can cause */
	bool logging;
	unsigned int log_at; /**< of log[]: in force, or to be */
	struct vhost_user_log_map log[2];
	int kick[VHOST_USER_RINGS_MAX]; /**< -1: none */
	bool has_err[VHOST_USER_RINGS_MAX];
	uint64_t
		used_log[VHOST_USER_RINGS_MAX]; /**< guest address that the used ring has in the log
						 */
};

/** Vector of the configuration: no ring has it, nor VIRTIO_NO_VECTOR. */
#define VHOST_USER_VECTOR_CONFIG 0xfffeu

extern const struct vhost_user_device_ops vhost_user_emu_device_ops;

static inline int
vhost_user_emu_wait(struct vhost_user_emu *e, enum vhost_user_step step)
{
	e->step = step;
	return -EINPROGRESS;
}

static inline void
vhost_user_emu_keep(struct vhost_user_emu *e, enum emu_keep kind, unsigned int index,
	unsigned int count, int fd)
{
	e->up->keep(e->ctx, kind, index, count, fd);
}

/* vhost_user_ops.c */
/** The device is reset: take the features now. @return 0; -errno */
int vhost_user_emu_take_features(struct vhost_user_emu *e);
/** The status is not told by messages, and all that stands for it has come. */
int vhost_user_emu_infer_driver_ok(struct vhost_user_emu *e);

/* vhost_user_rings.c */
int vhost_user_emu_ring_set_base(void *ctx, uint16_t queue, uint32_t base);
uint32_t vhost_user_emu_ring_get_base(void *ctx, uint16_t queue);
int vhost_user_emu_ring_start(void *ctx, uint16_t queue, const struct vhost_user_ring *ring);
int vhost_user_emu_ring_stop(void *ctx, uint16_t queue);
int vhost_user_emu_ring_enable(void *ctx, uint16_t queue, bool on);
int vhost_user_emu_ring_fd(void *ctx, uint16_t queue, enum vhost_user_ring_fd kind, int fd);
uint16_t vhost_user_emu_pairs(const struct emu *emu);
int vhost_user_emu_kick_fd(const struct emu *emu, uint16_t queue);
/** The device has failed: rings' error eventfds say so. */
void vhost_user_emu_rings_failed(struct vhost_user_emu *e);
/** Take up what a predecessor has kept; fd is taken on success. */
int vhost_user_emu_ring_adopt(
	struct vhost_user_emu *e, enum vhost_user_ring_fd kind, uint16_t queue, int fd);
/** The client has gone: forget its descriptors. */
void vhost_user_emu_rings_forget(struct vhost_user_emu *e);
/** Close them; what is kept stays kept. */
void vhost_user_emu_rings_close(struct vhost_user_emu *e);

/* vhost_user_log.c */
int vhost_user_emu_log_base(void *ctx, uint64_t size, uint64_t offset, int fd);
int vhost_user_emu_logging(void *ctx, bool on);
void vhost_user_emu_log_used(struct vhost_user_emu *e, uint16_t queue, bool log_used, uint64_t log);
int vhost_user_emu_ring_log(void *ctx, uint16_t queue, bool log_used, uint64_t log);
const struct vring_log *vhost_user_emu_log(const struct emu *emu, uint16_t queue, uint64_t *used);
/** Nobody writes former logs any more. */
void vhost_user_emu_log_changed(struct vhost_user_emu *e);
int vhost_user_emu_log_adopt(struct vhost_user_emu *e, int fd);
/** Nobody writes any log any more; what is kept stays kept. */
void vhost_user_emu_log_close(struct vhost_user_emu *e);

#endif /* VHOST_USER_EMU_H */
