#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Options of kith share and kith get that say more, or share less.
# shellcheck source=test/cli/share_lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/share_lib.bash"
# shellcheck disable=SC2154

# sums FILE: its lines that are sums.
sums() { grep -E '^\\?[0-9a-f]{64}  ' "$1"; }

sums_are_those_of_sha256sum() {
    mixed_folder src
    local odd=$'od\\d\nname\r'
    share_start sums src --sha256 --once || return 1
    get "$ticket" -o "$odd" --sha256
    exits 0 && said "into od" || return 1
    sha256sum -c --strict <"$work/get.out" >checked || { echo "    sha256sum does not take them"; cat "$work/get.out"; return 1; }
    [ "$(wc -l <checked)" = 11 ] || { cat checked; return 1; }
    (cd "$odd" && find src -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) >want
    wait "$share_pid"; [ $? -eq 0 ] || { echo "    the sharer did not end well"; return 1; }
    diff want <(sums "$work/sums.ticket" | LC_ALL=C sort -k 2) || return 1
    # as they were, with a file lost, one that is there, and one that gets another name
    rm "$odd/src/hello.txt"
    share_start sums2 src --sha256 || return 1
    get "$ticket" -o "$odd" --sha256
    exits 0 && sha256sum -c --strict <"$work/get.out" >checked && [ "$(wc -l <checked)" = 11 ] || { cat checked; return 1; }
    echo other >"$odd/src/hello.txt"
    get "$ticket" -o "$odd" --sha256 --rename
    exits 0 && grep -qF '/src (2)/hello.txt' "$work/get.out" && sha256sum -c --strict <"$work/get.out" >/dev/null || return 1
    get "$ticket" -o new --only hello.txt --sha256
    exits 0 && [ "$(cat "$work/get.out")" = "$(sha256sum new/src/hello.txt)" ]
}

sums_of_blake3_need_no_reading() {
    mixed_folder src
    share_start blake src --blake3 --once --json || return 1
    ticket=$(sed -n 's/.*"ticket": *"\(kith1[^"]*\)".*/\1/p' "$work/blake.ticket")
    get "$ticket" --json --blake3
    exits 0 || return 1
    wait "$share_pid"
    local pick='import json, sys
for line in sys.stdin:
    o = json.loads(line)
    if o["event"] == "sum": print(o["blake3"] + "  " + o["file"])'
    [ "$(tail -n 1 "$work/get.out" | cut -c 1-16)" = '{"event":"done",' ] || { tail -n 2 "$work/get.out"; return 1; }
    python3 -c "$pick" <"$work/get.out" >got || return 1
    python3 -c "$pick" <"$work/blake.ticket" >given || return 1
    diff got given && [ "$(wc -l <got)" = 11 ] || return 1
    grep -qx 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262  src/empty' got || return 1
    if command -v b3sum >/dev/null; then b3sum -c got >/dev/null || return 1; fi
    get "$ticket" --sha256 --blake3
    exits 2 && said "either --sha256 or --blake3"
}

what_is_excluded_is_neither_read_nor_sent() {
    mkdir -p p/build/deep p/src/build p/docs "p/bad"$'\n'"name"
    echo 1 >p/build/deep/x; echo 2 >p/src/build/y; echo 3 >p/src/a.c; echo 4 >p/src/a.o; echo 5 >p/docs/a.html; echo 6 >p/docs/a.md
    echo secret >p/unreadable; chmod 0 p/unreadable p/build
    printf '# what nobody needs\n\n*.o \r\np/docs/*.html\nbad*\nunread*' >patterns
    share_start left p --exclude build/ --exclude-from patterns || return 1
    chmod 700 p/build
    grep -qF 'sharing 2 files and 3 folders, 4 bytes (6 left out); on the other' "$work/left.err" || { cat "$work/left.err"; return 1; }
    get "$ticket" -o out
    exits 0 && [ "$(cd out && find . | LC_ALL=C sort | tr '\n' ' ')" = ". ./p ./p/docs ./p/docs/a.md ./p/src ./p/src/a.c " ] || { find out; return 1; }
    local bad
    for bad in '--exclude=/p' '--exclude=!x' '--exclude-from=none' '--exclude-from=bad'; do
        printf 'fine\n[x\n' >bad
        KITH_HOME=$work/home-left2 timeout 20 "$kith" share p "$bad" >"$work/get.out" 2>"$work/get.err" </dev/null; code=$?
        exits 2 || return 1
    done
    said 'bad:2: its [ has no ]'
    KITH_HOME=$work/home-left2 timeout 20 "$kith" share p --exclude p >"$work/get.out" 2>"$work/get.err" </dev/null; code=$?
    exits 1 && said 'there is nothing to share'
}

check sums_are_those_of_sha256sum sums_of_blake3_need_no_reading what_is_excluded_is_neither_read_nor_sent
summary
