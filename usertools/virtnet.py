#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""virtnet: command line of the virtio-net controller (dpdk-virtnet).

Everything that depends on a command (options, help, order of the request's keys, shape of the
answer) comes from schema.json, which the controller itself writes (`dpdk-virtnet --schema`). This
file knows the rest: how to find the schema and the telemetry socket, how to talk to it (one short
connection per command, paged answers), and how the contract wants answers printed.

Order of the file: errors, schema, telemetry client, answers, command line, completion.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

BANNER = "Nvidia virtio-net-controller command line interface"
PROG = "virtnet"

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_PIPE_CLOSED = 141

TELEMETRY_SOCKET = "dpdk_telemetry.v2"
DEFAULT_FILE_PREFIX = "virtnet"
MAX_REQUEST = 1023          # DPDK reads a request into a 1024-byte buffer
DEFAULT_MAX_REPLY = 16384   # until the greeting says how much one answer may hold
DEFAULT_TIMEOUT_S = 30.0
BUSY_RETRY_S = 5.0          # how long to knock while all ten telemetry connections are taken
RECOVERY_S = 2.0            # how long a controller may be away: a crash, or a change of hands
RECOVERY_PAUSE_S = 0.02
MIGRATION_S = 10.0          # how long a listing waits for devices that change their process
FOLLOW_S = 60.0             # how long a restart may take; the controller gives it up by itself
MAX_RESTARTS = 5            # a listing that keeps changing between its pages is given up after this
PROGRESS_AFTER_S = 1.0

ENODEV_VIRTNET = -1001      # "Failed to find device" of the contract's table
EMIGRATING_VIRTNET = -1041  # "Failed - Device is migrating"
EAGAIN_STANDBY = -11        # answer of a process that waits to become the controller
COMPLETION_TIMEOUT_S = 0.5

# Answers that this program can print; commands with others are for other clients of the telemetry.
REPLY_KINDS = frozenset(["object", "devices", "text", "array", "plain"])
# Commands whose text answer is printed bare; every other text is printed as a JSON string.
BARE_TEXT = frozenset(["validate", "restart"])
# Commands that answer {"Error": ...} instead of errno and errstr when the device is absent.
SHORT_ABSENT = frozenset(["list", "query", "stats"])


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


# --- schema ---------------------------------------------------------------------------------------

def script_dir():
    return os.path.dirname(os.path.realpath(__file__))


def controller_binary():
    """Path of dpdk-virtnet: $VIRTNET_CONTROLLER, beside this script, $PATH; None if absent."""
    if os.environ.get("VIRTNET_CONTROLLER"):
        return os.environ["VIRTNET_CONTROLLER"]
    here = script_dir()
    for path in (os.path.join(here, "..", "build", "app", "dpdk-virtnet"),
                 os.path.join(here, "dpdk-virtnet"),
                 os.path.join(here, "..", "sbin", "dpdk-virtnet")):
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


# --- telemetry client -----------------------------------------------------------------------------

class Progress:
    """One line on a terminal's stderr that says what is waited for, once it takes a while."""

    def __init__(self, what):
        self.what = what
        self.start = time.monotonic()
        self.enabled = sys.stderr.isatty()
        self.shown = False

    def tick(self):
        elapsed = time.monotonic() - self.start
        if self.enabled and elapsed >= PROGRESS_AFTER_S:
            sys.stderr.write(f"\r{PROG}: {self.what} ... {elapsed:.0f} s")
            sys.stderr.flush()
            self.shown = True

    def clear(self):
        if self.shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self.shown = False


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


# --- answers --------------------------------------------------------------------------------------

def join_sentences(body):
    """Telemetry's strings are short: a longer sentence comes as errstr, errstr_1, errstr_2, ..."""
    for key in ("errstr", "text"):
        part = 1
        while f"{key}_{part}" in body:
            body[key] += body.pop(f"{key}_{part}")
            part += 1
    return body


class Failed(Exception):
    """The controller refused the command; carries what is to be printed on stdout."""

    def __init__(self, printed, errno=0):
        super().__init__()
        self.printed = printed
        self.errno = errno
        self.of_all = False  # the command was about all devices


