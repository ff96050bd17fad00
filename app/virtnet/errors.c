/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Error numbers of commands and their sentences. */

#include <stddef.h>
#include <string.h>

#include "errors.h"

static const struct {
	int err;
	const char *text;
} table[] = {
	{VN_SUCCESS, "Success"},
	{VN_ERR_FEATURE_VALIDATE, "Failed to validate device feature"},
	{VN_ERR_DEV_NOT_FOUND, "Failed to find device"},
	{VN_ERR_DEV_NOT_HOTPLUG, "Failed - Device is not hotplugged"},
	{VN_ERR_ID_OUT_OF_RANGE, "Failed - ID input exceeds the max range"},
	{VN_ERR_VUID_INVALID, "Failed - VUID is invalid"},
	{VN_ERR_MAC_INVALID, "Failed - MAC is invalid"},
	{VN_ERR_MSIX_INVALID, "Failed - MSIX is invalid"},
	{VN_ERR_MTU_INVALID, "Failed - MTU is invalid"},
	{VN_ERR_PORT_NOT_FOUND, "Failed to find port context"},
	{VN_ERR_DEV_OPEN, "Failed to open SNAP device control"},
	{VN_ERR_HOTPLUG, "Failed to hotplug SNAP PF"},
	{VN_ERR_QUEUE_SIZE_INVALID, "Failed - Queue size is invalid"},
	{VN_ERR_DEV_LOAD, "Failed to prepare device load"},
	{VN_ERR_DEV_MIGRATING, "Failed - Device is migrating"},
	{VN_ERR_QUEUE_SIZE_RULE, "Error - Queue size must be greater than 2 and a power of 2"},
	{VN_ERR_OPT_NOT_SUPPORTED, "The option is not supported"},
	{VN_ERR_SF_CREATE, "Failed to create SF"},
	{VN_ERR_SF_NUM_RANGE, "SF number of a hotplug device should be between 2000 and 2999"},
	{VN_ERR_SF_NUM_USED, "SF number is already used"},
	{VN_ERR_QUEUE_INDEX, "Queue index is invalid"},
	{VN_ERR_PATH_FORMAT, "Error - Path format is invalid"},
	{VN_ERR_UNPLUG_NOT_READY,
		"Error - Device is not ready to be unplugged please check host and retry"},
	{VN_ERR_QUEUES_INVALID, "Failed - QUEUES is invalid"},
};

const char *
vn_strerror(int err)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].err == err)
			return table[i].text;
	return err > -1000 ? strerror(-err) : "Unknown error";
}
