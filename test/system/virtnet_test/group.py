# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The processes of a controller that runs under its keeper, as seen from outside."""

import json
import re
import socket
from pathlib import Path

from .procs import processes, zombie
from .wait import wait_until

TELEMETRY_MAX = 16384


class Telemetry:
    """One connection to the command socket of a controller: quicker than the command line, for who asks often."""

    def __init__(self, prefix):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(30)
        try:
            self.sock.connect(f"/var/run/dpdk/{prefix}/dpdk_telemetry.v2")
            self.pid = json.loads(self.sock.recv(TELEMETRY_MAX))["pid"]
        except (OSError, ValueError):
            self.sock.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def ask(self, endpoint, **parameters):
        """The answer to a command."""
        text = ",".join([endpoint, *(f"{key}={value}" for key, value in parameters.items())])
        self.sock.send(text.encode())
        return json.loads(self.sock.recv(TELEMETRY_MAX))[endpoint]

    def good(self, endpoint, **parameters):
        """The answer to a command that has to succeed."""
        answer = self.ask(endpoint, **parameters)
        assert answer["errno"] == 0, f"{endpoint} {parameters}: {answer}"
        return answer


class Group:
    """Keeper, active process and standby of one controller. "ip netns exec" has become dpdk-virtnet, that its keeper."""

    def __init__(self, controller):
        self.controller = controller

    def keeper(self):
        return self.controller.process.pid

    def children(self):
        text = Path(f"/proc/{self.keeper()}/task/{self.keeper()}/children").read_text()
        return [int(pid) for pid in text.split() if not zombie(int(pid))]

    def telemetry(self):
        return Telemetry(self.controller.prefix)

    def _active(self):
        """None while there is none. A parked process may answer, too, but it has never said that it is ready."""
        try:
            with self.telemetry() as telemetry:
                pid = telemetry.pid
        except (OSError, ValueError):
            return None
        ready = re.search(rf"\[{pid}\]: .*controller is ready", self.controller.log())
        return pid if ready and pid in self.children() else None

    def active(self, seconds=20):
        """The emu process that answers commands."""
        return wait_until(self._active, "an active process", seconds, pause=0.005)

    def standby(self, seconds=20):
        """The standby, once it is up."""

        def up():
            active, children = self._active(), self.children()
            log = self.controller.log()
            ready = [pid for pid in children if pid != active and re.search(rf"standby process {pid} is up", log)]
            return ready[0] if active and len(ready) == 1 and len(children) == 2 else None

        return wait_until(up, "a standby", seconds, pause=0.01)

    def all(self):
        """(pid, arguments) of all of them, whoever their parent is."""
        return processes(f"--file-prefix {self.controller.prefix} ")
