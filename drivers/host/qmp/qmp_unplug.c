/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Unplug: device_del, wait for the guest to let go, remove what the device had beside it. */

#include <string.h>

#include "host/qmp/qmp_host.h"

/**
 * Versions of QEMU that survive the unplug of a vfio-user device with MSI-X. None is known: up
 * to 11.1 all abort, with the VM, when the device is finalised (memory_region_del_subregion() in
 * vfio_user_msix_teardown()).
 */
static const struct qmp_version_range msix_unplug_good[] = {
	{{0, 0, 0}, {0, 0, 0}},
};

int
qmp_version_cmp(const struct qmp_version *a, const struct qmp_version *b)
{
	if (a->major != b->major)
		return a->major < b->major ? -1 : 1;
	if (a->minor != b->minor)
		return a->minor < b->minor ? -1 : 1;
	return a->micro == b->micro ? 0 : a->micro < b->micro ? -1 : 1;
}

bool
qmp_version_in(const struct qmp_version *v, const struct qmp_version_range *table)
{
	for (; table->to.major != 0; table++)
		if (qmp_version_cmp(&table->from, v) <= 0 && qmp_version_cmp(v, &table->to) <= 0)
			return true;
	return false;
}

static bool
unplug_is_safe(const struct qmp_job *job)
{
	return !job->function.msix || job->kind == NULL || !job->kind->msix_kills || job->force ||
	       job->host->conf.msix_unplug_safe ||
	       qmp_version_in(qmp_conn_version(job->host->conn), msix_unplug_good);
}

/*
 * QEMU says it in words only. A guest that is booting, or has a request before it, will take one
 * later.
 */
static bool
is_transient(const struct qmp_reply *reply)
{
	return strstr(reply->error_desc, "in the process of unplug") != NULL ||
	       strstr(reply->error_desc, "guest is busy") != NULL;
}

static void
unplug_removed(struct qmp_job *job, bool ok)
{
	qmp_job_finish(job, ok ? HOST_OK : job->reply.result, NULL);
}

/* The device is out; what it had beside it may be there, from whatever former try. */
static void
unplug_is_out(struct qmp_job *job)
{
	if (job->removing)
		return;
	job->removing = true;
	if (job->kind != NULL && job->kind->remove != NULL)
		job->kind->remove(job, unplug_removed);
	else
		unplug_removed(job, true);
}

static void
unplug_answered(void *arg, const struct qmp_reply *reply)
{
	struct qmp_job *job = arg;

	if (job->removing)
		return;
	if (reply->ret != NULL || is_transient(reply))
		job->asked = true;
	else if (strcmp(reply->error_class, "DeviceNotFound") == 0)
		unplug_is_out(job);
	else
		qmp_job_finish(job, HOST_ERR_REFUSED, "host %s: QEMU: %s", job->host->host.name,
			reply->error_desc);
}

static void
unplug_ask(struct qmp_job *job)
{
	qmp_job_execute(job, "device_del", json_pack("{s:s}", "id", job->id), unplug_answered);
}

static void
unplug_devices(void *arg, const struct qmp_reply *reply)
{
	struct qmp_job *job = arg;
	const struct qmp_version *v = qmp_conn_version(job->host->conn);

	if (reply->ret != NULL && !qmp_qom_has(reply->ret, job->id))
		unplug_is_out(job);
	else if (!unplug_is_safe(job))
		qmp_job_finish(job, HOST_ERR_NOT_READY,
			"QEMU %u.%u.%u aborts, and the VM %s with it, when a vfio-user device with "
			"MSI-X is unplugged (a bug in its vfio_user_msix_teardown()): stop the VM "
			"first, create the device with --intx, or risk it with --force",
			v->major, v->minor, v->micro, job->host->host.name);
	else
		unplug_ask(job);
}

static void
unplug_start(struct qmp_job *job)
{
	job->removing = false;
	qmp_job_qom_list(job, QMP_QOM_DEVICES, unplug_devices);
}

static void
unplug_event(struct qmp_job *job, const char *name, const json_t *data)
{
	const char *id = json_string_value(json_object_get(data, "device"));

	if (id == NULL || strcmp(id, job->id) != 0)
		return;
	if (strcmp(name, "DEVICE_DELETED") == 0)
		unplug_is_out(job);
	else if (strcmp(name, "DEVICE_UNPLUG_GUEST_ERROR") == 0)
		qmp_job_finish(job, HOST_ERR_NOT_READY,
			"host %s: the guest refused to let go of %s", job->host->host.name,
			job->id);
}

static void
unplug_timer(struct qmp_job *job)
{
	if (!job->second_half) {
		job->second_half = true;
		qmp_job_timer(job, job->timeout_ms - job->timeout_ms / 2);
		/* A guest that was booting has lost the first request. */
		if (job->asked && !job->removing)
			unplug_ask(job);
	} else if (job->asked && !job->removing) {
		qmp_job_finish(job, HOST_ERR_NOT_READY,
			"host %s: the guest did not let go of %s within %u ms",
			job->host->host.name, job->id, job->timeout_ms);
	} else {
		qmp_job_finish(job, HOST_ERR_UNREACHABLE,
			"host %s: QEMU did not answer within %u ms", job->host->host.name,
			job->timeout_ms);
	}
}

static void
unplug_lost(struct qmp_job *job, enum qmp_loss loss, const char *text)
{
	if (loss == QMP_GONE) {
		/* No VM has nothing to let go of. */
		qmp_job_finish(job, HOST_OK, NULL);
	} else if (loss == QMP_CLOSED && !job->reconnected) {
		/* The VM ended, or lives on without this connection: one more look tells. */
		job->reconnected = true;
		qmp_job_restart(job);
	} else {
		qmp_job_finish(
			job, HOST_ERR_UNREACHABLE, "host %s: %s", job->host->host.name, text);
	}
}

const struct qmp_job_type qmp_job_unplug = {
	.name = "unplug",
	.start = unplug_start,
	.timer = unplug_timer,
	.event = unplug_event,
	.lost = unplug_lost,
};
