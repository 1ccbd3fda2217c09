//! `cargo xtask check`: what can be said about the sources without running them.

use anyhow::{Context as _, Result};

use crate::run::{answers, cargo, step};

/// Format, lints, documentation, dependencies.
///
/// Runs, and stops at the first that fails: `cargo fmt --check`, clippy with every warning an error (the rules stand in
/// Cargo.toml and clippy.toml), rustdoc likewise, and cargo-deny on licences, bans and sources (deny.toml).
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave cargo-deny out, which is compiled for some minutes when it is not installed.
    #[arg(long)]
    no_deny: bool,
}

/// Runs all checks.
pub(crate) fn check(options: &Options) -> Result<()> {
    lint()?;
    step(cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    if options.no_deny {
        eprintln!("\nNOT CHECKED: licences, bans and sources of the dependencies (--no-deny)");
        return Ok(());
    }
    deny()
}

/// Format and lints: the quick part.
fn lint() -> Result<()> {
    step(&mut cargo(&["fmt", "--all", "--check"])).context("`cargo fmt --all` mends it")?;
    step(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn deny() -> Result<()> {
    if !answers(cargo(&["deny", "--version"])) {
        step(&mut cargo(&["install", "--locked", "cargo-deny", "--version", "^0.20"]))?;
    }
    // Not `advisories`: their database is a git repository, and a check must not hang where it cannot be reached.
    step(&mut cargo(&["deny", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))
}
