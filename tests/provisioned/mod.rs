//! What a test needs from outside the repository, as `cargo xtask test` provides it (xtask/src/provision.rs).
//!
//! Without it a test is skipped, with a notice; where CONVNEXT_TEST_REQUIRE_ALL is set, as xtask does in CI, it fails.

use std::env;
use std::path::PathBuf;

/// The path in this variable. Without the variable `fallback`, if it is there; otherwise nothing, and the test is skipped.
pub(crate) fn provisioned(variable: &str, fallback: &str) -> Option<PathBuf> {
    if let Some(path) = env::var_os(variable) {
        return Some(path.into());
    }
    let fallback = PathBuf::from(fallback);
    if fallback.exists() {
        return Some(fallback);
    }
    let notice = format!("{variable} is not set and there is no {}: run `cargo xtask test`", fallback.display());
    assert!(env::var_os("CONVNEXT_TEST_REQUIRE_ALL").is_none() && env::var_os("CI").is_none(), "{notice}");
    eprintln!("\nSKIPPED, NOTHING WAS TESTED: {notice}\n");
    None
}
