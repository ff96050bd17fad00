# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""virtnet-fault in the background: traffic through devices, and what became of it around an event."""

import contextlib
import itertools
import json
import queue
import subprocess
import threading

STATUS_DISCONNECT = 3
READY_SECONDS = 120  # of which filling 4 GiB of memory takes most, on a busy machine


class Generator:
    """One virtnet-fault process on some devices of a controller."""

    ids = itertools.count(1)

    def __init__(self, controller, program, devices, pairs=2, options=()):
        self.devices = devices
        self.pairs = pairs
        self.exempted = set()
        self.violations = []
        self.seen = []  # lines that nobody has asked for
        self.summary = None
        self.lines = queue.Queue()
        links = [f"{device.socket}={device.representor}" for device in devices]
        self.process = subprocess.Popen(
            controller.netns.command(program, "--realtime", "--pairs", pairs, *options, *links), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        try:
            self.ready = self._wait("ready", READY_SECONDS)
        except BaseException:
            self.close()
            raise

    def _read(self):
        for line in self.process.stdout:
            message = json.loads(line)
            if "violation" in message:
                self.violations.append(message)
            else:
                self.lines.put(message)
        self.lines.put(None)

    def _wait(self, key, seconds):
        """The next line with that key; others are kept."""
        while True:
            try:
                message = self.lines.get(timeout=seconds)
            except queue.Empty:
                raise AssertionError(f"the generator did not say {key} in {seconds} s: {self.trouble()}") from None
            if message is None:
                self.lines.put(None)
                raise AssertionError(f"the generator has ended: {self.trouble()}")
            if key in message:
                return message
            self.seen.append(message)

    def trouble(self):
        """Everything that helps to understand a failure."""
        if self.process.poll() is not None:
            self.seen.append({"status": self.process.returncode, "stderr": self.process.stderr.read()})
        return f"{self.violations[:20]} {self.seen[-5:]}"

    def _say(self, *words):
        try:
            self.process.stdin.write(" ".join(map(str, words)) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.process.wait(10)
            self.reader.join(5)
            while not self.lines.empty():
                self.seen.append(self.lines.get())
            raise AssertionError(f"the generator has ended: {self.trouble()}") from None

    # --- events -----------------------------------------------------------------------------------

    def kill(self, pid, signal, allow_ms):
        """An event begins with a signal."""
        number = next(self.ids)
        self._say("kill", number, allow_ms, int(signal), pid)
        return number

    def mark(self, allow_ms):
        """An event begins that somebody else causes after this call."""
        number = next(self.ids)
        self._say("mark", number, allow_ms)
        self._wait("marked", 10)
        return number

    def settle(self, timeout_ms):
        """The event ends; what it has cost each device."""
        self._say("settle", timeout_ms)
        result = self._wait("event", timeout_ms / 1000 + 10)
        assert result["settled"], f"after {timeout_ms} ms not everything moves: {result} {self.trouble()}"
        return result

    def poison(self, index, address):
        self._say("poison", index, f"{address:x}")

    def exempt(self, index):
        """What happens to this device from now on is no violation."""
        self.exempted.add(index)
        self._say("exempt", index)

    def wait_needs_reset(self, seconds=20):
        """Index of the device that says it needs a reset."""
        return self._wait("needs_reset", seconds)["needs_reset"]

    def wait_disconnected(self, seconds=10):
        """The hosts see the end of their connections, which ends the generator."""
        self._wait("disconnected", seconds)
        self.process.wait(10)

    def stop(self):
        """Summary; a failed test if something happened that must not."""
        self._say("stop")
        self.summary = self._wait("summary", 20)["summary"]
        status = self.process.wait(10)
        assert not self.violations, self.trouble()
        assert status == 0, f"virtnet-fault ended with {status}: {self.trouble()}"
        return self.summary

    def kill_itself(self):
        """A host that dies."""
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process.poll() is None:
            self.kill_itself()
        self.reader.join(5)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(BrokenPipeError):  # words that nobody has read
                stream.close()
