#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
#
# Compiles every source file against the DPDK of later Debian releases, whose headers are unpacked into the cache;
# nothing is linked or installed. Not part of test/run.sh: releases come and go on the mirror.

set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=../../usertools/lib.sh
. "$top/usertools/lib.sh"

usage()
{
    cat <<TEXT
usage: ${0##*/} [SUITE...]

SUITE is a Debian release: trixie (DPDK 24.11), forky (25.11); both if none is named.
TEXT
}

# headers SUITE: unpack the release's DPDK headers, unless they are there; prints their root.
headers()
{
    local suite=$1 root=$VIRTNET_CACHE/dpdk/$1
    if ! [ -e "$root/usr/include/dpdk/rte_config.h" ]; then
        rm -rf "$root"
        mkdir -p "$root"
        {
            apt_private "$root/apt" "$suite" && apt_unpack "$root/apt" "$root" download libdpdk-dev
        } > "$root/fetch.log" 2>&1 || unavailable "no libdpdk-dev of $suite at $VIRTNET_MIRROR (log: $root/fetch.log)"
        rm -rf "$root/apt"
    fi
    echo "$root"
}

# A pkg-config file with the headers alone: their libraries need another C library than ours.
write_pc()
{
    local root=$1 version
    version=$(sed -n 's/^Version: //p' "$root/usr/lib/x86_64-linux-gnu/pkgconfig/libdpdk.pc")
    mkdir -p "$root/pc"
    cat > "$root/pc/libdpdk.pc" <<PC
Name: DPDK
Description: headers of DPDK $version
Version: $version
Cflags: -I$root/usr/include/dpdk -I$root/usr/include/x86_64-linux-gnu/dpdk -include rte_config.h -march=corei7
PC
    echo "$version"
}

compile()
{
    local suite=$1 root version build
    root=$(headers "$suite")
    version=$(write_pc "$root")
    build=$top/build-dpdk-$suite
    rm -rf "$build"
    PKG_CONFIG_PATH=$root/pc meson setup "$build" "$top" -Dwerror=true > "$root/build.log"
    # Objects only.
    ninja -C "$build" -t targets all | sed -n 's/^\(.*\.o\): .*/\1/p' |
        xargs ninja -C "$build" >> "$root/build.log" || {
        grep -E 'error|warning' "$root/build.log" | sort -u
        die "DPDK $version of $suite: does not compile (log: $root/build.log)"
    }
    rm -rf "$build"
    echo "DPDK $version of $suite: compiles"
}

case ${1-} in
-h | --help)
    usage
    exit 0
    ;;
"") set -- trixie forky ;;
esac
mkdir -p "$VIRTNET_CACHE"
for suite; do
    compile "$suite"
done
