/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_REQUEST_H
#define APP_REQUEST_H

/**
 * @file
 * Commands on their way from DPDK's telemetry threads to the control lcore and back.
 *
 * A telemetry thread parses parameters into a request, posts it and waits with a deadline. The
 * command's handler runs on the control lcore and ends the request, at once or later, with
 * request_done() or request_fail(). The reply is a JSON object; the telemetry thread turns it into
 * telemetry data. A request whose deadline has passed goes on without its waiter.
 */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

struct cmd;
struct controller;
struct event_base;
struct request;

#define REQUEST_MAX_PARAMS 16

/** A parameter's value as given. */
struct request_arg {
	bool given;
	uint64_t num;  /**< numbers and flags */
	char str[512]; /**< strings, and the text of numbers */
};

struct request {
	const struct cmd *cmd;
	struct request_arg arg[REQUEST_MAX_PARAMS]; /**< by position in cmd's parameters */
	uint64_t at;				    /**< cursor of paged commands */
	json_t *reply; /**< object; fields are added in the order in which they are shown */
};

/** Value of a parameter of the request's command. The name must be one of the command's. */
const struct request_arg *request_arg(const struct request *req, const char *name);

/** End a request; handler's side, control lcore. The request must not be touched afterwards. */
void request_done(struct request *req);
/** End it with an error: the contract's sentence, and what is wrong in particular (may be NULL). */
void request_fail(struct request *req, int err, const char *detail);

/**
 * Register all commands of the command table with telemetry. Before EAL starts it: whoever finds
 * the socket finds the commands. Until request_init() they are answered -EAGAIN. @return 0; -errno
 */
int request_register(void);
/** Carry out what comes. @return 0; -errno */
int request_init(struct controller *c);
/** A telemetry thread waits for an answer, or is about to write one. Any thread. */
bool request_waiting(void);
/** Refuse what is waiting and what comes; control lcore. */
void request_fini(void);

#endif /* APP_REQUEST_H */
