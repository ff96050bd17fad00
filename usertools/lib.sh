# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
# shellcheck shell=bash
#
# Shell functions that usertools/*.sh and test/run.sh share. Source it; it runs nothing by itself.

# What the tools download and build for a VM lives here; deleting the folder is always safe.
VIRTNET_CACHE=${VIRTNET_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/virtnet}
VIRTNET_MIRROR=${VIRTNET_MIRROR:-http://deb.debian.org/debian}
export VIRTNET_CACHE VIRTNET_MIRROR

# Exit status "what this needs cannot be had here": tests skip on it, they do not fail.
readonly EX_UNAVAILABLE=77

die()
{
    echo "${0##*/}: $*" >&2
    exit 1
}

unavailable()
{
    echo "${0##*/}: $*" >&2
    exit "$EX_UNAVAILABLE"
}

# What the script that reads this was called with.
called_with=("$@")

# Go on as root: at once, or as sudo allows it.
need_root()
{
    [ "$(id -u)" -ne 0 ] || return 0
    [ -n "$(command -v sudo)" ] || die "must run as root, and there is no sudo"
    exec sudo -E -- "$0" ${called_with[@]+"${called_with[@]}"}
}

# Debian's own Python: a python3 earlier on PATH may lack the distribution's packages.
python3()
{
    /usr/bin/python3 "$@"
}

# apt_private DIR SUITE...: make DIR an apt state of its own, so that packages of other releases can be
# downloaded without touching the system. Signatures are checked with the system's Debian keyring;
# proxies and other network settings are the system's.
apt_private()
{
    local dir=$1 suite
    shift
    mkdir -p "$dir/lists/partial" "$dir/archives/partial"
    : > "$dir/status"
    : > "$dir/sources.list"
    for suite; do
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $VIRTNET_MIRROR $suite main" \
            >> "$dir/sources.list"
    done
    {
        apt-config dump Acquire | grep -E '^Acquire::(http|https|Check-)' || true
        cat <<CONF
Dir::State "$dir";
Dir::State::status "$dir/status";
Dir::State::lists "$dir/lists";
Dir::Cache "$dir";
Dir::Cache::archives "$dir/archives";
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::main "/dev/null";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Binary::apt-get::APT::Keep-Downloaded-Packages "true";
Debug::NoLocking "true";
Acquire::Languages "none";
Acquire::Retries "3";
CONF
    } > "$dir/apt.conf"
    # Without this, apt-get says that all went well when nothing could be fetched.
    APT_CONFIG=$dir/apt.conf apt-get -q -o APT::Update::Error-Mode=any update
}

# apt_unpack DIR ROOT APT-GET-ARGUMENT...: run apt-get (download PACKAGE..., or install PACKAGE... with all that
# they depend on) on the state made by apt_private, unpack what came below ROOT. Nothing is installed, no package
# script runs.
apt_unpack()
{
    local dir=$1 root=$2 deb
    shift 2
    rm -f "$dir"/archives/*.deb
    (cd "$dir/archives" && APT_CONFIG=$dir/apt.conf apt-get -q -y --download-only "$@") || return 1
    mkdir -p "$root"
    for deb in "$dir"/archives/*.deb; do
        dpkg-deb -x "$deb" "$root" || return 1
    done
    rm -f "$dir"/archives/*.deb
}

# Only one process at a time fills the cache; the lock ends with the process.
cache_lock()
{
    mkdir -p "$VIRTNET_CACHE"
    exec {VIRTNET_CACHE_LOCK}> "$VIRTNET_CACHE/lock"
    flock "$VIRTNET_CACHE_LOCK"
}
