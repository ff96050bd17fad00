/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_FAULT_WIRE_H
#define TEST_FAULT_WIRE_H

/**
 * @file
 * The far side of a representor: a packet socket in the present network namespace.
 */

#include <stdint.h>

#include "frame.h"

#define WIRE_BURST 32u

struct wire {
	int fd;
	char name[16];
	uint64_t full;	/**< frames that the kernel did not take at once */
	uint64_t drops; /**< frames that the socket had no room for: ours, not the device's */
};

struct wire_frame {
	const uint8_t *data;
	uint32_t len;
	int64_t ns; /**< CLOCK_MONOTONIC when the kernel received it */
};

/** Ends the program with a message if it cannot. */
void wire_open(struct wire *w, const char *interface);
void wire_close(struct wire *w);

/** Send one frame towards the device. @return 0; -errno if the kernel did not take it */
int wire_send(struct wire *w, const uint8_t *data, uint32_t len);

/**
 * Receive up to WIRE_BURST frames that the device has sent.
 * @return number; they are valid until the next call
 */
unsigned int wire_receive(struct wire *w, struct wire_frame *frames);

/** Frames for the device that its TAP has dropped. */
uint64_t wire_tap_drops(const struct wire *w);
/** Read and add to w->drops. */
void wire_count_drops(struct wire *w);

#endif /* TEST_FAULT_WIRE_H */
