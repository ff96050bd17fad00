/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Reading virtnet.conf: one table of keys per object, checked strictly. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include <rte_common.h>

#include "config.h"
#include "emu/emu.h"
#include "host/host.h"
#include "sf/sf.h"
#include "virtio/features.h"
#include "virtio/virtio.h"

/* What is being read, for messages with line numbers. */
struct reader {
	const char *path;
	const char *text;
	char *err;
	size_t err_len, err_at;
	unsigned int problems;
};

enum key_type {
	KEY_UINT,   /* uint64_t, min..max */
	KEY_STRING, /* char[max], not empty unless min is 0 */
	KEY_DRIVER, /* char[max], checked by names() */
	KEY_OBJECT,
	KEY_ARRAY,
};

/* One key of an object. */
struct key {
	const char *name;
	enum key_type type;
	uint64_t min, max;
	size_t offset;
	const struct key *sub; /* KEY_OBJECT, or of each element of a KEY_ARRAY */
	size_t stride;	       /* KEY_ARRAY: bytes per element; max elements */
	size_t count_offset;
	void (*names)(char *buf, size_t len); /* KEY_DRIVER: what there is */
};

#define UINT(obj, field, lo, hi)                                                                   \
	{                                                                                          \
		.name = #field, .type = KEY_UINT, .min = lo, .max = hi,                            \
		.offset = offsetof(obj, field)                                                     \
	}
#define STRING(obj, field, lo)                                                                     \
	{                                                                                          \
		.name = #field, .type = KEY_STRING, .min = lo, .max = sizeof(((obj *)0)->field),   \
		.offset = offsetof(obj, field)                                                     \
	}
#define DRIVER(obj, field, list)                                                                   \
	{                                                                                          \
		.name = #field, .type = KEY_DRIVER, .max = sizeof(((obj *)0)->field),              \
		.offset = offsetof(obj, field), .names = list                                      \
	}
#define ARRAY(key, obj, field, count, keys)                                                        \
	{                                                                                          \
		.name = key, .type = KEY_ARRAY, .max = RTE_DIM(((obj *)0)->field),                 \
		.offset = offsetof(obj, field), .stride = sizeof(((obj *)0)->field[0]),            \
		.count_offset = offsetof(obj, count), .sub = keys                                  \
	}

static const struct key port_keys[] = {
	STRING(struct config_port, name, 1),
	STRING(struct config_port, pci_addr, 1),
	UINT(struct config_port, mtu, 68, 9216),
	{0},
};

static const struct key host_keys[] = {
	STRING(struct config_host, name, 1),
	DRIVER(struct config_host, driver, host_driver_names),
	STRING(struct config_host, qmp_socket, 1),
	ARRAY("root_ports", struct config_host, root_port, n_root_ports, NULL),
	UINT(struct config_host, msix_unplug_safe, 0, 1),
	{0},
};

#define VHOST_SERVER "server"
#define VHOST_CLIENT "client"

static void
vhost_mode_names(char *buf, size_t len)
{
	snprintf(buf, len, VHOST_SERVER ", " VHOST_CLIENT);
}

static const struct key platform_keys[] = {
	STRING(struct config, serial, 1),
	STRING(struct config, socket_dir, 1),
	DRIVER(struct config, emu, emu_driver_names),
	DRIVER(struct config, vhost_mode, vhost_mode_names),
	DRIVER(struct config, sf, sf_driver_names),
	STRING(struct config, sf_args, 0),
	UINT(struct config, max_host_functions, 0, CONFIG_HOST_FUNCTIONS_MAX),
	UINT(struct config, num_switch_ports, 1, CONFIG_SWITCH_PORTS_MAX),
	UINT(struct config, num_msix, 4, 256),
	UINT(struct config, idle_us, 1, 1000000),
	UINT(struct config, mbufs, 1024, 16 * 1024 * 1024),
	UINT(struct config, any_file, 0, 1),
	ARRAY("ports", struct config, port, n_ports, port_keys),
	ARRAY("hosts", struct config, host, n_hosts, host_keys),
	{0},
};

static const struct key top_keys[] = {
	STRING(struct config, ib_dev_p0, 1),
	UINT(struct config, packed_vq, 0, 1),
	UINT(struct config, mrg_rxbuf, 0, 1),
	{.name = "platform", .type = KEY_OBJECT, .sub = platform_keys},
	{0},
};

