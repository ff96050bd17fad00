/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Finding the keeper's program and ours, and starting the one in place of the other. */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_common.h>

#include "keeper_exec.h"

#define KEEPER_NAME "dpdk-virtnet-keeper"

/* Where it may be, from the folder of this program. */
static const char *const keeper_dirs[] = {"", "../libexec/", "../libexec/virtnet/", "../sbin/"};

static int
join(char *path, size_t len, const char *dir, const char *name)
{
	return snprintf(path, len, "%s/%s", dir, name) < (int)len ? 0 : -ENAMETOOLONG;
}

/* As execvp() would find it. */
static int
search_path(const char *name, char *path, size_t len)
{
	const char *env = getenv("PATH");
	char *dirs = strdup(env != NULL ? env : "/usr/sbin:/usr/bin:/sbin:/bin");
	char *rest = dirs;
	int ret = -ENOENT;

	if (dirs == NULL)
		return -ENOMEM;
	for (char *dir = strsep(&rest, ":"); dir != NULL && ret < 0; dir = strsep(&rest, ":"))
		if (join(path, len, dir[0] != '\0' ? dir : ".", name) == 0 &&
			access(path, X_OK) == 0)
			ret = 0;
	free(dirs);
	return ret;
}

int
keeper_program(const char *called, char *path, size_t len)
{
	char found[PATH_MAX], dir[PATH_MAX];
	const char *name;
	char *slash;
	int ret = 0;

	if (strchr(called, '/') == NULL)
		ret = search_path(called, found, sizeof(found));
	else if (snprintf(found, sizeof(found), "%s", called) >= (int)sizeof(found))
		ret = -ENAMETOOLONG;
	if (ret < 0)
		return ret;
	slash = strrchr(found, '/');
	name = slash + 1;
	*slash = '\0';
	if (realpath(found[0] != '\0' ? found : "/", dir) == NULL)
		return -errno;
	return join(path, len, strcmp(dir, "/") == 0 ? "" : dir, name);
}

char **
keeper_argv(
	int argc, char **argv, int eal_argc, int app_at, const char *keeper, const char *program)
{
	char **args = calloc((size_t)argc + 4, sizeof(*args));
	char *option;
	int n = 0;

	if (args == NULL || asprintf(&option, "--" KEEPER_OPT_PROGRAM "=%s", program) < 0) {
		free(args);
		return NULL;
	}
	args[n++] = (char *)(uintptr_t)keeper;
	for (int i = 1; i < eal_argc; i++)
		args[n++] = argv[i];
	args[n++] = (char *)(uintptr_t) "--";
	for (int i = app_at; i < argc; i++)
		args[n++] = argv[i];
	args[n] = option;
	return args;
}

int
keeper_exec(int argc, char **argv, int eal_argc, int app_at)
{
	char self[PATH_MAX], program[PATH_MAX], keeper[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char **args;
	int ret;

	if (n < 0)
		return -errno;
	self[n] = '\0';
	if (keeper_program(argv[0], program, sizeof(program)) < 0)
		strcpy(program, self);
	*strrchr(self, '/') = '\0';
	for (unsigned int i = 0; i <= RTE_DIM(keeper_dirs); i++) {
		if (i == RTE_DIM(keeper_dirs))
			ret = search_path(KEEPER_NAME, keeper, sizeof(keeper));
		else
			ret = snprintf(keeper, sizeof(keeper), "%s/%s" KEEPER_NAME, self,
				      keeper_dirs[i]) < (int)sizeof(keeper)
				      ? 0
				      : -ENAMETOOLONG;
		if (ret < 0 || access(keeper, X_OK) < 0)
			continue;
		args = keeper_argv(argc, argv, eal_argc, app_at, keeper, program);
		if (args == NULL)
			return -ENOMEM;
		execv(keeper, args);
		return -errno;
	}
	return -ENOENT;
}
