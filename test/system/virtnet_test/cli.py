# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The virtnet command as a user types it, and its output taken apart as a user reads it."""

import ast
import json
import os
import subprocess

from . import USERTOOLS


class Answer:
    """What one command printed: the echo line (None if there was none) and the reply."""

    def __init__(self, done):
        self.status = done.returncode
        self.stdout = done.stdout
        self.stderr = done.stderr
        text = done.stdout
        self.echo = None
        if text.startswith("{'"):
            line, _, text = text.partition("\n")
            self.echo = ast.literal_eval(line)
        try:
            self.reply = json.loads(text)
        except ValueError:
            self.reply = None

    def __repr__(self):
        return f"status {self.status}\n{self.stdout}{self.stderr}"


class Cli:
    """Runs usertools/virtnet.py against one controller."""

    def __init__(self, file_prefix, build):
        self.words = ["/usr/bin/python3", "-B", str(USERTOOLS / "virtnet.py"), "--file-prefix", file_prefix]
        self.env = {
            **os.environ,
            "VIRTNET_SCHEMA": str(build / "usertools" / "schema.json"),
            "VIRTNET_CONTROLLER": str(build / "app" / "dpdk-virtnet"),
        }

    def __call__(self, *words, seconds=90):
        done = subprocess.run(
            [*self.words, *map(str, words)], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=seconds, check=False,
        )  # fmt: skip
        return Answer(done)

    def good(self, *words, seconds=90):
        """The reply of a command that has to succeed."""
        answer = self(*words, seconds=seconds)
        assert answer.status == 0 and answer.reply is not None, f"virtnet {' '.join(map(str, words))}: {answer}"
        if isinstance(answer.reply, dict) and "errno" in answer.reply:
            assert (answer.reply["errno"], answer.reply["errstr"]) == (0, "Success")
        return answer.reply

    def device(self, pf_id, *options):
        """One device as query shows it."""
        return self.good("query", "-p", pf_id, *options)["devices"][0]