/* ---- messages ---- */

static int
line_of(const struct reader *r, const char *at)
{
	int line = 1;

	for (const char *c = r->text; c < at && *c != '\0'; c++)
		line += *c == '\n';
	return line;
}

/* Where a key stands in the text, searched from its parent on. */
static const char *
find_key(const char *from, const char *key)
{
	const size_t len = strlen(key);
	const char *at = from;

	while ((at = strchr(at, '"')) != NULL) {
		if (strncmp(at + 1, key, len) == 0 && at[1 + len] == '"')
			return at;
		at++;
	}
	return from;
}

static void __rte_format_printf(3, 4)
	problem(struct reader *r, const char *at, const char *fmt, ...)
{
	va_list ap;
	int n;

	r->problems++;
	n = snprintf(r->err + r->err_at, r->err_len - r->err_at, "%s%s:%d: ", r->err_at ? "\n" : "",
		r->path, line_of(r, at));
	r->err_at = RTE_MIN(r->err_at + (size_t)n, r->err_len - 1);
	va_start(ap, fmt);
	n = vsnprintf(r->err + r->err_at, r->err_len - r->err_at, fmt, ap);
	va_end(ap);
	r->err_at = RTE_MIN(r->err_at + (size_t)n, r->err_len - 1);
}

static const char *
type_name(const json_t *v)
{
	static const char *const name[] = {"an object", "an array", "a string", "a number",
		"a real number", "true", "false", "null"};

	return name[json_typeof(v)];
}

/* ---- values ---- */

static void read_object(struct reader *r, json_t *obj, const struct key *keys, void *base,
	const char *where, const char *at);

static void
read_uint(struct reader *r, json_t *v, const struct key *k, void *base, const char *where,
	const char *at)
{
	if (!json_is_integer(v)) {
		problem(r, at, "%s%s: a number is wanted, not %s", where, k->name, type_name(v));
		return;
	}
	if (json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) < k->min ||
		(uint64_t)json_integer_value(v) > k->max) {
		problem(r, at,
			"%s%s: %" JSON_INTEGER_FORMAT " is out of range (%" PRIu64 "..%" PRIu64 ")",
			where, k->name, json_integer_value(v), k->min, k->max);
		return;
	}
	*(uint64_t *)((char *)base + k->offset) = (uint64_t)json_integer_value(v);
}

static void
read_string(struct reader *r, json_t *v, const struct key *k, void *base, const char *where,
	const char *at)
{
	const char *s = json_string_value(v);

	if (s == NULL) {
		problem(r, at, "%s%s: a string is wanted, not %s", where, k->name, type_name(v));
		return;
	}
	if (strlen(s) < k->min || strlen(s) >= k->max) {
		problem(r, at, "%s%s: a string of %" PRIu64 "..%" PRIu64 " characters is wanted",
			where, k->name, k->min, k->max - 1);
		return;
	}
	strcpy((char *)base + k->offset, s);
}

static void
read_driver(struct reader *r, json_t *v, const struct key *k, void *base, const char *where,
	const char *at)
{
	char list[256], copy[256], *save = NULL;
	const char *s = json_string_value(v);

	k->names(list, sizeof(list));
	strcpy(copy, list);
	for (char *one = strtok_r(copy, ", ", &save); s != NULL && one != NULL;
		one = strtok_r(NULL, ", ", &save))
		if (strcmp(one, s) == 0) {
			read_string(r, v, k, base, where, at);
			return;
		}
	problem(r, at, "%s%s: %s is none of: %s", where, k->name, s != NULL ? s : type_name(v),
		list);
}

static void
read_array(struct reader *r, json_t *v, const struct key *k, void *base, const char *where,
	const char *at)
{
	const struct key element = {
		.name = k->name, .type = KEY_STRING, .min = 1, .max = k->stride};
	char sub[64];
	size_t i;
	json_t *e;

	if (!json_is_array(v) || json_array_size(v) == 0 || json_array_size(v) > k->max) {
		problem(r, at, "%s%s: an array of 1..%" PRIu64 " elements is wanted", where,
			k->name, k->max);
		return;
	}
	json_array_foreach (v, i, e) {
		void *slot = (char *)base + k->offset + i * k->stride;

		if (k->sub == NULL) {
			read_string(r, e, &element, slot, where, at);
			continue;
		}
		at = strchr(at + 1, '{') != NULL ? strchr(at + 1, '{') : at;
		snprintf(sub, sizeof(sub), "%s%s[%zu].", where, k->name, i);
		read_object(r, e, k->sub, slot, sub, at);
	}
	*(unsigned int *)((char *)base + k->count_offset) = json_array_size(v);
}

