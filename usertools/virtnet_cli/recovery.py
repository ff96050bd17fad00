# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Commands outlive a controller: its crash, its change of process, devices under way to another."""

import time

from .errors import (EMIGRATING_VIRTNET, ControllerAbsent, ControllerLost, ControllerMoving, Failed,
                     VirtnetError)

RECOVERY_S = 2.0            # how long a controller may be away: a crash, or a change of hands
RECOVERY_PAUSE_S = 0.02
MIGRATION_S = 10.0          # how long a listing waits for devices that change their process


def passes(error, repeatable):
    """May the same command succeed in a moment, without being carried out twice?"""
    if isinstance(error, ControllerAbsent):
        return error.was_there
    if isinstance(error, ControllerLost):
        return repeatable
    if isinstance(error, Failed):
        # A listing of all devices, while some are on their way to another process.
        return error.of_all and error.errno == EMIGRATING_VIRTNET
    return isinstance(error, ControllerMoving)


def recovering(attempt, repeatable, progress):
    """attempt(), again for as long as a controller may need to recover from a crash or to give its
    devices to another process."""
    give_up = None
    while True:
        try:
            return attempt()
        except (VirtnetError, Failed) as error:
            now = time.monotonic()
            give_up = give_up or now + (
                MIGRATION_S if isinstance(error, Failed) else RECOVERY_S)
            if now >= give_up or not passes(error, repeatable):
                raise
        progress.tick()
        time.sleep(RECOVERY_PAUSE_S)
