/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Body of a VERSION message: version numbers and the JSON of capabilities, both ways. */

#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "codec.h"

void
vfio_user_caps_default(struct vfio_user_caps *caps)
{
	*caps = (struct vfio_user_caps){
		.max_msg_fds = 1,
		.max_data_xfer_size = 1024 * 1024,
		.max_dma_maps = VFIO_USER_DMA_MAPS_MAX,
		.pgsizes = VFIO_USER_PAGE_SIZE,
	};
}

/* The parser recurses; a peer must not choose how deep. */
static bool
json_depth_ok(const char *text)
{
	bool in_string = false;
	unsigned int depth = 0;

	for (const char *p = text; *p != '\0'; p++) {
		if (in_string) {
			if (*p == '\\' && p[1] != '\0')
				p++;
			else if (*p == '"')
				in_string = false;
			continue;
		}
		if (*p == '"')
			in_string = true;
		else if ((*p == '{' || *p == '[') && ++depth > VFIO_USER_JSON_DEPTH_MAX)
			return false;
		else if ((*p == '}' || *p == ']') && depth > 0)
			depth--;
	}
	return true;
}

/* 0 and *value untouched if absent. */
static int
cap_number(const json_t *caps, const char *name, uint64_t max, uint64_t *value)
{
	const json_t *v = json_object_get(caps, name);

	if (v == NULL)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return -EINVAL;
	*value = (uint64_t)json_integer_value(v);
	if (*value > max)
		*value = max;
	return 0;
}

static int
cap_number32(const json_t *caps, const char *name, uint32_t *value)
{
	uint64_t v = *value;
	int ret = cap_number(caps, name, UINT32_MAX, &v);

	*value = (uint32_t)v;
	return ret;
}

static int
caps_read(const json_t *root, struct vfio_user_caps *out)
{
	const json_t *caps, *multi;

	if (!json_is_object(root))
		return -EINVAL;
	caps = json_object_get(root, "capabilities");
	if (caps == NULL)
		return 0;
	if (!json_is_object(caps))
		return -EINVAL;
	multi = json_object_get(caps, "write_multiple");
	if (multi != NULL && !json_is_boolean(multi))
		return -EINVAL;
	out->write_multiple = json_is_true(multi);
	if (cap_number32(caps, "max_msg_fds", &out->max_msg_fds) < 0 ||
		cap_number32(caps, "max_data_xfer_size", &out->max_data_xfer_size) < 0 ||
		cap_number32(caps, "max_dma_maps", &out->max_dma_maps) < 0 ||
		cap_number(caps, "pgsizes", INT64_MAX, &out->pgsizes) < 0)
		return -EINVAL;
	return 0;
}

int
vfio_user_version_parse(const uint8_t *body, size_t len, struct vfio_user_version *version,
	struct vfio_user_caps *caps)
{
	const char *text = (const char *)body + sizeof(*version);
	size_t text_len;
	json_t *root;
	int ret;

	vfio_user_caps_default(caps);
	if (len < sizeof(*version))
		return -EINVAL;
	memcpy(version, body, sizeof(*version));
	text_len = len - sizeof(*version);
	if (text_len == 0)
		return 0;
	if (strnlen(text, text_len) != text_len - 1 || !json_depth_ok(text))
		return -EINVAL;
	if (text_len == 1)
		return 0;
	root = json_loads(text, 0, NULL);
	if (root == NULL)
		return -EINVAL;
	ret = caps_read(root, caps);
	json_decref(root);
	return ret;
}

int
vfio_user_version_build(uint8_t *body, size_t room, const struct vfio_user_caps *caps)
{
	const struct vfio_user_version version = {
		.major = VFIO_USER_VERSION_MAJOR,
		.minor = VFIO_USER_VERSION_MINOR,
	};
	json_t *root, *obj;
	size_t len;

	if (room <= sizeof(version))
		return -ENOBUFS;
	root = json_pack("{s:{s:I,s:I,s:I,s:I}}", "capabilities", "max_msg_fds",
		(json_int_t)caps->max_msg_fds, "max_data_xfer_size",
		(json_int_t)caps->max_data_xfer_size, "max_dma_maps",
		(json_int_t)caps->max_dma_maps, "pgsizes", (json_int_t)caps->pgsizes);
	if (root == NULL)
		return -ENOMEM;
	obj = json_object_get(root, "capabilities");
	if (caps->write_multiple && json_object_set_new(obj, "write_multiple", json_true()) < 0) {
		json_decref(root);
		return -ENOMEM;
	}
	memcpy(body, &version, sizeof(version));
	room -= sizeof(version);
	len = json_dumpb(root, (char *)body + sizeof(version), room, JSON_COMPACT);
	json_decref(root);
	if (len == 0 || len >= room)
		return -ENOBUFS;
	body[sizeof(version) + len] = '\0';
	return (int)(sizeof(version) + len + 1);
}
