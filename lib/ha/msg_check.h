/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef HA_MSG_CHECK_H
#define HA_MSG_CHECK_H

/* Within lib/ha: what each type of message must look like. */

#include "ha/msg.h"

/** Bytes of u that the message is to be sent with. @return < 0: no such message */
int ha_msg_length(const struct ha_msg *msg);

/**
 * @param msg  what was sent less long than the structure is 0
 * @param len  bytes of u that were sent, or are to be
 * @param n    descriptors with it
 * @return 0; -EPROTO
 */
int ha_msg_check(const struct ha_msg *msg, unsigned int len, unsigned int n);

/** End the message's strings with NUL. */
void ha_msg_terminate(struct ha_msg *msg);

#endif /* HA_MSG_CHECK_H */
