/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Parameters of commands: from "key=value,..." to checked arguments. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_kvargs.h>

#include "cmd.h"

struct parse {
	struct request *req;
	char *err;
	size_t err_len;
};

static int
parse_number(const char *text, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 0);
	return *text == '\0' || *text == '-' || *end != '\0' || errno != 0 ? -EINVAL : 0;
}

static int
parse_enum(const struct cmd_param *p, const char *text, struct parse *ps)
{
	char list[128] = "";
	size_t at = 0;

	for (unsigned int i = 0; i < RTE_DIM(p->values) && p->values[i] != NULL; i++) {
		if (strcmp(p->values[i], text) == 0)
			return 0;
		at += snprintf(list + at, sizeof(list) - at, "%s%s", i ? ", " : "", p->values[i]);
	}
	snprintf(ps->err, ps->err_len, "%s: %s is none of: %s", p->key, text, list);
	return -EINVAL;
}

static int
parse_value(const struct cmd_param *p, const char *text, struct request_arg *arg, struct parse *ps)
{
	if (strlen(text) >= sizeof(arg->str)) {
		snprintf(ps->err, ps->err_len, "%s: longer than %zu characters", p->key,
			sizeof(arg->str) - 1);
		return -EINVAL;
	}
	strcpy(arg->str, text);
	switch (p->type) {
	case PARAM_FLAG:
		if (parse_number(text, &arg->num) < 0 || arg->num > 1) {
			snprintf(ps->err, ps->err_len, "%s: %s is neither 0 nor 1", p->key, text);
			return -EINVAL;
		}
		arg->given = arg->num == 1; /* a flag that is 0 is a flag not given */
		return 0;
	case PARAM_UINT:
	case PARAM_HEX:
		if (parse_number(text, &arg->num) < 0) {
			snprintf(ps->err, ps->err_len, "%s: %s is not a number", p->key, text);
			return -EINVAL;
		}
		if (arg->num < p->min || arg->num > p->max) {
			snprintf(ps->err, ps->err_len,
				"%s: %s is out of range (%" PRIu64 "..%" PRIu64 ")", p->key, text,
				p->min, p->max);
			return -EINVAL;
		}
		break;
	case PARAM_ENUM:
		if (parse_enum(p, text, ps) < 0)
			return -EINVAL;
		break;
	case PARAM_STRING:
	case PARAM_MAC:
	case PARAM_PATH:
		break;
	}
	arg->given = true;
	return 0;
}

static int
parse_pair(const char *key, const char *value, void *opaque)
{
	struct parse *ps = opaque;
	const struct cmd *cmd = ps->req->cmd;

	if (value == NULL) {
		snprintf(ps->err, ps->err_len, "%s: no value", key);
		return -EINVAL;
	}
	if (cmd->reply == REPLY_DEVICES && strcmp(key, "at") == 0) {
		if (parse_number(value, &ps->req->at) == 0)
			return 0;
		snprintf(ps->err, ps->err_len, "at: %s is not a number", value);
		return -EINVAL;
	}
	for (unsigned int i = 0; cmd->params[i].key != NULL; i++)
		if (strcmp(cmd->params[i].key, key) == 0)
			return parse_value(&cmd->params[i], value, &ps->req->arg[i], ps);
	snprintf(ps->err, ps->err_len, "%s has no parameter %s", cmd->name, key);
	return -EINVAL;
}

/* Members of a group that were given; the group's names go to list. */
static unsigned int
count_group(const struct request *req, const char *group, char *list, size_t len)
{
	const struct cmd_param *p = req->cmd->params;
	unsigned int n = 0;
	size_t at = 0;

	for (unsigned int i = 0; p[i].key != NULL; i++) {
		if (p[i].exclusive == NULL || strcmp(p[i].exclusive, group) != 0)
			continue;
		n += req->arg[i].given;
		if (at < len)
			at += snprintf(list + at, len - at, "%s%s", at ? ", " : "", p[i].key);
	}
	return n;
}

static int
check_presence(const struct parse *ps)
{
	const struct request *req = ps->req;
	const struct cmd_param *p = req->cmd->params;
	char list[128];

	for (unsigned int i = 0; p[i].key != NULL; i++) {
		const unsigned int n = p[i].exclusive != NULL ? count_group(req, p[i].exclusive,
									list, sizeof(list))
							      : req->arg[i].given;

		if (p[i].exclusive != NULL && n > 1) {
			snprintf(ps->err, ps->err_len, "only one of %s can be given", list);
			return -EINVAL;
		}
		if (p[i].required && n == 0) {
			snprintf(ps->err, ps->err_len,
				p[i].exclusive != NULL ? "one of %s is required" : "%s is required",
				p[i].exclusive != NULL ? list : p[i].key);
			return -EINVAL;
		}
		if (p[i].with != NULL && req->arg[i].given && !request_arg(req, p[i].with)->given) {
			snprintf(ps->err, ps->err_len, "%s is given without %s", p[i].key,
				p[i].with);
			return -EINVAL;
		}
	}
	return 0;
}

int
cmd_parse(struct request *req, const char *params, char *err, size_t err_len)
{
	struct parse ps = {.req = req, .err = err, .err_len = err_len};
	struct rte_kvargs *kv;
	int ret;

	if (params != NULL && params[0] != '\0') {
		kv = rte_kvargs_parse(params, NULL);
		if (kv == NULL) {
			snprintf(err, err_len, "parameters must be key=value,...");
			return -EINVAL;
		}
		err[0] = '\0';
		ret = rte_kvargs_process(kv, NULL, parse_pair, &ps);
		rte_kvargs_free(kv);
		if (ret < 0)
			return -EINVAL;
	}
	return check_presence(&ps);
}
