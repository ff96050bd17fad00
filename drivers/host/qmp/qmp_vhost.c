/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * What QEMU needs for a function whose rings are served over vhost-user: a chardev at the socket, a
 * netdev on it, and a virtio-net-pci of its own that looks as our function would.
 *
 * Names follow from the device's. A process before us may have died with some of them made: they
 * are removed before they are made, whether they are there or not.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <linux/virtio_config.h>

#include <rte_common.h>
#include <rte_ether.h>

#include "host/qmp/qmp_host.h"

#define NAME_LEN 128
/** Entries that QEMU's virtio-net gives a queue: at least, at most. */
#define QUEUE_SIZE_MIN 256u
#define QUEUE_SIZE_MAX 1024u
/**
 * A connection that has ended is made again after so long: the controller has been stopped, and
 * started again. Its crashes, restarts and updates end none.
 */
#define RECONNECT_MS 1000u
#define RECONNECT_S  1u

/** "reconnect", in seconds, was taken over by it. */
static const struct qmp_version reconnect_ms_since = {9, 2, 0};

/* ---- names and properties */

static void
name_of(const struct qmp_job *job, const char *what, char name[NAME_LEN])
{
	snprintf(name, NAME_LEN, "%s-%s", job->id, what);
}

static json_t *
by_id(const struct qmp_job *job, const char *what)
{
	char name[NAME_LEN];

	name_of(job, what, name);
	return json_pack("{s:s}", "id", name);
}

static json_t *
netdev_id(const struct qmp_job *job)
{
	return by_id(job, "net");
}

static json_t *
chardev_id(const struct qmp_job *job)
{
	return by_id(job, "chr");
}

void
qmp_mac(const struct vmm_function *f, char *text)
{
	const uint8_t *m = f->mac;

	snprintf(text, RTE_ETHER_ADDR_FMT_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2],
		m[3], m[4], m[5]);
}

/* A vector for each queue, one for the control queue, one for changes of the configuration. */
static unsigned int
vectors(const struct vmm_function *f)
{
	return f->msix ? f->pairs * 2u + 2u : 0;
}

static bool
offers(const struct vmm_function *f, unsigned int feature)
{
	return ((f->features >> feature) & 1) != 0;
}

/*
 * QEMU leaves out by itself what the device does not offer; what it does not offer by itself has to
 * be asked for.
 */
json_t *
qmp_vhost_properties(const struct qmp_job *job)
{
	const struct vmm_function *f = &job->function;
	const unsigned int size = RTE_MIN(f->queue_size, QUEUE_SIZE_MAX);
	char netdev[NAME_LEN], text[RTE_ETHER_ADDR_FMT_SIZE];
	json_t *p;

	name_of(job, "net", netdev);
	qmp_mac(f, text);
	p = json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:b}", "netdev", netdev, "mac", text,
		"disable-legacy", "on", "romfile", "", "vectors", (int)vectors(f), "rx_queue_size",
		(int)size, "tx_queue_size", (int)size, "mq", f->pairs > 1);
	if (f->mtu != 0)
		json_object_set_new(p, "host_mtu", json_integer(f->mtu));
	if (offers(f, VIRTIO_F_RING_PACKED))
		json_object_set_new(p, "packed", json_true());
	if (offers(f, VIRTIO_F_IN_ORDER) && job->in_order)
		json_object_set_new(p, "in_order", json_true());
	return p;
}

/* ---- steps: what may be missing is looked at before anything is made */

static bool
refused(struct qmp_job *job, const struct qmp_reply *reply)
{
	qmp_job_result(job, HOST_ERR_REFUSED, "host %s: QEMU, at %s: %s", job->host->host.name,
		job->step->command, reply->error_desc);
	return false;
}

static bool
done_well(struct qmp_job *job, const struct qmp_reply *reply)
{
	return reply->ret != NULL || refused(job, reply);
}

static json_t *
device_type(const struct qmp_job *job)
{
	return json_pack("{s:s}", "typename", job->kind->device);
}

static bool
properties_known(struct qmp_job *job, const struct qmp_reply *reply)
{
	job->in_order = qmp_qom_has(reply->ret, "in_order");
	return done_well(job, reply);
}

