/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VIRTIO_VIRTIO_H
#define VIRTIO_VIRTIO_H

/**
 * @file
 * A virtio network device as its driver sees it, whatever the transport (virtio 1.2, 2 "Basic
 * Facilities", 5.1).
 *
 * The plain state (struct virtio_state) lives in a state block. struct virtio_dev is this process's
 * view with the owner's callbacks. Transports (virtio_pci.h for registers, vhost-user messages
 * later) call the virtio_dev_* functions; what has to happen outside - starting rings, waiting for
 * workers - is asked of the owner through struct virtio_dev_ops. A callback may answer
 * -EINPROGRESS; the function that called it returns -EINPROGRESS too and the owner later calls
 * virtio_dev_op_done(), after which the transport's access is complete.
 *
 * Control lcore only, but for virtio_dev_queue_interrupt().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#define VIRTIO_STATE_VERSION 1
#define VIRTIO_MAX_QUEUES    256u /**< of a device, data and control: max_virt_queues */
#define VIRTIO_NO_VECTOR     0xffffu

/* Bits missing in older kernel headers. */
#ifndef VIRTIO_F_NOTIFICATION_DATA
#define VIRTIO_F_NOTIFICATION_DATA 38
#endif
#ifndef VIRTIO_F_RING_RESET
#define VIRTIO_F_RING_RESET 40
#endif
#ifndef VIRTIO_F_ADMIN_VQ
#define VIRTIO_F_ADMIN_VQ 41
#endif
#ifndef VIRTIO_F_NOTIF_CONFIG_DATA
#define VIRTIO_F_NOTIF_CONFIG_DATA 39
#endif
#ifndef VIRTIO_NET_F_VQ_NOTF_COAL
#define VIRTIO_NET_F_VQ_NOTF_COAL 52
#endif
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#endif
#ifndef VIRTIO_NET_F_GUEST_USO6
#define VIRTIO_NET_F_GUEST_USO6 55
#endif
#ifndef VIRTIO_NET_F_HOST_USO
#define VIRTIO_NET_F_HOST_USO 56
#endif
#ifndef VIRTIO_NET_F_GUEST_HDRLEN
#define VIRTIO_NET_F_GUEST_HDRLEN 59
#endif

#define VIRTIO_BIT(b) (1ull << (b))

/** Registers of one virtqueue. */
struct virtio_queue_state {
	uint64_t desc, driver, device; /**< IOVAs of the three areas */
	uint16_t size;		       /**< as chosen by the driver */
	uint16_t max_size;
	uint16_t msix_vector;
	uint16_t enable;
	uint16_t reset; /**< RING_RESET: 1 while resetting */
	uint16_t reserved[3];
};

/** Plain state of a device, section STATE_SEC_VIRTIO. */
struct virtio_state {
	uint64_t device_features; /**< offered */
	uint64_t driver_features; /**< accepted; final once FEATURES_OK */
	uint32_t device_feature_select;
	uint32_t driver_feature_select;
	uint16_t num_queues; /**< all virtqueues, control included */
	uint16_t queue_select;
	uint16_t msix_config;
	uint8_t status;
	uint8_t config_generation;
	uint32_t isr; /**< bit 0 queue, bit 1 configuration; atomic, set by workers */
	uint32_t reserved;
	struct virtio_net_config config; /**< as the driver reads it: little-endian */
	struct virtio_queue_state queue[VIRTIO_MAX_QUEUES];
};

struct virtio_dev;

/**
 * What the owner does for the device. Each may return -EINPROGRESS unless noted (see
 * virtio_dev_op_done()). Another error of driver_ok() or reset() puts the device into
 * DEVICE_NEEDS_RESET; one of queue_enable() or queue_reset() leaves the registers as they were.
 */
