/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Plug: find a free root port, make what the device needs, device_add, ask for the address. What
 * has been made goes again if the device does not get in. And query: ask for the address alone.
 *
 * A process before us may have plugged the device and died before it could say so: a device that is
 * in is not plugged again.
 */

#include <stdio.h>
#include <string.h>

#include <rte_common.h>
#include <rte_ether.h>

#include "host/qmp/qmp_host.h"

/**
 * A guest that is booting or has just seen the port numbers the bus within a moment, or we report
 * no address.
 */
#define BDF_TRIES    10u
#define BDF_RETRY_MS 100u
#define QOM_PATH_LEN 256
/** Pause before each look whether a device_add without an answer took effect. */
#define LOOK_MS 100u

static void plug_next_port(struct qmp_job *job);
static void plug_start(struct qmp_job *job);

static void
plug_pci(void *arg, const struct qmp_reply *reply)
{
	struct qmp_job *job = arg;

	/* The device is in: an address that is not known is no failure. */
	if (reply->ret == NULL || qmp_pci_find(reply->ret, job->id, job->reply.bdf) ||
		++job->tries == BDF_TRIES)
		qmp_job_finish(job, HOST_OK, NULL);
	else
		qmp_job_timer(job, BDF_RETRY_MS);
}

static void
plug_timer(struct qmp_job *job)
{
	if (job->state == PLUG_CHECKING)
		qmp_job_restart(job);
	else
		qmp_job_execute(job, "query-pci", NULL, plug_pci);
}

static void
plug_rewind(struct qmp_job *job)
{
	json_decref(job->ports);
	job->ports = NULL;
	job->port = NULL;
	job->next_port = 0;
}

static void
plug_is_in(struct qmp_job *job)
{
	job->state = PLUG_ADDED;
	plug_timer(job);
}

static void
plug_undone(struct qmp_job *job, bool ok)
{
	RTE_SET_USED(ok);
	qmp_job_finish(job, job->reply.result, NULL);
}

/* It is not in, and qmp_job_result() has been told why. */
static void
plug_failed(struct qmp_job *job)
{
	const bool changed = job->state != PLUG_FINDING;

	job->state = PLUG_UNDOING;
	if (changed && job->kind->remove != NULL)
		job->kind->remove(job, plug_undone);
	else
		plug_undone(job, true);
}

/* Who was before us had its device_add under way when we looked. */
static void
plug_look_again(struct qmp_job *job)
{
	job->second_look = true;
	job->state = PLUG_FINDING;
	plug_rewind(job);
	plug_start(job);
}

static void
plug_added(void *arg, const struct qmp_reply *reply)
{
	struct qmp_job *job = arg;
	const struct qmp_version *v = qmp_conn_version(job->host->conn);

	if (reply->ret != NULL) {
		plug_is_in(job);
		return;
	}
	if (strcasestr(reply->error_desc, "duplicate") != NULL && !job->second_look) {
		plug_look_again(job);
		return;
	}
	if (qmp_version_cmp(v, &job->kind->since) < 0)
		qmp_job_result(job, HOST_ERR_REFUSED, "host %s: QEMU %u.%u.%u: %s (%s)",
			job->host->host.name, v->major, v->minor, v->micro, reply->error_desc,
			job->kind->need);
	else
		qmp_job_result(job, HOST_ERR_REFUSED, "host %s: QEMU: %s", job->host->host.name,
			reply->error_desc);
	plug_failed(job);
}

static void
plug_add(struct qmp_job *job, bool ok)
{
	json_t *args;

	if (!ok) {
		plug_failed(job);
		return;
	}
	args = json_pack(
		"{s:s, s:s, s:s}", "driver", job->kind->device, "id", job->id, "bus", job->port);
	json_object_update_new(args, job->kind->properties(job));
	job->state = PLUG_ADDING;
	qmp_job_execute(job, "device_add", args, plug_added);
}

static bool
port_taken(const struct qmp_job *job, const char *port)
{
	const struct qmp_job *other;

	TAILQ_FOREACH (other, &job->host->jobs, link)
		if (other != job && other->port != NULL && strcmp(other->port, port) == 0)
			return true;
	return false;
}

