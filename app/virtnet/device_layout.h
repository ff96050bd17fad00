/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_DEVICE_LAYOUT_H
#define APP_DEVICE_LAYOUT_H

/**
 * @file
 * Layouts of a device's state block: which versions of each section are known, and how one becomes
 * another (device_block_convert(), device_block_layouts() in device_adopt.h).
 *
 * A new layout of a section takes: its new version in the section's header; its size in `layouts`;
 * the former structure in device_former.h and the two steps between them in device_layout.c. Steps
 * lead from one version to the next or the one before; further ways are made of them.
 *
 * A conversion reads one block and writes another: the former stays as it is.
 */

#include <stdbool.h>

#include "state/state.h"

/** Sections of a block that this program writes. */
#define DEVICE_SECTIONS 8u

/** What this program writes, for a device with so many virtqueues. */
void device_layout_sections(unsigned int queues, struct state_section_desc desc[DEVICE_SECTIONS]);

/** Has the block every section in the version that this program writes? */
bool device_layout_current(const struct state_block *blk);

#endif /* APP_DEVICE_LAYOUT_H */
