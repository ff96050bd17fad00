/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_QMP_MONITOR_H
#define TEST_UNIT_QMP_MONITOR_H

/**
 * @file
 * A QMP monitor for tests: plays transcripts of QEMU 11.1.3 on a unix socket, in the test's own
 * event loop.
 */

#include <stdbool.h>
#include <stddef.h>

#include <event2/event.h>

/* What QEMU says; @ is the command's id. */
#define VERSION(major, minor, micro, package)                                                      \
	"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": " micro ", \"minor\": " minor              \
	", \"major\": " major "}, \"package\": \"" package "\"}, \"capabilities\": [\"oob\"]}}"
#define GREETING      VERSION("11", "1", "3", "Debian 1:11.1.3+ds-1~bpo13+1")
#define OLD_GREETING  VERSION("7", "2", "22", "Debian 1:7.2+dfsg-7+deb12u18")

#define RETURN(value) "{\"return\": " value ", \"id\": @}"
#define OK	      RETURN("{}")
#define ERR(class, desc)                                                                           \
	"{\"id\": @, \"error\": {\"class\": \"" class "\", \"desc\": \"" desc "\"}}"
#define EVENT(name, dev)                                                                           \
	"{\"timestamp\": {\"seconds\": 1795168435, \"microseconds\": 759761}, "                    \
	"\"event\": \"" name "\", "                                                                \
	"\"data\": {\"device\": \"" dev "\", \"path\": \"/machine/peripheral/" dev "\"}}"
#define DELETED EVENT("DEVICE_DELETED", "virtnet-a")

/* qom-list of the devices and of a bus */
#define PROPERTY(name, type) "{\"name\": \"" name "\", \"type\": \"" type "\"}"
#define PORT(name)	     PROPERTY(name, "child<pcie-root-port>")
/* clang-format off */
#define DEVICES(more)                                                                              \
	RETURN("[" PROPERTY("type", "string") ", " PORT("rp10") ", " PORT("rp1") ", " PORT("rp2")  \
		more "]")
#define WITH_A ", " PROPERTY("virtnet-a", "child<vfio-user-pci>")
#define BUS(child)                                                                                 \
	RETURN("[" PROPERTY("type", "string") ", " PROPERTY("realized", "bool") child ", "         \
		PROPERTY("hotplug-handler", "link<hotplug-handler>") "]")
#define FREE BUS("")
#define USED BUS(", " PROPERTY("child[0]", "link<vfio-user-pci>"))

/* query-pci of a machine with one root port, whose bus is number 10 */
#define FUNCTION(bus, id)                                                                          \
	"{\"irq_pin\": 1, \"bus\": " bus ", \"qdev_id\": \"" id "\", \"irq\": 0, \"slot\": 0, "    \
	"\"class_info\": {\"class\": 512, \"desc\": \"Ethernet controller\"}, "                    \
	"\"id\": {\"device\": 4161, \"vendor\": 6900}, \"function\": 0, \"regions\": []}"
#define BRIDGE(behind)                                                                             \
	"{\"irq_pin\": 1, \"bus\": 0, \"pci_bridge\": {\"bus\": {\"secondary\": 10, "              \
	"\"number\": 0, \"subordinate\": 10}" behind "}, \"qdev_id\": \"rp1\", \"irq\": 10, "      \
	"\"slot\": 1, \"class_info\": {\"class\": 1540, \"desc\": \"PCI bridge\"}, "               \
	"\"function\": 0, \"regions\": []}"
#define PCI(behind_rp1)                                                                            \
	RETURN("[{\"bus\": 0, \"devices\": [{\"bus\": 0, \"qdev_id\": \"\", \"slot\": 0, "         \
		"\"function\": 0, \"regions\": []}, " BRIDGE(behind_rp1) "]}]")
#define PCI_A	 PCI(", \"devices\": [" FUNCTION("10", "virtnet-a") "]")
#define PCI_NONE PCI("")
/* clang-format on */

/** What the monitor expects next, and what it says then. */
struct qmp_step {
	const char *want; /* part of the command */
	const char *say;  /* lines; NULL: closes the connection */
};

struct qmp_monitor {
	struct event_base *base;
	char dir[64];
	char path[96];	      /**< of the socket, which is there after qmp_monitor_listen() */
	const char *greeting; /**< NULL: none */
	const struct qmp_step *steps;
	size_t n_steps, at;
	int listener;
	int client; /**< -1: nobody is connected */
	struct event *accepting, *reading;
	char in[4096];
	size_t in_len;
	unsigned int accepted;
};

extern struct qmp_monitor qmp_monitor;

/** @return 0; -1 */
int qmp_monitor_setup(void);
int qmp_monitor_teardown(void);
void qmp_monitor_listen(void);
/** The socket stays, and nobody listens: what a dead QEMU leaves behind. */
void qmp_monitor_close(void);
/** Close the connection. */
void qmp_monitor_drop(void);
/** Run the loop until the driver has hung up. */
void qmp_monitor_wait_drop(void);

/** The next steps. */
#define QMP_PLAY(...)                                                                              \
	do {                                                                                       \
		static const struct qmp_step play_[] = {__VA_ARGS__};                              \
		qmp_monitor.steps = play_;                                                         \
		qmp_monitor.n_steps = sizeof(play_) / sizeof(play_[0]);                            \
		qmp_monitor.at = 0;                                                                \
	} while (0)

#endif /* TEST_UNIT_QMP_MONITOR_H */
