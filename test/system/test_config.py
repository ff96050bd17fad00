# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The configuration file is taken whole or refused with words that help."""

import json
import subprocess

import pytest

GOOD = {
    "ib_dev_p0": "mlx5_0",
    "platform": {
        "serial": "MT2611X00001",
        "socket_dir": "/run/virtnet",
        "ports": [{"name": "mlx5_0", "pci_addr": "0000:03:00.0", "mtu": 9216}],
        "hosts": [{"name": "vm1", "driver": "qmp", "qmp_socket": "/run/virtnet/vm1.qmp", "root_ports": ["rp1"]}],
    },
}


def changed(path, value):
    """GOOD with one value replaced or added; path like platform.ports.0.mtu."""
    config = json.loads(json.dumps(GOOD))
    *parents, last = [int(word) if word.isdigit() else word for word in path.split(".")]
    place = config
    for word in parents:
        place = place[word]
    place[last] = value
    return config


@pytest.fixture
def validate(build, tmp_path):
    """Runs dpdk-virtnet --validate on a text or an object; returns exit status and output."""

    def run(config):
        path = tmp_path / "virtnet.conf"
        path.write_text(config if isinstance(config, str) else json.dumps(config, indent=4))
        done = subprocess.run(
            [build / "app" / "dpdk-virtnet", "--validate", path], capture_output=True, text=True, timeout=30, check=False
        )
        return done.returncode, (done.stdout + done.stderr).replace(str(path), "FILE")

    return run


def test_good_file_is_valid(validate):
    assert validate(GOOD) == (0, "FILE is valid\n")


def test_empty_object_is_valid(validate):
    assert validate({}) == (0, "FILE is valid\n")


@pytest.mark.parametrize(
    "path, value, words",
    [
        ("ib_dev_p00", "mlx5_0", ["ib_dev_p00"]),
        ("platform.serials", "X", ["serials"]),
        ("ib_dev_p0", 5, ["ib_dev_p0", "string"]),
        ("platform.ports", {}, ["ports", "array"]),
        ("platform.ports.0.mtu", "9000", ["mtu"]),
        ("platform.ports.0.mtu", 1000000, ["mtu", "1000000"]),
        ("platform.ports.0.mtu", -1, ["mtu", "-1"]),
        ("platform.ports.0.mtu", None, ["mtu"]),
        ("platform.ports.0.speed", 1, ["speed"]),
        ("platform.hosts.0.driver", "telepathy", ["driver", "telepathy"]),
        ("platform.emu", "vhost_blk", ["emu", "vhost_blk"]),
        ("platform.sf", "pigeon", ["sf", "pigeon"]),
        ("platform.socket_dir", "/" + "x" * 200, ["socket_dir"]),
        ("platform.hosts.0.root_ports", ["rp1"] * 100, ["root_ports"]),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, (str, int)) else "",
)
def test_wrong_value_is_named(validate, path, value, words):
    status, text = validate(changed(path, value))
    assert status == 1
    assert "is valid" not in text
    for word in words:
        assert word in text, text


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"ib_dev_p0": "a",}', "[]", '{"a": 1} x', "\x00\xff", '{"ib_dev_p0": "a", "ib_dev_p0": "b"}'],
    ids=["empty", "open brace", "trailing comma", "an array", "words behind it", "no text at all", "a key twice"],
)
def test_text_that_is_no_such_object_is_refused(validate, text):
    status, output = validate(text)
    assert status == 1
    assert output.strip() and "is valid" not in output


def test_problem_is_named_with_its_line(validate):
    status, text = validate('{\n    "ib_dev_p0": "mlx5_0",\n    "colour": 1\n}\n')
    assert status == 1
    assert "colour" in text and "3" in text


def test_all_problems_are_named_at_once(validate):
    status, text = validate({"colour": 1, "taste": 2})
    assert status == 1
    assert "colour" in text and "taste" in text


def test_controller_does_not_start_half_configured(build, tmp_path):
    path = tmp_path / "virtnet.conf"
    path.write_text('{"platform": {"num_mssix": 4}}')
    done = subprocess.run(
        [
            build / "app" / "dpdk-virtnet", "--lcores", "0@0,1@0", "--no-huge", "-m", "256", "--no-pci", "--iova-mode=va",
            "--file-prefix", "virtnet-test-config", "--", "--config", path,
        ],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "num_mssix" in done.stderr
    assert "is ready" not in done.stderr
