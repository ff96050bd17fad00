#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
#
# Everything that can be tested on this machine, one line per test; the last line is the count.

set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=../usertools/lib.sh
. "$top/usertools/lib.sh"

# A build per compiler, kept between runs; git ignores build*.
logs=$top/build-test-logs
gcc_build=$top/build-test-gcc
clang_build=$top/build-test-clang
asan_build=$top/build-test-asan
fault_build=$top/build-test-fault
results=$logs/results

# Bounds for a child that hangs, far above what it takes on a slow machine.
suite_seconds=120
pytest_seconds=1500
# Each kill of a full run of the fault tests takes two seconds.
pytest_seconds=$((pytest_seconds + 3 * ${VIRTNET_FAULT_KILLS:-40}))

export ASAN_OPTIONS=abort_on_error=0:exitcode=99:detect_leaks=1:strict_string_checks=1
export UBSAN_OPTIONS=halt_on_error=1:exitcode=99:print_stacktrace=1
export LSAN_OPTIONS=suppressions=$top/test/lsan.supp:print_suppressions=0
sanitizer_report='ERROR: (Address|Leak)Sanitizer|SUMMARY: .*Sanitizer|runtime error:'

usage()
{
    cat <<TEXT
usage: sudo test/run.sh [PART...] [-k EXPRESSION]

PART is one or more of: build unit cli raw system fault doc (all of them if none is named)
  build   gcc, clang and a build with AddressSanitizer and UBSan, no warnings
  unit    unit tests, plain and with sanitizers
  cli     the virtnet command, against a scripted controller and the real one
  raw     the vfio-user protocol spoken straight on the socket of a controller with sanitizers
  system  real virtual machines on a real controller
  fault   processes killed, stopped and replaced under traffic; VIRTNET_FAULT_KILLS=1000 is the full run
  doc     the guides
  -k EXPRESSION   only cli, raw, system and fault tests whose name matches (as pytest has it)

Logs: $logs
TEXT
}

# report pass|fail|skip NAME [LOG-OR-REASON]
report()
{
    printf '%s\t%s\t%s\n' "$1" "$2" "${3-}" >> "$results"
    printf '%-4s  %s%s\n' "${1^^}" "$2" "${3:+  ($3)}"
}

has_part()
{
    case " $parts " in
    *" $1 "*) return 0 ;;
    esac
    return 1
}

# build NAME DIRECTORY COMPILER MESON-OPTION...: counted as a test only when the part "build" is asked for.
build()
{
    local title=$1 dir=$2 compiler=$3 log
    shift 3
    log=$logs/build-${dir##*-}.log
    if {
        { [ -e "$dir/build.ninja" ] || CC=$compiler meson setup "$dir" "$top" -Dwerror=true "$@"; } &&
            ninja -C "$dir"
    } > "$log" 2>&1; then
        ! has_part build || report pass "build: $title"
    else
        report fail "build: $title" "$log"
    fi
}

# tap_lines NAME LOG: one report per line of a suite's TAP output. cmocka says "not ok" of a skipped test too.
tap_lines()
{
    local name=$1 log=$2 line rest count=0
    while IFS= read -r line; do
        case $line in
        "ok "* | "not ok "*) ;;
        *) continue ;;
        esac
        count=$((count + 1))
        rest=${line#not }
        rest=${rest#ok }
        rest=${rest#* }
        rest=${rest#- }
        case $line in
        *"# SKIP"*) report skip "$name ${rest#\# SKIP }" ;;
        "ok "*) report pass "$name $rest" ;;
        *) report fail "$name $rest" "$log" ;;
        esac
    done < <(cat "$log")
    [ "$count" -gt 0 ]
}

# unit_tests LABEL BUILD
unit_tests()
{
    local label=$1 app=$2/test/unit/dpdk-virtnet-test suites suite log status before
    if ! suites=$("$app" 2> "$logs/unit-$label.log") || [ -z "$suites" ]; then
        report fail "$label: the unit tests do not start" "$logs/unit-$label.log"
        return
    fi
    for suite in $suites; do
        log=$logs/unit-$label-$suite.log
        before=$(grep -c '^fail' "$results" || true)
        status=0
        CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 "$suite_seconds" "$app" "$suite" > "$log" 2>&1 || status=$?
        if ! tap_lines "$label: $suite:" "$log"; then
            report fail "$label: $suite: printed no test" "$log"
        elif grep -qE "$sanitizer_report" "$log"; then
            report fail "$label: $suite: sanitizer report" "$log"
        elif [ $status -eq 124 ]; then
            report fail "$label: $suite: not finished in $suite_seconds s" "$log"
        elif [ $status -ne 0 ] && [ "$before" -eq "$(grep -c '^fail' "$results" || true)" ]; then
            report fail "$label: $suite: ended with status $status" "$log"
        fi
    done
}

