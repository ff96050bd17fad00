/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Commands about the controller itself: log, version, validate, workers. */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "controller.h"
#include "errors.h"
#include "log.h"

#define CONFIG_ERR_LEN 2048

void
cmd_log(struct controller *c, struct request *req)
{
	enum log_level level;

	(void)c;
	if (!log_level_parse(request_arg(req, "level")->str, &level)) {
		request_fail(req, -EINVAL, NULL);
		return;
	}
	log_set_level(level);
	req->reply = json_pack("{s:s}", "text", "Success");
	request_done(req);
}

/* ---- version: what runs, and what a restart would run ---- */

struct version_job {
	struct request *req;
	char installed[64];
};

/* Ask the program file that stands where ours was started from; it may have been replaced. */
static void
version_work(void *arg)
{
	static const char deleted[] = " (deleted)";
	struct version_job *job = arg;
	char path[PATH_MAX], cmd[PATH_MAX + 64];
	const ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	FILE *out;

	if (n < 0)
		return;
	path[n] = '\0';
	if ((size_t)n > sizeof(deleted) && strcmp(path + n - (sizeof(deleted) - 1), deleted) == 0)
		path[n - (sizeof(deleted) - 1)] = '\0';
	if (strchr(path, '\'') != NULL)
		return;
	snprintf(cmd, sizeof(cmd), "timeout 2 '%s' --version 2>/dev/null", path);
	out = popen(cmd, "re");
	if (out == NULL)
		return;
	if (fgets(job->installed, sizeof(job->installed), out) != NULL)
		job->installed[strcspn(job->installed, "\n")] = '\0';
	pclose(out);
}

static void
version_done(void *arg)
{
	struct version_job *job = arg;

	job->req->reply = json_pack("{s:{s:s}, s:{s:s}}", "item_0", "original_controller",
		"v" VIRTNET_VERSION, "item_1", "destination_controller",
		job->installed[0] != '\0' ? job->installed : "unknown");
	request_done(job->req);
	free(job);
}

void
cmd_version(struct controller *c, struct request *req)
{
	struct version_job *job = calloc(1, sizeof(*job));

	if (job == NULL) {
		request_fail(req, -ENOMEM, NULL);
		return;
	}
	job->req = req;
	helper_run(c->helper, version_work, version_done, job);
}

/* ---- validate ---- */

struct validate_job {
	struct request *req;
	char path[512];
	char err[CONFIG_ERR_LEN];
	struct config cfg;
	int ret;
};

static void
validate_work(void *arg)
{
	struct validate_job *job = arg;

	job->ret = config_load(&job->cfg, job->path, job->err, sizeof(job->err));
}

static void
validate_done(void *arg)
{
	struct validate_job *job = arg;
	char text[sizeof(job->path) + 16];

	if (job->ret == 0) {
		snprintf(text, sizeof(text), "%s is valid", job->path);
		job->req->reply = json_pack("{s:s}", "text", text);
		request_done(job->req);
	} else {
		request_fail(job->req, job->ret, job->err);
	}
	free(job);
}

void
cmd_validate(struct controller *c, struct request *req)
{
	struct validate_job *job = calloc(1, sizeof(*job));

	if (job == NULL) {
		request_fail(req, -ENOMEM, NULL);
		return;
	}
	job->req = req;
	snprintf(job->path, sizeof(job->path), "%s", request_arg(req, "file")->str);
	helper_run(c->helper, validate_work, validate_done, job);
}

/* ---- workers ---- */

void
cmd_workers(struct controller *c, struct request *req)
{
	struct worker_stats st;
	char key[32];

	req->reply = json_object();
	for (unsigned int i = 0; i < workers_count(c->workers); i++) {
		workers_stats(c->workers, i, &st);
		snprintf(key, sizeof(key), "lcore_%u", st.lcore);
		json_object_set_new(req->reply, key,
			json_pack("{s:I, s:I, s:I, s:I, s:I}", "queue_pairs", (json_int_t)st.pairs,
				"busy_cycles", (json_int_t)st.busy_cycles, "poll_cycles",
				(json_int_t)st.poll_cycles, "sleeps", (json_int_t)st.sleeps,
				"packets", (json_int_t)st.packets));
	}
	request_done(req);
}
