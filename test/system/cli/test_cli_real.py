# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""virtnet against a real controller without any host: what users' scripts do with it."""

import concurrent.futures
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

import pytest

from virtnet_test.controller import Controller

MAC = "0C:C4:7A:FF:22:93"
QUEUES_OF_A_DEVICE = 15


@pytest.fixture(scope="module", name="real")
def fixture_real(request, tmp_path_factory):
    """A running controller; what a test plugs it unplugs."""
    build = pathlib.Path(os.environ.get("VIRTNET_BUILD") or
                         request.config.getoption("--virtnet-build")).resolve()
    if not (build / "app" / "dpdk-virtnet").is_file():
        pytest.skip(f"no dpdk-virtnet in {build}")
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        pytest.skip("needs root and /dev/net/tun")
    controller = Controller(build, tmp_path_factory.mktemp("real")).start()
    yield controller
    controller.close()


@pytest.fixture(name="cli")
def fixture_cli(real):
    return real.cli


@pytest.fixture(name="device")
def fixture_device(real):
    device = real.hotplug(pairs=2, size=256, mac=MAC)
    yield device
    real.cli.good("unplug", "-p", device.id)


def hotplug(cli, **changed):
    """hotplug with one option made wrong."""
    options = {"-i": "mlx5_0", "-m": MAC, "-t": 1500, "-n": 3, "-s": 256, **changed}
    return cli("hotplug", *(word for pair in options.items() if pair[1] is not None
                            for word in pair))


def shell(cli, pipeline):
    """A user's one-liner; `virtnet` in it is the program under test."""
    function = "virtnet() { " + " ".join(cli.words) + ' "$@"; }; '
    return subprocess.run(["bash", "-c", function + pipeline], env=cli.env, capture_output=True,
                          text=True, timeout=60, check=False).stdout.splitlines()


def test_hotplug_answers_in_the_contracts_order(cli):
    reply = hotplug(cli).reply
    cli.good("unplug", "-p", reply["id"])
    assert list(reply) == ["bdf", "vuid", "id", "transitional", "sf_rep_net_device", "mac", "errno",
                           "errstr"]
    assert reply["mac"] == MAC
    assert reply["transitional"] == 0
    assert reply["sf_rep_net_device"].startswith("en3f0pf0sf2")
    assert "VNETS" in reply["vuid"]


@pytest.mark.parametrize("option, value, code", [
    ("-i", "mlx9_9", -1011), ("-m", "zz:zz:zz:zz:zz:zz", -1008), ("-t", 60000, -1010),
    ("-t", 0, -1010), ("-s", 2, -1042), ("-s", 100, -1042), ("-s", 65536, -1033), ("-n", 0, -1073),
    ("-n", 1000, -1073), ("-u", 1999, -1048), ("-u", 3000, -1048),
    ("-f", "0x4000000000000000", -1000), ("--host", "nobody", -22)])
def test_hotplug_refusals_have_an_errno_and_a_sentence(cli, option, value, code):
    answer = hotplug(cli, **{option: value})
    assert answer.status == 1
    assert list(answer.reply) == ["errno", "errstr"]
    assert answer.reply["errno"] == code
    assert answer.reply["errstr"]
    assert cli.good("list")["devices"] == []


def test_sf_number_can_be_chosen_once(cli):
    first = hotplug(cli, **{"-u": 2345})
    second = hotplug(cli, **{"-u": 2345, "-m": "0C:C4:7A:FF:22:94"})
    cli.good("unplug", "-p", first.reply["id"])
    assert first.reply["sf_rep_net_device"] == "en3f0pf0sf2345"
    assert (second.status, second.reply["errno"]) == (1, -1049)


@pytest.mark.parametrize("words", [("query", "-p", 7), ("query", "-u", "MT0VNETS9D0F0"),
                                   ("query", "-p", 0, "-v", 0)])
def test_query_of_an_absent_device(cli, words):
    answer = cli(*words)
    assert (answer.status, answer.reply) == (1, {"Error": "Device doesn't exist"})


def test_unplug_of_an_absent_device(cli):
    answer = cli("unplug", "-p", 7)
    assert (answer.status, answer.reply) == (
        1, {"errno": -1001, "errstr": "Failed to find device"})


def test_empty_list_has_a_controller_and_no_devices(cli):
    reply = cli.good("list")
    assert list(reply) == ["controller", "devices"]
    assert reply["devices"] == []


@pytest.mark.parametrize("after, key", [
    (8, "msix_num_pool_size"), (9, "min_msix_num"), (10, "max_msix_num"), (11, "min_num_of_qp"),
    (12, "max_num_of_qp"), (13, "qp_pool_size")])
