/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The command table as JSON, for virtnet.py, completion and manual pages. */

#include <jansson.h>

#include <rte_common.h>

#include "cmd.h"
#include "virtio/features.h"

static void
set_if(json_t *obj, const char *key, const char *value)
{
	if (value != NULL)
		json_object_set_new(obj, key, json_string(value));
}

static json_t *
param_json(const struct cmd_param *p)
{
	static const char *const type[] = {"string", "uint", "hex", "mac", "flag", "enum", "path"};
	json_t *o = json_object();
	json_t *values;

	set_if(o, "key", p->key);
	set_if(o, "short", p->abbr);
	set_if(o, "long", p->option != NULL ? p->option : p->key);
	set_if(o, "type", type[p->type]);
	set_if(o, "metavar", p->metavar);
	if (p->values[0] != NULL) {
		values = json_array();
		for (unsigned int i = 0; i < RTE_DIM(p->values) && p->values[i] != NULL; i++)
			json_array_append_new(values, json_string(p->values[i]));
		json_object_set_new(o, "values", values);
	}
	json_object_set_new(o, "required", json_boolean(p->required));
	set_if(o, "exclusive", p->exclusive);
	set_if(o, "with", p->with);
	if (p->echo_always)
		json_object_set_new(o, "echo_always", json_true());
	if (p->extension)
		json_object_set_new(o, "extension", json_true());
	set_if(o, "help", p->help);
	return o;
}

static json_t *
cmd_json(const struct cmd *cmd)
{
	static const char *const reply[] = {"object", "devices", "text", "array", "plain", "raw"};
	json_t *o = json_object(), *params = json_array(), *shape = json_array();

	set_if(o, "name", cmd->name);
	set_if(o, "help", cmd->help);
	set_if(o, "endpoint", cmd->endpoint);
	set_if(o, "reply", reply[cmd->reply]);
	json_object_set_new(o, "timeout_ms", json_integer(cmd->timeout_ms));
	if (cmd->flags & CMD_ASKS)
		json_object_set_new(o, "asks", json_true());
	set_if(o, "follow", cmd->follow);
	for (const struct cmd_param *p = cmd->params; p->key != NULL; p++)
		json_array_append_new(params, param_json(p));
	json_object_set_new(o, "params", params);
	for (const struct cmd_shape *s = cmd->shape; s->key != NULL; s++) {
		json_t *e = json_object();
		char as[32];

		set_if(e, "key", s->key);
		set_if(e, "name", s->name);
		if (s->bits != NULL) {
			snprintf(as, sizeof(as), "bits:%s", s->bits);
			set_if(e, "as", as);
		}
		if (s->seconds)
			set_if(e, "as", "seconds");
		json_array_append_new(shape, e);
	}
	json_object_set_new(o, "shape", shape);
	return o;
}

static json_t *
bits_json(const char *(*name)(unsigned int bit), unsigned int n)
{
	json_t *o = json_object();
	char key[16];

	for (unsigned int i = 0; i < n; i++)
		if (name(i) != NULL) {
			snprintf(key, sizeof(key), "%u", i);
			json_object_set_new(o, key, json_string(name(i)));
		}
	return o;
}

static const char *
queue_type_name(unsigned int bit)
{
	static const char *const name[] = {"SPLIT", "PACKED"};

	return bit < RTE_DIM(name) ? name[bit] : NULL;
}

static const char *
event_mode_name(unsigned int bit)
{
	static const char *const name[] = {"NO_MSIX_MODE", NULL, "MSIX_MODE"};

	return bit < RTE_DIM(name) ? name[bit] : NULL;
}

void
cmd_print_schema(FILE *out)
{
	json_t *root = json_object(), *bits = json_object(), *commands = json_array();

	json_object_set_new(root, "version", json_string(VIRTNET_VERSION));
	json_object_set_new(bits, "feature", bits_json(virtio_feature_name, 64));
	json_object_set_new(bits, "status", bits_json(virtio_status_name, 8));
	json_object_set_new(bits, "queue_type", bits_json(queue_type_name, 2));
	json_object_set_new(bits, "event_mode", bits_json(event_mode_name, 3));
	json_object_set_new(root, "bits", bits);
	for (unsigned int i = 0; i < cmd_table_len; i++)
		if (cmd_table[i].reply != REPLY_RAW)
			json_array_append_new(commands, cmd_json(&cmd_table[i]));
	json_object_set_new(root, "commands", commands);
	json_dumpf(root, out, JSON_INDENT(2));
	fputc('\n', out);
	json_decref(root);
}
