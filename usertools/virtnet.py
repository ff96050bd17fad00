#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""virtnet: command line of the virtio-net controller (dpdk-virtnet).

This is where it starts; virtnet_cli, which is beside this file or installed, is the program.
"""

import os
import sys


def library():
    """The folder that holds virtnet_cli, by this file's own place, links resolved."""
    here = os.path.dirname(os.path.realpath(__file__))
    for folder in (here, os.path.join(here, "..", "share", "virtnet", "python")):
        if os.path.isdir(os.path.join(folder, "virtnet_cli")):
            return folder
    sys.exit(f"virtnet: its modules (virtnet_cli) are neither in {here} nor in "
             "../share/virtnet/python from there: it is not installed completely")


if __name__ == "__main__":
    sys.path.insert(0, library())
    # Run by root most of the time: no files of root's in somebody's source tree.
    sys.dont_write_bytecode = True
    from virtnet_cli.program import entry
    sys.exit(entry())
