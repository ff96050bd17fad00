#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
#
# Prints the path of a qemu-system-x86_64 that has vfio-user-pci (QEMU 10.1 or newer). The system's own is taken
# if it has it; else Debian's backport is unpacked into a folder of the cache, with its own C library, and
# nothing is installed.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

suite=trixie
root=$VIRTNET_CACHE/qemu
wrapper=$root/qemu-system-x86_64

usage()
{
    cat <<TEXT
usage: ${0##*/} [--force]

Prints the path of a QEMU that has the vfio-user-pci device, fetching one (35 MB) if the system has none.
  --force   fetch again even if the cache or the system has one

VIRTNET_CACHE   where it goes (now $VIRTNET_CACHE)
VIRTNET_MIRROR  Debian mirror (now $VIRTNET_MIRROR)
Exit status $EX_UNAVAILABLE: the mirror cannot be used.
TEXT
}

has_vfio_user()
{
    "$1" -device help 2>/dev/null | grep -q '^name "vfio-user-pci"'
}

# Runs QEMU with the C library, modules and firmware that were unpacked with it, never with the system's.
write_wrapper()
{
    cat > "$root/wrapper.new" <<'TEXT'
#!/bin/sh
top=$(dirname "$(readlink -f "$0")")/root
lib=$top/usr/lib/x86_64-linux-gnu
QEMU_MODULE_DIR=$lib/qemu
export QEMU_MODULE_DIR
exec "$top/usr/lib64/ld-linux-x86-64.so.2" --library-path "$lib" --argv0 "$0" \
    "$top/usr/bin/qemu-system-x86_64" -L "$top/usr/share/qemu" -L "$top/usr/share/seabios" "$@"
TEXT
    chmod +x "$root/wrapper.new"
}

fetch()
{
    rm -rf "$root"
    mkdir -p "$root"
    echo "fetching QEMU from $VIRTNET_MIRROR $suite-backports into $root" >&2
    {
        apt_private "$root/apt" "$suite" "$suite-backports" &&
            apt_unpack "$root/apt" "$root/root" install -t "$suite-backports" qemu-system-x86
    } > "$root/fetch.log" 2>&1 || {
        tail -n 5 "$root/fetch.log" >&2
        unavailable "cannot fetch QEMU from $VIRTNET_MIRROR (log: $root/fetch.log); set VIRTNET_MIRROR to another mirror"
    }
    rm -rf "$root/apt"
    write_wrapper
    has_vfio_user "$root/wrapper.new" || unavailable "the fetched QEMU does not run or lacks vfio-user-pci: $root"
    mv "$root/wrapper.new" "$wrapper"
}

force=no
case ${1-} in
"") ;;
--force) force=yes ;;
-h | --help)
    usage
    exit 0
    ;;
*)
    usage >&2
    exit 2
    ;;
esac

if [ "$force" = no ] && system=$(command -v qemu-system-x86_64) && has_vfio_user "$system"; then
    echo "$system"
    exit 0
fi
cache_lock
if [ "$force" = yes ] || ! [ -x "$wrapper" ]; then
    fetch
fi
echo "$wrapper"