def bit_object(value, names):
    """{"value": "0x5", "    0": "NAME", ...}: how the contract shows a bit mask."""
    number = value if isinstance(value, int) else int(value, 16)
    shown = {"value": value if isinstance(value, str) else hex(value)}
    for bit in range(number.bit_length()):
        if number >> bit & 1:
            shown[f"{bit:5d}"] = names.get(str(bit), "UNKNOWN FEATURE BIT")
    return shown


# A number of seconds with all of its six digits: json has no such float, so it is a string until
# the very end.
SECONDS_MARK = "@seconds:"


def seconds_of(microseconds):
    return f"{SECONDS_MARK}{microseconds // 1000000}.{microseconds % 1000000:06d}"


def to_json(answer):
    return re.sub(f'"{SECONDS_MARK}([0-9]+[.][0-9]{{6}})"', r"\1", json.dumps(answer, indent=2))


class Shaper:
    """Turns telemetry's legal names and plain values into the contract's (recursively)."""

    def __init__(self, schema, command):
        self.bits = schema.get("bits", {})
        self.rules = {rule["key"]: rule for rule in command.get("shape", [])}

    def name(self, key):
        return self.rules.get(key, {}).get("name", key)

    def __call__(self, value):
        if isinstance(value, dict):
            return {self.name(key): self._entry(key, item) for key, item in value.items()}
        if isinstance(value, list):
            return [self(item) for item in value]
        return value

    def _entry(self, key, item):
        kind = self.rules.get(key, {}).get("as", "")
        if kind.startswith("bits:"):
            return bit_object(item, self.bits.get(kind[len("bits:"):], {}))
        if kind == "seconds" and isinstance(item, int) and item >= 0:
            return seconds_of(item)
        return self(item)


def errors_last(reply):
    """The same object with errno and errstr behind the rest, as the contract prints them."""
    shown = {key: value for key, value in reply.items() if key not in ("errno", "errstr")}
    for key in ("errno", "errstr"):
        if key in reply:
            shown[key] = reply[key]
    return shown


def check_errno(command, reply):
    errno = reply.get("errno", 0)
    if errno == 0:
        return
    if errno == ENODEV_VIRTNET and command["name"] in SHORT_ABSENT:
        raise Failed({"Error": "Device doesn't exist"})
    raise Failed({"errno": errno, "errstr": reply.get("errstr", "")}, errno)


def read_pages(request):
    """All pages of one listing, as (key, value) pairs; starts again when the set of devices changed
    between two pages, because positions of a former generation mean nothing in a newer one."""
    for _ in range(MAX_RESTARTS + 1):
        entries = []
        cursor = 0
        generation = None
        while True:
            page = request(cursor)
            if generation is not None and page.get("generation") != generation:
                break
            generation = page.get("generation")
            entries += [(key, value) for key, value in page.items()
                        if key not in ("errno", "errstr", "generation", "next")]
            following = page.get("next", -1)
            if following < 0:
                return entries
            if following == cursor:
                raise VirtnetError("the controller's listing does not advance "
                                   f"(page at {cursor})")
            cursor = following
    raise VirtnetError(f"the devices changed during each of {MAX_RESTARTS + 1} listings; "
                       "try again")


def collect_devices(entries, queues_key, shape):
    """{"controller": ..., "devices": [...]} from a listing's entries; queues_key None = brief."""
    result = {}
    devices = []
    for key, value in entries:
        if key.startswith("device_"):
            device = shape(value)
            if queues_key:
                device[queues_key] = []
            devices.append(device)
        elif key.startswith("queue_"):
            if queues_key and devices:
                devices[-1][queues_key].append(shape(value))
        else:
            result[shape.name(key)] = shape(value)
    result["devices"] = devices
    return result


def fetch_devices(schema, command, values, request):
    shape = Shaper(schema, command)

    def page(cursor):
        reply = request([("at", cursor)] if cursor else [])
        check_errno(command, reply)
        return reply

    brief = values.get("brief") == "0x1"
    queues_key = shape.name("enabled_queues_info")
    has_queues = "enabled_queues_info" in shape.rules and not brief
    return collect_devices(read_pages(page), queues_key if has_queues else None, shape)


