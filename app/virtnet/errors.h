/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_ERRORS_H
#define APP_ERRORS_H

/**
 * @file
 * Error numbers that commands answer. Those above -1000 are negated Linux errno values.
 */

enum vn_error {
	VN_SUCCESS = 0,
	VN_ERR_FEATURE_VALIDATE = -1000,
	VN_ERR_DEV_NOT_FOUND = -1001,
	VN_ERR_DEV_NOT_HOTPLUG = -1002,
	VN_ERR_ID_OUT_OF_RANGE = -1006,
	VN_ERR_VUID_INVALID = -1007,
	VN_ERR_MAC_INVALID = -1008,
	VN_ERR_MSIX_INVALID = -1009,
	VN_ERR_MTU_INVALID = -1010,
	VN_ERR_PORT_NOT_FOUND = -1011,
	VN_ERR_DEV_OPEN = -1026,
	VN_ERR_HOTPLUG = -1031,
	VN_ERR_QUEUE_SIZE_INVALID = -1033,
	VN_ERR_DEV_LOAD = -1039,
	VN_ERR_DEV_MIGRATING = -1041,
	VN_ERR_QUEUE_SIZE_RULE = -1042,
	VN_ERR_OPT_NOT_SUPPORTED = -1046,
	VN_ERR_SF_CREATE = -1047,
	VN_ERR_SF_NUM_RANGE = -1048,
	VN_ERR_SF_NUM_USED = -1049,
	VN_ERR_QUEUE_INDEX = -1050,
	VN_ERR_PATH_FORMAT = -1057,
	VN_ERR_UNPLUG_NOT_READY = -1065,
	VN_ERR_QUEUES_INVALID = -1073,
};

/** The contract's sentence for an error number. Never NULL. */
const char *vn_strerror(int err);

#endif /* APP_ERRORS_H */
