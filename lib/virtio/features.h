/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VIRTIO_FEATURES_H
#define VIRTIO_FEATURES_H

/**
 * @file
 * Names of bits as the controller prints them: features, device status.
 */

#include <stdint.h>

/** Printed name of a feature bit, or NULL for an unknown one. */
const char *virtio_feature_name(unsigned int bit);
/** Printed name of a device status bit, or NULL. */
const char *virtio_status_name(unsigned int bit);

/*
 * Names are those of the spec but for the ones that the controller has always printed differently.
 */

/** Features this controller implements; a device offers a subset. */
uint64_t virtio_net_supported_features(void);
/**
 * Offered whatever the user asks for:
 *  - VERSION_1: the registers are those of a modern device, there is no legacy interface to fall
 * back to;
 *  - ACCESS_PLATFORM: we reach memory only where the client maps it, so a guest with a vIOMMU must
 * use its IOVAs;
 *  - MAC: the controller assigns the address and lists it, a driver must not invent its own;
 *  - STATUS: the link follows the carrier, and without it a driver takes the link for always up.
 */
uint64_t virtio_net_required_features(void);
/**
 * Offered when the user says nothing, of the `allowed` ones: all that is supported, but for
 *  - NOTIFICATION_DATA: a driver's work that a device which reads its rings has no use for;
 *  - GUEST_HDRLEN: drivers are known to fill it in wrongly;
 *  - HASH_REPORT: Linux negotiates what it is offered, and then every packet has a longer header,
 *    whether anybody looks at hashes or not;
 *  - GUEST_TSO4, GUEST_TSO6, GUEST_ECN, GUEST_USO4 and GUEST_USO6 without MRG_RXBUF: a driver must
 *    then make every one of its receive buffers large enough for 64 KiB. With 1024 entries Linux
 *    puts 70 MB into each receive queue.
 */
uint64_t virtio_net_default_features(uint64_t allowed);

/**
 * Check a device's offered set against the dependencies of virtio 1.2 5.1.3.1 (CTRL_RX needs
 * CTRL_VQ ...).
 * @param needs    feature that lacks another, filled on error
 * @param missing  the one it lacks (the first of several that would do), filled on error
 * @return 0; -EINVAL
 */
int virtio_net_check_features(uint64_t features, unsigned int *needs, unsigned int *missing);

#endif /* VIRTIO_FEATURES_H */
