# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The controller's telemetry socket: a greeting, then one short connection per command."""

import json
import os
import socket
import time

from .errors import (EAGAIN_STANDBY, ControllerAbsent, ControllerLost, ControllerMoving,
                     VirtnetError)

TELEMETRY_SOCKET = "dpdk_telemetry.v2"
DEFAULT_FILE_PREFIX = "virtnet"
MAX_REQUEST = 1023          # DPDK reads a request into a 1024-byte buffer
DEFAULT_MAX_REPLY = 16384   # until the greeting says how much one answer may hold
BUSY_RETRY_S = 5.0          # how long to knock while all ten telemetry connections are taken


def socket_path(args):
    """The telemetry socket to use: --socket, --file-prefix, $VIRTNET_SOCKET, then the default."""
    if args.socket:
        return args.socket
    if not args.file_prefix and os.environ.get("VIRTNET_SOCKET"):
        return os.environ["VIRTNET_SOCKET"]
    tail = os.path.join("dpdk", args.file_prefix or DEFAULT_FILE_PREFIX, TELEMETRY_SOCKET)
    path = os.path.join("/var/run", tail)
    if os.geteuid() != 0:
        # DPDK started by an ordinary user keeps its runtime files here.
        own = os.path.join(os.environ.get("XDG_RUNTIME_DIR", "/tmp"), tail)
        if os.path.exists(own):
            return own
    return path


class Telemetry:
    """One connection to the controller's telemetry socket; use it as a context manager."""

    def __init__(self, path, progress, timeout_s, busy_retry_s=BUSY_RETRY_S):
        self.path = path
        self.progress = progress
        self.timeout_s = timeout_s
        self.max_reply = DEFAULT_MAX_REPLY
        self.sock = self._connect(busy_retry_s)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def _connect(self, busy_retry_s):
        # DPDK accepts an eleventh client only to close it at once: an end before the greeting
        # means "busy", and the connections of other commands are short.
        give_up = time.monotonic() + busy_retry_s
        pause = 0.02
        while True:
            sock = self._open()
            if sock:
                try:
                    greeting = self._receive(sock)
                    if greeting:
                        self._read_greeting(greeting)
                        return sock
                except BaseException:
                    sock.close()
                    raise
                sock.close()
            if time.monotonic() >= give_up:
                raise VirtnetError(
                    f"the controller closes every new connection on {self.path}: all of its "
                    "telemetry connections (ten) are in use; close other clients and try again")
            self.progress.tick()
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)

    def _open(self):
        """A connected socket; None when so many wait to be accepted that the queue is full."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.settimeout(self.timeout_s)
            sock.connect(self.path)
            return sock
        except BlockingIOError:
            sock.close()
            return None
        except OSError as error:
            sock.close()
            raise self._cannot_connect(error) from None

    def _cannot_connect(self, error):
        reason = error.strerror or str(error)
        if isinstance(error, PermissionError):
            return VirtnetError(f"cannot connect to {self.path}: {reason}; the controller's "
                                "socket is for its owner only: use sudo")
        return ControllerAbsent(
            f"the controller is not running: no answer on {self.path} ({reason}).\n"
            "Start it, for instance with\n"
            "  dpdk-virtnet -l 0,1 --no-huge -m 512 --no-pci --iova-mode=va "
            "--file-prefix virtnet -- --config virtnet.conf\n"
            "A controller with another --file-prefix is reached by --file-prefix NAME or "
            "--socket PATH.",
            was_there=os.path.exists(os.path.dirname(self.path)))

    def _read_greeting(self, greeting):
        try:
            size = json.loads(greeting).get("max_output_len")
        except (ValueError, AttributeError):
            raise VirtnetError(f"{self.path} is not a DPDK telemetry socket: "
                               "its greeting is not understood") from None
        if isinstance(size, int) and 0 < size <= 1 << 24:
            self.max_reply = max(size, DEFAULT_MAX_REPLY)

    def _receive(self, sock):
        """One datagram; b"" when the peer closed the connection."""
        deadline = time.monotonic() + self.timeout_s
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise VirtnetError(f"no answer from the controller on {self.path} within "
                                   f"{self.timeout_s:g} s; it may still finish the command "
                                   "(see its log; --timeout waits longer)")
            sock.settimeout(min(left, 0.5))
            try:
                # One byte of room more than the answer: that tells a cut-off one.
                return sock.recv(self.max_reply + 1)
            except TimeoutError:
                self.progress.tick()
            except ConnectionError:
                return b""

    def request(self, endpoint, params):
        """Send one command, give back its answer (a dict)."""
        text = endpoint
        if params:
            text += "," + ",".join(f"{key}={value}" for key, value in params)
        data = text.encode()
        if len(data) > MAX_REQUEST:
            raise VirtnetError(f"the request is {len(data)} bytes long, the controller takes "
                               f"{MAX_REQUEST} at most")
        try:
            self.sock.settimeout(self.timeout_s)
            self.sock.send(data)
            reply = self._receive(self.sock)
        except ConnectionError:
            reply = b""
        except TimeoutError:
            raise VirtnetError(f"the controller on {self.path} does not read its requests "
                               f"({self.timeout_s:g} s)") from None
        if not reply:
            raise ControllerLost("the controller closed the connection before it answered: it was "
                                 "stopped or it failed; see its log")
        body = self._parse(endpoint, reply)
        if body.get("errno") == EAGAIN_STANDBY and "standby" in body.get("errstr", ""):
            raise ControllerMoving(f"only a standby answers on {self.path}: no controller has "
                                   "taken over; see its log")
        return body

    @staticmethod
    def _parse(endpoint, reply):
        try:
            body = json.loads(reply)[endpoint]
        except (ValueError, KeyError, TypeError):
            raise VirtnetError(f"the controller's answer to {endpoint} is not understood "
                               f"({len(reply)} bytes): {reply[:80]!r}") from None
        if body is None:
            raise VirtnetError(f"the controller does not know {endpoint}: "
                               "it is of another version than this program")
        if not isinstance(body, dict):
            raise VirtnetError(f"the controller's answer to {endpoint} is not an object")
        return join_sentences(body)


def join_sentences(body):
    """Telemetry's strings are short: a longer sentence comes as errstr, errstr_1, errstr_2, ..."""
    for key in ("errstr", "text"):
        part = 1
        while f"{key}_{part}" in body:
            body[key] += body.pop(f"{key}_{part}")
            part += 1
    return body
