//! Where the binary `headwater` is.
//!
//! Cargo names a binary to the integration tests of its own package only. So it is looked for beside the running
//! test, in the same target directory and profile, after one `cargo build` (which does nothing when
//! `scripts/test` has built it, or is not run at all when `HEADWATER_BIN` names a binary).

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use super::repository;

/// The binary under test. Builds it at the first call.
#[must_use]
pub fn headwater() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match env::var_os("HEADWATER_BIN") {
        Some(path) => PathBuf::from(path),
        None => build(),
    })
}

fn build() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own path");
    // target/PROFILE/deps/TEST, or target/PROFILE/TEST for a binary.
    let profile_dir = test
        .ancestors()
        .find(|path| path.join(".fingerprint").is_dir())
        .unwrap_or_else(|| panic!("{} lies in no target directory", test.display()));
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let target = profile_dir
        .parent()
        .expect("a profile lies in a target directory");
    // The tests' package is named too, so that features, and with them all dependencies, are the same. What cargo tells a
    // test of its package is kept from it: build scripts that look at that (ring's) would make it build all anew.
    let mut cargo = Command::new(env!("CARGO"));
    let told = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(told) {
            cargo.env_remove(name);
        }
    }
    let status = cargo
        .args([
            "build",
            "--quiet",
            "--bin",
            "headwater",
            "-p",
            "headwater",
            "-p",
            "headwater-tests",
        ])
        .args(["--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(repository())
        .status()
        .expect("cargo can be started");
    assert!(status.success(), "cargo build -p headwater failed");
    profile_dir.join("headwater")
}
