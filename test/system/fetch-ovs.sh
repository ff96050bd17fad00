#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
#
# Prints the folder below which Debian's Open vSwitch is unpacked. It is not installed: its package would start a
# service, and a test needs none. Its libraries are among the packages of usertools/deps.sh test.

set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=../../usertools/lib.sh
. "$top/usertools/lib.sh"

suite=bookworm
root=$VIRTNET_CACHE/ovs

fetch()
{
    rm -rf "$root"
    mkdir -p "$root"
    {
        apt_private "$root/apt" "$suite" &&
            apt_unpack "$root/apt" "$root/root" download openvswitch-switch openvswitch-common
    } > "$root/fetch.log" 2>&1 || unavailable "no openvswitch-switch of $suite at $VIRTNET_MIRROR (log: $root/fetch.log)"
    rm -rf "$root/apt"
    # The last step: what is there is whole.
    touch "$root/fetched"
}

if [ $# -gt 0 ]; then
    echo "usage: ${0##*/}" >&2
    exit 2
fi
cache_lock
[ -e "$root/fetched" ] || fetch
"$root/root/usr/lib/openvswitch-switch/ovs-vswitchd" --version > "$root/version.log" 2>&1 ||
    unavailable "Open vSwitch lacks a library (log: $root/version.log); run usertools/deps.sh test"
echo "$root/root"