/*
 * Answer to qom-get of the port's "hotplug". A kind of port that has no such property can be
 * plugged.
 */
static void
plug_hotplug(void *arg, const struct qmp_reply *reply)
{
	struct qmp_job *job = arg;
	const char *port = json_string_value(json_array_get(job->ports, job->next_port - 1));

	if (json_is_false(reply->ret) || port_taken(job, port)) {
		plug_next_port(job);
		return;
	}
	job->port = port;
	if (job->kind->make != NULL)
		job->kind->make(job, plug_add);
	else
		plug_add(job, true);
}

/*
 * Answer to qom-list of a port's bus: buses without numbers yet, which query-pci does not show, are
 * seen as well.
 */
static void
plug_bus(void *arg, const struct qmp_reply *reply)
{
	struct qmp_job *job = arg;
	const char *port = json_string_value(json_array_get(job->ports, job->next_port - 1));
	char path[QOM_PATH_LEN];

	if (reply->ret == NULL || qmp_qom_bus_used(reply->ret)) {
		plug_next_port(job);
		return;
	}
	snprintf(path, sizeof(path), "%s/%s", QMP_QOM_DEVICES, port);
	qmp_job_execute(job, "qom-get",
		json_pack("{s:s, s:s}", "path", path, "property", "hotplug"), plug_hotplug);
}

static void
plug_next_port(struct qmp_job *job)
{
	char path[QOM_PATH_LEN];
	const char *port;

	do {
		port = json_string_value(json_array_get(job->ports, job->next_port++));
		if (job->next_port > QMP_PORTS_MAX)
			port = NULL;
	} while (port != NULL && port_taken(job, port));
	if (port == NULL) {
		qmp_job_finish(job, HOST_ERR_NO_SLOT,
			"host %s: none of %zu PCIe root ports is free; give the VM more of "
			"'-device pcie-root-port,id=NAME,chassis=N'",
			job->host->host.name,
			RTE_MIN(json_array_size(job->ports), (size_t)QMP_PORTS_MAX));
		return;
	}
	/* The bus of a port has the port's name. */
	snprintf(path, sizeof(path), "%s/%s/%s", QMP_QOM_DEVICES, port, port);
	qmp_job_qom_list(job, path, plug_bus);
}

/*
 * A device that shows the guest what it was told when it was plugged may be one of a controller
 * that has been stopped since: under the same name, and with another address.
 */
static void
plug_mac(void *arg, const struct qmp_reply *reply)
{
	struct qmp_job *job = arg;
	const char *mac = json_string_value(reply->ret);
	char ours[RTE_ETHER_ADDR_FMT_SIZE];

	qmp_mac(&job->function, ours);
	if (mac == NULL || strcasecmp(mac, ours) == 0)
		plug_is_in(job);
	else
		qmp_job_finish(job, HOST_ERR_REFUSED,
			"host %s: the VM has a device %s from before, with MAC %.20s: remove it "
			"first "
			"(device_del)",
			job->host->host.name, job->id, mac);
}

static void
plug_ask_mac(struct qmp_job *job)
{
	char path[QOM_PATH_LEN];

	snprintf(path, sizeof(path), "%s/%s", QMP_QOM_DEVICES, job->id);
	qmp_job_execute(
		job, "qom-get", json_pack("{s:s, s:s}", "path", path, "property", "mac"), plug_mac);
}

static void
plug_devices(void *arg, const struct qmp_reply *reply)
{
	struct qmp_job *job = arg;
	const struct host_conf *conf = &job->host->conf;

	if (qmp_qom_has_device(reply->ret, job->id, job->kind->device)) {
		job->reply.was_in = true;
		if (job->kind->has_mac)
			plug_ask_mac(job);
		else
			plug_is_in(job);
		return;
	}
	if (conf->root_ports == NULL)
		job->ports = qmp_qom_ports(reply->ret);
	else
		job->ports = json_array();
	for (unsigned int i = 0; conf->root_ports != NULL && i < conf->n_root_ports; i++)
		json_array_append_new(job->ports, json_string(conf->root_ports[i]));
	plug_next_port(job);
}

