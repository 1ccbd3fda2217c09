//! What `cp.async` leaves in shared memory for each way of saying how much is read: nothing said, a number, a register, a predicate. By
//! the ISA's description (9.7.9.25.3): bytes beyond the source size are zeros, and an ignored source is all zeros.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod client;

use client::{Card, ptx};

/// The four words that each of four threads has in shared memory, of which the copies of `size` bytes were told `last`.
fn copied(form: &str, size: usize, last: &str) -> Vec<u32> {
    let body = format!(
        "shl.b32 %r3, %r0, 4; mov.u32 %r2, tile; add.u32 %r2, %r2, %r3;\n\
         mul.wide.u32 %x2, %r0, 16; add.u64 %x4, %x1, %x2; add.u64 %x3, %x0, %x2;\n\
         mov.u32 %r4, 0x7f7f7f7f; st.shared.v4.u32 [%r2], {{%r4, %r4, %r4, %r4}};\n\
         setp.lt.u32 %p1, %r0, 2; shl.b32 %r5, %r0, 1;\n\
         cp.async.{form}.shared.global [%r2], [%x4], {size}{last}; cp.async.wait_all;\n\
         ld.shared.v4.u32 {{%r6, %r7, %r8, %r9}}, [%r2]; st.global.v4.u32 [%x3], {{%r6, %r7, %r8, %r9}};"
    );
    let card = Card::open();
    let kernel = card.kernel(&ptx("sm_80", &body), "k").unwrap_or_else(|code| panic!("{form} {size}{last}: {code}"));
    let given: Vec<u32> = (0..16).map(|word| 0x0101_0101 * (word + 1)).collect();
    let (out, given) = (card.allocate(64).unwrap(), card.upload(&given).unwrap());
    let parameters = [out.to_le_bytes().to_vec(), given.to_le_bytes().to_vec()];
    card.launch(kernel, [1, 1, 1], [4, 1, 1], 0, &parameters).unwrap();
    card.synchronize().unwrap();
    card.download::<u32>(out, 16).unwrap()
}

/// What is to be there where thread `t` read `bytes(t)` of the `size` bytes that it wrote.
fn expected(size: usize, bytes: impl Fn(usize) -> usize) -> Vec<u32> {
    let byte = |thread: usize, at: usize| match at {
        at if at < bytes(thread).min(size) => (thread * 4 + at / 4 + 1) as u8,
        at if at < size => 0,
        _ => 0x7f,
    };
    let word = |index: usize| u32::from_le_bytes(std::array::from_fn(|at| byte(index / 4, index % 4 * 4 + at)));
    (0..16).map(word).collect()
}

#[test]
fn a_number_is_the_bytes_that_are_read() {
    for (form, size) in [("cg", 16), ("ca", 16), ("ca", 8), ("ca", 4)] {
        assert_eq!(copied(form, size, ""), expected(size, |_| size), "{form} {size}");
        for bytes in [size, size - 1, size / 2, size - size / 4, 1, 0] {
            let found = copied(form, size, &format!(", {bytes}"));
            assert_eq!(found, expected(size, |_| bytes), "{form} {size}, {bytes}");
        }
    }
}

#[test]
fn a_register_is_the_bytes_that_are_read_by_each_thread() {
    for (form, size) in [("cg", 16), ("ca", 8)] {
        assert_eq!(copied(form, size, ", %r5"), expected(size, |thread| 2 * thread), "{form} {size}");
    }
}

#[test]
fn a_predicate_says_who_reads_nothing() {
    for (form, size) in [("cg", 16), ("ca", 4)] {
        let of = |ignored: [bool; 4]| expected(size, move |thread| if ignored[thread] { 0 } else { size });
        assert_eq!(copied(form, size, ", %p1"), of([true, true, false, false]), "{form} {size}");
        assert_eq!(copied(form, size, ", !%p1"), of([false, false, true, true]), "{form} {size}");
    }
}

#[test]
fn more_bytes_than_are_written_are_refused() {
    let body = "cp.async.cg.shared.global [tile], [%x1], 16, 17;";
    assert!(Card::open().kernel(&ptx("sm_80", body), "k").is_err());
}