static void
read_value(struct reader *r, json_t *v, const struct key *k, void *base, const char *where,
	const char *at)
{
	char sub[64];

	switch (k->type) {
	case KEY_UINT:
		read_uint(r, v, k, base, where, at);
		break;
	case KEY_STRING:
		read_string(r, v, k, base, where, at);
		break;
	case KEY_DRIVER:
		read_driver(r, v, k, base, where, at);
		break;
	case KEY_OBJECT:
		snprintf(sub, sizeof(sub), "%s%s.", where, k->name);
		read_object(r, v, k->sub, (char *)base + k->offset, sub, at);
		break;
	case KEY_ARRAY:
		read_array(r, v, k, base, where, at);
		break;
	}
}

static void
unknown_key(struct reader *r, const char *name, const struct key *keys, const char *where,
	const char *at)
{
	char list[512] = "";
	size_t n = 0;

	for (const struct key *k = keys; k->name != NULL && n < sizeof(list); k++)
		n += snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "", k->name);
	problem(r, at, "%s%s: unknown key; known are: %s", where, name, list);
}

static void
read_object(struct reader *r, json_t *obj, const struct key *keys, void *base, const char *where,
	const char *at)
{
	const char *name;
	json_t *v;

	if (!json_is_object(obj)) {
		problem(r, at, "%.*s: an object is wanted, not %s",
			where[0] ? (int)strlen(where) - 1 : 8, where[0] ? where : "the file",
			type_name(obj));
		return;
	}
	json_object_foreach (obj, name, v) {
		const char *here = find_key(at, name);
		const struct key *k = keys;

		while (k->name != NULL && strcmp(k->name, name) != 0)
			k++;
		if (k->name != NULL)
			read_value(r, v, k, base, where, here);
		else
			unknown_key(r, name, keys, where, here);
	}
}

/* ---- the whole ---- */

static void
defaults(struct config *cfg)
{
	*cfg = (struct config){
		.ib_dev_p0 = "mlx5_0",
		.serial = "MT2611X00001",
		.socket_dir = "/run/virtnet",
		.emu = "vfio_user",
		.vhost_mode = VHOST_SERVER,
		.sf = "tap",
		.num_msix = 64,
		.idle_us = 100,
		.mbufs = 32768,
	};
}

/* A card's own number is not exceeded by mistake: whoever wants more says so twice. */
static void
complete_functions(struct reader *r, struct config *cfg)
{
	const uint64_t max = cfg->max_host_functions;

	if (cfg->num_switch_ports == 0)
		cfg->num_switch_ports =
			max == 0 ? CONFIG_SWITCH_PORTS : RTE_MIN(max, CONFIG_SWITCH_PORTS);
	else if (max == 0 && cfg->num_switch_ports > CONFIG_SWITCH_PORTS)
		problem(r, find_key(r->text, "num_switch_ports"),
			"platform.num_switch_ports: %" PRIu64 " is out of range (1..%u); more "
			"than %u need platform.max_host_functions (%" PRIu64 "..%u)",
			cfg->num_switch_ports, CONFIG_SWITCH_PORTS, CONFIG_SWITCH_PORTS,
			cfg->num_switch_ports, CONFIG_HOST_FUNCTIONS_MAX);
	else if (max != 0 && cfg->num_switch_ports > max)
		problem(r, find_key(r->text, "num_switch_ports"),
			"platform.num_switch_ports: %" PRIu64 " is out of range (1..%" PRIu64
			", by platform.max_host_functions)",
			cfg->num_switch_ports, max);
}

