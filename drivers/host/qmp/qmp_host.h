/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef DRIVERS_HOST_QMP_QMP_HOST_H
#define DRIVERS_HOST_QMP_QMP_HOST_H

/**
 * @file
 * Inside of the host driver "qmp".
 *
 * qmp.c keeps the host, its connection (made when a job needs it, dropped soon after the last: QEMU
 * serves one client, and another process may be taking our place) and the jobs; qmp_plug.c and
 * qmp_unplug.c are the jobs, each a small state machine that advances with answers, events and a
 * timer; qmp_kind.c knows QEMU's devices for our functions, qmp_vhost.c what one of them needs
 * beside it; qmp_pci.c reads what QEMU says about its devices; qmp_conn.c is the protocol.
 */

#include <stdbool.h>
#include <sys/queue.h>

#include <event2/event.h>
#include <jansson.h>

#include "host/host.h"
#include "host/qmp/qmp_conn.h"

#define QMP_QOM_DEVICES "/machine/peripheral" /**< devices that have an id are children of this */

/**
 * Milliseconds for a plug, whatever QEMU does: the user's command waits up to 60 s for an answer
 * that it can show.
 */
#define QMP_PLUG_MS 55000u
/** Root ports looked at: PCI has 256 buses, and each port takes one. */
#define QMP_PORTS_MAX 256u

struct qmp_job;

/** @param ok  false: qmp_job_result() has been told why not */
typedef void (*qmp_then_t)(struct qmp_job *job, bool ok);

/** What a function is to QEMU. */
struct qmp_kind {
	const char *device; /**< driver of device_add */
	/** Arguments of device_add, less driver, id and bus. */
	json_t *(*properties)(const struct qmp_job *job);
	/** Make what the device needs beside it. NULL: nothing. */
	void (*make)(struct qmp_job *job, qmp_then_t then);
	/** Remove that, as far as it is there; the device is not. */
	void (*remove)(struct qmp_job *job, qmp_then_t then);
	struct qmp_version since; /**< the first QEMU that has the device, 0.0.0: all do */
	const char *need;	  /**< that, as a sentence */
	bool has_mac;		  /**< a property of the device in QEMU */
	/** Its removal with MSI-X takes the VM with it, but for versions in a table. */
	bool msix_kills;
};

/** A command of a sequence (qmp_job_sequence()). */
struct qmp_seq {
	const char *command;			    /**< NULL: the end */
	json_t *(*args)(const struct qmp_job *job); /**< NULL: none */
	/** False ends the sequence: qmp_job_result() has been told. */
	bool (*answered)(struct qmp_job *job, const struct qmp_reply *reply);
	bool changes; /**< the VM is not as before from here on */
};

/** How far a plug has come, which says what the end of the connection means. */
enum qmp_plug_state {
	PLUG_FINDING,  /**< a port: nothing has happened to the VM */
	PLUG_ADDING,   /**< the VM is being changed: the device may be in or not */
	PLUG_CHECKING, /**< the connection ended meanwhile: is it in? */
	PLUG_UNDOING,  /**< it is not, and will not be: what was made for it goes */
	PLUG_ADDED,    /**< it is in, only its address is missing */
};

struct qmp_job_type {
	const char *name;
	/** The connection is ready. */
	void (*start)(struct qmp_job *job);
	/** Its timer fired; the job need not have started. */
	void (*timer)(struct qmp_job *job);
	/** A QMP event, whatever it is about. May be NULL. */
	void (*event)(struct qmp_job *job, const char *name, const json_t *data);
	/** No connection, or not any more. */
	void (*lost)(struct qmp_job *job, enum qmp_loss loss, const char *text);
	/** The job's time is over; whether it has started or not. NULL: has no such limit. */
	void (*expired)(struct qmp_job *job);
};

/** One call of plug, unplug or query. */
struct qmp_job {
	TAILQ_ENTRY(qmp_job) link;
	const struct qmp_job_type *type;
	struct qmp_host *host;
	bool started;
	bool reconnected; /* once, after QEMU closed the connection */
	char *id, *socket;
	struct vmm_function function;
	const struct qmp_kind *kind; /* of the function; NULL: a query */
	bool force;
	host_done_t done;
	void *arg;
	struct host_reply reply;
	struct event *timer;
	struct event *deadline;
	/* the sequence under way */
	const struct qmp_seq *step;
	qmp_then_t then;
	/* plug */
	enum qmp_plug_state state;
	json_t *ports; /* names of root ports to try */
	size_t next_port;
	const char *port; /* the one taken; no other job takes it while this one lives */
	unsigned int tries;
	bool second_look; /* at what is in, after a refusal */
	bool in_order;	  /* QEMU's device has that property */
	/* unplug */
	unsigned int timeout_ms;
	bool second_half; /* of the time that the guest has */
	bool asked;	  /* device_del was accepted */
	bool removing;	  /* it is out, what it had beside it goes */
};

