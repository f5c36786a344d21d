#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# simulate says what it found and leaves with the code that its source names. usage: simulate.sh SIMULATE
set -uo pipefail
simulate=$1 dir=$(mktemp -d) failed=0
trap 'rm -rf "$dir"' EXIT
small='[scenario]\nabout = small\nnodes = 5\nlasts = 30s\nlinks = 2\n[work]\nping = every 5s\n[expect]\n'

# check NAME CODE PATTERN ARGUMENTS...: the code, and a line of stdout or stderr that matches
check() {
    local name=$1 code=$2 pattern=$3 got
    shift 3
    "$simulate" "$@" >"$dir/out" 2>&1
    got=$?
    if [ $got -ne "$code" ] || ! grep -qE -- "$pattern" "$dir/out"; then
        echo "failed: $name: code $got, wanted $code and /$pattern/ in:"
        cat "$dir/out"
        failed=1
    fi
}

printf "$small"'jobs_done = 100%%\nleft_over = 0\n' >"$dir/good.ini"
printf "$small"'jobs_done = 100%%\nmemory <= 1KiB\n' >"$dir/bad.ini"
printf "$small"'jobs_done = 100\n' >"$dir/broken.ini"

check 'what holds is said' 0 '^  ok     jobs_done = 100.00 %$' "$dir/good.ini"
check 'two runs are the same' 0 '^  ok     a second run is the same$' "$dir/good.ini"
check 'what does not hold is said, with the seed' 1 '^  FAILED memory <= 1.0 KiB: it is .* KiB \(seed 9\)$' --seed 9 "$dir/bad.ini"
check 'one failure of several files counts' 1 '^bad: small' "$dir/bad.ini" "$dir/good.ini"
check 'a broken file is named with its line' 2 'broken.ini: line 9: \[expect\]' "$dir/broken.ini"
check 'no file is no scenario' 2 'cannot be read' "$dir/none.ini"
check 'options are checked' 2 '^usage:' --frobnicate
check 'something must be asked for' 2 '^usage:'
check 'help is no error' 0 '^usage:' --help
check 'nodes can be given' 0 '^  nodes +9 ' --nodes 9 "$dir/good.ini"
check 'a trace has deliveries' 0 '^\[ *[0-9.]+\] 1 > 0 [0-9]+ B$' --trace "$dir/good.ini"
check 'JSON is one line' 0 '^\{"scenario":"good","crypto":"toy cryptography",.*"ok":true,.*"left_over":0,.*\}$' --json "$dir/good.ini"
if "$simulate" --once "$dir/good.ini" | grep -q 'second run'; then
    echo 'failed: --once runs twice'
    failed=1
fi
exit $failed
