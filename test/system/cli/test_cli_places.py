# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""virtnet runs wherever it lies: source tree, build tree, installed."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

USERTOOLS = pathlib.Path(__file__).resolve().parents[3] / "usertools"
# Where the program's script, its modules and the schema lie.
PLACES = {
    "source tree": ("usertools/virtnet.py", "usertools", "build/usertools/schema.json"),
    "build tree": ("build/usertools/virtnet.py", "build/usertools", "build/usertools/schema.json"),
    "another build tree": ("b/usertools/virtnet.py", "b/usertools", "b/usertools/schema.json"),
    "installed": ("bin/virtnet", "share/virtnet/python", "share/virtnet/schema.json"),
}


def lay_out(top, script, modules, schema, schema_path):
    for path in (top / script, top / schema):
        path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(USERTOOLS / "virtnet.py", top / script)
    shutil.copytree(USERTOOLS / "virtnet_cli", top / modules / "virtnet_cli",
                    ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(schema_path, top / schema)
    return top / script


def run(program, *words, **options):
    env = {key: value for key, value in os.environ.items() if not key.startswith(("VIRTNET", "PYTHON"))}
    return subprocess.run([program, *words], env=env, capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("place", PLACES)
def test_program_finds_its_modules_and_its_schema(tmp_path, schema_path, place):
    top = tmp_path / "top"
    done = run(lay_out(top, *PLACES[place], schema_path), "hotplug", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--max_queue_pairs" in done.stdout


def test_program_is_found_through_a_link(tmp_path, schema_path):
    link = tmp_path / "virtnet"
    link.symlink_to(lay_out(tmp_path / "top", *PLACES["installed"], schema_path))
    assert run(link, "--version").returncode == 0


def test_modules_of_the_working_folder_are_not_taken(tmp_path, schema_path):
    program = lay_out(tmp_path / "top", *PLACES["installed"], schema_path)
    trap = tmp_path / "trap" / "virtnet_cli"
    trap.mkdir(parents=True)
    (trap / "__init__.py").write_text("raise SystemExit('trapped')")
    assert run(program, "--version", cwd=trap.parent).returncode == 0


def test_program_leaves_no_files_behind(tmp_path, schema_path):
    top = tmp_path / "top"
    assert run(lay_out(top, *PLACES["installed"], schema_path), "--version").returncode == 0
    assert not list(top.rglob("*.pyc"))


def test_incomplete_installation_is_named(tmp_path, schema_path):
    top = tmp_path / "top"
    program = lay_out(top, *PLACES["installed"], schema_path)
    shutil.rmtree(top / "share")
    done = run(program, "list")
    assert done.returncode == 1
    assert "virtnet_cli" in done.stderr and "Traceback" not in done.stderr


def test_every_module_is_installed():
    listed = re.findall(r"'(\w+\.py)'", (USERTOOLS / "virtnet_cli" / "meson.build").read_text())
    assert listed == sorted(path.name for path in (USERTOOLS / "virtnet_cli").glob("*.py"))
