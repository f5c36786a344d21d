#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# kith share and kith get on one machine, over loopback.
# shellcheck source=test/cli/share_lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/share_lib.bash"
# shellcheck source=test/cli/share_cases.bash
source "$(dirname "${BASH_SOURCE[0]}")/share_cases.bash"

check "${cases[@]}" "${local_cases[@]}"
summary
