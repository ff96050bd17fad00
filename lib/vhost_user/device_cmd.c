/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The commands: what each must look like; features, status, configuration, log. */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "device_impl.h"
#include "sock/discard.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BIT64(n)      (UINT64_C(1) << (n))

/** What the device side deals with by itself. */
#define OWN_FEATURES (BIT64(VHOST_USER_F_PROTOCOL_FEATURES) | BIT64(VHOST_F_LOG_ALL))

/** Bounds of an IPv4 link's MTU, which a client may set. */
#define MTU_MIN	   68u
#define MTU_MAX	   65535u

#define STATUS_MAX 255u

uint64_t
vhost_device_number(const uint8_t *body)
{
	uint64_t value;

	memcpy(&value, body, sizeof(value));
	return value;
}

int
vhost_device_file_covers(int fd, uint64_t offset, uint64_t size, uint64_t *dev, uint64_t *ino)
{
	struct stat st;

	if (offset > INT64_MAX || size > INT64_MAX - offset)
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < offset + size)
		return -EINVAL;
	if (dev != NULL)
		*dev = st.st_dev;
	if (ino != NULL)
		*ino = st.st_ino;
	return 0;
}

static int
cmd_nothing(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	return 0;
}

/* ---- features */

static uint64_t
features_offered(const struct vhost_user_device *dev)
{
	const uint64_t device = dev->ops->get_features(dev->conf.ctx);

	return (device & ~BIT64(VIRTIO_F_ACCESS_PLATFORM)) | OWN_FEATURES;
}

static int
cmd_get_features(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	vhost_device_reply_number(dev, features_offered(dev));
	return 0;
}

static int
features_store(struct vhost_user_device *dev, int err)
{
	if (err < 0)
		return err;
	if (((dev->state->features ^ dev->value) & BIT64(VIRTIO_F_RING_PACKED)) != 0)
		vhost_device_rings_displace(dev);
	dev->state->features = dev->value;
	if (!vhost_device_has(dev, VHOST_USER_F_PROTOCOL_FEATURES))
		vhost_device_rings_enable(dev);
	return 0;
}

/* Virtio's features are known; logging begins or ends before the client is told that it has. */
static int
features_logging(struct vhost_user_device *dev, int err)
{
	const uint64_t changed = dev->state->features ^ dev->value;

	if (err < 0)
		return err;
	if ((changed & BIT64(VHOST_F_LOG_ALL)) == 0 || dev->state->log_size == 0)
		return features_store(dev, 0);
	return vhost_device_then(dev,
		dev->ops->logging(dev->conf.ctx, (dev->value & BIT64(VHOST_F_LOG_ALL)) != 0),
		features_store);
}

static int
cmd_set_features(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	const uint64_t value = vhost_device_number(body);

	dev->value = value;
	if ((value & ~features_offered(dev)) != 0)
		return -EINVAL;
	if (vhost_device_runs(dev)) {
		if (((value ^ dev->state->features) & ~BIT64(VHOST_F_LOG_ALL)) != 0)
			return -EBUSY;
		return features_logging(dev, 0);
	}
	return vhost_device_then(dev, dev->ops->set_features(dev->conf.ctx, value & ~OWN_FEATURES),
		features_logging);
}

static int
cmd_get_protocol_features(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	vhost_device_reply_number(dev, dev->protocol_features);
	return 0;
}

static int
cmd_set_protocol_features(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	const uint64_t value = vhost_device_number(body);

	if ((value & ~dev->protocol_features) != 0)
		return -EINVAL;
	dev->state->protocol_features = value;
	return 0;
}

static int
cmd_get_queue_num(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	/* Of a network device they are counted in pairs. */
	vhost_device_reply_number(dev, dev->conf.pairs);
	return 0;
}

static int
cmd_get_max_mem_slots(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	vhost_device_reply_number(dev, VHOST_USER_SLOTS_MAX);
	return 0;
}

/* ---- log */

static int
cmd_set_log_base(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	struct vhost_user_state *st = dev->state;
	struct vhost_user_log log;
	int ret, fd = dev->mb->nfds > 0 ? dev->req_fds[0] : -1;

	memcpy(&log, body, sizeof(log));
	if (log.size == 0)
		return -EINVAL;
	ret = vhost_device_file_covers(fd, log.offset, log.size, NULL, NULL);
	if (ret < 0)
		return ret;
	ret = dev->ops->log_base(dev->conf.ctx, log.size, log.offset, vhost_device_take_fd(dev, 0));
	if (ret < 0)
		return ret;
	st->log_size = log.size;
	st->log_offset = log.offset;
	if (!vhost_user_device_logging(dev))
		return 0;
	return dev->ops->logging(dev->conf.ctx, true);
}

