/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_FAULT_RUN_H
#define TEST_FAULT_RUN_H

/**
 * @file
 * One run of virtnet-fault: what all its devices share, and what is said about it.
 *
 * Everything happens in one thread. Output is JSON, one object per line; the keys are described in
 * the text of --help.
 */

#include <stdbool.h>
#include <stdint.h>

#include "net_driver/net_dev.h"
#include "track.h"
#include "wire.h"

/**
 * How long nothing may move while nobody disturbs the device. A lost interrupt or kick is not made
 * up for; a machine that builds something at the same time may well stop for a second.
 */
#define QUIET_MS  3000
#define NS_PER_MS 1000000LL
#define NS_PER_S  1000000000LL

/** What an epoll event is about. */
enum source_type {
	SOURCE_TICK,
	SOURCE_COMMANDS,
	SOURCE_WIRE,
	SOURCE_CLIENT,
	SOURCE_CONFIG_IRQ,
	SOURCE_QUEUE_IRQ,
};

struct source {
	enum source_type type;
	struct device *dev;
	uint16_t queue;
};

/** A disturbance that the orchestrator tells of, from mark or kill until it is settled. */
struct event {
	bool active, settling;
	long id;
	int64_t begin_ns, settle_ns, deadline_ns, end_ns;
	int64_t allow_ns; /**< how long nothing may move */
	int64_t self_ns;  /**< longest time that this program itself did not run */
};

struct options {
	uint32_t rate; /**< frames a second, stream and direction */
	uint32_t tick_us;
	uint32_t requests_us; /**< between two register accesses; 0: none */
	uint64_t memory;
	bool populate, realtime;
	struct net_dev_params net; /**< of every device, but for its path */
};

/** A queue pair's traffic. Tokens count chains; a chain's buffer is its token modulo the size. */
struct stream {
	uint64_t base[FRAME_DIRS]; /**< buffers */
	uint64_t added[FRAME_DIRS], done[FRAME_DIRS];
	uint16_t used_seen[FRAME_DIRS];
	uint32_t rx_seq; /**< next number towards the driver */
	int64_t due_ns[FRAME_DIRS];
	struct track track[FRAME_DIRS];
};

/** Register accesses while the device is disturbed: one at a time, answered right and once. */
struct requests {
	int step;
	bool pending, fresh;
	int64_t asked_ns, answered_ns, longest_ns;
	uint64_t answered, controls;
	uint16_t select;
	uint64_t control_iova;
	int map_fd, irq_fd;
	uint8_t wanted[8];
	uint32_t wanted_len;
};

struct device {
	struct run *run;
	unsigned int index;
	const char *socket;
	struct net_dev nd;
	struct wire wire;
	uint64_t tap_drops; /**< before the start */
	bool poisoned;	    /**< disturbed on purpose: exempt from what is expected of others */
	bool needs_reset, gone;
	struct requests req;
	struct stream *stream; /**< nd.pairs */
	struct source source_wire, source_client, source_config;
	struct source source_queue[NET_DEV_DIRS * NET_DEV_PAIRS_MAX];
};

struct run {
	struct options opt;
	int epoll_fd, tick_fd;
	int64_t start_ns, last_loop_ns;
	bool ready, over;
	bool stop; /**< nothing is sent any more */
	struct event ev;
	uint64_t violations, events;
	struct guest_mem mem;
	unsigned int n;
	struct device *dev;
};

int64_t run_now(void);
/** The clock of frames' stamps. */
uint32_t run_stamp(const struct run *run, int64_t now_ns);
void run_watch(struct run *run, int fd, struct source *source);

/** Something that must never happen: told, and the program's status is 1 in the end. */
void run_violation(struct run *run, const struct device *dev, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* events.c */
void event_begin(struct run *run, long id, int64_t allow_ms);
/** Ends when everything moves again, with what was sent from now on. */
void event_settle(struct run *run, int64_t timeout_ms);
/** Is it over? Told as a line of JSON. */
void event_poll(struct run *run, int64_t now_ns);
void event_summary(struct run *run);

/* traffic.c */
void device_open(struct device *dev);
void device_close(struct device *dev);
void device_tick(struct device *dev, int64_t now_ns);
void device_wire(struct device *dev);
void device_queue(struct device *dev, uint16_t queue);
/** Both ways on all streams. */
bool device_moves(const struct device *dev);
void device_begin(struct device *dev, int64_t now_ns);
/** Add a chain whose buffer has this address. */
void device_poison(struct device *dev, uint64_t iova);
/** Report streams on which nothing has moved for too long. */
void device_check_stall(struct device *dev, int64_t now_ns);

/* requests.c */
void requests_open(struct device *dev);
void requests_close(struct device *dev);
void requests_tick(struct device *dev, int64_t now_ns);

#endif /* TEST_FAULT_RUN_H */