def fetch_answer(schema, command, values, request):
    """What the command prints, as a Python value; raises Failed with what a refusal prints."""
    if command["reply"] == "devices":
        return fetch_devices(schema, command, values, request)
    reply = request([])
    if command["reply"] in ("text", "plain") and "text" in reply:
        if reply.get("errno", 0):
            raise Failed(reply["text"])
        return reply["text"]
    check_errno(command, reply)
    shape = Shaper(schema, command)
    if command["reply"] == "plain":
        return shape({key: value for key, value in reply.items()
                      if key not in ("errno", "errstr")})
    if command["reply"] == "array":
        return [shape(value) for key, value in reply.items() if key.startswith("item_")]
    return errors_last(shape(reply))


def show(command, args, answer):
    if isinstance(answer, str) and command["name"] in BARE_TEXT and not args.json:
        print(answer)
    else:
        print(to_json(answer))


# --- command line ---------------------------------------------------------------------------------

def number(text):
    """A number as users write it: decimal, or hexadecimal with 0x."""
    try:
        value = int(text, 16) if text.lower().startswith("0x") else int(text, 10)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number (decimal, or hexadecimal with 0x)") from None
    if not 0 <= value < 1 << 64:
        raise argparse.ArgumentTypeError(f"{text} is not within 0..2^64-1")
    return hex(value)


def word(text):
    """A string that survives telemetry's key=value list."""
    if not text or any(char in ",\0\n" for char in text):
        raise argparse.ArgumentTypeError(f"{text!r} is empty or contains a comma or a line break")
    return text


def mac(text):
    # Only the length is checked here; the controller judges the address.
    if len(text) != len("00:00:00:00:00:00"):
        raise argparse.ArgumentTypeError(f"{text!r}: a MAC address has 17 characters")
    return word(text)


def seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


PARSERS = {"uint": number, "hex": number, "mac": mac, "string": word, "path": word, "enum": word}


def option_strings(param):
    strings = []
    if param.get("short"):
        strings.append("-" + param["short"])
    if param.get("long"):
        strings.append("--" + param["long"])
    return strings


def add_param(container, param, in_group):
    options = {"dest": "param_" + param["key"], "help": param.get("help", "").replace("%", "%%")}
    if param["type"] == "flag":
        options.update(action="store_const", const="0x1")
    else:
        options["type"] = PARSERS.get(param["type"], word)
        options["metavar"] = param.get("metavar") or param["key"].upper()
        if param.get("values"):
            options["choices"] = param["values"]
            del options["metavar"]
    if param.get("required") and not in_group:
        options["required"] = True
    container.add_argument(*option_strings(param), **options)


def exclusive_groups(params):
    """{group name: its members}. A parameter that only refines another (--vf, "with" --pf) excludes
    nothing by itself."""
    groups = {}
    for param in params:
        if param.get("exclusive") and not param.get("with"):
            groups.setdefault(param["exclusive"], []).append(param)
    return groups


def add_command(subparsers, command):
    parser = subparsers.add_parser(command["name"], help=command.get("help"),
                                   description=command.get("help"))
    params = command.get("params", [])
    groups = exclusive_groups(params)
    containers = {}
    for param in params:
        group = None if param.get("with") else param.get("exclusive")
        if group and group not in containers:
            needed = any(member.get("required") for member in groups[group])
            containers[group] = parser.add_mutually_exclusive_group(required=needed)
        add_param(containers[group] if group else parser, param, bool(group))
    add_common_options(parser)
    parser.set_defaults(command=command, command_parser=parser)


def add_common_options(parser):
    """Options of ours that the contract does not know; accepted before and after the command."""
    extra = parser.add_argument_group("connection and output")
    nothing = argparse.SUPPRESS  # an option given before the command must survive the command's own
    extra.add_argument("--json", action="store_true", default=nothing,
                       help="print nothing but the JSON of the answer (no request line)")
    extra.add_argument("--socket", metavar="PATH", default=nothing,
                       help="telemetry socket of the controller (default: $VIRTNET_SOCKET, then "
                       f"/var/run/dpdk/{DEFAULT_FILE_PREFIX}/{TELEMETRY_SOCKET})")
    extra.add_argument("--file-prefix", metavar="NAME", default=nothing,
                       help="the controller's EAL --file-prefix; another way to name its socket")
    extra.add_argument("--timeout", metavar="SECONDS", type=seconds, default=nothing,
                       help="how long to wait for an answer (default: by command)")


