# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""What the system tests are told in terms of: a controller, its command line, guests and networks.

Everything is looked at from the outside: processes, sockets, the guest's own tools, the far side of a representor.
"""

import pathlib
import sys

TOP = pathlib.Path(__file__).resolve().parents[3]
USERTOOLS = TOP / "usertools"

# The VM tool of the quick start is the VM tool of the tests.
sys.path.insert(0, str(USERTOOLS))
