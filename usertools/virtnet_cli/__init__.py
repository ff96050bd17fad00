# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""virtnet: command line of the virtio-net controller (dpdk-virtnet).

Everything that depends on a command (options, help, order of the request's keys, shape of the
answer) comes from schema.json, which the controller itself writes (`dpdk-virtnet --schema`). The
modules know the rest: how to find the schema and the telemetry socket, how to talk to it (one short
connection per command, paged answers), and how the contract wants answers printed.

  program      what the first words ask for, and how the program ends
  completion   what the shell may offer
  command      one command from the user's words to what is printed
  options      its command line
  recovery     it outlives the controller's process
  answers      what the controller says, put together from pages
  shape        the contract's names and values
  telemetry    the connection
  progress     a word to the user who has to wait
  schema       the table of commands
  errors       what may go wrong

Each uses those below it only.
"""

PROG = "virtnet"  # what every message begins with
