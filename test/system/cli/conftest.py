# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Fixtures for the tests of virtnet.py: a scripted controller and a way to run the program."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from fake_controller import FakeController
from sample_schema import SCHEMA

VIRTNET = pathlib.Path(__file__).resolve().parents[3] / "usertools" / "virtnet.py"


class Cli:
    """Runs virtnet.py as a user would, against one socket and one schema."""

    def __init__(self, socket_path, schema_path):
        self.env = {**os.environ, "VIRTNET_SOCKET": str(socket_path),
                    "VIRTNET_SCHEMA": str(schema_path)}

    def command(self, *words):
        return [sys.executable, str(VIRTNET), *map(str, words)]

    def __call__(self, *words, **options):
        return subprocess.run(self.command(*words), env=self.env, capture_output=True, text=True,
                              timeout=60, check=False, **options)

    def json(self, *words):
        """The parsed answer of a command that has to succeed."""
        done = self("--json", *words)
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)


@pytest.fixture(name="schema_path")
def fixture_schema_path(tmp_path):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    return path


@pytest.fixture(name="controller")
def fixture_controller(tmp_path):
    controller = FakeController(str(tmp_path))
    yield controller
    controller.close()


@pytest.fixture(name="virtnet")
def fixture_virtnet(controller, schema_path):
    return Cli(controller.path, schema_path)


@pytest.fixture(name="virtnet_alone")
def fixture_virtnet_alone(tmp_path, schema_path):
    """virtnet.py without a controller behind its socket."""
    return Cli(tmp_path / "nobody", schema_path)
