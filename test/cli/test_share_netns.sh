#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The same between two network namespaces, joined by a pair of virtual interfaces; and what only a network can do.
# shellcheck source=test/cli/share_lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/share_lib.bash"
# shellcheck source=test/cli/share_cases.bash
source "$(dirname "${BASH_SOURCE[0]}")/share_cases.bash"

command -v ip >/dev/null || { echo "skipped: network namespaces: the program ip (iproute2) is not installed"; exit 77; }
one=kith-s-$$ two=kith-g-$$
ip netns add "$one" 2>/dev/null || { echo "skipped: network namespaces: no right to make them (root is needed)"; exit 77; }
remove_namespaces() { cleanup; ip netns del "$one" 2>/dev/null; ip netns del "$two" 2>/dev/null; }
trap remove_namespaces EXIT
if ! { ip netns add "$two" && ip -n "$one" link add up0 type veth peer name up0 netns "$two" &&
    ip -n "$one" addr add 10.77.0.1/24 dev up0 && ip -n "$two" addr add 10.77.0.2/24 dev up0 &&
    ip -n "$one" link set up0 up && ip -n "$two" link set up0 up &&
    ip -n "$one" link set lo up && ip -n "$two" link set lo up; }; then
    echo "skipped: network namespaces: virtual interfaces cannot be made here"
    exit 77
fi
here="ip netns exec $one" there="ip netns exec $two" listen=/ip4/10.77.0.1/tcp/0

the_default_addresses_reach_across() {
    echo x >f
    KITH_HOME=$work/home-default $here "$kith" share f --once --json >"$work/default.ticket" 2>"$work/default.err" </dev/null &
    pids+=($!)
    wait_until 10 test -s "$work/default.ticket" || { cat "$work/default.err"; return 1; }
    ticket=$(sed -n 's/.*"ticket": *"\(kith1[^"]*\)".*/\1/p' "$work/default.ticket")
    grep -qF '/ip4/10.77.0.1/tcp/9000' "$work/default.ticket" && ! grep -qF 127.0.0.1 "$work/default.ticket" || { cat "$work/default.ticket"; return 1; }
    get "$ticket" -o out
    exits 0 && cmp f out/f
}

a_cut_cable_is_reported() {
    filler 400000000 >big; share_start cable big || return 1
    KITH_HOME=$work/home-get $there timeout 120 "$kith" get "$ticket" -o out -y --ping-every 1s >"$work/get.out" 2>"$work/get.err" </dev/null &
    local pid=$!
    wait_until 10 test -e out/.kith-partial || return 1
    ip -n "$one" link set up0 down
    wait $pid; code=$?
    ip -n "$one" link set up0 up
    [ "$code" -eq 0 ] && { echo "    it was too quick to be cut"; return 0; }
    exits 6 && said "fetch again" && [ ! -e out/big ]
}

check the_default_addresses_reach_across "${cases[@]}" a_cut_cable_is_reported
summary
