# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The program: what its first words ask for, and how it ends."""

import argparse
import os
import sys

from . import PROG
from .command import run_command
from .completion import complete
from .errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_PIPE_CLOSED, EXIT_USAGE, VirtnetError
from .options import NO_OPTIONS, build_parser
from .schema import load_schema


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
