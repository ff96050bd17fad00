# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The table of commands that the controller writes (`dpdk-virtnet --schema`), and where to find it.

The program runs in three places: in the source tree, whose build folder is "build"; in a build
tree, beside that build's own schema; and installed.
"""

import json
import os
import shutil
import subprocess
import sys

from .errors import VirtnetError

# Answers that this program can print; commands with others are for other clients of the telemetry.
REPLY_KINDS = frozenset(["object", "devices", "text", "array", "plain"])


def script_dir():
    """The folder of the program's script, wherever this module is."""
    return os.path.dirname(os.path.realpath(sys.argv[0]))


def controller_binary():
    """Path of dpdk-virtnet: $VIRTNET_CONTROLLER, beside this script, $PATH; None if absent."""
    if os.environ.get("VIRTNET_CONTROLLER"):
        return os.environ["VIRTNET_CONTROLLER"]
    here = script_dir()
    for path in (os.path.join(here, "..", "build", "app", "dpdk-virtnet"),
                 os.path.join(here, "dpdk-virtnet"),
                 os.path.join(here, "..", "sbin", "dpdk-virtnet"),
                 os.path.join(here, "..", "app", "dpdk-virtnet")):
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return os.path.normpath(path)
    return shutil.which("dpdk-virtnet")


def load_schema():
    """The table of commands, from the first place that has one."""
    schema = read_schema()
    schema["commands"] = [c for c in schema["commands"] if c.get("reply") in REPLY_KINDS]
    return schema


def read_schema():
    named = os.environ.get("VIRTNET_SCHEMA")
    here = script_dir()
    places = [named] if named else [
        os.path.join(here, "..", "share", "virtnet", "schema.json"),
        os.path.join(here, "..", "build", "usertools", "schema.json"),
        os.path.join(here, "schema.json"),
    ]
    for path in places:
        try:
            with open(path, encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise VirtnetError(f"cannot use the command schema {path}: {error}") from None
    if not named:
        binary = controller_binary()
        if binary:
            return schema_from_binary(binary)
    raise VirtnetError(
        "cannot find the command schema (tried " + ", ".join(map(os.path.normpath, places)) +
        "); build the controller (ninja -C build) or name the file in VIRTNET_SCHEMA")


def schema_from_binary(binary):
    try:
        done = subprocess.run([binary, "--schema"], capture_output=True, check=True, timeout=30)
        return json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise VirtnetError(f"cannot get the command schema from {binary}: {error}") from None
