# SPDX-License-Identifier: MIT OR Apache-2.0
# What the tests of `kith share` and `kith get` have in common. Sourced by test_share*.sh.
# shellcheck disable=SC2086 # here and there are commands with arguments
set -uo pipefail
kith=${KITH_BIN:-$(dirname "${BASH_SOURCE[0]}")/../../build/release/kith}
tools=${KITH_TOOLS:-$(dirname "$kith")/test/cli}
[ -x "$kith" ] || { echo "$kith is not there: build it first"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/kith-share-XXXXXX")
pids=()
passed=0 failed=0 skipped=0
here='' there='' listen=/ip4/127.0.0.1/tcp/0 # how to run a sharer and a receiver; where a sharer listens

# What was started in this shell; each test has one of its own.
stop_all() {
    local p
    for p in "${pids[@]}" $(jobs -p); do kill -9 "$p" 2>/dev/null; done # a suspended one would be waited for forever
    wait 2>/dev/null
}

cleanup() {
    stop_all
    [ ! -d "$work/full" ] || umount "$work/full" 2>/dev/null
    chmod -R u+rwx "$work" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# wait_until SECONDS COMMAND...: polls; fails when the time is up.
wait_until() {
    local end=$((SECONDS + $1)); shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}

# share_start NAME PATH... [options]: runs kith share in the background. Sets share_pid and ticket.
share_start() {
    local name=$1; shift
    KITH_HOME=$work/home-$name $here "$kith" share --ticket --listen "$listen" "$@" >"$work/$name.ticket" 2>"$work/$name.err" </dev/null &
    share_pid=$!
    pids+=("$share_pid")
    if ! wait_until 20 test -s "$work/$name.ticket"; then
        echo "    no ticket:"; sed 's/^/    /' "$work/$name.err"
        return 1
    fi
    ticket=$(head -n 1 "$work/$name.ticket")
}

# share_read NAME: all of it has been read. A ticket is there before.
share_read() { wait_until 20 share_serves "$1" || { echo "    $1 does not serve"; return 1; }; }
share_serves() { KITH_HOME=$work/home-$1 $here "$kith" shares --json | grep -q '"state":"serving"'; }

# share_stop: Ctrl-C; sets share_code.
share_stop() {
    kill -INT "$share_pid" 2>/dev/null
    wait "$share_pid" 2>/dev/null; share_code=$?
}

# get [options]: runs kith get -y. Sets code; its output is in $work/get.out and $work/get.err.
get() {
    KITH_HOME=$work/home-get $there timeout 60 "$kith" get "$@" -y >"$work/get.out" 2>"$work/get.err" </dev/null
    code=$?
}

said() { grep -qF -- "$1" "$work/get.err" || { echo "    not said: $1"; sed 's/^/    | /' "$work/get.err"; return 1; }; }
exits() { [ "$code" -eq "$1" ] || { echo "    exit code $code, not $1"; sed 's/^/    | /' "$work/get.err"; return 1; }; }
same() { diff -r --no-dereference "$1" "$2" || return 1; }
# nothing_left DIR: no folder for partial content.
nothing_left() { [ ! -e "$1/.kith-partial" ] || { echo "    left behind:"; find "$1/.kith-partial"; return 1; }; }

# has_part DIR, has_list DIR: some content has come; some of it is in the journal.
has_part() { compgen -G "$1/.kith-partial/*/*.part" >/dev/null; }
has_list() { compgen -G "$1/.kith-partial/*/list" >/dev/null; }

# sound: no sanitizer has found anything in a process that was not asked for its exit code.
sound() { ! grep -E 'ERROR: .*Sanitizer|WARNING: ThreadSanitizer|runtime error:' "$work"/*.err | head -n 5 | sed 's/^/    /' | grep .; }

# check TEST...: runs functions, each in its own shell and folder.
check() {
    local t
    for t in "$@"; do
        mkdir -p "$work/$t"
        ( trap stop_all EXIT; cd "$work/$t" && "$t" && sound ) && { echo "ok: ${t//_/ }"; passed=$((passed + 1)); continue; }
        case $? in
        77) skipped=$((skipped + 1)) ;;
        *) echo "FAILED: ${t//_/ }"; failed=$((failed + 1)) ;;
        esac
    done
}

summary() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ $failed -eq 0 ] || exit 1
    [ $passed -gt 0 ] || exit 77
    exit 0
}

# $1 bytes that are not zeros, which are not sent.
filler() { yes kith | head -c "$1" || true; }

# Files of all kinds in folder $1.
mixed_folder() {
    mkdir -p "$1/empty folder" "$1/sub/deep"
    printf 'hello\n' >"$1/hello.txt"
    : >"$1/empty"
    printf '#!/bin/sh\necho hi\n' >"$1/run.sh"; chmod 755 "$1/run.sh"
    printf 'secret\n' >"$1/private"; chmod 600 "$1/private"
    printf 'x' >"$1/name with  spaces"
    printf 'y' >"$1/ünïcödé 漢字 🚀"
    printf 'z' >"$1/-dash"
    head -c 3000000 /dev/urandom >"$1/sub/random"
    head -c 262144 /dev/zero >"$1/sub/leaf"
    head -c 262145 /dev/zero >"$1/sub/leaf and one"
    cp "$1/sub/random" "$1/sub/deep/the same again"
    ln -s ../hello.txt "$1/sub/link"
    ln -s deep "$1/sub/folder link"
    ln -s nowhere "$1/sub/dangling"
    touch -d '2001-02-03 04:05:06.789' "$1/hello.txt" "$1/sub/deep"
    chmod 500 "$1/empty folder"
}