struct virtio_dev_ops {
	/**
	 * The driver set FEATURES_OK with these (already a subset of what is offered). 0, or
	 * -EINVAL to refuse. Immediate.
	 */
	int (*features_ok)(void *ctx, uint64_t features);
	/** DRIVER_OK was set: start the enabled queues. */
	int (*driver_ok)(void *ctx);
	/**
	 * Reset by the driver (status 0): stop everything, wait for the workers. Registers are
	 * reset afterwards.
	 */
	int (*reset)(void *ctx);
	/**
	 * queue_enable was written with 1 after DRIVER_OK (before it, driver_ok() starts the
	 * queue).
	 */
	int (*queue_enable)(void *ctx, uint16_t queue);
	/** queue_reset was written (RING_RESET): stop the queue, wait for its worker. */
	int (*queue_reset)(void *ctx, uint16_t queue);
	/** The same, but it may go on where it stopped. For transports that stop queues. */
	int (*queue_stop)(void *ctx, uint16_t queue);
	/** A doorbell that came through registers rather than as an eventfd. Immediate. */
	void (*notify)(void *ctx, uint16_t queue);
	/** Driver changed a writable configuration field (legacy MAC). Immediate. May be NULL. */
	void (*config_written)(void *ctx);
	/**
	 * Signal: MSI-X vector, or (vector VIRTIO_NO_VECTOR and INTx in use) level of INTx. Any
	 * thread.
	 */
	void (*irq_msix)(void *ctx, uint16_t vector);
	void (*irq_intx)(void *ctx, bool level);
	bool (*msix_enabled)(void *ctx);
};

struct virtio_dev_params {
	uint64_t device_features;
	uint16_t num_queues;	 /**< incl. the control virtqueue (the last one) */
	uint16_t max_queue_size; /**< power of two */
	uint16_t num_vectors;	 /**< MSI-X vectors of the function */
	struct virtio_net_config config;
};

/**
 * Create the view on `state`.
 * @param fresh  true: initialise the state; false: take it up (params then only give num_vectors)
 * @return 0; -EINVAL; -ENOMEM
 */
int virtio_dev_create(struct virtio_state *state, const struct virtio_dev_params *params,
	bool fresh, const struct virtio_dev_ops *ops, void *ctx, struct virtio_dev **out);
void virtio_dev_destroy(struct virtio_dev *dev);

const struct virtio_state *virtio_dev_state(const struct virtio_dev *dev);

/**
 * Feature negotiation: what the driver may use. VIRTIO_F_VERSION_1 and so on; 0 before
 * FEATURES_OK.
 */
uint64_t virtio_dev_features(const struct virtio_dev *dev);
static inline bool
virtio_has(uint64_t features, unsigned int bit)
{
	return (features >> bit) & 1;
}

/* ---- called by transports ---- */

/**
 * The registers themselves, for those without side effects: selectors, queue addresses and sizes.
 */
struct virtio_state *virtio_dev_registers(struct virtio_dev *dev);

/**
 * Write device_status. Writing 0 resets. Writes that would clear a bit are ignored
 * (virtio 1.2, 2.1.1), a bit whose predecessors are not set stays 0, and FEATURES_OK stays 0 when
 * the features are not acceptable.
 * @return 0; -EINPROGRESS; -EBUSY while another operation is under way (nothing was changed)
 */
int virtio_dev_set_status(struct virtio_dev *dev, uint8_t status);
uint8_t virtio_dev_status(const struct virtio_dev *dev);
/** Accept features (32 bits at a time by registers, or all at once). Ignored after FEATURES_OK. */
void virtio_dev_set_driver_features(struct virtio_dev *dev, uint64_t features);
/**
 * @return 0; -EINVAL bad value (the register keeps its old one); -EINPROGRESS; -EBUSY as above;
 * -errno of the owner
 */
int virtio_dev_queue_enable(struct virtio_dev *dev, uint16_t queue);
int virtio_dev_queue_reset(struct virtio_dev *dev, uint16_t queue);
/**
 * Stop a queue that is to go on later: its registers stay, but for `enable`. For transports that
 * are told of rings by messages; so is virtio_dev_queue_enable() then. @return as above; 0 for a
 * queue that is not enabled
 */