/* Ports and hosts that the file does not name, and what ties keys together. */
static void
complete(struct reader *r, struct config *cfg)
{
	complete_functions(r, cfg);
	if (cfg->n_ports == 0) {
		cfg->n_ports = 1;
		strcpy(cfg->port[0].name, cfg->ib_dev_p0);
	}
	for (unsigned int i = 0; i < cfg->n_ports; i++) {
		if (cfg->port[i].name[0] == '\0')
			problem(r, r->text, "platform.ports[%u].name is missing", i);
		if (cfg->port[i].pci_addr[0] == '\0')
			snprintf(cfg->port[i].pci_addr, sizeof(cfg->port[i].pci_addr),
				"0000:03:00.%u", i);
		if (cfg->port[i].mtu == 0)
			cfg->port[i].mtu = 9216;
	}
	if (cfg->n_hosts == 0) {
		cfg->n_hosts = 1;
		strcpy(cfg->host[0].name, "local");
	}
	for (unsigned int i = 0; i < cfg->n_hosts; i++) {
		struct config_host *h = &cfg->host[i];

		if (h->driver[0] == '\0')
			strcpy(h->driver, h->qmp_socket[0] != '\0' ? "qmp" : "none");
		if (h->name[0] == '\0')
			problem(r, r->text, "platform.hosts[%u].name is missing", i);
		for (unsigned int j = 0; j < i; j++)
			if (strcmp(cfg->host[j].name, h->name) == 0)
				problem(r, r->text, "platform.hosts[%u].name: %s is used twice", i,
					h->name);
		for (unsigned int j = 0; j < h->n_root_ports; j++)
			h->root_ports[j] = h->root_port[j];
	}
	if (config_find_port(cfg, cfg->ib_dev_p0) == NULL)
		problem(r, find_key(r->text, "ib_dev_p0"),
			"ib_dev_p0: %s is none of platform.ports", cfg->ib_dev_p0);
}

static char *
read_file(const char *path, char *err, size_t err_len, int *ret)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text = NULL;
	struct stat st;
	ssize_t n;

	*ret = 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		*ret = -errno;
	else if (!S_ISREG(st.st_mode))
		*ret = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	else if (st.st_size > CONFIG_FILE_MAX)
		*ret = -EFBIG;
	else if ((text = calloc(1, st.st_size + 1)) == NULL)
		*ret = -ENOMEM;
	else if ((n = read(fd, text, st.st_size)) != st.st_size)
		*ret = n < 0 ? -errno : -EIO;
	if (fd >= 0)
		close(fd);
	if (*ret < 0) {
		snprintf(err, err_len, "%s: %s", path,
			*ret == -EINVAL ? "not a regular file" : strerror(-*ret));
		free(text);
		return NULL;
	}
	return text;
}

int
config_load(struct config *cfg, const char *path, char *err, size_t err_len)
{
	struct reader r = {.path = path, .err = err, .err_len = err_len};
	json_error_t je;
	json_t *root;
	char *text;
	int ret;

	err[0] = '\0';
	defaults(cfg);
	if (path == NULL) {
		r.text = "";
		complete(&r, cfg);
		return 0;
	}
	text = read_file(path, err, err_len, &ret);
	if (text == NULL)
		return ret;
	r.text = text;
	root = json_loads(text, JSON_REJECT_DUPLICATES, &je);
	if (root == NULL) {
		snprintf(err, err_len, "%s:%d: %s", path, je.line, je.text);
		free(text);
		return -EINVAL;
	}
	read_object(&r, root, top_keys, cfg, "", text);
	if (r.problems == 0)
		complete(&r, cfg);
	json_decref(root);
	free(text);
	return r.problems == 0 ? 0 : -EINVAL;
}

bool
config_vhost_client(const struct config *cfg)
{
	return strcmp(cfg->vhost_mode, VHOST_CLIENT) == 0;
}

uint64_t
config_features(const struct config *cfg)
{
	uint64_t features = virtio_net_supported_features();

	if (!cfg->packed_vq)
		features &= ~VIRTIO_BIT(VIRTIO_F_RING_PACKED);
	if (!cfg->mrg_rxbuf)
		features &= ~VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF);
	return features;
}

const struct config_port *
config_find_port(const struct config *cfg, const char *name)
{
	for (unsigned int i = 0; i < cfg->n_ports; i++)
		if (strcmp(cfg->port[i].name, name) == 0)
			return &cfg->port[i];
	return NULL;
}
