#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A small test VM: start it, run commands in it, talk QMP to it, stop it.

Used by quickstart.sh from the command line and by the system tests as a module. The VM boots from what
build-guest.sh makes, has no network device of its own, and keeps all its files (sockets, logs, pid) in one folder:

    qmp.sock      QEMU's monitor, for the controller     monitor.sock  the same, for this tool
    agent.sock    second serial port: runs commands      console.sock  first serial port: a root shell
    console.log   all that the console printed           qemu.log      QEMU's own messages      pid
"""

import argparse
import base64
import contextlib
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import termios
import time
import tty
from pathlib import Path

ESCAPE = b"\x1d"  # Ctrl-], as in telnet
# An emulated CPU on a busy machine: ten times what a boot takes otherwise.
BOOT_SECONDS = 120


class VMError(Exception):
    """The VM, its monitor or its agent did not do what was asked."""


class LineSocket:
    """A unix stream socket read line by line with a deadline."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(path))
        self.buffer = b""

    def send(self, data):
        self.sock.sendall(data)

    def line(self, deadline):
        """The next line, or None when the deadline (time.monotonic()) has passed."""
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                return None
            data = self.sock.recv(65536)
            if not data:
                raise VMError("the VM has gone: its socket was closed")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    def close(self):
        self.sock.close()


