# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A service manager that is played by the test: readiness, status, and the descriptor store of sd_notify(3)."""

import array
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from .controller import Controller
from .procs import processes
from .wait import wait_until

LIBC = ctypes.CDLL(None)
KCMP = {"x86_64": 312, "aarch64": 272}[os.uname().machine]
KCMP_FILE = 0

FDSTORE_MAX = 32768
MESSAGE_MAX = 4096
FDS_MAX = 253

# Puts what was inherited where sd_listen_fds(3) says, and becomes the service. Arguments: names and descriptors as
# "name=fd,name=fd", then the program's.
TRAMPOLINE = """
import fcntl, os, sys
kept = [pair.rpartition("=") for pair in sys.argv[1].split(",") if pair]
high = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 3 + len(kept) + 100) for _, _, fd in kept]
os.closerange(3, 3 + len(kept) + 100)
for place, fd in enumerate(high):
    os.dup2(fd, 3 + place)
    os.close(fd)
if kept:
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDS"] = str(len(kept))
    os.environ["LISTEN_FDNAMES"] = ":".join(name for name, _, _ in kept)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def same_open_file(one, other):
    """Do two descriptors of this process come from the same open()?"""
    pid = os.getpid()
    return LIBC.syscall(KCMP, pid, pid, KCMP_FILE, one, other) == 0


class ServiceManager:
    """Owns NOTIFY_SOCKET, reads it all the time, and holds what it is given."""

    def __init__(self, folder):
        self.path = Path(folder) / "notify"
        self.lock = threading.Lock()
        self.store = []  # (name, descriptor)
        self.told = []  # lines that are not about the store
        self.senders = set()
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.sock.bind(str(self.path))
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def environment(self):
        return {"NOTIFY_SOCKET": str(self.path), "FDSTORE": str(FDSTORE_MAX)}

    def _read(self):
        room = socket.CMSG_SPACE(FDS_MAX * array.array("i").itemsize) + socket.CMSG_SPACE(12)
        while True:
            try:
                text, control, _, _ = self.sock.recvmsg(MESSAGE_MAX, room, socket.MSG_CMSG_CLOEXEC)
            except OSError:
                return
            if text == b"the end":
                return
            fds = array.array("i")
            for level, kind, data in control:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(data)
                elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    self.senders.add(array.array("i", data)[0])
            with self.lock:
                self._message(text.decode().splitlines(), list(fds))

    def _message(self, lines, fds):
        fields = dict(line.partition("=")[::2] for line in lines)
        name = fields.get("FDNAME", "stored")
        if fields.get("FDSTOREREMOVE") == "1":
            self._remove(name)
        if fields.get("FDSTORE") == "1":
            assert len(self.store) < FDSTORE_MAX
            for fd in fds:
                if any(same_open_file(fd, kept) for _, kept in self.store):
                    os.close(fd)  # as systemd does
                else:
                    self.store.append((name, fd))
            return
        for fd in fds:
            os.close(fd)
        self.told += [line for line in lines if not line.startswith(("FD", "BARRIER="))]

    def _remove(self, name):
        for entry in [entry for entry in self.store if entry[0] == name]:
            self.store.remove(entry)
            os.close(entry[1])

    def names(self):
        with self.lock:
            return sorted(name for name, _ in self.store)

    def forget(self, name):
        """Lose a descriptor, as no manager should."""
        with self.lock:
            assert any(entry[0] == name for entry in self.store), f"{name} is not in the store"
            self._remove(name)

    def put(self, name, fd):
        """Keep a descriptor that the service never gave."""
        with self.lock:
            self.store.append((name, fd))

    def drop_store(self):
        """What a stop does."""
        with self.lock:
            while self.store:
                self._remove(self.store[0][0])

    def spawn(self, command, **options):
        """Start the service with what is kept."""
        with self.lock:
            kept = list(self.store)
        words = ",".join(f"{name}={fd}" for name, fd in kept)
        return subprocess.Popen(
            [sys.executable, "-S", "-c", TRAMPOLINE, words, *map(str, command)], pass_fds=[fd for _, fd in kept],
            **options,
        )  # fmt: skip

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"the end", str(self.path))
        self.thread.join(10)
        self.sock.close()
        self.path.unlink()
        self.drop_store()


class ManagedController(Controller):
    """A controller that is a service of a ServiceManager."""

    def __init__(self, build, folder, environment=None, **options):
        self.manager = ServiceManager(folder)
        super().__init__(build, folder, environment={**(environment or {}), **self.manager.environment()}, **options)

    def spawn(self, command, **options):
        return self.manager.spawn(command, **options)

    def start(self):
        super().start()
        wait_until(lambda: self.manager.told.count("READY=1") > 0, "READY=1, soon after the controller's own word", 5)
        return self

    def ended(self):
        """Status of the main process; all of the others are gone, too."""
        status = self.process.wait(30)
        wait_until(lambda: not processes(self.prefix), "the other processes to end")
        return status

    def restart(self):
        """What systemctl restart does."""
        self.process.send_signal(signal.SIGTERM)
        assert self.ended() == 0, self.log()[-3000:]
        return self.start()

    def crash(self):
        """The main process dies; Restart=always."""
        self.process.kill()
        self.ended()
        return self.start()

    def stop(self):
        """What systemctl stop does."""
        self.process.send_signal(signal.SIGTERM)
        assert self.ended() == 0, self.log()[-3000:]
        self.manager.drop_store()
        self.check_log()
        wait_until(lambda: not self.netns.links(), "representors to go with their last descriptor")

    def close(self):
        try:
            super().close()
        finally:
            self.manager.close()