def test_published_one_liner_on_list(cli, device, after, key):
    lines = shell(cli, f"virtnet list | grep -i '\"pf_id\": {device.id}' -A {after} | tail -1")
    assert lines[0].strip().startswith(f'"{key}": ')
    assert lines[0].strip().rstrip(",").split()[-1].isdigit()


@pytest.mark.parametrize("pattern, expected", [
    ("num_", ["num_msix", "num_queues"]), ("dim", ["dim"]), ("transitional", ["transitional"]),
    ("sf_rep_net_device", ["sf_rep_net_device"]), ("max_queue_pairs", ["max_queue_pairs"])])
def test_published_one_liner_on_query(cli, device, pattern, expected):
    lines = shell(cli, f"virtnet query -p {device.id} -b | grep -v \"^{{'\" | grep -i {pattern}")
    names = [line.split('"')[1] for line in lines]
    # sf_num is no match of "num_"; everything else that is must be in the contract's list.
    assert names == expected


def test_query_of_one_device_by_id_and_by_vuid_is_the_same(cli, device):
    by_id, by_vuid = (cli.good("query", *words, "-b") for words in
                      (("-p", device.id), ("-u", device.vuid)))
    assert by_id == by_vuid
    assert by_id["devices"][0]["mac"] == MAC


def test_version_log_and_validate(cli, tmp_path):
    assert [list(item) for item in cli.good("version")] == [
        ["Original Controller"], ["Destination Controller"]]
    for level in ("debug", "err", "info"):
        assert cli.good("log", "-l", level) == "Success"
    good, bad = tmp_path / "good.conf", tmp_path / "bad.conf"
    good.write_text("{}")
    bad.write_text('{"no_such_key": 1}')
    assert cli("validate", "-f", good).stdout.splitlines()[-1] == f"{good} is valid"
    answer = cli("validate", "-f", bad)
    assert answer.status == 1
    assert "no_such_key" in answer.stdout


def test_all_switch_ports_full_and_listed_over_many_pages(real, cli):
    plugged = []
    while True:
        answer = hotplug(cli, **{"-n": QUEUES_OF_A_DEVICE,
                                 "-m": f"0C:C4:7A:FF:23:{len(plugged):02X}"})
        if answer.status:
            break
        plugged.append(answer.reply)
    assert answer.reply["errno"] < 0 and answer.reply["errstr"]
    assert len(plugged) == int(cli.good("list")["controller"]["max_hotplug_devices"])
    listed = cli.good("list")["devices"]
    queried = cli.good("query", "-a")["devices"]
    for devices in (listed, queried):
        assert [d["vuid"] for d in devices] == [d["vuid"] for d in plugged]
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda _: cli("list"), range(48)))
    assert {answer.status for answer in answers} == {0}
    for reply in plugged:
        cli.good("unplug", "-p", reply["id"])
    assert cli.good("list")["devices"] == []
    assert real.alive()


def test_listing_while_devices_come_and_go(real, cli):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        def churn():
            for _ in range(15):
                reply = hotplug(cli).reply
                cli.good("unplug", "-p", reply["id"])
        done = pool.submit(churn)
        while not done.done():
            answer = cli("list")
            assert answer.status == 0 or "changed during" in answer.stderr, answer
        done.result()


def test_controller_that_dies_is_said_so(tmp_path, real):
    victim = Controller(real.build, tmp_path, options=["--no-ha"]).start()
    try:
        os.kill(victim.process.pid, signal.SIGSTOP)
        with subprocess.Popen([*victim.cli.words, "list"], env=victim.cli.env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asked:
            time.sleep(0.5)
            os.kill(victim.process.pid, signal.SIGKILL)
            _, stderr = asked.communicate(timeout=30)
        assert asked.returncode == 1
        assert "Traceback" not in stderr
        answer = victim.cli("list")
        assert answer.status == 1
        assert "not running" in answer.stderr
    finally:
        victim.process.wait()
        victim.netns.delete()


def test_error_that_quotes_bytes_that_are_no_text_is_still_an_error(real):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(20)
        sock.connect(f"/var/run/dpdk/{real.prefix}/dpdk_telemetry.v2")
        sock.recv(4096)
        sock.send(b"/virtnet/hotplug,ib_device=ml\xffx,mac=" + MAC.encode() +
                  b",mtu=1500,max_queue_pairs=1,max_queue_size=256")
        reply = json.loads(sock.recv(1 << 16))["/virtnet/hotplug"]
    assert reply["errno"] == -1011
    assert "ml?x" in reply["errstr"]