int virtio_dev_queue_stop(struct virtio_dev *dev, uint16_t queue);
/**
 * Take the driver's features from a transport that has no FEATURES_OK to wait for: the status is as
 * if the driver had set all bits up to that one. A driver without VIRTIO_F_VERSION_1 is taken, too:
 * who has the registers sees to what is different for it.
 * @return 0; -EINVAL if they are not acceptable; -EBUSY if others have been accepted
 */
int virtio_dev_negotiate(struct virtio_dev *dev, uint64_t features);
/**
 * Whole-device reset from outside the driver (FLR, bus reset, client gone): same path as status 0.
 * It supersedes an operation that is under way: virtio_dev_op_done() is then due once, for the
 * reset. ops->reset is not called for a device whose status is 0.
 */
int virtio_dev_reset(struct virtio_dev *dev);
/** Vector registers; a vector that the function does not have is stored as VIRTIO_NO_VECTOR. */
void virtio_dev_set_config_vector(struct virtio_dev *dev, uint16_t vector);
void virtio_dev_set_queue_vector(struct virtio_dev *dev, uint16_t queue, uint16_t vector);
/** Read and clear the ISR, deasserting INTx. */
uint8_t virtio_dev_isr_read(struct virtio_dev *dev);
/** MSI-X was enabled or disabled: INTx follows the ISR only while it is disabled. */
void virtio_dev_irq_mode_changed(struct virtio_dev *dev);
/** A doorbell for `queue` came through registers: passed on if that queue runs. */
void virtio_dev_notify(struct virtio_dev *dev, uint16_t queue);

/** Finish the operation that answered -EINPROGRESS: registers take their final values. */
void virtio_dev_op_done(struct virtio_dev *dev);
/** Is such an operation under way? */
bool virtio_dev_op_pending(const struct virtio_dev *dev);

/* ---- called by the owner ---- */

/**
 * The device cannot go on: DEVICE_NEEDS_RESET, with a configuration interrupt if DRIVER_OK. Nothing
 * happens when no driver is there (status 0).
 */
void virtio_dev_needs_reset(struct virtio_dev *dev);
/**
 * Change configuration (link, MAC, MTU, announce ...): generation and interrupt as virtio 1.2 2.5
 * says.
 */
void virtio_dev_config_update(struct virtio_dev *dev, const struct virtio_net_config *config);
/** The same for a change that the driver itself asked for by a control command: no interrupt. */
void virtio_dev_config_update_quiet(struct virtio_dev *dev, const struct virtio_net_config *config);
/**
 * Replace offered features, limits, queue count; driver unbound only. @return 0; -EBUSY; -EINVAL
 */
int virtio_dev_reconfigure(struct virtio_dev *dev, const struct virtio_dev_params *params);
/**
 * After the registers were taken up from another process: raise each interrupt that it may have
 * owed the driver, of every enabled queue and of the configuration. One too many does no harm.
 */
void virtio_dev_resignal(struct virtio_dev *dev);
/** Interrupt for a queue that used buffers. Any thread. */
void virtio_dev_queue_interrupt(struct virtio_dev *dev, uint16_t queue);

/**
 * Number of queue pairs that the driver may use, the N of virtio 1.2, 5.1.2: one unless it accepted
 * MQ or RSS, whatever the device has. Queues from 2N on carry no packets.
 */
static inline uint16_t
virtio_net_pairs(const struct virtio_state *s)
{
	const uint64_t several = VIRTIO_BIT(VIRTIO_NET_F_MQ) | VIRTIO_BIT(VIRTIO_NET_F_RSS);

	return (s->driver_features & several) != 0 ? (s->num_queues - 1) / 2 : 1;
}

/**
 * Virtqueue numbers: receiveq1, transmitq1, receiveq2, ... controlq (virtio 1.2, 5.1.2). For a
 * driver without MQ the control queue is queue 2 and not the last one. There is none unless CTRL_VQ
 * was accepted.
 */
static inline uint16_t
virtio_net_ctrl_queue(const struct virtio_state *s)
{
	return virtio_net_pairs(s) * 2;
}

#endif /* VIRTIO_VIRTIO_H */