# pytests PART PATH...: the plugin in test/system/conftest.py prints the lines and adds to the results.
pytests()
{
    local part=$1 log=$logs/pytest-$1.log status=0
    shift
    : > "$log"
    timeout -k 30 "$pytest_seconds" /usr/bin/python3 -B -m pytest -p no:cacheprovider --rootdir "$top/test/system" \
        --virtnet-results="$results" --virtnet-label="$part" --virtnet-logs="$logs/$part" \
        --virtnet-build="$gcc_build" \
        ${expression:+-k "$expression"} "$@" 2>> "$log" || status=$?
    # 0: all passed; 1: failures, already reported; 5: nothing matches -k.
    case $status in
    0 | 1) ;;
    5) [ -n "$expression" ] || report fail "$part: no test found" "$log" ;;
    *) report fail "$part: pytest ended with status $status" "$log" ;;
    esac
}

docs()
{
    local log=$logs/doc.log
    if [ ! -e "$top/doc/conf.py" ]; then
        return
    fi
    if /usr/bin/python3 -m sphinx -W --keep-going -q -b html "$top/doc" "$logs/doc" > "$log" 2>&1; then
        report pass "doc: the guides build without warnings"
    else
        report fail "doc: the guides build without warnings" "$log"
    fi
}

# A few huge pages for the tests that map them, for as long as the run lasts. A kernel that has none to give has them
# skipped.
huge_pages=/proc/sys/vm/nr_hugepages
huge_pages_wanted=8
huge_pages_before=

reserve_huge_pages()
{
    if [ -w "$huge_pages" ]; then
        huge_pages_before=$(cat "$huge_pages")
        echo $((huge_pages_before + huge_pages_wanted)) > "$huge_pages" || true
    fi
}

return_huge_pages()
{
    if [ -n "$huge_pages_before" ]; then
        echo "$huge_pages_before" > "$huge_pages" || true
    fi
}

show_failures()
{
    local verdict name log
    while IFS=$'\t' read -r verdict name log; do
        [ "$verdict" = fail ] || continue
        printf '\n--- %s\n' "$name"
        if [ -f "$log" ]; then
            tail -n 30 "$log" | sed 's/^/    /'
            echo "    (all of it: $log)"
        else
            echo "    $log"
        fi
    done < "$results"
}

count()
{
    grep -c "^$1" "$results" || true
}

parts=
expression=
while [ $# -gt 0 ]; do
    case $1 in
    build | unit | cli | raw | system | fault | doc) parts="$parts $1" ;;
    -k)
        [ $# -ge 2 ] || die "-k needs an expression"
        expression=$2
        shift
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
    shift
done
parts=${parts:-build unit cli raw system fault doc}

need_root "$@"
reserve_huge_pages
trap return_huge_pages EXIT
rm -rf "$logs"
mkdir -p "$logs"
: > "$results"

"$top/usertools/deps.sh" test doc
# Downloads while the compilers run; the tests take them from the cache, or skip.
{
    "$top/usertools/fetch-qemu.sh" && "$top/usertools/build-guest.sh" &&
        "$top/usertools/build-guest.sh" --flavour amd64
} > "$logs/fetch.log" 2>&1 &
fetch=$!
if has_part build || has_part unit || has_part cli || has_part system || has_part fault; then
    build "gcc, no warnings" "$gcc_build" gcc
fi
if has_part build; then
    build "clang, no warnings" "$clang_build" clang
fi
if has_part build || has_part unit || has_part raw; then
    build "AddressSanitizer and UBSan, no warnings" "$asan_build" gcc -Db_sanitize=address,undefined -Db_lundef=false
fi
if has_part fault; then
    build "fault injection, no warnings" "$fault_build" gcc -Dfault_injection=true -Dtests=false
fi
wait "$fetch" || true
if VIRTNET_QEMU=$("$top/usertools/fetch-qemu.sh" 2>> "$logs/fetch.log"); then
    export VIRTNET_QEMU
fi
if has_part unit; then
    unit_tests unit "$gcc_build"
    unit_tests unit+sanitizers "$asan_build"
fi
! has_part cli || pytests cli "$top/test/system/cli"
if has_part raw; then
    VIRTNET_BUILD=$asan_build pytests raw "$top/test/system/raw"
fi
if has_part system; then
    pytests system "$top/test/system" --ignore "$top/test/system/cli" --ignore "$top/test/system/raw"
fi
if has_part fault; then
    VIRTNET_FAULT_BUILD=$fault_build VIRTNET_FAULT_JSON=$logs/fault.json pytests fault "$top/test/fault"
    [ ! -s "$logs/fault.json" ] || "$top/test/fault/report.py" "$logs/fault.json" || true
fi
! has_part doc || docs
# Under sudo the tree's owner keeps the right to build and to clean.
chown -R --reference="$top" "$logs" "$top"/build-test-*

failed=$(count fail)
[ "$failed" -eq 0 ] || show_failures
echo
echo "$(count pass) passed, $failed failed, $(count skip) skipped"
[ "$failed" -eq 0 ]
