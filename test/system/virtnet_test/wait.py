# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Waiting for something that will become true, and the limit of a whole test."""

import contextlib
import signal
import time


def wait_until(condition, what, seconds=30, pause=0.05):
    """Value of condition() once it is true; a failed test that names what did not come after that many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(pause)


@contextlib.contextmanager
def time_limit(seconds, what):
    """Raise TimeoutError in the main thread when the block takes longer: a hung child must not hang the run."""

    def expired(_signal, _frame):
        raise TimeoutError(f"{what} took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