static int
cmd_set_log_fd(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	if (!sock_fd_is_eventfd(dev->req_fds[0]))
		return -EINVAL;
	if (dev->ops->log_fd == NULL)
		return 0;
	return dev->ops->log_fd(dev->conf.ctx, vhost_device_take_fd(dev, 0));
}

/* ---- status and configuration */

static int
status_reset_done(struct vhost_user_device *dev, int err)
{
	if (err == 0)
		vhost_device_rings_reset(dev, false);
	return err;
}

static int
cmd_set_status(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	const uint64_t value = vhost_device_number(body);
	int ret;

	if (value > STATUS_MAX)
		return -EINVAL;
	ret = dev->ops->set_status(dev->conf.ctx, (uint8_t)value);
	return value == 0 ? vhost_device_then(dev, ret, status_reset_done) : ret;
}

static int
cmd_get_status(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	vhost_device_reply_number(dev, dev->ops->get_status(dev->conf.ctx));
	return 0;
}

static int
reset_done(struct vhost_user_device *dev, int err)
{
	if (err == 0)
		vhost_device_rings_reset(dev, true);
	return err;
}

static int
cmd_reset_device(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	return vhost_device_then(dev, dev->ops->reset(dev->conf.ctx), reset_done);
}

static int
config_access(const uint8_t *body, struct vhost_user_config *c)
{
	memcpy(c, body, sizeof(*c));
	if (c->offset > VHOST_USER_CONFIG_MAX || c->size == 0 ||
		c->size > VHOST_USER_CONFIG_MAX - c->offset)
		return -EINVAL;
	return 0;
}

static int
cmd_get_config(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	struct vhost_user_config c;
	int ret = config_access(body, &c);

	if (ret < 0 || (len != sizeof(c) && len != sizeof(c) + c.size))
		return -EINVAL;
	if (dev->ops->config_read == NULL)
		return -ENOTSUP;
	vhost_device_reply_put(dev, &c, sizeof(c));
	/* What the operation does not fill must not tell of a former message. */
	memset(dev->mb->reply + sizeof(c), 0, c.size);
	dev->reply_len += c.size;
	return dev->ops->config_read(dev->conf.ctx, c.offset, dev->mb->reply + sizeof(c), c.size);
}

static int
cmd_set_config(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	struct vhost_user_config c;

	if (config_access(body, &c) < 0 || len != sizeof(c) + c.size ||
		c.flags > VHOST_USER_CONFIG_MIGRATION)
		return -EINVAL;
	if (dev->ops->config_write == NULL)
		return -ENOTSUP;
	return dev->ops->config_write(dev->conf.ctx, c.offset, body + sizeof(c), c.size,
		c.flags == VHOST_USER_CONFIG_MIGRATION);
}

static int
cmd_set_mtu(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	const uint64_t mtu = vhost_device_number(body);

	if (mtu < MTU_MIN || mtu > MTU_MAX)
		return -EINVAL;
	if (dev->ops->set_mtu == NULL)
		return -ENOTSUP;
	return dev->ops->set_mtu(dev->conf.ctx, (uint16_t)mtu);
}

static int
cmd_send_rarp(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	if (dev->ops->send_rarp == NULL)
		return -ENOTSUP;
	return dev->ops->send_rarp(dev->conf.ctx, body);
}

static int
cmd_set_backend_req_fd(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	if (dev->ops->backend_channel == NULL)
		return 0;
	return dev->ops->backend_channel(dev->conf.ctx, vhost_device_take_fd(dev, 0));
}

/* ---- table */

#define NO_BODY	  0, 0
#define NUMBER	  sizeof(uint64_t), sizeof(uint64_t)
#define BODY(s)	  sizeof(struct vhost_user_##s), sizeof(struct vhost_user_##s)
#define FDS(a, b) a, b
#define NO_FDS	  0, 0
/* Protocol feature that must be offered, and whether a failure may pass in silence. */
#define ALWAYS	      0, false
#define NEEDS(f)      VHOST_USER_PROTOCOL_BIT(f), false
#define NEEDS_SOFT(f) VHOST_USER_PROTOCOL_BIT(f), true

/* So much of a memory table is there if it has no region. */
#define TABLE_HEAD offsetof(struct vhost_user_mem_table, region)
#define TABLE_BODY TABLE_HEAD, sizeof(struct vhost_user_mem_table)
#define CONFIG_BODY                                                                                \
	sizeof(struct vhost_user_config), sizeof(struct vhost_user_config) + VHOST_USER_CONFIG_MAX

