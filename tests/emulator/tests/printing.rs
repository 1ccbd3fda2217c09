//! `printf` in kernels, as NVRTC compiles it: what is printed is on the client's standard output once it has waited. Formats are tested where
//! they are written (`exec::format`).
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod client;

use client::{Card, Told, apart};

/// A text as bytes of PTX, with the zero that ends it.
fn bytes(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().chain([0]).map(|byte| byte.to_string()).collect();
    format!("[{}] = {{{}}}", bytes.len(), bytes.join(", "))
}

/// A kernel that calls `vprintf` with a format, behind `before`; the arguments are at `stack`, the thread is in %r0, the result in %r1.
fn kernel(format: &str, before: &str, behind: &str) -> String {
    format!(
        ".version 7.8\n.target sm_75\n.address_size 64\n.extern .func (.param .b32 result) vprintf (.param .b64 a, .param .b64 b);\n\
         .global .align 1 .b8 format{};\n.global .align 1 .b8 name{};\n\
         .visible .entry k(.param .u64 out)\n{{ .local .align 8 .b8 stack[64]; .reg .b32 %r<4>; .reg .b64 %x<8>; .reg .pred %p;\n\
         mov.u32 %r0, %tid.x; mov.u64 %x0, format; cvta.global.u64 %x0, %x0; mov.u64 %x1, stack; cvta.local.u64 %x1, %x1;\n\
         mov.u64 %x2, name; cvta.global.u64 %x2, %x2;\n{before}\n\
         {{ .param .b64 a; st.param.b64 [a], %x0; .param .b64 b; st.param.b64 [b], %x1; .param .b32 r;\n\
         call.uni (r), vprintf, (a, b); ld.param.b32 %r1, [r]; }}\n{behind} ret; }}\n",
        bytes(format),
        bytes("a name"),
    )
}

fn run(text: &str, grid: u32, threads: u32) -> String {
    let card = Card::open();
    let kernel = card.kernel(text, "k").unwrap();
    let out = card.upload(&[0u32; 32]).unwrap();
    card.launch(kernel, [grid, 1, 1], [threads, 1, 1], 0, &[out.to_le_bytes().to_vec()]).unwrap();
    match card.synchronize() {
        Ok(()) => format!("{:?}", &card.download::<u32>(out, 32).unwrap()[..threads as usize]),
        Err(code) => code.to_string(),
    }
}

#[track_caller]
fn told(test: &str, text: &str, grid: u32, threads: u32) -> Option<Told> {
    apart(test, &[("CUDA_EMULATOR_SEED", "0")], || run(text, grid, threads))
}

/// What was printed from a word on, of each line; before the first stands the name of the test.
fn lines<'a>(told: &'a Told, word: &str) -> Vec<&'a str> {
    told.shown.lines().filter_map(|line| Some(&line[line.find(word)?..])).collect()
}

#[test]
fn every_thread_prints_its_values_and_gets_their_number() {
    let before = "st.local.v2.u32 [stack], {%r0, 7}; mov.b64 %x3, 0d3FF8000000000000; st.local.b64 [stack+8], %x3;\n\
        st.local.b64 [stack+16], %x2; st.local.u32 [stack+24], 99; st.local.u32 [stack+28], 255; mov.u64 %x4, -5; st.local.b64 [stack+32], %x4;";
    let behind = "ld.param.u64 %x5, [out]; mad.wide.u32 %x5, %r0, 4, %x5; st.global.u32 [%x5], %r1;";
    let text = kernel("thread %d: %5u|%.2f|%s|%c|%#x|%lld%%\n", before, behind);
    let Some(told) = told("every_thread_prints_its_values_and_gets_their_number", &text, 1, 3) else { return };
    assert_eq!(told.printed, "[7, 7, 7]", "{}", told.explained);
    let lines = lines(&told, "thread ");
    let line = |thread: u32| format!("thread {thread}:     7|1.50|a name|c|0xff|-5%");
    assert_eq!(lines, (0..3).map(line).collect::<Vec<_>>());
}

#[test]
fn a_kernel_that_only_might_print_runs_and_prints_nothing() {
    let before = "setp.lt.u32 %p, %r0, 1000; @%p bra END;";
    let behind = "END: ld.param.u64 %x5, [out]; mad.wide.u32 %x5, %r0, 4, %x5; st.global.u32 [%x5], %r0;";
    let text = kernel("never\n", before, behind);
    let Some(told) = told("a_kernel_that_only_might_print_runs_and_prints_nothing", &text, 1, 3) else { return };
    assert_eq!(told.printed, "[0, 1, 2]", "{}", told.explained);
    assert!(!told.shown.contains("never"));
}

#[test]
fn blocks_at_once_print_whole_lines() {
    let text = kernel("block %d of all\n", "mov.u32 %r2, %ctaid.x; st.local.u32 [stack], %r2;", "");
    let Some(told) = told("blocks_at_once_print_whole_lines", &text, 200, 1) else { return };
    let mut lines = lines(&told, "block ");
    let mut expected: Vec<String> = (0..200).map(|block| format!("block {block} of all")).collect();
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
}

#[test]
fn what_was_printed_before_a_fault_is_shown() {
    let text = kernel("before\n", "", "trap;");
    let Some(told) = told("what_was_printed_before_a_fault_is_shown", &text, 1, 1) else { return };
    assert_eq!(told.printed, "719");
    assert!(told.shown.contains("before\n"), "{}", told.shown);
}

#[test]
fn a_value_that_nothing_wrote_is_found() {
    let text = kernel("%d\n", "", "");
    let Some(told) = told("a_value_that_nothing_wrote_is_found", &text, 1, 1) else { return };
    assert_eq!(told.printed, "719");
    assert!(told.explained.contains("nothing has written"), "{}", told.explained);
}

#[test]
fn a_format_that_is_nowhere_is_found() {
    let text = kernel("%d\n", "mov.u64 %x0, 16;", "");
    let Some(told) = told("a_format_that_is_nowhere_is_found", &text, 1, 1) else { return };
    assert_eq!(told.printed, "700");
    assert!(told.explained.contains("out of bounds"), "{}", told.explained);
}