def build_parser(schema):
    version = "v" + schema["version"]
    parser = argparse.ArgumentParser(prog=PROG, description=f"{BANNER} {version}")
    parser.add_argument("-v", "--version", action="version", version=version)
    subparsers = parser.add_subparsers(metavar="{" + ",".join(
        command["name"] for command in schema["commands"]) + "}")
    for command in schema["commands"]:
        add_command(subparsers, command)
    add_common_options(parser)
    return parser


NO_OPTIONS = {"command": None, "json": False, "socket": None, "file_prefix": None, "timeout": None}


def request_values(args):
    """{key: value} in the schema's order, as sent and as echoed."""
    values = {}
    for param in args.command.get("params", []):
        value = getattr(args, "param_" + param["key"])
        if value is None and param["type"] == "flag" and param.get("echo_always"):
            value = "0x0"
        if value is not None:
            values[param["key"]] = value
    for param in args.command.get("params", []):
        needed = param.get("with")
        if param["key"] in values and needed and needed not in values:
            args.command_parser.error(f"argument {'/'.join(option_strings(param))}: "
                                      f"only together with --{needed}")
    return values


def wire_values(command, values):
    """The values as the controller needs them: it has another working folder than the user."""
    paths = {param["key"] for param in command.get("params", []) if param["type"] == "path"}
    return {key: os.path.abspath(value) if key in paths else value
            for key, value in values.items()}


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


# --- completion -----------------------------------------------------------------------------------

def live_devices(schema):
    """(ids of PFs, VUIDs) of the running controller; nothing when it does not answer quickly."""
    command = next((c for c in schema["commands"] if c["name"] == "list"), None)
    if not command:
        return [], []
    nobody = argparse.Namespace(**NO_OPTIONS)
    try:
        with Telemetry(socket_path(nobody), Progress(""), COMPLETION_TIMEOUT_S, 0) as telemetry:
            devices = fetch_devices(schema, command, {}, lambda extra: telemetry.request(
                command["endpoint"], extra))["devices"]
    except (VirtnetError, Failed, OSError):
        return [], []
    ids = [str(device["pf_id"]) for device in devices if "pf_id" in device]
    return ids, [device["vuid"] for device in devices if "vuid" in device]


def option_values(schema, param):
    if param.get("values"):
        return param["values"]
    if param["type"] == "path":
        return [":file"]
    if param.get("long") == "pf":  # its request key differs between commands
        return live_devices(schema)[0]
    if param.get("long") == "vuid":
        return live_devices(schema)[1]
    return []


def completions(schema, words):
    """What may follow words[:-1] and starts like words[-1]; ":file" asks the shell for files."""
    *before, current = words or [""]
    command = next((c for w in before for c in schema["commands"] if c["name"] == w), None)
    common = ["-h", "--help", "--json", "--socket", "--file-prefix", "--timeout"]
    if before and before[-1] == "--socket":
        return [":file"]
    if before and before[-1] in ("--file-prefix", "--timeout"):
        return []
    if not command:
        found = [c["name"] for c in schema["commands"]] + ["-v", "--version"] + common
    else:
        params = command.get("params", [])
        last = next((p for p in params if before[-1] in option_strings(p)), None)
        if last and last["type"] != "flag":
            found = option_values(schema, last)
        else:
            used = set(before)
            found = [s for p in params if not used & set(option_strings(p))
                     for s in option_strings(p)] + common
    if found == [":file"]:
        return found
    return [item for item in found if item.startswith(current)
            and (current.startswith("-") or not item.startswith("-") or command)]


def complete(words):
    """Hidden entry of the shells' completion scripts: never prints an error, never fails."""
    try:
        print("\n".join(completions(load_schema(), words)))
    except Exception:  # whatever it is, a half-typed line is no place for a message
        pass
    return 0


def main(argv):
    if argv[:1] == ["--complete"]:
        return complete(argv[1:])
    schema = load_schema()
    parser = build_parser(schema)
    args = parser.parse_args(argv, argparse.Namespace(**NO_OPTIONS))
    if args.command is None:
        parser.print_help(sys.stderr)
        return EXIT_USAGE
    return run_command(schema, args)


def drop_stdout():
    """Give the interpreter's flush at exit a place where it cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def entry():
    """main() with the ends that are no program error: Ctrl-C, a closed pipe, a user's mistake."""
    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
        return status
    except VirtnetError as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        drop_stdout()
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        drop_stdout()
        return EXIT_PIPE_CLOSED


if __name__ == "__main__":
    sys.exit(entry())
