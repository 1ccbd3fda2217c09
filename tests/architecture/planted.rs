//! The check itself on small sources with planted faults: each is found, and what looks like one is not.

use crate::{faults, sources};

/// The faults of a crate of these files, in which `mod`s that a file needs are declared by it.
fn faults_of(files: &[(&str, &str)]) -> Vec<String> {
    faults(&sources::read(&|path| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())))
}

/// The faults of a file `module.rs` right below the root.
fn faults_in(module: &str, code: &str) -> Vec<String> {
    faults_of(&[("lib.rs", &format!("mod {module};")), (&format!("{module}.rs"), code)])
}

#[test]
fn an_import_against_the_arrows_is_found_in_every_form() {
    let forms = [
        "use crate::service::Classifier;",
        "use crate::service;",
        "use crate::{program, service};",
        "use crate::{program::{Op, Program}, service::{self, Limits}};",
        "use crate::service as other;",
        "use super::service::Limits;",
        "use self::super::service::Limits;",
        "mod inner { use super::super::service::Limits; }",
        "fn f() { use crate::service::Limits; }",
        "fn f() { crate::service::start(); }",
        "fn f(limits: &crate::service::Limits) {}",
        "fn f() { log!(\"{}\", crate::service::NAME); }",
        "#[derive(crate::service::Named)] struct S;",
        "impl crate::service::Named for S {}",
        "#[cfg(not(test))] use crate::service::Limits;",
        "#[cfg(test)] mod tests {} use crate::service::Limits;",
    ];
    for form in forms {
        assert_eq!(faults_in("model", form), ["model.rs:1: model may not import service"], "{form}");
    }
}

#[test]
fn everything_at_once_is_an_import_of_what_is_forbidden() {
    for form in ["use crate::*;", "use super::*;", "use crate as all;", "fn f() { m!(crate::{service}); }"] {
        assert_eq!(faults_in("model", form), ["model.rs:1: model may not import *"], "{form}");
    }
}

#[test]
fn what_is_allowed_or_only_looks_forbidden_is_no_fault() {
    let forms = [
        "use crate::program::Program;",
        "pub(crate) struct S; impl S { pub(super) fn f(&self) -> usize { self.service } }",
        "/// As [`crate::service`] does.\nfn f() { let service = \"crate::service\"; } // crate::service",
        "mod service { pub struct S; } use self::service::S; use service::S as T;",
        "#[cfg(test)] use crate::service::Limits;",
        "#[cfg(all(test, unix))] mod tests { use crate::service::Limits; }",
        "#[cfg(test)] mod tests;",
        "#[test] fn f() { crate::service::start(); }",
        "impl S { #[cfg(test)] fn f() { crate::service::start(); } }",
    ];
    for form in forms {
        assert_eq!(faults_in("model", form), [""; 0], "{form}");
    }
}

#[test]
fn a_file_deep_below_belongs_to_its_module() {
    let files = [
        ("lib.rs", "mod engine;"),
        ("engine/mod.rs", "mod cpu;"),
        ("engine/cpu/mod.rs", "mod tile;"),
        ("engine/cpu/tile.rs", "use super::super::Engine;\nuse super::super::super::pixels::Pixels;"),
    ];
    assert_eq!(faults_of(&files), ["engine/cpu/tile.rs:2: engine may not import pixels"]);
}

#[test]
fn a_module_that_is_not_in_the_table_may_import_nothing() {
    assert_eq!(faults_in("misc", "use crate::program::Op;"), ["misc.rs:1: module misc is not in the table of imports"]);
    assert_eq!(faults_in("service", "use crate::cli::run;"), ["service.rs:1: service may not import cli"]);
    assert_eq!(faults_in("cli", "use crate::{service, misc};"), [""; 0]);
}

#[test]
fn a_runtime_in_a_pure_module_is_found_in_every_form() {
    let forms = [
        "use tokio::sync::mpsc;",
        "use tokio as runtime;",
        "use ::tokio::sync::mpsc;",
        "extern crate tokio;",
        "use {std::fmt, tokio::sync};",
        "fn f() { tokio::spawn(g()); }",
        "fn f() { tokio::select! {} }",
        "fn f() { vec![tokio::spawn(g())]; }",
        "#[tokio::main] async fn f() {}",
    ];
    for form in forms {
        assert_eq!(faults_in("pixels", form), ["pixels.rs:1: pixels may not know tokio"], "{form}");
        assert_eq!(faults_in("service", form), [""; 0], "{form}");
    }
    assert_eq!(faults_in("pixels", "fn f(tokio: u8) -> u8 { tokio }"), [""; 0]);
}

#[test]
fn unsafe_of_any_kind_is_found() {
    let forms = [
        "fn f() { unsafe { g() } }",
        "unsafe fn f() {}",
        "impl S { unsafe fn f() {} }",
        "trait T { unsafe fn f(); }",
        "unsafe trait T {}",
        "unsafe impl Send for S {}",
        "unsafe extern \"C\" {}",
        "fn f() { vec![unsafe { g() }]; }",
        "macro_rules! m { () => { unsafe { g() } }; }",
    ];
    for form in forms {
        assert_eq!(faults_in("service", form), ["service.rs:1: unsafe may not stand here"], "{form}");
    }
    assert_eq!(faults_in("service", "// unsafe {\nfn f() { \"unsafe {\"; }\n#[cfg(test)] unsafe fn g() {}"), [""; 0]);
}

#[test]
fn unsafe_where_it_may_stand_needs_its_reason() {
    let faults = |code: &str| {
        let up = [
            ("lib.rs", "mod engine;"),
            ("engine.rs", "mod cpu;"),
            ("engine/cpu.rs", "mod parallel;"),
            ("engine/cpu/parallel.rs", "mod tile;"),
        ];
        faults_of(&[&up[..], &[("engine/cpu/parallel/tile.rs", code)]].concat())
    };
    assert_eq!(faults("// SAFETY: the element lies in\n// the slice.\n#[inline]\nunsafe fn f() {}"), [""; 0]);
    let without = ["engine/cpu/parallel/tile.rs:2: unsafe needs a line `// SAFETY:` above it"];
    assert_eq!(faults("// it is fine\nunsafe fn f() {}"), without);
    assert_eq!(faults("\nfn f() { unsafe { g() } }"), without);
}
