#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs a scenario with the real and with the toy cryptography: every delivery has the same size and the same time.
# usage: same_sizes.sh SIMULATE SIMULATE_REAL SCENARIO
set -euo pipefail
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$1" --trace "$3" >"$out/toy"
"$2" --trace "$3" >"$out/real"
lines=$(wc -l <"$out/real")
[ "$lines" -gt 500 ] || { echo "failed: only $lines deliveries: nothing was compared"; exit 1; }
diff "$out/real" "$out/toy" >"$out/diff" || { head -n 20 "$out/diff"; echo "failed: real (<) and toy (>) differ"; exit 1; }
echo "$lines deliveries are the same"
