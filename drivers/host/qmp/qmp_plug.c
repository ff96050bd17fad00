/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Plug: find a free root port, device_add, ask for the address. And query: ask for the address
 * alone.
 *
 * A process before us may have plugged the device and died before it could say so: a device that is
 * in is not plugged again.
 */

#include <stdio.h>
#include <string.h>

#include <rte_common.h>

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
	bool too_old = v->major < 10 || (v->major == 10 && v->minor < 1);

	if (reply->ret != NULL)
		plug_is_in(job);
	else if (strcasestr(reply->error_desc, "duplicate") != NULL && !job->second_look)
		plug_look_again(job);
	else if (too_old)
		qmp_job_finish(job, HOST_ERR_REFUSED,
			"host %s: QEMU %u.%u.%u: %s (vfio-user devices need QEMU 10.1 or later)",
			job->host->host.name, v->major, v->minor, v->micro, reply->error_desc);
	else
		qmp_job_finish(job, HOST_ERR_REFUSED, "host %s: QEMU: %s", job->host->host.name,
			reply->error_desc);
}

static void
plug_add(struct qmp_job *job)
{
	json_t *args = json_pack("{s:s, s:s, s:s, s:{s:s, s:s}}", "driver", QMP_DEVICE, "id",
		job->id, "bus", job->port, "socket", "type", "unix", "path", job->socket);

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
	plug_add(job);
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

static void
plug_devices(void *arg, const struct qmp_reply *reply)
{
	struct qmp_job *job = arg;
	const struct host_conf *conf = &job->host->conf;

	if (qmp_qom_has_device(reply->ret, job->id)) {
		job->reply.was_in = true;
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

/* What became of a device_add that nobody answered. */
static void
plug_check(void *arg, const struct qmp_reply *reply)
{
	struct qmp_job *job = arg;

	if (qmp_qom_has_device(reply->ret, job->id))
		plug_is_in(job);
	else
		qmp_job_finish(job, HOST_ERR_UNREACHABLE,
			"host %s: QEMU did not answer to device_add, and has no device %s",
			job->host->host.name, job->id);
}

static void
plug_start(struct qmp_job *job)
{
	if (job->state == PLUG_CHECKING) {
		qmp_job_qom_list(job, QMP_QOM_DEVICES, plug_check);
		return;
	}
	if (strcmp(job->transport, "vfio_user") != 0) {
		qmp_job_finish(job, HOST_ERR_REFUSED,
			"host %s: devices on %s cannot be plugged by QMP", job->host->host.name,
			job->transport);
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