static const struct vhost_device_command commands[] = {
	[VHOST_USER_GET_FEATURES] = {NO_BODY, NO_FDS, cmd_get_features, ALWAYS},
	[VHOST_USER_SET_FEATURES] = {NUMBER, NO_FDS, cmd_set_features, ALWAYS},
	[VHOST_USER_SET_OWNER] = {NO_BODY, NO_FDS, cmd_nothing, ALWAYS},
	[VHOST_USER_RESET_OWNER] = {NO_BODY, NO_FDS, cmd_nothing, ALWAYS},
	[VHOST_USER_SET_MEM_TABLE] = {TABLE_BODY, FDS(0, VHOST_USER_TABLE_MAX),
		vhost_device_set_mem_table, ALWAYS},
	[VHOST_USER_SET_LOG_BASE] = {BODY(log), FDS(1, 1), cmd_set_log_base, NEEDS(LOG_SHMFD)},
	[VHOST_USER_SET_LOG_FD] = {NO_BODY, FDS(1, 1), cmd_set_log_fd, ALWAYS},
	[VHOST_USER_SET_VRING_NUM] = {BODY(vring_state), NO_FDS, vhost_device_set_vring_num,
		ALWAYS},
	[VHOST_USER_SET_VRING_ADDR] = {BODY(vring_addr), NO_FDS, vhost_device_set_vring_addr,
		ALWAYS},
	[VHOST_USER_SET_VRING_BASE] = {BODY(vring_state), NO_FDS, vhost_device_set_vring_base,
		ALWAYS},
	[VHOST_USER_GET_VRING_BASE] = {BODY(vring_state), NO_FDS, vhost_device_get_vring_base,
		ALWAYS},
	[VHOST_USER_SET_VRING_KICK] = {NUMBER, FDS(0, 1), vhost_device_set_vring_fd, ALWAYS},
	[VHOST_USER_SET_VRING_CALL] = {NUMBER, FDS(0, 1), vhost_device_set_vring_fd, ALWAYS},
	[VHOST_USER_SET_VRING_ERR] = {NUMBER, FDS(0, 1), vhost_device_set_vring_fd, ALWAYS},
	[VHOST_USER_GET_PROTOCOL_FEATURES] = {NO_BODY, NO_FDS, cmd_get_protocol_features, ALWAYS},
	[VHOST_USER_SET_PROTOCOL_FEATURES] = {NUMBER, NO_FDS, cmd_set_protocol_features, ALWAYS},
	[VHOST_USER_GET_QUEUE_NUM] = {NO_BODY, NO_FDS, cmd_get_queue_num, NEEDS(MQ)},
	[VHOST_USER_SET_VRING_ENABLE] = {BODY(vring_state), NO_FDS, vhost_device_set_vring_enable,
		ALWAYS},
	[VHOST_USER_SEND_RARP] = {NUMBER, NO_FDS, cmd_send_rarp, NEEDS_SOFT(RARP)},
	[VHOST_USER_NET_SET_MTU] = {NUMBER, NO_FDS, cmd_set_mtu, NEEDS_SOFT(MTU)},
	[VHOST_USER_SET_BACKEND_REQ_FD] = {NO_BODY, FDS(1, 1), cmd_set_backend_req_fd,
		NEEDS(BACKEND_REQ)},
	[VHOST_USER_GET_CONFIG] = {CONFIG_BODY, NO_FDS, cmd_get_config, NEEDS(CONFIG)},
	[VHOST_USER_SET_CONFIG] = {CONFIG_BODY, NO_FDS, cmd_set_config, NEEDS_SOFT(CONFIG)},
	[VHOST_USER_RESET_DEVICE] = {NO_BODY, NO_FDS, cmd_reset_device, NEEDS(RESET_DEVICE)},
	[VHOST_USER_GET_MAX_MEM_SLOTS] = {NO_BODY, NO_FDS, cmd_get_max_mem_slots,
		NEEDS(CONFIGURE_MEM_SLOTS)},
	[VHOST_USER_ADD_MEM_REG] = {BODY(mem_single), FDS(1, 1), vhost_device_add_mem_reg,
		NEEDS(CONFIGURE_MEM_SLOTS)},
	/* Some clients send a descriptor along, which is not used. */
	[VHOST_USER_REM_MEM_REG] = {BODY(mem_single), FDS(0, 1), vhost_device_rem_mem_reg,
		NEEDS(CONFIGURE_MEM_SLOTS)},
	[VHOST_USER_SET_STATUS] = {NUMBER, NO_FDS, cmd_set_status, NEEDS(STATUS)},
	[VHOST_USER_GET_STATUS] = {NO_BODY, NO_FDS, cmd_get_status, NEEDS(STATUS)},
};

const struct vhost_device_command *
vhost_device_command_get(uint32_t request)
{
	static const struct vhost_device_command unsupported = {.run = NULL};

	return request < ARRAY_SIZE(commands) ? &commands[request] : &unsupported;
}