class Qmp:
    """QEMU's machine protocol: one command at a time, events kept in the order in which they came."""

    def __init__(self, path, seconds=30):
        self.link = LineSocket(path)
        self.events = []
        self._next(time.monotonic() + seconds)  # greeting
        self.command("qmp_capabilities")

    def _next(self, deadline):
        line = self.link.line(deadline)
        if line is None:
            raise VMError("QEMU's monitor did not answer in time")
        return json.loads(line)

    def command(self, name, seconds=30, **arguments):
        request = {"execute": name}
        if arguments:
            request["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.link.send(json.dumps(request).encode() + b"\n")
        deadline = time.monotonic() + seconds
        while True:
            reply = self._next(deadline)
            if "event" in reply:
                self.events.append(reply)
            elif "error" in reply:
                raise VMError(f"{name}: {reply['error']['desc']}")
            else:
                return reply["return"]

    def wait_event(self, name, seconds=30):
        """The next event of that name; events before it are dropped."""
        deadline = time.monotonic() + seconds
        while True:
            while self.events:
                event = self.events.pop(0)
                if event["event"] == name:
                    return event["data"]
            reply = self._next(deadline)
            if "event" in reply:
                self.events.append(reply)

    def close(self):
        self.link.close()


class Agent:
    """The far end of usertools/guest/agent."""

    ids = itertools.count(1)

    def __init__(self, path):
        self.link = LineSocket(path)

    def try_run(self, command, limit, wait=None):
        """Run a shell command for at most limit seconds; (status, output), or None if no answer came.

        The answer is waited for as long as the command may run and a little, or for wait seconds.
        """
        deadline = time.monotonic() + (limit + 10 if wait is None else wait)
        ident = f"{os.getpid()}.{next(self.ids)}"
        body = base64.b64encode(command.encode()).decode()
        # The line feed in front ends what an earlier, cut-off line may have left.
        self.link.send(f"\n@ {ident} {limit} {body} .\n".encode())
        while True:
            line = self.link.line(deadline)
            if line is None:
                return None
            words = line.decode(errors="replace").split()
            if len(words) < 4 or words[0] != "=" or words[1] != ident or words[-1] != ".":
                continue
            output = base64.b64decode(words[3]) if len(words) == 5 else b""
            return int(words[2]), output.decode(errors="replace")

    def wait_ready(self, seconds=BOOT_SECONDS, alive=lambda: True):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.try_run("true", 5, wait=0.5) is not None:
                return
            if not alive():
                raise VMError("QEMU ended while the VM was booting")
        raise VMError(f"the VM did not boot in {seconds} s")

    def run(self, command, seconds=30):
        """Run a shell command in the VM, return (status, output)."""
        answer = self.try_run(command, seconds)
        if answer is None:
            raise VMError(f"no answer from the VM for {seconds + 10} s to: {command}")
        return answer

    def close(self):
        self.link.close()


def device_json(sock, bus, ident):
    """The -device argument of a vfio-user device: QEMU takes it as JSON only."""
    return json.dumps(
        {
            "driver": "vfio-user-pci",
            "bus": bus,
            "id": ident,
            "socket": {"type": "unix", "path": str(sock)},
        }
    )


def qemu_command(folder, qemu, guest, memory=512, cpus=2, root_ports=4, devices=(), append="", accel="tcg",
                 extra=()):  # fmt: skip
    """The command line of the VM; devices are sockets of functions that are present at boot."""
    folder = Path(folder)
    accelerator = "tcg,thread=multi" if accel == "tcg" else accel
    # An emulated qemu64 moves packets twice as fast as an emulated "max".
    cpu = "qemu64" if accel == "tcg" else "host"
    command = [
        str(qemu), "-name", folder.name, "-machine", "q35,memory-backend=mem", "-accel", accelerator, "-cpu", cpu,
        "-smp", str(cpus), "-m", f"{memory}M",
        # Shared, so that the controller can map it.
        "-object", f"memory-backend-memfd,id=mem,size={memory}M,share=on",
        "-nodefaults", "-no-user-config", "-display", "none",
        "-kernel", str(Path(guest) / "vmlinuz"), "-initrd", str(Path(guest) / "initrd"),
        "-append", f"console=ttyS0 quiet {append}".strip(),
        "-chardev", f"socket,id=console,path={folder}/console.sock,server=on,wait=off,logfile={folder}/console.log",
        "-serial", "chardev:console",
        "-chardev", f"socket,id=agent,path={folder}/agent.sock,server=on,wait=off", "-serial", "chardev:agent",
        "-qmp", f"unix:{folder}/qmp.sock,server=on,wait=off",
        "-qmp", f"unix:{folder}/monitor.sock,server=on,wait=off",
        *extra,
    ]  # fmt: skip
    for port in range(1, root_ports + 1):
        command += ["-device", f"pcie-root-port,id=rp{port},slot={port},chassis={port}"]
    for port, sock in enumerate(devices, start=1):
        command += ["-device", device_json(sock, f"rp{port}", f"boot{port}")]
    return command


class GuestVM:
    """A running VM and its three connections."""

    def __init__(self, folder, process=None):
        self.folder = Path(folder)
        self.process = process
        self.agent = None
        self.qmp = None

    @classmethod
    def start(cls, folder, qemu, guest, **options):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("console.sock", "agent.sock", "qmp.sock", "monitor.sock"):
            (folder / name).unlink(missing_ok=True)
        with open(folder / "qemu.log", "wb") as log:
            process = subprocess.Popen(
                qemu_command(folder, qemu, guest, **options),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        (folder / "pid").write_text(f"{process.pid}\n")
        vm = cls(folder, process)
        try:
            vm.connect()
        except BaseException:
            vm.kill()
            raise
        return vm

    def connect(self, seconds=10):
        """Open the agent and the monitor, which exist a moment after QEMU's start."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.agent = Agent(self.folder / "agent.sock")
                self.qmp = Qmp(self.folder / "monitor.sock")
                return
            except OSError as error:
                if not self.alive():
                    raise VMError(f"QEMU ended at its start:\n{self.qemu_log()}") from error
                if time.monotonic() > deadline:
                    raise VMError(f"QEMU does not listen on {self.folder}") from error
                time.sleep(0.02)

    def wait_ready(self, seconds=BOOT_SECONDS):
        try:
            self.agent.wait_ready(seconds, self.alive)
        except VMError as error:
            raise VMError(f"{error}\n{self.qemu_log()}{self.console_log()[-2000:]}") from error

    def run(self, command, seconds=30, check=True):
        """Output of a shell command in the VM; with check a failure is an error."""
        status, output = self.agent.run(command, seconds)
        if check and status != 0:
            raise VMError(f"in the VM: {command}\nended with {status}:\n{output}")
        return output

    def boot_id(self):
        """A name that the VM's kernel gives itself at each boot; None while no system is up."""
        answer = self.agent.try_run("cat /proc/sys/kernel/random/boot_id", 5, wait=1)
        return answer[1] if answer and answer[0] == 0 else None

    def wait_next_boot(self, before, seconds=BOOT_SECONDS):
        """Wait until a system runs commands that is not the one whose boot_id() was before."""
        deadline = time.monotonic() + seconds
        while self.boot_id() in (None, before):
            if not self.alive() or time.monotonic() > deadline:
                raise VMError(f"the VM did not boot again in {seconds} s\n{self.console_log()[-2000:]}")
            time.sleep(0.1)

    def reboot(self, seconds=BOOT_SECONDS):
        """Restart the VM's system from inside and wait until it runs commands again."""
        before = self.boot_id()
        # A system on its way down need not get to answer.
        self.agent.try_run("reboot", 30, wait=5)
        self.wait_next_boot(before, seconds)

    def reset(self, seconds=BOOT_SECONDS):
        """Press the VM's reset button and wait until it runs commands again."""
        before = self.boot_id()
        self.qmp.command("system_reset")
        self.wait_next_boot(before, seconds)

    def alive(self):
        if self.process is not None:
            return self.process.poll() is None
        return pid_alive(self.pid())

    def pid(self):
        return int((self.folder / "pid").read_text())

    def qemu_log(self):
        return (self.folder / "qemu.log").read_text(errors="replace")

    def console_log(self):
        path = self.folder / "console.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def kill(self):
        """SIGKILL, at once: what the host sees of a VM that crashed."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid(), signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
        self.disconnect()

    def disconnect(self):
        for link in (self.agent, self.qmp):
            if link is not None:
                link.close()
        self.agent = self.qmp = None


def pid_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def console(folder):
    """The VM's console on this terminal until Ctrl-]."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.connect(str(Path(folder) / "console.sock"))
    keyboard = sys.stdin.fileno()
    saved = termios.tcgetattr(keyboard) if os.isatty(keyboard) else None
    try:
        if saved:
            tty.setraw(keyboard)
        link.sendall(b"\r")
        while True:
            ready = select.select([keyboard, link], [], [])[0]
            if link in ready:
                data = link.recv(65536)
                if not data:
                    return
                os.write(sys.stdout.fileno(), data)
            if keyboard in ready:
                data = os.read(keyboard, 4096)
                if not data or ESCAPE in data:
                    return
                link.sendall(data)
    finally:
        if saved:
            termios.tcsetattr(keyboard, termios.TCSADRAIN, saved)
        print()


def command_start(args):
    vm = GuestVM.start(
        args.dir, args.qemu, args.guest, memory=args.memory, cpus=args.cpus, root_ports=args.root_ports,
        devices=args.device, append=args.append, accel=args.accel,
    )  # fmt: skip
    vm.wait_ready()
    return 0


def command_run(args):
    agent = Agent(Path(args.dir) / "agent.sock")
    agent.wait_ready()
    status, output = agent.run(" ".join(args.command), args.seconds)
    sys.stdout.write(output)
    return status


def command_console(args):
    console(args.dir)
    return 0


def command_qmp(args):
    qmp = Qmp(Path(args.dir) / "monitor.sock")
    arguments = json.loads(args.arguments) if args.arguments else {}
    print(json.dumps(qmp.command(args.command, **arguments), indent=2))
    return 0


def command_stop(args):
    folder = Path(args.dir)
    if (folder / "pid").exists():
        GuestVM(folder).kill()
        deadline = time.monotonic() + 10
        while GuestVM(folder).alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        (folder / "pid").unlink()
    return 0


def arguments():
    parser = argparse.ArgumentParser(description="start a small test VM, run commands in it, stop it")
    parser.add_argument("--dir", required=True, help="folder of the VM's sockets and logs")
    commands = parser.add_subparsers(dest="name", required=True)

    start = commands.add_parser("start", help="start the VM, return when it runs commands")
    start.add_argument("--qemu", required=True, help="as printed by fetch-qemu.sh")
    start.add_argument("--guest", required=True, help="folder printed by build-guest.sh")
    start.add_argument("--memory", type=int, default=512, help="MiB")
    start.add_argument("--cpus", type=int, default=2)
    start.add_argument("--root-ports", type=int, default=4, help="free PCIe slots: rp1, rp2, ...")
    start.add_argument("--device", action="append", default=[], help="vfio-user socket of a device present at boot")
    start.add_argument("--append", default="", help="more kernel arguments")
    start.add_argument("--accel", default="tcg", choices=["tcg", "kvm"])
    start.set_defaults(call=command_start)

    run = commands.add_parser("run", help="run a shell command in the VM")
    run.add_argument("--seconds", type=int, default=30, help="kill the command after that time")
    run.add_argument("command", nargs="+")
    run.set_defaults(call=command_run)

    shell = commands.add_parser("console", help="a root shell on the VM's serial console; Ctrl-] leaves it")
    shell.set_defaults(call=command_console)

    qmp = commands.add_parser("qmp", help="a command of QEMU's monitor")
    qmp.add_argument("command")
    qmp.add_argument("arguments", nargs="?", help="as JSON")
    qmp.set_defaults(call=command_qmp)

    stop = commands.add_parser("stop", help="end the VM at once")
    stop.set_defaults(call=command_stop)
    return parser.parse_args()


def main():
    args = arguments()
    try:
        return args.call(args)
    except (VMError, OSError) as error:
        print(f"guestvm.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
