# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A word to the user who has to wait."""

import sys
import time

from . import PROG

PROGRESS_AFTER_S = 1.0


class Progress:
    """One line on a terminal's stderr that says what is waited for, once it takes a while."""

    def __init__(self, what):
        self.what = what
        self.start = time.monotonic()
        self.enabled = sys.stderr.isatty()
        self.shown = False

    def tick(self):
        elapsed = time.monotonic() - self.start
        if self.enabled and elapsed >= PROGRESS_AFTER_S:
            sys.stderr.write(f"\r{PROG}: {self.what} ... {elapsed:.0f} s")
            sys.stderr.flush()
            self.shown = True

    def clear(self):
        if self.shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self.shown = False
