//! What is refused before anything runs: modules that are no PTX, not for the device or too large, and launches over its limits. With CUDA's code, and
//! with the line that is at fault on stderr.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod client;

use client::{Card, apart, ptx};

#[test]
fn shared_memory_over_the_limit() {
    let card = Card::open();
    let kernel = card.kernel(&ptx("sm_80", ""), "k").unwrap();
    let parameters = [vec![0; 8], vec![0; 8]];
    assert_eq!(card.launch(kernel, [1; 3], [32, 1, 1], 48_129, &parameters), Err(1));
    assert_eq!(card.launch(kernel, [1; 3], [32, 1, 1], 48_128, &parameters), Ok(()));
    assert_eq!(card.synchronize(), Ok(()));
}

/// The answer to loading a module, and the explanation.
#[track_caller]
fn refused(test: &str, sm: &str, text: &str, words: &[&str]) {
    let act = || Card::open().kernel(text, "k").err().unwrap_or(0).to_string();
    let Some(told) = apart(test, &[("CUDA_EMULATOR_SM", sm)], act) else { return };
    assert_eq!(told.printed, "218", "{}", told.explained);
    for word in words {
        assert!(told.explained.contains(word), "{word:?} is not in: {}", told.explained);
    }
}

#[test]
fn an_unknown_opcode() {
    refused("an_unknown_opcode", "80", &ptx("sm_80", "\nfrobnicate.b32 %r4, %r0;"), &["line 12", "frobnicate.b32"]);
}

#[test]
fn a_feature_that_the_target_has_not() {
    let body = "\ncp.async.ca.shared.global [%r2], [%x4], 4;";
    refused("a_feature_that_the_target_has_not", "80", &ptx("sm_75", body), &["cp.async", "sm_80"]);
}

#[test]
fn a_target_that_the_device_has_not() {
    refused("a_target_that_the_device_has_not", "75", &ptx("sm_80", ""), &["SM version 80"]);
}

#[test]
fn what_nothing_has_room_for_is_refused_and_the_process_lives() {
    let card = Card::open();
    let with = |before: &str, body: &str| {
        let head = ".version 7.8\n.target sm_80\n.address_size 64\n";
        format!("{head}{before}\n.visible .entry k() {{ .reg .b64 %x<4>; .reg .b32 %r<4>;\n{body}\nret; }}\n")
    };
    let deep = format!("mov.u32 %r0, {}1{};", "(".repeat(100_000), ")".repeat(100_000));
    let open = "{ ".repeat(100_000);
    let refused = [
        with("", &deep),
        with("", &open),
        with(".global .b128 g;", ""),
        with("", "ld.global.b128 %x0, [%x1];"),
        with(".global .b8 g[4294967296][4294967296];", ""),
        with("", ".shared .b8 s[10000000000000]; mov.u32 %r0, s;"),
        with("", ".local .b8 s[10000000000000]; mov.u32 %r0, s;"),
        with(".global .u32 g; .global .u32 g;", ""),
        with("", "L: mov.u32 %r0, 1; L: mov.u32 %r1, 1;"),
        with("", "bra NOWHERE;"),
    ];
    for text in refused {
        assert_eq!(card.kernel(&text, "k").err(), Some(218), "{}", &text[..text.len().min(200)]);
    }
    assert!(card.kernel(&with("", ""), "k").is_ok());
}
