#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
#
# Builds if need be, then measures: see run.py --help and doc/performance.rst.

set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=../../usertools/lib.sh
. "$top/usertools/lib.sh"

build=${VIRTNET_BUILD:-$top/build}

needs_build=true
for word; do
    case $word in
    --ab | --rst | --svg | --doc | --list | -h | --help) needs_build=false ;;
    --build | --build=*) die "give the build folder as VIRTNET_BUILD" ;;
    esac
done

if $needs_build; then
    need_root
    if [ ! -e "$build/build.ninja" ]; then
        meson setup "$build" "$top"
    fi
    ninja -C "$build" > /dev/null
fi
exec /usr/bin/python3 -B "$top/test/perf/run.py" --build "$build" "$@"
