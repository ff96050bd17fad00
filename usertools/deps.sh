#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
#
# Installs the Debian 12 packages that virtnet needs and this machine lacks. The one list of them.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

declare -A packages_for
packages_for[build]="gcc libc6-dev meson ninja-build pkg-config python3
    libdpdk-dev libevent-dev libjansson-dev libmnl-dev libcmocka-dev"
# The VM is put together from this machine's tools; debian-archive-keyring signs what it and QEMU are made of.
packages_for[run]="python3 iproute2 procps kmod busybox-static cpio xz-utils zstd pciutils pci.ids ethtool iperf3 tcpdump
    debian-archive-keyring"
# The last two are what Open vSwitch needs, which test/system/fetch-ovs.sh unpacks.
packages_for[test]="${packages_for[build]} ${packages_for[run]} clang libclang-rt-14-dev python3-pytest git dpdk-dev
    libunbound8 libcap-ng0"
packages_for[doc]="python3-sphinx"

log=${TMPDIR:-/tmp}/virtnet-deps.$$.log

usage()
{
    cat <<TEXT
usage: ${0##*/} {build|run|test|doc}...

Installs what is missing:
  build  to compile virtnet and its unit tests
  run    to boot the test VM of quickstart.sh
  test   for test/run.sh
  doc    to build the guides
TEXT
}

missing()
{
    local package
    for package; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
    done
}

[ $# -gt 0 ] || {
    usage >&2
    exit 2
}
wanted=
for word; do
    case $word in
    build | run | test | doc) wanted="$wanted ${packages_for[$word]}" ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
done

# shellcheck disable=SC2086
packages=$(missing $wanted | sort -u)
if [ -z "$packages" ]; then
    echo "all packages are there"
    exit 0
fi
need_root
# shellcheck disable=SC2086
echo "installing:" $packages
# shellcheck disable=SC2086
if ! {
    apt-get -q update &&
        DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 install --no-install-recommends $packages
} > "$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "apt-get failed (log: $log)"
fi
rm -f "$log"
