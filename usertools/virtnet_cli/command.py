# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""One command from the user's words to what is printed."""

import subprocess
import sys
import time

from . import PROG
from .answers import fetch_answer
from .errors import EXIT_FAILED, ControllerAbsent, Failed, VirtnetError
from .options import request_values, wire_values
from .progress import Progress
from .recovery import RECOVERY_PAUSE_S, recovering
from .schema import controller_binary
from .shape import to_json
from .telemetry import Telemetry, socket_path

DEFAULT_TIMEOUT_S = 30.0
FOLLOW_S = 60.0             # how long a restart may take; the controller gives it up by itself
# Commands whose text answer is printed bare; every other text is printed as a JSON string.
BARE_TEXT = frozenset(["validate", "restart"])


def show(command, args, answer):
    if isinstance(answer, str) and command["name"] in BARE_TEXT and not args.json:
        print(answer)
    else:
        print(to_json(answer))


def validate_offline(values):
    """`validate` is most wanted when the controller does not start: let its binary check."""
    binary = controller_binary()
    if not binary:
        return None
    path = next(iter(values.values()))
    try:
        done = subprocess.run([binary, "--validate", path], stdout=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, timeout=60, check=False, text=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise VirtnetError(f"cannot run {binary}: {error}") from None
    text = done.stdout.rstrip("\n")
    if done.returncode:
        raise Failed(text or f"{path} is not valid")
    return text


def of_all_devices(command, values):
    return command["reply"] == "devices" and not {"pf", "vf", "vuid"} & set(values)


def ask_controller(schema, args, values):
    command = args.command
    timeout = args.timeout or (command.get("timeout_ms") or DEFAULT_TIMEOUT_S * 1000) / 1000
    wire = list(wire_values(command, values).items())
    progress = Progress(command["name"])

    def attempt():
        try:
            with Telemetry(socket_path(args), progress, timeout) as telemetry:
                return fetch_answer(
                    schema, command, values,
                    lambda extra: telemetry.request(command["endpoint"], wire + extra))
        except Failed as failed:
            failed.of_all = of_all_devices(command, values)
            raise

    try:
        repeatable = command.get("asks", False) and "start" not in values
        if command["name"] == "validate":
            return attempt()  # the program itself can check a file
        answer = recovering(attempt, repeatable, progress)
        if command.get("follow"):
            follow(args, command["follow"], timeout, progress)
        return answer
    finally:
        progress.clear()


def follow(args, request, timeout, progress):
    """Wait until what the command has started has ended: the controller that answers then is
    another process than the one that was asked."""
    endpoint, _, tail = request.partition(",")
    params = [tuple(item.split("=", 1)) for item in tail.split(",")] if tail else []
    give_up = time.monotonic() + (args.timeout or FOLLOW_S)

    def attempt():
        with Telemetry(socket_path(args), progress, timeout) as telemetry:
            return telemetry.request(endpoint, params)

    while True:
        reply = recovering(attempt, True, progress)
        if reply.get("status") != "ongoing":
            break
        if time.monotonic() >= give_up:
            raise VirtnetError("the controller is still at it; see 'virtnet update -t' and its log")
        progress.tick()
        time.sleep(RECOVERY_PAUSE_S)
    last = reply.get("last_live_update_status", "")
    if reply.get("errno", 0) or last != "success":
        progress.clear()
        print(f"{PROG}: {last or reply.get('errstr', '')}", file=sys.stderr)
        raise Failed("FAILED")


def as_typed(command, values, text):
    """A path in an answer reads as the user wrote it."""
    for key, sent in wire_values(command, values).items():
        if isinstance(text, str) and sent != values[key]:
            text = text.replace(sent, values[key])
    return text


def run_command(schema, args):
    values = request_values(args)
    if values and not args.json:
        print(values, flush=True)
    try:
        try:
            answer = ask_controller(schema, args, values)
        except ControllerAbsent:
            if args.command["name"] != "validate":
                raise
            answer = validate_offline(values)
            if answer is None:
                raise
    except Failed as failed:
        show(args.command, args, as_typed(args.command, values, failed.printed))
        return EXIT_FAILED
    show(args.command, args, as_typed(args.command, values, answer))
    return 0
