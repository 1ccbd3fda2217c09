//! Bytes that nothing has written may be copied, as the padding of a struct is, by whatever way; they stay unwritten where they go to, and their
//! use is a fault. Faults run in processes of their own, for what they do to the device cannot be undone.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod client;

use client::{Card, apart, ptx};

/// A struct of a word and a byte, of eight bytes with its padding, written field by field and handed over by `copy`: from %x4 to %x3, in a second
/// launch. Gives what then computes with both fields, and perhaps with the padding.
fn handed_over(copy: &str, then: &str) -> Result<Vec<u32>, i32> {
    let card = Card::open();
    let address = "mul.wide.u32 %x2, %r0, 8; add.u64 %x3, %x0, %x2; add.u64 %x4, %x1, %x2; .reg .b16 %h<4>;\n\
        .local .align 8 .b8 stack[8]; mov.u32 %r2, tile; shl.b32 %r3, %r0, 3; add.u32 %r2, %r2, %r3;\n";
    let [fill, copy, then] =
        ["add.u32 %r4, %r0, 100; st.global.u32 [%x4], %r4; st.global.u8 [%x4+4], %r0;", copy, then]
            .map(|body| card.kernel(&ptx("sm_80", &format!("{address}{body}")), "k"));
    let (out, given) = (card.allocate(256)?, card.allocate(256)?);
    let parameters = [out.to_le_bytes().to_vec(), given.to_le_bytes().to_vec()];
    for kernel in [fill?, copy?, then?] {
        card.launch(kernel, [1; 3], [32, 1, 1], 0, &parameters)?;
    }
    card.synchronize()?;
    card.download(given, 32)
}

/// Computes with the fields of the copy alone, and leaves words.
const FIELDS: &str = "ld.global.u32 %r4, [%x3]; ld.global.u8 %r5, [%x3+4]; add.u32 %r4, %r4, %r5;\n\
    mul.wide.u32 %x2, %r0, 4; add.u64 %x4, %x1, %x2; st.global.u32 [%x4], %r4;";

/// Ways in which compilers copy eight bytes.
const COPIES: &[&str] = &[
    "ld.global.u64 %x5, [%x4]; st.global.u64 [%x3], %x5;",
    "ld.global.v2.u32 {%r4, %r5}, [%x4]; st.global.v2.u32 [%x3], {%r4, %r5};",
    "ld.global.v2.u32 {%r4, %r5}, [%x4]; mov.b64 %x5, {%r4, %r5}; mov.u64 %x6, %x5; st.global.u64 [%x3], %x6;",
    "ld.global.u64 %x5, [%x4]; mov.b64 {%r4, %r5}, %x5; st.global.u32 [%x3+4], %r5; st.global.u32 [%x3], %r4;",
    "ld.global.u32 %r4, [%x4]; ld.global.u32 %r5, [%x4+4]; mov.b32 {%h0, %h1}, %r5; mov.b32 %r6, {%h0, %h1}; st.global.v2.u32 [%x3], {%r4, %r6};",
    "ld.global.u64 %x5, [%x4]; cvt.u32.u64 %r4, %x5; st.global.u32 [%x3], %r4; ld.global.u8 %r5, [%x4+4]; st.global.u8 [%x3+4], %r5;",
    "ld.global.u64 %x5, [%x4]; setp.ge.u32 %p0, %r0, 0; mov.u64 %x6, 0; selp.b64 %x7, %x5, %x6, %p0; st.global.u64 [%x3], %x7;",
    "ld.global.v2.u32 {%r4, %r5}, [%x4]; setp.lt.u32 %p0, %r0, 0; selp.b32 %r5, 0, %r5, %p0; st.global.v2.u32 [%x3], {%r4, %r5};",
    "ld.global.u64 %x5, [%x4]; st.local.u64 [stack], %x5; ld.local.u64 %x6, [stack]; st.global.u64 [%x3], %x6;",
    "ld.global.u64 %x5, [%x4]; st.shared.u64 [%r2], %x5; ld.shared.u64 %x6, [%r2]; st.global.u64 [%x3], %x6;",
    "cp.async.ca.shared.global [%r2], [%x4], 8; cp.async.wait_all; ld.shared.u64 %x6, [%r2]; st.global.u64 [%x3], %x6;",
    // what is masked away is not used
    "ld.global.v2.u32 {%r4, %r5}, [%x4]; and.b32 %r5, %r5, 255; st.global.v2.u32 [%x3], {%r4, %r5};",
    "ld.global.v2.u32 {%r4, %r5}, [%x4]; cvt.u32.u8 %r6, %r5; st.global.v2.u32 [%x3], {%r4, %r6};",
];