TAILQ_HEAD(qmp_job_list, qmp_job);

struct qmp_host {
	struct host host;
	struct host_conf conf;
	struct event_base *base;
	unsigned int plug_ms;  /* QMP_PLUG_MS; tests have less time */
	struct qmp_conn *conn; /* NULL: none */
	struct qmp_job_list jobs;
	struct qmp_job_list finished; /* to be answered, one in each turn of the loop */
	struct event *turn;
	struct event *idle;
	struct event *retry;	 /* pending: so many clients wait that QEMU takes no more */
	unsigned int connect_ms; /* waited so far */
};

extern const struct qmp_job_type qmp_job_plug;
extern const struct qmp_job_type qmp_job_unplug;
extern const struct qmp_job_type qmp_job_query;

/* qmp.c */

/**
 * The job ends; its callback comes from the event loop. err: a sentence, formatted; control
 * characters in it, which QEMU may have sent, become '?'.
 */
void qmp_job_finish(struct qmp_job *job, enum host_result result, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** What a qmp_job_finish() with this result and without a sentence will say. */
void qmp_job_result(struct qmp_job *job, enum host_result result, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** Starts again as soon as there is a connection. */
void qmp_job_restart(struct qmp_job *job);
void qmp_job_timer(struct qmp_job *job, unsigned int ms);
void qmp_job_deadline(struct qmp_job *job, unsigned int ms);
void qmp_job_execute(struct qmp_job *job, const char *command, json_t *args, qmp_reply_t done);
/** List a QOM object's properties: name and type of each. */
void qmp_job_qom_list(struct qmp_job *job, const char *path, qmp_reply_t done);

/**
 * One command after another. `then` is called when the last is answered, or one was answered badly:
 * unless the connection ends or the job starts again before.
 */
void qmp_job_sequence(struct qmp_job *job, const struct qmp_seq *steps, qmp_then_t then);

/* qmp_kind.c */

/** NULL: QEMU has nothing for it. */
const struct qmp_kind *qmp_kind_of(enum vmm_kind kind);

/* qmp_vhost.c */

void qmp_vhost_make(struct qmp_job *job, qmp_then_t then);
void qmp_vhost_remove(struct qmp_job *job, qmp_then_t then);
json_t *qmp_vhost_properties(const struct qmp_job *job);
/** @param text  RTE_ETHER_ADDR_FMT_SIZE bytes */
void qmp_mac(const struct vmm_function *f, char *text);

/* qmp_unplug.c */

/** A range of QEMU versions, both ends included. */
struct qmp_version_range {
	struct qmp_version from, to;
};

/** @return < 0: a is older; 0: equal; > 0 */
int qmp_version_cmp(const struct qmp_version *a, const struct qmp_version *b);
/** Is v in one of the ranges? The table ends with a range up to 0.0.0. */
bool qmp_version_in(const struct qmp_version *v, const struct qmp_version_range *table);

/* qmp_pci.c */

/**
 * Find the device with a qdev id in the answer to query-pci. @return false if it is not (yet) on a
 * known bus
 */
bool qmp_pci_find(const json_t *buses, const char *id, char bdf[HOST_BDF_LEN]);
/** Is there a device of that driver with that id in the answer to qom-list of QMP_QOM_DEVICES? */
bool qmp_qom_has_device(const json_t *properties, const char *id, const char *driver);
/** Is there a child of that name in the answer to qom-list? */
bool qmp_qom_has(const json_t *properties, const char *name);
/** Has the bus whose properties these are a device on it? */
bool qmp_qom_bus_used(const json_t *properties);
/**
 * Ports that devices can be plugged into, in the answer to qom-list of QMP_QOM_DEVICES. @return
 * new array of names
 */
json_t *qmp_qom_ports(const json_t *properties);

#endif /* DRIVERS_HOST_QMP_QMP_HOST_H */
