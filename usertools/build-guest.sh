#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
#
# Makes what a small VM boots from: Debian's cloud kernel (unpacked, not installed) and an initramfs with busybox,
# the virtio drivers, and this machine's lspci, ethtool, iperf3 and ip. Prints the folder: vmlinuz, initrd, release.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

suite=bookworm
flavour=cloud-amd64
# Each with all that it needs; what a kernel has built in is passed over.
modules="virtio_pci virtio_net af_packet 8021q"
# bash, because busybox's shell prefers its own small ip and ping to those on the path.
tools="bash lspci ethtool iperf3 ip tcpdump"

usage()
{
    cat <<TEXT
usage: ${0##*/} [--suite SUITE] [--flavour FLAVOUR]

Prints the folder that holds vmlinuz and initrd of a test VM, making them if needed.
  --suite SUITE      Debian release to take the kernel from (bookworm: 6.1, trixie: 6.12, forky: newer)
  --flavour FLAVOUR  kernel package linux-image-FLAVOUR (default $flavour)

VIRTNET_CACHE   where it goes (now $VIRTNET_CACHE)
VIRTNET_MIRROR  Debian mirror (now $VIRTNET_MIRROR)
Exit status $EX_UNAVAILABLE: the mirror cannot be used.
TEXT
}

fetch_kernel()
{
    local packages
    rm -rf "$kernel" "$kernel.new"
    mkdir -p "$kernel.new"
    echo "fetching the VM's kernel from $VIRTNET_MIRROR $suite into $kernel" >&2
    {
        apt_private "$kernel.new/apt" "$suite" &&
            mapfile -t packages < <(kernel_packages "linux-image-$flavour") && [ ${#packages[@]} -gt 0 ] &&
            apt_unpack "$kernel.new/apt" "$kernel.new/root" download "${packages[@]}"
    } > "$top/kernel-$suite-$flavour.log" 2>&1 || {
        tail -n 5 "$top/kernel-$suite-$flavour.log" >&2
        unavailable "cannot fetch linux-image-$flavour of $suite from $VIRTNET_MIRROR (log: $top/kernel-$suite-$flavour.log)"
    }
    rm -rf "$kernel.new/apt"
    mv "$kernel.new" "$kernel"
}

# The package and those that carry its files: newer releases split image, binary and modules.
kernel_packages()
{
    APT_CONFIG=$kernel.new/apt/apt.conf apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts \
        --no-breaks --no-replaces --no-enhances "$1" | grep -E '^linux-(image|binary|modules)-[0-9]' | sort -u
}

# add_module NAME: copy a module after those that it needs, and note the order.
add_module()
{
    local name=$1 file plain depend
    plain=${name//-/_}.ko
    [ ! -e "$modules_dir/$plain" ] || return 0
    file=$(find "$kernel/root" -name "${name//[-_]/[-_]}.ko*" -print -quit)
    [ -n "$file" ] || return 0
    case $file in
    *.xz) xz -dc "$file" ;;
    *.zst) zstd -dc "$file" ;;
    *) cat "$file" ;;
    esac > "$modules_dir/$plain"
    for depend in $(grep -za '^depends=' "$modules_dir/$plain" | tr -d '\0' | sed 's/^depends=//; s/,/ /g'); do
        add_module "$depend"
    done
    echo "$modules_dir/$plain" | sed "s|^$tree||" >> "$tree/etc/modules"
}

# add_program NAME: copy a program of this machine and its shared libraries, each to where it is here.
add_program()
{
    local path file
    path=$(PATH=$PATH:/usr/sbin:/sbin command -v "$1") || die "$1 is missing; run usertools/deps.sh run"
    for file in "$(readlink -f "$path")" $(ldd "$path" | grep -oE '/[^ ]+'); do
        install -D "$file" "$tree$file"
    done
    [ -e "$tree$path" ] || ln -s "$(readlink -f "$path")" "$tree$path"
}

build_initrd()
{
    local tool busybox release
    release=$(basename "$(find "$kernel/root" -path '*/lib/modules/*' -maxdepth 5 -prune -print -quit)")
    tree=$(mktemp -d "$top/tree.XXXXXX")
    modules_dir=$tree/lib/modules/$release
    mkdir -p "$tree"/{bin,sbin,dev,proc,sys,tmp,run,root,etc} "$modules_dir"
    : > "$tree/etc/modules"
    busybox=$(command -v busybox) || die "busybox is missing; run usertools/deps.sh run"
    install "$busybox" "$tree/bin/busybox"
    ln -s /bin/busybox "$tree/init"
    ln -s busybox "$tree/bin/sh"
    install -D -m 755 "$here/guest/rcS" "$tree/etc/rcS"
    install -m 755 "$here/guest/agent" "$tree/sbin/agent"
    install -m 644 "$here/guest/inittab" "$here/guest/profile" "$tree/etc/"
    echo 'root:x:0:0:root:/:/bin/sh' > "$tree/etc/passwd"
    for tool in $modules; do
        add_module "$tool"
    done
    # lspci wants the index, not rcS.
    touch "$modules_dir"/modules.{order,builtin,builtin.modinfo}
    PATH=$PATH:/usr/sbin:/sbin depmod -b "$tree" "$release"
    for tool in $tools; do
        add_program "$tool"
    done
    if [ -e /usr/share/misc/pci.ids ]; then
        install -D -m 644 /usr/share/misc/pci.ids "$tree/usr/share/misc/pci.ids"
    fi
    # Not compressed: an emulated CPU would take longer to unpack it than QEMU takes to load it.
    (cd "$tree" && find . -print0 | cpio --quiet -0 -o -H newc -R 0:0) > "$out/initrd.new"
    rm -rf "$tree"
    mv "$out/initrd.new" "$out/initrd"
    echo "$release" > "$out/release"
}

# What the initramfs depends on; a new value means that it is made anew.
stamp()
{
    local tool
    find "$kernel/root" -name 'vmlinuz*' -printf '%f %s\n'
    cat "$0" "$here"/guest/*
    for tool in busybox $tools; do
        sha256sum "$(PATH=$PATH:/usr/sbin:/sbin command -v "$tool")" || true
    done
}

while [ $# -gt 0 ]; do
    case $1 in
    --suite | --flavour)
        [ $# -ge 2 ] || die "$1 needs a value"
        declare "${1#--}=$2"
        shift 2
        ;;
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

top=$VIRTNET_CACHE/guest
kernel=$top/kernel-$suite-$flavour
out=$top/$suite-$flavour
mkdir -p "$out"
cache_lock
[ -d "$kernel/root" ] || fetch_kernel
now=$(stamp 2>/dev/null | sha256sum)
if [ "$now" != "$(cat "$out/stamp" 2>/dev/null)" ]; then
    build_initrd
    vmlinuz=$(find "$kernel/root" -name 'vmlinuz*' -print -quit)
    cp "$vmlinuz" "$out/vmlinuz"
    echo "$now" > "$out/stamp"
fi
echo "$out"
