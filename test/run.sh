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
times=$logs/times

# Bounds for a child that hangs, far above what it takes on a slow machine.
suite_seconds=120
pytest_seconds=1500
# Each kill of a full run of the fault tests takes two seconds.
pytest_seconds=$((pytest_seconds + 3 * ${VIRTNET_FAULT_KILLS:-50}))

export ASAN_OPTIONS=abort_on_error=0:exitcode=99:detect_leaks=1:strict_string_checks=1
export UBSAN_OPTIONS=halt_on_error=1:exitcode=99:print_stacktrace=1
export LSAN_OPTIONS=suppressions=$top/test/lsan.supp:print_suppressions=0
sanitizer_report='ERROR: (Address|Leak)Sanitizer|SUMMARY: .*Sanitizer|runtime error:'

usage()
{
    cat <<TEXT
usage: test/run.sh [PART...] [-k EXPRESSION]

PART is one or more of: build unit cli raw system fault doc (all of them if none is named)
  build   gcc, clang and a build with AddressSanitizer and UBSan, no warnings
  unit    unit tests, plain and with sanitizers
  cli     the virtnet command, against a scripted controller and the real one
  raw     the vfio-user protocol spoken straight on the socket of a controller with sanitizers
  system  real virtual machines on a real controller
  fault   processes killed, stopped and replaced under traffic
  doc     the guides
  -k EXPRESSION   only cli, raw, system and fault tests whose name matches (as pytest has it)

Parts that do not disturb each other run at the same time: system beside unit, cli, raw, doc and the builds that wait
for nobody; fault comes last and alone.

VIRTNET_FAULT_KILLS=1000 is the full run of the fault tests, on a machine with nothing else to do. It adds to the usual:
1000 random kills instead of 50, all memory of the host touched, one controller at a time; signals other than SIGKILL on
every ring; 100 live updates in a row instead of 6; 50 restarts of the keeper instead of 3; 10 kills under a guest's TCP
stream instead of 3; 31 devices instead of 8 that are taken over together; 10 updates and restarts of 64 devices instead
of one; all 235 switch ports; and it judges the gaps that it measures.

Logs: $logs, among them the seconds that each part (times) and each test (seconds) took
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

# part NAME COMMAND...: run the command if that part is asked for, and note how long it took.
part()
{
    local name=$1 began=$SECONDS
    shift
    has_part "$name" || return 0
    "$@"
    printf '%s\t%s\n' $((SECONDS - began)) "$name" >> "$times"
}

# build NAME DIRECTORY COMPILER MESON-OPTION...: counted as a test only when the part "build" is asked for.
build()
{
    local title=$1 dir=$2 compiler=$3 log began=$SECONDS
    shift 3
    log=$logs/build-${dir##*-}.log
    if {
        { [ -e "$dir/build.ninja" ] || CC=$compiler meson setup "$dir" "$top" -Dwerror=true "$@"; } &&
            ${politely-} ninja -C "$dir"
    } > "$log" 2>&1; then
        ! has_part build || report pass "build: $title"
    else
        report fail "build: $title" "$log"
    fi
    printf '%s\t%s\n' $((SECONDS - began)) "${dir##*/}" >> "$times"
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
    local failed=$'^fail\t'"$label:"
    if ! suites=$("$app" 2> "$logs/unit-$label.log") || [ -z "$suites" ]; then
        report fail "$label: the unit tests do not start" "$logs/unit-$label.log"
        return
    fi
    for suite in $suites; do
        log=$logs/unit-$label-$suite.log
        before=$(grep -c "$failed" "$results" || true)
        status=0
        CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 "$suite_seconds" "$app" "$suite" > "$log" 2>&1 || status=$?
        if ! tap_lines "$label: $suite:" "$log"; then
            report fail "$label: $suite: printed no test" "$log"
        elif grep -qE "$sanitizer_report" "$log"; then
            report fail "$label: $suite: sanitizer report" "$log"
        elif [ $status -eq 124 ]; then
            report fail "$label: $suite: not finished in $suite_seconds s" "$log"
        elif [ $status -ne 0 ] && [ "$before" -eq "$(grep -c "$failed" "$results" || true)" ]; then
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


build_gcc()
{
    build "gcc, no warnings" "$gcc_build" gcc
}

# Nothing of it runs: it is there for its warnings.
build_clang()
{
    build "clang, no warnings" "$clang_build" clang --optimization=0
}

build_asan()
{
    build "AddressSanitizer and UBSan, no warnings" "$asan_build" gcc --optimization=1 \
        -Db_sanitize=address,undefined -Db_lundef=false
}

build_fault()
{
    build "fault injection, no warnings" "$fault_build" gcc -Dfault_injection=true -Dtests=false
}

# Downloads; the tests take them from the cache, or skip.
fetch()
{
    {
        "$top/usertools/fetch-qemu.sh" && "$top/usertools/build-guest.sh" &&
            "$top/usertools/build-guest.sh" --flavour amd64
        "$top/test/system/fetch-ovs.sh"
    } > "$logs/fetch.log" 2>&1 || true
}

raw_tests()
{
    VIRTNET_BUILD=$asan_build pytests raw "$top/test/system/raw"
}

system_tests()
{
    pytests system "$top/test/system" --ignore "$top/test/system/cli" --ignore "$top/test/system/raw"
}

fault_tests()
{
    VIRTNET_FAULT_BUILD=$fault_build VIRTNET_FAULT_JSON=$logs/fault.json pytests fault "$top/test/fault"
    [ ! -s "$logs/fault.json" ] || "$top/test/fault/report.py" "$logs/fault.json" || true
}

# What needs a processor rather than peace, in the order in which others wait for it.
beside_system()
{
    # An emulated guest that does not get its time is taken for a dead one.
    local politely="nice -n 19"

    part cli pytests cli "$top/test/system/cli"
    part unit unit_tests unit "$gcc_build"
    if has_part build || has_part unit || has_part raw; then
        build_asan
    fi
    part unit unit_tests unit+sanitizers "$asan_build"
    ! has_part fault || build_fault
    ! has_part build || build_clang
    part doc docs
    part raw raw_tests
}

end_of_run()
{
    [ -z "${beside-}" ] || kill -- "-$beside" 2> "$logs/kill.log" || true
    return_huge_pages
}

need_root
reserve_huge_pages
trap end_of_run EXIT
rm -rf "$logs"
mkdir -p "$logs"
: > "$results"

"$top/usertools/deps.sh" test doc
fetch &
fetching=$!
if has_part build || has_part unit || has_part cli || has_part system || has_part fault; then
    build_gcc
fi
wait "$fetching" || true
if VIRTNET_QEMU=$("$top/usertools/fetch-qemu.sh" 2>> "$logs/fetch.log"); then
    export VIRTNET_QEMU
fi
# A process group of its own, so that it can be ended with all that it has started.
set -m
beside_system &
beside=$!
set +m
part system system_tests
wait "$beside" || report fail "the parts beside the system tests ended with status $?"
beside=
part fault fault_tests
# Under sudo the tree's owner keeps the right to build and to clean.
chown -R --reference="$top" "$logs" "$top"/build-test-*

failed=$(count fail)
[ "$failed" -eq 0 ] || show_failures
echo
echo "seconds: $(awk -F '\t' '{printf "%s %s, ", $2, $1}' "$times")all of it $SECONDS"
echo "$(count pass) passed, $failed failed, $(count skip) skipped"
[ "$failed" -eq 0 ]
