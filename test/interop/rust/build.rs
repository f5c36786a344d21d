// SPDX-License-Identifier: MIT OR Apache-2.0
// Tells `peer version` which releases the lock file names.
use std::fs;
use std::process::Command;

fn main() {
    let lock = fs::read_to_string("Cargo.lock").unwrap_or_default();
    for (name, var) in [("libp2p", "LIBP2P_VERSION"), ("yamux", "YAMUX_VERSION")] {
        let at = format!("name = \"{name}\"\nversion = \"");
        let version = lock.split(&at).nth(1).and_then(|s| s.split('"').next()).unwrap_or("unknown");
        println!("cargo::rustc-env={var}={version}");
    }
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().map(|o| o.stdout).unwrap_or_default();
    println!("cargo::rustc-env=RUSTC_VERSION={}", String::from_utf8_lossy(&version).trim());
    println!("cargo::rerun-if-changed=Cargo.lock");
}
