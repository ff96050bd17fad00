#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
#
# From a fresh Debian 12 to a VM that talks over a hotplugged virtio-net PCIe device, in numbered steps.
# Everything it starts or makes carries the name virtnet-quickstart, and is found again by that name.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

name=virtnet-quickstart
top=$(dirname "$here")
build=$top/build
run=/run/$name
logs=/var/log/$name
vm=$run/vm
netns=$name
# TEST-NET-1: addresses that no real network has.
vm_address=192.0.2.2
far_address=192.0.2.1
mac=0C:C4:7A:FF:22:93

usage()
{
    cat <<TEXT
usage: ${0##*/} [--keep | --stop]

Installs what is missing, builds, starts the controller, boots a small Linux VM, hotplugs a virtio-net PCIe device
into it and passes traffic. Then everything that it started is stopped again.
  --keep  leave all of it running and open a shell in the VM
  --stop  stop what --keep left

Logs of each step: $logs
Downloads and the VM's files: $VIRTNET_CACHE (VIRTNET_CACHE)
TEXT
}

#
# What is shown: "[ 3/11] title ... 1.2 s", then what the step itself writes to descriptor 3, then the next step.
#

titles=()
functions=()
step_number=0

plan()
{
    functions+=("$1")
    titles+=("$2")
}

seconds_since()
{
    local now=${EPOCHREALTIME/./}
    printf '%d.%d s' $(((now - $1) / 1000000)) $(((now - $1) / 100000 % 10))
}

run_step()
{
    local title=$1 call=$2 start=${EPOCHREALTIME/./} log status shown
    step_number=$((step_number + 1))
    log=$(printf '%s/%02d-%s.log' "$logs" "$step_number" "${call//_/-}")
    shown=$logs/shown
    printf '[%2d/%d] %-58s' "$step_number" "${#functions[@]}" "$title"
    set +e
    (
        set -e
        "$call"
    ) 3> "$shown" > "$log" 2>&1
    status=$?
    set -e
    if [ $status -ne 0 ]; then
        echo "FAILED ($(seconds_since "$start"))"
        echo
        echo "Step $step_number, \"$title\", failed. The end of its log:"
        tail -n 25 "$log" | sed 's/^/    /'
        echo
        echo "Log of the step:   $log"
        if [ -e "$logs/controller.log" ]; then
            echo "Controller's log:  $logs/controller.log"
        fi
        exit 1
    fi
    seconds_since "$start"
    echo
    sed 's/^/        /' "$shown"
}

show()
{
    tee -a /dev/fd/3
}

#
# Steps
#

install_packages()
{
    "$here/deps.sh" build run
}

get_qemu()
{
    "$here/fetch-qemu.sh" > "$run/qemu"
    "$(cat "$run/qemu")" --version | head -n 1 | show
}

make_guest()
{
    "$here/build-guest.sh" > "$run/guest"
    echo "Linux $(cat "$(cat "$run/guest")/release")" | show
}

compile()
{
    if ! [ -e "$build/build.ninja" ]; then
        (cd "$top" && meson setup "$build")
    fi
    ninja -C "$build" app/dpdk-virtnet app/dpdk-virtnet-keeper usertools/schema.json
    # Under sudo the tree's owner keeps the right to build in it.
    chown -R --reference="$top" "$build"
}

write_config()
{
    cat > "$run/virtnet.conf" <<CONF
{
    "ib_dev_p0": "mlx5_0",
    "platform": {
        "socket_dir": "$run",
        "ports": [ { "name": "mlx5_0", "pci_addr": "0000:03:00.0", "mtu": 9216 } ],
        "hosts": [ { "name": "vm1", "driver": "qmp", "qmp_socket": "$vm/qmp.sock",
                     "root_ports": ["rp1", "rp2", "rp3", "rp4"] } ]
    }
}
CONF
}

# "--lcores" for a control core and a worker on the first two CPUs that we may use, or both on the only one.
lcores()
{
    python3 -c 'import os; cpus = sorted(os.sched_getaffinity(0)); print(f"0@{cpus[0]},1@{cpus[1 % len(cpus)]}")'
}

start_controller()
{
    local deadline=$((SECONDS + 20))
    write_config
    setsid "$build/app/dpdk-virtnet" --lcores "$(lcores)" --no-huge -m 512 --no-pci --iova-mode=va \
        --file-prefix "$name" -- --config "$run/virtnet.conf" < /dev/null > "$logs/controller.log" 2>&1 3>&- 9>&- &
    echo $! > "$run/controller.pid"
    until grep -q 'controller is ready' "$logs/controller.log"; do
        if ! kill -0 "$(cat "$run/controller.pid")" || [ $SECONDS -ge $deadline ]; then
            cat "$logs/controller.log"
            return 1
        fi
        sleep 0.05
    done
    virtnet version
}

boot_vm()
{
    "$here/guestvm.py" --dir "$vm" start --qemu "$(cat "$run/qemu")" --guest "$(cat "$run/guest")" 3>&-
    in_vm "cat /proc/cmdline; lspci"
}

hotplug_device()
{
    echo "\$ virtnet hotplug -i mlx5_0 -m $mac -t 1500 -qp 1 -s 1024" | show
    virtnet hotplug -i mlx5_0 -m $mac -t 1500 -qp 1 -s 1024 > "$run/hotplug.out" || {
        cat "$run/hotplug.out"
        return 1
    }
    show < "$run/hotplug.out"
    sed -n 's/.*"sf_rep_net_device": "\(.*\)".*/\1/p' "$run/hotplug.out" > "$run/representor"
}

look_in_vm()
{
    # The VM's kernel needs a moment to find the device and its driver.
    in_vm "for i in \$(seq 100); do [ -e /sys/class/net/eth0 ] && exit; sleep 0.1; done; dmesg | tail; exit 1"
    show_in_vm "lspci -d 1af4:1041 -k"
    show_in_vm "ethtool -i eth0 | grep -E 'driver|bus-info'"
    show_in_vm "ip -br link show eth0"
}

connect_network()
{
    local representor
    representor=$(cat "$run/representor")
    ip netns add "$netns"
    ip link set "$representor" netns "$netns"
    ip -n "$netns" address add "$far_address/24" dev "$representor"
    ip -n "$netns" link set "$representor" up
    ip -n "$netns" -br address show "$representor" | show
    in_vm "ip address add $vm_address/24 dev eth0 && ip link set eth0 up"
    show_in_vm "ip -br address show eth0"
}

ping_out()
{
    show_in_vm "ping -c 3 -i 0.2 -W 2 $far_address"
}

ping_in()
{
    echo "\$ ping $vm_address" | show
    ip netns exec "$netns" busybox ping -c 3 -i 0.2 -W 2 "$vm_address" | show
}

show_list()
{
    echo "\$ virtnet list" | show
    virtnet list | show
}

virtnet()
{
    python3 "$here/virtnet.py" --file-prefix "$name" "$@"
}

in_vm()
{
    "$here/guestvm.py" --dir "$vm" run "$1"
}

show_in_vm()
{
    echo "vm# $1" | show
    in_vm "$1" | show
}

#
# Stopping: only processes whose pid file is ours and whose command line names our folder or prefix
#

is_ours()
{
    [ -n "$1" ] && tr '\0' ' ' < "/proc/$1/cmdline" 2>/dev/null | grep -q "$name"
}

stop_process()
{
    local file=$1 signal=$2 pid tries
    pid=$(cat "$file" 2>/dev/null || true)
    if is_ours "$pid"; then
        kill "-$signal" "$pid" 2>/dev/null || true
        for ((tries = 0; tries < 200; tries++)); do
            is_ours "$pid" || break
            sleep 0.05
        done
        ! is_ours "$pid" || kill -KILL "$pid" 2>/dev/null || true
    fi
    rm -f "$file"
}

stop_everything()
{
    # The VM first: its kernel would wait for a device that has gone.
    stop_process "$vm/pid" KILL
    stop_process "$run/controller.pid" TERM
    if ip netns list 2>/dev/null | grep -qw "^$netns"; then
        ip netns delete "$netns"
    fi
    rm -rf "$run" "/var/run/dpdk/$name"
}

leave_running()
{
    cat <<TEXT

All of it is still running:
    the VM's console:      sudo usertools/guestvm.py --dir $vm console      (Ctrl-] leaves it)
    the far side:          sudo ip netns exec $netns busybox ping $vm_address
    the controller:        sudo usertools/virtnet.py --file-prefix $name list
    its log:               $logs/controller.log
    stop everything:       sudo usertools/quickstart.sh --stop
TEXT
    if [ -t 0 ] && [ -t 1 ]; then
        echo
        echo "Here is a shell in the VM; leave it with Ctrl-] (the VM goes on)."
        "$here/guestvm.py" --dir "$vm" console
    fi
}

keep=no
case ${1-} in
"") ;;
--keep) keep=yes ;;
--stop)
    need_root
    stop_everything
    exit 0
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

need_root
exec 9> "/run/$name.lock"
flock -n 9 || die "it is already running"

plan install_packages "packages"
plan get_qemu "QEMU with vfio-user"
plan make_guest "kernel and initramfs of the VM"
plan compile "build"
plan start_controller "start the controller"
plan boot_vm "boot the VM"
plan hotplug_device "hotplug a virtio-net device into the running VM"
plan look_in_vm "the device as the VM sees it"
plan connect_network "addresses on both sides"
plan ping_out "ping from the VM to the far side of the representor"
plan ping_in "ping from the far side to the VM"
plan show_list "what the controller knows"

stop_everything
rm -rf "$logs"
mkdir -p "$logs"
mkdir -m 700 "$run"
trap stop_everything EXIT
trap 'exit 130' INT TERM

begin=${EPOCHREALTIME/./}
for index in "${!functions[@]}"; do
    run_step "${titles[index]}" "${functions[index]}"
done
echo
echo "It works: $(seconds_since "$begin") in all. Logs: $logs"

if [ "$keep" = yes ]; then
    trap - EXIT
    leave_running
fi
