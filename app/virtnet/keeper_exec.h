/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_KEEPER_EXEC_H
#define APP_KEEPER_EXEC_H

/**
 * @file
 * Becoming the keeper: the program that a user starts is replaced by dpdk-virtnet-keeper, which
 * starts it again as often as need be.
 */

#include <stddef.h>

/** Tells the keeper which program to start. */
#define KEEPER_OPT_PROGRAM "emu-program"

/**
 * The program's absolute path as it was called, so that a file that takes its place is the new
 * version: a last symbolic link is not followed.
 *
 * @param called  argv[0]
 * @return 0; -ENOENT; -ENAMETOOLONG; -errno
 */
int keeper_program(const char *called, char *path, size_t len);

/**
 * Arguments for the keeper: its own path, EAL's, "--", the application's, --emu-program.
 *
 * @param eal_argc  arguments of EAL, the program's name included
 * @param app_at    first argument of the application; argc if there is none
 * @return an array, strings shared with argv; NULL without memory
 */
char **keeper_argv(
	int argc, char **argv, int eal_argc, int app_at, const char *keeper, const char *program);

/** Returns only when there is no keeper to be run: -errno. */
int keeper_exec(int argc, char **argv, int eal_argc, int app_at);

#endif /* APP_KEEPER_EXEC_H */