static bool
unshared(struct qmp_job *job, const char *what)
{
	qmp_job_result(job, HOST_ERR_REFUSED,
		"host %s: the VM does not share its memory%s, and a vhost-user device cannot reach "
		"it: start QEMU with '-object memory-backend-memfd,id=mem,size=...,share=on' and "
		"'-machine ...,memory-backend=mem'",
		job->host->host.name, what);
	return false;
}

/*
 * QEMU would add the device all the same, and its driver would find out: memory without a file is
 * not told to the server, and of a private file the two see different pages.
 */
static bool
memory_shared(struct qmp_job *job, const struct qmp_reply *reply)
{
	char what[64] = "";
	size_t i;
	json_t *m;

	if (reply->ret == NULL)
		return refused(job, reply);
	json_array_foreach (reply->ret, i, m) {
		const char *id = json_string_value(json_object_get(m, "id"));

		if (!json_is_false(json_object_get(m, "share")))
			continue;
		if (id != NULL)
			snprintf(what, sizeof(what), " (%.48s)", id);
		return unshared(job, what);
	}
	return json_array_size(reply->ret) > 0 || unshared(job, "");
}

/* Mostly they are not there, which QEMU says in words. What is wrong is seen when they are made. */
static bool
cleared(struct qmp_job *job, const struct qmp_reply *reply)
{
	RTE_SET_USED(job);
	RTE_SET_USED(reply);
	return true;
}

static json_t *
chardev(const struct qmp_job *job)
{
	const bool in_ms =
		qmp_version_cmp(qmp_conn_version(job->host->conn), &reconnect_ms_since) >= 0;
	json_t *data = json_pack("{s:{s:s, s:{s:s}}, s:b}", "addr", "type", "unix", "data", "path",
		job->socket, "server", job->function.listens);
	char name[NAME_LEN];

	name_of(job, "chr", name);
	if (job->function.listens)
		json_object_set_new(data, "wait", json_false());
	else
		json_object_set_new(data, in_ms ? "reconnect-ms" : "reconnect",
			json_integer(in_ms ? RECONNECT_MS : RECONNECT_S));
	return json_pack(
		"{s:s, s:{s:s, s:o}}", "id", name, "backend", "type", "socket", "data", data);
}

static json_t *
netdev(const struct qmp_job *job)
{
	char name[NAME_LEN], chr[NAME_LEN];

	name_of(job, "net", name);
	name_of(job, "chr", chr);
	return json_pack("{s:s, s:s, s:s, s:i}", "type", "vhost-user", "id", name, "chardev", chr,
		"queues", (int)job->function.pairs);
}

static const struct qmp_seq making[] = {
	{"device-list-properties", device_type, properties_known, false},
	{"query-memdev", NULL, memory_shared, false},
	{"netdev_del", netdev_id, cleared, true},
	{"chardev-remove", chardev_id, cleared, true},
	{"chardev-add", chardev, done_well, true},
	{"netdev_add", netdev, done_well, true},
	{NULL, NULL, NULL, false},
};

void
qmp_vhost_make(struct qmp_job *job, qmp_then_t then)
{
	if (job->function.queue_size < QUEUE_SIZE_MIN) {
		qmp_job_result(job, HOST_ERR_REFUSED,
			"host %s: queues of QEMU's virtio-net have at least %u entries, the "
			"device's "
			"only %u",
			job->host->host.name, QUEUE_SIZE_MIN, job->function.queue_size);
		then(job, false);
		return;
	}
	qmp_job_sequence(job, making, then);
}

/* ---- removal */

/* The netdev takes the chardev with it, or does not: versions differ. */
static bool
gone(struct qmp_job *job, const struct qmp_reply *reply)
{
	if (reply->ret != NULL || strcmp(reply->error_class, "DeviceNotFound") == 0 ||
		strstr(reply->error_desc, "not found") != NULL)
		return true;
	/* Of a plug that has failed: why it has is of more interest. */
	return job->state == PLUG_UNDOING || job->force || refused(job, reply);
}

static const struct qmp_seq removing[] = {
	{"netdev_del", netdev_id, gone, false},
	{"chardev-remove", chardev_id, gone, false},
	{NULL, NULL, NULL, false},
};

void
qmp_vhost_remove(struct qmp_job *job, qmp_then_t then)
{
	qmp_job_sequence(job, removing, then);
}
