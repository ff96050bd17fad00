# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""What may go wrong, in the words of the user, and the numbers for it."""

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_PIPE_CLOSED = 141

ENODEV_VIRTNET = -1001      # "Failed to find device" of the contract's table
EMIGRATING_VIRTNET = -1041  # "Failed - Device is migrating"
EAGAIN_STANDBY = -11        # answer of a process that waits to become the controller


class VirtnetError(Exception):
    """Something that the user has to know, in his words; the message goes to stderr."""


class ControllerAbsent(VirtnetError):
    """Nobody answers on the telemetry socket. was_there: somebody did, not long ago."""

    def __init__(self, message, was_there):
        super().__init__(message)
        self.was_there = was_there


class ControllerLost(VirtnetError):
    """The controller ended after the command was sent: whether it was carried out is not known."""


class ControllerMoving(VirtnetError):
    """Another process is about to be the controller; nothing has been carried out."""


class Failed(Exception):
    """The controller refused the command; carries what is to be printed on stdout."""

    def __init__(self, printed, errno=0):
        super().__init__()
        self.printed = printed
        self.errno = errno
        self.of_all = False  # the command was about all devices
