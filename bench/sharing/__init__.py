# SPDX-License-Identifier: MIT OR Apache-2.0
"""What bench/share is made of: data (what is sent), fetch (the peers), peers (how each is run), sides (what it costs), table (how it
is told)."""
