/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Putting the controller together, its event loop, and taking it apart. */

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_memory.h>

#include "controller.h"
#include "device.h"
#include "device_fault.h"
#include "fence.h"
#include "keeper_link.h"
#include "log.h"
#include "request.h"

/* Grace periods end within a worker's round: look again at once for a while, then every so often.
 */
#define GRACE_SPIN_US 200
#define GRACE_POLL_US 500

/* The keeper's watchdog expects a beat each 10 s of a thread that does nothing (with its default of
 * a second). */
#define BEAT_MS 250

/* Of the fence; workers have the following ones, the helper the one behind them. */
#define CONTROL_ENTRY 0

/* A file system that was full or read-only may not be for long. */
#define TELEMETRY_RETRY_S 1

#define MBUF_CACHE	  256
#define MBUF_DATA_ROOM	  (2048 + RTE_PKTMBUF_HEADROOM)

/* The handler can reach nothing but this. */
static struct hostmem_files *sigbus_files;
static int sigbus_fault_fd;

/*
 * A client has truncated memory that it had given us. Its pages are replaced and the access goes
 * on; the device is stopped by the control lcore. Any other SIGBUS is a crash.
 */
static void
on_sigbus(int sig, siginfo_t *info, void *context)
{
	const uint64_t one = 1;

	(void)context;
	if (hostmem_files_sigbus(sigbus_files, info->si_addr)) {
		if (write(sigbus_fault_fd, &one, sizeof(one)) < 0)
			return;
		return;
	}
	fence_fatal(sig, info);
}

static int
catch_sigbus(struct controller *c)
{
	struct sigaction sa = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER};

	sigbus_files = c->files;
	sigbus_fault_fd = c->fault_fd;
	return sigaction(SIGBUS, &sa, NULL) == 0 ? 0 : -errno;
}

static void
on_fault(evutil_socket_t fd, short what, void *arg)
{
	struct controller *c = arg;
	struct device *dev;
	eventfd_t n;

	(void)what;
	(void)eventfd_read(fd, &n);
	TAILQ_FOREACH (dev, &c->devices, next)
		if (dev->phase == DEVICE_LIVE || dev->phase == DEVICE_UNPLUGGING ||
			dev->phase == DEVICE_PLUGGING)
			device_fault_check(dev);
}

void
controller_stop(struct controller *c, const char *who)
{
	struct device *dev, *next;

	if (c->stopping)
		return;
	c->stopping = true;
	log_info("%s: stopping", who);
	for (unsigned int i = 0; i < c->cfg.n_hosts; i++) {
		if (c->host[i] != NULL)
			c->host[i]->ops->destroy(c->host[i]);
		c->host[i] = NULL;
	}
	for (dev = TAILQ_FIRST(&c->devices); dev != NULL; dev = next) {
		next = TAILQ_NEXT(dev, next);
		device_destroy(dev);
	}
}

uint64_t
controller_clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * US_PER_S + (uint64_t)ts.tv_nsec / 1000;
}

static void
on_stop(evutil_socket_t fd, short what, void *arg)
{
	char who[32];

	(void)what;
	snprintf(who, sizeof(who), "signal %d", (int)fd);
	controller_stop(arg, who);
}

