/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_DPDK_COMPAT_H
#define APP_DPDK_COMPAT_H

/**
 * @file
 * What differs between the DPDK releases that we build with (22.11 and later).
 */

#include <rte_telemetry.h>
#include <rte_version.h>

/* 22.11 has signed telemetry values of int; 23.03 widened them and changed the name of the unsigned
 * ones. */
static inline int
tel_add_int(struct rte_tel_data *d, const char *key, int64_t value)
{
#if RTE_VERSION >= RTE_VERSION_NUM(23, 3, 0, 0)
	return rte_tel_data_add_dict_int(d, key, value);
#else
	if (value > INT32_MAX)
		return rte_tel_data_add_dict_u64(d, key, (uint64_t)value);
	return rte_tel_data_add_dict_int(d, key, (int)value);
#endif
}

#endif /* APP_DPDK_COMPAT_H */
