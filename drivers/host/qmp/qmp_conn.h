/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef DRIVERS_HOST_QMP_QMP_CONN_H
#define DRIVERS_HOST_QMP_QMP_CONN_H

/**
 * @file
 * One connection to QEMU's monitor (QMP): greeting, capabilities, commands one after another,
 * events.
 *
 * Runs in one event loop and never blocks. Callbacks come from the loop only. QEMU is not trusted
 * more than any peer: what it sends is bounded, and anything that is not QMP ends the connection
 * with a sentence.
 */

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

struct event_base;
struct qmp_conn;

struct qmp_version {
	unsigned int major, minor, micro;
};

/** Why there is no connection (any more). */
enum qmp_loss {
	QMP_GONE,    /**< nobody listens: the VM does not run */
	QMP_CLOSED,  /**< QEMU closed it */
	QMP_SILENT,  /**< no greeting or no answer in time */
	QMP_GARBAGE, /**< what came is not QMP */
};

struct qmp_conn_cb {
	/** Commands may be executed now. */
	void (*ready)(void *arg);
	/** data: object or NULL, borrowed. */
	void (*event)(void *arg, const char *name, const json_t *data);
	/**
	 * The connection is over; outstanding commands are not answered. To be followed by
	 * qmp_conn_close().
	 */
	void (*lost)(void *arg, enum qmp_loss loss, const char *text);
};

struct qmp_reply {
	const json_t *ret;	 /**< value of "return", NULL on error */
	const char *error_class; /**< e.g. "GenericError", NULL on success */
	const char *error_desc;
};

typedef void (*qmp_reply_t)(void *arg, const struct qmp_reply *reply);

/** Milliseconds for a greeting: an idle QEMU takes under one, a busy monitor never answers. */
#define QMP_GREETING_MS 3000u
/** Milliseconds for an answer: device_add waits up to 5 s for a vfio-user server. */
#define QMP_ANSWER_MS 10000u
/** Bytes of a line: query-pci takes less than 1 KiB a function. */
#define QMP_LINE_MAX (4u << 20)

/**
 * Connect. QEMU serves one client of a socket at a time; a second one is kept waiting without a
 * greeting.
 *
 * @param path  of the unix socket
 * @return 0; -errno of socket() and connect(): -ENOENT and -ECONNREFUSED if no VM runs, -EAGAIN if
 *         too many clients wait
 */
int qmp_conn_open(const char *path, struct event_base *base, const struct qmp_conn_cb *cb,
	void *arg, struct qmp_conn **out);
/** Drops outstanding commands without calling back. */
void qmp_conn_close(struct qmp_conn *conn);
bool qmp_conn_is_ready(const struct qmp_conn *conn);
/** From the greeting. */
const struct qmp_version *qmp_conn_version(const struct qmp_conn *conn);

/**
 * Queue a command. It is sent when all before it are answered.
 *
 * @param args  reference is stolen; NULL for none
 * @param done  called with the answer, unless the connection is lost or closed or arg forgotten
 * before
 */
void qmp_conn_execute(
	struct qmp_conn *conn, const char *command, json_t *args, qmp_reply_t done, void *arg);
/** Whoever passed arg to qmp_conn_execute() is no longer interested in answers. */
void qmp_conn_forget(struct qmp_conn *conn, const void *arg);

#endif /* DRIVERS_HOST_QMP_QMP_CONN_H */