/* What became of a command that nobody answered. */
static void
plug_check(void *arg, const struct qmp_reply *reply)
{
	struct qmp_job *job = arg;

	if (qmp_qom_has_device(reply->ret, job->id, job->kind->device)) {
		plug_is_in(job);
		return;
	}
	qmp_job_result(job, HOST_ERR_UNREACHABLE,
		"host %s: QEMU did not answer to a command, and has no device %s",
		job->host->host.name, job->id);
	plug_failed(job);
}

static void
plug_start(struct qmp_job *job)
{
	if (job->state == PLUG_CHECKING) {
		qmp_job_qom_list(job, QMP_QOM_DEVICES, plug_check);
		return;
	}
	if (job->kind == NULL) {
		qmp_job_finish(job, HOST_ERR_REFUSED,
			"host %s: QEMU has no device for that transport", job->host->host.name);
		return;
	}
	qmp_job_qom_list(job, QMP_QOM_DEVICES, plug_devices);
}

static void
plug_again(struct qmp_job *job)
{
	job->reconnected = true;
	plug_rewind(job);
	qmp_job_restart(job);
}

static void
plug_lost(struct qmp_job *job, enum qmp_loss loss, const char *text)
{
	if (job->state == PLUG_ADDED) {
		/* An address that is not known is no failure, see plug_pci(). */
		qmp_job_finish(job, HOST_OK, NULL);
	} else if (job->state == PLUG_UNDOING) {
		/* What is left of it does not disturb, and the next plug removes it. */
		qmp_job_finish(job, job->reply.result, NULL);
	} else if (job->state != PLUG_FINDING && loss != QMP_GONE) {
		/*
		 * Who takes this for a failure destroys a device that a guest may be using. So it
		 * is looked for until QEMU answers or the job's time is over.
		 */
		job->state = PLUG_CHECKING;
		qmp_job_timer(job, LOOK_MS);
	} else if (job->state == PLUG_FINDING && loss == QMP_CLOSED && !job->reconnected) {
		/* A VM that has just been started again deserves a second try. */
		plug_again(job);
	} else {
		qmp_job_finish(
			job, HOST_ERR_UNREACHABLE, "host %s: %s", job->host->host.name, text);
	}
}

static void
plug_expired(struct qmp_job *job)
{
	if (job->state == PLUG_ADDED)
		qmp_job_finish(job, HOST_OK, NULL);
	else if (job->state == PLUG_UNDOING)
		qmp_job_finish(job, job->reply.result, NULL);
	else
		qmp_job_finish(job, HOST_ERR_UNREACHABLE,
			"host %s: QEMU did not plug %s in within %u ms", job->host->host.name,
			job->id, job->host->plug_ms);
}

const struct qmp_job_type qmp_job_plug = {
	.name = "plug",
	.start = plug_start,
	.timer = plug_timer,
	.lost = plug_lost,
	.expired = plug_expired,
};

static void
query_devices(void *arg, const struct qmp_reply *reply)
{
	struct qmp_job *job = arg;

	if (qmp_qom_has(reply->ret, job->id))
		qmp_job_finish(job, HOST_OK, NULL);
	else
		qmp_job_finish(job, HOST_ERR_NOT_FOUND, "host %s has no device %s",
			job->host->host.name, job->id);
}

static void
query_pci(void *arg, const struct qmp_reply *reply)
{
	struct qmp_job *job = arg;

	if (qmp_pci_find(reply->ret, job->id, job->reply.bdf))
		qmp_job_finish(job, HOST_OK, NULL);
	else
		qmp_job_qom_list(job, QMP_QOM_DEVICES, query_devices);
}

static void
query_start(struct qmp_job *job)
{
	qmp_job_execute(job, "query-pci", NULL, query_pci);
}

const struct qmp_job_type qmp_job_query = {
	.name = "query",
	.start = query_start,
	.lost = plug_lost,
};
