/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * platform.sf_args of the SF driver "ethdev":
 *
 *	[rx_desc=N,][tx_desc=N,][poll=0|1,][uso=0|1,]devargs=TEMPLATE
 *
 * devargs has commas of its own, so it comes last and takes the rest. {sf_num}, {rep}, {mac} and
 * {queues} in the template are filled in for each SF.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_kvargs.h>
#include <rte_string_fns.h>

#include "sf/ethdev/ethdev.h"

#define DEVARGS_KEY "devargs="
#define KEYS	    "rx_desc, tx_desc, poll, uso, and devargs as the last"
/** More would be a mistake: no PMD has rings so large. */
#define DESC_MAX 32768ul
/** What a placeholder stands for: a name, a number or a MAC address. */
#define FILLED_MAX 32u

_Static_assert(FILLED_MAX >= IFNAMSIZ && FILLED_MAX >= RTE_ETHER_ADDR_FMT_SIZE, "filled in");

static int
number(const char *key, const char *value, unsigned long lo, unsigned long hi, unsigned long *out,
	char *err, size_t err_len)
{
	char *end;

	errno = 0;
	*out = value == NULL ? 0 : strtoul(value, &end, 10);
	if (value != NULL && value[0] >= '0' && value[0] <= '9' && errno == 0 && *end == '\0' &&
		*out >= lo && *out <= hi)
		return 0;
	snprintf(err, err_len, "platform.sf_args: %s: '%s' is not in %lu..%lu", key,
		value != NULL ? value : "", lo, hi);
	return -EINVAL;
}

static int
take(struct ethdev_args *args, const char *key, const char *value, char *err, size_t err_len)
{
	const bool is_rx = strcmp(key, "rx_desc") == 0, is_tx = strcmp(key, "tx_desc") == 0;
	const bool is_poll = strcmp(key, "poll") == 0, is_uso = strcmp(key, "uso") == 0;
	unsigned long n;
	int ret;

	if (!is_rx && !is_tx && !is_poll && !is_uso) {
		snprintf(err, err_len, "platform.sf_args: %s is unknown to ethdev; allowed: " KEYS,
			key);
		return -EINVAL;
	}
	ret = is_rx || is_tx ? number(key, value, 1, DESC_MAX, &n, err, err_len)
			     : number(key, value, 0, 1, &n, err, err_len);
	if (ret != 0)
		return ret;
	if (is_rx)
		args->rx_desc = (uint16_t)n;
	else if (is_tx)
		args->tx_desc = (uint16_t)n;
	else if (is_poll)
		args->poll = n != 0;
	else
		args->uso = n != 0;
	return 0;
}

/* "devargs=" where a key may begin. */
static const char *
devargs_find(const char *text)
{
	const char *at = text;

	while (at != NULL && strncmp(at, DEVARGS_KEY, strlen(DEVARGS_KEY)) != 0) {
		at = strchr(at, ',');
		if (at != NULL)
			at++;
	}
	return at;
}

int
ethdev_args_parse(const char *text, struct ethdev_args *args, char *err, size_t err_len)
{
	const char *devargs = text != NULL ? devargs_find(text) : NULL;
	struct rte_kvargs *kv;
	char *own;
	int ret = 0;

	memset(args, 0, sizeof(*args));
	if (devargs == NULL || devargs[strlen(DEVARGS_KEY)] == '\0') {
		snprintf(err, err_len,
			"platform.sf_args: ethdev needs devargs=..., e.g. "
			"devargs=net_tap{sf_num},iface={rep}");
		return -EINVAL;
	}
	args->tmpl = devargs + strlen(DEVARGS_KEY);
	if (devargs == text)
		return 0;
	own = strndup(text, (size_t)(devargs - text) - 1);
	kv = own != NULL ? rte_kvargs_parse(own, NULL) : NULL;
	if (kv == NULL) {
		snprintf(err, err_len, "platform.sf_args: '%s' is not a key=value list",
			own != NULL ? own : "");
		ret = -EINVAL;
	}
	for (unsigned int i = 0; kv != NULL && i < kv->count && ret == 0; i++)
		ret = take(args, kv->pairs[i].key, kv->pairs[i].value, err, err_len);
	rte_kvargs_free(kv);
	free(own);
	return ret;
}

/* Text of a placeholder: what is between the braces. @return false if there is no such */
static bool
fill_in(const char *name, size_t name_len, const struct sf_params *params, char *buf, size_t len)
{
	static const char *const names[] = {"sf_num", "rep", "mac", "queues"};
	unsigned int i;

	for (i = 0; i < RTE_DIM(names); i++)
		if (strlen(names[i]) == name_len && memcmp(names[i], name, name_len) == 0)
			break;
	switch (i) {
	case 0:
		snprintf(buf, len, "%" PRIu32, params->sf_num);
		return true;
	case 1:
		snprintf(buf, len, "%.*s", IFNAMSIZ - 1, params->rep);
		return true;
	case 2:
		snprintf(buf, len, RTE_ETHER_ADDR_PRT_FMT, RTE_ETHER_ADDR_BYTES(&params->mac));
		return true;
	case 3:
		snprintf(buf, len, "%u", RTE_MIN(params->max_pairs, SF_MAX_PAIRS));
		return true;
	default:
		return false;
	}
}

int
ethdev_args_expand(const char *tmpl, const struct sf_params *params, char *buf, size_t len,
	char *err, size_t err_len)
{
	char text[FILLED_MAX];
	size_t n = 0;

	while (*tmpl != '\0') {
		const size_t plain = strcspn(tmpl, "{}");
		const char *end;

		if (plain > 0) {
			n += (size_t)snprintf(buf + RTE_MIN(n, len), len - RTE_MIN(n, len), "%.*s",
				(int)plain, tmpl);
			tmpl += plain;
			continue;
		}
		end = strchr(tmpl, '}');
		if (*tmpl == '}' || end == NULL ||
			!fill_in(tmpl + 1, (size_t)(end - tmpl - 1), params, text, sizeof(text))) {
			snprintf(err, err_len,
				"platform.sf_args: devargs: '%.*s' is no placeholder; allowed: "
				"{sf_num}, {rep}, {mac}, {queues}",
				end != NULL ? (int)(end - tmpl + 1) : (int)strlen(tmpl), tmpl);
			return -EINVAL;
		}
		n += (size_t)snprintf(buf + RTE_MIN(n, len), len - RTE_MIN(n, len), "%s", text);
		tmpl = end + 1;
	}
	if (n >= len) {
		snprintf(err, err_len, "platform.sf_args: devargs has more than %zu characters",
			len - 1);
		return -EINVAL;
	}
	return 0;
}
