/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_CMD_H
#define APP_CMD_H

/**
 * @file
 * The commands: one table of names, parameters, help, reply shape and handlers. Parameter checks,
 * the telemetry endpoints and the schema that virtnet.py works with are made from it.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "request.h"

enum cmd_param_type {
	PARAM_STRING,
	PARAM_UINT, /**< decimal or 0x hex, min..max */
	PARAM_HEX,  /**< the same, shown as hex */
	PARAM_MAC,
	PARAM_FLAG,
	PARAM_ENUM, /**< one of values */
	PARAM_PATH, /**< a file; virtnet.py makes it absolute */
};

struct cmd_param {
	const char *key;    /**< in requests */
	const char *option; /**< long option; NULL: as the key */
	const char *abbr;
	enum cmd_param_type type;
	const char *metavar;
	uint64_t min, max;
	const char *values[4];
	bool required;
	const char *exclusive; /**< group: one member at most; exactly one if required */
	const char *with;      /**< only together with this parameter */
	bool echo_always;      /**< a flag that is sent even when not given */
	bool extension;	       /**< not in the original */
	const char *help;
};

/** A reply key that virtnet.py has to work on. */
struct cmd_shape {
	const char *key;
	const char *name; /**< printed name, or NULL */
	const char *bits; /**< table of bit names to expand it with, or NULL */
	bool seconds;	  /**< microseconds, shown as seconds with six digits */
};

enum cmd_reply {
	REPLY_OBJECT,
	REPLY_DEVICES, /**< paged devices and queues */
	REPLY_TEXT,
	REPLY_ARRAY,
	REPLY_PLAIN, /**< an object without errno and errstr, or a text */
	REPLY_RAW,   /**< not spoken by virtnet.py */
};

enum cmd_flag {
	/** Adds or takes away devices: refused while they go to another process. */
	CMD_CHANGES_DEVICES = 1u << 0,
	/** Changes nothing: virtnet.py asks again when the process dies before it answers. */
	CMD_ASKS = 1u << 1,
};

struct cmd {
	const char *name;
	const char *endpoint;
	const char *help;
	enum cmd_reply reply;
	unsigned int timeout_ms;
	unsigned int flags;		/**< enum cmd_flag */
	const struct cmd_param *params; /**< ends with a NULL key */
	const struct cmd_shape *shape;	/**< ends with a NULL key */
	/** Control lcore. Ends the request, now or later. */
	void (*handler)(struct controller *c, struct request *req);
	/** Request whose `status` virtnet.py follows until it is not "ongoing", or NULL. */
	const char *follow;
};

extern const struct cmd cmd_table[];
extern const unsigned int cmd_table_len;

/**
 * Parse "key=value,..." into the request's arguments.
 * @return 0; -EINVAL with a sentence in err
 */
int cmd_parse(struct request *req, const char *params, char *err, size_t err_len);

/** Write the schema for virtnet.py. */
void cmd_print_schema(FILE *out);

/* handlers */
void cmd_hotplug(struct controller *c, struct request *req);
void cmd_unplug(struct controller *c, struct request *req);
void cmd_list(struct controller *c, struct request *req);
void cmd_query(struct controller *c, struct request *req);
void cmd_log(struct controller *c, struct request *req);
void cmd_version(struct controller *c, struct request *req);
void cmd_validate(struct controller *c, struct request *req);
void cmd_workers(struct controller *c, struct request *req);
void cmd_restart(struct controller *c, struct request *req);
void cmd_update(struct controller *c, struct request *req);

#endif /* APP_CMD_H */