#[test]
fn padding_is_copied_by_every_way() {
    for copy in COPIES {
        let words = handed_over(copy, FIELDS).unwrap_or_else(|code| panic!("{code}: {copy}"));
        assert_eq!(words, (0..32).map(|at| 100 + 2 * at).collect::<Vec<u32>>(), "{copy}");
    }
}

/// The use of padding after a copy is found, wherever it went.
#[track_caller]
fn found(test: &str, copy: &str, then: &str) {
    let act = || handed_over(copy, then).err().unwrap_or(0).to_string();
    let Some(told) = apart(test, &[], act) else { return };
    assert_eq!(told.printed, "719", "{}", told.explained);
    assert!(
        told.explained.contains("unwritten: read of") && told.explained.contains("is used here"),
        "{}",
        told.explained
    );
}

const USE: &str = "ld.global.u32 %r5, [%x3+4]; add.u32 %r5, %r5, 1; st.global.u32 [%x4], %r5;";

#[test]
fn padding_that_is_used_behind_a_copy() {
    found("padding_that_is_used_behind_a_copy", COPIES[0], USE);
}

#[test]
fn padding_that_is_used_behind_a_copy_by_registers() {
    found("padding_that_is_used_behind_a_copy_by_registers", COPIES[4], USE);
}

#[test]
fn padding_that_is_used_behind_a_copy_through_shared_memory() {
    found("padding_that_is_used_behind_a_copy_through_shared_memory", COPIES[10], USE);
}

#[test]
fn padding_that_is_used_behind_a_copy_through_local_memory() {
    found("padding_that_is_used_behind_a_copy_through_local_memory", COPIES[8], USE);
}

#[test]
fn padding_that_is_compared() {
    let body = "ld.global.u64 %x5, [%x3]; setp.eq.u64 %p0, %x5, 0; @%p0 st.global.u32 [%x4], 1;";
    found("padding_that_is_compared", COPIES[0], body);
}

#[test]
fn an_address_that_nothing_wrote() {
    let body = "ld.global.u64 %x5, [%x3]; ld.global.u32 %r5, [%x5];";
    found("an_address_that_nothing_wrote", COPIES[0], body);
}

#[test]
fn padding_that_is_shuffled() {
    let body = "ld.global.u32 %r5, [%x3+4]; shfl.sync.bfly.b32 %r6, %r5, 1, 31, 0xffffffff; st.global.u32 [%x4], %r6;";
    found("padding_that_is_shuffled", COPIES[0], body);
}

#[test]
fn what_is_stored_over_the_copy_counts_and_what_the_copy_is_stored_over_does_not() {
    // the padding was written before the copy, which brings it nothing
    let copy = format!("st.global.u64 [%x3], 0; {}", COPIES[0]);
    found("what_is_stored_over_the_copy_counts_and_what_the_copy_is_stored_over_does_not", &copy, USE);
    if std::env::var_os("CUDA_EMULATOR_TEST_APART").is_none() {
        let copy = format!("{} st.global.u32 [%x3+4], %r0;", COPIES[0]);
        let words = handed_over(
            &copy,
            "ld.global.u32 %r5, [%x3+4]; add.u32 %r5, %r5, 1; mul.wide.u32 %x2, %r0, 4; add.u64 %x4, %x1, %x2; st.global.u32 [%x4], %r5;",
        );
        assert_eq!(words.unwrap(), (1..33).collect::<Vec<u32>>());
    }
}

#[test]
fn a_register_that_is_written_again_holds_what_was_written() {
    let then = "ld.global.u64 %x5, [%x3]; mov.u64 %x5, 7; add.u64 %x5, %x5, 1; cvt.u32.u64 %r4, %x5;\n\
        mul.wide.u32 %x2, %r0, 4; add.u64 %x4, %x1, %x2; st.global.u32 [%x4], %r4;";
    assert_eq!(handed_over(COPIES[0], then).unwrap(), [8; 32]);
}

#[test]
fn a_copy_to_the_host_of_what_nothing_wrote_is_said() {
    let act = || {
        let card = Card::open();
        let kernel = card.kernel(&ptx("sm_80", "ld.global.u32 %r4, [%x4]; st.global.u32 [%x3], %r4;"), "k").unwrap();
        let (out, given) = (card.allocate(128).unwrap(), card.allocate(128).unwrap());
        let parameters = [out.to_le_bytes().to_vec(), given.to_le_bytes().to_vec()];
        card.launch(kernel, [1; 3], [32, 1, 1], 0, &parameters).unwrap();
        card.download::<u32>(out, 32).unwrap().len().to_string()
    };
    let Some(told) = apart("a_copy_to_the_host_of_what_nothing_wrote_is_said", &[], act) else { return };
    assert_eq!(told.printed, "32");
    assert!(told.explained.contains("reads 128 bytes of 128 that nobody wrote"), "{}", told.explained);
}