static int
make_dir(const char *path)
{
	char part[PATH_MAX];

	snprintf(part, sizeof(part), "%s", path);
	for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(part, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int
create_hosts(struct controller *c)
{
	char err[256];

	for (unsigned int i = 0; i < c->cfg.n_hosts; i++) {
		const struct config_host *h = &c->cfg.host[i];
		const struct host_conf conf = {
			.name = h->name,
			.qmp_socket = h->qmp_socket[0] != '\0' ? h->qmp_socket : NULL,
			.root_ports = h->n_root_ports > 0 ? h->root_ports : NULL,
			.n_root_ports = h->n_root_ports,
			.msix_unplug_safe = h->msix_unplug_safe,
		};
		const int ret = host_driver_find(h->driver)->create(
			&conf, c->base, &c->host[i], err, sizeof(err));

		if (ret < 0) {
			log_err("host %s: %s", h->name, err);
			c->cfg.n_hosts = i;
			return ret;
		}
	}
	return 0;
}

static void
on_beat(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	ha_thread_beat(fence_self());
}

static void
on_grace_timer(evutil_socket_t fd, short what, void *arg)
{
	/* Only to wake the loop. */
	(void)fd;
	(void)what;
	(void)arg;
}

/*
 * Under a keeper it is the keeper that is stopped: a terminal sends its signals to all of its
 * processes, and those that serve devices are needed to take them down.
 */
static int
catch_stop(struct controller *c, bool keeper)
{
	const int stop_signal[] = {SIGTERM, SIGINT};

	for (unsigned int i = 0; i < RTE_DIM(stop_signal); i++) {
		if (keeper) {
			signal(stop_signal[i], SIG_IGN);
			continue;
		}
		c->signal_event[i] = evsignal_new(c->base, stop_signal[i], on_stop, c);
		if (c->signal_event[i] == NULL || event_add(c->signal_event[i], NULL) != 0)
			return -ENOMEM;
	}
	if (keeper)
		signal(SIGHUP, SIG_IGN);
	return 0;
}

static int
create_events(struct controller *c, bool keeper)
{
	c->fault_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	c->base = event_base_new();
	if (c->fault_fd < 0 || c->base == NULL)
		return -errno;
	c->fault_event = event_new(c->base, c->fault_fd, EV_READ | EV_PERSIST, on_fault, c);
	c->grace_timer = evtimer_new(c->base, on_grace_timer, NULL);
	c->beat_timer = event_new(c->base, -1, EV_PERSIST, on_beat, NULL);
	if (c->fault_event == NULL || event_add(c->fault_event, NULL) != 0 ||
		c->grace_timer == NULL || c->beat_timer == NULL)
		return -ENOMEM;
	return catch_stop(c, keeper);
}

/*
 * EAL's memory is not dumped: a dump has to be written before the process counts as dead and a
 * successor may go on, and packet buffers are nearly all of it. What tells of rings and devices is
 * in their state blocks.
 */
static int
leave_out_of_dump(
	const struct rte_memseg_list *msl, const struct rte_memseg *ms, size_t len, void *arg)
{
	(void)msl;
	(void)arg;
	(void)madvise(ms->addr, len, MADV_DONTDUMP);
	return 0;
}

static int
create_workers(struct controller *c)
{
	const uint64_t began = controller_clock_us();

	if (rte_lcore_count() < 2) {
		log_err("no worker lcore: give EAL at least two lcores, e.g. -l 0,1 or --lcores "
			"0@0,1@0");
		return -EINVAL;
	}
	c->pool = rte_pktmbuf_pool_create(
		"packets", c->cfg.mbufs, MBUF_CACHE, 0, MBUF_DATA_ROOM, SOCKET_ID_ANY);
	if (c->pool == NULL) {
		log_err("platform.mbufs: no memory for %u packet buffers; give EAL more (-m) or "
			"ask for fewer",
			(unsigned int)c->cfg.mbufs);
		return -ENOMEM;
	}
	c->pools_us = (uint32_t)(controller_clock_us() - began);
	(void)rte_memseg_contig_walk(leave_out_of_dump, NULL);
	c->grace = grace_create(rte_lcore_count());
	c->workers =
		c->grace != NULL ? workers_create(c->grace, c->cfg.idle_us, c->fault_fd) : NULL;
	if (c->workers == NULL)
		return -ENOMEM;
	return workers_start(c->workers);
}

/* What failed has a line of its own in the log where strerror() would not do. */
static int
init_step(const char *what, int ret)
{
	if (ret < 0)
		log_err("%s: %s", what, strerror(-ret));
	return ret;
}

/* Say HELLO: from now on this process is what the keeper tells it to be. */
static int
join_keeper(struct controller *c, int fd)
{
	const int ret = telemetry_path_find(&c->telemetry, rte_eal_get_runtime_dir());

	if (ret == -EADDRINUSE) {
		log_err("another process that started at the same time has taken this one's "
			"telemetry socket in %s",
			rte_eal_get_runtime_dir());
		return ret;
	}
	if (ret < 0)
		log_err("no telemetry socket: virtnet will not find this controller");
	ha_thread_sleeps(fence_self(), true);
	return keeper_link_create(c, fd, &c->keeper);
}

int
controller_init(struct controller *c, int keeper_fd)
{
	int ret;

	TAILQ_INIT(&c->devices);
	signal(SIGPIPE, SIG_IGN);
	c->emu_ops = emu_driver_find(c->cfg.emu);
	c->sf_ops = sf_driver_find(c->cfg.sf);
	ret = init_step("fence", fence_enter(CONTROL_ENTRY) != NULL ? 0 : -errno);
	if (ret == 0)
		ret = init_step("event loop", create_events(c, keeper_fd >= 0));
	if (ret == 0)
		ret = init_step(c->cfg.socket_dir, make_dir(c->cfg.socket_dir));
	if (ret == 0) {
		c->files = hostmem_files_create(c->cfg.any_file);
		c->helper = helper_create(c->base, CONTROL_ENTRY + rte_lcore_count());
		ret = init_step("helper thread", c->helper != NULL ? 0 : -errno);
		if (ret == 0 && c->files == NULL)
			ret = init_step("clients' files", -ENOMEM);
	}
	if (ret == 0)
		ret = init_step("SIGBUS", catch_sigbus(c));
	if (ret == 0)
		ret = init_step("workers", create_workers(c));
	/* Nobody is connected to before a device is to be plugged. */
	if (ret == 0)
		ret = init_step("hosts", create_hosts(c));
	if (ret == 0)
		ret = init_step("telemetry", request_init(c));
	if (ret == 0 && keeper_fd >= 0)
		ret = init_step("keeper", join_keeper(c, keeper_fd));
	return ret;
}

void
controller_wake(struct controller *c)
{
	const struct timeval beat = {.tv_usec = BEAT_MS * 1000};

	ha_thread_beat(fence_self());
	ha_thread_sleeps(fence_self(), false);
	if (evtimer_add(c->beat_timer, &beat) < 0)
		log_err("no heartbeat: out of memory");
}

/* There is nothing that could be given the name, or no way to do it. */
static bool
is_final(int err)
{
	return err == -ENOENT || err == -ENAMETOOLONG;
}

static void
telemetry_again(struct controller *c)
{
	const struct timeval pause = {.tv_sec = TELEMETRY_RETRY_S};

	if (evtimer_add(c->telemetry_retry, &pause) < 0)
		log_err("the telemetry socket's name is not tried again: out of memory");
}

static void
on_telemetry_retry(evutil_socket_t fd, short what, void *arg)
{
	struct controller *c = arg;
	int ret = -EAGAIN;

	(void)fd;
	(void)what;
	/* In a hand-over the name is perhaps another process's by now. */
	if (keeper_link_role(c->keeper) == KEEPER_ACTIVE && !c->stopping)
		ret = telemetry_path_take(&c->telemetry);
	if (ret == 0)
		log_info("%s/" TELEMETRY_NAME " leads to this process now", c->telemetry.dir);
	else if (!is_final(ret))
		telemetry_again(c);
}

void
controller_announce(struct controller *c)
{
	const int ret = telemetry_path_take(&c->telemetry);

	telemetry_path_sweep(&c->telemetry, false);
	if (ret == 0)
		return;
	log_err("%s/" TELEMETRY_NAME ": %s: virtnet does not find this process%s",
		rte_eal_get_runtime_dir(), strerror(-ret),
		is_final(ret) ? "" : "; tried again each second");
	if (is_final(ret))
		return;
	if (c->telemetry_retry == NULL)
		c->telemetry_retry = evtimer_new(c->base, on_telemetry_retry, c);
	if (c->telemetry_retry != NULL)
		telemetry_again(c);
}

void
controller_activate(struct controller *c)
{
	if (c->keeper != NULL)
		controller_announce(c);
	log_info("controller is ready, %u worker lcore(s), sockets in %s",
		workers_count(c->workers), c->cfg.socket_dir);
}

void
controller_unannounce(struct controller *c)
{
	if (c->telemetry_retry != NULL)
		event_free(c->telemetry_retry);
	c->telemetry_retry = NULL;
	telemetry_path_remove(&c->telemetry);
}

/* Sleep in the event loop, but not while a grace period is under way: its end comes without an
 * event. */
static void
turn(struct controller *c, uint64_t *since)
{
	const uint64_t spin = rte_get_tsc_hz() / US_PER_S * GRACE_SPIN_US;
	const struct timeval poll = {.tv_usec = GRACE_POLL_US};

	if (!grace_poll(c->grace)) {
		*since = 0;
		event_base_loop(c->base, EVLOOP_ONCE);
		return;
	}
	if (*since == 0)
		*since = rte_rdtsc();
	if (rte_rdtsc() - *since > spin) {
		evtimer_add(c->grace_timer, &poll);
		event_base_loop(c->base, EVLOOP_ONCE);
		return;
	}
	event_base_loop(c->base, EVLOOP_NONBLOCK);
}

void
controller_run(struct controller *c)
{
	uint64_t since = 0;

	if (c->keeper == NULL)
		controller_activate(c);
	while (!c->stopping || !TAILQ_EMPTY(&c->devices)) {
		turn(c, &since);
		ha_thread_beat(fence_self());
	}
}

void
controller_fini(struct controller *c)
{
	request_fini();
	if (c->helper != NULL)
		helper_destroy(c->helper);
	workers_destroy(c->workers);
	for (unsigned int i = 0; c->grace != NULL && grace_poll(c->grace) && i < 1000; i++)
		;
	for (unsigned int i = 0; i < c->cfg.n_hosts; i++)
		if (c->host[i] != NULL)
			c->host[i]->ops->destroy(c->host[i]);
	controller_unannounce(c);
	/* Under a keeper this is the end of all: those who wait to take over are killed. */
	if (c->stopping)
		telemetry_path_sweep(&c->telemetry, true);
	keeper_link_stopped(c->keeper);
	keeper_link_destroy(c->keeper);
	grace_destroy(c->grace);
	rte_mempool_free(c->pool);
	if (c->files != NULL)
		hostmem_files_destroy(c->files);
	for (unsigned int i = 0; i < RTE_DIM(c->signal_event); i++)
		if (c->signal_event[i] != NULL)
			event_free(c->signal_event[i]);
	if (c->fault_event != NULL)
		event_free(c->fault_event);
	if (c->grace_timer != NULL)
		event_free(c->grace_timer);
	if (c->beat_timer != NULL)
		event_free(c->beat_timer);
	if (c->base != NULL)
		event_base_free(c->base);
	if (c->fault_fd > 0)
		close(c->fault_fd);
}
